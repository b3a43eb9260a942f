/* How often a search asks the memory map: what it costs where many mappings are in the way. The questions are
 * counted where the library asks them. */
#include <sys/mman.h>

#include "os/os.h"
#include "space.h"
#include "test.h"

enum { MAPPINGS = 300 };

static int questions;

nb_map_answer __real_nb_os_map_next(nb_map *map, uintptr_t from, nb_mapping *mapping);
nb_map_answer __wrap_nb_os_map_next(nb_map *map, uintptr_t from, nb_mapping *mapping);

nb_map_answer __wrap_nb_os_map_next(nb_map *map, uintptr_t from, nb_mapping *mapping) {
  questions++;
  return __real_nb_os_map_next(map, from, mapping);
}

/* A stretch of that many mappings, none of which joins its neighbour. */
static uintptr_t occupy_with_mappings(void) {
  uintptr_t start = space_occupy(MAPPINGS * space_page());
  for (uintptr_t i = 0; i < MAPPINGS; i += 2) {
    CHECK(mprotect((void *)(start + i * space_page()), space_page(), PROT_READ) == 0);
  }
  return start;
}

static bool is_asked_cheaply(void) {
  nb_map map;
  bool is_cheap = nb_os_map_open(&map, false).status == NEARBUF_OK && map.is_cheap_anywhere;
  nb_os_map_close(&map);
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
  CHECK_EQUAL(hole, placed.run_at);
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
  CHECK_EQUAL(hole, placed.run_at);
  CHECK(questions >= MAPPINGS - 2); /* the instrument counts */
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
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_allocate(&request, &second)); /* never by belief alone */
  CHECK(questions >= MAPPINGS - 2);
}
