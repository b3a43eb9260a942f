/* The room left after a release is used by the next request that fits, whatever was registered
 * meanwhile. */
#include <string.h>

#include "request.h"
#include "test.h"

enum { HELD = 60, ROUNDS = 20, SIZE = 40000 };

/* Gets a buffer for which no listed one is large enough. */
static nearbuf_buffer hold_new(size_t size) {
  nearbuf_request request = request_of(size);
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  return buffer;
}

TEST(what_was_registered_and_released_is_the_next_ones_though_others_came_after_it) {
  for (int i = 0; i < HELD; i++) {
    (void)hold_new(SIZE);
  }
  for (int i = 0; i < ROUNDS; i++) {
    nearbuf_buffer released = hold_new(SIZE);
    uintptr_t address = nearbuf_buffer_address(&released);
    (void)hold_new(SIZE); /* the last one this thread held is another */
    (void)hold_new(SIZE);
    CHECK_OK(nearbuf_release(&released));
    nearbuf_buffer next = hold_new(SIZE);
    CHECK_EQUAL(address, nearbuf_buffer_address(&next));
  }
}
