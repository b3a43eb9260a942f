/* The process-dependent part of remote system calls: which program it runs, and where that enters
 * the kernel. */
#ifndef NB_LINUX_TARGET_H
#define NB_LINUX_TARGET_H

#include <stdbool.h>
#include <stdint.h>

/* The calls that are made; each processor has its own numbers for them. */
typedef enum nb_trace_call {
  NB_TRACE_MMAP,
  NB_TRACE_MUNMAP,
  NB_TRACE_MADVISE,
  NB_TRACE_OPENAT,
  NB_TRACE_CLOSE,
  NB_TRACE_FLOCK,
  NB_TRACE_CALLS
} nb_trace_call;

/* Distinguishes one program of a process from the next: the random bytes that the kernel gives to
 * each (AT_RANDOM), and their address; 0: unknown. */
typedef struct nb_linux_program {
  uint64_t address;
  uint64_t random[2];
} nb_linux_program;

typedef struct nb_trace_target {
  int64_t id;
  int directory; /* /proc/<id>, open */
  bool is_64_bit;
  uint64_t entry; /* the address of an instruction in the process that enters the kernel */
  nb_linux_program program;
} nb_trace_target;

/* The bytes of an instruction that enters the kernel, as the process would use it. */
extern const unsigned char nb_trace_entry_64[];
extern const unsigned char nb_trace_entry_32[];
extern const uint32_t nb_trace_entry_64_size;
extern const uint32_t nb_trace_entry_32_size;

#endif
