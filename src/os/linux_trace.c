/* Linux: remote system calls through ptrace; see linux_trace.h. Sources: ptrace(2), kernel 6.18
 * (kernel/ptrace.c, kernel/signal.c, arch/x86/kernel/signal.c, arch/arm64/kernel/signal.c).
 *
 * Tracing is done by a helper process, for a thread of the host that waits for any child would take
 * our stops away. It shares our memory and we stand still until it is done, as in vfork: that costs
 * no copy, whatever the size of the host. It sends no signal when it ends. When it ends, for
 * whatever reason, the kernel lets the thread go.
 *
 * How a thread is left as it was:
 *   - it is seized, not attached to, so no signal is made up that somebody could see;
 *   - its signals are blocked while it works for us, and come afterwards;
 *   - before it goes on it is stopped once more where the kernel looks for signals, because only
 *     there, leaving, the kernel restarts a call that the first stop interrupted;
 *   - calls that the kernel would end with EINTR instead are started again by us. */
#include "linux_trace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__aarch64__)
#include <asm/ptrace.h> /* struct user_pt_regs */
#endif

#include "linux_remote.h"
#include "os.h"

#if defined(__x86_64__) || defined(__aarch64__)

/* The C library's headers lack what newer kernels know. */
enum {
  GET_SIGNAL_MASK = 0x420a, /* PTRACE_GETSIGMASK */
  SET_SIGNAL_MASK = 0x420b,
  GET_RSEQ = 0x420f, /* PTRACE_GET_RSEQ_CONFIGURATION, since 5.13 */
  SUSPEND_SECCOMP = 1 << 21
};
static const long for_silent_children = 0x80000000L; /* __WCLONE: they send no signal */

enum {
  STOP_BOUND_NS = 100000000,   /* what does not stop by then waits in the kernel for others, */
  RUN_BOUND_NS = 1000000000,   /* or on a busy machine for a processor */
  TRACER_BOUND_NS = 100000000, /* who traces longer than this is a debugger */
  MOST_THREADS = 4,            /* so many of them are tried */
  RESTART_BITS_STOP = SIGTRAP | 0x80
};

/* ---- Processors -------------------------------------------------------------------------------- */

/* What a blocked thread was doing before it was stopped, as /proc told. */
typedef struct blocked_call {
  bool is_known;
  uint64_t number;
  uint64_t first_argument;
  uint64_t stack;
  uint64_t next; /* address of the next instruction */
} blocked_call;

/* Calls that answer EINTR when a thread is woken for no signal, where the kernel restarts others by
 * itself: they wait for events, for signals, or on a socket with a time limit. None has done
 * anything yet when it answers so. */
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

typedef struct user_regs_struct registers;

const unsigned char nb_trace_entry_64[] = {0x0f, 0x05}; /* syscall */
const unsigned char nb_trace_entry_32[] = {0xcd, 0x80}; /* int 0x80 */
const uint32_t nb_trace_entry_64_size = sizeof nb_trace_entry_64;
const uint32_t nb_trace_entry_32_size = sizeof nb_trace_entry_32;

static const uint16_t numbers_64[NB_TRACE_CALLS] = {
    [NB_TRACE_MMAP] = SYS_mmap,       [NB_TRACE_MUNMAP] = SYS_munmap,
    [NB_TRACE_MADVISE] = SYS_madvise, [NB_TRACE_OPENAT] = SYS_openat,
    [NB_TRACE_CLOSE] = SYS_close,     [NB_TRACE_FLOCK] = SYS_flock,
};
static const uint16_t numbers_32[NB_TRACE_CALLS] = {
    [NB_TRACE_MMAP] = 192, /* mmap2: the offset counts pages, which 0 does anyway */
    [NB_TRACE_MUNMAP] = 91, [NB_TRACE_MADVISE] = 219, [NB_TRACE_OPENAT] = 295,
    [NB_TRACE_CLOSE] = 6,   [NB_TRACE_FLOCK] = 143,
};

