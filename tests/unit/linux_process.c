/* Another process on an invented kernel: its end, its memory, its map and what system calls in it
 * return are what a test says. remote/linux/process.c is compiled here, with other names for what
 * it calls of the C library and of proc.c; system calls in the process (trace.h) are defined here.
 * With real processes it is tested by tests/process. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "os/linux/maps_file.h"
#include "os/os.h"
#include "refused.h"
#include "remote/linux/page_script.h"
#include "remote/linux/process.h"
#include "test.h"

/* ---- The kernel ------------------------------------------------------------------------------ */

#define MEMORY UINT64_C(0x20000000)
#define RANDOM_PLACE (MEMORY + 64)
enum {
  ID = 42,
  /* As good a descriptor as others; also that of the first entry of /proc/<id>. */
  PIDFD = 0,
  DIRECTORY = 0,
  TASK = 0,
  OTHER_FILES = 300, /* those of further entries */
  MOST_FILES = 8,
  MEMORY_SIZE = 3 << 20,
  MOST_CALLS = 8,
  GRANULE = 4096,
  TWO_GRANULES = 2 * GRANULE,
  IS_EXITING = 0x4,
  IS_SIGNALED = 0x400,
  KILLED = 1 << (SIGKILL - 1)
};

typedef struct task {
  const char *name;
  int error;
  nbuf_linux_stat stat;
} task;

typedef struct entry {
  const char *name; /* null: this and the next ones do not exist */
  const void *bytes;
  size_t size;
  int error;
  bool is_of_another_thread;
} entry;

static struct {
  int looks_ended; /* so many times; below 0: always */
  int looks;
  int pauses;
  bool is_ended_meanwhile; /* after the next read of memory */
  int stat_error;
  nbuf_linux_stat stat;
  task threads[8];
  int thread_count;
  int visit_error;
  int task_error;
  int pidfd_error;
  int directory_error;
  const char *path;
  const char *status;
  int status_error;
  const char *names[8];
  entry entries[MOST_FILES];
  int flags; /* of the entry that was opened last */
  size_t position[MOST_FILES];
  int open_files;
  int read_errors[2]; /* of the next reads */
  int direct_error;   /* of process_vm_readv */
  int direct_calls;
  int memory_error; /* of the descriptor */
  size_t piece;     /* so many bytes are copied at once */
  uint64_t end;     /* of what is mapped */
  uid_t user;
  gid_t group;
  int owner_error;
  int64_t results[MOST_CALLS]; /* of system calls in it */
  uint64_t arguments[MOST_CALLS][6];
  nbuf_trace_call calls[MOST_CALLS];
  int call_count;
  int lost_at; /* the thread is lost at this call; below 0: at none */
  nbuf_result running;
  nbuf_result ending; /* of the thread, after its calls */
  int mapped_pages;
  nbuf_trace_target target;
} it = {.piece = SIZE_MAX,
        .end = MEMORY + MEMORY_SIZE,
        .lost_at = -1,
        .stat = {.state = 'S', .threads = 1},
        .user = 7,
        .group = 9};

static unsigned char content[MEMORY_SIZE]; /* at MEMORY */

static nearbuf_process peer = {.id = ID, .address_bits = 64, .handles = {PIDFD + 1, DIRECTORY + 1}};

static int number_of(int index) {
  return index == 0 ? 0 : OTHER_FILES + index;
}

static int index_of(int number) {
  int index = number == 0 ? 0 : number - OTHER_FILES;
  CHECK(index >= 0 && index < MOST_FILES && (index == 0 || it.entries[index].name != NULL));
  return index;
}

static entry *add_entry(const char *name, const void *bytes, size_t size) {
  int i = 0;
  while (it.entries[i].name != NULL) {
    i++;
  }
  CHECK(i + 1 < MOST_FILES);
  it.entries[i] = (entry){.name = name, .bytes = bytes, .size = size};
  return &it.entries[i];
}

static int open_entry(const char *name, int flags, bool of_another_thread) {
  it.flags = flags;
  for (int i = 0; i < MOST_FILES && it.entries[i].name != NULL; i++) {
    if (strcmp(it.entries[i].name, name) == 0 &&
        it.entries[i].is_of_another_thread == of_another_thread) {
      it.open_files += it.entries[i].error == 0;
      it.position[i] = 0;
      (void)lseek(number_of(i), 0, SEEK_SET); /* of a map, which is read by its descriptor */
      return failed_with(it.entries[i].error) == 0 ? number_of(i) : -1;
    }
  }
  errno = ENOENT;
  return -1;
}

static int invented_linux_open(const nearbuf_process *process, const char *name, int flags) {
  CHECK(process == &peer || process == NULL || process->id == ID);
  return open_entry(name, flags, false);
}

static int invented_open_of_another(const char *name, int flags) {
  return open_entry(name, flags, true);
}

static int invented_open(const char *path, int flags) {
  CHECK_EQUAL(O_RDONLY | O_DIRECTORY | O_CLOEXEC, flags);
  static char kept[64];
  (void)snprintf(kept, sizeof kept, "%s", path);
  it.path = kept;
  it.open_files += it.directory_error == 0;
  return failed_with(it.directory_error) == 0 ? DIRECTORY : -1;
}

static int invented_openat(int directory, const char *name, int flags) {
  CHECK_EQUAL(DIRECTORY, directory);
  if (strcmp(name, "mem") == 0) {
    CHECK_EQUAL(O_RDWR | O_CLOEXEC, flags);
    return open_entry(name, O_RDWR, false);
  }
  CHECK(strcmp(name, "task") == 0);
  CHECK_EQUAL(O_RDONLY | O_DIRECTORY | O_CLOEXEC, flags);
  it.open_files += it.task_error == 0;
  return failed_with(it.task_error) == 0 ? TASK : -1;
}

static void invented_close(int file) {
  (void)index_of(file);
  it.open_files--;
}

static ssize_t invented_read(int file, void *bytes, size_t size) {
  for (int i = 0; i < 2; i++) {
    if (it.read_errors[i] != 0) {
      (void)failed_with(it.read_errors[i]);
      it.read_errors[i] = 0;
      return -1;
    }
  }
  int i = index_of(file);
  size_t left = it.entries[i].size - it.position[i];
  size = left < size ? left : size;
  if (size > 0) {
    memcpy(bytes, (const char *)it.entries[i].bytes + it.position[i], size);
  }
  it.position[i] += size;
  return (ssize_t)size;
}

/* As much as is mapped from there on; 0: nothing. */
static size_t mapped_from(uint64_t address, size_t size) {
  if (address < MEMORY || address >= it.end) {
    return 0;
  }
  size = size < it.piece ? size : it.piece;
  return size < it.end - address ? size : (size_t)(it.end - address);
}

static ssize_t invented_process_vm_readv(pid_t id, const struct iovec *here, unsigned long count,
                                         const struct iovec *there, unsigned long pieces,
                                         unsigned long flags) {
  CHECK_EQUAL(ID, id);
  CHECK(count == 1 && pieces == 1 && flags == 0);
  CHECK_EQUAL(here->iov_len, there->iov_len);
  it.direct_calls++;
  uint64_t address = (uintptr_t)there->iov_base;
  size_t size = mapped_from(address, here->iov_len);
  it.looks_ended = it.is_ended_meanwhile ? -1 : it.looks_ended;
  if (it.direct_error != 0 || size == 0) {
    return it.direct_error < 0 ? 0 : failed_with(it.direct_error != 0 ? it.direct_error : EFAULT);
  }
  memcpy(here->iov_base, content + (address - MEMORY), size);
  return (ssize_t)size;
}

static ssize_t copied(int file, uint64_t address, void *to, const void *from, size_t size) {
  CHECK(strcmp(it.entries[index_of(file)].name, "mem") == 0);
  size = mapped_from(address, size);
  if (it.memory_error != 0 || size == 0) {
    return it.memory_error < 0 ? 0 : failed_with(it.memory_error != 0 ? it.memory_error : EIO);
  }
  memcpy(to != NULL ? to : content + (address - MEMORY),
         from != NULL ? from : content + (address - MEMORY), size);
  return (ssize_t)size;
}

static int invented_poll(struct pollfd *ended, nfds_t count, int timeout) {
  CHECK(count == 1 && timeout == 0);
  CHECK_EQUAL(PIDFD, ended->fd);
  CHECK_EQUAL(POLLIN, ended->events);
  bool is_ended = it.looks_ended < 0 || it.looks < it.looks_ended;
  it.looks++;
  return is_ended;
}

