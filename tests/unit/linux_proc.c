/* What /proc tells of another process, and who it is, from an invented /proc: its entries and
 * refusals are what a test says. remote/linux/proc.c and identity.c are compiled here, with other
 * names for what they call of the C library. With real processes they are tested by
 * tests/process. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/linux/directory.h"
#include "os/posix/files.h"
#include "os/posix/posix.h"
#include "refused.h"
#include "remote/linux/identity.h"
#include "remote/linux/process.h"
#include "test.h"

/* ---- /proc ----------------------------------------------------------------------------------- */

enum {
  ID = 42,
  DIRECTORY = 100,
  FOLDER,
  /* As good a descriptor as others; also that of the first entry. */
  ROOT = 0,
  TEMPORARY = 0,
  OTHER_FILES = 300, /* those of further entries */
  MOST_FILES = 12,
  USER = 1000,
  OUR_USER_NAMESPACE = 50,
  PID_NAMESPACE = 60
};

typedef struct file_entry {
  const char *path; /* below /proc/<id>; null: this and the next ones do not exist */
  const char *text;
  int error;
  int times; /* so often it is refused; 0: always, if at all */
  int flags; /* with which it was opened last */
} file_entry;

static struct {
  file_entry entries[MOST_FILES];
  size_t position[MOST_FILES];
  int open_files;
  int opened; /* entries of it */
  int reads;
  int read_errors[2];
  const char *names[8]; /* of its threads */
  int name_at;
  int names_per_read;
  int list_error;
  bool has_empty_record;
  /* Who it is. */
  ino_t user_namespace;
  dev_t device;
  ino_t pid_namespace; /* 0: hidden */
  int our_namespace_error;
  bool has_namespace;
  uid_t map_owner;
  int map_error;
  /* Its directories. */
  uint64_t resolve[2]; /* with which its /tmp was opened, how often so */
  int root_error;
  int openat2_error;
  int at_once_error; /* of the whole path */
  int old_error;     /* without openat2 */
  int with_rights;
  nbuf_result opening;
  nbuf_folder folder;
  bool is_made;
} it = {.names_per_read = 8,
        .user_namespace = OUR_USER_NAMESPACE,
        .pid_namespace = PID_NAMESPACE,
        .map_owner = USER};

static nearbuf_process peer = {.id = ID, .address_bits = 64, .handles = {0, DIRECTORY + 1}};

static int number_of(int index) {
  return index == 0 ? 0 : OTHER_FILES + index;
}

static int index_of(int number) {
  int index = number == 0 ? 0 : number - OTHER_FILES;
  CHECK(index >= 0 && index < MOST_FILES);
  return index;
}

static file_entry *add_entry(const char *path, const char *text) {
  int i = 0;
  while (it.entries[i].path != NULL) {
    i++;
  }
  CHECK(i + 1 < MOST_FILES);
  it.entries[i] = (file_entry){.path = path, .text = text};
  return &it.entries[i];
}

static int open_entry(const char *path, int flags) {
  it.opened++;
  for (int i = 0; it.entries[i].path != NULL; i++) {
    file_entry *found = &it.entries[i];
    if (strcmp(path, found->path) == 0) {
      found->flags = flags;
      bool is_refused = found->error != 0 && found->times >= 0;
      found->times -= found->times > 0 ? (found->times == 1 ? 2 : 1) : 0;
      it.position[i] = 0;
      it.open_files += !is_refused;
      return failed_with(is_refused ? found->error : 0) == 0 ? number_of(i) : -1;
    }
  }
  errno = ENOENT;
  return -1;
}

static int invented_openat(int directory, const char *path, int flags) {
  if (directory == ROOT) {
    CHECK(strcmp(path, "tmp") == 0);
    CHECK_EQUAL(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, flags);
    it.open_files += it.old_error == 0;
    return failed_with(it.old_error) == 0 ? TEMPORARY : -1;
  }
  CHECK_EQUAL(DIRECTORY, directory);
  if (strcmp(path, "root") == 0) {
    CHECK_EQUAL(O_PATH | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC, flags);
    it.open_files += it.root_error == 0;
    return failed_with(it.root_error) == 0 ? ROOT : -1;
  }
  return open_entry(path, flags);
}

static int invented_open(const char *path, int flags) {
  static const char own[] = "/proc/self/";
  CHECK(strncmp(path, own, sizeof own - 1) == 0);
  return open_entry(path + sizeof own - 1, flags);
}

