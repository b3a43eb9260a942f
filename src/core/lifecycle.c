/* The calls of the port when the module is loaded or unloaded, and in a child after fork (os/os.h,
 * "Lifecycle"). */
#include "core/locators.h"
#include "core/regions.h"
#include "core/settings.h"
#include "core/state.h"
#include "os/os.h"

void nb_module_loaded(void) {
  nb_settings_read();
}

void nb_process_forked(void) {
  nb_locators_inherited();
  nb_state_wipe();
  nb_regions_forked();
}

void nb_module_unloaded(void) {
  nb_locators_end();
  nb_state_end();
}
