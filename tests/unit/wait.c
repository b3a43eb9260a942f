/* Waiting for a bound, with an invented clock. wait.c itself is compiled here, with other names for
 * what it calls of the port. */
#define nbuf_os_nanoseconds invented_nanoseconds
#define nbuf_os_pause_again invented_pause_again
#include "os/wait.c" /* NOLINT(bugprone-suspicious-include) */

#include "test.h"

#define MS UINT64_C(1000000)

static uint64_t now = 123 * MS;
static uint64_t pause_ns = MS;
static uint32_t pauses;
static uint32_t clock_reads;

/* A lock word that is released during this pause, or when the clock is read so often; 0: never. */
static _Alignas(8) _Atomic uint32_t word;
static uint32_t released_in_pause;
static uint32_t released_at_read;

uint64_t nbuf_os_nanoseconds(void) {
  if (++clock_reads == released_at_read) {
    nbuf_shared_unlock_release((uintptr_t)&word);
  }
  return now;
}

void nbuf_os_pause_again(uint32_t times) {
  CHECK_EQUAL(pauses, times); /* they may become longer */
  now += pause_ns;
  if (++pauses == released_in_pause) {
    nbuf_shared_unlock_release((uintptr_t)&word);
  }
}

/* Waits for nothing, and returns for how long. */
static uint64_t wait_in_vain(void) {
  uint64_t start = now;
  nbuf_wait wait = nbuf_wait_start();
  pauses = 0;
  while (nbuf_wait_on(&wait)) {
  }
  return now - start;
}

TEST(a_wait_lasts_until_half_a_second_is_over) {
  nbuf_wait wait = nbuf_wait_start();
  now += 500 * MS;
  CHECK(nbuf_wait_on(&wait));
  now = wait.start + 500 * MS + 1;
  CHECK(!nbuf_wait_on(&wait));
  CHECK_EQUAL(1, pauses);
}

TEST(after_a_wait_in_vain_others_are_short_for_a_second) {
  CHECK_EQUAL(501 * MS, wait_in_vain());
  uint64_t end = now;
  CHECK_EQUAL(32 * MS, wait_in_vain()); /* a sixteenth */
  now = end + 1000 * MS;
  CHECK_EQUAL(32 * MS, wait_in_vain()); /* though others were in vain meanwhile */
  now = end + 1100 * MS;
  CHECK_EQUAL(501 * MS, wait_in_vain());
}

TEST(after_a_wait_that_was_not_in_vain_they_are_not) {
  nbuf_wait wait = nbuf_wait_start();
  now += 499 * MS;
  CHECK(nbuf_wait_on(&wait));
  CHECK_EQUAL(NBUF_WAIT_BOUND_NS, nbuf_wait_start().bound_ns);
}

static bool take_lock(_Atomic bool *is_given_up) {
  pauses = 0;
  return nbuf_wait_for_lock((uintptr_t)&word, is_given_up);
}

TEST(a_free_lock_is_taken_without_a_look_at_the_clock) {
  _Atomic bool is_given_up = true;
  CHECK(take_lock(&is_given_up));
  CHECK(nbuf_shared_load_relaxed((uintptr_t)&word) == 1);
  CHECK(clock_reads == 0 && pauses == 0);
}

TEST(a_lock_that_is_released_in_time_is_taken) {
  _Atomic bool is_given_up = false;
  CHECK(take_lock(&is_given_up));
  released_in_pause = 3;
  CHECK(take_lock(&is_given_up));
  CHECK_EQUAL(3, pauses);
  CHECK(!is_given_up);
  CHECK(take_lock(NULL));
}

TEST(a_lock_that_is_held_past_the_bound_is_given_up_and_not_waited_for_again) {
  _Atomic bool is_given_up = false;
  CHECK(take_lock(NULL));
  CHECK(!take_lock(&is_given_up));
  CHECK(is_given_up);
  CHECK_EQUAL(501, pauses);
  CHECK(!take_lock(&is_given_up));
  CHECK_EQUAL(0, pauses);
  CHECK(!take_lock(NULL));
  CHECK(pauses > 0);
}

/* A thread that is stopped itself between two looks must not give up a lock that is free. */
TEST(after_the_bound_the_lock_is_tried_once_more) {
  _Atomic bool is_given_up = false;
  CHECK(take_lock(&is_given_up));
  pause_ns = 501 * MS;
  released_at_read = 3; /* at the start, before the pause, and behind it */
  CHECK(take_lock(&is_given_up));
  CHECK_EQUAL(3, clock_reads);
  CHECK(!is_given_up);
}
