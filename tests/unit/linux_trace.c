/* System calls in a process whose threads are invented: when they stop and for what, what the
 * kernel refuses, and the clock are what a test says. remote/linux/trace.c is compiled here, with
 * other names for what it calls of the C library; the processor's part (registers.h) is defined
 * here. With real processes it is tested by tests/process. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"
#include "os/posix/posix.h"
#include "refused.h"
#include "remote/linux/proc.h"
#include "remote/linux/registers.h"
#include "remote/linux/trace.h"
#include "test.h"

/* ---- The kernel ------------------------------------------------------------------------------ */

#define MILLISECOND UINT64_C(1000000)
#define SECOND (1000 * MILLISECOND)
#define NEVER UINT64_MAX
#define ENTRY UINT64_C(0x20000000)
#define RANDOM_PLACE UINT64_C(0x20001000)
#define SEQUENCE UINT64_C(0x20002000) /* where a restartable one is described */
#define SIGNAL(number) (UINT64_C(1) << ((number)-1))
enum {
  DIRECTORY = 100,
  TASK = 0, /* as good a descriptor as others */
  STATUS = 0,
  FIRST = 42, /* the ids of the threads are this and the next ones */
  HELPER = 500,
  MOST_STOPS = 8,
  MOST_PEERS = 8,
  STACK = 64 << 10,
  CALLED = SIGTRAP | 0x80,
  WORKER = 0x10,
  OTHER_WORKER = 0x4000,
  REFUSED = 64 /* requests have smaller numbers here */
};

/* What a thread stops for, so long after it was let go. */
typedef struct planned_stop {
  uint64_t delay;
  int status;
} planned_stop;

#define FOR_SIGNAL(number) ((number) << 8 | 0x7f)
#define AT_CALL FOR_SIGNAL(CALLED)
#define AT_EVENT (PTRACE_EVENT_STOP << 16 | FOR_SIGNAL(SIGTRAP))
#define ENDED 0

typedef struct peer {
  nbuf_linux_stat stat;
  int stat_error;
  const char *status; /* null: it is gone */
} peer;

typedef enum asked {
  SEIZE,
  INTERRUPT,
  GO_ON,
  TO_CALL,
  OPTIONS,
  GET_RSEQ_,
  GET_MASK,
  SET_MASK,
  GET_DISPATCH_,
  SET_DISPATCH_,
  GET_INFO,
  DETACH,
  GET_REGISTERS,
  SET_REGISTERS,
  RESTORE,
  ASKED
} asked;

/* By what it is about: NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
static struct {
  uint64_t now;
  uint64_t pause_ns;
  peer peers[MOST_PEERS];
  int peer_count;
  int visits;
  uint64_t appears; /* until then there is no thread */
  int task_error;
  int status_error;
  int identity_error;
  planned_stop stops[MOST_STOPS]; /* the next ones; then they are what was asked for */
  int stop_count;
  int stops_begun;
  bool is_armed;
  uint64_t ready;
  int status;
  int wait_error;
  int wait_error_in_call;
  int errors[ASKED]; /* of requests */
  int error_after;   /* so many of these requests succeed before */
  int counts[ASKED];
  char log[1024]; /* what was asked, in words */
  pid_t thread;   /* which was seized last */
  int seized;
  int parting_signal;
  int signal_code;
  uint64_t passed_on; /* signals, as a set */
  uint64_t options;
  uint64_t mask;
  uint64_t blocked; /* the mask while it worked */
  uint64_t dispatch[4];
  uint64_t dispatch_there[4];
  uint64_t rseq_area;
  uint64_t rseq_descriptor;
  uint64_t rseq_start;
  uint64_t rseq_length;
  int rseq_error;
  uint64_t instruction;
  uint64_t moved_to;
  nbuf_call_stage stage; /* at which it was restored */
  bool is_entry_refused;
  unsigned char code[4];
  uint64_t random[2];
  ssize_t short_by; /* bytes that are missing */
  int read_error;
  /* This process. */
  bool has_no_stack;
  int clone_error;
  int helper_end;
  int stacks;
  uint64_t our_mask;
  uint64_t mask_around; /* while the helper runs */
  uint64_t mask_seizing;
  uint64_t helper_mask;
  uint64_t handled; /* signals */
  int64_t alarm_s;
  int processor;
  int moves; /* to a processor */
  int groups;
} it = {.processor = -1,
        .pause_ns = MILLISECOND,
        .mask = 0x55,
        .our_mask = 0x700,
        .code = {0xaa, 0xbb},
        .random = {3, 4},
        .peer_count = 1,
        .peers[0] = {.stat = {.state = 'S'},
                     .status = "State:\tS (sleeping)\nTracerPid:\t0\nSigPnd:\t0\nSeccomp:\t0\n"}};

const unsigned char nbuf_trace_entry_64[] = {0xaa, 0xbb};
const unsigned char nbuf_trace_entry_32[] = {0xcc, 0xdd, 0xee, 0xff};
const uint32_t nbuf_trace_entry_64_size = 2;
const uint32_t nbuf_trace_entry_32_size = 4;

static nbuf_trace_target traced = {.id = FIRST,
                                   .directory = DIRECTORY,
                                   .is_64_bit = true,
                                   .entry = ENTRY,
                                   .program = {RANDOM_PLACE, {3, 4}}};

static const char *const words[ASKED] = {"seize", "interrupt", "go",    "call",     "options",
                                         "rseq",  "mask",      "block", "dispatch", "off",
                                         "info",  "detach",    "get",   "set",      "restore"};

static long note(asked what) {
  size_t length = strlen(it.log);
  (void)snprintf(it.log + length, sizeof it.log - length, "%s%s", length == 0 ? "" : " ",
                 words[what]);
  bool fails = it.errors[what] != 0 && it.counts[what] >= it.error_after;
  it.counts[what]++;
  return failed_with(fails ? it.errors[what] : 0);
}

/* The thread runs, and comes to its next stop. */
static void let_go(int usual) {
  planned_stop next = {0, usual};
  if (it.stops_begun < it.stop_count) {
    next = it.stops[it.stops_begun++];
  }
  it.is_armed = true;
  it.ready = next.delay == NEVER ? NEVER : it.now + next.delay;
  it.status = next.status;
}

static void plan(uint64_t delay, int status) {
  CHECK(it.stop_count < MOST_STOPS);
  it.stops[it.stop_count++] = (planned_stop){delay, status};
}

