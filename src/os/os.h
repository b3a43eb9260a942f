/* What a system owes to the library. One file per system fulfils it (linux.c, windows.c, macos.c,
 * freebsd.c; what POSIX systems share is in posix.c), and tests/os/conformance.c checks it. The
 * rules for ports are in docs/porting.md.
 *
 * Nothing here allocates from the heap, prints, aborts or keeps a descriptor open across a return,
 * unless it says so. Everything may be called by any thread and from signal handlers. */
#ifndef NB_OS_H
#define NB_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/range.h"
#include "base/result.h"

/* ---- Numbers --------------------------------------------------------------------------------- */

/* The size of a page, a power of two, and the unit in which addresses are given out: equal on POSIX
 * systems, 64 KiB on Windows. Cheap after the first call. */
size_t nb_os_page_size(void);
size_t nb_os_granularity(void);

/* The addresses that a process can be given at all, whole granules. The lowest is never below
 * 64 KiB, even where root could map the page at 0: null pointers must go on faulting. Who asks for
 * nothing below `from`, and looks for memory around `around`, may be told less of what is elsewhere: all
 * can cost a look. */
nb_range nb_os_limits(uintptr_t from, uintptr_t around);

/* Ranges that the system will need itself, to be used only when nothing else fits: the room below
 * the main thread's stack, the room above the program break. Answers how many it stored; those that
 * do not touch `area` may be missing. */
enum { NB_OS_RESERVED_MAX = 4 };
size_t nb_os_reserved(nb_range area, nb_range ranges[NB_OS_RESERVED_MAX]);

/* A clock that never goes back, and a short pause that lets others run. */
uint64_t nb_os_nanoseconds(void);
void nb_os_pause(void);

/* The same for a caller that paused `times` times before for the same thing: where the shortest
 * pause is long (1 to 16 ms on Windows) the first ones are shorter, and may only let threads of
 * other processors get on. */
void nb_os_pause_again(uint32_t times);

/* The id of this process. */
uint32_t nb_os_process(void);

/* Copies the value of an environment variable; false where it is not set, is longer than the room, or
 * comes from a user with fewer rights than the program has (set-user-ID). Windows knows the library's own
 * variables only, as they were when the module was loaded: to read others takes a lock that a suspended
 * thread may have. */
bool nb_os_environment(const char *name, char *value, size_t size);

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Maps zeroed, private memory that can be read, written and run, at `address` exactly; both are whole
 * granules. On failure nothing is mapped. NO_ROOM: something is there already, the system never gives
 * these addresses, or it keeps them free below a stack that grows; OUT_OF_MEMORY; DENIED: this memory
 * may not be executable. */
nb_result nb_os_map(uintptr_t address, size_t size);

/* The page below `start` is free. If what starts there is a stack that grows on demand, how many
 * addresses below it to leave to the stack: all that it may become, or of that, as the least, what
 * nb_os_map refuses anyhow. 0: it is none. Two system calls. */
uintptr_t nb_os_growth_room(uintptr_t start, bool is_least);

/* The room of a stack is not more, and what nb_os_map refuses not less. */
#define NB_OS_MOST_GROWTH ((uintptr_t)(sizeof(uintptr_t) == 8 ? 64 : 9) << 20)
#define NB_OS_LEAST_GROWTH ((uintptr_t)1 << 20)

/* Whether the place lies where the system likes to put what comes later, so that it is to be used
 * last: on Windows within 16 MiB of an image, where the loader puts DLLs, some of which cannot lie
 * elsewhere. `*around` is then what surrounds the place and is as good. A question for each mapping
 * in these 32 MiB. */
bool nb_os_is_near_image(nb_range place, nb_range *around);

/* Where the system searches by itself: maps memory as nb_os_map does, at the lowest or the highest
 * multiple of `alignment` at which it lies in the range and is not near an image, and returns
 * where. 0: it cannot, or has none to give; nothing is mapped, and nb_os_map tells why not. */
uintptr_t nb_os_map_within(nb_range range, size_t size, uintptr_t alignment, bool is_highest);

/* False where the system itself says that nowhere in the range so much is free: then no search is
 * needed. */
bool nb_os_may_have_room(nb_range range, size_t size, uintptr_t alignment);

/* Unmaps exactly what these mapped. */
nb_result nb_os_unmap(uintptr_t address, size_t size);

/* Zeroed memory for the library's own use, wherever the system likes, never executable. Null when
 * there is none. It is kept for good, but for what lost a race: nb_os_unmap. */
void *nb_os_own_pages(size_t size);

/* The system's code of what the calling thread failed in last: why there were no own pages. */
int32_t nb_os_last_error(void);

