/* Address ranges: arithmetic that saturates instead of wrapping. No system calls.
 *
 * A range is inclusive at both ends, so that it can end at the highest address. There is no empty
 * range: functions that might produce one return whether they produced a range. */
#ifndef NBUF_RANGE_H
#define NBUF_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nearbuf/nearbuf.h>

typedef nearbuf_range nbuf_range;

static inline bool nbuf_is_power_of_two(uintptr_t value) {
  return value != 0 && (value & (value - 1)) == 0;
}

static inline uintptr_t nbuf_add_saturating(uintptr_t value, uintptr_t more) {
  return value > UINTPTR_MAX - more ? UINTPTR_MAX : value + more;
}

static inline uintptr_t nbuf_sub_saturating(uintptr_t value, uintptr_t less) {
  return value < less ? 0 : value - less;
}

static inline uintptr_t nbuf_align_down(uintptr_t value, uintptr_t alignment) {
  return value & ~(alignment - 1);
}

/* Rounds up to a multiple of `alignment`, a power of two; false if the result overflows. */
static inline bool nbuf_align_up(uintptr_t value, uintptr_t alignment, uintptr_t *aligned) {
  *aligned = nbuf_align_down(value + (alignment - 1), alignment);
  return *aligned >= value;
}

/* A shift, since compilers warn in 32 bits that a comparison with the number is always false. */
static inline bool nbuf_is_beyond_4_gib(uintptr_t address) {
  return (uint64_t)address >> 32 != 0;
}

static inline uintptr_t nbuf_distance(uintptr_t a, uintptr_t b) {
  return a < b ? b - a : a - b;
}

/* Whether `size` bytes, 1 or more, from `start` lie entirely inside. */
static inline bool nbuf_range_holds(nbuf_range range, uintptr_t start, uintptr_t size) {
  return start >= range.min && start <= range.max && size - 1 <= range.max - start;
}

static inline bool nbuf_range_overlaps(nbuf_range a, nbuf_range b) {
  return a.min <= b.max && b.min <= a.max;
}

/* The common part of two ranges; false where there is none. */
static inline bool nbuf_range_intersect(nbuf_range a, nbuf_range b, nbuf_range *common) {
  common->min = a.min > b.min ? a.min : b.min;
  common->max = a.max < b.max ? a.max : b.max;
  return common->min <= common->max;
}

/* The lowest and the highest multiple of `alignment` at which `size` bytes lie entirely inside;
 * false if there is none. `alignment` is a power of two, `size` is 1 or more. */
static inline bool nbuf_range_fit_lowest(nbuf_range range, uintptr_t size, uintptr_t alignment,
                                         uintptr_t *start) {
  return nbuf_align_up(range.min, alignment, start) && nbuf_range_holds(range, *start, size);
}

static inline bool nbuf_range_fit_highest(nbuf_range range, uintptr_t size, uintptr_t alignment,
                                          uintptr_t *start) {
  if (range.max < range.min || size - 1 > range.max - range.min) {
    return false;
  }
  *start = nbuf_align_down(range.max - (size - 1), alignment);
  return *start >= range.min;
}

#endif
