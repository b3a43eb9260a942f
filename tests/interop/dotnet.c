/* One process with the .NET implementation, as far as possible without .NET: a writer that takes
 * its steps (dotnet_writer.h), and a locator written by hand. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "c_interface.h"
#include "dotnet_writer.h"
#include "locator_names.h"
#include "os/pages.h"
#include "own_tmp.h"
#include "records.h"
#include "test.h"
#include "threads.h"
#include "window.h"

enum { ITEMS_OF_A_LOCATOR = 203, COUNT_OFFSET = 21, THEIR_COUNT_OFFSET = 23 };

/* It has no other place for its file. */
static void need_shared_directory(void) {
  if (!use_shared_directory()) {
    test_skip("the shared directory is another user's");
  }
}

static dotnet_header *attach(void) {
  int file;
  dotnet_header *first = dotnet_find(&file);
  CHECK(first != NULL);
  return first;
}

static unsigned byte_at(uintptr_t locator, uintptr_t offset) {
  return *(const unsigned char *)(locator + offset);
}

/* ---- A locator written by hand --------------------------------------------------------------- */

/* Its file when it has one buffer of 8192 bytes, 32 of them used. The addresses of the page and of
 * the buffer are filled in. */
static const unsigned char image[] = {
    0,  0,    0, 0, 0, 0, 0, 0, /* 0: this address */
    0,  0,    0, 0, 0, 0, 0, 0, /* 8: next locator */
    0,  0,    0, 0,             /* 16: is locked */
    0,                          /* 20: flags */
    0,  0,                      /* 21: padding */
    1,                          /* 23: item count */
    0,  0,    0, 0, 0, 0, 0, 0, /* 24: base address */
    0,  0,    0, 0,             /* 32: is taken */
    0,  0x20, 0, 0,             /* 36: size */
    32, 0,    0, 0,             /* 40: position */
};

