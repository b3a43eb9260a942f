/* Linux: remote system calls through ptrace; see trace.h. Sources: ptrace(2), kernel 6.18
 * (kernel/ptrace.c, kernel/signal.c, kernel/entry). What differs between processors is in
 * registers.c.
 *
 * A helper process traces, since a thread of the host that waits for any child would take our stops
 * away. It shares our memory, and our thread does not run until it is done, as in vfork: that costs
 * no copy, whatever the size of the host. It sends no signal when it ends. When it ends, for
 * whatever reason, the kernel detaches the thread.
 *
 * How a thread is left as it was:
 *   - it is seized, not attached to, so that no additional signal is visible to the program;
 *   - what was learned about the process before is verified once the thread has stopped: the
 *     process may have ended, replaced its program or restricted its system calls since;
 *   - its signals are blocked while it works for us, and are delivered afterwards. A signal that
 *     the work itself causes is never delivered: the work is abandoned;
 *   - it is detached at the stop behind its last call, with the registers that it had at first. On
 *     the way out of that stop the kernel looks for signals, and then restarts the call that was
 *     interrupted, or ends it if a handler runs, as after any interruption;
 *   - no wait is unbounded. When its time is over the thread is stopped once more, restored and
 *     detached.
 *
 * While a thread has the registers of a remote call, until it gets its own ones back, it needs this
 * helper: if the helper is killed just then (by a SIGKILL to itself; no other process's reaches
 * it), the thread runs on with the wrong registers. So whatever can be done before or after that
 * time, is; docs/decisions/21-remote-system-calls.md has the times. A signal frame from which the
 * thread could return by itself needs memory of its own in the process, and the first call is the
 * one that makes memory: its stack cannot be used, since small stacks, such as those of goroutines,
 * have no room below. */
#include "remote/linux/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/os.h"
#include "os/posix/posix.h"
#include "remote/linux/child.h"
#include "remote/linux/proc.h"
#include "remote/linux/registers.h"

#if defined(NBUF_HAS_REGISTERS)

/* The C library's headers lack what newer kernels know. */
enum {
  GET_SIGNAL_MASK = 0x420a, /* PTRACE_GETSIGMASK */
  SET_SIGNAL_MASK = 0x420b,
  GET_RSEQ = 0x420f,     /* PTRACE_GET_RSEQ_CONFIGURATION, since 5.13 */
  SET_DISPATCH = 0x4210, /* PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, since 6.4 */
  GET_DISPATCH = 0x4211,
  SUSPEND_SECCOMP = 1 << 21
};

enum {
  STOP_BOUND_NS = 100000000,   /* what does not stop by then waits in the kernel for others, */
  RUN_BOUND_NS = 1000000000,   /* or on a busy machine for a processor */
  TRACER_BOUND_NS = 100000000, /* a tracer that traces longer than this is a debugger */
  SEIZE_BOUND_S = 2,
  MOST_THREADS = 4, /* number of threads that are tried */
  CALL_STOP = SIGTRAP | 0x80
};
static const uint64_t threads_bound_ns = 2000000000; /* until one of them has stopped */
static const uint64_t calls_bound_ns = 2000000000;   /* for all its system calls */
static const uint64_t rescue_bound_ns = 10000000000; /* for one that does not come back */

/* ---- The stopped thread ---------------------------------------------------------------------- */

struct nbuf_trace {
  const nbuf_trace_target *target;
  pid_t thread;
  uint32_t processor; /* on which it ran last */
  int status;         /* its status, open in the helper, whose end closes it */
  bool is_gone;       /* it has ended, or it does not stop: not touched any more */
  bool has_called;
  nbuf_call_stage stage;
  uint64_t end;        /* when its calls must be made */
  nbuf_result failure; /* why it makes no more calls */
  int parting_signal;  /* which it gets when it is let go */
  nbuf_blocked_call before;
  nbuf_registers saved;
  uint64_t saved_mask;
  struct {
    uint64_t mode; /* 0: off, or not known */
    uint64_t selector;
    uint64_t start;
    uint64_t size;
  } dispatch; /* its system calls as signals to itself (syscall user dispatch) */
};

static long request(const nbuf_trace *trace, long ctx, uintptr_t address, uintptr_t data) {
  return nbuf_trace_request(trace->thread, ctx, address, data);
}

