/* nearbuf clean: removes the files that dead processes left behind. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <nearbuf/process.h>

#include "command.h"
#include "host.h"
#include "json.h"
#include "report.h"
#include "text.h"

typedef struct clean_state {
  json_writer *json; /* null: text output */
  uint64_t removed;
  uint64_t kept;
  uint64_t refused;
} clean_state;

static int clean_file(const nearbuf_file *file, void *context) {
  clean_state *cleaning = context;
  char name[sizeof file->name];
  memcpy(name, file->name, sizeof name);
  text_clean(name);
  if (file->state != NEARBUF_FILE_STALE) {
    cleaning->kept++;
    return 0;
  }
  int32_t system_error = 0;
  nearbuf_status status = nearbuf_process_remove_file(file, &system_error);
  if (status != NEARBUF_OK) {
    cleaning->refused++;
    (void)complain(EXIT_DENIED, "cannot be removed: %s: %s%s%s", name, nearbuf_status_text(status),
                   system_error != 0 ? ": " : "",
                   system_error != 0 ? host_error_text(system_error) : "");
    return 0;
  }
  cleaning->removed++;
  if (cleaning->json != NULL) {
    report_file(cleaning->json, file);
  } else {
    (void)printf("removed: %s\n", name);
  }
  return 0;
}

exit_code clean_run(const tool_arguments *arguments) {
  clean_state cleaning = {0};
  bool is_json = arguments_option(arguments, "--json") != NULL;
  json_writer json = {0};
  if (is_json) {
    json = json_begin_document("clean");
    cleaning.json = &json;
    json_begin_array(&json, "removed");
  }
  nearbuf_status status = nearbuf_process_visit_files(clean_file, &cleaning);
  if (is_json) {
    json_end_array(&json);
    json_number(&json, "kept_count", cleaning.kept);
    json_number(&json, "refused_count", cleaning.refused);
    json_end_document(&json);
  } else {
    (void)printf("%" PRIu64 " removed, %" PRIu64 " kept\n", cleaning.removed,
                 cleaning.kept + cleaning.refused);
  }
  if (status != NEARBUF_OK) {
    return complain(status == NEARBUF_DENIED ? EXIT_DENIED : EXIT_FAILED,
                    "the directory of the files cannot be read: %s", nearbuf_status_text(status));
  }
  return cleaning.refused == 0 ? EXIT_DONE : EXIT_DENIED;
}
