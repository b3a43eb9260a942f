/* Where a new region goes, for invented maps. */
#include "base/placement.h"

#include "test.h"

/* ---- Invented maps --------------------------------------------------------------------------- */

enum { MOST_OCCUPIED = 4096 };

typedef struct map {
  nbuf_range occupied[MOST_OCCUPIED]; /* ascending, without overlaps */
  int count;
  bool must_ascend;
  int fails_after; /* this many queries succeed; below 0: all */
  uintptr_t asked_last;
  int questions;
} map;

static nbuf_source_answer answer_from(void *context, uintptr_t from, nbuf_range *occupied) {
  map *all = context;
  CHECK(!all->must_ascend || from >= all->asked_last);
  all->asked_last = from;
  if (all->questions++ == all->fails_after) {
    return NBUF_SOURCE_FAILED;
  }
  for (int i = 0; i < all->count; i++) {
    if (all->occupied[i].max >= from) {
      *occupied = all->occupied[i];
      return NBUF_SOURCE_FOUND;
    }
  }
  return NBUF_SOURCE_END;
}

static nbuf_search_answer search_and_note(map *all, const nbuf_gap_request *gap_request,
                                          bool is_cheap, nbuf_place *place,
                                          nbuf_search_memo *memo) {
  all->must_ascend = !is_cheap;
  all->asked_last = 0;
  all->questions = 0;
  nbuf_source source = {answer_from, all, is_cheap};
  return nbuf_placement_search(gap_request, &source, place, memo);
}

static nbuf_search_answer search(map *all, const nbuf_gap_request *gap_request, bool is_cheap,
                                 nbuf_place *place) {
  return search_and_note(all, gap_request, is_cheap, place, NULL);
}

static void occupy(map *all, uintptr_t first, uintptr_t last) {
  all->occupied[all->count++] = (nbuf_range){first, last};
}

static map new_map(void) {
  return (map){.count = 0, .fails_after = -1};
}

/* Pages of 4 KiB, as many as wanted or none. */
static nbuf_gap_request gap_request_of(uintptr_t min, uintptr_t max, uintptr_t size,
                                       uintptr_t target) {
  return (nbuf_gap_request){.range = {min, max},
                            .least = size,
                            .want = size,
                            .alignment = 4096,
                            .granularity = 4096,
                            .target = target};
}

/* Both search methods find the place. */
static void check_found(map *all, const nbuf_gap_request *gap_request, uintptr_t start,
                        uintptr_t size) {
  for (int is_cheap = 0; is_cheap < 2; is_cheap++) {
    nbuf_place place;
    CHECK_EQUAL(NBUF_SEARCH_FOUND, search(all, gap_request, is_cheap, &place));
    CHECK_EQUAL(start, place.start);
    CHECK_EQUAL(size, place.size);
  }
}

static void check_no_room(map *all, const nbuf_gap_request *gap_request) {
  for (int is_cheap = 0; is_cheap < 2; is_cheap++) {
    nbuf_place place;
    CHECK_EQUAL(NBUF_SEARCH_NO_ROOM, search(all, gap_request, is_cheap, &place));
  }
}

/* ---- Where there is one answer --------------------------------------------------------------- */

TEST(an_empty_map_gives_the_lowest_place_without_a_target) {
  map all = new_map();
  nbuf_gap_request gap_request = gap_request_of(0x10000, UINTPTR_MAX, 4096, 0);
  check_found(&all, &gap_request, 0x10000, 4096);
}

TEST(a_full_map_has_no_room) {
  map all = new_map();
  occupy(&all, 0, UINTPTR_MAX);
  nbuf_gap_request gap_request = gap_request_of(0, UINTPTR_MAX, 4096, 0x5000);
  check_no_room(&all, &gap_request);
}

TEST(a_map_full_of_touching_mappings_has_no_room) {
  map all = new_map();
  for (uintptr_t i = 0; i < 256; i++) {
    occupy(&all, 0x10000 + i * 4096, 0x10000 + i * 4096 + 4095);
  }
  nbuf_gap_request gap_request =
      gap_request_of(0x10000, 0x10000 + (uintptr_t)256 * 4096 - 1, 4096, 0x50000);
  check_no_room(&all, &gap_request);
}

TEST(the_only_hole_is_found_from_every_target) {
  map all = new_map();
  occupy(&all, 0, 0x6ffff);
  occupy(&all, 0x71000, UINTPTR_MAX);
  for (uintptr_t target = 0; target < 0x100000; target += 0x1234) {
    nbuf_gap_request gap_request = gap_request_of(0x10000, UINTPTR_MAX, 4096, target);
    check_found(&all, &gap_request, 0x70000, 4096);
  }
}

