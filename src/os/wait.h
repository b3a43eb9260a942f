/* Waiting for another thread, which may have been killed or be stopped: for a bound and no longer.
 *
 *   nb_wait wait = nb_wait_start();
 *   while (!try_lock() && nb_wait_on(&wait)) {
 *   } */
#ifndef NB_WAIT_H
#define NB_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* How long the header lock of a locator, or the lock of this module, is waited for. The references
 * hold the header lock while they parse the memory map: up to 30 ms at 60,000 mappings. */
#define NB_WAIT_BOUND_NS UINT64_C(500000000)

/* For a second after a wait in vain, others last so long at most: one call can meet several locks,
 * and a thread that is stopped may have more than one of them. Without it a call took four times
 * the bound. */
#define NB_WAIT_SHORT_BOUND_NS (NB_WAIT_BOUND_NS / 16)

typedef struct nb_wait {
  uint64_t start;
  uint64_t bound_ns;
  uint32_t pauses;
} nb_wait;

nb_wait nb_wait_start(void);

/* Pauses, shortly at first. False once the bound is over. */
bool nb_wait_on(nb_wait *wait);

/* Takes the lock word of a header (base/shared.h), which is given back by
 * nb_shared_unlock_release. False once it was held past the bound: its holder died or is stopped.
 * `*is_given_up` may be null; it is set then, and while it is set no call waits. */
bool nb_wait_for_lock(uintptr_t word, _Atomic bool *is_given_up);

#endif
