/* One process with the Rust implementation, the published crate. */
#include <string.h>

#include "both.h"
#include "c_interface.h"
#include "machine_code.h"
#include "test.h"
#include "window.h"

enum { ITEMS_OF_A_LOCATOR = sizeof(uintptr_t) == 8 ? 203 : 255 };

/* ---- One after the other --------------------------------------------------------------------- */

TEST(what_the_reference_made_first_is_spoken_and_shared) {
  c_interface reference = reference_load();
  LocatorItem *item = c_interface_get(&reference, WINDOW, WINDOW + WINDOW_SIZE, 100);
  uintptr_t theirs = reference.append(item, (const uint8_t *)"reference", 9);
  reference.unlock(item);

  nearbuf_request request = request_in(WINDOW, WINDOW + WINDOW_SIZE, 7);
  nearbuf_memory ours;
  CHECK_OK(nearbuf_place(&request, "nearbuf", &ours));
  CHECK_EQUAL(theirs + 9, (uintptr_t)ours.run_at);
  CHECK(memcmp((const void *)theirs, "referencenearbuf", 16) == 0);
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, find(theirs).dialect);
  CHECK_EQUAL(both_locator_of(item), totals().first_locator);
  CHECK_EQUAL(16, item->position);
  CHECK_EQUAL(LISTED_FROM_START + 1, totals().buffers);
}

TEST(what_we_made_first_is_found_and_shared_by_the_reference) {
  c_interface reference = reference_load();
  CHECK_OK(nearbuf_choose_dialect(NEARBUF_DIALECT_RUST));
  nearbuf_request request = request_in(WINDOW, WINDOW + WINDOW_SIZE, 7);
  nearbuf_memory ours;
  CHECK_OK(nearbuf_place(&request, "nearbuf", &ours));

  LocatorItem *item = c_interface_get(&reference, WINDOW, WINDOW + WINDOW_SIZE, 100);
  CHECK_EQUAL(totals().first_locator, both_locator_of(item));
  uintptr_t theirs = reference.append(item, (const uint8_t *)"reference", 9);
  CHECK_EQUAL((uintptr_t)ours.run_at + 7, theirs);
  CHECK(memcmp(ours.run_at, "nearbufreference", 16) == 0);
  reference.unlock(item);
  CHECK_EQUAL(1, totals().buffers);
}

TEST(a_locator_of_the_reference_without_items_is_used_in_its_dialect) {
  c_interface reference = reference_load();
  /* A request that it cannot fulfil leaves its locator empty. */
  BufferSearchSettings none = {.min_address = WINDOW, .max_address = WINDOW + 1, .size = 100};
  GetBufferResult failed = reference.get_buffer(&none);
  CHECK(!failed.is_ok);
  reference.free_result(failed);
  CHECK_EQUAL(LISTED_FROM_START, totals().buffers);

  nearbuf_request request = request_in(WINDOW, WINDOW + WINDOW_SIZE, 7);
  nearbuf_memory ours;
  CHECK_OK(nearbuf_place(&request, "nearbuf", &ours));
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, find((uintptr_t)ours.run_at).dialect);
  LocatorItem *item = c_interface_get(&reference, WINDOW, WINDOW + WINDOW_SIZE, 100);
  CHECK_EQUAL(7, item->position);
}

/* Its own view of a section on Windows cannot be run. */
TEST(code_that_is_placed_where_it_was_first_can_be_run) {
  c_interface reference = reference_load();
  reference.unlock(c_interface_get(&reference, WINDOW, WINDOW + WINDOW_SIZE, 100));
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = sizeof code_of_answer;
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, code_of_answer, &placed));
  CHECK_EQUAL(ANSWER, run_code_at(placed.run_at));
}

/* ---- Locks ----------------------------------------------------------------------------------- */

TEST(a_lock_of_the_reference_is_seen_by_us) {
  c_interface reference = reference_load();
  LocatorItem *item = c_interface_get(&reference, WINDOW, WINDOW + UNIT, 100);
  CHECK_EQUAL(1, find(WINDOW).is_taken);
  nearbuf_request request = request_in(WINDOW, WINDOW + UNIT - 1, 100);
  nearbuf_buffer buffer;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_get(&request, &buffer));
  reference.unlock(item);
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_EQUAL(WINDOW, nearbuf_buffer_address(&buffer));
}

