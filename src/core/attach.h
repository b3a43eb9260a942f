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

/* Attaches to the first locator and its chain: OK, or NOT_FOUND if the process has none. Without
 * `may_wait` it returns BUSY if another thread holds the state's lock. */
nbuf_result nbuf_attach(nbuf_state *state, bool may_wait);

/* The same, but makes the locator, listing `item`, if there is none. `*is_listed` is set if the
 * locator was made: then `item` is in the first slot that is used (NBUF_FIRST_SLOT). `preferred` is
 * the dialect of a new locator if neither the program nor the environment chose one. */
nbuf_result nbuf_attach_or_make(nbuf_state *state, const nbuf_item *item, nearbuf_dialect preferred,
                                bool *is_listed);

#endif
