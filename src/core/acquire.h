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

/* Checks a request: OK, or the status that nearbuf_get returns for it. No system calls. */
nearbuf_status nbuf_request_check(const nearbuf_request *request);

/* The constraint of a request with these flags. */
NBUF_FORCEINLINE nbuf_constraint nbuf_request_constraint(const nearbuf_request *request,
                                                         uint32_t flags) {
  nbuf_constraint constraint = {.min = request->range.min,
                                .max = request->range.max,
                                .alignment = nbuf_alignment_for(request->alignment_bytes, flags),
                                .size = request->size_bytes};
  return constraint;
}

/* What a request prefers, in addition to its constraint. */
typedef struct nbuf_preference {
  uintptr_t target;        /* 0: none */
  uintptr_t near_bytes;    /* of nearbuf_request */
  nearbuf_dialect dialect; /* of the first locator, if this call makes it */
} nbuf_preference;

/* Finds a free item that fits, or makes one, and locks it. This is the slow path: callers have
 * tried the item of the thread's hint before. The errors are those of nearbuf_get. errno is
 * preserved. */
nbuf_result nbuf_acquire(const nbuf_constraint *constraint, const nbuf_preference *preference,
                         nbuf_acquired *acquired, uint32_t *generation);

#endif
