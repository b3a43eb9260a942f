/* The files of locators in directories that are invented: what is in them, which processes run, and
 * what is refused is what a test says. remote/linux/files.c is compiled here, with other names for
 * what it calls of the C library and of posix/files.c. With real files it is tested by
 * tests/process/remote_files.c. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/posix/files.h"
#include "os/posix/posix.h"
#include "refused.h"
#include "remote/linux/proc.h"
#include "remote/port.h"
#include "test.h"

/* ---- The system ------------------------------------------------------------------------------ */

enum {
  FIRST = 0, /* as good a descriptor as others: that of the shared directory */
  SECOND = 1,
  FILE_OPENED = 0,
  MOST_FILES = 4,
  USER = 1000
};

typedef struct entry {
  const char *name; /* null: there is no other one */
  int folder;
  int status_error;
  int open_error;
  int remove_error;
  off_t size;
  bool is_dead;
  bool is_removed;
} entry;

static struct {
  entry files[MOST_FILES];
  nbuf_result opening[NBUF_FOLDERS];
  int visit_error;
  int64_t process; /* the one that is asked about */
  int process_error;
  const entry *opened;
  int open_files;
  int open_directories;
  int looks; /* whether a file is dead */
} it = {.process_error = ESRCH};

static entry *file_of(int directory, const char *name) {
  CHECK(directory == FIRST || directory == SECOND);
  for (int i = 0; i < MOST_FILES; i++) {
    entry *one = &it.files[i];
    if (one->name != NULL && one->folder == directory && strcmp(one->name, name) == 0) {
      return one;
    }
  }
  return NULL;
}

static int invented_openat(int directory, const char *name, int flags) {
  CHECK_EQUAL(O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, flags);
  it.opened = file_of(directory, name);
  int error = it.opened == NULL ? ENOENT : it.opened->open_error;
  it.open_files += error == 0;
  return failed_with(error) == 0 ? FILE_OPENED : -1;
}

static int invented_fstatat(int directory, const char *name, struct stat *status, int flags) {
  const entry *one = file_of(directory, name);
  CHECK_EQUAL(AT_SYMLINK_NOFOLLOW, flags);
  CHECK(one != NULL);
  memset(status, 0, sizeof *status);
  status->st_uid = USER;
  status->st_size = one->size;
  return failed_with(one->status_error);
}

static int invented_unlinkat(int directory, const char *name, int flags) {
  entry *one = file_of(directory, name);
  CHECK(one != NULL && one == it.opened && flags == 0);
  CHECK_EQUAL(1, it.open_files); /* its lock is held */
  one->is_removed = one->remove_error == 0;
  return failed_with(one->remove_error);
}

/* Files and directories have the same numbers: the first is closed first. */
static void invented_close(int number) {
  if (it.open_files > 0) {
    CHECK_EQUAL(FILE_OPENED, number);
    it.open_files--;
  } else {
    CHECK(number == FIRST || number == SECOND);
    it.open_directories--;
  }
}

static int invented_kill(pid_t process, int number) {
  CHECK_EQUAL(0, number);
  CHECK_EQUAL(it.process, process);
  return failed_with(it.process_error);
}

static bool invented_is_dead(int directory, const char *name, int opened) {
  CHECK(opened == FILE_OPENED && file_of(directory, name) == it.opened && it.open_files == 1);
  it.looks++;
  return it.opened->is_dead;
}

static nbuf_result invented_directory_open(nbuf_folder folder, bool make, int *directory) {
  CHECK(!make);
  bool is_open = it.opening[folder].status == NEARBUF_OK;
  it.open_directories += is_open;
  *directory = is_open ? FIRST + (int)folder : -1;
  return it.opening[folder];
}

static int invented_visit(int directory, bool (*visit)(const char *name, void *context),
                          void *context) {
  for (int i = 0; i < MOST_FILES; i++) {
    if (it.files[i].name != NULL && it.files[i].folder == directory &&
        !visit(it.files[i].name, context)) {
      return 0;
    }
  }
  return it.visit_error;
}

#undef openat
#undef fstatat
#undef unlinkat
#define openat(directory, name, flags) invented_openat(directory, name, flags)
#define fstatat(directory, name, status, flags) invented_fstatat(directory, name, status, flags)
#define unlinkat(directory, name, flags) invented_unlinkat(directory, name, flags)
#define close(number) invented_close(number)
#define kill(process, number) invented_kill(process, number)
#define nbuf_file_is_dead(directory, name, opened) invented_is_dead(directory, name, opened)
#define nbuf_directory_open(folder, make, directory)                                               \
  invented_directory_open(folder, make, directory)
