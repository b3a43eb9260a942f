/* Linux: the processors on which remote system calls are made; see registers.h. Sources: kernel
 * 6.18 (arch/x86/kernel/signal.c, arch/arm64/kernel/signal.c, arch/arm64/kernel/ptrace.c). */
#include "remote/linux/registers.h"

#include <errno.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#if defined(NBUF_HAS_REGISTERS)

#if defined(__aarch64__)
#include <asm/ptrace.h> /* struct user_pt_regs */
#include <fcntl.h>
#include <stdio.h>
#endif

long nbuf_trace_request(pid_t thread, long ctx, uintptr_t address, uintptr_t data) {
  return syscall(SYS_ptrace, ctx, (long)thread, address, data);
}

/* The results that the kernel stores for a call that it interrupted (include/linux/errno.h): on the
 * way out, when it knows whether a handler runs, it turns them into a restart or into EINTR. */
enum {
  RESTART_AS_HANDLER_SAYS = -512, /* ERESTARTSYS: its SA_RESTART decides */
  RESTART_WITHOUT_HANDLER = -514, /* ERESTARTNOHAND */
  RESTART_WITH_TIME_LEFT = -516   /* ERESTART_RESTARTBLOCK: else like the one before */
};

/* Calls that the kernel ends with EINTR when their thread is woken without a signal, while it
 * restarts others by itself: they wait for events, for signals, or on a socket with a time limit.
 * None has had an effect when it ends so. */
static const uint16_t restartable[] = {
#if defined(__x86_64__)
    SYS_epoll_wait,
    333 /* io_pgetevents */,
#else
    292 /* io_pgetevents */,
#endif
    SYS_epoll_pwait,
    441 /* epoll_pwait2 */,
    SYS_rt_sigtimedwait,
    SYS_semop,
    SYS_semtimedop,
    SYS_io_getevents,
    SYS_read,
    SYS_readv,
    SYS_write,
    SYS_writev,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_recvmmsg,
    SYS_sendto,
    SYS_sendmsg,
    SYS_sendmmsg,
    SYS_accept,
    SYS_accept4,
    SYS_connect,
    SYS_sendfile,
    SYS_splice,
    SYS_preadv2,
    SYS_pwritev2,
    426 /* io_uring_enter */,
};

static bool is_listed(uint64_t number, const uint16_t *calls, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (calls[i] == number) {
      return true;
    }
  }
  return false;
}

#if defined(__x86_64__)

/* ---- x86-64, and 32-bit programs on it ------------------------------------------------------- */

const unsigned char nbuf_trace_entry_64[] = {0x0f, 0x05}; /* syscall */
const unsigned char nbuf_trace_entry_32[] = {0xcd, 0x80}; /* int 0x80 */
const uint32_t nbuf_trace_entry_64_size = sizeof nbuf_trace_entry_64;
const uint32_t nbuf_trace_entry_32_size = sizeof nbuf_trace_entry_32;

static const uint16_t numbers_64[NBUF_TRACE_CALLS] = {
    [NBUF_TRACE_MMAP] = SYS_mmap,       [NBUF_TRACE_MUNMAP] = SYS_munmap,
    [NBUF_TRACE_MADVISE] = SYS_madvise, [NBUF_TRACE_OPENAT] = SYS_openat,
    [NBUF_TRACE_CLOSE] = SYS_close,     [NBUF_TRACE_FLOCK] = SYS_flock,
};
static const uint16_t numbers_32[NBUF_TRACE_CALLS] = {
    [NBUF_TRACE_MMAP] = 192, /* mmap2: the offset counts pages, which 0 does anyway */
    [NBUF_TRACE_MUNMAP] = 91, [NBUF_TRACE_MADVISE] = 219, [NBUF_TRACE_OPENAT] = 295,
    [NBUF_TRACE_CLOSE] = 6,   [NBUF_TRACE_FLOCK] = 143,
};

bool nbuf_registers_get(pid_t thread, nbuf_registers *set) {
  /* Not the register set of the target: a 32-bit one would have another form. */
  return nbuf_trace_request(thread, PTRACE_GETREGS, 0, (uintptr_t)set) == 0;
}

