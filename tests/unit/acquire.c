/* From a request to an item that is held, with an invented chain of locators and an invented system
 * beneath: which items fit, which regions can be mapped and listed is what a test says. The steps
 * are recorded, a letter each. core/acquire.c is compiled here, with other names for what it calls
 * and defines. Against real memory it is tested by tests/api. */
#define nbuf_acquire tested_acquire
#define nbuf_header_mend invented_header_mend
#define nbuf_registry_take invented_registry_take
#define nbuf_registry_register invented_registry_register
#define nbuf_registry_is_full_walk_due invented_is_full_walk_due
#define nbuf_region_make invented_region_make
#define nbuf_region_drop invented_region_drop
#define nbuf_placement_region_size invented_region_size
#define nbuf_hints_crowd invented_hints_crowd
#include "core/acquire.h"
#include "core/attach.h"
#include "core/header.h"
#include "core/regions.h"
#include "os/os.h"

/* What headers define. */
#define nbuf_state_begin invented_state_begin
#define nbuf_attach invented_attach
#define nbuf_attach_or_make invented_attach_or_make
#define nbuf_locators_entry invented_locators_entry
#define nbuf_locators_extend invented_locators_extend
#define nbuf_os_granularity invented_granularity
static nbuf_result invented_state_begin(nbuf_state **state);
static nbuf_result invented_attach(nbuf_state *state, bool may_wait);
static nbuf_result invented_attach_or_make(nbuf_state *state, const nbuf_item *item,
                                           nearbuf_dialect preferred, bool *is_listed);
static nbuf_locator *invented_locators_entry(uint32_t number);
static nbuf_result invented_locators_extend(nbuf_state *state, bool may_wait);
static size_t invented_granularity(void);
#include "core/acquire.c" /* NOLINT(bugprone-suspicious-include) */

#include <string.h>

#include "test.h"

enum {
  GRANULE = 4096,
  USUAL = 16 * GRANULE, /* the size of a region that is not as small as possible */
  TARGET = 0x40000000,
  NEAR = 0x100000,
  SIZE = 100,
  GENERATION = 7,
  ORDER = 9,
  NEVER = 0,
  MOST_REGIONS = 8
};

static _Alignas(16) unsigned char page[NBUF_LOCATOR_SIZE];

static struct {
  nbuf_constraint constraint; /* of the requests */
  nbuf_state state;
  nbuf_locator locator;
  nearbuf_status beginning;
  nearbuf_status attaching;
  nearbuf_status extending;
  nearbuf_status mapping_near; /* in a part of the range */
  nearbuf_status mapping;      /* in all of it */
  nearbuf_status listing;
  int takes;
  int take_that_finds; /* the first is 1 */
  uint32_t takes_wasteful;
  uint32_t contended_while_wasteful;
  bool is_held;
  bool is_walk_due;
  bool makes_locator;
  bool is_crowded;
  int regions;
  nbuf_gap_request asked[MOST_REGIONS];
  uintptr_t mapped_size; /* 0: as wanted */
  nbuf_item first_item;
  nbuf_listing listed;
  char steps[64];
} it;

static nbuf_acquired got;
static uint32_t generation;

static void note(char step) {
  size_t length = strlen(it.steps);
  CHECK(length + 1 < sizeof it.steps);
  it.steps[length] = step;
}

static void check_steps(const char *expected) {
  if (strcmp(expected, it.steps) != 0) {
    test_fail(__FILE__, __LINE__, "\"%s\", not \"%s\"", it.steps, expected);
  }
}

/* ---- What it calls --------------------------------------------------------------------------- */

static nbuf_result invented_state_begin(nbuf_state **state) {
  *state = &it.state;
  return nbuf_result_of(it.beginning);
}

static nbuf_result invented_attach(nbuf_state *state, bool may_wait) {
  CHECK(state == &it.state && may_wait);
  note('a');
  return nbuf_result_of(it.attaching);
}

