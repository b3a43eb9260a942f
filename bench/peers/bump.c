/* Lower bounds: a bump pointer in areas of 64 KiB near the code, as in LuaJIT, which is the least
 * that a placement can cost; a bare compare-and-swap with a store on one cache line, the least that
 * acquire and release can cost; and the two system calls of a region at an address known to be
 * free. Nothing here synchronises threads. */
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "../peer.h"

enum { AREA = 64 << 10 };

static unsigned char *free_from;
static unsigned char *area_end;

/* Areas follow each other upwards from the end of the program, skipping what is occupied. */
static bool next_area(uintptr_t target) {
  static uintptr_t next;
  next = next == 0 ? (target & ~(uintptr_t)(AREA - 1)) + AREA : next;
  for (uintptr_t last = next + (BENCH_REACH >> 1); next < last; next += AREA) {
    void *got = mmap((void *)next, AREA, PROT_READ | PROT_WRITE | PROT_EXEC,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != MAP_FAILED) {
      free_from = got;
      area_end = free_from + AREA;
      next += AREA;
      return true;
    }
  }
  return false;
}

static void *allocate(uintptr_t target, size_t size) {
  if ((size_t)(area_end - free_from) < size && !next_area(target)) {
    return NULL;
  }
  void *room = free_from;
  free_from += size;
  return room;
}

static void *map(uintptr_t target, size_t size) {
  static unsigned char *place;
  if (place == NULL) {
    if (!next_area(target)) {
      return NULL;
    }
    place = free_from;
    free_from = area_end; /* nothing is allocated there */
    (void)munmap(place, AREA);
  }
  void *got = mmap(place, size, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  return got == MAP_FAILED ? NULL : got;
}

static void unmap(void *memory, size_t size) {
  (void)munmap(memory, size);
}

static bool get_and_release(size_t count) {
  _Alignas(128) _Atomic uint32_t word = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t free_word = 0;
    if (!atomic_compare_exchange_strong_explicit(&word, &free_word, 1, memory_order_acquire,
                                                 memory_order_relaxed)) {
      return false;
    }
    atomic_store_explicit(&word, 0, memory_order_release);
  }
  return true;
}

static double append_16(size_t count) {
  const unsigned char bytes[16] = {0xc3};
  unsigned char *room = allocate(bench_own_code, sizeof bytes * count);
  if (room == NULL) {
    return -1;
  }
  memset(room, 0, sizeof bytes * count);
  double start = bench_now();
  for (size_t i = 0; i < count; i++) {
    memcpy(room + sizeof bytes * i, bytes, sizeof bytes);
  }
  return bench_now() - start;
}

const bench_peer_type bench_peer = {
    .name = "bump",
    .is_near = true,
    .is_executable = true,
    .allocate = allocate,
    .map = map,
    .unmap = unmap,
    .get_and_release = get_and_release,
    .append_16 = append_16,
};
