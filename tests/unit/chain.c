/* The chain of locators on an invented system: what is mapped, who holds which lock, what other
 * modules store, the clock and the pages that can be had are what a test says. probe.c, header.c,
 * locators.c, registry.c and state.c of src/core are compiled here with os/wait.c, with other names
 * for what they call of the port and for what they define. */
#define nbuf_os_known invented_numbers
#define nbuf_os_ask_numbers invented_ask_numbers
#define nbuf_os_nanoseconds invented_nanoseconds
#define nbuf_os_pause invented_pause
#define nbuf_os_pause_again invented_pause_again
#define nbuf_os_map_open invented_map_open
#define nbuf_os_map_close invented_map_close
#define nbuf_os_map_next invented_map_next
#define nbuf_os_own_pages invented_own_pages
#define nbuf_os_unmap invented_unmap
#define nbuf_os_last_error invented_last_error
#define nbuf_os_call_begin invented_call_begin
#define nbuf_os_call_end invented_call_end
#define nbuf_os_process_pages invented_process_pages
#define nbuf_os_are_process_pages invented_are_process_pages
#define nbuf_page_lists_tail invented_lists_tail
#define nbuf_page_keep_from_children invented_keep_from_children
#define nbuf_page_leave_full_stub invented_leave_full_stub
#define nbuf_page_link_full_stub invented_link_full_stub
#define nbuf_page_restore_address invented_restore_address
#define nbuf_page_make_later invented_make_later
#define nbuf_page_discard invented_discard
#define nbuf_probe_readable tested_probe_readable
#define nbuf_probe_writable tested_probe_writable
#define nbuf_probe_private_code tested_probe_private_code
#define nbuf_probe_buffer tested_probe_buffer
#define nbuf_header_lock tested_header_lock
#define nbuf_header_try_lock tested_header_try_lock
#define nbuf_header_unlock tested_header_unlock
#define nbuf_header_mend tested_header_mend
#define nbuf_header_set_link tested_header_set_link
#define nbuf_header_start tested_header_start
#define nbuf_locators_known tested_locators_known
#define nbuf_locators_start tested_locators_start
#define nbuf_locators_extend_slowly tested_locators_extend
#define nbuf_locators_inherited tested_locators_inherited
#define nbuf_locators_end tested_locators_end
#define nbuf_locator_is_sound tested_locator_is_sound
#define nbuf_registry_take tested_registry_take
#define nbuf_registry_register tested_registry_register
#define nbuf_registry_is_full_walk_due tested_registry_is_full_walk_due
#define nbuf_registry_move_cursors_back tested_registry_move_cursors_back
#define nbuf_registry_released_item tested_registry_released_item
#define nbuf_state_pages tested_state_pages
#define nbuf_state_of_process tested_state_of_process
#define nbuf_state_begin_slowly tested_state_begin
#define nbuf_state_end tested_state_end
#define nbuf_state_lock tested_state_lock
#define nbuf_state_try_lock tested_state_try_lock
#define nbuf_state_unlock tested_state_unlock
#define nbuf_state_wipe tested_state_wipe
#define nbuf_wait_start tested_wait_start
#define nbuf_wait_on tested_wait_on
#define nbuf_wait_for_held_lock tested_wait_for_lock
#include "core/header.h"
#include "core/locators.h"
#include "core/probe.h"
#include "core/registry.h"
#include "core/state.h"
#include "os/os.h"
#include "os/pages.h"
#include "os/wait.h"
#include "test.h"

/* ---- The system ------------------------------------------------------------------------------ */

#define MS UINT64_C(1000000)
#define BUFFERS ((uintptr_t)0x70000000)
#define BUFFER ((uintptr_t)4096)
#define GRANULE ((uintptr_t)4096)
#define PAGE ((uintptr_t)8192) /* has room for two locators */
enum {
  PAGES = 40,
  MOST_BUFFERS = 1024,
  ANY_ERROR = 5,
  WRITTEN = NEARBUF_DIALECT_WRITTEN,
  RUST = NEARBUF_DIALECT_RUST
};

static _Alignas(PAGE) unsigned char memory[PAGES][PAGE];
static _Alignas(4096) unsigned char own_memory[2][4096];
static nbuf_state states[2];

static struct {
  nbuf_mapping mapped[8]; /* in ascending order */
  uint64_t now;
  void (*in_pause)(void);
  uintptr_t kept;
  uintptr_t stubs[8];
  uintptr_t linked_stub;
  uintptr_t linked_to;
  uintptr_t made;
  uintptr_t discarded;
  void (*in_making)(void);
  int mapped_count;
  nearbuf_status map_opening;
  void (*in_look)(void); /* at the map, once */
  int open_maps;
  int looks;
  int looks_until_failure; /* 0: all succeed */
  int calls;
  int pauses;
  int own_pages_made;
  int unmapped;
  int stub_count;
  int restored;
  nearbuf_status making;
  int makings;
  nbuf_os_inheritance inheritance;
  int states_made;
  nbuf_state *of_other_thread;
  bool tells_no_execution;
  bool is_unreadable;
  bool has_no_memory;
  bool lists_tail;
  bool cannot_be_kept;
  bool made_private;
  bool is_not_of_process;
  void (*meanwhile)(void); /* what another thread does when this one has made its state's pages */
} it = {.now = 1000 * MS};

nbuf_os_numbers invented_numbers;

void invented_ask_numbers(void) {
  atomic_store(&invented_numbers.page_size, PAGE);
  atomic_store(&invented_numbers.granularity, GRANULE);
}

uint64_t invented_nanoseconds(void) {
  return it.now;
}

void invented_pause(void) {
  CHECK(++it.pauses < 5000);
  it.now += MS;
  if (it.in_pause != NULL) {
    it.in_pause();
  }
}

void invented_pause_again(uint32_t times) {
  (void)times;
  invented_pause();
}

nbuf_os_call invented_call_begin(void) {
  it.calls++;
  return (nbuf_os_call){0};
}

void invented_call_end(nbuf_os_call call) {
  (void)call;
  it.calls--;
}

nbuf_result invented_map_open(nbuf_map *map, bool with_names) {
  CHECK(!with_names && it.calls > 0);
  map->tells_execution = !it.tells_no_execution;
  void (*in_look)(void) = it.in_look;
  it.in_look = NULL;
  if (in_look != NULL) {
    in_look();
  }
  it.open_maps++;
  it.looks++;
  nearbuf_status status = it.looks_until_failure > 0 && it.looks >= it.looks_until_failure
                              ? NEARBUF_DENIED
                              : it.map_opening;
  return nbuf_result_system(status, status == NEARBUF_OK ? 0 : ANY_ERROR);
}

void invented_map_close(nbuf_map *map) {
  (void)map;
  it.open_maps--;
}

nbuf_map_answer invented_map_next(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping) {
  CHECK_EQUAL(1, it.open_maps);
  if (it.is_unreadable) {
    map->system_error = ANY_ERROR;
    return NBUF_MAP_FAILED;
  }
  for (int i = 0; i < it.mapped_count; i++) {
    if (it.mapped[i].range.max >= from) {
      *mapping = it.mapped[i];
      return NBUF_MAP_FOUND;
    }
  }
  return NBUF_MAP_END;
}

static nbuf_mapping *map_range(uintptr_t start, uintptr_t size) {
  CHECK(it.mapped_count < 8);
  int at = it.mapped_count++;
  for (; at > 0 && it.mapped[at - 1].range.min > start; at--) {
    it.mapped[at] = it.mapped[at - 1];
  }
  it.mapped[at] = (nbuf_mapping){.range = {start, start + (size - 1)}};
  it.mapped[at].readable = it.mapped[at].writable = it.mapped[at].executable = true;
  return &it.mapped[at];
}

static nbuf_mapping *mapping_of(uintptr_t address) {
  for (int i = 0; i < it.mapped_count; i++) {
    if (nbuf_range_holds(it.mapped[i].range, address, 1)) {
      return &it.mapped[i];
    }
  }
  test_fail(__FILE__, __LINE__, "nothing is mapped there");
}

/* Where a process has its locators and buffers. */
static void map_all(void) {
  (void)map_range(BUFFERS, MOST_BUFFERS * BUFFER);
  map_range((uintptr_t)memory, sizeof memory)->shared = true;
}

void *invented_own_pages(size_t size) {
  CHECK(size == sizeof own_memory[0] && it.own_pages_made < 2);
  return it.has_no_memory ? NULL : own_memory[it.own_pages_made++];
}

int32_t invented_last_error(void) {
  return ANY_ERROR;
}

nbuf_result invented_unmap(uintptr_t address, size_t size) {
  CHECK(address != 0 && size > 0);
  it.unmapped++;
  return nbuf_result_of(NEARBUF_OK);
}

void *invented_process_pages(size_t size, nbuf_os_owner *owner) {
  CHECK(size == sizeof states[0] && it.states_made < 2);
  CHECK((atomic_load(&owner->mark) & 1) != 0);
  atomic_store(&owner->inheritance, (uint32_t)it.inheritance);
  nbuf_state *made = it.has_no_memory ? NULL : &states[it.states_made++];
  if (it.meanwhile != NULL && it.states_made == 1) {
    it.meanwhile();
  }
  return made;
}

bool invented_are_process_pages(const void *pages, const nbuf_os_owner *owner) {
  (void)owner;
  CHECK(pages == &states[0] || pages == &states[1]);
  return !it.is_not_of_process;
}

bool invented_lists_tail(void) {
  return it.lists_tail;
}

bool invented_keep_from_children(uintptr_t base) {
  it.kept = base;
  return !it.cannot_be_kept;
}

void invented_leave_full_stub(uintptr_t base) {
  CHECK(it.stub_count < 8);
  it.stubs[it.stub_count++] = base;
}

void invented_link_full_stub(uintptr_t full_stub, uintptr_t first) {
  it.linked_stub = full_stub;
  it.linked_to = first;
}

void invented_restore_address(uintptr_t base) {
  CHECK_EQUAL((uintptr_t)memory, base - base % PAGE - (base - (uintptr_t)memory) / PAGE * PAGE);
  it.restored++;
}

static uintptr_t page_at(int index) {
  CHECK(index >= 0 && index < PAGES);
  return (uintptr_t)memory[index];
}

/* From the last one on. */
nbuf_result invented_make_later(const nbuf_initial_items *initial, bool is_private,
                                nbuf_page *page) {
  if (it.making != NEARBUF_OK) {
    return nbuf_result_system(it.making, ANY_ERROR);
  }
  it.made = page_at(PAGES - ++it.makings);
  it.made_private = is_private;
  nbuf_format_build(it.made, initial->layout, it.made, initial->items, initial->count);
  *page = (nbuf_page){.base = it.made, .is_made = true};
  if (it.in_making != NULL) {
    it.in_making();
  }
  return nbuf_result_of(NEARBUF_OK);
}

void invented_discard(const nbuf_page *page) {
  it.discarded = page->base;
}

#include "core/header.c"   /* NOLINT(bugprone-suspicious-include) */
#include "core/locators.c" /* NOLINT(bugprone-suspicious-include) */
#include "core/probe.c"    /* NOLINT(bugprone-suspicious-include) */
#include "core/registry.c" /* NOLINT(bugprone-suspicious-include) */
#include "core/state.c"    /* NOLINT(bugprone-suspicious-include) */
#include "os/wait.c"       /* NOLINT(bugprone-suspicious-include) */

/* ---- Helpers --------------------------------------------------------------------------------- */

static nbuf_state *state(void) {
  static nbuf_state *begun;
  if (begun == NULL) {
    CHECK_OK(nbuf_state_begin(&begun).status);
  }
  return begun;
}

static uintptr_t buffer_at(uint32_t number) {
  return BUFFERS + number * BUFFER;
}