static void prepare_call(registers *set, const nb_trace_target *target, nb_trace_call call,
                         const uint64_t arguments[6]) {
  set->rip = target->entry;
  set->orig_rax = UINT64_MAX; /* it is in no call: there is nothing to restart */
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

static int64_t result_of(const registers *set, const nb_trace_target *target) {
  if (target->is_64_bit) {
    return (int64_t)set->rax;
  }
  uint32_t result = (uint32_t)set->rax;
  return result > (uint32_t)-4096 ? (int32_t)result : (int64_t)result;
}

static uint64_t instruction_of(const registers *set) {
  return set->rip;
}

static void move_to(registers *set, uint64_t instruction) {
  set->rip = instruction;
  set->orig_rax = UINT64_MAX;
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
                                      426 /* io_uring_enter */};
  return is_64_bit ? is_listed(number, restartable, sizeof restartable / sizeof *restartable)
                   : is_listed(number, calls_32, sizeof calls_32 / sizeof *calls_32);
}

/* Starts an interrupted call again that the kernel would end with EINTR. */
static void restart_call(registers *set, const nb_trace_target *target,
                         const blocked_call *before) {
  (void)before;
  if ((int64_t)set->orig_rax >= 0 && (int32_t)set->rax == -EINTR &&
      is_restartable((uint32_t)set->orig_rax, target->is_64_bit)) {
    set->rax = set->orig_rax;
    set->rip -= 2; /* all ways in are instructions of two bytes */
  }
}

#else /* __aarch64__ */

typedef struct user_regs_struct registers;

const unsigned char nb_trace_entry_64[] = {0x01, 0x00, 0x00, 0xd4}; /* svc #0 */
const unsigned char nb_trace_entry_32[] = {0x00, 0x00, 0x00, 0xef}; /* svc 0, in A32 */
const uint32_t nb_trace_entry_64_size = sizeof nb_trace_entry_64;
const uint32_t nb_trace_entry_32_size = sizeof nb_trace_entry_32;

enum { RESTART_SYSCALL = 128 };

static const uint16_t numbers[NB_TRACE_CALLS] = {
    [NB_TRACE_MMAP] = SYS_mmap,       [NB_TRACE_MUNMAP] = SYS_munmap,
    [NB_TRACE_MADVISE] = SYS_madvise, [NB_TRACE_OPENAT] = SYS_openat,
    [NB_TRACE_CLOSE] = SYS_close,     [NB_TRACE_FLOCK] = SYS_flock,
};

/* The instruction is never the one that the thread was blocked in: there the kernel would believe
 * that it restarts that call, and change the number. */
static void prepare_call(registers *set, const nb_trace_target *target, nb_trace_call call,
                         const uint64_t arguments[6]) {
  set->pc = target->entry;
  set->regs[8] = numbers[call];
  for (int i = 0; i < 6; i++) {
    set->regs[i] = arguments[i];
  }
}

static int64_t result_of(const registers *set, const nb_trace_target *target) {
  (void)target;
  return (int64_t)set->regs[0];
}

static uint64_t instruction_of(const registers *set) {
  return set->pc;
}

static void move_to(registers *set, uint64_t instruction) {
  set->pc = instruction;
}

/* Sleeps for a time, which the kernel goes on with by a call of its own; what it keeps for that
 * would otherwise be forgotten, and the whole time slept again. */
static bool is_timed_sleep(const registers *set) {
  uint64_t wait = set->regs[1] & 0x7f; /* the futex operation, without its flags */
  return set->regs[8] == SYS_nanosleep ||
         (set->regs[8] == SYS_clock_nanosleep && (set->regs[1] & 1) == 0) ||
         (set->regs[8] == SYS_futex && (wait == 0 || wait == 9) && set->regs[3] != 0);
}

/* Here the kernel has already gone back to the instruction of a call that it restarts. */
static void restart_call(registers *set, const nb_trace_target *target,
                         const blocked_call *before) {
  (void)target;
  if (!before->is_known || before->stack != set->sp || before->number != set->regs[8]) {
    return;
  }
  if (set->pc == before->next && (int64_t)set->regs[0] == -EINTR &&
      is_listed(before->number, restartable, sizeof restartable / sizeof *restartable)) {
    set->regs[0] = before->first_argument;
    set->pc -= 4;
  } else if (set->pc == before->next - 4 && is_timed_sleep(set)) {
    set->regs[8] = RESTART_SYSCALL;
  }
}

