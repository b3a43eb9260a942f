/* A private /tmp. Tests about the shared directory must neither see nor touch the files of other
 * processes there. */
#ifndef NEARBUF_OWN_TMP_H
#define NEARBUF_OWN_TMP_H

#include <limits.h>
#include <stdbool.h>

/* Gives the calling process, which must have one thread, its own mount namespace, whose mounts
 * appear in no other one. An ordinary user also gets a user namespace, and keeps its ids. False,
 * with errno, if the user is not allowed to: without user namespaces, and as an ordinary user in a
 * chroot. */
bool unshare_mounts(void);

/* Gives the calling process, which must have one thread, an empty file system in memory on /tmp, in
 * its own mount namespace. False if the user is not allowed to: the test then works in the
 * machine's /tmp, in which it may touch only the names of its own process. */
bool use_own_tmp(void);

/* The same, and whether the shared directory of the /tmp that is used can be used: where no /tmp of
 * its own can be had, it may be another user's. */
bool use_shared_directory(void);

/* The folder below /tmp that holds this program, if the project was built there: its plug-ins and
 * programs must be found also when something is mounted on /tmp. */
typedef struct kept_folder {
  char path[PATH_MAX];
  int folder; /* open; -1: the project is elsewhere */
} kept_folder;

kept_folder open_own_folder(void);
bool put_own_folder_back(const kept_folder *kept);

#endif
