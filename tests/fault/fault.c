/* Every system call of every public function fails, at every place; other actors interfere before
 * every one of them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/format.h"
#include "core/state.h"
#include "locator_names.h"
#include "os/posix/files.h"
#include "request.h"
#include "scene.h"
#include "test.h"

enum { SMALL = 64, LARGE = 1 << 20, PAGE = 4096 };

/* ---- Calls ----------------------------------------------------------------------------------- */

static const unsigned char bytes[SMALL] = "what is appended stays";

static void check_empty(const nearbuf_buffer *buffer) {
  nearbuf_buffer empty = {.system_error = buffer->system_error};
  CHECK_EQUAL(0, memcmp(&empty, buffer, sizeof empty));
}

static nearbuf_status get(const nearbuf_request *request) {
  nearbuf_buffer buffer;
  memset(&buffer, 0xAA, sizeof buffer);
  nearbuf_status status = nearbuf_get(request, &buffer);
  last_system_error = buffer.system_error;
  if (status != NEARBUF_OK) {
    check_empty(&buffer);
    return status;
  }
  void *address;
  CHECK_OK(nearbuf_append(&buffer, bytes, sizeof bytes, &address));
  CHECK(nbuf_range_holds(request->range, (uintptr_t)address, request->size_bytes));
  CHECK_EQUAL(0, memcmp(address, bytes, sizeof bytes));
  CHECK_OK(nearbuf_release(&buffer));
  return status;
}

static nearbuf_status get_small(void) {
  nearbuf_request request = request_of(SMALL);
  return get(&request);
}

static nearbuf_status get_large(void) {
  nearbuf_request request = request_of(LARGE);
  return get(&request);
}

static nearbuf_status get_near(void) {
  nearbuf_request request;
  CHECK_OK(nearbuf_request_near(&bytes, SMALL, &request));
  return get(&request);
}

static uintptr_t stack;

static nearbuf_status get_below_stack(void) {
  nearbuf_request request = request_of(SMALL);
  request.range = (nearbuf_range){stack - (32 << 20), stack};
  request.target = stack;
  return get(&request);
}

static nbuf_range full_range;

static nearbuf_status get_in_full_range(void) {
  nearbuf_request request = request_of(SMALL);
  request.range = full_range;
  return get(&request);
}

static void check_placed(nearbuf_status status, const nearbuf_memory *placed, size_t size) {
  last_system_error = placed->system_error;
  if (status == NEARBUF_OK) {
    CHECK_EQUAL(size, placed->size_bytes);
    CHECK_EQUAL(0, memcmp(placed->run_at, bytes, size));
  } else {
    CHECK(placed->run_at == NULL && placed->write_to == NULL && placed->size_bytes == 0);
  }
}

static nearbuf_status place(void) {
  nearbuf_request request = request_of(SMALL);
  nearbuf_memory placed;
  nearbuf_status status = nearbuf_place(&request, bytes, &placed);
  check_placed(status, &placed, SMALL);
  return status;
}

static ptrdiff_t write_half(const nearbuf_memory *room, void *context) {
  (void)context;
  memcpy(room->write_to, bytes, SMALL / 2);
  return SMALL / 2;
}

static nearbuf_status place_with(void) {
  nearbuf_request request = request_of(SMALL);
  nearbuf_memory placed;
  nearbuf_status status = nearbuf_place_with(&request, write_half, NULL, &placed);
  check_placed(status, &placed, SMALL / 2);
  return status;
}

static nearbuf_memory allocated;

static nearbuf_status allocate(void) {
  nearbuf_request request = request_of(LARGE);
  nearbuf_status status = nearbuf_allocate(&request, &allocated);
  last_system_error = allocated.system_error;
  if (status == NEARBUF_OK) {
    CHECK_EQUAL(LARGE, allocated.size_bytes);
    memset(allocated.write_to, 0x90, allocated.size_bytes);
    private_bytes += allocated.size_bytes;
  } else {
    CHECK(allocated.run_at == NULL && allocated.size_bytes == 0);
  }
  return status;
}

