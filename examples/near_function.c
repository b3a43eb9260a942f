/* Puts bytes where a 5-byte jump from puts() reaches them. */
#include <nearbuf/nearbuf.h>
#include <stdio.h>

int main(void) {
  static const unsigned char bytes[] = {0xB8, 42, 0, 0, 0, 0xC3}; /* x86: mov eax, 42; ret */
  nearbuf_request request;
  nearbuf_memory placed;

  nearbuf_status status = nearbuf_request_near((void *)(uintptr_t)puts, sizeof bytes, &request);
  if (status == NEARBUF_OK) {
    status = nearbuf_place(&request, bytes, &placed);
  }
  if (status != NEARBUF_OK) {
    fprintf(stderr, "no place for the bytes: %s\n", nearbuf_status_text(status));
    return 1;
  }
  printf("puts is at %#jx, the bytes are at %#jx\n", (uintmax_t)(uintptr_t)puts,
         (uintmax_t)(uintptr_t)placed.run_at);
  return 0;
}