static int invented_read_stat(int directory, const char *path, nbuf_linux_stat *stat) {
  CHECK_EQUAL(DIRECTORY, directory);
  if (strcmp(path, "stat") == 0) {
    *stat = it.stat;
    return it.stat_error;
  }
  for (int i = 0; i < it.thread_count; i++) {
    size_t length = strlen(it.threads[i].name);
    if (strncmp(path, it.threads[i].name, length) == 0) {
      CHECK(strcmp(path + length, "/stat") == 0);
      *stat = it.threads[i].stat;
      return it.threads[i].error;
    }
  }
  return ENOENT;
}

static int invented_visit(int directory, bool (*visit)(const char *name, void *context),
                          void *context) {
  CHECK_EQUAL(TASK, directory);
  if (it.thread_count > 0) {
    for (int i = 0; i < it.thread_count && visit(it.threads[i].name, context); i++) {
    }
  } else {
    for (int i = 0; it.names[i] != NULL && visit(it.names[i], context); i++) {
    }
  }
  return it.visit_error;
}

static int invented_read_text(const char *name, char *text, size_t size) {
  CHECK(strcmp(name, "status") == 0);
  (void)snprintf(text, size, "%s", it.status != NULL ? it.status : "");
  return it.status_error;
}

static long invented_syscall(long number, ...) {
  va_list arguments;
  va_start(arguments, number);
  CHECK_EQUAL(SYS_pidfd_open, number);
  CHECK_EQUAL(ID, va_arg(arguments, pid_t));
  CHECK_EQUAL(0, va_arg(arguments, unsigned));
  va_end(arguments);
  it.open_files += it.pidfd_error == 0;
  return failed_with(it.pidfd_error) == 0 ? PIDFD : -1;
}

static int invented_fstat(int file, struct stat *status) {
  CHECK_EQUAL(DIRECTORY, file);
  status->st_uid = it.user;
  status->st_gid = it.group;
  return failed_with(it.owner_error);
}

static nbuf_range invented_limits(uintptr_t from, uintptr_t around) {
  CHECK_EQUAL(0, from);
  return (nbuf_range){around, UINTPTR_MAX};
}

/* ---- System calls in it ---------------------------------------------------------------------- */

const unsigned char nbuf_trace_entry_64[] = {0xaa, 0xbb};
const unsigned char nbuf_trace_entry_32[] = {0xcc, 0xdd, 0xee, 0xff};
const uint32_t nbuf_trace_entry_64_size = 2;
const uint32_t nbuf_trace_entry_32_size = 4;

struct nbuf_trace {
  int unused;
};

bool nbuf_trace_syscall(nbuf_trace *trace, nbuf_trace_call call, const uint64_t arguments[6],
                        int64_t *returned) {
  (void)trace;
  CHECK(it.call_count < MOST_CALLS);
  it.calls[it.call_count] = call;
  memcpy(it.arguments[it.call_count], arguments, sizeof it.arguments[0]);
  if (returned != NULL) {
    *returned = it.results[it.call_count];
  }
  return it.call_count++ != it.lost_at;
}

/* Beside memory at MEMORY. */
nbuf_result nbuf_page_script(nbuf_trace *trace, nbuf_page_call *call) {
  CHECK(trace != NULL && it.call_count == 1 && call->memory == MEMORY);
  CHECK_EQUAL(peer.handles[NBUF_LINUX_MEMORY], call->open_memory);
  it.mapped_pages++;
  return nbuf_result_of(NEARBUF_OK);
}

nbuf_result nbuf_trace_run(const nbuf_trace_target *target, nbuf_trace_script script,
                           void *context) {
  nbuf_trace trace = {0};
  it.target = *target;
  nbuf_result result = it.running.status == NEARBUF_OK ? script(&trace, context) : it.running;
  return it.ending.status == NEARBUF_OK ? result : it.ending;
}

#undef open
#undef openat
#undef read
#undef fstat
#undef poll
#define open(path, flags) invented_open(path, flags)
#define openat(directory, name, flags) invented_openat(directory, name, flags)
#define close(file) invented_close(file)
#define read(file, bytes, size) invented_read(file, bytes, size)
#define process_vm_readv(id, here, count, there, pieces, flags)                                    \
  invented_process_vm_readv(id, here, count, there, pieces, flags)
#define pread64(file, bytes, size, address) copied(file, (uint64_t)(address), bytes, NULL, size)
#define pwrite64(file, bytes, size, address) copied(file, (uint64_t)(address), NULL, bytes, size)
#define poll(ended, count, timeout) invented_poll(ended, count, timeout)
#define syscall invented_syscall
#define fstat(file, status) invented_fstat(file, status)
#define nbuf_linux_open(process, name, flags) invented_linux_open(process, name, flags)
#define nbuf_linux_open_of_another_thread(process, name, flags)                                    \
  invented_open_of_another(name, flags)
#define nbuf_linux_read_stat(directory, path, stat) invented_read_stat(directory, path, stat)
#define nbuf_linux_read_text(process, name, text, size) invented_read_text(name, text, size)
#define nbuf_linux_visit(directory, visit, context) invented_visit(directory, visit, context)
#define nbuf_os_pause() (void)it.pauses++
#define nbuf_os_limits(from, around) invented_limits(from, around)
#define nbuf_os_page_size() ((size_t)GRANULE)
#include "remote/linux/process.c" /* NOLINT(bugprone-suspicious-include) */

#define CHECK_RESULT(expected, error, call)                                                        \
  do {                                                                                             \
    nbuf_result test_result = (call);                                                              \
    CHECK_STATUS(expected, test_result.status);                                                    \
    CHECK_EQUAL((uint32_t)(error), (uint32_t)test_result.system_error);                            \
    CHECK_EQUAL(peer.handles[NBUF_LINUX_MEMORY] != 0, it.open_files);                              \
  } while (0)

/* ---- Whether it runs ------------------------------------------------------------------------- */

TEST(a_process_whose_pidfd_is_quiet_and_whose_thread_lives_runs) {
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_check(&peer));
  CHECK_EQUAL(0, it.pauses);
}

/* A thread that replaces the program makes it look ended for a moment. */
TEST(a_process_has_ended_if_it_looks_so_four_times) {
  it.looks_ended = 3;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_check(&peer));
  CHECK_EQUAL(3, it.pauses);
  it.looks = 0;
  it.looks_ended = 4;
  CHECK_RESULT(NEARBUF_NOT_FOUND, ESRCH, nbuf_remote_check(&peer));
  CHECK_EQUAL(4, it.looks);
}

TEST(a_process_without_a_pidfd_is_judged_by_its_entry) {
  static const int gone[] = {ESRCH, ENOENT};
  peer.handles[0] = 0;
  it.looks_ended = -1;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_check(&peer));
  for (int i = 0; i < 2; i++) {
    it.stat_error = gone[i];
    CHECK_RESULT(NEARBUF_NOT_FOUND, ESRCH, nbuf_remote_check(&peer));
  }
  it.stat_error = EMFILE;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_check(&peer));
}

static void check_ends(bool is_ending) {
  CHECK_RESULT(is_ending ? NEARBUF_NOT_FOUND : NEARBUF_OK, is_ending ? ESRCH : 0,
               nbuf_remote_check(&peer));
}

TEST(a_process_with_one_thread_ends_with_that) {
  it.stat.flags = IS_EXITING;
  check_ends(true);
  it.stat.threads = 0; /* a zombie */
  check_ends(true);
  it.stat.flags = IS_SIGNALED;
  check_ends(true);
  it.stat.flags = ~(uint32_t)(IS_EXITING | IS_SIGNALED);
  check_ends(false);
  it.stat.signals = KILLED;
  check_ends(true);
  it.stat.signals = ~(uint32_t)KILLED;
  check_ends(false);
  it.stat.signals = KILLED;
  it.stat.threads = 1;
  it.task_error = EMFILE; /* its threads need not be looked at */
  check_ends(true);
}

static void add_thread(const char *name, uint32_t flags, int error) {
  it.threads[it.thread_count++] = (task){name, error, {.state = 'S', .flags = flags}};
}

TEST(a_process_with_several_threads_ends_with_the_last_of_them) {
  it.stat.flags = IS_EXITING;
  it.stat.threads = 2;
  add_thread(".", 0, 0);
  add_thread("..", 0, 0);
  add_thread("42", IS_EXITING, 0);
  add_thread("43", 0, 0);
  add_thread("44", IS_EXITING, 0);
  check_ends(false);
  it.threads[3].stat.flags = IS_SIGNALED;
  check_ends(true);
  it.threads[3].stat.flags = 0;
  it.threads[3].error = ESRCH; /* it has ended meanwhile */
  check_ends(true);
  it.threads[3].error = EMFILE; /* unknown */
  check_ends(false);
  it.threads[3].error = ENOENT;
  it.visit_error = EIO;
  check_ends(false);
}

