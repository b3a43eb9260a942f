/* Loading and unloading: buffers outlive the module that created them, and calls work before main
 * and after it. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "modules.h"
#include "support.h"

static unsigned char *place_with(const copy *library, const void *bytes, size_t size) {
  nearbuf_request request = request_of(size);
  nearbuf_memory placed;
  CHECK_OK(library->place(&request, bytes, &placed));
  return placed.run_at;
}

static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov eax, 42; ret */

TEST(buffers_outlive_the_module_that_made_them) {
  own_tmp();
  copy library = load_copy(1);
  unsigned char *placed = place_with(&library, code, sizeof code);
  uintptr_t locator = first_locator_of(&library);
  CHECK_EQUAL(0, dlclose(library.handle));
  need_unloaded("/tmp/copy-1.so");
  CHECK_EQUAL(42, call_answer(placed));
  copy again = load_copy(1);
  CHECK_EQUAL(locator, first_locator_of(&again));
  nearbuf_info info;
  CHECK_OK(again.find(placed, &info));
  CHECK((placed + sizeof code) == (place_with(&again, "x", 1) - (16 - sizeof code))); /* shared */
}

static void fork_after_unloading(void *context) {
  (void)context;
  copy again = load_copy(1);
  CHECK_EQUAL(42, call_answer(place_with(&again, code, sizeof code)));
  CHECK(exists(locator_path(getpid()).text));
}

TEST(a_fork_after_the_module_was_unloaded_works) {
  own_tmp();
  copy library = load_copy(1);
  unsigned char *placed = place_with(&library, code, sizeof code);
  CHECK_EQUAL(0, dlclose(library.handle));
  in_child(fork_after_unloading, NULL);
  CHECK_EQUAL(42, call_answer(placed));
}

TEST(hundreds_of_copies_share_one_locator) {
  own_tmp();
  enum { COPIES = 300 };
  static copy copies[COPIES];
  static unsigned char *placed[COPIES];
  for (int i = 0; i < COPIES; i++) {
    copies[i] = load_copy(i);
    unsigned char bytes[32];
    memset(bytes, i, sizeof bytes);
    placed[i] = place_with(&copies[i], bytes, sizeof bytes);
  }
  for (int i = 0; i < COPIES; i++) {
    CHECK_EQUAL(first_locator_of(&copies[0]), first_locator_of(&copies[i]));
    for (int at = 0; at < 32; at++) {
      CHECK_EQUAL((unsigned char)i, placed[i][at]);
    }
  }
  nearbuf_totals totals;
  CHECK_OK(copies[0].get_totals(&totals));
  CHECK_EQUAL(1, totals.buffers); /* the room that one copy leaves is used by the next */
  CHECK_EQUAL(1, count_locator_files());
}

/* The size of the address space, in pages. Reading it allocates nothing. */
static long count_pages(void) {
  char text[32] = "";
  int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  CHECK(file >= 0 && read(file, text, sizeof text - 1) > 0);
  close(file);
  return strtol(text, NULL, 10);
}

TEST(a_thousand_loads_and_unloads_use_nothing_up) {
  own_tmp();
  int mappings = 0;
  long pages = 0;
  int descriptors = count_descriptors();
  for (int i = 0; i < 1000; i++) {
    copy library = load_copy(1);
    (void)place_with(&library, "x", 1);
    CHECK_EQUAL(0, dlclose(library.handle));
    need_unloaded("/tmp/copy-1.so");
    mappings = i == 9 ? count_mappings() : mappings;
    pages = i == 9 ? count_pages() : pages;
  }
  CHECK_EQUAL(mappings, count_mappings());
  CHECK_EQUAL(pages, count_pages());
  CHECK_EQUAL(descriptors, count_descriptors());
}

TEST(what_is_unloaded_by_hand_gives_its_pages_back_and_begins_anew) {
  own_tmp();
  (void)place("x", 1);
  uintptr_t locator = first_locator();
  nearbuf_unload();
  long pages = count_pages();
  for (int i = 0; i < 1000; i++) {
    CHECK_EQUAL(42, call_answer(place_answer(42)));
    nearbuf_request request = request_of(16);
    nearbuf_buffer buffer;
    CHECK_OK(nearbuf_get(&request, &buffer));
    nearbuf_buffer copy_of_it = buffer;
    CHECK_OK(nearbuf_release(&buffer));
    nearbuf_unload();
    CHECK_STATUS(NEARBUF_STALE, nearbuf_append(&copy_of_it, "x", 1, NULL));
  }
  CHECK_EQUAL(pages, count_pages());
  nearbuf_unload(); /* twice is once */
  CHECK_EQUAL(locator, first_locator());
}