#endif

/* ---- The stopped thread ------------------------------------------------------------------------ */

struct nb_trace {
  const nb_trace_target *target;
  pid_t thread;
  bool is_gone; /* it ended, or something else is wrong: not touched any more */
  bool has_called;
  bool is_filtered;
  blocked_call before;
  registers saved;
  uint64_t saved_mask;
};

static long request(const nb_trace *trace, long what, uintptr_t address, uintptr_t data) {
  return syscall(SYS_ptrace, what, (long)trace->thread, address, data);
}

static bool get_registers(const nb_trace *trace, registers *set) {
#if defined(__x86_64__)
  /* Not the register set of the target: a 32-bit one would answer in a form of its own. */
  return request(trace, PTRACE_GETREGS, 0, (uintptr_t)set) == 0;
#else
  struct iovec where = {set, sizeof *set};
  return request(trace, PTRACE_GETREGSET, 1 /* NT_PRSTATUS */, (uintptr_t)&where) == 0;
#endif
}

static bool set_registers(const nb_trace *trace, const registers *set) {
#if defined(__x86_64__)
  return request(trace, PTRACE_SETREGS, 0, (uintptr_t)set) == 0;
#else
  struct iovec where = {(void *)(uintptr_t)set, sizeof *set};
  return request(trace, PTRACE_SETREGSET, 1, (uintptr_t)&where) == 0;
#endif
}

static bool is_event_stop(int status) {
  return status >> 16 == PTRACE_EVENT_STOP;
}

/* A signal is about to be delivered: SIGSTOP, which cannot be blocked, or one that came before
 * signals were. It is. */
static int signal_of(int status) {
  return is_event_stop(status) || WSTOPSIG(status) == RESTART_BITS_STOP ? 0 : WSTOPSIG(status);
}

/* The state of a thread, as one letter; 0: it is gone. */
static char read_status(int directory, pid_t thread, char status[NB_LINUX_STATUS_SIZE]) {
  char path[32];
  (void)snprintf(path, sizeof path, "task/%d/status", (int)thread);
  int file = openat(directory, path, O_RDONLY | O_CLOEXEC);
  status[0] = '\0';
  if (file >= 0) {
    (void)nb_linux_read_lines(file, status, NB_LINUX_STATUS_SIZE);
    close(file);
  }
  const char *state = nb_linux_field(status, "State");
  if (state == NULL || state[0] != '\t') {
    return '\0';
  }
  return state[1];
}

static bool has_ended(char state) {
  return state == '\0' || state == 'Z' || state == 'X';
}

