/* A snapshot of a process: its mappings, its locators and their buffers. */
#ifndef NEARBUF_TOOL_SNAPSHOT_H
#define NEARBUF_TOOL_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#include "target.h"

/* One buffer and the locator that lists it. */
typedef struct listed_buffer {
  nearbuf_process_item item;
  uint32_t locator; /* number in the chain */
} listed_buffer;

/* All mappings of a file, from the first byte to the last. A module has executable ones. */
typedef struct process_module {
  const char *name; /* of the file, without its folders */
  uint64_t min;
  uint64_t max;
} process_module;

typedef struct process_snapshot {
  nearbuf_process_mapping *mappings; /* in ascending order */
  size_t mapping_count;
  bool has_map;            /* false: the map of a process with more address bits cannot be read */
  process_module *modules; /* in ascending order */
  size_t module_count;
  nearbuf_process_locator *locators; /* in the order of the chain */
  size_t locator_count;
  listed_buffer *buffers; /* in the order of registration */
  size_t buffer_count;
} process_snapshot;

/* Sums over all buffers. */
typedef struct snapshot_sums {
  uint64_t taken;
  uint64_t size_bytes;
  uint64_t used_bytes;
  const char *fault; /* the first fault, or null */
} snapshot_sums;

/* Takes the locators and buffers, without the names of locators; or these, the names and the map. A
 * process without a locator is not a failure. */
nearbuf_status snapshot_take_locators(tool_target *target, process_snapshot *snapshot);
nearbuf_status snapshot_take(tool_target *target, process_snapshot *snapshot);
void snapshot_free(process_snapshot *snapshot);

/* Names the heaps and stacks among the mappings where the system's map does not. */
void snapshot_name_areas(const tool_target *target, process_snapshot *snapshot);

snapshot_sums snapshot_sum(const process_snapshot *snapshot);

/* The mapping that holds an address, or null. */
const nearbuf_process_mapping *snapshot_mapping(const process_snapshot *snapshot, uint64_t address);

/* The protection of a mapping: "rwxs" for a shared one, "rwxp" for a private one. */
typedef struct process_protection {
  char letters[5];
} process_protection;
process_protection protection_of(const nearbuf_process_mapping *mapping);

/* The next module from mapping number `*at` on; `*at` is advanced past it. False: there are no
 * more. */
bool snapshot_next_module(const process_snapshot *snapshot, size_t *at, process_module *module);

/* The module that is nearest to an address; false: there is none. */
bool snapshot_nearest_module(const process_snapshot *snapshot, uint64_t address,
                             process_module *module);

/* Whether a mapping is of a file that can be a module: private, with a name that is a path. */
bool mapping_is_of_file(const nearbuf_process_mapping *mapping);

/* The name of the file without its folders. */
const char *mapping_file_name(const nearbuf_process_mapping *mapping);

const char *dialect_name(nearbuf_dialect dialect);

#endif