static nbuf_item buffer(uint32_t number) {
  return (nbuf_item){.base = buffer_at(number), .size = BUFFER};
}

/* A locator with buffers from `first` on, behind `empty` empty slots. */
static void build_at(uintptr_t base, uint32_t dialect, uint32_t empty, uint32_t count,
                     uint32_t first) {
  const nbuf_layout *layout = nbuf_native_layout(dialect);
  nbuf_item items[256] = {{0}};
  for (uint32_t i = 0; i < count; i++) {
    items[empty + i] = buffer(first + i);
  }
  nbuf_format_build(base, layout, base, items, empty + count);
}

static uintptr_t build(int page, uint32_t dialect, uint32_t empty, uint32_t count, uint32_t first) {
  build_at(page_at(page), dialect, empty, count, first);
  return page_at(page);
}

static nbuf_locator *start(uintptr_t base, uint32_t dialect, bool is_made) {
  CHECK_OK(nbuf_locators_start(state(), base, (uint8_t)dialect, is_made).status);
  CHECK_EQUAL(1, nbuf_locators_length(state()));
  CHECK_EQUAL(0, it.open_maps);
  return nbuf_locators_entry(0);
}

/* A first locator that this module made: with one buffer, behind the empty slots. */
static nbuf_locator *start_own(uint32_t dialect) {
  map_all();
  return start(build(0, dialect, NBUF_FIRST_SLOT, 1, 0), dialect, true);
}

static uintptr_t word_at(uintptr_t base, uint32_t offset) {
  return base + offset;
}

static const nbuf_layout *header(void) {
  return nbuf_native_layout(NEARBUF_DIALECT_UNKNOWN);
}

static uint32_t lock_of(uintptr_t base) {
  return nbuf_shared_load_relaxed(word_at(base, header()->locked));
}

static void hold_lock(uintptr_t base) {
  nbuf_shared_store_relaxed(word_at(base, header()->locked), 1);
}

static void free_lock(uintptr_t base) {
  nbuf_shared_store_relaxed(word_at(base, header()->locked), 0);
}

static void set_link_of(uintptr_t base, uintptr_t next) {
  atomic_store((_Atomic uintptr_t *)word_at(base, header()->next), nbuf_little_address(next));
}

/* Another implementation that is starting maps the page again and clears the header. */
static void clear_header(uintptr_t base, uintptr_t other, uint32_t dialect) {
  nbuf_shared_address_store_release(base, sizeof base, other);
  set_link_of(base, 0);
  free_lock(base);
  uint32_t count = dialect == RUST ? header()->count : header()->count_dotnet;
  nbuf_shared_count_release(word_at(base, count), 0);
}

/* ---- Whether memory is mapped ---------------------------------------------------------------- */

TEST(memory_is_there_if_every_byte_is_mapped) {
  (void)map_range(PAGE, PAGE);
  (void)map_range(2 * PAGE, PAGE);
  (void)map_range(4 * PAGE, PAGE);
  CHECK_OK(nbuf_probe_writable(PAGE, 2 * PAGE).status);
  CHECK_OK(nbuf_probe_writable(3 * PAGE - 1, 1).status);
  CHECK_EQUAL(2, it.looks);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nbuf_probe_writable(PAGE, 2 * PAGE + 1).status);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nbuf_probe_writable(PAGE - 1, 2).status);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nbuf_probe_writable(PAGE, 4 * PAGE).status);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nbuf_probe_writable(6 * PAGE, 1).status);
  CHECK_EQUAL(0, it.open_maps);
  CHECK_EQUAL(0, it.calls);
}

static void map_late(void) {
  if (it.pauses == 20) {
    (void)map_range(PAGE, PAGE);
  }
}

/* An emulator leaves out mappings for a moment. */
TEST(memory_that_seems_to_be_missing_is_looked_for_twenty_times) {
  it.in_pause = map_late;
  CHECK_OK(nbuf_probe_writable(PAGE, 1).status);
  CHECK_EQUAL(20, it.pauses);
  CHECK_EQUAL(21, it.looks);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nbuf_probe_readable(3 * PAGE, 1).status);
  CHECK_EQUAL(40, it.pauses);
}

TEST(a_map_that_cannot_be_read_says_nothing) {
  it.is_unreadable = true;
  nbuf_result result = nbuf_probe_buffer(PAGE, 1);
  CHECK_STATUS(NEARBUF_SYSTEM_ERROR, result.status);
  CHECK_EQUAL(ANY_ERROR, result.system_error);
  it.map_opening = NEARBUF_OUT_OF_MEMORY;
  CHECK_STATUS(NEARBUF_OUT_OF_MEMORY, nbuf_probe_readable(PAGE, 1).status);
  CHECK_EQUAL(0, it.open_maps);
  CHECK_EQUAL(0, it.pauses);
}

static void check_uses(bool constants, bool data, bool code, bool private_code) {
  CHECK_EQUAL(constants, nbuf_probe_readable(PAGE, PAGE).status == NEARBUF_OK);
  CHECK_EQUAL(data, nbuf_probe_writable(PAGE, PAGE).status == NEARBUF_OK);
  CHECK_EQUAL(code, nbuf_probe_buffer(PAGE, PAGE).status == NEARBUF_OK);
  CHECK_EQUAL(private_code, nbuf_probe_private_code(PAGE, PAGE).status == NEARBUF_OK);
  CHECK(code || nbuf_probe_buffer(PAGE, PAGE).status == NEARBUF_INCOMPATIBLE);
  CHECK(constants || nbuf_probe_readable(PAGE, PAGE).status == NEARBUF_NOT_FOUND);
}

TEST(each_use_needs_its_permissions) {
  nbuf_mapping *mapping = map_range(PAGE, PAGE);
  check_uses(true, true, true, true);
  mapping->shared = true;
  check_uses(true, true, true, false);
  mapping->shared = false;
  mapping->inode = 1;
  check_uses(true, true, true, false);
  mapping->inode = 0;
  mapping->executable = false;
  check_uses(true, true, false, false);
  it.tells_no_execution = true;
  check_uses(true, true, true, true);
  it.tells_no_execution = false;
  mapping->executable = true;
  mapping->writable = false;
  check_uses(true, false, false, false);
  mapping->writable = true;
  mapping->readable = false;
  check_uses(false, false, false, false);
}

/* ---- Headers that another implementation clears ---------------------------------------------- */

static void check_header(const nbuf_locator *locator, uint32_t count, uintptr_t link) {
  uintptr_t base = locator->base;
  const nbuf_layout *layout = nbuf_locator_layout(locator);
  CHECK_EQUAL(base, nbuf_shared_address_relaxed(base, sizeof base));
  CHECK_EQUAL(count, nbuf_format_count(base, layout));
  CHECK_EQUAL(count, nbuf_shared_count_acquire(base + layout->count));
  CHECK_EQUAL(locator->dialect == RUST ? layout->capacity : count,
              nbuf_shared_count_acquire(base + layout->count_dotnet));
  CHECK_EQUAL(link, nbuf_header_link(locator));
  CHECK_EQUAL(0, lock_of(base));
}

static void check_is_mended(uint32_t dialect) {
  nbuf_locator *locator = start_own(dialect);
  uintptr_t next = build(1, dialect, 0, 1, 5);
  CHECK(nbuf_header_set_link(locator, next));
  CHECK(!nbuf_header_set_link(locator, page_at(2)));
  clear_header(locator->base, page_at(3), dialect);
  nbuf_header_mend(locator);
  check_header(locator, NBUF_FIRST_SLOT + 1, next);
  clear_header(locator->base, page_at(3), dialect);
  CHECK(nbuf_header_lock(locator));
  CHECK_EQUAL(1, lock_of(locator->base));
  nbuf_header_unlock(locator);
  check_header(locator, NBUF_FIRST_SLOT + 1, next);
}

TEST(a_header_of_the_written_dialect_is_restored) {
  check_is_mended(WRITTEN);
}

TEST(a_header_of_the_rust_dialect_is_restored) {
  check_is_mended(RUST);
  const nbuf_locator *locator = nbuf_locators_entry(0);
  nbuf_shared_count_release(word_at(locator->base, header()->count_dotnet), 0);
  nbuf_header_mend(nbuf_locators_entry(0));
  check_header(locator, NBUF_FIRST_SLOT + 1, page_at(1));
}

TEST(each_part_of_a_header_is_restored_by_itself) {
  nbuf_locator *locator = start_own(WRITTEN);
  uintptr_t base = locator->base;
  uintptr_t next = build(1, WRITTEN, 0, 1, 5);
  CHECK(nbuf_header_set_link(locator, next));
  nbuf_shared_address_store_release(base, sizeof base, page_at(3));
  nbuf_header_mend(locator);
  check_header(locator, NBUF_FIRST_SLOT + 1, next);
  nbuf_shared_count_release(word_at(base, header()->count_dotnet), 0);
  nbuf_header_mend(locator);
  check_header(locator, NBUF_FIRST_SLOT + 1, next);
  set_link_of(base, 0);
  nbuf_header_mend(locator);
  check_header(locator, NBUF_FIRST_SLOT + 1, next);
}

/* A copy of the library that knows only one of the two set it. */
TEST(the_second_copy_of_a_link_is_restored_too) {
  nbuf_locator *locator = start_own(WRITTEN);
  uintptr_t next = build(1, WRITTEN, 0, 1, 5);
  set_link_of(locator->base, next);
  nbuf_header_mend(locator);
  set_link_of(locator->base, 0);
  nbuf_header_mend(locator);
  check_header(locator, NBUF_FIRST_SLOT + 1, next);
}

TEST(a_link_is_restored_only_if_it_leads_to_a_locator) {
  nbuf_locator *locator = start_own(WRITTEN);
  uintptr_t next = build(1, WRITTEN, 0, 1, 5);
  CHECK(nbuf_header_set_link(locator, next));
  nbuf_shared_address_store_release(next, sizeof next, 0);
  set_link_of(locator->base, 0);
  nbuf_header_mend(locator);
  CHECK_EQUAL(0, nbuf_header_link(locator));
  nbuf_shared_address_store_release(next, sizeof next, next);
  mapping_of(next)->range.max = next - 1;
  nbuf_header_mend(locator);
  CHECK_EQUAL(0, nbuf_header_link(locator));
}

TEST(a_slot_that_another_implementation_used_is_no_copy_of_the_link) {
  const nbuf_layout *layout = nbuf_native_layout(WRITTEN);
  nbuf_locator *locator = start_own(WRITTEN);
  nbuf_item item = buffer(9);
  item.position = 7;
  nbuf_item_write(nbuf_locator_item(locator, NBUF_FIRST_SLOT - 1), layout, &item);
  CHECK(nbuf_header_set_link(locator, build(1, WRITTEN, 0, 1, 5)));
  item = nbuf_item_read(nbuf_locator_item(locator, NBUF_FIRST_SLOT - 1), layout);
  CHECK(item.base == buffer(9).base && item.position == 7 && item.size == BUFFER);
  set_link_of(locator->base, 0);
  nbuf_header_mend(locator);
  CHECK_EQUAL(0, nbuf_header_link(locator));
}

/* The other slots in front are left to it. */
TEST(a_link_is_restored_where_another_implementation_used_the_slots_before) {
  const nbuf_layout *layout = nbuf_native_layout(WRITTEN);
  map_all();
  nbuf_locator *locator = start(build(0, WRITTEN, NBUF_FIRST_SLOT, 2, 0), WRITTEN, true);
  nbuf_item item = buffer(9);
  nbuf_item_write(nbuf_locator_item(locator, NBUF_FIRST_SLOT - 2), layout, &item);
  uintptr_t next = build(1, WRITTEN, 0, 1, 5);
  CHECK(nbuf_header_set_link(locator, next));
  set_link_of(locator->base, 0);
  nbuf_header_mend(locator);
  CHECK_EQUAL(next, nbuf_header_link(locator));
}

