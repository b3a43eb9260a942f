/* The contract of a port: what a system must provide. A port is a folder (linux, bsd, windows);
 * posix/ has what POSIX systems share. tests/os/conformance.c checks it, docs/porting.md has the
 * rules.
 *
 * Sizes are bytes. Unless a function says otherwise, it allocates nothing from the heap, prints
 * nothing, never aborts, keeps no descriptor open across its return, and may be called by any
 * thread and in signal handlers. It may change errno; see nbuf_os_call_begin. */
#ifndef NBUF_OS_H
#define NBUF_OS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/range.h"
#include "base/result.h"

/* ---- Numbers --------------------------------------------------------------------------------- */

/* What the port asks the system for once; 0 before. The port defines both. */
typedef struct nbuf_os_numbers {
  _Atomic size_t page_size;
  _Atomic size_t granularity;
} nbuf_os_numbers;
extern nbuf_os_numbers nbuf_os_known;
void nbuf_os_ask_numbers(void);

/* The size of a page, and the unit in which the system hands out addresses; both powers of two, in
 * bytes. They are equal on POSIX systems; the unit is 64 KiB on Windows. Never fail. */
static inline size_t nbuf_os_page_size(void) {
  if (atomic_load_explicit(&nbuf_os_known.page_size, memory_order_relaxed) == 0) {
    nbuf_os_ask_numbers();
  }
  return atomic_load_explicit(&nbuf_os_known.page_size, memory_order_relaxed);
}

static inline size_t nbuf_os_granularity(void) {
  if (atomic_load_explicit(&nbuf_os_known.granularity, memory_order_relaxed) == 0) {
    nbuf_os_ask_numbers();
  }
  return atomic_load_explicit(&nbuf_os_known.granularity, memory_order_relaxed);
}

/* The addresses that the system can give to a process, in whole granules. The lowest is at least 64
 * KiB, even where root could map the page at 0, so that null pointers go on faulting. A caller that
 * needs nothing below `from`, and looks for memory around `around`, may get a smaller range
 * elsewhere, since a complete one can cost system calls. Never fails. */
nbuf_range nbuf_os_limits(uintptr_t from, uintptr_t around);

/* Stores the ranges that the system will need itself, to be used only when nothing else fits: the
 * room below the main thread's stack, the room above the program break. Returns how many it stored,
 * at most NBUF_OS_RESERVED_MAX; those that do not touch `area` may be missing. */
enum { NBUF_OS_RESERVED_MAX = 4 };
size_t nbuf_os_reserved(nbuf_range area, nbuf_range ranges[NBUF_OS_RESERVED_MAX]);

/* The nanoseconds of a clock that never goes back, and a short pause in which other threads run. */
uint64_t nbuf_os_nanoseconds(void);
void nbuf_os_pause(void);

/* The same for a caller that has paused `times` times for the same purpose. Where the shortest
 * pause is long (1 to 16 ms on Windows) the first ones are shorter, and may only yield to threads
 * of other processors. */
void nbuf_os_pause_again(uint32_t times);

/* The id of this process. */
uint32_t nbuf_os_process(void);

/* Copies the value of an environment variable, with its terminating zero, to the `size` bytes at
 * `value`. False: it is not set, does not fit, or was set by a user with fewer rights than the
 * program has (set-user-ID). Windows knows only the library's own variables, as they were when the
 * module was loaded: reading others takes a lock that a suspended thread may hold. */
bool nbuf_os_environment(const char *name, char *value, size_t size);

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Maps zeroed, private memory that can be read, written and executed, at exactly `address`. Both
 * are whole granules, `size` is not 0. Never replaces a mapping. On failure nothing is mapped.
 * NO_ROOM: something is mapped there, the system never gives these addresses, or it keeps them free
 * below a stack that grows; OUT_OF_MEMORY; DENIED: this memory may not be executable;
 * SYSTEM_ERROR. */
nbuf_result nbuf_os_map(uintptr_t address, size_t size);

/* The page below `start` must be free. If a stack that grows on demand starts at `start`, returns
 * the number of bytes below it to leave to the stack: all that it may become, or, with `is_least`,
 * what nbuf_os_map refuses in any case. 0: it is not a stack. Two system calls. */
uintptr_t nbuf_os_growth_room(uintptr_t start, bool is_least);

/* The bytes that nbuf_os_growth_room returns for a stack are at most, and those that nbuf_os_map
 * refuses are at least: */
#define NBUF_OS_MOST_GROWTH ((uintptr_t)(sizeof(uintptr_t) == 8 ? 64 : 9) << 20)
#define NBUF_OS_LEAST_GROWTH ((uintptr_t)1 << 20)

/* Unmaps exactly what one call of these functions mapped. SYSTEM_ERROR: it stays mapped. */
nbuf_result nbuf_os_unmap(uintptr_t address, size_t size);

/* Maps zeroed memory for the library's own use, at any address, never executable. Null: there is
 * none; nbuf_os_last_error returns the reason. It is kept permanently, except what a lost race left
 * over, which nbuf_os_unmap unmaps. */
void *nbuf_os_own_pages(size_t size);

/* The system's code of the last failure of the calling thread, such as that of
 * nbuf_os_own_pages. */
int32_t nbuf_os_last_error(void);
void nbuf_os_set_last_error(int32_t code);

/* The contents of such pages in a child after fork, however it was forked. */
typedef enum nbuf_os_inheritance {
  NBUF_OS_WIPED,    /* zeros: no check is needed */
  NBUF_OS_ABSENT,   /* unmapped, or something mapped there since */
  NBUF_OS_INHERITED /* what the parent stored */
} nbuf_os_inheritance;

