/* Files of locators of an invented process, and the views of them: the files, the maps and what the
 * system refuses are what a test says. remote/linux/locator_file.c, hidden.c and views.c are
 * compiled here, with other names for what they call of the C library; the functions of the port
 * that they call are defined here. With real processes they are tested by tests/process. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "os/posix/files.h"
#include "os/posix/posix.h"
#include "refused.h"
#include "remote/linux/hidden.h"
#include "remote/linux/locator_file.h"
#include "remote/linux/process.h"
#include "test.h"

/* ---- The process and its files --------------------------------------------------------------- */

#define PAGE UINT64_C(4096)
#define PLACE UINT64_C(0x20000000) /* of its first locator */
#define OURS UINT64_C(0x40000000)  /* of mappings of ours */
enum {
  ID = 42,
  OWN_ID = 7,
  USER = 1000,
  DEVICE = 6,
  INODE = 50, /* of the first file */
  OPENED = 100,
  FOLDER = 200,
  ENTRY_OF_MAP = 300,
  MOST_FILES = 5
};

static const char first_name[] = NBUF_NAME_PREFIX "7";
static const char second_name[] = NBUF_NAME_PREFIX "7, second";

/* The first one has the descriptor 0, which is as good as others. */
typedef struct locator_file {
  const char *name; /* null: this and the next ones do not exist */
  uint64_t address;
  off_t size;
  mode_t mode;
  uid_t user;
  int folder;
  int error; /* where it is opened for writing, or at all: */
  bool is_unreadable;
  bool is_in_use;
  int opened_as; /* flags */
} locator_file;

static struct {
  locator_file files[MOST_FILES];
  int file_count;
  int open_files;
  int stat_error;
  dev_t stat_device;     /* 0: the numbers in maps are others, as on overlayfs */
  int looks_until_cut;   /* then every file is too short; 0: never */
  int reads_until_moved; /* then every file has another address; 0: never */
  ssize_t short_by;      /* of what is read of a file */
  nbuf_remote_mapping theirs;
  nbuf_result their_map;
  nbuf_result our_map;
  uint64_t our_device;
  uint64_t inode_more; /* ours differs from the file's by that */
  uint64_t mapped;     /* of the last mapping of ours: */
  off_t offset;
  int protection;
  int mappings;
  int map_error;
  uint64_t owner;
  bool has_no_owner;
  nbuf_identity identity;
  nbuf_result identifying;
  bool has_no_namespace;             /* that is known */
  nbuf_result opening[NBUF_FOLDERS]; /* of its folders */
  bool is_named_by_map;              /* and may be opened by that */
  int map_file_error;
  char map_path[64];
  nbuf_result checking;
  nbuf_result reading;
} it = {.our_device = DEVICE,
        .owner = 5,
        .identity = {.own_id = OWN_ID, .user = {.owner = USER}},
        .theirs = {.info = {.min = PLACE,
                            .max = PLACE + 4095,
                            .is_shared = 1,
                            .is_readable = 1,
                            .is_writable = 1,
                            .name = "/tmp/other/" NBUF_NAME_PREFIX "7"},
                   .device = DEVICE,
                   .inode = INODE}};

static nearbuf_process peer = {.id = ID, .address_bits = 64};

static int number_of(int index) {
  return index == 0 ? 0 : OPENED + index;
}

static int index_of(int number) {
  int index = number == 0 || number == ENTRY_OF_MAP ? 0 : number - OPENED;
  CHECK(index >= 0 && index < it.file_count);
  return index;
}

static locator_file *add_file(const char *name, uint64_t address) {
  CHECK(it.file_count < MOST_FILES);
  locator_file *file = &it.files[it.file_count++];
  *file = (locator_file){.name = name,
                         .address = address,
                         .size = 4096,
                         .mode = S_IFREG | 0600,
                         .user = USER,
                         .is_in_use = true};
  return file;
}

static int invented_openat(int directory, const char *name, int flags) {
  CHECK_EQUAL(O_PATH | O_NOFOLLOW | O_CLOEXEC, flags);
  for (int i = 0; i < it.file_count; i++) {
    if (directory == FOLDER + it.files[i].folder && strcmp(it.files[i].name, name) == 0) {
      it.open_files++;
      return number_of(i);
    }
  }
  return failed_with(ENOENT);
}

static int invented_open(const char *path, int flags) {
  char expected[32];
  int i = -1;
  do {
    CHECK(++i < it.file_count);
    (void)snprintf(expected, sizeof expected, "/proc/self/fd/%d", number_of(i));
  } while (strcmp(expected, path) != 0);
  locator_file *file = &it.files[i];
  file->opened_as = flags;
  bool is_refused = file->error != 0 && ((flags & O_ACCMODE) == O_RDWR || file->is_unreadable);
  it.open_files += !is_refused;
  return failed_with(is_refused ? file->error : 0) == 0 ? number_of(i) : -1;
}

