/* What FreeBSD and macOS have in common below posix.h. Never run so far. Sources: flock(2),
 * mmap(2), sysctl(3) and lseek(2) of both; sys/kern/kern_descrip.c and sys/kern/vfs_vnops.c of
 * FreeBSD, bsd/kern/kern_mman.c and bsd/kern/kern_descrip.c of xnu. */
#include "os/bsd/bsd.h"

#include <stdlib.h>
#include <sys/param.h>
#include <sys/sysctl.h>
#include <sys/time.h>
#include <unistd.h>

#include "os/os.h"
#include "os/posix/posix.h"

/* ---- Numbers --------------------------------------------------------------------------------- */

/* Nothing is reserved: the whole stack of the main thread is occupied from the start, by a guard
 * where it may not reach yet, and malloc does not use the program break. */
size_t nbuf_os_reserved(nbuf_range area, nbuf_range ranges[NBUF_OS_RESERVED_MAX]) {
  (void)area;
  (void)ranges;
  return 0;
}

/* A stack of FreeBSD has all its room from the start (a guard entry of the map); macOS has no
 * growing stack beside the main thread's. */
uintptr_t nbuf_os_growth_room(uintptr_t start, bool is_least) {
  (void)start, (void)is_least;
  return 0;
}

bool nbuf_posix_shares_memory(uint32_t process) {
  (void)process;
  return false;
}

const char *nbuf_posix_environment(const char *name) {
  return issetugid() != 0 ? NULL : getenv(name);
}

/* ---- The map, code --------------------------------------------------------------------------- */

bool nbuf_posix_may_be_mapped(uintptr_t page) {
  (void)page;
  return true;
}

nbuf_map_answer nbuf_posix_map_next_shared(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping) {
  return nbuf_posix_map_skip_to_shared(map, from, mapping);
}

void nbuf_os_sync_processors(void) {
  /* Neither has a call for it (FreeBSD before 14.1 has none, and kills a process that makes a call
   * it does not know). What both do for pages that change their protection is not documented to
   * have this effect. */
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* APFS and ZFS copy on write, and it cannot be turned off; but a full disk is not a SIGBUS there:
 * what cannot be written stays in memory. */
void nbuf_posix_avoid_copy_on_write(int file) {
  (void)file;
}

/* A mapping keeps the vnode, not the open file that has the lock. */
bool nbuf_posix_lock_outlives_close(int file) {
  (void)file;
  return false;
}

/* Process ids belong to the whole machine, in jails too. */
bool nbuf_posix_namespace(uint64_t *number) {
  *number = 0;
  return false;
}

bool nbuf_posix_may_have_parents_id(void) {
  return false;
}

bool nbuf_posix_predates_process(int file) {
  (void)file;
  return false;
}

bool nbuf_posix_has_gained_rights(void) {
  return issetugid() != 0; /* also if the program itself changed its ids */
}

bool nbuf_posix_is_privileged(void) {
  return issetugid() != 0 || getuid() != geteuid() || getgid() != getegid();
}

uint64_t nbuf_posix_random(void) {
  uint64_t number;
  arc4random_buf(&number, sizeof number);
  return number;
}

int64_t nbuf_posix_boot_time(void) {
  int name[] = {CTL_KERN, KERN_BOOTTIME};
  struct timeval boot;
  size_t size = sizeof boot;
  bool is_known = sysctl(name, sizeof name / sizeof name[0], &boot, &size, NULL, 0) == 0;
  return is_known && size == sizeof boot ? (int64_t)boot.tv_sec : 0;
}

/* ---- Directories ----------------------------------------------------------------------------- */

enum { MOST_READS = 4, MOST_READS_SKIPPED = 64 };

/* Reads the names at a position that differs between calls, so that files that have to stay do not
 * permanently hide the rest, however many they are. Positions are known only to the file system, so
 * what precedes the position is read, too. */
static bool read_somewhere(int directory, nbuf_bsd_names *names) {
  uint64_t skipped = nbuf_os_nanoseconds() / 1000 % MOST_READS_SKIPPED;
  bool is_read = nbuf_bsd_read_names(directory, names);
  while (is_read && skipped-- > 0) {
    is_read = nbuf_bsd_read_names(directory, names);
  }
  return is_read || (lseek(directory, 0, SEEK_SET) == 0 && nbuf_bsd_read_names(directory, names));
}

void nbuf_posix_visit_some(int directory, nbuf_posix_visitor visit, void *context) {
  nbuf_bsd_names names;
  bool is_read = read_somewhere(directory, &names);
  for (int reads = 1; is_read; reads++) {
    const char *name;
    while ((name = nbuf_bsd_next_name(&names)) != NULL) {
      if (!visit(name, context)) {
        return;
      }
    }
    is_read = reads < MOST_READS && nbuf_bsd_read_names(directory, &names);
  }
}
