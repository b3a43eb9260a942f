/* A task that shares the memory dies at any instruction of any call; the others go on and verify.
 *
 * SIGKILL ends a whole process with all threads, and a locator belongs to one process. So the
 * victim is a process that was cloned with the memory of its parent: like a thread that can be
 * killed alone. It runs on the thread control block of the main thread, which only waits
 * meanwhile. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

enum { KILLS = 3000, STACK = 1 << 18, WORKERS = 2, KEPT = 4096 };

static atomic_bool stop;
static _Atomic uint64_t calls;

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* What a worker has placed must not change. */
typedef struct worker {
  unsigned number;
  double longest;
  unsigned char *kept[KEPT];
} worker;

static void fill(unsigned char *bytes, unsigned number, unsigned i) {
  for (unsigned at = 0; at < 48; at++) {
    bytes[at] = (unsigned char)(number * 31 + i * 7 + at);
  }
}

static void *work(void *context) {
  worker *self = context;
  for (unsigned i = 0; !atomic_load(&stop); i++) {
    unsigned char bytes[48];
    unsigned slot = i % KEPT;
    if (self->kept[slot] != NULL) {
      fill(bytes, self->number, i - KEPT);
      CHECK(memcmp(self->kept[slot], bytes, sizeof bytes) == 0);
    }
    fill(bytes, self->number, i);
    nearbuf_request request = request_of(sizeof bytes);
    nearbuf_memory placed;
    double before = seconds();
    CHECK_OK(nearbuf_place(&request, bytes, &placed));
    double took = seconds() - before;
    self->longest = took > self->longest ? took : self->longest;
    self->kept[slot] = placed.run_at;
    atomic_fetch_add(&calls, 1);
    if (i % 64 == 0) {
      sched_yield();
    }
  }
  return NULL;
}

/* Gets, appends, releases; every eighth buffer is kept, so that new ones must be registered. */
static int be_victim(void *context) {
  unsigned seed = *(const unsigned *)context;
  for (unsigned i = 0;; i++) {
    unsigned char bytes[64];
    memset(bytes, 0xee, sizeof bytes);
    nearbuf_request request = request_of(i % 8 == 7 ? 4096 : 1 + (seed + i) % 64);
    nearbuf_buffer buffer;
    if (nearbuf_get(&request, &buffer) != NEARBUF_OK) {
      continue;
    }
    (void)nearbuf_append(&buffer, bytes, 1, NULL);
    if (i % 8 != 7) {
      (void)nearbuf_release(&buffer);
    }
  }
  return 0;
}

static void kill_one(char *stack, unsigned seed) {
  pid_t victim = clone(be_victim, stack + STACK, CLONE_VM | SIGCHLD, &seed);
  CHECK(victim > 0);
  struct timespec pause = {0, (long)(seed * 2654435761u % 400) * 1000};
  nanosleep(&pause, NULL);
  CHECK_EQUAL(0, kill(victim, SIGKILL));
  while (waitpid(victim, NULL, 0) != victim) {
    CHECK_EQUAL(EINTR, errno);
  }
}

/* Memory that the dead task held, or had just mapped, stays: that can fill a 32-bit address
 * space. */
static bool is_space_left(void) {
  unsigned long long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  CHECK(file != NULL && fscanf(file, "%llu", &pages) == 1);
  fclose(file);
  return pages * (unsigned long long)sysconf(_SC_PAGESIZE) < UINTPTR_MAX / 2;
}

TEST(thousands_that_are_killed_in_the_middle_of_a_call_disturb_no_other) {
  own_tmp();
  (void)place("x", 1);
  static worker workers[WORKERS];
  pthread_t threads[WORKERS];
  for (unsigned i = 0; i < WORKERS; i++) {
    workers[i].number = i;
    CHECK_EQUAL(0, pthread_create(&threads[i], NULL, work, &workers[i]));
  }
  char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  unsigned kills = 0;
  double end = seconds() + 40; /* a slow machine kills fewer */
  for (; kills < KILLS && (kills < KILLS / 10 || (seconds() < end && is_space_left())); kills++) {
    kill_one(stack, kills);
  }
  atomic_store(&stop, true);
  double longest = 0;
  for (int i = 0; i < WORKERS; i++) {
    CHECK_EQUAL(0, pthread_join(threads[i], NULL));
    longest = workers[i].longest > longest ? workers[i].longest : longest;
  }
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  printf("%u kills, %llu calls of the others, %u locators, %llu buffers, longest call %.3f s\n",
         kills, (unsigned long long)atomic_load(&calls), totals.locators,
         (unsigned long long)totals.buffers, longest);
  CHECK(longest < 3);
  CHECK_EQUAL(42, call_answer(place_answer(42)));
  copy other = load_copy(1); /* the whole chain is sound */
  nearbuf_request request = request_of(1);
  nearbuf_memory placed;
  CHECK_OK(other.place(&request, "x", &placed));
  nearbuf_totals seen;
  double patience = seconds() + 30; /* a lost lock is passed only after the bound */
  do {
    usleep(10000);
    CHECK_OK(other.get_totals(&seen));
  } while (seen.buffers < totals.buffers && seconds() < patience);
  CHECK_EQUAL(totals.first_locator, seen.first_locator);
  CHECK(seen.buffers >= totals.buffers);
}

/* The same during creation: the victim makes the first call. */
TEST(a_first_call_that_is_killed_leaves_the_process_usable) {
  own_tmp();
  char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (unsigned i = 0; i < 300; i++) {
    fflush(NULL);
    pid_t child = fork(); /* a process that has made no call yet */
    if (child == 0) {
      pid_t victim = clone(be_victim, stack + STACK, CLONE_VM | SIGCHLD, &i);
      for (volatile unsigned spin = 0; spin < i * 2654435761u % 200000; spin++) {
      }
      CHECK_EQUAL(0, kill(victim, SIGKILL));
      CHECK_EQUAL(victim, waitpid(victim, NULL, 0));
      double before = seconds();
      CHECK_EQUAL(42, call_answer(place_answer(42)));
      CHECK(seconds() - before < 3);
      copy other = load_copy(1);
      nearbuf_request request = request_of(1);
      nearbuf_memory placed;
      CHECK_OK(other.place(&request, "x", &placed));
      CHECK_EQUAL(first_locator(), first_locator_of(&other));
      _exit(0);
    }
    expect_success(child);
  }
}