static void invented_close(int file) {
  (void)index_of(file);
  it.open_files--;
  errno = EBADMSG; /* it may change it */
}

static ssize_t invented_read(int file, void *bytes, size_t size) {
  for (int i = 0; i < 2; i++) {
    if (it.read_errors[i] != 0) {
      (void)failed_with(it.read_errors[i]);
      it.read_errors[i] = 0;
      return -1;
    }
  }
  it.reads++;
  int i = index_of(file);
  size_t left = strlen(it.entries[i].text) - it.position[i];
  size = left < size ? left : size;
  memcpy(bytes, it.entries[i].text + it.position[i], size);
  it.position[i] += size;
  return (ssize_t)size;
}

static long list_names(char *records, long size) {
  long filled = 0;
  for (int i = 0; i < it.names_per_read && it.names[it.name_at] != NULL; i++) {
    nbuf_linux_record *record = (nbuf_linux_record *)(void *)&records[filled];
    *record = (nbuf_linux_record){.length = sizeof *record + 16};
    if (it.has_empty_record && it.name_at == 1) {
      record->length = 0;
    }
    CHECK(filled + (long)sizeof *record + 16 <= size);
    (void)snprintf(record->name, 16, "%s", it.names[it.name_at++]);
    filled += (long)sizeof *record + 16;
  }
  return filled;
}

enum { IN_ROOT = 0x10, BENEATH = 0x08, NO_SYMLINKS = 0x04, NO_MAGICLINKS = 0x02 };

static long invented_openat2(int root, const char *name, const uint64_t *how, size_t size) {
  CHECK(root == ROOT && size == 3 * sizeof *how);
  CHECK_EQUAL(O_RDONLY | O_DIRECTORY | O_CLOEXEC, how[0]);
  CHECK_EQUAL(0, how[1]);
  if (strchr(name, '/') != NULL) {
    bool is_shared = strcmp(name, "tmp/.reloaded/memory.buffers") == 0;
    CHECK(is_shared || strcmp(name, "tmp/.reloaded.5") == 0);
    CHECK_EQUAL(BENEATH | NO_SYMLINKS | NO_MAGICLINKS, how[2]);
    it.folder = is_shared ? NBUF_FOLDER_SHARED : it.folder;
    it.open_files += !is_shared && it.at_once_error == 0;
    return failed_with(it.at_once_error) != 0 ? -1 : is_shared ? FOLDER : number_of(1);
  }
  CHECK(strcmp(name, "tmp") == 0);
  it.resolve[it.with_rights] = how[2];
  it.open_files += it.openat2_error == 0;
  return failed_with(it.openat2_error) == 0 ? TEMPORARY : -1;
}

static long invented_syscall(long number, ...) {
  long a[4];
  va_list arguments;
  va_start(arguments, number);
  a[0] = va_arg(arguments, int);
  for (int i = 1; i < 4; i++) {
    a[i] = number == SYS_getdents64 && i == 3 ? 0 : va_arg(arguments, long);
  }
  va_end(arguments);
  if (number == SYS_getdents64) {
    return it.list_error != 0 ? failed_with(it.list_error) : list_names((char *)a[1], a[2]);
  }
  return invented_openat2((int)a[0], (const char *)a[1], (const uint64_t *)a[2], (size_t)a[3]);
}

static int invented_fstatat(int directory, const char *path, struct stat *status) {
  CHECK_EQUAL(DIRECTORY, directory);
  memset(status, 0, sizeof *status);
  status->st_uid = it.map_owner;
  status->st_dev = it.device;
  if (strcmp(path, "maps") == 0) {
    return failed_with(it.map_error);
  }
  bool is_user = strcmp(path, "ns/user") == 0;
  CHECK(is_user || strcmp(path, "ns/pid") == 0);
  status->st_ino = is_user ? it.user_namespace : it.pid_namespace;
  return failed_with(status->st_ino == 0 ? EACCES : 0);
}

static int invented_stat(const char *path, struct stat *status) {
  CHECK(strcmp(path, "/proc/self/ns/user") == 0);
  memset(status, 0, sizeof *status);
  status->st_ino = OUR_USER_NAMESPACE;
  return failed_with(it.our_namespace_error);
}

static bool invented_namespace(uint64_t *number) {
  *number = PID_NAMESPACE + 1;
  return it.has_namespace;
}

static nbuf_result invented_open_below(int temporary, nbuf_folder folder, nbuf_user user, bool make,
                                       int *directory) {
  CHECK_EQUAL(TEMPORARY, temporary);
  CHECK(user.owner == USER && user.named == 5);
  CHECK_EQUAL(make, it.with_rights);
  it.folder = folder;
  it.is_made = make;
  *directory = it.opening.status == NEARBUF_OK ? FOLDER : -1;
  return it.opening;
}