static long copy_if(long result, void *to, const void *from, size_t size) {
  if (result == 0) {
    memcpy(to, from, size);
  }
  return result;
}

static long ask_about_rseq(uintptr_t size, uint64_t *to) {
  CHECK_EQUAL(24, size);
  if (note(GET_RSEQ_) != 0) {
    return -1;
  }
  to[0] = it.rseq_area;
  return 24;
}

static long go_on(asked what, int usual, uintptr_t signal_number) {
  long result = note(what);
  if (result == 0) {
    it.passed_on |= signal_number != 0 ? SIGNAL(signal_number) : 0;
    let_go(usual);
  }
  return result;
}

long nbuf_trace_request(pid_t thread, long ctx, uintptr_t address, uintptr_t data) {
  void *place = (void *)data;
  long result;
  CHECK(thread >= FIRST && thread < FIRST + MOST_PEERS);
  CHECK(ctx == PTRACE_SEIZE || thread == it.thread);
  switch (ctx) {
  case PTRACE_SEIZE:
    CHECK(address == 0 && data == PTRACE_O_TRACESYSGOOD);
    it.thread = thread;
    it.seized++;
    it.mask_seizing = it.helper_mask;
    return note(SEIZE);
  case PTRACE_INTERRUPT:
    CHECK(address == 0 && data == 0);
    CHECK_EQUAL(UINT64_MAX, it.helper_mask);
    return go_on(INTERRUPT, AT_EVENT, 0);
  case PTRACE_CONT:
    CHECK_EQUAL(0, address);
    return go_on(GO_ON, AT_EVENT, data);
  case PTRACE_SYSCALL:
    CHECK_EQUAL(0, address);
    it.blocked = it.mask;
    it.wait_error = it.wait_error_in_call;
    memcpy(it.dispatch_there, it.dispatch, sizeof it.dispatch);
    return go_on(TO_CALL, AT_CALL, data);
  case PTRACE_SETOPTIONS:
    CHECK_EQUAL(0, address);
    it.options = data;
    return note(OPTIONS);
  case 0x420f: /* PTRACE_GET_RSEQ_CONFIGURATION */
    return ask_about_rseq(address, place);
  case 0x420a: /* PTRACE_GETSIGMASK */
    CHECK_EQUAL(8, address);
    return copy_if(note(GET_MASK), place, &it.mask, sizeof it.mask);
  case 0x420b: /* PTRACE_SETSIGMASK */
    CHECK_EQUAL(8, address);
    return copy_if(note(SET_MASK), &it.mask, place, sizeof it.mask);
  case 0x4210: /* PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG */
    CHECK_EQUAL(32, address);
    return copy_if(note(SET_DISPATCH_), it.dispatch, place, sizeof it.dispatch);
  case 0x4211:
    CHECK_EQUAL(32, address);
    memset(place, 0xff, 8); /* also where it fails */
    return copy_if(note(GET_DISPATCH_), place, it.dispatch, sizeof it.dispatch);
  case PTRACE_GETSIGINFO:
    CHECK_EQUAL(0, address);
    result = note(GET_INFO);
    if (result == 0) {
      ((siginfo_t *)place)->si_code = it.signal_code;
    }
    return result;
  default:
    CHECK_EQUAL(PTRACE_DETACH, ctx);
    CHECK_EQUAL(0, address);
    it.parting_signal = (int)data;
    return note(DETACH);
  }
}

/* ---- Its registers --------------------------------------------------------------------------- */

static nbuf_registers own_registers(void) {
  nbuf_registers set;
  memset(&set, 0x11, sizeof set);
  return set;
}

static const nbuf_blocked_call blocked = {true, 1, 2, 3, 4};
static uint64_t wanted[6];
static int64_t results[4]; /* of its calls */
static int result_count;

bool nbuf_registers_get(pid_t thread, nbuf_registers *set) {
  CHECK_EQUAL(it.thread, thread);
  if (note(GET_REGISTERS) != 0) {
    return false;
  }
  *set = own_registers();
  return true;
}

bool nbuf_registers_set(pid_t thread, const nbuf_registers *set) {
  CHECK_EQUAL(it.thread, thread);
  CHECK(((const unsigned char *)set)[0] == 0x22);
  return note(SET_REGISTERS) == 0;
}

void nbuf_registers_note_call(int directory, pid_t thread, nbuf_blocked_call *call) {
  CHECK(directory == DIRECTORY && thread >= FIRST);
  *call = blocked;
}

void nbuf_registers_prepare(nbuf_registers *set, const nbuf_trace_target *target,
                            nbuf_trace_call call, const uint64_t arguments[6],
                            const nbuf_blocked_call *before) {
  CHECK(target == &traced && call == NBUF_TRACE_MMAP &&
        memcmp(arguments, wanted, sizeof wanted) == 0);
  CHECK(it.seized == 0 || it.errors[SEIZE] != 0 || before->number == blocked.number);
  memset(set, 0x22, sizeof *set);
}

bool nbuf_registers_at_entry(pid_t thread, nbuf_registers *set, const uint64_t arguments[6]) {
  CHECK(thread == it.thread && arguments == wanted && ((unsigned char *)set)[0] == 0x22);
  return !it.is_entry_refused;
}

int64_t nbuf_registers_result(const nbuf_registers *set, const nbuf_trace_target *target) {
  CHECK(target == &traced && ((const unsigned char *)set)[0] == 0x11);
  return results[result_count++];
}

bool nbuf_registers_restore(pid_t thread, const nbuf_registers *saved,
                            const nbuf_trace_target *target, const nbuf_blocked_call *before,
                            nbuf_call_stage stage) {
  nbuf_registers own = own_registers();
  CHECK(thread == it.thread && target == &traced && before->number == blocked.number);
  CHECK(memcmp(saved, &own, sizeof own) == 0);
  it.stage = stage;
  return note(RESTORE) == 0;
}

uint64_t nbuf_registers_instruction(const nbuf_registers *set) {
  (void)set;
  return it.instruction;
}

void nbuf_registers_move(nbuf_registers *set, uint64_t instruction) {
  (void)set;
  it.moved_to = instruction;
}

/* ---- What else is asked ---------------------------------------------------------------------- */

static long wait_for(long thread, int *status, long options) {
  if (options == (long)0x80000000UL) { /* for the helper */
    CHECK_EQUAL(HELPER, thread);
    *status = it.helper_end;
    return HELPER;
  }
  CHECK_EQUAL(it.thread, thread);
  CHECK_EQUAL(__WALL | WNOHANG, options);
  if (it.wait_error != 0) {
    errno = it.wait_error;
    it.wait_error = it.wait_error == EINTR ? 0 : it.wait_error;
    return -1;
  }
  if (!it.is_armed || it.now < it.ready) {
    return 0;
  }
  it.is_armed = false;
  *status = it.status;
  return thread;
}

