/* The inspector's demo, with an invented library, system and plug-in that keep their promises, or
 * break one: then the demo says which sentence does not hold. tools/nearbuf/demo.c is compiled
 * here, with other names for what it calls. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nearbuf/nearbuf.h>

#include "said.h"

#define nearbuf_request_near invented_request_near
#define nearbuf_range_below invented_range_below
#define nearbuf_place invented_place
#define nearbuf_place_with invented_place_with
#define nearbuf_find invented_find
#define nearbuf_get invented_get
#define nearbuf_release invented_release
#define nearbuf_buffer_address invented_buffer_address
#define nearbuf_allocate invented_allocate
#define nearbuf_free invented_free
#define nearbuf_next invented_next
#define nearbuf_get_totals invented_get_totals
/* Where these are macros already. */
#undef memcmp
#undef memcpy
#define memcmp(left, right, size) invented_memcmp(left, right, size)
#define memcpy(to, from, size) invented_memcpy(to, from, size)
#define NEARBUF_TOOL_PLUGIN_BUILT "built"
#define NEARBUF_TOOL_PLUGIN_INSTALLED "installed"

static nearbuf_status invented_request_near(const void *target, size_t size_bytes,
                                            nearbuf_request *request);
static nearbuf_status invented_range_below(uint64_t limit, nearbuf_range *range);
static nearbuf_status invented_place(const nearbuf_request *request, const void *bytes,
                                     nearbuf_memory *placed);
static nearbuf_status invented_place_with(const nearbuf_request *request, nearbuf_writer writer,
                                          void *context, nearbuf_memory *placed);
static nearbuf_status invented_find(const void *address, nearbuf_info *info);
static nearbuf_status invented_get(const nearbuf_request *request, nearbuf_buffer *buffer);
static nearbuf_status invented_release(nearbuf_buffer *buffer);
static uintptr_t invented_buffer_address(const nearbuf_buffer *buffer);
static nearbuf_status invented_allocate(const nearbuf_request *request, nearbuf_memory *memory);
static nearbuf_status invented_free(nearbuf_memory *memory);
static nearbuf_status invented_next(nearbuf_walk *walk, nearbuf_info *info);
static nearbuf_status invented_get_totals(nearbuf_totals *totals);
static int invented_memcmp(const void *left, const void *right, size_t size);
static void invented_memcpy(void *to, const void *from, size_t size);

#include "../../tools/nearbuf/demo.c" /* NOLINT(bugprone-suspicious-include) */

#undef memcmp
#undef memcpy

/* ---- The library ----------------------------------------------------------------------------- */

enum { ANY_CODE = 12345, STUB_AT = 0x10000, STUB_END = STUB_AT + DETOUR_STUB_SIZE };
enum { BUFFER_AT = 0x10000, BUFFER_SIZE = 65536, LOCATOR_AT = 0x7000, WANTED = 100000 };
enum { PRIVATE = 102400, PLUGIN_COPY = 0x5000, ALL_CALLS = 12 };

/* Memory is at invented addresses, except where the demo itself looks at it. */
static struct {
  nearbuf_status status; /* of the call number `failing` */
  int failing;           /* 0: none */
  int calls;             /* so far */
  nearbuf_range range;   /* near the function */
  size_t more;           /* how many bytes more than the requested ones are handed out */
  int finds;
  uint32_t used_bytes[2]; /* at each find */
  int gets;
  int held;
  uintptr_t apart; /* how far from the first buffer the second one is */
  nearbuf_range low;
  bool is_elsewhere; /* memory is written at another place than where it is read */
  size_t private_size;
  bool stays_mapped;
  uint64_t buffers; /* of the walk */
  nearbuf_totals totals;
  const char *function_before; /* what the detoured function returns */
  const char *function_after;
  unsigned char code[DETOUR_STUB_SIZE]; /* its first bytes */
  const char *detour_result;
  int writes;
  int refused_write; /* the number of the one that the system denies; 0: none */
  int lost_write;    /* of the one that has no effect */
  bool is_unknown;   /* the function is in no module */
  int loads;
  int loading; /* the number of the path at which the plug-in is; 0: at none */
  int unloads;
  bool has_function;
  bool stays_loaded;
  demo_plugin_result result; /* of the plug-in */
  unsigned char plugin_bytes[32];
} it;

