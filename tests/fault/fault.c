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
#include "os/posix/files.h"
#include "scene.h"
#include "test.h"

enum { SMALL = 64, LARGE = 1 << 20, PAGE = 4096 };

/* ---- Calls ----------------------------------------------------------------------------------- */

static const unsigned char bytes[SMALL] = "what is appended stays";

static nearbuf_request request_of(size_t size) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = size;
  return request;
}

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
  CHECK(nb_range_holds(request->range, (uintptr_t)address, request->size_bytes));
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

static nb_range full_range;

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

/* Frees what there is; freeing again would be an error of the caller's. */
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

/* ---- What came before ------------------------------------------------------------------------ */

/* The other copy of the library has made the locator, and a buffer with some code in it. */
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
  } while (totals.buffers < NB_NATIVE_CAPACITY - nb_page_first_slot());
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
  CHECK(mkdir("/tmp/.reloaded", 0777) == 0 || errno == EEXIST);
  CHECK(mkdir(LOCATOR_DIRECTORY, 0777) == 0 || errno == EEXIST);
}

/* A complete locator of a process that is gone, as another module of this one would have made
 * it. */
static int write_locator(const char *path) {
  _Alignas(8) unsigned char image[NB_LOCATOR_SIZE];
  nb_item item = {.base = 0x7f0000000000, .size = PAGE};
  nb_format_build((uintptr_t)image, nb_native_layout(NEARBUF_DIALECT_WRITTEN), 0x7e0000000000,
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
  /* The lock lives in the mapping, as that of a process in another namespace would. */
  CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0) != MAP_FAILED);
  close(file);
}

static void occupy(const char *path) {
  int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  CHECK(file >= 0);
  close(file);
}

static void shared_directory_is_unusable(void) {
  occupy("/tmp/.reloaded");
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

/* Files of processes that are gone, and one whose owner lives: it holds the lock. */
static const int64_t absent_process = 4194304 - 7; /* one below the most a kernel gives */

static const char *path_of_absent(int number) {
  static char path[256];
  nb_name name = nb_name_of_process(absent_process + number);
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
  full_range = (nb_range){(uintptr_t)occupied, (uintptr_t)occupied + LARGE - 1};
}

static void private_memory_is_there(void) {
  other_copy_was_first(); /* for the locator that the checks look at */
  CHECK_OK(allocate());
  code = allocated.write_to;
}

/* ---- Actors ---------------------------------------------------------------------------------- */

static void other_copy_starts(void) {
  nearbuf_request request = request_of(SMALL);
  nearbuf_buffer buffer;
  CHECK_OK(other_copy.get(&request, &buffer));
  CHECK_OK(other_copy.release(&buffer));
}

/* A reference that did not see the file when it looked for it takes the page for its own
 * (src/core/header.h), and another copy of the library starts behind it. */
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
  const nb_layout *layout = nb_native_layout(NEARBUF_DIALECT_DOTNET);
  nb_shared_address_store_release(header, sizeof header, header);
  nb_shared_address_store_release(header + layout->next, sizeof header, 0);
  nb_shared_store_relaxed(header + layout->locked, 0);
  nb_shared_count_release(header + layout->count_dotnet, 0);
  other_copy_starts();
}

/* Somebody maps what the library is about to demand; try_once sees it afterwards, if it was mapped
 * over, for runnable bytes are counted. */
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
  (void)rmdir("/tmp/.reloaded");
}

/* The shared directory is put aside, and a link to another one is put in its place. */
static void directory_becomes_a_link(void) {
  (void)mkdir("/tmp/elsewhere", 0777);
  (void)mkdir("/tmp/elsewhere/memory.buffers", 0777);
  if (rename("/tmp/.reloaded", "/tmp/elsewhere/before") == 0 || errno == ENOENT) {
    CHECK(symlink("/tmp/elsewhere", "/tmp/.reloaded") == 0);
  }
}

/* ---- Every call fails ------------------------------------------------------------------------ */

static const scene first_get_scene = {NULL, get_small, NEARBUF_OK, 0};