/* In the Rust dialect the last bytes of an item that is not held and was not used are 0. */
TEST(a_link_is_not_written_into_a_slot_that_is_used) {
  const nbuf_layout *layout = nbuf_native_layout(RUST);
  nbuf_locator *locator = start_own(RUST);
  nbuf_item item = buffer(9);
  nbuf_item_write(nbuf_locator_item(locator, NBUF_FIRST_SLOT - 1), layout, &item);
  CHECK(nbuf_header_set_link(locator, build(1, RUST, 0, 1, 5)));
  item = nbuf_item_read(nbuf_locator_item(locator, NBUF_FIRST_SLOT - 1), layout);
  CHECK(item.base == buffer(9).base && item.size == BUFFER && item.position == 0);
  CHECK_EQUAL(0, item.taken);
  nbuf_header_mend(locator); /* it has one copy only, which is not lost */
  check_header(locator, NBUF_FIRST_SLOT + 1, page_at(1));
  nbuf_locator later = *locator;
  later.base = page_at(1);
  later.is_first = false;
  CHECK(nbuf_header_set_link(&later, build(2, RUST, 0, 1, 6)));
  for (uint32_t i = 1; i < NBUF_NATIVE_CAPACITY; i++) {
    CHECK(nbuf_item_try_lock_in(nbuf_locator_item(&later, i), layout));
    CHECK_EQUAL(0, nbuf_item_position(nbuf_locator_item(&later, i), true));
  }
}

TEST(a_header_that_is_locked_damaged_or_a_later_locators_is_left) {
  nbuf_locator *locator = start_own(WRITTEN);
  uintptr_t base = locator->base;
  nbuf_shared_address_store_release(base, sizeof base, page_at(3));
  hold_lock(base);
  nbuf_header_mend(locator);
  CHECK_EQUAL(page_at(3), nbuf_shared_address_relaxed(base, sizeof base));
  free_lock(base);
  locator->is_damaged = true;
  nbuf_header_mend(locator);
  CHECK_EQUAL(page_at(3), nbuf_shared_address_relaxed(base, sizeof base));
  locator->is_damaged = false;
  locator->is_first = false;
  nbuf_header_mend(locator);
  CHECK(nbuf_header_try_lock(locator));
  CHECK_EQUAL(page_at(3), nbuf_shared_address_relaxed(base, sizeof base));
  nbuf_header_unlock(locator);
  CHECK_EQUAL(0, lock_of(base));
}

TEST(an_address_that_is_no_pages_is_damage_of_another_kind) {
  static const uintptr_t named[] = {0, 1, PAGE + 4096};
  nbuf_locator *locator = start_own(WRITTEN);
  for (int i = 0; i < 3; i++) {
    nbuf_shared_address_store_release(locator->base, sizeof(uintptr_t), named[i]);
    nbuf_header_mend(locator);
    CHECK_EQUAL(named[i], nbuf_shared_address_relaxed(locator->base, sizeof(uintptr_t)));
  }
}

/* Which was never complete, or whose memory is gone. */
TEST(a_slot_behind_the_count_whose_memory_is_not_there_is_not_counted) {
  const nbuf_layout *layout = nbuf_native_layout(WRITTEN);
  nbuf_locator *locator = start_own(WRITTEN);
  nbuf_item item = buffer(MOST_BUFFERS);
  nbuf_item_write(nbuf_locator_item(locator, NBUF_FIRST_SLOT + 1), layout, &item);
  clear_header(locator->base, page_at(3), WRITTEN);
  nbuf_header_mend(locator);
  check_header(locator, NBUF_FIRST_SLOT + 1, 0);
  mapping_of(BUFFERS)->range.max += BUFFER;
  mapping_of(BUFFERS)->writable = false;
  clear_header(locator->base, page_at(3), WRITTEN);
  nbuf_format_store_count(locator->base, layout, 0);
  nbuf_header_mend(locator);
  check_header(locator, NBUF_FIRST_SLOT + 2, 0);
}

TEST(so_it_is_with_the_second_of_two_such_slots) {
  const nbuf_layout *layout = nbuf_native_layout(WRITTEN);
  nbuf_locator *locator = start_own(WRITTEN);
  const nbuf_item items[] = {buffer(1), buffer(MOST_BUFFERS)};
  for (uint32_t i = 0; i < 2; i++) {
    nbuf_item_write(nbuf_locator_item(locator, NBUF_FIRST_SLOT + 1 + i), layout, &items[i]);
  }
  clear_header(locator->base, page_at(3), WRITTEN);
  nbuf_header_mend(locator);
  check_header(locator, NBUF_FIRST_SLOT + 1, 0);
}

TEST(of_a_locator_that_was_found_the_count_is_restored_too) {
  map_all();
  nbuf_locator *locator = start(build(0, WRITTEN, NBUF_FIRST_SLOT, 3, 0), WRITTEN, false);
  nbuf_shared_count_release(word_at(locator->base, header()->count_dotnet), 0);
  nbuf_header_mend(locator);
  check_header(locator, NBUF_FIRST_SLOT + 3, 0);
}

TEST(a_lock_that_another_implementation_cleared_is_not_released) {
  nbuf_locator *locator = start_own(WRITTEN);
  CHECK(nbuf_header_try_lock(locator));
  CHECK(!nbuf_header_try_lock(locator));
  clear_header(locator->base, page_at(3), WRITTEN);
  hold_lock(locator->base); /* it is that one's now */
  nbuf_header_unlock(locator);
  CHECK_EQUAL(1, lock_of(locator->base));
}

TEST(a_lock_that_is_held_past_the_bound_is_not_waited_for_again) {
  nbuf_locator *locator = start_own(WRITTEN);
  hold_lock(locator->base);
  CHECK(!nbuf_header_lock(locator));
  CHECK_EQUAL(501, it.pauses);
  CHECK(locator->is_given_up);
  CHECK(!nbuf_header_lock(locator));
  CHECK_EQUAL(501, it.pauses);
}

/* ---- Known locators -------------------------------------------------------------------------- */

static nbuf_result try_start(uintptr_t base, uint32_t dialect_if_empty) {
  return nbuf_locators_start(state(), base, (uint8_t)dialect_if_empty, false);
}

TEST(a_locator_is_recognised_and_kept_out_of_children) {
  map_all();
  const nbuf_locator *locator = start(build(0, WRITTEN, 0, 2, 0), RUST, false);
  CHECK_EQUAL(WRITTEN, locator->dialect);
  CHECK_EQUAL(locator->base, it.kept);
  CHECK(locator->is_kept_from_children);
  CHECK(locator->is_first && !locator->is_hidden_from_dotnet);
}

TEST(an_empty_locator_has_the_dialect_of_its_maker) {
  map_all();
  CHECK_EQUAL(RUST, start(build(0, WRITTEN, 0, 0, 0), RUST, false)->dialect);
}

TEST(a_locator_with_buffers_in_its_page_stays_in_children) {
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_RUST);
  map_all();
  uintptr_t base = build(0, RUST, 0, 2, 0);
  nbuf_item item = {.base = base + 4096, .size = 4096};
  nbuf_item_write(nbuf_item_at(base, layout, 1), layout, &item);
  CHECK(!start(base, RUST, false)->is_kept_from_children);
  CHECK_EQUAL(0, it.kept);
}

TEST(so_it_does_where_that_is_its_first_buffer) {
  map_all();
  uintptr_t base = build(0, WRITTEN, 0, 2, 0);
  nbuf_item item = {.base = base + 4096, .size = 4096};
  nbuf_item_write(nbuf_item_at(base, nbuf_native_layout(WRITTEN), 0), nbuf_native_layout(WRITTEN),
                  &item);
  CHECK(!start(base, WRITTEN, false)->is_kept_from_children);
}

/* Its words could not be read in one access. */
TEST(a_locator_at_an_address_that_is_not_aligned_is_incompatible) {
  map_all();
  uintptr_t base = build(0, WRITTEN, 0, 1, 0);
  uintptr_t beside = base + sizeof base / 2;
  memmove((void *)beside, (void *)base, 4096);
  uintptr_t named = nbuf_little_address(beside);
  memcpy((void *)beside, &named, sizeof named);
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, try_start(beside, WRITTEN).status);
}

TEST(what_is_no_locator_is_incompatible) {
  map_all();
  uintptr_t base = build(0, WRITTEN, 0, 1, 0);
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, try_start(base + 2, WRITTEN).status);
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, try_start(0 - (uintptr_t)4096, WRITTEN).status);
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, try_start(page_at(0) - PAGE, WRITTEN).status);
  it.pauses = it.restored = 0;
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, try_start(base + 2048, WRITTEN).status);
  CHECK_EQUAL(3, it.pauses);
  CHECK_EQUAL(3, it.restored);
  it.is_unreadable = true;
  CHECK_STATUS(NEARBUF_SYSTEM_ERROR, try_start(base, WRITTEN).status);
  CHECK_EQUAL(0, nbuf_locators_length(state()));
}

static uintptr_t filled;
static int filled_in_pause;

static void fill_in_pause(void) {
  if (it.pauses == filled_in_pause) {
    (void)build(0, WRITTEN, 0, 1, 0);
  }
}

TEST(a_locator_that_is_being_filled_is_waited_for) {
  map_all();
  filled = build(0, WRITTEN, 0, 1, 0);
  nbuf_item_write(nbuf_item_at(filled, nbuf_native_layout(WRITTEN), 0), nbuf_native_layout(WRITTEN),
                  &(nbuf_item){0});
  filled_in_pause = 3;
  it.in_pause = fill_in_pause;
  CHECK_EQUAL(WRITTEN, start(filled, WRITTEN, false)->dialect);
  CHECK_EQUAL(3, it.pauses);
}

TEST(a_locked_locator_that_is_being_filled_is_waited_for_up_to_the_bound) {
  map_all();
  filled = build(0, WRITTEN, 0, 1, 0);
  nbuf_format_store_count(filled, nbuf_native_layout(WRITTEN), 2);
  hold_lock(filled);
  filled_in_pause = 400;
  it.in_pause = fill_in_pause;
  (void)start(filled, WRITTEN, false);
  CHECK_EQUAL(400, it.pauses);
  it.in_pause = NULL;
  nbuf_format_store_count(filled, nbuf_native_layout(WRITTEN), 2);
  hold_lock(filled);
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, try_start(filled, WRITTEN).status);
  CHECK_EQUAL(901, it.pauses);
}

TEST(locators_that_others_link_are_added_once) {
  nbuf_locator *first = start_own(WRITTEN);
  CHECK_OK(nbuf_locators_extend(state(), true).status);
  CHECK_EQUAL(1, nbuf_locators_length(state()));
  set_link_of(first->base, build(1, WRITTEN, 0, 1, 5));
  set_link_of(page_at(1), build(2, RUST, 0, 1, 6));
  CHECK_OK(nbuf_locators_extend(state(), false).status);
  CHECK_EQUAL(3, nbuf_locators_length(state()));
  CHECK_EQUAL(page_at(2), nbuf_locators_entry(2)->base);
  CHECK_EQUAL(RUST, nbuf_locators_entry(2)->dialect);
  CHECK(!nbuf_locators_entry(2)->is_first);
  CHECK_EQUAL(0, lock_of(first->base));
  CHECK_EQUAL(0, state()->lock);
  set_link_of(page_at(2), page_at(1)); /* a cycle */
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, nbuf_locators_extend(state(), true).status);
  CHECK_EQUAL(3, nbuf_locators_length(state()));
}

TEST(a_chain_that_comes_back_to_its_first_locator_is_incompatible) {
  nbuf_locator *first = start_own(WRITTEN);
  set_link_of(first->base, build(1, WRITTEN, 0, 1, 5));
  set_link_of(page_at(1), first->base);
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, nbuf_locators_extend(state(), true).status);
  CHECK_EQUAL(2, nbuf_locators_length(state()));
}

