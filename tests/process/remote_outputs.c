/* What calls about another process leave when they fail: outputs as their header says, whatever was
 * in them before, and the system's error code. */
#include <errno.h>
#include <string.h>

#include "remote_support.h"
#include "test.h"

enum { BEFORE = 0xa5 };

static bool is_zero(const void *bytes, size_t size) {
  const unsigned char *each = bytes;
  for (size_t i = 0; i < size; i++) {
    if (each[i] != 0) {
      return false;
    }
  }
  return true;
}

#define DIRTY(what) memset(&(what), BEFORE, sizeof(what))
#define CHECK_ZERO(what) CHECK(is_zero(&(what), sizeof(what)))

TEST(a_process_that_cannot_be_opened_leaves_nothing_but_the_systems_code) {
  nearbuf_process process;
  DIRTY(process);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_open(INT32_MAX, &process));
  CHECK_EQUAL(ESRCH, process.system_error);
  process.system_error = 0;
  CHECK_ZERO(process);
  DIRTY(process);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_open(0, &process));
  CHECK_ZERO(process);
  DIRTY(process);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_open(-1, &process));
  CHECK_ZERO(process);
}

TEST(what_cannot_be_looked_at_leaves_nothing) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator;
  nearbuf_process_item item;
  nearbuf_process_info info;
  DIRTY(locator);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_locator(&process, &walk, &locator));
  CHECK_ZERO(locator);
  DIRTY(item);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_item(&walk, &item));
  CHECK_ZERO(item);
  target_kill(&idle);
  DIRTY(info);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_describe(&process, &info));
  CHECK_ZERO(info);
  DIRTY(locator);
  walk = (nearbuf_process_walk){0};
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_locator(&process, &walk, &locator));
  CHECK_ZERO(locator);
  CHECK_OK(nearbuf_process_close(&process));
  CHECK_ZERO(process);
}

TEST(what_cannot_be_got_leaves_nothing) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_request request = anywhere(100);
  nearbuf_process_request wrong = anywhere(0);
  nearbuf_process_buffer buffer;
  request.flags = NEARBUF_PROCESS_EXISTING;
  DIRTY(buffer);
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_process_get(&process, &request, &buffer));
  CHECK_ZERO(buffer);
  DIRTY(buffer);
  CHECK_STATUS(NEARBUF_INVALID_SIZE, nearbuf_process_get(&process, &wrong, &buffer));
  CHECK_ZERO(buffer);
  uint64_t address;
  uint64_t size;
  DIRTY(address);
  DIRTY(size);
  CHECK_STATUS(NEARBUF_INVALID_SIZE, nearbuf_process_allocate(&process, &wrong, &address, &size));
  CHECK(address == 0 && size == 0);
  request = anywhere(100);
  request.min = 0;
  request.max = 1000; /* an address that no system maps */
  DIRTY(address);
  DIRTY(size);
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_process_allocate(&process, &request, &address, &size));
  CHECK(address == 0 && size == 0);
  (void)target_end(&idle);
}

TEST(what_cannot_be_appended_has_no_address_and_consumes_nothing) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_request request = anywhere(100);
  nearbuf_process_buffer buffer;
  nearbuf_process_buffer none = {0};
  uint64_t address;
  CHECK_OK(nearbuf_process_get(&process, &request, &buffer));
  nearbuf_process_buffer before = buffer;
  DIRTY(address);
  CHECK_STATUS(NEARBUF_INVALID_SIZE, nearbuf_process_append(&process, &buffer, "x", 0, &address));
  CHECK_EQUAL(0, address);
  DIRTY(address);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT,
               nearbuf_process_append(&process, &buffer, NULL, 1, &address));
  CHECK_EQUAL(0, address);
  DIRTY(address);
  CHECK_STATUS(NEARBUF_BEYOND_ROOM,
               nearbuf_process_append(&process, &buffer, "x", (size_t)buffer.room + 1, &address));
  CHECK_EQUAL(0, address);
  DIRTY(address);
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_process_append(&process, &none, "x", 1, &address));
  CHECK_EQUAL(0, address);
  CHECK(memcmp(&before, &buffer, sizeof buffer) == 0);
  target_kill(&idle);
  DIRTY(address);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_append(&process, &buffer, "x", 1, &address));
  CHECK_EQUAL(0, address);
  CHECK(memcmp(&before, &buffer, sizeof buffer) == 0);
  CHECK_OK(nearbuf_process_release(&process, &buffer));
  CHECK_ZERO(buffer);
}

