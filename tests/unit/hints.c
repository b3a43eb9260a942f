/* Thread hints: which slot, and which items have a cache line of their own. */
#include "core/hints.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/format.h"
#include "os/os.h"
#include "test.h"

static nbuf_hints hints;

TEST(a_thread_keeps_its_slot) {
  nbuf_hint *mine = nbuf_hints_mine(&hints);
  CHECK(mine == nbuf_hints_mine(&hints));
  CHECK(mine == nbuf_hint_of(&hints));
  CHECK(mine >= hints.slots && mine < hints.slots + NBUF_HINT_SLOTS);
}

TEST(a_hint_tells_usual_items_from_those_of_the_rust_layout_and_from_none) {
  nbuf_hint *mine = nbuf_hints_mine(&hints);
  nbuf_hint_set(&hints, mine, 0x1234, 5, UINT32_MAX);
  CHECK_EQUAL(0x1234, nbuf_hint_item(mine));
  CHECK_EQUAL(0x1234 + NBUF_HINT_USUAL, nbuf_hint_tagged_item(mine));
  CHECK_EQUAL(UINT64_C(0xFFFFFFFF00000005), nbuf_hint_order_and_generation(mine));
  nbuf_hint_set(&hints, mine, 0x1234 + NBUF_ITEM_REF_RUST, 5, 1);
  CHECK_EQUAL(0x1234 + NBUF_ITEM_REF_RUST, nbuf_hint_item(mine));
  CHECK_EQUAL(0x1234 + NBUF_ITEM_REF_RUST, nbuf_hint_tagged_item(mine));
  nbuf_hint_set(&hints, mine, 0, 0, 0);
  CHECK_EQUAL(0, nbuf_hint_item(mine));
  CHECK_EQUAL(0, nbuf_hint_tagged_item(mine));
}

enum { THREADS = 32 };

static int count_different(nbuf_hint *const seen[THREADS]) {
  int different = 0;
  for (int i = 0; i < THREADS; i++) {
    bool is_new = true;
    for (int k = 0; k < i; k++) {
      is_new = is_new && seen[k] != seen[i];
    }
    different += is_new;
  }
  return different;
}

TEST(threads_whose_stacks_follow_each_other_have_slots_of_their_own) {
  static const uint32_t stacks[] = {64,   128,  136,  256,   512,   1024,
                                    2048, 4096, 8192, 10240, 16384, 65536};
  static const uint32_t guards[] = {0, 4, 8, 12, 16, 20, 64, 68, 128};
  for (size_t s = 0; s < sizeof stacks / sizeof stacks[0]; s++) {
    for (size_t g = 0; g < sizeof guards / sizeof guards[0]; g++) {
      uintptr_t apart = (uintptr_t)(stacks[s] + guards[g]) << 10;
      nbuf_hint *seen[THREADS];
      for (uintptr_t i = 0; i < THREADS; i++) {
        seen[i] = &hints.slots[nbuf_hint_slot_of(0x7123740 + i * apart)];
      }
      CHECK_EQUAL(THREADS, count_different(seen));
    }
  }
}

static _Atomic int arrived;

static void *note_slot(void *argument) {
  nbuf_hint **slot = argument;
  *slot = nbuf_hints_mine(&hints);
  atomic_fetch_add(&arrived, 1);
  while (atomic_load(&arrived) < THREADS) { /* all live at once, so all have blocks of their own */
    nbuf_os_pause();
  }
  return NULL;
}

TEST(threads_spread_over_the_slots) {
  pthread_t threads[THREADS];
  nbuf_hint *seen[THREADS];
  for (int i = 0; i < THREADS; i++) {
    CHECK_EQUAL(0, pthread_create(&threads[i], NULL, note_slot, &seen[i]));
  }
  for (int i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
  }
  CHECK(count_different(seen) > THREADS / 2); /* the system may map them anywhere */
}

TEST(an_item_in_another_slot_is_seen_and_the_own_is_not) {
  nbuf_hint *mine = nbuf_hints_mine(&hints);
  nbuf_hint *other = mine == hints.slots ? mine + 1 : mine - 1;
  CHECK(!nbuf_hints_elsewhere(&hints, mine, 0x1234));
  nbuf_hint_set(&hints, mine, 0x1234, 5, 1);
  CHECK(!nbuf_hints_elsewhere(&hints, mine, 0x1234));
  nbuf_hint_set(&hints, other, 0x1234, 5, 1);
  CHECK(nbuf_hints_elsewhere(&hints, mine, 0x1234));
}

/* Alone, or with one that was set before it. */
TEST(whichever_slots_were_ever_set_each_is_looked_at) {
  static nbuf_hints some;
  nbuf_hint *mine = nbuf_hints_mine(&some);
  for (uint32_t first = 0; first < NBUF_HINT_SLOTS; first++) {
    for (uint32_t i = 0; i < NBUF_HINT_SLOTS; i++) {
      some = (nbuf_hints){0};
      nbuf_hint_set(&some, &some.slots[first], 0x4000, 1, 1);
      nbuf_hint_set(&some, &some.slots[i], 0x1234, 5, 1);
      bool is_other = &some.slots[i] != mine;
      CHECK_EQUAL(is_other, nbuf_hints_elsewhere(&some, mine, 0x1234));
      CHECK_EQUAL(is_other, nbuf_hints_crowd(&some, mine, 0x1230));
    }
  }
}

