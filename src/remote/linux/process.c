/* Linux: other processes; see remote/port.h. Their locators are in first.c, views.c and pages.c,
 * trace.c runs system calls in them. Sources: proc(5), ptrace(2), pidfd_open(2),
 * process_vm_readv(2).
 *
 * A process is held by two descriptors: a pidfd, which reports its end, and /proc/<id>, which
 * refers to this process even when another one gets the id. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "os/linux/maps_file.h"
#include "os/os.h"
#include "remote/linux/page_script.h"
#include "remote/linux/process.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* ---- Errors ---------------------------------------------------------------------------------- */

static nbuf_result result_of_error(int error) {
  switch (error) {
  case 0:
    return nbuf_result_of(NEARBUF_OK);
  case ESRCH:
  case ENOENT:
    return nbuf_result_system(NEARBUF_NOT_FOUND, error);
  case EPERM:
  case EACCES:
    return nbuf_result_system(NEARBUF_DENIED, error);
  case EMFILE:
  case ENFILE:
  case ENOMEM:
    return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, error);
  case EFAULT:
  case EIO:
    return nbuf_result_system(NEARBUF_NOT_MAPPED, error);
  default:
    return nbuf_result_system(NEARBUF_SYSTEM_ERROR, error);
  }
}

nbuf_result nbuf_linux_result(const nearbuf_process *process, int error) {
  nbuf_result alive = error == 0 ? nbuf_result_of(NEARBUF_OK) : nbuf_remote_check(process);
  if (alive.status != NEARBUF_OK) {
    return alive;
  }
  /* It lives and cannot be found: another program is just replacing it. */
  return error == ESRCH ? nbuf_result_system(NEARBUF_BUSY, error) : result_of_error(error);
}

/* ---- Open and close -------------------------------------------------------------------------- */

/* The entries of a process that was reaped are gone, and so are those of its threads. */
static bool is_gone(int error) {
  return error == ESRCH || error == ENOENT;
}

/* Whether a thread was killed, or is ending. From SIGKILL until its end is recorded, a busy machine
 * may take milliseconds, in which every request about it fails for various reasons. */
static bool is_thread_ending(const nbuf_linux_stat *stat) {
  enum { EXITING = 0x4, SIGNALED = 0x400 }; /* PF_... of the kernel */
  return (stat->flags & (EXITING | SIGNALED)) != 0 ||
         (stat->signals & UINT32_C(1) << (SIGKILL - 1)) != 0;
}

typedef struct end_search {
  int threads; /* /proc/<id>/task */
  bool is_any_alive;
} end_search;

static bool look_for_alive(const char *thread, void *context) {
  end_search *search = context;
  char path[32];
  nbuf_linux_stat stat = {0};
  int length = snprintf(path, sizeof path, "%s/stat", thread);
  if (thread[0] != '.' && length < (int)sizeof path) {
    int error = nbuf_linux_read_stat(search->threads, path, &stat);
    search->is_any_alive = error == 0 ? !is_thread_ending(&stat) : !is_gone(error);
  }
  return !search->is_any_alive;
}

/* Whether all of its threads are ending; its memory goes before the process does. A thread that is
 * not the last one may end, such as the first one when another thread replaces the program
 * (exec). */
