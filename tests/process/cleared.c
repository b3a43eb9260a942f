/* Another implementation that was starting when our first locator was published uses that page as
 * its own new locator: it clears the header through a second mapping, store by store and at any
 * time, and lists buffers from the first slot on (src/core/header.h). The test does this by hand,
 * so that it runs with every width and byte order; tests/interop does it with the steps of the
 * implementations themselves. */
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/format.h"
#include "base/shared.h"
#include "core/header.h"
#include "core/registry.h"
#include "os/pages.h"
#include "support.h"
#include "threads.h"

enum { PAGE = 4096, BIG = 40000, THEIRS = 8 };

/* ---- The other implementation ---------------------------------------------------------------- */

typedef struct implementation {
  const nbuf_layout *layout;
  uint32_t count_at; /* the only count that it knows */
  uintptr_t page;
  uintptr_t buffers[2 * NBUF_NATIVE_CAPACITY];
  uint32_t listed;
} implementation;

/* It opens the file that it did not find before. */
static void attach(implementation *peer, nearbuf_dialect dialect) {
  int file = open(locator_path(getpid()).text, O_RDWR | O_CLOEXEC);
  CHECK(file >= 0);
  void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(page != MAP_FAILED);
  close(file);
  *peer = (implementation){.layout = nbuf_native_layout(dialect), .page = (uintptr_t)page};
  peer->count_at =
      dialect == NEARBUF_DIALECT_RUST ? peer->layout->count : peer->layout->count_dotnet;
}

enum { STORES = 5 };

static void store(const implementation *peer, int which) {
  switch (which) {
  case 0:
    nbuf_shared_address_store_release(peer->page, sizeof(uintptr_t), peer->page);
    break;
  case 1:
    nbuf_shared_address_store_release(peer->page + peer->layout->next, sizeof(uintptr_t), 0);
    break;
  case 2:
    nbuf_shared_store_relaxed(peer->page + peer->layout->locked, 0);
    break;
  case 3:
    nbuf_shared_count_release(peer->page + peer->layout->flags, 0);
    break;
  default:
    nbuf_shared_count_release(peer->page + peer->count_at, 0);
    break;
  }
}

static void store_all(const implementation *peer) {
  for (int i = 0; i < STORES; i++) {
    store(peer, i);
  }
}

static uint32_t count_of(const implementation *peer) {
  return nbuf_shared_count_acquire(peer->page + peer->count_at);
}

static uintptr_t slot_of(const implementation *peer, uint32_t index) {
  return nbuf_item_at(peer->page, peer->layout, index);
}

/* Lists a buffer that it holds, in the next slot. False: it continues in a locator of its own. */
static bool list(implementation *peer) {
  uintptr_t lock = peer->page + peer->layout->locked;
  void *buffer =
      mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(buffer != MAP_FAILED);
  while (!nbuf_shared_lock_acquire(lock)) {
    usleep(1);
  }
  uint32_t index = count_of(peer);
  bool has_room = index < peer->layout->capacity;
  if (has_room) {
    nbuf_item item = {.base = (uintptr_t)buffer, .size = PAGE, .position = 7, .taken = 1};
    nbuf_item_write(slot_of(peer, index), peer->layout, &item);
    nbuf_shared_count_release(peer->page + peer->count_at, index + 1);
    peer->buffers[peer->listed++] = (uintptr_t)buffer;
  }
  nbuf_shared_unlock_release(lock);
  return has_room;
}

/* Every buffer that it listed is held, with the position unchanged. */
static void check_theirs(const implementation *peer) {
  for (uint32_t i = 0; i < peer->listed; i++) {
    bool is_found = false;
    for (uint32_t k = 0; k < peer->layout->capacity; k++) {
      nbuf_item item = nbuf_item_read(slot_of(peer, k), peer->layout);
      bool is_it = item.base == peer->buffers[i];
      is_found = is_found || is_it;
      CHECK(!is_it || (item.size == PAGE && item.position == 7 && item.taken == 1));
    }
    CHECK(is_found);
  }
}

/* ---- Our side -------------------------------------------------------------------------------- */

typedef struct holding {
  nearbuf_buffer buffers[600];
  uint32_t count;
} holding;

