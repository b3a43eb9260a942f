/* Many remote calls into processes that change all the time, or in which calls are hard to make:
 * threads that start and end, threads of the kernel, freezing, other programs, filters of system
 * calls, system calls that become signals, signals. None of the processes dies, hangs or behaves
 * differently, and every call succeeds or returns BUSY. NEARBUF_REMOTE_ROUNDS sets how many are
 * made; the rates in docs/security.md are of 10,000. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote_linux.h"
#include "test.h"

enum { STATUSES = 32 };

static long tally[STATUSES];

static int count_rounds(void) {
  const char *wanted = getenv("NEARBUF_REMOTE_ROUNDS");
  return wanted == NULL ? 200 : atoi(wanted);
}

/* Maps memory in a process, and unmaps it. Freeing can be BUSY although memory was mapped; then it
 * stays. */
static nearbuf_status disturb(nearbuf_process *process) {
  nearbuf_process_request request = anywhere(4096);
  uint64_t address;
  uint64_t size;
  nearbuf_status status = nearbuf_process_allocate(process, &request, &address, &size);
  if (status == NEARBUF_OK) {
    (void)nearbuf_process_free(process, address, size);
  }
  CHECK((int)status < STATUSES);
  tally[status]++;
  return status;
}

/* The results of the calls: only success and BUSY. */
static void check_tally(void) {
  for (int i = 0; i < STATUSES; i++) {
    if (tally[i] > 0) {
      printf("%ld times %s\n", tally[i], nearbuf_status_name((nearbuf_status)i));
    }
    CHECK(tally[i] == 0 || i == NEARBUF_OK || i == NEARBUF_BUSY);
  }
  CHECK(tally[NEARBUF_OK] > 0);
}

static void disturb_often(const target *what) {
  nearbuf_process process = target_open(what);
  for (int i = 0; i < count_rounds(); i++) {
    (void)disturb(&process);
  }
  CHECK_OK(nearbuf_process_close(&process));
}

/* It ends when it is asked to, and its results are right. */
static void check_unharmed(target *what) {
  CHECK(kill(what->id, SIGUSR1) == 0);
  CHECK(target_reaches(what, 'S'));
  CHECK_EQUAL(1, target_end(what));
}

TEST(a_process_whose_threads_start_and_end_all_the_time_goes_on) {
  target what = target_start(REMOTE_HARD_TARGET, "threads", NULL);
  disturb_often(&what);
  CHECK_EQUAL(1, target_end(&what));
  check_tally();
}

TEST(a_process_that_has_a_thread_of_the_kernel_goes_on) {
  target what = target_try(REMOTE_HARD_TARGET, "worker");
  disturb_often(&what);
  CHECK(kill(what.id, SIGUSR1) == 0);
  CHECK_EQUAL(1, target_end(&what));
  check_tally();
  CHECK(tally[NEARBUF_OK] > tally[NEARBUF_BUSY]); /* its own threads can be stopped */
}

/* ---- Freezing -------------------------------------------------------------------------------- */

static unsigned next_random(void) {
  static unsigned random = 1;
  random = random * 1103515245 + 12345;
  return random >> 16;
}

static pid_t start_freezing(const control_group *group) {
  pid_t freezer = fork();
  if (freezer == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
      (void)group_write(group, group->file, group->frozen);
      usleep(next_random() % 1000);
      (void)group_write(group, group->file, group->thawed);
      usleep(next_random() % 1000);
    }
  }
  CHECK(freezer > 0);
  return freezer;
}

static void check_freezing(target *what, control_group *group) {
  pid_t freezer = start_freezing(group);
  disturb_often(what);
  CHECK(kill(freezer, SIGKILL) == 0);
  CHECK_EQUAL(freezer, waitpid(freezer, NULL, 0));
  CHECK(group_write(group, group->file, group->thawed));
  check_unharmed(what);
  group_remove(group);
  check_tally();
}

TEST(a_process_that_is_frozen_and_thawed_all_the_time_goes_on) {
  target what = target_start_idle();
  control_group group;
  if (!group_make_new(&group, what.id)) {
    target_kill(&what);
    test_skip("no control group can be made here");
  }
  check_freezing(&what, &group);
}

TEST(a_process_that_the_old_freezer_freezes_all_the_time_goes_on) {
  target what = target_start_idle();
  control_group group;
  if (!group_make_old(&group, what.id)) {
    target_kill(&what);
    test_skip("no control group can be made here");
  }
  check_freezing(&what, &group);
}

/* ---- Other programs -------------------------------------------------------------------------- */

/* Until it ended, or enough was done. */
static void disturb_to_end(target *what) {
  nearbuf_process process = target_open(what);
  nearbuf_status status = NEARBUF_OK;
  while (status != NEARBUF_NOT_FOUND && tally[NEARBUF_OK] < count_rounds()) {
    status = disturb(&process);
  }
  tally[NEARBUF_NOT_FOUND] = 0; /* its end */
  CHECK_OK(nearbuf_process_close(&process));
  char line[64];
  target_line(what, line, sizeof line);
  CHECK(strcmp(line, "0\n") == 0);
  CHECK_EQUAL(0, target_wait(what));
}

/* Most calls meet a program that is being replaced: processes are started until enough calls
 * succeeded. */
static void check_replacing(const char *mode) {
  int most_processes = 10 + count_rounds() / 10;
  for (int i = 0; i < most_processes && tally[NEARBUF_OK] < count_rounds(); i++) {
    target what = target_start(REMOTE_HARD_TARGET, mode, "300");
    disturb_to_end(&what);
  }
  check_tally();
}

TEST(a_process_whose_threads_replace_its_program_all_the_time_goes_on) {
  check_replacing("thread_execs");
}

TEST(a_process_that_replaces_its_program_all_the_time_goes_on) {
  check_replacing("execs");
}

/* ---- Filters --------------------------------------------------------------------------------- */

TEST(a_process_whose_system_calls_are_filtered_goes_on) {
  target what = target_try(REMOTE_HARD_TARGET, "filters");
  disturb_often(&what);
  CHECK_EQUAL(1, target_end(&what));
  if (tally[NEARBUF_OK] == 0) {
    CHECK(tally[NEARBUF_DENIED] > 0);
    test_skip("filters may not be suspended here");
  }
  check_tally();
}

/* ---- Signals --------------------------------------------------------------------------------- */

TEST(a_process_whose_system_calls_are_signals_goes_on) {
  want_dispatch_switched_off();
  target what = target_try(REMOTE_HARD_TARGET, "dispatch");
  disturb_often(&what);
  CHECK_EQUAL(1, target_end(&what)); /* the one system call that it makes then was a signal */
  check_tally();
}

/* Sends a process signals that it handles, and ignored ones. */
static pid_t start_signalling(pid_t id) {
  pid_t sender = fork();
  if (sender == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
      (void)kill(id, next_random() % 2 == 0 ? SIGUSR1 : SIGUSR2);
      usleep(next_random() % 500);
    }
  }
  CHECK(sender > 0);
  return sender;
}

TEST(each_handled_signal_ends_one_wait_of_a_process_and_no_ignored_one_does) {
  target what = target_start(REMOTE_HARD_TARGET, "signals", NULL);
  pid_t sender = start_signalling(what.id);
  disturb_often(&what);
  CHECK(kill(sender, SIGKILL) == 0);
  CHECK_EQUAL(sender, waitpid(sender, NULL, 0));
  CHECK_EQUAL(1, target_end(&what));
  check_tally();
}
