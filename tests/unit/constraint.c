/* What a request demands: arithmetic in 64 bits, for address spaces of any width. */
#include "base/constraint.h"
#include "test.h"

static const uint64_t top = UINT64_MAX;

static nbuf_constraint constraint_of(uint64_t min, uint64_t max, uint64_t size,
                                     uint64_t alignment) {
  return (nbuf_constraint){.min = min, .max = max, .size = size, .alignment = alignment};
}

static void check_fits(const nbuf_constraint *constraint, uint64_t base, uint32_t size,
                       uint32_t position, uint32_t start, uint32_t limit) {
  uint32_t got_start = 0;
  uint32_t got_limit = 0;
  CHECK(nbuf_constraint_fits(constraint, base, size, position, &got_start, &got_limit));
  CHECK_EQUAL(start, got_start);
  CHECK_EQUAL(limit, got_limit);
}

static void check_fits_not(const nbuf_constraint *constraint, uint64_t base, uint32_t size,
                           uint32_t position) {
  uint32_t start = 7;
  uint32_t limit = 7;
  CHECK(!nbuf_constraint_fits(constraint, base, size, position, &start, &limit));
  CHECK_EQUAL(7, start);
  CHECK_EQUAL(7, limit);
}

TEST(what_is_wrong_with_the_numbers_of_a_request_is_told_apart) {
  struct {
    nbuf_constraint constraint;
    nearbuf_status status;
  } cases[] = {
      {constraint_of(0, top, 1, 1), NEARBUF_OK},
      {constraint_of(0, top, UINT32_MAX, 1), NEARBUF_OK},
      {constraint_of(top, top, 1, 1), NEARBUF_OK},
      {constraint_of(0, top, 0, 1), NEARBUF_INVALID_SIZE},
      {constraint_of(0, top, (uint64_t)UINT32_MAX + 1, 1), NEARBUF_INVALID_SIZE},
      {constraint_of(0, top, 1, 0), NEARBUF_INVALID_ALIGNMENT},
      {constraint_of(0, top, 1, 3), NEARBUF_INVALID_ALIGNMENT},
      {constraint_of(2, 1, 1, 1), NEARBUF_INVALID_RANGE},
      {constraint_of(10, 19, 11, 1), NEARBUF_RANGE_TOO_SMALL},
      {constraint_of(1, 16, 2, 16), NEARBUF_RANGE_TOO_SMALL},
      {constraint_of(top, top, 1, 2), NEARBUF_RANGE_TOO_SMALL},
      {constraint_of(2, 1, 0, 0), NEARBUF_INVALID_SIZE},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    CHECK_STATUS(cases[i].status, nbuf_constraint_check(&cases[i].constraint));
  }
}

TEST(a_buffer_fits_to_its_last_byte_and_to_the_last_byte_of_the_range) {
  nbuf_constraint constraint = constraint_of(0, top, 100, 16);
  check_fits(&constraint, 0x10000, 0x1000, 0, 0, 0x1000);
  check_fits(&constraint, 0x10000, 0x1000, 1, 16, 0x1000);
  check_fits(&constraint, 0x10000, 116, 1, 16, 116);
  check_fits_not(&constraint, 0x10000, 115, 1);
  constraint.max = 0x10000 + 16 + 99;
  check_fits(&constraint, 0x10000, 0x1000, 1, 16, 116);
  constraint.max--;
  check_fits_not(&constraint, 0x10000, 0x1000, 1);
}

TEST(a_buffer_whose_used_part_ends_before_the_range_fits_only_where_room_may_be_wasted) {
  nbuf_constraint constraint = constraint_of(0x10100, top, 16, 1);
  check_fits_not(&constraint, 0x10000, 0x1000, 0xff);
  check_fits(&constraint, 0x10000, 0x1000, 0x100, 0x100, 0x1000);
  constraint.may_waste_prefix = true;
  check_fits(&constraint, 0x10000, 0x1000, 0xff, 0x100, 0x1000);
  check_fits_not(&constraint, 0x10000, 0x1000, 0x1000);
}

TEST(one_byte_fits_in_the_last_one) {
  nbuf_constraint constraint = constraint_of(0x1000, 0xffff, 1, 1);
  uint32_t start;
  uint32_t limit;
  CHECK(nbuf_constraint_fits(&constraint, 0x2000, 0x1000, 0xfff, &start, &limit));
  CHECK_EQUAL(0xfff, start);
  CHECK_EQUAL(0x1000, limit);
}

TEST(a_full_buffer_and_a_position_behind_the_size_fit_nothing) {
  nbuf_constraint constraint = constraint_of(0, top, 1, 1);
  check_fits_not(&constraint, 0x10000, 0x1000, 0x1000);
  check_fits_not(&constraint, 0x10000, 0x1000, UINT32_MAX);
  check_fits_not(&constraint, top - 0xfff, 0x1000, 0x1001); /* the sum wraps */
}

TEST(buffers_at_the_top_of_64_bits_fit_in_a_program_of_any_width) {
  nbuf_constraint constraint = constraint_of(0, top, 0x1000, 1);
  check_fits(&constraint, top - 0xfff, 0x1000, 0, 0, 0x1000);
  check_fits_not(&constraint, top - 0xfff, 0x1000, 1);
  constraint.alignment = 0x1000;
  check_fits_not(&constraint, top - 0xfff, 0x1000, 1); /* the next multiple is not an address */
}

