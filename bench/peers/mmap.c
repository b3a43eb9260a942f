/* What a program does without a library: parses the memory map for the nearest gap and maps whole
 * pages there, one mapping for each request. */
#include <stdio.h>
#include <sys/mman.h>

#include "../peer.h"

enum { PAGE = 4096 };

static uintptr_t distance(uintptr_t a, uintptr_t b) {
  return a < b ? b - a : a - b;
}

/* Keeps the nearer of the best start so far and the nearest in the gap [from, to). */
static void consider(uintptr_t target, uintptr_t from, uintptr_t to, size_t size, uintptr_t *best) {
  if (to < from || to - from < size) {
    return;
  }
  uintptr_t nearest = target & ~(uintptr_t)(PAGE - 1);
  nearest = nearest < from ? from : nearest > to - size ? to - size : nearest;
  if (*best == 0 || distance(nearest, target) < distance(*best, target)) {
    *best = nearest;
  }
}

static void *map(uintptr_t target, size_t size) {
  FILE *text = fopen("/proc/self/maps", "re");
  if (text == NULL) {
    return NULL;
  }
  size_t pages = (size + PAGE - 1) & ~(size_t)(PAGE - 1);
  uintptr_t best = 0;
  uintptr_t end_of_last = 0x10000;
  char line[512];
  unsigned long from;
  unsigned long to;
  while (fgets(line, sizeof line, text) != NULL && sscanf(line, "%lx-%lx", &from, &to) == 2) {
    consider(target, end_of_last, from, pages, &best);
    end_of_last = to;
  }
  fclose(text);
  if (best == 0) {
    return NULL;
  }
  void *got = mmap((void *)best, pages, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  return got == MAP_FAILED ? NULL : got;
}

static void unmap(void *memory, size_t size) {
  (void)munmap(memory, (size + PAGE - 1) & ~(size_t)(PAGE - 1));
}

const bench_peer_type bench_peer = {
    .name = "mmap",
    .is_near = true,
    .is_executable = true,
    .allocate = map,
    .map = map,
    .unmap = unmap,
};
