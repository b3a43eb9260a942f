/* nearbuf: memory inside an address range, shared by everything that lives in the process.
 *
 * A hook needs a few bytes within reach of a 5-byte jump, a compiler needs room below 2 GiB.
 * nearbuf hands out such bytes from *buffers* that every module of a process shares, however it is
 * linked and in whatever order it starts, and that other processes can find. The shared bytes are
 * those of the Buffers specification, version 0 (docs/format.md).
 *
 * What holds for every function, unless it says otherwise:
 *
 *   units       sizes and alignments are bytes; addresses are those of this process.
 *   errors      the result is a nearbuf_status, 0 is success. Nothing aborts, prints or hangs.
 *               Where a system call was the cause, its own code (errno, GetLastError) stands in the
 *               `system_error` of the output, else 0. After a failure the other outputs are zero.
 *   lifetime    buffers are permanent: what was appended keeps its address and value until the
 *               process ends. They survive the unloading of the module that made them. After a
 *               fork the child keeps a private copy of what it inherited. Their pages are shared
 *               with other modules: no module may unmap them or change their protection.
 *   threads     any number of threads of any number of modules may call at the same time.
 *   signals     functions marked "signal handlers: yes" may be called in one, even in one that
 *               interrupted the same function; at worst they then return NEARBUF_BUSY. A call
 *               needs up to 16 KiB of stack; SIGSTKSZ may be less.
 *               errno (GetLastError on Windows) is preserved.
 *   heap        the library never calls malloc, keeps no descriptor open, and starts no thread.
 *
 * Since version 1.0 unless a function says otherwise. */
#ifndef NEARBUF_NEARBUF_H
#define NEARBUF_NEARBUF_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(NEARBUF_STATIC)
#define NEARBUF_API
#elif defined(_WIN32) && defined(NEARBUF_BUILDING)
#define NEARBUF_API __declspec(dllexport)
#elif defined(_WIN32)
#define NEARBUF_API __declspec(dllimport)
#elif defined(__GNUC__)
#define NEARBUF_API __attribute__((visibility("default")))
#else
#define NEARBUF_API
#endif

/* ---- Version --------------------------------------------------------------------------------- */

/* The version of this header; the build reads it from here and from nowhere else. */
#define NEARBUF_VERSION_MAJOR 1
#define NEARBUF_VERSION_MINOR 0
#define NEARBUF_VERSION_PATCH 0

/* The version as one number that grows: 1.2.3 is 0x010203. */
#define NEARBUF_VERSION                                                                            \
  ((NEARBUF_VERSION_MAJOR << 16) | (NEARBUF_VERSION_MINOR << 8) | NEARBUF_VERSION_PATCH)

/* The version of the library that is running, in the form of NEARBUF_VERSION. A library with the
 * same major and at least the same minor version serves a program compiled with this header.
 * Signal handlers: yes. */
NEARBUF_API uint32_t nearbuf_version(void);

/* ---- Status ---------------------------------------------------------------------------------- */

/* The result of a call. Values never change and mean the same on every system. */
typedef enum nearbuf_status {
  NEARBUF_OK = 0,
  NEARBUF_NO_ROOM = 1,            /* nothing free fits into the range: widen it, or give up */
  NEARBUF_OUT_OF_MEMORY = 2,      /* memory, address space, descriptors or mappings are used up */
  NEARBUF_DENIED = 3,             /* the system forbids it: policy, rights, hardening */
  NEARBUF_BUSY = 4,               /* a lock was held for longer than the bound: retry */
  NEARBUF_STALE = 5,              /* the handle comes from before a fork */
  NEARBUF_INCOMPATIBLE = 6,       /* a locator of another version, or a damaged one: not touched */
  NEARBUF_NOT_FOUND = 7,          /* it does not exist */
  NEARBUF_UNSUPPORTED = 8,        /* not supported on this system */
  NEARBUF_SYSTEM_ERROR = 9,       /* any other failure of a system call: see `system_error` */
  NEARBUF_BEYOND_ROOM = 10,       /* more bytes than the buffer has room for: nothing was written */
  NEARBUF_CANCELLED = 11,         /* the caller's callback returned a negative number */
  NEARBUF_INVALID_ARGUMENT = 12,  /* a null pointer, an unknown flag, a wrong struct_size */
  NEARBUF_INVALID_SIZE = 13,      /* a size of 0, or of 4 GiB and more */
  NEARBUF_INVALID_ALIGNMENT = 14, /* an alignment that is not a power of two */
  NEARBUF_INVALID_RANGE = 15,     /* the minimum lies above the maximum */
  NEARBUF_RANGE_TOO_SMALL = 16,   /* the range cannot hold the size at that alignment */
  NEARBUF_INVALID_HANDLE = 17,    /* a handle that was never filled, or is already released */
  NEARBUF_NOT_MAPPED = 18         /* another process has no memory there, or none for this use */
} nearbuf_status;

