/* Loading and unloading: buffers outlive their maker, and calls work before main and after it. */
#include <dlfcn.h>
#include <pthread.h>
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
  CHECK_EQUAL(1, totals.buffers); /* what one leaves the next one gets */
  CHECK_EQUAL(1, count_locator_files());
}

TEST(loading_and_unloading_again_and_again_uses_nothing_up) {
  own_tmp();
  int mappings = 0;
  int descriptors = count_descriptors();
  for (int i = 0; i < 300; i++) {
    copy library = load_copy(1);
    (void)place_with(&library, "x", 1);
    CHECK_EQUAL(0, dlclose(library.handle));
    mappings = i == 9 ? count_mappings() : mappings;
  }
  CHECK(count_mappings() <= mappings + 2);
  CHECK_EQUAL(descriptors, count_descriptors());
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

/* ---- Before main and after it ------------------------------------------------------------------ */

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
