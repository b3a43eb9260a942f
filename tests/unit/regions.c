/* Where regions go, on an invented system: a map, a clock, and what is kept for stacks and images
 * are what a test says. regions.c itself is compiled here, with other names for what it calls of
 * the port and for what it defines, which the library that every test is linked with has too. */
#define nbuf_os_limits invented_limits
#define nbuf_os_reserved invented_reserved
#define nbuf_os_nanoseconds invented_nanoseconds
#define nbuf_os_map invented_map
#define nbuf_os_growth_room invented_growth_room
#define nbuf_os_unmap invented_unmap
#define nbuf_os_own_pages invented_own_pages
#define nbuf_os_map_open invented_map_open
#define nbuf_os_map_close invented_map_close
#define nbuf_os_map_next invented_map_next
#define nbuf_os_module_start invented_module_start
#define nbuf_own_regions tested_regions
#define nbuf_regions_forked tested_regions_forked
#define nbuf_region_make tested_region_make
#define nbuf_region_drop tested_region_drop
#include "core/regions.h"
#include "os/os.h"
#include "os/placing.h"

/* What headers define, on some systems. */
#define nbuf_os_granularity invented_granularity
#define nbuf_os_is_near_image invented_is_near_image
#define nbuf_os_map_within invented_map_within
#define nbuf_os_may_have_room invented_may_have_room
static size_t invented_granularity(void);
static bool invented_is_near_image(nbuf_range place, nbuf_range *around);
static uintptr_t invented_map_within(nbuf_range range, size_t size, uintptr_t alignment,
                                     bool is_highest);
static bool invented_may_have_room(nbuf_range range, size_t size, uintptr_t alignment);
#include "core/regions.c" /* NOLINT(bugprone-suspicious-include) */

#include <string.h>

#include "test.h"

/* ---- The system ------------------------------------------------------------------------------ */

#define KIB ((uintptr_t)1 << 10)
#define MIB ((uintptr_t)1 << 20)
#define GRANULE (4 * KIB)
enum { MOST_MAPPED = 1024, MOST_REFUSED = 256 };

static struct {
  nbuf_range mapped[MOST_MAPPED]; /* in any order */
  size_t mapped_count;
  size_t own_from;                  /* those before were there from the start */
  nbuf_range refused[MOST_REFUSED]; /* free in the map, and not given */
  size_t refused_count;
  nbuf_range limits;
  nbuf_range reserved[2]; /* 1 to 0: nothing is */
  nbuf_range near_image;  /* 1 to 0: there is none */
  nbuf_range module;      /* 1 to 0: there is none, or the system does not tell */
  uintptr_t stack;        /* where a stack starts; 0: there is none */
  uintptr_t least_growth;
  uintptr_t most_growth;
  uintptr_t system_place; /* 0: it has no memory for the library itself */
  size_t most_bytes;      /* of one region */
  nearbuf_status map_status;
  nearbuf_status open_status;
  nearbuf_status unmap_status;
  bool is_lock_taken_meanwhile; /* by another thread, while a place is tried */
  void (*meanwhile)(void);      /* what another thread does then, once */
  void (*at_clock)(void);       /* and whenever the time is asked */
  bool is_expensive;            /* the map is read in ascending order */
  bool can_search;
  bool has_no_room; /* and knows it */
  uint64_t now;
  uint64_t question_ns; /* how long a query of the map takes */
  int answers_left;     /* below 0: the map can always be read */
  int questions;
  int tries; /* to map at a place */
  int growth_questions;
  int open_maps;
  int own_pages;
} system_is;

enum { CODE_OF_MAP = 17, CODE_OF_OPEN = 23, CODE_OF_QUERY = 5, CODE_OF_UNMAP = 22 };
enum { LOCK_OF_OTHER = 3 };

static nbuf_regions regions;

/* A system with one mapping, far from everything, and nothing else. */
static void invent(void) {
  system_is.limits = (nbuf_range){64 * KIB, 0x7fffffff};
  system_is.reserved[0] = system_is.reserved[1] = system_is.near_image = (nbuf_range){1, 0};
  system_is.module = (nbuf_range){1, 0};
  system_is.most_bytes = SIZE_MAX;
  system_is.now = 1000;
  system_is.question_ns = 1000;
  system_is.answers_left = -1;
}

static void occupy(uintptr_t start, uintptr_t size) {
  CHECK(system_is.mapped_count < MOST_MAPPED);
  CHECK_EQUAL(system_is.own_from, system_is.mapped_count);
  system_is.mapped[system_is.mapped_count++] = (nbuf_range){start, start + (size - 1)};
  system_is.own_from = system_is.mapped_count;
}

static void refuse_at(uintptr_t start, uintptr_t size) {
  system_is.refused[system_is.refused_count++] = (nbuf_range){start, start + (size - 1)};
}

static bool touches(const nbuf_range *ranges, size_t count, nbuf_range range) {
  for (size_t i = 0; i < count; i++) {
    if (nbuf_range_overlaps(ranges[i], range)) {
      return true;
    }
  }
  return false;
}

static bool is_mapped(uintptr_t start, uintptr_t size) {
  nbuf_range range = {start, start + (size - 1)};
  return touches(system_is.mapped, system_is.mapped_count, range);
}

static size_t invented_granularity(void) {
  return GRANULE;
}

nbuf_range nbuf_os_limits(uintptr_t from, uintptr_t around) {
  CHECK(around >= from);
  return system_is.limits;
}

size_t nbuf_os_reserved(nbuf_range area, nbuf_range ranges[NBUF_OS_RESERVED_MAX]) {
  (void)area; /* those that do not touch it may be missing, but need not */
  size_t count = 0;
  for (int i = 0; i < 2; i++) {
    ranges[count] = system_is.reserved[i];
    count += system_is.reserved[i].min <= system_is.reserved[i].max;
  }
  return count;
}

uint64_t nbuf_os_nanoseconds(void) {
  if (system_is.at_clock != NULL) {
    system_is.at_clock();
  }
  return system_is.now;
}

static nearbuf_status status_of_map(nbuf_range range) {
  bool is_taken = touches(system_is.mapped, system_is.mapped_count, range) ||
                  touches(system_is.refused, system_is.refused_count, range);
  bool is_guarded = system_is.stack != 0 && range.max < system_is.stack &&
                    range.max >= system_is.stack - system_is.least_growth;
  return is_taken || is_guarded                             ? NEARBUF_NO_ROOM
         : range.max - range.min + 1 > system_is.most_bytes ? NEARBUF_OUT_OF_MEMORY
                                                            : system_is.map_status;
}

nbuf_result nbuf_os_map(uintptr_t address, size_t size) {
  CHECK_EQUAL(0, address % GRANULE);
  CHECK(size != 0 && size % GRANULE == 0);
  system_is.tries++;
  if (system_is.is_lock_taken_meanwhile) {
    atomic_store(&regions.lock, LOCK_OF_OTHER);
  }
  void (*meanwhile)(void) = system_is.meanwhile;
  system_is.meanwhile = NULL;
  if (meanwhile != NULL) {
    meanwhile();
  }
  nbuf_range range = {address, address + (size - 1)};
  nearbuf_status status = status_of_map(range);
  if (status != NEARBUF_OK) {
    return nbuf_result_system(status, CODE_OF_MAP);
  }
  CHECK(system_is.mapped_count < MOST_MAPPED);
  system_is.mapped[system_is.mapped_count++] = range;
  return nbuf_result_of(NEARBUF_OK);
}

nbuf_result nbuf_os_unmap(uintptr_t address, size_t size) {
  if (system_is.unmap_status != NEARBUF_OK) {
    return nbuf_result_system(system_is.unmap_status, CODE_OF_UNMAP);
  }
  for (size_t i = system_is.own_from; i < system_is.mapped_count; i++) {
    if (system_is.mapped[i].min == address && system_is.mapped[i].max == address + (size - 1)) {
      system_is.mapped[i] = system_is.mapped[--system_is.mapped_count];
      return nbuf_result_of(NEARBUF_OK);
    }
  }
  test_fail(__FILE__, __LINE__, "0x%jx was not mapped with 0x%jx bytes", (uintmax_t)address,
            (uintmax_t)size);
}

uintptr_t nbuf_os_growth_room(uintptr_t start, bool is_least) {
  system_is.growth_questions++;
  CHECK(!is_mapped(start - GRANULE, GRANULE));
  return start != system_is.stack ? 0 : is_least ? system_is.least_growth : system_is.most_growth;
}

static bool invented_is_near_image(nbuf_range place, nbuf_range *around) {
  *around = system_is.near_image;
  return system_is.near_image.min <= system_is.near_image.max &&
         nbuf_range_overlaps(place, system_is.near_image);
}