static void read_blocked_call(int directory, pid_t thread, blocked_call *call) {
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

/* Whether a thread that was told to stop has had its time. */
static bool is_overdue(const nb_trace *trace, uint64_t waited_ns) {
  char status[NB_LINUX_STATUS_SIZE];
  return waited_ns > STOP_BOUND_NS &&
         (waited_ns > RUN_BOUND_NS ||
          read_status(trace->target->directory, trace->thread, status) != 'R');
}

/* Waits for the next stop. False: the thread ended or, with a bound, it did not stop in time. */
static bool wait_for_stop(nb_trace *trace, bool is_bounded, int *status) {
  uint64_t start = is_bounded ? nb_os_nanoseconds() : 0;
  for (int tries = 0;; tries++) {
    int flags = __WALL | (is_bounded ? WNOHANG : 0);
    long waited = syscall(SYS_wait4, (long)trace->thread, status, flags, 0L);
    if (waited == trace->thread) {
      trace->is_gone = !WIFSTOPPED(*status);
      return !trace->is_gone;
    }
    if (waited < 0 && errno != EINTR) {
      trace->is_gone = true;
      return false;
    }
    if (is_bounded && is_overdue(trace, nb_os_nanoseconds() - start)) {
      return false;
    }
    if (tries < 20) {
      (void)sched_yield(); /* a quiet thread stops within microseconds */
    } else {
      nb_os_pause();
    }
  }
}

/* Brings the thread to a stop where the kernel looks for signals. Where it runs it may do so for
 * reasons of its own, and has a bounded time; where we stopped it it comes there at once. */
static bool interrupt(nb_trace *trace, bool is_running) {
  if (request(trace, PTRACE_INTERRUPT, 0, 0) != 0 ||
      (!is_running && request(trace, PTRACE_CONT, 0, 0) != 0)) {
    trace->is_gone = true;
    return false;
  }
  int status;
  while (wait_for_stop(trace, is_running, &status)) {
    if (is_event_stop(status)) {
      return true;
    }
    if (request(trace, PTRACE_CONT, 0, (uintptr_t)signal_of(status)) != 0) {
      trace->is_gone = true;
      return false;
    }
  }
  return false;
}

/* Lets the stopped thread go on to the next edge of a system call. */
static bool to_system_call_edge(nb_trace *trace) {
  int pending = 0;
  int status = 0;
  do {
    if (request(trace, PTRACE_SYSCALL, 0, (uintptr_t)pending) != 0) {
      trace->is_gone = true;
      return false;
    }
    if (!wait_for_stop(trace, false, &status)) {
      return false;
    }
    pending = signal_of(status);
  } while (WSTOPSIG(status) != RESTART_BITS_STOP);
  return true;
}

bool nb_trace_syscall(nb_trace *trace, nb_trace_call call, const uint64_t arguments[6],
                      int64_t *result) {
  registers set = trace->saved;
  prepare_call(&set, trace->target, call, arguments);
  *result = -ESRCH;
  if (trace->is_gone || !set_registers(trace, &set)) {
    return false;
  }
  trace->has_called = true;
  bool is_inside = to_system_call_edge(trace);
  if (!is_inside || !to_system_call_edge(trace) || !get_registers(trace, &set)) {
    return false;
  }
  *result = result_of(&set, trace->target);
  return true;
}

/* ---- Leaving it as it was ---------------------------------------------------------------------- */

/* A restartable sequence that was interrupted must be aborted, as the kernel does after an
 * interruption; it does not see this one, because meanwhile the thread was elsewhere. */
static void abort_sequence(nb_trace *trace) {
  struct {
    uint64_t area;
    uint32_t size;
    uint32_t signature;
    uint32_t flags;
    uint32_t padding;
  } configuration = {0};
  struct {
    uint32_t version;
    uint32_t flags;
    uint64_t start;
    uint64_t length;
    uint64_t abort;
  } sequence;
  uint64_t descriptor = 0;
  if (request(trace, GET_RSEQ, sizeof configuration, (uintptr_t)&configuration) <= 0 ||
      configuration.area == 0) {
    return;
  }
  struct iovec here = {&descriptor, sizeof descriptor};
  struct iovec there = {(void *)(uintptr_t)(configuration.area + 8), sizeof descriptor};
  if (process_vm_readv(trace->thread, &here, 1, &there, 1, 0) != (ssize_t)sizeof descriptor ||
      descriptor == 0) {
    return;
  }
  here = (struct iovec){&sequence, sizeof sequence};
  there = (struct iovec){(void *)(uintptr_t)descriptor, sizeof sequence};
  if (process_vm_readv(trace->thread, &here, 1, &there, 1, 0) == (ssize_t)sizeof sequence &&
      instruction_of(&trace->saved) - sequence.start < sequence.length) {
    move_to(&trace->saved, sequence.abort);
  }
}

/* Whether a signal waits that the thread does not block: then EINTR is the truth. */
static bool is_signal_waiting(const nb_trace *trace) {
  char status[NB_LINUX_STATUS_SIZE];
  (void)read_status(trace->target->directory, trace->thread, status);
  uint64_t waiting = nb_linux_number(nb_linux_field(status, "SigPnd"), 0, 16) |
                     nb_linux_number(nb_linux_field(status, "ShdPnd"), 0, 16);
  return (waiting & ~trace->saved_mask) != 0;
}

static void leave(nb_trace *trace) {
  if (trace->has_called && !trace->is_gone) {
    (void)interrupt(trace, false);
  }
  if (trace->is_gone) {
    return;
  }
  if (trace->has_called) {
    abort_sequence(trace);
  }
  if (!is_signal_waiting(trace)) {
    restart_call(&trace->saved, trace->target, &trace->before);
  }
  (void)set_registers(trace, &trace->saved);
  (void)request(trace, SET_SIGNAL_MASK, sizeof trace->saved_mask, (uintptr_t)&trace->saved_mask);
  (void)request(trace, PTRACE_DETACH, 0, 0);
}

/* ---- The helper process ------------------------------------------------------------------------ */

typedef struct helper {
  nb_trace trace;
  nb_trace_script script;
  void *context;
  nb_outcome outcome;
} helper;

/* Becomes the tracer. One tracer excludes another; most let go soon, as we do, and some time is
 * given to them. Refused without a tracer in sight we ask again: it may have gone before we looked. */
static nb_outcome seize(nb_trace *trace, uintptr_t options) {
  uint64_t end = nb_os_nanoseconds() + TRACER_BOUND_NS;
  for (int refusals = 0;;) {
    read_blocked_call(trace->target->directory, trace->thread, &trace->before);
    if (request(trace, PTRACE_SEIZE, 0, options) == 0) {
      return nb_outcome_of(NEARBUF_OK);
    }
    int error = errno;
    char status[NB_LINUX_STATUS_SIZE];
    char state = read_status(trace->target->directory, trace->thread, status);
    if (error == ESRCH || has_ended(state)) {
      return nb_outcome_system(NEARBUF_NOT_FOUND, ESRCH);
    }
    bool is_traced = nb_linux_number(nb_linux_field(status, "TracerPid"), 0, 10) != 0;
    refusals = is_traced ? 0 : refusals + 1;
    if (error != EPERM || refusals == 2 || nb_os_nanoseconds() >= end) {
      return nb_outcome_system(NEARBUF_DENIED, error);
    }
    nb_os_pause();
  }
}

static nb_outcome enter(nb_trace *trace) {
  uintptr_t options = PTRACE_O_TRACESYSGOOD;
  if (trace->is_filtered) {
    options |= SUSPEND_SECCOMP; /* a foreign call would kill it; only a privileged tracer may */
  }
  nb_outcome outcome = seize(trace, options);
  if (outcome.status != NEARBUF_OK) {
    trace->is_gone = true;
    return outcome;
  }
  if (!interrupt(trace, true)) {
    /* Our end lets it go: what does not stop cannot be told to. */
    bool is_gone = trace->is_gone;
    trace->is_gone = true;
    return nb_outcome_of(is_gone ? NEARBUF_NOT_FOUND : NEARBUF_BUSY);
  }
  const uint64_t all = UINT64_MAX;
  if (!get_registers(trace, &trace->saved) ||
      request(trace, GET_SIGNAL_MASK, sizeof all, (uintptr_t)&trace->saved_mask) != 0 ||
      request(trace, SET_SIGNAL_MASK, sizeof all, (uintptr_t)&all) != 0) {
    int error = errno;
    trace->is_gone = true;
    return nb_outcome_system(NEARBUF_SYSTEM_ERROR, error);
  }
  return nb_outcome_of(NEARBUF_OK);
}

static int help(void *context) {
  helper *work = context;
  (void)setpgid(0, 0); /* who kills the host's group must not kill us half-way */
  work->outcome = enter(&work->trace);
  if (work->outcome.status == NEARBUF_OK) {
    work->outcome = work->script(&work->trace, work->context);
    leave(&work->trace);
  }
  return 0;
}

/* Runs the helper to its end, all signals blocked: their handlers would run in it, too. */
static nb_outcome run_helper(helper *work) {
  enum { STACK_SIZE = 64 << 10 };
  char *stack = nb_os_own_pages(STACK_SIZE);
  if (stack == NULL) {
    return nb_outcome_of(NEARBUF_OUT_OF_MEMORY);
  }
  uint64_t all = UINT64_MAX;
  uint64_t before;
  work->outcome = nb_outcome_of(NEARBUF_SYSTEM_ERROR);
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  int process = clone(help, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK, work);
  int error = errno;
  if (process > 0) {
    while (syscall(SYS_wait4, (long)process, 0L, for_silent_children, 0L) < 0 && errno == EINTR) {
    }
  }
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0L, sizeof before);
  (void)nb_os_unmap((uintptr_t)stack, STACK_SIZE);
  return process > 0 ? work->outcome : nb_outcome_system(NEARBUF_OUT_OF_MEMORY, error);
}