TEST(a_locator_of_its_bytes_is_recognised_and_spoken) {
  need_shared_directory();
  void *buffer = mmap((void *)WINDOW, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  CHECK_EQUAL(WINDOW, (uintptr_t)buffer);
  int file;
  dotnet_header *page = dotnet_find(&file);
  CHECK(page != NULL);
  uintptr_t locator = (uintptr_t)page;
  memcpy(page, image, sizeof image);
  memcpy(page, &locator, sizeof locator);
  memcpy(dotnet_items(page), &buffer, sizeof buffer);

  CHECK_EQUAL(WINDOW + 32, place("into its buffer"));
  CHECK_EQUAL(locator, totals().first_locator);
  CHECK_EQUAL(NEARBUF_DIALECT_DOTNET, find(WINDOW).dialect);
  CHECK_EQUAL(32 + 15, byte_at(locator, 40));
  CHECK_EQUAL(0, byte_at(locator, 32));

  nearbuf_request request = request_in(WINDOW, WINDOW + WINDOW_SIZE - 1, 8192);
  nearbuf_buffer more;
  CHECK_OK(nearbuf_get(&request, &more));
  CHECK_EQUAL(2, byte_at(locator, COUNT_OFFSET));
  CHECK_EQUAL(2, byte_at(locator, THEIR_COUNT_OFFSET));
  CHECK_EQUAL(1, byte_at(locator, 24 + 20 + 8));
  CHECK_EQUAL(nearbuf_buffer_address(&more), dotnet_items(page)[1].base);
}

/* ---- One after the other --------------------------------------------------------------------- */

TEST(what_it_made_first_is_shared) {
  need_shared_directory();
  dotnet_header *first = attach();
  dotnet_item *item = dotnet_get(first, 100, WINDOW, WINDOW + WINDOW_SIZE);
  CHECK(item != NULL);
  uintptr_t theirs = dotnet_append(item, "reference", 9);
  dotnet_release(item);
  CHECK_EQUAL(theirs + 9, place("nearbuf"));
  CHECK_EQUAL((uintptr_t)first, totals().first_locator);
  CHECK_EQUAL(16, item->position);
}

TEST(an_empty_locator_of_it_is_told_by_its_files_mode) {
  need_shared_directory();
  dotnet_header *first = attach();
  uintptr_t ours = place("nearbuf");
  CHECK_EQUAL(NEARBUF_DIALECT_DOTNET, find(ours).dialect);
  CHECK_EQUAL(1, byte_at((uintptr_t)first, COUNT_OFFSET));
  CHECK_EQUAL(1, byte_at((uintptr_t)first, THEIR_COUNT_OFFSET));
  dotnet_item *item = dotnet_get(first, 100, WINDOW, WINDOW + WINDOW_SIZE);
  CHECK_EQUAL(ours, item->base);
  CHECK_EQUAL(7, item->position);
}

TEST(what_we_made_first_is_shared_by_it) {
  need_shared_directory();
  uintptr_t ours = place("nearbuf");
  dotnet_header *first = attach(); /* it can lock the file, and set its size */
  CHECK_EQUAL(totals().first_locator, (uintptr_t)first);
  dotnet_item *item = dotnet_get(first, 100, WINDOW, WINDOW + WINDOW_SIZE);
  CHECK_EQUAL(ours, item->base);
  CHECK_EQUAL(ours + 7, dotnet_append(item, "reference", 9));
  dotnet_release(item);
  CHECK_EQUAL(ours + 16, place("nearbuf"));
}

/* The second of its two ways to append. */
TEST(a_value_that_it_appends_without_moving_the_position_is_written_over) {
  need_shared_directory();
  dotnet_header *first = attach();
  dotnet_item *item = dotnet_get(first, 100, WINDOW, WINDOW + WINDOW_SIZE);
  uintptr_t value = dotnet_append_value(item, UINT64_MAX);
  dotnet_release(item);
  CHECK_EQUAL(value, place("nearbuf"));
  CHECK(memcmp((const void *)value, "nearbuf\xff", 8) == 0);
}

TEST(locks_are_seen_by_both) {
  need_shared_directory();
  nearbuf_request request = request_in(WINDOW, WINDOW + PAGE - 1, 100);
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  dotnet_header *first = attach();
  CHECK(dotnet_get(first, 100, WINDOW, WINDOW + PAGE) == NULL);
  CHECK_OK(nearbuf_release(&buffer));
  dotnet_item *item = dotnet_get(first, 100, WINDOW, WINDOW + PAGE);
  CHECK(item != NULL);
  CHECK_EQUAL(1, find(WINDOW).is_taken);
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_get(&request, &buffer));
  dotnet_release(item);
  CHECK_OK(nearbuf_get(&request, &buffer));
}

TEST(chains_of_locators_of_both_are_followed_by_both) {
  enum { HELD = 700 };
  static dotnet_item *theirs[HELD];
  static nearbuf_buffer ours[HELD];
  need_shared_directory();
  dotnet_header *first = attach();
  nearbuf_request request = request_in(WINDOW, WINDOW + WINDOW_SIZE - 1, PAGE);
  for (int i = 0; i < HELD; i++) {
    if (i / 250 % 2 == 0) {
      theirs[i] = dotnet_get(first, PAGE, WINDOW, WINDOW + WINDOW_SIZE);
      CHECK(theirs[i] != NULL);
      CHECK_EQUAL(1, find(theirs[i]->base).is_taken);
    } else {
      CHECK_OK(nearbuf_get(&request, &ours[i]));
    }
  }
  nearbuf_totals all = totals();
  CHECK(all.taken >= HELD);
  CHECK(all.locators > HELD / ITEMS_OF_A_LOCATOR);
  for (int i = 0; i < HELD; i++) {
    uintptr_t base = theirs[i] != NULL ? theirs[i]->base : nearbuf_buffer_address(&ours[i]);
    memset((void *)base, i & 0xff, PAGE);
  }
  for (int i = 0; i < HELD; i++) {
    uintptr_t base = theirs[i] != NULL ? theirs[i]->base : nearbuf_buffer_address(&ours[i]);
    CHECK_EQUAL(i & 0xff, *(const unsigned char *)base);
  }
}

