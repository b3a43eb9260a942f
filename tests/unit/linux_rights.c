/* Work with the rights of another process, on an invented kernel: which ids and capabilities a
 * thread has, what changes them, and what is refused is what a test says. remote/linux/rights.c is
 * compiled here, with other names for what it calls of the C library. With real users it is tested
 * by tests/process/remote_rights.c. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"
#include "refused.h"
#include "remote/linux/rights.h"
#include "test.h"

/* ---- The kernel ------------------------------------------------------------------------------ */

enum {
  PAGE = 4096,
  STACK = 64 << 10,
  CHILD = 500,
  CAPABILITIES_3 = 0x20080522,
  MOST_LOOKS = 9 /* at capabilities, more than there are */
};

typedef struct thread {
  uint32_t user;
  uint32_t group;
  int64_t groups; /* number of supplementary ones */
  uint64_t effective;
  uint64_t permitted;
  uint64_t inheritable;
  uint64_t mask;
} thread;

static struct {
  thread now; /* the one that runs: the caller's, or the child */
  uint64_t lost_with_user;
  bool is_user_refused;
  bool is_group_refused;
  bool are_groups_refused;
  int set_error;
  int look_error; /* of the look with this number, and later ones */
  int first_bad_look;
  int looks;
  int page_error;
  int stack_error;
  int clone_error;
  bool is_killed; /* the child, at once */
  int interruptions;
  int pages;
  int stacks;
  int clones;
  int waits;
  char log[128];
} it = {.now = {.user = 0, .group = 0, .groups = 2, .effective = 0xff000000ff, .mask = 0x55},
        .first_bad_look = MOST_LOOKS};

static _Alignas(64) unsigned char around[4 * PAGE];
static unsigned char *const shared = around + (size_t)2 * PAGE; /* the page */
static unsigned char stack_bytes[STACK];

static struct {
  unsigned char bytes[PAGE];
  size_t size;
} given;

static void note(const char *what) {
  size_t length = strlen(it.log);
  (void)snprintf(it.log + length, sizeof it.log - length, "%s%s", length == 0 ? "" : " ", what);
}

/* As the kernel does it: the id before is returned, and a refusal is silent. */
static long set_id(uint32_t *id, long wanted, bool is_refused) {
  long before = (long)*id;
  if ((uint32_t)wanted != UINT32_MAX && !is_refused) {
    *id = (uint32_t)wanted;
  }
  return before;
}

static long set_user(long wanted) {
  uint32_t before = it.now.user;
  long result = set_id(&it.now.user, wanted, it.is_user_refused);
  if (it.now.user != before) {
    note("user");
    it.now.effective &= ~it.lost_with_user;
  }
  return result;
}

static long set_group(long wanted) {
  uint32_t before = it.now.group;
  long result = set_id(&it.now.group, wanted, it.is_group_refused);
  if (it.now.group != before) {
    note("group");
  }
  return result;
}

static long set_groups(long count, const void *list) {
  CHECK(count == 0 && list == NULL);
  if (it.are_groups_refused) {
    return failed_with(EPERM);
  }
  note("groups");
  it.now.groups = 0;
  return 0;
}

static void check_header(const uint32_t *header) {
  CHECK(header[0] == CAPABILITIES_3 && header[1] == 0);
}

static long look(const uint32_t *header, uint32_t *words) {
  check_header(header);
  if (it.looks++ >= it.first_bad_look) {
    return failed_with(it.look_error);
  }
  const uint64_t sets[3] = {it.now.effective, it.now.permitted, it.now.inheritable};
  for (int i = 0; i < 3; i++) {
    words[i] = (uint32_t)sets[i];
    words[3 + i] = (uint32_t)(sets[i] >> 32);
  }
  return 0;
}

static long set(const uint32_t *header, const uint32_t *words) {
  uint64_t sets[3];
  check_header(header);
  if (it.set_error != 0) {
    return failed_with(it.set_error);
  }
  for (int i = 0; i < 3; i++) {
    sets[i] = words[i] | (uint64_t)words[3 + i] << 32;
  }
  note("capabilities");
  it.now.effective = sets[0];
  it.now.permitted = sets[1];
  it.now.inheritable = sets[2];
  return 0;
}

