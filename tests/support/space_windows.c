/* Address space prepared by the test, on Windows; see space.h. The unit that can be occupied and
 * freed separately is a granule. */
#include <windows.h>

#include "space.h"
#include "test.h"

uintptr_t space_page(void) {
  SYSTEM_INFO info;
  GetSystemInfo(&info);
  return info.dwAllocationGranularity;
}

uintptr_t space_occupy(uintptr_t size) {
  unsigned char *stretch = VirtualAlloc(NULL, size, MEM_RESERVE, PAGE_NOACCESS);
  CHECK(stretch != NULL);
  CHECK(VirtualFree(stretch, 0, MEM_RELEASE));
  for (uintptr_t at = 0; at < size; at += space_page()) {
    CHECK(VirtualAlloc(stretch + at, space_page(), MEM_RESERVE, PAGE_NOACCESS) == stretch + at);
  }
  return (uintptr_t)stretch;
}

void space_free(uintptr_t start, uintptr_t size) {
  for (uintptr_t at = start; at < start + size; at += space_page()) {
    CHECK(VirtualFree((void *)at, 0, MEM_RELEASE));
  }
}
