/* Many modules with a copy of the library each place stubs of mixed sizes near functions of all of
 * them, and share what they get. Prints one line of JSON.
 *
 *   modules MODULE.so...   copies of one module under names of their own
 *
 * Sizes are 16 to 4096, small ones more often; targets follow Zipf's law: the first module is
 * hooked most, the n-th 1/n as often. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nearbuf/nearbuf.h>

#include "layout.h"
#include "module.h"

enum { STUBS = 20000, MOST_MODULES = 64, LARGEST = 4096 };

typedef struct stub {
  unsigned char *address;
  size_t size;
  const unsigned char *target;
} stub;

static module_place_type modules[MOST_MODULES];
static int module_count;
static uint64_t state = 1;

static uint32_t random_below(uint32_t limit) {
  state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(state >> 33) % limit;
}

static size_t random_size(void) {
  size_t size = 16;
  while (size < LARGEST && random_below(2) == 0) {
    size *= 2;
  }
  return size == LARGEST ? size : size + random_below((uint32_t)size);
}

static int random_module(void) {
  double sum = 0;
  for (int i = 0; i < module_count; i++) {
    sum += 1.0 / (i + 1);
  }
  double at = random_below(1 << 30) / (double)(1 << 30) * sum;
  int i = 0;
  for (; i + 1 < module_count && at > 1.0 / (i + 1); i++) {
    at -= 1.0 / (i + 1);
  }
  return i;
}

static void fail(const char *what) {
  fprintf(stderr, "modules: %s\n", what);
  exit(1);
}

static int by_address(const void *a, const void *b) {
  const stub *left = a;
  const stub *right = b;
  return left->address < right->address ? -1 : left->address > right->address;
}

static void verify(stub *stubs) {
  qsort(stubs, STUBS, sizeof *stubs, by_address);
  for (size_t i = 0; i < STUBS; i++) {
    const stub *it = &stubs[i];
    ptrdiff_t first = it->address - it->target;
    if (first > INT32_MAX - (ptrdiff_t)it->size || first < INT32_MIN + 64) {
      fail("memory out of reach");
    }
    if (i > 0 && stubs[i - 1].address + stubs[i - 1].size > it->address) {
      fail("two results overlap");
    }
    for (size_t j = 0; j < it->size; j++) {
      if (it->address[j] != (unsigned char)it->size) {
        fail("a result does not hold what was written to it");
      }
    }
  }
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(int argc, char **argv) {
  static stub stubs[STUBS];
  static unsigned char bytes[LARGEST];
  for (int i = 1; i < argc && i <= MOST_MODULES; i++) {
    void *module = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
    *(void **)&modules[module_count] = module == NULL ? NULL : dlsym(module, "module_place");
    if (modules[module_count++] == NULL) {
      fail("a module could not be loaded");
    }
  }
  bench_footprint before = bench_look();
  size_t asked = 0;
  double start = now();
  for (size_t i = 0; i < STUBS; i++) {
    stub *it = &stubs[i];
    it->size = random_size();
    memcpy(&it->target, &modules[random_module()], sizeof it->target);
    memset(bytes, (int)(unsigned char)it->size, it->size);
    it->address = modules[random_below((uint32_t)module_count)](it->target, bytes, it->size);
    if (it->address == NULL) {
      fail("nothing fits");
    }
    asked += it->size;
  }
  double end = now();
  bench_footprint after = bench_look();
  verify(stubs);
  size_t committed = after.bytes - before.bytes;
  printf("{\"modules_ns\": %.1f, \"asked_kib\": %zu, \"committed_kib\": %zu, "
         "\"used_share\": %.3f, \"mappings\": %zu}\n",
         (end - start) / STUBS, asked / 1024, committed / 1024, (double)asked / (double)committed,
         after.mappings - before.mappings);
  return 0;
}
