/* The locators that this module knows; see locators.h. */
#include "core/locators.h"

#include "core/header.h"
#include "core/probe.h"
#include "os/os.h"
#include "os/pages.h"

/* ---- The table of known locators ------------------------------------------------------------- */

enum {
  ENTRIES_AT_HAND = 32,
  BLOCK_SIZE = 4096,
  ENTRIES_OF_BLOCK = BLOCK_SIZE / sizeof(nb_locator),
  MOST_BLOCKS = 512 /* more locators than a Linux process can have mappings */
};

/* In the order of use: what the first call accesses is adjacent, mostly on one page. */
static struct {
  /* As state->locators, but not wiped by fork: where the child has to put full stubs. */
  _Atomic uint32_t known_before_fork;
  /* The first locator of the process from which this one was forked, or 0. */
  _Atomic uintptr_t inherited_first;
  nb_locator at_hand[ENTRIES_AT_HAND];
  nb_locator *blocks[MOST_BLOCKS];
} table;

nb_locator *nb_locators_entry(uint32_t number) {
  if (number < ENTRIES_AT_HAND) {
    return &table.at_hand[number];
  }
  uint32_t beyond = number - ENTRIES_AT_HAND;
  return &table.blocks[beyond / ENTRIES_OF_BLOCK][beyond % ENTRIES_OF_BLOCK];
}

static nb_result make_room_for(uint32_t number) {
  if (number < ENTRIES_AT_HAND) {
    return nb_result_of(NEARBUF_OK);
  }
  uint32_t block = (number - ENTRIES_AT_HAND) / ENTRIES_OF_BLOCK;
  if (block >= MOST_BLOCKS) {
    return nb_result_of(NEARBUF_OUT_OF_MEMORY);
  }
  if (table.blocks[block] == NULL) {
    table.blocks[block] = nb_os_own_pages(BLOCK_SIZE);
  }
  if (table.blocks[block] == NULL) {
    return nb_result_system(NEARBUF_OUT_OF_MEMORY, nb_os_last_error());
  }
  return nb_result_of(NEARBUF_OK);
}

uint32_t nb_locators_length(const nb_state *state) {
  return atomic_load_explicit(&state->locators, memory_order_acquire);
}

/* ---- Validity -------------------------------------------------------------------------------- */

/* Recognises a locator and checks its bytes. */
static bool is_valid(uintptr_t base, uint8_t dialect_if_empty, nearbuf_dialect *dialect) {
  /* The thread that made the page released its contents together with its address. Finding the
   * address in a file or the memory map orders nothing. */
  if (nb_shared_address_acquire(base, sizeof(uintptr_t)) != base) {
    return false;
  }
  bool is_empty = nb_format_count(base, nb_native_layout(NEARBUF_DIALECT_UNKNOWN)) == 0;
  *dialect = nb_format_recognise(base, sizeof(uintptr_t), (nearbuf_dialect)dialect_if_empty);
  return (*dialect != NEARBUF_DIALECT_UNKNOWN || is_empty) &&
         nb_format_check(base, nb_native_layout(*dialect), base, NULL) == NB_FAULT_NONE;
}

static bool is_locked(uintptr_t base) {
  return nb_shared_load_acquire(base + nb_native_layout(NEARBUF_DIALECT_UNKNOWN)->locked) == 1;
}

/* Another implementation counts an item before it fills it in, and can clear the header while it
 * starts. So a locator that looks invalid is checked again: a few times, and within the bound as
 * long as the lock is held. */
static nb_result wait_until_valid(uintptr_t base, uint8_t dialect_if_empty,
                                  nearbuf_dialect *dialect) {
  nb_wait wait = nb_wait_start();
  for (int tries = 0; !is_valid(base, dialect_if_empty, dialect); tries++) {
    if (tries < 3) {
      nb_os_pause();
    } else if (!is_locked(base) || !nb_wait_on(&wait)) {
      return nb_result_of(NEARBUF_INCOMPATIBLE);
    }
    nb_page_restore_address(base);
  }
  return nb_result_of(NEARBUF_OK);
}

/* Recognises and checks a locator that this module did not make. */
static nb_result examine_locator(uintptr_t base, uint8_t dialect_if_empty,
                                 nearbuf_dialect *dialect) {
  if (base % sizeof(uintptr_t) != 0 || base > UINTPTR_MAX - NB_LOCATOR_SIZE) {
    return nb_result_of(NEARBUF_INCOMPATIBLE);
  }
  nb_result result = nb_mapped_check_writable(base, NB_LOCATOR_SIZE);
  if (result.status == NEARBUF_OK) {
    result = wait_until_valid(base, dialect_if_empty, dialect);
  } else if (result.status == NEARBUF_NOT_FOUND) {
    result = nb_result_of(NEARBUF_INCOMPATIBLE);
  }
  return result;
}

/* Whether a thread or process is still filling in the item that was read as `seen`. */
static bool is_being_listed(const nb_locator *locator, uint32_t index, const nb_item *seen) {
  bool is_changing = is_locked(locator->base);
  nb_item now = nb_item_read(nb_locator_item(locator, index), nb_locator_layout(locator));
  return is_changing || now.base != seen->base || now.size != seen->size ||
         now.position != seen->position;
}

