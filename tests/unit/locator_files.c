/* The files that contain locators, on an invented file system: whose they are, their permissions
 * and locks, what is refused, and what others do meanwhile is what a test says. posix/files.c
 * itself is compiled here, with other names for what it calls and defines. Names alone are tested
 * by names.c. */
#define nbuf_os_known invented_numbers
#define nbuf_os_ask_numbers invented_ask_numbers
#define nbuf_posix_namespace invented_namespace
#define nbuf_posix_random invented_random
#define nbuf_posix_rename_new invented_rename_new
#define nbuf_posix_avoid_copy_on_write invented_avoid_copy_on_write
#define nbuf_posix_lock_outlives_close invented_lock_outlives_close
#define nbuf_posix_place_is_ours_alone invented_place_is_ours_alone
#define nbuf_posix_keep_from_children invented_keep_from_children
#define nbuf_posix_boot_time invented_boot_time
#define nbuf_posix_visit_some invented_visit_some
#define nbuf_name_of_process tested_name_of_process
#define nbuf_name_in_namespace tested_name_in_namespace
#define nbuf_name_in_namespace_number tested_name_in_namespace_number
#define nbuf_name_of_later tested_name_of_later
#define nbuf_name_is_of_later tested_name_is_of_later
#define nbuf_name_temporary tested_name_temporary
#define nbuf_name_is_of_process tested_name_is_of_process
#define nbuf_name_process tested_name_process
#define nbuf_directory_path tested_directory_path
#define nbuf_directory_open tested_directory_open
#define nbuf_directory_open_below tested_directory_open_below
#define nbuf_directory_lacks tested_directory_lacks
#define nbuf_directory_is_anothers tested_directory_is_anothers
#define nbuf_directory_clean tested_directory_clean
#define nbuf_path_origin tested_path_origin
#define nbuf_path_of_temporary tested_path_of_temporary
#define nbuf_file_make tested_file_make
#define nbuf_file_keep_from_children tested_file_keep_from_children
#define nbuf_file_is_inherited tested_file_is_inherited
#define nbuf_file_fill tested_file_fill
#define nbuf_file_is_allowed tested_file_is_allowed
#define nbuf_file_discard tested_file_discard
#define nbuf_file_publish tested_file_publish
#define nbuf_file_replace tested_file_replace
#define nbuf_file_lock_dead tested_file_lock_dead
#define nbuf_file_has_owner tested_file_has_owner
#define nbuf_file_is_named tested_file_is_named
#define nbuf_file_is_young tested_file_is_young
#define nbuf_file_is_dead tested_file_is_dead

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "os/os.h"
#include "os/posix/files.h"
#include "os/posix/posix.h"
#include "test.h"

/* ---- The system ------------------------------------------------------------------------------ */

enum {
  PAGE = 8192,
  NODES = 48,
  DESCRIPTORS = 8,
  OWN_ID = 42,
  USER = 1009,
  OTHER_USER = 8,
  NOW = 1000,
  DEVICE = 3,
  TMP = 1, /* the first node */
  LIVING = 77
};

typedef struct node {
  char name[128];
  int parent; /* 0: it has no name */
  uint32_t mode;
  uint64_t owner;
  int64_t device;
  int64_t changed; /* ctime and mtime, in seconds */
  int lock;        /* of another process: LOCK_SH, LOCK_EX, or 0 */
  int own_lock;
  unsigned char bytes[PAGE];
  size_t size;
} node;

/* The calls that can be refused. */
typedef enum call {
  OPEN,
  MKDIR,
  CHMOD,
  CHOWN,
  RENAME,
  RENAME_NEW,
  LINK,
  UNLINK,
  STAT,
  STAT_OF_NAME,
  WRITE,
  LOCK,
  FCHMOD,
  MAP,
  LIMIT,
  CALLS
} call;

static struct {
  node nodes[NODES];
  int count;
  int open[DESCRIPTORS];
  int first_descriptor;
  int errors[CALLS]; /* 0: it is not refused */
  int calls_before;  /* that are not refused, though others are */
  uint64_t file_limit;
  bool cannot_keep;
  bool outlives_close;
  bool is_ours_alone;
  bool has_no_namespace;
  int64_t boot_time;
  size_t most_written; /* by one write */
  bool is_interrupted; /* the next write is */
  int mapped;          /* the node; 0: none */
  uintptr_t kept;
  int avoided; /* node whose copies on write were avoided */
  uint64_t random;
  int visited;
  void (*before_rename)(void);
  const char *link; /* to which /tmp leads */
} it = {.count = TMP + 1,
        .nodes = {[TMP] = {.name = "tmp", .mode = S_IFDIR | 01777, .device = DEVICE}},
        .first_descriptor = 10,
        .file_limit = UINT64_MAX,
        .outlives_close = true,
        .most_written = SIZE_MAX};

static _Alignas(PAGE) unsigned char memory[PAGE];

static bool is_refused(call made) {
  if (it.errors[made] == 0 || it.calls_before-- > 0) {
    return false;
  }
  it.calls_before = 0;
  errno = it.errors[made];
  return true;
}

static void refuse_also(call refused, int error) {
  it.errors[refused] = error;
}

static void refuse_none(void) {
  memset(it.errors, 0, sizeof it.errors);
  it.calls_before = 0;
}

static void refuse(call refused, int error) {
  refuse_none();
  refuse_also(refused, error);
}

static int add_node(int parent, const char *name, uint32_t mode) {
  CHECK(it.count < NODES);
  node *added = &it.nodes[it.count];
  *added = (node){.parent = parent, .mode = mode, .owner = USER, .device = DEVICE};
  added->changed = NOW - 10;
  (void)snprintf(added->name, sizeof added->name, "%s", name);
  return it.count++;
}

static int child_of(int parent, const char *name) {
  for (int i = TMP + 1; i < it.count; i++) {
    if (it.nodes[i].parent == parent && strcmp(it.nodes[i].name, name) == 0) {
      return i;
    }
  }
  return 0;
}

