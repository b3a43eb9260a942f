/* The public calls that inspect, on locators with buffers at invented addresses: which locators are
 * known, and whether the process can be read at all, is what a test says. api/inspect.c and
 * core/find.c are compiled here, with other names for what they call. Against real memory they are
 * tested by tests/api/look.c. */
#include <string.h>

#include "core/attach.h"
#include "core/find.h"
#include "core/header.h"
#include "core/locators.h"
#include "os/os.h"

#define nbuf_os_call_begin invented_call_begin
#define nbuf_os_call_end invented_call_end
#define nbuf_state_begin invented_state_begin
#define nbuf_attach invented_attach
#define nbuf_header_mend invented_mend
#define nbuf_locators_entry invented_entry
#define nbuf_locators_length invented_length
#define nbuf_locators_extend invented_extend
#define nbuf_item_read counted_item_read
#define nbuf_shared_load_relaxed counted_load

static nbuf_os_call invented_call_begin(void);
static void invented_call_end(nbuf_os_call call);
static nbuf_result invented_state_begin(nbuf_state **state);
static nbuf_result invented_attach(nbuf_state *state, bool may_wait);
static void invented_mend(nbuf_locator *locator);
static nbuf_locator *invented_entry(uint32_t number);
static uint32_t invented_length(const nbuf_state *state);
static nbuf_result invented_extend(nbuf_state *state, bool may_wait);
static nbuf_item counted_item_read(uintptr_t item, const nbuf_layout *layout);
static uint32_t counted_load(uintptr_t address);

#include "api/inspect.c" /* NOLINT(bugprone-suspicious-include) */
#include "core/find.c"   /* NOLINT(bugprone-suspicious-include) */

#undef nbuf_item_read
#undef nbuf_shared_load_relaxed

#include "test.h"

enum {
  LOCATORS = 3,
  BUFFER = 8192, /* with as much that is free behind it */
  USED = 9,      /* of a buffer */
  GENERATION = 7,
  WRITTEN = NEARBUF_DIALECT_WRITTEN,
  DOTNET = NEARBUF_DIALECT_DOTNET,
  RUST = NEARBUF_DIALECT_RUST
};

#define BUFFERS ((uintptr_t)(sizeof(uintptr_t) == 8 ? UINT64_C(0x700000000000) : 0x70000000))

static _Alignas(8) unsigned char pages[LOCATORS][NBUF_LOCATOR_SIZE];

static struct {
  nbuf_state state;
  nbuf_locator locators[LOCATORS];
  uint32_t known;
  uint32_t linked; /* are not known before the chain is extended */
  nearbuf_status beginning;
  nearbuf_status attaching;
  nearbuf_status extending;
  int calls;
  int reads; /* of items */
  int mends;
} it;

static nbuf_os_call invented_call_begin(void) {
  it.calls++;
  return (nbuf_os_call){0};
}

static void invented_call_end(nbuf_os_call call) {
  (void)call;
  it.calls--;
}

static nbuf_result invented_state_begin(nbuf_state **state) {
  CHECK_EQUAL(1, it.calls);
  *state = it.beginning == NEARBUF_OK ? &it.state : NULL;
  return nbuf_result_of(it.beginning);
}

static nbuf_result invented_attach(nbuf_state *state, bool may_wait) {
  CHECK(state == &it.state && !may_wait);
  CHECK_EQUAL(1, it.calls);
  return nbuf_result_of(it.attaching);
}

static void invented_mend(nbuf_locator *locator) {
  CHECK(locator == &it.locators[0]);
  it.mends++;
}

static nbuf_locator *invented_entry(uint32_t number) {
  CHECK(number < it.known);
  return &it.locators[number];
}

static uint32_t invented_length(const nbuf_state *state) {
  CHECK(state == &it.state);
  return it.known;
}

static nbuf_result invented_extend(nbuf_state *state, bool may_wait) {
  CHECK(state == &it.state && !may_wait);
  CHECK_EQUAL(1, it.calls);
  it.known += it.linked;
  it.linked = 0;
  return nbuf_result_of(it.extending);
}

static nbuf_item counted_item_read(uintptr_t item, const nbuf_layout *layout) {
  it.reads++;
  return nbuf_item_read(item, layout);
}

static uint32_t counted_load(uintptr_t address) {
  it.reads++;
  return nbuf_shared_load_relaxed(address);
}

