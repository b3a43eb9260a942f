/* Linux: making the pages of locators in another process; see remote/port.h. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
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
#include "remote/linux/page_script.h"
#include "remote/linux/process.h"
#include "remote/linux/rights.h"

/* ---- The file -------------------------------------------------------------------------------- */

/* A page that is being made. A draft holds one (page_script.h). */
typedef struct new_page {
  nbuf_page_call call;
  nbuf_identity identity;
  nbuf_folder folder;
  bool is_tried; /* to begin it */
  int root;      /* of the process, while the file is made */
  int directory;
  int file;
  nbuf_new_file name; /* until it is published */
  struct stat status;
} new_page;

static new_page *page_of(nbuf_remote_draft *draft) {
  return (new_page *)(void *)draft->bytes;
}

static_assert(sizeof(new_page) <= sizeof(nbuf_remote_draft), "port.h has room for it");
static_assert(offsetof(new_page, call) == 0, "nbuf_page_call_of finds it");

static bool is_begun(const new_page *made) {
  return made->call.path[0] != '\0';
}

/* 0 or an errno value. */
static int fill_file(new_page *made) {
  /* Our lock, until the process has its own: a process that cleans up in a namespace where this
   * process does not exist would take a file without a lock for a dead one's. */
  int error = flock(made->file, LOCK_SH | LOCK_NB) == 0 ? 0 : errno;
  nbuf_posix_avoid_copy_on_write(made->file);
  error = error == 0 ? nbuf_file_fill(made->file, NULL) : error;
  bool is_theirs =
      fstat(made->file, &made->status) == 0 && made->status.st_uid == made->identity.user.owner;
  return error == 0 && !is_theirs ? EPERM : error;
}

