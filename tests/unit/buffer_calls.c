/* The public calls on shared buffers, with one item that a test fills in: the
 * state, the hint of the thread, what the slow path finds, and what is
 * synchronised are invented. api/buffers.c is compiled here, with other names
 * for what it calls. Against real memory it is tested by tests/api.
 *
 * What the shortest path may refuse is decided by a longer one, so that a
 * refusal without need would only cost time: the tests say where the longer
 * ones must not be needed. */
#include "core/acquire.h"
#include "invented_call.h"
#include "os/os.h"
#include "test.h"

#define nbuf_state_current invented_current
#define nbuf_state_of_process invented_of_process
#define nbuf_acquire invented_acquire
#define nbuf_acquired_fits counted_fits
#define nbuf_registry_move_cursors_back invented_move_cursors_back
#define nbuf_os_sync_new_code invented_sync_code

static nbuf_state *invented_current(void);
static nbuf_state *invented_of_process(void);
static nbuf_result invented_acquire(const nbuf_constraint *constraint,
                                    const nbuf_preference *preference, nbuf_acquired *acquired,
                                    uint32_t *generation);
static bool counted_fits(const nbuf_constraint *constraint, nbuf_acquired *acquired);
static void invented_move_cursors_back(nbuf_state *state, uint32_t order, uint32_t room);
static void invented_sync_code(uintptr_t address, size_t size);

#include "api/buffers.c" /* NOLINT(bugprone-suspicious-include) */

enum { SIZE = 4096, GENERATION = 7, ORDER = 9, ANY_ERROR = 5, LINE = NBUF_CACHE_LINE };

static _Alignas(SIZE) unsigned char memory[SIZE];
static _Alignas(8) unsigned char locator[NBUF_LOCATOR_SIZE];
static const unsigned char source[SIZE];

static struct {
  nbuf_state state;
  nbuf_state empty;
  bool must_be_proved; /* the system cannot wipe pages in a child */
  nearbuf_dialect dialect;
  int exact; /* how often it was computed whether a request fits */
  int slow;  /* how often the slow path was asked */
  nearbuf_status slow_status;
  nbuf_acquired acquired;
  nbuf_constraint constraint;
  nbuf_preference preference;
  int moves;
  uint32_t moved_to;
  uint32_t moved_for;
  int syncs;
  uintptr_t synced;
  size_t synced_size;
} it = {.slow_status = NEARBUF_NO_ROOM};

static nbuf_state *invented_current(void) {
  return it.must_be_proved ? &it.empty : &it.state;
}

static nbuf_state *invented_of_process(void) {
  return &it.state;
}

static nbuf_result invented_acquire(const nbuf_constraint *constraint,
                                    const nbuf_preference *preference, nbuf_acquired *acquired,
                                    uint32_t *generation) {
  CHECK(is_in_call);
  it.slow++;
  it.constraint = *constraint;
  it.preference = *preference;
  *acquired = it.acquired;
  *generation = GENERATION;
  return nbuf_result_system(it.slow_status, ANY_ERROR);
}

static bool counted_fits(const nbuf_constraint *constraint, nbuf_acquired *acquired) {
  it.exact++;
  return nbuf_constraint_fits(constraint, acquired->base, acquired->size, acquired->position,
                              &acquired->start, &acquired->limit);
}

static void invented_move_cursors_back(nbuf_state *state, uint32_t order, uint32_t room) {
  CHECK(state == &it.state);
  it.moves++;
  it.moved_to = order;
  it.moved_for = room;
}

static void invented_sync_code(uintptr_t address, size_t size) {
  it.syncs++;
  it.synced = address;
  it.synced_size = size;
}

static const nbuf_layout *layout(void) {
  return nbuf_native_layout(it.dialect);
}

static uintptr_t item_address(void) {
  return nbuf_item_at((uintptr_t)locator, layout(), 0);
}

static nbuf_item item_now(void) {
  return nbuf_item_read(item_address(), layout());
}

