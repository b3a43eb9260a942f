/* Linux: reading /proc/<id>; see proc.h. */
#include "remote/linux/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/linux/directory.h"

/* ---- Opening --------------------------------------------------------------------------------- */

int nbuf_linux_pidfd(const nearbuf_process *process) {
  return (int)process->handles[NBUF_LINUX_PIDFD] - 1;
}

int nbuf_linux_directory(const nearbuf_process *process) {
  return (int)process->handles[NBUF_LINUX_DIRECTORY] - 1;
}

typedef struct thread_search {
  const nearbuf_process *process;
  const char *name;
  int flags;
  int file;
  int refusals;
} thread_search;

/* A thread that is just ending refuses what the others grant; if all refuse, no further threads are
 * tried. */
enum { MOST_REFUSALS = 4 };

static bool open_of_thread(const char *thread, void *context) {
  thread_search *search = context;
  char path[64];
  int length = snprintf(path, sizeof path, "task/%s/%s", thread, search->name);
  if (thread[0] != '.' && length < (int)sizeof path &&
      (int64_t)nbuf_linux_number(thread, 0, 10) != search->process->id) {
    search->file = openat(nbuf_linux_directory(search->process), path, search->flags);
    search->refusals += search->file < 0 && errno == EACCES;
  }
  return search->file < 0 && search->refusals < MOST_REFUSALS;
}

int nbuf_linux_open_of_another_thread(const nearbuf_process *process, const char *name, int flags) {
  thread_search search = {process, name, flags | O_NONBLOCK | O_CLOEXEC, -1, 0};
  int threads = openat(nbuf_linux_directory(process), "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (threads >= 0) {
    (void)nbuf_linux_visit(threads, open_of_thread, &search);
    close(threads);
  }
  return search.file;
}

static int open_own(const char *name, int flags) {
  char path[64];
  (void)snprintf(path, sizeof path, "/proc/self/%s", name);
  return open(path, flags | O_NONBLOCK | O_CLOEXEC);
}

/* Whether the first thread's failure may be that of a thread that has ended. */
static bool may_be_another_threads(int error) {
  return error == ESRCH || error == ENOENT || error == EACCES;
}

/* Some entries lead to files that others chose, and may have leases on: never waits for them. The
 * first thread is tried twice: another one that replaces the program becomes the first during the
 * search among the others. */
