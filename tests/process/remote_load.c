/* Eight threads of a process and four other processes get, append and release in the same
 * buffers. */
#include "remote_load.h"
#include "test.h"

TEST(no_record_is_lost_or_doubled) {
  check_load(NULL, NULL);
}