static uintptr_t invented_map_within(nbuf_range range, size_t size, uintptr_t alignment,
                                     bool is_highest) {
  uintptr_t start = 0;
  bool fits =
      system_is.can_search && (is_highest ? nbuf_range_fit_highest(range, size, alignment, &start)
                                          : nbuf_range_fit_lowest(range, size, alignment, &start));
  for (; fits; fits = nbuf_range_holds(range, start, size)) {
    if (nbuf_os_map(start, size).status == NEARBUF_OK) {
      return start;
    }
    start = is_highest ? start - alignment : start + alignment;
  }
  return 0;
}

static bool invented_may_have_room(nbuf_range range, size_t size, uintptr_t alignment) {
  (void)range;
  (void)size;
  (void)alignment;
  return !system_is.has_no_room;
}

void *nbuf_os_own_pages(size_t size) {
  if (system_is.system_place == 0) {
    return NULL;
  }
  system_is.own_pages++;
  system_is.mapped[system_is.mapped_count++] =
      (nbuf_range){system_is.system_place, system_is.system_place + (size - 1)};
  return (void *)system_is.system_place; /* NOLINT(performance-no-int-to-ptr) */
}

nbuf_result nbuf_os_map_open(nbuf_map *map, bool with_names) {
  CHECK(!with_names);
  system_is.open_maps++;
  map->is_cheap_anywhere = !system_is.is_expensive;
  return nbuf_result_system(system_is.open_status, CODE_OF_OPEN);
}

void nbuf_os_map_close(nbuf_map *map) {
  (void)map;
  system_is.open_maps--;
}

nbuf_map_answer nbuf_os_map_next(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping) {
  system_is.questions++;
  system_is.now += system_is.question_ns;
  if (system_is.answers_left == 0) {
    map->system_error = CODE_OF_QUERY;
    return NBUF_MAP_FAILED;
  }
  system_is.answers_left -= system_is.answers_left > 0;
  const nbuf_range *next = NULL;
  for (size_t i = 0; i < system_is.mapped_count; i++) {
    const nbuf_range *each = &system_is.mapped[i];
    next = each->max >= from && (next == NULL || each->min < next->min) ? each : next;
  }
  if (next != NULL) {
    mapping->range = *next;
  }
  return next != NULL ? NBUF_MAP_FOUND : NBUF_MAP_END;
}

uintptr_t nbuf_os_module_start(uintptr_t address) {
  bool is_inside = system_is.module.min <= address && address <= system_is.module.max;
  return is_inside ? system_is.module.min : 0;
}

/* ---- Requests -------------------------------------------------------------------------------- */

#define TARGET (1024 * MIB)

static nbuf_gap_request request_at(uintptr_t target, uintptr_t size) {
  return (nbuf_gap_request){.range = {64 * KIB, 0x7fffffff},
                            .least = size,
                            .want = size,
                            .alignment = GRANULE,
                            .granularity = GRANULE,
                            .target = target};
}

/* Makes a region, and checks that all of it is mapped and the map is closed. */
static nbuf_place make(const nbuf_gap_request *request) {
  nbuf_place region;
  CHECK_OK(nbuf_region_make(&regions, request, &region).status);
  CHECK(is_mapped(region.start, region.size));
  CHECK(nbuf_range_holds(request->range, region.start, region.size));
  CHECK_EQUAL(0, system_is.open_maps);
  CHECK_EQUAL(0, atomic_load(&regions.lock));
  return region;
}

/* Makes three regions; returns the number of queries until then. */
static int make_three(const nbuf_gap_request *request) {
  for (int i = 0; i < 3; i++) {
    (void)make(request);
  }
  return system_is.questions;
}

static uintptr_t make_at(uintptr_t target, uintptr_t size) {
  nbuf_gap_request request = request_at(target, size);
  nbuf_place region = make(&request);
  CHECK_EQUAL(size, region.size);
  return region.start;
}

/* The same, and returns how often the map was asked. */
static int questions_of(uintptr_t expected, uintptr_t target, uintptr_t size) {
  int before = system_is.questions;
  CHECK_EQUAL(expected, make_at(target, size));
  return system_is.questions - before;
}

static void check_fails(nearbuf_status status, int32_t code, const nbuf_gap_request *request) {
  size_t mapped = system_is.mapped_count;
  nbuf_place region = {1, 1};
  nbuf_result result = nbuf_region_make(&regions, request, &region);
  CHECK_STATUS(status, result.status);
  CHECK_EQUAL(code, result.system_error);
  CHECK_EQUAL(0, region.start);
  CHECK_EQUAL(0, region.size);
  CHECK_EQUAL(mapped, system_is.mapped_count);
  CHECK_EQUAL(0, system_is.open_maps);
  CHECK_EQUAL(0, atomic_load(&regions.lock));
}

static void drop(uintptr_t start, uintptr_t size) {
  CHECK_OK(nbuf_region_drop(&regions, &(nbuf_place){start, size}).status);
  CHECK(!is_mapped(start, size));
  CHECK_EQUAL(0, atomic_load(&regions.lock));
}

/* ---- Beside what was placed ------------------------------------------------------------------ */

TEST(the_first_region_is_at_the_target) {
  invent();
  CHECK_EQUAL(TARGET, make_at(TARGET, 64 * KIB));
}

/* A module with a target in it, and much room above. */
static void load_module(uintptr_t start, uintptr_t size) {
  invent();
  occupy(start, size);
  system_is.module = (nbuf_range){start, start + (size - 1)};
}

TEST(in_a_module_it_is_below_that_without_a_look_at_the_map) {
  load_module(TARGET - 1 * MIB, 2 * MIB);
  CHECK_EQUAL(0, questions_of(TARGET - 1 * MIB - 64 * KIB, TARGET, 64 * KIB));
  CHECK_EQUAL(0, questions_of(TARGET - 1 * MIB - 128 * KIB, TARGET, 64 * KIB));
}

TEST(more_than_1_mib_behind_the_start_of_the_module_it_is_at_the_nearest_place) {
  load_module(TARGET - 1 * MIB - GRANULE, 2 * MIB);
  CHECK_EQUAL(TARGET + 1 * MIB - GRANULE, make_at(TARGET, 64 * KIB));
}

TEST(where_something_is_below_the_module_it_is_at_the_nearest_place) {
  load_module(TARGET, 64 * KIB);
  occupy(TARGET - 256 * KIB, 256 * KIB);
  CHECK_EQUAL(TARGET + 64 * KIB, make_at(TARGET, 64 * KIB));
}

TEST(nor_is_it_below_the_module_where_the_range_or_the_alignment_excludes_that) {
  load_module(TARGET, 64 * KIB);
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  request.range.min = TARGET;
  CHECK_EQUAL(TARGET + 64 * KIB, make(&request).start);
  regions = (nbuf_regions){0};
  request = request_at(TARGET, 64 * KIB);
  request.alignment = 1 * MIB;
  CHECK_EQUAL(TARGET - 1 * MIB, make(&request).start);
}

TEST(the_place_above_a_module_is_used_only_after_a_look_at_the_map) {
  load_module(TARGET, 64 * KIB);
  system_is.stack = TARGET + 4 * MIB;
  system_is.least_growth = 1 * MIB;
  system_is.most_growth = 8 * MIB;
  occupy(system_is.stack, GRANULE);
  occupy(TARGET - GRANULE, GRANULE);
  CHECK_EQUAL(TARGET - GRANULE - 64 * KIB, make_at(TARGET, 64 * KIB));
}

TEST(what_is_freed_below_a_module_is_used_again) {
  load_module(TARGET, 64 * KIB);
  uintptr_t first = make_at(TARGET, 64 * KIB);
  nbuf_place freed = {first, 64 * KIB};
  CHECK_OK(nbuf_region_drop(&regions, &freed).status);
  CHECK_EQUAL(0, questions_of(first, TARGET, 64 * KIB));
  CHECK_EQUAL(0, questions_of(first - 64 * KIB, TARGET, 64 * KIB));
  CHECK_OK(nbuf_region_drop(&regions, &freed).status);
  CHECK_EQUAL(0, questions_of(first, TARGET, 64 * KIB));
  CHECK_EQUAL(0, questions_of(first - 128 * KIB, TARGET, 64 * KIB));
}

TEST(in_other_modules_a_later_region_is_at_the_nearest_place) {
  load_module(TARGET, 64 * KIB);
  occupy(TARGET + 512 * MIB, 1 * MIB);
  (void)make_at(TARGET, 64 * KIB);
  system_is.module = (nbuf_range){TARGET + 512 * MIB, TARGET + 513 * MIB - 1};
  CHECK_EQUAL(TARGET + 513 * MIB, make_at(TARGET + 513 * MIB - GRANULE, 64 * KIB));
}

TEST(without_a_target_it_is_as_low_as_possible) {
  invent();
  CHECK_EQUAL(64 * KIB, make_at(0, 64 * KIB));
  nbuf_gap_request request = request_at(0, 64 * KIB);
  request.range = (nbuf_range){1 * MIB, 2 * MIB - 1};
  CHECK_EQUAL(1 * MIB, make(&request).start);
}