/* The hint of this thread leads to an item with so many used bytes. */
static void list(nearbuf_dialect dialect, uint32_t position) {
  const nbuf_item item = {.base = (uintptr_t)memory, .size = SIZE, .position = position};
  it.dialect = dialect;
  it.exact = 0;
  it.slow = 0;
  it.moves = 0;
  it.syncs = 0;
  nbuf_format_build((uintptr_t)locator, layout(), (uintptr_t)locator, &item, 1);
  atomic_store(&it.state.generation, GENERATION);
  nbuf_hint_set(&it.state.hints, nbuf_hints_mine(&it.state.hints),
                nbuf_item_ref_of(item_address(), layout()), ORDER, GENERATION);
}

static void list_written(uint32_t position) {
  list(NEARBUF_DIALECT_WRITTEN, position);
}

static uintptr_t at(uint32_t offset) {
  return (uintptr_t)memory + offset;
}

static nearbuf_request request_of(size_t size) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = size;
  request.alignment_bytes = 1;
  return request;
}

static nearbuf_buffer got(const nearbuf_request *request) {
  nearbuf_buffer buffer;
  memset(&buffer, 0xff, sizeof buffer);
  CHECK_OK(nearbuf_get(request, &buffer));
  CHECK_EQUAL(1, item_now().taken);
  CHECK_EQUAL(0, it.slow);
  CHECK_EQUAL((uintptr_t)memory, nearbuf_buffer_address(&buffer));
  CHECK_EQUAL(SIZE, nearbuf_buffer_size(&buffer));
  CHECK_EQUAL(0, buffer.system_error);
  CHECK_EQUAL(0, buffer.write_delta);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_commit(&buffer, 0)); /* nothing is reserved */
  return buffer;
}

static void release(nearbuf_buffer *buffer) {
  CHECK_OK(nearbuf_release(buffer));
  CHECK_EQUAL(0, buffer->item);
  CHECK_EQUAL(0, item_now().taken);
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_release(buffer));
}

/* ---- Getting
 * ---------------------------------------------------------------------------------
 */

/* Whether the shortest path must be enough: the range does not end inside the
 * buffer, and the memory is not just at the distance that is near enough. */
static bool is_short(const nearbuf_request *request, uintptr_t start) {
  uintptr_t distance = start < request->target ? request->target - start : start - request->target;
  return request->range.max >= at(SIZE) &&
         (request->near_bytes == 0 || distance < request->near_bytes);
}

static void try_request(const nearbuf_request *request, uint32_t position) {
  uint32_t start = 0;
  uint32_t limit = 0;
  list_written(position);
  nbuf_constraint constraint = nbuf_request_constraint(request, request->flags);
  bool is_given = nbuf_constraint_fits(&constraint, at(0), SIZE, position, &start, &limit) &&
                  nbuf_is_near(at(start), request->target, request->near_bytes);
  nearbuf_buffer buffer;
  nearbuf_status status = nearbuf_get(request, &buffer);
  CHECK_EQUAL(is_given ? NEARBUF_OK : NEARBUF_NO_ROOM, status);
  CHECK_EQUAL(!is_given, it.slow);
  CHECK_EQUAL(is_given, item_now().taken);
  if (is_given) {
    CHECK(it.exact == 0 || !is_short(request, at(start)));
    CHECK_EQUAL(limit - start, nearbuf_buffer_room(&buffer));
    CHECK_EQUAL(start, buffer.start);
    release(&buffer);
    CHECK_EQUAL(position, item_now().position);
  }
  it.slow = 0;
  nearbuf_memory placed;
  CHECK_EQUAL(status, nearbuf_place(request, source, &placed));
  CHECK_EQUAL(!is_given, it.slow);
  CHECK_EQUAL(is_given ? at(start) : 0, (uintptr_t)placed.run_at);
  CHECK_EQUAL(is_given ? start + request->size_bytes : position, item_now().position);
  CHECK_EQUAL(0, item_now().taken);
}

