/* Address ranges; see range.h. */
#include "base/range.h"

bool nb_range_intersect(nb_range a, nb_range b, nb_range *common) {
  common->min = a.min > b.min ? a.min : b.min;
  common->max = a.max < b.max ? a.max : b.max;
  return common->min <= common->max;
}

bool nb_range_fit_lowest(nb_range range, uintptr_t size, uintptr_t alignment, uintptr_t *start) {
  return nb_align_up(range.min, alignment, start) && nb_range_holds(range, *start, size);
}

bool nb_range_fit_highest(nb_range range, uintptr_t size, uintptr_t alignment, uintptr_t *start) {
  if (range.max < range.min || size - 1 > range.max - range.min) {
    return false;
  }
  *start = nb_align_down(range.max - (size - 1), alignment);
  return *start >= range.min;
}