static void invented_close(int file) {
  CHECK(file == FOLDER || file == FOLDER + 1 || index_of(file) >= 0);
  it.open_files--;
  errno = EBADMSG; /* it may change it */
}

/* Whether this is the last time before something happens. */
static bool is_time(int *left) {
  return *left > 0 && --*left == 0;
}

static int invented_fstat(int file, struct stat *status) {
  locator_file *of = &it.files[index_of(file)];
  memset(status, 0, sizeof *status);
  status->st_mode = of->mode;
  status->st_uid = of->user;
  status->st_size = of->size;
  status->st_dev = it.stat_device;
  status->st_ino = it.stat_device == 0 ? 0 : INODE + (ino_t)(of - it.files);
  of->size -= is_time(&it.looks_until_cut);
  return failed_with(it.stat_error);
}

/* The lowest byte comes first on all processors. */
static void put_address(unsigned char *bytes, uint64_t address) {
  for (int i = 0; i < 8; i++) {
    bytes[i] = (unsigned char)(address >> 8 * i);
  }
}

static ssize_t invented_pread(int file, void *bytes, size_t size, off_t offset) {
  CHECK_EQUAL(0, offset);
  memset(bytes, 0, size);
  put_address(bytes, it.files[index_of(file)].address);
  it.files[index_of(file)].address += is_time(&it.reads_until_moved);
  return (ssize_t)size - it.short_by;
}

static int invented_flock(int file, int operation) {
  CHECK_EQUAL(LOCK_EX | LOCK_NB, operation);
  return failed_with(it.files[index_of(file)].is_in_use ? EWOULDBLOCK : 0);
}

static void *invented_mmap(size_t size, int protection, int flags, int file, off_t offset) {
  CHECK(size == PAGE && flags == MAP_SHARED);
  it.protection = protection;
  it.offset = offset;
  it.mapped = OURS + PAGE * (uint64_t)index_of(file);
  it.mappings += it.map_error == 0;
  return failed_with(it.map_error) == 0 ? (void *)(uintptr_t)it.mapped : MAP_FAILED;
}

static int invented_munmap(const void *address, size_t size) {
  CHECK((uintptr_t)address == it.mapped && size == PAGE);
  it.mappings--;
  return 0;
}

/* ---- What is known of it --------------------------------------------------------------------- */

nbuf_result nbuf_linux_mapping_at(const nearbuf_process *process, uint64_t address,
                                  nbuf_remote_mapping *mapping) {
  if (process == NULL) {
    CHECK(it.mappings == 1 && address == it.mapped);
    *mapping = (nbuf_remote_mapping){.device = it.our_device,
                                     .inode = INODE + (it.mapped - OURS) / PAGE + it.inode_more};
    return it.our_map;
  }
  CHECK(process == &peer);
  *mapping = it.theirs;
  bool is_there = it.theirs.info.min <= address && address <= it.theirs.info.max;
  return it.their_map.status != NEARBUF_OK || is_there ? it.their_map
                                                       : nbuf_result_of(NEARBUF_NOT_FOUND);
}

bool nbuf_linux_owner(const nearbuf_process *process, uint64_t *owner) {
  CHECK(process == &peer);
  *owner = it.owner;
  return !it.has_no_owner;
}

nbuf_result nbuf_identify(const nearbuf_process *process, nbuf_identity *identity) {
  CHECK(process == &peer);
  *identity = it.identity;
  return it.identifying;
}

bool nbuf_identity_name(const nearbuf_process *process, const nbuf_identity *identity, int index,
                        nbuf_name *name) {
  CHECK(process == &peer && identity->own_id == OWN_ID);
  (void)snprintf(name->text, sizeof name->text, "%s", index == 0 ? first_name : second_name);
  return index < (it.has_no_namespace ? 1 : 2);
}

static nbuf_result open_folder(nbuf_folder folder, int *directory) {
  bool is_open = it.opening[folder].status == NEARBUF_OK;
  it.open_files += is_open;
  *directory = is_open ? FOLDER + (int)folder : -1;
  return it.opening[folder];
}

nbuf_result nbuf_identity_open_directory(const nearbuf_process *process,
                                         const nbuf_identity *identity, nbuf_folder folder,
                                         int *directory) {
  CHECK(process == &peer && identity->own_id == OWN_ID);
  return open_folder(folder, directory);
}

static nbuf_result invented_directory_open(nbuf_folder folder, bool make, int *directory) {
  CHECK(!make);
  return open_folder(folder, directory);
}

