/* Other processes: open, find, walk, get, append, read, write. The target is a program that uses no
 * part of the library. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/format.h"
#include "locator_names.h"
#include "own_tmp.h"
#include "remote_linux.h"
#include "test.h"

TEST(a_process_that_is_not_there_is_not_found) {
  nearbuf_process process;
  pid_t child = fork();
  if (child == 0) {
    _exit(0);
  }
  CHECK_EQUAL(child, waitpid(child, NULL, 0));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_open(child, &process));
  CHECK_EQUAL(0, process.id);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_open((int64_t)1 << 40, &process));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_open(0, &process));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_open(1, NULL));
}

TEST(a_process_is_described) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_info info;
  CHECK_OK(nearbuf_process_describe(&process, &info));
  CHECK_EQUAL(idle.id, info.id);
  CHECK_EQUAL(idle.id, info.own_id);
  CHECK_EQUAL(geteuid(), info.user);
  CHECK_EQUAL(sizeof(void *) * 8, info.address_bits);
  CHECK_EQUAL(0, info.is_filtered);
  CHECK_EQUAL(0, info.traced_by);
  CHECK(strncmp("nearbuf_remote_target", info.name, 15) == 0); /* the kernel truncates it there */
  CHECK_OK(nearbuf_process_close(&process));
  (void)target_end(&idle);
}

/* ---- Locators that are not as they should be ------------------------------------------------- */

TEST(a_locator_whose_file_is_gone_is_found_in_the_map) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  uint64_t address = put(&process, "hello", 5);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  uint64_t first = first_locator(&process, &walk, &locator);
  CHECK(unlink(locator.name) == 0);
  CHECK_EQUAL(first, first_locator(&process, &walk, &locator));
  CHECK(strstr(locator.name, "(deleted)") != NULL);
  if (geteuid() == 0) {
    CHECK_EQUAL(address + 16, put(&process, "again", 5)); /* through map_files */
  }
  (void)target_end(&idle);
}

TEST(without_rights_a_locator_whose_file_is_gone_can_be_read_but_not_held) {
  become_nobody();
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  (void)put(&process, "hello", 5);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  uint64_t first = first_locator(&process, &walk, &locator);
  CHECK(unlink(locator.name) == 0);
  CHECK_OK(nearbuf_process_close(&process)); /* which may hold the file open */
  process = target_open(&idle);
  CHECK_EQUAL(first, first_locator(&process, &walk, &locator));
  nearbuf_process_request request = anywhere(10);
  nearbuf_process_buffer buffer;
  request.flags = NEARBUF_PROCESS_EXISTING;
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_get(&process, &request, &buffer));
  (void)target_end(&idle);
}

TEST(another_users_process_is_denied_but_was_found) {
  if (geteuid() != 0) {
    test_skip("needs two users");
  }
  target idle = target_start_idle();
  pid_t nobody = fork();
  if (nobody == 0) {
    become_nobody();
    nearbuf_process process = target_open(&idle);
    nearbuf_process_walk walk = {0};
    nearbuf_process_locator locator;
    nearbuf_process_request request = anywhere(10);
    uint64_t address;
    char byte;
    CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_next_locator(&process, &walk, &locator));
    CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_read(&process, 4096, &byte, 1, NULL));
    CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_allocate(&process, &request, &address, NULL));
    _exit(0);
  }
  int status;
  CHECK_EQUAL(nobody, waitpid(nobody, &status, 0));
  CHECK_EQUAL(0, status);
  (void)target_end(&idle);
}

