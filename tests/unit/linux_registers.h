/* The registers of a thread that is stopped for a remote system call: what the kernel is asked to
 * set decides whether the call in which the thread was is restarted. remote/linux/registers.c is
 * compiled here, with another name for the system call. With real threads it is tested by
 * tests/process (remote_blocked). */
#ifndef NEARBUF_LINUX_REGISTERS_H
#define NEARBUF_LINUX_REGISTERS_H

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "remote/linux/registers.h"
#include "test.h"

/* ---- The thread ------------------------------------------------------------------------------ */

enum { THREAD = 42 };
#define ENTRY UINT64_C(0x20000000)
#define MINUS(error) ((uint64_t) - (int64_t)(error))

static struct {
  nbuf_registers set;
  int error;
  int sets;
  int numbers; /* how often the number of its call was set */
} kernel;

/* The two processors have different requests for the same. */
static long set_or_get(long ctx, uint64_t kind, void *data) {
#if defined(__x86_64__)
  (void)kind;
  bool is_get = ctx == PTRACE_GETREGS;
  CHECK(is_get || ctx == PTRACE_SETREGS);
#else
  bool is_get = ctx == PTRACE_GETREGSET;
  const struct iovec *where = data;
  CHECK(is_get || ctx == PTRACE_SETREGSET);
  if (kind == 0x404) { /* NT_ARM_SYSTEM_CALL */
    CHECK(!is_get && where->iov_len == 4 && *(const int *)where->iov_base == -1);
    kernel.numbers++;
    return 0;
  }
  CHECK(kind == 1 && where->iov_len == sizeof kernel.set);
  data = where->iov_base;
#endif
  if (kernel.error != 0) {
    errno = kernel.error;
    return -1;
  }
  memcpy(is_get ? data : &kernel.set, is_get ? &kernel.set : data, sizeof kernel.set);
  kernel.sets += !is_get;
  return 0;
}

static long invented_syscall(long number, ...) {
  va_list arguments;
  va_start(arguments, number);
  long ctx = va_arg(arguments, long);
  long thread = va_arg(arguments, long);
  uint64_t address = va_arg(arguments, uintptr_t);
  uintptr_t data = va_arg(arguments, uintptr_t);
  va_end(arguments);
  CHECK(number == SYS_ptrace && thread == THREAD);
  return set_or_get(ctx, address, (void *)data);
}

#define syscall invented_syscall
#include "remote/linux/registers.c" /* NOLINT(bugprone-suspicious-include) */

static const uint64_t arguments[6] = {UINT64_C(0x1100000011), UINT64_C(0x1200000012),
                                      UINT64_C(0x1300000013), UINT64_C(0x1400000014),
                                      UINT64_C(0x1500000015), UINT64_C(0x1600000016)};
static nbuf_trace_target wide = {.is_64_bit = true, .entry = ENTRY};

static nbuf_registers filled(void) {
  nbuf_registers set;
  memset(&set, 0x77, sizeof set);
  return set;
}

static void check_read_and_set(void) {
  nbuf_registers set;
  kernel.set = filled();
  CHECK(nbuf_registers_get(THREAD, &set));
  CHECK(memcmp(&set, &kernel.set, sizeof set) == 0);
  memset(&set, 1, sizeof set);
  CHECK(nbuf_registers_set(THREAD, &set));
  CHECK(memcmp(&set, &kernel.set, sizeof set) == 0);
  kernel.error = ESRCH;
  CHECK(!nbuf_registers_get(THREAD, &set) && errno == ESRCH);
  CHECK(!nbuf_registers_set(THREAD, &set));
}

#endif
