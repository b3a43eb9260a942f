/* The library never calls malloc. This program replaces malloc with one that counts. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "test.h"

/* glibc's own. NOLINTBEGIN(bugprone-reserved-identifier) */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
/* NOLINTEND(bugprone-reserved-identifier) */

static _Atomic int calls;

void *malloc(size_t size) {
  atomic_fetch_add(&calls, 1);
  return __libc_malloc(size);
}

void *calloc(size_t nmemb, size_t size) {
  atomic_fetch_add(&calls, 1);
  return __libc_calloc(nmemb, size);
}

void *realloc(void *ptr, size_t size) {
  atomic_fetch_add(&calls, 1);
  return __libc_realloc(ptr, size);
}

static ptrdiff_t write_all(const nearbuf_memory *room, void *context) {
  (void)context;
  memset(room->write_to, 1, room->size_bytes);
  return (ptrdiff_t)room->size_bytes;
}

static void use_everything(void) {
  enum { HELD = 300 };
  static nearbuf_buffer held[HELD];
  nearbuf_request request;
  CHECK_OK(nearbuf_request_near((const void *)(uintptr_t)use_everything, 64, &request));
  for (int i = 0; i < HELD; i++) {
    CHECK_OK(nearbuf_get(&request, &held[i]));
    CHECK_OK(nearbuf_append_code(&held[i], "abc", 3, NULL));
  }
  for (int i = 0; i < HELD; i++) {
    CHECK_OK(nearbuf_release(&held[i]));
  }
  nearbuf_memory memory;
  CHECK_OK(nearbuf_place_with(&request, write_all, NULL, &memory));
  CHECK_OK(nearbuf_overwrite(memory.run_at, "abc", 3, NULL));
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK_OK(nearbuf_overwrite(memory.run_at, "abc", 3, NULL));
  CHECK_OK(nearbuf_free(&memory));
  nearbuf_totals totals;
  nearbuf_info info;
  nearbuf_walk walk = {0, 0};
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK(totals.locators >= 2);
  while (nearbuf_next(&walk, &info) == NEARBUF_OK) {
  }
}

TEST(the_counter_counts) {
  int before = atomic_load(&calls);
  void *volatile memory = malloc(10);
  free(memory);
  CHECK_EQUAL(before + 1, atomic_load(&calls));
}

TEST(no_function_calls_malloc) {
  int before = atomic_load(&calls);
  use_everything();
  CHECK_EQUAL(before, atomic_load(&calls));
}

static void *use_in_thread(void *argument) {
  int *during = argument;
  int before = atomic_load(&calls);
  use_everything();
  *during = atomic_load(&calls) - before;
  return NULL;
}

TEST(the_first_use_of_a_thread_calls_no_malloc) {
  pthread_t thread;
  int during = -1;
  CHECK_EQUAL(0, pthread_create(&thread, NULL, use_in_thread, &during));
  pthread_join(thread, NULL);
  CHECK_EQUAL(0, during);
}
