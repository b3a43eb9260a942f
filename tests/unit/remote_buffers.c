/* Buffers of an invented process: what its system refuses, what else changes its locators
 * meanwhile, and its clock are what a test says. buffers.c and walk.c of src/remote are compiled
 * here, with other names for what they call of the library's own system; what they call of the port
 * and of the other files of src/remote is defined here and in remote_pages.c. Against real
 * processes they are tested by tests/process. */
#define nbuf_os_nanoseconds invented_nanoseconds
#define nbuf_os_call_begin invented_call_begin
#define nbuf_wait_for_held_lock invented_wait_for_lock
#include "os/os.h"
#define nbuf_os_page_size invented_page_size
static size_t invented_page_size(void);
#include "remote/buffers.c" /* NOLINT(bugprone-suspicious-include) */
#include "remote/walk.c"    /* NOLINT(bugprone-suspicious-include) */

#include "remote_pages.h"
#include "test.h"

/* ---- The process ----------------------------------------------------------------------------- */

enum {
  MEMORY_HANDLE = 77,
  DRAFT = 1, /* a mark in one that was begun */
  LINE = NBUF_CACHE_LINE,
  NEW_PAGE = 0x18000000, /* addresses in it */
  REGION = 0x30000000
};

static struct {
  size_t page_size;
  bool is_dead;
  nearbuf_status noting;
  nearbuf_status program;
  nearbuf_status opening; /* of the memory, for writing */
  nearbuf_status writing;
  uint64_t missing;         /* the buffer at this address is not mapped as it must be */
  int missing_first;        /* nor are so many that are looked at first */
  int looks;                /* at the memory of buffers */
  nearbuf_status making[2]; /* of memory, in the first try and in the next one */
  nbuf_constraint made_for[2];
  bool made_near[2];
  int makes;
  nearbuf_status making_page;
  int made_pages;
  int discarded_pages;
  int discarded_drafts;    /* but for those that became a page */
  nbuf_range freed;        /* from 0: nothing was */
  bool locks_are_released; /* where they are waited for */
  int waits;
  uint64_t now;
  uint64_t page_takes; /* to be made */
  uint64_t written_at;
  size_t written_size;
  const void *written;
  int open_views;
  int open_memories;
  /* What other threads do: when a locator was copied, when memory is made, when a page is made. */
  void (*when_shared)(void);
  void (*when_memory_is_made)(void);
  void (*when_page_is_made)(void);
} it = {.page_size = 4096};

static void call_if(void (*function)(void)) {
  if (function != NULL) {
    function();
  }
}

static size_t invented_page_size(void) {
  return it.page_size;
}

uint64_t invented_nanoseconds(void) {
  return it.now;
}

bool invented_wait_for_lock(uintptr_t word, _Atomic bool *is_given_up) {
  CHECK(nbuf_shared_load_relaxed(word) == 1);
  if (!atomic_load(is_given_up)) {
    it.waits++;
    if (it.locks_are_released) {
      return true;
    }
    atomic_store(is_given_up, true);
  }
  return false;
}

nbuf_result nbuf_process_explain(const nearbuf_process *process, nbuf_result result) {
  CHECK_EQUAL(ID, process->id);
  bool is_same = result.status == NEARBUF_OK || it.program == NEARBUF_OK;
  return is_same ? result : failed_if(NEARBUF_BUSY);
}

nbuf_result nbuf_remote_check(const nearbuf_process *process) {
  CHECK_EQUAL(ID, process->id);
  return nbuf_result_of(it.is_dead ? NEARBUF_NOT_FOUND : NEARBUF_OK);
}

nbuf_result nbuf_remote_note_program(nearbuf_process *process) {
  CHECK_EQUAL(ID, process->id);
  return failed_if(it.noting);
}

