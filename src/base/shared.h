/* Words that other modules and processes read and write at the same time.
 *
 * They are little-endian on every machine and aligned to 4 bytes only: every second address field
 * of a 64-bit locator lies at an address that is 4 modulo 8, so it is read as two words. That is
 * safe, since an address is complete before the count that makes it visible is stored, and never
 * changes later. The memory order of every access is in the name of the function; a release names
 * its acquire. */
#ifndef NBUF_SHARED_H
#define NBUF_SHARED_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

static_assert(ATOMIC_INT_LOCK_FREE == 2, "a lock in shared memory must be lock-free");
static_assert(sizeof(_Atomic uint32_t) == 4, "an atomic word has the size of the word");
static_assert(ATOMIC_POINTER_LOCK_FREE == 2, "the link of a chain must be lock-free");
static_assert(sizeof(_Atomic uintptr_t) == sizeof(uintptr_t), "an atomic address has its size");

static inline uint32_t nbuf_little_32(uint32_t value) {
  return NBUF_IS_BIG_ENDIAN ? nbuf_swap_32(value) : value;
}

static inline uintptr_t nbuf_little_address(uintptr_t value) {
  if (!NBUF_IS_BIG_ENDIAN) {
    return value;
  }
  return sizeof value == 8 ? (uintptr_t)nbuf_swap_64(value) : nbuf_swap_32((uint32_t)value);
}

static inline _Atomic uint32_t *nbuf_shared_word(uintptr_t address) {
  return (_Atomic uint32_t *)address;
}

static inline uint32_t nbuf_shared_load_relaxed(uintptr_t address) {
  return nbuf_little_32(atomic_load_explicit(nbuf_shared_word(address), memory_order_relaxed));
}

static inline uint32_t nbuf_shared_load_acquire(uintptr_t address) {
  return nbuf_little_32(atomic_load_explicit(nbuf_shared_word(address), memory_order_acquire));
}

static inline void nbuf_shared_store_relaxed(uintptr_t address, uint32_t value) {
  atomic_store_explicit(nbuf_shared_word(address), nbuf_little_32(value), memory_order_relaxed);
}

static inline void nbuf_shared_store_release(uintptr_t address, uint32_t value) {
  atomic_store_explicit(nbuf_shared_word(address), nbuf_little_32(value), memory_order_release);
}

/* Tries to take a lock word, changing it from 0 to 1. Pairs with nbuf_shared_unlock_release. */
static inline bool nbuf_shared_lock_acquire(uintptr_t address) {
  uint32_t free_word = 0;
  return atomic_compare_exchange_strong_explicit(nbuf_shared_word(address), &free_word,
                                                 nbuf_little_32(1), memory_order_acquire,
                                                 memory_order_relaxed);
}

/* Releases a lock word. Pairs with nbuf_shared_lock_acquire. */
static inline void nbuf_shared_unlock_release(uintptr_t address) {
  atomic_store_explicit(nbuf_shared_word(address), 0, memory_order_release);
}

/* A count byte of a header. The release makes items visible to nbuf_shared_count_acquire. */
static inline uint32_t nbuf_shared_count_acquire(uintptr_t address) {
  return atomic_load_explicit((_Atomic uint8_t *)address, memory_order_acquire);
}

static inline void nbuf_shared_count_release(uintptr_t address, uint32_t count) {
  atomic_store_explicit((_Atomic uint8_t *)address, (uint8_t)count, memory_order_release);
}

/* An address field of `width` bytes, 4 or 8, of this process or in a copy of another one's
 * memory. */
static inline uint64_t nbuf_shared_address_relaxed(uintptr_t address, uint32_t width) {
  uint64_t low = nbuf_shared_load_relaxed(address);
  return width == 8 ? low | (uint64_t)nbuf_shared_load_relaxed(address + 4) << 32 : low;
}

/* The same. A thread that reads what nbuf_shared_address_store_release stored sees all stores
 * before it. */
static inline uint64_t nbuf_shared_address_acquire(uintptr_t address, uint32_t width) {
  uint64_t low = nbuf_shared_load_acquire(address);
  return width == 8 ? low | (uint64_t)nbuf_shared_load_acquire(address + 4) << 32 : low;
}

/* A thread that sees any part of the address sees all stores before it. */
static inline void nbuf_shared_address_store_release(uintptr_t address, uint32_t width,
                                                     uint64_t value) {
  nbuf_shared_store_release(address, (uint32_t)value);
  if (width == 8) {
    nbuf_shared_store_release(address + 4, (uint32_t)(value >> 32));
  }
}

/* The link to the next locator. It is aligned, so one access reads it; it is set once, from 0. */
static inline uintptr_t nbuf_shared_link_acquire(uintptr_t address) {
  return nbuf_little_address(
      atomic_load_explicit((_Atomic uintptr_t *)address, memory_order_acquire));
}

static inline bool nbuf_shared_link_set_release(uintptr_t address, uintptr_t next) {
  uintptr_t none = 0;
  return atomic_compare_exchange_strong_explicit((_Atomic uintptr_t *)address, &none,
                                                 nbuf_little_address(next), memory_order_acq_rel,
                                                 memory_order_acquire);
}

#endif
