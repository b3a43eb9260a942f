/* The soft limits of this process. */
#ifndef NEARBUF_TEST_SOFT_LIMITS_H
#define NEARBUF_TEST_SOFT_LIMITS_H

#include <stdint.h>

/* Sets one, a RLIMIT_ number, and answers what it was. By number, for the C libraries do not agree
 * on its type. */
uint64_t set_limit(int which, uint64_t value);

#endif
