/* Other processes: their memory map, reading and writing, private memory; see memory.h. */
#include "remote/memory.h"

#include <string.h>

#include "os/os.h"
#include "remote/port.h"
#include "remote/process.h"
#include "remote/walk.h"

/* ---- Map, reading and writing ---------------------------------------------------------------- */

nearbuf_status nearbuf_process_visit_map(nearbuf_process *process,
                                         nearbuf_process_map_visitor visit, void *context) {
  if (visit == NULL || !nbuf_process_is_open(process)) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nbuf_os_call call = nbuf_os_call_begin();
  nbuf_remote_map map;
  nbuf_remote_mapping mapping = {0};
  nbuf_result result = nbuf_remote_map_open(process, &map);
  bool saw_any = false;
  while (result.status == NEARBUF_OK) {
    result = nbuf_remote_map_next(&map, &mapping);
    saw_any = saw_any || result.status == NEARBUF_OK;
    if (result.status == NEARBUF_OK && visit(&mapping.info, context) < 0) {
      result = nbuf_result_of(NEARBUF_CANCELLED);
    }
  }
  nbuf_remote_map_close(&map);
  if (result.status == NEARBUF_NOT_FOUND && saw_any) {
    result = nbuf_remote_check(process); /* the end of the map, or of the process */
  }
  return nbuf_process_call_end(process, result, call);
}

/* Reads into `to` or, if that is null, writes from `from`. */
static nearbuf_status transfer(nearbuf_process *process, uint64_t address, void *to,
                               const void *from, size_t size_bytes, size_t *done_bytes) {
  size_t done = 0;
  if (done_bytes != NULL) {
    *done_bytes = 0;
  }
  if ((to == NULL && from == NULL) || !nbuf_process_is_open(process)) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nbuf_os_call call = nbuf_os_call_begin();
  nbuf_result result = to != NULL ? nbuf_remote_read(process, address, to, size_bytes, &done)
                                  : nbuf_remote_write(process, address, from, size_bytes, &done);
  if (done_bytes != NULL) {
    *done_bytes = done;
  }
  return nbuf_process_call_end(process, result, call);
}

nearbuf_status nearbuf_process_read(nearbuf_process *process, uint64_t address, void *bytes,
                                    size_t size_bytes, size_t *done_bytes) {
  return transfer(process, address, bytes, NULL, size_bytes, done_bytes);
}

nearbuf_status nearbuf_process_write(nearbuf_process *process, uint64_t address, const void *bytes,
                                     size_t size_bytes, size_t *done_bytes) {
  return transfer(process, address, NULL, bytes, size_bytes, done_bytes);
}

static bool is_mapped_for_use(const nbuf_remote_mapping *mapping) {
  return mapping->info.is_readable != 0 && mapping->info.is_writable != 0 &&
         mapping->info.is_executable != 0;
}

/* Whether there is memory of one kind from the first byte to the last: OK, NOT_MAPPED: some of it
 * is not there, or NOT_FOUND: some of it is of another kind. */
static nbuf_result check_kind(const nearbuf_process *process, uint64_t base, uint64_t size,
                              bool (*matches)(const nbuf_remote_mapping *mapping)) {
  nbuf_remote_map map;
  nbuf_remote_mapping mapping = {0};
  uint64_t from = base;
  uint64_t last = base + (size - 1);
  nbuf_result result = nbuf_remote_map_open(process, &map);
  bool is_open = result.status == NEARBUF_OK;
  while (result.status == NEARBUF_OK) {
    result = nbuf_remote_map_next(&map, &mapping);
    if (result.status != NEARBUF_OK || mapping.info.max < from) {
      continue;
    }
    if (mapping.info.min > from) {
      result = nbuf_result_of(NEARBUF_NOT_MAPPED);
    } else if (!matches(&mapping)) {
      nbuf_remote_map_close(&map);
      return nbuf_result_of(NEARBUF_NOT_FOUND);
    } else if (mapping.info.max >= last) {
      break;
    } else {
      from = mapping.info.max + 1;
    }
  }
  nbuf_remote_map_close(&map);
  bool is_end = is_open && result.status == NEARBUF_NOT_FOUND;
  return is_end ? nbuf_result_of(NEARBUF_NOT_MAPPED) : result;
}

