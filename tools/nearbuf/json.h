/* Writes JSON to the standard output, one document per command; docs/nearbuf.schema.json describes
 * the documents. Addresses are strings in hexadecimal, because most JSON parsers do not keep 64
 * bits of a number. */
#ifndef NEARBUF_TOOL_JSON_H
#define NEARBUF_TOOL_JSON_H

#include <stdbool.h>
#include <stdint.h>

/* The state of the writer. */
typedef struct json_writer {
  int depth;
  bool needs_comma;
} json_writer;

/* Begins the document of a command, whose first member is the command's name. */
json_writer json_begin_document(const char *command);
void json_end_document(json_writer *json);

/* Inside an array the key is null. */
void json_begin_object(json_writer *json, const char *key);
void json_end_object(json_writer *json);
void json_begin_array(json_writer *json, const char *key);
void json_end_array(json_writer *json);

void json_number(json_writer *json, const char *key, uint64_t value);
void json_address(json_writer *json, const char *key, uint64_t value);
void json_bool(json_writer *json, const char *key, bool value);
/* A null pointer is written as null. The text must be UTF-8. */
void json_text(json_writer *json, const char *key, const char *value);

#endif
