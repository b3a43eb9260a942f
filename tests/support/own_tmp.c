/* A /tmp of one's own; see own_tmp.h. */
#include "own_tmp.h"

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

/* Who is not root may mount in a user namespace, where the system allows those. */
static bool unshare_as_user(void) {
  char map[64];
  (void)snprintf(map, sizeof map, "%u %u 1", (unsigned)geteuid(), (unsigned)geteuid());
  return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_text("/proc/self/uid_map", map);
}

kept_folder open_own_folder(void) {
  kept_folder kept = {"", -1};
  ssize_t length = readlink("/proc/self/exe", kept.path, sizeof kept.path - 1);
  if (length > 0 && strncmp(kept.path, "/tmp/", 5) == 0) {
    kept.path[length] = '\0';
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
  /* Private first: else the mount would appear in the namespace this one was copied from. */
  if ((unshare(CLONE_NEWNS) != 0 && !unshare_as_user()) ||
      mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
    return false;
  }
  kept_folder kept = open_own_folder(); /* in this namespace: those of another cannot be bound */
  return mount("nearbuf", "/tmp", "tmpfs", 0, "mode=1777,size=256m") == 0 &&
         put_own_folder_back(&kept);
}
