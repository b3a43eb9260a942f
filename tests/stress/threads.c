/* Threads that get, append and release; every byte is verified afterwards.
 *
 * By default the test is bounded for daily use; NEARBUF_TEST_ROUNDS=1000000 is the full one. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "request.h"
#include "test.h"

enum { THREADS = 8, EVERYDAY_ROUNDS = 200000, MOST_SIZE = 48 };

/* What was handed out, for comparison with all other pieces. */
typedef struct piece {
  unsigned char *start;
  uint32_t size;
  uint32_t seed;
} piece;

typedef struct worker {
  int number;
  int rounds;
  piece *pieces;
  nearbuf_request request;
} worker;

static uint32_t next_random(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407); /* Knuth */
  return (uint32_t)(*state >> 32);
}

/* The pattern of a piece: no two pieces are likely to have the same. */
static unsigned char pattern_byte(uint32_t seed, uint32_t index) {
  return (unsigned char)((seed ^ (seed >> 15)) * 0x9E3779B1u >> 24) ^ (unsigned char)(index * 151);
}

static void fill(unsigned char *bytes, uint32_t size, uint32_t seed) {
  for (uint32_t i = 0; i < size; i++) {
    bytes[i] = pattern_byte(seed, i);
  }
}

static void check_pattern(const piece *each) {
  for (uint32_t i = 0; i < each->size; i++) {
    if (each->start[i] != pattern_byte(each->seed, i)) {
      test_fail(__FILE__, __LINE__, "byte %u of the piece at %p changed", i, (void *)each->start);
    }
  }
}

/* One get and release with one to three appends; returns the piece they make together. */
static piece hand_out(const nearbuf_request *request, uint32_t seed) {
  unsigned char bytes[MOST_SIZE];
  uint32_t size = (uint32_t)request->size_bytes;
  fill(bytes, size, seed);
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(request, &buffer));
  CHECK(nearbuf_buffer_room(&buffer) >= size); /* no short buffer */
  uint32_t first = 1 + seed % size;
  void *start;
  CHECK_OK(nearbuf_append(&buffer, bytes, first, &start));
  if (first < size) {
    void *rest;
    CHECK_OK(nearbuf_append(&buffer, bytes + first, size - first, &rest));
    CHECK((unsigned char *)rest == (unsigned char *)start + first);
  }
  CHECK_EQUAL(0, (uintptr_t)start % request->alignment_bytes);
  CHECK_OK(nearbuf_release(&buffer));
  return (piece){start, size, seed};
}

static void *work(void *argument) {
  worker *self = argument;
  uint64_t state = (uint64_t)self->number + 1;
  for (int i = 0; i < self->rounds; i++) {
    uint32_t random = next_random(&state);
    self->request.size_bytes = 1 + random % MOST_SIZE;
    self->request.alignment_bytes = (size_t)1 << (random >> 8) % 5;
    self->pieces[i] = hand_out(&self->request, next_random(&state));
  }
  return NULL;
}

static int by_address(const void *left, const void *right) {
  const piece *a = left;
  const piece *b = right;
  return a->start < b->start ? -1 : a->start > b->start;
}

/* Every piece has its pattern, and no two share a byte. */
static void check_pieces(piece *pieces, size_t count) {
  qsort(pieces, count, sizeof *pieces, by_address);
  for (size_t i = 0; i < count; i++) {
    check_pattern(&pieces[i]);
    CHECK(i == 0 || pieces[i - 1].start + pieces[i - 1].size <= pieces[i].start);
  }
}

static int rounds_asked(void) {
  const char *asked = getenv("NEARBUF_TEST_ROUNDS");
  int rounds = asked != NULL ? atoi(asked) : EVERYDAY_ROUNDS;
  CHECK(rounds > 0);
  return rounds;
}

typedef struct result {
  piece *pieces;
  size_t count;
  uint64_t handed_out; /* bytes */
  nearbuf_totals totals;
} result;

/* Lets all threads work, for that many rounds each, and verifies what they wrote. The pieces belong
 * to the caller. */
static result let_work(void *(*routine)(void *worker), int rounds) {
  static worker workers[THREADS];
  pthread_t threads[THREADS];
  result all = {.count = (size_t)rounds * THREADS};
  all.pieces = calloc(all.count, sizeof *all.pieces);
  CHECK(all.pieces != NULL);
  for (int i = 0; i < THREADS; i++) {
    workers[i] = (worker){i, rounds, all.pieces + (size_t)i * (size_t)rounds, request_near_code(1)};
    CHECK_EQUAL(0, pthread_create(&threads[i], NULL, routine, &workers[i]));
  }
  for (int i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
  }
  check_pieces(all.pieces, all.count);
  for (size_t i = 0; i < all.count; i++) {
    all.handed_out += all.pieces[i].size;
  }
  CHECK_OK(nearbuf_get_totals(&all.totals));
  CHECK_EQUAL(0, all.totals.taken);
  return all;
}