static bool is_ending(const nearbuf_process *process) {
  nbuf_linux_stat stat = {0};
  int error = nbuf_linux_read_stat(nbuf_linux_directory(process), "stat", &stat);
  if (error != 0 || !is_thread_ending(&stat)) {
    return is_gone(error);
  }
  if (stat.threads <= 1) {
    return true;
  }
  end_search search = {
      .threads = openat(nbuf_linux_directory(process), "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (search.threads < 0) {
    return is_gone(errno);
  }
  error = nbuf_linux_visit(search.threads, look_for_alive, &search);
  close(search.threads);
  return error == 0 && !search.is_any_alive;
}

static bool looks_ended(const nearbuf_process *process) {
  struct pollfd ended = {.fd = nbuf_linux_pidfd(process), .events = POLLIN};
  return (ended.fd >= 0 && poll(&ended, 1, 0) == 1) || is_ending(process);
}

/* A process whose second thread replaces the program (exec) looks ended for a moment: that thread
 * becomes the first one, which has ended, and a reader may still have that one open. */
nbuf_result nbuf_remote_check(const nearbuf_process *process) {
  enum { LOOKS = 4 };
  for (int i = 0; i < LOOKS; i++) {
    if (!looks_ended(process)) {
      return nbuf_result_of(NEARBUF_OK);
    }
    nbuf_os_pause();
  }
  return nbuf_result_system(NEARBUF_NOT_FOUND, ESRCH);
}

/* The width of its addresses, by the program that it runs; 0: hidden from us. */
static nbuf_result find_width(const nearbuf_process *process, uint32_t *bits) {
  *bits = 0;
  int file = nbuf_linux_open(process, "exe", O_RDONLY);
  if (file < 0) {
    bool is_hidden = errno == EACCES || errno == EPERM || errno == ENOENT || errno == ESRCH;
    return is_hidden ? nbuf_result_of(NEARBUF_OK) : result_of_error(errno);
  }
  unsigned char identification[5] = {0};
  ssize_t count;
  do {
    count = read(file, identification, sizeof identification);
  } while (count < 0 && errno == EINTR);
  int error = count < 0 ? errno : 0;
  close(file);
  if (count == (ssize_t)sizeof identification && memcmp(identification, "\177ELF", 4) == 0) {
    *bits = identification[4] == 2 ? 64 : 32;
  }
  return result_of_error(error);
}

nbuf_result nbuf_remote_open(int64_t id, nearbuf_process *process) {
  if (id > INT32_MAX) {
    return nbuf_result_system(NEARBUF_NOT_FOUND, ESRCH);
  }
  char path[32];
  (void)snprintf(path, sizeof path, "/proc/%d", (int)id);
  int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)id, 0U);
  if (pidfd < 0 && errno != ENOSYS && errno != EPERM) {
    /* EINVAL: a thread's id. */
    return errno == EINVAL ? nbuf_result_system(NEARBUF_NOT_FOUND, errno) : result_of_error(errno);
  }
  process->handles[NBUF_LINUX_PIDFD] = pidfd + 1;
  int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) {
    int error = errno;
    nbuf_remote_close(process);
    /* It existed a moment ago: /proc is mounted so that the processes of others are hidden. */
    bool is_hidden = error == ENOENT && pidfd >= 0;
    return is_hidden ? nbuf_result_system(NEARBUF_DENIED, error) : result_of_error(error);
  }
  process->handles[NBUF_LINUX_DIRECTORY] = directory + 1;
  process->id = id;
  nbuf_result width = find_width(process, &process->address_bits);
  /* Still running, so the directory belongs to the process of the pidfd. */
  nbuf_result result = nbuf_remote_check(process);
  result = result.status == NEARBUF_OK ? width : result;
  if (result.status != NEARBUF_OK) {
    nbuf_remote_close(process);
  }
  return result;
}

void nbuf_remote_close(nearbuf_process *process) {
  for (int i = NBUF_LINUX_PIDFD; i <= NBUF_LINUX_MEMORY; i++) {
    if (process->handles[i] > 0) {
      close((int)process->handles[i] - 1);
    }
    process->handles[i] = 0;
  }
}

/* ---- About a process ------------------------------------------------------------------------- */

nbuf_result nbuf_remote_describe(const nearbuf_process *process, nearbuf_process_info *info) {
  char status[NBUF_LINUX_STATUS_SIZE];
  int error = nbuf_linux_read_text(process, "status", status, sizeof status);
  if (error != 0) {
    return nbuf_linux_result(process, error);
  }
  uint32_t depth;
  info->id = process->id;
  info->own_id = nbuf_linux_own_id(status, &depth);
  info->user = nbuf_linux_number(nbuf_linux_field(status, "Uid"), 1, 10);
  info->address_bits = process->address_bits;
  info->traced_by = (int64_t)nbuf_linux_number(nbuf_linux_field(status, "TracerPid"), 0, 10);
  info->is_filtered = nbuf_linux_number(nbuf_linux_field(status, "Seccomp"), 0, 10) != 0;
  const char *state = nbuf_linux_field(status, "State");
  info->is_stopped = state != NULL && strncmp(state, "\tT", 2) == 0;
  const char *name = nbuf_linux_field(status, "Name");
  for (size_t i = 0; name != NULL && i < sizeof info->name - 1; i++) {
    char character = name[i + 1]; /* behind the tab */
    if (character == '\n' || character == '\0') {
      break;
    }
    info->name[i] = character;
  }
  return nbuf_remote_check(process);
}

typedef struct id_visit {
  nearbuf_process_visitor visit;
  void *context;
  bool is_cancelled;
} id_visit;

