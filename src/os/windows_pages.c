/* The pages of locators on Windows: named sections of one granule, whose tail is buffers.
 *
 * A section's name lives as long as a handle to it: who makes one never closes its handle, all others
 * close theirs. The name appears before the content, so a section whose own address is still 0 is
 * waited for. Anybody of the same logon can make a section, or another kind of object, of our name.
 * Identity: the address in the header is a view of a section in this process, and the header's lock,
 * taken through a second view, appears there. What fails that is left alone; then the name with the
 * process's creation time appended is used. */
#include <string.h>

#include <windows.h>

#include "../session.h"
#include "os.h"
#include "pages.h"
#include "windows_error.h"
#include "windows_sections.h"

/* To look into a section needs no right to run what is in it; Wine does not give that to an opened
 * one. */
#define LOOKING (FILE_MAP_READ | FILE_MAP_WRITE)

enum { MOST_TRIES = 16 };

/* ---- Content ----------------------------------------------------------------------------------- */

bool nb_page_has_tail(void) {
  return true;
}

static nb_outcome outcome_of_error(DWORD error) {
  return error == ERROR_INVALID_HANDLE /* the name is another kind of object's */
             ? nb_outcome_system(NEARBUF_DENIED, (int32_t)error)
             : nb_windows_failure(error);
}

static nb_outcome last_outcome(void) {
  return outcome_of_error(GetLastError());
}

static HANDLE make_section(const wchar_t *name) {
  return CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_EXECUTE_READWRITE, 0,
                            (DWORD)nb_section_size(), name);
}

/* Maps the whole of a section for good, there or, with 0, anywhere. */
static void *map_section(HANDLE section, uintptr_t address) {
  return MapViewOfFileEx(section, LOOKING | FILE_MAP_EXECUTE, 0, 0, 0, (void *)address);
}

/* ---- Identity ---------------------------------------------------------------------------------- */

/* Whether a view of a section begins there whose first page can be read and written. */
static bool is_view(uintptr_t base) {
  MEMORY_BASIC_INFORMATION region;
  const DWORD writable = PAGE_READWRITE | PAGE_EXECUTE_READWRITE;
  return base != 0 && VirtualQuery((const void *)base, &region, sizeof region) != 0 &&
         region.State == MEM_COMMIT && region.Type == MEM_MAPPED &&
         (uintptr_t)region.AllocationBase == base && region.RegionSize >= NB_LOCATOR_SIZE &&
         (region.Protect & writable) != 0 && (region.Protect & PAGE_GUARD) == 0;
}

static uintptr_t lock_of(uintptr_t locator) {
  return locator + nb_native_layout(NEARBUF_DIALECT_UNKNOWN)->locked;
}

/* Whether two views show the same memory. The lock of a locator whose holder died cannot be taken;
 * then the content decides. */
static bool is_same_memory(uintptr_t view, uintptr_t claimed) {
  uint64_t end = nb_os_nanoseconds() + NB_WAIT_BOUND_NS;
  while (!nb_shared_lock_acquire(lock_of(view))) {
    if (nb_os_nanoseconds() > end) {
      return memcmp((const void *)view, (const void *)claimed, NB_LOCATOR_SIZE) == 0;
    }
    nb_os_pause();
  }
  bool is_seen = nb_shared_load_acquire(lock_of(claimed)) == 1;
  nb_shared_unlock_release(lock_of(view));
  return is_seen;
}

/* The address that the header names, once there is one. 0: nobody completed it. */
static uintptr_t wait_for_address(uintptr_t view) {
  uint64_t end = nb_os_nanoseconds() + NB_WAIT_BOUND_NS;
  for (;;) {
    uintptr_t address = (uintptr_t)nb_shared_address_relaxed(view, sizeof(uintptr_t));
    if (address != 0 || nb_os_nanoseconds() > end) {
      atomic_thread_fence(memory_order_acquire);
      return address;
    }
    nb_os_pause();
  }
}

/* Whether an opened section is the locator of this process, and where that is mapped. NOT_FOUND, DENIED: it
 * is somebody else's; any other failure leaves that open. No more than the locator is mapped: whoever
 * took the name may have made a section larger than the address space. */
static nb_outcome attach(HANDLE section, uintptr_t *base) {
  uintptr_t view = (uintptr_t)MapViewOfFile(section, LOOKING, 0, 0, NB_LOCATOR_SIZE);
  if (view == 0) {
    return last_outcome();
  }
  uintptr_t claimed = is_view(view) ? wait_for_address(view) : 0;
  bool is_ours = claimed != view && is_view(claimed) && is_same_memory(view, claimed);
  (void)UnmapViewOfFile((const void *)view);
  if (!is_ours) {
    return nb_outcome_of(NEARBUF_NOT_FOUND);
  }
  *base = claimed;
  return nb_outcome_of(NEARBUF_OK);
}

/* ---- The first locator ------------------------------------------------------------------------- */

static nb_section_name own_name(int which) {
  return nb_section_name_of_first(which, GetCurrentProcessId(), GetCurrentProcess());
}

