/* The work whose instructions scripts/ci counts: get and release, warm, as often as it is told. */
#include <stdlib.h>

#include <nearbuf/nearbuf.h>

int main(int argc, char **argv) {
  long count = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
  nearbuf_request request;
  nearbuf_buffer buffer;
  static const char target;
  nearbuf_status status = nearbuf_request_near(&target, 4096, &request);
  for (long i = 0; i < count && status == NEARBUF_OK; i++) {
    status = nearbuf_get(&request, &buffer);
    status = status == NEARBUF_OK ? nearbuf_release(&buffer) : status;
  }
  return status == NEARBUF_OK ? 0 : 1;
}
