/* A process to inspect: holds a buffer with 100 bytes used, has placed 24 bytes near getenv, and
 * stays until its standard input ends. With a number as its argument it holds that many buffers
 * more, each with one byte used. */
#include <stdio.h>
#include <stdlib.h>

#include <nearbuf/nearbuf.h>

static nearbuf_status hold(int count) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  nearbuf_buffer held;
  nearbuf_status status = NEARBUF_OK;
  request.size_bytes = 1;
  for (int i = 0; i < count && status == NEARBUF_OK; i++) {
    status = nearbuf_get(&request, &held);
    if (status == NEARBUF_OK) {
      status = nearbuf_append(&held, "x", 1, NULL);
    }
  }
  return status;
}

int main(int argc, char **argv) {
  static const unsigned char near_bytes[24] = {0x90, 0xC3};
  static const unsigned char low_bytes[100] = {1};
  nearbuf_request near;
  nearbuf_request low = NEARBUF_REQUEST_INIT;
  nearbuf_memory placed;
  nearbuf_buffer held;
  low.size_bytes = sizeof low_bytes;
  if (nearbuf_request_near((void *)(uintptr_t)getenv, sizeof near_bytes, &near) != NEARBUF_OK ||
      nearbuf_place(&near, near_bytes, &placed) != NEARBUF_OK ||
      nearbuf_range_below(NEARBUF_2_GIB, &low.range) != NEARBUF_OK ||
      nearbuf_get(&low, &held) != NEARBUF_OK ||
      nearbuf_append(&held, low_bytes, sizeof low_bytes, NULL) != NEARBUF_OK ||
      hold(argc > 1 ? atoi(argv[1]) : 0) != NEARBUF_OK) {
    return 1;
  }
  (void)puts("ready");
  (void)fflush(stdout);
  return getchar() == EOF ? 0 : 1;
}