static void try_ranges(nearbuf_request *request, uint32_t position) {
  const uintptr_t lowest[] = {0, at(0), at(position), at(position) + 1, at(SIZE)};
  const uintptr_t highest[] = {UINTPTR_MAX,  at(SIZE) + 1, at(SIZE),
                               at(SIZE - 1), at(SIZE - 2), at(position)};
  for (size_t min = 0; min < sizeof lowest / sizeof *lowest; min++) {
    for (size_t max = 0; max < sizeof highest / sizeof *highest; max++) {
      request->range = (nearbuf_range){lowest[min], highest[max]};
      if (nbuf_request_check(request) == NEARBUF_OK) {
        try_request(request, position);
      }
    }
  }
}

TEST(a_request_gets_the_buffer_of_the_hint_exactly_where_it_fits) {
  static const uint32_t positions[] = {0,        1,    16,       100,       SIZE - 16,
                                       SIZE - 1, SIZE, SIZE + 1, UINT32_MAX};
  static const size_t sizes[] = {1,          15,        16,       17,   100,
                                 SIZE - 100, SIZE - 99, SIZE - 1, SIZE, SIZE + 1};
  static const size_t alignments[] = {1, 2, 16, 64, 4096};
  for (size_t p = 0; p < sizeof positions / sizeof *positions; p++) {
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
      for (size_t a = 0; a < sizeof alignments / sizeof *alignments; a++) {
        nearbuf_request request = request_of(sizes[s]);
        request.alignment_bytes = alignments[a];
        try_ranges(&request, positions[p]);
      }
    }
  }
}

TEST(so_it_does_where_the_buffer_must_be_near) {
  static const uintptr_t distances[] = {1, 2, 16, 100, 1000};
  for (size_t d = 0; d < sizeof distances / sizeof *distances; d++) {
    for (uintptr_t more = 0; more < 5; more++) {
      nearbuf_request request = request_of(1);
      request.near_bytes = distances[d];
      request.target = at(50) + distances[d] + more - 2; /* above and below it */
      try_request(&request, 50);
      request.target = at(50) - distances[d] - more + 2;
      try_request(&request, 50);
    }
  }
}

TEST(a_buffer_is_held_for_data_in_whole_lines) {
  list_written(1);
  nearbuf_request request = request_of(1);
  request.flags = NEARBUF_DATA;
  nearbuf_buffer buffer = got(&request);
  CHECK_EQUAL(LINE, buffer.start);
  release(&buffer); /* nothing was appended */
  CHECK_EQUAL(1, item_now().position);
  buffer = got(&request);
  CHECK_OK(nearbuf_append(&buffer, "1", 1, NULL));
  release(&buffer);
  CHECK_EQUAL(2 * LINE, item_now().position);
  request.flags = 0;
  buffer = got(&request);
  CHECK_OK(nearbuf_append(&buffer, "1", 1, NULL));
  release(&buffer);
  CHECK_EQUAL(2 * LINE + 1, item_now().position);
}

TEST(an_item_of_the_rust_layout_is_used_without_the_slow_path) {
  list(NEARBUF_DIALECT_RUST, 10);
  nearbuf_request request = request_of(SIZE - 10);
  nearbuf_buffer buffer = got(&request);
  void *address;
  CHECK_OK(nearbuf_append(&buffer, "123", 3, &address));
  CHECK_EQUAL(at(10), (uintptr_t)address);
  release(&buffer);
  CHECK_EQUAL(13, item_now().position);
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_get(&request, &buffer));
  CHECK_EQUAL(0, item_now().taken);
  CHECK_EQUAL(1, it.slow);
}

