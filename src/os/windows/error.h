/* The meaning of the codes of failed calls of Windows. */
#ifndef NBUF_WINDOWS_ERROR_H
#define NBUF_WINDOWS_ERROR_H

#include <windows.h>

#include "os/os.h"

/* The result of a call that failed with this code. Never OK. */
nbuf_result nbuf_windows_failure(DWORD error);

#endif