bool nbuf_rights_are_ours(const nbuf_rights *rights) {
  return rights->user == USER;
}

nbuf_result nbuf_linux_result(const nearbuf_process *process, int error) {
  CHECK(process == &peer);
  return nbuf_result_system(NEARBUF_STALE, error); /* which nothing else is here */
}

#undef open
#undef openat
#undef read
#undef fstatat
#undef stat
#define open(path, flags) invented_open(path, flags)
#define openat(directory, path, flags) invented_openat(directory, path, flags)
#define close(file) invented_close(file)
#define read(file, bytes, size) invented_read(file, bytes, size)
#define syscall invented_syscall
#define fstatat(directory, path, status, flags) invented_fstatat(directory, path, status)
#define stat(path, status) invented_stat(path, status)
#define nbuf_posix_namespace(number) invented_namespace(number)
#define nbuf_directory_open_below(temporary, folder, user, make, directory)                        \
  invented_open_below(temporary, folder, user, make, directory)
#include "remote/linux/identity.c" /* NOLINT(bugprone-suspicious-include) */
#include "remote/linux/proc.c"     /* NOLINT(bugprone-suspicious-include) */
#undef stat

/* ---- Entries --------------------------------------------------------------------------------- */

static int open_status(int flags) {
  it.opened = 0;
  it.name_at = 0;
  int file = nbuf_linux_open(&peer, "status", flags);
  CHECK_EQUAL(file >= 0, it.open_files);
  it.open_files = 0;
  return file;
}

static void list_threads(const char *const *names, size_t size) {
  memcpy(it.names, names, size);
  (void)add_entry("task", "");
}

TEST(an_entry_is_opened_without_waiting) {
  file_entry *status = add_entry("status", "");
  CHECK_EQUAL(number_of(0), open_status(O_RDWR));
  CHECK_EQUAL(O_RDWR | O_NONBLOCK | O_CLOEXEC, status->flags);
}

TEST(an_entry_of_our_own_is_opened_in_our_folder) {
  file_entry *status = add_entry("status", "");
  CHECK_EQUAL(number_of(0), nbuf_linux_open(NULL, "status", O_RDONLY));
  CHECK_EQUAL(O_RDONLY | O_NONBLOCK | O_CLOEXEC, status->flags);
  CHECK_EQUAL(1, it.open_files);
  status->error = EMFILE;
  CHECK(nbuf_linux_open(NULL, "status", O_RDONLY) == -1 && errno == EMFILE);
  CHECK_EQUAL(1, it.open_files);
}

TEST(of_a_first_thread_that_has_ended_another_ones_entry_is_opened) {
  static const char *const names[] = {".", "..", "42", "43", "44", NULL};
  static const int ended[] = {ESRCH, ENOENT, EACCES};
  file_entry *status = add_entry("status", "");
  list_threads(names, sizeof names);
  (void)add_entry("task/42/status", "");
  (void)add_entry("task/./status", "");
  file_entry *theirs = add_entry("task/44/status", "");
  for (size_t i = 0; i < sizeof ended / sizeof *ended; i++) {
    status->error = ended[i];
    CHECK_EQUAL(number_of(4), open_status(O_RDONLY));
    CHECK_EQUAL(O_RDONLY | O_NONBLOCK | O_CLOEXEC, theirs->flags);
    CHECK_EQUAL(O_RDONLY | O_DIRECTORY | O_CLOEXEC, it.entries[1].flags);
  }
  status->error = EMFILE;
  CHECK(open_status(O_RDONLY) == -1 && errno == EMFILE);
  CHECK_EQUAL(1, it.opened);
}

/* Also where its descriptor is 0, as in a program whose standard input is closed. */
TEST(one_thread_whose_entry_can_be_opened_is_enough) {
  static const char *const names[] = {"43", "44", NULL};
  (void)add_entry("task/43/mem", "");
  list_threads(names, sizeof names);
  (void)add_entry("task/44/mem", "");
  CHECK_EQUAL(0, nbuf_linux_open_of_another_thread(&peer, "mem", O_RDONLY));
  CHECK_EQUAL(2, it.opened);
  CHECK_EQUAL(1, it.open_files);
}

