/* Does one piece of work with one peer, verifies what it got, and prints one line of JSON. run.py
 * calls it repeatedly, because the memory that is handed out is permanent.
 *
 *   PEER place  LAYOUT MAPPINGS [populate]   64 bytes, 10,000 times
 *   PEER room   LAYOUT MAPPINGS              4096 bytes, 10,000 times, untouched
 *   PEER region LAYOUT MAPPINGS              map and unmap a page
 *   PEER first                               the first request of the process
 *   PEER warm                                get and release, again and again
 *   PEER append                              16 bytes to a held buffer
 *   PEER threads COUNT                       get and release in COUNT threads
 *   PEER held COUNT                          one more buffer while COUNT are held
 *   PEER touch                               first touches of pages, one by one and 16 at once
 *
 * LAYOUT: none, scattered or wall. The status is 3 where the peer cannot do the work. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "additions.h"
#include "layout.h"
#include "peer.h"
#include "verify.h"

enum { REQUESTS = 10000, ROUNDS = 101, MOST_THREADS = 64, PAGE = 4096 };

/* Slow peers stop after this many nanoseconds and are measured by the requests done by then. */
#define PATIENCE 5e8

int main(int argc, char **argv);
const uintptr_t bench_own_code = (uintptr_t)main;

static int by_value(const void *a, const void *b) {
  double left = *(const double *)a;
  double right = *(const double *)b;
  return left < right ? -1 : left > right;
}

static double median(double *values, size_t count) {
  qsort(values, count, sizeof *values, by_value);
  return values[count / 2];
}

static void missing(const char *why) {
  fprintf(stderr, "%s: %s\n", bench_peer.name, why);
  exit(3);
}

static void lay_out(char **argv) {
  size_t mappings = strtoul(argv[3], NULL, 10);
  if (strcmp(argv[2], "scattered") == 0) {
    bench_scatter(bench_own_code, mappings);
  } else if (strcmp(argv[2], "wall") == 0) {
    bench_build_wall(bench_own_code, mappings);
  }
}

/* ---- Placing --------------------------------------------------------------------------------- */

static void *place(const unsigned char *stub) {
  if (bench_peer.place != NULL) {
    return bench_peer.place(bench_own_code, stub, BENCH_STUB_SIZE);
  }
  void *memory = bench_peer.allocate(bench_own_code, BENCH_STUB_SIZE);
  if (memory != NULL) {
    memcpy(memory, stub, BENCH_STUB_SIZE);
  }
  return memory;
}

/* The first request is reported separately: it finds or creates what the others use. */
static void do_requests(bool is_place, size_t size) {
  static void *addresses[REQUESTS];
  static unsigned char stubs[REQUESTS][BENCH_STUB_SIZE];
  bench_results results = {addresses, 0, size};
  for (size_t i = 0; i < REQUESTS; i++) {
    bench_stub(stubs[i], i);
  }
  bench_footprint before = bench_look();
  double start = bench_now();
  double after_first = start;
  double end = start;
  size_t looks_again = 1; /* reading the clock, which takes longer than some requests */
  while (results.count < REQUESTS && end - start < PATIENCE) {
    size_t i = results.count++;
    addresses[i] = is_place ? place(stubs[i]) : bench_peer.allocate(bench_own_code, size);
    if (addresses[i] == NULL) {
      missing("nothing fits");
    }
    if (results.count == looks_again) {
      end = bench_now();
      after_first = i == 0 ? end : after_first;
      bool is_slow = end - after_first > PATIENCE / 100;
      looks_again += is_slow || i == 0 ? 8 : 256;
    }
  }
  end = bench_now();
  bench_footprint after = bench_look();
  bench_verify(&results, is_place);
  printf("{\"ns\": %.2f, \"first_ns\": %.0f, \"requests\": %zu, \"kib\": %zu, \"mappings\": %zu}\n",
         (end - after_first) / (double)(results.count - 1), after_first - start, results.count,
         (after.bytes - before.bytes) / 1024, after.mappings - before.mappings);
}

static void do_regions(void) {
  static double times[ROUNDS];
  size_t rounds = 0;
  double start = bench_now();
  while (rounds < ROUNDS && bench_now() - start < PATIENCE) {
    double before = bench_now();
    void *memory = bench_peer.map(bench_own_code, PAGE);
    if (memory == NULL) {
      missing("nothing fits");
    }
    double mapped = bench_now();
    bench_verify(&(bench_results){&memory, 1, PAGE}, 0);
    double verified = bench_now();
    bench_peer.unmap(memory, PAGE);
    times[rounds++] = bench_now() - verified + (mapped - before);
  }
  printf("{\"ns\": %.0f, \"rounds\": %zu}\n", median(times, rounds), rounds);
}

