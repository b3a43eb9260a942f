/* The pages of locators on POSIX systems: how one is made, recognised, and made private where the
 * shared directory cannot be used. The reasons are in docs/decisions: 9 to 16. What proves that a
 * file is a locator of this process is in mapped.h. */
#include "os/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/os.h"
#include "os/posix/anchor.h"
#include "os/posix/files.h"
#include "os/posix/full_stub.h"
#include "os/posix/mapped.h"
#include "os/posix/posix.h"
#include "os/posix/unfinished.h"
#include "os/wait.h"

bool nbuf_page_lists_tail(void) {
  return false; /* every child shares a page after fork: no buffers in it */
}

/* ---- A file under one of our names ----------------------------------------------------------- */

typedef enum file_state {
  FILE_ABSENT,
  FILE_ATTACHED, /* this process's locator */
  FILE_STALE,    /* this user's, but not a locator of this process */
  FILE_BLANK,    /* the same, without an address: it may be in the making */
  FILE_FOREIGN,  /* not to be trusted, locked or replaced */
  FILE_ERROR
} file_state;

typedef struct seen_file {
  file_state state;
  nbuf_result result; /* the error, if the state is ERROR */
  int file;           /* open if the state is STALE or BLANK */
} seen_file;

/* Whether only this user could have written the file. */
static bool is_trusted(const struct stat *status) {
  return S_ISREG(status->st_mode) && status->st_uid == geteuid() &&
         (status->st_mode & S_IWOTH) == 0;
}

static seen_file seen_error(nbuf_result result) {
  return (seen_file){FILE_ERROR, result, -1};
}

/* The time that another implementation may take from storing the address to having listed its first
 * buffer. */
#define FIRST_ITEM_BOUND_NS UINT64_C(50000000)

static void wait_for_first_item(uintptr_t base) {
  uint64_t end = nbuf_os_nanoseconds() + FIRST_ITEM_BOUND_NS;
  while (nbuf_format_is_being_filled(base, 1) && nbuf_os_nanoseconds() < end) {
    nbuf_os_pause();
  }
}

static seen_file examine_open(int file, nbuf_page *page) {
  seen_file seen = {FILE_FOREIGN, {NEARBUF_OK, 0}, -1};
  struct stat status;
  if (fstat(file, &status) != 0) {
    return seen_error(nbuf_result_system(NEARBUF_SYSTEM_ERROR, errno));
  }
  if (!is_trusted(&status)) {
    return seen;
  }
  uintptr_t base_bytes = 0;
  if (status.st_size >= NBUF_LOCATOR_SIZE &&
      pread(file, &base_bytes, sizeof base_bytes, 0) != (ssize_t)sizeof base_bytes) {
    return seen_error(nbuf_result_system(NEARBUF_SYSTEM_ERROR, errno));
  }
  uintptr_t base = nbuf_little_address(base_bytes);
  nbuf_result result = nbuf_file_check_mapped_at(file, base);
  if (result.status == NEARBUF_NOT_FOUND ||
      (result.status == NEARBUF_OK && nbuf_posix_may_have_parents_id() &&
       nbuf_posix_predates_process(file))) {
    seen.state = base == 0 ? FILE_BLANK : FILE_STALE;
    return seen;
  }
  if (result.status != NEARBUF_OK) {
    return seen_error(result);
  }
  /* From here on the maker's stores before that of the address are visible: the file ordered
   * nothing. */
  (void)nbuf_shared_address_acquire(base, sizeof(uintptr_t));
  if (nbuf_file_is_young(&status)) {
    wait_for_first_item(base);
  }
  page->base = base;
  page->dialect_if_empty =
      (status.st_mode & S_IXUSR) != 0 ? NEARBUF_DIALECT_RUST : NEARBUF_DIALECT_DOTNET;
  seen.state = FILE_ATTACHED;
  return seen;
}

