/* Keeping the end of a mapped file's name, which is the part that identifies it. */
#ifndef NBUF_NAME_END_H
#define NBUF_NAME_END_H

#include <string.h>

#include "os/os.h"

static inline void nbuf_keep_name_end(nbuf_mapping *mapping, const char *name, size_t length) {
  size_t room = sizeof mapping->name_end - 1;
  size_t skipped = length > room ? length - room : 0;
  memcpy(mapping->name_end, name + skipped, length - skipped);
  mapping->name_end[length - skipped] = '\0';
}

#endif
