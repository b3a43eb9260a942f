/* The pages of locators on Windows: named sections of one granule (64 KiB). The tail of a later one
 * is listed as buffers.
 *
 * The name of a section lives as long as a handle to it: the maker never closes its handle, and
 * protects it from being closed by others; a process that opens one closes its own. The name
 * appears before the content, so a section whose own address is still 0 is waited for. Any program
 * of the same logon can make a section, or another kind of object, with our name. Identity: the
 * address in the header is a view of a section in this process, and the header's lock, taken
 * through a second view, appears there. A section that fails this is left alone; then the name with
 * the process's creation time appended is used. If neither name can be used, the locator is private
 * to the process: memory without a name.
 *
 * The anchor (windows/anchor.h) decides which of several makers' locators is the first, before the
 * address of any is stored: so a maker that was stopped in between, and was waited for in vain,
 * detects that it lost. */
#include <string.h>

#include <windows.h>

#include "os/os.h"
#include "os/pages.h"
#include "os/wait.h"
#include "os/windows/anchor.h"
#include "os/windows/error.h"
#include "os/windows/sections.h"

/* Reading a section does not need the right to execute it; Wine does not grant that for an opened
 * one. */
#define LOOKING (FILE_MAP_READ | FILE_MAP_WRITE)

enum { MOST_NAMES = 4 }; /* names that are tried for a later locator */

/* ---- Content --------------------------------------------------------------------------------- */

bool nbuf_page_lists_tail(void) {
  return true;
}

static nbuf_result result_of_section_error(DWORD error) {
  return error == ERROR_INVALID_HANDLE /* another kind of object has the name */
             ? nbuf_result_system(NEARBUF_DENIED, (int32_t)error)
             : nbuf_windows_failure(error);
}

static nbuf_result last_result(void) {
  return result_of_section_error(GetLastError());
}

static HANDLE make_section(const wchar_t *name) {
  return CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_EXECUTE_READWRITE, 0,
                            (DWORD)nbuf_section_size(), name);
}

/* Maps the whole of a section permanently, at `address` or, with 0, anywhere. */
static void *map_section(HANDLE section, uintptr_t address) {
  return MapViewOfFileEx(section, LOOKING | FILE_MAP_EXECUTE, 0, 0, 0, (void *)address);
}

/* ---- Identity -------------------------------------------------------------------------------- */

/* Whether a view of a section begins there whose first page can be read and written. */
static bool is_view(uintptr_t base) {
  MEMORY_BASIC_INFORMATION region;
  const DWORD writable = PAGE_READWRITE | PAGE_EXECUTE_READWRITE;
  return base != 0 && VirtualQuery((const void *)base, &region, sizeof region) != 0 &&
         region.State == MEM_COMMIT && region.Type == MEM_MAPPED &&
         (uintptr_t)region.AllocationBase == base && region.RegionSize >= NBUF_LOCATOR_SIZE &&
         (region.Protect & writable) != 0 && (region.Protect & PAGE_GUARD) == 0;
}

static uintptr_t lock_of(uintptr_t locator) {
  return locator + nbuf_native_layout(NEARBUF_DIALECT_UNKNOWN)->locked;
}

/* Whether two views show the same memory. The lock of a locator whose holder died cannot be taken;
 * then the content decides. */
static bool is_same_memory(uintptr_t view, uintptr_t claimed) {
  if (!nbuf_wait_for_lock(lock_of(view), NULL)) {
    return memcmp((const void *)view, (const void *)claimed, NBUF_LOCATOR_SIZE) == 0;
  }
  bool is_seen = nbuf_shared_load_acquire(lock_of(claimed)) == 1;
  nbuf_shared_unlock_release(lock_of(view));
  return is_seen;
}

/* The address in the header, once it is stored and what its maker lists is listed, if that does not
 * take too long. 0: no thread completed it. Another implementation lists four buffers in the tail
 * of its section. Until then the layout is not known, and an item of ours would be lost. Sections
 * of this library have more items before they have an address. */
