/* Linux: making the pages of locators in another process; see remote/port.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/os.h"
#include "os/posix/files.h"
#include "os/posix/posix.h"
#include "os/wait.h"
#include "remote/linux/first.h"
#include "remote/linux/locator_file.h"
#include "remote/linux/process.h"
#include "remote/linux/rights.h"

/* ---- In the process -------------------------------------------------------------------------- */

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

/* ---- The file -------------------------------------------------------------------------------- */

typedef struct file_call {
  int root; /* of the process */
  nbuf_folder folder;
  const nbuf_identity *identity;
  const nbuf_initial_items *initial;
  int directory;      /* out */
  nbuf_name name;     /* out */
  int file;           /* out */
  struct stat status; /* out */
} file_call;

/* 0 or an errno value. */
static int fill_file(file_call *call) {
  /* Our lock, until the process has its own: a process that cleans up in a namespace where this
   * process does not exist would take a file without a lock for a dead one's. */
  int error = flock(call->file, LOCK_SH | LOCK_NB) == 0 ? 0 : errno;
  nbuf_posix_avoid_copy_on_write(call->file);
  error = error == 0 ? nbuf_file_fill(call->file, call->initial) : error;
  bool is_theirs =
      fstat(call->file, &call->status) == 0 && call->status.st_uid == call->identity->user.owner;
  return error == 0 && !is_theirs ? EPERM : error;
}

