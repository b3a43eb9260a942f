#include "where.h"

#include <inttypes.h>
#include <string.h>

#include "elf_symbols.h"
#include "host.h"
#include "pe_symbols.h"

/* Parses MODULE or MODULE+OFFSET. */
static bool read_in_module(const process_snapshot *snapshot, const char *text, uint64_t *address) {
  size_t at = 0;
  process_module module;
  while (snapshot_next_module(snapshot, &at, &module)) {
    size_t length = strlen(module.name);
    if (!host_names_are_equal(text, module.name, length)) {
      continue;
    }
    uint64_t offset = 0;
    if (text[length] == '\0' || (text[length] == '+' && number_read(text + length + 1, &offset))) {
      *address = module.min + offset;
      return true;
    }
  }
  return false;
}

/* A symbol that a module forwards to another one, which may forward it again. */
enum { FORWARDER_SIZE = 256, MOST_FORWARDERS = 4 };

typedef struct symbol_name {
  char module[FORWARDER_SIZE]; /* without ".dll"; empty: any */
  char symbol[FORWARDER_SIZE];
} symbol_name;

/* Reads MODULE.NAME. A name of a set of functions, "api-ms-…", is not a module's: any may have it.
 * False: it has no name, but a number. */
static bool read_forwarder(tool_target *target, uint64_t address, symbol_name *name) {
  char text[FORWARDER_SIZE];
  size_t done = 0;
  (void)nearbuf_process_read(&target->process, address, text, sizeof text - 1, &done);
  text[done] = '\0';
  char *dot = strrchr(text, '.');
  if (dot == NULL || dot[1] == '\0' || dot[1] == '#') {
    return false;
  }
  *dot = '\0';
  bool is_set = strncmp(text, "api-", 4) == 0 || strncmp(text, "ext-", 4) == 0;
  memcpy(name->symbol, dot + 1, strlen(dot + 1) + 1);
  memcpy(name->module, is_set ? "" : text, is_set ? 1 : strlen(text) + 1);
  return true;
}

static int lower_case(char letter) {
  return letter >= 'A' && letter <= 'Z' ? letter - 'A' + 'a' : letter;
}

/* Whether two names of Windows are the same; those of DLLs are written in any case. */
static bool are_equal_in_any_case(const char *one, const char *other, size_t length) {
  size_t same = 0;
  while (same < length && lower_case(one[same]) == lower_case(other[same])) {
    same++;
  }
  return same == length;
}

static bool is_module_called(const process_module *module, const char *name) {
  size_t length = strlen(name);
  return length == 0 ||
         (strlen(module->name) == length + 4 && are_equal_in_any_case(module->name, name, length) &&
          are_equal_in_any_case(module->name + length, ".dll", 4));
}

/* NOT_FOUND: no module that could be read exports it; then `*forwarder` is the address of the text
 * of one that forwards it, or 0. Other failures: why a module could not be read. */
static nearbuf_status find_symbol(tool_target *target, const process_snapshot *snapshot,
                                  const symbol_name *name, uint64_t *address, uint64_t *forwarder) {
  size_t at = 0;
  process_module module;
  *forwarder = 0;
  while (snapshot_next_module(snapshot, &at, &module)) {
    if (!is_module_called(&module, name->module)) {
      continue;
    }
    nearbuf_status status = elf_symbol_find(target, &module, name->symbol, address);
    if (status == NEARBUF_NOT_FOUND) {
      status = pe_symbol_find(target, &module, name->symbol, address);
      *forwarder = status == NEARBUF_NOT_FOUND && *forwarder == 0 ? *address : *forwarder;
    }
    if (status != NEARBUF_NOT_FOUND) {
      return status;
    }
  }
  return NEARBUF_NOT_FOUND;
}

