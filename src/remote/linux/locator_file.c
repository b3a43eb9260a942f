/* Linux: one file of a locator of another process; see locator_file.h. */
#include "remote/linux/locator_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "os/posix/posix.h"
#include "remote/linux/process.h"

/* ---- Opening --------------------------------------------------------------------------------- */

/* Opens a file that could be a locator of that user. It is checked before it is opened: any user
 * who can write to the directory could have put a link, a pipe or a device there. */
int nbuf_locator_file_open(int directory, const char *name, uint64_t user, struct stat *status) {
  int place = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (place < 0) {
    return -1;
  }
  int file = -1;
  int error = EPERM;
  if (fstat(place, status) == 0 && S_ISREG(status->st_mode) && status->st_uid == user &&
      (status->st_mode & S_IWOTH) == 0 && status->st_size >= NBUF_LOCATOR_SIZE) {
    char path[32];
    int flags = O_NONBLOCK | O_CLOEXEC; /* its user may have a lease on it, and make us wait */
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", place);
    file = open(path, O_RDWR | flags);
    if (file < 0 && (errno == EACCES || errno == EROFS)) {
      file = open(path, O_RDONLY | flags);
    }
    error = errno;
  }
  close(place);
  errno = error;
  return file;
}

/* The reason why a file could not be opened. A lease ends soon: another try helps. */
nbuf_result nbuf_locator_file_result(int error) {
  if (error == EWOULDBLOCK) {
    return nbuf_result_system(NEARBUF_BUSY, error);
  }
  return nbuf_result_system(nbuf_posix_is_lack(error) ? NEARBUF_OUT_OF_MEMORY : NEARBUF_DENIED,
                            error);
}

/* ---- Mapping --------------------------------------------------------------------------------- */

/* Behind the end of a file a store is a SIGBUS. */
bool nbuf_locator_file_is_as_long(int file, uint64_t size) {
  struct stat status;
  return fstat(file, &status) == 0 && (uint64_t)status.st_size >= size;
}

/* Maps the page of a file that the process has mapped at `theirs`, if it is that file. */
nbuf_result nbuf_locator_file_map(int file, const struct stat *status,
                                  const nbuf_remote_mapping *theirs, uint64_t address,
                                  nbuf_remote_view *view) {
  size_t page = nbuf_os_page_size();
  uint64_t start = address & ~(uint64_t)(page - 1);
  uint64_t offset = theirs->info.file_offset + (start - theirs->info.min);
  if ((uint64_t)status->st_size < offset + page) {
    return nbuf_result_of(NEARBUF_INCOMPATIBLE);
  }
  void *mapped = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)offset);
  if (mapped == MAP_FAILED) {
    return nbuf_result_system(errno == ENOMEM ? NEARBUF_OUT_OF_MEMORY : NEARBUF_DENIED, errno);
  }
  *view =
      (nbuf_remote_view){(uintptr_t)mapped + (uintptr_t)(address - start), (uintptr_t)mapped, page};
  return nbuf_result_of(NEARBUF_OK);
}

uint64_t nbuf_locator_file_address(const unsigned char *header, uint32_t bits) {
  return nbuf_shared_address_relaxed((uintptr_t)header, bits == 64 ? 8 : 4);
}

bool nbuf_is_locator_mapping(const nbuf_remote_mapping *mapping) {
  return mapping->info.is_shared && mapping->info.is_readable && mapping->info.is_writable;
}

uint64_t nbuf_locator_file_device(const struct stat *status) {
  return (uint64_t)major(status->st_dev) << 32 | minor(status->st_dev);
}

/* Whether the numbers in its status prove that a file is the mapped one. That they are others
 * proves nothing. */
static bool is_mapped_file(const struct stat *status, const nbuf_remote_mapping *theirs) {
  return theirs->inode != 0 && status->st_ino == theirs->inode &&
         nbuf_locator_file_device(status) == theirs->device;
}

