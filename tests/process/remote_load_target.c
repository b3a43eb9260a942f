/* Eight threads that append records of their own to shared buffers; see remote_load.c. "ready" first,
 * the number of appended records last. With "forks" children are made all the time, which use buffers
 * of their own; a signal HUP makes the program replace itself. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote_load.h"

static _Atomic int is_over;
static char **arguments;

static void replace_itself(int signal_number) {
  (void)signal_number;
  (void)execv("/proc/self/exe", arguments);
}

static nearbuf_status append(const void *bytes, size_t size) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = size;
  nearbuf_buffer buffer;
  nearbuf_status status = nearbuf_get(&request, &buffer);
  if (status == NEARBUF_OK) {
    status = nearbuf_append(&buffer, bytes, size, NULL);
  }
  return status == NEARBUF_OK ? nearbuf_release(&buffer) : status;
}

static void *fork_often(void *unused) {
  (void)unused;
  while (atomic_load(&is_over) == 0) {
    pid_t child = fork();
    if (child == 0) {
      _exit(append("a child's", 9) == NEARBUF_OK ? 0 : 1);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status != 0) {
      exit(1);
    }
    usleep(1000);
  }
  return NULL;
}

static void *append_records(void *context) {
  record made = {RECORD_MARK, (uint32_t)(uintptr_t)context, 0, 0};
  while (atomic_load(&is_over) == 0 && made.number < MOST_RECORDS) {
    made.check = record_check(&made);
    if (append(&made, sizeof made) != NEARBUF_OK) {
      exit(1);
    }
    made.number++;
    usleep(20);
  }
  return (void *)(uintptr_t)made.number;
}

int main(int argc, char **argv) {
  pthread_t threads[INSIDE];
  pthread_t forker;
  unsigned long total = 0;
  arguments = argv;
  struct sigaction action = {.sa_handler = replace_itself, .sa_flags = SA_NODEFER};
  sigaction(SIGHUP, &action, NULL);
  for (uintptr_t i = 0; i < INSIDE; i++) {
    if (pthread_create(&threads[i], NULL, append_records, (void *)i) != 0) {
      return 1;
    }
  }
  if (argc > 1 && pthread_create(&forker, NULL, fork_often, NULL) != 0) {
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
  if (argc > 1) {
    pthread_join(forker, NULL);
  }
  printf("%lu\n", total);
  fflush(stdout);
  (void)fgets(line, sizeof line, stdin); /* stays until it was looked at */
  return 0;
}
