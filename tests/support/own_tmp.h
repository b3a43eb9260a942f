/* A /tmp of one's own. Tests whose subject is the shared directory must neither see nor touch what
 * others have there. */
#ifndef NEARBUF_OWN_TMP_H
#define NEARBUF_OWN_TMP_H

#include <stdbool.h>

/* Gives the calling process, which must have one thread, an empty file system in memory on /tmp, in
 * a mount namespace of its own. False where the user may not do that: the test then works in the
 * machine's /tmp, in which only its own process's names may be touched. */
bool use_own_tmp(void);

#endif