TEST(a_hole_one_granule_too_small_is_not_used) {
  map all = new_map();
  occupy(&all, 0, 0x6ffff);
  occupy(&all, 0x71000, UINTPTR_MAX);
  nbuf_gap_request gap_request = gap_request_of(0x10000, UINTPTR_MAX, 8192, 0x70000);
  check_no_room(&all, &gap_request);
}

TEST(a_hole_without_an_aligned_start_is_not_used) {
  map all = new_map();
  occupy(&all, 0, 0x6ffff);
  occupy(&all, 0x7f000, UINTPTR_MAX);
  nbuf_gap_request gap_request = gap_request_of(0, UINTPTR_MAX, 4096, 0x78000);
  gap_request.alignment = 0x20000;
  check_no_room(&all, &gap_request);
  gap_request.alignment = 0x10000;
  check_found(&all, &gap_request, 0x70000, 4096);
}

TEST(a_hole_that_only_touches_the_range_is_not_used) {
  map all = new_map();
  occupy(&all, 0, 0x6ffff);
  occupy(&all, 0x74000, UINTPTR_MAX);
  nbuf_gap_request above = gap_request_of(0x71001, UINTPTR_MAX, 0x3000, 0);
  check_no_room(&all, &above);
  nbuf_gap_request below = gap_request_of(0, 0x72ffe, 0x3000, 0);
  check_no_room(&all, &below);
  nbuf_gap_request exact = gap_request_of(0x71000, 0x73fff, 0x3000, 0);
  check_found(&all, &exact, 0x71000, 0x3000);
}

TEST(a_map_that_ends_below_the_range_leaves_all_of_it) {
  map all = new_map();
  occupy(&all, 0x1000, 0x1fff);
  nbuf_gap_request gap_request = gap_request_of(0x100000, 0x1fffff, 4096, 0);
  check_found(&all, &gap_request, 0x100000, 4096);
}

TEST(the_last_granule_of_the_address_space_is_found) {
  map all = new_map();
  occupy(&all, 0, UINTPTR_MAX - 4096);
  nbuf_gap_request gap_request = gap_request_of(0, UINTPTR_MAX, 4096, 0);
  check_found(&all, &gap_request, UINTPTR_MAX - 4095, 4096);
  gap_request.target = UINTPTR_MAX;
  check_found(&all, &gap_request, UINTPTR_MAX - 4095, 4096);
  gap_request.least = gap_request.want = 8192;
  check_no_room(&all, &gap_request);
}

TEST(a_mapping_at_the_top_of_the_address_space_ends_the_search) {
  map all = new_map();
  occupy(&all, UINTPTR_MAX - 4095, UINTPTR_MAX);
  nbuf_gap_request gap_request = gap_request_of(UINTPTR_MAX - 4095, UINTPTR_MAX, 4096, UINTPTR_MAX);
  check_no_room(&all, &gap_request);
  gap_request.range.min = UINTPTR_MAX - 8191;
  check_found(&all, &gap_request, UINTPTR_MAX - 8191, 4096);
}

TEST(all_of_the_address_space_can_be_one_gap) {
  map all = new_map();
  nbuf_gap_request gap_request = gap_request_of(0, UINTPTR_MAX, 4096, 0);
  gap_request.want = nbuf_align_down(UINTPTR_MAX, 4096);
  check_found(&all, &gap_request, 0, gap_request.want);
}

TEST(without_a_target_the_lowest_gap_wins) {
  map all = new_map();
  occupy(&all, 0x10000, 0x13fff);
  occupy(&all, 0x15000, 0x15fff);
  occupy(&all, 0x20000, 0x20fff);
  nbuf_gap_request gap_request = gap_request_of(0x10000, UINTPTR_MAX, 4096, 0);
  check_found(&all, &gap_request, 0x14000, 4096);
  gap_request.least = gap_request.want = 8192;
  check_found(&all, &gap_request, 0x16000, 8192);
}

TEST(the_nearest_gap_wins_on_either_side) {
  map all = new_map();
  occupy(&all, 0x10000, 0x3ffff);
  occupy(&all, 0x41000, 0x7ffff);
  occupy(&all, 0x81000, 0x8ffff);
  nbuf_gap_request gap_request = gap_request_of(0x10000, 0x8ffff, 4096, 0x50000);
  check_found(&all, &gap_request, 0x40000, 4096);
  gap_request.target = 0x70000;
  check_found(&all, &gap_request, 0x80000, 4096);
}

