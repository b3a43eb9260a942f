/* The local locator descriptor: what this module knows of one locator of this process. */
#ifndef NBUF_LOCATOR_H
#define NBUF_LOCATOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/format.h"

/* The order of an item is the number of its locator * 256 + its index. */
enum { NBUF_ORDERS_PER_LOCATOR = 256 };

/* The unit of nbuf_locator.linked_since is 2^20 ns, about a millisecond. It needs no 64-bit
 * division, for which 32-bit code calls the compiler's runtime. */
enum { NBUF_LINKED_SINCE_SHIFT = 20 };

typedef struct nbuf_locator {
  uintptr_t base;
  _Atomic uint32_t linked_since; /* the link has been seen behind a held lock at least since then */
  _Atomic uint32_t used_slots;   /* when this module last held its lock; not more than exist */
  /* A bit for each item. Sound: its buffer may be handed out. Unusable: it must not be. Neither
   * bit: not checked yet. */
  _Atomic uint32_t sound[NBUF_ORDERS_PER_LOCATOR / 32];
  _Atomic uint32_t unusable[NBUF_ORDERS_PER_LOCATOR / 32];
  /* The buffers of the first items lie within these bounds, which only grow: `highest`, and
   * UINTPTR_MAX less the lowest address. The number of these items, and the generation of the state
   * in which they were read: find.h. */
  _Atomic uintptr_t highest;
  _Atomic uintptr_t lowest_from_top;
  _Atomic uint32_t bounded;
  uint8_t dialect; /* UNKNOWN: found without items, perhaps another implementation's; unused */
  bool is_kept_from_children;
  bool is_first;
  bool is_hidden_from_dotnet;
  _Atomic bool is_given_up; /* its lock was held past the bound: permanently full */
  _Atomic bool is_damaged;  /* an item is invalid: nothing is written to it any more */
} nbuf_locator;

/* Whether the lock of the locator at this address is held: an item may be incomplete. */
static inline bool nbuf_locator_is_locked(uintptr_t base) {
  const nbuf_layout *header = nbuf_native_layout(NEARBUF_DIALECT_UNKNOWN);
  return nbuf_shared_load_acquire(base + header->locked) == 1;
}

static inline const nbuf_layout *nbuf_locator_layout(const nbuf_locator *locator) {
  return nbuf_native_layout(locator->dialect);
}

/* The address of an item of a known locator. */
static inline uintptr_t nbuf_locator_item(const nbuf_locator *locator, uint32_t index) {
  return nbuf_item_at(locator->base, nbuf_locator_layout(locator), index);
}

/* A bit for each item, in `sound` and `unusable`. */
static inline bool nbuf_locator_has_mark(const _Atomic uint32_t *marks, uint32_t index) {
  return (atomic_load_explicit(&marks[index / 32], memory_order_relaxed) >> index % 32 & 1) != 0;
}

static inline void nbuf_locator_mark(_Atomic uint32_t *marks, uint32_t index) {
  atomic_fetch_or_explicit(&marks[index / 32], UINT32_C(1) << index % 32, memory_order_relaxed);
}

/* Records that `count` items from `first` on are sound, since this module wrote them. */
static inline void nbuf_locator_mark_sound(nbuf_locator *locator, uint32_t first, uint32_t count) {
  for (uint32_t i = first; i < first + count; i++) {
    nbuf_locator_mark(locator->sound, i);
  }
}

/* Whether an item was found to be unusable, and is passed over. */
static inline bool nbuf_locator_is_passed_over(const nbuf_locator *locator, uint32_t index) {
  return nbuf_locator_has_mark(locator->unusable, index);
}

/* The number of items that it counts, at most its capacity; 0 if the dialect is not known. */
static inline uint32_t nbuf_locator_count(const nbuf_locator *locator) {
  if (locator->dialect == NEARBUF_DIALECT_UNKNOWN) {
    return 0;
  }
  const nbuf_layout *layout = nbuf_locator_layout(locator);
  uint32_t count = nbuf_format_count(locator->base, layout);
  return count > layout->capacity ? layout->capacity : count;
}

#endif
