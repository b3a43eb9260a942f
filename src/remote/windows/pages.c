/* Windows: the sections that contain the locators of another process; see remote/port.h and
 * windows/pages.c.
 *
 * Names lead only to processes of our own session that see the names that we see (a packaged app
 * has others). A section found by name is trusted for reading if the process has a view of a
 * section at the address in its header; for writing if the header's lock, taken here, is taken
 * there. A locator without a name is looked for in the map.
 *
 * A section is made here and mapped into the process, which also gets a handle, so that the name
 * lives as long as the process. No thread of the process takes part. */
#include <string.h>

#include <windows.h>

#include "os/os.h"
#include "os/wait.h"
#include "os/windows/anchor.h"
#include "os/windows/sections.h"
#include "remote/windows/process.h"

#define LOOKING (FILE_MAP_READ | FILE_MAP_WRITE)

enum { MOST_NAMES = 4 }; /* that are tried for a later locator */

static uint32_t address_width(const nearbuf_process *process) {
  return process->address_bits / 8;
}

static nbuf_section_name first_name(const nearbuf_process *process, int which) {
  return nbuf_section_name_of_first(which, (uint32_t)process->id, nbuf_windows_process(process));
}

/* ---- What is mapped in the process ----------------------------------------------------------- */

static bool is_view(const nbuf_windows_region *region) {
  return region->type == MEM_MAPPED && region->base == region->allocation &&
         region->size >= NBUF_LOCATOR_SIZE && nbuf_windows_is_writable(region->protection);
}

/* Memory of the process itself, if it could not have a section. */
static bool is_private_page(const nbuf_windows_region *region) {
  return region->type == MEM_PRIVATE && region->base == region->allocation &&
         region->size >= NBUF_LOCATOR_SIZE && nbuf_windows_is_writable(region->protection);
}

/* OK: the process has a locator there, as far as can be seen from outside. */
static nbuf_result check_locator_at(const nearbuf_process *process, uint64_t address,
                                    bool may_be_private) {
  nbuf_windows_region region;
  nbuf_result result = address == 0 ? nbuf_result_of(NEARBUF_NOT_FOUND)
                                    : nbuf_windows_query(nbuf_windows_process(process),
                                                         process->address_bits, address, &region);
  bool is_possible = result.status == NEARBUF_UNSUPPORTED || /* it can only be read */
                     (result.status == NEARBUF_OK && region.base == address &&
                      (is_view(&region) || (may_be_private && is_private_page(&region))));
  if (!is_possible) {
    return result.status == NEARBUF_OK ? nbuf_result_of(NEARBUF_NOT_FOUND) : result;
  }
  _Alignas(8) unsigned char header[8] = {0};
  size_t done;
  result = nbuf_remote_read(process, address, header, address_width(process), &done);
  bool matches = nbuf_shared_address_relaxed((uintptr_t)header, address_width(process)) == address;
  bool is_other = result.status == NEARBUF_NOT_MAPPED || (result.status == NEARBUF_OK && !matches);
  return is_other ? nbuf_result_of(NEARBUF_NOT_FOUND) : result;
}

/* The next locator in the map, at or above `*from`, which is advanced behind it. */
static nbuf_result next_in_map(const nearbuf_process *process, uint64_t *from, uint64_t *address) {
  for (;;) {
    nbuf_windows_region region;
    nbuf_result result =
        nbuf_windows_query(nbuf_windows_process(process), process->address_bits, *from, &region);
    if (result.status != NEARBUF_OK || region.base + region.size <= *from) {
      return result.status == NEARBUF_OK ? nbuf_result_of(NEARBUF_NOT_FOUND) : result;
    }
    *from = region.base + region.size;
    *address = region.base;
    _Alignas(8) unsigned char image[NBUF_LOCATOR_SIZE];
    if (!is_view(&region) || check_locator_at(process, region.base, false).status != NEARBUF_OK ||
        nbuf_remote_image(process, region.base, image).status != NEARBUF_OK) {
      continue;
    }
    uint32_t dialect =
        nbuf_format_recognise((uintptr_t)image, address_width(process), NEARBUF_DIALECT_UNKNOWN);
    if (dialect != NEARBUF_DIALECT_UNKNOWN) {
      return result;
    }
  }
}