TEST(what_the_slow_path_finds_is_returned) {
  list_written(0);
  nearbuf_request request = request_of(1);
  request.target = at(1);
  request.near_bytes = 3;
  nearbuf_buffer buffer = {.item = 1};
  nearbuf_buffer held = got(&request);
  nearbuf_memory placed;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_place(&request, "1", &placed)); /* the item is held */
  CHECK(placed.run_at == NULL && placed.write_to == NULL);
  it.slow = 0;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_get(&request, &buffer));
  CHECK_EQUAL(1, it.slow);
  CHECK_EQUAL(ANY_ERROR, buffer.system_error);
  CHECK_EQUAL(0, buffer.item);
  CHECK_EQUAL(at(1), it.preference.target);
  CHECK_EQUAL(3, it.preference.near_bytes);
  CHECK_EQUAL(NEARBUF_DIALECT_WRITTEN, it.preference.dialect);
  release(&held);
  nbuf_hint_set(&it.state.hints, nbuf_hints_mine(&it.state.hints), 0, 0, 0);
  it.slow_status = NEARBUF_OK;
  it.acquired = (nbuf_acquired){.ref = item_address(),
                                .base = at(0),
                                .size = SIZE,
                                .order = ORDER,
                                .start = 16,
                                .limit = 100};
  nbuf_shared_store_relaxed(nbuf_item_taken_word(item_address(), false), 1);
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_EQUAL(at(0), nearbuf_buffer_address(&buffer));
  CHECK_EQUAL(84, nearbuf_buffer_room(&buffer));
  CHECK_EQUAL(ORDER, buffer.order);
  release(&buffer);
}

TEST(a_request_that_is_not_valid_locks_nothing) {
  static const nearbuf_status expected[] = {NEARBUF_INVALID_ARGUMENT,  NEARBUF_INVALID_ARGUMENT,
                                            NEARBUF_INVALID_SIZE,      NEARBUF_INVALID_ALIGNMENT,
                                            NEARBUF_INVALID_ALIGNMENT, NEARBUF_INVALID_RANGE};
  nearbuf_buffer buffer;
  nearbuf_memory placed;
  list_written(0);
  for (int i = 0; i < 6; i++) {
    nearbuf_request request = request_of(i == 2 ? 0 : 1);
    request.struct_size -= i == 0;
    request.flags = i == 1 ? 4 : 0;
    request.alignment_bytes = i == 3 ? 0 : i == 4 ? 3 : 1;
    request.range.min = i == 5 ? at(SIZE) : 0;
    request.range.max = i == 5 ? at(0) : UINTPTR_MAX;
    CHECK_STATUS(expected[i], nearbuf_get(&request, &buffer));
    CHECK_STATUS(expected[i], nearbuf_place(&request, "1", &placed));
    CHECK_EQUAL(0, buffer.item);
    CHECK_EQUAL(0, item_now().taken);
  }
  nearbuf_request request = request_of(1);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_get(&request, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_get(NULL, NULL));
  CHECK_EQUAL(0, it.slow);
  CHECK_EQUAL(0, item_now().taken);
}

/* ---- Releasing
 * -------------------------------------------------------------------------------
 */

TEST(an_item_that_walks_have_passed_is_found_again_once_it_is_released) {
  for (uint32_t behind = 0; behind < 2; behind++) {
    list_written(10);
    atomic_store(&it.state.highest_cursor, ORDER + behind);
    nearbuf_request request = request_of(1);
    nearbuf_buffer buffer = got(&request);
    release(&buffer);
    CHECK_EQUAL(behind, it.moves);
    CHECK_EQUAL(ORDER * behind, it.moved_to);
    CHECK_EQUAL((SIZE - 10) * behind, it.moved_for);
    nearbuf_memory placed;
    CHECK_OK(nearbuf_place(&request, "1", &placed));
    CHECK_EQUAL(2 * behind, it.moves);
    CHECK_EQUAL((SIZE - 11) * behind, it.moved_for);
  }
}

TEST(an_item_whose_position_is_beyond_its_size_has_no_room) {
  list_written(10);
  atomic_store(&it.state.highest_cursor, ORDER + 1);
  nearbuf_request request = request_of(1);
  nearbuf_buffer buffer = got(&request);
  nbuf_item_set_position(item_address(), false, SIZE + 1);
  release(&buffer);
  CHECK_EQUAL(0, it.moved_for);
}

