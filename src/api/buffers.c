/* The public calls on shared buffers: get, append, reserve, release, place. Arguments are checked
 * here; core/acquire.c finds memory. */
#include <string.h>

#include "core/acquire.h"
#include "os/os.h"

/* The nbuf_item_ref of a handle also records what the item is held for. */
enum { HELD_FOR_DATA = 2 };

/* ---- Get ------------------------------------------------------------------------------------- */

NBUF_FORCEINLINE void fill(nearbuf_buffer *buffer, const nbuf_acquired *acquired, uint32_t flags,
                           uint32_t generation) {
  buffer->item = acquired->ref | ((flags & NEARBUF_DATA) != 0 ? HELD_FOR_DATA : 0);
  buffer->address = acquired->base;
  buffer->start = acquired->start;
  buffer->limit = acquired->limit;
  buffer->order = acquired->order;
  buffer->generation = generation;
  buffer->write_delta = 0;
  buffer->reserved = 0;
  buffer->system_error = 0;
}

NBUF_COLD static nearbuf_status get_slowly(const nearbuf_request *request, nearbuf_buffer *buffer) {
  *buffer = (nearbuf_buffer){0};
  nearbuf_status status = nbuf_request_check(request);
  if (request == NULL || status != NEARBUF_OK) {
    return status;
  }
  nbuf_constraint constraint = nbuf_request_constraint(request, request->flags);
  nbuf_acquired acquired;
  uint32_t generation;
  nbuf_preference preference = {request->target, request->near_bytes, NEARBUF_DIALECT_WRITTEN};
  nbuf_os_call call = nbuf_os_call_begin();
  nbuf_result result = nbuf_acquire(&constraint, &preference, &acquired, &generation);
  buffer->system_error = result.system_error;
  if (result.status == NEARBUF_OK) {
    fill(buffer, &acquired, request->flags, generation);
  }
  nbuf_os_call_end(call);
  return result.status;
}

/* The item of the thread's hint, which is locked, does not fit after all. */
NBUF_COLD static nearbuf_status get_elsewhere(const nearbuf_request *request, uintptr_t taken,
                                              nearbuf_buffer *buffer) {
  nbuf_shared_unlock_release(taken);
  return get_slowly(request, buffer);
}

/* Takes room in the item of the hint, which is locked, for any request and any item layout. */
NBUF_NOINLINE static nearbuf_status get_exactly(const nearbuf_request *request, nbuf_item_ref ref,
                                                nearbuf_buffer *buffer) {
  const nbuf_hint *hint = nbuf_hint_of(&nbuf_state_current()->hints);
  uintptr_t item = nbuf_item_ref_address(ref);
  bool is_rust = nbuf_item_ref_is_rust(ref);
  nbuf_constraint constraint = nbuf_request_constraint(request, request->flags);
  uint64_t hinted = nbuf_hint_order_and_generation(hint);
  nbuf_acquired acquired = {.ref = ref, .base = nbuf_item_base(item), .order = (uint32_t)hinted};
  nbuf_item_look(item, is_rust, &acquired);
  if (!nbuf_acquired_fits(&constraint, &acquired) ||
      !nbuf_is_near(acquired.base + acquired.start, request->target, request->near_bytes)) {
    return get_elsewhere(request, nbuf_item_taken_word(item, is_rust), buffer);
  }
  fill(buffer, &acquired, request->flags, (uint32_t)(hinted >> 32));
  return NEARBUF_OK;
}

/* What the fast path leaves: no hint, memory for data, items in the Rust layout, what is wrong with
 * a request. */
