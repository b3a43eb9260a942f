/* Where each thread starts looking: a table that is indexed by a hash of the thread pointer. A hint
 * can be wrong, and two threads may share a slot; both cost speed only. */
#ifndef NB_HINTS_H
#define NB_HINTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/unshared.h"
#include "os/thread.h"

enum { NB_HINT_BITS = 8, NB_HINT_SLOTS = 1 << NB_HINT_BITS };

/* Slots are written on slow paths only, so that several may share a cache line. */
typedef struct nb_hint {
  _Atomic uintptr_t item;      /* an nb_item_ref; 0: none */
  _Atomic uint32_t order;      /* where the item stands in the chain */
  _Atomic uint32_t generation; /* of the state */
} nb_hint;

typedef struct nb_hints {
  nb_hint slots[NB_HINT_SLOTS];
  _Atomic uint32_t used[NB_HINT_SLOTS / 32]; /* a bit for each slot that was ever set */
} nb_hints;

/* The slot of a thread with this number (os/thread.h). Thread blocks lie a stack and its guard apart.
 * The factor was searched for: of 32 threads no two share a slot, for the usual sizes of stacks and
 * guards. With the golden ratio, which is the usual one, 32 threads that lie 8 MiB and 16 KiB apart
 * shared 18 slots, and in the worst case 3. */
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

/* What it says, as nb_hint_set stored it. */
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

/* Whether another slot than `mine` points at the item. */
bool nb_hints_elsewhere(nb_hints *hints, const nb_hint *mine, uintptr_t item);

/* Whether another slot than `mine` points at another item that shares a pair of lines with this
 * one; `item` is an address. What `mine` says must have been stored before: then of two threads
 * that do this at once at least one notices. */
bool nb_hints_crowd(nb_hints *hints, const nb_hint *mine, uintptr_t item);

#endif
