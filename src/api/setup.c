/* Choices before the first use of this copy of the library, and releasing the memory that it keeps
 * for itself. */
#include "core/attach.h"
#include "core/locators.h"
#include "core/settings.h"
#include "os/os.h"

/* Looks for a locator, which would leave no choice. NOT_FOUND: there is none yet. */
static nbuf_result find_before_choice(nbuf_state **state) {
  nbuf_os_call call = nbuf_os_call_begin();
  nbuf_result result = nbuf_state_begin(state);
  if (result.status == NEARBUF_OK) {
    result = nbuf_attach(*state, true);
  }
  nbuf_os_call_end(call);
  return result;
}

nearbuf_status nearbuf_choose_dialect(nearbuf_dialect dialect) {
  if (dialect != NEARBUF_DIALECT_WRITTEN && dialect != NEARBUF_DIALECT_RUST) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nbuf_state *state;
  nbuf_result result = find_before_choice(&state);
  if (result.status == NEARBUF_NOT_FOUND) {
    nbuf_settings_choose_dialect(dialect);
    return NEARBUF_OK;
  }
  if (result.status != NEARBUF_OK) {
    return result.status;
  }
  bool is_rust = nbuf_locators_entry(0)->dialect == NEARBUF_DIALECT_RUST;
  return is_rust == (dialect == NEARBUF_DIALECT_RUST) ? NEARBUF_OK : NEARBUF_INCOMPATIBLE;
}

/* The choice applies from here on, also to what is made in a child. If it is too late for this
 * process, nothing is chosen. */
nearbuf_status nearbuf_choose_sharing(nearbuf_sharing sharing) {
  if (sharing != NEARBUF_SHARING_SHARED && sharing != NEARBUF_SHARING_PRIVATE) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nearbuf_sharing before = nbuf_settings_choose_sharing(sharing);
  nbuf_state *state;
  nbuf_result result = find_before_choice(&state);
  if (result.status == NEARBUF_NOT_FOUND) {
    return NEARBUF_OK;
  }
  if (result.status == NEARBUF_OK) {
    bool is_private = atomic_load_explicit(&state->is_private, memory_order_relaxed) != 0;
    result.status =
        is_private == (sharing == NEARBUF_SHARING_PRIVATE) ? NEARBUF_OK : NEARBUF_INCOMPATIBLE;
  }
  if (result.status != NEARBUF_OK) {
    nbuf_settings_unchoose_sharing(sharing, before);
  }
  return result.status;
}

void nearbuf_unload(void) {
  nbuf_os_call call = nbuf_os_call_begin();
  nbuf_module_unloaded();
  nbuf_os_call_end(call);
}
