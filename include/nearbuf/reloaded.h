/* The C functions of the Rust implementation, `reloaded-memory-buffers` 4.1.0, under their own
 * names: a library to load in its place (docs/interoperability.md lists what differs, and why).
 *
 * Programs of that interface look into the item, so it is the shared one, at its real address, in
 * the Rust implementation's layout. Whatever else uses buffers in the process works with it:
 * nearbuf's own functions, of this or any other copy of the library, and the Rust implementation
 * itself.
 *
 *   results  by value, without a heap: texts are static strings, and what the free_ functions have
 *            to give back is the lock of an item or private memory, never the result itself.
 *   errors   is_ok is false, err says why, ok is null. Nothing aborts, prints or hangs, except
 *            locatoritem_lock, which waits for its lock. A null pointer is an error, or is ignored
 *            where the function has no result.
 *   ranges   a buffer or an allocation lies in [min_address, max_address) as a whole: max_address
 *            is where it may end, so that all of the room of an item can be used.
 *   threads  any number, but one at a time for one item that is held.
 *   signals  every function may be called in a signal handler.
 *
 * Since version 1.0 unless a function says otherwise. */
#ifndef NEARBUF_RELOADED_H
#define NEARBUF_RELOADED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(NEARBUF_RELOADED_STATIC)
#define NEARBUF_RELOADED_API
#elif defined(_WIN32) && defined(NEARBUF_RELOADED_BUILDING)
#define NEARBUF_RELOADED_API __declspec(dllexport)
#elif defined(_WIN32)
#define NEARBUF_RELOADED_API __declspec(dllimport)
#elif defined(__GNUC__)
#define NEARBUF_RELOADED_API __attribute__((visibility("default")))
#else
#define NEARBUF_RELOADED_API
#endif

/* ---- Structures ------------------------------------------------------------------------------ */

/* Every field has the implementation's name in Rust, and the one that its generated C header
 * has. */
#define NEARBUF_RELOADED_FIELD(type, name, Name)                                                   \
  union {                                                                                          \
    type name;                                                                                     \
    type Name;                                                                                     \
  }

/* A buffer as it is in the locator, aligned to 4 bytes and no more. Change it only while you hold
 * it; other modules see the same bytes. */
#pragma pack(push, 4)
typedef struct LocatorItem {
  NEARBUF_RELOADED_FIELD(uintptr_t, base_address, BaseAddress);
  NEARBUF_RELOADED_FIELD(uint32_t, size, Size);
  NEARBUF_RELOADED_FIELD(uint32_t, position, Position); /* bytes used, from the start */
  NEARBUF_RELOADED_FIELD(int32_t, is_taken, IsTaken);   /* 0 free, 1 held */
} LocatorItem;
#pragma pack(pop)

/* A request for a buffer. */
typedef struct BufferSearchSettings {
  NEARBUF_RELOADED_FIELD(uintptr_t, min_address, MinAddress);
  NEARBUF_RELOADED_FIELD(uintptr_t, max_address, MaxAddress);
  NEARBUF_RELOADED_FIELD(uint32_t, size, Size); /* 1 or more */
} BufferSearchSettings;

/* A request for private memory. */
typedef struct BufferAllocatorSettings {
  NEARBUF_RELOADED_FIELD(uintptr_t, min_address, MinAddress);
  NEARBUF_RELOADED_FIELD(uintptr_t, max_address, MaxAddress);
  NEARBUF_RELOADED_FIELD(uint32_t, size, Size); /* 1 or more; out: rounded up to pages */
  NEARBUF_RELOADED_FIELD(uint32_t, target_process_id, TargetProcessId); /* this one, or 0 for it */
  NEARBUF_RELOADED_FIELD(int32_t, retry_count, RetryCount);             /* ignored */
  NEARBUF_RELOADED_FIELD(bool, brute_force, BruteForce);                /* ignored */
} BufferAllocatorSettings;

typedef struct PrivateAllocation {
  NEARBUF_RELOADED_FIELD(uint8_t *, base_address, BaseAddress);
  NEARBUF_RELOADED_FIELD(size_t, size, Size);
  NEARBUF_RELOADED_FIELD(uint32_t, this_process_id, ThisProcessId);
} PrivateAllocation;

typedef struct GetBufferResult {
  NEARBUF_RELOADED_FIELD(bool, is_ok, IsOk);
  NEARBUF_RELOADED_FIELD(LocatorItem *, ok, Ok);
  NEARBUF_RELOADED_FIELD(const char *, err, Err);
} GetBufferResult;

typedef struct AllocationResult {
  NEARBUF_RELOADED_FIELD(bool, is_ok, IsOk);
  NEARBUF_RELOADED_FIELD(PrivateAllocation, ok, Ok);
  NEARBUF_RELOADED_FIELD(const char *, err, Err);
} AllocationResult;

/* ---- Settings -------------------------------------------------------------------------------- */

/* Settings for `size` bytes of which none is further than `proximity` from `target`. The ends of
 * the address space are the limit of the range. A size that 32 bits cannot hold becomes their
 * maximum, which is refused. */