static long change_mask(int how, const uint64_t *mask, uint64_t *before) {
  uint64_t more = how == SIG_BLOCK ? it.our_mask : 0;
  CHECK(how == SIG_SETMASK || how == SIG_BLOCK);
  if (before != NULL) {
    *before = it.our_mask;
  }
  if (mask != NULL && it.stacks == 1 && it.groups > 0) {
    it.helper_mask = *mask;
  } else if (mask != NULL) {
    it.our_mask = *mask | more;
  }
  return 0;
}

static long set_processors(long size, const uint64_t *processors) {
  it.moves++;
  CHECK_EQUAL(512, size);
  for (int i = 0; i < 64 * 64; i++) {
    if ((processors[i / 64] >> i % 64 & 1) != 0) {
      CHECK_EQUAL(-1, it.processor);
      it.processor = i;
    }
  }
  return 0;
}

static long invented_syscall(long number, ...) {
  long a[4];
  va_list arguments;
  va_start(arguments, number);
  for (int i = 0; i < 4; i++) {
    a[i] = va_arg(arguments, long);
  }
  va_end(arguments);
  switch (number) {
  case SYS_wait4:
    return wait_for(a[0], (int *)a[1], a[2]);
  case SYS_rt_sigprocmask:
    CHECK_EQUAL(8, a[3]);
    return change_mask((int)a[0], (const uint64_t *)a[1], (uint64_t *)a[2]);
  case SYS_rt_sigaction:
    CHECK_EQUAL(8, a[3]);
    if (a[1] != 0) {
      const uint64_t *action = (const uint64_t *)a[1];
      CHECK((int)a[0] == SIGALRM && (action[0] | action[1] | action[2] | action[3]) == 0);
    } else {
      ((uint64_t *)a[2])[0] = it.handled & SIGNAL((int)a[0]);
    }
    return 0;
  case SYS_setitimer:
    CHECK_EQUAL(ITIMER_REAL, (int)a[0]);
    it.alarm_s = ((const struct itimerval *)a[1])->it_value.tv_sec;
    CHECK_EQUAL(0, ((const struct itimerval *)a[1])->it_value.tv_usec);
    CHECK_EQUAL(0, ((const struct itimerval *)a[1])->it_interval.tv_sec);
    CHECK_EQUAL(0, ((const struct itimerval *)a[1])->it_interval.tv_usec);
    return 0;
  default:
    CHECK_EQUAL(SYS_sched_setaffinity, number);
    CHECK_EQUAL(0, a[0]);
    return set_processors(a[1], (const uint64_t *)a[2]);
  }
}

static peer *peer_in(const char *path, const char *entry) {
  for (int i = 0; i < MOST_PEERS; i++) {
    char expected[32];
    (void)snprintf(expected, sizeof expected, "task/%d%s", FIRST + i, entry);
    if (strcmp(path, expected) == 0) {
      return &it.peers[i];
    }
  }
  test_fail(__FILE__, __LINE__, "%s is no entry", path);
}

static const char *opened_status;

static int invented_openat(int directory, const char *path, int flags) {
  CHECK_EQUAL(DIRECTORY, directory);
  if (strcmp(path, "task") == 0) {
    CHECK_EQUAL(O_RDONLY | O_DIRECTORY | O_CLOEXEC, flags);
    return failed_with(it.task_error) == 0 ? TASK : -1;
  }
  CHECK_EQUAL(O_RDONLY | O_CLOEXEC, flags);
  opened_status = peer_in(path, "/status")->status;
  if (it.stacks > 0 && it.identity_error != 0) {
    return failed_with(it.identity_error);
  }
  return failed_with(opened_status == NULL ? ENOENT : 0) == 0 ? STATUS : -1;
}

static int invented_read_lines(int file, char *text, size_t size) {
  CHECK_EQUAL(STATUS, file);
  (void)snprintf(text, size, "%s", it.status_error == 0 ? opened_status : "");
  return it.status_error;
}

static int open_count;

static int invented_read_stat(int directory, const char *path, nbuf_linux_stat *stat) {
  CHECK_EQUAL(DIRECTORY, directory);
  const peer *of = peer_in(path, "/stat");
  *stat = of->stat;
  CHECK_EQUAL(0, it.stacks); /* the helper does not look again */
  return it.now < it.appears ? ENOENT : of->stat_error;
}

static int invented_visit(int directory, bool (*visit)(const char *name, void *context),
                          void *context) {
  char name[16] = ".";
  CHECK_EQUAL(TASK, directory);
  it.visits++;
  bool goes_on = visit(name, context);
  for (int i = 0; i < it.peer_count && it.now >= it.appears && goes_on; i++) {
    (void)snprintf(name, sizeof name, "%d", FIRST + i);
    goes_on = visit(name, context);
  }
  return 0;
}

/* The code, the program, and the sequence if there is an area for it; or what the sequence is. */
static ssize_t invented_readv(pid_t thread, const struct iovec *here, unsigned long pieces,
                              const struct iovec *there, unsigned long count, unsigned long flags) {
  CHECK(thread == it.thread && pieces == 1 && flags == 0);
  unsigned char *to = here->iov_base;
  uintptr_t place = (uintptr_t)there->iov_base;
  if (count == 3) {
    CHECK_EQUAL(ENTRY, place);
    size_t size = there[0].iov_len + there[1].iov_len;
    CHECK_EQUAL(size + there[2].iov_len, here->iov_len);
    if (it.read_error != 0) {
      return failed_with(it.read_error);
    }
    memcpy(to, it.code, there[0].iov_len);
    memcpy(to + there[0].iov_len, it.random, there[1].iov_len);
    bool has_area = it.rseq_area != 0 && it.errors[GET_RSEQ_] == 0;
    CHECK_EQUAL(has_area ? it.rseq_area + 8 : 0, (uintptr_t)there[2].iov_base);
    CHECK_EQUAL(has_area ? 8 : 0, there[2].iov_len);
    memcpy(to + size, &it.rseq_descriptor, there[2].iov_len);
    bool is_cut = it.rseq_error != 0 && --it.rseq_error == 0;
    return (ssize_t)(is_cut ? size : here->iov_len) - it.short_by;
  }
  CHECK(count == 1 && here->iov_len == there->iov_len);
  if (it.rseq_error != 0 && --it.rseq_error == 0) {
    return (ssize_t)here->iov_len - 1;
  }
  const uint64_t sequence[4] = {0, it.rseq_start, it.rseq_length, 0x77};
  CHECK(place == SEQUENCE && here->iov_len == sizeof sequence);
  memcpy(to, sequence, sizeof sequence);
  return (ssize_t)here->iov_len;
}