int nbuf_linux_visit(int directory, bool (*visit)(const char *name, void *context), void *context) {
  bool goes_on = true;
  for (int i = 0; i < it.file_count && goes_on; i++) {
    if (it.files[i].folder == directory - FOLDER) {
      goes_on = visit(it.files[i].name, context);
    }
  }
  return 0;
}

int nbuf_linux_open(const nearbuf_process *process, const char *name, int flags) {
  CHECK(process == &peer && flags == O_RDWR);
  (void)snprintf(it.map_path, sizeof it.map_path, "%s", name);
  it.open_files += it.map_file_error == 0;
  return failed_with(it.map_file_error) == 0 ? ENTRY_OF_MAP : -1;
}

nbuf_result nbuf_remote_check(const nearbuf_process *process) {
  CHECK(process == &peer);
  errno = EBADMSG;
  return it.checking;
}

nbuf_result nbuf_remote_read(const nearbuf_process *process, uint64_t address, void *bytes,
                             size_t size, size_t *done) {
  CHECK(process == &peer && address == PLACE && size == NBUF_LOCATOR_SIZE);
  memset(bytes, 'r', size);
  *done = size;
  return it.reading;
}

#undef open
#undef openat
#undef fstat
#undef pread
#undef mmap
#define open(path, flags) invented_open(path, flags)
#define openat(directory, name, flags) invented_openat(directory, name, flags)
#define close(file) invented_close(file)
#define fstat(file, status) invented_fstat(file, status)
#define pread(file, bytes, size, offset) invented_pread(file, bytes, size, offset)
#define flock(file, operation) invented_flock(file, operation)
#define mmap(place, size, protection, flags, file, offset)                                         \
  invented_mmap(size, protection, flags, file, offset)
#define munmap(address, size) invented_munmap(address, size)
#define nbuf_directory_open(folder, make, directory)                                               \
  invented_directory_open(folder, make, directory)
#define nbuf_os_page_size() ((size_t)PAGE)
#include "remote/linux/hidden.c"       /* NOLINT(bugprone-suspicious-include) */
#include "remote/linux/locator_file.c" /* NOLINT(bugprone-suspicious-include) */
#include "remote/linux/views.c"        /* NOLINT(bugprone-suspicious-include) */

#define CHECK_RESULT(expected, error, call)                                                        \
  do {                                                                                             \
    nbuf_result test_result = (call);                                                              \
    CHECK_STATUS(expected, test_result.status);                                                    \
    CHECK_EQUAL((uint32_t)(error), (uint32_t)test_result.system_error);                            \
    CHECK_EQUAL(peer.handles[2] != 0, it.open_files);                                              \
  } while (0)

/* ---- Files ----------------------------------------------------------------------------------- */

static struct stat seen;

/* Of the first file. */
static const struct stat *status_now(void) {
  static struct stat now;
  (void)invented_fstat(0, &now);
  return &now;
}

static int open_first(void) {
  int file = nbuf_locator_file_open(FOLDER, first_name, USER, &seen);
  CHECK_EQUAL(file >= 0, it.open_files);
  it.open_files = 0;
  return file;
}

TEST(a_file_of_the_user_is_opened_for_writing_without_waiting) {
  locator_file *file = add_file(first_name, PLACE);
  CHECK_EQUAL(0, open_first());
  CHECK_EQUAL(O_RDWR | O_NONBLOCK | O_CLOEXEC, file->opened_as);
}

TEST(a_file_that_may_only_be_read_is_opened_for_that) {
  static const int refusals[] = {EACCES, EROFS};
  locator_file *file = add_file(first_name, PLACE);
  for (int i = 0; i < 2; i++) {
    file->error = refusals[i];
    CHECK_EQUAL(0, open_first());
    CHECK_EQUAL(O_RDONLY | O_NONBLOCK | O_CLOEXEC, file->opened_as);
  }
  file->is_unreadable = true;
  CHECK(open_first() == -1 && errno == EROFS);
  file->is_unreadable = false;
  file->error = EWOULDBLOCK; /* a lease */
  CHECK(open_first() == -1 && errno == EWOULDBLOCK);
}

static void check_not_opened(locator_file *file) {
  CHECK(open_first() == -1 && errno == EPERM);
  CHECK_EQUAL(0, file->opened_as);
}

TEST(what_can_be_no_locator_of_the_user_is_not_opened) {
  CHECK(open_first() == -1 && errno == ENOENT);
  locator_file *file = add_file(first_name, PLACE);
  file->mode = S_IFIFO | 0600;
  check_not_opened(file);
  file->mode = S_IFREG | 0602;
  check_not_opened(file);
  file->mode = S_IFREG | 0775;
  CHECK_EQUAL(0, open_first());
  file->opened_as = 0;
  file->user = USER + 1;
  check_not_opened(file);
  file->user = USER;
  file->size = 4095;
  check_not_opened(file);
  file->size = 4096;
  it.stat_error = EIO;
  check_not_opened(file);
}

