/* Address space prepared by the test, on POSIX systems; see space.h. */
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
