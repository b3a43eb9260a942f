/* Eight threads that append records of their own to shared buffers; see remote_load.c. "ready" first,
 * the number of appended records last. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "remote_load.h"

static _Atomic int is_over;

static void *append_records(void *context) {
  record made = {RECORD_MARK, (uint32_t)(uintptr_t)context, 0, 0};
  while (atomic_load(&is_over) == 0 && made.number < MOST_RECORDS) {
    nearbuf_request request = NEARBUF_REQUEST_INIT;
    request.size_bytes = sizeof made;
    nearbuf_buffer buffer;
    made.check = record_check(&made);
    if (nearbuf_get(&request, &buffer) != NEARBUF_OK ||
        nearbuf_append(&buffer, &made, sizeof made, NULL) != NEARBUF_OK ||
        nearbuf_release(&buffer) != NEARBUF_OK) {
      exit(1);
    }
    made.number++;
    usleep(20);
  }
  return (void *)(uintptr_t)made.number;
}

int main(void) {
  pthread_t threads[INSIDE];
  unsigned long total = 0;
  for (uintptr_t i = 0; i < INSIDE; i++) {
    if (pthread_create(&threads[i], NULL, append_records, (void *)i) != 0) {
      return 1;
    }
  }
  printf("ready\n");
  fflush(stdout);
  char line[16];
  if (fgets(line, sizeof line, stdin) == NULL) {
    return 1;
  }
  atomic_store(&is_over, 1);
  for (int i = 0; i < INSIDE; i++) {
    void *count;
    pthread_join(threads[i], &count);
    total += (unsigned long)(uintptr_t)count;
  }
  printf("%lu\n", total);
  fflush(stdout);
  (void)fgets(line, sizeof line, stdin); /* stays until it was looked at */
  return 0;
}