static bool visit_id(const char *name, void *context) {
  id_visit *all = context;
  if (name[0] < '1' || name[0] > '9') {
    return true;
  }
  all->is_cancelled = all->visit((int64_t)nbuf_linux_number(name, 0, 10), all->context) < 0;
  return !all->is_cancelled;
}

nbuf_result nbuf_remote_visit_all(nearbuf_process_visitor visit, void *context) {
  int directory = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) {
    return result_of_error(errno);
  }
  id_visit all = {visit, context, false};
  int error = nbuf_linux_visit(directory, visit_id, &all);
  close(directory);
  return all.is_cancelled ? nbuf_result_of(NEARBUF_CANCELLED) : result_of_error(error);
}

/* ---- Memory ---------------------------------------------------------------------------------- */

/* The program that the calls with this process are about; see nbuf_remote_note_program. */
static nbuf_linux_program noted_program(const nearbuf_process *process) {
  return (nbuf_linux_program){process->reserved[0], {process->reserved[1], process->reserved[2]}};
}

static bool is_same(const nbuf_linux_program *one, const nbuf_linux_program *other) {
  return one->address == other->address && one->random[0] == other->random[0] &&
         one->random[1] == other->random[1];
}

/* Reads through process_vm_readv, whose addresses are as wide as ours. 0 or an errno value; ENOSYS:
 * not possible. */
static int read_direct(const nearbuf_process *process, uint64_t address, void *bytes, size_t size,
                       size_t *done) {
  if (address > UINTPTR_MAX || size > UINTPTR_MAX - (uintptr_t)address) {
    return ENOSYS;
  }
  while (*done < size) {
    struct iovec here = {(unsigned char *)bytes + *done, size - *done};
    struct iovec there = {(void *)(uintptr_t)(address + *done), size - *done};
    ssize_t count = process_vm_readv((pid_t)process->id, &here, 1, &there, 1, 0);
    if (count <= 0) {
      return count < 0 ? errno : EFAULT;
    }
    *done += (size_t)count;
  }
  return 0;
}

/* Offsets of /proc/<id>/mem are addresses, also those above the middle. */
static int write_memory(int memory, uint64_t address, const void *bytes, size_t size,
                        size_t *done) {
  while (*done < size) {
    ssize_t count = pwrite64(memory, (const unsigned char *)bytes + *done, size - *done,
                             (off64_t)(address + *done));
    if (count <= 0) {
      return count < 0 ? errno : ESRCH; /* 0: the address space is gone */
    }
    *done += (size_t)count;
  }
  return 0;
}

static int read_memory(int memory, uint64_t address, void *bytes, size_t size, size_t *done) {
  while (*done < size) {
    ssize_t count =
        pread64(memory, (unsigned char *)bytes + *done, size - *done, (off64_t)(address + *done));
    if (count <= 0) {
      return count < 0 ? errno : ESRCH;
    }
    *done += (size_t)count;
  }
  return 0;
}

/* Whether the id still means this process. The id is free once the process was reaped, and a pidfd
 * tells that it ended from before that on. */
static nbuf_result check_id(const nearbuf_process *process) {
  struct pollfd ended = {.fd = nbuf_linux_pidfd(process), .events = POLLIN};
  bool is_its = ended.fd >= 0 && poll(&ended, 1, 0) == 0;
  return is_its ? nbuf_result_of(NEARBUF_OK) : nbuf_remote_check(process);
}

/* What it has there now, whatever it runs. */
static nbuf_result read_now(const nearbuf_process *process, uint64_t address, void *bytes,
                            size_t size, size_t *done) {
  *done = 0;
  int error = read_direct(process, address, bytes, size, done);
  if (error == ENOSYS || error == EFAULT || error == ESRCH) {
    int memory = nbuf_linux_open(process, "mem", O_RDONLY);
    if (memory >= 0) {
      error = read_memory(memory, address, bytes, size, done);
      close(memory);
    }
  }
  /* An id can only mean another process once this one has ended: then nothing was read. */
  nbuf_result alive = error == 0 ? check_id(process) : nbuf_remote_check(process);
  if (alive.status != NEARBUF_OK) {
    *done = 0;
    return alive;
  }
  return error == ESRCH ? nbuf_result_system(NEARBUF_BUSY, error) : result_of_error(error);
}

int nbuf_linux_memory(const nearbuf_process *process) {
  return (int)process->handles[NBUF_LINUX_MEMORY] - 1;
}

