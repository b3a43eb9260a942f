/* What the demo and its plug-in say to each other. The plug-in links its own static copy of the
 * library; nothing of it is shared with the program but the format in memory. */
#ifndef NEARBUF_TOOL_DEMO_PLUGIN_H
#define NEARBUF_TOOL_DEMO_PLUGIN_H

#include <nearbuf/nearbuf.h>

typedef struct demo_plugin_answer {
  nearbuf_status status;
  nearbuf_memory placed;
  nearbuf_info buffer;       /* that the bytes are in */
  nearbuf_totals totals;     /* as the plug-in's copy sees them */
  uintptr_t copy_of_library; /* the address of its nearbuf_place */
} demo_plugin_answer;

/* Places bytes with the plug-in's copy of the library. */
typedef void demo_plugin_function(const nearbuf_request *request, const void *bytes,
                                  demo_plugin_answer *answer);

#define DEMO_PLUGIN_FUNCTION_NAME "demo_plugin_place"
demo_plugin_function demo_plugin_place;

#endif
