/* Tries a scene with one failure after the other; see scene.h. */
#include "scene.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/format.h"
#include "base/range.h"
#include "locator_names.h"
#include "os/posix/files.h"
#include "own_tmp.h"
#include "test.h"

enum { LONGEST_TRY_SECONDS = 150, MOST_ITEMS = 1024, MOST_BAD_TRIES = 20 };

library_copy other_copy;
int32_t last_system_error;
size_t private_bytes;
size_t reference_bytes;

const char *own_path(const char *suffix) {
  static char path[256];
  nbuf_name name = nbuf_name_of_process(getpid());
  int length = snprintf(path, sizeof path, "%s/%s%s", LOCATOR_DIRECTORY, name.text, suffix);
  CHECK(length > 0 && length < (int)sizeof path);
  return path;
}

static struct {
  unsigned char *start;
  size_t size;
} watched;

enum { PATTERN = 0x5C };

void watch_memory(void *start, size_t size) {
  watched.start = start;
  watched.size = size;
  memset(start, PATTERN, size);
}

static void check_watched(void) {
  for (size_t i = 0; i < watched.size; i++) {
    CHECK_EQUAL(PATTERN, watched.start[i]);
  }
}

/* ---- What this process has ------------------------------------------------------------------- */

typedef struct possessions {
  size_t runnable_bytes; /* private, without a file, writable and executable: regions */
  size_t shared_bytes;   /* writable, shared: locators */
  size_t lost_bytes;     /* of these, pages that did not become a locator */
  int descriptors;
} possessions;

static int count_descriptors(void) {
  int count = 0;
  DIR *directory = opendir("/proc/self/fd");
  CHECK(directory != NULL);
  while (readdir(directory) != NULL) {
    count++;
  }
  closedir(directory);
  return count;
}

static bool is_lost_locator(const char *line, uintptr_t start) {
  return strstr(line, NBUF_NAME_PREFIX) != NULL &&
         nbuf_shared_address_acquire(start, sizeof start) == 0;
}

static possessions look_at_possessions(void) {
  possessions have = {0, 0, 0, count_descriptors()};
  FILE *maps = fopen("/proc/self/maps", "r");
  CHECK(maps != NULL);
  char line[512];
  while (fgets(line, sizeof line, maps) != NULL) {
    uintptr_t start;
    uintptr_t end;
    char permissions[5];
    unsigned long inode;
    CHECK_EQUAL(4, sscanf(line, "%zx-%zx %4s %*x %*x:%*x %lu", &start, &end, permissions, &inode));
    have.runnable_bytes += strcmp(permissions, "rwxp") == 0 && inode == 0 ? end - start : 0;
    if (strncmp(permissions, "rw", 2) == 0 && permissions[3] == 's') {
      have.shared_bytes += end - start;
      have.lost_bytes += is_lost_locator(line, start) ? end - start : 0;
    }
  }
  fclose(maps);
  return have;
}

/* ---- What must hold -------------------------------------------------------------------------- */

static void check_locators(const nearbuf_totals *totals) {
  uintptr_t at = totals->first_locator;
  for (uint32_t i = 0; i < totals->locators; i++) {
    nearbuf_dialect dialect = nbuf_format_recognise(at, sizeof(uintptr_t), NEARBUF_DIALECT_WRITTEN);
    const nbuf_layout *layout = nbuf_native_layout(dialect);
    CHECK_EQUAL(NBUF_FAULT_NONE, nbuf_format_check(at, layout, at, NULL));
    at = nbuf_shared_link_acquire(at + layout->next);
  }
  CHECK_EQUAL(0, at);
}

static void check_no_overlap(void) {
  static nearbuf_info seen[MOST_ITEMS];
  uint32_t count = 0;
  nearbuf_walk walk = {0};
  while (nearbuf_next(&walk, &seen[count]) == NEARBUF_OK) {
    nbuf_range buffer = {seen[count].address, seen[count].address + (seen[count].size_bytes - 1)};
    for (uint32_t i = 0; i < count; i++) {
      nbuf_range other = {seen[i].address, seen[i].address + (seen[i].size_bytes - 1)};
      CHECK(!nbuf_range_overlaps(buffer, other));
    }
    CHECK(++count < MOST_ITEMS);
  }
}

/* What a try reports to its parent. */
typedef struct report {
  system_call met;
  bool has_failed;
  bool has_lost; /* it created a locator, and that of another copy became the first */
} report;

static report *told;

