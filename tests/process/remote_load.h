/* What a process and others append to its buffers at the same time. */
#ifndef NEARBUF_REMOTE_LOAD_H
#define NEARBUF_REMOTE_LOAD_H

#include <stdint.h>

#include <nearbuf/nearbuf.h>

enum { INSIDE = 8, OUTSIDE = 4, MOST_RECORDS = 100000, RECORD_MARK = 0x6e626c64 };

typedef struct record {
  uint32_t mark;
  uint32_t writer; /* 0 to 7: a thread inside, from 8 on: a process outside */
  uint32_t number;
  uint32_t check;
} record;

static inline uint32_t record_check(const record *what) {
  return (what->mark ^ what->writer * 0x9E3779B1u) * 31 + what->number * 0x85EBCA77u;
}

#endif
