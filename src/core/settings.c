/* The environment and the program's choices; see settings.h. */
#include "core/settings.h"

#include <stdatomic.h>
#include <string.h>

#include "os/os.h"

#define NOT_READ UINT32_MAX

/* Of the environment. */
static _Atomic uint32_t set_dialect = NOT_READ;
static _Atomic bool is_set_private;

/* Of the program. */
static _Atomic uint32_t chosen_dialect; /* a nearbuf_dialect, UNKNOWN: not chosen */
static _Atomic uint32_t chosen_sharing; /* a nearbuf_sharing, NONE: not chosen */

static nearbuf_dialect read_dialect(void) {
  char asked[16];
  if (!nbuf_os_environment("NEARBUF_DIALECT", asked, sizeof asked)) {
    return NEARBUF_DIALECT_UNKNOWN;
  }
  if (strcmp(asked, "rust") == 0) {
    return NEARBUF_DIALECT_RUST;
  }
  return strcmp(asked, "written") == 0 ? NEARBUF_DIALECT_WRITTEN : NEARBUF_DIALECT_UNKNOWN;
}

static bool read_private(void) {
  char asked[16];
  return nbuf_os_environment("NEARBUF_SHARING", asked, sizeof asked) &&
         strcmp(asked, "private") == 0;
}

void nbuf_settings_read(void) {
  if (atomic_load_explicit(&set_dialect, memory_order_acquire) == NOT_READ) {
    atomic_store_explicit(&is_set_private, read_private(), memory_order_relaxed);
    atomic_store_explicit(&set_dialect, (uint32_t)read_dialect(), memory_order_release);
  }
}

nearbuf_dialect nbuf_settings_dialect(nearbuf_dialect preferred) {
  uint32_t chosen = atomic_load_explicit(&chosen_dialect, memory_order_relaxed);
  if (chosen != NEARBUF_DIALECT_UNKNOWN) {
    return (nearbuf_dialect)chosen;
  }
  nbuf_settings_read();
  uint32_t set = atomic_load_explicit(&set_dialect, memory_order_relaxed);
  return set != NEARBUF_DIALECT_UNKNOWN ? (nearbuf_dialect)set : preferred;
}

void nbuf_settings_choose_dialect(nearbuf_dialect chosen) {
  atomic_store_explicit(&chosen_dialect, (uint32_t)chosen, memory_order_relaxed);
}

bool nbuf_settings_private(void) {
  uint32_t chosen = atomic_load_explicit(&chosen_sharing, memory_order_relaxed);
  if (chosen != NEARBUF_SHARING_NONE) {
    return chosen == NEARBUF_SHARING_PRIVATE;
  }
  nbuf_settings_read();
  return atomic_load_explicit(&is_set_private, memory_order_relaxed);
}

nearbuf_sharing nbuf_settings_choose_sharing(nearbuf_sharing sharing) {
  return (nearbuf_sharing)atomic_exchange(&chosen_sharing, (uint32_t)sharing);
}

void nbuf_settings_unchoose_sharing(nearbuf_sharing chosen, nearbuf_sharing before) {
  (void)atomic_compare_exchange_strong(&chosen_sharing, &(uint32_t){chosen}, (uint32_t)before);
}
