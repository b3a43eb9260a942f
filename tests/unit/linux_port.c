/* The Linux port on an invented kernel: what its system calls return is what a test says. linux.c
 * itself is compiled here, with other names for what it calls of the C library. On the real kernel
 * it is tested by tests/os. */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/kcmp.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/linux/directory.h"
#include "os/os.h"
#include "os/posix/posix.h"
#include "test.h"

#define KIB ((uintptr_t)1 << 10)
#define MIB ((uintptr_t)1 << 20)
#define GIB ((uintptr_t)1 << 30)
#define PLACE ((uintptr_t)0x20000000)

/* ---- The kernel ------------------------------------------------------------------------------ */

enum { MOST_CALLS = 16, ANY_FILE = 77 };

typedef struct map_call {
  uintptr_t address;
  size_t size;
  int protection;
  int flags;
} map_call;

static struct {
  const char *text; /* of the file in /proc that is read next; null: there is none */
  const char *path;
  uintptr_t program_break; /* 0: the kernel does not tell */
  uintptr_t stack_top;
  unsigned long gained_rights;
  rlim_t stack_limit;
  uint64_t random;
  unsigned long file_system; /* its number; 0: the kernel does not tell */
  int64_t names;             /* in the directory: "0", "1" and so on */
  int64_t names_per_read;
  int64_t position; /* the name that is read next */
  int64_t scale;    /* a name's offset is that of its successor times this; below 0: what is left */
  uint64_t nanoseconds;
  struct timespec now;
  struct timespec up;
  struct statx_timestamp birth;
  map_call unmapped;
  long results[MOST_CALLS]; /* of system calls: below 0 the error */
  long numbers[MOST_CALLS];
  map_call mapped[MOST_CALLS];
  long arguments[MOST_CALLS][5];
  int opened;
  int map_calls;
  int unmap_calls;
  int advice_error;
  int last_advice;
  int system_calls;
  int file_flags; /* what the file system says of a file */
  int dumpable;
  clockid_t broken_clock; /* below 0: none */
  unsigned statx_mask;
  int statx_result;
  pid_t parent;
  uid_t users[4]; /* real, effective, saved, of the file system */
  gid_t groups[4];
  int map_errors[MOST_CALLS];
  bool has_no_limit; /* and getrlimit fails */
  bool accepts_any_advice;
  bool hides_users;
  bool hides_groups;
  bool is_unreadable;
  bool is_fixed; /* the position cannot be changed */
} kernel = {.broken_clock = -1, .dumpable = 1};

static int invented_open(const char *path) {
  kernel.opened += kernel.text != NULL;
  kernel.path = path;
  return kernel.text != NULL ? ANY_FILE : -1;
}

static ssize_t invented_read(int file, char *text, size_t size) {
  CHECK_EQUAL(ANY_FILE, file);
  size_t length = strlen(kernel.text);
  length = length < size ? length : size;
  memcpy(text, kernel.text, length);
  return (ssize_t)length;
}

static void invented_close(int file) {
  CHECK_EQUAL(ANY_FILE, file);
  kernel.opened--;
}

static void *invented_sbrk(void) {
  return kernel.program_break != 0 ? (void *)kernel.program_break : (void *)-1;
}

static unsigned long invented_getauxval(unsigned long type) {
  return type == AT_RANDOM ? kernel.stack_top : type == AT_SECURE ? kernel.gained_rights : 0;
}

/* Refuses what is no id, and returns the current one; any other one it would set. */
static unsigned invented_setfs(unsigned id, unsigned current) {
  CHECK_EQUAL((unsigned)-1, id);
  return current;
}

static int invented_getrlimit(struct rlimit *limit) {
  limit->rlim_cur = kernel.stack_limit;
  return kernel.has_no_limit ? -1 : 0;
}

static int invented_mmap_at(uintptr_t address, size_t size, int protection, int flags) {
  CHECK(kernel.map_calls < MOST_CALLS);
  kernel.mapped[kernel.map_calls] = (map_call){address, size, protection, flags};
  return kernel.map_errors[kernel.map_calls++];
}

static int invented_munmap(void *address, size_t size) {
  kernel.unmapped = (map_call){(uintptr_t)address, size, 0, 0};
  kernel.unmap_calls++;
  return 0;
}

static int invented_madvise(const void *pages, size_t size, int advice) {
  CHECK(pages == (void *)PLACE && size == nbuf_os_page_size());
  if (advice == 0x7ead0bad) { /* which is none */
    errno = EINVAL;
    return kernel.accepts_any_advice ? 0 : -1;
  }
  kernel.last_advice = advice;
  errno = kernel.advice_error != 0 ? kernel.advice_error : errno;
  return kernel.advice_error != 0 ? -1 : 0;
}