static bool is_event_stop(int status) {
  return status >> 16 == PTRACE_EVENT_STOP;
}

static bool is_call_stop(int status) {
  return WSTOPSIG(status) == CALL_STOP;
}

/* The signal that is about to be delivered, or 0 at a stop for another reason. */
static int signal_of(int status) {
  return is_event_stop(status) || is_call_stop(status) ? 0 : WSTOPSIG(status);
}

/* The result of a failure to read about a thread. */
static nbuf_result result_of_look(int error) {
  if (error == ENOENT || error == ESRCH) {
    return nbuf_result_system(NEARBUF_NOT_FOUND, error);
  }
  return nbuf_result_system(nbuf_posix_is_lack(error) ? NEARBUF_OUT_OF_MEMORY : NEARBUF_DENIED,
                            error);
}

/* The result of a failed request about a stopped thread. If the thread was killed it is not stopped
 * any more, and the result says so; else it is `otherwise`. */
static nbuf_result result_of_request(nearbuf_status otherwise, int error) {
  return nbuf_result_system(error == ESRCH ? NEARBUF_NOT_FOUND : otherwise, error);
}

static int open_status(int directory, pid_t thread) {
  char path[32];
  (void)snprintf(path, sizeof path, "task/%d/status", (int)thread);
  return openat(directory, path, O_RDONLY | O_CLOEXEC);
}

/* The state of a thread, as one letter; 0: it is not told. */
static char state_in(const char *status) {
  const char *state = nbuf_linux_field(status, "State");
  if (state == NULL || state[0] != '\t') {
    return '\0';
  }
  return state[1];
}

/* The state of a thread; 0: it is gone, or errno is the reason why the state is unknown. */
static char read_status(int directory, pid_t thread, char status[NBUF_LINUX_STATUS_SIZE]) {
  int file = open_status(directory, thread);
  int error = errno;
  status[0] = '\0';
  if (file >= 0) {
    error = nbuf_linux_read_lines(file, status, NBUF_LINUX_STATUS_SIZE);
    close(file);
  }
  errno = error;
  return state_in(status);
}

static bool has_ended(char state) {
  return state == '\0' || state == 'Z' || state == 'X';
}

static bool is_asleep(const nbuf_trace *trace) {
  char text[NBUF_LINUX_STATUS_SIZE];
  char state = read_status(trace->target->directory, trace->thread, text);
  return state != '\0' && state != 'R'; /* unknown: not taken for asleep */
}

/* Waits for the next stop until `end`, or, if the thread is not running then, only until
 * `if_asleep_ns` have passed. False: it has ended (`is_gone`), or it did not stop in time. */
static bool wait_for_stop(nbuf_trace *trace, uint64_t if_asleep_ns, uint64_t end, int *status) {
  uint64_t start = nbuf_os_nanoseconds();
  bool is_over = false;
  for (int tries = 0;; tries++) {
    long waited = syscall(SYS_wait4, (long)trace->thread, status, __WALL | WNOHANG, 0L);
    if (waited == trace->thread) {
      trace->is_gone = !WIFSTOPPED(*status);
      return !trace->is_gone;
    }
    if (waited < 0 && errno != EINTR) {
      trace->is_gone = true;
      return false;
    }
    if (is_over) {
      return false;
    }
    /* Checks once more: it may have stopped while we waited for a processor ourselves. */
    uint64_t now = nbuf_os_nanoseconds();
    is_over = now > end || (now - start > if_asleep_ns && is_asleep(trace));
    if (is_over) {
      continue;
    }
    if (tries < 20) {
      (void)sched_yield(); /* a quiet thread stops within microseconds */
    } else {
      nbuf_os_pause();
    }
  }
}

/* Brings the running thread to a stop where the kernel looks for signals. False: it has ended, or
 * does not stop in time; the process shows which. */
static bool stop(nbuf_trace *trace) {
  uint64_t end = nbuf_os_nanoseconds() + RUN_BOUND_NS;
  int status;
  bool goes_on = request(trace, PTRACE_INTERRUPT, 0, 0) == 0;
  while (goes_on && wait_for_stop(trace, STOP_BOUND_NS, end, &status)) {
    if (is_event_stop(status)) {
      return true;
    }
    goes_on = request(trace, PTRACE_CONT, 0, (uintptr_t)signal_of(status)) == 0;
  }
  return false;
}

