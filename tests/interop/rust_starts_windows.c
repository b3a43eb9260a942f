/* The first calls of the Rust implementation and of this library in a process at about the same
 * time, on Windows. Between its look for a section and its making of one, another section of that
 * name may appear: it takes that for its own and clears the header, at any later time. */
#include <stdio.h>
#include <string.h>

#include "../windows/children.h"
#include "../windows/imports.h"
#include "both.h"
#include "c_interface.h"
#include "machine_code.h"
#include "test.h"
#include "window.h"

static c_interface reference;

/* ---- At the same time ------------------------------------------------------------------------ */

enum { STARTS = 30, SHARED = 40, TAKEN_OVER = 41, BELIEVED_ZERO = 42 };

/* Ends the process where the Rust implementation reads the header of a locator at address 0, which
 * it believes if it opens a section before that has its address (docs/decisions/18). Beside another
 * copy of itself it ends like that, too; any other fault fails the test. */
static LONG CALLBACK end_where_it_believes_zero(EXCEPTION_POINTERS *fault) {
  const EXCEPTION_RECORD *record = fault->ExceptionRecord;
  HMODULE module = NULL;
  bool is_read_near_zero = record->ExceptionCode == EXCEPTION_ACCESS_VIOLATION &&
                           record->ExceptionInformation[0] == 0 &&
                           record->ExceptionInformation[1] < PAGE;
  if (is_read_near_zero &&
      GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
                             GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                         record->ExceptionAddress, &module) &&
      module == GetModuleHandleA(REFERENCE_LIBRARY)) {
    TerminateProcess(GetCurrentProcess(), BELIEVED_ZERO);
  }
  return EXCEPTION_CONTINUE_SEARCH;
}

/* Both hold a buffer of one locator; which of the views of its section each uses does not
 * matter. */
static int start_both(void) {
  reference = reference_load();
  CHECK(AddVectoredExceptionHandler(1, end_where_it_believes_zero) != NULL);
  CHECK_OK(nearbuf_choose_dialect(NEARBUF_DIALECT_RUST));
  both_buffers got = both_get_at_once(&reference);
  uintptr_t their_locator = both_locator_of(got.theirs);
  uintptr_t our_locator = totals().first_locator;
  CHECK(memcmp((const void *)our_locator, (const void *)their_locator, PAGE) == 0);
  CHECK(got.theirs->base_address != nearbuf_buffer_address(&got.ours));
  CHECK_EQUAL(1, find(got.theirs->base_address).is_taken);
  CHECK_EQUAL(1, find(nearbuf_buffer_address(&got.ours)).is_taken);
  return their_locator == our_locator ? SHARED : TAKEN_OVER;
}

TEST(the_first_calls_of_both_at_once_end_with_one_locator) {
  if (child_has_role("both")) {
    exit(start_both());
  }
  (void)reference_load();
  int ended_with[BELIEVED_ZERO + 1] = {0};
  for (int i = 0; i < STARTS; i++) {
    int status =
        child_status(child_start("the_first_calls_of_both_at_once_end_with_one_locator", "both"));
    CHECK(status == SHARED || status == TAKEN_OVER || status == BELIEVED_ZERO);
    ended_with[status]++;
  }
  printf("%d of %d taken over, %d ended by the Rust implementation\n", ended_with[TAKEN_OVER],
         STARTS, ended_with[BELIEVED_ZERO]);
  CHECK(ended_with[SHARED] + ended_with[TAKEN_OVER] > 0);
}

/* ---- Later ----------------------------------------------------------------------------------- */

enum { HELD = 3 };

static HANDLE WINAPI find_no_section(DWORD access, BOOL inherit, LPCSTR name) {
  (void)access;
  (void)inherit;
  (void)name;
  SetLastError(ERROR_FILE_NOT_FOUND);
  return NULL;
}

/* Its first call, which looked for a section before there was one. */
static LocatorItem *get_without_seeing_ours(void) {
  HMODULE library = GetModuleHandleA(REFERENCE_LIBRARY);
  CHECK(library != NULL);
  (void)import_replace_in(library, "OpenFileMappingA", (FARPROC)(void (*)(void))find_no_section);
  return c_interface_get(&reference, WINDOW, WINDOW + WINDOW_SIZE, 100);
}

TEST(a_locator_of_ours_that_it_takes_for_its_own_later_keeps_what_both_list) {
  reference = reference_load();
  CHECK_OK(nearbuf_choose_dialect(NEARBUF_DIALECT_RUST));
  nearbuf_request request = request_in(WINDOW, WINDOW + WINDOW_SIZE - 1, 100);
  nearbuf_buffer ours[HELD];
  for (int i = 0; i < HELD; i++) {
    CHECK_OK(nearbuf_get(&request, &ours[i]));
    CHECK_OK(nearbuf_append(&ours[i], "nearbuf", 7, NULL));
  }
  uintptr_t first = totals().first_locator;
  LocatorItem *theirs = get_without_seeing_ours();
  CHECK(both_locator_of(theirs) != first);
  CHECK(memcmp((const void *)first, (const void *)both_locator_of(theirs), PAGE) == 0);
  uintptr_t written = reference.append(theirs, (const uint8_t *)"reference", 9);
  for (int i = 0; i < HELD; i++) {
    CHECK_OK(nearbuf_append(&ours[i], "more", 4, NULL));
    CHECK(memcmp((const void *)nearbuf_buffer_address(&ours[i]), "nearbufmore", 11) == 0);
    CHECK_EQUAL(11, find(nearbuf_buffer_address(&ours[i])).used_bytes);
    CHECK_EQUAL(1, find(nearbuf_buffer_address(&ours[i])).is_taken);
  }
  CHECK_EQUAL(9, find(written).used_bytes);
  CHECK_EQUAL(1, find(written).is_taken);
  CHECK_EQUAL(LISTED_FROM_START + HELD + 1, totals().buffers);
  reference.unlock(theirs);
  for (int i = 0; i < HELD; i++) {
    CHECK_OK(nearbuf_release(&ours[i]));
  }
  both_append(&reference, 500);
  CHECK_EQUAL(first, totals().first_locator);
}

TEST(code_runs_and_a_later_copy_attaches_where_it_took_a_locator_for_its_own) {
  reference = reference_load();
  CHECK_OK(nearbuf_choose_dialect(NEARBUF_DIALECT_RUST));
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = sizeof code_of_answer;
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, code_of_answer, &placed));
  reference.unlock(get_without_seeing_ours());
  CHECK_OK(nearbuf_place(&request, code_of_answer, &placed));
  CHECK_EQUAL(ANSWER, run_code_at(placed.run_at));
  HMODULE plugin = LoadLibraryA("plugin_one.dll");
  CHECK(plugin != NULL);
  const nearbuf_totals *seen =
      (const void *)(uintptr_t)GetProcAddress(plugin, "totals_when_loaded");
  CHECK(seen != NULL);
  CHECK_EQUAL(totals().first_locator, seen->first_locator);
}
