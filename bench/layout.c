/* The memory maps that the work is done in; see layout.h. */
#include "layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "peer.h"

enum { PAGE = 4096 };

static int map_page(uintptr_t address, int protection) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
  void *got = mmap((void *)address, PAGE, protection, flags, -1, 0);
  return got != MAP_FAILED;
}

void bench_scatter(uintptr_t code, size_t count) {
  uint64_t state = 1;
  while (count > 0) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uintptr_t offset = (uintptr_t)(state >> 20) % (2 * (uintptr_t)BENCH_REACH);
    uintptr_t address = (code - BENCH_REACH + offset) & ~(uintptr_t)(PAGE - 1);
    count -= map_page(address, PROT_NONE) ? 1 : 0;
  }
}

/* Adjacent mappings get different protections, so that the kernel does not merge them. */
void bench_build_wall(uintptr_t code, size_t count) {
  uintptr_t up = code & ~(uintptr_t)(PAGE - 1);
  uintptr_t down = up;
  for (size_t turn = 0; count > 0; turn++) {
    int protection = (turn / 2) % 2 == 0 ? PROT_NONE : PROT_READ;
    uintptr_t address = turn % 2 == 0 ? (up += PAGE) : (down -= PAGE);
    count -= map_page(address, protection) ? 1 : 0;
  }
}

bench_footprint bench_look(void) {
  bench_footprint sum = {0, 0};
  FILE *text = fopen("/proc/self/maps", "re");
  char line[512];
  while (text != NULL && fgets(line, sizeof line, text) != NULL) {
    unsigned long from;
    unsigned long to;
    char rights[5];
    if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) == 3 && rights[1] == 'w' &&
        rights[2] == 'x') {
      sum.bytes += to - from;
      sum.mappings++;
    }
  }
  if (text != NULL) {
    fclose(text);
  }
  return sum;
}