TEST(a_copy_of_a_released_handle_is_not_valid) {
  list_written(0);
  nearbuf_request request = request_of(1);
  nearbuf_buffer buffer = got(&request);
  nearbuf_buffer copy = buffer;
  release(&buffer);
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_release(&copy));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_release(NULL));
}

TEST(a_handle_of_another_process_is_stale) {
  list_written(0);
  nearbuf_request request = request_of(1);
  nearbuf_buffer buffer = got(&request);
  nearbuf_memory room;
  atomic_store(&it.state.generation, GENERATION + 1);
  CHECK_STATUS(NEARBUF_STALE, nearbuf_append(&buffer, "1", 1, NULL));
  CHECK_STATUS(NEARBUF_STALE, nearbuf_append_code(&buffer, "1", 1, NULL));
  CHECK_STATUS(NEARBUF_STALE, nearbuf_reserve(&buffer, 1, 1, &room));
  CHECK_STATUS(NEARBUF_STALE, nearbuf_commit(&buffer, 0));
  CHECK_EQUAL(0, nearbuf_buffer_address(&buffer));
  CHECK_EQUAL(0, nearbuf_buffer_size(&buffer));
  CHECK_EQUAL(0, nearbuf_buffer_room(&buffer));
  CHECK_STATUS(NEARBUF_STALE, nearbuf_release(&buffer));
  CHECK_EQUAL(1, item_now().taken); /* it is the other one's */
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_release(&buffer));
}

TEST(where_the_state_must_be_proved_handles_are_valid_too) {
  list_written(10);
  nearbuf_request request = request_of(1);
  nearbuf_buffer buffer = got(&request);
  it.must_be_proved = true;
  CHECK_OK(nearbuf_append(&buffer, "1", 1, NULL));
  CHECK_EQUAL(at(0), nearbuf_buffer_address(&buffer));
  nearbuf_buffer copy = buffer;
  release(&buffer);
  CHECK_EQUAL(11, item_now().position);
  copy.generation++;
  CHECK_STATUS(NEARBUF_STALE, nearbuf_append(&copy, "1", 1, NULL));
  CHECK_STATUS(NEARBUF_STALE, nearbuf_release(&copy));
  CHECK_EQUAL(0, copy.item);
}

/* Another implementation that was starting put one of its own into the slot. */
TEST(an_item_that_lists_another_buffer_by_now_is_left_alone) {
  list_written(10);
  nearbuf_request request = request_of(1);
  nearbuf_buffer buffer = got(&request);
  const nbuf_item theirs = {.base = at(0) + SIZE, .size = 3 * SIZE, .position = 5, .taken = 1};
  nbuf_item_write(item_address(), layout(), &theirs);
  void *address;
  CHECK_OK(nearbuf_append(&buffer, "1", 1, &address));
  CHECK_EQUAL(at(10), (uintptr_t)address);
  CHECK_EQUAL(5, item_now().position);
  CHECK_EQUAL(SIZE, nearbuf_buffer_size(&buffer));
  CHECK_OK(nearbuf_release(&buffer));
  CHECK_EQUAL(1, item_now().taken);
}

/* ---- Appending
 * -------------------------------------------------------------------------------
 */

static void check_copied(uint32_t start, const unsigned char *bytes, size_t size) {
  CHECK(memcmp(memory + start, bytes, size) == 0);
  CHECK_EQUAL(0xee, memory[start - 1]);
  CHECK_EQUAL(0xee, memory[start + size]);
}

