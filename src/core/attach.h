/* Finding or making the first locator, once per process state. Names, files and sections are the
 * port's: os/pages.h. */
#ifndef NBUF_ATTACH_H
#define NBUF_ATTACH_H

#include <stdbool.h>

#include "base/format.h"
#include "base/result.h"
#include "core/state.h"

static inline bool nbuf_is_attached(const nbuf_state *state) {
  return atomic_load_explicit(&state->attached, memory_order_acquire) != 0;
}

/* The slow paths of the next functions: the state was not attached. */
nbuf_result nbuf_attach_slowly(nbuf_state *state, bool may_wait);
nbuf_result nbuf_attach_or_make_slowly(nbuf_state *state, const nbuf_item *item,
                                       nearbuf_dialect preferred, bool *is_listed);

/* Attaches to the first locator and its chain: OK, or NOT_FOUND if the process has none. Without
 * `may_wait` it returns BUSY if another thread holds the state's lock. */
static inline nbuf_result nbuf_attach(nbuf_state *state, bool may_wait) {
  return nbuf_is_attached(state) ? nbuf_result_of(NEARBUF_OK) : nbuf_attach_slowly(state, may_wait);
}

/* The same, but makes the locator, listing `item`, if there is none. `*is_listed` is set if the
 * locator was made: then `item` is in the first slot that is used (NBUF_FIRST_SLOT). `preferred` is
 * the dialect of a new locator if neither the program nor the environment chose one. */
static inline nbuf_result nbuf_attach_or_make(nbuf_state *state, const nbuf_item *item,
                                              nearbuf_dialect preferred, bool *is_listed) {
  *is_listed = false;
  return nbuf_is_attached(state) ? nbuf_result_of(NEARBUF_OK)
                                 : nbuf_attach_or_make_slowly(state, item, preferred, is_listed);
}

#endif
