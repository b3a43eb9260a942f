/* Several users on one machine: the library works for each, trusts no other user, and harms
 * none. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/format.h"
#include "locator_names.h"
#include "support.h"

enum { STRANGER = 65534, OTHER = 65533, PAGE = 4096 };

static void become(uid_t user) {
  CHECK_EQUAL(0, setgid(user));
  CHECK_EQUAL(0, setuid(user));
  CHECK_EQUAL(0, prctl(PR_SET_DUMPABLE, 1)); /* as after an exec: not privileged any more */
}

static nearbuf_totals totals_now(void) {
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  return totals;
}

static void use(void) {
  CHECK_EQUAL(42, call_answer(place_answer(42)));
}

static void start_here(void) {
  need_root();
  own_tmp();
  (void)load_copy(1); /* the file, while we may write it */
}

/* ---- Both work ------------------------------------------------------------------------------- */

static void use_as_stranger(void *context) {
  (void)context;
  become(STRANGER);
  use();
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, totals_now().sharing);
  struct stat status;
  CHECK_EQUAL(0, stat(locator_path(getpid()).text, &status));
  CHECK_EQUAL(STRANGER, status.st_uid);
  CHECK(unlink(locator_path(getppid()).text) != 0); /* sticky */
}

TEST(a_second_user_has_a_shared_locator_too) {
  start_here();
  umask(077);
  use();
  in_child(use_as_stranger, NULL);
  CHECK(exists(locator_path(getpid()).text));
}

static void make_the_directories(void *context) {
  (void)context;
  become(STRANGER);
  use();
}

TEST(directories_that_a_stranger_made_first_serve_all_users) {
  start_here();
  in_child(make_the_directories, NULL);
  use();
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, totals_now().sharing);
}

/* ---- What a stranger made unusable ----------------------------------------------------------- */

static void expect_one_locator(nearbuf_sharing sharing) {
  copy other = load_copy(1);
  nearbuf_request request = request_of(8);
  nearbuf_memory placed;
  use();
  CHECK_EQUAL(sharing, totals_now().sharing);
  CHECK_OK(other.place(&request, "12345678", &placed));
  nearbuf_totals totals;
  CHECK_OK(other.get_totals(&totals));
  CHECK_EQUAL(sharing, totals.sharing);
  CHECK_EQUAL(first_locator(), totals.first_locator);
}

/* The locator is private: shared by the copies in this process, and the caller learns why. */
static void expect_private(int reason) {
  expect_one_locator(NEARBUF_SHARING_PRIVATE);
  CHECK_EQUAL(reason, totals_now().private_reason);
}

/* The locator is in our own user's directory, which no other user can use. */
static void expect_in_own_directory(void) {
  mode_t old = umask(0777);
  expect_one_locator(NEARBUF_SHARING_SHARED);
  umask(old);
  struct stat status;
  CHECK_EQUAL(0, stat(own_directory_path(getpid()).text, &status));
  CHECK_EQUAL(geteuid(), status.st_uid);
  CHECK_EQUAL(0, lstat(own_directory().text, &status));
  CHECK_EQUAL(S_IFDIR | 0700, status.st_mode);
  CHECK_EQUAL(geteuid(), status.st_uid);
}

static void use_closed_directory(void *context) {
  (void)context;
  become(STRANGER);
  expect_in_own_directory();
}

TEST(where_the_directory_is_closed_to_us_one_of_our_own_is_used) {
  start_here();
  CHECK_EQUAL(0, mkdir(SHARED_PARENT, 0700));
  in_child(use_closed_directory, NULL);
}

TEST(where_an_inner_directory_is_closed_to_us_one_of_our_own_is_used) {
  start_here();
  make_locator_directory();
  CHECK_EQUAL(0, chmod(LOCATOR_DIRECTORY, 0700));
  in_child(use_closed_directory, NULL);
}

TEST(where_we_may_not_write_the_directory_one_of_our_own_is_used) {
  start_here();
  make_locator_directory();
  CHECK_EQUAL(0, chmod(LOCATOR_DIRECTORY, 0755));
  in_child(use_closed_directory, NULL);
}

TEST(where_we_may_not_write_the_outer_directory_one_of_our_own_is_used) {
  start_here();
  CHECK_EQUAL(0, mkdir(SHARED_PARENT, 0755));
  in_child(use_closed_directory, NULL);
}

/* Processes that find the shared directory usable also look into the user's own one. */
static void use_then_open(void *context) {
  const int *ends = context;
  copy other = load_copy(1);
  nearbuf_request request = request_of(8);
  nearbuf_memory placed;
  char byte = 0;
  become(STRANGER);
  use();
  CHECK_EQUAL(1, write(ends[3], &byte, 1));
  CHECK_EQUAL(1, read(ends[0], &byte, 1)); /* it is open now */
  CHECK_OK(other.place(&request, "12345678", &placed));
  CHECK_EQUAL(first_locator(), first_locator_of(&other));
  for (int i = 0; i < 2 * 203; i++) { /* later locators */
    nearbuf_buffer buffer;
    CHECK_OK(other.get(&request, &buffer));
  }
  CHECK_EQUAL(first_locator(), first_locator_of(&other));
}