/* The name of a status ("NEARBUF_NO_ROOM") and a sentence for people. Both are static strings, in
 * English, never null; an unknown number has a name and a text, too. Signal handlers: yes. */
NEARBUF_API const char *nearbuf_status_name(nearbuf_status status);
NEARBUF_API const char *nearbuf_status_text(nearbuf_status status);

/* ---- Ranges ---------------------------------------------------------------------------------- */

/* Addresses from `min` to `max`, both inclusive. */
typedef struct nearbuf_range {
  uintptr_t min;
  uintptr_t max;
} nearbuf_range;

/* How far an instruction reaches.
 *
 * NEARBUF_REACH_JUMP is the native one: X86_REL32 on x86, ARM64_BRANCH on AArch64, and everywhere
 * else the whole address space (no limit is known to the library).
 *
 * A jump in any instruction of at most 32 bytes at a target can reach every byte of the range, and
 * a jump in any such instruction in the range can reach the target and each of the 32 bytes behind
 * it. For targets [first, last]:
 *
 *   X86_REL32      [last + 32 - 2^31, first + 2^31 - 1]; Intel SDM vol. 2, JMP: the displacement
 *                  counts from the end of the instruction. In a 32-bit process it wraps, so all
 *                  addresses are within reach.
 *   ARM64_BRANCH   [last + 36 - 2^27, first + 2^27 - 1]; Arm ARM, B: -2^27 ... +2^27 - 4 from the
 *                  instruction; addresses are rounded to instructions of 4 bytes.
 *   ARM64_PAGE     [page(last + 32) - 2^32 + 4096, page(first) + 2^32 - 1]; Arm ARM, ADRP counts
 *                  4096-byte pages from the page of the instruction. */
typedef enum nearbuf_reach {
  NEARBUF_REACH_JUMP = 0,
  NEARBUF_REACH_X86_REL32 = 1,
  NEARBUF_REACH_ARM64_BRANCH = 2,
  NEARBUF_REACH_ARM64_PAGE = 3
} nearbuf_reach;

#define NEARBUF_2_GIB UINT64_C(0x80000000)
#define NEARBUF_4_GIB UINT64_C(0x100000000)

/* The addresses within `reach` of every target at once.
 *
 *   targets  `count` ranges, each the first and the last address of what must be reached: a hook
 *            that copies code must reach the whole module, not one function.
 *   count    1 or more.
 *   range    out; zero after a failure.
 *
 * Errors: INVALID_ARGUMENT (null, count 0, unknown reach), INVALID_RANGE (a target ends before it
 * starts), NO_ROOM (no address reaches them all). Signal handlers: yes. Cost: arithmetic. */
NEARBUF_API nearbuf_status nearbuf_range_within_reach(const nearbuf_range *targets, size_t count,
                                                      nearbuf_reach reach, nearbuf_range *range);

/* A range in which any two addresses reach each other, and each reaches every target, as the code
 * and data of one compilation need, because they refer to each other. It is half the reach around
 * the targets; parameters and errors are those of nearbuf_range_within_reach.
 *
 * NO_ROOM: the targets are farther apart than the reach. So are, on x86-64, a position-independent
 * executable and the C library (some 41 TiB): make one group for each, or reach the far one by a
 * jump through an address that is stored in memory (for example an import table).
 * Signal handlers: yes. Cost: arithmetic. */
NEARBUF_API nearbuf_status nearbuf_range_for_group(const nearbuf_range *targets, size_t count,
                                                   nearbuf_reach reach, nearbuf_range *range);