/* Whether a locator in the map leads to that one. */
static bool is_later(const nearbuf_process *process, uint64_t address) {
  uint32_t width = address_width(process);
  const nbuf_layout *layout = nbuf_layout_of(width, NEARBUF_DIALECT_UNKNOWN);
  uint64_t from = 0;
  uint64_t other;
  while (next_in_map(process, &from, &other).status == NEARBUF_OK) {
    _Alignas(8) unsigned char next[8] = {0};
    size_t done;
    (void)nbuf_remote_read(process, other + layout->next, next, width, &done);
    if (nbuf_shared_address_relaxed((uintptr_t)next, width) == address) {
      return true;
    }
  }
  return false;
}

static nbuf_result find_in_map(const nearbuf_process *process, uint64_t *address) {
  uint64_t from = 0;
  nbuf_result result;
  do {
    result = next_in_map(process, &from, address);
  } while (result.status == NEARBUF_OK && is_later(process, *address));
  return result;
}

/* ---- Sections -------------------------------------------------------------------------------- */

/* Whether its names are in the same directory as ours. */
static bool shares_names(const nearbuf_process *process) {
  DWORD ours;
  DWORD theirs;
  if (!ProcessIdToSessionId(GetCurrentProcessId(), &ours) ||
      !ProcessIdToSessionId((DWORD)process->id, &theirs) || ours != theirs) {
    return false;
  }
  HANDLE token;
  DWORD is_packaged = 0;
  DWORD size;
  if (OpenProcessToken(nbuf_windows_process(process), TOKEN_QUERY, &token)) {
    (void)GetTokenInformation(token, TokenIsAppContainer, &is_packaged, sizeof is_packaged, &size);
    (void)CloseHandle(token);
  }
  return is_packaged == 0;
}

/* Maps the page of a locator that a section begins with; 0: it has no such page. */
static uintptr_t map_page(HANDLE section, DWORD access) {
  uintptr_t view = (uintptr_t)MapViewOfFile(section, access, 0, 0, NBUF_LOCATOR_SIZE);
  nbuf_windows_region region;
  bool is_there =
      view != 0 &&
      nbuf_windows_query(GetCurrentProcess(), sizeof(uintptr_t) * 8, view, &region).status ==
          NEARBUF_OK &&
      nbuf_windows_is_readable(region.protection) && region.size >= NBUF_LOCATOR_SIZE;
  if (view != 0 && !is_there) {
    (void)UnmapViewOfFile((const void *)view);
  }
  return is_there ? view : 0;
}

/* Opens the section of a name and maps its page. */
static uintptr_t open_page(const nbuf_section_name *name, DWORD access) {
  HANDLE section = OpenFileMappingW(access, FALSE, name->text);
  if (section == NULL) {
    return 0;
  }
  uintptr_t view = map_page(section, access);
  (void)CloseHandle(section);
  return view;
}

/* The address in the header of the section of a name; 0: there is none. */
static uint64_t address_by_name(const nearbuf_process *process, const nbuf_section_name *name) {
  uintptr_t view = open_page(name, FILE_MAP_READ);
  if (view == 0) {
    return 0;
  }
  uint64_t address = nbuf_shared_address_acquire(view, address_width(process));
  (void)UnmapViewOfFile((const void *)view);
  return address;
}

/* ---- The anchor ------------------------------------------------------------------------------ */

/* The word of the anchor at a place; 0: there is none, or it is still empty. */
static uint64_t word_at(const nearbuf_process *process, uint64_t place) {
  nbuf_windows_region region;
  nbuf_result result =
      nbuf_windows_query(nbuf_windows_process(process), process->address_bits, place, &region);
  if (result.status != NEARBUF_OK || region.base != place || region.allocation != place ||
      region.type != MEM_PRIVATE || region.size != NBUF_ANCHOR_SIZE ||
      !nbuf_windows_is_writable(region.protection)) {
    return 0;
  }
  _Alignas(8) unsigned char words[NBUF_ANCHOR_WORD_AT + 8] = {0};
  size_t done;
  result = nbuf_remote_read(process, place, words, sizeof words, &done);
  bool is_anchor =
      result.status == NEARBUF_OK && nbuf_shared_load_relaxed((uintptr_t)words) == NBUF_ANCHOR_MARK;
  return is_anchor ? nbuf_shared_address_relaxed((uintptr_t)words + NBUF_ANCHOR_WORD_AT,
                                                 address_width(process))
                   : 0;
}

