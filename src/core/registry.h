/* Items of the locators of this process: take one that fits, register a new one, add a locator.
 *
 *   order = number * 256 + index
 *   number 0:  [header][ 0 ][ 1 ] .. [202]   number 1:  [header][ 0 ][ 1 ] .. [202]   ...
 *   order:               0    1  ..   202                        256  257  ..  458
 *
 * An item is identified by its order and by an nb_item_ref. For each size class a cursor, which
 * each copy of the library keeps in its process state, is the order below which every item is held
 * or full. */
#ifndef NB_REGISTRY_H
#define NB_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/constraint.h"
#include "base/item.h"
#include "base/result.h"
#include "core/locators.h"
#include "core/state.h"

/* ---- Items ----------------------------------------------------------------------------------- */

/* An item that is held for a request. */
typedef struct nb_acquired {
  nb_item_ref ref;
  uintptr_t base;
  uint32_t order;
  uint32_t size;
  uint32_t position;
  uint32_t start; /* offset of the first byte, aligned */
  uint32_t limit; /* offset at which the range ends */
} nb_acquired;

/* Whether the buffer has room for the request; sets `start` and `limit`. */
NB_FORCEINLINE bool nb_claim_fits(const nb_constraint *constraint, nb_acquired *acquired) {
  return nb_constraint_fits(constraint, acquired->base, acquired->size, acquired->position,
                            &acquired->start, &acquired->limit);
}

/* Reads the size and the position of an item. */
NB_FORCEINLINE void nb_item_look(uintptr_t item, bool is_rust, nb_acquired *acquired) {
  acquired->size = nb_item_size(item, is_rust);
  acquired->position = nb_item_position(item, is_rust);
}

/* Locks the item if it is free, and keeps it if it still fits once it is locked. */
static inline bool nb_item_acquire(nb_item_ref ref, const nb_constraint *constraint,
                                   nb_acquired *acquired) {
  bool is_rust = nb_item_ref_is_rust(ref);
  uintptr_t item = nb_item_ref_address(ref);
  if (!nb_item_try_lock(item, is_rust)) {
    return false;
  }
  acquired->ref = ref;
  acquired->base = (uintptr_t)nb_shared_address_relaxed(item, sizeof(uintptr_t));
  nb_item_look(item, is_rust, acquired);
  if (nb_claim_fits(constraint, acquired)) {
    return true;
  }
  nb_item_unlock(item, is_rust);
  return false;
}

/* ---- Taking and registering ------------------------------------------------------------------ */

/* Takes the first item that fits, from the cursor of this module on, or from the start of the
 * chain. False: none; `*is_held` says whether an item that fits is held by another thread, module
 * or process. */
bool nb_registry_take(nb_state *state, const nb_constraint *constraint, bool from_start,
                      nb_acquired *acquired, bool *is_held);

/* A region that is to become a buffer. */
typedef struct nb_listing {
  uintptr_t start;
  uintptr_t size;
  uintptr_t spare;      /* bytes at its start that the request can do without */
  uint8_t only_dialect; /* as in nb_constraint */
} nb_listing;

/* Lists a region as a held buffer, in the first locator with a free slot; if there is none, a
 * locator is added. Once threads contend it becomes several buffers, so that the acquired one, the
 * last, gets an unshared slot. On failure the region still belongs to the caller. Sets all fields
 * of `*acquired` except `start` and `limit`. OUT_OF_MEMORY, INCOMPATIBLE, BUSY, SYSTEM_ERROR,
 * DENIED. */
nb_result nb_registry_register(nb_state *state, const nb_listing *listing, nb_acquired *acquired);

/* Whether the next walk should start at the beginning, to find what other modules released. */
bool nb_registry_is_full_walk_due(nb_state *state);

/* Moves the cursors that have passed a released item back to it, so that the next walk finds it. */
void nb_registry_move_cursors_back(nb_state *state, uint32_t order, uint32_t room);

/* The same for an item of which only the address is known. */
void nb_registry_released_item(nb_state *state, uintptr_t item, uint32_t room);

static inline bool nb_registry_is_passed(const nb_state *state, uint32_t order) {
  return order < atomic_load_explicit(&state->highest_cursor, memory_order_relaxed);
}

static inline void nb_registry_released(nb_state *state, uint32_t order, uint32_t room) {
  if (nb_registry_is_passed(state, order)) {
    nb_registry_move_cursors_back(state, order, room);
  }
}

#endif
