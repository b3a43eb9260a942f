/* What the Linux files for other processes share. */
#ifndef NB_LINUX_REMOTE_H
#define NB_LINUX_REMOTE_H

#include "remote/linux/trace.h"
#include "remote/port.h"

/* Enough for what nb_linux_read_text keeps of /proc/<id>/status: some 60 lines, of which ten are long.
 * The whole is longer where a process is in hundreds of groups (65,536 at most). */
enum { NB_LINUX_STATUS_SIZE = 8192 };

/* The open directory /proc/<id>. */
int nb_linux_directory(const nearbuf_process *process);

/* Opens an entry of it, or of our own where `process` is null; -1 and errno. Where its first thread has
 * ended, the entry of another one. */
int nb_linux_open(const nearbuf_process *process, const char *name, int flags);

/* The result of a failed system call about the process; its death explains every failure. */
nb_result nb_linux_result(const nearbuf_process *process, int error);

/* Reads the beginning of every line of an entry, as far as that fits, and ends it with a zero. The
 * longest line that is read to its end lists the ids of a process in 33 namespaces. 0 or an errno
 * value. */
int nb_linux_read_text(const nearbuf_process *process, const char *name, char *text, size_t size);
int nb_linux_read_lines(int file, char *text, size_t size);

/* What /proc/<id>/stat, or that of a thread, begins with. 0 or an errno value. */
typedef struct nb_linux_stat {
  char state;
  uint32_t flags; /* PF_… of the kernel's task */
  int32_t threads;
  uint32_t signals;   /* that wait for this thread alone, of the first 31 */
  uint32_t processor; /* that it ran on last */
} nb_linux_stat;
int nb_linux_read_stat(int directory, const char *path, nb_linux_stat *stat);

/* Behind the colon of "field:" in such a text, or null. */
const char *nb_linux_field(const char *text, const char *field);

/* The number with this index in a line of numbers; 0 where there is none. */
uint64_t nb_linux_number(const char *text, uint32_t index, uint32_t base);

/* By which id the process knows itself, from its status; `*depth`: in so many namespaces, from ours
 * inwards, it has one. */
int64_t nb_linux_own_id(const char *status, uint32_t *depth);

/* The first mapping of the process (null: of ourselves) that is the one; NOT_FOUND: none is. */
nb_result nb_linux_find_mapping(const nearbuf_process *process,
                                bool (*matches)(const nb_remote_mapping *mapping,
                                                const void *context),
                                const void *context, nb_remote_mapping *mapping);

/* Calls `visit` for all names of a directory until it answers false. 0 or an errno value. */
int nb_linux_visit(int directory, bool (*visit)(const char *name, void *context), void *context);

/* nb_trace_run for the process. */
nb_result nb_linux_run(const nearbuf_process *process, nb_trace_script script, void *context);

#endif