static int node_of(int opened) {
  int index = opened - it.first_descriptor;
  CHECK(index >= 0 && index < DESCRIPTORS && it.open[index] != 0);
  return it.open[index];
}

static node *file_of(int opened) {
  return &it.nodes[node_of(opened)];
}

static int open_node(int index) {
  for (int i = 0; i < DESCRIPTORS; i++) {
    if (it.open[i] == 0) {
      it.open[i] = index;
      return i + it.first_descriptor;
    }
  }
  test_fail(__FILE__, __LINE__, "no descriptor is left");
}

static int failed_with(int error) {
  errno = error;
  return -1;
}

static int invented_openat(int directory, const char *name, int flags, ...) {
  int parent = node_of(directory);
  CHECK((flags & O_CLOEXEC) != 0 && (flags & O_NOFOLLOW) != 0);
  if (is_refused(OPEN)) {
    return -1;
  }
  int found = child_of(parent, name);
  if ((flags & O_CREAT) != 0) {
    va_list arguments;
    va_start(arguments, flags);
    uint32_t mode = va_arg(arguments, unsigned);
    va_end(arguments);
    CHECK((flags & O_EXCL) != 0 && (flags & O_ACCMODE) == O_RDWR && found == 0);
    return open_node(add_node(parent, name, S_IFREG | (mode & 0700)));
  }
  CHECK((flags & O_ACCMODE) == O_RDONLY);
  CHECK((flags & (O_DIRECTORY | O_NONBLOCK)) != 0); /* it can be a pipe */
  if (found == 0 || S_ISLNK(it.nodes[found].mode)) {
    return failed_with(found == 0 ? ENOENT : ELOOP);
  }
  bool is_directory_wanted = (flags & O_DIRECTORY) != 0;
  return is_directory_wanted && !S_ISDIR(it.nodes[found].mode) ? failed_with(ENOTDIR)
                                                               : open_node(found);
}

/* Of a path below /tmp. */
static int invented_open(const char *path, int flags) {
  CHECK((flags & O_CLOEXEC) != 0 && (flags & O_ACCMODE) == O_RDONLY);
  if (is_refused(OPEN)) {
    return -1;
  }
  if (strcmp(path, "/tmp") == 0) {
    CHECK((flags & O_DIRECTORY) != 0);
    return open_node(TMP);
  }
  CHECK(strncmp(path, "/tmp/", 5) == 0);
  CHECK((flags & O_NOFOLLOW) != 0 && (flags & O_NONBLOCK) != 0);
  int at = TMP;
  char names[512];
  (void)snprintf(names, sizeof names, "%s", path + 5);
  for (char *name = strtok(names, "/"); name != NULL && at != 0; name = strtok(NULL, "/")) {
    at = child_of(at, name);
  }
  return at == 0 ? failed_with(ENOENT) : open_node(at);
}

static int invented_close(int opened) {
  file_of(opened)->own_lock = 0;
  it.open[opened - it.first_descriptor] = 0;
  errno = ERANGE; /* a caller must not rely on what was there before */
  return 0;
}

static int invented_mkdirat(int directory, const char *name, mode_t mode) {
  CHECK(mode == 0700 && name[0] == '.'); /* hidden until it is complete */
  if (is_refused(MKDIR)) {
    return -1;
  }
  (void)add_node(node_of(directory), name, S_IFDIR | 0700);
  return 0;
}

static int invented_fchmodat(int directory, const char *name, mode_t mode, int flags) {
  int of = child_of(node_of(directory), name);
  CHECK(of != 0 && flags == 0);
  if (is_refused(CHMOD)) {
    return -1;
  }
  it.nodes[of].mode = S_IFDIR | (uint32_t)mode;
  return 0;
}

static int invented_fchownat(int directory, const char *name, uid_t owner, gid_t group, int flags) {
  int of = child_of(node_of(directory), name);
  CHECK(of != 0 && group == (gid_t)-1 && flags == AT_SYMLINK_NOFOLLOW);
  if (is_refused(CHOWN)) {
    return -1;
  }
  it.nodes[of].owner = owner;
  return 0;
}

static void rename_node(int directory, const char *from, const char *to) {
  int parent = node_of(directory);
  int moved = child_of(parent, from);
  int before = child_of(parent, to);
  CHECK(moved != 0);
  it.nodes[before].parent = 0; /* nothing, if it is none */
  (void)snprintf(it.nodes[moved].name, sizeof it.nodes[moved].name, "%s", to);
}

static int invented_renameat(int directory, const char *from, int to_directory, const char *to) {
  CHECK_EQUAL(directory, to_directory);
  if (is_refused(RENAME)) {
    return -1;
  }
  rename_node(directory, from, to);
  return 0;
}

int invented_rename_new(int directory, const char *from, const char *to) {
  if (it.before_rename != NULL) {
    it.before_rename();
  }
  if (is_refused(RENAME_NEW)) {
    return it.errors[RENAME_NEW];
  }
  if (child_of(node_of(directory), to) != 0) {
    return EEXIST;
  }
  rename_node(directory, from, to);
  return 0;
}

static int invented_linkat(int directory, const char *from, int to_directory, const char *to,
                           int flags) {
  int parent = node_of(directory);
  CHECK(directory == to_directory && flags == 0 && child_of(parent, from) != 0);
  if (is_refused(LINK)) {
    return -1;
  }
  if (child_of(parent, to) != 0) {
    return failed_with(EEXIST);
  }
  int linked = add_node(parent, to, it.nodes[child_of(parent, from)].mode);
  it.nodes[linked].size = it.nodes[child_of(parent, from)].size;
  return 0;
}

static int invented_unlinkat(int directory, const char *name, int flags) {
  int removed = child_of(node_of(directory), name);
  if (is_refused(UNLINK)) {
    return -1;
  }
  CHECK(removed != 0);
  CHECK_EQUAL(S_ISDIR(it.nodes[removed].mode) ? AT_REMOVEDIR : 0, flags);
  it.nodes[removed].parent = 0;
  return 0;
}