TEST(the_next_one_touches_it_on_the_nearer_side) {
  invent();
  (void)make_at(TARGET, 1 * MIB);
  CHECK_EQUAL(TARGET - 64 * KIB, make_at(TARGET + 256 * KIB, 64 * KIB));
  CHECK_EQUAL(TARGET + 1 * MIB, make_at(TARGET + 768 * KIB, 64 * KIB));
}

TEST(those_that_follow_it_need_no_look_at_the_map) {
  invent();
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  request.range.min = TARGET;
  CHECK_EQUAL(TARGET, make(&request).start);
  int questions = system_is.questions;
  for (uintptr_t i = 1; i < 100; i++) {
    CHECK_EQUAL(TARGET + i * 64 * KIB, make(&request).start);
  }
  CHECK_EQUAL(questions, system_is.questions);
  CHECK_EQUAL(100, system_is.tries);
}

TEST(where_none_can_follow_the_next_one_ends_where_it_starts) {
  invent();
  occupy(TARGET + 64 * KIB, 64 * KIB);
  CHECK_EQUAL(TARGET, make_at(TARGET + 63 * KIB, 64 * KIB));
  CHECK_EQUAL(0, questions_of(TARGET - 64 * KIB, TARGET + 63 * KIB, 64 * KIB));
  CHECK_EQUAL(0, questions_of(TARGET - 128 * KIB, TARGET + 63 * KIB, 64 * KIB));
  CHECK_EQUAL(0, questions_of(TARGET - 128 * KIB - GRANULE, TARGET + 63 * KIB, GRANULE));
  CHECK_EQUAL(4, system_is.tries); /* what lies above was seen once, and is not tried */
}

TEST(of_several_spans_the_nearest_is_continued) {
  invent();
  (void)make_at(TARGET, 64 * KIB);
  (void)make_at(TARGET + 256 * MIB, 64 * KIB);
  (void)make_at(TARGET - 256 * MIB, 64 * KIB);
  CHECK_EQUAL(0, questions_of(TARGET + 256 * MIB - 64 * KIB, TARGET + 200 * MIB, 64 * KIB));
  CHECK_EQUAL(0, questions_of(TARGET - 256 * MIB + 64 * KIB, TARGET - 200 * MIB, 64 * KIB));
  CHECK_EQUAL(0, questions_of(TARGET + 64 * KIB, TARGET + 60 * MIB, 64 * KIB));
}

TEST(sixteen_spans_are_remembered) {
  invent();
  enum { SPANS = 16 };
  const uintptr_t apart = 4 * MIB;
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  for (uintptr_t i = 0; i <= SPANS; i++) {
    request.target = TARGET + i * apart;
    request.range = (nbuf_range){request.target, request.target + 128 * KIB - 1};
    CHECK_EQUAL(request.target, make(&request).start);
  }
  for (uintptr_t i = 0; i <= SPANS; i++) { /* the last one took the place of the first */
    int questions = system_is.questions;
    request.target = TARGET + i * apart;
    request.range = (nbuf_range){request.target, request.target + 128 * KIB - 1};
    CHECK_EQUAL(request.target + 64 * KIB, make(&request).start);
    CHECK_EQUAL(i == 0 ? 1 : 0, system_is.questions > questions);
    i += i == 0; /* and this one that of the second */
  }
}

/* Which the library is not told of. */
static void unmapped_by_others(uintptr_t start, uintptr_t size) {
  CHECK_OK(nbuf_os_unmap(start, size).status);
}

TEST(what_is_made_again_inside_a_span_needs_no_other_one) {
  invent();
  (void)make_at(TARGET + 256 * MIB, 64 * KIB);
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  request.range = (nbuf_range){TARGET, TARGET + 64 * KIB - 1};
  CHECK_EQUAL(TARGET, make(&request).start);
  for (int i = 0; i < NBUF_SPANS; i++) {
    unmapped_by_others(TARGET, 64 * KIB);
    CHECK_EQUAL(TARGET, make(&request).start);
  }
  CHECK_EQUAL(0, questions_of(TARGET + 256 * MIB - 64 * KIB, TARGET + 200 * MIB, 64 * KIB));
}

TEST(a_place_beside_a_span_lies_in_the_range_and_is_aligned) {
  invent();
  (void)make_at(TARGET, 64 * KIB);
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  request.range.max = TARGET + 128 * KIB - 2;
  request.range.min = TARGET - 64 * KIB + 1;
  check_fails(NEARBUF_NO_ROOM, 0, &request);
  request.range.max++;
  CHECK_EQUAL(TARGET + 64 * KIB, make(&request).start);
  request = request_at(TARGET, 64 * KIB);
  request.alignment = 1 * MIB;
  CHECK_EQUAL(TARGET - 1 * MIB, make(&request).start);
}

TEST(the_lowest_addresses_hold_no_place_below_a_span) {
  invent();
  system_is.limits.min = GRANULE;
  nbuf_gap_request request = request_at(0, 2 * GRANULE);
  request.range = (nbuf_range){0, 4 * GRANULE - 1};
  CHECK_EQUAL(GRANULE, make(&request).start);
  check_fails(NEARBUF_NO_ROOM, 0, &request);
}

TEST(what_a_search_adds_below_a_span_is_continued_below) {
  invent();
  (void)make_at(TARGET, 64 * KIB);
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  request.range = (nbuf_range){TARGET - 32 * KIB, TARGET + 64 * KIB - 1};
  request.least = 32 * KIB;
  CHECK_EQUAL(TARGET - 32 * KIB, make(&request).start);
  CHECK_EQUAL(0, questions_of(TARGET - 96 * KIB, TARGET - 48 * KIB, 64 * KIB));
}

/* ---- Where a gap is much nearer -------------------------------------------------------------- */

#define NEARER (128 * MIB)

TEST(a_gap_that_is_no_more_than_128_mib_nearer_is_not_looked_for) {
  invent();
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  request.range.min = TARGET;
  (void)make(&request);
  request.target = TARGET + 64 * KIB + NEARER;
  CHECK_EQUAL(0, questions_of(TARGET + 64 * KIB, TARGET + 128 * KIB - 1 + NEARER, 64 * KIB));
  uintptr_t beyond = TARGET + 192 * KIB + NEARER;
  CHECK(questions_of(beyond, beyond, 64 * KIB) > 0);
}

/* All is full for 256 MiB on both sides of the target. */
static void surround_target(void) {
  invent();
  occupy(TARGET, 64 * KIB);
  occupy(TARGET - 256 * MIB, 256 * MIB);
  occupy(TARGET + 64 * KIB, 256 * MIB - 64 * KIB);
}

/* What occupies the target goes away. */
static void free_target(void) {
  system_is.mapped[0] = system_is.mapped[1];
}

/* The places beside the first region, from which it is 256 MiB to the target. */
#define FAR_ABOVE (TARGET + 256 * MIB)

TEST(that_nothing_is_nearer_holds_for_32_times_the_time_of_the_search) {
  surround_target();
  uint64_t start = system_is.now;
  CHECK_EQUAL(FAR_ABOVE, make_at(TARGET + 1, 64 * KIB));
  uint64_t end = system_is.now;
  CHECK(end > start);
  free_target();
  system_is.now = end + 32 * (end - start) - 1;
  CHECK_EQUAL(0, questions_of(FAR_ABOVE + 64 * KIB, TARGET + 1, 64 * KIB));
  system_is.now = end + 32 * (end - start);
  CHECK(questions_of(TARGET, TARGET + 1, 64 * KIB) > 0);
}

/* What was placed elsewhere before has nothing to do with it. */
TEST(it_holds_beside_what_was_placed_later_than_others_too) {
  surround_target();
  system_is.question_ns = 1000000000;
  (void)make_at(FAR_ABOVE + 512 * MIB, 64 * KIB);
  (void)make_at(TARGET + 1, 64 * KIB);
  free_target();
  CHECK_EQUAL(0, questions_of(FAR_ABOVE + 64 * KIB, TARGET + 1, 64 * KIB));
}

static void forget_searches(void) {
  system_is.now += 100 * system_is.question_ns * (uint64_t)system_is.questions;
}

/* The sixteen spans of a copy are not used up by one that grows. */
TEST(what_a_search_finds_at_the_end_of_a_span_belongs_to_it) {
  surround_target();
  occupy(TARGET - 512 * MIB, 256 * MIB); /* so that above is nearer */
  uintptr_t other = make_at(256 * MIB, 64 * KIB);
  for (uintptr_t i = 0; i < 20; i++) {
    forget_searches();
    CHECK(questions_of(FAR_ABOVE + i * 64 * KIB, TARGET + 1, 64 * KIB) > 0);
  }
  CHECK_EQUAL(0, questions_of(FAR_ABOVE + 20 * (64 * KIB), TARGET + 1, 64 * KIB));
  CHECK_EQUAL(0, questions_of(other - 64 * KIB, other, 64 * KIB));
}

