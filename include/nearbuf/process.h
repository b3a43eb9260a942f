/* nearbuf, other processes: find their buffers, inspect, read, write, get, allocate.
 *
 * A library of its own, nearbuf_process: programs that only use buffers of their own do not need
 * it. Nothing is loaded into the other process, and it need not use nearbuf at all.
 *
 * What holds for every function, unless it says otherwise:
 *
 *   addresses   are those of the other process, and 64 bits wide: a 32-bit process can be inspected
 *               by a 64-bit program and the other way round. What changes the process (getting,
 *               allocating, freeing) needs a program at least as wide as the process: UNSUPPORTED.
 *   errors      as in nearbuf.h; the system's own code stands in `system_error` of the process. The
 *               process is gone, or its id belongs to another one by now: NOT_FOUND. The system
 *               refuses, for lack of rights or by policy: DENIED. A system without this:
 *               UNSUPPORTED.
 *   threads     one at a time for one nearbuf_process, any number for several. No signal handlers.
 *   heap        never calls malloc and starts no thread. An open process keeps descriptors: on
 *               Linux two and, once its locator was found, that of its file; during a call that
 *               makes or holds memory one more.
 *   waiting     has a bound, then BUSY: 20 seconds where the process does not come back from a
 *               step, a minute where it delays every step (get may wait three times). Only the
 *               last resort waits that long; a process that is frozen or in the middle of
 *               replacing itself is BUSY after a tenth of a second to two seconds, and a retry
 *               helps later. On Linux a signal that ends the calling program (SIGINT, SIGTERM,
 *               SIGHUP, SIGQUIT without a handler) ends it at any time, and what was begun in the
 *               process is still completed; other signals come when the call returns.
 *
 * Rights. On Linux: reading and locking need the rights for ptrace (ptrace(2), "ptrace access mode
 * checking"): usually the same user and a process that is dumpable. Making memory is done by remote
 * system calls through ptrace, so it also needs a process without a tracer, and no seccomp filter
 * unless the caller may suspend it (CAP_SYS_ADMIN). Another tracer has a tenth of a second to
 * detach (most need less, this library among them); a debugger keeps the process: DENIED. Where
 * only ptrace is refused, everything else works. A process whose system calls become signals to
 * itself (syscall user dispatch; Wine) has that switched off for the moment; kernels before 6.4
 * cannot: DENIED. A locator whose file has lost its name is opened through /proc/<pid>/map_files,
 * which needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE; reading it does not.
 *
 * What the process notices. On Linux, where the process is not busy, one of its threads stands
 * still for less than a tenth of a millisecond, or two tenths if its first locator is made as well.
 * A system call that the thread sleeps in goes on as if nothing had happened: it ends with EINTR
 * only where one of the program's own handlers runs. Three things can be seen:
 *   - a transfer that is half done returns early, with what was transferred, as it does for any
 *     signal: a write of more than fits into a pipe or a socket, a receive that waits for all;
 *   - a time limit that the kernel does not keep begins anew: of epoll_wait and its kin,
 *     sigtimedwait, semtimedop, io_getevents, io_uring_enter, and of sockets (SO_RCVTIMEO,
 *     SO_SNDTIMEO). Sleeps, poll, select and futexes (mutexes, conditions, semaphores) keep their
 *     limits, and so does every call with an absolute one;
 *   - an ignored signal that the thread has blocked, except in epoll_pwait, ends that epoll_pwait
 *     with EINTR if it arrives while the thread is stopped, as it does between two such calls: the
 *     kernel keeps blocked signals.
 * Some drivers return EINTR from an interrupted ioctl, which the thread sees. And if the helper
 * process alone is killed within some 20 microseconds, or 120 where the first locator is made, by a
 * cgroup that is killed or for lack of memory, the thread cannot be given back what it had. That
 * the calling program is killed does not matter.
 *
 * On Windows: what OpenProcess grants decides. Nothing of the process is stopped or run: memory is
 * made by VirtualAllocEx, a locator by mapping a section into it. Names of sections lead only to
 * processes of the caller's session that are not packaged apps; the locators of others are found in
 * their memory maps and can be read, not held. Memory comes in granules of 64 KiB and is freed
 * whole. A 32-bit program reads a 64-bit process; its memory map is UNSUPPORTED where the system
 * lacks NtWow64QueryVirtualMemory64, as Wine does.
 *
 * Other systems: all of it is UNSUPPORTED.
 *
 * Since version 1.0. */
