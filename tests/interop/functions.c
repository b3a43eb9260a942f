/* The C functions of the Rust reference, each by what its header says, in a process with nothing
 * else. */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nearbuf/reloaded.h>

#include "own_tmp.h"
#include "test.h"

enum { PAGE = 4096 };

static const uintptr_t from = UINT32_C(0x20000000);
static const uintptr_t to = UINT32_C(0x30000000);

static LocatorItem *get(uint32_t size) {
  BufferSearchSettings settings = {.min_address = from, .max_address = to, .size = size};
  GetBufferResult result = buffers_get_buffer(&settings);
  CHECK(result.is_ok && result.err == NULL && result.ok != NULL);
  return result.ok;
}

/* ---- Settings -------------------------------------------------------------------------------- */

TEST(settings_by_proximity_end_with_the_address_space) {
  BufferSearchSettings search = buffersearchsettings_from_proximity(0x1000, 0x50000, 77);
  CHECK_EQUAL(0x4f000, search.min_address);
  CHECK_EQUAL(0x51000, search.max_address);
  CHECK_EQUAL(77, search.size);
  search = buffersearchsettings_from_proximity(0x60000, 0x50000, 1);
  CHECK_EQUAL(0, search.min_address);
  search = buffersearchsettings_from_proximity(0x60000, UINTPTR_MAX - 1, UINT32_MAX);
  CHECK_EQUAL(UINTPTR_MAX, search.max_address);
  CHECK_EQUAL(UINT32_MAX, search.size);
  BufferAllocatorSettings settings = bufferallocatorsettings_from_proximity(0x1000, 0x50000, 77);
  CHECK_EQUAL(0x4f000, settings.min_address);
  CHECK_EQUAL(0x51000, settings.max_address);
  CHECK_EQUAL(77, settings.size);
  CHECK_EQUAL(getpid(), settings.target_process_id);
  CHECK_EQUAL(8, settings.retry_count);
  CHECK(settings.brute_force);
}

/* ---- Items ----------------------------------------------------------------------------------- */

TEST(an_item_tells_its_addresses_its_room_and_its_lock) {
  LocatorItem item = {.base_address = 0x10000, .size = 0x1000, .position = 0x10};
  CHECK_EQUAL(0x10000, locatoritem_min_address(&item));
  CHECK_EQUAL(0x11000, locatoritem_max_address(&item));
  CHECK_EQUAL(0xff0, locatoritem_bytes_left(&item));
  CHECK(locatoritem_is_allocated(&item) && !locatoritem_is_taken(&item));
  item.position = 0x1000;
  CHECK_EQUAL(0, locatoritem_bytes_left(&item));
  item.position = 0x1001;
  CHECK_EQUAL(0, locatoritem_bytes_left(&item));
  item.is_taken = 1;
  CHECK(locatoritem_is_taken(&item));
  item = (LocatorItem){.size = 16};
  CHECK(!locatoritem_is_allocated(&item));
  CHECK_EQUAL(0, locatoritem_min_address(NULL));
  CHECK_EQUAL(0, locatoritem_max_address(NULL));
  CHECK(!locatoritem_is_allocated(NULL));
}

TEST(an_item_can_be_used_where_its_free_part_has_room_and_lies_in_the_range) {
  LocatorItem item = {.base_address = 0x10000, .size = 0x1000, .position = 0x10};
  CHECK(locatoritem_can_use(&item, 0xff0, 0x10010, 0x11000));
  CHECK(locatoritem_can_use(&item, 1, 0, UINTPTR_MAX));
  CHECK(!locatoritem_can_use(&item, 0xff1, 0x10010, 0x11000));
  CHECK(!locatoritem_can_use(&item, 1, 0x10011, 0x11000));
  CHECK(!locatoritem_can_use(&item, 1, 0x10010, 0x10fff));
  item.base_address = 0;
  CHECK(!locatoritem_can_use(&item, 1, 0, UINTPTR_MAX));
  CHECK(!locatoritem_can_use(NULL, 0, 0, UINTPTR_MAX));
}

static LocatorItem *waited_for;
static _Atomic int has_lock;

