/* Which items have cache lines of their own. */
#ifndef NB_UNSHARED_H
#define NB_UNSHARED_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of a cache line: what two threads must not share. */
#if defined(__s390x__)
enum { NB_CACHE_LINE = 256 };
#elif defined(__powerpc64__) || (defined(__APPLE__) && defined(__aarch64__))
enum { NB_CACHE_LINE = 128 };
#else
enum { NB_CACHE_LINE = 64 };
#endif

/* On neighbouring items, which share a line, two threads run at 0.2 to 1.1 times the speed of one
 * thread, without ever seeing a failed exchange; where lines have 64 bytes, processors fetch them in
 * pairs, and on two lines of a pair they run at half the speed (measured). Items with this index
 * modulo the stride never share a pair with each other or with the header: the first is the first
 * that starts behind the header's. (Header and items have 24 and 20 bytes in 64 bits, 16 and 16 in
 * 32: format.h.) */
enum {
  NB_FALSE_SHARING_RANGE = NB_CACHE_LINE < 128 ? 128 : NB_CACHE_LINE,
  NB_UNSHARED_STRIDE = NB_FALSE_SHARING_RANGE / 16,
  NB_UNSHARED_INDEX = sizeof(uintptr_t) == 8 ? (NB_FALSE_SHARING_RANGE - 24 + 19) / 20
                                             : (NB_FALSE_SHARING_RANGE - 16) / 16
};

static inline bool nb_is_unshared_slot(uint32_t index) {
  return index % NB_UNSHARED_STRIDE == NB_UNSHARED_INDEX;
}

#endif
