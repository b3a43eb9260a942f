/* The map as a standalone SVG file: rows from low to high addresses, each with a tooltip, in
 * colours that follow the viewer's light or dark scheme. Sizes are in pixels. */
#include <inttypes.h>

#include "map.h"
#include "text.h"

enum {
  WIDTH = 1080,
  MARGIN = 20,
  HEAD = 64,
  STRIP_HEIGHT = 26,
  ADDRESS_X = 20,
  BAR_X = 160,
  BAR_WIDTH = 280,
  SIZE_X = 530, /* the right end */
  TEXT_X = 545,
  KIND_WIDTH = 80
};

/* Colour is never the only information: every row also names its kind. */
static const char style[] =
    "<style>\n"
    "  svg { --paper: #ffffff; --ink: #1c2024; --faint: #6b7280; --line: #c9ced6;\n"
    "        --gap: #f1f3f5; --system: #d5d9df; --anonymous: #c2c9d3; --file: #a9b7c9;\n"
    "        --stack: #e0b050; --heap: #e8915b; --module: #5b8fd0; --locator: #a65bc4;\n"
    "        --buffers: #9bd6a5; --used: #1e8a3c; }\n"
    "  @media (prefers-color-scheme: dark) {\n"
    "    svg { --paper: #15181c; --ink: #e6e8eb; --faint: #98a0ab; --line: #3b424c;\n"
    "          --gap: #1e2227; --system: #3a4049; --anonymous: #4a525d; --file: #51647d;\n"
    "          --stack: #b98a2e; --heap: #bf6a37; --module: #3f74b8; --locator: #a964c8;\n"
    "          --buffers: #2f5f3b; --used: #4fca72; }\n"
    "  }\n"
    "  .paper { fill: var(--paper); }\n"
    "  text { font: 12px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace;\n"
    "         fill: var(--ink); }\n"
    "  .title { font-size: 16px; font-weight: bold; }\n"
    "  .faint { fill: var(--faint); }\n"
    "  .target { font-weight: bold; }\n"
    "  .gap { fill: var(--gap); stroke: var(--line); stroke-dasharray: 3 3; }\n"
    "  .system { fill: var(--system); } .anonymous { fill: var(--anonymous); }\n"
    "  .file { fill: var(--file); } .stack { fill: var(--stack); } .heap { fill: var(--heap); }\n"
    "  .module { fill: var(--module); } .locator { fill: var(--locator); }\n"
    "  .buffers { fill: var(--buffers); } .used { fill: var(--used); }\n"
    "  .row:hover .hover { opacity: 1; } .hover { opacity: 0; fill: var(--ink); }\n"
    "  .edge { stroke: var(--ink); fill: none; }\n"
    "</style>\n";

static const char *class_of(row_kind kind) {
  return kind == ROW_GAP ? "gap" : row_kind_name(kind);
}

static void write_text(FILE *file, const char *text) {
  for (; *text != '\0'; text++) {
    switch (*text) {
    case '&':
      (void)fputs("&amp;", file);
      break;
    case '<':
      (void)fputs("&lt;", file);
      break;
    case '>':
      (void)fputs("&gt;", file);
      break;
    case '"':
      (void)fputs("&quot;", file);
      break;
    default:
      (void)fputc(*text, file);
    }
  }
}

static int height_of(const map_row *row) {
  return 16 + 2 * (int)row_magnitude(row);
}

static void draw_strip(FILE *file, const process_map *map, int y) {
  uint64_t size = (map->reach_max - map->reach_min) / STRIP_CELLS + 1;
  int width = (WIDTH - 2 * MARGIN) / STRIP_CELLS;
  for (unsigned cell = 0; cell < STRIP_CELLS; cell++) {
    row_kind kind = map_strip_cell(map, cell);
    uint64_t min = map->reach_min + cell * size;
    (void)fprintf(file,
                  "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\">"
                  "<title>%s at 0x%" PRIx64 "</title></rect>\n",
                  class_of(kind), MARGIN + (int)cell * width, y, width - 1, STRIP_HEIGHT,
                  row_kind_name(kind), min);
    if (map->target >= min && map->target - min < size) {
      (void)fprintf(file, "<path class=\"edge\" d=\"M%d %d v%d\" stroke-width=\"2\"/>\n",
                    MARGIN + (int)cell * width + width / 2, y - 6, STRIP_HEIGHT + 12);
    }
  }
  (void)fprintf(
      file,
      "<text class=\"faint\" x=\"%d\" y=\"%d\">0x%" PRIx64 "</text>\n"
      "<text class=\"faint\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s per cell; the line "
      "marks the target</text>\n"
      "<text class=\"faint\" x=\"%d\" y=\"%d\" text-anchor=\"end\">0x%" PRIx64 "</text>\n",
      MARGIN, y + STRIP_HEIGHT + 18, map->reach_min, WIDTH / 2, y + STRIP_HEIGHT + 18,
      text_size(size).characters, MARGIN + width * STRIP_CELLS, y + STRIP_HEIGHT + 18,
      map->reach_max);
}

