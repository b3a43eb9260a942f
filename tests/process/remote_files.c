/* Files of locators, as a program that cleans up sees them; and processes that have no locator to
 * trust. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "locator_names.h"
#include "os/posix/files.h"
#include "own_tmp.h"
#include "remote_linux.h"
#include "test.h"

enum { NOBODY = 65534, PAGE = 4096, MOST_FILES = 8 };

#define FOLDER LOCATOR_DIRECTORY

static void need_own_tmp(void) {
  if (geteuid() != 0 || !use_own_tmp()) {
    test_skip("needs other users and a /tmp of its own");
  }
  CHECK(mkdir(SHARED_PARENT, 0777) == 0 && mkdir(FOLDER, 0777) == 0);
}

static const char *path_of(const char *name) {
  static char path[512];
  (void)snprintf(path, sizeof path, FOLDER "/%s", name);
  return path;
}

static int make_file(const char *name, off_t size) {
  int file = open(path_of(name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  CHECK(file >= 0 && ftruncate(file, size) == 0);
  return file;
}

/* An id that no process has, and that one had. */
static pid_t absent_process(void) {
  pid_t child = fork();
  if (child == 0) {
    _exit(0);
  }
  CHECK_EQUAL(child, waitpid(child, NULL, 0));
  return child;
}

typedef struct seen_files {
  nearbuf_file file[MOST_FILES];
  int count;
  int wanted; /* the visitor stops here */
} seen_files;

static int note_file(const nearbuf_file *file, void *context) {
  seen_files *seen = context;
  CHECK(seen->count < MOST_FILES);
  seen->file[seen->count++] = *file;
  return seen->count == seen->wanted ? -1 : 0;
}

static nearbuf_file only_file(void) {
  seen_files seen = {.count = 0};
  CHECK_OK(nearbuf_process_visit_files(note_file, &seen));
  CHECK_EQUAL(1, seen.count);
  return seen.file[0];
}

static void check_busy(const nearbuf_file *file) {
  int32_t code = 1;
  CHECK_STATUS(NEARBUF_BUSY, nearbuf_process_remove_file(file, &code));
  CHECK_EQUAL(0, code);
  CHECK(access(path_of(file->name), F_OK) == 0);
}

TEST(a_file_is_removed_only_where_no_process_uses_it_and_its_process_is_gone) {
  need_own_tmp();
  nbuf_name name =
      nbuf_name_of_process(getpid()); /* no process uses it, but the process is alive */
  close(make_file(name.text, PAGE));
  nearbuf_file file = only_file();
  CHECK_EQUAL(NEARBUF_FILE_LIVE, file.state);
  CHECK_EQUAL(getpid(), file.process);
  check_busy(&file);
  CHECK(unlink(path_of(name.text)) == 0);
  name = nbuf_name_of_process(absent_process()); /* a process uses it that has another id here */
  int used = make_file(name.text, PAGE);
  CHECK(flock(used, LOCK_SH) == 0);
  file = only_file();
  CHECK_EQUAL(NEARBUF_FILE_UNKNOWN, file.state);
  check_busy(&file);
  close(used);
  file = only_file();
  CHECK_EQUAL(NEARBUF_FILE_STALE, file.state);
  int32_t code = 1;
  CHECK_OK(nearbuf_process_remove_file(&file, &code));
  CHECK_EQUAL(0, code);
  CHECK(access(path_of(file.name), F_OK) != 0);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_remove_file(&file, &code));
  CHECK_EQUAL(ENOENT, code);
}

TEST(why_a_file_cannot_be_removed_is_told) {
  need_own_tmp();
  nbuf_name name = nbuf_name_of_process(absent_process());
  close(make_file(name.text, PAGE));
  nearbuf_file file = only_file();
  int32_t code = 0;
  CHECK(mount(NULL, "/tmp", NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_remove_file(&file, &code));
  CHECK_EQUAL(EROFS, code);
  CHECK(mount(NULL, "/tmp", NULL, MS_REMOUNT, NULL) == 0);
  CHECK(unlink(path_of(name.text)) == 0 && symlink("/tmp", path_of(name.text)) == 0);
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_remove_file(&file, &code));
  CHECK_EQUAL(ELOOP, code);
  CHECK(unlink(path_of(name.text)) == 0 && rmdir(FOLDER) == 0);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_remove_file(&file, &code));
}

