/* What FreeBSD and macOS have in common below posix.h is in bsd.c. They differ in how a directory
 * is read. */
#ifndef NBUF_BSD_H
#define NBUF_BSD_H

#include <stdbool.h>
#include <stdint.h>

/* The result of one read of a directory: some 60 names. */
typedef struct nbuf_bsd_names {
  _Alignas(uint64_t) char records[8192];
  long left; /* of what was read: bytes or records, as the system counts */
  long at;   /* the offset of the next one */
} nbuf_bsd_names;

/* Reads the names at the directory's position, and advances it; false at the end, and if they
 * cannot be read. */
bool nbuf_bsd_read_names(int directory, nbuf_bsd_names *names);

/* The next of these names, or null. */
const char *nbuf_bsd_next_name(nbuf_bsd_names *names);

#endif