static nbuf_result invented_attach_or_make(nbuf_state *state, const nbuf_item *item,
                                           nearbuf_dialect preferred, bool *is_listed) {
  CHECK(state == &it.state && item->taken == 1);
  CHECK_EQUAL(NEARBUF_DIALECT_DOTNET, preferred);
  note('A');
  it.first_item = *item;
  *is_listed = it.makes_locator;
  it.makes_locator = false; /* the next time it exists */
  return nbuf_result_of(it.listing);
}

void invented_header_mend(nbuf_locator *locator) {
  CHECK(locator == &it.locator);
  note('m');
}

static nbuf_locator *invented_locators_entry(uint32_t number) {
  CHECK_EQUAL(0, number);
  return &it.locator;
}

static nbuf_result invented_locators_extend(nbuf_state *state, bool may_wait) {
  CHECK(state == &it.state && may_wait);
  note('e');
  return nbuf_result_of(it.extending);
}

/* t: from the cursor on; T: from the start; W: wherever there is any room, from the start. */
bool invented_registry_take(nbuf_state *state, const nbuf_constraint *constraint, bool from_start,
                            nbuf_acquired *acquired, bool *is_held) {
  if (constraint->may_waste_prefix) {
    CHECK(from_start);
    it.contended_while_wasteful = state->contended;
    note('W');
  } else {
    note(from_start ? 'T' : 't');
  }
  *is_held = it.is_held;
  acquired->ref = nbuf_item_ref_of((uintptr_t)page, nbuf_locator_layout(&it.locator));
  acquired->order = ORDER;
  it.takes++;
  return it.takes == it.take_that_finds;
}

nbuf_result invented_registry_register(nbuf_state *state, const nbuf_listing *listing,
                                       nbuf_acquired *acquired) {
  CHECK(state == &it.state);
  note('l');
  it.listed = *listing;
  acquired->ref = nbuf_item_ref_of((uintptr_t)page, nbuf_locator_layout(&it.locator));
  acquired->order = ORDER;
  return nbuf_result_of(NEARBUF_OK);
}

bool invented_is_full_walk_due(nbuf_state *state) {
  CHECK(state == &it.state);
  return it.is_walk_due;
}

/* n: near to the target; r: in all of the range. */
nbuf_result invented_region_make(nbuf_regions *regions, const nbuf_gap_request *request,
                                 nbuf_place *region) {
  CHECK(regions == &nbuf_own_regions && it.regions < MOST_REGIONS);
  bool is_near = request->range.min >= TARGET - NEAR;
  note(is_near ? 'n' : 'r');
  it.asked[it.regions++] = *request;
  *region = (nbuf_place){TARGET, it.mapped_size != 0 ? it.mapped_size : request->want};
  return nbuf_result_of(is_near ? it.mapping_near : it.mapping);
}

nbuf_result invented_region_drop(nbuf_regions *regions, const nbuf_place *region) {
  CHECK(regions == &nbuf_own_regions && region->start == TARGET);
  note('d');
  return nbuf_result_of(NEARBUF_OK);
}

uintptr_t invented_region_size(uint64_t placed_bytes, uintptr_t least, uintptr_t granularity) {
  CHECK(placed_bytes == it.state.placed_bytes && least == GRANULE && granularity == GRANULE);
  return USUAL;
}

bool invented_hints_crowd(nbuf_hints *hints, const nbuf_hint *mine, uintptr_t item) {
  CHECK(hints == &it.state.hints && mine == nbuf_hints_mine(hints));
  CHECK_EQUAL(nbuf_item_ref_address(got.ref), item);
  return it.is_crowded;
}

static size_t invented_granularity(void) {
  return GRANULE;
}

/* ---- Requests -------------------------------------------------------------------------------- */

