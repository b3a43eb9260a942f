/* The pages of locators on an invented system: the files of two directories, the descriptors and
 * mappings of this process, its clock, what is refused, and what other threads and processes do
 * meanwhile are what a test says. posix/pages.c and what belongs to it are compiled here, with
 * other names for what they call and define. With real files and processes they are tested by
 * tests/process. */
#define nbuf_page_lists_tail tested_page_lists_tail
#define nbuf_page_find tested_page_find
#define nbuf_page_find_or_make tested_page_find_or_make
#define nbuf_page_make_later tested_page_make_later
#define nbuf_page_discard tested_page_discard
#define nbuf_page_restore_address tested_page_restore_address
#define nbuf_page_keep_from_children tested_page_keep_from_children
#define nbuf_page_leave_full_stub tested_page_leave_full_stub
#define nbuf_page_link_full_stub tested_page_link_full_stub
#define nbuf_full_stub_or_nothing_is_at tested_full_stub_or_nothing_is_at
#define nbuf_mapping_at tested_mapping_at
#define nbuf_mapping_is_locator tested_mapping_is_locator
#define nbuf_mappings_are_same_page tested_mappings_are_same_page
#define nbuf_file_check_mapped_at tested_file_check_mapped_at
#define nbuf_file_is_mapped_here tested_file_is_mapped_here
#define nbuf_file_is_being_made tested_file_is_being_made
#define nbuf_os_known invented_numbers
#define nbuf_os_ask_numbers invented_ask_numbers
#define nbuf_os_nanoseconds invented_nanoseconds
#define nbuf_os_pause invented_pause
#define nbuf_os_map_open invented_map_open
#define nbuf_os_map_close invented_map_close
#define nbuf_os_map_next invented_map_next
#define nbuf_module_loaded invented_module_loaded
#define nbuf_module_unloaded invented_module_unloaded
#define nbuf_process_forked invented_process_forked
#define nbuf_posix_map_next_shared invented_map_next_shared
#define nbuf_posix_may_have_parents_id invented_may_have_parents_id
#define nbuf_posix_predates_process invented_predates_process
#define nbuf_posix_memory_file invented_memory_file
#define nbuf_posix_is_privileged invented_is_privileged
#define nbuf_posix_random invented_random
#define nbuf_posix_may_be_mapped invented_may_be_mapped
#define nbuf_posix_map_at invented_map_at
#define nbuf_posix_is_unloaded invented_is_unloaded
#define nbuf_anchor_find invented_anchor_find
#define nbuf_anchor_make invented_anchor_make
#define nbuf_anchor_forked invented_anchor_forked
#define nbuf_anchor_may_be_missing invented_anchor_may_be_missing
#define nbuf_name_in_namespace invented_name_in_namespace
#define nbuf_path_of_temporary invented_path_of_temporary
#define nbuf_directory_open invented_directory_open
#define nbuf_directory_lacks invented_directory_lacks
#define nbuf_directory_clean invented_directory_clean
#define nbuf_file_make invented_file_make
#define nbuf_file_keep_from_children invented_keep_from_children
#define nbuf_file_is_inherited invented_file_is_inherited
#define nbuf_file_fill invented_file_fill
#define nbuf_file_is_allowed invented_file_is_allowed
#define nbuf_file_discard invented_file_discard
#define nbuf_file_publish invented_file_publish
#define nbuf_file_replace invented_file_replace
#define nbuf_file_lock_dead invented_file_lock_dead
#define nbuf_file_has_owner invented_file_has_owner
#define nbuf_file_is_named invented_file_is_named
#define nbuf_file_is_young invented_file_is_young

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "os/os.h"
#include "os/pages.h"
#include "os/posix/anchor.h"
#include "os/posix/files.h"
#include "os/posix/posix.h"
#include "refused.h"
#include "test.h"

/* ---- The system ------------------------------------------------------------------------------ */

#define MS UINT64_C(1000000)
enum {
  PAGE = 8192,
  PAGES = 16,
  MOST_FILES = 16,
  DESCRIPTORS = 32,
  FIRST_DIRECTORY = 200,
  OWN_ID = 42,
  USER = 7,
  NOW = 1000, /* in seconds */
  DEVICE = 3,
  NUMBER = 0x1f, /* the random one */
  MAP_ERROR = 6
};

#define NAMELESS NBUF_FOLDERS
#define OWN_NAME NBUF_NAME_PREFIX "42"
#define SECOND_NAME NBUF_NAME_PREFIX "42, NS 9"
#define LATER_NAME NBUF_NAME_PREFIX "42, later 1f"

typedef struct disk_file {
  char name[128];
  int folder;
  uint32_t mode;
  uint64_t owner;
  int64_t size;
  int64_t changed;   /* in seconds */
  uintptr_t address; /* which its header tells, unless it is mapped */
  uintptr_t content; /* where it is mapped for writing; 0: nowhere */
  const nbuf_initial_items *initial;
  bool is_older;   /* than this process */
  bool has_owner;  /* a process holds the shared lock */
  bool is_checked; /* a process holds the exclusive one */
} disk_file;

typedef struct descriptor {
  int file; /* 0: it is closed */
  int flags;
} descriptor;

/* The moments at which a test can let others act. */
typedef enum moment {
  IN_A_PAUSE,
  IN_MAKING,
  IN_PUBLISHING,
  IN_ANCHORING,
  IN_LOCKING,
  MOMENTS
} moment;

static _Alignas(PAGE) unsigned char memory[PAGES][PAGE];

static struct {
  disk_file files[MOST_FILES];
  int file_count;
  descriptor open[DESCRIPTORS];
  int first_free; /* the descriptors below are those of other code */
  uint64_t most_descriptors;
  int flags_asked;
  int open_error;          /* of the file with the usual name */
  int stats_until_failure; /* 0: it does not fail */
  bool cannot_pread;
  bool has_no_limit;
  nbuf_mapping mapped[PAGES];
  int mapped_count;
  bool cannot_map;
  bool cannot_run; /* files cannot be mapped executable */
  nearbuf_status map_opening;
  int queries_until_failure; /* of the map: one fails; 0: none */
  bool is_unreadable;
  nbuf_mapping last_found;
  int open_maps;
  bool has_names;
  nbuf_result opening[NBUF_FOLDERS];
  bool has_directory[NBUF_FOLDERS];
  bool is_lack_unknown;
  int directories_opened;
  int open_directories;
  int cleanings;
  nbuf_result making;
  int makings;
  int publish_error;
  int publications;
  int replace_error;
  bool is_privileged;
  bool may_have_parents_id;
  bool has_namespace;
  bool forbids_files; /* the limit on their size */
  bool cannot_fill;
  bool has_no_memory_files;
  bool is_inherited;
  uint64_t random;
  uintptr_t kept; /* the last page that was kept out of children */
  nearbuf_status anchor_finding;
  nearbuf_status anchor_making;
  bool has_anchor;
  bool anchor_may_be_missing;
  uintptr_t forked_from;
  int forks;
  int loads;
  int unloads;
  bool is_unloaded;
  void (*fork_handler)(void);
  uint64_t now;
  int pauses;
  void (*meanwhile[MOMENTS])(void);
  _Atomic uintptr_t word;
} it = {.opening = {{NEARBUF_OK, 0}, {NEARBUF_OK, 0}},
        .has_directory = {true, true},
        .first_free = 20,
        .most_descriptors = DESCRIPTORS,
        .random = NUMBER,
        .anchor_finding = NEARBUF_OK,
        .now = 77 * MS};

static void let_others_act(moment at) {
  if (it.meanwhile[at] != NULL) {
    it.meanwhile[at]();
  }
}

/* ---- Its memory ------------------------------------------------------------------------------ */

static uintptr_t page_at(int index) {
  return (uintptr_t)memory + (uintptr_t)index * PAGE;
}

nbuf_os_numbers invented_numbers;

void invented_ask_numbers(void) {
  atomic_store(&invented_numbers.page_size, PAGE);
}

static nbuf_mapping *mapping_of(uintptr_t address) {
  for (int i = 0; i < it.mapped_count; i++) {
    if (it.mapped[i].range.min <= address && address <= it.mapped[i].range.max) {
      return &it.mapped[i];
    }
  }
  return NULL;
}

static nbuf_mapping *add_mapping(uintptr_t address) {
  CHECK(it.mapped_count < PAGES && mapping_of(address) == NULL);
  nbuf_mapping *added = &it.mapped[it.mapped_count++];
  *added =
      (nbuf_mapping){.range = {address, address + (PAGE - 1)}, .readable = true, .writable = true};
  return added;
}

/* From the top, so that a fresh mapping lies behind others. */
static uintptr_t free_page(void) {
  for (int i = PAGES - 1; i >= 0; i--) {
    if (mapping_of(page_at(i)) == NULL) {
      return page_at(i);
    }
  }
  test_fail(__FILE__, __LINE__, "no page is left");
}

static disk_file *file_of(int opened) {
  CHECK(opened >= 0 && opened < DESCRIPTORS && it.open[opened].file > 0);
  return &it.files[it.open[opened].file];
}

static void show_file(nbuf_mapping *mapping, const disk_file *shown) {
  mapping->device = DEVICE;
  mapping->inode = 100 + (uint64_t)(shown - it.files);
  (void)snprintf(mapping->name_end, sizeof mapping->name_end, "%s%s%s%s",
                 shown->folder == NBUF_FOLDER_SHARED    ? "/tmp/.reloaded/memory.buffers/"
                 : shown->folder == NBUF_FOLDER_OF_USER ? "/tmp/.reloaded.7/"
                                                        : "/memfd:",
                 shown->name, shown->folder == NAMELESS ? " (deleted)" : "", "");
}

/* Maps a file for writing, as its maker does. */
static uintptr_t map_file(disk_file *mapped) {
  uintptr_t page = free_page();
  nbuf_mapping *mapping = add_mapping(page);
  memset((void *)page, 0, PAGE);
  mapping->shared = true;
  show_file(mapping, mapped);
  if (mapped->initial != NULL) {
    nbuf_format_build(page, mapped->initial->layout, 0, mapped->initial->items,
                      mapped->initial->count);
  }
  mapped->content = page;
  return page;
}