TEST(a_thread_that_just_became_the_first_is_found_by_a_second_try) {
  static const char *const names[] = {"42", NULL};
  file_entry *status = add_entry("status", "");
  list_threads(names, sizeof names);
  status->error = ESRCH;
  status->times = 1;
  CHECK_EQUAL(number_of(0), open_status(O_RDONLY));
  status->times = 2;
  CHECK(open_status(O_RDONLY) == -1 && errno == ESRCH);
  CHECK_EQUAL(4, it.opened);
}

/* Each of a thousand threads would refuse it in the same way. */
TEST(after_four_refusals_no_other_thread_is_tried) {
  static const char *const names[] = {"43", "44", "45", "46", "47", "48", NULL};
  static const char *const paths[] = {"task/43/mem", "task/44/mem", "task/45/mem",
                                      "task/46/mem", "task/47/mem", "task/48/mem"};
  list_threads(names, sizeof names);
  file_entry *mem[6];
  for (size_t i = 0; i < 6; i++) {
    mem[i] = add_entry(paths[i], "");
    mem[i]->error = i < 4 ? EACCES : 0;
  }
  CHECK(nbuf_linux_open_of_another_thread(&peer, "mem", O_RDONLY) == -1);
  CHECK_EQUAL(5, it.opened);
  it.name_at = 0;
  mem[1]->error = ENOENT; /* it has ended */
  CHECK_EQUAL(number_of(5), nbuf_linux_open_of_another_thread(&peer, "mem", O_RDONLY));
  it.name_at = 0;
  it.entries[0].error = EMFILE;
  CHECK(nbuf_linux_open_of_another_thread(&peer, "mem", O_RDONLY) == -1);
}

TEST(all_names_of_a_folder_are_read_however_they_come) {
  static const char *const names[] = {"43", "44", "45", NULL};
  file_entry *mem;
  list_threads(names, sizeof names);
  mem = add_entry("task/45/mem", "");
  for (int i = 1; i < 4; i++) {
    it.name_at = 0;
    it.names_per_read = i;
    CHECK_EQUAL(number_of(1), nbuf_linux_open_of_another_thread(&peer, "mem", O_RDONLY));
  }
  CHECK_EQUAL(O_RDONLY | O_NONBLOCK | O_CLOEXEC, mem->flags);
}

static int visits;

static bool count_visit(const char *name, void *context) {
  CHECK(strcmp(it.names[visits], name) == 0);
  return ++visits != *(int *)context;
}

TEST(a_visit_ends_with_the_names_or_by_wish_or_with_an_error) {
  static const char *const names[] = {"43", "44", "45", NULL};
  int last = 0;
  list_threads(names, sizeof names);
  CHECK_EQUAL(0, nbuf_linux_visit(DIRECTORY, count_visit, &last));
  CHECK_EQUAL(3, visits);
  last = 2;
  visits = it.name_at = 0;
  CHECK_EQUAL(0, nbuf_linux_visit(DIRECTORY, count_visit, &last));
  CHECK_EQUAL(2, visits);
  it.list_error = ENOENT;
  CHECK_EQUAL(ENOENT, nbuf_linux_visit(DIRECTORY, count_visit, &last));
  it.list_error = visits = it.name_at = last = 0;
  it.has_empty_record = true; /* which would be read again and again */
  CHECK_EQUAL(0, nbuf_linux_visit(DIRECTORY, count_visit, &last));
  CHECK_EQUAL(1, visits);
}

/* ---- Texts ----------------------------------------------------------------------------------- */

TEST(a_text_is_read_in_pieces_as_far_as_it_fits) {
  char text[16];
  file_entry *status = add_entry("status", "a:\t1\nbb:\t2\n");
  it.read_errors[0] = it.read_errors[1] = EINTR;
  CHECK_EQUAL(0, nbuf_linux_read_text(&peer, "status", text, sizeof text));
  CHECK(strcmp(text, "a:\t1\nbb:\t2\n") == 0);
  CHECK_EQUAL(1, it.reads); /* it was less than was asked for */
  static char lines[4096 + 5];
  memset(lines, '\n', 4096);
  memcpy(lines + 4096, "c:\t3", 5); /* with the zero behind it */
  char whole[sizeof lines];
  status->text = lines;
  CHECK_EQUAL(0, nbuf_linux_read_text(&peer, "status", whole, sizeof whole));
  CHECK(strcmp(whole, lines) == 0);
  CHECK_EQUAL(3, it.reads);
  status->text = "a:\t1\nbb:\t2\n";
  CHECK_EQUAL(0, nbuf_linux_read_text(&peer, "status", text, 8));
  CHECK(strcmp(text, "a:\t1\nbb") == 0);
  it.read_errors[0] = EIO;
  CHECK_EQUAL(EIO, nbuf_linux_read_text(&peer, "status", text, sizeof text));
  CHECK_EQUAL(0, it.open_files);
  CHECK_EQUAL(ENOENT, nbuf_linux_read_text(&peer, "other", text, sizeof text));
  CHECK(text[0] == '\0');
}

