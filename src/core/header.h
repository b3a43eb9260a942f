/* The header of a known locator: its lock, its link, and its restoration.
 *
 * Another implementation that is starting can clear the header of a first locator of ours (decision
 * 12): it stores the address of its own mapping of the page, and zeros over the link, the lock and
 * its count. It can do so at any time, and other threads may read between two of its stores. The
 * contents are restored from what it leaves: the address is known, the count is the number of the
 * last slot in use, and the last empty slot holds a second copy of the link (os/pages.h). */
#ifndef NBUF_HEADER_H
#define NBUF_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/shared.h"
#include "core/locator.h"

/* Locks and unlocks. The holder of the lock finds the header restored. `lock` waits up to the
 * bound; false means that the holder died or is stopped: the locator counts as full from then on,
 * and its lock is not waited for again. If another implementation clears the header, the holder of
 * the lock loses it and goes on without it, so that two holders must not conflict in what they
 * store. */
bool nbuf_header_lock(nbuf_locator *locator);
bool nbuf_header_try_lock(nbuf_locator *locator);
void nbuf_header_unlock(nbuf_locator *locator);

/* Restores a header that was cleared, if the lock is free. To be called before the locator is read,
 * except on the fast path. */
void nbuf_header_mend(nbuf_locator *locator);

/* The next locator, 0: none yet. It is set once; false: another thread or process has set it
 * before. */
static inline uintptr_t nbuf_header_link(const nbuf_locator *locator) {
  return nbuf_shared_link_acquire(locator->base + nbuf_locator_layout(locator)->next);
}

bool nbuf_header_set_link(const nbuf_locator *locator, uintptr_t next);

/* To be called once for a locator, before other threads see its descriptor. */
void nbuf_header_start(nbuf_locator *locator, bool is_first);

#endif
