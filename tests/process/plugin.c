/* A plug-in with its own static copy of the library; see plugin.h. */
#include "plugin.h"

static const plugin functions = {nearbuf_get,   nearbuf_append, nearbuf_release,
                                 nearbuf_place, nearbuf_find,   nearbuf_get_totals};

__attribute__((visibility("default"))) const plugin *plugin_functions(void);

const plugin *plugin_functions(void) {
  return &functions;
}
