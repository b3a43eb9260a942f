/* The drop-in library beside nearbuf's own functions. The two are separate copies of the core in
 * one process, as they are for their users. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "c_interface.h"
#include "own_tmp.h"
#include "records.h"
#include "test.h"
#include "window.h"

static c_interface load(void) {
  (void)use_own_tmp();
  return dropin_load();
}

static LocatorItem *get(const c_interface *library, uint32_t size) {
  return c_interface_get(library, WINDOW, WINDOW + WINDOW_SIZE, size);
}

static bool can_get(const c_interface *library, uintptr_t min, uintptr_t max, uint32_t size,
                    uint32_t alignment) {
  BufferSearchSettings settings = {.min_address = min, .max_address = max, .size = size};
  GetBufferResult result = library->get_buffer_aligned(&settings, alignment);
  CHECK(result.is_ok == (result.ok != NULL) && result.is_ok == (result.err == NULL));
  library->free_result(result);
  return result.is_ok;
}

/* ---- Which locator, which items -------------------------------------------------------------- */

TEST(its_first_locator_is_a_rust_one_and_nearbuf_shares_it) {
  c_interface dropin = load();
  LocatorItem *item = get(&dropin, 100);
  uintptr_t theirs = dropin.append(item, (const uint8_t *)"drop-in", 7);
  dropin.unlock(item);
  CHECK_EQUAL(theirs + 7, place("nearbuf"));
  CHECK_EQUAL(14, item->position);
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, find(theirs).dialect);
  CHECK_EQUAL(1, totals().buffers);
  CHECK(get(&dropin, 100) == item);
}

TEST(behind_a_written_locator_it_adds_a_rust_one_and_nearbuf_shares_both) {
  c_interface dropin = load();
  uintptr_t ours = place("nearbuf");
  CHECK_EQUAL(NEARBUF_DIALECT_WRITTEN, find(ours).dialect);
  LocatorItem *item = get(&dropin, 100);
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, find(item->base_address).dialect);
  CHECK_EQUAL(2, totals().locators);
  dropin.unlock(item);
  nearbuf_request request =
      request_in(item->base_address, item->base_address + item->size - 1, 100);
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_EQUAL(1, item->is_taken);
  CHECK_OK(nearbuf_release(&buffer));
  request.size_bytes = 5;
  nearbuf_memory again;
  CHECK_OK(nearbuf_place(&request, "again", &again));
  CHECK_EQUAL(item->base_address, (uintptr_t)again.run_at);
  CHECK_EQUAL(5, item->position);
}

TEST(it_never_hands_out_an_item_of_another_dialect) {
  c_interface dropin = load();
  nearbuf_request request = request_in(WINDOW, WINDOW + PAGE - 1, 1);
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, "", &placed)); /* the whole range is a written item */
  CHECK(!can_get(&dropin, WINDOW, WINDOW + PAGE, 1, 1));
}

TEST(the_environment_can_ask_it_for_the_written_layout_in_the_first_locator) {
  CHECK(setenv("NEARBUF_DIALECT", "written", 1) == 0);
  c_interface dropin = load();
  LocatorItem *item = get(&dropin, 100);
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, find(item->base_address).dialect);
  nearbuf_totals all = totals();
  CHECK_EQUAL(2, all.locators);
  CHECK_EQUAL(1, all.taken);
  /* What the first locator lists is memory for all modules. */
  uintptr_t ours = place("nearbuf");
  CHECK_EQUAL(NEARBUF_DIALECT_WRITTEN, find(ours).dialect);
  CHECK_EQUAL(all.first_locator, find(ours).locator);
}

TEST(the_environment_can_ask_nearbuf_for_the_rust_layout) {
  if (getenv("NEARBUF_DIALECT") == NULL) { /* it is read when the program starts */
    CHECK(setenv("NEARBUF_DIALECT", "rust", 1) == 0);
    execl("/proc/self/exe", "dropin", "the_environment_can_ask_nearbuf_for_the_rust_layout", NULL);
    test_skip("a program cannot start itself again here");
  }
  c_interface dropin = load();
  uintptr_t ours = place("nearbuf");
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, find(ours).dialect);
  CHECK_EQUAL(ours, get(&dropin, 100)->base_address);
}

TEST(an_item_ends_inside_the_range_since_all_of_its_room_is_used) {
  c_interface dropin = load();
  LocatorItem *item = get(&dropin, 100);
  uintptr_t start = item->base_address;
  uintptr_t end = start + item->size;
  dropin.unlock(item);
  CHECK(!can_get(&dropin, start, end - 1, 100, 1));
  CHECK(can_get(&dropin, start, end, 100, 1));
  /* nearbuf's own functions respect the range themselves. */
  nearbuf_request request = request_in(start, end - 2, 100);
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_EQUAL(item->size - 1, nearbuf_buffer_room(&buffer));
}

/* ---- Requests -------------------------------------------------------------------------------- */

TEST(any_power_of_two_is_an_alignment) {
  c_interface dropin = load();
  for (uint32_t alignment = 1; alignment <= 1u << 20; alignment *= 2) {
    BufferSearchSettings settings = {
        .min_address = WINDOW, .max_address = WINDOW + WINDOW_SIZE, .size = 100};
    GetBufferResult result = dropin.get_buffer_aligned(&settings, alignment);
    CHECK(result.is_ok);
    uintptr_t next = dropin.append(result.ok, (const uint8_t *)"x", 1);
    CHECK_EQUAL(0, next % alignment);
    CHECK(dropin.bytes_left(result.ok) >= 99);
    dropin.free_result(result);
  }
}