bool nbuf_registers_set(pid_t thread, const nbuf_registers *set) {
  return nbuf_trace_request(thread, PTRACE_SETREGS, 0, (uintptr_t)set) == 0;
}

/* The registers of a stopped thread contain all of it. */
void nbuf_registers_note_call(int directory, pid_t thread, nbuf_blocked_call *call) {
  (void)directory;
  (void)thread;
  *call = (nbuf_blocked_call){0};
}

void nbuf_registers_prepare(nbuf_registers *set, const nbuf_trace_target *target,
                            nbuf_trace_call call, const uint64_t arguments[6],
                            const nbuf_blocked_call *before) {
  (void)before;
  set->rip = target->entry;
  set->orig_rax = UINT64_MAX; /* not in a call: there is nothing to restart */
  if (target->is_64_bit) {
    set->cs = 0x33; /* also where the thread runs 32-bit code just now */
    set->rax = numbers_64[call];
    set->rdi = arguments[0];
    set->rsi = arguments[1];
    set->rdx = arguments[2];
    set->r10 = arguments[3];
    set->r8 = arguments[4];
    set->r9 = arguments[5];
  } else {
    set->rax = numbers_32[call];
    set->rbx = (uint32_t)arguments[0];
    set->rcx = (uint32_t)arguments[1];
    set->rdx = (uint32_t)arguments[2];
    set->rsi = (uint32_t)arguments[3];
    set->rdi = (uint32_t)arguments[4];
    set->rbp = (uint32_t)arguments[5];
  }
}

bool nbuf_registers_at_entry(pid_t thread, nbuf_registers *set, const uint64_t arguments[6]) {
  (void)thread;
  (void)set;
  (void)arguments;
  return true;
}

int64_t nbuf_registers_result(const nbuf_registers *set, const nbuf_trace_target *target) {
  if (target->is_64_bit) {
    return (int64_t)set->rax;
  }
  uint32_t result = (uint32_t)set->rax;
  return result > (uint32_t)-4096 ? (int32_t)result : (int64_t)result;
}

static bool is_restartable(uint64_t number, bool is_64_bit) {
  static const uint16_t calls_32[] = {256 /* epoll_wait */,
                                      319 /* epoll_pwait */,
                                      441 /* epoll_pwait2 */,
                                      177 /* rt_sigtimedwait */,
                                      421 /* rt_sigtimedwait_time64 */,
                                      117 /* ipc: semop */,
                                      420 /* semtimedop_time64 */,
                                      247 /* io_getevents */,
                                      385 /* io_pgetevents */,
                                      416 /* io_pgetevents_time64 */,
                                      3 /* read */,
                                      145 /* readv */,
                                      4 /* write */,
                                      146 /* writev */,
                                      102 /* socketcall */,
                                      371 /* recvfrom */,
                                      372 /* recvmsg */,
                                      337 /* recvmmsg */,
                                      417 /* recvmmsg_time64 */,
                                      369 /* sendto */,
                                      370 /* sendmsg */,
                                      345 /* sendmmsg */,
                                      364 /* accept4 */,
                                      362 /* connect */,
                                      187 /* sendfile */,
                                      239 /* sendfile64 */,
                                      313 /* splice */,
                                      378 /* preadv2 */,
                                      379 /* pwritev2 */,
                                      426 /* io_uring_enter */};
  return is_64_bit ? is_listed(number, restartable, sizeof restartable / sizeof *restartable)
                   : is_listed(number, calls_32, sizeof calls_32 / sizeof *calls_32);
}

/* The kernel decides on the way out, by the registers that it finds then. */
bool nbuf_registers_restore(pid_t thread, const nbuf_registers *saved,
                            const nbuf_trace_target *target, const nbuf_blocked_call *before,
                            nbuf_call_stage stage) {
  (void)before;
  (void)stage;
  nbuf_registers set = *saved;
  if ((int64_t)set.orig_rax >= 0 && (int32_t)set.rax == -EINTR &&
      is_restartable((uint32_t)set.orig_rax, target->is_64_bit)) {
    set.rax = (uint64_t)(int64_t)RESTART_WITHOUT_HANDLER;
  }
  return nbuf_registers_set(thread, &set);
}