/* The addresses below `limit`, which is 1 or more; NEARBUF_2_GIB and NEARBUF_4_GIB are the usual
 * ones. A limit above the address space means all of it. Address 0 and what the system keeps free
 * above it are inside the range but are never handed out.
 * Errors: INVALID_ARGUMENT (null), INVALID_RANGE (limit 0). Signal handlers: yes. */
NEARBUF_API nearbuf_status nearbuf_range_below(uint64_t limit, nearbuf_range *range);

/* ---- Requests -------------------------------------------------------------------------------- */

enum {
  /* The bytes are data that will be written often. They start on a cache line of their own and
   * nothing else is put behind them in their last line: a counter in the line of a running stub
   * costs each call about 200 ns, in the next line 1.5 (measured on x86-64). */
  NEARBUF_DATA = 1
};

/* A request for memory. Start from NEARBUF_REQUEST_INIT. A field that a later version adds keeps
 * the present behaviour when it is zero. */
typedef struct nearbuf_request {
  size_t struct_size;     /* sizeof(nearbuf_request) */
  nearbuf_range range;    /* the constraint: every byte handed out lies inside */
  size_t size_bytes;      /* 1 ... 2^32 - 1 */
  size_t alignment_bytes; /* of the first byte: a power of two, the page size and beyond included */
  uintptr_t target; /* the preference: new memory is taken near to it; 0: no target, see below */
  uint32_t flags;   /* 0 or NEARBUF_DATA */
  uint32_t reserved_for_growth; /* 0 */
  uintptr_t near_bytes; /* with a target: memory that starts farther from it than this is used only
                           where there is none so near; 0: an existing buffer of the range will do,
                           whatever its distance */
} nearbuf_request;

/* Any address, aligned to 16, no target; set size_bytes.
 *
 * Without a target a new region lies
 *   - as low as possible, from 64 KiB on, in a range that ends below 4 GiB. A null pointer plus an
 *     offset can hit such memory: set range.min, or a target at the upper end, to keep away;
 *   - above 4 GiB in a range that goes beyond: beside the mappings that the system itself places,
 *     if that lies in the range, else around its middle. Addresses below 4 GiB, which are scarce,
 *     are used when nothing else is free. */
#define NEARBUF_REQUEST_INIT                                                                       \
  { sizeof(nearbuf_request), {0, UINTPTR_MAX}, 0, 16, 0, 0, 0, 0 }

/* Makes the request that a hook of `target` needs: `size_bytes` of memory within NEARBUF_REACH_JUMP
 * of it, as near as possible, aligned to 16. near_bytes is a quarter of the instruction's reach
 * (512 MiB on x86-64, 32 MiB on AArch64; 0 where all addresses are within reach).
 *
 * Guaranteed is that `target` and the memory reach each other by a jump. Code that is copied away
 * from the target may also refer to data, by operands that are relative to the instruction: only
 * memory that reaches the whole module reaches all of it, see nearbuf_request_near_module. Check
 * each displacement that is encoded anew.
 *
 * Errors: INVALID_ARGUMENT (null). The size is checked when the request is used.
 * Signal handlers: yes. */
NEARBUF_API nearbuf_status nearbuf_request_near(const void *target, size_t size_bytes,
                                                nearbuf_request *request);

/* Where the module that holds `address` begins and ends in memory, both inclusive: an executable, a
 * shared library, a DLL, with its data and its zeroed tail. What other modules or the system map
 * into holes of it counts as inside. On macOS what the linker left for debuggers does not.
 *
 * Errors: INVALID_ARGUMENT (null), NOT_FOUND (the address is in no module: heap, stack, a buffer).
 * Signal handlers: no, nor while threads are suspended: on POSIX systems the list of modules is
 * read under the loader's lock. Cost: a look at each module; on Windows at each part of one. */
NEARBUF_API nearbuf_status nearbuf_module_extent(const void *address, nearbuf_range *range);

/* As nearbuf_request_near, for memory that reaches *all* of the module that holds `target`, and is
 * reached from all of it: what copies code must reach whatever that code refers to. As near to
 * `target` as possible; near_bytes is 0: any distance within the range is accepted.
 *
 * Errors: INVALID_ARGUMENT (null), NOT_FOUND (`target` is in no module), NO_ROOM (the module is
 * larger than the reach). Signal handlers: no. Cost: as nearbuf_module_extent. */
NEARBUF_API nearbuf_status nearbuf_request_near_module(const void *target, size_t size_bytes,
                                                       nearbuf_request *request);

