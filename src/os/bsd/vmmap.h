/* The records of FreeBSD's kern.proc.vmmap: struct kinfo_vmentry, each cut off behind its path. No
 * system calls. Whatever the bytes are, nothing beyond them is read, and only the mapping is
 * written. Source: kinfo_getvmmap(3), sys/user.h, sys/kern/kern_proc.c of FreeBSD 14.
 *
 *   0      4      8       16    24       32      44      56           88       136
 *   [ size | type | start | end | offset | inode | flags | protection | device | path, 0 ] */
#ifndef NBUF_VMMAP_H
#define NBUF_VMMAP_H

#include <stddef.h>

#include "os/os.h"

/* The offsets of the fields that are read. bsd/freebsd_map.c asserts them. */
enum {
  NBUF_VMMAP_SIZE = 0, /* 4 bytes: of this record, a multiple of 8 */
  NBUF_VMMAP_TYPE = 4,
  NBUF_VMMAP_START = 8, /* 8 bytes */
  NBUF_VMMAP_END = 16,
  NBUF_VMMAP_OFFSET = 24,
  NBUF_VMMAP_INODE = 32,
  NBUF_VMMAP_FLAGS = 44, /* 4 bytes */
  NBUF_VMMAP_PROTECTION = 56,
  NBUF_VMMAP_DEVICE = 88, /* 8 bytes */
  NBUF_VMMAP_PATH = 136   /* to the end of the record, ended by a zero */
};

/* The values: KVME_TYPE_VNODE, KVME_FLAG_..., KVME_PROT_... */
enum {
  NBUF_VMMAP_OF_FILE = 2,
  NBUF_VMMAP_IS_PRIVATE = 1 << 0, /* copied when it is written */
  NBUF_VMMAP_IS_SYSTEM_V_MEMORY = 1 << 7,
  NBUF_VMMAP_IS_POSIX_MEMORY = 1 << 8,
  NBUF_VMMAP_READABLE = 1 << 0,
  NBUF_VMMAP_WRITABLE = 1 << 1,
  NBUF_VMMAP_EXECUTABLE = 1 << 2
};

/* Reads the record at `*at` and advances it to the next one. END behind the last; FAILED if the
 * bytes are not a record: then reading cannot go on. */
nbuf_map_answer nbuf_vmmap_next(const unsigned char *records, size_t size, size_t *at,
                                nbuf_mapping *mapping);

#endif