/* ---- Choosing a thread ------------------------------------------------------------------------- */

typedef struct threads {
  int directory; /* /proc/<id> */
  uint32_t count;
  pid_t ids[MOST_THREADS];
} threads;

static bool add_thread(const char *name, void *context) {
  threads *all = context;
  char status[NB_LINUX_STATUS_SIZE];
  pid_t id = (pid_t)nb_linux_number(name, 0, 10);
  char state = '\0';
  if (id != 0) {
    state = read_status(all->directory, id, status);
  }
  /* D: it waits where nothing wakes it, for instance for a vforked child. */
  if (!has_ended(state) && state != 'D') {
    all->ids[all->count++] = id;
  }
  return all->count < MOST_THREADS;
}

/* Finds threads that can be stopped. A shell is in the middle of a vfork most of the time: some time
 * is given to it. */
static nb_outcome find_threads(threads *all) {
  uint64_t end = nb_os_nanoseconds() + STOP_BOUND_NS;
  do {
    int tasks = openat(all->directory, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tasks < 0) {
      bool is_used_up = errno == EMFILE || errno == ENFILE || errno == ENOMEM;
      return nb_outcome_system(errno == ENOENT ? NEARBUF_NOT_FOUND
                               : is_used_up    ? NEARBUF_OUT_OF_MEMORY
                                               : NEARBUF_DENIED,
                               errno);
    }
    (void)nb_linux_visit(tasks, add_thread, all);
    close(tasks);
    if (all->count > 0) {
      break;
    }
    nb_os_pause();
  } while (nb_os_nanoseconds() < end);
  return nb_outcome_of(NEARBUF_OK);
}

