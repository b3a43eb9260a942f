/* The program that makes the remote calls, or its helper, is killed at any instant. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote_linux.h"
#include "test.h"

static int count_rounds(void) {
  const char *wanted = getenv("NEARBUF_REMOTE_ROUNDS");
  return wanted == NULL ? 50 : atoi(wanted);
}

/* A host that maps and unmaps memory in the process until it is killed. */
static pid_t start_host(const target *what) {
  int ends[2];
  char byte;
  CHECK(pipe(ends) == 0);
  pid_t host = fork();
  if (host == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    nearbuf_process process = target_open(what);
    nearbuf_process_request request = anywhere(4096);
    for (int i = 0;; i++) {
      uint64_t address;
      uint64_t size;
      if (nearbuf_process_allocate(&process, &request, &address, &size) == NEARBUF_OK) {
        (void)nearbuf_process_free(&process, address, size);
      }
      if (i == 1 && write(ends[1], "", 1) != 1) {
        _exit(1);
      }
    }
  }
  close(ends[1]); /* so that the end of a child that fails is seen */
  CHECK(read(ends[0], &byte, 1) == 1);
  close(ends[0]);
  return host;
}

/* Whether the idle process still gets its signals: it counts one, reports it and ends. */
typedef enum fate { UNHARMED, DEAD, DEAF } fate;

static fate fate_of(target *what) {
  int status;
  char line[16] = "";
  struct pollfd output = {.fd = fileno(what->output), .events = POLLIN};
  (void)kill(what->id, SIGUSR1);
  while (poll(&output, 1, 0) == 0 && target_state(what) == 'R') {
    usleep(100); /* it counts the signal before it gets the next one */
  }
  (void)kill(what->id, SIGTERM);
  bool is_deaf = poll(&output, 1, 10000) == 0;
  if (is_deaf) {
    (void)kill(what->id, SIGKILL);
  } else {
    (void)!fgets(line, sizeof line, what->output);
  }
  CHECK_EQUAL(what->id, waitpid(what->id, &status, 0));
  fclose(what->input);
  fclose(what->output);
  return is_deaf ? DEAF : WIFEXITED(status) && strcmp(line, "1\n") == 0 ? UNHARMED : DEAD;
}

/* Waits for a time that no clock of the system knows. */
static void spin(unsigned turns) {
  for (volatile unsigned i = 0; i < turns; i = i + 1) {
  }
}

static void wait_until_alone(nearbuf_process *process) {
  nearbuf_process_info info;
  while (nearbuf_process_describe(process, &info) == NEARBUF_OK && info.traced_by != 0) {
    usleep(100);
  }
}

typedef struct harm {
  int dead;
  int deaf;
} harm;

static void kill_alone(pid_t host) {
  (void)kill(host, SIGKILL);
}

/* With its helper, as the system does when memory is short or a service is stopped. */
static void kill_group(pid_t host) {
  control_group all;
  if (!group_make_new(&all, host)) {
    (void)kill(host, SIGKILL);
    test_skip("no control group can be made here");
  }
  (void)group_write(&all, "cgroup.kill", "1");
  group_remove(&all);
}

static harm kill_often(void (*kill_host)(pid_t host)) {
  harm done = {0, 0};
  unsigned random = 1;
  for (int round = 0; round < count_rounds(); round++) {
    target what = target_start_idle();
    nearbuf_process process = target_open(&what);
    pid_t host = start_host(&what);
    random = random * 1103515245 + 12345;
    spin(random >> 8 & 0xfffff);
    kill_host(host);
    CHECK_EQUAL(host, waitpid(host, NULL, 0));
    wait_until_alone(&process);
    fate found = fate_of(&what);
    done.dead += found == DEAD;
    done.deaf += found == DEAF;
    CHECK_OK(nearbuf_process_close(&process));
  }
  printf("%d rounds: %d processes died, %d kept their signals blocked\n", count_rounds(), done.dead,
         done.deaf);
  return done;
}

TEST(a_program_that_is_killed_while_it_reaches_into_a_process_harms_it_never) {
  harm done = kill_often(kill_alone);
  CHECK_EQUAL(0, done.dead);
  CHECK_EQUAL(0, done.deaf);
}

/* That no process is harmed cannot be guaranteed; see docs/security.md. */
TEST(a_helper_that_is_killed_with_its_program_harms_few) {
  harm done = kill_often(kill_group);
  CHECK(done.dead + done.deaf <= count_rounds() / 2);
}
