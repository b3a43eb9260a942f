/* Walks along the locators of an invented process (remote_pages.h). walk.c of src/remote is
 * compiled here, with another name for what it calls of the library's own system. Against real
 * processes it is tested by tests/process. */
#define nbuf_os_call_begin invented_call_begin
#include "remote/walk.c" /* NOLINT(bugprone-suspicious-include) */

#include "remote_pages.h"
#include "test.h"

/* ---- Its memory map -------------------------------------------------------------------------- */

enum { MOST_MAPPED = 4 };

typedef struct mapped_range {
  uint64_t min;
  uint64_t max;
  uint32_t is_shared;
  const char *name;
} mapped_range;

static struct {
  mapped_range mapped[MOST_MAPPED]; /* in ascending order */
  int mapped_count;
  int map_position;
  int open_maps;
  nearbuf_status map_opening;
} it;

nbuf_result nbuf_remote_map_open(const nearbuf_process *process, nbuf_remote_map *map) {
  CHECK_EQUAL(ID, process->id);
  *map = (nbuf_remote_map){0};
  it.map_position = 0;
  it.open_maps++;
  return failed_if(it.map_opening);
}

void nbuf_remote_map_close(nbuf_remote_map *map) {
  (void)map;
  it.open_maps--;
}

nbuf_result nbuf_remote_map_next(nbuf_remote_map *map, nbuf_remote_mapping *mapping) {
  (void)map;
  CHECK_EQUAL(1, it.open_maps);
  if (it.map_position == it.mapped_count) {
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  const mapped_range *next = &it.mapped[it.map_position++];
  *mapping = (nbuf_remote_mapping){
      .info = {.min = next->min, .max = next->max, .is_shared = next->is_shared}};
  (void)snprintf(mapping->info.name, sizeof mapping->info.name, "%s", next->name);
  return nbuf_result_of(NEARBUF_OK);
}

static void map_range(uint64_t min, uint64_t size, bool is_shared, const char *name) {
  CHECK(it.mapped_count < MOST_MAPPED);
  it.mapped[it.mapped_count++] = (mapped_range){min, min + (size - 1), is_shared, name};
}

/* ---- Walking --------------------------------------------------------------------------------- */

static nearbuf_process_locator next_locator(nearbuf_process_walk *walk) {
  nearbuf_process_locator locator;
  CHECK_OK(nearbuf_process_next_locator(&other, walk, &locator));
  CHECK_EQUAL(0, other.system_error);
  CHECK_EQUAL(0, chain.calls);
  CHECK_EQUAL(0, it.open_maps);
  return locator;
}

static void check_end(nearbuf_process_walk *walk) {
  static const nearbuf_process_locator none;
  nearbuf_process_locator locator = {.address = 1};
  nearbuf_process_item item = {.address = 1};
  for (int i = 0; i < 2; i++) {
    CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_locator(&other, walk, &locator));
    CHECK(memcmp(&none, &locator, sizeof locator) == 0);
    CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_item(walk, &item));
    CHECK_EQUAL(0, item.address);
  }
  CHECK_EQUAL(0, chain.calls);
}

static nearbuf_process_item next_item(nearbuf_process_walk *walk, uint32_t index) {
  nearbuf_process_item item;
  CHECK_OK(nearbuf_process_next_item(walk, &item));
  CHECK_EQUAL(index, item.index);
  return item;
}

static void check_no_item(nearbuf_process_walk *walk) {
  nearbuf_process_item item;
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_item(walk, &item));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_item(walk, &item));
}

/* The walk ends with a fault, and has nothing to report of its buffers. */
static void check_last(nearbuf_process_walk *walk, const char *fault) {
  nearbuf_process_locator locator = next_locator(walk);
  CHECK(locator.fault != NULL && strcmp(fault, locator.fault) == 0);
  CHECK_EQUAL(0, locator.count);
  CHECK_EQUAL(0, locator.next);
  check_no_item(walk);
  check_end(walk);
}

