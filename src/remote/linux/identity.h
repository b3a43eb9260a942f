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
  bool is_elsewhere; /* in an inner namespace of process ids */
  /* From here on only by nbuf_identify_fully, which sets the user's name, too. */
  bool is_full;
  bool is_privileged; /* it must not trust what its user's other programs can write */
  bool may_refuse;    /* to be stopped: it is traced, or its system calls are filtered */
  nbuf_rights rights; /* the rights with which its files are made */
} nbuf_identity;

/* What its status tells, which is enough to find its files; `user.named` is not known then. */
nbuf_result nbuf_identify(const nearbuf_process *process, nbuf_identity *identity);

/* All of it, which is needed to make files for it. */
nbuf_result nbuf_identify_fully(const nearbuf_process *process, nbuf_identity *identity);

/* Its user, as it is called by itself, too. */
nbuf_user nbuf_identity_user(const nearbuf_process *process, const nbuf_identity *identity);

/* The names of its first locator: 0, the usual one, and 1; false: it has no such. */
bool nbuf_identity_name(const nearbuf_process *process, const nbuf_identity *identity, int index,
                        nbuf_name *name);

/* Its root directory as a path descriptor; -1 and errno. */
int nbuf_identity_open_root(const nearbuf_process *process);

/* A directory of its locators' files as the process sees it; -1 on failure. */
nbuf_result nbuf_identity_open_directory(const nearbuf_process *process,
                                         const nbuf_identity *identity, nbuf_folder folder,
                                         int *directory);

/* The same below its root directory, and a missing one is made: to be run with the rights of the
 * process (nbuf_rights_run). */
nbuf_result nbuf_identity_make_directory(int root, nbuf_folder folder, nbuf_user user,
                                         int *directory);

#endif
