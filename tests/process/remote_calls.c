/* Remote system calls: they must leave the process as it was. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "remote_linux.h"
#include "test.h"

/* Maps memory in a process and unmaps it again. */
static nearbuf_status disturb(nearbuf_process *process) {
  nearbuf_process_request request = anywhere(4096);
  uint64_t address;
  uint64_t size;
  nearbuf_status status = nearbuf_process_allocate(process, &request, &address, &size);
  return status == NEARBUF_OK ? nearbuf_process_free(process, address, size) : status;
}

/* Does it to a process that may end before by itself: on a busy machine a disturbance is delayed
 * often. False: it has ended. */
static bool disturb_unless_ended(nearbuf_process *process, bool may_be_busy) {
  nearbuf_status status = disturb(process);
  if (status == NEARBUF_NOT_FOUND) {
    siginfo_t end = {.si_pid = 0};
    CHECK(waitid(P_PID, (id_t)process->id, &end, WEXITED | WNOWAIT) == 0);
    CHECK_EQUAL(process->id, end.si_pid);
    return false;
  }
  CHECK(status == NEARBUF_OK || (may_be_busy && status == NEARBUF_BUSY));
  return true;
}

static void disturb_worker(nearbuf_process *process, int times) {
  CHECK_OK(disturb(process));
  for (int i = 0; i < times && disturb_unless_ended(process, false); i++) {
    usleep(2000);
  }
}

typedef struct ending {
  long result;
  int error;
  long ms;
} ending;

static ending end_of(target *what) {
  char line[64];
  ending end;
  int status;
  target_line(what, line, sizeof line);
  CHECK(sscanf(line, "%ld %d %ld", &end.result, &end.error, &end.ms) == 3);
  CHECK_EQUAL(what->id, waitpid(what->id, &status, 0));
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  fclose(what->output);
  return end;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

TEST(allocated_memory_is_zeroed_and_can_be_written_and_is_freed) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_request request = anywhere(10000);
  request.alignment_bytes = 65536;
  uint64_t address;
  uint64_t size;
  static unsigned char bytes[12288];
  static const unsigned char zeros[12288];
  int before = target_lines(&idle, "maps");
  CHECK_OK(nearbuf_process_allocate(&process, &request, &address, &size));
  CHECK_EQUAL(12288, size);
  CHECK_EQUAL(0, address % 65536);
  memset(bytes, 1, sizeof bytes);
  CHECK_OK(nearbuf_process_read(&process, address, bytes, sizeof bytes, NULL));
  CHECK(memcmp(bytes, zeros, sizeof bytes) == 0);
  memset(bytes, 2, sizeof bytes);
  CHECK_OK(nearbuf_process_write(&process, address, bytes, sizeof bytes, NULL));
  CHECK_OK(nearbuf_process_free(&process, address, size));
  CHECK_STATUS(NEARBUF_NOT_MAPPED, nearbuf_process_free(&process, address, size));
  CHECK_STATUS(NEARBUF_NOT_MAPPED, nearbuf_process_read(&process, address, bytes, 1, NULL));
  CHECK_EQUAL(before, target_lines(&idle, "maps"));
  (void)target_end(&idle);
}

static int find_writable(const nearbuf_process_mapping *mapping, void *context) {
  *(uint64_t *)context = mapping->min;
  return mapping->is_writable != 0 ? -1 : 0;
}

TEST(only_memory_that_could_have_been_allocated_is_freed) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  uint64_t data;
  CHECK_STATUS(NEARBUF_CANCELLED, nearbuf_process_visit_map(&process, find_writable, &data));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_free(&process, data, 4096));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_free(&process, data + 1, 4096));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_free(&process, data, 0));
  uint64_t listed = put(&process, "hello", 5) & ~(uint64_t)4095;
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_free(&process, listed, 4096));
  (void)target_end(&idle);
}

TEST(a_range_without_a_gap_has_no_room) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_request request = anywhere(8192);
  uint64_t first;
  uint64_t second;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &first, NULL));
  request.min = first;
  request.max = first + 8191;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_process_allocate(&process, &request, &second, NULL));
  CHECK_EQUAL(0, second);
  CHECK_OK(nearbuf_process_free(&process, first, 4096)); /* the lower half */
  request.size_bytes = 4096;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &second, NULL));
  CHECK_EQUAL(first, second);
  (void)target_end(&idle);
}

