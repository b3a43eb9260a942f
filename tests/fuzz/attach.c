/* Fuzz target: attaching to any file under the real name.
 *
 * An input says what kind of file that is, which process made it, whether this process has it
 * mapped, and its bytes. The call must end in a new locator, in the use of a sound one, or in a
 * clear status with nothing written. Each input finds the library as a new process would: its state
 * is wiped, and what it mapped is unmapped. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/format.h"
#include "core/state.h"
#include "fuzz.h"
#include "locator_names.h"
#include "os/pages.h"
#include "os/posix/files.h"
#include "own_tmp.h"

/* ---- What the library asks of the system ----------------------------------------------------- */

enum { MOST_MAPPINGS = 64 };

static struct {
  nbuf_range mappings[MOST_MAPPINGS]; /* that the library made and has not undone */
  int count;
  bool is_in_library;
  uint64_t nanoseconds; /* no real waiting for the bound of a lock: each query advances the clock */
} system_calls;

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker gives these names */
void *__real_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __real_munmap(void *address, size_t size);
int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __real_nanosleep(const struct timespec *pause, struct timespec *left);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __wrap_munmap(void *address, size_t size);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_nanosleep(const struct timespec *pause, struct timespec *left);

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
  void *got = __real_mmap(address, size, protection, flags, file, offset);
  if (system_calls.is_in_library && got != MAP_FAILED) {
    require(system_calls.count < MOST_MAPPINGS);
    system_calls.mappings[system_calls.count++] =
        (nbuf_range){(uintptr_t)got, (uintptr_t)got + size - 1};
  }
  return got;
}

int __wrap_munmap(void *address, size_t size) {
  for (int i = 0; system_calls.is_in_library && i < system_calls.count; i++) {
    if (system_calls.mappings[i].min == (uintptr_t)address) {
      system_calls.mappings[i] = system_calls.mappings[--system_calls.count];
      break;
    }
  }
  return __real_munmap(address, size);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now) {
  if (!system_calls.is_in_library || clock != CLOCK_MONOTONIC) {
    return __real_clock_gettime(clock, now);
  }
  system_calls.nanoseconds += 10000000;
  now->tv_sec = (time_t)(system_calls.nanoseconds / 1000000000);
  now->tv_nsec = (long)(system_calls.nanoseconds % 1000000000);
  return 0;
}

int __wrap_nanosleep(const struct timespec *pause, struct timespec *left) {
  return system_calls.is_in_library ? 0 : __real_nanosleep(pause, left);
}

/* NOLINTEND(bugprone-reserved-identifier) */

static bool is_made_by_library(uintptr_t address, size_t size) {
  for (int i = 0; i < system_calls.count; i++) {
    if (nbuf_range_holds(system_calls.mappings[i], address, size)) {
      return true;
    }
  }
  return false;
}

/* ---- The scene ------------------------------------------------------------------------------- */

enum {
  PAGE = 4096,
  ARENA =
      1 << 20, /* memory that items may list; the two pages of the file are mapped right after it */
  FILE_SIZE = 2 * PAGE
};

enum kind { REGULAR, LINK, DIRECTORY, PIPE, STRANGERS, WORLD_WRITABLE, NO_FILE, KINDS };

/* Bits of the second byte. */
enum {
  IS_MAPPED = 1,
  HAS_OWNER_EXECUTE = 2, /* as a file of the Rust implementation */
  IS_LOCKED = 4,         /* by a process that is alive */
  HAS_SECOND = 8,        /* the first locator's link leads to the second page */
  ITEMS_IN_ARENA = 16,
  SMALL_ITEMS = 32,
  IS_READ_ONLY = 64,
  IS_SHORT = 128 /* the file ends where the input does */
};

/* Bits of the third. */
enum { IS_RUST = 1, REQUEST_IN_ARENA = 2, REQUEST_LARGE = 4, SECOND_IS_SOUND = 8 };

typedef struct scene {
  enum kind kind;
  uint8_t how;
  uint8_t choice;
  uint8_t image[FILE_SIZE];
  size_t size;
  int lock; /* keeps the lock of the file; -1: none */
} scene;

static char directory[] = LOCATOR_DIRECTORY;
static unsigned char *arena;

static unsigned char *file_pages(void) {
  return arena + ARENA;
}

