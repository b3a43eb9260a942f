/* Ranges that instructions reach: the edges, by arithmetic. tests/api/jumps.c has real ones.
 *
 * A displacement is checked as the processor sees it: from the end of the instruction on x86, from
 * its start on AArch64. */
#include <stdbool.h>

#include "test.h"

enum { LONGEST_INSTRUCTION = 32, MOST_BEHIND = 32 };

static const nearbuf_range targets[] = {
    {0x200000000, 0x200000000}, {0x200000000, 0x20012345f}, {0x7f1234567abc, 0x7f1234567abc}};
enum { TARGETS = sizeof targets / sizeof targets[0] };

static nearbuf_range reach_of(nearbuf_range target, nearbuf_reach reach) {
  nearbuf_range range = {0, 0};
  CHECK_OK(nearbuf_range_within_reach(&target, 1, reach, &range));
  CHECK(range.min <= range.max);
  return range;
}

static void check_range(uintptr_t min, uintptr_t max, nearbuf_range range) {
  CHECK_EQUAL(min, range.min);
  CHECK_EQUAL(max, range.max);
}

static void needs_64_bits(void) {
  if (sizeof(void *) == 4) {
    test_skip("in 32 bits every address is within reach");
  }
}

/* Whether `to - end` encodes in 32 bits. */
static bool rel32_encodes(uintptr_t end, uintptr_t to) {
  int64_t distance = (intptr_t)(to - end);
  return distance >= INT32_MIN && distance <= INT32_MAX;
}

/* Every jump that the header promises, for one byte of the range. */
static bool rel32_serves(nearbuf_range target, uintptr_t byte) {
  bool forth =
      rel32_encodes(target.min + 1, byte) && rel32_encodes(target.max + LONGEST_INSTRUCTION, byte);
  bool back = rel32_encodes(byte + 1, target.min) &&
              rel32_encodes(byte + LONGEST_INSTRUCTION, target.min) &&
              rel32_encodes(byte + 1, target.max + MOST_BEHIND);
  return forth && back;
}

TEST(rel32_has_the_documented_edges) {
  if (sizeof(void *) == 4) {
    nearbuf_range high = {0xfffff000, 0xfffff000};
    check_range(0, UINTPTR_MAX, reach_of(high, NEARBUF_REACH_X86_REL32));
    return;
  }
  for (int i = 0; i < TARGETS; i++) {
    nearbuf_range range = reach_of(targets[i], NEARBUF_REACH_X86_REL32);
    check_range(targets[i].max + 32 - 0x80000000, targets[i].min + 0x7fffffff, range);
  }
}

TEST(rel32_jumps_encode_at_both_edges_and_just_beyond_one_does_not) {
  needs_64_bits();
  for (int i = 0; i < TARGETS; i++) {
    nearbuf_range range = reach_of(targets[i], NEARBUF_REACH_X86_REL32);
    CHECK(rel32_serves(targets[i], range.min));
    CHECK(!rel32_serves(targets[i], range.min - 1));
    /* The jump back stands in the buffer, so its end lies inside the range, too. */
    CHECK(rel32_encodes(targets[i].min + 5, range.max));
    CHECK(rel32_encodes(range.max + 1, targets[i].min));
    CHECK(!rel32_encodes(range.max + 2, targets[i].min));
  }
}

static bool branch26_encodes(uintptr_t from, uintptr_t to) {
  int64_t distance = (intptr_t)(to - from);
  return distance % 4 == 0 && distance >= -(1 << 27) && distance <= (1 << 27) - 4;
}

TEST(branches_of_arm64_have_the_documented_edges) {
  check_range(0x20001000 + 36 - 0x8000000, 0x20000000 + 0x8000000 - 1,
              reach_of((nearbuf_range){0x20000000, 0x20001000}, NEARBUF_REACH_ARM64_BRANCH));
}

TEST(branches_of_arm64_encode_at_both_edges) {
  const nearbuf_range target = {0x20000000, 0x20001000};
  nearbuf_range range = reach_of(target, NEARBUF_REACH_ARM64_BRANCH);
  uintptr_t highest = range.max & ~(uintptr_t)3;
  uintptr_t lowest = (range.min + 3) & ~(uintptr_t)3;
  CHECK(branch26_encodes(target.min, highest));
  CHECK(branch26_encodes(highest, target.min));
  CHECK(!branch26_encodes(target.min, highest + 4));
  CHECK(branch26_encodes(target.max + LONGEST_INSTRUCTION, lowest));
  CHECK(branch26_encodes(lowest, target.max + MOST_BEHIND));
  CHECK(!branch26_encodes(lowest - 4, target.max + MOST_BEHIND));
}

