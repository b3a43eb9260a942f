/* What threads appended; see records.h. */
#include "records.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "test.h"
#include "threads.h"
#include "window.h"

enum { WRITERS = 4 };

static atomic_bool is_over;
static records lists[WRITERS];

static void fill(const record *about, unsigned char *bytes) {
  uint32_t state = about->seed;
  for (uint32_t i = 0; i < about->length; i++) {
    state = state * 1664525u + 1013904223u;
    bytes[i] = (unsigned char)(state >> 24);
  }
}

record records_next(records *list, unsigned char bytes[LONGEST_RECORD]) {
  uint32_t seed = (list->count * 64 + list->writer) * 2654435761u;
  record next = {.seed = seed, .length = 8 + seed % (LONGEST_RECORD - 7)};
  fill(&next, bytes);
  return next;
}

void records_keep(records *list, const record *written) {
  list->all[list->count++] = *written;
}

static void verify(const records *list) {
  unsigned char expected[LONGEST_RECORD];
  for (uint32_t i = 0; i < list->count; i++) {
    const record *each = &list->all[i];
    fill(each, expected);
    if (memcmp((const void *)each->address, expected, each->length) != 0) {
      test_fail(__FILE__, __LINE__, "writer %u: record %u of %u at %#jx is not what was written",
                (unsigned)list->writer, (unsigned)i, (unsigned)list->count,
                (uintmax_t)each->address);
    }
  }
}

static void verify_all(void) {
  uint64_t of_side[2] = {0, 0};
  for (uint32_t i = 0; i < WRITERS; i++) {
    verify(&lists[i]);
    printf("writer %u: %u records\n", (unsigned)i, (unsigned)lists[i].count);
    of_side[i % 2] += lists[i].count;
  }
  CHECK(of_side[0] > 0);
  CHECK(of_side[1] > 0);
}

bool records_go_on(const records *list) {
  return !atomic_load(&is_over) && list->count < MOST_RECORDS;
}

void records_append_with_nearbuf(records *list) {
  unsigned char bytes[LONGEST_RECORD];
  while (records_go_on(list)) {
    record next = records_next(list, bytes);
    nearbuf_request request = request_in(WINDOW, WINDOW + WINDOW_SIZE - 1, next.length);
    nearbuf_memory placed;
    CHECK_OK(nearbuf_place(&request, bytes, &placed));
    next.address = (uintptr_t)placed.run_at;
    CHECK(next.address >= WINDOW && next.address <= WINDOW + WINDOW_SIZE - next.length);
    records_keep(list, &next);
  }
}

typedef struct writing {
  records_writer write;
  records *list;
} writing;

static void write_list(void *argument) {
  const writing *work = argument;
  work->write(work->list);
}

void records_race(records_writer theirs, records_writer ours, unsigned milliseconds,
                  bool (*is_enough)(void)) {
  test_thread threads[WRITERS];
  writing works[WRITERS];
  for (uint32_t i = 0; i < WRITERS; i++) {
    lists[i].writer = i;
    works[i] = (writing){i % 2 == 0 ? theirs : ours, &lists[i]};
    threads[i] = test_thread_start(write_list, &works[i]);
  }
  do {
    usleep(milliseconds * 1000);
  } while (is_enough != NULL && !is_enough());
  atomic_store(&is_over, true);
  for (uint32_t i = 0; i < WRITERS; i++) {
    test_thread_join(threads[i]);
  }
  verify_all();
}
