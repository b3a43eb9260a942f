/* Processes with the same id in different namespaces, with one /tmp. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/format.h"
#include "base/shared.h"
#include "support.h"

enum { PAGE = 4096 };

/* Forks into a new namespace, where the child is process 1. */
static pid_t clone_into_namespace(void) {
  fflush(NULL);
  pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_NEWPID, NULL, NULL, NULL, NULL);
  if (child < 0) {
    test_skip("cannot make a process namespace: %s", strerror(errno));
  }
  return child;
}

static pid_t start_in_namespace(body run, void *context) {
  pid_t child = clone_into_namespace();
  if (child == 0) {
    run(context);
    fflush(NULL);
    _exit(0);
  }
  return child;
}

static void tell(int descriptor) {
  CHECK_EQUAL(1, write(descriptor, "x", 1));
}

static void await(int descriptor) {
  char told;
  CHECK_EQUAL(1, read(descriptor, &told, 1));
}

typedef struct talk {
  int is_ready[2];
  int may_go_on[2];
  uintptr_t first; /* of the first process, in shared memory */
} talk;

static talk *new_talk(void) {
  talk *made = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK_EQUAL(0, pipe(made->is_ready));
  CHECK_EQUAL(0, pipe(made->may_go_on));
  return made;
}

/* Fills a locator, so that a later one, with a file of its own, is added. */
static void fill_a_locator(void) {
  nearbuf_request request = request_of(1);
  for (int i = 0; i <= NBUF_NATIVE_CAPACITY; i++) {
    nearbuf_buffer buffer; /* held permanently */
    CHECK_OK(nearbuf_get(&request, &buffer));
    CHECK_OK(nearbuf_append(&buffer, "x", 1, NULL));
  }
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(2, totals.locators);
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, totals.sharing);
}

static int count_own_later_files(void) {
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  return (int)totals.locators;
}

static void live_first(void *context) {
  talk *with = context;
  CHECK_EQUAL(1, getpid());
  fill_a_locator();
  CHECK(exists(locator_path(1).text));
  struct stat before;
  CHECK_EQUAL(0, stat(locator_path(1).text, &before));
  with->first = first_locator();
  tell(with->is_ready[1]);
  await(with->may_go_on[0]);
  struct stat after;
  CHECK_EQUAL(0, stat(locator_path(1).text, &after));
  CHECK_EQUAL(before.st_ino, after.st_ino);
  CHECK_EQUAL(42, call_answer(place_answer(42)));
  copy other = load_copy(1);
  CHECK_EQUAL(first_locator(), first_locator_of(&other));
  CHECK_EQUAL(2, count_own_later_files());
}

/* Forked from the same image, it has the same addresses, too. */
static void live_second(void *context) {
  (void)context;
  CHECK_EQUAL(1, getpid());
  fill_a_locator();
  CHECK_EQUAL(42, call_answer(place_answer(42)));
  CHECK_EQUAL(4, count_locator_files()); /* a first and a later one of each */
  copy other = load_copy(2);
  CHECK_EQUAL(first_locator(), first_locator_of(&other));
}

TEST(processes_with_one_id_in_two_namespaces_have_a_locator_each) {
  own_tmp();
  talk *with = new_talk();
  pid_t first = start_in_namespace(live_first, with);
  await(with->is_ready[0]);
  expect_success(start_in_namespace(live_second, NULL));
  tell(with->may_go_on[1]);
  expect_success(first);
}

/* The second one cleans up; the files of the first one must survive it. */
static void clean_from_elsewhere(void *context) {
  (void)context;
  CHECK(getpid() < 5);
  (void)place("x", 1);
}

TEST(a_living_process_of_another_namespace_keeps_its_files) {
  own_tmp();
  fill_a_locator();
  int files = count_locator_files();
  expect_success(start_in_namespace(clean_from_elsewhere, NULL));
  CHECK(exists(locator_path(getpid()).text));
  CHECK_EQUAL(files + 1, count_locator_files());
}

/* ---- Parent and child with the same id ------------------------------------------------------- */

static void differ_from(void *context) {
  const uintptr_t *parents = context;
  CHECK_EQUAL(1, getpid());
  copy other = load_copy(1);
  nearbuf_request request = request_of(8);
  nearbuf_memory placed;
  CHECK_OK(other.place(&request, "12345678", &placed));
  CHECK(first_locator_of(&other) != *parents);
  CHECK_EQUAL(42, call_answer(place_answer(42)));
  CHECK_EQUAL(first_locator(), first_locator_of(&other));
  nearbuf_info info;
  nearbuf_walk walk = {0};
  while (nearbuf_next(&walk, &info) == NEARBUF_OK) {
    CHECK(info.locator != *parents);
  }
}

static void fork_a_namesake(void *context) {
  (void)context;
  CHECK_EQUAL(1, getpid());
  (void)place("x", 1);
  uintptr_t parents = first_locator();
  if (madvise((void *)parents, PAGE, MADV_DOFORK) != 0) { /* inherited after all */
    test_fail(__FILE__, __LINE__, "madvise");
  }
  usleep(100000); /* older than the child, by the clock's tick */
  expect_success(start_in_namespace(differ_from, &parents));
  CHECK_EQUAL(42, call_answer(place_answer(42)));
}

TEST(a_child_with_its_parents_id_does_not_believe_what_it_inherited) {
  own_tmp();
  expect_success(start_in_namespace(fork_a_namesake, NULL));
}

static uintptr_t make_as_reference(void) {
  int file = open(locator_path(getpid()).text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  CHECK_EQUAL(0, ftruncate(file, PAGE));
  unsigned char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  nbuf_shared_address_store_release((uintptr_t)page, sizeof(uintptr_t), (uintptr_t)page);
  return (uintptr_t)page;
}

static void fork_a_namesake_of_a_reference(void *context) {
  (void)context;
  uintptr_t parents = make_as_reference();
  usleep(100000); /* older than the child, by the clock's tick */
  expect_success(start_in_namespace(differ_from, &parents));
}

TEST(a_child_with_its_parents_id_does_not_believe_a_references_locator) {
  own_tmp();
  make_locator_directory();
  expect_success(start_in_namespace(fork_a_namesake_of_a_reference, NULL));
}

static void attach_as_first_process(void *context) {
  (void)context;
  uintptr_t own = make_as_reference();
  (void)place("x", 1);
  CHECK_EQUAL(own, first_locator());
}

TEST(the_first_process_of_a_namespace_attaches_to_its_references_locator) {
  own_tmp();
  make_locator_directory();
  expect_success(start_in_namespace(attach_as_first_process, NULL));
}
