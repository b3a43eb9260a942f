/* The files that locators live in on POSIX systems; see posix_files.h. */
#include "posix_files.h"

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
#include <unistd.h>

#include "os.h"
#include "posix.h"

/* ---- Names ------------------------------------------------------------------------------------- */

static void append_text(nb_name *name, const char *text) {
  size_t length = strlen(name->text);
  size_t more = strlen(text);
  if (length + more < sizeof name->text) {
    memcpy(name->text + length, text, more + 1);
  }
}

static void append_number(nb_name *name, uint64_t number, uint64_t base) {
  char digits[24];
  size_t at = sizeof digits - 1;
  digits[at] = '\0';
  do {
    digits[--at] = "0123456789abcdef"[number % base];
    number /= base;
  } while (number != 0);
  append_text(name, &digits[at]);
}

#define LATER_SUFFIX ", 0x"

nb_name nb_name_of_process(int64_t process) {
  nb_name name = {NB_NAME_PREFIX};
  append_number(&name, (uint64_t)process, 10);
  return name;
}

nb_name nb_name_in_namespace_number(int64_t process, uint64_t number) {
  nb_name name = nb_name_of_process(process);
  append_text(&name, ", NS ");
  append_number(&name, number, 10);
  return name;
}

bool nb_name_in_namespace(int64_t process, nb_name *name) {
  uint64_t number;
  if (!nb_posix_namespace(&number)) {
    return false;
  }
  *name = nb_name_in_namespace_number(process, number);
  return true;
}

nb_name nb_name_of_later(const nb_name *first, uintptr_t base) {
  nb_name name = *first;
  append_text(&name, LATER_SUFFIX);
  append_number(&name, base, 16);
  return name;
}

static nb_name temporary_name(const char *prefix, const char *of) {
  static _Atomic uint64_t serial;
  nb_name name = {""};
  uint64_t number = nb_os_nanoseconds() + atomic_fetch_add(&serial, 1) * 0x9E3779B97F4A7C15;
  append_text(&name, prefix);
  append_text(&name, of);
  append_text(&name, ".");
  append_number(&name, number ^ (uintptr_t)&name, 16);
  return name;
}

nb_name nb_name_temporary(int64_t process) {
  return temporary_name("", nb_name_of_process(process).text);
}

static const char *skip_digits(const char *text) {
  while (*text >= '0' && *text <= '9') {
    text++;
  }
  return text;
}

bool nb_name_is_of_process(const char *path_end, int64_t process) {
  nb_name own = nb_name_of_process(process);
  const char *at = strstr(path_end, own.text);
  if (at == NULL || (at != path_end && at[-1] != '/' && at[-1] != ':')) {
    return false;
  }
  at += strlen(own.text);
  if (strncmp(at, ", NS ", 5) == 0) {
    at = skip_digits(at + 5);
  }
  return *at == '\0' || strcmp(at, " (deleted)") == 0;
}

