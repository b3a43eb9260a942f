/* Remote system calls: a thread of another process is stopped, makes system calls for us, and goes
 * on as if nothing had happened. */
#ifndef NB_LINUX_TRACE_H
#define NB_LINUX_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"

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

/* What tells one program of a process from the next: the random bytes that the kernel gives to each
 * (AT_RANDOM), and where they are; 0: that is not known. */
typedef struct nb_linux_program {
  uint64_t address;
  uint64_t random[2];
} nb_linux_program;

typedef struct nb_trace_target {
  int64_t id;
  int directory; /* /proc/<id>, open */
  bool is_64_bit;
  uint64_t entry; /* where the process has an instruction that enters the kernel */
  nb_linux_program program;
} nb_trace_target;

typedef struct nb_trace nb_trace;

/* Makes one call in the stopped thread. False: it was not made, nor will a later one be.
 * `*returned` is the kernel's, -errno included. An mmap's offset is always 0. */
bool nb_trace_syscall(nb_trace *trace, nb_trace_call call, const uint64_t arguments[6],
                      int64_t *returned);

/* What is done while the thread is stopped. It runs in a helper process that shares our memory:
 * nothing but system calls and stores. */
typedef nb_result (*nb_trace_script)(nb_trace *trace, void *context);

/* Stops a thread of the process, runs the script, and lets the thread go on. The result is the
 * script's, or why it did not run or not come to its end: DENIED, NOT_FOUND, UNSUPPORTED (this
 * processor), BUSY: no thread stopped in time, or one did not come back from a call in time, or the
 * process runs another program by now.
 *
 * It lasts 6 seconds at most where no thread stops, 12 more where a call does not come back; usually less
 * than a tenth of a millisecond. */
nb_result nb_trace_run(const nb_trace_target *target, nb_trace_script script, void *context);

/* The bytes of an instruction that enters the kernel, as the process would use it. */
extern const unsigned char nb_trace_entry_64[];
extern const unsigned char nb_trace_entry_32[];
extern const uint32_t nb_trace_entry_64_size;
extern const uint32_t nb_trace_entry_32_size;

#endif
