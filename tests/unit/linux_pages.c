/* Pages of locators that are made in an invented process: its system calls, its files, what else it
 * does meanwhile and the clock are what a test says. remote/linux/pages.c is compiled here, with
 * other names for what it calls of the C library; the functions of the port that it calls are
 * defined here; so is remote/linux/page_script.c. In real processes it is tested by
 * tests/process. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/shared.h"
#include "locator_names.h"
#include "os/os.h"
#include "os/posix/files.h"
#include "os/posix/posix.h"
#include "os/wait.h"
#include "refused.h"
#include "remote/linux/first.h"
#include "remote/linux/locator_file.h"
#include "remote/linux/page_script.h"
#include "remote/linux/process.h"
#include "remote/linux/rights.h"
#include "test.h"

/* ---- The process and its files --------------------------------------------------------------- */

#define PLACE UINT64_C(0x20000000)  /* of its new page */
#define MEMORY UINT64_C(0x30000000) /* of the last item */
#define OURS ((void *)(uintptr_t)0x40000000)
#define MILLISECOND UINT64_C(1000000)
#define SECOND (1000 * MILLISECOND)
enum {
  ID = 42,
  OWN_ID = 7,
  USER = 1000,
  GROUP = 100,
  RANDOM = 0x1234,
  FOLDER = 0, /* the descriptors of the directories are this and the next one */
  NEW_FILE = 200,
  ROOT = 400,
  OPEN_MEMORY = 3,
  FILE_THERE = 0,
  INODE = 5,
  NEW_INODE = 77,
  DEVICE = 6,
  MOST_STEPS = 16,
  OLD_NAMES = 4
};

static const char temporary[] = LOCATOR_PREFIX "7.new";
static const char *const names_of_first[] = {LOCATOR_PREFIX "7", LOCATOR_PREFIX "7, second"};
static const char later_name[] = LOCATOR_PREFIX "7, later 1234";

static struct {
  /* Its system calls. */
  int64_t results[NBUF_TRACE_CALLS]; /* where one is below 0, it fails so */
  int lost_call;                     /* the thread is lost at this one; below 0: at none */
  nbuf_trace_call steps[MOST_STEPS];
  int step_count;
  char memory[256]; /* at MEMORY */
  size_t memory_size;
  nbuf_result writing[MOST_STEPS]; /* to it, one after the other */
  int write_count;
  nbuf_result holding; /* its memory */
  nbuf_result running; /* where no thread of it can be stopped */
  uint64_t freed;
  uint64_t anchored; /* address of its first locator; 0: it has none */
  uint64_t kept;
  int kept_files;
  int forgotten_files;
  nearbuf_dialect kept_dialect;
  /* What is known of it. */
  nbuf_identity identity;
  nbuf_result identifying;
  int root_error;
  bool has_no_namespace; /* that is known */
  nbuf_result rights;
  int with_rights;
  /* Its files. */
  nbuf_result opening[NBUF_FOLDERS]; /* of the directories */
  int open_files;
  char name[128]; /* of the new file; empty: none */
  int folder;     /* in which that is */
  int lock_error;
  int fill_error;
  int create_error;
  int publish_error;
  int replace_error;
  int unlink_error;
  bool is_too_large;
  bool is_locked;
  bool is_filled;
  bool is_in_place; /* it is overwritten in place */
  uint64_t owner;
  int stat_error;
  _Alignas(8) unsigned char locator[NBUF_LOCATOR_SIZE]; /* in the new file */
  int missing;                                          /* so many bytes of it cannot be written */
  /* The file that has the name already. */
  const char *old_name;
  int old_file;  /* its descriptor */
  int old_error; /* it cannot be opened */
  uint64_t old_address;
  ssize_t old_size; /* of what can be read of its header */
  bool is_old_theirs;
  bool is_old_dead;
  bool is_old_mapped;
  bool is_old_private;
  uint64_t old_inode;
  uint64_t old_device;
  uint64_t young_for; /* so long after the start */
  uint64_t mapped_for;
  bool is_mapping_refused;
  bool is_own_map_unknown;
  nbuf_result their_map; /* where it cannot be read */
  int mappings;          /* of ours */
  uint64_t now;
} it = {.lost_call = -1,
        .old_file = 201,
        .old_size = 8,
        .owner = USER,
        .anchored = PLACE,
        .old_inode = INODE,
        .old_device = DEVICE,
        .mapped_for = UINT64_MAX,
        .identity = {.own_id = OWN_ID,
                     .user = {.named = 5, .owner = USER},
                     .group = GROUP,
                     .rights = {USER, GROUP, 3, false}}};

static nearbuf_process peer = {.id = ID, .address_bits = 64};

static void reset_steps(void) {
  it.step_count = 0;
  it.write_count = 0;
  it.freed = 0;
}

/* ---- Its system calls ------------------------------------------------------------------------ */

struct nbuf_trace {
  int unused;
};

static void check_opening(const uint64_t arguments[6]) {
  char path[256];
  (void)snprintf(path, sizeof path, "%s/%s",
                 it.folder == 0 ? LOCATOR_DIRECTORY : SHARED_PARENT ".5", temporary);
  CHECK_EQUAL((uint64_t)AT_FDCWD, arguments[0]);
  CHECK_EQUAL(MEMORY, arguments[1]);
  CHECK(strcmp(path, it.memory) == 0);
  CHECK_EQUAL(strlen(path) + 1, it.memory_size);
  CHECK_EQUAL(O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, arguments[2]);
  CHECK(it.is_filled && it.is_locked);
}

static void check_mapping(const uint64_t arguments[6]) {
  CHECK_EQUAL(0, arguments[0]);
  CHECK_EQUAL(nbuf_os_page_size(), arguments[1]);
  CHECK_EQUAL(PROT_READ | PROT_WRITE, arguments[2]);
  CHECK_EQUAL(MAP_SHARED, arguments[3]);
  CHECK_EQUAL(FILE_THERE, arguments[4]);
  CHECK_EQUAL(0, arguments[5]);
}

