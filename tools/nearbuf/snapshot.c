#include "snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "text.h"

/* Returns the array of `count` elements with room for one more; null: out of memory, and the array
 * is unchanged. */
static void *with_room(void *array, size_t count, size_t element_size) {
  /* Capacities are powers of two, so the array is full when the count is one. */
  if ((count & (count - 1)) != 0) {
    return array;
  }
  return realloc(array, (count == 0 ? 1 : count * 2) * element_size);
}

static int add_mapping(const nearbuf_process_mapping *mapping, void *context) {
  process_snapshot *snapshot = context;
  nearbuf_process_mapping *mappings =
      with_room(snapshot->mappings, snapshot->mapping_count, sizeof *mapping);
  if (mappings == NULL) {
    return -1;
  }
  snapshot->mappings = mappings;
  mappings[snapshot->mapping_count] = *mapping;
  text_clean(mappings[snapshot->mapping_count++].name);
  return 0;
}

/* The number of the first mapping that does not end below the address. */
static size_t first_mapping(const process_snapshot *snapshot, uint64_t address) {
  size_t low = 0;
  size_t high = snapshot->mapping_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (snapshot->mappings[middle].max < address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/* Names the mappings in a heap or a stack. */
static void name_area(uint64_t min, uint64_t max, const char *name, void *context) {
  process_snapshot *snapshot = context;
  for (size_t i = first_mapping(snapshot, min);
       i < snapshot->mapping_count && snapshot->mappings[i].max <= max; i++) {
    nearbuf_process_mapping *mapping = &snapshot->mappings[i];
    if (mapping->min >= min && mapping->name[0] == '\0') {
      (void)snprintf(mapping->name, sizeof mapping->name, "%s", name);
    }
  }
}

static nearbuf_status add_locator(process_snapshot *snapshot, nearbuf_process_walk *walk,
                                  const nearbuf_process_locator *locator) {
  nearbuf_process_locator *locators =
      with_room(snapshot->locators, snapshot->locator_count, sizeof *locator);
  if (locators == NULL) {
    return NEARBUF_OUT_OF_MEMORY;
  }
  snapshot->locators = locators;
  locators[snapshot->locator_count++] = *locator;
  nearbuf_process_item item;
  while (nearbuf_process_next_item(walk, &item) == NEARBUF_OK) {
    listed_buffer *buffers = with_room(snapshot->buffers, snapshot->buffer_count, sizeof *buffers);
    if (buffers == NULL) {
      return NEARBUF_OUT_OF_MEMORY;
    }
    snapshot->buffers = buffers;
    buffers[snapshot->buffer_count++] = (listed_buffer){item, locator->number};
  }
  return NEARBUF_OK;
}

nearbuf_status snapshot_take_locators(tool_target *target, process_snapshot *snapshot) {
  *snapshot = (process_snapshot){0};
  nearbuf_process_walk walk = {.flags = NEARBUF_PROCESS_UNNAMED};
  nearbuf_process_locator locator;
  nearbuf_status status = NEARBUF_OK;
  while (status == NEARBUF_OK) {
    status = nearbuf_process_next_locator(&target->process, &walk, &locator);
    if (status == NEARBUF_OK) {
      status = add_locator(snapshot, &walk, &locator);
    }
  }
  if (status == NEARBUF_NOT_FOUND) {
    /* No more locators, or the process has ended. */
    status = nearbuf_process_check(&target->process);
  }
  return status;
}

/* Looks the names up in the map, which is read only once: a process can have thousands of mappings
 * and of locators. */
static void name_locators(process_snapshot *snapshot) {
  for (size_t i = 0; i < snapshot->locator_count; i++) {
    nearbuf_process_locator *locator = &snapshot->locators[i];
    const nearbuf_process_mapping *mapping = snapshot_mapping(snapshot, locator->address);
    if (mapping != NULL) {
      memcpy(locator->name, mapping->name, sizeof locator->name);
      locator->is_shared = mapping->is_shared;
    }
  }
}

static bool add_modules(process_snapshot *snapshot) {
  size_t at = 0;
  process_module module;
  while (snapshot_next_module(snapshot, &at, &module)) {
    process_module *modules =
        with_room(snapshot->modules, snapshot->module_count, sizeof *snapshot->modules);
    if (modules == NULL) {
      return false;
    }
    snapshot->modules = modules;
    modules[snapshot->module_count++] = module;
  }
  return true;
}

nearbuf_status snapshot_take(tool_target *target, process_snapshot *snapshot) {
  nearbuf_status status = snapshot_take_locators(target, snapshot);
  if (status == NEARBUF_OK) {
    status = nearbuf_process_visit_map(&target->process, add_mapping, snapshot);
    snapshot->has_map = status != NEARBUF_UNSUPPORTED;
    if (status == NEARBUF_CANCELLED) {
      status = NEARBUF_OUT_OF_MEMORY;
    } else if (status == NEARBUF_UNSUPPORTED) {
      status = NEARBUF_OK;
    }
  }
  if (status == NEARBUF_OK) {
    name_locators(snapshot);
    status = add_modules(snapshot) ? NEARBUF_OK : NEARBUF_OUT_OF_MEMORY;
  }
  return status;
}

void snapshot_name_areas(const tool_target *target, process_snapshot *snapshot) {
  host_visit_areas(&target->process, name_area, snapshot);
}

void snapshot_free(process_snapshot *snapshot) {
  free(snapshot->mappings);
  free(snapshot->modules);
  free(snapshot->locators);
  free(snapshot->buffers);
  *snapshot = (process_snapshot){0};
}

snapshot_sums snapshot_sum(const process_snapshot *snapshot) {
  snapshot_sums sums = {0};
  for (size_t i = 0; i < snapshot->locator_count && sums.fault == NULL; i++) {
    sums.fault = snapshot->locators[i].fault;
  }
  for (size_t i = 0; i < snapshot->buffer_count; i++) {
    const nearbuf_process_item *item = &snapshot->buffers[i].item;
    if (item->fault != NULL) {
      sums.fault = sums.fault == NULL ? item->fault : sums.fault;
      continue;
    }
    sums.taken += item->is_taken;
    sums.size_bytes += item->size_bytes;
    sums.used_bytes += item->used_bytes;
  }
  return sums;
}

const nearbuf_process_mapping *snapshot_mapping(const process_snapshot *snapshot,
                                                uint64_t address) {
  size_t at = first_mapping(snapshot, address);
  if (at == snapshot->mapping_count || snapshot->mappings[at].min > address) {
    return NULL;
  }
  return &snapshot->mappings[at];
}

process_protection protection_of(const nearbuf_process_mapping *mapping) {
  process_protection protection = {"---p"};
  if (mapping->is_readable != 0) {
    protection.letters[0] = 'r';
  }
  if (mapping->is_writable != 0) {
    protection.letters[1] = 'w';
  }
  if (mapping->is_executable != 0) {
    protection.letters[2] = 'x';
  }
  if (mapping->is_shared != 0) {
    protection.letters[3] = 's';
  }
  return protection;
}

bool mapping_is_of_file(const nearbuf_process_mapping *mapping) {
  return mapping->name[0] != '\0' && mapping->name[0] != '[' && mapping->is_shared == 0;
}

const char *mapping_file_name(const nearbuf_process_mapping *mapping) {
  return host_file_name(mapping->name);
}

bool snapshot_next_module(const process_snapshot *snapshot, size_t *at, process_module *module) {
  while (*at < snapshot->mapping_count) {
    const nearbuf_process_mapping *first = &snapshot->mappings[(*at)++];
    if (!mapping_is_of_file(first)) {
      continue;
    }
    *module = (process_module){mapping_file_name(first), first->min, first->max};
    bool is_module = first->is_executable != 0;
    /* The mappings of one file are adjacent, with its zeroed data after them. */
    for (; *at < snapshot->mapping_count; (*at)++) {
      const nearbuf_process_mapping *next = &snapshot->mappings[*at];
      if (mapping_is_of_file(next) && strcmp(next->name, first->name) == 0) {
        module->max = next->max;
        is_module |= next->is_executable != 0;
      } else if (next->name[0] != '\0' || next->min != module->max + 1) {
        break;
      }
    }
    if (is_module) {
      return true;
    }
  }
  return false;
}

static uint64_t distance_to(const process_module *module, uint64_t address) {
  if (address < module->min) {
    return module->min - address;
  }
  return address > module->max ? address - module->max : 0;
}

bool snapshot_nearest_module(const process_snapshot *snapshot, uint64_t address,
                             process_module *module) {
  size_t low = 0;
  size_t high = snapshot->module_count;
  while (low < high) { /* the first module that does not end below the address */
    size_t middle = (low + high) / 2;
    if (snapshot->modules[middle].max < address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  *module = (process_module){0};
  if (low < snapshot->module_count) {
    *module = snapshot->modules[low];
  }
  if (low > 0 &&
      (low == snapshot->module_count || distance_to(&snapshot->modules[low - 1], address) <=
                                            distance_to(&snapshot->modules[low], address))) {
    *module = snapshot->modules[low - 1];
  }
  return snapshot->module_count != 0;
}

const char *dialect_name(nearbuf_dialect dialect) {
  switch (dialect) {
  case NEARBUF_DIALECT_WRITTEN:
    return "written";
  case NEARBUF_DIALECT_DOTNET:
    return "dotnet";
  case NEARBUF_DIALECT_RUST:
    return "rust";
  default:
    return "unknown";
  }
}
