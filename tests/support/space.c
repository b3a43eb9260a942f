/* Address space of the test's own making; see space.h. */
#include "space.h"

#include <sys/mman.h>
#include <unistd.h>

#include "test.h"

uintptr_t space_page(void) {
  return (uintptr_t)sysconf(_SC_PAGESIZE);
}

uintptr_t space_occupy(uintptr_t size) {
  void *got = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(got != MAP_FAILED);
  return (uintptr_t)got;
}

void space_free(uintptr_t start, uintptr_t size) {
  CHECK_EQUAL(0, munmap((void *)start, size));
}

void space_settle(void) {
  nearbuf_request request;
  nearbuf_memory placed;
  CHECK_OK(nearbuf_request_near((const void *)(uintptr_t)space_settle, 1, &request));
  CHECK_OK(nearbuf_place(&request, "x", &placed));
}

nearbuf_request space_request(uintptr_t start, uintptr_t range_size, size_t size_bytes) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.range = (nearbuf_range){start, start + (range_size - 1)};
  request.size_bytes = size_bytes;
  return request;
}
