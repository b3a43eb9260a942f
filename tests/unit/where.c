/* How the inspector understands a PLACE, and the options --near, --range and --align, with invented
 * modules and exports. tools/nearbuf/where.c is compiled here; the readers of modules are tested by
 * symbols.c. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nearbuf/nearbuf.h>
#include <nearbuf/process.h>

#include "test.h"

#define nearbuf_range_within_reach invented_range_within_reach
#define nearbuf_request_near invented_request_near

static nearbuf_status invented_range_within_reach(const nearbuf_range *targets, size_t count,
                                                  nearbuf_reach reach, nearbuf_range *range);
static nearbuf_status invented_request_near(const void *target, size_t size_bytes,
                                            nearbuf_request *native);

#include "../../tools/nearbuf/where.c" /* NOLINT(bugprone-suspicious-include) */

/* ---- The process ----------------------------------------------------------------------------- */

/* A function, or the text of a forwarder, that a module exports. Its address: 0 if the module may
 * not be read. */
typedef struct invented_export {
  const char *module;
  const char *name;
  uint64_t address;
  bool is_of_dll;
  const char *forwarder; /* the text at the address */
} invented_export;

static const process_module modules[] = {
    {"program", 0x1000, 0x1fff},        {"lib.so", 0x10000, 0x1ffff},
    {"lib.so.6", 0x20000, 0x2ffff},     {"lib.so", 0x30000, 0x3ffff},
    {"KERNEL32.DLL", 0x40000, 0x4ffff}, {"ntdll.dlx", 0x45000, 0x45fff},
    {"ntdll.dll", 0x50000, 0x5ffff},    {"two.parts.dll", 0x60000, 0x6ffff},
    {"ntdll_dll", 0x70000, 0x7ffff},    {"xtdll.dll", 0x80000, 0x8ffff},
    {"ntdll.exe", 0x90000, 0x9ffff},    {"AZ[@`{.dll", 0xa0000, 0xaffff}};
enum { MODULES = sizeof modules / sizeof modules[0] };

enum { TARGET = 0x12345, OWN_BITS = 8 * sizeof(uintptr_t), ANOTHER_WIDTH = 96 - OWN_BITS };

static struct {
  invented_export exports[16];
  size_t text_end;       /* how much of a text can be read */
  size_t asked;          /* for exports of a module */
  nearbuf_status status; /* of taking a snapshot */
  nearbuf_status check;  /* of looking whether the process is there */
  nearbuf_status reach;  /* of computing the reach */
  bool has_map;
  int snapshots; /* that were not freed */
  const char *options[3][3];
  char message[512];
  tool_target target;
  process_snapshot snapshot;
} it;

static void begin(void) {
  memset(&it, 0, sizeof it);
  it.text_end = 1000;
  it.has_map = true;
  it.snapshot.has_map = true;
  it.target.info.address_bits = OWN_BITS;
  it.target.process.id = 7;
}

bool snapshot_next_module(const process_snapshot *snapshot, size_t *at, process_module *module) {
  (void)snapshot;
  if (*at == MODULES) {
    return false;
  }
  *module = modules[(*at)++];
  return true;
}

nearbuf_status snapshot_take(tool_target *target, process_snapshot *snapshot) {
  CHECK(target == &it.target);
  it.snapshots++;
  *snapshot = (process_snapshot){.has_map = it.has_map};
  return it.status;
}

void snapshot_free(process_snapshot *snapshot) {
  (void)snapshot;
  it.snapshots--;
}

static nearbuf_status find_export(const process_module *module, const char *name, bool is_of_dll,
                                  uint64_t *address) {
  it.asked++;
  *address = 0;
  for (const invented_export *each = it.exports; each->name != NULL; each++) {
    if (strcmp(each->module, module->name) == 0 && strcmp(each->name, name) == 0 &&
        each->is_of_dll == is_of_dll) {
      *address = each->address;
      return each->address == 0        ? NEARBUF_DENIED
             : each->forwarder == NULL ? NEARBUF_OK
                                       : NEARBUF_NOT_FOUND;
    }
  }
  return NEARBUF_NOT_FOUND;
}

nearbuf_status elf_symbol_find(tool_target *target, const process_module *module, const char *name,
                               uint64_t *address) {
  CHECK(target == &it.target);
  return find_export(module, name, false, address);
}

nearbuf_status pe_symbol_find(tool_target *target, const process_module *module, const char *name,
                              uint64_t *address) {
  CHECK(target == &it.target);
  return find_export(module, name, true, address);
}

