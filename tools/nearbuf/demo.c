/* nearbuf demo: detours a function that was not prepared for it, which is what the library is made
 * for. Every statement that it prints has been verified. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nearbuf/nearbuf.h>

#include "command.h"
#include "demo_plugin.h"
#include "detour.h"
#include "host.h"
#include "text.h"

/* Set by CMake: the plug-in's path beside this program, and where it is installed. */
#define PLUGIN_PATHS                                                                               \
  { NEARBUF_TOOL_PLUGIN_BUILT, NEARBUF_TOOL_PLUGIN_INSTALLED }

/* What later steps need from earlier ones. */
typedef struct demo_state {
  uintptr_t target; /* the function that is detoured */
  char target_module[1024];
  nearbuf_request near; /* a request for memory near it */
  nearbuf_memory stub;
  nearbuf_info stub_buffer;
} demo_state;

/* ---- Claims ---------------------------------------------------------------------------------- */

/* Prints a statement, marked as failed if it does not hold. */
__attribute__((format(printf, 2, 3))) static bool claim(bool holds, const char *format, ...) {
  (void)fputs(holds ? "   " : "   FAILED: ", stdout);
  va_list values;
  va_start(values, format);
  (void)vprintf(format, values);
  va_end(values);
  (void)putchar('\n');
  return holds;
}

static bool works(nearbuf_status status, const char *ctx, int32_t system_error) {
  if (status == NEARBUF_OK) {
    return true;
  }
  (void)claim(false, "%s: %s (%s, the system's code is %" PRId32 ").", ctx,
              nearbuf_status_text(status), nearbuf_status_name(status), system_error);
  return false;
}

static bool is_in_range(const nearbuf_memory *memory, nearbuf_range range) {
  uintptr_t first = (uintptr_t)memory->run_at;
  return first >= range.min && first + (memory->size_bytes - 1) <= range.max;
}

/* ---- A detour -------------------------------------------------------------------------------- */

typedef char *environment_function(const char *name);

static const char asked_name[] = "NEARBUF_DEMO";
static char detoured_result[] = "this comes from the detour";

/* The function that the detour leads to. */
static char *detoured(const char *name) {
  return strcmp(name, asked_name) == 0 ? detoured_result : NULL;
}

/* Calls the function at an address, hidden from the compiler, which might otherwise evaluate it. */
static const char *call(uintptr_t function, const char *name) {
  environment_function *volatile opaque = (environment_function *)function;
  return opaque(name);
}

static ptrdiff_t write_detour(const nearbuf_memory *room, void *context) {
  (void)context;
  return detour_write_stub(room->write_to, (uintptr_t)room->run_at, (uintptr_t)detoured);
}

static bool place_stub(demo_state *demo) {
  nearbuf_status status = nearbuf_request_near((void *)demo->target, DETOUR_STUB_SIZE, &demo->near);
  if (status == NEARBUF_OK) {
    status = nearbuf_place_with(&demo->near, write_detour, NULL, &demo->stub);
  }
  if (status == NEARBUF_OK) {
    status = nearbuf_find(demo->stub.run_at, &demo->stub_buffer);
  }
  if (!works(status, "A stub could not be placed", demo->stub.system_error)) {
    return false;
  }
  return claim(is_in_range(&demo->stub, demo->near.range),
               "A stub of %" PRIu64 " bytes lies at 0x%" PRIxPTR ", %s it.",
               (uint64_t)demo->stub.size_bytes, (uintptr_t)demo->stub.run_at,
               text_distance(demo->target, (uintptr_t)demo->stub.run_at).characters);
}

/* Detours the target, calls it, and restores its code. */
static bool detour(const demo_state *demo) {
  unsigned char original[DETOUR_STUB_SIZE];
  unsigned char jump[DETOUR_STUB_SIZE];
  const void *start = (const void *)demo->target;
  const char *reason = "";
  const char *result_before = call(demo->target, asked_name);
  memcpy(original, start, DETOUR_JUMP_SIZE);
  detour_write_jump(jump, demo->target, (uintptr_t)demo->stub.run_at);
  if (!host_write_code(demo->target, jump, DETOUR_JUMP_SIZE, &reason)) {
    return claim(false, "The system does not allow code to be changed: %s.", reason);
  }
  const char *result = call(demo->target, asked_name);
  if (!host_write_code(demo->target, original, DETOUR_JUMP_SIZE, &reason)) {
    return claim(false, "The system does not allow code to be restored: %s.", reason);
  }
  bool holds = claim(result != NULL && strcmp(result, detoured_result) == 0,
                     "Its first %d bytes became a jump (%s) to the stub; called, it returned\n"
                     "   \"%s\".",
                     DETOUR_JUMP_SIZE, DETOUR_JUMP_NAME, result == NULL ? "" : result);
  return claim(memcmp(original, start, DETOUR_JUMP_SIZE) == 0 &&
                   call(demo->target, asked_name) == result_before,
               "Those bytes were restored, and it returns what it did before.") &&
         holds;
}

