/* FreeBSD: memory, limits, and what differs from other POSIX systems. The memory map is in
 * bsd/freebsd_map.c, what macOS has in common in bsd.c. Never run so far. Sources: mmap(2),
 * minherit(2), getdirentries(2), memfd_create(3), jail(8) and sysctl(3) of FreeBSD 14;
 * sys/vm/vm_mmap.c, sys/vm/vm_map.c and sys/amd64/include/vmparam.h. */
#include <dirent.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/sysctl.h>
#include <unistd.h>

#include "os/bsd/bsd.h"
#include "os/os.h"
#include "os/posix/posix.h"

enum { INHERITANCE_THAT_CANNOT_EXIST = 0x0bad }; /* some emulators accept everything */

/* ---- Numbers --------------------------------------------------------------------------------- */

nbuf_range nbuf_os_limits(uintptr_t from, uintptr_t around) {
  (void)from, (void)around;
  /* Root could map the page at 0; no caller may get memory that makes null pointers harmless. */
  nbuf_range limits = {0x10000, 0};
#if UINTPTR_MAX == UINT32_MAX
  limits.max = 0xffffefff;
#elif defined(__x86_64__)
  limits.max = 0x7fffffffffff; /* above 47 bits only programs that request it get memory */
#else
  limits.max = 0xffffffffffff;
#endif
  return limits;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

int nbuf_posix_map_at(uintptr_t address, size_t size, int protection) {
  return nbuf_posix_mmap_at(address, size, protection, MAP_FIXED | MAP_EXCL);
}

static bool inherit(void *pages, size_t size, int inheritance) {
  bool is_honest = minherit(pages, size, INHERITANCE_THAT_CANNOT_EXIST) != 0;
  return is_honest && minherit(pages, size, inheritance) == 0;
}

bool nbuf_posix_keep_from_children(void *pages, size_t size) {
  return inherit(pages, size, INHERIT_NONE);
}

bool nbuf_posix_wipe_in_children(void *pages, size_t size) {
  return inherit(pages, size, INHERIT_ZERO);
}

/* Pages can be wiped here. */
nbuf_posix_comparison nbuf_posix_compare(const _Atomic uint32_t *word, uint32_t value) {
  (void)word, (void)value;
  return NBUF_POSIX_UNKNOWN;
}

/* Not known on this system: nearbuf_unload is for that. */
bool nbuf_posix_is_unloaded(void) {
  return false;
}

/* ---- Code ------------------------------------------------------------------------------------ */

void nbuf_os_sync_code(uintptr_t address, size_t size) {
  __builtin___clear_cache((char *)address, (char *)(address + size));
}

/* ---- Files ----------------------------------------------------------------------------------- */

int nbuf_posix_rename_new(int directory, const char *from, const char *to) {
  (void)directory;
  (void)from;
  (void)to;
  return ENOSYS;
}

/* From outside a jail every process is visible; from inside only those of the jail, though its
 * files may also belong to others. */
bool nbuf_posix_place_is_ours_alone(int file) {
  (void)file;
  int jailed = 1;
  size_t size = sizeof jailed;
  return sysctlbyname("security.jail.jailed", &jailed, &size, NULL, 0) == 0 && jailed == 0;
}

int nbuf_posix_memory_file(const char *name) {
  return memfd_create(name, MFD_CLOEXEC);
}

/* ---- Directories ----------------------------------------------------------------------------- */

bool nbuf_bsd_read_names(int directory, nbuf_bsd_names *names) {
  names->at = 0;
  names->left = getdirentries(directory, names->records, sizeof names->records, NULL);
  return names->left > 0;
}

const char *nbuf_bsd_next_name(nbuf_bsd_names *names) {
  if (names->left <= 0) {
    return NULL;
  }
  const struct dirent *record = (const void *)&names->records[names->at];
  names->at += record->d_reclen;
  names->left -= record->d_reclen;
  return record->d_name;
}