static void set_up_once(void) {
  if (arena != NULL) {
    return;
  }
  (void)use_own_tmp(); /* else the file has a name of this process in the machine's /tmp */
  (void)mkdir(SHARED_PARENT, 0777);
  (void)mkdir(directory, 0777);
  nbuf_state *state;
  require(nbuf_state_begin(&state).status == NEARBUF_OK);
  arena = __real_mmap(NULL, ARENA + FILE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  require(arena != MAP_FAILED);
}

static void make_items_plausible(scene *what, unsigned char *locator) {
  for (uint32_t i = 0; i < NBUF_CAPACITY_64 && (what->how & ITEMS_IN_ARENA) != 0; i++) {
    unsigned char *item = locator + 24 + (size_t)i * 20;
    uint64_t base;
    memcpy(&base, item, sizeof base);
    base = (uintptr_t)arena + base % ARENA;
    memcpy(item, &base, sizeof base);
    if ((what->how & SMALL_ITEMS) != 0) {
      unsigned char *size = item + ((what->choice & IS_RUST) != 0 ? 8 : 12);
      size[2] = 0;
      size[3] = 0;
    }
  }
}

/* A link in the input leads into the arena or to an address that cannot exist, but not into memory
 * of a sanitizer, which must not be read although it is mapped. */
static void make_link_harmless(unsigned char *locator) {
  uint64_t link;
  memcpy(&link, locator + 8, sizeof link);
  if (link >= PAGE) {
    bool is_in_arena = (link >> 56 & 1) != 0;
    link = is_in_arena ? (uintptr_t)arena + link % (ARENA + FILE_SIZE) : link | UINT64_C(1) << 62;
    memcpy(locator + 8, &link, sizeof link);
  }
}

static void read_scene(fuzz_input input, scene *what) {
  memset(what, 0, sizeof *what);
  what->lock = -1;
  what->kind = (enum kind)(fuzz_byte(&input) % KINDS);
  what->how = fuzz_byte(&input);
  what->choice = fuzz_byte(&input);
  size_t given = input.left < FILE_SIZE ? input.left : FILE_SIZE;
  memcpy(what->image, input.data, given);
  bool is_short = (what->how & IS_SHORT) != 0 && (what->how & IS_MAPPED) == 0;
  what->size = is_short ? given : FILE_SIZE;
  make_items_plausible(what, what->image);
  make_items_plausible(what, what->image + PAGE);
  make_link_harmless(what->image);
  make_link_harmless(what->image + PAGE);
  if ((what->how & IS_MAPPED) != 0) {
    uint64_t addresses[2] = {(uintptr_t)file_pages(), (uintptr_t)file_pages() + PAGE};
    memcpy(what->image, &addresses[0], 8);
    if ((what->how & HAS_SECOND) != 0) {
      memcpy(what->image + 8, &addresses[1], 8);
    }
    if ((what->choice & SECOND_IS_SOUND) != 0) {
      memcpy(what->image + PAGE, &addresses[1], 8);
    }
  }
}

static void write_file(const char *path, const scene *what) {
  int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  require(file >= 0);
  require(write(file, what->image, what->size) == (ssize_t)what->size);
  bool is_executable = (what->how & HAS_OWNER_EXECUTE) != 0;
  mode_t mode = (mode_t)((is_executable ? 0700 : 0600) | (what->kind == WORLD_WRITABLE ? 2 : 0));
  require(fchmod(file, mode) == 0);
  if (what->kind == STRANGERS) {
    (void)!fchown(file, 1, 1); /* as a user other than root it stays ours, and is a regular file */
  }
  if ((what->how & IS_MAPPED) != 0) {
    int protection = (what->how & IS_READ_ONLY) != 0 ? PROT_READ : PROT_READ | PROT_WRITE;
    void *got = __real_mmap(file_pages(), FILE_SIZE, protection, MAP_SHARED | MAP_FIXED, file, 0);
    require(got == file_pages());
  }
  close(file);
}

static nbuf_name path_of_name(void) {
  nbuf_name own = nbuf_name_of_process(getpid());
  nbuf_name path;
  int length = snprintf(path.text, sizeof path.text, "%s/%s", directory, own.text);
  require(length > 0 && (size_t)length < sizeof path.text);
  return path;
}

static void set_scene(scene *what) {
  nbuf_name path = path_of_name();
  switch (what->kind) {
  case LINK:
    require(symlink("/tmp/elsewhere", path.text) == 0);
    break;
  case DIRECTORY:
    require(mkdir(path.text, 0700) == 0);
    break;
  case PIPE:
    require(mkfifo(path.text, 0600) == 0);
    break;
  case NO_FILE:
    break;
  default:
    write_file(path.text, what);
    if ((what->how & IS_LOCKED) != 0) {
      what->lock = open(path.text, O_RDONLY | O_CLOEXEC);
      require(what->lock >= 0 && flock(what->lock, LOCK_SH | LOCK_NB) == 0);
    }
    break;
  }
}

static void remove_later_names(void) {
  DIR *names = opendir(directory);
  const struct dirent *entry;
  while (names != NULL && (entry = readdir(names)) != NULL) {
    if (nbuf_name_process(entry->d_name) == getpid() && nbuf_name_is_of_later(entry->d_name)) {
      (void)unlinkat(dirfd(names), entry->d_name, 0);
    }
  }
  if (names != NULL) {
    (void)closedir(names);
  }
}

/* Removes every name of this process and every mapping of the library. */
static void clear_scene(const scene *what) {
  if (what->lock >= 0) {
    close(what->lock);
  }
  nbuf_name own = path_of_name();
  (void)rmdir(own.text);
  (void)unlink(own.text);
  nbuf_name in_namespace;
  char path[256];
  if (nbuf_name_in_namespace(getpid(), &in_namespace)) {
    (void)snprintf(path, sizeof path, "%s/%s", directory, in_namespace.text);
    (void)unlink(path);
  }
  remove_later_names();
  for (int i = 0; i < system_calls.count; i++) {
    nbuf_range made = system_calls.mappings[i];
    (void)__real_munmap((void *)made.min, made.max - made.min + 1);
  }
  system_calls.count = 0;
  void *got = __real_mmap(file_pages(), FILE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  require(got == file_pages());
  nbuf_state_wipe();
  nbuf_state *state;
  require(nbuf_state_begin(&state).status == NEARBUF_OK);
}

/* ---- What must hold -------------------------------------------------------------------------- */

/* Whether the library may trust the file as the locator of this process. */
static bool is_own(const scene *what) {
  /* An untrusted file counts if it is mapped: code of this process did that. */
  bool is_regular =
      what->kind == REGULAR || what->kind == STRANGERS || what->kind == WORLD_WRITABLE;
  return is_regular && (what->how & IS_MAPPED) != 0 && (what->how & IS_READ_ONLY) == 0;
}

/* Whether it is a file that something in this process has open and has not written an address into
 * yet: a first locator that is being made, as far as the library can know. */
static bool is_being_made(const scene *what) {
  static const uint8_t none[sizeof(uintptr_t)] = {0};
  return what->kind == REGULAR && (what->how & IS_LOCKED) != 0 &&
         (what->size < sizeof none || memcmp(what->image, none, sizeof none) == 0);
}

static nearbuf_request make_request(const scene *what) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = (what->choice & REQUEST_LARGE) != 0 ? 100000 : 64;
  if ((what->choice & REQUEST_IN_ARENA) != 0) {
    request.range = (nearbuf_range){(uintptr_t)arena, (uintptr_t)arena + ARENA - 1};
  }
  return request;
}

static void check_buffer(const scene *what, const nearbuf_request *request,
                         nearbuf_buffer *buffer) {
  uintptr_t address = nearbuf_buffer_address(buffer);
  size_t size = nearbuf_buffer_size(buffer);
  require(nearbuf_buffer_room(buffer) >= request->size_bytes);
  if ((what->how & IS_MAPPED) != 0) {
    uintptr_t locators = (uintptr_t)file_pages();
    nbuf_range pages = {locators, locators + FILE_SIZE - 1};
    nbuf_range handed_out = {address, address + (size - 1)};
    require(!nbuf_range_overlaps(pages, handed_out));
  }
  nbuf_range all_of_arena = {(uintptr_t)arena, (uintptr_t)arena + ARENA - 1};
  if (is_made_by_library(address, size) || nbuf_range_holds(all_of_arena, address, size)) {
    static const unsigned char bytes[64] = "what is appended is there";
    void *at;
    require(nearbuf_append(buffer, bytes, sizeof bytes, &at) == NEARBUF_OK);
    require(nbuf_range_holds(request->range, (uintptr_t)at, sizeof bytes));
    require(memcmp(at, bytes, sizeof bytes) == 0);
  }
  require(nearbuf_release(buffer) == NEARBUF_OK);
}

static nearbuf_status get(const scene *what, const nearbuf_request *request) {
  nearbuf_buffer buffer;
  nearbuf_status status = nearbuf_get(request, &buffer);
  if (status == NEARBUF_OK) {
    check_buffer(what, request, &buffer);
  } else {
    require(buffer.item == 0 && buffer.address == 0 && nearbuf_buffer_size(&buffer) == 0);
  }
  return status;
}

static void look(void) {
  nearbuf_totals totals;
  nearbuf_status status = nearbuf_get_totals(&totals);
  require(status == NEARBUF_OK || status == NEARBUF_INCOMPATIBLE);
  nearbuf_walk walk = {0};
  nearbuf_info info;
  uint64_t count = 0;
  while (nearbuf_next(&walk, &info) == NEARBUF_OK) {
    count++;
  }
  require(count == totals.buffers);
  require(nearbuf_find(arena, &info) != NEARBUF_OK || info.size_bytes != 0);
}

static void check_fresh(void) {
  nearbuf_totals totals;
  require(nearbuf_get_totals(&totals) == NEARBUF_OK);
  require(totals.first_locator != 0 && is_made_by_library(totals.first_locator, NBUF_LOCATOR_SIZE));
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  require(nbuf_format_check(totals.first_locator, layout, totals.first_locator, NULL) ==
          NBUF_FAULT_NONE);
}

/* Whether all of the memory of the items that were counted again is mapped. */
static bool is_count_restored(const uint8_t *page, const scene *what) {
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  uint32_t before = nbuf_format_count((uintptr_t)what->image, layout);
  uint32_t count = nbuf_format_count((uintptr_t)page, layout);
  for (uint32_t i = before; i < count; i++) {
    uintptr_t base;
    memcpy(&base, page + nbuf_item_at(0, layout, i), sizeof base);
    if (base != 0 && msync((void *)(base - base % PAGE), PAGE, MS_ASYNC) != 0) {
      return false;
    }
  }
  return before <= count;
}

/* But for the count, which is raised if another library may have cleared it, and the link, which is
 * stored a second time in the last empty slot. */
static bool is_page_unchanged(const scene *what) {
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_UNKNOWN);
  uint8_t page[PAGE];
  memcpy(page, file_pages(), PAGE);
  if (!is_count_restored(page, what)) {
    return false;
  }
  page[layout->count] = what->image[layout->count];
  page[layout->count_dotnet] = what->image[layout->count_dotnet];
  uintptr_t second = nbuf_item_at(0, layout, NBUF_FIRST_SLOT) - sizeof(uintptr_t);
  if (memcmp(page + second, page + layout->next, sizeof(uintptr_t)) == 0) {
    memcpy(page + second, what->image + second, sizeof(uintptr_t));
  }
  return memcmp(page, what->image, PAGE) == 0;
}

static void run(const scene *what) {
  nearbuf_request request = make_request(what);
  look();
  nearbuf_status status = get(what, &request);
  bool is_possible = (what->choice & REQUEST_IN_ARENA) == 0;
  if (!is_own(what)) {
    require(status == (is_possible ? NEARBUF_OK : NEARBUF_NO_ROOM) ||
            (status == NEARBUF_BUSY && is_being_made(what)));
  } else if (status == NEARBUF_INCOMPATIBLE) {
    require(is_page_unchanged(what));
  } else {
    require(status == NEARBUF_OK || (status == NEARBUF_NO_ROOM && !is_possible));
  }
  look();
  nearbuf_status again = get(what, &request);
  require(again == status || (!is_possible && again == NEARBUF_NO_ROOM) ||
          again == NEARBUF_INCOMPATIBLE);
  if (!is_own(what) && is_possible && again == NEARBUF_OK) {
    check_fresh();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  set_up_once();
  scene what;
  fuzz_input input = {data, size};
  read_scene(input, &what);
  set_scene(&what);
  system_calls.is_in_library = true;
  run(&what);
  system_calls.is_in_library = false;
  clear_scene(&what);
  return 0;
}