/* ---- Memory that was handed out -------------------------------------------------------------- */

/* A piece of memory. Write through `write_to`; run, read and point at `run_at`. The two are equal
 * today and differ where the system forbids memory that is writable and executable at once. */
typedef struct nearbuf_memory {
  unsigned char *write_to;
  unsigned char *run_at;
  size_t size_bytes;
  int32_t system_error; /* of the call that filled this; 0 where the system was not at fault */
  uint32_t is_private;  /* 1: it is nearbuf_allocate's, and nearbuf_free takes it; else 0 */
} nearbuf_memory;

/* ---- Shared buffers -------------------------------------------------------------------------- */

/* A buffer that the caller holds: only the caller can append to it until it is released. The
 * structure is the caller's, has a fixed size and needs no clean-up of its own. Read it through the
 * functions below; only `system_error` is for the caller. It is for the copy of the library that
 * filled it: where modules have copies of their own, hand each other addresses, not handles. */
typedef struct nearbuf_buffer {
  uintptr_t item;        /* the item in its locator, tagged; 0: not held */
  uintptr_t address;     /* of the buffer, where it runs */
  uint32_t start;        /* offset of the next append, alignment done */
  uint32_t limit;        /* the offset at which the request's range ends */
  uint32_t order;        /* where the item stands in the chain */
  uint32_t generation;   /* of the process that took it */
  uintptr_t write_delta; /* the address for writing minus the address for running */
  uint32_t reserved;     /* offset of the end of the reserved room, 0 for none */
  int32_t system_error;
  uint32_t reserved_size;
  uint32_t reserved_for_growth[3];
} nearbuf_buffer;

/* Takes a buffer with room for the request, and holds it.
 *
 * An existing buffer of the range that has room is used (with near_bytes: one that is near enough);
 * otherwise a new one is made as near to the target as possible. Where nothing near enough is free,
 * what is farther away is used in the same order. On Windows new memory keeps 16 MiB clear of
 * executables and DLLs, where the loader puts those that come later, as long as there is other room
 * in the range. The room that the caller does not append to is free for other callers after
 * nearbuf_release.
 *
 *   request  see there; not null. Alignment holds for the first byte that is appended.
 *   buffer   out: the handle; its item is 0 after a failure.
 *
 * Errors: INVALID_ARGUMENT, INVALID_SIZE, INVALID_ALIGNMENT, INVALID_RANGE, RANGE_TOO_SMALL: the
 * request can never succeed. NO_ROOM: nothing free in the range now. OUT_OF_MEMORY: also the
 * exhaustion of descriptors and mappings; a retry helps once there is room. DENIED: memory that is
 * writable and executable is forbidden here, or the memory map may not be read. BUSY: a retry
 * helps. INCOMPATIBLE: the locator of this process is damaged or of an unknown version.
 * SYSTEM_ERROR.
 *
 * Threads: a thread starts at the buffer it used last, so that threads do not queue for one.
 * Signal handlers: yes. Fork: the child must not use the handle (STALE).
 * Cost: none but one locked instruction when the last buffer still fits; a few system calls when
 * memory must be found; the first call of a process also finds or makes the locator. */
NEARBUF_API nearbuf_status nearbuf_get(const nearbuf_request *request, nearbuf_buffer *buffer);

/* Appends bytes to a held buffer and returns where they are.
 *
 *   bytes       `size_bytes` bytes, not null.
 *   size_bytes  1 or more.
 *   address     out, where the bytes run; may be null; null after a failure.
 *
 * The first append after nearbuf_get starts at the request's alignment, later ones follow without
 * a gap. nearbuf_append_code does what the processor needs before the bytes may run (the
 * instruction cache; nothing on x86).
 *
 * Errors: BEYOND_ROOM (see nearbuf_buffer_room), INVALID_SIZE (0), INVALID_ARGUMENT,
 * INVALID_HANDLE, STALE; nothing is written then.
 * Threads: one at a time for one handle. Signal handlers: yes, on handles of their own. */
NEARBUF_API nearbuf_status nearbuf_append(nearbuf_buffer *buffer, const void *bytes,
                                          size_t size_bytes, void **address);
NEARBUF_API nearbuf_status nearbuf_append_code(nearbuf_buffer *buffer, const void *bytes,
                                               size_t size_bytes, void **address);

