/* What POSIX systems share, on an invented system that refuses what a test says: mappings at an
 * address, process ids, what children inherit, the environment. posix.c itself is compiled here,
 * with other names for what it calls and defines. */
#define nbuf_os_known tested_numbers
#define nbuf_os_ask_numbers tested_ask_numbers
#define nbuf_os_nanoseconds tested_nanoseconds
#define nbuf_os_pause tested_pause
#define nbuf_os_pause_again tested_pause_again
#define nbuf_os_process tested_process
#define nbuf_os_environment tested_environment
#define nbuf_os_map tested_map
#define nbuf_os_unmap tested_unmap
#define nbuf_os_own_pages tested_own_pages
#define nbuf_os_last_error tested_last_error
#define nbuf_os_set_last_error tested_set_last_error
#define nbuf_os_process_pages tested_process_pages
#define nbuf_os_are_process_pages tested_are_process_pages
#define nbuf_os_sync_new_code tested_sync_new_code
#define nbuf_os_sync_code invented_sync_code
#define nbuf_os_call_begin tested_call_begin
#define nbuf_os_call_end tested_call_end
#define nbuf_posix_mmap_at tested_mmap_at
#define nbuf_posix_process tested_posix_process
#define nbuf_posix_is_process tested_is_process
#define nbuf_posix_map_skip_to_shared tested_map_skip_to_shared
#define nbuf_posix_map_at invented_map_at
#define nbuf_posix_has_gained_rights invented_has_gained_rights
#define nbuf_posix_environment invented_environment
#define nbuf_posix_wipe_in_children invented_wipe_in_children
#define nbuf_posix_keep_from_children invented_keep_from_children
#define nbuf_posix_compare invented_compare
#define nbuf_posix_shares_memory invented_shares_memory
#define nbuf_os_map_next invented_map_next

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "os/os.h"
#include "os/posix/posix.h"
#include "test.h"

/* ---- The system ------------------------------------------------------------------------------ */

enum { PAGE = 8192, OWN_ID = 42, PARENT = 41, ANY_ERROR = 5, WANTED_FLAGS = 0x10000 };
#define PLACE ((uintptr_t)0x70000000)

static _Alignas(PAGE) unsigned char memory[PAGE];

static struct {
  int map_error;   /* of mapping at an address */
  int error;       /* of mapping anywhere, and of unmapping */
  int wanted;      /* protection */
  uintptr_t given; /* 0: what is asked for */
  int mapped;      /* that were not unmapped */
  int page_sizes;  /* asked for */
  bool has_gained_rights;
  uintptr_t synced;
  size_t synced_size;
  const char *value;
  bool can_wipe;
  bool can_keep;
  int kept;
  nbuf_posix_comparison comparison;
  uint32_t sharing; /* another process with the same memory; 0: none */
  nbuf_mapping map[4];
  int map_count;
  bool is_unreadable;
} it;

static void *invented_mmap(void *address, size_t size, int protection, int flags, int file,
                           off_t offset) {
  CHECK(size == PAGE && file == -1 && offset == 0);
  CHECK_EQUAL(it.wanted, protection);
  CHECK_EQUAL(MAP_PRIVATE | MAP_ANONYMOUS | (address == NULL ? 0 : WANTED_FLAGS), flags);
  if (it.error != 0) {
    errno = it.error;
    return MAP_FAILED;
  }
  it.mapped++;
  if (address == NULL) {
    return memory;
  }
  return (void *)(it.given != 0 ? it.given : (uintptr_t)address);
}

static int invented_munmap(void *address, size_t size) {
  CHECK(size == PAGE && address != NULL);
  if (it.error != 0) {
    errno = it.error;
    return -1;
  }
  it.mapped--;
  return 0;
}

static int invented_getpagesize(void) {
  it.page_sizes++;
  return PAGE;
}

static pid_t invented_getpid(void) {
  return OWN_ID;
}

static pid_t invented_getppid(void) {
  return PARENT;
}

static int invented_gettime(clockid_t clock, struct timespec *now) {
  CHECK(clock == CLOCK_MONOTONIC);
  *now = (struct timespec){12, 345};
  return 0;
}

int invented_map_at(uintptr_t address, size_t size, int protection) {
  CHECK(address == PLACE && size == PAGE);
  CHECK_EQUAL(PROT_READ | PROT_WRITE | PROT_EXEC, protection);
  return it.map_error;
}