static void *invented_mmap(void *address, size_t size, int protection, int flags, int opened,
                           off_t offset) {
  CHECK(address == NULL && size == PAGE && offset == 0);
  CHECK((protection & PROT_READ) != 0);
  if (it.cannot_map || (it.cannot_run && (protection & PROT_EXEC) != 0)) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  bool is_writable = (protection & PROT_WRITE) != 0;
  if (flags == (MAP_SHARED | MAP_ANONYMOUS)) {
    CHECK(opened == -1 && is_writable);
    nbuf_mapping *mapping = add_mapping(free_page());
    mapping->shared = true;
    mapping->inode = 1;
    memset((void *)mapping->range.min, 0, PAGE);
    return (void *)mapping->range.min;
  }
  CHECK_EQUAL(MAP_SHARED, flags);
  if (is_writable) {
    return (void *)map_file(file_of(opened));
  }
  nbuf_mapping *mapping = add_mapping(free_page());
  mapping->shared = true;
  mapping->writable = false;
  show_file(mapping, file_of(opened));
  return (void *)mapping->range.min;
}

static int invented_munmap(void *address, size_t size) {
  nbuf_mapping *mapping = mapping_of((uintptr_t)address);
  CHECK(size == PAGE && mapping != NULL && mapping->range.min == (uintptr_t)address);
  *mapping = it.mapped[--it.mapped_count];
  for (int i = 0; i < it.file_count; i++) {
    if (it.files[i].content == (uintptr_t)address) {
      it.files[i].content = 0;
    }
  }
  return 0;
}

int invented_map_at(uintptr_t address, size_t size, int protection) {
  CHECK(address % PAGE == 0 && size == PAGE);
  CHECK_EQUAL(PROT_READ | PROT_WRITE, protection);
  if (mapping_of(address) != NULL) {
    return EEXIST;
  }
  (void)add_mapping(address);
  memset((void *)address, 0, PAGE);
  return 0;
}

bool invented_may_be_mapped(uintptr_t page) {
  return mapping_of(page) != NULL;
}

nbuf_result invented_map_open(nbuf_map *map, bool with_names) {
  (void)map;
  it.open_maps++;
  it.has_names = with_names;
  return failed_if(it.map_opening);
}

void invented_map_close(nbuf_map *map) {
  (void)map;
  it.open_maps--;
}

nbuf_map_answer invented_map_next(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping) {
  CHECK_EQUAL(1, it.open_maps);
  CHECK_EQUAL(NEARBUF_OK, it.map_opening);
  /* What is left behind by a query that finds nothing must not be used: it is tempting. */
  *mapping = it.last_found;
  mapping->range = (nbuf_range){from, from + (PAGE - 1)};
  mapping->writable = true;
  if (it.is_unreadable || (it.queries_until_failure > 0 && --it.queries_until_failure == 0)) {
    map->system_error = MAP_ERROR;
    return NBUF_MAP_FAILED;
  }
  const nbuf_mapping *lowest = NULL;
  for (int i = 0; i < it.mapped_count; i++) {
    const nbuf_mapping *each = &it.mapped[i];
    if (each->range.max >= from && (lowest == NULL || each->range.min < lowest->range.min)) {
      lowest = each;
    }
  }
  if (lowest == NULL) {
    return NBUF_MAP_END;
  }
  it.last_found = *mapping = *lowest;
  return NBUF_MAP_FOUND;
}

nbuf_map_answer invented_map_next_shared(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping) {
  CHECK(it.has_names);
  for (;;) {
    nbuf_map_answer answer = invented_map_next(map, from, mapping);
    if (answer != NBUF_MAP_FOUND || (mapping->shared && mapping->readable && mapping->writable)) {
      return answer;
    }
    from = mapping->range.max + 1;
  }
}

void invented_keep_from_children(uintptr_t page) {
  CHECK(mapping_of(page) != NULL);
  it.kept = page;
}

bool invented_file_is_inherited(void) {
  return it.is_inherited;
}

/* ---- Its files ------------------------------------------------------------------------------- */

static disk_file *add_file(int folder, const char *name) {
  CHECK(it.file_count < MOST_FILES);
  it.file_count += it.file_count == 0; /* the first one stands for none */
  disk_file *added = &it.files[it.file_count++];
  *added = (disk_file){.folder = folder, .owner = USER, .mode = S_IFREG | 0600, .size = PAGE};
  (void)snprintf(added->name, sizeof added->name, "%s", name);
  added->changed = NOW - 10;
  return added;
}

static disk_file *file_named(int folder, const char *name) {
  for (int i = 1; i < it.file_count; i++) {
    if (it.files[i].folder == folder && strcmp(it.files[i].name, name) == 0) {
      return &it.files[i];
    }
  }
  return NULL;
}

static int folder_of(int directory) {
  CHECK(directory >= FIRST_DIRECTORY && directory < FIRST_DIRECTORY + NBUF_FOLDERS);
  CHECK(it.open_directories > 0);
  return directory - FIRST_DIRECTORY;
}

static int open_file(int first, const disk_file *opened, int flags) {
  for (int i = first; i < DESCRIPTORS; i++) {
    if (it.open[i].file == 0) {
      it.open[i] = (descriptor){(int)(opened - it.files), flags};
      return i;
    }
  }
  test_fail(__FILE__, __LINE__, "no descriptor is left");
}

static int invented_openat(int directory, const char *name, int flags) {
  const int needed = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  disk_file *found = file_named(folder_of(directory), name);
  CHECK_EQUAL(needed, flags & needed);
  CHECK((flags & O_ACCMODE) == O_RDWR || (flags & O_ACCMODE) == O_RDONLY);
  bool is_refused = it.open_error != 0 && strcmp(name, OWN_NAME) == 0;
  if (is_refused || found == NULL) {
    errno = is_refused ? it.open_error : ENOENT;
    return -1;
  }
  return open_file(it.first_free, found, flags);
}

static int invented_close(int opened) {
  if (opened >= FIRST_DIRECTORY) {
    (void)folder_of(opened);
    it.open_directories--;
    return 0;
  }
  (void)file_of(opened);
  it.open[opened].file = 0;
  return 0;
}

static int invented_fstat(int opened, struct stat *status) {
  const disk_file *of = file_of(opened);
  if (it.stats_until_failure > 0 && --it.stats_until_failure == 0) {
    errno = ANY_ERROR;
    return -1;
  }
  memset(status, 0, sizeof *status);
  status->st_dev = DEVICE;
  status->st_ino = 100 + (ino_t)(of - it.files);
  status->st_mode = of->mode;
  status->st_uid = (uid_t)of->owner;
  status->st_size = (off_t)of->size;
  status->st_ctime = (time_t)of->changed;
  return 0;
}

static ssize_t invented_pread(int opened, void *bytes, size_t size, off_t offset) {
  const disk_file *of = file_of(opened);
  uintptr_t address = nbuf_little_address(of->address);
  CHECK(size == sizeof address && offset == 0);
  if (it.cannot_pread) {
    errno = ANY_ERROR;
    return -1;
  }
  memcpy(bytes, of->content != 0 ? (const void *)of->content : &address, size);
  return (ssize_t)size;
}

static int invented_fcntl(int opened, int command) {
  CHECK_EQUAL(F_GETFL, command);
  CHECK(opened >= 0 && (uint64_t)opened < it.most_descriptors);
  it.flags_asked++;
  if (opened >= DESCRIPTORS || it.open[opened].file == 0) {
    errno = EBADF;
    return -1;
  }
  return it.open[opened].flags;
}

static int invented_getrlimit(int resource, struct rlimit *limit) {
  CHECK_EQUAL(RLIMIT_NOFILE, resource);
  limit->rlim_cur = (rlim_t)it.most_descriptors;
  return it.has_no_limit ? -1 : 0;
}

static int invented_unlinkat(int directory, const char *name, int flags) {
  disk_file *found = file_named(folder_of(directory), name);
  CHECK_EQUAL(0, flags);
  CHECK(found != NULL);
  found->folder = NAMELESS;
  return 0;
}

nbuf_result invented_directory_open(nbuf_folder folder, bool make, int *directory) {
  CHECK(folder < NBUF_FOLDERS);
  it.directories_opened++;
  *directory = -1;
  if (it.opening[folder].status != NEARBUF_OK) {
    return it.opening[folder];
  }
  if (!it.has_directory[folder] && !make) {
    return nbuf_result_system(NEARBUF_NOT_FOUND, ENOENT);
  }
  it.has_directory[folder] = true;
  it.open_directories++;
  *directory = FIRST_DIRECTORY + (int)folder;
  return nbuf_result_of(NEARBUF_OK);
}

bool invented_directory_lacks(nbuf_folder folder, const nbuf_name *name) {
  CHECK(strcmp(OWN_NAME, name->text) == 0 && folder < NBUF_FOLDERS);
  return !it.is_lack_unknown && it.opening[folder].status == NEARBUF_OK &&
         file_named((int)folder, name->text) == NULL;
}

void invented_directory_clean(int directory) {
  (void)folder_of(directory);
  it.cleanings++;
}

nbuf_result invented_file_make(int directory, int64_t process, const nbuf_initial_items *initial,
                               nbuf_new_file *file) {
  CHECK_EQUAL(OWN_ID, process);
  let_others_act(IN_MAKING);
  it.makings++;
  if (it.making.status != NEARBUF_OK) {
    return it.making;
  }
  (void)snprintf(file->temporary.text, sizeof file->temporary.text, "temporary");
  disk_file *added = add_file(folder_of(directory), file->temporary.text);
  added->initial = initial;
  added->has_owner = true;
  added->changed = NOW;
  file->base = map_file(added);
  nbuf_shared_address_store_release(file->base, sizeof(uintptr_t), file->base);
  return nbuf_result_of(NEARBUF_OK);
}

void invented_file_discard(int directory, const nbuf_new_file *file) {
  CHECK_EQUAL(0, invented_unlinkat(directory, file->temporary.text, 0));
  CHECK_EQUAL(0, invented_munmap((void *)file->base, PAGE));
  it.file_count -=
      it.files[it.file_count - 1].initial != NULL && it.files[it.file_count - 1].content == 0;
}

static void rename_file(disk_file *renamed, const char *name) {
  CHECK(renamed != NULL);
  (void)snprintf(renamed->name, sizeof renamed->name, "%s", name);
  if (renamed->content != 0) {
    show_file(mapping_of(renamed->content), renamed);
  }
}