nearbuf_status nbuf_process_check_request(const nearbuf_process *process,
                                          const nearbuf_process_request *request,
                                          nbuf_process_wish *checked) {
  CHECK_EQUAL(ID, process->id);
  if (request == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *checked = (nbuf_process_wish){
      .constraint = {.min = request->min,
                     .max = request->max,
                     .alignment = nbuf_alignment_for(request->alignment_bytes, request->flags),
                     .size = request->size_bytes},
      .target = request->target,
      .near_bytes = request->near_bytes,
      .flags = request->flags};
  return NEARBUF_OK;
}

nbuf_result nbuf_process_check_usable(const nearbuf_process *process, uint64_t base,
                                      uint64_t size) {
  CHECK_EQUAL(ID, process->id);
  CHECK(size > 0);
  it.looks++;
  bool is_missing = base == it.missing || it.looks <= it.missing_first;
  return nbuf_result_of(is_missing ? NEARBUF_NOT_MAPPED : NEARBUF_OK);
}

nbuf_result nbuf_process_make_memory(nearbuf_process *process, const nbuf_constraint *constraint,
                                     uint64_t target, uintptr_t want, bool is_near,
                                     nbuf_remote_draft *draft, nbuf_place *place) {
  CHECK_EQUAL(ID, process->id);
  CHECK_EQUAL(chain.first == 0, draft != NULL);
  if (draft != NULL) {
    draft->bytes[0] = DRAFT;
  }
  CHECK(it.makes < 2 && want == 64 << 10 && target <= BUFFERS);
  it.made_for[it.makes] = *constraint;
  it.made_near[it.makes] = is_near;
  if (it.is_dead) { /* which is looked at before a place is chosen */
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  *place = (nbuf_place){REGION, SIZE};
  call_if(it.when_memory_is_made);
  return failed_if(it.making[it.makes++]);
}

nbuf_result nbuf_remote_free(nearbuf_process *process, uint64_t address, uint64_t size) {
  CHECK_EQUAL(ID, process->id);
  it.freed = (nbuf_range){(uintptr_t)address, (uintptr_t)(address + (size - 1))};
  return nbuf_result_of(NEARBUF_OK);
}

nbuf_result nbuf_remote_memory_open(nearbuf_process *process, intptr_t *memory) {
  CHECK_EQUAL(ID, process->id);
  CHECK_EQUAL(0, it.open_memories);
  if (it.opening == NEARBUF_OK) {
    it.open_memories++;
    *memory = MEMORY_HANDLE;
  }
  return failed_if(it.opening);
}

nbuf_result nbuf_remote_memory_write(intptr_t memory, uint64_t address, const void *bytes,
                                     size_t size) {
  CHECK_EQUAL(MEMORY_HANDLE, memory);
  it.written_at = address;
  it.written_size = size;
  it.written = bytes;
  return failed_if(it.writing);
}

void nbuf_remote_memory_close(intptr_t memory) {
  CHECK(memory == 0 || memory == MEMORY_HANDLE);
  it.open_memories -= memory == 0 ? 0 : 1;
}

nbuf_result nbuf_remote_view_open(nearbuf_process *process, uint64_t address,
                                  nbuf_remote_view *view) {
  CHECK_EQUAL(ID, process->id);
  locator_page *page = page_at(address);
  CHECK(page != NULL);
  if (page->sharing != NEARBUF_OK) {
    return failed_if(page->sharing);
  }
  it.open_views++;
  uintptr_t base = (uintptr_t)page->bytes;
  *view = (nbuf_remote_view){base, base, NBUF_LOCATOR_SIZE};
  call_if(it.when_shared);
  return nbuf_result_of(NEARBUF_OK);
}

void nbuf_remote_view_close(nbuf_remote_view *view) {
  if (view->base != 0) {
    uintptr_t from_start = view->page - (uintptr_t)chain.pages[0].bytes;
    CHECK_EQUAL(0, from_start % sizeof chain.pages[0]);
    CHECK(from_start < sizeof chain.pages && view->size == NBUF_LOCATOR_SIZE);
    it.open_views--;
  }
  *view = (nbuf_remote_view){0, 0, 0};
}

/* No walk here asks for names. */
nbuf_result nbuf_remote_map_open(const nearbuf_process *process, nbuf_remote_map *map) {
  (void)process;
  (void)map;
  test_fail(__FILE__, __LINE__, "the map was read");
}

void nbuf_remote_map_close(nbuf_remote_map *map) {
  (void)map;
}

nbuf_result nbuf_remote_map_next(nbuf_remote_map *map, nbuf_remote_mapping *mapping) {
  (void)map;
  (void)mapping;
  return nbuf_result_of(NEARBUF_NOT_FOUND);
}

/* ---- Its locators ---------------------------------------------------------------------------- */

static nbuf_item item_of(const locator_page *page, nearbuf_dialect dialect, uint32_t index) {
  const nbuf_layout *layout = layout_of(dialect);
  return nbuf_item_read(nbuf_item_at((uintptr_t)page->bytes, layout, index), layout);
}

static nbuf_item written_item(const locator_page *page, uint32_t index) {
  return item_of(page, NEARBUF_DIALECT_WRITTEN, index);
}

static void check_same(const nbuf_item *expected, const nbuf_item *actual) {
  CHECK_EQUAL(expected->base, actual->base);
  CHECK_EQUAL(expected->size, actual->size);
  CHECK_EQUAL(expected->position, actual->position);
  CHECK_EQUAL(expected->taken, actual->taken);
}

/* All of its buffers are used up. */
static locator_page *list_full(nearbuf_dialect dialect) {
  nbuf_item items[NBUF_CAPACITY_32];
  for (uint32_t i = 0; i < written()->capacity; i++) {
    items[i] = (nbuf_item){.base = BUFFERS + (uint64_t)(i + 1) * SIZE, .size = SIZE};
    items[i].position = SIZE;
  }
  locator_page *page = add_locator(dialect, items, written()->capacity);
  if (dialect == NEARBUF_DIALECT_DOTNET) {
    page->bytes[written()->count] = 0; /* its own count is another one */
  }
  return page;
}

static nearbuf_process_request request_of(uint64_t size) {
  nearbuf_process_request request = NEARBUF_PROCESS_REQUEST_INIT;
  request.size_bytes = size;
  request.alignment_bytes = 1;
  return request;
}

static nearbuf_process_request listed_only(uint64_t size) {
  nearbuf_process_request request = request_of(size);
  request.flags = NEARBUF_PROCESS_EXISTING;
  return request;
}

static const nearbuf_process_buffer no_buffer;

/* Nothing stays open after a failure, and nothing is left in the buffer. */
static void check_fails(nearbuf_status expected, const nearbuf_process_request *request) {
  nearbuf_process_buffer buffer = {.size = 1, .item = 1};
  CHECK_STATUS(expected, nearbuf_process_get(&other, request, &buffer));
  CHECK(memcmp(&no_buffer, &buffer, sizeof no_buffer) == 0);
  CHECK_EQUAL(0, it.open_views);
  CHECK_EQUAL(0, it.open_memories);
  CHECK_EQUAL(0, chain.calls);
}

static nearbuf_process_buffer got(const nearbuf_process_request *request) {
  nearbuf_process_buffer buffer;
  CHECK_OK(nearbuf_process_get(&other, request, &buffer));
  CHECK_EQUAL(1, it.open_views);
  CHECK_EQUAL(it.opening == NEARBUF_OK ? 1 : 0, it.open_memories);
  CHECK_EQUAL(0, chain.calls);
  CHECK_EQUAL(0, other.system_error);
  return buffer;
}

static void release(nearbuf_process_buffer *buffer) {
  CHECK_OK(nearbuf_process_release(&other, buffer));
  CHECK(memcmp(&no_buffer, buffer, sizeof no_buffer) == 0);
  CHECK_EQUAL(0, it.open_views);
  CHECK_EQUAL(0, it.open_memories);
  CHECK_EQUAL(0, chain.calls);
}

/* The address of the buffer that a request gets, which is released again. */
static uint64_t given(const nearbuf_process_request *request) {
  nearbuf_process_buffer buffer = got(request);
  uint64_t address = buffer.address;
  release(&buffer);
  return address;
}

/* ---- Which listed buffer a request gets ------------------------------------------------------ */

TEST(a_listed_buffer_is_held_until_it_is_released) {
  const nbuf_item item = buffer_item(0, 10);
  const locator_page *page = list_written(&item, 1);
  nearbuf_process_request request = listed_only(100);
  nearbuf_process_buffer buffer = got(&request);
  CHECK_EQUAL(1, written_item(page, 0).taken);
  CHECK_EQUAL(item.base, buffer.address);
  CHECK_EQUAL(SIZE, buffer.size);
  CHECK_EQUAL(SIZE - 10, buffer.room);
  CHECK_EQUAL(10, buffer.position);
  CHECK_EQUAL(0, it.makes);
  release(&buffer);
  nbuf_item left = written_item(page, 0);
  CHECK_EQUAL(0, left.taken);
  CHECK_EQUAL(10, left.position);
  CHECK_EQUAL(0, word_of(page, written()->locked));
}

TEST(a_buffer_is_held_in_each_dialect) {
  static const nearbuf_dialect dialects[] = {NEARBUF_DIALECT_DOTNET, NEARBUF_DIALECT_RUST};
  for (size_t i = 0; i < 2; i++) {
    chain.count = 0;
    nbuf_item item = buffer_item((uint32_t)i, 20);
    locator_page *page = add_locator(dialects[i], &item, 1);
    if (dialects[i] == NEARBUF_DIALECT_DOTNET) {
      page->bytes[written()->count] = 0;
    }
    nearbuf_process_request request = listed_only(SIZE - 20);
    nearbuf_process_buffer buffer = got(&request);
    CHECK_EQUAL(1, item_of(page, dialects[i], 0).taken);
    CHECK_OK(nearbuf_process_append(&other, &buffer, "123", 3, NULL));
    release(&buffer);
    item.position = 23;
    nbuf_item left = item_of(page, dialects[i], 0);
    check_same(&item, &left);
  }
}

TEST(the_first_buffer_that_fits_and_is_free_is_given) {
  nbuf_item items[] = {
      buffer_item(0, SIZE), buffer_item(1, 0), {.size = 3}, buffer_item(2, 7), buffer_item(3, 0)};
  items[1].taken = 1;
  const locator_page *page = list_written(items, 5);
  nearbuf_process_request request = listed_only(100);
  nearbuf_process_buffer buffer = got(&request);
  CHECK_EQUAL(items[3].base, buffer.address);
  CHECK_EQUAL(0, written_item(page, 0).taken);
  CHECK_EQUAL(0, written_item(page, 4).taken);
  release(&buffer);
  CHECK_EQUAL(1, written_item(page, 1).taken);
}

TEST(of_a_buffer_only_the_room_inside_of_the_range_is_given) {
  const nbuf_item item = buffer_item(0, 100);
  (void)list_written(&item, 1);
  nearbuf_process_request request = listed_only(900);
  request.max = item.base + 999;
  nearbuf_process_buffer buffer = got(&request);
  CHECK_EQUAL(900, buffer.room);
  release(&buffer);
  request.size_bytes++;
  check_fails(NEARBUF_NO_ROOM, &request);
  request.size_bytes = 1;
  request.min = item.base + 101; /* what lies before it would be lost */
  check_fails(NEARBUF_NO_ROOM, &request);
}

TEST(an_aligned_buffer_begins_behind_what_is_used) {
  const nbuf_item item = buffer_item(0, 100);
  const locator_page *page = list_written(&item, 1);
  nearbuf_process_request request = listed_only(SIZE - 128);
  request.alignment_bytes = 64;
  nearbuf_process_buffer buffer = got(&request);
  CHECK_EQUAL(SIZE - 128, buffer.room);
  uint64_t address;
  CHECK_OK(nearbuf_process_append(&other, &buffer, "1", 1, &address));
  CHECK_EQUAL(item.base + 128, address);
  release(&buffer);
  CHECK_EQUAL(129, written_item(page, 0).position);
}

/* ---- What changes while a buffer is taken ---------------------------------------------------- */

static void take_the_first(void) {
  nbuf_item item = buffer_item(0, 0);
  item.taken = 1;
  set_item(&chain.pages[0], 0, &item);
}

static void fill_the_first(void) {
  const nbuf_item item = buffer_item(0, SIZE);
  set_item(&chain.pages[0], 0, &item);
}

static void damage_the_first(void) {
  nbuf_item item = buffer_item(0, SIZE);
  item.size = 0;
  item.position = 0;
  set_item(&chain.pages[0], 0, &item);
}

static void empty_the_first(void) {
  set_item(&chain.pages[0], 0, &(nbuf_item){0});
}

TEST(a_buffer_that_was_changed_since_it_was_read_is_checked_again) {
  static void (*const changes[])(void) = {take_the_first, fill_the_first, damage_the_first,
                                          empty_the_first};
  const nbuf_item items[] = {buffer_item(0, 0), buffer_item(1, 0)};
  nearbuf_process_request request = listed_only(100);
  for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
    chain.count = 0;
    const locator_page *page = list_written(items, 2);
    it.when_shared = changes[i];
    CHECK_EQUAL(items[1].base, given(&request));
    uint32_t lock = word_of(page, (uint32_t)written()->header_size + written()->taken);
    CHECK_EQUAL(changes[i] == take_the_first, lock);
  }
}

TEST(where_all_were_taken_meanwhile_nothing_stays_open) {
  const nbuf_item item = buffer_item(0, 0);
  (void)list_written(&item, 1);
  it.when_shared = take_the_first;
  nearbuf_process_request request = listed_only(100);
  check_fails(NEARBUF_NO_ROOM, &request);
}

/* ---- Which are never given ------------------------------------------------------------------- */

TEST(a_buffer_without_its_memory_is_passed_over) {
  const nbuf_item items[] = {buffer_item(0, 0), buffer_item(1, 0)};
  const locator_page *page = list_written(items, 2);
  it.missing = items[0].base;
  nearbuf_process_request request = listed_only(100);
  CHECK_EQUAL(items[1].base, given(&request));
  CHECK_EQUAL(2, it.looks);
  CHECK_EQUAL(0, written_item(page, 0).taken);
}

/* The map is read for each. */
TEST(of_a_process_that_lists_64_buffers_without_memory_no_other_is_looked_at) {
  nbuf_item items[70];
  for (uint32_t i = 0; i < 70; i++) {
    items[i] = buffer_item(i, 0);
  }
  (void)list_written(items, 70);
  nearbuf_process_request request = listed_only(100);
  it.missing_first = 63;
  CHECK_EQUAL(items[63].base, given(&request));
  it.looks = 0;
  it.missing_first = 64;
  check_fails(NEARBUF_NO_ROOM, &request);
  CHECK_EQUAL(64, it.looks);
}

static void fill_all_but_the_last(void) {
  for (uint32_t i = 0; i < 69; i++) {
    const nbuf_item item = buffer_item(i, SIZE);
    set_item(&chain.pages[0], i, &item);
  }
}

TEST(buffers_with_memory_that_are_used_up_meanwhile_are_no_reason_to_give_up) {
  nbuf_item items[70];
  for (uint32_t i = 0; i < 70; i++) {
    items[i] = buffer_item(i, 0);
  }
  (void)list_written(items, 70);
  it.when_shared = fill_all_but_the_last;
  nearbuf_process_request request = listed_only(100);
  CHECK_EQUAL(items[69].base, given(&request));
}

TEST(what_lies_behind_the_count_is_not_given) {
  const nbuf_item items[] = {buffer_item(0, SIZE), buffer_item(1, 0)};
  locator_page *page = list_written(items, 2);
  nbuf_format_store_count((uintptr_t)page->bytes, written(), 1);
  nearbuf_process_request request = listed_only(100);
  check_fails(NEARBUF_NO_ROOM, &request);
}

TEST(a_buffer_in_the_page_of_its_locator_is_not_given) {
  it.page_size = 65536;
  const nbuf_item items[] = {{.base = AT + 4097, .size = 4095},
                             {.base = AT + 0xf000, .size = 4096},
                             {.base = AT - 4096, .size = 4096, .position = 4095},
                             {.base = AT + 0x10000, .size = 4096}};
  (void)list_written(items, 4);
  nearbuf_process_request request = listed_only(100);
  CHECK_EQUAL(AT + 0x10000, given(&request));
  request.size_bytes = 1;
  CHECK_EQUAL(AT - 4096, given(&request));
  request.min = AT;
  request.max = AT + 0xffff;
  check_fails(NEARBUF_NO_ROOM, &request);
}

/* The Rust implementation lists such, so that they are no damage. */
TEST(of_buffers_that_share_memory_none_is_given) {
  nbuf_item items[] = {buffer_item(0, 0), buffer_item(2, 0), buffer_item(0, 0)};
  items[2].base += SIZE - 1;
  (void)add_locator(NEARBUF_DIALECT_RUST, items, 3);
  nearbuf_process_request request = listed_only(100);
  CHECK_EQUAL(items[1].base, given(&request));
  request.max = items[1].base - 1;
  check_fails(NEARBUF_NO_ROOM, &request);
}

TEST(in_a_damaged_locator_nothing_is_given_and_behind_it_the_sound_buffers_are) {
  nbuf_item items[] = {buffer_item(0, 0), buffer_item(1, SIZE + 1)};
  const nbuf_item sound = buffer_item(2, 0);
  (void)list_written(items, 2);
  (void)list_written(&sound, 1);
  nearbuf_process_request request = request_of(100);
  CHECK_EQUAL(sound.base, given(&request));
  request.max = sound.base - 1;
  check_fails(NEARBUF_INCOMPATIBLE, &request);
  CHECK_EQUAL(0, it.makes);
}

TEST(a_damage_of_another_request_does_not_matter) {
  nbuf_item items[] = {buffer_item(0, 0), buffer_item(1, 0)};
  locator_page *page = list_written(items, 2);
  set_word(page, written()->locked, 2);
  nearbuf_process_request request = request_of(100);
  check_fails(NEARBUF_INCOMPATIBLE, &request);
  set_word(page, written()->locked, 0);
  CHECK_EQUAL(items[0].base, given(&request));
}

/* ---- Why there is none ----------------------------------------------------------------------- */

TEST(where_only_a_held_buffer_fits_the_request_is_busy) {
  nbuf_item items[] = {buffer_item(0, 0), buffer_item(1, SIZE - 10)};
  items[0].taken = 1;
  (void)list_written(items, 2);
  nearbuf_process_request request = listed_only(100);
  check_fails(NEARBUF_BUSY, &request);
  CHECK_EQUAL(0, it.makes);
  request.min = items[1].base;
  check_fails(NEARBUF_NO_ROOM, &request);
  request = request_of(100);
  it.making[0] = NEARBUF_NO_ROOM;
  check_fails(NEARBUF_BUSY, &request);
  it.makes = 0;
  it.making[0] = NEARBUF_OUT_OF_MEMORY;
  check_fails(NEARBUF_OUT_OF_MEMORY, &request);
  CHECK_EQUAL(ANY_ERROR, other.system_error);
}

TEST(a_held_buffer_is_busy_even_where_a_free_one_lost_its_memory) {
  nbuf_item items[] = {buffer_item(0, 0), buffer_item(1, 0)};
  items[0].taken = 1;
  it.missing = items[1].base;
  (void)list_written(items, 2);
  nearbuf_process_request request = listed_only(100);
  check_fails(NEARBUF_BUSY, &request);
}

TEST(why_a_locator_could_not_be_shared_is_returned) {
  const nbuf_item items[] = {buffer_item(0, 0), buffer_item(1, 0)};
  locator_page *page = list_written(items, 2);
  nearbuf_process_request request = listed_only(100);
  page->sharing = NEARBUF_DENIED;
  check_fails(NEARBUF_DENIED, &request);
  CHECK_EQUAL(ANY_ERROR, other.system_error);
  page->sharing = NEARBUF_OK;
  it.opening = NEARBUF_SYSTEM_ERROR;
  check_fails(NEARBUF_SYSTEM_ERROR, &request);
  it.opening = NEARBUF_DENIED;
  check_fails(NEARBUF_DENIED, &request);
  it.opening = NEARBUF_OK;
  page->sharing = NEARBUF_DENIED;
  (void)list_written(&(nbuf_item){.base = REGION, .size = SIZE}, 1);
  CHECK_EQUAL(REGION, given(&request));
}

TEST(where_memory_is_short_too_why_a_locator_could_not_be_shared_comes_first) {
  const nbuf_item item = buffer_item(0, 0);
  locator_page *page = list_written(&item, 1);
  page->sharing = NEARBUF_DENIED;
  it.making[0] = NEARBUF_NO_ROOM;
  nearbuf_process_request request = request_of(100);
  check_fails(NEARBUF_DENIED, &request);
  it.makes = 0;
  it.making[0] = NEARBUF_OUT_OF_MEMORY;
  check_fails(NEARBUF_OUT_OF_MEMORY, &request);
}

TEST(why_the_locators_could_not_be_read_is_returned_and_nothing_is_made) {
  nearbuf_process_request request = request_of(100);
  chain.finding = NEARBUF_DENIED;
  check_fails(NEARBUF_DENIED, &request);
  chain.finding = NEARBUF_OK;
  const nbuf_item item = buffer_item(0, 0);
  locator_page *page = list_written(&item, 1);
  page->reading = NEARBUF_SYSTEM_ERROR;
  check_fails(NEARBUF_SYSTEM_ERROR, &request);
  CHECK_EQUAL(0, it.makes);
}

TEST(in_a_process_that_is_dead_nothing_is_made) {
  nearbuf_process_request request = request_of(100);
  it.is_dead = true;
  check_fails(NEARBUF_NOT_FOUND, &request);
  CHECK_EQUAL(0, it.makes);
}

TEST(another_program_explains_why_there_is_none) {
  nearbuf_process_request request = listed_only(100);
  it.program = NEARBUF_STALE;
  check_fails(NEARBUF_BUSY, &request);
  it.program = NEARBUF_OK;
  it.noting = NEARBUF_SYSTEM_ERROR;
  check_fails(NEARBUF_SYSTEM_ERROR, &request);
  CHECK_EQUAL(1, chain.searches);
}

TEST(a_request_that_is_not_valid_gets_nothing) {
  nearbuf_process_request request = request_of(100);
  nearbuf_process closed = {0};
  nearbuf_process_buffer buffer = {.size = 1};
  other.system_error = ANY_ERROR;
  check_fails(NEARBUF_INVALID_ARGUMENT, NULL);
  CHECK_EQUAL(0, other.system_error);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_get(&other, &request, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_get(&closed, &request, &buffer));
  CHECK_EQUAL(0, buffer.size);
  CHECK_EQUAL(0, chain.searches);
}

/* ---- A process that hides its memory --------------------------------------------------------- */

TEST(of_a_process_that_hides_its_memory_buffers_are_held_but_not_written) {
  const nbuf_item item = buffer_item(0, 0);
  const locator_page *page = list_written(&item, 1);
  nearbuf_process_request request = listed_only(100);
  other.address_bits = 0;
  it.noting = NEARBUF_DENIED;
  it.opening = NEARBUF_DENIED;
  nearbuf_process_buffer buffer = got(&request);
  CHECK_EQUAL(0, it.looks); /* its map is hidden, too */
  uint64_t address = 1;
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_append(&other, &buffer, "1", 1, &address));
  CHECK_EQUAL(0, address);
  CHECK_EQUAL(SIZE, buffer.room);
  release(&buffer);
  CHECK_EQUAL(0, written_item(page, 0).position);
  it.opening = NEARBUF_SYSTEM_ERROR;
  check_fails(NEARBUF_SYSTEM_ERROR, &request);
}

