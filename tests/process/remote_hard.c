/* Processes in which system calls are hard to make: they replace themselves, are frozen, handle
 * their own system calls, or change while they are inspected. Whatever happens, they continue
 * unharmed, and every wait has a bound. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote_linux.h"
#include "system_hook.h"
#include "test.h"

/* ---- What the tests share -------------------------------------------------------------------- */

/* What newer kernels have and the headers of the C library lack. */
enum { SET_DISPATCH = 0x4210, GET_DISPATCH = 0x4211 };

static bool is_request(long number, const long arguments[6], long request) {
  return number == SYS_ptrace && arguments[0] == request;
}

static target target_of_hook;

/* Maps memory in a process and unmaps it again. */
static nearbuf_status disturb(nearbuf_process *process) {
  nearbuf_process_request request = anywhere(4096);
  uint64_t address;
  uint64_t size;
  nearbuf_status status = nearbuf_process_allocate(process, &request, &address, &size);
  return status == NEARBUF_OK ? nearbuf_process_free(process, address, size) : status;
}

static target start_hard(const char *mode, const char *argument) {
  target_of_hook = target_start(REMOTE_HARD_TARGET, mode, argument);
  return target_of_hook;
}

/* Starts a program that may be denied what it needs, which skips the test. */
static target try_hard(const char *mode) {
  target_of_hook = target_try(REMOTE_HARD_TARGET, mode);
  return target_of_hook;
}

static long number_of(target *what) {
  char line[64];
  target_line(what, line, sizeof line);
  return strtol(line, NULL, 10);
}

static void expect_ready(target *what) {
  char line[64];
  target_line(what, line, sizeof line);
  CHECK(strcmp(line, "ready\n") == 0);
}

/* What the program prints at its end, which it has reached unharmed. */
static long end_of(target *what) {
  long number = number_of(what);
  CHECK_EQUAL(0, target_wait(what));
  return number;
}

static int count_rounds(int usual) {
  const char *wanted = getenv("NEARBUF_REMOTE_ROUNDS");
  return wanted == NULL ? usual : atoi(wanted);
}

/* Disturbs a process that ends by itself, and counts the successes. */
static int disturb_to_end(target *what) {
  nearbuf_process process = target_open(what);
  siginfo_t end = {.si_pid = 0};
  int successes = 0;
  while (waitid(P_PID, (id_t)what->id, &end, WEXITED | WNOWAIT | WNOHANG) == 0 && end.si_pid == 0) {
    successes += disturb(&process) == NEARBUF_OK;
  }
  CHECK_OK(nearbuf_process_close(&process));
  return successes;
}

/* ---- Another program (exec) ------------------------------------------------------------------ */

TEST(a_program_that_replaces_itself_all_the_time_goes_on) {
  char count[16];
  (void)snprintf(count, sizeof count, "%d", count_rounds(300));
  target what = start_hard("execs", count);
  int successes = disturb_to_end(&what);
  CHECK_EQUAL(0, end_of(&what));
  printf("%d disturbances\n", successes);
}

TEST(a_program_that_its_second_threads_replace_all_the_time_goes_on) {
  char count[16];
  (void)snprintf(count, sizeof count, "%d", count_rounds(300));
  target what = start_hard("thread_execs", count);
  int successes = disturb_to_end(&what);
  CHECK_EQUAL(0, end_of(&what));
  printf("%d disturbances\n", successes);
}

TEST(a_program_whose_second_threads_replace_it_is_never_called_dead) {
  char count[16];
  (void)snprintf(count, sizeof count, "%d", count_rounds(300));
  target what = start_hard("thread_execs", count);
  nearbuf_process process = target_open(&what);
  long looks = 0;
  while (nearbuf_process_check(&process) == NEARBUF_OK) {
    looks++;
  }
  struct pollfd number = {.fd = fileno(what.output), .events = POLLIN};
  CHECK_EQUAL(1, poll(&number, 1, 0)); /* which it prints before it ends */
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_check(&process));
  CHECK_EQUAL(0, end_of(&what));
  printf("%ld looks\n", looks);
}

static int exec_before_seizing(long number, long arguments[6]) {
  if (is_request(number, arguments, PTRACE_SEIZE)) {
    system_hook_set(NULL);
    CHECK(kill(target_of_hook.id, SIGHUP) == 0);
    expect_ready(&target_of_hook);
  }
  return 0;
}