TEST(first_get_survives_every_failure) {
  fail_every_call(&first_get_scene);
}

TEST(first_get_survives_every_lasting_failure) {
  fail_every_call_lastingly(&first_get_scene);
}

static const scene first_get_near_a_target_scene = {NULL, get_near, NEARBUF_OK, 0};

TEST(first_get_near_a_target_survives_every_failure) {
  fail_every_call(&first_get_near_a_target_scene);
}

static const scene attaching_get_scene = {other_copy_was_first, get_small, NEARBUF_OK, 0};

TEST(attaching_get_survives_every_failure) {
  fail_every_call(&attaching_get_scene);
}

TEST(attaching_get_survives_every_lasting_failure) {
  fail_every_call_lastingly(&attaching_get_scene);
}

static const scene get_of_a_new_region_scene = {this_copy_was_first, get_large, NEARBUF_OK, 0};

TEST(get_of_a_new_region_survives_every_failure) {
  fail_every_call(&get_of_a_new_region_scene);
}

TEST(get_of_a_new_region_survives_every_lasting_failure) {
  fail_every_call_lastingly(&get_of_a_new_region_scene);
}

static const scene get_that_grows_the_chain_scene = {locator_is_full, get_small, NEARBUF_OK, 0};

TEST(get_that_grows_the_chain_survives_every_failure) {
  fail_every_call(&get_that_grows_the_chain_scene);
}

TEST(get_that_grows_the_chain_survives_every_lasting_failure) {
  fail_every_call_lastingly(&get_that_grows_the_chain_scene);
}

static const scene get_over_a_stale_file_scene = {stale_file_lies_there, get_small, NEARBUF_OK, 0};

TEST(get_over_a_stale_file_survives_every_failure) {
  fail_every_call(&get_over_a_stale_file_scene);
}

TEST(get_over_a_stale_file_survives_every_lasting_failure) {
  fail_every_call_lastingly(&get_over_a_stale_file_scene);
}

static const scene get_beside_a_locked_file_scene = {locked_file_lies_there, get_small, NEARBUF_OK,
                                                     0};

TEST(get_beside_a_locked_file_survives_every_failure) {
  fail_every_call(&get_beside_a_locked_file_scene);
}

TEST(get_beside_a_locked_file_survives_every_lasting_failure) {
  fail_every_call_lastingly(&get_beside_a_locked_file_scene);
}

static const scene get_without_a_directory_scene = {directory_is_unusable, get_small, NEARBUF_OK,
                                                    0};

TEST(get_without_a_directory_survives_every_failure) {
  fail_every_call(&get_without_a_directory_scene);
}

TEST(get_without_a_directory_survives_every_lasting_failure) {
  fail_every_call_lastingly(&get_without_a_directory_scene);
}

static const scene get_in_a_directory_of_our_own_scene = {shared_directory_is_unusable, get_small,
                                                          NEARBUF_OK, 0};

TEST(get_in_a_directory_of_our_own_survives_every_failure) {
  fail_every_call(&get_in_a_directory_of_our_own_scene);
}

TEST(get_in_a_directory_of_our_own_survives_every_lasting_failure) {
  fail_every_call_lastingly(&get_in_a_directory_of_our_own_scene);
}

static const scene growing_in_a_directory_of_our_own_scene = {
    shared_directory_is_unusable_and_locator_full, get_small, NEARBUF_OK, 0};

TEST(growing_in_a_directory_of_our_own_survives_every_failure) {
  fail_every_call(&growing_in_a_directory_of_our_own_scene);
}

static const scene growing_without_a_directory_scene = {directory_is_unusable_and_locator_full,
                                                        get_small, NEARBUF_OK, 0};

TEST(growing_without_a_directory_survives_every_failure) {
  fail_every_call(&growing_without_a_directory_scene);
}

TEST(growing_without_a_directory_survives_every_lasting_failure) {
  fail_every_call_lastingly(&growing_without_a_directory_scene);
}

static const scene get_beside_dead_files_scene = {dead_files_lie_around, get_beside_dead_files,
                                                  NEARBUF_OK, 0};

