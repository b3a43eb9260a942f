/* Private memory in a range: used by the caller alone, and freed by it. */
#include <string.h>

#include "maps.h"
#include "space.h"
#include "test.h"

static maps all;

static nearbuf_memory allocate(nearbuf_range range, uintptr_t target, size_t size,
                               size_t alignment) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.range = range;
  request.target = target;
  request.size_bytes = size;
  request.alignment_bytes = alignment;
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  return memory;
}

static const nearbuf_range everywhere = {0, UINTPTR_MAX};

TEST(private_memory_is_zero_whole_pages_and_can_be_read_written_and_run) {
  nearbuf_memory memory = allocate(everywhere, (uintptr_t)allocate, space_page() + 1000, 16);
  CHECK_EQUAL(2 * space_page(), memory.size_bytes);
  CHECK_EQUAL(0, (uintptr_t)memory.run_at % space_page());
  CHECK(memory.write_to == memory.run_at);
  CHECK_EQUAL(0, memory.system_error);
  for (size_t i = 0; i < memory.size_bytes; i++) {
    CHECK_EQUAL(0, memory.run_at[i]);
  }
  memset(memory.write_to, 1, memory.size_bytes);
  maps_read(&all);
  CHECK(strcmp("rwxp", maps_find(&all, (uintptr_t)memory.run_at)->permissions) == 0);
}

TEST(where_a_process_can_have_no_memory_there_is_none_and_the_result_is_empty) {
  if (sizeof(uintptr_t) == 4) {
    test_skip("every address of 32 bits can be had");
  }
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.range = (nearbuf_range){UINTPTR_MAX - 0xfffff, UINTPTR_MAX};
  request.size_bytes = 100;
  nearbuf_memory memory;
  memset(&memory, 0x5a, sizeof memory);
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_allocate(&request, &memory));
  CHECK(memory.run_at == NULL && memory.write_to == NULL && memory.size_bytes == 0);
}

TEST(private_memory_is_no_buffer_and_makes_no_locator) {
  nearbuf_memory memory = allocate(everywhere, (uintptr_t)allocate, 1, 1);
  nearbuf_info info;
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_find(memory.run_at, &info));
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(NEARBUF_SHARING_NONE, totals.sharing);
}

TEST(freed_memory_is_gone_and_can_be_had_again) {
  nearbuf_memory memory = allocate(everywhere, (uintptr_t)allocate, 100, 16);
  unsigned char *first = memory.run_at;
  CHECK_OK(nearbuf_free(&memory));
  maps_read(&all);
  CHECK(maps_find(&all, (uintptr_t)first) == NULL);
  memory = allocate(everywhere, (uintptr_t)allocate, 100, 16);
  CHECK(memory.run_at == first);
}

/* A structure that the caller has changed describes no memory. */
TEST(what_is_no_whole_memory_is_not_freed) {
  nearbuf_memory memory = allocate((nearbuf_range){0, UINTPTR_MAX}, 0, space_page(), 1);
  nearbuf_memory changed = memory;
  changed.size_bytes = 0;
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_free(&changed));
  changed.size_bytes = memory.size_bytes - 1;
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_free(&changed));
  changed = memory;
  changed.run_at = NULL;
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_free(&changed));
  memory.run_at[0] = 1; /* it is still there */
  CHECK_OK(nearbuf_free(&memory));
}

/* What was placed has the same type, and the first thing in a buffer starts on a page. */
TEST(what_was_placed_in_a_buffer_is_not_freed) {
  unsigned char *bytes = calloc(2, space_page());
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.alignment_bytes = space_page();
  size_t sizes[] = {6, space_page(), 2 * space_page()};
  for (int i = 0; i < 3; i++) {
    nearbuf_memory placed;
    request.size_bytes = sizes[i];
    CHECK_OK(nearbuf_place(&request, bytes, &placed));
    nearbuf_memory before = placed;
    CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_free(&placed));
    CHECK(placed.run_at == before.run_at && placed.size_bytes == before.size_bytes);
    placed.write_to[0] = 1; /* still there */
  }
  free(bytes);
}