TEST(so_does_what_it_finds_at_the_start) {
  invent();
  occupy(TARGET - 256 * MIB, 0x80000000 - (TARGET - 256 * MIB));
  uintptr_t first = TARGET - 256 * MIB - 64 * KIB;
  uintptr_t other = make_at(256 * MIB, 64 * KIB);
  for (uintptr_t i = 0; i < 20; i++) {
    forget_searches();
    CHECK(questions_of(first - i * 64 * KIB, TARGET, 64 * KIB) > 0);
  }
  CHECK_EQUAL(0, questions_of(first - 20 * (64 * KIB), TARGET, 64 * KIB));
  CHECK_EQUAL(0, questions_of(other - 64 * KIB, other, 64 * KIB));
}

TEST(it_holds_for_targets_up_to_128_mib_away) {
  surround_target();
  system_is.question_ns = 1000000000;
  (void)make_at(TARGET + 1, 64 * KIB);
  free_target();
  CHECK_EQUAL(0, questions_of(FAR_ABOVE + 64 * KIB, TARGET + 1 + NEARER, 64 * KIB));
  CHECK(questions_of(TARGET, TARGET + 2 + NEARER, 64 * KIB) > 0);
}

TEST(it_holds_for_places_up_to_128_mib_farther_away) {
  surround_target();
  system_is.question_ns = 1000000000;
  (void)make_at(TARGET + 1, 64 * KIB);
  (void)make_at(FAR_ABOVE + 64 * KIB, NEARER - 64 * KIB);
  free_target();
  CHECK_EQUAL(0, questions_of(FAR_ABOVE + NEARER, TARGET + 1, 64 * KIB));
  CHECK(questions_of(TARGET, TARGET + 1, 64 * KIB) > 0);
}

/* ---- What a search remembers ----------------------------------------------------------------- */

/* Small gaps around the target, and larger ones outside: of 4 KiB, with 4 KiB occupied before
 * each. */
static void scatter(uintptr_t count) {
  invent();
  for (uintptr_t i = 0; i < count; i++) {
    occupy(TARGET + (2 * i - count) * GRANULE, GRANULE);
  }
}

/* One place of 64 KiB on each side of them. */
static void scatter_between_walls(uintptr_t count) {
  scatter(count);
  occupy(TARGET - count * GRANULE - 64 * KIB - 512 * MIB, 512 * MIB);
  occupy(TARGET + count * GRANULE + 64 * KIB - GRANULE, 256 * MIB);
}

static uintptr_t place_above(uintptr_t count) {
  return TARGET + (count - 1) * GRANULE;
}

static uintptr_t place_below(uintptr_t count) {
  return TARGET - count * GRANULE - 64 * KIB;
}

static void forget(void) {
  system_is.mapped_count = system_is.own_from = 0;
  regions = (nbuf_regions){0};
}

TEST(where_a_search_found_nothing_is_not_searched_again_if_that_took_64_questions) {
  bool is_seen[2] = {false, false};
  for (uintptr_t count = 60; count < 200; count += 2) {
    forget();
    scatter_between_walls(count);
    int questions = questions_of(place_above(count), TARGET + 1, 64 * KIB);
    int again = questions_of(place_below(count), TARGET + 1, 64 * KIB);
    CHECK_EQUAL(questions >= 64, again < questions / 2);
    is_seen[questions == 64] |= questions == 63 || questions == 64;
  }
  CHECK(is_seen[0] && is_seen[1]);
}

TEST(so_are_other_searches_elsewhere) {
  scatter_between_walls(200);
  (void)make_at(TARGET + 1, 64 * KIB);
  const uintptr_t other = TARGET + 512 * MIB;
  system_is.own_from = system_is.mapped_count;
  for (uintptr_t i = 0; i < 200; i++) {
    occupy(other + i * 2 * GRANULE, GRANULE);
  }
  nbuf_gap_request request = request_at(other, 64 * KIB);
  request.range = (nbuf_range){other, other + 399 * GRANULE + 256 * KIB - 1};
  CHECK_EQUAL(other + 399 * GRANULE, make(&request).start);
  int questions = system_is.questions;
  request.alignment = 64 * KIB;
  CHECK(make(&request).start > other + 399 * GRANULE);
  CHECK(system_is.questions - questions < 10);
}

TEST(that_it_is_full_holds_for_32_times_the_time_of_the_search) {
  for (int is_over = 0; is_over < 2; is_over++) {
    forget();
    scatter_between_walls(200);
    uint64_t start = system_is.now;
    CHECK(questions_of(place_above(200), TARGET + 1, 64 * KIB) > 100);
    uint64_t end = system_is.now;
    system_is.now = end + 32 * (end - start) - !is_over;
    CHECK_EQUAL(is_over, questions_of(place_below(200), TARGET + 1, 64 * KIB) > 100);
  }
}

TEST(what_extends_it_holds_no_longer_than_the_first_part) {
  scatter_between_walls(200);
  occupy(place_above(200) + 64 * KIB + 256 * MIB + 64 * KIB, 128 * MIB);
  regions.searched[0] = (nbuf_searched){{64 * KIB, 128 * KIB}, 64 * KIB, UINT64_MAX}; /* another */
  regions.next_searched = 1;
  uint64_t start = system_is.now;
  CHECK_EQUAL(place_above(200), make_at(TARGET + 1, 64 * KIB));
  uint64_t until = system_is.now + 32 * (system_is.now - start);
  CHECK_EQUAL(place_below(200), make_at(TARGET + 1, 64 * KIB));
  system_is.now = until;
  CHECK(questions_of(place_above(200) + 64 * KIB + 256 * MIB, TARGET + 1, 64 * KIB) > 100);
}

TEST(after_a_long_search_any_place_beside_a_span_will_do_for_32_times_its_time) {
  scatter_between_walls(200);
  uintptr_t beyond = place_above(200) + 64 * KIB + 256 * MIB;
  uintptr_t far = beyond + 512 * MIB;
  uint64_t start = system_is.now;
  (void)make_at(TARGET + 1, 64 * KIB);
  uint64_t end = system_is.now;
  (void)make_at(TARGET + 1, 64 * KIB);
  CHECK_EQUAL(beyond, make_at(TARGET + 1, 64 * KIB));
  CHECK_EQUAL(far, make_at(far, 64 * KIB));
  refuse_at(beyond + 64 * KIB, 64 * KIB);
  CHECK_EQUAL(0, questions_of(far - 64 * KIB, TARGET + 1, 64 * KIB));
  system_is.now = end + 32 * (end - start);
  CHECK(questions_of(beyond + 128 * KIB, TARGET + 1, 64 * KIB) > 0);
}

TEST(a_smaller_request_searches_there) {
  scatter_between_walls(200);
  (void)make_at(TARGET + 1, 64 * KIB);
  (void)make_at(TARGET + 1, 64 * KIB);
  CHECK(nbuf_distance(TARGET + 1, make_at(TARGET + 1, GRANULE)) <= 2 * GRANULE);
}

TEST(a_larger_one_does_not) {
  scatter_between_walls(200);
  (void)make_at(TARGET + 1, 64 * KIB);
  uintptr_t beyond = place_above(200) + 64 * KIB + 256 * MIB;
  CHECK(questions_of(beyond, TARGET + 1, 128 * KIB) < 10);
}

TEST(where_nothing_else_is_left_what_became_free_there_is_found) {
  scatter_between_walls(200);
  nbuf_gap_request request = request_at(TARGET + 1, 64 * KIB);
  request.range = (nbuf_range){place_below(200), place_above(200) + 64 * KIB - 1};
  request.spares_reserved = true; /* else all is searched again for what is reserved */
  (void)make(&request);
  (void)make(&request);
  check_fails(NEARBUF_NO_ROOM, 0, &request);
  for (size_t i = 95; i < 105; i++) {
    system_is.mapped[i] = system_is.mapped[0];
  }
  uintptr_t start = make(&request).start;
  CHECK(nbuf_distance(TARGET, start) < 128 * KIB);
}

TEST(what_this_module_frees_is_used_again_at_once) {
  scatter_between_walls(200);
  (void)make_at(TARGET + 1, 64 * KIB);
  uintptr_t second = make_at(TARGET + 1, 64 * KIB);
  CHECK_EQUAL(place_below(200), second);
  drop(second, 64 * KIB);
  CHECK_EQUAL(second, make_at(TARGET + 1, 64 * KIB));
  (void)make_at(TARGET + 1, GRANULE);
  drop(place_above(200), 64 * KIB);
  CHECK_EQUAL(place_above(200), make_at(TARGET + 1, 64 * KIB));
}

/* 52 KiB in a hole of 60: when they are freed, what was too small is large enough. */
TEST(so_is_the_room_around_it) {
  scatter_between_walls(200);
  for (size_t i = 0; i < system_is.own_from; i++) {
    if (nbuf_distance(system_is.mapped[i].min, TARGET) <= 28 * KIB) {
      system_is.mapped[i] = system_is.mapped[0];
    }
  }
  uintptr_t start = make_at(TARGET + 1, 52 * KIB);
  CHECK(nbuf_distance(start, TARGET) < 32 * KIB);
  CHECK_EQUAL(place_above(200), make_at(TARGET + 1, 60 * KIB));
  drop(start, 52 * KIB);
  CHECK(nbuf_distance(make_at(TARGET + 1, 60 * KIB), TARGET) <= 32 * KIB);
}