TEST(of_a_long_line_400_characters_are_kept) {
  char line[1024];
  char text[1024];
  memset(line, 'x', 500);
  line[399] = 'y';
  memcpy(line + 500, "\nb\n", 4);
  (void)add_entry("status", line);
  CHECK_EQUAL(0, nbuf_linux_read_text(&peer, "status", text, sizeof text));
  CHECK_EQUAL(403, strlen(text));
  CHECK(strcmp(text + 399, "y\nb\n") == 0);
}

TEST(a_field_is_found_at_the_beginning_of_a_line_only) {
  const char *text = "aUid:\t1\nUidx:\t2\nUid:\t3 4\nUid:\t5";
  CHECK_EQUAL(3, nbuf_linux_number(nbuf_linux_field(text, "Uid"), 0, 10));
  CHECK_EQUAL(2, nbuf_linux_number(nbuf_linux_field(text, "Uidx"), 0, 10));
  CHECK_EQUAL(1, nbuf_linux_number(nbuf_linux_field(text, "aUid"), 0, 10));
  CHECK(nbuf_linux_field(text, "id") == NULL && nbuf_linux_field(text, "Ui") == NULL);
  CHECK(nbuf_linux_field("", "Uid") == NULL);
  CHECK_EQUAL(4, nbuf_linux_number(nbuf_linux_field(text, "Uid"), 1, 10));
}

TEST(numbers_are_decimal_or_hexadecimal) {
  CHECK_EQUAL(1234567890, nbuf_linux_number(" \t1234567890x", 0, 10));
  CHECK_EQUAL(UINT64_C(0x9abcdef012345678), nbuf_linux_number("9abcdef012345678", 0, 16));
  CHECK_EQUAL(20, nbuf_linux_number("7 20\t30", 1, 10));
  CHECK_EQUAL(30, nbuf_linux_number("7 20\t30", 2, 10));
  CHECK_EQUAL(0, nbuf_linux_number("7 20\t30", 3, 10));
  CHECK_EQUAL(12, nbuf_linux_number("12a", 0, 10));
  CHECK_EQUAL(12, nbuf_linux_number("12:", 0, 10));
  CHECK_EQUAL(12, nbuf_linux_number("12/", 0, 10));
  CHECK_EQUAL(0x12, nbuf_linux_number("12g", 0, 16));
  CHECK_EQUAL(0x12, nbuf_linux_number("12`", 0, 16));
  CHECK_EQUAL(0, nbuf_linux_number(NULL, 0, 10));
}

TEST(a_process_knows_itself_by_its_innermost_id) {
  uint32_t depth;
  CHECK_EQUAL(3, nbuf_linux_own_id("Tgid:\t9\nNSpid:\t42\t7\t3\nNSpgid:\t42\t8\n", &depth));
  CHECK_EQUAL(3, depth);
  CHECK_EQUAL(42, nbuf_linux_own_id("NSpid:\t42", &depth));
  CHECK_EQUAL(1, depth);
  CHECK_EQUAL(5, nbuf_linux_own_id("NSpid:\t42 5\n", &depth));
  CHECK_EQUAL(2, depth);
  CHECK_EQUAL(9, nbuf_linux_own_id("Tgid:\t9\n", &depth)); /* of an older kernel */
  CHECK_EQUAL(0, depth);
}

#define STAT_ENDS "8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33"