/* A locator exists, no item fits, and memory can be mapped everywhere. */
static void start(void) {
  memset(&it, 0, sizeof it);
  it.constraint =
      (nbuf_constraint){.min = GRANULE, .max = 0x7FFFFFFF, .alignment = 1, .size = SIZE};
  it.state.generation = GENERATION;
  it.state.attached = 1;
  it.locator.base = (uintptr_t)page;
  it.locator.dialect = NEARBUF_DIALECT_DOTNET;
  got = (nbuf_acquired){0};
}

static nearbuf_status acquire(uintptr_t near_bytes, uint8_t only_dialect) {
  nbuf_constraint constraint = it.constraint;
  constraint.only_dialect = only_dialect;
  nbuf_preference preference = {TARGET, near_bytes, NEARBUF_DIALECT_DOTNET};
  memset(it.steps, 0, sizeof it.steps);
  it.takes = 0;
  it.regions = 0;
  nbuf_result result = nbuf_acquire(&constraint, &preference, &got, &generation);
  return result.status;
}

static void check_hint(bool is_kept) {
  const nbuf_hint *hint = nbuf_hints_mine(&it.state.hints);
  CHECK_EQUAL(is_kept ? got.ref : 0, nbuf_hint_item(hint));
  CHECK_EQUAL(is_kept ? (uint64_t)GENERATION << 32 | ORDER : 0,
              nbuf_hint_order_and_generation(hint));
}

/* ---- Items that are listed ------------------------------------------------------------------- */

TEST(a_listed_item_is_taken_before_anything_else_is_looked_for) {
  start();
  it.take_that_finds = 1;
  CHECK_STATUS(NEARBUF_OK, acquire(0, 0));
  check_steps("amt");
  CHECK_EQUAL(GENERATION, generation);
  check_hint(true);
}

TEST(then_locators_that_were_linked_since_are_added_and_their_items_taken) {
  start();
  it.take_that_finds = 2;
  CHECK_STATUS(NEARBUF_OK, acquire(0, 0));
  check_steps("amtet");
  it.is_walk_due = true;
  CHECK_STATUS(NEARBUF_OK, acquire(0, 0));
  check_steps("amteT");
}

TEST(where_the_chain_cannot_be_read_on_a_region_is_made) {
  start();
  it.extending = NEARBUF_INCOMPATIBLE;
  CHECK_STATUS(NEARBUF_OK, acquire(0, 0));
  check_steps("amterAl");
}

TEST(why_there_is_no_state_or_locator_is_returned) {
  start();
  it.beginning = NEARBUF_OUT_OF_MEMORY;
  CHECK_STATUS(NEARBUF_OUT_OF_MEMORY, acquire(0, 0));
  check_steps("");
  start();
  it.attaching = NEARBUF_INCOMPATIBLE;
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, acquire(0, 0));
  check_steps("a");
  check_hint(false);
}

/* ---- New regions ----------------------------------------------------------------------------- */

TEST(without_a_locator_a_region_is_made_and_is_its_first_item) {
  start();
  it.attaching = NEARBUF_NOT_FOUND;
  it.makes_locator = true;
  CHECK_STATUS(NEARBUF_OK, acquire(0, 0));
  check_steps("arA");
  CHECK_EQUAL(TARGET, it.first_item.base);
  CHECK_EQUAL(USUAL, it.first_item.size);
  CHECK_EQUAL(TARGET, got.base);
  CHECK_EQUAL(USUAL, got.size);
  CHECK_EQUAL(NBUF_FIRST_SLOT, got.order);
  CHECK_EQUAL(nbuf_locator_item(&it.locator, NBUF_FIRST_SLOT), nbuf_item_ref_address(got.ref));
  CHECK_EQUAL(USUAL, it.state.placed_bytes);
}

