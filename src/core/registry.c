/* Items of the locators: take, register, grow; see registry.h.
 *
 * Lock order: the state's lock, then a header's lock. An item's lock is never waited for, and never
 * taken while waiting for a header's lock. No thread holds a header's lock during a system call. */
#include "core/registry.h"

#include "core/header.h"
#include "os/os.h"
#include "os/pages.h"

/* ---- Cursors --------------------------------------------------------------------------------- */

static uint32_t size_class(uint32_t size) {
  return nbuf_highest_bit(size);
}

/* Lowers the mark below which a release checks the cursors; otherwise one pass over held items
 * would slow down every release permanently. A cursor that advances meanwhile may end above the
 * mark: the next full walk then finds the items before it. */
void nbuf_registry_move_cursors_back(nbuf_state *state, uint32_t order, uint32_t room) {
  uint32_t classes = room == 0 ? 0 : size_class(room) + 1;
  uint32_t highest = 0;
  for (uint32_t c = 0; c < NBUF_SIZE_CLASSES; c++) {
    uint32_t cursor = atomic_load_explicit(&state->cursors[c], memory_order_relaxed);
    while (c < classes && order < cursor &&
           !atomic_compare_exchange_weak_explicit(&state->cursors[c], &cursor, order,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    cursor = c < classes && order < cursor ? order : cursor;
    highest = cursor > highest ? cursor : highest;
  }
  atomic_store_explicit(&state->highest_cursor, highest, memory_order_relaxed);
}

/* The order of an item, by its address. */
static bool find_order(const nbuf_state *state, uintptr_t item, uint32_t *order) {
  for (uint32_t number = nbuf_locators_length(state); number-- > 0;) {
    const nbuf_locator *locator = nbuf_locators_entry(number);
    if (item - locator->base < NBUF_LOCATOR_SIZE) {
      uint32_t offset = (uint32_t)(item - nbuf_locator_item(locator, 0));
      *order = number * NBUF_ORDERS_PER_LOCATOR + offset / nbuf_locator_layout(locator)->item_size;
      return true;
    }
  }
  return false;
}

void nbuf_registry_released_item(nbuf_state *state, uintptr_t item, uint32_t room) {
  uint32_t order;
  if (find_order(state, item, &order)) {
    nbuf_registry_released(state, order, room);
  }
}

static void set_cursor(nbuf_state *state, uint32_t class, uint32_t order) {
  atomic_store_explicit(&state->cursors[class], order, memory_order_relaxed);
  uint32_t highest = atomic_load_explicit(&state->highest_cursor, memory_order_relaxed);
  while (highest < order &&
         !atomic_compare_exchange_weak_explicit(&state->highest_cursor, &highest, order,
                                                memory_order_relaxed, memory_order_relaxed)) {
  }
}

bool nbuf_registry_is_full_walk_due(nbuf_state *state) {
  uint32_t registered = atomic_load_explicit(&state->since_full_walk, memory_order_relaxed);
  uint32_t passed = atomic_load_explicit(&state->highest_cursor, memory_order_relaxed);
  if (registered == 0 || registered < passed / 8) {
    return false;
  }
  atomic_store_explicit(&state->since_full_walk, 0, memory_order_relaxed);
  return true;
}

/* ---- Taking ---------------------------------------------------------------------------------- */

/* A walk along the chain for one request. */
typedef struct locator_walk {
  nbuf_state *state;
  const nbuf_constraint *constraint;
  nbuf_hint *mine;
  nbuf_acquired *acquired;
  bool *is_held;
  uint32_t class;
  uint32_t looks_for_others; /* held items still to look up in other threads' hints */
  bool wants_unshared;       /* threads contend: take only an unshared item */
  bool is_all_passable;      /* so far every item is held or too full for the class */
  bool has_passed_held;
} locator_walk;

/* Whether no other thread of this module uses the item's cache lines. */
static bool is_unshared_for(locator_walk *walk, uint32_t index, nbuf_item_ref ref) {
  return nbuf_is_unshared_slot(index) &&
         !nbuf_hints_elsewhere(&walk->state->hints, walk->mine, ref);
}

static void notice_held(locator_walk *walk, nbuf_item_ref ref) {
  *walk->is_held = true;
  if (!walk->wants_unshared && walk->looks_for_others > 0) {
    walk->looks_for_others--;
    if (nbuf_hints_elsewhere(&walk->state->hints, walk->mine, ref)) {
      atomic_store_explicit(&walk->state->contended, 1, memory_order_relaxed);
      walk->wants_unshared = true;
    }
  }
}

/* Reads one item without locking it, and locks it if it fits. */
static bool try_item(locator_walk *walk, nbuf_locator *locator, uint32_t index) {
  const nbuf_layout *layout = nbuf_locator_layout(locator);
  uintptr_t item = nbuf_locator_item(locator, index);
  nbuf_item_ref ref = nbuf_item_ref_of(item, layout);
  nbuf_item seen = nbuf_item_read(item, layout);
  uint32_t room = seen.position < seen.size ? seen.size - seen.position : 0;
  if (room >> walk->class != 0) {
    walk->is_all_passable = walk->is_all_passable && seen.taken != 0;
    walk->has_passed_held = walk->has_passed_held || walk->is_all_passable;
  }
  nbuf_acquired as_seen = {
      .base = (uintptr_t)seen.base, .size = seen.size, .position = seen.position};
  if (seen.base == 0 || !nbuf_acquired_fits(walk->constraint, &as_seen) ||
      (walk->constraint->must_end_inside && as_seen.limit < as_seen.size)) {
    return false;
  }
  if (seen.taken != 0) {
    notice_held(walk, ref);
    return false;
  }
  if ((walk->wants_unshared && !is_unshared_for(walk, index, ref)) ||
      !nbuf_locator_is_sound(locator, index)) {
    return false;
  }
  if (!nbuf_item_acquire(ref, walk->constraint, walk->acquired)) {
    notice_held(walk, ref);
    return false;
  }
  return true;
}

/* Walks over the items of one locator from `index` on. Returns the index of the item that it took,
 * or the count if it took none; advances `*passed` over items that need not be read again. */
static uint32_t walk_one(locator_walk *walk, uint32_t number, uint32_t index, bool *is_found,
                         uint32_t *passed) {
  nbuf_locator *locator = nbuf_locators_entry(number);
  bool is_of_use =
      walk->constraint->only_dialect == 0 || walk->constraint->only_dialect == locator->dialect;
  uint32_t count = is_of_use ? nbuf_locator_count(locator) : 0;
  for (; index < count; index++) {
    if (atomic_load_explicit(&locator->is_damaged, memory_order_relaxed)) {
      break;
    }
    *is_found = !nbuf_locator_is_passed_over(locator, index) && try_item(walk, locator, index);
    if (*is_found) {
      return index;
    }
    *passed = walk->is_all_passable ? number * NBUF_ORDERS_PER_LOCATOR + index + 1 : *passed;
  }
  bool is_read_out = count == nbuf_locator_layout(locator)->capacity;
  *passed = is_read_out && walk->is_all_passable ? (number + 1) * NBUF_ORDERS_PER_LOCATOR : *passed;
  return index;
}

bool nbuf_registry_take(nbuf_state *state, const nbuf_constraint *constraint, bool from_start,
                        nbuf_acquired *acquired, bool *is_held) {
  locator_walk walk = {.state = state,
                       .constraint = constraint,
                       .mine = nbuf_hints_mine(&state->hints),
                       .acquired = acquired,
                       .is_held = is_held,
                       .class = size_class((uint32_t)constraint->size),
                       .looks_for_others = 4,
                       .wants_unshared =
                           atomic_load_explicit(&state->contended, memory_order_relaxed) != 0,
                       .is_all_passable = constraint->only_dialect == 0};
  _Atomic uint32_t *cursor = &state->cursors[walk.class];
  uint32_t start = from_start ? 0 : atomic_load_explicit(cursor, memory_order_relaxed);
  uint32_t passed = start;
  uint32_t index = start % NBUF_ORDERS_PER_LOCATOR;
  bool is_found = false;
  *is_held = false;
  for (uint32_t number = start / NBUF_ORDERS_PER_LOCATOR; number < nbuf_locators_length(state);
       number++) {
    index = walk_one(&walk, number, index, &is_found, &passed);
    if (is_found) {
      acquired->order = number * NBUF_ORDERS_PER_LOCATOR + index;
      break;
    }
    index = 0;
  }
  if (passed > start) {
    set_cursor(state, walk.class, passed);
  }
  _Atomic bool *has_passed_held = &state->has_passed_held[walk.class];
  bool had_before = !from_start && atomic_load_explicit(has_passed_held, memory_order_relaxed);
  atomic_store_explicit(has_passed_held, had_before || walk.has_passed_held, memory_order_relaxed);
  *is_held = *is_held || had_before;
  return is_found;
}

/* ---- Registering ----------------------------------------------------------------------------- */

/* The items that a region becomes; the last one is the acquired one. */
typedef struct batch {
  nbuf_item items[NBUF_UNSHARED_STRIDE];
  uint32_t count;
} batch;

/* Divides a region that will be listed from index `first` on, where `slots` are free. Once threads
 * contend, small pieces come first, so that the acquired rest gets an unshared slot. */
static batch cut(const nbuf_state *state, const nbuf_listing *listing, uint32_t first,
                 uint32_t slots) {
  batch items = {.count = 1};
  uintptr_t start = listing->start;
  uintptr_t piece = nbuf_os_granularity();
  if (atomic_load_explicit(&state->contended, memory_order_relaxed) != 0) {
    uint32_t before_unshared =
        (NBUF_UNSHARED_INDEX + NBUF_UNSHARED_STRIDE - first % NBUF_UNSHARED_STRIDE) %
        NBUF_UNSHARED_STRIDE;
    if (before_unshared < slots && before_unshared * piece <= listing->spare) {
      items.count = before_unshared + 1;
    }
  }
  for (uint32_t i = 0; i + 1 < items.count; i++, start += piece) {
    items.items[i] = (nbuf_item){.base = start, .size = (uint32_t)piece};
  }
  uintptr_t rest = listing->size - (start - listing->start);
  items.items[items.count - 1] = (nbuf_item){.base = start, .size = (uint32_t)rest, .taken = 1};
  return items;
}

/* Describes the last item of a batch that was listed from index `first` on as the acquired one. */
static void hold_last(uintptr_t locator, const nbuf_layout *layout, uint32_t first,
                      const batch *items, nbuf_acquired *acquired) {
  uint32_t last = items->count - 1;
  acquired->ref = nbuf_item_ref_of(nbuf_item_at(locator, layout, first + last), layout);
  acquired->base = (uintptr_t)items->items[last].base;
  acquired->size = items->items[last].size;
  acquired->position = 0;
}

static bool has_free_slot(const nbuf_locator *locator, const nbuf_listing *listing) {
  return locator->dialect != NEARBUF_DIALECT_UNKNOWN &&
         !atomic_load_explicit(&locator->is_given_up, memory_order_relaxed) &&
         !atomic_load_explicit(&locator->is_damaged, memory_order_relaxed) &&
         (listing->only_dialect == 0 || listing->only_dialect == locator->dialect) &&
         nbuf_locator_count(locator) < nbuf_locator_layout(locator)->capacity;
}

/* Takes an empty slot of the first locator by the lock of its item. The header's lock is not
 * sufficient: its holder loses it when another implementation clears the header, and then another
 * thread lists at the same time. */
static bool take_slot(const nbuf_locator *locator, uint32_t index) {
  uintptr_t item = nbuf_locator_item(locator, index);
  if (!nbuf_item_try_lock_in(item, nbuf_locator_layout(locator))) {
    return false;
  }
  if (nbuf_item_base(item) != 0) {
    nbuf_item_unlock_in(item, nbuf_locator_layout(locator));
    return false;
  }
  return true;
}

/* Takes all of these slots or none. No library clears the header of a later locator, and a slot
 * that another implementation has not used yet may contain arbitrary bytes. */
static bool take_slots(const nbuf_locator *locator, uint32_t first, uint32_t count) {
  if (!locator->is_first) {
    return true;
  }
  uint32_t had = 0;
  while (had < count && take_slot(locator, first + had)) {
    had++;
  }
  for (uint32_t i = 0; had < count && i < had; i++) {
    nbuf_item_unlock_in(nbuf_locator_item(locator, first + i), nbuf_locator_layout(locator));
  }
  return had == count;
}

/* Fills an empty slot that was taken; unlocks it unless the item is to be held. */
static void fill_slot(uintptr_t slot, const nbuf_layout *layout, const nbuf_item *item) {
  nbuf_item held = *item;
  held.taken = 1;
  nbuf_item_write(slot, layout, &held);
  if (item->taken == 0) {
    nbuf_item_unlock_in(slot, layout);
  }
}

/* Lists the region from slot `first` on. The caller holds the header's lock. False: a slot is not
 * free. */
static bool list_at(nbuf_state *state, nbuf_locator *locator, uint32_t number, uint32_t first,
                    const nbuf_listing *listing, nbuf_acquired *acquired) {
  const nbuf_layout *layout = nbuf_locator_layout(locator);
  batch items = cut(state, listing, first, layout->capacity - first);
  if (!take_slots(locator, first, items.count)) {
    return false;
  }
  for (uint32_t i = 0; i < items.count; i++) {
    fill_slot(nbuf_locator_item(locator, first + i), layout, &items.items[i]);
  }
  if (nbuf_locator_count(locator) < first + items.count) {
    nbuf_format_store_count(locator->base, layout, first + items.count);
  }
  nbuf_locator_mark_sound(locator, first, items.count);
  hold_last(locator->base, layout, first, &items, acquired);
  acquired->order = number * NBUF_ORDERS_PER_LOCATOR + first + items.count - 1;
  return true;
}

static bool register_in(nbuf_state *state, uint32_t number, const nbuf_listing *listing,
                        nbuf_acquired *acquired) {
  nbuf_locator *locator = nbuf_locators_entry(number);
  if (!has_free_slot(locator, listing) || !nbuf_header_lock(locator)) {
    return false;
  }
  uint32_t capacity = nbuf_locator_layout(locator)->capacity;
  uint32_t first = nbuf_locator_count(locator);
  while (first < capacity && !list_at(state, locator, number, first, listing, acquired)) {
    first++;
  }
  nbuf_header_unlock(locator);
  return first < capacity;
}

/* ---- Growing --------------------------------------------------------------------------------- */

/* A page that is larger than a locator has room for later ones, unless another implementation
 * listed it as buffers, or the lock that guards the room cannot be taken. Returns the address of
 * the next one behind `last`, 0: none. */
static uintptr_t next_in_page(const nbuf_locator *last) {
  uintptr_t page_size = nbuf_os_page_size();
  const nbuf_locator *first = nbuf_locators_entry(0);
  uintptr_t page = nbuf_align_down(first->base, page_size);
  uintptr_t next = last->base + NBUF_LOCATOR_SIZE;
  if (nbuf_page_lists_tail() || last->base < page || next - page >= page_size ||
      first->base != page || atomic_load_explicit(&last->is_given_up, memory_order_relaxed)) {
    return 0;
  }
  for (uint32_t i = 0; i < nbuf_locator_count(first); i++) {
    nbuf_item item = nbuf_item_read(nbuf_locator_item(first, i), nbuf_locator_layout(first));
    if (nbuf_align_down((uintptr_t)item.base, page_size) == page) {
      return 0;
    }
  }
  return next;
}

/* The layout of a locator that this module adds. The Rust layout is the one that neither other
 * implementation damages, so it is used if the first locator does not show which of them are
 * present. */
static const nbuf_layout *layout_to_add(const nbuf_listing *listing) {
  uint8_t of_first = nbuf_locators_entry(0)->dialect;
  bool is_rust = listing->only_dialect == NEARBUF_DIALECT_RUST ||
                 of_first == NEARBUF_DIALECT_RUST || of_first == NEARBUF_DIALECT_UNKNOWN;
  return nbuf_native_layout(is_rust ? NEARBUF_DIALECT_RUST : NEARBUF_DIALECT_WRITTEN);
}

/* Makes a locator that lists the region, and links it to the end of the chain. `*added` is its
 * address. OK with `*added` 0: another thread or process linked one first, or the room in the page
 * could not be taken; the caller tries again. */
static nbuf_result grow(nbuf_state *state, const nbuf_listing *listing, nbuf_acquired *acquired,
                        uintptr_t *added) {
  nbuf_locator *last = nbuf_locators_entry(nbuf_locators_length(state) - 1);
  if (atomic_load_explicit(&last->is_damaged, memory_order_relaxed)) {
    return nbuf_result_of(NEARBUF_INCOMPATIBLE); /* nothing is written to it, not even a link */
  }
  const nbuf_layout *layout = layout_to_add(listing);
  batch items = cut(state, listing, 0, layout->capacity);
  nbuf_initial_items initial = {layout, items.items, items.count};
  nbuf_page page = {.base = next_in_page(last)};
  bool is_own_page = page.base == 0;
  if (is_own_page) {
    bool is_private = atomic_load_explicit(&state->is_private, memory_order_relaxed) != 0;
    nbuf_result result = nbuf_page_make_later(&initial, is_private, &page);
    if (result.status != NEARBUF_OK) {
      return result;
    }
  }
  uintptr_t base = page.base;
  /* A lock that is held past the bound has no living owner: then the link is set without the lock.
   * Room in the page cannot be used without it. */
  bool is_locked = nbuf_header_lock(last);
  bool is_free = nbuf_header_link(last) == 0 && (is_own_page || is_locked);
  if (is_free && !is_own_page) {
    nbuf_format_build(base, layout, base, items.items, items.count);
  }
  bool is_linked = is_free && nbuf_header_set_link(last, base);
  if (is_locked) {
    nbuf_header_unlock(last);
  }
  *added = is_linked ? base : 0;
  if (is_linked) {
    hold_last(base, layout, 0, &items, acquired);
    acquired->order = UINT32_MAX;
  } else if (is_own_page) {
    nbuf_page_discard(&page);
  }
  return nbuf_result_of(NEARBUF_OK);
}

/* Finds the number of the locator that this call linked, for the order of the acquired item.
 * Without the order the item is as good, but its release is noticed later. */
static void set_order(nbuf_state *state, nbuf_acquired *acquired) {
  (void)nbuf_locators_extend(state, true);
  (void)find_order(state, nbuf_item_ref_address(acquired->ref), &acquired->order);
}

nbuf_result nbuf_registry_register(nbuf_state *state, const nbuf_listing *listing,
                                   nbuf_acquired *acquired) {
  uint32_t number = atomic_load_explicit(&state->register_from, memory_order_relaxed);
  number = listing->only_dialect != 0 ? 0 : number;
  atomic_fetch_add_explicit(&state->since_full_walk, 1, memory_order_relaxed);
  for (;;) {
    for (; number < nbuf_locators_length(state); number++) {
      if (register_in(state, number, listing, acquired)) {
        if (listing->only_dialect == 0) {
          atomic_store_explicit(&state->register_from, number, memory_order_relaxed);
        }
        return nbuf_result_of(NEARBUF_OK);
      }
    }
    nbuf_result result = nbuf_locators_extend(state, true);
    if (result.status == NEARBUF_OK && number < nbuf_locators_length(state)) {
      continue;
    }
    uintptr_t added = 0;
    if (result.status == NEARBUF_OK) {
      result = grow(state, listing, acquired, &added);
    }
    if (added != 0) {
      set_order(state, acquired);
      return nbuf_result_of(NEARBUF_OK);
    }
    if (result.status != NEARBUF_OK) {
      return result;
    }
  }
}
