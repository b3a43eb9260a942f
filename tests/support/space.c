/* Address space prepared by the test: the part for every system; see space.h. */
#include "space.h"

#include "test.h"

void space_settle(void) {
  nearbuf_request request;
  nearbuf_memory placed;
  CHECK_OK(nearbuf_request_near((const void *)(uintptr_t)space_settle, 1, &request));
  CHECK_OK(nearbuf_place(&request, "x", &placed));
}

nearbuf_request space_request(uintptr_t start, uintptr_t range_size, size_t size_bytes) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.range = (nearbuf_range){start, start + (range_size - 1)};
  request.size_bytes = size_bytes;
  return request;
}