static unsigned char stack_bytes[STACK];

static void *invented_own_pages(size_t size) {
  CHECK_EQUAL(STACK, size);
  errno = ENOMEM;
  it.stacks += !it.has_no_stack;
  return it.has_no_stack ? NULL : stack_bytes;
}

static nbuf_result invented_unmap(uintptr_t address, size_t size) {
  CHECK(address == (uintptr_t)stack_bytes && size == STACK);
  it.stacks--;
  return nbuf_result_of(NEARBUF_OK);
}

static int invented_clone(int (*run)(void *context), const void *top, int flags, void *context) {
  CHECK(top == stack_bytes + STACK && flags == (CLONE_VM | CLONE_VFORK));
  if (failed_with(it.clone_error) != 0) {
    return -1;
  }
  it.mask_around = it.our_mask;
  it.processor = -1;
  it.helper_mask = it.our_mask;
  if (it.helper_end == 0) {
    it.groups = 0;
    int opened = open_count;
    CHECK_EQUAL(0, run(context));
    CHECK(open_count <= opened + 1); /* its end closes the status */
    open_count = opened;
  }
  it.groups = 0;
  return HELPER;
}

static int invented_setpgid(pid_t id, pid_t group) {
  CHECK(id == 0 && group == 0);
  it.groups++;
  return 0;
}

static void invented_pause(void) {
  it.now += it.pause_ns;
}

static int invented_yield(void) {
  it.now += it.pause_ns == MILLISECOND ? 1000 : 0;
  return 0;
}

static void invented_close(int file) {
  CHECK_EQUAL(STATUS, file);
  open_count--;
}

static int counted(int file) {
  open_count += file >= 0;
  return file;
}

#define syscall invented_syscall
#undef openat
#define openat(directory, path, flags) counted(invented_openat(directory, path, flags))
#define close(file) invented_close(file)
#define process_vm_readv(thread, here, pieces, there, count, flags)                                \
  invented_readv(thread, here, pieces, there, count, flags)
#define clone(run, top, flags, context) invented_clone(run, top, flags, context)
#define setpgid(id, group) invented_setpgid(id, group)
#define sched_yield() invented_yield()
#define nbuf_os_pause() invented_pause()
#define nbuf_os_nanoseconds() it.now
#define nbuf_os_own_pages(size) invented_own_pages(size)
#define nbuf_os_unmap(address, size) invented_unmap(address, size)
#define nbuf_linux_read_lines(file, text, size) invented_read_lines(file, text, size)
#define nbuf_linux_read_stat(directory, path, stat) invented_read_stat(directory, path, stat)
#define nbuf_linux_visit(directory, visit, context) invented_visit(directory, visit, context)
#include "remote/linux/trace.c" /* NOLINT(bugprone-suspicious-include) */

/* ---- Runs ------------------------------------------------------------------------------------ */

static int calls_to_make = 1;
static int calls_made;
static int scripts;
static int64_t last_result;
static bool is_result_unwanted;

static nbuf_result script(nbuf_trace *trace, void *context) {
  CHECK(context == &calls_to_make);
  scripts++;
  for (int i = 0; i < calls_to_make; i++) {
    int64_t returned = 1;
    bool is_made =
        nbuf_trace_syscall(trace, NBUF_TRACE_MMAP, wanted, is_result_unwanted ? NULL : &returned);
    CHECK(is_made || is_result_unwanted || returned == -ESRCH);
    calls_made += is_made;
    last_result = returned;
    if (!is_made) {
      return nbuf_result_system(NEARBUF_NOT_FOUND, ESRCH);
    }
  }
  return nbuf_result_system(NEARBUF_STALE, 99); /* whatever a script returns is passed on */
}

static void run(nearbuf_status status, int error) {
  it.log[0] = '\0';
  it.stops_begun = 0;
  it.is_armed = false;
  it.seized = 0;
  it.parting_signal = 0;
  it.passed_on = 0;
  it.now = 0;
  memset(it.counts, 0, sizeof it.counts);
  calls_made = result_count = scripts = 0;
  uint64_t mask = it.our_mask;
  nbuf_result result = nbuf_trace_run(&traced, script, &calls_to_make);
  CHECK_STATUS(status, result.status);
  CHECK_EQUAL((unsigned)error, (unsigned)result.system_error);
  CHECK_EQUAL(0, open_count);
  CHECK_EQUAL(0, it.stacks);
  CHECK_EQUAL(mask, it.our_mask);
}

static void plan_anew(uint64_t delay, int status) {
  it.stop_count = 0;
  plan(delay, status);
}

static void check_log(const char *expected) {
  if (strcmp(expected, it.log) != 0) {
    test_fail(__FILE__, __LINE__, "it was \"%s\"", it.log);
  }
}

/* That the thread goes on with all that it had. */
static void check_left(int signal_number) {
  CHECK_EQUAL(1, it.counts[RESTORE]);
  CHECK_EQUAL(1, it.counts[DETACH]);
  CHECK_EQUAL(0x55, it.mask);
  CHECK_EQUAL((unsigned)signal_number, (unsigned)it.parting_signal);
}

#define ENTERED "seize interrupt get mask rseq options dispatch block"
#define LEFT "restore block detach"
#define DONE NEARBUF_STALE, 99

TEST(a_thread_is_stopped_makes_its_calls_and_goes_on_as_it_was) {
  results[0] = 5;
  results[1] = -EEXIST;
  calls_to_make = 2;
  run(DONE);
  check_log(ENTERED " set call call get set call call get " LEFT);
  CHECK_EQUAL(2, calls_made);
  CHECK(last_result == -EEXIST);
  CHECK_EQUAL(NBUF_CALL_DONE, it.stage);
  CHECK_EQUAL(UINT64_MAX, it.blocked);
  CHECK_EQUAL(PTRACE_O_TRACESYSGOOD | 1 << 21, it.options);
  CHECK_EQUAL(0, it.visits); /* the others are not looked for */
  check_left(0);
}