int nbuf_linux_open(const nearbuf_process *process, const char *name, int flags) {
  enum { TRIES = 2 };
  if (process == NULL) {
    return open_own(name, flags);
  }
  int file = -1;
  int error = ENOENT;
  for (int i = 0; i < TRIES && file < 0 && may_be_another_threads(error); i++) {
    file = openat(nbuf_linux_directory(process), name, flags | O_NONBLOCK | O_CLOEXEC);
    error = errno;
    if (file < 0 && may_be_another_threads(error)) {
      file = nbuf_linux_open_of_another_thread(process, name, flags);
    }
  }
  errno = error;
  return file;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* The kernel gives a piece of such a text: all of `status`, whole lines of others. Where it gives
 * less than was asked for, that is the end, or as many lines as callers have room for. */
int nbuf_linux_read_lines(int file, char *text, size_t size) {
  enum { LINE_MAX_KEPT = 400 };
  char piece[4096];
  size_t fill = 0;
  size_t column = 0;
  ssize_t count;
  do {
    count = read(file, piece, sizeof piece);
    for (ssize_t i = 0; i < count; i++) {
      bool is_end = piece[i] == '\n';
      if (fill < size - 1 && (is_end || column < LINE_MAX_KEPT)) {
        text[fill++] = piece[i];
      }
      column = is_end ? 0 : column + 1;
    }
  } while (count == (ssize_t)sizeof piece || (count < 0 && errno == EINTR));
  text[fill] = '\0';
  return count < 0 ? errno : 0;
}

int nbuf_linux_read_text(const nearbuf_process *process, const char *name, char *text,
                         size_t size) {
  text[0] = '\0';
  int file = nbuf_linux_open(process, name, O_RDONLY);
  if (file < 0) {
    return errno;
  }
  int error = nbuf_linux_read_lines(file, text, size);
  close(file);
  return error;
}

const char *nbuf_linux_field(const char *text, const char *field) {
  size_t length = strlen(field);
  for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
    line += *line == '\n';
    /* A text that was not read is not searched:
     * NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
    if (strncmp(line, field, length) == 0 && line[length] == ':') {
      return line + length + 1;
    }
  }
  return NULL;
}

uint64_t nbuf_linux_number(const char *text, uint32_t index, uint32_t base) {
  uint64_t number = 0;
  for (uint32_t i = 0; text != NULL && i <= index; i++) {
    while (*text == ' ' || *text == '\t') {
      text++;
    }
    number = 0;
    for (;; text++) {
      uint32_t digit = *text >= '0' && *text <= '9'   ? (uint32_t)(*text - '0')
                       : *text >= 'a' && *text <= 'f' ? (uint32_t)(*text - 'a') + 10
                                                      : base;
      if (digit >= base) {
        break;
      }
      number = number * base + digit;
    }
  }
  return number;
}

int64_t nbuf_linux_own_id(const char *status, uint32_t *depth) {
  const char *ids = nbuf_linux_field(status, "NSpid");
  int64_t id =
      ids == NULL ? (int64_t)nbuf_linux_number(nbuf_linux_field(status, "Tgid"), 0, 10) : 0;
  *depth = 0;
  for (; ids != NULL && *ids != '\n' && *ids != '\0'; ids++) {
    if (*ids == '\t' || *ids == ' ') {
      id = (int64_t)nbuf_linux_number(ids, 0, 10);
      (*depth)++;
    }
  }
  return id;
}

/* The text behind this number of spaces of a line; null: it has fewer. */
static const char *skip_fields(const char *at, int count) {
  for (; count > 0 && at != NULL; count--) {
    at = strchr(at, ' ');
    at = at == NULL ? NULL : at + 1;
  }
  return at;
}

int nbuf_linux_read_stat(int directory, const char *path, nbuf_linux_stat *stat) {
  enum { FLAGS = 9, THREADS = 20, SIGNALS = 31, PROCESSOR = 39 }; /* as proc(5) counts them */
  char text[1024];
  int file = openat(directory, path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return errno;
  }
  ssize_t count = read(file, text, sizeof text - 1);
  int error = count < 0 ? errno : 0;
  close(file);
  text[count > 0 ? count : 0] = '\0';
  const char *name_end = strrchr(text, ')'); /* the name can hold any character */
  const char *state = skip_fields(name_end, 1);
  const char *flags = skip_fields(state, FLAGS - 3);
  const char *threads = skip_fields(flags, THREADS - FLAGS);
  const char *signals = skip_fields(threads, SIGNALS - THREADS);
  const char *processor = skip_fields(signals, PROCESSOR - SIGNALS);
  if (error != 0 || processor == NULL) {
    return error != 0 ? error : EIO;
  }
  *stat = (nbuf_linux_stat){.state = *state,
                            .flags = (uint32_t)nbuf_linux_number(flags, 0, 10),
                            .threads = (int32_t)nbuf_linux_number(threads, 0, 10),
                            .signals = (uint32_t)nbuf_linux_number(signals, 0, 10),
                            .processor = (uint32_t)nbuf_linux_number(processor, 0, 10)};
  return 0;
}

int nbuf_linux_visit(int directory, bool (*visit)(const char *name, void *context), void *context) {
  _Alignas(nbuf_linux_record) char records[8192];
  for (;;) {
    long filled = syscall(SYS_getdents64, directory, records, sizeof records);
    if (filled <= 0) {
      return filled < 0 ? errno : 0;
    }
    for (long at = 0; at < filled;) {
      const nbuf_linux_record *record = nbuf_linux_record_at(records, at);
      if (record->length == 0 || !visit(record->name, context)) {
        return 0;
      }
      at += record->length;
    }
  }
}