static bool show_detour(demo_state *demo) {
  demo->target = host_library_function("getenv", demo->target_module, sizeof demo->target_module);
  if (!claim(demo->target != 0, "getenv is at 0x%" PRIxPTR ", in %s.", demo->target,
             demo->target_module)) {
    return false;
  }
  if (!place_stub(demo)) {
    return false;
  }
  if (DETOUR_JUMP_SIZE == 0) {
    return claim(true, "The demo has no jump for this processor, so nothing is detoured.");
  }
  return detour(demo);
}

/* ---- The second get -------------------------------------------------------------------------- */

/* The text around the second get is flushed, so that a trace of system calls shows that there is
 * none between the two writes. */
static bool show_second_get(demo_state *demo) {
  static const unsigned char filler[16] = {0};
  nearbuf_request request = demo->near;
  request.size_bytes = sizeof filler;
  nearbuf_buffer first;
  nearbuf_status status = nearbuf_get(&request, &first);
  if (!works(status, "No buffer", first.system_error)) {
    return false;
  }
  uintptr_t address = nearbuf_buffer_address(&first);
  (void)nearbuf_release(&first);

  (void)fflush(stdout);
  (void)fputs("   A thread that gets a buffer a second time", stdout);
  (void)fflush(stdout);
  nearbuf_buffer second;
  status = nearbuf_get(&request, &second);
  bool is_same = status == NEARBUF_OK && nearbuf_buffer_address(&second) == address;
  (void)nearbuf_release(&second);
  (void)puts(is_same ? " gets the one it had:" : " gets another one:");
  (void)fflush(stdout);
  return claim(is_same, "the stub's, at 0x%" PRIxPTR ", with room left.", address);
}

/* ---- A plug-in ------------------------------------------------------------------------------- */

static void *load_plugin(void) {
  static const char *const paths[] = PLUGIN_PATHS;
  const char *reason = "";
  void *module = NULL;
  for (size_t i = 0; module == NULL && i < sizeof paths / sizeof *paths; i++) {
    module = host_load(paths[i], &reason);
  }
  if (module == NULL) {
    (void)claim(false, "The plug-in can be loaded: %s", reason);
  }
  return module;
}

static bool share_with(const demo_state *demo, demo_plugin_function *plugin_place) {
  static const unsigned char bytes[] = "placed by the plug-in";
  nearbuf_request request = demo->near;
  request.size_bytes = sizeof bytes;
  request.alignment_bytes = 1;
  demo_plugin_result result;
  plugin_place(&request, bytes, &result);
  if (!works(result.status, "The plug-in could not place bytes", result.placed.system_error)) {
    return false;
  }
  uintptr_t address = (uintptr_t)result.placed.run_at;
  uintptr_t stub_end = (uintptr_t)demo->stub.run_at + demo->stub.size_bytes;
  nearbuf_totals totals;
  (void)nearbuf_get_totals(&totals);
  return claim(result.copy_of_library != (uintptr_t)nearbuf_place,
               "A plug-in with its own copy of the library was loaded: its nearbuf_place is at\n"
               "   0x%" PRIxPTR ", this program's at 0x%" PRIxPTR ".",
               result.copy_of_library, (uintptr_t)nearbuf_place) &&
         claim(result.totals.first_locator == totals.first_locator &&
                   result.buffer.address == demo->stub_buffer.address,
               "It found the locator at 0x%" PRIxPTR " and, in it, the stub's buffer at 0x%" PRIxPTR
               ".",
               totals.first_locator, result.buffer.address) &&
         claim(memcmp(result.placed.run_at, bytes, sizeof bytes) == 0 && address >= stub_end &&
                   address - stub_end < 16,
               "It placed %" PRIu64 " bytes in the room that was left, %s the stub's end.",
               (uint64_t)sizeof bytes, text_distance(stub_end, address).characters);
}

