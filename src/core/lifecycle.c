/* The calls of the port when the module is loaded or unloaded, and in a child after fork (os/os.h,
 * "Lifecycle"). */
#include "core/locators.h"
#include "core/regions.h"
#include "core/settings.h"
#include "core/state.h"
#include "os/os.h"

void nbuf_module_loaded(void) {
  nbuf_settings_read();
}

void nbuf_process_forked(void) {
  nbuf_locators_inherited();
  nbuf_state_wipe();
  nbuf_regions_forked();
}

void nbuf_module_unloaded(void) {
  nbuf_locators_end();
  nbuf_state_end();
}
