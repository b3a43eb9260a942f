/* What POSIX systems share: pages, clocks, threads, memory at an address. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "os/os.h"
#include "os/posix/posix.h"

#if !defined(MAP_ANONYMOUS)
#define MAP_ANONYMOUS MAP_ANON
#endif

/* ---- Numbers --------------------------------------------------------------------------------- */

nbuf_os_numbers nbuf_os_known;

void nbuf_os_ask_numbers(void) {
  size_t page_size = (size_t)getpagesize();
  atomic_store_explicit(&nbuf_os_known.page_size, page_size, memory_order_relaxed);
  atomic_store_explicit(&nbuf_os_known.granularity, page_size, memory_order_relaxed);
}

uint64_t nbuf_os_nanoseconds(void) {
  struct timespec now = {0, 0};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

void nbuf_os_pause(void) {
  /* Longer than a yield: the holder may be waiting for this very processor at a lower priority. */
  struct timespec pause = {0, 20000};
  (void)nanosleep(&pause, NULL);
}

void nbuf_os_pause_again(uint32_t times) {
  (void)times;
  nbuf_os_pause();
}

uint32_t nbuf_os_process(void) {
  return (uint32_t)getpid();
}

bool nbuf_os_environment(const char *name, char *value, size_t size) {
  const char *set = nbuf_posix_has_gained_rights() ? NULL : nbuf_posix_environment(name);
  if (set == NULL || strlen(set) >= size) {
    return false;
  }
  memcpy(value, set, strlen(set) + 1);
  return true;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static nbuf_result result_of_map_error(int error, size_t size, int protection) {
  switch (error) {
  case EEXIST:
    return nbuf_result_system(NEARBUF_NO_ROOM, error);
  case EACCES:
  case EPERM:  /* Linux: places below vm.mmap_min_addr, and memory that it forbids */
  case EINVAL: /* FreeBSD: places that it never gives; macOS: what its policy forbids */
  case ENOMEM: {
    /* Does the error concern this place, or all such memory? Try another place. */
    void *elsewhere = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (elsewhere != MAP_FAILED) {
      (void)munmap(elsewhere, size);
      return nbuf_result_system(NEARBUF_NO_ROOM, error);
    }
    return nbuf_result_system(error == ENOMEM ? NEARBUF_OUT_OF_MEMORY : NEARBUF_DENIED, error);
  }
  case EAGAIN:
    return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, error);
  default:
    return nbuf_result_system(NEARBUF_SYSTEM_ERROR, error);
  }
}

int nbuf_posix_mmap_at(uintptr_t address, size_t size, int protection, int flags) {
  void *got = mmap((void *)address, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  if (got == MAP_FAILED) {
    return errno;
  }
  if ((uintptr_t)got != address) {
    /* The place is not free, or the kernel, an emulator or valgrind ignores the flags. */
    (void)munmap(got, size);
    return EEXIST;
  }
  return 0;
}

nbuf_result nbuf_os_map(uintptr_t address, size_t size) {
  const int protection = PROT_READ | PROT_WRITE | PROT_EXEC;
  int error = nbuf_posix_map_at(address, size, protection);
  return error == 0 ? nbuf_result_of(NEARBUF_OK) : result_of_map_error(error, size, protection);
}

nbuf_result nbuf_os_unmap(uintptr_t address, size_t size) {
  if (munmap((void *)address, size) != 0) {
    return nbuf_result_system(NEARBUF_SYSTEM_ERROR, errno);
  }
  return nbuf_result_of(NEARBUF_OK);
}

void *nbuf_os_own_pages(size_t size) {
  void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return pages == MAP_FAILED ? NULL : pages;
}

int32_t nbuf_os_last_error(void) {
  return errno;
}

void nbuf_os_set_last_error(int32_t code) {
  errno = code;
}

static void set_inheritance(nbuf_os_owner *owner, nbuf_os_inheritance inheritance) {
  atomic_store_explicit(&owner->inheritance, (uint32_t)inheritance, memory_order_relaxed);
}

void *nbuf_os_process_pages(size_t size, nbuf_os_owner *owner) {
  _Atomic uint32_t *mark = nbuf_os_own_pages(size);
  set_inheritance(owner, NBUF_OS_WIPED);
  if (mark == NULL || nbuf_posix_wipe_in_children(mark, size)) {
    return mark;
  }
  atomic_store_explicit(&owner->process, nbuf_posix_process(), memory_order_relaxed);
  atomic_store_explicit(mark, owner->mark, memory_order_relaxed);
  bool is_absent = nbuf_posix_compare(mark, owner->mark) == NBUF_POSIX_EQUAL &&
                   nbuf_posix_keep_from_children(mark, size);
  set_inheritance(owner, is_absent ? NBUF_OS_ABSENT : NBUF_OS_INHERITED);
  return mark;
}

bool nbuf_os_are_process_pages(const void *pages, const nbuf_os_owner *owner) {
  uint32_t inheritance = atomic_load_explicit(&owner->inheritance, memory_order_relaxed);
  nbuf_posix_comparison comparison = NBUF_POSIX_UNKNOWN;
  if (inheritance == NBUF_OS_WIPED) {
    return true;
  }
  if (inheritance == NBUF_OS_ABSENT) {
    comparison = nbuf_posix_compare(pages, owner->mark);
  }
  return comparison == NBUF_POSIX_UNKNOWN
             ? nbuf_posix_is_process(atomic_load_explicit(&owner->process, memory_order_relaxed))
             : comparison == NBUF_POSIX_EQUAL;
}

uint32_t nbuf_posix_process(void) {
  uint32_t parent = (uint32_t)getppid();
  return nbuf_posix_shares_memory(parent) ? parent : (uint32_t)getpid();
}

bool nbuf_posix_is_process(uint32_t id) {
  return id == (uint32_t)getpid() || nbuf_posix_shares_memory(id);
}

/* ---- The map --------------------------------------------------------------------------------- */

nbuf_map_answer nbuf_posix_map_skip_to_shared(nbuf_map *map, uintptr_t from,
                                              nbuf_mapping *mapping) {
  nbuf_map_answer answer;
  do {
    answer = nbuf_os_map_next(map, from, mapping);
    from = answer == NBUF_MAP_FOUND ? mapping->range.max + 1 : 0;
    if (answer != NBUF_MAP_FOUND || (mapping->shared && mapping->readable && mapping->writable)) {
      return answer;
    }
  } while (from != 0);
  return NBUF_MAP_END;
}

/* ---- Code ------------------------------------------------------------------------------------ */

/* The compiler knows what the processor needs. */
void nbuf_os_sync_new_code(uintptr_t address, size_t size) {
  nbuf_os_sync_code(address, size);
}

/* ---- Threads --------------------------------------------------------------------------------- */

nbuf_os_call nbuf_os_call_begin(void) {
  nbuf_os_call call = {0, errno};
#ifndef __ANDROID__ /* which has no cancellation */
  (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &call.cancellation);
#endif
  return call;
}

void nbuf_os_call_end(nbuf_os_call call) {
#ifndef __ANDROID__
  (void)pthread_setcancelstate(call.cancellation, NULL);
#endif
  errno = (int)call.last_error;
}
