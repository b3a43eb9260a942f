/* Linux: the user, the rights and the names of another process.
 *
 * They decide under which names and in which directories the files of its locators are, and with
 * which rights files are made for it. Its directories are reached through /proc/<id>/root, which
 * leads into the mount namespace and the root of the process. */
#ifndef NBUF_LINUX_IDENTITY_H
#define NBUF_LINUX_IDENTITY_H

#include <nearbuf/process.h>

#include "os/posix/files.h"
#include "remote/linux/rights.h"

typedef struct nbuf_identity {
  int64_t own_id;
  nbuf_user user; /* the owner of its new files: as it calls its user, and as we see it */
  uint64_t group;
  nbuf_rights rights; /* the rights with which its files are made */
  bool is_privileged; /* it must not trust what its user's other programs can write */
  bool is_elsewhere;  /* in an inner namespace of process ids */
  bool has_namespace;
  uint64_t namespace;
} nbuf_identity;

nbuf_result nbuf_identify(const nearbuf_process *process, nbuf_identity *identity);

/* The names of its first locator, the usual one first; returns their number. */
int nbuf_identity_names(const nbuf_identity *identity, nbuf_name names[2]);

/* Its root directory as a path descriptor; -1 and errno. */
int nbuf_identity_open_root(const nearbuf_process *process);

/* A directory of its locators' files as the process sees it; -1 on failure. A missing one is made
 * with the rights of the process if `make`. */
nbuf_result nbuf_identity_open_directory(const nearbuf_process *process,
                                         const nbuf_identity *identity, nbuf_folder folder,
                                         bool make, int *directory);

#endif
