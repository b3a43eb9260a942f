/* What the plug-in of the inspector's demo reports, with an invented library.
 * tools/nearbuf/demo_plugin.c is compiled here, with other names for what it calls. */
#include <string.h>

#include <nearbuf/nearbuf.h>

#include "test.h"

#define nearbuf_place invented_place
#define nearbuf_find invented_find
#define nearbuf_get_totals invented_get_totals

static nearbuf_status invented_place(const nearbuf_request *request, const void *bytes,
                                     nearbuf_memory *placed);
static nearbuf_status invented_find(const void *address, nearbuf_info *info);
static nearbuf_status invented_get_totals(nearbuf_totals *totals);

#include "../../tools/nearbuf/demo_plugin.c" /* NOLINT(bugprone-suspicious-include) */

enum { PLACE = 0x1000, ANY_CODE = 5 };

static int calls;
static int failing; /* the number of the call that fails */

static nearbuf_status status_of_call(int number) {
  calls++;
  CHECK_EQUAL(number, calls);
  return calls == failing ? NEARBUF_DENIED : NEARBUF_OK;
}

static nearbuf_status invented_place(const nearbuf_request *request, const void *bytes,
                                     nearbuf_memory *placed) {
  CHECK(request->size_bytes == 3 && memcmp(bytes, "abc", 3) == 0);
  placed->run_at = (unsigned char *)PLACE;
  placed->system_error = ANY_CODE;
  return status_of_call(1);
}

static nearbuf_status invented_find(const void *address, nearbuf_info *info) {
  CHECK_EQUAL(PLACE, (uintptr_t)address);
  info->index = 2;
  return status_of_call(2);
}

static nearbuf_status invented_get_totals(nearbuf_totals *totals) {
  totals->buffers = 3;
  return status_of_call(3);
}

/* The first call that fails is the last one, and what was not filled in is empty. */
TEST(the_plugin_reports_where_its_bytes_are_or_what_failed) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 3;
  for (failing = 1; failing <= 4; failing++) {
    demo_plugin_result result;
    memset(&result, 0xee, sizeof result);
    calls = 0;
    demo_plugin_place(&request, "abc", &result);
    CHECK_STATUS(failing == 4 ? NEARBUF_OK : NEARBUF_DENIED, result.status);
    CHECK_EQUAL((uintptr_t)invented_place, result.copy_of_library);
    CHECK_EQUAL(ANY_CODE, result.placed.system_error);
    CHECK_EQUAL(failing > 1 ? 2 : 0, result.buffer.index);
    CHECK_EQUAL(failing > 2 ? 3 : 0, result.totals.buffers);
    CHECK_EQUAL(failing == 4 ? 3 : failing, calls);
  }
}
