/* The drop-in DLL, under the name that the programs of the Rust implementation load. */
#include <string.h>

#include <windows.h>

#include <nearbuf/reloaded.h>

#include "test.h"

static HMODULE dropin(void) {
  HMODULE library = LoadLibraryA("reloaded_memory_buffers.dll");
  CHECK(library != NULL);
  return library;
}

/* A function of the DLL, with its type. */
#define FUNCTION(name)                                                                             \
  __typeof__(&(name)) call_##name;                                                                 \
  do {                                                                                             \
    FARPROC found_ = GetProcAddress(dropin(), #name);                                              \
    CHECK(found_ != NULL);                                                                         \
    memcpy(&call_##name, &found_, sizeof found_);                                                  \
  } while (0)

TEST(a_buffer_is_got_filled_and_given_back) {
  FUNCTION(buffersearchsettings_from_proximity);
  FUNCTION(buffers_get_buffer);
  FUNCTION(buffers_get_buffer_aligned);
  FUNCTION(locatoritem_append_bytes);
  FUNCTION(locatoritem_bytes_left);
  FUNCTION(locatoritem_is_taken);
  FUNCTION(locatoritem_min_address);
  FUNCTION(locatoritem_max_address);
  FUNCTION(free_get_buffer_result);
  uintptr_t near_code = (uintptr_t)GetModuleHandleA(NULL);
  BufferSearchSettings settings =
      call_buffersearchsettings_from_proximity(0x40000000, near_code, 100);
  GetBufferResult result = call_buffers_get_buffer(&settings);
  CHECK(result.is_ok && result.ok != NULL && result.err == NULL);
  CHECK(call_locatoritem_is_taken(result.ok));
  CHECK(call_locatoritem_min_address(result.ok) >= settings.min_address);
  CHECK(call_locatoritem_max_address(result.ok) <= settings.max_address);
  uint32_t left = call_locatoritem_bytes_left(result.ok);
  CHECK(left >= 100);
  uintptr_t where = call_locatoritem_append_bytes(result.ok, (const uint8_t *)"drop-in", 7);
  CHECK_EQUAL(0, memcmp((const void *)where, "drop-in", 7));
  CHECK_EQUAL(left - 7, call_locatoritem_bytes_left(result.ok));
  call_free_get_buffer_result(result);
  CHECK(!call_locatoritem_is_taken(result.ok));

  GetBufferResult aligned = call_buffers_get_buffer_aligned(&settings, 64);
  CHECK(aligned.is_ok);
  CHECK_EQUAL(0, call_locatoritem_append_bytes(aligned.ok, (const uint8_t *)"x", 1) % 64);
  call_free_get_buffer_result(aligned);
  settings.size = 0;
  CHECK(!call_buffers_get_buffer(&settings).is_ok);
}

TEST(it_shares_its_locator_with_nearbuf) {
  FUNCTION(buffersearchsettings_from_proximity);
  FUNCTION(buffers_get_buffer);
  FUNCTION(locatoritem_append_bytes);
  FUNCTION(locatoritem_unlock);
  BufferSearchSettings settings =
      call_buffersearchsettings_from_proximity(0x40000000, (uintptr_t)GetModuleHandleA(NULL), 100);
  GetBufferResult result = call_buffers_get_buffer(&settings);
  CHECK(result.is_ok);
  uintptr_t where = call_locatoritem_append_bytes(result.ok, (const uint8_t *)"theirs", 6);
  nearbuf_info info;
  CHECK_OK(nearbuf_find((const void *)where, &info));
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, info.dialect);
  CHECK_EQUAL(1, info.is_taken);
  call_locatoritem_unlock(result.ok);
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 4;
  request.alignment_bytes = 1;
  request.range = (nearbuf_range){info.address, info.address + (info.size_bytes - 1)};
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, "ours", &placed));
  CHECK_EQUAL(where + 6, (uintptr_t)placed.run_at);
}

static void copy(const uint8_t *source, uint8_t *target, size_t size) {
  memcpy(target, source, size);
}

TEST(private_memory_is_given_rewritten_and_freed) {
  FUNCTION(bufferallocatorsettings_from_proximity);
  FUNCTION(buffers_allocate_private_memory);
  FUNCTION(overwrite_allocated_code);
  FUNCTION(overwrite_allocated_code_ex);
  FUNCTION(utilities_clear_instruction_cache);
  FUNCTION(free_allocation_result);
  BufferAllocatorSettings settings = call_bufferallocatorsettings_from_proximity(
      0x40000000, (uintptr_t)GetModuleHandleA(NULL), 1000);
  CHECK_EQUAL(GetCurrentProcessId(), settings.target_process_id);
  AllocationResult memory = call_buffers_allocate_private_memory(&settings);
  CHECK(memory.is_ok && settings.size >= 1000);
  uint8_t *bytes = memory.ok.base_address;
  CHECK((uintptr_t)bytes >= settings.min_address && (uintptr_t)bytes <= settings.max_address);
  call_overwrite_allocated_code((const uint8_t *)"12345678", bytes, 8);
  CHECK_EQUAL(0, memcmp(bytes, "12345678", 8));
  call_overwrite_allocated_code_ex((const uint8_t *)"abc", bytes, 3, copy);
  CHECK_EQUAL(0, memcmp(bytes, "abc45678", 8));
  call_utilities_clear_instruction_cache(bytes, bytes + 8);
  call_free_allocation_result(memory);
  MEMORY_BASIC_INFORMATION region;
  CHECK(VirtualQuery(bytes, &region, sizeof region) != 0);
  CHECK_EQUAL(MEM_FREE, region.State);
}