TEST(a_search_of_the_map_in_ascending_order_leaves_nothing_out) {
  scatter_between_walls(200);
  CHECK_EQUAL(place_above(200), make_at(TARGET + 1, 64 * KIB));
  system_is.is_expensive = true;
  CHECK(questions_of(place_below(200), TARGET + 1, 64 * KIB) > 200);
}

/* ---- More room than is needed ---------------------------------------------------------------- */

static nbuf_gap_request greedy_request(void) {
  nbuf_gap_request request = request_at(TARGET + 1, GRANULE);
  request.want = 64 * KIB;
  return request;
}

TEST(where_more_room_was_looked_for_in_vain_the_nearest_gap_is_used) {
  scatter(400);
  nbuf_gap_request request = greedy_request();
  int questions = system_is.questions;
  CHECK_EQUAL(GRANULE, make(&request).size);
  CHECK(system_is.questions - questions >= 64);
  for (int i = 0; i < 10; i++) {
    questions = system_is.questions;
    CHECK_EQUAL(GRANULE, make(&request).size);
    CHECK(system_is.questions - questions < 20);
  }
}

TEST(from_elsewhere_more_room_is_looked_for) {
  scatter(400);
  nbuf_gap_request request = greedy_request();
  (void)make(&request);
  request.target = TARGET + 380 * GRANULE + 1;
  CHECK_EQUAL(64 * KIB, make(&request).size);
}

TEST(where_memory_is_short_a_region_has_only_the_size_that_is_needed) {
  invent();
  system_is.most_bytes = 32 * KIB;
  nbuf_gap_request request = greedy_request();
  CHECK_EQUAL(GRANULE, make(&request).size);
  request.least = 32 * KIB;
  CHECK_EQUAL(32 * KIB, make(&request).size);
  request.least = 36 * KIB;
  check_fails(NEARBUF_OUT_OF_MEMORY, CODE_OF_MAP, &request);
  request.least = request.want;
  int tries = system_is.tries;
  check_fails(NEARBUF_OUT_OF_MEMORY, CODE_OF_MAP, &request);
  CHECK(system_is.tries <= tries + 2); /* a place beside, and one that the search found */
}

/* ---- What the system refuses ----------------------------------------------------------------- */

TEST(a_place_beside_a_span_that_is_taken_is_tried_once) {
  invent();
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  request.range.min = TARGET;
  (void)make(&request);
  refuse_at(TARGET + 64 * KIB, 64 * KIB);
  CHECK_EQUAL(TARGET + 128 * KIB, make(&request).start);
  CHECK_EQUAL(TARGET + 192 * KIB, make(&request).start); /* below the new span was tried, too */
  int tries = system_is.tries;
  CHECK_EQUAL(TARGET + 256 * KIB, make(&request).start);
  CHECK_EQUAL(tries + 1, system_is.tries);
}

TEST(a_smaller_region_is_tried_where_a_larger_one_was_refused) {
  invent();
  (void)make_at(TARGET, 64 * KIB);
  refuse_at(TARGET + 96 * KIB, 64 * KIB);
  refuse_at(TARGET - 96 * KIB, 64 * KIB);
  (void)make_at(TARGET + 32 * KIB, 64 * KIB);
  CHECK_EQUAL(0, questions_of(TARGET - 32 * KIB, TARGET, 32 * KIB));
  CHECK_EQUAL(0, questions_of(TARGET + 64 * KIB, TARGET + 63 * KIB, 32 * KIB));
}

TEST(beside_what_was_added_to_a_span_every_size_is_tried) {
  invent();
  (void)make_at(TARGET, 64 * KIB);
  refuse_at(TARGET + 96 * KIB, 64 * KIB);
  refuse_at(TARGET - 96 * KIB, 64 * KIB);
  (void)make_at(TARGET + 32 * KIB, 64 * KIB);
  CHECK_EQUAL(0, questions_of(TARGET - 32 * KIB, TARGET, 32 * KIB));
  CHECK_EQUAL(0, questions_of(TARGET + 64 * KIB, TARGET + 63 * KIB, 32 * KIB));
  system_is.refused_count = 0;
  CHECK_EQUAL(0, questions_of(TARGET - 96 * KIB, TARGET, 64 * KIB));
  CHECK_EQUAL(0, questions_of(TARGET + 96 * KIB, TARGET + 64 * KIB, 64 * KIB));
}

TEST(a_place_that_the_map_calls_free_and_the_system_refuses_is_passed_over) {
  invent();
  refuse_at(TARGET, 1);
  refuse_at(TARGET - GRANULE, 1);
  refuse_at(TARGET + GRANULE, 1);
  CHECK_EQUAL(TARGET - 2 * GRANULE, make_at(TARGET + 1, GRANULE));
  CHECK_EQUAL(4, system_is.tries);
}

TEST(so_are_64_of_them_in_single_steps) {
  invent();
  for (uintptr_t i = 0; i < 64; i++) {
    refuse_at(TARGET + i * GRANULE, GRANULE);
  }
  nbuf_gap_request request = request_at(TARGET, GRANULE);
  request.range.min = TARGET;
  CHECK_EQUAL(TARGET + 64 * GRANULE, make(&request).start);
  CHECK_EQUAL(65, system_is.tries);
}

TEST(a_wide_area_that_the_system_refuses_is_passed_over_in_ever_larger_steps) {
  invent();
  refuse_at(TARGET, 200 * MIB);
  uintptr_t place = TARGET;
  int tries = 0;
  for (; place < TARGET + 200 * MIB; tries++) { /* four steps of each size, after 64 */
    place += GRANULE + (tries < 64 ? 0 : GRANULE << ((tries - 64) / 4));
  }
  nbuf_gap_request request = request_at(TARGET, GRANULE);
  request.range.min = TARGET;
  CHECK_EQUAL(place, make(&request).start);
  CHECK_EQUAL(tries + 1, system_is.tries);
}

TEST(a_system_that_refuses_every_place_is_asked_128_times) {
  invent();
  refuse_at(0, UINTPTR_MAX);
  nbuf_gap_request request = request_at(TARGET, GRANULE);
  request.spares_reserved = true;
  request.range = (nbuf_range){64 * KIB, UINTPTR_MAX};
  system_is.limits.max = UINTPTR_MAX;
  check_fails(NEARBUF_NO_ROOM, 0, &request);
  CHECK_EQUAL(128, system_is.tries);
}

static void check_both_fail(nearbuf_status status, int32_t code) {
  nbuf_gap_request request = request_at(TARGET, GRANULE);
  check_fails(status, code, &request);
  request.target = 0;
  check_fails(status, code, &request);
}

TEST(the_reason_is_told_where_executable_memory_is_forbidden) {
  invent();
  system_is.map_status = NEARBUF_DENIED;
  check_both_fail(NEARBUF_DENIED, CODE_OF_MAP);
  CHECK_EQUAL(2, system_is.tries);
}

TEST(the_reason_is_told_where_the_map_cannot_be_opened_or_read) {
  invent();
  system_is.open_status = NEARBUF_OUT_OF_MEMORY;
  check_both_fail(NEARBUF_OUT_OF_MEMORY, CODE_OF_OPEN);
  system_is.open_status = NEARBUF_OK;
  system_is.answers_left = 0;
  check_both_fail(NEARBUF_SYSTEM_ERROR, CODE_OF_QUERY);
}

TEST(a_region_that_cannot_be_unmapped_is_not_given_again) {
  invent();
  uintptr_t start = make_at(TARGET, 64 * KIB);
  system_is.unmap_status = NEARBUF_SYSTEM_ERROR;
  nbuf_result result = nbuf_region_drop(&regions, &(nbuf_place){start, 64 * KIB});
  CHECK_STATUS(NEARBUF_SYSTEM_ERROR, result.status);
  CHECK_EQUAL(CODE_OF_UNMAP, result.system_error);
  CHECK_EQUAL(0, atomic_load(&regions.lock));
  CHECK_EQUAL(0, questions_of(TARGET + 64 * KIB, TARGET + 63 * KIB, 64 * KIB));
}

TEST(where_the_range_has_no_addresses_of_the_system_there_is_no_room) {
  invent();
  system_is.limits = (nbuf_range){TARGET, TARGET + 1 * MIB - 1};
  nbuf_gap_request request = request_at(TARGET, GRANULE);
  request.range.max = TARGET - 1;
  check_fails(NEARBUF_NO_ROOM, 0, &request);
  request.range.max = TARGET + GRANULE - 1;
  CHECK_EQUAL(TARGET, make(&request).start);
  CHECK_EQUAL(1, system_is.tries);
}

/* ---- What was freed -------------------------------------------------------------------------- */

