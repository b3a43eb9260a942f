/* Memory in another process: the constraint of a request, and making memory near to a target. */
#ifndef NB_REMOTE_MEMORY_H
#define NB_REMOTE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include <nearbuf/process.h>

#include "base/constraint.h"
#include "base/placement.h"
#include "base/result.h"

/* A request that was checked. */
typedef struct nb_process_wish {
  nb_constraint constraint;
  uint64_t target;
  uint64_t near_bytes;
  uint32_t flags;
} nb_process_wish;

/* Checks a request: OK, or what is wrong with it. */
nearbuf_status nb_process_check_request(const nearbuf_process *process,
                                        const nearbuf_process_request *request,
                                        nb_process_wish *checked);

/* Makes memory for the constraint, of `want` bytes if they are free; `is_near`: another range is
 * tried next. */
nb_result nb_process_make_memory(nearbuf_process *process, const nb_constraint *constraint,
                                 uint64_t target, uintptr_t want, bool is_near, nb_place *place);

/* Whether the memory of a buffer is mapped, readable, writable and executable from its first to its
 * last byte. */
nb_result nb_process_check_usable(const nearbuf_process *process, uint64_t base, uint64_t size);

#endif
