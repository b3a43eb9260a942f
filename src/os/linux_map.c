/* The memory map of a Linux process. Kernels from 6.11 on answer a binary query for one address in
 * 0.4 microseconds; before that the text of /proc/self/maps is read, about 0.25 microseconds a
 * mapping. Source: Documentation/filesystems/proc.rst, PROCMAP_QUERY.
 *
 * /proc/self and never /proc/<getpid()>: in a foreign /proc that is somebody else. The descriptor is
 * never kept: after a fork it would describe the parent. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "maps_text.h"
#include "os.h"

/* linux/fs.h has it since 6.11; older headers do not. */
typedef struct map_query {
  uint64_t size;
  uint64_t query_flags;
  uint64_t query_address;
  uint64_t start;
  uint64_t end;
  uint64_t flags;
  uint64_t page_size;
  uint64_t offset;
  uint64_t inode;
  uint32_t device_major;
  uint32_t device_minor;
  uint32_t name_size;
  uint32_t build_id_size;
  uint64_t name_address;
  uint64_t build_id_address;
} map_query;

static_assert(sizeof(map_query) == 104, "struct procmap_query");

#define MAP_QUERY _IOWR('f', 17, map_query)

enum {
  QUERY_READABLE = 1,
  QUERY_WRITABLE = 2,
  QUERY_EXECUTABLE = 4,
  QUERY_SHARED = 8,
  QUERY_COVERING_OR_NEXT = 16
};

static _Atomic bool has_no_query; /* remembered: the kernel is too old */

nb_outcome nb_os_map_open(nb_map *map, bool with_names) {
  map->system_error = 0;
  map->is_last_valid = false;
  map->fill = 0;
  map->taken = 0;
  map->is_cheap_anywhere =
      !with_names && !atomic_load_explicit(&has_no_query, memory_order_relaxed);
  map->handle = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (map->handle >= 0) {
    if (map->is_cheap_anywhere) {
      nb_mapping ignored;
      (void)nb_os_map_next(map, 0, &ignored); /* finds out whether it really is */
    }
    return nb_outcome_of(NEARBUF_OK);
  }
  bool is_used_up = errno == EMFILE || errno == ENFILE || errno == ENOMEM;
  return nb_outcome_system(is_used_up ? NEARBUF_OUT_OF_MEMORY : NEARBUF_SYSTEM_ERROR, errno);
}

void nb_os_map_close(nb_map *map) {
  if (map->handle >= 0) {
    close((int)map->handle);
  }
}

static nb_map_answer query(nb_map *map, uintptr_t from, nb_mapping *mapping) {
  map_query query = {
      .size = sizeof query, .query_flags = QUERY_COVERING_OR_NEXT, .query_address = from};
  /* musl's ioctl takes the request as an int, into which it does not fit. */
  if (syscall(SYS_ioctl, (int)map->handle, MAP_QUERY, &query) != 0) {
    map->system_error = errno;
    return errno == ENOENT ? NB_MAP_END : NB_MAP_FAILED;
  }
  mapping->range = (nb_range){(uintptr_t)query.start, (uintptr_t)(query.end - 1)};
  mapping->readable = (query.flags & QUERY_READABLE) != 0;
  mapping->writable = (query.flags & QUERY_WRITABLE) != 0;
  mapping->executable = (query.flags & QUERY_EXECUTABLE) != 0;
  mapping->shared = (query.flags & QUERY_SHARED) != 0;
  mapping->device = (uint64_t)query.device_major << 32 | query.device_minor;
  mapping->inode = query.inode;
  mapping->offset = query.offset;
  mapping->name_end[0] = '\0';
  return NB_MAP_FOUND;
}

/* The next character of the text; false at its end or after a failure. */
static bool next_character(nb_map *map, char *character) {
  if (map->taken == map->fill) {
    ssize_t count;
    do {
      count = read((int)map->handle, map->text, sizeof map->text);
    } while (count < 0 && errno == EINTR);
    map->system_error = count < 0 ? errno : 0;
    map->fill = count > 0 ? (uint32_t)count : 0;
    map->taken = 0;
    if (count <= 0) {
      return false;
    }
  }
  *character = map->text[map->taken++];
  return true;
}

static nb_map_answer next_line(nb_map *map, nb_mapping *mapping) {
  nb_maps_line line;
  nb_maps_begin(&line);
  char character;
  while (next_character(map, &character)) {
    nb_maps_answer answer = nb_maps_feed(&line, character);
    if (answer == NB_MAPS_MAPPING) {
      *mapping = line.mapping;
      return NB_MAP_FOUND;
    }
    if (answer == NB_MAPS_BAD_LINE) {
      nb_maps_begin(&line);
    }
  }
  return map->system_error == 0 ? NB_MAP_END : NB_MAP_FAILED;
}

static nb_map_answer read_on(nb_map *map, uintptr_t from, nb_mapping *mapping) {
  if (map->is_last_valid && from < map->last.range.min) {
    /* The mapping before the last one is no longer known: start again. */
    map->is_last_valid = false;
    map->fill = 0;
    map->taken = 0;
    if (lseek((int)map->handle, 0, SEEK_SET) != 0) {
      map->system_error = errno;
      return NB_MAP_FAILED;
    }
  }
  while (!map->is_last_valid || map->last.range.max < from) {
    nb_map_answer answer = next_line(map, &map->last);
    map->is_last_valid = answer == NB_MAP_FOUND;
    if (answer != NB_MAP_FOUND) {
      return answer;
    }
  }
  *mapping = map->last;
  return NB_MAP_FOUND;
}

nb_map_answer nb_os_map_next(nb_map *map, uintptr_t from, nb_mapping *mapping) {
  if (map->is_cheap_anywhere) {
    nb_map_answer answer = query(map, from, mapping);
    bool is_unknown =
        answer == NB_MAP_FAILED &&
        (map->system_error == ENOTTY || map->system_error == EINVAL || map->system_error == ENOSYS);
    if (!is_unknown) {
      return answer;
    }
    atomic_store_explicit(&has_no_query, true, memory_order_relaxed);
    map->is_cheap_anywhere = false;
  }
  return read_on(map, from, mapping);
}