TEST(a_call_that_works_clears_the_systems_code_of_the_one_before) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  unsigned char byte;
  size_t done;
  CHECK_STATUS(NEARBUF_NOT_MAPPED, nearbuf_process_read(&process, 4096, &byte, 1, &done));
  CHECK(process.system_error != 0);
  CHECK_EQUAL(0, done);
  CHECK_OK(nearbuf_process_check(&process));
  CHECK_EQUAL(0, process.system_error);
  CHECK_STATUS(NEARBUF_NOT_MAPPED, nearbuf_process_write(&process, 4096, &byte, 1, NULL));
  nearbuf_process_request wrong = anywhere(0);
  uint64_t address;
  CHECK_STATUS(NEARBUF_INVALID_SIZE, nearbuf_process_allocate(&process, &wrong, &address, NULL));
  CHECK_EQUAL(0, process.system_error);
  (void)target_end(&idle);
}

TEST(null_outputs_are_refused_and_those_that_may_be_null_are_not_written) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_request request = anywhere(1);
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator;
  nearbuf_process_item item;
  nearbuf_process_buffer buffer;
  unsigned char byte = 0;
  int32_t code = 1;
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_open(idle.id, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_describe(&process, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_visit_all(NULL, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_visit_map(&process, NULL, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_next_locator(&process, NULL, &locator));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_next_locator(&process, &walk, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_next_item(NULL, &item));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_next_item(&walk, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_get(&process, NULL, &buffer));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_get(&process, &request, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_append(&process, NULL, "x", 1, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_release(&process, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_read(&process, 4096, NULL, 1, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_write(&process, 4096, NULL, 1, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_allocate(&process, &request, NULL, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_visit_files(NULL, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_remove_file(NULL, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_remove_file(NULL, &code));
  CHECK_EQUAL(0, code);
  CHECK_STATUS(NEARBUF_NOT_MAPPED, nearbuf_process_read(&process, 4096, &byte, 1, NULL));
  (void)target_end(&idle);
}

static int ignore_mapping(const nearbuf_process_mapping *mapping, void *context) {
  (void)mapping;
  (void)context;
  return 0;
}

static void check_copies_nothing(nearbuf_process *process, unsigned char *bytes) {
  size_t done;
  DIRTY(done);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_read(process, 4096, bytes, 1, &done));
  CHECK_EQUAL(0, done);
  DIRTY(done);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_write(process, 4096, bytes, 1, &done));
  CHECK_EQUAL(0, done);
}

TEST(a_copy_that_is_refused_has_copied_no_bytes) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  unsigned char byte = BEFORE;
  check_copies_nothing(&process, NULL);
  CHECK_OK(nearbuf_process_close(&process));
  check_copies_nothing(&process, &byte);
  check_copies_nothing(NULL, &byte);
  CHECK_EQUAL(BEFORE, byte);
  (void)target_end(&idle);
}

TEST(a_closed_process_has_neither_a_map_nor_a_description) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_info info;
  CHECK_OK(nearbuf_process_describe(&process, &info));
  CHECK_OK(nearbuf_process_visit_map(&process, ignore_mapping, NULL));
  CHECK_OK(nearbuf_process_close(&process));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_describe(&process, &info));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_visit_map(&process, ignore_mapping, NULL));
  (void)target_end(&idle);
}
