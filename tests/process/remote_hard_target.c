/* Programs in which system calls are hard to make; see remote_hard.c. Like remote_target.c they use
 * no part of the library, print "ready", and do what their first argument says. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t ended;
static volatile sig_atomic_t told;
static volatile sig_atomic_t counted;

static void on_signal(int signal_number) {
  ended += signal_number == SIGTERM;
  told += signal_number == SIGHUP;
  counted += signal_number == SIGUSR1 || signal_number == SIGSYS;
}

static void handle(int signal_number) {
  struct sigaction action = {0};
  action.sa_handler = on_signal;
  sigaction(signal_number, &action, NULL);
}

/* Waits until it is told to continue (SIGHUP) or to end. False: to end. */
static bool wait_to_be_told(void) {
  sigset_t set;
  sigset_t before;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, &before);
  handle(SIGTERM);
  handle(SIGHUP);
  handle(SIGUSR1);
  printf("ready\n");
  while (ended == 0 && told == 0) {
    sigsuspend(&before);
  }
  told = 0;
  sigprocmask(SIG_SETMASK, &before, NULL);
  return ended == 0;
}

static void become(const char *mode, const char *argument) {
  execl("/proc/self/exe", "/proc/self/exe", mode, argument, (char *)NULL);
  _exit(8);
}

/* ---- It replaces itself ---------------------------------------------------------------------- */

static long replace_often(const char *count) {
  char next[16];
  long left = strtol(count, NULL, 10);
  (void)snprintf(next, sizeof next, "%ld", left - 1);
  if (left > 0) {
    become("again", next);
  }
  return 0;
}

static long start_replacing(const char *count) {
  printf("ready\n");
  return replace_often(count);
}

/* The next program has memory of its own at a given address, such as the library creates. */
static long keep(const char *address) {
  return wait_to_be_told() ? (become("kept", address), 1) : 0;
}

static long kept(const char *address) {
  void *place = (void *)(uintptr_t)strtoull(address, NULL, 16);
  char *memory = mmap(place, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (memory == MAP_FAILED) {
    return -1;
  }
  memcpy(memory, "mine", sizeof "mine");
  (void)wait_to_be_told();
  return strcmp(memory, "mine") == 0 ? 1 : 0;
}

static const char *next_program;
static const char *next_argument;

static void *replace_from_thread(void *context) {
  (void)context;
  char line[16];
  if (fgets(line, sizeof line, stdin) != NULL) {
    if (next_program[0] == '/') {
      execl(next_program, next_program, (char *)NULL);
    }
    become(next_program, next_argument);
  }
  return NULL;
}

/* Its second thread replaces the program when it is told to. */
static long replace_by_second(const char *program) {
  pthread_t second;
  next_program = program;
  pthread_create(&second, NULL, replace_from_thread, NULL);
  (void)wait_to_be_told();
  return counted;
}

static long keep_by_second(const char *address) {
  next_argument = address;
  return replace_by_second("kept");
}

/* Its second threads replace it again and again. */
static void *replace_at_once(void *count) {
  become("by_threads", count);
  return NULL;
}

static long replace_by_threads(const char *count) {
  static char next[16];
  long left = strtol(count, NULL, 10);
  pthread_t second;
  (void)snprintf(next, sizeof next, "%ld", left - 1);
  if (left > 0) {
    pthread_create(&second, NULL, replace_at_once, next);
    for (;;) {
      pause();
    }
  }
  return 0;
}

static long start_replacing_by_threads(const char *count) {
  printf("ready\n");
  return replace_by_threads(count);
}

static long idle(const char *ignored) {
  (void)ignored;
  while (wait_to_be_told()) {
  }
  return counted;
}

/* ---- Threads that start and end -------------------------------------------------------------- */

static _Atomic long runs;

static void *run_shortly(void *context) {
  (void)context;
  for (volatile int i = 0; i < 1000; i = i + 1) {
  }
  runs++;
  return NULL;
}

/* 1: every thread that it started has ended. */
static long start_threads(const char *ignored) {
  (void)ignored;
  enum { AT_ONCE = 3 };
  pthread_t threads[AT_ONCE];
  long started = 0;
  handle(SIGTERM);
  printf("ready\n");
  while (ended == 0) {
    for (int i = 0; i < AT_ONCE; i++) {
      started += pthread_create(&threads[i], NULL, run_shortly, NULL) == 0;
    }
    for (int i = 0; i < AT_ONCE; i++) {
      pthread_join(threads[i], NULL);
    }
  }
  return started == runs;
}

/* ---- Filters, dispatch, the kernel's threads ------------------------------------------------- */

/* When it is told to, it restricts itself to read, write and exit. */
static long restrict_itself(const char *ignored) {
  (void)ignored;
  char byte;
  (void)wait_to_be_told();
  prctl(PR_SET_SECCOMP, 1);
  (void)!write(1, "strict\n", 7);
  (void)!read(0, &byte, 1);
  (void)!write(1, "0\n", 2);
  (void)syscall(SYS_exit, 0);
  return 0;
}

#ifdef SYS_mmap2
enum { MAP_CALL = SYS_mmap2 };
#else
enum { MAP_CALL = SYS_mmap };
#endif

/* From now on mapping memory and opening files kills it. */
static bool add_filter(void) {
  enum { SET_MODE_FILTER = 1, FOR_ALL_THREADS = 1 };
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* the number of the call */
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MAP_CALL, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_munmap, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, 0x7fff0000U), /* it is allowed */
      BPF_STMT(BPF_RET | BPF_K, 0x80000000U), /* it kills the process */
  };
  struct sock_fprog program = {sizeof code / sizeof code[0], code};
  return syscall(SYS_seccomp, SET_MODE_FILTER, FOR_ALL_THREADS, &program) == 0;
}

