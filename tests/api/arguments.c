/* Invalid requests are refused at once, with a status that says why and every output as
 * documented. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "request.h"
#include "space.h"
#include "test.h"

/* ---- Requests -------------------------------------------------------------------------------- */

typedef struct bad_request {
  nearbuf_request request;
  nearbuf_status status;
} bad_request;

enum { MOST_BAD = 64 };

static int collect_bad_requests(bad_request bad[MOST_BAD]) {
  int count = 0;
#define BAD(expected, change)                                                                      \
  do {                                                                                             \
    nearbuf_request request = request_of(64);                                                      \
    change;                                                                                        \
    bad[count++] = (bad_request){request, expected};                                               \
  } while (0)

  BAD(NEARBUF_INVALID_ARGUMENT, request.struct_size = 0);
  BAD(NEARBUF_INVALID_ARGUMENT, request.struct_size--);
  BAD(NEARBUF_INVALID_ARGUMENT, request.struct_size++);
  BAD(NEARBUF_INVALID_ARGUMENT, request.flags = 2);
  BAD(NEARBUF_INVALID_ARGUMENT, request.flags = NEARBUF_DATA | 0x80000000u);
  BAD(NEARBUF_INVALID_SIZE, request.size_bytes = 0);
  if (sizeof(size_t) == 8) {
    BAD(NEARBUF_INVALID_SIZE, request.size_bytes = (size_t)NEARBUF_4_GIB);
    BAD(NEARBUF_INVALID_SIZE, request.size_bytes = (size_t)NEARBUF_4_GIB + 16);
    BAD(NEARBUF_INVALID_SIZE, request.size_bytes = SIZE_MAX);
  }
  BAD(NEARBUF_INVALID_ALIGNMENT, request.alignment_bytes = 0);
  BAD(NEARBUF_INVALID_ALIGNMENT, request.alignment_bytes = 3);
  BAD(NEARBUF_INVALID_ALIGNMENT, request.alignment_bytes = 4097);
  BAD(NEARBUF_INVALID_ALIGNMENT, request.alignment_bytes = SIZE_MAX);
  BAD(NEARBUF_INVALID_RANGE, request.range = ((nearbuf_range){0x20000, 0x1ffff}));
  BAD(NEARBUF_INVALID_RANGE, request.range = ((nearbuf_range){UINTPTR_MAX, 0}));
  BAD(NEARBUF_RANGE_TOO_SMALL, request.range = ((nearbuf_range){0x20000, 0x2003e}));
  BAD(NEARBUF_RANGE_TOO_SMALL, request.range = ((nearbuf_range){0x20001, 0x20040}));
  BAD(NEARBUF_RANGE_TOO_SMALL, request.range = ((nearbuf_range){UINTPTR_MAX - 62, UINTPTR_MAX}));
  BAD(NEARBUF_RANGE_TOO_SMALL, request.alignment_bytes = 0x1000;
      request.range = ((nearbuf_range){0x20001, 0x2103e}));
  BAD(NEARBUF_RANGE_TOO_SMALL, request.alignment_bytes = SIZE_MAX / 2 + 1; request.range.min = 1;
      request.range.max = SIZE_MAX / 2);
#undef BAD
  return count;
}

static bool is_zero(const void *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (((const unsigned char *)bytes)[i] != 0) {
      return false;
    }
  }
  return true;
}

/* Nothing was created, not even the locator. */
static void check_untouched(void) {
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(NEARBUF_SHARING_NONE, totals.sharing);
  CHECK(is_zero(&totals, sizeof totals));
}

static ptrdiff_t never_called(const nearbuf_memory *room, void *context) {
  (void)room;
  (void)context;
  test_fail(__FILE__, __LINE__, "the writer was called");
}

TEST(get_refuses_every_bad_request_and_empties_the_handle) {
  bad_request bad[MOST_BAD];
  int count = collect_bad_requests(bad);
  for (int i = 0; i < count; i++) {
    nearbuf_buffer buffer;
    memset(&buffer, 0x5A, sizeof buffer);
    CHECK_STATUS(bad[i].status, nearbuf_get(&bad[i].request, &buffer));
    CHECK(is_zero(&buffer, sizeof buffer));
  }
  check_untouched();
}