/* Every field is its own number, as proc(5) counts them. */
TEST(a_stat_is_read_behind_the_name) {
  nbuf_linux_stat stat = {0};
  file_entry *file = add_entry("stat", "42 (a) b) S 4 5 6 7 " STAT_ENDS " 34 35 36 37 38 39 40\n");
  CHECK_EQUAL(0, nbuf_linux_read_stat(DIRECTORY, "stat", &stat));
  CHECK_EQUAL('S', stat.state);
  CHECK_EQUAL(9, stat.flags);
  CHECK_EQUAL(20, stat.threads);
  CHECK_EQUAL(31, stat.signals);
  CHECK_EQUAL(39, stat.processor);
  CHECK_EQUAL(O_RDONLY | O_CLOEXEC, file->flags);
  file->text = "42 (a) S 4 5 6 7 " STAT_ENDS " 34 35 36 37 38";
  CHECK_EQUAL(EIO, nbuf_linux_read_stat(DIRECTORY, "stat", &stat));
  file->text = "";
  CHECK_EQUAL(EIO, nbuf_linux_read_stat(DIRECTORY, "stat", &stat));
  it.read_errors[0] = ESRCH;
  CHECK_EQUAL(ESRCH, nbuf_linux_read_stat(DIRECTORY, "stat", &stat));
  file->error = ENOENT;
  CHECK_EQUAL(ENOENT, nbuf_linux_read_stat(DIRECTORY, "stat", &stat));
  CHECK_EQUAL(0, it.open_files);
}

TEST(descriptors_are_kept_plus_one) {
  peer.handles[0] = 8;
  CHECK_EQUAL(7, nbuf_linux_pidfd(&peer));
  CHECK_EQUAL(DIRECTORY, nbuf_linux_directory(&peer));
  peer.handles[0] = 0;
  CHECK(nbuf_linux_pidfd(&peer) == -1);
}

/* ---- Who it is ------------------------------------------------------------------------------- */

static const char usual[] = "Tgid:\t42\nUid:\t1000\t1000\t1000\t1000\nGid:\t100\t100\t100\t100\n"
                            "NSpid:\t42\nVmSize:\t9 kB\nCapEff:\t00000000000000f3\n";

static nbuf_identity identify(const char *status) {
  nbuf_identity identity;
  memset(&identity, 0xff, sizeof identity);
  it.entries[0] = (file_entry){.path = "status", .text = status};
  CHECK_STATUS(NEARBUF_OK, nbuf_identify_fully(&peer, &identity).status);
  CHECK_EQUAL(0, it.open_files);
  nbuf_identity by_status = {.is_full = true};
  CHECK_STATUS(NEARBUF_OK, nbuf_identify(&peer, &by_status).status);
  CHECK(!by_status.is_full && by_status.own_id == identity.own_id);
  CHECK(by_status.is_elsewhere == identity.is_elsewhere && by_status.group == identity.group);
  CHECK_EQUAL(identity.user.owner, by_status.user.owner);
  CHECK_EQUAL(identity.user.named, nbuf_identity_user(&peer, &by_status).named);
  CHECK_EQUAL(identity.user.owner, nbuf_identity_user(&peer, &by_status).owner);
  it.user_namespace++; /* it is not asked again */
  CHECK_EQUAL(identity.user.named, nbuf_identity_user(&peer, &identity).named);
  it.user_namespace--;
  return identity;
}

TEST(a_process_is_identified_by_its_status) {
  nbuf_identity identity = identify(usual);
  CHECK_EQUAL(42, identity.own_id);
  CHECK(!identity.is_elsewhere && !identity.is_privileged);
  CHECK(identity.user.owner == USER && identity.user.named == USER && identity.group == 100);
  CHECK(identity.rights.user == USER && identity.rights.group == 100);
  CHECK(identity.rights.capabilities == 0xf3 && identity.rights.are_ours);
  CHECK(identity.is_full);
}

TEST(a_process_whose_status_is_not_readable_is_not_identified) {
  nbuf_identity identity;
  it.entries[0] = (file_entry){.path = "status", .error = EMFILE};
  nbuf_result result = nbuf_identify(&peer, &identity);
  CHECK_STATUS(NEARBUF_STALE, result.status);
  CHECK_EQUAL(EMFILE, result.system_error);
}

TEST(files_belong_to_the_user_of_the_file_system) {
  nbuf_identity identity = identify("Uid:\t1 2 3 4\nGid:\t5 6 7 8\nNSpid:\t42\t9\n");
  CHECK(identity.user.owner == 4 && identity.rights.user == 4);
  CHECK(identity.group == 8 && identity.rights.group == 8 && !identity.rights.are_ours);
  CHECK(identity.own_id == 9 && identity.is_elsewhere);
}

TEST(a_process_with_several_users_or_groups_is_privileged) {
  static const char *const statuses[] = {
      "Uid:\t5 6 5 5\nGid:\t5 5 5 5\n", "Uid:\t5 5 6 5\nGid:\t5 5 5 5\n",
      "Uid:\t5 5 5 6\nGid:\t5 5 5 5\n", "Uid:\t5 5 5 5\nGid:\t5 6 5 5\n",
      "Uid:\t5 5 5 5\nGid:\t5 5 6 5\n", "Uid:\t5 5 5 5\nGid:\t5 5 5 6\n"};
  it.map_owner = 5;
  for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
    CHECK(identify(statuses[i]).is_privileged);
  }
  CHECK(!identify("Uid:\t5 5 5 5 6\nGid:\t5 5 5 5 6\nVmSize:\t9\n").is_privileged);
}

