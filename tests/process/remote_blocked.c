/* What happens to the system call in which a process is blocked while memory is mapped in it: it
 * continues, or it returns early. process.h says which do; the calls are in
 * remote_blocked_target.c. */
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote_linux.h"
#include "test.h"

enum { MOST_CALLS = 100, TIMES = 4 };

typedef struct row {
  char name[32];
  long result;
  int error;
  target what;
} row;

static row rows[MOST_CALLS];
static int count;

/* Reads the table from the program itself. */
static void read_table(const char *program) {
  char command[PATH_MAX + 3];
  (void)snprintf(command, sizeof command, "'%s'", program);
  FILE *list = popen(command, "r"); /* NOLINT(cert-env33-c): a path of our own */
  CHECK(list != NULL);
  while (count < MOST_CALLS && fscanf(list, "%31s %ld %d", rows[count].name, &rows[count].result,
                                      &rows[count].error) == 3) {
    count++;
  }
  CHECK_EQUAL(0, pclose(list));
  CHECK(count >= 60);
}

/* A call that has begun a transfer returns the bytes transferred so far when it is interrupted. */
static bool may_be_short(const char *name) {
  static const char *const calls[] = {"write_large_to_empty_pipe", "send_large_to_empty_socket",
                                      "recv_all"};
  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
    if (strcmp(name, calls[i]) == 0) {
      return true;
    }
  }
  return false;
}

/* A transfer that does not block everywhere: before Linux 6.5 a full socket takes what comes from a
 * file or a pipe. */
static bool may_be_done(const char *name) {
  return strcmp(name, "sendfile_timed") == 0 || strcmp(name, "splice_timed") == 0;
}

/* Waits until it is blocked. False: it is not any more, because its time limit passed on a slow
 * machine. */
static bool is_blocked(const target *what) {
  while (target_state(what) != 'S') {
    if (target_state(what) == 'Z') {
      return false;
    }
    usleep(1000);
  }
  return true;
}

/* Whether it was disturbed while it was blocked. */
static bool disturb(const row *what) {
  nearbuf_process_request request = anywhere(4096);
  if (!is_blocked(&what->what)) {
    return false;
  }
  nearbuf_process process = target_open(&what->what);
  int done = 0;
  for (nearbuf_status status = NEARBUF_OK; done < TIMES && status != NEARBUF_NOT_FOUND;) {
    uint64_t address;
    uint64_t size;
    status = nearbuf_process_allocate(&process, &request, &address, &size);
    if (status == NEARBUF_OK) {
      status = nearbuf_process_free(&process, address, size);
    }
    done += status == NEARBUF_OK;
    /* A call that returned early ends, and has no memory before the process is gone (NOT_MAPPED); a
     * busy machine may be too slow for a stop. */
    CHECK(status == NEARBUF_OK || status == NEARBUF_BUSY || status == NEARBUF_NO_ROOM ||
          status == NEARBUF_NOT_MAPPED || status == NEARBUF_NOT_FOUND);
  }
  CHECK_OK(nearbuf_process_close(&process));
  return done > 0;
}

static void check_calls(const char *program) {
  int wrong = 0;
  int shorter = 0;
  int disturbed = 0;
  want_own_tmp();
  read_table(program);
  signal(SIGPIPE, SIG_IGN);
  for (int i = 0; i < count; i++) {
    rows[i].what = target_start(program, rows[i].name, NULL);
    disturbed += disturb(&rows[i]);
  }
  for (int i = 0; i < count; i++) {
    long result;
    int error;
    char line[64];
    (void)fputs("go\n", rows[i].what.input);
    (void)fflush(rows[i].what.input);
    target_line(&rows[i].what, line, sizeof line);
    CHECK(sscanf(line, "%ld %d", &result, &error) == 2);
    bool is_short = result > 0 && result < rows[i].result;
    shorter += is_short;
    if ((result != rows[i].result || error != rows[i].error) &&
        !(is_short && may_be_short(rows[i].name)) && !(result == 1 && may_be_done(rows[i].name))) {
      printf("%s: %ld, %s; not %ld, %s\n", rows[i].name, result, strerror(error), rows[i].result,
             strerror(rows[i].error));
      wrong++;
    }
    CHECK_EQUAL(0, target_wait(&rows[i].what));
  }
  printf("%d calls, %d came back short\n", count, shorter);
  CHECK_EQUAL(0, wrong);
  CHECK(disturbed > count / 2);
}

TEST(calls_that_a_process_is_blocked_in_go_on_or_come_back_short) {
  check_calls(REMOTE_BLOCKED_TARGET);
}

TEST(so_do_those_of_a_32_bit_process) {
#ifndef REMOTE_BLOCKED_TARGET_32
  test_skip("no compiler for 32-bit programs was found");
#else
  check_calls(REMOTE_BLOCKED_TARGET_32);
#endif
}
