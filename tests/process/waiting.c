/* Every wait is bounded: for holders that are dead or stopped, in signal handlers, after
 * cancellation. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "core/header.h"
#include "core/locators.h"
#include "core/regions.h"
#include "core/state.h"
#include "support.h"

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static const double bound = (double)NBUF_WAIT_BOUND_NS / 1e9;

/* A call that must list a new buffer; returns how long it took. */
static double register_one(nearbuf_status expected) {
  nearbuf_request request = request_of(70000);
  nearbuf_buffer buffer; /* held permanently, so that the next one is new, too */
  double before = seconds();
  CHECK_STATUS(expected, nearbuf_get(&request, &buffer));
  return seconds() - before;
}

static uint32_t locators(void) {
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  return totals.locators;
}

/* ---- Locks of the dead ----------------------------------------------------------------------- */

TEST(an_items_lock_is_never_waited_for) {
  own_tmp();
  nearbuf_request request = request_of(64);
  double before = seconds();
  for (int i = 0; i < 50; i++) {
    nearbuf_buffer held;
    CHECK_OK(nearbuf_get(&request, &held));
  }
  CHECK(seconds() - before < bound);
}

TEST(a_header_lock_that_stays_held_is_waited_for_once_and_the_chain_grows) {
  own_tmp();
  (void)place("x", 1);
  CHECK(nbuf_header_lock(nbuf_locators_entry(0))); /* and its holder dies */
  double first = register_one(NEARBUF_OK);
  CHECK(first >= bound && first < 2 * bound);
  CHECK_EQUAL(2, locators());
  CHECK(register_one(NEARBUF_OK) < bound);
  CHECK(register_one(NEARBUF_OK) < bound);
  CHECK_EQUAL(2, locators());
  copy other = load_copy(1); /* no state yet: once for each copy */
  nearbuf_request request = request_of(70000);
  nearbuf_buffer buffer;
  double before = seconds();
  CHECK_OK(other.get(&request, &buffer));
  CHECK(seconds() - before < 2 * bound + bound / 2);
  before = seconds();
  CHECK_OK(other.get(&request, &buffer));
  CHECK(seconds() - before < bound);
  CHECK_EQUAL(2, locators());
}

TEST(the_last_header_of_a_chain_that_stays_held_is_grown_behind) {
  own_tmp();
  (void)place("x", 1);
  for (uint32_t i = 0; i < 3; i++) {
    CHECK(nbuf_header_lock(nbuf_locators_entry(i)));
    CHECK(register_one(NEARBUF_OK) < 2 * bound);
    CHECK_EQUAL(i + 2, locators());
  }
}

TEST(a_lock_of_this_module_that_stays_held_is_waited_for_and_passed) {
  own_tmp();
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals)); /* the state exists, no locator yet */
  nbuf_state_lock(nbuf_state_current());
  double before = seconds();
  (void)place("x", 1);
  CHECK(seconds() - before >= bound);
  before = seconds();
  CHECK_EQUAL(42, call_answer(place_answer(42)));
  (void)register_one(NEARBUF_OK);
  CHECK(seconds() - before < bound);
}

static void check_lock_of_regions_is_taken_over(uint32_t held) {
  nearbuf_request request = request_of(64);
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  atomic_store(&nbuf_own_regions.lock, held);
  double before = seconds();
  while (atomic_load(&nbuf_own_regions.lock) != 0) {
    CHECK_OK(nearbuf_free(&memory)); /* no call waits meanwhile */
    CHECK_OK(nearbuf_allocate(&request, &memory));
    CHECK(seconds() - before < 60);
  }
  CHECK_OK(nearbuf_free(&memory));
}

TEST(a_lock_of_the_regions_whose_holder_died_is_taken_over) {
  own_tmp();
  check_lock_of_regions_is_taken_over(NBUF_REGIONS_HELD); /* not noticed yet */
  uint32_t now = (uint32_t)(nbuf_os_nanoseconds() >> NBUF_REGIONS_LOCK_UNIT_BITS) | 1;
  check_lock_of_regions_is_taken_over(now);
}