TEST(the_end_of_a_span_that_was_freed_is_used_again) {
  invent();
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  request.range.min = TARGET;
  int questions = make_three(&request);
  drop(TARGET + 128 * KIB, 64 * KIB);
  CHECK_EQUAL(TARGET + 128 * KIB, make(&request).start);
  drop(TARGET + 128 * KIB, 64 * KIB);
  drop(TARGET + 64 * KIB, 64 * KIB);
  CHECK_EQUAL(TARGET + 64 * KIB, make(&request).start);
  CHECK_EQUAL(questions, system_is.questions);
}

TEST(the_start_of_a_span_that_was_freed_is_used_again) {
  invent();
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  request.range.max = TARGET + 64 * KIB - 1;
  int questions = make_three(&request);
  drop(TARGET - 128 * KIB, 64 * KIB);
  CHECK_EQUAL(TARGET - 128 * KIB, make(&request).start);
  drop(TARGET - 128 * KIB, 64 * KIB);
  drop(TARGET - 64 * KIB, 64 * KIB);
  CHECK_EQUAL(TARGET - 64 * KIB, make(&request).start);
  CHECK_EQUAL(questions, system_is.questions);
}

TEST(a_span_of_which_the_middle_was_freed_goes_on_at_its_ends) {
  invent();
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  request.range.min = TARGET;
  int questions = make_three(&request);
  drop(TARGET + 64 * KIB, 64 * KIB);
  request.target = TARGET + 256 * KIB;
  CHECK_EQUAL(TARGET + 192 * KIB, make(&request).start);
  CHECK_EQUAL(questions, system_is.questions);
}

/* What stood in the way of the end that was freed does not stand in the way of the new one. */
TEST(ends_that_were_freed_are_used_again_where_others_were_refused) {
  invent();
  refuse_at(TARGET + 128 * KIB, 64 * KIB);
  refuse_at(TARGET - 128 * KIB, 64 * KIB);
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  request.range = (nbuf_range){TARGET - 128 * KIB, TARGET + 192 * KIB - 1};
  (void)make_three(&request);
  check_fails(NEARBUF_NO_ROOM, 0, &request);
  drop(TARGET - 64 * KIB, 64 * KIB);
  int questions = system_is.questions;
  CHECK_EQUAL(TARGET - 64 * KIB, make(&request).start);
  drop(TARGET + 64 * KIB, 64 * KIB);
  CHECK_EQUAL(TARGET + 64 * KIB, make(&request).start);
  CHECK_EQUAL(questions, system_is.questions);
}

TEST(other_spans_go_on_where_they_end) {
  invent();
  const uintptr_t far = TARGET + 512 * MIB;
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  nbuf_gap_request other = request_at(far, 64 * KIB);
  for (int i = 0; i < 2; i++) {
    (void)make(&request);
    (void)make(&other);
  }
  drop(TARGET - 64 * KIB, 64 * KIB);
  CHECK_EQUAL(0, questions_of(far - 128 * KIB, far - 64 * KIB, 64 * KIB));
  drop(far - 128 * KIB, 64 * KIB);
  CHECK_EQUAL(0, questions_of(far - 128 * KIB, far - 64 * KIB, 64 * KIB));
  drop(far, 64 * KIB);
  CHECK_EQUAL(0, questions_of(far, far + 63 * KIB, 64 * KIB));
  CHECK_EQUAL(0, questions_of(TARGET - 64 * KIB, TARGET, 64 * KIB));
}

TEST(pieces_of_which_the_oldest_is_freed_first_stay_beside_their_target) {
  enum { LIVE = 16, TIMES = 1000 };
  uintptr_t pieces[LIVE];
  invent();
  for (int i = 0; i < TIMES; i++) {
    if (i >= LIVE) {
      drop(pieces[i % LIVE], GRANULE);
    }
    pieces[i % LIVE] = make_at(TARGET, GRANULE);
    CHECK(nbuf_distance(pieces[i % LIVE], TARGET) <= LIVE * GRANULE);
  }
  CHECK_EQUAL(TIMES, system_is.tries);
}

TEST(a_hole_is_used_in_parts_and_then_what_surrounds_it) {
  invent();
  (void)make_at(TARGET, GRANULE);
  uintptr_t hole = make_at(TARGET, 4 * GRANULE);
  (void)make_at(TARGET, 4 * GRANULE);
  (void)make_at(TARGET, 4 * GRANULE);
  drop(hole, 4 * GRANULE);
  int tries = system_is.tries;
  for (int i = 0; i < 4; i++) {
    uintptr_t part = make_at(TARGET, GRANULE);
    CHECK(hole <= part && part < hole + 4 * GRANULE);
  }
  uintptr_t next = make_at(TARGET, GRANULE);
  CHECK(next < hole || next >= hole + 4 * GRANULE);
  CHECK_EQUAL(tries + 5, system_is.tries);
}

TEST(a_hole_that_is_taken_is_tried_once) {
  invent();
  (void)make_at(TARGET, GRANULE);
  uintptr_t hole = make_at(TARGET, 4 * GRANULE);
  (void)make_at(TARGET, 4 * GRANULE);
  (void)make_at(TARGET, 4 * GRANULE);
  drop(hole, 4 * GRANULE);
  refuse_at(hole, 4 * GRANULE);
  int tries = system_is.tries;
  (void)make_at(TARGET, GRANULE);
  (void)make_at(TARGET, GRANULE);
  CHECK_EQUAL(tries + 3, system_is.tries);
}

static void free_lock(void) {
  atomic_store(&regions.lock, 0);
}

/* By a request that could not look at what was noted. */
TEST(a_hole_in_which_a_search_finds_a_place_is_none_any_more) {
  invent();
  uintptr_t start = make_at(TARGET, 64 * KIB);
  (void)make_at(TARGET + 64 * KIB, 64 * KIB);
  (void)make_at(TARGET + 128 * KIB, 64 * KIB);
  uintptr_t middle = start + 64 * KIB;
  drop(middle, 64 * KIB);
  atomic_store(&regions.lock, LOCK_OF_OTHER);
  system_is.meanwhile = free_lock;
  CHECK_EQUAL(middle, make_at(middle, 64 * KIB));
  int tries = system_is.tries;
  (void)make_at(middle, 64 * KIB);
  CHECK_EQUAL(tries + 1, system_is.tries);
}

TEST(where_memory_is_short_the_place_is_not_lost) {
  invent();
  (void)make_at(TARGET, 64 * KIB);
  system_is.most_bytes = GRANULE;
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  check_fails(NEARBUF_OUT_OF_MEMORY, CODE_OF_MAP, &request);
  system_is.most_bytes = SIZE_MAX;
  CHECK_EQUAL(TARGET - 64 * KIB, make_at(TARGET, 64 * KIB));
}

static uintptr_t of_other_thread;

static void make_in_other_thread(void) {
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  nbuf_place region;
  CHECK_OK(nbuf_region_make(&regions, &request, &region).status);
  of_other_thread = region.start;
}

TEST(threads_that_make_regions_at_once_try_different_places) {
  invent();
  (void)make_at(TARGET, 64 * KIB);
  system_is.meanwhile = make_in_other_thread;
  CHECK_EQUAL(TARGET - 64 * KIB, make_at(TARGET, 64 * KIB));
  CHECK_EQUAL(TARGET + 64 * KIB, of_other_thread);
  drop(TARGET, 64 * KIB);
  system_is.meanwhile = make_in_other_thread;
  CHECK_EQUAL(TARGET, make_at(TARGET, 64 * KIB));
  CHECK_EQUAL(TARGET - 128 * KIB, of_other_thread);
  CHECK_EQUAL(5, system_is.tries);
}

TEST(a_span_that_was_freed_is_used_again) {
  invent();
  uintptr_t start = make_at(TARGET, 64 * KIB);
  drop(start, 64 * KIB);
  CHECK_EQUAL(0, questions_of(TARGET, TARGET + 63 * KIB, 64 * KIB));
}

/* ---- What the system needs itself ------------------------------------------------------------ */

TEST(what_is_reserved_is_used_last) {
  invent();
  system_is.reserved[0] = (nbuf_range){64 * KIB, 128 * KIB};
  system_is.reserved[1] = (nbuf_range){TARGET - 1 * MIB, TARGET + 1 * MIB - 1};
  nbuf_gap_request request = request_at(TARGET + 1, 64 * KIB);
  request.range = (nbuf_range){TARGET - 1 * MIB, TARGET + 1 * MIB + 128 * KIB - 1};
  CHECK_EQUAL(TARGET + 1 * MIB, make(&request).start);
  CHECK_EQUAL(TARGET + 1 * MIB + 64 * KIB, make(&request).start);
  CHECK_EQUAL(TARGET, make(&request).start);
  CHECK_EQUAL(TARGET - 64 * KIB, make(&request).start);
}

