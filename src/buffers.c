/* The public calls on shared buffers: get, append, reserve, release, place. Arguments are checked
 * here; finding memory is claim.c's. */
#include <string.h>

#include "claim.h"
#include "os/os.h"

/* Kept out of the warm path, whose values can then stay in registers. */
#define SLOW __attribute__((noinline, cold))

/* ---- Get and release --------------------------------------------------------------------------- */

/* The warm path: the item that this thread used last, if it is free and still fits. False: go the
 * slow way, which tells what is wrong with a request, too. */
static inline bool claim_hint(const nearbuf_request *request, nb_claim *claim,
                              uint32_t *generation) {
  nb_session *session = nb_session_current();
  *generation = nb_session_generation(session);
  if (*generation == 0 || !nb_request_is_sound(request)) {
    return false;
  }
  nb_fit fit = nb_request_fit(request);
  nb_hint *hint = nb_hints_mine(&session->hints);
  uintptr_t reference = atomic_load_explicit(&hint->item, memory_order_acquire);
  if (reference == 0 || !nb_item_claim(reference, &fit, claim)) {
    return false;
  }
  claim->order = atomic_load_explicit(&hint->order, memory_order_relaxed);
  return true;
}

static inline void fill(nearbuf_buffer *buffer, const nb_claim *claim, uint32_t generation,
                        uint32_t flags) {
  buffer->item = claim->reference;
  buffer->address = claim->base;
  buffer->write_delta = 0;
  buffer->size = claim->size;
  buffer->limit = claim->limit;
  buffer->position = claim->position;
  buffer->start = claim->start;
  buffer->reserved = 0;
  buffer->order = claim->order;
  buffer->generation = generation;
  buffer->flags = flags;
  buffer->system_error = 0;
}

SLOW static nearbuf_status get_slowly(const nearbuf_request *request, nearbuf_buffer *buffer) {
  *buffer = (nearbuf_buffer){0};
  nearbuf_status status = nb_request_check(request);
  if (status != NEARBUF_OK) {
    return status;
  }
  nb_fit fit = nb_request_fit(request);
  nb_claim claim;
  uint32_t generation;
  nb_outcome outcome =
      nb_claim_find_or_make(&fit, request->target, NEARBUF_DIALECT_WRITTEN, &claim, &generation);
  buffer->system_error = outcome.system_error;
  if (outcome.status == NEARBUF_OK) {
    fill(buffer, &claim, generation, request->flags);
  }
  return outcome.status;
}