/* ---- Near to a target ------------------------------------------------------------------------ */

static nearbuf_process_request near_to_the_first(uint64_t size) {
  nearbuf_process_request request = listed_only(size);
  request.target = BUFFERS;
  request.near_bytes = SIZE;
  return request;
}

TEST(a_buffer_that_is_near_is_given_before_others) {
  nbuf_item items[] = {buffer_item(5, 0), buffer_item(0, 0)};
  locator_page *page = list_written(items, 2);
  nearbuf_process_request request = near_to_the_first(100);
  nearbuf_process_buffer buffer = got(&request);
  CHECK_EQUAL(BUFFERS, buffer.address);
  CHECK_EQUAL(SIZE, buffer.room);
  release(&buffer);
  items[1].taken = 1;
  set_item(page, 1, &items[1]);
  CHECK_EQUAL(items[0].base, given(&request)); /* the near one is held */
  items[1] = buffer_item(0, SIZE);
  set_item(page, 1, &items[1]);
  CHECK_EQUAL(items[0].base, given(&request)); /* the near one is used up */
}

TEST(the_room_of_a_near_buffer_is_all_that_lies_in_the_range) {
  const nbuf_item item = {.base = BUFFERS, .size = 4 * SIZE};
  (void)list_written(&item, 1);
  nearbuf_process_request request = near_to_the_first(100);
  request.max = BUFFERS + 3 * SIZE - 1;
  nearbuf_process_buffer buffer = got(&request);
  CHECK_EQUAL(3 * SIZE, buffer.room);
  release(&buffer);
}

