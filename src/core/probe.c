/* Whether memory is there; see mapped.h. */
#include "core/probe.h"

#include "os/os.h"

enum { LOOKS_AGAIN = 20 };

typedef enum memory_use { USE_DATA, USE_CODE, USE_PRIVATE_CODE } memory_use;

/* A map that is read as a text can be an emulator's, and qemu's shows neighbours that differ in being
 * executable as one: only a system that answers questions is believed about that. */
static bool allows(const nb_map *map, const nb_mapping *mapping, memory_use use) {
  bool is_private = !mapping->shared && mapping->inode == 0;
  bool is_told_to_run = mapping->executable || !map->is_cheap_anywhere;
  return mapping->readable && mapping->writable && (is_told_to_run || use == USE_DATA) &&
         (is_private || use != USE_PRIVATE_CODE);
}

static nb_outcome look(uintptr_t start, uintptr_t size, memory_use use) {
  nb_map map;
  nb_os_guard guard = nb_os_enter();
  nb_outcome outcome = nb_os_map_open(&map, false);
  uintptr_t last = start + (size - 1);
  uintptr_t from = start;
  while (outcome.status == NEARBUF_OK) {
    nb_mapping mapping;
    nb_map_answer answer = nb_os_map_next(&map, from, &mapping);
    if (answer == NB_MAP_FAILED) {
      outcome = nb_outcome_system(NEARBUF_SYSTEM_ERROR, map.system_error);
    } else if (answer == NB_MAP_END || mapping.range.min > from) {
      outcome = nb_outcome_of(NEARBUF_NOT_FOUND);
    } else if (!allows(&map, &mapping, use)) {
      outcome = nb_outcome_of(NEARBUF_INCOMPATIBLE);
    } else if (mapping.range.max >= last) {
      break;
    } else {
      from = mapping.range.max + 1;
    }
  }
  nb_os_map_close(&map);
  nb_os_leave(guard);
  return outcome;
}

static nb_outcome look_patiently(uintptr_t start, uintptr_t size, memory_use use) {
  nb_outcome outcome = look(start, size, use);
  /* For a moment qemu 7.2 leaves out of the map what another thread maps something beside. */
  for (int again = 0; again < LOOKS_AGAIN && outcome.status == NEARBUF_NOT_FOUND; again++) {
    nb_os_pause();
    outcome = look(start, size, use);
  }
  return outcome;
}

static nb_outcome check(uintptr_t start, uintptr_t size, memory_use use) {
  nb_outcome outcome = look_patiently(start, size, use);
  return outcome.status == NEARBUF_INCOMPATIBLE ? nb_outcome_of(NEARBUF_NOT_FOUND) : outcome;
}

nb_outcome nb_mapped_check_writable(uintptr_t start, uintptr_t size) {
  return check(start, size, USE_DATA);
}

nb_outcome nb_mapped_check_private_code(uintptr_t start, uintptr_t size) {
  return check(start, size, USE_PRIVATE_CODE);
}

nb_outcome nb_mapped_check_buffer(uintptr_t start, uintptr_t size) {
  return look_patiently(start, size, USE_CODE);
}
