/* The extent of the module that contains an address, by the program headers of the loaded
 * modules. */
#include <dlfcn.h>
#include <link.h>
#include <stddef.h>

#include "os/os.h"

typedef struct module_search {
  uintptr_t address;
  nbuf_range extent;
} module_search;

/* From the first to the last loaded byte of the module, including the zeroed tail. */
static bool extent_of(const struct dl_phdr_info *module, nbuf_range *extent) {
  *extent = (nbuf_range){UINTPTR_MAX, 0};
  for (uint32_t i = 0; i < module->dlpi_phnum; i++) {
    if (module->dlpi_phdr[i].p_type != PT_LOAD || module->dlpi_phdr[i].p_memsz == 0) {
      continue;
    }
    uintptr_t first = (uintptr_t)module->dlpi_addr + (uintptr_t)module->dlpi_phdr[i].p_vaddr;
    uintptr_t last = first + ((uintptr_t)module->dlpi_phdr[i].p_memsz - 1);
    extent->min = first < extent->min ? first : extent->min;
    extent->max = last > extent->max ? last : extent->max;
  }
  return extent->min <= extent->max;
}

static int look_at(struct dl_phdr_info *module, size_t size, void *context) {
  (void)size;
  module_search *search = context;
  nbuf_range extent;
  if (!extent_of(module, &extent) || search->address < extent.min || search->address > extent.max) {
    return 0;
  }
  search->extent = extent;
  return 1;
}

bool nbuf_os_module_extent(uintptr_t address, nbuf_range *extent) {
  module_search search = {.address = address};
  bool is_found = dl_iterate_phdr(look_at, &search) != 0;
  *extent = search.extent;
  return is_found;
}

uintptr_t nbuf_os_module_start(uintptr_t address) {
#ifdef DLFO_STRUCT_HAS_EH_DBASE /* glibc 2.35 and later, which has this for unwinders */
  struct dl_find_object module;
  if (_dl_find_object((void *)address, &module) != 0) {
    return 0;
  }
  /* Of a static program glibc 2.36 returns the start of some section. */
  uintptr_t start = (uintptr_t)module.dlfo_map_start;
  return start <= address && start % nbuf_os_page_size() == 0 ? start : 0;
#else
  (void)address;
  return 0;
#endif
}