TEST(each_reason_why_a_file_cannot_be_opened_has_its_status) {
  CHECK_RESULT(NEARBUF_BUSY, EWOULDBLOCK, nbuf_locator_file_result(EWOULDBLOCK));
  CHECK_RESULT(NEARBUF_OUT_OF_MEMORY, EMFILE, nbuf_locator_file_result(EMFILE));
  CHECK_RESULT(NEARBUF_DENIED, EACCES, nbuf_locator_file_result(EACCES));
}

/* ---- Mapping --------------------------------------------------------------------------------- */

TEST(the_page_of_an_address_is_mapped) {
  nbuf_remote_view view;
  locator_file *file = add_file(first_name, PLACE);
  it.theirs.info.file_offset = 3 * PAGE;
  file->size = 5 * (off_t)4096;
  CHECK_RESULT(NEARBUF_OK, 0,
               nbuf_locator_file_map(0, status_now(), &it.theirs, PLACE + PAGE + 80, &view));
  CHECK_EQUAL(OURS + 80, view.base);
  CHECK_EQUAL(OURS, view.page);
  CHECK_EQUAL(PAGE, view.size);
  CHECK_EQUAL(4 * PAGE, it.offset);
  CHECK_EQUAL(PROT_READ | PROT_WRITE, it.protection);
  nbuf_remote_view_close(&view);
  CHECK(it.mappings == 0 && view.base == 0);
  nbuf_remote_view_close(&view);
  CHECK_EQUAL(0, it.mappings);
  file->size--; /* a store behind the end would be a signal */
  CHECK_RESULT(NEARBUF_INCOMPATIBLE, 0,
               nbuf_locator_file_map(0, status_now(), &it.theirs, PLACE + PAGE + 80, &view));
  file->size++;
  it.map_error = ENOMEM;
  CHECK_RESULT(NEARBUF_OUT_OF_MEMORY, ENOMEM,
               nbuf_locator_file_map(0, status_now(), &it.theirs, PLACE, &view));
  it.map_error = EACCES;
  CHECK_RESULT(NEARBUF_DENIED, EACCES,
               nbuf_locator_file_map_proved(0, status_now(), &it.theirs, PLACE, &view));
}

static void check_unproved(nearbuf_status status) {
  nbuf_remote_view view;
  CHECK_STATUS(status,
               nbuf_locator_file_map_proved(0, status_now(), &it.theirs, PLACE, &view).status);
  CHECK_EQUAL(0, it.mappings);
}

TEST(a_file_is_proved_by_the_maps_of_both) {
  nbuf_remote_view view;
  (void)add_file(first_name, PLACE);
  CHECK_RESULT(NEARBUF_OK, 0,
               nbuf_locator_file_map_proved(0, status_now(), &it.theirs, PLACE, &view));
  nbuf_remote_view_close(&view);
  it.our_device++;
  check_unproved(NEARBUF_DENIED);
  it.our_device--;
  it.inode_more = 1;
  check_unproved(NEARBUF_DENIED);
  it.inode_more = UINT64_MAX - INODE + 1; /* memory without a file */
  it.theirs.inode = 0;
  check_unproved(NEARBUF_DENIED);
  it.our_map = nbuf_result_of(NEARBUF_OUT_OF_MEMORY);
  check_unproved(NEARBUF_OUT_OF_MEMORY);
}

/* The device in a map is 32 bits of each of its two numbers. */
TEST(a_file_whose_status_has_the_numbers_of_the_map_needs_no_map_of_ours) {
  nbuf_remote_view view;
  uint64_t address = 0;
  (void)add_file(first_name, PLACE);
  it.our_map = nbuf_result_of(NEARBUF_OUT_OF_MEMORY);
  it.stat_device = makedev(0, DEVICE);
  for (int i = 0; i < 5; i++) {
    const nbuf_remote_mapping right = it.theirs;
    const nbuf_result expected = nbuf_result_of(i == 0 ? NEARBUF_OK : NEARBUF_OUT_OF_MEMORY);
    it.theirs.inode += i == 1;
    it.theirs.device += i == 2 ? 1 : i == 3 ? UINT64_C(1) << 32 : 0;
    it.theirs.inode = i == 4 ? 0 : it.theirs.inode;
    nbuf_remote_mapping theirs;
    CHECK_STATUS(expected.status,
                 nbuf_locator_file_map_proved(0, status_now(), &it.theirs, PLACE, &view).status);
    nbuf_remote_view_close(&view);
    it.mapped = 0;
    CHECK_STATUS(expected.status,
                 nbuf_locator_file_examine(&peer, 0, status_now(), &address, &theirs).status);
    CHECK_EQUAL(i != 0, it.mapped != 0);
    CHECK_EQUAL(0, it.mappings);
    it.theirs = right;
  }
}

