/* Linux: the files of locators in the directories of this process; see remote/port.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/posix/files.h"
#include "os/posix/posix.h"
#include "remote/linux/proc.h"
#include "remote/port.h"

typedef struct file_visit {
  int directory;
  nbuf_folder folder;
  nearbuf_file_visitor visit;
  void *context;
  bool is_cancelled;
} file_visit;

static nearbuf_file_state state_of(int directory, const char *name, int64_t process) {
  if (kill((pid_t)process, 0) == 0 || errno != ESRCH) {
    return NEARBUF_FILE_LIVE;
  }
  int file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  bool is_dead = file >= 0 && nbuf_file_is_dead(directory, name, file);
  if (file >= 0) {
    close(file);
  }
  return is_dead ? NEARBUF_FILE_STALE : NEARBUF_FILE_UNKNOWN;
}

static bool visit_file(const char *name, void *context) {
  file_visit *all = context;
  struct stat status;
  nearbuf_file file = {.process = nbuf_name_process(name)};
  size_t length = strlen(name);
  if (file.process < 0 || length >= sizeof file.name ||
      fstatat(all->directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return true;
  }
  memcpy(file.name, name, length + 1);
  file.is_later = nbuf_name_is_of_later(name);
  file.is_in_own_directory = all->folder == NBUF_FOLDER_OF_USER;
  file.user = status.st_uid;
  file.size_bytes = (uint64_t)status.st_size;
  file.state = state_of(all->directory, name, file.process);
  all->is_cancelled = all->visit(&file, all->context) < 0;
  return !all->is_cancelled;
}

/* OK also if there is no such directory. */
static nbuf_result visit_folder(file_visit *all) {
  nbuf_result result = nbuf_directory_open(all->folder, false, &all->directory);
  if (result.status != NEARBUF_OK) {
    return result.status == NEARBUF_NOT_FOUND ? nbuf_result_of(NEARBUF_OK) : result;
  }
  int error = nbuf_linux_visit(all->directory, visit_file, all);
  close(all->directory);
  if (all->is_cancelled) {
    return nbuf_result_of(NEARBUF_CANCELLED);
  }
  return error == 0 ? nbuf_result_of(NEARBUF_OK) : nbuf_result_system(NEARBUF_SYSTEM_ERROR, error);
}

/* If the shared directory belongs to another user, which is not a failure, it contains nothing of
 * ours. */
nbuf_result nbuf_remote_visit_files(nearbuf_file_visitor visit, void *context) {
  file_visit all = {.visit = visit, .context = context, .folder = NBUF_FOLDER_SHARED};
  nbuf_result result = visit_folder(&all);
  if (result.status == NEARBUF_OK || nbuf_directory_is_anothers(result)) {
    all.folder = NBUF_FOLDER_OF_USER;
    result = visit_folder(&all);
  }
  return result;
}

nbuf_result nbuf_remote_remove_file(const nearbuf_file *file) {
  int64_t process = nbuf_name_process(file->name);
  if (process < 0 || strchr(file->name, '/') != NULL) {
    return nbuf_result_of(NEARBUF_INVALID_ARGUMENT);
  }
  int directory = -1;
  nbuf_folder folder = file->is_in_own_directory != 0 ? NBUF_FOLDER_OF_USER : NBUF_FOLDER_SHARED;
  nbuf_result result = nbuf_directory_open(folder, false, &directory);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  int opened = openat(directory, file->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (opened < 0) {
    result = nbuf_result_system(errno == ENOENT ? NEARBUF_NOT_FOUND : NEARBUF_DENIED, errno);
  } else {
    bool is_absent = kill((pid_t)process, 0) != 0 && errno == ESRCH;
    /* The lock of a dead file is held from here until it is removed. */
    if (!is_absent || !nbuf_file_is_dead(directory, file->name, opened)) {
      result = nbuf_result_of(NEARBUF_BUSY);
    } else if (unlinkat(directory, file->name, 0) != 0) {
      result = nbuf_result_system(NEARBUF_DENIED, errno);
    }
    close(opened);
  }
  close(directory);
  return result;
}