static void tell(int of, struct stat *status) {
  memset(status, 0, sizeof *status);
  status->st_dev = (dev_t)it.nodes[of].device;
  status->st_ino = (ino_t)of;
  status->st_mode = it.nodes[of].mode;
  status->st_uid = (uid_t)it.nodes[of].owner;
  status->st_ctime = status->st_mtime = (time_t)it.nodes[of].changed;
}

static int invented_fstat(int opened, struct stat *status) {
  if (is_refused(STAT)) {
    return -1;
  }
  tell(node_of(opened), status);
  return 0;
}

static int invented_fstatat(int directory, const char *name, struct stat *status, int flags) {
  int of = child_of(node_of(directory), name);
  CHECK_EQUAL(AT_SYMLINK_NOFOLLOW, flags);
  if (is_refused(STAT_OF_NAME) || of == 0) {
    return failed_with(ENOENT);
  }
  tell(of, status);
  return 0;
}

static ssize_t invented_write(int opened, const void *bytes, size_t size) {
  node *of = file_of(opened);
  if (is_refused(WRITE)) {
    return -1;
  }
  if (it.is_interrupted) {
    it.is_interrupted = false;
    return failed_with(EINTR);
  }
  size_t written = size < it.most_written ? size : it.most_written;
  CHECK(of->size + written <= sizeof of->bytes);
  memcpy(of->bytes + of->size, bytes, written);
  of->size += written;
  return (ssize_t)written;
}

static int invented_flock(int opened, int operation) {
  node *of = file_of(opened);
  CHECK((operation & LOCK_NB) != 0);
  int wanted = operation & ~LOCK_NB;
  CHECK(wanted == LOCK_SH || wanted == LOCK_EX);
  if (is_refused(LOCK)) {
    return -1;
  }
  if (of->lock == LOCK_EX || (of->lock == LOCK_SH && wanted == LOCK_EX)) {
    return failed_with(EWOULDBLOCK);
  }
  of->own_lock = wanted;
  return 0;
}

static int invented_fchmod(int opened, mode_t mode) {
  if (is_refused(FCHMOD)) {
    return -1;
  }
  file_of(opened)->mode = S_IFREG | (uint32_t)mode;
  return 0;
}

static int invented_getrlimit(int resource, struct rlimit *limit) {
  CHECK_EQUAL(RLIMIT_FSIZE, resource);
  limit->rlim_cur = it.file_limit == UINT64_MAX ? RLIM_INFINITY : (rlim_t)it.file_limit;
  return is_refused(LIMIT) ? -1 : 0;
}

static void *invented_mmap(void *address, size_t size, int protection, int flags, int opened,
                           off_t offset) {
  CHECK(address == NULL && size == PAGE && flags == MAP_SHARED && offset == 0);
  CHECK_EQUAL(PROT_READ | PROT_WRITE, protection);
  CHECK_EQUAL(PAGE, file_of(opened)->size);
  CHECK_EQUAL(LOCK_SH, file_of(opened)->own_lock | (it.errors[LOCK] != 0 ? LOCK_SH : 0));
  CHECK_EQUAL(node_of(opened), it.avoided);
  if (is_refused(MAP)) {
    return MAP_FAILED;
  }
  it.mapped = node_of(opened);
  memcpy(memory, file_of(opened)->bytes, PAGE);
  return memory;
}

static int invented_munmap(void *address, size_t size) {
  CHECK(address == memory && size == PAGE && it.mapped != 0);
  it.mapped = 0;
  return 0;
}

static ssize_t invented_readlinkat(int root, const char *name, char *text, size_t room) {
  CHECK_EQUAL(383, room);
  CHECK(root == AT_FDCWD ? strcmp(name, "/tmp") == 0 : strcmp(name, "tmp") == 0);
  memset(text, '/', room); /* whatever is left there */
  if (it.link == NULL) {
    return failed_with(EINVAL);
  }
  memcpy(text, it.link, strlen(it.link));
  return (ssize_t)strlen(it.link);
}

static time_t invented_time(const time_t *seconds) {
  CHECK(seconds == NULL);
  return NOW;
}

static uid_t invented_geteuid(void) {
  return USER;
}

static pid_t invented_getpid(void) {
  return OWN_ID;
}

/* The process of another user lives, too: it may not be signalled. */
static int invented_kill(pid_t process, int signal) {
  CHECK_EQUAL(0, signal);
  return process == LIVING ? 0 : failed_with(process == LIVING + 1 ? EPERM : ESRCH);
}

nbuf_os_numbers invented_numbers;

void invented_ask_numbers(void) {
  atomic_store(&invented_numbers.page_size, PAGE);
}

bool invented_namespace(uint64_t *number) {
  *number = 9;
  return !it.has_no_namespace;
}

uint64_t invented_random(void) {
  return it.random++;
}

void invented_avoid_copy_on_write(int file) {
  CHECK_EQUAL(0, file_of(file)->size);
  it.avoided = node_of(file);
}

bool invented_lock_outlives_close(int file) {
  (void)node_of(file);
  return it.outlives_close;
}

bool invented_place_is_ours_alone(int file) {
  (void)node_of(file);
  return it.is_ours_alone;
}

bool invented_keep_from_children(void *pages, size_t size) {
  CHECK_EQUAL(PAGE, size);
  it.kept = (uintptr_t)pages;
  return !it.cannot_keep;
}

int64_t invented_boot_time(void) {
  return it.boot_time;
}

void invented_visit_some(int directory, nbuf_posix_visitor visit, void *context) {
  int parent = node_of(directory);
  int count = it.count;
  for (int i = TMP + 1; i < count; i++) {
    if (it.nodes[i].parent == parent) {
      it.visited++;
      if (!visit(it.nodes[i].name, context)) {
        break;
      }
    }
  }
}

