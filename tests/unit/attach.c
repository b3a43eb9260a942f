/* Finding or making the first locator, on an invented system: what pages there are, what is chosen,
 * and what other threads do meanwhile is what a test says. core/attach.c itself is compiled here,
 * with other names for what it calls and defines. */
#define nbuf_attach_slowly tested_attach
#define nbuf_attach_or_make_slowly tested_attach_or_make
#include "core/attach.h"
#include "core/locators.h"
#include "core/settings.h"
#include "os/pages.h"

#define nbuf_state_lock invented_state_lock
#define nbuf_state_try_lock invented_state_try_lock
#define nbuf_state_unlock invented_state_unlock
#define nbuf_settings_private invented_settings_private
#define nbuf_settings_dialect invented_settings_dialect
#define nbuf_locators_inherited invented_locators_inherited
#define nbuf_locators_start invented_locators_start
#define nbuf_page_find invented_page_find
#define nbuf_page_find_or_make invented_page_find_or_make

static void invented_state_lock(nbuf_state *locked);
static bool invented_state_try_lock(nbuf_state *locked);
static void invented_state_unlock(nbuf_state *locked);
static bool invented_settings_private(void);
static nearbuf_dialect invented_settings_dialect(nearbuf_dialect preferred);
static void invented_locators_inherited(void);
static nbuf_result invented_locators_start(nbuf_state *of, uintptr_t base, uint8_t dialect,
                                           bool is_made);
static nbuf_result invented_page_find(bool wants_private, nbuf_page *page);
static nbuf_result invented_page_find_or_make(const nbuf_initial_items *initial, bool wants_private,
                                              nbuf_page *page);

#include "core/attach.c" /* NOLINT(bugprone-suspicious-include) */

#include "test.h"

#define CHECK_RESULT(expected, error, call)                                                        \
  do {                                                                                             \
    nbuf_result result_of_call = (call);                                                           \
    CHECK_STATUS(expected, result_of_call.status);                                                 \
    CHECK_EQUAL(error, result_of_call.system_error);                                               \
  } while (0)

enum { PAGE = 0x40000, REASON = 13, CODE = 5 };

static nbuf_state state;

static struct {
  bool is_locked; /* by this thread */
  bool is_locked_by_other;
  bool is_attached_meanwhile; /* by another thread, while this one waits for the lock */
  bool wants_private;
  nearbuf_dialect chosen; /* UNKNOWN: none */
  nbuf_page page;
  nbuf_result looking;
  nbuf_result starting;
  int looked;
  int noted; /* what the parent had */
  uintptr_t started;
  nearbuf_dialect started_in;
  nearbuf_dialect made_in;
} it;

static void invented_state_lock(nbuf_state *locked) {
  CHECK(locked == &state && !it.is_locked);
  it.is_locked = true;
  if (it.is_attached_meanwhile) {
    atomic_store(&state.attached, 1);
  }
}

static bool invented_state_try_lock(nbuf_state *locked) {
  if (it.is_locked_by_other) {
    return false;
  }
  invented_state_lock(locked);
  return true;
}

static void invented_state_unlock(nbuf_state *locked) {
  CHECK(locked == &state && it.is_locked);
  it.is_locked = false;
}

static bool invented_settings_private(void) {
  return it.wants_private;
}

static nearbuf_dialect invented_settings_dialect(nearbuf_dialect preferred) {
  return it.chosen != NEARBUF_DIALECT_UNKNOWN ? it.chosen : preferred;
}

static void invented_locators_inherited(void) {
  CHECK(it.is_locked && it.looked == it.noted);
  it.noted++;
}

static nbuf_result invented_locators_start(nbuf_state *of, uintptr_t base, uint8_t dialect,
                                           bool is_made) {
  CHECK(of == &state && it.is_locked);
  CHECK_EQUAL(0, atomic_load(&state.attached));
  CHECK_EQUAL(it.page.is_made, is_made);
  it.started = base;
  it.started_in = (nearbuf_dialect)dialect;
  return it.starting;
}

static nbuf_result invented_page_find(bool wants_private, nbuf_page *page) {
  CHECK(it.is_locked);
  CHECK_EQUAL(it.wants_private, wants_private);
  it.looked++;
  *page = it.page;
  return it.looking;
}

static nbuf_result invented_page_find_or_make(const nbuf_initial_items *initial, bool wants_private,
                                              nbuf_page *page) {
  CHECK_EQUAL(NBUF_FIRST_SLOT + 1, initial->count);
  CHECK_EQUAL(0x10000, initial->items[NBUF_FIRST_SLOT].base);
  CHECK_EQUAL(0, initial->items[NBUF_FIRST_SLOT - 1].base);
  it.made_in = initial->layout->dialect;
  return invented_page_find(wants_private, page);
}