/* Both copies of the library see one locator, sound and complete, and every mapping is listed in
 * it, except the one page of a copy that loses a race. */
static void check_memory(const possessions *before, const system_plan *plan) {
  nearbuf_totals totals;
  nearbuf_totals others;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_OK(other_copy.get_totals(&others));
  /* If another implementation used the page while the anchor was made, one copy may know its
   * mapping of it. */
  CHECK(totals.first_locator == others.first_locator || reference_bytes != 0);
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(totals.buffers, others.buffers);
  check_locators(&totals);
  check_no_overlap();
  possessions now = look_at_possessions();
  CHECK_EQUAL(before->descriptors, now.descriptors);
  told->has_lost = now.lost_bytes != 0;
  CHECK(!told->has_lost || (plan->is_race && now.lost_bytes == NBUF_LOCATOR_SIZE));
  if (told->met != CALL_MUNMAP) { /* what cannot be unmapped stays */
    CHECK_EQUAL(before->runnable_bytes + totals.size_bytes + private_bytes, now.runnable_bytes);
    CHECK_EQUAL(before->shared_bytes + (size_t)totals.locators * NBUF_LOCATOR_SIZE,
                now.shared_bytes - now.lost_bytes - reference_bytes);
  }
}

const char *users_directory(void) {
  static char path[64];
  (void)snprintf(path, sizeof path, USER_DIRECTORY_FORMAT, (unsigned)geteuid());
  return path;
}

/* No name in the directory begins like this, or belongs to an unfinished file. */
static void check_names_in(const char *path, const char *start) {
  DIR *directory = opendir(path);
  const struct dirent *entry;
  while (directory != NULL && (entry = readdir(directory)) != NULL) {
    CHECK(start == NULL || strncmp(entry->d_name, start, strlen(start)) != 0);
    size_t prefix = sizeof NBUF_NAME_PREFIX - 1;
    bool is_unfinished =
        nbuf_name_process(entry->d_name) == getpid() && strchr(entry->d_name + prefix, '.') != NULL;
    if (is_unfinished) {
      test_fail(__FILE__, __LINE__, "left behind: %s", entry->d_name);
    }
  }
  if (directory != NULL) {
    closedir(directory);
  }
}

/* No meaningless name is left: no unfinished file or directory. */
static void check_names(system_call met) {
  if (met != CALL_UNLINKAT) {
    check_names_in("/tmp", "..reloaded");
    check_names_in(SHARED_PARENT, ".memory.buffers.");
    check_names_in(LOCATOR_DIRECTORY, NULL);
    check_names_in(users_directory(), NULL);
  }
}

/* Whether a failure of the system's has the status that goes with the error that was injected. */
static bool fits_error(nearbuf_status status, int error) {
  bool is_memory = told->met == CALL_MMAP || told->met == CALL_OPEN || told->met == CALL_OPENAT ||
                   told->met == CALL_MEMFD;
  switch (error) {
  case EMFILE:
  case ENOMEM:
  case EAGAIN: /* of mmap: too much locked memory */
    return status == (is_memory ? NEARBUF_OUT_OF_MEMORY : NEARBUF_SYSTEM_ERROR);
  case ENFILE:
    return status == NEARBUF_OUT_OF_MEMORY ||
           (told->met == CALL_MMAP && status == NEARBUF_SYSTEM_ERROR);
  case EACCES:
  case EPERM: /* memory of the library's own is never forbidden: it is not to be had */
    return status == NEARBUF_DENIED || (told->met == CALL_MMAP && status == NEARBUF_OUT_OF_MEMORY);
  default:
    return status == NEARBUF_SYSTEM_ERROR;
  }
}

static bool is_documented(nearbuf_status status, const scene *what, const system_plan *plan) {
  switch (status) {
  case NEARBUF_OUT_OF_MEMORY:
  case NEARBUF_DENIED:
  case NEARBUF_SYSTEM_ERROR:
    return plan->actor != NULL || status == what->expected ||
           fits_error(status, system_error(told->met, plan->error));
  case NEARBUF_BUSY: /* of a lasting failure or of another actor */
    return plan->is_lasting || plan->actor != NULL;
  default:
    return status == what->expected;
  }
}

/* ---- One try --------------------------------------------------------------------------------- */

static void check_system_error(nearbuf_status status, const system_plan *plan) {
  bool is_of_system =
      status == NEARBUF_OUT_OF_MEMORY || status == NEARBUF_DENIED || status == NEARBUF_SYSTEM_ERROR;
  if (is_of_system && plan->actor == NULL && last_system_error != NO_SYSTEM_ERROR) {
    CHECK_EQUAL(system_error(told->met, plan->error), last_system_error);
  }
}

