/* The codes of failed calls; see windows/error.h. Sources: the pages of VirtualAlloc and
 * MapViewOfFile, and winerror.h. */
#include "os/windows/error.h"

/* Older headers lack it. */
#ifndef ERROR_DYNAMIC_CODE_BLOCKED
#define ERROR_DYNAMIC_CODE_BLOCKED 1655L
#endif

nbuf_result nbuf_windows_failure(DWORD error) {
  switch (error) {
  case ERROR_INVALID_ADDRESS: /* something is mapped there */
    return nbuf_result_system(NEARBUF_NO_ROOM, (int32_t)error);
  case ERROR_NOT_ENOUGH_MEMORY:
  case ERROR_OUTOFMEMORY:
  case ERROR_COMMITMENT_LIMIT:
  case ERROR_NO_SYSTEM_RESOURCES:
    return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, (int32_t)error);
  case ERROR_ACCESS_DENIED:
  case ERROR_DYNAMIC_CODE_BLOCKED:
    return nbuf_result_system(NEARBUF_DENIED, (int32_t)error);
  default:
    return nbuf_result_system(NEARBUF_SYSTEM_ERROR, (int32_t)error);
  }
}