TEST(a_lock_of_ours_is_seen_by_the_reference) {
  c_interface reference = reference_load();
  CHECK_OK(nearbuf_choose_dialect(NEARBUF_DIALECT_RUST));
  nearbuf_request request = request_in(WINDOW, WINDOW + UNIT - 1, 100);
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  BufferSearchSettings settings = {
      .min_address = WINDOW, .max_address = WINDOW + UNIT, .size = 100};
  GetBufferResult failed = reference.get_buffer(&settings);
  CHECK(!failed.is_ok);
  reference.free_result(failed);
  CHECK_OK(nearbuf_release(&buffer));
  GetBufferResult got = reference.get_buffer(&settings);
  CHECK(got.is_ok);
  CHECK_EQUAL(WINDOW, got.ok->base_address);
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_get(&request, &buffer));
  reference.free_result(got);
}

/* ---- More than one locator ------------------------------------------------------------------- */

enum { HELD_OF_EACH = 400, HELD_OF_BOTH = 800 };

/* Both hold pages until there are several locators of each, then all are released and acquired once
 * more: nothing new must be needed. */
static void hold_many(bool is_reference_first) {
  static LocatorItem *theirs[HELD_OF_EACH];
  static nearbuf_buffer ours[HELD_OF_EACH];
  c_interface reference = reference_load();
  CHECK_OK(nearbuf_choose_dialect(NEARBUF_DIALECT_RUST));
  nearbuf_request request = request_in(WINDOW, WINDOW + WINDOW_SIZE - 1, PAGE);
  for (int round = 0; round < 2; round++) {
    for (int half = 0; half < 2; half++) {
      for (int i = 0; i < HELD_OF_EACH; i++) {
        /* Runs of one and then of the other, so that each fills locators that the other added. */
        if ((i / 250 + half) % 2 == (is_reference_first ? 0 : 1)) {
          theirs[i] = c_interface_get(&reference, WINDOW, WINDOW + WINDOW_SIZE, PAGE);
        } else {
          CHECK_OK(nearbuf_get(&request, &ours[i]));
        }
      }
    }
    nearbuf_totals all = totals();
    CHECK(all.buffers >= HELD_OF_BOTH);
    CHECK(all.locators >= HELD_OF_BOTH / ITEMS_OF_A_LOCATOR);
    CHECK(all.taken >= HELD_OF_BOTH);
    uint64_t buffers = all.buffers;
    for (int i = 0; i < HELD_OF_EACH; i++) {
      uintptr_t base = theirs[i]->base_address;
      CHECK_EQUAL(1, find(base).is_taken);
      CHECK(base != nearbuf_buffer_address(&ours[i]));
      memset((void *)base, 1, PAGE);
      memset((void *)nearbuf_buffer_address(&ours[i]), 2, PAGE);
    }
    for (int i = 0; i < HELD_OF_EACH; i++) {
      CHECK_EQUAL(1, *(const unsigned char *)theirs[i]->base_address);
      CHECK_EQUAL(2, *(const unsigned char *)nearbuf_buffer_address(&ours[i]));
      reference.unlock(theirs[i]);
      CHECK_OK(nearbuf_release(&ours[i]));
    }
    CHECK_EQUAL(0, totals().taken);
    CHECK_EQUAL(buffers, totals().buffers);
    if (round == 1) {
      printf("%u locators, %ju buffers\n", (unsigned)all.locators, (uintmax_t)buffers);
    }
  }
}

TEST(chains_of_locators_of_both_are_followed_by_both_when_it_is_first) {
  hold_many(true);
}

TEST(chains_of_locators_of_both_are_followed_by_both_when_we_are_first) {
  hold_many(false);
}

/* ---- At the same time ------------------------------------------------------------------------ */

TEST(threads_of_both_keep_every_byte_when_it_is_first) {
  c_interface reference = reference_load();
  reference.unlock(c_interface_get(&reference, WINDOW, WINDOW + WINDOW_SIZE, 1));
  both_append(&reference, 1500);
}

TEST(threads_of_both_keep_every_byte_when_we_are_first) {
  c_interface reference = reference_load();
  CHECK_OK(nearbuf_choose_dialect(NEARBUF_DIALECT_RUST));
  nearbuf_request request = request_in(WINDOW, WINDOW + WINDOW_SIZE - 1, 1);
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, "", &placed));
  both_append(&reference, 1500);
}
