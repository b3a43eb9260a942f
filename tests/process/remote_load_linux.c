/* What a loaded process can do, and what can be done to it, on Linux; see remote_load.c. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote_load.h"
#include "remote_support.h"
#include "test.h"

TEST(no_record_is_lost_or_doubled_while_the_process_forks) {
  check_load("forks", NULL);
}

static void stop_often(pid_t id) {
  for (int i = 0; i < 2 * LOAD_MS / 10; i++) {
    CHECK(kill(id, i % 2 == 0 ? SIGSTOP : SIGCONT) == 0);
    usleep(5000);
  }
  CHECK(kill(id, SIGCONT) == 0);
}

TEST(no_record_is_lost_or_doubled_while_the_process_is_stopped_and_continued) {
  check_load(NULL, stop_often);
}

/* As a debugger does that inspects it repeatedly. */
static void trace_often(pid_t id) {
  for (int i = 0; i < LOAD_MS / 40; i++) {
    if (ptrace(PTRACE_ATTACH, id, NULL, NULL) == 0) {
      CHECK_EQUAL(id, waitpid(id, NULL, __WALL));
      usleep(20000);
      CHECK(ptrace(PTRACE_DETACH, id, NULL, NULL) == 0);
    } else {
      CHECK_EQUAL(EPERM, errno); /* one of the others is tracing it */
    }
    usleep(20000);
  }
}

TEST(no_record_is_lost_or_doubled_while_the_process_is_traced_now_and_then) {
  check_load(NULL, trace_often);
}

static void kill_soon(pid_t id) {
  usleep(500000);
  CHECK(kill(id, SIGKILL) == 0);
}

TEST(a_loaded_process_that_is_killed_hangs_no_process) {
  load what = load_start(NULL);
  load_from_outside(&what, kill_soon, true);
  CHECK_EQUAL(-1, target_wait(&what.inside));
}

static void replace_soon(pid_t id) {
  usleep(500000);
  CHECK(kill(id, SIGHUP) == 0);
}

TEST(nothing_of_the_others_is_in_a_program_that_replaces_the_loaded_one) {
  load what = load_start(NULL);
  load_from_outside(&what, replace_soon, true);
  char line[32];
  target_line(&what.inside, line, sizeof line);
  CHECK(strcmp(line, "ready\n") == 0);
  load_check(&what, false);
}
