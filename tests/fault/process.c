/* Every system call of the functions for other processes fails, at every place: the process is
 * undisturbed, nothing is left behind in it or here, and the call, repeated, succeeds. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nearbuf/process.h>

#include "locator_names.h"
#include "own_tmp.h"
#include "request.h"
#include "system.h"
#include "test.h"

enum { LONGEST_TRY_SECONDS = 150, SIZE = 10000, MOST_BAD_TRIES = 20 };

static nearbuf_process process;
static uint64_t memory; /* that was allocated in it */

typedef struct scene {
  void (*prepare)(void);        /* may be null; nothing fails yet */
  nearbuf_status (*call)(void); /* outputs are checked in it */
  int mappings;                 /* so many regions more has the process afterwards, */
  int files;                    /* and so many files the directory */
  bool is_lasting;              /* a call that fails goes on failing until ours is over */
  bool stays; /* what was listed in the process stays, even if the call then fails */
} scene;

/* ---- Calls ----------------------------------------------------------------------------------- */

static nearbuf_status look(void) {
  nearbuf_process opened;
  nearbuf_status status = nearbuf_process_open(process.id, &opened);
  if (status != NEARBUF_OK) {
    CHECK_EQUAL(0, opened.id);
    process.system_error = opened.system_error;
    return status;
  }
  nearbuf_process_info info;
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator;
  nearbuf_process_item item;
  char bytes[5];
  status = nearbuf_process_describe(&opened, &info);
  if (status == NEARBUF_OK) {
    status = nearbuf_process_next_locator(&opened, &walk, &locator);
  }
  if (status == NEARBUF_OK) {
    CHECK(locator.fault == NULL || strstr(locator.fault, "cannot be read") != NULL);
    status = nearbuf_process_next_item(&walk, &item);
  }
  if (status == NEARBUF_OK) {
    status = nearbuf_process_read(&opened, item.address, bytes, sizeof bytes, NULL);
    CHECK(status != NEARBUF_OK || memcmp(bytes, "bytes", sizeof bytes) == 0);
  }
  process.system_error = opened.system_error;
  CHECK_OK(nearbuf_process_close(&opened));
  return status;
}

static nearbuf_status put(void) {
  nearbuf_process_request request = anywhere(5);
  nearbuf_process_buffer buffer;
  uint64_t address;
  nearbuf_status status = nearbuf_process_get(&process, &request, &buffer);
  if (status != NEARBUF_OK) {
    CHECK_EQUAL(0, buffer.item);
    return status;
  }
  status = nearbuf_process_append(&process, &buffer, "bytes", 5, &address);
  CHECK_EQUAL(status == NEARBUF_OK, address != 0);
  int32_t code = process.system_error;
  CHECK_OK(nearbuf_process_release(&process, &buffer));
  process.system_error = code;
  return status;
}

static nearbuf_status allocate(void) {
  nearbuf_process_request request = anywhere(SIZE);
  nearbuf_status status = nearbuf_process_allocate(&process, &request, &memory, NULL);
  CHECK_EQUAL(status == NEARBUF_OK, memory != 0);
  return status;
}

static nearbuf_status free_memory(void) {
  return nearbuf_process_free(&process, memory, 12288);
}

static void prepare_put(void) {
  CHECK_OK(put());
}

static void prepare_free(void) {
  CHECK_OK(allocate());
}

/* ---- What must hold -------------------------------------------------------------------------- */

static int count_entries(const char *path) {
  int count = 0;
  DIR *directory = opendir(path);
  while (directory != NULL && readdir(directory) != NULL) {
    count++;
  }
  if (directory != NULL) {
    closedir(directory);
  }
  return count;
}

static int count_names(const char *path) {
  int names = count_entries(path);
  return names < 2 ? 0 : names - 2; /* without "." and ".." */
}

static int count_lines(const char *path) {
  int count = 0;
  FILE *file = fopen(path, "r");
  CHECK(file != NULL);
  for (int c = getc(file); c != EOF; c = getc(file)) {
    count += c == '\n';
  }
  fclose(file);
  return count;
}

typedef struct possessions {
  int own_files;
  int own_mappings;
  int files;
  int mappings;
  int names;
} possessions;