#ifndef NEARBUF_PROCESS_H
#define NEARBUF_PROCESS_H

#include <stddef.h>
#include <stdint.h>

#include <nearbuf/nearbuf.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(NEARBUF_PROCESS_STATIC)
#define NEARBUF_PROCESS_API
#elif defined(_WIN32) && defined(NEARBUF_PROCESS_BUILDING)
#define NEARBUF_PROCESS_API __declspec(dllexport)
#elif defined(_WIN32)
#define NEARBUF_PROCESS_API __declspec(dllimport)
#elif defined(__GNUC__)
#define NEARBUF_PROCESS_API __attribute__((visibility("default")))
#else
#define NEARBUF_PROCESS_API
#endif

/* ---- Processes ------------------------------------------------------------------------------- */

/* An open process. The structure is the caller's and has a fixed size; read the first three fields
 * and leave the rest to the library. */
typedef struct nearbuf_process {
  int64_t id;            /* in the namespace of the caller */
  uint32_t address_bits; /* 32 or 64; 0 where the system does not tell */
  int32_t system_error;  /* of the last call with this process; 0: the system was not at fault */
  intptr_t handles[4];
  uint64_t reserved[12]; /* what was learned about it, checked before it is used again */
} nearbuf_process;

/* Opens a process. The handle refers to this process permanently: when it dies, calls return
 * NOT_FOUND, even if another process has its id. When it replaces itself (exec) the handle stays
 * valid, its buffers and what was allocated are gone. A call during the exec changes nothing in the
 * new program and returns BUSY; a retry applies to the new program.
 *
 *   process  out: zero after a failure, except its system_error.
 *
 * Errors: NOT_FOUND, DENIED, INVALID_ARGUMENT (null, an id below 1), OUT_OF_MEMORY (descriptors),
 * UNSUPPORTED. A success promises nothing about what else is allowed. */
NEARBUF_PROCESS_API nearbuf_status nearbuf_process_open(int64_t id, nearbuf_process *process);

/* Closes it; buffers that were got through it must be released before. A zeroed or closed structure
 * is accepted. Errors: INVALID_ARGUMENT (null). */
NEARBUF_PROCESS_API nearbuf_status nearbuf_process_close(nearbuf_process *process);

/* Whether it still runs: OK, or NOT_FOUND (dead, a zombie included, or killed and about to end). */
NEARBUF_PROCESS_API nearbuf_status nearbuf_process_check(nearbuf_process *process);

/* About a process. What the system does not tell is 0 or empty. */
typedef struct nearbuf_process_info {
  int64_t id;
  int64_t own_id;     /* in its own process-id namespace */
  uint64_t user;      /* effective user id, as the caller's namespace has it */
  char name[64];      /* of the program, as the system shows it */
  char user_name[64]; /* empty where the system gives only a number */
  uint32_t address_bits;
  uint32_t is_stopped;
  int64_t traced_by;    /* the id of its debugger, or 0 */
  uint32_t is_filtered; /* 1: its system calls are restricted (seccomp) */
  uint32_t reserved_for_growth[5];
} nearbuf_process_info;

NEARBUF_PROCESS_API nearbuf_status nearbuf_process_describe(nearbuf_process *process,
                                                            nearbuf_process_info *info);

/* Calls `visit` with the ids of all visible processes, in ascending order, until it returns
 * a negative number. Processes that start or end meanwhile may be missed or reported.
 * Errors: INVALID_ARGUMENT, CANCELLED (the visitor returned a negative number), DENIED,
 * OUT_OF_MEMORY, SYSTEM_ERROR. */
typedef int (*nearbuf_process_visitor)(int64_t id, void *context);
NEARBUF_PROCESS_API nearbuf_status nearbuf_process_visit_all(nearbuf_process_visitor visit,
                                                             void *context);

/* ---- Its memory map -------------------------------------------------------------------------- */

/* A run of pages of one kind. */
typedef struct nearbuf_process_mapping {
  uint64_t min;
  uint64_t max; /* inclusive */
  uint32_t is_readable;
  uint32_t is_writable;
  uint32_t is_executable;
  uint32_t is_shared;
  uint64_t file_offset;
  char name[128]; /* of the file or what the system calls it ("[heap]"); the end of a long one */
} nearbuf_process_mapping;