bool nbuf_trace_syscall(nbuf_trace *trace, nbuf_trace_call call, const uint64_t arguments[6],
                        int64_t *returned) {
  (void)trace;
  CHECK(it.step_count < MOST_STEPS);
  it.steps[it.step_count++] = call;
  switch (call) {
  case NBUF_TRACE_OPENAT:
    check_opening(arguments);
    break;
  case NBUF_TRACE_MMAP:
    check_mapping(arguments);
    break;
  case NBUF_TRACE_MADVISE:
    CHECK_EQUAL(PLACE, arguments[0]);
    CHECK_EQUAL(nbuf_os_page_size(), arguments[1]);
    CHECK_EQUAL(MADV_DONTFORK, arguments[2]);
    break;
  case NBUF_TRACE_FLOCK:
    CHECK_EQUAL(FILE_THERE, arguments[0]);
    CHECK_EQUAL(LOCK_SH | LOCK_NB, arguments[1]);
    break;
  default:
    CHECK_EQUAL(NBUF_TRACE_CLOSE, call);
    CHECK_EQUAL(FILE_THERE, arguments[0]);
    break;
  }
  int64_t usual = call == NBUF_TRACE_OPENAT ? FILE_THERE
                  : call == NBUF_TRACE_MMAP ? (int64_t)PLACE
                                            : 0;
  bool has_result = call == NBUF_TRACE_OPENAT || call == NBUF_TRACE_MMAP;
  CHECK_EQUAL(has_result, returned != NULL);
  if (has_result) {
    *returned = it.results[call] != 0 ? it.results[call] : usual;
  }
  return it.lost_call != (int)call;
}

nbuf_result nbuf_remote_memory_write(intptr_t memory, uint64_t address, const void *bytes,
                                     size_t size) {
  CHECK_EQUAL(OPEN_MEMORY, memory);
  CHECK_EQUAL(MEMORY, address);
  CHECK(size <= sizeof it.memory);
  nbuf_result result = it.writing[it.write_count++];
  if (result.status == NEARBUF_OK) {
    memcpy(it.memory, bytes, size);
    it.memory_size = size;
  }
  return result;
}

nbuf_result nbuf_linux_run(nearbuf_process *process, nbuf_trace_script script, void *context) {
  CHECK(process == &peer);
  nbuf_trace trace = {0};
  return it.running.status == NEARBUF_OK ? script(&trace, context) : it.running;
}

nbuf_result nbuf_linux_hold_memory(nearbuf_process *process, intptr_t *memory) {
  CHECK(process == &peer);
  *memory = OPEN_MEMORY;
  return it.holding;
}

nbuf_result nbuf_remote_free(nearbuf_process *process, uint64_t address, uint64_t size) {
  CHECK(process == &peer);
  CHECK_EQUAL(nbuf_os_page_size(), size);
  it.freed = address;
  return nbuf_result_of(NEARBUF_OK);
}

/* ---- What is known of it --------------------------------------------------------------------- */

nbuf_result nbuf_identify_fully(const nearbuf_process *process, nbuf_identity *identity) {
  CHECK(process == &peer);
  *identity = it.identity;
  return it.identifying;
}

bool nbuf_identity_name(const nearbuf_process *process, const nbuf_identity *identity, int index,
                        nbuf_name *name) {
  CHECK(process == &peer && identity->own_id == OWN_ID);
  if (index >= (it.has_no_namespace ? 1 : 2)) {
    return false;
  }
  memcpy(name->text, names_of_first[index], strlen(names_of_first[index]) + 1);
  return true;
}

int nbuf_identity_open_root(const nearbuf_process *process) {
  CHECK(process == &peer);
  it.open_files += it.root_error == 0;
  return failed_with(it.root_error) == 0 ? ROOT : -1;
}

nbuf_result nbuf_linux_result(const nearbuf_process *process, int error) {
  CHECK(process == &peer);
  return nbuf_result_system(NEARBUF_NOT_FOUND, error);
}

static nbuf_result open_folder(nbuf_folder folder, int *directory) {
  bool is_open = it.opening[folder].status == NEARBUF_OK;
  *directory = is_open ? FOLDER + (int)folder : -1;
  it.open_files += is_open;
  return it.opening[folder];
}

nbuf_result nbuf_identity_make_directory(int root, nbuf_folder folder, nbuf_user user,
                                         int *directory) {
  CHECK(root == ROOT && it.with_rights == 1);
  CHECK(it.steps[0] != NBUF_TRACE_CALLS); /* which says that it is not to be made */
  CHECK(user.owner == USER && user.named == 5);
  return open_folder(folder, directory);
}

nbuf_result nbuf_identity_open_directory(const nearbuf_process *process,
                                         const nbuf_identity *identity, nbuf_folder folder,
                                         int *directory) {
  CHECK(process == &peer && identity->own_id == OWN_ID);
  CHECK_EQUAL(NBUF_TRACE_CALLS, it.steps[0]);
  return open_folder(folder, directory);
}

nbuf_result nbuf_rights_run(const nbuf_rights *rights, nbuf_result (*run)(void *context),
                            void *context, size_t size) {
  CHECK(size >= sizeof(void *));
  CHECK(rights->user == USER && rights->group == GROUP && rights->capabilities == 3);
  if (it.rights.status != NEARBUF_OK) {
    return it.rights;
  }
  it.with_rights++;
  nbuf_result result = run(context);
  it.with_rights--;
  return result;
}

nbuf_result nbuf_first_by_anchor(const nearbuf_process *process, const nbuf_identity *identity,
                                 uint64_t *address, nearbuf_dialect *dialect_if_empty) {
  CHECK(process == &peer && identity->own_id == OWN_ID);
  *address = it.anchored;
  *dialect_if_empty = NEARBUF_DIALECT_DOTNET;
  return nbuf_result_of(it.anchored != 0 ? NEARBUF_OK : NEARBUF_NOT_FOUND);
}

