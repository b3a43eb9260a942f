/* Where no directory is usable, where the program chooses so, and in privileged programs, the
 * locator is private to the process: every copy of the library in it shares it, and the caller
 * learns why. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/format.h"

#include "locator_names.h"
#include "support.h"

/* The copies' files must be in place before the obstacle is. */
static void start_here(void) {
  own_tmp();
  (void)load_copy(1);
  (void)load_copy(2);
}

static nearbuf_totals totals_of(const copy *library) {
  nearbuf_totals totals;
  CHECK_OK(library->get_totals(&totals));
  return totals;
}

/* Copies that are loaded already, because their files may become unreachable. */
static void expect_private(const copy copies[2], int reason) {
  nearbuf_request request = request_of(8);
  nearbuf_memory placed;
  for (int i = 0; i < 2; i++) {
    CHECK_OK(copies[i].place(&request, "12345678", &placed));
    nearbuf_totals totals = totals_of(&copies[i]);
    CHECK_EQUAL(NEARBUF_SHARING_PRIVATE, totals.sharing);
    CHECK_EQUAL(1, totals.locators);
    CHECK(i == 1 || totals.private_reason == reason);
  }
  CHECK_EQUAL(totals_of(&copies[0]).first_locator, totals_of(&copies[1]).first_locator);
  (void)place("x", 1);
  CHECK_EQUAL(totals_of(&copies[0]).first_locator, first_locator());
}

static void fill_locators(const copy *library, uint32_t locators) {
  nearbuf_request request = request_of(1);
  while (totals_of(library).locators < locators) {
    nearbuf_buffer buffer;
    CHECK_OK(library->get(&request, &buffer));
    CHECK_OK(library->append(&buffer, "x", 1, NULL));
  }
}

static void run_with_obstacle(void (*obstruct)(void), int reason) {
  start_here();
  copy copies[2] = {load_copy(1), load_copy(2)};
  obstruct();
  expect_private(copies, reason);
  fill_locators(&copies[0], 3); /* the chain grows all the same */
  nearbuf_totals totals = totals_of(&copies[1]);
  CHECK_EQUAL(3, totals.locators);
}

static void hide_tmp(void) {
  CHECK_EQUAL(0, umount2("/tmp", MNT_DETACH));
  CHECK_EQUAL(0, mount("none", "/tmp", "tmpfs", 0, "mode=1777"));
  CHECK_EQUAL(0, mount("none", "/tmp", NULL, MS_REMOUNT | MS_RDONLY, NULL));
}

TEST(a_read_only_tmp_makes_the_locator_private) {
  run_with_obstacle(hide_tmp, EROFS);
}

static void lose_tmp(void) {
  CHECK_EQUAL(0, mkdir("/tmp/root", 0755));
  CHECK_EQUAL(0, mkdir("/tmp/root/proc", 0755));
  CHECK_EQUAL(0, mount("/proc", "/tmp/root/proc", NULL, MS_BIND, NULL));
  CHECK_EQUAL(0, chroot("/tmp/root"));
}

TEST(a_missing_tmp_makes_the_locator_private) {
  run_with_obstacle(lose_tmp, ENOENT);
}