TEST(get_refuses_every_bad_request_where_a_buffer_with_room_is_at_hand) {
  bad_request bad[MOST_BAD];
  int count = collect_bad_requests(bad);
  nearbuf_request good = request_of(64);
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&good, &buffer));
  CHECK_OK(nearbuf_release(&buffer));
  nearbuf_totals before;
  CHECK_OK(nearbuf_get_totals(&before));
  for (int i = 0; i < count; i++) {
    memset(&buffer, 0x5A, sizeof buffer);
    CHECK_STATUS(bad[i].status, nearbuf_get(&bad[i].request, &buffer));
    CHECK(is_zero(&buffer, sizeof buffer));
    bad[i].request.flags |= NEARBUF_DATA;
    memset(&buffer, 0x5A, sizeof buffer);
    CHECK(nearbuf_get(&bad[i].request, &buffer) != NEARBUF_OK);
    CHECK(is_zero(&buffer, sizeof buffer));
    CHECK_OK(nearbuf_get(&good, &buffer)); /* the buffer at hand is still free */
    CHECK_OK(nearbuf_release(&buffer));
  }
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(before.buffers, totals.buffers);
  CHECK_EQUAL(0, totals.used_bytes);
}

TEST(place_refuses_every_bad_request_and_empties_the_result) {
  bad_request bad[MOST_BAD];
  int count = collect_bad_requests(bad);
  for (int i = 0; i < count; i++) {
    nearbuf_memory placed;
    memset(&placed, 0x5A, sizeof placed);
    CHECK_STATUS(bad[i].status, nearbuf_place(&bad[i].request, "bytes", &placed));
    CHECK(is_zero(&placed, sizeof placed));
    memset(&placed, 0x5A, sizeof placed);
    CHECK_STATUS(bad[i].status, nearbuf_place_with(&bad[i].request, never_called, NULL, &placed));
    CHECK(is_zero(&placed, sizeof placed));
  }
  check_untouched();
}

TEST(place_refuses_every_bad_request_where_a_buffer_with_room_is_at_hand) {
  bad_request bad[MOST_BAD];
  int count = collect_bad_requests(bad);
  space_settle();
  for (int i = 0; i < count; i++) {
    static const unsigned char bytes[64];
    nearbuf_request good = request_of(64);
    nearbuf_memory placed;
    CHECK_OK(nearbuf_place(&good, bytes, &placed)); /* the next call starts at its buffer */
    uintptr_t end = (uintptr_t)placed.run_at + 64;
    memset(&placed, 0x5A, sizeof placed);
    CHECK_STATUS(bad[i].status, nearbuf_place(&bad[i].request, bytes, &placed));
    CHECK(is_zero(&placed, sizeof placed));
    CHECK_OK(nearbuf_place(&good, bytes, &placed));
    CHECK_EQUAL(end, (uintptr_t)placed.run_at); /* nothing was taken of it */
  }
}

TEST(allocate_refuses_every_bad_request_and_empties_the_result) {
  bad_request bad[MOST_BAD];
  int count = collect_bad_requests(bad);
  for (int i = 0; i < count; i++) {
    nearbuf_memory memory;
    memset(&memory, 0x5A, sizeof memory);
    CHECK_STATUS(bad[i].status, nearbuf_allocate(&bad[i].request, &memory));
    CHECK(is_zero(&memory, sizeof memory));
  }
  check_untouched();
}

TEST(private_memory_in_a_range_without_a_whole_page_is_refused) {
  nearbuf_request request = space_request(0x20001, 2 * space_page() - 2, 64);
  nearbuf_memory memory;
  CHECK_STATUS(NEARBUF_RANGE_TOO_SMALL, nearbuf_allocate(&request, &memory));
  CHECK(is_zero(&memory, sizeof memory));
}

