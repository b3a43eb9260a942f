/* Windows: memory, the map, clocks, code. Also runs under Wine. Nothing here needs the C runtime to
 * be started, or a lock of the loader: all of it may be called from DllMain. Sources:
 * learn.microsoft.com on VirtualAlloc, VirtualAlloc2, VirtualQuery, FlushInstructionCache,
 * FlushProcessWriteBuffers. */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include <windows.h>

#include "os/os.h"
#include "os/placing.h"
#include "os/windows/error.h"
#include "os/windows/search.h"

/* ---- Numbers --------------------------------------------------------------------------------- */

static SYSTEM_INFO system_info(void) {
  SYSTEM_INFO info;
  GetSystemInfo(&info);
  return info;
}

nbuf_os_numbers nbuf_os_known;

void nbuf_os_ask_numbers(void) {
  SYSTEM_INFO info = system_info();
  atomic_store_explicit(&nbuf_os_known.page_size, info.dwPageSize, memory_order_relaxed);
  atomic_store_explicit(&nbuf_os_known.granularity, info.dwAllocationGranularity,
                        memory_order_relaxed);
}

/* 4 GiB in a 32-bit process that is large-address-aware, else 2 GiB. What the system reports
 * counts, not what VirtualAlloc grants: without the flag Wine grants addresses above 2 GiB, too. */
nbuf_range nbuf_os_limits(uintptr_t from, uintptr_t around) {
  (void)from, (void)around;
  SYSTEM_INFO info = system_info();
  nbuf_range limits = {(uintptr_t)info.lpMinimumApplicationAddress,
                       (uintptr_t)info.lpMaximumApplicationAddress};
  limits.min = limits.min < 0x10000 ? 0x10000 : limits.min;
  return limits;
}

/* Stacks and heaps reserve their room when they are made. */
size_t nbuf_os_reserved(nbuf_range area, nbuf_range ranges[NBUF_OS_RESERVED_MAX]) {
  (void)area;
  (void)ranges;
  return 0;
}

uintptr_t nbuf_os_growth_room(uintptr_t start, bool is_least) {
  (void)start, (void)is_least;
  return 0;
}

/* A second in ticks of the performance counter becomes a tick in units of 2^-32 ns. Divided bit by
 * bit and once: 32-bit code calls the compiler's runtime for a division of 64 bits, and programs
 * that link the static library with another compiler do not have it. */
static uint64_t length_of_tick(uint64_t ticks_of_second) {
  uint64_t rest = UINT64_C(1000000000) << 32;
  uint64_t quotient = 0;
  int shift = 0;
  while (shift < 63 && (ticks_of_second << shift >> 62) == 0) {
    shift++;
  }
  for (; shift >= 0; shift--) {
    uint64_t part = ticks_of_second << shift;
    if (rest >= part) {
      rest -= part;
      quotient |= UINT64_C(1) << shift;
    }
  }
  return quotient;
}

/* The upper part of a product, ticks * 2^-32 ns; it wraps after centuries. */
static uint64_t multiply(uint64_t ticks, uint64_t length) {
  uint64_t ticks_low = (uint32_t)ticks;
  uint64_t ticks_high = ticks >> 32;
  uint64_t length_low = (uint32_t)length;
  uint64_t length_high = length >> 32;
  return (ticks_high * length_high << 32) + ticks_high * length_low + ticks_low * length_high +
         (ticks_low * length_low >> 32);
}

uint64_t nbuf_os_nanoseconds(void) {
  static _Atomic uint32_t known_low;
  static _Atomic uint32_t known_high; /* stored last; 0: not known, or no more than a nanosecond */
  uint64_t length = (uint64_t)atomic_load_explicit(&known_high, memory_order_acquire) << 32;
  length |= atomic_load_explicit(&known_low, memory_order_relaxed);
  if (length >> 32 == 0) {
    LARGE_INTEGER frequency;
    (void)QueryPerformanceFrequency(&frequency); /* cannot fail from Windows XP on */
    length = length_of_tick((uint64_t)frequency.QuadPart);
    atomic_store_explicit(&known_low, (uint32_t)length, memory_order_relaxed);
    atomic_store_explicit(&known_high, (uint32_t)(length >> 32), memory_order_release);
  }
  LARGE_INTEGER count;
  (void)QueryPerformanceCounter(&count);
  return multiply((uint64_t)count.QuadPart, length);
}