uint64_t nbuf_registers_instruction(const nbuf_registers *set) {
  return set->rip;
}

void nbuf_registers_move(nbuf_registers *set, uint64_t instruction) {
  set->rip = instruction;
  set->orig_rax = UINT64_MAX;
}

#else

/* ---- AArch64 --------------------------------------------------------------------------------- */

const unsigned char nbuf_trace_entry_64[] = {0x01, 0x00, 0x00, 0xd4}; /* svc #0 */
const unsigned char nbuf_trace_entry_32[] = {0x00, 0x00, 0x00, 0xef}; /* svc 0, in A32 */
const uint32_t nbuf_trace_entry_64_size = sizeof nbuf_trace_entry_64;
const uint32_t nbuf_trace_entry_32_size = sizeof nbuf_trace_entry_32;

enum {
  GENERAL_REGISTERS = 1,      /* NT_PRSTATUS */
  SYSTEM_CALL_NUMBER = 0x404, /* NT_ARM_SYSTEM_CALL: of the call that the thread is in, or -1 */
  RESTART_SYSCALL = 128
};

static const uint16_t numbers[NBUF_TRACE_CALLS] = {
    [NBUF_TRACE_MMAP] = SYS_mmap,       [NBUF_TRACE_MUNMAP] = SYS_munmap,
    [NBUF_TRACE_MADVISE] = SYS_madvise, [NBUF_TRACE_OPENAT] = SYS_openat,
    [NBUF_TRACE_CLOSE] = SYS_close,     [NBUF_TRACE_FLOCK] = SYS_flock,
};

bool nbuf_registers_get(pid_t thread, nbuf_registers *set) {
  struct iovec where = {set, sizeof *set};
  return nbuf_trace_request(thread, PTRACE_GETREGSET, GENERAL_REGISTERS, (uintptr_t)&where) == 0;
}

bool nbuf_registers_set(pid_t thread, const nbuf_registers *set) {
  struct iovec where = {(void *)(uintptr_t)set, sizeof *set};
  return nbuf_trace_request(thread, PTRACE_SETREGSET, GENERAL_REGISTERS, (uintptr_t)&where) == 0;
}

void nbuf_registers_note_call(int directory, pid_t thread, nbuf_blocked_call *call) {
  char path[32];
  char text[256];
  (void)snprintf(path, sizeof path, "task/%d/syscall", (int)thread);
  int file = openat(directory, path, O_RDONLY | O_CLOEXEC);
  ssize_t count = file < 0 ? 0 : read(file, text, sizeof text - 1);
  if (file >= 0) {
    close(file);
  }
  text[count > 0 ? count : 0] = '\0';
  /* "232 0x4 0x7ffd... 0x20 0xffffffff 0x0 0x0 0x7ffd... 0x7f..." or "running" */
  unsigned long long field[4] = {0};
  /* The kernel's own text needs no checks: NOLINTNEXTLINE(cert-err34-c) */
  call->is_known = sscanf(text, "%llu %llx %*x %*x %*x %*x %*x %llx %llx", &field[0], &field[1],
                          &field[2], &field[3]) == 4;
  call->number = field[0];
  call->first_argument = field[1];
  call->stack = field[2];
  call->next = field[3];
}

/* The instruction is never the one in which the thread was blocked: there the kernel would assume a
 * restart of that call, and change the number.
 *
 * The kernel keeps the first argument at its entry for a restart, and does not report it. So it
 * must be the one of the call that will be restarted; the argument of the remote call is set
 * afterwards. */
void nbuf_registers_prepare(nbuf_registers *set, const nbuf_trace_target *target,
                            nbuf_trace_call call, const uint64_t arguments[6],
                            const nbuf_blocked_call *before) {
  set->pc = target->entry;
  set->regs[8] = numbers[call];
  for (int i = 0; i < 6; i++) {
    set->regs[i] = arguments[i];
  }
  set->regs[0] = before->first_argument;
}