TEST(eight_threads_get_append_and_release_and_every_byte_stays) {
  result all = let_work(work, rounds_asked());
  CHECK(all.totals.used_bytes >= all.handed_out);
  CHECK(all.totals.size_bytes >= all.totals.used_bytes);
  free(all.pieces);
}

/* ---- Everything at once ---------------------------------------------------------------------- */

static ptrdiff_t write_pattern(const nearbuf_memory *room, void *context) {
  const uint32_t *seed = context;
  fill(room->write_to, (uint32_t)room->size_bytes, *seed);
  return *seed % 8 == 0 ? -1 : (ptrdiff_t)room->size_bytes;
}

/* Holds some buffers for a while, cancels some writes, walks, and allocates. */
static void *mix(void *argument) {
  worker *self = argument;
  uint64_t state = (uint64_t)self->number + 100;
  for (int i = 0; i < self->rounds; i++) {
    nearbuf_buffer held;
    self->request.size_bytes = 1 + next_random(&state) % 4096;
    CHECK_OK(nearbuf_get(&self->request, &held));
    self->request.size_bytes = MOST_SIZE;
    uint32_t seed = next_random(&state);
    nearbuf_memory placed;
    nearbuf_status status = nearbuf_place_with(&self->request, write_pattern, &seed, &placed);
    CHECK_STATUS(seed % 8 == 0 ? NEARBUF_CANCELLED : NEARBUF_OK, status);
    self->pieces[i] = (piece){placed.run_at, (uint32_t)placed.size_bytes, seed};
    if (i % 64 == 0) {
      nearbuf_memory memory;
      CHECK_OK(nearbuf_allocate(&self->request, &memory));
      fill(memory.write_to, (uint32_t)memory.size_bytes, seed);
      piece whole = {memory.run_at, (uint32_t)memory.size_bytes, seed};
      check_pattern(&whole);
      CHECK_OK(nearbuf_free(&memory));
    }
    if (i % 128 == 0) {
      nearbuf_info info;
      CHECK_OK(nearbuf_find((const void *)held.address, &info));
      CHECK_EQUAL(1, info.is_taken);
    }
    CHECK_OK(nearbuf_release(&held));
  }
  return NULL;
}

TEST(threads_that_hold_place_give_up_allocate_and_look_disturb_no_other) {
  result all = let_work(mix, rounds_asked() / 20);
  CHECK(all.totals.used_bytes >= all.handed_out);
  free(all.pieces);
}

/* ---- One handle is one holder ---------------------------------------------------------------- */

/* Threads count in the first bytes of a buffer that all of them use: holding it keeps the others
 * out, and release makes the writes visible to the next holder. */
static nearbuf_request shared_request;
static _Atomic uint64_t holdings;

static void *count_in_buffer(void *argument) {
  (void)argument;
  for (int i = 0; i < 20000; i++) {
    nearbuf_buffer buffer;
    nearbuf_status status = nearbuf_get(&shared_request, &buffer);
    if (status == NEARBUF_NO_ROOM) {
      continue; /* another thread holds it, and the range has no room for a second one */
    }
    CHECK_OK(status);
    uint64_t *counter = (uint64_t *)nearbuf_buffer_address(&buffer);
    *counter += 1; /* not atomic: holding the buffer protects it */
    atomic_fetch_add_explicit(&holdings, 1, memory_order_relaxed);
    CHECK_OK(nearbuf_release(&buffer));
  }
  return NULL;
}

TEST(holding_a_buffer_keeps_all_others_out) {
  nearbuf_request request = request_near_code(1);
  request.size_bytes = 4096;
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  uint64_t *counter = (uint64_t *)nearbuf_buffer_address(&buffer);
  shared_request = request;
  shared_request.size_bytes = 64;
  shared_request.range = (nearbuf_range){(uintptr_t)counter, (uintptr_t)counter + 63};
  CHECK_OK(nearbuf_release(&buffer));
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) {
    CHECK_EQUAL(0, pthread_create(&threads[i], NULL, count_in_buffer, NULL));
  }
  for (int i = 0; i < 4; i++) {
    pthread_join(threads[i], NULL);
  }
  CHECK(atomic_load(&holdings) > 0);
  CHECK_EQUAL(atomic_load(&holdings), *counter);
}