static void fill_tmp(void) {
  int file = open("/tmp/filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  static char block[1 << 16];
  make_locator_directory();
  while (write(file, block, sizeof block) > 0) {
  }
  while (write(file, block, 1) > 0) {
  }
  CHECK_EQUAL(ENOSPC, errno);
}

TEST(a_full_tmp_makes_the_locator_private_and_kills_no_process) {
  run_with_obstacle(fill_tmp, ENOSPC);
}

static void limit_file_size(void) {
  struct rlimit limit = {1000, 1000};
  CHECK_EQUAL(0, setrlimit(RLIMIT_FSIZE, &limit));
}

TEST(a_limit_on_file_sizes_makes_the_locator_private_and_kills_no_process) {
  run_with_obstacle(limit_file_size, EFBIG);
}

static void use_up_inodes(void) {
  CHECK_EQUAL(0, umount2("/tmp", MNT_DETACH));
  CHECK_EQUAL(0, mount("none", "/tmp", "tmpfs", 0, "mode=1777,nr_inodes=3"));
}

TEST(a_tmp_without_inodes_makes_the_locator_private) {
  run_with_obstacle(use_up_inodes, ENOSPC);
}

TEST(files_in_place_of_both_directories_make_the_locator_private) {
  run_with_obstacle(obstruct_directories, ENOTDIR);
}

TEST(a_private_locator_stays_when_the_obstacle_goes) {
  start_here();
  copy copies[2] = {load_copy(1), load_copy(2)};
  obstruct_directories();
  nearbuf_request request = request_of(8);
  nearbuf_memory placed;
  CHECK_OK(copies[0].place(&request, "12345678", &placed));
  CHECK_EQUAL(0, unlink(SHARED_PARENT));
  CHECK_EQUAL(0, unlink(own_directory().text));
  CHECK_OK(copies[1].place(&request, "12345678", &placed));
  CHECK_EQUAL(totals_of(&copies[0]).first_locator, totals_of(&copies[1]).first_locator);
  CHECK_EQUAL(NEARBUF_SHARING_PRIVATE, totals_of(&copies[1]).sharing);
  CHECK_EQUAL(0, count_locator_files());
}

TEST(a_shared_locator_stays_when_an_obstacle_comes) {
  start_here();
  copy copies[2] = {load_copy(1), load_copy(2)};
  nearbuf_request request = request_of(8);
  nearbuf_memory placed;
  CHECK_OK(copies[0].place(&request, "12345678", &placed));
  hide_tmp();
  CHECK_OK(copies[1].place(&request, "12345678", &placed));
  CHECK_EQUAL(totals_of(&copies[0]).first_locator, totals_of(&copies[1]).first_locator);
  fill_locators(&copies[1], 2); /* a later locator that no name leads to */
  CHECK_EQUAL(2, totals_of(&copies[0]).locators);
}

/* ---- By choice ------------------------------------------------------------------------------- */

static void expect_no_directories(void) {
  CHECK(!exists(SHARED_PARENT));
  CHECK(!exists(own_directory().text));
}

static void expect_private_in_child(void *context) {
  nearbuf_request request = request_of(8);
  nearbuf_memory placed;
  CHECK_OK(((const copy *)context)->place(&request, "12345678", &placed));
  CHECK_EQUAL(NEARBUF_SHARING_PRIVATE, totals_of(context).sharing);
}

TEST(a_private_locator_on_request_makes_no_file_and_is_shared_by_all_copies) {
  start_here();
  copy copies[2] = {load_copy(1), load_copy(2)};
  CHECK_OK(copies[0].choose_sharing(NEARBUF_SHARING_PRIVATE));
  expect_private(copies, 0);
  CHECK_EQUAL(0, totals_of(&copies[0]).private_reason);
  fill_locators(&copies[0], 3);
  CHECK_EQUAL(3, totals_of(&copies[1]).locators);
  in_child(expect_private_in_child, &copies[0]);
  expect_no_directories();
}

TEST(a_choice_that_comes_too_late_changes_nothing) {
  start_here();
  copy copies[2] = {load_copy(1), load_copy(2)};
  (void)place("x", 1);
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, copies[0].choose_sharing(NEARBUF_SHARING_PRIVATE));
  CHECK_OK(copies[0].choose_sharing(NEARBUF_SHARING_SHARED));
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, totals_of(&copies[0]).sharing);
  CHECK_EQUAL(first_locator(), totals_of(&copies[0]).first_locator);
  fill_locators(&copies[0], 2);
  CHECK_EQUAL(2, count_locator_files());
}

PART(part_uses_what_the_environment_asks_for) {
  (void)place("x", 1);
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(NEARBUF_SHARING_PRIVATE, totals.sharing);
  CHECK_EQUAL(0, totals.private_reason);
  expect_no_directories();
}

TEST(the_environment_can_ask_for_a_private_locator) {
  own_tmp();
  CHECK_EQUAL(0, setenv("NEARBUF_SHARING", "private", 1));
  exec_part("part_uses_what_the_environment_asks_for");
}

PART(part_uses_what_the_program_chose) {
  CHECK_OK(nearbuf_choose_sharing(NEARBUF_SHARING_SHARED));
  (void)place("x", 1);
  CHECK_EQUAL(1, count_locator_files());
}

