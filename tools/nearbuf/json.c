#include "json.h"

#include <inttypes.h>
#include <stdio.h>

static void print_string(const char *text) {
  (void)putchar('"');
  for (; *text != '\0'; text++) {
    unsigned char character = (unsigned char)*text;
    if (character == '"' || character == '\\') {
      (void)printf("\\%c", character);
    } else if (character < 0x20) {
      (void)printf("\\u%04x", character);
    } else {
      (void)putchar(character);
    }
  }
  (void)putchar('"');
}

/* Prints what precedes a value: comma, indentation and key. */
static void print_lead(json_writer *json, const char *key) {
  if (json->needs_comma) {
    (void)putchar(',');
  }
  if (json->depth > 0) {
    (void)printf("\n%*s", 2 * json->depth, "");
  }
  if (key != NULL) {
    print_string(key);
    (void)fputs(": ", stdout);
  }
  json->needs_comma = true;
}

static void begin(json_writer *json, const char *key, char bracket) {
  print_lead(json, key);
  (void)putchar(bracket);
  json->depth++;
  json->needs_comma = false;
}

static void end(json_writer *json, char bracket) {
  json->depth--;
  if (json->needs_comma) {
    (void)printf("\n%*s", 2 * json->depth, "");
  }
  (void)putchar(bracket);
  json->needs_comma = true;
}

json_writer json_begin_document(const char *command) {
  json_writer json = {0, false};
  begin(&json, NULL, '{');
  json_text(&json, "command", command);
  return json;
}

void json_end_document(json_writer *json) {
  end(json, '}');
  (void)putchar('\n');
}

void json_begin_object(json_writer *json, const char *key) {
  begin(json, key, '{');
}

void json_end_object(json_writer *json) {
  end(json, '}');
}

void json_begin_array(json_writer *json, const char *key) {
  begin(json, key, '[');
}

void json_end_array(json_writer *json) {
  end(json, ']');
}

void json_number(json_writer *json, const char *key, uint64_t value) {
  print_lead(json, key);
  (void)printf("%" PRIu64, value);
}

void json_address(json_writer *json, const char *key, uint64_t value) {
  print_lead(json, key);
  (void)printf("\"0x%" PRIx64 "\"", value);
}

void json_bool(json_writer *json, const char *key, bool value) {
  print_lead(json, key);
  (void)fputs(value ? "true" : "false", stdout);
}

void json_text(json_writer *json, const char *key, const char *value) {
  print_lead(json, key);
  if (value == NULL) {
    (void)fputs("null", stdout);
  } else {
    print_string(value);
  }
}
