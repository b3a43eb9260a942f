/* The query of one address of an open /proc/<pid>/maps, since Linux 6.11. Source:
 * Documentation/filesystems/proc.rst, PROCMAP_QUERY. */
#ifndef NBUF_MAP_QUERY_H
#define NBUF_MAP_QUERY_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/fs.h has it since 6.11; older headers do not. */
typedef struct nbuf_map_query {
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
} nbuf_map_query;

static_assert(sizeof(nbuf_map_query) == 104, "struct procmap_query");

enum {
  NBUF_QUERY_READABLE = 1,
  NBUF_QUERY_WRITABLE = 2,
  NBUF_QUERY_EXECUTABLE = 4,
  NBUF_QUERY_SHARED = 8,
  NBUF_QUERY_COVERING_OR_NEXT = 16,
  NBUF_QUERY_OF_FILE = 32
};

#define NBUF_MAP_QUERY _IOWR('f', 17, nbuf_map_query)

/* False and errno: it was not answered. ENOENT: there is no such mapping. */
static inline bool nbuf_map_query_ask(int file, nbuf_map_query *query) {
  /* musl's ioctl takes the request as an int, into which it does not fit. */
  return syscall(SYS_ioctl, file, NBUF_MAP_QUERY, query) == 0;
}

/* Where the first mapping at or above `from` starts: `from` if that is mapped, UINT64_MAX if there
 * is none. False: not known. */
static inline bool nbuf_map_query_next(int file, uint64_t from, uint64_t *start) {
  nbuf_map_query query = {
      .size = sizeof query, .query_flags = NBUF_QUERY_COVERING_OR_NEXT, .query_address = from};
  bool is_answered = nbuf_map_query_ask(file, &query);
  *start = !is_answered ? UINT64_MAX : query.start > from ? query.start : from;
  return is_answered || errno == ENOENT;
}

#endif