TEST(the_programs_choice_comes_before_the_environments) {
  own_tmp();
  CHECK_EQUAL(0, setenv("NEARBUF_SHARING", "private", 1));
  exec_part("part_uses_what_the_program_chose");
}

/* ---- Privileged programs --------------------------------------------------------------------- */

enum { STRANGER = 65534 };

static void use_privileged(const copy copies[2]) {
  expect_private(copies, EPERM);
  fill_locators(&copies[0], 2);
  expect_no_directories();
}

static void hide_memory(void) {
  CHECK_EQUAL(0, prctl(PR_SET_DUMPABLE, 0));
}

TEST(the_locator_of_a_program_that_is_not_dumpable_is_private) {
  start_here();
  copy copies[2] = {load_copy(1), load_copy(2)};
  hide_memory();
  use_privileged(copies);
}

/* The kernel makes it not dumpable, which is taken back here: the ids alone decide. */
static void expect_private_with_ids(uid_t real, uid_t effective, uid_t saved) {
  need_root();
  start_here();
  copy copies[2] = {load_copy(1), load_copy(2)};
  CHECK_EQUAL(0, setresuid(real, effective, saved));
  CHECK_EQUAL(0, prctl(PR_SET_DUMPABLE, 1));
  use_privileged(copies);
}

TEST(the_locator_of_a_program_that_can_become_root_again_is_private) {
  expect_private_with_ids(STRANGER, STRANGER, 0);
}

TEST(the_locator_of_a_program_with_another_effective_user_is_private) {
  expect_private_with_ids(0, STRANGER, STRANGER);
}

TEST(the_locator_of_a_program_with_another_effective_group_is_private) {
  need_root();
  start_here();
  copy copies[2] = {load_copy(1), load_copy(2)};
  CHECK_EQUAL(0, setegid(STRANGER));
  CHECK_EQUAL(0, prctl(PR_SET_DUMPABLE, 1));
  use_privileged(copies);
}

/* A program that was started with privileges: the file belongs to its user, the environment comes
 * from its user. */
PART(part_has_gained_rights) {
  CHECK_EQUAL(0, prctl(PR_SET_DUMPABLE, 1));
  (void)place("x", 1);
  nearbuf_totals totals;
  nearbuf_walk walk = {0};
  nearbuf_info info;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(NEARBUF_SHARING_PRIVATE, totals.sharing);
  CHECK_EQUAL(EPERM, totals.private_reason);
  CHECK_OK(nearbuf_next(&walk, &info));
  CHECK_EQUAL(NEARBUF_DIALECT_WRITTEN, info.dialect);
  expect_no_directories();
}

/* In the format of the kernel: permitted and effective from the start, CAP_NET_BIND_SERVICE. */
static void grant_capability(const char *program) {
  const uint32_t granted[5] = {0x02000001, 1 << 10, 0, 0, 0};
  if (setxattr(program, "security.capability", granted, sizeof granted, 0) != 0) {
    test_skip("no capabilities on files here: %s", strerror(errno));
  }
}

static void copy_program(const char *to) {
  static char bytes[1 << 16];
  int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  int made = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
  CHECK(from >= 0 && made >= 0);
  for (ssize_t count; (count = read(from, bytes, sizeof bytes)) > 0;) {
    CHECK_EQUAL(count, write(made, bytes, (size_t)count));
  }
  close(from);
  close(made);
}

TEST(a_program_with_capabilities_believes_no_file_and_no_variable) {
  need_root();
  own_tmp();
  copy_program("/tmp/program");
  grant_capability("/tmp/program");
  CHECK_EQUAL(0, setenv("NEARBUF_DIALECT", "rust", 1));
  CHECK_EQUAL(0, setgid(STRANGER));
  CHECK_EQUAL(0, setuid(STRANGER));
  execl("/tmp/program", "/tmp/program", "part_has_gained_rights", (char *)NULL);
  test_fail(__FILE__, __LINE__, "exec: %s", strerror(errno));
}