static void extend_as_other_thread(void) {
  it.in_pause = NULL;
  nbuf_state_unlock(state());
  CHECK_OK(nbuf_locators_extend(state(), true).status);
}

TEST(a_locator_that_another_thread_adds_meanwhile_is_added_once) {
  nbuf_locator *first = start_own(WRITTEN);
  set_link_of(first->base, build(1, WRITTEN, 0, 1, 5));
  CHECK(nbuf_state_try_lock(state()));
  it.in_pause = extend_as_other_thread;
  CHECK_OK(nbuf_locators_extend(state(), true).status);
  CHECK_EQUAL(2, nbuf_locators_length(state()));
}

TEST(the_dialect_of_an_empty_locator_is_that_of_the_one_before_it) {
  map_all();
  uintptr_t base = build(0, RUST, 0, 1, 0);
  nbuf_shared_count_release(word_at(base, header()->count_dotnet), 0); /* not of ours */
  (void)start(base, RUST, false);
  set_link_of(base, build(1, WRITTEN, 0, 0, 0));
  CHECK_OK(nbuf_locators_extend(state(), true).status);
  CHECK_EQUAL(RUST, nbuf_locators_entry(1)->dialect);
}

TEST(behind_a_rust_locator_of_ours_an_empty_one_may_be_of_either) {
  uintptr_t base = start_own(RUST)->base;
  set_link_of(base, build(1, WRITTEN, 0, 0, 0));
  CHECK_OK(nbuf_locators_extend(state(), true).status);
  CHECK_EQUAL(NEARBUF_DIALECT_UNKNOWN, nbuf_locators_entry(1)->dialect);
}

TEST(a_caller_that_does_not_wait_adds_nothing_behind_a_held_lock) {
  uintptr_t base = start_own(WRITTEN)->base;
  set_link_of(base, build(1, WRITTEN, 0, 1, 5));
  nbuf_state_lock(state());
  CHECK_STATUS(NEARBUF_BUSY, nbuf_locators_extend(state(), false).status);
  nbuf_state_unlock(state());
  hold_lock(base);
  CHECK_STATUS(NEARBUF_BUSY, nbuf_locators_extend(state(), false).status);
  it.now += 499 * MS;
  CHECK_STATUS(NEARBUF_BUSY, nbuf_locators_extend(state(), false).status);
  CHECK_EQUAL(0, it.pauses);
  CHECK_EQUAL(1, nbuf_locators_length(state()));
  it.now += 50 * MS; /* the unit of time is more than a millisecond */
  CHECK_OK(nbuf_locators_extend(state(), false).status);
  CHECK_EQUAL(2, nbuf_locators_length(state()));
  CHECK_EQUAL(1, lock_of(base));
}

TEST(behind_a_lock_that_was_given_up_locators_are_added_at_once) {
  nbuf_locator *first = start_own(WRITTEN);
  set_link_of(first->base, build(1, WRITTEN, 0, 1, 5));
  hold_lock(first->base);
  first->is_given_up = true;
  CHECK_OK(nbuf_locators_extend(state(), false).status);
  CHECK_EQUAL(2, nbuf_locators_length(state()));
}

static void link_many(int count) {
  for (int i = 1; i <= count; i++) {
    set_link_of(page_at(i - 1), build(i, WRITTEN, 0, 1, 5 + (uint32_t)i));
  }
}

TEST(beyond_32_locators_the_table_gets_pages_of_its_own) {
  (void)start_own(WRITTEN);
  link_many(38);
  it.has_no_memory = true;
  nbuf_result result = nbuf_locators_extend(state(), true);
  CHECK_STATUS(NEARBUF_OUT_OF_MEMORY, result.status);
  CHECK_EQUAL(ANY_ERROR, result.system_error);
  CHECK_EQUAL(32, nbuf_locators_length(state()));
  it.has_no_memory = false;
  CHECK_OK(nbuf_locators_extend(state(), true).status);
  CHECK_EQUAL(39, nbuf_locators_length(state()));
  for (uint32_t i = 0; i < 39; i++) {
    CHECK_EQUAL(page_at((int)i), nbuf_locators_entry(i)->base);
  }
  CHECK_EQUAL(1, it.own_pages_made);
  nbuf_locators_end();
  CHECK_EQUAL(1, it.unmapped);
  nbuf_locators_end();
  CHECK_EQUAL(1, it.unmapped);
  nbuf_locators_inherited(); /* none are known any more */
  CHECK_EQUAL(0, it.stub_count);
}

TEST(all_pages_of_the_table_are_unmapped_at_the_end) {
  enum { COUNT = 2 * PAGES }; /* more than one page describes */
  uintptr_t last = start_own(WRITTEN)->base;
  for (uint32_t i = 1; i < COUNT; i++) {
    uintptr_t base = page_at((int)i / 2) + (uintptr_t)(i % 2) * NBUF_LOCATOR_SIZE;
    build_at(base, WRITTEN, 0, 1, i);
    set_link_of(last, base);
    last = base;
  }
  CHECK_OK(nbuf_locators_extend(state(), true).status);
  CHECK_EQUAL(COUNT, nbuf_locators_length(state()));
  CHECK_EQUAL(last, nbuf_locators_entry(COUNT - 1)->base);
  CHECK_EQUAL(2, it.own_pages_made);
  nbuf_locators_end();
  CHECK_EQUAL(2, it.unmapped);
}

TEST(a_child_has_full_stubs_where_its_parent_had_locators) {
  nbuf_locator *first = start_own(WRITTEN);
  link_many(2);
  CHECK_OK(nbuf_locators_extend(state(), true).status);
  CHECK_EQUAL(0, it.linked_stub);
  nbuf_locators_entry(1)->is_kept_from_children = false;
  nbuf_locators_inherited();
  CHECK_EQUAL(2, it.stub_count);
  CHECK_EQUAL(first->base, it.stubs[0]);
  CHECK_EQUAL(page_at(2), it.stubs[1]);
  atomic_store(&state()->locators, 0); /* wiped */
  (void)start(build(5, WRITTEN, NBUF_FIRST_SLOT, 1, 0), WRITTEN, true);
  CHECK_EQUAL(page_at(0), it.linked_stub);
  CHECK_EQUAL(page_at(5), it.linked_to);
  nbuf_locators_end(); /* and of what this copy knew nothing is left */
  nbuf_locators_inherited();
  atomic_store(&state()->locators, 0);
  it.linked_stub = 0;
  (void)start(page_at(5), WRITTEN, true);
  CHECK_EQUAL(0, it.linked_stub);
}

TEST(a_child_of_a_process_with_one_locator_has_one_stub) {
  nbuf_locator *first = start_own(WRITTEN);
  nbuf_locators_entry(1)->is_kept_from_children = true; /* it is not known */
  nbuf_locators_inherited();
  CHECK_EQUAL(1, it.stub_count);
  CHECK_EQUAL(first->base, it.stubs[0]);
  atomic_store(&state()->locators, 0);
  (void)start(page_at(0), WRITTEN, true);
  CHECK_EQUAL(page_at(0), it.linked_stub);
}

TEST(without_locators_a_child_has_no_stubs) {
  nbuf_locators_inherited();
  CHECK_EQUAL(0, it.stub_count);
  (void)start_own(WRITTEN);
  CHECK_EQUAL(0, it.linked_stub);
  CHECK_EQUAL(0, it.linked_to);
}

TEST(a_stub_leads_to_a_locator_that_is_used_only) {
  (void)start_own(WRITTEN);
  nbuf_locators_inherited();
  atomic_store(&state()->locators, 0);
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, try_start(page_at(5), WRITTEN).status);
  CHECK_EQUAL(0, it.linked_to);
}

TEST(what_was_true_of_a_parents_locator_is_not_of_a_childs) {
  nbuf_locator *first = start_own(WRITTEN);
  first->is_given_up = first->is_damaged = true;
  atomic_store(&first->linked_since, 1);
  atomic_store(&first->used_slots, NBUF_FIRST_SLOT + 50);
  atomic_store(&state()->locators, 0);
  first = start(page_at(0), WRITTEN, false);
  CHECK(!first->is_given_up && !first->is_damaged);
  CHECK(nbuf_header_lock(first));
  nbuf_header_unlock(first);
  CHECK_EQUAL(0, lock_of(first->base));
  CHECK_EQUAL(NBUF_FIRST_SLOT + 1, nbuf_locator_count(first));
  set_link_of(first->base, build(1, WRITTEN, 0, 1, 5));
  hold_lock(first->base); /* for how long is to be seen */
  CHECK_STATUS(NEARBUF_BUSY, nbuf_locators_extend(state(), false).status);
}

/* ---- Buffers that others listed -------------------------------------------------------------- */

static nbuf_locator *start_with(uint32_t index, const nbuf_item *item) {
  const nbuf_layout *layout = nbuf_native_layout(WRITTEN);
  map_all();
  nbuf_locator *locator = start(build(0, WRITTEN, 0, 3, 0), WRITTEN, false);
  nbuf_item_write(nbuf_locator_item(locator, index), layout, item);
  return locator;
}

static void check_passed_over(nbuf_locator *locator, uint32_t index) {
  CHECK(!nbuf_locator_is_sound(locator, index));
  CHECK(nbuf_locator_is_passed_over(locator, index));
  CHECK(!locator->is_damaged);
}

TEST(a_buffer_is_checked_once) {
  nbuf_item item = buffer(8);
  nbuf_locator *locator = start_with(1, &item);
  int looks = it.looks;
  CHECK(nbuf_locator_is_sound(locator, 1));
  CHECK_EQUAL(looks + 1, it.looks);
  CHECK(nbuf_locator_is_sound(locator, 1));
  CHECK_EQUAL(looks + 1, it.looks);
  CHECK(nbuf_locator_is_sound(locator, 0));
  CHECK_EQUAL(looks + 2, it.looks);
  CHECK(!nbuf_locator_is_passed_over(locator, 1));
}

static int looks_for_all(nbuf_locator *locator, uint32_t count) {
  int looks = it.looks;
  for (uint32_t i = 0; i < count; i++) {
    CHECK(nbuf_locator_is_sound(locator, i));
  }
  return it.looks - looks;
}

TEST(each_buffer_of_a_locator_is_checked_and_again_in_a_child) {
  enum { COUNT = 150 };
  map_all();
  uintptr_t base = build(0, WRITTEN, 0, COUNT, 0);
  nbuf_locator *locator = start(base, WRITTEN, false);
  CHECK_EQUAL(COUNT, looks_for_all(locator, COUNT));
  CHECK_EQUAL(0, looks_for_all(locator, COUNT));
  for (uint32_t i = 0; i < NBUF_ORDERS_PER_LOCATOR / 32; i++) {
    atomic_store(&locator->unusable[i], UINT32_MAX);
  }
  atomic_store(&state()->locators, 0); /* wiped by a fork */
  locator = start(base, WRITTEN, false);
  CHECK_EQUAL(COUNT, looks_for_all(locator, COUNT));
  for (uint32_t i = 0; i < NBUF_NATIVE_CAPACITY; i++) {
    CHECK(!nbuf_locator_is_passed_over(locator, i));
  }
}

TEST(a_buffer_that_cannot_run_is_passed_over) {
  nbuf_item item = buffer(1);
  nbuf_locator *locator = start_with(1, &item);
  mapping_of(BUFFERS)->executable = false;
  check_passed_over(locator, 1);
  CHECK(!nbuf_locator_is_passed_over(locator, 0));
}

TEST(a_buffer_that_another_item_lists_too_is_passed_over) {
  nbuf_item item = buffer(2);
  nbuf_locator *locator = start_with(1, &item);
  check_passed_over(locator, 1);
  check_passed_over(locator, 2);
  CHECK(nbuf_locator_is_sound(locator, 0));
}

