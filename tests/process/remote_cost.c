/* How many system calls a get in another process takes: a tracer counts those of the caller and of
 * the helpers that it makes. The reads of memory maps, whose number depends on their length, are
 * known by their descriptor. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/linux/map_query.h"
#include "remote_linux.h"
#include "remote_support.h"
#include "test.h"

#ifndef PTRACE_GET_SYSCALL_INFO
#define PTRACE_GET_SYSCALL_INFO 0x420e
#endif

/* struct ptrace_syscall_info, which older headers lack. */
typedef struct call_info {
  uint8_t op; /* 1: entry, 2: exit */
  uint8_t padding[3];
  uint32_t arch;
  uint64_t instruction;
  uint64_t stack;
  union {
    struct {
      uint64_t number;
      uint64_t arguments[6];
    } entry;
    struct {
      int64_t returned;
      uint8_t is_error;
    } exit;
  } of;
} call_info;

enum { MOST_FILES = 64 };

typedef struct count {
  int calls; /* but for those on the memory map */
  bool is_counting;
  bool is_opening_map;
  bool is_map[MOST_FILES]; /* by descriptor */
} count;

static bool is_path_of_map(pid_t caller, uint64_t address) {
  static const char own[] = "/proc/self/maps";
  char path[sizeof own] = "";
  struct iovec here = {path, sizeof path - 1};
  struct iovec there = {(void *)(uintptr_t)address, sizeof path - 1};
  return process_vm_readv(caller, &here, 1, &there, 1, 0) > 0 &&
         (strcmp(path, "maps") == 0 || strcmp(path, own) == 0);
}

static void count_entry(count *counted, pid_t caller, const call_info *info) {
  uint64_t number = info->of.entry.number;
  uint64_t file = info->of.entry.arguments[0];
  bool has_map = file < MOST_FILES && counted->is_map[file];
  if (number == SYS_getppid) { /* which marks the beginning and the end */
    counted->is_counting = !counted->is_counting;
    return;
  }
  counted->is_opening_map =
      number == SYS_openat && is_path_of_map(caller, info->of.entry.arguments[1]);
  bool is_of_map = counted->is_opening_map ||
                   (has_map && (number == SYS_read || number == SYS_ioctl || number == SYS_close));
  if (has_map && number == SYS_close) {
    counted->is_map[file] = false;
  }
  /* How often they wait depends on when the thread stops. */
  bool is_wait = number == SYS_wait4 || number == SYS_sched_yield || number == SYS_clock_nanosleep;
  counted->calls += counted->is_counting && !is_of_map && !is_wait;
}

static void count_exit(count *counted, const call_info *info) {
  int64_t file = info->of.exit.returned;
  if (counted->is_opening_map && file >= 0 && file < MOST_FILES) {
    counted->is_map[file] = true;
  }
  counted->is_opening_map = false;
}

/* Runs the function in a child and counts its calls between two calls of getppid. */
static int count_calls(void (*function)(void)) {
  fflush(NULL);
  pid_t caller = fork();
  CHECK(caller >= 0);
  if (caller == 0) {
    (void)raise(SIGSTOP);
    function();
    _exit(0);
  }
  int status;
  CHECK_EQUAL(caller, waitpid(caller, &status, WUNTRACED));
  const uintptr_t options =
      PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
  if (ptrace(PTRACE_SEIZE, caller, NULL, options) != 0) {
    (void)kill(caller, SIGKILL);
    test_skip("processes cannot be traced here");
  }
  CHECK(kill(caller, SIGCONT) == 0);
  count counted = {0};
  CHECK(ptrace(PTRACE_INTERRUPT, caller, NULL, NULL) == 0);
  for (;;) {
    pid_t stopped = waitpid(-1, &status, __WALL);
    CHECK(stopped > 0);
    if (!WIFSTOPPED(status) && stopped == caller) {
      break;
    }
    call_info info = {0};
    bool is_call = WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80);
    if (is_call && ptrace(PTRACE_GET_SYSCALL_INFO, stopped, sizeof info, &info) <= 0) {
      test_skip("the kernel does not tell a tracer about system calls");
    }
    if (info.op == 1) {
      count_entry(&counted, stopped, &info);
    } else if (info.op == 2) {
      count_exit(&counted, &info);
    }
    (void)ptrace(PTRACE_SYSCALL, stopped, NULL, NULL);
  }
  CHECK(WIFEXITED(status));
  CHECK_EQUAL(0, WEXITSTATUS(status));
  CHECK(!counted.is_counting);
  return counted.calls;
}

