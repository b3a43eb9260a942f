/* Children if the system does not wipe pages (MADV_WIPEONFORK), and where no fork handler runs: a
 * raw clone, a copy of the library in another namespace of the linker. And processes whose pages
 * were to be wiped once, but are not any more. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/state.h"
#include "os/posix/anchor.h"
#include "support.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#define MADV_KEEPONFORK 19
#endif

/* ---- Surroundings ---------------------------------------------------------------------------- */

/* From now on madvise denies every advice from the first to the last. */
static void refuse_advice(uint32_t first, uint32_t last) {
  struct sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
               (uint32_t)(offsetof(struct seccomp_data, args) + 2 * sizeof(uint64_t))),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, first, 0, 2),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof steps / sizeof steps[0], steps};
  CHECK_EQUAL(0, prctl(PR_SET_NO_NEW_PRIVS, 1ul, 0ul, 0ul, 0ul));
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    test_skip("cannot set a filter: %s", strerror(errno));
  }
  void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (madvise(page, 4096, MADV_WIPEONFORK) == 0) {
    test_skip("the filter does nothing here");
  }
}

/* Pages can be kept out of children, but not wiped there; and neither. */
static void refuse_wiping(void) {
  refuse_advice(MADV_WIPEONFORK, MADV_WIPEONFORK);
}

static void refuse_all_advice(void) {
  refuse_advice(MADV_DONTFORK, UINT32_MAX);
}

static pid_t raw_clone(void) {
  return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

/* ---- What must hold -------------------------------------------------------------------------- */

static nearbuf_buffer held_by_parent;
static unsigned char *of_parent;

static void begin_parent(void) {
  of_parent = place_answer(42);
  nearbuf_request request = request_of(64);
  CHECK_OK(nearbuf_get(&request, &held_by_parent));
  CHECK_OK(nearbuf_append(&held_by_parent, "parent", 6, NULL));
}

static void check_child(void) {
  CHECK_STATUS(NEARBUF_STALE, nearbuf_append(&held_by_parent, "x", 1, NULL));
  CHECK_EQUAL(0, nearbuf_buffer_room(&held_by_parent));
  CHECK_STATUS(NEARBUF_STALE, nearbuf_release(&held_by_parent));
  CHECK_EQUAL(42, call_answer(of_parent));
  for (int i = 0; i < 5; i++) {
    CHECK_EQUAL(43, call_answer(place_answer(43)));
  }
  CHECK(first_locator() != 0);
  copy other = load_copy(1);
  CHECK_EQUAL(first_locator(), first_locator_of(&other));
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(1, totals.buffers);
}

static void check_parent(uintptr_t first) {
  CHECK_EQUAL(first, first_locator());
  CHECK_OK(nearbuf_append(&held_by_parent, "x", 1, NULL));
  CHECK_OK(nearbuf_release(&held_by_parent));
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_release(&held_by_parent));
  CHECK_EQUAL(44, call_answer(place_answer(44)));
  copy other = load_copy(1);
  CHECK_EQUAL(first, first_locator_of(&other));
}

static void fork_again(void *context) {
  (void)context;
  check_child();
  nearbuf_request request = request_of(64);
  CHECK_OK(nearbuf_get(&request, &held_by_parent));
  pid_t child = raw_clone();
  if (child == 0) {
    check_child();
    _exit(0);
  }
  expect_success(child);
  CHECK_OK(nearbuf_release(&held_by_parent));
}

/* Of a process that forks with and without handlers, children of children too. */
static void check_forks(void) {
  begin_parent();
  uintptr_t first = first_locator();
  in_child(fork_again, NULL);
  pid_t child = raw_clone();
  if (child == 0) {
    fork_again(NULL);
    _exit(0);
  }
  expect_success(child);
  check_parent(first);
}

static copy late;

/* The first call of a copy that the parent has only loaded, and calls of the one that it used. */
static int call_with_same_memory(void *context) {
  const unsigned char code[] = {0xb8, 43, 0, 0, 0, 0xc3};
  nearbuf_request request = request_of(sizeof code);
  nearbuf_memory by_late;
  return late.place(&request, code, &by_late) == NEARBUF_OK &&
                 nearbuf_place(&request, code, context) == NEARBUF_OK &&
                 nearbuf_append(&held_by_parent, "vfork", 5, NULL) == NEARBUF_OK
             ? 0
             : 1;
}

/* A child of vfork has another id and the same memory. */
static void check_vfork(void) {
  enum { STACK = 256 << 10 };
  begin_parent();
  late = load_copy(3);
  uintptr_t first = first_locator();
  char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  nearbuf_memory placed;
  pid_t child =
      clone(call_with_same_memory, stack + STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, &placed);
  CHECK(child > 0);
  expect_success(child);
  nearbuf_info info;
  CHECK_OK(nearbuf_find(placed.run_at, &info));
  CHECK_EQUAL(1, count_locator_files());
  CHECK_EQUAL(first, first_locator_of(&late));
  check_parent(first);
}

TEST(children_of_a_process_whose_pages_cannot_be_wiped_are_noticed) {
  own_tmp();
  refuse_wiping();
  check_forks();
}

TEST(children_of_a_process_that_may_give_no_advice_are_noticed) {
  own_tmp();
  refuse_all_advice();
  check_forks();
}

TEST(a_child_of_vfork_is_its_parent_where_pages_cannot_be_wiped) {
  own_tmp();
  refuse_wiping();
  check_vfork();
}

TEST(a_child_of_vfork_is_its_parent_where_no_advice_may_be_given) {
  own_tmp();
  refuse_all_advice();
  if (syscall(SYS_kcmp, getpid(), getpid(), 1, 0ul, 0ul) != 0) {
    test_skip("processes cannot be compared: %s", strerror(errno));
  }
  check_vfork();
}

