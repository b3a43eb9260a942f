/* Inspecting: walk, find, totals; also in a signal handler that interrupts any other call. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/format.h"
#include "os/pages.h"
#include "request.h"
#include "space.h"
#include "test.h"

TEST(before_the_first_use_there_is_nothing_and_looking_makes_nothing) {
  nearbuf_totals totals;
  nearbuf_info info;
  nearbuf_walk walk = {0, 0};
  for (int round = 0; round < 2; round++) {
    CHECK_OK(nearbuf_get_totals(&totals));
    CHECK_EQUAL(NEARBUF_SHARING_NONE, totals.sharing);
    CHECK_EQUAL(0, totals.locators);
    CHECK_EQUAL(0, totals.first_locator);
    CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_next(&walk, &info));
    CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_find(&walk, &info));
    CHECK_EQUAL(0, info.address);
  }
}

TEST(find_tells_the_buffer_of_each_of_its_bytes_and_of_no_other) {
  nearbuf_request request = request_near_code(100);
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_OK(nearbuf_append(&buffer, "12345", 5, NULL));
  uintptr_t start = nearbuf_buffer_address(&buffer);
  uintptr_t size = nearbuf_buffer_size(&buffer);
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  const uintptr_t inside[] = {start, start + 1, start + 5, start + size - 1};
  for (int i = 0; i < 4; i++) {
    nearbuf_info info;
    CHECK_OK(nearbuf_find((const void *)inside[i], &info));
    CHECK_EQUAL(start, info.address);
    CHECK_EQUAL(size, info.size_bytes);
    CHECK_EQUAL(5, info.used_bytes);
    CHECK_EQUAL(NBUF_FIRST_SLOT, info.index);
    CHECK_EQUAL(1, info.is_taken);
    CHECK_EQUAL(totals.first_locator, info.locator);
    CHECK_EQUAL(NEARBUF_DIALECT_WRITTEN, info.dialect);
  }
  const uintptr_t outside[] = {0, start - 1, start + size, UINTPTR_MAX, (uintptr_t)&buffer};
  for (int i = 0; i < 5; i++) {
    nearbuf_info info;
    memset(&info, 0x5A, sizeof info);
    CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_find((const void *)outside[i], &info));
    CHECK_EQUAL(0, info.address);
    CHECK_EQUAL(0, info.size_bytes);
  }
}

/* ---- Among many locators --------------------------------------------------------------------- */

enum { MANY = 2 * NBUF_NATIVE_CAPACITY + 50, MORE = 100 };

static nearbuf_buffer many[MANY + MORE];

static void hold_some(int first, int count) {
  nearbuf_request request = request_near_code(64);
  for (int i = first; i < first + count; i++) {
    CHECK_OK(nearbuf_get(&request, &many[i]));
  }
}

/* Each buffer is found by its first and its last byte, and what is in none is not. */
static void check_found(int first, int count) {
  nearbuf_info info;
  for (int i = first; i < first + count; i++) {
    uintptr_t address = many[i].address;
    uintptr_t last = address + (nearbuf_buffer_size(&many[i]) - 1);
    CHECK_OK(nearbuf_find((const void *)address, &info));
    CHECK_EQUAL(address, info.address);
    CHECK_OK(nearbuf_find((const void *)last, &info));
    CHECK_EQUAL(address, info.address);
    CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_find(&info, &info));
  }
}

TEST(buffers_are_found_among_many_locators_also_those_that_are_listed_later) {
  hold_some(0, MANY);
  check_found(0, MANY);
  hold_some(MANY, MORE);
  check_found(0, MANY + MORE);
}

TEST(a_child_finds_its_own_buffers_and_not_its_parents) {
  hold_some(0, MANY);
  check_found(0, MANY);
  uintptr_t parents = many[MANY - 1].address;
  pid_t child = fork();
  if (child == 0) {
    hold_some(0, MANY);
    check_found(0, MANY);
    nearbuf_info info;
    CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_find((const void *)parents, &info));
    _exit(0);
  }
  int status;
  CHECK_EQUAL(child, waitpid(child, &status, 0));
  CHECK_EQUAL(0, status);
}

/* ---- Walks ----------------------------------------------------------------------------------- */

