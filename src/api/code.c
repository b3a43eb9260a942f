/* Replacing code that other threads may be running: one store where possible, then what the
 * processors and the system require. */
#include <stdatomic.h>
#include <string.h>

#include "base/range.h"
#include "core/probe.h"
#include "os/os.h"

/* Whether the bytes lie in one buffer, or in what may be private memory. */
static nbuf_result check_place(const void *address, size_t size_bytes) {
  if (address == NULL) {
    return nbuf_result_of(NEARBUF_INVALID_ARGUMENT);
  }
  if (size_bytes == 0 || size_bytes > UINT32_MAX) {
    return nbuf_result_of(NEARBUF_INVALID_SIZE);
  }
  uintptr_t start = (uintptr_t)address;
  if (size_bytes - 1 > UINTPTR_MAX - start) {
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  nearbuf_info info;
  if (nearbuf_find(address, &info) == NEARBUF_OK) {
    nbuf_range buffer = {info.address, info.address + (info.size_bytes - 1)};
    return nbuf_result_of(nbuf_range_holds(buffer, start, size_bytes) ? NEARBUF_OK
                                                                      : NEARBUF_NOT_FOUND);
  }
  return nbuf_probe_private_code(start, size_bytes);
}

/* Stores the bytes, as one store where their number and address allow it. */
static void store(uintptr_t to, const void *bytes, size_t size_bytes) {
  union {
    uint8_t one;
    uint16_t two;
    uint32_t four;
    uint64_t eight;
  } word;
  size_t longest = ATOMIC_LLONG_LOCK_FREE == 2 ? 8 : sizeof(uintptr_t);
  bool is_one_store =
      size_bytes <= longest && nbuf_is_power_of_two(size_bytes) && to % size_bytes == 0;
  if (!is_one_store) {
    memcpy((void *)to, bytes, size_bytes);
    return;
  }
  memcpy(&word, bytes, size_bytes);
  switch (size_bytes) {
  case 1:
    atomic_store_explicit((_Atomic uint8_t *)to, word.one, memory_order_release);
    break;
  case 2:
    atomic_store_explicit((_Atomic uint16_t *)to, word.two, memory_order_release);
    break;
  case 4:
    atomic_store_explicit((_Atomic uint32_t *)to, word.four, memory_order_release);
    break;
  default:
    atomic_store_explicit((_Atomic uint64_t *)to, word.eight, memory_order_release);
    break;
  }
}

static nearbuf_status finish(nbuf_result result, int32_t *system_error) {
  if (system_error != NULL) {
    *system_error = result.system_error;
  }
  return result.status;
}

nearbuf_status nearbuf_overwrite(void *address, const void *bytes, size_t size_bytes,
                                 int32_t *system_error) {
  nbuf_result result =
      bytes == NULL ? nbuf_result_of(NEARBUF_INVALID_ARGUMENT) : check_place(address, size_bytes);
  if (result.status == NEARBUF_OK) {
    store((uintptr_t)address, bytes, size_bytes);
    nbuf_os_sync_code((uintptr_t)address, size_bytes);
    nbuf_os_sync_processors();
  }
  return finish(result, system_error);
}

nearbuf_status nearbuf_overwrite_with(void *address, size_t size_bytes, nearbuf_writer writer,
                                      void *context, int32_t *system_error) {
  nbuf_result result =
      writer == NULL ? nbuf_result_of(NEARBUF_INVALID_ARGUMENT) : check_place(address, size_bytes);
  if (result.status == NEARBUF_OK) {
    nearbuf_memory room = {.write_to = address, .run_at = address, .size_bytes = size_bytes};
    ptrdiff_t used = writer(&room, context);
    nbuf_os_sync_code((uintptr_t)address, size_bytes);
    nbuf_os_sync_processors();
    result.status = used < 0 ? NEARBUF_CANCELLED : NEARBUF_OK;
  }
  return finish(result, system_error);
}

void nearbuf_sync_code(const void *address, size_t size_bytes) {
  nbuf_os_sync_code((uintptr_t)address, size_bytes);
}
