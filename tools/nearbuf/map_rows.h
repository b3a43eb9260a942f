/* An address space as a list of rows from low to high, for a picture: what belongs together is one row,
 * and so is what is free between two. */
#ifndef NEARBUF_TOOL_MAP_ROWS_H
#define NEARBUF_TOOL_MAP_ROWS_H

#include "snapshot.h"

/* In the order of what is shown where several share a spot. */
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
  uint32_t count;      /* buffers, for ROW_BUFFERS: neighbours are one row */
  uint32_t taken;      /* of them */
  uint64_t used_bytes; /* in them */
} map_row;

/* The picture. */
typedef struct process_map {
  map_row *rows;
  size_t count;
  bool has_target; /* then the rows are those within reach of it */
  uint64_t target;
  uint64_t reach_min;
  uint64_t reach_max;
  char target_name[64];
} process_map;

/* Makes the rows. With `has_target` set before, those within reach. False: out of memory. */
bool map_rows_make(const process_snapshot *snapshot, process_map *map);
void map_rows_free(process_map *map);

const char *row_kind_name(row_kind kind);

/* The size of a row in fourfolds of 4 KiB: what its bar shows. 4 KiB and less: 1. */
unsigned row_magnitude(const map_row *row);

/* How many cells the strip has that shows all within reach to one scale, and what is in one. */
enum { STRIP_CELLS = 64 };
row_kind map_strip_cell(const process_map *map, unsigned cell);

/* What there is to say about a row beyond its kind and size. */
void row_describe(const process_map *map, const map_row *row, char *text, size_t text_size);

#endif
