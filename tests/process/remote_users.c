/* Processes of other users, and of users that cannot use the shared directory. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/format.h"
#include "locator_names.h"
#include "os/posix/files.h"
#include "own_tmp.h"
#include "remote_linux.h"
#include "test.h"

enum { NOBODY = 65534, PAGE = 4096 };

static void need_root(void) {
  if (geteuid() != 0) {
    test_skip("needs two users");
  }
}

/* ---- The shared directory is another user's -------------------------------------------------- */

static void close_shared_directory(mode_t mode) {
  need_root();
  want_own_tmp();
  CHECK(mkdir(SHARED_PARENT, mode) == 0);
}

static void expect_in_directory_of(uint64_t user, const nearbuf_process_locator *locator) {
  char prefix[64];
  struct stat status;
  (void)snprintf(prefix, sizeof prefix, USER_DIRECTORY_FORMAT "/Reloaded.", (unsigned)user);
  CHECK(strncmp(locator->name, prefix, strlen(prefix)) == 0);
  CHECK(stat(locator->name, &status) == 0);
  CHECK_EQUAL(NOBODY, status.st_uid);
  CHECK_EQUAL(0600, status.st_mode & 07777);
  *strrchr(prefix, '/') = '\0';
  CHECK(stat(prefix, &status) == 0);
  CHECK_EQUAL(NOBODY, status.st_uid);
  CHECK_EQUAL(0700, status.st_mode & 07777);
}

typedef struct file_search {
  int64_t process;
  nearbuf_file found;
} file_search;

static int find_file(const nearbuf_file *file, void *context) {
  file_search *search = context;
  if (file->process == search->process) {
    search->found = *file;
    return -1;
  }
  return 0;
}

/* The process's own copy of the library finds what was created from outside. */
static void expect_agreement(target *user, const nearbuf_process_locator *locator,
                             uint64_t address) {
  char line[64];
  unsigned long long first;
  unsigned long long bytes;
  CHECK(kill(user->id, SIGUSR1) == 0);
  target_line(user, line, sizeof line);
  CHECK_EQUAL(2, sscanf(line, "%llx %llx", &first, &bytes));
  CHECK_EQUAL(locator->address, first);
  CHECK_EQUAL(address + 16, bytes);
}

static void put_as_its_own_user(mode_t mode) {
  close_shared_directory(mode);
  become_nobody();
  target user = target_start(REMOTE_USER_TARGET, NULL, NULL);
  nearbuf_process process = target_open(&user);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  uint64_t address = put(&process, "12345678", 8);
  (void)first_locator(&process, &walk, &locator);
  expect_in_directory_of(NOBODY, &locator);
  expect_agreement(&user, &locator, address);
  file_search search = {.process = user.id};
  CHECK_STATUS(NEARBUF_CANCELLED, nearbuf_process_visit_files(find_file, &search));
  CHECK_EQUAL(1, search.found.is_in_own_directory);
  CHECK_EQUAL(NEARBUF_FILE_LIVE, search.found.state);
  target_kill(&user);
  CHECK_STATUS(NEARBUF_CANCELLED, nearbuf_process_visit_files(find_file, &search));
  CHECK_OK(nearbuf_process_remove_file(&search.found, NULL));
  CHECK_OK(nearbuf_process_visit_files(find_file, &search));
}

TEST(where_the_shared_directory_is_closed_to_its_user_a_process_is_given_memory) {
  put_as_its_own_user(0700);
}

TEST(where_its_user_may_not_write_the_shared_directory_a_process_is_given_memory) {
  put_as_its_own_user(0755);
}

static void write_map(pid_t process, const char *map) {
  char path[64];
  (void)snprintf(path, sizeof path, "/proc/%d/uid_map", (int)process);
  int file = open(path, O_WRONLY | O_CLOEXEC);
  CHECK(file >= 0 && write(file, map, strlen(map)) == (ssize_t)strlen(map));
  close(file);
}