nbuf_result nbuf_process_check_usable(const nearbuf_process *process, uint64_t base,
                                      uint64_t size) {
  return check_kind(process, base, size, is_mapped_for_use);
}

/* ---- Requests -------------------------------------------------------------------------------- */

/* Addresses of the process may be narrower than the request's: the part above them is cut off. */
static nearbuf_status fit_to_width(uint32_t width, nbuf_process_wish *wanted) {
  nbuf_constraint *constraint = &wanted->constraint;
  uint64_t highest = width == 8 ? UINT64_MAX : UINT32_MAX;
  constraint->max = constraint->max < highest ? constraint->max : highest;
  constraint->alignment = nbuf_alignment_for(constraint->alignment, wanted->flags);
  bool has_place = constraint->min <= highest && constraint->alignment <= highest &&
                   nbuf_constraint_has_place(constraint, constraint->size, constraint->alignment);
  return has_place ? NEARBUF_OK : NEARBUF_RANGE_TOO_SMALL;
}

nearbuf_status nbuf_process_check_request(const nearbuf_process *process,
                                          const nearbuf_process_request *request,
                                          nbuf_process_wish *checked) {
  if (request == NULL || request->struct_size != sizeof *request ||
      (request->flags & ~(uint32_t)(NEARBUF_DATA | NEARBUF_PROCESS_EXISTING)) != 0) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *checked = (nbuf_process_wish){.constraint = {.min = request->min,
                                                .max = request->max,
                                                .alignment = request->alignment_bytes,
                                                .size = request->size_bytes},
                                 .target = request->target,
                                 .near_bytes = request->near_bytes,
                                 .flags = request->flags};
  nearbuf_status status = nbuf_constraint_check(&checked->constraint);
  if (status != NEARBUF_OK) {
    return status;
  }
  return nbuf_process_width(process) > sizeof(uintptr_t)
             ? NEARBUF_UNSUPPORTED
             : fit_to_width(nbuf_process_width(process), checked);
}

/* ---- Placing memory in it -------------------------------------------------------------------- */

/* The number of times that the map may change before a request fails. */
enum { MOST_TRIES = 16 };

/* After this time no other place is tried: in a process that stops slowly each takes seconds. */
static const uint64_t tries_bound_ns = 2000000000;

/* The addresses that the process will need itself: room for its heap, and for each stack that
 * grows. */
enum { FOR_HEAP = 256 << 20, FOR_STACK = 9 << 20 };

typedef struct obstacles {
  nearbuf_process *process;
  nbuf_remote_draft *draft; /* null: none */
  uint64_t end;             /* when no other place is tried */
  nbuf_remote_map map;
  nbuf_result result; /* why the map could not be read */
  nbuf_range last;
  bool is_last_valid;
  bool is_ended;
  bool use_reserved;
  uint32_t extra_count;
  nbuf_range extra[2 + MOST_TRIES];
} obstacles;

static nbuf_result rewind_map(obstacles *all) {
  nbuf_remote_map_close(&all->map);
  all->is_last_valid = false;
  all->is_ended = false;
  all->result = nbuf_remote_map_open(all->process, &all->map);
  return all->result;
}

/* The first mapping that ends at or above `from`; queried in ascending order. */
static bool next_mapping(obstacles *all, uintptr_t from, nbuf_range *occupied) {
  while (!all->is_ended && (!all->is_last_valid || all->last.max < from)) {
    nbuf_remote_mapping mapping = {0};
    all->result = nbuf_remote_map_next(&all->map, &mapping);
    all->is_ended = all->result.status != NEARBUF_OK || mapping.info.min > UINTPTR_MAX;
    if (!all->is_ended) {
      uint64_t max = mapping.info.max > UINTPTR_MAX ? UINTPTR_MAX : mapping.info.max;
      all->last = (nbuf_range){(uintptr_t)mapping.info.min, (uintptr_t)max};
      all->is_last_valid = true;
    }
  }
  *occupied = all->last;
  return !all->is_ended;
}