/* The copies of the library in the process agree on the anchor, whatever happened to names. */
static nbuf_result find_by_anchor(const nearbuf_process *process, uint64_t *address) {
  uint64_t word = 0;
  uint64_t place;
  for (uint32_t i = 0; word == 0 && (place = nbuf_anchor_place(address_width(process), i)) != 0;
       i++) {
    word = word_at(process, place);
  }
  *address = word & ~(uint64_t)NBUF_ANCHOR_BELOW_ADDRESS;
  return check_locator_at(process, *address, (word & NBUF_ANCHOR_PRIVATE) != 0);
}

/* ---- The first locator ----------------------------------------------------------------------- */

nbuf_result nbuf_remote_first(nearbuf_process *process, uint64_t *address,
                              nearbuf_dialect *dialect_if_empty) {
  *address = 0;
  *dialect_if_empty = NEARBUF_DIALECT_UNKNOWN; /* none is empty from the start */
  if (!nbuf_windows_may_look(process)) {
    return nbuf_result_system(NEARBUF_DENIED, ERROR_ACCESS_DENIED);
  }
  nbuf_result anchored = find_by_anchor(process, address);
  if (anchored.status != NEARBUF_NOT_FOUND) {
    return anchored;
  }
  for (int i = 0; i < NBUF_SECTION_NAMES; i++) {
    nbuf_section_name name = first_name(process, i);
    *address = address_by_name(process, &name);
    nbuf_result result = check_locator_at(process, *address, false);
    if (result.status != NEARBUF_NOT_FOUND) {
      return result;
    }
  }
  nbuf_result result = find_in_map(process, address);
  *address = result.status == NEARBUF_OK ? *address : 0;
  return result;
}

/* ---- Images and views ------------------------------------------------------------------------ */

nbuf_result nbuf_remote_image(const nearbuf_process *process, uint64_t address,
                              unsigned char image[NBUF_LOCATOR_SIZE]) {
  size_t done;
  return nbuf_remote_read(process, address, image, NBUF_LOCATOR_SIZE, &done);
}

/* Whether our page is the one that the process has at an address: its lock, taken here, is taken
 * there. If it is held for too long, its content decides. */
static bool is_same_memory(const nearbuf_process *process, uintptr_t view, uint64_t address) {
  const nbuf_layout *layout = nbuf_layout_of(address_width(process), NEARBUF_DIALECT_UNKNOWN);
  size_t done;
  if (!nbuf_wait_for_lock(view + layout->locked, NULL)) {
    unsigned char image[NBUF_LOCATOR_SIZE];
    return nbuf_remote_image(process, address, image).status == NEARBUF_OK &&
           memcmp(image, (const void *)view, sizeof image) == 0;
  }
  uint32_t word = 0;
  (void)nbuf_remote_read(process, address + layout->locked, &word, sizeof word, &done);
  nbuf_shared_unlock_release(view + layout->locked);
  return nbuf_little_32(word) == 1;
}

/* Opens a section by a name, if it is the locator at that address. */
static bool open_view(const nearbuf_process *process, const nbuf_section_name *name,
                      uint64_t address, nbuf_remote_view *view) {
  uintptr_t page = open_page(name, LOOKING);
  if (page == 0) {
    return false;
  }
  if (nbuf_shared_address_acquire(page, address_width(process)) != address ||
      !is_same_memory(process, page, address)) {
    (void)UnmapViewOfFile((const void *)page);
    return false;
  }
  *view = (nbuf_remote_view){page, page, NBUF_LOCATOR_SIZE};
  return true;
}

/* The number in the name of a later locator; 0: it cannot be read. */
static uint32_t number_of(const nearbuf_process *process, uint64_t address) {
  uint32_t number = 0;
  size_t done;
  nbuf_result result =
      nbuf_remote_read(process, address + nbuf_section_number_at(), &number, sizeof number, &done);
  return result.status == NEARBUF_OK ? nbuf_little_32(number) : 0;
}

nbuf_result nbuf_remote_view_open(nearbuf_process *process, uint64_t address,
                                  nbuf_remote_view *view) {
  *view = (nbuf_remote_view){0, 0, 0};
  nbuf_result result = check_locator_at(process, address, false);
  if (result.status != NEARBUF_OK) {
    /* A later locator of another implementation is on its heap, where it cannot be shared. */
    return result.status == NEARBUF_NOT_FOUND ? nbuf_result_of(NEARBUF_DENIED) : result;
  }
  bool is_open = false;
  for (int i = 0; i < NBUF_SECTION_NAMES && !is_open; i++) {
    nbuf_section_name name = first_name(process, i);
    is_open = open_view(process, &name, address, view);
  }
  uint32_t number = number_of(process, address);
  if (!is_open && number != 0) {
    nbuf_section_name name = nbuf_section_name_of_later((uint32_t)process->id, number);
    is_open = open_view(process, &name, address, view);
  }
  return nbuf_result_of(is_open ? NEARBUF_OK : NEARBUF_DENIED);
}

