/* Files that another implementation is making; see unfinished.h. */
#include "os/posix/unfinished.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "os/os.h"
#include "os/posix/files.h"
#include "os/posix/mapped.h"

/* A file that is open for longer was abandoned: the other implementation failed to map it, as the
 * .NET one does if the file system forbids execution, and did not close it. */
enum { SECONDS_TO_MAP = 30 };

/* The limit on descriptors can be so high that checking each one would take a second. */
enum { MOST_DESCRIPTORS = 1 << 16 };

static bool was_given_up(int file, const struct stat *status) {
  size_t size = nbuf_os_page_size();
  void *page = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
  if (page != MAP_FAILED) {
    (void)munmap(page, size);
  }
  return page == MAP_FAILED || status->st_ctime + SECONDS_TO_MAP < time(NULL);
}

/* Whether a descriptor of this process refers to the file. Descriptors of this library, in other
 * threads and copies that check the file as well, are recognised by O_NONBLOCK. */
static bool is_open_here(const struct stat *status) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return false;
  }
  int end = limit.rlim_cur < MOST_DESCRIPTORS ? (int)limit.rlim_cur : MOST_DESCRIPTORS;
  for (int each = 0; each < end; each++) {
    int flags = fcntl(each, F_GETFL);
    struct stat other;
    if (flags >= 0 && (flags & O_NONBLOCK) == 0 && fstat(each, &other) == 0 &&
        other.st_dev == status->st_dev && other.st_ino == status->st_ino) {
      return true;
    }
  }
  return false;
}

/* Open is checked before mapped, since the Rust implementation closes the file once it has mapped
 * it. */
bool nbuf_file_is_being_made(int file, uint64_t waited) {
  struct stat status;
  if (fstat(file, &status) != 0) {
    return true; /* unknown */
  }
  return (nbuf_file_is_young(&status) && waited < NBUF_FILE_APPEARS_NS) ||
         (!was_given_up(file, &status) && is_open_here(&status)) || nbuf_file_is_mapped_here(file);
}
