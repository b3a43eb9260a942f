/* The table of places that are known to be free, with invented places. */
#include "base/holes.h"

#include <string.h>

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

static void cut(uintptr_t first, uintptr_t count) {
  nbuf_place place = pages(first, count);
  nbuf_holes_cut(&holes, &place);
}

/* The page at which the place for a request begins, no page of which is below
 * the lowest; 0: there is none. */
static uintptr_t nearest_from(uintptr_t lowest, uintptr_t target, uintptr_t count) {
  nbuf_gap_request gap_request = {.range = {lowest * PAGE, UINTPTR_MAX},
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

static uintptr_t nearest(uintptr_t target, uintptr_t count) {
  return nearest_from(1, target, count);
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

TEST(of_a_hole_only_what_lies_in_the_range_counts) {
  add(90, 5);
  add(120, 5);
  CHECK_EQUAL(93, nearest_from(93, 100, 2));
  CHECK_EQUAL(120, nearest_from(94, 100, 2));
  CHECK_EQUAL(120, nearest_from(96, 100, 2));
  CHECK_EQUAL(0, nearest_from(124, 100, 2));
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

TEST(wherever_in_a_full_table_the_smallest_hole_is_that_one_is_forgotten) {
  for (uintptr_t smallest = 0; smallest < NBUF_HOLES; smallest++) {
    holes.count = 0;
    for (uintptr_t i = 0; i < NBUF_HOLES; i++) {
      add(100 + 10 * i, i == smallest ? 2 : 3 + i % 2);
    }
    add(50, 5);
    CHECK_EQUAL(50, nearest(50, 5));
    for (uintptr_t i = 0; i < NBUF_HOLES; i++) {
      CHECK_EQUAL(i != smallest, nearest(100 + 10 * i, 2) == 100 + 10 * i);
    }
  }
}

/* ---- Compared with a list of pages
 * ----------------------------------------------------------- */

enum { PAGES = 60, STEPS = 20000 }; /* so few that their holes never fill the table */

static bool is_free[PAGES + 2]; /* the first page and the last one never are */

static uint32_t next_random(uint32_t *random, uint32_t below) {
  *random = *random * 1664525 + 1013904223;
  return (*random >> 16) % below;
}

static void check_holes(void) {
  uint32_t free_pages = 0;
  for (uint32_t i = 0; i < holes.count; i++) {
    uintptr_t first = holes.all[i].start / PAGE;
    uintptr_t count = holes.all[i].size / PAGE;
    CHECK(count > 0 && !is_free[first - 1] && !is_free[first + count]);
    for (uintptr_t page = first; page < first + count; page++) {
      CHECK(is_free[page]);
      free_pages++;
    }
  }
  for (uint32_t page = 0; page < PAGES + 2; page++) {
    free_pages -= is_free[page] ? 1 : 0;
  }
  CHECK_EQUAL(0, free_pages);
}

static bool are_free(uintptr_t first, uintptr_t count) {
  bool are = first + count <= PAGES + 1;
  for (uintptr_t page = first; are && page < first + count; page++) {
    are = is_free[page];
  }
  return are;
}

/* Of so many pages from there to the target. */
static uintptr_t distance(uintptr_t first, uintptr_t count, uintptr_t target) {
  uintptr_t end = (first + count) * PAGE - 1;
  return target < first ? (first - target) * PAGE : target * PAGE > end ? target * PAGE - end : 0;
}

static void check_nearest(uintptr_t target, uintptr_t count) {
  uintptr_t least = UINTPTR_MAX;
  for (uintptr_t first = 1; first <= PAGES; first++) {
    uintptr_t here = are_free(first, count) ? distance(first, count, target) : UINTPTR_MAX;
    least = here < least ? here : least;
  }
  uintptr_t found = nearest(target, count);
  CHECK_EQUAL(least == UINTPTR_MAX, found == 0);
  CHECK(found == 0 || (are_free(found, count) && distance(found, count, target) == least));
}

TEST(whatever_is_added_and_cut_the_holes_are_what_a_list_of_pages_says) {
  uint32_t random = 1;
  for (int step = 0; step < STEPS; step++) {
    uintptr_t first = 1 + next_random(&random, PAGES);
    uintptr_t count = 1 + next_random(&random, (uint32_t)(PAGES + 1 - first));
    count = count > 9 ? count % 9 + 1 : count;
    bool is_added = next_random(&random, 2) == 0;
    if (is_added) {
      add(first, count);
    } else {
      cut(first, count);
    }
    memset(is_free + first, is_added, count);
    check_holes();
    check_nearest(1 + next_random(&random, PAGES), 1 + next_random(&random, 6));
  }
}

/* A thread that holds the lock for too long and one that took it over may store
 * at the same time.
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
