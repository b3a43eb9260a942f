/* The process-dependent part of remote system calls: which program it runs, and where that enters
 * the kernel. */
#ifndef NBUF_LINUX_TARGET_H
#define NBUF_LINUX_TARGET_H

#include <stdbool.h>
#include <stdint.h>

/* The calls that are made; each processor has its own numbers for them. */
typedef enum nbuf_trace_call {
  NBUF_TRACE_MMAP,
  NBUF_TRACE_MUNMAP,
  NBUF_TRACE_MADVISE,
  NBUF_TRACE_OPENAT,
  NBUF_TRACE_CLOSE,
  NBUF_TRACE_FLOCK,
  NBUF_TRACE_CALLS
} nbuf_trace_call;

/* Distinguishes one program of a process from the next: the random bytes that the kernel gives to
 * each (AT_RANDOM), and their address; 0: unknown. */
typedef struct nbuf_linux_program {
  uint64_t address;
  uint64_t random[2];
} nbuf_linux_program;

typedef struct nbuf_trace_target {
  int64_t id;
  int directory; /* /proc/<id>, open */
  bool is_64_bit;
  uint64_t entry; /* the address of an instruction in the process that enters the kernel */
  nbuf_linux_program program;
} nbuf_trace_target;

/* The bytes of an instruction that enters the kernel, as the process would use it. */
extern const unsigned char nbuf_trace_entry_64[];
extern const unsigned char nbuf_trace_entry_32[];
extern const uint32_t nbuf_trace_entry_64_size;
extern const uint32_t nbuf_trace_entry_32_size;

#endif
