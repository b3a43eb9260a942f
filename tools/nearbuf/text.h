/* Sizes and distances as readable text. */
#ifndef NEARBUF_TOOL_TEXT_H
#define NEARBUF_TOOL_TEXT_H

#include <stdint.h>

typedef struct phrase {
  char characters[48];
} phrase;

/* "14 bytes", "64 KiB", "1.5 MiB": an integer, or one decimal place, rounded down. */
phrase text_size(uint64_t size_bytes);

/* "1 buffer", "2 buffers". */
phrase text_count(uint64_t count, const char *noun);

/* From one address to another: "1.5 MiB above", "14 bytes below", "right at". */
phrase text_distance(uint64_t from, uint64_t to);

/* Text from another process can contain any bytes. Replaces everything that is not printable UTF-8,
 * is invisible, or changes the direction of writing by question marks, so that it is safe in a
 * terminal, JSON and XML. */
void text_clean(char *text);

/* The first bytes of a clean text, at most 47. What is left of a character that is cut is cleaned,
 * too. */
phrase text_beginning(const char *text, int most_bytes);

#endif
