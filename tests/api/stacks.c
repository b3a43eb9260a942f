/* Memory that only looks free: addresses below a stack that grows on demand (MAP_GROWSDOWN), as
 * some libraries for user threads create them. */
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "maps.h"
#include "os/os.h"
#include "os/posix/anchor.h"
#include "space.h"
#include "test.h"

enum { MIB = 1 << 20, HOLE = (sizeof(void *) == 8 ? 256 : 64) * MIB, STACK_SIZE = 64 << 10 };

/* What the kernel keeps free below a stack. */
static uintptr_t guard_gap(void) {
  return 256 * space_page();
}

static uintptr_t limit_of_stacks(void) {
  struct rlimit limit;
  CHECK_EQUAL(0, getrlimit(RLIMIT_STACK, &limit));
  limit.rlim_cur = (rlim_t)8 * MIB;
  CHECK_EQUAL(0, setrlimit(RLIMIT_STACK, &limit));
  return (uintptr_t)limit.rlim_cur;
}

/* Creates a hole in which nothing else is free, with a stack at its upper end; returns its
 * start. */
static uintptr_t make_stack(void) {
  space_settle();
  uintptr_t hole = space_occupy(HOLE);
  uintptr_t start = hole + HOLE - STACK_SIZE;
  space_free(hole + space_page(), HOLE - space_page());
  void *stack = mmap((void *)start, STACK_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
  CHECK_EQUAL((uintptr_t)start, (uintptr_t)stack);
  void *below = mmap((void *)(start - space_page()), space_page(), PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK_EQUAL(0, munmap(below, space_page()));
  if (below == (void *)(start - space_page())) {
    test_skip("this system does not let stacks grow");
  }
  return start;
}

/* Lets the stack grow as recursion would, from its current start. */
static void grow(uintptr_t stack, uintptr_t size) {
  for (uintptr_t at = 0; at < size; at += 4096) {
    *(volatile char *)(stack - at - 8) = 1;
  }
}

static nearbuf_request request_below(uintptr_t stack, uintptr_t depth, size_t size) {
  nearbuf_request request = space_request(stack - depth, depth + STACK_SIZE, size);
  request.target = stack;
  return request;
}

TEST(a_stack_that_grows_keeps_the_room_that_it_may_grow_into) {
  uintptr_t limit = limit_of_stacks();
  uintptr_t stack = make_stack();
  nearbuf_request request = request_below(stack, HOLE / 2, 4096);
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  uintptr_t end = nearbuf_buffer_address(&buffer) + nearbuf_buffer_size(&buffer);
  CHECK_EQUAL(stack - limit - guard_gap(), end);
  grow(stack, limit - STACK_SIZE - MIB);
  for (size_t i = 0; i < 4096; i++) {
    CHECK_EQUAL(0, ((unsigned char *)nearbuf_buffer_address(&buffer))[i]);
  }
}

TEST(memory_that_is_placed_beside_memory_stays_away_from_a_stack_above) {
  uintptr_t limit = limit_of_stacks();
  uintptr_t stack = make_stack();
  nearbuf_request request = request_below(stack, HOLE / 2, 64 << 10);
  request.target = stack - limit - 2 * (uintptr_t)MIB;
  nearbuf_memory memory;
  for (int i = 0; i < 4 * MIB / (64 << 10); i++) {
    CHECK_OK(nearbuf_allocate(&request, &memory));
    CHECK((uintptr_t)memory.run_at + memory.size_bytes <= stack - limit - guard_gap());
  }
  grow(stack, limit - STACK_SIZE - MIB);
}

TEST(a_stack_with_a_high_limit_or_none_keeps_as_much_as_most_need) {
  static const rlim_t limits[] = {(rlim_t)64 * MIB, RLIM_INFINITY};
  for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
    struct rlimit limit;
    CHECK_EQUAL(0, getrlimit(RLIMIT_STACK, &limit));
    limit.rlim_cur = limits[i];
    if (setrlimit(RLIMIT_STACK, &limit) != 0) {
      continue; /* more than this user is allowed */
    }
    uintptr_t stack = make_stack();
    nearbuf_request request = request_below(stack, HOLE / 2, 4096);
    nearbuf_memory memory;
    CHECK_OK(nearbuf_allocate(&request, &memory));
    CHECK_EQUAL(stack - NBUF_OS_MOST_GROWTH, (uintptr_t)memory.run_at + memory.size_bytes);
  }
}

TEST(below_memory_that_does_not_grow_no_room_is_kept) {
  (void)limit_of_stacks();
  space_settle();
  uintptr_t hole = space_occupy(HOLE);
  uintptr_t above = hole + HOLE - STACK_SIZE;
  space_free(hole + space_page(), HOLE - STACK_SIZE - space_page());
  nearbuf_request request = request_below(above, HOLE / 2, 4096);
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK_EQUAL(above, (uintptr_t)memory.run_at + memory.size_bytes);
}

TEST(where_nothing_else_fits_a_stack_keeps_what_the_system_guards) {
  (void)limit_of_stacks();
  uintptr_t stack = make_stack();
  nearbuf_request request = request_below(stack, 2 * (uintptr_t)MIB, 4096);
  nearbuf_memory memory;
  for (int i = 0; i < MIB / 4096; i++) {
    CHECK_OK(nearbuf_allocate(&request, &memory));
    CHECK((uintptr_t)memory.run_at + memory.size_bytes <= stack - guard_gap());
  }
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_allocate(&request, &memory));
  nearbuf_buffer buffer;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_get(&request, &buffer));
}

/* What the library keeps at addresses that it knows. */
TEST(the_anchor_is_not_put_below_a_stack) {
  uintptr_t place = 0;
  bool is_made = false;
  for (uint32_t i = 0; !is_made; i++) { /* the first that this machine supports */
    place = (uintptr_t)nbuf_anchor_place(sizeof(uintptr_t), i);
    CHECK(place != 0);
    uintptr_t stack = place + 2 * space_page();
    is_made = (void *)stack ==
              mmap((void *)stack, STACK_SIZE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0);
  }
  space_settle();
  static maps all;
  maps_read(&all);
  CHECK(maps_find(&all, place) == NULL);
}

TEST(what_lies_below_other_memory_is_used_up_to_it) {
  uintptr_t stack = make_stack();
  CHECK_EQUAL(0, munmap((void *)stack, STACK_SIZE));
  CHECK_EQUAL(stack, (uintptr_t)mmap((void *)stack, STACK_SIZE, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
  nearbuf_request request = request_below(stack, HOLE / 2, 4096);
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK_EQUAL(stack, (uintptr_t)memory.run_at + memory.size_bytes);
}
