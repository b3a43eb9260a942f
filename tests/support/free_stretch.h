/* A part of the address space in which everything is free. */
#ifndef NEARBUF_TEST_FREE_STRETCH_H
#define NEARBUF_TEST_FREE_STRETCH_H

#include "base/range.h"
#include "os/os.h"
#include "space.h"
#include "test.h"

/* The middle of a free stretch of 64 MiB: everything within 32 MiB of it is free. */
static inline uintptr_t free_stretch_middle(void) {
  const uintptr_t size = (uintptr_t)64 << 20;
  uintptr_t start = space_occupy(size);
  space_free(start, size);
  nbuf_range stretch = {start, start + (size - 1)};
  nbuf_range reserved[NBUF_OS_RESERVED_MAX];
  size_t count = nbuf_os_reserved(stretch, reserved);
  for (size_t i = 0; i < count; i++) {
    if (nbuf_range_overlaps(stretch, reserved[i])) {
      test_skip("the system puts everything where the program break or the stack grows into");
    }
  }
  return start + size / 2;
}

#endif
