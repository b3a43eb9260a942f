/* A program that is not prepared for what is done to it: it uses no part of the library. Its first
 * argument says what it does; it prints "ready", does it, and prints the result:
 *
 *   result errno milliseconds
 *
 * With "idle" it waits for signals: USR1 is counted, USR2 makes it not dumpable, HUP makes it
 * replace itself, TERM makes it print the count and end. With "headless" another thread does so,
 * and the first one has ended. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
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
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_futex
#define SYS_futex SYS_futex_time64
#endif

enum { WAIT_MS = 800, THREADS = 8 };

static volatile sig_atomic_t ended;
static volatile sig_atomic_t replaced;
static volatile sig_atomic_t counted;

static void on_signal(int signal_number) {
  counted += signal_number == SIGUSR1 || signal_number == SIGRTMIN || signal_number == SIGALRM;
  ended += signal_number == SIGTERM;
  replaced += signal_number == SIGHUP;
  if (signal_number == SIGUSR2) {
    prctl(PR_SET_DUMPABLE, 0);
  }
}

static void handle(int signal_number) {
  struct sigaction action = {0};
  action.sa_handler = on_signal;
  sigaction(signal_number, &action, NULL);
}

static long milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Sleepers: all of them end by their time limit ------------------------------------------- */

static const struct timespec limit = {0, WAIT_MS * 1000000L};

static long sleep_nanosleep(void) {
  struct timespec rest = {0, 0};
  return nanosleep(&limit, &rest);
}

static long sleep_clock(void) {
  return clock_nanosleep(CLOCK_MONOTONIC, 0, &limit, NULL);
}

static long sleep_epoll(void) {
  struct epoll_event event;
  return epoll_wait(epoll_create1(0), &event, 1, WAIT_MS);
}

static long sleep_epoll_pwait(void) {
  struct epoll_event event;
  sigset_t none;
  sigemptyset(&none);
  return epoll_pwait(epoll_create1(0), &event, 1, WAIT_MS, &none);
}

static long sleep_poll(void) {
  return poll(NULL, 0, WAIT_MS);
}

static long sleep_select(void) {
  struct timeval time_limit = {0, WAIT_MS * 1000L};
  return select(0, NULL, NULL, NULL, &time_limit);
}

static long sleep_sigtimedwait(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  return sigtimedwait(&set, NULL, &limit);
}

static long sleep_receive(void) {
  int ends[2];
  char byte;
  struct timeval time_limit = {0, WAIT_MS * 1000L};
  socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
  setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &time_limit, sizeof time_limit);
  return recv(ends[0], &byte, 1, 0);
}

static long sleep_semaphore(void) {
  int set = semget(IPC_PRIVATE, 1, 0600);
  struct sembuf down = {0, -1, 0};
  long result = semtimedop(set, &down, 1, &limit);
  int error = errno;
  semctl(set, 0, IPC_RMID);
  errno = error;
  return result;
}

static long sleep_futex(void) {
  static uint32_t word;
  long time_limit[2] = {limit.tv_sec, limit.tv_nsec};
  return syscall(SYS_futex, &word, FUTEX_WAIT, 0, time_limit, NULL, 0);
}

static long sleep_in_wait(void) {
  pid_t child = fork();
  if (child == 0) {
    nanosleep(&limit, NULL);
    _exit(7);
  }
  int status = 0;
  pid_t waited = waitpid(child, &status, 0);
  return waited == child ? WEXITSTATUS(status) : -1;
}

/* A signal arrives while it sleeps, and must end the call as usual. */
static long sleep_until_signal(void) {
  struct epoll_event event;
  struct itimerval timer = {{0, 0}, {0, WAIT_MS * 1000L}};
  handle(SIGALRM);
  setitimer(ITIMER_REAL, &timer, NULL);
  return epoll_wait(epoll_create1(0), &event, 1, 10000);
}

/* The strictest filter: read, write and exit are all that is allowed. It ends by the end of a pipe
 * that a child holds open for a while. */
static long run_strictly(void) {
  int ends[2];
  char byte;
  if (pipe(ends) != 0) {
    return -1;
  }
  if (fork() == 0) {
    nanosleep(&limit, NULL);
    _exit(0);
  }
  close(ends[1]);
  prctl(PR_SET_SECCOMP, 1);
  if (write(1, "ready\n", 6) != 6) {
    return -1;
  }
  long result = read(ends[0], &byte, 1);
  const char *line = result == 0 ? "0 0 0\n" : "1 0 0\n";
  (void)!write(1, line, 6);
  (void)syscall(SYS_exit, 0); /* not exit_group, which is not allowed */
  return 0;
}

/* ---- Workers: what they compute must not depend on what is done to them ---------------------- */

static uint64_t compute(uint64_t seed, long rounds) {
  uint64_t a = seed;
  uint64_t b = ~seed;
  double x = 1.0 + (double)(seed % 7);
  for (long i = 0; i < rounds; i++) {
    a = (a ^ (b >> 7)) * UINT64_C(0x9E3779B97F4A7C15) + (uint64_t)i;
    b = (b << 13 | b >> 51) ^ a;
    x = x * 1.0000001 + (double)(a & 15);
    x = x > 1e12 ? x / 1e9 : x;
  }
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return a ^ b ^ bits;
}

static long rounds_for_a_second;