TEST(a_process_that_hides_its_memory_is_privileged) {
  it.map_owner = 0;
  CHECK(identify(usual).is_privileged);
  CHECK(!identify("Uid:\t5 5 5 5\nGid:\t5 5 5 5\n").is_privileged); /* it has none */
  it.map_error = ESRCH;
  CHECK(!identify(usual).is_privileged);
}

#define MAP "0 100000 1000\n1000 200000 5\n"

TEST(of_another_user_namespace_capabilities_do_not_count_and_users_have_other_names) {
  static const struct {
    const char *status;
    uint64_t named;
  } users[] = {{"Uid:\t99999 99999 99999 99999\n", 99999},
               {"Uid:\t1 1 1 100000\n", 0},
               {"Uid:\t1 1 1 100999\n", 999},
               {"Uid:\t1 1 1 101000\n", 101000},
               {"Uid:\t1 1 1 200004\n", 1004},
               {"Uid:\t1 1 1 200005\n", 200005}};
  it.user_namespace = OUR_USER_NAMESPACE + 1;
  (void)add_entry("status", "");
  file_entry *map = add_entry("uid_map", MAP);
  for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
    CHECK_EQUAL(users[i].named, identify(users[i].status).user.named);
  }
  CHECK_EQUAL(0, identify(usual).rights.capabilities);
  map->text = "0 5 1";
  CHECK_EQUAL(0, identify("Uid:\t1 1 1 5\n").user.named);
  CHECK_EQUAL(6, identify("Uid:\t1 1 1 6\n").user.named);
  map->error = EMFILE;
  CHECK_EQUAL(5, identify("Uid:\t1 1 1 5\n").user.named);
}

TEST(users_of_our_or_an_unknown_namespace_have_our_names) {
  (void)add_entry("status", "");
  (void)add_entry("uid_map", "0 1000 1\n");
  CHECK_EQUAL(USER, identify(usual).user.named);
  it.our_namespace_error = ENOENT;
  CHECK_EQUAL(USER, identify(usual).user.named);
  CHECK_EQUAL(0, identify(usual).rights.capabilities);
  it.our_namespace_error = 0;
  it.user_namespace = 0;
  CHECK_EQUAL(USER, identify(usual).user.named);
  it.user_namespace = OUR_USER_NAMESPACE;
  it.device = 1; /* of another kernel's */
  CHECK_EQUAL(0, identify(usual).user.named);
}

TEST(a_hidden_namespace_is_ours_unless_the_process_is_elsewhere) {
  it.pid_namespace = 0;
  it.has_namespace = true;
  nbuf_identity identity = identify(usual);
  nbuf_name name;
  CHECK(nbuf_identity_name(&peer, &identity, 1, &name));
  CHECK(strcmp(name.text, nbuf_name_in_namespace_number(42, PID_NAMESPACE + 1).text) == 0);
  identity.is_elsewhere = true;
  CHECK(!nbuf_identity_name(&peer, &identity, 1, &name));
  identity.is_elsewhere = it.has_namespace = false;
  CHECK(!nbuf_identity_name(&peer, &identity, 1, &name));
}

TEST(a_process_has_a_second_name_where_its_namespace_is_known) {
  nbuf_identity identity = {.own_id = 42, .is_elsewhere = true};
  nbuf_name name;
  it.pid_namespace = 77;
  CHECK(nbuf_identity_name(&peer, &identity, 0, &name));
  CHECK(strcmp(name.text, nbuf_name_of_process(42).text) == 0);
  CHECK(nbuf_identity_name(&peer, &identity, 1, &name));
  CHECK(strcmp(name.text, nbuf_name_in_namespace_number(42, 77).text) == 0);
  CHECK(!nbuf_identity_name(&peer, &identity, 2, &name));
  it.pid_namespace = 0;
  CHECK(nbuf_identity_name(&peer, &identity, 0, &name));
  CHECK(!nbuf_identity_name(&peer, &identity, 1, &name));
}

/* ---- Its directories ------------------------------------------------------------------------- */

static const nbuf_identity its = {
    .is_full = true, .user = {.named = 5, .owner = USER}, .rights = {.user = USER}};

