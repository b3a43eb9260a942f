/* The table of places that are known to be free, with invented places. */
#include "base/holes.h"
#include "test.h"

enum { PAGE = 4096 };

static nbuf_holes holes;

static nbuf_place pages(uintptr_t first, uintptr_t count) {
  return (nbuf_place){first * PAGE, count * PAGE};
}

static void add(uintptr_t first, uintptr_t count) {
  nbuf_place place = pages(first, count);
  nbuf_holes_join(&holes, &place);
  nbuf_holes_add(&holes, place);
}

/* The page at which the place for a request begins; 0: there is none. */
static uintptr_t nearest(uintptr_t target, uintptr_t count) {
  nbuf_gap_request gap_request = {.range = {PAGE, UINTPTR_MAX},
                                  .least = PAGE,
                                  .want = count * PAGE,
                                  .alignment = PAGE,
                                  .granularity = PAGE,
                                  .target = target * PAGE};
  nbuf_place place;
  if (!nbuf_holes_nearest(&holes, &gap_request, &place)) {
    return 0;
  }
  CHECK_EQUAL(count * PAGE, place.size);
  return place.start / PAGE;
}

TEST(an_empty_table_has_no_place) {
  CHECK_EQUAL(0, nearest(100, 1));
}

TEST(the_nearest_hole_that_is_large_enough_is_found) {
  add(90, 1);
  add(120, 4);
  add(140, 8);
  CHECK_EQUAL(90, nearest(100, 1));
  CHECK_EQUAL(120, nearest(100, 2));
  CHECK_EQUAL(140, nearest(100, 5));
  CHECK_EQUAL(0, nearest(100, 9));
}

TEST(in_a_large_hole_the_place_is_at_the_target) {
  add(50, 100);
  CHECK_EQUAL(100, nearest(100, 1));
  CHECK_EQUAL(50, nearest(20, 2));
  CHECK_EQUAL(148, nearest(400, 2));
}

TEST(holes_that_touch_become_one) {
  add(100, 1);
  add(102, 1);
  CHECK_EQUAL(0, nearest(100, 3));
  add(101, 1);
  CHECK_EQUAL(1, holes.count);
  CHECK_EQUAL(100, nearest(100, 3));
}

TEST(what_is_cut_out_of_a_hole_leaves_both_ends) {
  add(100, 10);
  nbuf_place middle = pages(104, 2);
  nbuf_holes_cut(&holes, &middle);
  CHECK_EQUAL(100, nearest(100, 4));
  CHECK_EQUAL(106, nearest(109, 4));
  CHECK_EQUAL(0, nearest(100, 5));
  nbuf_place all = pages(90, 30);
  nbuf_holes_cut(&holes, &all);
  CHECK_EQUAL(0, holes.count);
}

TEST(in_a_full_table_the_smallest_hole_makes_room) {
  for (uintptr_t i = 0; i < NBUF_HOLES; i++) {
    add(100 + 10 * i, 2 + i % 3);
  }
  add(50, 2); /* no larger than the smallest */
  CHECK_EQUAL(100, nearest(50, 2));
  add(50, 5);
  CHECK_EQUAL(50, nearest(50, 5));
  CHECK_EQUAL(NBUF_HOLES, holes.count);
}

/* A thread that holds the lock for too long and one that took it over may store at the same time.
 */
TEST(whatever_was_stored_nothing_outside_the_table_is_used) {
  for (uintptr_t i = 0; i < NBUF_HOLES; i++) {
    holes.all[i] = (nbuf_place){UINTPTR_MAX - PAGE * i, PAGE * (i * i)};
  }
  holes.count = UINT32_MAX;
  (void)nearest(100, 1);
  add(100, 1);
  nbuf_place all = {0, UINTPTR_MAX};
  nbuf_holes_cut(&holes, &all);
  CHECK(holes.count <= NBUF_HOLES);
  add(100, 1);
  CHECK_EQUAL(100, nearest(100, 1));
}