/* Fills the buffer with records as getdents64 does. */
static long read_records(char *records, long size) {
  long filled = 0;
  for (int64_t i = 0; i < kernel.names_per_read && kernel.position < kernel.names; i++) {
    nbuf_linux_record *record = (nbuf_linux_record *)(void *)&records[filled];
    kernel.position++;
    record->offset = kernel.scale < 0                             ? kernel.names - kernel.position
                     : kernel.position > INT64_MAX / kernel.scale ? INT64_MAX
                                                                  : kernel.position * kernel.scale;
    record->length = sizeof *record + 24;
    CHECK(filled + record->length <= size);
    (void)snprintf(record->name, 24, "%jd", (intmax_t)(kernel.position - 1));
    filled += record->length;
  }
  return filled;
}

static off_t invented_lseek(int file, off_t offset) {
  CHECK_EQUAL(ANY_FILE, file);
  if (kernel.is_fixed) {
    return -1;
  }
  CHECK(offset >= 0);
  kernel.position = offset == 0        ? 0
                    : kernel.scale < 0 ? kernel.names - offset
                                       : (offset + kernel.scale - 1) / kernel.scale;
  return offset;
}

static long invented_syscall(long number, ...) {
  CHECK(kernel.system_calls < MOST_CALLS);
  int index = kernel.system_calls++;
  va_list arguments;
  va_start(arguments, number);
  for (int i = 0; i < 5; i++) {
    kernel.arguments[index][i] = va_arg(arguments, long);
  }
  va_end(arguments);
  if (number == SYS_getdents64) {
    kernel.system_calls--; /* there are many */
    CHECK_EQUAL(ANY_FILE, (int)kernel.arguments[index][0]);
    return kernel.is_unreadable
               ? -1
               : read_records((char *)kernel.arguments[index][1], kernel.arguments[index][2]);
  }
  kernel.numbers[index] = number;
  long result = kernel.results[index];
  if (number == SYS_ioctl && (unsigned)kernel.arguments[index][1] == (unsigned)FS_IOC_GETFLAGS) {
    *(int *)kernel.arguments[index][2] = kernel.file_flags;
  } else if (number == SYS_ioctl) {
    kernel.file_flags = *(int *)kernel.arguments[index][2];
  } else if (number == SYS_getrandom && result == sizeof kernel.random) {
    memcpy((void *)kernel.arguments[index][0], &kernel.random, sizeof kernel.random);
  }
  errno = result < 0 ? (int)-result : errno;
  return result < 0 ? -1 : result;
}

static int invented_fstatfs(int file, struct statfs *status) {
  CHECK_EQUAL(ANY_FILE, file);
  memset(status, 0, sizeof *status);
  status->f_type = (__typeof__(status->f_type))kernel.file_system;
  return kernel.file_system != 0 ? 0 : -1;
}

static int invented_getresuid(uid_t *real, uid_t *effective, uid_t *saved) {
  *real = kernel.users[0];
  *effective = kernel.users[1];
  *saved = kernel.users[2];
  return kernel.hides_users ? -1 : 0;
}

static int invented_getresgid(gid_t *real, gid_t *effective, gid_t *saved) {
  *real = kernel.groups[0];
  *effective = kernel.groups[1];
  *saved = kernel.groups[2];
  return kernel.hides_groups ? -1 : 0;
}

static int invented_clock_gettime(clockid_t clock, struct timespec *time) {
  *time = clock == CLOCK_REALTIME ? kernel.now : kernel.up;
  return clock == kernel.broken_clock ? -1 : 0;
}

static int invented_statx(int file, struct statx *status) {
  CHECK_EQUAL(ANY_FILE, file);
  memset(status, 0, sizeof *status);
  status->stx_mask = kernel.statx_mask;
  status->stx_btime = kernel.birth;
  return kernel.statx_result;
}

#undef open
#undef read
#undef close
#define open(path, flags) invented_open(path)
#define read(file, text, size) invented_read(file, text, size)
#define close(file) invented_close(file)
#define sbrk(more) invented_sbrk()
#define getauxval(type) invented_getauxval(type)
#define getrlimit(which, limit) invented_getrlimit(limit)
#define nbuf_posix_mmap_at(address, size, protection, flags)                                       \
  invented_mmap_at(address, size, protection, flags)
