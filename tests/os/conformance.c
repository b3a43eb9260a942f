/* The contract of a port (src/os/os.h, src/os/pages.h), checked on whatever system this is. */
#include <stdatomic.h>
#include <string.h>

#include "base/format.h"
#include "core/state.h"
#include "machine_code.h"
#include "os/os.h"
#include "os/pages.h"
#include "os/placing.h"
#include "os/thread.h"
#include "test.h"
#include "threads.h"

/* An address where that many granules were free a moment ago, with one more on either side: qemu's
 * map merges adjacent mappings. */
static uintptr_t free_places(size_t granules) {
  const size_t size = (granules + 3) * nbuf_os_granularity();
  void *pages = nbuf_os_own_pages(size);
  CHECK(pages != NULL);
  uintptr_t start;
  CHECK(nbuf_align_up((uintptr_t)pages, nbuf_os_granularity(), &start));
  CHECK_OK(nbuf_os_unmap((uintptr_t)pages, size).status);
  return start + nbuf_os_granularity();
}

static uintptr_t free_place(void) {
  return free_places(2);
}

static unsigned char *map_somewhere(size_t size) {
  uintptr_t place = free_place();
  nearbuf_status status = nbuf_os_map(place, size).status;
  if (status == NEARBUF_DENIED) {
    test_skip("this system has no memory that can be written and run");
  }
  CHECK_OK(status);
  return (unsigned char *)place;
}

/* For systems that map memory at places of their own choice. */
static void needs_writable_code(void) {
  size_t granule = nbuf_os_granularity();
  CHECK_OK(nbuf_os_unmap((uintptr_t)map_somewhere(granule), granule).status);
}

static bool is_filled_with(const unsigned char *bytes, size_t size, unsigned char value) {
  for (size_t i = 0; i < size; i++) {
    if (bytes[i] != value) {
      return false;
    }
  }
  return true;
}

/* qemu leaves mappings out of its map where its pages are larger than the machine's. */
static void needs_a_whole_map(void) {
  char value[8];
  if (nbuf_os_environment("NEARBUF_TEST_MAP_HAS_HOLES", value, sizeof value)) {
    test_skip("the memory map of this emulator has holes");
  }
}

/* What the map reports for an address; the range is meaningless if nothing is mapped there. */
static bool look_up(const void *address, nbuf_mapping *mapping) {
  nbuf_map map;
  CHECK_OK(nbuf_os_map_open(&map, false).status);
  nbuf_map_answer answer = nbuf_os_map_next(&map, (uintptr_t)address, mapping);
  nbuf_os_map_close(&map);
  CHECK(answer != NBUF_MAP_FAILED);
  return answer == NBUF_MAP_FOUND && mapping->range.min <= (uintptr_t)address;
}

/* ---- Numbers --------------------------------------------------------------------------------- */

TEST(pages_and_granules_are_powers_of_two) {
  CHECK(nbuf_is_power_of_two(nbuf_os_page_size()));
  CHECK(nbuf_os_page_size() >= 4096);
  CHECK(nbuf_is_power_of_two(nbuf_os_granularity()));
  CHECK(nbuf_os_granularity() >= nbuf_os_page_size());
}

TEST(limits_are_whole_granules_above_the_first_64_kib) {
  nbuf_range limits = nbuf_os_limits(0, 0);
  CHECK(limits.min >= 0x10000);
  CHECK_EQUAL(0, limits.min % nbuf_os_page_size());
  CHECK_EQUAL(0, (limits.max + 1) % 4096);
  CHECK(limits.min < limits.max);
}

TEST(everything_the_process_has_lies_within_the_limits) {
  nbuf_range limits = nbuf_os_limits(0, 0);
  int on_stack = 0;
  CHECK(nbuf_range_holds(limits, (uintptr_t)&on_stack, sizeof on_stack));
  CHECK(nbuf_range_holds(limits, (uintptr_t)look_up, 1));
  CHECK(nbuf_range_holds(limits, (uintptr_t)nbuf_os_own_pages(4096), 4096));
}

TEST(reserved_ranges_begin_before_they_end) {
  nbuf_range ranges[NBUF_OS_RESERVED_MAX];
  size_t count = nbuf_os_reserved((nbuf_range){0, UINTPTR_MAX}, ranges);
  CHECK(count <= NBUF_OS_RESERVED_MAX);
  for (size_t i = 0; i < count; i++) {
    CHECK(ranges[i].min < ranges[i].max);
  }
}

