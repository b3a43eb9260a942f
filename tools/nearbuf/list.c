/* nearbuf list: the processes that have buffers, and the files of dead processes. */
#include <inttypes.h>
#include <stdio.h>

#include "host.h"
#include "json.h"
#include "report.h"
#include "snapshot.h"
#include "text.h"

/* Further stale files are only counted. */
enum { STALE_LINES = 10 };

/* The state that the visitors share. */
typedef struct list_state {
  json_writer *json; /* null: text output */
  uint64_t refused;  /* processes that the system did not let us read */
  uint64_t stale;
} list_state;

static void print_row(const tool_target *target, const process_snapshot *snapshot) {
  const nearbuf_process_info *info = &target->info;
  snapshot_sums sums = snapshot_sum(snapshot);
  (void)printf("%8" PRId64 "  %-16s %-10s %4zu %7zu  %10s  %10s  %s%s%s\n", info->id,
               text_beginning(info->name, 16).characters,
               text_beginning(info->user_name, 10).characters, snapshot->locator_count,
               snapshot->buffer_count, text_size(sums.used_bytes).characters,
               text_size(sums.size_bytes).characters, dialect_name(snapshot->locators[0].dialect),
               sums.fault == NULL ? "" : " DAMAGED: ", sums.fault == NULL ? "" : sums.fault);
}

static int visit_process(int64_t id, void *context) {
  list_state *listing = context;
  tool_target target = {0};
  process_snapshot snapshot = {0};
  nearbuf_status status = nearbuf_process_open(id, &target.process);
  if (status == NEARBUF_OK) {
    status = target_describe(&target);
  }
  if (status == NEARBUF_OK) {
    status = snapshot_take_locators(&target, &snapshot);
  }
  if (snapshot.locator_count != 0) {
    if (listing->json == NULL) {
      print_row(&target, &snapshot);
    } else {
      json_begin_object(listing->json, NULL);
      report_process(listing->json, &target);
      report_totals(listing->json, &snapshot);
      json_end_object(listing->json);
    }
  }
  listing->refused += status == NEARBUF_DENIED;
  snapshot_free(&snapshot);
  target_close(&target);
  return 0;
}

static int list_file(const nearbuf_file *file, void *context) {
  list_state *listing = context;
  if (listing->json != NULL) {
    report_file(listing->json, file);
  }
  if (file->state == NEARBUF_FILE_STALE && listing->stale++ < STALE_LINES &&
      listing->json == NULL) {
    (void)printf("%8" PRId64 "  (dead: its file is stale)\n", file->process);
  }
  return 0;
}

static exit_code list_as_text(void) {
  list_state listing = {0};
  (void)printf("%8s  %-16s %-10s %4s %7s  %10s  %10s  %s\n", "PROCESS", "NAME", "OWNER", "LOC",
               "BUFFERS", "USED", "OF", "DIALECT");
  nearbuf_status status = nearbuf_process_visit_all(visit_process, &listing);
  if (status != NEARBUF_OK) {
    return complain(EXIT_FAILED, "the processes cannot be listed: %s", nearbuf_status_text(status));
  }
  (void)nearbuf_process_visit_files(list_file, &listing);
  if (listing.stale != 0) {
    (void)printf("%s of dead processes; `nearbuf clean` removes them.\n",
                 text_count(listing.stale, "file").characters);
  }
  if (listing.refused != 0) {
    (void)printf("%" PRIu64 " more process%s could not be read.\n  %s\n", listing.refused,
                 listing.refused == 1 ? "" : "es", host_denied_hint());
  }
  return EXIT_DONE;
}

static exit_code list_as_json(void) {
  json_writer json = json_begin_document("list");
  list_state listing = {.json = &json};
  json_begin_array(&json, "processes");
  nearbuf_status status = nearbuf_process_visit_all(visit_process, &listing);
  json_end_array(&json);
  json_begin_array(&json, "files");
  (void)nearbuf_process_visit_files(list_file, &listing);
  json_end_array(&json);
  json_number(&json, "refused", listing.refused);
  json_end_document(&json);
  return status == NEARBUF_OK ? EXIT_DONE
                              : complain(EXIT_FAILED, "the processes cannot be listed: %s",
                                         nearbuf_status_text(status));
}

exit_code list_run(const tool_arguments *arguments) {
  return arguments_option(arguments, "--json") != NULL ? list_as_json() : list_as_text();
}
