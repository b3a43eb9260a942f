/* fork: the child has its own locator, keeps what it inherited, and disturbs no other process. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/format.h"
#include "base/shared.h"
#include "core/header.h"
#include "core/locators.h"
#include "support.h"

/* ---- Handles and buffers --------------------------------------------------------------------- */

static nearbuf_buffer held_by_parent;
static unsigned char *inherited;

static void use_in_child(void *context) {
  uintptr_t parents = *(const uintptr_t *)context;
  CHECK_EQUAL(42, call_answer(inherited));
  unsigned char *own = place_answer(43);
  CHECK_EQUAL(43, call_answer(own));
  CHECK(first_locator() != parents);
  CHECK(exists(locator_path(getpid()).text));
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(1, totals.buffers); /* none of the parent's */
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, totals.sharing);
}

TEST(a_child_has_a_locator_of_its_own) {
  own_tmp();
  inherited = place_answer(42);
  uintptr_t parents = first_locator();
  in_child(use_in_child, &parents);
  CHECK_EQUAL(parents, first_locator());
  CHECK_EQUAL(42, call_answer(inherited));
}

static void use_stale_handle(void *context) {
  (void)context;
  CHECK_STATUS(NEARBUF_STALE, nearbuf_append(&held_by_parent, "x", 1, NULL));
  CHECK_EQUAL(0, nearbuf_buffer_room(&held_by_parent));
  CHECK_STATUS(NEARBUF_STALE, nearbuf_release(&held_by_parent));
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_release(&held_by_parent));
  (void)place("y", 1);
}

static void use_stale_handle_after_own_call(void *context) {
  (void)place("y", 1);
  use_stale_handle(context);
}

TEST(a_handle_from_before_the_fork_is_stale_and_the_parents_item_untouched) {
  own_tmp();
  nearbuf_request request = request_of(64);
  CHECK_OK(nearbuf_get(&request, &held_by_parent));
  in_child(use_stale_handle, NULL);
  in_child(use_stale_handle_after_own_call, NULL);
  nearbuf_buffer another;
  CHECK_OK(nearbuf_get(&request, &another));
  CHECK(another.item != held_by_parent.item);
  CHECK_OK(nearbuf_append(&held_by_parent, "x", 1, NULL));
  CHECK_OK(nearbuf_release(&held_by_parent));
}

static void get_twenty(void *context) {
  (void)context;
  nearbuf_request request = request_of(100000);
  for (int i = 0; i < 20; i++) {
    nearbuf_buffer buffer;
    CHECK_OK(nearbuf_get(&request, &buffer));
    memset((void *)(nearbuf_buffer_address(&buffer) + buffer.start), i, 100000); /* it is there */
    CHECK_OK(nearbuf_append(&buffer, (void *)(nearbuf_buffer_address(&buffer) + buffer.start),
                            100000, NULL));
    CHECK_OK(nearbuf_release(&buffer));
  }
}

static void wait_then_get_twenty(void *context) {
  char go;
  CHECK_EQUAL(1, read(*(const int *)context, &go, 1));
  get_twenty(NULL);
}

TEST(what_the_parent_registers_after_the_fork_is_not_the_childs) {
  own_tmp();
  (void)place("x", 1);
  int go[2];
  CHECK_EQUAL(0, pipe(go));
  pid_t child = start_child(wait_then_get_twenty, &go[0]);
  get_twenty(NULL);
  CHECK_EQUAL(1, write(go[1], "g", 1));
  expect_success(child);
}

TEST(what_the_child_registers_is_not_the_parents) {
  own_tmp();
  (void)place("x", 1);
  in_child(get_twenty, NULL);
  get_twenty(NULL);
}

static void overwrite_inherited(void *context) {
  (void)context;
  unsigned char bytes[64];
  memset(bytes, 0xcc, sizeof bytes);
  CHECK_EQUAL(42, call_answer(inherited));
  memcpy(inherited, bytes, 6);
}

TEST(an_inherited_buffer_is_a_private_copy) {
  own_tmp();
  inherited = place_answer(42);
  in_child(overwrite_inherited, NULL);
  CHECK_EQUAL(42, call_answer(inherited));
}

/* ---- Depth and death ------------------------------------------------------------------------- */

static void descend(void *context) {
  int depth = *(const int *)context - 1;
  uintptr_t parents = first_locator();
  CHECK_EQUAL(42, call_answer(inherited));
  if (depth % 2 == 0) { /* every second generation uses the library itself */
    unsigned char *own = place_answer(depth);
    CHECK_EQUAL(depth, call_answer(own));
    CHECK(first_locator() != parents);
  }
  if (depth > 0) {
    in_child(descend, &depth);
  }
}