TEST(the_clock_never_goes_back_and_runs_while_pausing) {
  uint64_t start = nbuf_os_nanoseconds();
  uint64_t last = start;
  for (int i = 0; i < 100; i++) {
    nbuf_os_pause();
    uint64_t now = nbuf_os_nanoseconds();
    CHECK(now >= last);
    last = now;
  }
  CHECK(last > start);
  CHECK(last - start < UINT64_C(60000000000));
}

TEST(an_environment_variable_is_copied_if_it_is_set_and_fits) {
  char value[8192];
  CHECK(!nbuf_os_environment("NEARBUF_IS_NOT_SET_BY_ANYBODY", value, sizeof value));
  CHECK(nbuf_os_environment("NEARBUF_DIALECT", value, sizeof value)); /* set by CMakeLists.txt */
  CHECK_EQUAL(0, strcmp(value, "written"));
  CHECK(!nbuf_os_environment("NEARBUF_DIALECT", value, sizeof "written" - 1));
}

/* ---- Memory ---------------------------------------------------------------------------------- */

TEST(mapped_memory_is_zeroed_and_writable) {
  size_t size = 2 * nbuf_os_granularity();
  unsigned char *bytes = map_somewhere(size);
  CHECK(is_filled_with(bytes, size, 0));
  memset(bytes, 0xa5, size);
  CHECK(is_filled_with(bytes, size, 0xa5));
}

TEST(mapped_memory_runs_and_what_is_rewritten_runs_anew) {
  unsigned char *bytes = map_somewhere(nbuf_os_granularity());
  memcpy(bytes, code_of_answer, sizeof code_of_answer);
  nbuf_os_sync_new_code((uintptr_t)bytes, sizeof code_of_answer);
  CHECK_EQUAL(ANSWER, run_code_at(bytes));
  memcpy(bytes, code_of_other_answer, sizeof code_of_other_answer);
  nbuf_os_sync_code((uintptr_t)bytes, sizeof code_of_other_answer);
  nbuf_os_sync_processors();
  CHECK_EQUAL(OTHER_ANSWER, run_code_at(bytes));
}

TEST(a_taken_address_is_refused_and_keeps_what_it_has) {
  size_t granule = nbuf_os_granularity();
  unsigned char *bytes = map_somewhere(2 * granule);
  memset(bytes, 0x5a, 2 * granule);
  CHECK_STATUS(NEARBUF_NO_ROOM, nbuf_os_map((uintptr_t)bytes, granule).status);
  CHECK_STATUS(NEARBUF_NO_ROOM, nbuf_os_map((uintptr_t)bytes + granule, granule).status);
  CHECK_STATUS(NEARBUF_NO_ROOM, nbuf_os_map((uintptr_t)bytes + granule, 2 * granule).status);
  CHECK_STATUS(NEARBUF_NO_ROOM, nbuf_os_map((uintptr_t)bytes - granule, 2 * granule).status);
  CHECK(is_filled_with(bytes, 2 * granule, 0x5a));
}

TEST(an_address_that_the_system_never_gives_has_no_room) {
  if (TEST_HAS_THREAD_SANITIZER) {
    test_skip("the sanitizer turns an address outside the program's into address 0");
  }
  needs_writable_code();
  uintptr_t highest = nbuf_align_down(UINTPTR_MAX, nbuf_os_granularity());
  CHECK_STATUS(NEARBUF_NO_ROOM, nbuf_os_map(highest, nbuf_os_granularity()).status);
}

/* A system that does not search by itself returns 0 for everything. */
static void check_found(uintptr_t expected, uintptr_t found, size_t size) {
  CHECK(found == expected || found == 0);
  if (found != 0) {
    memset((void *)found, 1, size);
    CHECK_OK(nbuf_os_unmap(found, size).status);
  }
}

TEST(what_the_system_finds_by_itself_is_the_lowest_or_highest_place_of_the_range) {
  size_t granule = nbuf_os_granularity();
  uintptr_t place = free_places(16);
  nbuf_range range = {place, place + 16 * granule - 1};
  check_found(place, nbuf_os_map_within(range, granule, granule, false), granule);
  check_found(place + 15 * granule, nbuf_os_map_within(range, granule, granule, true), granule);
  check_found(nbuf_align_down(range.max, 8 * granule),
              nbuf_os_map_within(range, granule, 8 * granule, true), granule);
  CHECK_OK(nbuf_os_map(place, granule).status);
  CHECK_OK(nbuf_os_map(place + 8 * granule, 8 * granule).status);
  check_found(place + granule, nbuf_os_map_within(range, 2 * granule, granule, false), 2 * granule);
  check_found(place + 6 * granule, nbuf_os_map_within(range, 2 * granule, granule, true),
              2 * granule);
  CHECK_EQUAL(0, nbuf_os_map_within(range, 8 * granule, granule, false));
  CHECK_EQUAL(0,
              nbuf_os_map_within((nbuf_range){place + 1, place + granule}, granule, granule, true));
}