TEST(beside_a_span_the_side_that_is_not_reserved_is_used) {
  invent();
  system_is.reserved[0] = (nbuf_range){64 * KIB, 128 * KIB};
  system_is.reserved[1] = (nbuf_range){TARGET + 64 * KIB, TARGET + 1 * MIB - 1};
  (void)make_at(TARGET, 64 * KIB);
  CHECK_EQUAL(0, questions_of(TARGET - 64 * KIB, TARGET + 63 * KIB, 64 * KIB));
  forget();
  system_is.reserved[0] = (nbuf_range){TARGET - 1 * MIB, TARGET - 1};
  system_is.reserved[1] = (nbuf_range){1, 0};
  (void)make_at(TARGET, 64 * KIB);
  CHECK_EQUAL(0, questions_of(TARGET + 64 * KIB, TARGET, 64 * KIB));
}

TEST(it_is_not_used_where_another_range_is_tried_next) {
  invent();
  system_is.reserved[1] = (nbuf_range){TARGET - 1 * MIB, TARGET + 1 * MIB - 1};
  nbuf_gap_request request = request_at(TARGET + 1, 64 * KIB);
  request.range = (nbuf_range){TARGET - 1 * MIB, TARGET + 1 * MIB - 1};
  request.spares_reserved = true;
  check_fails(NEARBUF_NO_ROOM, 0, &request);
  request.spares_reserved = false;
  CHECK_EQUAL(TARGET, make(&request).start);
}

TEST(a_full_range_is_searched_again_only_if_something_was_left_out) {
  invent();
  occupy(TARGET - 1 * MIB, 2 * MIB);
  nbuf_gap_request request = request_at(TARGET, GRANULE);
  request.range = (nbuf_range){TARGET - 1 * MIB, TARGET + 1 * MIB - 1};
  check_fails(NEARBUF_NO_ROOM, 0, &request);
  int once = system_is.questions;
  system_is.reserved[0] = (nbuf_range){TARGET, TARGET + GRANULE - 1};
  check_fails(NEARBUF_NO_ROOM, 0, &request);
  CHECK_EQUAL(once + 2 * once, system_is.questions);
}

TEST(what_is_near_an_image_is_used_last) {
  invent();
  system_is.near_image = (nbuf_range){TARGET - 1 * MIB, TARGET + 1 * MIB - 1};
  nbuf_gap_request request = request_at(TARGET + 1, 64 * KIB);
  request.range = (nbuf_range){TARGET - 1 * MIB, TARGET + 1 * MIB + 128 * KIB - 1};
  CHECK_EQUAL(TARGET + 1 * MIB, make(&request).start);
  CHECK_EQUAL(TARGET + 1 * MIB + 64 * KIB, make(&request).start);
  CHECK_EQUAL(TARGET, make(&request).start);
}

/* A stack that has one page so far, and may grow to 8 MiB. */
#define STACK (TARGET + 32 * MIB)

static void grow_a_stack(uintptr_t most) {
  invent();
  system_is.stack = STACK;
  system_is.least_growth = 1 * MIB;
  system_is.most_growth = most;
  occupy(STACK, GRANULE);
}

TEST(what_a_stack_may_grow_into_is_used_last) {
  grow_a_stack(8 * MIB);
  nbuf_gap_request request = request_at(STACK - 2 * MIB, 64 * KIB);
  request.range = (nbuf_range){STACK - 8 * MIB - 128 * KIB, STACK + GRANULE - 1};
  CHECK_EQUAL(STACK - 8 * MIB - 64 * KIB, make(&request).start);
  CHECK_EQUAL(STACK - 8 * MIB - 128 * KIB, make(&request).start);
  CHECK_EQUAL(STACK - 2 * MIB, make(&request).start);
  request.target = STACK - 2 * MIB + 63 * KIB; /* nearer to the stack only after a search */
  CHECK_EQUAL(STACK - 2 * MIB - 64 * KIB, make(&request).start);
}

TEST(what_the_system_keeps_free_below_a_stack_is_never_used) {
  grow_a_stack(8 * MIB);
  nbuf_gap_request request = request_at(STACK - 64 * KIB, 64 * KIB);
  request.range = (nbuf_range){STACK - 1 * MIB - 64 * KIB, STACK - 1};
  CHECK_EQUAL(STACK - 1 * MIB - 64 * KIB, make(&request).start);
  check_fails(NEARBUF_NO_ROOM, 0, &request);
}

TEST(regions_that_follow_each_other_stop_where_a_stack_may_grow) {
  grow_a_stack(8 * MIB);
  nbuf_gap_request request = request_at(STACK - 8 * MIB - 256 * KIB, 64 * KIB);
  request.range.min = request.target;
  for (uintptr_t i = 0; i < 4; i++) {
    CHECK_EQUAL(STACK - 8 * MIB - 256 * KIB + i * 64 * KIB, make(&request).start);
  }
  CHECK_EQUAL(STACK + GRANULE, make(&request).start);
}

TEST(so_they_do_where_the_first_request_did_not_reach_the_stack) {
  grow_a_stack(8 * MIB);
  nbuf_gap_request request = request_at(STACK - 8 * MIB - 128 * KIB, 64 * KIB);
  request.range = (nbuf_range){request.target, STACK - 8 * MIB - 64 * KIB + GRANULE - 1};
  CHECK_EQUAL(request.target, make(&request).start);
  request.range.max = STACK + 1 * MIB;
  int questions = system_is.questions;
  CHECK_EQUAL(STACK - 8 * MIB - 64 * KIB, make(&request).start);
  CHECK_EQUAL(questions, system_is.questions);
  CHECK_EQUAL(STACK + GRANULE, make(&request).start);
}

TEST(so_they_do_below_a_stack_that_may_grow_as_far_as_any) {
  const uintptr_t most = NBUF_OS_MOST_GROWTH;
  grow_a_stack(most);
  nbuf_gap_request request = request_at(STACK - most - 128 * KIB, 64 * KIB);
  request.range = (nbuf_range){request.target, STACK + 1 * MIB};
  CHECK_EQUAL(STACK - most - 128 * KIB, make(&request).start);
  CHECK_EQUAL(STACK - most - 64 * KIB, make(&request).start);
  CHECK_EQUAL(0, system_is.growth_questions); /* no stack grows farther */
  CHECK_EQUAL(STACK + GRANULE, make(&request).start);
}

/* Of less than 1 MiB the system keeps all free below a stack, and has given a place there. */
TEST(whether_a_stack_is_near_is_asked_where_one_may_grow_into_the_place) {
  grow_a_stack(0);
  system_is.stack = 0;
  (void)make_at(STACK - 1 * MIB - GRANULE, GRANULE);
  CHECK_EQUAL(1, system_is.growth_questions);
  regions = (nbuf_regions){0};
  (void)make_at(STACK - 1 * MIB, GRANULE);
  CHECK_EQUAL(1, system_is.growth_questions);
}

TEST(beside_other_memory_no_room_for_a_stack_is_left) {
  grow_a_stack(8 * MIB);
  system_is.stack = 0;
  CHECK_EQUAL(STACK - 64 * KIB, make_at(STACK - 64 * KIB, 64 * KIB));
}

/* ---- Where the system searches --------------------------------------------------------------- */

TEST(where_the_system_can_search_the_map_is_not_read) {
  invent();
  system_is.can_search = true;
  occupy(TARGET - 64 * KIB, 256 * KIB);
  CHECK_EQUAL(0, questions_of(TARGET - 128 * KIB, TARGET, 64 * KIB));
  regions = (nbuf_regions){0};
  CHECK_EQUAL(0, questions_of(TARGET + 192 * KIB, TARGET + 128 * KIB, 64 * KIB));
  CHECK_EQUAL(4, system_is.mapped_count + 1);
}

TEST(it_finds_the_place_that_contains_the_target) {
  invent();
  system_is.can_search = true;
  CHECK_EQUAL(TARGET, make_at(TARGET + GRANULE - 1, GRANULE));
}

TEST(it_searches_in_the_range_only) {
  invent();
  system_is.can_search = true;
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  request.range.min = TARGET;
  occupy(TARGET, 64 * KIB);
  CHECK_EQUAL(TARGET + 64 * KIB, make(&request).start);
  regions = (nbuf_regions){0};
  request.target = TARGET - 256 * MIB;
  CHECK_EQUAL(TARGET + 128 * KIB, make(&request).start);
}

TEST(what_it_finds_far_away_is_compared_with_smaller_gaps) {
  invent();
  system_is.can_search = true;
  occupy(TARGET - 256 * MIB, 256 * MIB);
  occupy(TARGET + GRANULE, 256 * MIB);
  nbuf_gap_request request = greedy_request();
  CHECK_EQUAL(TARGET, make(&request).start);
  CHECK(system_is.questions > 0);
  CHECK_EQUAL(3, system_is.mapped_count);
}

TEST(above_it_is_asked_only_for_what_is_nearer_than_the_place_below) {
  invent();
  system_is.can_search = true;
  occupy(TARGET, 64 * KIB);
  CHECK_EQUAL(0, questions_of(TARGET - 64 * KIB, TARGET, 64 * KIB));
  CHECK_EQUAL(17 + 1, system_is.tries); /* the places that contain the target, from both sides */
}