#define munmap(address, size) invented_munmap(address, size)
#define madvise(pages, size, advice) invented_madvise(pages, size, advice)
#define syscall invented_syscall
#define lseek(file, offset, from) invented_lseek(file, offset)
#define nbuf_os_nanoseconds() kernel.nanoseconds
#define fstatfs(file, status) invented_fstatfs(file, status)
#define prctl(option) kernel.dumpable
#define getuid() kernel.users[0]
#define getgid() kernel.groups[0]
#define getresuid(real, effective, saved) invented_getresuid(real, effective, saved)
#define getresgid(real, effective, saved) invented_getresgid(real, effective, saved)
#define setfsuid(id) invented_setfs(id, kernel.users[3])
#define setfsgid(id) invented_setfs(id, kernel.groups[3])
#define clock_gettime(clock, time) invented_clock_gettime(clock, time)
#define sysconf(name) 100L
#define getppid() kernel.parent
#ifdef STATX_BTIME
#define statx(file, name, flags, mask, status) invented_statx(file, status)
#endif
#include "os/linux/linux.c" /* NOLINT(bugprone-suspicious-include) */

#define PAGE ((uintptr_t)nbuf_os_page_size())
#define KEPT_FREE (256 * PAGE) /* by the kernel, below a stack that grows */

/* ---- Addresses ------------------------------------------------------------------------------- */

static uintptr_t lowest_of(uintptr_t from, const char *text) {
  kernel.text = text;
  uintptr_t lowest = nbuf_os_limits(from, from).min;
  CHECK_EQUAL(0, kernel.opened);
  return lowest;
}

TEST(the_lowest_address_is_the_one_that_the_system_keeps_free_and_64_kib_at_least) {
  CHECK_EQUAL(64 * KIB, lowest_of(0, NULL));
  CHECK_EQUAL(64 * KIB, lowest_of(0, ""));
  CHECK_EQUAL(1 * MIB, lowest_of(0, "1048576\n")); /* which it told now */
  CHECK(strcmp(kernel.path, "/proc/sys/vm/mmap_min_addr") == 0);
  kernel.path = NULL;
  CHECK_EQUAL(1 * MIB, lowest_of(0, "2097152\n"));
  CHECK(kernel.path == NULL); /* it is read once */
}

TEST(a_smaller_number_makes_no_address_below_64_kib_usable) {
  CHECK_EQUAL(64 * KIB, lowest_of(0, "4096\n"));
}

TEST(a_number_between_two_pages_is_rounded_up) {
  CHECK_EQUAL(1 * MIB, lowest_of(0, "1044490\n"));
}

TEST(requests_above_1_gib_do_not_ask_for_it) {
  CHECK_EQUAL(64 * KIB, lowest_of(1 * GIB, "1048576\n"));
  CHECK(kernel.path == NULL);
  CHECK_EQUAL(1 * MIB, lowest_of(1 * GIB - 1, "1048576\n"));
}

/* Whether processor and kernel have more addresses than the kernel gives unasked: a page in the
 * upper half of 56 bits is asked for, then of 55, and so on. */
TEST(where_addresses_end_is_found_with_as_few_pages_as_there_are_bits_too_many) {
  const bool has_more = sizeof(uintptr_t) == 8;
  uintptr_t half = (uintptr_t)(UINT64_C(1) << 55);
  for (int i = 0; i < 2; i++) {
    kernel.map_errors[i] = ENOMEM;
  }
  uintptr_t last = nbuf_os_limits(GIB, END_UNASKED).max;
  CHECK_EQUAL(has_more ? 3 : 0, kernel.map_calls);
  CHECK_EQUAL(has_more ? 1 : 0, kernel.unmap_calls);
  CHECK_EQUAL(has_more ? half / 2 - nbuf_os_page_size() - 1 : END_UNASKED - 1, last);
  CHECK_EQUAL(has_more ? half / 4 : 0, kernel.mapped[2].address);
  CHECK_EQUAL(has_more ? half / 4 : 0, kernel.unmapped.address);
  CHECK_EQUAL(last, nbuf_os_limits(GIB, UINTPTR_MAX).max);
  CHECK_EQUAL(has_more ? 3 : 0, kernel.map_calls); /* it is asked once */
  CHECK_EQUAL(END_UNASKED - 1, nbuf_os_limits(GIB, END_UNASKED - 1).max);
}

TEST(where_it_has_none_they_end_where_the_kernel_gives_none_unasked) {
  for (int i = 0; i < MOST_CALLS; i++) {
    kernel.map_errors[i] = ENOMEM;
  }
  CHECK_EQUAL(END_UNASKED - 1, nbuf_os_limits(GIB, UINTPTR_MAX).max);
  int calls = 0;
  for (uint64_t half = UINT64_C(1) << 55; sizeof half == sizeof(uintptr_t) && half > END_UNASKED;
       half /= 2) {
    calls++;
  }
  CHECK_EQUAL(calls, kernel.map_calls);
  CHECK_EQUAL(END_UNASKED - 1, nbuf_os_limits(GIB, UINTPTR_MAX).max);
  CHECK_EQUAL(calls, kernel.map_calls);
}