TEST(children_of_children_work) {
  own_tmp();
  inherited = place_answer(42);
  int depth = 12;
  in_child(descend, &depth);
}

static void outlive_parent(void *context) {
  const int *pipes = context;
  pid_t parent = getpid();
  pid_t child = fork();
  if (child != 0) {
    _exit(0); /* the parent is gone */
  }
  while (getppid() == parent) {
    sched_yield();
  }
  CHECK_EQUAL(42, call_answer(inherited));
  unsigned char *own = place_answer(44);
  CHECK_EQUAL(1, write(pipes[1], call_answer(own) == 44 ? "y" : "n", 1));
  _exit(0);
}

TEST(a_child_works_when_its_parent_is_gone) {
  own_tmp();
  inherited = place_answer(42);
  int pipes[2];
  CHECK_EQUAL(0, pipe(pipes));
  pid_t child = start_child(outlive_parent, pipes);
  expect_success(child);
  char answered = 'n';
  CHECK_EQUAL(1, read(pipes[0], &answered, 1));
  CHECK_EQUAL('y', answered);
}

/* ---- Locks that are held at the moment ------------------------------------------------------- */

static void place_some(void *context) {
  (void)context;
  get_twenty(NULL);
  CHECK_EQUAL(44, call_answer(place_answer(44)));
}

TEST(a_fork_while_every_lock_is_held_disturbs_neither_side) {
  own_tmp();
  (void)place("x", 1);
  nearbuf_request request = request_of(64);
  CHECK_OK(nearbuf_get(&request, &held_by_parent)); /* an item's */
  nbuf_state *state = nbuf_state_current();
  nbuf_state_lock(state);
  CHECK(nbuf_header_lock(nbuf_locators_entry(0)));
  in_child(place_some, NULL);
  nbuf_header_unlock(nbuf_locators_entry(0));
  nbuf_state_unlock(state);
  CHECK_OK(nearbuf_release(&held_by_parent));
  place_some(NULL);
}

static atomic_bool stop;

static void *call_on(void *context) {
  unsigned char value = *(const unsigned char *)context;
  unsigned char bytes[200];
  memset(bytes, value, sizeof bytes);
  nearbuf_request request = request_of(sizeof bytes);
  while (!atomic_load(&stop)) {
    nearbuf_memory placed;
    CHECK_OK(nearbuf_place(&request, bytes, &placed));
    CHECK(memcmp(placed.run_at, bytes, sizeof bytes) == 0);
    nearbuf_request own = request_of(5000);
    nearbuf_memory memory;
    CHECK_OK(nearbuf_allocate(&own, &memory));
    CHECK_OK(nearbuf_free(&memory));
  }
  return NULL;
}

static void call_in_child(void *context) {
  (void)context;
  unsigned char *own = place_answer(44);
  CHECK_EQUAL(44, call_answer(own));
  CHECK_EQUAL(42, call_answer(inherited));
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(1, totals.locators);
  CHECK_EQUAL(1, totals.buffers);
}

/* The first call races with the first forks, too. */
TEST(forks_of_a_program_whose_threads_call_in_work) {
  own_tmp();
  inherited =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};
  memcpy(inherited, code, sizeof code);
  pthread_t threads[3];
  unsigned char values[3] = {1, 2, 3};
  for (int i = 0; i < 3; i++) {
    CHECK_EQUAL(0, pthread_create(&threads[i], NULL, call_on, &values[i]));
  }
  for (int i = 0; i < 100; i++) {
    in_child(call_in_child, NULL);
  }
  atomic_store(&stop, true);
  for (int i = 0; i < 3; i++) {
    pthread_join(threads[i], NULL);
  }
}

/* Forks at the moment of the first call: between the mapping of a locator and what is done to
 * it. */
static void *call_once(void *context) {
  (void)context;
  (void)place("x", 1);
  return NULL;
}

static void fork_during_first_call(void *context) {
  (void)context;
  pthread_t thread;
  CHECK_EQUAL(0, pthread_create(&thread, NULL, call_once, NULL));
  for (int i = 0; i < 3; i++) {
    in_child(place_some, NULL);
  }
  pthread_join(thread, NULL);
  place_some(NULL);
}

TEST(forks_during_the_first_call_work) {
  if (TEST_HAS_THREAD_SANITIZER) {
    test_skip("the sanitizer believes that the child has its parent's threads");
  }
  own_tmp();
  for (int i = 0; i < 40; i++) {
    in_child(fork_during_first_call, NULL);
  }
}

