/* The names in a directory, as getdents64(2) returns them. */
#ifndef NB_LINUX_DIRECTORY_H
#define NB_LINUX_DIRECTORY_H

#include <stdint.h>

typedef struct nb_linux_record {
  uint64_t inode;
  int64_t offset;
  uint16_t length; /* of this record; the next one follows */
  uint8_t type;
  char name[];
} nb_linux_record;

/* `records` is aligned like a record. */
static inline const nb_linux_record *nb_linux_record_at(const char *records, long at) {
  return (const nb_linux_record *)(const void *)&records[at];
}

#endif