/* ---- Signal handlers ------------------------------------------------------------------------- */

static _Atomic int answers[NEARBUF_INVALID_HANDLE + 1];

static void call_in_handler(int signal) {
  (void)signal;
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 3000;
  nearbuf_memory placed;
  unsigned char bytes[3000];
  memset(bytes, 0x77, sizeof bytes);
  nearbuf_status status = nearbuf_place(&request, bytes, &placed);
  atomic_fetch_add(&answers[status], 1);
  CHECK(status == NEARBUF_OK || status == NEARBUF_BUSY);
  nearbuf_info info;
  CHECK(status != NEARBUF_OK || nearbuf_find(placed.run_at, &info) == NEARBUF_OK);
}

static void call_on_signal(void) {
  struct sigaction action = {.sa_handler = call_in_handler, .sa_flags = SA_RESTART};
  CHECK_EQUAL(0, sigaction(SIGALRM, &action, NULL));
}

TEST(a_handler_that_interrupts_a_call_gets_an_answer) {
  own_tmp();
  call_on_signal();
  struct itimerval often = {{0, 500}, {0, 500}};
  CHECK_EQUAL(0, setitimer(ITIMER_REAL, &often, NULL));
  double end = seconds() + 2;
  for (unsigned i = 0; seconds() < end; i++) {
    nearbuf_request request = request_of(16 + i % 5000);
    nearbuf_buffer buffer;
    nearbuf_status status = nearbuf_get(&request, &buffer);
    CHECK(status == NEARBUF_OK || status == NEARBUF_BUSY);
    if (status == NEARBUF_OK) {
      CHECK_OK(nearbuf_append(&buffer, &i, sizeof i, NULL));
      CHECK_OK(nearbuf_release(&buffer));
    }
  }
  CHECK(atomic_load(&answers[NEARBUF_OK]) > 100);
}

TEST(a_handler_that_interrupts_the_holder_of_a_lock_gets_an_answer) {
  own_tmp();
  call_on_signal();
  (void)place("x", 1);
  CHECK(nbuf_header_lock(nbuf_locators_entry(0)));
  double before = seconds();
  register_one(NEARBUF_OK); /* all existing buffers are held: the handler must register one */
  nearbuf_buffer held;
  nearbuf_request rest = request_of(60000);
  CHECK_OK(nearbuf_get(&rest, &held));
  CHECK_EQUAL(0, raise(SIGALRM));
  nbuf_header_unlock(nbuf_locators_entry(0));
  CHECK(seconds() - before < 4 * bound);
  CHECK_EQUAL(1, answers[NEARBUF_OK]);
}

/* ---- Cancellation ---------------------------------------------------------------------------- */

static void *call_until_cancelled(void *context) {
  int type = *(const int *)context;
  int old;
  CHECK_EQUAL(0, pthread_setcanceltype(type, &old));
  for (unsigned i = 0;; i++) {
    nearbuf_request request = request_of(16 + i * 97 % 4000);
    nearbuf_buffer buffer;
    CHECK_OK(nearbuf_get(&request, &buffer));
    CHECK_OK(nearbuf_release(&buffer));
    nearbuf_totals totals;
    if (i % 16 == 0) {
      CHECK_OK(nearbuf_get_totals(&totals));
    }
    nearbuf_memory memory;
    if (i % 16 == 1) {
      CHECK_OK(nearbuf_allocate(&request, &memory));
      CHECK_OK(nearbuf_free(&memory));
    }
    pthread_testcancel();
  }
  return NULL;
}

static int answered; /* by the calls of a thread that is already cancelled */

/* Runs a thread that cancels itself and is cancelled only behind so many answers. */
static void check_cancelled(void *(*run)(void *), int expected) {
  pthread_t thread;
  CHECK_EQUAL(0, pthread_create(&thread, NULL, run, NULL));
  void *result;
  CHECK_EQUAL(0, pthread_join(thread, &result));
  CHECK(result == PTHREAD_CANCELED);
  CHECK_EQUAL(expected, answered);
}