TEST(where_the_threads_cannot_be_looked_at_only_a_missing_folder_means_the_end) {
  it.stat.flags = IS_EXITING;
  it.stat.threads = 2;
  it.task_error = ENOENT;
  check_ends(true);
  it.task_error = EMFILE;
  check_ends(false);
}

/* ---- Errors ---------------------------------------------------------------------------------- */

TEST(each_error_of_the_system_has_its_status) {
  static const struct {
    int error;
    nearbuf_status status;
  } known[] = {{0, NEARBUF_OK},
               {ESRCH, NEARBUF_BUSY}, /* another program is just replacing it */
               {ENOENT, NEARBUF_NOT_FOUND},
               {EPERM, NEARBUF_DENIED},
               {EACCES, NEARBUF_DENIED},
               {EMFILE, NEARBUF_OUT_OF_MEMORY},
               {ENFILE, NEARBUF_OUT_OF_MEMORY},
               {ENOMEM, NEARBUF_OUT_OF_MEMORY},
               {EFAULT, NEARBUF_NOT_MAPPED},
               {EIO, NEARBUF_NOT_MAPPED},
               {EINVAL, NEARBUF_SYSTEM_ERROR}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    CHECK_RESULT(known[i].status, known[i].error, nbuf_linux_result(&peer, known[i].error));
  }
}

TEST(the_end_of_the_process_explains_every_failure) {
  it.looks_ended = -1;
  CHECK_RESULT(NEARBUF_NOT_FOUND, ESRCH, nbuf_linux_result(&peer, EMFILE));
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_linux_result(&peer, 0));
}

/* ---- Opening --------------------------------------------------------------------------------- */

static const unsigned char wide_program[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
static const unsigned char narrow_program[] = {0x7f, 'E', 'L', 'F', 1, 1, 1};

static nbuf_result open_and_close(uint32_t *bits) {
  nearbuf_process opened = {0};
  nbuf_result result = nbuf_remote_open(ID, &opened);
  CHECK_EQUAL(result.status == NEARBUF_OK ? ID : opened.id, opened.id);
  *bits = opened.address_bits;
  if (result.status != NEARBUF_OK) {
    CHECK(opened.handles[0] == 0 && opened.handles[1] == 0);
  } else {
    CHECK_EQUAL(it.pidfd_error != 0 ? 0 : PIDFD + 1, opened.handles[0]);
    CHECK_EQUAL(DIRECTORY + 1, opened.handles[1]);
    nbuf_remote_close(&opened);
    CHECK(opened.handles[0] == 0 && opened.handles[1] == 0);
  }
  return result;
}

TEST(a_process_is_opened_with_the_width_of_its_program) {
  uint32_t bits;
  entry *program = add_entry("exe", wide_program, sizeof wide_program);
  CHECK_RESULT(NEARBUF_OK, 0, open_and_close(&bits));
  CHECK_EQUAL(64, bits);
  CHECK_EQUAL(O_RDONLY, it.flags);
  CHECK(strcmp(it.path, "/proc/42") == 0);
  program->bytes = narrow_program;
  it.read_errors[0] = it.read_errors[1] = EINTR;
  CHECK_RESULT(NEARBUF_OK, 0, open_and_close(&bits));
  CHECK_EQUAL(32, bits);
  program->size = 4;
  CHECK_RESULT(NEARBUF_OK, 0, open_and_close(&bits));
  CHECK_EQUAL(0, bits);
  program->size = 0;
  errno = EIO; /* of another call */
  CHECK_RESULT(NEARBUF_OK, 0, open_and_close(&bits));
  CHECK_EQUAL(0, bits);
  errno = EINTR;
  CHECK_RESULT(NEARBUF_OK, 0, open_and_close(&bits));
  CHECK_EQUAL(0, bits);
  program->bytes = "\177EL_\2";
  program->size = 5;
  CHECK_RESULT(NEARBUF_OK, 0, open_and_close(&bits));
  CHECK_EQUAL(0, bits);
  it.read_errors[0] = EIO;
  CHECK_RESULT(NEARBUF_NOT_MAPPED, EIO, open_and_close(&bits));
}

TEST(a_process_that_hides_its_program_is_opened_without_a_width) {
  static const int hidden[] = {EACCES, EPERM, ENOENT, ESRCH};
  uint32_t bits;
  entry *program = add_entry("exe", wide_program, sizeof wide_program);
  for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
    program->error = hidden[i];
    CHECK_RESULT(NEARBUF_OK, 0, open_and_close(&bits));
    CHECK_EQUAL(0, bits);
  }
  program->error = EMFILE;
  CHECK_RESULT(NEARBUF_OUT_OF_MEMORY, EMFILE, open_and_close(&bits));
}

TEST(kernels_without_a_pidfd_do_without) {
  static const int lacks[] = {ENOSYS, EPERM};
  uint32_t bits;
  (void)add_entry("exe", wide_program, sizeof wide_program);
  for (size_t i = 0; i < sizeof lacks / sizeof *lacks; i++) {
    it.pidfd_error = lacks[i];
    CHECK_RESULT(NEARBUF_OK, 0, open_and_close(&bits));
  }
  it.directory_error = ENOENT;
  CHECK_RESULT(NEARBUF_NOT_FOUND, ENOENT, open_and_close(&bits));
}

TEST(why_a_process_cannot_be_opened_is_returned) {
  uint32_t bits;
  nearbuf_process opened = {0};
  CHECK_RESULT(NEARBUF_NOT_FOUND, ESRCH, nbuf_remote_open((int64_t)INT32_MAX + 1, &opened));
  it.pidfd_error = EINVAL; /* a thread's id */
  CHECK_RESULT(NEARBUF_NOT_FOUND, EINVAL, open_and_close(&bits));
  it.pidfd_error = ESRCH;
  CHECK_RESULT(NEARBUF_NOT_FOUND, ESRCH, open_and_close(&bits));
  it.pidfd_error = EMFILE;
  CHECK_RESULT(NEARBUF_OUT_OF_MEMORY, EMFILE, open_and_close(&bits));
  it.pidfd_error = 0;
  it.directory_error = EMFILE;
  CHECK_RESULT(NEARBUF_OUT_OF_MEMORY, EMFILE, open_and_close(&bits));
  it.directory_error = ENOENT; /* it is hidden */
  CHECK_RESULT(NEARBUF_DENIED, ENOENT, open_and_close(&bits));
  it.directory_error = 0;
  it.looks_ended = -1;
  CHECK_RESULT(NEARBUF_NOT_FOUND, ESRCH, open_and_close(&bits));
}

TEST(closing_closes_also_the_file_of_a_locator) {
  peer.handles[2] = PIDFD + 1;
  it.open_files = 3;
  nbuf_remote_close(&peer);
  CHECK_EQUAL(0, it.open_files);
  nbuf_remote_close(&peer);
  CHECK_EQUAL(0, it.open_files);
}

/* ---- About it -------------------------------------------------------------------------------- */

static const char usual_status[] = "Name:\tcat\nState:\tS (sleeping)\nTgid:\t42\nTracerPid:\t0\n"
                                   "Uid:\t5\t169\t7\t8\nNSpid:\t42\t3\nSeccomp:\t0\n";

TEST(a_description_has_what_the_status_says) {
  nearbuf_process_info info = {0};
  it.status = usual_status;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_describe(&peer, &info));
  CHECK_EQUAL(ID, info.id);
  CHECK_EQUAL(3, info.own_id);
  CHECK_EQUAL(169, info.user);
  CHECK_EQUAL(64, info.address_bits);
  CHECK(info.traced_by == 0 && !info.is_filtered && !info.is_stopped);
  CHECK(strcmp(info.name, "cat") == 0);
  it.status = "Name:\ta\nState:\tT (stopped)\nTracerPid:\t97\nSeccomp:\t2\n";
  info = (nearbuf_process_info){0};
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_describe(&peer, &info));
  CHECK(info.traced_by == 97 && info.is_filtered == 1 && info.is_stopped == 1);
  CHECK(strcmp(info.name, "a") == 0);
}

TEST(a_description_lacks_what_the_status_does_not_say) {
  nearbuf_process_info info = {0};
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_describe(&peer, &info));
  CHECK(info.user == 0 && info.name[0] == '\0' && !info.is_stopped);
  it.status = "Name:\tab";
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_describe(&peer, &info));
  CHECK(strcmp(info.name, "ab") == 0);
}

