/* Windows: other processes; see remote/port.h. Their locators are in remote/windows/pages.c.
 * Sources: learn.microsoft.com on OpenProcess, VirtualQueryEx, ReadProcessMemory,
 * WriteProcessMemory.
 *
 * A process is held by a handle, which refers to this process even when another one gets its id. A
 * 32-bit program queries a 64-bit process through functions of ntdll.dll that only 32-bit programs
 * on 64-bit systems have; Wine has those that read and write, but not the one that queries the
 * memory map. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <windows.h>

#include <psapi.h>

#include "base/compiler.h"
#include "os/os.h"
#include "os/windows/error.h"
#include "remote/windows/process.h"

enum { PROCESS = 0, RIGHTS = 1 }; /* what stands in `handles` */

HANDLE nbuf_windows_process(const nearbuf_process *process) {
  return (HANDLE)process->handles[PROCESS];
}

/* ---- Errors ---------------------------------------------------------------------------------- */

nbuf_result nbuf_windows_result(DWORD error) {
  return error == ERROR_SUCCESS ? nbuf_result_of(NEARBUF_OK) : nbuf_windows_failure(error);
}

static nbuf_result last_result(void) {
  return nbuf_windows_result(GetLastError());
}

/* Looked up when the module is loaded: later that could wait for a lock of the loader, which a
 * suspended thread may have. */
static struct native {
  const char *name;
  uintptr_t function;
} natives[] = {{"NtMapViewOfSection", 0},
               {"NtUnmapViewOfSection", 0},
               {"NtWow64QueryVirtualMemory64", 0},
               {"NtWow64ReadVirtualMemory64", 0},
               {"NtWow64WriteVirtualMemory64", 0}};

enum { NATIVES = sizeof natives / sizeof natives[0] };

static void look_for_natives(void) {
  HMODULE system = GetModuleHandleW(L"ntdll.dll");
  for (int i = 0; i < NATIVES; i++) {
    natives[i].function = (uintptr_t)GetProcAddress(system, natives[i].name);
  }
}

/* Called when the C runtime starts, mingw's and Microsoft's. */
__attribute__((section(".CRT$XCB"),
               used)) static void (*const runtime_entry)(void) = look_for_natives;

uintptr_t nbuf_windows_native(const char *name) {
  for (int i = 0; i < NATIVES; i++) {
    if (strcmp(natives[i].name, name) == 0) {
      return natives[i].function;
    }
  }
  return 0;
}

/* ---- Open and close -------------------------------------------------------------------------- */

/* From the right to change a process to the least right that reveals anything about it. */
static const DWORD rights[] = {
    PROCESS_QUERY_INFORMATION | PROCESS_VM_READ | PROCESS_VM_WRITE | PROCESS_VM_OPERATION |
        PROCESS_DUP_HANDLE | SYNCHRONIZE,
    PROCESS_QUERY_INFORMATION | PROCESS_VM_READ | SYNCHRONIZE,
    PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE,
};
enum { TO_CHANGE = 0, TO_LOOK = 1, RIGHTS_COUNT = 3 };
static_assert(sizeof rights / sizeof rights[0] == RIGHTS_COUNT, "one for each");

bool nbuf_windows_may_change(const nearbuf_process *process) {
  return process->handles[RIGHTS] == TO_CHANGE;
}

bool nbuf_windows_may_look(const nearbuf_process *process) {
  return process->handles[RIGHTS] <= TO_LOOK;
}

nbuf_result nbuf_remote_check(const nearbuf_process *process) {
  bool is_gone = WaitForSingleObject(nbuf_windows_process(process), 0) == WAIT_OBJECT_0;
  return nbuf_result_of(is_gone ? NEARBUF_NOT_FOUND : NEARBUF_OK);
}

