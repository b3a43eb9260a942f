/* The records of FreeBSD's kern.proc.vmmap: struct kinfo_vmentry, each cut off behind its path. No
 * system calls. Whatever the bytes are, nothing beyond them is read, and only the mapping is
 * written. Source: kinfo_getvmmap(3), sys/user.h, sys/kern/kern_proc.c of FreeBSD 14.
 *
 *   0      4      8       16    24       32      44      56           88       136
 *   [ size | type | start | end | offset | inode | flags | protection | device | path, 0 ] */
#ifndef NB_VMMAP_H
#define NB_VMMAP_H

#include <stddef.h>

#include "os/os.h"

/* The offsets of the fields that are read. bsd/freebsd_map.c asserts them. */
enum {
  NB_VMMAP_SIZE = 0, /* 4 bytes: of this record, a multiple of 8 */
  NB_VMMAP_TYPE = 4,
  NB_VMMAP_START = 8, /* 8 bytes */
  NB_VMMAP_END = 16,
  NB_VMMAP_OFFSET = 24,
  NB_VMMAP_INODE = 32,
  NB_VMMAP_FLAGS = 44, /* 4 bytes */
  NB_VMMAP_PROTECTION = 56,
  NB_VMMAP_DEVICE = 88, /* 8 bytes */
  NB_VMMAP_PATH = 136   /* to the end of the record, ended by a zero */
};

/* The values: KVME_TYPE_VNODE, KVME_FLAG_..., KVME_PROT_... */
enum {
  NB_VMMAP_OF_FILE = 2,
  NB_VMMAP_IS_PRIVATE = 1 << 0, /* copied when it is written */
  NB_VMMAP_IS_SYSTEM_V_MEMORY = 1 << 7,
  NB_VMMAP_IS_POSIX_MEMORY = 1 << 8,
  NB_VMMAP_READABLE = 1 << 0,
  NB_VMMAP_WRITABLE = 1 << 1,
  NB_VMMAP_EXECUTABLE = 1 << 2
};

/* Reads the record at `*at` and advances it to the next one. END behind the last; FAILED if the
 * bytes are not a record: then reading cannot go on. */
nb_map_answer nb_vmmap_next(const unsigned char *records, size_t size, size_t *at,
                            nb_mapping *mapping);

#endif
