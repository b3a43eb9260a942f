/* A module with its own static copy of the library, as a plug-in has it; see modules.c. */
#include <nearbuf/nearbuf.h>

#include "module.h"

__attribute__((visibility("default"))) void *module_place(const void *target, const void *bytes,
                                                          size_t size) {
  nearbuf_request request;
  nearbuf_memory placed;
  (void)nearbuf_request_near(target, size, &request);
  return nearbuf_place(&request, bytes, &placed) == NEARBUF_OK ? placed.run_at : NULL;
}
