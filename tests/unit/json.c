/* The inspector's writer of JSON. tools/nearbuf/json.c is compiled here, and its output is kept. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "said.h"

#include "../../tools/nearbuf/json.c" /* NOLINT(bugprone-suspicious-include) */

TEST(quotes_backslashes_and_control_characters_are_escaped_and_nothing_else_is) {
  json_writer json = json_begin_document("a\"b\\c");
  json_text(&json, "low", "\x01\x1f\n");
  json_text(&json, "\tkey", " ~\x7f\xc3\xa4/");
  json_text(&json, "empty", "");
  json_text(&json, "none", NULL);
  json_end_document(&json);
  check_said("{\n"
             "  \"command\": \"a\\\"b\\\\c\",\n"
             "  \"low\": \"\\u0001\\u001f\\u000a\",\n"
             "  \"\\u0009key\": \" ~\x7f\xc3\xa4/\",\n"
             "  \"empty\": \"\",\n"
             "  \"none\": null\n"
             "}\n");
}

TEST(values_are_separated_by_commas_and_indented_by_depth) {
  json_writer json = json_begin_document("show");
  json_number(&json, "most", UINT64_MAX);
  json_address(&json, "address", UINT64_MAX);
  json_begin_array(&json, "all");
  json_begin_object(&json, NULL);
  json_bool(&json, "is_this", true);
  json_bool(&json, "is_that", false);
  json_end_object(&json);
  json_begin_object(&json, NULL);
  json_end_object(&json);
  json_end_array(&json);
  json_begin_array(&json, "none");
  json_end_array(&json);
  json_begin_object(&json, "last");
  json_number(&json, "zero", 0);
  json_end_object(&json);
  json_end_document(&json);
  check_said("{\n"
             "  \"command\": \"show\",\n"
             "  \"most\": 18446744073709551615,\n"
             "  \"address\": \"0xffffffffffffffff\",\n"
             "  \"all\": [\n"
             "    {\n"
             "      \"is_this\": true,\n"
             "      \"is_that\": false\n"
             "    },\n"
             "    {}\n"
             "  ],\n"
             "  \"none\": [],\n"
             "  \"last\": {\n"
             "    \"zero\": 0\n"
             "  }\n"
             "}\n");
}