/* Where the program is noted, its memory is open: that is one system call instead of two. */
nbuf_result nbuf_remote_read(const nearbuf_process *process, uint64_t address, void *bytes,
                             size_t size, size_t *done) {
  *done = 0;
  int memory = nbuf_linux_memory(process);
  return memory >= 0 && read_memory(memory, address, bytes, size, done) == 0
             ? nbuf_result_of(NEARBUF_OK)
             : read_now(process, address, bytes, size, done);
}

/* Never by the id, which may be another process's by now. */
nbuf_result nbuf_remote_write(const nearbuf_process *process, uint64_t address, const void *bytes,
                              size_t size, size_t *done) {
  *done = 0;
  int memory = nbuf_linux_open(process, "mem", O_RDWR);
  if (memory < 0) {
    return nbuf_linux_result(process, errno);
  }
  int error = write_memory(memory, address, bytes, size, done);
  close(memory);
  return nbuf_linux_result(process, error);
}

/* Whether open memory is that of the noted program, or none is noted. */
static bool is_noted_memory(const nearbuf_process *process, int memory) {
  nbuf_linux_program noted = noted_program(process);
  nbuf_linux_program seen = noted;
  size_t done = 0;
  return noted.address == 0 ||
         (read_memory(memory, noted.address, seen.random, sizeof seen.random, &done) == 0 &&
          is_same(&noted, &seen));
}

/* Whether the process of this id has the random bytes of the noted program. */
static bool has_noted_bytes(const nearbuf_process *process) {
  nbuf_linux_program noted = noted_program(process);
  nbuf_linux_program seen = noted;
  size_t done = 0;
  return read_direct(process, noted.address, seen.random, sizeof seen.random, &done) == 0 &&
         is_same(&noted, &seen);
}

/* Memory that is open already was that of the noted program. The process may have replaced it
 * meanwhile, and the old memory may be there nevertheless, if a parent shares it (vfork). That the
 * id is another process's by now shows when the map is read next. */
nbuf_result nbuf_remote_memory_open(nearbuf_process *process, intptr_t *memory) {
  *memory = process->handles[NBUF_LINUX_MEMORY];
  process->handles[NBUF_LINUX_MEMORY] = 0;
  if (*memory > 0 && has_noted_bytes(process)) {
    return nbuf_result_of(NEARBUF_OK);
  }
  nbuf_remote_memory_close(*memory);
  *memory = 0;
  int file = nbuf_linux_open(process, "mem", O_RDWR);
  if (file < 0) {
    return nbuf_linux_result(process, errno);
  }
  if (!is_noted_memory(process, file)) {
    close(file);
    return nbuf_result_of(NEARBUF_BUSY);
  }
  *memory = file + 1;
  return nbuf_result_of(NEARBUF_OK);
}

nbuf_result nbuf_remote_memory_write(intptr_t memory, uint64_t address, const void *bytes,
                                     size_t size) {
  size_t done = 0;
  return result_of_error(write_memory((int)memory - 1, address, bytes, size, &done));
}

void nbuf_remote_memory_close(intptr_t memory) {
  if (memory > 0) {
    close((int)memory - 1);
  }
}

/* ---- Its map --------------------------------------------------------------------------------- */

static nbuf_maps_file *maps_file_of(nbuf_remote_map *map) {
  return (nbuf_maps_file *)(void *)map->port.bytes;
}

static_assert(sizeof(nbuf_maps_file) <= sizeof(nbuf_port_state), "port.h has room for it");

nbuf_result nbuf_remote_map_open(const nearbuf_process *process, nbuf_remote_map *map) {
  nbuf_maps_file *maps = maps_file_of(map);
  int file = nbuf_linux_open(process, "maps", O_RDONLY);
  nbuf_maps_file_start(maps, file);
  if (file < 0) {
    return process == NULL ? result_of_error(errno) : nbuf_linux_result(process, errno);
  }
  /* The map of a thread that has ended is empty. */
  if (!nbuf_maps_file_fill(maps) && maps->system_error == 0 && process != NULL) {
    int another = nbuf_linux_open_of_another_thread(process, "maps", O_RDONLY);
    if (another >= 0) {
      close(file);
      nbuf_maps_file_start(maps, another);
    }
  }
  return nbuf_result_of(NEARBUF_OK);
}

void nbuf_remote_map_close(nbuf_remote_map *map) {
  if (maps_file_of(map)->is_open) {
    close(maps_file_of(map)->file);
  }
}

