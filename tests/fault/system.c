/* The system calls of the library, which fail on purpose; see system.h. */
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "test.h"
#include "wrapped_syscall.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum { MOST_ERRORS = 6, FEW_BYTES = 1000 };

static const struct {
  const char *name;
  int errors[MOST_ERRORS]; /* 0 ends the list */
} kinds[CALL_KINDS] = {
    [CALL_NONE] = {"nothing", {0}},
    [CALL_CLONE] = {"clone", {EAGAIN, ENOMEM}},
    [CALL_CLOSE] = {"close", {EINTR, EIO}},
    [CALL_FCHMOD] = {"fchmod", {EPERM, EIO}},
    [CALL_FCHMODAT] = {"fchmodat", {EPERM, EROFS}},
    [CALL_FCHOWN] = {"fchown", {EPERM, EIO}},
    [CALL_FCHOWNAT] = {"fchownat", {EPERM, EIO}},
    [CALL_FLOCK] = {"flock", {EWOULDBLOCK, ENOLCK, EINTR}},
    [CALL_FSTAT] = {"fstat", {ENOMEM, EIO}},
    [CALL_FSTATAT] = {"fstatat", {ENOENT, ENOMEM, EACCES}},
    [CALL_FSTATFS] = {"fstatfs", {ENOSYS, EIO}},
    [CALL_FUTEX] = {"futex", {ENOSYS, EPERM}},
    [CALL_GETDENTS] = {"getdents64", {ENOENT, EIO}},
    [CALL_GETRANDOM] = {"getrandom", {ENOSYS, EAGAIN}},
    [CALL_GETRLIMIT] = {"getrlimit", {EPERM}},
    [CALL_IOCTL] = {"ioctl", {ENOTTY, EPERM, EINTR, ENOMEM}},
    [CALL_KCMP] = {"kcmp", {ENOSYS, EPERM}},
    [CALL_KILL] = {"kill", {EPERM, ESRCH}},
    [CALL_LINKAT] = {"linkat", {EPERM, ENOSPC, EACCES}},
    [CALL_LSEEK] = {"lseek", {EINVAL}},
    [CALL_MADVISE] = {"madvise", {EINVAL, ENOMEM}},
    [CALL_MEMBARRIER] = {"membarrier", {ENOSYS, EPERM}},
    [CALL_MEMFD] = {"memfd_create", {ENOSYS, EMFILE, ENOMEM}},
    [CALL_MKDIRAT] = {"mkdirat", {EACCES, ENOSPC, EROFS}},
    [CALL_MMAP] = {"mmap", {ENOMEM, EPERM, EAGAIN, EACCES, ENFILE}},
    [CALL_MUNMAP] = {"munmap", {ENOMEM}},
    [CALL_OPEN] = {"open", {EMFILE, ENFILE, EACCES, EINTR, ENOMEM}},
    [CALL_OPENAT] = {"openat", {EMFILE, EACCES, ENOSPC, EINTR, EROFS, ENOMEM}},
    [CALL_OPENAT2] = {"openat2", {ENOSYS, EMFILE, EACCES}},
    [CALL_PIDFD_OPEN] = {"pidfd_open", {ENOSYS, EMFILE, ENOMEM}},
    [CALL_PREAD] = {"pread", {EIO, EINTR}},
    [CALL_PWRITE] = {"pwrite", {EIO, ENOSPC}},
    [CALL_READ] = {"read", {EIO, EINTR, ENOMEM}},
    [CALL_READLINKAT] = {"readlinkat", {EACCES, ENOENT}},
    [CALL_RENAMEAT] = {"renameat", {EACCES, ENOSPC, EIO}},
    [CALL_RENAMEAT2] = {"renameat2", {ENOSYS, EINVAL, EACCES, ENOSPC}},
    [CALL_SBRK] = {"sbrk", {ENOMEM}},
    [CALL_SEIZE] = {"PTRACE_SEIZE", {EPERM, EIO}},
    [CALL_STAT] = {"stat", {EACCES, ENOMEM}},
    [CALL_STATX] = {"statx", {ENOSYS, EIO}},
    [CALL_UNLINKAT] = {"unlinkat", {EACCES, EIO}},
    [CALL_VM_READ] = {"process_vm_readv", {ENOSYS, EPERM, ENOMEM}},
    [CALL_VM_WRITE] = {"process_vm_writev", {ENOSYS, EPERM, ENOMEM}},
    [CALL_WRITE] = {"write", {ENOSPC, EIO, EINTR, EDQUOT}},
};

