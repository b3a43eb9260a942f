/* See remote_support.h. */
#include "remote_support.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "own_tmp.h"
#include "test.h"

void want_own_tmp(void) {
  static bool is_done;
  if (!is_done && geteuid() == 0) {
    (void)use_own_tmp();
  }
  is_done = true;
}

static target start(const char *program, const char *mode, const char *root, char line[64]) {
  int ends[2];
  want_own_tmp();
  CHECK(pipe(ends) == 0);
  target what = {fork(), NULL};
  CHECK(what.id >= 0);
  if (what.id == 0) {
    dup2(ends[1], 1);
    close(ends[0]);
    close(ends[1]);
    execl(program, program, mode, root, (char *)NULL);
    _exit(9);
  }
  close(ends[1]);
  what.output = fdopen(ends[0], "r");
  target_line(&what, line, 64);
  return what;
}

target target_start(const char *program, const char *mode, const char *root) {
  char line[64];
  target what = start(program, mode, root, line);
  CHECK(strcmp(line, "ready\n") == 0);
  return what;
}

target target_try(const char *program, const char *mode) {
  char line[64];
  target what = start(program, mode, NULL, line);
  if (strcmp(line, "ready\n") != 0) {
    test_skip("the system refuses this to the program that is looked at");
  }
  return what;
}

target target_start_idle(void) {
  return target_start(REMOTE_TARGET, "idle", NULL);
}

void target_line(target *what, char *line, size_t size) {
  CHECK(fgets(line, (int)size, what->output) != NULL);
}

void target_kill(target *what) {
  CHECK(kill(what->id, SIGKILL) == 0);
  CHECK_EQUAL(what->id, waitpid(what->id, NULL, 0));
  fclose(what->output);
}

long target_end(target *what) {
  char line[64];
  int status;
  CHECK(kill(what->id, SIGTERM) == 0);
  target_line(what, line, sizeof line);
  CHECK_EQUAL(what->id, waitpid(what->id, &status, 0));
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  fclose(what->output);
  return strtol(line, NULL, 10);
}

nearbuf_process target_open(const target *what) {
  nearbuf_process process;
  CHECK_OK(nearbuf_process_open(what->id, &process));
  return process;
}

char target_state(const target *what) {
  char path[64];
  char line[256];
  char state = '?';
  (void)snprintf(path, sizeof path, "/proc/%d/status", (int)what->id);
  FILE *status = fopen(path, "r");
  while (status != NULL && fgets(line, sizeof line, status) != NULL) {
    if (strncmp(line, "State:\t", 7) == 0) {
      state = line[7];
    }
  }
  if (status != NULL) {
    fclose(status);
  }
  return state;
}

int target_lines(const target *what, const char *name) {
  char path[64];
  (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)what->id, name);
  FILE *file = fopen(path, "r");
  CHECK(file != NULL);
  int count = 0;
  for (int c = getc(file); c != EOF; c = getc(file)) {
    count += c == '\n';
  }
  fclose(file);
  return count;
}

int target_files(const target *what, const char *name) {
  char path[64];
  (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)what->id, name);
  DIR *directory = opendir(path);
  CHECK(directory != NULL);
  int count = 0;
  while (readdir(directory) != NULL) {
    count++;
  }
  closedir(directory);
  return count;
}

nearbuf_process_request anywhere(uint64_t size) {
  nearbuf_process_request request = NEARBUF_PROCESS_REQUEST_INIT;
  request.size_bytes = size;
  request.min = 0x100000; /* some systems let nobody map below */
  return request;
}

uint64_t put(nearbuf_process *process, const void *bytes, size_t size) {
  nearbuf_process_request request = anywhere(size);
  nearbuf_process_buffer buffer;
  uint64_t address;
  CHECK_OK(nearbuf_process_get(process, &request, &buffer));
  CHECK_OK(nearbuf_process_append(process, &buffer, bytes, size, &address));
  CHECK_OK(nearbuf_process_release(process, &buffer));
  return address;
}

void become_nobody(void) {
  if (geteuid() != 0) {
    return;
  }
  CHECK(setgroups(0, NULL) == 0 && setresgid(65534, 65534, 65534) == 0 &&
        setresuid(65534, 65534, 65534) == 0);
  /* Whoever changes its user is not dumpable: our own children must be ours to look at. */
  CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
}

uint64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
