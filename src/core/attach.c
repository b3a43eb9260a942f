/* Finding or making the first locator; see attach.h. */
#include "core/attach.h"

#include "core/locators.h"
#include "core/settings.h"
#include "os/os.h"
#include "os/pages.h"

/* Starts the chain with a page that was found or made. The caller holds the state's lock. */
static nb_result start(nb_state *state, const nb_page *page, nearbuf_dialect made_in) {
  nearbuf_dialect dialect = page->is_made ? made_in : page->dialect_if_empty;
  nb_result result = nb_locators_start(state, page->base, (uint8_t)dialect, page->is_made);
  if (result.status == NEARBUF_OK) {
    atomic_store_explicit(&state->is_private, page->is_private, memory_order_relaxed);
    atomic_store_explicit(&state->private_reason, page->private_reason, memory_order_relaxed);
    atomic_store_explicit(&state->attached, 1, memory_order_release);
  }
  return result;
}

nb_result nb_attach(nb_state *state, bool may_wait) {
  if (nb_is_attached(state)) {
    return nb_result_of(NEARBUF_OK);
  }
  if (may_wait) {
    nb_state_lock(state);
  } else if (!nb_state_try_lock(state)) {
    return nb_result_of(NEARBUF_BUSY);
  }
  nb_result result = nb_result_of(NEARBUF_OK);
  if (!nb_is_attached(state)) {
    nb_page page;
    nb_locators_inherited();
    result = nb_page_find(nb_settings_private(), &page);
    if (result.status == NEARBUF_OK) {
      result = start(state, &page, NEARBUF_DIALECT_UNKNOWN);
    }
  }
  nb_state_unlock(state);
  return result;
}

nb_result nb_attach_or_make(nb_state *state, const nb_item *item, nearbuf_dialect preferred,
                            bool *is_listed) {
  *is_listed = false;
  if (nb_is_attached(state)) {
    return nb_result_of(NEARBUF_OK);
  }
  nb_state_lock(state);
  nb_result result = nb_result_of(NEARBUF_OK);
  if (!nb_is_attached(state)) {
    nearbuf_dialect dialect = nb_settings_dialect(preferred);
    nb_item items[NB_FIRST_SLOT + 1] = {{0}};
    uint32_t slot = nb_page_first_slot();
    if (item != NULL) {
      items[slot] = *item;
    }
    nb_initial_items initial = {nb_native_layout(dialect), items, item == NULL ? 0 : slot + 1};
    nb_page page;
    nb_locators_inherited();
    result = nb_page_find_or_make(&initial, nb_settings_private(), &page);
    if (result.status == NEARBUF_OK) {
      result = start(state, &page, dialect);
      *is_listed = result.status == NEARBUF_OK && page.is_made;
    }
  }
  nb_state_unlock(state);
  return result;
}