static const char *const kept_place = "20000000";
enum { KEPT_PLACE = 0x20000000 };

static nearbuf_process_request request_at(uint64_t place, uint64_t size) {
  nearbuf_process_request request = anywhere(size);
  request.min = place;
  request.max = place + size - 1;
  return request;
}

TEST(a_program_that_comes_between_look_and_stop_is_not_made_to_call) {
  target what = start_hard("keep", kept_place);
  nearbuf_process process = target_open(&what);
  nearbuf_process_request request = anywhere(4096);
  uint64_t address;
  system_hook_set(exec_before_seizing);
  CHECK_STATUS(NEARBUF_BUSY, nearbuf_process_allocate(&process, &request, &address, NULL));
  CHECK_EQUAL(0, address);
  CHECK_OK(disturb(&process));
  CHECK_EQUAL(0, kill(what.id, SIGTERM));
  CHECK_EQUAL(1, end_of(&what));
}

TEST(freeing_leaves_alone_what_the_next_program_has_there) {
  target what = start_hard("keep", kept_place);
  nearbuf_process process = target_open(&what);
  nearbuf_process_request request = request_at(KEPT_PLACE, 4096);
  uint64_t address;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &address, NULL));
  CHECK(kill(what.id, SIGHUP) == 0);
  expect_ready(&what);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_free(&process, address, 4096));
  CHECK_EQUAL(0, kill(what.id, SIGTERM));
  CHECK_EQUAL(1, end_of(&what));
}

TEST(freeing_leaves_alone_what_a_program_has_there_that_comes_between_look_and_stop) {
  target what = start_hard("keep", kept_place);
  nearbuf_process process = target_open(&what);
  nearbuf_process_request request = request_at(KEPT_PLACE, 4096);
  uint64_t address;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &address, NULL));
  system_hook_set(exec_before_seizing);
  CHECK_STATUS(NEARBUF_BUSY, nearbuf_process_free(&process, address, 4096));
  CHECK_EQUAL(0, kill(what.id, SIGTERM));
  CHECK_EQUAL(1, end_of(&what));
}

/* A get during which another program comes, which has memory of its own at the place. */
static void check_get_leaves_alone(const char *mode, system_hook exec_meanwhile) {
  target what = start_hard(mode, kept_place);
  nearbuf_process process = target_open(&what);
  nearbuf_process_request request = request_at(KEPT_PLACE, 4096);
  nearbuf_process_buffer buffer;
  system_hook_set(exec_meanwhile);
  CHECK_STATUS(NEARBUF_BUSY, nearbuf_process_get(&process, &request, &buffer));
  CHECK_EQUAL(0, kill(what.id, SIGTERM));
  CHECK_EQUAL(1, end_of(&what));
}

static int seizures;

/* The locator gets no name; another program comes before what was made is taken back. */
static int exec_before_second_seizing(long number, long arguments[6]) {
  seizures += is_request(number, arguments, PTRACE_SEIZE);
  if (number == SYS_renameat2 && seizures == 1) {
    return EIO;
  }
  return seizures == 2 ? exec_before_seizing(number, arguments) : 0;
}

TEST(clearing_up_after_a_failure_leaves_alone_what_the_next_program_has_there) {
  check_get_leaves_alone("keep", exec_before_second_seizing);
  CHECK_EQUAL(2, seizures);
}

static bool has_let_go;

/* When the new buffer and its locator have been mapped, and that has no name yet. */
static int exec_before_publishing(long number, long arguments[6]) {
  if (number == SYS_renameat2 && has_let_go) {
    system_hook_set(NULL);
    CHECK(kill(target_of_hook.id, SIGHUP) == 0);
    expect_ready(&target_of_hook);
  }
  has_let_go = has_let_go || is_request(number, arguments, PTRACE_DETACH);
  return 0;
}

TEST(a_locator_is_not_written_where_the_next_program_has_other_memory) {
  check_get_leaves_alone("keep", exec_before_publishing);
  CHECK(has_let_go);
}

static int exec_by_second_thread(long number, long arguments[6]) {
  if (is_request(number, arguments,
                 PTRACE_SYSCALL)) { /* the first thread has the registers of a remote call */
    system_hook_set(NULL);
    target_tell(&target_of_hook, "go\n");
    expect_ready(&target_of_hook);
  }
  return 0;
}