/* Calls `visit` with the mappings in ascending order, until it returns a negative number.
 * Errors: NOT_FOUND, DENIED, CANCELLED, INVALID_ARGUMENT, OUT_OF_MEMORY, SYSTEM_ERROR. */
typedef int (*nearbuf_process_map_visitor)(const nearbuf_process_mapping *mapping, void *context);
NEARBUF_PROCESS_API nearbuf_status nearbuf_process_visit_map(nearbuf_process *process,
                                                             nearbuf_process_map_visitor visit,
                                                             void *context);

/* ---- Its locators and buffers ---------------------------------------------------------------- */

/* A locator, as it was when it was copied. */
typedef struct nearbuf_process_locator {
  uint64_t address;
  uint64_t next;   /* address of the next one, or 0 */
  uint32_t number; /* in the chain, from 0 */
  nearbuf_dialect dialect;
  uint32_t count; /* of buffers; 0 where the header is damaged */
  uint32_t capacity;
  uint32_t is_locked;   /* 1: it was being changed */
  uint32_t is_shared;   /* 1: other processes can hold its buffers; 0: it can only be read */
  const char *fault;    /* a sentence that says what is wrong; null: it is valid */
  uint32_t fault_index; /* which buffer is meant, where one is */
  uint32_t reserved_for_growth;
  char name[128]; /* of its file, as the memory map of the process shows it; may be empty */
} nearbuf_process_locator;

/* One buffer, as it was when its locator was copied. */
typedef struct nearbuf_process_item {
  uint64_t address;
  uint32_t size_bytes;
  uint32_t used_bytes;
  uint32_t index;    /* in its locator */
  uint32_t is_taken; /* 1: it was held; a lock names no owner */
  const char *fault; /* what is wrong with it, or null */
} nearbuf_process_item;

/* The position of a walk; zero its `stage` to start: nearbuf_process_walk walk = {0}. It keeps a
 * copy of one locator. */
typedef struct nearbuf_process_walk {
  uint32_t stage;
  uint32_t number;
  uint32_t index;
  uint32_t count;
  uint64_t address;
  uint64_t next;
  uint64_t mark;
  uint32_t dialect;
  uint32_t width;
  uint32_t flags; /* NEARBUF_PROCESS_UNNAMED, or 0 */
  uint32_t reserved_for_growth;
  uint64_t image[512];
} nearbuf_process_walk;

enum {
  /* In the `flags` of a walk: the names of the locators, and whether they are shared, are not
   * looked up. For each the memory map is read up to its address; a caller that has the map does
   * not need it. */
  NEARBUF_PROCESS_UNNAMED = 1
};

/* Iterates over the locators of the process, in the order of the chain. They are found by
 * name, also from outside its namespaces or its root, and where the name is gone in its memory map.
 *
 * A damaged one is reported with its `fault`. If its header is not valid it is the last, and has no
 * buffers to report; so is the 4,096th, since no program has that many.
 * Errors: NOT_FOUND (no more, or none at all), DENIED, INVALID_ARGUMENT, SYSTEM_ERROR. */
NEARBUF_PROCESS_API nearbuf_status nearbuf_process_next_locator(nearbuf_process *process,
                                                                nearbuf_process_walk *walk,
                                                                nearbuf_process_locator *locator);

/* Iterates over the buffers of the locator returned last, all from the same copy.
 * Errors: NOT_FOUND (no more), INVALID_ARGUMENT. No system calls. */
NEARBUF_PROCESS_API nearbuf_status nearbuf_process_next_item(nearbuf_process_walk *walk,
                                                             nearbuf_process_item *item);

/* ---- Getting a buffer in it ------------------------------------------------------------------ */

enum {
  /* Use only buffers that are listed; make nothing. The process is never stopped. */
  NEARBUF_PROCESS_EXISTING = 2
};

/* A request for memory, in addresses of the process. Start from NEARBUF_PROCESS_REQUEST_INIT. */
typedef struct nearbuf_process_request {
  size_t struct_size; /* sizeof(nearbuf_process_request) */
  uint64_t min;       /* every byte lies in [min, max] */
  uint64_t max;
  uint64_t size_bytes;          /* 1 ... 2^32 - 1 */
  uint64_t alignment_bytes;     /* of the first byte: a power of two */
  uint64_t target;              /* new memory is taken near to it; 0: none, see nearbuf_request */
  uint32_t flags;               /* NEARBUF_DATA, NEARBUF_PROCESS_EXISTING */
  uint32_t reserved_for_growth; /* 0 */
  uint64_t
      near_bytes; /* with a target: what starts farther from it is used last; 0: any distance */
} nearbuf_process_request;