static uint64_t low_data[2];
static unsigned char private_bytes[PRIVATE];
static unsigned char other_bytes[PRIVATE];
static demo_state demo;

static nearbuf_status status_of_call(void) {
  it.calls++;
  return it.calls == it.failing ? it.status : NEARBUF_OK;
}

static char *invented_function(const char *name) {
  CHECK(strcmp(name, "NEARBUF_DEMO") == 0);
  if (DETOUR_JUMP_SIZE != 0 && it.code[0] == 'j') {
    static char result[64];
    (void)snprintf(result, sizeof result, "%s", it.detour_result);
    return it.detour_result == NULL ? NULL : result;
  }
  return (char *)(uintptr_t)(it.writes == 0 ? it.function_before : it.function_after);
}

static const void *function_address(void) {
  return (const void *)(uintptr_t)invented_function;
}

static nearbuf_status invented_request_near(const void *target, size_t size_bytes,
                                            nearbuf_request *request) {
  CHECK(target == function_address());
  *request = (nearbuf_request)NEARBUF_REQUEST_INIT;
  request->size_bytes = size_bytes;
  request->range = it.range;
  return status_of_call();
}

static nearbuf_status invented_place_with(const nearbuf_request *request, nearbuf_writer writer,
                                          void *context, nearbuf_memory *placed) {
  unsigned char bytes[DETOUR_STUB_SIZE] = {0};
  CHECK_EQUAL(DETOUR_STUB_SIZE, request->size_bytes);
  nearbuf_memory room = {bytes, (unsigned char *)STUB_AT, request->size_bytes, 0, 0};
  CHECK_EQUAL(DETOUR_STUB_SIZE, writer(&room, context));
  CHECK(bytes[0] == 's');
  *placed = (nearbuf_memory){.run_at = (unsigned char *)STUB_AT,
                             .size_bytes = DETOUR_STUB_SIZE + it.more,
                             .system_error = ANY_CODE};
  return status_of_call();
}

static nearbuf_status invented_find(const void *address, nearbuf_info *info) {
  CHECK_EQUAL(STUB_AT, (uintptr_t)address);
  *info = (nearbuf_info){.address = BUFFER_AT, .used_bytes = it.used_bytes[it.finds++]};
  return status_of_call();
}

/* What comes before the second one is flushed. */
static nearbuf_status invented_get(const nearbuf_request *request, nearbuf_buffer *buffer) {
  CHECK_EQUAL(16, request->size_bytes);
  CHECK_EQUAL(it.range.max, request->range.max);
  CHECK_EQUAL(0, it.held);
  CHECK_EQUAL(it.gets == 0 ? 0 : 2, said.flushes);
  *buffer = (nearbuf_buffer){.address = BUFFER_AT + (uintptr_t)it.gets * it.apart,
                             .system_error = ANY_CODE};
  it.gets++;
  nearbuf_status status = status_of_call();
  it.held += status == NEARBUF_OK;
  buffer->item = status == NEARBUF_OK;
  return status;
}

static nearbuf_status invented_release(nearbuf_buffer *buffer) {
  if (buffer->item == 0) {
    return NEARBUF_INVALID_HANDLE;
  }
  buffer->item = 0;
  it.held--;
  return NEARBUF_OK;
}

static uintptr_t invented_buffer_address(const nearbuf_buffer *buffer) {
  return buffer->address;
}

static nearbuf_status invented_range_below(uint64_t limit, nearbuf_range *range) {
  CHECK(limit == NEARBUF_2_GIB);
  *range = it.low;
  return status_of_call();
}

static nearbuf_status invented_place(const nearbuf_request *request, const void *bytes,
                                     nearbuf_memory *placed) {
  CHECK_EQUAL(sizeof low_data[0], request->size_bytes);
  CHECK_EQUAL(NEARBUF_DATA, request->flags);
  CHECK(request->range.min == it.low.min && request->range.max == it.low.max);
  memcpy(low_data, bytes, request->size_bytes);
  placed->run_at = (unsigned char *)low_data;
  placed->write_to = (unsigned char *)&low_data[it.is_elsewhere ? 1 : 0];
  placed->size_bytes = request->size_bytes;
  placed->system_error = ANY_CODE;
  return status_of_call();
}