static nbuf_result make_file_there(void *context) {
  file_call *call = context;
  nbuf_result result = nbuf_identity_make_directory(call->root, call->folder, call->identity->user,
                                                    &call->directory);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  call->name = nbuf_name_temporary(call->identity->own_id);
  call->file = openat(call->directory, call->name.text,
                      O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (call->file < 0) {
    return nbuf_locator_file_result(errno);
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

/* Makes a complete file that no other process can see yet, as the process would make it. The file
 * and its directory are in the call, open, or -1. */
static nbuf_result make_file(const nearbuf_process *process, file_call *call) {
  call->directory = call->file = -1;
  if (!nbuf_file_is_allowed()) {
    return nbuf_result_system(NEARBUF_SYSTEM_ERROR, EFBIG);
  }
  call->root = nbuf_identity_open_root(process);
  if (call->root < 0) {
    return nbuf_linux_result(process, errno);
  }
  nbuf_result result =
      nbuf_rights_run(&call->identity->rights, make_file_there, call, sizeof *call);
  close(call->root);
  return result;
}

/* ---- Names ----------------------------------------------------------------------------------- */

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
static int change_name(int directory, const nbuf_identity *identity, name_change change,
                       const nbuf_new_file *made, const char *name) {
  name_call call = {directory, change, made, name, 0};
  nbuf_result result = nbuf_rights_run(&identity->rights, change_name_there, &call, sizeof call);
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
  nbuf_linux_hold_memory(process, memory);
  /* It unmapped what was just made for it. */
  return result.status == NEARBUF_NOT_MAPPED ? nbuf_result_of(NEARBUF_BUSY) : result;
}

/* Whether the process itself has another first locator. */
static bool has_another_first(const nearbuf_process *process, const nbuf_identity *identity,
                              uint64_t address) {
  uint64_t theirs;
  nearbuf_dialect ignored;
  return nbuf_first_by_anchor(process, identity, &theirs, &ignored).status == NEARBUF_OK &&
         theirs != address;
}

/* Withdraws a published first locator: its name and its address are removed. The page stays mapped,
 * since a copy of the library in the process may just be reading it. */
static void withdraw(int directory, const nbuf_identity *identity, const char *name, int file,
                     uint64_t *address) {
  static const unsigned char none[8];
  (void)change_name(directory, identity, NAME_REMOVE, NULL, name);
  (void)!pwrite(file, none, sizeof none, 0); /* nothing more can be done about it */
  *address = 0;
}

/* ---- Publishing ------------------------------------------------------------------------------ */

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
  bool is_known = nbuf_linux_mapping_at(NULL, (uintptr_t)fresh, &ours).status == NEARBUF_OK;
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
 * being made by another implementation in it, whatever its age (posix/unfinished.h): that reads
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
static nbuf_result publish_first(const nearbuf_process *process, int directory,
                                 const nbuf_identity *identity, const nbuf_new_file *made,
                                 int made_file, uint64_t *address) {
  nbuf_name name;
  struct stat status;
  int error = EEXIST;
  for (int i = 0; error == EEXIST && nbuf_identity_name(process, identity, i, &name); i++) {
    error = change_name(directory, identity, NAME_PUBLISH, made, name.text);
    int file = error == EEXIST
                   ? nbuf_locator_file_open(directory, name.text, identity->user.owner, &status)
                   : -1;
    if (file >= 0) {
      uint64_t other = 0;
      nbuf_remote_mapping theirs = {0};
      bool is_theirs =
          is_still_being_made(process, file) ||
          nbuf_locator_file_examine(process, file, &status, &other, &theirs).status == NEARBUF_OK;
      if (!is_theirs && nbuf_file_lock_dead(directory, name.text, file)) {
        /* It belonged to a dead process. */
        error = change_name(directory, identity, NAME_REPLACE, made, name.text);
      } else {
        is_theirs = is_theirs || other == 0; /* or is becoming so: a process has it open */
      }
      close(file);
      if (is_theirs) {
        return nbuf_result_of(NEARBUF_BUSY);
      }
    }
    if (error == 0 && has_another_first(process, identity, *address)) {
      withdraw(directory, identity, name.text, made_file, address);
      return nbuf_result_of(NEARBUF_BUSY);
    }
  }
  return error == 0 ? nbuf_result_of(NEARBUF_OK) : nbuf_result_system(NEARBUF_DENIED, error);
}

/* A later locator is found by its address in the one before it; see posix/files.h. */
static nbuf_name name_of_later(const nbuf_identity *identity, const nbuf_remote_page *page) {
  nbuf_name first = nbuf_name_of_process(identity->own_id);
  return nbuf_name_of_later(&first, (uint32_t)page->handle);
}

static nbuf_result publish_later(int directory, const nbuf_identity *identity,
                                 const nbuf_new_file *made, const nbuf_remote_page *page) {
  nbuf_name name = name_of_later(identity, page);
  int error = change_name(directory, identity, NAME_PUBLISH, made, name.text);
  return error == 0 ? nbuf_result_of(NEARBUF_OK) : nbuf_result_system(NEARBUF_DENIED, error);
}

/* ---- A page ---------------------------------------------------------------------------------- */

/* The parts of a page, in one of the directories of the process. */
typedef struct page_plan {
  nearbuf_process *process;
  const nbuf_identity *identity;
  const nbuf_initial_items *initial;
  bool is_first;
} page_plan;

/* Stores its own address in the mapped file, which no other process can see yet, and gives it its
 * name. */
static nbuf_result publish(const page_plan *plan, int directory, const nbuf_new_file *made,
                           int file, const nbuf_remote_page *page, uint64_t *address) {
  _Alignas(8) unsigned char header[8];
  const uint32_t width = plan->initial->layout->width;
  nbuf_shared_address_store_release((uintptr_t)header, width, *address);
  if (pwrite(file, header, width, 0) != (ssize_t)width) {
    return nbuf_result_system(NEARBUF_SYSTEM_ERROR, errno);
  }
  return plan->is_first
             ? publish_first(plan->process, directory, plan->identity, made, file, address)
             : publish_later(directory, plan->identity, made, page);
}

/* The file is kept open for the view that comes next. Its lock is the process's own from now on. */
static void keep_file(nearbuf_process *process, uint64_t address, int file,
                      const struct stat *status) {
  nbuf_remote_mapping theirs = {.device = nbuf_locator_file_device(status),
                                .inode = status->st_ino};
  (void)flock(file, LOCK_UN);
  nbuf_locator_file_keep(process, &theirs, address, file, status);
}

/* `*of_folder` is the failure that concerns the directory. */
static nbuf_result make_in(const page_plan *plan, nbuf_folder folder, nbuf_remote_page *page,
                           nbuf_result *of_folder) {
  nearbuf_process *process = plan->process;
  file_call file = {.folder = folder, .identity = plan->identity, .initial = plan->initial};
  page_call call = {0};
  nbuf_name path = nbuf_directory_path(folder, plan->identity->user);
  *of_folder = make_file(process, &file);
  nbuf_result result = *of_folder;
  if (result.status == NEARBUF_OK) {
    const nbuf_new_file made = {.temporary = file.name};
    const nbuf_item *last = &plan->initial->items[plan->initial->count - 1];
    result = map_there(process, last, &path, &made, &call);
    *of_folder = call.of_folder;
    if (result.status == NEARBUF_OK) {
      result = publish(plan, file.directory, &made, file.file, page, &call.address);
      *of_folder = result;
    }
    if (result.status == NEARBUF_OK) {
      keep_file(process, call.address, file.file, &file.status);
    } else {
      (void)change_name(file.directory, plan->identity, NAME_REMOVE, NULL, made.temporary.text);
      if (call.address != 0) {
        (void)nbuf_remote_free(process, call.address, call.size);
      }
      close(file.file);
    }
  }
  if (file.directory >= 0) {
    close(file.directory);
  }
  page->address = result.status == NEARBUF_OK ? call.address : 0;
  return result;
}

nbuf_result nbuf_remote_page_make(nearbuf_process *process, const nbuf_initial_items *initial,
                                  bool is_first, nbuf_remote_page *page) {
  /* Only the name of a later one has the number. */
  *page = (nbuf_remote_page){.handle = is_first ? 0 : (intptr_t)(nbuf_posix_random() & UINT32_MAX)};
  nbuf_identity identity = {0};
  nbuf_result result = nbuf_identify_fully(process, &identity);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  if (identity.is_privileged) {
    return nbuf_result_system(NEARBUF_DENIED, EPERM);
  }
  page_plan plan = {process, &identity, initial, is_first};
  nbuf_result of_folder;
  result = make_in(&plan, NBUF_FOLDER_SHARED, page, &of_folder);
  if (result.status != NEARBUF_OK && nbuf_directory_is_anothers(of_folder)) {
    nbuf_result second = make_in(&plan, NBUF_FOLDER_OF_USER, page, &of_folder);
    bool is_answer = of_folder.status == NEARBUF_OK || second.status == NEARBUF_BUSY;
    result = is_answer ? second : result;
  }
  if (result.status == NEARBUF_OK && is_first) {
    nbuf_first_keep(process, page->address, (nearbuf_dialect)initial->layout->dialect);
  }
  return result;
}

void nbuf_remote_page_discard(nearbuf_process *process, const nbuf_remote_page *page) {
  nbuf_identity identity = {0};
  if (nbuf_identify_fully(process, &identity).status == NEARBUF_OK) {
    nbuf_name name = name_of_later(&identity, page);
    for (int folder = 0; folder < NBUF_FOLDERS; folder++) {
      int directory;
      if (nbuf_identity_open_directory(process, &identity, (nbuf_folder)folder, &directory)
              .status == NEARBUF_OK) {
        (void)change_name(directory, &identity, NAME_REMOVE, NULL, name.text);
        close(directory);
      }
    }
  }
  nbuf_locator_file_forget(process, page->address);
  (void)nbuf_remote_free(process, page->address, nbuf_os_page_size());
}
