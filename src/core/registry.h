/* Items of the locators of this process: take one that fits, register a new one, add a locator.
 *
 *   order = number * 256 + index
 *   number 0:  [header][ 0 ][ 1 ] .. [202]   number 1:  [header][ 0 ][ 1 ] .. [202]   ...
 *   order:               0    1  ..   202                        256  257  ..  458
 *
 * An item is identified by its order and by an nbuf_item_ref. For each size class a cursor, which
 * each copy of the library keeps in its process state, is the order below which every item is held
 * or full. */
#ifndef NBUF_REGISTRY_H
#define NBUF_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/constraint.h"
#include "base/item.h"
#include "base/result.h"
#include "core/locators.h"
#include "core/state.h"

/* ---- Items ----------------------------------------------------------------------------------- */

/* An item that is held for a request. */
typedef struct nbuf_acquired {
  nbuf_item_ref ref;
  uintptr_t base;
  uint32_t order;
  uint32_t size;
  uint32_t position;
  uint32_t start; /* offset of the first byte, aligned */
  uint32_t limit; /* offset at which the range ends */
} nbuf_acquired;

/* Whether the buffer has room for the request; sets `start` and `limit`. */
NBUF_FORCEINLINE bool nbuf_acquired_fits(const nbuf_constraint *constraint,
                                         nbuf_acquired *acquired) {
  return nbuf_constraint_fits(constraint, acquired->base, acquired->size, acquired->position,
                              &acquired->start, &acquired->limit);
}

/* Reads the size and the position of an item. */
NBUF_FORCEINLINE void nbuf_item_look(uintptr_t item, bool is_rust, nbuf_acquired *acquired) {
  acquired->size = nbuf_item_size(item, is_rust);
  acquired->position = nbuf_item_position(item, is_rust);
}

/* Locks the item if it is free, and keeps it if it still fits once it is locked. */
static inline bool nbuf_item_acquire(nbuf_item_ref ref, const nbuf_constraint *constraint,
                                     nbuf_acquired *acquired) {
  bool is_rust = nbuf_item_ref_is_rust(ref);
  uintptr_t item = nbuf_item_ref_address(ref);
  if (!nbuf_item_try_lock(item, is_rust)) {
    return false;
  }
  acquired->ref = ref;
  acquired->base = (uintptr_t)nbuf_shared_address_relaxed(item, sizeof(uintptr_t));
  nbuf_item_look(item, is_rust, acquired);
  if (nbuf_acquired_fits(constraint, acquired)) {
    return true;
  }
  nbuf_item_unlock(item, is_rust);
  return false;
}

/* ---- Taking and registering ------------------------------------------------------------------ */

/* Takes the first item that fits, from the cursor of this module on, or from the start of the
 * chain. False: none; `*is_held` says whether an item that fits is held by another thread, module
 * or process. */
bool nbuf_registry_take(nbuf_state *state, const nbuf_constraint *constraint, bool from_start,
                        nbuf_acquired *acquired, bool *is_held);

/* A region that is to become a buffer. */
typedef struct nbuf_listing {
  uintptr_t start;
  uintptr_t size;
  uintptr_t spare;      /* bytes at its start that the request can do without */
  uint8_t only_dialect; /* as in nbuf_constraint */
} nbuf_listing;

/* Lists a region as a held buffer, in the first locator with a free slot; if there is none, a
 * locator is added. Once threads contend it becomes several buffers, so that the acquired one, the
 * last, gets an unshared slot. On failure the region still belongs to the caller. Sets all fields
 * of `*acquired` except `start` and `limit`. OUT_OF_MEMORY, INCOMPATIBLE, BUSY, SYSTEM_ERROR,
 * DENIED. */
nbuf_result nbuf_registry_register(nbuf_state *state, const nbuf_listing *listing,
                                   nbuf_acquired *acquired);

/* Whether the next walk should start at the beginning, to find what other modules released. */
bool nbuf_registry_is_full_walk_due(nbuf_state *state);

/* Moves the cursors that have passed a released item back to it, so that the next walk finds it. */
void nbuf_registry_move_cursors_back(nbuf_state *state, uint32_t order, uint32_t room);

/* The same for an item of which only the address is known. */
void nbuf_registry_released_item(nbuf_state *state, uintptr_t item, uint32_t room);

static inline bool nbuf_registry_is_passed(const nbuf_state *state, uint32_t order) {
  return order < atomic_load_explicit(&state->highest_cursor, memory_order_relaxed);
}

static inline void nbuf_registry_released(nbuf_state *state, uint32_t order, uint32_t room) {
  if (nbuf_registry_is_passed(state, order)) {
    nbuf_registry_move_cursors_back(state, order, room);
  }
}

#endif
