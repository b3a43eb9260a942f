/* Which file is mapped where in this process, by the memory map: the proof that a file is a locator
 * of this process.
 *
 * A file is one if the map reports, for the address in its header, the same device, inode and
 * offset as for a fresh mapping of the file, and that mapping is shared and writable. The fresh one
 * is read-only: without address randomisation it would land at the address in a stale header and
 * prove itself. The device of stat is not used, since overlayfs and btrfs return another one
 * there. */
#ifndef NBUF_POSIX_MAPPED_H
#define NBUF_POSIX_MAPPED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "os/os.h"

/* The mapping that contains the address. NOT_FOUND: nothing is mapped there. SYSTEM_ERROR: the map
 * can be unreadable for a moment, and then the answer is unknown: that must never look like a stale
 * file. */
nbuf_result nbuf_mapping_at(uintptr_t address, nbuf_mapping *mapping);

/* Whether a locator may be mapped there: the first page of a file, writable, shared. */
bool nbuf_mapping_is_locator(const nbuf_mapping *mapping, uintptr_t base);

/* Whether two mappings show the same page of a locator. */
bool nbuf_mappings_are_same_page(uintptr_t one, uintptr_t other);

/* OK if the open file is mapped at `claimed` in the way of a locator of this process; NOT_FOUND if
 * not. */
nbuf_result nbuf_file_check_mapped_at(int file, uintptr_t claimed);

/* Whether this process has the open file mapped as a locator, anywhere. Also true if the map cannot
 * be read: then it is unknown. */
bool nbuf_file_is_mapped_here(int file);

#endif
