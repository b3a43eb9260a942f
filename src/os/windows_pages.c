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

#define NAME_PREFIX L"/Reloaded.Memory.Buffers.MemoryBuffer, PID "

/* To look into a section needs no right to run what is in it; Wine does not give that to an opened
 * one. */
#define LOOKING (FILE_MAP_READ | FILE_MAP_WRITE)

enum {
  TAIL_BUFFER = 16384, /* the largest buffer that the specification makes of the tail */
  MOST_SEED_ITEMS = NB_HOME_STRIDE + 16,
  MOST_TRIES = 16
};

/* ---- Names ------------------------------------------------------------------------------------- */

/* Room for the prefix, a process id, and every suffix. */
typedef struct section_name {
  wchar_t text[128];
  uint32_t length;
} section_name;

static void append_text(section_name *name, const wchar_t *text) {
  while (*text != L'\0' && name->length + 1 < sizeof name->text / sizeof name->text[0]) {
    name->text[name->length++] = *text++;
  }
  name->text[name->length] = L'\0';
}

static void append_number(section_name *name, uint64_t number, uint64_t base) {
  wchar_t digits[24];
  size_t at = sizeof digits / sizeof digits[0] - 1;
  digits[at] = L'\0';
  do {
    digits[--at] = L"0123456789abcdef"[number % base];
    number /= base;
  } while (number != 0);
  append_text(name, &digits[at]);
}

static section_name name_of_process(void) {
  section_name name = {.length = 0};
  append_text(&name, NAME_PREFIX);
  append_number(&name, GetCurrentProcessId(), 10);
  return name;
}

/* The name for where the usual one is somebody else's. */
static section_name name_with_creation_time(void) {
  section_name name = name_of_process();
  FILETIME created = {0, 0};
  FILETIME unused;
  (void)GetProcessTimes(GetCurrentProcess(), &created, &unused, &unused, &unused);
  append_text(&name, L", T ");
  append_number(&name, (uint64_t)created.dwHighDateTime << 32 | created.dwLowDateTime, 16);
  return name;
}

static section_name name_of_later(uintptr_t base) {
  section_name name = name_of_process();
  append_text(&name, L", 0x");
  append_number(&name, base, 16);
  return name;
}

/* ---- Content ----------------------------------------------------------------------------------- */

bool nb_page_has_tail(void) {
  return true;
}

static size_t section_size(void) {
  return nb_os_granularity();
}

/* Writes a locator into a zeroed section: the seed, then the tail. Its own address comes last: who
 * reads it sees everything. */
static void build(uintptr_t base, const nb_seed *seed) {
  nb_item items[MOST_SEED_ITEMS];
  uint32_t count = 0;
  for (; count < seed->count; count++) {
    items[count] = seed->items[count];
  }
  uintptr_t end = base + section_size();
  for (uintptr_t at = base + NB_LOCATOR_SIZE; at < end && count < MOST_SEED_ITEMS; count++) {
    uintptr_t size = end - at < TAIL_BUFFER ? end - at : TAIL_BUFFER;
    items[count] = (nb_item){.base = at, .size = (uint32_t)size};
    at += size;
  }
  nb_format_build(base, seed->layout, 0, items, count);
  nb_shared_address_store_release(base, sizeof(uintptr_t), base);
}

static nb_outcome outcome_of_error(DWORD error) {
  switch (error) {
  case ERROR_NOT_ENOUGH_MEMORY:
  case ERROR_OUTOFMEMORY:
  case ERROR_COMMITMENT_LIMIT:
  case ERROR_NO_SYSTEM_RESOURCES:
    return nb_outcome_system(NEARBUF_OUT_OF_MEMORY, (int32_t)error);
  case ERROR_ACCESS_DENIED:
  case ERROR_INVALID_HANDLE: /* the name is another kind of object's */
    return nb_outcome_system(NEARBUF_DENIED, (int32_t)error);
  default:
    return nb_outcome_system(NEARBUF_SYSTEM_ERROR, (int32_t)error);
  }
}

static nb_outcome last_outcome(void) {
  return outcome_of_error(GetLastError());
}

static HANDLE make_section(const wchar_t *name) {
  return CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_EXECUTE_READWRITE, 0,
                            (DWORD)section_size(), name);
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

/* Whether an opened section is the locator of this process; `*base` is where that is mapped. */
static bool is_ours(HANDLE section, uintptr_t *base) {
  uintptr_t view = (uintptr_t)MapViewOfFile(section, LOOKING, 0, 0, 0);
  if (!is_view(view)) {
    if (view != 0) {
      (void)UnmapViewOfFile((const void *)view);
    }
    return false;
  }
  uintptr_t claimed = wait_for_address(view);
  bool is_same = claimed != view && is_view(claimed) && is_same_memory(view, claimed);
  (void)UnmapViewOfFile((const void *)view);
  *base = claimed;
  return is_same;
}

