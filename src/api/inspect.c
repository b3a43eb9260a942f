/* Inspection: walk, find, totals. Never makes a locator, never waits, and may be called in a signal
 * handler that interrupted any other call. */
#include "base/range.h"
#include "core/attach.h"
#include "core/find.h"
#include "core/header.h"
#include "core/locators.h"
#include "os/os.h"

/* Attaches and adds new locators, as far as that is possible at once. OK if the chain is known,
 * completely or in part; NOT_FOUND if the process has none. */
static nearbuf_status begin(nbuf_state **state) {
  nbuf_os_call call = nbuf_os_call_begin();
  nbuf_result result = nbuf_state_begin(state);
  if (result.status == NEARBUF_OK) {
    result = nbuf_attach(*state, false);
  }
  if (result.status == NEARBUF_OK) {
    nbuf_header_mend(nbuf_locators_entry(0));
    (void)nbuf_locators_extend(*state, false);
  }
  nbuf_os_call_end(call);
  return result.status;
}

static void describe(const nbuf_locator *locator, uint32_t index, const nbuf_item *item,
                     nearbuf_info *info) {
  *info = (nearbuf_info){.address = (uintptr_t)item->base,
                         .locator = locator->base,
                         .size_bytes = item->size,
                         .used_bytes = item->position < item->size ? item->position : item->size,
                         .index = index,
                         .is_taken = item->taken != 0,
                         .dialect = (nearbuf_dialect)locator->dialect};
}

/* The first item at or after `*order`; advances `*order` behind it. False: there is none. */
static bool next_item(const nbuf_state *state, uint32_t *order, nearbuf_info *info) {
  uint32_t number = *order / NBUF_ORDERS_PER_LOCATOR;
  uint32_t index = *order % NBUF_ORDERS_PER_LOCATOR;
  for (; number < nbuf_locators_length(state); number++, index = 0) {
    const nbuf_locator *locator = nbuf_locators_entry(number);
    uint32_t count = nbuf_locator_count(locator);
    nbuf_item item = {0};
    for (; item.base == 0 && index < count; index++) { /* slots can be empty */
      item = nbuf_item_read(nbuf_locator_item(locator, index), nbuf_locator_layout(locator));
    }
    if (item.base == 0) {
      continue;
    }
    describe(locator, index - 1, &item, info);
    *order = number * NBUF_ORDERS_PER_LOCATOR + index;
    return true;
  }
  return false;
}

nearbuf_status nearbuf_next(nearbuf_walk *walk, nearbuf_info *info) {
  if (info != NULL) {
    *info = (nearbuf_info){0};
  }
  if (walk == NULL || info == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nbuf_state *state;
  nearbuf_status status = begin(&state);
  if (status != NEARBUF_OK) {
    return walk->generation != 0 ? NEARBUF_STALE : status;
  }
  uint32_t generation = nbuf_state_generation(state);
  if (walk->generation != 0 && walk->generation != generation) {
    return NEARBUF_STALE;
  }
  walk->generation = generation;
  return next_item(state, &walk->next, info) ? NEARBUF_OK : NEARBUF_NOT_FOUND;
}

nearbuf_status nearbuf_find(const void *address, nearbuf_info *info) {
  if (info == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *info = (nearbuf_info){0};
  nbuf_state *state;
  nearbuf_status status = begin(&state);
  if (status != NEARBUF_OK) {
    return status;
  }
  uint32_t generation = nbuf_state_generation(state);
  for (uint32_t number = 0; number < nbuf_locators_length(state); number++) {
    nbuf_locator *locator = nbuf_locators_entry(number);
    uint32_t index;
    nbuf_item item;
    if (nbuf_locator_find(locator, generation, (uintptr_t)address, &index, &item)) {
      describe(locator, index, &item, info);
      return NEARBUF_OK;
    }
  }
  return NEARBUF_NOT_FOUND;
}

nearbuf_status nearbuf_get_totals(nearbuf_totals *totals) {
  if (totals == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *totals = (nearbuf_totals){0};
  nbuf_state *state;
  nearbuf_status status = begin(&state);
  if (status != NEARBUF_OK) {
    return status == NEARBUF_NOT_FOUND ? NEARBUF_OK : status;
  }
  bool is_private = atomic_load_explicit(&state->is_private, memory_order_relaxed) != 0;
  totals->sharing = is_private ? NEARBUF_SHARING_PRIVATE : NEARBUF_SHARING_SHARED;
  totals->private_reason = atomic_load_explicit(&state->private_reason, memory_order_relaxed);
  totals->locators = nbuf_locators_length(state);
  totals->first_locator = nbuf_locators_entry(0)->base;
  uint32_t order = 0;
  nearbuf_info info;
  while (next_item(state, &order, &info)) {
    totals->buffers++;
    totals->taken += info.is_taken;
    totals->size_bytes += info.size_bytes;
    totals->used_bytes += info.used_bytes;
  }
  return NEARBUF_OK;
}