TEST(a_process_that_hides_its_memory_can_still_be_read_and_locked_by_name) {
  become_nobody();
  target idle = target_start_idle();
  nearbuf_process before = target_open(&idle);
  uint64_t put_at = put(&before, "hello", 5);
  CHECK(kill(idle.id, SIGUSR2) == 0); /* not dumpable from here on */
  nearbuf_process process = target_open_hidden(&idle);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  nearbuf_process_item item;
  (void)first_locator(&process, &walk, &locator);
  CHECK_OK(nearbuf_process_next_item(&walk, &item));
  CHECK_EQUAL(put_at, item.address);
  nearbuf_process_request request = anywhere(10);
  nearbuf_process_buffer buffer;
  request.flags = NEARBUF_PROCESS_EXISTING;
  CHECK_OK(nearbuf_process_get(&process, &request, &buffer));
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_append(&process, &buffer, "x", 1, NULL));
  CHECK_OK(nearbuf_process_release(&process, &buffer));
  /* But nothing can be made in it. */
  request = anywhere(1 << 20);
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_get(&process, &request, &buffer));
  uint64_t address;
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_allocate(&process, &request, &address, NULL));
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_free(&process, put_at & ~UINT64_C(4095), 4096));
  target_kill(&idle);
}

/* ---- Processes that change ------------------------------------------------------------------- */

/* In a namespace of process ids, where the next id can be chosen. */
static void use_an_id_twice(void) {
  target idle = target_start_idle();
  pid_t id = idle.id;
  CHECK(unshare_mounts() && mount("proc", "/proc", "proc", 0, NULL) == 0);
  nearbuf_process process = target_open(&idle);
  target_kill(&idle);
  FILE *last = fopen("/proc/sys/kernel/ns_last_pid", "w");
  CHECK(last != NULL && fprintf(last, "%d", (int)id - 1) > 0 && fclose(last) == 0);
  idle = target_start_idle();
  CHECK_EQUAL(id, idle.id);
  char byte;
  nearbuf_process again = target_open(&idle);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_check(&process));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_read(&process, 4096, &byte, 1, NULL));
  CHECK_OK(nearbuf_process_check(&again));
  (void)target_end(&idle);
}

TEST(an_id_that_is_used_again_is_noticed) {
  if (geteuid() != 0) {
    test_skip("needs the right to make namespaces");
  }
  pid_t outside = fork();
  if (outside == 0) {
    CHECK(unshare(CLONE_NEWPID) == 0);
    pid_t inside = fork();
    if (inside == 0) {
      use_an_id_twice();
      _exit(0);
    }
    int status;
    CHECK_EQUAL(inside, waitpid(inside, &status, 0));
    _exit(status == 0 ? 0 : 1);
  }
  int status;
  CHECK_EQUAL(outside, waitpid(outside, &status, 0));
  CHECK_EQUAL(0, status);
}

TEST(nothing_is_written_into_a_program_that_replaced_the_one_with_the_buffer) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_request request = anywhere(10);
  nearbuf_process_buffer buffer;
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator;
  uint64_t address;
  CHECK_OK(nearbuf_process_get(&process, &request, &buffer));
  CHECK(kill(idle.id, SIGHUP) == 0);
  char line[64];
  target_line(&idle, line, sizeof line); /* "ready" again */
  CHECK_OK(nearbuf_process_check(&process));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_append(&process, &buffer, "x", 1, &address));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_locator(&process, &walk, &locator));
  CHECK_OK(nearbuf_process_release(&process, &buffer));
  /* Its stale file is replaced. */
  CHECK(put(&process, "hello", 5) != 0);
  (void)target_end(&idle);
}

/* ---- Other places ---------------------------------------------------------------------------- */