#define NEARBUF_PROCESS_REQUEST_INIT                                                               \
  { sizeof(nearbuf_process_request), 0, UINT64_MAX, 0, 16, 0, 0, 0, 0 }

/* A buffer in another process that the caller holds. Read the first three fields. */
typedef struct nearbuf_process_buffer {
  uint64_t address; /* of the whole buffer */
  uint32_t size;    /* of the whole buffer */
  uint32_t room;    /* bytes that can still be appended within the request's range */
  uint32_t position;
  uint32_t start;
  uint32_t flags;
  uint32_t layout;
  uintptr_t item;
  intptr_t handles[3];
  uint64_t reserved[2];
} nearbuf_process_buffer;

/* Takes a buffer of the process with room for the request, and holds it. The lock is the one that
 * its own threads take: they and the caller exclude each other. A program that dies while it holds
 * a buffer leaves it taken permanently.
 *
 * If no listed buffer fits, memory is made in the process and listed, with a first locator if
 * it had none, unless the request says NEARBUF_PROCESS_EXISTING. The first one is made where the
 * process's own copies of the library would make it, and they find it: on Linux as a file in the
 * /tmp that the process sees. The file is made with the rights of the process, not with the
 * caller's, and through no link, for the process may have mounted what it likes at that place; a
 * caller with more rights has a child process do it, for a few milliseconds. Where no file can be
 * made there the process gets none from outside (SYSTEM_ERROR or DENIED): only the process's own
 * threads could make a private one.
 *
 * The page of the locator is shared for as long as the buffer is held. On Linux it is a file of the
 * process's user, who can shorten it then: the next call that uses the buffer raises SIGBUS in the
 * caller. A program that gets buffers in processes that it does not trust must expect that signal.
 *
 *   buffer  out: the handle; all zero after a failure.
 *
 * Errors: those of nearbuf_get, about the other process; DENIED also where its buffers could be
 * read but not held (see Rights), UNSUPPORTED, NOT_FOUND.
 * Cost on Linux, in system calls, the reads of memory maps not counted: at most 10 where a listed
 * buffer will do, and 25 the first time through a handle, which has to find the locator (8 more
 * before Linux 6.11, 15 more where the shared directory is closed to the user of the process).
 * Where memory is made some 55, and with a first locator at most 120 (16 and 10 more), half of them
 * by the helper that stops a thread; some 40 more by a caller with more rights than the process.
 * The map is read once for each buffer that would do, once to share the page, and twice or three
 * times to place memory. Making memory stops one thread of the process for less than a millisecond
 * where it is quiet: once, also where the first locator is made; once more for a later locator, and
 * to take back what failed. */
NEARBUF_PROCESS_API nearbuf_status nearbuf_process_get(nearbuf_process *process,
                                                       const nearbuf_process_request *request,
                                                       nearbuf_process_buffer *buffer);

/* Appends bytes to a held buffer. Nothing is written into a program that replaced the one in which
 * the buffer was got (exec): NOT_FOUND.
 *
 *   address  out, may be null: where the bytes are in the process; 0 after a failure.
 *
 * Errors: BEYOND_ROOM, INVALID_SIZE (0), INVALID_ARGUMENT, INVALID_HANDLE, NOT_FOUND, DENIED,
 * NOT_MAPPED (the process unmapped it), SYSTEM_ERROR; nothing is consumed then. */
NEARBUF_PROCESS_API nearbuf_status nearbuf_process_append(nearbuf_process *process,
                                                          nearbuf_process_buffer *buffer,
                                                          const void *bytes, size_t size_bytes,
                                                          uint64_t *address);

/* Releases the buffer; works after the death of the process, too. The handle is empty afterwards.
 * Errors: INVALID_ARGUMENT, INVALID_HANDLE. */
NEARBUF_PROCESS_API nearbuf_status nearbuf_process_release(nearbuf_process *process,
                                                           nearbuf_process_buffer *buffer);

/* ---- Reading and writing --------------------------------------------------------------------- */

