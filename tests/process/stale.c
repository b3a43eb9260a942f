/* Files under our own name that are not our locator: nothing in them is trusted, nothing is
 * followed, and if they are provably dead they are replaced. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/format.h"
#include "os/posix/posix.h"
#include "support.h"

enum { PAGE = 4096 };

static ino_t inode_of(const char *file) {
  struct stat status;
  CHECK_EQUAL(0, lstat(file, &status));
  return status.st_ino;
}

/* Uses the library, and checks that its locator is a new file under our name. */
static void expect_replaced(ino_t stale) {
  unsigned char *code = place_answer(42);
  CHECK_EQUAL(42, call_answer(code));
  path own = locator_path(getpid());
  CHECK(inode_of(own.text) != stale);
  uintptr_t base;
  int file = open(own.text, O_RDONLY | O_CLOEXEC);
  CHECK_EQUAL(sizeof base, read(file, &base, sizeof base));
  close(file);
  CHECK_EQUAL(first_locator(), nbuf_little_address(base));
  CHECK_EQUAL(1, count_locator_files());
}

/* Uses the library, and checks that the locator has another name and the file is as it was. */
static void expect_left_alone(const char *file, ino_t inode) {
  unsigned char *code = place_answer(42);
  CHECK_EQUAL(42, call_answer(code));
  CHECK_EQUAL(inode, inode_of(file));
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, totals.sharing);
  CHECK_EQUAL(2, count_locator_files());
}

static ino_t make_stale(const void *bytes, size_t size) {
  own_tmp();
  make_locator_directory();
  path own = locator_path(getpid());
  write_file(own.text, bytes, size, 0600);
  return inode_of(own.text);
}

/* A page that looks like a locator of the address, with one item that is free. */
static void build(unsigned char *page, uintptr_t address, uintptr_t item, uint32_t size) {
  nbuf_item items[] = {{.base = item, .size = size}};
  nbuf_format_build((uintptr_t)page, nbuf_native_layout(NEARBUF_DIALECT_WRITTEN), address, items,
                    1);
}

TEST(an_empty_file_is_replaced) {
  expect_replaced(make_stale("", 0));
}

TEST(a_file_of_zeros_is_replaced) {
  unsigned char zeros[PAGE] = {0};
  expect_replaced(make_stale(zeros, sizeof zeros));
}

TEST(a_truncated_file_is_replaced) {
  _Alignas(8) unsigned char page[PAGE];
  build(page, 0x7f0000000000, 0x7f0000001000, PAGE);
  expect_replaced(make_stale(page, 100));
}

TEST(a_file_shorter_than_an_address_is_replaced) {
  expect_replaced(make_stale("abc", 3));
}

TEST(a_file_that_points_to_nothing_is_replaced) {
  _Alignas(8) unsigned char page[PAGE];
  build(page, 0x123456789000, 0x12345678a000, PAGE);
  expect_replaced(make_stale(page, sizeof page));
}

TEST(a_file_that_points_to_an_odd_address_is_replaced) {
  _Alignas(8) unsigned char page[PAGE];
  build(page, 0x123456789001, 0x12345678a000, PAGE);
  expect_replaced(make_stale(page, sizeof page));
}

TEST(a_file_that_points_into_other_memory_is_replaced) {
  unsigned char *other =
      mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  build(other, (uintptr_t)other, (uintptr_t)other, PAGE);
  ino_t stale = make_stale(other, PAGE);
  expect_replaced(stale);
  CHECK(first_locator() != (uintptr_t)other);
}