TEST(a_first_locator_that_the_request_cannot_use_keeps_its_item_free_and_another_region_is_made) {
  start();
  it.attaching = NEARBUF_NOT_FOUND;
  it.makes_locator = true;
  nbuf_item held = {.base = TARGET, .size = USUAL, .taken = 1};
  nbuf_item_write(nbuf_locator_item(&it.locator, NBUF_FIRST_SLOT), nbuf_locator_layout(&it.locator),
                  &held);
  CHECK_STATUS(NEARBUF_OK, acquire(0, NEARBUF_DIALECT_RUST));
  check_steps("arArAl");
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, it.listed.only_dialect);
  CHECK_EQUAL(0, nbuf_item_read(nbuf_locator_item(&it.locator, NBUF_FIRST_SLOT),
                                nbuf_locator_layout(&it.locator))
                     .taken);
  CHECK_EQUAL(2 * USUAL, it.state.placed_bytes);
}

TEST(of_a_region_all_but_what_the_request_needs_can_be_spared) {
  start();
  CHECK_STATUS(NEARBUF_OK, acquire(0, 0));
  check_steps("amtetrAl");
  CHECK_EQUAL(GRANULE, it.asked[0].least);
  CHECK_EQUAL(USUAL, it.asked[0].want);
  CHECK_EQUAL(TARGET, it.listed.start);
  CHECK_EQUAL(USUAL, it.listed.size);
  CHECK_EQUAL(USUAL - GRANULE, it.listed.spare);
}

TEST(of_a_region_that_is_aligned_beyond_a_granule_nothing_can_be_spared) {
  start();
  it.constraint.alignment = (uint64_t)2 * GRANULE;
  CHECK_STATUS(NEARBUF_OK, acquire(0, 0));
  CHECK_EQUAL(2 * GRANULE, it.asked[0].alignment);
  CHECK_EQUAL(0, it.listed.spare);
}

TEST(of_a_region_that_starts_below_the_range_the_part_inside_is_used) {
  start();
  it.constraint.min = TARGET + 10;
  it.constraint.max = TARGET + GRANULE - 21;
  it.take_that_finds = 1;
  got = (nbuf_acquired){.base = TARGET, .size = GRANULE};
  CHECK_STATUS(NEARBUF_OK, acquire(0, 0));
  CHECK_EQUAL(10, got.start);
  CHECK_EQUAL(GRANULE - 20, got.limit);
}

TEST(while_items_that_fit_are_only_held_a_region_is_as_small_as_it_can_be) {
  start();
  it.is_held = true;
  CHECK_STATUS(NEARBUF_OK, acquire(0, 0));
  CHECK_EQUAL(GRANULE, it.asked[0].want);
  it.state.contended = 1;
  CHECK_STATUS(NEARBUF_OK, acquire(0, 0));
  CHECK_EQUAL(GRANULE + (uintptr_t)NBUF_UNSHARED_STRIDE * GRANULE, it.asked[0].want);
}

TEST(a_region_that_cannot_be_listed_is_given_back) {
  start();
  it.listing = NEARBUF_BUSY;
  CHECK_STATUS(NEARBUF_BUSY, acquire(0, 0));
  check_steps("amtetrAd");
  CHECK_EQUAL(0, it.state.placed_bytes);
}

/* Where addresses have 32 bits there is none. */
TEST(a_region_of_4_gib_is_listed_without_its_last_byte) {
  start();
  it.mapped_size = UINTPTR_MAX > UINT32_MAX ? (uintptr_t)UINT32_MAX + 1 : UINT32_MAX;
  CHECK_STATUS(NEARBUF_OK, acquire(0, 0));
  CHECK_EQUAL(UINT32_MAX, it.listed.size);
  it.mapped_size = UINT32_MAX;
  CHECK_STATUS(NEARBUF_OK, acquire(0, 0));
  CHECK_EQUAL(UINT32_MAX, it.listed.size);
  it.mapped_size = UINT32_MAX - 1;
  CHECK_STATUS(NEARBUF_OK, acquire(0, 0));
  CHECK_EQUAL(UINT32_MAX - 1, it.listed.size);
}

