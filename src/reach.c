/* Ranges that instructions reach, and requests made from them. Arithmetic only; the bounds are
 * derived in nearbuf.h, at nearbuf_reach. */
#include "range.h"

/* What an instruction that is copied away from a target, or a patch over it, may span. */
enum { LONGEST_PATCH = 32 };

static const uintptr_t rel32_span = (uintptr_t)1 << 31;
static const uintptr_t branch26_span = (uintptr_t)1 << 27;

static nb_range everything(void) {
  nb_range all = {0, UINTPTR_MAX};
  return all;
}

static nb_range reach_rel32(nb_range target) {
  if (sizeof(uintptr_t) == 4) {
    return everything();
  }
  nb_range range = {nb_sub_saturating(nb_add_saturating(target.max, LONGEST_PATCH), rel32_span),
                    nb_add_saturating(target.min, rel32_span - 1)};
  return range;
}

static nb_range reach_branch26(nb_range target) {
  /* Code starts at multiples of 4; a target that does not is counted from both neighbours. */
  uintptr_t last = nb_align_down(nb_add_saturating(target.max, 3), 4);
  uintptr_t first = nb_align_down(target.min, 4);
  nb_range range = {nb_sub_saturating(nb_add_saturating(last, LONGEST_PATCH + 4), branch26_span),
                    nb_add_saturating(first, branch26_span - 1)};
  return range;
}

static nb_range reach_adrp(nb_range target) {
  if (sizeof(uintptr_t) == 4) {
    return everything();
  }
  uintptr_t last = nb_align_down(nb_add_saturating(target.max, LONGEST_PATCH), 4096);
  uintptr_t first = nb_align_down(target.min, 4096);
  nb_range range = {nb_sub_saturating(last, (uintptr_t)(NEARBUF_4_GIB - 4096)),
                    nb_add_saturating(first, (uintptr_t)(NEARBUF_4_GIB - 1))};
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

static nb_range reach_of(nb_range target, nearbuf_reach reach) {
  switch (reach == NEARBUF_REACH_JUMP ? native_reach() : reach) {
  case NEARBUF_REACH_X86_REL32:
    return reach_rel32(target);
  case NEARBUF_REACH_ARM64_BRANCH:
    return reach_branch26(target);
  case NEARBUF_REACH_ARM64_PAGE:
    return reach_adrp(target);
  case NEARBUF_REACH_JUMP:
  default:
    return everything();
  }
}

nearbuf_status nearbuf_range_within_reach(const nearbuf_range *targets, size_t count,
                                          nearbuf_reach reach, nearbuf_range *range) {
  if (range == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *range = (nearbuf_range){0, 0};
  if (targets == NULL || count == 0 || (unsigned)reach > NEARBUF_REACH_ARM64_PAGE) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nb_range common = everything();
  bool all_reached = true;
  for (size_t i = 0; i < count; i++) {
    if (targets[i].min > targets[i].max) {
      return NEARBUF_INVALID_RANGE;
    }
    nb_range one = reach_of(targets[i], reach);
    all_reached = all_reached && one.min <= one.max && nb_range_intersect(common, one, &common);
  }
  if (!all_reached) {
    return NEARBUF_NO_ROOM;
  }
  *range = common;
  return NEARBUF_OK;
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
  *request = near_target;
  return nearbuf_range_within_reach(&point, 1, NEARBUF_REACH_JUMP, &request->range);
}
