/* nearbuf map: the layout of an address space, as text, JSON or SVG. */
#include "map.h"

#include <inttypes.h>

#include "host.h"
#include "json.h"
#include "report.h"
#include "text.h"
#include "where.h"

/* ---- Text ------------------------------------------------------------------------------------ */

typedef struct sign {
  char character;
  const char *colour; /* an escape sequence */
} sign;

static const sign signs[ROW_KINDS] = {
    [ROW_GAP] = {'.', "\033[2m"},        [ROW_SYSTEM] = {'k', "\033[2m"},
    [ROW_ANONYMOUS] = {'-', "\033[37m"}, [ROW_FILE] = {'=', "\033[37m"},
    [ROW_STACK] = {'s', "\033[33m"},     [ROW_HEAP] = {'h', "\033[33m"},
    [ROW_MODULE] = {'#', "\033[36m"},    [ROW_LOCATOR] = {'L', "\033[1;35m"},
    [ROW_BUFFERS] = {'B', "\033[1;32m"},
};

static void print_sign(row_kind kind, bool has_colours) {
  if (has_colours) {
    (void)fputs(signs[kind].colour, stdout);
  }
  (void)putchar(signs[kind].character);
  if (has_colours) {
    (void)fputs("\033[0m", stdout);
  }
}

static void print_strip(const process_map *map, bool has_colours) {
  uint64_t cell_size = (map->reach_max - map->reach_min) / STRIP_CELLS + 1;
  (void)printf("within reach of %s at 0x%" PRIx64 ", %s per character:\n\n  0x%" PRIx64 " [",
               map->target_name, map->target, text_size(cell_size).characters, map->reach_min);
  for (unsigned cell = 0; cell < STRIP_CELLS; cell++) {
    print_sign(map_strip_cell(map, cell), has_colours);
  }
  (void)printf("] 0x%" PRIx64 "\n\n", map->reach_max);
}

void map_print(const tool_target *target, const process_map *map) {
  enum { BAR_WIDTH = 20 };
  bool has_colours = host_has_colours();
  (void)printf("process %" PRId64 ", %s; ", target->info.id, target->info.name);
  if (map->has_target) {
    print_strip(map, has_colours);
  } else {
    (void)puts("whole address space\n");
  }
  for (size_t i = 0; i < map->count; i++) {
    const map_row *row = &map->rows[i];
    char text[160];
    row_describe(map, row, text, sizeof text);
    (void)printf("0x%012" PRIx64 "  ", row->min);
    unsigned magnitude = row_magnitude(row);
    for (unsigned at = 0; at < magnitude; at++) {
      print_sign(row->kind, has_colours);
    }
    (void)printf("%*s %10s  %-9s  %s\n", (int)(BAR_WIDTH - magnitude), "",
                 text_size(row->max - row->min + 1).characters, row_kind_name(row->kind), text);
  }
  (void)puts("\nA bar grows by one character each time the size quadruples; the first stands for "
             "up to 4 KiB.");
}

/* ---- JSON ------------------------------------------------------------------------------------ */

void map_report(const tool_target *target, const process_map *map) {
  json_writer json = json_begin_document("map");
  report_process(&json, target);
  if (map->has_target) {
    json_address(&json, "target", map->target);
    json_address(&json, "reach_min", map->reach_min);
    json_address(&json, "reach_max", map->reach_max);
  }
  json_begin_array(&json, "rows");
  for (size_t i = 0; i < map->count; i++) {
    const map_row *row = &map->rows[i];
    json_begin_object(&json, NULL);
    json_text(&json, "kind", row_kind_name(row->kind));
    json_address(&json, "min", row->min);
    json_address(&json, "max", row->max);
    json_text(&json, "name", row->name[0] == '\0' ? NULL : row->name);
    if (row->kind == ROW_BUFFERS) {
      json_number(&json, "buffer_count", row->count);
      json_number(&json, "taken_count", row->taken);
      json_number(&json, "used_bytes", row->used_bytes);
    }
    json_end_object(&json);
  }
  json_end_array(&json);
  json_end_document(&json);
}

/* ---------------------------------------------------------------------------------------------- */

static exit_code find_reach(tool_target *target, const process_snapshot *snapshot, const char *near,
                            process_map *map) {
  exit_code code = where_read(target, snapshot, near, &map->target);
  nearbuf_range reach = where_reach(target, map->target);
  map->has_target = true;
  map->reach_min = reach.min;
  map->reach_max = reach.max;
  (void)snprintf(map->target_name, sizeof map->target_name, "%s", near);
  text_clean(map->target_name);
  return code;
}

static exit_code draw_file(const char *name, const tool_target *target, const process_map *map) {
  FILE *file = fopen(name, "w");
  if (file == NULL) {
    return complain(EXIT_FAILED, "map: cannot be written: %s", name);
  }
  map_draw(file, target, map);
  bool is_written = ferror(file) == 0;
  is_written &= fclose(file) == 0;
  return is_written ? EXIT_DONE : complain(EXIT_FAILED, "map: cannot be written: %s", name);
}

static exit_code map_it(const tool_arguments *arguments, tool_target *target,
                        const process_snapshot *snapshot, process_map *map) {
  char **near = arguments_option(arguments, "--near");
  char **svg = arguments_option(arguments, "--svg");
  exit_code code = near == NULL ? EXIT_DONE : find_reach(target, snapshot, near[0], map);
  if (code != EXIT_DONE) {
    return code;
  }
  if (!map_rows_make(snapshot, map)) {
    return complain(EXIT_FAILED, "map: out of memory");
  }
  if (svg != NULL) {
    return draw_file(svg[0], target, map);
  }
  if (arguments_option(arguments, "--json") != NULL) {
    map_report(target, map);
  } else {
    map_print(target, map);
  }
  return EXIT_DONE;
}

exit_code map_run(const tool_arguments *arguments) {
  tool_target target;
  process_snapshot snapshot = {0};
  process_map map = {0};
  exit_code code = target_open(arguments, &target);
  if (code == EXIT_DONE) {
    nearbuf_status status = snapshot_take(&target, &snapshot);
    if (status == NEARBUF_OK && !snapshot.has_map) {
      status = NEARBUF_UNSUPPORTED;
    }
    if (status == NEARBUF_OK) {
      snapshot_name_areas(&target, &snapshot);
      code = map_it(arguments, &target, &snapshot, &map);
    } else {
      code = target_complain(&target, "its memory map cannot be read", status);
    }
  }
  map_rows_free(&map);
  snapshot_free(&snapshot);
  target_close(&target);
  return code;
}
