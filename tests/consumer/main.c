/* A program outside the project, as a user would write it. */
#include <nearbuf/nearbuf.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  static const unsigned char bytes[] = {0xde, 0xad, 0xbe, 0xef};
  nearbuf_request request;
  nearbuf_memory placed;
  (void)argv;

  nearbuf_status status = nearbuf_request_near(&argc, sizeof bytes, &request);
  if (status == NEARBUF_OK) {
    status = nearbuf_place(&request, bytes, &placed);
  }
  if (status != NEARBUF_OK) {
    fprintf(stderr, "consumer: %s\n", nearbuf_status_text(status));
    return 1;
  }

  uintptr_t address = (uintptr_t)placed.run_at;
  if (nearbuf_version() != NEARBUF_VERSION || placed.size_bytes != sizeof bytes ||
      memcmp(placed.run_at, bytes, sizeof bytes) != 0 || address < request.range.min ||
      address > request.range.max) {
    fprintf(stderr, "consumer: placed wrongly\n");
    return 1;
  }
  puts("consumer: placed");
  return 0;
}
