/* Shared by the Linux files for other processes. */
#ifndef NBUF_LINUX_REMOTE_H
#define NBUF_LINUX_REMOTE_H

#include "remote/linux/proc.h"
#include "remote/linux/trace.h"
#include "remote/port.h"

/* What a handle keeps, in its `reserved`, of the program that was noted. Everything is checked
 * before it is used again; where another program is noted all of it is forgotten. */
enum {
  NBUF_KEPT_PROGRAM = 0, /* three words: nbuf_linux_program */
  NBUF_KEPT_ENTRY = 3,   /* where it enters the kernel, 0: not known */
  NBUF_KEPT_FIRST = 4,   /* address of its first locator, 0: not known */
  NBUF_KEPT_DIALECT = 5, /* which that has while it is empty */
  NBUF_KEPT_OWNER = 6,   /* whose /proc/<id> was, when the locator was found: nbuf_linux_owner */
  NBUF_KEPT_VIEWED = 7,  /* address of the locator whose file is held open */
  NBUF_KEPT_DEVICE = 8,  /* of that file, as memory maps tell it */
  NBUF_KEPT_INODE = 9,
  NBUF_KEPT_FILE_USER = 10
};

/* Whose /proc/<id> is: the effective user and group, or root where the process is not dumpable.
 * The kernel makes a process that changes any of its users or groups not dumpable. False: it is
 * gone. */
bool nbuf_linux_owner(const nearbuf_process *process, uint64_t *owner);

/* Whether it still runs the program that was noted; false also where none was, or it is gone. */
bool nbuf_linux_runs_noted_program(const nearbuf_process *process);

/* The memory of the process, as it was when this call noted its program; -1: it is not open. It is
 * read without the id, which may be another process's by now. */
int nbuf_linux_memory(const nearbuf_process *process);

/* Opens that memory, if it is not open, for writing and for the rest of the call: the process keeps
 * it. The result is as that of nbuf_remote_memory_open. */
nbuf_result nbuf_linux_hold_memory(nearbuf_process *process, intptr_t *memory);

/* Lets go of what is kept of its locators. */
void nbuf_linux_forget_locators(nearbuf_process *process);

/* The result of a failed system call about the process; its death explains every failure. */
nbuf_result nbuf_linux_result(const nearbuf_process *process, int error);

/* The first mapping of the process (null: of this one) for which `matches` is true; NOT_FOUND: none
 * is. */
nbuf_result nbuf_linux_find_mapping(const nearbuf_process *process,
                                    bool (*matches)(const nbuf_remote_mapping *mapping,
                                                    const void *context),
                                    const void *context, nbuf_remote_mapping *mapping);

/* The mapping of the process (null: of this one) at an address. */
nbuf_result nbuf_linux_mapping_at(const nearbuf_process *process, uint64_t address,
                                  nbuf_remote_mapping *mapping);

/* nbuf_trace_run for the process. */
nbuf_result nbuf_linux_run(nearbuf_process *process, nbuf_trace_script script, void *context);

#endif
