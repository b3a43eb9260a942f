/* The soft limits of this process. */
#ifndef NEARBUF_TEST_SOFT_LIMITS_H
#define NEARBUF_TEST_SOFT_LIMITS_H

#include <stdint.h>

/* Sets one, given by its RLIMIT_ number, and returns the previous value. The C libraries do not
 * agree on the type of that number. */
uint64_t set_limit(int which, uint64_t value);

#endif
