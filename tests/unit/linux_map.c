/* The memory map of a Linux process, as an invented kernel tells it: in binary, as text, or not.
 * The files themselves are compiled here, with other names for what they call of the C library. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/os.h"
#include "os/posix/posix.h"
#include "test.h"

/* ---- The kernel ------------------------------------------------------------------------------ */

enum { FILE_OF_MAP = 55, READABLE = 1, WRITABLE = 2, EXECUTABLE = 4, SHARED = 8 };

typedef struct row {
  uintptr_t start;
  uintptr_t end;
  unsigned flags;
  unsigned offset;
  unsigned major;
  unsigned minor;
  unsigned inode;
  const char *name;
} row;

static const row rows[] = {
    {0x10000, 0x20000, READABLE, 0x3000, 8, 1, 77, "/usr/bin/program"},
    {0x20000, 0x21000, READABLE | WRITABLE, 0, 0, 0, 0, ""},
    {0x40000, 0x50000, READABLE | WRITABLE | SHARED, 0x1000, 0xfd, 3, 78, "/tmp/shared"},
    {0x60000, 0x61000, EXECUTABLE, 0, 0, 0, 0, ""},
    {0x70000, 0x80000, READABLE | SHARED, 0, 0xfd, 3, 79, "/tmp/read-only"},
    {0x90000, 0x91000, READABLE | WRITABLE | SHARED, 0, 0xfd, 3, 80, "/tmp/last"},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static struct {
  int open_error;
  int query_error;       /* of every query */
  int query_errors_from; /* fails with EPERM from this query on; 0: never */
  int queries;
  int read_error;
  int interruptions; /* of reads that are left */
  size_t read_size;
  int seek_error;
  int opened;
  int reads;
  char text[1024];
  size_t position;
} kernel = {.read_size = 4096};

static int invented_open(const char *path, int flags) {
  CHECK(strcmp(path, "/proc/self/maps") == 0);
  CHECK_EQUAL(O_RDONLY | O_CLOEXEC, flags);
  kernel.position = 0;
  size_t length = 0;
  for (int i = 0; i < ROWS; i++) {
    const row *each = &rows[i];
    length += (size_t)snprintf(
        kernel.text + length, sizeof kernel.text - length,
        "%jx-%jx %c%c%c%c %08x %02x:%02x %u %s\n", (uintmax_t)each->start, (uintmax_t)each->end,
        each->flags & READABLE ? 'r' : '-', each->flags & WRITABLE ? 'w' : '-',
        each->flags & EXECUTABLE ? 'x' : '-', each->flags & SHARED ? 's' : 'p', each->offset,
        each->major, each->minor, each->inode, each->name);
  }
  errno = kernel.open_error;
  kernel.opened += kernel.open_error == 0;
  return kernel.open_error == 0 ? FILE_OF_MAP : -1;
}

static int invented_close(int file) {
  CHECK_EQUAL(FILE_OF_MAP, file);
  kernel.opened--;
  return 0;
}

static ssize_t invented_read(int file, char *text, size_t size) {
  CHECK_EQUAL(FILE_OF_MAP, file);
  kernel.reads++;
  if (kernel.interruptions > 0 || kernel.read_error != 0) {
    errno = kernel.interruptions > 0 ? EINTR : kernel.read_error;
    kernel.interruptions -= kernel.interruptions > 0;
    return -1;
  }
  size_t left = strlen(kernel.text) - kernel.position;
  size_t count = left < kernel.read_size ? left : kernel.read_size;
  CHECK(count <= size);
  memcpy(text, kernel.text + kernel.position, count);
  kernel.position += count;
  return (ssize_t)count;
}

static off_t invented_lseek(int file, off_t offset) {
  CHECK(file == FILE_OF_MAP && offset == 0);
  errno = kernel.seek_error;
  kernel.position = 0;
  return kernel.seek_error != 0 ? -1 : 0;
}

static long invented_syscall(long number, ...);

#undef open
#undef read
#define open(path, flags) invented_open(path, flags)
#define close(file) invented_close(file)
#define read(file, text, size) invented_read(file, text, size)
#define lseek(file, offset, from) invented_lseek(file, offset)
#define syscall invented_syscall
/* NOLINTBEGIN(bugprone-suspicious-include) */
#include "os/linux/map.c"
#include "os/linux/maps_file.c"
/* NOLINTEND(bugprone-suspicious-include) */

/* As PROCMAP_QUERY: the mapping at or above an address that has all the wanted properties. */
static long invented_syscall(long number, ...) {
  va_list arguments;
  va_start(arguments, number);
  int file = (int)va_arg(arguments, long);
  unsigned request = (unsigned)va_arg(arguments, long);
  nbuf_map_query *query = va_arg(arguments, nbuf_map_query *);
  va_end(arguments);
  CHECK(number == SYS_ioctl && file == FILE_OF_MAP && request == (unsigned)NBUF_MAP_QUERY);
  CHECK_EQUAL(sizeof *query, query->size);
  CHECK((query->query_flags & 16) != 0); /* COVERING_OR_NEXT_VMA */
  bool is_refused = ++kernel.queries >= kernel.query_errors_from && kernel.query_errors_from > 0;
  errno = is_refused ? EPERM : kernel.query_error;
  if (errno != 0) {
    return -1;
  }
  for (int i = 0; i < ROWS; i++) {
    const row *each = &rows[i];
    unsigned kind = each->flags | (each->inode != 0 ? 32 : 0); /* FILE_BACKED_VMA */
    unsigned wanted = (unsigned)query->query_flags & 0x2f;
    if (each->end > query->query_address && (kind & wanted) == wanted) {
      query->start = each->start;
      query->end = each->end;
      query->flags = each->flags;
      query->offset = each->offset;
      query->inode = each->inode;
      query->device_major = each->major;
      query->device_minor = each->minor;
      size_t length = strlen(each->name);
      if (query->name_size > 0) {
        CHECK_EQUAL(4096, query->name_size);
        memset((void *)(uintptr_t)query->name_address, 'x', query->name_size);
        memcpy((void *)(uintptr_t)query->name_address, each->name, length + 1);
        query->name_size = (uint32_t)length + 1;
      }
      return 0;
    }
  }
  errno = ENOENT;
  return -1;
}

/* ---- What is told ---------------------------------------------------------------------------- */

static nbuf_map map;

static void open_map(bool with_names) {
  memset(&map, 0xff, sizeof map);
  CHECK_OK(nbuf_os_map_open(&map, with_names).status);
  CHECK_EQUAL(1, kernel.opened);
}

static void close_map(void) {
  nbuf_os_map_close(&map);
  CHECK_EQUAL(0, kernel.opened);
}

static void check_row(const row *expected, const nbuf_mapping *mapping) {
  CHECK_EQUAL(expected->start, mapping->range.min);
  CHECK_EQUAL(expected->end - 1, mapping->range.max);
  CHECK_EQUAL((expected->flags & READABLE) != 0, mapping->readable);
  CHECK_EQUAL((expected->flags & WRITABLE) != 0, mapping->writable);
  CHECK_EQUAL((expected->flags & EXECUTABLE) != 0, mapping->executable);
  CHECK_EQUAL((expected->flags & SHARED) != 0, mapping->shared);
  CHECK_EQUAL((uint64_t)expected->major << 32 | expected->minor, mapping->device);
  CHECK_EQUAL(expected->inode, mapping->inode);
  CHECK_EQUAL(expected->offset, mapping->offset);
}

/* The row, or with ROWS the end. */
static void check_answer(int expected, nbuf_map_answer answer, const nbuf_mapping *mapping) {
  if (expected == ROWS) {
    CHECK_EQUAL(NBUF_MAP_END, answer);
  } else {
    CHECK_EQUAL(NBUF_MAP_FOUND, answer);
    check_row(&rows[expected], mapping);
  }
}

static void check_next(int expected, uintptr_t from) {
  nbuf_mapping mapping;
  nbuf_map_answer answer = nbuf_os_map_next(&map, from, &mapping);
  check_answer(expected, answer, &mapping);
}

/* From each edge of each mapping; upwards, and back. */
static void check_map(void) {
  for (int i = 0; i < 2 * ROWS; i++) {
    int each = i < ROWS ? i : 2 * ROWS - 1 - i;
    check_next(each, rows[each].start);
    check_next(each, rows[each].end - 1);
    if (each + 1 < ROWS) {
      check_next(each + 1, rows[each].end);
    }
  }
  check_next(0, 0);
  check_next(ROWS, UINTPTR_MAX);
}

TEST(the_kernel_is_asked_for_one_address_where_it_can_be) {
  open_map(false);
  CHECK(map.is_cheap_anywhere && map.tells_execution);
  check_map();
  CHECK_EQUAL(0, kernel.reads);
  close_map();
}

TEST(else_the_text_is_read_with_the_same_result) {
  static const int errors[] = {ENOTTY, EPERM, EINVAL};
  for (int i = 0; i < 3; i++) {
    kernel.query_error = errors[i];
    kernel.read_size = i == 1 ? 7 : 4096;
    open_map(false);
    CHECK(!map.is_cheap_anywhere && !map.tells_execution);
    kernel.queries = 0;
    check_map();
    CHECK_EQUAL(0, kernel.queries);
    close_map();
  }
}

TEST(a_query_that_fails_later_is_replaced_by_the_text) {
  kernel.query_errors_from = 3;
  open_map(false);
  CHECK(map.is_cheap_anywhere);
  check_map();
  CHECK(kernel.reads > 0);
  close_map();
}

TEST(names_are_in_the_text_alone) {
  open_map(true);
  CHECK(!map.is_cheap_anywhere);
  nbuf_mapping mapping;
  for (int i = 0; i < ROWS; i++) {
    CHECK_EQUAL(NBUF_MAP_FOUND, nbuf_os_map_next(&map, rows[i].start, &mapping));
    CHECK(strcmp(rows[i].name, mapping.name_end) == 0);
  }
  close_map();
}

/* ---- Shared files ---------------------------------------------------------------------------- */

static void check_shared(int expected, uintptr_t from) {
  nbuf_mapping mapping;
  nbuf_map_answer answer = nbuf_posix_map_next_shared(&map, from, &mapping);
  check_answer(expected, answer, &mapping);
  CHECK(expected == ROWS || strcmp(rows[expected].name, mapping.name_end) == 0);
}

static void check_all_shared(void) {
  open_map(true);
  check_shared(2, 0);
  check_shared(2, 0x4ffff);
  check_shared(5, 0x50000);
  check_shared(ROWS, 0x91000);
  close_map();
}

TEST(the_kernel_finds_shared_files_that_can_be_written) {
  check_all_shared();
  CHECK_EQUAL(0, kernel.reads);
}

TEST(where_it_cannot_they_are_found_in_the_text) {
  kernel.query_error = ENOTTY;
  check_all_shared();
  kernel.query_error = 0;
  kernel.queries = 0;
  kernel.query_errors_from = 3; /* for a name that is too long, for instance */
  check_all_shared();
  CHECK_EQUAL(3, kernel.queries); /* the query's name would be stored over the text */
}

/* ---- Failures -------------------------------------------------------------------------------- */

TEST(the_reason_is_told_where_the_map_cannot_be_opened) {
  static const int errors[] = {EMFILE, ENFILE, ENOMEM, EACCES, EPERM, ENOENT};
  static const nearbuf_status statuses[] = {NEARBUF_OUT_OF_MEMORY, NEARBUF_OUT_OF_MEMORY,
                                            NEARBUF_OUT_OF_MEMORY, NEARBUF_DENIED,
                                            NEARBUF_DENIED,        NEARBUF_SYSTEM_ERROR};
  for (int i = 0; i < 6; i++) {
    kernel.open_error = errors[i];
    memset(&map, 0xff, sizeof map);
    nbuf_result result = nbuf_os_map_open(&map, false);
    CHECK_STATUS(statuses[i], result.status);
    CHECK_EQUAL(errors[i], result.system_error);
    close_map();
  }
  CHECK_EQUAL(0, kernel.queries);
}

static void check_fails(int error, uintptr_t from) {
  nbuf_mapping mapping;
  CHECK_EQUAL(NBUF_MAP_FAILED, nbuf_os_map_next(&map, from, &mapping));
  CHECK_EQUAL(error, map.system_error);
}

TEST(the_reason_is_told_where_the_text_cannot_be_read) {
  kernel.query_error = ENOTTY;
  open_map(false);
  kernel.read_error = EIO;
  check_fails(EIO, 0);
  kernel.read_error = 0;
  check_next(2, 0x40000);
  kernel.seek_error = ESPIPE;
  check_fails(ESPIPE, 0);
  close_map();
}

TEST(a_read_that_is_interrupted_is_repeated) {
  kernel.query_error = ENOTTY;
  kernel.interruptions = 3;
  open_map(false);
  check_next(0, 0);
  CHECK_EQUAL(4, kernel.reads);
  close_map();
}

TEST(a_structure_of_zeros_is_a_closed_map) {
  memset(&map, 0, sizeof map);
  close_map();
}
