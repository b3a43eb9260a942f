/* Where a module begins and ends, and memory that reaches all of it. */
#include <stdlib.h>
#include <string.h>

#include "base/range.h"
#include "test.h"

static const char constant[] = "constant";
static int initialised = 7;
static char zeroed[1 << 20];

static nearbuf_range extent_of(const void *address) {
  nearbuf_range range = {0, 0};
  CHECK_OK(nearbuf_module_extent(address, &range));
  CHECK(range.min <= (uintptr_t)address && (uintptr_t)address <= range.max);
  return range;
}

static const void *own_code(void) {
  return (const void *)(uintptr_t)extent_of;
}

TEST(code_constants_data_and_the_zeroed_tail_are_one_module) {
  nearbuf_range range = extent_of(own_code());
  const void *parts[] = {constant, &initialised, zeroed, zeroed + sizeof zeroed - 1};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    nearbuf_range of_part = extent_of(parts[i]);
    CHECK_EQUAL(range.min, of_part.min);
    CHECK_EQUAL(range.max, of_part.max);
  }
}

TEST(heap_stack_and_buffers_are_in_no_module) {
  char local = 0;
  char *heap = malloc(1 << 24);
  nearbuf_request request;
  nearbuf_memory placed;
  CHECK(heap != NULL);
  CHECK_OK(nearbuf_request_near(own_code(), 16, &request));
  CHECK_OK(nearbuf_place(&request, "0123456789abcdef", &placed));
  const void *places[] = {&local, heap, placed.run_at};
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
    nearbuf_range range = {1, 2};
    CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_module_extent(places[i], &range));
    CHECK_EQUAL(0, range.min);
    CHECK_EQUAL(0, range.max);
  }
  free(heap);
}

TEST(memory_near_a_module_reaches_both_of_its_ends) {
  nearbuf_request request;
  CHECK_OK(nearbuf_request_near_module(own_code(), 16, &request));
  nearbuf_range module = extent_of(own_code());
  nearbuf_range common;
  CHECK_OK(nearbuf_range_within_reach(&module, 1, NEARBUF_REACH_JUMP, &common));
  CHECK_EQUAL(common.min, request.range.min);
  CHECK_EQUAL(common.max, request.range.max);
  CHECK_EQUAL((uintptr_t)own_code(), request.target);
  CHECK_EQUAL(0, request.near_bytes);
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, "0123456789abcdef", &placed));
  CHECK(nbuf_distance((uintptr_t)placed.run_at, (uintptr_t)own_code()) < NEARBUF_2_GIB);
}

TEST(what_is_wrong_with_a_request_near_a_module_is_told) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  nearbuf_range range = {1, 2};
  char local = 0;
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_module_extent(NULL, &range));
  CHECK_EQUAL(0, range.max);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_module_extent(own_code(), NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_request_near_module(own_code(), 16, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_request_near_module(NULL, 16, &request));
  CHECK_EQUAL(0, request.struct_size);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_request_near_module(&local, 16, &request));
  CHECK_EQUAL(0, request.struct_size);
}
