/* What threads appended, verified at the end: every record has unique bytes. */
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

/* The next record, with its bytes in `bytes`: at most LONGEST_RECORD. Its address must be set, and
 * records_keep called, once it is written. */
record records_next(records *list, unsigned char bytes[LONGEST_RECORD]);
void records_keep(records *list, const record *written);

/* Appends records until records_go_on says no. */
typedef void (*records_writer)(records *list);
bool records_go_on(const records *list);

/* Appends by nearbuf_place, in the window. */
void records_append_with_nearbuf(records *list);

/* Two threads append with each writer for that time, or, if that may be too short, for a sufficient
 * multiple of it. Then the test fails if a byte is not what was written, or if a side wrote
 * nothing: that every single thread is scheduled is not guaranteed. */
void records_race(records_writer theirs, records_writer ours, unsigned milliseconds,
                  bool (*is_enough)(void));

#endif
