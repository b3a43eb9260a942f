/* What every call with another process begins and ends with. */
#ifndef NB_REMOTE_PROCESS_H
#define NB_REMOTE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include <nearbuf/process.h>

#include "base/result.h"
#include "os/os.h"

bool nb_process_is_open(const nearbuf_process *process);

/* The end of every call with a process. Its death explains every failure of the system's. */
nearbuf_status nb_process_call_end(nearbuf_process *process, nb_result result, nb_os_call call);

/* The result of work in the program that was noted (nb_remote_note_program). Where another one has
 * taken its place, or just takes it, that explains every failure: threads vanish under our hands,
 * and what was learned is of the one before. */
nb_result nb_process_explain(const nearbuf_process *process, nb_result result);

/* Of its addresses, in bytes. */
uint32_t nb_process_width(const nearbuf_process *process);

#endif
