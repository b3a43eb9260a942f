/* Remote system calls: a thread of another process is stopped, makes system calls for us, and goes
 * on as if nothing had happened. */
#ifndef NBUF_LINUX_TRACE_H
#define NBUF_LINUX_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "remote/linux/target.h"

typedef struct nbuf_trace nbuf_trace;

/* Makes one call in the stopped thread. False: it was not made, and no later one will be.
 * `*returned` is the kernel's result, -errno included; null: it does not matter. The offset of an
 * mmap is always 0. */
bool nbuf_trace_syscall(nbuf_trace *trace, nbuf_trace_call call, const uint64_t arguments[6],
                        int64_t *returned);

/* The work while the thread is stopped. It runs in a helper process that shares our memory: only
 * system calls and stores. */
typedef nbuf_result (*nbuf_trace_script)(nbuf_trace *trace, void *context);

/* Stops a thread of the process, runs the script, and lets the thread go on. Returns the script's
 * result, or why it did not run or not finish: DENIED, NOT_FOUND, UNSUPPORTED (this processor),
 * BUSY: no thread stopped in time, or one did not return from a call in time, or the process runs
 * another program by now.
 *
 * It takes at most 6 seconds if no thread stops, 12 more if a call does not return; usually less
 * than a tenth of a millisecond. */
nbuf_result nbuf_trace_run(const nbuf_trace_target *target, nbuf_trace_script script,
                           void *context);

#endif
