/* Linux: the pages of the locators of another process; see remote/port.h and posix/pages.c, whose
 * rules apply here, too: a file is trusted only if the memory map of the process reports, for the
 * address in its header, the same device and inode as our map reports for a fresh mapping of the
 * file.
 *
 * Files are reached through /proc/<id>/root, which leads into the mount namespace and the root of
 * the process. If the system refuses that and the map (a process that is not dumpable), its file in
 * our own directory is trusted if it belongs to the user of the process and is in use. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/os.h"
#include "os/posix/anchor.h"
#include "os/posix/files.h"
#include "os/posix/posix.h"
#include "os/wait.h"
#include "remote/linux/process.h"
#include "remote/linux/rights.h"

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

/* struct open_how; linux/openat2.h is missing from older headers. */
typedef struct open_how_2 {
  uint64_t flags;
  uint64_t mode;
  uint64_t resolve;
} open_how_2;

enum {
  RESOLVE_INSIDE = 0x10 | 0x02,        /* RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS */
  RESOLVE_NOTHING = 0x08 | 0x04 | 0x02 /* RESOLVE_BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS */
};

/* ---- Whose files ----------------------------------------------------------------------------- */

/* The properties of the names and files of the process. */
typedef struct identity {
  int64_t own_id;
  nbuf_user user; /* the owner of its new files: as it calls its user, and as we see it */
  uint64_t group;
  nbuf_rights rights; /* the rights with which its files are made */
  bool is_privileged; /* it must not trust what its user's other programs can write */
  bool is_elsewhere;  /* in an inner namespace of process ids */
  bool has_namespace;
  uint64_t namespace;
} identity;

typedef enum user_namespace { NAMESPACE_OURS, NAMESPACE_ANOTHER, NAMESPACE_UNKNOWN } user_namespace;

/* In which user namespace it is, as far as it tells. */
static user_namespace user_namespace_of(const nearbuf_process *process) {
  struct stat theirs;
  struct stat ours;
  if (fstatat(nbuf_linux_directory(process), "ns/user", &theirs, 0) != 0 ||
      stat("/proc/self/ns/user", &ours) != 0) {
    return NAMESPACE_UNKNOWN;
  }
  bool is_ours = theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
  return is_ours ? NAMESPACE_OURS : NAMESPACE_ANOTHER;
}

/* Its capabilities, as far as they count here. */
static uint64_t capabilities_of(user_namespace which, const char *status) {
  return which == NAMESPACE_OURS ? nbuf_linux_number(nbuf_linux_field(status, "CapEff"), 0, 16) : 0;
}

/* By which id the process knows a user that we know by another one. Lines of a map hold the first
 * id inside, the first one outside, and how many they are. */
static uint64_t user_inside(const nearbuf_process *process, user_namespace which, uint64_t user) {
  char map[4096];
  if (which != NAMESPACE_ANOTHER ||
      nbuf_linux_read_text(process, "uid_map", map, sizeof map) != 0) {
    return user;
  }
  for (const char *line = map; line != NULL && *line != '\0';) {
    uint64_t outside = nbuf_linux_number(line, 1, 10);
    if (user >= outside && user - outside < nbuf_linux_number(line, 2, 10)) {
      return nbuf_linux_number(line, 0, 10) + (user - outside);
    }
    line = strchr(line, '\n');
    line = line == NULL ? NULL : line + 1;
  }
  return user;
}

/* As nbuf_posix_is_privileged, as far as it can be determined from here: the entry of a process
 * that is not dumpable belongs to root, and so does that of a first thread that has ended, which
 * has no memory. */
static bool is_privileged(const nearbuf_process *process, const char *status, uint64_t user) {
  const char *users = nbuf_linux_field(status, "Uid");
  const char *groups = nbuf_linux_field(status, "Gid");
  for (uint32_t i = 1; i < 4; i++) {
    if (nbuf_linux_number(users, i, 10) != nbuf_linux_number(users, 0, 10) ||
        nbuf_linux_number(groups, i, 10) != nbuf_linux_number(groups, 0, 10)) {
      return true;
    }
  }
  struct stat entry;
  return nbuf_linux_field(status, "VmSize") != NULL &&
         fstatat(nbuf_linux_directory(process), "maps", &entry, 0) == 0 && entry.st_uid != user;
}

static nbuf_result identify(const nearbuf_process *process, identity *who) {
  char status[NBUF_LINUX_STATUS_SIZE];
  int error = nbuf_linux_read_text(process, "status", status, sizeof status);
  if (error != 0) {
    return nbuf_linux_result(process, error);
  }
  uint32_t depth;
  who->own_id = nbuf_linux_own_id(status, &depth);
  who->is_elsewhere = depth > 1;
  who->user.owner =
      nbuf_linux_number(nbuf_linux_field(status, "Uid"), 3, 10); /* of the file system */
  user_namespace which = user_namespace_of(process);
  who->user.named = user_inside(process, which, who->user.owner);
  who->is_privileged = is_privileged(process, status, who->user.owner);
  who->group = nbuf_linux_number(nbuf_linux_field(status, "Gid"), 3, 10);
  who->rights = (nbuf_rights){who->user.owner, who->group, capabilities_of(which, status)};
  struct stat namespace;
  who->has_namespace = fstatat(nbuf_linux_directory(process), "ns/pid", &namespace, 0) == 0;
  who->namespace = who->has_namespace ? namespace.st_ino : 0;
  if (!who->has_namespace && !who->is_elsewhere) {
    who->has_namespace = nbuf_posix_namespace(&who->namespace); /* hidden, but of our own user */
  }
  return nbuf_result_of(NEARBUF_OK);
}

/* The names of its first locator, the usual one first. */
static int names_of(const identity *who, nbuf_name names[2]) {
  names[0] = nbuf_name_of_process(who->own_id);
  names[1] = nbuf_name_in_namespace_number(who->own_id, who->namespace);
  return who->has_namespace ? 2 : 1;
}

static int open_root(const nearbuf_process *process) {
  return nbuf_linux_open(process, "root", O_PATH | O_DIRECTORY);
}