/* ---- While it is starting -------------------------------------------------------------------- */

static uintptr_t place_when_it_is_no_longer_busy(void) {
  nearbuf_request request = request_in(WINDOW, WINDOW + WINDOW_SIZE - 1, 7);
  nearbuf_memory placed;
  nearbuf_status status;
  do {
    status = nearbuf_place(&request, "nearbuf", &placed);
  } while (status == NEARBUF_BUSY);
  CHECK_OK(status);
  return (uintptr_t)placed.run_at;
}

/* Of this process: in the machine's /tmp there may be others. */
static int count_files(void) {
  char own[32];
  (void)snprintf(own, sizeof own, ", PID %d", (int)getpid());
  DIR *directory = opendir(LOCATOR_DIRECTORY);
  CHECK(directory != NULL);
  int count = 0;
  for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    const char *found = strstr(entry->d_name, own);
    int next = found == NULL ? '0' : found[strlen(own)];
    count += next < '0' || next > '9';
  }
  closedir(directory);
  return count;
}

static void finish_in_a_while(void *context) {
  dotnet_birth *birth = context;
  usleep(300000);
  CHECK(dotnet_go_on(birth, DOTNET_MAPPED));
  (void)dotnet_finish(birth);
}

/* It continues meanwhile. */
static void expect_waiting(dotnet_step last) {
  need_shared_directory();
  dotnet_birth birth = dotnet_look();
  CHECK(dotnet_go_on(&birth, last));
  test_thread thread = test_thread_start(finish_in_a_while, &birth);
  (void)place_when_it_is_no_longer_busy();
  test_thread_join(thread);
  CHECK_EQUAL((uintptr_t)birth.mapped, totals().first_locator);
  CHECK_EQUAL(1, count_files());
}

/* It does not continue until the file is older than a new one can be. */
static void expect_busy(dotnet_step last) {
  need_shared_directory();
  dotnet_birth birth = dotnet_look();
  CHECK(dotnet_go_on(&birth, last));
  nearbuf_request request = request_in(WINDOW, WINDOW + WINDOW_SIZE - 1, 7);
  nearbuf_memory placed;
  struct stat status;
  do {
    CHECK_STATUS(NEARBUF_BUSY, nearbuf_place(&request, "nearbuf", &placed));
    CHECK_EQUAL(0, totals().first_locator);
    CHECK_EQUAL(1, count_files());
    CHECK_EQUAL(0, stat(birth.name, &status));
  } while (time(NULL) <= status.st_ctime + 2);
  CHECK(dotnet_go_on(&birth, DOTNET_MAPPED));
  CHECK(dotnet_finish(&birth) == birth.mapped);
  (void)place("nearbuf");
  CHECK_EQUAL((uintptr_t)birth.mapped, totals().first_locator);
  CHECK_EQUAL(1, count_files());
}

TEST(a_file_that_it_has_only_opened_is_waited_for) {
  expect_waiting(DOTNET_OPENED);
}

TEST(a_file_that_it_has_mapped_is_waited_for_until_it_is_complete) {
  expect_waiting(DOTNET_MAPPED);
}

TEST(while_it_has_only_opened_its_file_the_answer_is_busy_and_no_second_locator) {
  expect_busy(DOTNET_OPENED);
}

TEST(while_it_has_only_locked_its_file_the_answer_is_busy_and_no_second_locator) {
  expect_busy(DOTNET_LOCKED);
}

TEST(while_it_has_not_yet_mapped_its_file_the_answer_is_busy_and_no_second_locator) {
  expect_busy(DOTNET_SIZED);
}