/* ---- Helpers --------------------------------------------------------------------------------- */

static uintptr_t buffer_at(uint32_t number) {
  return BUFFERS + (uintptr_t)number * 2 * BUFFER;
}

static nbuf_locator *add_items(uint32_t dialect, const nbuf_item *items, uint32_t count) {
  CHECK(it.known + it.linked < LOCATORS);
  uint32_t number = it.known + it.linked;
  uintptr_t base = (uintptr_t)pages[number];
  nbuf_format_build(base, nbuf_native_layout(dialect), base, items, count);
  it.locators[number].base = base;
  it.locators[number].dialect = (uint8_t)dialect;
  it.locators[number].is_first = number == 0;
  atomic_store(&it.state.generation, GENERATION);
  it.known++;
  return &it.locators[number];
}

/* A locator with buffers from `first` on, in reverse. */
static nbuf_locator *add(uint32_t dialect, uint32_t first, uint32_t count) {
  nbuf_item items[256] = {{0}};
  for (uint32_t i = 0; i < count; i++) {
    items[i] =
        (nbuf_item){.base = buffer_at(first + count - 1 - i), .size = BUFFER, .position = USED};
  }
  return add_items(dialect, items, count);
}

static void write_item(const nbuf_locator *locator, uint32_t index, nbuf_item item) {
  nbuf_item_write(nbuf_locator_item(locator, index), nbuf_locator_layout(locator), &item);
}

static void set_lock(const nbuf_locator *locator, uint32_t value) {
  nbuf_shared_store_relaxed(locator->base + nbuf_locator_layout(locator)->locked, value);
}

static bool is_found(uintptr_t address) {
  nearbuf_info info;
  nearbuf_status status = nearbuf_find((const void *)address, &info);
  CHECK(status == NEARBUF_OK || status == NEARBUF_NOT_FOUND);
  CHECK_EQUAL(0, it.calls);
  CHECK(status == NEARBUF_OK ? address - info.address < info.size_bytes : info.address == 0);
  return status == NEARBUF_OK;
}

static void check_found(uint32_t number, const nbuf_locator *locator, uint32_t index) {
  uintptr_t address = buffer_at(number);
  nearbuf_info info;
  const uintptr_t inside[] = {address, address + 1, address + BUFFER - 1};
  for (int i = 0; i < 3; i++) {
    CHECK_OK(nearbuf_find((const void *)inside[i], &info));
    CHECK_EQUAL(address, info.address);
    CHECK_EQUAL(BUFFER, info.size_bytes);
    CHECK_EQUAL(locator->base, info.locator);
    CHECK_EQUAL(locator->dialect, info.dialect);
    CHECK_EQUAL(index, info.index);
  }
  CHECK(!is_found(address - 1));
  CHECK(!is_found(address + BUFFER));
}

/* How many items are read to find that no buffer contains the address. */
static int reads_for(uintptr_t address) {
  it.reads = 0;
  CHECK(!is_found(address));
  return it.reads;
}

static void check_next(nearbuf_walk *walk, uint32_t number, const nbuf_locator *locator,
                       uint32_t index) {
  nearbuf_info info;
  CHECK_OK(nearbuf_next(walk, &info));
  CHECK_EQUAL(buffer_at(number), info.address);
  CHECK_EQUAL(locator->base, info.locator);
  CHECK_EQUAL(index, info.index);
  CHECK_EQUAL(locator->dialect, info.dialect);
}

static void check_end(nearbuf_walk *walk) {
  nearbuf_info info;
  memset(&info, 0x5A, sizeof info);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_next(walk, &info));
  CHECK_EQUAL(0, info.address);
  CHECK_EQUAL(0, info.size_bytes);
}

/* ---- Which buffer contains an address -------------------------------------------------------- */

TEST(each_byte_of_a_buffer_is_found_in_each_dialect) {
  const nbuf_locator *first = add(WRITTEN, 0, 3);
  const nbuf_locator *second = add(RUST, 3, 2);
  const nbuf_locator *third = add(DOTNET, 5, 1);
  for (int round = 0; round < 2; round++) { /* before and after what the first one notes */
    check_found(0, first, 2);
    check_found(2, first, 0);
    check_found(3, second, 1);
    check_found(4, second, 0);
    check_found(5, third, 0);
    CHECK(!is_found(0));
    CHECK(!is_found(UINTPTR_MAX));
  }
}