static long change_mask(const uint64_t *mask, uint64_t *before) {
  if (before != NULL) {
    *before = it.now.mask;
  }
  it.now.mask = *mask;
  return 0;
}

static long wait_for(long process, const int *status, long options) {
  CHECK(process == CHILD && status == NULL && options == (long)0x80000000UL);
  CHECK_EQUAL(UINT64_MAX, it.now.mask);
  if (it.interruptions > 0) {
    it.interruptions--;
    return failed_with(EINTR);
  }
  it.waits++;
  return CHILD;
}

#ifdef SYS_setfsuid32
enum { USER_CALL = SYS_setfsuid32, GROUP_CALL = SYS_setfsgid32, GROUPS_CALL = SYS_setgroups32 };
#else
enum { USER_CALL = SYS_setfsuid, GROUP_CALL = SYS_setfsgid, GROUPS_CALL = SYS_setgroups };
#endif

static long invented_syscall(long number, ...) {
  long a[4];
  static const int counts[] = {2, 2, 1, 1, 2, 3, 4};
  static const long numbers[] = {SYS_capget,  SYS_capset, USER_CALL,         GROUP_CALL,
                                 GROUPS_CALL, SYS_wait4,  SYS_rt_sigprocmask};
  size_t which = 0;
  while (which < 6 && numbers[which] != number) {
    which++;
  }
  va_list arguments;
  va_start(arguments, number);
  for (int i = 0; i < counts[which]; i++) {
    a[i] = va_arg(arguments, long);
  }
  va_end(arguments);
  switch (which) {
  case 0:
    return look((const uint32_t *)a[0], (uint32_t *)a[1]);
  case 1:
    return set((const uint32_t *)a[0], (const uint32_t *)a[1]);
  case 2:
    return set_user(a[0]);
  case 3:
    return set_group(a[0]);
  case 4:
    return set_groups(a[0], (const void *)a[1]);
  case 5:
    return wait_for(a[0], (const int *)a[1], a[2]);
  default:
    CHECK_EQUAL(SYS_rt_sigprocmask, number);
    CHECK_EQUAL(SIG_SETMASK, (int)a[0]);
    CHECK_EQUAL(8, a[3]);
    return change_mask((const uint64_t *)a[1], (uint64_t *)a[2]);
  }
}

static int invented_getgroups(int count, const void *list) {
  CHECK(count == 0 && list == NULL);
  return (int)it.now.groups;
}

/* The child has a copy of the memory, so that only the page is left of what it does. */
static int invented_clone(int (*run)(void *), const void *top, int flags, void *work) {
  CHECK(top == stack_bytes + STACK && flags == CLONE_FILES);
  CHECK_EQUAL(UINT64_MAX, it.now.mask);
  it.clones++;
  if (it.clone_error != 0) {
    return failed_with(it.clone_error);
  }
  if (!it.is_killed) {
    const thread caller = it.now;
    unsigned char bytes[PAGE];
    memcpy(bytes, given.bytes, sizeof bytes);
    CHECK_EQUAL(0, run(work));
    memcpy(given.bytes, bytes, sizeof bytes);
    it.now = caller;
  }
  return CHILD;
}

static int invented_setpgid(pid_t id, pid_t group) {
  CHECK(id == 0 && group == 0);
  note("alone");
  return 0;
}

static void *invented_own_pages(size_t size) {
  CHECK_EQUAL(STACK, size);
  it.stacks += it.stack_error == 0;
  return failed_with(it.stack_error) == 0 ? stack_bytes : NULL;
}

static nbuf_result invented_unmap(uintptr_t address, size_t size) {
  CHECK(address == (uintptr_t)stack_bytes && size == STACK);
  it.stacks--;
  return nbuf_result_of(NEARBUF_OK);
}

static void *invented_mmap(const void *at, size_t size, int protection, int flags, int file,
                           off_t offset) {
  CHECK(at == NULL && size == PAGE && file == -1 && offset == 0);
  CHECK_EQUAL(PROT_READ | PROT_WRITE, protection);
  CHECK_EQUAL(MAP_SHARED | MAP_ANONYMOUS, flags);
  it.pages += it.page_error == 0;
  return failed_with(it.page_error) == 0 ? shared : MAP_FAILED;
}