/* The width of its addresses: that of the system, unless it runs in the layer for 32 bits. */
static uint32_t address_bits_of(HANDLE process) {
  BOOL is_in_layer = FALSE;
  if (!IsWow64Process(process, &is_in_layer)) {
    return 0;
  }
  if (is_in_layer) {
    return 32;
  }
  SYSTEM_INFO system;
  GetNativeSystemInfo(&system);
  bool is_32_bit_system = system.wProcessorArchitecture == PROCESSOR_ARCHITECTURE_INTEL ||
                          system.wProcessorArchitecture == PROCESSOR_ARCHITECTURE_ARM;
  return is_32_bit_system ? 32 : 64;
}

nbuf_result nbuf_remote_open(int64_t id, nearbuf_process *process) {
  if (id > UINT32_MAX) {
    return nbuf_result_system(NEARBUF_NOT_FOUND, ERROR_INVALID_PARAMETER);
  }
  HANDLE opened = NULL;
  DWORD error = ERROR_ACCESS_DENIED;
  for (int i = 0; i < RIGHTS_COUNT && opened == NULL && error == ERROR_ACCESS_DENIED; i++) {
    opened = OpenProcess(rights[i], FALSE, (DWORD)id);
    error = opened == NULL ? GetLastError() : ERROR_SUCCESS;
    process->handles[RIGHTS] = i;
  }
  if (opened == NULL) {
    return error == ERROR_INVALID_PARAMETER ? nbuf_result_system(NEARBUF_NOT_FOUND, (int32_t)error)
                                            : nbuf_windows_result(error);
  }
  process->handles[PROCESS] = (intptr_t)opened;
  process->id = id;
  process->address_bits = address_bits_of(opened);
  /* The system ignores the last two bits of an id; and a handle to a dead process keeps its id
   * alive. */
  nbuf_result result = GetProcessId(opened) == (DWORD)id ? nbuf_remote_check(process)
                                                         : nbuf_result_of(NEARBUF_NOT_FOUND);
  if (result.status != NEARBUF_OK) {
    nbuf_remote_close(process);
  }
  return result;
}

void nbuf_remote_close(nearbuf_process *process) {
  if (process->handles[PROCESS] != 0) {
    (void)CloseHandle(nbuf_windows_process(process));
  }
  process->handles[PROCESS] = 0;
}

/* ---- About a process ------------------------------------------------------------------------- */

enum { PATH_LENGTH = 1024, UTF8_MAX = 3 /* bytes of one unit of UTF-16 */ };

/* Puts the end of a text, if it is too long, into a field. */
static void copy_end(const wchar_t *text, size_t length, char *field, size_t size) {
  char bytes[PATH_LENGTH * UTF8_MAX];
  int count =
      WideCharToMultiByte(CP_UTF8, 0, text, (int)length, bytes, (int)sizeof bytes, NULL, NULL);
  size_t fill = count > 0 ? (size_t)count : 0;
  size_t from = fill < size ? 0 : fill - (size - 1);
  while (from < fill && ((unsigned char)bytes[from] & 0xc0) == 0x80) {
    from++; /* not in the middle of a character */
  }
  memcpy(field, bytes + from, fill - from);
  field[fill - from] = '\0';
}

/* The name of its program without the folders. */
static void fill_name(HANDLE process, nearbuf_process_info *info) {
  wchar_t path[PATH_LENGTH];
  DWORD length = PATH_LENGTH;
  if (!QueryFullProcessImageNameW(process, 0, path, &length)) {
    return;
  }
  DWORD from = length;
  while (from > 0 && path[from - 1] != L'\\') {
    from--;
  }
  copy_end(path + from, length - from, info->name, sizeof info->name);
}