#define open invented_open
#define openat invented_openat
#define close invented_close
#define mkdirat invented_mkdirat
#define fchmodat invented_fchmodat
#define fchownat invented_fchownat
#define renameat invented_renameat
#define linkat invented_linkat
#define unlinkat invented_unlinkat
#define fstat invented_fstat
#define fstatat invented_fstatat
#define write invented_write
#define flock invented_flock
#define fchmod invented_fchmod
#define getrlimit invented_getrlimit
#define mmap invented_mmap
#define munmap invented_munmap
#define readlinkat invented_readlinkat
#define time invented_time
#define geteuid invented_geteuid
#define getpid invented_getpid
#define kill invented_kill
#include "os/posix/files.c" /* NOLINT(bugprone-suspicious-include) */
#undef open

/* ---- Helpers --------------------------------------------------------------------------------- */

#define NAME_OF(process) NBUF_NAME_PREFIX process

static void check_closed(int expected) {
  int count = 0;
  for (int i = 0; i < DESCRIPTORS; i++) {
    count += it.open[i] != 0;
  }
  CHECK_EQUAL(expected, count);
}

static int count_names(int parent) {
  int count = 0;
  for (int i = TMP + 1; i < it.count; i++) {
    count += it.nodes[i].parent == parent;
  }
  return count;
}

static void check_result(nearbuf_status status, int32_t code, nbuf_result result) {
  CHECK_STATUS(status, result.status);
  CHECK_EQUAL(code, result.system_error);
}

/* Opens one of the directories, and returns its node. */
static int check_opened(nbuf_folder folder, bool make) {
  int directory = 0;
  check_result(NEARBUF_OK, 0, nbuf_directory_open(folder, make, &directory));
  int opened = node_of(directory);
  invented_close(directory);
  check_closed(0);
  return opened;
}

static void check_not_opened(nearbuf_status status, int32_t code, nbuf_folder folder, bool make) {
  int directory = 0;
  check_result(status, code, nbuf_directory_open(folder, make, &directory));
  CHECK_EQUAL(-1, directory);
  check_closed(0);
}

static int add_shared(void) {
  int outer = add_node(TMP, ".reloaded", S_IFDIR | 01777);
  return add_node(outer, "memory.buffers", S_IFDIR | 01777);
}

static void check_directory(int checked, int parent, const char *name, uint32_t mode) {
  CHECK_EQUAL(parent, it.nodes[checked].parent);
  CHECK(strcmp(name, it.nodes[checked].name) == 0);
  CHECK_EQUAL(S_IFDIR | mode, it.nodes[checked].mode);
  CHECK_EQUAL(1, count_names(parent)); /* nothing else is left there */
}

/* ---- The directories ------------------------------------------------------------------------- */

TEST(the_shared_directory_is_made_for_every_user) {
  int opened = check_opened(NBUF_FOLDER_SHARED, true);
  check_directory(opened, it.nodes[opened].parent, "memory.buffers", 01777);
  check_directory(it.nodes[opened].parent, TMP, ".reloaded", 01777);
  CHECK_EQUAL(opened, check_opened(NBUF_FOLDER_SHARED, false));
}

TEST(what_exists_of_the_shared_directory_is_used_as_it_is) {
  int outer = add_node(TMP, ".reloaded", S_IFDIR | 0755);
  it.nodes[outer].owner = OTHER_USER;
  int opened = check_opened(NBUF_FOLDER_SHARED, true);
  check_directory(opened, outer, "memory.buffers", 01777);
  check_directory(outer, TMP, ".reloaded", 0755);
}

TEST(the_directory_of_a_user_is_the_users_alone) {
  int opened = check_opened(NBUF_FOLDER_OF_USER, true);
  check_directory(opened, TMP, ".reloaded.1009", 0700);
  CHECK_EQUAL(opened, check_opened(NBUF_FOLDER_OF_USER, false));
}

TEST(without_leave_to_make_it_a_missing_directory_is_not_found) {
  for (int folder = 0; folder < NBUF_FOLDERS; folder++) {
    check_not_opened(NEARBUF_NOT_FOUND, ENOENT, (nbuf_folder)folder, false);
  }
  (void)add_node(TMP, ".reloaded", S_IFDIR | 01777);
  check_not_opened(NEARBUF_NOT_FOUND, ENOENT, NBUF_FOLDER_SHARED, false);
  CHECK_EQUAL(1, count_names(TMP));
}

TEST(a_directory_is_not_opened_through_a_link) {
  (void)add_node(TMP, ".reloaded", S_IFLNK | 0777);
  (void)add_node(TMP, ".reloaded.1009", S_IFREG | 0700);
  check_not_opened(NEARBUF_SYSTEM_ERROR, ELOOP, NBUF_FOLDER_SHARED, true);
  check_not_opened(NEARBUF_SYSTEM_ERROR, ENOTDIR, NBUF_FOLDER_OF_USER, true);
}

TEST(a_users_directory_that_others_could_change_is_refused) {
  int directory = add_node(TMP, ".reloaded.1009", S_IFDIR | 0700);
  CHECK_EQUAL(directory, check_opened(NBUF_FOLDER_OF_USER, false));
  it.nodes[directory].owner = OTHER_USER;
  check_not_opened(NEARBUF_SYSTEM_ERROR, EPERM, NBUF_FOLDER_OF_USER, false);
  it.nodes[directory].owner = USER;
  for (uint32_t bit = 1; bit <= 040; bit <<= 1) {
    it.nodes[directory].mode = S_IFDIR | 0700 | bit;
    check_not_opened(NEARBUF_SYSTEM_ERROR, EPERM, NBUF_FOLDER_OF_USER, true);
  }
  it.nodes[directory].mode = S_IFDIR | 0700;
  it.nodes[TMP].mode = S_IFDIR | 0775; /* they could replace it */
  check_not_opened(NEARBUF_SYSTEM_ERROR, EPERM, NBUF_FOLDER_OF_USER, false);
  it.nodes[TMP].mode = S_IFDIR | 0757;
  check_not_opened(NEARBUF_SYSTEM_ERROR, EPERM, NBUF_FOLDER_OF_USER, false);
  it.nodes[TMP].mode = S_IFDIR | 0755;
  CHECK_EQUAL(directory, check_opened(NBUF_FOLDER_OF_USER, false));
  refuse(STAT, EIO);
  check_not_opened(NEARBUF_SYSTEM_ERROR, EPERM, NBUF_FOLDER_OF_USER, false);
  it.calls_before = 1;
  check_not_opened(NEARBUF_SYSTEM_ERROR, EPERM, NBUF_FOLDER_OF_USER, false);
}