static target idle;

/* The get that is counted, of so many bytes, through a handle that got 16 before so many times. */
static void get_after(int times, size_t size) {
  nearbuf_process process = target_open(&idle);
  nearbuf_process_request request = anywhere(16);
  nearbuf_process_buffer buffer;
  for (int i = 0; i <= times; i++) {
    request.size_bytes = i == times ? size : 16;
    if (i == times) {
      (void)syscall(SYS_getppid);
    }
    CHECK_OK(nearbuf_process_get(&process, &request, &buffer));
    if (i == times) {
      (void)syscall(SYS_getppid);
    }
    CHECK_OK(nearbuf_process_release(&process, &buffer));
  }
  CHECK_OK(nearbuf_process_close(&process));
}

static void get_at_once(void) {
  get_after(0, 16);
}

static void get_again(void) {
  get_after(1, 16);
}

static void get_more(void) {
  get_after(1, 1 << 20);
}

static void start_with_buffer(void) {
  want_own_tmp();
  idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  (void)put(&process, "hello", 5);
  CHECK_OK(nearbuf_process_close(&process));
}

/* Where the shared directory is closed to this user, the locator is in the user's own, which is
 * looked at afterwards. */
static bool is_shared_closed(void) {
  return access("/tmp/.reloaded/memory.buffers", R_OK | W_OK | X_OK) != 0 && errno == EACCES;
}

/* Kernels before 6.11 do not answer queries of a map: there each of eight places is read. */
static int reads_of_anchors(void) {
  int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  uint64_t start;
  bool can_query = nbuf_map_query_next(maps, 0, &start);
  close(maps);
  return can_query ? 0 : 8;
}

static int most_of_first(void) {
  return 25 + reads_of_anchors() + (is_shared_closed() ? 15 : 0);
}

TEST(a_get_through_a_handle_that_knows_the_process_takes_at_most_10_system_calls) {
  start_with_buffer();
  int calls = count_calls(get_again);
  printf("%d system calls\n", calls);
  CHECK(calls >= 5); /* it counts */
  CHECK(calls <= 10);
  (void)target_end(&idle);
}

TEST(the_first_get_through_a_handle_finds_the_locator_with_at_most_25_system_calls) {
  start_with_buffer();
  int calls = count_calls(get_at_once);
  printf("%d system calls\n", calls);
  CHECK(calls >= 5);
  CHECK(calls <= most_of_first());
  (void)target_end(&idle);
}

/* It leads to its locator by an anchor. */
TEST(so_it_is_in_a_process_that_uses_the_library) {
  char line[64];
  want_own_tmp();
  idle = target_start(REMOTE_USER_TARGET, NULL, NULL);
  CHECK(kill(idle.id, SIGUSR1) == 0);
  target_line(&idle, line, sizeof line);
  int calls = count_calls(get_at_once);
  printf("%d system calls\n", calls);
  CHECK(calls >= 5);
  CHECK(calls <= most_of_first());
  target_kill(&idle);
}

TEST(a_get_that_makes_memory_takes_at_most_60_system_calls) {
  start_with_buffer();
  int calls = count_calls(get_more);
  printf("%d system calls\n", calls);
  CHECK(calls >= 35);
  CHECK(calls <= 60);
  (void)target_end(&idle);
}

/* It stops the process once. */
TEST(one_that_makes_the_first_locator_too_takes_at_most_120) {
  want_own_tmp();
  idle = target_start_idle();
  int calls = count_calls(get_at_once);
  printf("%d system calls\n", calls);
  CHECK(calls >= 70);
  CHECK(calls <= 120 + 2 * reads_of_anchors() + (is_shared_closed() ? 10 : 0));
  (void)target_end(&idle);
}
