/* Which listed buffer of another process a request gets, and how new ones are listed. The target is
 * a program that uses no part of the library; its locator is filled from outside. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/format.h"
#include "base/unshared.h"
#include "os/os.h"
#include "remote_linux.h"
#include "test.h"

enum { PAGE = 4096 };

static const nbuf_layout *layout(void) {
  return nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
}

/* Memory of the process that nothing else uses: `pages` pages, with nothing mapped next to them. */
static uint64_t take_pages(nearbuf_process *process, uint64_t pages) {
  static uint64_t last = UINT64_C(0x500000000000);
  nearbuf_process_request request = anywhere((pages + 2) * PAGE);
  request.target = last += 1 << 20; /* memory that a listed buffer lost must not be reused */
  uint64_t address;
  CHECK_OK(nearbuf_process_allocate(process, &request, &address, NULL));
  CHECK_OK(nearbuf_process_free(process, address, PAGE));
  CHECK_OK(nearbuf_process_free(process, address + (pages + 1) * PAGE, PAGE));
  return address + PAGE;
}

/* Makes the locator list one more buffer, as another copy of the library would. */
static void list(nearbuf_process *process, uint64_t base, uint32_t size, uint32_t position) {
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  static _Alignas(8) unsigned char image[NBUF_LOCATOR_SIZE];
  nbuf_item item = {.base = base, .size = size, .position = position};
  uint64_t at = first_locator(process, &walk, &locator);
  CHECK_OK(nearbuf_process_read(process, at, image, sizeof image, NULL));
  uint32_t count = nbuf_format_count((uintptr_t)image, layout());
  nbuf_item_write(nbuf_item_at((uintptr_t)image, layout(), count), layout(), &item);
  nbuf_format_store_count((uintptr_t)image, layout(), count + 1);
  CHECK_OK(nearbuf_process_write(process, at, image, sizeof image, NULL));
}

/* What a request gets that accepts only listed buffers, in [min, max]. */
static nearbuf_status get_listed(nearbuf_process *process, uint64_t min, uint64_t max,
                                 uint64_t size, nearbuf_process_buffer *buffer) {
  nearbuf_process_request request = anywhere(size);
  request.min = min;
  request.max = max;
  request.alignment_bytes = 1;
  request.flags = NEARBUF_PROCESS_EXISTING;
  return nearbuf_process_get(process, &request, buffer);
}

/* Whether such a request gets the buffer at `base`. */
static bool is_given(nearbuf_process *process, uint64_t base, uint64_t min, uint64_t max,
                     uint64_t size) {
  nearbuf_process_buffer buffer;
  nearbuf_status status = get_listed(process, min, max, size, &buffer);
  if (status != NEARBUF_OK) {
    CHECK_EQUAL(NEARBUF_NO_ROOM, status);
    return false;
  }
  CHECK_EQUAL(base, buffer.address);
  CHECK_OK(nearbuf_process_release(process, &buffer));
  return true;
}

static nearbuf_process open_with_locator(target *idle) {
  *idle = target_start_idle();
  nearbuf_process process = target_open(idle);
  (void)put(&process, "hello", 5);
  return process;
}

/* Finds the item of the buffer at `address`; false: no locator lists it. */
static bool find_item(nearbuf_process *process, uint64_t address, nearbuf_process_item *item) {
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator;
  while (nearbuf_process_next_locator(process, &walk, &locator) == NEARBUF_OK) {
    while (nearbuf_process_next_item(&walk, item) == NEARBUF_OK) {
      if (item->address == address) {
        return true;
      }
    }
  }
  return false;
}

