/* What a call of an invented system returns that is refused. */
#ifndef NEARBUF_TEST_REFUSED_H
#define NEARBUF_TEST_REFUSED_H

#include <errno.h>

#include "base/result.h"

/* Of a function of the C library: -1 and errno. Error 0: it succeeds, and errno is preserved. */
static inline int failed_with(int error) {
  errno = error != 0 ? error : errno;
  return error != 0 ? -1 : 0;
}

enum { ANY_ERROR = 5 };

/* Of a function of the port: any code of the system, unless it is a success. */
static inline nbuf_result failed_if(nearbuf_status status) {
  return nbuf_result_system(status, status == NEARBUF_OK ? 0 : ANY_ERROR);
}

#endif
