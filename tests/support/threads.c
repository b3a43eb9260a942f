/* Threads for tests; see threads.h. */
#include "threads.h"

#include "test.h"

enum { MOST_STARTS = 1024 };

static struct start {
  test_thread_function function;
  void *argument;
} starts[MOST_STARTS];

static _Atomic uint32_t start_count;

static struct start *next_start(test_thread_function function, void *argument) {
  uint32_t number = start_count++;
  CHECK(number < MOST_STARTS);
  starts[number] = (struct start){function, argument};
  return &starts[number];
}

#if defined(_WIN32)

static DWORD WINAPI run(void *context) {
  struct start *start = context;
  start->function(start->argument);
  return 0;
}

test_thread test_thread_start(test_thread_function function, void *argument) {
  HANDLE thread = CreateThread(NULL, 0, run, next_start(function, argument), 0, NULL);
  CHECK(thread != NULL);
  return thread;
}

void test_thread_join(test_thread thread) {
  CHECK(WaitForSingleObject(thread, INFINITE) == WAIT_OBJECT_0);
  CHECK(CloseHandle(thread));
}

#else

static void *run(void *context) {
  struct start *start = context;
  start->function(start->argument);
  return NULL;
}

test_thread test_thread_start(test_thread_function function, void *argument) {
  pthread_t thread;
  CHECK_EQUAL(0, pthread_create(&thread, NULL, run, next_start(function, argument)));
  return thread;
}

void test_thread_join(test_thread thread) {
  CHECK_EQUAL(0, pthread_join(thread, NULL));
}

#endif