#define nbuf_linux_visit(directory, visit, context) invented_visit(directory, visit, context)
#include "remote/linux/files.c" /* NOLINT(bugprone-suspicious-include) */

/* ---- Visiting -------------------------------------------------------------------------------- */

#define OF_42 NBUF_NAME_PREFIX "42"
static nearbuf_file told[MOST_FILES];
static int told_count;
static int reply;

static int tell(const nearbuf_file *seen, void *context) {
  CHECK(context == &told_count && told_count < MOST_FILES);
  CHECK_EQUAL(0, it.open_files); /* what is stale may be removed now */
  told[told_count++] = *seen;
  return reply;
}

static void visit_all(nearbuf_status status, int error, int count) {
  told_count = 0;
  nbuf_result result = nbuf_remote_visit_files(tell, &told_count);
  CHECK_STATUS(status, result.status);
  CHECK_EQUAL((unsigned)error, (unsigned)result.system_error);
  CHECK_EQUAL(count, told_count);
  CHECK(it.open_files == 0 && it.open_directories == 0);
}

static nearbuf_file_state state_of_first(void) {
  visit_all(NEARBUF_OK, 0, 1);
  return told[0].state;
}

static void make_file(int index, const char *name, int folder) {
  it.files[index] = (entry){.name = name, .folder = folder, .size = 4096, .is_dead = true};
  it.process = 42;
}

TEST(the_files_of_both_directories_are_told_with_what_is_known_of_them) {
  nbuf_name first = {OF_42};
  nbuf_name later = nbuf_name_of_later(&first, 7);
  make_file(0, later.text, SECOND);
  make_file(1, "another", FIRST);
  make_file(2, OF_42, FIRST);
  it.files[2].size = 5;
  visit_all(NEARBUF_OK, 0, 2);
  CHECK(strcmp(told[0].name, OF_42) == 0 && strcmp(told[1].name, later.text) == 0);
  for (int i = 0; i < 2; i++) {
    CHECK_EQUAL(42, told[i].process);
    CHECK_EQUAL(USER, told[i].user);
    CHECK_EQUAL(NEARBUF_FILE_STALE, told[i].state);
    CHECK_EQUAL(i, told[i].is_later);
    CHECK_EQUAL(i, told[i].is_in_own_directory);
  }
  CHECK(told[0].size_bytes == 5 && told[1].size_bytes == 4096);
}

TEST(what_is_gone_by_then_or_has_too_long_a_name_is_not_told) {
  static char name[129];
  make_file(0, OF_42, FIRST);
  it.files[0].status_error = ENOENT;
  visit_all(NEARBUF_OK, 0, 0);
  memset(name, 'x', sizeof name - 1);
  memcpy(name, OF_42 ".", sizeof OF_42);
  make_file(0, name, FIRST);
  visit_all(NEARBUF_OK, 0, 0);
  name[127] = '\0'; /* all that fits */
  visit_all(NEARBUF_OK, 0, 1);
  CHECK(strcmp(told[0].name, name) == 0);
}

TEST(the_file_of_a_process_that_runs_is_live) {
  make_file(0, OF_42, FIRST);
  it.process_error = 0;
  errno = ESRCH;
  CHECK_EQUAL(NEARBUF_FILE_LIVE, state_of_first());
  it.process_error = EPERM; /* another user's */
  CHECK_EQUAL(NEARBUF_FILE_LIVE, state_of_first());
  CHECK_EQUAL(0, it.looks); /* which would lock it */
}

TEST(a_file_is_stale_only_if_that_is_proved) {
  make_file(0, OF_42, FIRST);
  CHECK_EQUAL(NEARBUF_FILE_STALE, state_of_first());
  it.files[0].is_dead = false;
  CHECK_EQUAL(NEARBUF_FILE_UNKNOWN, state_of_first());
  it.files[0].is_dead = true;
  it.files[0].open_error = EACCES;
  it.looks = 0;
  CHECK_EQUAL(NEARBUF_FILE_UNKNOWN, state_of_first());
  CHECK_EQUAL(0, it.looks);
}

