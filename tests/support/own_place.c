/* own_place PROGRAM [ARGUMENT...]
 *
 * Runs the program with its own empty /tmp, process ids and /proc; all processes that it starts end
 * with it. Returns the program's exit status, or 77 if this is not possible. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "own_tmp.h"

enum { SKIPPED = 77, CANNOT_RUN = 127 };

static int refuse(void) {
  printf("this place does not allow namespaces: %s\n", strerror(errno));
  return SKIPPED;
}

static int run(char **command) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (mount("proc", "/proc", "proc", 0, NULL) != 0) {
    return refuse();
  }
  execvp(command[0], command);
  perror(command[0]);
  return CANNOT_RUN;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: own_place PROGRAM [ARGUMENT...]\n");
    return 2;
  }
  if (!use_own_tmp() || unshare(CLONE_NEWPID) != 0) {
    return refuse();
  }
  pid_t child = fork();
  if (child == 0) {
    return run(&argv[1]);
  }
  int status;
  if (child < 0 || waitpid(child, &status, 0) != child) {
    return 1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
