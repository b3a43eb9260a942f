/* From a request to an item that is held: the way of every call that hands out shared memory. */
#ifndef NB_CLAIM_H
#define NB_CLAIM_H

#include "locator.h"
#include "outcome.h"
#include "session.h"

/* What is wrong with a request, OK if nothing is. No system calls. */
nearbuf_status nb_request_check(const nearbuf_request *request);

/* Whether a request is well-formed. One whose range is upside down or too small may pass; but then
 * nothing ever fits it. */
static inline bool nb_request_is_sound(const nearbuf_request *request) {
  return request != NULL && request->struct_size == sizeof *request &&
         (request->flags & ~(uint32_t)NEARBUF_DATA) == 0 && request->size_bytes - 1 < UINT32_MAX &&
         nb_is_power_of_two(request->alignment_bytes);
}

/* What a checked request needs of an item. */
static inline nb_fit nb_request_fit(const nearbuf_request *request) {
  uintptr_t alignment = request->alignment_bytes;
  if ((request->flags & NEARBUF_DATA) != 0 && alignment < NB_CACHE_LINE) {
    alignment = NB_CACHE_LINE;
  }
  nb_fit fit = {
      .range = request->range, .alignment = alignment, .size = (uint32_t)request->size_bytes};
  return fit;
}

/* Finds an item that is free and fits, or makes one, and holds it. `preferred` is the dialect of the
 * first locator, should this call make it. The slow path: nb_item_claim at the thread's hint comes
 * first. The errors are those of nearbuf_get. */
nb_outcome nb_claim_find_or_make(const nb_fit *fit, uintptr_t target, nearbuf_dialect preferred,
                                 nb_claim *claim, uint32_t *generation);

#endif