TEST(a_process_in_namespaces_of_its_own_is_understood) {
  if (geteuid() != 0) {
    test_skip("needs the right to make namespaces");
  }
  int ends[2];
  CHECK(pipe(ends) == 0);
  pid_t middle = fork();
  if (middle == 0) {
    CHECK(unshare(CLONE_NEWPID) == 0 && unshare_mounts());
    kept_folder kept = open_own_folder();
    CHECK(mount("none", "/tmp", "tmpfs", 0, NULL) == 0);
    CHECK(put_own_folder_back(&kept));
    target inside = target_start_idle();
    CHECK(write(ends[1], &inside.id, sizeof inside.id) == (ssize_t)sizeof inside.id);
    CHECK_EQUAL(inside.id, waitpid(inside.id, NULL, 0));
    _exit(0);
  }
  pid_t inside;
  close(ends[1]); /* so that the end of a child that fails is seen */
  CHECK(read(ends[0], &inside, sizeof inside) == (ssize_t)sizeof inside);
  nearbuf_process process;
  nearbuf_process_info info;
  CHECK_OK(nearbuf_process_open(inside, &process));
  CHECK_OK(nearbuf_process_describe(&process, &info));
  CHECK_EQUAL(inside, info.id);
  CHECK_EQUAL(1, info.own_id);
  uint64_t address = put(&process, "hello", 5);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  (void)first_locator(&process, &walk, &locator);
  CHECK(strstr(locator.name, ", PID 1") != NULL);
  CHECK(locator.name[strlen(locator.name) - 1] == '1');
  CHECK_EQUAL(address + 16, put(&process, "again", 5));
  CHECK(kill(inside, SIGTERM) == 0);
  int status;
  CHECK_EQUAL(middle, waitpid(middle, &status, 0));
  CHECK_EQUAL(0, status);
}

TEST(a_process_that_changed_its_root_is_understood) {
  if (geteuid() != 0) {
    test_skip("needs the right to change the root");
  }
  char root[] = "/tmp/nearbuf.root.XXXXXX";
  char path[64];
  want_own_tmp();
  CHECK(mkdtemp(root) != NULL);
  (void)snprintf(path, sizeof path, "%s/tmp", root);
  CHECK(mkdir(path, 0777) == 0);
  target inside = target_start(REMOTE_TARGET, "idle", root);
  nearbuf_process process = target_open(&inside);
  uint64_t address = put(&process, "hello", 5);
  CHECK_EQUAL(address + 16, put(&process, "again", 5));
  char name[256];
  struct stat status;
  (void)snprintf(name, sizeof name, "%s" SHARED_DIRECTORY_IN_TMP "/" LOCATOR_PREFIX "%d", path,
                 (int)inside.id);
  CHECK(stat(name, &status) == 0);
  CHECK_EQUAL(0600, status.st_mode & 07777);
  (void)target_end(&inside);
  CHECK(unlink(name) == 0);
  (void)snprintf(name, sizeof name, "%s" SHARED_DIRECTORY_IN_TMP, path);
  CHECK(rmdir(name) == 0);
  (void)snprintf(name, sizeof name, "%s" SHARED_PARENT_IN_TMP, path);
  CHECK(rmdir(name) == 0 && rmdir(path) == 0 && rmdir(root) == 0);
}

TEST(the_file_of_another_users_process_belongs_to_that_user) {
  if (geteuid() != 0) {
    test_skip("needs two users");
  }
  want_own_tmp(); /* the same one for both */
  int ends[2];
  CHECK(pipe(ends) == 0);
  pid_t middle = fork();
  if (middle == 0) {
    become_nobody();
    target inside = target_start_idle();
    CHECK(write(ends[1], &inside.id, sizeof inside.id) == (ssize_t)sizeof inside.id);
    CHECK_EQUAL(inside.id, waitpid(inside.id, NULL, 0));
    _exit(0);
  }
  pid_t inside;
  close(ends[1]); /* so that the end of a child that fails is seen */
  CHECK(read(ends[0], &inside, sizeof inside) == (ssize_t)sizeof inside);
  nearbuf_process process;
  CHECK_OK(nearbuf_process_open(inside, &process));
  (void)put(&process, "hello", 5);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  struct stat status;
  (void)first_locator(&process, &walk, &locator);
  CHECK(stat(locator.name, &status) == 0);
  CHECK_EQUAL(65534, status.st_uid);
  CHECK_EQUAL(65534, status.st_gid);
  CHECK(kill(inside, SIGTERM) == 0);
  CHECK_EQUAL(middle, waitpid(middle, NULL, 0));
}

