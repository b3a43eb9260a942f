/* The files that contain locators on POSIX systems; see posix/files.h. */
#include "os/posix/files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "os/os.h"
#include "os/posix/posix.h"

/* ---- Names ----------------------------------------------------------------------------------- */

static void append_text(nbuf_name *name, const char *text) {
  size_t length = strlen(name->text);
  size_t more = strlen(text);
  if (length + more < sizeof name->text) {
    memcpy(name->text + length, text, more + 1);
  }
}

static void append_number(nbuf_name *name, uint64_t number, uint64_t base) {
  char digits[24];
  size_t at = sizeof digits - 1;
  digits[at] = '\0';
  do {
    digits[--at] = "0123456789abcdef"[number % base];
    number /= base;
  } while (number != 0);
  append_text(name, &digits[at]);
}

#define LATER_SUFFIX ", later "

nbuf_name nbuf_name_of_process(int64_t process) {
  nbuf_name name = {NBUF_NAME_PREFIX};
  append_number(&name, (uint64_t)process, 10);
  return name;
}

nbuf_name nbuf_name_in_namespace_number(int64_t process, uint64_t number) {
  nbuf_name name = nbuf_name_of_process(process);
  append_text(&name, ", NS ");
  append_number(&name, number, 10);
  return name;
}

bool nbuf_name_in_namespace(int64_t process, nbuf_name *name) {
  uint64_t number;
  if (!nbuf_posix_namespace(&number)) {
    return false;
  }
  *name = nbuf_name_in_namespace_number(process, number);
  return true;
}

nbuf_name nbuf_name_of_later(const nbuf_name *first, uint32_t number) {
  nbuf_name name = *first;
  append_text(&name, LATER_SUFFIX);
  append_number(&name, number, 16);
  return name;
}

bool nbuf_name_is_of_later(const char *name) {
  return strstr(name, LATER_SUFFIX) != NULL;
}

static nbuf_name temporary_name(const char *prefix, const char *of) {
  nbuf_name name = {""};
  append_text(&name, prefix);
  append_text(&name, of);
  append_text(&name, ".");
  append_number(&name, nbuf_posix_random(), 16);
  return name;
}

nbuf_name nbuf_name_temporary(int64_t process) {
  return temporary_name("", nbuf_name_of_process(process).text);
}

static const char *skip_digits(const char *text) {
  while (*text >= '0' && *text <= '9') {
    text++;
  }
  return text;
}

bool nbuf_name_is_of_process(const char *name, int64_t process) {
  nbuf_name own = nbuf_name_of_process(process);
  size_t length = strlen(own.text);
  if (strncmp(name, own.text, length) != 0) {
    return false;
  }
  const char *at = name + length;
  if (strncmp(at, ", NS ", 5) == 0) {
    at = skip_digits(at + 5);
  }
  return *at == '\0' || strcmp(at, " (deleted)") == 0;
}

int64_t nbuf_name_process(const char *name) {
  size_t length = sizeof NBUF_NAME_PREFIX - 1;
  if (strncmp(name, NBUF_NAME_PREFIX, length) != 0) {
    return -1;
  }
  const char *digits = name + length;
  const char *end = skip_digits(digits);
  bool is_ours = *end == '\0' || *end == '.' || strncmp(end, ", ", 2) == 0;
  if (end == digits || end - digits > 10 || !is_ours) {
    return -1;
  }
  int64_t process = 0;
  for (; digits < end; digits++) {
    process = process * 10 + (*digits - '0');
  }
  return process > 0 && process <= INT32_MAX ? process : -1;
}

/* ---- Directories ----------------------------------------------------------------------------- */

static const char *const shared_names[] = {".reloaded", "memory.buffers"};

static nbuf_name name_of_users_directory(nbuf_user user) {
  nbuf_name name = {".reloaded."};
  append_number(&name, user.named, 10);
  return name;
}

nbuf_name nbuf_directory_path(nbuf_folder folder, nbuf_user user) {
  nbuf_name path = {"/tmp/"};
  if (folder == NBUF_FOLDER_SHARED) {
    append_text(&path, shared_names[0]);
    append_text(&path, "/");
    append_text(&path, shared_names[1]);
  } else {
    append_text(&path, name_of_users_directory(user).text);
  }
  return path;
}

/* The owner of a directory that is whoever makes it. */
#define MAKER ((uid_t)-1)

/* Makes a directory of that owner with these permissions, regardless of the umask. It appears
 * complete. */
