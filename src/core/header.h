/* The header of a locator that this module knows: its lock, its link, and how it is put back in order.
 *
 * A reference that is starting can clear the header of a first locator of ours (decision 12):
 * it stores the address of its own mapping of the page, and zeros over the link, the lock and its count.
 * It does so at any time, and somebody may look between two of its stores. What it overwrites can be told
 * from what it leaves: the address is known, the count is the number of the last slot in use, and the
 * link is kept a second time in the last of the slots that are empty (os/pages.h). */
#ifndef NB_HEADER_H
#define NB_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/locator.h"

/* Takes the lock, and gives it back. Whoever has it finds the header in order. `lock` waits up to the
 * bound: false means that the holder died or is stopped; the locator counts as full from then on, and is
 * not waited for again. The lock of a header that is cleared is lost to its holder, who goes on
 * without it: so what two holders do at once must not collide. */
bool nb_header_lock(nb_locator *locator);
bool nb_header_try_lock(nb_locator *locator);
void nb_header_unlock(nb_locator *locator);

/* Puts a header that was cleared in order, if the lock is to be had at once. To be called by everything
 * but the fast path before it looks at the locator. */
void nb_header_mend(nb_locator *locator);

/* The next locator, 0: none yet. It is set once, and by the first that tries: false, another one was. */
uintptr_t nb_header_link(const nb_locator *locator);
bool nb_header_set_link(const nb_locator *locator, uintptr_t next);

/* To be called once for a known locator, before others see it. */
void nb_header_start(nb_locator *locator, bool is_first);

#endif