/* Keeps the end of a name, which identifies it, and no part of a character. */
static void keep_end(const char *text, char *name, size_t size) {
  size_t length = strlen(text);
  size_t from = length < size ? 0 : length - (size - 1);
  while (from > 0 && ((unsigned char)text[from] & 0xc0) == 0x80) {
    from++;
  }
  memcpy(name, text + from, length - from + 1);
}

static void fill_mapping(const nbuf_maps_line *line, nbuf_remote_mapping *mapping) {
  const nbuf_mapping *from = &line->mapping;
  *mapping = (nbuf_remote_mapping){.device = from->device, .inode = from->inode};
  mapping->info = (nearbuf_process_mapping){.min = line->start,
                                            .max = line->last,
                                            .is_readable = from->readable,
                                            .is_writable = from->writable,
                                            .is_executable = from->executable,
                                            .is_shared = from->shared,
                                            .file_offset = from->offset};
  keep_end(from->name_end, mapping->info.name, sizeof mapping->info.name);
}

nbuf_result nbuf_remote_map_next(nbuf_remote_map *map, nbuf_remote_mapping *mapping) {
  nbuf_maps_file *maps = maps_file_of(map);
  nbuf_maps_line line;
  if (nbuf_maps_file_next(maps, &line) != NBUF_MAPS_MORE) {
    fill_mapping(&line, mapping);
    return nbuf_result_of(NEARBUF_OK);
  }
  return maps->system_error == 0 ? nbuf_result_of(NEARBUF_NOT_FOUND)
                                 : result_of_error(maps->system_error);
}

nbuf_result nbuf_linux_find_mapping(const nearbuf_process *process,
                                    bool (*matches)(const nbuf_remote_mapping *mapping,
                                                    const void *context),
                                    const void *context, nbuf_remote_mapping *mapping) {
  nbuf_remote_map map;
  nbuf_result result = nbuf_remote_map_open(process, &map);
  bool is_found = false;
  while (result.status == NEARBUF_OK && !is_found) {
    result = nbuf_remote_map_next(&map, mapping);
    is_found = result.status == NEARBUF_OK && matches(mapping, context);
  }
  nbuf_remote_map_close(&map);
  return result;
}

static bool holds_address(const nbuf_remote_mapping *mapping, const void *context) {
  uint64_t address = *(const uint64_t *)context;
  return mapping->info.min <= address && address <= mapping->info.max;
}

nbuf_result nbuf_linux_mapping_at(const nearbuf_process *process, uint64_t address,
                                  nbuf_remote_mapping *mapping) {
  return nbuf_linux_find_mapping(process, holds_address, &address, mapping);
}

nbuf_range nbuf_remote_limits(uint32_t address_bits, uintptr_t around) {
  nbuf_range limits = nbuf_os_limits(0, around);
  if (address_bits == 32) {
    limits.max = (uintptr_t)0xffffdfff; /* a 64-bit kernel keeps the last two pages */
  }
  return limits;
}

/* ---- What a handle keeps --------------------------------------------------------------------- */

bool nbuf_linux_owner(const nearbuf_process *process, uint64_t *owner) {
  struct stat status;
  if (fstat(nbuf_linux_directory(process), &status) != 0) {
    return false;
  }
  *owner = (uint64_t)status.st_uid << 32 | status.st_gid;
  return true;
}

bool nbuf_linux_runs_noted_program(const nearbuf_process *process) {
  return noted_program(process).address != 0 && has_noted_bytes(process) &&
         check_id(process).status == NEARBUF_OK;
}

nbuf_result nbuf_linux_hold_memory(nearbuf_process *process, intptr_t *memory) {
  nbuf_result result = nbuf_result_of(NEARBUF_OK);
  *memory = process->handles[NBUF_LINUX_MEMORY];
  if (*memory == 0) {
    result = nbuf_remote_memory_open(process, memory);
    process->handles[NBUF_LINUX_MEMORY] = *memory;
  }
  return result;
}

void nbuf_remote_let_go(nearbuf_process *process) {
  nbuf_remote_memory_close(process->handles[NBUF_LINUX_MEMORY]);
  process->handles[NBUF_LINUX_MEMORY] = 0;
}

void nbuf_linux_forget_locators(nearbuf_process *process) {
  if (process->handles[NBUF_LINUX_LOCATOR_FILE] > 0) {
    close((int)process->handles[NBUF_LINUX_LOCATOR_FILE] - 1);
    process->handles[NBUF_LINUX_LOCATOR_FILE] = 0;
  }
  process->reserved[NBUF_KEPT_FIRST] = 0;
  process->reserved[NBUF_KEPT_VIEWED] = 0;
}

