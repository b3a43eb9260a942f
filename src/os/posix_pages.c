/* The pages of locators on POSIX systems: how one is born, recognised, and made private where the
 * shared place cannot be used. docs/design.md, "Birth, identity and burial", has the reasons.
 *
 * Identity: a file is this process's locator if the memory map says of the address in its header the
 * same device, inode and offset as of a fresh mapping of the file, and that mapping is shared and
 * writable. The fresh one is read-only: without address randomisation it would land at the address
 * of a stale header and prove itself. Never compared with stat's device: overlayfs and btrfs give
 * another one there. */
#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "os.h"
#include "posix.h"
#include "posix_files.h"

bool nb_page_has_tail(void) {
  return false; /* a page is shared with every child after fork: no buffers in it */
}

/* ---- Identity ---------------------------------------------------------------------------------- */

static bool is_same_file(const nb_mapping *a, const nb_mapping *b) {
  return a->device == b->device && a->inode == b->inode && a->offset == b->offset;
}

static bool find_mapping(uintptr_t address, nb_mapping *mapping) {
  nb_map map;
  bool is_found = nb_os_map_open(&map, false).status == NEARBUF_OK &&
                  nb_os_map_next(&map, address, mapping) == NB_MAP_FOUND &&
                  mapping->range.min <= address;
  nb_os_map_close(&map);
  return is_found;
}

/* Whether a locator could be mapped there: its first page, writable, shared. */
static bool is_locator_mapping(const nb_mapping *mapping, uintptr_t base) {
  return mapping->range.min == base && mapping->shared && mapping->readable && mapping->writable &&
         mapping->offset == 0;
}

/* Whether the open file is mapped at `claimed`, as a locator of this process is. */
static bool is_mapped_at(int file, uintptr_t claimed) {
  size_t size = nb_os_page_size();
  if (claimed == 0 || claimed % size != 0) {
    return false;
  }
  void *fresh = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
  if (fresh == MAP_FAILED) {
    return false;
  }
  nb_mapping here;
  nb_mapping there;
  bool is_same = find_mapping((uintptr_t)fresh, &here) && find_mapping(claimed, &there) &&
                 is_locator_mapping(&there, claimed) && is_same_file(&here, &there);
  (void)munmap(fresh, size);
  return is_same;
}

/* ---- A file under one of our names ------------------------------------------------------------- */

typedef enum file_state {
  FILE_ABSENT,
  FILE_ATTACHED, /* it is this process's */
  FILE_STALE,    /* it is this user's, but no locator of this process */
  FILE_FOREIGN,  /* it is nothing that may be believed, locked or replaced */
  FILE_ERROR
} file_state;

typedef struct seen_file {
  file_state state;
  int error;
  int file; /* open where the state is STALE */
} seen_file;

/* Whether nobody but this user could have written what the file says. */
static bool is_trusted(const struct stat *status) {
  return S_ISREG(status->st_mode) && status->st_uid == geteuid() &&
         (status->st_mode & S_IWOTH) == 0;
}

static file_state examine_open(int file, nb_page *page) {
  struct stat status;
  if (fstat(file, &status) != 0 || !is_trusted(&status)) {
    return FILE_FOREIGN;
  }
  uintptr_t base_bytes = 0;
  if (status.st_size < NB_LOCATOR_SIZE ||
      pread(file, &base_bytes, sizeof base_bytes, 0) != (ssize_t)sizeof base_bytes) {
    return FILE_STALE;
  }
  uintptr_t base = nb_little_address(base_bytes);
  if (!is_mapped_at(file, base)) {
    return FILE_STALE;
  }
  page->base = base;
  page->if_empty = (status.st_mode & S_IXUSR) != 0 ? NEARBUF_DIALECT_RUST : NEARBUF_DIALECT_DOTNET;
  return FILE_ATTACHED;
}

