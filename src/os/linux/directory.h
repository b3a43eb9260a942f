/* The names in a directory, as getdents64(2) returns them. */
#ifndef NBUF_LINUX_DIRECTORY_H
#define NBUF_LINUX_DIRECTORY_H

#include <stdint.h>

typedef struct nbuf_linux_record {
  uint64_t inode;
  int64_t offset;
  uint16_t length; /* of this record; the next one follows */
  uint8_t type;
  char name[];
} nbuf_linux_record;

/* `records` is aligned like a record. */
static inline const nbuf_linux_record *nbuf_linux_record_at(const char *records, long at) {
  return (const nbuf_linux_record *)(const void *)&records[at];
}

#endif