/* Ten times as many were tried by hand; see docs/testing.md. */
TEST(a_thousand_allocations_leave_nothing_behind) {
  const char *wanted = getenv("NEARBUF_REMOTE_ALLOCATIONS");
  int count = wanted == NULL ? 1000 : atoi(wanted);
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  int maps = target_lines(&idle, "maps");
  int files = target_files(&idle, "fd");
  int threads = target_files(&idle, "task");
  struct timespec start;
  struct timespec end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (int i = 0; i < count; i++) {
    CHECK_OK(disturb(&process));
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  double us =
      (double)(end.tv_sec - start.tv_sec) * 1e6 + (double)(end.tv_nsec - start.tv_nsec) / 1e3;
  printf("%.0f us for a pair of calls\n", us / count);
  CHECK_EQUAL(maps, target_lines(&idle, "maps"));
  CHECK_EQUAL(files, target_files(&idle, "fd"));
  CHECK_EQUAL(threads, target_files(&idle, "task"));
  CHECK(target_reaches(&idle, 'S'));
  CHECK(kill(idle.id, SIGUSR1) == 0);
  CHECK_EQUAL(1, target_end(&idle));
}

TEST(a_locator_that_is_made_leaves_no_descriptor_behind) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  int files = target_files(&idle, "fd");
  int maps = target_lines(&idle, "maps");
  uint64_t address = put(&process, "hello", 5);
  CHECK_EQUAL(files, target_files(&idle, "fd"));
  CHECK_EQUAL(maps + 2, target_lines(&idle, "maps"));
  char rest[200];
  static const char zeros[200 - 5];
  CHECK_OK(nearbuf_process_read(&process, address, rest, sizeof rest, NULL));
  CHECK(memcmp(rest + 5, zeros, sizeof zeros) == 0); /* the path that stood there is gone */
  (void)target_end(&idle);
}

/* ---- Calls that the process sleeps in -------------------------------------------------------- */

/* Disturbs a process that sleeps, until `until_ended` or for half a second. If its 800 ms passed
 * before the machine scheduled the test, it is tried again. */
static ending disturbed(const char *program, const char *mode, bool until_ended, bool *has_ended) {
  for (int tries = 0;; tries++) {
    target sleeper = target_start(program, mode, NULL);
    nearbuf_process process = target_open(&sleeper);
    uint64_t end = now_ms() + (until_ended ? 20000 : 500);
    int disturbances = 0;
    while (now_ms() < end && disturb_unless_ended(&process, false)) {
      disturbances++;
      usleep(2000);
    }
    *has_ended = now_ms() < end;
    ending result = end_of(&sleeper);
    if (disturbances > 2 || tries == 50) {
      CHECK(disturbances > 2);
      CHECK(result.ms >= 795);
      return result;
    }
  }
}

/* Where each disturbance starts the time limit anew, it does not end while there are any. */
static void check_keeps_deadline(const char *mode, long result, int error) {
  bool has_ended;
  ending end = disturbed(REMOTE_TARGET, mode, true, &has_ended);
  CHECK_EQUAL(result, end.result);
  CHECK_EQUAL(error, end.error);
  CHECK(has_ended);
}

/* Here the kernel keeps no deadline: the limit counts from the last disturbance. */
static void check_goes_on(const char *mode, long result, int error) {
  bool has_ended;
  ending end = disturbed(REMOTE_TARGET, mode, false, &has_ended);
  CHECK_EQUAL(result, end.result);
  CHECK_EQUAL(error, end.error);
}

TEST(nanosleep_goes_on_and_keeps_its_deadline) {
  check_keeps_deadline("nanosleep", 0, 0);
  check_keeps_deadline("clock", 0, 0);
}

TEST(poll_and_select_go_on_and_keep_their_deadline) {
  check_keeps_deadline("poll", 0, 0);
  check_keeps_deadline("select", 0, 0);
}

TEST(a_futex_goes_on_and_keeps_its_deadline) {
  check_keeps_deadline("futex", -1, ETIMEDOUT);
}

TEST(epoll_wait_goes_on) {
  check_goes_on("epoll", 0, 0);
  check_goes_on("epoll_pwait", 0, 0);
}

TEST(sigtimedwait_goes_on) {
  check_goes_on("sigtimedwait", -1, EAGAIN);
}

TEST(a_timed_receive_goes_on) {
  check_goes_on("receive", -1, EAGAIN);
}

TEST(a_timed_semaphore_goes_on) {
  check_goes_on("semaphore", -1, EAGAIN);
}

TEST(waiting_for_a_child_goes_on) {
  check_keeps_deadline("wait", 7, 0);
}