/* ---- System calls ---------------------------------------------------------------------------- */

static bool give_up(nbuf_trace *trace, nbuf_result failure) {
  trace->failure = failure;
  return false;
}

/* A signal that could not be blocked is about to be delivered. If the call itself has caused it, it
 * is discarded, since the program would die of it, or react to it. Another one is delivered when
 * the thread is detached. */
static bool give_up_for_signal(nbuf_trace *trace, int signal_number) {
  siginfo_t info = {.si_code = 0};
  (void)request(trace, PTRACE_GETSIGINFO, 0, (uintptr_t)&info);
  if (info.si_code > 0) {
    return give_up(trace, nbuf_result_of(NEARBUF_DENIED));
  }
  trace->parting_signal = signal_number;
  return give_up(trace, nbuf_result_of(NEARBUF_BUSY));
}

/* Stops a thread that does not reach the entry or the end of its call: it is frozen, or the call
 * takes too long. True: it has reached it in the end. */
static bool rescue(nbuf_trace *trace) {
  uint64_t end = nbuf_os_nanoseconds() + rescue_bound_ns;
  int status;
  if (request(trace, PTRACE_INTERRUPT, 0, 0) != 0 ||
      !wait_for_stop(trace, rescue_bound_ns, end, &status)) {
    trace->is_gone = true;
    return give_up(trace, nbuf_result_of(NEARBUF_BUSY));
  }
  if (is_call_stop(status) && trace->stage == NBUF_CALL_ENTERED) {
    return true;
  }
  if (is_call_stop(status)) {
    trace->stage = NBUF_CALL_ENTERED;
  }
  return signal_of(status) == 0 ? give_up(trace, nbuf_result_of(NEARBUF_BUSY))
                                : give_up_for_signal(trace, signal_of(status));
}

/* Lets the stopped thread go on to the entry of its call, or to the end. */
static bool to_edge(nbuf_trace *trace, uint64_t if_asleep_ns) {
  int signal_number = 0;
  int status;
  for (;;) {
    if (request(trace, PTRACE_SYSCALL, 0, (uintptr_t)signal_number) != 0) {
      trace->is_gone = true;
      return false;
    }
    if (!wait_for_stop(trace, if_asleep_ns, trace->end, &status)) {
      return !trace->is_gone && rescue(trace);
    }
    if (is_call_stop(status)) {
      return true;
    }
    signal_number = signal_of(status);
    bool is_stopped_by_all = signal_number == SIGSTOP || signal_number == 0;
    if (!is_stopped_by_all) {
      return give_up_for_signal(trace, signal_number);
    }
    if (nbuf_os_nanoseconds() > trace->end) { /* it is stopped and continued all the time */
      trace->parting_signal = signal_number;
      return give_up(trace, nbuf_result_of(NEARBUF_BUSY));
    }
  }
}

bool nbuf_trace_syscall(nbuf_trace *trace, nbuf_trace_call call, const uint64_t arguments[6],
                        int64_t *returned) {
  nbuf_registers set = trace->saved;
  nbuf_registers_prepare(&set, trace->target, call, arguments, &trace->before);
  if (returned != NULL) {
    *returned = -ESRCH;
  }
  if (trace->is_gone || trace->failure.status != NEARBUF_OK ||
      !nbuf_registers_set(trace->thread, &set)) {
    return false;
  }
  trace->has_called = true;
  trace->stage = NBUF_CALL_PREPARED;
  /* What sleeps before it enters the kernel is frozen. */
  if (!to_edge(trace, STOP_BOUND_NS)) {
    return false;
  }
  trace->stage = NBUF_CALL_ENTERED;
  if (!nbuf_registers_at_entry(trace->thread, &set, arguments) || !to_edge(trace, calls_bound_ns)) {
    return false;
  }
  trace->stage = NBUF_CALL_DONE;
  if (returned == NULL) {
    return true;
  }
  if (!nbuf_registers_get(trace->thread, &set)) {
    return false;
  }
  *returned = nbuf_registers_result(&set, trace->target);
  return true;
}

/* ---- Entering -------------------------------------------------------------------------------- */

static void set_signal_mask(uint64_t mask, uint64_t *before) {
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, before, sizeof mask);
}