#define STACK_TOP ((uintptr_t)0x70000000)
#define FOR_HEAP (sizeof(uintptr_t) == 8 ? 256 * MIB : 32 * MIB)
#define MOST_FOR_STACK (sizeof(uintptr_t) == 8 ? 1 * GIB : 64 * MIB)

static size_t reserved(nbuf_range area, nbuf_range ranges[NBUF_OS_RESERVED_MAX]) {
  size_t count = nbuf_os_reserved(area, ranges);
  CHECK(count <= NBUF_OS_RESERVED_MAX);
  return count;
}

TEST(the_room_above_the_program_break_is_reserved) {
  nbuf_range ranges[NBUF_OS_RESERVED_MAX];
  const nbuf_range anywhere = {0, UINTPTR_MAX};
  CHECK_EQUAL(0, reserved(anywhere, ranges));
  kernel.program_break = 0x10000000;
  CHECK_EQUAL(1, reserved(anywhere, ranges));
  CHECK_EQUAL(0x10000000, ranges[0].min);
  CHECK_EQUAL(0x10000000 + FOR_HEAP, ranges[0].max);
}

TEST(the_room_below_the_main_threads_stack_is_reserved) {
  nbuf_range ranges[NBUF_OS_RESERVED_MAX];
  kernel.stack_top = STACK_TOP;
  kernel.stack_limit = 8 * MIB;
  nbuf_range around = {STACK_TOP, STACK_TOP};
  CHECK_EQUAL(1, reserved(around, ranges));
  CHECK_EQUAL(STACK_TOP, ranges[0].max);
  CHECK_EQUAL(STACK_TOP - 8 * MIB - KEPT_FREE, ranges[0].min);
  kernel.stack_limit = RLIM_INFINITY;
  CHECK_EQUAL(1, reserved(around, ranges));
  CHECK_EQUAL(STACK_TOP - MOST_FOR_STACK - KEPT_FREE, ranges[0].min);
  around.min = around.max = ranges[0].min;
  CHECK_EQUAL(1, reserved(around, ranges));
  kernel.has_no_limit = true;
  CHECK_EQUAL(0, reserved(around, ranges));
}

TEST(where_no_stack_can_be_its_limit_is_not_asked_for) {
  nbuf_range ranges[NBUF_OS_RESERVED_MAX];
  kernel.stack_top = STACK_TOP;
  kernel.stack_limit = RLIM_INFINITY;
  uintptr_t lowest = STACK_TOP - MOST_FOR_STACK - KEPT_FREE;
  CHECK_EQUAL(0, reserved((nbuf_range){0, lowest - 1}, ranges));
  CHECK_EQUAL(0, reserved((nbuf_range){STACK_TOP + 1, UINTPTR_MAX}, ranges));
}

/* ---- Mapping --------------------------------------------------------------------------------- */

static void check_mapped(int index, uintptr_t address, size_t size, int protection, int flags) {
  CHECK(index < kernel.map_calls);
  CHECK_EQUAL(address, kernel.mapped[index].address);
  CHECK_EQUAL(size, kernel.mapped[index].size);
  CHECK_EQUAL(protection, kernel.mapped[index].protection);
  CHECK_EQUAL(flags, kernel.mapped[index].flags);
}

TEST(memory_is_asked_for_with_a_hint_and_that_for_the_library_is_populated) {
  CHECK_EQUAL(0, nbuf_posix_map_at(PLACE, 8 * MIB, PROT_READ | PROT_WRITE | PROT_EXEC));
  check_mapped(0, PLACE, 8 * MIB, PROT_READ | PROT_WRITE | PROT_EXEC, 0);
  CHECK_EQUAL(0, nbuf_posix_map_at(PLACE, PAGE, PROT_READ | PROT_WRITE));
  check_mapped(1, PLACE, PAGE, PROT_READ | PROT_WRITE, MAP_POPULATE);
  CHECK_EQUAL(2, kernel.map_calls);
  CHECK_EQUAL(0, kernel.unmap_calls);
}

