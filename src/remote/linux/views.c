/* Linux: copies and shared views of the locators of another process; see remote/port.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remote/linux/hidden.h"
#include "remote/linux/locator_file.h"
#include "remote/linux/process.h"

/* ---- Copies ---------------------------------------------------------------------------------- */

nbuf_result nbuf_remote_image(const nearbuf_process *process, uint64_t address,
                              unsigned char image[NBUF_LOCATOR_SIZE]) {
  size_t done;
  nbuf_result result = nbuf_remote_read(process, address, image, NBUF_LOCATOR_SIZE, &done);
  bool is_hidden = result.status == NEARBUF_DENIED && process->address_bits == 0;
  return is_hidden ? nbuf_hidden_image(process, address, image) : result;
}

/* ---- Views ----------------------------------------------------------------------------------- */

void nbuf_remote_view_close(nbuf_remote_view *view) {
  if (view->base != 0) {
    (void)munmap((void *)view->page, view->size);
    *view = (nbuf_remote_view){0, 0, 0};
  }
}

/* The name of a locator's file at the end of a mapped path. The process chooses its folders: only a
 * file directly in one of the directories is opened. */
static bool name_at_end(const char *path, nbuf_name *name) {
  const char *slash = strrchr(path, '/');
  const char *last = slash == NULL ? path : slash + 1;
  if (nbuf_name_process(last) < 0) {
    return false;
  }
  memcpy(name->text, last, strlen(last) + 1);
  return true;
}

/* The names that the file of a mapping can have: the one in the map and, because that is the
 * temporary one if the system could not rename it (nbuf_file_publish), those of a first locator. */
static bool name_of_mapping(const nearbuf_process *process, const nbuf_identity *identity,
                            const nbuf_remote_mapping *theirs, int index, nbuf_name *name) {
  return name_at_end(theirs->info.name, name) &&
         (index == 0 || nbuf_identity_name(process, identity, index - 1, name));
}

/* By its name in a directory of the process. Whatever is found there is proved to be what is
 * mapped. */
static nbuf_result view_in(nearbuf_process *process, int directory, const nbuf_identity *identity,
                           const nbuf_remote_mapping *theirs, uint64_t address,
                           nbuf_remote_view *view) {
  nbuf_name name;
  struct stat status;
  nbuf_result result = nbuf_result_of(NEARBUF_DENIED);
  for (int i = 0;
       result.status == NEARBUF_DENIED && name_of_mapping(process, identity, theirs, i, &name);
       i++) {
    int file = nbuf_locator_file_open(directory, name.text, identity->user.owner, &status);
    result = file < 0 ? nbuf_locator_file_result(errno)
                      : nbuf_locator_file_map_proved(file, &status, theirs, address, view);
    if (result.status == NEARBUF_OK) {
      nbuf_locator_file_keep(process, theirs, address, file, &status);
    } else if (file >= 0) {
      close(file);
    }
  }
  return result;
}

static nbuf_result view_by_name(nearbuf_process *process, const nbuf_remote_mapping *theirs,
                                uint64_t address, nbuf_remote_view *view) {
  nbuf_identity identity = {0};
  nbuf_result result = nbuf_identify(process, &identity);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  nbuf_result first = result;
  for (int folder = 0; folder < NBUF_FOLDERS; folder++) {
    int directory;
    result = nbuf_identity_open_directory(process, &identity, (nbuf_folder)folder, &directory);
    if (result.status == NEARBUF_OK) {
      result = view_in(process, directory, &identity, theirs, address, view);
      close(directory);
    }
    if (result.status == NEARBUF_OK) {
      return result;
    }
    first = folder == 0 ? result : first;
  }
  return first;
}

/* Where the name is gone: through a door that only the privileged may use. */
static nbuf_result view_by_map(nearbuf_process *process, const nbuf_remote_mapping *theirs,
                               uint64_t address, nbuf_remote_view *view) {
  char path[64] = "map_files/";
  char *at = path + strlen(path);
  const uint64_t ends[2] = {theirs->info.min, theirs->info.max + 1};
  for (int i = 0; i < 2; i++) {
    int shift = 60;
    while (shift > 0 && ends[i] >> shift == 0) {
      shift -= 4;
    }
    for (; shift >= 0; shift -= 4) {
      *at++ = "0123456789abcdef"[ends[i] >> shift & 15];
    }
    *at++ = i == 0 ? '-' : '\0';
  }
  int file = nbuf_linux_open(process, path, O_RDWR);
  if (file < 0) {
    int error = errno;
    nbuf_result alive = nbuf_remote_check(process);
    return alive.status == NEARBUF_OK ? nbuf_locator_file_result(error) : alive;
  }
  struct stat status;
  nbuf_result result = fstat(file, &status) == 0
                           ? nbuf_locator_file_map_proved(file, &status, theirs, address, view)
                           : nbuf_result_of(NEARBUF_INCOMPATIBLE);
  close(file);
  return result;
}

nbuf_result nbuf_remote_view_open(nearbuf_process *process, uint64_t address,
                                  nbuf_remote_view *view) {
  *view = (nbuf_remote_view){0, 0, 0};
  if (process->address_bits == 0) {
    return nbuf_hidden_view(process, address, view);
  }
  nbuf_remote_mapping theirs = {0};
  nbuf_result result = nbuf_linux_mapping_at(process, address, &theirs);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  if (!nbuf_is_locator_mapping(&theirs)) {
    return nbuf_result_of(NEARBUF_DENIED); /* another implementation's later locator, on its heap */
  }
  struct stat status;
  int kept = nbuf_locator_file_kept(process, &theirs, address, &status);
  if (kept >= 0 &&
      nbuf_locator_file_map(kept, &status, &theirs, address, view).status == NEARBUF_OK) {
    return result;
  }
  result = view_by_name(process, &theirs, address, view);
  bool is_attached = result.status == NEARBUF_OK || result.status == NEARBUF_BUSY;
  return is_attached ? result : view_by_map(process, &theirs, address, view);
}
