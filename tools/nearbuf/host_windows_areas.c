/* Heaps and stacks of a process on Windows, whose memory map does not name them: the environment
 * block of each thread has its stack's addresses, that of the process a list of its heaps. In a
 * 32-bit process on a 64-bit system there are both kinds of blocks, and heaps and stacks of both.
 * Sources: learn.microsoft.com on NtQueryInformationThread and NtQueryInformationProcess; the
 * places of the fields are those of the symbols that Microsoft publishes for ntdll.dll, the same in
 * all versions. */
#include "host.h"

#include <string.h>
#include <windows.h>

#include <tlhelp32.h>
#include <winternl.h>

enum { MOST_HEAPS = 256 };

/* Where the fields are in blocks of a width. */
typedef struct block_layout {
  uint32_t width; /* bytes of an address */
  uint32_t stack_end;
  uint32_t stack_start; /* of what is reserved */
  uint32_t first_heap;
  uint32_t heap_count;
  uint32_t heaps;
} block_layout;

static const block_layout narrow = {4, 0x04, 0xe0c, 0x18, 0x88, 0x90};
static const block_layout wide = {8, 0x08, 0x1478, 0x30, 0xe8, 0xf0};

/* A walk of the areas of one process. */
typedef struct area_walk {
  const nearbuf_process *process;
  HANDLE handle;
  host_area_visitor visit;
  void *context;
} area_walk;

/* What the system tells of a thread, as THREAD_BASIC_INFORMATION. */
enum { THREAD_BASICS = 0 };
typedef struct thread_basics {
  LONG exit_status;
  void *block;
  void *ids[2];
  ULONG_PTR processors;
  LONG priorities[2];
} thread_basics;

typedef LONG(NTAPI *information_query)(HANDLE of, int kind, void *information, ULONG size,
                                       ULONG *done);

/* Not in all import libraries. Null: the system does not have it. */
static information_query query_function(const char *name) {
  FARPROC found = GetProcAddress(GetModuleHandleA("ntdll.dll"), name);
  information_query query = NULL;
  memcpy(&query, &found, sizeof query);
  return query;
}

/* The number of `width` bytes at an address; 0: it cannot be read. */
static uint64_t read_number(const area_walk *walk, uint64_t address, uint32_t width) {
  uint64_t number = 0; /* the lowest byte is the first on all machines with Windows */
  SIZE_T done = 0;
  bool is_read = address != 0 && ReadProcessMemory(walk->handle, (const void *)(uintptr_t)address,
                                                   &number, width, &done) != 0;
  return is_read && done == width ? number : 0;
}

/* ---- Stacks ---------------------------------------------------------------------------------- */

static void visit_stack(const area_walk *walk, uint64_t block, const block_layout *layout) {
  uint64_t start = read_number(walk, block + layout->stack_start, layout->width);
  uint64_t end = read_number(walk, block + layout->stack_end, layout->width);
  if (start != 0 && start < end) {
    walk->visit(start, end - 1, "[stack]", walk->context);
  }
}

static void visit_thread(const area_walk *walk, information_query query, DWORD id) {
  thread_basics basic = {0};
  HANDLE thread = OpenThread(THREAD_QUERY_INFORMATION, FALSE, id);
  if (thread == NULL) {
    return;
  }
  if (query(thread, THREAD_BASICS, &basic, sizeof basic, NULL) >= 0 && basic.block != NULL) {
    uint64_t block = (uintptr_t)basic.block;
    bool is_narrow = sizeof(void *) == 4;
    visit_stack(walk, block, is_narrow ? &narrow : &wide);
    if (!is_narrow && walk->process->address_bits == 32) {
      /* A wide block begins with the address of the narrow one. */
      visit_stack(walk, read_number(walk, block, wide.width), &narrow);
    }
  }
  (void)CloseHandle(thread);
}

static void visit_stacks(const area_walk *walk) {
  information_query query = query_function("NtQueryInformationThread");
  HANDLE list = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
  THREADENTRY32 thread = {.dwSize = sizeof thread};
  if (query != NULL && list != INVALID_HANDLE_VALUE && Thread32First(list, &thread)) {
    do {
      if (thread.th32OwnerProcessID == (DWORD)walk->process->id) {
        visit_thread(walk, query, thread.th32ThreadID);
      }
      thread.dwSize = sizeof thread;
    } while (Thread32Next(list, &thread));
  }
  if (list != INVALID_HANDLE_VALUE) {
    (void)CloseHandle(list);
  }
}

/* ---- Heaps ----------------------------------------------------------------------------------- */

/* What was reserved at once with the start of the heap. */
static void visit_heap(const area_walk *walk, uint64_t heap) {
  MEMORY_BASIC_INFORMATION region;
  uintptr_t at = (uintptr_t)heap;
  while (VirtualQueryEx(walk->handle, (const void *)at, &region, sizeof region) != 0 &&
         region.State != MEM_FREE && (uintptr_t)region.AllocationBase == (uintptr_t)heap &&
         at + region.RegionSize > at) {
    at += region.RegionSize;
  }
  if (at != heap) {
    walk->visit(heap, at - 1, "[heap]", walk->context);
  }
}

static void visit_heaps_of(const area_walk *walk, uint64_t block, const block_layout *layout) {
  if (block == 0) {
    return;
  }
  visit_heap(walk, read_number(walk, block + layout->first_heap, layout->width));
  uint64_t count = read_number(walk, block + layout->heap_count, 4);
  uint64_t heaps = read_number(walk, block + layout->heaps, layout->width);
  for (uint32_t i = 0; heaps != 0 && i < count && i < MOST_HEAPS; i++) {
    visit_heap(walk, read_number(walk, heaps + (uint64_t)i * layout->width, layout->width));
  }
}

static void visit_heaps(const area_walk *walk) {
  information_query query = query_function("NtQueryInformationProcess");
  PROCESS_BASIC_INFORMATION basic = {0};
  ULONG_PTR narrow_block = 0;
  bool is_narrow = sizeof(void *) == 4;
  if (query != NULL &&
      query(walk->handle, ProcessBasicInformation, &basic, sizeof basic, NULL) >= 0) {
    visit_heaps_of(walk, (uintptr_t)basic.PebBaseAddress, is_narrow ? &narrow : &wide);
  }
  if (query != NULL && !is_narrow && walk->process->address_bits == 32 &&
      query(walk->handle, ProcessWow64Information, &narrow_block, sizeof narrow_block, NULL) >= 0) {
    visit_heaps_of(walk, narrow_block, &narrow);
  }
}

void host_visit_areas(const nearbuf_process *process, host_area_visitor visit, void *context) {
  if (process->address_bits > sizeof(void *) * 8) {
    return; /* the system does not tell a narrower program where the blocks are */
  }
  HANDLE handle =
      OpenProcess(PROCESS_QUERY_INFORMATION | PROCESS_VM_READ, FALSE, (DWORD)process->id);
  if (handle == NULL) {
    return;
  }
  area_walk walk = {process, handle, visit, context};
  visit_stacks(&walk);
  visit_heaps(&walk);
  (void)CloseHandle(handle);
}
