/* The system calls of the library, which fail on purpose.
 *
 * The program is linked with --wrap for every function of the C library that the system layer
 * calls. Between arm and disarm the calls are counted, in their order; one of them fails, or
 * another actor does something just before it. Calls of the test itself pass through unchanged. */
#ifndef NEARBUF_FAULT_SYSTEM_H
#define NEARBUF_FAULT_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum system_call {
  CALL_NONE,
  CALL_CLONE,
  CALL_CLOSE,
  CALL_FCHMOD,
  CALL_FCHMODAT,
  CALL_FCHOWN,
  CALL_FCHOWNAT,
  CALL_FLOCK,
  CALL_FSTAT,
  CALL_FSTATAT,
  CALL_FSTATFS,
  CALL_FUTEX,
  CALL_GETDENTS,
  CALL_GETRANDOM,
  CALL_GETRLIMIT,
  CALL_IOCTL,
  CALL_KCMP,
  CALL_KILL,
  CALL_LINKAT,
  CALL_LSEEK,
  CALL_MADVISE,
  CALL_MEMBARRIER,
  CALL_MEMFD,
  CALL_MKDIRAT,
  CALL_MMAP,
  CALL_MUNMAP,
  CALL_OPEN,
  CALL_OPENAT,
  CALL_OPENAT2,
  CALL_PIDFD_OPEN,
  CALL_PREAD,
  CALL_PWRITE,
  CALL_READ,
  CALL_READLINKAT,
  CALL_RENAMEAT,
  CALL_RENAMEAT2,
  CALL_SBRK,
  CALL_SEIZE,
  CALL_STAT,
  CALL_STATX,
  CALL_UNLINKAT,
  CALL_VM_READ,
  CALL_VM_WRITE,
  CALL_WRITE,
  CALL_KINDS
} system_call;

const char *system_call_name(system_call call);

/* The errors that are plausible for a call: how many, and one by its index, modulo their number,
 * because the same call is not in the same place in every try. */
int system_errors(system_call call);
int system_error(system_call call, int index);

typedef struct system_plan {
  int at;              /* the selected call, counted from 1; 0: none */
  int error;           /* index of the error it fails with */
  bool is_lasting;     /* later calls of the same function fail, too */
  void (*actor)(void); /* acts before the call, which then is made instead of failing */
  bool is_race;        /* at some of the calls the actor is faster in making a locator */
} system_plan;

/* Properties that a kernel can have. */
enum {
  OLD_KERNEL = 1,         /* no map query, no renameat2, no memory files, no membarrier */
  IGNORES_NO_REPLACE = 2, /* a demanded address is a hint, as before Linux 4.17 */
  IGNORES_ADVICE = 4,     /* accepts every advice and follows none, as some emulators */
  TRANSFERS_LITTLE = 8,   /* reads and writes a few bytes at a time */
  CANNOT_RENAME_NEW = 16, /* a file system without RENAME_NOREPLACE */
  CANNOT_MAKE_MEMORY_FILES = 32,
  CANNOT_WIPE = 64 /* pages in children; as before Linux 4.14, gVisor */
};

/* Makes the kernel have these properties from now on. */
void system_be(unsigned kernel);

/* `*met` becomes the call that the plan selects, when it is made; CALL_NONE before. */
void system_arm(const system_plan *plan, system_call *met);
void system_disarm(void);

/* For actors: the address and the size that the call after them demands, 0 if none. */
uintptr_t system_wanted_address(void);
size_t system_wanted_size(void);

#endif
