/* See system_hook.h. */
#include "system_hook.h"

#include <errno.h>
#include <stddef.h>

#include "wrapped_syscall.h"

static system_hook current;

void system_hook_set(system_hook hook) {
  current = hook;
}

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker gives these names */
long __wrap_syscall(long number, ...) {
  long given[SYSCALL_ARGUMENTS];
  SYSCALL_READ_ARGUMENTS(given, number);
  int error = current == NULL ? 0 : current(number, given);
  if (error != 0) {
    errno = error;
    return -1;
  }
  return SYSCALL_PASS_ON(number, given);
}
/* NOLINTEND(bugprone-reserved-identifier) */