TEST(a_walk_tells_every_buffer_once_in_order_over_all_locators) {
  enum { HELD = 450 };
  static nearbuf_buffer held[HELD];
  nearbuf_request request = request_near_code(64);
  for (int i = 0; i < HELD; i++) {
    CHECK_OK(nearbuf_get(&request, &held[i]));
    CHECK_OK(nearbuf_append(&held[i], "0123456789", 1 + (size_t)i % 10, NULL));
  }
  nearbuf_walk walk = {0, 0};
  nearbuf_info info;
  nearbuf_totals seen = {0};
  uintptr_t locator = 0;
  int found = 0;
  while (nearbuf_next(&walk, &info) == NEARBUF_OK) {
    if (info.locator != locator) {
      CHECK_EQUAL(seen.locators == 0 ? NBUF_FIRST_SLOT : 0, info.index);
      locator = info.locator;
      seen.locators++;
    }
    seen.buffers++;
    seen.taken += info.is_taken;
    seen.size_bytes += info.size_bytes;
    seen.used_bytes += info.used_bytes;
    for (int i = 0; i < HELD; i++) {
      found += nearbuf_buffer_address(&held[i]) == info.address;
    }
  }
  CHECK_EQUAL(HELD, found);
  CHECK_EQUAL(HELD, seen.taken);
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(totals.locators, seen.locators);
  CHECK_EQUAL(totals.buffers, seen.buffers);
  CHECK_EQUAL(totals.taken, seen.taken);
  CHECK_EQUAL(totals.size_bytes, seen.size_bytes);
  CHECK_EQUAL(totals.used_bytes, seen.used_bytes);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_next(&walk, &info));
  CHECK_EQUAL(0, info.address);
}

TEST(a_walk_goes_on_with_what_appeared_meanwhile) {
  nearbuf_request request = request_near_code(64);
  nearbuf_buffer first;
  nearbuf_buffer second;
  nearbuf_walk walk = {0, 0};
  nearbuf_info info;
  CHECK_OK(nearbuf_get(&request, &first));
  CHECK_OK(nearbuf_next(&walk, &info));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_next(&walk, &info));
  CHECK_OK(nearbuf_get(&request, &second));
  CHECK_OK(nearbuf_next(&walk, &info));
  CHECK_EQUAL(nearbuf_buffer_address(&second), info.address);
}

/* What the file name tells other processes is in the pages that totals counts. */
TEST(the_locator_of_the_totals_has_the_bytes_of_the_specification) {
  space_settle();
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  CHECK_EQUAL(NBUF_FAULT_NONE,
              nbuf_format_check(totals.first_locator, layout, totals.first_locator, NULL));
  uint32_t slot = NBUF_FIRST_SLOT;
  CHECK_EQUAL(slot + 1, ((const unsigned char *)totals.first_locator)[layout->count]);
  CHECK_EQUAL(slot + 1, ((const unsigned char *)totals.first_locator)[layout->count_dotnet]);
  nbuf_item item = nbuf_item_read(nbuf_item_at(totals.first_locator, layout, slot), layout);
  CHECK_EQUAL(totals.size_bytes, item.size);
  CHECK_EQUAL(1, item.position);
  CHECK_EQUAL(0, item.taken);
}

/* ---- In signal handlers ---------------------------------------------------------------------- */

static _Atomic int looks;
static _Atomic int got;
static void *volatile known_address;

/* An errno that no call sets: calls of the library must preserve it. */
enum { LAST_ERROR = 4711 };

/* Raises the next signal: one at a time, so that the program advances even if the handler is slow.
 * The delays differ, so that every instruction is hit. */
static void interrupt_soon(void) {
  static uint32_t delay;
  delay = (delay + 37) % 151;
  const struct itimerval once = {{0, 0}, {0, 20 + (suseconds_t)delay}};
  CHECK_EQUAL(0, setitimer(ITIMER_REAL, &once, NULL));
}

static void look(int signal) {
  (void)signal;
  int error = errno; /* as every handler must, whatever it calls */
  errno = LAST_ERROR;
  nearbuf_info info;
  nearbuf_totals totals;
  nearbuf_walk walk = {0, 0};
  nearbuf_status status = nearbuf_get_totals(&totals);
  CHECK(status == NEARBUF_OK || status == NEARBUF_BUSY);
  status = nearbuf_next(&walk, &info);
  CHECK(status == NEARBUF_OK || status == NEARBUF_BUSY || status == NEARBUF_NOT_FOUND);
  if (known_address != NULL) {
    CHECK_OK(nearbuf_find(known_address, &info));
  }
  CHECK_EQUAL(LAST_ERROR, errno);
  atomic_fetch_add(&looks, 1);
  interrupt_soon();
  errno = error;
}