TEST(get_beside_dead_files_survives_every_failure) {
  fail_every_call(&get_beside_dead_files_scene);
}

TEST(get_beside_dead_files_survives_every_lasting_failure) {
  fail_every_call_lastingly(&get_beside_dead_files_scene);
}

static const scene get_in_a_full_range_scene = {range_is_full, get_in_full_range, NEARBUF_NO_ROOM,
                                                0};

TEST(get_in_a_full_range_survives_every_failure) {
  fail_every_call(&get_in_a_full_range_scene);
}

TEST(get_in_a_full_range_survives_every_lasting_failure) {
  fail_every_call_lastingly(&get_in_a_full_range_scene);
}

static const scene place_scene = {NULL, place, NEARBUF_OK, 0};

TEST(place_survives_every_failure) {
  fail_every_call(&place_scene);
}

static const scene place_with_scene = {NULL, place_with, NEARBUF_OK, 0};

TEST(place_with_survives_every_failure) {
  fail_every_call(&place_with_scene);
}

static const scene allocate_scene = {other_copy_was_first, allocate, NEARBUF_OK, 0};

TEST(allocate_survives_every_failure) {
  fail_every_call(&allocate_scene);
}

TEST(allocate_survives_every_lasting_failure) {
  fail_every_call_lastingly(&allocate_scene);
}

static const scene free_scene = {private_memory_is_there, free_allocated, NEARBUF_OK, 0};

TEST(free_survives_every_failure) {
  fail_every_call(&free_scene);
}

TEST(free_survives_every_lasting_failure) {
  fail_every_call_lastingly(&free_scene);
}

static const scene overwrite_scene = {other_copy_was_first, overwrite, NEARBUF_OK, 0};

TEST(overwrite_survives_every_failure) {
  fail_every_call(&overwrite_scene);
}

TEST(overwrite_survives_every_lasting_failure) {
  fail_every_call_lastingly(&overwrite_scene);
}

static const scene overwrite_of_private_memory_scene = {private_memory_is_there, overwrite,
                                                        NEARBUF_OK, 0};

TEST(overwrite_of_private_memory_survives_every_failure) {
  fail_every_call(&overwrite_of_private_memory_scene);
}

TEST(overwrite_of_private_memory_survives_every_lasting_failure) {
  fail_every_call_lastingly(&overwrite_of_private_memory_scene);
}

static const scene overwrite_with_scene = {this_copy_was_first, overwrite_with, NEARBUF_OK, 0};

TEST(overwrite_with_survives_every_failure) {
  fail_every_call(&overwrite_with_scene);
}

TEST(overwrite_with_survives_every_lasting_failure) {
  fail_every_call_lastingly(&overwrite_with_scene);
}

static const scene find_scene = {other_copy_was_first, find, NEARBUF_OK, 0};

TEST(find_survives_every_failure) {
  fail_every_call(&find_scene);
}

TEST(find_survives_every_lasting_failure) {
  fail_every_call_lastingly(&find_scene);
}

static const scene next_scene = {other_copy_was_first, next, NEARBUF_OK, 0};

TEST(next_survives_every_failure) {
  fail_every_call(&next_scene);
}

static const scene get_totals_scene = {other_copy_was_first, get_totals, NEARBUF_OK, 0};

TEST(get_totals_survives_every_failure) {
  fail_every_call(&get_totals_scene);
}

static const scene choose_dialect_scene = {other_copy_was_first, choose_dialect, NEARBUF_OK, 0};

TEST(choose_dialect_survives_every_failure) {
  fail_every_call(&choose_dialect_scene);
}

static nearbuf_status choose_sharing(void) {
  return nearbuf_choose_sharing(NEARBUF_SHARING_SHARED);
}

static const scene choose_sharing_scene = {other_copy_was_first, choose_sharing, NEARBUF_OK, 0};

TEST(choose_sharing_survives_every_failure) {
  fail_every_call(&choose_sharing_scene);
}

static void private_is_chosen(void) {
  CHECK_OK(nearbuf_choose_sharing(NEARBUF_SHARING_PRIVATE));
}