TEST(a_script_without_calls_leaves_no_trace) {
  calls_to_make = 0;
  run(DONE);
  check_log(ENTERED " " LEFT);
  CHECK_EQUAL(NBUF_CALL_NONE, it.stage);
  check_left(0);
}

/* ---- Threads --------------------------------------------------------------------------------- */

static void add_peer(char state, uint32_t flags) {
  it.peers[it.peer_count] = it.peers[0];
  it.peers[it.peer_count].stat.flags = flags;
  it.peers[it.peer_count++].stat.state = state;
}

TEST(threads_that_cannot_be_stopped_are_not_tried) {
  it.peer_count = 0;
  it.peers[0].stat_error = 0;
  add_peer('D', 0);
  add_peer('Z', 0);
  add_peer('X', 0);
  add_peer('\0', 0);
  add_peer('S', WORKER);
  add_peer('S', OTHER_WORKER);
  add_peer('S', 0);
  it.peers[6].stat_error = ENOENT;
  for (int i = 1; i < 7; i++) {
    it.peers[i].status = "State:\tS\n";
  }
  run(NEARBUF_BUSY, 0);
  CHECK_EQUAL(0, it.seized);
  CHECK_EQUAL(100 * MILLISECOND, it.now);
  it.peers[6].stat_error = 0;
  it.peers[6].stat.flags = ~(uint32_t)(WORKER | OTHER_WORKER);
  run(DONE);
  CHECK_EQUAL(FIRST + 6, it.thread);
  CHECK_EQUAL(1, it.visits - 100);
}

TEST(a_thread_that_appears_within_a_tenth_of_a_second_is_used) {
  it.appears = 99 * MILLISECOND;
  run(DONE);
  it.appears = 100 * MILLISECOND;
  run(NEARBUF_BUSY, 0);
}

TEST(why_the_threads_cannot_be_listed_is_returned) {
  static const struct {
    int error;
    nearbuf_status status;
  } failures[] = {{ENOENT, NEARBUF_NOT_FOUND},
                  {ESRCH, NEARBUF_NOT_FOUND},
                  {EMFILE, NEARBUF_OUT_OF_MEMORY},
                  {EACCES, NEARBUF_DENIED}};
  for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
    it.task_error = failures[i].error;
    it.peers[0].stat.state = 'D'; /* else it would do */
    run(failures[i].status, failures[i].error);
    CHECK_EQUAL(0, it.seized);
  }
}

TEST(if_a_thread_does_not_stop_the_next_one_is_tried) {
  add_peer('S', 0);
  plan(NEVER, 0);
  run(DONE);
  CHECK_EQUAL(2, it.seized);
  CHECK_EQUAL(FIRST + 1, it.thread);
  CHECK(it.now > 100 * MILLISECOND && it.now <= 103 * MILLISECOND);
  check_log("seize interrupt " ENTERED " set call call get " LEFT);
}

TEST(at_most_four_threads_are_tried) {
  for (int i = 0; i < 5; i++) {
    add_peer('S', 0);
    plan(NEVER, 0);
  }
  run(NEARBUF_BUSY, 0);
  CHECK_EQUAL(4, it.seized);
  CHECK(it.now > 400 * MILLISECOND && it.now < 410 * MILLISECOND);
}

/* One of them may take a second, on a busy machine. */
TEST(after_two_seconds_no_other_thread_is_tried) {
  it.peers[0].status = "State:\tR (running)\nTracerPid:\t0\n";
  for (int i = 0; i < 4; i++) {
    add_peer('R', 0);
    plan(NEVER, 0);
  }
  run(NEARBUF_BUSY, 0);
  CHECK_EQUAL(2, it.seized);
  CHECK(it.now > 2 * SECOND && it.now <= 2 * SECOND + 4 * MILLISECOND);
  plan_anew(999 * MILLISECOND, AT_EVENT);
  run(DONE);
  CHECK_EQUAL(1, it.seized);
  CHECK(it.now < 1005 * MILLISECOND);
}

TEST(a_thread_that_ends_while_it_is_to_stop_is_not_touched_again) {
  plan(0, ENDED);
  run(NEARBUF_BUSY, 0);
  check_log("seize interrupt");
  it.stop_count = 0;
  it.wait_error = ECHILD;
  run(NEARBUF_BUSY, 0);
  check_log("seize interrupt");
  it.wait_error = EINTR;
  run(DONE);
  it.errors[INTERRUPT] = ESRCH;
  run(NEARBUF_BUSY, 0);
  check_log("seize interrupt");
}

TEST(a_thread_that_is_gone_is_followed_by_the_next) {
  add_peer('S', 0);
  it.errors[SEIZE] = ESRCH;
  run(NEARBUF_NOT_FOUND, ESRCH);
  CHECK_EQUAL(2, it.seized);
}

TEST(signals_that_arrive_before_it_stops_are_passed_on) {
  plan(0, FOR_SIGNAL(SIGUSR1));
  plan(0, AT_CALL);
  plan(0, AT_EVENT);
  run(DONE);
  check_log("seize interrupt go go get mask rseq options dispatch block set call call get " LEFT);
  CHECK_EQUAL(SIGNAL(SIGUSR1), it.passed_on);
  it.errors[GO_ON] = ESRCH;
  run(NEARBUF_BUSY, 0);
  check_log("seize interrupt go");
}

/* ---- Other tracers --------------------------------------------------------------------------- */

TEST(another_tracer_has_a_tenth_of_a_second_to_detach) {
  it.peers[0].status = "State:\tt (tracing stop)\nTracerPid:\t7\n";
  it.errors[SEIZE] = EPERM;
  run(NEARBUF_DENIED, EPERM);
  CHECK_EQUAL(100 * MILLISECOND, it.now);
  CHECK_EQUAL(101, it.seized);
}

TEST(where_no_tracer_is_visible_it_is_tried_once_more) {
  it.errors[SEIZE] = EPERM;
  run(NEARBUF_DENIED, EPERM);
  check_log("seize seize");
  it.errors[SEIZE] = EIO;
  run(NEARBUF_DENIED, EIO);
  check_log("seize");
}

TEST(a_thread_that_has_ended_is_not_found_whatever_the_error) {
  it.errors[SEIZE] = EPERM;
  it.peers[0].status = "State:\tZ (zombie)\n";
  run(NEARBUF_NOT_FOUND, ESRCH);
  it.peers[0].status = "State:\tX (dead)\n";
  run(NEARBUF_NOT_FOUND, ESRCH);
  it.peers[0].status = NULL;
  run(NEARBUF_NOT_FOUND, ESRCH);
  it.peers[0].status = "State: S\n"; /* of which nothing is known */
  run(NEARBUF_NOT_FOUND, ESRCH);
  check_log("seize");
}

