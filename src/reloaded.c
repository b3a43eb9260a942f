/* The C functions of the Rust reference on this library; see include/nearbuf/reloaded.h. */
#include <nearbuf/reloaded.h>

#include <assert.h>
#include <string.h>

#include "claim.h"
#include "os/os.h"

static_assert(sizeof(LocatorItem) == sizeof(uintptr_t) + 12, "an item of a locator");
static_assert(offsetof(LocatorItem, size) == sizeof(uintptr_t), "the Rust layout");
static_assert(offsetof(LocatorItem, position) == sizeof(uintptr_t) + 4, "the Rust layout");
static_assert(offsetof(LocatorItem, is_taken) == sizeof(uintptr_t) + 8, "the Rust layout");

static const nb_layout *rust(void) {
  return nb_native_layout(NEARBUF_DIALECT_RUST);
}

static uintptr_t taken_word(const LocatorItem *item) {
  return (uintptr_t)item + rust()->taken;
}

static nb_item values_of(const LocatorItem *item) {
  return item == NULL ? (nb_item){0} : nb_item_read((uintptr_t)item, rust());
}

/* ---- Settings ---------------------------------------------------------------------------------- */

/* A size beyond 32 bits becomes the largest that they hold, which is refused: nobody gets less than he
 * asked for. */
static uint32_t size_of_settings(size_t size) {
  return size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
}

BufferSearchSettings buffersearchsettings_from_proximity(uintptr_t proximity, uintptr_t target,
                                                         size_t size) {
  return (BufferSearchSettings){.min_address = nb_sub_saturating(target, proximity),
                                .max_address = nb_add_saturating(target, proximity),
                                .size = size_of_settings(size)};
}