TEST(a_gap_below_the_target_is_used_from_its_end) {
  map all = new_map();
  occupy(&all, 0x100000, 0x1fffff);
  nbuf_gap_request gap_request = gap_request_of(0x10000, 0x1fffff, 4096, 0x150000);
  check_found(&all, &gap_request, 0xff000, 4096);
}

TEST(a_target_outside_the_range_pulls_to_the_edge) {
  map all = new_map();
  occupy(&all, 0x100000, 0x1fffff);
  nbuf_gap_request gap_request = gap_request_of(0x300000, 0x3fffff, 4096, 0x150000);
  check_found(&all, &gap_request, 0x300000, 4096);
  gap_request.target = 0x500000;
  check_found(&all, &gap_request, 0x3ff000, 4096);
}

TEST(a_gap_that_contains_the_target_is_used_at_the_target) {
  map all = new_map();
  nbuf_gap_request gap_request = gap_request_of(0x10000, 0xffffff, 4096, 0x500000);
  check_found(&all, &gap_request, 0x500000, 4096);
  gap_request.target = 0x500800;
  check_found(&all, &gap_request, 0x500000, 4096);
  gap_request.target = 0x500fff;
  check_found(&all, &gap_request, 0x500000, 4096);
}

TEST(a_gap_that_ends_at_the_target_is_used_around_it) {
  map all = new_map();
  occupy(&all, 0x501000, UINTPTR_MAX);
  nbuf_gap_request gap_request = gap_request_of(0x10000, UINTPTR_MAX, 0x4000, 0x500800);
  check_found(&all, &gap_request, 0x4fd000, 0x4000);
}

/* ---- More room than is needed ---------------------------------------------------------------- */

static const uintptr_t mib = 1 << 20;

/* Full but for one granule at 1 GiB and a large gap `distance` above it. */
static map small_and_roomy_gap(uintptr_t distance) {
  map all = new_map();
  uintptr_t small = 1024 * mib;
  occupy(&all, 0, small - 1);
  occupy(&all, small + 4096, small + distance - 1);
  return all;
}

static nbuf_gap_request greedy_need(void) {
  nbuf_gap_request gap_request = gap_request_of(0x10000, UINTPTR_MAX / 2, 4096, 1024 * mib);
  gap_request.want = (uintptr_t)16 * 4096;
  return gap_request;
}

TEST(a_roomy_gap_within_128_mib_beats_a_small_one) {
  map all = small_and_roomy_gap(128 * mib);
  nbuf_gap_request gap_request = greedy_need();
  check_found(&all, &gap_request, 1024 * mib + 128 * mib, (uintptr_t)16 * 4096);
}

TEST(a_small_gap_beats_a_roomy_one_that_is_more_than_128_mib_farther) {
  map all = small_and_roomy_gap(128 * mib + 4096);
  nbuf_gap_request gap_request = greedy_need();
  check_found(&all, &gap_request, 1024 * mib, 4096);
}

TEST(a_small_gap_is_taken_whole) {
  map all = new_map();
  occupy(&all, 0, 0x6ffff);
  occupy(&all, 0x75000, UINTPTR_MAX);
  nbuf_gap_request gap_request = greedy_need();
  check_found(&all, &gap_request, 0x70000, 0x5000);
}

TEST(a_region_ends_on_a_granule_where_the_gap_does_not) {
  map all = new_map();
  occupy(&all, 0, 0x6ffff);
  occupy(&all, 0x95000, UINTPTR_MAX);
  nbuf_gap_request gap_request = gap_request_of(0x10000, UINTPTR_MAX, 0x10000, 0);
  gap_request.granularity = gap_request.alignment = 0x10000;
  gap_request.want = 0x40000;
  check_found(&all, &gap_request, 0x70000, 0x20000);
}

TEST(the_search_for_more_room_asks_a_bounded_number_of_questions) {
  static map all;
  all = new_map();
  for (uintptr_t i = 0; i < MOST_OCCUPIED; i++) {
    occupy(&all, 0x10000 + i * 0x2000, 0x10000 + i * 0x2000 + 0xfff);
  }
  nbuf_gap_request gap_request =
      gap_request_of(0x10000, UINTPTR_MAX, 4096, 0x10000 + (uintptr_t)MOST_OCCUPIED * 0x1000);
  gap_request.want = 0x4000;
  for (int is_cheap = 0; is_cheap < 2; is_cheap++) {
    nbuf_place place;
    CHECK_EQUAL(NBUF_SEARCH_FOUND, search(&all, &gap_request, is_cheap, &place));
    CHECK_EQUAL(4096, place.size);
    CHECK(nbuf_placement_distance(&gap_request, &place) <= 4096);
    CHECK(all.questions < (is_cheap ? 200 : MOST_OCCUPIED / 2 + 200));
  }
}