NBUF_NOINLINE static nearbuf_status get_unusual(const nearbuf_request *request,
                                                nearbuf_buffer *buffer) {
  if (buffer == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nbuf_item_ref ref = nbuf_hint_item(nbuf_hint_of(&nbuf_state_current()->hints));
  if (ref == 0 || nbuf_request_check(request) != NEARBUF_OK ||
      !nbuf_item_try_lock(nbuf_item_ref_address(ref), nbuf_item_ref_is_rust(ref))) {
    return get_slowly(request, buffer);
  }
  return get_exactly(request, ref, buffer);
}

/* Whether the fast path can serve the request from the item of the hint. */
NBUF_FORCEINLINE bool is_usual(const nearbuf_request *request, const nbuf_hint *hint,
                               uintptr_t *item) {
  uintptr_t tagged = nbuf_hint_tagged_item(hint);
  *item = tagged - NBUF_HINT_USUAL;
  return request != NULL && (tagged & NBUF_HINT_USUAL) != 0 &&
         request->struct_size == sizeof *request && request->flags == 0 &&
         (request->alignment_bytes & (request->alignment_bytes - 1)) == 0;
}

/* Whether the room of an item is near to the target. At the exact distance it may say no: then
 * get_exactly decides. With near_bytes 0 the bound is the largest number. */
NBUF_FORCEINLINE bool is_surely_near(const nearbuf_request *request, uintptr_t start) {
  uintptr_t near_bytes = request->near_bytes;
  return start + near_bytes - 1 - request->target <= near_bytes + near_bytes - 1;
}

/* Whether a usual request fits an item that is locked: one whose range does not end inside the
 * buffer. `below` is the alignment less 1. What is wrong with a request does not fit: a size of 0
 * less 1 is more than any room, and with an alignment of 0 the start is 0, below the used bytes. */
NBUF_FORCEINLINE bool fits(const nearbuf_request *request, uintptr_t item, uintptr_t below,
                           uintptr_t *start) {
  uintptr_t base = nbuf_item_base(item);
  uintptr_t end = base + nbuf_item_size(item, false);
  uintptr_t free_from = base + nbuf_item_position(item, false);
  *start = (free_from + below) & ~below;
  return *start <= end && request->size_bytes - 1 < end - *start &&
         free_from >= request->range.min && *start >= free_from && end <= request->range.max &&
         !nbuf_item_is_wrapped(base, free_from) && is_surely_near(request, *start);
}

/* The fast path: the item that this thread used last, if it is free and the request fits. It is
 * locked first: what precedes a locked instruction must complete before it, what follows it
 * overlaps with later instructions. What is known then is stored before the checks, and a path that
 * is not this one reads again what it needs: so no register must be saved. */
nearbuf_status nearbuf_get(const nearbuf_request *request, nearbuf_buffer *buffer) {
  const nbuf_hint *hint = nbuf_hint_of(&nbuf_state_current()->hints);
  uintptr_t item;
  if (buffer == NULL || !is_usual(request, hint, &item)) {
    return get_unusual(request, buffer);
  }
  if (!nbuf_item_try_lock(item, false)) {
    return get_slowly(request, buffer);
  }
  uint64_t hinted = nbuf_hint_order_and_generation(hint);
  buffer->item = item;
  buffer->address = nbuf_item_base(item);
  buffer->limit = nbuf_item_size(item, false);
  buffer->order = (uint32_t)hinted;
  buffer->generation = (uint32_t)(hinted >> 32);
  buffer->write_delta = 0;
  buffer->reserved = 0;
  buffer->system_error = 0;
  uintptr_t start;
  if (!fits(request, item, request->alignment_bytes - 1, &start)) {
    return get_exactly(request, buffer->item, buffer);
  }
  buffer->start = (uint32_t)(start - buffer->address);
  return NEARBUF_OK;
}

/* ---- Release --------------------------------------------------------------------------------- */

/* Checks a handle whose generation the fast path does not know: it is stale, unless this is a
 * system on which the state must first be proved. */
NBUF_COLD static nearbuf_status prove_handle(const nearbuf_buffer *buffer) {
  uint32_t generation = nbuf_state_generation(nbuf_state_of_process());
  return buffer->generation == generation ? NEARBUF_OK : NEARBUF_STALE;
}

/* Whether the handle is held, in this process. */
static inline nearbuf_status check_handle(const nearbuf_buffer *buffer) {
  if (buffer == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  if (buffer->item == 0) {
    return NEARBUF_INVALID_HANDLE;
  }
  return buffer->generation == nbuf_state_generation(nbuf_state_current()) ? NEARBUF_OK
                                                                           : prove_handle(buffer);
}

static inline uintptr_t item_of(const nearbuf_buffer *buffer) {
  return nbuf_item_ref_address(buffer->item);
}

static inline bool is_rust(const nearbuf_buffer *buffer) {
  return nbuf_item_ref_is_rust(buffer->item);
}

static uint32_t size_of(const nearbuf_buffer *buffer) {
  return nbuf_item_size(item_of(buffer), is_rust(buffer));
}

static inline uint32_t position_of(const nearbuf_buffer *buffer) {
  return nbuf_item_position(item_of(buffer), is_rust(buffer));
}

/* Whether the item still lists the handle's buffer. Another implementation that was starting and
 * took the page for its own (header.h) can have put one of its own items into the slot: then the
 * holder keeps the memory, and the item is not touched. */
static inline bool is_listed(const nearbuf_buffer *buffer, uintptr_t item) {
  return nbuf_item_base(item) == buffer->address;
}

static inline void advance_position(nearbuf_buffer *buffer, uint32_t position) {
  buffer->start = position;
  buffer->reserved = 0;
  if (is_listed(buffer, item_of(buffer))) {
    nbuf_item_set_position(item_of(buffer), is_rust(buffer), position);
  }
}

/* Lets the walks of this module find a released item, if they have passed it. */
NBUF_NOINLINE static void rewind_cursors(nbuf_state *state, uintptr_t item, bool is_rust,
                                         uint32_t order) {
  nbuf_acquired seen = {0};
  nbuf_item_look(item, is_rust, &seen);
  uint32_t room = seen.position < seen.size ? seen.size - seen.position : 0;
  nbuf_registry_move_cursors_back(state, order, room);
}

/* A copy of the handle was released before. */
NBUF_COLD static nearbuf_status release_again(void) {
  return NEARBUF_INVALID_HANDLE;
}

/* Releases the item of a handle. `is_rust` is known on the fast path. */
NBUF_FORCEINLINE nearbuf_status release_item(nearbuf_buffer *buffer, nbuf_state *state,
                                             uintptr_t item, bool is_rust) {
  uintptr_t taken = nbuf_item_taken_word(item, is_rust);
  buffer->item = 0;
  if (!is_listed(buffer, item)) {
    return NEARBUF_OK;
  }
  if (nbuf_shared_load_relaxed(taken) == 0) {
    return release_again();
  }
  nbuf_shared_unlock_release(taken);
  if (nbuf_registry_is_passed(state, buffer->order)) {
    rewind_cursors(state, item, is_rust, buffer->order);
  }
  return NEARBUF_OK;
}

/* The same for memory for data, and for items in the Rust layout. */
NBUF_NOINLINE static nearbuf_status release_data_or_rust(nearbuf_buffer *buffer,
                                                         nbuf_state *state) {
  /* Appending makes the start equal to the position; before the first append the start is only
   * planned. */
  if ((buffer->item & HELD_FOR_DATA) != 0 && buffer->start == position_of(buffer)) {
    advance_position(buffer, nbuf_line_end(buffer->address, size_of(buffer), buffer->start));
  }
  return release_item(buffer, state, item_of(buffer), is_rust(buffer));
}

/* nearbuf_release for a handle that must be proved; see prove_handle. */
NBUF_COLD static nearbuf_status release_slowly(nearbuf_buffer *buffer) {
  nearbuf_status status = check_handle(buffer);
  if (status == NEARBUF_STALE) {
    buffer->item = 0;
  }
  return status == NEARBUF_OK ? release_data_or_rust(buffer, nbuf_state_of_process()) : status;
}

nearbuf_status nearbuf_release(nearbuf_buffer *buffer) {
  nbuf_state *state = nbuf_state_current();
  if (buffer == NULL || buffer->item == 0 || buffer->generation != nbuf_state_generation(state)) {
    return release_slowly(buffer);
  }
  nbuf_item_ref ref = buffer->item;
  if ((ref & NBUF_ITEM_REF_TAGS) != 0) {
    return release_data_or_rust(buffer, state);
  }
  return release_item(buffer, state, ref, false);
}

/* ---- Append, reserve, commit ----------------------------------------------------------------- */

/* The address of the next append. */
static inline uintptr_t next_address(const nearbuf_buffer *buffer) {
  return buffer->address + buffer->start;
}

/* Copies bytes, which fit, to the address of the next append. */
static inline void put(nearbuf_buffer *buffer, const void *bytes, uint32_t size, bool is_code) {
  uintptr_t run_at = next_address(buffer);
  memcpy((void *)(run_at + buffer->write_delta), bytes, size);
  advance_position(buffer, buffer->start + size);
  if (is_code) {
    nbuf_os_sync_new_code(run_at, size);
  }
}

static inline nearbuf_status check_append(const nearbuf_buffer *buffer, const void *bytes,
                                          size_t size_bytes) {
  nearbuf_status status = check_handle(buffer);
  if (status != NEARBUF_OK) {
    return status;
  }
  if (bytes == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  if (size_bytes == 0) {
    return NEARBUF_INVALID_SIZE;
  }
  return size_bytes > buffer->limit - buffer->start ? NEARBUF_BEYOND_ROOM : NEARBUF_OK;
}

NBUF_NOINLINE static nearbuf_status append(nearbuf_buffer *buffer, const void *bytes,
                                           size_t size_bytes, bool is_code, void **address) {
  nearbuf_status status = check_append(buffer, bytes, size_bytes);
  if (address != NULL) {
    *address = status == NEARBUF_OK ? (void *)next_address(buffer) : NULL;
  }
  if (status == NEARBUF_OK) {
    put(buffer, bytes, (uint32_t)size_bytes, is_code);
  }
  return status;
}

/* Of 16 to 32 bytes, a common size of stubs, the first and the last 16 are copied: calling memcpy
 * takes longer than copying. */
enum { PIECE = 16 };

nearbuf_status nearbuf_append(nearbuf_buffer *buffer, const void *bytes, size_t size_bytes,
                              void **address) {
  if (size_bytes - PIECE > PIECE || check_append(buffer, bytes, size_bytes) != NEARBUF_OK) {
    return append(buffer, bytes, size_bytes, false, address);
  }
  uintptr_t run_at = next_address(buffer);
  unsigned char *to = (unsigned char *)(run_at + buffer->write_delta);
  const unsigned char *from = bytes;
  unsigned char first[PIECE];
  unsigned char last[PIECE];
  memcpy(first, from, PIECE);
  memcpy(last, from + size_bytes - PIECE, PIECE);
  memcpy(to, first, PIECE);
  memcpy(to + size_bytes - PIECE, last, PIECE);
  advance_position(buffer, buffer->start + (uint32_t)size_bytes);
  if (address != NULL) {
    *address = (void *)run_at;
  }
  return NEARBUF_OK;
}

nearbuf_status nearbuf_append_code(nearbuf_buffer *buffer, const void *bytes, size_t size_bytes,
                                   void **address) {
  return append(buffer, bytes, size_bytes, true, address);
}

nearbuf_status nearbuf_reserve(nearbuf_buffer *buffer, size_t size_bytes, size_t alignment_bytes,
                               nearbuf_memory *room) {
  if (room == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *room = (nearbuf_memory){0};
  nearbuf_status status = check_handle(buffer);
  if (status != NEARBUF_OK) {
    return status;
  }
  if (size_bytes == 0) {
    return NEARBUF_INVALID_SIZE;
  }
  if (!nbuf_is_power_of_two(alignment_bytes)) {
    return NEARBUF_INVALID_ALIGNMENT;
  }
  uintptr_t run_at;
  uintptr_t end = buffer->address + buffer->limit;
  if (!nbuf_align_up(next_address(buffer), alignment_bytes, &run_at) || run_at > end ||
      size_bytes > end - run_at) {
    return NEARBUF_BEYOND_ROOM;
  }
  buffer->reserved = (uint32_t)(run_at + size_bytes - buffer->address);
  buffer->reserved_size = (uint32_t)size_bytes;
  room->run_at = (unsigned char *)run_at;
  room->write_to = (unsigned char *)(run_at + buffer->write_delta);
  room->size_bytes = size_bytes;
  return NEARBUF_OK;
}

nearbuf_status nearbuf_commit(nearbuf_buffer *buffer, size_t used_bytes) {
  nearbuf_status status = check_handle(buffer);
  if (status != NEARBUF_OK) {
    return status;
  }
  if (buffer->reserved == 0) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  if (used_bytes > buffer->reserved_size) {
    return NEARBUF_BEYOND_ROOM;
  }
  uint32_t start = buffer->reserved - buffer->reserved_size;
  buffer->reserved = 0;
  if (used_bytes > 0) {
    advance_position(buffer, start + (uint32_t)used_bytes);
    nbuf_os_sync_new_code(buffer->address + start, used_bytes);
  }
  return NEARBUF_OK;
}

/* ---- Place ----------------------------------------------------------------------------------- */

/* Places by way of a handle. */
NBUF_NOINLINE static nearbuf_status place_held(const nearbuf_request *request, const void *bytes,
                                               nearbuf_memory *placed) {
  if (placed == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *placed = (nearbuf_memory){0};
  if (bytes == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nearbuf_buffer buffer;
  nearbuf_status status = nearbuf_get(request, &buffer);
  placed->system_error = buffer.system_error;
  if (status != NEARBUF_OK) {
    return status;
  }
  placed->run_at = (unsigned char *)next_address(&buffer);
  placed->write_to = placed->run_at + buffer.write_delta;
  placed->size_bytes = request->size_bytes;
  put(&buffer, bytes, (uint32_t)request->size_bytes, (request->flags & NEARBUF_DATA) == 0);
  (void)nearbuf_release(&buffer);
  return NEARBUF_OK;
}

/* Places usual bytes in an item that is locked, and releases it. */
NBUF_FORCEINLINE void place_in(uintptr_t item, const nearbuf_request *request, const void *bytes,
                               uintptr_t start, nearbuf_memory *placed) {
  size_t size = request->size_bytes;
  memcpy((void *)start, bytes, size);
  nbuf_item_set_position(item, false, (uint32_t)(start + size - nbuf_item_base(item)));
  nbuf_os_sync_new_code(start, size);
  nbuf_item_unlock(item, false);
  *placed = (nearbuf_memory){
      .write_to = (unsigned char *)start, .run_at = (unsigned char *)start, .size_bytes = size};
}

/* The fast path, as in nearbuf_get: no handle is filled in. */
nearbuf_status nearbuf_place(const nearbuf_request *request, const void *bytes,
                             nearbuf_memory *placed) {
  nbuf_state *state = nbuf_state_current();
  const nbuf_hint *hint = nbuf_hint_of(&state->hints);
  uintptr_t item;
  if (placed == NULL || bytes == NULL || !is_usual(request, hint, &item) ||
      !nbuf_item_try_lock(item, false)) {
    return place_held(request, bytes, placed);
  }
  uintptr_t start;
  uint32_t order = (uint32_t)nbuf_hint_order_and_generation(hint);
  if (!fits(request, item, request->alignment_bytes - 1, &start)) {
    nbuf_item_unlock(item, false);
    return place_held(request, bytes, placed);
  }
  place_in(item, request, bytes, start, placed);
  if (nbuf_registry_is_passed(state, order)) {
    rewind_cursors(state, item, false, order);
  }
  return NEARBUF_OK;
}

nearbuf_status nearbuf_place_with(const nearbuf_request *request, nearbuf_writer writer,
                                  void *context, nearbuf_memory *placed) {
  if (placed == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *placed = (nearbuf_memory){0};
  if (writer == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nearbuf_buffer buffer;
  nearbuf_status status = nearbuf_get(request, &buffer);
  placed->system_error = buffer.system_error;
  if (status != NEARBUF_OK) {
    return status;
  }
  nearbuf_memory room;
  status = nearbuf_reserve(&buffer, request->size_bytes, 1, &room);
  if (status == NEARBUF_OK) {
    ptrdiff_t used = writer(&room, context);
    status = used < 0 ? NEARBUF_CANCELLED : nearbuf_commit(&buffer, (size_t)used);
    if (status == NEARBUF_OK) {
      room.size_bytes = (size_t)used;
      *placed = room;
    }
  }
  (void)nearbuf_release(&buffer);
  return status;
}

/* ---- About a held buffer --------------------------------------------------------------------- */

uintptr_t nearbuf_buffer_address(const nearbuf_buffer *buffer) {
  return check_handle(buffer) == NEARBUF_OK ? buffer->address : 0;
}

size_t nearbuf_buffer_size(const nearbuf_buffer *buffer) {
  if (check_handle(buffer) != NEARBUF_OK) {
    return 0;
  }
  return is_listed(buffer, item_of(buffer)) ? size_of(buffer) : buffer->limit;
}

size_t nearbuf_buffer_room(const nearbuf_buffer *buffer) {
  return check_handle(buffer) == NEARBUF_OK ? buffer->limit - buffer->start : 0;
}