static nbuf_source_answer next_obstacle(void *context, uintptr_t from, nbuf_range *occupied) {
  obstacles *all = context;
  nbuf_range lowest = {UINTPTR_MAX, UINTPTR_MAX};
  bool is_found = next_mapping(all, from, &lowest);
  if (all->result.status != NEARBUF_OK && all->result.status != NEARBUF_NOT_FOUND) {
    return NBUF_SOURCE_FAILED;
  }
  return nbuf_source_lowest(from, all->extra, all->extra_count, is_found, lowest, occupied);
}

/* Records where the heap and the stack will grow. */
static nbuf_result note_reserved(obstacles *all) {
  nbuf_result result = rewind_map(all);
  nbuf_remote_mapping mapping = {0};
  bool saw_any = false;
  while (result.status == NEARBUF_OK) {
    result = nbuf_remote_map_next(&all->map, &mapping);
    saw_any = saw_any || result.status == NEARBUF_OK;
    if (result.status != NEARBUF_OK || mapping.info.max > UINTPTR_MAX || all->extra_count == 2) {
      continue;
    }
    uintptr_t min = (uintptr_t)mapping.info.min;
    uintptr_t max = (uintptr_t)mapping.info.max;
    if (strcmp(mapping.info.name, "[heap]") == 0) {
      all->extra[all->extra_count++] = (nbuf_range){min, nbuf_add_saturating(max, FOR_HEAP)};
    } else if (strcmp(mapping.info.name, "[stack]") == 0) {
      all->extra[all->extra_count++] = (nbuf_range){nbuf_sub_saturating(min, FOR_STACK), max};
    }
  }
  if (result.status != NEARBUF_NOT_FOUND) {
    return result;
  }
  /* A map that ends too early is that of a process that is ending: it gets no memory then. */
  return saw_any ? nbuf_result_of(NEARBUF_OK) : nbuf_remote_check(all->process);
}

static nbuf_result allocate_place(const obstacles *all, const nbuf_gap_request *gap_request,
                                  nbuf_place *place) {
  if (all->draft != NULL) {
    nbuf_remote_draft_begin(all->process, all->draft);
  }
  nbuf_result result = nbuf_remote_allocate(all->process, place->start, place->size, all->draft);
  if (result.status == NEARBUF_OUT_OF_MEMORY && place->size > gap_request->least) {
    place->size = gap_request->least;
    result = nbuf_remote_allocate(all->process, place->start, place->size, all->draft);
  }
  return result;
}

/* Whether a stack that starts behind the gap will grow down to the place. */
static bool will_be_grown_into(const obstacles *all, const nbuf_place *place, nbuf_range gap) {
  uintptr_t distance = gap.max - (place->start + (place->size - 1));
  return !all->use_reserved && distance >= NBUF_OS_LEAST_GROWTH && distance < FOR_STACK &&
         nbuf_remote_is_growing_stack(all->process, gap.max + 1);
}

