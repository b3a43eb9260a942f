/* Memory of another process with special rules. The processes are children of the test. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote_linux.h"
#include "test.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

enum { PAGE = 4096 };

typedef struct child {
  pid_t id;
  nearbuf_process process;
} child;

/* Starts a child that does something first and then waits; false: the system denied it. */
static bool start_child(child *what, bool (*first)(void)) {
  int ends[2];
  bool is_done = false;
  CHECK(pipe(ends) == 0);
  what->id = fork();
  CHECK(what->id >= 0);
  if (what->id == 0) {
    is_done = first == NULL || first();
    CHECK_EQUAL(0, prctl(PR_SET_PDEATHSIG, SIGKILL)); /* a change of the user clears it */
    CHECK(write(ends[1], &is_done, sizeof is_done) == (ssize_t)sizeof is_done);
    for (;;) {
      pause();
    }
  }
  close(ends[1]);
  CHECK(read(ends[0], &is_done, sizeof is_done) == (ssize_t)sizeof is_done);
  close(ends[0]);
  CHECK_OK(nearbuf_process_open(what->id, &what->process));
  return is_done;
}

static void end_child(child *what) {
  CHECK_OK(nearbuf_process_close(&what->process));
  CHECK_EQUAL(0, kill(what->id, SIGKILL));
  CHECK_EQUAL(what->id, waitpid(what->id, NULL, 0));
}

static nearbuf_status allocate(child *what, uint64_t size) {
  nearbuf_process_request request = anywhere(size);
  uint64_t address;
  nearbuf_status status = nearbuf_process_allocate(&what->process, &request, &address, NULL);
  CHECK_EQUAL(status == NEARBUF_OK, address != 0);
  return status;
}

/* ---- What the system refuses it -------------------------------------------------------------- */

static bool refuse_writable_code(void) {
  return prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0;
}

TEST(where_writable_memory_cannot_be_run_it_is_denied_with_the_systems_code) {
  child what;
  if (!start_child(&what, refuse_writable_code)) {
    end_child(&what);
    test_skip("the kernel has no such rule");
  }
  CHECK_STATUS(NEARBUF_DENIED, allocate(&what, PAGE));
  CHECK_EQUAL(EACCES, what.process.system_error);
  end_child(&what);
}

static bool limit_addresses(void) {
  const struct rlimit little = {PAGE, PAGE}; /* it keeps what it has */
  return setrlimit(RLIMIT_AS, &little) == 0;
}

TEST(a_process_at_its_limit_of_memory_is_out_of_memory) {
  child what;
  CHECK(start_child(&what, limit_addresses));
  CHECK_STATUS(NEARBUF_OUT_OF_MEMORY, allocate(&what, PAGE));
  CHECK_EQUAL(ENOMEM, what.process.system_error);
  end_child(&what);
}

static bool lock_what_comes(void) {
  const struct rlimit none = {0, 0};
  return setrlimit(RLIMIT_MEMLOCK, &none) == 0 && mlockall(MCL_FUTURE) == 0 &&
         seteuid(65534) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0;
}

TEST(a_process_that_may_lock_no_more_memory_is_out_of_memory) {
  child what;
  if (geteuid() != 0) {
    test_skip("needs the right to lock memory");
  }
  CHECK(start_child(&what, lock_what_comes));
  CHECK_STATUS(NEARBUF_OUT_OF_MEMORY, allocate(&what, PAGE));
  CHECK_EQUAL(EAGAIN, what.process.system_error);
  end_child(&what);
}

/* ---- Where it is to get its first locator ---------------------------------------------------- */

static nearbuf_status get(child *what, int32_t *code) {
  nearbuf_process_request request = anywhere(10);
  nearbuf_process_buffer buffer;
  nearbuf_status status = nearbuf_process_get(&what->process, &request, &buffer);
  *code = what->process.system_error;
  if (status == NEARBUF_OK) {
    CHECK_OK(nearbuf_process_release(&what->process, &buffer));
  }
  return status;
}