static nbuf_result attach_or_make(bool *is_listed) {
  const nbuf_item item = {.base = 0x10000, .size = 4096, .taken = 1};
  nbuf_result result = nbuf_attach_or_make(&state, &item, NEARBUF_DIALECT_WRITTEN, is_listed);
  CHECK(!it.is_locked);
  return result;
}

TEST(an_attached_state_looks_for_nothing) {
  bool is_listed = true;
  atomic_store(&state.attached, 1);
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_attach(&state, true));
  CHECK_RESULT(NEARBUF_OK, 0, attach_or_make(&is_listed));
  CHECK(!is_listed);
  CHECK_EQUAL(0, it.looked);
}

TEST(a_page_is_looked_for_under_the_lock_and_the_state_attached_to_it) {
  it.page = (nbuf_page){.base = PAGE, .dialect_if_empty = NEARBUF_DIALECT_RUST};
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_attach(&state, true));
  CHECK(!it.is_locked && nbuf_is_attached(&state));
  CHECK_EQUAL(PAGE, it.started);
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, it.started_in);
  CHECK_EQUAL(1, it.noted);
}

TEST(a_caller_that_may_not_wait_is_told_that_another_thread_has_the_lock) {
  it.is_locked_by_other = true;
  CHECK_RESULT(NEARBUF_BUSY, 0, nbuf_attach(&state, false));
  CHECK_EQUAL(0, it.looked);
  it.is_locked_by_other = false;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_attach(&state, false));
  CHECK_EQUAL(1, it.looked);
}

TEST(what_another_thread_attached_to_meanwhile_is_not_looked_for) {
  bool is_listed = true;
  it.is_attached_meanwhile = true;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_attach(&state, true));
  atomic_store(&state.attached, 0);
  CHECK_RESULT(NEARBUF_OK, 0, attach_or_make(&is_listed));
  CHECK(!is_listed);
  CHECK_EQUAL(0, it.looked);
}

TEST(a_page_that_is_made_lists_the_item_in_the_chosen_layout) {
  bool is_listed = false;
  it.wants_private = true;
  it.chosen = NEARBUF_DIALECT_RUST;
  it.page =
      (nbuf_page){.base = PAGE, .is_made = true, .is_private = true, .private_reason = REASON};
  CHECK_RESULT(NEARBUF_OK, 0, attach_or_make(&is_listed));
  CHECK(is_listed && nbuf_is_attached(&state));
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, it.made_in);
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, it.started_in);
  CHECK_EQUAL(1, atomic_load(&state.is_private));
  CHECK_EQUAL(REASON, atomic_load(&state.private_reason));
  CHECK_EQUAL(1, it.noted);
}

TEST(one_that_was_made_meanwhile_does_not) {
  bool is_listed = true;
  it.page = (nbuf_page){.base = PAGE, .dialect_if_empty = NEARBUF_DIALECT_DOTNET};
  CHECK_RESULT(NEARBUF_OK, 0, attach_or_make(&is_listed));
  CHECK(!is_listed && nbuf_is_attached(&state));
  CHECK_EQUAL(NEARBUF_DIALECT_WRITTEN, it.made_in);
  CHECK_EQUAL(NEARBUF_DIALECT_DOTNET, it.started_in);
}

TEST(after_a_failure_the_state_is_not_attached_and_nothing_is_listed) {
  bool is_listed = true;
  it.page = (nbuf_page){.base = PAGE, .is_made = true};
  it.starting = nbuf_result_system(NEARBUF_INCOMPATIBLE, CODE);
  CHECK_RESULT(NEARBUF_INCOMPATIBLE, CODE, attach_or_make(&is_listed));
  CHECK(!is_listed && !nbuf_is_attached(&state));
  CHECK_RESULT(NEARBUF_INCOMPATIBLE, CODE, nbuf_attach(&state, true));
  CHECK(!it.is_locked && !nbuf_is_attached(&state));
  it.started = 0;
  it.looking = nbuf_result_system(NEARBUF_NOT_FOUND, CODE);
  CHECK_RESULT(NEARBUF_NOT_FOUND, CODE, attach_or_make(&is_listed));
  CHECK_RESULT(NEARBUF_NOT_FOUND, CODE, nbuf_attach(&state, true));
  CHECK_EQUAL(0, it.started);
  CHECK(!it.is_locked && !nbuf_is_attached(&state));
}