/* As for a process that sees the ids of its user differently, in a user namespace. */
TEST(a_directory_can_be_made_for_another_user_who_knows_another_id) {
  const nbuf_user other = {1005, OTHER_USER};
  int temporary = open_node(TMP);
  int directory = 0;
  CHECK_OK(
      nbuf_directory_open_below(temporary, NBUF_FOLDER_OF_USER, other, true, &directory).status);
  check_directory(node_of(directory), TMP, ".reloaded.1005", 0700);
  CHECK_EQUAL(OTHER_USER, file_of(directory)->owner);
  check_closed(2); /* that for temporary files stays open */
}

TEST(a_directory_that_cannot_be_made_leaves_nothing) {
  static const call refused[] = {MKDIR, CHMOD, RENAME_NEW};
  for (int i = 0; i < 3; i++) {
    refuse(refused[i], EROFS);
    check_not_opened(NEARBUF_SYSTEM_ERROR, EROFS, NBUF_FOLDER_SHARED, true);
    check_not_opened(NEARBUF_SYSTEM_ERROR, EROFS, NBUF_FOLDER_OF_USER, true);
    CHECK_EQUAL(0, count_names(TMP));
  }
  const nbuf_user other = {1005, OTHER_USER};
  int temporary = open_node(TMP);
  int directory = 0;
  refuse(CHOWN, EPERM);
  check_result(NEARBUF_SYSTEM_ERROR, EPERM,
               nbuf_directory_open_below(temporary, NBUF_FOLDER_OF_USER, other, true, &directory));
  CHECK_EQUAL(-1, directory);
  CHECK_EQUAL(0, count_names(TMP));
}

static void let_other_process_make_it(void) {
  it.before_rename = NULL;
  (void)add_shared();
}

TEST(a_directory_that_another_process_made_meanwhile_is_used) {
  it.before_rename = let_other_process_make_it;
  int opened = check_opened(NBUF_FOLDER_SHARED, true);
  check_directory(it.nodes[opened].parent, TMP, ".reloaded", 01777);
}

TEST(where_a_rename_would_always_replace_at_most_an_empty_directory_is) {
  refuse(RENAME_NEW, ENOSYS);
  int opened = check_opened(NBUF_FOLDER_SHARED, true);
  check_directory(it.nodes[opened].parent, TMP, ".reloaded", 01777);
}

static void let_other_process_fill_it(void) {
  it.before_rename = NULL;
  (void)add_shared();
  refuse_also(RENAME, ENOTEMPTY);
}

TEST(a_directory_that_another_process_filled_meanwhile_is_used) {
  refuse(RENAME_NEW, ENOSYS);
  it.before_rename = let_other_process_fill_it;
  int opened = check_opened(NBUF_FOLDER_SHARED, true);
  check_directory(it.nodes[opened].parent, TMP, ".reloaded", 01777);
}

TEST(lacking_descriptors_are_a_lack_of_memory_and_no_refusal) {
  static const int errors[] = {EMFILE, ENFILE, ENOMEM};
  for (int i = 0; i < 3; i++) {
    refuse(OPEN, errors[i]);
    it.calls_before = i;
    (void)(it.count == TMP + 1 ? add_shared() : 0);
    check_not_opened(NEARBUF_OUT_OF_MEMORY, errors[i], NBUF_FOLDER_SHARED, true);
  }
}

TEST(a_directory_that_was_made_and_cannot_be_opened_is_a_failure) {
  refuse(OPEN, EMFILE);
  it.calls_before = 2;
  check_not_opened(NEARBUF_OUT_OF_MEMORY, EMFILE, NBUF_FOLDER_SHARED, true);
  CHECK(child_of(TMP, ".reloaded") != 0);
}

TEST(a_missing_tmp_is_a_failure_only_for_a_maker) {
  refuse(OPEN, ENOENT);
  check_not_opened(NEARBUF_NOT_FOUND, ENOENT, NBUF_FOLDER_SHARED, false);
  check_not_opened(NEARBUF_SYSTEM_ERROR, ENOENT, NBUF_FOLDER_SHARED, true);
  refuse(OPEN, EACCES);
  check_not_opened(NEARBUF_SYSTEM_ERROR, EACCES, NBUF_FOLDER_SHARED, false);
}

TEST(a_directory_lacks_a_file_only_if_it_is_certain) {
  nbuf_name name = nbuf_name_of_process(OWN_ID);
  CHECK(nbuf_directory_lacks(NBUF_FOLDER_SHARED, &name));
  int directory = add_shared();
  CHECK(nbuf_directory_lacks(NBUF_FOLDER_SHARED, &name));
  (void)add_node(directory, name.text, S_IFREG | 0600);
  CHECK(!nbuf_directory_lacks(NBUF_FOLDER_SHARED, &name));
  CHECK(nbuf_directory_lacks(NBUF_FOLDER_OF_USER, &name));
  (void)add_node(add_node(TMP, ".reloaded.1009", S_IFDIR | 0700), name.text, S_IFREG | 0600);
  CHECK(!nbuf_directory_lacks(NBUF_FOLDER_OF_USER, &name));
  check_closed(0);
  refuse(OPEN, EACCES);
  CHECK(!nbuf_directory_lacks(NBUF_FOLDER_SHARED, &name));
}

