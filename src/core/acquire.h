/* From a request to an item that is held, for every call that hands out shared memory:
 *
 *   near to the target, then in the whole range:  a listed item that fits
 *                                                 -> locators linked since, a listed item that fits
 *                                                 -> a new region, listed as a held item
 *   the whole range, if there is no room:         any room of a listed item, however it is
 * wasted */
#ifndef NBUF_ACQUIRE_H
#define NBUF_ACQUIRE_H

#include "base/constraint.h"
#include "base/result.h"
#include "core/registry.h"
#include "core/state.h"

/* What a request prefers, in addition to its constraint. */
typedef struct nbuf_preference {
  uintptr_t target;        /* 0: none */
  uintptr_t near_bytes;    /* of nearbuf_request */
  nearbuf_dialect dialect; /* of the first locator, if this call makes it */
} nbuf_preference;

/* Finds a free item that fits, or makes one, and locks it. This is the slow path: callers have
 * tried the item of the thread's hint before. The errors are those of nearbuf_get. It
 * makes system calls: see nbuf_os_call_begin. */
nbuf_result nbuf_acquire(const nbuf_constraint *constraint, const nbuf_preference *preference,
                         nbuf_acquired *acquired, uint32_t *generation);

#endif