static const scene first_private_get_scene = {private_is_chosen, get_small, NEARBUF_OK, 0};

TEST(first_private_get_survives_every_failure) {
  fail_every_call(&first_private_get_scene);
}

TEST(first_private_get_survives_every_lasting_failure) {
  fail_every_call_lastingly(&first_private_get_scene);
}

TEST(choose_dialect_survives_every_lasting_failure) {
  fail_every_call_lastingly(&choose_dialect_scene);
}

static const scene first_get_on_an_old_kernel_scene = {NULL, get_small, NEARBUF_OK, OLD_KERNEL};

TEST(first_get_on_an_old_kernel_survives_every_failure) {
  fail_every_call(&first_get_on_an_old_kernel_scene);
}

TEST(first_get_on_an_old_kernel_survives_every_lasting_failure) {
  fail_every_call_lastingly(&first_get_on_an_old_kernel_scene);
}

static const scene attaching_get_on_an_old_kernel_scene = {other_copy_was_first, get_small,
                                                           NEARBUF_OK, OLD_KERNEL};

TEST(attaching_get_on_an_old_kernel_survives_every_failure) {
  fail_every_call(&attaching_get_on_an_old_kernel_scene);
}

static const scene growing_on_an_old_kernel_scene = {locator_is_full, get_small, NEARBUF_OK,
                                                     OLD_KERNEL};

TEST(growing_on_an_old_kernel_survives_every_failure) {
  fail_every_call(&growing_on_an_old_kernel_scene);
}

TEST(growing_on_an_old_kernel_survives_every_lasting_failure) {
  fail_every_call_lastingly(&growing_on_an_old_kernel_scene);
}

static const scene get_where_demands_are_hints_scene = {NULL, get_small, NEARBUF_OK,
                                                        OLD_KERNEL | IGNORES_NO_REPLACE};

TEST(get_where_demands_are_hints_survives_every_failure) {
  fail_every_call(&get_where_demands_are_hints_scene);
}

TEST(get_where_demands_are_hints_survives_every_lasting_failure) {
  fail_every_call_lastingly(&get_where_demands_are_hints_scene);
}

static const scene get_where_advice_is_ignored_scene = {NULL, get_small, NEARBUF_OK,
                                                        IGNORES_ADVICE};

TEST(get_where_advice_is_ignored_survives_every_failure) {
  fail_every_call(&get_where_advice_is_ignored_scene);
}

static const scene get_where_nothing_is_wiped_scene = {NULL, get_small, NEARBUF_OK, CANNOT_WIPE};

TEST(get_where_nothing_is_wiped_survives_every_failure) {
  fail_every_call(&get_where_nothing_is_wiped_scene);
}

TEST(get_where_nothing_is_wiped_survives_every_lasting_failure) {
  fail_every_call_lastingly(&get_where_nothing_is_wiped_scene);
}

static const scene second_get_where_nothing_is_wiped_scene = {this_copy_was_first, get_small,
                                                              NEARBUF_OK, CANNOT_WIPE};

TEST(second_get_where_nothing_is_wiped_survives_every_failure) {
  fail_every_call(&second_get_where_nothing_is_wiped_scene);
}

static const scene get_below_a_stack_scene = {stack_is_above, get_below_stack, NEARBUF_OK, 0};

TEST(get_below_a_stack_survives_every_failure) {
  fail_every_call(&get_below_a_stack_scene);
}

static const scene get_where_little_is_transferred_scene = {NULL, get_small, NEARBUF_OK,
                                                            OLD_KERNEL | TRANSFERS_LITTLE};

TEST(get_where_little_is_transferred_survives_every_failure) {
  fail_every_call(&get_where_little_is_transferred_scene);
}

static const scene get_where_nothing_can_be_shared_scene = {directory_is_unusable, get_small,
                                                            NEARBUF_OK, CANNOT_MAKE_MEMORY_FILES};

TEST(get_where_nothing_can_be_shared_survives_every_failure) {
  fail_every_call(&get_where_nothing_can_be_shared_scene);
}