/* ---- Which program it runs ------------------------------------------------------------------- */

/* A word of the vector that the kernel gives to a program, in the byte order of this machine. */
static uint64_t word_at(const unsigned char *bytes, size_t width) {
  uint64_t wide;
  uint32_t narrow;
  if (width == sizeof wide) {
    memcpy(&wide, bytes, sizeof wide);
    return wide;
  }
  memcpy(&narrow, bytes, sizeof narrow);
  return narrow;
}

/* The address of its random bytes, as the kernel gave it to the program at its start. */
static nbuf_result find_random(const nearbuf_process *process, uint64_t *address) {
  enum { RANDOM = 25, MOST_ENTRIES = 128 }; /* AT_RANDOM */
  unsigned char entries[MOST_ENTRIES * 16];
  size_t width = process->address_bits / 8;
  ssize_t size = 0;
  *address = 0;
  int file = nbuf_linux_open(process, "auxv", O_RDONLY);
  if (file >= 0) {
    size = read(file, entries, sizeof entries);
    close(file);
  }
  if (size == 0) { /* its first thread has ended */
    file = nbuf_linux_open_of_another_thread(process, "auxv", O_RDONLY);
    if (file >= 0) {
      size = read(file, entries, sizeof entries);
      close(file);
    }
  }
  if (file < 0 || size < 0) {
    return nbuf_linux_result(process, errno);
  }
  for (size_t at = 0; width != 0 && at + 2 * width <= (size_t)size; at += 2 * width) {
    if (word_at(entries + at, width) == RANDOM) {
      *address = word_at(entries + at + width, width);
    }
  }
  /* Every program gets one; one that has none is just replacing another program. */
  bool is_made = width == 0 || *address != 0;
  return nbuf_result_of(is_made ? NEARBUF_OK : NEARBUF_BUSY);
}

/* `memory`: open memory of the process, or -1. `*is_in_memory`: it is that of the program. It is
 * not if the process replaced its program since. */
static nbuf_result find_program(const nearbuf_process *process, int memory,
                                nbuf_linux_program *program, bool *is_in_memory) {
  size_t done = 0;
  *is_in_memory = false;
  *program = (nbuf_linux_program){0};
  nbuf_result result = find_random(process, &program->address);
  if (result.status != NEARBUF_OK || program->address == 0) {
    return result;
  }
  *is_in_memory = memory >= 0 && read_memory(memory, program->address, program->random,
                                             sizeof program->random, &done) == 0;
  return *is_in_memory
             ? result
             : read_now(process, program->address, program->random, sizeof program->random, &done);
}

/* Its memory is opened first, and kept only if the bytes that are noted were read through it: the
 * process may replace its program in between, and then what is read by its id is another memory. */
nbuf_result nbuf_remote_note_program(nearbuf_process *process) {
  nbuf_linux_program program;
  nbuf_remote_let_go(process);
  int memory = openat(nbuf_linux_directory(process), "mem", O_RDWR | O_CLOEXEC);
  process->handles[NBUF_LINUX_MEMORY] = memory + 1;
  bool is_noted = noted_program(process).address != 0;
  if (is_noted &&
      (memory >= 0 ? is_noted_memory(process, memory) : nbuf_linux_runs_noted_program(process))) {
    return nbuf_result_of(NEARBUF_OK);
  }
  nbuf_linux_forget_locators(process);
  process->reserved[NBUF_KEPT_ENTRY] = 0;
  bool is_in_memory;
  nbuf_result result = find_program(process, memory, &program, &is_in_memory);
  if (!is_in_memory) {
    nbuf_remote_let_go(process);
  }
  if (result.status == NEARBUF_NOT_MAPPED && program.address != 0) {
    return nbuf_result_of(NEARBUF_BUSY); /* another program replaced it between the two reads */
  }
  if (result.status == NEARBUF_OK) {
    process->reserved[0] = program.address;
    process->reserved[1] = program.random[0];
    process->reserved[2] = program.random[1];
  }
  return result;
}

nbuf_result nbuf_remote_check_program(const nearbuf_process *process) {
  nbuf_linux_program noted = noted_program(process);
  nbuf_linux_program now;
  if (noted.address == 0) {
    return nbuf_result_of(NEARBUF_OK);
  }
  bool is_in_memory;
  nbuf_result result = find_program(process, -1, &now, &is_in_memory);
  bool is_known =
      result.status == NEARBUF_OK || (result.status == NEARBUF_NOT_MAPPED && now.address != 0);
  return is_known ? nbuf_result_of(is_same(&noted, &now) ? NEARBUF_OK : NEARBUF_STALE) : result;
}