/* Lets an alarm end this helper, which is harmless before a thread has stopped. A thread that
 * replaces the program keeps tracers out until the others have ended, which takes as long as the
 * tracer of one of those wants; the kernel lets nothing else end that wait. */
static void limit_seizing(void) {
  const uint64_t by_default[4] = {0}; /* the kernel's struct sigaction */
  const struct itimerval alarm_time = {{0, 0}, {SEIZE_BOUND_S, 0}};
  (void)syscall(SYS_rt_sigaction, SIGALRM, by_default, 0L, sizeof(uint64_t));
  (void)syscall(SYS_setitimer, ITIMER_REAL, &alarm_time, 0L);
  set_signal_mask(~(UINT64_C(1) << (SIGALRM - 1)), NULL);
}

/* Becomes the tracer. One tracer excludes another; most detach soon, as we do, and get some time
 * for it. If it is refused although no tracer is visible, tries again: the tracer may have gone
 * before the check. */
static nbuf_result seize(nbuf_trace *trace) {
  uint64_t end = nbuf_os_nanoseconds() + TRACER_BOUND_NS;
  for (int refusals = 0;;) {
    nbuf_registers_note_call(trace->target->directory, trace->thread, &trace->before);
    if (request(trace, PTRACE_SEIZE, 0, PTRACE_O_TRACESYSGOOD) == 0) {
      return nbuf_result_of(NEARBUF_OK);
    }
    int error = errno;
    char status[NBUF_LINUX_STATUS_SIZE];
    char state = read_status(trace->target->directory, trace->thread, status);
    if (error == ESRCH || has_ended(state)) {
      return nbuf_result_system(NEARBUF_NOT_FOUND, ESRCH);
    }
    bool is_traced = nbuf_linux_number(nbuf_linux_field(status, "TracerPid"), 0, 10) != 0;
    refusals = is_traced ? 0 : refusals + 1;
    if (error != EPERM || refusals == 2 || nbuf_os_nanoseconds() >= end) {
      return nbuf_result_system(NEARBUF_DENIED, error);
    }
    nbuf_os_pause();
  }
}

/* Keeps this helper on the processor on which the thread runs. Whenever one waits for the other,
 * the other then runs at once; with the two apart, on a busy machine, each waits for a turn of its
 * own, while the thread stands still: 5 ms for 1 in 100, instead of 30 us. */
static void stay_beside(const nbuf_trace *trace) {
  uint64_t processors[64] = {0};
  if (trace->processor / 64 < sizeof processors / sizeof *processors) {
    processors[trace->processor / 64] = UINT64_C(1) << trace->processor % 64;
    (void)syscall(SYS_sched_setaffinity, 0L, sizeof processors, processors);
  }
}

/* Opens the status of the thread that was seized by its id, if it belongs to the process that is
 * held open: NOT_FOUND if the id is another process's by now. While it is traced no other thread
 * can get the id. */
static nbuf_result check_identity(nbuf_trace *trace) {
  trace->status = open_status(trace->target->directory, trace->thread);
  return trace->status >= 0 ? nbuf_result_of(NEARBUF_OK) : result_of_look(errno);
}

/* Where the thread keeps the address of the restartable sequence that it is in; 0: nowhere. */
static uint64_t place_of_sequence(const nbuf_trace *trace) {
  struct {
    uint64_t area;
    uint32_t size;
    uint32_t signature;
    uint32_t flags;
    uint32_t padding;
  } configuration = {0};
  bool has_area = request(trace, GET_RSEQ, sizeof configuration, (uintptr_t)&configuration) > 0 &&
                  configuration.area != 0;
  return has_area ? configuration.area + 8 : 0;
}

/* BUSY: the program is no longer the one in which the instruction was looked up. `*sequence`: the
 * address of the restartable sequence that the thread is in, or 0. */
