#include "report.h"

#include <string.h>

#include "text.h"

void report_process(json_writer *json, const tool_target *target) {
  const nearbuf_process_info *info = &target->info;
  json_number(json, "process", (uint64_t)info->id);
  json_text(json, "name", info->name);
  json_number(json, "user", info->user);
  json_text(json, "user_name", info->user_name);
  json_number(json, "address_bits", info->address_bits);
}

void report_totals(json_writer *json, const process_snapshot *snapshot) {
  snapshot_sums sums = snapshot_sum(snapshot);
  json_number(json, "locator_count", snapshot->locator_count);
  json_number(json, "buffer_count", snapshot->buffer_count);
  json_number(json, "taken_count", sums.taken);
  json_number(json, "size_bytes", sums.size_bytes);
  json_number(json, "used_bytes", sums.used_bytes);
  json_text(json, "dialect",
            snapshot->locator_count == 0 ? NULL : dialect_name(snapshot->locators[0].dialect));
  json_text(json, "fault", sums.fault);
}

const char *file_state_name(nearbuf_file_state state) {
  switch (state) {
  case NEARBUF_FILE_LIVE:
    return "live";
  case NEARBUF_FILE_STALE:
    return "stale";
  default:
    return "unknown";
  }
}

void report_file(json_writer *json, const nearbuf_file *file) {
  char name[sizeof file->name];
  memcpy(name, file->name, sizeof name);
  text_clean(name);
  json_begin_object(json, NULL);
  json_text(json, "name", name);
  json_number(json, "process", (uint64_t)file->process);
  json_text(json, "state", file_state_name(file->state));
  json_end_object(json);
}