static void *wait_for_lock(void *context) {
  (void)context;
  locatoritem_lock(waited_for);
  has_lock = 1;
  return NULL;
}

TEST(a_lock_is_had_at_once_or_not_at_all_or_waited_for) {
  (void)use_own_tmp();
  LocatorItem *item = get(10);
  CHECK_EQUAL(1, item->is_taken);
  CHECK(!locatoritem_try_lock(item));
  free_locator_item(item);
  CHECK_EQUAL(0, item->is_taken);
  CHECK(locatoritem_try_lock(item));
  CHECK_EQUAL(1, item->is_taken);
  pthread_t waiter;
  waited_for = item;
  CHECK(pthread_create(&waiter, NULL, wait_for_lock, NULL) == 0);
  usleep(20000);
  CHECK_EQUAL(0, has_lock);
  locatoritem_unlock(item);
  CHECK(pthread_join(waiter, NULL) == 0);
  CHECK(has_lock == 1 && item->is_taken == 1);
  locatoritem_unlock(item);
  locatoritem_lock(NULL);
  free_locator_item(NULL);
}

TEST(what_is_appended_is_copied_to_the_last_byte_and_not_beyond) {
  (void)use_own_tmp();
  LocatorItem *item = get(PAGE);
  uint8_t bytes[100];
  for (size_t i = 0; i < sizeof bytes; i++) {
    bytes[i] = (uint8_t)(i + 1);
  }
  for (size_t size = 0; size <= sizeof bytes; size++) {
    uint32_t before = item->position;
    uintptr_t at = locatoritem_append_bytes(item, bytes, size);
    CHECK_EQUAL(item->base_address + before, at);
    CHECK_EQUAL(before + size, item->position);
    CHECK(memcmp((void *)at, bytes, size) == 0);
    CHECK_EQUAL(0, *(uint8_t *)(at + size));
  }
  uint32_t left = locatoritem_bytes_left(item);
  static uint8_t many[1 << 20];
  CHECK(left < sizeof many);
  CHECK_EQUAL(0, locatoritem_append_bytes(item, many, (size_t)left + 1));
  CHECK_EQUAL(left, locatoritem_bytes_left(item));
  CHECK(locatoritem_append_bytes(item, many, left) != 0);
  CHECK_EQUAL(0, locatoritem_bytes_left(item));
  item->position = item->size + 1;
  CHECK_EQUAL(0, locatoritem_append_bytes(item, many, 0));
  item->position = item->size;
  locatoritem_unlock(item);
}

TEST(the_last_item_is_used_again_only_where_it_fits) {
  (void)use_own_tmp();
  LocatorItem *item = get(10);
  uintptr_t base = item->base_address;
  uintptr_t end = base + item->size;
  CHECK(locatoritem_append_bytes(item, (const uint8_t *)"123", 3) == base);
  free_locator_item(item);
  const struct {
    uintptr_t min;
    uintptr_t max;
    uint32_t size;
    bool is_same;
  } cases[] = {{base + 3, end, item->size - 3, true},
               {base + 3, end, item->size - 2, false},
               {base + 4, end + PAGE, 1, false},
               {base, end - 1, 1, false},
               {base, end, 1, true},
               {from, to, 1, true}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    BufferSearchSettings settings = {
        .min_address = cases[i].min, .max_address = cases[i].max, .size = cases[i].size};
    GetBufferResult result = buffers_get_buffer(&settings);
    CHECK_EQUAL(cases[i].is_same, result.is_ok && result.ok == item);
    free_get_buffer_result(result);
    CHECK_EQUAL(0, item->is_taken);
    BufferSearchSettings its_own = {.min_address = base, .max_address = end, .size = 1};
    result = buffers_get_buffer(&its_own); /* it is the last one once more */
    CHECK(result.is_ok && result.ok == item);
    free_get_buffer_result(result);
  }
  BufferSearchSettings aligned = {.min_address = base, .max_address = end, .size = 1};
  GetBufferResult result = buffers_get_buffer_aligned(&aligned, 64);
  CHECK(result.is_ok && result.ok == item && item->position == 64);
  free_get_buffer_result(result);
  result = buffers_get_buffer_aligned(&aligned, 0);
  CHECK(!result.is_ok && result.err != NULL);
  result = buffers_get_buffer_aligned(&aligned, 3);
  CHECK(!result.is_ok && result.err != NULL);
  free_get_buffer_result(result);
  free_string(NULL);
}