TEST(bytes_of_any_number_are_appended_where_the_last_ones_end) {
  unsigned char bytes[64];
  for (size_t i = 0; i < sizeof bytes; i++) {
    bytes[i] = (unsigned char)(i + 1);
  }
  nearbuf_request request = request_of(1);
  for (size_t size = 1; size <= sizeof bytes; size++) {
    memset(memory, 0xee, sizeof memory);
    list_written(10);
    nearbuf_buffer buffer = got(&request);
    void *address = NULL;
    CHECK_OK(nearbuf_append(&buffer, bytes, size, &address));
    CHECK_EQUAL(at(10), (uintptr_t)address);
    CHECK_EQUAL(0, it.syncs);
    check_copied(10, bytes, size);
    CHECK_EQUAL(10 + size, item_now().position);
    CHECK_EQUAL(SIZE - 10 - size, nearbuf_buffer_room(&buffer));
    memset(memory, 0xee, sizeof memory);
    CHECK_OK(nearbuf_append(&buffer, bytes, size, NULL));
    check_copied((uint32_t)(10 + size), bytes, size);
    CHECK_OK(nearbuf_append_code(&buffer, bytes, size, &address));
    CHECK_EQUAL(at(10) + 2 * size, (uintptr_t)address);
    CHECK_EQUAL(1, it.syncs);
    CHECK_EQUAL(at(10) + 2 * size, it.synced);
    CHECK_EQUAL(size, it.synced_size);
    release(&buffer);
  }
}

TEST(no_byte_is_appended_beyond_the_room) {
  static const unsigned char bytes[40];
  nearbuf_request request = request_of(1);
  for (uint32_t room = 1; room < sizeof bytes; room++) {
    list_written(SIZE - room);
    nearbuf_buffer buffer = got(&request);
    void *address = memory;
    CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_append(&buffer, bytes, room + 1, &address));
    CHECK(address == NULL);
    CHECK_EQUAL(SIZE - room, item_now().position);
    CHECK_OK(nearbuf_append(&buffer, bytes, room, &address));
    CHECK_EQUAL(0, nearbuf_buffer_room(&buffer));
    release(&buffer);
  }
}

TEST(what_is_not_valid_is_not_appended) {
  nearbuf_buffer none = {0};
  void *address = memory;
  nearbuf_memory room;
  list_written(0);
  nearbuf_request request = request_of(1);
  nearbuf_buffer buffer = got(&request);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_append(NULL, "1", 1, &address));
  CHECK(address == NULL);
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_append(&none, "1", 1, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_append(&buffer, NULL, 1, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_append(&buffer, NULL, 20, NULL));
  CHECK_STATUS(NEARBUF_INVALID_SIZE, nearbuf_append(&buffer, "1", 0, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_reserve(&buffer, 1, 1, NULL));
  CHECK_STATUS(NEARBUF_INVALID_SIZE, nearbuf_reserve(&buffer, 0, 1, &room));
  CHECK_STATUS(NEARBUF_INVALID_ALIGNMENT, nearbuf_reserve(&buffer, 1, 3, &room));
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_reserve(&none, 1, 1, &room));
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_commit(&none, 1));
  CHECK_EQUAL(0, item_now().position);
  release(&buffer);
}

TEST(memory_with_two_addresses_is_written_at_one_and_run_at_the_other) {
  static unsigned char elsewhere[SIZE];
  nearbuf_memory room;
  void *address;
  nearbuf_request request = request_of(1);
  list_written(10);
  nearbuf_buffer buffer = got(&request);
  buffer.write_delta = (uintptr_t)elsewhere - at(0);
  memory[10] = 0;
  memory[30] = 0;
  CHECK_OK(nearbuf_append(&buffer, "12345678901234567890", 20, &address));
  CHECK_EQUAL(at(10), (uintptr_t)address);
  CHECK(memory[10] == 0 && memcmp(elsewhere + 10, "12345678901234567890", 20) == 0);
  CHECK_OK(nearbuf_append_code(&buffer, "1", 1, &address));
  CHECK_EQUAL(at(30), (uintptr_t)address);
  CHECK_EQUAL(at(30), it.synced);
  CHECK(memory[30] == 0 && elsewhere[30] == '1');
  CHECK_OK(nearbuf_reserve(&buffer, 5, 1, &room));
  CHECK_EQUAL(at(31), (uintptr_t)room.run_at);
  CHECK(room.write_to == elsewhere + 31);
  release(&buffer);
}