static seen_file seen_unopened(int error) {
  if (nbuf_posix_is_lack(error)) {
    return seen_error(nbuf_result_system(NEARBUF_OUT_OF_MEMORY, error));
  }
  return (seen_file){error == ENOENT ? FILE_ABSENT : FILE_FOREIGN, {NEARBUF_OK, 0}, -1};
}

static seen_file examine(int directory, const char *name, nbuf_page *page) {
  /* Non-blocking, since it might be a pipe. */
  int file = openat(directory, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) {
    return seen_unopened(errno);
  }
  seen_file seen = examine_open(file, page);
  if (seen.state == FILE_STALE || seen.state == FILE_BLANK) {
    seen.file = file;
  } else {
    close(file);
  }
  return seen;
}

/* ---- Finding --------------------------------------------------------------------------------- */

static nbuf_user own_user(void) {
  return (nbuf_user){geteuid(), geteuid()};
}

/* If we are a server, a memory file of our name can belong to a client, which made us map it; and
 * any user can have a file of that name in another directory. */
static nbuf_origin trusted_origin(const nbuf_mapping *mapping) {
  nbuf_path temporary = nbuf_path_of_temporary(-1, "");
  nbuf_origin origin = nbuf_path_origin(mapping->name_end, sizeof mapping->name_end, getpid(),
                                        own_user(), &temporary);
  return origin == NBUF_ORIGIN_MEMORY && !nbuf_anchor_may_be_missing() ? NBUF_ORIGIN_OTHER : origin;
}

/* Searches this process's memory map for a mapping of such a name, since the file may have lost its
 * name. If a mapping with our id in its name could be the parent's, the name alone proves
 * nothing. */