NEARBUF_RELOADED_API BufferSearchSettings buffersearchsettings_from_proximity(uintptr_t proximity,
                                                                              uintptr_t target,
                                                                              size_t size);
NEARBUF_RELOADED_API BufferAllocatorSettings
bufferallocatorsettings_from_proximity(uintptr_t proximity, uintptr_t target, size_t size);

/* ---- Buffers --------------------------------------------------------------------------------- */

/* Takes a buffer with room for settings->size bytes and holds it: an existing one, or else a new
 * one, as low in the range as there is room. Release it with free_get_buffer_result,
 * free_locator_item or locatoritem_unlock; what was appended stays.
 *
 * The aligned one moves the item's position to a multiple of `alignment`, which is a power of two,
 * of any size.
 *
 * The first call in a process that has no locator makes one in the Rust layout, unless
 * nearbuf_choose_dialect (in a program that links both libraries statically) or the environment
 * variable NEARBUF_DIALECT=written says otherwise.
 *
 * Errors: settings that cannot work (size 0, an empty range, one that is too small, an alignment
 * that is not a power of two); no room in the range; memory, descriptors or mappings used up;
 * executable memory forbidden; a locator that is damaged or of an unknown version. */
NEARBUF_RELOADED_API GetBufferResult buffers_get_buffer(const BufferSearchSettings *settings);
NEARBUF_RELOADED_API GetBufferResult
buffers_get_buffer_aligned(const BufferSearchSettings *settings, uint32_t alignment);

/* Releases the item of a result, if it has one. */
NEARBUF_RELOADED_API void free_get_buffer_result(GetBufferResult item);

/* Does nothing: texts are static. */
NEARBUF_RELOADED_API void free_string(char *s);

/* ---- Items ----------------------------------------------------------------------------------- */

/* Bytes that can be appended: 0 where the position lies beyond the size. */
NEARBUF_RELOADED_API uint32_t locatoritem_bytes_left(const LocatorItem *item);

/* The first address of the buffer, and the one behind its last. */
NEARBUF_RELOADED_API uintptr_t locatoritem_min_address(const LocatorItem *item);
NEARBUF_RELOADED_API uintptr_t locatoritem_max_address(const LocatorItem *item);

/* Whether the item has a buffer, and whether it is held. */
NEARBUF_RELOADED_API bool locatoritem_is_allocated(const LocatorItem *item);
NEARBUF_RELOADED_API bool locatoritem_is_taken(const LocatorItem *item);

/* Takes the item's lock: at once or not at all, or waiting for it as long as it takes. */
NEARBUF_RELOADED_API bool locatoritem_try_lock(LocatorItem *item);
NEARBUF_RELOADED_API void locatoritem_lock(LocatorItem *item);

/* Releases the lock; the rest of the buffer is free for other callers. Both names do the same. */
NEARBUF_RELOADED_API void locatoritem_unlock(LocatorItem *item);
NEARBUF_RELOADED_API void free_locator_item(LocatorItem *item);

/* Whether `size` bytes can be appended, and the free part of the buffer, to its end, lies in
 * [min_address, max_address). */
NEARBUF_RELOADED_API bool locatoritem_can_use(const LocatorItem *item, uint32_t size,
                                              uintptr_t min_address, uintptr_t max_address);

/* Appends to an item that the caller holds, and returns where the bytes are: 0, and nothing is
 * changed, where there are more than locatoritem_bytes_left. */
NEARBUF_RELOADED_API uintptr_t locatoritem_append_bytes(LocatorItem *item, const uint8_t *data,
                                                        size_t data_len);

/* ---- Private memory -------------------------------------------------------------------------- */

/* Maps memory in the range for the caller alone: readable, writable, executable, zeroed, whole
 * pages. settings->size becomes the size that was mapped. Free it with either of the functions
 * below.
 * Errors: as buffers_get_buffer; also another process than this one. */
NEARBUF_RELOADED_API AllocationResult
buffers_allocate_private_memory(BufferAllocatorSettings *settings);
NEARBUF_RELOADED_API void free_private_allocation(PrivateAllocation item);
NEARBUF_RELOADED_API void free_allocation_result(AllocationResult item);

/* ---- Code ------------------------------------------------------------------------------------ */

/* Replaces `size` bytes at `target`, in a buffer or in private memory, that other threads may be
 * running: in one store where their number is 1, 2, 4 or 8 and `target` is aligned to it. Writes
 * nothing where the target is neither. */
NEARBUF_RELOADED_API void overwrite_allocated_code(const uint8_t *source, uint8_t *target,
                                                   size_t size);

/* Calls `callback` with the first three arguments, to do the copying, and then makes the bytes at
 * `target` ready to be executed. */
NEARBUF_RELOADED_API void
overwrite_allocated_code_ex(const uint8_t *source, uint8_t *target, size_t size,
                            void (*callback)(const uint8_t *source, uint8_t *target, size_t size));

/* Makes the bytes of [start, end) ready to be executed (nothing on x86). */
NEARBUF_RELOADED_API void utilities_clear_instruction_cache(uint8_t *start, uint8_t *end);

#ifdef __cplusplus
}
#endif

#endif