TEST(a_buffer_at_the_end_of_the_address_space_is_found) {
  const uintptr_t last = UINTPTR_MAX - BUFFER + 1;
  const nbuf_item items[] = {{.base = last - BUFFER, .size = BUFFER}, {.base = BUFFER, .size = 64}};
  (void)add(WRITTEN, 0, 0);
  (void)add_items(WRITTEN, items, 2);
  for (int round = 0; round < 2; round++) {
    CHECK(is_found(last - 1));
    CHECK(is_found(BUFFER));
    CHECK(is_found(BUFFER + 63));
    CHECK(!is_found(last));
    CHECK(!is_found(UINTPTR_MAX));
    CHECK(!is_found(BUFFER - 1));
    CHECK(!is_found(BUFFER + 64));
  }
}

/* In a locator of the Rust dialect, whose size is there what the other calls the lock. */
TEST(a_buffer_that_another_implementation_listed_in_its_own_layout_is_found) {
  const nbuf_layout *dotnet = nbuf_native_layout(DOTNET);
  (void)add(WRITTEN, 0, 0);
  const nbuf_locator *locator = add(RUST, 0, 3);
  for (uint32_t taken = 0; taken < 2; taken++) {
    const nbuf_item item = {.base = buffer_at(10 + taken), .size = BUFFER, .taken = taken};
    nbuf_item_write(nbuf_locator_item(locator, taken), dotnet, &item);
  }
  for (int round = 0; round < 2; round++) {
    check_found(10, locator, 0);
    check_found(11, locator, 1);
    check_found(0, locator, 2);
  }
}

/* ---- What is read for it --------------------------------------------------------------------- */

TEST(once_its_buffers_were_read_a_locator_costs_a_comparison) {
  (void)add(WRITTEN, 0, 0);
  (void)add(WRITTEN, 10, 5);
  (void)add(RUST, 20, 5);
  CHECK(reads_for(0) >= 10);
  CHECK_EQUAL(0, reads_for(0));
  CHECK_EQUAL(0, reads_for(buffer_at(10) - 1));
  CHECK_EQUAL(0, reads_for(buffer_at(14) + BUFFER));
  CHECK_EQUAL(0, reads_for(buffer_at(20) - 1));
  CHECK_EQUAL(0, reads_for(buffer_at(24) + BUFFER));
  CHECK_EQUAL(0, reads_for(UINTPTR_MAX));
  CHECK(is_found(buffer_at(10)));
  CHECK(is_found(buffer_at(24) + BUFFER - 1));
}

TEST(buffers_that_are_listed_later_are_found) {
  (void)add(WRITTEN, 0, 1);
  nbuf_locator *second = add(WRITTEN, 10, 2);
  CHECK(!is_found(buffer_at(12)));
  for (uint32_t number = 12; number < 15; number++) {
    write_item(second, number - 10, (nbuf_item){.base = buffer_at(number), .size = BUFFER});
    nbuf_format_store_count(second->base, nbuf_locator_layout(second), number - 10 + 1);
    CHECK(is_found(buffer_at(number) + BUFFER - 1));
    CHECK(!is_found(0));
    CHECK(is_found(buffer_at(number)));
    CHECK(is_found(buffer_at(10)));
  }
  const nbuf_locator *third = add(WRITTEN, 5, 1); /* below those that are known */
  check_found(5, third, 0);
}

/* Other implementations can replace its items, and count them before they are written. */
TEST(the_items_of_the_first_locator_are_read_each_time) {
  const nbuf_locator *first = add(WRITTEN, 0, 1);
  CHECK(!is_found(buffer_at(9)));
  write_item(first, 0, (nbuf_item){.base = buffer_at(9), .size = BUFFER});
  check_found(9, first, 0);
}

static void check_found_when_complete(nbuf_item incomplete) {
  (void)add(WRITTEN, 0, 1);
  nbuf_locator *second = add(WRITTEN, 10, 3);
  write_item(second, 1, incomplete);
  CHECK(!is_found(buffer_at(20)));
  CHECK(!is_found(buffer_at(20)));
  write_item(second, 1, (nbuf_item){.base = buffer_at(20), .size = BUFFER});
  check_found(20, second, 1);
}

