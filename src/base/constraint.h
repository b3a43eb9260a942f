/* What a request requires of memory, in the address space of any process: addresses have 64 bits
 * even where the program or the process has narrower ones. Both libraries use it: nearbuf for its
 * own process, nearbuf_process for other processes. No system calls.
 *
 *            range.min                                    range.max
 *   ------------|---------------------------------------------|--------
 *        base   .    start                  limit             .
 *   ----[=======.====|######################|]----------------.--------   a buffer; = is used
 *
 * A buffer fits if `size` bytes from `start`, the first aligned address behind the used bytes, end
 * at or before `limit`, which is the end of the buffer or of the range, whichever comes first. */
#ifndef NBUF_CONSTRAINT_H
#define NBUF_CONSTRAINT_H

#include <stdbool.h>
#include <stdint.h>

#include <nearbuf/nearbuf.h>

#include "base/compiler.h"
#include "base/placement.h"
#include "base/unshared.h"

typedef struct nbuf_constraint {
  uint64_t min; /* every byte lies in [min, max] */
  uint64_t max;
  uint64_t alignment;    /* of the first byte: a power of two */
  uint64_t size;         /* no buffer fits 0, or more than a buffer can hold */
  bool may_waste_prefix; /* use room above `min` although what lies below it is lost */
  bool must_end_inside;  /* only buffers that end in the range: the holder may use all of them */
  uint8_t only_dialect;  /* a nearbuf_dialect, or 0: any */
} nbuf_constraint;

/* Memory for data is aligned at least to a cache line. */
NBUF_FORCEINLINE uint64_t nbuf_alignment_for(uint64_t alignment, uint32_t flags) {
  return (flags & NEARBUF_DATA) != 0 && alignment < NBUF_CACHE_LINE ? NBUF_CACHE_LINE : alignment;
}

/* Whether memory that starts at `address` is as near to the target as the request prefers. */
NBUF_FORCEINLINE bool nbuf_is_near(uintptr_t address, uintptr_t target, uintptr_t near_bytes) {
  /* One comparison for both sides; a doubled distance that wraps only makes it stricter. */
  return near_bytes == 0 || address - target + near_bytes <= 2 * near_bytes;
}

/* Whether the free part of a buffer, of which `position` bytes are used, is large enough. If so,
 * returns the offsets in the buffer of the first byte and of the end of the usable part. A range
 * that ends inside the buffer does not prevent a fit. Other modules store positions, and one can
 * lie far behind the size: then the start lies behind the last byte, or before the buffer if the
 * sum wrapped. */
NBUF_FORCEINLINE bool nbuf_constraint_fits(const nbuf_constraint *constraint, uint64_t base,
                                           uint32_t size, uint32_t position, uint32_t *start,
                                           uint32_t *limit) {
  uint64_t last = base + size - 1;
  uint64_t free_from = base + position;
  if (free_from < constraint->min) {
    if (!constraint->may_waste_prefix || position >= size) {
      return false;
    }
    free_from = constraint->min;
  }
  last = constraint->max < last ? constraint->max : last;
  uint64_t first = (free_from + (constraint->alignment - 1)) & ~(constraint->alignment - 1);
  if (first < base || first > last || last - first < constraint->size - 1) {
    return false;
  }
  *start = (uint32_t)(first - base);
  *limit = (uint32_t)(last - base) + 1;
  return true;
}

/* Checks the numbers of a request: OK, or INVALID_SIZE, INVALID_ALIGNMENT, INVALID_RANGE, or
 * RANGE_TOO_SMALL if no place in the range could ever hold it. */
nearbuf_status nbuf_constraint_check(const nbuf_constraint *constraint);

/* The constraint of a request with these flags. */
NBUF_FORCEINLINE nbuf_constraint nbuf_request_constraint(const nearbuf_request *request,
                                                         uint32_t flags) {
  nbuf_constraint constraint = {.min = request->range.min,
                                .max = request->range.max,
                                .alignment = nbuf_alignment_for(request->alignment_bytes, flags),
                                .size = request->size_bytes};
  return constraint;
}

/* Checks a request: OK, or the status that nearbuf_get returns for it. */
nearbuf_status nbuf_request_check(const nearbuf_request *request);

/* Whether the range has an aligned start from which `size` bytes lie inside. */
bool nbuf_constraint_has_place(const nbuf_constraint *constraint, uint64_t size,
                               uint64_t alignment);

/* The part of the range in which memory is near to the target: a request tries that part first,
 * then all of its range. False: there is no such part, or it is all of the range. */
bool nbuf_constraint_narrow(const nbuf_constraint *constraint, uint64_t target, uint64_t near_bytes,
                            nbuf_constraint *near_part);

/* The region that a new buffer for it needs, of whole granules and no more than that. False: the
 * size cannot be rounded up to granules, or the range lies above all addresses of this program. */
bool nbuf_constraint_need(const nbuf_constraint *constraint, uint64_t target, uintptr_t granularity,
                          nbuf_gap_request *gap_request);

/* The offset at which the next bytes may be placed after data that will be written often and ends
 * at `position` in the buffer at `address`: its last cache line is left to it alone. */
uint32_t nbuf_line_end(uint64_t address, uint32_t size, uint32_t position);

#endif
