/* A plug-in that contains its own static copy of the library, like plug-ins of a host that do not
 * know of each other. Its functions call its own copy. */
#ifndef PROCESS_PLUGIN_H
#define PROCESS_PLUGIN_H

#include <nearbuf/nearbuf.h>

typedef struct plugin {
  nearbuf_status (*get)(const nearbuf_request *request, nearbuf_buffer *buffer);
  nearbuf_status (*append)(nearbuf_buffer *buffer, const void *bytes, size_t size_bytes,
                           void **address);
  nearbuf_status (*release)(nearbuf_buffer *buffer);
  nearbuf_status (*place)(const nearbuf_request *request, const void *bytes,
                          nearbuf_memory *placed);
  nearbuf_status (*find)(const void *address, nearbuf_info *info);
  nearbuf_status (*get_totals)(nearbuf_totals *totals);
} plugin;

/* The functions that the plug-in exports, as "plugin_functions". */
typedef const plugin *(*plugin_functions_type)(void);

#endif
