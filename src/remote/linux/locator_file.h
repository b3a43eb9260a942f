/* Linux: one file of a locator of another process: opening it, proving that it is the one which the
 * process has mapped, and mapping it.
 *
 * A file is trusted only if the memory map of the process reports, for the address in the file's
 * header, the device and the inode that its status has, or else that our map reports for a fresh
 * mapping of the file; see posix/mapped.h, whose rules apply here, too. File systems whose files
 * have other numbers in maps than in their status (overlayfs, btrfs) give every file others than
 * all maps have, so that the first of the two never proves a wrong file. */
#ifndef NBUF_LINUX_LOCATOR_FILE_H
#define NBUF_LINUX_LOCATOR_FILE_H

#include <sys/stat.h>

#include "remote/port.h"

/* Opens a file that could be a locator of that user; -1 and errno. It is checked before it is
 * opened: any user who can write to the directory could have put a link, a pipe or a device there.
 * `*status` is the file's. */
int nbuf_locator_file_open(int directory, const char *name, uint64_t user, struct stat *status);

/* The result for a file that could not be opened, for this errno value. A lease ends soon: BUSY. */
nbuf_result nbuf_locator_file_result(int error);

/* False: a store behind the end of the file would be a SIGBUS. */
bool nbuf_locator_file_is_as_long(int file, uint64_t size);

/* The device in a file's status, as memory maps tell it. */
uint64_t nbuf_locator_file_device(const struct stat *status);

/* The address in a header, which is that wide. */
uint64_t nbuf_locator_file_address(const unsigned char *header, uint32_t bits);

/* Whether locators are mapped in this way. */
bool nbuf_is_locator_mapping(const nbuf_remote_mapping *mapping);

/* Whether an open file is the first locator of the process: OK, `*address` and `*theirs` are set;
 * NOT_FOUND: it is not. */
nbuf_result nbuf_locator_file_examine(const nearbuf_process *process, int file,
                                      const struct stat *status, uint64_t *address,
                                      nbuf_remote_mapping *theirs);

/* Maps the page of a file of this status that the process has mapped at `theirs`, if it is known to
 * be that file, or if that is proved. DENIED: it is another file. */
nbuf_result nbuf_locator_file_map(int file, const struct stat *status,
                                  const nbuf_remote_mapping *theirs, uint64_t address,
                                  nbuf_remote_view *view);
nbuf_result nbuf_locator_file_map_proved(int file, const struct stat *status,
                                         const nbuf_remote_mapping *theirs, uint64_t address,
                                         nbuf_remote_view *view);

/* Holds the file of a locator open for the next view, in place of one that was held for the same
 * locator, or closes it. Its number cannot become another file's meanwhile. */
void nbuf_locator_file_keep(nearbuf_process *process, const nbuf_remote_mapping *theirs,
                            uint64_t address, int file, const struct stat *status);

/* Closes the file if it is held for the locator at this address. */
void nbuf_locator_file_forget(nearbuf_process *process, uint64_t address);

/* The file that is held open, if it is the one that the process has mapped there and can be trusted
 * as when it was opened; else -1. `*status` is what it has now. */
int nbuf_locator_file_kept(const nearbuf_process *process, const nbuf_remote_mapping *theirs,
                           uint64_t address, struct stat *status);

#endif
