/* Whether memory is mapped; see probe.h. */
#include "core/probe.h"

#include "os/os.h"

enum { LOOKS_AGAIN = 20 };

/* What the memory is used for; each use needs what the one before it needs, and more. */
typedef enum memory_use { USE_CONSTANTS, USE_DATA, USE_CODE, USE_PRIVATE_CODE } memory_use;

static bool allows(const nbuf_map *map, const nbuf_mapping *mapping, memory_use use) {
  bool is_private = !mapping->shared && mapping->inode == 0;
  bool is_told_to_run = mapping->executable || !map->tells_execution;
  return mapping->readable && (mapping->writable || use < USE_DATA) &&
         (is_told_to_run || use < USE_CODE) && (is_private || use != USE_PRIVATE_CODE);
}

static nbuf_result look(uintptr_t start, uintptr_t size, memory_use use) {
  nbuf_map map;
  nbuf_os_call call = nbuf_os_call_begin();
  nbuf_result result = nbuf_os_map_open(&map, false);
  uintptr_t last = start + (size - 1);
  uintptr_t from = start;
  while (result.status == NEARBUF_OK) {
    nbuf_mapping mapping;
    nbuf_map_answer answer = nbuf_os_map_next(&map, from, &mapping);
    if (answer == NBUF_MAP_FAILED) {
      result = nbuf_result_system(NEARBUF_SYSTEM_ERROR, map.system_error);
    } else if (answer == NBUF_MAP_END || mapping.range.min > from) {
      result = nbuf_result_of(NEARBUF_NOT_FOUND);
    } else if (!allows(&map, &mapping, use)) {
      result = nbuf_result_of(NEARBUF_INCOMPATIBLE);
    } else if (mapping.range.max >= last) {
      break;
    } else {
      from = mapping.range.max + 1;
    }
  }
  nbuf_os_map_close(&map);
  nbuf_os_call_end(call);
  return result;
}

static nbuf_result look_patiently(uintptr_t start, uintptr_t size, memory_use use) {
  nbuf_result result = look(start, size, use);
  /* While a thread maps something beside a mapping, qemu 7.2 omits the mapping from the map for a
   * moment. */
  for (int again = 0; again < LOOKS_AGAIN && result.status == NEARBUF_NOT_FOUND; again++) {
    nbuf_os_pause();
    result = look(start, size, use);
  }
  return result;
}

static nbuf_result check(uintptr_t start, uintptr_t size, memory_use use) {
  nbuf_result result = look_patiently(start, size, use);
  return result.status == NEARBUF_INCOMPATIBLE ? nbuf_result_of(NEARBUF_NOT_FOUND) : result;
}

nbuf_result nbuf_probe_readable(uintptr_t start, uintptr_t size) {
  return check(start, size, USE_CONSTANTS);
}

nbuf_result nbuf_probe_writable(uintptr_t start, uintptr_t size) {
  return check(start, size, USE_DATA);
}

nbuf_result nbuf_probe_private_code(uintptr_t start, uintptr_t size) {
  return check(start, size, USE_PRIVATE_CODE);
}

nbuf_result nbuf_probe_buffer(uintptr_t start, uintptr_t size) {
  return look_patiently(start, size, USE_CODE);
}