/* Frees the memory if there is any; freeing it again would be a caller's error. */
static nearbuf_status free_allocated(void) {
  if (allocated.run_at == NULL) {
    return NEARBUF_OK;
  }
  nearbuf_memory before = allocated;
  nearbuf_status status = nearbuf_free(&allocated);
  if (status == NEARBUF_OK) {
    private_bytes -= before.size_bytes;
    CHECK(allocated.run_at == NULL);
  } else {
    last_system_error = allocated.system_error;
    CHECK(allocated.run_at == before.run_at && allocated.size_bytes == before.size_bytes);
  }
  return status;
}

static unsigned char *code;

static nearbuf_status overwrite(void) {
  memset(code, 0, 8);
  nearbuf_status status = nearbuf_overwrite(code, bytes, 8, &last_system_error);
  CHECK_EQUAL(status == NEARBUF_OK, memcmp(code, bytes, 8) == 0);
  return status;
}

static nearbuf_status overwrite_with(void) {
  memset(code, 0, SMALL);
  nearbuf_status status = nearbuf_overwrite_with(code, SMALL, write_half, NULL, &last_system_error);
  CHECK_EQUAL(status == NEARBUF_OK, memcmp(code, bytes, SMALL / 2) == 0);
  return status;
}

static nearbuf_status find(void) {
  nearbuf_info info;
  nearbuf_status status = nearbuf_find(code, &info);
  CHECK(status == NEARBUF_OK ? (uintptr_t)code - info.address < info.size_bytes
                             : info.size_bytes == 0);
  return status;
}

static nearbuf_status next(void) {
  nearbuf_walk walk = {0};
  nearbuf_info info;
  nearbuf_status status = nearbuf_next(&walk, &info);
  CHECK_EQUAL(status == NEARBUF_OK, info.size_bytes != 0);
  return status;
}

static nearbuf_status get_totals(void) {
  nearbuf_totals totals;
  nearbuf_status status = nearbuf_get_totals(&totals);
  CHECK_EQUAL(status == NEARBUF_OK, totals.locators != 0);
  return status;
}

static nearbuf_status choose_dialect(void) {
  return nearbuf_choose_dialect(NEARBUF_DIALECT_WRITTEN);
}

static nearbuf_status choose_sharing(void) {
  return nearbuf_choose_sharing(NEARBUF_SHARING_SHARED);
}

/* ---- What came before ------------------------------------------------------------------------ */

/* The other copy of the library has created the locator and a buffer with some code in it. */
static void other_copy_was_first(void) {
  nearbuf_request request = request_of(SMALL);
  nearbuf_buffer buffer;
  CHECK_OK(other_copy.get(&request, &buffer));
  code = (unsigned char *)buffer.address;
  CHECK_OK(other_copy.release(&buffer));
}

static void this_copy_was_first(void) {
  CHECK_OK(place());
  nearbuf_walk walk = {0};
  nearbuf_info info;
  CHECK_OK(nearbuf_next(&walk, &info));
  code = (unsigned char *)info.address;
}

static void locator_is_full(void) {
  nearbuf_totals totals;
  do {
    nearbuf_request request = request_of(SMALL);
    nearbuf_buffer buffer;
    CHECK_OK(nearbuf_get(&request, &buffer)); /* and never released */
    CHECK_OK(nearbuf_get_totals(&totals));
  } while (totals.buffers < NBUF_NATIVE_CAPACITY - NBUF_FIRST_SLOT);
  CHECK_EQUAL(1, totals.locators);
}

/* 64 MiB of free addresses, and a stack that grows down above them. */
static void stack_is_above(void) {
  const size_t size = 64 << 20;
  void *hole = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(hole != MAP_FAILED && munmap(hole, size) == 0);
  stack = (uintptr_t)hole + size - PAGE;
  CHECK(mmap((void *)stack, PAGE, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0) == (void *)stack);
}

static void make_directories(void) {
  CHECK(mkdir(SHARED_PARENT, 0777) == 0 || errno == EEXIST);
  CHECK(mkdir(LOCATOR_DIRECTORY, 0777) == 0 || errno == EEXIST);
}

/* A complete locator of a dead process, as another module of this process would have written it. */
static int write_locator(const char *path) {
  _Alignas(8) unsigned char image[NBUF_LOCATOR_SIZE];
  nbuf_item item = {.base = 0x7f0000000000, .size = PAGE};
  nbuf_format_build((uintptr_t)image, nbuf_native_layout(NEARBUF_DIALECT_WRITTEN), 0x7e0000000000,
                    &item, 1);
  int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  CHECK(file >= 0);
  CHECK_EQUAL(sizeof image, write(file, image, sizeof image));
  return file;
}

