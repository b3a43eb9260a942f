/* Threads for tests, on every system: started with a function and its argument, and joined. */
#ifndef NEARBUF_TEST_THREADS_H
#define NEARBUF_TEST_THREADS_H

#if defined(_WIN32)
#include <windows.h>
typedef HANDLE test_thread;
#else
#include <pthread.h>
typedef pthread_t test_thread;
#endif

typedef void (*test_thread_function)(void *argument);

/* Fails the test if the thread cannot be created. */
test_thread test_thread_start(test_thread_function function, void *argument);
void test_thread_join(test_thread thread);

#endif