TEST(while_it_does_not_complete_its_file_the_answer_is_busy_and_no_second_locator) {
  expect_busy(DOTNET_MAPPED);
}

/* If nothing in /tmp may be executed it fails, and leaves its file open. */
TEST(a_file_that_it_cannot_map_is_not_waited_for) {
  if (!use_own_tmp() || mount(NULL, "/tmp", NULL, MS_REMOUNT | MS_NOEXEC, NULL) != 0) {
    test_skip("cannot mount a /tmp of its own: %s", strerror(errno));
  }
  dotnet_birth birth = dotnet_look();
  if (dotnet_go_on(&birth, DOTNET_MAPPED)) {
    test_skip(
        "this system lets what lies in such a place be executed"); /* qemu maps it otherwise */
  }
  CHECK_EQUAL(DOTNET_MAPPED, birth.done);
  (void)place("nearbuf");
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, totals().sharing);
}

/* It looks for the file before ours exists, and clears our header afterwards. */
static dotnet_header *clear_ours(const dotnet_birth *early) {
  dotnet_birth birth = *early;
  CHECK(!birth.has_existed && dotnet_go_on(&birth, DOTNET_MAPPED));
  CHECK(dotnet_finish(&birth) == birth.mapped);
  CHECK_EQUAL(0, birth.mapped->count);
  return birth.mapped;
}

/* Whether it reaches a held item with this buffer when it walks its chain. */
static bool sees_held(dotnet_header *first, uintptr_t base) {
  bool is_seen = false;
  for (dotnet_header *at = first; at != NULL; at = at->next) {
    for (uint32_t i = 0; i < at->count; i++) {
      is_seen = is_seen || (dotnet_items(at)[i].base == base && dotnet_items(at)[i].is_taken == 1);
    }
  }
  return is_seen;
}

TEST(a_locator_of_ours_that_it_clears_is_whole_again_with_the_next_call) {
  need_shared_directory();
  dotnet_birth early = dotnet_look();
  nearbuf_request request = request_in(WINDOW, WINDOW + WINDOW_SIZE - 1, 100);
  nearbuf_buffer held;
  void *first_bytes;
  void *second_bytes;
  CHECK_OK(nearbuf_get(&request, &held));
  CHECK_OK(nearbuf_append(&held, "nearbuf", 7, &first_bytes));
  uintptr_t ours = totals().first_locator;
  dotnet_header *theirs = clear_ours(&early);
  CHECK(theirs != (dotnet_header *)ours); /* another mapping of the same page */
  dotnet_item *item = dotnet_get(theirs, 100, WINDOW, WINDOW + WINDOW_SIZE);
  CHECK(item == dotnet_items(theirs) && item->base != nearbuf_buffer_address(&held));
  uintptr_t reference = dotnet_append(item, "reference", 9);
  CHECK_OK(nearbuf_append(&held, "more", 4, &second_bytes));
  CHECK_EQUAL((uintptr_t)first_bytes + 7, (uintptr_t)second_bytes);
  CHECK_EQUAL(9, item->position);

  CHECK_EQUAL(2, totals().buffers);
  CHECK_EQUAL(2, totals().taken);
  CHECK_EQUAL(ours, totals().first_locator);
  CHECK_EQUAL(ours, theirs->this_address);
  CHECK_EQUAL(NBUF_FIRST_SLOT + 1, theirs->count);
  CHECK(sees_held(theirs, nearbuf_buffer_address(&held)));
  CHECK_EQUAL(9, find(reference).used_bytes);
  uintptr_t base = nearbuf_buffer_address(&held);
  CHECK_OK(nearbuf_release(&held));
  CHECK(!sees_held(theirs, base));
  CHECK_EQUAL(1, item->is_taken);
  dotnet_release(item);
  CHECK(memcmp(first_bytes, "nearbufmore", 11) == 0);
  CHECK(memcmp((const void *)reference, "reference", 9) == 0);
}

