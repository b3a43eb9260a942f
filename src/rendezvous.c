/* Finding or making the first locator; see rendezvous.h. */
#include "rendezvous.h"

#include "chain.h"
#include "os/os.h"
#include "os/pages.h"
#include "settings.h"

static _Atomic uint32_t chosen_dialect; /* a nearbuf_dialect, UNKNOWN: not chosen */
static _Atomic uint32_t chosen_sharing; /* a nearbuf_sharing, NONE: not chosen */

static nearbuf_dialect dialect_to_make(nearbuf_dialect preferred) {
  uint32_t chosen = atomic_load_explicit(&chosen_dialect, memory_order_relaxed);
  if (chosen != NEARBUF_DIALECT_UNKNOWN) {
    return (nearbuf_dialect)chosen;
  }
  nearbuf_dialect set = nb_settings_dialect();
  return set != NEARBUF_DIALECT_UNKNOWN ? set : preferred;
}

static bool wants_private(void) {
  uint32_t chosen = atomic_load_explicit(&chosen_sharing, memory_order_relaxed);
  return chosen != NEARBUF_SHARING_NONE ? chosen == NEARBUF_SHARING_PRIVATE : nb_settings_private();
}

/* Starts the chain with a page that was found or made. The session's lock is held. */
static nb_outcome settle(nb_session *session, const nb_page *page, nearbuf_dialect made_in) {
  nearbuf_dialect dialect = page->is_made ? made_in : page->if_empty;
  nb_outcome outcome = nb_chain_start(session, page->base, (uint8_t)dialect, page->is_made);
  if (outcome.status == NEARBUF_OK) {
    atomic_store_explicit(&session->is_private, page->is_private, memory_order_relaxed);
    atomic_store_explicit(&session->private_reason, page->private_reason, memory_order_relaxed);
    atomic_store_explicit(&session->settled, 1, memory_order_release);
  }
  return outcome;
}

nb_outcome nb_rendezvous_find(nb_session *session, bool may_wait) {
  if (nb_rendezvous_is_settled(session)) {
    return nb_outcome_of(NEARBUF_OK);
  }
  if (may_wait) {
    nb_session_lock(session);
  } else if (!nb_session_try_lock(session)) {
    return nb_outcome_of(NEARBUF_BUSY);
  }
  nb_outcome outcome = nb_outcome_of(NEARBUF_OK);
  if (!nb_rendezvous_is_settled(session)) {
    nb_page page;
    nb_chain_inherited();
    outcome = nb_page_find(wants_private(), &page);
    if (outcome.status == NEARBUF_OK) {
      outcome = settle(session, &page, NEARBUF_DIALECT_UNKNOWN);
    }
  }
  nb_session_unlock(session);
  return outcome;
}

nb_outcome nb_rendezvous_find_or_make(nb_session *session, const nb_item *item,
                                      nearbuf_dialect preferred, bool *is_listed) {
  *is_listed = false;
  if (nb_rendezvous_is_settled(session)) {
    return nb_outcome_of(NEARBUF_OK);
  }
  nb_session_lock(session);
  nb_outcome outcome = nb_outcome_of(NEARBUF_OK);
  if (!nb_rendezvous_is_settled(session)) {
    nearbuf_dialect dialect = dialect_to_make(preferred);
    nb_item items[NB_FIRST_SLOT + 1] = {{0}};
    uint32_t slot = nb_page_first_slot();
    if (item != NULL) {
      items[slot] = *item;
    }
    nb_seed seed = {nb_native_layout(dialect), items, item == NULL ? 0 : slot + 1};
    nb_page page;
    nb_chain_inherited();
    outcome = nb_page_find_or_make(&seed, wants_private(), &page);
    if (outcome.status == NEARBUF_OK) {
      outcome = settle(session, &page, dialect);
      *is_listed = outcome.status == NEARBUF_OK && page.is_made;
    }
  }
  nb_session_unlock(session);
  return outcome;
}

/* Looks for a locator that leaves no choice. NOT_FOUND: there is none yet. */
static nb_outcome find_before_choice(nb_session **session) {
  nb_os_guard guard = nb_os_enter();
  nb_outcome outcome = nb_session_begin(session);
  if (outcome.status == NEARBUF_OK) {
    outcome = nb_rendezvous_find(*session, true);
  }
  nb_os_leave(guard);
  return outcome;
}

nearbuf_status nearbuf_choose_dialect(nearbuf_dialect dialect) {
  if (dialect != NEARBUF_DIALECT_WRITTEN && dialect != NEARBUF_DIALECT_RUST) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nb_session *session;
  nb_outcome outcome = find_before_choice(&session);
  if (outcome.status == NEARBUF_NOT_FOUND) {
    atomic_store_explicit(&chosen_dialect, (uint32_t)dialect, memory_order_relaxed);
    return NEARBUF_OK;
  }
  if (outcome.status != NEARBUF_OK) {
    return outcome.status;
  }
  bool is_rust = nb_chain_entry(0)->dialect == NEARBUF_DIALECT_RUST;
  return is_rust == (dialect == NEARBUF_DIALECT_RUST) ? NEARBUF_OK : NEARBUF_INCOMPATIBLE;
}

/* The choice holds from here on, for what is made in a child as well; where it comes too late for this
 * process, nothing is chosen. */
nearbuf_status nearbuf_choose_sharing(nearbuf_sharing sharing) {
  if (sharing != NEARBUF_SHARING_SHARED && sharing != NEARBUF_SHARING_PRIVATE) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  uint32_t before = atomic_exchange(&chosen_sharing, (uint32_t)sharing);
  nb_session *session;
  nb_outcome outcome = find_before_choice(&session);
  if (outcome.status == NEARBUF_NOT_FOUND) {
    return NEARBUF_OK;
  }
  if (outcome.status == NEARBUF_OK) {
    bool is_private = atomic_load_explicit(&session->is_private, memory_order_relaxed) != 0;
    outcome.status =
        is_private == (sharing == NEARBUF_SHARING_PRIVATE) ? NEARBUF_OK : NEARBUF_INCOMPATIBLE;
  }
  if (outcome.status != NEARBUF_OK) {
    (void)atomic_compare_exchange_strong(&chosen_sharing, &(uint32_t){sharing}, before);
  }
  return outcome.status;
}
