/* An open /proc/<pid>/maps, read line by line. */
#ifndef NB_MAPS_FILE_H
#define NB_MAPS_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "os/linux/maps_text.h"

typedef struct NB_MAY_ALIAS nb_maps_file {
  bool is_open; /* so that zeros are a closed one */
  int file;
  int32_t system_error; /* of the last read; 0: it did not fail */
  uint32_t buffered;    /* characters in `text`, */
  uint32_t consumed;    /* and how many of them were read on */
  char text[4096];
} nb_maps_file;

/* Begins to read, where the file stands; -1: there is no file. */
void nb_maps_file_start(nb_maps_file *maps, int file);

/* Fills the empty buffer. False: at the end, or after a failure. */
bool nb_maps_file_fill(nb_maps_file *maps);

/* Reads the next line that is a mapping: MAPPING or WIDE_MAPPING; MORE at the end or after a failure. */
nb_maps_answer nb_maps_file_next(nb_maps_file *maps, nb_maps_line *line);

#endif