void nbuf_first_keep(nearbuf_process *process, uint64_t address, nearbuf_dialect dialect_if_empty) {
  CHECK(process == &peer);
  it.kept = address;
  it.kept_dialect = dialect_if_empty;
}

nbuf_result nbuf_linux_mapping_at(const nearbuf_process *process, uint64_t address,
                                  nbuf_remote_mapping *mapping) {
  CHECK(process == NULL && it.mappings == 1);
  CHECK_EQUAL((uintptr_t)OURS, address);
  *mapping = (nbuf_remote_mapping){.device = DEVICE, .inode = INODE};
  return nbuf_result_of(it.is_own_map_unknown ? NEARBUF_DENIED : NEARBUF_OK);
}

nbuf_result nbuf_linux_find_mapping(const nearbuf_process *process,
                                    bool (*matches)(const nbuf_remote_mapping *mapping,
                                                    const void *context),
                                    const void *context, nbuf_remote_mapping *mapping) {
  CHECK(process == &peer);
  *mapping = (nbuf_remote_mapping){.info = {.min = PLACE, .is_shared = !it.is_old_private},
                                   .device = it.old_device,
                                   .inode = it.old_inode};
  if (it.their_map.status != NEARBUF_OK) {
    return it.their_map;
  }
  bool is_there = it.is_old_mapped && it.now <= it.mapped_for && matches(mapping, context);
  return nbuf_result_of(is_there ? NEARBUF_OK : NEARBUF_NOT_FOUND);
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* The address in the header, which is as wide as the process. */
static uint64_t address_in_header(void) {
  return nbuf_shared_address_relaxed((uintptr_t)it.locator, peer.address_bits / 8);
}

static void check_directory(int directory) {
  CHECK(it.with_rights == 1 && (directory == FOLDER || directory == FOLDER + 1));
}

static int invented_openat(int directory, const char *name, int flags, mode_t mode) {
  check_directory(directory);
  CHECK_EQUAL(O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, flags);
  CHECK_EQUAL(0600, mode);
  if (failed_with(it.create_error) != 0) {
    return -1;
  }
  (void)snprintf(it.name, sizeof it.name, "%s", name);
  it.folder = directory - FOLDER;
  it.is_locked = it.is_in_place = it.is_filled = false;
  it.open_files++;
  return NEW_FILE;
}

static void invented_close(int file) {
  CHECK(file == NEW_FILE || file == it.old_file || file == ROOT || file == FOLDER ||
        file == FOLDER + 1);
  it.open_files--;
}

static int invented_unlinkat(int directory, const char *name, int flags) {
  check_directory(directory);
  CHECK_EQUAL(0, flags);
  if (failed_with(it.unlink_error) != 0) {
    return -1;
  }
  if (strcmp(name, it.name) == 0 && directory == FOLDER + it.folder) {
    it.name[0] = '\0';
    return 0;
  }
  return failed_with(ENOENT);
}

static int invented_flock(int file, int operation) {
  CHECK_EQUAL(NEW_FILE, file);
  if (operation == LOCK_UN) {
    CHECK_EQUAL(PLACE, address_in_header());
    it.is_locked = false;
    return 0;
  }
  CHECK_EQUAL(LOCK_SH | LOCK_NB, operation);
  CHECK(!it.is_filled);
  it.is_locked = it.lock_error == 0;
  return failed_with(it.lock_error);
}

static int invented_fill(int file, const nbuf_initial_items *initial) {
  CHECK_EQUAL(NEW_FILE, file);
  CHECK(it.is_locked && it.is_in_place && initial == NULL);
  it.is_filled = it.fill_error == 0;
  return it.fill_error;
}

static int invented_fstat(int file, struct stat *status) {
  memset(status, 0, sizeof *status);
  status->st_uid = (uid_t)(file == NEW_FILE ? it.owner : USER);
  status->st_ino = file == NEW_FILE ? NEW_INODE : 0;
  return failed_with(it.stat_error);
}

static ssize_t invented_pread(int file, void *bytes, size_t size, off_t offset) {
  CHECK_EQUAL(it.old_file, file);
  CHECK(size == 8 && offset == 0);
  memcpy(bytes, &it.old_address, size);
  return it.old_size;
}

static ssize_t invented_pwrite(int file, const void *bytes, size_t size, off_t offset) {
  CHECK_EQUAL(NEW_FILE, file);
  CHECK_EQUAL(0, offset);
  if (it.missing < 0) {
    errno = EIO;
    return -1;
  }
  CHECK(size <= sizeof it.locator);
  memcpy(it.locator, bytes, size);
  return (ssize_t)size - it.missing;
}

static int invented_publish(int directory, const nbuf_new_file *made, const char *name) {
  check_directory(directory);
  CHECK(strcmp(temporary, made->temporary.text) == 0);
  CHECK_EQUAL(PLACE, address_in_header()); /* before it is visible */
  if (directory == FOLDER && it.old_name != NULL && strcmp(it.old_name, name) == 0) {
    return EEXIST;
  }
  if (it.publish_error == 0) {
    (void)snprintf(it.name, sizeof it.name, "%s", name);
  }
  return it.publish_error;
}

static int invented_replace(int directory, const nbuf_new_file *made, const char *name) {
  check_directory(directory);
  CHECK(strcmp(temporary, made->temporary.text) == 0);
  CHECK(it.is_old_dead && strcmp(it.old_name, name) == 0);
  if (it.replace_error == 0) {
    (void)snprintf(it.name, sizeof it.name, "%s", name);
    it.old_name = NULL;
  }
  return it.replace_error;
}

static bool invented_lock_dead(int directory, const char *name, int file) {
  CHECK(directory == FOLDER && strcmp(name, it.old_name) == 0);
  CHECK_EQUAL(it.old_file, file);
  return it.is_old_dead;
}

int nbuf_locator_file_open(int directory, const char *name, uint64_t user, struct stat *status) {
  memset(status, 0, sizeof *status);
  status->st_ino = INODE;
  CHECK(directory == FOLDER && strcmp(name, it.old_name) == 0);
  CHECK_EQUAL(USER, user);
  it.open_files += it.old_error == 0;
  return failed_with(it.old_error) == 0 ? it.old_file : -1;
}

nbuf_result nbuf_locator_file_examine(const nearbuf_process *process, int file,
                                      const struct stat *status, uint64_t *address,
                                      nbuf_remote_mapping *theirs) {
  CHECK_EQUAL(INODE, status->st_ino);
  CHECK(process == &peer && file == it.old_file && theirs->inode == 0);
  *address = it.old_address;
  return nbuf_result_of(it.is_old_theirs ? NEARBUF_OK : NEARBUF_NOT_FOUND);
}

uint64_t nbuf_locator_file_device(const struct stat *status) {
  return status->st_ino == NEW_INODE ? DEVICE : 0;
}

void nbuf_locator_file_keep(nearbuf_process *process, const nbuf_remote_mapping *theirs,
                            uint64_t address, int file, const struct stat *status) {
  CHECK(process == &peer && file == NEW_FILE && !it.is_locked);
  CHECK(theirs->device == DEVICE && theirs->inode == NEW_INODE);
  CHECK(status->st_ino == NEW_INODE && address == PLACE);
  it.kept_files++;
  it.open_files--;
}

void nbuf_locator_file_forget(nearbuf_process *process, uint64_t address) {
  CHECK(process == &peer && address == PLACE);
  it.forgotten_files++;
}

nbuf_result nbuf_locator_file_result(int error) {
  return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, error);
}

