/* Items of the locators of this process: take one that fits, register a new one, grow the chain.
 *
 * An item is named by its order, locator number * 256 + index, and by a reference: its address, plus
 * one where it is laid out as the Rust reference does it. Items are aligned to 4 bytes. */
#ifndef NB_REGISTRY_H
#define NB_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "base/constraint.h"
#include "base/format.h"
#include "base/result.h"
#include "core/locators.h"
#include "core/state.h"

/* ---- Items ------------------------------------------------------------------------------------ */

enum {
  NB_REFERENCE_RUST = 1,
  NB_REFERENCE_TAGS = 3 /* the other one is free for who holds the item */
};

static inline uintptr_t nb_reference(uintptr_t item, const nb_layout *layout) {
  return item | (layout->dialect == NEARBUF_DIALECT_RUST ? NB_REFERENCE_RUST : 0);
}

static inline bool nb_reference_is_rust(uintptr_t reference) {
  return (reference & NB_REFERENCE_RUST) != 0;
}

static inline uintptr_t nb_reference_item(uintptr_t reference) {
  return reference & ~(uintptr_t)NB_REFERENCE_TAGS;
}

/* The words of an item of this process. */
static inline uintptr_t nb_taken_of(uintptr_t item, bool is_rust) {
  return item + NB_TAKEN_AT(sizeof(uintptr_t), is_rust);
}

static inline uintptr_t nb_size_of(uintptr_t item, bool is_rust) {
  return item + NB_SIZE_AT(sizeof(uintptr_t), is_rust);
}

static inline uintptr_t nb_position_of(uintptr_t item, bool is_rust) {
  return item + NB_POSITION_AT(sizeof(uintptr_t), is_rust);
}

/* An item that is held for a request. */
typedef struct nb_acquired {
  uintptr_t reference;
  uintptr_t base;
  uint32_t order;
  uint32_t size;
  uint32_t position;
  uint32_t start; /* offset of the first byte, alignment done */
  uint32_t limit; /* offset at which the range ends */
} nb_acquired;

/* Whether the buffer has room for it; fills `start` and `limit` of the acquired item. */
NB_FORCEINLINE bool nb_claim_fits(const nb_constraint *constraint, nb_acquired *acquired) {
  return nb_constraint_fits(constraint, acquired->base, acquired->size, acquired->position,
                            &acquired->start, &acquired->limit);
}

/* The base of an item that is known to be complete: it never changes, and is read in one go. */
static inline uintptr_t nb_item_base(uintptr_t item) {
  uintptr_t base;
  memcpy(&base, (const void *)item, sizeof base);
  return nb_little_address(base);
}

/* Fills in what an item says besides. */
NB_FORCEINLINE void nb_item_look(uintptr_t item, bool is_rust, nb_acquired *acquired) {
  acquired->size = nb_shared_load_relaxed(nb_size_of(item, is_rust));
  acquired->position = nb_shared_load_relaxed(nb_position_of(item, is_rust));
}

/* Takes the item if it is free and still fits once it is locked; else leaves it free. */
static inline bool nb_item_acquire(uintptr_t reference, const nb_constraint *constraint,
                                   nb_acquired *acquired) {
  bool is_rust = nb_reference_is_rust(reference);
  uintptr_t item = nb_reference_item(reference);
  uintptr_t taken = nb_taken_of(item, is_rust);
  if (!nb_shared_lock_acquire(taken)) {
    return false;
  }
  acquired->reference = reference;
  acquired->base = (uintptr_t)nb_shared_address_relaxed(item, sizeof(uintptr_t));
  nb_item_look(item, is_rust, acquired);
  if (nb_claim_fits(constraint, acquired)) {
    return true;
  }
  nb_shared_unlock_release(taken);
  return false;
}

/* ---- Taking and registering ------------------------------------------------------------------- */

/* Takes the first item that fits, from where this module's walks have come to, or from the start of
 * the chain. False: none; `*is_held` tells whether one would have fit, but somebody holds it. */
bool nb_registry_take(nb_state *state, const nb_constraint *constraint, bool from_start,
                      nb_acquired *acquired, bool *is_held);

/* A region that is to become a buffer. */
typedef struct nb_listing {
  uintptr_t start;
  uintptr_t size;
  uintptr_t spare;      /* so much of it, from the start, the request can do without */
  uint8_t only_dialect; /* as in nb_constraint */
} nb_listing;

/* Lists a region as a buffer, taken, in the first locator with a free slot; where there is none the
 * chain grows. Once threads contend it becomes several buffers, so that the acquired one, the last,
 * has a cache line of its own. On failure the region still belongs to the caller. Fills all of the
 * claim but `start` and `limit`. OUT_OF_MEMORY, INCOMPATIBLE, BUSY, SYSTEM_ERROR, DENIED. */
nb_result nb_registry_register(nb_state *state, const nb_listing *listing, nb_acquired *acquired);

/* Whether it is time to walk from the start, for what other modules released. */
bool nb_registry_is_full_walk_due(nb_state *state);

/* Makes a released item findable again where the walks of this module have passed it. */
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