static seen_file examine(int directory, const char *name, nb_page *page) {
  seen_file seen = {FILE_ERROR, 0, -1};
  /* Non-blocking, for it might be a pipe. */
  seen.file = openat(directory, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (seen.file < 0) {
    seen.error = errno;
    bool is_used_up = seen.error == EMFILE || seen.error == ENFILE || seen.error == ENOMEM;
    seen.state = seen.error == ENOENT ? FILE_ABSENT : is_used_up ? FILE_ERROR : FILE_FOREIGN;
    return seen;
  }
  seen.state = examine_open(seen.file, page);
  if (seen.state != FILE_STALE) {
    close(seen.file);
    seen.file = -1;
  }
  return seen;
}

/* ---- Finding ----------------------------------------------------------------------------------- */

/* Addresses at which a private locator is put: the first that is free, or that holds this process's
 * already. They are far from where systems put anything themselves: on 64 bit in the middle of the
 * upper half of 47, then of 38 bits (the smallest address space of riscv64 and of Android). */
enum { PRIVATE_PLACES = 16 };

static uintptr_t private_place(int index) {
#if UINTPTR_MAX == UINT32_MAX
  const uintptr_t starts[] = {0x6e620000, 0x5e620000};
#else
  const uintptr_t starts[] = {0x6e6200000000, 0x2e62000000};
#endif
  return starts[index / PRIVATE_PLACES] + (uintptr_t)(index % PRIVATE_PLACES) * 0x10000;
}

/* Whether the mapping has a name of this process's first locator. Shared anonymous memory, which
 * stands in where files in memory are impossible, has a name of the system's. */
static bool is_named_so(const nb_mapping *mapping) {
  return nb_name_is_of_process(mapping->name_end, getpid());
}

static bool is_in_private_place(const nb_mapping *mapping) {
  for (int i = 0; i < 2 * PRIVATE_PLACES; i++) {
    if (mapping->range.min == private_place(i)) {
      return true;
    }
  }
  return false;
}

/* Searches the own memory map: the name may be gone while the mapping lives, and a private locator
 * never had one. */
static nb_outcome find_in_map(nb_page *page) {
  nb_map map;
  nb_outcome outcome = nb_os_map_open(&map, true);
  uintptr_t from = 0;
  bool is_found = false;
  while (outcome.status == NEARBUF_OK && !is_found) {
    nb_mapping mapping;
    nb_map_answer answer = nb_os_map_next(&map, from, &mapping);
    if (answer != NB_MAP_FOUND) {
      outcome = answer == NB_MAP_END ? nb_outcome_of(NEARBUF_NOT_FOUND)
                                     : nb_outcome_system(NEARBUF_SYSTEM_ERROR, map.system_error);
      break;
    }
    uintptr_t base = mapping.range.min;
    bool is_private = is_in_private_place(&mapping);
    if ((is_named_so(&mapping) || is_private) && is_locator_mapping(&mapping, base) &&
        nb_shared_address_relaxed(base, sizeof(uintptr_t)) == base) {
      *page = (nb_page){.base = base, .if_empty = NEARBUF_DIALECT_UNKNOWN};
      page->is_private = is_private;
      is_found = true;
    }
    if (mapping.range.max == UINTPTR_MAX) {
      break;
    }
    from = mapping.range.max + 1;
  }
  nb_os_map_close(&map);
  return outcome.status == NEARBUF_OK && !is_found ? nb_outcome_of(NEARBUF_NOT_FOUND) : outcome;
}

/* The names of this process, the usual one first. */
static int own_names(nb_name names[2]) {
  names[0] = nb_name_of_process(getpid());
  return nb_name_in_namespace(getpid(), &names[1]) ? 2 : 1;
}

static nb_outcome find_by_name(int directory, nb_page *page) {
  nb_name names[2];
  int count = own_names(names);
  for (int i = 0; i < count; i++) {
    seen_file seen = examine(directory, names[i].text, page);
    if (seen.state == FILE_STALE) {
      close(seen.file);
    }
    if (seen.state == FILE_ATTACHED) {
      return nb_outcome_of(NEARBUF_OK);
    }
    if (seen.state == FILE_ERROR) {
      return nb_outcome_system(NEARBUF_OUT_OF_MEMORY, seen.error);
    }
    if (seen.state == FILE_ABSENT) {
      break; /* the second name is used only while the first is somebody else's */
    }
  }
  return nb_outcome_of(NEARBUF_NOT_FOUND);
}

nb_outcome nb_page_find(nb_page *page) {
  *page = (nb_page){0};
  int directory;
  nb_outcome outcome = nb_directory_open(false, &directory);
  if (outcome.status == NEARBUF_OUT_OF_MEMORY) {
    return outcome;
  }
  if (outcome.status == NEARBUF_OK) {
    outcome = find_by_name(directory, page);
    close(directory);
    if (outcome.status != NEARBUF_NOT_FOUND) {
      return outcome;
    }
  }
  return find_in_map(page);
}

/* ---- The private locator ----------------------------------------------------------------------- */

/* A file in memory with the seed in it, its own address not yet; -1 where there can be none. */
static int memory_file(const nb_seed *seed) {
  nb_name name = nb_name_of_process(getpid());
  int file = nb_file_is_allowed() ? nb_posix_memory_file(name.text) : -1;
  if (file >= 0 && nb_file_fill(file, seed) != 0) {
    close(file);
    file = -1;
  }
  return file;
}

/* Maps the locator at a place, if it is free. The map call is what decides between two threads. Its
 * own address is stored last: who finds it without does not believe it yet. */
static bool claim_place(uintptr_t place, int file, const nb_seed *seed) {
  size_t size = nb_os_page_size();
  int kind = file >= 0 ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS;
  void *got = mmap((void *)place, size, PROT_READ | PROT_WRITE, kind | nb_posix_no_replace_flags(),
                   file, 0);
  if (got == MAP_FAILED) {
    return false;
  }
  if ((uintptr_t)got != place) {
    (void)munmap(got, size);
    return false;
  }
  if (file < 0) {
    nb_format_build(place, seed->layout, 0, seed->items, seed->count);
  }
  (void)nb_posix_keep_from_children(got, size);
  nb_shared_address_store_release(place, sizeof(uintptr_t), place);
  return true;
}

/* Whether a taken place holds the private locator of this process: then another copy of the library
 * was first. One that is being born gets a moment to finish. */
static bool is_private_locator(uintptr_t place) {
  nb_mapping mapping;
  if (!find_mapping(place, &mapping) || !is_locator_mapping(&mapping, place)) {
    return false;
  }
  for (int i = 0; i < 100; i++) {
    if (nb_shared_address_relaxed(place, sizeof(uintptr_t)) == place) {
      atomic_thread_fence(memory_order_acquire);
      return true;
    }
    nb_os_pause();
  }
  return false;
}

static nb_outcome make_private(const nb_seed *seed, int32_t reason, nb_page *page) {
  int file = memory_file(seed);
  nb_outcome outcome = nb_outcome_system(NEARBUF_OUT_OF_MEMORY, reason);
  for (int i = 0; i < 2 * PRIVATE_PLACES && outcome.status != NEARBUF_OK; i++) {
    uintptr_t place = private_place(i);
    bool is_made = claim_place(place, file, seed);
    if (is_made || is_private_locator(place)) {
      *page = (nb_page){.base = place, .is_made = is_made, .is_private = true};
      page->private_reason = reason;
      outcome = nb_outcome_of(NEARBUF_OK);
    }
  }
  if (file >= 0) {
    close(file);
  }
  return outcome;
}

/* ---- The shared locator ------------------------------------------------------------------------ */

/* Every round ends in an answer unless another process changes the directory meanwhile. */
enum { MOST_ROUNDS = 16 };

typedef enum publication {
  PUBLISHED,
  PUBLISH_ATTACHED, /* another copy of the library was first */
  PUBLISH_AGAIN,    /* the directory changed meanwhile */
  PUBLISH_REFUSED   /* the name is somebody else's */
} publication;

/* How long a reference may take from making its file to storing the address in it. In between the
 * Rust one reads the whole directory: 12 ms where 10,000 files lie. */
#define BIRTH_BOUND_NS UINT64_C(200000000)

static bool has_no_address(int file, struct stat *status) {
  uintptr_t base;
  return fstat(file, status) == 0 &&
         (pread(file, &base, sizeof base, 0) != (ssize_t)sizeof base || base == 0);
}

/* The references make their file visible before it is complete, so one that is as young as that may
 * be on its way in another thread. Waits for it; answers whether it became complete. */
static bool is_born_meanwhile(int file) {
  struct stat status;
  if (!has_no_address(file, &status) || status.st_ctime + 1 < time(NULL)) {
    return false;
  }
  uint64_t end = nb_os_nanoseconds() + BIRTH_BOUND_NS;
  while (nb_os_nanoseconds() < end) {
    nb_os_pause();
    if (!has_no_address(file, &status)) {
      return true;
    }
  }
  return false;
}

/* Gives the file its name, over a stale file only while holding that one's lock: two starters that
 * replaced it without ended with two locators. */
static publication publish(int directory, const nb_new_file *file, const char *name,
                           nb_page *page) {
  int error = nb_file_publish(directory, file, name);
  if (error == 0) {
    return PUBLISHED;
  }
  if (error != EEXIST) {
    return PUBLISH_AGAIN;
  }
  seen_file seen = examine(directory, name, page);
  switch (seen.state) {
  case FILE_ATTACHED:
    return PUBLISH_ATTACHED;
  case FILE_STALE: {
    publication result = PUBLISH_REFUSED;
    if (is_born_meanwhile(seen.file)) {
      result = PUBLISH_AGAIN;
    } else if (nb_file_lock_dead(directory, name, seen.file)) {
      result = nb_file_replace(directory, file, name) == 0 ? PUBLISHED : PUBLISH_AGAIN;
    } else if (!nb_file_is_named(directory, name, seen.file)) {
      result = PUBLISH_AGAIN;
    }
    close(seen.file);
    return result;
  }
  case FILE_FOREIGN:
    return PUBLISH_REFUSED;
  case FILE_ABSENT:
  case FILE_ERROR:
  default:
    return PUBLISH_AGAIN;
  }
}

/* Publishes the file under the first of our names that is not somebody else's. */
static publication publish_somewhere(int directory, const nb_new_file *file, nb_page *page) {
  nb_name names[2];
  int count = own_names(names);
  publication result = PUBLISH_REFUSED;
  for (int i = 0; i < count && result == PUBLISH_REFUSED; i++) {
    result = publish(directory, file, names[i].text, page);
  }
  return result;
}

/* Makes the shared locator, or attaches to one that was made meanwhile. */
static nb_outcome make_shared(int directory, const nb_seed *seed, nb_page *page) {
  for (int round = 0; round < MOST_ROUNDS; round++) {
    nb_new_file file;
    nb_outcome outcome = nb_file_make(directory, getpid(), seed, &file);
    if (outcome.status != NEARBUF_OK) {
      return outcome;
    }
    publication result = publish_somewhere(directory, &file, page);
    if (result == PUBLISHED) {
      *page = (nb_page){.base = file.base, .is_made = true};
      nb_directory_clean(directory);
      return nb_outcome_of(NEARBUF_OK);
    }
    nb_file_discard(directory, &file);
    if (result == PUBLISH_ATTACHED) {
      return nb_outcome_of(NEARBUF_OK);
    }
    if (result == PUBLISH_REFUSED) {
      return nb_outcome_system(NEARBUF_DENIED, EEXIST);
    }
  }
  return nb_outcome_of(NEARBUF_BUSY);
}

nb_outcome nb_page_find_or_make(const nb_seed *seed, nb_page *page) {
  nb_outcome outcome = nb_page_find(page);
  if (outcome.status != NEARBUF_NOT_FOUND) {
    return outcome;
  }
  int directory;
  outcome = nb_directory_open(true, &directory);
  if (outcome.status == NEARBUF_OK) {
    outcome = make_shared(directory, seed, page);
    close(directory);
  }
  bool is_retry_worth_it =
      outcome.status == NEARBUF_OUT_OF_MEMORY || outcome.status == NEARBUF_BUSY;
  if (outcome.status == NEARBUF_OK || is_retry_worth_it) {
    return outcome;
  }
  return make_private(seed, outcome.system_error, page);
}

/* ---- Later locators ---------------------------------------------------------------------------- */

static nb_outcome make_later_private(const nb_seed *seed, uintptr_t *base) {
  size_t size = nb_os_page_size();
  void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) {
    return nb_outcome_system(NEARBUF_OUT_OF_MEMORY, errno);
  }
  *base = (uintptr_t)page;
  nb_format_build(*base, seed->layout, *base, seed->items, seed->count);
  return nb_outcome_of(NEARBUF_OK);
}

