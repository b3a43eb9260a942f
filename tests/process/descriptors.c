/* A process whose standard input is closed: descriptor 0 is used like any other, and is closed
 * again. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static bool is_closed(int descriptor) {
  return fcntl(descriptor, F_GETFD) < 0;
}

static void place_and_wait(void *context) {
  (void)context;
  (void)place("x", 1);
}

/* The file of a dead process. */
static path leave_a_file(void) {
  pid_t child = start_child(place_and_wait, NULL);
  expect_success(child);
  return locator_path(child);
}

static void place_with(const copy *library) {
  nearbuf_request request = request_of(8);
  nearbuf_memory placed;
  CHECK_OK(library->place(&request, "12345678", &placed));
}

TEST(the_first_call_with_the_standard_input_closed_makes_a_locator_with_a_name) {
  own_tmp();
  path dead = leave_a_file();
  close(0);
  CHECK_EQUAL(42, call_answer(place_answer(42)));
  CHECK(is_closed(0));
  CHECK(exists(locator_path(getpid()).text));
  CHECK(!exists(dead.text));
}

TEST(a_later_copy_finds_the_locator_with_the_standard_input_closed) {
  own_tmp();
  (void)place("x", 1);
  copy second = load_copy(1);
  copy third = load_copy(2);
  close(0);
  place_with(&second);
  CHECK_EQUAL(first_locator(), first_locator_of(&second));
  CHECK(unlink(locator_path(getpid()).text) == 0);
  place_with(&third);
  CHECK_EQUAL(first_locator(), first_locator_of(&third));
  CHECK(is_closed(0));
}

TEST(the_chain_grows_with_the_standard_input_closed) {
  enum { BUFFERS = 500 };
  static nearbuf_buffer buffers[BUFFERS];
  own_tmp();
  close(0);
  nearbuf_request request = request_of(8);
  for (int i = 0; i < BUFFERS; i++) {
    CHECK_OK(nearbuf_get(&request, &buffers[i]));
  }
  CHECK(count_locator_files() > 1);
  CHECK(is_closed(0));
  for (int i = 0; i < BUFFERS; i++) {
    CHECK_OK(nearbuf_release(&buffers[i]));
  }
}