TEST(what_was_read_of_it_before_is_not_its_status_when_it_is_gone) {
  char status[NBUF_LINUX_STATUS_SIZE] = "State:\tS (sleeping)\n";
  it.peers[0].status = NULL;
  CHECK_EQUAL(0, read_status(DIRECTORY, FIRST, status));
}

TEST(an_alarm_limits_how_long_the_kernel_lets_it_wait_for_other_tracers) {
  run(DONE);
  CHECK_EQUAL(2, it.alarm_s);
  CHECK_EQUAL(~SIGNAL(SIGALRM), it.mask_seizing);
  it.helper_end = SIGALRM;
  run(NEARBUF_BUSY, 0);
  it.helper_end = SIGKILL;
  run(NEARBUF_SYSTEM_ERROR, 0);
}

/* ---- Checks of the stopped thread ------------------------------------------------------------ */

TEST(a_thread_of_another_process_with_that_id_is_not_stopped) {
  it.identity_error = ENOENT;
  run(NEARBUF_NOT_FOUND, ENOENT);
  check_log("seize");
  it.identity_error = EACCES;
  run(NEARBUF_DENIED, EACCES);
  check_log("seize");
}

#define UP_TO_PROGRAM "seize interrupt get mask rseq "

TEST(in_another_program_no_call_is_made) {
  it.code[1]++;
  run(NEARBUF_BUSY, 0);
  check_log(UP_TO_PROGRAM LEFT);
  check_left(0);
  it.code[1]--;
  it.random[1]++;
  run(NEARBUF_BUSY, 0);
  it.random[1]--;
  it.short_by = 1;
  run(NEARBUF_BUSY, 0);
  it.short_by = 18; /* nothing is there any more */
  errno = EACCES;   /* of another call */
  run(NEARBUF_BUSY, 0);
  it.short_by = 0;
  it.read_error = EFAULT;
  run(NEARBUF_BUSY, 0);
  it.read_error = ESRCH;
  run(NEARBUF_BUSY, 0);
  it.read_error = EPERM;
  run(NEARBUF_DENIED, EPERM);
  it.read_error = ENOMEM;
  run(NEARBUF_OUT_OF_MEMORY, ENOMEM);
  check_log(UP_TO_PROGRAM LEFT);
}

TEST(a_program_that_was_not_noted_is_known_by_its_instruction_alone) {
  traced.program.address = 0;
  it.random[0]++;
  run(DONE);
  it.code[0]++;
  run(NEARBUF_BUSY, 0);
}

TEST(the_instruction_of_a_narrow_process_is_its_own) {
#if defined(__x86_64__)
  traced.is_64_bit = false;
  run(NEARBUF_BUSY, 0);
  memcpy(it.code, nbuf_trace_entry_32, sizeof it.code);
  run(DONE);
  it.code[3]++;
  run(NEARBUF_BUSY, 0);
#else
  traced.is_64_bit = false;
  run(NEARBUF_UNSUPPORTED, 0);
  CHECK_EQUAL(0, it.seized);
#endif
}

TEST(a_thread_whose_calls_are_filtered_makes_none_unless_the_filter_is_suspended) {
  it.peers[0].status = "State:\tS\nSeccomp:\t2\n";
  run(DONE);
  it.errors[OPTIONS] = EPERM;
  run(NEARBUF_DENIED, EPERM);
  check_log(UP_TO_PROGRAM "options " LEFT);
  it.errors[OPTIONS] = ESRCH;
  run(NEARBUF_NOT_FOUND, ESRCH);
  it.peers[0].status = "State:\tS\nSeccomp:\t0\n";
  run(DONE);
}

TEST(a_thread_of_which_nothing_can_be_read_makes_no_call) {
  it.status_error = EMFILE;
  run(NEARBUF_OUT_OF_MEMORY, EMFILE);
  check_log("seize interrupt get mask " LEFT);
  it.status_error = ESRCH;
  run(NEARBUF_NOT_FOUND, ESRCH);
}

TEST(a_thread_whose_registers_or_signals_cannot_be_read_is_not_changed) {
  it.errors[GET_REGISTERS] = EIO;
  run(NEARBUF_SYSTEM_ERROR, EIO);
  check_log("seize interrupt get");
  it.errors[GET_REGISTERS] = 0;
  it.errors[GET_MASK] = ESRCH;
  run(NEARBUF_NOT_FOUND, ESRCH);
  check_log("seize interrupt get mask");
}

/* ---- Restartable sequences ------------------------------------------------------------------- */

static void check_moved(bool is_moved) {
  it.moved_to = 0;
  run(DONE);
  CHECK_EQUAL(is_moved ? 0x77 : 0, it.moved_to);
}

TEST(a_restartable_sequence_in_which_it_was_is_aborted) {
  it.rseq_area = 0x20003000;
  it.rseq_descriptor = SEQUENCE;
  it.rseq_start = 0x1000;
  it.rseq_length = 0x10;
  it.instruction = 0x1000;
  check_moved(true);
  it.instruction = 0x100f;
  check_moved(true);
  it.instruction = 0x1010;
  check_moved(false);
  it.instruction = 0xfff;
  check_moved(false);
  it.instruction = 0x1000;
  for (int i = 1; i <= 2; i++) {
    it.rseq_error = i;
    check_moved(false);
  }
  it.errors[GET_RSEQ_] = EIO;
  check_moved(false);
  it.errors[GET_RSEQ_] = 0;
  it.rseq_descriptor = 0;
  check_moved(false);
  it.rseq_area = 0;
  check_moved(false);
}

/* ---- Its own handling of calls and signals --------------------------------------------------- */

TEST(calls_that_become_signals_are_switched_off_meanwhile) {
  const uint64_t on[4] = {1, 2, 3, 4};
  memcpy(it.dispatch, on, sizeof on);
  run(DONE);
  check_log(ENTERED " off set call call get restore block off detach");
  CHECK_EQUAL(0, it.dispatch_there[0]);
  CHECK_EQUAL(0, memcmp(it.dispatch, on, sizeof on));
}

TEST(where_it_is_unknown_whether_calls_become_signals_that_signal_stays_open) {
  it.errors[GET_DISPATCH_] = EIO;
  run(DONE);
  check_log(ENTERED " set call call get " LEFT);
  CHECK_EQUAL(~SIGNAL(SIGSYS), it.blocked);
  it.mask |= SIGNAL(SIGSYS);
  run(DONE);
  CHECK_EQUAL(UINT64_MAX, it.blocked);
}