static nearbuf_status invented_allocate(const nearbuf_request *request, nearbuf_memory *memory) {
  CHECK_EQUAL(WANTED, request->size_bytes);
  *memory = (nearbuf_memory){it.is_elsewhere ? other_bytes : private_bytes, private_bytes,
                             it.private_size, ANY_CODE, 1};
  return status_of_call();
}

static nearbuf_status invented_free(nearbuf_memory *memory) {
  *memory = (nearbuf_memory){.system_error = ANY_CODE};
  return status_of_call();
}

static nearbuf_status invented_next(nearbuf_walk *walk, nearbuf_info *info) {
  if (walk->next == it.buffers) {
    return NEARBUF_NOT_FOUND;
  }
  walk->next++;
  *info = (nearbuf_info){.size_bytes = BUFFER_SIZE, .used_bytes = 50};
  return NEARBUF_OK;
}

static nearbuf_status invented_get_totals(nearbuf_totals *totals) {
  *totals = it.totals;
  return status_of_call();
}

/* The first bytes of the function, and what the plug-in has placed, are kept here. */
static int invented_memcmp(const void *left, const void *right, size_t size) {
  if (right == function_address()) {
    return memcmp(left, it.code, size);
  }
  CHECK(left == it.result.placed.run_at);
  return memcmp(it.plugin_bytes, right, size);
}

static void invented_memcpy(void *to, const void *from, size_t size) {
  memcpy(to, from == function_address() ? it.code : from, size);
}

/* ---- The system and the plug-in -------------------------------------------------------------- */

static char the_module;

int64_t host_process(void) {
  return 4711;
}

uintptr_t host_library_function(const char *name, char *module, size_t module_size) {
  CHECK(strcmp(name, "getenv") == 0);
  (void)snprintf(module, module_size, "/lib/libc");
  return it.is_unknown ? 0 : (uintptr_t)function_address();
}

void detour_write_jump(unsigned char *bytes, uintptr_t from, uintptr_t to) {
  CHECK(from == (uintptr_t)function_address() && to == STUB_AT);
  memset(bytes, 'j', DETOUR_JUMP_SIZE);
}

int detour_write_stub(unsigned char *bytes, uintptr_t at, uintptr_t to) {
  CHECK(at == STUB_AT && to == (uintptr_t)detoured);
  bytes[0] = 's';
  return DETOUR_STUB_SIZE;
}

bool host_write_code(uintptr_t address, const void *bytes, size_t size_bytes, const char **reason) {
  CHECK(address == (uintptr_t)function_address() && size_bytes == DETOUR_JUMP_SIZE);
  it.writes++;
  *reason = "forbidden";
  if (it.writes != it.refused_write && it.writes != it.lost_write) {
    memcpy(it.code, bytes, size_bytes);
  }
  return it.writes != it.refused_write;
}

bool host_is_mapped(const void *address) {
  CHECK(address == private_bytes);
  return it.stays_mapped;
}

void *host_load(const char *relative_path, const char **reason) {
  CHECK(it.loads < 2 && strcmp(relative_path, it.loads == 0 ? "built" : "installed") == 0);
  it.loads++;
  *reason = "it is not there";
  return it.loads == it.loading ? &the_module : NULL;
}

void host_unload(void *module) {
  CHECK(module == &the_module);
  it.unloads++;
}

static void invented_plugin(const nearbuf_request *request, const void *bytes,
                            demo_plugin_result *result) {
  CHECK_EQUAL(sizeof "placed by the plug-in", request->size_bytes);
  CHECK_EQUAL(1, request->alignment_bytes);
  CHECK_EQUAL(it.range.max, request->range.max);
  CHECK_EQUAL(0, it.unloads);
  *result = it.result;
  if (it.plugin_bytes[0] == 0) {
    memcpy(it.plugin_bytes, bytes, request->size_bytes);
  }
}

uintptr_t host_symbol(void *module, const char *name) {
  CHECK(module == &the_module && strcmp(name, "demo_plugin_place") == 0);
  return it.has_function ? (uintptr_t)invented_plugin : 0;
}

bool host_lies_in_module(uintptr_t address) {
  CHECK_EQUAL(it.has_function ? (uintptr_t)invented_plugin : 0, address);
  CHECK_EQUAL(1, it.unloads);
  return it.stays_loaded;
}

