/* The extent of the module that contains an address, by the load commands of what dyld loaded. */
#include <mach-o/dyld.h>
#include <mach-o/loader.h>
#include <string.h>

#include "os/os.h"

/* The pages from address 0 are not memory; what the linker left for debuggers lies far away, and
 * all modules of the system's cache share it. */
static bool accept_any_size(const struct segment_command_64 *segment) {
  return segment->vmsize != 0 && strcmp(segment->segname, SEG_PAGEZERO) != 0 &&
         strcmp(segment->segname, SEG_LINKEDIT) != 0;
}

static bool image_extent(const struct mach_header_64 *header, uintptr_t slide, nbuf_range *extent) {
  *extent = (nbuf_range){UINTPTR_MAX, 0};
  const char *at = (const char *)(header + 1);
  for (uint32_t i = 0; i < header->ncmds; i++) {
    const struct load_command *command = (const void *)at;
    const struct segment_command_64 *segment = (const void *)at;
    if (command->cmd == LC_SEGMENT_64 && accept_any_size(segment)) {
      uintptr_t first = (uintptr_t)segment->vmaddr + slide;
      uintptr_t last = first + ((uintptr_t)segment->vmsize - 1);
      extent->min = first < extent->min ? first : extent->min;
      extent->max = last > extent->max ? last : extent->max;
    }
    at += command->cmdsize;
  }
  return extent->min <= extent->max;
}

bool nbuf_os_module_extent(uintptr_t address, nbuf_range *extent) {
  for (uint32_t i = 0; i < _dyld_image_count(); i++) {
    const struct mach_header_64 *header = (const void *)_dyld_get_image_header(i);
    uintptr_t slide = (uintptr_t)_dyld_get_image_vmaddr_slide(i);
    if (header != NULL && header->magic == MH_MAGIC_64 && image_extent(header, slide, extent) &&
        extent->min <= address && address <= extent->max) {
      return true;
    }
  }
  *extent = (nbuf_range){0, 0};
  return false;
}

uintptr_t nbuf_os_module_start(uintptr_t address) {
  (void)address;
  return 0;
}
