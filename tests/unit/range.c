/* Arithmetic on ranges: it saturates at both ends of the address space and never wraps. */
#include "base/range.h"

#include "test.h"

static const nbuf_range everything = {0, UINTPTR_MAX};

static void check_lowest(nbuf_range range, uintptr_t size, uintptr_t alignment,
                         uintptr_t expected) {
  uintptr_t start = 0;
  CHECK(nbuf_range_fit_lowest(range, size, alignment, &start));
  CHECK_EQUAL(expected, start);
}

static void check_highest(nbuf_range range, uintptr_t size, uintptr_t alignment,
                          uintptr_t expected) {
  uintptr_t start = 0;
  CHECK(nbuf_range_fit_highest(range, size, alignment, &start));
  CHECK_EQUAL(expected, start);
}

static void check_no_fit(nbuf_range range, uintptr_t size, uintptr_t alignment) {
  uintptr_t start;
  CHECK(!nbuf_range_fit_lowest(range, size, alignment, &start));
  CHECK(!nbuf_range_fit_highest(range, size, alignment, &start));
}

TEST(sums_and_differences_saturate) {
  CHECK_EQUAL(7, nbuf_add_saturating(3, 4));
  CHECK_EQUAL(UINTPTR_MAX, nbuf_add_saturating(UINTPTR_MAX - 1, 1));
  CHECK_EQUAL(UINTPTR_MAX, nbuf_add_saturating(UINTPTR_MAX - 1, 2));
  CHECK_EQUAL(1, nbuf_sub_saturating(4, 3));
  CHECK_EQUAL(0, nbuf_sub_saturating(4, 4));
  CHECK_EQUAL(0, nbuf_sub_saturating(4, 5));
}

TEST(powers_of_two_have_one_bit) {
  CHECK(!nbuf_is_power_of_two(0));
  CHECK(nbuf_is_power_of_two(1));
  CHECK(nbuf_is_power_of_two(UINTPTR_MAX / 2 + 1));
  CHECK(!nbuf_is_power_of_two(3));
  CHECK(!nbuf_is_power_of_two(UINTPTR_MAX));
}

TEST(rounding_up_beyond_the_address_space_is_refused) {
  uintptr_t aligned;
  CHECK(nbuf_align_up(0, 4096, &aligned));
  CHECK_EQUAL(0, aligned);
  CHECK(nbuf_align_up(1, 4096, &aligned));
  CHECK_EQUAL(4096, aligned);
  CHECK(nbuf_align_up(UINTPTR_MAX - 4095, 4096, &aligned));
  CHECK_EQUAL(UINTPTR_MAX - 4095, aligned);
  CHECK(!nbuf_align_up(UINTPTR_MAX - 4094, 4096, &aligned));
  CHECK(!nbuf_align_up(UINTPTR_MAX, 2, &aligned));
}

TEST(distances_have_no_sign) {
  CHECK_EQUAL(5, nbuf_distance(10, 15));
  CHECK_EQUAL(5, nbuf_distance(15, 10));
  CHECK_EQUAL(UINTPTR_MAX, nbuf_distance(UINTPTR_MAX, 0));
}

TEST(a_range_holds_what_lies_inside_to_the_last_byte) {
  nbuf_range range = {100, 199};
  CHECK(nbuf_range_holds(range, 100, 100));
  CHECK(nbuf_range_holds(range, 199, 1));
  CHECK(!nbuf_range_holds(range, 100, 101));
  CHECK(!nbuf_range_holds(range, 199, 2));
  CHECK(!nbuf_range_holds(range, 99, 1));
  CHECK(!nbuf_range_holds(range, 200, 1));
  CHECK(!nbuf_range_holds(range, 150, UINTPTR_MAX));
  CHECK(nbuf_range_holds(everything, UINTPTR_MAX, 1));
  CHECK(!nbuf_range_holds(everything, UINTPTR_MAX, 2));
}

