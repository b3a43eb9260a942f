/* The system's own search for memory in a range: Windows 10 1803 and later have it, and Wine 10. */
#ifndef NBUF_WINDOWS_SEARCH_H
#define NBUF_WINDOWS_SEARCH_H

#include <windows.h>

typedef PVOID(WINAPI *nbuf_virtual_alloc2)(HANDLE process, PVOID address, SIZE_T size, ULONG kind,
                                           ULONG protection, MEM_EXTENDED_PARAMETER *parameters,
                                           ULONG parameter_count);

/* Looked up when the module is loaded. Null if the system does not have it, or once its result was
 * wrong. Tests set it. */
extern _Atomic(nbuf_virtual_alloc2) nbuf_windows_virtual_alloc2;

#endif