TEST(a_search_from_the_target_asks_once_for_each_mapping_and_for_the_gap) {
  map all = new_map();
  for (uintptr_t i = 0; i < 8; i++) {
    occupy(&all, 0x100000 + i * 0x2000, 0x100000 + i * 0x2000 + 0xfff);
  }
  nbuf_gap_request gap_request = gap_request_of(0x100000, UINTPTR_MAX, 0x2000, 0x100000);
  nbuf_place place;
  nbuf_search_memo memo;
  CHECK_EQUAL(NBUF_SEARCH_FOUND, search_and_note(&all, &gap_request, true, &place, &memo));
  CHECK_EQUAL(0x10f000, place.start);
  CHECK_EQUAL(8 + 1, all.questions);
  CHECK(memo.is_full_known);
  CHECK_EQUAL(0x100000, memo.full.min);
  CHECK_EQUAL(0x10efff, memo.full.max);
  CHECK_EQUAL(0x10f000, memo.gap.min);
  CHECK_EQUAL(UINTPTR_MAX, memo.gap.max);
}

TEST(a_gap_that_holds_all_that_is_wanted_ends_the_search) {
  map all = new_map();
  for (uintptr_t i = 0; i < 8; i++) {
    occupy(&all, 0x100000 + i * 0x10000, 0x100000 + i * 0x10000 + 0xfff);
  }
  nbuf_gap_request gap_request = gap_request_of(0x100000, UINTPTR_MAX, 0x2000, 0x100000);
  for (int is_cheap = 0; is_cheap < 2; is_cheap++) {
    nbuf_place place;
    CHECK_EQUAL(NBUF_SEARCH_FOUND, search(&all, &gap_request, is_cheap, &place));
    CHECK_EQUAL(0x101000, place.start);
    CHECK_EQUAL(2, all.questions);
  }
}

/* A gap at the target may begin below it. Where it is large enough as it is, only so many mappings
 * are looked at to find where it begins. */
TEST(how_far_a_gap_reaches_below_the_target_is_asked_64_times) {
  map all = new_map();
  for (uintptr_t i = 0; i < 128; i++) {
    occupy(&all, 0x100000 + i * 0x2000, 0x100000 + i * 0x2000 + 0xfff);
  }
  occupy(&all, 0x201000, UINTPTR_MAX);
  nbuf_gap_request gap_request = gap_request_of(0x100000, UINTPTR_MAX, 0x1000, 0x200000);
  gap_request.want = 0x200000;
  gap_request.accept_any_size = true;
  nbuf_place place;
  CHECK_EQUAL(NBUF_SEARCH_FOUND, search(&all, &gap_request, true, &place));
  CHECK_EQUAL(0x200000, place.start);
  CHECK_EQUAL(1 + 64, all.questions);
  gap_request.least = 0x2000; /* now that matters */
  CHECK_EQUAL(NBUF_SEARCH_FOUND, search(&all, &gap_request, true, &place));
  CHECK_EQUAL(0x1ff000, place.start);
  CHECK_EQUAL(0x2000, place.size);
}

TEST(in_a_gap_whole_granules_are_used_and_none_where_it_has_too_few) {
  nbuf_gap_request gap_request = gap_request_of(0x10000, UINTPTR_MAX, 0x1000, 0);
  gap_request.want = 0x10000;
  nbuf_place place;
  CHECK(nbuf_placement_in_gap(&gap_request, (nbuf_range){0x70000, 0x71fff}, &place));
  CHECK_EQUAL(0x2000, place.size);
  CHECK(nbuf_placement_in_gap(&gap_request, (nbuf_range){0x70000, 0x71ffe}, &place));
  CHECK_EQUAL(0x1000, place.size);
  CHECK(!nbuf_placement_in_gap(&gap_request, (nbuf_range){0x70000, 0x70ffe}, &place));
  CHECK(!nbuf_placement_in_gap(&gap_request, (nbuf_range){0x70001, 0x71ffe}, &place));
  CHECK(!nbuf_placement_in_gap(&gap_request, (nbuf_range){0, 0xffff}, &place));
}

