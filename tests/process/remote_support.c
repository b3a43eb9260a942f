/* See remote_support.h. */
#include "remote_support.h"

#include <string.h>

#include "test.h"

void target_line(target *what, char *line, size_t size) {
  CHECK(fgets(line, (int)size, what->output) != NULL);
}

void target_tell(target *what, const char *line) {
  CHECK(fputs(line, what->input) >= 0 && fflush(what->input) == 0);
}

nearbuf_process target_open(const target *what) {
  nearbuf_process process;
  CHECK_OK(nearbuf_process_open(what->id, &process));
  return process;
}

uint64_t first_locator(nearbuf_process *process, nearbuf_process_walk *walk,
                       nearbuf_process_locator *locator) {
  *walk = (nearbuf_process_walk){0};
  CHECK_OK(nearbuf_process_next_locator(process, walk, locator));
  return locator->address;
}

uint64_t put(nearbuf_process *process, const void *bytes, size_t size) {
  nearbuf_process_request request = anywhere(size);
  nearbuf_process_buffer buffer;
  uint64_t address;
  CHECK_OK(nearbuf_process_get(process, &request, &buffer));
  CHECK_OK(nearbuf_process_append(process, &buffer, bytes, size, &address));
  CHECK_OK(nearbuf_process_release(process, &buffer));
  return address;
}

void check_32_bit_process(const target *what) {
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

nearbuf_status get_in(pid_t id, int32_t *code) {
  nearbuf_process process;
  nearbuf_process_request request = anywhere(10);
  nearbuf_process_buffer buffer;
  CHECK_OK(nearbuf_process_open(id, &process));
  nearbuf_status status = nearbuf_process_get(&process, &request, &buffer);
  if (code != NULL) {
    *code = process.system_error;
  }
  if (status == NEARBUF_OK) {
    CHECK_OK(nearbuf_process_release(&process, &buffer));
  }
  CHECK_OK(nearbuf_process_close(&process));
  return status;
}
