#include "demo_plugin.h"

void demo_plugin_place(const nearbuf_request *request, const void *bytes,
                       demo_plugin_answer *answer) {
  *answer = (demo_plugin_answer){.copy_of_library = (uintptr_t)nearbuf_place};
  answer->status = nearbuf_place(request, bytes, &answer->placed);
  if (answer->status == NEARBUF_OK) {
    answer->status = nearbuf_find(answer->placed.run_at, &answer->buffer);
  }
  if (answer->status == NEARBUF_OK) {
    answer->status = nearbuf_get_totals(&answer->totals);
  }
}
