/* The first calls of the Rust implementation and of this library in a process at the same time. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "both.h"
#include "c_interface.h"
#include "test.h"
#include "window.h"

enum { STARTS = 100 };

static c_interface reference;

static uint64_t inode_at(uintptr_t address) {
  FILE *map = fopen("/proc/self/maps", "r");
  CHECK(map != NULL);
  char line[512];
  uint64_t inode = 0;
  while (fgets(line, sizeof line, map) != NULL) {
    uintmax_t start;
    uintmax_t number;
    if (sscanf(line, "%jx-%*x %*s %*x %*s %ju", &start, &number) == 2 && start == address) {
      inode = number;
    }
  }
  fclose(map);
  return inode;
}

/* Returns whether the Rust implementation uses the page at our address. It does not if it looked
 * for a file before ours existed, and then used ours as its own: it has a second mapping of the
 * same page. */
static bool start_both(void) {
  reference_remove_dead_namesake();
  CHECK_OK(nearbuf_choose_dialect(NEARBUF_DIALECT_RUST));
  both_buffers got = both_get_at_once(&reference);
  uintptr_t their_locator = both_locator_of(got.theirs);
  uintptr_t our_locator = totals().first_locator;
  CHECK(inode_at(our_locator) != 0);
  CHECK_EQUAL(inode_at(our_locator), inode_at(their_locator));
  CHECK_EQUAL(2, totals().buffers);
  CHECK_EQUAL(2, totals().taken);
  CHECK(got.theirs->base_address != nearbuf_buffer_address(&got.ours));
  return their_locator == our_locator;
}

/* One start in 60 ends with a page that was overwritten like this. */
TEST(the_first_calls_of_both_at_once_end_with_one_locator) {
  enum { SHARED = 40, TAKEN_OVER = 41 };
  reference = reference_load();
  int taken_over = 0;
  for (int i = 0; i < STARTS; i++) {
    pid_t child = fork();
    if (child == 0) {
      _exit(start_both() ? SHARED : TAKEN_OVER);
    }
    int status;
    CHECK_EQUAL(child, waitpid(child, &status, 0));
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == SHARED || WEXITSTATUS(status) == TAKEN_OVER);
    taken_over += WEXITSTATUS(status) == TAKEN_OVER;
  }
  printf("%d of %d taken over\n", taken_over, STARTS);
}