int invented_file_publish(int directory, const nbuf_new_file *file, const char *name) {
  int folder = folder_of(directory);
  let_others_act(IN_PUBLISHING);
  it.publications++;
  if (it.publish_error != 0) {
    return it.publish_error;
  }
  if (file_named(folder, name) != NULL) {
    return EEXIST;
  }
  rename_file(file_named(folder, file->temporary.text), name);
  return 0;
}

int invented_file_replace(int directory, const nbuf_new_file *file, const char *name) {
  int folder = folder_of(directory);
  if (it.replace_error != 0) {
    return it.replace_error;
  }
  disk_file *before = file_named(folder, name);
  CHECK(before != NULL && before->is_checked); /* its lock is held */
  before->folder = NAMELESS;
  rename_file(file_named(folder, file->temporary.text), name);
  return 0;
}

bool invented_file_is_named(int directory, const char *name, int file) {
  return file_named(folder_of(directory), name) == file_of(file);
}

bool invented_file_lock_dead(int directory, const char *name, int file) {
  disk_file *dead = file_of(file);
  let_others_act(IN_LOCKING);
  if (dead->has_owner || dead->is_checked || !invented_file_is_named(directory, name, file)) {
    return false;
  }
  dead->is_checked = true;
  return true;
}

bool invented_file_has_owner(int file) {
  return file_of(file)->has_owner;
}

bool invented_file_is_young(const struct stat *status) {
  return status->st_ctime + 1 >= NOW;
}

bool invented_file_is_allowed(void) {
  return !it.forbids_files;
}

int invented_memory_file(const char *name) {
  CHECK(!it.forbids_files);
  return it.has_no_memory_files ? -1 : open_file(it.first_free, add_file(NAMELESS, name), 0);
}

int invented_file_fill(int file, const nbuf_initial_items *initial) {
  file_of(file)->initial = initial;
  return it.cannot_fill ? ENOSPC : 0;
}

/* ---- Its processes --------------------------------------------------------------------------- */

uint64_t invented_nanoseconds(void) {
  return it.now;
}

void invented_pause(void) {
  it.now += MS;
  it.pauses++;
  CHECK(it.pauses < 5000);
  let_others_act(IN_A_PAUSE);
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

static int invented_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void)) {
  CHECK(prepare == NULL && parent == NULL);
  it.fork_handler = child;
  return 0;
}

void invented_module_loaded(void) {
  it.loads++;
}

void invented_module_unloaded(void) {
  it.unloads++;
}

void invented_process_forked(void) {
  it.forks++;
}

bool invented_is_unloaded(void) {
  return it.is_unloaded;
}

bool invented_is_privileged(void) {
  return it.is_privileged;
}

bool invented_may_have_parents_id(void) {
  return it.may_have_parents_id;
}

bool invented_predates_process(int file) {
  return file_of(file)->is_older;
}

uint64_t invented_random(void) {
  return it.random;
}

bool invented_name_in_namespace(int64_t process, nbuf_name *name) {
  CHECK_EQUAL(OWN_ID, process);
  *name = nbuf_name_in_namespace_number(process, 9);
  return it.has_namespace;
}

nbuf_path invented_path_of_temporary(int root, const char *prefix) {
  CHECK(root == -1 && prefix[0] == '\0');
  return (nbuf_path){"/tmp"};
}

nbuf_result invented_anchor_find(_Atomic uintptr_t **word) {
  if (it.anchor_finding != NEARBUF_OK) {
    return failed_if(it.anchor_finding);
  }
  *word = &it.word;
  return nbuf_result_of(it.has_anchor ? NEARBUF_OK : NEARBUF_NOT_FOUND);
}

nbuf_result invented_anchor_make(_Atomic uintptr_t **word) {
  let_others_act(IN_ANCHORING);
  it.has_anchor = it.anchor_making == NEARBUF_OK;
  *word = &it.word;
  return failed_if(it.anchor_making);
}

bool invented_anchor_may_be_missing(void) {
  return it.anchor_may_be_missing;
}

void invented_anchor_forked(uintptr_t locator) {
  it.forked_from = locator;
}

#define mmap invented_mmap
#define munmap invented_munmap
#define openat invented_openat
#define close invented_close
#define fstat invented_fstat
#define pread invented_pread
#define fcntl invented_fcntl
#define getrlimit invented_getrlimit
#define unlinkat invented_unlinkat
#define time invented_time
#define geteuid invented_geteuid
#define getpid invented_getpid
#define pthread_atfork invented_atfork
/* NOLINTBEGIN(bugprone-suspicious-include) */
#include "os/posix/full_stub.c"
#include "os/posix/mapped.c"
#include "os/posix/pages.c"
#include "os/posix/unfinished.c"
/* NOLINTEND(bugprone-suspicious-include) */

/* ---- Helpers --------------------------------------------------------------------------------- */

static const nbuf_initial_items *one_item(void) {
  static const nbuf_item item = {.base = 0x10000, .size = 4096};
  static nbuf_initial_items items = {.items = &item, .count = 1};
  items.layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  return &items;
}

/* A locator of this process, with one item, whose file has that name. */
static disk_file *add_locator(int folder, const char *name) {
  disk_file *added = add_file(folder, name);
  added->initial = one_item();
  uintptr_t base = map_file(added);
  nbuf_shared_address_store_release(base, sizeof base, base);
  return added;
}

/* A file under the usual name in which no address is stored yet. */
static disk_file *add_blank(void) {
  return add_file(NBUF_FOLDER_SHARED, OWN_NAME);
}

static int count_read_only(void) {
  int count = 0;
  for (int i = 0; i < it.mapped_count; i++) {
    count += it.mapped[i].shared && !it.mapped[i].writable;
  }
  return count;
}

/* No call leaves anything behind but the page. */
static void check_nothing_left(int read_only) {
  for (int i = it.first_free; i < DESCRIPTORS; i++) {
    CHECK_EQUAL(0, it.open[i].file);
  }
  CHECK_EQUAL(0, it.open_maps);
  CHECK_EQUAL(0, it.open_directories);
  CHECK_EQUAL(read_only, count_read_only());
}

static nbuf_result find(bool wants_private, nbuf_page *page) {
  int read_only = count_read_only();
  nbuf_result result = nbuf_page_find(wants_private, page);
  check_nothing_left(read_only);
  return result;
}

static nbuf_result make(bool wants_private, nbuf_page *page) {
  int read_only = count_read_only();
  nbuf_result result = nbuf_page_find_or_make(one_item(), wants_private, page);
  check_nothing_left(read_only);
  return result;
}

static nbuf_page check_found(uintptr_t base) {
  nbuf_page page;
  CHECK_OK(find(false, &page).status);
  CHECK_EQUAL(base, page.base);
  CHECK(!page.is_made);
  return page;
}

static void check_result(nearbuf_status status, int32_t code, nbuf_result result) {
  CHECK_STATUS(status, result.status);
  CHECK_EQUAL(code, result.system_error);
}

static void check_not_found(nearbuf_status status, int32_t code) {
  nbuf_page page;
  check_result(status, code, find(false, &page));
  CHECK_EQUAL(0, it.word);
}

/* The page that is made lists the items, has its address, and is kept out of children. */
static nbuf_page check_made(void) {
  nbuf_page page;
  CHECK_OK(make(false, &page).status);
  CHECK(page.is_made);
  CHECK_EQUAL(page.base, nbuf_shared_address_relaxed(page.base, sizeof(uintptr_t)));
  CHECK_EQUAL(1, nbuf_format_count(page.base, one_item()->layout));
  CHECK_EQUAL(
      0x10000,
      nbuf_item_read(nbuf_item_at(page.base, one_item()->layout, 0), one_item()->layout).base);
  return page;
}

static void check_shared(int folder, const char *name) {
  nbuf_page page = check_made();
  CHECK(!page.is_private);
  CHECK_EQUAL(0, page.private_reason);
  const disk_file *made = file_named(folder, name);
  CHECK(made != NULL && made->content == page.base);
  CHECK_EQUAL(page.base, it.word);
}

static nbuf_page check_private(int32_t reason) {
  nbuf_page page = check_made();
  CHECK(page.is_private);
  CHECK_EQUAL(reason, page.private_reason);
  CHECK_EQUAL(page.base, it.kept);
  CHECK(mapping_of(page.base)->shared); /* which tells a child that it is not its own */
  CHECK_EQUAL(page.base | NBUF_ANCHOR_PRIVATE, it.word);
  return page;
}

static void forget_anchor(void) {
  it.has_anchor = false;
  it.word = 0;
}

/* Another copy of the library has made the anchor, which leads to a page. */
static void anchor_to(uintptr_t word) {
  it.has_anchor = true;
  it.word = word;
}

static bool has_name(const disk_file *checked) {
  return checked->folder != NAMELESS;
}

/* ---- Finding by a name ----------------------------------------------------------------------- */

TEST(without_files_nothing_is_found_and_nothing_made) {
  it.has_directory[0] = it.has_directory[1] = false;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  CHECK(!it.has_directory[0] && !it.has_directory[1]);
  CHECK_EQUAL(0, it.mapped_count);
  CHECK_EQUAL(0, it.directories_opened);
  it.is_lack_unknown = true;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  CHECK(!it.has_directory[0] && !it.has_directory[1]);
}

TEST(a_locator_is_found_by_its_name_in_either_directory) {
  for (int folder = 0; folder < NBUF_FOLDERS; folder++) {
    disk_file *locator = add_locator(folder, OWN_NAME);
    nbuf_page page = check_found(locator->content);
    CHECK(!page.is_private);
    CHECK_EQUAL(locator->content, it.word & ~(uintptr_t)NBUF_ANCHOR_BELOW_ADDRESS);
    forget_anchor();
    locator->folder = NAMELESS;
    (void)invented_munmap((void *)locator->content, PAGE);
  }
}

/* Only the Rust implementation gives the owner the right to execute the file. */
TEST(the_maker_of_a_locator_without_items_is_known_by_the_files_mode) {
  disk_file *locator = add_locator(NBUF_FOLDER_SHARED, OWN_NAME);
  CHECK_EQUAL(NEARBUF_DIALECT_DOTNET, check_found(locator->content).dialect_if_empty);
  CHECK_EQUAL(NEARBUF_DIALECT_DOTNET, check_found(locator->content).dialect_if_empty);
  forget_anchor();
  locator->mode = S_IFREG | 0755;
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, check_found(locator->content).dialect_if_empty);
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, check_found(locator->content).dialect_if_empty);
}