TEST(a_chain_whose_first_link_it_cleared_is_linked_again) {
  enum { HELD = 500 };
  static nearbuf_buffer held[HELD];
  need_shared_directory();
  dotnet_birth early = dotnet_look();
  nearbuf_request request = request_in(WINDOW, WINDOW + WINDOW_SIZE - 1, PAGE);
  for (int i = 0; i < HELD; i++) {
    CHECK_OK(nearbuf_get(&request, &held[i]));
  }
  nearbuf_totals before = totals();
  CHECK(before.locators > 2);
  dotnet_header *theirs = clear_ours(&early);
  dotnet_item *item = dotnet_get(theirs, 100, WINDOW, WINDOW + WINDOW_SIZE);
  CHECK(item != NULL);
  CHECK_EQUAL(before.buffers + 1, totals().buffers);
  for (int i = 0; i < HELD; i++) {
    CHECK(sees_held(theirs, nearbuf_buffer_address(&held[i])));
    CHECK(item->base != nearbuf_buffer_address(&held[i]));
    CHECK_OK(nearbuf_release(&held[i]));
  }
  CHECK_EQUAL(1, totals().taken);
}

/* ---- At the same time ------------------------------------------------------------------------ */

/* It checks only the caller's range, so every page is a range of its own, and the page after it
 * receives what it appends beyond the end when another thread appends between its check and its
 * lock. A page is a hole in what the test mapped, made just before it is needed: thousands of holes
 * would only slow down the search. */
enum { PAGES = 20000 };

static dotnet_header *raced;
static atomic_uint page_number;
static atomic_uint overtaken;

static uintptr_t page_at(uint32_t number) {
  return WINDOW + (uintptr_t)number * 2 * PAGE;
}

static void open_page(uint32_t number) {
  CHECK(munmap((void *)page_at(number), PAGE) == 0);
}

static void append_theirs(records *list) {
  unsigned char bytes[LONGEST_RECORD];
  while (records_go_on(list)) {
    uint32_t number = atomic_load(&page_number);
    uintptr_t page = page_at(number);
    record next = records_next(list, bytes);
    dotnet_item *item = dotnet_get(raced, next.length, page, page + PAGE);
    if (item == NULL) {
      continue; /* held or full: a writer that cannot append here goes on to the next page */
    }
    bool is_inside = item->position + next.length <= item->size;
    next.address = dotnet_append(item, bytes, next.length);
    dotnet_release(item);
    if (is_inside) {
      records_keep(list, &next);
    } else {
      atomic_fetch_add(&overtaken, 1);
    }
  }
}

static void append_ours(records *list) {
  unsigned char bytes[LONGEST_RECORD];
  while (records_go_on(list)) {
    uint32_t number = atomic_load(&page_number);
    record next = records_next(list, bytes);
    uintptr_t page = page_at(number);
    nearbuf_request request = request_in(page, page + PAGE - 1, next.length);
    nearbuf_memory placed;
    nearbuf_status status = nearbuf_place(&request, bytes, &placed);
    if (status == NEARBUF_OK) {
      next.address = (uintptr_t)placed.run_at;
      CHECK(next.address >= page && next.address + next.length <= page + PAGE);
      records_keep(list, &next);
    } else {
      CHECK_EQUAL(NEARBUF_NO_ROOM, status); /* held, or full, or mapped and not yet listed */
      nearbuf_info info;
      if (nearbuf_find((const void *)page, &info) == NEARBUF_OK &&
          info.size_bytes - info.used_bytes < LONGEST_RECORD && number + 1 < PAGES &&
          atomic_compare_exchange_strong(&page_number, &number, number + 1)) {
        open_page(number + 1);
      }
    }
  }
}

static bool has_filled_a_locator(void) {
  return totals().locators > 1;
}

