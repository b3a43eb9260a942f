/* Finding or making the first locator; see attach.h. */
#include "core/attach.h"

#include "core/locators.h"
#include "core/settings.h"
#include "os/os.h"
#include "os/pages.h"

/* Starts the chain with a page that was found or made. The caller holds the state's lock. */
static nbuf_result start(nbuf_state *state, const nbuf_page *page, nearbuf_dialect made_in) {
  nearbuf_dialect dialect = page->is_made ? made_in : page->dialect_if_empty;
  nbuf_result result = nbuf_locators_start(state, page->base, (uint8_t)dialect, page->is_made);
  if (result.status == NEARBUF_OK) {
    atomic_store_explicit(&state->is_private, page->is_private, memory_order_relaxed);
    atomic_store_explicit(&state->private_reason, page->private_reason, memory_order_relaxed);
    atomic_store_explicit(&state->attached, 1, memory_order_release);
  }
  return result;
}

nbuf_result nbuf_attach_slowly(nbuf_state *state, bool may_wait) {
  if (may_wait) {
    nbuf_state_lock(state);
  } else if (!nbuf_state_try_lock(state)) {
    return nbuf_result_of(NEARBUF_BUSY);
  }
  nbuf_result result = nbuf_result_of(NEARBUF_OK);
  if (!nbuf_is_attached(state)) {
    nbuf_page page;
    nbuf_locators_inherited();
    result = nbuf_page_find(nbuf_settings_private(), &page);
    if (result.status == NEARBUF_OK) {
      result = start(state, &page, NEARBUF_DIALECT_UNKNOWN);
    }
  }
  nbuf_state_unlock(state);
  return result;
}

nbuf_result nbuf_attach_or_make_slowly(nbuf_state *state, const nbuf_item *item,
                                       nearbuf_dialect preferred, bool *is_listed) {
  nbuf_state_lock(state);
  nbuf_result result = nbuf_result_of(NEARBUF_OK);
  if (!nbuf_is_attached(state)) {
    nearbuf_dialect dialect = nbuf_settings_dialect(preferred);
    nbuf_item items[NBUF_FIRST_SLOT + 1] = {{0}};
    items[NBUF_FIRST_SLOT] = *item;
    nbuf_initial_items initial = {nbuf_native_layout(dialect), items, NBUF_FIRST_SLOT + 1};
    nbuf_page page;
    nbuf_locators_inherited();
    result = nbuf_page_find_or_make(&initial, nbuf_settings_private(), &page);
    if (result.status == NEARBUF_OK) {
      result = start(state, &page, dialect);
      *is_listed = result.status == NEARBUF_OK && page.is_made;
    }
  }
  nbuf_state_unlock(state);
  return result;
}