TEST(a_signal_of_its_own_making_that_waits_is_let_come_first) {
  it.errors[GET_DISPATCH_] = EIO;
  it.peers[0].status = "State:\tS\nSigPnd:\t0000000040000000\n";
  run(NEARBUF_BUSY, 0);
  check_log("seize interrupt get mask rseq options dispatch restore block detach");
  it.mask |= SIGNAL(SIGSYS); /* which keeps it waiting */
  run(DONE);
  it.mask = 0x55;
  it.peers[0].status = "State:\tS\nSigPnd:\tffffffffbfffffff\n";
  run(DONE);
}

TEST(a_thread_whose_signals_cannot_be_blocked_makes_no_call) {
  it.errors[SET_MASK] = EIO;
  run(NEARBUF_SYSTEM_ERROR, EIO);
  check_log(ENTERED " " LEFT);
  it.errors[SET_MASK] = ESRCH;
  run(NEARBUF_NOT_FOUND, ESRCH);
  it.errors[SET_MASK] = 0;
  it.dispatch[0] = 1;
  it.errors[SET_DISPATCH_] = EIO;
  run(NEARBUF_SYSTEM_ERROR, EIO);
  CHECK_EQUAL(0, scripts);
}

/* ---- Calls that go wrong --------------------------------------------------------------------- */

static void plan_call(uint64_t delay, int status) {
  it.stop_count = 0;
  plan(0, AT_EVENT);
  plan(delay, status);
}

TEST(a_signal_that_the_call_causes_is_discarded) {
  plan_call(0, FOR_SIGNAL(SIGSEGV));
  it.signal_code = SEGV_MAPERR;
  run(NEARBUF_DENIED, 0);
  check_log(ENTERED " set call info " LEFT);
  CHECK_EQUAL(NBUF_CALL_PREPARED, it.stage);
  check_left(0);
}

TEST(another_signal_is_delivered_when_it_goes_on) {
  plan_call(0, FOR_SIGNAL(SIGUSR1));
  run(NEARBUF_BUSY, 0);
  check_log(ENTERED " set call info " LEFT);
  check_left(SIGUSR1);
  it.errors[GET_INFO] = EIO;
  it.signal_code = 5;
  run(NEARBUF_BUSY, 0);
  check_left(SIGUSR1);
}

TEST(a_thread_that_has_made_a_call_is_not_followed_by_another) {
  add_peer('S', 0);
  plan_call(0, FOR_SIGNAL(SIGUSR1));
  run(NEARBUF_BUSY, 0);
  CHECK_EQUAL(1, it.seized);
}

TEST(after_a_failure_no_more_calls_are_made) {
  nbuf_trace trace = {.target = &traced, .thread = FIRST};
  int64_t returned = 1;
  trace.failure.status = NEARBUF_BUSY;
  CHECK(!nbuf_trace_syscall(&trace, NBUF_TRACE_MMAP, wanted, &returned));
  CHECK(returned == -ESRCH);
  trace.failure.status = NEARBUF_OK;
  trace.is_gone = true;
  CHECK(!nbuf_trace_syscall(&trace, NBUF_TRACE_MMAP, wanted, &returned));
  check_log("");
}

TEST(the_registers_are_not_read_for_a_result_that_does_not_matter) {
  is_result_unwanted = true;
  calls_to_make = 2;
  run(DONE);
  CHECK_EQUAL(2, calls_made);
  check_log(ENTERED " set call call set call call " LEFT);
}

TEST(a_process_that_is_stopped_and_continued_goes_on_with_its_call) {
  plan_call(0, FOR_SIGNAL(SIGSTOP));
  plan(0, AT_EVENT);
  run(DONE);
  check_log(ENTERED " set call call call call get " LEFT);
  CHECK_EQUAL(SIGNAL(SIGSTOP), it.passed_on);
}

TEST(a_process_that_is_stopped_all_the_time_is_busy_after_two_seconds) {
  plan_call(2 * SECOND + 10000, FOR_SIGNAL(SIGSTOP)); /* as the last look finds it */
  it.peers[0].status = "State:\tR\n";
  run(NEARBUF_BUSY, 0);
  check_log(ENTERED " set call " LEFT);
  check_left(SIGSTOP);
  plan_call(2 * SECOND - MILLISECOND, FOR_SIGNAL(SIGSTOP));
  run(DONE);
}

TEST(a_frozen_thread_is_stopped_once_more_after_a_tenth_of_a_second) {
  plan_call(NEVER, 0);
  run(NEARBUF_BUSY, 0);
  check_log(ENTERED " set call interrupt " LEFT);
  CHECK(it.now > 100 * MILLISECOND && it.now < 103 * MILLISECOND);
  CHECK_EQUAL(NBUF_CALL_PREPARED, it.stage);
  check_left(0);
}

TEST(a_call_that_does_not_return_is_stopped_after_two_seconds) {
  plan_call(0, AT_CALL);
  plan(NEVER, 0);
  run(NEARBUF_BUSY, 0);
  check_log(ENTERED " set call call interrupt " LEFT);
  CHECK(it.now > 2 * SECOND && it.now < 2 * SECOND + 5 * MILLISECOND);
  CHECK_EQUAL(NBUF_CALL_ENTERED, it.stage);
}

TEST(a_call_that_returns_within_two_seconds_is_done) {
  plan_call(0, AT_CALL);
  plan(1999 * MILLISECOND, AT_CALL);
  run(DONE);
}

/* Also for those that follow. */
TEST(all_calls_have_two_seconds_together) {
  calls_to_make = 2;
  it.peers[0].status = "State:\tR\n";
  plan_call(0, AT_CALL);
  plan(1500 * MILLISECOND, AT_CALL);
  plan(0, AT_CALL);
  plan(NEVER, 0);
  run(NEARBUF_BUSY, 0);
  CHECK_EQUAL(1, calls_made);
  CHECK(it.now < 2 * SECOND + 5 * MILLISECOND);
}