/* What follows the text of a forwarder is not empty. */
nearbuf_status nearbuf_process_read(nearbuf_process *process, uint64_t address, void *bytes,
                                    size_t size_bytes, size_t *done_bytes) {
  CHECK(process == &it.target.process && size_bytes == 255 && address != 0);
  for (const invented_export *each = it.exports; each->name != NULL; each++) {
    if (each->address == address) {
      size_t length = strlen(each->forwarder) + 1;
      memset(bytes, 'x', size_bytes);
      memcpy(bytes, each->forwarder, length < size_bytes ? length : size_bytes);
    }
  }
  *done_bytes = size_bytes < it.text_end ? size_bytes : it.text_end;
  return *done_bytes == size_bytes ? NEARBUF_OK : NEARBUF_NOT_MAPPED;
}

nearbuf_status nearbuf_process_check(nearbuf_process *process) {
  CHECK(process == &it.target.process);
  return it.check;
}

bool host_names_are_equal(const char *one, const char *other, size_t length) {
  return strncmp(one, other, length) == 0;
}

bool number_read(const char *text, uint64_t *number) {
  char *end;
  *number = strtoull(text, &end, 0);
  return text[0] >= '0' && text[0] <= '9' && *end == '\0';
}

exit_code complain(exit_code code, const char *format, ...) {
  va_list values;
  va_start(values, format);
  (void)vsnprintf(it.message, sizeof it.message, format, values);
  va_end(values);
  return code;
}

exit_code target_complain(const tool_target *target, const char *doing, nearbuf_status status) {
  CHECK(target == &it.target);
  return complain(EXIT_FAILED, "%s: %s", doing, nearbuf_status_name(status));
}

char **arguments_option(const tool_arguments *arguments, const char *name) {
  CHECK(strcmp(arguments->command->name, "put") == 0);
  for (int i = 0; i < 3; i++) {
    if (it.options[i][0] != NULL && strcmp(it.options[i][0], name) == 0) {
      return (char **)(uintptr_t)&it.options[i][1];
    }
  }
  return NULL;
}

/* A jump reaches 16 bytes in both directions, and code near a function 4096. */
static nearbuf_status invented_range_within_reach(const nearbuf_range *targets, size_t count,
                                                  nearbuf_reach reach, nearbuf_range *range) {
  CHECK(count == 1 && reach == NEARBUF_REACH_JUMP && targets->min == targets->max);
  *range = (nearbuf_range){targets->min - 16, targets->min + 16};
  return it.reach;
}

static nearbuf_process_request request;

static nearbuf_status invented_request_near(const void *target, size_t size_bytes,
                                            nearbuf_request *native) {
  CHECK((uintptr_t)target == request.target && size_bytes != 0);
  *native = (nearbuf_request){.near_bytes = 4096};
  return it.reach;
}

/* ---- Places ---------------------------------------------------------------------------------- */

static void check_place(uint64_t expected, const char *text) {
  uint64_t address = 0;
  CHECK_EQUAL(EXIT_DONE, where_read(&it.target, &it.snapshot, text, &address));
  CHECK_EQUAL(expected, address);
  CHECK(it.message[0] == '\0');
}

static void check_refused(exit_code code, const char *text, const char *message) {
  uint64_t address = 0;
  CHECK_EQUAL(code, where_read(&it.target, &it.snapshot, text, &address));
  if (strcmp(it.message, message) != 0) {
    test_fail(__FILE__, __LINE__, "it says \"%s\", not \"%s\"", it.message, message);
  }
  it.message[0] = '\0';
}

static void check_unknown(const char *text) {
  char message[512];
  (void)snprintf(message, sizeof message, "process 7 has no such module or exported symbol: %.300s",
                 text);
  check_refused(EXIT_NOT_FOUND, text, message);
}

TEST(an_address_is_itself) {
  begin();
  check_place(0x1234, "0x1234");
  check_place(1234, "1234");
  CHECK_EQUAL(0, it.asked);
}

TEST(a_module_is_its_first_address_and_an_offset_is_added_to_it) {
  begin();
  check_place(0x1000, "program");
  check_place(0x10000, "lib.so");
  check_place(0x20000, "lib.so.6");
  check_place(0x10010, "lib.so+0x10");
  check_place(0x10000 + 99, "lib.so+99");
  check_place(0x20001, "lib.so.6+1");
  CHECK_EQUAL(0, it.asked);
}

