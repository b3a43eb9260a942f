/* Linux: the first locator of another process; see first.h. */
#include "remote/linux/first.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/linux/map_query.h"
#include "os/posix/anchor.h"
#include "remote/linux/hidden.h"
#include "remote/linux/locator_file.h"
#include "remote/linux/process.h"

/* ---- By its name ----------------------------------------------------------------------------- */

/* Looks under the names of the process in an open directory. */
static nbuf_result find_in_directory(nearbuf_process *process, int directory,
                                     const nbuf_identity *identity, uint64_t *address,
                                     nearbuf_dialect *dialect_if_empty) {
  nbuf_name name;
  struct stat status;
  nbuf_result result = nbuf_result_of(NEARBUF_NOT_FOUND);
  for (int i = 0;
       result.status == NEARBUF_NOT_FOUND && nbuf_identity_name(process, identity, i, &name); i++) {
    int file = nbuf_locator_file_open(directory, name.text, identity->user.owner, &status);
    if (file >= 0) {
      bool is_rust = (status.st_mode & S_IXUSR) != 0;
      *dialect_if_empty = is_rust ? NEARBUF_DIALECT_RUST : NEARBUF_DIALECT_DOTNET;
      nbuf_remote_mapping theirs = {0};
      result = nbuf_locator_file_examine(process, file, &status, address, &theirs);
      if (result.status == NEARBUF_OK) {
        nbuf_locator_file_keep(process, &theirs, *address, file, &status);
      } else {
        close(file);
      }
    }
  }
  return result;
}

/* What a directory that cannot be opened holds is not known to be nothing, but no reason not to
 * look in the other one. */
static nbuf_result find_by_name(nearbuf_process *process, const nbuf_identity *identity,
                                uint64_t *address, nearbuf_dialect *dialect_if_empty) {
  nbuf_result first = nbuf_result_of(NEARBUF_NOT_FOUND);
  for (int folder = 0; folder < NBUF_FOLDERS; folder++) {
    int directory;
    nbuf_result result =
        nbuf_identity_open_directory(process, identity, (nbuf_folder)folder, &directory);
    if (result.status == NEARBUF_OK) {
      result = find_in_directory(process, directory, identity, address, dialect_if_empty);
      close(directory);
    }
    if (result.status == NEARBUF_OK) {
      return result;
    }
    first = folder == 0 ? result : first;
  }
  return first;
}

/* ---- By the anchor --------------------------------------------------------------------------- */

static bool read_exactly(int memory, uint64_t address, void *bytes, size_t size) {
  return pread64(memory, bytes, size, (off64_t)address) == (ssize_t)size;
}

/* Whether an anchor belongs to the process; `identity`: null, or known. */
static bool is_owner(const nearbuf_process *process, const nbuf_identity *identity,
                     uint32_t owner) {
  nbuf_identity found = {0};
  if (identity == NULL && nbuf_identify(process, &found).status != NEARBUF_OK) {
    return false;
  }
  return owner == (uint32_t)(identity == NULL ? found.own_id : identity->own_id);
}

/* The word of the anchor at a place; 0: there is none, or it does not belong to this process. It is
 * no part of the shared format: its bytes have the order of this machine. */
static uint64_t read_anchor(const nearbuf_process *process, int memory,
                            const nbuf_identity *identity, uint64_t place) {
  uint32_t width = process->address_bits / 8;
  uint32_t mark = 0;
  unsigned char words[12]; /* the word, and the owner */
  uint32_t owner = 0;
  uint32_t narrow = 0;
  uint64_t wide = 0;
  bool is_anchor =
      read_exactly(memory, place, &mark, sizeof mark) &&
      (mark == NBUF_ANCHOR_WIPED || mark == NBUF_ANCHOR_INHERITED || mark == NBUF_ANCHOR_ABSENT) &&
      read_exactly(memory, place + nbuf_os_page_size(), words, width + sizeof owner);
  if (!is_anchor) {
    return 0;
  }
  memcpy(&owner, words + width, sizeof owner);
  memcpy(width == 4 ? (void *)&narrow : (void *)&wide, words, width);
  bool is_theirs = mark != NBUF_ANCHOR_INHERITED || is_owner(process, identity, owner);
  return is_theirs ? narrow | wide : 0;
}

/* What is known to be free in the process, by its map: a query finds where the next mapping is. */
typedef struct free_part {
  int map; /* -1: it cannot be queried, and nothing is known */
  uint64_t start;
  uint64_t end;
} free_part;