/* The name of its user. */
static void fill_user(HANDLE process, nearbuf_process_info *info) {
  HANDLE token;
  if (!OpenProcessToken(process, TOKEN_QUERY, &token)) {
    return;
  }
  union {
    TOKEN_USER user;
    unsigned char room[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
  } of;
  wchar_t name[257];
  wchar_t domain[257];
  DWORD size = sizeof of;
  DWORD name_length = sizeof name / sizeof name[0];
  DWORD domain_length = sizeof domain / sizeof domain[0];
  SID_NAME_USE use;
  if (GetTokenInformation(token, TokenUser, &of, sizeof of, &size) &&
      LookupAccountSidW(NULL, of.user.User.Sid, name, &name_length, domain, &domain_length, &use)) {
    copy_end(name, name_length, info->user_name, sizeof info->user_name);
  }
  (void)CloseHandle(token);
}

nbuf_result nbuf_remote_describe(const nearbuf_process *process, nearbuf_process_info *info) {
  info->id = process->id;
  info->own_id = process->id;
  info->address_bits = process->address_bits;
  fill_name(nbuf_windows_process(process), info);
  fill_user(nbuf_windows_process(process), info);
  return nbuf_remote_check(process);
}

static int compare_ids(const void *left, const void *right) {
  DWORD one = *(const DWORD *)left;
  DWORD other = *(const DWORD *)right;
  return (one > other) - (one < other);
}

nbuf_result nbuf_remote_visit_all(nearbuf_process_visitor visit, void *context) {
  const DWORD size = 1 << 20; /* more ids than the system has memory for processes */
  DWORD *ids = nbuf_os_own_pages(size);
  DWORD filled = 0;
  if (ids == NULL) {
    return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, nbuf_os_last_error());
  }
  nbuf_result result =
      K32EnumProcesses(ids, size, &filled) ? nbuf_result_of(NEARBUF_OK) : last_result();
  size_t count = result.status == NEARBUF_OK ? filled / sizeof *ids : 0;
  qsort(ids, count, sizeof *ids, compare_ids);
  for (size_t i = 0; i < count && result.status == NEARBUF_OK; i++) {
    /* 0 is what the processors do when they do nothing. */
    if (ids[i] != 0 && visit((int64_t)ids[i], context) < 0) {
      result = nbuf_result_of(NEARBUF_CANCELLED);
    }
  }
  (void)nbuf_os_unmap((uintptr_t)ids, size);
  return result;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

typedef enum direction { FROM_PROCESS, TO_PROCESS } direction;

typedef LONG(NTAPI *wide_copy)(HANDLE process, ULONG64 address, void *bytes, ULONG64 size,
                               ULONG64 *done);

/* Copies all of it or, as far as is reported, nothing. */
static bool copy_whole(HANDLE process, direction where, uint64_t address, void *bytes,
                       size_t size) {
  if (address <= UINTPTR_MAX && size - 1 <= UINTPTR_MAX - (uintptr_t)address) {
    SIZE_T done;
    void *there = (void *)(uintptr_t)address;
    return where == FROM_PROCESS ? ReadProcessMemory(process, there, bytes, size, &done)
                                 : WriteProcessMemory(process, there, bytes, size, &done);
  }
  wide_copy copy_wide = (wide_copy)nbuf_windows_native(
      where == FROM_PROCESS ? "NtWow64ReadVirtualMemory64" : "NtWow64WriteVirtualMemory64");
  ULONG64 done;
  return copy_wide != NULL && copy_wide(process, address, bytes, size, &done) >= 0;
}

/* Writes into a page that the process may only read: it is made writable meanwhile. A mapped file
 * would change for every process, so that is not done. */
static bool write_read_only(HANDLE process, uint64_t address, void *bytes, size_t size) {
  nbuf_windows_region region;
  DWORD before;
  DWORD ignored;
  bool is_known =
      address <= UINTPTR_MAX &&
      nbuf_windows_query(process, sizeof(uintptr_t) * 8, address, &region).status == NEARBUF_OK;
  if (!is_known || region.type == MEM_MAPPED || region.protection != PAGE_READONLY ||
      !VirtualProtectEx(process, (void *)(uintptr_t)address, size, PAGE_READWRITE, &before)) {
    return false;
  }
  bool is_done = copy_whole(process, TO_PROCESS, address, bytes, size);
  (void)VirtualProtectEx(process, (void *)(uintptr_t)address, size, before, &ignored);
  return is_done;
}

/* How much of it can be read. Reserved memory cannot, but Wine would copy it. */
static size_t accessible(HANDLE process, uint32_t address_bits, uint64_t address, size_t size) {
  uint64_t at = address;
  while (at - address < size) {
    nbuf_windows_region region;
    nbuf_result result = nbuf_windows_query(process, address_bits, at, &region);
    if (result.status == NEARBUF_UNSUPPORTED) {
      return size; /* a copy will tell */
    }
    if (result.status != NEARBUF_OK || !nbuf_windows_is_readable(region.protection)) {
      break;
    }
    at = region.base + region.size;
  }
  return at - address < size ? (size_t)(at - address) : size;
}

/* Copies as much as possible, page by page if not all of it can be copied. */
static nbuf_result copy(HANDLE process, uint32_t address_bits, direction where, uint64_t address,
                        void *bytes, size_t size, size_t *done) {
  size_t page = nbuf_os_page_size();
  size_t end = accessible(process, address_bits, address, size);
  bool is_done = end != 0 && copy_whole(process, where, address, bytes, end);
  *done = is_done ? end : 0;
  for (is_done = true; is_done && *done < end;) {
    uint64_t from = address + *done;
    size_t to_end = page - (size_t)(from & (page - 1));
    size_t part = to_end < end - *done ? to_end : end - *done;
    unsigned char *here = (unsigned char *)bytes + *done;
    is_done = copy_whole(process, where, from, here, part) ||
              (where == TO_PROCESS && write_read_only(process, from, here, part));
    *done += is_done ? part : 0;
  }
  /* Callers have the rights: what is refused is the memory. */
  return *done == size ? nbuf_result_of(NEARBUF_OK)
                       : nbuf_result_system(NEARBUF_NOT_MAPPED, ERROR_PARTIAL_COPY);
}

static nbuf_result denied(void) {
  return nbuf_result_system(NEARBUF_DENIED, ERROR_ACCESS_DENIED);
}

nbuf_result nbuf_remote_read(const nearbuf_process *process, uint64_t address, void *bytes,
                             size_t size, size_t *done) {
  *done = 0;
  if (!nbuf_windows_may_look(process)) {
    return denied();
  }
  return copy(nbuf_windows_process(process), process->address_bits, FROM_PROCESS, address, bytes,
              size, done);
}

static nbuf_result write_memory(HANDLE process, uint32_t address_bits, uint64_t address,
                                const void *bytes, size_t size, size_t *done) {
  nbuf_result result =
      copy(process, address_bits, TO_PROCESS, address, (void *)(uintptr_t)bytes, size, done);
  if (address <= UINTPTR_MAX) {
    (void)FlushInstructionCache(process, (const void *)(uintptr_t)address, *done);
  }
  return result;
}

nbuf_result nbuf_remote_write(const nearbuf_process *process, uint64_t address, const void *bytes,
                              size_t size, size_t *done) {
  *done = 0;
  if (!nbuf_windows_may_change(process)) {
    return denied();
  }
  return write_memory(nbuf_windows_process(process), process->address_bits, address, bytes, size,
                      done);
}

/* A process runs one program here, and keeps its address space, to its end. */
nbuf_result nbuf_remote_note_program(nearbuf_process *process) {
  (void)process;
  return nbuf_result_of(NEARBUF_OK);
}

nbuf_result nbuf_remote_check_program(const nearbuf_process *process) {
  (void)process;
  return nbuf_result_of(NEARBUF_OK);
}

void nbuf_remote_let_go(nearbuf_process *process) {
  (void)process;
}

nbuf_result nbuf_remote_memory_open(nearbuf_process *process, intptr_t *memory) {
  bool may_change = nbuf_windows_may_change(process);
  *memory = may_change ? process->handles[PROCESS] : 0;
  return may_change ? nbuf_result_of(NEARBUF_OK) : denied();
}

nbuf_result nbuf_remote_memory_write(intptr_t memory, uint64_t address, const void *bytes,
                                     size_t size) {
  size_t done;
  /* A program cannot get a buffer in a process that is wider than itself. */
  return write_memory((HANDLE)memory, sizeof(uintptr_t) * 8, address, bytes, size, &done);
}

void nbuf_remote_memory_close(intptr_t memory) {
  (void)memory;
}

/* ---- Its map --------------------------------------------------------------------------------- */

bool nbuf_windows_is_writable(DWORD protection) {
  return (protection &
          (PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY)) != 0;
}

bool nbuf_windows_is_readable(DWORD protection) {
  return nbuf_windows_is_writable(protection) ||
         (protection & (PAGE_READONLY | PAGE_EXECUTE_READ)) != 0;
}

static bool is_executable(DWORD protection) {
  return (protection & (PAGE_EXECUTE | PAGE_EXECUTE_READ | PAGE_EXECUTE_READWRITE |
                        PAGE_EXECUTE_WRITECOPY)) != 0;
}

typedef LONG(NTAPI *wide_query)(HANDLE process, ULONG64 address, int ctx, void *information,
                                ULONG64 size, ULONG64 *done);

static nbuf_result query_wide(HANDLE process, uint64_t address, MEMORY_BASIC_INFORMATION64 *found) {
  const LONG invalid_parameter = (LONG)0xC000000D;
  wide_query query = (wide_query)nbuf_windows_native("NtWow64QueryVirtualMemory64");
  if (query == NULL) {
    return nbuf_result_of(NEARBUF_UNSUPPORTED);
  }
  LONG status = query(process, address, 0, found, sizeof *found, NULL);
  if (status >= 0) {
    return nbuf_result_of(NEARBUF_OK);
  }
  return status == invalid_parameter ? nbuf_result_of(NEARBUF_NOT_FOUND)
                                     : nbuf_result_system(NEARBUF_DENIED, status);
}

static nbuf_result query_own_width(HANDLE process, uint64_t address,
                                   MEMORY_BASIC_INFORMATION64 *found) {
  MEMORY_BASIC_INFORMATION region;
  if (address > UINTPTR_MAX) {
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  if (VirtualQueryEx(process, (const void *)(uintptr_t)address, &region, sizeof region) == 0) {
    DWORD error = GetLastError();
    return error == ERROR_INVALID_PARAMETER ? nbuf_result_of(NEARBUF_NOT_FOUND)
                                            : nbuf_windows_result(error);
  }
  *found = (MEMORY_BASIC_INFORMATION64){.BaseAddress = (uintptr_t)region.BaseAddress,
                                        .AllocationBase = (uintptr_t)region.AllocationBase,
                                        .RegionSize = region.RegionSize,
                                        .State = region.State,
                                        .Protect = region.Protect,
                                        .Type = region.Type};
  return nbuf_result_of(NEARBUF_OK);
}

nbuf_result nbuf_windows_query(HANDLE process, uint32_t address_bits, uint64_t address,
                               nbuf_windows_region *region) {
  MEMORY_BASIC_INFORMATION64 found = {0};
  nbuf_result result = address_bits > sizeof(uintptr_t) * 8
                           ? query_wide(process, address, &found)
                           : query_own_width(process, address, &found);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  bool is_usable = found.State == MEM_COMMIT && (found.Protect & PAGE_GUARD) == 0;
  *region = (nbuf_windows_region){.base = found.BaseAddress,
                                  .size = found.RegionSize,
                                  .allocation = found.AllocationBase,
                                  .state = found.State,
                                  .type = found.Type,
                                  .protection = is_usable ? found.Protect : PAGE_NOACCESS};
  return result;
}

/* An open map is the process, the width of its addresses, and how far one is. */
/* An open map, in nbuf_remote_map's port. */
typedef struct NBUF_MAY_ALIAS region_walk {
  HANDLE process;
  uint32_t address_bits;
  uint64_t from;
} region_walk;

static region_walk *region_walk_of(nbuf_remote_map *map) {
  return (region_walk *)(void *)map->port.bytes;
}

nbuf_result nbuf_remote_map_open(const nearbuf_process *process, nbuf_remote_map *map) {
  *region_walk_of(map) = (region_walk){(HANDLE)process->handles[PROCESS], process->address_bits, 0};
  return nbuf_windows_may_look(process) ? nbuf_result_of(NEARBUF_OK) : denied();
}

void nbuf_remote_map_close(nbuf_remote_map *map) {
  (void)map;
}

/* The file that is mapped there: the system's own name for it, which begins with a device. */
static void fill_file_name(HANDLE process, uint64_t address, char *name, size_t size) {
  wchar_t path[PATH_LENGTH];
  DWORD length = address > UINTPTR_MAX ? 0
                                       : K32GetMappedFileNameW(process, (void *)(uintptr_t)address,
                                                               path, PATH_LENGTH);
  copy_end(path, length, name, size);
}

nbuf_result nbuf_remote_map_next(nbuf_remote_map *map, nbuf_remote_mapping *mapping) {
  region_walk *walk = region_walk_of(map);
  nbuf_windows_region region;
  nbuf_result result;
  do {
    result = nbuf_windows_query(walk->process, walk->address_bits, walk->from, &region);
    if (result.status == NEARBUF_OK && region.base + region.size <= walk->from) {
      result = nbuf_result_of(NEARBUF_NOT_FOUND); /* it ends with the address space */
    }
    if (result.status != NEARBUF_OK) {
      return result;
    }
    walk->from = region.base + region.size;
  } while (region.state == MEM_FREE);
  *mapping =
      (nbuf_remote_mapping){.info = {.min = region.base,
                                     .max = region.base + (region.size - 1),
                                     .is_readable = nbuf_windows_is_readable(region.protection),
                                     .is_writable = nbuf_windows_is_writable(region.protection),
                                     .is_executable = is_executable(region.protection),
                                     .is_shared = region.type == MEM_MAPPED}};
  if (region.type != MEM_PRIVATE) {
    fill_file_name(walk->process, region.base, mapping->info.name, sizeof mapping->info.name);
  }
  return result;
}

/* For a 32-bit process the upper half as well: without the large-address flag the system refuses
 * what is requested there. */
nbuf_range nbuf_remote_limits(uint32_t address_bits, uintptr_t around) {
  nbuf_range limits = nbuf_os_limits(0, around);
  if (address_bits == 32) {
    limits.max = (uintptr_t)0xfffeffff;
  }
  return limits;
}

/* ---- Making memory --------------------------------------------------------------------------- */

nbuf_result nbuf_remote_allocate(nearbuf_process *process, uint64_t address, uint64_t size,
                                 nbuf_remote_draft *draft) {
  (void)draft;
  void *wanted = (void *)(uintptr_t)address;
  if (!nbuf_windows_may_change(process)) {
    return denied();
  }
  void *got = VirtualAllocEx(nbuf_windows_process(process), wanted, (SIZE_T)size,
                             MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);
  if (got == NULL) {
    DWORD error = GetLastError();
    /* Beyond the address space of the process. */
    return error == ERROR_INVALID_PARAMETER ? nbuf_result_system(NEARBUF_NO_ROOM, (int32_t)error)
                                            : nbuf_windows_result(error);
  }
  if (got != wanted) {
    (void)VirtualFreeEx(nbuf_windows_process(process), got, 0, MEM_RELEASE);
    return nbuf_result_of(NEARBUF_NO_ROOM);
  }
  return nbuf_result_of(NEARBUF_OK);
}

/* The system releases what was reserved at once, and nothing else. */
nbuf_result nbuf_remote_free(nearbuf_process *process, uint64_t address, uint64_t size) {
  nbuf_windows_region region;
  nbuf_result result =
      nbuf_windows_query(nbuf_windows_process(process), process->address_bits, address, &region);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  if (region.allocation != address || region.base != address || region.size != size) {
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  return VirtualFreeEx(nbuf_windows_process(process), (void *)(uintptr_t)address, 0, MEM_RELEASE)
             ? nbuf_result_of(NEARBUF_OK)
             : last_result();
}

bool nbuf_remote_is_growing_stack(nearbuf_process *process, uint64_t start) {
  (void)process, (void)start;
  return false;
}
