/* Several users on one machine: everybody works, nobody is believed, nobody is harmed. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format.h"
#include "support.h"

enum { STRANGER = 65534, OTHER = 65533, PAGE = 4096 };

static void become(uid_t user) {
  CHECK_EQUAL(0, setgid(user));
  CHECK_EQUAL(0, setuid(user));
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

/* ---- Both work --------------------------------------------------------------------------------- */

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

TEST(directories_that_a_stranger_made_first_serve_everybody) {
  start_here();
  in_child(make_the_directories, NULL);
  use();
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, totals_now().sharing);
}

/* ---- What a stranger made unusable ------------------------------------------------------------- */

/* The locator is private: shared by the copies in this process, and the caller learns why. */
static void expect_private(int reason) {
  copy other = load_copy(1);
  nearbuf_request request = request_of(8);
  nearbuf_memory placed;
  use();
  CHECK_EQUAL(NEARBUF_SHARING_PRIVATE, totals_now().sharing);
  CHECK_EQUAL(reason, totals_now().private_reason);
  CHECK_OK(other.place(&request, "12345678", &placed));
  nearbuf_totals totals;
  CHECK_OK(other.get_totals(&totals));
  CHECK_EQUAL(NEARBUF_SHARING_PRIVATE, totals.sharing);
  CHECK_EQUAL(first_locator(), totals.first_locator);
}

static void use_closed_directory(void *context) {
  (void)context;
  become(STRANGER);
  expect_private(EACCES);
}

TEST(a_directory_that_is_closed_to_us_makes_the_locator_private) {
  start_here();
  CHECK_EQUAL(0, mkdir("/tmp/.reloaded", 0700));
  in_child(use_closed_directory, NULL);
}

TEST(an_inner_directory_that_is_closed_to_us_makes_the_locator_private) {
  start_here();
  make_locator_directory();
  CHECK_EQUAL(0, chmod(LOCATOR_DIRECTORY, 0700));
  in_child(use_closed_directory, NULL);
}

static void use_unwritable_directory(void *context) {
  (void)context;
  become(STRANGER);
  expect_private(EACCES);
}

TEST(a_directory_that_we_may_not_write_makes_the_locator_private) {
  start_here();
  make_locator_directory();
  CHECK_EQUAL(0, chmod(LOCATOR_DIRECTORY, 0755));
  in_child(use_unwritable_directory, NULL);
}

/* ---- What a stranger planted ------------------------------------------------------------------- */

static void expect_empty(const char *directory) {
  CHECK_EQUAL(0, rmdir(directory));
}

TEST(a_planted_link_in_place_of_the_directory_is_not_followed) {
  start_here();
  CHECK_EQUAL(0, mkdir("/tmp/trap", 0777));
  CHECK_EQUAL(0, symlink("/tmp/trap", "/tmp/.reloaded"));
  expect_private(ENOTDIR);
  expect_empty("/tmp/trap");
}

TEST(a_planted_link_in_place_of_the_inner_directory_is_not_followed) {
  start_here();
  CHECK_EQUAL(0, mkdir("/tmp/trap", 0777));
  CHECK_EQUAL(0, mkdir("/tmp/.reloaded", 01777));
  CHECK_EQUAL(0, symlink("/tmp/trap", LOCATOR_DIRECTORY));
  expect_private(ENOTDIR);
  expect_empty("/tmp/trap");
}

/* A stranger knows our id, and our memory: the file is as good as a file can be. */
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
  nb_item item = {.base = (uintptr_t)target, .size = PAGE};
  nb_format_build((uintptr_t)what.page, nb_native_layout(NEARBUF_DIALECT_WRITTEN),
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

TEST(a_strangers_file_that_everybody_may_write_is_not_believed) {
  expect_not_believed(0666);
}

/* ---- Who gave up rights ------------------------------------------------------------------------ */

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

/* ---- Who may remove our names ------------------------------------------------------------------ */

TEST(a_directory_that_belongs_to_a_stranger_is_used_and_not_trusted) {
  start_here();
  make_locator_directory();
  CHECK_EQUAL(0, chown("/tmp/.reloaded", OTHER, OTHER));
  CHECK_EQUAL(0, chown(LOCATOR_DIRECTORY, OTHER, OTHER));
  CHECK_EQUAL(0, chmod(LOCATOR_DIRECTORY, 0777));
  use();
  CHECK_EQUAL(0, unlink(locator_path(getpid()).text)); /* as its owner may do */
  copy other = load_copy(1);
  CHECK_EQUAL(first_locator(), first_locator_of(&other));
}