void nbuf_remote_view_close(nbuf_remote_view *view) {
  if (view->base != 0) {
    (void)UnmapViewOfFile((const void *)view->page);
    *view = (nbuf_remote_view){0, 0, 0};
  }
}

/* ---- Making a section ------------------------------------------------------------------------ */

/* The access rights of a section that the process itself would make. */
typedef struct permissions {
  SECURITY_ATTRIBUTES attributes;
  SECURITY_DESCRIPTOR descriptor;
  union {
    TOKEN_DEFAULT_DACL token;
    unsigned char room[2048];
  } list;
} permissions;

/* Null, which means ours, if the process does not reveal its own. */
static SECURITY_ATTRIBUTES *permissions_of(const nearbuf_process *process, permissions *of) {
  HANDLE token;
  DWORD size;
  if (!OpenProcessToken(nbuf_windows_process(process), TOKEN_QUERY, &token)) {
    return NULL;
  }
  bool is_known =
      GetTokenInformation(token, TokenDefaultDacl, &of->list, sizeof of->list, &size) &&
      InitializeSecurityDescriptor(&of->descriptor, SECURITY_DESCRIPTOR_REVISION) &&
      SetSecurityDescriptorDacl(&of->descriptor, TRUE, of->list.token.DefaultDacl, FALSE);
  (void)CloseHandle(token);
  of->attributes = (SECURITY_ATTRIBUTES){sizeof of->attributes, &of->descriptor, FALSE};
  return is_known ? &of->attributes : NULL;
}

/* Waits until the maker of the section of a name has completed it. BUSY: it is the process's own
 * locator; DENIED: another process has the name. */
static nbuf_result examine_taken(const nearbuf_process *process, const nbuf_section_name *name) {
  uint64_t end = nbuf_os_nanoseconds() + NBUF_WAIT_BOUND_NS;
  uint64_t address = address_by_name(process, name);
  while (address == 0 && nbuf_os_nanoseconds() < end) {
    nbuf_os_pause();
    address = address_by_name(process, name);
  }
  bool is_theirs = check_locator_at(process, address, false).status == NEARBUF_OK;
  return nbuf_result_system(is_theirs ? NEARBUF_BUSY : NEARBUF_DENIED, ERROR_ALREADY_EXISTS);
}

/* Makes the section of a name that was not there. */
static nbuf_result make_section(const nearbuf_process *process, const nbuf_section_name *name,
                                HANDLE *section) {
  permissions of;
  *section = CreateFileMappingW(INVALID_HANDLE_VALUE, permissions_of(process, &of),
                                PAGE_EXECUTE_READWRITE, 0, (DWORD)nbuf_section_size(), name->text);
  DWORD error = GetLastError();
  if (*section == NULL) {
    return error == ERROR_INVALID_HANDLE ? nbuf_result_system(NEARBUF_DENIED, (int32_t)error)
                                         : nbuf_windows_result(error);
  }
  if (error != ERROR_ALREADY_EXISTS) {
    return nbuf_result_of(NEARBUF_OK);
  }
  (void)CloseHandle(*section);
  *section = NULL;
  return examine_taken(process, name);
}

typedef LONG(NTAPI *map_view)(HANDLE section, HANDLE process, void **base, ULONG_PTR zero_bits,
                              SIZE_T commit_size, LARGE_INTEGER *offset, SIZE_T *view_size,
                              DWORD inherit, ULONG type, ULONG protection);
typedef LONG(NTAPI *unmap_view)(HANDLE process, void *base);

static void unmap_there(const nearbuf_process *process, uint64_t address) {
  unmap_view unmap = (unmap_view)nbuf_windows_native("NtUnmapViewOfSection");
  if (unmap != NULL) {
    (void)unmap(nbuf_windows_process(process), (void *)(uintptr_t)address);
  }
}

