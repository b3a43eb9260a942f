/* The library before the C runtime is started. */
#include <stdbool.h>
#include <string.h>

#include <windows.h>

#include "test.h"

static bool is_runtime_started;
static bool was_runtime_started;
static bool is_called_early;
static nearbuf_memory placed_early;
static nearbuf_status status_early;

__attribute__((constructor)) static void note_start(void) {
  is_runtime_started = true;
}

/* The loader calls it before the program's entry point. */
static void NTAPI use_early(PVOID module, DWORD reason, PVOID reserved) {
  (void)module, (void)reserved;
  if (reason == DLL_PROCESS_ATTACH) {
    is_called_early = true;
    was_runtime_started = is_runtime_started;
    nearbuf_request request = NEARBUF_REQUEST_INIT;
    request.size_bytes = 5;
    status_early = nearbuf_place(&request, "early", &placed_early);
  }
}

__attribute__((section(".CRT$XLY"), used)) static const PIMAGE_TLS_CALLBACK early = use_early;

TEST(the_library_works_before_the_c_runtime_is_started) {
  CHECK(is_called_early && !was_runtime_started && is_runtime_started);
  CHECK_OK(status_early);
  CHECK_EQUAL(0, memcmp(placed_early.run_at, "early", 5));
  nearbuf_info info;
  CHECK_OK(nearbuf_find(placed_early.run_at, &info));
}