void nbuf_os_pause(void) {
  Sleep(1); /* Sleep(0) would not let a holder of lower priority run */
}

/* The thread that is waited for mostly needs a few stores, and Sleep(1) takes up to 16 ms. */
void nbuf_os_pause_again(uint32_t times) {
  enum { SPINNING = 8, YIELDING = 32 };
  if (times >= SPINNING + YIELDING) {
    nbuf_os_pause();
  } else if (times >= SPINNING) {
    (void)SwitchToThread();
  } else {
    for (uint32_t i = 0; i < UINT32_C(1) << times; i++) {
      YieldProcessor();
    }
  }
}

uint32_t nbuf_os_process(void) {
  return GetCurrentProcessId();
}

/* ---- When the module is loaded --------------------------------------------------------------- */

/* What could wait for a lock of the loader or of the process's environment: a program that suspends
 * all threads and then calls the library would wait for a suspended one permanently. */

typedef struct own_variable {
  const char *name;
  char value[16];
  DWORD length; /* 0: not set, or longer than any valid value */
} own_variable;

static own_variable own_variables[] = {{.name = "NEARBUF_DIALECT"}};

enum { OWN_VARIABLES = sizeof own_variables / sizeof own_variables[0] };

static void read_environment(void) {
  for (int i = 0; i < OWN_VARIABLES; i++) {
    own_variable *each = &own_variables[i];
    DWORD length = GetEnvironmentVariableA(each->name, each->value, sizeof each->value);
    each->length = length < sizeof each->value ? length : 0;
  }
}

bool nbuf_os_environment(const char *name, char *value, size_t size) {
  for (int i = 0; i < OWN_VARIABLES; i++) {
    const own_variable *each = &own_variables[i];
    if (strcmp(name, each->name) == 0 && each->length != 0 && each->length < size) {
      memcpy(value, each->value, each->length + 1);
      return true;
    }
  }
  return false;
}

_Atomic(nbuf_virtual_alloc2) nbuf_windows_virtual_alloc2;

static void look_for_virtual_alloc2(void) {
  HMODULE base = GetModuleHandleW(L"kernelbase.dll");
  FARPROC found = base == NULL ? NULL : GetProcAddress(base, "VirtualAlloc2");
  nbuf_virtual_alloc2 function;
  static_assert(sizeof function == sizeof found, "functions have one kind of pointer");
  memcpy(&function, &found, sizeof function);
  atomic_store_explicit(&nbuf_windows_virtual_alloc2, function, memory_order_relaxed);
}

/* The first use of an object's name in a process opens the directory of names, under a lock that on
 * some systems also guards the process's environment. */
static void open_directory_of_names(void) {
  HANDLE section = OpenFileMappingW(FILE_MAP_READ, FALSE, L"nearbuf: there is no such section");
  if (section != NULL) {
    (void)CloseHandle(section);
  }
}

static void prepare(void) {
  static bool is_done; /* the loader calls one function at a time */
  if (!is_done) {
    is_done = true;
    DWORD error = GetLastError();
    read_environment();
    look_for_virtual_alloc2();
    open_directory_of_names();
    SetLastError(error);
  }
}

/* If `reserved` is set the process is ending, and other threads may still be calling. */
static void NTAPI when_loaded_or_unloaded(PVOID module, DWORD reason, PVOID reserved) {
  (void)module;
  if (reason == DLL_PROCESS_ATTACH) {
    prepare();
  } else if (reason == DLL_PROCESS_DETACH && reserved == NULL) {
    nbuf_module_unloaded();
  }
}

/* Called before the C runtime is started, where the module has a TLS directory: mingw's modules do.
 */
__attribute__((section(".CRT$XLB"), used)) static const PIMAGE_TLS_CALLBACK loader_entry =
    when_loaded_or_unloaded;

/* Called when the C runtime starts, mingw's and Microsoft's. In earlier calls of the library the
 * map is searched, and there are no variables. */
__attribute__((section(".CRT$XCB"), used)) static void (*const runtime_entry)(void) = prepare;

/* ---- Memory ---------------------------------------------------------------------------------- */

static nbuf_result result_of_error(DWORD error) {
  return error == ERROR_INVALID_PARAMETER /* beyond the address space */
             ? nbuf_result_system(NEARBUF_NO_ROOM, (int32_t)error)
             : nbuf_windows_failure(error);
}