nb_outcome nb_page_find(nb_page *page) {
  *page = (nb_page){.if_empty = NEARBUF_DIALECT_UNKNOWN};
  for (int i = 0; i < NB_SECTION_NAMES; i++) {
    nb_section_name name = own_name(i);
    HANDLE section = OpenFileMappingW(LOOKING, FALSE, name.text);
    if (section == NULL) {
      continue;
    }
    nb_outcome outcome = attach(section, &page->base);
    (void)CloseHandle(section);
    if (outcome.status != NEARBUF_NOT_FOUND && outcome.status != NEARBUF_DENIED) {
      return outcome;
    }
  }
  return nb_outcome_of(NEARBUF_NOT_FOUND);
}

/* Makes the section of a name, or attaches to it. DENIED: the name is somebody else's. */
static nb_outcome make_or_attach(const nb_section_name *name, const nb_seed *seed, nb_page *page) {
  HANDLE section = make_section(name->text);
  DWORD error = GetLastError();
  if (section == NULL) {
    return outcome_of_error(error);
  }
  if (error == ERROR_ALREADY_EXISTS) {
    nb_outcome outcome = attach(section, &page->base);
    (void)CloseHandle(section);
    return outcome.status == NEARBUF_NOT_FOUND ? nb_outcome_system(NEARBUF_DENIED, (int32_t)error)
                                               : outcome;
  }
  uintptr_t base = (uintptr_t)map_section(section, 0);
  if (base == 0) {
    nb_outcome outcome = last_outcome();
    (void)CloseHandle(section);
    return outcome;
  }
  nb_section_build(base, base, seed);
  *page = (nb_page){.base = base, .is_made = true, .handle = section};
  return nb_outcome_of(NEARBUF_OK);
}

nb_outcome nb_page_find_or_make(const nb_seed *seed, nb_page *page) {
  nb_outcome outcome = nb_page_find(page);
  bool is_retried = outcome.status == NEARBUF_NOT_FOUND;
  for (int i = 0; i < NB_SECTION_NAMES && is_retried; i++) {
    nb_section_name name = own_name(i);
    outcome = make_or_attach(&name, seed, page);
    is_retried = outcome.status == NEARBUF_DENIED;
  }
  return outcome;
}

/* ---- Later locators ---------------------------------------------------------------------------- */

/* Makes one where the system likes. The name tells the address, which is therefore kept until the section
 * takes its place. NO_ROOM: another thread was faster; DENIED: the name is somebody else's. */
static nb_outcome try_later(const nb_seed *seed, bool is_private, nb_page *page) {
  void *place = VirtualAlloc(NULL, nb_section_size(), MEM_RESERVE, PAGE_NOACCESS);
  if (place == NULL) {
    return last_outcome();
  }
  uintptr_t base = (uintptr_t)place;
  nb_section_name name = nb_section_name_of_later(GetCurrentProcessId(), base);
  HANDLE section = make_section(is_private ? NULL : name.text);
  DWORD error = GetLastError();
  bool is_freed = VirtualFree(place, 0, MEM_RELEASE) != 0;
  nb_outcome outcome = nb_outcome_of(NEARBUF_OK);
  if (section == NULL) {
    return outcome_of_error(error);
  }
  if (error == ERROR_ALREADY_EXISTS) {
    outcome = nb_outcome_system(NEARBUF_DENIED, (int32_t)error);
  } else if (!is_freed || map_section(section, base) == NULL) {
    outcome = last_outcome();
  }
  if (outcome.status != NEARBUF_OK) {
    (void)CloseHandle(section);
    return outcome;
  }
  nb_section_build(base, base, seed);
  *page = (nb_page){.base = base, .is_made = true, .is_private = is_private, .handle = section};
  return outcome;
}

nb_outcome nb_page_make_later(const nb_seed *seed, bool is_private, nb_page *page) {
  nb_outcome outcome = nb_outcome_of(NEARBUF_NO_ROOM);
  bool is_named = !is_private;
  for (int i = 0; i < MOST_TRIES && outcome.status == NEARBUF_NO_ROOM; i++) {
    outcome = try_later(seed, !is_named, page);
    if (outcome.status == NEARBUF_DENIED && is_named) {
      is_named = false;
      outcome = nb_outcome_of(NEARBUF_NO_ROOM);
    }
  }
  if (outcome.status == NEARBUF_NO_ROOM) {
    outcome.status = NEARBUF_OUT_OF_MEMORY;
  }
  return outcome;
}

void nb_page_discard(const nb_page *page) {
  (void)UnmapViewOfFile((const void *)page->base);
  (void)CloseHandle(page->handle);
}

/* ---- Children: processes share no memory here --------------------------------------------------- */

bool nb_page_keep_from_children(uintptr_t base) {
  (void)base;
  return false;
}

void nb_page_leave_placeholder(uintptr_t base) {
  (void)base;
}

void nb_page_link_placeholder(uintptr_t placeholder, uintptr_t first) {
  (void)placeholder;
  (void)first;
}