nearbuf_status nearbuf_get(const nearbuf_request *request, nearbuf_buffer *buffer) {
  nb_claim claim;
  uint32_t generation;
  if (buffer == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  if (!claim_hint(request, &claim, &generation)) {
    return get_slowly(request, buffer);
  }
  fill(buffer, &claim, generation, request->flags);
  return NEARBUF_OK;
}

/* Whether the handle is held, in this process. */
static inline nearbuf_status check_handle(const nearbuf_buffer *buffer) {
  if (buffer == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  if (buffer->item == 0) {
    return NEARBUF_INVALID_HANDLE;
  }
  return buffer->generation == nb_session_generation(nb_session_current()) ? NEARBUF_OK
                                                                           : NEARBUF_STALE;
}

static inline void advance(nearbuf_buffer *buffer, uint32_t position) {
  buffer->position = position;
  buffer->start = position;
  buffer->reserved = 0;
  nb_shared_store_relaxed(nb_reference_position(buffer->item), position);
}

/* Where the next bytes may go behind data that will be written often and ends at `position`:
 * nothing may be put into its last cache line. */
static uint32_t end_of_line(uintptr_t address, uint32_t size, uint32_t position) {
  uintptr_t end;
  bool has_line = nb_align_up(address + position, NB_CACHE_LINE, &end);
  return has_line && end - address <= size ? (uint32_t)(end - address) : size;
}

/* Gives a held buffer back. */
static inline void let_go(nb_session *session, nearbuf_buffer *buffer) {
  /* Appending moved the start to the position; before it the start is only a plan. */
  if ((buffer->flags & NEARBUF_DATA) != 0 && buffer->start == buffer->position) {
    advance(buffer, end_of_line(buffer->address, buffer->size, buffer->position));
  }
  nb_shared_unlock_release(nb_reference_taken(buffer->item));
  nb_locator_released(session, buffer->order, buffer->size - buffer->position);
  buffer->item = 0;
}

nearbuf_status nearbuf_release(nearbuf_buffer *buffer) {
  nearbuf_status status = check_handle(buffer);
  if (status != NEARBUF_OK) {
    if (status == NEARBUF_STALE) {
      buffer->item = 0;
    }
    return status;
  }
  if (nb_shared_load_relaxed(nb_reference_taken(buffer->item)) == 0) {
    buffer->item = 0;
    return NEARBUF_INVALID_HANDLE; /* a copy of the handle was released before */
  }
  let_go(nb_session_current(), buffer);
  return NEARBUF_OK;
}

/* ---- Append, reserve, commit ------------------------------------------------------------------- */

/* Copies bytes that fit to where the next append goes. */
static inline void put(nearbuf_buffer *buffer, const void *bytes, uint32_t size, bool is_code) {
  uintptr_t run_at = buffer->address + buffer->start;
  memcpy((void *)(run_at + buffer->write_delta), bytes, size);
  advance(buffer, buffer->start + size);
  if (is_code) {
    nb_os_sync_code(run_at, size);
  }
}

static inline nearbuf_status append(nearbuf_buffer *buffer, const void *bytes, size_t size_bytes,
                                    bool is_code, void **address) {
  if (address != NULL) {
    *address = NULL;
  }
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
  if (size_bytes > buffer->limit - buffer->start) {
    return NEARBUF_BEYOND_ROOM;
  }
  if (address != NULL) {
    *address = (void *)(buffer->address + buffer->start);
  }
  put(buffer, bytes, (uint32_t)size_bytes, is_code);
  return NEARBUF_OK;
}

nearbuf_status nearbuf_append(nearbuf_buffer *buffer, const void *bytes, size_t size_bytes,
                              void **address) {
  return append(buffer, bytes, size_bytes, false, address);
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
  if (!nb_is_power_of_two(alignment_bytes)) {
    return NEARBUF_INVALID_ALIGNMENT;
  }
  uintptr_t run_at;
  uintptr_t end = buffer->address + buffer->limit;
  if (!nb_align_up(buffer->address + buffer->start, alignment_bytes, &run_at) || run_at > end ||
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
    advance(buffer, start + (uint32_t)used_bytes);
    nb_os_sync_code(buffer->address + start, used_bytes);
  }
  return NEARBUF_OK;
}

/* ---- Place ------------------------------------------------------------------------------------- */

nearbuf_status nearbuf_place(const nearbuf_request *request, const void *bytes,
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
  placed->run_at = (unsigned char *)(buffer.address + buffer.start);
  placed->write_to = placed->run_at + buffer.write_delta;
  placed->size_bytes = request->size_bytes;
  put(&buffer, bytes, (uint32_t)request->size_bytes, (request->flags & NEARBUF_DATA) == 0);
  let_go(nb_session_current(), &buffer);
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

/* ---- About a held buffer ----------------------------------------------------------------------- */

uintptr_t nearbuf_buffer_address(const nearbuf_buffer *buffer) {
  return check_handle(buffer) == NEARBUF_OK ? buffer->address : 0;
}

size_t nearbuf_buffer_size(const nearbuf_buffer *buffer) {
  return check_handle(buffer) == NEARBUF_OK ? buffer->size : 0;
}

size_t nearbuf_buffer_room(const nearbuf_buffer *buffer) {
  return check_handle(buffer) == NEARBUF_OK ? buffer->limit - buffer->start : 0;
}