TEST(a_file_that_another_user_could_have_written_is_not_trusted) {
  disk_file *locator = add_locator(NBUF_FOLDER_SHARED, OWN_NAME);
  locator->owner = USER + 1;
  mapping_of(locator->content)->name_end[0] = '\0'; /* nor by the map */
  check_not_found(NEARBUF_NOT_FOUND, 0);
  locator->owner = USER;
  locator->mode = S_IFREG | 0602;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  locator->mode = S_IFIFO | 0600;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  locator->mode = S_IFREG | 0600;
  (void)check_found(locator->content);
}

/* As a process of another namespace, or another user's. */
TEST(where_another_process_has_the_name_the_second_one_is_looked_for) {
  disk_file *others = add_file(NBUF_FOLDER_SHARED, OWN_NAME);
  disk_file *locator = add_locator(NBUF_FOLDER_SHARED, SECOND_NAME);
  mapping_of(locator->content)->name_end[0] = '\0';
  check_not_found(NEARBUF_NOT_FOUND, 0);
  it.has_namespace = true;
  (void)check_found(locator->content);
  forget_anchor();
  others->owner = USER + 1;
  (void)check_found(locator->content);
  forget_anchor();
  (void)snprintf(locator->name, sizeof locator->name, OWN_NAME);
  locator->folder = NBUF_FOLDER_OF_USER;
  (void)check_found(locator->content);
}

TEST(the_second_name_is_not_looked_for_while_the_first_one_is_free) {
  (void)add_locator(NBUF_FOLDER_SHARED, SECOND_NAME);
  it.has_namespace = true;
  check_shared(NBUF_FOLDER_SHARED, OWN_NAME);
}

/* In a program without standard streams. */
TEST(descriptor_0_is_one_like_any_other) {
  nbuf_page page;
  it.first_free = 0;
  disk_file *dead = add_file(NBUF_FOLDER_SHARED, OWN_NAME);
  dead->address = page_at(0);
  check_not_found(NEARBUF_NOT_FOUND, 0);
  check_shared(NBUF_FOLDER_SHARED, OWN_NAME);
  CHECK_OK(make(true, &page).status);
  CHECK(mapping_of(page.base)->name_end[0] != '\0');
  CHECK_OK(nbuf_page_make_later(one_item(), false, &page).status);
  nbuf_page_discard(&page);
  check_nothing_left(0);
  CHECK(file_named(NBUF_FOLDER_SHARED, LATER_NAME) == NULL);
}

/* A stale file tells the address of a page that its process had. */
TEST(a_file_is_a_locator_only_if_this_process_has_it_mapped_where_it_says) {
  disk_file *locator = add_locator(NBUF_FOLDER_SHARED, OWN_NAME);
  nbuf_mapping *mapping = mapping_of(locator->content);
  mapping->name_end[0] = '\0'; /* so that it is not found by that */
  const nbuf_mapping valid = *mapping;
  mapping->device++;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  *mapping = valid;
  mapping->inode++;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  *mapping = valid;
  mapping->offset = PAGE;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  mapping->offset = 0;
  mapping->shared = false;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  mapping->shared = true;
  mapping->writable = false;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  mapping->writable = true;
  mapping->readable = false;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  mapping->readable = true;
  mapping->range.min -= PAGE;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  *mapping = valid;
  (void)check_found(locator->content);
}

TEST(an_address_that_is_no_pages_or_where_nothing_is_mapped_is_not_this_processs) {
  disk_file *locator = add_locator(NBUF_FOLDER_SHARED, OWN_NAME);
  uintptr_t base = locator->content;
  mapping_of(base)->name_end[0] = '\0';
  locator->content = 0;
  locator->address = base + 4096;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  locator->address = 0;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  locator->address = page_at(0); /* where the next mapping begins above it */
  check_not_found(NEARBUF_NOT_FOUND, 0);
  locator->address = page_at(PAGES); /* above all mappings */
  check_not_found(NEARBUF_NOT_FOUND, 0);
  locator->address = base;
  locator->size = NBUF_LOCATOR_SIZE - 1; /* it is not read */
  check_not_found(NEARBUF_NOT_FOUND, 0);
  locator->size = NBUF_LOCATOR_SIZE;
  (void)check_found(base);
}

/* Without address randomisation it would land there. */
TEST(a_fresh_mapping_of_a_stale_file_does_not_prove_itself) {
  disk_file *locator = add_file(NBUF_FOLDER_SHARED, OWN_NAME);
  locator->address = free_page();
  check_not_found(NEARBUF_NOT_FOUND, 0);
}

TEST(what_prevents_the_proof_is_returned_and_the_file_not_taken_for_stale) {
  disk_file *locator = add_locator(NBUF_FOLDER_SHARED, OWN_NAME);
  mapping_of(locator->content)->name_end[0] = '\0';
  it.map_opening = NEARBUF_OUT_OF_MEMORY;
  check_not_found(NEARBUF_OUT_OF_MEMORY, ANY_ERROR);
  it.map_opening = NEARBUF_OK;
  for (int i = 1; i <= 2; i++) {
    it.queries_until_failure = i;
    check_not_found(NEARBUF_SYSTEM_ERROR, MAP_ERROR);
  }
  it.cannot_map = true;
  check_not_found(NEARBUF_OUT_OF_MEMORY, ENOMEM);
  it.cannot_map = false;
  it.cannot_pread = true;
  check_not_found(NEARBUF_SYSTEM_ERROR, ANY_ERROR);
  it.cannot_pread = false;
  it.stats_until_failure = 1;
  check_not_found(NEARBUF_SYSTEM_ERROR, ANY_ERROR);
  (void)check_found(locator->content);
}

TEST(a_file_that_lacking_descriptors_hide_is_no_foreign_one) {
  disk_file *locator = add_locator(NBUF_FOLDER_SHARED, SECOND_NAME);
  (void)add_file(NBUF_FOLDER_SHARED, OWN_NAME);
  mapping_of(locator->content)->name_end[0] = '\0';
  it.has_namespace = true;
  it.open_error = EMFILE;
  check_not_found(NEARBUF_OUT_OF_MEMORY, EMFILE);
  it.open_error = ELOOP; /* a link */
  (void)check_found(locator->content);
}

TEST(a_directory_that_cannot_be_opened_does_not_hide_the_other_one) {
  disk_file *locator = add_locator(NBUF_FOLDER_OF_USER, OWN_NAME);
  mapping_of(locator->content)->name_end[0] = '\0';
  it.opening[NBUF_FOLDER_SHARED] = nbuf_result_system(NEARBUF_OUT_OF_MEMORY, EMFILE);
  check_not_found(NEARBUF_OUT_OF_MEMORY, EMFILE);
  it.opening[NBUF_FOLDER_SHARED] = nbuf_result_system(NEARBUF_SYSTEM_ERROR, EACCES);
  (void)check_found(locator->content);
}

/* With the same id, in a namespace of its own, a child inherits files and mappings of its name. */
TEST(what_a_child_with_its_parents_id_inherited_is_not_its_own) {
  disk_file *locator = add_locator(NBUF_FOLDER_SHARED, OWN_NAME);
  locator->is_older = true;
  it.may_have_parents_id = true;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  locator->is_older = false;
  (void)check_found(locator->content);
  forget_anchor();
  locator->is_older = true;
  it.may_have_parents_id = false;
  (void)check_found(locator->content);
}

TEST(a_privileged_program_finds_nothing_that_has_a_name) {
  (void)add_locator(NBUF_FOLDER_SHARED, OWN_NAME);
  it.is_privileged = true;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  CHECK_EQUAL(0, it.directories_opened);
}

static uintptr_t filled;

static void list_item_in_third_pause(void) {
  if (it.pauses == 3) {
    nbuf_format_store_count(filled, one_item()->layout, 1);
  }
}

/* Another implementation stores the address before the first item. */
TEST(a_young_locator_is_found_when_its_first_item_is_listed) {
  disk_file *locator = add_locator(NBUF_FOLDER_SHARED, OWN_NAME);
  filled = locator->content;
  nbuf_format_store_count(filled, one_item()->layout, 0);
  it.meanwhile[IN_A_PAUSE] = list_item_in_third_pause;
  (void)check_found(filled);
  CHECK_EQUAL(0, it.pauses);
  forget_anchor();
  locator->changed = NOW;
  (void)check_found(filled);
  CHECK_EQUAL(3, it.pauses);
}

TEST(an_item_that_is_not_listed_is_waited_for_50_ms) {
  disk_file *locator = add_locator(NBUF_FOLDER_SHARED, OWN_NAME);
  nbuf_format_store_count(locator->content, one_item()->layout, 0);
  locator->changed = NOW;
  (void)check_found(locator->content);
  CHECK_EQUAL(50, it.pauses);
}

/* ---- Finding in the map ---------------------------------------------------------------------- */

/* The file lost its name, or its directory; the map still shows it. */
static disk_file *add_lost(int folder) {
  disk_file *lost = add_locator(folder, OWN_NAME);
  lost->folder = NAMELESS;
  return lost;
}

TEST(a_locator_whose_name_was_removed_is_found_in_the_map) {
  for (int folder = 0; folder < NBUF_FOLDERS; folder++) {
    disk_file *lost = add_lost(folder);
    CHECK(!check_found(lost->content).is_private);
    forget_anchor();
    (void)invented_munmap((void *)lost->content, PAGE);
  }
}

/* To search the map costs more than it saves. */
TEST(a_process_that_wants_a_private_page_does_not_search_the_map) {
  nbuf_page page;
  (void)add_lost(NBUF_FOLDER_SHARED);
  CHECK_STATUS(NEARBUF_NOT_FOUND, find(true, &page).status);
  disk_file *locator = add_locator(NBUF_FOLDER_SHARED, OWN_NAME);
  CHECK_OK(find(true, &page).status);
  CHECK_EQUAL(locator->content, page.base);
}

TEST(the_maker_of_a_locator_without_a_name_is_known_by_how_it_is_mapped) {
  uintptr_t base = add_lost(NBUF_FOLDER_SHARED)->content;
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, check_found(base).dialect_if_empty);
  forget_anchor();
  mapping_of(base)->executable = true;
  CHECK_EQUAL(NEARBUF_DIALECT_DOTNET, check_found(base).dialect_if_empty);
}