/* 64 queries look for more room, in gaps of one granule with one granule occupied between. */
TEST(a_search_for_more_room_asks_64_times) {
  for (int is_cheap = 0; is_cheap < 2; is_cheap++) {
    map all = new_map();
    for (uintptr_t i = 0; i < 1000; i++) {
      occupy(&all, 0x100000 + i * 0x2000, 0x100000 + i * 0x2000 + 0xfff);
    }
    nbuf_gap_request gap_request = gap_request_of(0x100000, UINTPTR_MAX, 0x1000, 0x100000);
    gap_request.want = 0x2000;
    nbuf_place place;
    CHECK_EQUAL(NBUF_SEARCH_FOUND, search(&all, &gap_request, is_cheap, &place));
    CHECK_EQUAL(0x101000, place.start);
    CHECK_EQUAL(66, all.questions); /* two for the place itself */
    gap_request.accept_any_size = true;
    CHECK_EQUAL(NBUF_SEARCH_FOUND, search(&all, &gap_request, is_cheap, &place));
    CHECK_EQUAL(0x101000, place.start);
    CHECK_EQUAL(2, all.questions);
  }
}

TEST(a_source_that_fails_fails_the_search) {
  map all = small_and_roomy_gap(64 * mib);
  nbuf_gap_request gap_request = greedy_need();
  for (int is_cheap = 0; is_cheap < 2; is_cheap++) {
    nbuf_place place;
    all.fails_after = -1;
    CHECK_EQUAL(NBUF_SEARCH_FOUND, search(&all, &gap_request, is_cheap, &place));
    int questions = all.questions;
    for (all.fails_after = 0; all.fails_after < questions; all.fails_after++) {
      CHECK_EQUAL(NBUF_SEARCH_FAILED, search(&all, &gap_request, is_cheap, &place));
    }
  }
}

TEST(of_a_map_and_other_occupied_ranges_the_lowest_that_ends_above_is_told) {
  const nbuf_range besides[] = {{0x5000, 0x5fff}, {0x2000, 0x2fff}, {0x9000, 0x9fff}};
  const nbuf_range found = {0x4000, 0x4fff};
  nbuf_range told;
  CHECK_EQUAL(NBUF_SOURCE_FOUND, nbuf_source_lowest(0, besides, 3, false, found, &told));
  CHECK_EQUAL(0x2000, told.min);
  CHECK_EQUAL(NBUF_SOURCE_FOUND, nbuf_source_lowest(0x2fff, besides, 3, true, found, &told));
  CHECK_EQUAL(0x2000, told.min);
  CHECK_EQUAL(NBUF_SOURCE_FOUND, nbuf_source_lowest(0x3000, besides, 3, true, found, &told));
  CHECK_EQUAL(0x4000, told.min);
  CHECK_EQUAL(NBUF_SOURCE_FOUND, nbuf_source_lowest(0x3000, besides, 3, false, found, &told));
  CHECK_EQUAL(0x5000, told.min);
  CHECK_EQUAL(0x5fff, told.max);
  CHECK_EQUAL(NBUF_SOURCE_FOUND, nbuf_source_lowest(0x6000, besides, 3, false, found, &told));
  CHECK_EQUAL(0x9000, told.min);
  CHECK_EQUAL(NBUF_SOURCE_END, nbuf_source_lowest(0x6000, besides, 2, false, found, &told));
  CHECK_EQUAL(NBUF_SOURCE_END, nbuf_source_lowest(0xa000, besides, 3, false, found, &told));
  CHECK_EQUAL(NBUF_SOURCE_FOUND, nbuf_source_lowest(0, NULL, 0, true, found, &told));
  CHECK_EQUAL(0x4000, told.min);
}

/* ---- Any map, against trying everything ------------------------------------------------------ */

/* 128 MiB are 32 granules here, so that both sides of that rule occur in a small space. */
enum { GRANULES = 160 };
#define GRANULE ((uintptr_t)4 << 20)

static uint64_t random_state;

static uintptr_t random_below(uintptr_t limit) {
  random_state ^= random_state << 13; /* xorshift64, Marsaglia 2003 */
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (uintptr_t)(random_state % limit);
}