TEST(a_name_that_is_too_long_is_cut) {
  nearbuf_process_info info = {0};
  char text[200] = "Name:\t";
  memset(text + 6, 'x', 100);
  it.status = text;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_describe(&peer, &info));
  CHECK_EQUAL(sizeof info.name - 1, strnlen(info.name, sizeof info.name));
}

TEST(a_status_that_cannot_be_read_is_no_description) {
  nearbuf_process_info info = {0};
  it.status_error = EMFILE;
  CHECK_RESULT(NEARBUF_OUT_OF_MEMORY, EMFILE, nbuf_remote_describe(&peer, &info));
  it.status_error = 0;
  it.looks_ended = -1;
  CHECK_RESULT(NEARBUF_NOT_FOUND, ESRCH, nbuf_remote_describe(&peer, &info));
}

static int64_t sum_of_ids;

static int add_id(int64_t id, void *context) {
  sum_of_ids += id;
  return id == *(int *)context ? -1 : 0;
}

TEST(all_processes_are_visited_until_the_visitor_has_enough) {
  int last = 0;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_visit_all(add_id, &last)); /* it sees none */
  const char *names[] = {".", "acpi", "1", "20", "0", ":", "999"};
  memcpy(it.names, names, sizeof names);
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_visit_all(add_id, &last));
  CHECK_EQUAL(1020, sum_of_ids);
  CHECK(strcmp(it.path, "/proc") == 0);
  last = 20;
  CHECK_RESULT(NEARBUF_CANCELLED, 0, nbuf_remote_visit_all(add_id, &last));
  CHECK_EQUAL(1041, sum_of_ids);
  last = 0;
  it.visit_error = ENOMEM;
  CHECK_RESULT(NEARBUF_OUT_OF_MEMORY, ENOMEM, nbuf_remote_visit_all(add_id, &last));
  it.directory_error = EACCES;
  CHECK_RESULT(NEARBUF_DENIED, EACCES, nbuf_remote_visit_all(add_id, &last));
}

/* ---- Its memory ------------------------------------------------------------------------------ */

enum { SOME = 1000 };
static unsigned char bytes[SOME];

static void fill_memory(void) {
  for (size_t i = 0; i < sizeof content; i++) {
    content[i] = (unsigned char)(i * 7 + i / 251);
  }
}

static void check_read(nearbuf_status status, int error, uint64_t from, size_t expected) {
  size_t done = SIZE_MAX;
  memset(bytes, 0, sizeof bytes);
  CHECK_RESULT(status, error, nbuf_remote_read(&peer, from, bytes, sizeof bytes, &done));
  CHECK_EQUAL(expected, done);
  CHECK(memcmp(bytes, content + (from - MEMORY), expected) == 0);
  CHECK(expected == sizeof bytes || bytes[expected] == 0);
}

TEST(memory_is_read_piece_by_piece) {
  fill_memory();
  check_read(NEARBUF_OK, 0, MEMORY + 10, SOME);
  CHECK_EQUAL(1, it.direct_calls);
  it.piece = 300;
  check_read(NEARBUF_OK, 0, MEMORY + 10, SOME);
  CHECK_EQUAL(5, it.direct_calls);
  it.piece = 1;
  check_read(NEARBUF_OK, 0, MEMORY + 10, SOME);
  (void)add_entry("mem", "", 0);
  it.direct_error = ENOSYS;
  check_read(NEARBUF_OK, 0, MEMORY + 10, SOME);
}

TEST(as_much_as_is_mapped_is_read) {
  fill_memory();
  (void)add_entry("mem", "", 0);
  it.end = MEMORY + 600;
  it.piece = 250;
  check_read(NEARBUF_NOT_MAPPED, EIO, MEMORY + 10, 590);
  CHECK_EQUAL(O_RDONLY, it.flags);
}

/* It may have parts that are mapped but cannot be read. */
TEST(what_cannot_be_read_directly_is_read_through_the_descriptor) {
  static const int errors[] = {ENOSYS, EFAULT, ESRCH, -1};
  fill_memory();
  (void)add_entry("mem", "", 0);
  it.piece = 300;
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    it.direct_error = errors[i];
    check_read(NEARBUF_OK, 0, MEMORY + 10, SOME);
  }
  it.direct_error = EPERM;
  check_read(NEARBUF_DENIED, EPERM, MEMORY + 10, 0);
  it.direct_error = ENOSYS;
  it.memory_error = -1; /* the address space is gone */
  check_read(NEARBUF_BUSY, ESRCH, MEMORY + 10, 0);
  it.entries[0].error = EACCES;
  check_read(NEARBUF_SYSTEM_ERROR, ENOSYS, MEMORY + 10, 0);
}

TEST(addresses_at_the_end_are_read_through_the_descriptor_only) {
  size_t done;
  (void)add_entry("mem", "", 0);
  CHECK_RESULT(NEARBUF_NOT_MAPPED, EIO, nbuf_remote_read(&peer, UINT64_MAX - 4, bytes, 5, &done));
  CHECK_EQUAL(0, it.direct_calls);
}

TEST(of_a_process_that_ends_nothing_was_read) {
  fill_memory();
  it.is_ended_meanwhile = true;
  check_read(NEARBUF_NOT_FOUND, ESRCH, MEMORY, 0);
  it.looks_ended = 0;
  it.direct_error = EPERM;
  check_read(NEARBUF_NOT_FOUND, ESRCH, MEMORY, 0);
}

/* One look at the pidfd is enough where a read succeeded. */
TEST(whose_memory_was_read_is_asked_once) {
  it.stat_error = ESRCH;
  check_read(NEARBUF_OK, 0, MEMORY, SOME);
  peer.handles[0] = 0;
  check_read(NEARBUF_NOT_FOUND, ESRCH, MEMORY, 0);
}

TEST(memory_is_written_piece_by_piece) {
  size_t done = 1;
  fill_memory();
  memset(bytes, 'w', sizeof bytes);
  CHECK_RESULT(NEARBUF_NOT_FOUND, ENOENT, nbuf_remote_write(&peer, MEMORY + 5, bytes, SOME, &done));
  CHECK_EQUAL(0, done);
  (void)add_entry("mem", "", 0);
  for (size_t i = 0; i < SOME; i++) {
    bytes[i] = (unsigned char)(i / 2);
  }
  it.piece = 300;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_write(&peer, MEMORY + 5, bytes, SOME, &done));
  CHECK_EQUAL(SOME, done);
  CHECK(memcmp(content + 5, bytes, SOME) == 0);
  CHECK_EQUAL(O_RDWR, it.flags);
  it.piece = 1;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_write(&peer, MEMORY + 6, bytes, SOME, &done));
  CHECK_EQUAL(SOME, done);
  it.piece = 300;
  it.end = MEMORY + 705;
  CHECK_RESULT(NEARBUF_NOT_MAPPED, EIO, nbuf_remote_write(&peer, MEMORY + 5, bytes, SOME, &done));
  CHECK_EQUAL(700, done);
  it.memory_error = -1;
  CHECK_RESULT(NEARBUF_BUSY, ESRCH, nbuf_remote_write(&peer, MEMORY + 5, bytes, SOME, &done));
}

static void note_program(uint64_t first, uint64_t second) {
  peer.reserved[NBUF_KEPT_PROGRAM] = RANDOM_PLACE;
  peer.reserved[1] = first;
  peer.reserved[2] = second;
}

static void run_program(uint64_t first, uint64_t second) {
  const uint64_t random[2] = {first, second};
  memcpy(content + (RANDOM_PLACE - MEMORY), random, sizeof random);
}

TEST(only_the_noted_program_is_written_to) {
  intptr_t file = 9;
  CHECK_RESULT(NEARBUF_NOT_FOUND, ENOENT, nbuf_remote_memory_open(&peer, &file));
  CHECK_EQUAL(0, file);
  (void)add_entry("mem", "", 0);
  for (int i = 0; i < 3; i++) {
    note_program(1, 2);
    run_program(i == 1 ? 3 : 1, i == 2 ? 3 : 2);
    nbuf_result result = nbuf_remote_memory_open(&peer, &file);
    CHECK_STATUS(i == 0 ? NEARBUF_OK : NEARBUF_BUSY, result.status);
    CHECK_EQUAL(i == 0 ? 1 : 0, file);
    CHECK_EQUAL(i == 0, it.open_files);
    CHECK_EQUAL(O_RDWR, it.flags);
    nbuf_remote_memory_close(file);
    CHECK_EQUAL(0, it.open_files);
  }
  it.end = RANDOM_PLACE + 15;
  CHECK_RESULT(NEARBUF_BUSY, 0, nbuf_remote_memory_open(&peer, &file));
}

