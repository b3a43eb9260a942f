/* Waiting for another thread, which may be dead or stopped: at most for a bound.
 *
 *   nbuf_wait wait = nbuf_wait_start();
 *   while (!try_lock() && nbuf_wait_on(&wait)) {
 *   } */
#ifndef NBUF_WAIT_H
#define NBUF_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/shared.h"

/* The time for which the header lock of a locator, or the lock of the state, is waited for. The
 * other implementations hold the header lock while they parse the memory map: up to 30 ms at 60,000
 * mappings. */
#define NBUF_WAIT_BOUND_NS UINT64_C(500000000)

/* For a second after a wait that failed, others last at most this long: one call can meet several
 * locks, and a thread that is stopped may hold more than one of them. Without this a call took four
 * times the bound. */
#define NBUF_WAIT_SHORT_BOUND_NS (NBUF_WAIT_BOUND_NS / 16)

typedef struct nbuf_wait {
  uint64_t start;
  uint64_t bound_ns;
  uint32_t pauses;
} nbuf_wait;

nbuf_wait nbuf_wait_start(void);

/* Pauses, for a short time at first. False: the bound is over. */
bool nbuf_wait_on(nbuf_wait *wait);

/* The slow path of the next function: the lock was held. */
bool nbuf_wait_for_held_lock(uintptr_t word, _Atomic bool *is_given_up);

/* Takes the lock word of a header (base/shared.h), which nbuf_shared_unlock_release releases.
 * False: it was held past the bound, so its holder died or is stopped. Then `*is_given_up`, if not
 * null, is set, and while it is set no call waits. */
static inline bool nbuf_wait_for_lock(uintptr_t word, _Atomic bool *is_given_up) {
  return nbuf_shared_lock_acquire(word) || nbuf_wait_for_held_lock(word, is_given_up);
}

#endif
