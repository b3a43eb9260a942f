/* The edges of the rel32 range with real jumps: to the first and the last byte of it, and back.
 * x86-64 only; tests/unit/reach.c does the arithmetic of the others. */
#include <string.h>
#include <sys/mman.h>

#include "space.h"
#include "test.h"

enum { PAGE = 4096, JUMP = 5, LONGEST_PATCH = 32 };

/* A page for targets with 2 GiB free on both sides. The addresses are ones that the sanitizers
 * leave to the program, too. */
static unsigned char *make_target_page(void) {
  for (uintptr_t i = 0; i < 64; i++) {
    uintptr_t wanted = 0x551000000000 + i * 0x400000000;
    void *got = mmap((void *)(wanted - 0x80010000), 0x100020000, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(got != MAP_FAILED);
    CHECK_EQUAL(0, munmap(got, 0x100020000));
    if ((uintptr_t)got == wanted - 0x80010000) {
      void *page = mmap((void *)wanted, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      CHECK(page == (void *)wanted);
      return page;
    }
  }
  test_fail(__FILE__, __LINE__, "no 4 GiB of address space are free");
}

/* Writes `jmp rel32` at `from`; the displacement must fit. */
static void write_jump(unsigned char *from, uintptr_t to) {
  int64_t displacement = (int64_t)(to - ((uintptr_t)from + JUMP));
  CHECK(displacement >= INT32_MIN && displacement <= INT32_MAX);
  int32_t encoded = (int32_t)displacement;
  from[0] = 0xe9;
  memcpy(from + 1, &encoded, sizeof encoded);
}

static const unsigned char return_7[] = {0xb8, 7, 0, 0, 0, 0xc3}; /* mov eax, 7; ret */

static int call(const void *code) {
  return ((int (*)(void))(uintptr_t)code)();
}

static nearbuf_range reach_of(const void *first, const void *last) {
  nearbuf_range target = {(uintptr_t)first, (uintptr_t)last};
  nearbuf_range range;
  CHECK_OK(nearbuf_range_within_reach(&target, 1, NEARBUF_REACH_JUMP, &range));
  return range;
}

/* The page at one end of the range, filled by the library. */
static unsigned char *get_page(uintptr_t start) {
  nearbuf_request request = space_request(start, PAGE, PAGE);
  nearbuf_buffer buffer;
  nearbuf_memory room;
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_OK(nearbuf_reserve(&buffer, PAGE, 1, &room));
  CHECK_OK(nearbuf_commit(&buffer, PAGE));
  CHECK_EQUAL(start, (uintptr_t)room.run_at);
  return room.write_to;
}

TEST(a_jump_reaches_the_last_byte_of_the_range_and_comes_back) {
  unsigned char *target = make_target_page();
  nearbuf_range range = reach_of(target, target);
  CHECK_EQUAL((uintptr_t)target + 0x7fffffff, range.max);
  unsigned char *stub = get_page(range.max - (PAGE - 1));

  /* The last byte is an instruction of its own: the target jumps to it. */
  stub[PAGE - 1] = 0xc3; /* ret */
  write_jump(target, range.max);
  nearbuf_sync_code(target, JUMP);
  (void)call(target);

  /* The last bytes are the jump back to the first byte of the target: the code that a hook
   * moved. */
  write_jump(target, range.max - (JUMP - 1));
  write_jump(stub + PAGE - JUMP, (uintptr_t)target + JUMP);
  memcpy(target + JUMP, return_7, sizeof return_7);
  CHECK_EQUAL(7, call(target));

  memcpy(target, return_7, sizeof return_7);
  write_jump(stub + PAGE - JUMP, (uintptr_t)target);
  CHECK_EQUAL(7, call(stub + PAGE - JUMP));
}

TEST(a_jump_reaches_the_first_byte_of_the_range_and_comes_back) {
  unsigned char *page = make_target_page();
  /* A patch of 32 bytes ends with the page; its last instruction is the jump. */
  unsigned char *target = page + PAGE - LONGEST_PATCH;
  nearbuf_range range = reach_of(target, target);
  CHECK_EQUAL((uintptr_t)page + PAGE - 0x80000000, range.min);
  unsigned char *stub = get_page(range.min);
  memset(target, 0x90, LONGEST_PATCH); /* nop */
  write_jump(page + PAGE - JUMP, range.min);
  memcpy(stub, return_7, sizeof return_7);
  CHECK_EQUAL(7, call(target));

  /* Back to the target, to behind a short patch, and to the last byte that is promised. */
  write_jump(stub, (uintptr_t)page);
  memcpy(page, return_7, sizeof return_7);
  CHECK_EQUAL(7, call(target));
  write_jump(stub, (uintptr_t)target + JUMP);
  memcpy(target + JUMP, return_7, sizeof return_7);
  CHECK_EQUAL(7, call(stub));
  int64_t to_the_last = (int64_t)((uintptr_t)target + LONGEST_PATCH - (range.min + 1));
  CHECK(to_the_last <= INT32_MAX);
}

TEST(one_byte_before_the_range_the_jump_of_a_32_byte_patch_does_not_encode) {
  unsigned char *page = make_target_page();
  unsigned char *target = page + PAGE - LONGEST_PATCH;
  nearbuf_range range = reach_of(target, target);
  int64_t displacement = (int64_t)(range.min - 1 - ((uintptr_t)page + PAGE));
  CHECK(displacement < INT32_MIN);
}

/* A whole module as the target: its first and its last function both reach both ends. */
TEST(every_function_of_a_module_reaches_both_ends_of_its_range) {
  enum { MODULE = 1 << 20 };
  unsigned char *page = make_target_page();
  CHECK_EQUAL(0, munmap(page, PAGE));
  unsigned char *module =
      mmap(page, MODULE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(module == page);
  unsigned char *last = module + MODULE - LONGEST_PATCH;
  nearbuf_range range = reach_of(module, last);
  unsigned char *high = get_page(range.max - (PAGE - 1));
  unsigned char *low = get_page(range.min);
  high[PAGE - 1] = 0xc3;
  memcpy(low, return_7, sizeof return_7);
  write_jump(module, range.max);
  (void)call(module);
  write_jump(module, range.min);
  CHECK_EQUAL(7, call(module));
  write_jump(module + MODULE - JUMP, range.max);
  (void)call(module + MODULE - JUMP);
  write_jump(module + MODULE - JUMP, range.min);
  CHECK_EQUAL(7, call(module + MODULE - JUMP));
}