static copy this_copy(void) {
  return (copy){.get = nearbuf_get,
                .append = nearbuf_append,
                .release = nearbuf_release,
                .place = nearbuf_place,
                .find = nearbuf_find,
                .get_totals = nearbuf_get_totals};
}

static void hold(const copy *library, holding *mine, uint32_t count, size_t size) {
  nearbuf_request request = request_of(size);
  for (uint32_t i = 0; i < count; i++) {
    nearbuf_buffer *buffer = &mine->buffers[mine->count++];
    CHECK_OK(library->get(&request, buffer));
    CHECK_OK(library->append(buffer, "nearbuf", 7, NULL));
  }
}

static void append(const copy *library, holding *mine) {
  for (uint32_t i = 0; i < mine->count; i++) {
    CHECK_OK(library->append(&mine->buffers[i], "more", 4, NULL));
  }
}

/* Every buffer is listed, held, and used up to the position that its holder stored. */
static void check_held(const copy *library, const holding *mine) {
  for (uint32_t i = 0; i < mine->count; i++) {
    nearbuf_info info;
    CHECK_OK(library->find((const void *)mine->buffers[i].address, &info));
    CHECK_EQUAL(mine->buffers[i].address, info.address);
    CHECK_EQUAL(1, info.is_taken);
    CHECK_EQUAL(mine->buffers[i].start, info.used_bytes);
  }
}

static nearbuf_totals totals_of(const copy *library) {
  nearbuf_totals totals;
  CHECK_OK(library->get_totals(&totals));
  return totals;
}

static void check_header(const implementation *peer, uintptr_t first, nearbuf_dialect ours) {
  const nbuf_layout *layout = nbuf_native_layout(ours);
  CHECK_EQUAL(NBUF_FAULT_NONE, nbuf_format_check(first, layout, first, NULL));
  CHECK_EQUAL(ours, nbuf_format_recognise(first, sizeof(uintptr_t), NEARBUF_DIALECT_UNKNOWN));
  CHECK_EQUAL(nbuf_format_count_by_slots(first, layout, first), nbuf_format_count(first, layout));
  bool is_other = peer->layout->dialect != ours && ours == NEARBUF_DIALECT_RUST;
  CHECK_EQUAL(is_other ? layout->capacity : nbuf_format_count(first, layout), count_of(peer));
}

/* ---- One after the other --------------------------------------------------------------------- */

typedef struct pair {
  nearbuf_dialect ours;
  nearbuf_dialect theirs;
} pair;

static const pair pairs[] = {{NEARBUF_DIALECT_WRITTEN, NEARBUF_DIALECT_DOTNET},
                             {NEARBUF_DIALECT_RUST, NEARBUF_DIALECT_RUST},
                             {NEARBUF_DIALECT_RUST, NEARBUF_DIALECT_DOTNET}};
enum { PAIRS = sizeof pairs / sizeof pairs[0] };

typedef struct situation {
  const pair *dialects;
  int stores; /* this many are done when the actor is called */
} situation;

static void clear_around_a_call(void *context) {
  static implementation peer;
  static holding mine;
  const situation *at = context;
  copy us = this_copy();
  CHECK_OK(nearbuf_choose_dialect(at->dialects->ours));
  hold(&us, &mine, 3, BIG);
  uintptr_t first = first_locator();
  attach(&peer, at->dialects->theirs);
  CHECK(peer.page != first);
  for (int i = 0; i < at->stores; i++) {
    store(&peer, i);
  }
  append(&us, &mine);
  hold(&us, &mine, 1, BIG);
  CHECK_EQUAL(4, totals_of(&us).buffers);
  check_held(&us, &mine);
  for (int i = at->stores; i < STORES; i++) {
    store(&peer, i);
  }
  for (int i = 0; i < THEIRS; i++) {
    (void)list(&peer);
  }
  append(&us, &mine);
  hold(&us, &mine, 1, BIG);
  CHECK_EQUAL(5 + peer.listed, totals_of(&us).buffers);
  CHECK_EQUAL(5 + peer.listed, totals_of(&us).taken);
  CHECK_EQUAL(first, first_locator());
  check_held(&us, &mine);
  check_theirs(&peer);
  check_header(&peer, first, at->dialects->ours);
  for (uint32_t i = 0; i < mine.count; i++) {
    CHECK_OK(nearbuf_release(&mine.buffers[i]));
  }
  CHECK_EQUAL(peer.listed, totals_of(&us).taken);
  check_theirs(&peer);
}