BufferAllocatorSettings bufferallocatorsettings_from_proximity(uintptr_t proximity,
                                                               uintptr_t target, size_t size) {
  return (BufferAllocatorSettings){.min_address = nb_sub_saturating(target, proximity),
                                   .max_address = nb_add_saturating(target, proximity),
                                   .size = size_of_settings(size),
                                   .target_process_id = nb_os_process(),
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
  return nb_request_check(request);
}

/* Callers know the other library's order: lowest first. Near to the lowest address is that. */
static uintptr_t lowest_target(const nearbuf_request *request) {
  return request->range.min == 0 ? 1 : request->range.min;
}

/* ---- Buffers ----------------------------------------------------------------------------------- */

static nearbuf_status get(const BufferSearchSettings *settings, uint32_t alignment,
                          LocatorItem **item) {
  nearbuf_request request;
  nearbuf_status status = settings == NULL
                              ? NEARBUF_INVALID_ARGUMENT
                              : request_of(settings->min_address, settings->max_address,
                                           settings->size, alignment, &request);
  if (status != NEARBUF_OK) {
    return status;
  }
  nb_fit fit = nb_request_fit(&request, request.flags);
  fit.only_dialect = NEARBUF_DIALECT_RUST;
  fit.ends_inside = true; /* the caller sees all of the item's room */
  nb_claim claim;
  uint32_t generation;
  nb_preference lowest = {lowest_target(&request), 0, NEARBUF_DIALECT_RUST};
  status = nb_claim_find_or_make(&fit, &lowest, &claim, &generation).status;
  if (status == NEARBUF_OK) {
    uintptr_t address = nb_reference_item(claim.reference);
    nb_shared_store_relaxed(address + rust()->position, claim.start);
    *item = (LocatorItem *)address;
  }
  return status;
}

GetBufferResult buffers_get_buffer_aligned(const BufferSearchSettings *settings,
                                           uint32_t alignment) {
  LocatorItem *item = NULL;
  nearbuf_status status = get(settings, alignment, &item);
  bool is_ok = status == NEARBUF_OK;
  return (GetBufferResult){
      .is_ok = is_ok, .ok = item, .err = is_ok ? NULL : nearbuf_status_text(status)};
}

GetBufferResult buffers_get_buffer(const BufferSearchSettings *settings) {
  return buffers_get_buffer_aligned(settings, 1);
}

void free_get_buffer_result(GetBufferResult item) {
  if (item.is_ok) {
    locatoritem_unlock(item.ok);
  }
}

void free_string(char *s) { /* NOLINT(readability-non-const-parameter): the reference's type */
  (void)s;
}

/* ---- Items ------------------------------------------------------------------------------------- */

static uint32_t room_of(const nb_item *item) {
  return item->position < item->size ? item->size - item->position : 0;
}

uint32_t locatoritem_bytes_left(const LocatorItem *item) {
  nb_item values = values_of(item);
  return room_of(&values);
}

uintptr_t locatoritem_min_address(const LocatorItem *item) {
  return (uintptr_t)values_of(item).base;
}

uintptr_t locatoritem_max_address(const LocatorItem *item) {
  nb_item values = values_of(item);
  return nb_add_saturating((uintptr_t)values.base, values.size);
}

bool locatoritem_is_allocated(const LocatorItem *item) {
  return values_of(item).base != 0;
}

bool locatoritem_is_taken(const LocatorItem *item) {
  return values_of(item).taken == 1;
}

bool locatoritem_try_lock(LocatorItem *item) {
  return item != NULL && nb_shared_lock_acquire(taken_word(item));
}

void locatoritem_lock(LocatorItem *item) {
  while (item != NULL && !nb_shared_lock_acquire(taken_word(item))) {
    nb_os_pause();
  }
}

void locatoritem_unlock(LocatorItem *item) {
  if (item == NULL) {
    return;
  }
  uint32_t room = locatoritem_bytes_left(item);
  nb_shared_unlock_release(taken_word(item));
  nb_session *session = nb_session_current();
  if (nb_session_generation(session) != 0) {
    nb_locator_released_item(session, (uintptr_t)item, room);
  }
}

void free_locator_item(LocatorItem *item) {
  locatoritem_unlock(item);
}

bool locatoritem_can_use(const LocatorItem *item, uint32_t size, uintptr_t min_address,
                         uintptr_t max_address) {
  nb_item values = values_of(item);
  return values.base != 0 && room_of(&values) >= size &&
         values.base + values.position >= min_address &&
         nb_add_saturating((uintptr_t)values.base, values.size) <= max_address;
}

uintptr_t locatoritem_append_bytes(LocatorItem *item, const uint8_t *data, size_t data_len) {
  nb_item values = values_of(item);
  if (values.base == 0 || values.position > values.size || data_len > room_of(&values) ||
      (data == NULL && data_len != 0)) {
    return 0;
  }
  uintptr_t address = (uintptr_t)values.base + values.position;
  if (data_len != 0) {
    memcpy((void *)address, data, data_len);
    nb_shared_store_relaxed((uintptr_t)item + rust()->position,
                            values.position + (uint32_t)data_len);
  }
  return address;
}

/* ---- Private memory ---------------------------------------------------------------------------- */

static nearbuf_status allocate(BufferAllocatorSettings *settings, nearbuf_memory *memory) {
  if (settings == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  if (settings->target_process_id != 0 && settings->target_process_id != nb_os_process()) {
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
                            .this_process_id = is_ok ? nb_os_process() : 0};
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

/* ---- Code -------------------------------------------------------------------------------------- */

void overwrite_allocated_code(const uint8_t *source, uint8_t *target, size_t size) {
  (void)nearbuf_overwrite(target, source, size, NULL);
}

void overwrite_allocated_code_ex(const uint8_t *source, uint8_t *target, size_t size,
                                 void (*callback)(const uint8_t *source, uint8_t *target,
                                                  size_t size)) {
  if (callback != NULL) {
    callback(source, target, size);
    nb_os_sync_code((uintptr_t)target, size);
    nb_os_sync_processors();
  }
}

void utilities_clear_instruction_cache(uint8_t *start, uint8_t *end) {
  if (start < end) {
    nb_os_sync_code((uintptr_t)start, (uintptr_t)end - (uintptr_t)start);
  }
}
