/* Sizes and distances in words for people. */
#ifndef NEARBUF_TOOL_TEXT_H
#define NEARBUF_TOOL_TEXT_H

#include <stdint.h>

typedef struct phrase {
  char characters[48];
} phrase;

/* "14 bytes", "64 KiB", "1.5 MiB": whole, or with one digit behind the point, rounded down. */
phrase text_size(uint64_t size_bytes);

/* "1 buffer", "2 buffers". */
phrase text_count(uint64_t count, const char *noun);

/* From one address to another: "1.5 MiB above", "14 bytes below", "right at". */
phrase text_distance(uint64_t from, uint64_t to);

/* Text that came from another process may hold anything: replaces what is no printable UTF-8, and what
 * is invisible in it or reverses the order of writing, by question marks, so that a terminal, JSON and
 * XML show what is there. */
void text_clean(char *text);

#endif