/* ---- Making memory --------------------------------------------------------------------------- */

/* Looks for the bytes of an instruction in the readable part of a mapping. They need not be meant
 * as one: the thread stops again right behind them. NOT_FOUND: they are not there; else why it
 * could not be read. */
static nbuf_result find_bytes(const nearbuf_process *process, const nbuf_remote_mapping *mapping,
                              const unsigned char *bytes, size_t size, uint64_t *address) {
  unsigned char text[4096];
  for (uint64_t at = mapping->info.min;
       at < mapping->info.max && at - mapping->info.min < (1U << 20); at += sizeof text) {
    size_t done;
    nbuf_result result = nbuf_remote_read(process, at, text, sizeof text, &done);
    if (result.status != NEARBUF_OK && result.status != NEARBUF_NOT_MAPPED) {
      return result;
    }
    const unsigned char *found = done < size ? NULL : memmem(text, done, bytes, size);
    while (found != NULL && (size_t)(found - text) % (size == 4 ? 4 : 1) != 0) {
      size_t skipped = (size_t)(found - text) + 1;
      found = memmem(text + skipped, done - skipped, bytes, size);
    }
    if (found != NULL) {
      *address = at + (uint64_t)(found - text);
      return nbuf_result_of(NEARBUF_OK);
    }
  }
  return nbuf_result_of(NEARBUF_NOT_FOUND);
}

/* Searches the executable mappings: the system's own, or any. NOT_FOUND: none has it. */
static nbuf_result find_entry_in(const nearbuf_process *process, nbuf_trace_target *target,
                                 bool in_any) {
  const unsigned char *bytes = target->is_64_bit ? nbuf_trace_entry_64 : nbuf_trace_entry_32;
  size_t size = target->is_64_bit ? nbuf_trace_entry_64_size : nbuf_trace_entry_32_size;
  nbuf_remote_map map;
  nbuf_remote_mapping mapping = {0};
  nbuf_result result = nbuf_remote_map_open(process, &map);
  nbuf_result found = nbuf_result_of(NEARBUF_NOT_FOUND);
  while (result.status == NEARBUF_OK && found.status == NEARBUF_NOT_FOUND) {
    result = nbuf_remote_map_next(&map, &mapping);
    bool is_vdso = strcmp(mapping.info.name, "[vdso]") == 0;
    if (result.status == NEARBUF_OK && mapping.info.is_executable && mapping.info.is_readable &&
        (is_vdso || in_any)) {
      found = find_bytes(process, &mapping, bytes, size, &target->entry);
    }
  }
  nbuf_remote_map_close(&map);
  return result.status == NEARBUF_OK ? found : result;
}

/* An instruction that enters the kernel: the system puts one into every process ([vdso]), and if
 * that was switched off, the C library has some. */
static nbuf_result find_entry(const nearbuf_process *process, nbuf_trace_target *target) {
  nbuf_result result = find_entry_in(process, target, false);
  if (result.status == NEARBUF_NOT_FOUND && result.system_error == 0) {
    result = find_entry_in(process, target, true);
  }
  if (result.status != NEARBUF_NOT_FOUND || result.system_error != 0) {
    return result;
  }
  /* It has none, or another program is just replacing it. */
  bool is_same = nbuf_remote_check_program(process).status == NEARBUF_OK;
  return nbuf_result_of(is_same ? NEARBUF_UNSUPPORTED : NEARBUF_BUSY);
}

nbuf_result nbuf_linux_run(nearbuf_process *process, nbuf_trace_script script, void *context) {
  nbuf_trace_target target = {.id = process->id,
                              .directory = nbuf_linux_directory(process),
                              .is_64_bit = process->address_bits == 64,
                              .entry = process->reserved[NBUF_KEPT_ENTRY],
                              .program = noted_program(process)};
  nbuf_result result =
      target.entry != 0 ? nbuf_result_of(NEARBUF_OK) : find_entry(process, &target);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  result = nbuf_trace_run(&target, script, context);
  process->reserved[NBUF_KEPT_ENTRY] = 0;
  if (result.status == NEARBUF_OK) {
    process->reserved[NBUF_KEPT_ENTRY] = target.program.address != 0 ? target.entry : 0;
    return result;
  }
  nbuf_result alive = nbuf_remote_check(process);
  bool is_thread_gone = result.status == NEARBUF_NOT_FOUND; /* another one may do */
  return alive.status != NEARBUF_OK ? alive
         : is_thread_gone           ? nbuf_result_system(NEARBUF_BUSY, result.system_error)
                                    : result;
}

