/* The text of /proc/<pid>/maps, parsed one character at a time, since lines can be longer than any
 * buffer. No system calls. Whatever the characters are, only the mapping is written. */
#ifndef NBUF_MAPS_TEXT_H
#define NBUF_MAPS_TEXT_H

#include <stdint.h>

#include "os/os.h"

typedef struct nbuf_maps_line {
  nbuf_mapping mapping; /* complete when nbuf_maps_feed returns NBUF_MAPS_MAPPING */
  uint64_t start;       /* its range again: its addresses may be wider than ours */
  uint64_t last;
  uint8_t field;
  uint8_t permission;
  uint32_t name_length;
  uint32_t major;
  uint64_t number;
} nbuf_maps_line;

typedef enum nbuf_maps_answer {
  NBUF_MAPS_MORE,
  NBUF_MAPS_MAPPING,
  NBUF_MAPS_WIDE_MAPPING, /* complete except mapping.range: its addresses are wider than ours */
  NBUF_MAPS_BAD_LINE
} nbuf_maps_answer;

/* Begins a line. */
void nbuf_maps_begin(nbuf_maps_line *line);

/* Takes the next character. Every result but MORE comes at the end of the line; then call begin
 * again. */
nbuf_maps_answer nbuf_maps_feed(nbuf_maps_line *line, char character);

#endif
