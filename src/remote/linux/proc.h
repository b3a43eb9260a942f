/* Reading /proc/<id>. Sources: proc(5), and the kernel's fs/proc. */
#ifndef NBUF_LINUX_PROC_H
#define NBUF_LINUX_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nearbuf/process.h>

/* Where the descriptors of an open process are in its `handles`, plus one each, so that a zeroed
 * structure holds none. */
enum {
  NBUF_LINUX_PIDFD = 0,
  NBUF_LINUX_DIRECTORY = 1,
  NBUF_LINUX_LOCATOR_FILE = 2,
  NBUF_LINUX_MEMORY = 3 /* for the rest of a call */
};

/* Enough for what nbuf_linux_read_text keeps of /proc/<id>/status: some 60 lines, of which ten are
 * long. The whole is longer if a process is in hundreds of groups (65,536 at most). */
enum { NBUF_LINUX_STATUS_SIZE = 8192 };

/* The descriptors of an open process: a pidfd, or -1 where the kernel is too old, and the directory
 * /proc/<id>. */
int nbuf_linux_pidfd(const nearbuf_process *process);
int nbuf_linux_directory(const nearbuf_process *process);

/* Opens an entry of it, or of our own if `process` is null; -1 and errno. If its first thread has
 * ended, the entry of another one. */
int nbuf_linux_open(const nearbuf_process *process, const char *name, int flags);

/* Opens an entry of another thread: if the first one has ended, its own entries of what all threads
 * share, such as their memory, lead nowhere, and belong to root. -1: there is no other thread. */
int nbuf_linux_open_of_another_thread(const nearbuf_process *process, const char *name, int flags);

/* Reads the beginning of every line of an entry, as far as that fits, and appends a zero. The
 * longest line that is read to its end lists the ids of a process in 33 namespaces. 0 or an errno
 * value. */
int nbuf_linux_read_text(const nearbuf_process *process, const char *name, char *text, size_t size);
int nbuf_linux_read_lines(int file, char *text, size_t size);

/* The first fields of /proc/<id>/stat, or of a thread's. 0 or an errno value. */
typedef struct nbuf_linux_stat {
  char state;
  uint32_t flags; /* PF_… of the kernel's task */
  int32_t threads;
  uint32_t signals;   /* signals pending for this thread alone, of the first 31 */
  uint32_t processor; /* the processor that it ran on last */
} nbuf_linux_stat;
int nbuf_linux_read_stat(int directory, const char *path, nbuf_linux_stat *stat);

/* The text behind the colon of "field:", or null. */
const char *nbuf_linux_field(const char *text, const char *field);

/* The number with this index in a line of numbers; 0: there is none. */
uint64_t nbuf_linux_number(const char *text, uint32_t index, uint32_t base);

/* The id by which the process knows itself, from its status; `*depth` is the number of namespaces,
 * from ours inwards, in which it has an id. */
int64_t nbuf_linux_own_id(const char *status, uint32_t *depth);

/* Calls `visit` for all names of a directory until it returns false. 0 or an errno value. */
int nbuf_linux_visit(int directory, bool (*visit)(const char *name, void *context), void *context);

#endif