nbuf_result nbuf_os_map(uintptr_t address, size_t size) {
  void *got = VirtualAlloc((void *)address, size, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);
  if (got == NULL) {
    return result_of_error(GetLastError());
  }
  if ((uintptr_t)got != address) {
    (void)VirtualFree(got, 0, MEM_RELEASE);
    return nbuf_result_of(NEARBUF_NO_ROOM);
  }
  return nbuf_result_of(NEARBUF_OK);
}

/* What is left alone beside images (decision 22). */
static const uintptr_t clear_of_images = (uintptr_t)16 << 20;

bool nbuf_os_is_near_image(nbuf_range place, nbuf_range *around) {
  uintptr_t at = nbuf_sub_saturating(place.min, clear_of_images);
  uintptr_t last = nbuf_add_saturating(place.max, clear_of_images);
  bool is_found = false;
  MEMORY_BASIC_INFORMATION region;
  while (at <= last && VirtualQuery((const void *)at, &region, sizeof region) != 0) {
    uintptr_t region_last = (uintptr_t)region.BaseAddress + (region.RegionSize - 1);
    if (region.State != MEM_FREE && region.Type == MEM_IMAGE) {
      uintptr_t start = nbuf_sub_saturating((uintptr_t)region.AllocationBase, clear_of_images);
      around->min = is_found ? around->min : start;
      around->max = nbuf_add_saturating(region_last, clear_of_images);
      is_found = true;
    }
    if (region_last < at || region_last == UINTPTR_MAX) {
      break;
    }
    at = region_last + 1;
  }
  return is_found;
}

/* Asks the system for free addresses between two. 0: there are none. */
static uintptr_t ask_between(nbuf_virtual_alloc2 allocate, nbuf_range bounds, size_t size,
                             uintptr_t alignment, ULONG kind, ULONG protection) {
  MEM_ADDRESS_REQUIREMENTS ends = {(void *)bounds.min, (void *)bounds.max, alignment};
  MEM_EXTENDED_PARAMETER parameter = {.Type = MemExtendedParameterAddressRequirements};
  parameter.Pointer = &ends;
  return (uintptr_t)allocate(GetCurrentProcess(), NULL, size, kind, protection, &parameter, 1);
}

/* Maps memory between two addresses, at a place of the system's choice. 0: there is none. */
static uintptr_t map_between(nbuf_virtual_alloc2 allocate, nbuf_range bounds, size_t size,
                             uintptr_t alignment, bool is_highest) {
  ULONG kind = MEM_RESERVE | MEM_COMMIT | (is_highest ? MEM_TOP_DOWN : 0);
  uintptr_t start = ask_between(allocate, bounds, size, alignment, kind, PAGE_EXECUTE_READWRITE);
  if (start != 0 && (!nbuf_range_holds(bounds, start, size) || start % alignment != 0)) {
    /* Wine 8 has the function and ignores the lowest address: the map is searched from now on. */
    (void)VirtualFree((void *)start, 0, MEM_RELEASE);
    atomic_store_explicit(&nbuf_windows_virtual_alloc2, NULL, memory_order_relaxed);
    return 0;
  }
  return start;
}

/* The range in whole granules in which the size fits, with the ends that the system expects. */
static bool narrow_to_granules(nbuf_range range, size_t size, nbuf_range *bounds) {
  uintptr_t granule = nbuf_os_granularity();
  uintptr_t highest;
  if (!nbuf_range_fit_lowest(range, size, granule, &bounds->min) ||
      !nbuf_range_fit_highest(range, size, granule, &highest)) {
    return false;
  }
  bounds->max = highest + (size - 1);
  return true;
}

/* The start of the image that contains the address; 0: none does. */
static uintptr_t image_at(uintptr_t address) {
  MEMORY_BASIC_INFORMATION region;
  bool is_image = VirtualQuery((const void *)address, &region, sizeof region) != 0 &&
                  region.State != MEM_FREE && region.Type == MEM_IMAGE;
  return is_image ? (uintptr_t)region.AllocationBase : 0;
}

/* The target of most requests is code, and what would be found first is near its image. So the
 * range ends below that; and nothing remains above it if the image itself extends too far, which is
 * looked at where that may be so. (A query of a wide range can cost more than what it saves: 70 us
 * for 2 GiB, under Wine.) False: nothing remains. */