TEST(a_process_of_which_no_program_was_noted_is_written_to) {
  intptr_t file = 9;
  (void)add_entry("mem", "", 0);
  CHECK_STATUS(NEARBUF_OK, nbuf_remote_memory_open(&peer, &file).status);
  CHECK_STATUS(NEARBUF_OK, nbuf_remote_memory_write(file, MEMORY + 3, "abc", 3).status);
  CHECK(memcmp(content + 3, "abc", 3) == 0);
  it.end = MEMORY + 5;
  CHECK_STATUS(NEARBUF_NOT_MAPPED, nbuf_remote_memory_write(file, MEMORY + 3, "abc", 3).status);
  nbuf_remote_memory_close(file);
  CHECK_EQUAL(0, it.open_files);
}

/* ---- Which program it runs ------------------------------------------------------------------- */

enum { RANDOM = 25 };

static uint64_t auxiliary[512];
static uint32_t narrow_auxiliary[512];
static entry *vector;

static void add_auxiliary(void) {
  const uint64_t wide[] = {3, 64, RANDOM - 1, 1, RANDOM, RANDOM_PLACE, RANDOM + 1, 2, 0, 0};
  memcpy(auxiliary, wide, sizeof wide);
  for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
    narrow_auxiliary[i] = (uint32_t)wide[i];
  }
  vector = add_entry("auxv", auxiliary, sizeof wide);
}

TEST(a_program_is_noted_by_its_random_bytes) {
  add_auxiliary();
  run_program(5, 6);
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_note_program(&peer));
  CHECK_EQUAL(RANDOM_PLACE, peer.reserved[0]);
  CHECK_EQUAL(5, peer.reserved[1]);
  CHECK_EQUAL(6, peer.reserved[2]);
  CHECK(nbuf_linux_runs_noted_program(&peer));
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_check_program(&peer));
  vector->error = EACCES;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_note_program(&peer)); /* it is that still */
}

TEST(the_addresses_of_a_narrow_process_are_narrow) {
  add_auxiliary();
  vector->bytes = narrow_auxiliary;
  vector->size = 6 * sizeof(uint32_t);
  peer.address_bits = 32;
  run_program(5, 6);
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_note_program(&peer));
  CHECK_EQUAL(RANDOM_PLACE, peer.reserved[0]);
  vector->size -= 4; /* the last entry is not whole */
  peer.reserved[0] = 0;
  CHECK_RESULT(NEARBUF_BUSY, 0, nbuf_remote_note_program(&peer));
}

/* Its memory, which is open for the rest of the call: at most once. */
static void check_is_held(bool is_held) {
  CHECK_EQUAL(is_held, peer.handles[NBUF_LINUX_MEMORY] != 0);
  CHECK_EQUAL(is_held, it.open_files);
}

TEST(the_rest_of_a_call_reads_the_memory_of_the_noted_program) {
  uint64_t seen = 0;
  size_t done = 0;
  add_auxiliary();
  (void)add_entry("mem", "", 0);
  run_program(5, 6);
  for (int i = 0; i < 3; i++) { /* the first time it is noted, then it is that still */
    CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_note_program(&peer));
    CHECK_EQUAL(5, peer.reserved[1]);
    check_is_held(true);
    CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_read(&peer, RANDOM_PLACE, &seen, sizeof seen, &done));
    CHECK(seen == 5 && done == sizeof seen);
    CHECK_EQUAL(0, it.direct_calls);
    vector->error = EACCES;
  }
  it.memory_error = -1; /* it is gone, and what it has now is read */
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_read(&peer, RANDOM_PLACE, &seen, sizeof seen, &done));
  CHECK_EQUAL(1, it.direct_calls);
  nbuf_remote_let_go(&peer);
  check_is_held(false);
  nbuf_remote_let_go(&peer);
  check_is_held(false);
}

TEST(the_memory_of_the_rest_of_a_call_becomes_the_one_to_write_to) {
  intptr_t memory = 0;
  add_auxiliary();
  (void)add_entry("mem", "", 0);
  run_program(5, 6);
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_note_program(&peer));
  it.memory_error = EPERM; /* it is not opened and looked at again */
  CHECK_STATUS(NEARBUF_OK, nbuf_remote_memory_open(&peer, &memory).status);
  CHECK_EQUAL(0, peer.handles[NBUF_LINUX_MEMORY]);
  CHECK_EQUAL(1, it.open_files);
  nbuf_remote_memory_close(memory);
  CHECK_EQUAL(0, it.open_files);
}

TEST(memory_is_held_once_and_only_of_the_noted_program) {
  (void)add_entry("mem", "", 0);
  note_program(5, 6);
  run_program(5, 7);
  intptr_t memory;
  CHECK_RESULT(NEARBUF_BUSY, 0, nbuf_linux_hold_memory(&peer, &memory));
  check_is_held(false);
  run_program(5, 6);
  for (int i = 0; i < 2; i++) {
    CHECK_RESULT(NEARBUF_OK, 0, nbuf_linux_hold_memory(&peer, &memory));
    CHECK(memory != 0 && memory == peer.handles[NBUF_LINUX_MEMORY]);
    check_is_held(true);
    it.memory_error = EPERM; /* it is not looked at again */
  }
  nbuf_remote_let_go(&peer);
  check_is_held(false);
}

/* It may still be there: a parent shares it. */
TEST(the_memory_of_a_program_that_was_replaced_is_not_written_to) {
  intptr_t memory = 0;
  (void)add_entry("mem", "", 0);
  for (int i = 0; i < 3; i++) {
    note_program(5, 6);
    run_program(5, 6);
    CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_note_program(&peer));
    it.direct_error = i == 0 ? EFAULT : 0; /* the new program has nothing there */
    run_program(i == 1 ? 4 : 5, i == 2 ? 4 : 6);
    it.memory_error = i == 0 ? -1 : 0;
    CHECK_RESULT(NEARBUF_BUSY, 0, nbuf_remote_memory_open(&peer, &memory));
    CHECK_EQUAL(0, memory);
    it.memory_error = 0;
    check_is_held(false);
  }
}

/* Its memory was opened before. */
TEST(the_memory_of_another_program_than_the_noted_one_is_not_held) {
  add_auxiliary();
  (void)add_entry("mem", "", 0);
  run_program(5, 6);
  it.memory_error = -1;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_note_program(&peer));
  CHECK_EQUAL(5, peer.reserved[1]);
  CHECK_EQUAL(1, it.direct_calls);
  check_is_held(false);
}

TEST(whether_a_program_was_replaced_is_asked_of_the_process_itself) {
  add_auxiliary();
  (void)add_entry("mem", "", 0);
  run_program(5, 6);
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_note_program(&peer));
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_check_program(&peer));
  CHECK_EQUAL(1, it.direct_calls);
}

TEST(a_value_of_the_auxiliary_vector_is_no_key) {
  static const uint64_t values[] = {RANDOM, RANDOM_PLACE, 3, RANDOM, 4, 56, 0, 0};
  run_program(5, 6);
  (void)add_entry("auxv", values, sizeof values);
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_note_program(&peer));
  CHECK_EQUAL(RANDOM_PLACE, peer.reserved[0]);
}

TEST(at_most_128_entries_tell_of_a_program) {
  add_auxiliary();
  auxiliary[4] = 1;
  vector->size = sizeof auxiliary;
  auxiliary[254] = RANDOM;
  auxiliary[255] = RANDOM_PLACE;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_note_program(&peer));
  peer.reserved[0] = 0;
  auxiliary[254] = 1;
  auxiliary[256] = RANDOM;
  auxiliary[257] = RANDOM_PLACE;
  CHECK_RESULT(NEARBUF_BUSY, 0, nbuf_remote_note_program(&peer));
}

TEST(with_another_program_what_was_kept_is_forgotten) {
  add_auxiliary();
  note_program(1, 2);
  run_program(5, 6);
  peer.reserved[NBUF_KEPT_ENTRY] = peer.reserved[NBUF_KEPT_FIRST] = 1;
  peer.reserved[NBUF_KEPT_VIEWED] = peer.reserved[NBUF_KEPT_DIALECT] = 1;
  peer.handles[2] = PIDFD + 1;
  it.open_files = 1;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_note_program(&peer));
  CHECK_EQUAL(5, peer.reserved[1]);
  CHECK(peer.reserved[NBUF_KEPT_ENTRY] == 0 && peer.reserved[NBUF_KEPT_FIRST] == 0);
  CHECK(peer.reserved[NBUF_KEPT_VIEWED] == 0 && peer.handles[2] == 0);
  peer.reserved[NBUF_KEPT_ENTRY] = 1;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_note_program(&peer));
  CHECK_EQUAL(1, peer.reserved[NBUF_KEPT_ENTRY]);
}

