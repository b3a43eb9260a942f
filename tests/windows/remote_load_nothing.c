/* What a loaded process does on Windows beside its load: nothing. */
#include "remote_load.h"

bool load_prepare(const char *mode, char **arguments) {
  (void)mode;
  (void)arguments;
  return true;
}

void load_finish(void) {
}
