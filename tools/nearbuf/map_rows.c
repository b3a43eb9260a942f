#include "map_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

static const char *const kind_names[ROW_KINDS] = {"free", "system", "anonymous", "file",   "stack",
                                                  "heap", "module", "locator",   "buffers"};

const char *row_kind_name(row_kind kind) {
  return kind_names[kind];
}

/* ---- Making ---------------------------------------------------------------------------------- */

static bool append(process_map *map, const map_row *row) {
  if (map->rows == NULL || (map->count & (map->count - 1)) == 0) { /* full: a power of two */
    size_t capacity = map->count == 0 ? 1 : map->count * 2;
    map_row *larger = realloc(map->rows, capacity * sizeof *larger);
    if (larger == NULL) {
      return false;
    }
    map->rows = larger;
  }
  map->rows[map->count++] = *row;
  return true;
}

enum { ZEROS_MAX = 128 * 1024 };

/* Whether the next row is a part of this one. */
static bool joins(const map_row *row, const map_row *next, bool next_is_zeros) {
  if (row->max + 1 != next->min) {
    return false;
  }
  if (row->kind == ROW_MODULE && next->kind == ROW_ANONYMOUS) {
    /* The zeroed data of the module (.bss); a larger mapping is more likely unrelated. */
    return next_is_zeros && next->max - next->min < ZEROS_MAX;
  }
  return row->kind == next->kind && strcmp(row->name, next->name) == 0;
}

/* Appends a row, or merges it with the last one; and the gap before it. */
static bool add(process_map *map, const map_row *row, bool is_zeros) {
  map_row *last = map->count == 0 ? NULL : &map->rows[map->count - 1];
  if (last != NULL && joins(last, row, is_zeros)) {
    last->max = row->max;
    last->count += row->count;
    last->taken += row->taken;
    last->used_bytes += row->used_bytes;
    return true;
  }
  uint64_t free_from = last == NULL ? 0 : last->max + 1;
  if (free_from < row->min) {
    map_row gap = {.kind = ROW_GAP, .min = free_from, .max = row->min - 1};
    if (!append(map, &gap)) {
      return false;
    }
  }
  return append(map, row);
}

static row_kind kind_of(const process_snapshot *snapshot, const nearbuf_process_mapping *mapping) {
  for (size_t i = 0; i < snapshot->locator_count; i++) {
    uint64_t address = snapshot->locators[i].address;
    if (address >= mapping->min && address <= mapping->max) {
      return ROW_LOCATOR;
    }
  }
  if (strcmp(mapping->name, "[heap]") == 0) {
    return ROW_HEAP;
  }
  if (strcmp(mapping->name, "[stack]") == 0) {
    return ROW_STACK;
  }
  if (mapping->name[0] == '[') {
    return strncmp(mapping->name, "[anon", 5) == 0 ? ROW_ANONYMOUS : ROW_SYSTEM;
  }
  return mapping->name[0] == '\0' ? ROW_ANONYMOUS : ROW_FILE;
}

/* Every mapping of a file with code belongs to a module. */
static bool is_in_module(const process_snapshot *snapshot, uint64_t address) {
  process_module module;
  return snapshot_nearest_module(snapshot, address, &module) && address >= module.min &&
         address <= module.max;
}

static int by_address(const void *left, const void *right) {
  const listed_buffer *one = left;
  const listed_buffer *other = right;
  return (one->item.address > other->item.address) - (one->item.address < other->item.address);
}

/* The first buffer at an address or above. */
static size_t first_buffer(const listed_buffer *buffers, size_t count, uint64_t address) {
  size_t low = 0;
  while (low < count) {
    size_t middle = low + (count - low) / 2;
    if (buffers[middle].item.address < address) {
      low = middle + 1;
    } else {
      count = middle;
    }
  }
  return low;
}

/* Adds a mapping, split into the buffers in it and the memory between them. */
static bool add_with_buffers(process_map *map, const map_row *row, bool is_zeros,
                             const listed_buffer *buffers, size_t buffer_count) {
  map_row rest = *row;
  for (size_t i = first_buffer(buffers, buffer_count, row->min);
       i < buffer_count && buffers[i].item.address <= row->max; i++) {
    const nearbuf_process_item *item = &buffers[i].item;
    if (item->fault != NULL || item->size_bytes == 0 || item->address < rest.min ||
        item->size_bytes - 1 > rest.max - item->address) {
      continue;
    }
    map_row buffer = {.kind = ROW_BUFFERS,
                      .min = item->address,
                      .max = item->address + item->size_bytes - 1,
                      .count = 1,
                      .taken = item->is_taken,
                      .used_bytes = item->used_bytes};
    map_row before = rest;
    before.max = buffer.min - 1;
    if ((rest.min < buffer.min && !add(map, &before, is_zeros)) || !add(map, &buffer, false)) {
      return false;
    }
    if (buffer.max == rest.max) {
      return true;
    }
    rest.min = buffer.max + 1;
  }
  return add(map, &rest, is_zeros);
}