TEST(a_header_that_is_cleared_is_in_order_again_whenever_we_are_called) {
  own_tmp();
  for (int i = 0; i < PAIRS; i++) {
    for (int stores = 0; stores <= STORES; stores++) {
      situation at = {&pairs[i], stores};
      in_child(clear_around_a_call, &at);
    }
  }
}

/* ---- Several copies of the library ----------------------------------------------------------- */

typedef struct order {
  const pair *dialects;
  int first_to_call; /* 0: this copy, 1: one that was there before, 2: one that starts now */
} order;

static void clear_among_copies(void *context) {
  static implementation peer;
  static holding held[3];
  const order *at = context;
  copy copies[3] = {this_copy(), load_copy(1)};
  CHECK_OK(nearbuf_choose_dialect(at->dialects->ours));
  hold(&copies[0], &held[0], 2, BIG);
  hold(&copies[1], &held[1], 2, BIG);
  uintptr_t first = first_locator();
  attach(&peer, at->dialects->theirs);
  store_all(&peer);
  for (int i = 0; i < THEIRS; i++) {
    CHECK(list(&peer));
  }
  copies[2] = load_copy(2);
  for (int i = 0; i < 3; i++) {
    int which = (at->first_to_call + i) % 3;
    hold(&copies[which], &held[which], 2, BIG);
    append(&copies[which], &held[which]);
    CHECK_EQUAL(4 + THEIRS + 2 * (i + 1), totals_of(&copies[which]).buffers);
  }
  for (int i = 0; i < 3; i++) {
    CHECK_EQUAL(first, first_locator_of(&copies[i]));
    CHECK_EQUAL(10 + THEIRS, totals_of(&copies[i]).buffers);
    for (int k = 0; k < 3; k++) {
      check_held(&copies[i], &held[k]);
    }
  }
  check_theirs(&peer);
  check_header(&peer, first, at->dialects->ours);
  CHECK_EQUAL(1, count_locator_files());
}

TEST(copies_that_were_there_and_copies_that_come_later_share_a_cleared_locator) {
  own_tmp();
  for (int i = 0; i < PAIRS; i++) {
    for (int first = 0; first < 3; first++) {
      order at = {&pairs[i], first};
      in_child(clear_among_copies, &at);
    }
  }
}

static void use_room(void *context) {
  static implementation peer;
  const pair *dialects = context;
  CHECK_OK(nearbuf_choose_dialect(dialects->ours));
  copy other = load_copy(1);
  unsigned char *placed = place("nearbuf", 7);
  CHECK_EQUAL(1, totals_of(&other).buffers);
  attach(&peer, dialects->theirs);
  store_all(&peer);
  nearbuf_request request = request_of(4);
  nearbuf_memory more;
  CHECK_OK(other.place(&request, "more", &more));
  CHECK_EQUAL((uintptr_t)placed + 16, (uintptr_t)more.run_at); /* aligned */
}

TEST(the_room_in_a_cleared_locator_is_used_before_a_buffer_is_added) {
  own_tmp();
  for (int i = 0; i < PAIRS; i++) {
    pair dialects = pairs[i];
    in_child(use_room, &dialects);
  }
}

static void clear_a_chain(void *context) {
  enum { HELD = 2 * NBUF_NATIVE_CAPACITY };
  static implementation peer;
  static holding mine;
  const order *at = context;
  copy copies[3] = {this_copy(), load_copy(1)};
  CHECK_OK(nearbuf_choose_dialect(at->dialects->ours));
  (void)place("x", 1);
  CHECK_EQUAL(1, totals_of(&copies[1]).locators); /* it knows the first one, and no other */
  hold(&copies[0], &mine, HELD, PAGE);
  nearbuf_totals before = totals_of(&copies[0]);
  CHECK(before.locators > 1);
  attach(&peer, at->dialects->theirs);
  store_all(&peer);
  if (at->first_to_call == 2) {
    copies[2] = load_copy(2);
  }
  const copy *caller = &copies[at->first_to_call];
  CHECK_EQUAL(before.buffers, totals_of(caller).buffers);
  CHECK_EQUAL(before.locators, totals_of(caller).locators);
  check_held(caller, &mine);
  check_held(&copies[0], &mine);
}