static void check_examined(nearbuf_status status) {
  uint64_t address = 1;
  nbuf_remote_mapping theirs;
  CHECK_STATUS(status, nbuf_locator_file_examine(&peer, 0, status_now(), &address, &theirs).status);
  CHECK_EQUAL(0, it.mappings);
  CHECK(status != NEARBUF_OK || (address == PLACE && theirs.inode == INODE));
}

TEST(a_file_is_the_first_locator_if_its_own_address_leads_to_it) {
  locator_file *file = add_file(first_name, PLACE);
  uint32_t *const kinds[] = {&it.theirs.info.is_shared, &it.theirs.info.is_readable,
                             &it.theirs.info.is_writable};
  check_examined(NEARBUF_OK);
  CHECK(it.protection == PROT_READ && it.offset == 0);
  for (int i = 0; i < 3; i++) {
    *kinds[i] = 0;
    check_examined(NEARBUF_NOT_FOUND);
    *kinds[i] = 1;
  }
  file->address = PLACE + 8;
  check_examined(NEARBUF_NOT_FOUND);
  file->address = PLACE;
  it.theirs.info.file_offset = PAGE;
  check_examined(NEARBUF_NOT_FOUND);
  it.theirs.info.file_offset = 0;
  it.theirs.device++;
  check_examined(NEARBUF_NOT_FOUND);
  it.theirs.device--;
  it.inode_more = 1;
  check_examined(NEARBUF_NOT_FOUND);
  it.our_map = nbuf_result_of(NEARBUF_SYSTEM_ERROR);
  check_examined(NEARBUF_SYSTEM_ERROR);
  it.map_error = EACCES;
  check_examined(NEARBUF_OUT_OF_MEMORY);
  it.their_map = nbuf_result_of(NEARBUF_DENIED);
  check_examined(NEARBUF_DENIED);
  it.their_map = nbuf_result_of(NEARBUF_OK);
  it.map_error = 0;
  it.our_map = nbuf_result_of(NEARBUF_OK);
  it.inode_more = 0;
  it.short_by = 1;
  check_examined(NEARBUF_NOT_FOUND);
}

TEST(the_address_in_a_header_is_as_wide_as_the_process) {
  _Alignas(8) unsigned char header[8];
  put_address(header, UINT64_C(0x123456789a));
  CHECK_EQUAL(UINT64_C(0x123456789a), nbuf_locator_file_address(header, 64));
  CHECK_EQUAL(0x3456789a, nbuf_locator_file_address(header, 32));
}

/* ---- Kept open ------------------------------------------------------------------------------- */

static void keep_first(void) {
  it.open_files = 1;
  peer.reserved[NBUF_KEPT_OWNER] = it.owner;
  nbuf_locator_file_keep(&peer, &it.theirs, PLACE, 0, status_now());
}

TEST(the_file_of_one_locator_is_kept_open) {
  (void)add_file(first_name, PLACE);
  (void)add_file(second_name, PLACE);
  keep_first();
  CHECK_EQUAL(1, it.open_files);
  CHECK_EQUAL(0, nbuf_locator_file_kept(&peer, &it.theirs, PLACE, &seen));
  it.open_files++;
  nbuf_locator_file_keep(&peer, &it.theirs, PLACE + 1, number_of(1), status_now());
  CHECK_EQUAL(1, it.open_files);
  CHECK_EQUAL(0, nbuf_locator_file_kept(&peer, &it.theirs, PLACE, &seen));
}

/* Maps may have other numbers than the status, by which it was kept first. */
TEST(it_is_replaced_by_a_file_of_the_same_locator_and_forgotten_with_it) {
  (void)add_file(first_name, PLACE);
  (void)add_file(second_name, PLACE);
  keep_first();
  it.theirs.device++;
  CHECK(nbuf_locator_file_kept(&peer, &it.theirs, PLACE, &seen) == -1);
  it.open_files++;
  nbuf_locator_file_keep(&peer, &it.theirs, PLACE, number_of(1), status_now());
  CHECK_EQUAL(1, it.open_files);
  CHECK_EQUAL(number_of(1), nbuf_locator_file_kept(&peer, &it.theirs, PLACE, &seen));
  nbuf_locator_file_forget(&peer, PLACE + 1);
  CHECK_EQUAL(1, it.open_files);
  nbuf_locator_file_forget(&peer, PLACE);
  CHECK_EQUAL(0, it.open_files);
  CHECK(nbuf_locator_file_kept(&peer, &it.theirs, PLACE, &seen) == -1);
  nbuf_locator_file_forget(&peer, PLACE);
  CHECK_EQUAL(0, it.open_files);
}

