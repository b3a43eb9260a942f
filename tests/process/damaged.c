/* Locators that were damaged by others, or whose version is unknown: recognised, and not written
 * to. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/format.h"
#include "base/shared.h"
#include "os/os.h"
#include "support.h"

enum { PAGE = 4096, BUFFER = 65536, PIECES = 16 };

static unsigned char *buffer_memory;

/* A page that another library published for this process, and has mapped, with these items. */
static unsigned char *publish_items(nearbuf_dialect dialect, const nbuf_item *items,
                                    uint32_t count) {
  int file = open(locator_path(getpid()).text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  CHECK_EQUAL(0, ftruncate(file, PAGE));
  unsigned char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  nbuf_format_build((uintptr_t)page, nbuf_native_layout(dialect), (uintptr_t)page, items, count);
  return page;
}

static void prepare(void) {
  own_tmp();
  make_locator_directory();
  /* Not adjacent to other memory: qemu's map shows for adjacent mappings the protection of the
   * lowest. */
  unsigned char *room =
      mmap(NULL, (size_t)4 * BUFFER, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  buffer_memory = room + BUFFER;
  CHECK_EQUAL(0, mprotect(buffer_memory, (size_t)2 * BUFFER, PROT_READ | PROT_WRITE | PROT_EXEC));
}

/* A locator with two sound items: only what the test then changes can be wrong. */
static unsigned char *publish(void) {
  prepare();
  nbuf_item items[] = {{.base = (uintptr_t)buffer_memory, .size = BUFFER},
                       {.base = (uintptr_t)buffer_memory + BUFFER, .size = BUFFER}};
  return publish_items(NEARBUF_DIALECT_WRITTEN, items, 2);
}

static const nbuf_layout *layout(void) {
  return nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
}

static uintptr_t item_field(const unsigned char *page, uint32_t index, uint32_t field) {
  return nbuf_item_at((uintptr_t)page, layout(), index) + field;
}

static void expect_untouched(const unsigned char *page) {
  static unsigned char before[PAGE];
  memcpy(before, page, PAGE);
  nearbuf_request request = request_of(64);
  nearbuf_buffer buffer;
  nearbuf_info info;
  nearbuf_walk walk = {0};
  nearbuf_totals totals;
  for (int i = 0; i < 3; i++) {
    CHECK_STATUS(NEARBUF_INCOMPATIBLE, nearbuf_get(&request, &buffer));
    CHECK_STATUS(NEARBUF_INCOMPATIBLE, nearbuf_next(&walk, &info));
    CHECK_STATUS(NEARBUF_INCOMPATIBLE, nearbuf_find(page, &info));
    CHECK_STATUS(NEARBUF_INCOMPATIBLE, nearbuf_get_totals(&totals));
  }
  CHECK(memcmp(before, page, PAGE) == 0);
  CHECK_EQUAL(1, count_locator_files());
  nearbuf_memory own;
  CHECK_OK(nearbuf_allocate(&request, &own)); /* what needs no locator works */
}

TEST(an_undamaged_page_of_another_process_is_used) {
  unsigned char *page = publish();
  (void)place("x", 1);
  CHECK_EQUAL((uintptr_t)page, first_locator());
  CHECK_EQUAL('x', buffer_memory[0]);
}

TEST(an_unknown_version_in_the_upper_bits_is_incompatible) {
  unsigned char *page = publish();
  page[layout()->flags] = 1 << 5;
  expect_untouched(page);
}

TEST(an_unknown_version_in_the_lower_bits_is_incompatible) {
  unsigned char *page = publish();
  page[layout()->flags] = 1;
  expect_untouched(page);
}

TEST(a_count_of_more_items_than_fit_is_incompatible) {
  if (layout()->capacity == UINT8_MAX) {
    test_skip("as many fit as can be counted");
  }
  unsigned char *page = publish();
  page[layout()->count] = (unsigned char)(layout()->capacity + 1);
  expect_untouched(page);
}

TEST(a_count_of_items_that_are_not_there_is_incompatible) {
  unsigned char *page = publish();
  page[layout()->count] = 3;
  expect_untouched(page);
}

TEST(a_lock_that_is_neither_free_nor_held_is_incompatible) {
  unsigned char *page = publish();
  nbuf_shared_store_relaxed((uintptr_t)page + layout()->locked, 2);
  expect_untouched(page);
}

TEST(a_chain_that_is_a_cycle_of_one_locator_is_incompatible) {
  unsigned char *page = publish();
  nbuf_shared_address_store_release((uintptr_t)page + layout()->next, sizeof(uintptr_t),
                                    (uintptr_t)page);
  expect_untouched(page);
}

TEST(a_link_that_is_not_aligned_is_incompatible) {
  unsigned char *page = publish();
  nbuf_shared_address_store_release((uintptr_t)page + layout()->next, sizeof(uintptr_t), 0x12345);
  expect_untouched(page);
}

TEST(an_item_without_an_address_is_incompatible) {
  unsigned char *page = publish();
  nbuf_shared_address_store_release(item_field(page, 1, 0), sizeof(uintptr_t), 0);
  expect_untouched(page);
}

TEST(an_item_without_a_size_is_incompatible) {
  unsigned char *page = publish();
  nbuf_shared_store_relaxed(item_field(page, 1, layout()->size), 0);
  expect_untouched(page);
}

TEST(an_item_that_has_used_more_than_its_size_is_incompatible) {
  unsigned char *page = publish();
  nbuf_shared_store_relaxed(item_field(page, 1, layout()->position), BUFFER + 1);
  expect_untouched(page);
}

TEST(an_item_whose_lock_is_neither_free_nor_held_is_incompatible) {
  unsigned char *page = publish();
  nbuf_shared_store_relaxed(item_field(page, 1, layout()->taken), 7);
  expect_untouched(page);
}

TEST(items_that_overlap_are_incompatible) {
  unsigned char *page = publish();
  nbuf_shared_address_store_release(item_field(page, 1, 0), sizeof(uintptr_t),
                                    (uintptr_t)buffer_memory + 100);
  expect_untouched(page);
}

TEST(an_item_that_wraps_around_is_incompatible) {
  unsigned char *page = publish();
  nbuf_shared_address_store_release(item_field(page, 1, 0), sizeof(uintptr_t), UINTPTR_MAX - 100);
  expect_untouched(page);
}

/* Faults that only the memory map shows are found when the item is to be used. */
static void expect_damaged_item(unsigned char *page) {
  unsigned char before[PAGE];
  memcpy(before, page, PAGE);
  nearbuf_request request = request_of(64);
  nearbuf_buffer buffer;
  for (int i = 0; i < 3; i++) {
    CHECK_STATUS(NEARBUF_INCOMPATIBLE, nearbuf_get(&request, &buffer));
  }
  CHECK(memcmp(before, page, PAGE) == 0);
}

TEST(an_item_whose_memory_is_not_mapped_is_never_used) {
  unsigned char *page = publish();
  CHECK_EQUAL(0, munmap(buffer_memory + PAGE, PAGE));
  expect_damaged_item(page);
}

/* ---- Items that are passed over -------------------------------------------------------------- */

/* Two modules, one of which comes later, place more than two items hold: not a byte is written to
 * the memory of the first `bad` items, which stay unchanged, and the other one is used. */
static void expect_passed_over(const unsigned char *page, nearbuf_dialect dialect, uint32_t bad,
                               uintptr_t good) {
  const nbuf_layout *items = nbuf_native_layout(dialect);
  static unsigned char before[PAGE];
  memcpy(before, page, PAGE);
  copy later = load_copy(1);
  bool is_good_used = false;
  for (int i = 0; i < 2 * PIECES; i++) {
    nearbuf_request request = request_of(2 * BUFFER / PIECES);
    nearbuf_buffer buffer;
    CHECK_OK((i % 2 == 0 ? nearbuf_get : later.get)(&request, &buffer));
    is_good_used = is_good_used || buffer.address == good;
    for (uint32_t k = 0; k < bad; k++) {
      nbuf_item item = nbuf_item_read(nbuf_item_at((uintptr_t)page, items, k), items);
      CHECK(buffer.address + buffer.start >= item.base + item.size ||
            buffer.address + buffer.limit <= item.base);
    }
    static const unsigned char bytes[2 * BUFFER / PIECES] = {1};
    CHECK_OK((i % 2 == 0 ? nearbuf_append : later.append)(&buffer, bytes, sizeof bytes, NULL));
    CHECK_OK((i % 2 == 0 ? nearbuf_release : later.release)(&buffer));
  }
  CHECK(good == 0 || is_good_used);
  uintptr_t first = nbuf_item_at(0, items, 0);
  CHECK(memcmp(before + first, page + first, (size_t)bad * items->item_size) == 0);
  CHECK_EQUAL((uintptr_t)page, first_locator());
  CHECK_EQUAL((uintptr_t)page, first_locator_of(&later));
  CHECK_EQUAL(1, count_locator_files());
}

static void expect_protected_is_passed_over(int protection) {
  unsigned char *page = publish();
  CHECK_EQUAL(0, mprotect(buffer_memory + BUFFER - PAGE, PAGE, protection));
  expect_passed_over(page, NEARBUF_DIALECT_WRITTEN, 1, (uintptr_t)buffer_memory + BUFFER);
}

TEST(an_item_with_a_page_that_cannot_be_written_is_passed_over) {
  expect_protected_is_passed_over(PROT_READ | PROT_EXEC);
}

/* Emulators of user programs map executable memory without that right, so that both look alike. */
static bool does_map_tell_what_is_executable(void) {
  unsigned char *pages = mmap(NULL, (size_t)2 * BUFFER, PROT_READ | PROT_WRITE | PROT_EXEC,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(pages != MAP_FAILED);
  CHECK_EQUAL(0, mprotect(pages + BUFFER, BUFFER, PROT_READ | PROT_WRITE));
  nbuf_map map;
  nbuf_mapping mapping;
  CHECK_OK(nbuf_os_map_open(&map, false).status);
  CHECK_EQUAL(NBUF_MAP_FOUND, nbuf_os_map_next(&map, (uintptr_t)pages + BUFFER, &mapping));
  nbuf_os_map_close(&map);
  CHECK_EQUAL(0, munmap(pages, (size_t)2 * BUFFER));
  return !mapping.executable;
}

TEST(an_item_with_a_page_that_cannot_be_executed_is_passed_over) {
  if (!does_map_tell_what_is_executable()) {
    test_skip("the memory map does not tell what is executable");
  }
  expect_protected_is_passed_over(PROT_READ | PROT_WRITE);
}

TEST(an_item_with_a_page_that_cannot_be_used_at_all_is_passed_over) {
  expect_protected_is_passed_over(PROT_NONE);
}

/* As the Rust implementation lists the rest of its section on Windows. */
TEST(items_that_a_rust_locator_lists_at_one_address_are_passed_over_all_of_them) {
  prepare();
  uintptr_t shared = (uintptr_t)buffer_memory;
  uintptr_t good = shared + BUFFER;
  nbuf_item items[] = {{.base = shared, .size = 16384},
                       {.base = shared, .size = 16384},
                       {.base = shared, .size = 16384},
                       {.base = shared, .size = 12288},
                       {.base = good, .size = BUFFER}};
  const unsigned char *page = publish_items(NEARBUF_DIALECT_RUST, items, 5);
  expect_passed_over(page, NEARBUF_DIALECT_RUST, 4, good);
}

TEST(an_item_that_a_later_one_shares_a_byte_with_is_passed_over) {
  prepare();
  uintptr_t shared = (uintptr_t)buffer_memory;
  nbuf_item items[] = {{.base = shared, .size = BUFFER},
                       {.base = shared + BUFFER - 1, .size = BUFFER}};
  const unsigned char *page = publish_items(NEARBUF_DIALECT_RUST, items, 2);
  expect_passed_over(page, NEARBUF_DIALECT_RUST, 2, 0);
}

TEST(an_item_that_is_passed_over_is_not_looked_up_again) {
  unsigned char *page = publish();
  CHECK_EQUAL(0, mprotect(buffer_memory, BUFFER, PROT_READ | PROT_WRITE));
  (void)place("x", 1);
  CHECK_EQUAL(0, mprotect(buffer_memory, BUFFER, PROT_READ | PROT_WRITE | PROT_EXEC));
  nearbuf_request request = request_of(1);
  request.range = (nearbuf_range){(uintptr_t)buffer_memory, (uintptr_t)buffer_memory + BUFFER - 1};
  nearbuf_buffer buffer;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_get(&request, &buffer));
  CHECK_EQUAL((uintptr_t)page, first_locator());
}

/* ---- Items behind a cleared count ------------------------------------------------------------ */

/* The last page of the second item's memory has this protection. */
static void expect_count_once_cleared(int protection, uint32_t count) {
  unsigned char *page = publish();
  nbuf_format_store_count((uintptr_t)page, layout(), 1);
  CHECK_EQUAL(0, mprotect(buffer_memory + (size_t)2 * BUFFER - PAGE, PAGE, protection));
  (void)place("x", 1);
  CHECK_EQUAL((uintptr_t)page, first_locator());
  CHECK_EQUAL(count, nbuf_format_count((uintptr_t)page, layout()));
}

TEST(an_item_behind_a_cleared_count_is_counted_again_though_it_is_write_protected) {
  expect_count_once_cleared(PROT_READ, 2);
}

TEST(an_item_behind_a_cleared_count_is_not_counted_if_it_cannot_be_read) {
  expect_count_once_cleared(PROT_NONE, 1);
}

/* ---- Chains ---------------------------------------------------------------------------------- */

/* The first locator is full and sound; what it links to is not. */
static unsigned char *publish_full(void) {
  unsigned char *page = publish();
  uint32_t capacity = layout()->capacity;
  unsigned char *memory = mmap(NULL, (size_t)capacity * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (uint32_t i = 0; i < capacity; i++) {
    nbuf_item item = {
        .base = (uintptr_t)memory + (uintptr_t)i * PAGE, .size = PAGE, .position = PAGE};
    nbuf_item_write(nbuf_item_at((uintptr_t)page, layout(), i), layout(), &item);
  }
  nbuf_format_store_count((uintptr_t)page, layout(), capacity);
  return page;
}

static void expect_broken_chain(unsigned char *page, uintptr_t next) {
  nbuf_shared_address_store_release((uintptr_t)page + layout()->next, sizeof next, next);
  unsigned char before[PAGE];
  memcpy(before, page, PAGE);
  nearbuf_request request = request_of(64);
  nearbuf_buffer buffer;
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, nearbuf_get(&request, &buffer));
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, nearbuf_get(&request, &buffer));
  CHECK(memcmp(before, page, PAGE) == 0);
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals)); /* what is known stays visible */
  CHECK_EQUAL(layout()->capacity, totals.buffers);
}