TEST(only_names_of_locators_files_are_removed) {
  need_own_tmp();
  static const char below[] = LOCATOR_PREFIX "4194300/x";
  static const char *const names[] = {"", "other", "../victim", below, LOCATOR_PREFIX};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    nearbuf_file file = {.process = 4194300};
    int32_t code = 1;
    (void)snprintf(file.name, sizeof file.name, "%s", names[i]);
    CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_remove_file(&file, &code));
    CHECK_EQUAL(0, code);
  }
}

TEST(of_each_file_is_told_what_it_is) {
  need_own_tmp();
  pid_t absent = absent_process();
  nbuf_name first = nbuf_name_of_process(absent);
  nbuf_name later = nbuf_name_of_later(&first, 0x1234);
  close(make_file("of another program", PAGE));
  close(make_file(first.text, (off_t)3 * PAGE));
  int file = make_file(later.text, PAGE);
  CHECK(fchown(file, NOBODY, NOBODY) == 0);
  close(file);
  seen_files seen = {.count = 0};
  CHECK_OK(nearbuf_process_visit_files(note_file, &seen));
  CHECK_EQUAL(2, seen.count);
  bool is_first_first = seen.file[0].is_later == 0;
  const nearbuf_file *of_first = &seen.file[is_first_first ? 0 : 1];
  const nearbuf_file *of_later = &seen.file[is_first_first ? 1 : 0];
  CHECK(strcmp(first.text, of_first->name) == 0 && strcmp(later.text, of_later->name) == 0);
  CHECK_EQUAL(absent, of_first->process);
  CHECK_EQUAL(absent, of_later->process);
  CHECK_EQUAL(0, of_first->is_later);
  CHECK_EQUAL(1, of_later->is_later);
  CHECK_EQUAL(0, of_first->is_in_own_directory);
  CHECK_EQUAL(0, of_first->user);
  CHECK_EQUAL(NOBODY, of_later->user);
  CHECK_EQUAL(3 * PAGE, of_first->size_bytes);
  CHECK_EQUAL(NEARBUF_FILE_STALE, of_first->state);
  CHECK_EQUAL(NEARBUF_FILE_UNKNOWN, of_later->state); /* only its user may state that */
  seen = (seen_files){.wanted = 1};
  CHECK_STATUS(NEARBUF_CANCELLED, nearbuf_process_visit_files(note_file, &seen));
  CHECK_EQUAL(1, seen.count);
}

/* ---- Programs that must not believe what their user's other programs can write --------------- */

typedef struct ids {
  uid_t users[3]; /* real, effective, saved */
  gid_t groups[3];
} ids;

/* A child with these ids; dumpable, for what is not is told by other signs. */
static pid_t start_with_ids(const ids *what) {
  int ends[2];
  char byte;
  CHECK(pipe(ends) == 0);
  pid_t child = fork();
  if (child == 0) {
    CHECK(setresgid(what->groups[0], what->groups[1], what->groups[2]) == 0);
    CHECK(setresuid(what->users[0], what->users[1], what->users[2]) == 0);
    CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0); /* a change of the user clears it */
    CHECK(write(ends[1], "x", 1) == 1);
    pause();
    _exit(0);
  }
  close(ends[1]);
  CHECK(read(ends[0], &byte, 1) == 1);
  close(ends[0]);
  return child;
}

TEST(no_file_is_made_for_a_process_whose_ids_differ) {
  need_own_tmp();
  static const ids cases[] = {
      {{NOBODY, NOBODY, NOBODY}, {NOBODY, NOBODY, NOBODY}},
      {{1000, NOBODY, NOBODY}, {NOBODY, NOBODY, NOBODY}},
      {{NOBODY, 1000, NOBODY}, {NOBODY, NOBODY, NOBODY}},
      {{NOBODY, NOBODY, 1000}, {NOBODY, NOBODY, NOBODY}},
      {{NOBODY, NOBODY, NOBODY}, {1000, NOBODY, NOBODY}},
      {{NOBODY, NOBODY, NOBODY}, {NOBODY, 1000, NOBODY}},
      {{NOBODY, NOBODY, NOBODY}, {NOBODY, NOBODY, 1000}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    pid_t child = start_with_ids(&cases[i]);
    int32_t code;
    nearbuf_status status = get_in(child, &code);
    CHECK_EQUAL(i == 0 ? NEARBUF_OK : NEARBUF_DENIED, status);
    CHECK_EQUAL(i == 0 ? 0 : EPERM, code);
    CHECK(kill(child, SIGKILL) == 0);
    CHECK_EQUAL(child, waitpid(child, NULL, 0));
  }
}