TEST(memory_is_made_near_to_the_target_and_then_anywhere_in_the_range) {
  const nbuf_item item = buffer_item(9, SIZE);
  (void)list_written(&item, 1);
  nearbuf_process_request request = near_to_the_first(100);
  request.flags = 0;
  it.making[0] = NEARBUF_OUT_OF_MEMORY;
  nearbuf_process_buffer buffer = got(&request);
  CHECK_EQUAL(REGION, buffer.address);
  CHECK_EQUAL(2, it.makes);
  CHECK(it.made_near[0] && !it.made_near[1]);
  CHECK_EQUAL(BUFFERS - SIZE, it.made_for[0].min);
  CHECK_EQUAL(BUFFERS + SIZE + 99, it.made_for[0].max);
  CHECK_EQUAL(0, it.made_for[1].min);
  CHECK_EQUAL(UINT64_MAX, it.made_for[1].max);
  release(&buffer);
}

TEST(a_failure_that_distance_does_not_change_ends_the_request) {
  nearbuf_process_request request = near_to_the_first(100);
  request.flags = 0;
  it.making[0] = NEARBUF_DENIED;
  check_fails(NEARBUF_DENIED, &request);
  it.makes = 0;
  it.making[0] = NEARBUF_BUSY;
  check_fails(NEARBUF_BUSY, &request);
  CHECK_EQUAL(1, it.makes);
  it.makes = 0;
  it.making[0] = NEARBUF_NO_ROOM;
  it.making[1] = NEARBUF_NO_ROOM;
  check_fails(NEARBUF_NO_ROOM, &request);
  CHECK_EQUAL(2, it.makes);
}