static int invented_munmap(const void *at, size_t size) {
  CHECK(at == shared && size == PAGE);
  it.pages--;
  return 0;
}

#define syscall invented_syscall
#undef getgroups
#define getgroups(count, list) invented_getgroups(count, list)
#define clone(run, top, flags, context) invented_clone(run, top, flags, context)
#define setpgid(id, group) invented_setpgid(id, group)
#undef mmap
#define mmap(at, size, protection, flags, file, offset)                                            \
  invented_mmap(at, size, protection, flags, file, offset)
#define munmap(at, size) invented_munmap(at, size)
#define nbuf_os_own_pages(size) invented_own_pages(size)
#define nbuf_os_unmap(address, size) invented_unmap(address, size)
#define nbuf_os_page_size() ((size_t)PAGE)
#include "remote/linux/rights.c" /* NOLINT(bugprone-suspicious-include) */

/* ---- Runs ------------------------------------------------------------------------------------ */

#define ROOTS_CAPABILITIES UINT64_C(0xff000000ff)
#define DONE NEARBUF_STALE, 99
static nbuf_rights theirs = {.user = 1000, .group = 100, .capabilities = 0};
static thread worker; /* as which the work was done */
static int runs;

/* It makes what it was given the other way round. */
static nbuf_result make(void *context) {
  unsigned char *bytes = context;
  CHECK(context == given.bytes);
  runs++;
  worker = it.now;
  for (size_t i = 0; i < given.size; i++) {
    bytes[i] = (unsigned char)~bytes[i];
  }
  return nbuf_result_system(DONE);
}

/* `is_made`: the work was done, and its outcome has come back. */
static void run(nearbuf_status status, int error, bool is_made) {
  const thread before = it.now;
  memset(around, 0x77, sizeof around);
  for (size_t i = 0; i < sizeof given.bytes; i++) {
    given.bytes[i] = (unsigned char)(i * 7);
  }
  it.looks = it.clones = it.waits = runs = 0;
  it.log[0] = '\0';
  memset(&worker, 0, sizeof worker);
  theirs.are_ours = nbuf_rights_are_ours(&theirs);
  nbuf_result result = nbuf_rights_run(&theirs, make, given.bytes, given.size);
  CHECK_STATUS(status, result.status);
  CHECK_EQUAL((unsigned)error, (unsigned)result.system_error);
  for (size_t i = 0; i < sizeof given.bytes; i++) {
    unsigned char byte = (unsigned char)(i * 7);
    CHECK_EQUAL(is_made && i < given.size ? (unsigned char)~byte : byte, given.bytes[i]);
  }
  for (size_t i = 0; i < sizeof around; i++) {
    bool is_of_page = around + i >= shared && around + i < shared + PAGE;
    CHECK(is_of_page || around[i] == 0x77);
  }
  CHECK_EQUAL(is_made, runs);
  CHECK(it.pages == 0 && it.stacks == 0);
  CHECK(memcmp(&before, &it.now, sizeof before) == 0); /* the caller keeps its rights */
}

static void check_log(const char *expected) {
  if (strcmp(expected, it.log) != 0) {
    test_fail(__FILE__, __LINE__, "it was \"%s\"", it.log);
  }
}

static void check_child(bool is_made) {
  run(DONE, true);
  CHECK_EQUAL(is_made, it.clones);
  CHECK_EQUAL(is_made, it.waits);
}

TEST(a_child_does_the_work_with_the_rights_that_were_asked_for) {
  given.size = 40;
  theirs.capabilities = 0x8000000081;
  run(DONE, true);
  CHECK(it.clones == 1 && it.waits == 1);
  CHECK_EQUAL(1000, worker.user);
  CHECK_EQUAL(100, worker.group);
  CHECK_EQUAL(0, worker.groups);
  CHECK_EQUAL(0x8000000081, worker.effective);
  CHECK_EQUAL(0x8000000081, worker.permitted);
  CHECK_EQUAL(0, worker.inheritable);
  CHECK_EQUAL(UINT64_MAX, worker.mask); /* no handler of the program runs in it */
  check_log("alone groups group user capabilities");
}