static nb_outcome make_later_shared(int directory, const nb_seed *seed, uintptr_t *base) {
  nb_new_file file;
  nb_outcome outcome = nb_file_make(directory, getpid(), seed, &file);
  if (outcome.status != NEARBUF_OK) {
    return outcome;
  }
  /* Its address is this process's alone, so a file of that name can only be a dead one's. */
  nb_name name = nb_name_of_later(getpid(), file.base);
  int error = nb_file_replace(directory, &file, name.text);
  if (error != 0) {
    nb_file_discard(directory, &file);
    return nb_outcome_system(NEARBUF_SYSTEM_ERROR, error);
  }
  *base = file.base;
  return outcome;
}

nb_outcome nb_page_make_later(const nb_seed *seed, bool is_private, uintptr_t *base) {
  int directory;
  nb_outcome outcome =
      is_private ? nb_outcome_of(NEARBUF_DENIED) : nb_directory_open(true, &directory);
  if (outcome.status == NEARBUF_OK) {
    outcome = make_later_shared(directory, seed, base);
    close(directory);
  }
  if (outcome.status == NEARBUF_OK || outcome.status == NEARBUF_OUT_OF_MEMORY) {
    return outcome;
  }
  return make_later_private(seed, base);
}

void nb_page_discard(uintptr_t base) {
  int directory;
  if (nb_directory_open(false, &directory).status == NEARBUF_OK) {
    nb_name name = nb_name_of_later(getpid(), base);
    (void)unlinkat(directory, name.text, 0);
    close(directory);
  }
  (void)munmap((void *)base, nb_os_page_size());
}

