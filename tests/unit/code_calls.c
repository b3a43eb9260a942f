/* Overwriting code in an invented process: where buffers are, what else may be overwritten, and
 * what is synchronised. api/code.c is compiled here, with other names for what it calls. Against
 * real memory it is tested by tests/api/overwrite.c. */
#define nearbuf_find invented_find
#define nbuf_probe_private_code invented_probe
#define nbuf_os_sync_code invented_sync_code
#define nbuf_os_sync_processors invented_sync_processors
#include "api/code.c" /* NOLINT(bugprone-suspicious-include) */

#include "test.h"

enum { SIZE = 64, FROM = 16, MOST = 24, ANY_ERROR = 5 };

static _Alignas(16) unsigned char memory[SIZE]; /* of which a buffer is [FROM, FROM + MOST) */

static struct {
  nearbuf_status finding;
  nearbuf_status probing;
  uintptr_t probed;
  uintptr_t probed_size;
  uintptr_t synced;
  size_t synced_size;
  int synced_processors;
  ptrdiff_t used; /* what the writer returns */
  int writes;
} it;

nearbuf_status invented_find(const void *address, nearbuf_info *info) {
  CHECK(address != NULL);
  *info = (nearbuf_info){.address = (uintptr_t)memory + FROM, .size_bytes = MOST};
  return it.finding;
}

nbuf_result invented_probe(uintptr_t start, uintptr_t size) {
  it.probed = start;
  it.probed_size = size;
  return nbuf_result_system(it.probing, it.probing == NEARBUF_OK ? 0 : ANY_ERROR);
}

void invented_sync_code(uintptr_t address, size_t size) {
  CHECK_EQUAL(0, it.synced_processors); /* they come last */
  it.synced = address;
  it.synced_size = size;
}

void invented_sync_processors(void) {
  it.synced_processors++;
}

static const unsigned char bytes[SIZE] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
                                          13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24};

static void begin(void) {
  memset(memory, 0xee, sizeof memory);
  it.synced = 0;
  it.synced_processors = 0;
  it.writes = 0;
}

static void check_synced(uint32_t offset, size_t size) {
  CHECK_EQUAL((uintptr_t)memory + offset, it.synced);
  CHECK_EQUAL(size, it.synced_size);
  CHECK_EQUAL(1, it.synced_processors);
}

static void check_untouched(void) {
  for (uint32_t i = 0; i < SIZE; i++) {
    CHECK_EQUAL(0xee, memory[i]);
  }
  CHECK_EQUAL(0, it.synced);
  CHECK_EQUAL(0, it.synced_processors);
  CHECK_EQUAL(0, it.writes);
}

static ptrdiff_t write_code(const nearbuf_memory *room, void *context) {
  CHECK(context == &it);
  CHECK(room->write_to == room->run_at);
  memcpy(room->write_to, bytes, room->size_bytes);
  it.writes++;
  return it.used;
}

TEST(as_many_bytes_as_are_named_are_replaced_and_then_synchronised) {
  for (uint32_t size = 1; size <= MOST; size++) {
    for (uint32_t at = FROM; at <= FROM + MOST - size; at++) {
      int32_t error = 1;
      begin();
      CHECK_OK(nearbuf_overwrite(memory + at, bytes, size, &error));
      CHECK_EQUAL(0, error);
      CHECK(memcmp(memory + at, bytes, size) == 0);
      for (uint32_t i = 0; i < SIZE; i++) {
        CHECK((i >= at && i < at + size) || memory[i] == 0xee);
      }
      check_synced(at, size);
    }
  }
}

TEST(a_writer_replaces_them_in_the_memory_itself) {
  int32_t error = 1;
  begin();
  it.used = 0;
  CHECK_OK(nearbuf_overwrite_with(memory + FROM, MOST, write_code, &it, &error));
  CHECK_EQUAL(0, error);
  CHECK_EQUAL(1, it.writes);
  CHECK(memcmp(memory + FROM, bytes, MOST) == 0);
  check_synced(FROM, MOST);
  begin();
  it.used = -1; /* it may have written before it gave up */
  CHECK_STATUS(NEARBUF_CANCELLED,
               nearbuf_overwrite_with(memory + FROM, MOST, write_code, &it, NULL));
  check_synced(FROM, MOST);
}

static void check_refused(nearbuf_status expected, uintptr_t address, size_t size) {
  int32_t error = 1;
  CHECK_STATUS(expected, nearbuf_overwrite((void *)address, bytes, size, &error));
  CHECK_EQUAL(expected == NEARBUF_DENIED ? ANY_ERROR : 0, error);
  CHECK_STATUS(expected, nearbuf_overwrite_with((void *)address, size, write_code, &it, NULL));
  check_untouched();
}

TEST(what_does_not_lie_in_one_buffer_is_not_replaced) {
  const uintptr_t from = (uintptr_t)memory + FROM;
  begin();
  check_refused(NEARBUF_NOT_FOUND, from - 1, 1);
  check_refused(NEARBUF_NOT_FOUND, from - 1, 2);
  check_refused(NEARBUF_NOT_FOUND, from, MOST + 1);
  check_refused(NEARBUF_NOT_FOUND, from + MOST, 1);
  check_refused(NEARBUF_NOT_FOUND, from + MOST - 1, 2);
  check_refused(NEARBUF_NOT_FOUND, UINTPTR_MAX, 2); /* it ends behind the last address */
  check_refused(NEARBUF_NOT_FOUND, UINTPTR_MAX - 3, 5);
  check_refused(NEARBUF_INVALID_SIZE, from, 0);
  check_refused(NEARBUF_INVALID_ARGUMENT, 0, 1);
#if SIZE_MAX > UINT32_MAX
  check_refused(NEARBUF_INVALID_SIZE, from, (size_t)UINT32_MAX + 1);
  check_refused(NEARBUF_NOT_FOUND, from, UINT32_MAX);
#endif
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_overwrite(memory + FROM, NULL, 1, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_overwrite_with(memory + FROM, 1, NULL, &it, NULL));
  check_untouched();
  CHECK_EQUAL(0, it.probed); /* a buffer is there */
}

TEST(private_memory_is_replaced_where_it_may_be) {
  begin();
  it.finding = NEARBUF_NOT_FOUND;
  it.probing = NEARBUF_DENIED;
  check_refused(NEARBUF_DENIED, (uintptr_t)memory, 3);
  CHECK_EQUAL((uintptr_t)memory, it.probed);
  CHECK_EQUAL(3, it.probed_size);
  it.probing = NEARBUF_OK;
  CHECK_OK(nearbuf_overwrite(memory, bytes, 3, NULL));
  CHECK(memcmp(memory, bytes, 3) == 0);
  check_synced(0, 3);
  begin();
  check_refused(NEARBUF_NOT_FOUND, UINTPTR_MAX - 3, 5);
  check_refused(NEARBUF_INVALID_SIZE, (uintptr_t)memory, 0);
  it.probing = NEARBUF_DENIED;
  check_refused(NEARBUF_DENIED, UINTPTR_MAX - 3, 4); /* the last address is one, too */
}

TEST(code_that_was_written_otherwise_is_synchronised_on_request) {
  nearbuf_sync_code(memory + 3, 7);
  CHECK_EQUAL((uintptr_t)memory + 3, it.synced);
  CHECK_EQUAL(7, it.synced_size);
}