TEST(ranges_that_share_one_byte_overlap) {
  nbuf_range range = {100, 199};
  CHECK(nbuf_range_overlaps(range, (nbuf_range){199, 300}));
  CHECK(nbuf_range_overlaps(range, (nbuf_range){0, 100}));
  CHECK(nbuf_range_overlaps(range, everything));
  CHECK(!nbuf_range_overlaps(range, (nbuf_range){200, 300}));
  CHECK(!nbuf_range_overlaps(range, (nbuf_range){0, 99}));
}

TEST(the_common_part_of_ranges_may_be_one_byte_or_none) {
  nbuf_range common;
  CHECK(nbuf_range_intersect((nbuf_range){10, 20}, (nbuf_range){20, 30}, &common));
  CHECK_EQUAL(20, common.min);
  CHECK_EQUAL(20, common.max);
  CHECK(!nbuf_range_intersect((nbuf_range){10, 20}, (nbuf_range){21, 30}, &common));
  CHECK(nbuf_range_intersect(everything, (nbuf_range){5, UINTPTR_MAX}, &common));
  CHECK_EQUAL(5, common.min);
  CHECK_EQUAL(UINTPTR_MAX, common.max);
}

TEST(a_fit_of_exactly_the_range_is_found) {
  nbuf_range range = {0x1000, 0x1fff};
  check_lowest(range, 0x1000, 0x1000, 0x1000);
  check_highest(range, 0x1000, 0x1000, 0x1000);
  check_no_fit(range, 0x1001, 1);
  check_no_fit(range, 0x1000, 0x2000);
}

TEST(a_fit_starts_at_a_multiple_of_the_alignment) {
  nbuf_range range = {0x1001, 0x4ffe};
  check_lowest(range, 0x1000, 0x1000, 0x2000);
  check_highest(range, 0x1000, 0x1000, 0x3000);
  check_lowest(range, 1, 1, 0x1001);
  check_highest(range, 1, 1, 0x4ffe);
}

TEST(fits_reach_both_ends_of_the_address_space) {
  check_lowest(everything, 4096, 4096, 0);
  check_highest(everything, 4096, 4096, UINTPTR_MAX - 4095);
  check_lowest(everything, UINTPTR_MAX, 1, 0);
  check_highest(everything, UINTPTR_MAX, 1, 1);
  nbuf_range top = {UINTPTR_MAX - 4095, UINTPTR_MAX};
  check_lowest(top, 4096, 4096, UINTPTR_MAX - 4095);
  check_no_fit(top, 4097, 1);
  check_no_fit((nbuf_range){UINTPTR_MAX - 4094, UINTPTR_MAX}, 1, 4096);
  check_lowest((nbuf_range){UINTPTR_MAX, UINTPTR_MAX}, 1, 1, UINTPTR_MAX);
}

TEST(what_is_larger_than_the_range_fits_nowhere_and_one_byte_fits_one_address) {
  uintptr_t start;
  CHECK(!nbuf_range_fit_highest((nbuf_range){0, 10}, 12, 1, &start));
  CHECK(!nbuf_range_fit_highest((nbuf_range){8, 10}, 12, 1, &start));
  CHECK(!nbuf_range_fit_lowest((nbuf_range){0, 10}, 12, 1, &start));
  CHECK(!nbuf_range_fit_lowest((nbuf_range){8, 10}, 12, 1, &start));
  CHECK(nbuf_range_fit_highest((nbuf_range){5, 5}, 1, 1, &start));
  CHECK_EQUAL(5, start);
  CHECK(nbuf_range_fit_lowest((nbuf_range){5, 5}, 1, 1, &start));
  CHECK_EQUAL(5, start);
}

TEST(a_range_that_ends_before_it_starts_holds_nothing) {
  uintptr_t start;
  CHECK(!nbuf_range_fit_lowest((nbuf_range){20, 10}, 1, 1, &start));
  CHECK(!nbuf_range_fit_highest((nbuf_range){20, 10}, 1, 1, &start));
}
