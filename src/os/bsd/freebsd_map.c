/* The memory map of a FreeBSD process: the sysctl kern.proc.vmmap, which returns all of it at once.
 * Never run so far. Sources: kinfo_getvmmap(3), sysctl(3), sys/kern/kern_proc.c of FreeBSD 14.
 *
 * An unlinked file has no path there, so a locator of another implementation whose name was removed
 * is not found; ours is, by the anchor.
 *
 * A process may read its own map unless security.bsd.unprivileged_proc_debug is 0 and it is not
 * root's, or it is in capability mode: then there is no map, and no search (DENIED). */
#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/sysctl.h>
#include <sys/user.h>
#include <unistd.h>

#include "base/compiler.h"
#include "os/bsd/vmmap.h"
#include "os/os.h"

#define IS_AT(field, offset) (offsetof(struct kinfo_vmentry, field) == (offset))

static_assert(IS_AT(kve_structsize, NBUF_VMMAP_SIZE) && IS_AT(kve_type, NBUF_VMMAP_TYPE) &&
                  IS_AT(kve_start, NBUF_VMMAP_START) && IS_AT(kve_end, NBUF_VMMAP_END) &&
                  IS_AT(kve_offset, NBUF_VMMAP_OFFSET) && IS_AT(kve_vn_fileid, NBUF_VMMAP_INODE) &&
                  IS_AT(kve_flags, NBUF_VMMAP_FLAGS) &&
                  IS_AT(kve_protection, NBUF_VMMAP_PROTECTION) &&
                  IS_AT(kve_vn_fsid, NBUF_VMMAP_DEVICE) && IS_AT(kve_path, NBUF_VMMAP_PATH),
              "struct kinfo_vmentry");
static_assert(KVME_TYPE_VNODE == NBUF_VMMAP_OF_FILE && KVME_FLAG_COW == NBUF_VMMAP_IS_PRIVATE &&
                  KVME_PROT_READ == NBUF_VMMAP_READABLE && KVME_PROT_WRITE == NBUF_VMMAP_WRITABLE &&
                  KVME_PROT_EXEC == NBUF_VMMAP_EXECUTABLE,
              "KVME_*");
#ifdef KVME_FLAG_POSIXSHM /* FreeBSD 14 */
static_assert(KVME_FLAG_SYSVSHM == NBUF_VMMAP_IS_SYSTEM_V_MEMORY &&
                  KVME_FLAG_POSIXSHM == NBUF_VMMAP_IS_POSIX_MEMORY,
              "KVME_FLAG_*SHM");
#endif

/* While it is open, a map lies in pages of its own, far from the searched addresses: in a gap of
 * exactly their size they would be in the way. The address is only a hint. */
#if UINTPTR_MAX == UINT32_MAX
#define FAR_AWAY ((void *)0x6e000000)
#else
#define FAR_AWAY ((void *)0x7e9e00000000)
#endif

/* Room for some 7,000 mappings at first, of which only the filled part is ever touched. */
static const size_t first_room = (size_t)1 << 20;
static const size_t most_room = (size_t)1 << 28;

typedef struct snapshot {
  size_t room; /* of the whole */
  size_t filled;
  unsigned char records[];
} snapshot;

/* An open map, in nbuf_map's port. */
typedef struct NBUF_MAY_ALIAS freebsd_map {
  snapshot *all; /* null: it is not open */
  size_t next;   /* record */
  bool is_last_valid;
  nbuf_mapping last;
} freebsd_map;

static_assert(sizeof(freebsd_map) <= sizeof(nbuf_port_state), "os.h has room for it");

static freebsd_map *freebsd_map_of(nbuf_map *map) {
  return (freebsd_map *)(void *)map->port.bytes;
}

/* Fills a snapshot of at most `room` bytes and returns it; null and errno: ENOMEM if it is too
 * small. */
static snapshot *take_snapshot(size_t room) {
  snapshot *taken = mmap(FAR_AWAY, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
  if (taken == MAP_FAILED) {
    return NULL;
  }
  int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_VMMAP, getpid()};
  taken->room = room;
  taken->filled = room - sizeof *taken;
  if (sysctl(name, sizeof name / sizeof name[0], taken->records, &taken->filled, NULL, 0) == 0) {
    return taken;
  }
  int error = errno;
  (void)munmap(taken, room);
  errno = error;
  return NULL;
}

static nbuf_result result_of_snapshot(int error) {
  switch (error) {
  case ENOMEM:
    return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, error);
  case EPERM:
  case ECAPMODE:
    return nbuf_result_system(NEARBUF_DENIED, error);
  default:
    return nbuf_result_system(NEARBUF_SYSTEM_ERROR, error);
  }
}

nbuf_result nbuf_os_map_open(nbuf_map *map, bool with_names) {
  (void)with_names;
  freebsd_map *own = freebsd_map_of(map);
  map->is_cheap_anywhere = false;
  map->tells_execution = true;
  map->system_error = 0;
  own->is_last_valid = false;
  snapshot *taken = NULL;
  errno = ENOMEM;
  for (size_t room = first_room; taken == NULL && errno == ENOMEM && room <= most_room; room *= 4) {
    taken = take_snapshot(room);
  }
  own->all = taken;
  return taken != NULL ? nbuf_result_of(NEARBUF_OK) : result_of_snapshot(errno);
}

void nbuf_os_map_close(nbuf_map *map) {
  freebsd_map *own = freebsd_map_of(map);
  if (own->all != NULL) {
    (void)munmap(own->all, own->all->room);
  }
}

nbuf_map_answer nbuf_os_map_next(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping) {
  freebsd_map *own = freebsd_map_of(map);
  if (own->is_last_valid && from < own->last.range.min) {
    own->is_last_valid = false; /* the mapping before the last one is no longer known */
  }
  size_t at = own->is_last_valid ? own->next : 0;
  while (!own->is_last_valid || own->last.range.max < from) {
    nbuf_map_answer answer = nbuf_vmmap_next(own->all->records, own->all->filled, &at, &own->last);
    own->is_last_valid = answer == NBUF_MAP_FOUND;
    own->next = at;
    if (answer != NBUF_MAP_FOUND) {
      map->system_error = answer == NBUF_MAP_FAILED ? EPROTO : 0;
      return answer;
    }
  }
  *mapping = own->last;
  return NBUF_MAP_FOUND;
}