TEST(a_walk_reports_the_locators_in_the_order_of_the_chain) {
  nbuf_item items[] = {{0}, buffer_item(0, 30), {.size = 9}, buffer_item(1, SIZE)};
  items[3].taken = 1;
  locator_page *first = list_written(items, 4);
  set_word(first, written()->locked, 1);
  const nbuf_item of_rust = buffer_item(2, 0);
  const locator_page *second = add_locator(NEARBUF_DIALECT_RUST, &of_rust, 1);
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator = next_locator(&walk);
  CHECK_EQUAL(first->address, locator.address);
  CHECK_EQUAL(second->address, locator.next);
  CHECK_EQUAL(0, locator.number);
  CHECK_EQUAL(NEARBUF_DIALECT_WRITTEN, locator.dialect);
  CHECK_EQUAL(2, locator.count); /* slots can be empty */
  CHECK_EQUAL(written()->capacity, locator.capacity);
  CHECK_EQUAL(1, locator.is_locked);
  CHECK(locator.fault == NULL);
  nearbuf_process_item item = next_item(&walk, 1);
  CHECK_EQUAL(items[1].base, item.address);
  CHECK_EQUAL(SIZE, item.size_bytes);
  CHECK_EQUAL(30, item.used_bytes);
  CHECK_EQUAL(0, item.is_taken);
  CHECK(item.fault == NULL);
  item = next_item(&walk, 3);
  CHECK_EQUAL(SIZE, item.used_bytes);
  CHECK_EQUAL(1, item.is_taken);
  check_no_item(&walk);
  locator = next_locator(&walk);
  CHECK_EQUAL(second->address, locator.address);
  CHECK_EQUAL(0, locator.next);
  CHECK_EQUAL(1, locator.number);
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, locator.dialect);
  CHECK_EQUAL(1, locator.count);
  CHECK_EQUAL(0, locator.is_locked);
  CHECK_EQUAL(of_rust.base, next_item(&walk, 0).address);
  check_end(&walk);
}

TEST(before_the_first_locator_a_walk_has_no_buffers) {
  nearbuf_process_walk walk = {.count = 1};
  check_no_item(&walk);
  check_end(&walk);
  CHECK_EQUAL(2, chain.searches); /* it may have one by the next call */
  chain.finding = NEARBUF_DENIED;
  nearbuf_process_locator locator = {.address = 1};
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_next_locator(&other, &walk, &locator));
  CHECK_EQUAL(ANY_ERROR, other.system_error);
  CHECK_EQUAL(0, locator.address);
}

TEST(a_walk_of_nothing_is_not_valid) {
  nearbuf_process closed = {0};
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator;
  nearbuf_process_item item;
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_next_locator(NULL, &walk, &locator));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_next_locator(&closed, &walk, &locator));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_next_locator(&other, NULL, &locator));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_next_locator(&other, &walk, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_next_item(NULL, &item));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_next_item(&walk, NULL));
}

TEST(all_buffers_are_those_of_the_copy) {
  const nbuf_item items[] = {buffer_item(0, 0), buffer_item(1, 0)};
  locator_page *page = list_written(items, 2);
  nearbuf_process_walk walk = {0};
  (void)next_locator(&walk);
  memset(page->bytes, 0xff, sizeof page->bytes);
  CHECK_EQUAL(items[0].base, next_item(&walk, 0).address);
  CHECK_EQUAL(items[1].base, next_item(&walk, 1).address);
}

/* ---- Damage ---------------------------------------------------------------------------------- */

TEST(behind_a_header_that_is_not_valid_a_walk_does_not_go) {
  static const char *const faults[] = {
      "an unknown version", "its own address is wrong", "its link to the next locator is wrong",
      "its lock is neither free nor held", "it counts more items than fit"};
  const nbuf_item item = buffer_item(0, 0);
  for (int i = 0; i < 5; i++) {
    chain.count = 0;
    locator_page *page = list_written(&item, 1);
    (void)list_written(&item, 1);
    page->bytes[written()->flags] = i == 0 ? 1 : 0;
    page->bytes[0] = i == 1 ? 8 : 0;
    page->bytes[written()->next] = i == 2 ? 2 : 0;
    page->bytes[written()->locked] = i == 3 ? 2 : 0;
    page->bytes[written()->count] = i == 4 ? (unsigned char)(written()->capacity + 1) : 1;
    if (i == 4 && written()->capacity == 255) {
      continue; /* no byte counts more */
    }
    nearbuf_process_walk walk = {0};
    check_last(&walk, faults[i]);
  }
}

