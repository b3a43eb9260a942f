/* Waiting for a bound. */
#include "os/wait.h"

#include "os/os.h"
#include "test.h"

static uint64_t wait_in_vain(void) {
  nb_wait wait = nb_wait_start();
  while (nb_wait_on(&wait)) {
  }
  CHECK(nb_os_nanoseconds() - wait.start >= wait.bound_ns);
  return wait.bound_ns;
}

TEST(after_a_wait_in_vain_the_next_one_is_short_and_later_ones_are_not) {
  CHECK_EQUAL(NB_WAIT_BOUND_NS, nb_wait_start().bound_ns);
  uint64_t start = nb_os_nanoseconds();
  CHECK_EQUAL(NB_WAIT_BOUND_NS, wait_in_vain());
  uint64_t bound = nb_wait_start().bound_ns;
  if (nb_os_nanoseconds() - start < 2 * NB_WAIT_BOUND_NS) { /* a loaded machine may be later */
    CHECK_EQUAL(NB_WAIT_SHORT_BOUND_NS, bound);
  }
  while (nb_os_nanoseconds() - start < 6 * NB_WAIT_BOUND_NS) {
    nb_os_pause();
  }
  CHECK_EQUAL(NB_WAIT_BOUND_NS, nb_wait_start().bound_ns);
}