static void race(void) {
  void *spill = mmap((void *)WINDOW, (size_t)PAGES * 2 * PAGE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  CHECK_EQUAL(WINDOW, (uintptr_t)spill);
  open_page(0);
  raced = attach();
  records_race(append_theirs, append_ours, 1500, has_filled_a_locator);
  printf("%u pages, %u locators, overtaken %u times\n", atomic_load(&page_number) + 1,
         (unsigned)totals().locators, atomic_load(&overtaken));
}

TEST(threads_of_both_keep_every_byte_when_it_is_first) {
  need_shared_directory();
  (void)attach();
  race();
}

TEST(threads_of_both_keep_every_byte_when_we_are_first) {
  need_shared_directory();
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 1;
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, "", &placed));
  race();
}

/* ---- Rust locators of ours ------------------------------------------------------------------- */

TEST(it_takes_a_rust_locator_of_ours_for_a_full_one) {
  need_shared_directory();
  CHECK_OK(nearbuf_choose_dialect(NEARBUF_DIALECT_RUST));
  uintptr_t ours = place("nearbuf");
  dotnet_header *first = attach();
  unsigned char before[PAGE];
  unsigned char after[PAGE];
  memcpy(before, first, PAGE);
  dotnet_item *item = dotnet_get(first, 100, WINDOW, WINDOW + WINDOW_SIZE);
  CHECK(item != NULL && item->base != ours);
  uintptr_t theirs = dotnet_append(item, "reference", 9);
  CHECK_EQUAL(ours + 7, place("more"));
  CHECK(memcmp((const void *)ours, "nearbufmore", 11) == 0);
  CHECK(memcmp((const void *)theirs, "reference", 9) == 0);
  /* It linked its own locator, and changed nothing else. */
  memcpy(after, first, PAGE);
  memset(before + 8, 0, 8);
  memset(after + 8, 0, 8);
  size_t position = sizeof *first + NBUF_FIRST_SLOT * sizeof *item + 12;
  memcpy(after + position, before + position, 4); /* ours */
  size_t spare = sizeof *first + (NBUF_FIRST_SLOT - 1) * sizeof *item;
  memcpy(after + spare, before + spare, sizeof *item); /* nearbuf's second copy of the link */
  CHECK(memcmp(before, after, PAGE) == 0);
  /* Ours continues after its locator. */
  nearbuf_request request = request_in(WINDOW, WINDOW + WINDOW_SIZE - 1, PAGE);
  static nearbuf_buffer held[2 * ITEMS_OF_A_LOCATOR];
  for (int i = 0; i < 2 * ITEMS_OF_A_LOCATOR; i++) {
    CHECK_OK(nearbuf_get(&request, &held[i]));
    CHECK(nearbuf_buffer_address(&held[i]) != item->base);
  }
}

TEST(an_item_of_the_drop_in_looks_taken_to_it_in_every_locator) {
  need_shared_directory();
  uintptr_t ours = place("nearbuf");
  c_interface dropin = dropin_load();
  LocatorItem *rust = c_interface_get(&dropin, WINDOW, WINDOW + WINDOW_SIZE, 100);
  dropin.unlock(rust);
  uintptr_t locator = (uintptr_t)rust & ~(uintptr_t)(PAGE - 1);
  CHECK_EQUAL(ITEMS_OF_A_LOCATOR, byte_at(locator, THEIR_COUNT_OFFSET));
  dotnet_header *first = attach();
  CHECK(locator != (uintptr_t)first);
  /* It fills the first locator, passes the Rust one, and continues in one of its own. */
  for (int i = 0; i < 2 * ITEMS_OF_A_LOCATOR; i++) {
    dotnet_item *item = dotnet_get(first, PAGE, WINDOW, WINDOW + WINDOW_SIZE);
    CHECK(item != NULL && item->base != rust->base_address);
    CHECK(i == 0 || item->base != ours);
  }
  CHECK_EQUAL(0, rust->is_taken);
  CHECK_EQUAL(0, rust->position);
}