static bool add_mappings(const process_snapshot *snapshot, process_map *map,
                         const listed_buffer *buffers) {
  for (size_t i = 0; i < snapshot->mapping_count; i++) {
    const nearbuf_process_mapping *mapping = &snapshot->mappings[i];
    if (mapping->min > INT64_MAX) {
      break; /* the kernel's half of the address space */
    }
    map_row row = {.kind = kind_of(snapshot, mapping), .min = mapping->min, .max = mapping->max};
    if (row.kind == ROW_FILE && is_in_module(snapshot, mapping->min)) {
      row.kind = ROW_MODULE;
    }
    (void)snprintf(row.name, sizeof row.name, "%s", mapping_file_name(mapping));
    text_clean(row.name);
    bool is_zeros = mapping->is_writable != 0 && mapping->is_executable == 0;
    if (!add_with_buffers(map, &row, is_zeros, buffers, snapshot->buffer_count)) {
      return false;
    }
  }
  return true;
}

/* Clips the rows to the reach and drops those outside. */
static void keep_within_reach(process_map *map) {
  size_t kept = 0;
  for (size_t i = 0; i < map->count; i++) {
    map_row row = map->rows[i];
    if (row.max < map->reach_min || row.min > map->reach_max) {
      continue;
    }
    row.min = row.min < map->reach_min ? map->reach_min : row.min;
    row.max = row.max > map->reach_max ? map->reach_max : row.max;
    map->rows[kept++] = row;
  }
  map->count = kept;
}

/* Adds the free addresses above the last mapping that are within reach. */
static bool add_last_gap(process_map *map) {
  uint64_t free_from = map->count == 0 ? 0 : map->rows[map->count - 1].max + 1;
  map_row gap = {.kind = ROW_GAP, .min = free_from, .max = map->reach_max};
  return free_from > map->reach_max || append(map, &gap);
}

bool map_rows_make(const process_snapshot *snapshot, process_map *map) {
  listed_buffer *buffers = calloc(snapshot->buffer_count + 1, sizeof *buffers);
  if (buffers == NULL) {
    return false;
  }
  for (size_t i = 0; i < snapshot->buffer_count; i++) {
    buffers[i] = snapshot->buffers[i];
  }
  qsort(buffers, snapshot->buffer_count, sizeof *buffers, by_address);
  bool is_made = add_mappings(snapshot, map, buffers);
  free(buffers);
  if (is_made && map->has_target) {
    is_made = add_last_gap(map);
    keep_within_reach(map);
  }
  return is_made;
}

void map_rows_free(process_map *map) {
  free(map->rows);
  *map = (process_map){0};
}

/* ---- Describing ------------------------------------------------------------------------------ */

unsigned row_magnitude(const map_row *row) {
  unsigned magnitude = 1;
  for (uint64_t size = row->max - row->min; size >= 4096; size /= 4) {
    magnitude++;
  }
  return magnitude;
}

row_kind map_strip_cell(const process_map *map, unsigned cell) {
  uint64_t size = (map->reach_max - map->reach_min) / STRIP_CELLS + 1;
  uint64_t min = map->reach_min + cell * size;
  row_kind kind = ROW_GAP;
  for (size_t i = 0; i < map->count; i++) {
    const map_row *row = &map->rows[i];
    if (row->max >= min && row->min <= min + (size - 1) && row->kind > kind) {
      kind = row->kind;
    }
  }
  return kind;
}

void row_describe(const process_map *map, const map_row *row, char *text, size_t text_size_bytes) {
  bool is_target = map->has_target && map->target >= row->min && map->target <= row->max;
  phrase target = text_beginning(map->target_name, 47);
  if (row->kind == ROW_BUFFERS) {
    phrase used = text_size(row->used_bytes);
    int length = snprintf(text, text_size_bytes, "%s, %s used, %" PRIu32 " held",
                          text_count(row->count, "buffer").characters, used.characters, row->taken);
    if (map->has_target) {
      (void)snprintf(text + length, text_size_bytes - (size_t)length, ", %s %s",
                     text_distance(map->target, row->min).characters, target.characters);
    }
    return;
  }
  (void)snprintf(text, text_size_bytes, "%s%s%s", row->name, is_target ? "  <-- " : "",
                 is_target ? target.characters : "");
}