TEST(a_file_that_points_to_a_shared_mapping_of_another_file_is_replaced) {
  own_tmp();
  make_locator_directory();
  int file = open("/tmp/other", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  CHECK_EQUAL(0, ftruncate(file, PAGE));
  unsigned char *other = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  build(other, (uintptr_t)other, (uintptr_t)other, PAGE);
  path own = locator_path(getpid());
  write_file(own.text, other, PAGE, 0600);
  expect_replaced(inode_of(own.text));
}

TEST(a_file_that_points_to_a_private_mapping_of_itself_is_replaced) {
  own_tmp();
  make_locator_directory();
  path own = locator_path(getpid());
  unsigned char zeros[PAGE] = {0};
  write_file(own.text, zeros, sizeof zeros, 0600);
  int file = open(own.text, O_RDWR | O_CLOEXEC);
  unsigned char *mapped = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  build(mapped, (uintptr_t)mapped, 0x12345678a000, PAGE);
  CHECK_EQUAL(PAGE, pwrite(file, mapped, PAGE, 0));
  close(file);
  expect_replaced(inode_of(own.text));
}

/* Where the system would map the next page: mapping the file for inspection must not make its
 * address true. */
TEST(a_file_that_points_to_where_it_will_be_looked_at_is_replaced) {
  own_tmp();
  make_locator_directory();
  CHECK_EQUAL(0, first_locator()); /* the state's pages are mapped now */
  _Alignas(8) unsigned char page[PAGE];
  void *next = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK_EQUAL(0, munmap(next, PAGE));
  build(page, (uintptr_t)next, (uintptr_t)page, PAGE);
  path own = locator_path(getpid());
  write_file(own.text, page, sizeof page, 0600);
  expect_replaced(inode_of(own.text));
}

static void leave_a_file(void *context) {
  (void)context;
  (void)place("x", 1);
}

TEST(a_file_of_a_dead_process_with_our_id_is_replaced) {
  own_tmp();
  pid_t dead = start_child(leave_a_file, NULL);
  expect_success(dead);
  path own = locator_path(getpid());
  CHECK_EQUAL(0, rename(locator_path(dead).text, own.text));
  expect_replaced(inode_of(own.text));
}

/* ---- What must stay -------------------------------------------------------------------------- */

TEST(a_link_is_not_followed) {
  own_tmp();
  make_locator_directory();
  write_file("/tmp/victim", "precious", 8, 0600);
  path own = locator_path(getpid());
  CHECK_EQUAL(0, symlink("/tmp/victim", own.text));
  expect_left_alone(own.text, inode_of(own.text));
  char content[9] = "";
  int file = open("/tmp/victim", O_RDONLY | O_CLOEXEC);
  CHECK_EQUAL(8, read(file, content, sizeof content));
  CHECK(memcmp(content, "precious", 8) == 0);
}

TEST(a_link_to_our_own_locator_is_not_followed) {
  own_tmp();
  (void)place("x", 1);
  path own = locator_path(getpid());
  CHECK_EQUAL(0, rename(own.text, "/tmp/moved"));
  CHECK_EQUAL(0, symlink("/tmp/moved", own.text));
  copy other = load_copy(1);
  nearbuf_request request = request_of(1);
  nearbuf_memory placed;
  CHECK_OK(other.place(&request, "x", &placed));
  CHECK_EQUAL(first_locator(), first_locator_of(&other)); /* by our own memory, not by the link */
}

TEST(a_directory_under_our_name_is_left_alone) {
  own_tmp();
  make_locator_directory();
  path own = locator_path(getpid());
  CHECK_EQUAL(0, mkdir(own.text, 0700));
  expect_left_alone(own.text, inode_of(own.text));
}

TEST(a_pipe_under_our_name_is_left_alone_and_does_not_block) {
  own_tmp();
  make_locator_directory();
  path own = locator_path(getpid());
  CHECK_EQUAL(0, mkfifo(own.text, 0600));
  expect_left_alone(own.text, inode_of(own.text));
}

TEST(a_file_that_every_user_may_write_is_left_alone) {
  own_tmp();
  make_locator_directory();
  path own = locator_path(getpid());
  write_file(own.text, "", 0, 0666);
  expect_left_alone(own.text, inode_of(own.text));
}

TEST(a_file_whose_owner_lives_elsewhere_is_left_alone) {
  unsigned char page[PAGE] = {1, 0x10};
  ino_t stale = make_stale(page, sizeof page);
  path own = locator_path(getpid());
  int owner = open(own.text, O_RDWR | O_CLOEXEC);
  CHECK_EQUAL(0, flock(owner, LOCK_SH));
  expect_left_alone(own.text, stale);
}

/* The Rust implementation's order: the file exists before it has a size, and has a size before an
 * address. */
static void *be_born(void *context) {
  const path *own = context;
  int file = open(own->text, O_RDWR | O_CLOEXEC);
  usleep(20000);
  CHECK_EQUAL(0, ftruncate(file, PAGE));
  unsigned char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  usleep(20000);
  build(page, 0, 0, 0); /* everything but the address */
  nbuf_format_store_count((uintptr_t)page, nbuf_native_layout(NEARBUF_DIALECT_WRITTEN), 0);
  nbuf_shared_address_store_release((uintptr_t)page, sizeof(uintptr_t), (uintptr_t)page);
  return page;
}

TEST(a_references_locator_that_is_being_born_is_waited_for) {
  own_tmp();
  make_locator_directory();
  path own = locator_path(getpid());
  write_file(own.text, "", 0, 0600);
  ino_t inode = inode_of(own.text);
  pthread_t reference;
  CHECK_EQUAL(0, pthread_create(&reference, NULL, be_born, &own));
  (void)place("x", 1);
  void *page;
  CHECK_EQUAL(0, pthread_join(reference, &page));
  CHECK_EQUAL((uintptr_t)page, first_locator());
  CHECK_EQUAL(inode, inode_of(own.text));
}

TEST(a_references_locator_whose_file_was_removed_is_found) {
  own_tmp();
  make_locator_directory();
  path own = locator_path(getpid());
  write_file(own.text, "", 0, 0600);
  void *page = be_born(&own);
  CHECK_EQUAL(0, unlink(own.text));
  (void)place("x", 1);
  CHECK_EQUAL((uintptr_t)page, first_locator());
  CHECK(!exists(own.text));
}

/* ---- What cannot be looked at ---------------------------------------------------------------- */

/* Without a memory map it cannot be determined, and nothing may be replaced. */
TEST(an_unreadable_memory_map_is_an_error_and_harms_nothing) {
  own_tmp();
  need_root();
  (void)place("x", 1);
  copy other = load_copy(1);
  path own = locator_path(getpid());
  ino_t inode = inode_of(own.text);
  if (mount("none", "/proc", "tmpfs", 0, NULL) != 0) {
    test_skip("cannot hide /proc");
  }
  nearbuf_request request = request_of(1);
  nearbuf_memory placed;
  CHECK_STATUS(NEARBUF_SYSTEM_ERROR, other.place(&request, "x", &placed));
  CHECK_EQUAL(ENOENT, placed.system_error);
  CHECK_EQUAL(0, umount("/proc"));
  CHECK_EQUAL(inode, inode_of(own.text));
  CHECK_EQUAL(1, count_locator_files());
  CHECK_OK(other.place(&request, "x", &placed));
  CHECK_EQUAL(first_locator(), first_locator_of(&other));
}
