/* The shared directory on common file systems. They differ in whether a lock outlives the
 * descriptor, which device a file seems to be on, and what a store to a full disk does. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "own_tmp.h"
#include "support.h"

/* ---- Places ---------------------------------------------------------------------------------- */

/* Creates a file system in an image, and mounts it on /tmp. */
static void mount_image(const char *make, const char *type, const char *size) {
  need_root();
  own_tmp();
  char image[] = "/var/tmp/nearbuf-image-XXXXXX";
  int file = mkstemp(image);
  CHECK(file >= 0);
  close(file);
  char command[512];
  snprintf(command, sizeof command,
           "truncate -s %s %s && %s %s >/dev/null 2>&1 && mount -t %s -o loop %s /tmp 2>/dev/null",
           size, image, make, image, type, image);
  kept_folder kept = open_own_folder();
  int result = system(command);
  unlink(image);
  if (result != 0) {
    test_skip("cannot make and mount a %s file system here", type);
  }
  CHECK(put_own_folder_back(&kept));
  CHECK_EQUAL(0, chmod("/tmp", 01777));
}

static void mount_overlay(void) {
  own_tmp();
  CHECK_EQUAL(0, mkdir("/tmp/lower", 0755));
  CHECK_EQUAL(0, mkdir("/tmp/upper", 01777));
  CHECK_EQUAL(0, mkdir("/tmp/work", 0755));
  kept_folder kept = open_own_folder();
  if (mount("none", "/tmp", "overlay", 0,
            "lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work") != 0) {
    test_skip("cannot mount an overlay: %s", strerror(errno));
  }
  CHECK(put_own_folder_back(&kept));
}

/* ---- What must hold on each ------------------------------------------------------------------ */

static void use_by_copy(const copy *library) {
  nearbuf_request request = request_of(8);
  nearbuf_memory placed;
  CHECK_OK(library->place(&request, "12345678", &placed));
  CHECK_EQUAL(first_locator(), first_locator_of(library));
}

static void be_a_child(void *context) {
  uintptr_t parents = *(const uintptr_t *)context;
  CHECK_EQUAL(42, call_answer(place_answer(42)));
  CHECK(first_locator() != parents);
  CHECK(exists(locator_path(getpid()).text));
  CHECK(exists(locator_path(getppid()).text)); /* cleaning up left the live one */
}

static void leave_with_our_id(void *context) {
  (void)place("x", 1);
  CHECK_EQUAL(0, rename(locator_path(getpid()).text, ((const path *)context)->text));
}

/* Whether another process locks the file, as a process that wants to remove it checks. */
static bool is_lock_free(const char *name) {
  int file = open(name, O_RDWR | O_CLOEXEC);
  bool is_free = flock(file, LOCK_EX | LOCK_NB) == 0;
  close(file);
  return is_free;
}

/* A process that maps its locator itself, as the other implementations do, so that only the map
 * proves it alive. */
static void attach(void *context) {
  (void)context;
  path own = locator_path(getpid());
  int file = open(own.text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  CHECK_EQUAL(0, ftruncate(file, 4096));
  void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  memcpy(page, &page, sizeof page);
  (void)place("x", 1);
  CHECK_EQUAL((uintptr_t)page, first_locator());
}

static void attach_as_others_do(void) {
  in_child(attach, NULL);
}

static void check_all(bool do_locks_last) {
  path own = locator_path(getpid());
  copy early = load_copy(1);
  CHECK_EQUAL(0, first_locator());
  make_locator_directory();
  in_child(leave_with_our_id, &own); /* a stale file of a dead process with our id */
  CHECK_EQUAL(42, call_answer(place_answer(42)));
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, totals.sharing);
  CHECK_EQUAL(1, count_locator_files());
  CHECK_EQUAL(!do_locks_last, is_lock_free(own.text));
  use_by_copy(&early);
  uintptr_t parents = first_locator();
  in_child(be_a_child, &parents);
  in_child(be_a_child, &parents);
  CHECK_EQUAL(2, count_locator_files()); /* the first child's went, the second's is there */
  CHECK_EQUAL(0, unlink(own.text));
  copy late = load_copy(2);
  use_by_copy(&late);
  attach_as_others_do();
}

TEST(all_holds_on_tmpfs) {
  own_tmp();
  check_all(true);
}

TEST(all_holds_on_ext4) {
  mount_image("mkfs.ext4 -q", "ext4", "64M");
  check_all(true);
}

TEST(all_holds_on_btrfs) {
  mount_image("mkfs.btrfs -q", "btrfs", "128M");
  check_all(true);
}

TEST(all_holds_on_xfs) {
  mount_image("mkfs.xfs -q", "xfs", "320M");
  check_all(true);
}

TEST(all_holds_on_overlayfs) {
  mount_overlay();
  check_all(false);
}

/* ---- A disk that fills up -------------------------------------------------------------------- */

static void fill_disk(void) {
  int file = open("/tmp/filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  static char block[1 << 16];
  for (size_t size = sizeof block; size >= 512; size /= 2) {
    while (write(file, block, size) > 0) {
    }
    CHECK_EQUAL(ENOSPC, errno);
    fsync(file);
  }
  close(file);
}

/* Stores to every item: a hole, or a copy on write, would be a SIGBUS. */
static void fill_disk_and_go_on(void) {
  (void)place("x", 1);
  sync();
  fill_disk();
  nearbuf_request request = request_of(1);
  nearbuf_totals totals = {0};
  while (totals.locators < 2) {
    nearbuf_buffer buffer;
    CHECK_OK(nearbuf_get(&request, &buffer));
    CHECK_OK(nearbuf_append(&buffer, "x", 1, NULL));
    CHECK_OK(nearbuf_get_totals(&totals));
    if (totals.buffers % 50 == 0) {
      sync();
    }
  }
}

TEST(a_tmpfs_that_fills_up_kills_no_process) {
  own_tmp();
  fill_disk_and_go_on();
}

TEST(an_ext4_that_fills_up_kills_no_process) {
  mount_image("mkfs.ext4 -q", "ext4", "16M");
  fill_disk_and_go_on();
}

TEST(a_btrfs_that_fills_up_kills_no_process) {
  mount_image("mkfs.btrfs -q", "btrfs", "128M");
  fill_disk_and_go_on();
}

TEST(an_xfs_that_fills_up_kills_no_process) {
  mount_image("mkfs.xfs -q", "xfs", "320M");
  fill_disk_and_go_on();
}