static void interrupt_again_and_again(void (*handler)(int)) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  CHECK_EQUAL(0, sigaction(SIGALRM, &action, NULL));
  interrupt_soon();
}

static void interrupt_no_more(void) {
  const struct itimerval never = {{0, 0}, {0, 0}};
  CHECK_EQUAL(0, setitimer(ITIMER_REAL, &never, NULL));
}

TEST(looking_works_in_a_handler_that_interrupts_get) {
  interrupt_again_and_again(look);
  nearbuf_request request = request_near_code(256);
  nearbuf_buffer held[3];
  while (atomic_load(&looks) < 2000) {
    for (int i = 0; i < 3; i++) { /* so that some calls register buffers and grow the chain */
      CHECK_OK(nearbuf_get(&request, &held[i]));
      void *address;
      CHECK_OK(nearbuf_append(&held[i], "abc", 3, &address));
      known_address = address;
    }
    for (int i = 0; i < 3; i++) {
      CHECK_OK(nearbuf_release(&held[i]));
    }
  }
  interrupt_no_more();
}

/* The call that it interrupts may hold a lock of this module: BUSY. */
static void get_too(int signal) {
  (void)signal;
  int error = errno;
  errno = LAST_ERROR;
  nearbuf_request request = request_near_code(32);
  nearbuf_memory placed;
  nearbuf_status status = nearbuf_place(&request, "interrupted, and placed all the", &placed);
  CHECK(status == NEARBUF_OK || status == NEARBUF_BUSY);
  CHECK(status != NEARBUF_OK || memcmp(placed.run_at, "interrupted, and", 16) == 0);
  CHECK_EQUAL(LAST_ERROR, errno);
  atomic_fetch_add(&got, status == NEARBUF_OK);
  interrupt_soon();
  errno = error;
}

TEST(place_works_in_a_handler_that_interrupts_place) {
  space_settle();
  interrupt_again_and_again(get_too);
  nearbuf_request request = request_near_code(48);
  while (atomic_load(&got) < 500) {
    nearbuf_memory placed;
    nearbuf_status status =
        nearbuf_place(&request, "0123456789abcdef0123456789abcdef0123456789abcdef", &placed);
    CHECK_OK(status);
    CHECK(memcmp(placed.run_at, "0123456789abcdef0123456789abcdef0123456789abcdef", 48) == 0);
  }
  interrupt_no_more();
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(0, totals.taken);
}

/* ---- While others work ----------------------------------------------------------------------- */

static _Atomic bool is_over;

static void *place_again_and_again(void *argument) {
  (void)argument;
  nearbuf_request request = request_near_code(24);
  while (!atomic_load(&is_over)) {
    nearbuf_buffer held[2];
    CHECK_OK(nearbuf_get(&request, &held[0]));
    CHECK_OK(nearbuf_get(&request, &held[1]));
    CHECK_OK(nearbuf_append(&held[0], "0123456789abcdefghijklmn", 24, NULL));
    CHECK_OK(nearbuf_release(&held[0]));
    CHECK_OK(nearbuf_release(&held[1]));
  }
  return NULL;
}

TEST(walks_are_sound_while_other_threads_work) {
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) {
    CHECK_EQUAL(0, pthread_create(&threads[i], NULL, place_again_and_again, NULL));
  }
  for (int round = 0; round < 2000; round++) {
    nearbuf_walk walk = {0, 0};
    nearbuf_info info;
    nearbuf_status status;
    while ((status = nearbuf_next(&walk, &info)) == NEARBUF_OK) {
      CHECK(info.address != 0 && info.size_bytes >= 4096 && info.used_bytes <= info.size_bytes);
      CHECK(info.is_taken <= 1);
    }
    CHECK(status == NEARBUF_NOT_FOUND || status == NEARBUF_BUSY);
  }
  atomic_store(&is_over, true);
  for (int i = 0; i < 3; i++) {
    pthread_join(threads[i], NULL);
  }
}
