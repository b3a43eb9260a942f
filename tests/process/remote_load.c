/* Eight threads of a process and four other processes get, append and release in the same buffers. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote_load.h"
#include "remote_support.h"
#include "test.h"

enum { LOAD_MS = 2000 };

static uint32_t counts[INSIDE + OUTSIDE];
static unsigned char seen[INSIDE + OUTSIDE][MOST_RECORDS];

/* Whether the process, being what it is at the moment, may answer so. */
static bool is_for_now(nearbuf_status status) {
  return status == NEARBUF_BUSY || status == NEARBUF_DENIED || status == NEARBUF_NO_ROOM;
}

/* What one of the outside processes does, until the time is over or `is_mortal` and the process is no
 * longer what it was; answers how many records it appended. */
static uint32_t append_from_outside(pid_t id, uint32_t writer, bool is_mortal) {
  nearbuf_process process;
  CHECK_OK(nearbuf_process_open(id, &process));
  record made = {RECORD_MARK, writer, 0, 0};
  nearbuf_process_request request = NEARBUF_PROCESS_REQUEST_INIT;
  request.size_bytes = sizeof made;
  uint64_t end = now_ms() + LOAD_MS;
  while (now_ms() < end) {
    nearbuf_process_buffer buffer;
    /* Now and then with the right to make memory: several may want to stop it at a time. */
    request.flags = made.number % 64 == 63 ? 0 : NEARBUF_PROCESS_EXISTING;
    nearbuf_status status = nearbuf_process_get(&process, &request, &buffer);
    if (is_for_now(status)) {
      continue;
    }
    made.check = record_check(&made);
    if (status == NEARBUF_OK) {
      status = nearbuf_process_append(&process, &buffer, &made, sizeof made, NULL);
      CHECK_OK(nearbuf_process_release(&process, &buffer));
    }
    if (is_mortal && status != NEARBUF_OK) {
      break;
    }
    CHECK_EQUAL(NEARBUF_OK, status);
    made.number++;
  }
  CHECK_OK(nearbuf_process_close(&process));
  return made.number;
}

/* Counts the records of one buffer. Between them only the zeros of alignment may lie. */
static void count_records(nearbuf_process *process, const nearbuf_process_item *item) {
  record found;
  for (uint64_t at = 0; at + sizeof found <= item->used_bytes; at += sizeof found) {
    CHECK_OK(nearbuf_process_read(process, item->address + at, &found, sizeof found, NULL));
    CHECK_EQUAL(RECORD_MARK, found.mark);
    CHECK_EQUAL(record_check(&found), found.check);
    CHECK(found.writer < INSIDE + OUTSIDE && found.number < MOST_RECORDS);
    CHECK_EQUAL(0, seen[found.writer][found.number]++); /* not doubled */
    counts[found.writer]++;
  }
}

typedef struct load {
  target inside;
  int to_inside;
  uint32_t expected[INSIDE + OUTSIDE];
} load;

static load load_start(const char *mode) {
  int to_target[2];
  int from_target[2];
  want_own_tmp();
  CHECK(pipe(to_target) == 0 && pipe(from_target) == 0);
  load what = {.inside = {fork(), NULL}};
  if (what.inside.id == 0) {
    dup2(to_target[0], 0);
    dup2(from_target[1], 1);
    close(to_target[1]);
    execl(REMOTE_LOAD_TARGET, REMOTE_LOAD_TARGET, mode, (char *)NULL);
    _exit(9);
  }
  close(from_target[1]);
  what.inside.output = fdopen(from_target[0], "r");
  what.to_inside = to_target[1];
  char line[32];
  target_line(&what.inside, line, sizeof line);
  return what;
}

/* Lets the others append, and the bully do what he wants with the process meanwhile. */
static void load_from_outside(load *what, void (*bully)(pid_t id), bool is_mortal) {
  int results[2];
  CHECK(pipe(results) == 0);
  for (uint32_t i = 0; i < OUTSIDE; i++) {
    if (fork() == 0) {
      uint32_t count[2] = {INSIDE + i, append_from_outside(what->inside.id, INSIDE + i, is_mortal)};
      CHECK(write(results[1], count, sizeof count) == (ssize_t)sizeof count);
      _exit(0);
    }
  }
  close(results[1]); /* who fails writes nothing */
  if (bully != NULL) {
    bully(what->inside.id);
  }
  for (int i = 0; i < OUTSIDE; i++) {
    uint32_t count[2];
    CHECK(read(results[0], count, sizeof count) == (ssize_t)sizeof count);
    what->expected[count[0]] = count[1];
    CHECK(is_mortal || count[1] > 0);
  }
  close(results[0]);
}

/* Ends the work inside and counts all records. */
static void load_check(load *what, bool are_outside_counted) {
  char line[32];
  CHECK(write(what->to_inside, "end\n", 4) == 4);
  target_line(&what->inside, line, sizeof line);
  unsigned long inside = strtoul(line, NULL, 10);
  nearbuf_process process = target_open(&what->inside);
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator;
  nearbuf_process_item item;
  while (nearbuf_process_next_locator(&process, &walk, &locator) == NEARBUF_OK) {
    CHECK(locator.fault == NULL);
    while (nearbuf_process_next_item(&walk, &item) == NEARBUF_OK) {
      CHECK(item.fault == NULL);
      CHECK_EQUAL(0, item.is_taken);
      count_records(&process, &item);
    }
  }
  unsigned long counted_inside = 0;
  for (int i = 0; i < INSIDE; i++) {
    counted_inside += counts[i];
  }
  CHECK(inside > 0);
  CHECK_EQUAL(inside, counted_inside);
  for (int i = INSIDE; are_outside_counted && i < INSIDE + OUTSIDE; i++) {
    CHECK_EQUAL(what->expected[i], counts[i]);
  }
  printf("%lu records inside, %u + %u + %u + %u outside\n", inside, counts[8], counts[9],
         counts[10], counts[11]);
  CHECK(write(what->to_inside, "end\n", 4) == 4);
  int status;
  CHECK_EQUAL(what->inside.id, waitpid(what->inside.id, &status, 0));
  CHECK_EQUAL(0, status);
}

static void check_load(const char *mode, void (*bully)(pid_t id)) {
  load what = load_start(mode);
  load_from_outside(&what, bully, false);
  load_check(&what, true);
}

TEST(no_record_is_lost_or_doubled) {
  check_load(NULL, NULL);
}

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

/* As a debugger does it that looks again and again. */
static void trace_often(pid_t id) {
  for (int i = 0; i < LOAD_MS / 40; i++) {
    if (ptrace(PTRACE_ATTACH, id, NULL, NULL) == 0) {
      CHECK_EQUAL(id, waitpid(id, NULL, __WALL));
      usleep(20000);
      CHECK(ptrace(PTRACE_DETACH, id, NULL, NULL) == 0);
    } else {
      CHECK_EQUAL(EPERM, errno); /* one of the others traces it just now */
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

TEST(a_loaded_process_that_is_killed_hangs_nobody) {
  load what = load_start(NULL);
  load_from_outside(&what, kill_soon, true);
  CHECK_EQUAL(what.inside.id, waitpid(what.inside.id, NULL, 0));
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