/* Maps all of a section into the process, at an address of the system's choice. */
static nbuf_result map_there(const nearbuf_process *process, HANDLE section, uint64_t *address) {
  const DWORD view_unmap = 2; /* not inherited */
  map_view map = (map_view)nbuf_windows_native("NtMapViewOfSection");
  void *base = NULL;
  SIZE_T size = 0;
  LONG status = map == NULL ? -1
                            : map(section, nbuf_windows_process(process), &base, 0, 0, NULL, &size,
                                  view_unmap, 0, PAGE_EXECUTE_READWRITE);
  if (status < 0) {
    return nbuf_result_system(NEARBUF_DENIED, status);
  }
  *address = (uintptr_t)base;
  if (*address > nbuf_remote_limits(process->address_bits, 0).max) {
    unmap_there(process, *address);
    return nbuf_result_of(NEARBUF_OUT_OF_MEMORY);
  }
  return nbuf_result_of(NEARBUF_OK);
}

/* Puts a locator into a new section and the section into the process. Its address is stored in the
 * header last: from then on other modules may use it. */
static nbuf_result publish(const nearbuf_process *process, HANDLE section,
                           const nbuf_initial_items *initial, uint32_t number,
                           nbuf_remote_page *page) {
  uintptr_t view = (uintptr_t)MapViewOfFile(section, LOOKING, 0, 0, nbuf_section_size());
  if (view == 0) {
    return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, (int32_t)GetLastError());
  }
  HANDLE theirs = NULL;
  nbuf_result result = map_there(process, section, &page->address);
  if (result.status == NEARBUF_OK &&
      !DuplicateHandle(GetCurrentProcess(), section, nbuf_windows_process(process), &theirs, 0,
                       FALSE, DUPLICATE_SAME_ACCESS)) {
    result = nbuf_windows_result(GetLastError());
    unmap_there(process, page->address);
  }
  if (result.status == NEARBUF_OK) {
    nbuf_section_build(view, page->address, initial, number);
    nbuf_section_publish(view, page->address, initial);
    page->handle = (intptr_t)theirs;
  }
  (void)UnmapViewOfFile((const void *)view);
  return result;
}

/* Makes the section of a later locator. DENIED: too many names belong to others. */
static nbuf_result make_later_section(const nearbuf_process *process, uint32_t *number,
                                      HANDLE *section) {
  nbuf_result result = nbuf_result_of(NEARBUF_DENIED);
  for (int i = 0; i < MOST_NAMES && result.status == NEARBUF_DENIED; i++) {
    *number = nbuf_section_new_number();
    nbuf_section_name name = nbuf_section_name_of_later((uint32_t)process->id, *number);
    result = make_section(process, &name, section);
  }
  return result;
}

static nbuf_result make_first_section(const nearbuf_process *process, HANDLE *section) {
  nbuf_result result = nbuf_result_of(NEARBUF_DENIED);
  for (int i = 0; i < NBUF_SECTION_NAMES && result.status == NEARBUF_DENIED; i++) {
    nbuf_section_name name = first_name(process, i);
    result = make_section(process, &name, section);
  }
  return result;
}

nbuf_result nbuf_remote_page_make(nearbuf_process *process, const nbuf_initial_items *initial,
                                  nbuf_remote_draft *first, nbuf_remote_page *page) {
  *page = (nbuf_remote_page){0, 0};
  if (!nbuf_windows_may_change(process) || !shares_names(process)) {
    return nbuf_result_system(NEARBUF_DENIED, ERROR_ACCESS_DENIED);
  }
  uint32_t number = 0;
  HANDLE section;
  nbuf_result result = first != NULL ? make_first_section(process, &section)
                                     : make_later_section(process, &number, &section);
  if (result.status == NEARBUF_OK) {
    result = publish(process, section, initial, number, page);
    (void)CloseHandle(section);
  }
  return result;
}

void nbuf_remote_page_discard(nearbuf_process *process, const nbuf_remote_page *page) {
  unmap_there(process, page->address);
  (void)DuplicateHandle(nbuf_windows_process(process), (HANDLE)page->handle, NULL, NULL, 0, FALSE,
                        DUPLICATE_CLOSE_SOURCE);
}

/* ---- Files: the sections of a process end with it -------------------------------------------- */

nbuf_result nbuf_remote_visit_files(nearbuf_file_visitor visit, void *context) {
  (void)visit;
  (void)context;
  return nbuf_result_of(NEARBUF_OK);
}

nbuf_result nbuf_remote_remove_file(const nearbuf_file *file) {
  (void)file;
  return nbuf_result_of(NEARBUF_NOT_FOUND);
}
