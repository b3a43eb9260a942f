/* The Rust implementation and this library in threads of one process; see both.h. */
#include "both.h"

#include <stdatomic.h>
#include <stdio.h>

#include "records.h"
#include "test.h"
#include "threads.h"
#include "window.h"

static c_interface raced;

uintptr_t both_locator_of(const LocatorItem *item) {
  return (uintptr_t)item & ~(uintptr_t)(PAGE - 1);
}

/* ---- The first calls at once ----------------------------------------------------------------- */

static atomic_int waiting;

static void wait_for_the_other(void) {
  atomic_fetch_add(&waiting, 1);
  while (atomic_load(&waiting) < 2) {
  }
}

static void start_reference(void *argument) {
  LocatorItem **item = argument;
  wait_for_the_other();
  *item = c_interface_get(&raced, WINDOW, WINDOW + WINDOW_SIZE, 100);
}

static void start_nearbuf(void *argument) {
  nearbuf_request request = request_in(WINDOW, WINDOW + WINDOW_SIZE - 1, 100);
  wait_for_the_other();
  CHECK_OK(nearbuf_get(&request, argument));
}

both_buffers both_get_at_once(const c_interface *reference) {
  both_buffers got;
  raced = *reference;
  test_thread threads[] = {test_thread_start(start_reference, &got.theirs),
                           test_thread_start(start_nearbuf, &got.ours)};
  test_thread_join(threads[0]);
  test_thread_join(threads[1]);
  return got;
}

/* ---- Appending ------------------------------------------------------------------------------- */

static atomic_uint handed_less;

/* The Rust implementation checks the room before it locks the item, so its caller has to check
 * again. */
static void append_with_reference(records *list) {
  unsigned char bytes[LONGEST_RECORD];
  while (records_go_on(list)) {
    record next = records_next(list, bytes);
    LocatorItem *item = c_interface_get(&raced, WINDOW, WINDOW + WINDOW_SIZE, next.length);
    if (raced.bytes_left(item) >= next.length) {
      next.address = raced.append(item, bytes, next.length);
      records_keep(list, &next);
    } else {
      atomic_fetch_add(&handed_less, 1);
    }
    raced.unlock(item);
  }
}

void both_append(const c_interface *reference, unsigned milliseconds) {
  raced = *reference;
  records_race(append_with_reference, records_append_with_nearbuf, milliseconds, NULL);
  CHECK_EQUAL(0, totals().taken);
  printf("the reference handed out less than was asked: %u times\n", atomic_load(&handed_less));
}
