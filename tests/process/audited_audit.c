/* An audit library (LD_AUDIT) that uses the library: it is loaded before the program and before the
 * program's sanitizer is initialised. */
#include <string.h>
#include <unistd.h>

#include <nearbuf/nearbuf.h>

unsigned int la_version(unsigned int version);

__attribute__((visibility("default"))) unsigned int la_version(unsigned int version) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  nearbuf_memory placed;
  request.size_bytes = 6;
  request.target = (uintptr_t)la_version; /* sanitizers leave their libraries' surroundings alone */
  request.range = (nearbuf_range){request.target - NEARBUF_2_GIB, request.target + NEARBUF_2_GIB};
  if (nearbuf_place(&request, "audit\n", &placed) == NEARBUF_OK) {
    (void)!write(STDOUT_FILENO, placed.run_at, 6);
  }
  return version;
}