/* What a child after fork finds of such pages, however it was forked. */
typedef enum nb_os_inheritance {
  NB_OS_WIPED,    /* zeros: nothing is to be asked */
  NB_OS_ABSENT,   /* nothing, or what was mapped there since */
  NB_OS_INHERITED /* what the parent stored */
} nb_os_inheritance;

/* Whose such pages are, kept elsewhere. The caller fills in the mark: a number that differs from that of
 * others who make such pages in the same process. */
typedef struct nb_os_owner {
  _Atomic uint32_t mark;
  _Atomic uint32_t process;
  _Atomic uint32_t inheritance; /* a nb_os_inheritance */
} nb_os_owner;

/* Own pages whose contents are this process's alone. Their first 4 bytes are the port's. A child of vfork,
 * which shares the memory, is this process, whatever its id is. */
void *nb_os_process_pages(size_t size, nb_os_owner *owner);

/* Whether such pages are this process's, and not what its parent left, where they are not wiped: only then
 * they may be looked at. One system call, or two. */
bool nb_os_are_process_pages(const void *pages, const nb_os_owner *owner);

/* ---- The map of this process ----------------------------------------------------------------- */

typedef struct nb_mapping {
  nb_range range;
  bool readable;
  bool writable;
  bool executable;
  bool shared;     /* stores are seen by other mappings of the same file, as far as that is told */
  uint64_t device; /* of the file; all three are 0 where there is none */
  uint64_t inode;
  uint64_t offset;
  char name_end[256]; /* the end of the file's name, where the map was opened with names */
} nb_mapping;

/* Room for a structure of the port's own, which holds 4 KiB of text and a mapping at most. */
typedef union nb_port_state {
  uint64_t alignment;
  unsigned char bytes[4096 + 512];
} nb_port_state;

/* An open map. It is the caller's, lives on the stack, and is never kept across a fork. */
typedef struct nb_map {
  /* A question costs the same at any address; else ask in ascending order. */
  bool is_cheap_anywhere;
  /* What it says of execution is true. Not where it is read as a text, which can be an emulator's: qemu's
   * shows neighbours that differ in being executable as one mapping. */
  bool tells_execution;
  int32_t system_error; /* of the failure behind NB_MAP_FAILED */
  nb_port_state port;
} nb_map;

typedef enum nb_map_answer { NB_MAP_FOUND, NB_MAP_END, NB_MAP_FAILED } nb_map_answer;

/* Opens the map of this process; close it with nb_os_map_close, which needs no successful open. */
nb_result nb_os_map_open(nb_map *map, bool with_names);
void nb_os_map_close(nb_map *map);

/* The mapping that holds `from`, or else the first one above it. What is told of its protection is
 * true from `from` on; on Windows not below, where the range begins with the allocation. The map
 * may change between calls: an answer is what was true at some moment of the call. */
nb_map_answer nb_os_map_next(nb_map *map, uintptr_t from, nb_mapping *mapping);

/* The first and the last byte of the module that holds the address; false: none does. May take the
 * loader's lock. */
bool nb_os_module_extent(uintptr_t address, nb_range *extent);

/* ---- Code ------------------------------------------------------------------------------------ */

/* Makes stores to [address, address + size) visible to instruction fetch. */
void nb_os_sync_code(uintptr_t address, size_t size);

/* Makes every other thread of the process fetch instructions anew, where the system can. */
void nb_os_sync_processors(void);

/* ---- Threads --------------------------------------------------------------------------------- */

/* What a call that makes system calls owes to the thread it runs in: it is not cancelled half-way,
 * and its last error code (errno, GetLastError) is what it was, for the call may come from a signal
 * handler. Such calls may nest; each gives back what it got. */
typedef struct nb_os_call {
  int cancellation;
  int64_t last_error;
} nb_os_call;

nb_os_call nb_os_call_begin(void);
void nb_os_call_end(nb_os_call call);

/* ---- Lifecycle ------------------------------------------------------------------------------- */

/* The port calls these; core/lifecycle.c defines them. */

/* When the module is loaded, before any other of its functions where the system can do that: reads the
 * environment. A later first call may come from a signal handler that interrupted setenv. */
void nb_module_loaded(void);

/* In a child right after fork, before its other code runs. Where no handler runs (a raw clone, an unloaded
 * library) the wiped state alone shows that there was a fork. */
void nb_process_forked(void);

/* When the module is unloaded while the process goes on, not at the end of the process, where other threads
 * may still be calling: gives back the pages that this copy keeps for itself; buffers and locators stay.
 * Takes no lock of the loader or of the C runtime. A later call begins anew. */
void nb_module_unloaded(void);

#endif
