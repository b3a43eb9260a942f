/* How long a process is stopped while memory is mapped in it from outside. Prints one line of JSON.
 *
 *   stop quiet|busy COUNT
 *
 * The process sleeps or computes. It is stopped for a mapping and for its removal, in turn, COUNT
 * times in all; a stop lasts from just before the request that interrupts its thread until the
 * thread was detached. The program is linked with --wrap=syscall, through which the library makes
 * both. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <nearbuf/process.h>

#include "wrapped_syscall.h"

enum { MOST_STOPS = 100000 };

/* Written by the library's helper process, which shares our memory. */
static struct {
  uint64_t began;
  int count;
  uint64_t ns[MOST_STOPS];
} stops;

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker gives these names */
long __wrap_syscall(long number, ...) {
  long given[SYSCALL_ARGUMENTS];
  SYSCALL_READ_ARGUMENTS(given, number);
  bool is_trace = number == SYS_ptrace;
  if (is_trace && given[0] == PTRACE_INTERRUPT && stops.began == 0) {
    stops.began = now_ns();
  }
  long result = SYSCALL_PASS_ON(number, given);
  int error = errno;
  if (is_trace && given[0] == PTRACE_DETACH && stops.count < MOST_STOPS) {
    stops.ns[stops.count++] = now_ns() - stops.began;
    stops.began = 0;
  }
  errno = error;
  return result;
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void fail(const char *what, nearbuf_status status) {
  fprintf(stderr, "stop: %s: %s\n", what, nearbuf_status_text(status));
  exit(1);
}

static pid_t start(bool is_busy) {
  pid_t process = fork();
  if (process == 0) {
    for (volatile int turns = 0;; turns = turns + 1) {
      if (!is_busy) {
        pause();
      }
    }
  }
  return process;
}

static int by_length(const void *a, const void *b) {
  const uint64_t *left = a;
  const uint64_t *right = b;
  return *left < *right ? -1 : *left > *right;
}

int main(int argc, char **argv) {
  int count = argc == 3 ? (int)strtol(argv[2], NULL, 10) : 0;
  bool is_busy = argc == 3 && strcmp(argv[1], "busy") == 0;
  if (count < 10 || count > MOST_STOPS || (!is_busy && strcmp(argv[1], "quiet") != 0)) {
    fputs("usage: stop quiet|busy COUNT\n", stderr);
    return 2;
  }
  pid_t id = start(is_busy);
  nearbuf_process process;
  nearbuf_status status = nearbuf_process_open(id, &process);
  nearbuf_process_request request = NEARBUF_PROCESS_REQUEST_INIT;
  request.min = 1 << 20;
  request.size_bytes = 4096;
  while (status == NEARBUF_OK && stops.count < count) {
    uint64_t address;
    status = nearbuf_process_allocate(&process, &request, &address, NULL);
    status = status == NEARBUF_OK ? nearbuf_process_free(&process, address, 4096) : status;
  }
  (void)nearbuf_process_close(&process);
  (void)kill(id, SIGKILL);
  (void)waitpid(id, NULL, 0);
  if (status == NEARBUF_DENIED || status == NEARBUF_UNSUPPORTED) {
    fprintf(stderr, "no process may be traced here\n");
    return 3;
  }
  if (status != NEARBUF_OK) {
    fail("making memory", status);
  }
  size_t made = (size_t)stops.count;
  qsort(stops.ns, made, sizeof *stops.ns, by_length);
  printf("{\"ns\": %llu, \"ns_of_99_in_100\": %llu, \"longest_ns\": %llu}\n",
         (unsigned long long)stops.ns[made / 2],
         (unsigned long long)stops.ns[made - made / 100 - 1],
         (unsigned long long)stops.ns[made - 1]);
  return 0;
}
