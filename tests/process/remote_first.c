/* The first locator of another process, if it is not simply found by its name. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/format.h"
#include "os/pages.h"
#include "remote_linux.h"
#include "test.h"

/* ---- A process whose first thread has ended -------------------------------------------------- */

static void check_without_first_thread(void) {
  target headless = target_start(REMOTE_TARGET, "headless", NULL);
  CHECK(target_reaches(&headless, 'Z'));
  nearbuf_process process = target_open(&headless);
  CHECK_EQUAL(sizeof(void *) * 8, process.address_bits);
  uint64_t address = put(&process, "hello", 5);
  CHECK_EQUAL(address + 16, put(&process, "again", 5));
  char seen[6] = {0};
  CHECK_OK(nearbuf_process_read(&process, address, seen, 5, NULL));
  CHECK(strcmp(seen, "hello") == 0);
  CHECK_OK(nearbuf_process_write(&process, address, "Hello", 5, NULL));
  nearbuf_process_request request = anywhere(10000);
  uint64_t memory;
  uint64_t size;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &memory, &size));
  CHECK_OK(nearbuf_process_free(&process, memory, size));
  CHECK(kill(headless.id, SIGUSR1) == 0);
  usleep(10000);
  CHECK_EQUAL(1, target_end(&headless));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_check(&process));
}

TEST(a_process_whose_first_thread_has_ended_is_understood_and_given_memory) {
  check_without_first_thread();
}

/* Without the first thread its entries belong to root. */
TEST(a_process_whose_first_thread_has_ended_is_understood_by_an_ordinary_user) {
  want_own_tmp();
  become_nobody();
  check_without_first_thread();
}

/* ---- A first locator that another implementation makes --------------------------------------- */

typedef struct blank_page {
  char name[sizeof((nearbuf_process_mapping *)0)->name];
  uint64_t address;
} blank_page;

static int find_blank(const nearbuf_process_mapping *mapping, void *context) {
  blank_page *found = context;
  if (mapping->is_shared != 0 && strstr(mapping->name, ", PID ") != NULL) {
    memcpy(found->name, mapping->name, sizeof found->name);
    found->address = mapping->min;
  }
  return 0;
}

/* It is mapped and not locked, and says no address: no other one is made. */
static void check_being_made(void) {
  target what = target_try(REMOTE_TARGET, "blank");
  nearbuf_process process = target_open(&what);
  blank_page page = {.address = 0};
  CHECK_OK(nearbuf_process_visit_map(&process, find_blank, &page));
  CHECK(page.address != 0);
  nearbuf_process_request request = anywhere(8);
  nearbuf_process_buffer buffer;
  CHECK_STATUS(NEARBUF_BUSY, nearbuf_process_get(&process, &request, &buffer));
  uint64_t word = page.address;
  CHECK_OK(nearbuf_process_write(&process, page.address, &word, sizeof(void *), NULL));
  (void)put(&process, "hello", 5);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  CHECK_EQUAL(page.address, first_locator(&process, &walk, &locator));
  CHECK_EQUAL(1, locator.count);
  CHECK_EQUAL(0, target_end(&what));
  CHECK_EQUAL(0, unlink(page.name));
}

TEST(a_locator_that_the_process_is_just_making_is_waited_for_and_not_replaced) {
  check_being_made();
}

TEST(so_it_is_where_the_shared_directory_is_another_users) {
  if (geteuid() != 0) {
    test_skip("needs root");
  }
  want_own_tmp();
  if (mkdir("/tmp/.reloaded", 0700) != 0) {
    test_skip("needs a /tmp of its own");
  }
  become_nobody();
  check_being_made();
}

/* ---- A first locator whose count another implementation cleared ------------------------------ */

/* It lists up to the last empty slot; items after it must not be overwritten. */
TEST(a_slot_in_use_behind_a_count_that_was_cleared_is_left_alone) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  uint64_t first = put(&process, "hello", 5);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  uint64_t at = first_locator(&process, &walk, &locator);
  nearbuf_process_request request = anywhere(4096);
  nbuf_item theirs = {.size = 4096, .taken = 1};
  CHECK_OK(nearbuf_process_allocate(&process, &request, &theirs.base, NULL));
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  static _Alignas(8) unsigned char bytes[32];
  nbuf_item_write((uintptr_t)bytes, layout, &theirs);
  const uint8_t count = NBUF_FIRST_SLOT;
  uint64_t slot = at + layout->header_size + (uint64_t)(NBUF_FIRST_SLOT - 1) * layout->item_size;
  CHECK_OK(nearbuf_process_write(&process, slot, bytes, layout->item_size, NULL));
  CHECK_OK(nearbuf_process_write(&process, at + layout->count, &count, 1, NULL));
  CHECK_OK(nearbuf_process_write(&process, at + layout->count_dotnet, &count, 1, NULL));
  request = anywhere(1 << 20);
  nearbuf_process_buffer buffer;
  CHECK_OK(nearbuf_process_get(&process, &request, &buffer));
  (void)first_locator(&process, &walk, &locator);
  CHECK_EQUAL(3, locator.count);
  nearbuf_process_item item;
  CHECK_OK(nearbuf_process_next_item(&walk, &item));
  CHECK_EQUAL(theirs.base, item.address);
  CHECK_OK(nearbuf_process_next_item(&walk, &item));
  CHECK_EQUAL(first, item.address);
  CHECK_OK(nearbuf_process_release(&process, &buffer));
  (void)target_end(&idle);
}

