/* Ranges that instructions reach, and requests made from them. Arithmetic only; the bounds are
 * derived in nearbuf.h, at nearbuf_reach. */
#include "base/range.h"

/* The bytes that an instruction copied away from a target, or a patch over it, may span. */
enum { LONGEST_PATCH = 32 };

/* How far an instruction reaches in each direction. */
static const uintptr_t rel32_span = (uintptr_t)1 << 31;
static const uintptr_t branch26_span = (uintptr_t)1 << 27;
static const uintptr_t adrp_span = (uintptr_t)(NEARBUF_4_GIB & UINTPTR_MAX); /* 0 in 32 bits */

static nbuf_range everything(void) {
  nbuf_range all = {0, UINTPTR_MAX};
  return all;
}

/* The addresses that instructions of a target with this span reach, and that reach it. */
static nbuf_range around_rel32(nbuf_range target, uintptr_t span) {
  nbuf_range range = {nbuf_sub_saturating(nbuf_add_saturating(target.max, LONGEST_PATCH), span),
                      nbuf_add_saturating(target.min, span - 1)};
  return range;
}

static nbuf_range around_branch26(nbuf_range target, uintptr_t span) {
  /* Code starts at multiples of 4; a target that does not is counted from both neighbours. */
  uintptr_t last = nbuf_align_down(nbuf_add_saturating(target.max, 3), 4);
  uintptr_t first = nbuf_align_down(target.min, 4);
  nbuf_range range = {nbuf_sub_saturating(nbuf_add_saturating(last, LONGEST_PATCH + 4), span),
                      nbuf_add_saturating(first, span - 1)};
  return range;
}

static nbuf_range around_adrp(nbuf_range target, uintptr_t span) {
  uintptr_t last = nbuf_align_down(nbuf_add_saturating(target.max, LONGEST_PATCH), 4096);
  uintptr_t first = nbuf_align_down(target.min, 4096);
  nbuf_range range = {nbuf_sub_saturating(last, span - 4096), nbuf_add_saturating(first, span - 1)};
  return range;
}

static nearbuf_reach native_reach(void) {
#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)
  return NEARBUF_REACH_X86_REL32;
#elif defined(__aarch64__) || defined(_M_ARM64)
  return NEARBUF_REACH_ARM64_BRANCH;
#else
  return NEARBUF_REACH_JUMP;
#endif
}

/* The addresses within the reach of a target, or within 1/`part` of it. */
static nbuf_range reach_of(nbuf_range target, nearbuf_reach reach, uintptr_t part) {
  bool is_narrow = sizeof(uintptr_t) == 4; /* displacements of 32 bits wrap around */
  switch (reach == NEARBUF_REACH_JUMP ? native_reach() : reach) {
  case NEARBUF_REACH_X86_REL32:
    return is_narrow ? everything() : around_rel32(target, rel32_span / part);
  case NEARBUF_REACH_ARM64_BRANCH:
    return around_branch26(target, branch26_span / part);
  case NEARBUF_REACH_ARM64_PAGE:
    return is_narrow ? everything() : around_adrp(target, adrp_span / part);
  case NEARBUF_REACH_JUMP:
  default:
    return everything();
  }
}

/* The addresses within 1/`part` of the reach of every target. */
static nearbuf_status common_reach(const nearbuf_range *targets, size_t count, nearbuf_reach reach,
                                   uintptr_t part, nearbuf_range *range) {
  if (range == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *range = (nearbuf_range){0, 0};
  if (targets == NULL || count == 0 || (unsigned)reach > NEARBUF_REACH_ARM64_PAGE) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nbuf_range common = everything();
  bool all_reached = true;
  for (size_t i = 0; i < count; i++) {
    if (targets[i].min > targets[i].max) {
      return NEARBUF_INVALID_RANGE;
    }
    nbuf_range one = reach_of(targets[i], reach, part);
    all_reached = all_reached && one.min <= one.max && nbuf_range_intersect(common, one, &common);
  }
  if (!all_reached) {
    return NEARBUF_NO_ROOM;
  }
  *range = common;
  return NEARBUF_OK;
}

nearbuf_status nearbuf_range_within_reach(const nearbuf_range *targets, size_t count,
                                          nearbuf_reach reach, nearbuf_range *range) {
  return common_reach(targets, count, reach, 1, range);
}

/* Two addresses that are both within half the reach of one target are within the reach of each
 * other: the lower bound leaves room for the instruction that jumps down from the upper one. */
nearbuf_status nearbuf_range_for_group(const nearbuf_range *targets, size_t count,
                                       nearbuf_reach reach, nearbuf_range *range) {
  return common_reach(targets, count, reach, 2, range);
}

nearbuf_status nearbuf_range_below(uint64_t limit, nearbuf_range *range) {
  if (range == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *range = (nearbuf_range){0, 0};
  if (limit == 0) {
    return NEARBUF_INVALID_RANGE;
  }
  range->max = limit - 1 > UINTPTR_MAX ? UINTPTR_MAX : (uintptr_t)(limit - 1);
  return NEARBUF_OK;
}

/* How near memory should be to its target, since code copied from there refers to its
 * neighbourhood. */
static uintptr_t near_bytes(void) {
  switch (native_reach()) {
  case NEARBUF_REACH_X86_REL32:
    return sizeof(uintptr_t) == 4 ? 0 : rel32_span / 4;
  case NEARBUF_REACH_ARM64_BRANCH:
    return branch26_span / 4;
  default:
    return 0;
  }
}

nearbuf_status nearbuf_request_near(const void *target, size_t size_bytes,
                                    nearbuf_request *request) {
  if (request == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *request = (nearbuf_request){0};
  if (target == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nearbuf_request near_target = NEARBUF_REQUEST_INIT;
  nearbuf_range point = {(uintptr_t)target, (uintptr_t)target};
  near_target.size_bytes = size_bytes;
  near_target.target = point.min;
  near_target.near_bytes = near_bytes();
  *request = near_target;
  return nearbuf_range_within_reach(&point, 1, NEARBUF_REACH_JUMP, &request->range);
}