TEST(a_damaged_buffer_is_reported_beside_the_sound_ones) {
  nbuf_item items[] = {buffer_item(0, 0), buffer_item(1, SIZE + 1), buffer_item(2, 0),
                       buffer_item(3, 0)};
  items[2].taken = 2;
  (void)list_written(items, 4);
  (void)list_written(&items[3], 1);
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator = next_locator(&walk);
  CHECK(strcmp("an item has used more than its size", locator.fault) == 0);
  CHECK_EQUAL(1, locator.fault_index);
  CHECK_EQUAL(4, locator.count);
  CHECK(next_item(&walk, 0).fault == NULL);
  CHECK(strcmp(locator.fault, next_item(&walk, 1).fault) == 0);
  nearbuf_process_item item = next_item(&walk, 2);
  CHECK(strcmp("an item's lock is neither free nor held", item.fault) == 0);
  CHECK_EQUAL(1, item.is_taken);
  CHECK(next_item(&walk, 3).fault == NULL);
  check_no_item(&walk);
  CHECK(next_locator(&walk).fault == NULL);
}

TEST(a_counted_slot_that_is_not_yet_written_is_a_damage_of_that_slot_only) {
  const nbuf_item items[] = {buffer_item(0, 0), {0}};
  (void)list_written(items, 2);
  (void)list_written(items, 1);
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator = next_locator(&walk);
  CHECK(strcmp("an item has an impossible address", locator.fault) == 0);
  CHECK_EQUAL(1, locator.fault_index);
  CHECK_EQUAL(1, locator.count);
  (void)next_item(&walk, 0);
  check_no_item(&walk);
  CHECK(next_locator(&walk).fault == NULL);
}

TEST(of_buffers_that_share_memory_each_is_reported_as_damaged) {
  nbuf_item items[] = {buffer_item(0, 0), buffer_item(1, 0), buffer_item(0, 0)};
  items[2].base++;
  items[2].size = 4096;
  (void)add_locator(NEARBUF_DIALECT_RUST, items, 3);
  nearbuf_process_walk walk = {0};
  CHECK(next_locator(&walk).fault == NULL); /* in this dialect it is none of the locator */
  const char *fault = "an item shares memory with another or with the locator";
  CHECK(strcmp(fault, next_item(&walk, 0).fault) == 0);
  CHECK(next_item(&walk, 1).fault == NULL);
  CHECK(strcmp(fault, next_item(&walk, 2).fault) == 0);
}

TEST(a_locator_whose_buffers_are_of_no_known_layout_is_the_last) {
  nbuf_item item = buffer_item(0, 0);
  item.taken = 2;
  locator_page *page = list_written(&item, 1);
  (void)list_written(&item, 1);
  nearbuf_process_walk walk = {0};
  check_last(&walk, "its items are of no known layout");
  walk.stage = 0;
  CHECK_EQUAL(NEARBUF_DIALECT_UNKNOWN, next_locator(&walk).dialect);
  set_item(page, 0, &(nbuf_item){0}); /* it is counted, and not yet written */
  walk.stage = 0;
  check_last(&walk, "its items are of no known layout");
}

TEST(a_locator_that_cannot_be_read_is_the_last) {
  const nbuf_item item = buffer_item(0, 0);
  set_next(list_written(&item, 1), AT + 9 * APART);
  nearbuf_process_walk walk = {0};
  (void)next_locator(&walk);
  nearbuf_process_locator locator = next_locator(&walk);
  CHECK_EQUAL(AT + 9 * APART, locator.address);
  CHECK_EQUAL(1, locator.number);
  CHECK(strcmp("its memory cannot be read", locator.fault) == 0);
  check_no_item(&walk);
  check_end(&walk);
}

