/* The soft limits of this process; see soft_limits.h. */
#include "soft_limits.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "test.h"

uint64_t set_limit(int which, uint64_t value) {
  uint64_t limit[2]; /* the soft and the hard one */
  CHECK_EQUAL(0, syscall(SYS_prlimit64, 0, which, NULL, limit));
  uint64_t before = limit[0];
  limit[0] = value;
  CHECK_EQUAL(0, syscall(SYS_prlimit64, 0, which, limit, NULL));
  return before;
}