/* Reserves room in a held buffer that the caller writes in place: code that depends on its position
 * needs its address first. Nothing is consumed until nearbuf_commit; reserving again replaces the
 * reservation.
 *
 *   size_bytes       1 or more.
 *   alignment_bytes  a power of two; 1 for none. The request's own alignment holds for the first
 *                    byte in any case.
 *   room             out: both addresses and the size.
 *
 * Errors: as nearbuf_append, and INVALID_ALIGNMENT. Signal handlers: yes. */
NEARBUF_API nearbuf_status nearbuf_reserve(nearbuf_buffer *buffer, size_t size_bytes,
                                           size_t alignment_bytes, nearbuf_memory *room);

/* Keeps the first `used_bytes` of the reserved room permanently, 0 for none of it, and ends the
 * reservation. Makes the bytes ready to be executed.
 * Errors: BEYOND_ROOM (more than was reserved: the reservation stays), INVALID_ARGUMENT (null, or
 * nothing is reserved), INVALID_HANDLE, STALE. Signal handlers: yes. */
NEARBUF_API nearbuf_status nearbuf_commit(nearbuf_buffer *buffer, size_t used_bytes);

/* About a held buffer: its first address, its size, and the bytes that can still be appended within
 * the request's range. All are 0 for a handle that is not held or is stale. Signal handlers:
 * yes. */
NEARBUF_API uintptr_t nearbuf_buffer_address(const nearbuf_buffer *buffer);
NEARBUF_API size_t nearbuf_buffer_size(const nearbuf_buffer *buffer);
NEARBUF_API size_t nearbuf_buffer_room(const nearbuf_buffer *buffer);

/* Releases the buffer. What was appended stays, a reservation is dropped, and the rest is free for
 * all. Any thread may do it. The handle is empty afterwards.
 * Errors: INVALID_ARGUMENT, INVALID_HANDLE (never filled, or released already), STALE (the parent's
 * item is left alone; the handle is emptied). Signal handlers: yes. Cost: one store. */
NEARBUF_API nearbuf_status nearbuf_release(nearbuf_buffer *buffer);

/* Gets a buffer, appends the request's `size_bytes` from `bytes`, releases it: what most callers
 * need. The bytes are ready to be executed, unless the request says NEARBUF_DATA.
 *
 *   placed  out: where the bytes are.
 *
 * Errors: as nearbuf_get; nothing is written or consumed then. Signal handlers: yes. */
NEARBUF_API nearbuf_status nearbuf_place(const nearbuf_request *request, const void *bytes,
                                         nearbuf_memory *placed);

/* Writes into `room` and returns how many bytes it used, 0 ... room->size_bytes, or a negative
 * number to give up. It may call any function of this library. It must not leave by longjmp or an
 * exception: the buffer would stay held. */
typedef ptrdiff_t (*nearbuf_writer)(const nearbuf_memory *room, void *context);

/* As nearbuf_place, for bytes that depend on where they are: `writer` is called once, with room for
 * the request. The bytes that it reports as used are kept and made ready to be executed; the rest
 * is free for other callers.
 *
 * Errors: as nearbuf_get; CANCELLED (the writer returned a negative number) and BEYOND_ROOM (it
 * returned more than the room): nothing is consumed, nothing stays held. Signal handlers: yes. */
NEARBUF_API nearbuf_status nearbuf_place_with(const nearbuf_request *request, nearbuf_writer writer,
                                              void *context, nearbuf_memory *placed);

/* ---- Private memory -------------------------------------------------------------------------- */

/* Maps memory in a range for the caller alone: readable, writable and executable, zeroed, whole
 * pages (64 KiB granules on Windows). The whole of it lies inside the range.
 *
 *   memory  out: the addresses and the actual size, which is the request's rounded up to pages.
 *
 * Errors: as nearbuf_get, but never BUSY or INCOMPATIBLE: no locator is involved.
 * Ownership: the caller frees it with nearbuf_free, in any module; it survives the unloading of the
 * module. A forked child has a copy. Signal handlers: yes.
 * Cost: one system call beside the last region, otherwise a search whose cost grows with the number
 * of mappings between the target and the gap. */
NEARBUF_API nearbuf_status nearbuf_allocate(const nearbuf_request *request, nearbuf_memory *memory);

