/* Unshared slots: slots of a locator whose cache lines hold no other unshared slot and not the
 * header. Threads that contend use them. In 64 bits, where lines of 64 bytes are fetched in pairs:
 *
 *    0      24   44                144   164             304   324             464   484
 *   | header | 0  | 1  | ... | 5    |  6  |  7  | ... 13 | 14  | 15  | ... 21   | 22  | ...
 *    '--- pair at 0 ------'  '------ pair at 128 ---'  '------ pair at 256 ---'  '---- at 384 ...
 *                                  unshared             unshared              unshared */
#ifndef NBUF_UNSHARED_H
#define NBUF_UNSHARED_H

#include <stdbool.h>
#include <stdint.h>

/* The bytes of a cache line, which two threads must not share. */
#if defined(__s390x__)
enum { NBUF_CACHE_LINE = 256 };
#elif defined(__powerpc64__) || (defined(__APPLE__) && defined(__aarch64__))
enum { NBUF_CACHE_LINE = 128 };
#else
enum { NBUF_CACHE_LINE = 64 };
#endif

/* Two threads on neighbouring items, which share a line, run at 0.2 to 1.1 times the speed of one
 * thread, although no exchange ever fails. Processors with lines of 64 bytes fetch them in pairs,
 * and on the two lines of a pair threads run at half the speed (measured). Items with this index
 * modulo the stride never share a pair with each other or with the header: the first of them is the
 * first item that starts behind the header's pair. (Header and item have 24 and 20 bytes in 64
 * bits, 16 and 16 in 32 bits: format.h.) */
enum {
  NBUF_FALSE_SHARING_RANGE = NBUF_CACHE_LINE < 128 ? 128 : NBUF_CACHE_LINE,
  NBUF_UNSHARED_STRIDE = NBUF_FALSE_SHARING_RANGE / 16,
  NBUF_UNSHARED_INDEX = sizeof(uintptr_t) == 8 ? (NBUF_FALSE_SHARING_RANGE - 24 + 19) / 20
                                               : (NBUF_FALSE_SHARING_RANGE - 16) / 16
};

static inline bool nbuf_is_unshared_slot(uint32_t index) {
  return index % NBUF_UNSHARED_STRIDE == NBUF_UNSHARED_INDEX;
}

#endif
