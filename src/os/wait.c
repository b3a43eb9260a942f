/* Waiting for another thread, at most for the bound; see wait.h. */
#include "os/wait.h"

#include "os/os.h"

/* The time of the last wait that failed, in units of 2^20 ns, about a millisecond; 0: never. It
 * wraps after 50 days: then one wait is short without need. */
static _Atomic uint32_t last_in_vain;

enum { UNIT_SHIFT = 20, SHORT_FOR = 1000 };

static uint32_t in_units(uint64_t nanoseconds) {
  return (uint32_t)(nanoseconds >> UNIT_SHIFT) | 1;
}

nbuf_wait nbuf_wait_start(void) {
  nbuf_wait wait = {.start = nbuf_os_nanoseconds(), .bound_ns = NBUF_WAIT_BOUND_NS};
  uint32_t in_vain = atomic_load_explicit(&last_in_vain, memory_order_relaxed);
  if (in_vain != 0 && in_units(wait.start) - in_vain < SHORT_FOR) {
    wait.bound_ns = NBUF_WAIT_SHORT_BOUND_NS;
  }
  return wait;
}

bool nbuf_wait_on(nbuf_wait *wait) {
  uint64_t now = nbuf_os_nanoseconds();
  if (now - wait->start > wait->bound_ns) {
    if (wait->bound_ns == NBUF_WAIT_BOUND_NS) {
      atomic_store_explicit(&last_in_vain, in_units(now), memory_order_relaxed);
    }
    return false;
  }
  nbuf_os_pause_again(wait->pauses++);
  return true;
}

bool nbuf_wait_for_held_lock(uintptr_t word, _Atomic bool *is_given_up) {
  nbuf_wait wait = nbuf_wait_start();
  while (is_given_up == NULL || !atomic_load_explicit(is_given_up, memory_order_relaxed)) {
    bool is_over = !nbuf_wait_on(&wait);
    if (nbuf_shared_lock_acquire(word)) {
      return true;
    }
    if (is_over) {
      break;
    }
  }
  if (is_given_up != NULL) {
    atomic_store_explicit(is_given_up, true, memory_order_relaxed);
  }
  return false;
}