/* A client could have made a server map it. */
TEST(a_file_in_memory_is_trusted_only_where_no_anchor_leads_to_ours) {
  uintptr_t base = add_locator(NAMELESS, OWN_NAME)->content;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  it.anchor_may_be_missing = true;
  CHECK(check_found(base).is_private);
  CHECK(check_found(base).is_private);
}

TEST(mappings_of_other_names_or_with_another_address_are_passed_over) {
  uintptr_t base = add_lost(NBUF_FOLDER_SHARED)->content;
  nbuf_mapping *mapping = mapping_of(base);
  const nbuf_mapping valid = *mapping;
  (void)snprintf(mapping->name_end, sizeof mapping->name_end, "/home/" OWN_NAME);
  check_not_found(NEARBUF_NOT_FOUND, 0);
  *mapping = valid;
  mapping->offset = PAGE;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  *mapping = valid;
  nbuf_shared_address_store_release(base, sizeof base, base + PAGE);
  check_not_found(NEARBUF_NOT_FOUND, 0);
  /* The one behind it, and below: free pages are given from the top. */
  uintptr_t other = add_lost(NBUF_FOLDER_SHARED)->content;
  nbuf_shared_address_store_release(other, sizeof other, 0);
  nbuf_shared_address_store_release(base, sizeof base, base);
  CHECK(other < base);
  (void)check_found(base);
  nbuf_shared_address_store_release(other, sizeof other, other);
  forget_anchor();
  (void)check_found(other);
}

TEST(the_search_ends_at_the_highest_address) {
  nbuf_mapping *last = add_mapping(0 - (uintptr_t)PAGE);
  last->shared = true;
  check_not_found(NEARBUF_NOT_FOUND, 0);
}

TEST(a_map_that_cannot_be_searched_is_a_failure) {
  (void)add_lost(NBUF_FOLDER_SHARED);
  it.map_opening = NEARBUF_DENIED;
  check_not_found(NEARBUF_DENIED, ANY_ERROR);
  it.map_opening = NEARBUF_OK;
  it.is_unreadable = true;
  check_not_found(NEARBUF_SYSTEM_ERROR, MAP_ERROR);
}

TEST(a_name_in_the_map_proves_nothing_where_it_can_be_the_parents) {
  (void)add_lost(NBUF_FOLDER_SHARED);
  it.may_have_parents_id = true;
  check_not_found(NEARBUF_NOT_FOUND, 0);
}

TEST(the_first_item_of_a_locator_without_a_name_is_waited_for) {
  filled = add_lost(NBUF_FOLDER_SHARED)->content;
  nbuf_format_store_count(filled, one_item()->layout, 0);
  it.meanwhile[IN_A_PAUSE] = list_item_in_third_pause;
  (void)check_found(filled);
  CHECK_EQUAL(3, it.pauses);
}

/* ---- The anchor ------------------------------------------------------------------------------ */

TEST(a_page_is_found_by_the_anchor_before_any_name) {
  uintptr_t base = add_locator(NBUF_FOLDER_SHARED, OWN_NAME)->content;
  uintptr_t other = add_locator(NBUF_FOLDER_SHARED, "other")->content;
  anchor_to(other);
  (void)check_found(other);
  CHECK_EQUAL(0, it.directories_opened);
  nbuf_page page;
  CHECK_OK(make(false, &page).status);
  CHECK(page.base == other && !page.is_made);
  anchor_to(0);
  (void)check_found(base);
}

TEST(what_is_known_of_a_page_is_kept_in_the_anchor) {
  uintptr_t base = add_locator(NAMELESS, "page")->content;
  for (int dialect = 0; dialect <= NEARBUF_DIALECT_RUST; dialect++) {
    for (int is_private = 0; is_private <= 1; is_private++) {
      nbuf_page page = {.base = base, .dialect_if_empty = (nearbuf_dialect)dialect};
      page.is_private = is_private != 0;
      forget_anchor();
      CHECK_OK(attach_to(&page).status);
      nbuf_page found = check_found(base);
      CHECK_EQUAL(dialect, found.dialect_if_empty);
      CHECK_EQUAL(is_private, found.is_private);
    }
  }
}

TEST(why_an_anchor_cannot_be_read_is_returned) {
  nbuf_page page;
  (void)add_locator(NBUF_FOLDER_SHARED, OWN_NAME);
  it.anchor_finding = NEARBUF_OUT_OF_MEMORY;
  check_not_found(NEARBUF_OUT_OF_MEMORY, ANY_ERROR);
  check_result(NEARBUF_OUT_OF_MEMORY, ANY_ERROR, make(false, &page));
}

TEST(where_no_anchor_is_possible_it_works_without) {
  uintptr_t base = add_locator(NBUF_FOLDER_SHARED, OWN_NAME)->content;
  it.anchor_making = NEARBUF_NOT_FOUND;
  (void)check_found(base);
  (void)check_found(base);
  CHECK_EQUAL(0, it.word);
}

static uintptr_t full_stub_at(int index) {
  CHECK_EQUAL(0, invented_map_at(page_at(index), PAGE, PROT_READ | PROT_WRITE));
  (void)invented_munmap((void *)page_at(index), PAGE);
  nbuf_page_leave_full_stub(page_at(index));
  return page_at(index);
}

/* In a child whose anchor was not wiped. */
TEST(an_anchor_that_leads_to_nothing_or_a_full_stub_is_emptied) {
  anchor_to(page_at(0) | NBUF_ANCHOR_PRIVATE);
  check_not_found(NEARBUF_NOT_FOUND, 0);
  anchor_to(full_stub_at(0));
  check_not_found(NEARBUF_NOT_FOUND, 0);
  uintptr_t base = add_locator(NBUF_FOLDER_SHARED, OWN_NAME)->content;
  anchor_to(page_at(0));
  (void)check_found(base);
  CHECK_EQUAL(base, it.word & ~(uintptr_t)NBUF_ANCHOR_BELOW_ADDRESS);
}

TEST(an_anchor_that_leads_to_a_full_locator_is_kept) {
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  uintptr_t base = full_stub_at(0);
  nbuf_mapping *mapping = mapping_of(base);
  anchor_to(base);
  mapping->shared = true; /* all its items were removed */
  (void)check_found(base);
  mapping->shared = false;
  mapping->inode = 5;
  (void)check_found(base);
  mapping->inode = 0;
  mapping->readable = false;
  (void)check_found(base);
  mapping->readable = true;
  mapping->writable = false;
  (void)check_found(base);
  mapping->writable = true;
  nbuf_format_store_count(base, layout, layout->capacity - 1U);
  (void)check_found(base);
  nbuf_format_store_count(base, layout, layout->capacity);
  nbuf_item_write(nbuf_item_at(base, layout, 0), layout, one_item()->items);
  (void)check_found(base);
  nbuf_item_write(nbuf_item_at(base, layout, 0), layout, &(nbuf_item){0});
  nbuf_shared_address_store_release(base, sizeof base, base + PAGE);
  (void)check_found(base);
  CHECK_EQUAL(base, it.word);
}

static uintptr_t first;

static void anchor_other_first(void) {
  anchor_to(first | NBUF_ANCHOR_PRIVATE);
}

TEST(of_two_copies_that_make_pages_the_one_that_sets_the_anchor_is_first) {
  nbuf_page page;
  first = add_locator(NAMELESS, "other")->content;
  it.meanwhile[IN_ANCHORING] = anchor_other_first;
  CHECK_OK(make(false, &page).status);
  CHECK_EQUAL(first, page.base);
  CHECK(page.is_private && !page.is_made);
  CHECK_EQUAL(first | NBUF_ANCHOR_PRIVATE, it.word);
  /* The own one has no name any more, and stays mapped, without an address. */
  CHECK(file_named(NBUF_FOLDER_SHARED, OWN_NAME) == NULL);
  const disk_file *lost = &it.files[it.file_count - 1];
  CHECK(mapping_of(lost->content) != NULL);
  CHECK_EQUAL(0, nbuf_shared_address_relaxed(lost->content, sizeof(uintptr_t)));
}

TEST(a_page_that_was_found_keeps_its_name_where_another_one_is_first) {
  disk_file *locator = add_locator(NBUF_FOLDER_SHARED, OWN_NAME);
  first = add_locator(NAMELESS, "other")->content;
  it.meanwhile[IN_ANCHORING] = anchor_other_first;
  (void)check_found(first);
  CHECK(has_name(locator));
  CHECK_EQUAL(locator->content, nbuf_shared_address_relaxed(locator->content, sizeof(uintptr_t)));
}

TEST(only_its_own_name_is_taken_from_a_page_that_lost) {
  first = add_locator(NAMELESS, "other")->content;
  disk_file *others = add_file(NBUF_FOLDER_OF_USER, OWN_NAME);
  others->address = page_at(0);
  it.meanwhile[IN_ANCHORING] = anchor_other_first;
  nbuf_page page;
  CHECK_OK(make(false, &page).status);
  CHECK(has_name(others));
  CHECK(file_named(NBUF_FOLDER_SHARED, OWN_NAME) == NULL);
}

static void anchor_what_is_published(void) {
  anchor_to(file_named(NBUF_FOLDER_SHARED, OWN_NAME)->content);
}

/* It found the page by its name, before this one made the anchor. */
TEST(another_copy_may_set_the_anchor_to_the_page_that_this_one_made) {
  it.meanwhile[IN_ANCHORING] = anchor_what_is_published;
  check_shared(NBUF_FOLDER_SHARED, OWN_NAME);
}

static void anchor_other_mapping_of_it(void) {
  const disk_file *made = file_named(NBUF_FOLDER_SHARED, OWN_NAME);
  nbuf_mapping *other = add_mapping(page_at(0));
  other->shared = true;
  show_file(other, made);
  anchor_to(other->range.min);
}

TEST(a_page_that_another_implementation_took_is_used_at_its_address) {
  nbuf_page page;
  it.meanwhile[IN_ANCHORING] = anchor_other_mapping_of_it;
  CHECK_OK(make(false, &page).status);
  CHECK_EQUAL(page_at(0), page.base);
  CHECK(page.is_made);
  const disk_file *made = file_named(NBUF_FOLDER_SHARED, OWN_NAME);
  CHECK(made != NULL);
  CHECK_EQUAL(made->content, nbuf_shared_address_relaxed(made->content, sizeof(uintptr_t)));
}