TEST(every_buffer_that_is_made_is_listed_as_what_it_is) {
  target idle;
  nearbuf_process process = open_with_locator(&idle);
  nearbuf_process_request request = anywhere(1 << 20); /* no listed buffer has that much room */
  for (int i = 0; i < 3; i++) {
    nearbuf_process_buffer buffer;
    nearbuf_process_item item;
    uint64_t bytes;
    CHECK_OK(nearbuf_process_get(&process, &request, &buffer));
    CHECK(buffer.size >= request.size_bytes);
    CHECK(find_item(&process, buffer.address, &item));
    CHECK_EQUAL(buffer.size, item.size_bytes);
    CHECK_EQUAL(0, item.used_bytes);
    CHECK_EQUAL(1, item.is_taken);
    CHECK(item.fault == NULL);
    CHECK_OK(nearbuf_process_append(&process, &buffer, "12345", 5, &bytes));
    CHECK_EQUAL(buffer.address, bytes);
    uint64_t address = buffer.address;
    CHECK_OK(nearbuf_process_release(&process, &buffer));
    CHECK(find_item(&process, address, &item));
    CHECK_EQUAL(5, item.used_bytes);
    CHECK_EQUAL(0, item.is_taken);
    nearbuf_process_walk walk;
    nearbuf_process_locator locator;
    (void)first_locator(&process, &walk, &locator);
    CHECK_EQUAL(0, locator.is_locked); /* the item that listed it released it */
  }
  (void)target_end(&idle);
}

TEST(a_buffer_is_given_only_where_all_of_its_memory_is_there) {
  target idle;
  nearbuf_process process = open_with_locator(&idle);
  const uint32_t size = 4 * PAGE;
  uint64_t base = take_pages(&process, 4);
  list(&process, base, size, 0);
  CHECK(is_given(&process, base, base, base + size - 1, size));
  for (uint64_t missing = 0; missing < 4; missing++) {
    base = take_pages(&process, 4);
    CHECK_OK(nearbuf_process_free(&process, base + missing * PAGE, PAGE));
    list(&process, base, size, 0);
    CHECK(!is_given(&process, base, base, base + size - 1, size));
  }
  (void)target_end(&idle);
}

TEST(a_buffer_whose_last_byte_has_no_memory_is_not_given) {
  target idle;
  nearbuf_process process = open_with_locator(&idle);
  uint64_t base = take_pages(&process, 2);
  CHECK_OK(nearbuf_process_free(&process, base + PAGE, PAGE));
  list(&process, base, PAGE + 1, 0);
  CHECK(!is_given(&process, base, base, base + PAGE, 1));
  base = take_pages(&process, 2);
  list(&process, base, PAGE + 1, 0);
  CHECK(is_given(&process, base, base, base + PAGE, 1));
  (void)target_end(&idle);
}

TEST(room_is_used_to_the_last_byte_of_buffer_and_range) {
  target idle;
  nearbuf_process process = open_with_locator(&idle);
  uint64_t base = take_pages(&process, 1);
  uint64_t last = base + PAGE - 1;
  list(&process, base, PAGE, 4000);
  CHECK(is_given(&process, base, base, last, 96));
  CHECK(!is_given(&process, base, base, last, 97));
  CHECK(is_given(&process, base, base + 4000, last, 96)); /* the range begins where the room does */
  CHECK(!is_given(&process, base, base + 4001, last, 1));
  CHECK(is_given(&process, base, base, base + 4009, 10)); /* it ends inside the room */
  CHECK(!is_given(&process, base, base, base + 4009, 11));
  CHECK(is_given(&process, base, base, base + 4000, 1));
  CHECK(!is_given(&process, base, base, base + 3999, 1));
  CHECK(!is_given(&process, base, base - PAGE, base - 1, 1));   /* it ends before the buffer */
  CHECK(is_given(&process, base, base + 4000, base + 4000, 1)); /* a range of a single byte */
  (void)target_end(&idle);
}

TEST(a_buffer_that_is_used_up_is_passed_over) {
  target idle;
  nearbuf_process process = open_with_locator(&idle);
  uint64_t full = take_pages(&process, 1);
  list(&process, full, PAGE, PAGE);
  CHECK(!is_given(&process, full, full, full + PAGE - 1, 1));
  uint64_t other = take_pages(&process, 1);
  list(&process, other, PAGE, PAGE - 1);
  CHECK(is_given(&process, other, other, other + PAGE - 1, 1));
  (void)target_end(&idle);
}