TEST(near_is_the_part_of_the_range_where_memory_may_start_so_near_to_the_target) {
  nbuf_constraint constraint = constraint_of(0x1000, 0xffff, 0x10, 1);
  nbuf_constraint part;
  CHECK(nbuf_constraint_narrow(&constraint, 0x8000, 0x100, &part));
  CHECK_EQUAL(0x7f00, part.min);
  CHECK_EQUAL(0x810f, part.max);
  CHECK_EQUAL(0x10, part.size);
  CHECK(nbuf_constraint_narrow(&constraint, 0x1000, 0x100, &part));
  CHECK_EQUAL(0x1000, part.min);
  CHECK_EQUAL(0x110f, part.max);
  CHECK(nbuf_constraint_narrow(&constraint, 0x1000 - 0x20, 0x20, &part)); /* its first byte */
  CHECK(nbuf_constraint_narrow(&constraint, 1, 0xff0, &part));
  constraint = constraint_of(0x1000, 0xffff, 1, 1);
  CHECK(nbuf_constraint_narrow(&constraint, 0xf00, 0x100, &part)); /* a single address */
  CHECK_EQUAL(0x1000, part.min);
  CHECK_EQUAL(0x1000, part.max);
}

TEST(there_is_no_near_part_without_a_target_or_a_distance_or_where_all_or_nothing_is_near) {
  nbuf_constraint constraint = constraint_of(0x1000, 0xffff, 0x10, 1);
  nbuf_constraint part;
  CHECK(!nbuf_constraint_narrow(&constraint, 0, 0x100, &part));
  CHECK(!nbuf_constraint_narrow(&constraint, 0x8000, 0, &part));
  CHECK(!nbuf_constraint_narrow(&constraint, 0x8000, top, &part));
  CHECK(!nbuf_constraint_narrow(&constraint, top, 0x100, &part));
  constraint = constraint_of(0, 0xfff, 0x10, 1);
  CHECK(!nbuf_constraint_narrow(&constraint, 0, 0x100, &part));
  CHECK(!nbuf_constraint_narrow(&constraint, 0x800, 0x1000, &part));
}

TEST(a_region_has_whole_granules_and_is_aligned_to_one_at_least) {
  nbuf_constraint constraint = constraint_of(0x1000, UINT32_MAX, 0x1001, 16);
  nbuf_gap_request gap_request;
  CHECK(nbuf_constraint_need(&constraint, 0x5000, 0x1000, &gap_request));
  CHECK_EQUAL(0x2000, gap_request.least);
  CHECK_EQUAL(0x2000, gap_request.want);
  CHECK_EQUAL(0x1000, gap_request.alignment);
  CHECK_EQUAL(0x5000, gap_request.target);
  CHECK_EQUAL(0x1000, gap_request.granularity);
  CHECK_EQUAL(0x1000, gap_request.range.min);
  CHECK_EQUAL(UINT32_MAX, gap_request.range.max);
  CHECK(!gap_request.accept_any_size && !gap_request.spares_reserved);
  constraint.alignment = 0x10000;
  CHECK(nbuf_constraint_need(&constraint, 0, 0x1000, &gap_request));
  CHECK_EQUAL(0x10000, gap_request.alignment);
}

TEST(a_region_cannot_lie_above_the_addresses_of_this_program) {
  nbuf_constraint constraint = constraint_of((uint64_t)1 << 40, top, 1, 1);
  nbuf_gap_request gap_request;
  CHECK(nbuf_constraint_need(&constraint, 0, 0x1000, &gap_request) == (sizeof(uintptr_t) == 8));
  constraint.min = 1;
  CHECK(nbuf_constraint_need(&constraint, top, 0x1000, &gap_request));
  CHECK_EQUAL(UINTPTR_MAX, gap_request.range.max);
  CHECK_EQUAL(UINTPTR_MAX, gap_request.target);
}

TEST(a_size_that_no_granules_hold_is_refused) {
  nbuf_gap_request gap_request;
  nbuf_constraint constraint = constraint_of(0x1000, top, UINT64_MAX - 0xffe, 1);
  CHECK(!nbuf_constraint_need(&constraint, 0, 0x1000, &gap_request));
  constraint = constraint_of(0x1000, 0xfff, 1, 1);
  CHECK(!nbuf_constraint_need(&constraint, 0, 0x1000, &gap_request));
  constraint = constraint_of(0x1000, 0x1000, 1, 1);
  CHECK(nbuf_constraint_need(&constraint, 0, 0x1000, &gap_request));
}

TEST(behind_data_the_line_ends_or_the_buffer) {
  const uint32_t line = NBUF_CACHE_LINE;
  CHECK_EQUAL(line, nbuf_line_end(0x10000, 0x1000, 1));
  CHECK_EQUAL(line, nbuf_line_end(0x10000, 0x1000, line));
  CHECK_EQUAL(line - 16, nbuf_line_end(0x10010, 0x1000, 1));
  CHECK_EQUAL(20, nbuf_line_end(0x10000, 20, 1));
  CHECK_EQUAL(20, nbuf_line_end(top - 19, 20, 10)); /* the line ends after the last address */
}