TEST(a_page_without_an_anchor_is_given_up) {
  nbuf_page page;
  it.anchor_making = NEARBUF_OUT_OF_MEMORY;
  check_result(NEARBUF_OUT_OF_MEMORY, ANY_ERROR, make(false, &page));
  CHECK(file_named(NBUF_FOLDER_SHARED, OWN_NAME) == NULL);
  CHECK_EQUAL(0, it.mapped_count);
  CHECK_EQUAL(0, page.base);
}

/* ---- Making a shared page -------------------------------------------------------------------- */

TEST(a_page_is_made_in_the_shared_directory_under_the_usual_name) {
  it.has_directory[0] = it.has_directory[1] = false;
  check_shared(NBUF_FOLDER_SHARED, OWN_NAME);
  CHECK(!it.has_directory[1]);
  CHECK_EQUAL(1, it.makings);
  CHECK_EQUAL(1, it.cleanings);
  CHECK_EQUAL(0, it.pauses);
}

TEST(the_file_of_a_dead_process_is_replaced) {
  disk_file *dead = add_file(NBUF_FOLDER_SHARED, OWN_NAME);
  dead->address = page_at(0);
  check_shared(NBUF_FOLDER_SHARED, OWN_NAME);
  CHECK(!has_name(dead));
}

/* By its lock it is in use: it belongs to a process of another namespace. */
TEST(a_living_processs_file_keeps_its_name_and_the_second_one_is_used) {
  disk_file *others = add_file(NBUF_FOLDER_SHARED, OWN_NAME);
  others->address = page_at(0);
  others->has_owner = true;
  it.has_namespace = true;
  check_shared(NBUF_FOLDER_SHARED, SECOND_NAME);
  CHECK(has_name(others));
}

TEST(where_both_names_are_taken_the_users_directory_is_used) {
  disk_file *others = add_file(NBUF_FOLDER_SHARED, OWN_NAME);
  others->owner = USER + 1;
  check_shared(NBUF_FOLDER_OF_USER, OWN_NAME);
  CHECK(has_name(others));
}

TEST(where_every_name_is_taken_a_page_is_private) {
  add_file(NBUF_FOLDER_SHARED, OWN_NAME)->owner = USER + 1;
  add_file(NBUF_FOLDER_OF_USER, OWN_NAME)->owner = USER + 1;
  (void)check_private(EEXIST);
}

static void end_check_in_third_pause(void) {
  if (it.pauses == 3) {
    file_named(NBUF_FOLDER_SHARED, OWN_NAME)->is_checked = false;
  }
}

static disk_file *add_dead(void) {
  disk_file *dead = add_file(NBUF_FOLDER_SHARED, OWN_NAME);
  dead->address = page_at(0);
  return dead;
}

TEST(while_another_process_checks_whether_a_file_is_dead_it_is_tried_again) {
  (void)add_dead();
  file_named(NBUF_FOLDER_SHARED, OWN_NAME)->is_checked = true;
  it.meanwhile[IN_A_PAUSE] = end_check_in_third_pause;
  check_shared(NBUF_FOLDER_SHARED, OWN_NAME);
  CHECK_EQUAL(3, it.pauses);
  CHECK_EQUAL(4, it.makings);
}

TEST(after_200_ms_of_trying_a_page_is_private) {
  add_dead()->is_checked = true;
  (void)check_private(EBUSY);
  CHECK_EQUAL(200, it.pauses);
}

static void remove_name(void) {
  disk_file *named = file_named(NBUF_FOLDER_SHARED, OWN_NAME);
  if (named != NULL && named->initial == NULL) {
    named->folder = NAMELESS;
  }
}

TEST(a_file_that_was_locked_and_removed_meanwhile_is_not_another_processs) {
  add_dead()->has_owner = true;
  it.meanwhile[IN_LOCKING] = remove_name;
  check_shared(NBUF_FOLDER_SHARED, OWN_NAME);
  CHECK_EQUAL(2, it.makings);
}

static void let_publishing_succeed(void) {
  it.publish_error = 0;
  it.replace_error = 0;
  it.making.status = NEARBUF_OK;
}

TEST(a_file_that_another_process_removed_is_made_again) {
  it.publish_error = ENOENT;
  it.meanwhile[IN_A_PAUSE] = let_publishing_succeed;
  check_shared(NBUF_FOLDER_SHARED, OWN_NAME);
  CHECK_EQUAL(2, it.makings);
  CHECK_EQUAL(1, it.pauses);
  CHECK_EQUAL(1, it.mapped_count);
}

TEST(a_file_that_another_process_removed_before_it_replaced_a_dead_one_is_made_again) {
  (void)add_dead();
  it.replace_error = ENOENT;
  it.meanwhile[IN_A_PAUSE] = let_publishing_succeed;
  nbuf_page page;
  CHECK_OK(make(false, &page).status);
  CHECK(it.pauses > 0);
}

TEST(a_file_that_a_clean_up_locked_is_made_again) {
  it.making = nbuf_result_system(NEARBUF_BUSY, EWOULDBLOCK);
  it.meanwhile[IN_A_PAUSE] = let_publishing_succeed;
  check_shared(NBUF_FOLDER_SHARED, OWN_NAME);
  CHECK_EQUAL(2, it.makings);
}

TEST(what_prevents_a_shared_page_is_the_reason_of_a_private_one) {
  it.publish_error = EROFS;
  (void)check_private(EROFS);
  CHECK_EQUAL(1, it.makings);
  CHECK_EQUAL(0, it.pauses);
  CHECK_EQUAL(0, it.cleanings);
  forget_anchor();
  it.publish_error = 0;
  it.making = nbuf_result_system(NEARBUF_SYSTEM_ERROR, ENOSPC);
  (void)check_private(ENOSPC);
  CHECK_EQUAL(2, it.makings);
  forget_anchor();
  it.making.status = NEARBUF_OK;
  it.opening[NBUF_FOLDER_SHARED] = nbuf_result_system(NEARBUF_SYSTEM_ERROR, EROFS);
  (void)check_private(EROFS);
  forget_anchor();
  it.opening[NBUF_FOLDER_SHARED].status = NEARBUF_OK;
  (void)add_dead();
  it.replace_error = EIO;
  (void)check_private(EIO);
}

TEST(only_a_directory_that_is_another_users_is_replaced_by_the_users_own) {
  it.opening[NBUF_FOLDER_SHARED] = nbuf_result_system(NEARBUF_SYSTEM_ERROR, EACCES);
  check_shared(NBUF_FOLDER_OF_USER, OWN_NAME);
  forget_anchor();
  file_named(NBUF_FOLDER_OF_USER, OWN_NAME)->folder = NAMELESS;
  it.mapped_count = 0;
  it.opening[NBUF_FOLDER_OF_USER] = nbuf_result_system(NEARBUF_SYSTEM_ERROR, EPERM);
  (void)check_private(EACCES); /* of the first one */
  forget_anchor();
  it.directories_opened = 0;
  it.opening[NBUF_FOLDER_SHARED].system_error = EIO;
  (void)check_private(EIO);
  CHECK_EQUAL(1, it.directories_opened);
}

TEST(where_memory_or_descriptors_lack_no_page_is_made) {
  nbuf_page page;
  it.making = nbuf_result_system(NEARBUF_OUT_OF_MEMORY, EMFILE);
  check_result(NEARBUF_OUT_OF_MEMORY, EMFILE, make(false, &page));
  it.making.status = NEARBUF_OK;
  it.opening[NBUF_FOLDER_SHARED] = nbuf_result_system(NEARBUF_OUT_OF_MEMORY, ENFILE);
  check_result(NEARBUF_OUT_OF_MEMORY, ENFILE, make(false, &page));
  CHECK_EQUAL(0, it.mapped_count);
}

static void let_other_copy_make_it(void) {
  it.meanwhile[IN_PUBLISHING] = NULL;
  first = add_locator(NBUF_FOLDER_SHARED, OWN_NAME)->content;
}

TEST(a_page_that_another_copy_published_meanwhile_is_used) {
  nbuf_page page;
  it.meanwhile[IN_PUBLISHING] = let_other_copy_make_it;
  CHECK_OK(make(false, &page).status);
  CHECK_EQUAL(first, page.base);
  CHECK(!page.is_made);
  CHECK_EQUAL(1, it.mapped_count); /* the own one was discarded */
  CHECK_EQUAL(0, it.cleanings);
  forget_anchor();
  CHECK_OK(make(false, &page).status); /* or before anything was made */
  CHECK_EQUAL(first, page.base);
  CHECK_EQUAL(1, it.makings);
}

TEST(an_unknown_file_under_the_name_is_not_replaced) {
  nbuf_page page;
  disk_file *locator = add_locator(NBUF_FOLDER_SHARED, OWN_NAME);
  it.map_opening = NEARBUF_OUT_OF_MEMORY;
  check_result(NEARBUF_OUT_OF_MEMORY, ANY_ERROR, make(false, &page));
  CHECK(has_name(locator));
  CHECK_EQUAL(0, it.makings);
}

static void let_other_copy_make_it_where_the_map_is_unreadable(void) {
  let_other_copy_make_it();
  it.map_opening = NEARBUF_OUT_OF_MEMORY;
}

TEST(one_that_is_unknown_since_it_was_published_is_not_replaced_either) {
  nbuf_page page;
  it.meanwhile[IN_PUBLISHING] = let_other_copy_make_it_where_the_map_is_unreadable;
  check_result(NEARBUF_OUT_OF_MEMORY, ANY_ERROR, make(false, &page));
  CHECK(file_named(NBUF_FOLDER_SHARED, OWN_NAME) != NULL);
  CHECK_EQUAL(1, it.mapped_count);
}

/* ---- A file in the making -------------------------------------------------------------------- */

static void complete_in_third_pause(void) {
  disk_file *blank = file_named(NBUF_FOLDER_SHARED, OWN_NAME);
  if (it.pauses == 3) {
    if (blank->content == 0) {
      blank->initial = one_item();
      (void)map_file(blank);
    }
    nbuf_shared_address_store_release(blank->content, sizeof(uintptr_t), blank->content);
    nbuf_format_store_count(blank->content, one_item()->layout, 1);
  }
}

