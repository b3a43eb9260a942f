/* The interface between the demo and its plug-in. The plug-in links its own static copy of the
 * library; it shares only the format in memory with the program. */
#ifndef NEARBUF_TOOL_DEMO_PLUGIN_H
#define NEARBUF_TOOL_DEMO_PLUGIN_H

#include <nearbuf/nearbuf.h>

typedef struct demo_plugin_result {
  nearbuf_status status;
  nearbuf_memory placed;
  nearbuf_info buffer;       /* the one that holds the bytes */
  nearbuf_totals totals;     /* as the plug-in's copy sees them */
  uintptr_t copy_of_library; /* the address of its nearbuf_place */
} demo_plugin_result;

/* Places bytes with the plug-in's copy of the library. */
typedef void demo_plugin_function(const nearbuf_request *request, const void *bytes,
                                  demo_plugin_result *result);

#define DEMO_PLUGIN_FUNCTION_NAME "demo_plugin_place"
demo_plugin_function demo_plugin_place;

#endif