static void *call_although_cancelled(void *context) {
  (void)context;
  CHECK_EQUAL(0, pthread_cancel(pthread_self()));
  nearbuf_request request = request_of(70000);
  nearbuf_buffer buffer;
  nearbuf_memory memory;
  nearbuf_totals totals;
  answered += nearbuf_get(&request, &buffer) == NEARBUF_OK; /* the first: it creates a locator */
  answered += nearbuf_release(&buffer) == NEARBUF_OK;
  answered += nearbuf_allocate(&request, &memory) == NEARBUF_OK;
  answered += nearbuf_free(&memory) == NEARBUF_OK;
  answered += nearbuf_get_totals(&totals) == NEARBUF_OK;
  request = request_of(140000);
  answered += nearbuf_get(&request, &buffer) == NEARBUF_OK; /* a registration */
  answered += nearbuf_release(&buffer) == NEARBUF_OK;
  pthread_testcancel();
  answered = -1;
  return NULL;
}

/* Files are opened, read and closed in these calls, and each of that is a cancellation point. */
TEST(a_call_is_no_cancellation_point) {
  own_tmp();
  check_cancelled(call_although_cancelled, 7);
}

static void *allocate_although_cancelled(void *context) {
  (void)context;
  CHECK_EQUAL(0, pthread_cancel(pthread_self()));
  nearbuf_request request = request_of(70000);
  nearbuf_memory memory[2];
  errno = EALREADY;
  answered += nearbuf_allocate(&request, &memory[0]) == NEARBUF_OK; /* reads the map */
  answered += nearbuf_allocate(&request, &memory[1]) == NEARBUF_OK; /* beside it */
  answered += nearbuf_free(&memory[0]) == NEARBUF_OK;
  answered += nearbuf_free(&memory[1]) == NEARBUF_OK;
  answered += errno == EALREADY;
  pthread_testcancel();
  answered = -1;
  return NULL;
}

/* In a process that has made no call of the library before. */
TEST(nor_is_one_that_allocates_private_memory) {
  check_cancelled(allocate_although_cancelled, 5);
}

enum { CANCELS = 300 };

static void cancel_many(int type) {
  own_tmp();
  for (int i = 0; i < CANCELS; i++) {
    pthread_t thread;
    CHECK_EQUAL(0, pthread_create(&thread, NULL, call_until_cancelled, &type));
    usleep((useconds_t)(i * 7 % 1500));
    CHECK_EQUAL(0, pthread_cancel(thread));
    CHECK_EQUAL(0, pthread_join(thread, NULL));
  }
}

TEST(deferred_cancellation_leaves_no_lock_and_no_descriptor) {
  int descriptors = count_descriptors();
  cancel_many(PTHREAD_CANCEL_DEFERRED);
  double before = seconds();
  CHECK_EQUAL(42, call_answer(place_answer(42)));
  (void)register_one(NEARBUF_OK);
  CHECK(seconds() - before < bound);
  CHECK_EQUAL(descriptors, count_descriptors());
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(1, totals.taken); /* the one that was registered as a check */
}

/* glibc 2.36 cancels a thread that has just disabled cancellation, if the signal was already sent.
 * So a lock of the library can be left behind, as by a thread that was killed; one call waits for
 * it. */
TEST(asynchronous_cancellation_costs_an_item_at_most) {
  cancel_many(PTHREAD_CANCEL_ASYNCHRONOUS);
  double before = seconds();
  CHECK_EQUAL(42, call_answer(place_answer(42)));
  (void)register_one(NEARBUF_OK);
  CHECK(seconds() - before < 3 * bound);
  before = seconds();
  (void)register_one(NEARBUF_OK);
  CHECK(seconds() - before < bound);
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK(totals.taken <= CANCELS + 2);
}