TEST(a_buffer_in_a_range_without_a_whole_page_has_no_room) {
  nearbuf_request request = space_request(0x20001, 2 * space_page() - 2, 64);
  nearbuf_buffer buffer;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_get(&request, &buffer));
  CHECK(is_zero(&buffer, sizeof buffer));
}

TEST(null_pointers_are_refused) {
  nearbuf_request request = request_of(64);
  nearbuf_buffer buffer;
  nearbuf_memory memory;
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_get(NULL, &buffer));
  CHECK(is_zero(&buffer, sizeof buffer));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_get(&request, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_place(NULL, "x", &memory));
  CHECK(is_zero(&memory, sizeof memory));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_place(&request, NULL, &memory));
  CHECK(is_zero(&memory, sizeof memory));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_place(&request, "x", NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_place_with(NULL, never_called, NULL, &memory));
  CHECK(is_zero(&memory, sizeof memory));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_place_with(&request, NULL, NULL, &memory));
  CHECK(is_zero(&memory, sizeof memory));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_place_with(&request, never_called, NULL, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_allocate(NULL, &memory));
  CHECK(is_zero(&memory, sizeof memory));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_allocate(&request, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_free(NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_get_totals(NULL));
  check_untouched();
}

TEST(looking_refuses_null_pointers) {
  nearbuf_walk walk = {0, 0};
  nearbuf_info info;
  memset(&info, 0x5A, sizeof info);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_next(NULL, &info));
  CHECK(is_zero(&info, sizeof info));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_next(&walk, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_find(&walk, NULL));
  check_untouched();
}

TEST(dialects_that_cannot_be_made_are_refused) {
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_choose_dialect(NEARBUF_DIALECT_UNKNOWN));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_choose_dialect(NEARBUF_DIALECT_DOTNET));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_choose_dialect((nearbuf_dialect)4));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_choose_dialect((nearbuf_dialect)-1));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_choose_sharing(NEARBUF_SHARING_NONE));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_choose_sharing((nearbuf_sharing)3));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_choose_sharing((nearbuf_sharing)-1));
  check_untouched();
}

/* ---- Handles --------------------------------------------------------------------------------- */

static nearbuf_buffer get_buffer(size_t size) {
  nearbuf_request request;
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_request_near((const void *)(uintptr_t)is_zero, size, &request));
  CHECK_OK(nearbuf_get(&request, &buffer));
  return buffer;
}

static void check_refused_by_all(nearbuf_status status, nearbuf_buffer *buffer) {
  void *address = buffer;
  nearbuf_memory room;
  memset(&room, 0x5A, sizeof room);
  CHECK_STATUS(status, nearbuf_append(buffer, "x", 1, &address));
  CHECK(address == NULL);
  address = buffer;
  CHECK_STATUS(status, nearbuf_append_code(buffer, "x", 1, &address));
  CHECK(address == NULL);
  CHECK_STATUS(status, nearbuf_reserve(buffer, 1, 1, &room));
  CHECK(is_zero(&room, sizeof room));
  CHECK_STATUS(status, nearbuf_commit(buffer, 0));
  CHECK_EQUAL(0, nearbuf_buffer_address(buffer));
  CHECK_EQUAL(0, nearbuf_buffer_size(buffer));
  CHECK_EQUAL(0, nearbuf_buffer_room(buffer));
  CHECK_STATUS(status, nearbuf_release(buffer));
}

TEST(a_null_handle_is_refused_by_all) {
  check_refused_by_all(NEARBUF_INVALID_ARGUMENT, NULL);
}

TEST(a_handle_that_was_never_filled_is_refused_by_all) {
  nearbuf_buffer buffer = {0};
  check_refused_by_all(NEARBUF_INVALID_HANDLE, &buffer);
}

TEST(a_handle_after_a_failed_get_is_refused_by_all) {
  nearbuf_request request = request_of(64);
  request.size_bytes = 0;
  nearbuf_buffer buffer;
  CHECK_STATUS(NEARBUF_INVALID_SIZE, nearbuf_get(&request, &buffer));
  check_refused_by_all(NEARBUF_INVALID_HANDLE, &buffer);
}

