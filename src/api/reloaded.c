/* The C functions of the Rust implementation on this library; see include/nearbuf/reloaded.h. */
#include <nearbuf/reloaded.h>

#include <assert.h>
#include <string.h>

#include "core/acquire.h"
#include "os/os.h"

static_assert(sizeof(LocatorItem) == sizeof(uintptr_t) + 12, "an item of a locator");
static_assert(offsetof(LocatorItem, size) == sizeof(uintptr_t), "the Rust layout");
static_assert(offsetof(LocatorItem, position) == sizeof(uintptr_t) + 4, "the Rust layout");
static_assert(offsetof(LocatorItem, is_taken) == sizeof(uintptr_t) + 8, "the Rust layout");

static const nbuf_layout *rust(void) {
  return nbuf_native_layout(NEARBUF_DIALECT_RUST);
}

static uintptr_t taken_word(const LocatorItem *item) {
  return nbuf_item_taken_word((uintptr_t)item, true);
}

static nbuf_item values_of(const LocatorItem *item) {
  return item == NULL ? (nbuf_item){0} : nbuf_item_read((uintptr_t)item, rust());
}

/* ---- Settings -------------------------------------------------------------------------------- */

/* A size beyond 32 bits becomes the largest 32-bit value, which is refused: no caller gets less
 * than it asked for. */
static uint32_t size_of_settings(size_t size) {
  return size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
}

BufferSearchSettings buffersearchsettings_from_proximity(uintptr_t proximity, uintptr_t target,
                                                         size_t size) {
  return (BufferSearchSettings){.min_address = nbuf_sub_saturating(target, proximity),
                                .max_address = nbuf_add_saturating(target, proximity),
                                .size = size_of_settings(size)};
}

BufferAllocatorSettings bufferallocatorsettings_from_proximity(uintptr_t proximity,
                                                               uintptr_t target, size_t size) {
  return (BufferAllocatorSettings){.min_address = nbuf_sub_saturating(target, proximity),
                                   .max_address = nbuf_add_saturating(target, proximity),
                                   .size = size_of_settings(size),
                                   .target_process_id = nbuf_os_process(),
                                   .retry_count = 8,
                                   .brute_force = true};
}

static nearbuf_status request_of(uintptr_t min, uintptr_t max, uint32_t size, uint32_t alignment,
                                 nearbuf_request *request) {
  if (max <= min) {
    return NEARBUF_INVALID_RANGE;
  }
  if (size == UINT32_MAX) {
    return NEARBUF_INVALID_SIZE;
  }
  *request = (nearbuf_request)NEARBUF_REQUEST_INIT;
  request->range = (nearbuf_range){min, max - 1};
  request->size_bytes = size;
  request->alignment_bytes = alignment;
  return nbuf_request_check(request);
}

/* Makes a released item findable for the walks of this module, if they have passed it. */
NBUF_COLD static void rewind_cursors(nbuf_state *state, uintptr_t item, uint32_t room) {
  nbuf_registry_released_item(state, item, room);
}

/* Releases an item. */
NBUF_FORCEINLINE void release_item(LocatorItem *item) {
  if (item == NULL) {
    return;
  }
  uintptr_t address = (uintptr_t)item;
  uint32_t size = nbuf_item_size(address, true);
  uint32_t position = nbuf_item_position(address, true);
  nbuf_item_unlock(address, true);
  nbuf_state *state = nbuf_state_current();
  if (nbuf_registry_is_passed(state, 0)) {
    rewind_cursors(state, address, position < size ? size - position : 0);
  }
}

/* Callers expect the Rust implementation's order, the lowest address first: so that is the
 * target. */
static uintptr_t lowest_target(const nearbuf_request *request) {
  return request->range.min == 0 ? 1 : request->range.min;
}

/* ---- Buffers --------------------------------------------------------------------------------- */

static nearbuf_status acquire_item(const BufferSearchSettings *settings, uint32_t alignment,
                                   LocatorItem **item) {
  nearbuf_request request;
  nearbuf_status status = settings == NULL
                              ? NEARBUF_INVALID_ARGUMENT
                              : request_of(settings->min_address, settings->max_address,
                                           settings->size, alignment, &request);
  if (status != NEARBUF_OK) {
    return status;
  }
  nbuf_constraint constraint = nbuf_request_constraint(&request, request.flags);
  constraint.only_dialect = NEARBUF_DIALECT_RUST;
  constraint.must_end_inside = true; /* the caller sees all of the item's room */
  nbuf_preference lowest = {lowest_target(&request), 0, NEARBUF_DIALECT_RUST};
  nbuf_acquired acquired;
  uint32_t generation;
  nbuf_os_call call = nbuf_os_call_begin();
  status = nbuf_acquire(&constraint, &lowest, &acquired, &generation).status;
  nbuf_os_call_end(call);
  if (status == NEARBUF_OK) {
    uintptr_t address = nbuf_item_ref_address(acquired.ref);
    nbuf_item_set_position(address, true, acquired.start);
    *item = (LocatorItem *)address;
  }
  return status;
}

