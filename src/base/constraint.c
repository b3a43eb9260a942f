/* What a request demands of memory; see constraint.h. */
#include "base/constraint.h"

#include <stddef.h>

static uint64_t add_saturating(uint64_t value, uint64_t more) {
  return value > UINT64_MAX - more ? UINT64_MAX : value + more;
}

/* Rounds up to a multiple of `alignment`, a power of two; false if the result overflows. */
static bool round_up(uint64_t value, uint64_t alignment, uint64_t *rounded) {
  *rounded = (value + (alignment - 1)) & ~(alignment - 1);
  return *rounded >= value;
}

bool nbuf_constraint_has_place(const nbuf_constraint *constraint, uint64_t size,
                               uint64_t alignment) {
  uint64_t start;
  return round_up(constraint->min, alignment, &start) && start <= constraint->max &&
         size - 1 <= constraint->max - start;
}

nearbuf_status nbuf_constraint_check(const nbuf_constraint *constraint) {
  uint64_t alignment = constraint->alignment;
  if (constraint->size == 0 || constraint->size > UINT32_MAX) {
    return NEARBUF_INVALID_SIZE;
  }
  if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
    return NEARBUF_INVALID_ALIGNMENT;
  }
  if (constraint->min > constraint->max) {
    return NEARBUF_INVALID_RANGE;
  }
  return nbuf_constraint_has_place(constraint, constraint->size, alignment)
             ? NEARBUF_OK
             : NEARBUF_RANGE_TOO_SMALL;
}

nearbuf_status nbuf_request_check(const nearbuf_request *request) {
  if (request == NULL || request->struct_size != sizeof *request ||
      (request->flags & ~(uint32_t)NEARBUF_DATA) != 0) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nbuf_constraint constraint = nbuf_request_constraint(request, 0);
  return nbuf_constraint_check(&constraint);
}

bool nbuf_constraint_narrow(const nbuf_constraint *constraint, uint64_t target, uint64_t near_bytes,
                            nbuf_constraint *near_part) {
  uint64_t lowest = target < near_bytes ? 0 : target - near_bytes;
  uint64_t highest = add_saturating(add_saturating(target, near_bytes), constraint->size - 1);
  *near_part = *constraint;
  near_part->min = lowest > constraint->min ? lowest : constraint->min;
  near_part->max = highest < constraint->max ? highest : constraint->max;
  bool is_part = near_part->min != constraint->min || near_part->max != constraint->max;
  return target != 0 && near_bytes != 0 && near_part->min <= near_part->max && is_part;
}

bool nbuf_constraint_need(const nbuf_constraint *constraint, uint64_t target, uintptr_t granularity,
                          nbuf_gap_request *gap_request) {
  uint64_t least;
  uint64_t alignment = constraint->alignment > granularity ? constraint->alignment : granularity;
  uint64_t max = constraint->max < UINTPTR_MAX ? constraint->max : UINTPTR_MAX;
  *gap_request = (nbuf_gap_request){0};
  if (!round_up(constraint->size, granularity, &least) || least > UINTPTR_MAX ||
      alignment > UINTPTR_MAX || constraint->min > max) {
    return false;
  }
  gap_request->range = (nbuf_range){(uintptr_t)constraint->min, (uintptr_t)max};
  gap_request->least = (uintptr_t)least;
  gap_request->want = gap_request->least;
  gap_request->alignment = (uintptr_t)alignment;
  gap_request->granularity = granularity;
  gap_request->target = target < UINTPTR_MAX ? (uintptr_t)target : UINTPTR_MAX;
  return true;
}

uint32_t nbuf_line_end(uint64_t address, uint32_t size, uint32_t position) {
  uint64_t end;
  bool has_line = round_up(address + position, NBUF_CACHE_LINE, &end);
  return has_line && end - address <= size ? (uint32_t)(end - address) : size;
}
