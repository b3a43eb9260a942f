/* The result of an internal function that can fail: the public status, and the error code of the
 * system call that was the cause, 0 if there was none. */
#ifndef NB_RESULT_H
#define NB_RESULT_H

#include <nearbuf/nearbuf.h>

typedef struct nb_result {
  nearbuf_status status;
  int32_t system_error;
} nb_result;

static inline nb_result nb_result_of(nearbuf_status status) {
  nb_result result = {status, 0};
  return result;
}

static inline nb_result nb_result_system(nearbuf_status status, int32_t system_error) {
  nb_result result = {status, system_error};
  return result;
}

#endif