static void *invented_mmap(size_t size, int protection, int flags, int file, off_t offset) {
  CHECK(offset == 0 && size == nbuf_os_page_size() && protection == PROT_READ &&
        flags == MAP_SHARED);
  CHECK_EQUAL(it.old_file, file);
  it.mappings += !it.is_mapping_refused;
  return it.is_mapping_refused ? MAP_FAILED : OURS;
}

static int invented_munmap(const void *address, size_t size) {
  CHECK(address == OURS && size == nbuf_os_page_size());
  it.mappings--;
  return 0;
}

static void invented_avoid(int file) {
  CHECK_EQUAL(NEW_FILE, file);
  it.is_in_place = true;
}

static bool invented_is_young(void) {
  return it.now <= it.young_for;
}

static void invented_pause(void) {
  it.now += 10 * MILLISECOND;
}

static nbuf_name invented_temporary(int64_t process) {
  CHECK_EQUAL(OWN_ID, process);
  nbuf_name name = {""};
  memcpy(name.text, temporary, sizeof temporary);
  return name;
}

#undef openat
#define openat(directory, name, flags, mode) invented_openat(directory, name, flags, mode)
#define close(file) invented_close(file)
#define unlinkat(directory, name, flags) invented_unlinkat(directory, name, flags)
#define flock(file, operation) invented_flock(file, operation)
#define fstat(file, status) invented_fstat(file, status)
#undef pread
#define pread(file, bytes, size, offset) invented_pread(file, bytes, size, offset)
#undef pwrite
#define pwrite(file, bytes, size, offset) invented_pwrite(file, bytes, size, offset)
#undef mmap
#define mmap(place, size, protection, flags, file, offset)                                         \
  invented_mmap(size, protection, flags, file, offset)
#define munmap(address, size) invented_munmap(address, size)
#define nbuf_file_fill(file, initial) invented_fill(file, initial)
#define nbuf_file_publish(directory, made, name) invented_publish(directory, made, name)
#define nbuf_file_replace(directory, made, name) invented_replace(directory, made, name)
#define nbuf_file_is_allowed() (!it.is_too_large)
#define nbuf_file_lock_dead(directory, name, file) invented_lock_dead(directory, name, file)
#define nbuf_file_is_young(status) invented_is_young()
#define nbuf_name_temporary(process) invented_temporary(process)
#define nbuf_posix_avoid_copy_on_write(file) invented_avoid(file)
#define nbuf_posix_random() (UINT64_C(0x900000000) | RANDOM)
#define nbuf_os_nanoseconds() it.now
#define nbuf_os_pause() invented_pause()
#include "remote/linux/page_script.c" /* NOLINT(bugprone-suspicious-include) */
#include "remote/linux/pages.c"       /* NOLINT(bugprone-suspicious-include) */

/* ---- A page ---------------------------------------------------------------------------------- */

static const nbuf_item items[2] = {{.base = 1}, {.base = MEMORY}};
static nbuf_initial_items initial = {NULL, items, 2};
static nbuf_remote_draft draft; /* of a first page */

static nbuf_result make(bool is_first, nbuf_remote_page *page) {
  initial.layout = nbuf_layout_of(peer.address_bits / 8, NEARBUF_DIALECT_RUST);
  memset(page, 0xff, sizeof *page);
  nbuf_result result = nbuf_remote_page_make(&peer, &initial, is_first ? &draft : NULL, page);
  CHECK_EQUAL(0, it.open_files);
  CHECK_EQUAL(0, it.mappings);
  for (size_t i = 0; i < sizeof it.memory; i++) {
    CHECK_EQUAL(0, it.memory[i]);
  }
  return result;
}

