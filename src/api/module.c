/* Modules of this process, and requests for memory that reaches all of a module. */
#include "base/range.h"
#include "os/os.h"

nearbuf_status nearbuf_module_extent(const void *address, nearbuf_range *range) {
  if (range == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *range = (nearbuf_range){0, 0};
  if (address == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nbuf_os_call call = nbuf_os_call_begin();
  bool is_found = nbuf_os_module_extent((uintptr_t)address, range);
  nbuf_os_call_end(call);
  return is_found ? NEARBUF_OK : NEARBUF_NOT_FOUND;
}

nearbuf_status nearbuf_request_near_module(const void *target, size_t size_bytes,
                                           nearbuf_request *request) {
  nearbuf_request near_module;
  nearbuf_status status = nearbuf_request_near(target, size_bytes, &near_module);
  if (request == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *request = (nearbuf_request){0};
  if (status != NEARBUF_OK) {
    return status;
  }
  nearbuf_range module;
  status = nearbuf_module_extent(target, &module);
  if (status == NEARBUF_OK) {
    status = nearbuf_range_within_reach(&module, 1, NEARBUF_REACH_JUMP, &near_module.range);
  }
  if (status == NEARBUF_OK) {
    near_module.near_bytes = 0; /* all of the range reaches all of the module */
    *request = near_module;
  }
  return status;
}