/* Where pages cannot be wiped, nothing is remembered that a walk or a release would need. */
TEST(buffers_work_as_ever_where_pages_cannot_be_wiped) {
  own_tmp();
  refuse_wiping();
  nearbuf_request request = request_of(16);
  nearbuf_buffer buffers[300];
  for (int i = 0; i < 300; i++) {
    CHECK_OK(nearbuf_get(&request, &buffers[i]));
    CHECK_OK(nearbuf_append(&buffers[i], "0123456789abcdef", 16, NULL));
  }
  for (int i = 0; i < 300; i++) {
    CHECK_OK(nearbuf_release(&buffers[i]));
  }
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  for (int i = 0; i < 300; i++) {
    (void)place("0123456789abcdef", 16);
  }
  nearbuf_totals after;
  CHECK_OK(nearbuf_get_totals(&after));
  CHECK_EQUAL(totals.buffers, after.buffers);
  CHECK_EQUAL(0, after.taken);
}

/* ---- Another namespace of the linker --------------------------------------------------------- */

static copy apart;

static void use_apart(void *context) {
  (void)context;
  nearbuf_request request = request_of(16);
  nearbuf_memory placed;
  CHECK_STATUS(NEARBUF_STALE, apart.append(&held_by_parent, "x", 1, NULL));
  CHECK_OK(apart.place(&request, "0123456789abcdef", &placed));
  uintptr_t first = first_locator_of(&apart);
  CHECK_EQUAL(first, first_locator());
  CHECK(memcmp(placed.run_at, "0123456789abcdef", 16) == 0);
  nearbuf_info info;
  CHECK_OK(nearbuf_find(placed.run_at, &info));
}

static void check_apart(void) {
  apart = load_copy_apart(1);
  nearbuf_request request = request_of(64);
  CHECK_OK(apart.get(&request, &held_by_parent));
  (void)place("x", 1);
  uintptr_t first = first_locator_of(&apart);
  CHECK_EQUAL(first, first_locator());
  in_child(use_apart, NULL);
  CHECK_OK(apart.append(&held_by_parent, "x", 1, NULL));
  CHECK_OK(apart.release(&held_by_parent));
  CHECK_EQUAL(first, first_locator_of(&apart));
  CHECK_EQUAL(first, first_locator());
}

TEST(a_copy_in_another_namespace_of_the_linker_notices_a_fork) {
  own_tmp();
  check_apart();
}

TEST(so_it_does_where_pages_cannot_be_wiped) {
  own_tmp();
  refuse_wiping();
  check_apart();
}

TEST(so_it_does_where_no_advice_may_be_given) {
  own_tmp();
  refuse_all_advice();
  check_apart();
}

/* ---- LD_AUDIT -------------------------------------------------------------------------------- */

static void use_audited(void *context) {
  (void)context;
  (void)load_copy(2); /* the auditor is called for it */
  CHECK_EQUAL(43, call_answer(place_answer(43)));
}

PART(audited) {
  own_tmp();
  (void)load_copy(1);
  (void)place("x", 1);
  uintptr_t first = first_locator();
  in_child(use_audited, NULL);
  pid_t child = raw_clone();
  if (child == 0) {
    use_audited(NULL);
    _exit(0);
  }
  expect_success(child);
  use_audited(NULL);
  CHECK_EQUAL(first, first_locator());
}

static void run_audited(void *context) {
  (void)context;
#ifdef AUDIT
  CHECK_EQUAL(0, setenv("LD_AUDIT", AUDIT, 1));
  exec_part("audited");
#endif
}

static void check_audited(void) {
#ifndef AUDIT
  test_skip("this C library has no LD_AUDIT");
#endif
  own_tmp();
  in_child(run_audited, NULL);
}

TEST(an_auditor_and_its_program_notice_forks) {
  check_audited();
}

TEST(so_they_do_where_pages_cannot_be_wiped) {
  CHECK_EQUAL(0, setenv("NEARBUF_TEST_REFUSE_WIPING", "1", 1));
  check_audited();
}

/* ---- Pages that are not wiped any more ------------------------------------------------------- */

/* The state of a process restored from a checkpoint by CRIU before 4.2. */
static void forget_to_wipe(void) {
  uintptr_t place = (uintptr_t)nbuf_anchor_place(sizeof(uintptr_t), 0);
  uintptr_t state = (uintptr_t)nbuf_state_current();
  CHECK_EQUAL(0, madvise((void *)(place + 4096), 4096, MADV_KEEPONFORK));
  CHECK_EQUAL(0, madvise((void *)(state & ~(uintptr_t)4095), sizeof(nbuf_state), MADV_KEEPONFORK));
}

static void use_restored(void *context) {
  (void)context;
  check_child();
}

TEST(a_restored_process_whose_pages_are_not_wiped_any_more_can_fork) {
  own_tmp();
  begin_parent();
  forget_to_wipe();
  uintptr_t first = first_locator();
  in_child(use_restored, NULL);
  check_parent(first);
}

static void use_late_copy(void *context) {
  copy later = load_copy(2);
  use_restored(context);
  CHECK_EQUAL(first_locator(), first_locator_of(&later));
}

static void use_late_copy_first(void *context) {
  copy later = load_copy(2);
  nearbuf_request request = request_of(1);
  nearbuf_memory placed;
  CHECK_OK(later.place(&request, "x", &placed));
  CHECK_EQUAL(first_locator_of(&later), first_locator());
  (void)context;
}

TEST(so_can_one_whose_children_load_another_copy) {
  own_tmp();
  begin_parent();
  forget_to_wipe();
  uintptr_t first = first_locator();
  in_child(use_late_copy, NULL);
  in_child(use_late_copy_first, NULL);
  check_parent(first);
}
