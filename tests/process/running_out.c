/* Limits: the right status, nothing left behind, and the same call works once there is room. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "soft_limits.h"
#include "support.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif

/* A call that must fail with this status, and leave nothing mapped or open. */
static int expect_failure(nearbuf_status expected, const nearbuf_request *request) {
  int mappings = count_mappings();
  nearbuf_buffer buffer;
  CHECK_STATUS(expected, nearbuf_get(request, &buffer));
  CHECK_EQUAL(0, buffer.item);
  int error = buffer.system_error;
  nearbuf_memory memory;
  CHECK_STATUS(expected, nearbuf_allocate(request, &memory));
  CHECK(memory.run_at == NULL);
  /* The state itself may have been created. */
  CHECK(count_mappings() <= mappings + 2);
  return error;
}

static void expect_success_now(void) {
  CHECK_EQUAL(42, call_answer(place_answer(42)));
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

static int use_up_descriptors(int keep) {
  int made = 0;
  int descriptors[64];
  while ((descriptors[made] = dup(0)) >= 0) {
    made++;
  }
  CHECK(made >= keep);
  for (int i = 0; i < keep; i++) {
    close(descriptors[--made]);
  }
  return made;
}

TEST(the_first_call_without_descriptors_fails_and_works_later) {
  own_tmp();
  for (int keep = 0; keep < 3; keep++) {
    uint64_t before = set_limit(RLIMIT_NOFILE, 32);
    (void)use_up_descriptors(keep);
    nearbuf_request request = request_of(64);
    nearbuf_buffer buffer;
    nearbuf_status status = nearbuf_get(&request, &buffer);
    CHECK(status == NEARBUF_OUT_OF_MEMORY || (status == NEARBUF_OK && keep == 2));
    CHECK(status == NEARBUF_OK || buffer.system_error == EMFILE);
    syscall(SYS_close_range, 3, ~0u, 0);
    (void)set_limit(RLIMIT_NOFILE, before);
  }
  expect_success_now();
  CHECK_EQUAL(1, count_locator_files());
}

TEST(a_later_copy_without_descriptors_makes_no_second_locator) {
  own_tmp();
  expect_success_now();
  copy other = load_copy(1);
  uint64_t before = set_limit(RLIMIT_NOFILE, 32);
  for (int keep = 0; keep < 4; keep++) {
    (void)use_up_descriptors(keep);
    nearbuf_request request = request_of(64);
    nearbuf_buffer buffer;
    nearbuf_status status = other.get(&request, &buffer);
    CHECK(status == NEARBUF_OK || status == NEARBUF_OUT_OF_MEMORY);
    syscall(SYS_close_range, 3, ~0u, 0);
  }
  (void)set_limit(RLIMIT_NOFILE, before);
  CHECK_EQUAL(first_locator(), first_locator_of(&other));
  CHECK_EQUAL(1, count_locator_files());
}

TEST(held_buffers_work_without_descriptors) {
  own_tmp();
  nearbuf_request request = request_of(64);
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  (void)set_limit(RLIMIT_NOFILE, 3);
  CHECK_OK(nearbuf_append(&buffer, "x", 1, NULL));
  CHECK_OK(nearbuf_release(&buffer));
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_OK(nearbuf_release(&buffer));
}

/* ---- Memory ---------------------------------------------------------------------------------- */

TEST(without_address_space_a_call_fails_and_works_later) {
  own_tmp();
  nearbuf_request request = request_of(64 << 20);
  uint64_t before = set_limit(RLIMIT_AS, 16 << 20);
  CHECK_EQUAL(ENOMEM, expect_failure(NEARBUF_OUT_OF_MEMORY, &request));
  CHECK_EQUAL(0, count_locator_files());
  (void)set_limit(RLIMIT_AS, before);
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
}

static int use_up_mappings(void) {
  int made = 0;
  while (mmap(NULL, 4096, made % 2 == 0 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
              0) != MAP_FAILED) {
    made++;
  }
  CHECK_EQUAL(ENOMEM, errno);
  return made;
}

TEST(without_mappings_a_call_fails_and_works_later) {
  own_tmp();
  expect_success_now();
  nearbuf_totals before;
  CHECK_OK(nearbuf_get_totals(&before));
  void *spare = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(use_up_mappings() > 1000);
  nearbuf_request request = request_of(1 << 20);
  nearbuf_buffer buffer;
  nearbuf_status status = nearbuf_get(&request, &buffer);
  CHECK(status == NEARBUF_OUT_OF_MEMORY || status == NEARBUF_OK); /* OK: next to our own region */
  nearbuf_request far = request;
  far.range.min = (uintptr_t)1 << (sizeof(uintptr_t) == 8 ? 40 : 30);
  far.range.max = far.range.min + (16 << 20);
  CHECK_STATUS(NEARBUF_OUT_OF_MEMORY, nearbuf_get(&far, &buffer));
  nearbuf_totals after;
  CHECK_OK(nearbuf_get_totals(&after));
  CHECK_EQUAL(before.buffers + (status == NEARBUF_OK), after.buffers);
  CHECK_EQUAL(0, munmap(spare, 1 << 20));
  CHECK_OK(nearbuf_get(&far, &buffer));
}

/* ---- Forbidden memory ------------------------------------------------------------------------ */

TEST(where_executable_memory_is_forbidden_the_answer_is_denied_and_no_locator_is_made) {
  own_tmp();
  if (prctl(PR_SET_MDWE, 1ul, 0ul, 0ul, 0ul) != 0) {
    test_skip("the kernel has no PR_SET_MDWE");
  }
  nearbuf_request request = request_of(64);
  CHECK_EQUAL(EACCES, expect_failure(NEARBUF_DENIED, &request));
  CHECK_EQUAL(0, count_locator_files());
  CHECK_EQUAL(0, first_locator());
}

/* A filter that lets a system call fail when an argument of it has these bits. */
static void forbid_argument(int call, unsigned argument, uint32_t bits, uint32_t error) {
  struct sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
               (uint32_t)(offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t))),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof steps / sizeof steps[0], steps};
  CHECK_EQUAL(0, prctl(PR_SET_NO_NEW_PRIVS, 1ul, 0ul, 0ul, 0ul));
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    test_skip("cannot set a filter: %s", strerror(errno));
  }
}