static void check_made(bool is_first) {
  nbuf_remote_page page;
  reset_steps();
  CHECK_STATUS(NEARBUF_OK, make(is_first, &page).status);
  CHECK_EQUAL(PLACE, page.address);
  CHECK_EQUAL(PLACE, address_in_header());
  nbuf_item last =
      nbuf_item_read(nbuf_item_at((uintptr_t)it.locator, initial.layout, 1), initial.layout);
  CHECK_EQUAL(MEMORY, last.base);
  CHECK_EQUAL(2, nbuf_format_count((uintptr_t)it.locator, initial.layout));
  CHECK_EQUAL(is_first ? PLACE : 0, it.kept);
  CHECK_EQUAL(1, it.kept_files);
  it.kept_files = 0;
  CHECK(it.freed == 0 || it.folder != 0); /* what the shared directory did not take */
}

/* What failed leaves neither a name nor a page. */
static void check_fails(nearbuf_status status, int error, bool is_first) {
  nbuf_remote_page page;
  reset_steps();
  nbuf_result result = make(is_first, &page);
  CHECK_STATUS(status, result.status);
  CHECK_EQUAL(error, result.system_error);
  CHECK_EQUAL(0, page.address);
  CHECK(it.kept == 0 && it.kept_files == 0);
  CHECK(it.name[0] == '\0');
}

TEST(a_first_page_is_mapped_locked_and_closed_there_and_gets_the_usual_name) {
  static const nbuf_trace_call steps[] = {NBUF_TRACE_OPENAT, NBUF_TRACE_MMAP, NBUF_TRACE_MADVISE,
                                          NBUF_TRACE_FLOCK, NBUF_TRACE_CLOSE};
  check_made(true);
  CHECK_EQUAL(5, it.step_count);
  CHECK(memcmp(steps, it.steps, sizeof steps) == 0);
  CHECK(strcmp(names_of_first[0], it.name) == 0 && it.folder == 0);
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, it.kept_dialect);
}

TEST(a_later_page_gets_a_name_with_a_random_number) {
  check_made(false);
  CHECK(strcmp(later_name, it.name) == 0);
}

TEST(the_header_of_a_narrow_process_has_four_bytes) {
  peer.address_bits = 32;
  it.anchored = 0;
  check_made(true);
}

TEST(nothing_is_made_in_a_process_that_must_not_trust_its_user) {
  it.identity.is_privileged = true;
  check_fails(NEARBUF_DENIED, EPERM, true);
  it.identifying = nbuf_result_system(NEARBUF_NOT_FOUND, ESRCH);
  check_fails(NEARBUF_NOT_FOUND, ESRCH, true);
  CHECK_EQUAL(0, it.step_count);
}

TEST(in_a_process_without_a_root_no_file_is_begun) {
  it.root_error = ESRCH;
  check_fails(NEARBUF_NOT_FOUND, ESRCH, true);
  CHECK_EQUAL(0, it.step_count);
}

TEST(where_file_sizes_are_limited_no_file_is_begun) {
  it.is_too_large = true;
  check_fails(NEARBUF_SYSTEM_ERROR, EFBIG, true);
  CHECK(!it.is_locked);
}

/* ---- The other directory --------------------------------------------------------------------- */

TEST(if_the_shared_directory_is_anothers_the_page_is_in_the_users_own) {
  it.opening[0] = nbuf_result_system(NEARBUF_DENIED, EPERM);
  check_made(true);
  CHECK_EQUAL(1, it.folder);
}

TEST(if_the_process_may_not_open_its_file_in_the_shared_directory_either) {
  it.create_error = EACCES;
  check_fails(NEARBUF_OUT_OF_MEMORY, EACCES, true); /* so also in its own */
  it.create_error = 0;
  it.results[NBUF_TRACE_OPENAT] = -EACCES;
  check_fails(NEARBUF_DENIED, EACCES, true);
  CHECK_EQUAL(2, it.step_count);
  it.results[NBUF_TRACE_OPENAT] = -EMFILE;
  check_fails(NEARBUF_OUT_OF_MEMORY, EMFILE, true);
  CHECK_EQUAL(1, it.step_count);
}

TEST(what_failed_in_the_own_directory_does_not_hide_why_the_shared_one_was_not_used) {
  it.opening[0] = nbuf_result_system(NEARBUF_DENIED, EACCES);
  it.opening[1] = nbuf_result_system(NEARBUF_SYSTEM_ERROR, EIO);
  check_fails(NEARBUF_DENIED, EACCES, true);
  it.opening[1] = nbuf_result_of(NEARBUF_BUSY);
  check_fails(NEARBUF_BUSY, 0, true);
  it.opening[1] = nbuf_result_of(NEARBUF_OK);
  it.running = nbuf_result_system(NEARBUF_UNSUPPORTED, 1);
  check_fails(NEARBUF_UNSUPPORTED, 1, true); /* which does not concern the directory */
}

TEST(a_failure_that_is_none_of_the_directorys_does_not_lead_to_the_other_one) {
  it.opening[0] = nbuf_result_system(NEARBUF_SYSTEM_ERROR, EIO);
  check_fails(NEARBUF_SYSTEM_ERROR, EIO, true);
  CHECK_EQUAL(0, it.step_count);
}

/* ---- Failures -------------------------------------------------------------------------------- */

TEST(a_file_that_is_not_complete_is_removed) {
  static const struct {
    int error;
    nearbuf_status status;
  } failures[] = {
      {EWOULDBLOCK, NEARBUF_BUSY}, {EIO, NEARBUF_SYSTEM_ERROR}, {EPERM, NEARBUF_DENIED}};
  for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
    it.lock_error = failures[i].error;
    check_fails(failures[i].status, failures[i].error, true);
    it.lock_error = 0;
    it.fill_error = failures[i].error;
    check_fails(failures[i].status, failures[i].error, true);
    it.fill_error = 0;
  }
  CHECK_EQUAL(0, it.step_count);
}

TEST(a_file_that_belongs_to_another_user_than_the_processes_is_not_used) {
  it.owner = USER + 1;
  check_fails(NEARBUF_DENIED, EPERM, true);
  it.owner = USER;
  it.stat_error = EIO;
  check_fails(NEARBUF_DENIED, EPERM, true);
  CHECK_EQUAL(0, it.step_count);
}