static bool leave_out_image(nbuf_range *range, size_t size, bool is_highest) {
  const uintptr_t large_image = (uintptr_t)256 << 20;
  uintptr_t last_start = range->max - (size - 1);
  uintptr_t image = image_at(is_highest ? last_start : range->min);
  if (image == 0) {
    return true;
  }
  if (is_highest) {
    range->max = nbuf_sub_saturating(image, clear_of_images + 1);
    return range->min <= range->max;
  }
  uintptr_t must_end_before = nbuf_sub_saturating(last_start, clear_of_images);
  return must_end_before > range->min &&
         (must_end_before - range->min > large_image || image_at(must_end_before) != image);
}

uintptr_t nbuf_os_map_within(nbuf_range range, size_t size, uintptr_t alignment, bool is_highest) {
  enum { MOST_IMAGES = 32 }; /* number of groups; after that the map is searched */
  nbuf_virtual_alloc2 allocate =
      atomic_load_explicit(&nbuf_windows_virtual_alloc2, memory_order_relaxed);
  nbuf_range bounds;
  if (allocate == NULL || !narrow_to_granules(range, size, &bounds) ||
      !leave_out_image(&range, size, is_highest)) {
    return 0;
  }
  for (int i = 0; i < MOST_IMAGES && narrow_to_granules(range, size, &bounds); i++) {
    uintptr_t start = map_between(allocate, bounds, size, alignment, is_highest);
    nbuf_range around;
    if (start == 0 || !nbuf_os_is_near_image((nbuf_range){start, start + (size - 1)}, &around)) {
      return start;
    }
    (void)VirtualFree((void *)start, 0, MEM_RELEASE);
    if (is_highest ? around.min <= range.min : around.max >= range.max) {
      return 0;
    }
    range = is_highest ? (nbuf_range){range.min, around.min - 1}
                       : (nbuf_range){around.max + 1, range.max};
  }
  return 0;
}

/* Reserving does not count as use of memory: what fails is room, unless the error is another
 * one. */
bool nbuf_os_may_have_room(nbuf_range range, size_t size, uintptr_t alignment) {
  nbuf_virtual_alloc2 allocate =
      atomic_load_explicit(&nbuf_windows_virtual_alloc2, memory_order_relaxed);
  nbuf_range bounds;
  if (!narrow_to_granules(range, size, &bounds)) {
    return false;
  }
  if (allocate == NULL) {
    return true;
  }
  uintptr_t start = ask_between(allocate, bounds, size, alignment, MEM_RESERVE, PAGE_NOACCESS);
  if (start == 0) {
    DWORD error = GetLastError();
    return error != ERROR_NOT_ENOUGH_MEMORY && error != ERROR_INVALID_ADDRESS;
  }
  (void)VirtualFree((void *)start, 0, MEM_RELEASE);
  return true;
}

nbuf_result nbuf_os_unmap(uintptr_t address, size_t size) {
  (void)size; /* the system releases exactly what was reserved at once */
  if (!VirtualFree((void *)address, 0, MEM_RELEASE)) {
    return nbuf_result_system(NEARBUF_SYSTEM_ERROR, (int32_t)GetLastError());
  }
  return nbuf_result_of(NEARBUF_OK);
}