static void use_up_what_is_held(void) {
  if (it.makes == 0) {
    fill_the_first();
    chain.pages[0].sharing = NEARBUF_OK;
  }
}

/* It was released by then, and is full. */
TEST(what_was_held_near_to_the_target_does_not_count_farther_away) {
  nbuf_item item = buffer_item(0, 0);
  item.taken = 1;
  (void)list_written(&item, 1);
  nearbuf_process_request request = near_to_the_first(100);
  request.flags = 0;
  it.making[0] = NEARBUF_NO_ROOM;
  it.making[1] = NEARBUF_NO_ROOM;
  it.when_memory_is_made = use_up_what_is_held;
  check_fails(NEARBUF_NO_ROOM, &request);
}

TEST(what_could_not_be_shared_near_to_the_target_does_not_count_farther_away) {
  const nbuf_item item = buffer_item(0, 0);
  locator_page *page = list_written(&item, 1);
  page->sharing = NEARBUF_DENIED;
  nearbuf_process_request request = near_to_the_first(100);
  request.flags = 0;
  it.making[0] = NEARBUF_OUT_OF_MEMORY;
  it.making[1] = NEARBUF_NO_ROOM;
  it.when_memory_is_made = use_up_what_is_held;
  check_fails(NEARBUF_NO_ROOM, &request);
}

/* ---- Listing new memory ---------------------------------------------------------------------- */

nbuf_result nbuf_remote_page_make(nearbuf_process *process, const nbuf_initial_items *initial,
                                  nbuf_remote_draft *first, nbuf_remote_page *page) {
  bool is_first = first != NULL;
  CHECK_EQUAL(ID, process->id);
  CHECK_EQUAL(nbuf_process_width(&other), initial->layout->width);
  CHECK_EQUAL(is_first, chain.first == 0);
  CHECK_EQUAL(is_first ? NBUF_FIRST_SLOT + 1 : 1, initial->count);
  CHECK_EQUAL(is_first && it.made_pages == 0 ? DRAFT : 0, is_first ? first->bytes[0] : 0);
  if (is_first) {
    *first = (nbuf_remote_draft){{0}};
  }
  it.made_pages++;
  call_if(it.when_page_is_made);
  if (it.making_page != NEARBUF_OK) {
    return failed_if(it.making_page);
  }
  (void)add_page(NEW_PAGE, initial->layout, initial->items, initial->count);
  chain.first = is_first ? NEW_PAGE : chain.first;
  *page = (nbuf_remote_page){NEW_PAGE, 0};
  return nbuf_result_of(NEARBUF_OK);
}

void nbuf_remote_draft_discard(nearbuf_process *process, nbuf_remote_draft *draft) {
  CHECK_EQUAL(ID, process->id);
  it.discarded_drafts += draft->bytes[0] == DRAFT;
  *draft = (nbuf_remote_draft){{0}};
}

void nbuf_remote_page_discard(nearbuf_process *process, const nbuf_remote_page *page) {
  CHECK_EQUAL(ID, process->id);
  CHECK_EQUAL(NEW_PAGE, page->address);
  page_at(NEW_PAGE)->address = 0;
  it.discarded_pages++;
}

/* The new memory is held, listed in that slot, and released. */
static void check_made(nearbuf_process_buffer *buffer, const locator_page *page,
                       nearbuf_dialect dialect, uint32_t slot) {
  CHECK_EQUAL(REGION, buffer->address);
  CHECK_EQUAL(SIZE, buffer->size);
  CHECK_EQUAL(SIZE, buffer->room);
  CHECK_EQUAL(0, buffer->position);
  nbuf_item item = item_of(page, dialect, slot);
  CHECK_EQUAL(REGION, item.base);
  CHECK_EQUAL(SIZE, item.size);
  CHECK_EQUAL(1, item.taken);
  CHECK_EQUAL(slot + 1, nbuf_format_count((uintptr_t)page->bytes, layout_of(dialect)));
  CHECK_EQUAL(0, it.freed.min);
  CHECK_OK(nearbuf_process_append(&other, buffer, "12345", 5, NULL));
  release(buffer);
  item = item_of(page, dialect, slot);
  CHECK_EQUAL(5, item.position);
  CHECK_EQUAL(0, item.taken);
}

static void check_region_freed(void) {
  CHECK_EQUAL(REGION, it.freed.min);
  CHECK_EQUAL(REGION + SIZE - 1, it.freed.max);
  it.freed.min = 0;
  it.makes = 0;
}

TEST(a_process_without_a_locator_gets_its_first_one) {
  nearbuf_process_request request = request_of(100);
  nearbuf_process_buffer buffer = got(&request);
  check_made(&buffer, page_at(NEW_PAGE), NEARBUF_DIALECT_WRITTEN, NBUF_FIRST_SLOT);
  CHECK_EQUAL(1, chain.searches);
  CHECK_EQUAL(0, it.discarded_drafts);
  for (uint32_t i = 0; i < NBUF_FIRST_SLOT; i++) {
    CHECK_EQUAL(0, written_item(page_at(NEW_PAGE), i).base);
  }
}

TEST(without_memory_the_first_locator_that_was_begun_is_taken_back) {
  nearbuf_process_request request = request_of(100);
  it.making[0] = NEARBUF_DENIED;
  check_fails(NEARBUF_DENIED, &request);
  CHECK_EQUAL(0, it.made_pages);
  CHECK_EQUAL(1, it.discarded_drafts);
}

TEST(where_only_listed_buffers_are_accepted_nothing_is_made) {
  nearbuf_process_request request = listed_only(100);
  check_fails(NEARBUF_NO_ROOM, &request);
  CHECK_EQUAL(0, it.makes);
}

static void make_the_first_instead(void) {
  const nbuf_item item = buffer_item(0, SIZE);
  (void)list_written(&item, 1);
}

