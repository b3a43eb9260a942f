/* Other processes: the public calls; see process.h. What a system must do for it is in
 * os/remote.h.
 *
 * A locator is looked at in a copy, and changed in the page itself, which is shared with the
 * process for that long. Its fields are as wide as its process's addresses, so the layout goes
 * along everywhere. */
#include <string.h>

#include <nearbuf/process.h>

#include "base/constraint.h"
#include "base/format.h"
#include "base/item.h"
#include "base/placement.h"
#include "os/os.h"
#include "os/wait.h"
#include "remote/port.h"

/* ---- Calls ----------------------------------------------------------------------------------- */

/* The end of every call with a process. Its death explains every failure of the system's. */
static nearbuf_status answer(nearbuf_process *process, nb_result result, nb_os_call call) {
  if (result.status != NEARBUF_OK && result.status != NEARBUF_CANCELLED && process->id != 0) {
    nb_result alive = nb_remote_check(process);
    result = alive.status == NEARBUF_NOT_FOUND ? alive : result;
  }
  nb_os_call_end(call);
  process->system_error = result.system_error;
  return result.status;
}

/* The result of work in the program that was noted. Where another one has taken its place, or just takes
 * it, that explains every failure: threads vanish under our hands, and what was learned is of the one
 * before. */
static nb_result of_noted_program(const nearbuf_process *process, nb_result result) {
  if (result.status == NEARBUF_OK) {
    return result;
  }
  nb_result same = nb_remote_check_program(process);
  bool is_replaced = same.status == NEARBUF_NO_ROOM || same.status == NEARBUF_BUSY;
  return is_replaced ? nb_result_system(NEARBUF_BUSY, result.system_error) : result;
}

static bool is_open(const nearbuf_process *process) {
  return process != NULL && process->id != 0;
}

