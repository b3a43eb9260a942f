/* The memory map of a macOS process: the kernel is queried for one region at a time, which costs
 * the same at any address. Never run so far. Sources: mach/vm_region.h, libproc.h, sys/proc_info.h;
 * vm_map_region_recurse_64 in osfmk/vm/vm_map.c, fill_procregioninfo in osfmk/vm/bsd_vm.c,
 * proc_pidregionpathinfo in bsd/kern/proc_info.c of xnu. */
#include <errno.h>
#include <libproc.h>
#include <mach/mach.h>
#include <mach/vm_inherit.h>
#include <string.h>
#include <sys/proc_info.h>
#include <unistd.h>

#include "os/os.h"
#include "os/posix/name_end.h"

nbuf_result nbuf_os_map_open(nbuf_map *map, bool with_names) {
  (void)with_names;
  map->is_cheap_anywhere = true;
  map->tells_execution = true;
  map->system_error = 0;
  return nbuf_result_of(NEARBUF_OK);
}

void nbuf_os_map_close(nbuf_map *map) {
  (void)map;
}

/* The file behind a region, as the kernel reports it; the region may be gone meanwhile. */
static bool tell_file(uintptr_t start, nbuf_mapping *mapping) {
  struct proc_regionwithpathinfo region;
  int told = proc_pidinfo(getpid(), PROC_PIDREGIONPATHINFO, start, &region, sizeof region);
  if (told != (int)sizeof region) {
    return false;
  }
  const struct vinfo_stat *file = &region.prp_vip.vip_vi.vi_stat;
  if (region.prp_prinfo.pri_address == start && file->vst_ino != 0) {
    mapping->device = file->vst_dev;
    mapping->inode = file->vst_ino;
    mapping->offset = region.prp_prinfo.pri_offset;
    const char *path = region.prp_vip.vip_path;
    nbuf_keep_name_end(mapping, path, strnlen(path, sizeof region.prp_vip.vip_path));
  }
  return true;
}

nbuf_map_answer nbuf_os_map_next(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping) {
  vm_address_t start = from;
  vm_size_t size = 0;
  natural_t depth = 0; /* without the libraries that all processes share: one region, no gaps */
  /* The short form, since the long one counts all pages of the region. */
  vm_region_submap_short_info_data_64_t info;
  mach_msg_type_number_t count = VM_REGION_SUBMAP_SHORT_INFO_COUNT_64;
  kern_return_t answer = vm_region_recurse_64(mach_task_self(), &start, &size, &depth,
                                              (vm_region_recurse_info_t)&info, &count);
  if (answer == KERN_INVALID_ADDRESS) {
    return NBUF_MAP_END;
  }
  if (answer != KERN_SUCCESS || size == 0) {
    map->system_error = answer;
    return NBUF_MAP_FAILED;
  }
  memset(mapping, 0, sizeof *mapping);
  mapping->range = (nbuf_range){start, start + (size - 1)};
  mapping->readable = (info.protection & VM_PROT_READ) != 0;
  mapping->writable = (info.protection & VM_PROT_WRITE) != 0;
  mapping->executable = (info.protection & VM_PROT_EXECUTE) != 0;
  /* Children share what is mapped shared, or do not get it if we requested that; private memory is
   * copied for them. */
  mapping->shared =
      info.is_submap == 0 && info.inheritance != VM_INHERIT_COPY && info.share_mode != SM_COW;
  if (info.external_pager != 0 && !tell_file(start, mapping)) {
    map->system_error = errno;
    return NBUF_MAP_FAILED;
  }
  return NBUF_MAP_FOUND;
}
