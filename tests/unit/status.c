/* The table of statuses. */
#include <string.h>

#include "test.h"

/* Values never change, whatever is added. */
static const struct {
  nearbuf_status status;
  int value;
  const char *name;
} pinned[] = {
    {NEARBUF_OK, 0, "NEARBUF_OK"},
    {NEARBUF_NO_ROOM, 1, "NEARBUF_NO_ROOM"},
    {NEARBUF_OUT_OF_MEMORY, 2, "NEARBUF_OUT_OF_MEMORY"},
    {NEARBUF_DENIED, 3, "NEARBUF_DENIED"},
    {NEARBUF_BUSY, 4, "NEARBUF_BUSY"},
    {NEARBUF_STALE, 5, "NEARBUF_STALE"},
    {NEARBUF_INCOMPATIBLE, 6, "NEARBUF_INCOMPATIBLE"},
    {NEARBUF_NOT_FOUND, 7, "NEARBUF_NOT_FOUND"},
    {NEARBUF_UNSUPPORTED, 8, "NEARBUF_UNSUPPORTED"},
    {NEARBUF_SYSTEM_ERROR, 9, "NEARBUF_SYSTEM_ERROR"},
    {NEARBUF_BEYOND_ROOM, 10, "NEARBUF_BEYOND_ROOM"},
    {NEARBUF_CANCELLED, 11, "NEARBUF_CANCELLED"},
    {NEARBUF_INVALID_ARGUMENT, 12, "NEARBUF_INVALID_ARGUMENT"},
    {NEARBUF_INVALID_SIZE, 13, "NEARBUF_INVALID_SIZE"},
    {NEARBUF_INVALID_ALIGNMENT, 14, "NEARBUF_INVALID_ALIGNMENT"},
    {NEARBUF_INVALID_RANGE, 15, "NEARBUF_INVALID_RANGE"},
    {NEARBUF_RANGE_TOO_SMALL, 16, "NEARBUF_RANGE_TOO_SMALL"},
    {NEARBUF_INVALID_HANDLE, 17, "NEARBUF_INVALID_HANDLE"},
    {NEARBUF_NOT_MAPPED, 18, "NEARBUF_NOT_MAPPED"},
};
enum { PINNED = sizeof pinned / sizeof pinned[0] };

TEST(statuses_keep_their_values) {
  for (int i = 0; i < PINNED; i++) {
    CHECK_EQUAL(pinned[i].value, pinned[i].status);
    CHECK_EQUAL(i, pinned[i].value);
  }
}

TEST(every_status_has_the_name_of_its_constant) {
  for (int i = 0; i < PINNED; i++) {
    CHECK(strcmp(nearbuf_status_name(pinned[i].status), pinned[i].name) == 0);
  }
}

TEST(every_status_has_a_text_of_its_own) {
  for (int i = 0; i < PINNED; i++) {
    const char *text = nearbuf_status_text(pinned[i].status);
    CHECK(strlen(text) > 5);
    for (int k = 0; k < i; k++) {
      CHECK(strcmp(text, nearbuf_status_text(pinned[k].status)) != 0);
    }
  }
}

TEST(a_status_of_a_later_version_has_a_name_and_a_text) {
  const int unknown[] = {PINNED, -1, 1000, INT32_MAX, INT32_MIN};
  for (int i = 0; i < 5; i++) {
    CHECK(strcmp(nearbuf_status_name((nearbuf_status)unknown[i]), "NEARBUF_UNKNOWN") == 0);
    CHECK(strlen(nearbuf_status_text((nearbuf_status)unknown[i])) > 5);
  }
}

TEST(the_library_has_the_version_of_its_header) {
  CHECK_EQUAL(NEARBUF_VERSION, nearbuf_version());
  CHECK_EQUAL(NEARBUF_VERSION_MAJOR, nearbuf_version() >> 16);
}