exit_code complain(exit_code code, const char *format, ...) {
  va_list values;
  va_start(values, format);
  (void)said_text("nearbuf: ");
  (void)said_vprintf(format, values);
  va_end(values);
  (void)said_text("\n");
  return code;
}

/* All keep their promises, in the narrowest way. */
static void be_sound(void) {
  uintptr_t low = (uintptr_t)low_data;
  memset(&it, 0, sizeof it);
  memset(&demo, 0, sizeof demo);
  forget_said();
  it.status = NEARBUF_DENIED;
  it.range = (nearbuf_range){STUB_AT, STUB_END - 1};
  it.used_bytes[0] = DETOUR_STUB_SIZE;
  it.used_bytes[1] = DETOUR_STUB_SIZE + 1;
  it.low = (nearbuf_range){low, low + sizeof low_data[0] - 1};
  it.private_size = PRIVATE;
  it.buffers = 2;
  it.totals = (nearbuf_totals){.sharing = NEARBUF_SHARING_SHARED,
                               .locators = 1,
                               .buffers = 2,
                               .size_bytes = UINT64_C(2) * BUFFER_SIZE,
                               .used_bytes = 100,
                               .first_locator = LOCATOR_AT};
  it.function_before = "before";
  it.function_after = it.function_before;
  memset(it.code, 'c', sizeof it.code);
  it.detour_result = detoured_result;
  it.loading = 1;
  it.has_function = true;
  it.result.placed.run_at = (unsigned char *)STUB_END;
  it.result.placed.system_error = ANY_CODE;
  it.result.buffer.address = BUFFER_AT;
  it.result.totals.first_locator = LOCATOR_AT;
  it.result.copy_of_library = PLUGIN_COPY;
}

/* The stub is in place. */
static void be_detoured(void) {
  be_sound();
  demo.target = (uintptr_t)function_address();
  CHECK(place_stub(&demo));
  forget_said();
  it.calls = 0;
}

/* "   FAILED: what: the status (its name, the system's code is 12345)." */
static void check_failure_said(const char *before, const char *what) {
  char expected[512];
  (void)snprintf(expected, sizeof expected,
                 "%s   FAILED: %s: %s (NEARBUF_DENIED, the system's code is 12345).\n", before,
                 what, nearbuf_status_text(NEARBUF_DENIED));
  check_said(expected);
}

/* ---- The detour ------------------------------------------------------------------------------ */

/* "   A stub of 24 bytes lies at …", marked as failed or not. */
static const char *stub_line(const char *mark, size_t size) {
  static char line[160];
  (void)snprintf(line, sizeof line, "   %sA stub of %zu bytes lies at 0x%x, %s it.\n", mark, size,
                 (unsigned)STUB_AT, text_distance(demo.target, STUB_AT).characters);
  return line;
}

/* What the whole first step says, from the address of the function on. */
static const char *detour_lines(const char *function_mark, const char *rest) {
  static char lines[2048];
  (void)snprintf(lines, sizeof lines, "   %sgetenv is at 0x%" PRIxPTR ", in /lib/libc.\n%s",
                 function_mark, demo.target, rest);
  return lines;
}

/* What changing the code says; nothing where the processor has no jump. */
static const char *jump_lines(const char *jump_mark, const char *result, const char *mark) {
  static char lines[512];
  if (DETOUR_JUMP_SIZE == 0) {
    return "   The demo has no jump for this processor, so nothing is detoured.\n";
  }
  (void)snprintf(lines, sizeof lines,
                 "   %sIts first %d bytes became a jump (%s) to the stub; called, it returned\n"
                 "   \"%s\".\n"
                 "   %sThose bytes were restored, and it returns what it did before.\n",
                 jump_mark, DETOUR_JUMP_SIZE, DETOUR_JUMP_NAME, result, mark);
  return lines;
}

TEST(the_stub_must_lie_in_the_range_from_its_first_byte_to_its_last) {
  be_sound();
  demo.target = (uintptr_t)function_address();
  CHECK(place_stub(&demo));
  check_said(stub_line("", DETOUR_STUB_SIZE));
  CHECK_EQUAL(BUFFER_AT, demo.stub_buffer.address);
  it.finds = 0;
  it.range = (nearbuf_range){STUB_AT + 1, STUB_END};
  CHECK(!place_stub(&demo));
  check_said(stub_line("FAILED: ", DETOUR_STUB_SIZE));
  it.finds = 0;
  it.range = (nearbuf_range){STUB_AT, STUB_END - 2};
  CHECK(!place_stub(&demo));
  forget_said();
  it.finds = 0;
  it.range.max = STUB_END - 1;
  it.more = 1;
  CHECK(!place_stub(&demo));
  check_said(stub_line("FAILED: ", DETOUR_STUB_SIZE + 1));
}

