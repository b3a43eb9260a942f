/* The text of /proc/<pid>/maps, parsed one character at a time, since lines can be longer than any
 * buffer. No system calls. Whatever the characters are, only the mapping is written. */
#ifndef NB_MAPS_TEXT_H
#define NB_MAPS_TEXT_H

#include <stdint.h>

#include "os/os.h"

typedef struct nb_maps_line {
  nb_mapping mapping; /* complete when nb_maps_feed returns NB_MAPS_MAPPING */
  uint64_t start;     /* its range again: its addresses may be wider than ours */
  uint64_t last;
  uint8_t field;
  uint8_t permission;
  uint32_t name_length;
  uint32_t major;
  uint64_t number;
} nb_maps_line;

typedef enum nb_maps_answer {
  NB_MAPS_MORE,
  NB_MAPS_MAPPING,
  NB_MAPS_WIDE_MAPPING, /* complete except mapping.range: its addresses are wider than ours */
  NB_MAPS_BAD_LINE
} nb_maps_answer;

/* Begins a line. */
void nb_maps_begin(nb_maps_line *line);

/* Takes the next character. Every result but MORE comes at the end of the line; then call begin
 * again. */
nb_maps_answer nb_maps_feed(nb_maps_line *line, char character);

#endif