TEST(any_copy_finds_the_chain_behind_a_header_that_was_cleared) {
  own_tmp();
  for (int i = 0; i < PAIRS; i++) {
    for (int first = 0; first < 3; first++) {
      order at = {&pairs[i], first};
      in_child(clear_a_chain, &at);
    }
  }
}

/* ---- At the same time ------------------------------------------------------------------------ */

enum { THREADS = 3, HELD_OF_EACH = 12, STORMS = 60 };

static atomic_int waiting;
static implementation stormed;

typedef struct stormer {
  copy library;
  holding mine;
} stormer;

static void wait_for_the_others(void) {
  atomic_fetch_add(&waiting, 1);
  while (atomic_load(&waiting) < THREADS + 1) {
  }
}

static void hold_in_a_storm(void *context) {
  stormer *one = context;
  wait_for_the_others();
  hold(&one->library, &one->mine, HELD_OF_EACH, BIG);
}

static void clear_in_a_storm(void *context) {
  int delay = *(const int *)context;
  wait_for_the_others();
  for (volatile int i = 0; i < delay; i++) {
  }
  store_all(&stormed);
  for (int i = 0; i < THEIRS; i++) {
    (void)list(&stormed);
  }
}

static void storm(void *context) {
  static stormer all[THREADS];
  int number = *(const int *)context;
  const pair *dialects = &pairs[number % PAIRS];
  int delay = number * number * 37 % 200000; /* of loop rounds */
  CHECK_OK(nearbuf_choose_dialect(dialects->ours));
  (void)place("x", 1);
  for (int i = 0; i < THREADS; i++) {
    all[i].library = i < 2 ? this_copy() : load_copy(1);
    CHECK(totals_of(&all[i].library).buffers > 0);
  }
  attach(&stormed, dialects->theirs);
  test_thread threads[THREADS + 1];
  for (int i = 0; i < THREADS; i++) {
    threads[i] = test_thread_start(hold_in_a_storm, &all[i]);
  }
  threads[THREADS] = test_thread_start(clear_in_a_storm, &delay);
  for (int i = 0; i <= THREADS; i++) {
    test_thread_join(threads[i]);
  }
  copy later = load_copy(2);
  for (int i = 0; i < THREADS; i++) {
    for (int k = 0; k < THREADS; k++) {
      check_held(&all[i].library, &all[k].mine);
    }
    check_held(&later, &all[i].mine);
  }
  CHECK_EQUAL(THREADS * HELD_OF_EACH + stormed.listed, totals_of(&later).taken);
  check_theirs(&stormed);
  check_header(&stormed, first_locator(), dialects->ours);
}

TEST(nothing_is_lost_when_it_is_cleared_while_threads_of_two_copies_list_buffers) {
  own_tmp();
  for (int i = 0; i < STORMS; i++) {
    in_child(storm, &i);
  }
}

/* A thread that lost the header's lock to another implementation may be between acquiring a slot
 * and filling it. */
TEST(a_slot_that_another_thread_has_taken_is_left_to_it) {
  own_tmp();
  (void)place("x", 1);
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  uint32_t next = nbuf_format_count(first_locator(), layout);
  uintptr_t slot = nbuf_item_at(first_locator(), layout, next);
  CHECK(nbuf_shared_lock_acquire(slot + layout->taken));
  nearbuf_request request = request_of(65536);
  nearbuf_buffer buffer;
  nearbuf_info info;
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_OK(nearbuf_find((const void *)buffer.address, &info));
  CHECK_EQUAL(next + 1, info.index);
  copy later = load_copy(1);
  CHECK_EQUAL(2, totals_of(&later).buffers);
}

