/* From a request to an item that is held: the way of every call that hands out shared memory. */
#ifndef NB_ACQUIRE_H
#define NB_ACQUIRE_H

#include "base/constraint.h"
#include "base/result.h"
#include "core/registry.h"
#include "core/state.h"

/* What is wrong with a request, OK if nothing is. No system calls. */
nearbuf_status nb_request_check(const nearbuf_request *request);

/* What a request with these flags demands. */
NB_FORCEINLINE nb_constraint nb_request_constraint(const nearbuf_request *request, uint32_t flags) {
  nb_constraint constraint = {.min = request->range.min,
                              .max = request->range.max,
                              .alignment = nb_alignment_for(request->alignment_bytes, flags),
                              .size = request->size_bytes};
  return constraint;
}

/* What a request would like, beside what it demands. */
typedef struct nb_preference {
  uintptr_t target;        /* 0: none */
  uintptr_t near_bytes;    /* of nearbuf_request */
  nearbuf_dialect dialect; /* of the first locator, should this call make it */
} nb_preference;

/* Finds an item that is free and fits, or makes one, and holds it. The slow path: the item of the
 * thread's hint is tried first. The errors are those of nearbuf_get. */
nb_result nb_acquire(const nb_constraint *constraint, const nb_preference *preference,
                     nb_acquired *acquired, uint32_t *generation);

#endif