TEST(requests_that_cannot_work_are_refused) {
  c_interface dropin = load();
  CHECK(!can_get(&dropin, WINDOW, WINDOW + WINDOW_SIZE, 0, 1));
  CHECK(!can_get(&dropin, WINDOW, WINDOW + WINDOW_SIZE, UINT32_MAX, 1));
  CHECK(!can_get(&dropin, 0, UINTPTR_MAX, UINT32_MAX, 1));
  CHECK(!can_get(&dropin, WINDOW, WINDOW, 1, 1));
  CHECK(!can_get(&dropin, WINDOW + 1, WINDOW, 1, 1));
  CHECK(!can_get(&dropin, WINDOW, WINDOW + 99, 100, 1));
  CHECK(!can_get(&dropin, WINDOW, WINDOW + WINDOW_SIZE, 100, 48));
  CHECK(!can_get(&dropin, 0, 0x10000, 100, 1)); /* null pointers must still fault */
  CHECK_EQUAL(NEARBUF_SHARING_NONE, totals().sharing);
}

TEST(a_size_that_32_bits_cannot_hold_is_refused_and_not_cut) {
  c_interface dropin = load();
  size_t size = (size_t)UINT32_MAX + 1;
  BufferSearchSettings search = dropin.search_settings(UINTPTR_MAX, 0, size);
  GetBufferResult got = dropin.get_buffer(&search);
  CHECK(!got.is_ok && got.ok == NULL && got.err != NULL);
  BufferAllocatorSettings settings = dropin.allocator_settings(UINTPTR_MAX, 0, size);
  AllocationResult allocated = dropin.allocate(&settings);
  CHECK(!allocated.is_ok && allocated.ok.base_address == NULL && allocated.err != NULL);
}

TEST(null_pointers_are_errors_or_ignored) {
  c_interface dropin = load();
  GetBufferResult result = dropin.get_buffer(NULL);
  CHECK(!result.is_ok && result.ok == NULL && result.err != NULL);
  dropin.free_result(result);
  dropin.unlock(NULL);
  CHECK(!dropin.try_lock(NULL));
  CHECK(!dropin.is_taken(NULL));
  CHECK_EQUAL(0, dropin.bytes_left(NULL));
  CHECK_EQUAL(0, dropin.append(NULL, (const uint8_t *)"x", 1));
  LocatorItem *item = get(&dropin, 100);
  CHECK_EQUAL(0, dropin.append(item, NULL, 1));
  CHECK_EQUAL(0, item->position);
}

/* ---- Many, and at the same time -------------------------------------------------------------- */

TEST(what_was_given_back_is_found_again_before_anything_is_added) {
  enum { HELD = 1000 };
  static LocatorItem *held[HELD];
  c_interface dropin = load();
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < HELD; i++) {
      held[i] = get(&dropin, PAGE);
    }
    uint64_t buffers = totals().buffers;
    for (int i = 0; i < HELD; i++) {
      dropin.unlock(held[i]);
    }
    CHECK_EQUAL(0, totals().taken);
    held[0] = get(&dropin, PAGE);
    dropin.unlock(held[0]);
    CHECK_EQUAL(buffers, totals().buffers);
    CHECK(buffers < HELD + 10);
  }
}

static c_interface raced;

static void append_with_dropin(records *list) {
  unsigned char bytes[LONGEST_RECORD];
  while (records_go_on(list)) {
    record next = records_next(list, bytes);
    LocatorItem *item = get(&raced, next.length);
    next.address = raced.append(item, bytes, next.length);
    CHECK(next.address != 0); /* there is as much room as was requested */
    records_keep(list, &next);
    raced.unlock(item);
  }
}

static void race(void) {
  records_race(append_with_dropin, records_append_with_nearbuf, 1000, NULL);
  CHECK_EQUAL(0, totals().taken);
}

TEST(threads_of_both_keep_every_byte_in_a_rust_locator) {
  raced = load();
  raced.unlock(get(&raced, 1));
  race();
}

TEST(threads_of_both_keep_every_byte_behind_a_written_locator) {
  raced = load();
  (void)place("nearbuf");
  race();
}

TEST(threads_of_both_keep_every_byte_when_both_start_at_once) {
  raced = load();
  race();
}

/* ---- fork ------------------------------------------------------------------------------------ */

TEST(a_child_gets_buffers_of_its_own_and_leaves_the_parents_alone) {
  c_interface dropin = load();
  LocatorItem *held = get(&dropin, 100);
  uintptr_t base = held->base_address;
  pid_t child = fork();
  if (child == 0) {
    dropin.unlock(held); /* of the parent: meaningless here */
    LocatorItem *own = get(&dropin, 100);
    CHECK(own->base_address != base);
    CHECK(dropin.append(own, (const uint8_t *)"child", 5) == own->base_address);
    dropin.unlock(own);
    _exit(0);
  }
  int status;
  CHECK_EQUAL(child, waitpid(child, &status, 0));
  CHECK_EQUAL(0, status);
  CHECK_EQUAL(1, held->is_taken);
  CHECK_EQUAL(0, held->position);
  CHECK_EQUAL(1, totals().buffers);
}
