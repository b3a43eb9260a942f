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

nb_range nb_os_limits(uintptr_t from, uintptr_t around) {
  (void)from, (void)around;
  /* Root could map the page at 0; no caller may get memory that makes null pointers harmless. */
  nb_range limits = {0x10000, 0};
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

int nb_posix_map_at(uintptr_t address, size_t size, int protection) {
  return nb_posix_mmap_at(address, size, protection, MAP_FIXED | MAP_EXCL);
}

static bool inherit(void *pages, size_t size, int inheritance) {
  bool is_honest = minherit(pages, size, INHERITANCE_THAT_CANNOT_EXIST) != 0;
  return is_honest && minherit(pages, size, inheritance) == 0;
}

bool nb_posix_keep_from_children(void *pages, size_t size) {
  return inherit(pages, size, INHERIT_NONE);
}

bool nb_posix_wipe_in_children(void *pages, size_t size) {
  return inherit(pages, size, INHERIT_ZERO);
}

/* Pages can be wiped here. */
nb_posix_comparison nb_posix_compare(const _Atomic uint32_t *word, uint32_t value) {
  (void)word, (void)value;
  return NB_POSIX_UNKNOWN;
}

/* Not known on this system: nearbuf_unload is for that. */
bool nb_posix_is_unloaded(void) {
  return false;
}

/* ---- Code ------------------------------------------------------------------------------------ */

void nb_os_sync_code(uintptr_t address, size_t size) {
  __builtin___clear_cache((char *)address, (char *)(address + size));
}

/* ---- Files ----------------------------------------------------------------------------------- */

int nb_posix_rename_new(int directory, const char *from, const char *to) {
  (void)directory;
  (void)from;
  (void)to;
  return ENOSYS;
}

/* From outside a jail every process is visible; from inside only those of the jail, though its
 * files may also belong to others. */
bool nb_posix_place_is_ours_alone(int file) {
  (void)file;
  int jailed = 1;
  size_t size = sizeof jailed;
  return sysctlbyname("security.jail.jailed", &jailed, &size, NULL, 0) == 0 && jailed == 0;
}

int nb_posix_memory_file(const char *name) {
  return memfd_create(name, MFD_CLOEXEC);
}

/* ---- Directories ----------------------------------------------------------------------------- */

bool nb_bsd_read_names(int directory, nb_bsd_names *names) {
  names->at = 0;
  names->left = getdirentries(directory, names->records, sizeof names->records, NULL);
  return names->left > 0;
}

const char *nb_bsd_next_name(nb_bsd_names *names) {
  if (names->left <= 0) {
    return NULL;
  }
  const struct dirent *record = (const void *)&names->records[names->at];
  names->at += record->d_reclen;
  names->left -= record->d_reclen;
  return record->d_name;
}