TEST(a_directory_is_anothers_by_the_code_of_the_failure) {
  static const int of_others[] = {EACCES, EPERM, ENOTDIR, ELOOP, EEXIST};
  static const int of_the_system[] = {0, EROFS, ENOSPC, EIO, ENOENT};
  for (int i = 0; i < 5; i++) {
    CHECK(nbuf_directory_is_anothers(nbuf_result_system(NEARBUF_SYSTEM_ERROR, of_others[i])));
    CHECK(!nbuf_directory_is_anothers(nbuf_result_system(NEARBUF_SYSTEM_ERROR, of_the_system[i])));
  }
}

TEST(the_second_name_needs_a_namespace) {
  nbuf_name name = {""};
  CHECK(nbuf_name_in_namespace(OWN_ID, &name));
  CHECK(strcmp(NAME_OF("42, NS 9"), name.text) == 0);
  it.has_no_namespace = true;
  CHECK(!nbuf_name_in_namespace(OWN_ID, &name));
}

static void check_temporary(const char *expected, int root, const char *prefix) {
  nbuf_path path = nbuf_path_of_temporary(root, prefix);
  if (strcmp(expected, path.text) != 0) {
    test_fail(__FILE__, __LINE__, "\"%s\", not \"%s\"", path.text, expected);
  }
}

TEST(where_tmp_is_a_link_the_map_shows_where_it_leads) {
  check_temporary("/tmp", -1, "");
  check_temporary("/tmp", 3, "/");
  check_temporary("/jail/tmp", 3, "/jail");
  check_temporary("/jail/tmp", 0, "/jail");
  it.link = "/var/tmp";
  check_temporary("/var/tmp", -1, "");
  check_temporary("/jail/var/tmp", 3, "/jail");
  it.link = "private/tmp";
  check_temporary("/private/tmp", -1, "");
  check_temporary("/jail/private/tmp", 3, "/jail");
  it.link = "x";
  check_temporary("/x", 3, "/");
}

TEST(a_text_that_is_too_long_for_a_name_or_a_path_is_left_out) {
  nbuf_name name = {""};
  memset(name.text, 'x', 119);
  nbuf_name later = nbuf_name_of_later(&name, 1);
  CHECK_EQUAL(127, strlen(later.text));
  CHECK(strcmp(", later ", later.text + 119) == 0);
  name.text[119] = 'x';
  later = nbuf_name_of_later(&name, 1);
  CHECK_EQUAL(121, strlen(later.text));
  char prefix[384] = "";
  memset(prefix, 'x', 379);
  CHECK_EQUAL(383, strlen(nbuf_path_of_temporary(3, prefix).text));
  prefix[379] = 'x';
  CHECK_EQUAL(381, strlen(nbuf_path_of_temporary(3, prefix).text));
}

/* ---- One file -------------------------------------------------------------------------------- */

static const nbuf_initial_items *one_item(void) {
  static const nbuf_item item = {.base = 0x10000, .size = 4096};
  static nbuf_initial_items items = {.items = &item, .count = 1};
  items.layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  return &items;
}

static int open_shared_directory(void) {
  return open_node(add_shared());
}

static nbuf_result make(int directory, nbuf_new_file *made) {
  nbuf_result result = nbuf_file_make(directory, OWN_ID, one_item(), made);
  check_closed(1);
  return result;
}

static nbuf_new_file check_made(int directory) {
  nbuf_new_file made;
  check_result(NEARBUF_OK, 0, make(directory, &made));
  CHECK_EQUAL((uintptr_t)memory, made.base);
  CHECK_EQUAL(child_of(node_of(directory), made.temporary.text), it.mapped);
  CHECK_EQUAL(S_IFREG | 0600, it.nodes[it.mapped].mode);
  return made;
}

TEST(a_file_is_complete_when_it_is_made) {
  const nbuf_layout *layout = one_item()->layout;
  int directory = open_shared_directory();
  nbuf_new_file made = check_made(directory);
  CHECK_EQUAL(made.base, nbuf_shared_address_relaxed(made.base, sizeof made.base));
  CHECK_EQUAL(1, nbuf_format_count(made.base, layout));
  CHECK_EQUAL(0x10000, nbuf_item_read(nbuf_item_at(made.base, layout, 0), layout).base);
  for (size_t i = NBUF_LOCATOR_SIZE; i < PAGE; i++) {
    CHECK_EQUAL(0, memory[i]); /* the room of later locators */
  }
  CHECK_EQUAL(0, it.nodes[it.mapped].bytes[0]); /* the address is stored in the mapping */
  CHECK_EQUAL(made.base, it.kept);
  CHECK(!nbuf_file_is_inherited());
}

TEST(a_file_that_is_not_published_has_a_random_name) {
  it.random = 0x5af;
  CHECK(strcmp(NAME_OF("42.5af"), check_made(open_shared_directory()).temporary.text) == 0);
}

TEST(what_a_write_leaves_out_is_written_by_the_next_one) {
  static _Alignas(8) unsigned char expected[PAGE];
  const nbuf_initial_items *items = one_item();
  it.most_written = 1;
  it.is_interrupted = true;
  (void)check_made(open_shared_directory());
  nbuf_format_build((uintptr_t)expected, items->layout, 0, items->items, items->count);
  CHECK_EQUAL(PAGE, it.nodes[it.mapped].size);
  CHECK(memcmp(expected, it.nodes[it.mapped].bytes, PAGE) == 0);
}

