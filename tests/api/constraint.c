/* The range is a constraint: every byte handed out lies inside, and what fits is found. */
#include <stdbool.h>
#include <string.h>

#include "base/range.h"
#include "os/os.h"
#include "space.h"
#include "test.h"

enum { AREA = 32 << 20 };

static void check_inside(const nearbuf_request *request, uintptr_t start, size_t size) {
  CHECK(start >= request->range.min);
  CHECK(start <= request->range.max && size - 1 <= request->range.max - start);
}

/* An area in which only the given pages are free. */
static uintptr_t area_with_hole(uintptr_t offset_pages, uintptr_t pages) {
  space_settle();
  uintptr_t area = space_occupy(AREA);
  space_free(area + offset_pages * space_page(), pages * space_page());
  return area + offset_pages * space_page();
}

TEST(get_in_a_full_range_reports_no_room) {
  space_settle();
  uintptr_t area = space_occupy(AREA);
  nearbuf_request request = space_request(area, AREA, 1);
  nearbuf_buffer buffer;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_get(&request, &buffer));
  CHECK_EQUAL(0, buffer.item);
  nearbuf_memory memory;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_place(&request, "x", &memory));
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_allocate(&request, &memory));
  CHECK(memory.run_at == NULL);
}

TEST(a_full_range_that_gets_a_hole_has_room_again) {
  space_settle();
  uintptr_t area = space_occupy(AREA);
  nearbuf_request request = space_request(area, AREA, 100);
  nearbuf_buffer buffer;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_get(&request, &buffer));
  space_free(area + 5 * space_page(), space_page());
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_EQUAL(area + 5 * space_page(), nearbuf_buffer_address(&buffer));
}

TEST(the_first_use_of_the_library_in_a_full_range_leaves_it_usable) {
  uintptr_t area = space_occupy(AREA);
  nearbuf_request request = space_request(area, AREA, 1);
  nearbuf_buffer buffer;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_get(&request, &buffer));
  space_settle();
}

TEST(a_gap_of_exactly_the_size_is_used) {
  uintptr_t hole = area_with_hole(17, 3);
  nearbuf_request request = space_request(hole - 8 * space_page(), AREA / 2, 3 * space_page());
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_EQUAL(hole, nearbuf_buffer_address(&buffer));
  CHECK_EQUAL(3 * space_page(), nearbuf_buffer_size(&buffer));
  CHECK_EQUAL(3 * space_page(), nearbuf_buffer_room(&buffer));
}

TEST(private_memory_uses_a_gap_of_exactly_the_size) {
  uintptr_t hole = area_with_hole(17, 3);
  nearbuf_request request = space_request(hole - 8 * space_page(), AREA / 2, 3 * space_page());
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK_EQUAL(hole, (uintptr_t)memory.run_at);
  CHECK_EQUAL(3 * space_page(), memory.size_bytes);
}

TEST(a_gap_one_byte_too_small_is_not_used) {
  uintptr_t hole = area_with_hole(17, 3);
  nearbuf_request request = space_request(hole - 8 * space_page(), AREA / 2, 3 * space_page() + 1);
  nearbuf_buffer buffer;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_get(&request, &buffer));
}

TEST(a_gap_that_is_cut_by_the_range_holds_whole_pages_only) {
  uintptr_t hole = area_with_hole(17, 3);
  nearbuf_request request = space_request(hole + 1, 3 * space_page() - 2, space_page());
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_EQUAL(hole + space_page(), nearbuf_buffer_address(&buffer));
  check_inside(&request, nearbuf_buffer_address(&buffer), nearbuf_buffer_room(&buffer));
  nearbuf_buffer second;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_get(&request, &second));
}

TEST(a_gap_holds_what_is_needed_at_a_large_alignment) {
  space_settle();
  uintptr_t area = space_occupy(AREA);
  uintptr_t aligned = nbuf_align_down(area + 3 * space_page() + (1 << 20) - 1, 1 << 20);
  space_free(aligned - 3 * space_page(), 5 * space_page());
  nearbuf_request request = space_request(area, AREA, 2 * space_page());
  request.alignment_bytes = 1 << 20;
  nearbuf_buffer buffer;
  void *address;
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_OK(nearbuf_append(&buffer, "x", 1, &address));
  CHECK_EQUAL(aligned, (uintptr_t)address);
}

