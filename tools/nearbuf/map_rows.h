/* An address space as a list of rows from low to high addresses: mappings that belong together are
 * one row, and each gap between two rows is one. */
#ifndef NEARBUF_TOOL_MAP_ROWS_H
#define NEARBUF_TOOL_MAP_ROWS_H

#include "snapshot.h"

/* In ascending priority: where several share a cell, the highest is shown. */
typedef enum row_kind {
  ROW_GAP,
  ROW_SYSTEM, /* of the kernel */
  ROW_ANONYMOUS,
  ROW_FILE, /* data */
  ROW_STACK,
  ROW_HEAP,
  ROW_MODULE,
  ROW_LOCATOR,
  ROW_BUFFERS,
  ROW_KINDS
} row_kind;

typedef struct map_row {
  row_kind kind;
  uint64_t min;
  uint64_t max; /* inclusive */
  char name[64];
  uint32_t count;      /* ROW_BUFFERS: number of adjacent buffers in this row */
  uint32_t taken;      /* held ones */
  uint64_t used_bytes; /* sum over them */
} map_row;

/* The rows, and what they are about. */
typedef struct process_map {
  map_row *rows;
  size_t count;
  bool has_target; /* then only rows within its reach are kept */
  uint64_t target;
  uint64_t reach_min;
  uint64_t reach_max;
  char target_name[64];
} process_map;

/* Makes the rows; if `has_target` is set, those within reach. False: out of memory. */
bool map_rows_make(const process_snapshot *snapshot, process_map *map);
void map_rows_free(process_map *map);

const char *row_kind_name(row_kind kind);

/* The length of the bar of a row: 1 for at most 4 KiB, one more each time the size quadruples. */
unsigned row_magnitude(const map_row *row);

/* The strip shows all addresses within reach to scale, in this many cells; and the kind of a
 * cell. */
enum { STRIP_CELLS = 64 };
row_kind map_strip_cell(const process_map *map, unsigned cell);

/* Describes a row beyond its kind and size. */
void row_describe(const process_map *map, const map_row *row, char *text, size_t text_size);

#endif
