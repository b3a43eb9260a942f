/* What an internal function that can fail answers: the public status and, beside it, the code of the
 * system call that was the cause, 0 where none was. */
#ifndef NB_OUTCOME_H
#define NB_OUTCOME_H

#include <nearbuf/nearbuf.h>

typedef struct nb_outcome {
  nearbuf_status status;
  int32_t system_error;
} nb_outcome;

static inline nb_outcome nb_outcome_of(nearbuf_status status) {
  nb_outcome outcome = {status, 0};
  return outcome;
}

static inline nb_outcome nb_outcome_system(nearbuf_status status, int32_t system_error) {
  nb_outcome outcome = {status, system_error};
  return outcome;
}

#endif