/* ---- What a walk tells ----------------------------------------------------------------------- */

static void write_word(nearbuf_process *process, uint64_t address, uint32_t word) {
  CHECK_OK(nearbuf_process_write(process, address, &word, sizeof word, NULL));
}

TEST(a_walk_tells_the_lock_of_the_header_and_where_the_next_locator_is) {
  target idle;
  nearbuf_process process = open_with_locator(&idle);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  uint64_t at = first_locator(&process, &walk, &locator);
  CHECK_EQUAL(0, locator.is_locked);
  CHECK_EQUAL(0, locator.next);
  CHECK_EQUAL(0, locator.number);
  CHECK_EQUAL(layout()->capacity, locator.capacity);
  write_word(&process, at + layout()->locked, 1);
  (void)first_locator(&process, &walk, &locator);
  CHECK_EQUAL(1, locator.is_locked);
  CHECK(locator.fault == NULL);
  write_word(&process, at + layout()->locked, 0);
  uint64_t page = take_pages(&process, 1);
  uint64_t buffer = take_pages(&process, 1);
  static _Alignas(8) unsigned char image[NBUF_LOCATOR_SIZE];
  nbuf_item item = {.base = buffer, .size = PAGE, .taken = 1};
  uintptr_t link = (uintptr_t)page;
  nbuf_format_build((uintptr_t)image, layout(), page, &item, 1);
  CHECK_OK(nearbuf_process_write(&process, page, image, sizeof image, NULL));
  CHECK_OK(nearbuf_process_write(&process, at + layout()->next, &link, sizeof link, NULL));
  (void)first_locator(&process, &walk, &locator);
  CHECK_EQUAL(page, locator.next);
  CHECK_OK(nearbuf_process_next_locator(&process, &walk, &locator));
  CHECK_EQUAL(page, locator.address);
  CHECK_EQUAL(0, locator.next);
  CHECK_EQUAL(1, locator.number);
  CHECK_EQUAL(1, locator.count);
  nearbuf_process_item told;
  CHECK_OK(nearbuf_process_next_item(&walk, &told));
  CHECK_EQUAL(0, told.index);
  CHECK_EQUAL(buffer, told.address);
  CHECK_EQUAL(1, told.is_taken);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_locator(&process, &walk, &locator));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_locator(&process, &walk, &locator));
  (void)target_end(&idle);
}

TEST(a_walk_tells_each_slot_by_its_index_and_which_of_them_is_damaged) {
  target idle;
  nearbuf_process process = open_with_locator(&idle);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  nearbuf_process_item item;
  (void)first_locator(&process, &walk, &locator);
  uint32_t count = walk.count; /* slots; the first ones may be empty */
  uint64_t sound = take_pages(&process, 1);
  uint64_t damaged = take_pages(&process, 1);
  list(&process, sound, PAGE, 17);
  list(&process, damaged, PAGE, PAGE + 1);
  uint64_t at = first_locator(&process, &walk, &locator);
  CHECK(locator.fault != NULL);
  CHECK_EQUAL(count + 1, locator.fault_index);
  CHECK_EQUAL(at, locator.address);
  uint32_t told = 0;
  uint32_t last = 0;
  while (nearbuf_process_next_item(&walk, &item) == NEARBUF_OK) {
    CHECK(told == 0 || item.index > last);
    last = item.index;
    CHECK((item.fault != NULL) == (item.address == damaged));
    CHECK(item.address != sound || (item.index == count && item.used_bytes == 17));
    told++;
  }
  CHECK_EQUAL(count + 1, last);
  CHECK_EQUAL(locator.count, told);
  (void)target_end(&idle);
}

TEST(items_that_lie_over_each_other_are_reported_as_damaged_and_given_to_no_process) {
  target idle;
  nearbuf_process process = open_with_locator(&idle);
  uint64_t base = take_pages(&process, 2);
  list(&process, base, PAGE, 0);
  list(&process, base + PAGE - 1, PAGE, 0);
  nearbuf_process_item item;
  CHECK(find_item(&process, base, &item));
  CHECK(item.fault != NULL && item.size_bytes == PAGE);
  CHECK(find_item(&process, base + PAGE - 1, &item));
  CHECK(item.fault != NULL);
  CHECK_STATUS(NEARBUF_INCOMPATIBLE,
               get_listed(&process, base, base + PAGE, 1, &(nearbuf_process_buffer){0}));
  (void)target_end(&idle);
}