TEST(a_link_to_nothing_is_incompatible) {
  unsigned char *page = publish_full();
  expect_broken_chain(page, 0x123456789000);
}

TEST(a_link_to_read_only_memory_is_incompatible) {
  unsigned char *page = publish_full();
  unsigned char *other =
      mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  nbuf_format_build((uintptr_t)other, layout(), (uintptr_t)other, NULL, 0);
  CHECK_EQUAL(0, mprotect(other, PAGE, PROT_READ));
  expect_broken_chain(page, (uintptr_t)other);
}

TEST(a_link_to_something_else_than_a_locator_is_incompatible) {
  unsigned char *page = publish_full();
  unsigned char *other =
      mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(other, 0x5a, PAGE);
  expect_broken_chain(page, (uintptr_t)other);
  for (int i = 0; i < PAGE; i++) {
    CHECK_EQUAL(0x5a, other[i]);
  }
}

TEST(a_chain_that_is_a_cycle_of_two_locators_is_incompatible) {
  unsigned char *page = publish_full();
  unsigned char *other =
      mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(other, page, PAGE);
  nbuf_shared_address_store_release((uintptr_t)other, sizeof(uintptr_t), (uintptr_t)other);
  nbuf_shared_address_store_release((uintptr_t)other + layout()->next, sizeof(uintptr_t),
                                    (uintptr_t)page);
  nbuf_shared_address_store_release((uintptr_t)page + layout()->next, sizeof(uintptr_t),
                                    (uintptr_t)other);
  nearbuf_request request = request_of(64);
  nearbuf_buffer buffer;
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, nearbuf_get(&request, &buffer));
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(2, totals.locators);
}