static possessions look_at_possessions(void) {
  char path[64];
  possessions have = {.own_files = count_entries("/proc/self/fd"),
                      .own_mappings = count_lines("/proc/self/maps")};
  have.own_files -= process.handles[2] > 0; /* the handle keeps the file of a locator open */
  (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)process.id);
  have.files = count_entries(path);
  (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)process.id);
  have.mappings = count_lines(path);
  have.names = count_names(LOCATOR_DIRECTORY);
  (void)snprintf(path, sizeof path, USER_DIRECTORY_FORMAT, (unsigned)geteuid());
  have.names += count_names(path);
  return have;
}

static void check_goes_on(void) {
  nearbuf_process_info info;
  CHECK_OK(nearbuf_process_check(&process));
  CHECK_OK(nearbuf_process_describe(&process, &info));
  CHECK_EQUAL(0, info.traced_by);
  CHECK_EQUAL(0, info.is_stopped);
}

typedef struct report {
  system_call met;
  bool has_failed;
} report;

static report *told;

static void check_possessions(const scene *what, const possessions *before, bool is_done) {
  possessions now = look_at_possessions();
  CHECK_EQUAL(before->own_files, now.own_files);
  CHECK_EQUAL(before->files, now.files);
  if (told->met != CALL_MUNMAP) { /* what cannot be unmapped stays */
    CHECK_EQUAL(before->own_mappings, now.own_mappings);
  }
  bool is_as_before = now.mappings == before->mappings && now.names == before->names;
  bool is_as_wanted =
      now.mappings == before->mappings + what->mappings && now.names == before->names + what->files;
  if (told->met != CALL_UNLINKAT) {
    CHECK(is_done ? is_as_wanted : is_as_before || (what->stays && is_as_wanted));
  }
}

/* What the header says about a failure with this error code of the system. */
static bool is_documented(nearbuf_status status, int error) {
  if ((told->met == CALL_PREAD && status == NEARBUF_BUSY) ||
      (told->met == CALL_FSTAT && status == NEARBUF_INCOMPATIBLE)) {
    return true; /* as where the program was replaced, or the file is too short */
  }
  switch (error) {
  case EMFILE:
  case ENFILE:
  case ENOMEM:
    return status == NEARBUF_OUT_OF_MEMORY;
  case EAGAIN: /* a lock of another process, else too many processes or too much locked memory */
    return status == (told->met == CALL_FLOCK ? NEARBUF_BUSY : NEARBUF_OUT_OF_MEMORY);
  case EACCES:
    /* A process that hides its program is found in the same way as one that hides everything. */
    return status == NEARBUF_DENIED || status == NEARBUF_NOT_FOUND ||
           (told->met == CALL_MMAP && status == NEARBUF_OUT_OF_MEMORY);
  case EPERM:
    return status == (told->met == CALL_MMAP ? NEARBUF_OUT_OF_MEMORY : NEARBUF_DENIED);
  case ENOENT:
  case ESRCH:
    /* What existed a moment ago does not: that looks like a program that is being replaced. */
    return status == NEARBUF_NOT_FOUND || status == NEARBUF_BUSY;
  case EIO:
    return status == NEARBUF_NOT_MAPPED || status == NEARBUF_NO_ROOM ||
           status == NEARBUF_SYSTEM_ERROR || status == NEARBUF_DENIED || status == NEARBUF_BUSY;
  default:
    return status == NEARBUF_SYSTEM_ERROR || status == NEARBUF_DENIED;
  }
}

/* The system's error code is reported; if a read failed midway it can be another one. */
static bool is_told(nearbuf_status status, int error) {
  return process.system_error == error || status == NEARBUF_NOT_FOUND || error == EIO ||
         told->met == CALL_PREAD || told->met == CALL_FSTAT;
}

/* ---- Tries ----------------------------------------------------------------------------------- */

static pid_t start_process(void) {
  pid_t id = fork();
  if (id == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
      pause();
    }
  }
  CHECK(id > 0);
  return id;
}

