/* What a loaded process does on Linux: with "forks" it forks children all the time, which use their
 * own buffers; a signal HUP makes it replace itself. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote_load.h"

static char **own_arguments;
static bool has_forker;
static pthread_t forker;

static void replace_itself(int signal_number) {
  (void)signal_number;
  (void)execv("/proc/self/exe", own_arguments);
}

static void *fork_often(void *unused) {
  (void)unused;
  while (!load_is_over()) {
    pid_t child = fork();
    if (child == 0) {
      _exit(load_append("a child's", 9) == NEARBUF_OK ? 0 : 1);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status != 0) {
      exit(1);
    }
    usleep(1000);
  }
  return NULL;
}

bool load_prepare(const char *mode, char **arguments) {
  own_arguments = arguments;
  struct sigaction action = {.sa_handler = replace_itself, .sa_flags = SA_NODEFER};
  sigaction(SIGHUP, &action, NULL);
  has_forker = mode != NULL;
  return !has_forker || pthread_create(&forker, NULL, fork_often, NULL) == 0;
}

void load_finish(void) {
  if (has_forker) {
    pthread_join(forker, NULL);
  }
}
