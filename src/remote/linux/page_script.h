/* The system calls by which another process maps the file of a locator, and what they need. */
#ifndef NBUF_LINUX_PAGE_SCRIPT_H
#define NBUF_LINUX_PAGE_SCRIPT_H

#include "os/posix/files.h"
#include "remote/linux/trace.h"
#include "remote/port.h"

/* The file, and how far the process is. */
typedef struct nbuf_page_call {
  char path[2 * sizeof(nbuf_name)]; /* as the process sees the file */
  uint64_t memory;                  /* zeroed memory of the process, in which the path may lie; */
  intptr_t open_memory;             /* what that is written through (port.h): never the id, which
                                       is the next program's where a thread replaces this one */
  uint64_t address;                 /* out: where the file is mapped; 0: it is not */
  nbuf_result of_folder;            /* out: the failure, if it concerns the directory */
  nbuf_result result;               /* of a call that was made together with the memory */
} nbuf_page_call;

/* What a draft begins with (port.h). No path: it is not begun. */
static inline nbuf_page_call *nbuf_page_call_of(nbuf_remote_draft *draft) {
  return (nbuf_page_call *)(void *)draft->bytes;
}

/* Makes a locator as posix/files.c does in its own process: open, map, lock, close; the mapping
 * keeps the lock. It is kept out of children. The memory is zeroed again. BUSY: the process
 * unmapped its memory, or a clean-up removed the file before it was locked. */
nbuf_result nbuf_page_script(nbuf_trace *trace, nbuf_page_call *call);

#endif