TEST(a_signal_still_ends_the_call_that_it_ended_before) {
  check_goes_on("signal", -1, EINTR);
}

/* ---- Signals and threads --------------------------------------------------------------------- */

static void *send_signals(void *context) {
  const target *idle = context;
  for (int i = 0; i < 200; i++) {
    union sigval value = {.sival_int = i};
    CHECK(sigqueue(idle->id, SIGRTMIN, value) == 0);
    usleep(500);
  }
  return NULL;
}

TEST(no_signal_is_lost_or_doubled) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  pthread_t sender;
  CHECK(pthread_create(&sender, NULL, send_signals, &idle) == 0);
  for (int i = 0; i < 100; i++) {
    CHECK_OK(disturb(&process));
  }
  CHECK(pthread_join(sender, NULL) == 0);
  CHECK_OK(disturb(&process));
  usleep(100000);
  CHECK_EQUAL(200, target_end(&idle));
}

static void check_computes(const char *mode, const char *program) {
  target worker = target_start(program, mode, NULL);
  nearbuf_process process = target_open(&worker);
  disturb_worker(&process, 50);
  ending end = end_of(&worker);
  CHECK_EQUAL(0, end.result);
}

TEST(eight_threads_compute_what_they_would_have_computed) {
  check_computes("threads", REMOTE_TARGET);
}

TEST(a_thread_that_signals_interrupt_all_the_time_computes_what_it_would_have) {
  target worker = target_start(REMOTE_TARGET, "timer", NULL);
  nearbuf_process process = target_open(&worker);
  char line[16];
  target_line(&worker, line, sizeof line); /* "half": the timer runs */
  disturb_worker(&process, 50);
  ending end = end_of(&worker);
  CHECK_EQUAL(0, end.result);
}

TEST(a_32_bit_process_goes_on_as_well) {
#ifndef REMOTE_TARGET_32
  test_skip("no compiler for 32-bit programs was found");
#else
  const char *const modes[] = {"nanosleep", "epoll", "sigtimedwait"};
  const long results[] = {0, 0, -1};
  for (int i = 0; i < 3; i++) {
    bool has_ended;
    ending end = disturbed(REMOTE_TARGET_32, modes[i], false, &has_ended);
    CHECK_EQUAL(results[i], end.result);
    CHECK(end.error != EINTR);
  }
  check_computes("threads", REMOTE_TARGET_32);
#endif
}

TEST(a_stopped_process_stays_stopped) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_info info;
  CHECK(kill(idle.id, SIGSTOP) == 0);
  CHECK_EQUAL(idle.id, waitpid(idle.id, NULL, WUNTRACED));
  uint64_t address = put(&process, "hello", 5);
  CHECK_OK(disturb(&process));
  CHECK(target_reaches(&idle, 'T'));
  CHECK_OK(nearbuf_process_describe(&process, &info));
  CHECK_EQUAL(1, info.is_stopped);
  CHECK(kill(idle.id, SIGCONT) == 0);
  CHECK_EQUAL(address + 16, put(&process, "again", 5));
  CHECK_EQUAL(0, target_end(&idle));
}

TEST(a_process_that_is_stopped_and_continued_all_the_time_goes_on) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  pid_t bully = fork();
  if (bully == 0) {
    for (int i = 0; i < 300; i++) {
      kill(idle.id, i % 2 == 0 ? SIGSTOP : SIGCONT);
      usleep(1000);
    }
    _exit(0);
  }
  for (int i = 0; i < 100; i++) {
    CHECK_OK(disturb(&process));
  }
  CHECK_EQUAL(bully, waitpid(bully, NULL, 0));
  CHECK(kill(idle.id, SIGUSR1) == 0);
  usleep(10000);
  CHECK_EQUAL(1, target_end(&idle));
}

/* ---- Where it is refused --------------------------------------------------------------------- */

/* A tracer of the process, which detaches after that many milliseconds. */
static pid_t trace_for(const target *idle, long ms) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  pid_t tracer = fork();
  if (tracer == 0) {
    char byte = (char)(ptrace(PTRACE_SEIZE, idle->id, NULL, NULL) == 0);
    CHECK(write(ends[1], &byte, 1) == 1);
    usleep((useconds_t)ms * 1000);
    _exit(0);
  }
  char is_traced;
  close(ends[1]); /* so that the end of a child that fails is seen */
  CHECK(read(ends[0], &is_traced, 1) == 1 && is_traced == 1);
  close(ends[0]);
  return tracer;
}

