/* Linux: mapping the file of a locator in another process; see page_script.h. */
#include "remote/linux/page_script.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "os/os.h"
#include "os/posix/posix.h"

static nbuf_result result_of_call(int64_t returned) {
  return returned < 0 && returned > -4096
             ? nbuf_result_system(nbuf_posix_is_lack((int)-returned) ? NEARBUF_OUT_OF_MEMORY
                                                                     : NEARBUF_DENIED,
                                  (int32_t)-returned)
             : nbuf_result_of(NEARBUF_OK);
}

static bool close_file(nbuf_trace *trace, int64_t file) {
  const uint64_t closing[6] = {(uint64_t)file};
  return nbuf_trace_syscall(trace, NBUF_TRACE_CLOSE, closing, NULL);
}

/* The memory was just made for it, so it is the process that unmapped it. */
static nbuf_result write_path(const nbuf_page_call *call, const char *path, size_t size) {
  nbuf_result result = nbuf_remote_memory_write(call->open_memory, call->memory, path, size);
  return result.status == NEARBUF_NOT_MAPPED ? nbuf_result_of(NEARBUF_BUSY) : result;
}

/* Opens the file. The path is in the memory of the process for that long. */
static nbuf_result open_file(nbuf_trace *trace, nbuf_page_call *call, int64_t *file) {
  static const char none[sizeof call->path];
  const size_t size = strlen(call->path) + 1;
  const uint64_t opening[6] = {(uint64_t)AT_FDCWD, call->memory,
                               O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC};
  nbuf_result result = write_path(call, call->path, size);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  bool is_made = nbuf_trace_syscall(trace, NBUF_TRACE_OPENAT, opening, file);
  result = write_path(call, none, size);
  if (!is_made) {
    return nbuf_result_system(NEARBUF_NOT_FOUND, ESRCH);
  }
  if (*file == -ENOENT) {
    return nbuf_result_of(NEARBUF_BUSY); /* a clean-up removed it before it was locked */
  }
  call->of_folder = result_of_call(*file);
  if (call->of_folder.status != NEARBUF_OK) {
    return call->of_folder;
  }
  if (result.status != NEARBUF_OK) {
    (void)close_file(trace, *file);
  }
  return result;
}

/* Maps the open file, and closes it. */
static nbuf_result map_file(nbuf_trace *trace, nbuf_page_call *call, int64_t file) {
  const nbuf_result gone = nbuf_result_system(NEARBUF_NOT_FOUND, ESRCH);
  const uint64_t size = nbuf_os_page_size();
  const uint64_t mapping[6] = {0, size, PROT_READ | PROT_WRITE, MAP_SHARED, (uint64_t)file, 0};
  int64_t base;
  if (!nbuf_trace_syscall(trace, NBUF_TRACE_MMAP, mapping, &base)) {
    return gone;
  }
  nbuf_result result = result_of_call(base);
  if (result.status == NEARBUF_OK) {
    call->address = (uint64_t)base;
    const uint64_t advice[6] = {call->address, size, MADV_DONTFORK};
    const uint64_t locking[6] = {(uint64_t)file, LOCK_SH | LOCK_NB};
    (void)nbuf_trace_syscall(trace, NBUF_TRACE_MADVISE, advice, NULL);
    (void)nbuf_trace_syscall(trace, NBUF_TRACE_FLOCK, locking, NULL);
  }
  return close_file(trace, file) ? result : gone;
}

nbuf_result nbuf_page_script(nbuf_trace *trace, nbuf_page_call *call) {
  int64_t file = -1;
  call->address = 0;
  call->of_folder = nbuf_result_of(NEARBUF_OK);
  nbuf_result result = open_file(trace, call, &file);
  return result.status == NEARBUF_OK ? map_file(trace, call, file) : result;
}