/* Kernels 6.7 to 6.12 move a large mapping though its hint is free. */
TEST(a_large_mapping_that_is_moved_is_demanded_where_no_stack_is_above) {
  kernel.map_errors[0] = EEXIST;
  kernel.map_errors[2] = ENOMEM;
  CHECK_EQUAL(ENOMEM, nbuf_posix_map_at(PLACE, 2 * MIB, PROT_READ));
  check_mapped(1, PLACE + 2 * MIB - PAGE, PAGE, PROT_NONE, 0);
  CHECK_EQUAL(PLACE + 2 * MIB - PAGE, kernel.unmapped.address);
  CHECK_EQUAL(PAGE, kernel.unmapped.size);
  check_mapped(2, PLACE, 2 * MIB, PROT_READ, MAP_POPULATE | MAP_FIXED_NOREPLACE);
  CHECK_EQUAL(3, kernel.map_calls);
}

TEST(where_the_last_page_is_taken_or_guarded_it_is_not_demanded) {
  kernel.map_errors[0] = kernel.map_errors[1] = EEXIST;
  CHECK_EQUAL(EEXIST, nbuf_posix_map_at(PLACE, 2 * MIB, PROT_READ));
  CHECK_EQUAL(2, kernel.map_calls);
  CHECK_EQUAL(0, kernel.unmap_calls);
}

TEST(neither_is_a_small_mapping_nor_one_that_failed_for_another_reason) {
  kernel.map_errors[0] = EEXIST;
  kernel.map_errors[1] = ENOMEM;
  CHECK_EQUAL(EEXIST, nbuf_posix_map_at(PLACE, 2 * MIB - nbuf_os_page_size(), PROT_READ));
  CHECK_EQUAL(ENOMEM, nbuf_posix_map_at(PLACE, 2 * MIB, PROT_READ));
  CHECK_EQUAL(2, kernel.map_calls);
}

static uintptr_t growth(bool is_least, int error) {
  kernel.map_calls = kernel.unmap_calls = 0;
  kernel.map_errors[0] = error;
  uintptr_t room = nbuf_os_growth_room(PLACE, is_least);
  check_mapped(0, PLACE - PAGE, PAGE, PROT_NONE, 0);
  CHECK_EQUAL(error == 0, kernel.unmap_calls);
  CHECK(error != 0 || (kernel.unmapped.address == PLACE - PAGE && kernel.unmapped.size == PAGE));
  return room;
}

TEST(below_a_stack_that_grows_its_limit_and_256_pages_are_left) {
  kernel.stack_limit = 4 * MIB + 1;
  CHECK_EQUAL(0, growth(false, 0));
  CHECK_EQUAL(0, growth(false, ENOMEM));
  CHECK_EQUAL(KEPT_FREE, growth(true, EEXIST));
  CHECK(NBUF_OS_LEAST_GROWTH <= KEPT_FREE);
  CHECK_EQUAL(4 * MIB + KEPT_FREE, growth(false, EEXIST));
  kernel.stack_limit = RLIM_INFINITY;
  CHECK_EQUAL(NBUF_OS_MOST_GROWTH, growth(false, EEXIST));
  kernel.stack_limit = 4 * MIB;
  kernel.has_no_limit = true;
  CHECK_EQUAL(NBUF_OS_MOST_GROWTH, growth(false, EEXIST));
}

static bool wipe(void) {
  return nbuf_posix_wipe_in_children((void *)PLACE, nbuf_os_page_size());
}

/* Some emulators accept any advice. */
TEST(advice_counts_only_where_impossible_advice_is_refused) {
  CHECK(wipe());
  CHECK_EQUAL(MADV_WIPEONFORK, kernel.last_advice);
  CHECK(nbuf_posix_keep_from_children((void *)PLACE, nbuf_os_page_size()));
  CHECK_EQUAL(MADV_DONTFORK, kernel.last_advice);
  kernel.accepts_any_advice = true;
  CHECK(!wipe());
  kernel.accepts_any_advice = false;
  kernel.advice_error = EINVAL;
  CHECK(!wipe());
}

TEST(a_page_is_not_mapped_only_if_the_kernel_says_so) {
  errno = ENOMEM; /* of an earlier call */
  CHECK(nbuf_posix_may_be_mapped(PLACE));
  kernel.advice_error = EBADF;
  CHECK(nbuf_posix_may_be_mapped(PLACE));
  kernel.advice_error = ENOMEM;
  CHECK(!nbuf_posix_may_be_mapped(PLACE));
}

/* ---- Processes and processors ---------------------------------------------------------------- */

