/* What a process and others append to its buffers at the same time. */
#ifndef NEARBUF_REMOTE_LOAD_H
#define NEARBUF_REMOTE_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include <nearbuf/nearbuf.h>

#include "remote_support.h"

enum { INSIDE = 8, OUTSIDE = 4, MOST_RECORDS = 100000, RECORD_MARK = 0x6e626c64 };
enum { LOAD_MS = 2000, LOAD_STATUS_REFUSED = 3 /* of a writer to which something was denied */ };

typedef struct record {
  uint32_t mark;
  uint32_t writer; /* 0 to 7: a thread inside, from 8 on: a process outside */
  uint32_t number;
  uint32_t check;
} record;

static inline uint32_t record_check(const record *what) {
  return (what->mark ^ what->writer * 0x9E3779B1u) * 31 + what->number * 0x85EBCA77u;
}

/* ---- In the test ----------------------------------------------------------------------------- */

typedef struct load {
  target inside;
  unsigned long expected[OUTSIDE]; /* how many records each of the others appended */
} load;

/* Starts the loaded process; its modes are in remote_load_target.c. */
load load_start(const char *mode);

/* Lets the others append, while `bully` disturbs the process. `is_mortal`: it may end or become
 * another program, and calls of the others be refused. */
void load_from_outside(load *what, void (*bully)(pid_t id), bool is_mortal);

/* Ends the work inside and counts all records. */
void load_check(load *what, bool are_outside_counted);

/* All of it. */
void check_load(const char *mode, void (*bully)(pid_t id));

/* ---- In the loaded process ------------------------------------------------------------------- */

bool load_is_over(void);
nearbuf_status load_append(const void *bytes, size_t size);

/* What a system adds to it; the mode may be null. */
bool load_prepare(const char *mode, char **arguments);
void load_finish(void);

#endif