/* In a program without standard streams. */
TEST(descriptor_0_is_one_like_any_other) {
  it.first_descriptor = 0;
  nbuf_name name = nbuf_name_of_process(OWN_ID);
  int opened = check_opened(NBUF_FOLDER_SHARED, true);
  CHECK_EQUAL(opened, check_opened(NBUF_FOLDER_SHARED, false));
  int file = add_node(opened, name.text, S_IFREG | 0600);
  CHECK(!nbuf_directory_lacks(NBUF_FOLDER_SHARED, &name));
  check_closed(0);
  it.nodes[file].parent = 0;
  nbuf_new_file made;
  it.open[1] = opened;
  check_result(NEARBUF_OK, 0, make(1, &made));
  invented_close(1);
  refuse(OPEN, EACCES);
  it.calls_before = 1;
  check_not_opened(NEARBUF_SYSTEM_ERROR, EACCES, NBUF_FOLDER_SHARED, true);
}

TEST(a_page_that_children_inherit_is_remembered) {
  it.cannot_keep = true;
  (void)check_made(open_shared_directory());
  CHECK(nbuf_file_is_inherited());
}

static void check_not_made(int directory, nearbuf_status status, int code) {
  nbuf_new_file made;
  check_result(status, code, make(directory, &made));
  CHECK_EQUAL(0, count_names(node_of(directory)));
  CHECK_EQUAL(0, it.mapped);
}

TEST(of_a_file_that_cannot_be_made_nothing_is_left) {
  static const call refused[] = {OPEN, FCHMOD, MAP, WRITE};
  int directory = open_shared_directory();
  for (int i = 0; i < 4; i++) {
    refuse(refused[i], EROFS);
    check_not_made(directory, NEARBUF_SYSTEM_ERROR, EROFS);
    refuse(refused[i], ENOMEM);
    check_not_made(directory, NEARBUF_OUT_OF_MEMORY, ENOMEM);
  }
  refuse(WRITE, ENOSPC);
  it.calls_before = 1;
  check_not_made(directory, NEARBUF_SYSTEM_ERROR, ENOSPC);
  refuse_none();
  it.most_written = 0;
  check_not_made(directory, NEARBUF_SYSTEM_ERROR, ENOSPC);
}

TEST(a_file_that_a_clean_up_has_locked_is_not_made_and_one_without_locks_is) {
  int directory = open_shared_directory();
  refuse(LOCK, EWOULDBLOCK);
  check_not_made(directory, NEARBUF_BUSY, EWOULDBLOCK);
  refuse(LOCK, ENOLCK);
  (void)check_made(directory);
}

/* To exceed it is a signal. */
TEST(the_limit_on_file_sizes_is_not_exceeded) {
  int directory = open_shared_directory();
  it.file_limit = PAGE - 1;
  CHECK(!nbuf_file_is_allowed());
  check_not_made(directory, NEARBUF_SYSTEM_ERROR, EFBIG);
  refuse(LIMIT, EINVAL);
  CHECK(nbuf_file_is_allowed());
  refuse_none();
  it.file_limit = PAGE;
  CHECK(nbuf_file_is_allowed());
  (void)check_made(directory);
}

TEST(a_file_that_is_discarded_has_no_name_and_no_mapping) {
  int directory = open_shared_directory();
  nbuf_new_file made = check_made(directory);
  nbuf_file_discard(directory, &made);
  CHECK_EQUAL(0, count_names(node_of(directory)));
  CHECK_EQUAL(0, it.mapped);
}

TEST(a_file_gets_its_name_only_if_that_is_free) {
  int directory = open_shared_directory();
  nbuf_new_file made = check_made(directory);
  int taken = add_node(node_of(directory), "taken", S_IFREG | 0600);
  CHECK_EQUAL(EEXIST, nbuf_file_publish(directory, &made, "taken"));
  CHECK_EQUAL(0, nbuf_file_publish(directory, &made, "free"));
  CHECK_EQUAL(it.mapped, child_of(node_of(directory), "free"));
  CHECK_EQUAL(taken, child_of(node_of(directory), "taken"));
  CHECK_EQUAL(2, count_names(node_of(directory)));
}

TEST(where_a_rename_would_replace_a_file_gets_its_name_by_a_link) {
  int directory = open_shared_directory();
  nbuf_new_file made = check_made(directory);
  (void)add_node(node_of(directory), "taken", S_IFREG | 0600);
  refuse(RENAME_NEW, ENOSYS);
  CHECK_EQUAL(EEXIST, nbuf_file_publish(directory, &made, "taken"));
  CHECK(child_of(node_of(directory), made.temporary.text) != 0);
  CHECK_EQUAL(0, nbuf_file_publish(directory, &made, "free"));
  CHECK(child_of(node_of(directory), "free") != 0);
  CHECK_EQUAL(2, count_names(node_of(directory)));
}

TEST(a_dead_file_is_replaced) {
  int directory = open_shared_directory();
  nbuf_new_file made = check_made(directory);
  (void)add_node(node_of(directory), "dead", S_IFREG | 0600);
  refuse(RENAME, EIO);
  CHECK_EQUAL(EIO, nbuf_file_replace(directory, &made, "dead"));
  refuse_none();
  CHECK_EQUAL(0, nbuf_file_replace(directory, &made, "dead"));
  CHECK_EQUAL(it.mapped, child_of(node_of(directory), "dead"));
}

/* ---- Dead files ------------------------------------------------------------------------------ */

TEST(a_name_refers_to_the_open_file_or_to_another_one) {
  int directory = open_shared_directory();
  int named = add_node(node_of(directory), "name", S_IFREG | 0600);
  int file = open_node(named);
  CHECK(nbuf_file_is_named(directory, "name", file));
  CHECK(!nbuf_file_is_named(directory, "other", file));
  int other = add_node(node_of(directory), "other", S_IFREG | 0600);
  CHECK(!nbuf_file_is_named(directory, "other", file));
  it.nodes[other].device++;
  CHECK(!nbuf_file_is_named(directory, "other", file));
  refuse(STAT, EIO);
  CHECK(!nbuf_file_is_named(directory, "name", file));
  refuse(STAT_OF_NAME, EIO);
  CHECK(!nbuf_file_is_named(directory, "name", file));
}