TEST(a_32_bit_process_is_understood_and_given_memory) {
#ifndef REMOTE_TARGET_32
  test_skip("no compiler for 32-bit programs was found");
#else
  target small = target_start(REMOTE_TARGET_32, "idle", NULL);
  check_32_bit_process(&small);
  nearbuf_process process = target_open(&small);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  (void)first_locator(&process, &walk, &locator);
  CHECK_EQUAL(1, locator.count);
  CHECK_EQUAL(0, target_end(&small));
#endif
}

TEST(a_full_locator_of_a_32_bit_process_is_followed_by_another) {
#ifndef REMOTE_TARGET_32
  test_skip("no compiler for 32-bit programs was found");
#else
  target small = target_start(REMOTE_TARGET_32, "idle", NULL);
  nearbuf_process process = target_open(&small);
  (void)put(&process, "hello", 5);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  const nbuf_layout *layout = nbuf_layout_of(4, NEARBUF_DIALECT_WRITTEN);
  uint64_t first = first_locator(&process, &walk, &locator);
  CHECK_EQUAL(layout->capacity, locator.capacity);
  static _Alignas(8) unsigned char image[NBUF_LOCATOR_SIZE];
  static nbuf_item items[NBUF_LOCATOR_SIZE / 16];
  for (uint32_t i = 0; i < layout->capacity; i++) {
    items[i] = (nbuf_item){.base = 0x30000000 + i * UINT64_C(4096), .size = 16, .position = 16};
  }
  nbuf_format_build((uintptr_t)image, layout, (uintptr_t)first, items, layout->capacity);
  CHECK_OK(nearbuf_process_write(&process, first, image, sizeof image, NULL));
  uint64_t later = put(&process, "later", 5);
  (void)first_locator(&process, &walk, &locator);
  CHECK(locator.next != 0 && locator.next <= UINT32_MAX);
  CHECK_OK(nearbuf_process_next_locator(&process, &walk, &locator));
  CHECK(locator.fault == NULL);
  CHECK_EQUAL(1, locator.count);
  nearbuf_process_item item;
  CHECK_OK(nearbuf_process_next_item(&walk, &item));
  CHECK_EQUAL(later, item.address);
  CHECK_EQUAL(later + 16, put(&process, "again", 5));
  CHECK_EQUAL(0, target_end(&small));
#endif
}

/* ---- Files ----------------------------------------------------------------------------------- */

typedef struct file_search {
  int64_t process;
  nearbuf_file found;
} file_search;

static int find_file(const nearbuf_file *file, void *context) {
  file_search *search = context;
  if (file->process == search->process && file->is_later == 0) {
    search->found = *file;
    return -1;
  }
  return 0;
}

TEST(files_of_the_dead_are_marked_and_can_be_removed_and_others_cannot) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  (void)put(&process, "hello", 5);
  file_search search = {.process = idle.id};
  CHECK_STATUS(NEARBUF_CANCELLED, nearbuf_process_visit_files(find_file, &search));
  CHECK_EQUAL(NEARBUF_FILE_LIVE, search.found.state);
  CHECK_EQUAL(4096, search.found.size_bytes);
  CHECK_EQUAL(geteuid(), search.found.user);
  CHECK_STATUS(NEARBUF_BUSY, nearbuf_process_remove_file(&search.found, NULL));
  target_kill(&idle);
  CHECK_STATUS(NEARBUF_CANCELLED, nearbuf_process_visit_files(find_file, &search));
  CHECK_EQUAL(NEARBUF_FILE_STALE, search.found.state);
  CHECK_OK(nearbuf_process_remove_file(&search.found, NULL));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_remove_file(&search.found, NULL));
  CHECK_OK(nearbuf_process_visit_files(find_file, &search));
}
