/* Parts that the JSON documents of several commands share. */
#ifndef NEARBUF_TOOL_REPORT_H
#define NEARBUF_TOOL_REPORT_H

#include "json.h"
#include "snapshot.h"

/* The members "process", "name", "user", ... of a process. */
void report_process(json_writer *json, const tool_target *target);

/* The members "locator_count", "buffer_count", "size_bytes", ...: sums over the process. */
void report_totals(json_writer *json, const process_snapshot *snapshot);

/* An object that describes a file of the shared directory. */
void report_file(json_writer *json, const nearbuf_file *file);

const char *file_state_name(nearbuf_file_state state);

#endif