const char *system_call_name(system_call call) {
  return kinds[call].name;
}

int system_errors(system_call call) {
  int count = 0;
  while (count < MOST_ERRORS && kinds[call].errors[count] != 0) {
    count++;
  }
  return count;
}

int system_error(system_call call, int index) {
  int count = system_errors(call);
  return count == 0 ? 0 : kinds[call].errors[index % count];
}

static struct {
  bool is_armed;
  bool is_actors_turn;
  system_plan plan;
  unsigned kernel;
  int calls;
  system_call *met;
  uintptr_t wanted_address;
  size_t wanted_size;
} state;

void system_be(unsigned kernel) {
  state.kernel = kernel;
}

void system_arm(const system_plan *plan, system_call *met) {
  state.plan = *plan;
  state.calls = 0;
  state.met = met;
  *met = CALL_NONE;
  state.is_armed = true;
}

void system_disarm(void) {
  state.is_armed = false;
}

uintptr_t system_wanted_address(void) {
  return state.wanted_address;
}

size_t system_wanted_size(void) {
  return state.wanted_size;
}

static bool is_kernel(unsigned like) {
  return !state.is_actors_turn && (state.kernel & like) != 0;
}

/* Counts a call, lets the actor act, and decides whether it fails; errno is set then. */
static bool fails(system_call call) {
  if (!state.is_armed) {
    return false;
  }
  bool is_meant = ++state.calls == state.plan.at;
  if (is_meant) {
    *state.met = call;
    if (state.plan.actor != NULL) {
      state.is_armed = false;
      state.is_actors_turn = true;
      state.plan.actor();
      state.is_actors_turn = false;
      state.is_armed = true;
    }
  }
  int error = system_error(call, state.plan.error);
  /* Interruptions end at some point. */
  bool is_later = state.plan.is_lasting && *state.met == call && !is_meant && error != EINTR;
  if (state.plan.actor != NULL || (!is_meant && !is_later)) {
    return false;
  }
  errno = error;
  return true;
}

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker gives these names */
#define WRAP(result, name, ...)                                                                    \
  result __real_##name(__VA_ARGS__);                                                               \
  result __wrap_##name(__VA_ARGS__);                                                               \
  result __wrap_##name(__VA_ARGS__)

WRAP(int, close, int file) {
  /* Linux closes the file whatever it returns. */
  bool is_failure = fails(CALL_CLOSE);
  int error = errno;
  int result = __real_close(file);
  errno = is_failure ? error : errno;
  return is_failure ? -1 : result;
}

WRAP(int, fchmod, int file, mode_t mode) {
  return fails(CALL_FCHMOD) ? -1 : __real_fchmod(file, mode);
}

WRAP(int, fchmodat, int directory, const char *name, mode_t mode, int flags) {
  return fails(CALL_FCHMODAT) ? -1 : __real_fchmodat(directory, name, mode, flags);
}

WRAP(int, fchownat, int directory, const char *name, uid_t user, gid_t group, int flags) {
  return fails(CALL_FCHOWNAT) ? -1 : __real_fchownat(directory, name, user, group, flags);
}

WRAP(ssize_t, readlinkat, int directory, const char *name, char *text, size_t size) {
  return fails(CALL_READLINKAT) ? -1 : __real_readlinkat(directory, name, text, size);
}

WRAP(int, flock, int file, int operation) {
  return fails(CALL_FLOCK) ? -1 : __real_flock(file, operation);
}

WRAP(int, fstat, int file, struct stat *status) {
  return fails(CALL_FSTAT) ? -1 : __real_fstat(file, status);
}

WRAP(int, fstatat, int directory, const char *name, struct stat *status, int flags) {
  return fails(CALL_FSTATAT) ? -1 : __real_fstatat(directory, name, status, flags);
}

WRAP(int, stat, const char *name, struct stat *status) {
  return fails(CALL_STAT) ? -1 : __real_stat(name, status);
}

WRAP(int, statx, int directory, const char *name, int flags, unsigned mask, struct statx *status) {
  return fails(CALL_STATX) ? -1 : __real_statx(directory, name, flags, mask, status);
}

