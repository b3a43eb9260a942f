/* Finding or making the first locator, once per state. What names, files and sections there are is the
 * system's affair: os/pages.h. */
#ifndef NB_ATTACH_H
#define NB_ATTACH_H

#include <stdbool.h>

#include "base/format.h"
#include "base/result.h"
#include "core/state.h"

static inline bool nb_is_attached(const nb_state *state) {
  return atomic_load_explicit(&state->attached, memory_order_acquire) != 0;
}

/* Attaches to the first locator if the process has one, and learns its chain: NOT_FOUND otherwise.
 * Without `may_wait`, BUSY where another thread is at it. */
nb_result nb_attach(nb_state *state, bool may_wait);

/* The same, but makes the locator, listing `item`, where there is none. `*is_listed` tells whether
 * it was made: then the item in the first slot that is used (pages.h) is the one. `preferred` is the
 * dialect of a new locator where neither the program nor the environment has chosen. */
nb_result nb_attach_or_make(nb_state *state, const nb_item *item, nearbuf_dialect preferred,
                            bool *is_listed);

#endif