static void stale_file_lies_there(void) {
  make_directories();
  close(write_locator(own_path("")));
}

static void locked_file_lies_there(void) {
  make_directories();
  int file = write_locator(own_path(""));
  CHECK(flock(file, LOCK_SH | LOCK_NB) == 0);
  /* The mapping keeps the lock, as that of a process in another namespace would. */
  CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0) != MAP_FAILED);
  close(file);
}

static void occupy(const char *path) {
  int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  CHECK(file >= 0);
  close(file);
}

static void shared_directory_is_unusable(void) {
  occupy(SHARED_PARENT);
}

static void directory_is_unusable(void) {
  shared_directory_is_unusable();
  occupy(users_directory());
}

static void shared_directory_is_unusable_and_locator_full(void) {
  shared_directory_is_unusable();
  locator_is_full();
}

static void directory_is_unusable_and_locator_full(void) {
  directory_is_unusable();
  locator_is_full();
}

/* Files of dead processes, and one whose owner is alive and holds the lock. */
static const int64_t absent_process = 4194304 - 7; /* below the highest id that a kernel assigns */

static const char *path_of_absent(int number) {
  static char path[256];
  nbuf_name name = nbuf_name_of_process(absent_process + number);
  (void)snprintf(path, sizeof path, "%s/%s", LOCATOR_DIRECTORY, name.text);
  return path;
}

enum { ABSENT_FILES = 4, LIVING_FILE = 5 };

static void dead_files_lie_around(void) {
  make_directories();
  for (int i = 0; i < ABSENT_FILES; i++) {
    close(write_locator(path_of_absent(i)));
  }
  int living = write_locator(path_of_absent(LIVING_FILE));
  CHECK(flock(living, LOCK_SH | LOCK_NB) == 0);
  CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, living, 0) != MAP_FAILED);
  close(living);
}

static nearbuf_status get_beside_dead_files(void) {
  nearbuf_status status = get_small();
  CHECK_EQUAL(0, access(path_of_absent(LIVING_FILE), F_OK));
  return status;
}

static void range_is_full(void) {
  this_copy_was_first();
  void *occupied = mmap(NULL, LARGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(occupied != MAP_FAILED);
  full_range = (nbuf_range){(uintptr_t)occupied, (uintptr_t)occupied + LARGE - 1};
}

static void private_memory_is_there(void) {
  other_copy_was_first(); /* for the locator that the checks look at */
  CHECK_OK(allocate());
  code = allocated.write_to;
}

static void private_is_chosen(void) {
  CHECK_OK(nearbuf_choose_sharing(NEARBUF_SHARING_PRIVATE));
}

/* ---- Actors ---------------------------------------------------------------------------------- */

static void other_copy_starts(void) {
  nearbuf_request request = request_of(SMALL);
  nearbuf_buffer buffer;
  CHECK_OK(other_copy.get(&request, &buffer));
  CHECK_OK(other_copy.release(&buffer));
}

/* Another implementation that did not see the file when it looked for it uses the page as its own
 * new locator (src/core/header.h), and another copy of the library starts after it. */
static void reference_takes_the_page(void) {
  int file = reference_bytes == 0 ? open(own_path(""), O_RDWR | O_CLOEXEC) : -1;
  if (file < 0) {
    return;
  }
  void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(page != MAP_FAILED);
  close(file);
  reference_bytes = PAGE;
  uintptr_t header = (uintptr_t)page;
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_DOTNET);
  nbuf_shared_address_store_release(header, sizeof header, header);
  nbuf_shared_address_store_release(header + layout->next, sizeof header, 0);
  nbuf_shared_store_relaxed(header + layout->locked, 0);
  nbuf_shared_count_release(header + layout->count_dotnet, 0);
  other_copy_starts();
}

/* Another actor maps the addresses that the library is about to demand; try_once would notice a
 * mapping over it, because executable bytes are counted. */
