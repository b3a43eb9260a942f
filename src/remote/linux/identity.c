/* Linux: the user, the rights and the names of another process; see identity.h. */
#include "remote/linux/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/posix/posix.h"
#include "remote/linux/process.h"

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

/* ---- User, rights and names ------------------------------------------------------------------ */

typedef enum user_namespace { NAMESPACE_OURS, NAMESPACE_ANOTHER, NAMESPACE_UNKNOWN } user_namespace;

/* In which user namespace it is, as far as it tells. */
static user_namespace user_namespace_of(const nearbuf_process *process) {
  struct stat theirs;
  struct stat ours;
  if (fstatat(nbuf_linux_directory(process), "ns/user", &theirs, 0) != 0 ||
      stat("/proc/self/ns/user", &ours) != 0) {
    return NAMESPACE_UNKNOWN;
  }
  bool is_ours = theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
  return is_ours ? NAMESPACE_OURS : NAMESPACE_ANOTHER;
}

/* Its capabilities, as far as they count here. */
static uint64_t capabilities_of(user_namespace which, const char *status) {
  return which == NAMESPACE_OURS ? nbuf_linux_number(nbuf_linux_field(status, "CapEff"), 0, 16) : 0;
}

/* By which id the process knows a user that we know by another one. Lines of a map hold the first
 * id inside, the first one outside, and how many they are. */
static uint64_t user_inside(const nearbuf_process *process, user_namespace which, uint64_t user) {
  char map[4096];
  if (which != NAMESPACE_ANOTHER ||
      nbuf_linux_read_text(process, "uid_map", map, sizeof map) != 0) {
    return user;
  }
  for (const char *line = map; line != NULL && *line != '\0';) {
    uint64_t outside = nbuf_linux_number(line, 1, 10);
    if (user >= outside && user - outside < nbuf_linux_number(line, 2, 10)) {
      return nbuf_linux_number(line, 0, 10) + (user - outside);
    }
    line = strchr(line, '\n');
    line = line == NULL ? NULL : line + 1;
  }
  return user;
}

/* As nbuf_posix_is_privileged, as far as it can be determined from here: the entry of a process
 * that is not dumpable belongs to root, and so does that of a first thread that has ended, which
 * has no memory. */
static bool is_privileged(const nearbuf_process *process, const char *status, uint64_t user) {
  const char *users = nbuf_linux_field(status, "Uid");
  const char *groups = nbuf_linux_field(status, "Gid");
  for (uint32_t i = 1; i < 4; i++) {
    if (nbuf_linux_number(users, i, 10) != nbuf_linux_number(users, 0, 10) ||
        nbuf_linux_number(groups, i, 10) != nbuf_linux_number(groups, 0, 10)) {
      return true;
    }
  }
  struct stat entry;
  return nbuf_linux_field(status, "VmSize") != NULL &&
         fstatat(nbuf_linux_directory(process), "maps", &entry, 0) == 0 && entry.st_uid != user;
}

static nbuf_result identify_by_status(const nearbuf_process *process, nbuf_identity *identity,
                                      char status[NBUF_LINUX_STATUS_SIZE]) {
  int error = nbuf_linux_read_text(process, "status", status, NBUF_LINUX_STATUS_SIZE);
  if (error != 0) {
    return nbuf_linux_result(process, error);
  }
  uint32_t depth;
  *identity = (nbuf_identity){.own_id = nbuf_linux_own_id(status, &depth)};
  identity->is_elsewhere = depth > 1;
  /* Of the file system. */
  identity->user.owner = nbuf_linux_number(nbuf_linux_field(status, "Uid"), 3, 10);
  identity->group = nbuf_linux_number(nbuf_linux_field(status, "Gid"), 3, 10);
  return nbuf_result_of(NEARBUF_OK);
}

nbuf_result nbuf_identify(const nearbuf_process *process, nbuf_identity *identity) {
  char status[NBUF_LINUX_STATUS_SIZE];
  return identify_by_status(process, identity, status);
}

nbuf_result nbuf_identify_fully(const nearbuf_process *process, nbuf_identity *identity) {
  char status[NBUF_LINUX_STATUS_SIZE];
  nbuf_result result = identify_by_status(process, identity, status);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  user_namespace which = user_namespace_of(process);
  identity->is_full = true;
  identity->user.named = user_inside(process, which, identity->user.owner);
  identity->is_privileged = is_privileged(process, status, identity->user.owner);
  identity->may_refuse = nbuf_linux_number(nbuf_linux_field(status, "TracerPid"), 0, 10) != 0 ||
                         nbuf_linux_number(nbuf_linux_field(status, "Seccomp"), 0, 10) != 0;
  identity->rights =
      (nbuf_rights){identity->user.owner, identity->group, capabilities_of(which, status), false};
  identity->rights.are_ours = nbuf_rights_are_ours(&identity->rights);
  return nbuf_result_of(NEARBUF_OK);
}

