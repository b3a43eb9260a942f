/* 32-bit processes, as a 64-bit program sees them on Windows. */
#include <string.h>

#include "remote_windows.h"
#include "test.h"

/* Puts bytes into a 32-bit process, and takes and frees memory in it. */
static void check_put(target *what) {
  nearbuf_process process = target_open(what);
  CHECK_EQUAL(32, process.address_bits);
  uint64_t address = put(&process, "hello", 5);
  CHECK(address < NEARBUF_4_GIB);
  char seen[6] = {0};
  CHECK_OK(nearbuf_process_read(&process, address, seen, 5, NULL));
  CHECK(strcmp(seen, "hello") == 0);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  (void)first_locator(&process, &walk, &locator);
  CHECK_EQUAL(255, locator.capacity);
  CHECK(locator.fault == NULL);
  CHECK_EQUAL(address + 16, put(&process, "again", 5));
  nearbuf_process_request request = anywhere(10000);
  uint64_t size;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &address, &size));
  CHECK(address + size <= NEARBUF_4_GIB);
  CHECK_OK(nearbuf_process_free(&process, address, size));
  CHECK_OK(nearbuf_process_close(&process));
}

TEST(a_32_bit_process_is_understood_and_given_memory) {
  target small = target_start(REMOTE_TARGET_OTHER, NULL, NULL);
  check_put(&small);
  CHECK_EQUAL(0, target_end(&small));
}

TEST(a_32_bit_process_uses_the_locator_that_we_made) {
  target small = target_start(REMOTE_USER_OTHER, NULL, NULL);
  check_put(&small);
  nearbuf_process process = target_open(&small);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  uint64_t address = put(&process, "more", 4);
  CHECK_EQUAL(address + 16, ask_address(&small, "place 10\n"));
  CHECK_EQUAL(ask_address(&small, "first\n"), first_locator(&process, &walk, &locator));
  CHECK_EQUAL(0, target_end(&small));
}