static nearbuf_status read_symbol(tool_target *target, const process_snapshot *snapshot,
                                  const char *text, uint64_t *address) {
  symbol_name name = {"", ""};
  size_t length = strlen(text);
  if (length >= sizeof name.symbol) {
    return NEARBUF_NOT_FOUND;
  }
  memcpy(name.symbol, text, length + 1);
  for (int i = 0; i <= MOST_FORWARDERS; i++) {
    uint64_t forwarder;
    nearbuf_status status = find_symbol(target, snapshot, &name, address, &forwarder);
    if (status != NEARBUF_NOT_FOUND || forwarder == 0 ||
        !read_forwarder(target, forwarder, &name)) {
      return status;
    }
  }
  return NEARBUF_NOT_FOUND;
}

exit_code where_read(tool_target *target, const process_snapshot *snapshot, const char *text,
                     uint64_t *address) {
  if (number_read(text, address) || read_in_module(snapshot, text, address)) {
    return EXIT_DONE;
  }
  nearbuf_status status = read_symbol(target, snapshot, text, address);
  if (status == NEARBUF_OK) {
    return EXIT_DONE;
  }
  bool is_gone =
      status == NEARBUF_NOT_FOUND && nearbuf_process_check(&target->process) == NEARBUF_NOT_FOUND;
  if (status != NEARBUF_NOT_FOUND || is_gone) {
    return target_complain(target, "its modules cannot be read", status);
  }
  if (!snapshot->has_map) {
    return target_complain(target, "its memory map cannot be read", NEARBUF_UNSUPPORTED);
  }
  return complain(EXIT_NOT_FOUND, "process %" PRId64 " has no such module or exported symbol: %s",
                  target->process.id, text);
}

nearbuf_range where_reach(const tool_target *target, uint64_t address) {
  nearbuf_range all = {0, target->info.address_bits == 32 ? UINT32_MAX : UINTPTR_MAX};
  nearbuf_range point = {(uintptr_t)address, (uintptr_t)address};
  nearbuf_range reach;
  bool is_of_our_width = target->info.address_bits == 8 * sizeof(uintptr_t);
  if (!is_of_our_width ||
      nearbuf_range_within_reach(&point, 1, NEARBUF_REACH_JUMP, &reach) != NEARBUF_OK) {
    return all;
  }
  return reach;
}

/* How near hooks need memory to be: code copied from the target refers to data around the
 * target. */
static uint64_t near_distance(const tool_target *target, uint64_t address) {
  nearbuf_request native;
  bool is_of_our_width = target->info.address_bits == 8 * sizeof(uintptr_t);
  bool is_known = is_of_our_width &&
                  nearbuf_request_near((const void *)(uintptr_t)address, 1, &native) == NEARBUF_OK;
  return is_known ? native.near_bytes : 0;
}

static exit_code read_near(tool_target *target, const char *text,
                           nearbuf_process_request *request) {
  process_snapshot snapshot;
  nearbuf_status status = snapshot_take(target, &snapshot);
  exit_code code = status == NEARBUF_OK
                       ? where_read(target, &snapshot, text, &request->target)
                       : target_complain(target, "its memory map cannot be read", status);
  snapshot_free(&snapshot);
  nearbuf_range reach = where_reach(target, request->target);
  request->min = reach.min;
  request->max = reach.max;
  request->near_bytes = near_distance(target, request->target);
  return code;
}

exit_code where_request(const tool_arguments *arguments, tool_target *target,
                        nearbuf_process_request *request) {
  const char *name = arguments->command->name;
  char **near = arguments_option(arguments, "--near");
  char **range = arguments_option(arguments, "--range");
  char **align = arguments_option(arguments, "--align");
  if ((near == NULL) == (range == NULL)) {
    return complain(EXIT_USAGE, "%s: either --near or --range is required", name);
  }
  if (align != NULL && !number_read(align[0], &request->alignment_bytes)) {
    return complain(EXIT_USAGE, "%s: not a number: %s", name, align[0]);
  }
  if (near != NULL) {
    return read_near(target, near[0], request);
  }
  if (!number_read(range[0], &request->min) || !number_read(range[1], &request->max)) {
    return complain(EXIT_USAGE, "%s: not addresses: %s %s", name, range[0], range[1]);
  }
  return EXIT_DONE;
}