bool invented_has_gained_rights(void) {
  return it.has_gained_rights;
}

const char *invented_environment(const char *name) {
  CHECK(strcmp("NAME", name) == 0);
  return it.value;
}

bool invented_wipe_in_children(void *pages, size_t size) {
  CHECK(pages == memory && size == PAGE);
  return it.can_wipe;
}

bool invented_keep_from_children(void *pages, size_t size) {
  CHECK(pages == memory && size == PAGE);
  it.kept++;
  return it.can_keep;
}

nbuf_posix_comparison invented_compare(const _Atomic uint32_t *word, uint32_t value) {
  CHECK((uintptr_t)word == (uintptr_t)memory);
  CHECK_EQUAL(77, value);
  return it.comparison;
}

bool invented_shares_memory(uint32_t process) {
  return it.sharing != 0 && process == it.sharing;
}

nbuf_map_answer invented_map_next(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping) {
  (void)map;
  if (it.is_unreadable) {
    return NBUF_MAP_FAILED;
  }
  for (int i = 0; i < it.map_count; i++) {
    if (it.map[i].range.max >= from) {
      *mapping = it.map[i];
      return NBUF_MAP_FOUND;
    }
  }
  return NBUF_MAP_END;
}

#define mmap invented_mmap
#define munmap invented_munmap
#define getpagesize invented_getpagesize
#define getpid invented_getpid
#define getppid invented_getppid
#define clock_gettime invented_gettime
#include "os/placing.h"
#include "os/posix/posix.c" /* NOLINT(bugprone-suspicious-include) */

void nbuf_os_sync_code(uintptr_t address, size_t size) {
  it.synced = address;
  it.synced_size = size;
}

/* ---- Numbers --------------------------------------------------------------------------------- */

TEST(the_size_of_a_page_is_asked_for_once_and_is_that_of_a_granule) {
  CHECK_EQUAL(PAGE, nbuf_os_page_size());
  CHECK_EQUAL(PAGE, nbuf_os_granularity());
  CHECK_EQUAL(1, it.page_sizes);
}

TEST(the_clock_counts_nanoseconds) {
  CHECK_EQUAL(UINT64_C(12000000345), nbuf_os_nanoseconds());
}

TEST(nothing_is_known_of_room_in_a_range_nor_of_images) {
  nbuf_range range = {PLACE, PLACE + PAGE - 1};
  CHECK(nbuf_os_may_have_room(range, PAGE, PAGE));
  CHECK(!nbuf_os_is_near_image(range, &range));
  CHECK_EQUAL(0, nbuf_os_map_within(range, PAGE, PAGE, true));
}

