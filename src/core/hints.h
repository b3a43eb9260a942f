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

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/item.h"
#include "base/unshared.h"
#include "os/thread.h"

enum { NBUF_HINT_BITS = 8, NBUF_HINT_SLOTS = 1 << NBUF_HINT_BITS, NBUF_HINT_SIZE_BITS = 4 };

/* Slots are written only on slow paths, so several may share a cache line. */
typedef struct nbuf_hint {
  _Atomic uintptr_t item; /* an nbuf_item_ref, perhaps NBUF_HINT_USUAL; 0: none */
  /* In the lower half the position of the item in the chain, in the upper one the generation of the
   * state: a handle has the same two words. */
  _Atomic uint64_t order_and_generation;
} nbuf_hint;

/* The bits come first: with the rest of the state they and most slots are on one page, so that most
 * first calls touch no other. */
typedef struct nbuf_hints {
  _Atomic uint32_t used[NBUF_HINT_SLOTS / 32]; /* a bit for each slot that was ever set */
  nbuf_hint slots[NBUF_HINT_SLOTS];
} nbuf_hints;

/* The hash of a thread's number (os/thread.h), whose upper bits are its slot. Thread blocks lie
 * apart by the size of a stack and its guard. The factor was found by a search: no two of 32
 * threads share a slot, for the usual sizes of stacks and guards. With the golden ratio, the usual
 * factor, 32 threads that lie 8 MiB and 16 KiB apart shared 18 slots, and in the worst case 3. */
static inline uint32_t nbuf_hint_hash(uintptr_t thread) {
  return (uint32_t)thread * UINT32_C(0x7E42A3A1);
}

static inline uint32_t nbuf_hint_slot_of(uintptr_t thread) {
  return nbuf_hint_hash(thread) >> (32 - NBUF_HINT_BITS);
}

static inline uint32_t nbuf_hint_slot(void) {
  return nbuf_hint_slot_of(nbuf_os_thread());
}

static inline nbuf_hint *nbuf_hints_mine(nbuf_hints *hints) {
  return &hints->slots[nbuf_hint_slot()];
}

static_assert(sizeof(nbuf_hint) == 1 << NBUF_HINT_SIZE_BITS, "a slot has 16 bytes");

/* The same for reading, on the fast path: the hash becomes the offset of the slot, without its
 * number. */
static inline const nbuf_hint *nbuf_hint_of(const nbuf_hints *hints) {
  enum { LAST = (NBUF_HINT_SLOTS - 1) << NBUF_HINT_SIZE_BITS };
  uint32_t hash = nbuf_hint_hash(nbuf_os_thread());
  uint32_t offset = hash >> (32 - NBUF_HINT_BITS - NBUF_HINT_SIZE_BITS) & LAST;
  return (const nbuf_hint *)(const void *)((const char *)hints->slots + offset);
}

/* In a hint, the tag of every item that is not in the Rust layout: one test on the fast path of
 * nearbuf_get excludes those that are, and hints without an item. */
enum { NBUF_HINT_USUAL = 2 };

/* The item with that tag. */
static inline uintptr_t nbuf_hint_tagged_item(const nbuf_hint *hint) {
  return atomic_load_explicit(&hint->item, memory_order_acquire);
}

/* The fields of a hint, as nbuf_hint_set stored them. */
static inline nbuf_item_ref nbuf_hint_item(const nbuf_hint *hint) {
  return nbuf_hint_tagged_item(hint) & ~(uintptr_t)NBUF_HINT_USUAL;
}

static inline uint64_t nbuf_hint_order_and_generation(const nbuf_hint *hint) {
  return atomic_load_explicit(&hint->order_and_generation, memory_order_relaxed);
}

static inline void nbuf_hint_set(nbuf_hints *hints, nbuf_hint *hint, nbuf_item_ref item,
                                 uint32_t order, uint32_t generation) {
  bool is_usual = item != 0 && !nbuf_item_ref_is_rust(item);
  uint32_t slot = (uint32_t)(hint - hints->slots);
  atomic_fetch_or_explicit(&hints->used[slot / 32], UINT32_C(1) << slot % 32, memory_order_relaxed);
  atomic_store_explicit(&hint->order_and_generation, (uint64_t)generation << 32 | order,
                        memory_order_relaxed);
  atomic_store_explicit(&hint->item, item | (is_usual ? NBUF_HINT_USUAL : 0), memory_order_release);
}

/* Whether a slot other than `mine` contains the item; `item` is an nbuf_item_ref. */
bool nbuf_hints_elsewhere(nbuf_hints *hints, const nbuf_hint *mine, uintptr_t item);

/* Whether a slot other than `mine` contains another item that shares a pair of lines with this one;
 * `item` is an address. `mine` must have been stored before: then of two threads that do this at
 * the same time at least one notices the other. */
bool nbuf_hints_crowd(nbuf_hints *hints, const nbuf_hint *mine, uintptr_t item);

#endif