/* ---- Inside a buffer that exists ------------------------------------------------------------- */

/* A free buffer of several pages with nothing else around it, and its address. */
static uintptr_t make_buffer(uintptr_t pages) {
  uintptr_t hole = area_with_hole(100, pages);
  nearbuf_request request = space_request(hole, pages * space_page(), pages * space_page());
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_EQUAL(hole, nearbuf_buffer_address(&buffer));
  CHECK_OK(nearbuf_release(&buffer));
  return hole;
}

TEST(a_range_may_end_inside_a_buffer_and_its_last_byte_is_used) {
  uintptr_t start = make_buffer(4);
  nearbuf_request request = space_request(start, 100, 60);
  request.alignment_bytes = 1;
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_EQUAL(100, nearbuf_buffer_room(&buffer));
  unsigned char bytes[101] = {0};
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_append(&buffer, bytes, 101, NULL));
  nearbuf_memory room;
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_reserve(&buffer, 101, 1, &room));
  CHECK_OK(nearbuf_append(&buffer, bytes, 100, NULL));
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_append(&buffer, bytes, 1, NULL));
  CHECK_EQUAL(0, nearbuf_buffer_room(&buffer));
  CHECK_OK(nearbuf_release(&buffer));
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_get(&request, &buffer));
}

TEST(a_request_of_exactly_the_range_inside_a_buffer_fits_and_one_byte_more_does_not) {
  uintptr_t start = make_buffer(4);
  nearbuf_request request = space_request(start, 99, 99);
  request.alignment_bytes = 1;
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_OK(nearbuf_release(&buffer));
  nearbuf_memory placed;
  nearbuf_request one = space_request(start, 99, 1);
  one.alignment_bytes = 1;
  CHECK_OK(nearbuf_place(&one, "x", &placed));
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_get(&request, &buffer));
  request.size_bytes = 98;
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_EQUAL(98, nearbuf_buffer_room(&buffer));
}

TEST(a_range_that_starts_inside_a_buffer_is_served_as_the_last_resort) {
  uintptr_t start = make_buffer(4);
  nearbuf_request request = space_request(start + 2 * space_page() + 1, 100, 50);
  nearbuf_memory placed;
  static const char bytes[50] = "inside";
  CHECK_OK(nearbuf_place(&request, bytes, &placed));
  check_inside(&request, (uintptr_t)placed.run_at, 50);
  CHECK_EQUAL(0, (uintptr_t)placed.run_at % 16);
}

TEST(alignment_inside_the_last_bytes_of_a_range_is_exact) {
  uintptr_t start = make_buffer(1);
  nearbuf_request request = space_request(start + 1, 64 + 16 - 1, 16);
  request.alignment_bytes = 64;
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, "0123456789abcdef", &placed));
  CHECK_EQUAL(start + 64, (uintptr_t)placed.run_at);
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_place(&request, "0123456789abcdef", &placed));
}

/* Random ranges, sizes and alignments inside one area: all memory handed out lies inside, is
 * aligned and overlaps no other. */
TEST(whatever_is_asked_every_byte_lies_inside_the_range) {
  space_settle();
  enum { SPAN = 4 << 20 };
  uintptr_t area = space_occupy(AREA);
  space_free(area, SPAN);
  static unsigned char owner[SPAN];
  static unsigned char bytes[1 << 16];
  uint64_t state = 3;
  int served = 0;
  for (int round = 1; round < 3000; round++) {
    uint32_t random[4];
    for (int i = 0; i < 4; i++) {
      state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407); /* Knuth */
      random[i] = (uint32_t)(state >> 33);
    }
    uintptr_t offset = random[0] % SPAN;
    uintptr_t length = 1 + random[1] % (random[1] % 3 == 0 ? 512 : SPAN - offset);
    nearbuf_request request =
        space_request(area + offset, length, 1 + random[2] % (1 << random[2] % 15));
    request.alignment_bytes = (size_t)1 << random[3] % 13;
    request.target = random[3] % 2 == 0 ? 0 : area + random[3] % SPAN;
    nearbuf_memory placed;
    nearbuf_status status = nearbuf_place(&request, bytes, &placed);
    CHECK(status == NEARBUF_OK || status == NEARBUF_NO_ROOM || status == NEARBUF_RANGE_TOO_SMALL);
    if (status == NEARBUF_OK) {
      uintptr_t start = (uintptr_t)placed.run_at;
      check_inside(&request, start, request.size_bytes);
      CHECK_EQUAL(0, start % request.alignment_bytes);
      for (size_t i = 0; i < request.size_bytes; i++) {
        CHECK_EQUAL(0, owner[start - area + i]);
        owner[start - area + i] = 1;
      }
      served++;
    }
  }
  CHECK(served > 1000);
}

