/* See remote_load.h. */
#include <string.h>

#include "remote_load.h"
#include "remote_support.h"
#include "test.h"

static uint32_t counts[INSIDE + OUTSIDE];
static unsigned char seen[INSIDE + OUTSIDE][MOST_RECORDS];

static void count_record(const record *found) {
  CHECK_EQUAL(RECORD_MARK, found->mark);
  CHECK_EQUAL(record_check(found), found->check);
  CHECK(found->writer < INSIDE + OUTSIDE && found->number < MOST_RECORDS);
  CHECK_EQUAL(0, seen[found->writer][found->number]++); /* not doubled */
  counts[found->writer]++;
}

/* Counts the records of one buffer. Between them only zeros for alignment may lie. */
static void count_records(nearbuf_process *process, const nearbuf_process_item *item) {
  static record found[4096];
  size_t size;
  for (size_t at = 0; at < item->used_bytes; at += size) {
    size = item->used_bytes - at < sizeof found ? item->used_bytes - at : sizeof found;
    CHECK_EQUAL(0, size % sizeof *found);
    CHECK_OK(nearbuf_process_read(process, item->address + at, found, size, NULL));
    for (size_t i = 0; i < size / sizeof *found; i++) {
      count_record(&found[i]);
    }
  }
}

/* Reads the number that a program prints when it is done. */
static unsigned long number_of(target *what) {
  char line[32];
  target_line(what, line, sizeof line);
  return strtoul(line, NULL, 10);
}

load load_start(const char *mode) {
  load what = {.inside = target_start(REMOTE_LOAD_TARGET, mode, NULL)};
  return what;
}

void load_from_outside(load *what, void (*bully)(pid_t id), bool is_mortal) {
  target writers[OUTSIDE];
  for (int i = 0; i < OUTSIDE; i++) {
    char id[16];
    char number[16];
    (void)snprintf(id, sizeof id, "%d", (int)what->inside.id);
    (void)snprintf(number, sizeof number, "%d", INSIDE + i);
    writers[i] = target_start(REMOTE_LOAD_WRITER, id, number);
  }
  if (bully != NULL) {
    bully(what->inside.id);
  }
  for (int i = 0; i < OUTSIDE; i++) {
    what->expected[i] = number_of(&writers[i]);
    int status = target_wait(&writers[i]);
    CHECK(status == 0 || (is_mortal && status == LOAD_STATUS_REFUSED));
    CHECK(is_mortal || what->expected[i] > 0);
  }
}

void load_check(load *what, bool are_outside_counted) {
  target_tell(&what->inside, "end\n");
  unsigned long inside = number_of(&what->inside);
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
  for (int i = 0; are_outside_counted && i < OUTSIDE; i++) {
    CHECK_EQUAL(what->expected[i], counts[INSIDE + i]);
  }
  printf("%lu records inside, %u + %u + %u + %u outside\n", inside, counts[8], counts[9],
         counts[10], counts[11]);
  target_tell(&what->inside, "end\n");
  CHECK_EQUAL(0, target_wait(&what->inside));
}

void check_load(const char *mode, void (*bully)(pid_t id)) {
  load what = load_start(mode);
  load_from_outside(&what, bully, false);
  load_check(&what, true);
}