/* ---- The first locator ------------------------------------------------------------------------- */

/* The names that the first locator can have; the second is used where the first is taken. */
enum { NAMES = 2 };

static section_name own_name(int which) {
  return which == 0 ? name_of_process() : name_with_creation_time();
}

nb_outcome nb_page_find(nb_page *page) {
  *page = (nb_page){.if_empty = NEARBUF_DIALECT_UNKNOWN};
  for (int i = 0; i < NAMES; i++) {
    section_name name = own_name(i);
    HANDLE section = OpenFileMappingW(LOOKING, FALSE, name.text);
    if (section == NULL) {
      continue;
    }
    bool is_found = is_ours(section, &page->base);
    (void)CloseHandle(section);
    if (is_found) {
      return nb_outcome_of(NEARBUF_OK);
    }
  }
  page->base = 0;
  return nb_outcome_of(NEARBUF_NOT_FOUND);
}

/* Makes the section of a name, or attaches to it. DENIED: the name is somebody else's. */
static nb_outcome make_or_attach(const section_name *name, const nb_seed *seed, nb_page *page) {
  HANDLE section = make_section(name->text);
  DWORD error = GetLastError();
  if (section == NULL) {
    return outcome_of_error(error);
  }
  if (error == ERROR_ALREADY_EXISTS) {
    bool is_attached = is_ours(section, &page->base);
    (void)CloseHandle(section);
    return is_attached ? nb_outcome_of(NEARBUF_OK)
                       : nb_outcome_system(NEARBUF_DENIED, (int32_t)error);
  }
  uintptr_t base = (uintptr_t)map_section(section, 0);
  if (base == 0) {
    nb_outcome outcome = last_outcome();
    (void)CloseHandle(section);
    return outcome;
  }
  build(base, seed);
  *page = (nb_page){.base = base, .is_made = true, .handle = section};
  return nb_outcome_of(NEARBUF_OK);
}

nb_outcome nb_page_find_or_make(const nb_seed *seed, nb_page *page) {
  nb_outcome outcome = nb_page_find(page);
  bool is_retried = outcome.status == NEARBUF_NOT_FOUND;
  for (int i = 0; i < NAMES && is_retried; i++) {
    section_name name = own_name(i);
    outcome = make_or_attach(&name, seed, page);
    is_retried = outcome.status == NEARBUF_DENIED;
  }
  return outcome;
}

/* ---- Later locators ---------------------------------------------------------------------------- */

/* An address where a section would fit now: its name tells it, so it is wanted before. */
static uintptr_t free_address(void) {
  void *reserved = VirtualAlloc(NULL, section_size(), MEM_RESERVE, PAGE_NOACCESS);
  if (reserved != NULL) {
    (void)VirtualFree(reserved, 0, MEM_RELEASE);
  }
  return (uintptr_t)reserved;
}

/* NO_ROOM: another thread mapped something there, or the name is taken. */
static nb_outcome make_later_at(uintptr_t base, const nb_seed *seed, bool is_private,
                                nb_page *page) {
  section_name name = name_of_later(base);
  HANDLE section = make_section(is_private ? NULL : name.text);
  DWORD error = GetLastError();
  if (section == NULL) {
    return outcome_of_error(error);
  }
  bool is_new = error != ERROR_ALREADY_EXISTS;
  if (!is_new || map_section(section, base) == NULL) {
    (void)CloseHandle(section);
    return nb_outcome_of(NEARBUF_NO_ROOM);
  }
  build(base, seed);
  *page =
      (nb_page){.base = base, .is_made = true, .is_private = is_private, .handle = (void *)section};
  return nb_outcome_of(NEARBUF_OK);
}

nb_outcome nb_page_make_later(const nb_seed *seed, bool is_private, nb_page *page) {
  nb_outcome outcome = nb_outcome_of(NEARBUF_NO_ROOM);
  for (int i = 0; i < MOST_TRIES && outcome.status == NEARBUF_NO_ROOM; i++) {
    uintptr_t base = free_address();
    if (base == 0) {
      return last_outcome();
    }
    outcome = make_later_at(base, seed, is_private, page);
  }
  return outcome.status == NEARBUF_NO_ROOM ? nb_outcome_of(NEARBUF_OUT_OF_MEMORY) : outcome;
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