TEST(branches_of_arm64_count_from_the_instruction_around_an_odd_target) {
  for (uintptr_t i = 1; i < 4; i++) {
    const nearbuf_range target = {0x20000000 + i, 0x20000000 + i};
    nearbuf_range odd = reach_of(target, NEARBUF_REACH_ARM64_BRANCH);
    check_range(0x20000004 + 36 - 0x8000000, 0x20000000 + 0x8000000 - 1, odd);
  }
}

static bool adrp_encodes(uintptr_t from, uintptr_t to) {
  int64_t pages = ((int64_t)(to & ~(uintptr_t)4095) - (int64_t)(from & ~(uintptr_t)4095)) / 4096;
  return pages >= -(1 << 20) && pages < 1 << 20;
}

TEST(page_addresses_of_arm64_are_counted_from_the_page) {
  needs_64_bits();
  const nearbuf_range target = {0x7f1234567abc, 0x7f1234567fe0};
  nearbuf_range range = reach_of(target, NEARBUF_REACH_ARM64_PAGE);
  check_range(0x7f1234568000 - NEARBUF_4_GIB + 4096, 0x7f1234567000 + NEARBUF_4_GIB - 1, range);
  CHECK(adrp_encodes(target.min, range.max));
  CHECK(adrp_encodes(range.max, target.min));
  CHECK(!adrp_encodes(target.min, range.max + 1));
  CHECK(adrp_encodes(target.max + LONGEST_INSTRUCTION, range.min));
  CHECK(adrp_encodes(range.min, target.max + MOST_BEHIND));
  CHECK(!adrp_encodes(range.min - 1, target.max + MOST_BEHIND));
}

TEST(pages_of_arm64_have_one_reach_wherever_the_target_lies_in_them) {
  needs_64_bits();
  static const nearbuf_range targets_in[] = {{0x7f1234567000, 0x7f1234567000},
                                             {0x7f1234567001, 0x7f1234567001},
                                             {0x7f1234567002, 0x7f1234567002},
                                             {0x7f1234567800, 0x7f1234567800},
                                             {0x7f1234567fdf, 0x7f1234567fdf}};
  for (size_t i = 0; i < sizeof targets_in / sizeof targets_in[0]; i++) {
    check_range(0x7f1234567000 - NEARBUF_4_GIB + 4096, 0x7f1234567000 + NEARBUF_4_GIB - 1,
                reach_of(targets_in[i], NEARBUF_REACH_ARM64_PAGE));
  }
}

TEST(a_target_that_leaves_a_single_address_in_reach_has_that) {
  needs_64_bits();
  const nearbuf_range target = {NEARBUF_4_GIB, 2 * NEARBUF_4_GIB - 33};
  const uintptr_t only = NEARBUF_4_GIB + NEARBUF_2_GIB - 1;
  check_range(only, only, reach_of(target, NEARBUF_REACH_X86_REL32));
}

TEST(reach_ends_with_the_address_space) {
  needs_64_bits();
  const nearbuf_reach kinds[] = {NEARBUF_REACH_X86_REL32, NEARBUF_REACH_ARM64_BRANCH,
                                 NEARBUF_REACH_ARM64_PAGE};
  for (int i = 0; i < 3; i++) {
    CHECK_EQUAL(0, reach_of((nearbuf_range){0x1000, 0x1000}, kinds[i]).min);
    CHECK_EQUAL(UINTPTR_MAX, reach_of((nearbuf_range){UINTPTR_MAX, UINTPTR_MAX}, kinds[i]).max);
  }
}

TEST(the_native_jump_is_that_of_the_processor) {
  const nearbuf_range target = {0x40000000, 0x40000fff};
  nearbuf_range native = reach_of(target, NEARBUF_REACH_JUMP);
#if defined(__x86_64__) || defined(__i386__)
  nearbuf_range expected = reach_of(target, NEARBUF_REACH_X86_REL32);
#elif defined(__aarch64__)
  nearbuf_range expected = reach_of(target, NEARBUF_REACH_ARM64_BRANCH);
#else
  nearbuf_range expected = {0, UINTPTR_MAX};
#endif
  check_range(expected.min, expected.max, native);
}

