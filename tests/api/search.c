/* How often a search queries the memory map: its cost where many mappings are in the way. The
 * queries are counted where the library makes them. */
#include <sys/mman.h>

#include "os/os.h"
#include "space.h"
#include "test.h"

enum { MAPPINGS = 300 };

static int questions;

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker gives these names */
nbuf_map_answer __real_nbuf_os_map_next(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping);
nbuf_map_answer __wrap_nbuf_os_map_next(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping);

nbuf_map_answer __wrap_nbuf_os_map_next(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping) {
  questions++;
  return __real_nbuf_os_map_next(map, from, mapping);
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* A stretch of that many mappings, none of which joins its neighbour. */
static uintptr_t occupy_with_mappings(void) {
  uintptr_t start = space_occupy(MAPPINGS * space_page());
  for (uintptr_t i = 0; i < MAPPINGS; i += 2) {
    CHECK(mprotect((void *)(start + i * space_page()), space_page(), PROT_READ) == 0);
  }
  return start;
}

static bool is_asked_cheaply(void) {
  nbuf_map map;
  bool is_cheap = nbuf_os_map_open(&map, false).status == NEARBUF_OK && map.is_cheap_anywhere;
  nbuf_os_map_close(&map);
  return is_cheap;
}

TEST(a_gap_that_is_near_is_found_with_a_question_or_two_however_many_mappings_there_are) {
  if (!is_asked_cheaply()) {
    test_skip("this kernel answers no questions about single addresses");
  }
  space_settle();
  uintptr_t start = occupy_with_mappings();
  uintptr_t hole = start + (MAPPINGS / 2) * space_page();
  space_free(hole, space_page());
  nearbuf_request request = space_request(start, MAPPINGS * space_page(), 64);
  request.target = hole;
  nearbuf_memory placed;
  questions = 0;
  CHECK_OK(nearbuf_allocate(&request, &placed));
  CHECK_EQUAL(hole, (uintptr_t)placed.run_at);
  CHECK(questions > 0);
  CHECK(questions < 16);
}

TEST(a_far_gap_costs_a_question_for_each_mapping_on_the_way_and_not_two) {
  if (!is_asked_cheaply()) {
    test_skip("this kernel answers no questions about single addresses");
  }
  space_settle();
  uintptr_t start = occupy_with_mappings();
  uintptr_t hole = start + (MAPPINGS - 2) * space_page();
  space_free(hole, space_page());
  nearbuf_request request = space_request(start, MAPPINGS * space_page(), 64);
  request.target = start;
  nearbuf_memory placed;
  questions = 0;
  CHECK_OK(nearbuf_allocate(&request, &placed));
  CHECK_EQUAL(hole, (uintptr_t)placed.run_at);
  CHECK(questions >= MAPPINGS - 2); /* the counter works */
  CHECK(questions < MAPPINGS + 32);
}

TEST(that_there_is_no_room_is_never_said_without_looking) {
  if (!is_asked_cheaply()) {
    test_skip("this kernel answers no questions about single addresses");
  }
  space_settle();
  uintptr_t start = occupy_with_mappings();
  uintptr_t last = start + (MAPPINGS - 2) * space_page();
  space_free(last, space_page());
  nearbuf_request request = space_request(start, MAPPINGS * space_page(), 64);
  request.target = start;
  nearbuf_memory first;
  nearbuf_memory second;
  CHECK_OK(nearbuf_allocate(&request, &first));
  questions = 0;
  CHECK_STATUS(NEARBUF_NO_ROOM,
               nearbuf_allocate(&request, &second)); /* never from the memo alone */
  CHECK(questions >= MAPPINGS - 2);
}

/* An area with nothing else mapped within that distance, so that regions are adjacent only to each
 * other. */
static uintptr_t free_stretch(void) {
  uintptr_t size = (uintptr_t)512 << 20;
  uintptr_t start = space_occupy(size);
  space_free(start, size);
  return (start + (size / 2)) / ((uintptr_t)64 << 10) * ((uintptr_t)64 << 10);
}

static nearbuf_memory allocate_near(uintptr_t target) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  nearbuf_memory memory;
  request.size_bytes = 4 * space_page();
  request.target = target;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  return memory;
}

TEST(what_grows_at_one_place_does_not_make_another_place_be_searched_again) {
  enum { TIMES = 100 };
  space_settle();
  uintptr_t one = free_stretch();
  nearbuf_memory rare = allocate_near(one);
  uintptr_t other = (uintptr_t)rare.run_at + ((uintptr_t)200 << 20);
  nearbuf_memory last = allocate_near(other);
  questions = 0;
  for (int i = 0; i < TIMES; i++) {
    nearbuf_memory next = allocate_near(other);
    uintptr_t a = (uintptr_t)last.run_at;
    uintptr_t b = (uintptr_t)next.run_at;
    CHECK(next.size_bytes == last.size_bytes);
    CHECK(a != b);
    last = next;
  }
  CHECK_EQUAL(0, questions); /* beside the one before, or at the other end of them all */
  nearbuf_memory again = allocate_near(one);
  CHECK_EQUAL(0, questions);
  uintptr_t distance = (uintptr_t)again.run_at > (uintptr_t)rare.run_at
                           ? (uintptr_t)again.run_at - (uintptr_t)rare.run_at
                           : (uintptr_t)rare.run_at - (uintptr_t)again.run_at;
  CHECK_EQUAL(rare.size_bytes, distance);
}