bool nbuf_registers_at_entry(pid_t thread, nbuf_registers *set, const uint64_t arguments[6]) {
  set->regs[0] = arguments[0];
  return nbuf_registers_set(thread, set);
}

int64_t nbuf_registers_result(const nbuf_registers *set, const nbuf_trace_target *target) {
  (void)target;
  return (int64_t)set->regs[0];
}

/* Sleeps that the kernel resumes by a call of its own, since it keeps the remaining time. */
static bool is_timed_sleep(const nbuf_registers *set) {
  uint64_t wait = set->regs[1] & 0x7f; /* the futex operation, without its flags */
  return set->regs[8] == RESTART_SYSCALL || set->regs[8] == SYS_nanosleep ||
         (set->regs[8] == SYS_clock_nanosleep && (set->regs[1] & 1) == 0) ||
         (set->regs[8] == SYS_futex && (wait == 0 || wait == 9) && set->regs[3] != 0);
}

/* The result that the interrupted call had before the kernel changed it, which it does here before
 * the thread stops; 0: it was not in a call that is resumed. */
static int restart_code(const nbuf_registers *saved, const nbuf_blocked_call *before) {
  static const uint16_t ended_by_handlers[] = {SYS_rt_sigsuspend,   SYS_ppoll,  SYS_pselect6,
                                               SYS_clock_nanosleep, SYS_msgrcv, SYS_msgsnd};
  if (!before->is_known || before->stack != saved->sp || before->number != saved->regs[8]) {
    return 0;
  }
  if (saved->pc == before->next && (int64_t)saved->regs[0] == -EINTR) {
    return is_listed(before->number, restartable, sizeof restartable / sizeof *restartable)
               ? RESTART_WITHOUT_HANDLER
               : 0;
  }
  if (saved->pc != before->next - 4 || saved->regs[0] != before->first_argument) {
    return 0;
  }
  bool is_ended = is_listed(before->number, ended_by_handlers,
                            sizeof ended_by_handlers / sizeof *ended_by_handlers);
  return is_timed_sleep(saved) ? RESTART_WITH_TIME_LEFT
         : is_ended ? RESTART_WITHOUT_HANDLER
                    : RESTART_AS_HANDLER_SAYS;
}

/* Behind a call the kernel decides again, if it assumes that the thread is in one. If none was made
 * it has decided already, before the thread stopped; and a call that was entered must not be
 * made. */
bool nbuf_registers_restore(pid_t thread, const nbuf_registers *saved,
                            const nbuf_trace_target *target, const nbuf_blocked_call *before,
                            nbuf_call_stage stage) {
  (void)target;
  nbuf_registers set = *saved;
  int code = restart_code(saved, before);
  if (stage == NBUF_CALL_DONE && code != 0) {
    set.pc = before->next;
    set.regs[0] = (unsigned long long)code;
    return nbuf_registers_set(thread, &set);
  }
  if (stage >= NBUF_CALL_ENTERED) {
    int none = -1;
    struct iovec where = {&none, sizeof none};
    (void)nbuf_trace_request(thread, PTRACE_SETREGSET, SYSTEM_CALL_NUMBER, (uintptr_t)&where);
  }
  if (code != 0 && set.pc == before->next) { /* it was ended with EINTR */
    set.pc -= 4;
    set.regs[0] = before->first_argument;
  }
  return nbuf_registers_set(thread, &set);
}

uint64_t nbuf_registers_instruction(const nbuf_registers *set) {
  return set->pc;
}

void nbuf_registers_move(nbuf_registers *set, uint64_t instruction) {
  set->pc = instruction;
}

#endif

#else /* another processor */

const unsigned char nbuf_trace_entry_64[] = {0};
const unsigned char nbuf_trace_entry_32[] = {0};
const uint32_t nbuf_trace_entry_64_size = sizeof nbuf_trace_entry_64;
const uint32_t nbuf_trace_entry_32_size = sizeof nbuf_trace_entry_32;

#endif