TEST(a_visitor_that_returns_a_negative_number_ends_the_visit) {
  make_file(0, OF_42, FIRST);
  make_file(1, OF_42 ".1", FIRST);
  make_file(2, OF_42, SECOND);
  reply = -1;
  visit_all(NEARBUF_CANCELLED, 0, 1);
  reply = 1;
  visit_all(NEARBUF_OK, 0, 3);
  it.files[0].name = it.files[1].name = NULL;
  reply = -1;
  visit_all(NEARBUF_CANCELLED, 0, 1);
}

TEST(a_missing_directory_has_no_files) {
  make_file(0, OF_42, SECOND);
  it.opening[0] = nbuf_result_system(NEARBUF_NOT_FOUND, ENOENT);
  visit_all(NEARBUF_OK, 0, 1);
  it.opening[1] = nbuf_result_system(NEARBUF_NOT_FOUND, ENOENT);
  visit_all(NEARBUF_OK, 0, 0);
}

TEST(a_shared_directory_of_another_user_is_no_failure) {
  make_file(0, OF_42, SECOND);
  it.opening[0] = nbuf_result_system(NEARBUF_DENIED, EACCES);
  visit_all(NEARBUF_OK, 0, 1);
  it.opening[0] = nbuf_result_system(NEARBUF_SYSTEM_ERROR, EMFILE);
  visit_all(NEARBUF_SYSTEM_ERROR, EMFILE, 0);
  it.opening[0] = nbuf_result_of(NEARBUF_OK);
  it.opening[1] = nbuf_result_system(NEARBUF_DENIED, EACCES);
  visit_all(NEARBUF_DENIED, EACCES, 0);
}

TEST(a_directory_that_cannot_be_read_is_a_failure) {
  it.visit_error = EIO;
  visit_all(NEARBUF_SYSTEM_ERROR, EIO, 0);
}

/* ---- Removal --------------------------------------------------------------------------------- */

static nearbuf_file stale = {.name = OF_42};

static void try_to_remove(nearbuf_status status, int error, bool is_removed) {
  it.files[0].is_removed = it.files[1].is_removed = false;
  nbuf_result result = nbuf_remote_remove_file(&stale);
  CHECK_STATUS(status, result.status);
  CHECK_EQUAL((unsigned)error, (unsigned)result.system_error);
  CHECK_EQUAL(is_removed, it.files[stale.is_in_own_directory].is_removed);
  CHECK(!it.files[!stale.is_in_own_directory].is_removed);
  CHECK(it.open_files == 0 && it.open_directories == 0);
}

static void make_two(void) {
  make_file(0, OF_42, FIRST);
  make_file(1, OF_42, SECOND);
}

TEST(a_stale_file_is_removed_from_its_directory) {
  make_two();
  try_to_remove(NEARBUF_OK, 0, true);
  stale.is_in_own_directory = 1;
  try_to_remove(NEARBUF_OK, 0, true);
}

TEST(a_file_that_is_not_proved_to_be_stale_is_kept) {
  make_two();
  it.files[0].is_dead = false;
  try_to_remove(NEARBUF_BUSY, 0, false);
  it.files[0].is_dead = true;
  it.process_error = EPERM;
  try_to_remove(NEARBUF_BUSY, 0, false);
  it.process_error = 0;
  errno = ESRCH;
  try_to_remove(NEARBUF_BUSY, 0, false);
}

TEST(why_a_file_cannot_be_removed_is_returned) {
  make_two();
  it.files[0].remove_error = EPERM;
  try_to_remove(NEARBUF_DENIED, EPERM, false);
  it.files[0].open_error = ELOOP;
  try_to_remove(NEARBUF_DENIED, ELOOP, false);
  it.files[0].name = NULL;
  try_to_remove(NEARBUF_NOT_FOUND, ENOENT, false);
  it.opening[0] = nbuf_result_system(NEARBUF_NOT_FOUND, ENOTDIR);
  try_to_remove(NEARBUF_NOT_FOUND, ENOTDIR, false);
}

TEST(a_name_that_is_none_of_a_locator_or_leads_elsewhere_is_refused) {
  static const char *const names[] = {"another", OF_42 "./../other"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    (void)snprintf(stale.name, sizeof stale.name, "%s", names[i]);
    make_file(0, names[i], FIRST);
    try_to_remove(NEARBUF_INVALID_ARGUMENT, 0, false);
  }
}
