/* Locators as the other implementations create them on Windows: which of the listed memory may not
 * be used. */
#include <stdbool.h>
#include <string.h>

#include <windows.h>

#include "core/locators.h"
#include "imports.h"
#include "machine_code.h"
#include "os/os.h"
#include "os/windows/sections.h"
#include "test.h"

enum { GRANULE = 65536, TAIL_BUFFER = 16384 };

static nearbuf_totals totals(void) {
  nearbuf_totals all;
  CHECK_OK(nearbuf_get_totals(&all));
  return all;
}

/* Creates the first locator of this process, with buffers in its own view, and returns its
 * address. */
static uintptr_t make_locator(nearbuf_dialect dialect, DWORD access, const uint32_t offsets[],
                              uint32_t count) {
  nbuf_section_name name =
      nbuf_section_name_of_first(0, GetCurrentProcessId(), GetCurrentProcess());
  HANDLE section =
      CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_EXECUTE_READWRITE, 0, GRANULE, name.text);
  CHECK(section != NULL);
  uintptr_t base = (uintptr_t)MapViewOfFile(section, access, 0, 0, 0);
  CHECK(base != 0);
  const nbuf_layout *layout = nbuf_native_layout(dialect);
  nbuf_item items[4];
  for (uint32_t i = 0; i < count; i++) {
    items[i] = (nbuf_item){.base = base + offsets[i], .size = TAIL_BUFFER};
  }
  nbuf_format_build(base, layout, base, items, count);
  if (dialect == NEARBUF_DIALECT_RUST) {
    *(unsigned char *)(base + layout->count_dotnet) = 0; /* only this library fills it in */
  }
  return base;
}

/* Code runs wherever it is put, and nothing is put into the locator's own view. */
static void check_code_runs_outside(uintptr_t locator) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = sizeof code_of_answer;
  nbuf_range ranges[] = {{0, UINTPTR_MAX},
                         {nbuf_sub_saturating(locator, (uintptr_t)1 << 28),
                          nbuf_add_saturating(locator, (uintptr_t)1 << 28)}};
  for (int i = 0; i < 2; i++) {
    request.range = ranges[i];
    nearbuf_memory placed;
    CHECK_OK(nearbuf_place(&request, code_of_answer, &placed));
    CHECK_EQUAL(ANSWER, run_code_at(placed.run_at));
    CHECK((uintptr_t)placed.run_at - locator >= GRANULE);
  }
  CHECK_EQUAL(locator, totals().first_locator);
  CHECK_EQUAL(1, totals().locators);
}

/* All its first items are at one address. */
static const uint32_t one_address[] = {4096, 4096, 4096, 4096};

TEST(what_the_rust_library_lists_of_its_read_write_view_is_not_used_for_code) {
  check_code_runs_outside(
      make_locator(NEARBUF_DIALECT_RUST, FILE_MAP_READ | FILE_MAP_WRITE, one_address, 4));
}

TEST(what_the_rust_library_lists_several_times_is_not_used_where_it_may_run_either) {
  check_code_runs_outside(make_locator(
      NEARBUF_DIALECT_RUST, FILE_MAP_READ | FILE_MAP_WRITE | FILE_MAP_EXECUTE, one_address, 4));
}

TEST(buffers_of_a_view_that_cannot_run_are_passed_over) {
  static const uint32_t apart[] = {4096, 20480, 36864};
  check_code_runs_outside(
      make_locator(NEARBUF_DIALECT_WRITTEN, FILE_MAP_READ | FILE_MAP_WRITE, apart, 3));
}

TEST(buffers_that_any_other_one_overlaps_are_passed_over) {
  static const uint32_t overlapping[] = {4096, 4096 + 8192, 4096 + 16384};
  check_code_runs_outside(make_locator(
      NEARBUF_DIALECT_RUST, FILE_MAP_READ | FILE_MAP_WRITE | FILE_MAP_EXECUTE, overlapping, 3));
}

TEST(a_page_that_a_module_made_read_execute_spoils_nothing_for_modules_that_come_later) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  nearbuf_buffer buffer;
  request.size_bytes = 1;
  for (int i = 0; i < 4; i++) {
    CHECK_OK(nearbuf_get(&request, &buffer)); /* held: so the other module looks at the next one */
  }
  request.size_bytes = 100000;
  CHECK_OK(nearbuf_get(&request, &buffer));
  uintptr_t address = nearbuf_buffer_address(&buffer);
  CHECK_OK(nearbuf_append(&buffer, code_of_answer, sizeof code_of_answer, NULL));
  CHECK_OK(nearbuf_release(&buffer));
  DWORD previous;
  CHECK(VirtualProtect((void *)address, 4096, PAGE_EXECUTE_READ, &previous));
  HMODULE plugin = LoadLibraryA("plugin_one.dll"); /* it places memory when it is loaded */
  CHECK(plugin != NULL);
  const nearbuf_totals *seen =
      (const void *)(uintptr_t)GetProcAddress(plugin, "totals_when_loaded");
  CHECK_EQUAL(totals().first_locator, seen->first_locator);
  CHECK_EQUAL(ANSWER, run_code_at((void *)address));
}

/* ---- While it is being made ------------------------------------------------------------------ */

static uintptr_t made;
static bool is_made;
static VOID(WINAPI *real_Sleep)(DWORD milliseconds);

/* What the other implementation does after it stored the address. */
static void list_tail(void) {
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_RUST);
  const nbuf_item item = {.base = made + 4096, .size = TAIL_BUFFER};
  nbuf_format_store_count(made, layout, 0);
  for (uint32_t i = 0; i < 4; i++) {
    nbuf_item_write(nbuf_item_at(made, layout, i), layout, &item);
    nbuf_format_store_count(made, layout, i + 1);
  }
  is_made = true;
}

static VOID WINAPI list_tail_and_sleep(DWORD milliseconds) {
  if (!is_made) {
    list_tail();
  }
  real_Sleep(milliseconds);
}

/* A thread of the other one stands still after it stored the address. */
TEST(nothing_is_listed_before_the_maker_of_a_locator_has_listed_its_own) {
  made = make_locator(NEARBUF_DIALECT_RUST, FILE_MAP_READ | FILE_MAP_WRITE | FILE_MAP_EXECUTE, NULL,
                      0);
  IMPORT_REPLACE(real_Sleep, Sleep, list_tail_and_sleep);
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 100;
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_choose_dialect(NEARBUF_DIALECT_RUST));
  CHECK_OK(nearbuf_get(&request, &buffer));
  if (!is_made) {
    list_tail();
  }
  CHECK_EQUAL(made, totals().first_locator);
  CHECK_EQUAL(5, totals().buffers);
  nearbuf_info info;
  CHECK_OK(nearbuf_find((const void *)nearbuf_buffer_address(&buffer), &info));
  CHECK_EQUAL(1, info.is_taken);
  CHECK_OK(nearbuf_append(&buffer, "nearbuf", 7, NULL));
  CHECK_OK(nearbuf_release(&buffer));
}