static bool has_mark(const _Atomic uint32_t *marks, uint32_t index) {
  return (atomic_load_explicit(&marks[index / 32], memory_order_relaxed) >> index % 32 & 1) != 0;
}

static void mark(_Atomic uint32_t *marks, uint32_t index) {
  atomic_fetch_or_explicit(&marks[index / 32], UINT32_C(1) << index % 32, memory_order_relaxed);
}

void nb_locator_mark_sound(nb_locator *locator, uint32_t first, uint32_t count) {
  for (uint32_t i = first; i < first + count; i++) {
    mark(locator->sound, i);
  }
}

bool nb_locator_is_passed_over(const nb_locator *locator, uint32_t index) {
  return has_mark(locator->unusable, index);
}

/* Whether another implementation listed the rest of the locator's own mapping, where that is not
 * safe. On POSIX systems a forked child shares that page. On Windows the Rust implementation may
 * lack the right to execute it. */
static bool is_in_mapping_of(const nb_locator *locator, uintptr_t buffer) {
  const nb_layout *layout = nb_locator_layout(locator);
  bool is_right = nb_page_lists_tail() && (layout->dialect != NEARBUF_DIALECT_RUST ||
                                           nb_format_is_hidden_from_dotnet(locator->base, layout));
  uintptr_t granule = nb_os_granularity();
  return !is_right && nb_align_down(buffer, granule) == nb_align_down(locator->base, granule);
}

/* OK; INCOMPATIBLE: pass the item over; NOT_FOUND: the item is invalid. */
static nb_result check_buffer(const nb_locator *locator, uint32_t index, const nb_item *item) {
  const nb_layout *layout = nb_locator_layout(locator);
  if (nb_item_check(item, layout) != NB_FAULT_NONE || nb_item_covers_locator(item, locator->base)) {
    return nb_result_of(NEARBUF_NOT_FOUND);
  }
  if (is_in_mapping_of(locator, (uintptr_t)item->base) ||
      nb_format_overlaps(locator->base, layout, index, nb_locator_count(locator))) {
    return nb_result_of(NEARBUF_INCOMPATIBLE);
  }
  return nb_mapped_check_buffer((uintptr_t)item->base, item->size);
}

bool nb_locator_is_sound(nb_locator *locator, uint32_t index) {
  if (has_mark(locator->sound, index)) {
    return true;
  }
  nb_item item = nb_item_read(nb_locator_item(locator, index), nb_locator_layout(locator));
  nb_result result = check_buffer(locator, index, &item);
  if (result.status == NEARBUF_OK) {
    mark(locator->sound, index);
    return true;
  }
  bool is_unknown = result.status != NEARBUF_NOT_FOUND && result.status != NEARBUF_INCOMPATIBLE;
  if (is_unknown || is_being_listed(locator, index, &item)) {
    return false; /* the map could not be read, or the next check may see a complete item */
  }
  if (result.status == NEARBUF_NOT_FOUND) {
    atomic_store_explicit(&locator->is_damaged, true, memory_order_relaxed);
  } else {
    mark(locator->unusable, index);
  }
  return false;
}

/* Whether it is one of the first `length` locators. */
static bool is_known(uint32_t length, uintptr_t base) {
  for (uint32_t i = 0; i < length; i++) {
    if (nb_locators_entry(i)->base == base) {
      return true;
    }
  }
  return false;
}

/* Whether another implementation listed the rest of the locator's page as buffers: code may run
 * there, and a child must be able to go on running it. */
static bool has_buffers_in_page(uintptr_t base, const nb_layout *layout) {
  uintptr_t page = nb_os_page_size();
  uint32_t count = nb_format_count(base, layout);
  for (uint32_t i = 0; i < count; i++) {
    uintptr_t buffer = (uintptr_t)nb_item_read(nb_item_at(base, layout, i), layout).base;
    if (nb_align_down(buffer, page) == nb_align_down(base, page)) {
      return true;
    }
  }
  return false;
}

/* Adds the locator with this number. Two threads may do it at the same time: they store the same
 * values. */