/* As an administrator would set it, but for this process only: a file of its own is mounted over
 * it. */
TEST(what_the_system_keeps_free_above_address_0_is_never_handed_out) {
  own_tmp();
  write_file("/tmp/lowest", "1048576\n", 8, 0600);
  if (mount("/tmp/lowest", "/proc/sys/vm/mmap_min_addr", NULL, MS_BIND, NULL) != 0) {
    test_skip("cannot mount over a file of /proc: %s", strerror(errno));
  }
  nearbuf_request request = request_of(64);
  CHECK_OK(nearbuf_range_below(NEARBUF_2_GIB, &request.range));
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK_EQUAL(1048576, (uintptr_t)memory.run_at);
  CHECK(first_locator() == 0);
  CHECK_OK(nearbuf_place(&request, (const unsigned char[64]){0}, &memory));
  CHECK((uintptr_t)memory.run_at > 1048576);
  request.range.max = 1048575;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_allocate(&request, &memory));
}

/* A filter that lets mmap fail at addresses of 32 bits below a limit, as the kernel does below
 * vm.mmap_min_addr for those who demand them. */
static void forbid_places_below(int call, uint32_t limit) {
  const bool is_little = *(const unsigned char *)&(const int){1} == 1;
  const uint32_t low = (uint32_t)offsetof(struct seccomp_data, args) + (is_little ? 0 : 4);
  struct sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 6),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low ^ 4),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, limit, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof steps / sizeof steps[0], steps};
  CHECK_EQUAL(0, prctl(PR_SET_NO_NEW_PRIVS, 1ul, 0ul, 0ul, 0ul));
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    test_skip("cannot set a filter: %s", strerror(errno));
  }
}

static void forbid(int call, uint32_t bits, uint32_t error) {
  forbid_argument(call, 2, bits, error);
}