/* The owner of such pages, kept elsewhere. The caller sets the mark: a number that differs from
 * that of every other copy of the library that makes such pages in the same process. */
typedef struct nbuf_os_owner {
  _Atomic uint32_t mark;
  _Atomic uint32_t process;
  _Atomic uint32_t inheritance; /* a nbuf_os_inheritance */
} nbuf_os_owner;

/* Maps own pages whose contents belong to this process alone. Their first 4 bytes are the port's.
 * Null: as nbuf_os_own_pages. A child of vfork, which shares the memory, is this process, whatever
 * its id is. */
void *nbuf_os_process_pages(size_t size, nbuf_os_owner *owner);

/* Whether such pages belong to this process, and are not what its parent left, where the system
 * does not wipe them. They may be read only if so. One or two system calls. */
bool nbuf_os_are_process_pages(const void *pages, const nbuf_os_owner *owner);

/* ---- The map of this process ----------------------------------------------------------------- */

typedef struct nbuf_mapping {
  nbuf_range range;
  bool readable;
  bool writable;
  bool executable;
  bool shared;     /* other mappings of the file see stores, as far as the system reports it */
  uint64_t device; /* of the file; all three are 0 if there is none */
  uint64_t inode;
  uint64_t offset;
  char name_end[256]; /* the end of the file's name, if the map was opened with names */
} nbuf_mapping;

/* Room for a structure of the port, which holds at most 4 KiB of text and a mapping. */
typedef union nbuf_port_state {
  uint64_t alignment;
  unsigned char bytes[4096 + 512];
} nbuf_port_state;

/* An open map. It belongs to the caller, lives on the stack, and is never kept across a fork. */
typedef struct nbuf_map {
  /* A query costs the same at any address; else query in ascending order. */
  bool is_cheap_anywhere;
  /* Whether the map's execute permissions are reliable. They are not if it is read as text, which
   * can be an emulator's: qemu's merges neighbours that differ only in being executable. */
  bool tells_execution;
  int32_t system_error; /* of the failure behind NBUF_MAP_FAILED */
  nbuf_port_state port;
} nbuf_map;

typedef enum nbuf_map_answer { NBUF_MAP_FOUND, NBUF_MAP_END, NBUF_MAP_FAILED } nbuf_map_answer;

/* Opens the map of this process. nbuf_os_map_close must follow, also after a failure.
 * OUT_OF_MEMORY, DENIED, SYSTEM_ERROR. A descriptor stays open until then. */
nbuf_result nbuf_os_map_open(nbuf_map *map, bool with_names);
void nbuf_os_map_close(nbuf_map *map);

/* The mapping that contains `from`, or else the first one above it. END: there is none. FAILED:
 * map->system_error is the reason. The reported protection is valid from `from` on; on Windows not
 * below it, where the range begins with the allocation. The map may change between calls: the
 * result was valid at some moment during the call. */
nbuf_map_answer nbuf_os_map_next(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping);

/* The first and the last byte of the module that contains the address; false: none does. May take
 * the loader's lock, so not in signal handlers. */
bool nbuf_os_module_extent(uintptr_t address, nbuf_range *extent);

/* Where the first page of the module that contains the address is, if the system tells that without
 * a lock or a system call; 0: it does not, or no module contains the address. */
uintptr_t nbuf_os_module_start(uintptr_t address);

/* ---- Code ------------------------------------------------------------------------------------ */

/* Makes stores to [address, address + size) visible to instruction fetch. Never fails. */
void nbuf_os_sync_code(uintptr_t address, size_t size);

/* The same for bytes that no thread has executed since the memory was mapped. No system call where
 * the processor sees such bytes by itself. */
void nbuf_os_sync_new_code(uintptr_t address, size_t size);

/* Makes every other thread of the process fetch instructions anew, if the system can do that. */
void nbuf_os_sync_processors(void);

/* ---- Threads --------------------------------------------------------------------------------- */

/* Every public call that makes system calls is enclosed by these two: the thread is not cancelled
 * inside the call, and its last error code (errno, GetLastError) is preserved, since the call may
 * come from a signal handler. Calls may nest; each restores what its begin returned.
 *
 * A call that is usually two or three microseconds long, mapping or unmapping at a place that is
 * known, preserves the code alone: these are no cancellation points, and the two changes of the
 * thread's state would be a tenth of the library's part. Its search is enclosed. */
typedef struct nbuf_os_call {
  int cancellation;
  int64_t last_error;
} nbuf_os_call;

nbuf_os_call nbuf_os_call_begin(void);
void nbuf_os_call_end(nbuf_os_call call);

/* ---- Lifecycle ------------------------------------------------------------------------------- */

/* The port calls these; core/lifecycle.c defines them. */

/* Called when the module is loaded, before its other functions if the system can do that: reads the
 * environment. A first call later may come from a signal handler that interrupted setenv. */
void nbuf_module_loaded(void);

/* Called in a child right after fork, before its other code runs. If no handler runs (a raw clone,
 * an unloaded library) the wiped state alone shows that there was a fork. */
void nbuf_process_forked(void);

/* Called when the module is unloaded while the process goes on, not at the end of the process,
 * where other threads may still be calling. Unmaps the pages that this copy keeps for itself;
 * buffers and locators stay. Takes no lock of the loader or of the C runtime. A later call makes
 * another state. */
void nbuf_module_unloaded(void);

#endif