/* Copies `size_bytes` bytes at `address` of the process, from or to it. Writing works on pages that
 * the process itself may only read, where the system allows it; other copies of a file that is
 * mapped there privately do not change.
 *
 *   done_bytes  out, may be null: how many bytes were copied, also after a failure.
 *
 * Errors: NOT_MAPPED (something of it is not mapped, or not for this use), NOT_FOUND, DENIED, BUSY
 * (it is just replacing itself), INVALID_ARGUMENT, SYSTEM_ERROR. Not atomic: the process goes on
 * meanwhile. */
NEARBUF_PROCESS_API nearbuf_status nearbuf_process_read(nearbuf_process *process, uint64_t address,
                                                        void *bytes, size_t size_bytes,
                                                        size_t *done_bytes);
NEARBUF_PROCESS_API nearbuf_status nearbuf_process_write(nearbuf_process *process, uint64_t address,
                                                         const void *bytes, size_t size_bytes,
                                                         size_t *done_bytes);

/* ---- Private memory in it -------------------------------------------------------------------- */

/* Maps zeroed memory in a range of the process: readable, writable, executable, whole pages. No
 * locator is involved. It lives until it is freed or the process ends.
 *
 *   address     out: 0 after a failure.
 *   size_bytes  out, may be null: the actual size, the request's rounded up to pages.
 *
 * Errors: those of nearbuf_allocate, about the other process; UNSUPPORTED, NOT_FOUND. BUSY: its
 * threads could not be stopped in time; nothing was changed. */
NEARBUF_PROCESS_API nearbuf_status nearbuf_process_allocate(nearbuf_process *process,
                                                            const nearbuf_process_request *request,
                                                            uint64_t *address,
                                                            uint64_t *size_bytes);

/* Unmaps what nearbuf_process_allocate mapped: whole, or (not on Windows) whole pages of it. Memory
 * that a locator lists is refused, as is what is not readable, writable and executable private
 * memory, and everything where the process runs another program than when memory was last made in
 * it through this handle.
 * Errors: INVALID_ARGUMENT (not whole pages, size 0), NOT_MAPPED (nothing is there, or not in all
 * of it), NOT_FOUND (also: it is mapped, but not by nearbuf_process_allocate),
 * DENIED, BUSY, UNSUPPORTED, SYSTEM_ERROR. */
NEARBUF_PROCESS_API nearbuf_status nearbuf_process_free(nearbuf_process *process, uint64_t address,
                                                        uint64_t size_bytes);

/* ---- Files of locators ----------------------------------------------------------------------- */

/* The state of a locator's file, as far as the caller can tell. */
typedef enum nearbuf_file_state {
  NEARBUF_FILE_UNKNOWN = 0, /* no process of that id here, but perhaps elsewhere */
  NEARBUF_FILE_LIVE = 1,    /* a process of that id runs here */
  NEARBUF_FILE_STALE = 2    /* its process is proved to be dead; its user may remove it */
} nearbuf_file_state;

typedef struct nearbuf_file {
  int64_t process;              /* the id in its name */
  uint32_t is_later;            /* 1: of a later locator, 0: of a first one */
  uint32_t is_in_own_directory; /* 1: in the directory of the caller's user, 0: in the shared one */
  uint64_t user;                /* its owner */
  uint64_t size_bytes;
  nearbuf_file_state state;
  char name[128]; /* in its directory */
} nearbuf_file;

/* Calls `visit` with the files of locators in the caller's shared directory and in that of its
 * user, which is used where the shared one is another user's, until it returns a negative number;
 * it may remove the file that is reported. Systems whose locators are not files have none.
 * Errors: INVALID_ARGUMENT, CANCELLED, DENIED, OUT_OF_MEMORY, SYSTEM_ERROR. */
typedef int (*nearbuf_file_visitor)(const nearbuf_file *file, void *context);
NEARBUF_PROCESS_API nearbuf_status nearbuf_process_visit_files(nearbuf_file_visitor visit,
                                                               void *context);

/* Removes a stale file, after checking again that it is stale.
 *
 *   system_error  out, may be null.
 *
 * Errors: BUSY (it is not stale, or cannot be proved so), NOT_FOUND, DENIED, INVALID_ARGUMENT,
 * SYSTEM_ERROR. */
NEARBUF_PROCESS_API nearbuf_status nearbuf_process_remove_file(const nearbuf_file *file,
                                                               int32_t *system_error);

#ifdef __cplusplus
}
#endif

#endif
