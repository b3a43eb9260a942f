/* Where the shared place cannot be used, the locator is private to the process: every copy of the
 * library in it shares it, and the caller learns why. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Copies that are loaded already, for their files may be out of reach. */
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

TEST(a_full_tmp_makes_the_locator_private_and_kills_nobody) {
  run_with_obstacle(fill_tmp, ENOSPC);
}

static void limit_file_size(void) {
  struct rlimit limit = {1000, 1000};
  CHECK_EQUAL(0, setrlimit(RLIMIT_FSIZE, &limit));
}

TEST(a_limit_on_file_sizes_makes_the_locator_private_and_kills_nobody) {
  run_with_obstacle(limit_file_size, EFBIG);
}

static void use_up_inodes(void) {
  CHECK_EQUAL(0, umount2("/tmp", MNT_DETACH));
  CHECK_EQUAL(0, mount("none", "/tmp", "tmpfs", 0, "mode=1777,nr_inodes=3"));
}

TEST(a_tmp_without_inodes_makes_the_locator_private) {
  run_with_obstacle(use_up_inodes, ENOSPC);
}

static void put_a_file_there(void) {
  write_file("/tmp/.reloaded", "", 0, 0600);
}

TEST(a_file_in_place_of_the_directory_makes_the_locator_private) {
  run_with_obstacle(put_a_file_there, ENOTDIR);
}

TEST(a_private_locator_stays_when_the_obstacle_goes) {
  start_here();
  copy copies[2] = {load_copy(1), load_copy(2)};
  put_a_file_there();
  nearbuf_request request = request_of(8);
  nearbuf_memory placed;
  CHECK_OK(copies[0].place(&request, "12345678", &placed));
  CHECK_EQUAL(0, unlink("/tmp/.reloaded"));
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