NBUF_COLD static GetBufferResult get_slowly(const BufferSearchSettings *settings,
                                            uint32_t alignment) {
  LocatorItem *item = NULL;
  nearbuf_status status = acquire_item(settings, alignment, &item);
  bool is_ok = status == NEARBUF_OK;
  return (GetBufferResult){
      .is_ok = is_ok, .ok = item, .err = is_ok ? NULL : nearbuf_status_text(status)};
}

/* Callers copy the first two words of a result in one load, and a load that spans two stores waits
 * until both have left the processor. So one store writes both, too: the wait is most of the time
 * of a get. */
NBUF_FORCEINLINE GetBufferResult success(LocatorItem *item) {
  GetBufferResult result = {.is_ok = true, .ok = item, .err = NULL};
#if UINTPTR_MAX > UINT32_MAX && !NBUF_IS_BIG_ENDIAN
  static_assert(offsetof(GetBufferResult, ok) == 8, "the first two words of a result");
  nbuf_two_words words = {1, (uintptr_t)item};
  memcpy(&result, &words, sizeof words);
#endif
  return result;
}

/* The fast path, as in nearbuf_get: the item that this thread used last, if it is free and the
 * settings fit. The slow path reports what is wrong with settings: nothing fits invalid ones. */
NBUF_FORCEINLINE GetBufferResult get(const BufferSearchSettings *settings, uint32_t alignment) {
  nbuf_item_ref ref = nbuf_hint_tagged_item(nbuf_hint_of(&nbuf_state_current()->hints));
  uint32_t below = alignment - 1;
  if (!nbuf_item_ref_is_rust(ref) || settings == NULL || (alignment & below) != 0) {
    return get_slowly(settings, alignment);
  }
  uintptr_t item = nbuf_item_ref_address(ref);
  if (!nbuf_item_try_lock(item, true)) {
    return get_slowly(settings, alignment);
  }
  uintptr_t base = nbuf_item_base(item);
  uintptr_t end = base + nbuf_item_size(item, true);
  uintptr_t free_from = base + nbuf_item_position(item, true);
  uintptr_t start = (free_from + below) & ~(uintptr_t)below;
  uintptr_t last = start + ((uintptr_t)settings->size - 1); /* a size of 0 fits nothing */
  if (nbuf_item_is_wrapped(base, free_from) || free_from < settings->min_address ||
      settings->max_address < end || start < free_from || last < start || last >= end ||
      alignment == 0) {
    nbuf_item_unlock(item, true);
    return get_slowly(settings, alignment);
  }
  if (alignment != 1) {
    nbuf_item_set_position(item, true, (uint32_t)(start - base));
  }
  return success((LocatorItem *)item);
}

GetBufferResult buffers_get_buffer_aligned(const BufferSearchSettings *settings,
                                           uint32_t alignment) {
  return get(settings, alignment);
}

GetBufferResult buffers_get_buffer(const BufferSearchSettings *settings) {
  return get(settings, 1);
}

void free_get_buffer_result(GetBufferResult item) {
  if (item.is_ok) {
    release_item(item.ok);
  }
}

void free_string(char *s) { /* NOLINT(readability-non-const-parameter): the Rust one's type */
  (void)s;
}

/* ---- Items ----------------------------------------------------------------------------------- */

static uint32_t room_of(const nbuf_item *item) {
  return item->position < item->size ? item->size - item->position : 0;
}

uint32_t locatoritem_bytes_left(const LocatorItem *item) {
  nbuf_item values = values_of(item);
  return room_of(&values);
}

uintptr_t locatoritem_min_address(const LocatorItem *item) {
  return (uintptr_t)values_of(item).base;
}

uintptr_t locatoritem_max_address(const LocatorItem *item) {
  nbuf_item values = values_of(item);
  return nbuf_add_saturating((uintptr_t)values.base, values.size);
}

bool locatoritem_is_allocated(const LocatorItem *item) {
  return values_of(item).base != 0;
}

bool locatoritem_is_taken(const LocatorItem *item) {
  return values_of(item).taken == 1;
}

bool locatoritem_try_lock(LocatorItem *item) {
  return item != NULL && nbuf_shared_lock_acquire(taken_word(item));
}