TEST(a_first_locator_that_another_thread_makes_meanwhile_is_used) {
  nearbuf_process_request request = request_of(100);
  it.when_page_is_made = make_the_first_instead;
  it.making_page = NEARBUF_BUSY;
  nearbuf_process_buffer buffer = got(&request);
  check_made(&buffer, &chain.pages[0], NEARBUF_DIALECT_WRITTEN, 1);
  CHECK_EQUAL(1, it.made_pages);
}

TEST(new_memory_is_listed_in_the_first_locator_with_a_free_slot) {
  const nbuf_item items[] = {buffer_item(300, SIZE), buffer_item(301, SIZE)};
  locator_page *full = list_full(NEARBUF_DIALECT_WRITTEN);
  const locator_page *page = list_written(items, 2);
  nearbuf_process_request request = request_of(100);
  set_word(full, written()->locked, 1);
  nearbuf_process_buffer buffer = got(&request);
  CHECK_EQUAL(0, word_of(page, written()->locked));
  CHECK_EQUAL(0, it.waits); /* the full one is left alone */
  check_made(&buffer, page, NEARBUF_DIALECT_WRITTEN, 2);
  CHECK_EQUAL(0, it.made_pages);
  CHECK_EQUAL(0, next_of(page));
}

TEST(the_last_slot_of_a_locator_is_used) {
  locator_page *page = list_full(NEARBUF_DIALECT_WRITTEN);
  uint32_t last = written()->capacity - 1u;
  nbuf_format_store_count((uintptr_t)page->bytes, written(), last);
  set_item(page, last, &(nbuf_item){0});
  nearbuf_process_request request = request_of(100);
  nearbuf_process_buffer buffer = got(&request);
  check_made(&buffer, page, NEARBUF_DIALECT_WRITTEN, last);
}

/* Another implementation that was starting took the page for its own. */
TEST(in_a_first_locator_whose_count_was_cleared_nothing_is_written_over) {
  const nbuf_item items[] = {buffer_item(0, SIZE), buffer_item(1, SIZE), buffer_item(2, SIZE)};
  locator_page *page = list_written(items, 3);
  nbuf_format_store_count((uintptr_t)page->bytes, written(), 1);
  nearbuf_process_request request = request_of(100);
  nearbuf_process_buffer buffer = got(&request);
  check_made(&buffer, page, NEARBUF_DIALECT_WRITTEN, 3);
  CHECK_EQUAL(items[2].base, written_item(page, 2).base);
}

TEST(what_lies_behind_the_count_of_a_later_locator_is_no_item) {
  const nbuf_item items[] = {buffer_item(300, SIZE), buffer_item(301, SIZE)};
  (void)list_full(NEARBUF_DIALECT_WRITTEN);
  locator_page *page = list_written(items, 2);
  nbuf_format_store_count((uintptr_t)page->bytes, written(), 1);
  nearbuf_process_request request = request_of(100);
  nearbuf_process_buffer buffer = got(&request);
  check_made(&buffer, page, NEARBUF_DIALECT_WRITTEN, 1);
}

TEST(behind_full_locators_one_is_added_in_a_layout_that_no_implementation_damages) {
  static const struct {
    nearbuf_dialect last;
    nearbuf_dialect added;
  } cases[] = {{NEARBUF_DIALECT_WRITTEN, NEARBUF_DIALECT_WRITTEN},
               {NEARBUF_DIALECT_DOTNET, NEARBUF_DIALECT_WRITTEN},
               {NEARBUF_DIALECT_RUST, NEARBUF_DIALECT_RUST}};
  nearbuf_process_request request = request_of(100);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    chain.count = 0;
    it.makes = 0;
    chain.first = 0;
    const locator_page *last = list_full(cases[i].last);
    nearbuf_process_buffer buffer = got(&request);
    CHECK_EQUAL(NEW_PAGE, next_of(last));
    CHECK_EQUAL(0, word_of(last, written()->locked));
    check_made(&buffer, page_at(NEW_PAGE), cases[i].added, 0);
    CHECK_EQUAL(cases[i].added == NEARBUF_DIALECT_RUST,
                nbuf_format_is_hidden_from_dotnet((uintptr_t)page_at(NEW_PAGE)->bytes,
                                                  layout_of(cases[i].added)));
  }
  CHECK_EQUAL(0, it.discarded_pages);
}

/* It may be of either other implementation. */
TEST(a_locator_that_may_be_of_any_layout_is_not_used_and_the_next_one_is_of_rust) {
  locator_page *empty = list_written(NULL, 0);
  static unsigned char before[NBUF_LOCATOR_SIZE];
  set_next(empty, NEW_PAGE);
  memcpy(before, empty->bytes, sizeof before);
  set_next(empty, 0);
  nearbuf_process_request request = request_of(100);
  nearbuf_process_buffer buffer = got(&request);
  CHECK(memcmp(before, empty->bytes, sizeof before) == 0);
  check_made(&buffer, page_at(NEW_PAGE), NEARBUF_DIALECT_RUST, 0);
}

TEST(so_is_an_empty_one_behind_a_rust_locator_of_this_library) {
  (void)list_full(NEARBUF_DIALECT_RUST);
  const locator_page *empty = add_locator(NEARBUF_DIALECT_DOTNET, NULL, 0);
  nearbuf_process_request request = request_of(100);
  nearbuf_process_buffer buffer = got(&request);
  CHECK_EQUAL(NEW_PAGE, next_of(empty));
  CHECK_EQUAL(0, nbuf_format_count((uintptr_t)empty->bytes, written()));
  check_made(&buffer, page_at(NEW_PAGE), NEARBUF_DIALECT_RUST, 0);
}

/* It uses them as well as the .NET implementation's. */
TEST(where_the_rust_implementation_is_new_locators_are_of_its_layout) {
  (void)list_full(NEARBUF_DIALECT_RUST);
  (void)list_full(NEARBUF_DIALECT_DOTNET);
  nearbuf_process_request request = request_of(100);
  nearbuf_process_buffer buffer = got(&request);
  check_made(&buffer, page_at(NEW_PAGE), NEARBUF_DIALECT_RUST, 0);
}

static void link_another_meanwhile(void) {
  const nbuf_item item = buffer_item(300, SIZE);
  (void)list_written(&item, 1);
}

TEST(behind_a_locator_that_was_linked_meanwhile_no_other_is_linked) {
  const locator_page *full = list_full(NEARBUF_DIALECT_WRITTEN);
  it.when_page_is_made = link_another_meanwhile;
  nearbuf_process_request request = request_of(100);
  nearbuf_process_buffer buffer = got(&request);
  CHECK_EQUAL(1, it.discarded_pages);
  CHECK_EQUAL(chain.pages[1].address, next_of(full));
  CHECK_EQUAL(0, word_of(full, written()->locked));
  check_made(&buffer, &chain.pages[1], NEARBUF_DIALECT_WRITTEN, 1);
}

static void link_a_full_one_meanwhile(void) {
  locator_page *last = NULL;
  for (int i = 0; i < chain.count; i++) {
    last = chain.pages[i].address != 0 ? &chain.pages[i] : last;
  }
  locator_page *added = list_full(NEARBUF_DIALECT_WRITTEN);
  set_next(last, added->address);
}

/* A process that means harm does so forever. */
TEST(after_sixteen_locators_that_were_linked_meanwhile_the_request_is_given_up) {
  (void)list_full(NEARBUF_DIALECT_WRITTEN);
  it.when_page_is_made = link_a_full_one_meanwhile;
  nearbuf_process_request request = request_of(100);
  check_fails(NEARBUF_BUSY, &request);
  CHECK_EQUAL(16, it.made_pages);
  CHECK_EQUAL(16, it.discarded_pages);
  check_region_freed();
}

