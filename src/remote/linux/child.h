/* Waiting for a helper process that was made by clone without a signal for its end: the host
 * program must not learn of it, and wait4 finds such a child only by __WCLONE. */
#ifndef NBUF_CHILD_H
#define NBUF_CHILD_H

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* `*status` as wait4 stores it; may be null. */
static inline void nbuf_child_wait(int process, int *status) {
  const long without_signal = (long)0x80000000UL; /* __WCLONE */
  while (syscall(SYS_wait4, (long)process, status, without_signal, 0L) < 0 && errno == EINTR) {
  }
}

#endif
