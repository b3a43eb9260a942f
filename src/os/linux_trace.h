/* Remote system calls: a thread of another process is stopped, makes system calls for us, and goes
 * on as if nothing had happened. */
#ifndef NB_LINUX_TRACE_H
#define NB_LINUX_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "../outcome.h"

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

typedef struct nb_trace_target {
  int64_t id;
  int directory; /* /proc/<id>, open */
  bool is_64_bit;
  uint64_t entry; /* where the process has an instruction that enters the kernel */
} nb_trace_target;

typedef struct nb_trace nb_trace;

/* Makes one call in the stopped thread. False: the thread is gone, or may not be touched any more.
 * `*result` is what the kernel answered, -errno included. An mmap's offset is always 0. */
bool nb_trace_syscall(nb_trace *trace, nb_trace_call call, const uint64_t arguments[6],
                      int64_t *result);

/* What is done while the thread is stopped. It runs in a helper process that shares our memory:
 * nothing but system calls and stores. */
typedef nb_outcome (*nb_trace_script)(nb_trace *trace, void *context);

/* Stops a thread of the process, runs the script, and lets the thread go on. The outcome is the
 * script's, or why it did not run: DENIED, NOT_FOUND, BUSY (the thread did not stop in time),
 * UNSUPPORTED (this processor). */
nb_outcome nb_trace_run(const nb_trace_target *target, nb_trace_script script, void *context);

/* The bytes of an instruction that enters the kernel, as the process would use it. */
extern const unsigned char nb_trace_entry_64[];
extern const unsigned char nb_trace_entry_32[];
extern const uint32_t nb_trace_entry_64_size;
extern const uint32_t nb_trace_entry_32_size;

#endif
