/* The memory maps that the work is done in. */
#ifndef BENCH_LAYOUT_H
#define BENCH_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

/* Adds `count` mappings of a page, at random within 2 GiB of the code. The same on every run. */
void bench_scatter(uintptr_t code, size_t count);

/* Fills every gap around the code with mappings that do not merge, `count` of them. */
void bench_build_wall(uintptr_t code, size_t count);

/* What the process has mapped that can be written and run: bytes and mappings. */
typedef struct bench_footprint {
  size_t bytes;
  size_t mappings;
} bench_footprint;

bench_footprint bench_look(void);

#endif
