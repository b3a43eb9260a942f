/* Two threads want memory at the same target at the same time: what one of them is about to map,
 * the other one does not try. The second request comes where the library maps the first one's
 * place. */
#include <pthread.h>

#include "free_stretch.h"
#include "os/os.h"
#include "space.h"
#include "test.h"

static void (*meanwhile)(void); /* runs once, before the place is mapped */
static int refused;

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker gives these names */
nbuf_result __real_nbuf_os_map(uintptr_t address, size_t size);
nbuf_result __wrap_nbuf_os_map(uintptr_t address, size_t size);

nbuf_result __wrap_nbuf_os_map(uintptr_t address, size_t size) {
  void (*run)(void) = meanwhile;
  meanwhile = NULL;
  if (run != NULL) {
    run();
  }
  nbuf_result result = __real_nbuf_os_map(address, size);
  refused += result.status == NEARBUF_NO_ROOM;
  return result;
}
/* NOLINTEND(bugprone-reserved-identifier) */

static uintptr_t target;
static nearbuf_memory others; /* of the second thread */

static nearbuf_memory allocate(size_t pages) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  nearbuf_memory memory;
  request.target = target;
  request.size_bytes = pages * space_page();
  CHECK_OK(nearbuf_allocate(&request, &memory));
  return memory;
}

static void allocate_for_another_thread(void) {
  others = allocate(1);
}

/* The first place, beside which the others are. */
static nearbuf_memory settle(void) {
  space_settle();
  target = free_stretch_middle();
  return allocate(4);
}

static void allocate_twice_at_once(void) {
  refused = 0;
  meanwhile = allocate_for_another_thread;
  nearbuf_memory own = allocate(1);
  CHECK_EQUAL(0, refused);
  CHECK(own.run_at != others.run_at);
  CHECK(nbuf_distance((uintptr_t)own.run_at, target) <= 16 * space_page());
  CHECK(nbuf_distance((uintptr_t)others.run_at, target) <= 16 * space_page());
}

TEST(beside_other_memory_a_place_that_is_being_mapped_is_not_tried) {
  (void)settle();
  for (int i = 0; i < 4; i++) {
    allocate_twice_at_once();
  }
}

TEST(between_other_memory_a_place_that_is_being_mapped_is_not_tried) {
  nearbuf_memory first = settle();
  nearbuf_memory hole = allocate(2);
  (void)allocate(4);
  (void)allocate(4);
  CHECK_OK(nearbuf_free(&hole));
  allocate_twice_at_once();
  CHECK_OK(nearbuf_free(&first));
  allocate_twice_at_once();
}

static void end_thread(void) {
  pthread_exit(NULL);
}

static void *allocate_and_die(void *unused) {
  meanwhile = end_thread;
  (void)allocate(1);
  return unused;
}

TEST(a_place_whose_thread_died_before_it_was_mapped_is_found_again) {
  (void)settle();
  nearbuf_memory hole = allocate(1);
  nearbuf_memory last = allocate(1);
  (void)allocate(1);
  (void)allocate(1);
  uintptr_t place = (uintptr_t)hole.run_at;
  CHECK(place != (uintptr_t)last.run_at);
  CHECK_OK(nearbuf_free(&hole));
  pthread_t thread;
  CHECK_EQUAL(0, pthread_create(&thread, NULL, allocate_and_die, NULL));
  CHECK_EQUAL(0, pthread_join(thread, NULL));
  nearbuf_memory next = allocate(1); /* no call waits for the dead */
  CHECK(nbuf_distance((uintptr_t)next.run_at, target) <= 16 * space_page());
  nearbuf_request there = space_request(place, space_page(), 1);
  nearbuf_memory again;
  CHECK_OK(nearbuf_allocate(&there, &again));
  CHECK_EQUAL(place, (uintptr_t)again.run_at);
}