TEST(memory_beside_the_locator_is_passed_over_unless_its_lister_does_that_safely) {
  nbuf_item item = {.base = page_at(0) + 4096, .size = 4096};
  nbuf_locator *locator = start_with(1, &item);
  CHECK(nbuf_locator_is_sound(locator, 1)); /* in another granule */
  item.base = page_at(0) + 4000;            /* shares a byte with the locator */
  nbuf_item_write(nbuf_locator_item(locator, 2), nbuf_native_layout(WRITTEN), &item);
  CHECK(!nbuf_locator_is_sound(locator, 2));
  CHECK(locator->is_damaged);
}

TEST(the_rest_of_a_locators_granule_is_used_only_where_its_lister_does_that_safely) {
  nbuf_item item = {.base = page_at(0) + 4096, .size = 4096};
  nbuf_locator *locator = start_with(1, &item);
  invented_ask_numbers();
  atomic_store(&invented_numbers.granularity, PAGE);
  it.lists_tail = true;
  CHECK(nbuf_locator_is_sound(locator, 1));
  it.lists_tail = false;
  nbuf_item_write(nbuf_locator_item(locator, 2), nbuf_native_layout(WRITTEN), &item);
  item = buffer(1);
  nbuf_item_write(nbuf_locator_item(locator, 1), nbuf_native_layout(WRITTEN), &item);
  check_passed_over(locator, 2);
}

TEST(a_buffer_that_is_not_mapped_damages_its_locator) {
  nbuf_item item = buffer(MOST_BUFFERS);
  nbuf_locator *locator = start_with(1, &item);
  CHECK(!nbuf_locator_is_sound(locator, 1));
  CHECK(locator->is_damaged);
  CHECK(!nbuf_locator_is_passed_over(locator, 1));
}

TEST(a_buffer_of_which_nothing_is_known_is_checked_again) {
  nbuf_item item = buffer(1);
  nbuf_locator *locator = start_with(1, &item);
  it.is_unreadable = true;
  CHECK(!nbuf_locator_is_sound(locator, 1));
  it.is_unreadable = false;
  hold_lock(locator->base); /* it may be incomplete */
  mapping_of(BUFFERS)->executable = false;
  CHECK(!nbuf_locator_is_sound(locator, 1));
  mapping_of(BUFFERS)->executable = true;
  CHECK(!locator->is_damaged && !nbuf_locator_is_passed_over(locator, 1));
  CHECK(nbuf_locator_is_sound(locator, 1));
}

/* Another implementation fills in an item while it is checked, a field at a time. */
static nbuf_item completed;

static void complete_item(void) {
  nbuf_locator *locator = nbuf_locators_entry(0);
  nbuf_item_write(nbuf_locator_item(locator, 1), nbuf_locator_layout(locator), &completed);
}

static void check_not_judged(nbuf_item seen, nbuf_item complete) {
  completed = complete;
  nbuf_locator *locator = start_with(1, &seen);
  mapping_of(BUFFERS)->executable = false;
  it.in_look = complete_item;
  CHECK(!nbuf_locator_is_sound(locator, 1));
  CHECK(!locator->is_damaged && !nbuf_locator_is_passed_over(locator, 1));
  mapping_of(BUFFERS)->executable = true;
  CHECK(nbuf_locator_is_sound(locator, 1));
}

TEST(an_item_whose_base_is_written_meanwhile_is_checked_again) {
  check_not_judged((nbuf_item){.base = buffer_at(8), .size = 64},
                   (nbuf_item){.base = buffer_at(9), .size = 64});
}

TEST(an_item_whose_size_is_written_meanwhile_is_checked_again) {
  check_not_judged((nbuf_item){.base = buffer_at(8), .size = 64}, buffer(8));
}

TEST(an_item_whose_position_is_written_meanwhile_is_checked_again) {
  nbuf_item item = buffer(8);
  item.position = 1;
  check_not_judged(buffer(8), item);
}

TEST(what_this_module_lists_says_nothing_of_the_items_beside_it) {
  const nbuf_layout *layout = nbuf_native_layout(WRITTEN);
  nbuf_locator *first = start_own(WRITTEN);
  for (uint32_t i = 0; i < 5; i++) { /* another module's, whose memory is not there */
    nbuf_item item = buffer(MOST_BUFFERS + i);
    nbuf_item_write(nbuf_locator_item(first, NBUF_FIRST_SLOT + 1 + i), layout, &item);
  }
  nbuf_format_store_count(first->base, layout, NBUF_FIRST_SLOT + 6);
  nbuf_locator_mark_sound(first, NBUF_FIRST_SLOT + 2, 2);
  CHECK(nbuf_locator_is_sound(first, NBUF_FIRST_SLOT + 2));
  CHECK(nbuf_locator_is_sound(first, NBUF_FIRST_SLOT + 3));
  CHECK(!nbuf_locator_is_sound(first, NBUF_FIRST_SLOT + 1));
  CHECK(!nbuf_locator_is_sound(first, NBUF_FIRST_SLOT + 4));
  CHECK(!nbuf_locator_is_sound(first, NBUF_FIRST_SLOT + 5));
}

/* ---- Taking ---------------------------------------------------------------------------------- */

static nbuf_constraint wish(uint64_t size) {
  return (nbuf_constraint){.min = 1, .max = UINTPTR_MAX, .alignment = 1, .size = size};
}

static bool is_held;
static nbuf_acquired acquired;

static bool take(const nbuf_constraint *constraint, bool from_start) {
  is_held = true; /* it is always told */
  return nbuf_registry_take(state(), constraint, from_start, &acquired, &is_held);
}

static uintptr_t item_at(uint32_t order) {
  return nbuf_locator_item(nbuf_locators_entry(order / NBUF_ORDERS_PER_LOCATOR),
                           order % NBUF_ORDERS_PER_LOCATOR);
}

static void check_taken(uint32_t order) {
  uintptr_t item = item_at(order);
  CHECK_EQUAL(order, acquired.order);
  CHECK_EQUAL(item, nbuf_item_ref_address(acquired.ref));
  CHECK_EQUAL(nbuf_item_base(item), acquired.base);
  CHECK_EQUAL(1, nbuf_item_read(item, nbuf_native_layout(WRITTEN)).taken);
}

static void release(uint32_t order) {
  nbuf_item_unlock_in(item_at(order), nbuf_native_layout(WRITTEN));
}

static void use_all_of(uint32_t order) {
  nbuf_item_set_position(item_at(order), false, BUFFER);
}

/* Three buffers in each of two locators. */
static void start_two(void) {
  map_all();
  uintptr_t base = build(0, WRITTEN, 0, 3, 0);
  set_link_of(base, build(1, WRITTEN, 0, 3, 10));
  (void)start(base, WRITTEN, false);
  CHECK_OK(nbuf_locators_extend(state(), true).status);
}

enum { SECOND = NBUF_ORDERS_PER_LOCATOR };

TEST(the_first_buffer_that_fits_is_taken_and_held_ones_are_passed) {
  static const uint32_t orders[] = {0, 1, 2, SECOND, SECOND + 1, SECOND + 2};
  nbuf_constraint constraint = wish(100);
  start_two();
  for (int i = 0; i < 6; i++) {
    CHECK(take(&constraint, true));
    check_taken(orders[i]);
    CHECK_EQUAL(i != 0, is_held);
  }
  CHECK(!take(&constraint, true));
  CHECK(is_held);
}

TEST(full_buffers_and_those_out_of_range_are_not_held_ones) {
  nbuf_constraint constraint = wish(100);
  start_two();
  use_all_of(0);
  use_all_of(1);
  CHECK(take(&constraint, true));
  check_taken(2);
  CHECK(!is_held);
  constraint.max = BUFFERS + 2 * BUFFER;
  CHECK(!take(&constraint, true));
  CHECK(!is_held);
  constraint = wish(BUFFER + 1);
  CHECK(!take(&constraint, true));
  CHECK(!is_held);
}

/* Nor later, when the walk starts behind it. */
static void check_none_held(uint32_t size, uint32_t room) {
  nbuf_constraint constraint = wish(size);
  start_two();
  for (uint32_t i = 0; i < 6; i++) {
    uint32_t order = i / 3 * SECOND + i % 3;
    nbuf_item_set_position(item_at(order), false, BUFFER - room);
    CHECK(nbuf_item_try_lock_in(item_at(order), nbuf_native_layout(WRITTEN)));
  }
  for (int i = 0; i < 2; i++) {
    CHECK(!take(&constraint, false));
    CHECK(!is_held);
  }
  nbuf_item_set_position(item_at(1), false, BUFFER - size);
  CHECK(!take(&constraint, true));
  CHECK(is_held);
}

TEST(a_held_buffer_with_less_room_is_not_one_that_is_waited_for) {
  check_none_held(100, 10);
}

TEST(nor_is_one_without_any_room) {
  check_none_held(1, 0);
}

static void hold_first(void) {
  CHECK(nbuf_item_try_lock_in(item_at(0), nbuf_native_layout(WRITTEN)));
}

static void fill_first(void) {
  use_all_of(0);
}

TEST(a_buffer_that_another_thread_takes_meanwhile_is_held) {
  nbuf_constraint constraint = wish(100);
  start_two();
  it.in_look = hold_first;
  CHECK(take(&constraint, true));
  check_taken(1);
  CHECK(is_held);
}

TEST(a_buffer_that_another_thread_fills_meanwhile_is_left_free) {
  nbuf_constraint constraint = wish(100);
  start_two();
  it.in_look = fill_first;
  CHECK(take(&constraint, true));
  check_taken(1);
  CHECK_EQUAL(0, nbuf_item_read(item_at(0), nbuf_native_layout(WRITTEN)).taken);
}

TEST(what_another_module_lists_behind_what_was_held_is_found) {
  nbuf_constraint constraint = wish(100);
  map_all();
  nbuf_locator *first = start(build(0, WRITTEN, 0, 2, 0), WRITTEN, false);
  CHECK(take(&constraint, false));
  CHECK(take(&constraint, false));
  CHECK(!take(&constraint, false));
  nbuf_item listed = buffer(5);
  nbuf_item_write(item_at(2), nbuf_native_layout(WRITTEN), &listed);
  nbuf_format_store_count(first->base, nbuf_native_layout(WRITTEN), 3);
  CHECK(take(&constraint, false));
  check_taken(2);
}

/* What the table still has of its parent's is none of its own. */
TEST(a_child_takes_no_buffer_of_its_parents_chain) {
  nbuf_constraint constraint = wish(100);
  start_two();
  memset((void *)state(), 0, sizeof *state());
  nbuf_state *childs;
  CHECK_OK(nbuf_state_begin(&childs).status);
  (void)start(build(0, WRITTEN, 0, 1, 0), WRITTEN, false);
  CHECK(take(&constraint, false));
  check_taken(0);
  CHECK(!take(&constraint, false));
}

TEST(a_walk_goes_on_where_all_before_was_held_or_full) {
  nbuf_constraint constraint = wish(100);
  start_two();
  use_all_of(0);
  CHECK(take(&constraint, false));
  check_taken(1);
  CHECK(take(&constraint, false));
  check_taken(2);
  CHECK(is_held);
  release(1);
  CHECK(take(&constraint, false)); /* it is behind that already */
  check_taken(SECOND);
  CHECK(is_held);
  CHECK(take(&constraint, true));
  check_taken(1);
  release(1);
  nbuf_registry_released(state(), 1, BUFFER);
  CHECK(take(&constraint, false));
  check_taken(1);
  release(0);
  nbuf_registry_released(state(), 0, BUFFER);
  CHECK(!nbuf_registry_is_passed(state(), 0));
}