TEST(a_process_that_is_traced_already_is_denied_and_can_be_used_otherwise) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  (void)put(&process, "hello", 5);
  pid_t tracer = trace_for(&idle, 60000);
  uint64_t start = now_ms();
  CHECK_STATUS(NEARBUF_DENIED, disturb(&process));
  CHECK(now_ms() - start >= 99); /* it could have detached by then */
  nearbuf_process_info info;
  CHECK_OK(nearbuf_process_describe(&process, &info));
  CHECK_EQUAL(tracer, info.traced_by);
  CHECK(put(&process, "again", 5) != 0);
  CHECK(kill(tracer, SIGKILL) == 0);
  CHECK_EQUAL(tracer, waitpid(tracer, NULL, 0));
  CHECK_OK(disturb(&process));
  (void)target_end(&idle);
}

/* On a busy machine a tracer may sometimes detach too late. */
TEST(a_tracer_that_soon_lets_go_is_waited_for) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  int successes = 0;
  for (int i = 0; i < 10; i++) {
    pid_t tracer = trace_for(&idle, 20);
    successes += disturb(&process) == NEARBUF_OK;
    CHECK_EQUAL(tracer, waitpid(tracer, NULL, 0));
  }
  CHECK(successes >= 5);
  (void)target_end(&idle);
}

TEST(a_process_under_gdb_is_denied_and_unharmed) {
  if (access("/usr/bin/gdb", X_OK) != 0) {
    test_skip("gdb is not installed");
  }
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  char id[16];
  (void)snprintf(id, sizeof id, "%d", (int)idle.id);
  pid_t debugger = fork();
  if (debugger == 0) {
    (void)!freopen("/dev/null", "w", stdout);
    (void)!freopen("/dev/null", "w", stderr);
    execl("/usr/bin/gdb", "gdb", "-q", "-batch", "-p", id, "-ex", "shell sleep 2", "-ex", "detach",
          (char *)NULL);
    _exit(9);
  }
  nearbuf_process_info info;
  uint64_t end = now_ms() + 150000;
  do {
    usleep(10000);
    CHECK_OK(nearbuf_process_describe(&process, &info));
  } while (info.traced_by == 0 && now_ms() < end);
  CHECK_EQUAL(debugger, info.traced_by);
  CHECK_STATUS(NEARBUF_DENIED, disturb(&process));
  CHECK_EQUAL(debugger, waitpid(debugger, NULL, 0));
  CHECK_OK(disturb(&process));
  CHECK_EQUAL(0, target_end(&idle));
}

TEST(without_rights_a_filtered_process_is_denied_and_goes_on) {
  become_nobody();
  target strict = target_start(REMOTE_TARGET, "strict", NULL);
  nearbuf_process process = target_open(&strict);
  nearbuf_process_info info;
  CHECK_OK(nearbuf_process_describe(&process, &info));
  CHECK_EQUAL(1, info.is_filtered);
  CHECK_STATUS(NEARBUF_DENIED, disturb(&process));
  CHECK_EQUAL(0, end_of(&strict).result);
}

TEST(with_the_right_to_suspend_filters_a_filtered_process_goes_on) {
  target strict = target_start(REMOTE_TARGET, "strict", NULL);
  nearbuf_process process = target_open(&strict);
  nearbuf_status status = disturb(&process);
  CHECK(status == NEARBUF_OK || status == NEARBUF_DENIED);
  CHECK_EQUAL(0, end_of(&strict).result);
  if (status == NEARBUF_DENIED) {
    test_skip("filters may not be suspended here");
  }
}

TEST(a_process_that_is_killed_meanwhile_hangs_no_process) {
  for (int round = 0; round < 10; round++) {
    target idle = target_start_idle();
    nearbuf_process process = target_open(&idle);
    pid_t killer = fork();
    if (killer == 0) {
      usleep((useconds_t)(1000 + round * 1500));
      kill(idle.id, SIGKILL);
      _exit(0);
    }
    nearbuf_status status;
    do {
      status = disturb(&process);
    } while (status == NEARBUF_OK);
    CHECK_EQUAL(NEARBUF_NOT_FOUND, status);
    CHECK_EQUAL(killer, waitpid(killer, NULL, 0));
    CHECK_EQUAL(idle.id, waitpid(idle.id, NULL, 0));
    CHECK_STATUS(NEARBUF_NOT_FOUND, disturb(&process));
    fclose(idle.output);
  }
}