/* Finds a place and maps memory there, until another reason than room makes it fail. */
static nbuf_result search_and_allocate(obstacles *all, const nbuf_gap_request *gap_request,
                                       nbuf_place *place) {
  nbuf_source source = {next_obstacle, all, false};
  for (uint32_t tries = 0; tries < MOST_TRIES; tries++) {
    nbuf_result result = rewind_map(all);
    if (result.status != NEARBUF_OK) {
      return result;
    }
    nbuf_search_memo memo;
    nbuf_search_answer found = nbuf_placement_search(gap_request, &source, place, &memo);
    if (found == NBUF_SEARCH_FAILED) {
      return all->result;
    }
    if (found == NBUF_SEARCH_NO_ROOM) {
      return nbuf_result_of(NEARBUF_NO_ROOM);
    }
    nbuf_range gap = memo.gap;
    nbuf_range refused = nbuf_place_range(place);
    bool is_stack = will_be_grown_into(all, place, gap);
    if (!is_stack) {
      result = allocate_place(all, gap_request, place);
      if (result.status != NEARBUF_NO_ROOM) {
        return result;
      }
      is_stack = nbuf_remote_is_growing_stack(all->process, gap.max + 1);
    }
    if (is_stack) {
      uintptr_t room = all->use_reserved ? NBUF_OS_LEAST_GROWTH : FOR_STACK;
      refused = (nbuf_range){nbuf_sub_saturating(gap.max, room - 1), gap.max};
    }
    all->extra[all->extra_count++] = refused;
    if (nbuf_os_nanoseconds() > all->end) {
      return nbuf_result_of(NEARBUF_BUSY);
    }
  }
  return nbuf_result_of(NEARBUF_NO_ROOM);
}

static nbuf_result allocate_in_range(nearbuf_process *process, const nbuf_gap_request *gap_request,
                                     nbuf_remote_draft *draft, nbuf_place *place) {
  obstacles all = {
      .process = process, .draft = draft, .end = nbuf_os_nanoseconds() + tries_bound_ns};
  nbuf_result result = note_reserved(&all);
  if (result.status == NEARBUF_OK) {
    result = search_and_allocate(&all, gap_request, place);
  }
  if (result.status == NEARBUF_NO_ROOM && !gap_request->spares_reserved) {
    all.use_reserved = true;
    all.extra_count = 0; /* nothing else fits: also where the heap or a stack will grow */
    result = search_and_allocate(&all, gap_request, place);
  }
  nbuf_remote_map_close(&all.map);
  return result;
}

/* Makes memory in the constraint's range. */
static nbuf_result allocate_within(nearbuf_process *process, nbuf_gap_request *gap_request,
                                   nbuf_remote_draft *draft, nbuf_place *place) {
  uintptr_t around =
      gap_request->target > gap_request->range.min ? gap_request->target : gap_request->range.min;
  nbuf_range limits = nbuf_remote_limits(process->address_bits, around);
  if (!nbuf_range_intersect(gap_request->range, limits, &gap_request->range)) {
    return nbuf_result_of(NEARBUF_NO_ROOM);
  }
  nbuf_range whole = gap_request->range;
  bool is_narrowed = nbuf_placement_choose_target(gap_request, 0);
  nbuf_result result = allocate_in_range(process, gap_request, draft, place);
  if (result.status == NEARBUF_NO_ROOM && is_narrowed) {
    gap_request->range = whole;
    result = allocate_in_range(process, gap_request, draft, place);
  }
  return result;
}

nbuf_result nbuf_process_make_memory(nearbuf_process *process, const nbuf_constraint *constraint,
                                     uint64_t target, uintptr_t want, bool is_near,
                                     nbuf_remote_draft *draft, nbuf_place *place) {
  nbuf_gap_request gap_request;
  nbuf_result result;
  if (process->address_bits == 0) {
    result = nbuf_result_of(NEARBUF_DENIED); /* it hides even which program it runs */
  } else if (!nbuf_constraint_need(constraint, target, nbuf_os_granularity(), &gap_request)) {
    result = nbuf_result_of(NEARBUF_NO_ROOM);
  } else {
    gap_request.want = want > gap_request.least ? want : gap_request.least;
    gap_request.spares_reserved = is_near;
    result = allocate_within(process, &gap_request, draft, place);
  }
  if (result.status != NEARBUF_OK) {
    *place = (nbuf_place){0, 0};
  }
  return result;
}

/* ---- Private memory -------------------------------------------------------------------------- */