/* Starts a program as another user, optionally in its own user namespace, and returns its id. */
static pid_t start_elsewhere(bool in_namespace, pid_t *inside) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  pid_t middle = fork();
  if (middle == 0) {
    become_nobody();
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0); /* a test that fails leaves nothing behind */
    if (in_namespace) {
      if (unshare(CLONE_NEWUSER) != 0) {
        _exit(TEST_EXIT_SKIPPED);
      }
      write_map(getpid(), "7 65534 1");
    }
    target started = target_start(REMOTE_USER_TARGET, NULL, NULL);
    CHECK(write(ends[1], &started.id, sizeof started.id) == (ssize_t)sizeof started.id);
    CHECK_EQUAL(started.id, waitpid(started.id, NULL, 0));
    _exit(0);
  }
  close(ends[1]);
  if (read(ends[0], inside, sizeof *inside) != (ssize_t)sizeof *inside) {
    test_skip("a user may not make a user namespace");
  }
  return middle;
}

static void put_as_root(bool in_namespace, uint64_t named) {
  close_shared_directory(0700);
  pid_t inside;
  pid_t middle = start_elsewhere(in_namespace, &inside);
  nearbuf_process process;
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  CHECK_OK(nearbuf_process_open(inside, &process));
  uint64_t address = put(&process, "12345678", 8);
  (void)first_locator(&process, &walk, &locator);
  expect_in_directory_of(named, &locator);
  CHECK(kill(inside, SIGUSR1) == 0); /* it uses what it finds */
  for (int i = 0; i < 10000; i++) {
    nearbuf_process_item item = {0};
    (void)first_locator(&process, &walk, &locator);
    CHECK_OK(nearbuf_process_next_item(&walk, &item));
    if (item.used_bytes > 16) {
      break;
    }
    usleep(1000);
  }
  CHECK_EQUAL(address + 32, put(&process, "again", 5));
  CHECK(kill(inside, SIGTERM) == 0);
  CHECK_EQUAL(middle, waitpid(middle, NULL, 0));
}

TEST(root_gives_memory_to_a_process_whose_user_cannot_use_the_shared_directory) {
  put_as_root(false, NOBODY);
}

TEST(a_process_in_a_user_namespace_calls_its_users_directory_by_the_id_inside) {
  put_as_root(true, 7);
}

/* A child in a user namespace of which root writes the map, and which is another user then. */
static pid_t start_mapped(const char *map, uid_t inside) {
  int ends[2][2];
  char byte;
  CHECK(pipe(ends[0]) == 0 && pipe(ends[1]) == 0);
  pid_t child = fork();
  if (child == 0) {
    close(ends[1][1]); /* the end of the parent ends the wait below */
    bool is_apart = unshare(CLONE_NEWUSER) == 0;
    CHECK(write(ends[0][1], &is_apart, 1) == 1);
    if (!is_apart || read(ends[1][0], &byte, 1) != 1) {
      _exit(0);
    }
    CHECK(setresuid(inside, inside, inside) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0);
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0); /* a change of the user clears it */
    CHECK(write(ends[0][1], "x", 1) == 1);
    pause();
    _exit(0);
  }
  close(ends[0][1]);
  CHECK(read(ends[0][0], &byte, 1) == 1);
  if (byte == 0) {
    test_skip("no user namespace can be made here");
  }
  write_map(child, map);
  CHECK(write(ends[1][1], "x", 1) == 1);
  CHECK(read(ends[0][0], &byte, 1) == 1);
  return child;
}

TEST(a_user_is_found_in_each_line_of_a_namespaces_map) {
  static const struct {
    const char *map;
    uid_t inside;
    const char *directory;
  } cases[] = {{"0 3000 10\n100 65530 5\n", 104, "/tmp/.reloaded.104"},
               {"100 65530 5\n0 3000 10\n", 100, "/tmp/.reloaded.100"},
               {"0 0 1\n5 2000 1\n200 65534 1\n", 200, "/tmp/.reloaded.200"}};
  close_shared_directory(0700);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    pid_t child = start_mapped(cases[i].map, cases[i].inside);
    nearbuf_process process;
    nearbuf_process_walk walk;
    nearbuf_process_locator locator;
    CHECK_OK(nearbuf_process_open(child, &process));
    (void)put(&process, "12345678", 8);
    (void)first_locator(&process, &walk, &locator);
    CHECK(strncmp(locator.name, cases[i].directory, strlen(cases[i].directory)) == 0);
    CHECK(locator.name[strlen(cases[i].directory)] == '/');
    CHECK_OK(nearbuf_process_close(&process));
    CHECK(kill(child, SIGKILL) == 0);
    CHECK_EQUAL(child, waitpid(child, NULL, 0));
  }
}

/* ---- Processes that must not believe their user's files -------------------------------------- */

