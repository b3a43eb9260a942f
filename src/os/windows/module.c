/* The extent of the module that contains an address: an image is one allocation. */
#include <windows.h>

#include "os/os.h"

bool nbuf_os_module_extent(uintptr_t address, nbuf_range *extent) {
  MEMORY_BASIC_INFORMATION info;
  *extent = (nbuf_range){0, 0};
  if (VirtualQuery((const void *)address, &info, sizeof info) == 0 || info.Type != MEM_IMAGE) {
    return false;
  }
  const void *image = info.AllocationBase;
  uintptr_t end = (uintptr_t)image;
  while (VirtualQuery((const void *)end, &info, sizeof info) != 0 && info.AllocationBase == image &&
         info.State != MEM_FREE) {
    end = (uintptr_t)info.BaseAddress + info.RegionSize;
  }
  *extent = (nbuf_range){(uintptr_t)image, end - 1};
  return true;
}

uintptr_t nbuf_os_module_start(uintptr_t address) {
  (void)address;
  return 0;
}