void *nbuf_os_own_pages(size_t size) {
  return VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

int32_t nbuf_os_last_error(void) {
  return (int32_t)GetLastError();
}

void nbuf_os_set_last_error(int32_t code) {
  SetLastError((DWORD)code);
}

/* There are no children that inherit memory. */
void *nbuf_os_process_pages(size_t size, nbuf_os_owner *owner) {
  atomic_store_explicit(&owner->inheritance, NBUF_OS_WIPED, memory_order_relaxed);
  return nbuf_os_own_pages(size);
}

bool nbuf_os_are_process_pages(const void *pages, const nbuf_os_owner *owner) {
  (void)pages, (void)owner;
  return true;
}

/* ---- The map --------------------------------------------------------------------------------- */

nbuf_result nbuf_os_map_open(nbuf_map *map, bool with_names) {
  (void)with_names; /* sections are recognised by their contents */
  map->is_cheap_anywhere = true;
  map->tells_execution = true;
  map->system_error = 0;
  return nbuf_result_of(NEARBUF_OK);
}

void nbuf_os_map_close(nbuf_map *map) {
  (void)map;
}

static void fill(nbuf_mapping *mapping, const MEMORY_BASIC_INFORMATION *region) {
  const DWORD writable =
      PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY;
  const DWORD executable =
      PAGE_EXECUTE | PAGE_EXECUTE_READ | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY;
  const DWORD readable = writable | PAGE_READONLY | PAGE_EXECUTE_READ;
  /* Memory that is only reserved, or guards a stack, is occupied and not accessible. */
  bool is_usable = region->State == MEM_COMMIT && (region->Protect & PAGE_GUARD) == 0;
  DWORD protection = is_usable ? region->Protect : PAGE_NOACCESS;
  uintptr_t last = (uintptr_t)region->BaseAddress + (region->RegionSize - 1);
  /* What precedes it in the same allocation is occupied, too, whatever its protection. If only the
   * part from the queried page on were returned, as the system does, a search downwards would
   * advance by one granule a query. */
  mapping->range = (nbuf_range){(uintptr_t)region->AllocationBase, last};
  mapping->readable = (protection & readable) != 0;
  mapping->writable = (protection & writable) != 0;
  mapping->executable = (protection & executable) != 0;
  mapping->shared = region->Type == MEM_MAPPED;
  mapping->device = 0;
  mapping->inode = 0;
  mapping->offset = 0;
  mapping->name_end[0] = '\0';
}

/* Whether a granule could be reserved there. */
static bool can_reserve(uintptr_t address) {
  uintptr_t granule = nbuf_os_granularity();
  void *got =
      VirtualAlloc((void *)nbuf_align_down(address, granule), granule, MEM_RESERVE, PAGE_NOACCESS);
  return got != NULL && VirtualFree(got, 0, MEM_RELEASE);
}

/* In 32 bits Wine reports all memory as reserved that it did not set aside at its start, such as
 * everything above 2 GiB, and grants it nevertheless. So such memory is tried, at both ends and in
 * the middle; if it was a real reservation, that fails and changes nothing. */
static bool is_free(const MEMORY_BASIC_INFORMATION *region) {
  if (region->State == MEM_FREE || sizeof(uintptr_t) == 8) {
    return region->State == MEM_FREE;
  }
  uintptr_t granule = nbuf_os_granularity();
  uintptr_t start;
  if (region->State != MEM_RESERVE || region->Type != MEM_PRIVATE ||
      region->AllocationProtect != PAGE_NOACCESS || region->AllocationBase != region->BaseAddress ||
      region->RegionSize < 2 * granule ||
      !nbuf_align_up((uintptr_t)region->BaseAddress, granule, &start)) {
    return false;
  }
  uintptr_t last = (uintptr_t)region->BaseAddress + (region->RegionSize - granule);
  return can_reserve(start) || can_reserve(start + region->RegionSize / 2) || can_reserve(last);
}

nbuf_map_answer nbuf_os_map_next(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping) {
  uintptr_t at = from;
  for (;;) {
    MEMORY_BASIC_INFORMATION region;
    if (VirtualQuery((const void *)at, &region, sizeof region) == 0) {
      map->system_error = (int32_t)GetLastError();
      return map->system_error == ERROR_INVALID_PARAMETER ? NBUF_MAP_END : NBUF_MAP_FAILED;
    }
    if (!is_free(&region)) {
      fill(mapping, &region);
      return NBUF_MAP_FOUND;
    }
    uintptr_t next = (uintptr_t)region.BaseAddress + region.RegionSize;
    if (next <= at) {
      return NBUF_MAP_END;
    }
    at = next;
  }
}

/* ---- Code and threads ------------------------------------------------------------------------ */

void nbuf_os_sync_code(uintptr_t address, size_t size) {
  (void)FlushInstructionCache(GetCurrentProcess(), (const void *)address, size);
}

/* The system call takes three times as long as placing 64 bytes. Processors of this family need it
 * for code that is replaced only; .NET does without it for new code, too (ClrFlushInstructionCache
 * for AMD64). Replaced code keeps it: emulators of these processors notice by it. */
void nbuf_os_sync_new_code(uintptr_t address, size_t size) {
#if defined(__x86_64__) || defined(__i386__)
  (void)address, (void)size;
  atomic_signal_fence(memory_order_seq_cst); /* the stores stay before what follows */
#else
  nbuf_os_sync_code(address, size);
#endif
}

void nbuf_os_sync_processors(void) {
  FlushProcessWriteBuffers(); /* an interrupt on every processor that runs this process */
}

nbuf_os_call nbuf_os_call_begin(void) {
  nbuf_os_call call = {0, (int64_t)GetLastError()}; /* threads are not cancelled here */
  return call;
}

void nbuf_os_call_end(nbuf_os_call call) {
  SetLastError((DWORD)call.last_error);
}
