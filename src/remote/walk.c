/* Other processes: their locators and items; see walk.h. */
#include "remote/walk.h"

#include <string.h>

#include "os/os.h"
#include "remote/port.h"
#include "remote/process.h"

enum { WALK_START = 0, WALK_UNDER_WAY = 1, WALK_DONE = 2 };

/* More locators than a chain has: with 203 buffers each they list 800,000, and a process has at
 * most 65,530 mappings, unless the system is configured otherwise. A process that shows more wants
 * to waste our time and memory, or extends the chain while we walk. */
enum { MOST_LOCATORS = 4096 };

void nbuf_walk_start(nearbuf_process_walk *walk) {
  walk->stage = WALK_START;
  walk->flags = NEARBUF_PROCESS_UNNAMED;
  walk->dialect = NEARBUF_DIALECT_UNKNOWN;
}

uintptr_t nbuf_walk_image(const nearbuf_process_walk *walk) {
  return (uintptr_t)walk->image;
}

const nbuf_layout *nbuf_walk_layout(const nearbuf_process_walk *walk) {
  return nbuf_layout_of(walk->width, walk->dialect);
}

nbuf_item nbuf_walk_item(const nearbuf_process_walk *walk, uint32_t index) {
  const nbuf_layout *layout = nbuf_walk_layout(walk);
  return nbuf_item_read(nbuf_item_at(nbuf_walk_image(walk), layout, index), layout);
}

/* What the map reports about a locator's own page. */
static void find_name(const nearbuf_process *process, uint64_t address,
                      nearbuf_process_locator *locator) {
  nbuf_remote_map map;
  nbuf_remote_mapping mapping = {0};
  nbuf_result result = nbuf_remote_map_open(process, &map);
  while (result.status == NEARBUF_OK) {
    result = nbuf_remote_map_next(&map, &mapping);
    if (result.status == NEARBUF_OK && mapping.info.max >= address) {
      if (mapping.info.min <= address) {
        memcpy(locator->name, mapping.info.name, sizeof locator->name);
        locator->is_shared = mapping.info.is_shared;
      }
      break;
    }
  }
  nbuf_remote_map_close(&map);
}

/* Fills in what a copy contains, and returns whether the chain can be followed behind it. */
static bool describe(nearbuf_process_walk *walk, nearbuf_dialect dialect_if_empty,
                     nearbuf_process_locator *locator) {
  uintptr_t image = nbuf_walk_image(walk);
  walk->dialect = nbuf_format_recognise(image, walk->width, dialect_if_empty);
  const nbuf_layout *layout = nbuf_walk_layout(walk);
  uint32_t index = 0;
  nbuf_fault fault = nbuf_format_check(image, layout, walk->address, &index);
  bool is_known = walk->dialect != NEARBUF_DIALECT_UNKNOWN;
  bool is_empty = nbuf_format_count(image, layout) == 0;
  if (!is_known && !is_empty && (fault == NBUF_FAULT_NONE || fault >= NBUF_FAULT_ITEM_BASE)) {
    fault = NBUF_FAULT_DIALECT;
  }
  bool is_header_sound = fault == NBUF_FAULT_NONE || fault >= NBUF_FAULT_ITEM_BASE;
  locator->dialect = walk->dialect;
  locator->capacity = layout->capacity;
  locator->is_locked = nbuf_shared_load_relaxed(image + layout->locked) != 0;
  locator->fault = fault == NBUF_FAULT_NONE ? NULL : nbuf_fault_text(fault);
  locator->fault_index = index;
  walk->count = is_header_sound && is_known ? nbuf_format_count(image, layout) : 0;
  walk->next = is_header_sound
                   ? nbuf_shared_address_relaxed(image + layout->next, (uint32_t)layout->width)
                   : 0;
  for (uint32_t i = 0; i < walk->count; i++) {
    uintptr_t item = nbuf_item_at(image, layout, i);
    locator->count += nbuf_shared_address_relaxed(item, layout->width) != 0 ? 1 : 0;
  }
  locator->next = walk->next;
  return is_header_sound;
}

/* Brent's method to detect a cycle: an earlier address is remembered, at larger and larger
 * distances. */