static int make_directory(int parent, const char *name, uid_t owner, mode_t mode) {
  nbuf_name temporary = temporary_name(".", name);
  if (mkdirat(parent, temporary.text, 0700) != 0) {
    return errno;
  }
  int error = fchmodat(parent, temporary.text, mode, 0) == 0 ? 0 : errno;
  if (error == 0 && owner != MAKER && owner != geteuid() &&
      fchownat(parent, temporary.text, owner, (gid_t)-1, AT_SYMLINK_NOFOLLOW) != 0) {
    error = errno;
  }
  if (error == 0) {
    error = nbuf_posix_rename_new(parent, temporary.text, name);
    if (error == ENOSYS) {
      /* Replaces at most an empty directory, which is as good as the new one. */
      error = renameat(parent, temporary.text, parent, name) == 0 ? 0 : errno;
    }
  }
  if (error != 0) {
    (void)unlinkat(parent, temporary.text, AT_REMOVEDIR);
  }
  return error == EEXIST || error == ENOTEMPTY ? 0 : error;
}

static int open_directory_at(int parent, const char *name) {
  return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int open_or_make(int parent, const char *name, uid_t owner, mode_t mode, bool make,
                        int *directory) {
  *directory = open_directory_at(parent, name);
  int error = *directory < 0 ? errno : 0;
  if (error == ENOENT && make) {
    error = make_directory(parent, name, owner, mode);
    *directory = error == 0 ? open_directory_at(parent, name) : -1;
    error = error == 0 && *directory < 0 ? errno : error;
  }
  return error;
}

/* Any user of the machine may have made the existing part of this tree; the missing part is made so
 * that every user can use it, like /tmp itself. */
static int open_shared(int temporary, bool make, int *directory) {
  int outer;
  int error = open_or_make(temporary, shared_names[0], MAKER, 01777, make, &outer);
  if (error == 0) {
    error = open_or_make(outer, shared_names[1], MAKER, 01777, make, directory);
    close(outer);
  }
  return error;
}

/* Whether only the user can remove or replace the directory and what is in it. */
static bool is_users_alone(int temporary, int directory, nbuf_user user) {
  struct stat parent;
  struct stat status;
  return fstat(temporary, &parent) == 0 && fstat(directory, &status) == 0 &&
         ((parent.st_mode & S_ISVTX) != 0 || (parent.st_mode & (S_IWGRP | S_IWOTH)) == 0) &&
         status.st_uid == user.owner && (status.st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

static int open_users(int temporary, nbuf_user user, bool make, int *directory) {
  nbuf_name name = name_of_users_directory(user);
  int error = open_or_make(temporary, name.text, (uid_t)user.owner, 0700, make, directory);
  if (error == 0 && !is_users_alone(temporary, *directory, user)) {
    close(*directory);
    *directory = -1;
    error = EPERM;
  }
  return error;
}

static nbuf_result result_of_file_error(int error) {
  if (nbuf_posix_is_lack(error)) {
    return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, error);
  }
  return nbuf_result_system(error == EWOULDBLOCK ? NEARBUF_BUSY : NEARBUF_SYSTEM_ERROR, error);
}

nbuf_result nbuf_directory_open_below(int temporary, nbuf_folder folder, nbuf_user user, bool make,
                                      int *directory) {
  *directory = -1;
  int error = folder == NBUF_FOLDER_SHARED ? open_shared(temporary, make, directory)
                                           : open_users(temporary, user, make, directory);
  if (error == ENOENT && !make) {
    return nbuf_result_system(NEARBUF_NOT_FOUND, error);
  }
  return error == 0 ? nbuf_result_of(NEARBUF_OK) : result_of_file_error(error);
}

nbuf_result nbuf_directory_open(nbuf_folder folder, bool make, int *directory) {
  int temporary = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (temporary < 0) {
    *directory = -1;
    return errno == ENOENT && !make ? nbuf_result_system(NEARBUF_NOT_FOUND, errno)
                                    : result_of_file_error(errno);
  }
  nbuf_user user = {geteuid(), geteuid()};
  nbuf_result result = nbuf_directory_open_below(temporary, folder, user, make, directory);
  close(temporary);
  return result;
}

/* ---- Paths in a memory map ------------------------------------------------------------------- */

#define MEMORY_PREFIX "/memfd:"

static void join(nbuf_path *path, const char *text) {
  size_t length = strlen(path->text);
  size_t more = strlen(text);
  if (length + more < sizeof path->text) {
    memcpy(path->text + length, text, more + 1);
  }
}

nbuf_path nbuf_path_of_temporary(int root, const char *prefix) {
  nbuf_path path = {""};
  nbuf_path link = {""};
  join(&path, strcmp(prefix, "/") == 0 ? "" : prefix);
  ssize_t length = readlinkat(root < 0 ? AT_FDCWD : root, root < 0 ? "/tmp" : "tmp", link.text,
                              sizeof link.text - 1);
  link.text[length > 0 ? length : 0] = '\0';
  if (link.text[0] != '/') {
    join(&path, "/");
  }
  join(&path, length > 0 ? link.text : "tmp");
  return path;
}

bool nbuf_directory_lacks(nbuf_folder folder, const nbuf_name *name) {
  nbuf_user user = {geteuid(), geteuid()};
  nbuf_path path = {""};
  join(&path, nbuf_directory_path(folder, user).text);
  join(&path, "/");
  join(&path, name->text);
  int file = open(path.text, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (file >= 0) {
    close(file);
  }
  return file < 0 && errno == ENOENT;
}

/* Whether the first bytes of a path are those of a directory, or, if they were cut, its end. */
static bool is_directory(const char *told, size_t length, bool is_cut, const nbuf_path *directory) {
  size_t whole = strlen(directory->text);
  size_t skipped = is_cut && whole > length ? whole - length : 0;
  return whole - skipped == length && memcmp(told, directory->text + skipped, length) == 0;
}

nbuf_origin nbuf_path_origin(const char *path, size_t room, int64_t process, nbuf_user user,
                             const nbuf_path *temporary) {
  if (strncmp(path, MEMORY_PREFIX, sizeof MEMORY_PREFIX - 1) == 0) {
    bool is_name = nbuf_name_is_of_process(path + sizeof MEMORY_PREFIX - 1, process);
    return is_name ? NBUF_ORIGIN_MEMORY : NBUF_ORIGIN_OTHER;
  }
  const char *slash = strrchr(path, '/');
  if (slash == NULL || !nbuf_name_is_of_process(slash + 1, process)) {
    return NBUF_ORIGIN_OTHER;
  }
  bool is_cut = strlen(path) == room - 1;
  for (int folder = 0; folder < NBUF_FOLDERS; folder++) {
    nbuf_name plain = nbuf_directory_path((nbuf_folder)folder, user);
    nbuf_path moved = *temporary;
    join(&moved, plain.text + sizeof "/tmp" - 1);
    if (is_directory(path, (size_t)(slash - path), is_cut, &moved)) {
      return NBUF_ORIGIN_DIRECTORY;
    }
  }
  return NBUF_ORIGIN_OTHER;
}

/* EEXIST: all names that a process can have there are taken. */
bool nbuf_directory_is_anothers(nbuf_result result) {
  int error = result.system_error;
  return error == EACCES || error == EPERM || error == ENOTDIR || error == ELOOP || error == EEXIST;
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* Writes every byte instead of only setting the length: on a full disk a hole is a SIGBUS later. */
static int write_all(int file, const void *bytes, size_t size) {
  const char *at = bytes;
  while (size > 0) {
    ssize_t written = write(file, at, size);
    if (written < 0 && errno != EINTR) {
      return errno;
    }
    if (written == 0) {
      return ENOSPC;
    }
    at += written > 0 ? written : 0;
    size -= written > 0 ? (size_t)written : 0;
  }
  return 0;
}

int nbuf_file_fill(int file, const nbuf_initial_items *initial) {
  _Alignas(uintptr_t) unsigned char image[NBUF_LOCATOR_SIZE] = {0};
  if (initial != NULL) {
    nbuf_format_build((uintptr_t)image, initial->layout, 0, initial->items, initial->count);
  }
  int error = write_all(file, image, sizeof image);
  memset(image, 0, sizeof image);
  for (size_t at = sizeof image; error == 0 && at < nbuf_os_page_size(); at += sizeof image) {
    error = write_all(file, image, sizeof image);
  }
  return error;
}

bool nbuf_file_is_allowed(void) {
  struct rlimit limit;
  return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
         (uint64_t)limit.rlim_cur >= nbuf_os_page_size();
}

static _Atomic bool are_inherited; /* the system cannot keep pages out of children */

void nbuf_file_keep_from_children(uintptr_t page) {
  if (!nbuf_posix_keep_from_children((void *)page, nbuf_os_page_size())) {
    atomic_store_explicit(&are_inherited, true, memory_order_relaxed);
  }
}

bool nbuf_file_is_inherited(void) {
  return atomic_load_explicit(&are_inherited, memory_order_relaxed);
}

/* Locks, fills and maps an empty file; `*base` is where it is mapped. */
static int fill_and_map(int file, const nbuf_initial_items *initial, uintptr_t *base) {
  size_t size = nbuf_os_page_size();
  /* Shared, not exclusive, since the .NET implementation takes a shared lock of its own. The lock
   * outlives the descriptor, because the mapping keeps the open file. If a process is just checking
   * whether the file is dead, another one is made; where there are no locks, it works without. */
  if (flock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return EWOULDBLOCK;
  }
  nbuf_posix_avoid_copy_on_write(file);
  int error = nbuf_file_fill(file, initial);
  if (error == 0 && fchmod(file, 0600) != 0) {
    error = errno;
  }
  if (error != 0) {
    return error;
  }
  void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (page == MAP_FAILED) {
    return errno;
  }
  *base = (uintptr_t)page;
  nbuf_file_keep_from_children(*base);
  nbuf_shared_address_store_release(*base, sizeof(uintptr_t), *base);
  return 0;
}

nbuf_result nbuf_file_make(int directory, int64_t process, const nbuf_initial_items *initial,
                           nbuf_new_file *file) {
  if (!nbuf_file_is_allowed()) {
    return nbuf_result_system(NEARBUF_SYSTEM_ERROR, EFBIG);
  }
  file->temporary = nbuf_name_temporary(process);
  int made = openat(directory, file->temporary.text,
                    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (made < 0) {
    return result_of_file_error(errno);
  }
  int error = fill_and_map(made, initial, &file->base);
  close(made);
  if (error != 0) {
    (void)unlinkat(directory, file->temporary.text, 0);
    return result_of_file_error(error);
  }
  return nbuf_result_of(NEARBUF_OK);
}

void nbuf_file_discard(int directory, const nbuf_new_file *file) {
  (void)unlinkat(directory, file->temporary.text, 0);
  (void)munmap((void *)file->base, nbuf_os_page_size());
}

int nbuf_file_publish(int directory, const nbuf_new_file *file, const char *name) {
  int error = nbuf_posix_rename_new(directory, file->temporary.text, name);
  if (error != ENOSYS) {
    return error;
  }
  if (linkat(directory, file->temporary.text, directory, name, 0) != 0) {
    return errno;
  }
  (void)unlinkat(directory, file->temporary.text, 0);
  return 0;
}

int nbuf_file_replace(int directory, const nbuf_new_file *file, const char *name) {
  return renameat(directory, file->temporary.text, directory, name) == 0 ? 0 : errno;
}

bool nbuf_file_lock_dead(int directory, const char *name, int file) {
  return flock(file, LOCK_EX | LOCK_NB) == 0 && nbuf_file_is_named(directory, name, file);
}

bool nbuf_file_has_owner(int file) {
  return flock(file, LOCK_SH | LOCK_NB) == 0;
}

bool nbuf_file_is_named(int directory, const char *name, int file) {
  struct stat opened;
  struct stat named;
  return fstat(file, &opened) == 0 && fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

bool nbuf_file_is_young(const struct stat *status) {
  return status->st_ctime + 1 >= time(NULL);
}

/* ---- Clean-up -------------------------------------------------------------------------------- */

/* A start removes at most the first number of files, and gives up after the second number of files
 * that have to stay. Each starts at another position in the directory, so that those do not
 * permanently hide the files behind them. */
enum { MOST_REMOVED = 4, MOST_IN_VAIN = 16 };

typedef struct clean_up {
  int directory;
  uint32_t in_vain;
  uint32_t removed;
} clean_up;

/* Whether the file of a process that does not exist here may be removed. A free lock proves that no
 * process has the file mapped, except on overlayfs and for files of the Rust implementation, which
 * were never locked (only they have an owner-execute bit). Those are removed if no process can be
 * missing here merely because it runs elsewhere: in a place that one container owns, or after a
 * restart. */
bool nbuf_file_is_dead(int directory, const char *name, int file) {
  struct stat status;
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid() ||
      !nbuf_file_lock_dead(directory, name, file)) {
    return false;
  }
  bool was_locked = (status.st_mode & S_IXUSR) == 0;
  if (was_locked && nbuf_posix_lock_outlives_close(file)) {
    return true;
  }
  return nbuf_posix_place_is_ours_alone(file) || status.st_mtime < nbuf_posix_boot_time();
}

/* Whether the process with this id does not exist here. A later locator named after our own id
 * belonged to the former owner of the id, since we had no locator yet when the clean-up began. */
static bool is_absent(int64_t process, const char *name) {
  if (process == getpid()) {
    return nbuf_name_is_of_later(name);
  }
  return kill((pid_t)process, 0) != 0 && errno == ESRCH;
}

static bool remove_if_dead(int directory, const char *name) {
  int file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) {
    return false;
  }
  bool is_removed = nbuf_file_is_dead(directory, name, file) && unlinkat(directory, name, 0) == 0;
  close(file);
  return is_removed;
}

static bool clean(const char *name, void *context) {
  clean_up *cleaning = context;
  int64_t process = nbuf_name_process(name);
  if (process < 0) {
    return true;
  }
  if (is_absent(process, name) && remove_if_dead(cleaning->directory, name)) {
    cleaning->removed++;
  } else {
    cleaning->in_vain++;
  }
  return cleaning->removed < MOST_REMOVED && cleaning->in_vain < MOST_IN_VAIN;
}

void nbuf_directory_clean(int directory) {
  clean_up cleaning = {.directory = directory};
  nbuf_posix_visit_some(directory, clean, &cleaning);
}