/* ---- Without handlers ------------------------------------------------------------------------ */

static pid_t raw_clone(void) {
  return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

TEST(a_raw_clone_is_noticed) {
  own_tmp();
  inherited = place_answer(42);
  nearbuf_request request = request_of(64);
  CHECK_OK(nearbuf_get(&request, &held_by_parent));
  uintptr_t parents = first_locator();
  pid_t child = raw_clone();
  if (child == 0) {
    CHECK_STATUS(NEARBUF_STALE, nearbuf_release(&held_by_parent));
    use_in_child(&parents);
    _exit(0);
  }
  expect_success(child);
  CHECK_OK(nearbuf_release(&held_by_parent));
}

/* ---- What is left where the parent's locator was --------------------------------------------- */

/* A copy of another implementation has cached the parent's address. It finds a full locator, and
 * after it the child's. */
static void follow_cached_pointer(void *context) {
  uintptr_t cached = *(const uintptr_t *)context;
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  CHECK_EQUAL(layout->capacity, nbuf_format_count(cached, layout));
  CHECK_EQUAL(0, nbuf_shared_link_acquire(cached + layout->next));
  (void)place("x", 1);
  CHECK_EQUAL(first_locator(), nbuf_shared_link_acquire(cached + layout->next));
  if (first_locator() != cached) {
    uintptr_t own = first_locator();
    CHECK_EQUAL(own, nbuf_shared_address_relaxed(own, sizeof own));
  }
}

TEST(behind_the_parents_address_lies_the_childs_locator) {
  own_tmp();
  (void)place("x", 1);
  uintptr_t cached = first_locator();
  in_child(follow_cached_pointer, &cached);
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  CHECK_EQUAL(0, nbuf_shared_link_acquire(cached + layout->next)); /* the parent's is untouched */
}

static void follow_cached_pointers(void *context) {
  const uintptr_t *cached = context;
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  (void)place("x", 1);
  uintptr_t own = first_locator();
  CHECK_EQUAL(cached[1], nbuf_shared_link_acquire(cached[0] + layout->next));
  CHECK_EQUAL(own, nbuf_shared_link_acquire(cached[1] + layout->next));
}

static void fork_again(void *context) {
  (void)place("x", 1);
  uintptr_t cached[2] = {*(const uintptr_t *)context, first_locator()};
  in_child(follow_cached_pointers, cached);
}

TEST(behind_a_grandparents_address_lies_the_grandchilds_locator) {
  own_tmp();
  (void)place("x", 1);
  uintptr_t cached = first_locator();
  in_child(fork_again, &cached);
}

/* ---- A private locator ----------------------------------------------------------------------- */

/* Its page may lie where the parent's did, which it does not have. The listed items tell them
 * apart. */
static void use_private_in_child(void *context) {
  (void)context;
  copy other = load_copy(1);
  nearbuf_request request = request_of(16);
  nearbuf_memory placed;
  CHECK_OK(other.place(&request, "0123456789abcdef", &placed));
  CHECK_OK(nearbuf_place(&request, "0123456789abcdef", &placed));
  CHECK_EQUAL(first_locator(), first_locator_of(&other));
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(1, totals.buffers); /* the parent's lists two */
}

TEST(a_private_locator_is_not_the_childs) {
  own_tmp();
  obstruct_directories();
  nearbuf_request request = request_of(64);
  CHECK_OK(nearbuf_get(&request, &held_by_parent));
  (void)place("x", 1); /* into another buffer */
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(NEARBUF_SHARING_PRIVATE, totals.sharing);
  CHECK_EQUAL(2, totals.buffers);
  in_child(use_private_in_child, NULL);
  pid_t child = raw_clone();
  if (child == 0) {
    use_private_in_child(NULL);
    _exit(0);
  }
  expect_success(child);
}

/* Another copy in the child must not trust an inherited page, even where it could not be kept
 * out. */
static void use_inherited_page(void *context) {
  uintptr_t parents = *(const uintptr_t *)context;
  copy other = load_copy(1);
  nearbuf_request request = request_of(16);
  nearbuf_memory placed;
  CHECK_OK(other.place(&request, "0123456789abcdef", &placed));
  CHECK(first_locator_of(&other) != parents);
}

TEST(a_locator_that_a_child_inherits_all_the_same_is_not_believed) {
  own_tmp();
  (void)place("x", 1);
  uintptr_t parents = first_locator();
  CHECK_EQUAL(0, madvise((void *)parents, 4096, MADV_DOFORK));
  in_child(use_inherited_page, &parents);
}