/* ---- Reserving
 * -------------------------------------------------------------------------------
 */

TEST(room_is_reserved_and_then_used_in_part) {
  nearbuf_memory room;
  nearbuf_request request = request_of(1);
  list_written(10);
  nearbuf_buffer buffer = got(&request);
  CHECK_OK(nearbuf_reserve(&buffer, 100, 64, &room));
  CHECK_EQUAL(at(64), (uintptr_t)room.run_at);
  CHECK(room.write_to == room.run_at);
  CHECK_EQUAL(100, room.size_bytes);
  CHECK_EQUAL(0, room.is_private);
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_commit(&buffer, 101));
  CHECK_EQUAL(10, item_now().position);
  CHECK_OK(nearbuf_commit(&buffer, 99));
  CHECK_EQUAL(163, item_now().position);
  CHECK_EQUAL(1, it.syncs);
  CHECK_EQUAL(at(64), it.synced);
  CHECK_EQUAL(99, it.synced_size);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_commit(&buffer, 1));
  CHECK_OK(nearbuf_reserve(&buffer, 5, 1, &room));
  CHECK_OK(nearbuf_commit(&buffer, 0));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_commit(&buffer, 0));
  CHECK_EQUAL(163, item_now().position);
  CHECK_EQUAL(1, it.syncs);
  CHECK_OK(nearbuf_reserve(&buffer, 5, 1, &room));
  CHECK_OK(nearbuf_commit(&buffer, 1));
  CHECK_EQUAL(164, item_now().position);
  CHECK_OK(nearbuf_reserve(&buffer, 5, 1, &room));
  CHECK_OK(nearbuf_append(&buffer, "1", 1, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_commit(&buffer, 1)); /* it is used already */
  release(&buffer);
}

TEST(no_room_is_reserved_beyond_the_end) {
  nearbuf_memory room = {.size_bytes = 1};
  nearbuf_request request = request_of(1);
  list_written(SIZE - 65);
  nearbuf_buffer buffer = got(&request);
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_reserve(&buffer, 65, 2, &room));
  CHECK_EQUAL(0, room.size_bytes);
  CHECK(room.run_at == NULL && room.write_to == NULL);
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_reserve(&buffer, 1, (size_t)2 * SIZE, &room));
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_reserve(&buffer, SIZE_MAX, 1, &room));
  CHECK_STATUS(NEARBUF_BEYOND_ROOM,
               nearbuf_reserve(&buffer, 1, (size_t)1 << (8 * sizeof(size_t) - 1), &room));
  CHECK_OK(nearbuf_reserve(&buffer, 64, 2, &room));
  CHECK_EQUAL(at(SIZE - 64), (uintptr_t)room.run_at);
  CHECK_OK(nearbuf_commit(&buffer, 64));
  CHECK_EQUAL(SIZE, item_now().position);
  release(&buffer);
}

/* ---- Placing
 * ---------------------------------------------------------------------------------
 */

TEST(bytes_are_placed_in_one_call_and_nothing_stays_held) {
  static const unsigned char bytes[] = {1, 2, 3};
  nearbuf_request request = request_of(3);
  nearbuf_memory placed;
  memset(memory, 0xee, sizeof memory);
  list_written(10);
  request.alignment_bytes = 16;
  memset(&placed, 0xff, sizeof placed);
  CHECK_OK(nearbuf_place(&request, bytes, &placed));
  CHECK_EQUAL(at(16), (uintptr_t)placed.run_at);
  CHECK(placed.write_to == placed.run_at);
  CHECK_EQUAL(3, placed.size_bytes);
  CHECK_EQUAL(0, placed.system_error);
  CHECK_EQUAL(0, placed.is_private);
  CHECK_EQUAL(19, item_now().position);
  CHECK_EQUAL(0, item_now().taken);
  CHECK_EQUAL(0, it.exact + it.slow);
  CHECK_EQUAL(at(16), it.synced);
  CHECK_EQUAL(3, it.synced_size);
  CHECK_EQUAL(1, it.syncs);
  check_copied(16, bytes, 3);
}