static void try_once(const scene *what, const system_plan *plan) {
  alarm(LONGEST_TRY_SECONDS);
  pid_t id = start_process();
  CHECK_OK(nearbuf_process_open(id, &process));
  if (what->prepare != NULL) {
    what->prepare();
  }
  possessions before = look_at_possessions();
  system_arm(plan, &told->met);
  nearbuf_status status = what->call();
  system_disarm();
  told->has_failed = status != NEARBUF_OK;
  int error = system_error(told->met, plan->error);
  /* Where one way fails, the next one can be closed to an ordinary user. */
  bool is_closed = status == NEARBUF_DENIED && geteuid() != 0;
  bool is_right = is_closed || (is_documented(status, error) && is_told(status, error));
  if (status != NEARBUF_OK && !is_right) {
    test_fail(__FILE__, __LINE__, "undocumented: %s (%d)", nearbuf_status_name(status),
              process.system_error);
  }
  check_goes_on();
  check_possessions(what, &before, status == NEARBUF_OK);
  if (status != NEARBUF_OK) {
    CHECK_OK(what->call());
    check_goes_on();
    check_possessions(what, &before, true);
  }
  CHECK(kill(id, SIGKILL) == 0);
  CHECK_EQUAL(id, waitpid(id, NULL, 0));
  CHECK_OK(nearbuf_process_close(&process));
}

static bool run_try(const scene *what, const system_plan *plan) {
  *told = (report){CALL_NONE, false};
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    CHECK(use_own_tmp());
    try_once(what, plan);
    _exit(0);
  }
  int status;
  CHECK_EQUAL(child, waitpid(child, &status, 0));
  if (status != 0) {
    fprintf(stderr, "  at call %d, %s (%s): status 0x%x\n", plan->at, system_call_name(told->met),
            strerror(system_error(told->met, plan->error)), (unsigned)status);
  }
  return status == 0;
}

/* One of several parts, which are separate tests so that none takes long: the first call, and every
 * Nth after it. */
static void fail_calls(const scene *what, int first, int step) {
  pid_t child = fork();
  if (child == 0) {
    _exit(use_own_tmp() ? 0 : 1);
  }
  int is_refused;
  CHECK_EQUAL(child, waitpid(child, &is_refused, 0));
  if (is_refused != 0) {
    test_skip("no file system can be mounted here");
  }
  told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(told != MAP_FAILED);
  int tries = 0;
  int failures = 0;
  int bad = 0;
  system_plan plan = {.at = first, .is_lasting = what->is_lasting};
  for (;;) {
    bad += !run_try(what, &plan);
    if (told->met == CALL_NONE || bad == MOST_BAD_TRIES) {
      break;
    }
    tries++;
    failures += told->has_failed;
    if (++plan.error >= system_errors(told->met)) {
      plan.error = 0;
      plan.at += step;
    }
  }
  CHECK_EQUAL(0, bad);
  CHECK(!told->has_failed); /* in the last try nothing went wrong */
  printf("%d tries at calls %d to %d, %d of them ended in an error\n", tries, first, plan.at - step,
         failures);
}

static void fail_every_call(const scene *what) {
  fail_calls(what, 1, 1);
}

TEST(looking) {
  fail_every_call(&(scene){.prepare = prepare_put, .call = look});
}

static const scene the_first_bytes = {.call = put, .mappings = 2, .files = 1, .stays = true};

TEST(the_first_bytes_at_calls_1_5_9) {
  fail_calls(&the_first_bytes, 1, 4);
}

TEST(the_first_bytes_at_calls_2_6_10) {
  fail_calls(&the_first_bytes, 2, 4);
}

TEST(the_first_bytes_at_calls_3_7_11) {
  fail_calls(&the_first_bytes, 3, 4);
}

TEST(the_first_bytes_at_calls_4_8_12) {
  fail_calls(&the_first_bytes, 4, 4);
}

TEST(more_bytes) {
  fail_every_call(&(scene){.prepare = prepare_put, .call = put});
}

TEST(more_bytes_where_what_fails_goes_on_failing) {
  fail_every_call(&(scene){.prepare = prepare_put, .call = put, .is_lasting = true});
}

TEST(allocating) {
  fail_every_call(&(scene){.call = allocate, .mappings = 1});
}

TEST(freeing) {
  fail_every_call(&(scene){.prepare = prepare_free, .call = free_memory, .mappings = -1});
}
