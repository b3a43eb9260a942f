/* What threads appended, to be verified at the end: every record has bytes of its own. */
#ifndef NEARBUF_TEST_RECORDS_H
#define NEARBUF_TEST_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOST_RECORDS = 400000, LONGEST_RECORD = 64 };

typedef struct record {
  uintptr_t address;
  uint32_t seed;
  uint32_t length;
} record;

typedef struct records {
  uint32_t writer; /* differs between threads */
  uint32_t count;
  record all[MOST_RECORDS];
} records;

/* The next record, its bytes in `bytes`: LONGEST_RECORD at most. Its address is still to be set,
 * and records_keep to be called, once it is written. */
record records_next(records *list, unsigned char bytes[LONGEST_RECORD]);
void records_keep(records *list, const record *written);

/* Appends records until records_go_on says no. */
typedef void (*records_writer)(records *list);
bool records_go_on(const records *list);

/* Appends by nearbuf_place, in the window. */
void records_append_with_nearbuf(records *list);

/* Two threads append with each writer for so long, or, where that may be too short, for a multiple
 * of it that is enough. Then the test fails where a byte is not what was written, or where a side
 * wrote nothing: nobody promises that every single thread gets its turn. */
void records_race(records_writer theirs, records_writer ours, unsigned milliseconds,
                  bool (*is_enough)(void));

#endif
