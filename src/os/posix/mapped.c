/* Which file is mapped where in this process; see mapped.h. */
#include "os/posix/mapped.h"

#include <errno.h>
#include <sys/mman.h>

#include "os/posix/posix.h"

static bool is_same_file(const nbuf_mapping *a, const nbuf_mapping *b) {
  return a->device == b->device && a->inode == b->inode && a->offset == b->offset;
}

nbuf_result nbuf_mapping_at(uintptr_t address, nbuf_mapping *mapping) {
  nbuf_map map;
  nbuf_result result = nbuf_os_map_open(&map, false);
  if (result.status == NEARBUF_OK) {
    nbuf_map_answer answer = nbuf_os_map_next(&map, address, mapping);
    if (answer == NBUF_MAP_FAILED) {
      result = nbuf_result_system(NEARBUF_SYSTEM_ERROR, map.system_error);
    } else if (answer == NBUF_MAP_END || mapping->range.min > address) {
      result = nbuf_result_of(NEARBUF_NOT_FOUND);
    }
  }
  nbuf_os_map_close(&map);
  return result;
}

bool nbuf_mapping_is_locator(const nbuf_mapping *mapping, uintptr_t base) {
  return mapping->range.min == base && mapping->shared && mapping->readable && mapping->writable &&
         mapping->offset == 0;
}

bool nbuf_mappings_are_same_page(uintptr_t one, uintptr_t other) {
  nbuf_mapping here;
  nbuf_mapping there;
  return nbuf_mapping_at(one, &here).status == NEARBUF_OK &&
         nbuf_mapping_at(other, &there).status == NEARBUF_OK &&
         nbuf_mapping_is_locator(&here, one) && nbuf_mapping_is_locator(&there, other) &&
         is_same_file(&here, &there) && here.inode != 0;
}

nbuf_result nbuf_file_check_mapped_at(int file, uintptr_t claimed) {
  size_t size = nbuf_os_page_size();
  if (claimed == 0 || claimed % size != 0) {
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  void *fresh = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
  if (fresh == MAP_FAILED) {
    return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, errno);
  }
  nbuf_mapping here;
  nbuf_mapping there;
  nbuf_result result = nbuf_mapping_at((uintptr_t)fresh, &here);
  if (result.status == NEARBUF_OK) {
    result = nbuf_mapping_at(claimed, &there);
  }
  if (result.status == NEARBUF_OK &&
      !(nbuf_mapping_is_locator(&there, claimed) && is_same_file(&here, &there))) {
    result = nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  (void)munmap(fresh, size);
  return result;
}

/* Looks for a mapping of the file that can be a locator's; `fresh` is one that cannot, since
 * nothing can be written through it. */
static nbuf_map_answer find_in_map_as(nbuf_map *map, const nbuf_mapping *fresh) {
  nbuf_mapping each = {.range = {0, 0}};
  nbuf_map_answer answer = NBUF_MAP_FOUND;
  while (answer == NBUF_MAP_FOUND && each.range.max != UINTPTR_MAX) {
    uintptr_t from = each.range.max == 0 ? 0 : each.range.max + 1;
    answer = nbuf_posix_map_next_shared(map, from, &each);
    if (answer == NBUF_MAP_FOUND && nbuf_mapping_is_locator(&each, each.range.min) &&
        is_same_file(fresh, &each)) {
      return NBUF_MAP_FOUND;
    }
  }
  return answer == NBUF_MAP_FAILED ? NBUF_MAP_FAILED : NBUF_MAP_END;
}

bool nbuf_file_is_mapped_here(int file) {
  size_t size = nbuf_os_page_size();
  void *fresh = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
  if (fresh == MAP_FAILED) {
    return true;
  }
  nbuf_mapping mapping;
  nbuf_map map;
  bool is_known = nbuf_mapping_at((uintptr_t)fresh, &mapping).status == NEARBUF_OK;
  bool is_open = nbuf_os_map_open(&map, true).status == NEARBUF_OK;
  bool is_absent = is_known && is_open && find_in_map_as(&map, &mapping) == NBUF_MAP_END;
  nbuf_os_map_close(&map);
  (void)munmap(fresh, size);
  return !is_absent;
}
