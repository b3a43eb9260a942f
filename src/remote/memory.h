/* Memory in another process: the constraint of a request, and making memory near to a target. */
#ifndef NBUF_REMOTE_MEMORY_H
#define NBUF_REMOTE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include <nearbuf/process.h>

#include "base/constraint.h"
#include "base/placement.h"
#include "base/result.h"
#include "remote/port.h"

/* A request that was checked. */
typedef struct nbuf_process_wish {
  nbuf_constraint constraint;
  uint64_t target;
  uint64_t near_bytes;
  uint32_t flags;
} nbuf_process_wish;

/* Checks a request: OK, or what is wrong with it. */
nearbuf_status nbuf_process_check_request(const nearbuf_process *process,
                                          const nearbuf_process_request *request,
                                          nbuf_process_wish *checked);

/* Makes memory for the constraint, of `want` bytes if they are free; `is_near`: another range is
 * tried next. `draft`: null, or of the page of the first locator, which will list the memory. */
nbuf_result nbuf_process_make_memory(nearbuf_process *process, const nbuf_constraint *constraint,
                                     uint64_t target, uintptr_t want, bool is_near,
                                     nbuf_remote_draft *draft, nbuf_place *place);

/* Whether the memory of a buffer is mapped, readable, writable and executable from its first to its
 * last byte. */
nbuf_result nbuf_process_check_usable(const nearbuf_process *process, uint64_t base, uint64_t size);

#endif