TEST(an_item_that_was_counted_before_it_was_written_is_found) {
  check_found_when_complete((nbuf_item){0});
}

TEST(an_item_that_was_counted_before_its_size_was_written_is_found) {
  check_found_when_complete((nbuf_item){.base = buffer_at(20)});
}

TEST(an_item_that_was_being_written_under_the_lock_is_found) {
  (void)add(WRITTEN, 0, 1);
  nbuf_locator *second = add(WRITTEN, 10, 3);
  set_lock(second, 1);
  CHECK(!is_found(buffer_at(20)));
  write_item(second, 2, (nbuf_item){.base = buffer_at(20), .size = BUFFER});
  set_lock(second, 0);
  check_found(20, second, 2);
}

/* Its bytes may be those of a thread that is still listing it. */
TEST(an_item_behind_the_count_is_not_told) {
  nearbuf_walk walk = {0, 0};
  const nbuf_locator *first = add(WRITTEN, 0, 1);
  write_item(first, 1, (nbuf_item){.base = buffer_at(1), .size = BUFFER});
  CHECK(!is_found(buffer_at(1)));
  check_next(&walk, 0, first, 0);
  check_end(&walk);
}

/* What it knows of its parent's locators is not true of its own, at the same addresses. */
TEST(a_child_reads_the_buffers_of_its_own_locators) {
  (void)add(WRITTEN, 0, 1);
  nbuf_locator *second = add(WRITTEN, 10, 3);
  CHECK(!is_found(buffer_at(20)));
  atomic_store(&it.state.generation, GENERATION + 1);
  write_item(second, 0, (nbuf_item){.base = buffer_at(20), .size = BUFFER});
  check_found(20, second, 0);
}

/* ---- Walks and totals ------------------------------------------------------------------------ */

TEST(a_walk_passes_over_empty_slots_and_locators) {
  const nbuf_item behind_empty[] = {{0}, {0}, {.base = buffer_at(2), .size = BUFFER}, {0}};
  const nbuf_locator *first = add_items(WRITTEN, behind_empty, 4);
  (void)add(NEARBUF_DIALECT_UNKNOWN, 0, 0);
  const nbuf_locator *third = add(RUST, 4, 2);
  nearbuf_walk walk = {0, 0};
  check_next(&walk, 2, first, 2);
  check_next(&walk, 5, third, 0);
  check_next(&walk, 4, third, 1);
  check_end(&walk);
}

TEST(a_walk_goes_on_in_the_next_locator_behind_the_last_slot) {
  const uint32_t all = NBUF_NATIVE_CAPACITY;
  const nbuf_locator *first = add(WRITTEN, 0, all);
  nearbuf_walk walk = {0, 0};
  for (uint32_t i = 0; i < all; i++) {
    check_next(&walk, all - 1 - i, first, i);
  }
  check_end(&walk);
  check_end(&walk);
  const nbuf_locator *second = add(WRITTEN, 300, 1);
  check_next(&walk, 300, second, 0);
  check_end(&walk);
}

TEST(what_is_told_of_a_buffer_is_what_its_item_says) {
  const nbuf_item items[] = {
      {.base = buffer_at(0), .size = BUFFER, .position = 17, .taken = 1},
      {.base = buffer_at(1), .size = BUFFER, .position = BUFFER},
      {.base = buffer_at(2), .size = BUFFER, .position = BUFFER + 1}, /* by another module */
  };
  (void)add_items(WRITTEN, items, 3);
  const uint32_t used[] = {17, BUFFER, BUFFER};
  nearbuf_walk walk = {0, 0};
  for (uint32_t i = 0; i < 3; i++) {
    nearbuf_info info;
    CHECK_OK(nearbuf_next(&walk, &info));
    CHECK_EQUAL(BUFFER, info.size_bytes);
    CHECK_EQUAL(used[i], info.used_bytes);
    CHECK_EQUAL(i == 0, info.is_taken);
  }
}

