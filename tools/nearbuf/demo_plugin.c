#include "demo_plugin.h"

void demo_plugin_place(const nearbuf_request *request, const void *bytes,
                       demo_plugin_result *result) {
  *result = (demo_plugin_result){.copy_of_library = (uintptr_t)nearbuf_place};
  result->status = nearbuf_place(request, bytes, &result->placed);
  if (result->status == NEARBUF_OK) {
    result->status = nearbuf_find(result->placed.run_at, &result->buffer);
  }
  if (result->status == NEARBUF_OK) {
    result->status = nearbuf_get_totals(&result->totals);
  }
}