TEST(a_second_thread_may_replace_the_program_while_the_first_one_is_stopped) {
  target what = start_hard("second", "idle");
  nearbuf_process process = target_open(&what);
  system_hook_set(exec_by_second_thread);
  CHECK_STATUS(NEARBUF_BUSY, disturb(&process));
  CHECK_OK(disturb(&process));
  CHECK_EQUAL(0, kill(what.id, SIGUSR1));
  CHECK_EQUAL(0, kill(what.id, SIGTERM));
  CHECK_EQUAL(1, end_of(&what));
}

/* When the memory has been mapped, and the path of the locator's file lies in it. */
static int exec_before_opening(long number, long arguments[6]) {
  static int steps;
  steps += is_request(number, arguments, PTRACE_SYSCALL);
  return steps == 3 ? exec_by_second_thread(number, arguments) : 0;
}

TEST(a_path_is_not_removed_where_the_next_program_of_a_second_thread_has_other_memory) {
  check_get_leaves_alone("keep_by_second", exec_before_opening);
}

/* ---- Whose id it is -------------------------------------------------------------------------- */

static target innocent;

static bool is_interrupted;

/* The process ends just before it is seized; the request then reaches another one. */
static int reuse_id(long number, long arguments[6]) {
  is_interrupted = is_interrupted || is_request(number, arguments, PTRACE_INTERRUPT);
  if (is_request(number, arguments, PTRACE_SEIZE)) {
    (void)kill(target_of_hook.id, SIGKILL);
    while (kill(target_of_hook.id, 0) == 0) {
      usleep(1000);
    }
  }
  long *id = number == SYS_ptrace ? &arguments[1] : &arguments[0];
  if ((number == SYS_ptrace || number == SYS_wait4) && *id == target_of_hook.id) {
    *id = innocent.id;
  }
  return 0;
}

TEST(a_process_that_got_the_id_of_another_one_is_let_alone) {
  innocent = target_start_idle();
  target what = start_hard("idle", NULL);
  nearbuf_process process = target_open(&what);
  nearbuf_process_request request = anywhere(4096);
  uint64_t address;
  int maps = target_lines(&innocent, "maps");
  signal(SIGCHLD, SIG_IGN); /* the kernel reaps it */
  system_hook_set(reuse_id);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_allocate(&process, &request, &address, NULL));
  system_hook_set(NULL);
  signal(SIGCHLD, SIG_DFL);
  CHECK(!is_interrupted);
  CHECK_EQUAL(maps, target_lines(&innocent, "maps"));
  CHECK(target_reaches(&innocent, 'S'));
  CHECK(kill(innocent.id, SIGUSR1) == 0);
  CHECK_EQUAL(1, target_end(&innocent));
}

/* ---- What is about to die -------------------------------------------------------------------- */

/* The frozen thread does not run, so it does not notice that it was killed. */
TEST(a_process_that_was_killed_is_not_found_though_it_is_still_frozen) {
  target what = start_hard("idle", NULL);
  control_group group;
  if (!group_make_old(&group, what.id)) {
    target_kill(&what);
    test_skip("no control group can be made here");
  }
  nearbuf_process process = target_open(&what);
  CHECK(group_write(&group, group.file, group.frozen));
  CHECK(kill(what.id, SIGKILL) == 0);
  nearbuf_status status = disturb(&process);
  CHECK(group_write(&group, group.file, group.thawed));
  CHECK_EQUAL(NEARBUF_NOT_FOUND, status);
  CHECK_EQUAL(-1, target_wait(&what));
  group_remove(&group);
}

TEST(a_process_that_was_killed_is_not_found_though_a_tracer_holds_up_its_end) {
  target what = start_hard("idle", NULL);
  nearbuf_process process = target_open(&what);
  int status;
  CHECK(ptrace(PTRACE_SEIZE, what.id, NULL, PTRACE_O_TRACEEXIT) == 0);
  CHECK(kill(what.id, SIGKILL) == 0);
  CHECK_EQUAL(what.id, waitpid(what.id, &status, 0));
  CHECK(WIFSTOPPED(status) && status >> 16 == PTRACE_EVENT_EXIT);
  CHECK_STATUS(NEARBUF_NOT_FOUND, disturb(&process));
  CHECK(ptrace(PTRACE_CONT, what.id, NULL, NULL) == 0);
  CHECK_EQUAL(-1, target_wait(&what));
}

static long killed_before;

