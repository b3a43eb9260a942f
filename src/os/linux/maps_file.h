/* An open /proc/<pid>/maps, read line by line through a buffer of 4 KiB. No heap. */
#ifndef NBUF_MAPS_FILE_H
#define NBUF_MAPS_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "os/linux/maps_text.h"

typedef struct NBUF_MAY_ALIAS nbuf_maps_file {
  bool is_open; /* a zeroed structure is a closed file */
  int file;
  int32_t system_error; /* of the last read; 0: it succeeded */
  uint32_t buffered;    /* characters in `text`, */
  uint32_t consumed;    /* and how many of them were read */
  char text[4096];
} nbuf_maps_file;

/* Starts reading at the position of the file; -1: there is no file. */
static inline void nbuf_maps_file_start(nbuf_maps_file *maps, int file) {
  maps->is_open = file >= 0;
  maps->file = file;
  maps->system_error = 0;
  maps->buffered = 0;
  maps->consumed = 0;
}

/* Fills the empty buffer. False: at the end, or after a failure. */
bool nbuf_maps_file_fill(nbuf_maps_file *maps);

/* Reads the next line that is a mapping: MAPPING or WIDE_MAPPING; MORE at the end or after a
 * failure. */
nbuf_maps_answer nbuf_maps_file_next(nbuf_maps_file *maps, nbuf_maps_line *line);

#endif
