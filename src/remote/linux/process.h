/* Shared by the Linux files for other processes. */
#ifndef NB_LINUX_REMOTE_H
#define NB_LINUX_REMOTE_H

#include "remote/linux/proc.h"
#include "remote/linux/trace.h"
#include "remote/port.h"

/* What a handle keeps, in its `reserved`, of the program that was noted. Everything is checked
 * before it is used again; where another program is noted all of it is forgotten. */
enum {
  NB_KEPT_PROGRAM = 0, /* three words: nb_linux_program */
  NB_KEPT_ENTRY = 3,   /* where it enters the kernel, 0: not known */
  NB_KEPT_FIRST = 4,   /* address of its first locator, 0: not known */
  NB_KEPT_DIALECT = 5, /* which that has while it is empty */
  NB_KEPT_OWNER = 6,   /* whose /proc/<id> was, when the locator was found: nb_linux_owner */
  NB_KEPT_VIEWED = 7,  /* address of the locator whose file is held open */
  NB_KEPT_DEVICE = 8,  /* of that file, as memory maps tell it */
  NB_KEPT_INODE = 9,
  NB_KEPT_FILE_USER = 10
};

/* Whose /proc/<id> is: the effective user and group, or root where the process is not dumpable.
 * The kernel makes a process that changes any of its users or groups not dumpable. False: it is
 * gone. */
bool nb_linux_owner(const nearbuf_process *process, uint64_t *owner);

/* Whether it still runs the program that was noted; false also where none was, or it is gone. */
bool nb_linux_runs_noted_program(const nearbuf_process *process);

/* Lets go of what is kept of its locators. */
void nb_linux_forget_locators(nearbuf_process *process);

/* The result of a failed system call about the process; its death explains every failure. */
nb_result nb_linux_result(const nearbuf_process *process, int error);

/* The first mapping of the process (null: of this one) for which `matches` is true; NOT_FOUND: none
 * is. */
nb_result nb_linux_find_mapping(const nearbuf_process *process,
                                bool (*matches)(const nb_remote_mapping *mapping,
                                                const void *context),
                                const void *context, nb_remote_mapping *mapping);

/* nb_trace_run for the process. */
nb_result nb_linux_run(nearbuf_process *process, nb_trace_script script, void *context);

#endif