TEST(a_part_of_the_name_of_a_module_or_a_false_offset_is_no_place) {
  static const char *const texts[] = {"progra",    "program.",  "rogram",     "program+",
                                      "program+x", "program-1", "program+1x", "program 1",
                                      "",          "programs",  "lib.so.",    "lib"};
  begin();
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    check_unknown(texts[i]);
  }
  CHECK_EQUAL((size_t)2 * MODULES * (sizeof texts / sizeof texts[0]),
              it.asked); /* as a symbol of all */
}

TEST(a_symbol_is_that_of_the_first_module_that_exports_it) {
  begin();
  it.exports[0] = (invented_export){"lib.so.6", "getenv", 0x20100, false, NULL};
  it.exports[1] = (invented_export){"ntdll.dll", "getenv", 0x50100, true, NULL};
  it.exports[2] = (invented_export){"ntdll.dll", "other", 0x50200, true, NULL};
  check_place(0x20100, "getenv");
  check_place(0x50200, "other");
  check_unknown("getenv2");
}

TEST(a_module_that_may_not_be_read_is_told_apart_from_one_without_the_symbol) {
  begin();
  it.exports[0] = (invented_export){"lib.so.6", "getenv", 0, false, NULL};
  it.exports[1] = (invented_export){"ntdll.dll", "getenv", 0x50100, true, NULL};
  it.exports[2] = (invented_export){"lib.so", "other", 0, true, NULL};
  check_refused(EXIT_FAILED, "getenv", "its modules cannot be read: NEARBUF_DENIED");
  check_refused(EXIT_FAILED, "other", "its modules cannot be read: NEARBUF_DENIED");
  it.check = NEARBUF_NOT_FOUND;
  check_refused(EXIT_FAILED, "other", "its modules cannot be read: NEARBUF_DENIED");
}

TEST(of_a_process_that_has_ended_or_has_no_map_no_module_is_said_to_be_missing) {
  begin();
  it.check = NEARBUF_NOT_FOUND;
  check_refused(EXIT_FAILED, "nothing", "its modules cannot be read: NEARBUF_NOT_FOUND");
  it.check = NEARBUF_DENIED;
  check_unknown("nothing");
  it.check = NEARBUF_OK;
  it.snapshot.has_map = false;
  check_refused(EXIT_FAILED, "nothing", "its memory map cannot be read: NEARBUF_UNSUPPORTED");
  it.exports[0] = (invented_export){"lib.so", "getenv", 0x10100, false, NULL};
  check_place(0x10100, "getenv");
}

TEST(names_of_255_characters_are_looked_for_and_longer_ones_are_not) {
  char name[300];
  memset(name, 'n', sizeof name);
  name[255] = '\0';
  begin();
  it.exports[0] = (invented_export){"lib.so", name, 0x10100, false, NULL};
  check_place(0x10100, name);
  name[255] = 'n';
  name[256] = '\0';
  it.asked = 0;
  check_unknown(name);
  CHECK_EQUAL(0, it.asked);
}

/* ---- Forwarders ------------------------------------------------------------------------------ */

/* kernel32 forwards a function by this text, and these modules have one of the name Rtl. */
static void begin_forwarded(const char *text) {
  begin();
  it.exports[0] = (invented_export){"KERNEL32.DLL", "Heap", 0x40100, true, text};
  it.exports[1] = (invented_export){"lib.so", "Rtl", 0x10200, true, NULL};
  it.exports[2] = (invented_export){"ntdll.dll", "Rtl", 0x50200, true, NULL};
  it.exports[3] = (invented_export){"two.parts.dll", "Rtl", 0x60200, true, NULL};
  it.exports[4] = (invented_export){"AZ[@`{.dll", "Rtl", 0xa0200, true, NULL};
  it.exports[5] = (invented_export){"ntdll.dll", "R", 0x50300, true, NULL};
  it.exports[6] = (invented_export){"ntdll.dlx", "Rtl", 0x45200, true, NULL};
}

TEST(a_forwarded_symbol_is_that_of_the_named_dll_in_any_case) {
  static const struct {
    const char *text;
    uint64_t address;
  } cases[] = {{"ntdll.Rtl", 0x50200},     {"NTDLL.Rtl", 0x50200},  {"NtDll.R", 0x50300},
               {"two.parts.Rtl", 0x60200}, {"az[@`{.Rtl", 0xa0200}, {"AZ[@`{.Rtl", 0xa0200}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    begin_forwarded(cases[i].text);
    check_place(cases[i].address, "Heap");
  }
}

