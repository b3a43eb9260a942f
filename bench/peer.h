/* What the benchmarks want of a library. Each peer is one executable: a file that defines
 * `bench_peer`, and main.c, which does the measuring and verifies what it got.
 *
 * What a peer cannot do it leaves out (null); the workload is then reported as missing. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bench_peer_type {
  const char *name;
  bool is_near;       /* its memory lies within reach of the target; verified */
  bool is_executable; /* its memory can be run where it lies; verified */

  /* Prepares the peer, without a first allocation. Returns null, or why it cannot be measured. */
  const char *(*start)(void);

  /* Permanent room near the target, readable and writable, untouched. Null: there is none. */
  void *(*allocate)(uintptr_t target, size_t size);

  /* Puts bytes near the target; null stands for allocate and memcpy. */
  void *(*place)(uintptr_t target, const void *bytes, size_t size);

  /* Whole pages near the target, and their end. */
  void *(*map)(uintptr_t target, size_t size);
  void (*unmap)(void *memory, size_t size);

  /* Gets a buffer of 4096 bytes and releases it, `count` times: the loop is in the peer, so that no
   * indirect call is measured. Any number of threads at once. */
  bool (*get_and_release)(size_t count);

  /* Appends 16 bytes to a held buffer, `count` times, over pages that were touched before. The
   * nanoseconds all of it took, by bench_now; below 0: refused. */
  double (*append_16)(size_t count);

  /* Gets one more buffer of 4096 bytes and keeps it held. Returns its room; null: there is none. */
  void *(*hold)(void);
} bench_peer_type;

extern const bench_peer_type bench_peer;

/* A clock. */
static inline double bench_now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* The code that all memory should be near to. */
extern const uintptr_t bench_own_code;

/* The reach of a 5-byte jump, minus the size that a region may have. */
enum { BENCH_REACH = 0x7fff0000 };

#ifdef __cplusplus
}
#endif

#endif