static void check_waits_for_maker(void) {
  nbuf_page page;
  it.meanwhile[IN_A_PAUSE] = complete_in_third_pause;
  CHECK_OK(make(false, &page).status);
  const disk_file *blank = file_named(NBUF_FOLDER_SHARED, OWN_NAME);
  CHECK(blank != NULL && blank->content == page.base && !page.is_made);
  CHECK_EQUAL(3, it.pauses);
}

static void check_replaces(disk_file *blank, int pauses) {
  check_shared(NBUF_FOLDER_SHARED, OWN_NAME);
  CHECK(!has_name(blank));
  CHECK_EQUAL(pauses, it.pauses);
}

/* Another implementation in this process maps it before it stores the address. */
TEST(a_file_that_this_process_has_mapped_is_waited_for) {
  (void)map_file(add_blank());
  check_waits_for_maker();
}

TEST(a_young_file_is_waited_for) {
  add_blank()->changed = NOW;
  check_waits_for_maker();
}

TEST(a_young_file_that_does_not_appear_in_this_process_is_replaced_after_200_ms) {
  disk_file *blank = add_blank();
  blank->changed = NOW;
  check_replaces(blank, 200);
}

TEST(a_file_that_this_process_has_open_is_waited_for) {
  disk_file *blank = add_blank();
  (void)open_file(0, blank, O_RDWR);
  blank->changed = NOW - 30;
  check_waits_for_maker();
}

TEST(a_file_that_is_open_under_the_last_descriptor_is_waited_for) {
  disk_file *blank = add_blank();
  (void)open_file(9, blank, O_RDONLY);
  it.most_descriptors = 10;
  check_waits_for_maker();
}

TEST(a_file_that_is_open_for_longer_than_30_s_was_abandoned) {
  disk_file *blank = add_blank();
  (void)open_file(0, blank, O_RDWR);
  blank->changed = NOW - 31;
  check_replaces(blank, 0);
}

/* The .NET implementation does not close it then. */
TEST(an_open_file_that_cannot_be_mapped_executable_was_abandoned) {
  disk_file *blank = add_blank();
  (void)open_file(0, blank, O_RDWR);
  it.cannot_run = true;
  check_replaces(blank, 0);
}

/* They check it, too. */
TEST(copies_of_this_library_that_have_a_file_open_do_not_make_it) {
  disk_file *blank = add_blank();
  (void)open_file(0, blank, O_RDWR | O_NONBLOCK);
  check_replaces(blank, 0);
}

TEST(other_open_files_are_not_this_one) {
  disk_file *blank = add_blank();
  (void)open_file(0, add_file(NAMELESS, "other"), O_RDWR);
  check_replaces(blank, 0);
}

TEST(of_a_high_limit_only_the_first_65536_descriptors_are_looked_at) {
  disk_file *blank = add_blank();
  it.most_descriptors = UINT64_C(1) << 20;
  check_replaces(blank, 0);
  CHECK_EQUAL(65536, it.flags_asked);
}

TEST(where_the_limit_is_unknown_no_descriptor_is_looked_at) {
  disk_file *blank = add_blank();
  (void)open_file(0, blank, O_RDWR);
  it.has_no_limit = true;
  check_replaces(blank, 0);
}

TEST(mappings_of_it_that_are_no_locators_are_not_its_makers) {
  disk_file *blank = add_blank();
  uintptr_t page = map_file(blank);
  blank->content = 0;
  mapping_of(page)->offset = PAGE;
  check_replaces(blank, 0);
}

TEST(a_file_is_found_mapped_behind_other_mappings) {
  disk_file *blank = add_blank();
  (void)map_file(blank);
  (void)map_file(add_file(NAMELESS, "other"));
  nbuf_mapping *last = add_mapping(0 - (uintptr_t)PAGE);
  last->shared = true;
  check_waits_for_maker();
}

TEST(another_mapping_up_to_the_highest_address_is_not_the_file) {
  disk_file *blank = add_blank();
  nbuf_mapping *last = add_mapping(0 - (uintptr_t)PAGE);
  last->shared = true;
  check_replaces(blank, 0);
}

/* Not known to be abandoned. */
TEST(while_the_map_cannot_be_read_a_file_is_waited_for) {
  nbuf_page page;
  disk_file *blank = add_blank();
  it.map_opening = NEARBUF_DENIED;
  check_result(NEARBUF_BUSY, EINPROGRESS, make(false, &page));
  CHECK(has_name(blank));
  it.map_opening = NEARBUF_OK;
  it.is_unreadable = true;
  check_result(NEARBUF_BUSY, EINPROGRESS, make(false, &page));
  it.is_unreadable = false;
  it.cannot_map = true;
  check_result(NEARBUF_BUSY, EINPROGRESS, make(false, &page));
  CHECK(has_name(blank));
}

TEST(a_file_of_which_the_system_tells_nothing_is_waited_for) {
  (void)add_blank();
  it.stats_until_failure = 3; /* twice it is examined before */
  nbuf_page page;
  it.meanwhile[IN_A_PAUSE] = complete_in_third_pause;
  CHECK_OK(make(false, &page).status);
  CHECK_EQUAL(1, it.pauses);
}

/* Another page beside it would be a second first one. */
TEST(while_a_file_is_being_made_no_other_page_is_made) {
  nbuf_page page;
  disk_file *blank = add_blank();
  (void)map_file(blank);
  check_result(NEARBUF_BUSY, EINPROGRESS, make(false, &page));
  CHECK_EQUAL(500, it.pauses);
  CHECK(has_name(blank));
  CHECK_EQUAL(1, it.mapped_count);
  CHECK_EQUAL(0, it.word);
}

TEST(a_file_in_the_making_that_loses_its_name_is_not_waited_for) {
  disk_file *blank = add_blank();
  (void)map_file(blank);
  it.meanwhile[IN_A_PAUSE] = remove_name;
  check_shared(NBUF_FOLDER_SHARED, OWN_NAME);
  CHECK_EQUAL(2, it.pauses);
}

static void store_other_address(void) {
  disk_file *blank = file_named(NBUF_FOLDER_SHARED, OWN_NAME);
  blank->address = page_at(0);
}

TEST(a_file_that_another_process_completes_is_replaced_if_that_is_dead) {
  disk_file *blank = add_blank();
  blank->changed = NOW;
  it.meanwhile[IN_A_PAUSE] = store_other_address;
  check_replaces(blank, 1);
}

static void anchor_first_in_third_pause(void) {
  if (it.pauses == 3) {
    anchor_to(first);
  }
}

/* The page that is being made has lost to that one, and stays without an address. */
TEST(while_a_file_is_being_made_another_page_may_become_the_locator) {
  nbuf_page page;
  first = add_locator(NAMELESS, "other")->content;
  (void)map_file(add_blank());
  it.meanwhile[IN_A_PAUSE] = anchor_first_in_third_pause;
  CHECK_OK(make(false, &page).status);
  CHECK_EQUAL(first, page.base);
  CHECK_EQUAL(3, it.pauses);
  CHECK_EQUAL(2, it.mapped_count); /* no third one was made */
}

/* ---- Private pages --------------------------------------------------------------------------- */

TEST(a_private_page_is_a_file_in_memory_with_the_processs_name) {
  nbuf_page page;
  CHECK_OK(make(true, &page).status);
  CHECK(page.is_made && page.is_private);
  CHECK_EQUAL(0, page.private_reason);
  CHECK(strcmp("/memfd:" OWN_NAME " (deleted)", mapping_of(page.base)->name_end) == 0);
  CHECK_EQUAL(0, it.directories_opened);
  CHECK_EQUAL(page.base | NBUF_ANCHOR_PRIVATE, it.word);
}

TEST(where_there_are_no_files_in_memory_a_private_page_has_none) {
  it.publish_error = EROFS;
  it.has_no_memory_files = true;
  CHECK_EQUAL('\0', mapping_of(check_private(EROFS).base)->name_end[0]);
  forget_anchor();
  it.has_no_memory_files = false;
  it.forbids_files = true;
  CHECK_EQUAL('\0', mapping_of(check_private(EROFS).base)->name_end[0]);
  forget_anchor();
  it.forbids_files = false;
  it.cannot_fill = true;
  CHECK_EQUAL('\0', mapping_of(check_private(EROFS).base)->name_end[0]);
}

TEST(a_privileged_program_makes_a_private_page) {
  it.is_privileged = true;
  (void)check_private(EPERM);
  CHECK_EQUAL(0, it.directories_opened);
}

TEST(a_private_page_that_cannot_be_mapped_is_a_lack_of_memory) {
  nbuf_page page;
  it.cannot_map = true;
  check_result(NEARBUF_OUT_OF_MEMORY, ENOMEM, make(true, &page));
  CHECK_EQUAL(0, it.word);
}

/* A file may have lost its name after its maker was stopped in front of the anchor. */
TEST(before_a_page_is_private_one_without_a_name_is_looked_for) {
  nbuf_page page;
  uintptr_t base = add_lost(NBUF_FOLDER_SHARED)->content;
  it.publish_error = EROFS;
  CHECK_OK(make(false, &page).status);
  CHECK(page.base == base && !page.is_made);
  forget_anchor();
  it.map_opening = NEARBUF_OUT_OF_MEMORY;
  check_result(NEARBUF_OUT_OF_MEMORY, ANY_ERROR, make(false, &page));
}

TEST(a_process_that_wants_a_private_page_makes_one_beside_a_name) {
  nbuf_page page;
  (void)add_locator(NBUF_FOLDER_SHARED, OWN_NAME);
  CHECK_OK(make(true, &page).status);
  CHECK(page.is_made && page.is_private);
}

/* ---- Later locators -------------------------------------------------------------------------- */

static nbuf_page make_later(bool is_private) {
  nbuf_page page;
  CHECK_OK(nbuf_page_make_later(one_item(), is_private, &page).status);
  check_nothing_left(0);
  CHECK(page.is_made);
  CHECK_EQUAL(page.base, nbuf_shared_address_relaxed(page.base, sizeof(uintptr_t)));
  CHECK_EQUAL(0, it.word);
  CHECK_EQUAL(0, it.cleanings);
  return page;
}

TEST(a_later_page_has_the_name_of_the_first_with_a_number) {
  it.has_directory[NBUF_FOLDER_OF_USER] = false;
  nbuf_page page = make_later(false);
  CHECK_EQUAL(page.base, file_named(NBUF_FOLDER_SHARED, LATER_NAME)->content);
  nbuf_page_discard(&page);
  check_nothing_left(0);
  CHECK(file_named(NBUF_FOLDER_SHARED, LATER_NAME) == NULL);
  CHECK_EQUAL(0, it.mapped_count);
  CHECK(!it.has_directory[NBUF_FOLDER_OF_USER]);
}