TEST(a_program_without_random_bytes_is_just_being_replaced) {
  add_auxiliary();
  auxiliary[4] = 1;
  CHECK_RESULT(NEARBUF_BUSY, 0, nbuf_remote_note_program(&peer));
  auxiliary[4] = RANDOM;
  it.end = RANDOM_PLACE;
  (void)add_entry("mem", "", 0);
  CHECK_RESULT(NEARBUF_BUSY, 0, nbuf_remote_note_program(&peer));
  CHECK_EQUAL(0, peer.reserved[0]);
}

TEST(where_the_width_is_hidden_so_is_the_program) {
  add_auxiliary();
  peer.address_bits = 0;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_note_program(&peer));
  CHECK_EQUAL(0, peer.reserved[0]);
  CHECK_EQUAL(0, it.direct_calls);
}

TEST(if_the_first_thread_has_ended_another_one_tells) {
  add_auxiliary();
  entry *another = add_entry("auxv", auxiliary, vector->size);
  vector->size = 0;
  run_program(5, 6);
  another->is_of_another_thread = true;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_note_program(&peer));
  CHECK_EQUAL(RANDOM_PLACE, peer.reserved[0]);
  another->error = EACCES;
  CHECK_RESULT(NEARBUF_DENIED, EACCES, nbuf_remote_check_program(&peer));
  vector->error = EMFILE; /* and that one too */
  another->error = EMFILE;
  CHECK_RESULT(NEARBUF_OUT_OF_MEMORY, EMFILE, nbuf_remote_check_program(&peer));
  vector->error = 0;
  vector->size = 80;
  it.read_errors[0] = EACCES;
  CHECK_RESULT(NEARBUF_DENIED, EACCES, nbuf_remote_check_program(&peer));
}

TEST(so_it_does_if_the_vector_of_the_first_one_cannot_be_opened) {
  add_auxiliary();
  vector->error = EACCES;
  run_program(5, 6);
  add_entry("auxv", auxiliary, vector->size)->is_of_another_thread = true;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_note_program(&peer));
  CHECK_EQUAL(RANDOM_PLACE, peer.reserved[0]);
}

TEST(the_vector_of_another_thread_may_have_the_lowest_descriptor) {
  static const uint64_t values[] = {RANDOM, RANDOM_PLACE};
  entry *another = add_entry("auxv", values, sizeof values);
  another->is_of_another_thread = true;
  (void)add_entry("auxv", values, 0);
  run_program(5, 6);
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_note_program(&peer));
  CHECK_EQUAL(RANDOM_PLACE, peer.reserved[0]);
  CHECK_EQUAL(0, it.open_files);
  peer.reserved[0] = 0;
  another->size = 0; /* it has ended, too */
  errno = EACCES;    /* of another call */
  CHECK_RESULT(NEARBUF_BUSY, 0, nbuf_remote_note_program(&peer));
}

TEST(another_program_than_the_noted_one_makes_what_is_known_stale) {
  add_auxiliary();
  (void)add_entry("mem", "", 0);
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_check_program(&peer)); /* none was noted */
  run_program(1, 2);
  for (int i = 0; i < 3; i++) {
    note_program(i == 0 ? 3 : 1, i == 1 ? 3 : 2);
    peer.reserved[0] += i == 2 ? 16 : 0;
    CHECK_RESULT(NEARBUF_STALE, 0, nbuf_remote_check_program(&peer));
    CHECK(!nbuf_linux_runs_noted_program(&peer));
  }
  note_program(1, 2);
  it.end = RANDOM_PLACE;
  CHECK_RESULT(NEARBUF_STALE, 0, nbuf_remote_check_program(&peer));
  CHECK(!nbuf_linux_runs_noted_program(&peer));
  it.direct_error = EPERM;
  CHECK_RESULT(NEARBUF_DENIED, EPERM, nbuf_remote_check_program(&peer));
}

TEST(a_process_that_has_ended_runs_no_program) {
  note_program(0, 0);
  CHECK(nbuf_linux_runs_noted_program(&peer));
  it.looks_ended = -1;
  CHECK(!nbuf_linux_runs_noted_program(&peer));
}

TEST(whose_its_entry_is_tells_user_and_group) {
  uint64_t owner = 1;
  CHECK(nbuf_linux_owner(&peer, &owner));
  CHECK_EQUAL((uint64_t)7 << 32 | 9, owner);
  it.owner_error = ESRCH;
  CHECK(!nbuf_linux_owner(&peer, &owner));
}

/* ---- Its map --------------------------------------------------------------------------------- */

#define MAP_LINES                                                                                  \
  "20000000-20001000 r--p 00000000 00:00 0\n"                                                      \
  "20001000-20300000 rwxs 00003000 08:01 77 /a/file\n"

/* The map is read by the real function. */
static int text_file(const char *text) {
  int file = memfd_create("text", MFD_CLOEXEC);
  CHECK(file >= 0 && (write)(file, text, strlen(text)) == (ssize_t)strlen(text));
  CHECK((lseek)(file, 0, SEEK_SET) == 0);
  return file;
}

/* The descriptors of entries are given to these texts. */
static void add_map(const char *text, bool is_of_another_thread) {
  int i = 0;
  while (it.entries[i].name != NULL) {
    i++;
  }
  entry *map = add_entry("maps", text, strlen(text));
  map->is_of_another_thread = is_of_another_thread;
  int file = text_file(text);
  CHECK_EQUAL(number_of(i), dup2(file, number_of(i)));
  (void)(close)(file);
}

static void rewind_maps(void) {
  for (int i = 0; i < MOST_FILES; i++) {
    (void)lseek(number_of(i), 0, SEEK_SET);
  }
}

static nbuf_result mapping_at(uint64_t address, nbuf_remote_mapping *mapping) {
  *mapping = (nbuf_remote_mapping){0};
  rewind_maps();
  return nbuf_linux_mapping_at(&peer, address, mapping);
}

TEST(a_mapping_is_found_by_any_of_its_addresses) {
  static const uint64_t inside[] = {0x20001000, 0x20200000, 0x202fffff};
  nbuf_remote_mapping mapping;
  add_map(MAP_LINES, false);
  CHECK_RESULT(NEARBUF_NOT_FOUND, 0, mapping_at(0x1fffffff, &mapping));
  CHECK_RESULT(NEARBUF_OK, 0, mapping_at(0x20000fff, &mapping));
  CHECK(mapping.info.min == 0x20000000 && mapping.info.max == 0x20000fff && mapping.inode == 0);
  CHECK(mapping.info.is_readable && !mapping.info.is_writable && !mapping.info.is_executable);
  CHECK(!mapping.info.is_shared);
  for (int i = 0; i < 3; i++) {
    CHECK_RESULT(NEARBUF_OK, 0, mapping_at(inside[i], &mapping));
    CHECK(mapping.info.min == 0x20001000 && mapping.inode == 77 && mapping.device != 0);
  }
  CHECK(mapping.info.is_readable && mapping.info.is_writable && mapping.info.is_executable);
  CHECK(mapping.info.is_shared && mapping.info.file_offset == 0x3000);
  CHECK(strcmp(mapping.info.name, "/a/file") == 0);
  CHECK_RESULT(NEARBUF_NOT_FOUND, 0, mapping_at(0x20300000, &mapping));
  CHECK_EQUAL(O_RDONLY, it.flags);
}

TEST(the_map_of_an_ended_thread_is_replaced_by_that_of_another) {
  nbuf_remote_mapping mapping;
  add_map("", false);
  CHECK_RESULT(NEARBUF_NOT_FOUND, 0, mapping_at(0x20000000, &mapping));
  add_map(MAP_LINES, true);
  CHECK_RESULT(NEARBUF_OK, 0, mapping_at(0x20000000, &mapping));
  rewind_maps();
  CHECK_RESULT(NEARBUF_NOT_FOUND, 0, nbuf_linux_mapping_at(NULL, 0x20000000, &mapping));
}

TEST(the_map_of_another_thread_may_have_the_lowest_descriptor) {
  nbuf_remote_mapping mapping;
  add_map(MAP_LINES, true);
  add_map("", false);
  CHECK_RESULT(NEARBUF_OK, 0, mapping_at(0x20000000, &mapping));
}

