/* For programs that are linked with --wrap=syscall: like the C library's own function, the wrapper
 * reads and passes on six arguments, however many the caller gave. */
#ifndef NEARBUF_TEST_WRAPPED_SYSCALL_H
#define NEARBUF_TEST_WRAPPED_SYSCALL_H

#include <stdarg.h>

enum { SYSCALL_ARGUMENTS = 6 };

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker gives these names */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

/* Reads the arguments after `number`. A macro, because only the function itself can. */
#define SYSCALL_READ_ARGUMENTS(given, number)                                                      \
  do {                                                                                             \
    va_list syscall_arguments;                                                                     \
    va_start(syscall_arguments, number);                                                           \
    for (int syscall_at = 0; syscall_at < SYSCALL_ARGUMENTS; syscall_at++) {                       \
      (given)[syscall_at] = va_arg(syscall_arguments, long);                                       \
    }                                                                                              \
    va_end(syscall_arguments);                                                                     \
  } while (0)

/* Makes the call. A macro, too: a wrapper may be excluded from a sanitizer. */
#define SYSCALL_PASS_ON(number, given)                                                             \
  __real_syscall(number, (given)[0], (given)[1], (given)[2], (given)[3], (given)[4], (given)[5])
/* NOLINTEND(bugprone-reserved-identifier) */

#endif
