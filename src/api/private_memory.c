/* Private memory in a range: the same search as for buffers, without a locator. */
#include "base/constraint.h"
#include "core/regions.h"
#include "os/os.h"

static nearbuf_status gap_request_of(const nearbuf_request *request,
                                     nbuf_gap_request *gap_request) {
  nbuf_constraint constraint = nbuf_request_constraint(request, 0);
  bool has_place =
      nbuf_constraint_need(&constraint, request->target, nbuf_os_granularity(), gap_request) &&
      nbuf_constraint_has_place(&constraint, gap_request->least, gap_request->alignment);
  return has_place ? NEARBUF_OK : NEARBUF_RANGE_TOO_SMALL;
}

nearbuf_status nearbuf_allocate(const nearbuf_request *request, nearbuf_memory *memory) {
  if (memory == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *memory = (nearbuf_memory){0};
  nearbuf_status status = nbuf_request_check(request);
  nbuf_gap_request gap_request;
  if (status == NEARBUF_OK) {
    status = gap_request_of(request, &gap_request);
  }
  if (status != NEARBUF_OK) {
    return status;
  }
  int32_t last_error = nbuf_os_last_error();
  nbuf_place region;
  nbuf_result result = nbuf_region_make(&nbuf_own_regions, &gap_request, &region);
  nbuf_os_set_last_error(last_error);
  memory->run_at = (unsigned char *)region.start;
  memory->write_to = memory->run_at;
  memory->size_bytes = region.size;
  memory->system_error = result.system_error;
  memory->is_private = result.status == NEARBUF_OK;
  return result.status;
}

/* Whether nearbuf_allocate may have returned it: nearbuf_place fills in a structure of the same
 * type. */
static bool is_allocated(const nearbuf_memory *memory) {
  uintptr_t below_granule = nbuf_os_granularity() - 1;
  return memory->is_private == 1 && memory->run_at != NULL && memory->size_bytes != 0 &&
         (((uintptr_t)memory->run_at | memory->size_bytes) & below_granule) == 0;
}

nearbuf_status nearbuf_free(nearbuf_memory *memory) {
  if (memory == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  if (!is_allocated(memory)) {
    return NEARBUF_INVALID_HANDLE;
  }
  int32_t last_error = nbuf_os_last_error();
  nbuf_place region = {(uintptr_t)memory->run_at, memory->size_bytes};
  nbuf_result result = nbuf_region_drop(&nbuf_own_regions, &region);
  nbuf_os_set_last_error(last_error);
  memory->system_error = result.system_error;
  if (result.status == NEARBUF_OK) {
    *memory = (nearbuf_memory){0};
  }
  return result.status;
}