TEST(a_word_is_compared_by_a_futex_that_wakes_no_thread) {
  static _Atomic uint32_t word;
  static const long results[] = {0, -EAGAIN, -EFAULT, -ENOSYS};
  static const nbuf_posix_comparison expected[] = {NBUF_POSIX_EQUAL, NBUF_POSIX_DIFFERENT,
                                                   NBUF_POSIX_DIFFERENT, NBUF_POSIX_UNKNOWN};
  for (int i = 0; i < 4; i++) {
    kernel.results[i] = results[i];
    CHECK_EQUAL(expected[i], nbuf_posix_compare(&word, 5));
    CHECK_EQUAL((uintptr_t)&word, (uintptr_t)kernel.arguments[i][0]);
    CHECK_EQUAL(FUTEX_CMP_REQUEUE_PRIVATE, (int)kernel.arguments[i][1]);
    CHECK_EQUAL(0, (int)kernel.arguments[i][2]);
    CHECK_EQUAL(0, kernel.arguments[i][3]);
  }
}

TEST(processes_share_memory_if_the_kernel_says_so) {
  CHECK(nbuf_posix_shares_memory(5));
  CHECK_EQUAL(5, (int)kernel.arguments[0][0]);
  CHECK_EQUAL(getpid(), (int)kernel.arguments[0][1]);
  CHECK_EQUAL(KCMP_VM, (int)kernel.arguments[0][2]);
  CHECK(kernel.arguments[0][3] == 0 && kernel.arguments[0][4] == 0);
  kernel.results[1] = 1;
  CHECK(!nbuf_posix_shares_memory(5));
  kernel.results[2] = -EPERM;
  CHECK(!nbuf_posix_shares_memory(5));
}

TEST(processors_are_made_to_fetch_anew_and_the_process_is_registered_for_that_once) {
  errno = EPERM; /* of an earlier call */
  nbuf_os_sync_processors();
  CHECK_EQUAL(1, kernel.system_calls);
  CHECK_EQUAL(SYS_membarrier, kernel.numbers[0]);
  CHECK_EQUAL(1 << 5, (int)kernel.arguments[0][0]); /* PRIVATE_EXPEDITED_SYNC_CORE */
  kernel.results[1] = -EPERM;
  nbuf_os_sync_processors();
  CHECK_EQUAL(4, kernel.system_calls);
  CHECK_EQUAL(1 << 6, (int)kernel.arguments[2][0]); /* REGISTER_... */
  CHECK_EQUAL(1 << 5, (int)kernel.arguments[3][0]);
  kernel.results[4] = -ENOSYS;
  nbuf_os_sync_processors();
  CHECK_EQUAL(5, kernel.system_calls);
  kernel.results[5] = kernel.results[6] = -EPERM;
  nbuf_os_sync_processors();
  CHECK_EQUAL(7, kernel.system_calls);
  CHECK_EQUAL(EPERM, errno);
  for (int i = 0; i < kernel.system_calls; i++) { /* no flags, no processor */
    CHECK((int)kernel.arguments[i][1] == 0 && (int)kernel.arguments[i][2] == 0);
  }
}

TEST(a_namespace_is_known_by_the_number_of_its_file) {
  struct stat file;
  uint64_t number = 0;
  CHECK(stat("/proc/self/ns/pid", &file) == 0);
  CHECK(nbuf_posix_namespace(&number));
  CHECK_EQUAL(file.st_ino, number);
}

TEST(a_program_without_further_rights_is_not_privileged) {
  for (int i = 0; i < 4; i++) {
    kernel.users[i] = 1000;
    kernel.groups[i] = 100;
  }
  CHECK(!nbuf_posix_is_privileged());
  for (int i = 1; i < 4; i++) {
    kernel.users[i]++;
    CHECK(nbuf_posix_is_privileged());
    kernel.users[i]--;
    kernel.groups[i]++;
    CHECK(nbuf_posix_is_privileged());
    kernel.groups[i]--;
  }
  CHECK(!nbuf_posix_is_privileged());
}

TEST(one_that_gained_rights_or_hides_its_memory_or_its_ids_is) {
  CHECK(!nbuf_posix_is_privileged() && !nbuf_posix_has_gained_rights());
  kernel.gained_rights = 1;
  CHECK(nbuf_posix_is_privileged() && nbuf_posix_has_gained_rights());
  CHECK(nbuf_posix_environment("PATH") == NULL);
  kernel.gained_rights = 0;
  CHECK(nbuf_posix_environment("PATH") == getenv("PATH"));
  kernel.dumpable = 0;
  CHECK(nbuf_posix_is_privileged());
  kernel.dumpable = 2; /* for root alone */
  CHECK(nbuf_posix_is_privileged());
  kernel.dumpable = 1;
  kernel.hides_users = true;
  CHECK(nbuf_posix_is_privileged());
  kernel.hides_users = false;
  kernel.hides_groups = true;
  CHECK(nbuf_posix_is_privileged());
}

TEST(only_a_process_whose_parent_is_outside_can_have_its_id) {
  CHECK(nbuf_posix_may_have_parents_id());
  kernel.parent = 1;
  CHECK(!nbuf_posix_may_have_parents_id());
}

