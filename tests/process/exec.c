/* exec, reused process ids, and children that share the memory for a while. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/format.h"
#include "support.h"

static void fill_a_locator(void) {
  nearbuf_request request = request_of(1);
  for (int i = 0; i <= NBUF_NATIVE_CAPACITY; i++) {
    nearbuf_buffer buffer;
    CHECK_OK(nearbuf_get(&request, &buffer));
    CHECK_OK(nearbuf_append(&buffer, "x", 1, NULL));
  }
}

PART(after_exec) {
  CHECK_EQUAL(2, count_locator_files()); /* of the image before: a first and a later one */
  CHECK_EQUAL(0, first_locator());
  CHECK_EQUAL(42, call_answer(place_answer(42)));
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(1, totals.buffers);
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, totals.sharing);
  CHECK(exists(locator_path(getpid()).text));
  CHECK_EQUAL(1, count_locator_files()); /* what the previous image left is gone */
}

TEST(after_exec_there_is_a_fresh_locator_and_the_old_files_are_gone) {
  own_tmp();
  fill_a_locator();
  CHECK_EQUAL(2, count_locator_files());
  exec_part("after_exec");
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

TEST(a_program_that_closes_all_descriptors_breaks_nothing) {
  own_tmp();
  (void)place("x", 1);
  syscall(SYS_close_range, 3, ~0u, 0);
  fill_a_locator();
  CHECK_EQUAL(42, call_answer(place_answer(42)));
  copy other = load_copy(1);
  nearbuf_request request = request_of(8);
  nearbuf_memory placed;
  CHECK_OK(other.place(&request, "12345678", &placed));
  CHECK_EQUAL(first_locator(), first_locator_of(&other));
}

PART(spawned) {
  CHECK_EQUAL(4, count_descriptors()); /* 0, 1, 2 and the one that counts */
  CHECK_EQUAL(42, call_answer(place_answer(42)));
}

TEST(a_spawned_program_inherits_no_descriptor) {
  own_tmp();
  syscall(SYS_close_range, 3, ~0u, 0);
  (void)place("x", 1);
  char program[] = "/proc/self/exe";
  char test[] = "spawned";
  char *arguments[] = {program, test, NULL};
  char *environment[] = {NULL};
  pid_t child;
  CHECK_EQUAL(0, posix_spawn(&child, program, NULL, NULL, arguments, environment));
  expect_success(child);
  CHECK_EQUAL(42, call_answer(place_answer(42)));
}

/* ---- Shared memory for a while --------------------------------------------------------------- */

enum { STACK = 1 << 18 };

static int run_with_shared_memory(int (*function)(void *), void *context) {
  char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  /* What vfork does, without its restrictions. */
  pid_t child = clone(function, stack + STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, context);
  CHECK(child > 0);
  return child;
}

static int call_with_other_id(void *context) {
  nearbuf_request request = request_of(6);
  const unsigned char code[] = {0xb8, 43, 0, 0, 0, 0xc3};
  return nearbuf_place(&request, code, context) == NEARBUF_OK ? 0 : 1;
}

TEST(a_call_in_a_child_of_vfork_is_the_parents) {
  own_tmp();
  (void)place("x", 1);
  uintptr_t before = first_locator();
  nearbuf_memory placed;
  expect_success(run_with_shared_memory(call_with_other_id, &placed));
  nearbuf_info info;
  CHECK_OK(nearbuf_find(placed.run_at, &info));
  CHECK_EQUAL(before, first_locator());
  CHECK_EQUAL(1, count_locator_files());
}

TEST(the_first_call_in_a_child_of_vfork_confuses_no_process) {
  own_tmp();
  copy other = load_copy(1);
  nearbuf_memory placed;
  expect_success(run_with_shared_memory(call_with_other_id, &placed));
  nearbuf_info info;
  CHECK_OK(nearbuf_find(placed.run_at, &info));
  nearbuf_request request = request_of(8);
  nearbuf_memory more;
  CHECK_OK(other.place(&request, "12345678", &more));
  CHECK_EQUAL(first_locator(), first_locator_of(&other));
}

TEST(vfork_leaves_the_parent_as_it_was) {
  own_tmp();
  (void)place("x", 1);
  nearbuf_request request = request_of(64);
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  uintptr_t before = first_locator();
  pid_t child = vfork();
  if (child == 0) {
    _exit(0);
  }
  expect_success(child);
  CHECK_OK(nearbuf_append(&buffer, "x", 1, NULL));
  CHECK_OK(nearbuf_release(&buffer));
  CHECK_EQUAL(before, first_locator());
}