static nbuf_result check_program(const nbuf_trace *trace, uint64_t *sequence) {
  const nbuf_trace_target *target = trace->target;
  unsigned char seen[4 + sizeof target->program.random + sizeof *sequence];
  size_t size = target->is_64_bit ? nbuf_trace_entry_64_size : nbuf_trace_entry_32_size;
  const unsigned char *entry = target->is_64_bit ? nbuf_trace_entry_64 : nbuf_trace_entry_32;
  size_t marked = target->program.address == 0 ? 0 : sizeof target->program.random;
  uint64_t place = place_of_sequence(trace);
  size_t last = place == 0 ? 0 : sizeof *sequence;
  struct iovec here = {seen, size + marked + last};
  const struct iovec there[3] = {{(void *)(uintptr_t)target->entry, size},
                                 {(void *)(uintptr_t)target->program.address, marked},
                                 {(void *)(uintptr_t)place, last}};
  *sequence = 0;
  ssize_t count = process_vm_readv(trace->thread, &here, 1, there, 3, 0);
  if (count < 0 && errno != EFAULT && errno != ESRCH) {
    return result_of_look(errno);
  }
  bool is_same = count >= (ssize_t)(size + marked) && memcmp(seen, entry, size) == 0 &&
                 memcmp(seen + size, target->program.random, marked) == 0;
  if (is_same && count == (ssize_t)(size + marked + last)) {
    memcpy(sequence, seen + size + marked, last);
  }
  return nbuf_result_of(is_same ? NEARBUF_OK : NEARBUF_BUSY);
}

/* Checks again, now that the thread is stopped, what decides whether it may make a call. */
static nbuf_result examine_thread(nbuf_trace *trace, uint64_t *sequence) {
  char status[NBUF_LINUX_STATUS_SIZE];
  int unread = nbuf_linux_read_lines(trace->status, status, sizeof status);
  if (state_in(status) == '\0') {
    return result_of_look(unread);
  }
  nbuf_result result = check_program(trace, sequence);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  /* Also if there is no filter yet: another thread may install one on this one while it is
   * stopped. */
  bool is_suspended =
      request(trace, PTRACE_SETOPTIONS, 0, PTRACE_O_TRACESYSGOOD | SUSPEND_SECCOMP) == 0;
  int error = errno;
  bool is_filtered = nbuf_linux_number(nbuf_linux_field(status, "Seccomp"), 0, 10) != 0;
  if (is_filtered && !is_suspended) {
    return result_of_request(NEARBUF_DENIED, error); /* the call would kill it */
  }
  return nbuf_result_of(NEARBUF_OK);
}

/* A restartable sequence that was interrupted must be aborted, as the kernel does after an
 * interruption; the kernel will not see this one, because the thread is elsewhere meanwhile. */
static void abort_sequence(nbuf_trace *trace, uint64_t descriptor) {
  struct {
    uint32_t version;
    uint32_t flags;
    uint64_t start;
    uint64_t length;
    uint64_t abort;
  } sequence;
  struct iovec here = {&sequence, sizeof sequence};
  struct iovec there = {(void *)(uintptr_t)descriptor, sizeof sequence};
  if (descriptor != 0 &&
      process_vm_readv(trace->thread, &here, 1, &there, 1, 0) == (ssize_t)sizeof sequence &&
      nbuf_registers_instruction(&trace->saved) - sequence.start < sequence.length) {
    nbuf_registers_move(&trace->saved, sequence.abort);
  }
}

/* Keeps its signals and its own handling of system calls away from what it does for us.
 *
 * If the kernel is older than the request, it cannot be determined or changed whether its system
 * calls become signals (SIGSYS). That signal must stay open then: a blocked one that the kernel
 * forces on a thread removes the program's handler. */
static nbuf_result shield(nbuf_trace *trace) {
  uint64_t mask = UINT64_MAX;
  const uint64_t system_call_signal = UINT64_C(1) << (SIGSYS - 1);
  if (request(trace, GET_DISPATCH, sizeof trace->dispatch, (uintptr_t)&trace->dispatch) != 0) {
    trace->dispatch.mode = 0;
    mask = ~system_call_signal | trace->saved_mask;
    char status[NBUF_LINUX_STATUS_SIZE];
    (void)read_status(trace->target->directory, trace->thread, status);
    uint64_t waiting = nbuf_linux_number(nbuf_linux_field(status, "SigPnd"), 0, 16);
    if ((waiting & system_call_signal & ~mask) != 0) {
      return nbuf_result_of(NEARBUF_BUSY); /* of its own making */
    }
  }
  const uint64_t off[4] = {0};
  if (request(trace, SET_SIGNAL_MASK, sizeof mask, (uintptr_t)&mask) != 0 ||
      (trace->dispatch.mode != 0 &&
       request(trace, SET_DISPATCH, sizeof off, (uintptr_t)off) != 0)) {
    return result_of_request(NEARBUF_SYSTEM_ERROR, errno);
  }
  return nbuf_result_of(NEARBUF_OK);
}

