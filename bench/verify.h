/* Every run verifies its results. A failure ends the program with status 1: the timing of a wrong
 * result is worthless. */
#ifndef BENCH_VERIFY_H
#define BENCH_VERIFY_H

#include <stddef.h>

typedef struct bench_results {
  void **addresses;
  size_t count;
  size_t size; /* of each */
} bench_results;

/* The bytes that stub number `index` must hold; when executed they return. */
enum { BENCH_STUB_SIZE = 64 };
void bench_stub(unsigned char stub[BENCH_STUB_SIZE], size_t index);

/* Wholly within reach, where the peer promises it; no overlap; writable to the last byte; stubs
 * that run, where the peer promises it. `are_placed`: the stubs are there already. */
void bench_verify(const bench_results *results, int are_placed);

__attribute__((noreturn)) void bench_fail(const char *what);

#endif
