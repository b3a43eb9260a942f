/* The environment; see settings.h. */
#include "settings.h"

#include <stdatomic.h>
#include <string.h>

#include "os/os.h"

#define NOT_READ UINT32_MAX

static _Atomic uint32_t dialect = NOT_READ;
static _Atomic bool is_private;

static nearbuf_dialect read_dialect(void) {
  char asked[16];
  if (!nb_os_environment("NEARBUF_DIALECT", asked, sizeof asked)) {
    return NEARBUF_DIALECT_UNKNOWN;
  }
  if (strcmp(asked, "rust") == 0) {
    return NEARBUF_DIALECT_RUST;
  }
  return strcmp(asked, "written") == 0 ? NEARBUF_DIALECT_WRITTEN : NEARBUF_DIALECT_UNKNOWN;
}

static bool read_private(void) {
  char asked[16];
  return nb_os_environment("NEARBUF_SHARING", asked, sizeof asked) && strcmp(asked, "private") == 0;
}

void nb_settings_read(void) {
  if (atomic_load_explicit(&dialect, memory_order_acquire) == NOT_READ) {
    atomic_store_explicit(&is_private, read_private(), memory_order_relaxed);
    atomic_store_explicit(&dialect, (uint32_t)read_dialect(), memory_order_release);
  }
}

nearbuf_dialect nb_settings_dialect(void) {
  nb_settings_read();
  return (nearbuf_dialect)atomic_load_explicit(&dialect, memory_order_relaxed);
}

bool nb_settings_private(void) {
  nb_settings_read();
  return atomic_load_explicit(&is_private, memory_order_relaxed);
}