static int kill_before(long number, long arguments[6]) {
  if (is_request(number, arguments, killed_before)) {
    system_hook_set(NULL);
    CHECK(kill(target_of_hook.id, SIGKILL) == 0);
  }
  return 0;
}

TEST(a_process_that_is_killed_before_any_step_is_not_found) {
  enum { ROUNDS = 10 };
  static const long steps[] = {PTRACE_SEIZE,      PTRACE_INTERRUPT, PTRACE_GETSIGMASK,
                               PTRACE_SETOPTIONS, GET_DISPATCH,     PTRACE_SETSIGMASK,
                               PTRACE_SYSCALL};
  for (size_t i = 0; i < sizeof steps / sizeof steps[0] * ROUNDS; i++) {
    target what = start_hard("idle", NULL);
    nearbuf_process process = target_open(&what);
    killed_before = steps[i / ROUNDS];
    system_hook_set(kill_before);
    CHECK_STATUS(NEARBUF_NOT_FOUND, disturb(&process));
    CHECK_OK(nearbuf_process_close(&process));
    CHECK_EQUAL(-1, target_wait(&what));
  }
}

/* ---- What does not stop, or not come back ---------------------------------------------------- */

/* A program whose exec lasts until a lease on its interpreter is released. The kernel keeps tracers
 * out all the time. */
TEST(a_process_that_keeps_tracers_out_is_busy) {
  char script[] = "/tmp/nearbuf-script-XXXXXX";
  char interpreter[] = "/tmp/nearbuf-interpreter-XXXXXX";
  char line[sizeof interpreter + 8];
  want_own_tmp();
  signal(SIGIO, SIG_IGN); /* the lease is requested */
  int program = open(REMOTE_HARD_TARGET, O_RDONLY | O_CLOEXEC);
  int copy = mkstemp(interpreter);
  int text = mkstemp(script);
  struct stat status;
  CHECK(program >= 0 && copy >= 0 && text >= 0 && fstat(program, &status) == 0);
  char *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, program, 0);
  CHECK(write(copy, bytes, (size_t)status.st_size) == status.st_size);
  CHECK(fchmod(copy, 0755) == 0 && fchmod(text, 0755) == 0);
  int length = snprintf(line, sizeof line, "#!%s\n", interpreter);
  CHECK(write(text, line, (size_t)length) == length && close(text) == 0 && close(copy) == 0);
  if (access(script, X_OK) != 0) {
    unlink(script);
    unlink(interpreter);
    test_skip("nothing in /tmp can be run");
  }
  copy = open(interpreter, O_RDONLY | O_CLOEXEC);
  target what = start_hard("second", script);
  nearbuf_process process = target_open(&what);
  if (fcntl(copy, F_SETLEASE, F_WRLCK) != 0) {
    target_kill(&what);
    test_skip("the file system has no leases");
  }
  target_tell(&what, "go\n");
  /* Until the exec waits for the lease, nothing prevents it. */
  nearbuf_status disturbed;
  do {
    disturbed = disturb(&process);
  } while (disturbed == NEARBUF_OK);
  CHECK_EQUAL(NEARBUF_BUSY, disturbed);
  CHECK_EQUAL(F_RDLCK, fcntl(copy, F_GETLEASE)); /* which the exec requests and still waits for */
  CHECK(fcntl(copy, F_SETLEASE, F_UNLCK) == 0);
  unlink(script);
  unlink(interpreter);
  (void)kill(what.id, SIGKILL); /* the new program may have ended by itself */
  (void)target_wait(&what);
}

typedef struct killing {
  _Atomic int is_host_gone;
  _Atomic int host;
} killing;

static killing *killed;

/* Whether the process that waits for this helper has died of a signal of the terminal. */
static int kill_host(long number, long arguments[6]) {
  if (is_request(number, arguments, PTRACE_SYSCALL) && atomic_load(&killed->is_host_gone) == 0) {
    int host = atomic_load(&killed->host);
    CHECK(kill(host, SIGINT) == 0);
    for (int i = 0; i < 10000 && getppid() == host; i++) {
      usleep(1000);
    }
    atomic_store(&killed->is_host_gone, getppid() == host ? -1 : 1);
  }
  return 0;
}