static void *add_filters(void *context) {
  (void)context;
  enum { MOST_FILTERS = 1000 }; /* the kernel allows about 2,000 such */
  const struct timespec a_while = {0, 1000000};
  for (int i = 0; i < MOST_FILTERS && ended == 0; i++) {
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &a_while, NULL);
    (void)add_filter();
  }
  for (;;) {
    (void)pause(); /* its stack must not be unmapped */
  }
}

/* Its system calls are filtered, and another thread adds more filters to all. */
static long filter_itself(const char *ignored) {
  (void)ignored;
  pthread_t other;
  const struct timespec a_while = {0, 500000};
  handle(SIGTERM);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) != 0 ||
      pthread_create(&other, NULL, add_filters, NULL) != 0 || !add_filter()) {
    printf("refused\n");
    return 0;
  }
  printf("ready\n");
  while (ended == 0) {
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &a_while, NULL);
  }
  return 1;
}

static volatile char selector; /* 0: system calls are allowed; 1: they become signals */

static void on_dispatch(int signal_number) {
  selector = 0;
  on_signal(signal_number);
}

/* Its system calls become signals to itself, as those of a Windows program under Wine. */
static long dispatch(const char *ignored) {
  (void)ignored;
  const int signals[] = {SIGSYS, SIGTERM, SIGUSR1};
  struct sigaction action = {0};
  action.sa_handler = on_dispatch;
  for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
    sigaction(signals[i], &action, NULL);
  }
  if (prctl(59 /* PR_SET_SYSCALL_USER_DISPATCH */, 1L, 0L, 0L, &selector) != 0) {
    printf("refused\n");
    return 0;
  }
  printf("ready\n");
  while (ended == 0) {
    selector = 1;
    while (selector != 0) { /* a handler must make a system call to return */
    }
  }
  selector = 1;
  (void)syscall(SYS_getppid); /* counted, if this is still a signal */
  selector = 0;
  return counted;
}

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#define SYS_io_uring_enter 426
#endif

/* Makes the kernel start a thread of its own in the process, which reads from a pipe that stays
 * empty. */