nb_outcome nb_trace_run(const nb_trace_target *target, nb_trace_script script, void *context) {
#if defined(__aarch64__)
  if (!target->is_64_bit) {
    return nb_outcome_of(NEARBUF_UNSUPPORTED);
  }
#endif
  threads all = {.directory = target->directory};
  nb_outcome outcome = find_threads(&all);
  if (outcome.status != NEARBUF_OK) {
    return outcome;
  }
  outcome = nb_outcome_of(NEARBUF_BUSY);
  for (uint32_t i = 0; i < all.count; i++) {
    helper work = {.script = script, .context = context};
    char status[NB_LINUX_STATUS_SIZE];
    (void)read_status(target->directory, all.ids[i], status);
    work.trace.target = target;
    work.trace.thread = all.ids[i];
    work.trace.is_filtered = nb_linux_number(nb_linux_field(status, "Seccomp"), 0, 10) != 0;
    outcome = run_helper(&work);
    bool is_next_worth_it = !work.trace.has_called &&
                            (outcome.status == NEARBUF_BUSY || outcome.status == NEARBUF_NOT_FOUND);
    if (!is_next_worth_it) {
      break;
    }
  }
  return outcome;
}

#else /* another processor */

const unsigned char nb_trace_entry_64[] = {0};
const unsigned char nb_trace_entry_32[] = {0};
const uint32_t nb_trace_entry_64_size = sizeof nb_trace_entry_64;
const uint32_t nb_trace_entry_32_size = sizeof nb_trace_entry_32;

bool nb_trace_syscall(nb_trace *trace, nb_trace_call call, const uint64_t arguments[6],
                      int64_t *result) {
  (void)trace;
  (void)call;
  (void)arguments;
  *result = -ENOSYS;
  return false;
}

nb_outcome nb_trace_run(const nb_trace_target *target, nb_trace_script script, void *context) {
  (void)target;
  (void)script;
  (void)context;
  return nb_outcome_of(NEARBUF_UNSUPPORTED);
}

#endif
