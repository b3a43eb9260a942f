/* How much stack a call needs: alternate stacks of signal handlers must be large enough. */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "test.h"

/* The promise of nearbuf.h. */
enum { MOST = 16 << 10 };

enum { STACK = 1 << 20, PAINT = 0xA5 };

typedef void (*call)(void);

typedef struct painted {
  call run;
  unsigned char *entry; /* where the stack ends as the call begins */
} painted;

static void *run_on_painted(void *argument) {
  painted *told = argument;
  unsigned char here = 0;
  told->entry = &here;
  told->run();
  return NULL;
}

/* Runs it in a thread whose stack was filled with a pattern; returns how much of that was
 * overwritten. */
static size_t stack_of(call run) {
  unsigned char *stack =
      mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(stack != MAP_FAILED);
  memset(stack, PAINT, STACK);
  pthread_attr_t attributes;
  CHECK_EQUAL(0, pthread_attr_init(&attributes));
  CHECK_EQUAL(0, pthread_attr_setstack(&attributes, stack, STACK));
  painted told = {.run = run};
  pthread_t thread;
  CHECK_EQUAL(0, pthread_create(&thread, &attributes, run_on_painted, &told));
  CHECK_EQUAL(0, pthread_join(thread, NULL));
  size_t untouched = 0;
  while (stack[untouched] == PAINT) {
    untouched++;
  }
  return (size_t)(told.entry - stack) - untouched;
}

static void take_20_kib(void) {
  volatile unsigned char bytes[20 << 10];
  for (size_t i = 0; i < sizeof bytes; i++) {
    bytes[i] = 1; /* all of them: clang keeps only what is touched */
  }
}

static nearbuf_request request;

static void place(void) {
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, "12345678", &placed));
}

static void allocate_and_free(void) {
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK_OK(nearbuf_free(&memory));
}

static void look(void) {
  nearbuf_info info = {0};
  nearbuf_totals totals;
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_find(&info, &info));
  CHECK_OK(nearbuf_get_totals(&totals));
}

static void make_request(void) {
  CHECK_OK(nearbuf_request_near((const void *)(uintptr_t)make_request, 8, &request));
}

TEST(the_paint_tells_how_much_stack_was_used) {
  size_t used = stack_of(take_20_kib);
  CHECK(used > 20 << 10);
  CHECK(used < 24 << 10);
}

TEST(the_first_call_needs_no_more_stack_than_is_promised) {
  make_request();
  CHECK(stack_of(place) < MOST);
  CHECK(stack_of(place) < MOST);
}

TEST(private_memory_needs_no_more_stack_than_is_promised) {
  make_request();
  CHECK(stack_of(allocate_and_free) < MOST);
}

TEST(looking_needs_no_more_stack_than_is_promised) {
  CHECK(stack_of(look) < MOST);
  make_request();
  place();
  CHECK(stack_of(look) < MOST);
}
