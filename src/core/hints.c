/* Where each thread starts looking; see hints.h. */
#include "core/hints.h"

/* The first used slot at or after `from`; NBUF_HINT_SLOTS: none. */
static uint32_t next_used(nbuf_hints *hints, uint32_t from) {
  while (from < NBUF_HINT_SLOTS) {
    uint32_t used = atomic_load_explicit(&hints->used[from / 32], memory_order_relaxed);
    if ((used >> from % 32 & 1) != 0) {
      return from;
    }
    from += used >> from % 32 == 0 ? 32 - from % 32 : 1;
  }
  return NBUF_HINT_SLOTS;
}

bool nbuf_hints_elsewhere(nbuf_hints *hints, const nbuf_hint *mine, uintptr_t item) {
  for (uint32_t i = next_used(hints, 0); i < NBUF_HINT_SLOTS; i = next_used(hints, i + 1)) {
    const nbuf_hint *slot = &hints->slots[i];
    if (slot != mine && nbuf_hint_item(slot) == item) {
      return true;
    }
  }
  return false;
}

/* The pair of lines in which a byte lies. */
static uintptr_t pair_of(uintptr_t address) {
  return address / NBUF_FALSE_SHARING_RANGE;
}

bool nbuf_hints_crowd(nbuf_hints *hints, const nbuf_hint *mine, uintptr_t item) {
  enum { LAST_BYTE = sizeof(uintptr_t) + 12 - 1 };
  atomic_thread_fence(memory_order_seq_cst); /* orders the store to `mine` before these loads */
  for (uint32_t i = next_used(hints, 0); i < NBUF_HINT_SLOTS; i = next_used(hints, i + 1)) {
    const nbuf_hint *slot = &hints->slots[i];
    uintptr_t other = nbuf_item_ref_address(nbuf_hint_item(slot));
    if (slot != mine && other != 0 && other != item &&
        pair_of(other) <= pair_of(item + LAST_BYTE) &&
        pair_of(other + LAST_BYTE) >= pair_of(item)) {
      return true;
    }
  }
  return false;
}