WRAP(int, fstatfs, int file, struct statfs *status) {
  return fails(CALL_FSTATFS) ? -1 : __real_fstatfs(file, status);
}

WRAP(int, getrlimit, int resource, struct rlimit *limit) {
  return fails(CALL_GETRLIMIT) ? -1 : __real_getrlimit(resource, limit);
}

WRAP(int, kill, pid_t process, int signal) {
  return fails(CALL_KILL) ? -1 : __real_kill(process, signal);
}

WRAP(int, linkat, int from_directory, const char *from, int to_directory, const char *to,
     int flags) {
  return fails(CALL_LINKAT) ? -1 : __real_linkat(from_directory, from, to_directory, to, flags);
}

WRAP(int, renameat, int from_directory, const char *from, int to_directory, const char *to) {
  return fails(CALL_RENAMEAT) ? -1 : __real_renameat(from_directory, from, to_directory, to);
}

WRAP(int, unlinkat, int directory, const char *name, int flags) {
  return fails(CALL_UNLINKAT) ? -1 : __real_unlinkat(directory, name, flags);
}

WRAP(int, mkdirat, int directory, const char *name, mode_t mode) {
  return fails(CALL_MKDIRAT) ? -1 : __real_mkdirat(directory, name, mode);
}

WRAP(off_t, lseek, int file, off_t offset, int whence) {
  return fails(CALL_LSEEK) ? -1 : __real_lseek(file, offset, whence);
}

WRAP(ssize_t, pread, int file, void *bytes, size_t size, off_t offset) {
  return fails(CALL_PREAD) ? -1 : __real_pread(file, bytes, size, offset);
}

WRAP(ssize_t, pread64, int file, void *bytes, size_t size, off64_t offset) {
  return fails(CALL_PREAD) ? -1 : __real_pread64(file, bytes, size, offset);
}

WRAP(ssize_t, pwrite, int file, const void *bytes, size_t size, off_t offset) {
  return fails(CALL_PWRITE) ? -1 : __real_pwrite(file, bytes, size, offset);
}

WRAP(ssize_t, pwrite64, int file, const void *bytes, size_t size, off64_t offset) {
  return fails(CALL_PWRITE) ? -1 : __real_pwrite64(file, bytes, size, offset);
}

WRAP(int, fchown, int file, uid_t user, gid_t group) {
  return fails(CALL_FCHOWN) ? -1 : __real_fchown(file, user, group);
}

WRAP(ssize_t, process_vm_readv, pid_t process, const struct iovec *here, unsigned long here_count,
     const struct iovec *there, unsigned long there_count, unsigned long flags) {
  return fails(CALL_VM_READ)
             ? -1
             : __real_process_vm_readv(process, here, here_count, there, there_count, flags);
}

WRAP(ssize_t, process_vm_writev, pid_t process, const struct iovec *here, unsigned long here_count,
     const struct iovec *there, unsigned long there_count, unsigned long flags) {
  return fails(CALL_VM_WRITE)
             ? -1
             : __real_process_vm_writev(process, here, here_count, there, there_count, flags);
}

/* As the library uses it: without what may follow. */
int __real_clone(int (*run)(void *), void *stack, int flags, void *argument, ...);
int __wrap_clone(int (*run)(void *), void *stack, int flags, void *argument, ...);
int __wrap_clone(int (*run)(void *), void *stack, int flags, void *argument, ...) {
  return fails(CALL_CLONE) ? -1 : __real_clone(run, stack, flags, argument);
}

static size_t as_much(size_t size) {
  return is_kernel(TRANSFERS_LITTLE) && size > FEW_BYTES ? FEW_BYTES : size;
}

WRAP(ssize_t, read, int file, void *bytes, size_t size) {
  return fails(CALL_READ) ? -1 : __real_read(file, bytes, as_much(size));
}

WRAP(ssize_t, write, int file, const void *bytes, size_t size) {
  return fails(CALL_WRITE) ? -1 : __real_write(file, bytes, as_much(size));
}

WRAP(int, madvise, void *address, size_t size, int advice) {
  if (fails(CALL_MADVISE)) {
    return -1;
  }
  const int wipe_on_fork = 18; /* newer than some headers */
  if (is_kernel(CANNOT_WIPE) && advice == wipe_on_fork) {
    errno = EINVAL;
    return -1;
  }
  return is_kernel(IGNORES_ADVICE) ? 0 : __real_madvise(address, size, advice);
}

