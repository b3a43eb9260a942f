/* Linux: the first locator of another process. nbuf_remote_first (port.h) looks, in this order: in
 * the handle, at the anchor, for the file's names, in the memory map. */
#ifndef NBUF_LINUX_FIRST_H
#define NBUF_LINUX_FIRST_H

#include "remote/linux/identity.h"

/* By the anchor (posix/anchor.h), by which the copies of the library in the process agree on the
 * first locator, whatever happened to its name. `identity`: null where it is not known yet; few
 * anchors need it. */
nbuf_result nbuf_first_by_anchor(const nearbuf_process *process, const nbuf_identity *identity,
                                 uint64_t *address, nearbuf_dialect *dialect_if_empty);

/* Keeps in the handle where the first locator is. */
void nbuf_first_keep(nearbuf_process *process, uint64_t address, nearbuf_dialect dialect_if_empty);

#endif