TEST(a_map_that_cannot_be_opened_or_read_says_why) {
  nbuf_remote_mapping mapping;
  entry *map = add_entry("maps", "", 0);
  map->error = ESRCH;
  CHECK_RESULT(NEARBUF_BUSY, ESRCH, nbuf_linux_mapping_at(&peer, 1, &mapping));
  CHECK_RESULT(NEARBUF_NOT_FOUND, ESRCH, nbuf_linux_mapping_at(NULL, 1, &mapping));
  map->error = 0;
  (void)(close)(number_of(0));
  CHECK_RESULT(NEARBUF_SYSTEM_ERROR, EBADF, nbuf_linux_mapping_at(&peer, 1, &mapping));
}

enum { NAME_ROOM = sizeof((nbuf_remote_mapping *)NULL)->info.name };

/* That so many bytes of a name are dropped that begins like this, and has this length. */
static void check_dropped(int dropped, const char *beginning, int length) {
  char name[256];
  char text[512];
  nbuf_remote_mapping mapping;
  memset(name, 'x', sizeof name);
  memcpy(name, beginning, strlen(beginning));
  name[length] = '\0';
  (void)snprintf(text, sizeof text, "20000000-20001000 r--p 0 08:01 1 %s\n20001000-\n", name);
  memset(it.entries, 0, sizeof it.entries);
  add_map(text, false);
  CHECK_RESULT(NEARBUF_OK, 0, mapping_at(0x20000000, &mapping));
  CHECK(strcmp(name + dropped, mapping.info.name) == 0);
  CHECK(mapping.inode == 1 &&
        mapping.device == (UINT64_C(8) << 32 | 1)); /* it ends within its room */
}

TEST(a_short_name_behind_a_long_one_ends_where_it_ends) {
  nbuf_remote_mapping mapping;
  add_map("20000000-20001000 r-xp 0 0:0 0 /a/long/name\n20001000-20002000 r-xp 0 0:0 0 /b\n",
          false);
  CHECK_RESULT(NEARBUF_OK, 0, mapping_at(0x20000000, &mapping));
  CHECK(strcmp("/a/long/name", mapping.info.name) == 0);
  CHECK_RESULT(NEARBUF_OK, 0, mapping_at(0x20001000, &mapping));
  CHECK(strcmp("/b", mapping.info.name) == 0);
}

TEST(of_a_long_name_the_end_is_kept_without_a_part_of_a_character) {
  static const int dropped[] = {0, 0, 1, 3, 3};
  static const int dropped_of_character[] = {0, 0, 2, 2, 3};
  for (int i = 0; i < 5; i++) {
    check_dropped(dropped[i], "/\xc3\xa5", NAME_ROOM - 2 + i); /* one character */
    check_dropped(dropped_of_character[i], "\xc3\xa5", NAME_ROOM - 2 + i);
  }
  check_dropped(0, "\xa5", 9); /* all fits */
}

TEST(a_narrow_process_has_no_last_two_pages) {
  CHECK_EQUAL(UINTPTR_MAX, nbuf_remote_limits(64, 5).max);
  CHECK_EQUAL(5, nbuf_remote_limits(64, 5).min);
  CHECK_EQUAL(0xffffdfff, nbuf_remote_limits(32, 5).max);
}

/* ---- System calls in it ---------------------------------------------------------------------- */

#define FAR "20000000-20300000 r-xp 00000000 08:01 77 /lib\n"
#define VDSO "20200000-20202000 r-xp 00000000 00:00 0 [vdso]\n"

static uint64_t entry_of_run(nearbuf_status status) {
  rewind_maps();
  it.call_count = 0;
  it.target.entry = 0;
  peer.reserved[NBUF_KEPT_ENTRY] = 0;
  CHECK_RESULT(status, 0, nbuf_remote_free(&peer, MEMORY, GRANULE));
  return it.target.entry;
}

static void put_entry(uint64_t address) {
  const unsigned char *code = peer.address_bits == 64 ? nbuf_trace_entry_64 : nbuf_trace_entry_32;
  memcpy(content + (address - MEMORY), code, peer.address_bits == 64 ? 2 : 4);
}

TEST(the_kernel_is_entered_through_its_own_code_first) {
  add_map("20000000-20001000 r-xp 0 0:0 0 /lib\n" VDSO, false);
  put_entry(0x20000100);
  put_entry(0x20200101);
  CHECK_EQUAL(0x20200101, entry_of_run(NEARBUF_OK));
  CHECK_EQUAL(ID, it.target.id);
  CHECK_EQUAL(DIRECTORY, it.target.directory);
  CHECK(it.target.is_64_bit);
}

/* The kernel's own is looked for first, and the map is read again. */
TEST(an_instruction_is_found_in_the_first_mebibyte_of_any_code_that_can_be_read) {
  static const struct {
    uint64_t at;
    bool is_found;
  } places[] = {{MEMORY, true},
                {MEMORY + 4094, true},
                {MEMORY + 4096, true},
                {MEMORY + (1 << 20) - 2, true},
                {MEMORY + (1 << 20), false}};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    memset(it.entries, 0, sizeof it.entries);
    memset(content, 0, sizeof content);
    add_map(FAR, false);
    put_entry(places[i].at);
    /* The map is rewound by hand between the two readings of it. */
    nbuf_trace_target target = {.is_64_bit = true};
    rewind_maps();
    CHECK_RESULT(NEARBUF_NOT_FOUND, 0, find_entry_in(&peer, &target, false));
    rewind_maps();
    nbuf_result result = find_entry_in(&peer, &target, true);
    CHECK_STATUS(places[i].is_found ? NEARBUF_OK : NEARBUF_NOT_FOUND, result.status);
    CHECK_EQUAL(places[i].is_found ? places[i].at : 0, target.entry);
  }
}

TEST(where_the_kernel_put_none_any_other_code_is_searched) {
  add_map(FAR, false);
  put_entry(MEMORY + 77);
  CHECK_EQUAL(MEMORY + 77, entry_of_run(NEARBUF_OK));
}

TEST(an_instruction_in_the_last_bytes_that_are_mapped_is_found) {
  add_map(VDSO, false);
  put_entry(0x20200000);
  it.end = 0x20200002;
  CHECK_EQUAL(0x20200000, entry_of_run(NEARBUF_OK));
}

TEST(code_that_cannot_be_read_or_run_is_not_searched) {
  static const char *const maps[] = {"20000000-20300000 --xp 0 0:0 0 [vdso]\n",
                                     "20000000-20300000 rw-p 0 0:0 0 [vdso]\n"};
  put_entry(MEMORY);
  for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
    memset(it.entries, 0, sizeof it.entries);
    add_map(maps[i], false);
    CHECK_EQUAL(0, entry_of_run(NEARBUF_UNSUPPORTED));
  }
}

TEST(instructions_of_four_bytes_are_aligned) {
  add_map(VDSO, false);
  peer.address_bits = 32;
  put_entry(0x20200001);
  put_entry(0x20200006);
  put_entry(0x20200010);
  CHECK_EQUAL(0x20200010, entry_of_run(NEARBUF_OK));
  CHECK(!it.target.is_64_bit);
}

TEST(what_is_not_mapped_of_the_code_is_skipped_and_a_refusal_is_returned) {
  add_map(VDSO, false);
  (void)add_entry("mem", "", 0);
  put_entry(0x20200008);
  it.end = 0x2020000a;
  CHECK_EQUAL(0x20200008, entry_of_run(NEARBUF_OK));
  it.end = 0x20200009;
  CHECK_EQUAL(0, entry_of_run(NEARBUF_UNSUPPORTED));
  it.end = 0x20200001; /* less than an instruction */
  CHECK_EQUAL(0, entry_of_run(NEARBUF_UNSUPPORTED));
  it.direct_error = EPERM;
  rewind_maps();
  CHECK_RESULT(NEARBUF_DENIED, EPERM, nbuf_remote_free(&peer, MEMORY, GRANULE));
  CHECK_EQUAL(0, it.call_count);
}

TEST(without_an_instruction_another_program_may_be_replacing_it) {
  add_map(VDSO, false);
  note_program(1, 2);
  add_auxiliary();
  run_program(3, 4);
  CHECK_EQUAL(0, entry_of_run(NEARBUF_BUSY));
  run_program(1, 2);
  CHECK_EQUAL(0, entry_of_run(NEARBUF_UNSUPPORTED));
}

TEST(a_map_that_is_missing_is_why_no_call_is_made) {
  entry *map = add_entry("maps", "", 0);
  map->error = EACCES;
  CHECK_RESULT(NEARBUF_DENIED, EACCES, nbuf_remote_free(&peer, MEMORY, GRANULE));
  map->error = ENOENT;
  CHECK_RESULT(NEARBUF_NOT_FOUND, ENOENT, nbuf_remote_free(&peer, MEMORY, GRANULE));
  CHECK_EQUAL(0, it.call_count);
}

