/* The meaning of the codes of failed calls of Windows. */
#ifndef NB_WINDOWS_ERROR_H
#define NB_WINDOWS_ERROR_H

#include <windows.h>

#include "os/os.h"

/* The result of a call that failed with this code. Never OK. */
nb_result nb_windows_failure(DWORD error);

#endif