typedef struct memory_call {
  uint64_t address;
  uint64_t size;
  uint64_t protection;
  nbuf_page_call *page; /* the page that is mapped as well, or null */
  bool is_made;         /* out */
} memory_call;

static nbuf_result result_of_mmap(int64_t returned) {
  switch (returned) {
  case -EEXIST:
    return nbuf_result_system(NEARBUF_NO_ROOM, EEXIST);
  case -ENOMEM:
  case -EAGAIN:
    return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, (int32_t)-returned);
  default:
    return result_of_error(returned < 0 && returned > -4096 ? (int)-returned : 0);
  }
}

static nbuf_result allocate_script(nbuf_trace *trace, void *context) {
  memory_call *ctx = context;
  /* PROT_*, MAP_PRIVATE | MAP_ANONYMOUS: the same on all processors that are supported here. The
   * address is a hint, since MAP_FIXED_NOREPLACE would ignore what the kernel keeps free below a
   * stack. */
  const uint64_t map[6] = {ctx->address, ctx->size, ctx->protection, 0x22, UINT64_MAX, 0};
  int64_t returned;
  if (!nbuf_trace_syscall(trace, NBUF_TRACE_MMAP, map, &returned)) {
    return nbuf_result_system(NEARBUF_NOT_FOUND, ESRCH);
  }
  nbuf_result result = result_of_mmap(returned);
  if (result.status == NEARBUF_OK && (uint64_t)returned != ctx->address) {
    const uint64_t unmap[6] = {(uint64_t)returned, ctx->size};
    (void)nbuf_trace_syscall(trace, NBUF_TRACE_MUNMAP, unmap, NULL);
    result = nbuf_result_of(NEARBUF_NO_ROOM);
  }
  ctx->is_made = result.status == NEARBUF_OK;
  if (ctx->is_made && ctx->page != NULL) {
    ctx->page->memory = ctx->address;
    result = nbuf_page_script(trace, ctx->page);
  }
  return result;
}

/* What goes wrong after the memory was made is a matter of the page. */
nbuf_result nbuf_remote_allocate(nearbuf_process *process, uint64_t address, uint64_t size,
                                 nbuf_remote_draft *draft) {
  nbuf_page_call *page = draft == NULL ? NULL : nbuf_page_call_of(draft);
  memory_call ctx = {
      .address = address, .size = size, .protection = PROT_READ | PROT_WRITE | PROT_EXEC};
  if (page != NULL && page->path[0] != '\0' && nbuf_linux_memory(process) >= 0) {
    page->open_memory = process->handles[NBUF_LINUX_MEMORY];
    ctx.page = page;
  }
  nbuf_result result = nbuf_linux_run(process, allocate_script, &ctx);
  if (ctx.is_made && ctx.page != NULL) {
    ctx.page->result = result;
    return nbuf_result_of(NEARBUF_OK);
  }
  return result;
}

bool nbuf_remote_is_growing_stack(nearbuf_process *process, uint64_t start) {
  memory_call ctx = {
      .address = start - nbuf_os_page_size(), .size = nbuf_os_page_size(), .protection = PROT_NONE};
  nbuf_result result = nbuf_linux_run(process, allocate_script, &ctx);
  if (result.status == NEARBUF_OK) {
    (void)nbuf_remote_free(process, ctx.address, ctx.size);
  }
  return result.status == NEARBUF_NO_ROOM;
}

static nbuf_result free_script(nbuf_trace *trace, void *context) {
  const memory_call *ctx = context;
  const uint64_t unmap[6] = {ctx->address, ctx->size};
  int64_t returned;
  if (!nbuf_trace_syscall(trace, NBUF_TRACE_MUNMAP, unmap, &returned)) {
    return nbuf_result_system(NEARBUF_NOT_FOUND, ESRCH);
  }
  return result_of_error((int)-returned);
}

nbuf_result nbuf_remote_free(nearbuf_process *process, uint64_t address, uint64_t size) {
  memory_call ctx = {.address = address, .size = size};
  return nbuf_linux_run(process, free_script, &ctx);
}
