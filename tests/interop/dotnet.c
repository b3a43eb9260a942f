/* One process with the .NET reference, as far as that can be had without .NET: a writer that takes
 * its steps (dotnet_writer.h), and a locator written by hand. */
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "c_interface.h"
#include "dotnet_writer.h"
#include "own_tmp.h"
#include "records.h"
#include "test.h"
#include "window.h"

enum { ITEMS_OF_A_LOCATOR = 203, COUNT_OFFSET = 21, THEIR_COUNT_OFFSET = 23 };

static dotnet_header *attach(void) {
  int file;
  dotnet_header *first = dotnet_find(&file);
  CHECK(first != NULL);
  return first;
}

static unsigned byte_at(uintptr_t locator, uintptr_t offset) {
  return *(const unsigned char *)(locator + offset);
}

/* ---- A locator written by hand ----------------------------------------------------------------- */

/* What it leaves in its file when it has one buffer of 8192 bytes, 32 of them used. The addresses, of
 * the page and of the buffer, are filled in. */
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
  (void)use_own_tmp();
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

/* ---- One after the other ----------------------------------------------------------------------- */

TEST(what_it_made_first_is_shared) {
  (void)use_own_tmp();
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
  (void)use_own_tmp();
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
  (void)use_own_tmp();
  uintptr_t ours = place("nearbuf");
  dotnet_header *first = attach(); /* its lock on the file can be had, and its length be set */
  CHECK_EQUAL(totals().first_locator, (uintptr_t)first);
  dotnet_item *item = dotnet_get(first, 100, WINDOW, WINDOW + WINDOW_SIZE);
  CHECK_EQUAL(ours, item->base);
  CHECK_EQUAL(ours + 7, dotnet_append(item, "reference", 9));
  dotnet_release(item);
  CHECK_EQUAL(ours + 16, place("nearbuf"));
}

TEST(locks_are_seen_by_both) {
  (void)use_own_tmp();
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
  (void)use_own_tmp();
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

/* ---- At the same time -------------------------------------------------------------------------- */

/* The caller's range is all that it looks at, so every page is a range of its own, and the page behind
 * takes what it appends too much when it is overtaken between looking and locking. A page is a hole in
 * what the test mapped from when its turn comes: thousands of holes would only slow the search. */
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
      continue; /* held, or full: whoever cannot append here goes on to the next page */
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
  (void)use_own_tmp();
  (void)attach();
  race();
}

TEST(threads_of_both_keep_every_byte_when_we_are_first) {
  (void)use_own_tmp();
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 1;
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, "", &placed));
  race();
}

/* ---- Rust locators of ours --------------------------------------------------------------------- */

TEST(it_takes_a_rust_locator_of_ours_for_a_full_one) {
  (void)use_own_tmp();
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
  memcpy(after + 24 + 12, before + 24 + 12, 4); /* our position */
  CHECK(memcmp(before, after, PAGE) == 0);
  /* Ours goes on behind its locator. */
  nearbuf_request request = request_in(WINDOW, WINDOW + WINDOW_SIZE - 1, PAGE);
  static nearbuf_buffer held[2 * ITEMS_OF_A_LOCATOR];
  for (int i = 0; i < 2 * ITEMS_OF_A_LOCATOR; i++) {
    CHECK_OK(nearbuf_get(&request, &held[i]));
    CHECK(nearbuf_buffer_address(&held[i]) != item->base);
  }
}

TEST(an_item_of_the_drop_in_looks_taken_to_it_in_every_locator) {
  (void)use_own_tmp();
  uintptr_t ours = place("nearbuf");
  c_interface dropin = dropin_load();
  LocatorItem *rust = c_interface_get(&dropin, WINDOW, WINDOW + WINDOW_SIZE, 100);
  dropin.unlock(rust);
  uintptr_t locator = (uintptr_t)rust & ~(uintptr_t)(PAGE - 1);
  CHECK_EQUAL(ITEMS_OF_A_LOCATOR, byte_at(locator, THEIR_COUNT_OFFSET));
  dotnet_header *first = attach();
  CHECK(locator != (uintptr_t)first);
  /* It fills the first locator, passes the Rust one, and goes on in one of its own. */
  for (int i = 0; i < 2 * ITEMS_OF_A_LOCATOR; i++) {
    dotnet_item *item = dotnet_get(first, PAGE, WINDOW, WINDOW + WINDOW_SIZE);
    CHECK(item != NULL && item->base != rust->base_address);
    CHECK(i == 0 || item->base != ours);
  }
  CHECK_EQUAL(0, rust->is_taken);
  CHECK_EQUAL(0, rust->position);
}
