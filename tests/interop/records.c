/* What threads appended; see records.h. */
#include "records.h"

#include <string.h>

#include "test.h"

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

void records_verify(const records *lists, uint32_t count) {
  uint64_t of_side[2] = {0, 0};
  for (uint32_t i = 0; i < count; i++) {
    verify(&lists[i]);
    printf("writer %u: %u records\n", (unsigned)i, (unsigned)lists[i].count);
    of_side[i % 2] += lists[i].count;
  }
  CHECK(of_side[0] > 0);
  CHECK(of_side[1] > 0);
}