/* Letters have two cases, other characters have not. */
TEST(a_symbol_that_is_forwarded_to_a_module_that_is_not_there_is_not_found) {
  static const char *const texts[] = {"ntdl.Rtl",   "ntdlll.Rtl", "ntdll.rtl",  "ntdll.dll.Rtl",
                                      "AZ{@`{.Rtl", "AZ[``{.Rtl", "AZ[@@{.Rtl", "AZ[@`[.Rtl",
                                      "lib.Rtl",    "lib.so.Rtl", "AZ;@`{.Rtl", "ap-i.Rtl"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    begin_forwarded(texts[i]);
    check_unknown("Heap");
  }
}

/* Sets of functions: their names do not tell in which module they are. */
TEST(a_symbol_that_is_forwarded_to_a_set_is_that_of_the_first_module_that_has_it) {
  begin_forwarded("api-ms-win-core.Rtl");
  check_place(0x10200, "Heap");
  begin_forwarded("ext-ms-win.Rtl");
  check_place(0x10200, "Heap");
  begin_forwarded("api-.Rtl");
  check_place(0x10200, "Heap");
  static const char *const texts[] = {"api.Rtl", "ext.Rtl", "apiset.Rtl", "extras.Rtl",
                                      "xapi-.Rtl"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    begin_forwarded(texts[i]);
    check_unknown("Heap");
  }
}

TEST(what_is_forwarded_by_number_or_without_a_name_is_not_found) {
  static const char *const texts[] = {"ntdll.#12", "ntdll.", "Rtl", "", "ntdll.#"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    begin_forwarded(texts[i]);
    it.exports[7] = (invented_export){"ntdll.dll", "#12", 0x50900, true, NULL};
    it.exports[8] = (invented_export){"ntdll.dll", "", 0x50900, true, NULL};
    check_unknown("Heap");
    CHECK_EQUAL((size_t)2 * MODULES, it.asked); /* once */
  }
  begin_forwarded("ntdll.R#"); /* that is a name */
  it.exports[7] = (invented_export){"ntdll.dll", "R#", 0x50900, true, NULL};
  check_place(0x50900, "Heap");
}

TEST(the_text_of_a_forwarder_may_end_with_what_is_mapped) {
  begin_forwarded("ntdll.Rtl");
  it.text_end = 9;
  check_place(0x50200, "Heap");
  it.text_end = 7;
  check_place(0x50300, "Heap");
  it.text_end = 6;
  check_unknown("Heap");
  it.text_end = 0;
  check_unknown("Heap");
}

TEST(the_longest_text_of_a_forwarder_has_255_characters) {
  char text[300];
  memset(text, 'n', sizeof text);
  memcpy(text, "ntdll.", 6);
  text[255] = '\0';
  begin_forwarded(text);
  it.exports[7] = (invented_export){"ntdll.dll", text + 6, 0x50900, true, NULL};
  check_place(0x50900, "Heap");
}

TEST(a_symbol_is_followed_through_four_forwarders_and_no_more) {
  static const char *const names[] = {"A", "B", "C", "D", "E", "F"};
  static const char *const texts[] = {"ntdll.B", "ntdll.C", "ntdll.D", "ntdll.E", "ntdll.F"};
  begin();
  for (size_t i = 0; i < 5; i++) {
    it.exports[i] = (invented_export){"ntdll.dll", names[i], 0x50100 + i, true, texts[i]};
  }
  it.exports[5] = (invented_export){"ntdll.dll", "F", 0x50900, true, NULL};
  check_place(0x50900, "F");
  check_place(0x50900, "E");
  check_place(0x50900, "B");
  check_unknown("A");
}

/* The second name has nothing of the first one. */
TEST(a_forwarder_may_lead_to_another_one_with_a_shorter_name_or_to_a_set) {
  begin_forwarded("two.parts.Next");
  it.exports[7] = (invented_export){"two.parts.dll", "Next", 0x60900, true, "ntdll.R"};
  check_place(0x50300, "Heap");
  begin_forwarded("ntdll.Next");
  it.exports[7] = (invented_export){"ntdll.dll", "Next", 0x50900, true, "api-set.Rtl"};
  check_place(0x10200, "Heap");
}

