/* Eight threads that append their own records to shared buffers; see remote_load.c. "ready" first,
 * the number of appended records last. What else it can do depends on the system. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "remote_load.h"

static _Atomic int is_over;

bool load_is_over(void) {
  return atomic_load(&is_over) != 0;
}

nearbuf_status load_append(const void *bytes, size_t size) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = size;
  nearbuf_buffer buffer;
  nearbuf_status status = nearbuf_get(&request, &buffer);
  if (status == NEARBUF_OK) {
    status = nearbuf_append(&buffer, bytes, size, NULL);
  }
  return status == NEARBUF_OK ? nearbuf_release(&buffer) : status;
}

static void *append_records(void *context) {
  record made = {RECORD_MARK, (uint32_t)(uintptr_t)context, 0, 0};
  while (!load_is_over() && made.number < MOST_RECORDS) {
    made.check = record_check(&made);
    if (load_append(&made, sizeof made) != NEARBUF_OK) {
      exit(1);
    }
    made.number++;
    usleep(20);
  }
  return (void *)(uintptr_t)made.number;
}

int main(int argc, char **argv) {
  pthread_t threads[INSIDE];
  unsigned long total = 0;
  for (uintptr_t i = 0; i < INSIDE; i++) {
    if (pthread_create(&threads[i], NULL, append_records, (void *)i) != 0) {
      return 1;
    }
  }
  if (!load_prepare(argc > 1 ? argv[1] : NULL, argv)) {
    return 1;
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
  load_finish();
  printf("%lu\n", total);
  fflush(stdout);
  (void)!fgets(line, sizeof line, stdin); /* stays until it was looked at */
  return 0;
}