TEST(a_value_of_the_environment_is_copied_if_it_fits) {
  char value[6] = "x";
  CHECK(!nbuf_os_environment("NAME", value, sizeof value));
  it.value = "12345";
  CHECK(nbuf_os_environment("NAME", value, sizeof value));
  CHECK(strcmp("12345", value) == 0);
  it.value = "123456";
  CHECK(!nbuf_os_environment("NAME", value, sizeof value));
  it.value = "";
  CHECK(nbuf_os_environment("NAME", value, sizeof value));
  CHECK_EQUAL('\0', value[0]);
  it.has_gained_rights = true; /* then it is another user's */
  CHECK(!nbuf_os_environment("NAME", value, sizeof value));
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void check_map(nearbuf_status status, int error) {
  nbuf_result result = nbuf_os_map(PLACE, PAGE);
  CHECK_STATUS(status, result.status);
  CHECK_EQUAL(error, result.system_error);
  CHECK_EQUAL(0, it.mapped);
}

TEST(a_place_that_is_refused_has_no_room_while_there_is_memory_elsewhere) {
  static const int of_the_place[] = {EEXIST, EACCES, EPERM, EINVAL, ENOMEM};
  it.wanted = PROT_READ | PROT_WRITE | PROT_EXEC;
  check_map(NEARBUF_OK, 0);
  for (int i = 0; i < 5; i++) {
    it.map_error = of_the_place[i];
    check_map(NEARBUF_NO_ROOM, it.map_error);
  }
}

TEST(where_there_is_none_elsewhere_either_it_is_denied_or_out_of_memory) {
  static const int denied[] = {EACCES, EPERM, EINVAL};
  it.wanted = PROT_READ | PROT_WRITE | PROT_EXEC;
  it.error = ANY_ERROR;
  for (int i = 0; i < 3; i++) {
    it.map_error = denied[i];
    check_map(NEARBUF_DENIED, it.map_error);
  }
  it.map_error = ENOMEM;
  check_map(NEARBUF_OUT_OF_MEMORY, ENOMEM);
  it.map_error = EEXIST;
  check_map(NEARBUF_NO_ROOM, EEXIST);
  it.map_error = EAGAIN; /* locked memory */
  check_map(NEARBUF_OUT_OF_MEMORY, EAGAIN);
  it.map_error = EIO;
  check_map(NEARBUF_SYSTEM_ERROR, EIO);
}

TEST(a_mapping_at_another_address_is_undone) {
  it.wanted = PROT_READ;
  CHECK_EQUAL(0, nbuf_posix_mmap_at(PLACE, PAGE, PROT_READ, WANTED_FLAGS));
  CHECK_EQUAL(1, it.mapped);
  it.given = PLACE + PAGE; /* the kernel does not know the flags */
  CHECK_EQUAL(EEXIST, nbuf_posix_mmap_at(PLACE, PAGE, PROT_READ, WANTED_FLAGS));
  CHECK_EQUAL(1, it.mapped);
  it.error = ENOMEM;
  CHECK_EQUAL(ENOMEM, nbuf_posix_mmap_at(PLACE, PAGE, PROT_READ, WANTED_FLAGS));
}

TEST(what_stays_mapped_is_a_failure_of_the_system) {
  it.mapped = 1;
  CHECK_OK(nbuf_os_unmap(PLACE, PAGE).status);
  CHECK_EQUAL(0, it.mapped);
  it.error = ANY_ERROR;
  nbuf_result result = nbuf_os_unmap(PLACE, PAGE);
  CHECK_STATUS(NEARBUF_SYSTEM_ERROR, result.status);
  CHECK_EQUAL(ANY_ERROR, result.system_error);
}

TEST(own_pages_are_not_executable_and_null_with_the_systems_code_if_there_are_none) {
  it.wanted = PROT_READ | PROT_WRITE;
  CHECK(nbuf_os_own_pages(PAGE) == memory);
  it.error = ENOMEM;
  CHECK(nbuf_os_own_pages(PAGE) == NULL);
  CHECK_EQUAL(ENOMEM, nbuf_os_last_error());
}

/* ---- Children -------------------------------------------------------------------------------- */

static nbuf_os_owner make_process_pages(void) {
  nbuf_os_owner owner = {.mark = 77};
  it.wanted = PROT_READ | PROT_WRITE;
  CHECK(nbuf_os_process_pages(PAGE, &owner) == memory);
  return owner;
}

TEST(pages_that_are_wiped_in_children_need_no_check) {
  it.can_wipe = true;
  nbuf_os_owner owner = make_process_pages();
  CHECK_EQUAL(NBUF_OS_WIPED, owner.inheritance);
  CHECK_EQUAL(0, it.kept);
  CHECK(nbuf_os_are_process_pages(memory, &owner));
}

TEST(pages_that_cannot_be_had_are_null) {
  nbuf_os_owner owner = {.mark = 77};
  it.wanted = PROT_READ | PROT_WRITE;
  it.error = ENOMEM;
  CHECK(nbuf_os_process_pages(PAGE, &owner) == NULL);
}

TEST(pages_that_children_do_not_have_belong_to_the_process_that_sees_their_mark) {
  it.can_keep = true;
  it.comparison = NBUF_POSIX_EQUAL;
  nbuf_os_owner owner = make_process_pages();
  CHECK_EQUAL(NBUF_OS_ABSENT, owner.inheritance);
  CHECK_EQUAL(77, *(const _Atomic uint32_t *)memory);
  owner.process = OWN_ID + 1; /* a child of vfork has another id, and the memory */
  CHECK(nbuf_os_are_process_pages(memory, &owner));
  it.comparison = NBUF_POSIX_DIFFERENT;
  owner.process = OWN_ID;
  CHECK(!nbuf_os_are_process_pages(memory, &owner));
  it.comparison = NBUF_POSIX_UNKNOWN; /* the system does not tell it any more */
  CHECK(nbuf_os_are_process_pages(memory, &owner));
  owner.process = OWN_ID + 1;
  CHECK(!nbuf_os_are_process_pages(memory, &owner));
}

TEST(pages_that_children_inherit_belong_to_the_process_with_the_owners_id) {
  it.comparison = NBUF_POSIX_EQUAL;
  nbuf_os_owner owner = make_process_pages(); /* they cannot be kept out */
  CHECK_EQUAL(NBUF_OS_INHERITED, owner.inheritance);
  CHECK_EQUAL(OWN_ID, owner.process);
  CHECK(nbuf_os_are_process_pages(memory, &owner));
  owner.process = OWN_ID + 1;
  CHECK(!nbuf_os_are_process_pages(memory, &owner));
  it.kept = 0;
  it.can_keep = true;
  it.comparison = NBUF_POSIX_UNKNOWN; /* marks cannot be read: they would prove nothing */
  owner = make_process_pages();
  CHECK_EQUAL(NBUF_OS_INHERITED, owner.inheritance);
  CHECK_EQUAL(0, it.kept);
}

TEST(a_child_of_vfork_is_its_parent) {
  CHECK_EQUAL(OWN_ID, nbuf_os_process());
  CHECK_EQUAL(OWN_ID, nbuf_posix_process());
  CHECK(nbuf_posix_is_process(OWN_ID));
  CHECK(!nbuf_posix_is_process(PARENT));
  it.sharing = PARENT;
  CHECK_EQUAL(PARENT, nbuf_posix_process());
  CHECK(nbuf_posix_is_process(PARENT));
  CHECK(nbuf_posix_is_process(OWN_ID));
}

/* ---- The map --------------------------------------------------------------------------------- */

static nbuf_mapping *add_mapping(uintptr_t min, uintptr_t max) {
  nbuf_mapping *added = &it.map[it.map_count++];
  *added = (nbuf_mapping){.range = {min, max}, .readable = true, .writable = true, .shared = true};
  return added;
}

TEST(mappings_that_are_not_shared_readable_and_writable_are_skipped) {
  nbuf_map map = {0};
  nbuf_mapping found;
  CHECK_EQUAL(NBUF_MAP_END, nbuf_posix_map_skip_to_shared(&map, 0, &found));
  add_mapping(PLACE, PLACE + 9)->shared = false;
  add_mapping(PLACE + 10, PLACE + 19)->readable = false;
  add_mapping(PLACE + 20, PLACE + 29)->writable = false;
  CHECK_EQUAL(NBUF_MAP_END, nbuf_posix_map_skip_to_shared(&map, 0, &found));
  (void)add_mapping(PLACE + 30, PLACE + 39);
  CHECK_EQUAL(NBUF_MAP_FOUND, nbuf_posix_map_skip_to_shared(&map, 0, &found));
  CHECK_EQUAL(PLACE + 30, found.range.min);
  it.map[3].shared = false;
  it.map[3].range.max = UINTPTR_MAX;
  CHECK_EQUAL(NBUF_MAP_END, nbuf_posix_map_skip_to_shared(&map, 0, &found));
  it.is_unreadable = true;
  CHECK_EQUAL(NBUF_MAP_FAILED, nbuf_posix_map_skip_to_shared(&map, 0, &found));
}

/* ---- Calls ----------------------------------------------------------------------------------- */

TEST(new_code_is_made_ready_as_replaced_code_is) {
  nbuf_os_sync_new_code(PLACE + 1, 3);
  CHECK_EQUAL(PLACE + 1, it.synced);
  CHECK_EQUAL(3, it.synced_size);
}

TEST(a_call_keeps_the_error_and_is_not_cancelled_within) {
  errno = ANY_ERROR;
  nbuf_os_call call = nbuf_os_call_begin();
  int state = -1;
  CHECK_EQUAL(0, pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state));
  CHECK_EQUAL(PTHREAD_CANCEL_DISABLE, state);
  errno = ENOENT;
  nbuf_os_call_end(call);
  CHECK_EQUAL(ANY_ERROR, errno);
  CHECK_EQUAL(0, pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state));
  CHECK_EQUAL(PTHREAD_CANCEL_ENABLE, state);
}
