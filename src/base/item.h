/* Items of a live locator: how one is named, locked and read.
 *
 * An item holds the lock, the size and the used bytes of one buffer. Modules and processes change
 * it at the same time. `taken` is a lock word that is tried, never waited for. Only its holder may
 * store the position; base and size never change. format.h has the copy of an item and its checks.
 *
 * Functions with `is_rust` compute the offsets of the fields, for items of this process on the fast
 * path. Functions with a layout are for processes of any width. */
#ifndef NBUF_ITEM_H
#define NBUF_ITEM_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "base/format.h"

/* ---- References ------------------------------------------------------------------------------ */

/* The address of an item of this process, plus 1 if it has the layout of the Rust implementation.
 * Items are aligned to 4 bytes. */
typedef uintptr_t nbuf_item_ref;

enum {
  NBUF_ITEM_REF_RUST = 1,
  NBUF_ITEM_REF_TAGS = 3 /* the other bit is free for the holder of the item */
};

static inline nbuf_item_ref nbuf_item_ref_of(uintptr_t item, const nbuf_layout *layout) {
  return item | (layout->dialect == NEARBUF_DIALECT_RUST ? NBUF_ITEM_REF_RUST : 0);
}

static inline bool nbuf_item_ref_is_rust(nbuf_item_ref ref) {
  return (ref & NBUF_ITEM_REF_RUST) != 0;
}

static inline uintptr_t nbuf_item_ref_address(nbuf_item_ref ref) {
  return ref & ~(uintptr_t)NBUF_ITEM_REF_TAGS;
}

/* ---- Items of this process ------------------------------------------------------------------- */

static inline uintptr_t nbuf_item_taken_word(uintptr_t item, bool is_rust) {
  return item + NBUF_TAKEN_AT(sizeof(uintptr_t), is_rust);
}

static inline uintptr_t nbuf_item_size_word(uintptr_t item, bool is_rust) {
  return item + NBUF_SIZE_AT(sizeof(uintptr_t), is_rust);
}

static inline uintptr_t nbuf_item_position_word(uintptr_t item, bool is_rust) {
  return item + NBUF_POSITION_AT(sizeof(uintptr_t), is_rust);
}

/* The base of an item that is known to be complete. It never changes, and is read in one access. */
static inline uintptr_t nbuf_item_base(uintptr_t item) {
  uintptr_t base;
  memcpy(&base, (const void *)item, sizeof base);
  return nbuf_little_address(base);
}

NBUF_FORCEINLINE uint32_t nbuf_item_size(uintptr_t item, bool is_rust) {
  return nbuf_shared_load_relaxed(nbuf_item_size_word(item, is_rust));
}

NBUF_FORCEINLINE uint32_t nbuf_item_position(uintptr_t item, bool is_rust) {
  return nbuf_shared_load_relaxed(nbuf_item_position_word(item, is_rust));
}

/* Whether the sum of a base and a position wrapped around. Other modules store positions, and one
 * can lie far behind the size; only where addresses have 32 bits can the sum be too large. */
NBUF_FORCEINLINE bool nbuf_item_is_wrapped(uintptr_t base, uintptr_t free_from) {
  return sizeof base == sizeof(uint32_t) && free_from < base;
}

NBUF_FORCEINLINE void nbuf_item_set_position(uintptr_t item, bool is_rust, uint32_t position) {
  nbuf_shared_store_relaxed(nbuf_item_position_word(item, is_rust), position);
}

/* Never waits. On success it synchronises with the release by the last holder. */
NBUF_FORCEINLINE bool nbuf_item_try_lock(uintptr_t item, bool is_rust) {
  return nbuf_shared_lock_acquire(nbuf_item_taken_word(item, is_rust));
}

NBUF_FORCEINLINE void nbuf_item_unlock(uintptr_t item, bool is_rust) {
  nbuf_shared_unlock_release(nbuf_item_taken_word(item, is_rust));
}

/* ---- Items of a process of any width --------------------------------------------------------- */

static inline bool nbuf_item_try_lock_in(uintptr_t item, const nbuf_layout *layout) {
  return nbuf_shared_lock_acquire(item + layout->taken);
}

static inline void nbuf_item_unlock_in(uintptr_t item, const nbuf_layout *layout) {
  nbuf_shared_unlock_release(item + layout->taken);
}

#endif