static bool is_circle(nearbuf_process_walk *walk) {
  if (walk->next == walk->mark) {
    return true;
  }
  if ((walk->number & (walk->number + 1)) == 0) {
    walk->mark = walk->address;
  }
  return walk->next == walk->address;
}

/* The dialect of a locator without buffers behind the current one: nearbuf's are never empty, so
 * the other implementation that uses the current one made it. Behind a Rust locator of nearbuf's it
 * may be of either (docs/format.md). */
static nearbuf_dialect dialect_of_empty_behind(const nearbuf_process_walk *walk) {
  bool may_be_either =
      nbuf_format_is_hidden_from_dotnet(nbuf_walk_image(walk), nbuf_walk_layout(walk));
  return may_be_either ? NEARBUF_DIALECT_UNKNOWN : (nearbuf_dialect)walk->dialect;
}

static nbuf_result find_first(nearbuf_process *process, nearbuf_process_walk *walk,
                              nearbuf_dialect *dialect_if_empty) {
  uint64_t first;
  nbuf_result result = nbuf_remote_first(process, &first, dialect_if_empty);
  if (result.status == NEARBUF_OK) {
    walk->stage = WALK_UNDER_WAY;
    walk->number = UINT32_MAX;
    walk->next = first;
    walk->mark = 0;
    walk->dialect = *dialect_if_empty;
    walk->width = nbuf_process_width(process);
  }
  return result;
}

nbuf_result nbuf_walk_next_locator(nearbuf_process *process, nearbuf_process_walk *walk,
                                   nearbuf_process_locator *locator) {
  nearbuf_dialect dialect_if_empty =
      walk->stage == WALK_UNDER_WAY ? dialect_of_empty_behind(walk) : NEARBUF_DIALECT_UNKNOWN;
  walk->index = 0;
  walk->count = 0;
  if (walk->stage == WALK_START) {
    nbuf_result result = find_first(process, walk, &dialect_if_empty);
    if (result.status != NEARBUF_OK) {
      return result;
    }
  }
  if (walk->stage != WALK_UNDER_WAY || walk->next == 0) {
    walk->stage = WALK_DONE;
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  walk->address = walk->next;
  walk->next = 0;
  walk->number++;
  locator->address = walk->address;
  locator->number = walk->number;
  if ((walk->flags & NEARBUF_PROCESS_UNNAMED) == 0) {
    find_name(process, walk->address, locator);
  }
  nbuf_result result = nbuf_remote_image(process, walk->address, (unsigned char *)walk->image);
  if (result.status == NEARBUF_NOT_MAPPED) {
    locator->fault = "its memory cannot be read";
    return nbuf_result_of(NEARBUF_OK);
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
  if (walk == NULL || locator == NULL || !nbuf_process_is_open(process)) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *locator = (nearbuf_process_locator){0};
  nbuf_os_call call = nbuf_os_call_begin();
  nbuf_result result = nbuf_walk_next_locator(process, walk, locator);
  if (result.status != NEARBUF_OK) {
    *locator = (nearbuf_process_locator){0};
  }
  return nbuf_process_call_end(process, result, call);
}

nearbuf_status nearbuf_process_next_item(nearbuf_process_walk *walk, nearbuf_process_item *item) {
  if (walk == NULL || item == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *item = (nearbuf_process_item){0};
  nbuf_item values = {0};
  nbuf_fault fault = NBUF_FAULT_NONE;
  while (values.base == 0 && fault == NBUF_FAULT_NONE) { /* slots can be empty */
    if (walk->stage != WALK_UNDER_WAY || walk->index >= walk->count) {
      return NEARBUF_NOT_FOUND;
    }
    values = nbuf_walk_item(walk, walk->index++);
    fault = nbuf_item_check(&values, nbuf_walk_layout(walk));
  }
  uint32_t index = walk->index - 1;
  if (fault == NBUF_FAULT_NONE &&
      nbuf_format_overlaps(nbuf_walk_image(walk), nbuf_walk_layout(walk), index, walk->count)) {
    fault = NBUF_FAULT_ITEM_OVERLAP;
  }
  item->address = values.base;
  item->size_bytes = values.size;
  item->used_bytes = values.position;
  item->index = index;
  item->is_taken = values.taken != 0;
  item->fault = fault == NBUF_FAULT_NONE ? NULL : nbuf_fault_text(fault);
  return NEARBUF_OK;
}