/* ---- The bottom of the address space --------------------------------------------------------- */

TEST(address_0_and_what_lies_just_above_is_never_handed_out) {
  for (int kind = 0; kind < 2; kind++) {
    for (uintptr_t page = 0; page < 0x10000; page += space_page()) {
      nearbuf_request request = space_request(page, space_page(), 16);
      nearbuf_memory memory;
      nearbuf_status status = kind == 0 ? nearbuf_place(&request, "0123456789abcdef", &memory)
                                        : nearbuf_allocate(&request, &memory);
      CHECK_STATUS(NEARBUF_NO_ROOM, status);
    }
  }
}

static void needs_low_memory(void) {
  if (nbuf_os_limits(0, 0).min >= NEARBUF_2_GIB) {
    test_skip("this system gives nothing below 2 GiB");
  }
}

TEST(memory_below_4_gib_without_a_target_is_as_low_as_possible_but_not_below_64_kib) {
  needs_low_memory();
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  CHECK_OK(nearbuf_range_below(NEARBUF_4_GIB, &request.range));
  request.size_bytes = space_page(); /* more than may remain next to the locator */
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK(nearbuf_buffer_address(&buffer) >= 0x10000);
  CHECK(nearbuf_buffer_address(&buffer) < NEARBUF_2_GIB);
}

static void check_below(uint64_t limit, uintptr_t target) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 4096;
  request.target = target;
  CHECK_OK(nearbuf_range_below(limit, &request.range));
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  uintptr_t last = nearbuf_buffer_address(&buffer) + nearbuf_buffer_size(&buffer) - 1;
  CHECK(nearbuf_buffer_address(&buffer) >= 0x10000);
  CHECK(last < limit);
  memset((void *)nearbuf_buffer_address(&buffer), 1, nearbuf_buffer_size(&buffer));
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK((uintptr_t)memory.run_at + (memory.size_bytes - 1) < limit);
}

TEST(memory_below_2_gib_is_below_2_gib) {
  needs_low_memory();
  check_below(NEARBUF_2_GIB, 0);
  check_below(NEARBUF_2_GIB, (uintptr_t)check_below);
}

TEST(memory_below_4_gib_is_below_4_gib_and_near_its_target) {
  needs_low_memory();
  check_below(NEARBUF_4_GIB, 0);
  check_below(NEARBUF_4_GIB, 0xe0000000);
}

TEST(an_existing_buffer_of_the_range_is_used_where_no_nearness_is_asked_for) {
  needs_low_memory();
  nearbuf_request low = NEARBUF_REQUEST_INIT;
  low.size_bytes = 16;
  CHECK_OK(nearbuf_range_below(NEARBUF_2_GIB, &low.range));
  nearbuf_memory first;
  CHECK_OK(nearbuf_place(&low, "0123456789abcdef", &first));
  nearbuf_request anywhere = NEARBUF_REQUEST_INIT;
  anywhere.size_bytes = 16;
  anywhere.target = (uintptr_t)check_below;
  nearbuf_memory second;
  CHECK_OK(nearbuf_place(&anywhere, "0123456789abcdef", &second));
  CHECK(second.run_at == first.run_at + 16);
}

/* The system may have less memory than that; then for both requests. */
TEST(the_largest_size_that_there_is_has_a_buffer) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = UINT32_MAX;
  nearbuf_buffer buffer;
  if (sizeof(uintptr_t) == 4) {
    CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_get(&request, &buffer));
    return;
  }
  nearbuf_memory memory;
  nearbuf_status status = nearbuf_allocate(&request, &memory);
  CHECK(status == NEARBUF_OUT_OF_MEMORY || nearbuf_free(&memory) == NEARBUF_OK);
  for (int i = 0; i < 2;
       i++) { /* the first one makes the locator, the second one is listed in it */
    CHECK_STATUS(status, nearbuf_get(&request, &buffer));
    CHECK(status != NEARBUF_OK || nearbuf_buffer_room(&buffer) == UINT32_MAX);
  }
}
