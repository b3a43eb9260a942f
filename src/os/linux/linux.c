/* Linux: memory, reserved ranges, code, and what differs from other POSIX systems. The memory map
 * is in linux/map.c. Sources: mmap(2), madvise(2), membarrier(2), proc(5), kernel 6.18. */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/kcmp.h>
#include <linux/magic.h>
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

#ifndef STATX_BTIME /* musl before 1.2.4 has no statx */
#include <linux/stat.h>
static int statx(int directory, const char *name, int flags, unsigned mask, struct statx *status) {
  return (int)syscall(SYS_statx, directory, name, flags, mask, status);
}
#endif

/* The headers of older systems lack these constants of newer kernels. */
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef BTRFS_SUPER_MAGIC
#define BTRFS_SUPER_MAGIC 0x9123683E
#endif
#ifndef OVERLAYFS_SUPER_MAGIC
#define OVERLAYFS_SUPER_MAGIC 0x794c7630
#endif

enum {
  LEAST_LOWEST = 0x10000,
  STACK_GUARD_PAGES = 256, /* the kernel's stack_guard_gap, unless it was booted with another one */
  RENAME_NO_REPLACE = 1,   /* linux/fs.h: RENAME_NOREPLACE */
  MEMBARRIER_SYNC_CORE = 1 << 5, /* PRIVATE_EXPEDITED_SYNC_CORE */
  MEMBARRIER_REGISTER_SYNC_CORE = 1 << 6,
  ADVICE_THAT_CANNOT_EXIST = 0x7ead0bad /* some emulators say yes to anything */
};

/* ---- Numbers --------------------------------------------------------------------------------- */

/* Reads a short file of /proc, which begins with what is needed. */
static bool read_text(const char *path, char *text, size_t size) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t filled = file < 0 ? -1 : read(file, text, size - 1);
  if (file >= 0) {
    close(file);
  }
  text[filled > 0 ? filled : 0] = '\0';
  return filled > 0;
}

static int64_t number_in(const char *text) {
  int64_t number = 0;
  for (; *text >= '0' && *text <= '9'; text++) {
    number = number * 10 + (*text - '0');
  }
  return number;
}

/* Reads what the system keeps free above address 0. */
static uintptr_t read_lowest_address(void) {
  uintptr_t lowest = 0;
  char text[32];
  nbuf_os_call call = nbuf_os_call_begin(); /* a file is read, in any call */
  if (read_text("/proc/sys/vm/mmap_min_addr", text, sizeof text)) {
    uintptr_t kept = (uintptr_t)number_in(text);
    (void)nbuf_align_up(kept > LEAST_LOWEST ? kept : LEAST_LOWEST, nbuf_os_page_size(), &lowest);
  }
  nbuf_os_call_end(call);
  return lowest;
}

/* Root could map what the system keeps free nevertheless; no caller may get memory that makes null
 * pointers harmless. */
static uintptr_t lowest_address(void) {
  static _Atomic uintptr_t known;
  uintptr_t lowest = atomic_load_explicit(&known, memory_order_relaxed);
  if (lowest == 0) {
    lowest = read_lowest_address();
    atomic_store_explicit(&known, lowest, memory_order_relaxed);
  }
  return lowest == 0 ? LEAST_LOWEST : lowest;
}

/* The kernel gives addresses above this only on request. */
#if UINTPTR_MAX == UINT32_MAX
#define END_UNASKED ((uintptr_t)0xfffff000)
enum { MOST_BITS = 0 };
#elif defined(__x86_64__)
#define END_UNASKED (((uintptr_t)1 << 47) - 4096)
enum { MOST_BITS = 56 };
#else
#define END_UNASKED ((uintptr_t)1 << 48)
enum { MOST_BITS = 56 };
#endif

/* The end of the addresses that it gives on request: 56 bits of x86-64, 52 of AArch64, if processor
 * and kernel support them (Documentation/arch/x86/x86_64/5level-paging.rst,
 * Documentation/arch/arm64/memory.rst). A page in the upper half of that many bits is requested
 * from the kernel, the largest number first. */
static uintptr_t end_of_addresses(void) {
  static _Atomic uintptr_t known;
  const size_t page = nbuf_os_page_size();
  uintptr_t end = atomic_load_explicit(&known, memory_order_relaxed);
  uintptr_t half = (uintptr_t)((uint64_t)1 << MOST_BITS >> 1);
  for (; end == 0 && half > END_UNASKED; half /= 2) {
    if (nbuf_posix_mmap_at(half, page, PROT_NONE, 0) == 0) {
      (void)munmap((void *)half, page);
      end = 2 * half - page;
    }
  }
  end = end == 0 ? END_UNASKED : end;
  atomic_store_explicit(&known, end, memory_order_relaxed);
  return end;
}