/* Mappings that need not end on granules, some of which touch. */
static map random_map(uintptr_t base) {
  map all = new_map();
  const uintptr_t page = GRANULE / 4;
  const uintptr_t pages = (uintptr_t)GRANULES * 4;
  uintptr_t at = random_below(8);
  while (at < pages) {
    uintptr_t size = 1 + random_below(random_below(4) == 0 ? 100 : 24);
    uintptr_t end = at + size > pages ? pages : at + size;
    occupy(&all, base + at * page, base + (end * page - 1));
    at = end + (random_below(5) == 0 ? 0 : random_below(random_below(6) == 0 ? 100 : 16));
  }
  return all;
}

static bool is_free(const map *all, uintptr_t start, uintptr_t size) {
  nbuf_range range = {start, start + (size - 1)};
  for (int i = 0; i < all->count; i++) {
    if (nbuf_range_overlaps(range, all->occupied[i])) {
      return false;
    }
  }
  return true;
}

static bool is_possible(const map *all, const nbuf_gap_request *gap_request, uintptr_t start,
                        uintptr_t size) {
  return start % gap_request->alignment == 0 && nbuf_range_holds(gap_request->range, start, size) &&
         is_free(all, start, size);
}

static uintptr_t distance_of(const nbuf_gap_request *gap_request, uintptr_t start, uintptr_t size) {
  uintptr_t origin = gap_request->target != 0 ? gap_request->target : gap_request->range.min;
  uintptr_t last = start + (size - 1);
  return start > origin ? start - origin : last < origin ? origin - last : 0;
}

typedef struct verdict {
  bool any;
  bool is_full;
  uintptr_t distance;
} verdict;

static void improve(bool *any, uintptr_t *best, uintptr_t distance) {
  *best = !*any || distance < *best ? distance : *best;
  *any = true;
}

/* Tries every start. A place smaller than what is wanted counts where nothing larger fits there. */
static verdict try_everything(const map *all, const nbuf_gap_request *gap_request, uintptr_t base) {
  bool any_full = false;
  bool any_small = false;
  uintptr_t full = 0;
  uintptr_t small = 0;
  uintptr_t taken_until = 0;
  for (uintptr_t i = 0; i < GRANULES; i++) {
    uintptr_t start = base + i * GRANULE;
    if (is_possible(all, gap_request, start, gap_request->want)) {
      improve(&any_full, &full, distance_of(gap_request, start, gap_request->want));
    }
    uintptr_t size = gap_request->least;
    while (size < gap_request->want && is_possible(all, gap_request, start, size + GRANULE)) {
      size += GRANULE;
    }
    /* After a start in the same gap there is nothing better. */
    if (start >= taken_until && size < gap_request->want &&
        is_possible(all, gap_request, start, size)) {
      bool is_in_roomy_gap = false;
      for (uintptr_t back = i;
           back > 0 && is_free(all, base + (back - 1) * GRANULE, GRANULE) &&
           nbuf_range_holds(gap_request->range, base + (back - 1) * GRANULE, GRANULE);
           back--) {
        is_in_roomy_gap |=
            is_possible(all, gap_request, base + (back - 1) * GRANULE, gap_request->want);
      }
      if (!is_in_roomy_gap) {
        improve(&any_small, &small, distance_of(gap_request, start, size));
      }
      taken_until = start + (size - 1);
    }
  }
  bool is_full =
      any_full && (!any_small || full <= nbuf_add_saturating(small, NBUF_NEARER_THAT_COUNTS));
  return (verdict){any_full || any_small, is_full, is_full ? full : small};
}

static nbuf_gap_request random_need(uintptr_t base) {
  nbuf_gap_request gap_request = {.granularity = GRANULE};
  uintptr_t first = random_below(GRANULES);
  uintptr_t last = first + random_below(GRANULES - first);
  gap_request.range.min = base + first * GRANULE + random_below(2) * random_below(GRANULE);
  gap_request.range.max =
      base + last * GRANULE + (GRANULE - 1) - random_below(2) * random_below(GRANULE);
  if (gap_request.range.max < gap_request.range.min || random_below(3) == 0) {
    gap_request.range = (nbuf_range){base, base + (GRANULES * GRANULE - 1)};
  }
  gap_request.alignment = GRANULE << random_below(3);
  gap_request.least = (1 + random_below(4)) * GRANULE;
  gap_request.want = gap_request.least + random_below(5) * GRANULE;
  gap_request.target = random_below(4) == 0 ? 0 : base + 1 + random_below(GRANULES * GRANULE - 1);
  return gap_request;
}