TEST(what_is_shared_stays_when_a_program_becomes_privileged_and_what_comes_later_is_private) {
  start_here();
  copy copies[2] = {load_copy(1), load_copy(2)};
  nearbuf_request request = request_of(8);
  nearbuf_memory placed;
  CHECK_OK(copies[0].place(&request, "12345678", &placed));
  hide_memory();
  CHECK_OK(copies[1].place(&request, "12345678", &placed));
  CHECK_EQUAL(totals_of(&copies[0]).first_locator, totals_of(&copies[1]).first_locator);
  fill_locators(&copies[1], 3);
  CHECK_EQUAL(3, totals_of(&copies[0]).locators);
  CHECK_EQUAL(1, count_locator_files());
}

/* What another implementation created in such a program is a file that its user can change. */
TEST(a_references_file_is_not_believed_by_a_privileged_program) {
  own_tmp();
  make_locator_directory();
  path own = locator_path(getpid());
  int file = open(own.text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  CHECK(file >= 0 && ftruncate(file, 4096) == 0);
  void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(page != MAP_FAILED);
  nbuf_item item = {.base = (uintptr_t)page, .size = 4096};
  nbuf_format_build((uintptr_t)page, nbuf_native_layout(NEARBUF_DIALECT_WRITTEN), (uintptr_t)page,
                    &item, 1);
  hide_memory();
  (void)place("x", 1);
  CHECK(first_locator() != (uintptr_t)page);
  CHECK_EQUAL(1, count_locator_files());
}

/* ---- Files that are not ours ----------------------------------------------------------------- */

/* Maps a file with the name of our locator, as a server maps what a client sends it, and is not
 * misled. */
static void expect_not_taken(int file) {
  CHECK(file >= 0 && ftruncate(file, 4096) == 0);
  void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(page != MAP_FAILED);
  nbuf_item item = {.base = (uintptr_t)page, .size = 4096};
  nbuf_format_build((uintptr_t)page, nbuf_native_layout(NEARBUF_DIALECT_WRITTEN), (uintptr_t)page,
                    &item, 1);
  (void)place("x", 1);
  CHECK(first_locator() != (uintptr_t)page);
}

TEST(a_memory_file_of_our_name_is_not_taken_for_the_locator) {
  own_tmp();
  char name[64];
  snprintf(name, sizeof name, "%s%d", LOCATOR_PREFIX, (int)getpid());
  expect_not_taken(memfd_create(name, MFD_CLOEXEC));
}

TEST(a_file_of_our_name_in_another_directory_is_not_taken_for_the_locator) {
  own_tmp();
  char name[128];
  CHECK_EQUAL(0, mkdir("/tmp/client", 0700));
  CHECK_EQUAL(0, mkdir("/tmp/client" SHARED_PARENT_IN_TMP, 0700));
  CHECK_EQUAL(0, mkdir("/tmp/client" SHARED_DIRECTORY_IN_TMP, 0700));
  snprintf(name, sizeof name, "/tmp/client" SHARED_DIRECTORY_IN_TMP "/%s%d", LOCATOR_PREFIX,
           (int)getpid());
  expect_not_taken(open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

/* ---- Names ----------------------------------------------------------------------------------- */

/* Every user of the machine can read them. */
TEST(names_of_later_locators_tell_no_addresses) {
  start_here();
  copy library = load_copy(1);
  fill_locators(&library, 4);
  DIR *names = opendir(LOCATOR_DIRECTORY);
  CHECK(names != NULL);
  int later = 0;
  for (const struct dirent *entry; (entry = readdir(names)) != NULL;) {
    const char *number = strstr(entry->d_name, ", later ");
    if (number != NULL) {
      uint32_t told = (uint32_t)strtoul(number + 8, NULL, 16);
      char file[512];
      uintptr_t address = 0;
      snprintf(file, sizeof file, "%s/%s", LOCATOR_DIRECTORY, entry->d_name);
      int opened = open(file, O_RDONLY | O_CLOEXEC);
      CHECK_EQUAL(sizeof address, read(opened, &address, sizeof address));
      close(opened);
      CHECK(strlen(number + 8) <= 8);
      CHECK(told != (uint32_t)address && told != (uint32_t)(address >> 12));
      later++;
    }
  }
  closedir(names);
  CHECK_EQUAL(3, later);
}
