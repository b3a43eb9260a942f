/* Replacing code where it is executed. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#endif

#include "os/os.h"
#include "space.h"
#include "test.h"

static nearbuf_memory place(const void *bytes, size_t size, size_t alignment) {
  nearbuf_request request;
  CHECK_OK(nearbuf_request_near((const void *)(uintptr_t)place, size, &request));
  request.alignment_bytes = alignment;
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, bytes, &placed));
  return placed;
}

TEST(bytes_of_every_size_are_replaced_and_their_neighbours_stay) {
  unsigned char old[64];
  unsigned char new[64];
  memset(old, 'o', sizeof old);
  memset(new, 'n', sizeof new);
  for (size_t offset = 0; offset < 9; offset++) {
    for (size_t size = 1; size <= 40; size++) {
      nearbuf_memory placed = place(old, sizeof old, 16);
      int32_t error = 99;
      CHECK_OK(nearbuf_overwrite(placed.run_at + offset, new, size, &error));
      CHECK_EQUAL(0, error);
      for (size_t i = 0; i < sizeof old; i++) {
        CHECK_EQUAL(i >= offset && i < offset + size ? 'n' : 'o', placed.run_at[i]);
      }
    }
  }
}

TEST(private_memory_is_replaced_too) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 64;
  request.target = (uintptr_t)place;
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK_OK(nearbuf_overwrite(memory.run_at + 3, "abc", 3, NULL));
  CHECK(memcmp(memory.run_at, "\0\0\0abc\0", 7) == 0);
}

static void check_refused(void *address) {
  unsigned char before = *(volatile unsigned char *)address;
  unsigned char other = before ^ 1;
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_overwrite(address, &other, 1, NULL));
  CHECK_EQUAL(before, *(volatile unsigned char *)address);
}

#if defined(__unix__) || defined(__APPLE__)
static void check_mapped_files_are_refused(void) {
  const int all = PROT_READ | PROT_WRITE | PROT_EXEC;
  unsigned char *shared = mmap(NULL, 4096, all, MAP_SHARED | MAP_ANON, -1, 0);
  if (shared != MAP_FAILED) {
    check_refused(shared);
  }
  FILE *file = tmpfile();
  CHECK(file != NULL && ftruncate(fileno(file), 4096) == 0);
  unsigned char *of_file = mmap(NULL, 4096, all, MAP_PRIVATE, fileno(file), 0);
  if (of_file != MAP_FAILED) { /* /tmp may be mounted noexec */
    check_refused(of_file);
  }
}
#else
static void check_mapped_files_are_refused(void) {
}
#endif

/* A memory map in text form may be an emulator's, and is not trusted about that. */
static bool tells_what_is_executable(void) {
  nbuf_map map;
  CHECK_EQUAL(NEARBUF_OK, nbuf_os_map_open(&map, false).status);
  nbuf_os_map_close(&map);
  return map.is_cheap_anywhere;
}

TEST(what_is_neither_a_buffer_nor_private_memory_is_not_replaced) {
  (void)place("x", 1, 1);
  static unsigned char data[8];
  unsigned char on_stack[8] = {0};
  if (tells_what_is_executable()) {
    check_refused(data);
    check_refused(on_stack);
  }
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  check_refused((void *)(totals.first_locator + 64));
  check_mapped_files_are_refused();
}

TEST(the_last_byte_of_a_buffer_can_be_replaced) {
  nearbuf_memory placed = place("x", 1, 1);
  nearbuf_info info;
  CHECK_OK(nearbuf_find(placed.run_at, &info));
  unsigned char *last = (unsigned char *)info.address + info.size_bytes - 1;
  CHECK_OK(nearbuf_overwrite(last, "y", 1, NULL));
  CHECK_EQUAL('y', *last);
}

static ptrdiff_t answer_of(const nearbuf_memory *room, void *context) {
  CHECK_EQUAL(4, room->size_bytes);
  memcpy(room->write_to, "call", 4);
  return *(ptrdiff_t *)context;
}

TEST(a_callback_replaces_bytes_in_place) {
  nearbuf_memory placed = place("abcdefgh", 8, 16);
  ptrdiff_t answer = 4;
  int32_t error = 99;
  CHECK_OK(nearbuf_overwrite_with(placed.run_at + 2, 4, answer_of, &answer, &error));
  CHECK_EQUAL(0, error);
  CHECK(memcmp(placed.run_at, "abcallgh", 8) == 0);
}

TEST(a_callback_that_gives_up_is_cancelled) {
  nearbuf_memory placed = place("abcdefgh", 8, 16);
  ptrdiff_t answer = -1;
  CHECK_STATUS(NEARBUF_CANCELLED,
               nearbuf_overwrite_with(placed.run_at + 2, 4, answer_of, &answer, NULL));
  CHECK(memcmp(placed.run_at, "abcallgh", 8) == 0);
}

/* The constant of a running function is replaced again and again: a caller sees one of the
 * constants, never a mixture. */
enum { ROUNDS = 20000 };
static _Atomic bool is_over;
static int (*function)(void);

static void *call_again_and_again(void *argument) {
  (void)argument;
  while (!atomic_load(&is_over)) {
    int value = function();
    CHECK(value == 0x11111111 || value == 0x22222222);
  }
  return NULL;
}

TEST(an_aligned_word_of_running_code_is_replaced_as_one) {
#if !defined(__x86_64__) && !defined(__i386__)
  test_skip("the code is written for x86");
#endif
  /* nop x3; mov eax, imm32 at offset 4; ret */
  const unsigned char code[] = {0x90, 0x90, 0x90, 0xb8, 0x11, 0x11, 0x11, 0x11, 0xc3};
  nearbuf_memory placed = place(code, sizeof code, 64);
  function = (int (*)(void))(uintptr_t)placed.run_at;
  pthread_t thread;
  CHECK_EQUAL(0, pthread_create(&thread, NULL, call_again_and_again, NULL));
  for (int i = 0; i < ROUNDS; i++) {
    uint32_t constant = i % 2 == 0 ? 0x22222222 : 0x11111111;
    CHECK_OK(nearbuf_overwrite(placed.run_at + 4, &constant, sizeof constant, NULL));
    CHECK_EQUAL(constant, function());
  }
  atomic_store(&is_over, true);
  pthread_join(thread, NULL);
}
