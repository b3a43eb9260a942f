/* Waiting for another thread, for a bound and no longer; see wait.h. */
#include "os/wait.h"

#include <stdatomic.h>

#include "os/os.h"

/* When a wait was last in vain, in units of 2^20 ns, about a millisecond; 0: never. It wraps after
 * 50 days: then one wait is short without need. */
static _Atomic uint32_t last_in_vain;

enum { UNIT_SHIFT = 20, SHORT_FOR = 1000 };

static uint32_t in_units(uint64_t nanoseconds) {
  return (uint32_t)(nanoseconds >> UNIT_SHIFT) | 1;
}

nb_wait nb_wait_start(void) {
  nb_wait wait = {.start = nb_os_nanoseconds(), .bound_ns = NB_WAIT_BOUND_NS};
  uint32_t in_vain = atomic_load_explicit(&last_in_vain, memory_order_relaxed);
  if (in_vain != 0 && in_units(wait.start) - in_vain < SHORT_FOR) {
    wait.bound_ns = NB_WAIT_SHORT_BOUND_NS;
  }
  return wait;
}

bool nb_wait_on(nb_wait *wait) {
  uint64_t now = nb_os_nanoseconds();
  if (now - wait->start > wait->bound_ns) {
    if (wait->bound_ns == NB_WAIT_BOUND_NS) {
      atomic_store_explicit(&last_in_vain, in_units(now), memory_order_relaxed);
    }
    return false;
  }
  nb_os_pause_again(wait->pauses++);
  return true;
}