TEST(a_directory_that_is_opened_to_us_later_changes_nothing) {
  start_here();
  CHECK_EQUAL(0, mkdir(SHARED_PARENT, 0700));
  int ends[4];
  char byte = 0;
  CHECK_EQUAL(0, pipe(ends));
  CHECK_EQUAL(0, pipe(&ends[2]));
  pid_t child = start_child(use_then_open, ends);
  CHECK_EQUAL(1, read(ends[2], &byte, 1));
  CHECK_EQUAL(0, chmod(SHARED_PARENT, 01777));
  CHECK_EQUAL(1, write(ends[1], &byte, 1));
  expect_success(child);
}

/* ---- What a stranger planted ----------------------------------------------------------------- */

static void expect_empty(const char *directory) {
  CHECK_EQUAL(0, rmdir(directory));
}

TEST(a_planted_link_in_place_of_the_directory_is_not_followed) {
  start_here();
  CHECK_EQUAL(0, mkdir("/tmp/trap", 0777));
  CHECK_EQUAL(0, symlink("/tmp/trap", SHARED_PARENT));
  expect_in_own_directory();
  expect_empty("/tmp/trap");
}

TEST(a_planted_link_in_place_of_the_inner_directory_is_not_followed) {
  start_here();
  CHECK_EQUAL(0, mkdir("/tmp/trap", 0777));
  CHECK_EQUAL(0, mkdir(SHARED_PARENT, 01777));
  CHECK_EQUAL(0, symlink("/tmp/trap", LOCATOR_DIRECTORY));
  expect_in_own_directory();
  expect_empty("/tmp/trap");
}

TEST(a_planted_link_in_place_of_our_own_directory_is_not_followed) {
  start_here();
  CHECK_EQUAL(0, mkdir("/tmp/trap", 0700));
  CHECK_EQUAL(0, symlink("/tmp/trap", own_directory().text));
  write_file(SHARED_PARENT, "", 0, 0600);
  expect_private(ENOTDIR);
  expect_empty("/tmp/trap");
}

TEST(a_strangers_directory_in_place_of_our_own_is_not_used) {
  start_here();
  CHECK_EQUAL(0, mkdir(own_directory().text, 0700));
  CHECK_EQUAL(0, chown(own_directory().text, OTHER, OTHER));
  write_file(SHARED_PARENT, "", 0, 0600);
  expect_private(ENOTDIR);
  expect_empty(own_directory().text);
}

TEST(a_directory_of_our_own_that_others_may_write_is_not_used) {
  start_here();
  CHECK_EQUAL(0, mkdir(own_directory().text, 0700));
  CHECK_EQUAL(0, chmod(own_directory().text, 0770));
  write_file(SHARED_PARENT, "", 0, 0600);
  expect_private(ENOTDIR);
  expect_empty(own_directory().text);
}

TEST(no_directory_of_our_own_is_used_where_others_can_replace_it) {
  start_here();
  CHECK_EQUAL(0, chmod("/tmp", 0777));
  write_file(SHARED_PARENT, "", 0, 0600);
  expect_private(ENOTDIR);
}

/* A hostile user knows our id and our memory layout: the file is as convincing as a file can be. */
typedef struct plant {
  path file;
  unsigned char page[PAGE];
  mode_t mode;
} plant;

static void plant_file(void *context) {
  const plant *what = context;
  become(STRANGER);
  write_file(what->file.text, what->page, PAGE, what->mode);
}

static void expect_not_believed(mode_t mode) {
  start_here();
  make_locator_directory();
  unsigned char *target =
      mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  static plant what;
  nbuf_item item = {.base = (uintptr_t)target, .size = PAGE};
  nbuf_format_build((uintptr_t)what.page, nbuf_native_layout(NEARBUF_DIALECT_WRITTEN),
                    (uintptr_t)target, &item, 1);
  memcpy(target, what.page, PAGE);
  what.file = locator_path(getpid());
  what.mode = mode;
  in_child(plant_file, &what);
  struct stat before;
  CHECK_EQUAL(0, stat(what.file.text, &before));
  use();
  CHECK(first_locator() != (uintptr_t)target);
  CHECK(memcmp(target, what.page, PAGE) == 0);
  struct stat after;
  CHECK_EQUAL(0, stat(what.file.text, &after));
  CHECK_EQUAL(before.st_ino, after.st_ino);
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, totals_now().sharing); /* under the other name */
}

TEST(a_strangers_file_is_not_believed_by_root) {
  expect_not_believed(0600);
}

TEST(a_strangers_file_that_every_user_may_write_is_not_believed) {
  expect_not_believed(0666);
}

/* ---- Processes that gave up rights ----------------------------------------------------------- */

TEST(a_copy_that_starts_after_the_process_gave_up_root_finds_the_locator) {
  start_here();
  use();
  copy other = load_copy(1);
  become(STRANGER);
  nearbuf_request request = request_of(8);
  nearbuf_memory placed;
  CHECK_OK(other.place(&request, "12345678", &placed));
  CHECK_EQUAL(first_locator(), first_locator_of(&other));
}

/* ---- Which users may remove our names -------------------------------------------------------- */

TEST(a_directory_that_belongs_to_a_stranger_is_used_and_not_trusted) {
  start_here();
  make_locator_directory();
  CHECK_EQUAL(0, chown(SHARED_PARENT, OTHER, OTHER));
  CHECK_EQUAL(0, chown(LOCATOR_DIRECTORY, OTHER, OTHER));
  CHECK_EQUAL(0, chmod(LOCATOR_DIRECTORY, 0777));
  use();
  CHECK_EQUAL(0, unlink(locator_path(getpid()).text)); /* as its owner may do */
  copy other = load_copy(1);
  CHECK_EQUAL(first_locator(), first_locator_of(&other));
}