/* The width of the used part of a row of buffers. */
static int used_width(const map_row *row, int width) {
  return (int)((double)width * (double)row->used_bytes / (double)(row->max - row->min + 1));
}

static void draw_row(FILE *file, const process_map *map, const map_row *row, int y) {
  char text[160];
  row_describe(map, row, text, sizeof text);
  bool is_target = map->has_target && map->target >= row->min && map->target <= row->max;
  phrase size = text_size(row->max - row->min + 1);
  int height = height_of(row);
  int width = (int)row_magnitude(row) * BAR_WIDTH / 20;
  int middle = y + height / 2 + 4;
  (void)fprintf(file, "<g class=\"row\"><title>%s, %s: 0x%" PRIx64 " to 0x%" PRIx64 " ",
                row_kind_name(row->kind), size.characters, row->min, row->max);
  write_text(file, text);
  (void)fprintf(file,
                "</title>\n<rect class=\"hover\" x=\"%d\" y=\"%d\" width=\"3\" height=\"%d\"/>\n"
                "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"2\"/>\n",
                ADDRESS_X - 8, y, height, class_of(row->kind), BAR_X, y + 1, width, height - 2);
  if (row->kind == ROW_BUFFERS) {
    (void)fprintf(file,
                  "<rect class=\"used\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"2\"/>\n",
                  BAR_X, y + 1, used_width(row, width), height - 2);
  }
  (void)fprintf(file,
                "<text class=\"faint\" x=\"%d\" y=\"%d\">0x%012" PRIx64 "</text>\n"
                "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n"
                "<text x=\"%d\" y=\"%d\">%s</text>\n<text x=\"%d\" y=\"%d\"%s>",
                ADDRESS_X, middle, row->min, SIZE_X, middle, size.characters, TEXT_X, middle,
                row_kind_name(row->kind), TEXT_X + KIND_WIDTH, middle,
                is_target ? " class=\"target\"" : "");
  write_text(file, text);
  (void)fputs("</text></g>\n", file);
}

void map_draw(FILE *file, const tool_target *target, const process_map *map) {
  int rows_y = HEAD + (map->has_target ? STRIP_HEIGHT + 48 : 0);
  int height = rows_y + MARGIN;
  for (size_t i = 0; i < map->count; i++) {
    height += height_of(&map->rows[i]);
  }
  (void)fprintf(file,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
                "height=\"%d\">\n%s<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n",
                WIDTH, height, WIDTH, height, style, WIDTH, height);
  (void)fprintf(file, "<text class=\"title\" x=\"%d\" y=\"30\">process %" PRId64 ", ", MARGIN,
                target->info.id);
  write_text(file, target->info.name);
  (void)fprintf(file, "</text>\n<text class=\"faint\" x=\"%d\" y=\"50\">", MARGIN);
  if (map->has_target) {
    (void)fputs("within reach of a jump from ", file);
    write_text(file, map->target_name);
    (void)fprintf(file, " at 0x%" PRIx64, map->target);
  } else {
    (void)fputs("whole address space", file);
  }
  (void)fputs("; a bar grows by one step each time the size quadruples</text>\n", file);
  if (map->has_target) {
    draw_strip(file, map, HEAD + 8);
  }
  int y = rows_y;
  for (size_t i = 0; i < map->count; i++) {
    draw_row(file, map, &map->rows[i], y);
    y += height_of(&map->rows[i]);
  }
  (void)fputs("</svg>\n", file);
}