TEST(so_they_are_where_the_range_ends_inside_of_the_buffer_and_as_data) {
  static const unsigned char bytes[] = {1, 2, 3};
  nearbuf_request request = request_of(3);
  nearbuf_memory placed;
  memset(memory, 0xee, sizeof memory);
  list_written(LINE + 1);
  request.range.max = at(SIZE - 1);
  CHECK_OK(nearbuf_place(&request, bytes, &placed));
  CHECK_EQUAL(at(LINE + 1), (uintptr_t)placed.run_at);
  CHECK(placed.write_to == placed.run_at);
  CHECK_EQUAL(3, placed.size_bytes);
  CHECK_EQUAL(1, it.syncs);
  CHECK_EQUAL(3, it.synced_size);
  check_copied(LINE + 1, bytes, 3);
  request.flags = NEARBUF_DATA;
  CHECK_OK(nearbuf_place(&request, bytes, &placed));
  CHECK_EQUAL(at(2 * LINE), (uintptr_t)placed.run_at);
  CHECK_EQUAL(1, it.syncs); /* data is not run */
  CHECK_EQUAL(3 * LINE, item_now().position);
  CHECK_EQUAL(0, item_now().taken);
  request.size_bytes = SIZE;
  request.range.max = UINTPTR_MAX;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_place(&request, bytes, &placed));
  CHECK_EQUAL(ANY_ERROR, placed.system_error);
  CHECK(placed.run_at == NULL);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_place(&request, bytes, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_place(&request, NULL, &placed));
  CHECK_EQUAL(0, placed.system_error);
  CHECK_EQUAL(0, item_now().taken);
}

static ptrdiff_t write_so_many(const nearbuf_memory *room, void *context) {
  const ptrdiff_t *count = context;
  CHECK_EQUAL(at(10), (uintptr_t)room->run_at);
  CHECK_EQUAL(100, room->size_bytes);
  return *count;
}

TEST(a_writer_says_how_many_bytes_it_used) {
  static const struct {
    ptrdiff_t used;
    nearbuf_status status;
  } cases[] = {{-1, NEARBUF_CANCELLED},
               {0, NEARBUF_OK},
               {1, NEARBUF_OK},
               {100, NEARBUF_OK},
               {101, NEARBUF_BEYOND_ROOM}};
  nearbuf_request request = request_of(100);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    nearbuf_memory placed = {.size_bytes = 7};
    ptrdiff_t used = cases[i].used;
    bool is_ok = cases[i].status == NEARBUF_OK;
    list_written(10);
    CHECK_STATUS(cases[i].status, nearbuf_place_with(&request, write_so_many, &used, &placed));
    CHECK_EQUAL(is_ok ? used : 0, placed.size_bytes);
    CHECK_EQUAL(is_ok ? at(10) : 0, (uintptr_t)placed.run_at);
    CHECK_EQUAL(10 + (is_ok ? used : 0), item_now().position);
    CHECK_EQUAL(0, item_now().taken);
  }
}

TEST(without_room_or_a_writer_nothing_is_placed) {
  nearbuf_memory placed = {.size_bytes = 7};
  ptrdiff_t used = 1;
  nearbuf_request request = request_of(SIZE);
  list_written(10);
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_place_with(&request, write_so_many, &used, &placed));
  CHECK_EQUAL(ANY_ERROR, placed.system_error);
  CHECK_EQUAL(0, placed.size_bytes);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_place_with(&request, NULL, &used, &placed));
  CHECK_EQUAL(0, placed.system_error);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_place_with(&request, write_so_many, &used, NULL));
}