static nbuf_result find_in_map(nbuf_page *page) {
  if (nbuf_posix_may_have_parents_id()) {
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  nbuf_map map;
  nbuf_result result = nbuf_os_map_open(&map, true);
  uintptr_t from = 0;
  bool is_found = false;
  while (result.status == NEARBUF_OK && !is_found) {
    nbuf_mapping mapping;
    nbuf_map_answer answer = nbuf_posix_map_next_shared(&map, from, &mapping);
    if (answer != NBUF_MAP_FOUND) {
      result = answer == NBUF_MAP_END ? nbuf_result_of(NEARBUF_NOT_FOUND)
                                      : nbuf_result_system(NEARBUF_SYSTEM_ERROR, map.system_error);
      break;
    }
    uintptr_t base = mapping.range.min;
    nbuf_origin origin =
        nbuf_mapping_is_locator(&mapping, base) ? trusted_origin(&mapping) : NBUF_ORIGIN_OTHER;
    if (origin != NBUF_ORIGIN_OTHER &&
        nbuf_shared_address_acquire(base, sizeof(uintptr_t)) == base) {
      /* Ours is never empty; the .NET implementation maps its file executable, the Rust one does
       * not. */
      wait_for_first_item(base);
      *page = (nbuf_page){.base = base};
      page->dialect_if_empty = mapping.executable ? NEARBUF_DIALECT_DOTNET : NEARBUF_DIALECT_RUST;
      page->is_private = origin == NBUF_ORIGIN_MEMORY;
      is_found = true;
    }
    if (mapping.range.max == UINTPTR_MAX) {
      break;
    }
    from = mapping.range.max + 1;
  }
  nbuf_os_map_close(&map);
  return result.status == NEARBUF_OK && !is_found ? nbuf_result_of(NEARBUF_NOT_FOUND) : result;
}

/* One of the names of this process, the usual one first; false: there are no more. The namespace is
 * determined only when its name is needed, since that takes as long as looking for the file. */
static bool own_name(int index, nbuf_name *name) {
  if (index == 0) {
    *name = nbuf_name_of_process(getpid());
    return true;
  }
  return index == 1 && nbuf_name_in_namespace(getpid(), name);
}

static nbuf_result find_by_name(int directory, nbuf_page *page) {
  nbuf_name name;
  for (int i = 0; own_name(i, &name); i++) {
    seen_file seen = examine(directory, name.text, page);
    if (seen.file >= 0) {
      close(seen.file);
    }
    if (seen.state == FILE_ATTACHED) {
      return nbuf_result_of(NEARBUF_OK);
    }
    if (seen.state == FILE_ERROR) {
      return seen.result;
    }
    if (seen.state == FILE_ABSENT) {
      break; /* the second name is only used while another process has the first */
    }
  }
  return nbuf_result_of(NEARBUF_NOT_FOUND);
}

/* A privileged program finds nothing: everything that has a name belongs to its user, whose other
 * programs could change it. */
static nbuf_result find_without_anchor(bool wants_private, nbuf_page *page) {
  if (nbuf_posix_is_privileged()) {
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  nbuf_name name = nbuf_name_of_process(getpid());
  for (int folder = 0; folder < NBUF_FOLDERS; folder++) {
    int directory;
    if (nbuf_directory_lacks((nbuf_folder)folder, &name)) {
      continue; /* the second name is only used while another process has the first */
    }
    nbuf_result result = nbuf_directory_open((nbuf_folder)folder, false, &directory);
    if (result.status == NEARBUF_OUT_OF_MEMORY) {
      return result;
    }
    if (result.status == NEARBUF_OK) {
      result = find_by_name(directory, page);
      close(directory);
      if (result.status != NEARBUF_NOT_FOUND) {
        return result;
      }
    }
  }
  return wants_private ? nbuf_result_of(NEARBUF_NOT_FOUND) : find_in_map(page);
}

/* ---- The anchor ------------------------------------------------------------------------------ */

/* The page to which the anchor led when this copy last read it: in a child, the parent's
 * locator. */
static _Atomic uintptr_t anchored;

static uintptr_t word_of(const nbuf_page *page) {
  return page->base | (uintptr_t)page->dialect_if_empty << NBUF_ANCHOR_EMPTY_SHIFT |
         (page->is_private ? NBUF_ANCHOR_PRIVATE : 0);
}

static nbuf_page page_of(uintptr_t word) {
  nbuf_page page = {.base = word & ~(uintptr_t)NBUF_ANCHOR_BELOW_ADDRESS};
  page.dialect_if_empty =
      (nearbuf_dialect)(word >> NBUF_ANCHOR_EMPTY_SHIFT & NBUF_ANCHOR_EMPTY_MASK);
  page.is_private = (word & NBUF_ANCHOR_PRIVATE) != 0;
  return page;
}

static void unlink_if_mapped(int directory, const char *name, uintptr_t base) {
  int file = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (file >= 0) {
    if (nbuf_file_check_mapped_at(file, base).status == NEARBUF_OK &&
        nbuf_file_is_named(directory, name, file)) {
      (void)unlinkat(directory, name, 0);
    }
    close(file);
  }
}

/* Removes the names of a page that is not used; `later` is the number in the name of a later
 * locator, 0 for a first one. */
static void unlink_names(uintptr_t base, uint32_t later) {
  for (int folder = 0; folder < NBUF_FOLDERS; folder++) {
    int directory;
    if (nbuf_directory_open((nbuf_folder)folder, false, &directory).status == NEARBUF_OK) {
      nbuf_name name;
      for (int i = 0; own_name(i, &name); i++) {
        name = later != 0 ? nbuf_name_of_later(&name, later) : name;
        unlink_if_mapped(directory, name.text, base);
      }
      close(directory);
    }
  }
}

/* Makes the page the first locator of this process, unless another copy of the library was first:
 * then `*page` becomes that one. The anchor is made last: a thread that meets an unfinished anchor
 * still finds the page, by its name or in the map. */
static nbuf_result attach_to(nbuf_page *page) {
  _Atomic uintptr_t *anchor;
  nbuf_result result = nbuf_anchor_make(&anchor);
  if (result.status == NEARBUF_NOT_FOUND) {
    return nbuf_result_of(NEARBUF_OK); /* it has to work without */
  }
  uintptr_t there = 0;
  if (result.status == NEARBUF_OK &&
      atomic_compare_exchange_strong(anchor, &there, word_of(page))) {
    atomic_store_explicit(&anchored, page->base, memory_order_relaxed);
    return result;
  }
  nbuf_page first = page_of(there);
  if (first.base == page->base) {
    return result; /* another copy found what this one had just published */
  }
  if (page->is_made && first.base != 0 && nbuf_mappings_are_same_page(first.base, page->base)) {
    page->base = first.base; /* the same page, taken by another implementation (pages.h) */
    return result;
  }
  if (page->is_made) {
    unlink_names(page->base, 0);
    /* After a lost race it stays mapped, since another copy may just be reading it, but without its
     * address, so that no library accepts it from now on. */
    if (result.status == NEARBUF_OK) {
      nbuf_shared_address_store_release(page->base, sizeof(uintptr_t), 0);
    } else {
      (void)munmap((void *)page->base, nbuf_os_page_size());
    }
  }
  *page = first;
  return result;
}

static nbuf_result find_by_anchor(nbuf_page *page) {
  *page = (nbuf_page){0};
  _Atomic uintptr_t *anchor;
  nbuf_result result = nbuf_anchor_find(&anchor);
  if (result.status == NEARBUF_OK) {
    uintptr_t word = atomic_load(anchor);
    *page = page_of(word);
    if (page->base != 0 && nbuf_full_stub_or_nothing_is_at(page->base)) {
      (void)atomic_compare_exchange_strong(anchor, &word, 0);
      *page = (nbuf_page){0};
    }
    result.status = page->base != 0 ? NEARBUF_OK : NEARBUF_NOT_FOUND;
  }
  if (result.status == NEARBUF_OK) {
    atomic_store_explicit(&anchored, page->base, memory_order_relaxed);
  }
  return result;
}

nbuf_result nbuf_page_find(bool wants_private, nbuf_page *page) {
  nbuf_result result = find_by_anchor(page);
  if (result.status == NEARBUF_NOT_FOUND) {
    result = find_without_anchor(wants_private, page);
    return result.status == NEARBUF_OK ? attach_to(page) : result;
  }
  return result;
}

void nbuf_page_restore_address(uintptr_t base) {
  uintptr_t named = (uintptr_t)nbuf_shared_address_acquire(base, sizeof(uintptr_t));
  if (named != base && nbuf_mappings_are_same_page(base, named)) {
    nbuf_shared_address_store_release(base, sizeof(uintptr_t), base);
  }
}

/* ---- Private pages --------------------------------------------------------------------------- */

/* A file in memory with the initial items, its own address still missing; -1: it cannot be made. */
static int memory_file(const char *name, const nbuf_initial_items *initial) {
  int file = nbuf_file_is_allowed() ? nbuf_posix_memory_file(name) : -1;
  if (file >= 0 && nbuf_file_fill(file, initial) != 0) {
    close(file);
    file = -1;
  }
  return file;
}

/* Makes a page to which no name leads. It is a file in memory, which readers of the memory map can
 * recognise, or else memory that no other process shares. */
static nbuf_result make_private(const char *name, const nbuf_initial_items *initial,
                                uintptr_t *base) {
  size_t size = nbuf_os_page_size();
  int file = memory_file(name, initial);
  void *page = mmap(NULL, size, PROT_READ | PROT_WRITE,
                    file >= 0 ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS, file, 0);
  nbuf_result result = nbuf_result_of(NEARBUF_OK);
  if (page == MAP_FAILED) {
    result = nbuf_result_system(NEARBUF_OUT_OF_MEMORY, errno);
  } else {
    *base = (uintptr_t)page;
    nbuf_file_keep_from_children(*base);
    if (file < 0) {
      nbuf_format_build(*base, initial->layout, 0, initial->items, initial->count);
    }
    nbuf_shared_address_store_release(*base, sizeof(uintptr_t), *base);
  }
  if (file >= 0) {
    close(file);
  }
  return result;
}

/* Waits while the file is being made, up to the bound. OK: it is this process's locator now, or
 * another one has become the locator, to which the anchor leads, and which `*page` is: a page that
 * lost to that one stays mapped and blank (attach_to). NOT_FOUND: no thread of this process makes
 * the file, or it got the address of something else, or lost its name. */
static nbuf_result wait_for_maker(int directory, const char *name, int file, nbuf_page *page) {
  uint64_t start = nbuf_os_nanoseconds();
  uint64_t waited = 0;
  for (; waited < NBUF_WAIT_BOUND_NS; waited = nbuf_os_nanoseconds() - start) {
    if (find_by_anchor(page).status == NEARBUF_OK) {
      return nbuf_result_of(NEARBUF_OK);
    }
    uintptr_t base = 0;
    if (pread(file, &base, sizeof base, 0) == (ssize_t)sizeof base && base != 0) {
      return nbuf_file_check_mapped_at(file, nbuf_little_address(base));
    }
    if (!nbuf_file_is_named(directory, name, file) || !nbuf_file_is_being_made(file, waited)) {
      return nbuf_result_of(NEARBUF_NOT_FOUND);
    }
    nbuf_os_pause();
  }
  return nbuf_result_system(NEARBUF_BUSY, EINPROGRESS);
}

static bool is_under_way(nbuf_result result) {
  return result.status == NEARBUF_BUSY && result.system_error == EINPROGRESS;
}

/* As examine, but waits for a file that may be in the making. */
static seen_file examine_patiently(int directory, const char *name, nbuf_page *page) {
  seen_file seen = examine(directory, name, page);
  if (seen.state != FILE_BLANK) {
    return seen;
  }
  nbuf_result result = wait_for_maker(directory, name, seen.file, page);
  if (result.status == NEARBUF_NOT_FOUND) {
    seen.state = FILE_STALE;
    return seen;
  }
  close(seen.file);
  if (result.status != NEARBUF_OK) {
    return seen_error(result);
  }
  return page->base != 0 ? (seen_file){FILE_ATTACHED, result, -1} : examine(directory, name, page);
}

/* ---- Publishing ------------------------------------------------------------------------------ */

/* Every attempt ends with a result unless another process changes the directory meanwhile, or holds
 * the lock of a dead file in order to replace it; that process may have lost the processor. A
 * foreign process that keeps removing our files must not keep us here. */
#define PUBLISH_BOUND_NS UINT64_C(200000000)

typedef enum publication {
  PUBLISHED,
  PUBLISH_ATTACHED, /* another copy of the library was first */
  PUBLISH_AGAIN,    /* the directory changed meanwhile */
  PUBLISH_REFUSED,  /* another process has the name */
  PUBLISH_FAILED
} publication;

/* The outcome of naming a file: ENOENT means that another process removed it, and that another file
 * may succeed; with any other error it would not. */
static publication publication_of(int error, nbuf_result *result) {
  if (error == 0 || error == ENOENT) {
    return error == 0 ? PUBLISHED : PUBLISH_AGAIN;
  }
  *result = nbuf_result_system(NEARBUF_SYSTEM_ERROR, error);
  return PUBLISH_FAILED;
}

/* Gives the file the name of a dead one, only while holding the lock of that one: without it two
 * starting threads ended with two locators. */
static publication publish_over(int directory, const nbuf_new_file *file, const char *name,
                                int dead, nbuf_result *result) {
  if (nbuf_file_lock_dead(directory, name, dead)) {
    return publication_of(nbuf_file_replace(directory, file, name), result);
  }
  bool is_owned = nbuf_file_has_owner(dead) && nbuf_file_is_named(directory, name, dead);
  return is_owned ? PUBLISH_REFUSED : PUBLISH_AGAIN;
}

static publication publish(int directory, const nbuf_new_file *file, const char *name,
                           nbuf_page *page, nbuf_result *result) {
  int error = nbuf_file_publish(directory, file, name);
  if (error != EEXIST) {
    return publication_of(error, result);
  }
  seen_file seen = examine_patiently(directory, name, page);
  publication attempt = PUBLISH_AGAIN;
  switch (seen.state) {
  case FILE_ATTACHED:
    return PUBLISH_ATTACHED;
  case FILE_STALE:
    attempt = publish_over(directory, file, name, seen.file, result);
    close(seen.file);
    return attempt;
  case FILE_FOREIGN:
    return PUBLISH_REFUSED;
  case FILE_ERROR:
    *result = seen.result;
    return PUBLISH_FAILED;
  case FILE_BLANK: /* it was completed, and replaced by another one */
    close(seen.file);
    return PUBLISH_AGAIN;
  case FILE_ABSENT:
  default:
    return PUBLISH_AGAIN;
  }
}

/* Publishes the file under the first of our names that no other process has; that of a later
 * locator under such a name with its number. */
static publication publish_somewhere(int directory, const nbuf_new_file *file, uint32_t later,
                                     nbuf_page *page, nbuf_result *result) {
  nbuf_name name;
  publication attempt = PUBLISH_REFUSED;
  for (int i = 0; attempt == PUBLISH_REFUSED && own_name(i, &name); i++) {
    name = later != 0 ? nbuf_name_of_later(&name, later) : name;
    attempt = publish(directory, file, name.text, page, result);
  }
  return attempt;
}

/* Makes a shared page, or attaches to one that was made meanwhile. */
static nbuf_result make_shared(int directory, const nbuf_initial_items *initial, uint32_t later,
                               nbuf_page *page) {
  uint64_t end = nbuf_os_nanoseconds() + PUBLISH_BOUND_NS;
  publication attempt = PUBLISH_AGAIN;
  nbuf_result result = nbuf_result_of(NEARBUF_OK);
  while (attempt == PUBLISH_AGAIN && nbuf_os_nanoseconds() < end) {
    nbuf_new_file file;
    result = nbuf_file_make(directory, getpid(), initial, &file);
    if (result.status == NEARBUF_OK) {
      attempt = publish_somewhere(directory, &file, later, page, &result);
      if (attempt == PUBLISHED) {
        *page = (nbuf_page){.base = file.base, .is_made = true, .handle = (void *)(uintptr_t)later};
        return result;
      }
      nbuf_file_discard(directory, &file);
    } else if (result.status != NEARBUF_BUSY) {
      return result;
    }
    if (attempt == PUBLISH_AGAIN) {
      nbuf_os_pause();
    }
  }
  if (attempt == PUBLISH_REFUSED) {
    return nbuf_result_system(NEARBUF_DENIED, EEXIST);
  }
  return attempt == PUBLISH_AGAIN ? nbuf_result_system(NEARBUF_BUSY, EBUSY) : result;
}

/* ---- Making a page --------------------------------------------------------------------------- */

/* Whether a failure to make a shared page means that a private one will do. */
static bool is_obstacle(nbuf_result result) {
  return result.status != NEARBUF_OK && result.status != NEARBUF_OUT_OF_MEMORY &&
         !is_under_way(result);
}

/* Makes a page in an open directory, or finds the first one there. `*is_decided`: neither another
 * directory nor a private page is an alternative; also if it is unknown whether a page exists. */
static nbuf_result make_in(int directory, const nbuf_initial_items *initial, uint32_t later,
                           nbuf_page *page, bool *is_decided) {
  nbuf_result result =
      later != 0 ? nbuf_result_of(NEARBUF_NOT_FOUND) : find_by_name(directory, page);
  *is_decided = result.status != NEARBUF_NOT_FOUND;
  if (*is_decided) {
    return result;
  }
  result = make_shared(directory, initial, later, page);
  *is_decided = !is_obstacle(result);
  if (later == 0 && result.status == NEARBUF_OK && page->is_made) {
    nbuf_directory_clean(directory);
  }
  return result;
}

/* Makes a page in the shared directory, or, if that belongs to another user, in the own user's. The
 * obstacle in the first explains a failure in both. */
static nbuf_result make_somewhere(const nbuf_initial_items *initial, uint32_t later,
                                  nbuf_page *page, bool *is_decided) {
  nbuf_result first = nbuf_result_of(NEARBUF_OK);
  for (int folder = 0; folder < NBUF_FOLDERS; folder++) {
    int directory;
    nbuf_result result = nbuf_directory_open((nbuf_folder)folder, true, &directory);
    *is_decided = !is_obstacle(result);
    if (result.status == NEARBUF_OK) {
      result = make_in(directory, initial, later, page, is_decided);
      close(directory);
    }
    if (*is_decided) {
      return result;
    }
    first = folder == 0 ? result : first;
    if (!nbuf_directory_is_anothers(result)) {
      break;
    }
  }
  return first;
}

/* Finds the page if it was made meanwhile, else makes it where other processes can find it, else a
 * private one. */
static nbuf_result find_or_make_first(const nbuf_initial_items *initial, bool wants_private,
                                      nbuf_page *page) {
  nbuf_result result = nbuf_result_of(NEARBUF_DENIED);
  if (!wants_private && nbuf_posix_is_privileged()) {
    result.system_error = EPERM;
  } else if (!wants_private) {
    bool is_decided;
    result = make_somewhere(initial, 0, page, &is_decided);
    if (is_decided) {
      return result;
    }
    /* A page that another copy made meanwhile may have no name either. */
    nbuf_result found = find_in_map(page);
    if (found.status != NEARBUF_NOT_FOUND) {
      return found;
    }
  }
  nbuf_name name = nbuf_name_of_process(getpid());
  *page = (nbuf_page){.is_made = true, .is_private = true, .private_reason = result.system_error};
  return make_private(name.text, initial, &page->base);
}

nbuf_result nbuf_page_find_or_make(const nbuf_initial_items *initial, bool wants_private,
                                   nbuf_page *page) {
  /* Nothing leads to a private page but the anchor, which attach_to sets only once: to look for
   * another one before costs more than it saves. */
  nbuf_result result = wants_private ? nbuf_result_of(NEARBUF_NOT_FOUND) : find_by_anchor(page);
  if (result.status != NEARBUF_NOT_FOUND) {
    return result;
  }
  result = find_or_make_first(initial, wants_private, page);
  return result.status == NEARBUF_OK ? attach_to(page) : result;
}

/* ---- Later locators -------------------------------------------------------------------------- */

static uint32_t some_number(void) {
  uint32_t number = (uint32_t)nbuf_posix_random();
  return number != 0 ? number : 1;
}

nbuf_result nbuf_page_make_later(const nbuf_initial_items *initial, bool is_private,
                                 nbuf_page *page) {
  *page = (nbuf_page){.is_made = true};
  bool is_decided = false;
  nbuf_result result = nbuf_result_of(NEARBUF_OK);
  if (!is_private && !nbuf_posix_is_privileged()) {
    result = make_somewhere(initial, some_number(), page, &is_decided);
  }
  if (!is_decided) {
    nbuf_name first = nbuf_name_of_process(getpid());
    nbuf_name name = nbuf_name_of_later(&first, some_number());
    result = make_private(name.text, initial, &page->base);
  }
  return result;
}

void nbuf_page_discard(const nbuf_page *page) {
  uint32_t later = (uint32_t)(uintptr_t)page->handle;
  if (later != 0) {
    unlink_names(page->base, later);
  }
  (void)munmap((void *)page->base, nbuf_os_page_size());
}

/* ---- Fork ------------------------------------------------------------------------------------ */

/* Here and not in posix.c, which is also part of programs that never make a locator of their
 * own. */
static void begin_child(void) {
  nbuf_anchor_forked(atomic_load_explicit(&anchored, memory_order_relaxed));
  nbuf_process_forked();
}

__attribute__((constructor)) static void begin_module(void) {
  nbuf_module_loaded();
  (void)pthread_atfork(NULL, NULL, begin_child);
}

__attribute__((destructor)) static void end_module(void) {
  if (nbuf_posix_is_unloaded()) {
    nbuf_module_unloaded();
  }
}
