/* The beginning and the end of every call with another process. */
#ifndef NBUF_REMOTE_PROCESS_H
#define NBUF_REMOTE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include <nearbuf/process.h>

#include "base/result.h"
#include "os/os.h"

bool nbuf_process_is_open(const nearbuf_process *process);

/* The end of every call with a process. Its death explains every failure of the system. */
nearbuf_status nbuf_process_call_end(nearbuf_process *process, nbuf_result result,
                                     nbuf_os_call call);

/* The result of work in the program that was recorded (nbuf_remote_note_program). If another one
 * has replaced it, or is just replacing it, that explains every failure: its threads end, and what
 * was learned is about the previous one. */
nbuf_result nbuf_process_explain(const nearbuf_process *process, nbuf_result result);

/* The width of its addresses, in bytes. */
uint32_t nbuf_process_width(const nearbuf_process *process);

#endif