/* ---- Files ----------------------------------------------------------------------------------- */

TEST(where_a_name_cannot_be_kept_from_being_replaced_that_is_told) {
  static const int errors[] = {0, EINVAL, EPERM, EEXIST, EACCES, ENOSYS};
  static const int expected[] = {0, ENOSYS, ENOSYS, EEXIST, EACCES, ENOSYS};
  for (int i = 0; i < 6; i++) {
    kernel.results[i] = -errors[i];
    errno = EIO; /* of an earlier call */
    CHECK_EQUAL(expected[i], nbuf_posix_rename_new(ANY_FILE, "old", "new"));
    CHECK_EQUAL(SYS_renameat2, kernel.numbers[i]);
    CHECK_EQUAL(RENAME_NOREPLACE, (int)kernel.arguments[i][4]);
  }
}

TEST(files_of_btrfs_alone_are_made_to_be_overwritten_in_place) {
  kernel.file_system = 0xEF53; /* ext4 */
  nbuf_posix_avoid_copy_on_write(ANY_FILE);
  kernel.file_system = 0;
  nbuf_posix_avoid_copy_on_write(ANY_FILE);
  CHECK_EQUAL(0, kernel.system_calls);
  kernel.file_system = 0x9123683E;
  kernel.file_flags = 0x10;
  nbuf_posix_avoid_copy_on_write(ANY_FILE);
  CHECK_EQUAL(2, kernel.system_calls);
  CHECK_EQUAL(FS_NOCOW_FL | 0x10, kernel.file_flags);
  kernel.results[2] = -ENOTTY;
  nbuf_posix_avoid_copy_on_write(ANY_FILE);
  CHECK_EQUAL(3, kernel.system_calls);
}

TEST(on_overlayfs_no_lock_outlives_its_file_and_the_place_belongs_to_one_container) {
  kernel.file_system = 0x794c7630;
  CHECK(!nbuf_posix_lock_outlives_close(ANY_FILE));
  CHECK(nbuf_posix_place_is_ours_alone(ANY_FILE));
  kernel.file_system = 0xEF53;
  CHECK(nbuf_posix_lock_outlives_close(ANY_FILE));
  CHECK(!nbuf_posix_place_is_ours_alone(ANY_FILE));
}

TEST(random_numbers_are_the_kernels_or_at_least_differ) {
  kernel.random = UINT64_C(0x123456789abcdef0);
  kernel.results[0] = sizeof kernel.random;
  CHECK_EQUAL(kernel.random, nbuf_posix_random());
  CHECK_EQUAL(sizeof kernel.random, kernel.arguments[0][1]);
  CHECK_EQUAL(1, (int)kernel.arguments[0][2]); /* it does not wait for them */
  kernel.results[1] = sizeof kernel.random - 1;
  kernel.results[2] = kernel.results[3] = -EAGAIN;
  uint64_t numbers[3];
  for (int i = 0; i < 3; i++) {
    numbers[i] = nbuf_posix_random();
    CHECK(i == 0 || numbers[i] - numbers[i - 1] > UINT32_MAX);
  }
}

/* ---- Directories ----------------------------------------------------------------------------- */

/* The names that were visited follow each other. */
static int64_t first_visited;
static int64_t visited;
static int64_t most_visited;

static bool visit(const char *name, void *context) {
  CHECK(context == &visited);
  int64_t number = strtoll(name, NULL, 10);
  first_visited = visited == 0 ? number : first_visited;
  CHECK_EQUAL(first_visited + visited, number);
  return ++visited < most_visited;
}

static void visit_some(uint64_t nanoseconds) {
  kernel.nanoseconds = nanoseconds;
  kernel.position = 0;
  visited = 0;
  nbuf_posix_visit_some(ANY_FILE, visit, &visited);
}

static void make_directory(int64_t names, int64_t scale) {
  kernel.names = names;
  kernel.scale = scale;
  kernel.names_per_read = 6;
  most_visited = INT64_MAX;
}

TEST(in_a_small_directory_all_names_are_visited) {
  static const int64_t scales[] = {1, -1, 1000003, INT64_C(1) << 58};
  for (int i = 0; i < (sizeof(off_t) == 8 ? 4 : 2); i++) {
    for (int64_t names = 0; names <= 6; names++) {
      make_directory(names, scales[i]);
      for (uint64_t chance = 0; chance < 3000; chance += 7) {
        visit_some(chance);
        CHECK_EQUAL(names, visited);
        CHECK(names == 0 || first_visited == 0);
      }
    }
  }
}