TEST(a_failure_of_the_system_ends_a_walk) {
  const nbuf_item item = buffer_item(0, 0);
  locator_page *page = list_written(&item, 1);
  page->reading = NEARBUF_SYSTEM_ERROR;
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator = {.address = 1};
  CHECK_STATUS(NEARBUF_SYSTEM_ERROR, nearbuf_process_next_locator(&other, &walk, &locator));
  CHECK_EQUAL(ANY_ERROR, other.system_error);
  CHECK_EQUAL(0, locator.address);
  page->reading = NEARBUF_OK;
  check_end(&walk);
}

/* Each of its locators is reported, and then the walk comes to its end soon. */
static void check_circle(int before, int around) {
  const nbuf_item item = buffer_item(0, 0);
  bool is_reported[MOST_PAGES] = {false};
  chain.count = 0;
  for (int i = 0; i < before + around; i++) {
    (void)list_written(&item, 1);
  }
  set_next(&chain.pages[chain.count - 1], chain.pages[before].address);
  nearbuf_process_walk walk = {0};
  int count = 0;
  for (bool is_over = false; !is_over; count++) {
    nearbuf_process_locator locator = next_locator(&walk);
    CHECK_EQUAL(count, locator.number);
    is_reported[page_at(locator.address) - chain.pages] = true;
    is_over = locator.fault != NULL;
    CHECK(!is_over || strcmp("the chain comes back to an earlier locator", locator.fault) == 0);
  }
  CHECK(count <= 3 * (before + around));
  for (int i = 0; i < before + around; i++) {
    CHECK(is_reported[i]);
  }
  check_end(&walk);
}

TEST(a_chain_that_comes_back_to_itself_ends_after_all_of_its_locators) {
  for (int before = 0; before < 10; before++) {
    for (int around = 2; around < 10; around++) { /* a link to itself is no valid one */
      check_circle(before, around);
    }
  }
}

TEST(the_last_locator_before_a_circle_is_closed_still_has_its_buffers) {
  const nbuf_item item = buffer_item(0, 0);
  const locator_page *first = list_written(&item, 1);
  set_next(list_written(&item, 1), first->address);
  nearbuf_process_walk walk = {0};
  (void)next_locator(&walk);
  nearbuf_process_locator locator = next_locator(&walk);
  CHECK(locator.fault != NULL);
  CHECK_EQUAL(item.base, next_item(&walk, 0).address);
  check_end(&walk);
}

TEST(a_long_chain_is_no_circle) {
  const nbuf_item item = buffer_item(0, 0);
  for (int i = 0; i < MOST_PAGES; i++) {
    (void)list_written(&item, 1);
  }
  nearbuf_process_walk walk = {0};
  for (int i = 0; i < MOST_PAGES; i++) {
    CHECK(next_locator(&walk).fault == NULL);
  }
  check_end(&walk);
}

TEST(a_chain_without_an_end_ends_with_the_4096th_locator) {
  chain.first = AT;
  chain.is_endless = true;
  nearbuf_process_walk walk = {.flags = NEARBUF_PROCESS_UNNAMED};
  for (int i = 0; i < 4095; i++) {
    CHECK(next_locator(&walk).fault == NULL);
  }
  nearbuf_process_locator locator = next_locator(&walk);
  CHECK_EQUAL(4095, locator.number);
  CHECK(strcmp("the chain is longer than that of any program", locator.fault) == 0);
  CHECK_EQUAL(1, locator.count);
  check_end(&walk);
}

TEST(a_chain_of_4096_locators_is_none_too_long) {
  chain.first = AT;
  chain.is_endless = true;
  nearbuf_process_walk walk = {.flags = NEARBUF_PROCESS_UNNAMED};
  for (int i = 0; i < 4095; i++) {
    (void)next_locator(&walk);
  }
  chain.is_endless = false;
  const nbuf_item item = buffer_item(0, 0);
  (void)add_page(AT + 4095 * (uint64_t)NBUF_LOCATOR_SIZE, written(), &item, 1);
  CHECK(next_locator(&walk).fault == NULL);
  check_end(&walk);
}

/* ---- Locators without buffers ---------------------------------------------------------------- */