nearbuf_status nearbuf_process_open(int64_t id, nearbuf_process *process) {
  if (process == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *process = (nearbuf_process){0};
  if (id < 1) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nb_os_call call = nb_os_call_begin();
  nb_result result = nb_remote_open(id, process);
  if (result.status != NEARBUF_OK) {
    *process = (nearbuf_process){0};
  }
  return answer(process, result, call);
}

nearbuf_status nearbuf_process_close(nearbuf_process *process) {
  if (process == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  if (is_open(process)) {
    nb_os_call call = nb_os_call_begin();
    nb_remote_close(process);
    nb_os_call_end(call);
  }
  *process = (nearbuf_process){0};
  return NEARBUF_OK;
}

nearbuf_status nearbuf_process_check(nearbuf_process *process) {
  if (!is_open(process)) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nb_os_call call = nb_os_call_begin();
  return answer(process, nb_remote_check(process), call);
}

nearbuf_status nearbuf_process_describe(nearbuf_process *process, nearbuf_process_info *info) {
  if (info == NULL || !is_open(process)) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *info = (nearbuf_process_info){0};
  nb_os_call call = nb_os_call_begin();
  nb_result result = nb_remote_describe(process, info);
  if (result.status != NEARBUF_OK) {
    *info = (nearbuf_process_info){0};
  }
  return answer(process, result, call);
}

nearbuf_status nearbuf_process_visit_all(nearbuf_process_visitor visit, void *context) {
  return visit == NULL ? NEARBUF_INVALID_ARGUMENT : nb_remote_visit_all(visit, context).status;
}

nearbuf_status nearbuf_process_visit_map(nearbuf_process *process,
                                         nearbuf_process_map_visitor visit, void *context) {
  if (visit == NULL || !is_open(process)) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nb_os_call call = nb_os_call_begin();
  nb_remote_map map;
  nb_remote_mapping mapping = {0};
  nb_result result = nb_remote_map_open(process, &map);
  bool saw_any = false;
  while (result.status == NEARBUF_OK) {
    result = nb_remote_map_next(&map, &mapping);
    saw_any = saw_any || result.status == NEARBUF_OK;
    if (result.status == NEARBUF_OK && visit(&mapping.info, context) < 0) {
      result = nb_result_of(NEARBUF_CANCELLED);
    }
  }
  nb_remote_map_close(&map);
  if (result.status == NEARBUF_NOT_FOUND && saw_any) {
    result = nb_remote_check(process); /* the end of the map, or of the process */
  }
  return answer(process, result, call);
}

/* Reads into `to` or, where that is null, writes from `from`. */
static nearbuf_status transfer(nearbuf_process *process, uint64_t address, void *to,
                               const void *from, size_t size_bytes, size_t *done_bytes) {
  size_t done = 0;
  if (done_bytes != NULL) {
    *done_bytes = 0;
  }
  if ((to == NULL && from == NULL) || !is_open(process)) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nb_os_call call = nb_os_call_begin();
  nb_result result = to != NULL ? nb_remote_read(process, address, to, size_bytes, &done)
                                : nb_remote_write(process, address, from, size_bytes, &done);
  if (done_bytes != NULL) {
    *done_bytes = done;
  }
  return answer(process, result, call);
}

nearbuf_status nearbuf_process_read(nearbuf_process *process, uint64_t address, void *bytes,
                                    size_t size_bytes, size_t *done_bytes) {
  return transfer(process, address, bytes, NULL, size_bytes, done_bytes);
}

nearbuf_status nearbuf_process_write(nearbuf_process *process, uint64_t address, const void *bytes,
                                     size_t size_bytes, size_t *done_bytes) {
  return transfer(process, address, NULL, bytes, size_bytes, done_bytes);
}

/* ---- Walking --------------------------------------------------------------------------------- */

enum { WALK_START = 0, WALK_UNDER_WAY = 1, WALK_DONE = 2 };

/* More locators than a chain has: with 203 buffers each they list 800,000, and a process has
 * 65,530 mappings at most, unless the system was told otherwise. Whoever shows more wants to use
 * up our time and memory, or makes the chain longer while we walk. */
enum { MOST_LOCATORS = 4096 };

static uint32_t width_of(const nearbuf_process *process) {
  return process->address_bits == 0 ? (uint32_t)sizeof(uintptr_t) : process->address_bits / 8;
}

static uintptr_t image_of(const nearbuf_process_walk *walk) {
  return (uintptr_t)walk->image;
}

static const nb_layout *walk_layout(const nearbuf_process_walk *walk) {
  return nb_layout_of(walk->width, walk->dialect);
}

static bool is_mapped_for_use(const nb_remote_mapping *mapping) {
  return mapping->info.is_readable != 0 && mapping->info.is_writable != 0 &&
         mapping->info.is_executable != 0;
}

/* Whether the memory of a buffer is there, readable, writable and executable from its first to its
 * last byte. */
static nb_result check_memory(const nearbuf_process *process, uint64_t base, uint64_t size) {
  nb_remote_map map;
  nb_remote_mapping mapping = {0};
  uint64_t from = base;
  uint64_t last = base + (size - 1);
  nb_result result = nb_remote_map_open(process, &map);
  while (result.status == NEARBUF_OK) {
    result = nb_remote_map_next(&map, &mapping);
    if (result.status != NEARBUF_OK || mapping.info.max < from) {
      continue;
    }
    if (mapping.info.min > from || !is_mapped_for_use(&mapping)) {
      result = nb_result_of(NEARBUF_NOT_FOUND);
    } else if (mapping.info.max >= last) {
      break;
    } else {
      from = mapping.info.max + 1;
    }
  }
  nb_remote_map_close(&map);
  return result;
}

/* What the map says of a locator's own page. */
static void find_name(const nearbuf_process *process, uint64_t address,
                      nearbuf_process_locator *locator) {
  nb_remote_map map;
  nb_remote_mapping mapping = {0};
  nb_result result = nb_remote_map_open(process, &map);
  while (result.status == NEARBUF_OK) {
    result = nb_remote_map_next(&map, &mapping);
    if (result.status == NEARBUF_OK && mapping.info.max >= address) {
      if (mapping.info.min <= address) {
        memcpy(locator->name, mapping.info.name, sizeof locator->name);
        locator->is_shared = mapping.info.is_shared;
      }
      break;
    }
  }
  nb_remote_map_close(&map);
}

/* Fills what a copy tells, and says whether the chain can be followed behind it. */
static bool describe(nearbuf_process_walk *walk, nearbuf_dialect dialect_if_empty,
                     nearbuf_process_locator *locator) {
  uintptr_t image = image_of(walk);
  walk->dialect = nb_format_recognise(image, walk->width, dialect_if_empty);
  const nb_layout *layout = walk_layout(walk);
  uint32_t index = 0;
  nb_fault fault = nb_format_check(image, layout, walk->address, &index);
  bool is_known = walk->dialect != NEARBUF_DIALECT_UNKNOWN;
  bool is_empty = nb_format_count(image, layout) == 0;
  if (!is_known && !is_empty && (fault == NB_FAULT_NONE || fault >= NB_FAULT_ITEM_BASE)) {
    fault = NB_FAULT_DIALECT;
  }
  bool is_header_sound = fault == NB_FAULT_NONE || fault >= NB_FAULT_ITEM_BASE;
  locator->dialect = walk->dialect;
  locator->capacity = layout->capacity;
  locator->is_locked = nb_shared_load_relaxed(image + layout->locked) != 0;
  locator->fault = fault == NB_FAULT_NONE ? NULL : nb_fault_text(fault);
  locator->fault_index = index;
  walk->count = is_header_sound && is_known ? nb_format_count(image, layout) : 0;
  walk->next = is_header_sound
                   ? nb_shared_address_relaxed(image + layout->next, (uint32_t)layout->width)
                   : 0;
  for (uint32_t i = 0; i < walk->count; i++) {
    uintptr_t item = nb_item_at(image, layout, i);
    locator->count += nb_shared_address_relaxed(item, layout->width) != 0 ? 1 : 0;
  }
  locator->next = walk->next;
  return is_header_sound;
}

/* Brent's way to notice a circle: an earlier address is remembered, at ever larger distances. */
static bool is_circle(nearbuf_process_walk *walk) {
  if (walk->next == walk->mark) {
    return true;
  }
  if ((walk->number & (walk->number + 1)) == 0) {
    walk->mark = walk->address;
  }
  return walk->next == walk->address;
}

static nb_result start_walk(const nearbuf_process *process, nearbuf_process_walk *walk,
                            nearbuf_dialect *dialect_if_empty) {
  uint64_t first;
  nb_result result = nb_remote_first(process, &first, dialect_if_empty);
  if (result.status == NEARBUF_OK) {
    walk->stage = WALK_UNDER_WAY;
    walk->number = UINT32_MAX;
    walk->next = first;
    walk->mark = 0;
    walk->dialect = *dialect_if_empty;
    walk->width = width_of(process);
  }
  return result;
}

static nb_result next_locator(const nearbuf_process *process, nearbuf_process_walk *walk,
                              nearbuf_process_locator *locator) {
  nearbuf_dialect dialect_if_empty =
      (nearbuf_dialect)walk->dialect; /* later ones are like the one before */
  walk->index = 0;
  walk->count = 0;
  if (walk->stage == WALK_START) {
    nb_result result = start_walk(process, walk, &dialect_if_empty);
    if (result.status != NEARBUF_OK) {
      return result;
    }
  }
  if (walk->stage != WALK_UNDER_WAY || walk->next == 0) {
    walk->stage = WALK_DONE;
    return nb_result_of(NEARBUF_NOT_FOUND);
  }
  walk->address = walk->next;
  walk->next = 0;
  walk->number++;
  locator->address = walk->address;
  locator->number = walk->number;
  if ((walk->flags & NEARBUF_PROCESS_UNNAMED) == 0) {
    find_name(process, walk->address, locator);
  }
  nb_result result = nb_remote_image(process, walk->address, (unsigned char *)walk->image);
  if (result.status == NEARBUF_NO_ROOM) {
    locator->fault = "its memory cannot be read";
    return nb_result_of(NEARBUF_OK);
  }
  if (result.status != NEARBUF_OK) {
    walk->stage = WALK_DONE;
    return result;
  }
  if (describe(walk, dialect_if_empty, locator) && walk->next != 0 && is_circle(walk)) {
    locator->fault = "the chain comes back to an earlier locator";
    walk->next = 0;
  }
  if (walk->next != 0 && walk->number == MOST_LOCATORS - 1) {
    locator->fault = "the chain is longer than that of any program";
    walk->next = 0;
  }
  return result;
}

nearbuf_status nearbuf_process_next_locator(nearbuf_process *process, nearbuf_process_walk *walk,
                                            nearbuf_process_locator *locator) {
  if (walk == NULL || locator == NULL || !is_open(process)) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *locator = (nearbuf_process_locator){0};
  nb_os_call call = nb_os_call_begin();
  nb_result result = next_locator(process, walk, locator);
  if (result.status != NEARBUF_OK) {
    *locator = (nearbuf_process_locator){0};
  }
  return answer(process, result, call);
}

static nb_item walk_item(const nearbuf_process_walk *walk, uint32_t index) {
  const nb_layout *layout = walk_layout(walk);
  return nb_item_read(nb_item_at(image_of(walk), layout, index), layout);
}

nearbuf_status nearbuf_process_next_item(nearbuf_process_walk *walk, nearbuf_process_item *item) {
  if (walk == NULL || item == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *item = (nearbuf_process_item){0};
  nb_item values = {0};
  nb_fault fault = NB_FAULT_NONE;
  while (values.base == 0 && fault == NB_FAULT_NONE) { /* slots can be empty */
    if (walk->stage != WALK_UNDER_WAY || walk->index >= walk->count) {
      return NEARBUF_NOT_FOUND;
    }
    values = walk_item(walk, walk->index++);
    fault = nb_item_check(&values, walk_layout(walk));
  }
  uint32_t index = walk->index - 1;
  if (fault == NB_FAULT_NONE &&
      nb_format_overlaps(image_of(walk), walk_layout(walk), index, walk->count)) {
    fault = NB_FAULT_ITEM_OVERLAP;
  }
  item->address = values.base;
  item->size_bytes = values.size;
  item->used_bytes = values.position;
  item->index = index;
  item->is_taken = values.taken != 0;
  item->fault = fault == NB_FAULT_NONE ? NULL : nb_fault_text(fault);
  return NEARBUF_OK;
}

/* ---- Requests -------------------------------------------------------------------------------- */

/* A request that was checked. */
typedef struct wish {
  nb_constraint constraint;
  uint64_t target;
  uint64_t near_bytes;
  uint32_t flags;
} wish;

/* Addresses of the process may be narrower than the request's: what lies above them is cut off. */
static nearbuf_status fit_to_width(uint32_t width, wish *wanted) {
  nb_constraint *constraint = &wanted->constraint;
  uint64_t highest = width == 8 ? UINT64_MAX : UINT32_MAX;
  constraint->max = constraint->max < highest ? constraint->max : highest;
  constraint->alignment = nb_alignment_for(constraint->alignment, wanted->flags);
  bool has_place = constraint->min <= highest && constraint->alignment <= highest &&
                   nb_constraint_has_place(constraint, constraint->size, constraint->alignment);
  return has_place ? NEARBUF_OK : NEARBUF_RANGE_TOO_SMALL;
}

static nearbuf_status check_request(const nearbuf_process *process,
                                    const nearbuf_process_request *request, wish *checked) {
  if (request == NULL || request->struct_size != sizeof *request ||
      (request->flags & ~(uint32_t)(NEARBUF_DATA | NEARBUF_PROCESS_EXISTING)) != 0) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *checked = (wish){.constraint = {.min = request->min,
                                   .max = request->max,
                                   .alignment = request->alignment_bytes,
                                   .size = request->size_bytes},
                    .target = request->target,
                    .near_bytes = request->near_bytes,
                    .flags = request->flags};
  nearbuf_status status = nb_constraint_check(&checked->constraint);
  if (status != NEARBUF_OK) {
    return status;
  }
  return width_of(process) > sizeof(uintptr_t) ? NEARBUF_UNSUPPORTED
                                               : fit_to_width(width_of(process), checked);
}

/* ---- Placing memory in it -------------------------------------------------------------------- */

/* So often the map may have changed before a request is given up. */
enum { MOST_TRIES = 16 };

/* What the process will need itself: room for its heap, and for each stack that grows. */
enum { FOR_HEAP = 256 << 20, FOR_STACK = 9 << 20 };

typedef struct obstacles {
  const nearbuf_process *process;
  nb_remote_map map;
  nb_result result; /* why the map could not be read */
  nb_range last;
  bool is_last_valid;
  bool is_ended;
  bool use_reserved;
  uint32_t extra_count;
  nb_range extra[2 + MOST_TRIES];
} obstacles;

static nb_result rewind_map(obstacles *all) {
  nb_remote_map_close(&all->map);
  all->is_last_valid = false;
  all->is_ended = false;
  all->result = nb_remote_map_open(all->process, &all->map);
  return all->result;
}

/* The first mapping that ends at `from` or above; asked in ascending order. */
static bool next_mapping(obstacles *all, uintptr_t from, nb_range *occupied) {
  while (!all->is_ended && (!all->is_last_valid || all->last.max < from)) {
    nb_remote_mapping mapping = {0};
    all->result = nb_remote_map_next(&all->map, &mapping);
    all->is_ended = all->result.status != NEARBUF_OK || mapping.info.min > UINTPTR_MAX;
    if (!all->is_ended) {
      uint64_t max = mapping.info.max > UINTPTR_MAX ? UINTPTR_MAX : mapping.info.max;
      all->last = (nb_range){(uintptr_t)mapping.info.min, (uintptr_t)max};
      all->is_last_valid = true;
    }
  }
  *occupied = all->last;
  return !all->is_ended;
}

static nb_source_answer next_obstacle(void *context, uintptr_t from, nb_range *occupied) {
  obstacles *all = context;
  nb_range lowest = {UINTPTR_MAX, UINTPTR_MAX};
  bool is_found = next_mapping(all, from, &lowest);
  if (all->result.status != NEARBUF_OK && all->result.status != NEARBUF_NOT_FOUND) {
    return NB_SOURCE_FAILED;
  }
  return nb_source_lowest(from, all->extra, all->extra_count, is_found, lowest, occupied);
}

/* Notes where the heap and the stack will grow. */
static nb_result note_reserved(obstacles *all) {
  nb_result result = rewind_map(all);
  nb_remote_mapping mapping = {0};
  while (result.status == NEARBUF_OK) {
    result = nb_remote_map_next(&all->map, &mapping);
    if (result.status != NEARBUF_OK || mapping.info.max > UINTPTR_MAX || all->extra_count == 2) {
      continue;
    }
    uintptr_t min = (uintptr_t)mapping.info.min;
    uintptr_t max = (uintptr_t)mapping.info.max;
    if (strcmp(mapping.info.name, "[heap]") == 0) {
      all->extra[all->extra_count++] = (nb_range){min, nb_add_saturating(max, FOR_HEAP)};
    } else if (strcmp(mapping.info.name, "[stack]") == 0) {
      all->extra[all->extra_count++] = (nb_range){nb_sub_saturating(min, FOR_STACK), max};
    }
  }
  return result.status == NEARBUF_NOT_FOUND ? nb_remote_check(all->process) : result;
}

static nb_result allocate_place(const nearbuf_process *process, const nb_gap_request *gap_request,
                                nb_place *place) {
  nb_result result = nb_remote_allocate(process, place->start, place->size);
  if (result.status == NEARBUF_OUT_OF_MEMORY && place->size > gap_request->least) {
    place->size = gap_request->least;
    result = nb_remote_allocate(process, place->start, place->size);
  }
  return result;
}

/* Whether something that starts behind the gap, a stack, will grow as far as to the place. */
static bool will_be_grown_into(const obstacles *all, const nb_place *place, nb_range gap) {
  uintptr_t distance = gap.max - (place->start + (place->size - 1));
  return !all->use_reserved && distance >= NB_OS_LEAST_GROWTH && distance < FOR_STACK &&
         nb_remote_is_growing_stack(all->process, gap.max + 1);
}

/* Finds a place and maps memory there, until it is not the lack of room that stands in the way. */
static nb_result search_and_allocate(obstacles *all, const nb_gap_request *gap_request,
                                     nb_place *place) {
  nb_source source = {next_obstacle, all, false};
  for (uint32_t tries = 0; tries < MOST_TRIES; tries++) {
    nb_result result = rewind_map(all);
    if (result.status != NEARBUF_OK) {
      return result;
    }
    nb_search_memo memo;
    nb_search_answer found = nb_placement_search(gap_request, &source, place, &memo);
    if (found == NB_SEARCH_FAILED) {
      return all->result;
    }
    if (found == NB_SEARCH_NO_ROOM) {
      return nb_result_of(NEARBUF_NO_ROOM);
    }
    nb_range gap = memo.gap;
    nb_range refused = {place->start, place->start + (place->size - 1)};
    bool is_stack = will_be_grown_into(all, place, gap);
    if (!is_stack) {
      result = allocate_place(all->process, gap_request, place);
      if (result.status != NEARBUF_NO_ROOM) {
        return result;
      }
      is_stack = nb_remote_is_growing_stack(all->process, gap.max + 1);
    }
    if (is_stack) {
      uintptr_t room = all->use_reserved ? NB_OS_LEAST_GROWTH : FOR_STACK;
      refused = (nb_range){nb_sub_saturating(gap.max, room - 1), gap.max};
    }
    all->extra[all->extra_count++] = refused;
  }
  return nb_result_of(NEARBUF_NO_ROOM);
}

static nb_result allocate_in_range(const nearbuf_process *process,
                                   const nb_gap_request *gap_request, nb_place *place) {
  obstacles all = {.process = process};
  nb_result result = note_reserved(&all);
  if (result.status == NEARBUF_OK) {
    result = search_and_allocate(&all, gap_request, place);
  }
  if (result.status == NEARBUF_NO_ROOM && !gap_request->spares_reserved) {
    all.use_reserved = true;
    all.extra_count = 0; /* nothing else fits: also where the heap or the stack will grow */
    result = search_and_allocate(&all, gap_request, place);
  }
  nb_remote_map_close(&all.map);
  return result;
}

/* Makes memory in the constraint's range. */
static nb_result allocate_within(const nearbuf_process *process, nb_gap_request *gap_request,
                                 nb_place *place) {
  uintptr_t around =
      gap_request->target > gap_request->range.min ? gap_request->target : gap_request->range.min;
  nb_range limits = nb_remote_limits(process->address_bits, around);
  if (!nb_range_intersect(gap_request->range, limits, &gap_request->range)) {
    return nb_result_of(NEARBUF_NO_ROOM);
  }
  nb_range whole = gap_request->range;
  bool is_narrowed = nb_placement_choose_target(gap_request, 0);
  nb_result result = allocate_in_range(process, gap_request, place);
  if (result.status == NEARBUF_NO_ROOM && is_narrowed) {
    gap_request->range = whole;
    result = allocate_in_range(process, gap_request, place);
  }
  return result;
}

/* Makes memory for the constraint, of `want` bytes where there is room. */
static nb_result allocate(const nearbuf_process *process, const nb_constraint *constraint,
                          uint64_t target, uintptr_t want, bool is_near, nb_place *place) {
  nb_gap_request gap_request;
  nb_result result;
  if (process->address_bits == 0) {
    result = nb_result_of(NEARBUF_DENIED); /* it does not even let us see what it runs */
  } else if (!nb_constraint_need(constraint, target, nb_os_granularity(), &gap_request)) {
    result = nb_result_of(NEARBUF_NO_ROOM);
  } else {
    gap_request.want = want > gap_request.least ? want : gap_request.least;
    gap_request.spares_reserved = is_near;
    result = allocate_within(process, &gap_request, place);
  }
  if (result.status != NEARBUF_OK) {
    *place = (nb_place){0, 0};
  }
  return result;
}

/* What is as near as was asked for comes first, then all of the range. */
static nb_result allocate_private(const nearbuf_process *process, const wish *wanted,
                                  nb_place *place) {
  nb_constraint near_part;
  if (nb_constraint_narrow(&wanted->constraint, wanted->target, wanted->near_bytes, &near_part)) {
    nb_result result = allocate(process, &near_part, wanted->target, 0, true, place);
    if (result.status != NEARBUF_NO_ROOM) {
      return result;
    }
  }
  return allocate(process, &wanted->constraint, wanted->target, 0, false, place);
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
  if (address == NULL || !is_open(process)) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  wish wanted;
  nearbuf_status status = check_request(process, request, &wanted);
  if (status != NEARBUF_OK) {
    process->system_error = 0;
    return status;
  }
  nb_os_call call = nb_os_call_begin();
  nb_place place = {0, 0};
  nb_result result = nb_remote_note_program(process);
  if (result.status == NEARBUF_OK) {
    result = of_noted_program(process, allocate_private(process, &wanted, &place));
  }
  *address = place.start;
  if (size_bytes != NULL) {
    *size_bytes = place.size;
  }
  return answer(process, result, call);
}

/* Whether a locator lists a byte of [address, address + size). */
static nb_result check_unlisted(nearbuf_process *process, uint64_t address, uint64_t size) {
  nearbuf_process_walk walk;
  walk.stage = WALK_START;
  walk.flags = NEARBUF_PROCESS_UNNAMED;
  walk.dialect = NEARBUF_DIALECT_UNKNOWN;
  nearbuf_process_locator locator;
  nb_result result;
  do {
    locator = (nearbuf_process_locator){0};
    result = next_locator(process, &walk, &locator);
    for (uint32_t i = 0; result.status == NEARBUF_OK && i < walk.count; i++) {
      nb_item item = walk_item(&walk, i);
      if (item.base < address + size && address < item.base + item.size) {
        return nb_result_of(NEARBUF_NO_ROOM);
      }
    }
  } while (result.status == NEARBUF_OK);
  return result.status == NEARBUF_NOT_FOUND ? nb_remote_check(process) : result;
}

/* Whether it is private memory as this library maps it, from the first byte to the last. */
static nb_result check_private(const nearbuf_process *process, uint64_t address, uint64_t size) {
  nb_remote_map map;
  nb_remote_mapping mapping = {0};
  uint64_t from = address;
  uint64_t last = address + (size - 1);
  nb_result result = nb_remote_map_open(process, &map);
  while (result.status == NEARBUF_OK) {
    result = nb_remote_map_next(&map, &mapping);
    if (result.status != NEARBUF_OK || mapping.info.max < from) {
      continue;
    }
    bool is_ours = mapping.info.min <= from && is_mapped_for_use(&mapping) &&
                   mapping.info.is_shared == 0 && mapping.inode == 0 &&
                   mapping.info.name[0] == '\0';
    if (!is_ours) {
      result = nb_result_of(NEARBUF_NO_ROOM);
    } else if (mapping.info.max >= last) {
      break;
    } else {
      from = mapping.info.max + 1;
    }
  }
  nb_remote_map_close(&map);
  return result.status == NEARBUF_NOT_FOUND ? nb_result_of(NEARBUF_NO_ROOM) : result;
}

static nb_result check_and_free(nearbuf_process *process, uint64_t address, uint64_t size) {
  nb_result result = check_private(process, address, size);
  if (result.status == NEARBUF_OK) {
    result = check_unlisted(process, address, size);
  }
  return result.status == NEARBUF_OK ? nb_remote_free(process, address, size) : result;
}

nearbuf_status nearbuf_process_free(nearbuf_process *process, uint64_t address,
                                    uint64_t size_bytes) {
  uint64_t in_granule = nb_os_granularity() - 1;
  if (!is_open(process) || address == 0 || size_bytes == 0 || (address & in_granule) != 0 ||
      (size_bytes & in_granule) != 0 || address > UINT64_MAX - size_bytes) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  if (width_of(process) > sizeof(uintptr_t)) {
    return NEARBUF_UNSUPPORTED;
  }
  nb_os_call call = nb_os_call_begin();
  nb_result result = nb_remote_check_program(process); /* the one that it was allocated in */
  if (result.status == NEARBUF_OK) {
    result = nb_remote_note_program(process);
  }
  if (result.status == NEARBUF_OK) {
    result = of_noted_program(process, check_and_free(process, address, size_bytes));
  }
  return answer(process, result, call);
}

/* ---- Getting --------------------------------------------------------------------------------- */

enum { SHARED_SIZE = 64 << 10 }; /* of a buffer that is made, where there is room */

/* What a request finds. */
typedef struct finding {
  nearbuf_process *process;
  wish wanted;
  nb_constraint constraint; /* of the request, or the part of it that is near */
  bool is_near;
  nearbuf_process_buffer *buffer;
  nearbuf_process_walk walk;
  nb_result refused; /* something would have done, but its locator could not be shared with us */
  bool is_held;      /* something would have done, but somebody holds it */
  bool is_listed;    /* the new region is in a locator: it stays, whatever comes */
  uint32_t in_vain;  /* items whose memory was not there */
} finding;

/* For each item that would do the map is read. A process that lists so many without memory is not
 * asked about more of them. */
enum { MOST_IN_VAIN = 64 };

/* Whether the room of a buffer is enough. */
static bool fits(const nb_constraint *constraint, const nb_item *item) {
  uint32_t start;
  uint32_t limit;
  return item->base != 0 &&
         nb_constraint_fits(constraint, item->base, item->size, item->position, &start, &limit);
}

/* Fills the buffer for an item that fits and is held. The room is that of the whole request. */
static void fill(const finding *ctx, const nb_item *item, uintptr_t place, nb_remote_view *view,
                 intptr_t memory) {
  nearbuf_process_buffer *buffer = ctx->buffer;
  uint32_t start = 0;
  uint32_t limit = 0;
  (void)nb_constraint_fits(&ctx->wanted.constraint, item->base, item->size, item->position, &start,
                           &limit);
  buffer->address = item->base;
  buffer->size = item->size;
  buffer->room = limit - start;
  buffer->position = item->position;
  buffer->start = start;
  buffer->flags = ctx->wanted.flags;
  buffer->layout = ctx->walk.width << 8 | ctx->walk.dialect;
  buffer->item = place;
  buffer->handles[0] = (intptr_t)view->page;
  buffer->handles[1] = (intptr_t)view->size;
  buffer->handles[2] = memory;
  *view = (nb_remote_view){0, 0, 0}; /* the buffer has it now */
}

static const nb_layout *buffer_layout(const nearbuf_process_buffer *buffer) {
  return nb_layout_of(buffer->layout >> 8, buffer->layout & 0xff);
}

/* Locks an item in the page itself and looks again whether it fits. */
static bool claim(const finding *ctx, nb_remote_view *view, uint32_t index, intptr_t memory) {
  const nb_layout *layout = walk_layout(&ctx->walk);
  uintptr_t item = nb_item_at(view->base, layout, index);
  if (!nb_item_try_lock_in(item, layout)) {
    return false;
  }
  nb_item locked = nb_item_read(item, layout);
  if (nb_item_check(&locked, layout) == NB_FAULT_NONE && fits(&ctx->constraint, &locked)) {
    fill(ctx, &locked, item, view, memory);
    return true;
  }
  nb_item_unlock_in(item, layout);
  return false;
}

/* Whether an item of the copy may be used at all. */
static bool is_usable(finding *ctx, uint32_t index, const nb_item *item) {
  const nearbuf_process_walk *walk = &ctx->walk;
  uint64_t in_page = nb_os_page_size() - 1;
  if (ctx->in_vain == MOST_IN_VAIN || nb_item_check(item, walk_layout(walk)) != NB_FAULT_NONE ||
      (item->base & ~in_page) == (walk->address & ~in_page) ||
      nb_format_overlaps(image_of(walk), walk_layout(walk), index, walk->count)) {
    return false;
  }
  bool is_there = check_memory(ctx->process, item->base, item->size).status == NEARBUF_OK;
  ctx->in_vain += is_there ? 0 : 1;
  return is_there;
}

/* Opens what holding a buffer needs. Without the memory nothing can be appended, but a buffer of a
 * process that hides its memory can still be held. */
static bool open_to_hold(finding *ctx, nb_remote_view *view, intptr_t *memory) {
  nb_result result = nb_remote_memory_open(ctx->process, memory);
  bool is_hidden = result.status == NEARBUF_DENIED && ctx->process->address_bits == 0;
  if (result.status == NEARBUF_OK || is_hidden) {
    result = nb_remote_view_open(ctx->process, ctx->walk.address, view);
  }
  if (result.status != NEARBUF_OK) {
    nb_remote_memory_close(*memory);
    ctx->refused = result;
  }
  return result.status == NEARBUF_OK;
}

/* Takes the first item of the current locator that will do. */
static bool take_here(finding *ctx) {
  nb_remote_view view = {0, 0, 0};
  intptr_t memory = 0;
  bool is_found = false;
  for (uint32_t i = 0; i < ctx->walk.count && !is_found; i++) {
    nb_item item = walk_item(&ctx->walk, i);
    if (!fits(&ctx->constraint, &item)) {
      continue;
    }
    ctx->is_held = ctx->is_held || item.taken != 0;
    bool is_hidden = ctx->process->address_bits == 0; /* then its map is hidden, too */
    if (item.taken != 0 || (!is_hidden && !is_usable(ctx, i, &item))) {
      continue;
    }
    if (view.base == 0 && !open_to_hold(ctx, &view, &memory)) {
      return false;
    }
    is_found = claim(ctx, &view, i, memory);
  }
  if (!is_found) {
    nb_remote_view_close(&view);
    nb_remote_memory_close(memory);
  }
  return is_found;
}

/* Calls `visit` for every locator that can be believed, until it answers true. `*is_damaged`: one
 * could not. */
static nb_result each_locator(finding *ctx, bool (*visit)(finding *ctx, void *context),
                              void *context, bool *is_done, bool *is_damaged) {
  ctx->walk.stage = WALK_START;
  ctx->walk.flags = NEARBUF_PROCESS_UNNAMED;
  ctx->walk.dialect = NEARBUF_DIALECT_UNKNOWN;
  *is_done = false;
  *is_damaged = false;
  nb_result result;
  for (;;) {
    nearbuf_process_locator locator = {0};
    result = next_locator(ctx->process, &ctx->walk, &locator);
    if (result.status != NEARBUF_OK) {
      return result;
    }
    if (locator.fault != NULL) {
      *is_damaged = true; /* not written to */
    } else if (visit(ctx, context)) {
      *is_done = true;
      return result;
    }
  }
}

static bool visit_to_take(finding *ctx, void *context) {
  (void)context;
  return take_here(ctx);
}

/* ---- Registering ----------------------------------------------------------------------------- */

/* The end of the chain, seen while a free slot was looked for. */
typedef struct listing {
  nb_item item;
  uint64_t last;
  uint32_t last_dialect;
} listing;

/* Under the lock. A reference that was starting can have cleared the count of the first locator
 * (header.h): what the slots say is true, if they hold items. In later ones nobody clears anything,
 * and what is behind the count can be anything. */
static uint32_t next_slot(const nearbuf_process_walk *walk, uintptr_t locator) {
  const nb_layout *layout = walk_layout(walk);
  return walk->number == 0 ? nb_format_count_by_slots(locator, layout, walk->address)
                           : nb_format_count(locator, layout);
}

/* Lists the item in the current locator, if that has a free slot, and holds it. */
static bool list_here(finding *ctx, void *context) {
  listing *new = context;
  const nb_layout *layout = walk_layout(&ctx->walk);
  new->last = ctx->walk.address;
  new->last_dialect = ctx->walk.dialect;
  nb_remote_view view = {0, 0, 0};
  intptr_t memory = 0;
  if (ctx->walk.dialect == NEARBUF_DIALECT_UNKNOWN || ctx->walk.count >= layout->capacity ||
      !open_to_hold(ctx, &view, &memory)) {
    return false;
  }
  bool is_listed = false;
  if (nb_wait_for_lock(view.base + layout->locked, NULL)) {
    uint32_t count = next_slot(&ctx->walk, view.base);
    uintptr_t header = view.base + layout->locked;
    if (count < layout->capacity) {
      uintptr_t item = nb_item_at(view.base, layout, count);
      nb_item_write(item, layout, &new->item);
      nb_format_store_count(view.base, layout, count + 1);
      is_listed = true;
      ctx->is_listed = true;
      nb_shared_unlock_release(header);
      fill(ctx, &new->item, item, &view, memory);
    } else {
      nb_shared_unlock_release(header);
    }
  }
  if (!is_listed) {
    nb_remote_view_close(&view);
    nb_remote_memory_close(memory);
  }
  return is_listed;
}

static bool set_link(uintptr_t link, uint32_t width, uint64_t next) {
  if (width == sizeof(uintptr_t)) {
    return nb_shared_link_set_release(link, (uintptr_t)next);
  }
  uint32_t none = 0;
  return atomic_compare_exchange_strong_explicit(nb_shared_word(link), &none,
                                                 nb_little_32((uint32_t)next), memory_order_acq_rel,
                                                 memory_order_acquire);
}

/* Holds the item of a locator that this call made. */
static nb_result hold_first(finding *ctx, const nb_remote_page *page, const nb_item *item,
                            uint32_t dialect) {
  nb_remote_view view = {0, 0, 0};
  intptr_t memory = 0;
  ctx->walk.address = page->address;
  ctx->walk.dialect = dialect;
  ctx->walk.width = width_of(ctx->process);
  if (!open_to_hold(ctx, &view, &memory)) {
    return ctx->refused;
  }
  uintptr_t held = nb_item_at(view.base, walk_layout(&ctx->walk), page->slot);
  fill(ctx, item, held, &view, memory);
  return nb_result_of(NEARBUF_OK);
}

/* Adds a locator to the end of the chain, or as the first one. BUSY: somebody else was faster. */
static nb_result grow(finding *ctx, const listing *new) {
  bool is_first = new->last == 0;
  uint32_t dialect = is_first || new->last_dialect == NEARBUF_DIALECT_DOTNET
                         ? (uint32_t)NEARBUF_DIALECT_WRITTEN
                         : new->last_dialect;
  uint32_t width = width_of(ctx->process);
  const nb_layout *layout = nb_layout_of(width, dialect);
  nb_remote_view view = {0, 0, 0};
  if (!is_first) {
    nb_result result = nb_remote_view_open(ctx->process, new->last, &view);
    if (result.status != NEARBUF_OK) {
      return result;
    }
  }
  nb_remote_page added = {0, 0, 0};
  nb_result result = nb_remote_page_make(ctx->process, layout, &new->item, is_first, &added);
  if (result.status == NEARBUF_OK && !is_first) {
    const nb_layout *of_last = nb_layout_of(width, new->last_dialect);
    bool is_locked = nb_wait_for_lock(view.base + of_last->locked, NULL);
    bool is_linked = set_link(view.base + of_last->next, width, added.address);
    if (is_locked) {
      nb_shared_unlock_release(view.base + of_last->locked);
    }
    if (!is_linked) {
      nb_remote_page_discard(ctx->process, &added);
      result = nb_result_of(NEARBUF_BUSY);
    }
  }
  nb_remote_view_close(&view);
  ctx->is_listed = result.status == NEARBUF_OK;
  return result.status == NEARBUF_OK ? hold_first(ctx, &added, &new->item, dialect) : result;
}

/* Lists a new region, which is the caller's on failure. */
static nb_result list_region(finding *ctx, const nb_place *region) {
  listing new = {.item = {.base = region->start, .size = (uint32_t)region->size, .taken = 1}};
  nb_result result = nb_result_of(NEARBUF_BUSY);
  uint64_t end = nb_os_nanoseconds() + NB_WAIT_BOUND_NS;
  for (int tries = 0; tries < MOST_TRIES && result.status == NEARBUF_BUSY &&
                      (tries == 0 || nb_os_nanoseconds() < end);
       tries++) {
    bool is_done;
    bool is_damaged;
    new.last = 0;
    result = each_locator(ctx, list_here, &new, &is_done, &is_damaged);
    if (is_done) {
      return nb_result_of(NEARBUF_OK);
    }
    if (result.status != NEARBUF_NOT_FOUND) {
      return result;
    }
    result = is_damaged ? nb_result_of(NEARBUF_INCOMPATIBLE) : grow(ctx, &new);
  }
  return result;
}

static nb_result make(finding *ctx) {
  nb_place region;
  nb_result result = allocate(ctx->process, &ctx->constraint, ctx->wanted.target, SHARED_SIZE,
                              ctx->is_near, &region);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  result = list_region(ctx, &region);
  if (result.status != NEARBUF_OK && !ctx->is_listed) {
    (void)nb_remote_free(ctx->process, region.start, region.size);
  }
  return result;
}

/* ---- The public calls on buffers ------------------------------------------------------------- */

static nb_result get_within(finding *ctx) {
  bool is_done;
  bool is_damaged;
  nb_result result = each_locator(ctx, visit_to_take, NULL, &is_done, &is_damaged);
  if (is_done || result.status != NEARBUF_NOT_FOUND) {
    return result;
  }
  result = nb_remote_check(ctx->process);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  if (is_damaged) {
    return nb_result_of(NEARBUF_INCOMPATIBLE);
  }
  if ((ctx->wanted.flags & NEARBUF_PROCESS_EXISTING) == 0) {
    result = make(ctx);
    bool is_no_answer = result.status == NEARBUF_NO_ROOM;
    if (!is_no_answer) {
      return result;
    }
  }
  if (ctx->refused.status != NEARBUF_OK) {
    return ctx->refused;
  }
  return nb_result_of(ctx->is_held ? NEARBUF_BUSY : NEARBUF_NO_ROOM);
}

/* Whether memory that is farther away may do better. */
static bool is_out_of_room(const finding *ctx, nb_result result) {
  return result.status == NEARBUF_NO_ROOM || result.status == NEARBUF_OUT_OF_MEMORY ||
         (result.status == NEARBUF_BUSY && ctx->is_held);
}

/* What is as near as was asked for comes first, then all of the range. */
static nb_result get(finding *ctx) {
  const wish *wanted = &ctx->wanted;
  if (nb_constraint_narrow(&wanted->constraint, wanted->target, wanted->near_bytes,
                           &ctx->constraint)) {
    ctx->is_near = true;
    nb_result result = get_within(ctx);
    if (!is_out_of_room(ctx, result)) {
      return result;
    }
  }
  ctx->constraint = wanted->constraint;
  ctx->is_near = false;
  ctx->is_held = false;
  ctx->refused = nb_result_of(NEARBUF_OK);
  return get_within(ctx);
}

nearbuf_status nearbuf_process_get(nearbuf_process *process, const nearbuf_process_request *request,
                                   nearbuf_process_buffer *buffer) {
  if (buffer == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *buffer = (nearbuf_process_buffer){0};
  if (!is_open(process)) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  wish wanted;
  nearbuf_status status = check_request(process, request, &wanted);
  if (status != NEARBUF_OK) {
    process->system_error = 0;
    return status;
  }
  nb_os_call call = nb_os_call_begin();
  finding ctx = {.process = process, .wanted = wanted, .buffer = buffer};
  nb_result result = nb_remote_note_program(process);
  bool is_hidden = result.status == NEARBUF_DENIED; /* but what it has may be had all the same */
  if (result.status == NEARBUF_OK || is_hidden) {
    result = of_noted_program(process, get(&ctx));
  }
  return answer(process, result, call);
}

/* The position is everybody's, but only the holder changes it. */
static void advance(nearbuf_process_buffer *buffer, uint32_t position) {
  uint32_t end = buffer->start + buffer->room;
  buffer->position = position;
  buffer->start = position < end ? position : end;
  buffer->room = end - buffer->start;
  nb_shared_store_relaxed(buffer->item + buffer_layout(buffer)->position, position);
}

nearbuf_status nearbuf_process_append(nearbuf_process *process, nearbuf_process_buffer *buffer,
                                      const void *bytes, size_t size_bytes, uint64_t *address) {
  if (address != NULL) {
    *address = 0;
  }
  if (buffer == NULL || !is_open(process)) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  process->system_error = 0;
  if (buffer->item == 0) {
    return NEARBUF_INVALID_HANDLE;
  }
  if (bytes == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  if (size_bytes == 0) {
    return NEARBUF_INVALID_SIZE;
  }
  if (size_bytes > buffer->room) {
    return NEARBUF_BEYOND_ROOM;
  }
  if (buffer->handles[2] == 0) {
    return NEARBUF_DENIED; /* the process hides its memory */
  }
  nb_os_call call = nb_os_call_begin();
  uint64_t place = buffer->address + buffer->start;
  nb_result result = nb_remote_memory_write(buffer->handles[2], place, bytes, size_bytes);
  if (result.status == NEARBUF_OK) {
    advance(buffer, buffer->start + (uint32_t)size_bytes);
    if (address != NULL) {
      *address = place;
    }
  }
  return answer(process, result, call);
}

nearbuf_status nearbuf_process_release(nearbuf_process *process, nearbuf_process_buffer *buffer) {
  if (buffer == NULL || process == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  if (buffer->item == 0) {
    return NEARBUF_INVALID_HANDLE;
  }
  nb_os_call call = nb_os_call_begin();
  /* Nothing may be put into the last cache line of data that will be written often. */
  if ((buffer->flags & NEARBUF_DATA) != 0 && buffer->start == buffer->position) {
    advance(buffer, nb_line_end(buffer->address, buffer->size, buffer->position));
  }
  nb_item_unlock_in(buffer->item, buffer_layout(buffer));
  nb_remote_view view = {buffer->item, (uintptr_t)buffer->handles[0], (size_t)buffer->handles[1]};
  nb_remote_view_close(&view);
  nb_remote_memory_close(buffer->handles[2]);
  *buffer = (nearbuf_process_buffer){0};
  return answer(process, nb_result_of(NEARBUF_OK), call);
}

/* ---- Files ----------------------------------------------------------------------------------- */

nearbuf_status nearbuf_process_visit_files(nearbuf_file_visitor visit, void *context) {
  return visit == NULL ? NEARBUF_INVALID_ARGUMENT : nb_remote_visit_files(visit, context).status;
}

nearbuf_status nearbuf_process_remove_file(const nearbuf_file *file, int32_t *system_error) {
  nb_result result =
      file == NULL ? nb_result_of(NEARBUF_INVALID_ARGUMENT) : nb_remote_remove_file(file);
  if (system_error != NULL) {
    *system_error = result.system_error;
  }
  return result.status;
}