TEST(the_instruction_of_a_noted_program_is_kept_until_a_call_fails) {
  add_map(VDSO, false);
  put_entry(0x20200008);
  CHECK_EQUAL(0x20200008, entry_of_run(NEARBUF_OK));
  CHECK_EQUAL(0, peer.reserved[NBUF_KEPT_ENTRY]); /* of no noted program */
  note_program(1, 2);
  CHECK_EQUAL(0x20200008, entry_of_run(NEARBUF_OK));
  CHECK_EQUAL(0x20200008, peer.reserved[NBUF_KEPT_ENTRY]);
  CHECK_EQUAL(RANDOM_PLACE, it.target.program.address);
  CHECK(it.target.program.random[0] == 1 && it.target.program.random[1] == 2);
  it.call_count = 0;
  memset(it.entries, 0, sizeof it.entries);
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_free(&peer, MEMORY, GRANULE));
  it.running = nbuf_result_system(NEARBUF_DENIED, EPERM);
  CHECK_RESULT(NEARBUF_DENIED, EPERM, nbuf_remote_free(&peer, MEMORY, GRANULE));
  CHECK_EQUAL(0, peer.reserved[NBUF_KEPT_ENTRY]);
}

static void keep_entry(void) {
  peer.reserved[NBUF_KEPT_ENTRY] = MEMORY;
  it.call_count = 0;
}

TEST(a_thread_that_is_gone_is_no_process_that_is_gone) {
  keep_entry();
  it.lost_at = 0;
  CHECK_RESULT(NEARBUF_BUSY, ESRCH, nbuf_remote_free(&peer, MEMORY, GRANULE));
  keep_entry();
  CHECK_RESULT(NEARBUF_BUSY, ESRCH, nbuf_remote_allocate(&peer, MEMORY, GRANULE, NULL));
  keep_entry();
  it.looks_ended = -1;
  CHECK_RESULT(NEARBUF_NOT_FOUND, ESRCH, nbuf_remote_free(&peer, MEMORY, GRANULE));
  keep_entry();
  it.running = nbuf_result_of(NEARBUF_BUSY);
  CHECK_RESULT(NEARBUF_NOT_FOUND, ESRCH, nbuf_remote_free(&peer, MEMORY, GRANULE));
}

TEST(memory_is_mapped_at_the_address_alone) {
  enum { PRIVATE_ANONYMOUS = 0x22 };
  keep_entry();
  it.results[0] = (int64_t)MEMORY;
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_allocate(&peer, MEMORY, TWO_GRANULES, NULL));
  const uint64_t expected[6] = {
      MEMORY, TWO_GRANULES, PROT_READ | PROT_WRITE | PROT_EXEC, PRIVATE_ANONYMOUS, UINT64_MAX, 0};
  CHECK(it.call_count == 1 && it.calls[0] == NBUF_TRACE_MMAP);
  CHECK(memcmp(expected, it.arguments[0], sizeof expected) == 0);
  keep_entry();
  it.results[0] = (int64_t)MEMORY + GRANULE;
  CHECK_RESULT(NEARBUF_NO_ROOM, 0, nbuf_remote_allocate(&peer, MEMORY, TWO_GRANULES, NULL));
  CHECK(it.call_count == 2 && it.calls[1] == NBUF_TRACE_MUNMAP);
  CHECK_EQUAL(MEMORY + GRANULE, it.arguments[1][0]);
  CHECK_EQUAL(TWO_GRANULES, it.arguments[1][1]);
}

TEST(the_page_of_a_draft_that_is_begun_is_mapped_with_the_memory) {
  nbuf_remote_draft draft = {{0}};
  nbuf_page_call *call = nbuf_page_call_of(&draft);
  intptr_t memory;
  (void)add_entry("mem", "", 0);
  it.results[0] = (int64_t)MEMORY;
  for (int i = 0; i < 3; i++) { /* not begun; begun, but not to be written; begun */
    keep_entry();
    call->path[0] = i == 0 ? '\0' : '/';
    if (i != 1) {
      CHECK_RESULT(NEARBUF_OK, 0, nbuf_linux_hold_memory(&peer, &memory));
    }
    CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_allocate(&peer, MEMORY, GRANULE, &draft));
    CHECK_EQUAL(i == 2, it.mapped_pages);
    if (i != 2) {
      nbuf_remote_let_go(&peer);
    }
  }
  keep_entry();
  it.results[0] = -EEXIST;
  CHECK_RESULT(NEARBUF_NO_ROOM, EEXIST, nbuf_remote_allocate(&peer, MEMORY, GRANULE, &draft));
  CHECK_EQUAL(1, it.mapped_pages);
}

/* The memory is there, and the caller frees it if the page stays away. */
TEST(a_thread_that_fails_while_it_maps_the_page_has_made_the_memory) {
  nbuf_remote_draft draft = {{0}};
  nbuf_page_call *call = nbuf_page_call_of(&draft);
  intptr_t memory;
  (void)add_entry("mem", "", 0);
  it.results[0] = (int64_t)MEMORY;
  it.ending = nbuf_result_of(NEARBUF_BUSY);
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_linux_hold_memory(&peer, &memory));
  keep_entry();
  CHECK_RESULT(NEARBUF_BUSY, 0, nbuf_remote_allocate(&peer, MEMORY, GRANULE, &draft));
  keep_entry();
  call->path[0] = '/';
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_allocate(&peer, MEMORY, GRANULE, &draft));
  CHECK_STATUS(NEARBUF_BUSY, call->result.status);
  keep_entry();
  it.results[0] = -EEXIST;
  CHECK_RESULT(NEARBUF_BUSY, 0, nbuf_remote_allocate(&peer, MEMORY, GRANULE, &draft));
}

TEST(why_no_memory_was_mapped_is_returned) {
  static const struct {
    int error;
    nearbuf_status status;
  } refusals[] = {{EEXIST, NEARBUF_NO_ROOM},
                  {ENOMEM, NEARBUF_OUT_OF_MEMORY},
                  {EAGAIN, NEARBUF_OUT_OF_MEMORY},
                  {EPERM, NEARBUF_DENIED},
                  {4095, NEARBUF_SYSTEM_ERROR}};
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    keep_entry();
    it.results[0] = -refusals[i].error;
    CHECK_RESULT(refusals[i].status, refusals[i].error,
                 nbuf_remote_allocate(&peer, MEMORY, GRANULE, NULL));
    CHECK_EQUAL(1, it.call_count);
  }
}

TEST(memory_is_unmapped_as_it_was_mapped) {
  keep_entry();
  CHECK_RESULT(NEARBUF_OK, 0, nbuf_remote_free(&peer, MEMORY, TWO_GRANULES));
  CHECK(it.call_count == 1 && it.calls[0] == NBUF_TRACE_MUNMAP);
  CHECK_EQUAL(MEMORY, it.arguments[0][0]);
  CHECK_EQUAL(TWO_GRANULES, it.arguments[0][1]);
  keep_entry();
  it.results[0] = -ENOMEM;
  CHECK_RESULT(NEARBUF_OUT_OF_MEMORY, ENOMEM, nbuf_remote_free(&peer, MEMORY, GRANULE));
}

/* The kernel maps nothing there, and what it maps elsewhere or there goes again. */
TEST(a_stack_grows_where_the_page_below_it_is_refused) {
  note_program(1, 2);
  keep_entry();
  it.results[0] = (int64_t)MEMORY;
  CHECK(nbuf_remote_is_growing_stack(&peer, MEMORY + TWO_GRANULES));
  keep_entry();
  it.results[0] = (int64_t)(MEMORY - GRANULE);
  CHECK(!nbuf_remote_is_growing_stack(&peer, MEMORY));
  CHECK_EQUAL(MEMORY - GRANULE, it.arguments[0][0]);
  CHECK_EQUAL(GRANULE, it.arguments[0][1]);
  CHECK_EQUAL(PROT_NONE, it.arguments[0][2]);
  CHECK(it.call_count == 2 && it.calls[1] == NBUF_TRACE_MUNMAP);
  CHECK_EQUAL(MEMORY - GRANULE, it.arguments[1][0]);
  CHECK_EQUAL(GRANULE, it.arguments[1][1]);
  keep_entry();
  it.results[0] = -ENOMEM;
  CHECK(!nbuf_remote_is_growing_stack(&peer, MEMORY));
  CHECK_EQUAL(1, it.call_count);
}
