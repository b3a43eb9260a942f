/* Where memory can be placed, as far as the system decides it: the other part of the contract of
 * os.h. Of the systems with a port only Windows has its own search, and images that need the places
 * beside them. */
#ifndef NBUF_OS_PLACING_H
#define NBUF_OS_PLACING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/range.h"

#ifdef _WIN32

/* Whether the place lies where the system prefers to put later mappings, so that it should be used
 * last: within 16 MiB of an image, where the loader puts DLLs, some of which cannot lie elsewhere.
 * If so, `*around` is the range around the place to which that applies as well. One query for each
 * mapping in these 32 MiB. */
bool nbuf_os_is_near_image(nbuf_range place, nbuf_range *around);

/* Maps memory as nbuf_os_map does, at the lowest or the highest multiple of `alignment` at which it
 * lies inside the range and not near an image, and returns its address. 0: the system cannot
 * search, or failed; nothing is mapped, and nbuf_os_map reports the reason. */
uintptr_t nbuf_os_map_within(nbuf_range range, size_t size, uintptr_t alignment, bool is_highest);

/* False if the system knows that `size` bytes, aligned, are free nowhere in the range: then no
 * search is needed. True: a search decides. */
bool nbuf_os_may_have_room(nbuf_range range, size_t size, uintptr_t alignment);

#else

static inline bool nbuf_os_is_near_image(nbuf_range place, nbuf_range *around) {
  (void)place, (void)around;
  return false;
}

/* The hint of mmap is one place, not a range. */
static inline uintptr_t nbuf_os_map_within(nbuf_range range, size_t size, uintptr_t alignment,
                                           bool is_highest) {
  (void)range, (void)size, (void)alignment, (void)is_highest;
  return 0;
}

static inline bool nbuf_os_may_have_room(nbuf_range range, size_t size, uintptr_t alignment) {
  (void)range, (void)size, (void)alignment;
  return true;
}

#endif

#endif