nbuf_user nbuf_identity_user(const nearbuf_process *process, const nbuf_identity *identity) {
  nbuf_user user = identity->user;
  if (!identity->is_full) {
    user.named = user_inside(process, user_namespace_of(process), user.owner);
  }
  return user;
}

bool nbuf_identity_name(const nearbuf_process *process, const nbuf_identity *identity, int index,
                        nbuf_name *name) {
  if (index == 0) {
    *name = nbuf_name_of_process(identity->own_id);
    return true;
  }
  if (index > 1) {
    return false;
  }
  struct stat status;
  bool is_told = fstatat(nbuf_linux_directory(process), "ns/pid", &status, 0) == 0;
  uint64_t namespace = is_told ? status.st_ino : 0;
  if (!is_told && (identity->is_elsewhere || !nbuf_posix_namespace(&namespace))) {
    return false; /* hidden; if it is of our own user, it is in ours */
  }
  *name = nbuf_name_in_namespace_number(identity->own_id, namespace);
  return true;
}

/* ---- Directories ----------------------------------------------------------------------------- */

/* struct open_how; linux/openat2.h is missing from older headers. */
typedef struct open_how_2 {
  uint64_t flags;
  uint64_t mode;
  uint64_t resolve;
} open_how_2;

enum {
  RESOLVE_INSIDE = 0x10 | 0x02,        /* RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS */
  RESOLVE_NOTHING = 0x08 | 0x04 | 0x02 /* RESOLVE_BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS */
};

int nbuf_identity_open_root(const nearbuf_process *process) {
  return nbuf_linux_open(process, "root", O_PATH | O_DIRECTORY);
}

static int open_resolved(int root, const char *path, uint64_t resolve) {
  open_how_2 how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = resolve};
  return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

static int open_temporary(int root, uint64_t resolve) {
  int temporary = open_resolved(root, "tmp", resolve);
  if (temporary < 0 && errno == ENOSYS) {
    temporary = openat(root, "tmp", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  }
  return temporary;
}

static nbuf_result open_folder(int temporary, nbuf_folder folder, nbuf_user user, bool make,
                               int *directory) {
  nbuf_result result = nbuf_directory_open_below(temporary, folder, user, make, directory);
  close(temporary);
  return result;
}

/* One that exists and to which no link leads: one system call for up to three folders. */
static int open_at_once(int root, nbuf_folder folder, nbuf_user user) {
  const nbuf_name path = nbuf_directory_path(folder, user);
  return open_resolved(root, path.text + 1, RESOLVE_NOTHING);
}

/* The process may have put links to other places there: no link is followed. */
nbuf_result nbuf_identity_make_directory(int root, nbuf_folder folder, nbuf_user user,
                                         int *directory) {
  *directory = folder == NBUF_FOLDER_SHARED ? open_at_once(root, folder, user) : -1;
  if (*directory >= 0) {
    return nbuf_result_of(NEARBUF_OK);
  }
  int temporary = open_temporary(root, RESOLVE_NOTHING);
  return temporary < 0
             ? nbuf_result_system(
                   nbuf_posix_is_lack(errno) ? NEARBUF_OUT_OF_MEMORY : NEARBUF_SYSTEM_ERROR, errno)
             : open_folder(temporary, folder, user, true, directory);
}

/* Links on the path to its /tmp are resolved as for the process. */
static nbuf_result open_below_root(const nearbuf_process *process, int root, nbuf_folder folder,
                                   nbuf_user user, int *directory) {
  *directory = open_at_once(root, folder, user);
  if (*directory < 0 && errno == ENOENT) {
    return nbuf_result_system(NEARBUF_NOT_FOUND, ENOENT);
  }
  if (*directory >= 0 && folder == NBUF_FOLDER_SHARED) {
    return nbuf_result_of(NEARBUF_OK);
  }
  if (*directory >= 0) {
    close(*directory); /* that of a user counts only if the folder above it keeps it safe */
    *directory = -1;
  }
  int temporary = open_temporary(root, RESOLVE_INSIDE);
  return temporary < 0 ? nbuf_linux_result(process, errno)
                       : open_folder(temporary, folder, user, false, directory);
}

/* A directory of its locators' files as the process sees it. */
nbuf_result nbuf_identity_open_directory(const nearbuf_process *process,
                                         const nbuf_identity *identity, nbuf_folder folder,
                                         int *directory) {
  *directory = -1;
  int root = nbuf_identity_open_root(process);
  if (root < 0) {
    return nbuf_linux_result(process, errno);
  }
  /* Only the folder of a user has its name. */
  nbuf_user user =
      folder == NBUF_FOLDER_OF_USER ? nbuf_identity_user(process, identity) : identity->user;
  nbuf_result result = open_below_root(process, root, folder, user, directory);
  close(root);
  return result;
}