/* Stops the thread and makes it ready for calls. After a failure it is as it was, and detached if
 * it has stopped; a thread that does not stop cannot be detached, but the helper's end detaches
 * it. */
static nbuf_result enter(nbuf_trace *trace) {
  stay_beside(trace);
  limit_seizing();
  nbuf_result result = seize(trace);
  set_signal_mask(UINT64_MAX, NULL);
  if (result.status == NEARBUF_OK) {
    result = check_identity(trace);
  }
  if (result.status != NEARBUF_OK) {
    trace->is_gone = true;
    return result;
  }
  if (!stop(trace)) {
    trace->is_gone = true;
    return nbuf_result_of(NEARBUF_BUSY);
  }
  if (!nbuf_registers_get(trace->thread, &trace->saved) ||
      request(trace, GET_SIGNAL_MASK, sizeof trace->saved_mask, (uintptr_t)&trace->saved_mask) !=
          0) {
    result = result_of_request(NEARBUF_SYSTEM_ERROR, errno);
    trace->is_gone = true;
    return result;
  }
  uint64_t sequence = 0;
  result = examine_thread(trace, &sequence);
  if (result.status == NEARBUF_OK) {
    abort_sequence(trace, sequence);
    result = shield(trace);
  }
  return result;
}

static void leave(nbuf_trace *trace) {
  if (trace->is_gone) {
    return;
  }
  (void)nbuf_registers_restore(trace->thread, &trace->saved, trace->target, &trace->before,
                               trace->stage);
  (void)request(trace, SET_SIGNAL_MASK, sizeof trace->saved_mask, (uintptr_t)&trace->saved_mask);
  if (trace->dispatch.mode != 0) {
    (void)request(trace, SET_DISPATCH, sizeof trace->dispatch, (uintptr_t)&trace->dispatch);
  }
  (void)request(trace, PTRACE_DETACH, 0, (uintptr_t)trace->parting_signal);
}

/* ---- The helper process ---------------------------------------------------------------------- */

typedef struct helper {
  nbuf_trace trace;
  nbuf_trace_script script;
  void *context;
  nbuf_result result;
} helper;

static int help(void *context) {
  helper *work = context;
  (void)setpgid(0, 0); /* a signal to the host's group must not kill us half-way */
  work->result = enter(&work->trace);
  work->trace.end = nbuf_os_nanoseconds() + calls_bound_ns;
  if (work->result.status == NEARBUF_OK) {
    work->result = work->script(&work->trace, work->context);
  }
  if (work->trace.failure.status != NEARBUF_OK) {
    work->result = work->trace.failure;
  }
  leave(&work->trace);
  return 0;
}

/* Signals that would kill the host, and which the user may send while it waits; ours are not
 * theirs. */
static uint64_t deadly_signals(void) {
  static const int deadly[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
  uint64_t set = 0;
  for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++) {
    uint64_t action[4] = {1}; /* the kernel's; the handler comes first */
    (void)syscall(SYS_rt_sigaction, deadly[i], 0L, action, sizeof(uint64_t));
    set |= action[0] == 0 ? UINT64_C(1) << (deadly[i] - 1) : 0;
  }
  return set;
}

/* Runs the helper to its end. Signals with handlers are blocked meanwhile, since they would run in
 * it, too. If the host dies of one, the helper does its work nevertheless. */
static nbuf_result run_helper(helper *work) {
  enum { STACK_SIZE = 64 << 10 };
  char *stack = nbuf_os_own_pages(STACK_SIZE);
  if (stack == NULL) {
    return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, errno);
  }
  uint64_t before = 0;
  int status = 0;
  work->result = nbuf_result_of(NEARBUF_SYSTEM_ERROR);
  uint64_t others = ~deadly_signals();
  (void)syscall(SYS_rt_sigprocmask, SIG_BLOCK, &others, &before, sizeof before);
  int process = clone(help, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK, work);
  int error = errno;
  if (process > 0) {
    nbuf_child_wait(process, &status);
  }
  set_signal_mask(before, NULL);
  (void)nbuf_os_unmap((uintptr_t)stack, STACK_SIZE);
  if (process > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
    return nbuf_result_of(NEARBUF_BUSY);
  }
  return process > 0 ? work->result : nbuf_result_system(NEARBUF_OUT_OF_MEMORY, error);
}