/* Whether a place that overlaps the range is free, wherever the request looked. */
static bool has_room(const map *all, nbuf_range range, uintptr_t size, uintptr_t alignment,
                     uintptr_t base) {
  nbuf_range whole = {base, base + (GRANULES * GRANULE - 1)};
  for (uintptr_t i = 0; i < GRANULES; i++) {
    uintptr_t start = base + i * GRANULE;
    nbuf_range place = {start, start + (size - 1)};
    if (nbuf_range_holds(whole, start, size) && nbuf_range_overlaps(range, place) &&
        start % alignment == 0 && is_free(all, start, size)) {
      return true;
    }
  }
  return false;
}

/* What the search notes is true, and is all that it saw. */
static bool is_true(const map *all, const nbuf_gap_request *gap_request, const nbuf_place *place,
                    const nbuf_search_memo *memo, uintptr_t base) {
  nbuf_range range = gap_request->range;
  nbuf_range gap = memo->gap;
  nbuf_range full = memo->full;
  uintptr_t alignment = gap_request->alignment;
  uintptr_t origin = gap_request->target != 0 ? gap_request->target : range.min;
  bool is_gap = nbuf_range_holds(gap, place->start, place->size) && gap.min >= range.min &&
                gap.max <= range.max && is_free(all, gap.min, gap.max - gap.min + 1) &&
                (gap.max == range.max || !is_free(all, gap.max + 1, 1));
  bool is_full_to_gap = !memo->is_full_known || (gap.min > origin   ? full.max + 1 == gap.min
                                                 : gap.max < origin ? full.min - 1 == gap.max
                                                                    : true);
  return is_gap &&
         !(memo->is_full_known && has_room(all, full, gap_request->least, alignment, base)) &&
         (gap_request->least != gap_request->want || is_full_to_gap) &&
         (!memo->is_tight_known ||
          (place->size < gap_request->want && nbuf_range_overlaps(memo->tight, gap)));
}

static void check_against_oracle(map *all, const nbuf_gap_request *gap_request, uintptr_t base,
                                 uint64_t seed) {
  verdict expected = try_everything(all, gap_request, base);
  for (int is_cheap = 0; is_cheap < 2; is_cheap++) {
    nbuf_place place = {0, 0};
    nbuf_search_memo memo;
    bool is_found = search_and_note(all, gap_request, is_cheap, &place, &memo) == NBUF_SEARCH_FOUND;
    CHECK(!is_cheap || !is_found || is_true(all, gap_request, &place, &memo, base));
    bool is_sound = !is_found || (is_possible(all, gap_request, place.start, place.size) &&
                                  place.size % GRANULE == 0 && place.size >= gap_request->least &&
                                  place.size <= gap_request->want);
    bool is_best =
        is_found == expected.any &&
        (!is_found || ((place.size == gap_request->want) == expected.is_full &&
                       nbuf_placement_distance(gap_request, &place) == expected.distance));
    if (!is_sound || !is_best) {
      test_fail(
          __FILE__, __LINE__,
          "seed %ju cheap %d: found %d at 0x%jx size 0x%jx distance 0x%jx, best is %d full %d "
          "distance 0x%jx (base 0x%jx range 0x%jx-0x%jx least 0x%jx want 0x%jx target 0x%jx "
          "alignment 0x%jx)",
          (uintmax_t)seed, is_cheap, is_found, (uintmax_t)place.start, (uintmax_t)place.size,
          (uintmax_t)distance_of(gap_request, place.start, place.size), expected.any,
          expected.is_full, (uintmax_t)expected.distance, (uintmax_t)base,
          (uintmax_t)gap_request->range.min, (uintmax_t)gap_request->range.max,
          (uintmax_t)gap_request->least, (uintmax_t)gap_request->want,
          (uintmax_t)gap_request->target, (uintmax_t)gap_request->alignment);
    }
  }
}

static void check_random_maps(uintptr_t base) {
  for (uint64_t seed = 1; seed <= 20000; seed++) {
    random_state = seed * UINT64_C(0x9E3779B97F4A7C15);
    map all = random_map(base);
    nbuf_gap_request gap_request = random_need(base);
    check_against_oracle(&all, &gap_request, base, seed);
  }
}

TEST(both_searches_find_the_best_place_in_any_map) {
  check_random_maps(GRANULE * 64);
}

TEST(both_searches_find_the_best_place_below_the_end_of_the_address_space) {
  check_random_maps(UINTPTR_MAX - (GRANULES * GRANULE - 1));
}

/* ---- Without a target ------------------------------------------------------------------------ */

static nbuf_gap_request need_anywhere(uintptr_t min, uintptr_t max) {
  return gap_request_of(min, max, 4096, 0);
}

