/* The memory map of a Linux process. Kernels from 6.11 on answer a binary query for one address in
 * 0.4 microseconds; before that the text of /proc/self/maps is read, about 0.25 microseconds a
 * mapping. Source: Documentation/filesystems/proc.rst, PROCMAP_QUERY.
 *
 * /proc/self and never /proc/<getpid()>: in the /proc of another namespace that is another process.
 * The descriptor is never kept: after a fork it would describe the parent. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "os/linux/map_query.h"
#include "os/linux/maps_file.h"
#include "os/os.h"
#include "os/posix/name_end.h"
#include "os/posix/posix.h"

enum {
  QUERY_SHARED_FILE = NBUF_QUERY_COVERING_OR_NEXT | NBUF_QUERY_READABLE | NBUF_QUERY_WRITABLE |
                      NBUF_QUERY_SHARED | NBUF_QUERY_OF_FILE
};

/* An open map, in nbuf_map's port. */
typedef struct NBUF_MAY_ALIAS linux_map {
  bool can_query;
  bool is_last_valid;
  nbuf_mapping last;
  nbuf_maps_file maps;
} linux_map;

static_assert(sizeof(linux_map) <= sizeof(nbuf_port_state), "os.h has room for it");

static linux_map *linux_map_of(nbuf_map *map) {
  return (linux_map *)(void *)map->port.bytes;
}

/* Queries the first mapping at or above `from` that the flags allow, with its name if they allow
 * only files. */
static nbuf_map_answer query(nbuf_map *map, uintptr_t from, uint64_t flags, nbuf_mapping *mapping) {
  linux_map *own = linux_map_of(map);
  nbuf_map_query query = {.size = sizeof query, .query_flags = flags, .query_address = from};
  if (flags == QUERY_SHARED_FILE) {
    query.name_size = sizeof own->maps.text;
    query.name_address = (uintptr_t)own->maps.text;
  }
  bool is_answered = nbuf_map_query_ask(own->maps.file, &query);
  map->system_error = is_answered ? 0 : errno;
  if (!is_answered) {
    return errno == ENOENT ? NBUF_MAP_END : NBUF_MAP_FAILED;
  }
  mapping->range = (nbuf_range){(uintptr_t)query.start, (uintptr_t)(query.end - 1)};
  mapping->readable = (query.flags & NBUF_QUERY_READABLE) != 0;
  mapping->writable = (query.flags & NBUF_QUERY_WRITABLE) != 0;
  mapping->executable = (query.flags & NBUF_QUERY_EXECUTABLE) != 0;
  mapping->shared = (query.flags & NBUF_QUERY_SHARED) != 0;
  mapping->device = (uint64_t)query.device_major << 32 | query.device_minor;
  mapping->inode = query.inode;
  mapping->offset = query.offset;
  nbuf_keep_name_end(mapping, own->maps.text, query.name_size > 0 ? query.name_size - 1 : 0);
  return NBUF_MAP_FOUND;
}

static nearbuf_status status_of_open_error(int error) {
  if (nbuf_posix_is_lack(error)) {
    return NEARBUF_OUT_OF_MEMORY;
  }
  return error == EACCES || error == EPERM ? NEARBUF_DENIED : NEARBUF_SYSTEM_ERROR;
}

nbuf_result nbuf_os_map_open(nbuf_map *map, bool with_names) {
  linux_map *own = linux_map_of(map);
  map->system_error = 0;
  own->is_last_valid = false;
  nbuf_maps_file_start(&own->maps, open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
  if (!own->maps.is_open) {
    return nbuf_result_system(status_of_open_error(errno), errno);
  }
  if (with_names) {
    memset(own->maps.text, 0,
           sizeof own->maps.text); /* valgrind does not know that the query fills it in */
  }
  /* Tried each time, since a filter of system calls may have been installed meanwhile. A search
   * that assumes cheap queries, while the text is read from its start for each, would not end. */
  nbuf_mapping ignored;
  own->can_query = query(map, 0, NBUF_QUERY_COVERING_OR_NEXT, &ignored) != NBUF_MAP_FAILED;
  map->is_cheap_anywhere = own->can_query && !with_names;
  map->tells_execution = map->is_cheap_anywhere;
  return nbuf_result_of(NEARBUF_OK);
}

void nbuf_os_map_close(nbuf_map *map) {
  linux_map *own = linux_map_of(map);
  if (own->maps.is_open) {
    close(own->maps.file);
  }
}

static nbuf_map_answer next_line(nbuf_map *map, nbuf_mapping *mapping) {
  linux_map *own = linux_map_of(map);
  nbuf_maps_line line;
  nbuf_maps_answer answer;
  do { /* what lies at addresses that are wider than ours is not in this process */
    answer = nbuf_maps_file_next(&own->maps, &line);
  } while (answer == NBUF_MAPS_WIDE_MAPPING);
  *mapping = line.mapping;
  map->system_error = own->maps.system_error;
  if (answer == NBUF_MAPS_MAPPING) {
    return NBUF_MAP_FOUND;
  }
  return map->system_error == 0 ? NBUF_MAP_END : NBUF_MAP_FAILED;
}

static nbuf_map_answer read_on(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping) {
  linux_map *own = linux_map_of(map);
  if (own->is_last_valid && from < own->last.range.min) {
    /* The mapping before the last one is no longer known: start again. */
    own->is_last_valid = false;
    nbuf_maps_file_start(&own->maps, own->maps.file);
    if (lseek(own->maps.file, 0, SEEK_SET) != 0) {
      map->system_error = errno;
      return NBUF_MAP_FAILED;
    }
  }
  while (!own->is_last_valid || own->last.range.max < from) {
    nbuf_map_answer answer = next_line(map, &own->last);
    own->is_last_valid = answer == NBUF_MAP_FOUND;
    if (answer != NBUF_MAP_FOUND) {
      return answer;
    }
  }
  *mapping = own->last;
  return NBUF_MAP_FOUND;
}

nbuf_map_answer nbuf_os_map_next(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping) {
  nbuf_map_answer answer = map->is_cheap_anywhere
                               ? query(map, from, NBUF_QUERY_COVERING_OR_NEXT, mapping)
                               : NBUF_MAP_FAILED;
  /* A failure of the query says nothing, and may be temporary. The text contains the mapping
   * nevertheless. */
  return answer == NBUF_MAP_FAILED ? read_on(map, from, mapping) : answer;
}

nbuf_map_answer nbuf_posix_map_next_shared(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping) {
  linux_map *own = linux_map_of(map);
  nbuf_map_answer answer = NBUF_MAP_FAILED;
  bool is_text_begun = own->maps.buffered != 0; /* the query's name would be stored over it */
  if (own->can_query && !is_text_begun) {
    answer = query(map, from, QUERY_SHARED_FILE, mapping);
  }
  if (answer != NBUF_MAP_FAILED) {
    return answer; /* it fails for a name that is too long; the text has its end */
  }
  return nbuf_posix_map_skip_to_shared(map, from, mapping);
}