/* Unmaps what nearbuf_allocate mapped and empties the structure.
 * Errors: INVALID_ARGUMENT (null), INVALID_HANDLE (empty: freed already; or it is not private,
 * but lies in a buffer), SYSTEM_ERROR. After an error the structure is unchanged. Signal handlers:
 * yes. */
NEARBUF_API nearbuf_status nearbuf_free(nearbuf_memory *memory);

/* ---- Unloading ------------------------------------------------------------------------------- */

/* Gives back the memory that this copy of the library keeps for itself (8 KiB, on Windows 64), as
 * unloading its module does where the module runs its destructors. It is for hosts that run none,
 * and for systems whose destructors do not tell unloading from the end of the process: all but
 * Linux with glibc. Buffers, private memory and the locators stay, for the modules that use them.
 *
 * Release what is held before: handles of this copy are STALE afterwards, and what they held stays
 * taken. No other thread may be in a call of this copy. A later call begins anew.
 * Signal handlers: no. Cost: a system call or two. */
NEARBUF_API void nearbuf_unload(void);

/* ---- Code ------------------------------------------------------------------------------------ */

/* Replaces bytes that lie in a buffer, or in private memory of nearbuf_allocate, while other
 * threads may run them.
 *
 *   address       where the bytes run.
 *   bytes         `size_bytes` bytes, not null, 1 or more.
 *   system_error  out, may be null.
 *
 * 1, 2, 4 or 8 bytes at an address aligned to their number are one store: another thread executes
 * the old or the new ones. Anything else is copied and is *not* atomic. Then the instruction caches
 * are cleaned and the other processors are synchronised (Linux: membarrier, where supported).
 *
 * Errors: INVALID_ARGUMENT, INVALID_SIZE, NOT_FOUND (the bytes do not lie in one buffer nor in
 * private memory: nothing is written), and those of inspection (below). Memory is private if the
 * memory map reports it as readable, writable and executable, without a file, and not shared.
 * Signal handlers: yes. Cost: a walk of the buffers; a map query when none has the address. */
NEARBUF_API nearbuf_status nearbuf_overwrite(void *address, const void *bytes, size_t size_bytes,
                                             int32_t *system_error);

/* The same with a callback, which writes the new bytes in place through room->write_to. If it
 * returns a negative number the result is CANCELLED; what it wrote until then stays written. */
NEARBUF_API nearbuf_status nearbuf_overwrite_with(void *address, size_t size_bytes,
                                                  nearbuf_writer writer, void *context,
                                                  int32_t *system_error);

/* Makes bytes that the caller wrote itself through `write_to` ready to be executed at `address`:
 * cleans the instruction cache (on x86 nothing, but a system call on Windows). Signal handlers:
 * yes. */
NEARBUF_API void nearbuf_sync_code(const void *address, size_t size_bytes);

/* ---- Inspection -------------------------------------------------------------------------------
 *
 * Where the chain of locators must first be found, inspection can also fail with OUT_OF_MEMORY,
 * DENIED, SYSTEM_ERROR (the memory map cannot be read) and BUSY (another thread is finding it). A
 * retry helps, except after DENIED. */

/* How the bytes of a locator are laid out (docs/format.md). */
typedef enum nearbuf_dialect {
  NEARBUF_DIALECT_UNKNOWN = 0,
  NEARBUF_DIALECT_WRITTEN = 1, /* the specification as written, with the count kept twice, so that
                                  the .NET implementation shares it */
  NEARBUF_DIALECT_DOTNET = 2,  /* the .NET implementation */
  NEARBUF_DIALECT_RUST = 3     /* the Rust implementation */
} nearbuf_dialect;

/* One buffer, as it was when it was read. */
typedef struct nearbuf_info {
  uintptr_t address;
  uintptr_t locator; /* address of the locator that lists it */
  uint32_t size_bytes;
  uint32_t used_bytes;
  uint32_t index;          /* in its locator */
  uint32_t is_taken;       /* 1: it was held */
  nearbuf_dialect dialect; /* of its locator */
  uint32_t reserved_for_growth[3];
} nearbuf_info;

/* The position of a walk; zero it to start: nearbuf_walk walk = {0}. */
typedef struct nearbuf_walk {
  uint32_t next;
  uint32_t generation;
} nearbuf_walk;

