/* The Rust implementation, reloaded-memory-buffers 4.1.0, through its C exports. run.py builds it
 * with cargo and passes the path of the library in BENCH_REFERENCE. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "../peer.h"

/* The part of its C interface that is used here (src/c/ of the crate). */
typedef struct search_settings {
  size_t min_address;
  size_t max_address;
  uint32_t size;
} search_settings;

typedef struct allocator_settings {
  size_t min_address;
  size_t max_address;
  uint32_t size;
  uint32_t process_id;
  int32_t retry_count;
  bool brute_force;
} allocator_settings;

typedef struct item {
  uint32_t base_low;
  uint32_t base_high;
  uint32_t size;
  uint32_t position;
  int32_t is_taken;
} item;

typedef struct get_result {
  bool is_ok;
  item *ok;
  const char *error;
} get_result;

typedef struct private_allocation {
  void *base;
  size_t size;
  uint32_t process_id;
} private_allocation;

typedef struct allocation_result {
  bool is_ok;
  private_allocation ok;
  const char *error;
} allocation_result;

static struct {
  get_result (*get)(const search_settings *settings);
  void (*release)(item *item);
  size_t (*append)(item *item, const void *bytes, size_t size);
  search_settings (*settings)(size_t proximity, size_t target, size_t size);
  allocation_result (*allocate)(allocator_settings *settings);
  allocator_settings (*allocator_settings)(size_t proximity, size_t target, size_t size);
  void (*free)(private_allocation allocation);
} reference;

static const char *start(void) {
  const char *path = getenv("BENCH_REFERENCE");
  void *library = path == NULL ? NULL : dlopen(path, RTLD_NOW);
  if (library == NULL) {
    return "the reference was not built: it needs cargo and the crate registry";
  }
  static const struct {
    const char *name;
    void *slot;
  } names[] = {
      {"buffers_get_buffer", &reference.get},
      {"free_locator_item", &reference.release},
      {"locatoritem_append_bytes", &reference.append},
      {"buffersearchsettings_from_proximity", &reference.settings},
      {"buffers_allocate_private_memory", &reference.allocate},
      {"bufferallocatorsettings_from_proximity", &reference.allocator_settings},
      {"free_private_allocation", &reference.free},
  };
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    *(void **)names[i].slot = dlsym(library, names[i].name);
    if (*(void **)names[i].slot == NULL) {
      return "the reference lacks a C export";
    }
  }
  return NULL;
}

static const search_settings *settings_for(uintptr_t target, size_t size) {
  static search_settings settings;
  static uintptr_t made_for;
  if (made_for != target || settings.size != size) {
    made_for = target;
    settings = reference.settings(BENCH_REACH, target, size);
  }
  return &settings;
}

static void *room_of(const item *held) {
  uint64_t base = (uint64_t)held->base_high << 32 | held->base_low;
  return (void *)(uintptr_t)(base + held->position);
}

/* Room without touching it: the position is a word of the format. */
static void *allocate(uintptr_t target, size_t size) {
  get_result got = reference.get(settings_for(target, size));
  if (!got.is_ok) {
    return NULL;
  }
  void *room = room_of(got.ok);
  got.ok->position += (uint32_t)size;
  reference.release(got.ok);
  return room;
}

static void *place(uintptr_t target, const void *bytes, size_t size) {
  get_result got = reference.get(settings_for(target, size));
  if (!got.is_ok) {
    return NULL;
  }
  void *placed = (void *)reference.append(got.ok, bytes, size);
  reference.release(got.ok);
  return placed;
}

static private_allocation last_mapped;

static void *map(uintptr_t target, size_t size) {
  allocator_settings settings = reference.allocator_settings(BENCH_REACH, target, size);
  allocation_result result = reference.allocate(&settings);
  last_mapped = result.ok;
  return result.is_ok ? result.ok.base : NULL;
}

static void unmap(void *memory, size_t size) {
  (void)memory;
  (void)size;
  reference.free(last_mapped);
}

static bool get_and_release(size_t count) {
  search_settings settings = reference.settings(BENCH_REACH, bench_own_code, 4096);
  for (size_t i = 0; i < count; i++) {
    get_result got = reference.get(&settings);
    if (!got.is_ok) {
      return false;
    }
    reference.release(got.ok);
  }
  return true;
}

static double append_16(size_t count) {
  const unsigned char bytes[16] = {0xc3};
  search_settings settings = reference.settings(BENCH_REACH, bench_own_code, sizeof bytes * count);
  get_result got = reference.get(&settings);
  if (!got.is_ok) {
    return -1;
  }
  memset(room_of(got.ok), 0, sizeof bytes * count);
  double start = bench_now();
  for (size_t i = 0; i < count; i++) {
    (void)reference.append(got.ok, bytes, sizeof bytes);
  }
  double end = bench_now();
  reference.release(got.ok);
  return end - start;
}

static void *hold(void) {
  get_result got = reference.get(settings_for(bench_own_code, 4096));
  return got.is_ok ? room_of(got.ok) : NULL;
}

const bench_peer_type bench_peer = {
    .name = "reference",
    .is_near = true,
    .is_executable = true,
    .start = start,
    .allocate = allocate,
    .place = place,
    .map = map,
    .unmap = unmap,
    .get_and_release = get_and_release,
    .append_16 = append_16,
    .hold = hold,
};