static nb_result add(nb_state *state, uint32_t number, uintptr_t base, uint8_t dialect_if_empty,
                     bool is_made) {
  nearbuf_dialect dialect = (nearbuf_dialect)dialect_if_empty;
  if (is_known(number, base)) {
    return nb_result_of(NEARBUF_INCOMPATIBLE); /* a cycle in the locator chain */
  }
  nb_result result = make_room_for(number);
  if (result.status == NEARBUF_OK && !is_made) {
    result = examine_locator(base, dialect_if_empty, &dialect);
  }
  if (result.status != NEARBUF_OK) {
    return result;
  }
  nb_locator *added = nb_locators_entry(number);
  added->base = base;
  added->dialect = (uint8_t)dialect;
  added->is_kept_from_children =
      is_made ||
      (!has_buffers_in_page(base, nb_native_layout(dialect)) && nb_page_keep_from_children(base));
  atomic_store_explicit(&added->is_given_up, false, memory_order_relaxed);
  atomic_store_explicit(&added->linked_since, 0, memory_order_relaxed);
  atomic_store_explicit(&added->is_damaged, false, memory_order_relaxed);
  nb_header_start(added, number == 0);
  for (uint32_t i = 0; i < NB_ORDERS_PER_LOCATOR / 32; i++) {
    atomic_store_explicit(&added->sound[i], 0, memory_order_relaxed);
    atomic_store_explicit(&added->unusable[i], 0, memory_order_relaxed);
  }
  if (is_made) {
    uint32_t slot = nb_page_first_slot();
    nb_locator_mark_sound(added, slot, nb_locator_count(added) - slot);
  }
  uint32_t length = number;
  if (atomic_compare_exchange_strong_explicit(&state->locators, &length, number + 1,
                                              memory_order_release, memory_order_relaxed)) {
    atomic_store_explicit(&table.known_before_fork, number + 1, memory_order_release);
  }
  return result;
}

nb_result nb_locators_start(nb_state *state, uintptr_t base, uint8_t dialect, bool is_made) {
  nb_result result = add(state, 0, base, dialect, is_made);
  uintptr_t inherited = atomic_load_explicit(&table.inherited_first, memory_order_relaxed);
  if (result.status == NEARBUF_OK && inherited != 0) {
    nb_page_link_full_stub(inherited, base);
  }
  return result;
}

static uintptr_t link_of_last(const nb_state *state) {
  return nb_header_link(nb_locators_entry(nb_locators_length(state) - 1));
}

/* The dialect of a locator without items that follows `locator`. Ours are never empty, so the other
 * implementation that uses `locator` made it. Behind a Rust locator of ours it may be either. */
static uint8_t dialect_of_empty_behind(const nb_locator *locator) {
  bool may_be_either = nb_format_is_hidden_from_dotnet(locator->base, nb_locator_layout(locator));
  return may_be_either ? NEARBUF_DIALECT_UNKNOWN : locator->dialect;
}

/* Whether the link of a locked header has been set for longer than the bound: then the locator that
 * it leads to is complete, whatever happened to the holder. For callers that do not wait. */
static bool is_linked_for_long(nb_locator *locator) {
  uint32_t now = (uint32_t)(nb_os_nanoseconds() >> NB_LINKED_SINCE_SHIFT) | 1;
  uint32_t since = 0;
  return !atomic_compare_exchange_strong_explicit(&locator->linked_since, &since, now,
                                                  memory_order_relaxed, memory_order_relaxed) &&
         now - since > NB_WAIT_BOUND_NS >> NB_LINKED_SINCE_SHIFT;
}

/* Adds the locator behind the last one. The other implementations link a locator first and fill it
 * in afterwards, under the lock of the one before it: the holder of that lock sees it complete. */
static nb_result add_next(nb_state *state, bool may_wait) {
  uint32_t number = nb_locators_length(state);
  nb_locator *last = nb_locators_entry(number - 1);
  uintptr_t next = nb_header_link(last);
  if (next == 0) {
    return nb_result_of(NEARBUF_OK);
  }
  if (may_wait ? nb_header_lock(last) : nb_header_try_lock(last)) {
    nb_header_unlock(last);
  } else if (!atomic_load_explicit(&last->is_given_up, memory_order_relaxed) &&
             !is_linked_for_long(last)) {
    return nb_result_of(NEARBUF_BUSY);
  }
  return add(state, number, next, dialect_of_empty_behind(last), false);
}

nb_result nb_locators_extend(nb_state *state, bool may_wait) {
  nb_result result = nb_result_of(NEARBUF_OK);
  while (result.status == NEARBUF_OK && link_of_last(state) != 0) {
    if (may_wait) {
      nb_state_lock(state);
    } else if (!nb_state_try_lock(state)) {
      return nb_result_of(NEARBUF_BUSY);
    }
    result = add_next(state, may_wait);
    nb_state_unlock(state);
  }
  return result;
}

void nb_locators_inherited(void) {
  uint32_t count = atomic_load_explicit(&table.known_before_fork, memory_order_acquire);
  if (count > 0) {
    atomic_store_explicit(&table.inherited_first, nb_locators_entry(0)->base, memory_order_relaxed);
  }
  for (uint32_t i = 0; i < count; i++) {
    if (nb_locators_entry(i)->is_kept_from_children) {
      nb_page_leave_full_stub(nb_locators_entry(i)->base);
    }
  }
}

void nb_locators_end(void) {
  for (uint32_t block = 0; block < MOST_BLOCKS; block++) {
    if (table.blocks[block] != NULL) {
      (void)nb_os_unmap((uintptr_t)table.blocks[block], BLOCK_SIZE);
      table.blocks[block] = NULL;
    }
  }
  atomic_store_explicit(&table.known_before_fork, 0, memory_order_relaxed);
  atomic_store_explicit(&table.inherited_first, 0, memory_order_relaxed);
}
