/* Machines with more than 47 address bits, which are rare: the program is linked with --wrap for
 * mmap and munmap, which simulate the memory above. The library takes it for free, because the map
 * does not show it. */
#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#include <nearbuf/nearbuf.h>

#include "os/os.h"
#include "test.h"

static uintptr_t end_of_invented; /* 0: the machine's own */

static bool is_invented(const void *address, size_t size) {
  uintptr_t end = (uintptr_t)address + size;
  return end_of_invented != 0 && (uintptr_t)address >= (uintptr_t)1 << 48 && end <= end_of_invented;
}

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's names */
void *__real_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
  return is_invented(address, size) ? address
                                    : __real_mmap(address, size, protection, flags, file, offset);
}

int __real_munmap(void *address, size_t size);
int __wrap_munmap(void *address, size_t size);
int __wrap_munmap(void *address, size_t size) {
  return is_invented(address, size) ? 0 : __real_munmap(address, size);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static nearbuf_status allocate(nearbuf_range range, uintptr_t target, nearbuf_memory *memory) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.range = range;
  request.target = target;
  request.size_bytes = 4096;
  return nearbuf_allocate(&request, memory);
}

static void check_memory_up_to(uint32_t bits) {
  end_of_invented = ((uintptr_t)1 << bits) - (uintptr_t)nbuf_os_page_size();
  nearbuf_memory memory;
  nearbuf_range upper = {(uintptr_t)1 << (bits - 1), UINTPTR_MAX};
  CHECK_OK(allocate(upper, 0, &memory));
  CHECK((uintptr_t)memory.run_at >= upper.min && (uintptr_t)memory.run_at < end_of_invented);
  CHECK_OK(nearbuf_free(&memory));
  uintptr_t last = end_of_invented - 4096;
  CHECK_OK(allocate((nearbuf_range){last, UINTPTR_MAX}, 0, &memory));
  CHECK_EQUAL(last, memory.run_at);
  CHECK_OK(nearbuf_free(&memory));
  CHECK_STATUS(NEARBUF_NO_ROOM,
               allocate((nearbuf_range){end_of_invented, UINTPTR_MAX}, 0, &memory));
  uintptr_t middle = upper.min + ((uintptr_t)1 << 40);
  CHECK_OK(allocate((nearbuf_range){0, UINTPTR_MAX}, middle, &memory));
  CHECK_EQUAL(middle, memory.run_at);
}

TEST(memory_is_found_where_the_machine_has_56_bits_of_addresses) {
  check_memory_up_to(56);
}

TEST(memory_is_found_where_the_machine_has_52_bits_of_addresses) {
  check_memory_up_to(52);
}

TEST(the_upper_addresses_are_known_as_the_machine_has_them) {
  nbuf_range limits = nbuf_os_limits(0, 0);
  nearbuf_memory memory;
  nearbuf_range above = {limits.max + 1, UINTPTR_MAX};
  nearbuf_status status = allocate(above, 0, &memory);
  if (nbuf_os_limits(0, UINTPTR_MAX).max == limits.max) {
    CHECK_STATUS(NEARBUF_NO_ROOM, status);
    test_skip("the machine has no addresses above what every process has");
  }
  CHECK_OK(status);
  memory.run_at[0] = 1;
  CHECK_OK(nearbuf_free(&memory));
}
