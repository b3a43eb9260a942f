/* Linux: locators of a process that hides its memory (it is not dumpable, or another user's).
 *
 * Neither its map nor its root can be read then. Its file in our own directory is trusted if it
 * belongs to the user of the process and is in use, as the file's lock shows. The system does not
 * report the address width of such a process: it is assumed to be ours. */
#ifndef NBUF_LINUX_HIDDEN_H
#define NBUF_LINUX_HIDDEN_H

#include "remote/linux/identity.h"
#include "remote/port.h"

/* Where its first locator is. DENIED: no file is in use under its names. */
nbuf_result nbuf_hidden_first(const nearbuf_process *process, const nbuf_identity *identity,
                              uint64_t *address, nearbuf_dialect *dialect_if_empty);

/* As nbuf_remote_image and nbuf_remote_view_open, by the address in the header of a file. */
nbuf_result nbuf_hidden_image(const nearbuf_process *process, uint64_t address,
                              unsigned char image[NBUF_LOCATOR_SIZE]);
nbuf_result nbuf_hidden_view(const nearbuf_process *process, uint64_t address,
                             nbuf_remote_view *view);

#endif