static void *work(void *context) {
  uint64_t seed = (uint64_t)(uintptr_t)context;
  uint64_t *result = malloc(sizeof *result);
  *result = compute(seed, rounds_for_a_second / 2);
  return result;
}

static long run_threads(void) {
  pthread_t threads[THREADS];
  long wrong = 0;
  for (uintptr_t i = 0; i < THREADS; i++) {
    pthread_create(&threads[i], NULL, work, (void *)i);
  }
  for (uintptr_t i = 0; i < THREADS; i++) {
    void *result;
    pthread_join(threads[i], &result);
    wrong += *(uint64_t *)result != compute(i, rounds_for_a_second / 2);
    free(result);
  }
  return wrong;
}

/* Computes while a timer interrupts it all the time. */
static long run_with_timer(void) {
  uint64_t expected = compute(5, rounds_for_a_second);
  struct itimerval timer = {{0, 500}, {0, 500}};
  handle(SIGALRM);
  setitimer(ITIMER_REAL, &timer, NULL);
  printf("half\n");
  uint64_t actual = compute(5, rounds_for_a_second);
  memset(&timer, 0, sizeof timer);
  setitimer(ITIMER_REAL, &timer, NULL);
  return expected == actual && counted > 10 ? 0 : 1;
}

static volatile uint64_t computed; /* or the compiler computes nothing */

static void measure(void) {
  long start = milliseconds();
  long rounds = 0;
  while (milliseconds() - start < 50) {
    computed = compute((uint64_t)rounds, 100000);
    rounds += 100000;
  }
  rounds_for_a_second = rounds * 20;
}

/* ---- The main program ------------------------------------------------------------------------ */

static long idle(char **arguments) {
  const int signals[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGHUP, SIGRTMIN};
  sigset_t set;
  sigset_t before;
  sigemptyset(&set);
  for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
    handle(signals[i]);
    sigaddset(&set, signals[i]);
  }
  sigprocmask(SIG_BLOCK, &set, &before);
  printf("ready\n");
  while (ended == 0) {
    sigsuspend(&before);
    if (replaced != 0) {
      sigprocmask(SIG_SETMASK, &before, NULL);
      execv("/proc/self/exe", arguments);
    }
  }
  return counted;
}

static void *idle_and_end(void *arguments) {
  pthread_t first = *(pthread_t *)arguments;
  char *none[] = {NULL};
  pthread_join(first, NULL);
  printf("%ld\n", idle(none));
  exit(0);
}

static void idle_without_head(void) {
  static pthread_t first;
  pthread_t other;
  first = pthread_self();
  if (pthread_create(&other, NULL, idle_and_end, &first) == 0) {
    pthread_exit(NULL);
  }
}

/* Opens a new file with the name of its first locator. */
static int open_locator(const char *directory) {
  char path[160];
  (void)snprintf(path, sizeof path, "%s/Reloaded.Memory.Buffers.MemoryBuffer, PID %d", directory,
                 (int)getpid());
  return open(path, O_RDWR | O_CREAT | O_EXCL, 0700);
}

/* Maps an empty locator under its own name, as a reference does that is just making its first
 * one. */
static bool map_blank(void) {
  static const char zeros[65536];
  char own[64];
  (void)mkdir("/tmp/.reloaded", 01777);
  (void)mkdir("/tmp/.reloaded/memory.buffers", 01777);
  int file = open_locator("/tmp/.reloaded/memory.buffers");
  if (file < 0) { /* it is another user's */
    (void)snprintf(own, sizeof own, "/tmp/.reloaded.%d", (int)geteuid());
    (void)mkdir(own, 0700);
    file = open_locator(own);
  }
  size_t size = (size_t)sysconf(_SC_PAGESIZE);
  bool is_written = write(file, zeros, size) == (ssize_t)size;
  void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  return is_written && page != MAP_FAILED;
}

typedef struct mode {
  const char *name;
  long (*run)(void);
} mode;

static const mode modes[] = {
    {"nanosleep", sleep_nanosleep},
    {"clock", sleep_clock},
    {"epoll", sleep_epoll},
    {"epoll_pwait", sleep_epoll_pwait},
    {"poll", sleep_poll},
    {"select", sleep_select},
    {"sigtimedwait", sleep_sigtimedwait},
    {"receive", sleep_receive},
    {"semaphore", sleep_semaphore},
    {"futex", sleep_futex},
    {"wait", sleep_in_wait},
    {"signal", sleep_until_signal},
    {"threads", run_threads},
    {"timer", run_with_timer},
};

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (argc > 2 && chroot(argv[2]) != 0) {
    return 3;
  }
  if (argc > 1 && strcmp(argv[1], "blank") == 0 && !map_blank()) {
    printf("refused\n");
    return 0;
  }
  if (argc < 2 || strcmp(argv[1], "idle") == 0 || strcmp(argv[1], "blank") == 0) {
    printf("%ld\n", idle(argv));
    return 0;
  }
  if (strcmp(argv[1], "headless") == 0) {
    idle_without_head();
  }
  if (strcmp(argv[1], "strict") == 0) {
    return (int)run_strictly();
  }
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
    if (strcmp(argv[1], modes[i].name) == 0) {
      measure();
      printf("ready\n");
      long start = milliseconds();
      errno = 0;
      long result = modes[i].run();
      int error = result < 0 ? errno : 0;
      printf("%ld %d %ld\n", result, error, milliseconds() - start);
      return 0;
    }
  }
  return 2;
}