TEST(the_first_of_several_forwarders_is_followed) {
  begin_forwarded("ntdll.Rtl");
  it.exports[7] = (invented_export){"two.parts.dll", "Heap", 0x60900, true, "ntdll.R"};
  check_place(0x50200, "Heap");
  it.exports[8] = (invented_export){"xtdll.dll", "Heap", 0x80900, true, NULL};
  check_place(0x80900, "Heap"); /* and a function before them */
}

/* ---- Ranges and requests --------------------------------------------------------------------- */

TEST(the_reach_is_that_of_a_jump_or_everything_of_a_process_of_another_width) {
  begin();
  nearbuf_range reach = where_reach(&it.target, TARGET);
  CHECK(reach.min == TARGET - 16 && reach.max == TARGET + 16);
  it.reach = NEARBUF_UNSUPPORTED;
  reach = where_reach(&it.target, TARGET);
  CHECK(reach.min == 0 && reach.max == UINTPTR_MAX);
  it.reach = NEARBUF_OK;
  it.target.info.address_bits = ANOTHER_WIDTH;
  reach = where_reach(&it.target, TARGET);
  CHECK(reach.min == 0 && reach.max == (ANOTHER_WIDTH == 32 ? UINT32_MAX : UINTPTR_MAX));
}

static exit_code ask(void) {
  static const tool_command command = {.name = "put"};
  const tool_arguments arguments = {.command = &command};
  request = (nearbuf_process_request)NEARBUF_PROCESS_REQUEST_INIT;
  it.message[0] = '\0';
  exit_code code = where_request(&arguments, &it.target, &request);
  CHECK_EQUAL(0, it.snapshots);
  return code;
}

static void set_option(int number, const char *name, const char *value, const char *second) {
  it.options[number][0] = name;
  it.options[number][1] = value;
  it.options[number][2] = second;
}

TEST(near_a_place_the_request_is_for_what_a_jump_reaches_and_near_it) {
  begin();
  set_option(0, "--near", "program+16", NULL);
  CHECK_EQUAL(EXIT_DONE, ask());
  CHECK_EQUAL(0x1010, request.target);
  CHECK_EQUAL(0x1000, request.min);
  CHECK_EQUAL(0x1020, request.max);
  CHECK_EQUAL(4096, request.near_bytes);
  CHECK_EQUAL(16, request.alignment_bytes);
  it.reach = NEARBUF_UNSUPPORTED;
  CHECK_EQUAL(EXIT_DONE, ask());
  CHECK_EQUAL(0, request.near_bytes);
  CHECK_EQUAL(UINTPTR_MAX, request.max);
  it.reach = NEARBUF_OK;
  it.target.info.address_bits = ANOTHER_WIDTH;
  CHECK_EQUAL(EXIT_DONE, ask());
  CHECK_EQUAL(0, request.near_bytes);
}

TEST(a_place_that_cannot_be_found_is_told_and_not_used) {
  begin();
  set_option(1, "--near", "nowhere", NULL);
  CHECK_EQUAL(EXIT_NOT_FOUND, ask());
  it.status = NEARBUF_DENIED;
  CHECK_EQUAL(EXIT_FAILED, ask());
  CHECK(strcmp(it.message, "its memory map cannot be read: NEARBUF_DENIED") == 0);
}

TEST(a_range_and_an_alignment_are_taken_as_they_are) {
  begin();
  set_option(0, "--range", "0x100", "0x1ff");
  CHECK_EQUAL(EXIT_DONE, ask());
  CHECK(request.min == 0x100 && request.max == 0x1ff && request.target == 0);
  CHECK_EQUAL(16, request.alignment_bytes);
  CHECK_EQUAL(0, request.near_bytes);
  set_option(1, "--align", "64", NULL);
  CHECK_EQUAL(EXIT_DONE, ask());
  CHECK_EQUAL(64, request.alignment_bytes);
}

static void check_usage(const char *message) {
  CHECK_EQUAL(EXIT_USAGE, ask());
  CHECK(strcmp(it.message, message) == 0);
}

TEST(exactly_one_of_near_and_range_is_required_and_numbers_are_numbers) {
  begin();
  check_usage("put: either --near or --range is required");
  set_option(0, "--range", "1", "2");
  set_option(1, "--near", "program", NULL);
  check_usage("put: either --near or --range is required");
  it.options[1][0] = NULL;
  set_option(2, "--align", "x", NULL);
  check_usage("put: not a number: x");
  it.options[2][0] = NULL;
  set_option(0, "--range", "low", "2");
  check_usage("put: not addresses: low 2");
  set_option(0, "--range", "1", "high");
  check_usage("put: not addresses: 1 high");
}