static bool show_plugin(const demo_state *demo) {
  void *module = load_plugin();
  if (module == NULL) {
    return false;
  }
  uintptr_t function = host_symbol(module, DEMO_PLUGIN_FUNCTION_NAME);
  bool holds = function != 0 && share_with(demo, (demo_plugin_function *)function);
  host_unload(module);
  bool is_gone = !host_lies_in_module(function); /* musl never unloads */
  nearbuf_info info;
  return holds && claim(nearbuf_find(demo->stub.run_at, &info) == NEARBUF_OK &&
                            info.used_bytes > demo->stub_buffer.used_bytes,
                        "It was %s; what it placed stays.",
                        is_gone ? "unloaded" : "closed, and stays loaded");
}

/* ---- The rest -------------------------------------------------------------------------------- */

static bool show_low_data(void) {
  uint64_t value = UINT64_C(0x1122334455667788);
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = sizeof value;
  request.flags = NEARBUF_DATA;
  nearbuf_memory placed = {0};
  nearbuf_status status = nearbuf_range_below(NEARBUF_2_GIB, &request.range);
  if (status == NEARBUF_OK) {
    status = nearbuf_place(&request, &value, &placed);
  }
  if (!works(status, "Data below 2 GiB could not be placed", placed.system_error)) {
    return false;
  }
  *(volatile uint64_t *)(void *)placed.write_to += 1;
  return claim(is_in_range(&placed, request.range) &&
                   *(volatile uint64_t *)(void *)placed.run_at == value + 1,
               "%" PRIu64 " bytes of data lie at 0x%" PRIxPTR
               ", where 32-bit addresses reach them.",
               (uint64_t)placed.size_bytes, (uintptr_t)placed.run_at);
}

static bool show_private_memory(const demo_state *demo) {
  nearbuf_request request = demo->near;
  request.size_bytes = 100000;
  nearbuf_memory memory;
  nearbuf_status status = nearbuf_allocate(&request, &memory);
  if (!works(status, "Private memory could not be allocated", memory.system_error)) {
    return false;
  }
  const void *address = memory.run_at;
  phrase size = text_size(memory.size_bytes);
  memset(memory.write_to, 0x5A, memory.size_bytes);
  bool holds =
      claim(is_in_range(&memory, request.range) && memory.size_bytes >= request.size_bytes &&
                memory.run_at[memory.size_bytes - 1] == 0x5A,
            "%s were allocated at 0x%" PRIxPTR ", %s getenv, and written.", size.characters,
            (uintptr_t)address, text_distance(demo->target, (uintptr_t)address).characters);
  status = nearbuf_free(&memory);
  return works(status, "They could not be freed", memory.system_error) &&
         claim(!host_is_mapped(address), "They were freed: nothing is mapped there now.") && holds;
}

static bool show_totals(void) {
  nearbuf_totals totals;
  if (!works(nearbuf_get_totals(&totals), "The totals cannot be read", 0)) {
    return false;
  }
  uint64_t size = 0;
  uint64_t used = 0;
  uint64_t count = 0;
  nearbuf_walk walk = {0};
  nearbuf_info info;
  while (nearbuf_next(&walk, &info) == NEARBUF_OK) {
    count++;
    size += info.size_bytes;
    used += info.used_bytes;
  }
  bool is_shared = totals.sharing == NEARBUF_SHARING_SHARED;
  return claim(count == totals.buffers && size == totals.size_bytes && used == totals.used_bytes,
               "%" PRIu64 " buffers of %s in all, %s used; %" PRIu32 " locator of 4 KiB.",
               totals.buffers, text_size(size).characters, text_size(used).characters,
               totals.locators) &&
         claim(totals.sharing != NEARBUF_SHARING_NONE,
               is_shared ? "Other processes can find them."
                         : "Other processes cannot find them: the locator cannot be shared here.");
}

/* ---------------------------------------------------------------------------------------------- */

static void title(const char *text) {
  (void)printf("\n%s\n", text);
}

exit_code demo_run(const tool_arguments *arguments) {
  static demo_state demo;
  (void)arguments;
  (void)printf("nearbuf %d.%d.%d in process %" PRId64 "\n", NEARBUF_VERSION_MAJOR,
               NEARBUF_VERSION_MINOR, NEARBUF_VERSION_PATCH, host_process());
  title("1. A function of the C library is detoured");
  bool holds = show_detour(&demo);
  if (holds) {
    title("2. Getting a buffer again");
    holds = show_second_get(&demo);
    title("3. A plug-in shares the buffer");
    holds &= show_plugin(&demo);
    title("4. Data below 2 GiB");
    holds &= show_low_data();
    title("5. Private memory");
    holds &= show_private_memory(&demo);
    title("6. Totals");
    holds &= show_totals();
  }
  if (!holds) {
    return complain(EXIT_FAILED, "not every check passed");
  }
  (void)puts("\nAll of this was verified.");
  return EXIT_DONE;
}