TEST(below_4_gib_a_need_without_a_target_goes_to_the_lowest_address) {
  nbuf_gap_request gap_request = need_anywhere(0x10000, UINT32_MAX);
  CHECK(!nbuf_placement_choose_target(&gap_request, 0x7f0000000000 & UINTPTR_MAX));
  CHECK_EQUAL(0, gap_request.target);
  CHECK_EQUAL(0x10000, gap_request.range.min);
}

static void needs_addresses_beyond_4_gib(void) {
  if (UINTPTR_MAX == UINT32_MAX) {
    test_skip("addresses have 32 bits");
  }
}

TEST(beyond_4_gib_it_goes_where_the_system_puts_its_own) {
  needs_addresses_beyond_4_gib();
  nbuf_gap_request gap_request = need_anywhere(0x10000, 0x7fffffffffff);
  CHECK(nbuf_placement_choose_target(&gap_request, 0x7f0000000000));
  CHECK_EQUAL(0x7f0000000000, gap_request.target);
  CHECK_EQUAL(NEARBUF_4_GIB, gap_request.range.min);
  CHECK_EQUAL(0x7fffffffffff, gap_request.range.max);
}

TEST(it_goes_to_the_middle_of_a_range_in_which_the_system_puts_nothing) {
  needs_addresses_beyond_4_gib();
  nbuf_gap_request gap_request = need_anywhere(0x600000000000, 0x600000ffffff);
  CHECK(!nbuf_placement_choose_target(&gap_request, 0x7f0000000000));
  CHECK_EQUAL(0x6000007fffff, gap_request.target);
  CHECK_EQUAL(0x600000000000, gap_request.range.min);
  gap_request = need_anywhere(0x600000000000, 0x600000ffffff);
  CHECK(!nbuf_placement_choose_target(&gap_request, 0x600000000000));
  CHECK_EQUAL(0x600000000000, gap_request.target);
  gap_request = need_anywhere(0x600000000000, 0x600000ffffff);
  CHECK(!nbuf_placement_choose_target(&gap_request, 0x600000ffffff));
  CHECK_EQUAL(0x600000ffffff, gap_request.target);
  gap_request = need_anywhere(0x10000, 0x1ffffffff); /* half of it is low */
  CHECK(nbuf_placement_choose_target(&gap_request, 0));
  CHECK_EQUAL(0x17fffffff, gap_request.target);
}

TEST(a_need_with_a_target_keeps_it) {
  needs_addresses_beyond_4_gib();
  nbuf_gap_request gap_request = gap_request_of(0x10000, 0x7fffffffffff, 4096, 0x20000);
  CHECK(!nbuf_placement_choose_target(&gap_request, 0x7f0000000000));
  CHECK_EQUAL(0x20000, gap_request.target);
  CHECK_EQUAL(0x10000, gap_request.range.min);
}

/* ---- Sizes ----------------------------------------------------------------------------------- */

#define KIB ((uintptr_t)1 << 10)
#define MIB ((uintptr_t)1 << 20)
#define UNIT (4 * KIB)

TEST(a_region_has_64_kib_then_an_eighth_of_what_was_placed_and_at_most_2_mib) {
  CHECK_EQUAL(64 * KIB, nbuf_placement_region_size(0, 1, UNIT));
  CHECK_EQUAL(64 * KIB, nbuf_placement_region_size(512 * KIB, UNIT, UNIT));
  CHECK_EQUAL(64 * KIB, nbuf_placement_region_size(512 * KIB + 8 * UNIT - 1, UNIT, UNIT));
  CHECK_EQUAL(64 * KIB + UNIT, nbuf_placement_region_size(512 * KIB + 8 * UNIT, UNIT, UNIT));
  CHECK_EQUAL(1 * MIB, nbuf_placement_region_size(8 * MIB, UNIT, UNIT));
  CHECK_EQUAL(2 * MIB, nbuf_placement_region_size(16 * MIB, UNIT, UNIT));
  CHECK_EQUAL(2 * MIB, nbuf_placement_region_size(UINT64_MAX, UNIT, UNIT));
}

TEST(a_region_is_never_smaller_than_its_request) {
  CHECK_EQUAL(64 * KIB + UNIT, nbuf_placement_region_size(0, 64 * KIB + UNIT, UNIT));
  CHECK_EQUAL(3 * MIB, nbuf_placement_region_size(UINT64_MAX, 3 * MIB, UNIT));
}