#ifdef SYS_mmap2 /* where an offset in bytes would not fit */
enum { CALL_OF_MMAP = SYS_mmap2 };
#else
enum { CALL_OF_MMAP = SYS_mmap };
#endif

TEST(where_a_filter_forbids_executable_memory_the_answer_is_denied) {
  own_tmp();
  forbid(CALL_OF_MMAP, PROT_EXEC, EPERM);
  nearbuf_request request = request_of(64);
  CHECK_EQUAL(EPERM, expect_failure(NEARBUF_DENIED, &request));
  CHECK_EQUAL(0, count_locator_files());
}

TEST(where_only_some_places_are_forbidden_others_are_used) {
  own_tmp();
  const uint32_t limit = 16 << 20;
  forbid_places_below(CALL_OF_MMAP, limit);
  errno = 0;
  CHECK(mmap((void *)(uintptr_t)0x100000, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
        MAP_FAILED);
  CHECK_EQUAL(EPERM, errno);
  nearbuf_request request = request_of(64);
  request.range = (nearbuf_range){0, 0x7fffffff};
  request.target = 0;
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK(nearbuf_buffer_address(&buffer) >= limit);
  request.range.max = limit - 1;
  nearbuf_memory memory;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_allocate(&request, &memory));
}

TEST(where_a_filter_forbids_reading_the_memory_map_the_answer_is_denied) {
  own_tmp();
  forbid(SYS_openat, O_CLOEXEC, EACCES);
#ifdef SYS_open /* musl's open uses it */
  forbid_argument(SYS_open, 1, O_CLOEXEC, EACCES);
#endif
  nearbuf_request request = request_of(64);
  CHECK_EQUAL(EACCES, expect_failure(NEARBUF_DENIED, &request));
  nearbuf_totals totals;
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_get_totals(&totals));
}

static double seconds(void) {
  struct timespec now;
  CHECK_EQUAL(0, clock_gettime(CLOCK_MONOTONIC, &now));
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Occupies two pages 20,000 times; returns where the middle is. */
static uintptr_t make_many_mappings(void) {
  const size_t pairs = 20000;
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  unsigned char *all =
      mmap(NULL, pairs * 2 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(all != MAP_FAILED);
  for (size_t i = 0; i < pairs; i++) {
    CHECK_EQUAL(0, mprotect(all + i * 2 * page, page, PROT_NONE));
  }
  return (uintptr_t)all + pairs * page;
}

static void check_search_is_quick(uintptr_t target) {
  nearbuf_request request = request_of(64);
  request.range = (nearbuf_range){0, UINTPTR_MAX};
  request.target = target;
  double before = seconds();
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK(seconds() - before < 5); /* a tenth of a second, or minutes */
}

TEST(where_a_filter_forbids_the_map_query_many_mappings_are_searched_in_time) {
  own_tmp();
  uintptr_t target = make_many_mappings();
  forbid(SYS_ioctl, ~0u, EPERM);
  check_search_is_quick(target);
}

TEST(where_a_filter_comes_late_many_mappings_are_searched_in_time) {
  own_tmp();
  uintptr_t target = make_many_mappings();
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals)); /* asks the map */
  forbid(SYS_ioctl, ~0u, EPERM);
  check_search_is_quick(target);
}

static int still_works(void) {
  nearbuf_request request = request_of(8);
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, "12345678", &placed));
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  return (int)totals.sharing;
}

TEST(where_a_filter_forbids_creating_files_the_locator_is_private) {
  own_tmp();
  forbid(SYS_openat, O_CREAT, EACCES);
  CHECK_EQUAL(NEARBUF_SHARING_PRIVATE, still_works());
}

static void differ_from_parent(void *context) {
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, still_works());
  CHECK(first_locator() != *(const uintptr_t *)context);
}

TEST(where_a_filter_forbids_advice_children_are_told_by_their_ids) {
  own_tmp();
  forbid(SYS_madvise, ~0u, EPERM);
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, still_works());
  uintptr_t own = first_locator();
  in_child(differ_from_parent, &own);
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, still_works());
}