TEST(root_makes_no_file_for_a_process_that_is_not_dumpable) {
  need_root();
  want_own_tmp();
  pid_t inside;
  pid_t middle = start_elsewhere(false, &inside);
  char path[64];
  struct stat status = {0};
  CHECK(kill(inside, SIGUSR2) == 0);
  (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)inside);
  for (int i = 0; i < 10000 && (stat(path, &status) != 0 || status.st_uid != 0); i++) {
    usleep(1000);
  }
  CHECK_EQUAL(0, status.st_uid);
  nearbuf_process process;
  nearbuf_process_request request = anywhere(8);
  nearbuf_process_buffer buffer;
  CHECK_OK(nearbuf_process_open(inside, &process));
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_get(&process, &request, &buffer));
  CHECK(access(SHARED_PARENT, F_OK) != 0);
  CHECK(kill(inside, SIGTERM) == 0);
  CHECK_EQUAL(middle, waitpid(middle, NULL, 0));
}

/* ---- Files that a process maps for others ---------------------------------------------------- */

/* A child that maps a file with the name of its own locator, as a server maps what a client
 * sends. */
static pid_t start_mapper(int (*make)(const char *name)) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  pid_t child = fork();
  if (child == 0) {
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    nbuf_name name = nbuf_name_of_process(getpid());
    int file = make(name.text);
    CHECK(file >= 0 && ftruncate(file, PAGE) == 0);
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(page != MAP_FAILED);
    nbuf_item item = {.base = (uintptr_t)page, .size = PAGE};
    nbuf_format_build((uintptr_t)page, nbuf_native_layout(NEARBUF_DIALECT_WRITTEN), (uintptr_t)page,
                      &item, 1);
    CHECK(write(ends[1], "x", 1) == 1);
    pause();
    _exit(0);
  }
  char byte;
  close(ends[1]); /* so that the end of a child that fails is seen */
  CHECK(read(ends[0], &byte, 1) == 1);
  return child;
}

static void expect_no_locator(int (*make)(const char *name)) {
  want_own_tmp();
  pid_t child = start_mapper(make);
  nearbuf_process process;
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator;
  CHECK_OK(nearbuf_process_open(child, &process));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_locator(&process, &walk, &locator));
  CHECK(kill(child, SIGKILL) == 0);
  CHECK_EQUAL(child, waitpid(child, NULL, 0));
}

static int make_memory_file(const char *name) {
  return memfd_create(name, MFD_CLOEXEC);
}

TEST(a_memory_file_of_a_clients_is_not_taken_for_the_locator) {
  expect_no_locator(make_memory_file);
}

static int make_file_elsewhere(const char *name) {
  char path[256];
  CHECK(mkdir(SHARED_PARENT ".mine", 0700) == 0 &&
        mkdir(SHARED_PARENT ".mine/memory.buffers", 0700) == 0);
  (void)snprintf(path, sizeof path, SHARED_PARENT ".mine/memory.buffers/%s", name);
  int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  CHECK(unlink(path) == 0 && rmdir(SHARED_PARENT ".mine/memory.buffers") == 0 &&
        rmdir(SHARED_PARENT ".mine") == 0);
  return file;
}

TEST(a_file_in_another_directory_is_not_taken_for_the_locator) {
  expect_no_locator(make_file_elsewhere);
}

/* ---- Names ----------------------------------------------------------------------------------- */

/* A later locator of a process that hides its memory is found by the contents of its file. */
TEST(a_later_locator_of_a_process_that_hides_its_memory_is_found) {
  want_own_tmp();
  become_nobody();
  target user = target_start(REMOTE_USER_TARGET, NULL, NULL);
  nearbuf_process process = target_open(&user);
  (void)put(&process, "12345678", 8);
  CHECK(kill(user.id, SIGHUP) == 0); /* makes later ones */
  char line[64];
  target_line(&user, line, sizeof line);
  CHECK(kill(user.id, SIGUSR2) == 0);
  target_line(&user, line, sizeof line);
  nearbuf_process hidden = target_open_hidden(&user);
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator;
  uint32_t count = 0;
  while (nearbuf_process_next_locator(&hidden, &walk, &locator) == NEARBUF_OK) {
    CHECK(locator.fault == NULL);
    count++;
  }
  CHECK_EQUAL(3, count);
  target_kill(&user);
}