/* What is as near as was asked for comes first, then all of the range. */
static nbuf_result allocate_private(nearbuf_process *process, const nbuf_process_wish *wanted,
                                    nbuf_place *place) {
  nbuf_constraint near_part;
  if (nbuf_constraint_narrow(&wanted->constraint, wanted->target, wanted->near_bytes, &near_part)) {
    nbuf_result result =
        nbuf_process_make_memory(process, &near_part, wanted->target, 0, true, NULL, place);
    if (result.status != NEARBUF_NO_ROOM) {
      return result;
    }
  }
  return nbuf_process_make_memory(process, &wanted->constraint, wanted->target, 0, false, NULL,
                                  place);
}

nearbuf_status nearbuf_process_allocate(nearbuf_process *process,
                                        const nearbuf_process_request *request, uint64_t *address,
                                        uint64_t *size_bytes) {
  if (size_bytes != NULL) {
    *size_bytes = 0;
  }
  if (address != NULL) {
    *address = 0;
  }
  if (address == NULL || !nbuf_process_is_open(process)) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nbuf_process_wish wanted;
  nearbuf_status status = nbuf_process_check_request(process, request, &wanted);
  if (status != NEARBUF_OK) {
    process->system_error = 0;
    return status;
  }
  nbuf_os_call call = nbuf_os_call_begin();
  nbuf_place place = {0, 0};
  nbuf_result result = nbuf_remote_note_program(process);
  if (result.status == NEARBUF_OK) {
    result = nbuf_process_explain(process, allocate_private(process, &wanted, &place));
  }
  *address = place.start;
  if (size_bytes != NULL) {
    *size_bytes = place.size;
  }
  return nbuf_process_call_end(process, result, call);
}

/* Whether a locator lists a byte of [address, address + size). */
static nbuf_result check_unlisted(nearbuf_process *process, uint64_t address, uint64_t size) {
  nearbuf_process_walk walk;
  nbuf_walk_start(&walk);
  nearbuf_process_locator locator;
  nbuf_result result;
  do {
    locator = (nearbuf_process_locator){0};
    result = nbuf_walk_next_locator(process, &walk, &locator);
    for (uint32_t i = 0; result.status == NEARBUF_OK && i < walk.count; i++) {
      nbuf_item item = nbuf_walk_item(&walk, i);
      if (item.base < address + size && address < item.base + item.size) {
        return nbuf_result_of(NEARBUF_NOT_FOUND);
      }
    }
  } while (result.status == NEARBUF_OK);
  return result.status == NEARBUF_NOT_FOUND ? nbuf_remote_check(process) : result;
}

/* Whether it is private memory as this library maps it. */
static bool is_private(const nbuf_remote_mapping *mapping) {
  return is_mapped_for_use(mapping) && mapping->info.is_shared == 0 && mapping->inode == 0 &&
         mapping->info.name[0] == '\0';
}

static nbuf_result check_and_free(nearbuf_process *process, uint64_t address, uint64_t size) {
  nbuf_result result = check_kind(process, address, size, is_private);
  if (result.status == NEARBUF_OK) {
    result = check_unlisted(process, address, size);
  }
  return result.status == NEARBUF_OK ? nbuf_remote_free(process, address, size) : result;
}

nearbuf_status nearbuf_process_free(nearbuf_process *process, uint64_t address,
                                    uint64_t size_bytes) {
  uint64_t in_granule = nbuf_os_granularity() - 1;
  if (!nbuf_process_is_open(process) || address == 0 || size_bytes == 0 ||
      (address & in_granule) != 0 || (size_bytes & in_granule) != 0 ||
      address > UINT64_MAX - size_bytes) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  if (nbuf_process_width(process) > sizeof(uintptr_t)) {
    return NEARBUF_UNSUPPORTED;
  }
  nbuf_os_call call = nbuf_os_call_begin();
  nbuf_result result = nbuf_remote_check_program(process); /* the one that it was allocated in */
  if (result.status == NEARBUF_STALE) {
    result = nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  if (result.status == NEARBUF_OK) {
    result = nbuf_remote_note_program(process);
  }
  if (result.status == NEARBUF_OK) {
    result = nbuf_process_explain(process, check_and_free(process, address, size_bytes));
  }
  return nbuf_process_call_end(process, result, call);
}
