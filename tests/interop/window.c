/* See window.h. */
#include "window.h"

#include <string.h>

#include "test.h"

nearbuf_request request_in(uintptr_t min, uintptr_t max, size_t size) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.range = (nearbuf_range){min, max};
  request.size_bytes = size;
  request.alignment_bytes = 1;
  return request;
}

uintptr_t place(const char *text) {
  nearbuf_request request = request_in(WINDOW, WINDOW + WINDOW_SIZE - 1, strlen(text));
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, text, &placed));
  return (uintptr_t)placed.run_at;
}

nearbuf_info find(uintptr_t address) {
  nearbuf_info info;
  CHECK_OK(nearbuf_find((const void *)address, &info));
  return info;
}

nearbuf_totals totals(void) {
  nearbuf_totals sums;
  CHECK_OK(nearbuf_get_totals(&sums));
  return sums;
}
