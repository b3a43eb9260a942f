/* What the Windows files for other processes share. */
#ifndef NB_WINDOWS_REMOTE_H
#define NB_WINDOWS_REMOTE_H

#include <windows.h>

#include "remote/port.h"

/* The process itself. */
HANDLE nb_windows_process(const nearbuf_process *process);

/* Whether we have the right to look into it, and to change it. */
bool nb_windows_may_look(const nearbuf_process *process);
bool nb_windows_may_change(const nearbuf_process *process);

nb_result nb_windows_result(DWORD error);

/* A run of pages of one kind, in a process of any width. */
typedef struct nb_windows_region {
  uint64_t base;
  uint64_t size;
  uint64_t allocation; /* the start of what was reserved at once */
  DWORD state;
  DWORD type;
  DWORD protection; /* PAGE_NOACCESS where it cannot be touched, whatever the reason */
} nb_windows_region;

/* What is at an address. NOT_FOUND: it is beyond the last one; UNSUPPORTED: the process is wider than
 * ours, and the system does not tell us. */
nb_result nb_windows_query(HANDLE process, uint32_t address_bits, uint64_t address,
                           nb_windows_region *region);

bool nb_windows_is_readable(DWORD protection);
bool nb_windows_is_writable(DWORD protection);

/* A function of ntdll.dll, which not every system has; 0 where it has not. */
uintptr_t nb_windows_native(const char *name);

#endif
