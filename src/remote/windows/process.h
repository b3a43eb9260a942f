/* Shared by the Windows files for other processes. */
#ifndef NBUF_WINDOWS_REMOTE_H
#define NBUF_WINDOWS_REMOTE_H

#include <windows.h>

#include "remote/port.h"

/* The process itself. */
HANDLE nbuf_windows_process(const nearbuf_process *process);

/* Whether we have the right to read it, and to change it. */
bool nbuf_windows_may_look(const nearbuf_process *process);
bool nbuf_windows_may_change(const nearbuf_process *process);

nbuf_result nbuf_windows_result(DWORD error);

/* A run of pages of one kind, in a process of any width. */
typedef struct nbuf_windows_region {
  uint64_t base;
  uint64_t size;
  uint64_t allocation; /* the start of what was reserved at once */
  DWORD state;
  DWORD type;
  DWORD protection; /* PAGE_NOACCESS if it cannot be accessed, for whatever reason */
} nbuf_windows_region;

/* The memory at an address. NOT_FOUND: it is beyond the last one; UNSUPPORTED: the process is wider
 * than ours, and the system does not report it. */
nbuf_result nbuf_windows_query(HANDLE process, uint32_t address_bits, uint64_t address,
                               nbuf_windows_region *region);

bool nbuf_windows_is_readable(DWORD protection);
bool nbuf_windows_is_writable(DWORD protection);

/* A function of ntdll.dll that not every system has; 0: it is missing. */
uintptr_t nbuf_windows_native(const char *name);

#endif