TEST(several_targets_share_the_intersection) {
  needs_64_bits();
  const nearbuf_range modules[] = {{0x200000000, 0x200000fff}, {0x230000000, 0x230000fff}};
  nearbuf_range range;
  CHECK_OK(nearbuf_range_within_reach(modules, 2, NEARBUF_REACH_X86_REL32, &range));
  check_range(0x230000fff + 32 - 0x80000000, 0x200000000 + 0x7fffffff, range);
}

TEST(targets_that_share_a_single_byte_get_that_byte) {
  needs_64_bits();
  const uintptr_t first = 0x200000000;
  nearbuf_range pair[] = {{first, first}, {first + 0x100000000 - 33, first + 0x100000000 - 33}};
  nearbuf_range range;
  CHECK_OK(nearbuf_range_within_reach(pair, 2, NEARBUF_REACH_X86_REL32, &range));
  check_range(first + 0x7fffffff, first + 0x7fffffff, range);
  pair[1].min++;
  pair[1].max++;
  CHECK_STATUS(NEARBUF_NO_ROOM,
               nearbuf_range_within_reach(pair, 2, NEARBUF_REACH_X86_REL32, &range));
  check_range(0, 0, range);
}

TEST(a_target_longer_than_the_reach_has_no_room) {
  needs_64_bits();
  const nearbuf_range huge = {0x100000000, 0x400000000};
  nearbuf_range range;
  CHECK_STATUS(NEARBUF_NO_ROOM,
               nearbuf_range_within_reach(&huge, 1, NEARBUF_REACH_X86_REL32, &range));
  CHECK_STATUS(NEARBUF_NO_ROOM,
               nearbuf_range_within_reach(&huge, 1, NEARBUF_REACH_ARM64_BRANCH, &range));
  CHECK_STATUS(NEARBUF_NO_ROOM,
               nearbuf_range_within_reach(&huge, 1, NEARBUF_REACH_ARM64_PAGE, &range));
  check_range(0, 0, range);
}

TEST(wrong_arguments_leave_an_empty_range) {
  nearbuf_range target = {0x1000, 0x1000};
  nearbuf_range reversed[] = {{0x1000, 0x1000}, {0x2001, 0x2000}};
  nearbuf_range range = {1, 2};
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT,
               nearbuf_range_within_reach(&target, 1, NEARBUF_REACH_JUMP, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT,
               nearbuf_range_within_reach(NULL, 1, NEARBUF_REACH_JUMP, &range));
  check_range(0, 0, range);
  range = (nearbuf_range){1, 2};
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT,
               nearbuf_range_within_reach(&target, 0, NEARBUF_REACH_JUMP, &range));
  check_range(0, 0, range);
  range = (nearbuf_range){1, 2};
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT,
               nearbuf_range_within_reach(&target, 1, (nearbuf_reach)4, &range));
  check_range(0, 0, range);
  range = (nearbuf_range){1, 2};
  CHECK_STATUS(NEARBUF_INVALID_RANGE,
               nearbuf_range_within_reach(reversed, 2, NEARBUF_REACH_JUMP, &range));
  check_range(0, 0, range);
}

TEST(a_limit_excludes_itself) {
  nearbuf_range range;
  CHECK_OK(nearbuf_range_below(NEARBUF_2_GIB, &range));
  check_range(0, 0x7fffffff, range);
  CHECK_OK(nearbuf_range_below(NEARBUF_4_GIB, &range));
  check_range(0, 0xffffffff, range);
  CHECK_OK(nearbuf_range_below(1, &range));
  check_range(0, 0, range);
  CHECK_OK(nearbuf_range_below(UINT64_MAX, &range));
  check_range(0, sizeof(void *) == 8 ? (uintptr_t)(UINT64_MAX - 1) : UINTPTR_MAX, range);
}

TEST(a_limit_of_nothing_is_an_invalid_range) {
  nearbuf_range range = {1, 2};
  CHECK_STATUS(NEARBUF_INVALID_RANGE, nearbuf_range_below(0, &range));
  check_range(0, 0, range);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_range_below(NEARBUF_2_GIB, NULL));
}

