/* Replacing code that other threads may be running: one store where that is possible, and what the
 * processors and the system need afterwards. */
#include <string.h>

#include "os/os.h"
#include "outcome.h"
#include "range.h"
#include "session.h"

/* Whether the bytes lie in memory that is mapped and writable all along. */
static nb_outcome check_writable_memory(uintptr_t address, size_t size) {
  nb_map map;
  nb_outcome outcome = nb_os_map_open(&map, false);
  uintptr_t last = address + (size - 1);
  uintptr_t from = address;
  while (outcome.status == NEARBUF_OK) {
    nb_mapping mapping;
    nb_map_answer answer = nb_os_map_next(&map, from, &mapping);
    if (answer == NB_MAP_FAILED) {
      outcome = nb_outcome_system(NEARBUF_SYSTEM_ERROR, map.system_error);
    } else if (answer == NB_MAP_END || mapping.range.min > from || !mapping.writable) {
      outcome = nb_outcome_of(NEARBUF_NOT_FOUND);
    } else if (mapping.range.max >= last) {
      break;
    } else {
      from = mapping.range.max + 1;
    }
  }
  nb_os_map_close(&map);
  return outcome;
}
