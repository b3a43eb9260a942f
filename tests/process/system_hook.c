/* See system_hook.h. */
#include "system_hook.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>

static system_hook current;

void system_hook_set(system_hook hook) {
  current = hook;
}

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker gives these names */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
  long given[6];
  va_list arguments;
  va_start(arguments, number);
  for (int i = 0; i < 6; i++) {
    given[i] = va_arg(arguments, long);
  }
  va_end(arguments);
  int error = current == NULL ? 0 : current(number, given);
  if (error != 0) {
    errno = error;
    return -1;
  }
  return __real_syscall(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}
/* NOLINTEND(bugprone-reserved-identifier) */
