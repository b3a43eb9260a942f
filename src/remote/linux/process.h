/* Shared by the Linux files for other processes. */
#ifndef NB_LINUX_REMOTE_H
#define NB_LINUX_REMOTE_H

#include "remote/linux/proc.h"
#include "remote/linux/trace.h"
#include "remote/port.h"

/* The result of a failed system call about the process; its death explains every failure. */
nb_result nb_linux_result(const nearbuf_process *process, int error);

/* The first mapping of the process (null: of this one) for which `matches` is true; NOT_FOUND: none
 * is. */
nb_result nb_linux_find_mapping(const nearbuf_process *process,
                                bool (*matches)(const nb_remote_mapping *mapping,
                                                const void *context),
                                const void *context, nb_remote_mapping *mapping);

/* nb_trace_run for the process. */
nb_result nb_linux_run(const nearbuf_process *process, nb_trace_script script, void *context);

#endif