TEST(a_stub_that_cannot_be_placed_ends_the_demo_with_the_reason) {
  for (int i = 1; i <= 3; i++) {
    be_sound();
    it.failing = i;
    demo.target = (uintptr_t)function_address();
    demo.stub.system_error = ANY_CODE;
    CHECK(!place_stub(&demo));
    CHECK_EQUAL(i, it.calls);
    check_failure_said("", "A stub could not be placed");
  }
}

TEST(the_detour_returns_its_text_for_one_name_only) {
  CHECK(strcmp(detoured("NEARBUF_DEMO"), "this comes from the detour") == 0);
  CHECK(detoured("PATH") == NULL);
}

TEST(the_detoured_function_returns_another_text_and_is_restored) {
  be_sound();
  CHECK(show_detour(&demo));
  char expected[1024];
  (void)snprintf(expected, sizeof expected, "%s%s", stub_line("", DETOUR_STUB_SIZE),
                 jump_lines("", "this comes from the detour", ""));
  check_said(detour_lines("", expected));
  CHECK_EQUAL(DETOUR_JUMP_SIZE == 0 ? 0 : 2, it.writes);
  CHECK(it.code[0] == 'c');
}

TEST(without_the_function_there_is_no_demo) {
  be_sound();
  it.is_unknown = true;
  CHECK(!show_detour(&demo));
  check_said(detour_lines("FAILED: ", ""));
  be_sound();
  it.failing = 2;
  CHECK(!show_detour(&demo));
  CHECK_EQUAL(0, it.writes);
}

/* The detour alone; it fails. */
static void check_detour_said(const char *expected) {
  if (DETOUR_JUMP_SIZE == 0) {
    return;
  }
  CHECK(!detour(&demo));
  check_said(expected);
}

TEST(a_jump_that_does_not_lead_to_the_detour_is_noticed) {
  be_detoured();
  it.detour_result = NULL;
  check_detour_said(jump_lines("FAILED: ", "", ""));
  be_detoured();
  it.detour_result = "something else";
  check_detour_said(jump_lines("FAILED: ", "something else", ""));
}

TEST(code_that_stays_changed_is_noticed) {
  be_detoured();
  it.lost_write = 2;
  check_detour_said(jump_lines("", "this comes from the detour", "FAILED: "));
  be_detoured();
  it.function_after = "other";
  check_detour_said(jump_lines("", "this comes from the detour", "FAILED: "));
}

TEST(a_system_that_does_not_allow_code_to_be_changed_gives_its_reason) {
  be_detoured();
  it.refused_write = 1;
  check_detour_said("   FAILED: The system does not allow code to be changed: forbidden.\n");
  be_detoured();
  it.refused_write = 2;
  check_detour_said("   FAILED: The system does not allow code to be restored: forbidden.\n");
}

/* ---- Getting a buffer again ------------------------------------------------------------------ */

static const char second_get[] =
    "   A thread that gets a buffer a second time gets the one it had:\n"
    "   the stub's, at 0x10000, with room left.\n";

TEST(the_second_get_gets_the_same_buffer_and_is_alone_between_two_flushes) {
  be_detoured();
  CHECK(show_second_get(&demo));
  CHECK_EQUAL(3, said.flushes);
  check_said(second_get);
  CHECK(it.gets == 2 && it.held == 0);
}

TEST(another_buffer_or_none_at_the_second_get_is_noticed) {
  static const char expected[] = "   A thread that gets a buffer a second time gets another one:\n"
                                 "   FAILED: the stub's, at 0x10000, with room left.\n";
  be_detoured();
  it.apart = BUFFER_SIZE;
  CHECK(!show_second_get(&demo));
  check_said(expected);
  CHECK_EQUAL(0, it.held);
  be_detoured();
  it.failing = 2;
  CHECK(!show_second_get(&demo));
  check_said(expected);
  be_detoured();
  it.failing = 1;
  CHECK(!show_second_get(&demo));
  check_failure_said("", "No buffer");
}