static void do_first(void) {
  double start = bench_now();
  void *memory = bench_peer.allocate(bench_own_code, PAGE);
  double end = bench_now();
  if (memory == NULL) {
    missing("nothing fits");
  }
  bench_verify(&(bench_results){&memory, 1, PAGE}, 0);
  printf("{\"ns\": %.0f}\n", end - start);
}

/* ---- Again and again ------------------------------------------------------------------------- */

/* The host may run something else on the other half of the processor's core: then everything takes
 * up to twice as long for seconds. So each sample is bracketed by a loop of additions that touches
 * no memory, and counts as clean if both loops took at most 4 per cent longer than the fastest. */
static double calibrate(void) {
  enum { ADDITIONS = 8000 };
  double start = bench_now();
  bench_add(ADDITIONS);
  return (bench_now() - start) / ADDITIONS;
}

typedef struct samples {
  double times[ROUNDS];
  double loops[ROUNDS]; /* the slower one of the two around a sample */
  double fastest_loop;
  size_t clean;
} samples;

static void add_sample(samples *all, size_t round, double before, double time, double after) {
  all->times[round] = time;
  all->loops[round] = before > after ? before : after;
  double faster = before < after ? before : after;
  all->fastest_loop = round == 0 || faster < all->fastest_loop ? faster : all->fastest_loop;
}

/* The median of the clean samples, or of all if none is. */
static double clean_median(samples *all) {
  static double clean[ROUNDS];
  for (size_t i = 0; i < ROUNDS; i++) {
    if (all->loops[i] <= all->fastest_loop * 1.04) {
      clean[all->clean++] = all->times[i];
    }
  }
  return all->clean > 0 ? median(clean, all->clean) : median(all->times, ROUNDS);
}

static void print_clean(samples *all) {
  double each = clean_median(all);
  printf("{\"ns\": %.3f, \"clean\": %zu, \"addition_ns\": %.4f}\n", each, all->clean,
         all->fastest_loop);
}

static void repeat(bool (*work)(size_t), size_t count, samples *all) {
  for (size_t i = 0; i < ROUNDS; i++) {
    double before = calibrate();
    double start = bench_now();
    if (!work(count)) {
      bench_fail("a request was refused");
    }
    double time = (bench_now() - start) / (double)count;
    add_sample(all, i, before, time, calibrate());
  }
}

static void do_warm(void) {
  static samples all;
  repeat(bench_peer.get_and_release, 20000, &all);
  print_clean(&all);
}

static void do_append(void) {
  enum { APPENDS = 2000 };
  static samples all;
  for (size_t i = 0; i < ROUNDS; i++) {
    double before = calibrate();
    double time = bench_peer.append_16(APPENDS) / APPENDS;
    if (time < 0) {
      bench_fail("a request was refused");
    }
    add_sample(&all, i, before, time, calibrate());
  }
  print_clean(&all);
}

/* ---- In threads ------------------------------------------------------------------------------ */

enum { THREAD_ROUNDS = 21, OPERATIONS_OF_ROUND = 100000 };

static pthread_barrier_t all_ready;

/* When one thread worked, by its own clock: the others may be woken late. */
typedef struct shift {
  double start[THREAD_ROUNDS];
  double end[THREAD_ROUNDS];
} shift;

static void *run_thread(void *own) {
  shift *mine = own;
  pthread_barrier_wait(&all_ready); /* the first calls of all threads come at the same time */
  bool is_done = bench_peer.get_and_release(OPERATIONS_OF_ROUND); /* finds its unshared slot */
  for (size_t i = 0; i < THREAD_ROUNDS; i++) {
    pthread_barrier_wait(&all_ready);
    mine->start[i] = bench_now();
    is_done = is_done && bench_peer.get_and_release(OPERATIONS_OF_ROUND);
    mine->end[i] = bench_now();
  }
  if (!is_done) {
    bench_fail("a request was refused");
  }
  return NULL;
}

/* From the first start to the last end of a round. */
static double length_of_round(const shift *shifts, size_t count, size_t round) {
  double start = shifts[0].start[round];
  double end = shifts[0].end[round];
  for (size_t i = 1; i < count; i++) {
    start = shifts[i].start[round] < start ? shifts[i].start[round] : start;
    end = shifts[i].end[round] > end ? shifts[i].end[round] : end;
  }
  return end - start;
}