/* ---- A header that is locked ----------------------------------------------------------------- */

typedef struct unlocking {
  nearbuf_process process;
  uint64_t word;
} unlocking;

static void *unlock_soon(void *context) {
  const uint32_t free_word = 0;
  unlocking *what = context;
  usleep(30000);
  CHECK_OK(nearbuf_process_write(&what->process, what->word, &free_word, sizeof free_word, NULL));
  return NULL;
}

TEST(the_lock_of_a_header_is_waited_for) {
  target idle;
  nearbuf_process process = open_with_locator(&idle);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  unlocking what = {target_open(&idle), first_locator(&process, &walk, &locator)};
  what.word += layout()->locked;
  write_word(&process, what.word, 1);
  pthread_t other;
  CHECK(pthread_create(&other, NULL, unlock_soon, &what) == 0);
  nearbuf_process_request request = anywhere(1 << 20); /* which has to be listed */
  nearbuf_process_buffer buffer;
  CHECK_OK(nearbuf_process_get(&process, &request, &buffer));
  CHECK_OK(nearbuf_process_release(&process, &buffer));
  CHECK(pthread_join(other, NULL) == 0);
  (void)first_locator(&process, &walk, &locator);
  CHECK_EQUAL(0, locator.is_locked);
  CHECK_EQUAL(0, locator.next); /* it was listed there */
  CHECK_EQUAL(2, locator.count);
  (void)target_end(&idle);
}

TEST(behind_a_header_whose_lock_is_never_given_back_another_locator_is_added) {
  target idle;
  nearbuf_process process = open_with_locator(&idle);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  uint64_t word = first_locator(&process, &walk, &locator) + layout()->locked;
  write_word(&process, word, 1);
  nearbuf_process_request request = anywhere(1 << 20);
  nearbuf_process_buffer buffer;
  CHECK_OK(nearbuf_process_get(&process, &request, &buffer));
  uint64_t address = buffer.address;
  CHECK_OK(nearbuf_process_release(&process, &buffer));
  (void)first_locator(&process, &walk, &locator);
  CHECK_EQUAL(1, locator.is_locked); /* it is not ours to give back */
  CHECK_EQUAL(1, locator.count);
  CHECK(locator.next != 0);
  CHECK_OK(nearbuf_process_next_locator(&process, &walk, &locator));
  CHECK_EQUAL(1, locator.count);
  nearbuf_process_item item;
  CHECK_OK(nearbuf_process_next_item(&walk, &item));
  CHECK_EQUAL(address, item.address);
  (void)target_end(&idle);
}

/* Root gets to what is mapped by another way. */
TEST(an_ordinary_user_holds_buffers_of_a_later_locator_by_its_name) {
  become_nobody();
  target idle;
  nearbuf_process process = open_with_locator(&idle);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  uint64_t first = first_locator(&process, &walk, &locator);
  static _Alignas(8) unsigned char image[NBUF_LOCATOR_SIZE];
  nbuf_item items[255];
  for (uint32_t i = 0; i < layout()->capacity; i++) {
    items[i] = (nbuf_item){.base = 0x30000000 + i * (uint64_t)PAGE, .size = 16, .position = 16};
  }
  nbuf_format_build((uintptr_t)image, layout(), (uintptr_t)first, items, layout()->capacity);
  CHECK_OK(nearbuf_process_write(&process, first, image, sizeof image, NULL));
  uint64_t later = put(&process, "later", 5);
  CHECK_EQUAL(later + 16, put(&process, "again", 5));
  (void)first_locator(&process, &walk, &locator);
  CHECK_OK(nearbuf_process_next_locator(&process, &walk, &locator));
  CHECK_EQUAL(1, locator.count);
  (void)target_end(&idle);
}