static void check_kept(bool is_kept) {
  CHECK(nbuf_locator_file_kept(&peer, &it.theirs, PLACE, &seen) == (is_kept ? 0 : -1));
}

TEST(a_kept_file_is_used_while_it_can_be_trusted_as_before) {
  locator_file *file = add_file(first_name, PLACE);
  check_kept(false);
  keep_first();
  check_kept(true);
  CHECK(nbuf_locator_file_kept(&peer, &it.theirs, PLACE + 1, &seen) == -1);
  it.theirs.device++;
  check_kept(false);
  it.theirs.device--;
  it.theirs.inode++;
  check_kept(false);
  it.theirs.inode--;
  it.owner++;
  check_kept(false);
  it.owner--;
  it.has_no_owner = true;
  check_kept(false);
  it.has_no_owner = false;
  file->mode |= 0002;
  check_kept(false);
  file->mode = S_IFREG | 0775;
  check_kept(true);
  file->user++;
  check_kept(false);
  file->user--;
  it.stat_error = EIO;
  check_kept(false);
  it.stat_error = 0;
  check_kept(true);
}

/* ---- Views ----------------------------------------------------------------------------------- */

static void check_viewed(uint64_t base) {
  nbuf_remote_view view;
  CHECK_STATUS(NEARBUF_OK, nbuf_remote_view_open(&peer, PLACE, &view).status);
  CHECK_EQUAL(base, view.base);
  CHECK_EQUAL(1, it.mappings);
  nbuf_remote_view_close(&view);
  CHECK_EQUAL(peer.handles[2] != 0, it.open_files);
}

static void check_not_viewed(nearbuf_status status, int error) {
  nbuf_remote_view view = {1, 1, 1};
  CHECK_RESULT(status, error, nbuf_remote_view_open(&peer, PLACE, &view));
  CHECK(view.base == 0 && view.page == 0 && view.size == 0);
  CHECK_EQUAL(0, it.mappings);
}

TEST(a_view_is_opened_by_the_name_in_the_map_and_its_file_kept) {
  (void)add_file(first_name, PLACE);
  check_viewed(OURS);
  CHECK_EQUAL(1, peer.handles[2]);
  CHECK(it.map_path[0] == '\0');
  it.file_count = 1;
  it.files[0].name = "gone"; /* the kept one does */
  peer.reserved[NBUF_KEPT_OWNER] = it.owner;
  check_viewed(OURS);
}

TEST(a_file_without_a_folder_in_its_name_is_looked_for_under_that) {
  (void)add_file(first_name, PLACE);
  memcpy(it.theirs.info.name, first_name, sizeof first_name);
  check_viewed(OURS);
}

/* The system may not have renamed it. */
TEST(a_view_of_a_temporary_name_is_opened_by_a_first_ones) {
  (void)add_file(NBUF_NAME_PREFIX "8", PLACE);
  (void)add_file(second_name, PLACE);
  (void)snprintf(it.theirs.info.name, sizeof it.theirs.info.name, "/%s7.new", NBUF_NAME_PREFIX);
  it.theirs.inode = INODE + 1;
  check_viewed(OURS + PAGE);
  CHECK_EQUAL(number_of(1) + 1, peer.handles[2]);
}

TEST(the_folder_of_the_user_is_looked_at_too) {
  it.opening[0] = nbuf_result_of(NEARBUF_NOT_FOUND);
  add_file(first_name, PLACE)->folder = 1;
  check_viewed(OURS);
}

TEST(another_file_with_that_name_is_not_viewed) {
  (void)add_file(first_name, PLACE);
  it.theirs.inode++;
  it.map_file_error = EPERM;
  check_not_viewed(NEARBUF_DENIED, EPERM);
}

TEST(a_file_under_a_lease_is_not_opened_in_another_way) {
  add_file(first_name, PLACE)->error = EWOULDBLOCK;
  it.files[0].is_unreadable = true;
  check_not_viewed(NEARBUF_BUSY, EWOULDBLOCK);
  CHECK(it.map_path[0] == '\0');
}

TEST(where_the_name_is_gone_the_entry_of_the_map_is_opened) {
  it.theirs.info.max = PLACE + PAGE - 1;
  (void)add_file("gone", PLACE);
  check_viewed(OURS);
  CHECK(strcmp(it.map_path, "map_files/20000000-20001000") == 0);
  CHECK_EQUAL(0, peer.handles[2]);
  it.theirs.inode++;
  check_not_viewed(NEARBUF_DENIED, 0);
  it.map_file_error = EMFILE;
  check_not_viewed(NEARBUF_OUT_OF_MEMORY, EMFILE);
  it.checking = nbuf_result_of(NEARBUF_NOT_FOUND);
  check_not_viewed(NEARBUF_NOT_FOUND, 0);
}