static void try_once(const scene *what, const system_plan *plan) {
  alarm(LONGEST_TRY_SECONDS);
  possessions before = look_at_possessions();
  system_be(what->kernel);
  if (what->prepare != NULL) {
    what->prepare();
  }
  last_system_error = NO_SYSTEM_ERROR;
  system_arm(plan, &told->met); /* reported at once: the try may not reach its end */
  nearbuf_status status = what->call();
  system_disarm();
  told->has_failed = status != what->expected;
  if (!is_documented(status, what, plan)) {
    test_fail(__FILE__, __LINE__, "undocumented: %s", nearbuf_status_name(status));
  }
  check_system_error(status, plan);
  check_names(told->met);

  const system_plan nothing = {0};
  system_call met_again;
  system_arm(&nothing, &met_again);
  nearbuf_status again = what->call();
  system_disarm();
  CHECK_STATUS(what->expected, again);
  check_watched();
  check_memory(&before, plan);
  check_names(told->met);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *at) {
  (void)status;
  (void)kind;
  (void)at;
  (void)remove(path);
  return 0;
}

static void clear_tmp(void) {
  (void)nftw(SHARED_PARENT, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
  (void)nftw(users_directory(), remove_entry, 16, FTW_DEPTH | FTW_PHYS);
  (void)nftw("/tmp/elsewhere", remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Returns whether the try ended well. */
static bool run_try(const scene *what, const system_plan *plan) {
  clear_tmp();
  *told = (report){CALL_NONE, false, false};
  fflush(NULL);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    try_once(what, plan);
    fflush(NULL);
    _exit(0);
  }
  int status;
  CHECK_EQUAL(child, waitpid(child, &status, 0));
  if (status == 0) {
    return true;
  }
  const char *cause =
      plan->actor != NULL ? "the actor" : strerror(system_error(told->met, plan->error));
  fprintf(stderr, "  at call %d, %s (%s%s): status 0x%x\n", plan->at, system_call_name(told->met),
          cause, plan->is_lasting ? ", lasting" : "", (unsigned)status);
  return false;
}

static void set_up(void) {
  void *copy = dlopen(OTHER_COPY, RTLD_NOW | RTLD_LOCAL);
  CHECK(copy != NULL);
  *(void **)&other_copy.get = dlsym(copy, "nearbuf_get");
  *(void **)&other_copy.release = dlsym(copy, "nearbuf_release");
  *(void **)&other_copy.get_totals = dlsym(copy, "nearbuf_get_totals");
  CHECK(other_copy.get != NULL && other_copy.release != NULL && other_copy.get_totals != NULL);
  if (!use_own_tmp()) {
    test_skip("no file system can be mounted here: %s", strerror(errno));
  }
  told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(told != MAP_FAILED);
}

/* Tries every call of the scene, until a try ends before the selected call. */
static void try_every_call(const scene *what, system_plan plan) {
  set_up();
  int tries = 0;
  int failures = 0;
  int losses = 0;
  int bad = 0; /* all are reported, up to a limit */
  for (plan.at = 1;;) {
    bool is_good = run_try(what, &plan);
    bad += !is_good;
    if (told->met == CALL_NONE || bad == MOST_BAD_TRIES) {
      break;
    }
    tries++;
    failures += told->has_failed;
    losses += told->has_lost;
    plan.error++;
    if (plan.actor != NULL || plan.error >= system_errors(told->met)) {
      plan.error = 0;
      plan.at++;
    }
  }
  CHECK_EQUAL(0, bad);
  CHECK(!told->has_failed); /* in the last try nothing went wrong */
  CHECK(tries > 0);
  CHECK_EQUAL(plan.is_race, losses > 0);
  printf("%d tries at %d calls, %d of them ended in an error\n", tries, plan.at - 1, failures);
}

void fail_every_call(const scene *what) {
  try_every_call(what, (system_plan){.is_lasting = false});
}

void fail_every_call_lastingly(const scene *what) {
  try_every_call(what, (system_plan){.is_lasting = true});
}

void act_before_every_call(const scene *what, void (*actor)(void)) {
  try_every_call(what, (system_plan){.actor = actor});
}

void race_before_every_call(const scene *what, void (*actor)(void)) {
  try_every_call(what, (system_plan){.actor = actor, .is_race = true});
}