/* ---- The plug-in ----------------------------------------------------------------------------- */

/* What the step says, with a mark before each of its four sentences, or NULL for those that are
 * not said. */
static void check_plugin_said(const char *copy, const char *locator, const char *bytes,
                              const char *unloaded) {
  char expected[1024];
  int length =
      snprintf(expected, sizeof expected,
               "   %sA plug-in with its own copy of the library was loaded: its "
               "nearbuf_place is at\n   0x%" PRIxPTR ", this program's at 0x%" PRIxPTR ".\n",
               copy, it.result.copy_of_library, (uintptr_t)invented_place);
  size_t at = (size_t)length;
  if (locator != NULL) {
    at += (size_t)snprintf(expected + at, sizeof expected - at,
                           "   %sIt found the locator at 0x7000 and, in it, the stub's buffer at "
                           "0x%" PRIxPTR ".\n",
                           locator, it.result.buffer.address);
  }
  if (bytes != NULL) {
    at += (size_t)snprintf(
        expected + at, sizeof expected - at,
        "   %sIt placed 22 bytes in the room that was left, %s the stub's end.\n", bytes,
        text_distance(STUB_END, (uintptr_t)it.result.placed.run_at).characters);
  }
  if (unloaded != NULL) {
    (void)snprintf(expected + at, sizeof expected - at, "   %s; what it placed stays.\n", unloaded);
  }
  check_said(expected);
  CHECK_EQUAL(1, it.unloads);
}

TEST(the_plugin_shares_the_buffer_and_is_unloaded) {
  be_detoured();
  CHECK(show_plugin(&demo));
  check_plugin_said("", "", "", "It was unloaded");
  CHECK_EQUAL(1, it.loads);
  be_detoured();
  it.stays_loaded = true;
  CHECK(show_plugin(&demo));
  check_plugin_said("", "", "", "It was closed, and stays loaded");
  be_detoured();
  it.result.placed.run_at = (unsigned char *)(STUB_END + 15);
  CHECK(show_plugin(&demo));
  check_plugin_said("", "", "", "It was unloaded");
}

TEST(the_plugin_is_looked_for_where_it_is_built_and_then_where_it_is_installed) {
  be_detoured();
  it.loading = 2;
  CHECK(show_plugin(&demo));
  CHECK_EQUAL(2, it.loads);
  check_plugin_said("", "", "", "It was unloaded");
  be_detoured();
  it.loading = 0;
  CHECK(!show_plugin(&demo));
  CHECK_EQUAL(2, it.loads);
  CHECK_EQUAL(0, it.unloads);
  check_said("   FAILED: The plug-in can be loaded: it is not there\n");
}

TEST(a_plugin_that_does_not_share_is_noticed) {
  be_detoured();
  it.result.copy_of_library = (uintptr_t)invented_place;
  CHECK(!show_plugin(&demo));
  check_plugin_said("FAILED: ", NULL, NULL, NULL);
  be_detoured();
  it.totals.first_locator = LOCATOR_AT;
  it.result.totals.first_locator = LOCATOR_AT + 1;
  CHECK(!show_plugin(&demo));
  check_plugin_said("", "FAILED: ", NULL, NULL);
  be_detoured();
  it.result.buffer.address = BUFFER_AT + BUFFER_SIZE;
  CHECK(!show_plugin(&demo));
  check_plugin_said("", "FAILED: ", NULL, NULL);
  be_detoured();
  it.has_function = false;
  CHECK(!show_plugin(&demo));
  check_said("");
  CHECK_EQUAL(1, it.unloads);
}

TEST(bytes_of_the_plugin_that_are_not_behind_the_stub_are_noticed) {
  static const uintptr_t places[] = {STUB_END - 1, STUB_END + 16};
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
    be_detoured();
    it.result.placed.run_at = (unsigned char *)places[i];
    CHECK(!show_plugin(&demo));
    check_plugin_said("", "", "FAILED: ", NULL);
  }
  be_detoured();
  memset(it.plugin_bytes, 'x', sizeof it.plugin_bytes);
  CHECK(!show_plugin(&demo));
  check_plugin_said("", "", "FAILED: ", NULL);
}

