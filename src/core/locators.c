/* The locators that this module knows; see locators.h. */
#include "core/locators.h"

#include "core/header.h"
#include "core/probe.h"
#include "os/os.h"
#include "os/pages.h"

/* ---- The table of known locators ------------------------------------------------------------- */

nbuf_locator_table nbuf_locators_known;

static nbuf_result make_room_for(uint32_t number) {
  if (number < NBUF_LOCATORS_AT_HAND) {
    return nbuf_result_of(NEARBUF_OK);
  }
  uint32_t block = (number - NBUF_LOCATORS_AT_HAND) / NBUF_LOCATORS_OF_BLOCK;
  if (block >= NBUF_LOCATORS_BLOCKS) {
    return nbuf_result_of(NEARBUF_OUT_OF_MEMORY);
  }
  if (nbuf_locators_known.blocks[block] == NULL) {
    nbuf_locators_known.blocks[block] = nbuf_os_own_pages(NBUF_LOCATORS_BLOCK);
  }
  if (nbuf_locators_known.blocks[block] == NULL) {
    return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, nbuf_os_last_error());
  }
  return nbuf_result_of(NEARBUF_OK);
}

/* ---- Validity -------------------------------------------------------------------------------- */

/* Recognises a locator and checks its bytes. */
static bool is_valid(uintptr_t base, uint8_t dialect_if_empty, nearbuf_dialect *dialect) {
  /* The thread that made the page released its contents together with its address. Finding the
   * address in a file or the memory map orders nothing. */
  if (nbuf_shared_address_acquire(base, sizeof(uintptr_t)) != base) {
    return false;
  }
  bool is_empty = nbuf_format_count(base, nbuf_native_layout(NEARBUF_DIALECT_UNKNOWN)) == 0;
  *dialect = nbuf_format_recognise(base, sizeof(uintptr_t), (nearbuf_dialect)dialect_if_empty);
  return (*dialect != NEARBUF_DIALECT_UNKNOWN || is_empty) &&
         nbuf_format_check(base, nbuf_native_layout(*dialect), base, NULL) == NBUF_FAULT_NONE;
}

/* Another implementation counts an item before it fills it in, and can clear the header while it
 * starts. So a locator that looks invalid is checked again: a few times, and within the bound as
 * long as the lock is held. */
static nbuf_result wait_until_valid(uintptr_t base, uint8_t dialect_if_empty,
                                    nearbuf_dialect *dialect) {
  nbuf_wait wait = nbuf_wait_start();
  for (int tries = 0; !is_valid(base, dialect_if_empty, dialect); tries++) {
    if (tries < 3) {
      nbuf_os_pause();
    } else if (!nbuf_locator_is_locked(base) || !nbuf_wait_on(&wait)) {
      return nbuf_result_of(NEARBUF_INCOMPATIBLE);
    }
    nbuf_page_restore_address(base);
  }
  return nbuf_result_of(NEARBUF_OK);
}

/* Recognises and checks a locator that this module did not make. */
static nbuf_result examine_locator(uintptr_t base, uint8_t dialect_if_empty,
                                   nearbuf_dialect *dialect) {
  if (base % sizeof(uintptr_t) != 0 || base > UINTPTR_MAX - NBUF_LOCATOR_SIZE) {
    return nbuf_result_of(NEARBUF_INCOMPATIBLE);
  }
  nbuf_result result = nbuf_probe_writable(base, NBUF_LOCATOR_SIZE);
  if (result.status == NEARBUF_OK) {
    result = wait_until_valid(base, dialect_if_empty, dialect);
  } else if (result.status == NEARBUF_NOT_FOUND) {
    result = nbuf_result_of(NEARBUF_INCOMPATIBLE);
  }
  return result;
}

/* Whether a thread or process is still filling in the item that was read as `seen`. */
static bool is_being_listed(const nbuf_locator *locator, uint32_t index, const nbuf_item *seen) {
  bool is_changing = nbuf_locator_is_locked(locator->base);
  nbuf_item now = nbuf_item_read(nbuf_locator_item(locator, index), nbuf_locator_layout(locator));
  return is_changing || now.base != seen->base || now.size != seen->size ||
         now.position != seen->position;
}

/* Whether another implementation listed the rest of the locator's own mapping, where that is not
 * safe. On POSIX systems a forked child shares that page. On Windows the Rust implementation may
 * lack the right to execute it. */
static bool is_in_mapping_of(const nbuf_locator *locator, uintptr_t buffer) {
  const nbuf_layout *layout = nbuf_locator_layout(locator);
  bool is_right =
      nbuf_page_lists_tail() && (layout->dialect != NEARBUF_DIALECT_RUST ||
                                 nbuf_format_is_hidden_from_dotnet(locator->base, layout));
  uintptr_t granule = nbuf_os_granularity();
  return !is_right && nbuf_align_down(buffer, granule) == nbuf_align_down(locator->base, granule);
}