TEST(unmapped_memory_is_free_again_and_comes_back_zeroed) {
  size_t granule = nbuf_os_granularity();
  unsigned char *bytes = map_somewhere(granule);
  bytes[0] = 1;
  CHECK_OK(nbuf_os_unmap((uintptr_t)bytes, granule).status);
  nbuf_mapping mapping;
  CHECK(!look_up(bytes, &mapping));
  CHECK_OK(nbuf_os_map((uintptr_t)bytes, granule).status);
  CHECK_EQUAL(0, bytes[0]);
}

TEST(own_pages_are_zeroed_and_not_executable) {
  needs_a_whole_map();
  unsigned char *bytes = nbuf_os_own_pages(5000);
  CHECK(bytes != NULL);
  CHECK(is_filled_with(bytes, 5000, 0));
  memset(bytes, 1, 5000);
  nbuf_mapping mapping;
  CHECK(look_up(bytes, &mapping));
  CHECK(mapping.readable && mapping.writable && !mapping.executable && !mapping.shared);
}

TEST(own_pages_come_back_with_unmap) {
  nbuf_os_owner owner = {.mark = 1};
  unsigned char *bytes = nbuf_os_process_pages(sizeof(nbuf_state), &owner);
  CHECK(bytes != NULL);
  CHECK(is_filled_with(bytes + 4, sizeof(nbuf_state) - 4, 0));
  CHECK(nbuf_os_are_process_pages(bytes, &owner));
  CHECK_OK(nbuf_os_unmap((uintptr_t)bytes, sizeof(nbuf_state)).status);
  nbuf_mapping mapping;
  CHECK(!look_up(bytes, &mapping));
}

/* ---- The map --------------------------------------------------------------------------------- */

TEST(the_map_tells_what_was_mapped_and_how) {
  needs_a_whole_map();
  size_t size = 2 * nbuf_os_granularity();
  unsigned char *bytes = map_somewhere(size);
  nbuf_mapping mapping;
  CHECK(look_up(bytes + size - 1, &mapping));
  CHECK(mapping.readable && mapping.writable && mapping.executable && !mapping.shared);
  CHECK(mapping.range.max >= (uintptr_t)bytes + (size - 1));
  CHECK(look_up((const void *)(uintptr_t)look_up, &mapping));
  CHECK(mapping.readable && mapping.executable && !mapping.writable);
  int on_stack = 0;
  CHECK(look_up(&on_stack, &mapping));
  CHECK(mapping.readable && mapping.writable);
}

TEST(the_map_ascends_and_ends) {
  needs_a_whole_map();
  nbuf_map map;
  nbuf_mapping mapping;
  uintptr_t from = 0;
  uintptr_t last_start = 0;
  uint32_t count = 0;
  int on_stack = 0;
  bool has_stack = false;
  CHECK_OK(nbuf_os_map_open(&map, false).status);
  nbuf_map_answer answer;
  while ((answer = nbuf_os_map_next(&map, from, &mapping)) == NBUF_MAP_FOUND) {
    /* Or it is a further part of one allocation, on Windows. */
    CHECK(mapping.range.min >= from || mapping.range.min == last_start);
    CHECK(mapping.range.max >= mapping.range.min && mapping.range.max >= from);
    last_start = mapping.range.min;
    has_stack = has_stack || nbuf_range_holds(mapping.range, (uintptr_t)&on_stack, 1);
    count++;
    if (mapping.range.max == UINTPTR_MAX) {
      break;
    }
    from = mapping.range.max + 1;
  }
  CHECK(answer != NBUF_MAP_FAILED);
  nbuf_os_map_close(&map);
  CHECK(has_stack);
  CHECK(count >= 3);
  CHECK(count < 100000);
}