TEST(slots_that_were_never_set_are_not) {
  static nbuf_hints some;
  nbuf_hint *mine = nbuf_hints_mine(&some);
  for (uint32_t i = 0; i < NBUF_HINT_SLOTS; i++) {
    atomic_store(&some.slots[i].item, 0x1234);
  }
  CHECK(!nbuf_hints_elsewhere(&some, mine, 0x1234));
  CHECK(!nbuf_hints_crowd(&some, mine, 0x1230));
}

/* Two threads that start at once end on adjacent items, and must notice. */
TEST(an_item_of_another_slot_in_the_same_lines_is_a_crowd) {
  enum { ITEM = sizeof(uintptr_t) + 12, APART = NBUF_FALSE_SHARING_RANGE };
  nbuf_hint *mine = nbuf_hints_mine(&hints);
  nbuf_hint *other = mine == hints.slots ? mine + 1 : mine - 1;
  uintptr_t item = 64 * (uintptr_t)APART;
  nbuf_hint_set(&hints, mine, item, 5, 1);
  CHECK(!nbuf_hints_crowd(&hints, mine, item));
  nbuf_hint_set(&hints, other, item, 5, 1);
  CHECK(!nbuf_hints_crowd(&hints, mine, item)); /* threads that share an item notice by its lock */
  nbuf_hint_set(&hints, other, item + ITEM + 1, 6, 1); /* tagged */
  CHECK(nbuf_hints_crowd(&hints, mine, item));
  nbuf_hint_set(&hints, other, item - 4, 4, 1); /* its end is in our lines */
  CHECK(nbuf_hints_crowd(&hints, mine, item));
  nbuf_hint_set(&hints, other, item + APART, 7, 1);
  CHECK(!nbuf_hints_crowd(&hints, mine, item));
  nbuf_hint_set(&hints, other, item - ITEM, 4, 1);
  CHECK(!nbuf_hints_crowd(&hints, mine, item));
}

/* Whether they have bytes in the same lines, or in two lines that are fetched as a pair. */
static bool shares_pair(uintptr_t a, uintptr_t a_size, uintptr_t b, uintptr_t b_size) {
  return a / NBUF_FALSE_SHARING_RANGE <= (b + b_size - 1) / NBUF_FALSE_SHARING_RANGE &&
         b / NBUF_FALSE_SHARING_RANGE <= (a + a_size - 1) / NBUF_FALSE_SHARING_RANGE;
}

TEST(lines_of_64_bytes_are_fetched_in_pairs) {
  CHECK(NBUF_CACHE_LINE == 64 || NBUF_CACHE_LINE == 128 || NBUF_CACHE_LINE == 256);
  CHECK_EQUAL(NBUF_CACHE_LINE == 256 ? 256 : 128, NBUF_FALSE_SHARING_RANGE);
}

TEST(home_items_share_a_line_neither_with_the_header_nor_with_each_other) {
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  for (uint32_t i = 0; i < layout->capacity; i++) {
    if (!nbuf_is_unshared_slot(i)) {
      continue;
    }
    uintptr_t item = nbuf_item_at(0, layout, i);
    CHECK(!shares_pair(0, layout->header_size, item, layout->item_size));
    for (uint32_t k = 0; k < i; k++) {
      CHECK(!nbuf_is_unshared_slot(k) ||
            !shares_pair(nbuf_item_at(0, layout, k), layout->item_size, item, layout->item_size));
    }
  }
}

TEST(the_first_of_them_is_the_first_item_behind_the_headers_lines) {
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  uint32_t first = 0;
  while (!nbuf_is_unshared_slot(first)) {
    first++;
  }
  CHECK_EQUAL(NBUF_UNSHARED_INDEX, first);
  CHECK(nbuf_item_at(0, layout, first) >= NBUF_FALSE_SHARING_RANGE);
  CHECK(nbuf_item_at(0, layout, first - 1) < NBUF_FALSE_SHARING_RANGE);
}

/* In 64 bits and lines of 64 bytes those are the slots 6, 14, 22 and so on. */
TEST(there_is_one_in_as_many_slots_as_lines_hold_in_32_bits) {
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  uint32_t count = 0;
  for (uint32_t i = 0; i < layout->capacity; i++) {
    count += nbuf_is_unshared_slot(i);
  }
  CHECK_EQUAL((layout->capacity - NBUF_UNSHARED_INDEX + NBUF_FALSE_SHARING_RANGE / 16 - 1) /
                  (NBUF_FALSE_SHARING_RANGE / 16),
              count);
}
