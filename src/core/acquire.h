/* From a request to an item that is held: the way of every call that hands out shared memory. */
#ifndef NB_CLAIM_H
#define NB_CLAIM_H

#include "base/result.h"
#include "core/registry.h"
#include "core/state.h"

/* What is wrong with a request, OK if nothing is. No system calls. */
nearbuf_status nb_request_check(const nearbuf_request *request);

/* What a request with these flags needs of an item. */
NB_WARM nb_fit nb_request_fit(const nearbuf_request *request, uint32_t flags) {
  uintptr_t alignment = request->alignment_bytes;
  if ((flags & NEARBUF_DATA) != 0 && alignment < NB_CACHE_LINE) {
    alignment = NB_CACHE_LINE;
  }
  nb_fit fit = {.range = request->range, .alignment = alignment, .size = request->size_bytes};
  return fit;
}

/* What a request would like, beside what it demands. */
typedef struct nb_preference {
  uintptr_t target;        /* 0: none */
  uintptr_t near_bytes;    /* of nearbuf_request */
  nearbuf_dialect dialect; /* of the first locator, should this call make it */
} nb_preference;

/* Whether memory that starts there is as near to the target as the request would like. */
NB_WARM bool nb_is_near(uintptr_t address, uintptr_t target, uintptr_t near_bytes) {
  /* One comparison for both sides; a doubled distance that wraps only makes it stricter. */
  return near_bytes == 0 || address - target + near_bytes <= 2 * near_bytes;
}

/* Finds an item that is free and fits, or makes one, and holds it. The slow path: the item of the
 * thread's hint is tried first. The errors are those of nearbuf_get. */
nb_outcome nb_claim_find_or_make(const nb_fit *fit, const nb_preference *preference,
                                 nb_claim *claim, uint32_t *generation);

#endif