/* ---- Fork -------------------------------------------------------------------------------------- */

/* What a child must never see is a locator's own mapping: one page of a file, or shared memory. A
 * locator that a reference made may lie on its heap, or share its page with buffers that hold code:
 * those stay. */
static _Atomic bool are_inherited; /* the system cannot keep pages out: the handler unmaps them */

bool nb_page_keep_from_children(uintptr_t base) {
  size_t size = nb_os_page_size();
  uintptr_t page = nb_align_down(base, size);
  nb_mapping mapping;
  if (!find_mapping(page, &mapping) || !mapping.shared || mapping.range.min > page ||
      mapping.range.max - page < size - 1) {
    return false;
  }
  if (!nb_posix_keep_from_children((void *)page, size)) {
    atomic_store_explicit(&are_inherited, true, memory_order_relaxed);
  }
  return true;
}

/* Ends the mapping that a child inherited, if the page is one. */
static void unmap_inherited(uintptr_t page) {
  nb_mapping mapping;
  if (find_mapping(page, &mapping) && mapping.shared) {
    (void)munmap((void *)page, nb_os_page_size());
  }
}

static const nb_layout *header_layout(void) {
  return nb_native_layout(NEARBUF_DIALECT_WRITTEN);
}

void nb_page_leave_placeholder(uintptr_t base) {
  size_t size = nb_os_page_size();
  uintptr_t page = nb_align_down(base, size);
  if (atomic_load_explicit(&are_inherited, memory_order_relaxed)) {
    unmap_inherited(page);
  }
  void *got = mmap((void *)page, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | nb_posix_no_replace_flags(), -1, 0);
  if (got == MAP_FAILED) {
    return;
  }
  if ((uintptr_t)got != page) {
    (void)munmap(got, size);
    return;
  }
  for (uintptr_t each = page; each < page + size; each += NB_LOCATOR_SIZE) {
    nb_format_build(each, header_layout(), each, NULL, 0);
    nb_format_store_count(each, header_layout(), header_layout()->capacity);
  }
}

static bool is_placeholder(uintptr_t base) {
  nb_mapping mapping;
  return find_mapping(base, &mapping) && !mapping.shared && mapping.inode == 0 &&
         mapping.readable && mapping.writable &&
         nb_shared_address_relaxed(base, sizeof(uintptr_t)) == base &&
         nb_format_count(base, header_layout()) == header_layout()->capacity &&
         nb_item_read(nb_item_at(base, header_layout(), 0), header_layout()).base == 0;
}

/* Chains of placeholders grow with the depth of forks. */
enum { MOST_PLACEHOLDERS = 4096 };

void nb_page_link_placeholder(uintptr_t placeholder, uintptr_t first) {
  uintptr_t at = placeholder;
  for (int i = 0; i < MOST_PLACEHOLDERS && at != first && is_placeholder(at); i++) {
    uintptr_t link = at + header_layout()->next;
    if (nb_shared_link_set_release(link, first)) {
      return;
    }
    at = nb_shared_link_acquire(link);
  }
}