/* Iterates over the buffers of this process, of all modules, in the order of their registration.
 * NOT_FOUND: there are no more. Buffers that appear meanwhile may be reported.
 * Errors: NOT_FOUND, INVALID_ARGUMENT, STALE (a fork happened since the walk began), INCOMPATIBLE
 * (what exists cannot be read). Never makes a locator. Signal handlers: yes. */
NEARBUF_API nearbuf_status nearbuf_next(nearbuf_walk *walk, nearbuf_info *info);

/* Finds the buffer that contains `address`, used or not.
 * Errors: NOT_FOUND, INVALID_ARGUMENT, INCOMPATIBLE. Never makes a locator. Signal handlers: yes.
 * Cost: a comparison for each locator, of 200 buffers; the first call reads all buffers. */
NEARBUF_API nearbuf_status nearbuf_find(const void *address, nearbuf_info *info);

/* Which modules and processes can see the locator of this process. */
typedef enum nearbuf_sharing {
  NEARBUF_SHARING_NONE = 0,   /* there is no locator yet */
  NEARBUF_SHARING_SHARED = 1, /* every module, and other processes that are allowed to */
  NEARBUF_SHARING_PRIVATE = 2 /* every module that uses this library, but no other process: it was
                                 chosen, the program is privileged (nearbuf_choose_sharing), or
                                 no directory could be used */
} nearbuf_sharing;

typedef struct nearbuf_totals {
  nearbuf_sharing sharing;
  uint32_t locators;
  uint64_t buffers;
  uint64_t taken;      /* buffers held at the moment */
  uint64_t size_bytes; /* of all buffers */
  uint64_t used_bytes;
  uintptr_t first_locator;
  int32_t private_reason; /* PRIVATE: the system's error code for why, where this module made it; 0:
                             it was chosen */
  uint32_t reserved_for_growth[5];
} nearbuf_totals;

/* Sums up all buffers of this process. Zeros and NONE where there is no locator; never makes one.
 * Errors: INVALID_ARGUMENT, INCOMPATIBLE. Signal handlers: yes. Cost: a walk of all buffers. */
NEARBUF_API nearbuf_status nearbuf_get_totals(nearbuf_totals *totals);

/* ---- Sharing --------------------------------------------------------------------------------- */

/* Chooses which modules and processes can see the locator that this module would make: SHARED (the
 * default) or PRIVATE, for programs that are checkpointed, live in jails, or are to leave nothing
 * in /tmp. The environment variable NEARBUF_SHARING=private does the same for programs that do not
 * ask.
 *
 * With PRIVATE no file is made. All modules of the process that use this library still share their
 * buffers; the other implementations (docs/interoperability.md) do not take part, and other
 * processes can inspect them with the rights of a debugger, but cannot make memory in the process.
 * A locator that the process has already is used as it is. A child of fork makes its own by the
 * same choice.
 *
 * On POSIX systems the locator of a privileged program is always private, chosen or not: one that
 * was started with rights that its user does not have, that is not dumpable (prctl, Linux), or
 * whose real, effective and saved ids differ. One that was started so ignores NEARBUF_ variables.
 *
 * Call it before the first use.
 * Errors: INVALID_ARGUMENT (another value), INCOMPATIBLE (the process has a first locator of the
 * other kind already: it stays, and nothing is chosen), and those of inspection. Signal handlers:
 * yes. */
NEARBUF_API nearbuf_status nearbuf_choose_sharing(nearbuf_sharing sharing);

/* ---- Dialects -------------------------------------------------------------------------------- */

/* Chooses the layout of the locator that this module would make: WRITTEN (the default) or RUST, for
 * programs that also load the Rust implementation. The environment variable NEARBUF_DIALECT=rust
 * does the same for programs that do not ask; it is read when the module is loaded, and not in
 * programs that run with more rights than their user's (set-user-ID). An existing locator is used
 * in its own dialect, always.
 *
 * Call it before the first use.
 * Errors: INVALID_ARGUMENT (another dialect), INCOMPATIBLE (the process has a first locator of
 * another layout already: it stays), and those of inspection. Signal handlers: yes. */
NEARBUF_API nearbuf_status nearbuf_choose_dialect(nearbuf_dialect dialect);

#ifdef __cplusplus
}
#endif

#endif