TEST(entries_of_the_map_have_as_many_digits_as_the_address) {
  static const struct {
    uint64_t min;
    uint64_t max;
    const char *path;
  } entries[] = {
      {0, 0xf, "map_files/0-10"},
      {0x10, 0xffe, "map_files/10-fff"},
      {UINT64_C(0x7fedcba98000), UINT64_C(0x7fedcba98fff), "map_files/7fedcba98000-7fedcba99000"},
      {UINT64_C(0xfedcba9876543210), UINT64_C(0xfffffffffffffffe),
       "map_files/fedcba9876543210-ffffffffffffffff"}};
  it.map_file_error = EPERM;
  for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
    nbuf_remote_view view;
    it.theirs.info.min = entries[i].min;
    it.theirs.info.max = entries[i].max;
    CHECK_RESULT(NEARBUF_DENIED, EPERM, nbuf_remote_view_open(&peer, entries[i].min, &view));
    CHECK(strcmp(it.map_path, entries[i].path) == 0);
  }
}

TEST(a_mapping_without_the_name_of_a_locator_is_not_looked_for_by_name) {
  (void)add_file(first_name, PLACE);
  (void)snprintf(it.theirs.info.name, sizeof it.theirs.info.name, "/memfd:other");
  check_viewed(OURS);
  CHECK(it.map_path[0] != '\0');
}

TEST(memory_that_is_not_shared_cannot_be_viewed) {
  it.theirs.info.is_shared = 0;
  check_not_viewed(NEARBUF_DENIED, 0);
  it.their_map = nbuf_result_system(NEARBUF_OUT_OF_MEMORY, EMFILE);
  check_not_viewed(NEARBUF_OUT_OF_MEMORY, EMFILE);
}

TEST(a_process_that_is_not_identified_is_viewed_by_its_map) {
  it.identifying = nbuf_result_of(NEARBUF_DENIED);
  (void)add_file(first_name, PLACE);
  check_viewed(OURS);
  CHECK(it.map_path[0] != '\0');
}

/* ---- Hidden processes ------------------------------------------------------------------------ */

static void check_first(nearbuf_status status, int error, uint64_t expected) {
  uint64_t address = 0;
  nearbuf_dialect dialect = NEARBUF_DIALECT_UNKNOWN;
  CHECK_RESULT(status, error, nbuf_hidden_first(&peer, &it.identity, &address, &dialect));
  CHECK_EQUAL(expected, address);
  CHECK(status != NEARBUF_OK || dialect == NEARBUF_DIALECT_DOTNET);
}

TEST(of_a_hidden_process_the_file_that_is_in_use_is_its_locator) {
  check_first(NEARBUF_DENIED, EPERM, 0);
  locator_file *file = add_file(first_name, PLACE);
  check_first(NEARBUF_OK, 0, PLACE);
  file->is_in_use = false;
  check_first(NEARBUF_DENIED, EPERM, 0);
  add_file(second_name, PLACE + 1)->folder = 1;
  check_first(NEARBUF_OK, 0, PLACE + 1);
  file->is_in_use = true;
  check_first(NEARBUF_OK, 0, PLACE);
  it.opening[0] = nbuf_result_of(NEARBUF_DENIED);
  check_first(NEARBUF_OK, 0, PLACE + 1);
  it.has_no_namespace = true;
  check_first(NEARBUF_DENIED, EPERM, 0);
}

TEST(a_hidden_process_elsewhere_has_unknown_names) {
  (void)add_file(first_name, PLACE);
  it.identity.is_elsewhere = true;
  check_first(NEARBUF_DENIED, EPERM, 0);
}

TEST(a_hidden_locator_without_an_address_is_not_found) {
  locator_file *file = add_file(first_name, 0);
  check_first(NEARBUF_NOT_FOUND, 0, 0);
  file->address = PLACE;
  it.short_by = 1;
  check_first(NEARBUF_NOT_FOUND, 0, 0);
}

#define LATER (PLACE + 0x10000)

static void add_later(void) {
  (void)add_file(NBUF_NAME_PREFIX "8, later 1", LATER); /* of another process */
  (void)add_file(NBUF_NAME_PREFIX "7.new", LATER);      /* not a later one */
  (void)add_file(NBUF_NAME_PREFIX "7, later 2", LATER + 1);
  (void)add_file(NBUF_NAME_PREFIX "7, later 3", LATER);
}

static void check_hidden_view(nearbuf_status status, int error, uint64_t address, uint64_t base) {
  nbuf_remote_view view;
  CHECK_RESULT(status, error, nbuf_remote_view_open(&peer, address, &view));
  CHECK_EQUAL(base, view.base);
  CHECK_EQUAL(base != 0, it.mappings);
  CHECK(base == 0 || (view.page == base && view.size == PAGE));
  nbuf_remote_view_close(&view);
}

