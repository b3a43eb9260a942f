/* Where each thread starts looking: a table of 256 hints, indexed by a hash of the thread pointer,
 * in the process state.
 *
 *   thread -> hash -> slots[n]:  item (nb_item_ref) | order | generation     16 bytes in 64 bits
 *                     used:      a bit for each slot that was ever set
 *
 * Each copy of the library has its own. A hint can be wrong, and two threads may share a slot; both
 * only cost speed. */
#ifndef NB_HINTS_H
#define NB_HINTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/unshared.h"
#include "os/thread.h"

enum { NB_HINT_BITS = 8, NB_HINT_SLOTS = 1 << NB_HINT_BITS };

/* Slots are written only on slow paths, so several may share a cache line. */
typedef struct nb_hint {
  _Atomic uintptr_t item;      /* an nb_item_ref; 0: none */
  _Atomic uint32_t order;      /* the position of the item in the chain */
  _Atomic uint32_t generation; /* of the state */
} nb_hint;

typedef struct nb_hints {
  nb_hint slots[NB_HINT_SLOTS];
  _Atomic uint32_t used[NB_HINT_SLOTS / 32]; /* a bit for each slot that was ever set */
} nb_hints;

/* The slot of a thread with this number (os/thread.h). Thread blocks lie apart by the size of a
 * stack and its guard. The factor was found by a search: no two of 32 threads share a slot, for the
 * usual sizes of stacks and guards. With the golden ratio, the usual factor, 32 threads that lie 8
 * MiB and 16 KiB apart shared 18 slots, and in the worst case 3. */
static inline uint32_t nb_hint_slot_of(uintptr_t thread) {
  return (uint32_t)thread * UINT32_C(0x7E42A3A1) >> (32 - NB_HINT_BITS);
}

static inline uint32_t nb_hint_slot(void) {
  return nb_hint_slot_of(nb_os_thread());
}

static inline nb_hint *nb_hints_mine(nb_hints *hints) {
  return &hints->slots[nb_hint_slot()];
}

static inline const nb_hint *nb_hint_of(const nb_hints *hints) {
  return &hints->slots[nb_hint_slot()];
}

/* The fields of a hint, as nb_hint_set stored them. */
static inline uintptr_t nb_hint_item(const nb_hint *hint) {
  return atomic_load_explicit(&hint->item, memory_order_acquire);
}

static inline uint32_t nb_hint_order(const nb_hint *hint) {
  return atomic_load_explicit(&hint->order, memory_order_relaxed);
}

static inline uint32_t nb_hint_generation(const nb_hint *hint) {
  return atomic_load_explicit(&hint->generation, memory_order_relaxed);
}

static inline void nb_hint_set(nb_hints *hints, nb_hint *hint, uintptr_t item, uint32_t order,
                               uint32_t generation) {
  uint32_t slot = (uint32_t)(hint - hints->slots);
  atomic_fetch_or_explicit(&hints->used[slot / 32], UINT32_C(1) << slot % 32, memory_order_relaxed);
  atomic_store_explicit(&hint->generation, generation, memory_order_relaxed);
  atomic_store_explicit(&hint->order, order, memory_order_relaxed);
  atomic_store_explicit(&hint->item, item, memory_order_release);
}

/* Whether a slot other than `mine` contains the item; `item` is an nb_item_ref. */
bool nb_hints_elsewhere(nb_hints *hints, const nb_hint *mine, uintptr_t item);

/* Whether a slot other than `mine` contains another item that shares a pair of lines with this one;
 * `item` is an address. `mine` must have been stored before: then of two threads that do this at
 * the same time at least one notices the other. */
bool nb_hints_crowd(nb_hints *hints, const nb_hint *mine, uintptr_t item);

#endif