TEST(without_the_rights_of_the_process_nothing_is_made) {
  it.rights = nbuf_result_system(NEARBUF_OUT_OF_MEMORY, ENOMEM);
  check_fails(NEARBUF_OUT_OF_MEMORY, ENOMEM, true);
  CHECK_EQUAL(0, it.step_count);
}

TEST(memory_that_cannot_be_written_stops_it) {
  it.writing[0] = nbuf_result_of(NEARBUF_NOT_MAPPED); /* the process unmapped it */
  check_fails(NEARBUF_BUSY, 0, true);
  it.writing[0] = nbuf_result_system(NEARBUF_NOT_FOUND, ESRCH);
  check_fails(NEARBUF_NOT_FOUND, ESRCH, true);
  CHECK_EQUAL(0, it.step_count);
}

TEST(where_the_path_cannot_be_removed_the_file_is_closed_there) {
  it.writing[1] = nbuf_result_system(NEARBUF_SYSTEM_ERROR, EIO);
  nbuf_remote_page page;
  initial.layout = nbuf_layout_of(8, NEARBUF_DIALECT_RUST);
  CHECK_STATUS(NEARBUF_SYSTEM_ERROR, nbuf_remote_page_make(&peer, &initial, NULL, &page).status);
  CHECK(it.step_count == 2 && it.steps[1] == NBUF_TRACE_CLOSE);
  CHECK_EQUAL(0, it.open_files);
  it.step_count = it.write_count = 0;
  it.results[NBUF_TRACE_OPENAT] = -EMFILE; /* then there is none */
  CHECK_STATUS(NEARBUF_OUT_OF_MEMORY, nbuf_remote_page_make(&peer, &initial, NULL, &page).status);
  CHECK_EQUAL(1, it.step_count);
}

TEST(memory_that_cannot_be_held_gets_no_locator) {
  it.holding = nbuf_result_system(NEARBUF_OUT_OF_MEMORY, EMFILE);
  for (int i = 0; i < 2; i++) {
    check_fails(NEARBUF_OUT_OF_MEMORY, EMFILE, i == 0);
    CHECK_EQUAL(0, it.step_count);
  }
}

TEST(a_file_that_a_clean_up_removed_is_made_again_later) {
  it.results[NBUF_TRACE_OPENAT] = -ENOENT;
  check_fails(NEARBUF_BUSY, 0, true);
  CHECK_EQUAL(1, it.step_count);
}

TEST(a_file_that_cannot_be_mapped_there_is_closed_there) {
  it.results[NBUF_TRACE_MMAP] = -ENOMEM;
  check_fails(NEARBUF_OUT_OF_MEMORY, ENOMEM, true);
  it.results[NBUF_TRACE_MMAP] = -EACCES;
  check_fails(NEARBUF_DENIED, EACCES, true);
  it.results[NBUF_TRACE_MMAP] = -4095; /* the last error that there is */
  check_fails(NEARBUF_DENIED, 4095, true);
  CHECK_EQUAL(3, it.step_count);
  CHECK_EQUAL(NBUF_TRACE_CLOSE, it.steps[2]);
  CHECK_EQUAL(0, it.freed);
}

TEST(a_thread_that_is_lost_on_the_way_ends_the_work) {
  const nbuf_trace_call lost[] = {NBUF_TRACE_OPENAT, NBUF_TRACE_MMAP};
  for (size_t i = 0; i < sizeof lost / sizeof *lost; i++) {
    it.lost_call = (int)lost[i];
    check_fails(NEARBUF_NOT_FOUND, ESRCH, true);
    CHECK_EQUAL(i + 1, it.step_count);
    CHECK_EQUAL(0, it.freed);
  }
  it.lost_call = NBUF_TRACE_CLOSE;
  check_fails(NEARBUF_NOT_FOUND, ESRCH, true);
  CHECK_EQUAL(PLACE, it.freed);
}

TEST(a_page_without_advice_or_lock_is_used_all_the_same) {
  it.results[NBUF_TRACE_MADVISE] = -EINVAL;
  it.results[NBUF_TRACE_FLOCK] = -EAGAIN;
  check_made(true);
}

TEST(a_header_that_cannot_be_written_takes_the_page_back) {
  it.missing = -1;
  check_fails(NEARBUF_SYSTEM_ERROR, EIO, true);
  CHECK_EQUAL(PLACE, it.freed);
  it.missing = 1;
  check_fails(NEARBUF_SYSTEM_ERROR, ENOSPC, true);
}

TEST(a_name_that_is_refused_takes_the_page_back) {
  it.publish_error = ENAMETOOLONG;
  check_fails(NEARBUF_DENIED, ENAMETOOLONG, true);
  CHECK_EQUAL(PLACE, it.freed);
  check_fails(NEARBUF_DENIED, ENAMETOOLONG, false);
  CHECK_EQUAL(PLACE, it.freed);
  it.publish_error = EPERM; /* where it is the directory's, the other one is tried */
  check_fails(NEARBUF_DENIED, EPERM, false);
  CHECK_EQUAL(10, it.step_count);
}

/* ---- Names that are taken -------------------------------------------------------------------- */

static void check_second_name(void) {
  check_made(true);
  CHECK(strcmp(names_of_first[1], it.name) == 0);
}

static void take_name(uint64_t address) {
  it.old_name = names_of_first[0];
  it.old_address = address;
}

TEST(the_second_name_is_used_if_another_process_has_the_first) {
  take_name(PLACE + 1);
  it.old_file = 0; /* as good a descriptor as others */
  check_second_name();
}

TEST(the_second_name_is_used_if_the_first_cannot_be_looked_at) {
  take_name(PLACE + 1);
  it.old_error = EACCES;
  check_second_name();
}