/* ---- Private memory and code ----------------------------------------------------------------- */

static bool is_mapped(const void *page) {
  unsigned char ignored;
  return mincore((void *)(uintptr_t)page, 1, &ignored) == 0;
}

static BufferAllocatorSettings private_settings(uint32_t size) {
  return (BufferAllocatorSettings){.min_address = from, .max_address = to, .size = size};
}

TEST(private_memory_is_whole_pages_in_the_range_as_low_as_there_is_room) {
  BufferAllocatorSettings settings = private_settings(5000);
  AllocationResult first = buffers_allocate_private_memory(&settings);
  CHECK(first.is_ok && first.err == NULL);
  CHECK_EQUAL(from, (uintptr_t)first.ok.base_address);
  CHECK_EQUAL(2 * PAGE, first.ok.size);
  CHECK_EQUAL(2 * PAGE, settings.size);
  CHECK_EQUAL(getpid(), first.ok.this_process_id);
  settings = private_settings(1);
  settings.target_process_id = (uint32_t)getpid();
  AllocationResult second = buffers_allocate_private_memory(&settings);
  CHECK(second.is_ok);
  CHECK_EQUAL(from + (uintptr_t)2 * PAGE, (uintptr_t)second.ok.base_address);
  memset(first.ok.base_address, 1, first.ok.size);
  free_allocation_result(first);
  CHECK(!is_mapped((void *)from) && is_mapped(second.ok.base_address));
  free_private_allocation(second.ok);
  CHECK(!is_mapped(second.ok.base_address));
}

TEST(private_memory_that_cannot_be_had_is_an_error_and_changes_no_settings) {
  BufferAllocatorSettings settings = private_settings(100);
  settings.target_process_id = (uint32_t)getpid() + 1;
  AllocationResult result = buffers_allocate_private_memory(&settings);
  CHECK(!result.is_ok && result.err != NULL && result.ok.base_address == NULL);
  CHECK(result.ok.size == 0 && result.ok.this_process_id == 0 && settings.size == 100);
  free_allocation_result(result);
  CHECK(!buffers_allocate_private_memory(NULL).is_ok);
  settings = private_settings(0);
  CHECK(!buffers_allocate_private_memory(&settings).is_ok);
  settings = private_settings(100);
  settings.max_address = settings.min_address;
  CHECK(!buffers_allocate_private_memory(&settings).is_ok);
}

static int calls;

static void copy_backwards(const uint8_t *source, uint8_t *target, size_t size) {
  calls++;
  for (size_t i = 0; i < size; i++) {
    target[i] = source[size - 1 - i];
  }
}

TEST(code_is_overwritten_by_the_library_or_by_the_callers_function) {
  BufferAllocatorSettings settings = private_settings(100);
  AllocationResult made = buffers_allocate_private_memory(&settings);
  CHECK(made.is_ok);
  uint8_t *code = made.ok.base_address;
  overwrite_allocated_code((const uint8_t *)"abcdefgh", code, 8);
  CHECK(memcmp(code, "abcdefgh\0", 9) == 0);
  overwrite_allocated_code((const uint8_t *)"xyz", code + 1, 3);
  CHECK(memcmp(code, "axyzefgh\0", 9) == 0);
  overwrite_allocated_code_ex((const uint8_t *)"123", code, 3, copy_backwards);
  CHECK(calls == 1 && memcmp(code, "321zefgh\0", 9) == 0);
  overwrite_allocated_code_ex((const uint8_t *)"456", code, 3, NULL);
  CHECK(memcmp(code, "321zefgh\0", 9) == 0);
  utilities_clear_instruction_cache(code, code + 8);
  utilities_clear_instruction_cache(code + 8, code);
  free_private_allocation(made.ok);
}