TEST(locators_of_a_hidden_process_are_viewed_by_the_address_in_their_header) {
  peer.address_bits = 0;
  check_hidden_view(NEARBUF_DENIED, EPERM, PLACE, 0);
  (void)add_file(first_name, PLACE);
  check_hidden_view(NEARBUF_OK, 0, PLACE, OURS);
  CHECK(it.protection == (PROT_READ | PROT_WRITE) && it.offset == 0);
  check_hidden_view(NEARBUF_DENIED, EPERM, LATER, 0);
  add_later();
  check_hidden_view(NEARBUF_OK, 0, LATER, OURS + 4 * PAGE);
  it.files[3].folder = it.files[4].folder = 1;
  check_hidden_view(NEARBUF_OK, 0, LATER, OURS + 4 * PAGE);
  it.files[4].is_in_use = false;
  check_hidden_view(NEARBUF_DENIED, EPERM, LATER, 0);
  it.files[4].is_in_use = true;
  it.opening[1] = nbuf_result_of(NEARBUF_DENIED);
  check_hidden_view(NEARBUF_DENIED, EPERM, LATER, 0);
  it.identifying = nbuf_result_of(NEARBUF_NOT_FOUND);
  check_hidden_view(NEARBUF_DENIED, EPERM, PLACE, 0);
}

TEST(the_first_of_several_later_locators_with_an_address_is_viewed) {
  peer.address_bits = 0;
  (void)add_file(NBUF_NAME_PREFIX "7, later 1", LATER);
  (void)add_file(first_name, PLACE);
  (void)add_file(NBUF_NAME_PREFIX "7, later 2", LATER);
  add_file(NBUF_NAME_PREFIX "7, later 3", LATER)->folder = 1;
  check_hidden_view(NEARBUF_OK, 0, LATER, OURS);
}

TEST(a_later_file_of_another_address_is_closed_whatever_its_descriptor) {
  peer.address_bits = 0;
  (void)add_file(NBUF_NAME_PREFIX "7, later 1", LATER + 1);
  (void)add_file(first_name, PLACE);
  (void)add_file(NBUF_NAME_PREFIX "7, later 2", LATER);
  check_hidden_view(NEARBUF_OK, 0, LATER, OURS + 2 * PAGE);
  CHECK_EQUAL(0, it.open_files);
}

TEST(the_address_in_a_hidden_file_is_as_wide_as_ours) {
  const uint64_t high = UINT64_C(0x5500000000) & UINTPTR_MAX;
  (void)add_file(first_name, high | PLACE);
  check_first(NEARBUF_OK, 0, high | PLACE);
}

TEST(a_hidden_file_that_changes_as_it_is_opened_is_not_viewed) {
  peer.address_bits = 0;
  (void)add_file(first_name, PLACE);
  it.looks_until_cut = 1;
  check_hidden_view(NEARBUF_INCOMPATIBLE, 0, PLACE, 0);
  it.files[0].size = 4096;
  it.reads_until_moved = 1;
  check_hidden_view(NEARBUF_INCOMPATIBLE, 0, PLACE, 0);
}

TEST(a_hidden_file_that_is_too_short_or_cannot_be_mapped_is_not_viewed) {
  peer.address_bits = 0;
  (void)add_file(first_name, PLACE);
  it.map_error = EACCES;
  check_hidden_view(NEARBUF_DENIED, EACCES, PLACE, 0);
  it.map_error = 0;
  it.stat_error = 0;
  add_file(NBUF_NAME_PREFIX "7, later 3", LATER)->size = 4096;
  it.short_by = 1; /* the header cannot be read any more */
  check_hidden_view(NEARBUF_DENIED, EPERM, PLACE, 0);
}

static void check_image(nearbuf_status status, int error, int first_byte) {
  unsigned char image[NBUF_LOCATOR_SIZE] = {0};
  CHECK_RESULT(status, error, nbuf_remote_image(&peer, PLACE, image));
  CHECK_EQUAL(first_byte, image[8]);
}

TEST(of_a_process_that_hides_its_memory_the_file_is_copied) {
  check_image(NEARBUF_OK, 0, 'r');
  it.reading = nbuf_result_system(NEARBUF_DENIED, EPERM);
  (void)add_file(first_name, PLACE);
  check_image(NEARBUF_DENIED, EPERM, 'r');
  peer.address_bits = 0;
  check_image(NEARBUF_OK, 0, 0);
  it.files[0].is_in_use = false;
  check_image(NEARBUF_DENIED, EPERM, 'r');
  it.reading = nbuf_result_of(NEARBUF_NOT_MAPPED);
  check_image(NEARBUF_NOT_MAPPED, 0, 'r');
}
