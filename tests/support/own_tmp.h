/* A /tmp of one's own. Tests whose subject is the shared directory must neither see nor touch what
 * others have there. */
#ifndef NEARBUF_OWN_TMP_H
#define NEARBUF_OWN_TMP_H

#include <limits.h>
#include <stdbool.h>

/* Gives the calling process, which must have one thread, a mount namespace of its own whose mounts
 * appear in no other one. An ordinary user gets a user namespace around it, and keeps its numbers.
 * False, with errno, where the user may not do that: without user namespaces, and as an ordinary
 * user in a chroot. */
bool unshare_mounts(void);

/* Gives the calling process, which must have one thread, an empty file system in memory on /tmp, in
 * a mount namespace of its own. False where the user may not do that: the test then works in the
 * machine's /tmp, in which only its own process's names may be touched. */
bool use_own_tmp(void);

/* The same, and whether the shared directory of the /tmp that is used can be used: where no /tmp of
 * its own can be had, it may be another user's. */
bool use_shared_directory(void);

/* The folder of /tmp that holds this very program, where the project was built there: its plug-ins
 * and programs must be found also when something is mounted on /tmp. */
typedef struct kept_folder {
  char path[PATH_MAX];
  int folder; /* open; -1: the project is elsewhere */
} kept_folder;

kept_folder open_own_folder(void);
bool put_own_folder_back(const kept_folder *kept);

#endif
