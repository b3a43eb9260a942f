/* How near memory is to its target if buffers exist already, and where it lies without a target.
 * Invented maps are in tests/unit/placement.c. */
#include <string.h>

#include "base/range.h"
#include "free_stretch.h"
#include "space.h"
#include "test.h"

static const uintptr_t MIB = 1 << 20;

static unsigned char *place_in(const nearbuf_request *request) {
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(request, "0123456789abcdef", &placed));
  return placed.run_at;
}

/* A buffer that lies in a stretch of its own, with room for more. */
static uintptr_t buffer_at(uintptr_t start) {
  nearbuf_request request = space_request(start, 16 * space_page(), 16);
  return (uintptr_t)place_in(&request);
}

static nearbuf_request request_around(uintptr_t target, uintptr_t near_bytes) {
  uintptr_t start =
      target > 31 * MIB ? target - 30 * MIB : MIB; /* in 32 bits it may lie that low */
  nearbuf_request request = space_request(start, target + 30 * MIB - start, 16);
  request.target = target;
  request.near_bytes = near_bytes;
  return request;
}

TEST(a_buffer_that_is_farther_away_than_asked_for_is_not_used_while_nearer_memory_is_free) {
  space_settle();
  uintptr_t target = free_stretch_middle();
  uintptr_t far = buffer_at(target + 20 * MIB);
  nearbuf_request request = request_around(target, MIB);
  for (int i = 0; i < 3; i++) { /* the second one takes the fast path */
    CHECK(nbuf_distance((uintptr_t)place_in(&request), target) <= MIB);
  }
  /* A thread that has just used the distant one does not stay there. */
  request.near_bytes = 0;
  request.range.min = far & ~(uintptr_t)(space_page() - 1);
  CHECK_EQUAL(far + 16, (uintptr_t)place_in(&request));
  request = request_around(target, MIB);
  CHECK(nbuf_distance((uintptr_t)place_in(&request), target) <= MIB);
}

TEST(a_buffer_within_the_distance_is_used_before_memory_is_taken) {
  space_settle();
  uintptr_t target = free_stretch_middle();
  uintptr_t there = buffer_at(target + 20 * MIB);
  nearbuf_request request = request_around(target, 21 * MIB);
  CHECK_EQUAL(there + 16, (uintptr_t)place_in(&request));
}

TEST(where_nothing_near_is_free_a_buffer_farther_away_is_used) {
  space_settle();
  uintptr_t stretch = space_occupy(64 * MIB);
  uintptr_t target = stretch + 32 * MIB;
  space_free(target + 20 * MIB, 16 * space_page());
  uintptr_t far = buffer_at(target + 20 * MIB);
  nearbuf_request request = request_around(target, MIB);
  CHECK_EQUAL(far + 16, (uintptr_t)place_in(&request));
  CHECK_EQUAL(far + 32, (uintptr_t)place_in(&request));
}

TEST(where_nothing_near_is_free_memory_farther_away_is_taken) {
  space_settle();
  uintptr_t stretch = space_occupy(64 * MIB);
  uintptr_t target = stretch + 32 * MIB;
  uintptr_t hole = target + 20 * MIB;
  space_free(hole, space_page());
  nearbuf_request request = request_around(target, MIB);
  uintptr_t placed = (uintptr_t)place_in(&request);
  CHECK(hole <= placed && placed < hole + space_page());
}

TEST(a_buffer_on_the_other_side_of_the_target_is_as_near) {
  space_settle();
  uintptr_t target = free_stretch_middle();
  uintptr_t below = buffer_at(target - 20 * MIB);
  nearbuf_request request = request_around(target, MIB);
  CHECK(nbuf_distance((uintptr_t)place_in(&request), target) <= MIB);
  request = request_around(target - 20 * MIB, MIB);
  CHECK_EQUAL(below + 16, (uintptr_t)place_in(&request));
}

TEST(pieces_of_which_the_oldest_is_freed_first_stay_beside_their_target) {
  enum { LIVE = 16, TIMES = 1024 };
  space_settle();
  uintptr_t target = free_stretch_middle();
  nearbuf_request request = request_around(target, 0);
  request.size_bytes = space_page();
  nearbuf_memory pieces[LIVE];
  for (int i = 0; i < TIMES; i++) {
    nearbuf_memory *oldest = &pieces[i % LIVE];
    CHECK(i < LIVE || nearbuf_free(oldest) == NEARBUF_OK);
    CHECK_OK(nearbuf_allocate(&request, oldest));
    CHECK(nbuf_distance((uintptr_t)oldest->run_at, target) <= LIVE * space_page());
  }
}

/* Code copied from a function has operands that reach as far as the function's did. */
TEST(memory_for_a_hook_is_within_a_quarter_of_the_reach) {
  nearbuf_request request;
  uintptr_t target = (uintptr_t)place_in;
  CHECK_OK(nearbuf_request_near((const void *)target, 16, &request));
  if (request.near_bytes == 0) {
    test_skip("all addresses are within reach");
  }
  nearbuf_request far = request;
  far.near_bytes = 0;
  far.range.min = target + 3 * request.near_bytes;
  far.target = far.range.min;
  (void)place_in(&far);
  CHECK(nbuf_distance((uintptr_t)place_in(&request), target) <= request.near_bytes);
}

/* ---- Without a target ------------------------------------------------------------------------ */

static void needs_64_bits(void) {
  if (sizeof(void *) == 4) {
    test_skip("in 32 bits nothing lies above 4 GiB");
  }
}

TEST(memory_anywhere_is_not_taken_from_the_lowest_4_gib) {
  needs_64_bits();
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = space_page(); /* more than may remain next to the locator */
  CHECK(((uintptr_t)place_in(&(nearbuf_request){.struct_size = sizeof request,
                                                .range = request.range,
                                                .size_bytes = 16,
                                                .alignment_bytes = 16})) >= NEARBUF_4_GIB);
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK((uintptr_t)memory.run_at >= NEARBUF_4_GIB);
  CHECK_OK(nearbuf_free(&memory));
}

TEST(memory_that_could_fill_the_lowest_4_gib_leaves_them_free) {
  needs_64_bits();
  nearbuf_request large = NEARBUF_REQUEST_INIT;
  large.size_bytes = UINT32_MAX - 4095;
  nearbuf_memory memory;
  nearbuf_status status = nearbuf_allocate(&large, &memory);
  CHECK(status == NEARBUF_OK || status == NEARBUF_OUT_OF_MEMORY);
  if (nbuf_os_limits(0, 0).min < NEARBUF_2_GIB) {
    nearbuf_request low = NEARBUF_REQUEST_INIT;
    low.size_bytes = 16;
    CHECK_OK(nearbuf_range_below(NEARBUF_2_GIB, &low.range));
    CHECK((uintptr_t)place_in(&low) < NEARBUF_2_GIB);
  }
}

TEST(a_range_within_reach_whose_target_was_forgotten_is_served_around_its_middle) {
  nearbuf_request request;
  uintptr_t function = (uintptr_t)needs_64_bits;
  CHECK_OK(nearbuf_request_near((const void *)function, 16, &request));
  if (request.near_bytes == 0) {
    test_skip("all addresses are within reach");
  }
  request.target = 0;
  request.near_bytes = 0;
  CHECK(nbuf_distance((uintptr_t)place_in(&request), function) < NEARBUF_2_GIB / 4);
}