TEST(in_a_large_one_sixteen_reads_from_some_position) {
  make_directory(1000000, 1);
  for (uint64_t chance = 0; chance < 2048; chance++) {
    visit_some(chance);
    CHECK_EQUAL(16 * 6, visited);
    CHECK_EQUAL(chance % 1024 * 6, first_visited);
  }
}

TEST(where_offsets_are_hashes_the_position_is_one_of_them) {
  if (sizeof(off_t) < sizeof(int64_t)) {
    test_skip("offsets have 32 bits");
  }
  const int64_t scale = INT64_MAX / 6 / 100 - 1; /* a hundred multiples of the seventh's */
  make_directory(1000, scale);
  for (uint64_t chance = 0; chance < 200; chance++) {
    visit_some(chance);
    CHECK_EQUAL(chance % 100 * 6, first_visited);
  }
}

TEST(where_offsets_count_what_is_left_the_position_is_behind_what_was_read) {
  make_directory(1000, -1);
  visit_some(1000 - 6 - 1); /* almost all is left */
  CHECK_EQUAL(7, first_visited);
  visit_some(500);
  CHECK_EQUAL(500, first_visited);
  visit_some(1000 - 6 + 20); /* the remainder */
  CHECK_EQUAL(980, first_visited);
  CHECK_EQUAL(20, visited);
}

TEST(at_the_end_the_names_from_the_start_are_visited) {
  make_directory(60, 1);
  visit_some(9);
  CHECK_EQUAL(54, first_visited);
  CHECK_EQUAL(6, visited);
  visit_some(10);
  CHECK_EQUAL(0, first_visited);
  CHECK_EQUAL(60, visited);
}

TEST(a_visitor_that_has_seen_enough_sees_no_more) {
  make_directory(1000, 1);
  most_visited = 8;
  visit_some(3);
  CHECK_EQUAL(8, visited);
}

TEST(a_directory_that_cannot_be_read_or_has_no_positions_shows_no_name_twice) {
  make_directory(1000, 1);
  kernel.is_unreadable = true;
  visit_some(3);
  CHECK_EQUAL(0, visited);
  kernel.is_unreadable = false;
  kernel.is_fixed = true;
  visit_some(3);
  CHECK_EQUAL(0, visited);
}

/* ---- Times ----------------------------------------------------------------------------------- */

/* The system started at 1000 s, and this process 50 s and 50 ticks of 10 ms later. */
static void start_at_1050_s_and_a_half(void) {
  kernel.text = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 5050 20 21\n";
  kernel.now = (struct timespec){1100, 900000000};
  kernel.up = (struct timespec){100, 900000000};
  kernel.statx_mask = STATX_BTIME;
}

static bool predates(int64_t nanoseconds) {
  kernel.birth.tv_sec = nanoseconds / 1000000000;
  kernel.birth.tv_nsec = (uint32_t)(nanoseconds % 1000000000);
  bool is_older = nbuf_posix_predates_process(ANY_FILE);
  CHECK_EQUAL(0, kernel.opened);
  return is_older;
}

TEST(a_file_that_is_more_than_two_ticks_older_existed_before_the_process) {
  start_at_1050_s_and_a_half();
  const int64_t limit = INT64_C(1050500000000) - 20000000;
  CHECK(predates(limit - 1));
  CHECK(!predates(limit));
  CHECK(strcmp(kernel.path, "/proc/self/stat") == 0);
  CHECK(predates(0));
}

TEST(what_the_system_does_not_tell_of_a_file_makes_it_none_that_existed_before) {
  start_at_1050_s_and_a_half();
  kernel.statx_mask = 0;
  CHECK(!predates(0));
  kernel.statx_mask = STATX_BTIME;
  kernel.statx_result = -1;
  CHECK(!predates(0));
  kernel.statx_result = 0;
  kernel.broken_clock = CLOCK_REALTIME;
  CHECK(!predates(0));
  kernel.broken_clock = CLOCK_BOOTTIME;
  CHECK(!predates(0));
  kernel.broken_clock = -1;
  kernel.text = "no parenthesis 1 2 3";
  CHECK(!predates(0));
  kernel.text = "7 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18";
  CHECK(!predates(0));
  kernel.text = NULL;
  CHECK(!predates(0));
}

TEST(the_system_started_as_long_ago_as_it_has_been_up) {
  start_at_1050_s_and_a_half();
  CHECK_EQUAL(1000, nbuf_posix_boot_time());
  kernel.broken_clock = CLOCK_REALTIME;
  CHECK_EQUAL(0, nbuf_posix_boot_time());
  kernel.broken_clock = CLOCK_BOOTTIME;
  CHECK_EQUAL(0, nbuf_posix_boot_time());
}