/* ---- Near to a target ------------------------------------------------------------------------ */

TEST(near_to_its_target_reserved_addresses_are_spared_and_elsewhere_they_are_not) {
  start();
  it.mapping_near = NEARBUF_NO_ROOM;
  CHECK_STATUS(NEARBUF_OK, acquire(NEAR, 0));
  check_steps("amtetnT"
              "amtetrAl");
  CHECK(it.asked[0].spares_reserved && !it.asked[1].spares_reserved);
  CHECK_EQUAL(TARGET, it.asked[0].target);
}

TEST(what_may_succeed_farther_away_is_tried_there_and_nothing_else) {
  static const nearbuf_status near[] = {NEARBUF_OUT_OF_MEMORY, NEARBUF_DENIED, NEARBUF_SYSTEM_ERROR,
                                        NEARBUF_BUSY};
  for (int i = 0; i < 4; i++) {
    bool is_tried = i < 2;
    start();
    it.mapping_near = near[i];
    CHECK_STATUS(is_tried ? NEARBUF_OK : near[i], acquire(NEAR, 0));
    check_steps(is_tried ? "amtetnamtetrAl" : "amtetn");
  }
}

/* ---- No room --------------------------------------------------------------------------------- */

TEST(without_room_every_item_is_looked_at_and_then_any_room_of_one_is_taken) {
  start();
  it.mapping = NEARBUF_NO_ROOM;
  it.take_that_finds = 3;
  CHECK_STATUS(NEARBUF_OK, acquire(0, 0));
  check_steps("amtetrT");
  it.take_that_finds = 4;
  CHECK_STATUS(NEARBUF_OK, acquire(0, 0));
  check_steps("amtetrTW");
  it.take_that_finds = NEVER;
  CHECK_STATUS(NEARBUF_NO_ROOM, acquire(0, 0));
  check_steps("amtetrTW");
}

TEST(a_region_of_a_size_that_does_not_exist_is_not_looked_for) {
  start();
  it.constraint.size = UINT64_MAX;
  CHECK_STATUS(NEARBUF_NO_ROOM, acquire(0, 0));
  check_steps("amtetTW");
}

TEST(without_a_locator_or_for_another_reason_no_item_is_looked_at) {
  start();
  it.state.attached = 0;
  it.attaching = NEARBUF_NOT_FOUND;
  it.mapping = NEARBUF_NO_ROOM;
  CHECK_STATUS(NEARBUF_NO_ROOM, acquire(0, 0));
  check_steps("ar");
  start();
  it.mapping = NEARBUF_DENIED;
  CHECK_STATUS(NEARBUF_DENIED, acquire(0, 0));
  check_steps("amtetr");
}

TEST(shared_lines_do_not_matter_then_and_matter_afterwards_as_before) {
  for (uint32_t contended = 0; contended <= 1; contended++) {
    start();
    it.mapping = NEARBUF_NO_ROOM;
    it.state.contended = contended;
    it.contended_while_wasteful = 2;
    CHECK_STATUS(NEARBUF_NO_ROOM, acquire(0, 0));
    CHECK_EQUAL(0, it.contended_while_wasteful);
    CHECK_EQUAL(contended, it.state.contended);
  }
}

/* ---- The hint -------------------------------------------------------------------------------- */

TEST(an_item_beside_another_threads_is_not_the_hint_and_threads_are_apart_from_then_on) {
  start();
  it.take_that_finds = 1;
  it.is_crowded = true;
  CHECK_STATUS(NEARBUF_OK, acquire(0, 0));
  CHECK_EQUAL(1, it.state.contended);
  CHECK_EQUAL(0, nbuf_hint_item(nbuf_hints_mine(&it.state.hints)));
  CHECK_STATUS(NEARBUF_OK, acquire(0, 0));
  check_hint(true); /* noted once */
}