TEST(a_process_with_one_name_that_is_taken_gets_its_page_in_the_other_directory) {
  take_name(PLACE + 1);
  it.has_no_namespace = true;
  check_made(true);
  CHECK_EQUAL(1, it.folder);
  it.kept = 0;
  it.opening[1] = nbuf_result_system(NEARBUF_SYSTEM_ERROR, EIO);
  check_fails(NEARBUF_DENIED, EEXIST, true);
}

TEST(the_file_of_a_dead_process_is_replaced) {
  take_name(PLACE + 1);
  it.is_old_dead = true;
  check_made(true);
  CHECK(strcmp(names_of_first[0], it.name) == 0);
  take_name(PLACE + 1);
  it.replace_error = ENOSYS;
  it.kept = 0;
  check_fails(NEARBUF_DENIED, ENOSYS, true);
}

TEST(a_page_that_the_process_made_meanwhile_is_not_replaced) {
  take_name(PLACE + 1);
  it.is_old_theirs = true;
  it.is_old_dead = true;
  check_fails(NEARBUF_BUSY, 0, true);
  CHECK_EQUAL(PLACE, it.freed);
}

TEST(a_file_without_an_address_that_is_in_use_is_becoming_the_processes) {
  take_name(0);
  it.young_for = 0;
  it.now = 1;
  check_fails(NEARBUF_BUSY, 0, true);
  it.is_old_dead = true;
  check_made(true);
}

TEST(a_young_file_without_an_address_is_waited_for_a_fifth_of_a_second) {
  take_name(0);
  it.young_for = UINT64_MAX;
  it.is_old_dead = true;
  check_made(true);
  CHECK_EQUAL(NBUF_FILE_APPEARS_NS, it.now);
  it.now = 0;
  take_name(0);
  it.young_for = 50 * MILLISECOND;
  check_made(true);
  CHECK_EQUAL(60 * MILLISECOND, it.now);
}

/* Half a second. */
TEST(a_file_that_the_process_has_mapped_is_waited_for_as_long_as_a_lock) {
  take_name(0);
  it.is_old_mapped = true;
  it.is_old_dead = true; /* as it seems */
  it.now = SECOND;       /* and it is not young */
  check_fails(NEARBUF_BUSY, 0, true);
  CHECK_EQUAL(SECOND + NBUF_WAIT_BOUND_NS + 10 * MILLISECOND, it.now);
  it.now = 0;
  it.mapped_for = 100 * MILLISECOND;
  it.young_for = 0;
  check_made(true);
  CHECK_EQUAL(110 * MILLISECOND, it.now);
}

TEST(what_cannot_be_known_to_be_unmapped_is_waited_for) {
  static bool *const unknown[] = {&it.is_mapping_refused, &it.is_own_map_unknown};
  take_name(0);
  it.is_old_dead = true;
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
    *unknown[i] = true;
    it.now = 1;
    check_fails(NEARBUF_BUSY, 0, true);
    CHECK(it.now > NBUF_WAIT_BOUND_NS);
    *unknown[i] = false;
  }
  it.their_map = nbuf_result_of(NEARBUF_DENIED);
  check_fails(NEARBUF_BUSY, 0, true);
}

TEST(another_file_that_the_process_has_mapped_is_not_waited_for) {
  it.is_old_mapped = true;
  it.is_old_dead = true;
  it.now = 1;
  for (int i = 0; i < 3; i++) {
    take_name(0);
    it.old_inode = i == 0 ? INODE + 1 : INODE;
    it.old_device = i == 1 ? DEVICE + 1 : DEVICE;
    it.is_old_private = i == 2;
    check_made(true);
    CHECK_EQUAL(1, it.now);
  }
}

TEST(a_file_that_cannot_be_read_is_not_waited_for) {
  take_name(0);
  it.is_old_mapped = true;
  it.is_old_dead = true;
  it.now = 1;
  it.old_size = 7;
  peer.address_bits = 32;
  check_made(true);
  CHECK_EQUAL(1, it.now);
}

/* The name goes, and so does the address; the page stays, since it may just be read. */
TEST(a_page_is_withdrawn_if_the_process_has_made_a_private_one) {
  nbuf_remote_page page;
  it.anchored = PLACE + 1;
  CHECK_STATUS(NEARBUF_BUSY, make(true, &page).status);
  CHECK_EQUAL(0, address_in_header());
  CHECK_EQUAL(0, page.address);
  CHECK_EQUAL(0, it.freed);
  CHECK(it.name[0] == '\0');
}

TEST(a_later_page_is_not_withdrawn) {
  it.anchored = PLACE + 1;
  check_made(false);
}

TEST(what_the_rights_refuse_to_change_is_why_there_is_no_page) {
  name_call call = {FOLDER, NAME_REMOVE, NULL, temporary, 0};
  (void)snprintf(it.name, sizeof it.name, "%s", temporary);
  it.unlink_error = EROFS;
  CHECK_EQUAL(EROFS, change_name(FOLDER, &it.identity, NAME_REMOVE, NULL, temporary));
  it.rights = nbuf_result_system(NEARBUF_DENIED, EPERM);
  CHECK_EQUAL(EPERM, change_name(FOLDER, &it.identity, NAME_REMOVE, NULL, temporary));
  it.rights = nbuf_result_of(NEARBUF_SYSTEM_ERROR);
  CHECK_EQUAL(EAGAIN, change_name(FOLDER, &it.identity, NAME_REMOVE, NULL, temporary));
  it.with_rights = 1;
  it.unlink_error = 0;
  CHECK_STATUS(NEARBUF_OK, change_name_there(&call).status);
  CHECK_EQUAL(0, call.error);
}

/* ---- Drafts ---------------------------------------------------------------------------------- */

