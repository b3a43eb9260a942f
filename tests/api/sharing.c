/* Which processes can see the locator, by the program's choice. */
#include <nearbuf/nearbuf.h>

#include "test.h"

static nearbuf_totals place_and_sum(void) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  nearbuf_memory placed;
  nearbuf_totals totals;
  request.size_bytes = 8;
  request.range.min = 0x100000; /* some systems do not map low addresses */
  CHECK_OK(nearbuf_place(&request, "12345678", &placed));
  CHECK_OK(nearbuf_get_totals(&totals));
  return totals;
}

TEST(a_private_locator_is_made_on_request_and_stays) {
  CHECK_OK(nearbuf_choose_sharing(NEARBUF_SHARING_PRIVATE));
  nearbuf_totals totals = place_and_sum();
  CHECK_EQUAL(NEARBUF_SHARING_PRIVATE, totals.sharing);
  CHECK_EQUAL(0, totals.private_reason);
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, nearbuf_choose_sharing(NEARBUF_SHARING_SHARED));
  CHECK_OK(nearbuf_choose_sharing(NEARBUF_SHARING_PRIVATE));
  CHECK_EQUAL(totals.first_locator, place_and_sum().first_locator);
}

TEST(the_last_choice_before_the_first_use_counts) {
  CHECK_OK(nearbuf_choose_sharing(NEARBUF_SHARING_SHARED));
  CHECK_OK(nearbuf_choose_sharing(NEARBUF_SHARING_PRIVATE));
  CHECK_EQUAL(NEARBUF_SHARING_PRIVATE, place_and_sum().sharing);
}