/* Each class of sizes has its own place to go on. */
TEST(a_buffer_that_is_too_full_for_one_size_is_found_for_a_smaller_one) {
  nbuf_constraint large = wish(3000);
  nbuf_constraint small = wish(100);
  start_two();
  nbuf_item_set_position(item_at(0), false, 2500); /* has room for 2^10 */
  CHECK(take(&large, false));
  check_taken(1);
  release(1);
  CHECK(take(&small, false));
  check_taken(0);
}

TEST(a_free_buffer_that_is_out_of_range_is_not_passed) {
  nbuf_constraint constraint = wish(100);
  start_two();
  constraint.min = BUFFERS + BUFFER;
  CHECK(take(&constraint, false));
  check_taken(1);
  constraint.min = 1;
  CHECK(take(&constraint, false));
  check_taken(0);
  CHECK(!is_held);
}

/* A release below none of them need not look at each. */
static void check_highest_cursor(void) {
  uint32_t highest = 0;
  for (uint32_t i = 0; i < NBUF_SIZE_CLASSES; i++) {
    uint32_t cursor = atomic_load(&state()->cursors[i]);
    highest = cursor > highest ? cursor : highest;
  }
  CHECK(highest > 0);
  CHECK_EQUAL(highest, atomic_load(&state()->highest_cursor));
}

TEST(a_released_buffer_is_found_for_the_sizes_that_it_has_room_for) {
  nbuf_constraint large = wish(3000);
  nbuf_constraint small = wish(100);
  start_two();
  for (int i = 0; i < 6; i++) {
    CHECK(take(&large, false));
  }
  CHECK(!take(&small, false));
  CHECK(!take(&large, false));
  CHECK(!take(&large, false));
  CHECK(is_held); /* though they were passed before */
  use_all_of(1);
  release(1);
  release(0);
  nbuf_registry_released_item(state(), item_at(1), 0); /* it is full: nothing moves back */
  CHECK(!take(&small, false));
  nbuf_registry_released_item(state(), item_at(0), 200);
  check_highest_cursor();
  CHECK(!take(&large, false));
  CHECK(take(&small, false));
  check_taken(0);
  release(0);
  release(SECOND + 1);
  nbuf_registry_released_item(state(), item_at(SECOND + 1), BUFFER);
  check_highest_cursor();
  CHECK(take(&large, false));
  check_taken(SECOND + 1);
  nbuf_registry_released_item(state(), (uintptr_t)memory + 5 * PAGE, BUFFER); /* of no locator */
}

/* A request for one byte may use what has room for one. */
TEST(a_released_buffer_is_found_if_it_has_just_the_room) {
  static const uint32_t sizes[] = {1, 128, 150, 200};
  nbuf_constraint tiny = wish(1);
  start_two();
  for (int i = 0; i < 6; i++) {
    CHECK(take(&tiny, false));
  }
  CHECK(!take(&tiny, false));
  release(2);
  nbuf_registry_released_item(state(), item_at(2), 0); /* of which it is told that it is full */
  CHECK(!take(&tiny, false));
  for (int i = 0; i < 4; i++) {
    nbuf_constraint constraint = wish(sizes[i]);
    (void)nbuf_item_try_lock_in(item_at(2), nbuf_native_layout(WRITTEN));
    CHECK(!take(&constraint, false));
    nbuf_item_set_position(item_at(2), false, BUFFER - sizes[i]);
    release(2);
    nbuf_registry_released_item(state(), item_at(2), sizes[i]);
    check_highest_cursor();
    CHECK(take(&constraint, false));
    check_taken(2);
  }
  release(0);
  nbuf_registry_released_item(state(), item_at(0), BUFFER);
  CHECK(!nbuf_registry_is_passed(state(), 0));
}

static void fill(uint32_t number);

TEST(a_free_buffer_in_a_full_locator_is_not_passed) {
  nbuf_constraint constraint = wish(100);
  start_two();
  fill(0);
  constraint.min = buffer_at(10);
  CHECK(take(&constraint, false));
  check_taken(SECOND);
  constraint.min = 1;
  CHECK(take(&constraint, false));
  check_taken(0);
}

TEST(a_full_locator_is_passed_as_a_whole) {
  nbuf_constraint constraint = wish(100);
  start_two();
  for (uint32_t i = 0; i < 3; i++) {
    use_all_of(i);
  }
  fill(0);
  CHECK(take(&constraint, false));
  check_taken(SECOND);
  CHECK(nbuf_registry_is_passed(state(), SECOND - 1));
  CHECK(!nbuf_registry_is_passed(state(), SECOND));
  CHECK(take(&constraint, false));
  check_taken(SECOND + 1);
  CHECK(nbuf_registry_is_passed(state(), SECOND));
  CHECK(!nbuf_registry_is_passed(state(), SECOND + 1));
}

TEST(only_locators_of_the_wanted_dialect_are_looked_at) {
  nbuf_constraint constraint = wish(100);
  start_two();
  constraint.only_dialect = NEARBUF_DIALECT_RUST;
  CHECK(!take(&constraint, false));
  constraint.only_dialect = NEARBUF_DIALECT_WRITTEN;
  CHECK(take(&constraint, false));
  check_taken(0);
  constraint.only_dialect = 0;
  CHECK(take(&constraint, false)); /* what was looked at for one dialect is not passed */
  check_taken(1);
}

TEST(buffers_of_a_damaged_locator_and_unusable_ones_are_not_taken) {
  nbuf_constraint constraint = wish(100);
  start_two();
  nbuf_item twice = buffer(2);
  nbuf_item_write(item_at(0), nbuf_native_layout(WRITTEN), &twice);
  CHECK(take(&constraint, true));
  check_taken(1);
  release(1);
  nbuf_locators_entry(0)->is_damaged = true;
  CHECK(take(&constraint, true));
  check_taken(SECOND);
}

TEST(a_buffer_that_must_end_inside_of_the_range_does) {
  nbuf_constraint constraint = wish(100);
  start_two();
  constraint.must_end_inside = true;
  constraint.min = BUFFERS;
  constraint.max = BUFFERS + BUFFER - 2;
  CHECK(!take(&constraint, true));
  constraint.max++;
  CHECK(take(&constraint, true));
  check_taken(0);
}

TEST(threads_that_contend_take_buffers_of_lines_of_their_own) {
  nbuf_constraint constraint = wish(100);
  map_all();
  (void)start(build(0, WRITTEN, 0, NBUF_UNSHARED_INDEX + 2, 0), WRITTEN, false);
  atomic_store(&state()->contended, 1);
  CHECK(take(&constraint, true));
  check_taken(NBUF_UNSHARED_INDEX);
  CHECK(!take(&constraint, true));
  CHECK(is_held);
}

/* Another thread of this module uses it: its hint says so. */
TEST(a_buffer_that_another_thread_holds_shows_that_threads_contend) {
  nbuf_constraint constraint = wish(100);
  start_two();
  CHECK(take(&constraint, true));
  nbuf_hint *mine = nbuf_hints_mine(&state()->hints);
  nbuf_hint_set(&state()->hints, mine, acquired.ref, 0, 1);
  CHECK(take(&constraint, true));
  CHECK_EQUAL(0, atomic_load(&state()->contended));
  nbuf_hint *others = mine == &state()->hints.slots[0] ? mine + 1 : &state()->hints.slots[0];
  nbuf_hint_set(&state()->hints, others, acquired.ref, 1, 1);
  (void)take(&constraint, true);
  CHECK_EQUAL(1, atomic_load(&state()->contended));
}

TEST(once_that_is_seen_the_same_request_takes_a_buffer_of_lines_of_its_own) {
  nbuf_constraint constraint = wish(100);
  map_all();
  (void)start(build(0, WRITTEN, 0, NBUF_UNSHARED_INDEX + 2, 0), WRITTEN, false);
  CHECK(take(&constraint, true));
  nbuf_hint *mine = nbuf_hints_mine(&state()->hints);
  nbuf_hint *others = mine == &state()->hints.slots[0] ? mine + 1 : &state()->hints.slots[0];
  nbuf_hint_set(&state()->hints, others, acquired.ref, 0, 1);
  CHECK(take(&constraint, true));
  check_taken(NBUF_UNSHARED_INDEX);
}

/* The hints of all threads are many: a request that passes thousands of buffers looks into them a
 * few times only. */
TEST(of_the_held_buffers_the_first_four_are_looked_up_in_hints) {
  enum { HELD = 5 };
  nbuf_constraint constraint = wish(100);
  nbuf_item_ref refs[HELD];
  map_all();
  (void)start(build(0, WRITTEN, 0, HELD + 1, 0), WRITTEN, false);
  for (int i = 0; i < HELD; i++) {
    CHECK(take(&constraint, true));
    refs[i] = acquired.ref;
  }
  nbuf_hint *mine = nbuf_hints_mine(&state()->hints);
  nbuf_hint *others = mine == &state()->hints.slots[0] ? mine + 1 : &state()->hints.slots[0];
  nbuf_hint_set(&state()->hints, others, refs[4], 4, 1);
  CHECK(take(&constraint, true));
  check_taken(HELD);
  CHECK_EQUAL(0, atomic_load(&state()->contended));
  nbuf_hint_set(&state()->hints, others, refs[3], 3, 1);
  CHECK(!take(&constraint, true));
  CHECK_EQUAL(1, atomic_load(&state()->contended));
}

TEST(a_walk_from_the_start_is_due_when_an_eighth_was_registered_since) {
  (void)start_own(WRITTEN);
  CHECK(!nbuf_registry_is_full_walk_due(state()));
  atomic_store(&state()->since_full_walk, 1);
  CHECK(nbuf_registry_is_full_walk_due(state()));
  CHECK(!nbuf_registry_is_full_walk_due(state()));
  atomic_store(&state()->highest_cursor, 80);
  atomic_store(&state()->since_full_walk, 9);
  CHECK(!nbuf_registry_is_full_walk_due(state()));
  atomic_store(&state()->since_full_walk, 10);
  CHECK(nbuf_registry_is_full_walk_due(state()));
}

/* ---- Registering ----------------------------------------------------------------------------- */

static nbuf_listing listing_of(uint32_t number, uint8_t only_dialect) {
  return (nbuf_listing){buffer_at(number), BUFFER, 0, only_dialect};
}

static nbuf_result register_buffer(uint32_t number) {
  nbuf_listing listing = listing_of(number, 0);
  memset(&acquired, 0x5A, sizeof acquired);
  nbuf_result result = nbuf_registry_register(state(), &listing, &acquired);
  if (result.status == NEARBUF_OK) {
    CHECK_EQUAL(listing.start, acquired.base);
    CHECK_EQUAL(BUFFER, acquired.size);
    CHECK_EQUAL(0, acquired.position);
    check_taken(acquired.order);
  }
  CHECK_EQUAL(0, it.open_maps);
  return result;
}

static void check_registered(uint32_t number, uint32_t order) {
  CHECK_OK(register_buffer(number).status);
  CHECK_EQUAL(order, acquired.order);
  CHECK_EQUAL(0, lock_of(nbuf_locators_entry(order / NBUF_ORDERS_PER_LOCATOR)->base));
}

/* The locator counts all its slots. */
static void fill(uint32_t number) {
  const nbuf_locator *locator = nbuf_locators_entry(number);
  nbuf_format_store_count(locator->base, nbuf_locator_layout(locator), NBUF_NATIVE_CAPACITY);
}

TEST(a_buffer_is_listed_in_the_next_slot_and_held) {
  nbuf_locator *first = start_own(WRITTEN);
  int looks = it.looks;
  check_registered(1, NBUF_FIRST_SLOT + 1);
  check_registered(2, NBUF_FIRST_SLOT + 2);
  CHECK_EQUAL(NBUF_FIRST_SLOT + 3, nbuf_locator_count(first));
  CHECK_EQUAL(NBUF_FIRST_SLOT + 3, first->used_slots); /* to notice that the count is cleared */
  CHECK(nbuf_locator_is_sound(first, NBUF_FIRST_SLOT));
  CHECK(nbuf_locator_is_sound(first, NBUF_FIRST_SLOT + 2));
  CHECK_EQUAL(looks, it.looks); /* what this module listed is not looked for in the map */
  CHECK_EQUAL(2, atomic_load(&state()->since_full_walk));
}