static void do_threads(size_t count) {
  static shift shifts[MOST_THREADS];
  pthread_t threads[MOST_THREADS];
  double times[THREAD_ROUNDS];
  pthread_barrier_init(&all_ready, NULL, (unsigned)count);
  for (size_t i = 0; i < count; i++) {
    pthread_create(&threads[i], NULL, run_thread, &shifts[i]);
  }
  for (size_t i = 0; i < count; i++) {
    pthread_join(threads[i], NULL);
  }
  double operations = (double)count * OPERATIONS_OF_ROUND;
  for (size_t i = 0; i < THREAD_ROUNDS; i++) {
    times[i] = length_of_round(shifts, count, i) / operations;
  }
  double each = median(times, THREAD_ROUNDS);
  printf("{\"ns\": %.3f, \"best_ns\": %.3f, \"million_per_second\": %.2f}\n", each, times[0],
         1e3 / each);
}

/* ---- While others are held ------------------------------------------------------------------- */

/* The cost of one more held buffer, and of get and release and of place at that point. */
static void do_held(size_t count) {
  enum { MORE = 100, PLACED = 1000 };
  bench_results results = {calloc(count + MORE, sizeof(void *)), 0, PAGE};
  double deadline = bench_now() + 10 * PATIENCE;
  double start = 0;
  for (; results.count < count + MORE; results.count++) {
    start = results.count == count ? bench_now() : start;
    results.addresses[results.count] = bench_peer.hold();
    if (results.addresses[results.count] == NULL || bench_now() > deadline) {
      missing("nothing fits, or it takes too long");
    }
  }
  double each = (bench_now() - start) / MORE;
  bench_verify(&results, 0);
  free(results.addresses);
  unsigned char stub[BENCH_STUB_SIZE];
  bench_stub(stub, 0);
  (void)place(stub);
  start = bench_now();
  for (size_t i = 0; i < PLACED; i++) {
    if (place(stub) == NULL) {
      missing("nothing fits");
    }
  }
  double placed = (bench_now() - start) / PLACED;
  static samples warm;
  repeat(bench_peer.get_and_release, 2000, &warm);
  printf("{\"ns\": %.0f, \"place_ns\": %.2f, \"warm_ns\": %.2f}\n", each, placed,
         clean_median(&warm));
}

/* ---- Pages ----------------------------------------------------------------------------------- */

static void do_touch(void) {
  enum { PAGES = 1600, AT_ONCE = 16 };
  size_t size = (size_t)PAGES * PAGE;
  int protection = PROT_READ | PROT_WRITE;
  char *one_by_one = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *at_once = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  double start = bench_now();
  for (size_t i = 0; i < PAGES; i++) {
    ((volatile char *)one_by_one)[i * PAGE] = 1;
  }
  double middle = bench_now();
  for (size_t i = 0; i < PAGES; i += AT_ONCE) {
    if (madvise(at_once + i * PAGE, (size_t)AT_ONCE * PAGE, 23 /* MADV_POPULATE_WRITE */) != 0) {
      missing("the kernel cannot populate pages");
    }
  }
  double end = bench_now();
  printf("{\"ns\": %.0f, \"at_once_ns\": %.0f}\n", (middle - start) / PAGES,
         (end - middle) / PAGES);
}

/* ---------------------------------------------------------------------------------------------- */

static int usage(void) {
  fprintf(stderr, "see the head of bench/main.c\n");
  return 2;
}

int main(int argc, char **argv) {
  const char *work = argc > 1 ? argv[1] : "";
  const char *why = bench_peer.start == NULL ? NULL : bench_peer.start();
  if (why != NULL) {
    missing(why);
  }
  if (argc >= 4) {
    lay_out(argv);
  }
  if (argc == 5 && strcmp(argv[4], "populate") == 0 && mlockall(MCL_FUTURE) != 0) {
    missing("pages may not be locked");
  }
  size_t number = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
  if (strcmp(work, "place") == 0) {
    do_requests(true, BENCH_STUB_SIZE);
  } else if (strcmp(work, "room") == 0) {
    do_requests(false, PAGE);
  } else if (strcmp(work, "first") == 0) {
    do_first();
  } else if (strcmp(work, "touch") == 0) {
    do_touch();
  } else if (strcmp(work, "region") == 0) {
    bench_peer.map != NULL ? do_regions() : missing("it maps no regions");
  } else if (strcmp(work, "append") == 0) {
    bench_peer.append_16 != NULL ? do_append() : missing("it does not append");
  } else if (strcmp(work, "held") == 0) {
    bench_peer.hold != NULL ? do_held(number) : missing("it holds no buffers");
  } else if (bench_peer.get_and_release == NULL) {
    missing("it has no get and release");
  } else if (strcmp(work, "warm") == 0) {
    do_warm();
  } else if (strcmp(work, "threads") == 0 && number > 0 && number <= MOST_THREADS) {
    do_threads(number);
  } else {
    return usage();
  }
  return 0;
}