static uintptr_t wait_for_address(uintptr_t view) {
  enum { IN_TAIL = 4 };
  nbuf_wait wait = nbuf_wait_start();
  uintptr_t address;
  do {
    address = (uintptr_t)nbuf_shared_address_acquire(view, sizeof(uintptr_t));
  } while ((address == 0 || nbuf_format_is_being_filled(view, IN_TAIL)) && nbuf_wait_on(&wait));
  return address;
}

/* Whether an opened section is the locator of this process, and where that is mapped. NOT_FOUND,
 * DENIED: it belongs to another process; after any other failure that is unknown. Only the locator
 * is mapped, since the process that took the name may have made a section larger than the address
 * space. */
static nbuf_result attach(HANDLE section, uintptr_t *base) {
  uintptr_t view = (uintptr_t)MapViewOfFile(section, LOOKING, 0, 0, NBUF_LOCATOR_SIZE);
  if (view == 0) {
    return last_result();
  }
  uintptr_t claimed = is_view(view) ? wait_for_address(view) : 0;
  bool is_ours = claimed != view && is_view(claimed) && is_same_memory(view, claimed);
  (void)UnmapViewOfFile((const void *)view);
  if (!is_ours) {
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  *base = claimed;
  return nbuf_result_of(NEARBUF_OK);
}

/* ---- The first locator by its names ---------------------------------------------------------- */

static nbuf_section_name own_name(int which) {
  return nbuf_section_name_of_first(which, GetCurrentProcessId(), GetCurrentProcess());
}

static nbuf_result find_by_name(nbuf_page *page) {
  for (int i = 0; i < NBUF_SECTION_NAMES; i++) {
    nbuf_section_name name = own_name(i);
    HANDLE section = OpenFileMappingW(LOOKING, FALSE, name.text);
    if (section == NULL) {
      continue;
    }
    nbuf_result result = attach(section, &page->base);
    (void)CloseHandle(section);
    if (result.status != NEARBUF_NOT_FOUND && result.status != NEARBUF_DENIED) {
      return result;
    }
  }
  return nbuf_result_of(NEARBUF_NOT_FOUND);
}

/* Makes the section of a name, complete except its address, or attaches to it. DENIED: another
 * process has the name, or it is refused. */
static nbuf_result make_or_attach(const nbuf_section_name *name, const nbuf_initial_items *initial,
                                  nbuf_page *page) {
  HANDLE section = make_section(name->text);
  DWORD error = GetLastError();
  if (section == NULL) {
    nbuf_result result = result_of_section_error(error);
    result.status = result.status == NEARBUF_SYSTEM_ERROR ? NEARBUF_DENIED : result.status;
    return result;
  }
  if (error == ERROR_ALREADY_EXISTS) {
    nbuf_result result = attach(section, &page->base);
    (void)CloseHandle(section);
    return result.status == NEARBUF_NOT_FOUND ? nbuf_result_system(NEARBUF_DENIED, (int32_t)error)
                                              : result;
  }
  uintptr_t base = (uintptr_t)map_section(section, 0);
  if (base == 0) {
    nbuf_result result = last_result();
    (void)CloseHandle(section);
    return result;
  }
  nbuf_section_build(base, base, initial, 0);
  *page = (nbuf_page){.base = base, .is_made = true, .handle = section};
  return nbuf_result_of(NEARBUF_OK);
}

/* A stray CloseHandle of another module would remove the name while the locator lives. A debugger
 * reports an attempt to close the handle. */
static void protect_handle(const nbuf_page *page) {
  (void)SetHandleInformation(page->handle, HANDLE_FLAG_PROTECT_FROM_CLOSE,
                             HANDLE_FLAG_PROTECT_FROM_CLOSE);
}

/* ---- Private pages --------------------------------------------------------------------------- */

/* Makes a page of memory of this process, complete except its address. No other implementation
 * finds it, and none of its bytes are buffers: only the locator is committed. */
static nbuf_result make_private(const nbuf_initial_items *initial, int32_t reason,
                                nbuf_page *page) {
  void *memory =
      VirtualAlloc(NULL, NBUF_LOCATOR_SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);
  if (memory == NULL) {
    return last_result();
  }
  uintptr_t base = (uintptr_t)memory;
  nbuf_section_build(base, base, initial, 0);
  *page = (nbuf_page){.base = base, .is_made = true, .is_private = true, .private_reason = reason};
  return nbuf_result_of(NEARBUF_OK);
}

/* ---- The first locator ----------------------------------------------------------------------- */

static uintptr_t word_of(const nbuf_page *page) {
  return page->base | (page->is_private ? (uintptr_t)NBUF_ANCHOR_PRIVATE : 0);
}

static nbuf_page page_of(uintptr_t word) {
  return (nbuf_page){.base = word & ~(uintptr_t)NBUF_ANCHOR_BELOW_ADDRESS,
                     .is_private = (word & NBUF_ANCHOR_PRIVATE) != 0};
}

/* The page to which the anchor leads is complete, except its address if its maker was stopped just
 * then. */
static void complete_address(uintptr_t base) {
  if (nbuf_shared_address_acquire(base, sizeof(uintptr_t)) == 0) {
    nbuf_shared_address_store_release(base, sizeof(uintptr_t), base);
  }
}

static nbuf_result find_by_anchor(nbuf_page *page) {
  *page = (nbuf_page){0};
  _Atomic uintptr_t *anchor;
  nbuf_result result = nbuf_anchor_find(&anchor);
  if (result.status == NEARBUF_OK) {
    *page = page_of(atomic_load(anchor));
    result.status = page->base != 0 ? NEARBUF_OK : NEARBUF_NOT_FOUND;
  }
  if (result.status == NEARBUF_OK) {
    complete_address(page->base);
  }
  return result;
}

/* Makes the page the first one, unless another one is it by now: then `*page` becomes that one.
 * `anchor` is null if there is none: then names decide. */
static void attach_to(_Atomic uintptr_t *anchor, nbuf_page *page) {
  uintptr_t there = 0;
  if (anchor != NULL && !atomic_compare_exchange_strong(anchor, &there, word_of(page))) {
    nbuf_page first = page_of(there);
    if (page->is_made) {
      nbuf_page_discard(page); /* it had no address yet: no thread accepted it */
    }
    *page = first;
  }
  complete_address(page->base); /* soon: the Rust implementation believes an address of 0 */
  if (page->is_made && page->handle != NULL) {
    protect_handle(page);
  }
}

/* OK also if an anchor is impossible: then it is null. */
static nbuf_result have_anchor(_Atomic uintptr_t **anchor) {
  *anchor = NULL;
  nbuf_result result = nbuf_anchor_make(anchor);
  result.status = result.status == NEARBUF_NOT_FOUND ? NEARBUF_OK : result.status;
  return result;
}

nbuf_result nbuf_page_find(bool wants_private, nbuf_page *page) {
  (void)wants_private; /* names cost almost nothing */
  nbuf_result result = find_by_anchor(page);
  if (result.status != NEARBUF_NOT_FOUND) {
    return result;
  }
  result = find_by_name(page);
  _Atomic uintptr_t *anchor;
  if (result.status == NEARBUF_OK) {
    result = have_anchor(&anchor);
  }
  if (result.status == NEARBUF_OK) {
    attach_to(anchor, page);
  }
  return result;
}

/* Makes the first locator under the first of its names that no other process has, or without a
 * name. A locator without a name needs the anchor, which alone leads to it. */
static nbuf_result make_first(const nbuf_initial_items *initial, bool wants_private,
                              bool may_be_private, nbuf_page *page) {
  if (wants_private && may_be_private) {
    return make_private(initial, 0, page);
  }
  nbuf_result result = nbuf_result_of(NEARBUF_DENIED);
  for (int i = 0; i < NBUF_SECTION_NAMES && result.status == NEARBUF_DENIED; i++) {
    nbuf_section_name name = own_name(i);
    result = make_or_attach(&name, initial, page);
  }
  return result.status == NEARBUF_DENIED && may_be_private
             ? make_private(initial, result.system_error, page)
             : result;
}

nbuf_result nbuf_page_find_or_make(const nbuf_initial_items *initial, bool wants_private,
                                   nbuf_page *page) {
  nbuf_result result = nbuf_page_find(wants_private, page);
  _Atomic uintptr_t *anchor;
  if (result.status != NEARBUF_NOT_FOUND) {
    return result;
  }
  result = have_anchor(&anchor);
  if (result.status == NEARBUF_OK) {
    result = make_first(initial, wants_private, anchor != NULL, page);
  }
  if (result.status == NEARBUF_OK) {
    attach_to(anchor, page);
  }
  return result;
}

void nbuf_page_restore_address(uintptr_t base) {
  uintptr_t named = (uintptr_t)nbuf_shared_address_acquire(base, sizeof(uintptr_t));
  if (named != base && is_view(named) && is_same_memory(base, named)) {
    nbuf_shared_address_store_release(base, sizeof(uintptr_t), base);
  }
}

/* ---- Later locators -------------------------------------------------------------------------- */

/* BUSY: a section of that name exists; another name may be free. DENIED: names are refused. */
static nbuf_result try_later(const nbuf_initial_items *initial, nbuf_page *page) {
  uint32_t number = nbuf_section_new_number();
  nbuf_section_name name = nbuf_section_name_of_later(GetCurrentProcessId(), number);
  HANDLE section = make_section(name.text);
  DWORD error = GetLastError();
  if (section == NULL) {
    return result_of_section_error(error);
  }
  uintptr_t base = error == ERROR_ALREADY_EXISTS ? 0 : (uintptr_t)map_section(section, 0);
  if (base == 0) {
    nbuf_result result = error == ERROR_ALREADY_EXISTS
                             ? nbuf_result_system(NEARBUF_BUSY, (int32_t)error)
                             : last_result();
    (void)CloseHandle(section);
    return result;
  }
  nbuf_section_build(base, base, initial, number);
  *page = (nbuf_page){.base = base, .is_made = true, .handle = section};
  protect_handle(page);
  return nbuf_result_of(NEARBUF_OK);
}

nbuf_result nbuf_page_make_later(const nbuf_initial_items *initial, bool is_private,
                                 nbuf_page *page) {
  nbuf_result result = nbuf_result_of(is_private ? NEARBUF_DENIED : NEARBUF_BUSY);
  for (int i = 0; i < MOST_NAMES && result.status == NEARBUF_BUSY; i++) {
    result = try_later(initial, page);
  }
  if (result.status == NEARBUF_DENIED || result.status == NEARBUF_BUSY) {
    result = make_private(initial, result.system_error, page);
  }
  if (result.status == NEARBUF_OK) {
    nbuf_section_publish(page->base, page->base, initial);
  }
  return result;
}

void nbuf_page_discard(const nbuf_page *page) {
  if (page->handle == NULL) {
    (void)VirtualFree((void *)page->base, 0, MEM_RELEASE);
    return;
  }
  (void)UnmapViewOfFile((const void *)page->base);
  (void)SetHandleInformation(page->handle, HANDLE_FLAG_PROTECT_FROM_CLOSE, 0);
  (void)CloseHandle(page->handle);
}

/* ---- Children: processes share no memory here ------------------------------------------------ */

bool nbuf_page_keep_from_children(uintptr_t base) {
  (void)base;
  return false;
}

void nbuf_page_leave_full_stub(uintptr_t base) {
  (void)base;
}

void nbuf_page_link_full_stub(uintptr_t full_stub, uintptr_t first) {
  (void)full_stub;
  (void)first;
}