nbuf_range nbuf_os_limits(uintptr_t from, uintptr_t around) {
  const uintptr_t never_kept = (uintptr_t)1 << 30; /* programs are linked below that */
  uintptr_t end = around >= END_UNASKED ? end_of_addresses() : END_UNASKED;
  return (nbuf_range){from < never_kept ? lowest_address() : LEAST_LOWEST, end - 1};
}

/* The main thread's stack lies around this address: the kernel put these bytes at its top. */
static uintptr_t stack_top(void) {
  static _Atomic uintptr_t known;
  uintptr_t top = atomic_load_explicit(&known, memory_order_relaxed);
  if (top == 0) {
    top = (uintptr_t)getauxval(AT_RANDOM);
    atomic_store_explicit(&known, top, memory_order_relaxed);
  }
  return top;
}

size_t nbuf_os_reserved(nbuf_range area, nbuf_range ranges[NBUF_OS_RESERVED_MAX]) {
  const uintptr_t for_heap = sizeof(uintptr_t) == 8 ? (uintptr_t)256 << 20 : (uintptr_t)32 << 20;
  const uintptr_t most_for_stack =
      sizeof(uintptr_t) == 8 ? (uintptr_t)1 << 30 : (uintptr_t)64 << 20;
  const uintptr_t guard_gap = STACK_GUARD_PAGES * nbuf_os_page_size();
  size_t count = 0;
  void *break_now = sbrk(0);
  if (break_now != (void *)-1) { /* NOLINT(performance-no-int-to-ptr): sbrk's own sentinel */
    uintptr_t start = (uintptr_t)break_now;
    ranges[count++] = (nbuf_range){start, nbuf_add_saturating(start, for_heap)};
  }
  uintptr_t top = stack_top();
  nbuf_range at_most = {nbuf_sub_saturating(top, most_for_stack + guard_gap), top};
  struct rlimit limit;
  if (top != 0 && nbuf_range_overlaps(area, at_most) && getrlimit(RLIMIT_STACK, &limit) == 0) {
    uintptr_t depth = limit.rlim_cur > most_for_stack ? most_for_stack : (uintptr_t)limit.rlim_cur;
    ranges[count++] = (nbuf_range){nbuf_sub_saturating(top, depth + guard_gap), top};
  }
  return count;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Kernels from 6.7 to 6.12 move mappings of this size and more to an aligned place, though the hint
 * is free. */
enum { MAY_BE_MOVED = 2 << 20 };

/* The address is a hint: the kernel takes it exactly if the place is free and is not kept free
 * below a stack that grows (MAP_GROWSDOWN; stack_guard_gap, 256 pages). MAP_FIXED_NOREPLACE ignores
 * the latter: such a stack then runs into the memory, and nothing stops it.
 *
 * Memory that is not executable is the library's own, and is written at once: one call that
 * populates all its pages takes half as long as a fault for each. */
int nbuf_posix_map_at(uintptr_t address, size_t size, int protection) {
  int populate = (protection & PROT_EXEC) == 0 ? MAP_POPULATE : 0;
  int error = nbuf_posix_mmap_at(address, size, protection, populate);
  size_t page = nbuf_os_page_size();
  uintptr_t last_page = address + (size - page);
  if (error == EEXIST && size >= MAY_BE_MOVED &&
      nbuf_posix_mmap_at(last_page, page, PROT_NONE, 0) == 0) {
    (void)munmap((void *)last_page, page);
    error = nbuf_posix_mmap_at(address, size, protection, MAP_FIXED_NOREPLACE | populate);
  }
  return error;
}

/* A hint for the page below shows whether the mapping is such a stack. It may grow to the limit for
 * stacks, and what it keeps free is added to that. */
uintptr_t nbuf_os_growth_room(uintptr_t start, bool is_least) {
  size_t page = nbuf_os_page_size();
  int error = nbuf_posix_mmap_at(start - page, page, PROT_NONE, 0);
  if (error == 0) {
    (void)munmap((void *)(start - page), page);
  }
  if (error != EEXIST) {
    return 0;
  }
  uintptr_t guard_gap = STACK_GUARD_PAGES * page;
  uintptr_t most = NBUF_OS_MOST_GROWTH > guard_gap ? NBUF_OS_MOST_GROWTH - guard_gap : 0;
  struct rlimit limit;
  if (is_least) {
    return guard_gap;
  }
  bool is_less = getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < most;
  return (is_less ? nbuf_align_down((uintptr_t)limit.rlim_cur, page) : most) + guard_gap;
}

/* Gives advice that the system must follow, not only accept. */
static bool advise(void *pages, size_t size, int advice) {
  bool is_honest = madvise(pages, size, ADVICE_THAT_CANNOT_EXIST) != 0;
  return is_honest && madvise(pages, size, advice) == 0;
}

bool nbuf_posix_keep_from_children(void *pages, size_t size) {
  return advise(pages, size, MADV_DONTFORK);
}

bool nbuf_posix_wipe_in_children(void *pages, size_t size) {
  return advise(pages, size, MADV_WIPEONFORK);
}

/* A futex is compared with a value before a thread is woken or moved: here none is. */
nbuf_posix_comparison nbuf_posix_compare(const _Atomic uint32_t *word, uint32_t value) {
#ifdef SYS_futex
  const long call = SYS_futex;
#else
  const long call = SYS_futex_time64;
#endif
  if (syscall(call, word, FUTEX_CMP_REQUEUE_PRIVATE, 0, 0UL, word, value) == 0) {
    return NBUF_POSIX_EQUAL;
  }
  return errno == EAGAIN || errno == EFAULT ? NBUF_POSIX_DIFFERENT : NBUF_POSIX_UNKNOWN;
}

bool nbuf_posix_shares_memory(uint32_t process) {
  return syscall(SYS_kcmp, (pid_t)process, getpid(), KCMP_VM, 0UL, 0UL) == 0;
}

/* The advice changes nothing about memory that is mapped. */
bool nbuf_posix_may_be_mapped(uintptr_t page) {
  return madvise((void *)page, nbuf_os_page_size(), MADV_WILLNEED) == 0 || errno != ENOMEM;
}

const char *nbuf_posix_environment(const char *name) {
  return getauxval(AT_SECURE) != 0 ? NULL : getenv(name);
}

/* ---- Unloading ------------------------------------------------------------------------------- */

#ifdef __GLIBC__
/* The C library and the linker define the names, and link.h declares two of them, but not as weak
 * or as the module's own.
 * NOLINTBEGIN(bugprone-reserved-identifier,readability-redundant-declaration) */
extern void *__dso_handle __attribute__((visibility("hidden")));
extern ElfW(Dyn) _DYNAMIC[] __attribute__((weak, visibility("hidden")));
extern struct r_debug _r_debug __attribute__((weak));

int __cxa_atexit(void (*function)(void *), void *argument, void *module);
/* NOLINTEND(bugprone-reserved-identifier,readability-redundant-declaration) */

static _Atomic bool is_exiting;

static void note_exit(void *ignored) {
  (void)ignored;
  atomic_store_explicit(&is_exiting, true, memory_order_relaxed);
}

/* The C library calls these at the end of the process before any destructor; when a module is
 * unloaded, after its destructors (which end with the module's own, in crtbegin, that calls
 * them). */
__attribute__((constructor)) static void watch_exit(void) {
  if (__dso_handle != NULL) { /* a program is not unloaded */
    /* Not atexit: under the thread sanitizer it forgets the module that registered the function,
     * and calls it when the module is gone. */
    (void)__cxa_atexit(note_exit, NULL, __dso_handle);
  }
}

/* Whether the module is in the namespace of the program. Another namespace (dlmopen, LD_AUDIT) has
 * a C library that is not informed of the exit. */
static bool is_in_base_namespace(void) {
  for (struct link_map *each = &_r_debug != NULL ? _r_debug.r_map : NULL; each != NULL;
       each = each->l_next) {
    if (each->l_ld == _DYNAMIC) {
      return true;
    }
  }
  return false;
}

bool nbuf_posix_is_unloaded(void) {
  return __dso_handle != NULL && !atomic_load_explicit(&is_exiting, memory_order_relaxed) &&
         is_in_base_namespace();
}
#else
bool nbuf_posix_is_unloaded(void) {
  return false; /* musl unloads nothing; how others report it is not known */
}
#endif

/* ---- Code ------------------------------------------------------------------------------------ */

void nbuf_os_sync_code(uintptr_t address, size_t size) {
  __builtin___clear_cache((char *)address, (char *)(address + size));
}

void nbuf_os_sync_processors(void) {
#ifdef SYS_membarrier
  int error = errno;
  if (syscall(SYS_membarrier, MEMBARRIER_SYNC_CORE, 0, 0) != 0 && errno == EPERM &&
      syscall(SYS_membarrier, MEMBARRIER_REGISTER_SYNC_CORE, 0, 0) == 0) {
    (void)syscall(SYS_membarrier, MEMBARRIER_SYNC_CORE, 0, 0);
  }
  errno = error;
#endif
}

/* ---- Files ----------------------------------------------------------------------------------- */

int nbuf_posix_rename_new(int directory, const char *from, const char *to) {
#ifdef SYS_renameat2
  if (syscall(SYS_renameat2, directory, from, directory, to, RENAME_NO_REPLACE) == 0) {
    return 0;
  }
  /* EINVAL: this file system cannot do it. EPERM: a filter of system calls; a rename that is really
   * forbidden is refused without this call as well. */
  return errno == EINVAL || errno == EPERM ? ENOSYS : errno;
#else
  (void)directory;
  (void)from;
  (void)to;
  return ENOSYS;
#endif
}

static bool is_on(int file, unsigned long magic) {
  struct statfs system;
  return fstatfs(file, &system) == 0 && (unsigned long)system.f_type == magic;
}

void nbuf_posix_avoid_copy_on_write(int file) {
  if (is_on(file, BTRFS_SUPER_MAGIC)) {
    int flags = 0;
    /* musl's ioctl takes the request as an int, into which it does not fit. */
    if (syscall(SYS_ioctl, file, FS_IOC_GETFLAGS, &flags) == 0) {
      flags |= FS_NOCOW_FL;
      (void)syscall(SYS_ioctl, file, FS_IOC_SETFLAGS, &flags);
    }
  }
}

bool nbuf_posix_lock_outlives_close(int file) {
  return !is_on(file, OVERLAYFS_SUPER_MAGIC);
}

bool nbuf_posix_place_is_ours_alone(int file) {
  return is_on(file, OVERLAYFS_SUPER_MAGIC);
}

int nbuf_posix_memory_file(const char *name) {
#ifdef SYS_memfd_create
  return (int)syscall(SYS_memfd_create, name, 1U /* MFD_CLOEXEC */);
#else
  (void)name;
  errno = ENOSYS;
  return -1;
#endif
}

bool nbuf_posix_namespace(uint64_t *number) {
  struct stat namespace;
  if (stat("/proc/self/ns/pid", &namespace) != 0) {
    return false;
  }
  *number = namespace.st_ino;
  return true;
}

/* Only a process whose parent is outside its namespace can have the parent's id. */
bool nbuf_posix_may_have_parents_id(void) {
  return getppid() == 0;
}

bool nbuf_posix_has_gained_rights(void) {
  return getauxval(AT_SECURE) != 0;
}

/* The program's user can reach what any of its ids can reach; a program is not dumpable if it
 * changed them, or has secrets of its own. setfsuid and setfsgid refuse the id and return the
 * current one. */
bool nbuf_posix_is_privileged(void) {
  const uid_t user = getuid();
  const gid_t group = getgid();
  uid_t users[3];
  gid_t groups[3];
  return nbuf_posix_has_gained_rights() || prctl(PR_GET_DUMPABLE) != 1 ||
         getresuid(&users[0], &users[1], &users[2]) != 0 || users[1] != user || users[2] != user ||
         getresgid(&groups[0], &groups[1], &groups[2]) != 0 || groups[1] != group ||
         groups[2] != group || (uid_t)setfsuid((uid_t)-1) != user ||
         (gid_t)setfsgid((gid_t)-1) != group;
}

/* If the system has no random numbers, or none yet, the names are only unlikely to be used. */
uint64_t nbuf_posix_random(void) {
  uint64_t number = 0;
#ifdef SYS_getrandom
  enum { NO_WAITING = 1 }; /* GRND_NONBLOCK */
  if (syscall(SYS_getrandom, &number, sizeof number, NO_WAITING) == (long)sizeof number) {
    return number;
  }
#endif
  static _Atomic uint64_t serial;
  return nbuf_os_nanoseconds() + atomic_fetch_add(&serial, 1) * 0x9E3779B97F4A7C15;
}

static int64_t nanoseconds_of(int64_t seconds, int64_t nanoseconds) {
  return seconds * 1000000000 + nanoseconds;
}

/* The time at which this process was forked, in nanoseconds since the epoch; 0: unknown. It is the
 * 22nd field of its stat line, the 20th behind the name, in ticks since the system started. */
static int64_t process_start(void) {
  char line[1024];
  (void)read_text("/proc/self/stat", line, sizeof line);
  const char *at = strrchr(line, ')');
  for (int field = 0; at != NULL && field < 20; field++) {
    at = strchr(at + 1, ' ');
  }
  struct timespec now;
  struct timespec up;
  if (at == NULL || clock_gettime(CLOCK_REALTIME, &now) != 0 ||
      clock_gettime(CLOCK_BOOTTIME, &up) != 0) {
    return 0;
  }
  int64_t tick = 1000000000 / sysconf(_SC_CLK_TCK);
  int64_t boot = nanoseconds_of(now.tv_sec, now.tv_nsec) - nanoseconds_of(up.tv_sec, up.tv_nsec);
  return boot + number_in(at + 1) * tick;
}

/* The start of a process is known to the tick, and files are stamped by a coarse clock: what is at
 * most two ticks older than the start counts as its own. */
bool nbuf_posix_predates_process(int file) {
  struct statx status;
  int64_t start = process_start();
  int64_t slack = 2 * (1000000000 / sysconf(_SC_CLK_TCK));
  return start != 0 && statx(file, "", AT_EMPTY_PATH, STATX_BTIME, &status) == 0 &&
         (status.stx_mask & STATX_BTIME) != 0 &&
         nanoseconds_of(status.stx_btime.tv_sec, status.stx_btime.tv_nsec) < start - slack;
}

int64_t nbuf_posix_boot_time(void) {
  struct timespec now;
  struct timespec up;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0 || clock_gettime(CLOCK_BOOTTIME, &up) != 0) {
    return 0;
  }
  return (int64_t)now.tv_sec - (int64_t)up.tv_sec;
}