TEST(the_map_answers_for_addresses_in_any_order) {
  needs_a_whole_map();
  static int in_data = 1;
  int on_stack = 0;
  unsigned char *bytes = map_somewhere(nbuf_os_granularity());
  uintptr_t addresses[] = {(uintptr_t)&on_stack, (uintptr_t)bytes, (uintptr_t)&in_data,
                           (uintptr_t)look_up,   (uintptr_t)bytes, (uintptr_t)&on_stack};
  nbuf_map map;
  CHECK_OK(nbuf_os_map_open(&map, true).status);
  for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
    nbuf_mapping mapping;
    CHECK(nbuf_os_map_next(&map, addresses[i], &mapping) == NBUF_MAP_FOUND);
    CHECK(nbuf_range_holds(mapping.range, addresses[i], 1));
  }
  nbuf_os_map_close(&map);
}

TEST(between_two_mappings_the_map_tells_the_upper_one) {
  needs_writable_code();
  size_t granule = nbuf_os_granularity();
  uintptr_t place = free_place();
  CHECK_OK(nbuf_os_map(place + granule, granule).status);
  nbuf_mapping mapping;
  CHECK(!look_up((const void *)place, &mapping));
  CHECK_EQUAL(place + granule, mapping.range.min);
}

TEST(closing_a_map_that_could_not_be_opened_does_no_harm) {
  needs_a_whole_map();
  nbuf_map map;
  (void)nbuf_os_map_open(&map, false);
  nbuf_os_map_close(&map);
  nbuf_mapping mapping;
  CHECK(look_up(&map, &mapping));
}

/* ---- Threads --------------------------------------------------------------------------------- */

typedef struct meeting {
  _Atomic int arrived;
  uintptr_t numbers[2];
} meeting;

static void note_number(void *context) {
  meeting *both = context;
  int mine = atomic_fetch_add(&both->arrived, 1);
  both->numbers[mine] = nbuf_os_thread();
  while (atomic_load(&both->arrived) < 2) {
    nbuf_os_pause();
  }
  CHECK_EQUAL(both->numbers[mine], nbuf_os_thread());
}

TEST(threads_that_live_together_have_different_numbers) {
  meeting both = {0};
  test_thread first = test_thread_start(note_number, &both);
  test_thread second = test_thread_start(note_number, &both);
  test_thread_join(first);
  test_thread_join(second);
  CHECK(both.numbers[0] != 0);
  CHECK(both.numbers[0] != both.numbers[1]);
}

TEST(what_a_call_owes_to_its_thread_is_given_back) {
  nbuf_os_call outer = nbuf_os_call_begin();
  nbuf_os_call inner = nbuf_os_call_begin();
  uintptr_t taken = (uintptr_t)&outer & ~(uintptr_t)0xffff;
  CHECK(nbuf_os_map(taken, nbuf_os_granularity()).status != NEARBUF_OK); /* sets the last error */
  nbuf_os_call_end(inner);
  nbuf_os_call_end(outer);
  nbuf_os_call again = nbuf_os_call_begin();
  nbuf_os_call_end(again);
  CHECK_EQUAL(outer.cancellation, again.cancellation);
  CHECK_EQUAL(outer.last_error, again.last_error);
}

/* ---- Pages of locators ----------------------------------------------------------------------- */

static const nbuf_layout *layout(void) {
  return nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
}

static nbuf_item some_item(void) {
  size_t size = nbuf_os_granularity();
  nbuf_item item = {(uintptr_t)nbuf_os_own_pages(size), (uint32_t)size, 0, 1};
  CHECK(item.base != 0);
  return item;
}

static nbuf_page make_first(void) {
  nbuf_item item = some_item();
  nbuf_initial_items initial = {layout(), &item, 1};
  nbuf_page page;
  CHECK_OK(nbuf_page_find_or_make(&initial, false, &page).status);
  return page;
}

TEST(before_the_first_page_is_made_none_is_found) {
  nbuf_page page;
  CHECK_STATUS(NEARBUF_NOT_FOUND, nbuf_page_find(false, &page).status);
}

TEST(the_first_page_is_made_once_and_found_ever_after) {
  nbuf_page made = make_first();
  CHECK(made.is_made);
  nbuf_page found;
  CHECK_OK(nbuf_page_find(false, &found).status);
  CHECK_EQUAL(made.base, found.base);
  CHECK(!found.is_made);
  CHECK_EQUAL(made.is_private, found.is_private);
  nbuf_page again = make_first();
  CHECK_EQUAL(made.base, again.base);
  CHECK(!again.is_made);
}