TEST(an_empty_first_locator_is_of_the_dialect_that_its_file_tells) {
  (void)list_written(NULL, 0);
  (void)list_written(NULL, 0);
  chain.if_empty = NEARBUF_DIALECT_DOTNET;
  nearbuf_process_walk walk = {0};
  for (int i = 0; i < 2; i++) { /* a later one is like the one before */
    nearbuf_process_locator locator = next_locator(&walk);
    CHECK_EQUAL(NEARBUF_DIALECT_DOTNET, locator.dialect);
    CHECK_EQUAL(0, locator.count);
    CHECK(locator.fault == NULL);
  }
  chain.if_empty = NEARBUF_DIALECT_UNKNOWN;
  walk.stage = 0;
  nearbuf_process_locator locator = next_locator(&walk);
  CHECK_EQUAL(NEARBUF_DIALECT_UNKNOWN, locator.dialect);
  CHECK(locator.fault == NULL);
  CHECK_EQUAL(0, locator.number);
}

TEST(an_empty_locator_behind_one_of_rust_is_of_rust_unless_this_library_made_that) {
  const nbuf_item item = buffer_item(0, SIZE);
  locator_page *first = add_locator(NEARBUF_DIALECT_RUST, &item, 1);
  (void)list_written(NULL, 0);
  nearbuf_process_walk walk = {0};
  (void)next_locator(&walk);
  CHECK_EQUAL(NEARBUF_DIALECT_UNKNOWN, next_locator(&walk).dialect);
  first->bytes[written()->count_dotnet] = 0; /* which hides it from the .NET implementation */
  walk.stage = 0;
  (void)next_locator(&walk);
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, next_locator(&walk).dialect);
}

/* ---- Names ----------------------------------------------------------------------------------- */

static nearbuf_process_locator first_named(void) {
  nearbuf_process_walk walk = {0};
  return next_locator(&walk);
}

TEST(the_name_of_a_locator_is_that_of_its_mapping) {
  const nbuf_item item = buffer_item(0, 0);
  (void)list_written(&item, 1);
  CHECK_EQUAL(0, first_named().name[0]);
  map_range(AT - 4096, 4096, true, "before");
  map_range(AT, 4096, true, "locator");
  map_range(AT + 4096, 4096, false, "behind");
  nearbuf_process_locator locator = first_named();
  CHECK(strcmp("locator", locator.name) == 0);
  CHECK_EQUAL(1, locator.is_shared);
  CHECK_EQUAL(2, it.map_position); /* the map is read no farther */
  it.mapped[1].min = AT + 1;       /* then nothing is mapped there */
  locator = first_named();
  CHECK_EQUAL(0, locator.name[0]);
  CHECK_EQUAL(0, locator.is_shared);
  it.mapped[0].max = AT;
  CHECK(strcmp("before", first_named().name) == 0);
  it.map_opening = NEARBUF_DENIED;
  CHECK_EQUAL(0, first_named().name[0]);
}

TEST(a_walk_without_names_does_not_read_the_map) {
  const nbuf_item item = buffer_item(0, 0);
  (void)list_written(&item, 1);
  map_range(AT, 4096, true, "locator");
  nearbuf_process_walk walk = {.flags = NEARBUF_PROCESS_UNNAMED};
  nearbuf_process_locator locator = next_locator(&walk);
  CHECK_EQUAL(0, locator.name[0]);
  CHECK_EQUAL(0, it.map_position);
}

TEST(a_walk_of_a_process_with_narrow_addresses_reads_narrow_fields) {
  other.address_bits = 32;
  const nbuf_item items[] = {buffer_item(0, 5), buffer_item(1, 6)};
  (void)list_written(items, 2);
  (void)list_written(items, 2);
  nearbuf_process_walk walk = {0};
  for (int i = 0; i < 2; i++) {
    nearbuf_process_locator locator = next_locator(&walk);
    CHECK(locator.fault == NULL);
    CHECK_EQUAL(255, locator.capacity);
    CHECK_EQUAL(2, locator.count);
    CHECK_EQUAL(5, next_item(&walk, 0).used_bytes);
    CHECK_EQUAL(items[1].base, next_item(&walk, 1).address);
  }
  check_end(&walk);
}
