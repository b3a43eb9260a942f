/* Files of dead processes are removed, a few at a time; all other files stay. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "locator_names.h"
#include "support.h"

enum { PAGE = 4096, ABSENT = 2000000000 /* an id that no system assigns */, MOST_AT_ONCE = 4 };

static path path_of(int number, const char *suffix) {
  path made;
  snprintf(made.text, sizeof made.text, "%s/%s%d%s", LOCATOR_DIRECTORY, LOCATOR_PREFIX, number,
           suffix);
  return made;
}

static path leave(int number, const char *suffix, mode_t mode) {
  static const unsigned char page[PAGE] = {1};
  path made = path_of(number, suffix);
  write_file(made.text, page, sizeof page, mode);
  return made;
}

static void start(void *context) {
  (void)context;
  (void)place("x", 1);
}

TEST(files_of_dead_processes_go) {
  own_tmp();
  make_locator_directory();
  path first = leave(ABSENT, "", 0600);
  path later = leave(ABSENT, ", later 7f001122", 0600);
  path elsewhere = leave(ABSENT + 1, ", NS 4026531836", 0600);
  path unpublished = leave(ABSENT + 2, ".1f00d", 0600);
  (void)place("x", 1);
  CHECK(!exists(first.text));
  CHECK(!exists(later.text));
  CHECK(!exists(elsewhere.text));
  CHECK(!exists(unpublished.text));
  CHECK_EQUAL(1, count_locator_files());
}

TEST(many_short_lives_leave_few_files) {
  own_tmp();
  for (int i = 0; i < 100; i++) {
    in_child(start, NULL);
  }
  CHECK(count_locator_files() <= 2);
}

/* ---- Cost ------------------------------------------------------------------------------------ */

static double cpu_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

TEST(ten_thousand_dead_files_do_not_slow_the_first_call) {
  own_tmp();
  make_locator_directory();
  for (int i = 0; i < 10000; i++) {
    path made = path_of(ABSENT + i, "");
    write_file(made.text, "", 0, 0600);
  }
  double before = cpu_seconds();
  (void)place("x", 1);
  CHECK(cpu_seconds() - before < 0.005);
  CHECK_EQUAL(10000 + 1 - MOST_AT_ONCE, count_locator_files());
}

/* One start inspects a part of the directory; another part each time. */
TEST(dead_files_behind_hundreds_of_others_go_in_time) {
  own_tmp();
  make_locator_directory();
  enum { OTHERS = 1500 /* on each side: several times what one start inspects */ };
  for (int side = 0; side < 2; side++) {
    for (int i = 0; i < OTHERS; i++) {
      char name[64];
      snprintf(name, sizeof name, LOCATOR_DIRECTORY "/something else %d", side * OTHERS + i);
      write_file(name, "", 0, 0600);
    }
    if (side == 0) {
      (void)leave(ABSENT, "", 0600);
    }
  }
  path dead = path_of(ABSENT, "");
  for (int i = 0; i < 300 && exists(dead.text); i++) {
    in_child(start, NULL);
  }
  CHECK(!exists(dead.text));
  CHECK(count_locator_files() >= 2 * OTHERS);
}

/* ---- What stays ------------------------------------------------------------------------------ */

TEST(other_files_stay) {
  own_tmp();
  make_locator_directory();
  CHECK_EQUAL(0, chdir("/tmp"));
  write_file(LOCATOR_PREFIX "2000000000", "", 0, 0600); /* here, not there */
  path locked = leave(ABSENT, "", 0600);
  int owner = open(locked.text, O_RDONLY | O_CLOEXEC);
  CHECK_EQUAL(0, flock(owner, LOCK_SH));
  path link = path_of(ABSENT + 1, "");
  write_file("/tmp/victim", "precious", 8, 0600);
  CHECK_EQUAL(0, symlink("/tmp/victim", link.text));
  path directory = path_of(ABSENT + 2, "");
  CHECK_EQUAL(0, mkdir(directory.text, 0700));
  path no_number = {LOCATOR_DIRECTORY "/" LOCATOR_PREFIX};
  write_file(no_number.text, "", 0, 0600);
  path other_suffix = leave(ABSENT, "x", 0600);
  path alive = leave(1, "", 0600);
  (void)place("x", 1);
  CHECK(exists("/tmp/" LOCATOR_PREFIX "2000000000"));
  CHECK(exists(locked.text));
  CHECK(exists(link.text));
  CHECK(exists("/tmp/victim"));
  CHECK(exists(directory.text));
  CHECK(exists(no_number.text));
  CHECK(exists(other_suffix.text));
  CHECK(exists(alive.text));
}

static void leave_as_stranger(void *context) {
  (void)context;
  CHECK_EQUAL(0, setuid(65534));
  (void)leave(ABSENT, "", 0600);
}

TEST(files_of_other_users_stay_even_before_root) {
  need_root();
  own_tmp();
  make_locator_directory();
  in_child(leave_as_stranger, NULL);
  (void)place("x", 1);
  CHECK_EQUAL(2, count_locator_files());
}

static void live(void *context) {
  const int *pipes = context;
  (void)place("x", 1);
  CHECK_EQUAL(1, write(pipes[1], "r", 1));
  char go;
  CHECK_EQUAL(0, read(pipes[2], &go, 1)); /* until the other end is closed */
  CHECK(exists(locator_path(getpid()).text));
}

TEST(files_of_living_processes_stay) {
  own_tmp();
  int pipes[4];
  CHECK_EQUAL(0, pipe2(&pipes[0], O_CLOEXEC));
  CHECK_EQUAL(0, pipe2(&pipes[2], O_CLOEXEC));
  pid_t child = fork();
  if (child == 0) {
    close(pipes[3]);
    live(pipes);
    _exit(0);
  }
  char ready;
  CHECK_EQUAL(1, read(pipes[0], &ready, 1));
  (void)place("x", 1);
  CHECK(exists(locator_path(child).text));
  close(pipes[3]);
  expect_success(child);
}

/* The Rust implementation locks nothing: only files older than the boot prove that it is dead. */
TEST(a_rust_references_file_goes_only_when_it_is_older_than_the_boot) {
  own_tmp();
  make_locator_directory();
  path young = leave(ABSENT, "", 0700);
  path old = leave(ABSENT + 1, "", 0700);
  struct timespec long_ago[2] = {{1000000, 0}, {1000000, 0}};
  CHECK_EQUAL(0, utimensat(AT_FDCWD, old.text, long_ago, 0));
  (void)place("x", 1);
  CHECK(exists(young.text));
  CHECK(!exists(old.text));
}

/* ---- At the same time ------------------------------------------------------------------------ */

static void start_and_check(void *context) {
  (void)context;
  for (int i = 0; i < 10; i++) {
    in_child(start, NULL);
  }
  (void)place("x", 1);
  CHECK(exists(locator_path(getpid()).text));
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, totals.sharing);
}

TEST(many_that_start_and_clean_at_once_do_not_harm_each_other) {
  own_tmp();
  make_locator_directory();
  for (int i = 0; i < 200; i++) {
    (void)leave(ABSENT + i, "", 0600);
  }
  pid_t children[20];
  for (int i = 0; i < 20; i++) {
    children[i] = start_child(start_and_check, NULL);
  }
  for (int i = 0; i < 20; i++) {
    expect_success(children[i]);
  }
  (void)place("x", 1);
  CHECK(count_locator_files() < 200);
}