/* The result of one read of a directory: some six names, since each costs up to a microsecond and a
 * start seldom needs more. The longest name fits. */
typedef struct directory_read {
  _Alignas(nbuf_linux_record) char records[512];
  long filled;
} directory_read;

enum { MOST_READS = 16, MOST_READS_SKIPPED = 1024, LONGEST_RECORD = 24 + 256 };

static bool read_names(int directory, directory_read *names) {
  names->filled = syscall(SYS_getdents64, directory, names->records, sizeof names->records);
  return names->filled >= (long)sizeof(nbuf_linux_record);
}

/* Whether the read left room for any name: then the directory has no more. File systems fill the
 * buffer as far as names fit. */
static bool is_last_read(const directory_read *names) {
  return names->filled + LONGEST_RECORD <= (long)sizeof names->records;
}

/* A position in the directory, or beyond its end, that differs between calls. Behind what was read
 * first, positions are counts or hashes, and a multiple of one is such a position; tmpfs lists the
 * newest first on newer kernels (seen on 6.18) and counts down to what is left. */
static int64_t some_position(const directory_read *first) {
  int64_t before = 0;
  int64_t behind = 0;
  for (long at = 0; at < first->filled; at += nbuf_linux_record_at(first->records, at)->length) {
    before = behind;
    behind = nbuf_linux_record_at(first->records, at)->offset;
  }
  uint64_t chance = nbuf_os_nanoseconds();
  if (behind <= 0) {
    return 0;
  }
  if (behind < before) {
    return (int64_t)(chance % (uint64_t)behind);
  }
  int64_t most = INT64_MAX / behind;
  most = most < MOST_READS_SKIPPED ? most : MOST_READS_SKIPPED;
  return behind * (int64_t)(chance % (uint64_t)most);
}

/* Reads the names at a position that differs between calls, so that files that have to stay do not
 * permanently hide the rest, however many they are. */
static bool read_somewhere(int directory, directory_read *names) {
  if (!read_names(directory, names)) {
    return false;
  }
  if (is_last_read(names)) {
    return true;
  }
  if (lseek(directory, (off_t)some_position(names), SEEK_SET) >= 0 &&
      read_names(directory, names)) {
    return true;
  }
  return lseek(directory, 0, SEEK_SET) == 0 && read_names(directory, names);
}

void nbuf_posix_visit_some(int directory, nbuf_posix_visitor visit, void *context) {
  directory_read names;
  bool is_read = read_somewhere(directory, &names);
  for (int reads = 1; is_read; reads++) {
    for (long at = 0; at < names.filled; at += nbuf_linux_record_at(names.records, at)->length) {
      if (!visit(nbuf_linux_record_at(names.records, at)->name, context)) {
        return;
      }
    }
    is_read = !is_last_read(&names) && reads < MOST_READS && read_names(directory, &names);
  }
}