/* ---- The host -------------------------------------------------------------------------------- */

static _Atomic int is_over;

/* A thread that reaps every child that ends, as shells and servers have one. */
static void *reap_all(void *context) {
  pid_t *unexpected = context;
  while (atomic_load(&is_over) == 0) {
    pid_t reaped = waitpid(-1, NULL, WNOHANG | WUNTRACED);
    if (reaped > 0) {
      *unexpected = reaped;
    }
    sched_yield();
  }
  return NULL;
}

static void count_child_signal(int signal_number) {
  (void)signal_number;
  atomic_fetch_add(&is_over, 1000);
}

TEST(a_host_that_waits_for_any_child_sees_none_of_ours) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  pthread_t reaper;
  pid_t unexpected = 0;
  signal(SIGCHLD, count_child_signal);
  CHECK(pthread_create(&reaper, NULL, reap_all, &unexpected) == 0);
  for (int i = 0; i < 200; i++) {
    CHECK_OK(disturb(&process));
  }
  CHECK_EQUAL(0, atomic_exchange(&is_over, 1)); /* no SIGCHLD came */
  CHECK(pthread_join(reaper, NULL) == 0);
  CHECK_EQUAL(0, unexpected);
  (void)target_end(&idle);
}

static void *disturb_often(void *context) {
  nearbuf_process process = target_open(context);
  int denied = 0;
  for (int i = 0; i < 50; i++) {
    nearbuf_status status = disturb(&process);
    /* Another thread is tracing it. */
    CHECK(status == NEARBUF_OK || status == NEARBUF_DENIED || status == NEARBUF_BUSY);
    denied += status != NEARBUF_OK;
  }
  CHECK_OK(nearbuf_process_close(&process));
  return denied == 50 ? context : NULL;
}

TEST(several_threads_of_the_host_do_not_harm_the_process) {
  target idle = target_start_idle();
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) {
    CHECK(pthread_create(&threads[i], NULL, disturb_often, &idle) == 0);
  }
  for (int i = 0; i < 4; i++) {
    void *is_starved;
    CHECK(pthread_join(threads[i], &is_starved) == 0 && is_starved == NULL);
  }
  CHECK(kill(idle.id, SIGUSR1) == 0);
  CHECK_EQUAL(1, target_end(&idle));
}

/* ---- Programs that were not written for this ------------------------------------------------- */

TEST(a_shell_and_an_interpreter_go_on_unharmed) {
  const char *const programs[] = {"/bin/sh", "/usr/bin/python3"};
  const char *const scripts[] = {"trap 'told=1' USR1; echo ready; "
                                 "while [ -z \"$told\" ]; do /bin/true || exit 1; done; echo done",
                                 "import hashlib, signal, time\n"
                                 "told = []\n"
                                 "signal.signal(signal.SIGUSR1, lambda *all: told.append(1))\n"
                                 "print('ready', flush=True)\n"
                                 "h = b''\n"
                                 "while not told:\n"
                                 "  h = hashlib.sha256(h).digest(); time.sleep(0.001)\n"
                                 "print('done')\n"};
  int tried = 0;
  for (int i = 0; i < 2; i++) {
    if (access(programs[i], X_OK) != 0) {
      continue;
    }
    tried++;
    int ends[2];
    CHECK(pipe(ends) == 0);
    target what = {.id = fork()};
    if (what.id == 0) {
      dup2(ends[1], 1);
      execl(programs[i], programs[i], "-c", scripts[i], (char *)NULL);
      _exit(9);
    }
    close(ends[1]);
    what.output = fdopen(ends[0], "r");
    char line[64];
    target_line(&what, line, sizeof line);
    nearbuf_process process = target_open(&what);
    int done = 0;
    for (int n = 0; n < 1000 && done < 30; n++) {
      nearbuf_status status = disturb(&process);
      CHECK(status == NEARBUF_OK ||
            status == NEARBUF_BUSY); /* a shell waits for its vforked child */
      done += status == NEARBUF_OK;
      usleep(2000);
    }
    CHECK_EQUAL(30, done);
    CHECK(put(&process, "hello", 5) != 0);
    CHECK_EQUAL(0, kill(what.id, SIGUSR1));
    target_line(&what, line, sizeof line);
    CHECK(strcmp(line, "done\n") == 0);
    int status;
    CHECK_EQUAL(what.id, waitpid(what.id, &status, 0));
    CHECK_EQUAL(0, status);
  }
  if (tried == 0) {
    test_skip("neither is installed");
  }
}
