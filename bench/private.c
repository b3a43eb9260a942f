/* Threads that take and free private memory near the program's code, in turn with the bare calls
 * that a mapper makes which lets the system choose the place. Prints one line for each kind of
 * work: microseconds for a piece that is freed and another one that is taken, of the bare calls and
 * of the library, and the median of their ratios.
 *
 *   private [COUNT]   of batches, 1000 by default; the two take turns, in batches of 50 pieces */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include <nearbuf/nearbuf.h>

enum { MOST_THREADS = 4, MOST_BATCHES = 10000, PIECES = 50, PAGE = 4096, MOST_PAGES = 8 };
enum { BARE, NEARBUF, KINDS };

typedef struct piece {
  void *address;
  size_t size;
} piece;

/* What all threads do. */
static struct {
  int threads;
  size_t live;    /* pieces of all threads together */
  bool is_random; /* any piece is freed, else the oldest one */
  bool has_sizes; /* of 1 to 8 pages; else of one */
  int batches;
} work;

static pthread_barrier_t together;
static double seconds[KINDS][MOST_BATCHES][MOST_THREADS];

static void fail(const char *what) {
  fprintf(stderr, "private: %s\n", what);
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static uint32_t next_random(uint32_t *state) {
  *state = *state * 1664525 + 1013904223; /* Numerical Recipes */
  return *state >> 8;
}

static size_t next_size(uint32_t *state) {
  size_t pages = work.has_sizes ? 1 + next_random(state) % MOST_PAGES : 1;
  return PAGE * pages;
}

static piece take(int kind, size_t size) {
  if (kind == BARE) {
    const int protection = PROT_READ | PROT_WRITE | PROT_EXEC;
    void *mapped = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return (piece){mapped == MAP_FAILED ? NULL : mapped, size};
  }
  static _Thread_local nearbuf_request requests[MOST_PAGES + 1]; /* made once for each size */
  nearbuf_request *request = &requests[size / PAGE];
  if (request->size_bytes == 0) {
    (void)nearbuf_request_near((const void *)(uintptr_t)take, size, request);
  }
  nearbuf_memory memory;
  (void)nearbuf_allocate(request, &memory);
  return (piece){memory.run_at, size};
}

static void give_back(int kind, piece old) {
  nearbuf_memory memory = {
      .write_to = old.address, .run_at = old.address, .size_bytes = old.size, .is_private = 1};
  bool is_done =
      kind == BARE ? munmap(old.address, old.size) == 0 : nearbuf_free(&memory) == NEARBUF_OK;
  if (!is_done) {
    fail("memory could not be freed");
  }
}

static piece take_or_fail(int kind, size_t size) {
  piece taken = take(kind, size);
  if (taken.address == NULL) {
    fail("there is no memory");
  }
  return taken;
}

/* One batch: the next pieces are freed, and others taken. */
static double exchange(int kind, piece *pieces, size_t count, size_t first, uint32_t *state) {
  (void)pthread_barrier_wait(&together);
  double start = now();
  for (size_t i = 0; i < PIECES; i++) {
    piece *old = &pieces[(work.is_random ? next_random(state) : first + i) % count];
    give_back(kind, *old);
    *old = take_or_fail(kind, next_size(state));
  }
  (void)pthread_barrier_wait(&together);
  return now() - start;
}

static void *run_thread(void *index) {
  uint32_t me = (uint32_t)(uintptr_t)index;
  uint32_t state = me + 1;
  size_t count = work.live / (size_t)work.threads;
  piece *pieces[KINDS];
  for (int kind = 0; kind < KINDS; kind++) {
    pieces[kind] = calloc(count, sizeof(piece));
    if (pieces[kind] == NULL) {
      fail("there is no memory");
    }
    for (size_t i = 0; i < count; i++) {
      pieces[kind][i] = take_or_fail(kind, next_size(&state));
    }
  }
  for (int batch = 0; batch < work.batches; batch++) {
    for (int turn = 0; turn < KINDS; turn++) {
      int kind = (turn + batch) % KINDS; /* each is the first in every other batch */
      size_t first = (size_t)batch * PIECES;
      seconds[kind][batch][me] = exchange(kind, pieces[kind], count, first, &state);
    }
  }
  for (int kind = 0; kind < KINDS; kind++) {
    for (size_t i = 0; i < count; i++) {
      give_back(kind, pieces[kind][i]);
    }
    free(pieces[kind]);
  }
  return NULL;
}

static int compare(const void *a, const void *b) {
  double left = *(const double *)a;
  double right = *(const double *)b;
  return (left > right) - (left < right);
}

static double median(double *values) {
  qsort(values, (size_t)work.batches, sizeof *values, compare);
  return values[work.batches / 2];
}

/* The time of the slowest thread for a piece. */
static double microseconds(int kind, int batch) {
  double most = 0;
  for (int i = 0; i < work.threads; i++) {
    double each = seconds[kind][batch][i];
    most = each > most ? each : most;
  }
  return most * 1e6 / PIECES;
}

static void report(void) {
  static double times[KINDS][MOST_BATCHES];
  static double ratios[MOST_BATCHES];
  for (int i = 0; i < work.batches; i++) {
    times[BARE][i] = microseconds(BARE, i);
    times[NEARBUF][i] = microseconds(NEARBUF, i);
    ratios[i] = times[NEARBUF][i] / times[BARE][i];
  }
  double bare = median(times[BARE]);
  double ours = median(times[NEARBUF]);
  printf("%5zu live, of %s, %s freed, %d threads: %6.2f  %6.2f  %.2f\n", work.live,
         work.has_sizes ? "1 to 8 pages" : "1 page", work.is_random ? "a random one" : "the oldest",
         work.threads, bare, ours, median(ratios));
}

static void measure(void) {
  pthread_t threads[MOST_THREADS];
  if (pthread_barrier_init(&together, NULL, (unsigned)work.threads) != 0) {
    fail("no barrier");
  }
  for (int i = 0; i < work.threads; i++) {
    if (pthread_create(&threads[i], NULL, run_thread, (void *)(uintptr_t)i) != 0) {
      fail("no thread");
    }
  }
  for (int i = 0; i < work.threads; i++) {
    (void)pthread_join(threads[i], NULL);
  }
  (void)pthread_barrier_destroy(&together);
  report();
}

int main(int count, char **words) {
  work.batches = count > 1 ? (int)strtol(words[1], NULL, 10) : 1000;
  if (work.batches < 1 || work.batches > MOST_BATCHES) {
    fail("usage: private [COUNT]");
  }
  for (int i = 0; i < 8; i++) {
    work.live = i < 4 ? 16 : 30000;
    work.is_random = i % 2 != 0;
    work.has_sizes = i / 2 % 2 != 0;
    for (work.threads = 1; work.threads <= MOST_THREADS; work.threads *= 2) {
      measure();
    }
  }
  return 0;
}
