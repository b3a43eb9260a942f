/* nearbuf watch: samples the totals of a process, its growth and the buffers that are held. A lock
 * does not name its owner, and a release between two samples is not visible: "held" means held in
 * every sample since. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "host.h"
#include "json.h"
#include "report.h"
#include "snapshot.h"
#include "text.h"

typedef struct watch_state {
  tool_target target;
  process_snapshot snapshot; /* the last sample */
  time_t *held_since;        /* for each buffer; 0: free in the last sample */
  size_t known;              /* number of elements of held_since */
  uint64_t used_bytes;       /* in the sample before */
  uint64_t first_used_bytes;
  time_t now;
  bool has_ended;
} watch_state;

/* Notes since when each buffer has been held. Buffers are never removed, and keep their order. */
static bool update_held(watch_state *watch) {
  if (watch->snapshot.buffer_count > watch->known) {
    time_t *larger =
        realloc(watch->held_since, watch->snapshot.buffer_count * sizeof *watch->held_since);
    if (larger == NULL) {
      return false;
    }
    watch->held_since = larger;
    for (; watch->known < watch->snapshot.buffer_count; watch->known++) {
      watch->held_since[watch->known] = 0;
    }
  }
  for (size_t i = 0; i < watch->snapshot.buffer_count; i++) {
    if (watch->snapshot.buffers[i].item.is_taken == 0) {
      watch->held_since[i] = 0;
    } else if (watch->held_since[i] == 0) {
      watch->held_since[i] = watch->now;
    }
  }
  return true;
}

static uint64_t held_seconds(const watch_state *watch, size_t buffer) {
  return (uint64_t)(watch->now - watch->held_since[buffer]);
}

static void print_sample(const watch_state *watch, const snapshot_sums *sums) {
  const process_snapshot *snapshot = &watch->snapshot;
  if (host_has_colours()) {
    (void)fputs("\033[H\033[2J", stdout); /* cursor to the top left, clear the screen */
  }
  (void)printf("process %" PRId64 ", %s: %s, %s of %s, %s used", watch->target.info.id,
               watch->target.info.name, text_count(snapshot->locator_count, "locator").characters,
               text_count(snapshot->buffer_count, "buffer").characters,
               text_size(sums->size_bytes).characters, text_size(sums->used_bytes).characters);
  (void)printf(" (%s more since the first report, %s since the last), %" PRIu64 " held\n",
               text_size(sums->used_bytes - watch->first_used_bytes).characters,
               text_size(sums->used_bytes - watch->used_bytes).characters, sums->taken);
  if (sums->fault != NULL) {
    (void)printf("  DAMAGED: %s\n", sums->fault);
  }
  for (size_t i = 0; i < snapshot->buffer_count; i++) {
    if (watch->held_since[i] != 0) {
      (void)printf("  held, seen for %" PRIu64 " s: 0x%" PRIx64 ", %s\n", held_seconds(watch, i),
                   snapshot->buffers[i].item.address,
                   text_size(snapshot->buffers[i].item.size_bytes).characters);
    }
  }
}

static void report_sample(const watch_state *watch, const snapshot_sums *sums) {
  json_writer json = json_begin_document("watch");
  json_number(&json, "process", (uint64_t)watch->target.info.id);
  report_totals(&json, &watch->snapshot);
  json_number(&json, "grown_bytes", sums->used_bytes - watch->first_used_bytes);
  json_begin_array(&json, "held");
  for (size_t i = 0; i < watch->snapshot.buffer_count; i++) {
    if (watch->held_since[i] != 0) {
      json_begin_object(&json, NULL);
      json_address(&json, "address", watch->snapshot.buffers[i].item.address);
      json_number(&json, "seconds", held_seconds(watch, i));
      json_end_object(&json);
    }
  }
  json_end_array(&json);
  json_end_document(&json);
}

/* Takes and prints a sample. The first one has nothing to compare with. The process may end
 * meanwhile. */
static exit_code sample(watch_state *watch, bool is_first, bool is_json) {
  snapshot_free(&watch->snapshot);
  watch->now = time(NULL);
  nearbuf_status status = snapshot_take_locators(&watch->target, &watch->snapshot);
  if (status == NEARBUF_NOT_FOUND) {
    watch->has_ended = true;
    return EXIT_DONE;
  }
  if (status != NEARBUF_OK) {
    return target_complain(&watch->target, "its buffers cannot be read", status);
  }
  if (!update_held(watch)) {
    return complain(EXIT_FAILED, "watch: out of memory");
  }
  snapshot_sums sums = snapshot_sum(&watch->snapshot);
  if (is_first ||
      sums.used_bytes < watch->used_bytes) { /* fewer bytes: it executed another program */
    watch->first_used_bytes = sums.used_bytes;
    watch->used_bytes = sums.used_bytes;
  }
  if (is_json) {
    report_sample(watch, &sums);
  } else {
    print_sample(watch, &sums);
  }
  (void)fflush(stdout);
  watch->used_bytes = sums.used_bytes;
  return EXIT_DONE;
}

/* Takes samples until the process ends, or `count` of them. */
static exit_code take_samples(watch_state *watch, uint64_t count, uint64_t interval_ms,
                              bool is_json) {
  for (uint64_t samples = 0; count == 0 || samples < count; samples++) {
    if (samples != 0) {
      host_sleep((uint32_t)interval_ms);
    }
    exit_code code = sample(watch, samples == 0, is_json);
    if (watch->has_ended && !is_json) {
      (void)printf("process %" PRId64 " has ended\n", watch->target.info.id);
    }
    if (watch->has_ended || code != EXIT_DONE) {
      return code;
    }
  }
  return EXIT_DONE;
}

exit_code watch_run(const tool_arguments *arguments) {
  char **interval = arguments_option(arguments, "--interval");
  char **samples = arguments_option(arguments, "--count");
  uint64_t interval_ms = 1000;
  uint64_t count = 0;
  if (interval != NULL &&
      (!number_read(interval[0], &interval_ms) || interval_ms == 0 || interval_ms > UINT32_MAX)) {
    return complain(EXIT_USAGE, "watch: not a number of milliseconds: %s", interval[0]);
  }
  if (samples != NULL && (!number_read(samples[0], &count) || count == 0)) {
    return complain(EXIT_USAGE, "watch: not a number of reports: %s", samples[0]);
  }
  watch_state watch = {0};
  exit_code code = target_open(arguments, &watch.target);
  if (code == EXIT_DONE) {
    code = take_samples(&watch, count, interval_ms, arguments_option(arguments, "--json") != NULL);
  }
  snapshot_free(&watch.snapshot);
  free(watch.held_since);
  target_close(&watch.target);
  return code;
}
