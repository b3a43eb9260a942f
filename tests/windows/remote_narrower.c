/* 32-bit processes, as a 64-bit program sees them on Windows. */
#include "remote_windows.h"
#include "test.h"

TEST(a_32_bit_process_is_understood_and_given_memory) {
  target small = target_start(REMOTE_TARGET_OTHER, NULL, NULL);
  check_32_bit_process(&small);
  CHECK_EQUAL(0, target_end(&small));
}

TEST(a_32_bit_process_uses_the_locator_that_we_made) {
  target small = target_start(REMOTE_USER_OTHER, NULL, NULL);
  check_32_bit_process(&small);
  nearbuf_process process = target_open(&small);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  uint64_t address = put(&process, "more", 4);
  CHECK_EQUAL(address + 16, ask_address(&small, "place 10\n"));
  CHECK_EQUAL(ask_address(&small, "first\n"), first_locator(&process, &walk, &locator));
  CHECK_EQUAL(0, target_end(&small));
}