TEST(it_gets_no_capability_that_the_caller_lacks) {
  theirs.capabilities = UINT64_MAX;
  run(DONE, true);
  CHECK_EQUAL(ROOTS_CAPABILITIES, worker.effective);
  it.lost_with_user = 0x81; /* as a change from root to a user does */
  run(DONE, true);
  CHECK_EQUAL(ROOTS_CAPABILITIES & ~UINT64_C(0x81), worker.effective);
}

TEST(ids_of_32_bits_are_as_good_as_others) {
  theirs.user = 0xfffffffe;
  theirs.group = 0x80000000;
  run(DONE, true);
  CHECK_EQUAL(0xfffffffe, worker.user);
  CHECK_EQUAL(0x80000000, worker.group);
}

TEST(an_outcome_may_be_all_that_a_page_has_beside_the_result) {
  given.size = PAGE - sizeof(nbuf_result);
  run(DONE, true);
  given.size = 1;
  run(DONE, true);
}

/* ---- Without a child ------------------------------------------------------------------------- */

TEST(a_caller_without_capabilities_does_it_itself) {
  it.now.effective = 0;
  check_child(false);
  CHECK_EQUAL(2, worker.groups);
}

TEST(a_caller_that_has_no_more_than_those_rights_does_it_itself) {
  it.now.user = 1000;
  it.now.group = 100;
  theirs.capabilities = ROOTS_CAPABILITIES;
  check_child(false);
  CHECK_EQUAL(ROOTS_CAPABILITIES, worker.effective);
  theirs.capabilities = UINT64_MAX;
  check_child(false);
  theirs.capabilities = ROOTS_CAPABILITIES & ~UINT64_C(0x8000000000);
  check_child(true);
  theirs.capabilities = ROOTS_CAPABILITIES & ~UINT64_C(1);
  check_child(true);
  theirs.capabilities = ROOTS_CAPABILITIES;
  theirs.user++;
  check_child(true);
  theirs.user--;
  theirs.group++;
  check_child(true);
}

/* ---- Refusals -------------------------------------------------------------------------------- */

TEST(with_other_groups_than_those_of_the_rights_nothing_is_done) {
  it.are_groups_refused = true;
  run(NEARBUF_DENIED, EPERM, false);
  check_log("alone");
  it.now.groups = 0; /* there is nothing to give up */
  run(DONE, true);
  check_log("alone group user capabilities");
}

TEST(if_the_system_refuses_an_id_nothing_is_done) {
  it.is_user_refused = true;
  run(NEARBUF_DENIED, EPERM, false);
  it.is_user_refused = false;
  it.is_group_refused = true;
  run(NEARBUF_DENIED, EPERM, false);
}

TEST(if_capabilities_cannot_be_given_up_nothing_is_done) {
  it.set_error = EACCES;
  run(NEARBUF_DENIED, EACCES, false);
  it.set_error = 0;
  it.look_error = EFAULT;
  for (it.first_bad_look = 0; it.first_bad_look < 3; it.first_bad_look++) {
    run(NEARBUF_DENIED, EFAULT, false);
  }
  run(DONE, true);
}

TEST(without_memory_or_a_child_nothing_is_done) {
  it.clone_error = EAGAIN;
  run(NEARBUF_OUT_OF_MEMORY, EAGAIN, false);
  CHECK_EQUAL(0, it.waits);
  it.stack_error = ENOMEM;
  run(NEARBUF_OUT_OF_MEMORY, ENOMEM, false);
  CHECK_EQUAL(0, it.clones);
  it.page_error = ENFILE;
  run(NEARBUF_OUT_OF_MEMORY, ENFILE, false);
}

TEST(a_child_that_is_killed_leaves_what_it_was_given) {
  given.size = 40;
  it.is_killed = true;
  run(NEARBUF_SYSTEM_ERROR, 0, false);
  CHECK_EQUAL(1, it.waits);
}

TEST(it_is_awaited_through_interruptions) {
  it.interruptions = 3;
  check_child(true);
  CHECK_EQUAL(0, it.interruptions);
}