static int open_temporary(int root, uint64_t resolve) {
  open_how_2 how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = resolve};
  int temporary = (int)syscall(SYS_openat2, root, "tmp", &how, sizeof how);
  if (temporary < 0 && errno == ENOSYS) {
    temporary = openat(root, "tmp", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  }
  return temporary;
}

typedef struct directory_call {
  int root;
  nbuf_folder folder;
  nbuf_user user;
  int directory; /* out */
} directory_call;

static nbuf_result open_folder(int temporary, const directory_call *call, bool make,
                               int *directory) {
  nbuf_result result =
      nbuf_directory_open_below(temporary, call->folder, call->user, make, directory);
  close(temporary);
  return result;
}

/* The process may have put links to other places there: no link is followed. */
static nbuf_result make_directory_there(void *context) {
  directory_call *call = context;
  int temporary = open_temporary(call->root, RESOLVE_NOTHING);
  return temporary < 0
             ? nbuf_result_system(
                   nbuf_posix_is_lack(errno) ? NEARBUF_OUT_OF_MEMORY : NEARBUF_SYSTEM_ERROR, errno)
             : open_folder(temporary, call, true, &call->directory);
}

/* A directory of its locators' files as the process sees it. */
static nbuf_result open_directory(const nearbuf_process *process, const identity *who,
                                  nbuf_folder folder, bool make, int *directory) {
  *directory = -1;
  int root = open_root(process);
  directory_call call = {root, folder, who->user, -1};
  if (root < 0) {
    return nbuf_linux_result(process, errno);
  }
  nbuf_result result;
  if (make) {
    result = nbuf_rights_run(&who->rights, make_directory_there, &call, sizeof call);
    *directory = call.directory;
  } else {
    /* Links on the path are resolved as for the process. */
    int temporary = open_temporary(root, RESOLVE_INSIDE);
    result = temporary < 0 ? nbuf_linux_result(process, errno)
                           : open_folder(temporary, &call, false, directory);
  }
  close(root);
  return result;
}

/* ---- One file -------------------------------------------------------------------------------- */

/* Opens a file that could be a locator of that user. It is checked before it is opened: any user
 * who can write to the directory could have put a link, a pipe or a device there. */