/* The other implementation uses slots without the header's lock while it starts. */
TEST(a_slot_that_another_implementation_uses_is_passed) {
  const nbuf_layout *layout = nbuf_native_layout(WRITTEN);
  nbuf_locator *first = start_own(WRITTEN);
  nbuf_item other = buffer(20);
  nbuf_item_write(nbuf_locator_item(first, NBUF_FIRST_SLOT + 1), layout, &other);
  CHECK(nbuf_item_try_lock_in(nbuf_locator_item(first, NBUF_FIRST_SLOT + 2), layout));
  other.position = 7;
  nbuf_item_write(nbuf_locator_item(first, NBUF_FIRST_SLOT + 4), layout, &other);
  check_registered(1, NBUF_FIRST_SLOT + 3);
  CHECK_EQUAL(0, nbuf_item_read(nbuf_locator_item(first, NBUF_FIRST_SLOT + 1), layout).taken);
  other = nbuf_item_read(nbuf_locator_item(first, NBUF_FIRST_SLOT + 4), layout);
  CHECK(other.base == buffer_at(20) && other.position == 7);
}

TEST(a_locator_of_which_another_implementation_uses_the_last_slot_is_full) {
  const nbuf_layout *layout = nbuf_native_layout(WRITTEN);
  start_two();
  nbuf_format_store_count(page_at(0), layout, NBUF_NATIVE_CAPACITY - 1);
  CHECK(nbuf_item_try_lock_in(item_at(NBUF_NATIVE_CAPACITY - 1), layout));
  check_registered(40, SECOND + 3);
  CHECK_EQUAL(0, lock_of(page_at(0)));
  uintptr_t behind = nbuf_item_at(page_at(0), layout, NBUF_NATIVE_CAPACITY);
  CHECK_EQUAL(0, nbuf_shared_address_relaxed(behind, sizeof behind));
}

TEST(the_lock_of_a_full_locator_is_not_waited_for) {
  start_two();
  fill(0);
  hold_lock(page_at(0));
  CHECK_OK(register_buffer(40).status);
  CHECK_EQUAL(SECOND + 3, acquired.order);
  CHECK_EQUAL(0, it.pauses);
}

TEST(a_full_locator_is_followed_by_one_in_the_same_page) {
  nbuf_locator *first = start_own(WRITTEN);
  fill(0);
  check_registered(1, SECOND);
  CHECK_EQUAL(first->base + 4096, nbuf_locators_entry(1)->base);
  CHECK_EQUAL(first->base + 4096, nbuf_header_link(first));
  CHECK_EQUAL(WRITTEN, nbuf_locators_entry(1)->dialect);
  CHECK_EQUAL(0, it.makings);
  check_registered(2, SECOND + 1);
  fill(1);
  check_registered(3, 2 * SECOND); /* then one in a page of its own */
  CHECK_EQUAL(1, it.makings);
  CHECK_EQUAL(it.made, nbuf_locators_entry(2)->base);
  CHECK(!it.made_private);
  fill(2);
  atomic_store(&state()->is_private, 1);
  check_registered(4, 3 * SECOND);
  CHECK(it.made_private);
}

static void check_no_room_in_page(uint32_t index_of_tail) {
  const nbuf_layout *layout = nbuf_native_layout(WRITTEN);
  map_all();
  uintptr_t base = build(0, WRITTEN, 0, 2, 0);
  nbuf_item tail = {.base = base + 4096, .size = 4096};
  nbuf_item_write(nbuf_item_at(base, layout, index_of_tail), layout, &tail);
  (void)start(base, WRITTEN, false);
  fill(0);
  check_registered(3, SECOND);
  CHECK_EQUAL(1, it.makings);
}

TEST(a_page_in_which_another_implementation_listed_buffers_has_no_room_for_a_locator) {
  check_no_room_in_page(1);
}

TEST(so_it_is_where_that_was_its_first_buffer) {
  check_no_room_in_page(0);
}

static void link_next_in_page(void) {
  build_at(page_at(0) + 4096, WRITTEN, 0, 1, 30);
  set_link_of(page_at(0), page_at(0) + 4096);
  free_lock(page_at(0));
  it.in_pause = NULL;
}

TEST(a_locator_that_another_process_makes_in_the_page_first_is_used) {
  (void)start_own(WRITTEN);
  fill(0);
  hold_lock(page_at(0));
  it.in_pause = link_next_in_page;
  check_registered(1, SECOND + 1);
  CHECK_EQUAL(page_at(0) + 4096, nbuf_locators_entry(1)->base);
  CHECK_EQUAL(buffer_at(30), nbuf_item_base(item_at(SECOND)));
  CHECK_EQUAL(0, it.makings);
}

/* The holder may be making one there. */
TEST(room_in_the_page_is_not_used_without_the_lock) {
  nbuf_locator *first = start_own(WRITTEN);
  fill(0);
  hold_lock(first->base);
  CHECK_OK(register_buffer(1).status);
  CHECK_EQUAL(1, it.makings);
  CHECK_EQUAL(it.made, nbuf_header_link(first));
  CHECK_EQUAL(0, nbuf_shared_address_relaxed(first->base + 4096, sizeof(uintptr_t)));
}

TEST(where_pages_list_buffers_each_locator_has_its_own) {
  (void)start_own(WRITTEN);
  fill(0);
  it.lists_tail = true;
  check_registered(1, SECOND);
  CHECK_EQUAL(1, it.makings);
}

/* A locator on the heap of another implementation. */
TEST(a_locator_that_does_not_start_a_page_is_followed_by_a_page) {
  map_all();
  uintptr_t page = build(0, WRITTEN, 0, 1, 0);
  memmove((void *)(page + 2048), (void *)page, 4096);
  nbuf_shared_address_store_release(page + 2048, sizeof page, page + 2048);
  (void)start(page + 2048, WRITTEN, false);
  fill(0);
  check_registered(1, SECOND);
  CHECK_EQUAL(1, it.makings);
}

TEST(the_dialect_of_an_added_locator_fits_the_first_one_and_the_request) {
  (void)start_own(RUST);
  nbuf_format_store_count(page_at(0), nbuf_native_layout(RUST), NBUF_NATIVE_CAPACITY);
  nbuf_listing listing = listing_of(1, 0);
  CHECK_OK(nbuf_registry_register(state(), &listing, &acquired).status);
  CHECK_EQUAL(RUST, nbuf_locators_entry(1)->dialect);
  CHECK(nbuf_item_ref_is_rust(acquired.ref));
  listing = listing_of(2, WRITTEN);
  CHECK_OK(nbuf_registry_register(state(), &listing, &acquired).status);
}

TEST(a_request_for_one_dialect_adds_a_locator_of_it) {
  (void)start_own(WRITTEN);
  nbuf_listing listing = listing_of(1, RUST);
  CHECK_OK(nbuf_registry_register(state(), &listing, &acquired).status);
  CHECK_EQUAL(SECOND, acquired.order);
  CHECK_EQUAL(RUST, nbuf_locators_entry(1)->dialect);
  check_registered(2, NBUF_FIRST_SLOT + 1); /* the first one has free slots */
}

TEST(a_locator_that_is_given_up_gets_no_buffer_but_a_successor_in_its_own_page) {
  nbuf_locator *first = start_own(WRITTEN);
  hold_lock(first->base);
  CHECK_OK(register_buffer(1).status);
  CHECK_EQUAL(SECOND, acquired.order);
  CHECK_EQUAL(1, it.makings);
  CHECK_EQUAL(it.made, nbuf_header_link(first));
  CHECK_EQUAL(1, lock_of(first->base)); /* its holder may go on */
  CHECK(it.pauses >= 501);
}

TEST(nothing_is_written_to_a_damaged_locator) {
  nbuf_locator *first = start_own(WRITTEN);
  first->is_damaged = true;
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, register_buffer(1).status);
  CHECK_EQUAL(0, nbuf_header_link(first));
  CHECK_EQUAL(NBUF_FIRST_SLOT + 1, nbuf_locator_count(first));
  CHECK_EQUAL(0, it.makings);
}

TEST(why_no_locator_could_be_added_is_returned) {
  (void)start_own(WRITTEN);
  fill(0);
  it.lists_tail = true;
  it.making = NEARBUF_DENIED;
  nbuf_result result = register_buffer(1);
  CHECK_STATUS(NEARBUF_DENIED, result.status);
  CHECK_EQUAL(ANY_ERROR, result.system_error);
  set_link_of(page_at(0), page_at(0) + 4); /* no locator */
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, register_buffer(1).status);
}

static void link_other_first(void) {
  it.in_making = NULL;
  set_link_of(page_at(0), build(1, WRITTEN, 0, 1, 30));
}

TEST(a_locator_that_another_process_linked_first_is_used_and_the_own_discarded) {
  (void)start_own(WRITTEN);
  fill(0);
  it.lists_tail = true;
  it.in_making = link_other_first;
  check_registered(1, SECOND + 1);
  CHECK_EQUAL(page_at(1), nbuf_locators_entry(1)->base);
  CHECK_EQUAL(it.made, it.discarded);
  CHECK_EQUAL(0, lock_of(page_at(0)));
}

static void make_unreadable(void) {
  it.is_unreadable = true;
}

/* This module cannot read yet what it has linked. */
TEST(a_buffer_in_a_locator_that_is_not_known_yet_has_no_order) {
  nbuf_listing listing = listing_of(1, 0);
  nbuf_locator *first = start_own(WRITTEN);
  fill(0);
  it.lists_tail = true;
  it.in_making = make_unreadable;
  CHECK_OK(nbuf_registry_register(state(), &listing, &acquired).status);
  CHECK_EQUAL(UINT32_MAX, acquired.order);
  CHECK_EQUAL(buffer_at(1), acquired.base);
  CHECK_EQUAL(it.made, nbuf_header_link(first));
}

static void free_state(void) {
  nbuf_state_unlock(state());
  it.in_pause = NULL;
}

TEST(the_order_in_a_new_locator_is_waited_for) {
  (void)start_own(WRITTEN);
  fill(0);
  CHECK(nbuf_state_try_lock(state()));
  it.in_pause = free_state;
  check_registered(1, SECOND);
  CHECK_EQUAL(1, it.pauses);
}

static void free_first(void) {
  free_lock(page_at(0));
  it.in_pause = NULL;
}

TEST(a_locator_that_another_thread_is_linking_is_waited_for) {
  (void)start_own(WRITTEN);
  fill(0);
  set_link_of(page_at(0), build(1, WRITTEN, 0, 1, 30));
  hold_lock(page_at(0));
  it.in_pause = free_first;
  check_registered(1, SECOND + 1);
  CHECK_EQUAL(1, it.pauses);
}

TEST(a_locator_with_a_free_slot_is_remembered) {
  start_two();
  fill(0);
  check_registered(40, SECOND + 3);
  CHECK_EQUAL(1, atomic_load(&state()->register_from));
  nbuf_format_store_count(page_at(0), nbuf_native_layout(WRITTEN), 3);
  check_registered(41, SECOND + 4);
  nbuf_listing listing = listing_of(42, WRITTEN); /* one dialect: from the first one on */
  CHECK_OK(nbuf_registry_register(state(), &listing, &acquired).status);
  CHECK_EQUAL(3, acquired.order);
  CHECK_EQUAL(1, atomic_load(&state()->register_from));
}