TEST(get_where_nothing_can_be_shared_survives_every_lasting_failure) {
  fail_every_call_lastingly(&get_where_nothing_can_be_shared_scene);
}

/* ---- Others act ------------------------------------------------------------------------------ */

TEST(first_get_survives_another_copy_that_starts) {
  act_before_every_call(&first_get_scene, other_copy_starts);
}

TEST(first_get_on_an_old_kernel_survives_another_copy_that_starts) {
  act_before_every_call(&first_get_on_an_old_kernel_scene, other_copy_starts);
}

TEST(get_over_a_stale_file_survives_another_copy_that_starts) {
  race_before_every_call(&get_over_a_stale_file_scene, other_copy_starts);
}

TEST(get_without_a_directory_survives_another_copy_that_starts) {
  race_before_every_call(&get_without_a_directory_scene, other_copy_starts);
}

TEST(get_in_a_directory_of_our_own_survives_another_copy_that_starts) {
  act_before_every_call(&get_in_a_directory_of_our_own_scene, other_copy_starts);
}

TEST(get_that_grows_the_chain_survives_another_copy_that_gets) {
  act_before_every_call(&get_that_grows_the_chain_scene, other_copy_starts);
}

TEST(get_of_a_new_region_survives_another_copy_that_gets) {
  act_before_every_call(&get_of_a_new_region_scene, other_copy_starts);
}

TEST(first_get_survives_a_reference_that_takes_the_page) {
  act_before_every_call(&first_get_scene, reference_takes_the_page);
}

TEST(first_get_on_an_old_kernel_survives_a_reference_that_takes_the_page) {
  act_before_every_call(&first_get_on_an_old_kernel_scene, reference_takes_the_page);
}

TEST(get_that_grows_the_chain_survives_a_reference_that_takes_the_page) {
  act_before_every_call(&get_that_grows_the_chain_scene, reference_takes_the_page);
}

TEST(get_of_a_new_region_survives_a_reference_that_takes_the_page) {
  act_before_every_call(&get_of_a_new_region_scene, reference_takes_the_page);
}

TEST(first_get_survives_who_takes_its_place) {
  act_before_every_call(&first_get_scene, place_is_taken);
}

TEST(get_of_a_new_region_survives_who_takes_its_place) {
  act_before_every_call(&get_of_a_new_region_scene, place_is_taken);
}

TEST(get_that_grows_the_chain_survives_who_takes_its_place) {
  act_before_every_call(&get_that_grows_the_chain_scene, place_is_taken);
}

TEST(allocate_survives_who_takes_its_place) {
  act_before_every_call(&allocate_scene, place_is_taken);
}

TEST(get_where_demands_are_hints_survives_who_takes_its_place) {
  act_before_every_call(&get_where_demands_are_hints_scene, place_is_taken);
}

TEST(first_get_survives_a_stale_file_that_appears) {
  act_before_every_call(&first_get_scene, stale_file_appears);
}

TEST(first_get_survives_a_locked_file_that_appears) {
  act_before_every_call(&first_get_scene, locked_file_appears);
}

TEST(first_get_survives_a_directory_that_appears) {
  act_before_every_call(&first_get_scene, directory_appears_under_the_name);
}

TEST(first_get_survives_a_link_that_appears) {
  act_before_every_call(&first_get_scene, link_appears_under_the_name);
}

TEST(first_get_survives_files_that_vanish) {
  act_before_every_call(&first_get_scene, files_vanish);
}

TEST(attaching_get_survives_files_that_vanish) {
  act_before_every_call(&attaching_get_scene, files_vanish);
}

TEST(get_that_grows_the_chain_survives_files_that_vanish) {
  act_before_every_call(&get_that_grows_the_chain_scene, files_vanish);
}

TEST(first_get_survives_directories_that_vanish) {
  act_before_every_call(&first_get_scene, directories_vanish);
}

TEST(first_get_survives_a_directory_that_becomes_a_link) {
  act_before_every_call(&first_get_scene, directory_becomes_a_link);
}