TEST(the_first_page_is_a_valid_locator_in_writable_memory) {
  nbuf_page page = make_first();
  CHECK(nbuf_format_check(page.base, layout(), page.base, NULL) == NBUF_FAULT_NONE);
  CHECK(nbuf_format_recognise(page.base, sizeof(uintptr_t), NEARBUF_DIALECT_UNKNOWN) ==
        NEARBUF_DIALECT_WRITTEN);
  CHECK(nbuf_format_count(page.base, layout()) > 0);
  nbuf_mapping mapping;
  CHECK(look_up((const void *)page.base, &mapping));
  CHECK(mapping.readable && mapping.writable && mapping.shared);
}

/* Behind its first item a later page lists the rest of its granule, but for the last 16 bytes. */
static void check_lists_tail(uintptr_t page) {
  uint64_t next = page + NBUF_LOCATOR_SIZE;
  for (uint32_t i = 1; i < nbuf_format_count(page, layout()); i++) {
    nbuf_item item = nbuf_item_read(nbuf_item_at(page, layout(), i), layout());
    CHECK_EQUAL(next, item.base);
    CHECK(item.size > 0 && item.size <= 16384);
    CHECK_EQUAL(0, item.taken);
    CHECK_EQUAL(0, item.position);
    next += item.size;
  }
  CHECK_EQUAL(page + nbuf_os_granularity() - 16, next);
}

TEST(a_new_first_page_lists_the_initial_item_and_nothing_else) {
  nbuf_item item = some_item();
  nbuf_initial_items initial = {layout(), &item, 1};
  nbuf_page page;
  CHECK_OK(nbuf_page_find_or_make(&initial, false, &page).status);
  CHECK_EQUAL(1, nbuf_format_count(page.base, layout()));
  nbuf_item listed = nbuf_item_read(nbuf_item_at(page.base, layout(), 0), layout());
  CHECK_EQUAL(item.base, listed.base);
  CHECK_EQUAL(item.size, listed.size);
  CHECK_EQUAL(1, listed.taken);
}

static _Atomic uint32_t pages_made;
static _Atomic uintptr_t page_seen;

static void make_and_compare(void *unused) {
  (void)unused;
  nbuf_page page = make_first();
  pages_made += page.is_made;
  uintptr_t none = 0;
  if (!atomic_compare_exchange_strong(&page_seen, &none, page.base)) {
    CHECK_EQUAL(none, page.base);
  }
}

TEST(of_many_threads_exactly_one_makes_the_first_page) {
  enum { THREADS = 8 };
  test_thread threads[THREADS];
  for (int i = 0; i < THREADS; i++) {
    threads[i] = test_thread_start(make_and_compare, NULL);
  }
  for (int i = 0; i < THREADS; i++) {
    test_thread_join(threads[i]);
  }
  CHECK_EQUAL(1, pages_made);
}

TEST(a_later_page_is_another_one_and_can_be_discarded) {
  nbuf_page first = make_first();
  nbuf_item item = some_item();
  nbuf_initial_items initial = {layout(), &item, 1};
  for (int is_private = 0; is_private < 2; is_private++) {
    nbuf_page made;
    CHECK_OK(nbuf_page_make_later(&initial, is_private != 0, &made).status);
    uintptr_t later = made.base;
    CHECK(later != first.base);
    CHECK(nbuf_format_check(later, layout(), later, NULL) == NBUF_FAULT_NONE);
    CHECK(nbuf_format_count(later, layout()) >= 1);
    CHECK_EQUAL(item.base, nbuf_item_read(nbuf_item_at(later, layout(), 0), layout()).base);
    if (is_private == 0 && nbuf_page_lists_tail()) {
      check_lists_tail(later);
    }
    nbuf_mapping mapping;
    CHECK(look_up((const void *)later, &mapping) && mapping.writable);
    nbuf_page_discard(&made);
    CHECK(!look_up((const void *)later, &mapping));
  }
}

/* ---- Modules --------------------------------------------------------------------------------- */

TEST(the_start_of_a_module_is_that_of_its_extent_or_not_told) {
  nbuf_range extent;
  uintptr_t code = (uintptr_t)map_somewhere;
  uintptr_t start = nbuf_os_module_start(code);
  CHECK(nbuf_os_module_extent(code, &extent));
  CHECK(start == 0 || start == nbuf_align_down(extent.min, nbuf_os_page_size()));
#if defined(__GLIBC__) && __GLIBC__ == 2 && __GLIBC_MINOR__ >= 35
  CHECK(start != 0);
#endif
  char local;
  CHECK_EQUAL(0, nbuf_os_module_start((uintptr_t)&local));
}
