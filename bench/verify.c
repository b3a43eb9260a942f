/* Verification; see verify.h. */
#include "verify.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

#if defined(__x86_64__) || defined(__i386__)
static const unsigned char return_code[4] = {0xc3, 0xcc, 0xcc, 0xcc};
#elif defined(__aarch64__)
static const unsigned char return_code[4] = {0xc0, 0x03, 0x5f, 0xd6};
#else
#error "the code of a function that does nothing is needed"
#endif

void bench_fail(const char *what) {
  fprintf(stderr, "%s: %s\n", bench_peer.name, what);
  exit(1);
}

void bench_stub(unsigned char stub[BENCH_STUB_SIZE], size_t index) {
  memset(stub, (int)(index % 251), BENCH_STUB_SIZE);
  memcpy(stub, return_code, sizeof return_code);
  memcpy(stub + 8, &index, sizeof index);
}

static void run(void *code) {
  void (*function)(void);
  __builtin___clear_cache((char *)code, (char *)code + BENCH_STUB_SIZE);
  memcpy(&function, &code, sizeof function);
  function();
}

static int by_address(const void *a, const void *b) {
  uintptr_t left = (uintptr_t) * (void *const *)a;
  uintptr_t right = (uintptr_t) * (void *const *)b;
  return left < right ? -1 : left > right;
}

static void check_places(const bench_results *results) {
  void **sorted = malloc(results->count * sizeof *sorted);
  memcpy(sorted, results->addresses, results->count * sizeof *sorted);
  qsort(sorted, results->count, sizeof *sorted, by_address);
  for (size_t i = 0; i < results->count; i++) {
    uintptr_t first = (uintptr_t)sorted[i];
    uintptr_t last = first + results->size - 1;
    uintptr_t reach = UINT32_C(0x80000000) - 64;
    if (bench_peer.is_near && (last > bench_own_code + reach || first + reach < bench_own_code)) {
      bench_fail("memory out of reach");
    }
    if (i > 0 && first - (uintptr_t)sorted[i - 1] < results->size) {
      bench_fail("two results overlap");
    }
  }
  free(sorted);
}

void bench_verify(const bench_results *results, int are_placed) {
  unsigned char stub[BENCH_STUB_SIZE];
  check_places(results);
  for (size_t i = 0; i < results->count && !are_placed; i++) {
    unsigned char *memory = results->addresses[i];
    memory[results->size - 1] = 1;
    bench_stub(stub, i);
    memcpy(memory, stub, sizeof stub);
  }
  for (size_t i = 0; i < results->count; i++) {
    bench_stub(stub, i);
    if (memcmp(results->addresses[i], stub, sizeof stub) != 0) {
      bench_fail("a result does not hold what was written to it");
    }
    if (bench_peer.is_executable) {
      run(results->addresses[i]);
    }
  }
}