TEST(totals_are_the_sums_over_all_locators) {
  nbuf_item items[3] = {{0}};
  for (uint32_t i = 0; i < 3; i++) {
    items[i] = (nbuf_item){.base = buffer_at(i), .size = BUFFER, .position = i + 1, .taken = i > 0};
  }
  const nbuf_locator *first = add_items(WRITTEN, items, 3);
  (void)add(RUST, 10, 2);
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, totals.sharing);
  CHECK_EQUAL(0, totals.private_reason);
  CHECK_EQUAL(2, totals.locators);
  CHECK_EQUAL(5, totals.buffers);
  CHECK_EQUAL(2, totals.taken);
  CHECK_EQUAL(5 * BUFFER, totals.size_bytes);
  CHECK_EQUAL(6 + 2 * USED, totals.used_bytes);
  CHECK_EQUAL(first->base, totals.first_locator);
  atomic_store(&it.state.is_private, 1);
  atomic_store(&it.state.private_reason, 13);
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(NEARBUF_SHARING_PRIVATE, totals.sharing);
  CHECK_EQUAL(13, totals.private_reason);
}

/* ---- The chain ------------------------------------------------------------------------------- */

/* With all that can be had without waiting. */
TEST(each_call_looks_for_what_other_modules_have_linked) {
  nearbuf_walk walk = {0, 0};
  nearbuf_totals totals;
  const nbuf_locator *first = add(WRITTEN, 0, 1);
  const nbuf_locator *second = add(WRITTEN, 1, 1);
  it.extending = NEARBUF_BUSY;
  it.known = 1;
  it.linked = 1;
  check_next(&walk, 0, first, 0);
  check_next(&walk, 1, second, 0);
  it.known = 1;
  it.linked = 1;
  check_found(1, second, 0);
  it.known = 1;
  it.linked = 1;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(2, totals.buffers);
  CHECK_EQUAL(0, it.calls);
  CHECK(it.mends > 0);
}

static void check_refused(nearbuf_status expected, nearbuf_status of_totals) {
  const nearbuf_totals none = {0};
  nearbuf_walk walk = {0, 0};
  nearbuf_info info;
  nearbuf_totals totals;
  memset(&info, 0x5A, sizeof info);
  CHECK_STATUS(expected, nearbuf_find(pages, &info));
  CHECK_EQUAL(0, info.address);
  memset(&info, 0x5A, sizeof info);
  CHECK_STATUS(expected, nearbuf_next(&walk, &info));
  CHECK_EQUAL(0, info.address);
  CHECK_EQUAL(0, walk.generation);
  memset(&totals, 0x5A, sizeof totals);
  CHECK_STATUS(of_totals, nearbuf_get_totals(&totals));
  CHECK(memcmp(&none, &totals, sizeof none) == 0);
  CHECK_EQUAL(0, it.calls);
  CHECK_EQUAL(0, it.mends);
}

TEST(what_cannot_be_read_is_told_and_outputs_are_cleared) {
  it.attaching = NEARBUF_NOT_FOUND;
  check_refused(NEARBUF_NOT_FOUND, NEARBUF_OK);
  it.attaching = NEARBUF_BUSY;
  check_refused(NEARBUF_BUSY, NEARBUF_BUSY);
  it.attaching = NEARBUF_INCOMPATIBLE;
  check_refused(NEARBUF_INCOMPATIBLE, NEARBUF_INCOMPATIBLE);
  it.beginning = NEARBUF_OUT_OF_MEMORY;
  check_refused(NEARBUF_OUT_OF_MEMORY, NEARBUF_OUT_OF_MEMORY);
}

TEST(an_output_and_a_walk_must_be_given) {
  nearbuf_walk walk = {0, 0};
  nearbuf_info info;
  memset(&info, 0x5A, sizeof info);
  (void)add(WRITTEN, 0, 1);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_find(pages, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_next(&walk, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_next(NULL, &info));
  CHECK_EQUAL(0, info.address);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_get_totals(NULL));
}

TEST(a_walk_that_began_before_a_fork_is_stale) {
  nearbuf_walk walk = {0, 0};
  nearbuf_info info;
  const nbuf_locator *first = add(WRITTEN, 0, 3);
  check_next(&walk, 2, first, 0);
  atomic_store(&it.state.generation, GENERATION + 1);
  CHECK_STATUS(NEARBUF_STALE, nearbuf_next(&walk, &info));
  CHECK_EQUAL(0, info.address);
  it.attaching = NEARBUF_NOT_FOUND; /* the child has no locator yet */
  CHECK_STATUS(NEARBUF_STALE, nearbuf_next(&walk, &info));
  it.attaching = NEARBUF_OK;
  atomic_store(&it.state.generation, GENERATION);
  check_next(&walk, 1, first, 1);
}