TEST(a_released_handle_is_refused_by_all) {
  nearbuf_buffer buffer = get_buffer(16);
  CHECK_OK(nearbuf_release(&buffer));
  check_refused_by_all(NEARBUF_INVALID_HANDLE, &buffer);
}

TEST(a_copy_of_a_released_handle_cannot_release_again) {
  nearbuf_buffer buffer = get_buffer(16);
  nearbuf_buffer copy = buffer;
  CHECK_OK(nearbuf_release(&buffer));
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_release(&copy));
  CHECK_EQUAL(0, copy.item);
}

TEST(append_refuses_what_is_no_bytes) {
  nearbuf_buffer buffer = get_buffer(16);
  size_t room = nearbuf_buffer_room(&buffer);
  void *address = &buffer;
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_append(&buffer, NULL, 1, &address));
  CHECK(address == NULL);
  address = &buffer;
  CHECK_STATUS(NEARBUF_INVALID_SIZE, nearbuf_append(&buffer, "x", 0, &address));
  CHECK(address == NULL);
  CHECK_EQUAL(room, nearbuf_buffer_room(&buffer));
  CHECK_OK(nearbuf_append(&buffer, "x", 1, NULL));
}

TEST(append_beyond_the_room_writes_nothing) {
  static unsigned char bytes[8 << 20];
  nearbuf_buffer buffer = get_buffer(16);
  size_t room = nearbuf_buffer_room(&buffer);
  CHECK(room + 1 <= sizeof bytes);
  memset(bytes, 0xEE, sizeof bytes);
  unsigned char *start = (unsigned char *)nearbuf_buffer_address(&buffer);
  void *address = &buffer;
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_append(&buffer, bytes, room + 1, &address));
  CHECK(address == NULL);
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_append(&buffer, bytes, SIZE_MAX, &address));
  CHECK_EQUAL(room, nearbuf_buffer_room(&buffer));
  CHECK(is_zero(start, nearbuf_buffer_size(&buffer)));
  CHECK_OK(nearbuf_append(&buffer, bytes, room, &address));
  CHECK_EQUAL(0, nearbuf_buffer_room(&buffer));
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_append(&buffer, bytes, 1, &address));
}

TEST(reserve_refuses_what_cannot_be_and_keeps_what_was_reserved) {
  nearbuf_buffer buffer = get_buffer(16);
  size_t room = nearbuf_buffer_room(&buffer);
  nearbuf_memory reserved;
  CHECK_OK(nearbuf_reserve(&buffer, 10, 1, &reserved));
  nearbuf_memory refused;
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_reserve(&buffer, 1, 1, NULL));
  CHECK_STATUS(NEARBUF_INVALID_SIZE, nearbuf_reserve(&buffer, 0, 1, &refused));
  CHECK(is_zero(&refused, sizeof refused));
  CHECK_STATUS(NEARBUF_INVALID_ALIGNMENT, nearbuf_reserve(&buffer, 1, 0, &refused));
  CHECK_STATUS(NEARBUF_INVALID_ALIGNMENT, nearbuf_reserve(&buffer, 1, 12, &refused));
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_reserve(&buffer, room + 1, 1, &refused));
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_reserve(&buffer, SIZE_MAX, 1, &refused));
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_reserve(&buffer, 1, SIZE_MAX / 2 + 1, &refused));
  CHECK(is_zero(&refused, sizeof refused));
  CHECK_OK(nearbuf_commit(&buffer, 10));
  CHECK_EQUAL(room - 10, nearbuf_buffer_room(&buffer));
}

TEST(commit_refuses_more_than_was_reserved_and_keeps_the_reservation) {
  nearbuf_buffer buffer = get_buffer(16);
  size_t room = nearbuf_buffer_room(&buffer);
  nearbuf_memory reserved;
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_commit(&buffer, 0));
  CHECK_OK(nearbuf_reserve(&buffer, 10, 1, &reserved));
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_commit(&buffer, 11));
  CHECK_EQUAL(room, nearbuf_buffer_room(&buffer));
  CHECK_OK(nearbuf_commit(&buffer, 4));
  CHECK_EQUAL(room - 4, nearbuf_buffer_room(&buffer));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_commit(&buffer, 0));
}

