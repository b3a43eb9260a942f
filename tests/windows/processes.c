/* Several processes on Windows, and several copies of the library that start at the same time. */
#include <stdatomic.h>
#include <string.h>

#include <windows.h>

#include "children.h"
#include "locator_names.h"
#include "test.h"
#include "threads.h"

static nearbuf_memory place(void) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 4;
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, "mine", &placed));
  return placed;
}

static nearbuf_totals totals(void) {
  nearbuf_totals all;
  CHECK_OK(nearbuf_get_totals(&all));
  return all;
}

static void set_number(const char *name, uintptr_t number) {
  char text[32];
  (void)snprintf(text, sizeof text, "%ju", (uintmax_t)number);
  CHECK(SetEnvironmentVariableA(name, text));
}

static uintptr_t number_of(const char *name) {
  char text[32];
  DWORD length = GetEnvironmentVariableA(name, text, sizeof text);
  CHECK(length > 0 && length < sizeof text);
  return (uintptr_t)strtoull(text, NULL, 10);
}

static HANDLE section_of(uintptr_t process) {
  char name[96];
  (void)snprintf(name, sizeof name, "/" LOCATOR_PREFIX "%ju", (uintmax_t)process);
  return OpenFileMappingA(FILE_MAP_READ, FALSE, name);
}

/* ---- Processes ------------------------------------------------------------------------------- */

static void be_another_process(void) {
  nearbuf_info info;
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_find((const void *)number_of("ADDRESS"), &info));
  CHECK_EQUAL(0, totals().buffers);
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 1;
  for (int i = 0; i < 100; i++) {
    nearbuf_buffer held;
    CHECK_OK(nearbuf_get(&request, &held));
  }
  CHECK(section_of(number_of("PROCESS")) != NULL); /* theirs is there and is left alone */
  CHECK(section_of(GetCurrentProcessId()) != NULL);
}

TEST(two_processes_do_not_share) {
  if (child_has_role("other")) {
    be_another_process();
    return;
  }
  nearbuf_memory placed = place();
  nearbuf_totals before = totals();
  set_number("ADDRESS", (uintptr_t)placed.run_at);
  set_number("PROCESS", GetCurrentProcessId());
  CHECK_EQUAL(0, child_status(child_start("two_processes_do_not_share", "other")));
  nearbuf_totals after = totals();
  CHECK_EQUAL(before.buffers, after.buffers);
  CHECK_EQUAL(before.taken, after.taken);
  CHECK_EQUAL(before.used_bytes, after.used_bytes);
  CHECK_EQUAL(0, memcmp(placed.run_at, "mine", 4));
}

/* An event of the process whose name is occupied. */
static HANDLE event_of(uintptr_t process, const char *what) {
  char name[64];
  (void)snprintf(name, sizeof name, "nearbuf test %ju: %s", (uintmax_t)process, what);
  HANDLE event = CreateEventA(NULL, TRUE, FALSE, name);
  CHECK(event != NULL);
  return event;
}

/* Occupies the name of the process that started this one, with a section that names memory which
 * that process can read and not write. */
static void squat(void) {
  const uintptr_t of_everybody = 0x7ffe0000; /* the page that the kernel shares with all */
  char name[96];
  (void)snprintf(name, sizeof name, "/" LOCATOR_PREFIX "%ju", (uintmax_t)number_of("PROCESS"));
  HANDLE section =
      CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_EXECUTE_READWRITE, 0, 65536, name);
  CHECK(section != NULL && GetLastError() != ERROR_ALREADY_EXISTS);
  unsigned char *view = MapViewOfFile(section, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, 0);
  CHECK(view != NULL);
  memcpy(view, &of_everybody, sizeof of_everybody);
  CHECK(SetEvent(event_of(number_of("PROCESS"), "squatted")));
  CHECK(WaitForSingleObject(event_of(number_of("PROCESS"), "done"), 30000) == WAIT_OBJECT_0);
  for (size_t i = sizeof of_everybody; i < 65536; i++) {
    CHECK_EQUAL(0, view[i]);
  }
}

TEST(a_name_that_another_process_took_is_gone_around_and_left_alone) {
  if (child_has_role("squatter")) {
    squat();
    return;
  }
  HANDLE ready = event_of(GetCurrentProcessId(), "squatted");
  HANDLE done = event_of(GetCurrentProcessId(), "done");
  set_number("PROCESS", GetCurrentProcessId());
  HANDLE squatter =
      child_start("a_name_that_another_process_took_is_gone_around_and_left_alone", "squatter");
  CHECK(WaitForSingleObject(ready, 30000) == WAIT_OBJECT_0);
  (void)place();
  HMODULE plugin = LoadLibraryA("plugin_one.dll");
  CHECK(plugin != NULL);
  const nearbuf_totals *seen =
      (const void *)(uintptr_t)GetProcAddress(plugin, "totals_when_loaded");
  CHECK_EQUAL(totals().first_locator, seen->first_locator);
  CHECK(SetEvent(done));
  CHECK_EQUAL(0, child_status(squatter));
}

/* ---- Copies that start together -------------------------------------------------------------- */

enum { COPIES = 3, STARTS = 20 };

static _Atomic int waiting;

static void meet(void) {
  waiting++;
  while (waiting < COPIES) {
    YieldProcessor();
  }
}

static void load_one(void *unused) {
  (void)unused;
  meet();
  CHECK(LoadLibraryA("plugin_one.dll") != NULL);
}

static void load_two(void *unused) {
  (void)unused;
  meet();
  CHECK(LoadLibraryA("plugin_two.dll") != NULL);
}

static void use_own_copy(void *unused) {
  (void)unused;
  meet();
  (void)place();
}

static void start_together(void) {
  const test_thread_function starters[COPIES] = {load_one, load_two, use_own_copy};
  test_thread threads[COPIES];
  for (int i = 0; i < COPIES; i++) {
    threads[i] = test_thread_start(starters[i], NULL);
  }
  for (int i = 0; i < COPIES; i++) {
    test_thread_join(threads[i]);
  }
  const char *const names[] = {"plugin_one.dll", "plugin_two.dll"};
  for (int i = 0; i < 2; i++) {
    HMODULE plugin = GetModuleHandleA(names[i]);
    const nearbuf_totals *seen =
        (const void *)(uintptr_t)GetProcAddress(plugin, "totals_when_loaded");
    CHECK_EQUAL(totals().first_locator, seen->first_locator);
    const nearbuf_memory *placed =
        (const void *)(uintptr_t)GetProcAddress(plugin, "placed_when_loaded");
    CHECK_EQUAL(0, memcmp(placed->run_at, "mine", 4));
    nearbuf_info info;
    CHECK_OK(nearbuf_find(placed->run_at, &info));
  }
  CHECK_EQUAL(1, totals().locators);
}

TEST(copies_that_start_at_the_same_time_share_one_locator) {
  if (child_has_role("starter")) {
    start_together();
    return;
  }
  for (int i = 0; i < STARTS; i++) {
    CHECK_EQUAL(0, child_status(child_start("copies_that_start_at_the_same_time_share_one_locator",
                                            "starter")));
  }
}
