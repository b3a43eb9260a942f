/* The three output formats of nearbuf map. */
#ifndef NEARBUF_TOOL_MAP_H
#define NEARBUF_TOOL_MAP_H

#include <stdio.h>

#include "map_rows.h"

void map_print(const tool_target *target, const process_map *map);
void map_report(const tool_target *target, const process_map *map);
void map_draw(FILE *file, const tool_target *target, const process_map *map);

#endif
