/* Sizes and distances in words for people. */
#ifndef NEARBUF_TOOL_TEXT_H
#define NEARBUF_TOOL_TEXT_H

#include <stdint.h>

typedef struct phrase {
  char characters[48];
} phrase;

/* "14 bytes", "64 KiB", "1.5 MiB": whole, or with one digit behind the point, rounded down. */
phrase text_size(uint64_t size_bytes);

/* From one address to another: "1.5 MiB above", "14 bytes below", "right at". */
phrase text_distance(uint64_t from, uint64_t to);

#endif
