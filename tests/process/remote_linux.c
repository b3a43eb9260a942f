/* See remote_support.h and remote_linux.h. */
#include "remote_linux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "own_tmp.h"
#include "test.h"

static bool has_own_tmp;

void want_own_tmp(void) {
  static bool is_done;
  if (!is_done && geteuid() == 0) {
    has_own_tmp = use_own_tmp();
  }
  is_done = true;
}

/* A second path to the folder of the programs, below /tmp. The project may lie where only root has
 * access, as in /root. */
static const char second_way[] = "/tmp/programs";

static void make_second_way(void) {
  char folder[] = REMOTE_TARGET;
  *strrchr(folder, '/') = '\0';
  want_own_tmp();
  if (has_own_tmp && mkdir(second_way, 0755) == 0) {
    (void)mount(folder, second_way, NULL, MS_BIND, NULL); /* or the programs are not found there */
  }
}

/* The path by which this user reaches the program. */
static const char *way_to(const char *program, char other[PATH_MAX]) {
  if (access(program, X_OK) == 0) {
    return program;
  }
  (void)snprintf(other, PATH_MAX, "%s%s", second_way, strrchr(program, '/'));
  if (access(other, X_OK) != 0) {
    test_skip("this user cannot run what is in the folder of %s", program);
  }
  return other;
}

/* Starts a program and reads its first line. */
static target start(const char *program, const char *first, const char *second, char line[64]) {
  int input[2];
  int output[2];
  want_own_tmp();
  /* The ends that are ours must not live on in other children. */
  CHECK(pipe2(input, O_CLOEXEC) == 0 && pipe2(output, O_CLOEXEC) == 0);
  char other[PATH_MAX];
  const char *path = way_to(program, other);
  target what = {.id = fork()};
  CHECK(what.id >= 0);
  if (what.id == 0) {
    dup2(input[0], 0);
    dup2(output[1], 1);
    execl(path, path, first, second, (char *)NULL);
    _exit(9);
  }
  close(input[0]);
  close(output[1]);
  what.input = fdopen(input[1], "w");
  what.output = fdopen(output[0], "r");
  target_line(&what, line, 64);
  return what;
}

target target_start(const char *program, const char *first, const char *second) {
  char line[64];
  target what = start(program, first, second, line);
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

int target_wait(target *what) {
  int status;
  CHECK_EQUAL(what->id, waitpid(what->id, &status, 0));
  fclose(what->input);
  fclose(what->output);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void target_kill(target *what) {
  CHECK(kill(what->id, SIGKILL) == 0);
  CHECK_EQUAL(-1, target_wait(what));
}

long target_end(target *what) {
  char line[64];
  CHECK(kill(what->id, SIGTERM) == 0);
  target_line(what, line, sizeof line);
  CHECK_EQUAL(0, target_wait(what));
  return strtol(line, NULL, 10);
}

bool has_name_of_later(const target *what, const nearbuf_process_locator *locator) {
  char prefix[64];
  (void)snprintf(prefix, sizeof prefix, ", PID %d, later ", (int)what->id);
  const char *number = strstr(locator->name, prefix);
  return number != NULL && strtoull(number + strlen(prefix), NULL, 16) != locator->address;
}

nearbuf_process target_open_hidden(target *what) {
  nearbuf_process process;
  uint64_t end = now_ms() + 150000;
  do {
    nearbuf_status status = nearbuf_process_open(what->id, &process);
    if (status == NEARBUF_DENIED && process.system_error == ENOENT) {
      target_kill(what);
      test_skip("/proc shows nothing of a process that is not dumpable");
    }
    CHECK_OK(status);
    if (process.address_bits == 0) {
      return process;
    }
    CHECK_OK(nearbuf_process_close(&process));
    usleep(1000);
  } while (now_ms() < end);
  test_fail(__FILE__, __LINE__, "it stays dumpable");
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

bool target_reaches(const target *what, char state) {
  uint64_t end = now_ms() + 150000;
  while (target_state(what) != state && now_ms() < end) {
    usleep(1000);
  }
  return target_state(what) == state;
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

void become_nobody(void) {
  if (geteuid() != 0) {
    return;
  }
  make_second_way(); /* before the right to make it is gone */
  CHECK(setgroups(0, NULL) == 0 && setresgid(65534, 65534, 65534) == 0 &&
        setresuid(65534, 65534, 65534) == 0);
  /* A process that changes its user is not dumpable; our own children must be readable for us. */
  CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
}

/* Since Linux 6.4. */
void want_dispatch_switched_off(void) {
  enum { GET_DISPATCH = 0x4211 }; /* PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG */
  uint64_t dispatch[4] = {0};     /* struct ptrace_sud_config */
  int status;
  pid_t child = fork();
  if (child == 0) {
    (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    (void)raise(SIGSTOP);
    _exit(0);
  }
  CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFSTOPPED(status));
  long refusal = syscall(SYS_ptrace, GET_DISPATCH, child, sizeof dispatch, dispatch);
  CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
  if (refusal != 0) {
    test_skip("a tracer cannot switch that off here");
  }
}

uint64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- Control groups -------------------------------------------------------------------------- */

bool group_write(const control_group *what, const char *name, const char *text) {
  char path[192];
  (void)snprintf(path, sizeof path, "%s/%s", what->path, name);
  int file = open(path, O_WRONLY | O_CLOEXEC);
  bool is_written = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);
  if (file >= 0) {
    close(file);
  }
  return is_written;
}

static bool make_group(control_group *made, const char *parent, pid_t member) {
  char id[16];
  (void)snprintf(made->path, sizeof made->path, "%s/nearbuf-test-%d", parent, (int)getpid());
  (void)snprintf(id, sizeof id, "%d", (int)member);
  if (mkdir(made->path, 0755) != 0) {
    return false;
  }
  if (group_write(made, "cgroup.procs", id) && group_write(made, made->file, made->thawed)) {
    return true;
  }
  rmdir(made->path);
  return false;
}

bool group_make_new(control_group *made, pid_t member) {
  *made = (control_group){"", "cgroup.freeze", "1", "0"};
  return make_group(made, "/sys/fs/cgroup", member) ||
         make_group(made, "/sys/fs/cgroup/unified", member);
}

bool group_make_old(control_group *made, pid_t member) {
  *made = (control_group){"", "freezer.state", "FROZEN", "THAWED"};
  return make_group(made, "/sys/fs/cgroup/freezer", member);
}

void group_remove(const control_group *what) {
  for (int i = 0; i < 10000 && rmdir(what->path) != 0; i++) {
    usleep(1000);
  }
}