/* ---- A process that uses the library --------------------------------------------------------- */

typedef struct told {
  unsigned long long first;
  unsigned long long bytes;
} told;

/* Makes the process place bytes itself; it reports where its first locator is, and the bytes. */
static told let_place(target *user) {
  char line[64];
  told places;
  CHECK(kill(user->id, SIGUSR1) == 0);
  target_line(user, line, sizeof line);
  CHECK_EQUAL(2, sscanf(line, "%llx %llx", &places.first, &places.bytes));
  return places;
}

static uint64_t address_of_first(nearbuf_process *process, nearbuf_process_locator *locator) {
  nearbuf_process_walk walk;
  uint64_t address = first_locator(process, &walk, locator);
  CHECK(locator->fault == NULL);
  return address;
}

static uint64_t last_item(nearbuf_process *process, uint32_t *used) {
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator;
  nearbuf_process_item item;
  uint64_t address = 0;
  CHECK_OK(nearbuf_process_next_locator(process, &walk, &locator));
  while (nearbuf_process_next_item(&walk, &item) == NEARBUF_OK) {
    address = item.address;
    *used = item.used_bytes;
  }
  return address;
}

TEST(what_was_made_from_outside_is_the_processs_own) {
  target user = target_start(REMOTE_USER_TARGET, NULL, NULL);
  nearbuf_process process = target_open(&user);
  nearbuf_process_locator locator;
  uint64_t address = put(&process, "12345678", 8);
  uint64_t first = address_of_first(&process, &locator);
  told places = let_place(&user);
  CHECK_EQUAL(first, places.first);
  CHECK_EQUAL(address + 16, places.bytes);
  CHECK_EQUAL(address + 32, put(&process, "again", 5));
  CHECK_EQUAL(0, target_end(&user));
}

TEST(what_was_made_from_outside_is_its_own_also_without_its_name) {
  target user = target_start(REMOTE_USER_TARGET, NULL, NULL);
  nearbuf_process process = target_open(&user);
  nearbuf_process_locator locator;
  uint64_t address = put(&process, "12345678", 8);
  uint64_t first = address_of_first(&process, &locator);
  CHECK(unlink(locator.name) == 0);
  told places = let_place(&user);
  CHECK_EQUAL(first, places.first);
  CHECK_EQUAL(address + 16, places.bytes);
  CHECK_EQUAL(first, address_of_first(&process, &locator));
  CHECK_EQUAL(0, target_end(&user));
}

/* A private locator has no name in any directory. Reading it needs nothing else; holding needs the
 * right to open pages, which root has here. */
static void check_private(const char *mode, const char *name) {
  target user = target_try(REMOTE_USER_TARGET, mode);
  nearbuf_process process = target_open(&user);
  nearbuf_process_locator locator;
  nearbuf_process_walk walk = {0};
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_locator(&process, &walk, &locator));
  told places = let_place(&user);
  CHECK_EQUAL(places.first, address_of_first(&process, &locator));
  CHECK(strstr(locator.name, name) != NULL);
  uint32_t used = 0;
  CHECK_EQUAL(places.bytes, last_item(&process, &used));
  CHECK_EQUAL(5, used);
  int maps = target_lines(&user, "maps");
  nearbuf_process_request request = anywhere(8);
  nearbuf_process_buffer buffer;
  if (geteuid() == 0) {
    CHECK_EQUAL(places.bytes + 16, put(&process, "12345678", 8));
    CHECK_EQUAL(places.bytes + 32, let_place(&user).bytes);
  } else {
    CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_get(&process, &request, &buffer));
  }
  CHECK_EQUAL(maps, target_lines(&user, "maps"));
  CHECK_EQUAL(0, target_end(&user));
}

TEST(a_private_locator_in_a_memory_file_is_found) {
  check_private("closed", "/memfd:");
}

TEST(a_private_locator_in_anonymous_memory_is_found_by_the_anchor) {
  check_private("nowhere", "/dev/zero");
}

TEST(without_rights_a_private_locator_can_be_read_but_not_held) {
  become_nobody();
  check_private("nowhere", "/dev/zero");
}

TEST(a_process_without_a_place_for_files_is_given_no_first_locator) {
  target user = target_try(REMOTE_USER_TARGET, "closed");
  nearbuf_process process = target_open(&user);
  int maps = target_lines(&user, "maps");
  nearbuf_process_request request = anywhere(8);
  nearbuf_process_buffer buffer;
  CHECK_STATUS(NEARBUF_SYSTEM_ERROR, nearbuf_process_get(&process, &request, &buffer));
  CHECK_EQUAL(EROFS, process.system_error);
  CHECK_EQUAL(maps, target_lines(&user, "maps"));
  (void)let_place(&user);
  CHECK_EQUAL(0, target_end(&user));
}

/* ---- Old kernels ----------------------------------------------------------------------------- */

static void refuse(unsigned call, unsigned error) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
  CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* Then the file gets its name by a link, and the map continues to show the previous one. */
static void put_without_renameat2(unsigned error) {
  want_own_tmp();
  become_nobody();
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  refuse(SYS_renameat2, error);
  uint64_t address = put(&process, "hello", 5);
  CHECK_EQUAL(address + 16, put(&process, "again", 5));
  (void)target_end(&idle);
}

TEST(an_ordinary_user_needs_no_renameat2) {
  put_without_renameat2(EINVAL);
}

TEST(an_ordinary_user_needs_no_renameat2_where_a_filter_forbids_it) {
  put_without_renameat2(EPERM);
}
