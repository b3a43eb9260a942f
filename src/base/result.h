/* The result of an internal function that can fail: the public status, and the error code of the
 * system call that was the cause, 0 if there was none. */
#ifndef NBUF_RESULT_H
#define NBUF_RESULT_H

#include <nearbuf/nearbuf.h>

typedef struct nbuf_result {
  nearbuf_status status;
  int32_t system_error;
} nbuf_result;

static inline nbuf_result nbuf_result_of(nearbuf_status status) {
  nbuf_result result = {status, 0};
  return result;
}

static inline nbuf_result nbuf_result_system(nearbuf_status status, int32_t system_error) {
  nbuf_result result = {status, system_error};
  return result;
}

#endif
