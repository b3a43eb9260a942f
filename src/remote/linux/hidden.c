/* Linux: locators of a process that hides its memory; see hidden.h. */
#include "remote/linux/hidden.h"

#include <errno.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "remote/linux/locator_file.h"
#include "remote/linux/proc.h"

/* Opens a file that a process which hides its memory has in use, as the file's lock shows. */
static int open_in_use(int directory, const char *name, const nbuf_identity *identity) {
  struct stat ignored;
  int file = nbuf_locator_file_open(directory, name, identity->user.owner, &ignored);
  if (file >= 0 && flock(file, LOCK_EX | LOCK_NB) == 0) {
    close(file);
    file = -1;
  }
  return file;
}

/* Opens the first locator of a hidden process under one of its names, in a directory of our own
 * root. The names of its user inside are unknown then: they are assumed to be ours. */
static int open_first_of_hidden(const nearbuf_process *process, const nbuf_identity *identity) {
  nbuf_name name;
  int file = -1;
  for (int folder = 0; !identity->is_elsewhere && folder < NBUF_FOLDERS && file < 0; folder++) {
    int directory = -1;
    if (nbuf_directory_open((nbuf_folder)folder, false, &directory).status != NEARBUF_OK) {
      continue;
    }
    for (int i = 0; file < 0 && nbuf_identity_name(process, identity, i, &name); i++) {
      file = open_in_use(directory, name.text, identity);
    }
    close(directory);
  }
  return file;
}

/* The address in the header of an open file. The system does not report the address width of a
 * hidden process: it is assumed to be ours. */
static uint64_t header_address(int file) {
  _Alignas(8) unsigned char header[8] = {0};
  ssize_t count = pread(file, header, sizeof header, 0);
  return count == (ssize_t)sizeof header ? nbuf_locator_file_address(header, sizeof(uintptr_t) * 8)
                                         : 0;
}

nbuf_result nbuf_hidden_first(const nearbuf_process *process, const nbuf_identity *identity,
                              uint64_t *address, nearbuf_dialect *dialect_if_empty) {
  int file = open_first_of_hidden(process, identity);
  if (file < 0) {
    return nbuf_result_system(NEARBUF_DENIED, EPERM);
  }
  *address = header_address(file);
  *dialect_if_empty = NEARBUF_DIALECT_DOTNET;
  close(file);
  return nbuf_result_of(*address != 0 ? NEARBUF_OK : NEARBUF_NOT_FOUND);
}

typedef struct later_search {
  const nbuf_identity *identity;
  int directory;
  uint64_t address;
  int file; /* out; -1: not found */
} later_search;

static bool visit_later(const char *name, void *context) {
  later_search *search = context;
  if (nbuf_name_process(name) != search->identity->own_id || !nbuf_name_is_of_later(name)) {
    return true;
  }
  int file = open_in_use(search->directory, name, search->identity);
  if (file >= 0 && header_address(file) == search->address) {
    search->file = file;
  } else if (file >= 0) {
    close(file);
  }
  return search->file < 0;
}

/* Opens the file of a locator of a hidden process. The names of later ones do not show which is
 * which. */
static int open_hidden_at(const nearbuf_process *process, uint64_t address) {
  nbuf_identity identity = {0};
  int first = nbuf_identify(process, &identity).status == NEARBUF_OK
                  ? open_first_of_hidden(process, &identity)
                  : -1;
  if (first < 0 || header_address(first) == address) {
    return first;
  }
  close(first);
  later_search search = {&identity, -1, address, -1};
  for (int folder = 0; folder < NBUF_FOLDERS && search.file < 0; folder++) {
    if (nbuf_directory_open((nbuf_folder)folder, false, &search.directory).status == NEARBUF_OK) {
      (void)nbuf_linux_visit(search.directory, visit_later, &search);
      close(search.directory);
    }
  }
  return search.file;
}

nbuf_result nbuf_hidden_image(const nearbuf_process *process, uint64_t address,
                              unsigned char image[NBUF_LOCATOR_SIZE]) {
  int file = open_hidden_at(process, address);
  if (file < 0) {
    return nbuf_result_system(NEARBUF_DENIED, EPERM);
  }
  ssize_t count = pread(file, image, NBUF_LOCATOR_SIZE, 0);
  close(file);
  return nbuf_result_of(count == NBUF_LOCATOR_SIZE ? NEARBUF_OK : NEARBUF_NOT_MAPPED);
}

/* Maps the locator of a hidden process, by the address in its header. */
nbuf_result nbuf_hidden_view(const nearbuf_process *process, uint64_t address,
                             nbuf_remote_view *view) {
  int file = open_hidden_at(process, address);
  if (file < 0) {
    return nbuf_result_system(NEARBUF_DENIED, EPERM);
  }
  size_t page = nbuf_os_page_size();
  if (header_address(file) != address || !nbuf_locator_file_is_as_long(file, page)) {
    close(file);
    return nbuf_result_of(NEARBUF_INCOMPATIBLE);
  }
  void *mapped = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  int error = errno;
  close(file);
  if (mapped == MAP_FAILED) {
    return nbuf_result_system(NEARBUF_DENIED, error);
  }
  *view = (nbuf_remote_view){(uintptr_t)mapped, (uintptr_t)mapped, page};
  return nbuf_result_of(NEARBUF_OK);
}