TEST(a_thread_that_cannot_be_rescued_for_ten_seconds_is_left) {
  plan_call(NEVER, 0);
  plan(NEVER, 0);
  run(NEARBUF_BUSY, 0);
  check_log(ENTERED " set call interrupt");
  CHECK(it.now > 10 * SECOND + 100 * MILLISECOND && it.now < 10 * SECOND + 106 * MILLISECOND);
  plan_call(NEVER, 0);
  plan(9990 * MILLISECOND, AT_EVENT);
  run(NEARBUF_BUSY, 0);
  check_log(ENTERED " set call interrupt " LEFT);
  plan_call(NEVER, 0);
  it.errors[INTERRUPT] = ESRCH;
  it.error_after = 1;
  run(NEARBUF_BUSY, 0);
  check_log(ENTERED " set call interrupt");
}

TEST(a_call_that_ends_as_its_thread_is_stopped_once_more_is_done) {
  plan_call(0, AT_CALL);
  plan(NEVER, 0);
  plan(0, AT_CALL);
  run(DONE);
  check_log(ENTERED " set call call interrupt get " LEFT);
  CHECK_EQUAL(NBUF_CALL_DONE, it.stage);
}

TEST(a_call_that_is_entered_only_then_is_not_made) {
  plan_call(NEVER, 0);
  plan(0, AT_CALL);
  run(NEARBUF_BUSY, 0);
  CHECK_EQUAL(NBUF_CALL_ENTERED, it.stage);
  check_left(0);
}

TEST(a_signal_that_stops_it_only_then_is_delivered_or_discarded_as_before) {
  plan_call(NEVER, 0);
  plan(0, FOR_SIGNAL(SIGUSR1));
  run(NEARBUF_BUSY, 0);
  check_left(SIGUSR1);
  it.signal_code = SEGV_MAPERR;
  run(NEARBUF_DENIED, 0);
  check_left(0);
}

TEST(a_thread_that_ends_in_its_call_is_not_touched_again) {
  plan_call(0, ENDED);
  run(NEARBUF_NOT_FOUND, ESRCH);
  check_log(ENTERED " set call");
  plan_call(0, AT_CALL);
  it.errors[TO_CALL] = ESRCH;
  it.error_after = 1;
  run(NEARBUF_NOT_FOUND, ESRCH);
  check_log(ENTERED " set call call");
  it.errors[TO_CALL] = 0;
  it.wait_error_in_call = ECHILD;
  run(NEARBUF_NOT_FOUND, ESRCH);
  check_log(ENTERED " set call");
}

TEST(registers_that_cannot_be_set_or_read_end_the_calls) {
  it.errors[SET_REGISTERS] = ESRCH;
  run(NEARBUF_NOT_FOUND, ESRCH);
  check_log(ENTERED " set " LEFT);
  CHECK_EQUAL(NBUF_CALL_NONE, it.stage);
  it.errors[SET_REGISTERS] = 0;
  it.errors[GET_REGISTERS] = ESRCH;
  it.error_after = 1;
  run(NEARBUF_NOT_FOUND, ESRCH);
  CHECK_EQUAL(NBUF_CALL_DONE, it.stage);
  it.errors[GET_REGISTERS] = 0;
  it.is_entry_refused = true;
  run(NEARBUF_NOT_FOUND, ESRCH);
  check_log(ENTERED " set call " LEFT);
  CHECK_EQUAL(NBUF_CALL_ENTERED, it.stage);
}

/* ---- Bounds ---------------------------------------------------------------------------------- */

/* The next look after the bound is the last one: a thread that stops behind it is not seen. */
static void check_bound(uint64_t bound, const planned_stop *before, int count, int late) {
  for (uint64_t more = 0; more < 2; more++) {
    it.stop_count = 0;
    for (int i = 0; i < count; i++) {
      plan(before[i].delay, before[i].status);
    }
    it.pause_ns = bound + more;
    plan(it.pause_ns + 1, late);
    if (more == 0) {
      run(DONE);
    } else {
      run(NEARBUF_BUSY, 0);
    }
  }
}

TEST(each_wait_lasts_exactly_as_long_as_its_bound) {
  static const planned_stop entered[] = {{0, AT_EVENT}, {0, AT_CALL}};
  static const planned_stop frozen[] = {{0, AT_EVENT}, {0, AT_CALL}, {NEVER, 0}};
  check_bound(100 * MILLISECOND, NULL, 0, AT_EVENT);
  check_bound(100 * MILLISECOND, entered, 1, AT_CALL);
  it.peers[0].status = "State:\tR\n";
  check_bound(SECOND, NULL, 0, AT_EVENT);
  check_bound(2 * SECOND, entered, 1, AT_CALL);
  check_bound(2 * SECOND, entered, 2, AT_CALL);
  check_bound(10 * SECOND, frozen, 3, AT_CALL);
}

/* ---- The helper ------------------------------------------------------------------------------ */

/* A user may send some signals while this process waits; of those with a handler none may come. */
TEST(only_signals_that_end_this_process_can_come_meanwhile) {
  const uint64_t deadly = SIGNAL(SIGHUP) | SIGNAL(SIGINT) | SIGNAL(SIGQUIT) | SIGNAL(SIGTERM);
  run(DONE);
  CHECK_EQUAL(~deadly, it.mask_around);
  it.handled = SIGNAL(SIGINT);
  it.our_mask = SIGNAL(SIGHUP);
  run(DONE);
  CHECK_EQUAL(~(SIGNAL(SIGQUIT) | SIGNAL(SIGTERM)), it.mask_around);
  it.handled = SIGNAL(SIGHUP);
  it.our_mask = 0;
  run(DONE);
  CHECK_EQUAL(~(SIGNAL(SIGINT) | SIGNAL(SIGQUIT) | SIGNAL(SIGTERM)), it.mask_around);
}

TEST(without_a_helper_there_is_no_call) {
  it.clone_error = EAGAIN;
  run(NEARBUF_OUT_OF_MEMORY, EAGAIN);
  it.has_no_stack = true;
  run(NEARBUF_OUT_OF_MEMORY, ENOMEM);
  CHECK_EQUAL(0, it.seized);
}

TEST(the_helper_runs_where_the_thread_ran) {
  static const uint32_t processors[] = {0, 63, 64, 4095};
  for (size_t i = 0; i < sizeof processors / sizeof *processors; i++) {
    it.peers[0].stat.processor = processors[i];
    run(DONE);
    CHECK_EQUAL(processors[i], it.processor);
  }
  CHECK_EQUAL(4, it.moves);
  for (uint32_t more = 0; more < 2; more++) { /* more than anyone has */
    it.peers[0].stat.processor = 4096 + 64 * more;
    run(DONE);
    CHECK_EQUAL(UINT32_MAX, (uint32_t)it.processor);
  }
  CHECK_EQUAL(4, it.moves);
}