TEST(a_host_that_waits_can_be_interrupted_and_the_process_goes_on) {
  target what = start_hard("idle", NULL);
  killed = mmap(NULL, sizeof *killed, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(killed != MAP_FAILED);
  pid_t host = fork();
  if (host == 0) {
    signal(SIGINT, SIG_DFL);
    nearbuf_process process = target_open(&what);
    atomic_store(&killed->host, getpid());
    system_hook_set(kill_host);
    (void)disturb(&process);
    _exit(3);
  }
  int status;
  CHECK_EQUAL(host, waitpid(host, &status, 0));
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
  nearbuf_process process = target_open(&what);
  nearbuf_process_info info = {.traced_by = 1};
  while (info.traced_by != 0) { /* the helper ends */
    CHECK_OK(nearbuf_process_describe(&process, &info));
  }
  CHECK_EQUAL(1, atomic_load(&killed->is_host_gone));
  CHECK_OK(disturb(&process));
  CHECK(kill(what.id, SIGUSR1) == 0 && kill(what.id, SIGTERM) == 0);
  CHECK_EQUAL(1, end_of(&what));
}

static control_group used_group;

static void set_frozen(bool is_frozen) {
  CHECK(
      group_write(&used_group, used_group.file, is_frozen ? used_group.frozen : used_group.thawed));
}

static int freeze_before_call(long number, long arguments[6]) {
  if (is_request(number, arguments, PTRACE_SYSCALL)) {
    system_hook_set(NULL);
    set_frozen(true);
  }
  return 0;
}

static void check_frozen(target *what, bool is_frozen_midway) {
  nearbuf_process process = target_open(what);
  int maps = target_lines(what, "maps");
  if (is_frozen_midway) {
    system_hook_set(freeze_before_call);
  } else {
    set_frozen(true);
  }
  nearbuf_status status = disturb(&process);
  int maps_then = target_lines(what, "maps");
  set_frozen(false);
  CHECK_EQUAL(NEARBUF_BUSY, status);
  CHECK_EQUAL(maps, maps_then);
  CHECK(kill(what->id, SIGUSR1) == 0);
  CHECK(target_reaches(what, 'S'));
  CHECK_OK(disturb(&process));
  CHECK(kill(what->id, SIGTERM) == 0);
  CHECK_EQUAL(1, end_of(what));
  group_remove(&used_group);
}

TEST(a_frozen_process_is_busy_and_goes_on_when_it_is_thawed) {
  target what = start_hard("idle", NULL);
  if (!group_make_new(&used_group, what.id)) {
    target_kill(&what);
    test_skip("no control group can be made here");
  }
  check_frozen(&what, false);
}

TEST(a_process_that_is_frozen_midway_is_busy_and_goes_on_when_it_is_thawed) {
  target what = start_hard("idle", NULL);
  if (!group_make_new(&used_group, what.id)) {
    target_kill(&what);
    test_skip("no control group can be made here");
  }
  check_frozen(&what, true);
}

TEST(a_process_that_the_old_freezer_froze_is_busy_and_goes_on_when_it_is_thawed) {
  target what = start_hard("idle", NULL);
  if (!group_make_old(&used_group, what.id)) {
    target_kill(&what);
    test_skip("no control group can be made here");
  }
  check_frozen(&what, false);
}

static int note_seizing(long number, long arguments[6]) {
  char path[64];
  char line[512];
  if (is_request(number, arguments, PTRACE_SEIZE)) {
    seizures++;
    (void)snprintf(path, sizeof path, "/proc/%d/task/%ld/comm", (int)target_of_hook.id,
                   arguments[1]);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL && fgets(line, sizeof line, file) != NULL);
    fclose(file);
    CHECK(strncmp(line, "iou-", 4) != 0);
  }
  return 0;
}

TEST(threads_of_the_kernel_are_passed_by) {
  target what = try_hard("worker");
  nearbuf_process process = target_open(&what);
  CHECK_EQUAL(3 + 2, target_files(&what, "task")); /* with "." and ".." */
  CHECK(target_reaches(&what, 'D'));               /* its first thread waits for the child */
  system_hook_set(note_seizing);
  CHECK_OK(disturb(&process));
  CHECK_EQUAL(2, seizures);
  CHECK(kill(what.id, SIGUSR1) == 0 && kill(what.id, SIGTERM) == 0);
  CHECK_EQUAL(1, end_of(&what));
}

/* ---- Its own handling of system calls -------------------------------------------------------- */

TEST(a_process_whose_system_calls_are_signals_goes_on_so) {
  want_dispatch_switched_off();
  target what = try_hard("dispatch");
  nearbuf_process process = target_open(&what);
  for (int i = 0; i < 20; i++) {
    CHECK_OK(disturb(&process));
  }
  CHECK(kill(what.id, SIGTERM) == 0);
  CHECK_EQUAL(1, end_of(&what));
}

