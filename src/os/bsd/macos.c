/* macOS: memory, limits, and what differs from other POSIX systems. The memory map is in
 * bsd/macos_map.c, what FreeBSD has in common in bsd.c. Never run so far. Sources: mmap(2),
 * minherit(2), renameatx_np(2), getattrlistbulk(2), dlopen(3), pthread_jit_write_protect_np(3);
 * libkern/OSCacheControl.h, mach/vm_map.h, mach/task_info.h; bsd/kern/kern_mman.c and
 * osfmk/vm/vm_map.c of xnu.
 *
 * Apple silicon: no memory can be written and executed at the same time. Memory of mmap with
 * MAP_JIT can be both in turn, for each thread, which has to select one of the two; so another
 * holder of a buffer, or another user of the format, could not write to it. The kernel refuses
 * memory without MAP_JIT (KERN_PROTECTION_FAILURE), and every request that needs new memory returns
 * DENIED. Under Rosetta and on Intel processors such memory is available, but not to programs with
 * the hardened runtime. */
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <libkern/OSCacheControl.h>
#include <mach/mach.h>
#include <mach/vm_inherit.h>
#include <stdio.h>
#include <string.h>
#include <sys/attr.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os/bsd/bsd.h"
#include "os/os.h"
#include "os/posix/posix.h"

static_assert(PROT_READ == VM_PROT_READ && PROT_WRITE == VM_PROT_WRITE &&
                  PROT_EXEC == VM_PROT_EXECUTE,
              "mmap's protections are Mach's");

/* ---- Numbers --------------------------------------------------------------------------------- */

/* A 64-bit process gets no memory below its lowest address, usually 4 GiB: the size that the
 * program declares in its segment __PAGEZERO. */
nbuf_range nbuf_os_limits(uintptr_t from, uintptr_t around) {
  (void)from, (void)around;
  const uintptr_t lowest = 0x10000; /* null pointers must go on faulting */
  task_vm_info_data_t info;
  mach_msg_type_number_t count = TASK_VM_INFO_COUNT;
  if (task_info(mach_task_self(), TASK_VM_INFO, (task_info_t)&info, &count) != KERN_SUCCESS ||
      count < TASK_VM_INFO_REV2_COUNT) {
    return (nbuf_range){(uintptr_t)1 << 32, 0x7fffffdfffff};
  }
  uintptr_t min = (uintptr_t)info.min_address;
  return (nbuf_range){min < lowest ? lowest : min, (uintptr_t)info.max_address - 1};
}

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Not mmap: with MAP_FIXED it replaces existing mappings, and without it the address is a hint,
 * which newer kernels ignore entirely where they guard objects. */
int nbuf_posix_map_at(uintptr_t address, size_t size, int protection) {
  vm_address_t at = address;
  kern_return_t answer = vm_map(mach_task_self(), &at, size, 0, VM_FLAGS_FIXED, MEMORY_OBJECT_NULL,
                                0, FALSE, protection, VM_PROT_ALL, VM_INHERIT_COPY);
  switch (answer) {
  case KERN_SUCCESS:
    return 0;
  case KERN_NO_SPACE:
    return EEXIST;
  case KERN_INVALID_ADDRESS:
    return EINVAL;
  case KERN_PROTECTION_FAILURE:
    return EACCES;
  default:
    return ENOMEM;
  }
}

bool nbuf_posix_keep_from_children(void *pages, size_t size) {
  return minherit(pages, size, (int)VM_INHERIT_NONE) == 0;
}

/* There is no such inheritance. */
bool nbuf_posix_wipe_in_children(void *pages, size_t size) {
  (void)pages;
  (void)size;
  return false;
}

/* Unlike on other systems, the fork handler is not removed when the library that registered it is
 * unloaded; so it stays loaded. */
__attribute__((constructor)) static void stay_loaded(void) {
  Dl_info here;
  if (dladdr((const void *)(uintptr_t)stay_loaded, &here) != 0) {
    (void)dlopen(here.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
  }
}

nbuf_posix_comparison nbuf_posix_compare(const _Atomic uint32_t *word, uint32_t value) {
  uint32_t there = 0;
  vm_size_t size = 0;
  bool is_read = vm_read_overwrite(mach_task_self(), (vm_address_t)word, sizeof there,
                                   (vm_address_t)&there, &size) == KERN_SUCCESS;
  return is_read && size == sizeof there && there == value ? NBUF_POSIX_EQUAL
                                                           : NBUF_POSIX_DIFFERENT;
}

bool nbuf_posix_is_unloaded(void) {
  return false; /* it stays loaded */
}

/* ---- Code ------------------------------------------------------------------------------------ */

void nbuf_os_sync_code(uintptr_t address, size_t size) {
  sys_icache_invalidate((void *)address, size);
}

/* ---- Files ----------------------------------------------------------------------------------- */

int nbuf_posix_rename_new(int directory, const char *from, const char *to) {
  if (renameatx_np(directory, from, directory, to, RENAME_EXCL) == 0) {
    return 0;
  }
  return errno == ENOTSUP || errno == EINVAL ? ENOSYS : errno;
}

/* There are no containers: every process is visible. */
bool nbuf_posix_place_is_ours_alone(int file) {
  (void)file;
  return true;
}

int nbuf_posix_memory_file(const char *name) {
  (void)name;
  errno = ENOSYS; /* an object of shm_open has a name of at most 31 characters, visible to all */
  return -1;
}

/* ---- Directories ----------------------------------------------------------------------------- */

/* The record of getattrlistbulk(2) for each name, if only names are requested. */
typedef struct name_record {
  uint32_t length;
  attribute_set_t returned;
  attrreference_t name; /* counted from here */
} name_record;

static_assert(sizeof(name_record) == 32, "nothing is aligned beyond 4 bytes");

bool nbuf_bsd_read_names(int directory, nbuf_bsd_names *names) {
  struct attrlist wanted = {.bitmapcount = ATTR_BIT_MAP_COUNT,
                            .commonattr = ATTR_CMN_RETURNED_ATTRS | ATTR_CMN_NAME};
  names->at = 0;
  names->left = getattrlistbulk(directory, &wanted, names->records, sizeof names->records, 0);
  return names->left > 0;
}

const char *nbuf_bsd_next_name(nbuf_bsd_names *names) {
  if (names->left <= 0) {
    return NULL;
  }
  name_record record;
  const char *at = &names->records[names->at];
  memcpy(&record, at, sizeof record);
  names->at += record.length;
  names->left--;
  return at + offsetof(name_record, name) + record.name.attr_dataoffset;
}