/* The region is cut: small pieces come first. */
TEST(threads_that_contend_get_buffers_in_unshared_slots) {
  const nbuf_layout *layout = nbuf_native_layout(WRITTEN);
  nbuf_locator *first = start_own(WRITTEN);
  atomic_store(&state()->contended, 1);
  uintptr_t size = (uintptr_t)(NBUF_UNSHARED_STRIDE + 1) * GRANULE;
  nbuf_listing listing = {buffer_at(1), size, size - GRANULE, 0};
  CHECK_OK(nbuf_registry_register(state(), &listing, &acquired).status);
  CHECK(nbuf_is_unshared_slot(acquired.order));
  uint32_t pieces = acquired.order - (NBUF_FIRST_SLOT + 1);
  CHECK(pieces > 0);
  CHECK_EQUAL(listing.start + pieces * GRANULE, acquired.base);
  CHECK_EQUAL(size - pieces * GRANULE, acquired.size);
  for (uint32_t i = 0; i < pieces; i++) {
    nbuf_item piece = nbuf_item_read(nbuf_locator_item(first, NBUF_FIRST_SLOT + 1 + i), layout);
    CHECK_EQUAL(listing.start + i * GRANULE, piece.base);
    CHECK(piece.size == GRANULE && piece.taken == 0 && piece.position == 0);
  }
  CHECK_EQUAL(acquired.order + 1, nbuf_locator_count(first));
  check_taken(acquired.order);
  listing =
      (nbuf_listing){buffer_at(100), size, (uintptr_t)(NBUF_UNSHARED_STRIDE - 1) * GRANULE, 0};
  CHECK_OK(nbuf_registry_register(state(), &listing, &acquired).status);
  CHECK(nbuf_is_unshared_slot(acquired.order));
  listing.start = buffer_at(200);
  listing.spare--;
  uint32_t before = acquired.order;
  CHECK_OK(nbuf_registry_register(state(), &listing, &acquired).status);
  CHECK_EQUAL(before + 1, acquired.order); /* too small to be cut */
  CHECK_EQUAL(size, acquired.size);
}

TEST(so_they_do_in_a_new_locator) {
  (void)start_own(WRITTEN);
  fill(0);
  atomic_store(&state()->contended, 1);
  uintptr_t size = (uintptr_t)(NBUF_UNSHARED_STRIDE + 1) * GRANULE;
  nbuf_listing listing = {buffer_at(1), size, size - GRANULE, 0};
  CHECK_OK(nbuf_registry_register(state(), &listing, &acquired).status);
  check_taken(SECOND + NBUF_UNSHARED_INDEX);
  CHECK_EQUAL(NBUF_UNSHARED_INDEX + 1, nbuf_locator_count(nbuf_locators_entry(1)));
}

/* In the last slots of a locator a region stays whole where none of them is unshared. */
TEST(pieces_are_not_listed_beyond_the_last_slot) {
  uint32_t last = NBUF_NATIVE_CAPACITY;
  while (!nbuf_is_unshared_slot(last)) {
    last++;
  }
  for (uint32_t first = last - NBUF_UNSHARED_STRIDE + 1; first < NBUF_NATIVE_CAPACITY; first++) {
    nbuf_locator *locator =
        nbuf_locators_length(state()) == 0 ? start_own(WRITTEN) : nbuf_locators_entry(0);
    nbuf_format_store_count(locator->base, nbuf_locator_layout(locator), first);
    atomic_store(&state()->contended, 1);
    uintptr_t size = (uintptr_t)(NBUF_UNSHARED_STRIDE + 1) * GRANULE;
    nbuf_listing listing = {buffer_at(100 * (first % 8) + 1), size, size - GRANULE, 0};
    CHECK_OK(nbuf_registry_register(state(), &listing, &acquired).status);
    check_taken(first);
    CHECK_EQUAL(size, acquired.size);
  }
}

TEST(pieces_are_not_listed_where_a_slot_between_is_used) {
  const nbuf_layout *layout = nbuf_native_layout(WRITTEN);
  nbuf_locator *first = start_own(WRITTEN);
  atomic_store(&state()->contended, 1);
  uint32_t used = NBUF_FIRST_SLOT + 3;
  CHECK(nbuf_item_try_lock_in(nbuf_locator_item(first, used), layout));
  uintptr_t size = (uintptr_t)(NBUF_UNSHARED_STRIDE + 1) * GRANULE;
  nbuf_listing listing = {buffer_at(1), size, size - GRANULE, 0};
  CHECK_OK(nbuf_registry_register(state(), &listing, &acquired).status);
  CHECK(nbuf_is_unshared_slot(acquired.order) && acquired.order > used);
  for (uint32_t i = NBUF_FIRST_SLOT + 1; i < used; i++) {
    nbuf_item slot = {0};
    memcpy(&slot, (void *)nbuf_locator_item(first, i), sizeof(uintptr_t));
    CHECK_EQUAL(0, slot.base);
    CHECK(nbuf_item_try_lock_in(nbuf_locator_item(first, i), layout)); /* it was left free */
  }
}

/* ---- The state ------------------------------------------------------------------------------- */

TEST(a_process_has_one_state_with_a_generation) {
  nbuf_state *one;
  nbuf_state *other;
  CHECK_EQUAL(0, nbuf_state_generation(nbuf_state_current()));
  CHECK_OK(nbuf_state_begin(&one).status);
  CHECK_OK(nbuf_state_begin(&other).status);
  CHECK(one == other && one == nbuf_state_current() && one == nbuf_state_of_process());
  CHECK_EQUAL(1, nbuf_state_generation(one));
  CHECK_EQUAL(0, atomic_load(&one->lock));
  CHECK_EQUAL(1, it.states_made);
}

/* In a child the system has wiped it. */
TEST(a_wiped_state_begins_again_with_the_next_generation) {
  nbuf_state *one;
  CHECK_OK(nbuf_state_begin(&one).status);
  memset((void *)one, 0, sizeof *one);
  CHECK_OK(nbuf_state_begin(&one).status);
  CHECK_EQUAL(2, nbuf_state_generation(one));
  nbuf_state_wipe();
  CHECK_EQUAL(0, nbuf_state_generation(nbuf_state_current()));
  CHECK_OK(nbuf_state_begin(&one).status);
  CHECK_EQUAL(3, nbuf_state_generation(one));
  CHECK_EQUAL(1, it.states_made);
  CHECK_EQUAL(0, it.unmapped);
}

TEST(a_generation_is_never_0) {
  nbuf_state *one;
  last_generation = UINT32_MAX;
  CHECK_OK(nbuf_state_begin(&one).status);
  CHECK_EQUAL(1, nbuf_state_generation(one));
}

TEST(a_state_that_cannot_be_made_is_a_lack_of_memory) {
  nbuf_state *one = &states[0];
  it.has_no_memory = true;
  nbuf_result result = nbuf_state_begin(&one);
  CHECK_STATUS(NEARBUF_OUT_OF_MEMORY, result.status);
  CHECK_EQUAL(ANY_ERROR, result.system_error);
  CHECK(one == NULL);
}

TEST(where_pages_are_not_wiped_a_state_is_used_only_by_its_process) {
  static const nbuf_os_inheritance kinds[] = {NBUF_OS_ABSENT, NBUF_OS_INHERITED};
  nbuf_state *one;
  nbuf_state *childs;
  it.inheritance = kinds[0];
  CHECK_OK(nbuf_state_begin(&one).status);
  CHECK(one == &states[0] && nbuf_state_of_process() == one && nbuf_state_of_process() == one);
  CHECK_EQUAL(0, nbuf_state_generation(nbuf_state_current())); /* the fast path does not use it */
  it.is_not_of_process = true;
  CHECK_EQUAL(0, nbuf_state_generation(nbuf_state_of_process()));
  it.is_not_of_process = false;
  CHECK_OK(nbuf_state_begin(&childs).status);
  CHECK(childs == &states[1]);
  CHECK_EQUAL(2, nbuf_state_generation(childs));
  CHECK_EQUAL(0, it.calls);
  it.inheritance = kinds[1];
}

/* Another thread is as far, and goes on. */
static void begin_in_other_thread(void) {
  CHECK_OK(nbuf_state_begin(&it.of_other_thread).status);
}

static void check_one_state_of_two_threads(nbuf_os_inheritance inheritance) {
  nbuf_state *one;
  it.inheritance = inheritance;
  it.meanwhile = begin_in_other_thread;
  CHECK_OK(nbuf_state_begin(&one).status);
  CHECK(one == &states[1] && one == it.of_other_thread && one == nbuf_state_of_process());
  CHECK_EQUAL(1, nbuf_state_generation(one));
  CHECK_EQUAL(2, it.states_made);
  CHECK_EQUAL(1, it.unmapped);
}

TEST(of_two_threads_that_make_a_state_one_unmaps_its_own) {
  check_one_state_of_two_threads(NBUF_OS_WIPED);
}

TEST(so_it_is_where_pages_are_not_wiped) {
  check_one_state_of_two_threads(NBUF_OS_ABSENT);
}

static void begin_as_other_thread(void) {
  atomic_store(&states[0].generation, 9);
  nbuf_state_unlock(&states[0]);
}

TEST(a_thread_waits_for_another_one_that_begins_the_state) {
  nbuf_state *one;
  CHECK_OK(nbuf_state_begin(&one).status);
  nbuf_state_wipe();
  CHECK(nbuf_state_try_lock(&states[0]));
  it.in_pause = begin_as_other_thread;
  CHECK_OK(nbuf_state_begin(&one).status);
  CHECK_EQUAL(1, it.pauses);
  CHECK_EQUAL(9, nbuf_state_generation(one));
}

TEST(the_fork_handler_unmaps_an_inherited_state_and_not_an_absent_one) {
  nbuf_state *one;
  it.inheritance = NBUF_OS_ABSENT;
  CHECK_OK(nbuf_state_begin(&one).status);
  nbuf_state_wipe();
  CHECK_EQUAL(0, it.unmapped);
  it.inheritance = NBUF_OS_INHERITED;
  CHECK_OK(nbuf_state_begin(&one).status);
  nbuf_state_wipe();
  CHECK_EQUAL(1, it.unmapped);
  nbuf_state_wipe();
  CHECK_EQUAL(1, it.unmapped);
}

TEST(a_module_that_ends_unmaps_its_state) {
  nbuf_state *one;
  nbuf_state_end();
  CHECK_EQUAL(0, it.unmapped);
  CHECK_OK(nbuf_state_begin(&one).status);
  nbuf_state_end();
  CHECK_EQUAL(1, it.unmapped);
  CHECK_EQUAL(0, nbuf_state_generation(nbuf_state_current()));
  nbuf_state_end();
  CHECK_EQUAL(1, it.unmapped);
  it.inheritance = NBUF_OS_INHERITED;
  CHECK_OK(nbuf_state_begin(&one).status);
  nbuf_state_end();
  CHECK_EQUAL(2, it.unmapped);
  CHECK_EQUAL(0, nbuf_state_generation(nbuf_state_of_process()));
  nbuf_state_end();
  CHECK_EQUAL(2, it.unmapped);
}

TEST(a_module_that_ends_in_a_child_leaves_its_parents_state) {
  nbuf_state *one;
  it.inheritance = NBUF_OS_INHERITED;
  CHECK_OK(nbuf_state_begin(&one).status);
  it.is_not_of_process = true; /* the parent's: it is not this process's to unmap */
  nbuf_state_end();
  CHECK_EQUAL(0, it.unmapped);
}

/* Its holder may have been killed: what is done under it is safe without. */
TEST(the_lock_of_the_state_is_waited_for_up_to_the_bound) {
  nbuf_state *one = state();
  CHECK(nbuf_state_try_lock(one));
  CHECK(!nbuf_state_try_lock(one));
  nbuf_state_lock(one);
  CHECK_EQUAL(501, it.pauses);
  nbuf_state_unlock(one);
  CHECK(nbuf_state_try_lock(one));
}
