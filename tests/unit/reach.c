/* Ranges that instructions reach: the edges, by arithmetic. tests/process has them with real jumps. */
#include "test.h"

static nearbuf_range reach_of(uintptr_t first, uintptr_t last, nearbuf_reach reach) {
  nearbuf_range target = {first, last};
  nearbuf_range range;
  CHECK_OK(nearbuf_range_within_reach(&target, 1, reach, &range));
  return range;
}

TEST(targets_too_far_apart_have_no_room_in_common) {
  if (sizeof(void *) == 4) {
    test_skip("every address is within reach in 32 bits");
  }
  nearbuf_range targets[2] = {
      {0x10000, 0x10000}, {(uintptr_t)0x10000 + (1ull << 33), (uintptr_t)0x20000 + (1ull << 33)}};
  nearbuf_range range;
  CHECK_STATUS(NEARBUF_NO_ROOM,
               nearbuf_range_within_reach(targets, 2, NEARBUF_REACH_X86_REL32, &range));
  CHECK_EQUAL(0, range.min);
  CHECK_EQUAL(0, range.max);
}

TEST(branches_of_arm64_reach_128_mib) {
  nearbuf_range range = reach_of(0x20000000, 0x20001000, NEARBUF_REACH_ARM64_BRANCH);
  CHECK_EQUAL(0x20001000 + 36 - 0x8000000, range.min);
  CHECK_EQUAL(0x20000000 + 0x8000000 - 1, range.max);
}