/* ---- Freeing beside what is listed ----------------------------------------------------------- */

TEST(memory_beside_a_listed_buffer_is_freed_and_of_the_buffer_not_one_page) {
  const uint64_t two_pages = 8192;
  target idle;
  nearbuf_process process = open_with_locator(&idle);
  uint64_t base = take_pages(&process, 4);
  list(&process, base + PAGE, PAGE + PAGE, 0);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_free(&process, base, two_pages));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_free(&process, base + PAGE, PAGE));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_free(&process, base + two_pages, PAGE));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_free(&process, base + two_pages, two_pages));
  CHECK_OK(nearbuf_process_free(&process, base, PAGE));
  CHECK_OK(nearbuf_process_free(&process, base + two_pages + PAGE, PAGE));
  CHECK(is_given(&process, base + PAGE, base, base + two_pages + two_pages - 1, two_pages));
  (void)target_end(&idle);
}

/* ---- Where new memory goes ------------------------------------------------------------------- */

TEST(private_memory_is_aligned_lies_in_the_range_and_is_the_nearest_or_lowest) {
  target idle;
  nearbuf_process process = open_with_locator(&idle);
  nearbuf_process_request request = anywhere(PAGE);
  uint64_t size;
  uint64_t first;
  uint64_t second;
  request.min = UINT64_C(0x30000000); /* an address where nothing is mapped */
  request.max = UINT64_C(0x3fffffff);
  CHECK_OK(nearbuf_process_allocate(&process, &request, &first, &size));
  CHECK_EQUAL(request.min, first);
  CHECK_EQUAL(PAGE, size);
  CHECK_OK(nearbuf_process_allocate(&process, &request, &second, NULL));
  CHECK_EQUAL(first + PAGE, second);
  request.target = UINT64_C(0x38000000);
  CHECK_OK(nearbuf_process_allocate(&process, &request, &first, NULL));
  CHECK(first == request.target || first + PAGE == request.target);
  request.target = UINT64_MAX;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &first, NULL));
  CHECK_EQUAL(request.max + 1 - PAGE, first);
  request.target = 0;
  request.alignment_bytes = 1 << 20;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &first, NULL));
  CHECK_EQUAL(request.min + request.alignment_bytes, first);
  (void)target_end(&idle);
}

/* ---- Data ------------------------------------------------------------------------------------ */

/* Appends bytes to a buffer acquired with these flags, and returns their address. */
static uint64_t put_flagged(nearbuf_process *process, uint32_t flags, size_t size) {
  static const char bytes[4 * NBUF_CACHE_LINE];
  nearbuf_process_request request = anywhere(size == 0 ? 1 : size);
  nearbuf_process_buffer buffer;
  uint64_t address = 0;
  request.alignment_bytes = 1;
  request.flags = flags;
  CHECK_OK(nearbuf_process_get(process, &request, &buffer));
  if (size != 0) {
    CHECK_OK(nearbuf_process_append(process, &buffer, bytes, size, &address));
  }
  CHECK_OK(nearbuf_process_release(process, &buffer));
  return address;
}

TEST(data_has_cache_lines_of_its_own) {
  enum { LINE = NBUF_CACHE_LINE };
  target idle;
  nearbuf_process process = open_with_locator(&idle);
  static const struct {
    size_t size;
    uint64_t lines;
  } cases[] = {{1, 1}, {10, 1}, {LINE - 1, 1}, {LINE, 1}, {LINE + 1, 2}, {LINE + LINE, 2}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    uint64_t data = put_flagged(&process, NEARBUF_DATA, cases[i].size);
    CHECK_EQUAL(0, data % LINE);
    uint64_t other = put_flagged(&process, 0, 1);
    CHECK_EQUAL(data + cases[i].lines * LINE, other);
    (void)put_flagged(&process, NEARBUF_DATA, 0); /* bytes that are not written consume nothing */
    CHECK_EQUAL(other + 1, put_flagged(&process, 0, 1));
  }
  (void)target_end(&idle);
}
