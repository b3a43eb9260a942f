/* The compiler extensions that this library uses beyond C17. Ports use others of their system. */
#ifndef NBUF_COMPILER_H
#define NBUF_COMPILER_H

#include <stdint.h>

/* For the fast path, which is compiled once for each item layout. */
#define NBUF_FORCEINLINE static inline __attribute__((always_inline))

/* Keeps a function out of the fast path, so that the fast path's values stay in registers. */
#define NBUF_NOINLINE __attribute__((noinline))
#define NBUF_COLD __attribute__((noinline, cold))

/* For a structure that is stored in a byte array of the caller. */
#define NBUF_MAY_ALIAS __attribute__((may_alias))

static inline uint32_t nbuf_swap_32(uint32_t value) {
  return __builtin_bswap32(value);
}

static inline uint64_t nbuf_swap_64(uint64_t value) {
  return __builtin_bswap64(value);
}

/* The index of the highest bit that is set. `value` must not be 0. */
static inline uint32_t nbuf_highest_bit(uint32_t value) {
  return 31 - (uint32_t)__builtin_clz(value);
}

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define NBUF_IS_BIG_ENDIAN 1
#else
#define NBUF_IS_BIG_ENDIAN 0
#endif

/* Two words that one instruction stores. */
typedef uint64_t nbuf_two_words __attribute__((vector_size(16)));

#endif