static void link_a_full_one_slowly(void) {
  link_a_full_one_meanwhile();
  it.now += it.page_takes;
}

TEST(after_half_a_second_of_locators_that_were_linked_meanwhile_too) {
  (void)list_full(NEARBUF_DIALECT_WRITTEN);
  it.now = NBUF_WAIT_BOUND_NS;
  it.page_takes = NBUF_WAIT_BOUND_NS;
  it.when_page_is_made = link_a_full_one_slowly;
  nearbuf_process_request request = request_of(100);
  check_fails(NEARBUF_BUSY, &request);
  CHECK_EQUAL(1, it.made_pages);
  check_region_freed();
  it.page_takes /= 2;
  check_fails(NEARBUF_BUSY, &request);
  CHECK_EQUAL(3, it.made_pages);
  check_region_freed();
}

static void lose_the_chain(void) {
  set_next(&chain.pages[0], AT + APART);
  chain.pages[0].address = 0;
  chain.first = 0;
  it.when_page_is_made = NULL;
}

TEST(where_the_chain_is_gone_meanwhile_the_new_locator_is_the_first_one) {
  (void)list_full(NEARBUF_DIALECT_RUST);
  it.when_page_is_made = lose_the_chain;
  nearbuf_process_request request = request_of(100);
  nearbuf_process_buffer buffer = got(&request);
  CHECK_EQUAL(NEW_PAGE, chain.first);
  check_made(&buffer, page_at(NEW_PAGE), NEARBUF_DIALECT_WRITTEN, NBUF_FIRST_SLOT);
}

static void fill_the_last_slot(void) {
  nbuf_format_store_count((uintptr_t)chain.pages[0].bytes, written(), written()->capacity);
}

TEST(a_slot_that_was_used_meanwhile_is_not_used_again) {
  locator_page *page = list_full(NEARBUF_DIALECT_WRITTEN);
  uint32_t last = written()->capacity - 1u;
  nbuf_item before = written_item(page, last);
  nbuf_format_store_count((uintptr_t)page->bytes, written(), last);
  it.when_shared = fill_the_last_slot;
  nearbuf_process_request request = request_of(100);
  nearbuf_process_buffer buffer = got(&request);
  CHECK_EQUAL(0, word_of(page, written()->locked));
  nbuf_item after = written_item(page, last);
  check_same(&before, &after);
  check_made(&buffer, page_at(NEW_PAGE), NEARBUF_DIALECT_WRITTEN, 0);
}

TEST(the_lock_of_a_header_is_waited_for_where_something_is_listed) {
  const nbuf_item item = buffer_item(0, SIZE);
  locator_page *page = list_written(&item, 1);
  set_word(page, written()->locked, 1);
  it.locks_are_released = true;
  nearbuf_process_request request = request_of(100);
  nearbuf_process_buffer buffer = got(&request);
  CHECK_EQUAL(1, it.waits);
  CHECK_EQUAL(0, word_of(page, written()->locked));
  check_made(&buffer, page, NEARBUF_DIALECT_WRITTEN, 1);
}

/* A process that means harm can hold thousands. */
TEST(one_lock_is_waited_for_in_vain_and_none_of_the_others) {
  for (uint32_t i = 0; i < 3; i++) {
    const nbuf_item item = buffer_item(i, SIZE);
    set_word(list_written(&item, 1), written()->locked, 1);
  }
  nearbuf_process_request request = request_of(100);
  nearbuf_process_buffer buffer = got(&request);
  CHECK_EQUAL(1, it.waits);
  CHECK_EQUAL(NEW_PAGE, next_of(&chain.pages[2]));
  CHECK_EQUAL(1, word_of(&chain.pages[2], written()->locked)); /* it is the other thread's */
  check_made(&buffer, page_at(NEW_PAGE), NEARBUF_DIALECT_WRITTEN, 0);
}

TEST(a_chain_with_a_damaged_locator_is_not_extended) {
  locator_page *page = list_full(NEARBUF_DIALECT_WRITTEN);
  nearbuf_process_request request = request_of(100);
  page->bytes[written()->header_size + written()->taken] = 2;
  check_fails(NEARBUF_INCOMPATIBLE, &request);
  CHECK_EQUAL(0, it.makes + it.made_pages);
}

static void damage_when_memory_is_made(void) {
  set_word(&chain.pages[0], written()->locked, 2);
}

TEST(nor_is_one_that_was_damaged_meanwhile) {
  (void)list_full(NEARBUF_DIALECT_WRITTEN);
  it.when_memory_is_made = damage_when_memory_is_made;
  nearbuf_process_request request = request_of(100);
  check_fails(NEARBUF_INCOMPATIBLE, &request);
  CHECK_EQUAL(0, it.made_pages);
  check_region_freed();
}

static void hide_when_memory_is_made(void) {
  chain.pages[0].reading = NEARBUF_DENIED;
}

TEST(memory_that_could_not_be_listed_is_freed) {
  locator_page *page = list_full(NEARBUF_DIALECT_WRITTEN);
  nearbuf_process_request request = request_of(100);
  it.making_page = NEARBUF_NO_ROOM;
  check_fails(NEARBUF_NO_ROOM, &request);
  check_region_freed();
  it.made_pages = 0;
  it.making_page = NEARBUF_SYSTEM_ERROR;
  check_fails(NEARBUF_SYSTEM_ERROR, &request);
  CHECK_EQUAL(ANY_ERROR, other.system_error);
  check_region_freed();
  CHECK_EQUAL(0, next_of(page));
  CHECK_EQUAL(0, it.discarded_pages);
  page->sharing = NEARBUF_DENIED; /* so that nothing can be linked */
  check_fails(NEARBUF_DENIED, &request);
  check_region_freed();
  CHECK_EQUAL(1, it.made_pages);
  it.when_memory_is_made = hide_when_memory_is_made;
  check_fails(NEARBUF_DENIED, &request);
  check_region_freed();
}

static void refuse_to_open(void) {
  it.opening = NEARBUF_DENIED;
}

/* It is visible to others, who use it. */
TEST(memory_that_is_listed_stays_although_it_cannot_be_held) {
  nearbuf_process_request request = request_of(100);
  it.when_page_is_made = refuse_to_open;
  check_fails(NEARBUF_DENIED, &request);
  CHECK_EQUAL(NEW_PAGE, chain.first);
  CHECK_EQUAL(0, it.freed.min);
  CHECK_EQUAL(1, it.made_pages);
  const locator_page *page = page_at(NEW_PAGE);
  it.makes = 0;
  check_fails(NEARBUF_DENIED, &request); /* in the locator that there is now nothing is listed, */
  CHECK_EQUAL(NBUF_FIRST_SLOT + 1, nbuf_format_count((uintptr_t)page->bytes, written()));
  CHECK_EQUAL(0, next_of(page)); /* and none is linked behind it */
  CHECK_EQUAL(1, it.discarded_pages);
  check_region_freed();
}

static void open_too_late(void) {
  it.opening = NEARBUF_BUSY;
}

TEST(a_first_locator_that_cannot_be_held_is_not_made_again) {
  nearbuf_process_request request = request_of(100);
  it.when_page_is_made = open_too_late;
  check_fails(NEARBUF_BUSY, &request);
  CHECK_EQUAL(1, it.made_pages);
  CHECK_EQUAL(NEW_PAGE, chain.first);
}