static void check_folder(nbuf_folder folder, nearbuf_status status, int error, bool make) {
  int directory = 9;
  it.with_rights = make;
  nbuf_result result = make ? nbuf_identity_make_directory(ROOT, folder, its.user, &directory)
                            : nbuf_identity_open_directory(&peer, &its, folder, &directory);
  it.with_rights = 0;
  CHECK_STATUS(status, result.status);
  CHECK_EQUAL(error, result.system_error);
  CHECK(directory == (status == NEARBUF_OK ? FOLDER : -1));
  CHECK_EQUAL(0, it.open_files);
}

static void check_directory(nearbuf_status status, int error, bool make) {
  check_folder(NBUF_FOLDER_OF_USER, status, error, make);
}

TEST(the_shared_directory_is_opened_at_once_where_no_link_is_on_the_way) {
  for (int make = 0; make < 2; make++) {
    it.folder = NBUF_FOLDER_OF_USER;
    check_folder(NBUF_FOLDER_SHARED, NEARBUF_OK, 0, make != 0);
    CHECK(it.folder == NBUF_FOLDER_SHARED && !it.is_made);
    CHECK(it.resolve[0] == 0 && it.resolve[1] == 0); /* its /tmp is not opened by itself */
  }
  it.at_once_error = ENOENT;
  check_folder(NBUF_FOLDER_SHARED, NEARBUF_NOT_FOUND, ENOENT, false);
  CHECK_EQUAL(0, it.resolve[0]);
  check_folder(NBUF_FOLDER_SHARED, NEARBUF_OK, 0, true);
  CHECK(it.is_made);
}

TEST(a_directory_of_the_user_that_does_not_exist_takes_one_try) {
  it.at_once_error = ENOENT;
  check_directory(NEARBUF_NOT_FOUND, ENOENT, false);
  CHECK_EQUAL(0, it.resolve[0]);
}

TEST(where_a_link_is_on_the_way_to_the_shared_directory_it_is_opened_in_steps) {
  it.at_once_error = ELOOP;
  check_folder(NBUF_FOLDER_SHARED, NEARBUF_OK, 0, false);
  CHECK_EQUAL(IN_ROOT | NO_MAGICLINKS, it.resolve[0]);
  check_folder(NBUF_FOLDER_SHARED, NEARBUF_OK, 0, true);
  CHECK_EQUAL(BENEATH | NO_SYMLINKS | NO_MAGICLINKS, it.resolve[1]);
  it.opening = nbuf_result_system(NEARBUF_DENIED, EPERM);
  check_folder(NBUF_FOLDER_SHARED, NEARBUF_DENIED, EPERM, false);
}

TEST(links_on_the_way_to_a_directory_lead_nowhere_outside_of_its_root) {
  check_directory(NEARBUF_OK, 0, false);
  CHECK_EQUAL(IN_ROOT | NO_MAGICLINKS, it.resolve[0]);
  CHECK(it.folder == NBUF_FOLDER_OF_USER && !it.is_made);
}

TEST(a_directory_is_made_with_its_rights_and_through_no_link) {
  check_directory(NEARBUF_OK, 0, true);
  CHECK_EQUAL(BENEATH | NO_SYMLINKS | NO_MAGICLINKS, it.resolve[1]);
  CHECK(it.folder == NBUF_FOLDER_OF_USER && it.is_made);
}

TEST(without_openat2_no_link_is_followed) {
  it.openat2_error = ENOSYS;
  check_directory(NEARBUF_OK, 0, false);
  check_directory(NEARBUF_OK, 0, true);
  it.old_error = ELOOP;
  check_directory(NEARBUF_STALE, ELOOP, false);
  check_directory(NEARBUF_SYSTEM_ERROR, ELOOP, true);
}

TEST(why_a_directory_cannot_be_opened_is_returned) {
  it.openat2_error = EACCES;
  check_directory(NEARBUF_STALE, EACCES, false);
  check_directory(NEARBUF_SYSTEM_ERROR, EACCES, true);
  it.openat2_error = EMFILE;
  check_directory(NEARBUF_OUT_OF_MEMORY, EMFILE, true);
  it.openat2_error = 0;
  it.opening = nbuf_result_system(NEARBUF_DENIED, EPERM);
  check_directory(NEARBUF_DENIED, EPERM, false);
  check_directory(NEARBUF_DENIED, EPERM, true);
  it.root_error = EACCES;
  check_directory(NEARBUF_STALE, EACCES, false);
}