/* ---- Choosing a thread ----------------------------------------------------------------------- */

typedef struct threads {
  int directory; /* /proc/<id> */
  bool are_listed;
  uint32_t count;
  struct {
    pid_t id;
    uint32_t processor;
  } each[MOST_THREADS];
} threads;

/* Adds a thread if it can be stopped. */
static void add(threads *all, pid_t id) {
  enum { IO_WORKER = 0x10, USER_WORKER = 0x4000 }; /* PF_…: the kernel's own, for io_uring */
  char path[32];
  nbuf_linux_stat stat = {0};
  (void)snprintf(path, sizeof path, "task/%d/stat", (int)id);
  if (nbuf_linux_read_stat(all->directory, path, &stat) == 0 &&
      (stat.flags & (IO_WORKER | USER_WORKER)) == 0 && !has_ended(stat.state) &&
      stat.state !=
          'D') { /* D: it waits where nothing wakes it, for instance for a vforked child */
    all->each[all->count].id = id;
    all->each[all->count++].processor = stat.processor;
  }
}

static bool add_other(const char *name, void *context) {
  threads *all = context;
  pid_t id = (pid_t)nbuf_linux_number(name, 0, 10);
  if (id != 0 && (all->count == 0 || id != all->each[0].id)) {
    add(all, id);
  }
  return all->count < MOST_THREADS;
}

static nbuf_result list_threads(threads *all) {
  int tasks = openat(all->directory, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (tasks < 0) {
    return result_of_look(errno);
  }
  all->are_listed = true;
  (void)nbuf_linux_visit(tasks, add_other, all);
  close(tasks);
  return nbuf_result_of(NEARBUF_OK);
}

/* Finds threads that can be stopped: the first one, which will do as a rule, or others. A shell is
 * in the middle of a vfork most of the time, so it gets some time. */
static nbuf_result find_threads(threads *all, pid_t first) {
  uint64_t end = nbuf_os_nanoseconds() + STOP_BOUND_NS;
  add(all, first);
  nbuf_result result = nbuf_result_of(NEARBUF_OK);
  while (all->count == 0 && result.status == NEARBUF_OK && nbuf_os_nanoseconds() < end) {
    result = list_threads(all);
    if (all->count == 0 && result.status == NEARBUF_OK) {
      nbuf_os_pause();
    }
  }
  return result;
}

nbuf_result nbuf_trace_run(const nbuf_trace_target *target, nbuf_trace_script script,
                           void *context) {
#if defined(__aarch64__)
  if (!target->is_64_bit) {
    return nbuf_result_of(NEARBUF_UNSUPPORTED);
  }
#endif
  uint64_t end = nbuf_os_nanoseconds() + threads_bound_ns;
  threads all = {.directory = target->directory};
  nbuf_result result = find_threads(&all, (pid_t)target->id);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  result = nbuf_result_of(NEARBUF_BUSY);
  for (uint32_t i = 0; i < all.count && nbuf_os_nanoseconds() < end; i++) {
    helper work = {.script = script, .context = context};
    work.trace.target = target;
    work.trace.thread = all.each[i].id;
    work.trace.processor = all.each[i].processor;
    result = run_helper(&work);
    bool is_next_worth_it = !work.trace.has_called &&
                            (result.status == NEARBUF_BUSY || result.status == NEARBUF_NOT_FOUND);
    if (!is_next_worth_it) {
      break;
    }
    if (!all.are_listed) {
      (void)list_threads(&all);
    }
  }
  return result;
}

#else /* another processor */

bool nbuf_trace_syscall(nbuf_trace *trace, nbuf_trace_call call, const uint64_t arguments[6],
                        int64_t *returned) {
  (void)trace;
  (void)call;
  (void)arguments;
  (void)returned;
  return false;
}

nbuf_result nbuf_trace_run(const nbuf_trace_target *target, nbuf_trace_script script,
                           void *context) {
  (void)target;
  (void)script;
  (void)context;
  return nbuf_result_of(NEARBUF_UNSUPPORTED);
}

#endif