static bool use_up_descriptors(void) {
  const struct rlimit none = {0, 0};
  return setrlimit(RLIMIT_NOFILE, &none) == 0;
}

/* An ordinary user can meet another obstacle first: a shared directory of another user. */
static void need_root(void) {
  if (geteuid() != 0) {
    test_skip("it takes root");
  }
}

TEST(a_process_without_descriptors_gets_no_locator_and_keeps_no_memory) {
  want_own_tmp();
  need_root();
  child what;
  int32_t code;
  CHECK(start_child(&what, use_up_descriptors));
  int maps = target_lines(&(target){.id = what.id}, "maps");
  CHECK_STATUS(NEARBUF_OUT_OF_MEMORY, get(&what, &code));
  CHECK_EQUAL(EMFILE, code);
  CHECK_EQUAL(maps, target_lines(&(target){.id = what.id}, "maps"));
  end_child(&what);
}

/* To run into it would be a signal that ends us. */
TEST(a_limit_of_ours_on_file_sizes_is_told) {
  want_own_tmp();
  need_root();
  child what;
  int32_t code;
  CHECK(start_child(&what, NULL));
  const struct rlimit little = {PAGE - 1, RLIM_INFINITY};
  const struct rlimit enough = {PAGE, RLIM_INFINITY};
  CHECK_EQUAL(0, setrlimit(RLIMIT_FSIZE, &little));
  CHECK_STATUS(NEARBUF_SYSTEM_ERROR, get(&what, &code));
  CHECK_EQUAL(EFBIG, code);
  CHECK_EQUAL(0, setrlimit(RLIMIT_FSIZE, &enough));
  CHECK_OK(get(&what, &code));
  end_child(&what);
}

TEST(what_no_process_can_have_is_no_room) {
  child what;
  CHECK(start_child(&what, NULL));
  nearbuf_process_request request = anywhere(PAGE);
  uint64_t address;
  request.min = UINT64_C(0xffff000000000000); /* the kernel's half */
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_process_allocate(&what.process, &request, &address, NULL));
  request = anywhere(PAGE);
  request.alignment_bytes = UINT64_C(1) << 62;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_process_allocate(&what.process, &request, &address, NULL));
  CHECK_EQUAL(0, address);
  end_child(&what);
}

/* ---- What is freed --------------------------------------------------------------------------- */

static unsigned char *own_pages;