TEST(what_the_plugin_placed_must_count_as_used_after_it_is_gone) {
  be_detoured();
  it.used_bytes[1] = it.used_bytes[0];
  CHECK(!show_plugin(&demo));
  check_plugin_said("", "", "", "FAILED: It was unloaded");
  be_detoured();
  it.failing = 2;
  CHECK(!show_plugin(&demo));
  check_plugin_said("", "", "", "FAILED: It was unloaded");
  be_detoured();
  it.result.status = NEARBUF_DENIED;
  CHECK(!show_plugin(&demo));
  check_failure_said("", "The plug-in could not place bytes");
  CHECK_EQUAL(1, it.unloads);
}

/* ---- The rest -------------------------------------------------------------------------------- */

static void check_low_data_said(const char *mark) {
  char expected[160];
  (void)snprintf(expected, sizeof expected,
                 "   %s8 bytes of data lie at 0x%" PRIxPTR ", where 32-bit addresses reach them.\n",
                 mark, (uintptr_t)low_data);
  check_said(expected);
}

TEST(low_data_must_lie_in_the_range_and_be_writable) {
  be_sound();
  CHECK(show_low_data());
  check_low_data_said("");
  it.low.max--;
  CHECK(!show_low_data());
  check_low_data_said("FAILED: ");
  it.low.max++;
  it.low.min++;
  CHECK(!show_low_data());
  check_low_data_said("FAILED: ");
  it.low.min--;
  it.is_elsewhere = true;
  CHECK(!show_low_data());
  check_low_data_said("FAILED: ");
}

TEST(low_data_that_cannot_be_placed_are_told) {
  be_sound();
  it.failing = 2;
  CHECK(!show_low_data());
  check_failure_said("", "Data below 2 GiB could not be placed");
  be_sound();
  it.failing = 1;
  CHECK(!show_low_data());
  CHECK_EQUAL(1, it.calls);
  CHECK(strstr(said.text, "   FAILED: Data below 2 GiB could not be placed: ") == said.text);
  CHECK(strstr(said.text, "the system's code is 0).") != NULL);
}

static const char *private_line(const char *mark) {
  static char line[160];
  (void)snprintf(line, sizeof line,
                 "   %s%s were allocated at 0x%" PRIxPTR ", %s getenv, and written.\n", mark,
                 text_size(it.private_size).characters, (uintptr_t)private_bytes,
                 text_distance(demo.target, (uintptr_t)private_bytes).characters);
  return line;
}

/* What the step says: two sentences, the second one whether the memory is gone. */
static void check_private_said(const char *mark, const char *freed_mark) {
  char expected[512];
  (void)snprintf(expected, sizeof expected,
                 "%s   %sThey were freed: nothing is mapped there now.\n", private_line(mark),
                 freed_mark);
  check_said(expected);
}

/* All memory is in the range. */
static void be_wide(void) {
  be_detoured();
  demo.near.range =
      (nearbuf_range){(uintptr_t)private_bytes, (uintptr_t)private_bytes + PRIVATE - 1};
  memset(private_bytes, 0, sizeof private_bytes);
}

TEST(private_memory_is_written_and_gone_when_it_is_freed) {
  be_wide();
  CHECK(show_private_memory(&demo));
  check_private_said("", "");
  CHECK(private_bytes[0] == 0x5A && private_bytes[PRIVATE - 1] == 0x5A);
  be_wide();
  it.private_size = WANTED;
  CHECK(show_private_memory(&demo));
  check_private_said("", "");
}

TEST(private_memory_that_is_too_small_or_elsewhere_or_stays_is_noticed) {
  be_wide();
  it.private_size = WANTED - 1;
  CHECK(!show_private_memory(&demo));
  check_private_said("FAILED: ", "");
  be_wide();
  demo.near.range.max--;
  CHECK(!show_private_memory(&demo));
  check_private_said("FAILED: ", "");
  be_wide();
  it.is_elsewhere = true;
  CHECK(!show_private_memory(&demo));
  check_private_said("FAILED: ", "");
  be_wide();
  it.is_elsewhere = true;
  private_bytes[PRIVATE - 2] = 0x5A;
  CHECK(!show_private_memory(&demo));
  check_private_said("FAILED: ", "");
  be_wide();
  it.stays_mapped = true;
  CHECK(!show_private_memory(&demo));
  check_private_said("", "FAILED: ");
}

