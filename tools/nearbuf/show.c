/* nearbuf show: the locators and buffers of a process, field by field. */
#include <inttypes.h>
#include <stdio.h>

#include "json.h"
#include "report.h"
#include "snapshot.h"
#include "text.h"

static process_protection protection_at(const process_snapshot *snapshot, uint64_t address) {
  const nearbuf_process_mapping *mapping = snapshot_mapping(snapshot, address);
  process_protection none = {"none"};
  process_protection unknown = {"?"};
  if (!snapshot->has_map) {
    return unknown;
  }
  return mapping == NULL ? none : protection_of(mapping);
}

/* ---- Text ------------------------------------------------------------------------------------ */

static void print_locator(const nearbuf_process_locator *locator) {
  (void)printf("\nlocator %" PRIu32 " at 0x%" PRIx64 ": %" PRIu32 " of %" PRIu32
               " items, dialect %s, %s%s\n",
               locator->number, locator->address, locator->count, locator->capacity,
               dialect_name(locator->dialect), locator->is_shared != 0 ? "shared" : "readable only",
               locator->is_locked != 0 ? ", LOCKED" : "");
  if (locator->name[0] != '\0') {
    (void)printf("  file      %s\n", locator->name);
  }
  if (locator->fault != NULL) {
    (void)printf("  DAMAGED   %s (item %" PRIu32 ")\n", locator->fault, locator->fault_index);
  }
  if (locator->next != 0) {
    (void)printf("  next      0x%" PRIx64 "\n", locator->next);
  }
  if (locator->count != 0) {
    (void)printf("  %4s  %-18s  %10s  %10s  %-5s  %-4s  %s\n", "item", "address", "size", "used",
                 "held", "prot", "near");
  }
}

static void print_buffer(const process_snapshot *snapshot, const nearbuf_process_item *item) {
  process_module module;
  char near[96] = "";
  if (snapshot_nearest_module(snapshot, item->address, &module)) {
    (void)snprintf(near, sizeof near, "%s %s", text_distance(module.min, item->address).characters,
                   text_beginning(module.name, 40).characters);
  }
  (void)printf("  %4" PRIu32 "  0x%-16" PRIx64 "  %10" PRIu32 "  %10" PRIu32 "  %-5s  %-4s  %s\n",
               item->index, item->address, item->size_bytes, item->used_bytes,
               item->is_taken != 0 ? "held" : "free",
               protection_at(snapshot, item->address).letters, near);
  if (item->fault != NULL) {
    (void)printf("        DAMAGED: %s\n", item->fault);
  }
}

static void print_totals(const process_snapshot *snapshot) {
  snapshot_sums sums = snapshot_sum(snapshot);
  (void)printf("\n%s of %s, %s used; %" PRIu64 " held; %s\n",
               text_count(snapshot->buffer_count, "buffer").characters,
               text_size(sums.size_bytes).characters, text_size(sums.used_bytes).characters,
               sums.taken, sums.fault == NULL ? "no fault found" : sums.fault);
}

static void show_as_text(const tool_target *target, const process_snapshot *snapshot) {
  (void)printf("process %" PRId64 ", %s, %" PRIu32 " bits%s\n", target->info.id, target->info.name,
               target->info.address_bits, target->info.is_stopped != 0 ? ", stopped" : "");
  if (target->info.own_id != target->info.id && target->info.own_id != 0) {
    (void)printf("  it is in another pid namespace, where its id is %" PRId64 "\n",
                 target->info.own_id);
  }
  size_t buffer = 0;
  for (size_t i = 0; i < snapshot->locator_count; i++) {
    print_locator(&snapshot->locators[i]);
    for (; buffer < snapshot->buffer_count &&
           snapshot->buffers[buffer].locator == snapshot->locators[i].number;
         buffer++) {
      print_buffer(snapshot, &snapshot->buffers[buffer].item);
    }
  }
  print_totals(snapshot);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void report_buffer(json_writer *json, const process_snapshot *snapshot,
                          const listed_buffer *buffer) {
  const nearbuf_process_item *item = &buffer->item;
  process_module module;
  json_begin_object(json, NULL);
  json_number(json, "locator", buffer->locator);
  json_number(json, "index", item->index);
  json_address(json, "address", item->address);
  json_number(json, "size_bytes", item->size_bytes);
  json_number(json, "used_bytes", item->used_bytes);
  json_bool(json, "is_taken", item->is_taken != 0);
  json_text(json, "protection", protection_at(snapshot, item->address).letters);
  if (snapshot_nearest_module(snapshot, item->address, &module)) {
    json_text(json, "near", module.name);
    json_address(json, "near_address", module.min);
  }
  json_text(json, "fault", item->fault);
  json_end_object(json);
}

static void report_locator(json_writer *json, const nearbuf_process_locator *locator) {
  json_begin_object(json, NULL);
  json_number(json, "number", locator->number);
  json_address(json, "address", locator->address);
  json_address(json, "next", locator->next);
  json_text(json, "dialect", dialect_name(locator->dialect));
  json_number(json, "count", locator->count);
  json_number(json, "capacity", locator->capacity);
  json_bool(json, "is_locked", locator->is_locked != 0);
  json_bool(json, "is_shared", locator->is_shared != 0);
  json_text(json, "file", locator->name[0] == '\0' ? NULL : locator->name);
  json_text(json, "fault", locator->fault);
  json_end_object(json);
}

static void show_as_json(const tool_target *target, const process_snapshot *snapshot) {
  json_writer json = json_begin_document("show");
  report_process(&json, target);
  report_totals(&json, snapshot);
  json_begin_array(&json, "locators");
  for (size_t i = 0; i < snapshot->locator_count; i++) {
    report_locator(&json, &snapshot->locators[i]);
  }
  json_end_array(&json);
  json_begin_array(&json, "buffers");
  for (size_t i = 0; i < snapshot->buffer_count; i++) {
    report_buffer(&json, snapshot, &snapshot->buffers[i]);
  }
  json_end_array(&json);
  json_end_document(&json);
}

exit_code show_run(const tool_arguments *arguments) {
  tool_target target;
  process_snapshot snapshot = {0};
  exit_code code = target_open(arguments, &target);
  if (code == EXIT_DONE) {
    nearbuf_status status = snapshot_take(&target, &snapshot);
    if (status != NEARBUF_OK) {
      code = target_complain(&target, "its buffers cannot be read", status);
    } else if (snapshot.locator_count == 0) {
      code = complain(EXIT_NOT_FOUND, "process %" PRId64 " has no buffers", target.info.id);
    } else if (arguments_option(arguments, "--json") != NULL) {
      show_as_json(&target, &snapshot);
    } else {
      show_as_text(&target, &snapshot);
    }
  }
  snapshot_free(&snapshot);
  target_close(&target);
  return code;
}
