/* Waiting for a bound. */
#include "os/wait.h"

#include "os/os.h"
#include "test.h"

static uint64_t wait_in_vain(void) {
  nbuf_wait wait = nbuf_wait_start();
  while (nbuf_wait_on(&wait)) {
  }
  CHECK(nbuf_os_nanoseconds() - wait.start >= wait.bound_ns);
  return wait.bound_ns;
}

TEST(after_a_wait_in_vain_the_next_one_is_short_and_later_ones_are_not) {
  CHECK_EQUAL(NBUF_WAIT_BOUND_NS, nbuf_wait_start().bound_ns);
  uint64_t start = nbuf_os_nanoseconds();
  CHECK_EQUAL(NBUF_WAIT_BOUND_NS, wait_in_vain());
  uint64_t bound = nbuf_wait_start().bound_ns;
  if (nbuf_os_nanoseconds() - start < 2 * NBUF_WAIT_BOUND_NS) { /* a loaded machine may be later */
    CHECK_EQUAL(NBUF_WAIT_SHORT_BOUND_NS, bound);
  }
  while (nbuf_os_nanoseconds() - start < 6 * NBUF_WAIT_BOUND_NS) {
    nbuf_os_pause();
  }
  CHECK_EQUAL(NBUF_WAIT_BOUND_NS, nbuf_wait_start().bound_ns);
}