TEST(a_request_near_a_target_asks_for_its_reach) {
  nearbuf_request request;
  const void *target = (const void *)(uintptr_t)0x40000010;
  CHECK_OK(nearbuf_request_near(target, 123, &request));
  nearbuf_range range = reach_of((nearbuf_range){0x40000010, 0x40000010}, NEARBUF_REACH_JUMP);
  CHECK_EQUAL(sizeof request, request.struct_size);
  check_range(range.min, range.max, request.range);
  CHECK_EQUAL(123, request.size_bytes);
  CHECK_EQUAL(16, request.alignment_bytes);
  CHECK_EQUAL(0x40000010, request.target);
  CHECK_EQUAL(0, request.flags);
  uintptr_t upwards = range.max - 0x40000010; /* as far as the instruction reaches */
  CHECK_EQUAL(range.max == UINTPTR_MAX ? 0 : (upwards + 1) / 4, request.near_bytes);
}

TEST(a_request_near_nothing_is_refused_and_zero) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_request_near(NULL, 1, &request));
  CHECK_EQUAL(0, request.struct_size);
  CHECK_EQUAL(0, request.range.max);
  CHECK_EQUAL(0, request.alignment_bytes);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_request_near(&request, 1, NULL));
}

/* ---- Groups ---------------------------------------------------------------------------------- */

static nearbuf_range group_of(const nearbuf_range *all, size_t count, nearbuf_reach reach) {
  nearbuf_range range = {0, 0};
  CHECK_OK(nearbuf_range_for_group(all, count, reach, &range));
  CHECK(range.min <= range.max);
  return range;
}

TEST(in_a_group_the_first_and_the_last_byte_reach_each_other_and_the_target) {
  needs_64_bits();
  for (int i = 0; i < TARGETS; i++) {
    nearbuf_range range = group_of(&targets[i], 1, NEARBUF_REACH_X86_REL32);
    CHECK(rel32_serves(targets[i], range.min));
    CHECK(rel32_serves(targets[i], range.max));
    CHECK(rel32_encodes(range.min + 1, range.max));
    CHECK(rel32_encodes(range.max + LONGEST_INSTRUCTION, range.min));
    CHECK(range.max - range.min > NEARBUF_2_GIB - (targets[i].max - targets[i].min) - 4096);

    range = group_of(&targets[i], 1, NEARBUF_REACH_ARM64_PAGE);
    CHECK(adrp_encodes(range.min, range.max) && adrp_encodes(range.max, range.min));
    CHECK(adrp_encodes(range.min, targets[i].max) && adrp_encodes(range.max, targets[i].min));
  }
  nearbuf_range range = group_of(&targets[0], 1, NEARBUF_REACH_ARM64_BRANCH);
  CHECK(branch26_encodes(range.min, range.max & ~(uintptr_t)3));
  CHECK(branch26_encodes(range.max & ~(uintptr_t)3, range.min));
  CHECK(branch26_encodes(range.max & ~(uintptr_t)3, targets[0].min));
}

TEST(a_group_with_targets_as_far_apart_as_the_reach_has_no_room) {
  needs_64_bits();
  nearbuf_range far[] = {{0x200000000, 0x200000000}, {0x280000000, 0x280000000}};
  nearbuf_range range = {1, 2};
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_range_for_group(far, 2, NEARBUF_REACH_X86_REL32, &range));
  check_range(0, 0, range);
  far[1].min = far[1].max = 0x240000000;
  range = group_of(far, 2, NEARBUF_REACH_X86_REL32);
  CHECK(rel32_serves(far[0], range.max) && rel32_serves(far[1], range.min));
}

TEST(a_group_where_all_addresses_are_within_reach_is_everything) {
  nearbuf_range target = {0x40000010, 0x40000010};
  if (sizeof(void *) == 4) {
    check_range(0, UINTPTR_MAX, group_of(&target, 1, NEARBUF_REACH_X86_REL32));
    check_range(0, UINTPTR_MAX, group_of(&target, 1, NEARBUF_REACH_ARM64_PAGE));
  }
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT,
               nearbuf_range_for_group(&target, 1, NEARBUF_REACH_JUMP, NULL));
}