static nbuf_result make_file_there(void *context) {
  new_page *made = context;
  nbuf_result result =
      nbuf_identity_make_directory(made->root, made->folder, made->identity.user, &made->directory);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  made->name.temporary = nbuf_name_temporary(made->identity.own_id);
  made->file = openat(made->directory, made->name.temporary.text,
                      O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (made->file < 0) {
    return nbuf_locator_file_result(errno);
  }
  int error = fill_file(made);
  if (error == 0) {
    return nbuf_result_of(NEARBUF_OK);
  }
  (void)unlinkat(made->directory, made->name.temporary.text, 0);
  close(made->file);
  return nbuf_result_system(error == EPERM         ? NEARBUF_DENIED
                            : error == EWOULDBLOCK ? NEARBUF_BUSY
                                                   : NEARBUF_SYSTEM_ERROR,
                            error);
}

/* Makes a file of a whole page that no other process can see yet, as the process would make it; its
 * items are written when it is mapped. On failure nothing is left behind. */
static nbuf_result begin(const nearbuf_process *process, new_page *made) {
  made->directory = -1;
  if (!nbuf_file_is_allowed()) {
    return nbuf_result_system(NEARBUF_SYSTEM_ERROR, EFBIG);
  }
  made->root = nbuf_identity_open_root(process);
  if (made->root < 0) {
    return nbuf_linux_result(process, errno);
  }
  nbuf_result result = nbuf_rights_run(&made->identity.rights, make_file_there, made, sizeof *made);
  close(made->root);
  if (result.status == NEARBUF_OK) {
    nbuf_name directory = nbuf_directory_path(made->folder, made->identity.user);
    (void)snprintf(made->call.path, sizeof made->call.path, "%s/%s", directory.text,
                   made->name.temporary.text);
  } else if (made->directory >= 0) {
    close(made->directory);
  }
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
static void withdraw(new_page *made, const char *name) {
  static const unsigned char none[8];
  (void)change_name(made->directory, &made->identity, NAME_REMOVE, NULL, name);
  (void)!pwrite(made->file, none, sizeof none, 0); /* nothing more can be done about it */
  made->call.address = 0;
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
 * which its anchor shows, and then ours is withdrawn. The page's address becomes 0 if it must
 * stay. */
static nbuf_result publish_first(const nearbuf_process *process, new_page *made) {
  const nbuf_identity *identity = &made->identity;
  int directory = made->directory;
  nbuf_name name;
  struct stat status;
  int error = EEXIST;
  for (int i = 0; error == EEXIST && nbuf_identity_name(process, identity, i, &name); i++) {
    error = change_name(directory, identity, NAME_PUBLISH, &made->name, name.text);
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
        error = change_name(directory, identity, NAME_REPLACE, &made->name, name.text);
      } else {
        is_theirs = is_theirs || other == 0; /* or is becoming so: a process has it open */
      }
      close(file);
      if (is_theirs) {
        return nbuf_result_of(NEARBUF_BUSY);
      }
    }
    if (error == 0 && has_another_first(process, identity, made->call.address)) {
      withdraw(made, name.text);
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

static nbuf_result publish_later(const new_page *made, const nbuf_remote_page *page) {
  nbuf_name name = name_of_later(&made->identity, page);
  int error = change_name(made->directory, &made->identity, NAME_PUBLISH, &made->name, name.text);
  return error == 0 ? nbuf_result_of(NEARBUF_OK) : nbuf_result_system(NEARBUF_DENIED, error);
}

/* ---- A page ---------------------------------------------------------------------------------- */

static nbuf_result run_page_script(nbuf_trace *trace, void *context) {
  return nbuf_page_script(trace, context);
}

/* The page that is wanted. */
typedef struct page_plan {
  nearbuf_process *process;
  const nbuf_initial_items *initial;
  bool is_first;
} page_plan;

/* Lets the process map the file, if it has not tried to already. */
static nbuf_result map_there(const page_plan *plan, new_page *made) {
  if (made->call.memory != 0) {
    return made->call.result;
  }
  nbuf_result result = nbuf_linux_hold_memory(plan->process, &made->call.open_memory);
  if (result.status == NEARBUF_OK) {
    made->call.memory = plan->initial->items[plan->initial->count - 1].base;
    result = nbuf_linux_run(plan->process, run_page_script, &made->call);
  }
  return result;
}

/* Writes the locator into the mapped file, which no other process can see yet, and gives it its
 * name. */
static nbuf_result publish(const page_plan *plan, new_page *made, const nbuf_remote_page *page) {
  _Alignas(8) unsigned char image[NBUF_LOCATOR_SIZE];
  const nbuf_initial_items *initial = plan->initial;
  nbuf_format_build((uintptr_t)image, initial->layout, made->call.address, initial->items,
                    initial->count);
  errno = ENOSPC;
  if (pwrite(made->file, image, sizeof image, 0) != (ssize_t)sizeof image) {
    return nbuf_result_system(NEARBUF_SYSTEM_ERROR, errno);
  }
  return plan->is_first ? publish_first(plan->process, made) : publish_later(made, page);
}

/* The file is kept open for the view that comes next. Its lock is the process's own from now on. */
static void keep_file(nearbuf_process *process, const new_page *made) {
  nbuf_remote_mapping theirs = {.device = nbuf_locator_file_device(&made->status),
                                .inode = made->status.st_ino};
  (void)flock(made->file, LOCK_UN);
  nbuf_locator_file_keep(process, &theirs, made->call.address, made->file, &made->status);
}

static void take_back(nearbuf_process *process, const new_page *made) {
  (void)change_name(made->directory, &made->identity, NAME_REMOVE, NULL, made->name.temporary.text);
  if (made->call.address != 0) {
    (void)nbuf_remote_free(process, made->call.address, nbuf_os_page_size());
  }
  close(made->file);
}

/* Makes what is missing of a page in its directory. `*of_folder` is the failure that concerns the
 * directory. */
static nbuf_result make_in(const page_plan *plan, new_page *made, nbuf_remote_page *page,
                           nbuf_result *of_folder) {
  *of_folder = is_begun(made) ? nbuf_result_of(NEARBUF_OK) : begin(plan->process, made);
  if (of_folder->status != NEARBUF_OK) {
    return *of_folder;
  }
  nbuf_result result = map_there(plan, made);
  *of_folder = made->call.of_folder;
  if (result.status == NEARBUF_OK) {
    result = publish(plan, made, page);
    *of_folder = result;
  }
  if (result.status == NEARBUF_OK) {
    keep_file(plan->process, made);
    page->address = made->call.address;
  } else {
    take_back(plan->process, made);
  }
  close(made->directory);
  return result;
}

static nbuf_result identify_for_files(const nearbuf_process *process, nbuf_identity *identity) {
  nbuf_result result = nbuf_identify_fully(process, identity);
  bool is_refused = result.status == NEARBUF_OK && identity->is_privileged;
  return is_refused ? nbuf_result_system(NEARBUF_DENIED, EPERM) : result;
}

nbuf_result nbuf_remote_page_make(nearbuf_process *process, const nbuf_initial_items *initial,
                                  nbuf_remote_draft *first, nbuf_remote_page *page) {
  const page_plan plan = {process, initial, first != NULL};
  new_page made = {.folder = NBUF_FOLDER_SHARED};
  nbuf_result result = nbuf_result_of(NEARBUF_OK);
  /* Only the name of a later one has the number. */
  *page = (nbuf_remote_page){.handle =
                                 plan.is_first ? 0 : (intptr_t)(nbuf_posix_random() & UINT32_MAX)};
  if (plan.is_first && is_begun(page_of(first))) {
    made = *page_of(first);
    *first = (nbuf_remote_draft){{0}};
  } else {
    result = identify_for_files(process, &made.identity);
  }
  if (result.status != NEARBUF_OK) {
    return result;
  }
  nbuf_result of_folder;
  result = make_in(&plan, &made, page, &of_folder);
  if (result.status != NEARBUF_OK && made.folder == NBUF_FOLDER_SHARED &&
      nbuf_directory_is_anothers(of_folder)) {
    new_page another = {.folder = NBUF_FOLDER_OF_USER, .identity = made.identity};
    nbuf_result second = make_in(&plan, &another, page, &of_folder);
    bool is_answer = of_folder.status == NEARBUF_OK || second.status == NEARBUF_BUSY;
    result = is_answer ? second : result;
  }
  if (result.status == NEARBUF_OK && plan.is_first) {
    nbuf_first_keep(process, page->address, (nearbuf_dialect)initial->layout->dialect);
  }
  return result;
}

/* ---- Drafts and pages that are taken back ---------------------------------------------------- */

void nbuf_remote_draft_begin(nearbuf_process *process, nbuf_remote_draft *draft) {
  new_page *made = page_of(draft);
  if (made->is_tried) {
    return;
  }
  *made = (new_page){.folder = NBUF_FOLDER_SHARED, .is_tried = true};
  if (identify_for_files(process, &made->identity).status == NEARBUF_OK &&
      !made->identity.may_refuse && nbuf_directory_is_anothers(begin(process, made))) {
    made->folder = NBUF_FOLDER_OF_USER;
    (void)begin(process, made);
  }
}

void nbuf_remote_draft_discard(nearbuf_process *process, nbuf_remote_draft *draft) {
  const new_page *made = page_of(draft);
  if (is_begun(made)) {
    take_back(process, made);
    close(made->directory);
  }
  *draft = (nbuf_remote_draft){{0}};
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