TEST(private_memory_that_cannot_be_had_or_freed_is_told) {
  be_wide();
  it.failing = 1;
  CHECK(!show_private_memory(&demo));
  check_failure_said("", "Private memory could not be allocated");
  be_wide();
  it.failing = 2;
  CHECK(!show_private_memory(&demo));
  check_failure_said(private_line(""), "They could not be freed");
}

static const char *totals_lines(const char *mark, uint64_t buffers, const char *size,
                                const char *others) {
  static char lines[256];
  (void)snprintf(lines, sizeof lines,
                 "   %s%" PRIu64 " buffers of %s in all, %s used; 1 locator of 4 KiB.\n"
                 "%s",
                 mark, buffers, size, "100 bytes", others);
  return lines;
}

TEST(the_totals_are_the_sums_over_the_walk) {
  static const char found[] = "   Other processes can find them.\n";
  be_sound();
  CHECK(show_totals());
  check_said(totals_lines("", 2, "128 KiB", found));
  it.totals.sharing = NEARBUF_SHARING_PRIVATE;
  CHECK(show_totals());
  check_said(
      totals_lines("", 2, "128 KiB",
                   "   Other processes cannot find them: the locator cannot be shared here.\n"));
  it.totals.sharing = NEARBUF_SHARING_NONE;
  CHECK(!show_totals());
  check_said(totals_lines(
      "", 2, "128 KiB",
      "   FAILED: Other processes cannot find them: the locator cannot be shared here.\n"));
}

TEST(totals_that_are_not_the_sums_are_noticed) {
  be_sound();
  it.totals.buffers = 3;
  CHECK(!show_totals());
  check_said(totals_lines("FAILED: ", 3, "128 KiB", ""));
  be_sound();
  it.totals.size_bytes++;
  CHECK(!show_totals());
  check_said(totals_lines("FAILED: ", 2, "128 KiB", ""));
  be_sound();
  it.totals.used_bytes++;
  CHECK(!show_totals());
  check_said(totals_lines("FAILED: ", 2, "128 KiB", ""));
  be_sound();
  it.failing = 1;
  CHECK(!show_totals());
  CHECK(strstr(said.text, "   FAILED: The totals cannot be read: ") == said.text);
  CHECK(strstr(said.text, "the system's code is 0).") != NULL);
}

/* ---- All steps ------------------------------------------------------------------------------- */

static exit_code run_demo(void) {
  static const tool_arguments arguments = {0};
  it.range = (nearbuf_range){STUB_AT, UINTPTR_MAX};
  return demo_run(&arguments);
}

TEST(the_steps_have_titles_and_their_success_is_said) {
  static const char *const parts[] = {
      "nearbuf 1.0.0 in process 4711\n\n",
      "\n1. A function of the C library is detoured\n   getenv",
      "\n2. Getting a buffer again\n   A thread",
      "\n3. A plug-in shares the buffer\n   A plug-in",
      "\n4. Data below 2 GiB\n   8 bytes",
      "\n5. Private memory\n   100 KiB",
      "\n6. Totals\n   2 buffers",
      "   Other processes can find them.\n\nAll of this was verified.\n"};
  be_sound();
  CHECK_EQUAL(EXIT_DONE, run_demo());
  const char *at = said.text;
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    const char *found = strstr(at, parts[i]);
    CHECK(found != NULL && (i != 0 || found == at));
    at = found + 1;
  }
  CHECK(strcmp(at - 1, parts[7]) == 0);
  CHECK(strstr(said.text, "FAILED") == NULL);
  CHECK_EQUAL(ALL_CALLS, it.calls);
}

/* The sixth call is the plug-in's totals, whose failure shows in what they are. */
TEST(a_failed_step_is_a_failure_and_only_the_first_one_ends_the_demo) {
  for (int i = 1; i <= ALL_CALLS; i++) {
    be_sound();
    it.failing = i;
    bool is_noticed = i != 6;
    CHECK_EQUAL(is_noticed ? EXIT_FAILED : EXIT_DONE, run_demo());
    CHECK((strstr(said.text, "\nnearbuf: not every check passed\n") != NULL) == is_noticed);
    CHECK((strstr(said.text, "All of this was verified") == NULL) == is_noticed);
    CHECK((strstr(said.text, "\n6. Totals\n") != NULL) == (i > 3));
    CHECK((strstr(said.text, "\n2. Getting a buffer again\n") != NULL) == (i > 3));
  }
}