TEST(memory_that_is_freed_in_between_is_found_again) {
  nearbuf_memory pieces[64];
  for (int i = 0; i < 64; i++) {
    pieces[i] = allocate(everywhere, (uintptr_t)allocate, space_page(), 16);
  }
  unsigned char *freed = pieces[20].run_at;
  CHECK_OK(nearbuf_free(&pieces[20]));
  nearbuf_range there = {(uintptr_t)freed, (uintptr_t)freed + space_page() - 1};
  CHECK(allocate(there, 0, 1, 1).run_at == freed);
}

/* Addresses that a long search found full are skipped for a limited time, but not for a smaller
 * request, and never if the result would be NO_ROOM. */
TEST(what_becomes_free_among_many_mappings_is_found) {
  enum { PAGES = 1024 };
  uintptr_t page = space_page();
  space_settle();
  uintptr_t start = space_occupy(PAGES * page);
  for (uintptr_t i = 1; i < PAGES - 8; i += 2) {
    space_free(start + i * page, page);
  }
  space_free(start + (PAGES - 4) * page, 2 * page);
  nearbuf_range whole = {start, start + PAGES * page - 1};
  uintptr_t middle = start + PAGES / 2 * page;
  nearbuf_memory distant = allocate(whole, middle, 2 * page, 16);
  CHECK_EQUAL(start + (PAGES - 4) * page, (uintptr_t)distant.run_at);
  nearbuf_memory little = allocate(whole, middle, 1, 16);
  CHECK((uintptr_t)little.run_at - middle <= page || middle - (uintptr_t)little.run_at <= page);

  uintptr_t hole = middle + 10 * page;
  space_free(hole, page);
  nearbuf_range around = {hole - 4 * page, hole + 4 * page - 1};
  nearbuf_memory found = allocate(around, middle, 2 * page, 16);
  CHECK((uintptr_t)found.run_at + page >= hole && (uintptr_t)found.run_at <= hole);
}

TEST(two_allocations_share_no_byte) {
  static struct {
    uintptr_t start;
    uintptr_t end;
  } taken[200];
  for (int i = 0; i < 200; i++) {
    size_t size = 1 + (size_t)i * 977 % 40000;
    nearbuf_memory memory = allocate(everywhere, (uintptr_t)allocate, size, 16);
    CHECK(memory.size_bytes >= size);
    taken[i].start = (uintptr_t)memory.run_at;
    taken[i].end = taken[i].start + memory.size_bytes;
    for (int k = 0; k < i; k++) {
      CHECK(taken[k].end <= taken[i].start || taken[i].end <= taken[k].start);
    }
  }
}

TEST(private_memory_is_aligned_from_1_byte_to_16_mib) {
  for (size_t alignment = 1; alignment <= (size_t)16 << 20; alignment *= 2) {
    nearbuf_memory memory = allocate(everywhere, (uintptr_t)allocate, 1, alignment);
    CHECK_EQUAL(0, (uintptr_t)memory.run_at % alignment);
  }
}

TEST(all_of_private_memory_lies_inside_the_range) {
  space_settle();
  uintptr_t area = space_occupy(1 << 20);
  space_free(area, 1 << 20);
  nearbuf_range range = {area + 1, area + 3 * space_page() - 1};
  nearbuf_memory memory = allocate(range, 0, 1, 1);
  CHECK_EQUAL(area + space_page(), (uintptr_t)memory.run_at);
  memory = allocate(range, 0, 1, 1);
  CHECK_EQUAL(area + 2 * space_page(), (uintptr_t)memory.run_at);
  nearbuf_request request = space_request(range.min, range.max - range.min + 1, 1);
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_allocate(&request, &memory));
}

TEST(a_large_allocation_of_a_gigabyte_is_whole) {
  nearbuf_memory memory = allocate(everywhere, (uintptr_t)allocate, (size_t)1 << 30, 16);
  CHECK_EQUAL((size_t)1 << 30, memory.size_bytes);
  memory.write_to[0] = 1;
  memory.write_to[memory.size_bytes - 1] = 1;
  CHECK_OK(nearbuf_free(&memory));
}