/* As nbuf_remote_allocate does, where the memory is made. */
static void map_draft(void) {
  nbuf_trace trace = {0};
  nbuf_page_call *call = nbuf_page_call_of(&draft);
  nbuf_remote_draft_begin(&peer, &draft);
  call->open_memory = OPEN_MEMORY;
  CHECK(call->path[0] != '\0');
  call->memory = MEMORY;
  call->result = nbuf_page_script(&trace, call);
}

TEST(a_draft_that_was_mapped_with_the_memory_becomes_the_page) {
  map_draft();
  CHECK_EQUAL(2, it.open_files);
  CHECK_EQUAL(5, it.step_count);
  nbuf_remote_draft_begin(&peer, &draft); /* is begun once */
  CHECK_EQUAL(2, it.open_files);
  it.identifying = nbuf_result_of(NEARBUF_BUSY); /* is known */
  check_made(true);
  CHECK_EQUAL(0, it.step_count);
  CHECK(strcmp(names_of_first[0], it.name) == 0 && it.folder == 0);
  CHECK_EQUAL('\0', nbuf_page_call_of(&draft)->path[0]);
}

TEST(a_draft_that_is_not_mapped_yet_is_mapped_with_the_page) {
  nbuf_remote_draft_begin(&peer, &draft);
  check_made(true);
  CHECK_EQUAL(5, it.step_count);
}

TEST(a_draft_is_begun_in_the_users_own_directory_where_the_shared_one_is_anothers) {
  it.opening[0] = nbuf_result_system(NEARBUF_DENIED, EACCES);
  map_draft();
  CHECK_EQUAL(2, it.open_files);
  check_made(true);
  CHECK_EQUAL(0, it.step_count);
  CHECK_EQUAL(1, it.folder);
}

TEST(where_no_draft_can_be_begun_the_page_is_made_all_the_same) {
  it.opening[0] = nbuf_result_system(NEARBUF_SYSTEM_ERROR, EIO);
  for (int i = 0; i < 2; i++) { /* tried once */
    nbuf_remote_draft_begin(&peer, &draft);
    CHECK(nbuf_page_call_of(&draft)->path[0] == '\0');
    CHECK_EQUAL(0, it.open_files);
    it.opening[0] = nbuf_result_of(NEARBUF_OK);
  }
  static bool *const reasons[] = {&it.identity.is_privileged, &it.identity.may_refuse};
  for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
    *reasons[i] = true;
    nbuf_remote_draft_discard(&peer, &draft);
    nbuf_remote_draft_begin(&peer, &draft);
    CHECK(nbuf_page_call_of(&draft)->path[0] == '\0' && it.name[0] == '\0');
    *reasons[i] = false;
  }
  check_made(true);
  CHECK_EQUAL(5, it.step_count);
}

TEST(a_draft_in_the_users_own_directory_that_fails_is_not_begun_again) {
  it.opening[0] = nbuf_result_system(NEARBUF_DENIED, EACCES);
  it.results[NBUF_TRACE_OPENAT] = -EACCES;
  map_draft();
  check_fails(NEARBUF_DENIED, EACCES, true);
  CHECK_EQUAL(0, it.step_count);
}

TEST(a_file_that_is_not_complete_is_no_draft) {
  it.fill_error = EIO;
  nbuf_remote_draft_begin(&peer, &draft);
  CHECK(nbuf_page_call_of(&draft)->path[0] == '\0' && it.name[0] == '\0');
  CHECK_EQUAL(0, it.open_files);
}

TEST(a_draft_that_the_process_may_not_open_leads_to_its_own_directory) {
  it.results[NBUF_TRACE_OPENAT] = -EACCES;
  map_draft();
  it.results[NBUF_TRACE_OPENAT] = 0;
  check_made(true);
  CHECK_EQUAL(5, it.step_count);
  CHECK_EQUAL(1, it.folder);
}

TEST(a_draft_that_was_not_mapped_is_not_tried_again) {
  it.results[NBUF_TRACE_MMAP] = -ENOMEM;
  map_draft();
  it.results[NBUF_TRACE_MMAP] = 0;
  check_fails(NEARBUF_OUT_OF_MEMORY, ENOMEM, true);
  CHECK_EQUAL(0, it.step_count);
}

TEST(a_draft_that_is_discarded_leaves_nothing) {
  for (int i = 0; i < 3; i++) {
    reset_steps();
    if (i == 1) {
      nbuf_remote_draft_begin(&peer, &draft);
    } else if (i == 2) {
      map_draft();
    }
    CHECK_EQUAL(i != 0, it.name[0] != '\0');
    nbuf_remote_draft_discard(&peer, &draft);
    CHECK_EQUAL(0, it.open_files);
    CHECK_EQUAL('\0', it.name[0]);
    CHECK_EQUAL(i == 2 ? PLACE : 0, it.freed);
    CHECK_EQUAL('\0', nbuf_page_call_of(&draft)->path[0]);
  }
}

/* ---- Taken back ------------------------------------------------------------------------------ */

TEST(a_later_page_that_is_discarded_loses_its_name_in_either_directory) {
  const nbuf_remote_page page = {.address = PLACE, .handle = RANDOM};
  it.steps[0] = NBUF_TRACE_CALLS;
  for (int i = 0; i < NBUF_FOLDERS; i++) {
    (void)snprintf(it.name, sizeof it.name, "%s", later_name);
    it.folder = i;
    it.opening[1 - i] = nbuf_result_of(NEARBUF_DENIED);
    it.opening[i] = nbuf_result_of(NEARBUF_OK);
    it.freed = 0;
    nbuf_remote_page_discard(&peer, &page);
    CHECK_EQUAL(PLACE, it.freed);
    CHECK(it.name[0] == '\0');
    CHECK_EQUAL(0, it.open_files);
    CHECK_EQUAL(i + 1, it.forgotten_files);
  }
  it.identifying = nbuf_result_of(NEARBUF_NOT_FOUND);
  it.freed = 0;
  nbuf_remote_page_discard(&peer, &page);
  CHECK_EQUAL(PLACE, it.freed);
}