static bool is_free(free_part *known, uint64_t place) {
  if (known->map >= 0 && (place < known->start || place >= known->end)) {
    uint64_t next = 0;
    bool is_known = nbuf_map_query_next(known->map, place, &next);
    known->start = place;
    known->end = is_known ? next : place;
    if (!is_known) {
      close(known->map);
      known->map = -1;
    }
  }
  return place >= known->start && place < known->end;
}

/* By the anchor (posix/anchor.h), by which the copies of the library in the process agree on the
 * first locator, whatever happened to its name. */
nbuf_result nbuf_first_by_anchor(const nearbuf_process *process, const nbuf_identity *identity,
                                 uint64_t *address, nearbuf_dialect *dialect_if_empty) {
  uint32_t width = process->address_bits / 8;
  int held = nbuf_linux_memory(process);
  int memory = width == 0 ? -1 : held >= 0 ? held : nbuf_linux_open(process, "mem", O_RDONLY);
  free_part known = {memory < 0 ? -1 : nbuf_linux_open(process, "maps", O_RDONLY), 0, 0};
  uint64_t word = 0;
  uint64_t place;
  for (uint32_t i = 0; memory >= 0 && word == 0 && (place = nbuf_anchor_place(width, i)) != 0;
       i++) {
    word = is_free(&known, place) ? 0 : read_anchor(process, memory, identity, place);
  }
  if (memory >= 0 && memory != held) {
    close(memory);
  }
  if (known.map >= 0) {
    close(known.map);
  }
  *address = word & ~(uint64_t)NBUF_ANCHOR_BELOW_ADDRESS;
  *dialect_if_empty = (nearbuf_dialect)(word >> NBUF_ANCHOR_EMPTY_SHIFT & NBUF_ANCHOR_EMPTY_MASK);
  return nbuf_result_of(*address != 0 ? NEARBUF_OK : NEARBUF_NOT_FOUND);
}

/* If another implementation took the page for its own (pages.h), and the copies of the library in
 * the process have not restored it yet, its header contains the address of another mapping of the
 * same page. */
static void follow_other_name(const nearbuf_process *process, uint64_t *address) {
  _Alignas(8) unsigned char header[8] = {0};
  size_t done;
  nbuf_remote_mapping here = {0};
  nbuf_remote_mapping there = {0};
  (void)nbuf_remote_read(process, *address, header, process->address_bits / 8, &done);
  uint64_t named = nbuf_locator_file_address(header, process->address_bits);
  if (named != *address && named != 0 &&
      nbuf_linux_mapping_at(process, *address, &here).status == NEARBUF_OK &&
      nbuf_linux_mapping_at(process, named, &there).status == NEARBUF_OK &&
      nbuf_is_locator_mapping(&there) && there.info.min == named &&
      there.info.file_offset == here.info.file_offset && there.device == here.device &&
      there.inode == here.inode && here.inode != 0) {
    *address = named;
  }
}

/* ---- By the memory map ----------------------------------------------------------------------- */

typedef struct map_search {
  const nearbuf_process *process;
  const nbuf_identity *identity;
  nbuf_path *temporary; /* where its /tmp is in the map that we see; empty: not looked up yet */
  nbuf_result *unread;  /* why a candidate could not be read */
} map_search;

static nbuf_path path_of_temporary(const nearbuf_process *process) {
  int root = nbuf_identity_open_root(process);
  char prefix[256];
  ssize_t length = readlinkat(nbuf_linux_directory(process), "root", prefix, sizeof prefix - 1);
  prefix[length > 0 ? length : 0] = '\0';
  nbuf_path path = nbuf_path_of_temporary(root, prefix);
  if (root >= 0) {
    close(root);
  }
  return path;
}

/* Whether every place of an anchor is occupied, so that the process could have none. */
static bool are_anchors_places_taken(const nearbuf_process *process) {
  uint32_t width = process->address_bits / 8;
  uint64_t place;
  for (uint32_t i = 0; (place = nbuf_anchor_place(width, i)) != 0; i++) {
    nbuf_remote_mapping there = {0};
    if (nbuf_linux_mapping_at(process, place, &there).status != NEARBUF_OK) {
      return false;
    }
  }
  return true;
}

/* How far a name in the map is trusted; see posix/pages.c. */
static bool is_believed(const nbuf_remote_mapping *mapping, const map_search *search) {
  if (search->temporary->text[0] == '\0') {
    *search->temporary = path_of_temporary(search->process);
  }
  nbuf_origin origin =
      nbuf_path_origin(mapping->info.name, sizeof mapping->info.name, search->identity->own_id,
                       nbuf_identity_user(search->process, search->identity), search->temporary);
  return origin == NBUF_ORIGIN_DIRECTORY ||
         (origin == NBUF_ORIGIN_MEMORY && are_anchors_places_taken(search->process));
}

