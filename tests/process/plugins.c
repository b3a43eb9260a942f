/* Plug-ins with their own static copy of the library share the locator and the room in its buffers
 * with the program, which has a static copy, too. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/format.h"
#include "modules.h"
#include "plugin.h"
#include "request.h"
#include "test.h"

static void *module;

static const plugin *load_plugin(void) {
  module = dlopen(PLUGIN, RTLD_NOW | RTLD_LOCAL);
  if (module == NULL) {
    test_fail(__FILE__, __LINE__, "%s", dlerror());
  }
  void *symbol = dlsym(module, "plugin_functions");
  CHECK(symbol != NULL);
  plugin_functions_type functions;
  memcpy(&functions, &symbol, sizeof functions);
  const plugin *loaded = functions();
  CHECK(loaded->get != nearbuf_get);
  return loaded;
}

static nearbuf_totals totals_of(nearbuf_status (*get_totals)(nearbuf_totals *)) {
  nearbuf_totals totals;
  CHECK_OK(get_totals(&totals));
  return totals;
}

static void check_same_locator(const plugin *other) {
  nearbuf_totals here = totals_of(nearbuf_get_totals);
  nearbuf_totals there = totals_of(other->get_totals);
  CHECK(here.first_locator != 0);
  CHECK_EQUAL(here.first_locator, there.first_locator);
  CHECK_EQUAL(here.buffers, there.buffers);
  CHECK_EQUAL(here.used_bytes, there.used_bytes);
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, here.sharing);
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, there.sharing);
}

TEST(a_plugin_that_comes_later_uses_the_room_that_the_program_left) {
  nearbuf_request request = request_near_code(16);
  nearbuf_memory first;
  CHECK_OK(nearbuf_place(&request, "0123456789abcdef", &first));
  const plugin *other = load_plugin();
  nearbuf_memory second;
  CHECK_OK(other->place(&request, "fedcba9876543210", &second));
  CHECK(second.run_at == first.run_at + 16);
  CHECK_EQUAL(1, totals_of(nearbuf_get_totals).buffers);
  check_same_locator(other);
}

TEST(a_program_that_comes_later_uses_the_room_that_the_plugin_left) {
  const plugin *other = load_plugin();
  nearbuf_request request = request_near_code(16);
  nearbuf_memory first;
  nearbuf_memory second;
  CHECK_OK(other->place(&request, "fedcba9876543210", &first));
  CHECK_OK(nearbuf_place(&request, "0123456789abcdef", &second));
  CHECK(second.run_at == first.run_at + 16);
  check_same_locator(other);
}

TEST(a_buffer_that_the_plugin_holds_is_not_given_to_the_program) {
  const plugin *other = load_plugin();
  nearbuf_request request = request_near_code(64);
  nearbuf_buffer theirs;
  nearbuf_buffer ours;
  CHECK_OK(other->get(&request, &theirs));
  CHECK_OK(nearbuf_get(&request, &ours));
  CHECK(theirs.item != ours.item);
  nearbuf_info info;
  CHECK_OK(nearbuf_find((const void *)theirs.address, &info));
  CHECK_EQUAL(1, info.is_taken);
  CHECK_OK(other->find((const void *)ours.address, &info));
  CHECK_EQUAL(1, info.is_taken);
  CHECK_OK(other->release(&theirs));
  CHECK_OK(nearbuf_find((const void *)info.address, &info));
}

TEST(what_the_plugin_released_is_found_by_the_program_after_it_walked_past) {
  const plugin *other = load_plugin();
  nearbuf_request request = request_near_code(64);
  nearbuf_buffer theirs;
  nearbuf_memory ours;
  const unsigned char bytes[64] = {0};
  CHECK_OK(other->get(&request, &theirs));
  uintptr_t address = theirs.address;
  CHECK_OK(nearbuf_place(&request, bytes, &ours));
  CHECK_OK(other->release(&theirs));
  /* The program continues in its own buffer while that has room; then the plug-in's is used before
   * a new one is created. */
  nearbuf_request there = request;
  there.range = (nearbuf_range){address, address + 63};
  CHECK_OK(nearbuf_place(&there, bytes, &ours));
  CHECK_EQUAL(address, (uintptr_t)ours.run_at);
}

TEST(locators_that_the_plugin_appends_are_seen_by_the_program_and_the_reverse) {
  enum { HELD = 2 * NBUF_NATIVE_CAPACITY + 1 };
  static nearbuf_buffer held[HELD];
  const plugin *other = load_plugin();
  nearbuf_request request = request_near_code(64);
  for (int i = 0; i < HELD; i++) {
    bool is_ours = i % 7 < 3;
    CHECK_OK((is_ours ? nearbuf_get : other->get)(&request, &held[i]));
  }
  CHECK(totals_of(nearbuf_get_totals).locators >= 3);
  CHECK_EQUAL(HELD, totals_of(nearbuf_get_totals).taken);
  CHECK_EQUAL(HELD, totals_of(other->get_totals).taken);
  for (int i = 0; i < HELD; i++) {
    nearbuf_info info;
    CHECK_OK(nearbuf_find((const void *)held[i].address, &info));
    CHECK_OK(other->find((const void *)held[i].address, &info));
    for (int k = 0; k < i; k++) {
      CHECK(held[k].item != held[i].item);
    }
  }
  check_same_locator(other);
}

