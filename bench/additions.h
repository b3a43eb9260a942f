/* A loop of additions that touches no memory: it takes longer where the host runs something else on
 * the other half of the processor's core. Samples are bracketed by it (docs/performance.md). */
#ifndef NEARBUF_BENCH_ADDITIONS_H
#define NEARBUF_BENCH_ADDITIONS_H

#include <stdint.h>

static inline void bench_add(uintptr_t count) {
  uintptr_t sum = 0;
  for (uintptr_t i = 0; i < count; i++) {
    __asm__ volatile("" : "+r"(sum) : "r"(i));
    sum += i;
  }
}

#endif
