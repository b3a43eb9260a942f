/* The second get of a thread makes no system call: from then on a filter kills the process at any
 * call. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

/* Only exit_group is left; any other call ends the process with SIGSYS. */
static void forbid_system_calls(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0) {
    test_skip("the kernel has no system call filters");
  }
}

/* Runs a function in a child and returns how it ended, as wait(2) reports it. */
static int status_of(void (*function)(void)) {
  fflush(NULL);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    function();
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  return status;
}

static void check_ends_well(void (*function)(void)) {
  int status = status_of(function);
  if (WIFEXITED(status) && WEXITSTATUS(status) == TEST_EXIT_SKIPPED) {
    test_skip("the kernel has no system call filters");
  }
  CHECK(!WIFSIGNALED(status));
  CHECK_EQUAL(0, WEXITSTATUS(status));
}

static nearbuf_request request;
static const unsigned char bytes[64];

static void make_request(void) {
  CHECK_OK(nearbuf_request_near((const void *)(uintptr_t)make_request, 64, &request));
}

/* Returns 0 on success; no check may print here. */
static int get_append_release(void) {
  nearbuf_buffer buffer;
  void *address;
  int failures = nearbuf_get(&request, &buffer) != NEARBUF_OK;
  failures += nearbuf_append_code(&buffer, "0123456789", 10, &address) != NEARBUF_OK;
  failures += nearbuf_release(&buffer) != NEARBUF_OK;
  return failures;
}

static void call_getpid(void) {
  forbid_system_calls();
  (void)syscall(SYS_getpid);
}

static void get_the_second_time(void) {
  make_request();
  CHECK_EQUAL(0, get_append_release());
  forbid_system_calls();
  int failures = 0;
  for (int i = 0; i < 100; i++) {
    failures += get_append_release();
  }
  _exit(failures);
}

static void place_the_second_time(void) {
  make_request();
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, bytes, &placed));
  forbid_system_calls();
  int failures = 0;
  for (int i = 0; i < 100; i++) {
    failures += nearbuf_place(&request, bytes, &placed) != NEARBUF_OK;
  }
  _exit(failures);
}

/* Holds buffers from the first one on that is not kept, and releases them. */
static int get_and_release_all(nearbuf_buffer *buffers, int first, int end) {
  int failures = 0;
  for (int i = first; i < end; i++) {
    failures += nearbuf_get(&request, &buffers[i]) != NEARBUF_OK;
  }
  for (int i = first; i < end; i++) {
    failures += nearbuf_release(&buffers[i]) != NEARBUF_OK;
  }
  return failures;
}

/* The first buffers of the second locator stay held: what the library remembers of those after them
 * must not depend on them. */
static void get_again_what_a_later_locator_lists(void) {
  enum { KEPT = 260, ALL = 280 };
  static nearbuf_buffer buffers[ALL];
  make_request();
  for (int i = 0; i < KEPT; i++) {
    CHECK_OK(nearbuf_get(&request, &buffers[i]));
  }
  CHECK_EQUAL(0, get_and_release_all(buffers, KEPT, ALL));
  CHECK_EQUAL(0, get_and_release_all(buffers, KEPT, ALL));
  forbid_system_calls();
  _exit(get_and_release_all(buffers, KEPT, ALL));
}

static void *get_in_thread(void *argument) {
  (void)argument;
  get_the_second_time();
  return NULL;
}

static void get_the_second_time_in_a_thread(void) {
  make_request();
  CHECK_EQUAL(0, get_append_release());
  pthread_t thread;
  CHECK_EQUAL(0, pthread_create(&thread, NULL, get_in_thread, NULL));
  pthread_join(thread, NULL);
  _exit(99);
}

TEST(the_filter_ends_a_process_that_makes_a_system_call) {
  int status = status_of(call_getpid);
  if (WIFEXITED(status) && WEXITSTATUS(status) == TEST_EXIT_SKIPPED) {
    test_skip("the kernel has no system call filters");
  }
  CHECK(WIFSIGNALED(status));
  CHECK_EQUAL(SIGSYS, WTERMSIG(status));
}

TEST(the_second_get_of_the_main_thread_makes_no_system_call) {
  check_ends_well(get_the_second_time);
}

TEST(the_second_get_of_another_thread_makes_no_system_call) {
  check_ends_well(get_the_second_time_in_a_thread);
}

TEST(the_second_place_makes_no_system_call) {
  check_ends_well(place_the_second_time);
}

TEST(what_a_later_locator_lists_is_looked_up_in_the_memory_map_once) {
  check_ends_well(get_again_what_a_later_locator_lists);
}