WRAP(void *, mmap, void *address, size_t size, int protection, int flags, int file, off_t offset) {
  state.wanted_address = (uintptr_t)address;
  state.wanted_size = size;
  bool is_failure = fails(CALL_MMAP);
  state.wanted_address = 0;
  state.wanted_size = 0;
  if (is_failure) {
    return MAP_FAILED;
  }
  if (is_kernel(IGNORES_NO_REPLACE)) {
    flags &= ~MAP_FIXED_NOREPLACE;
  }
  return __real_mmap(address, size, protection, flags, file, offset);
}

WRAP(int, munmap, void *address, size_t size) {
  return fails(CALL_MUNMAP) ? -1 : __real_munmap(address, size);
}

WRAP(void *, sbrk, intptr_t increment) {
  return fails(CALL_SBRK) ? (void *)-1 /* NOLINT(performance-no-int-to-ptr): its own sentinel */
                          : __real_sbrk(increment);
}

/* Another thread may start a program at any time, which must not get the library's descriptors. */
static void check_closed_on_exec(bool is_closed) {
  if (!is_closed) {
    test_fail(__FILE__, __LINE__, "a descriptor is open in programs that are started meanwhile");
  }
}

int __real_open(const char *name, int flags, ...);
int __wrap_open(const char *name, int flags, ...);
int __wrap_open(const char *name, int flags, ...) {
  check_closed_on_exec((flags & O_CLOEXEC) != 0);
  return fails(CALL_OPEN) ? -1 : __real_open(name, flags); /* the library creates nothing with it */
}

int __real_openat(int directory, const char *name, int flags, ...);
int __wrap_openat(int directory, const char *name, int flags, ...);
int __wrap_openat(int directory, const char *name, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  check_closed_on_exec((flags & O_CLOEXEC) != 0);
  return fails(CALL_OPENAT) ? -1 : __real_openat(directory, name, flags, mode);
}

static system_call call_of(long number, long first) {
  switch (number) {
  case SYS_openat2:
    return CALL_OPENAT2;
  case SYS_pidfd_open:
    return CALL_PIDFD_OPEN;
  case SYS_ptrace:
    return first == PTRACE_SEIZE ? CALL_SEIZE
                                 : CALL_NONE; /* later ones only fail with the thread */
  case SYS_renameat2:
    return CALL_RENAMEAT2;
  case SYS_memfd_create:
    return CALL_MEMFD;
  case SYS_getdents64:
    return CALL_GETDENTS;
  case SYS_futex:
    return CALL_FUTEX;
  case SYS_getrandom:
    return CALL_GETRANDOM;
  case SYS_ioctl:
    return CALL_IOCTL;
  case SYS_kcmp:
    return CALL_KCMP;
  case SYS_membarrier:
    return CALL_MEMBARRIER;
  default:
    return CALL_NONE;
  }
}

static bool is_unknown_to_kernel(system_call call) {
  return (is_kernel(OLD_KERNEL) && (call == CALL_IOCTL || call == CALL_RENAMEAT2 ||
                                    call == CALL_MEMFD || call == CALL_MEMBARRIER)) ||
         (is_kernel(CANNOT_RENAME_NEW) && call == CALL_RENAMEAT2) ||
         (is_kernel(CANNOT_MAKE_MEMORY_FILES) && call == CALL_MEMFD);
}

#if defined(__SANITIZE_ADDRESS__)
__attribute__((no_sanitize_address))
#endif
long __wrap_syscall(long number, ...) {
  long given[SYSCALL_ARGUMENTS];
  SYSCALL_READ_ARGUMENTS(given, number);
  system_call call = call_of(number, given[0]);
  if (call == CALL_OPENAT2) {
    uint64_t flags; /* the first field of the structure */
    memcpy(&flags, (const void *)given[2], sizeof flags);
    check_closed_on_exec((flags & O_CLOEXEC) != 0);
  }
  check_closed_on_exec(call != CALL_MEMFD || (given[1] & MFD_CLOEXEC) != 0);
  if (call != CALL_NONE && fails(call)) {
    return -1;
  }
  if (is_unknown_to_kernel(call)) {
    errno = call == CALL_IOCTL ? ENOTTY : ENOSYS;
    return -1;
  }
  return SYSCALL_PASS_ON(number, given);
}
/* NOLINTEND(bugprone-reserved-identifier) */
