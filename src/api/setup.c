/* Choices before the first use of this copy of the library, and releasing the memory that it keeps
 * for itself. */
#include "core/attach.h"
#include "core/locators.h"
#include "core/settings.h"
#include "os/os.h"

/* Looks for a locator, which would leave no choice. NOT_FOUND: there is none yet. */
static nb_result find_before_choice(nb_state **state) {
  nb_os_call call = nb_os_call_begin();
  nb_result result = nb_state_begin(state);
  if (result.status == NEARBUF_OK) {
    result = nb_attach(*state, true);
  }
  nb_os_call_end(call);
  return result;
}

nearbuf_status nearbuf_choose_dialect(nearbuf_dialect dialect) {
  if (dialect != NEARBUF_DIALECT_WRITTEN && dialect != NEARBUF_DIALECT_RUST) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nb_state *state;
  nb_result result = find_before_choice(&state);
  if (result.status == NEARBUF_NOT_FOUND) {
    nb_settings_choose_dialect(dialect);
    return NEARBUF_OK;
  }
  if (result.status != NEARBUF_OK) {
    return result.status;
  }
  bool is_rust = nb_locators_entry(0)->dialect == NEARBUF_DIALECT_RUST;
  return is_rust == (dialect == NEARBUF_DIALECT_RUST) ? NEARBUF_OK : NEARBUF_INCOMPATIBLE;
}

/* The choice applies from here on, also to what is made in a child. If it is too late for this
 * process, nothing is chosen. */
nearbuf_status nearbuf_choose_sharing(nearbuf_sharing sharing) {
  if (sharing != NEARBUF_SHARING_SHARED && sharing != NEARBUF_SHARING_PRIVATE) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nearbuf_sharing before = nb_settings_choose_sharing(sharing);
  nb_state *state;
  nb_result result = find_before_choice(&state);
  if (result.status == NEARBUF_NOT_FOUND) {
    return NEARBUF_OK;
  }
  if (result.status == NEARBUF_OK) {
    bool is_private = atomic_load_explicit(&state->is_private, memory_order_relaxed) != 0;
    result.status =
        is_private == (sharing == NEARBUF_SHARING_PRIVATE) ? NEARBUF_OK : NEARBUF_INCOMPATIBLE;
  }
  if (result.status != NEARBUF_OK) {
    nb_settings_unchoose_sharing(sharing, before);
  }
  return result.status;
}

void nearbuf_unload(void) {
  nb_os_call call = nb_os_call_begin();
  nb_module_unloaded();
  nb_os_call_end(call);
}