TEST(a_lock_is_taken_only_of_a_file_that_no_process_uses_and_that_has_its_name) {
  int directory = open_shared_directory();
  int named = add_node(node_of(directory), "name", S_IFREG | 0600);
  int file = open_node(named);
  CHECK(nbuf_file_lock_dead(directory, "name", file));
  CHECK_EQUAL(LOCK_EX, it.nodes[named].own_lock);
  CHECK(!nbuf_file_lock_dead(directory, "other", file));
  it.nodes[named].lock = LOCK_SH;
  CHECK(!nbuf_file_lock_dead(directory, "name", file));
  CHECK(nbuf_file_has_owner(file));
  it.nodes[named].lock = LOCK_EX; /* it is just being checked */
  CHECK(!nbuf_file_lock_dead(directory, "name", file));
  CHECK(!nbuf_file_has_owner(file));
}

TEST(a_file_is_young_for_a_second) {
  struct stat status;
  memset(&status, 0, sizeof status);
  status.st_ctime = NOW - 1;
  CHECK(nbuf_file_is_young(&status));
  status.st_ctime = NOW - 2;
  CHECK(!nbuf_file_is_young(&status));
}

static bool is_dead(int index) {
  int directory = open_node(it.nodes[index].parent);
  int file = open_node(index);
  bool is = nbuf_file_is_dead(directory, it.nodes[index].name, file);
  CHECK_EQUAL(is, it.nodes[index].own_lock == LOCK_EX && is);
  invented_close(file);
  invented_close(directory);
  return is;
}

TEST(a_file_whose_lock_is_free_is_dead) {
  int index = add_node(add_shared(), NAME_OF("5"), S_IFREG | 0600);
  CHECK(is_dead(index));
  it.nodes[index].lock = LOCK_SH;
  CHECK(!is_dead(index));
  it.nodes[index].lock = 0;
  it.nodes[index].owner = OTHER_USER;
  CHECK(!is_dead(index));
  it.nodes[index].owner = USER;
  it.nodes[index].mode = S_IFIFO | 0600;
  CHECK(!is_dead(index));
  it.nodes[index].mode = S_IFREG | 0600;
  refuse(STAT, EIO);
  CHECK(!is_dead(index));
}

/* Of the Rust implementation, or on overlayfs. */
TEST(a_file_that_was_never_locked_is_dead_only_if_no_process_can_be_elsewhere) {
  int index = add_node(add_shared(), NAME_OF("5"), S_IFREG | 0700);
  for (int i = 0; i < 2; i++) {
    CHECK(!is_dead(index));
    it.is_ours_alone = true;
    CHECK(is_dead(index));
    it.is_ours_alone = false;
    it.boot_time = it.nodes[index].changed + 1; /* since then the system was started */
    CHECK(is_dead(index));
    it.boot_time--;
    CHECK(!is_dead(index));
    it.boot_time = 0;
    it.nodes[index].mode = S_IFREG | 0600;
    it.outlives_close = false;
  }
}

/* ---- The clean-up ---------------------------------------------------------------------------- */

static int clean_directory(int parent) {
  int before = count_names(parent);
  int directory = open_node(parent);
  nbuf_directory_clean(directory);
  invented_close(directory);
  check_closed(0);
  return before - count_names(parent);
}

TEST(a_start_removes_the_files_of_dead_processes_and_no_others) {
  int parent = add_shared();
  (void)add_node(parent, "other", S_IFREG | 0600);
  (void)add_node(parent, NAME_OF("77"), S_IFREG | 0600);
  (void)add_node(parent, NAME_OF("78"), S_IFREG | 0600);
  (void)add_node(parent, NAME_OF("42"), S_IFREG | 0600);
  int used = add_node(parent, NAME_OF("6"), S_IFREG | 0600);
  it.nodes[used].lock = LOCK_SH; /* by a process of another namespace */
  (void)add_node(parent, NAME_OF("7"), S_IFLNK | 0777);
  CHECK_EQUAL(0, clean_directory(parent));
  (void)add_node(parent, NAME_OF("5"), S_IFREG | 0600);
  (void)add_node(parent, NAME_OF("5, later 1f"), S_IFREG | 0600);
  (void)add_node(parent, NAME_OF("42, later 1f"), S_IFREG | 0600); /* of an earlier process 42 */
  CHECK_EQUAL(3, clean_directory(parent));
  CHECK(child_of(parent, NAME_OF("42")) != 0);
}

TEST(a_start_removes_four_files_at_most) {
  int parent = add_shared();
  for (int i = 0; i < 6; i++) {
    char name[128];
    (void)snprintf(name, sizeof name, NAME_OF("%d"), 100 + i);
    (void)add_node(parent, name, S_IFREG | 0600);
  }
  CHECK_EQUAL(4, clean_directory(parent));
  CHECK_EQUAL(4, it.visited);
  CHECK_EQUAL(2, clean_directory(parent));
}

TEST(a_start_gives_up_after_sixteen_files_that_have_to_stay) {
  int parent = add_shared();
  (void)add_node(parent, "other", S_IFREG | 0600); /* it does not count */
  for (int i = 0; i < 20; i++) {
    char name[128];
    (void)snprintf(name, sizeof name, NAME_OF("77, later %x"), 100 + i);
    (void)add_node(parent, name, S_IFREG | 0600);
  }
  CHECK_EQUAL(0, clean_directory(parent));
  CHECK_EQUAL(17, it.visited);
}

TEST(a_file_that_cannot_be_removed_counts_as_one_that_stays) {
  int parent = add_shared();
  for (int i = 0; i < 20; i++) {
    char name[128];
    (void)snprintf(name, sizeof name, NAME_OF("%d"), 100 + i);
    (void)add_node(parent, name, S_IFREG | 0600);
  }
  refuse(UNLINK, EROFS);
  CHECK_EQUAL(0, clean_directory(parent));
  CHECK_EQUAL(16, it.visited);
}