void locatoritem_lock(LocatorItem *item) {
  while (item != NULL && !nbuf_shared_lock_acquire(taken_word(item))) {
    nbuf_os_pause();
  }
}

void locatoritem_unlock(LocatorItem *item) {
  release_item(item);
}

void free_locator_item(LocatorItem *item) {
  locatoritem_unlock(item);
}

bool locatoritem_can_use(const LocatorItem *item, uint32_t size, uintptr_t min_address,
                         uintptr_t max_address) {
  nbuf_item values = values_of(item);
  return values.base != 0 && room_of(&values) >= size &&
         values.base + values.position >= min_address &&
         nbuf_add_saturating((uintptr_t)values.base, values.size) <= max_address;
}

/* Of 16 to 32 bytes, a common size of stubs, the first and the last 16 are copied: calling memcpy
 * takes longer than copying. */
enum { PIECE = 16 };

NBUF_FORCEINLINE void copy(unsigned char *to, const uint8_t *from, size_t size) {
  if (size - PIECE > PIECE) {
    memcpy(to, from, size);
    return;
  }
  unsigned char first[PIECE];
  unsigned char last[PIECE];
  memcpy(first, from, PIECE);
  memcpy(last, from + size - PIECE, PIECE);
  memcpy(to, first, PIECE);
  memcpy(to + size - PIECE, last, PIECE);
}

uintptr_t locatoritem_append_bytes(LocatorItem *item, const uint8_t *data, size_t data_len) {
  if (item == NULL || (data == NULL && data_len != 0)) {
    return 0;
  }
  uintptr_t base = nbuf_item_base((uintptr_t)item);
  uint32_t size = nbuf_item_size((uintptr_t)item, true);
  uint32_t position = nbuf_item_position((uintptr_t)item, true);
  if (base == 0 || position > size || data_len > size - position) {
    return 0;
  }
  if (data_len != 0) {
    copy((unsigned char *)(base + position), data, data_len);
    nbuf_item_set_position((uintptr_t)item, true, position + (uint32_t)data_len);
  }
  return base + position;
}

/* ---- Private memory -------------------------------------------------------------------------- */

static nearbuf_status allocate(BufferAllocatorSettings *settings, nearbuf_memory *memory) {
  if (settings == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  if (settings->target_process_id != 0 && settings->target_process_id != nbuf_os_process()) {
    return NEARBUF_UNSUPPORTED;
  }
  nearbuf_request request;
  nearbuf_status status =
      request_of(settings->min_address, settings->max_address, settings->size, 1, &request);
  if (status == NEARBUF_OK) {
    request.target = lowest_target(&request);
    status = nearbuf_allocate(&request, memory);
  }
  if (status == NEARBUF_OK) {
    settings->size = size_of_settings(memory->size_bytes);
  }
  return status;
}

AllocationResult buffers_allocate_private_memory(BufferAllocatorSettings *settings) {
  nearbuf_memory memory = {0};
  nearbuf_status status = allocate(settings, &memory);
  bool is_ok = status == NEARBUF_OK;
  PrivateAllocation made = {.base_address = memory.run_at,
                            .size = memory.size_bytes,
                            .this_process_id = is_ok ? nbuf_os_process() : 0};
  return (AllocationResult){
      .is_ok = is_ok, .ok = made, .err = is_ok ? NULL : nearbuf_status_text(status)};
}

void free_private_allocation(PrivateAllocation item) {
  nearbuf_memory memory = {.write_to = item.base_address,
                           .run_at = item.base_address,
                           .size_bytes = item.size,
                           .is_private = 1};
  (void)nearbuf_free(&memory);
}

void free_allocation_result(AllocationResult item) {
  if (item.is_ok) {
    free_private_allocation(item.ok);
  }
}

/* ---- Code ------------------------------------------------------------------------------------ */

void overwrite_allocated_code(const uint8_t *source, uint8_t *target, size_t size) {
  (void)nearbuf_overwrite(target, source, size, NULL);
}

void overwrite_allocated_code_ex(const uint8_t *source, uint8_t *target, size_t size,
                                 void (*callback)(const uint8_t *source, uint8_t *target,
                                                  size_t size)) {
  if (callback != NULL) {
    callback(source, target, size);
    nbuf_os_sync_code((uintptr_t)target, size);
    nbuf_os_sync_processors();
  }
}

void utilities_clear_instruction_cache(uint8_t *start, uint8_t *end) {
  if (start < end) {
    nbuf_os_sync_code((uintptr_t)start, (uintptr_t)end - (uintptr_t)start);
  }
}
