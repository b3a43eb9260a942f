/* Address ranges; see range.h. */
#include "base/range.h"

bool nbuf_range_intersect(nbuf_range a, nbuf_range b, nbuf_range *common) {
  common->min = a.min > b.min ? a.min : b.min;
  common->max = a.max < b.max ? a.max : b.max;
  return common->min <= common->max;
}

bool nbuf_range_fit_lowest(nbuf_range range, uintptr_t size, uintptr_t alignment,
                           uintptr_t *start) {
  return nbuf_align_up(range.min, alignment, start) && nbuf_range_holds(range, *start, size);
}

bool nbuf_range_fit_highest(nbuf_range range, uintptr_t size, uintptr_t alignment,
                            uintptr_t *start) {
  if (range.max < range.min || size - 1 > range.max - range.min) {
    return false;
  }
  *start = nbuf_align_down(range.max - (size - 1), alignment);
  return *start >= range.min;
}