static int open_trusted(int directory, const char *name, uint64_t user) {
  int place = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (place < 0) {
    return -1;
  }
  struct stat status;
  int file = -1;
  int error = EPERM;
  if (fstat(place, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == user &&
      (status.st_mode & S_IWOTH) == 0 && status.st_size >= NBUF_LOCATOR_SIZE) {
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
static nbuf_result result_of_opening(int error) {
  if (error == EWOULDBLOCK) {
    return nbuf_result_system(NEARBUF_BUSY, error);
  }
  return nbuf_result_system(nbuf_posix_is_lack(error) ? NEARBUF_OUT_OF_MEMORY : NEARBUF_DENIED,
                            error);
}

static bool holds_address(const nbuf_remote_mapping *mapping, const void *context) {
  uint64_t address = *(const uint64_t *)context;
  return mapping->info.min <= address && address <= mapping->info.max;
}

/* The mapping of the process at an address. */
static nbuf_result find_at(const nearbuf_process *process, uint64_t address,
                           nbuf_remote_mapping *mapping) {
  return nbuf_linux_find_mapping(process, holds_address, &address, mapping);
}

/* Behind the end of a file a store is a SIGBUS. */
static bool is_as_long(int file, uint64_t size) {
  struct stat status;
  return fstat(file, &status) == 0 && (uint64_t)status.st_size >= size;
}

/* Maps the page of a file that the process has mapped at `theirs`, if it is that file. */
static nbuf_result map_page(int file, const nbuf_remote_mapping *theirs, uint64_t address,
                            nbuf_remote_view *view) {
  size_t page = nbuf_os_page_size();
  uint64_t start = address & ~(uint64_t)(page - 1);
  uint64_t offset = theirs->info.file_offset + (start - theirs->info.min);
  if (!is_as_long(file, offset + page)) {
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

void nbuf_remote_view_close(nbuf_remote_view *view) {
  if (view->base != 0) {
    (void)munmap((void *)view->page, view->size);
    *view = (nbuf_remote_view){0, 0, 0};
  }
}

/* The same where it is not known to be that file: our own map tells. */
static nbuf_result map_same(int file, const nbuf_remote_mapping *theirs, uint64_t address,
                            nbuf_remote_view *view) {
  nbuf_result result = map_page(file, theirs, address, view);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  nbuf_remote_mapping ours = {0};
  result = find_at(NULL, view->page, &ours);
  bool is_same = result.status == NEARBUF_OK && ours.device == theirs->device &&
                 ours.inode == theirs->inode && ours.inode != 0;
  if (!is_same) {
    nbuf_remote_view_close(view);
    return result.status == NEARBUF_OK ? nbuf_result_of(NEARBUF_DENIED) : result;
  }
  return result;
}

static uint64_t address_in(const unsigned char *image, uint32_t bits) {
  return nbuf_shared_address_relaxed((uintptr_t)image, bits == 64 ? 8 : 4);
}

static bool is_locator_mapping(const nbuf_remote_mapping *mapping) {
  return mapping->info.is_shared && mapping->info.is_readable && mapping->info.is_writable;
}

/* ---- The first locator ----------------------------------------------------------------------- */

/* Whether an open file is the first locator of the process, by the address in its header. */
static nbuf_result examine(const nearbuf_process *process, int file, uint64_t *address,
                           nbuf_remote_mapping *theirs) {
  _Alignas(8) unsigned char header[8] = {0};
  if (pread(file, header, sizeof header, 0) != (ssize_t)sizeof header) {
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  *address = address_in(header, process->address_bits);
  nbuf_result result = find_at(process, *address, theirs);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  if (!is_locator_mapping(theirs) || theirs->info.min != *address ||
      theirs->info.file_offset != 0) {
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  /* Only for comparison, so it need not be writable; see posix/pages.c. */
  void *mapped = mmap(NULL, nbuf_os_page_size(), PROT_READ, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) {
    return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, errno);
  }
  nbuf_remote_mapping ours = {0};
  result = find_at(NULL, (uintptr_t)mapped, &ours);
  (void)munmap(mapped, nbuf_os_page_size());
  bool is_same =
      result.status == NEARBUF_OK && ours.device == theirs->device && ours.inode == theirs->inode;
  return is_same || result.status != NEARBUF_OK ? result : nbuf_result_of(NEARBUF_NOT_FOUND);
}

/* Holds the file of a locator open for the next view, or closes it. Its number cannot become
 * another file's meanwhile. */
static void keep_file(nearbuf_process *process, const nbuf_remote_mapping *theirs, uint64_t address,
                      int file) {
  struct stat status;
  if (process->handles[NBUF_LINUX_LOCATOR_FILE] != 0 || fstat(file, &status) != 0) {
    close(file);
    return;
  }
  process->handles[NBUF_LINUX_LOCATOR_FILE] = file + 1;
  process->reserved[NBUF_KEPT_VIEWED] = address;
  process->reserved[NBUF_KEPT_DEVICE] = theirs->device;
  process->reserved[NBUF_KEPT_INODE] = theirs->inode;
  process->reserved[NBUF_KEPT_FILE_USER] = status.st_uid;
}

/* Looks under the names of the process in an open directory. */
static nbuf_result find_in_directory(nearbuf_process *process, int directory, const identity *who,
                                     uint64_t *address, nearbuf_dialect *dialect_if_empty) {
  nbuf_name names[2];
  int count = names_of(who, names);
  nbuf_result result = nbuf_result_of(NEARBUF_NOT_FOUND);
  for (int i = 0; i < count && result.status == NEARBUF_NOT_FOUND; i++) {
    int file = open_trusted(directory, names[i].text, who->user.owner);
    if (file >= 0) {
      struct stat status;
      bool is_rust = fstat(file, &status) == 0 && (status.st_mode & S_IXUSR) != 0;
      *dialect_if_empty = is_rust ? NEARBUF_DIALECT_RUST : NEARBUF_DIALECT_DOTNET;
      nbuf_remote_mapping theirs = {0};
      result = examine(process, file, address, &theirs);
      if (result.status == NEARBUF_OK) {
        keep_file(process, &theirs, *address, file);
      } else {
        close(file);
      }
    }
  }
  return result;
}

/* What a directory that cannot be opened holds is not known to be nothing, but no reason not to
 * look in the other one. */
static nbuf_result find_by_name(nearbuf_process *process, const identity *who, uint64_t *address,
                                nearbuf_dialect *dialect_if_empty) {
  nbuf_result first = nbuf_result_of(NEARBUF_NOT_FOUND);
  for (int folder = 0; folder < NBUF_FOLDERS; folder++) {
    int directory;
    nbuf_result result = open_directory(process, who, (nbuf_folder)folder, false, &directory);
    if (result.status == NEARBUF_OK) {
      result = find_in_directory(process, directory, who, address, dialect_if_empty);
      close(directory);
    }
    if (result.status == NEARBUF_OK) {
      return result;
    }
    first = folder == 0 ? result : first;
  }
  return first;
}

static bool read_exactly(int memory, uint64_t address, void *bytes, size_t size) {
  return pread64(memory, bytes, size, (off64_t)address) == (ssize_t)size;
}

/* The word of the anchor at a place; 0: there is none, or it does not belong to this process. */
static uint64_t read_anchor(int memory, const identity *who, uint64_t place, uint32_t width) {
  uint32_t mark = 0;
  uint32_t known_tight = 0;
  uint64_t wide = 0;
  uint32_t owner = 0;
  uint64_t word = place + nbuf_os_page_size();
  bool is_anchor =
      read_exactly(memory, place, &mark, sizeof mark) &&
      (mark == NBUF_ANCHOR_WIPED || mark == NBUF_ANCHOR_INHERITED || mark == NBUF_ANCHOR_ABSENT) &&
      (width == 4 ? read_exactly(memory, word, &known_tight, 4)
                  : read_exactly(memory, word, &wide, 8)) &&
      read_exactly(memory, word + width, &owner, sizeof owner);
  bool is_theirs = mark != NBUF_ANCHOR_INHERITED || owner == (uint32_t)who->own_id;
  return is_anchor && is_theirs ? known_tight | wide : 0;
}

/* By the anchor (posix/anchor.h), by which the copies of the library in the process agree on the
 * first locator, whatever happened to its name. */
static nbuf_result find_by_anchor(const nearbuf_process *process, const identity *who,
                                  uint64_t *address, nearbuf_dialect *dialect_if_empty) {
  uint32_t width = process->address_bits / 8;
  int memory = width == 0 ? -1 : nbuf_linux_open(process, "mem", O_RDONLY);
  uint64_t word = 0;
  uint64_t place;
  for (uint32_t i = 0; memory >= 0 && word == 0 && (place = nbuf_anchor_place(width, i)) != 0;
       i++) {
    word = read_anchor(memory, who, place, width);
  }
  if (memory >= 0) {
    close(memory);
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
  uint64_t named = address_in(header, process->address_bits);
  if (named != *address && named != 0 && find_at(process, *address, &here).status == NEARBUF_OK &&
      find_at(process, named, &there).status == NEARBUF_OK && is_locator_mapping(&there) &&
      there.info.min == named && there.info.file_offset == here.info.file_offset &&
      there.device == here.device && there.inode == here.inode && here.inode != 0) {
    *address = named;
  }
}

typedef struct map_search {
  const nearbuf_process *process;
  const identity *who;
  nbuf_path temporary; /* where its /tmp is in the map that we see */
  nbuf_result *unread; /* why a candidate could not be read */
} map_search;

static nbuf_path path_of_temporary(const nearbuf_process *process) {
  int root = open_root(process);
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
    if (find_at(process, place, &there).status != NEARBUF_OK) {
      return false;
    }
  }
  return true;
}

/* How far a name in the map is trusted; see posix/pages.c. */
static bool is_believed(const nbuf_remote_mapping *mapping, const map_search *search) {
  nbuf_origin origin = nbuf_path_origin(mapping->info.name, sizeof mapping->info.name,
                                        search->who->own_id, search->who->user, &search->temporary);
  return origin == NBUF_ORIGIN_DIRECTORY ||
         (origin == NBUF_ORIGIN_MEMORY && are_anchors_places_taken(search->process));
}

static bool is_first_locator(const nbuf_remote_mapping *mapping, const void *context) {
  const map_search *search = context;
  _Alignas(8) unsigned char header[8] = {0};
  size_t done;
  if (!is_locator_mapping(mapping) || mapping->info.file_offset != 0 ||
      !is_believed(mapping, search)) {
    return false;
  }
  nbuf_result result =
      nbuf_remote_read(search->process, mapping->info.min, header, sizeof header, &done);
  if (result.status != NEARBUF_OK && result.status != NEARBUF_NOT_MAPPED) {
    *search->unread = result;
  }
  return result.status == NEARBUF_OK &&
         address_in(header, search->process->address_bits) == mapping->info.min;
}

/* Opens a file that a process which hides its memory has in use, as the file's lock shows. */
static int open_in_use(int directory, const char *name, const identity *who) {
  int file = open_trusted(directory, name, who->user.owner);
  if (file >= 0 && flock(file, LOCK_EX | LOCK_NB) == 0) {
    close(file);
    file = -1;
  }
  return file;
}

/* Opens the first locator of a hidden process under one of its names, in a directory of our own
 * root. The names of its user inside are unknown then: they are assumed to be ours. */
static int open_first_of_hidden(const identity *who) {
  nbuf_name names[2];
  int count = names_of(who, names);
  int file = -1;
  for (int folder = 0; !who->is_elsewhere && folder < NBUF_FOLDERS && file < 0; folder++) {
    int directory = -1;
    if (nbuf_directory_open((nbuf_folder)folder, false, &directory).status != NEARBUF_OK) {
      continue;
    }
    for (int i = 0; i < count && file < 0; i++) {
      file = open_in_use(directory, names[i].text, who);
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
  return count == (ssize_t)sizeof header ? address_in(header, sizeof(uintptr_t) * 8) : 0;
}

static nbuf_result find_hidden(const identity *who, uint64_t *address,
                               nearbuf_dialect *dialect_if_empty) {
  int file = open_first_of_hidden(who);
  if (file < 0) {
    return nbuf_result_system(NEARBUF_DENIED, EPERM);
  }
  *address = header_address(file);
  *dialect_if_empty = NEARBUF_DIALECT_DOTNET;
  close(file);
  return nbuf_result_of(*address != 0 ? NEARBUF_OK : NEARBUF_NOT_FOUND);
}

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
         owner == process->reserved[NBUF_KEPT_OWNER] && nbuf_linux_runs_noted_program(process) &&
         nbuf_remote_read(process, *address, header, process->address_bits / 8, &done).status ==
             NEARBUF_OK &&
         address_in(header, process->address_bits) == *address;
}

static void keep_first(nearbuf_process *process, uint64_t address,
                       nearbuf_dialect dialect_if_empty) {
  uint64_t owner;
  if (nbuf_linux_owner(process, &owner)) {
    process->reserved[NBUF_KEPT_FIRST] = address;
    process->reserved[NBUF_KEPT_DIALECT] = dialect_if_empty;
    process->reserved[NBUF_KEPT_OWNER] = owner;
  }
}

static nbuf_result find_first_locator(nearbuf_process *process, uint64_t *address,
                                      nearbuf_dialect *dialect_if_empty) {
  identity who = {0};
  nbuf_result result = identify(process, &who);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  result = find_by_anchor(process, &who, address, dialect_if_empty);
  if (result.status == NEARBUF_OK) {
    follow_other_name(process, address);
  } else {
    result = find_by_name(process, &who, address, dialect_if_empty);
  }
  if (result.status == NEARBUF_OK) {
    return result;
  }
  if (result.status == NEARBUF_DENIED && process->address_bits == 0) {
    return find_hidden(&who, address, dialect_if_empty);
  }
  nbuf_result unread = nbuf_result_of(NEARBUF_OK);
  map_search search = {process, &who, path_of_temporary(process), &unread};
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
    keep_first(process, *address, *dialect_if_empty);
  }
  return result;
}

/* ---- Images and views ------------------------------------------------------------------------ */

typedef struct later_search {
  const identity *who;
  int directory;
  uint64_t address;
  int file; /* out; -1: not found */
} later_search;

static bool visit_later(const char *name, void *context) {
  later_search *search = context;
  if (nbuf_name_process(name) != search->who->own_id || !nbuf_name_is_of_later(name)) {
    return true;
  }
  int file = open_in_use(search->directory, name, search->who);
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
  identity who = {0};
  int first = identify(process, &who).status == NEARBUF_OK ? open_first_of_hidden(&who) : -1;
  if (first < 0 || header_address(first) == address) {
    return first;
  }
  close(first);
  later_search search = {&who, -1, address, -1};
  for (int folder = 0; folder < NBUF_FOLDERS && search.file < 0; folder++) {
    if (nbuf_directory_open((nbuf_folder)folder, false, &search.directory).status == NEARBUF_OK) {
      (void)nbuf_linux_visit(search.directory, visit_later, &search);
      close(search.directory);
    }
  }
  return search.file;
}

nbuf_result nbuf_remote_image(const nearbuf_process *process, uint64_t address,
                              unsigned char image[NBUF_LOCATOR_SIZE]) {
  size_t done;
  nbuf_result result = nbuf_remote_read(process, address, image, NBUF_LOCATOR_SIZE, &done);
  if (result.status != NEARBUF_DENIED || process->address_bits != 0) {
    return result;
  }
  int file = open_hidden_at(process, address);
  if (file >= 0) {
    ssize_t count = pread(file, image, NBUF_LOCATOR_SIZE, 0);
    result = nbuf_result_of(count == NBUF_LOCATOR_SIZE ? NEARBUF_OK : NEARBUF_NOT_MAPPED);
    close(file);
  }
  return result;
}

/* Maps the locator of a hidden process, by the address in its header. */
static nbuf_result view_hidden(const nearbuf_process *process, uint64_t address,
                               nbuf_remote_view *view) {
  int file = open_hidden_at(process, address);
  if (file < 0) {
    return nbuf_result_system(NEARBUF_DENIED, EPERM);
  }
  size_t page = nbuf_os_page_size();
  if (header_address(file) != address || !is_as_long(file, page)) {
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
static int names_of_mapping(const identity *who, const nbuf_remote_mapping *theirs,
                            nbuf_name names[3]) {
  int count = name_at_end(theirs->info.name, &names[0]) ? 1 : 0;
  return count == 0 ? 0 : count + names_of(who, &names[1]);
}

/* The file that is held open, if it is the one that the process has mapped there and can be
 * trusted as when it was opened; else -1. */
static int find_kept_file(const nearbuf_process *process, const nbuf_remote_mapping *theirs,
                          uint64_t address) {
  int file = (int)process->handles[NBUF_LINUX_LOCATOR_FILE] - 1;
  struct stat status;
  uint64_t owner;
  bool is_it = file >= 0 && process->reserved[NBUF_KEPT_VIEWED] == address &&
               process->reserved[NBUF_KEPT_DEVICE] == theirs->device &&
               process->reserved[NBUF_KEPT_INODE] == theirs->inode &&
               nbuf_linux_owner(process, &owner) && owner == process->reserved[NBUF_KEPT_OWNER] &&
               fstat(file, &status) == 0 && (status.st_mode & S_IWOTH) == 0 &&
               status.st_uid == process->reserved[NBUF_KEPT_FILE_USER];
  return is_it ? file : -1;
}

/* By its name in a directory of the process. Whatever is found there is proved to be what is
 * mapped. */
static nbuf_result view_in(nearbuf_process *process, int directory, const identity *who,
                           const nbuf_remote_mapping *theirs, uint64_t address,
                           nbuf_remote_view *view) {
  nbuf_name names[3];
  int count = names_of_mapping(who, theirs, names);
  nbuf_result result = nbuf_result_of(NEARBUF_DENIED);
  for (int i = 0; i < count && result.status == NEARBUF_DENIED; i++) {
    int file = open_trusted(directory, names[i].text, who->user.owner);
    result = file < 0 ? result_of_opening(errno) : map_same(file, theirs, address, view);
    if (result.status == NEARBUF_OK) {
      keep_file(process, theirs, address, file);
    } else if (file >= 0) {
      close(file);
    }
  }
  return result;
}

static nbuf_result view_by_name(nearbuf_process *process, const nbuf_remote_mapping *theirs,
                                uint64_t address, nbuf_remote_view *view) {
  identity who = {0};
  nbuf_result result = identify(process, &who);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  nbuf_result first = result;
  for (int folder = 0; folder < NBUF_FOLDERS; folder++) {
    int directory;
    result = open_directory(process, &who, (nbuf_folder)folder, false, &directory);
    if (result.status == NEARBUF_OK) {
      result = view_in(process, directory, &who, theirs, address, view);
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
    return alive.status == NEARBUF_OK ? result_of_opening(error) : alive;
  }
  nbuf_result result = map_same(file, theirs, address, view);
  close(file);
  return result;
}

nbuf_result nbuf_remote_view_open(nearbuf_process *process, uint64_t address,
                                  nbuf_remote_view *view) {
  *view = (nbuf_remote_view){0, 0, 0};
  if (process->address_bits == 0) {
    return view_hidden(process, address, view);
  }
  nbuf_remote_mapping theirs = {0};
  nbuf_result result = find_at(process, address, &theirs);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  if (!is_locator_mapping(&theirs)) {
    return nbuf_result_of(NEARBUF_DENIED); /* another implementation's later locator, on its heap */
  }
  int kept = find_kept_file(process, &theirs, address);
  if (kept >= 0) {
    return map_page(kept, &theirs, address, view);
  }
  result = view_by_name(process, &theirs, address, view);
  bool is_attached = result.status == NEARBUF_OK || result.status == NEARBUF_BUSY;
  return is_attached ? result : view_by_map(process, &theirs, address, view);
}

/* ---- Making a page in it --------------------------------------------------------------------- */

/* The data of the script; `path` is a copy in the process. */
typedef struct page_call {
  uint64_t path;
  uint64_t size;
  uint64_t address;      /* out */
  nbuf_result of_folder; /* out: the error of the process if it may not open its own file */
} page_call;

static nbuf_result result_of_call(int64_t returned) {
  return returned < 0 && returned > -4096
             ? nbuf_result_system(nbuf_posix_is_lack((int)-returned) ? NEARBUF_OUT_OF_MEMORY
                                                                     : NEARBUF_DENIED,
                                  (int32_t)-returned)
             : nbuf_result_of(NEARBUF_OK);
}

/* Makes a locator as posix/files.c does in its own process: open, map, lock, close; the mapping
 * keeps the lock. It is kept out of children. */
static nbuf_result page_script(nbuf_trace *trace, void *context) {
  page_call *page = context;
  const nbuf_result gone = nbuf_result_system(NEARBUF_NOT_FOUND, ESRCH);
  const uint64_t here = (uint64_t)AT_FDCWD;
  const uint64_t opening[6] = {here, page->path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC};
  int64_t file;
  int64_t base;
  int64_t ignored;
  if (!nbuf_trace_syscall(trace, NBUF_TRACE_OPENAT, opening, &file)) {
    return gone;
  }
  if (file == -ENOENT) {
    return nbuf_result_of(NEARBUF_BUSY); /* a clean-up removed it before it was locked */
  }
  if (file < 0) {
    page->of_folder = result_of_call(file);
    return page->of_folder;
  }
  const uint64_t mapping[6] = {0,          page->size,     PROT_READ | PROT_WRITE,
                               MAP_SHARED, (uint64_t)file, 0};
  if (!nbuf_trace_syscall(trace, NBUF_TRACE_MMAP, mapping, &base)) {
    return gone;
  }
  nbuf_result result = result_of_call(base);
  if (result.status == NEARBUF_OK) {
    page->address = (uint64_t)base;
    const uint64_t advice[6] = {page->address, page->size, MADV_DONTFORK};
    const uint64_t locking[6] = {(uint64_t)file, LOCK_SH | LOCK_NB};
    (void)nbuf_trace_syscall(trace, NBUF_TRACE_MADVISE, advice, &ignored);
    (void)nbuf_trace_syscall(trace, NBUF_TRACE_FLOCK, locking, &ignored);
  }
  const uint64_t closing[6] = {(uint64_t)file};
  return nbuf_trace_syscall(trace, NBUF_TRACE_CLOSE, closing, &ignored) ? result : gone;
}

typedef struct file_call {
  int directory;
  const identity *who;
  const nbuf_initial_items *initial;
  nbuf_name name; /* out */
  int file;       /* out */
} file_call;

/* 0 or an errno value. */
static int fill_file(const file_call *call) {
  /* Our lock, until the process has its own: a process that cleans up in a namespace where this
   * process does not exist would take a file without a lock for a dead one's. */
  int error = flock(call->file, LOCK_SH | LOCK_NB) == 0 ? 0 : errno;
  nbuf_posix_avoid_copy_on_write(call->file);
  error = error == 0 ? nbuf_file_fill(call->file, call->initial) : error;
  struct stat status;
  bool is_theirs = fstat(call->file, &status) == 0 && status.st_uid == call->who->user.owner;
  return error == 0 && !is_theirs ? EPERM : error;
}

static nbuf_result make_file_there(void *context) {
  file_call *call = context;
  call->name = nbuf_name_temporary(call->who->own_id);
  call->file = openat(call->directory, call->name.text,
                      O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (call->file < 0) {
    return result_of_opening(errno);
  }
  int error = fill_file(call);
  if (error == 0) {
    return nbuf_result_of(NEARBUF_OK);
  }
  (void)unlinkat(call->directory, call->name.text, 0);
  close(call->file);
  call->file = -1;
  return nbuf_result_system(error == EPERM         ? NEARBUF_DENIED
                            : error == EWOULDBLOCK ? NEARBUF_BUSY
                                                   : NEARBUF_SYSTEM_ERROR,
                            error);
}

/* Makes a complete file that no other process can see yet, as the process would make it. */
static nbuf_result make_file(int directory, const identity *who, const nbuf_layout *layout,
                             const nbuf_item *item, uint32_t slot, nbuf_new_file *made, int *file) {
  nbuf_item items[NBUF_FIRST_SLOT + 1] = {{0}};
  items[slot] = *item;
  nbuf_initial_items initial = {layout, items, slot + 1};
  *file = -1;
  if (!nbuf_file_is_allowed()) {
    return nbuf_result_system(NEARBUF_SYSTEM_ERROR, EFBIG);
  }
  file_call call = {directory, who, &initial, {""}, -1};
  nbuf_result result = nbuf_rights_run(&who->rights, make_file_there, &call, sizeof call);
  made->temporary = call.name;
  *file = call.file;
  return result;
}

/* Changes of names, with the rights of the process as well. */
typedef enum name_change { NAME_PUBLISH, NAME_REPLACE, NAME_REMOVE } name_change;

typedef struct name_call {
  int directory;
  name_change change;
  const nbuf_new_file *made; /* null: the name is removed */
  const char *name;
  int error; /* out */
} name_call;

static nbuf_result change_name_there(void *context) {
  name_call *call = context;
  switch (call->change) {
  case NAME_PUBLISH:
    call->error = nbuf_file_publish(call->directory, call->made, call->name);
    break;
  case NAME_REPLACE:
    call->error = nbuf_file_replace(call->directory, call->made, call->name);
    break;
  default:
    call->error = unlinkat(call->directory, call->name, 0) == 0 ? 0 : errno;
    break;
  }
  return nbuf_result_of(NEARBUF_OK);
}

/* 0 or an errno value. */
static int change_name(int directory, const identity *who, name_change change,
                       const nbuf_new_file *made, const char *name) {
  name_call call = {directory, change, made, name, 0};
  nbuf_result result = nbuf_rights_run(&who->rights, change_name_there, &call, sizeof call);
  return result.status == NEARBUF_OK ? call.error
         : result.system_error != 0  ? result.system_error
                                     : EAGAIN;
}

/* Lets the process map the file. Its path is put into the new buffer for that long. */
static nbuf_result map_there(nearbuf_process *process, const nbuf_item *item,
                             const nbuf_name *directory, const nbuf_new_file *made,
                             page_call *page) {
  char path[sizeof directory->text + sizeof made->temporary.text];
  int written = snprintf(path, sizeof path, "%s/%s", directory->text, made->temporary.text);
  size_t length = (size_t)written + 1;
  intptr_t memory;
  nbuf_result result = nbuf_remote_memory_open(process, &memory);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  result = nbuf_remote_memory_write(memory, item->base, path, length);
  if (result.status == NEARBUF_OK) {
    *page = (page_call){.path = item->base, .size = nbuf_os_page_size()};
    result = nbuf_linux_run(process, page_script, page);
    memset(path, 0, sizeof path);
    (void)nbuf_remote_memory_write(memory, item->base, path, length);
  }
  nbuf_remote_memory_close(memory);
  /* It unmapped what was just made for it. */
  return result.status == NEARBUF_NOT_MAPPED ? nbuf_result_of(NEARBUF_BUSY) : result;
}

/* Whether the process itself has another first locator. */
static bool has_another_first(const nearbuf_process *process, const identity *who,
                              uint64_t address) {
  uint64_t theirs;
  nearbuf_dialect ignored;
  return find_by_anchor(process, who, &theirs, &ignored).status == NEARBUF_OK && theirs != address;
}

/* Withdraws a published first locator: its name and its address are removed. The page stays mapped,
 * since a copy of the library in the process may just be reading it. */
static void withdraw(int directory, const identity *who, const char *name, int file,
                     uint64_t *address) {
  static const unsigned char none[8];
  (void)change_name(directory, who, NAME_REMOVE, NULL, name);
  (void)!pwrite(file, none, sizeof none, 0); /* nothing more can be done about it */
  *address = 0;
}

static bool is_of_same_file(const nbuf_remote_mapping *mapping, const void *context) {
  const nbuf_remote_mapping *of_file = context;
  return mapping->info.is_shared && mapping->device == of_file->device &&
         mapping->inode == of_file->inode;
}

/* Also true if the map of the process cannot be read: then it is unknown. */
static bool is_mapped_there(const nearbuf_process *process, int file) {
  void *fresh = mmap(NULL, nbuf_os_page_size(), PROT_READ, MAP_SHARED, file, 0);
  if (fresh == MAP_FAILED) {
    return true;
  }
  nbuf_remote_mapping ours = {0};
  nbuf_remote_mapping theirs;
  bool is_known = find_at(NULL, (uintptr_t)fresh, &ours).status == NEARBUF_OK;
  bool is_absent =
      is_known &&
      nbuf_linux_find_mapping(process, is_of_same_file, &ours, &theirs).status == NEARBUF_NOT_FOUND;
  (void)munmap(fresh, nbuf_os_page_size());
  return !is_absent;
}

static bool is_blank(int file, struct stat *status) {
  uint64_t address = 0;
  return fstat(file, status) == 0 &&
         pread(file, &address, sizeof address, 0) == (ssize_t)sizeof address && address == 0;
}

/* A file under a name of the process without an address, which the process has mapped, is just
 * being made by another implementation in it, whatever its age (see posix/pages.c): that reads
 * every file in the directory first. Waits for it. True: it is not done at the end of the bound. */
static bool is_still_being_made(const nearbuf_process *process, int file) {
  struct stat status;
  uint64_t start = nbuf_os_nanoseconds();
  uint64_t waited = 0;
  while (is_blank(file, &status) &&
         ((nbuf_file_is_young(&status) && waited < NBUF_FILE_APPEARS_NS) ||
          is_mapped_there(process, file))) {
    if (waited > NBUF_WAIT_BOUND_NS) {
      return true;
    }
    nbuf_os_pause();
    waited = nbuf_os_nanoseconds() - start;
  }
  return false;
}

/* Gives the file the first of the process's names that no other process has. A copy of the library
 * in the process attaches to the file with that name; but it may just have made a private locator,
 * which its anchor shows, and then ours is withdrawn. `*address` becomes 0 if the page must
 * stay. */
static nbuf_result publish_first(const nearbuf_process *process, int directory, const identity *who,
                                 const nbuf_new_file *made, int made_file, uint64_t *address) {
  nbuf_name names[2];
  int count = names_of(who, names);
  int error = EEXIST;
  for (int i = 0; i < count && error == EEXIST; i++) {
    error = change_name(directory, who, NAME_PUBLISH, made, names[i].text);
    int file = error == EEXIST ? open_trusted(directory, names[i].text, who->user.owner) : -1;
    if (file >= 0) {
      uint64_t other = 0;
      nbuf_remote_mapping theirs = {0};
      bool is_theirs = is_still_being_made(process, file) ||
                       examine(process, file, &other, &theirs).status == NEARBUF_OK;
      if (!is_theirs && nbuf_file_lock_dead(directory, names[i].text, file)) {
        /* It belonged to a dead process. */
        error = change_name(directory, who, NAME_REPLACE, made, names[i].text);
      } else {
        is_theirs = is_theirs || other == 0; /* or is becoming so: a process has it open */
      }
      close(file);
      if (is_theirs) {
        return nbuf_result_of(NEARBUF_BUSY);
      }
    }
    if (error == 0 && has_another_first(process, who, *address)) {
      withdraw(directory, who, names[i].text, made_file, address);
      return nbuf_result_of(NEARBUF_BUSY);
    }
  }
  return error == 0 ? nbuf_result_of(NEARBUF_OK) : nbuf_result_system(NEARBUF_DENIED, error);
}

/* A later locator is found by its address in the one before it; see posix/files.h. */
static nbuf_name name_of_later(const identity *who, const nbuf_remote_page *page) {
  nbuf_name first = nbuf_name_of_process(who->own_id);
  return nbuf_name_of_later(&first, (uint32_t)page->handle);
}

static nbuf_result publish_later(int directory, const identity *who, const nbuf_new_file *made,
                                 const nbuf_remote_page *page) {
  nbuf_name name = name_of_later(who, page);
  int error = change_name(directory, who, NAME_PUBLISH, made, name.text);
  return error == 0 ? nbuf_result_of(NEARBUF_OK) : nbuf_result_system(NEARBUF_DENIED, error);
}

/* The parts of a page, in one of the directories of the process. */
typedef struct page_plan {
  nearbuf_process *process;
  const identity *who;
  const nbuf_layout *layout;
  const nbuf_item *item;
  bool is_first;
} page_plan;

/* Stores its own address in the mapped file, which no other process can see yet, and gives it its
 * name. */
static nbuf_result publish(const page_plan *plan, int directory, const nbuf_new_file *made,
                           int file, const nbuf_remote_page *page, uint64_t *address) {
  _Alignas(8) unsigned char header[8];
  const uint32_t width = plan->layout->width;
  nbuf_shared_address_store_release((uintptr_t)header, width, *address);
  if (pwrite(file, header, width, 0) != (ssize_t)width) {
    return nbuf_result_system(NEARBUF_SYSTEM_ERROR, errno);
  }
  return plan->is_first ? publish_first(plan->process, directory, plan->who, made, file, address)
                        : publish_later(directory, plan->who, made, page);
}

/* `*of_folder` is the failure that concerns the directory. */
static nbuf_result make_in(const page_plan *plan, nbuf_folder folder, nbuf_remote_page *page,
                           nbuf_result *of_folder) {
  nearbuf_process *process = plan->process;
  int directory;
  int file = -1;
  nbuf_new_file made = {0};
  page_call call = {0};
  nbuf_name path = nbuf_directory_path(folder, plan->who->user);
  *of_folder = open_directory(process, plan->who, folder, true, &directory);
  if (of_folder->status == NEARBUF_OK) {
    *of_folder =
        make_file(directory, plan->who, plan->layout, plan->item, page->slot, &made, &file);
  }
  nbuf_result result = *of_folder;
  if (result.status == NEARBUF_OK) {
    result = map_there(process, plan->item, &path, &made, &call);
    *of_folder = call.of_folder;
    if (result.status == NEARBUF_OK) {
      result = publish(plan, directory, &made, file, page, &call.address);
      *of_folder = result;
    }
    if (result.status != NEARBUF_OK) {
      (void)change_name(directory, plan->who, NAME_REMOVE, NULL, made.temporary.text);
      if (call.address != 0) {
        (void)nbuf_remote_free(process, call.address, call.size);
      }
    }
    close(file);
  }
  if (directory >= 0) {
    close(directory);
  }
  page->address = result.status == NEARBUF_OK ? call.address : 0;
  return result;
}

nbuf_result nbuf_remote_page_make(nearbuf_process *process, const nbuf_layout *layout,
                                  const nbuf_item *item, bool is_first, nbuf_remote_page *page) {
  *page = (nbuf_remote_page){.handle = (intptr_t)(nbuf_posix_random() & UINT32_MAX),
                             .slot = is_first ? NBUF_FIRST_SLOT : 0};
  identity who = {0};
  nbuf_result result = identify(process, &who);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  if (who.is_privileged) {
    return nbuf_result_system(NEARBUF_DENIED, EPERM);
  }
  page_plan plan = {process, &who, layout, item, is_first};
  nbuf_result of_folder;
  result = make_in(&plan, NBUF_FOLDER_SHARED, page, &of_folder);
  if (result.status != NEARBUF_OK && nbuf_directory_is_anothers(of_folder)) {
    nbuf_result second = make_in(&plan, NBUF_FOLDER_OF_USER, page, &of_folder);
    bool is_answer = of_folder.status == NEARBUF_OK || second.status == NEARBUF_BUSY;
    result = is_answer ? second : result;
  }
  if (result.status == NEARBUF_OK && is_first) {
    keep_first(process, page->address, (nearbuf_dialect)layout->dialect);
  }
  return result;
}

void nbuf_remote_page_discard(nearbuf_process *process, const nbuf_remote_page *page) {
  identity who = {0};
  if (identify(process, &who).status == NEARBUF_OK) {
    nbuf_name name = name_of_later(&who, page);
    for (int folder = 0; folder < NBUF_FOLDERS; folder++) {
      int directory;
      if (open_directory(process, &who, (nbuf_folder)folder, false, &directory).status ==
          NEARBUF_OK) {
        (void)change_name(directory, &who, NAME_REMOVE, NULL, name.text);
        close(directory);
      }
    }
  }
  (void)nbuf_remote_free(process, page->address, nbuf_os_page_size());
}

/* ---- Files ----------------------------------------------------------------------------------- */

typedef struct file_visit {
  int directory;
  nbuf_folder folder;
  nearbuf_file_visitor visit;
  void *context;
  bool is_cancelled;
} file_visit;

static nearbuf_file_state state_of(int directory, const char *name, int64_t process) {
  if (kill((pid_t)process, 0) == 0 || errno != ESRCH) {
    return NEARBUF_FILE_LIVE;
  }
  int file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  bool is_dead = file >= 0 && nbuf_file_is_dead(directory, name, file);
  if (file >= 0) {
    close(file);
  }
  return is_dead ? NEARBUF_FILE_STALE : NEARBUF_FILE_UNKNOWN;
}

static bool visit_file(const char *name, void *context) {
  file_visit *all = context;
  struct stat status;
  nearbuf_file file = {.process = nbuf_name_process(name)};
  size_t length = strlen(name);
  if (file.process < 0 || length >= sizeof file.name ||
      fstatat(all->directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return true;
  }
  memcpy(file.name, name, length + 1);
  file.is_later = nbuf_name_is_of_later(name);
  file.is_in_own_directory = all->folder == NBUF_FOLDER_OF_USER;
  file.user = status.st_uid;
  file.size_bytes = (uint64_t)status.st_size;
  file.state = state_of(all->directory, name, file.process);
  all->is_cancelled = all->visit(&file, all->context) < 0;
  return !all->is_cancelled;
}

/* OK also if there is no such directory. */
static nbuf_result visit_folder(file_visit *all) {
  nbuf_result result = nbuf_directory_open(all->folder, false, &all->directory);
  if (result.status != NEARBUF_OK) {
    return result.status == NEARBUF_NOT_FOUND ? nbuf_result_of(NEARBUF_OK) : result;
  }
  int error = nbuf_linux_visit(all->directory, visit_file, all);
  close(all->directory);
  if (all->is_cancelled) {
    return nbuf_result_of(NEARBUF_CANCELLED);
  }
  return error == 0 ? nbuf_result_of(NEARBUF_OK) : nbuf_result_system(NEARBUF_SYSTEM_ERROR, error);
}

/* If the shared directory belongs to another user, which is not a failure, it contains nothing of
 * ours. */
nbuf_result nbuf_remote_visit_files(nearbuf_file_visitor visit, void *context) {
  file_visit all = {.visit = visit, .context = context, .folder = NBUF_FOLDER_SHARED};
  nbuf_result result = visit_folder(&all);
  if (result.status == NEARBUF_OK || nbuf_directory_is_anothers(result)) {
    all.folder = NBUF_FOLDER_OF_USER;
    result = visit_folder(&all);
  }
  return result;
}

nbuf_result nbuf_remote_remove_file(const nearbuf_file *file) {
  int64_t process = nbuf_name_process(file->name);
  if (process < 0 || strchr(file->name, '/') != NULL) {
    return nbuf_result_of(NEARBUF_INVALID_ARGUMENT);
  }
  int directory = -1;
  nbuf_folder folder = file->is_in_own_directory != 0 ? NBUF_FOLDER_OF_USER : NBUF_FOLDER_SHARED;
  nbuf_result result = nbuf_directory_open(folder, false, &directory);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  int opened = openat(directory, file->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (opened < 0) {
    result = nbuf_result_system(errno == ENOENT ? NEARBUF_NOT_FOUND : NEARBUF_DENIED, errno);
  } else {
    bool is_absent = kill((pid_t)process, 0) != 0 && errno == ESRCH;
    /* The lock of a dead file is held from here until it is removed. */
    if (!is_absent || !nbuf_file_is_dead(directory, file->name, opened)) {
      result = nbuf_result_of(NEARBUF_BUSY);
    } else if (unlinkat(directory, file->name, 0) != 0) {
      result = nbuf_result_system(NEARBUF_DENIED, errno);
    }
    close(opened);
  }
  close(directory);
  return result;
}
