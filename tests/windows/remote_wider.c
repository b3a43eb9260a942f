/* 64-bit processes, as a 32-bit program sees them on Windows. */
#include "remote_windows.h"
#include "test.h"

TEST(a_64_bit_process_is_read_and_not_changed_by_a_32_bit_program) {
  target large = target_start(REMOTE_USER_OTHER, NULL, NULL);
  uint64_t placed = ask_address(&large, "place 10\n");
  nearbuf_process process = target_open(&large);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  nearbuf_process_item item = {0};
  nearbuf_process_buffer buffer;
  nearbuf_process_request request = anywhere(10);
  uint64_t address;
  unsigned char byte = 1;
  CHECK_EQUAL(64, process.address_bits);
  CHECK_EQUAL(ask_address(&large, "first\n"), first_locator(&process, &walk, &locator));
  CHECK_EQUAL(203, locator.capacity);
  CHECK(locator.fault == NULL);
  uint32_t used = 0;
  while (nearbuf_process_next_item(&walk, &item) == NEARBUF_OK) {
    bool is_it = item.address <= placed && placed - item.address < item.size_bytes;
    used += is_it ? item.used_bytes : 0;
  }
  CHECK_EQUAL(10, used);
  CHECK_OK(nearbuf_process_read(&process, placed, &byte, 1, NULL));
  CHECK_EQUAL(0, byte);
  CHECK_STATUS(NEARBUF_UNSUPPORTED, nearbuf_process_get(&process, &request, &buffer));
  CHECK_STATUS(NEARBUF_UNSUPPORTED, nearbuf_process_allocate(&process, &request, &address, NULL));
  CHECK_STATUS(NEARBUF_UNSUPPORTED, nearbuf_process_free(&process, 65536, 65536));
  CHECK_EQUAL(0, target_end(&large));
}
