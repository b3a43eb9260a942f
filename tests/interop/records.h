/* What threads appended, to be verified at the end: every record has bytes of its own. */
#ifndef NEARBUF_TEST_RECORDS_H
#define NEARBUF_TEST_RECORDS_H

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

/* The next record, its bytes in `bytes`: LONGEST_RECORD at most. Its address is still to be set, and
 * records_keep to be called, once it is written. */
record records_next(records *list, unsigned char bytes[LONGEST_RECORD]);
void records_keep(records *list, const record *written);

/* Fails the test where a byte is not what was written by one of `count` writers, those with even
 * indices of one side and the others of the other one, or where a side wrote nothing: nobody promises
 * that every single thread gets its turn. */
void records_verify(const records *lists, uint32_t count);

#endif