static void exhaust_descriptors(void) {
  it.opening = NEARBUF_OUT_OF_MEMORY;
}

TEST(where_near_memory_is_listed_and_cannot_be_held_no_other_is_made) {
  nearbuf_process_request request = near_to_the_first(100);
  request.flags = 0;
  it.when_page_is_made = exhaust_descriptors;
  check_fails(NEARBUF_OUT_OF_MEMORY, &request);
  CHECK_EQUAL(1, it.makes);
  CHECK_EQUAL(1, it.made_pages);
  CHECK_EQUAL(0, it.freed.min);
}

TEST(memory_that_could_not_be_made_is_not_freed) {
  nearbuf_process_request request = request_of(100);
  it.making[0] = NEARBUF_DENIED;
  check_fails(NEARBUF_DENIED, &request);
  CHECK_EQUAL(0, it.freed.min);
  CHECK_EQUAL(0, it.made_pages);
}

TEST(a_process_with_narrow_addresses_gets_locators_of_its_width) {
  other.address_bits = 32;
  const locator_page *full = list_full(NEARBUF_DIALECT_WRITTEN);
  CHECK_EQUAL(255, written()->capacity);
  nearbuf_process_request request = request_of(100);
  nearbuf_process_buffer buffer = got(&request);
  CHECK_EQUAL(NEW_PAGE, next_of(full));
  CHECK_EQUAL(0, word_of(full, written()->locked));
  check_made(&buffer, page_at(NEW_PAGE), NEARBUF_DIALECT_WRITTEN, 0);
  CHECK_EQUAL(REGION, given(&request));
}

TEST(nor_is_its_link_set_twice) {
  other.address_bits = 32;
  const locator_page *full = list_full(NEARBUF_DIALECT_WRITTEN);
  it.when_page_is_made = link_another_meanwhile;
  nearbuf_process_request request = request_of(100);
  nearbuf_process_buffer buffer = got(&request);
  CHECK_EQUAL(1, it.discarded_pages);
  CHECK_EQUAL(chain.pages[1].address, next_of(full));
  check_made(&buffer, &chain.pages[1], NEARBUF_DIALECT_WRITTEN, 1);
}

/* ---- Appending and releasing ----------------------------------------------------------------- */

static nearbuf_process_buffer held(uint32_t position, uint64_t room) {
  const nbuf_item item = buffer_item(0, position);
  (void)list_written(&item, 1);
  nearbuf_process_request request = listed_only(1);
  request.max = item.base + position + room - 1;
  return got(&request);
}

TEST(bytes_are_appended_one_after_the_other_to_the_last_byte_of_the_room) {
  static const char bytes[60] = "bytes";
  uint64_t address;
  nearbuf_process_buffer buffer = held(40, 100);
  CHECK_OK(nearbuf_process_append(&other, &buffer, bytes, 60, &address));
  CHECK_EQUAL(BUFFERS + 40, address);
  CHECK_EQUAL(address, it.written_at);
  CHECK_EQUAL(60, it.written_size);
  CHECK(it.written == bytes);
  CHECK_EQUAL(40, buffer.room);
  CHECK_EQUAL(100, buffer.position);
  CHECK_EQUAL(100, written_item(&chain.pages[0], 0).position);
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_process_append(&other, &buffer, bytes, 41, &address));
  CHECK_EQUAL(0, address);
  CHECK_OK(nearbuf_process_append(&other, &buffer, bytes, 40, NULL));
  CHECK_EQUAL(BUFFERS + 100, it.written_at);
  CHECK_EQUAL(0, buffer.room);
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_process_append(&other, &buffer, bytes, 1, NULL));
  release(&buffer);
  CHECK_EQUAL(140, written_item(&chain.pages[0], 0).position);
}

TEST(of_bytes_that_could_not_be_written_nothing_is_consumed) {
  uint64_t address = 1;
  nearbuf_process_buffer buffer = held(40, 100);
  it.writing = NEARBUF_NOT_MAPPED;
  CHECK_STATUS(NEARBUF_NOT_MAPPED, nearbuf_process_append(&other, &buffer, "1", 1, &address));
  CHECK_EQUAL(ANY_ERROR, other.system_error);
  CHECK_EQUAL(0, address);
  CHECK_EQUAL(100, buffer.room);
  CHECK_EQUAL(40, buffer.position);
  CHECK_EQUAL(40, written_item(&chain.pages[0], 0).position);
  it.writing = NEARBUF_OK;
  CHECK_OK(nearbuf_process_append(&other, &buffer, "1", 1, &address));
  CHECK_EQUAL(BUFFERS + 40, address);
  CHECK_EQUAL(0, other.system_error);
  release(&buffer);
}

TEST(what_is_not_valid_is_not_appended) {
  uint64_t address = 1;
  nearbuf_process closed = {0};
  nearbuf_process_buffer none = {0};
  nearbuf_process_buffer buffer = held(40, 100);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_append(&other, NULL, "1", 1, &address));
  CHECK_EQUAL(0, address);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT,
               nearbuf_process_append(&closed, &buffer, "1", 1, &address));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_append(NULL, &buffer, "1", 1, &address));
  other.system_error = ANY_ERROR;
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_process_append(&other, &none, NULL, 0, &address));
  CHECK_EQUAL(0, other.system_error);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT,
               nearbuf_process_append(&other, &buffer, NULL, 0, &address));
  CHECK_STATUS(NEARBUF_INVALID_SIZE, nearbuf_process_append(&other, &buffer, "1", 0, &address));
  CHECK_STATUS(NEARBUF_INVALID_SIZE, nearbuf_process_append(&other, &buffer, "1", 0, NULL));
  CHECK_EQUAL(0, it.written_size);
  CHECK_EQUAL(40, written_item(&chain.pages[0], 0).position);
  release(&buffer);
}

TEST(only_a_buffer_that_is_held_is_released) {
  nearbuf_process_buffer buffer = held(0, 100);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_release(&other, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_release(NULL, &buffer));
  CHECK_EQUAL(1, written_item(&chain.pages[0], 0).taken);
  release(&buffer);
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_process_release(&other, &buffer));
}

/* Data that is written often has its cache lines alone. */
TEST(behind_data_the_rest_of_its_line_stays_free) {
  const nbuf_item item = buffer_item(0, LINE);
  const locator_page *page = list_written(&item, 1);
  nearbuf_process_request request = listed_only(1);
  request.flags |= NEARBUF_DATA;
  nearbuf_process_buffer buffer = got(&request);
  release(&buffer); /* nothing was appended */
  CHECK_EQUAL(LINE, written_item(page, 0).position);
  buffer = got(&request);
  CHECK_OK(nearbuf_process_append(&other, &buffer, "1", 1, NULL));
  release(&buffer);
  CHECK_EQUAL(2 * LINE, written_item(page, 0).position);
  request.flags = NEARBUF_PROCESS_EXISTING;
  buffer = got(&request);
  CHECK_OK(nearbuf_process_append(&other, &buffer, "1", 1, NULL));
  release(&buffer);
  CHECK_EQUAL(2 * LINE + 1, written_item(page, 0).position);
  request.flags |= NEARBUF_DATA;
  buffer = got(&request);
  release(&buffer); /* its line is not yet begun */
  CHECK_EQUAL(2 * LINE + 1, written_item(page, 0).position);
}