static int call_signals;

/* Kernels before 6.4 do not have the requests. `call_signals`: what the process is sent
 * meanwhile. */
static int be_older_kernel(long number, long arguments[6]) {
  if (is_request(number, arguments, PTRACE_SYSCALL) && call_signals > 0) {
    call_signals--;
    CHECK(syscall(SYS_tgkill, target_of_hook.id, arguments[1], SIGSYS) == 0);
  }
  return is_request(number, arguments, GET_DISPATCH) || is_request(number, arguments, SET_DISPATCH)
             ? EIO
             : 0;
}

TEST(where_that_cannot_be_switched_off_it_is_denied_and_the_process_goes_on) {
  target what = try_hard("dispatch");
  nearbuf_process process = target_open(&what);
  system_hook_set(be_older_kernel);
  CHECK_STATUS(NEARBUF_DENIED, disturb(&process));
  CHECK(kill(what.id, SIGTERM) == 0);
  CHECK_EQUAL(1, end_of(&what)); /* its handler is still there */
}

TEST(a_signal_of_another_kind_of_that_number_is_delivered) {
  target what = start_hard("idle", NULL);
  nearbuf_process process = target_open(&what);
  system_hook_set(be_older_kernel);
  CHECK_OK(disturb(&process));
  CHECK(kill(what.id, SIGTERM) == 0);
  CHECK_EQUAL(0, end_of(&what));
  what = try_hard("dispatch");
  process = target_open(&what);
  call_signals = 1;
  nearbuf_status status = disturb(&process);
  CHECK(status == NEARBUF_BUSY || status == NEARBUF_DENIED);
  CHECK(kill(what.id, SIGTERM) == 0);
  CHECK(end_of(&what) >= 1);
}

static int restrict_before_seizing(long number, long arguments[6]) {
  if (is_request(number, arguments, PTRACE_SEIZE)) {
    char line[64];
    system_hook_set(NULL);
    CHECK(kill(target_of_hook.id, SIGHUP) == 0);
    target_line(&target_of_hook, line, sizeof line);
    CHECK(strcmp(line, "strict\n") == 0);
  }
  return 0;
}

TEST(a_filter_that_comes_between_look_and_stop_is_seen) {
  become_nobody();
  target what = start_hard("restrict", NULL);
  nearbuf_process process = target_open(&what);
  system_hook_set(restrict_before_seizing);
  CHECK_STATUS(NEARBUF_DENIED, disturb(&process));
  target_tell(&what, "\n");
  CHECK_EQUAL(0, end_of(&what));
}

/* ---- Signals and the call that it sleeps in -------------------------------------------------- */

static int sent_signal;
static long sent_before;

static int send_signal(long number, long arguments[6]) {
  if (is_request(number, arguments, sent_before)) {
    system_hook_set(NULL);
    CHECK(kill(target_of_hook.id, sent_signal) == 0);
  }
  return 0;
}

/* What becomes of a call that a signal interrupts while its thread works for us. */
static void check_signal(long before, int signal_number, bool is_ended) {
  target what = start_hard("events", NULL);
  nearbuf_process process = target_open(&what);
  CHECK(target_reaches(&what, 'S'));
  sent_before = before;
  sent_signal = signal_number;
  system_hook_set(send_signal);
  nearbuf_process_request request = anywhere(4096);
  uint64_t address;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &address, NULL));
  if (!is_ended) {
    CHECK(target_reaches(&what, 'S'));
    CHECK_OK(nearbuf_process_free(&process, address, 4096));
    CHECK(target_reaches(&what, 'S'));
    CHECK(kill(what.id, SIGUSR1) == 0);
  }
  CHECK_EQUAL(1, end_of(&what)); /* it ended with EINTR after one handler */
}

TEST(a_handled_signal_ends_the_call_whenever_it_comes) {
  check_signal(PTRACE_SYSCALL, SIGUSR1, true);
  check_signal(PTRACE_DETACH, SIGUSR1, true);
}

TEST(an_ignored_signal_does_not_end_the_call) {
  check_signal(PTRACE_SEIZE, SIGUSR2, false);
  check_signal(PTRACE_SYSCALL, SIGUSR2, false);
  check_signal(PTRACE_DETACH, SIGUSR2, false);
}