/* OK; INCOMPATIBLE: pass the item over; NOT_FOUND: the item is invalid. */
static nbuf_result check_buffer(const nbuf_locator *locator, uint32_t index,
                                const nbuf_item *item) {
  const nbuf_layout *layout = nbuf_locator_layout(locator);
  if (nbuf_item_check(item, layout) != NBUF_FAULT_NONE ||
      nbuf_item_covers_locator(item, locator->base)) {
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  if (is_in_mapping_of(locator, (uintptr_t)item->base) ||
      nbuf_format_overlaps(locator->base, layout, index, nbuf_locator_count(locator))) {
    return nbuf_result_of(NEARBUF_INCOMPATIBLE);
  }
  return nbuf_probe_buffer((uintptr_t)item->base, item->size);
}

bool nbuf_locator_is_sound(nbuf_locator *locator, uint32_t index) {
  if (nbuf_locator_has_mark(locator->sound, index)) {
    return true;
  }
  nbuf_item item = nbuf_item_read(nbuf_locator_item(locator, index), nbuf_locator_layout(locator));
  nbuf_result result = check_buffer(locator, index, &item);
  if (result.status == NEARBUF_OK) {
    nbuf_locator_mark(locator->sound, index);
    return true;
  }
  bool is_unknown = result.status != NEARBUF_NOT_FOUND && result.status != NEARBUF_INCOMPATIBLE;
  if (is_unknown || is_being_listed(locator, index, &item)) {
    return false; /* the map could not be read, or the next check may see a complete item */
  }
  if (result.status == NEARBUF_NOT_FOUND) {
    atomic_store_explicit(&locator->is_damaged, true, memory_order_relaxed);
  } else {
    nbuf_locator_mark(locator->unusable, index);
  }
  return false;
}

/* Whether it is one of the first `length` locators. */
static bool is_known(uint32_t length, uintptr_t base) {
  for (uint32_t i = 0; i < length; i++) {
    if (nbuf_locators_entry(i)->base == base) {
      return true;
    }
  }
  return false;
}

/* Whether another implementation listed the rest of the locator's page as buffers: code may run
 * there, and a child must be able to go on running it. */
static bool has_buffers_in_page(uintptr_t base, const nbuf_layout *layout) {
  uintptr_t page = nbuf_os_page_size();
  uint32_t count = nbuf_format_count(base, layout);
  for (uint32_t i = 0; i < count; i++) {
    uintptr_t buffer = (uintptr_t)nbuf_item_read(nbuf_item_at(base, layout, i), layout).base;
    if (nbuf_align_down(buffer, page) == nbuf_align_down(base, page)) {
      return true;
    }
  }
  return false;
}

/* Adds the locator with this number. Two threads may do it at the same time: they store the same
 * values. */
static nbuf_result add(nbuf_state *state, uint32_t number, uintptr_t base, uint8_t dialect_if_empty,
                       bool is_made) {
  nearbuf_dialect dialect = (nearbuf_dialect)dialect_if_empty;
  if (is_known(number, base)) {
    return nbuf_result_of(NEARBUF_INCOMPATIBLE); /* a cycle in the locator chain */
  }
  nbuf_result result = make_room_for(number);
  if (result.status == NEARBUF_OK && !is_made) {
    result = examine_locator(base, dialect_if_empty, &dialect);
  }
  if (result.status != NEARBUF_OK) {
    return result;
  }
  nbuf_locator *added = nbuf_locators_entry(number);
  added->base = base;
  added->dialect = (uint8_t)dialect;
  added->is_kept_from_children =
      is_made || (!has_buffers_in_page(base, nbuf_native_layout(dialect)) &&
                  nbuf_page_keep_from_children(base));
  atomic_store_explicit(&added->is_given_up, false, memory_order_relaxed);
  atomic_store_explicit(&added->linked_since, 0, memory_order_relaxed);
  atomic_store_explicit(&added->is_damaged, false, memory_order_relaxed);
  nbuf_header_start(added, number == 0);
  for (uint32_t i = 0; i < NBUF_ORDERS_PER_LOCATOR / 32; i++) {
    atomic_store_explicit(&added->sound[i], 0, memory_order_relaxed);
    atomic_store_explicit(&added->unusable[i], 0, memory_order_relaxed);
  }
  if (is_made) {
    nbuf_locator_mark_sound(added, NBUF_FIRST_SLOT, nbuf_locator_count(added) - NBUF_FIRST_SLOT);
  }
  uint32_t length = number;
  if (atomic_compare_exchange_strong_explicit(&state->locators, &length, number + 1,
                                              memory_order_release, memory_order_relaxed)) {
    atomic_store_explicit(&nbuf_locators_known.known_before_fork, number + 1, memory_order_release);
  }
  return result;
}

nbuf_result nbuf_locators_start(nbuf_state *state, uintptr_t base, uint8_t dialect, bool is_made) {
  nbuf_result result = add(state, 0, base, dialect, is_made);
  uintptr_t inherited =
      atomic_load_explicit(&nbuf_locators_known.inherited_first, memory_order_relaxed);
  if (result.status == NEARBUF_OK && inherited != 0) {
    nbuf_page_link_full_stub(inherited, base);
  }
  return result;
}

/* The dialect of a locator without items that follows `locator`. Ours are never empty, so the other
 * implementation that uses `locator` made it. Behind a Rust locator of ours it may be either. */
static uint8_t dialect_of_empty_behind(const nbuf_locator *locator) {
  bool may_be_either =
      nbuf_format_is_hidden_from_dotnet(locator->base, nbuf_locator_layout(locator));
  return may_be_either ? NEARBUF_DIALECT_UNKNOWN : locator->dialect;
}

/* Whether the link of a locked header has been set for longer than the bound: then the locator that
 * it leads to is complete, whatever happened to the holder. For callers that do not wait. */
static bool is_linked_for_long(nbuf_locator *locator) {
  uint32_t now = (uint32_t)(nbuf_os_nanoseconds() >> NBUF_LINKED_SINCE_SHIFT) | 1;
  uint32_t since = 0;
  return !atomic_compare_exchange_strong_explicit(&locator->linked_since, &since, now,
                                                  memory_order_relaxed, memory_order_relaxed) &&
         now - since > NBUF_WAIT_BOUND_NS >> NBUF_LINKED_SINCE_SHIFT;
}

/* Adds the locator behind the last one. The other implementations link a locator first and fill it
 * in afterwards, under the lock of the one before it: the holder of that lock sees it complete. */
static nbuf_result add_next(nbuf_state *state, bool may_wait) {
  uint32_t number = nbuf_locators_length(state);
  nbuf_locator *last = nbuf_locators_entry(number - 1);
  uintptr_t next = nbuf_header_link(last);
  if (next == 0) {
    return nbuf_result_of(NEARBUF_OK);
  }
  if (may_wait ? nbuf_header_lock(last) : nbuf_header_try_lock(last)) {
    nbuf_header_unlock(last);
  } else if (!atomic_load_explicit(&last->is_given_up, memory_order_relaxed) &&
             !is_linked_for_long(last)) {
    return nbuf_result_of(NEARBUF_BUSY);
  }
  return add(state, number, next, dialect_of_empty_behind(last), false);
}

nbuf_result nbuf_locators_extend_slowly(nbuf_state *state, bool may_wait) {
  nbuf_result result = nbuf_result_of(NEARBUF_OK);
  while (result.status == NEARBUF_OK && !nbuf_locators_are_all(state)) {
    if (may_wait) {
      nbuf_state_lock(state);
    } else if (!nbuf_state_try_lock(state)) {
      return nbuf_result_of(NEARBUF_BUSY);
    }
    result = add_next(state, may_wait);
    nbuf_state_unlock(state);
  }
  return result;
}

void nbuf_locators_inherited(void) {
  uint32_t count =
      atomic_load_explicit(&nbuf_locators_known.known_before_fork, memory_order_acquire);
  if (count > 0) {
    atomic_store_explicit(&nbuf_locators_known.inherited_first, nbuf_locators_entry(0)->base,
                          memory_order_relaxed);
  }
  for (uint32_t i = 0; i < count; i++) {
    if (nbuf_locators_entry(i)->is_kept_from_children) {
      nbuf_page_leave_full_stub(nbuf_locators_entry(i)->base);
    }
  }
}

void nbuf_locators_end(void) {
  for (uint32_t block = 0; block < NBUF_LOCATORS_BLOCKS; block++) {
    if (nbuf_locators_known.blocks[block] != NULL) {
      (void)nbuf_os_unmap((uintptr_t)nbuf_locators_known.blocks[block], NBUF_LOCATORS_BLOCK);
      nbuf_locators_known.blocks[block] = NULL;
    }
  }
  atomic_store_explicit(&nbuf_locators_known.known_before_fork, 0, memory_order_relaxed);
  atomic_store_explicit(&nbuf_locators_known.inherited_first, 0, memory_order_relaxed);
}