TEST(buffers_survive_the_unloading_of_the_plugin_that_made_them) {
  const plugin *other = load_plugin();
  nearbuf_request request = request_near_code(16);
  nearbuf_memory first;
  CHECK_OK(other->place(&request, "survives, always", &first));
  uintptr_t locator = totals_of(other->get_totals).first_locator;
  CHECK_EQUAL(0, dlclose(module));
  need_unloaded(PLUGIN);
  CHECK(memcmp(first.run_at, "survives, always", 16) == 0);
  CHECK_EQUAL(locator, totals_of(nearbuf_get_totals).first_locator);
  nearbuf_memory second;
  CHECK_OK(nearbuf_place(&request, "0123456789abcdef", &second));
  CHECK(second.run_at == first.run_at + 16);
}

TEST(a_plugin_that_is_loaded_again_finds_what_it_left) {
  nearbuf_request request = request_near_code(16);
  uintptr_t expected = 0;
  for (int round = 0; round < 20; round++) {
    const plugin *other = load_plugin();
    nearbuf_memory placed;
    CHECK_OK(other->place(&request, "0123456789abcdef", &placed));
    CHECK(expected == 0 || expected == (uintptr_t)placed.run_at);
    expected = (uintptr_t)placed.run_at + 16;
    CHECK_EQUAL(1, totals_of(other->get_totals).buffers);
    CHECK_EQUAL(0, dlclose(module));
    need_unloaded(PLUGIN);
  }
}

/* A copy with an atfork handler in unloaded code would jump into unmapped memory. */
TEST(a_fork_after_the_plugin_was_unloaded_is_survived) {
  const plugin *other = load_plugin();
  nearbuf_request request = request_near_code(16);
  nearbuf_memory placed;
  CHECK_OK(other->place(&request, "0123456789abcdef", &placed));
  CHECK_EQUAL(0, dlclose(module));
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    CHECK(memcmp(placed.run_at, "0123456789abcdef", 16) == 0);
    CHECK_OK(nearbuf_place(&request, "in the child....", &placed));
    _exit(0);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK_EQUAL(0, status);
}

/* ---- Both at once ---------------------------------------------------------------------------- */

enum { ROUNDS = 20000, PIECE = 24 };

typedef struct worker {
  nearbuf_status (*place)(const nearbuf_request *, const void *, nearbuf_memory *);
  unsigned char mark;
  pthread_barrier_t *start;
  unsigned char *places[ROUNDS];
} worker;

static void *place_many(void *argument) {
  worker *self = argument;
  nearbuf_request request = request_near_code(PIECE);
  unsigned char bytes[PIECE];
  memset(bytes, self->mark, sizeof bytes);
  pthread_barrier_wait(self->start);
  for (int i = 0; i < ROUNDS; i++) {
    nearbuf_memory placed;
    CHECK_OK(self->place(&request, bytes, &placed));
    self->places[i] = placed.run_at;
  }
  return NULL;
}

TEST(program_and_plugin_work_at_once_and_overwrite_nothing) {
  static worker workers[4];
  const plugin *other = load_plugin();
  pthread_t threads[4];
  pthread_barrier_t start;
  CHECK_EQUAL(0, pthread_barrier_init(&start, NULL, 4));
  for (int i = 0; i < 4; i++) {
    workers[i].place = i % 2 == 0 ? nearbuf_place : other->place;
    workers[i].mark = (unsigned char)(i + 1);
    workers[i].start = &start;
    CHECK_EQUAL(0, pthread_create(&threads[i], NULL, place_many, &workers[i]));
  }
  for (int i = 0; i < 4; i++) {
    pthread_join(threads[i], NULL);
  }
  for (int i = 0; i < 4; i++) {
    for (int k = 0; k < ROUNDS; k++) {
      for (int byte = 0; byte < PIECE; byte++) {
        CHECK_EQUAL(i + 1, workers[i].places[k][byte]);
      }
    }
  }
  check_same_locator(other);
}

/* ---- Many starts ----------------------------------------------------------------------------- */

/* Runs the program that starts two copies at once, repeatedly. */
TEST(two_copies_that_race_end_with_one_locator_at_every_process_start) {
  const char *asked = getenv("NEARBUF_TEST_STARTS");
  int starts = asked != NULL ? atoi(asked) : 300;
  CHECK(starts > 0);
  for (int i = 0; i < starts; i++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      (void)!freopen("/dev/null", "w", stdout);
      execl(RACE, RACE, "two_copies_make_the_first_call_at_once", (char *)NULL);
      _exit(127);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == TEST_EXIT_SKIPPED) {
      test_skip("the shared directory is another user's");
    }
    if (status != 0) {
      test_fail(__FILE__, __LINE__, "start %d of %d ended with status %#x", i + 1, starts,
                (unsigned)status);
    }
  }
  printf("%d starts\n", starts);
}