TEST(however_far_away_it_finds_a_place_none_is_smaller_than_the_least) {
  invent();
  system_is.can_search = true;
  occupy(TARGET - 256 * MIB, 256 * MIB);
  occupy(TARGET, 128 * MIB);
  occupy(TARGET + 128 * MIB + GRANULE, 127 * MIB);
  CHECK_EQUAL(0, questions_of(TARGET + 255 * MIB + GRANULE, TARGET, 2 * GRANULE));
}

/* Where it prefers a place for two granules to one for a single granule. */
static bool prefers_two_granules(uintptr_t farther) {
  forget();
  occupy(TARGET - 256 * MIB, 256 * MIB);
  occupy(TARGET, 64 * MIB);
  occupy(TARGET + 64 * MIB + GRANULE, farther - GRANULE);
  nbuf_gap_request request = request_at(TARGET, GRANULE);
  request.want = 2 * GRANULE;
  uintptr_t start = make(&request).start;
  CHECK(start == TARGET + 64 * MIB || start == TARGET + 64 * MIB + farther);
  CHECK_EQUAL(4, system_is.mapped_count);
  return start != TARGET + 64 * MIB;
}

TEST(a_smaller_place_is_preferred_where_it_is_more_than_128_mib_nearer) {
  invent();
  system_is.can_search = true;
  CHECK(prefers_two_granules(128 * MIB));
  CHECK_EQUAL(0, system_is.questions);
  CHECK(!prefers_two_granules(128 * MIB + GRANULE));
}

TEST(where_it_knows_that_there_is_no_room_the_map_is_not_read) {
  invent();
  system_is.has_no_room = true;
  nbuf_gap_request request = request_at(TARGET, GRANULE);
  check_fails(NEARBUF_NO_ROOM, 0, &request);
  CHECK_EQUAL(0, system_is.questions);
}

/* ---- Without a target ------------------------------------------------------------------------ */

static void needs_addresses_beyond_4_gib(void) {
  if (UINTPTR_MAX == UINT32_MAX) {
    test_skip("addresses have 32 bits");
  }
}

/* All addresses, where the system puts its own mappings at 16 GiB. */
static nbuf_gap_request request_anywhere(void) {
  invent();
  system_is.limits.max = UINTPTR_MAX / 2;
  system_is.system_place = (uintptr_t)16 * 1024 * MIB;
  nbuf_gap_request request = request_at(0, 64 * KIB);
  request.range.max = UINTPTR_MAX;
  return request;
}

TEST(beyond_4_gib_a_region_is_where_the_system_puts_its_own) {
  needs_addresses_beyond_4_gib();
  nbuf_gap_request request = request_anywhere();
  CHECK_EQUAL(system_is.system_place, make(&request).start);
  (void)make(&request);
  CHECK_EQUAL(1, system_is.own_pages);
  CHECK(!is_mapped(0, system_is.system_place - 64 * KIB));
  CHECK_EQUAL(2, system_is.mapped_count);
}

TEST(where_all_of_that_is_full_it_is_below) {
  needs_addresses_beyond_4_gib();
  nbuf_gap_request request = request_anywhere();
  system_is.system_place = 0;
  occupy((uintptr_t)NEARBUF_4_GIB, UINTPTR_MAX / 2 - (uintptr_t)NEARBUF_4_GIB + 1);
  CHECK_EQUAL((uintptr_t)NEARBUF_4_GIB - 64 * KIB, make(&request).start);
}

TEST(other_failures_are_not_repeated_below) {
  needs_addresses_beyond_4_gib();
  nbuf_gap_request request = request_anywhere();
  system_is.map_status = NEARBUF_DENIED;
  check_fails(NEARBUF_DENIED, CODE_OF_MAP, &request);
  CHECK_EQUAL(1, system_is.tries);
}

TEST(a_target_is_kept_wherever_it_is) {
  needs_addresses_beyond_4_gib();
  nbuf_gap_request request = request_anywhere();
  request.target = TARGET;
  CHECK_EQUAL(TARGET, make(&request).start);
  CHECK_EQUAL(0, system_is.own_pages);
}

/* ---- The lock -------------------------------------------------------------------------------- */

/* The lock's unit of time. */
#define LOCK_UNIT ((uint64_t)1 << 20)

static void check_same(const nbuf_regions *before) {
  CHECK_EQUAL(before->next_span, regions.next_span);
  CHECK_EQUAL(before->next_searched, regions.next_searched);
  CHECK(memcmp(before->spans, regions.spans, sizeof regions.spans) == 0);
  CHECK(memcmp(before->searched, regions.searched, sizeof regions.searched) == 0);
  CHECK_EQUAL(before->holes.count, regions.holes.count);
}

TEST(while_another_thread_holds_the_lock_a_request_searches_the_map) {
  invent();
  system_is.now = 100 * LOCK_UNIT;
  (void)make_at(TARGET, 64 * KIB);
  atomic_store(&regions.lock, 101);
  nbuf_regions before = regions;
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  nbuf_place region;
  int questions = system_is.questions;
  CHECK_OK(nbuf_region_make(&regions, &request, &region).status);
  CHECK_EQUAL(TARGET - 64 * KIB, region.start);
  CHECK(system_is.questions > questions);
  CHECK_OK(nbuf_region_drop(&regions, &region).status);
  check_same(&before);
}

TEST(while_another_thread_holds_the_lock_nothing_is_noted_but_the_claim_before) {
  invent();
  system_is.question_ns = 0;
  (void)make_at(TARGET, 64 * KIB);
  nbuf_regions before = regions;
  before.spans[0].start -= 64 * KIB; /* refused, which only a search notices then */
  atomic_store(&before.lock, LOCK_OF_OTHER);
  system_is.is_lock_taken_meanwhile = true;
  refuse_at(TARGET - 64 * KIB, 64 * KIB);
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  nbuf_place region;
  CHECK_OK(nbuf_region_make(&regions, &request, &region).status);
  check_same(&before);
}

TEST(nor_is_what_was_noted_used_then) {
  scatter_between_walls(200);
  system_is.question_ns = 1;
  (void)make_at(TARGET + 1, 64 * KIB);
  atomic_store(&regions.lock, 1);
  nbuf_gap_request request = request_at(TARGET + 1, 64 * KIB);
  nbuf_place region;
  int questions = system_is.questions;
  CHECK_OK(nbuf_region_make(&regions, &request, &region).status);
  CHECK(system_is.questions - questions > 100);
}

TEST(a_lock_that_is_seen_to_be_held_is_taken_over_half_a_second_later) {
  invent();
  (void)make_at(TARGET, 64 * KIB);
  system_is.question_ns = 0;
  system_is.now = 1000 * LOCK_UNIT;
  atomic_store(&regions.lock, NBUF_REGIONS_HELD);
  nbuf_place region;
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  CHECK_OK(nbuf_region_make(&regions, &request, &region).status);
  CHECK_EQUAL(1001, atomic_load(&regions.lock));
  system_is.now = (1001 + 476) * LOCK_UNIT;
  CHECK_OK(nbuf_region_make(&regions, &request, &region).status);
  CHECK_EQUAL(1001, atomic_load(&regions.lock));
  system_is.now += 2 * LOCK_UNIT;
  (void)make(&request);
}

TEST(a_lock_that_was_held_for_half_a_second_is_taken_over) {
  invent();
  (void)make_at(TARGET, 64 * KIB);
  system_is.question_ns = 0;
  atomic_store(&regions.lock, 1001);
  system_is.now = (1001 + 476) * LOCK_UNIT; /* 499 million ns */
  int questions = system_is.questions;
  nbuf_place region;
  nbuf_gap_request request = request_at(TARGET, 64 * KIB);
  CHECK_OK(nbuf_region_make(&regions, &request, &region).status);
  CHECK(system_is.questions > questions);
  CHECK_EQUAL(1001, atomic_load(&regions.lock));
  system_is.now += 2 * LOCK_UNIT;
  questions = system_is.questions;
  (void)make(&request);
  CHECK_EQUAL(questions, system_is.questions);
}

static int clock_readings;

/* The other thread is done when this one sees that it holds the lock. From then on this one has
 * it: what was noted is compared with the time. */
static void free_then_see_taken(void) {
  if (clock_readings++ == 0) {
    atomic_store(&regions.lock, 0);
  } else {
    CHECK(atomic_load(&regions.lock) != 0);
  }
}

TEST(a_lock_that_becomes_free_meanwhile_is_taken) {
  surround_target();
  system_is.question_ns = 1000000000;
  (void)make_at(TARGET + 1, 64 * KIB);
  atomic_store(&regions.lock, NBUF_REGIONS_HELD);
  system_is.at_clock = free_then_see_taken;
  CHECK_EQUAL(0, questions_of(FAR_ABOVE + 64 * KIB, TARGET + 1, 64 * KIB));
  CHECK(clock_readings > 1);
}

TEST(a_child_has_the_lock_free) {
  atomic_store(&nbuf_own_regions.lock, 1001);
  nbuf_regions_forked();
  CHECK_EQUAL(0, atomic_load(&nbuf_own_regions.lock));
}
