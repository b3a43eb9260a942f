/* A private /tmp; see own_tmp.h. */
#include "own_tmp.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static bool write_text(const char *path, const char *text) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  bool is_written = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);
  if (file >= 0) {
    close(file);
  }
  return is_written;
}

/* A user namespace in which this user and this group keep their ids. Without the group's map no
 * file could be created there: EOVERFLOW. An ordinary user may write that map only after giving up
 * setgroups. */
static bool unshare_as_user(void) {
  char user[64];
  char group[64];
  (void)snprintf(user, sizeof user, "%u %u 1", (unsigned)geteuid(), (unsigned)geteuid());
  (void)snprintf(group, sizeof group, "%u %u 1", (unsigned)getegid(), (unsigned)getegid());
  return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_text("/proc/self/uid_map", user) &&
         write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/gid_map", group);
}

static bool make_private(void) {
  return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* In a plain chroot "/" is not a mount point and cannot be made private. Joining the current
 * namespace leads to its own root, where that is possible for everything. Then back. */
static bool make_private_outside_chroot(void) {
  int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  int folder = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  int mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  bool is_outside = root >= 0 && folder >= 0 && mounts >= 0 && setns(mounts, CLONE_NEWNS) == 0;
  bool is_private = is_outside && make_private();
  bool is_back = is_outside && fchdir(root) == 0 && chroot(".") == 0 && fchdir(folder) == 0;
  close(mounts);
  close(folder);
  close(root);
  return is_private && is_back;
}

bool unshare_mounts(void) {
  if (unshare(CLONE_NEWNS) != 0 && !unshare_as_user()) {
    return false;
  }
  return make_private() || (errno == EINVAL && make_private_outside_chroot());
}

/* Read before other namespaces are created: in those it is the path from the machine's root, not
 * from a chroot's. */
static char program[PATH_MAX];

__attribute__((constructor)) static void remember_program(void) {
  (void)!readlink("/proc/self/exe", program, sizeof program - 1);
}

kept_folder open_own_folder(void) {
  kept_folder kept = {"", -1};
  if (strncmp(program, "/tmp/", 5) == 0) {
    memcpy(kept.path, program, sizeof kept.path);
    char *end = strchr(kept.path + 5, '/');
    if (end != NULL) {
      *end = '\0';
      kept.folder = open(kept.path, O_PATH | O_CLOEXEC);
    }
  }
  return kept;
}

bool put_own_folder_back(const kept_folder *kept) {
  if (kept->folder < 0) {
    return true;
  }
  char opened[64];
  (void)snprintf(opened, sizeof opened, "/proc/self/fd/%d", kept->folder);
  bool is_back =
      mkdir(kept->path, 0755) == 0 && mount(opened, kept->path, NULL, MS_BIND | MS_REC, NULL) == 0;
  close(kept->folder);
  return is_back;
}

bool use_own_tmp(void) {
  if (!unshare_mounts()) {
    return false;
  }
  kept_folder kept = open_own_folder(); /* in this namespace: those of another cannot be bound */
  return mount("nearbuf", "/tmp", "tmpfs", 0, "mode=1777,size=256m") == 0 &&
         put_own_folder_back(&kept);
}

bool use_shared_directory(void) {
  static const char outer[] = "/tmp/.reloaded";
  static const char inner[] = "/tmp/.reloaded/memory.buffers";
  (void)use_own_tmp();
  if (access(inner, F_OK) == 0) {
    return access(inner, W_OK | X_OK) == 0;
  }
  return errno == ENOENT && (access(outer, W_OK | X_OK) == 0 || errno == ENOENT);
}