TEST(private_memory_alone_needs_nothing_else) {
  nearbuf_request request = request_of(4096);
  long pages = count_pages();
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK_EQUAL(pages + 1, count_pages());
  CHECK_OK(nearbuf_free(&memory));
  CHECK_EQUAL(pages, count_pages());
}

TEST(the_environment_is_that_of_the_time_when_the_module_was_loaded) {
  own_tmp();
  CHECK_EQUAL(0, setenv("NEARBUF_DIALECT", "rust", 1));
  copy library = load_copy(1);
  CHECK_EQUAL(0, unsetenv("NEARBUF_DIALECT"));
  nearbuf_info info;
  CHECK_OK(library.find(place_with(&library, "x", 1), &info));
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, info.dialect);
}

TEST(what_the_environment_says_later_is_not_heard) {
  own_tmp();
  CHECK_EQUAL(0, setenv("NEARBUF_DIALECT", "rust", 1));
  nearbuf_info info;
  CHECK_OK(nearbuf_find(place("x", 1), &info));
  CHECK_EQUAL(NEARBUF_DIALECT_WRITTEN, info.dialect);
}

/* ---- The end of the process ------------------------------------------------------------------ */

static copy shared_by_threads;

static _Atomic long calls;

static void *call_until_the_end(void *context) {
  for (;;) {
    (void)place_with(&shared_by_threads, "0123456789", 10);
    calls++;
  }
  return context;
}

/* The C library flushes files after all destructors. */
static ssize_t see_threads_call(void *unused, const char *bytes, size_t size) {
  (void)unused, (void)bytes;
  for (long before = calls; calls < before + 1000;) {
    (void)sched_yield();
  }
  return (ssize_t)size;
}

static void exit_while_threads_call(void *context) {
  (void)context;
  FILE *file = fopencookie(NULL, "w", (cookie_io_functions_t){.write = see_threads_call});
  CHECK(file != NULL && fputc('x', file) == 'x');
  for (int i = 0; i < 3; i++) {
    pthread_t thread;
    CHECK_EQUAL(0, pthread_create(&thread, NULL, call_until_the_end, NULL));
  }
  for (int i = 0; i < 100; i++) {
    (void)place_with(&shared_by_threads, "0123456789", 10);
  }
  exit(0);
}

/* A module's destructors run then, too. */
static void check_exits(void) {
  for (int i = 0; i < 40; i++) {
    in_child(exit_while_threads_call, NULL);
  }
}

TEST(threads_may_call_at_the_end_of_the_process) {
  own_tmp();
  shared_by_threads = load_copy(1);
  check_exits();
}

TEST(so_they_may_in_another_namespace_of_the_linker) {
  own_tmp();
  shared_by_threads = load_copy_apart(1);
  check_exits();
}

static void *place_once(void *context) {
  return place_with(context, code, sizeof code);
}

TEST(what_a_thread_placed_outlives_it) {
  own_tmp();
  copy library = load_copy(1);
  for (int i = 0; i < 200; i++) {
    pthread_t thread;
    void *placed;
    CHECK_EQUAL(0, pthread_create(&thread, NULL, place_once, &library));
    CHECK_EQUAL(0, pthread_join(thread, &placed));
    CHECK_EQUAL(42, call_answer(placed));
  }
  nearbuf_totals totals;
  CHECK_OK(library.get_totals(&totals));
  CHECK_EQUAL(0, totals.taken);
}

/* ---- Before main and after it ---------------------------------------------------------------- */

static unsigned char *placed_before_main;

__attribute__((constructor)) static void call_before_main(void) {
  if (getenv("CALL_BEFORE_MAIN") != NULL) {
    placed_before_main = place_answer(41);
  }
}

static void call_after_main(void) {
  if (placed_before_main != NULL) {
    CHECK_EQUAL(41, call_answer(placed_before_main));
    CHECK_EQUAL(43, call_answer(place_answer(43)));
    printf("called after main\n");
  }
}

__attribute__((destructor)) static void call_in_destructor(void) {
  call_after_main();
}

PART(called_around_main) {
  CHECK(placed_before_main != NULL);
  CHECK_EQUAL(0, atexit(call_after_main));
}

static void run_called_around_main(void *context) {
  CHECK_EQUAL(1, dup2(*(const int *)context, 1));
  setenv("CALL_BEFORE_MAIN", "1", 1);
  exec_part("called_around_main");
}

TEST(constructors_destructors_and_exit_handlers_may_call) {
  own_tmp();
  int output[2];
  CHECK_EQUAL(0, pipe(output));
  in_child(run_called_around_main, &output[1]);
  close(output[1]);
  char text[512] = "";
  CHECK(read(output[0], text, sizeof text - 1) > 0);
  const char *first = strstr(text, "called after main");
  CHECK(first != NULL);
  CHECK(strstr(first + 1, "called after main") != NULL); /* both ways */
}
