/* Eight threads of a process and four other processes get, append and release in the same buffers. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote_load.h"
#include "remote_support.h"
#include "test.h"

enum { LOAD_MS = 2000 };

static uint32_t counts[INSIDE + OUTSIDE];
static unsigned char seen[INSIDE + OUTSIDE][MOST_RECORDS];

/* What one of the outside processes does; answers how many records it appended. */
static uint32_t append_from_outside(pid_t id, uint32_t writer) {
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
    if (status == NEARBUF_BUSY || status == NEARBUF_DENIED || status == NEARBUF_NO_ROOM) {
      continue;
    }
    CHECK_EQUAL(NEARBUF_OK, status);
    made.check = record_check(&made);
    CHECK_OK(nearbuf_process_append(&process, &buffer, &made, sizeof made, NULL));
    CHECK_OK(nearbuf_process_release(&process, &buffer));
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

TEST(no_record_is_lost_or_doubled) {
  int to_target[2];
  int from_target[2];
  want_own_tmp();
  CHECK(pipe(to_target) == 0 && pipe(from_target) == 0);
  target loaded = {fork(), NULL};
  if (loaded.id == 0) {
    dup2(to_target[0], 0);
    dup2(from_target[1], 1);
    close(to_target[1]);
    execl(REMOTE_LOAD_TARGET, REMOTE_LOAD_TARGET, (char *)NULL);
    _exit(9);
  }
  close(from_target[1]);
  loaded.output = fdopen(from_target[0], "r");
  char line[32];
  target_line(&loaded, line, sizeof line);
  int results[2];
  CHECK(pipe(results) == 0);
  for (uint32_t i = 0; i < OUTSIDE; i++) {
    if (fork() == 0) {
      uint32_t count[2] = {INSIDE + i, append_from_outside(loaded.id, INSIDE + i)};
      CHECK(write(results[1], count, sizeof count) == (ssize_t)sizeof count);
      _exit(0);
    }
  }
  uint32_t expected[INSIDE + OUTSIDE] = {0};
  for (int i = 0; i < OUTSIDE; i++) {
    uint32_t count[2];
    CHECK(read(results[0], count, sizeof count) == (ssize_t)sizeof count);
    expected[count[0]] = count[1];
    CHECK(count[1] > 0);
  }
  CHECK(write(to_target[1], "end\n", 4) == 4);
  target_line(&loaded, line, sizeof line);
  unsigned long inside = strtoul(line, NULL, 10);
  nearbuf_process process = target_open(&loaded);
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
  for (int i = INSIDE; i < INSIDE + OUTSIDE; i++) {
    CHECK_EQUAL(expected[i], counts[i]);
  }
  printf("%lu records inside, %u + %u + %u + %u outside\n", inside, counts[8], counts[9],
         counts[10], counts[11]);
  CHECK(write(to_target[1], "end\n", 4) == 4);
  int status;
  CHECK_EQUAL(loaded.id, waitpid(loaded.id, &status, 0));
  CHECK_EQUAL(0, status);
}