TEST(a_later_page_is_made_beside_the_first_one) {
  disk_file *locator = add_locator(NBUF_FOLDER_SHARED, OWN_NAME);
  nbuf_page page = make_later(false);
  CHECK(page.base != locator->content);
  nbuf_page_discard(&page);
  CHECK(has_name(locator));
  CHECK_EQUAL(1, it.mapped_count);
}

/* Where another process has the name of the first one with that number. */
TEST(a_later_page_in_a_namespace_and_in_the_users_directory_is_discarded_with_its_name) {
  disk_file *others = add_file(NBUF_FOLDER_OF_USER, LATER_NAME);
  others->owner = USER + 1;
  it.has_namespace = true;
  it.opening[NBUF_FOLDER_SHARED] = nbuf_result_system(NEARBUF_SYSTEM_ERROR, EACCES);
  nbuf_page page = make_later(false);
  CHECK_EQUAL(page.base, file_named(NBUF_FOLDER_OF_USER, SECOND_NAME ", later 1f")->content);
  nbuf_page_discard(&page);
  CHECK(file_named(NBUF_FOLDER_OF_USER, SECOND_NAME ", later 1f") == NULL);
  CHECK(has_name(others));
}

TEST(a_number_of_0_is_replaced_by_1) {
  it.random = (uint64_t)1 << 32;
  (void)make_later(false);
  CHECK(file_named(NBUF_FOLDER_SHARED, NBUF_NAME_PREFIX "42, later 1") != NULL);
}

TEST(a_later_page_of_a_private_or_privileged_process_has_no_name) {
  nbuf_page page = make_later(true);
  CHECK(strcmp("/memfd:" LATER_NAME " (deleted)", mapping_of(page.base)->name_end) == 0);
  nbuf_page_discard(&page);
  CHECK_EQUAL(0, it.mapped_count);
  it.is_privileged = true;
  (void)make_later(false);
  CHECK_EQUAL(0, it.directories_opened);
}

TEST(a_later_page_that_cannot_be_shared_is_private_and_one_without_memory_is_not_made) {
  nbuf_page page;
  it.publish_error = EROFS;
  page = make_later(false);
  CHECK(strcmp("/memfd:" LATER_NAME " (deleted)", mapping_of(page.base)->name_end) == 0);
  it.making = nbuf_result_system(NEARBUF_OUT_OF_MEMORY, EMFILE);
  check_result(NEARBUF_OUT_OF_MEMORY, EMFILE, nbuf_page_make_later(one_item(), false, &page));
  it.opening[NBUF_FOLDER_SHARED] = nbuf_result_system(NEARBUF_OUT_OF_MEMORY, ENFILE);
  check_result(NEARBUF_OUT_OF_MEMORY, ENFILE, nbuf_page_make_later(one_item(), false, &page));
  it.cannot_map = true;
  check_result(NEARBUF_OUT_OF_MEMORY, ENOMEM, nbuf_page_make_later(one_item(), true, &page));
}

/* ---- Addresses that another implementation changed ------------------------------------------- */

TEST(a_page_that_another_implementation_mapped_again_gets_its_address_back) {
  disk_file *locator = add_locator(NBUF_FOLDER_SHARED, OWN_NAME);
  uintptr_t base = locator->content;
  nbuf_mapping *again = add_mapping(page_at(0));
  again->shared = true;
  show_file(again, locator);
  nbuf_shared_address_store_release(base, sizeof base, page_at(0));
  nbuf_page_restore_address(base);
  CHECK_EQUAL(base, nbuf_shared_address_relaxed(base, sizeof base));
  check_nothing_left(0);
}

TEST(an_address_of_anything_else_is_left) {
  uintptr_t base = add_locator(NBUF_FOLDER_SHARED, OWN_NAME)->content;
  nbuf_mapping *other = add_mapping(page_at(0));
  other->shared = true;
  nbuf_shared_address_store_release(base, sizeof base, page_at(0));
  nbuf_page_restore_address(base);
  CHECK_EQUAL(page_at(0), nbuf_shared_address_relaxed(base, sizeof base));
  mapping_of(base)->inode = mapping_of(base)->device = 0; /* no file: two are not the same */
  nbuf_page_restore_address(base);
  CHECK_EQUAL(page_at(0), nbuf_shared_address_relaxed(base, sizeof base));
  nbuf_shared_address_store_release(base, sizeof base, page_at(1));
  nbuf_page_restore_address(base);
  CHECK_EQUAL(page_at(1), nbuf_shared_address_relaxed(base, sizeof base));
}

/* ---- Children -------------------------------------------------------------------------------- */

TEST(buffers_do_not_lie_in_a_page_that_children_share) {
  CHECK(!nbuf_page_lists_tail());
}

TEST(a_shared_page_is_kept_out_of_children_and_a_heap_is_not) {
  uintptr_t base = add_locator(NBUF_FOLDER_SHARED, OWN_NAME)->content;
  CHECK(nbuf_page_keep_from_children(base + 4096));
  CHECK_EQUAL(base, it.kept);
  it.kept = 0;
  mapping_of(base)->shared = false;
  CHECK(!nbuf_page_keep_from_children(base));
  mapping_of(base)->shared = true;
  mapping_of(base)->range.max -= PAGE / 2;
  CHECK(!nbuf_page_keep_from_children(base));
  it.mapped_count = 0;
  CHECK(!nbuf_page_keep_from_children(base));
  CHECK_EQUAL(0, it.kept);
  CHECK_EQUAL(0, it.open_maps);
}

static void check_full_stub(uintptr_t base) {
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  CHECK_EQUAL(base, nbuf_shared_address_relaxed(base, sizeof base));
  CHECK_EQUAL(layout->capacity, nbuf_format_count(base, layout));
  CHECK_EQUAL(0, nbuf_item_read(nbuf_item_at(base, layout, 0), layout).base);
}

TEST(where_a_locator_was_a_child_has_full_stubs_without_items) {
  memory[1][0] = 'x';
  nbuf_page_leave_full_stub(page_at(0) + 4096);
  CHECK_EQUAL('x', memory[1][0]);
  CHECK(!mapping_of(page_at(0))->shared);
  check_full_stub(page_at(0));
  check_full_stub(page_at(0) + 4096);
}

TEST(what_a_child_inherited_is_replaced_where_the_system_could_not_keep_it_out) {
  uintptr_t base = add_locator(NBUF_FOLDER_SHARED, OWN_NAME)->content;
  it.is_inherited = true;
  nbuf_page_leave_full_stub(page_at(0)); /* nothing is there */
  check_full_stub(page_at(0));
  it.is_inherited = false;
  nbuf_page_leave_full_stub(base); /* it is something new */
  CHECK_EQUAL(1, nbuf_format_count(base, one_item()->layout));
  it.is_inherited = true;
  mapping_of(base)->shared = false;
  nbuf_page_leave_full_stub(base);
  CHECK_EQUAL(1, nbuf_format_count(base, one_item()->layout));
  mapping_of(base)->shared = true;
  nbuf_page_leave_full_stub(base);
  CHECK(!mapping_of(base)->shared);
  check_full_stub(base);
}

static uintptr_t link_of(uintptr_t locator) {
  return nbuf_shared_link_acquire(locator + one_item()->layout->next);
}

TEST(the_childs_first_locator_is_linked_behind_full_stubs) {
  uintptr_t parents = full_stub_at(0);
  uintptr_t grandparents = full_stub_at(1);
  uintptr_t base = add_locator(NBUF_FOLDER_SHARED, OWN_NAME)->content;
  nbuf_page_link_full_stub(grandparents, parents);
  CHECK_EQUAL(parents, link_of(grandparents));
  nbuf_page_link_full_stub(grandparents, base);
  CHECK_EQUAL(base, link_of(parents));
  nbuf_page_link_full_stub(grandparents, base); /* once more */
  CHECK_EQUAL(0, link_of(base));
  nbuf_page_link_full_stub(base, parents); /* it is none */
  CHECK_EQUAL(0, link_of(base));
  nbuf_page_link_full_stub(parents, parents);
  CHECK_EQUAL(0, it.open_maps);
}

TEST(a_stub_is_not_linked_behind_itself) {
  uintptr_t stub = full_stub_at(0);
  nbuf_page_link_full_stub(stub, stub);
  CHECK_EQUAL(0, link_of(stub));
}

TEST(a_stub_that_was_unmapped_is_not_read) {
  uintptr_t stub = full_stub_at(0);
  (void)full_stub_at(1);
  (void)invented_munmap((void *)stub, PAGE);
  nbuf_page_link_full_stub(stub, page_at(2));
  CHECK_EQUAL(0, link_of(stub));
}

TEST(stubs_that_form_a_ring_end_the_search) {
  uintptr_t one = full_stub_at(0);
  uintptr_t other = full_stub_at(1);
  nbuf_page_link_full_stub(one, other);
  nbuf_page_link_full_stub(other, one);
  nbuf_page_link_full_stub(one, page_at(2));
  CHECK_EQUAL(other, link_of(one));
}

TEST(a_child_empties_its_parents_anchor_and_begins_anew) {
  CHECK_EQUAL(1, it.loads);
  CHECK(it.fork_handler != NULL);
  it.fork_handler();
  CHECK_EQUAL(0, it.forked_from);
  CHECK_EQUAL(1, it.forks);
  uintptr_t base = check_made().base;
  it.fork_handler();
  CHECK_EQUAL(base, it.forked_from);
  CHECK_EQUAL(2, it.forks);
}

TEST(the_page_that_another_copy_made_is_its_parents_for_a_child) {
  uintptr_t base = add_locator(NBUF_FOLDER_SHARED, OWN_NAME)->content;
  anchor_to(base);
  (void)check_found(base);
  it.fork_handler();
  CHECK_EQUAL(base, it.forked_from);
}

TEST(a_module_that_is_unloaded_ends_and_one_whose_process_ends_does_not) {
  end_module();
  CHECK_EQUAL(0, it.unloads);
  it.is_unloaded = true;
  end_module();
  CHECK_EQUAL(1, it.unloads);
  it.is_unloaded = false;
}