/* The same where it is not known to be that file: its status tells, or our own map. */
nbuf_result nbuf_locator_file_map_proved(int file, const struct stat *status,
                                         const nbuf_remote_mapping *theirs, uint64_t address,
                                         nbuf_remote_view *view) {
  nbuf_result result = nbuf_locator_file_map(file, status, theirs, address, view);
  if (result.status != NEARBUF_OK || is_mapped_file(status, theirs)) {
    return result;
  }
  nbuf_remote_mapping ours = {0};
  result = nbuf_linux_mapping_at(NULL, view->page, &ours);
  bool is_same = result.status == NEARBUF_OK && ours.device == theirs->device &&
                 ours.inode == theirs->inode && ours.inode != 0;
  if (!is_same) {
    nbuf_remote_view_close(view);
    return result.status == NEARBUF_OK ? nbuf_result_of(NEARBUF_DENIED) : result;
  }
  return result;
}

/* Whether an open file is the first locator of the process, by the address in its header. */
nbuf_result nbuf_locator_file_examine(const nearbuf_process *process, int file,
                                      const struct stat *status, uint64_t *address,
                                      nbuf_remote_mapping *theirs) {
  _Alignas(8) unsigned char header[8] = {0};
  if (pread(file, header, sizeof header, 0) != (ssize_t)sizeof header) {
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  *address = nbuf_locator_file_address(header, process->address_bits);
  nbuf_result result = nbuf_linux_mapping_at(process, *address, theirs);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  if (!nbuf_is_locator_mapping(theirs) || theirs->info.min != *address ||
      theirs->info.file_offset != 0) {
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  if (is_mapped_file(status, theirs)) {
    return result;
  }
  /* Only for comparison, so it need not be writable; see posix/mapped.h. */
  void *mapped = mmap(NULL, nbuf_os_page_size(), PROT_READ, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) {
    return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, errno);
  }
  nbuf_remote_mapping ours = {0};
  result = nbuf_linux_mapping_at(NULL, (uintptr_t)mapped, &ours);
  (void)munmap(mapped, nbuf_os_page_size());
  bool is_same =
      result.status == NEARBUF_OK && ours.device == theirs->device && ours.inode == theirs->inode;
  return is_same || result.status != NEARBUF_OK ? result : nbuf_result_of(NEARBUF_NOT_FOUND);
}

/* ---- Kept open ------------------------------------------------------------------------------- */

void nbuf_locator_file_forget(nearbuf_process *process, uint64_t address) {
  int file = (int)process->handles[NBUF_LINUX_LOCATOR_FILE] - 1;
  if (file >= 0 && process->reserved[NBUF_KEPT_VIEWED] == address) {
    close(file);
    process->handles[NBUF_LINUX_LOCATOR_FILE] = 0;
  }
}

/* Holds the file of a locator open for the next view, or closes it. Its number cannot become
 * another file's meanwhile. */
void nbuf_locator_file_keep(nearbuf_process *process, const nbuf_remote_mapping *theirs,
                            uint64_t address, int file, const struct stat *status) {
  bool is_other = process->reserved[NBUF_KEPT_VIEWED] != address;
  if (process->handles[NBUF_LINUX_LOCATOR_FILE] != 0 && is_other) {
    close(file);
    return;
  }
  nbuf_locator_file_forget(process, address);
  process->handles[NBUF_LINUX_LOCATOR_FILE] = file + 1;
  process->reserved[NBUF_KEPT_VIEWED] = address;
  process->reserved[NBUF_KEPT_DEVICE] = theirs->device;
  process->reserved[NBUF_KEPT_INODE] = theirs->inode;
  process->reserved[NBUF_KEPT_FILE_USER] = status->st_uid;
}

/* The file that is held open, if it is the one that the process has mapped there and can be
 * trusted as when it was opened; else -1. */
int nbuf_locator_file_kept(const nearbuf_process *process, const nbuf_remote_mapping *theirs,
                           uint64_t address, struct stat *status) {
  int file = (int)process->handles[NBUF_LINUX_LOCATOR_FILE] - 1;
  uint64_t owner;
  bool is_it = file >= 0 && process->reserved[NBUF_KEPT_VIEWED] == address &&
               process->reserved[NBUF_KEPT_DEVICE] == theirs->device &&
               process->reserved[NBUF_KEPT_INODE] == theirs->inode &&
               nbuf_linux_owner(process, &owner) && owner == process->reserved[NBUF_KEPT_OWNER] &&
               fstat(file, status) == 0 && (status->st_mode & S_IWOTH) == 0 &&
               status->st_uid == process->reserved[NBUF_KEPT_FILE_USER];
  return is_it ? file : -1;
}