static void place_is_taken(void) {
  uintptr_t wanted = system_wanted_address();
  if (wanted == 0) {
    return;
  }
  void *got = mmap((void *)wanted, system_wanted_size(), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (got != MAP_FAILED) {
    watch_memory(got, system_wanted_size());
  }
}

static void stale_file_appears(void) {
  make_directories();
  (void)unlink(own_path(""));
  close(write_locator(own_path("")));
}

static void locked_file_appears(void) {
  make_directories();
  (void)unlink(own_path(""));
  locked_file_lies_there();
}

static void directory_appears_under_the_name(void) {
  make_directories();
  (void)unlink(own_path(""));
  CHECK(mkdir(own_path(""), 0700) == 0);
}

static void link_appears_under_the_name(void) {
  make_directories();
  (void)mkdir("/tmp/elsewhere", 0777);
  (void)unlink(own_path(""));
  CHECK(symlink("/tmp/elsewhere/victim", own_path("")) == 0);
}

static void files_vanish(void) {
  DIR *directory = opendir(LOCATOR_DIRECTORY);
  const struct dirent *entry;
  while (directory != NULL && (entry = readdir(directory)) != NULL) {
    (void)unlinkat(dirfd(directory), entry->d_name, 0);
  }
  if (directory != NULL) {
    closedir(directory);
  }
}

static void directories_vanish(void) {
  files_vanish();
  (void)rmdir(LOCATOR_DIRECTORY);
  (void)rmdir(SHARED_PARENT);
}

/* The shared directory is moved away and replaced by a link to another one. */
static void directory_becomes_a_link(void) {
  (void)mkdir("/tmp/elsewhere", 0777);
  (void)mkdir("/tmp/elsewhere/memory.buffers", 0777);
  if (rename(SHARED_PARENT, "/tmp/elsewhere/before") == 0 || errno == ENOENT) {
    CHECK(symlink("/tmp/elsewhere", SHARED_PARENT) == 0);
  }
}

/* ---- Scenes: name, what came before, the call, its status, the kernel ------------------------ */

#define SCENE(name, prepare, call, expected, kernel)                                               \
  static const scene name##_scene = {prepare, call, expected, kernel};

SCENE(first_get, NULL, get_small, NEARBUF_OK, 0)
SCENE(first_get_near_a_target, NULL, get_near, NEARBUF_OK, 0)
SCENE(attaching_get, other_copy_was_first, get_small, NEARBUF_OK, 0)
SCENE(get_of_a_new_region, this_copy_was_first, get_large, NEARBUF_OK, 0)
SCENE(get_that_grows_the_chain, locator_is_full, get_small, NEARBUF_OK, 0)
SCENE(get_over_a_stale_file, stale_file_lies_there, get_small, NEARBUF_OK, 0)
SCENE(get_beside_a_locked_file, locked_file_lies_there, get_small, NEARBUF_OK, 0)
SCENE(get_without_a_directory, directory_is_unusable, get_small, NEARBUF_OK, 0)
SCENE(get_in_a_directory_of_our_own, shared_directory_is_unusable, get_small, NEARBUF_OK, 0)
SCENE(growing_in_a_directory_of_our_own, shared_directory_is_unusable_and_locator_full, get_small,
      NEARBUF_OK, 0)
SCENE(growing_without_a_directory, directory_is_unusable_and_locator_full, get_small, NEARBUF_OK, 0)
SCENE(get_beside_dead_files, dead_files_lie_around, get_beside_dead_files, NEARBUF_OK, 0)
SCENE(get_in_a_full_range, range_is_full, get_in_full_range, NEARBUF_NO_ROOM, 0)
SCENE(place, NULL, place, NEARBUF_OK, 0)
SCENE(place_with, NULL, place_with, NEARBUF_OK, 0)
SCENE(allocate, other_copy_was_first, allocate, NEARBUF_OK, 0)
SCENE(free, private_memory_is_there, free_allocated, NEARBUF_OK, 0)
SCENE(overwrite, other_copy_was_first, overwrite, NEARBUF_OK, 0)
SCENE(overwrite_of_private_memory, private_memory_is_there, overwrite, NEARBUF_OK, 0)
SCENE(overwrite_with, this_copy_was_first, overwrite_with, NEARBUF_OK, 0)
SCENE(find, other_copy_was_first, find, NEARBUF_OK, 0)
SCENE(next, other_copy_was_first, next, NEARBUF_OK, 0)
SCENE(get_totals, other_copy_was_first, get_totals, NEARBUF_OK, 0)
SCENE(choose_dialect, other_copy_was_first, choose_dialect, NEARBUF_OK, 0)
SCENE(choose_sharing, other_copy_was_first, choose_sharing, NEARBUF_OK, 0)
SCENE(first_private_get, private_is_chosen, get_small, NEARBUF_OK, 0)
SCENE(first_get_on_an_old_kernel, NULL, get_small, NEARBUF_OK, OLD_KERNEL)
SCENE(attaching_get_on_an_old_kernel, other_copy_was_first, get_small, NEARBUF_OK, OLD_KERNEL)
SCENE(growing_on_an_old_kernel, locator_is_full, get_small, NEARBUF_OK, OLD_KERNEL)
SCENE(get_where_demands_are_hints, NULL, get_small, NEARBUF_OK, OLD_KERNEL | IGNORES_NO_REPLACE)
SCENE(get_where_advice_is_ignored, NULL, get_small, NEARBUF_OK, IGNORES_ADVICE)
SCENE(get_where_nothing_is_wiped, NULL, get_small, NEARBUF_OK, CANNOT_WIPE)
SCENE(second_get_where_nothing_is_wiped, this_copy_was_first, get_small, NEARBUF_OK, CANNOT_WIPE)
SCENE(get_below_a_stack, stack_is_above, get_below_stack, NEARBUF_OK, 0)
SCENE(get_where_little_is_transferred, NULL, get_small, NEARBUF_OK, OLD_KERNEL | TRANSFERS_LITTLE)
SCENE(get_where_nothing_can_be_shared, directory_is_unusable, get_small, NEARBUF_OK,
      CANNOT_MAKE_MEMORY_FILES)

/* ---- Every call fails ------------------------------------------------------------------------ */

/* The test `what`_survives_`adversity`; CMakeLists.txt parses this form. */
#define SURVIVES(what, adversity, try)                                                             \
  TEST(what##_survives_##adversity) {                                                              \
    try(&what##_scene);                                                                            \
  }

SURVIVES(first_get, every_failure, fail_every_call)
SURVIVES(first_get, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(first_get_near_a_target, every_failure, fail_every_call)
SURVIVES(attaching_get, every_failure, fail_every_call)
SURVIVES(attaching_get, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(get_of_a_new_region, every_failure, fail_every_call)
SURVIVES(get_of_a_new_region, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(get_that_grows_the_chain, every_failure, fail_every_call)
SURVIVES(get_that_grows_the_chain, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(get_over_a_stale_file, every_failure, fail_every_call)
SURVIVES(get_over_a_stale_file, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(get_beside_a_locked_file, every_failure, fail_every_call)
SURVIVES(get_beside_a_locked_file, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(get_without_a_directory, every_failure, fail_every_call)
SURVIVES(get_without_a_directory, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(get_in_a_directory_of_our_own, every_failure, fail_every_call)
SURVIVES(get_in_a_directory_of_our_own, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(growing_in_a_directory_of_our_own, every_failure, fail_every_call)
SURVIVES(growing_without_a_directory, every_failure, fail_every_call)
SURVIVES(growing_without_a_directory, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(get_beside_dead_files, every_failure, fail_every_call)
SURVIVES(get_beside_dead_files, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(get_in_a_full_range, every_failure, fail_every_call)
SURVIVES(get_in_a_full_range, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(place, every_failure, fail_every_call)
SURVIVES(place_with, every_failure, fail_every_call)
SURVIVES(allocate, every_failure, fail_every_call)
SURVIVES(allocate, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(free, every_failure, fail_every_call)
SURVIVES(free, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(overwrite, every_failure, fail_every_call)
SURVIVES(overwrite, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(overwrite_of_private_memory, every_failure, fail_every_call)
SURVIVES(overwrite_of_private_memory, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(overwrite_with, every_failure, fail_every_call)
SURVIVES(overwrite_with, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(find, every_failure, fail_every_call)
SURVIVES(find, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(next, every_failure, fail_every_call)
SURVIVES(get_totals, every_failure, fail_every_call)
SURVIVES(choose_dialect, every_failure, fail_every_call)
SURVIVES(choose_dialect, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(choose_sharing, every_failure, fail_every_call)
SURVIVES(first_private_get, every_failure, fail_every_call)
SURVIVES(first_private_get, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(first_get_on_an_old_kernel, every_failure, fail_every_call)
SURVIVES(first_get_on_an_old_kernel, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(attaching_get_on_an_old_kernel, every_failure, fail_every_call)
SURVIVES(growing_on_an_old_kernel, every_failure, fail_every_call)
SURVIVES(growing_on_an_old_kernel, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(get_where_demands_are_hints, every_failure, fail_every_call)
SURVIVES(get_where_demands_are_hints, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(get_where_advice_is_ignored, every_failure, fail_every_call)
SURVIVES(get_where_nothing_is_wiped, every_failure, fail_every_call)
SURVIVES(get_where_nothing_is_wiped, every_lasting_failure, fail_every_call_lastingly)
SURVIVES(second_get_where_nothing_is_wiped, every_failure, fail_every_call)
SURVIVES(get_below_a_stack, every_failure, fail_every_call)
SURVIVES(get_where_little_is_transferred, every_failure, fail_every_call)
SURVIVES(get_where_nothing_can_be_shared, every_failure, fail_every_call)
SURVIVES(get_where_nothing_can_be_shared, every_lasting_failure, fail_every_call_lastingly)

/* ---- Others act ------------------------------------------------------------------------------ */

#define SURVIVES_ACTOR(what, adversity, try, actor)                                                \
  TEST(what##_survives_##adversity) {                                                              \
    try(&what##_scene, actor);                                                                     \
  }

SURVIVES_ACTOR(first_get, another_copy_that_starts, act_before_every_call, other_copy_starts)
SURVIVES_ACTOR(first_get_on_an_old_kernel, another_copy_that_starts, act_before_every_call,
               other_copy_starts)
SURVIVES_ACTOR(get_over_a_stale_file, another_copy_that_starts, race_before_every_call,
               other_copy_starts)
SURVIVES_ACTOR(get_without_a_directory, another_copy_that_starts, race_before_every_call,
               other_copy_starts)
SURVIVES_ACTOR(get_in_a_directory_of_our_own, another_copy_that_starts, act_before_every_call,
               other_copy_starts)
SURVIVES_ACTOR(get_that_grows_the_chain, another_copy_that_gets, act_before_every_call,
               other_copy_starts)
SURVIVES_ACTOR(get_of_a_new_region, another_copy_that_gets, act_before_every_call,
               other_copy_starts)
SURVIVES_ACTOR(first_get, a_reference_that_takes_the_page, act_before_every_call,
               reference_takes_the_page)
SURVIVES_ACTOR(first_get_on_an_old_kernel, a_reference_that_takes_the_page, act_before_every_call,
               reference_takes_the_page)
SURVIVES_ACTOR(get_that_grows_the_chain, a_reference_that_takes_the_page, act_before_every_call,
               reference_takes_the_page)
SURVIVES_ACTOR(get_of_a_new_region, a_reference_that_takes_the_page, act_before_every_call,
               reference_takes_the_page)
SURVIVES_ACTOR(first_get, a_mapping_in_its_place, act_before_every_call, place_is_taken)
SURVIVES_ACTOR(get_of_a_new_region, a_mapping_in_its_place, act_before_every_call, place_is_taken)
SURVIVES_ACTOR(get_that_grows_the_chain, a_mapping_in_its_place, act_before_every_call,
               place_is_taken)
SURVIVES_ACTOR(allocate, a_mapping_in_its_place, act_before_every_call, place_is_taken)
SURVIVES_ACTOR(get_where_demands_are_hints, a_mapping_in_its_place, act_before_every_call,
               place_is_taken)
SURVIVES_ACTOR(first_get, a_stale_file_that_appears, act_before_every_call, stale_file_appears)
SURVIVES_ACTOR(first_get, a_locked_file_that_appears, act_before_every_call, locked_file_appears)
SURVIVES_ACTOR(first_get, a_directory_that_appears, act_before_every_call,
               directory_appears_under_the_name)
SURVIVES_ACTOR(first_get, a_link_that_appears, act_before_every_call, link_appears_under_the_name)
SURVIVES_ACTOR(first_get, files_that_vanish, act_before_every_call, files_vanish)
SURVIVES_ACTOR(attaching_get, files_that_vanish, act_before_every_call, files_vanish)
SURVIVES_ACTOR(get_that_grows_the_chain, files_that_vanish, act_before_every_call, files_vanish)
SURVIVES_ACTOR(first_get, directories_that_vanish, act_before_every_call, directories_vanish)
SURVIVES_ACTOR(first_get, a_directory_that_becomes_a_link, act_before_every_call,
               directory_becomes_a_link)