/* Four pages as the library creates them, which the map shows as two mappings. */
static void map_own_pages(void) {
  own_pages = mmap(NULL, (size_t)6 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(own_pages != MAP_FAILED);
  own_pages += PAGE;
  CHECK(mprotect(own_pages, (size_t)4 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
  CHECK(madvise(own_pages + (size_t)2 * PAGE, (size_t)2 * PAGE, MADV_DONTDUMP) == 0);
}

static nearbuf_status free_pages(child *what, int first, int count) {
  return nearbuf_process_free(&what->process, (uintptr_t)own_pages + (uint64_t)first * PAGE,
                              (uint64_t)count * PAGE);
}

static bool protect_third(void) {
  return mprotect(own_pages + (size_t)2 * PAGE, PAGE, PROT_READ | PROT_WRITE) == 0;
}

static bool share_third(void) {
  return mmap(own_pages + (size_t)2 * PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
              MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
}

static bool lose_third(void) {
  return munmap(own_pages + (size_t)2 * PAGE, PAGE) == 0;
}

TEST(memory_that_the_map_tells_in_pieces_is_freed_in_one) {
  child what;
  map_own_pages();
  CHECK(start_child(&what, NULL));
  CHECK_STATUS(NEARBUF_NOT_FOUND, free_pages(&what, 0, 5));
  CHECK_STATUS(NEARBUF_NOT_FOUND, free_pages(&what, -1, 5));
  CHECK_OK(free_pages(&what, 1, 3));
  CHECK_STATUS(NEARBUF_NOT_MAPPED, free_pages(&what, 0, 2));
  CHECK_OK(free_pages(&what, 0, 1));
  end_child(&what);
}

TEST(of_memory_with_a_page_of_another_kind_inside_nothing_is_freed) {
  static bool (*const changes[])(void) = {protect_third, share_third, lose_third};
  map_own_pages();
  for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
    child what;
    CHECK(start_child(&what, changes[i]));
    nearbuf_status refusal = changes[i] == lose_third ? NEARBUF_NOT_MAPPED : NEARBUF_NOT_FOUND;
    CHECK_STATUS(refusal, free_pages(&what, 0, 4));
    CHECK_STATUS(refusal, free_pages(&what, 0, 3));
    CHECK_STATUS(refusal, free_pages(&what, 2, 1));
    CHECK_OK(free_pages(&what, 0, 2));
    CHECK_OK(free_pages(&what, 3, 1));
    end_child(&what);
  }
}

TEST(what_is_no_run_of_whole_pages_is_refused) {
  child what;
  CHECK(start_child(&what, NULL));
  static const uint64_t wrong[][2] = {{0, PAGE},
                                      {PAGE, 0},
                                      {PAGE + 1, PAGE},
                                      {PAGE, PAGE + 1},
                                      {UINT64_MAX - PAGE + 1, PAGE},
                                      {UINT64_MAX - PAGE + 1, UINT64_C(2) * PAGE}};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    CHECK_STATUS(NEARBUF_INVALID_ARGUMENT,
                 nearbuf_process_free(&what.process, wrong[i][0], wrong[i][1]));
  }
  CHECK_STATUS(NEARBUF_NOT_MAPPED, nearbuf_process_free(&what.process, PAGE, PAGE));
  end_child(&what);
}

/* ---- Its map --------------------------------------------------------------------------------- */

typedef struct map_check {
  uint64_t page;
  nearbuf_process_mapping found;
  uint64_t last; /* the end of the mapping before */
  int count;
  int enough;
} map_check;

static int check_mapping(const nearbuf_process_mapping *mapping, void *context) {
  map_check *check = context;
  CHECK(mapping->min <= mapping->max);
  CHECK(check->count == 0 || mapping->min > check->last);
  check->last = mapping->max;
  if (mapping->min <= check->page && check->page <= mapping->max) {
    check->found = *mapping;
  }
  return ++check->count == check->enough ? -1 : 0;
}

TEST(the_map_is_told_in_order_with_what_may_be_done_with_each_mapping) {
  static const struct {
    int protection;
    int flags;
  } kinds[] = {{PROT_NONE, MAP_PRIVATE},
               {PROT_READ, MAP_PRIVATE},
               {PROT_READ | PROT_WRITE, MAP_SHARED},
               {PROT_READ | PROT_EXEC, MAP_PRIVATE},
               {PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED}};
  void *pages[5];
  for (int i = 0; i < 5; i++) {
    pages[i] = mmap(NULL, PAGE, kinds[i].protection, kinds[i].flags | MAP_ANONYMOUS, -1, 0);
    CHECK(pages[i] != MAP_FAILED);
  }
  child what;
  CHECK(start_child(&what, NULL));
  for (int i = 0; i < 5; i++) {
    map_check check = {.page = (uintptr_t)pages[i]};
    CHECK_OK(nearbuf_process_visit_map(&what.process, check_mapping, &check));
    CHECK_EQUAL((kinds[i].protection & PROT_READ) != 0, check.found.is_readable);
    CHECK_EQUAL((kinds[i].protection & PROT_WRITE) != 0, check.found.is_writable);
    CHECK_EQUAL((kinds[i].protection & PROT_EXEC) != 0, check.found.is_executable);
    CHECK_EQUAL(kinds[i].flags == MAP_SHARED, check.found.is_shared);
    CHECK(check.count > 5);
    map_check some = {.enough = 2};
    CHECK_STATUS(NEARBUF_CANCELLED, nearbuf_process_visit_map(&what.process, check_mapping, &some));
    CHECK_EQUAL(2, some.count);
  }
  end_child(&what);
}