/* ---- Private memory and code ----------------------------------------------------------------- */

TEST(memory_is_freed_once) {
  nearbuf_request request = request_of(64);
  nearbuf_memory memory = {0};
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_free(&memory));
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK_OK(nearbuf_free(&memory));
  CHECK(is_zero(&memory, sizeof memory));
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_free(&memory));
}

#if defined(_WIN32)
enum { WRONG_ADDRESS = 487 }; /* ERROR_INVALID_ADDRESS */
#else
enum { WRONG_ADDRESS = EINVAL };
#endif

TEST(free_of_what_the_system_refuses_keeps_the_structure_and_tells_why) {
  if (TEST_HAS_THREAD_SANITIZER) {
    test_skip("the sanitizer dies of addresses that no process can have");
  }
  nearbuf_request request = request_of(64);
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  nearbuf_memory wrong = memory;
  /* Not an address of user space. The last page of the address space would do, too, but qemu
   * crashes on a mapping that ends at 2^64. */
  wrong.run_at = (unsigned char *)(UINTPTR_MAX - 2 * memory.size_bytes + 1);
  unsigned char *before = wrong.run_at;
  nearbuf_status status = nearbuf_free(&wrong);
  if (status == NEARBUF_OK) {
    test_skip("the system unmaps what no process can have");
  }
  CHECK_STATUS(NEARBUF_SYSTEM_ERROR, status);
  CHECK(wrong.run_at == before);
  CHECK_EQUAL(memory.size_bytes, wrong.size_bytes);
  CHECK_EQUAL(WRONG_ADDRESS, wrong.system_error);
  memory.run_at[0] = 1;
}

TEST(free_refuses_what_is_not_whole_pages) {
  nearbuf_request request = request_of(64);
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  nearbuf_memory wrong = memory;
  wrong.run_at++;
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_free(&wrong));
  CHECK(wrong.run_at == memory.run_at + 1);
  wrong = memory;
  wrong.size_bytes--;
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_free(&wrong));
  CHECK_EQUAL(memory.size_bytes - 1, wrong.size_bytes);
  memory.run_at[0] = 1;
}

TEST(overwrite_refuses_wrong_arguments) {
  nearbuf_buffer buffer = get_buffer(16);
  void *address;
  CHECK_OK(nearbuf_append(&buffer, "abcd", 4, &address));
  int32_t error = 99;
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_overwrite(NULL, "x", 1, &error));
  CHECK_EQUAL(0, error);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_overwrite(address, NULL, 1, &error));
  CHECK_STATUS(NEARBUF_INVALID_SIZE, nearbuf_overwrite(address, "x", 0, &error));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT,
               nearbuf_overwrite_with(NULL, 1, never_called, NULL, &error));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_overwrite_with(address, 1, NULL, NULL, &error));
  CHECK_STATUS(NEARBUF_INVALID_SIZE,
               nearbuf_overwrite_with(address, 0, never_called, NULL, &error));
  CHECK(memcmp(address, "abcd", 4) == 0);
}

TEST(overwrite_refuses_memory_that_is_no_buffer_and_cannot_be_written) {
  static const char constant[] = "constant";
  nearbuf_buffer buffer = get_buffer(16);
  unsigned char *start = (unsigned char *)nearbuf_buffer_address(&buffer);
  size_t size = nearbuf_buffer_size(&buffer);
  int32_t error = 99;
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_overwrite((void *)(uintptr_t)constant, "x", 1, &error));
  CHECK_EQUAL(0, error);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_overwrite((void *)(uintptr_t)16, "x", 1, NULL));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_overwrite((void *)UINTPTR_MAX, "xy", 2, NULL));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_overwrite(start + size - 1, "xy", 2, NULL));
  CHECK_EQUAL(0, start[size - 1]);
  CHECK(strcmp(constant, "constant") == 0);
}
