/* Writes JSON to the standard output, one document for a command; docs/nearbuf.schema.json has what
 * the documents look like. Addresses are strings in hexadecimal, because most readers of JSON cannot
 * hold 64 bits in a number. */
#ifndef NEARBUF_TOOL_JSON_H
#define NEARBUF_TOOL_JSON_H

#include <stdbool.h>
#include <stdint.h>

/* Where the next value goes. */
typedef struct json_writer {
  int depth;
  bool needs_comma;
} json_writer;

/* The document of a command, which starts with the command's name. */
json_writer json_begin_document(const char *command);
void json_end_document(json_writer *json);

/* A key is null inside an array. */
void json_begin_object(json_writer *json, const char *key);
void json_end_object(json_writer *json);
void json_begin_array(json_writer *json, const char *key);
void json_end_array(json_writer *json);

void json_number(json_writer *json, const char *key, uint64_t value);
void json_address(json_writer *json, const char *key, uint64_t value);
void json_bool(json_writer *json, const char *key, bool value);
/* Null becomes null. The text is UTF-8. */
void json_text(json_writer *json, const char *key, const char *value);

#endif