int64_t nb_name_process(const char *name) {
  size_t length = sizeof NB_NAME_PREFIX - 1;
  if (strncmp(name, NB_NAME_PREFIX, length) != 0) {
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

/* ---- The shared directory ---------------------------------------------------------------------- */

static const char *const directory_names[] = {".reloaded", "memory.buffers"};

/* Whatever part of this tree exists was made by somebody; what is missing is made so that every user
 * of the machine can use it: like /tmp itself, and against the umask. It appears complete. */
static int make_directory(int parent, const char *name) {
  nb_name temporary = temporary_name(".", name);
  if (mkdirat(parent, temporary.text, 0700) != 0) {
    return errno;
  }
  int error = fchmodat(parent, temporary.text, 01777, 0) == 0 ? 0 : errno;
  if (error == 0) {
    error = nb_posix_rename_new(parent, temporary.text, name);
    if (error == ENOSYS) {
      /* Replaces an empty directory at most, which is as good as what it replaces. */
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

static nb_outcome outcome_of_file_error(int error) {
  switch (error) {
  case EMFILE:
  case ENFILE:
  case ENOMEM:
    return nb_outcome_system(NEARBUF_OUT_OF_MEMORY, error);
  case EWOULDBLOCK:
    return nb_outcome_system(NEARBUF_BUSY, error);
  default:
    return nb_outcome_system(NEARBUF_SYSTEM_ERROR, error);
  }
}

nb_outcome nb_directory_open_below(int temporary, bool make, int *directory) {
  int current = temporary;
  int error = 0;
  for (size_t i = 0; error == 0 && i < sizeof directory_names / sizeof directory_names[0]; i++) {
    int next = open_directory_at(current, directory_names[i]);
    error = next < 0 ? errno : 0;
    if (error == ENOENT && make) {
      error = make_directory(current, directory_names[i]);
      next = error == 0 ? open_directory_at(current, directory_names[i]) : -1;
      error = error == 0 && next < 0 ? errno : error;
    }
    close(current);
    current = next;
  }
  *directory = current;
  if (error == ENOENT && !make) {
    return nb_outcome_system(NEARBUF_NOT_FOUND, error);
  }
  return error == 0 ? nb_outcome_of(NEARBUF_OK) : outcome_of_file_error(error);
}

nb_outcome nb_directory_open(bool make, int *directory) {
  int temporary = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (temporary < 0) {
    *directory = -1;
    return errno == ENOENT && !make ? nb_outcome_system(NEARBUF_NOT_FOUND, errno)
                                    : outcome_of_file_error(errno);
  }
  return nb_directory_open_below(temporary, make, directory);
}

/* ---- Files ------------------------------------------------------------------------------------- */

/* Every byte is written, not only a length set: on a full disk a hole is a SIGBUS later. */
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

int nb_file_fill(int file, const nb_seed *seed) {
  _Alignas(uintptr_t) unsigned char image[NB_LOCATOR_SIZE];
  nb_format_build((uintptr_t)image, seed->layout, 0, seed->items, seed->count);
  int error = write_all(file, image, sizeof image);
  memset(image, 0, sizeof image);
  for (size_t at = sizeof image; error == 0 && at < nb_os_page_size(); at += sizeof image) {
    error = write_all(file, image, sizeof image);
  }
  return error;
}

bool nb_file_is_allowed(void) {
  struct rlimit limit;
  return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
         (uint64_t)limit.rlim_cur >= nb_os_page_size();
}

static _Atomic bool are_inherited; /* the system cannot keep pages out of children */

void nb_file_keep_from_children(uintptr_t page) {
  if (!nb_posix_keep_from_children((void *)page, nb_os_page_size())) {
    atomic_store_explicit(&are_inherited, true, memory_order_relaxed);
  }
}

bool nb_file_is_inherited(void) {
  return atomic_load_explicit(&are_inherited, memory_order_relaxed);
}

/* Locks, fills and maps an empty file; `*base` is where it is mapped. */
static int fill_and_map(int file, const nb_seed *seed, uintptr_t *base) {
  size_t size = nb_os_page_size();
  /* Shared, not exclusive: the .NET reference takes a shared lock of its own. It outlives the
   * descriptor: the mapping keeps the open file. Where somebody is just finding out whether the file
   * is dead, another one is made; where there are no locks, it is as good without. */
  if (flock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return EWOULDBLOCK;
  }
  nb_posix_avoid_copy_on_write(file);
  int error = nb_file_fill(file, seed);
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
  nb_file_keep_from_children(*base);
  nb_shared_address_store_release(*base, sizeof(uintptr_t), *base);
  return 0;
}

nb_outcome nb_file_make(int directory, int64_t process, const nb_seed *seed, nb_new_file *file) {
  if (!nb_file_is_allowed()) {
    return nb_outcome_system(NEARBUF_SYSTEM_ERROR, EFBIG);
  }
  file->temporary = nb_name_temporary(process);
  int made = openat(directory, file->temporary.text,
                    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (made < 0) {
    return outcome_of_file_error(errno);
  }
  int error = fill_and_map(made, seed, &file->base);
  close(made);
  if (error != 0) {
    (void)unlinkat(directory, file->temporary.text, 0);
    return outcome_of_file_error(error);
  }
  return nb_outcome_of(NEARBUF_OK);
}

void nb_file_discard(int directory, const nb_new_file *file) {
  (void)unlinkat(directory, file->temporary.text, 0);
  (void)munmap((void *)file->base, nb_os_page_size());
}

int nb_file_publish(int directory, const nb_new_file *file, const char *name) {
  int error = nb_posix_rename_new(directory, file->temporary.text, name);
  if (error != ENOSYS) {
    return error;
  }
  if (linkat(directory, file->temporary.text, directory, name, 0) != 0) {
    return errno;
  }
  (void)unlinkat(directory, file->temporary.text, 0);
  return 0;
}

int nb_file_replace(int directory, const nb_new_file *file, const char *name) {
  return renameat(directory, file->temporary.text, directory, name) == 0 ? 0 : errno;
}

bool nb_file_lock_dead(int directory, const char *name, int file) {
  return flock(file, LOCK_EX | LOCK_NB) == 0 && nb_file_is_named(directory, name, file);
}

bool nb_file_has_owner(int file) {
  return flock(file, LOCK_SH | LOCK_NB) == 0;
}

bool nb_file_is_named(int directory, const char *name, int file) {
  struct stat opened;
  struct stat named;
  return fstat(file, &opened) == 0 && fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/* ---- Clean-up ---------------------------------------------------------------------------------- */

/* A start removes so many files at most, and gives up after so many that have to stay. Each starts
 * at another place of the directory, so that those do not hide what lies behind them for ever. */
enum { MOST_REMOVED = 4, MOST_IN_VAIN = 16 };

typedef struct clean_up {
  int directory;
  uint32_t in_vain;
  uint32_t removed;
} clean_up;

/* Whether the file of a process that is absent here may go. A lock that is free proves that nobody
 * has the file mapped, except on overlayfs and for files of the Rust reference, which never were
 * locked (they are the only ones with an owner-execute bit). Those go when nobody can be absent
 * here only because it lives elsewhere: in a place of one container, or after a restart. */
bool nb_file_is_dead(int directory, const char *name, int file) {
  struct stat status;
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid() ||
      !nb_file_lock_dead(directory, name, file)) {
    return false;
  }
  bool was_locked = (status.st_mode & S_IXUSR) == 0;
  if (was_locked && nb_posix_lock_outlives_close(file)) {
    return true;
  }
  return nb_posix_place_is_ours_alone(file) || status.st_mtime < nb_posix_boot_time();
}

/* Whether the process with this id is absent here. What is named after our own id and is a later
 * locator was its former owner's: we had no locator yet when we came to clean. */
static bool is_absent(int64_t process, const char *name) {
  if (process == getpid()) {
    return strstr(name, LATER_SUFFIX) != NULL;
  }
  return kill((pid_t)process, 0) != 0 && errno == ESRCH;
}

static bool remove_if_dead(int directory, const char *name) {
  int file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) {
    return false;
  }
  bool is_removed = nb_file_is_dead(directory, name, file) && unlinkat(directory, name, 0) == 0;
  close(file);
  return is_removed;
}

static bool clean(const char *name, void *context) {
  clean_up *cleaning = context;
  int64_t process = nb_name_process(name);
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

void nb_directory_clean(int directory) {
  clean_up cleaning = {.directory = directory};
  nb_posix_visit_some(directory, clean, &cleaning);
}
