/* Where each thread starts looking: a table of 256 hints, indexed by a hash of the thread pointer,
 * in the process state.
 *
 *                     used:      a bit for each slot that was ever set
 *   thread -> hash -> slots[n]:  item (nbuf_item_ref) | order | generation     16 bytes in 64 bits
 *
 * Each copy of the library has its own. A hint can be wrong, and two threads may share a slot; both
 * only cost speed. */
#ifndef NBUF_HINTS_H
#define NBUF_HINTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/unshared.h"
#include "os/thread.h"

enum { NBUF_HINT_BITS = 8, NBUF_HINT_SLOTS = 1 << NBUF_HINT_BITS };

/* Slots are written only on slow paths, so several may share a cache line. */
typedef struct nbuf_hint {
  _Atomic uintptr_t item;      /* an nbuf_item_ref; 0: none */
  _Atomic uint32_t order;      /* the position of the item in the chain */
  _Atomic uint32_t generation; /* of the state */
} nbuf_hint;

/* The bits come first: with the rest of the state they and most slots are on one page, so that most
 * first calls touch no other. */
typedef struct nbuf_hints {
  _Atomic uint32_t used[NBUF_HINT_SLOTS / 32]; /* a bit for each slot that was ever set */
  nbuf_hint slots[NBUF_HINT_SLOTS];
} nbuf_hints;

/* The slot of a thread with this number (os/thread.h). Thread blocks lie apart by the size of a
 * stack and its guard. The factor was found by a search: no two of 32 threads share a slot, for the
 * usual sizes of stacks and guards. With the golden ratio, the usual factor, 32 threads that lie 8
 * MiB and 16 KiB apart shared 18 slots, and in the worst case 3. */
static inline uint32_t nbuf_hint_slot_of(uintptr_t thread) {
  return (uint32_t)thread * UINT32_C(0x7E42A3A1) >> (32 - NBUF_HINT_BITS);
}

static inline uint32_t nbuf_hint_slot(void) {
  return nbuf_hint_slot_of(nbuf_os_thread());
}

static inline nbuf_hint *nbuf_hints_mine(nbuf_hints *hints) {
  return &hints->slots[nbuf_hint_slot()];
}

static inline const nbuf_hint *nbuf_hint_of(const nbuf_hints *hints) {
  return &hints->slots[nbuf_hint_slot()];
}

/* The fields of a hint, as nbuf_hint_set stored them. */
static inline uintptr_t nbuf_hint_item(const nbuf_hint *hint) {
  return atomic_load_explicit(&hint->item, memory_order_acquire);
}

static inline uint32_t nbuf_hint_order(const nbuf_hint *hint) {
  return atomic_load_explicit(&hint->order, memory_order_relaxed);
}

static inline uint32_t nbuf_hint_generation(const nbuf_hint *hint) {
  return atomic_load_explicit(&hint->generation, memory_order_relaxed);
}

static inline void nbuf_hint_set(nbuf_hints *hints, nbuf_hint *hint, uintptr_t item, uint32_t order,
                                 uint32_t generation) {
  uint32_t slot = (uint32_t)(hint - hints->slots);
  atomic_fetch_or_explicit(&hints->used[slot / 32], UINT32_C(1) << slot % 32, memory_order_relaxed);
  atomic_store_explicit(&hint->generation, generation, memory_order_relaxed);
  atomic_store_explicit(&hint->order, order, memory_order_relaxed);
  atomic_store_explicit(&hint->item, item, memory_order_release);
}

/* Whether a slot other than `mine` contains the item; `item` is an nbuf_item_ref. */
bool nbuf_hints_elsewhere(nbuf_hints *hints, const nbuf_hint *mine, uintptr_t item);

/* Whether a slot other than `mine` contains another item that shares a pair of lines with this one;
 * `item` is an address. `mine` must have been stored before: then of two threads that do this at
 * the same time at least one notices the other. */
bool nbuf_hints_crowd(nbuf_hints *hints, const nbuf_hint *mine, uintptr_t item);

#endif
