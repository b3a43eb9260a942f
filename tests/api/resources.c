/* What the library must not leave behind, and what it returns when a resource is exhausted. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "request.h"
#include "soft_limits.h"
#include "space.h"
#include "test.h"

static int open_descriptors(void) {
  DIR *directory = opendir("/proc/self/fd");
  CHECK(directory != NULL);
  int count = 0;
  while (readdir(directory) != NULL) {
    count++;
  }
  closedir(directory);
  return count;
}

/* Every public function that could need a descriptor. */
static void use_everything(void) {
  enum { HELD = 300 };
  static nearbuf_buffer held[HELD];
  nearbuf_request request = request_near_code(64);
  for (int i = 0; i < HELD; i++) {
    CHECK_OK(nearbuf_get(&request, &held[i]));
  }
  for (int i = 0; i < HELD; i++) {
    CHECK_OK(nearbuf_release(&held[i]));
  }
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK_OK(nearbuf_overwrite(memory.run_at, "abc", 3, NULL));
  CHECK_OK(nearbuf_free(&memory));
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK(totals.locators >= 2);
}

TEST(no_descriptor_stays_open) {
  int before = open_descriptors();
  use_everything();
  CHECK_EQUAL(before, open_descriptors());
}

TEST(no_descriptor_stays_open_after_failures) {
  space_settle();
  uintptr_t area = space_occupy(1 << 20);
  nearbuf_request request = space_request(area, 1 << 20, 64);
  int before = open_descriptors();
  nearbuf_buffer buffer;
  nearbuf_memory memory;
  for (int i = 0; i < 10; i++) {
    CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_get(&request, &buffer));
    CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_allocate(&request, &memory));
  }
  CHECK_EQUAL(before, open_descriptors());
}

TEST(without_descriptors_memory_is_out_and_the_error_stands_beside_it) {
  nearbuf_request request = request_near_code(64);
  nearbuf_buffer buffer;
  nearbuf_memory memory;
  nearbuf_request searched = request;
  searched.target += 64 << 20; /* in no module: there the memory map may not be needed */
  uint64_t previous = set_limit(RLIMIT_NOFILE, 0);
  nearbuf_status allocated = nearbuf_allocate(&searched, &memory);
  int32_t allocated_error = memory.system_error;
  bool is_empty = memory.run_at == NULL;
  nearbuf_status got = nearbuf_get(&request, &buffer);
  const unsigned char bytes[64] = {0};
  nearbuf_status placed = nearbuf_place(&request, bytes, &memory);
  set_limit(RLIMIT_NOFILE, previous);
  CHECK_STATUS(NEARBUF_OUT_OF_MEMORY, allocated);
  CHECK_EQUAL(EMFILE, allocated_error);
  CHECK(is_empty);
  CHECK_STATUS(NEARBUF_OUT_OF_MEMORY, got);
  CHECK_EQUAL(EMFILE, buffer.system_error);
  CHECK_EQUAL(0, buffer.item);
  CHECK_STATUS(NEARBUF_OUT_OF_MEMORY, placed);
  CHECK_EQUAL(EMFILE, memory.system_error);
  CHECK(memory.run_at == NULL);
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_EQUAL(0, buffer.system_error);
}

/* Emulators count their own memory against the limit of the program. */
static bool can_map(size_t size) {
  void *got = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return got != MAP_FAILED && munmap(got, size) == 0;
}

TEST(without_address_space_memory_is_out_and_a_retry_helps) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = (size_t)256 << 20;
  nearbuf_buffer buffer;
  nearbuf_memory memory;
  space_settle();
  uint64_t previous = set_limit(RLIMIT_AS, (uint64_t)64 << 20);
  if (can_map(request.size_bytes)) {
    test_skip("the limit on the address space limits nothing");
  }
  nearbuf_status got = nearbuf_get(&request, &buffer);
  nearbuf_status allocated = nearbuf_allocate(&request, &memory);
  set_limit(RLIMIT_AS, previous);
  CHECK_STATUS(NEARBUF_OUT_OF_MEMORY, got);
  CHECK_EQUAL(ENOMEM, buffer.system_error);
  CHECK_STATUS(NEARBUF_OUT_OF_MEMORY, allocated);
  CHECK_EQUAL(ENOMEM, memory.system_error);
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_OK(nearbuf_allocate(&request, &memory));
}

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif

TEST(where_writable_and_executable_memory_is_forbidden_it_is_denied) {
  if (prctl(PR_SET_MDWE, 1, 0, 0, 0) != 0) {
    test_skip("the kernel cannot forbid it (before 6.3)");
  }
  nearbuf_request request = request_near_code(64);
  nearbuf_buffer buffer;
  nearbuf_memory memory;
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_get(&request, &buffer));
  CHECK_EQUAL(EACCES, buffer.system_error);
  CHECK_EQUAL(0, buffer.item);
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_allocate(&request, &memory));
  CHECK_EQUAL(EACCES, memory.system_error);
}