static bool start_worker(void) {
  /* struct io_uring_params and io_uring_sqe, as far as they matter here */
  uint32_t parameters[30] = {0};
  int ends[2];
  static char byte;
  int ring = (int)syscall(SYS_io_uring_setup, 4, parameters);
  if (ring < 0 || pipe(ends) != 0) {
    return false;
  }
  unsigned char *queue =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, 0);
  unsigned char *entry = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring,
                              0x10000000 /* IORING_OFF_SQES */);
  if (queue == MAP_FAILED || entry == MAP_FAILED) {
    return false;
  }
  const uint64_t address = (uintptr_t)&byte;
  const uint32_t size = 1;
  entry[0] = 22;   /* IORING_OP_READ */
  entry[1] = 0x10; /* IOSQE_ASYNC */
  memcpy(entry + 4, &ends[0], 4);
  memcpy(entry + 16, &address, 8);
  memcpy(entry + 24, &size, 4);
  uint32_t tail = parameters[10 + 1]; /* sq_off.tail, .array */
  uint32_t array = parameters[10 + 6];
  memset(queue + array, 0, 4);
  uint32_t one = 1;
  memcpy(queue + tail, &one, 4);
  return syscall(SYS_io_uring_enter, ring, 1, 0, 0, NULL, 0L) == 1;
}

static void *idle_in_thread(void *context) {
  (void)context;
  printf("%ld\n", idle(NULL));
  exit(0);
}

/* Of its threads the first one waits for a vforked child, the next one is the kernel's own. */
static long work_beside_kernel(const char *ignored) {
  (void)ignored;
  pthread_t other;
  if (!start_worker()) {
    printf("refused\n");
    return 0;
  }
  sigset_t all;
  sigfillset(&all);
  pthread_create(&other, NULL, idle_in_thread, NULL);
  pthread_sigmask(SIG_BLOCK, &all, NULL);
  pid_t self = getpid();
  /* The child never returns: NOLINTBEGIN(clang-analyzer-unix.Vfork) */
  if (vfork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (getppid() == self) { /* which may have ended before that was set */
      pause();
    }
    _exit(0);
  }
  /* NOLINTEND(clang-analyzer-unix.Vfork) */
  return 0;
}

/* ---- A call that signals end, and others do not ---------------------------------------------- */

static long wait_for_events(const char *ignored) {
  (void)ignored;
  struct epoll_event event;
  handle(SIGUSR1);
  signal(SIGUSR2, SIG_IGN);
  int events = epoll_create1(0);
  printf("ready\n");
  int result = epoll_wait(events, &event, 1, 60000);
  return result < 0 && errno == EINTR ? counted : -1;
}

/* Signals can be handled only while it waits, and each that is handled ends one wait. 1: so it was,
 * and no other wait ended. */
static long count_interruptions(const char *ignored) {
  (void)ignored;
  struct sigaction action = {0};
  struct epoll_event event;
  sigset_t none;
  sigemptyset(&none);
  sigfillset(&action.sa_mask); /* one handler a wait */
  action.sa_handler = on_signal;
  sigdelset(&action.sa_mask, SIGUSR2); /* where it is blocked, it is kept although it is ignored */
  sigprocmask(SIG_SETMASK, &action.sa_mask, NULL);
  sigaction(SIGUSR1, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  signal(SIGUSR2, SIG_IGN);
  int events = epoll_create1(0);
  long interruptions = 0;
  bool is_interrupted = true;
  printf("ready\n");
  while (ended == 0 && is_interrupted) {
    is_interrupted = epoll_pwait(events, &event, 1, -1, &none) < 0 && errno == EINTR;
    interruptions++;
  }
  return is_interrupted && interruptions == counted + ended && counted > 0;
}

/* ---- The main program ------------------------------------------------------------------------ */

typedef struct mode {
  const char *name;
  long (*run)(const char *argument);
} mode;

static const mode modes[] = {
    {"idle", idle},
    {"execs", start_replacing},
    {"again", replace_often},
    {"thread_execs", start_replacing_by_threads},
    {"by_threads", replace_by_threads},
    {"keep", keep},
    {"kept", kept},
    {"second", replace_by_second},
    {"keep_by_second", keep_by_second},
    {"restrict", restrict_itself},
    {"threads", start_threads},
    {"filters", filter_itself},
    {"dispatch", dispatch},
    {"worker", work_beside_kernel},
    {"events", wait_for_events},
    {"signals", count_interruptions},
};

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const char *name = argc < 2 ? "idle" : argv[1];
  const char *argument = argc > 2 ? argv[2] : NULL;
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
    if (strcmp(name, modes[i].name) == 0) {
      printf("%ld\n", modes[i].run(argument));
      return 0;
    }
  }
  return 2;
}
