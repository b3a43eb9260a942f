/* The C functions of the Rust implementation, with one item that a test fills
 * in: the state, the hint of the thread and what the slow path finds are
 * invented. api/reloaded.c is compiled here, with other names for what it
 * calls. Against real memory it is tested by tests/interop. */
#include "core/acquire.h"
#include "invented_call.h"
#include "os/os.h"
#include "test.h"

#define nbuf_state_current invented_current
#define nbuf_acquire invented_acquire
#define nbuf_registry_released_item invented_released_item

static nbuf_state *invented_current(void);
static nbuf_result invented_acquire(const nbuf_constraint *constraint,
                                    const nbuf_preference *preference, nbuf_acquired *acquired,
                                    uint32_t *generation);
static void invented_released_item(nbuf_state *state, uintptr_t item, uint32_t room);

#include "api/reloaded.c" /* NOLINT(bugprone-suspicious-include) */

enum { SIZE = 4096, GENERATION = 7 };

static _Alignas(SIZE) unsigned char memory[SIZE];
static _Alignas(8) unsigned char locator[NBUF_LOCATOR_SIZE];

static struct {
  nbuf_state state;
  int slow;
  nbuf_constraint constraint;
  nbuf_preference preference;
  int releases; /* that moved cursors */
  uint32_t released_room;
} it;

static nbuf_state *invented_current(void) {
  return &it.state;
}

static nbuf_result invented_acquire(const nbuf_constraint *constraint,
                                    const nbuf_preference *preference, nbuf_acquired *acquired,
                                    uint32_t *generation) {
  CHECK(is_in_call);
  *acquired = (nbuf_acquired){0};
  *generation = GENERATION;
  it.slow++;
  it.constraint = *constraint;
  it.preference = *preference;
  return nbuf_result_of(NEARBUF_NO_ROOM);
}

static void invented_released_item(nbuf_state *state, uintptr_t item, uint32_t room) {
  CHECK(state == &it.state && item == nbuf_item_at((uintptr_t)locator, rust(), 0));
  it.releases++;
  it.released_room = room;
}

static LocatorItem *item_now(void) {
  return (LocatorItem *)nbuf_item_at((uintptr_t)locator, rust(), 0);
}

static uintptr_t at(uint32_t offset) {
  return (uintptr_t)memory + offset;
}

static void list(uint32_t position) {
  const nbuf_item item = {.base = at(0), .size = SIZE, .position = position};
  it.slow = 0;
  it.releases = 0;
  nbuf_format_build((uintptr_t)locator, rust(), (uintptr_t)locator, &item, 1);
  atomic_store(&it.state.generation, GENERATION);
  nbuf_hint_set(&it.state.hints, nbuf_hints_mine(&it.state.hints),
                nbuf_item_ref_of((uintptr_t)item_now(), rust()), 0, GENERATION);
}

static uint32_t position_now(void) {
  return nbuf_item_position((uintptr_t)item_now(), true);
}

/* The item of the hint is given at once where all of its room lies in the
 * range, which the caller sees, and where enough is left behind the alignment.
 */
static void try_settings(const BufferSearchSettings *settings, uint32_t alignment,
                         uint32_t position) {
  uint64_t start = ((uint64_t)at(0) + position + alignment - 1) / alignment * alignment;
  bool is_given = settings->size > 0 && (uint64_t)at(0) + position >= settings->min_address &&
                  at(SIZE) <= settings->max_address && start + settings->size <= at(SIZE);
  list(position);
  GetBufferResult result = buffers_get_buffer_aligned(settings, alignment);
  CHECK_EQUAL(is_given, result.is_ok);
  CHECK(is_given ? result.ok == item_now() && result.err == NULL : result.err != NULL);
  CHECK_EQUAL(is_given, locatoritem_is_taken(item_now()));
  CHECK_EQUAL(is_given ? start - at(0) : position, position_now());
  CHECK(it.slow == 0 || !is_given);
  free_get_buffer_result(result);
  CHECK(!locatoritem_is_taken(item_now()));
}

TEST(settings_get_the_item_of_the_hint_exactly_where_it_fits) {
  static const uint32_t positions[] = {0, 1, 100, SIZE - 1, SIZE, SIZE + 1, UINT32_MAX};
  static const uint32_t sizes[] = {0, 1, 100, SIZE - 100, SIZE - 99, SIZE, SIZE + 1, UINT32_MAX};
  static const uint32_t alignments[] = {1, 2, 64, SIZE};
  for (size_t i = 0; i < (size_t)7 * 8 * 4; i++) {
    uint32_t position = positions[i % 7];
    const uintptr_t lowest[] = {0, at(position), at(position) + 1};
    const uintptr_t highest[] = {UINTPTR_MAX, at(SIZE), at(SIZE - 1)};
    for (size_t k = 0; k < 9; k++) {
      const BufferSearchSettings settings = {
          .min_address = lowest[k % 3], .max_address = highest[k / 3], .size = sizes[i / 7 % 8]};
      try_settings(&settings, alignments[i / 56], position);
    }
  }
}

TEST(what_is_wrong_with_settings_is_told_and_locks_nothing) {
  BufferSearchSettings settings = {.min_address = 0, .max_address = UINTPTR_MAX, .size = 1};
  list(0);
  CHECK(!buffers_get_buffer_aligned(&settings, 0).is_ok);
  CHECK(!buffers_get_buffer_aligned(&settings, 3).is_ok);
  CHECK(!buffers_get_buffer(NULL).is_ok);
  settings.max_address = 0;
  CHECK(!buffers_get_buffer(&settings).is_ok);
  CHECK_EQUAL(0, it.slow);
  CHECK(!locatoritem_is_taken(item_now()));
}

TEST(a_held_item_is_left_to_its_holder) {
  BufferSearchSettings settings = {.min_address = 0, .max_address = UINTPTR_MAX, .size = 1};
  list(10);
  CHECK(locatoritem_try_lock(item_now()));
  CHECK(!buffers_get_buffer(&settings).is_ok);
  CHECK_EQUAL(1, it.slow);
  CHECK_EQUAL(1, it.preference.target); /* the lowest address comes first */
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, it.preference.dialect);
  CHECK(it.constraint.must_end_inside);
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, it.constraint.only_dialect);
  CHECK_EQUAL(UINTPTR_MAX - 1, it.constraint.max);
  CHECK(locatoritem_is_taken(item_now()));
  settings.min_address = 77;
  CHECK(!buffers_get_buffer(&settings).is_ok);
  CHECK_EQUAL(77, it.preference.target);
}

TEST(an_item_that_walks_have_passed_is_found_again_once_it_is_released) {
  static const uint32_t rooms[] = {SIZE - 10, 0, 0};
  static const uint32_t positions[] = {10, SIZE, SIZE + 1};
  for (int i = 0; i < 3; i++) {
    list(positions[i]);
    atomic_store(&it.state.highest_cursor, 0);
    locatoritem_unlock(item_now());
    CHECK_EQUAL(0, it.releases);
    atomic_store(&it.state.highest_cursor, 1);
    it.released_room = 1;
    locatoritem_unlock(item_now());
    CHECK_EQUAL(1, it.releases);
    CHECK_EQUAL(rooms[i], it.released_room);
  }
}