/* The lock that a holder lost can be the other implementation's by the time it is released. */
TEST(a_lock_that_a_reference_took_after_it_had_cleared_it_is_not_opened) {
  static implementation peer;
  own_tmp();
  (void)place("x", 1);
  attach(&peer, NEARBUF_DIALECT_DOTNET);
  uintptr_t lock = peer.page + peer.layout->locked;
  nbuf_locator *first = nbuf_locators_entry(0);
  CHECK(nbuf_header_lock(first));
  store_all(&peer);
  CHECK(nbuf_shared_lock_acquire(lock));
  nbuf_header_unlock(first);
  CHECK_EQUAL(1, nbuf_shared_load_acquire(lock));
  nbuf_shared_unlock_release(lock);
  CHECK(nbuf_header_lock(first));
  nbuf_header_unlock(first);
  CHECK_EQUAL(0, nbuf_shared_load_acquire(lock));
}

/* ---- More than there are empty slots --------------------------------------------------------- */

/* Before this copy is called again, it lists more: what is held remains its holder's, and items
 * that took its slot are left alone. */
TEST(a_handle_whose_slot_was_taken_still_holds_its_memory_and_nothing_else) {
  static implementation peer;
  static holding mine;
  own_tmp();
  copy us = this_copy();
  hold(&us, &mine, 1, BIG);
  nearbuf_buffer *held = &mine.buffers[0];
  attach(&peer, NEARBUF_DIALECT_DOTNET);
  store_all(&peer);
  for (uint32_t i = 0; i < NBUF_FIRST_SLOT + 2; i++) {
    CHECK(list(&peer));
  }
  CHECK_EQUAL(
      peer.buffers[NBUF_FIRST_SLOT],
      nbuf_item_read(nbuf_item_ref_address(held->item), nbuf_native_layout(NEARBUF_DIALECT_WRITTEN))
          .base);
  append(&us, &mine);
  CHECK(memcmp((const void *)held->address, "nearbufmore", 11) == 0);
  CHECK_EQUAL(held->limit, nearbuf_buffer_size(held));
  CHECK_OK(nearbuf_release(held));
  check_theirs(&peer);
  CHECK_EQUAL(peer.listed, totals_of(&us).taken);
  hold(&us, &mine, 1, BIG);
  CHECK_EQUAL(peer.listed + 1, totals_of(&us).taken);
  check_theirs(&peer);
}

/* ---- Before it clears ------------------------------------------------------------------------ */

static int make_blank(bool is_sized) {
  make_locator_directory();
  int file = open(locator_path(getpid()).text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  CHECK(file >= 0);
  CHECK_EQUAL(0, ftruncate(file, is_sized ? PAGE : 0));
  return file;
}

static void expect_busy(void) {
  nearbuf_request request = request_of(7);
  nearbuf_memory placed;
  nearbuf_totals totals;
  struct stat status;
  do { /* until it is older than a new file can be */
    CHECK_STATUS(NEARBUF_BUSY, nearbuf_place(&request, "nearbuf", &placed));
    CHECK_OK(nearbuf_get_totals(&totals));
    CHECK_EQUAL(0, totals.locators);
    CHECK_EQUAL(1, count_locator_files());
    CHECK_EQUAL(0, stat(locator_path(getpid()).text, &status));
  } while (time(NULL) <= status.st_ctime + 2);
}

TEST(a_file_of_ours_that_is_open_here_and_blank_is_waited_for_and_not_replaced) {
  own_tmp();
  int file = make_blank(false);
  expect_busy();
  close(file); /* no process creates it any more */
  (void)place("nearbuf", 7);
  CHECK_EQUAL(1, count_locator_files());
}

TEST(a_file_of_ours_that_is_mapped_here_and_blank_is_waited_for_and_not_replaced) {
  own_tmp();
  int file = make_blank(true);
  void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(page != MAP_FAILED);
  close(file);
  expect_busy();
  nbuf_format_build((uintptr_t)page, nbuf_native_layout(NEARBUF_DIALECT_WRITTEN), (uintptr_t)page,
                    NULL, 0);
  (void)place("nearbuf", 7);
  CHECK_EQUAL((uintptr_t)page, first_locator());
}