static bool is_first_locator(const nbuf_remote_mapping *mapping, const void *context) {
  const map_search *search = context;
  _Alignas(8) unsigned char header[8] = {0};
  size_t done;
  if (!nbuf_is_locator_mapping(mapping) || mapping->info.file_offset != 0 ||
      !is_believed(mapping, search)) {
    return false;
  }
  nbuf_result result =
      nbuf_remote_read(search->process, mapping->info.min, header, sizeof header, &done);
  if (result.status != NEARBUF_OK && result.status != NEARBUF_NOT_MAPPED) {
    *search->unread = result;
  }
  return result.status == NEARBUF_OK &&
         nbuf_locator_file_address(header, search->process->address_bits) == mapping->info.min;
}

/* ---- Kept in the handle ---------------------------------------------------------------------- */

/* The first locator that an earlier call found through the handle, if it is that still: the
 * process runs the same program for the same user, and the page names its own address. Where two
 * copies of a library made one each, and one of them was taken back, that is the first thing to go
 * (withdraw). */
static bool find_kept(const nearbuf_process *process, uint64_t *address,
                      nearbuf_dialect *dialect_if_empty) {
  _Alignas(8) unsigned char header[8] = {0};
  size_t done;
  uint64_t owner;
  *address = process->reserved[NBUF_KEPT_FIRST];
  *dialect_if_empty = (nearbuf_dialect)process->reserved[NBUF_KEPT_DIALECT];
  return *address != 0 && nbuf_linux_owner(process, &owner) &&
         owner == process->reserved[NBUF_KEPT_OWNER] &&
         (nbuf_linux_memory(process) >= 0 || nbuf_linux_runs_noted_program(process)) &&
         nbuf_remote_read(process, *address, header, process->address_bits / 8, &done).status ==
             NEARBUF_OK &&
         nbuf_locator_file_address(header, process->address_bits) == *address;
}

void nbuf_first_keep(nearbuf_process *process, uint64_t address, nearbuf_dialect dialect_if_empty) {
  uint64_t owner;
  if (nbuf_linux_owner(process, &owner)) {
    process->reserved[NBUF_KEPT_FIRST] = address;
    process->reserved[NBUF_KEPT_DIALECT] = dialect_if_empty;
    process->reserved[NBUF_KEPT_OWNER] = owner;
  }
}

static nbuf_result find_first_locator(nearbuf_process *process, uint64_t *address,
                                      nearbuf_dialect *dialect_if_empty) {
  nbuf_result result = nbuf_first_by_anchor(process, NULL, address, dialect_if_empty);
  if (result.status == NEARBUF_OK) {
    follow_other_name(process, address);
    return result;
  }
  nbuf_identity identity = {0};
  result = nbuf_identify(process, &identity);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  result = find_by_name(process, &identity, address, dialect_if_empty);
  if (result.status == NEARBUF_OK) {
    return result;
  }
  if (result.status == NEARBUF_DENIED && process->address_bits == 0) {
    return nbuf_hidden_first(process, &identity, address, dialect_if_empty);
  }
  nbuf_result unread = nbuf_result_of(NEARBUF_OK);
  nbuf_path temporary = {""};
  map_search search = {process, &identity, &temporary, &unread};
  nbuf_remote_mapping mapping;
  result = nbuf_linux_find_mapping(process, is_first_locator, &search, &mapping);
  *address = result.status == NEARBUF_OK ? mapping.info.min : 0;
  *dialect_if_empty = NEARBUF_DIALECT_UNKNOWN;
  bool is_unknown = result.status == NEARBUF_NOT_FOUND && unread.status != NEARBUF_OK;
  return is_unknown ? unread : result;
}

nbuf_result nbuf_remote_first(nearbuf_process *process, uint64_t *address,
                              nearbuf_dialect *dialect_if_empty) {
  if (find_kept(process, address, dialect_if_empty)) {
    return nbuf_result_of(NEARBUF_OK);
  }
  nbuf_linux_forget_locators(process);
  nbuf_result result = find_first_locator(process, address, dialect_if_empty);
  if (result.status == NEARBUF_OK && process->address_bits != 0) {
    nbuf_first_keep(process, *address, *dialect_if_empty);
  }
  return result;
}
