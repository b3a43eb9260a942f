/* Other processes, on every system: open, find, walk, get, append, read, write. The target is a
 * program that uses no part of the library. What only one system has is in other files. */
#include <string.h>
#include <unistd.h>

#include "base/format.h"
#include "os/os.h"
#include "os/pages.h"
#include "remote_support.h"
#include "test.h"

TEST(calls_without_a_process_are_refused) {
  nearbuf_process process = {0};
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator;
  nearbuf_process_buffer buffer = {0};
  nearbuf_process_request request = anywhere(1);
  uint64_t address;
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_check(&process));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_next_locator(&process, &walk, &locator));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_get(&process, &request, &buffer));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT,
               nearbuf_process_allocate(&process, &request, &address, NULL));
  CHECK_OK(nearbuf_process_close(&process));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_close(NULL));
}

typedef struct id_search {
  int64_t wanted;
  int64_t last;
} id_search;

static int find_id(int64_t id, void *context) {
  id_search *search = context;
  CHECK(id > search->last);
  search->last = id;
  return id == search->wanted ? -1 : 0;
}

TEST(all_processes_are_told_in_order_until_the_visitor_has_enough) {
  id_search search = {.wanted = getpid()};
  CHECK_STATUS(NEARBUF_CANCELLED, nearbuf_process_visit_all(find_id, &search));
  CHECK_EQUAL(search.wanted, search.last);
  search = (id_search){.wanted = -1};
  CHECK_OK(nearbuf_process_visit_all(find_id, &search));
}

TEST(a_process_without_a_locator_has_none_to_tell) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator;
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_locator(&process, &walk, &locator));
  nearbuf_process_request request = anywhere(10);
  nearbuf_process_buffer buffer;
  request.flags = NEARBUF_PROCESS_EXISTING;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_process_get(&process, &request, &buffer));
  CHECK_EQUAL(0, buffer.item);
  (void)target_end(&idle);
}

TEST(bytes_that_are_put_into_it_are_there_and_told) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  char seen[6] = {0};
  uint64_t address = put(&process, "hello", 5);
  CHECK_OK(nearbuf_process_read(&process, address, seen, 5, NULL));
  CHECK(strcmp(seen, "hello") == 0);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  nearbuf_process_item item;
  (void)first_locator(&process, &walk, &locator);
  CHECK_EQUAL(NEARBUF_DIALECT_WRITTEN, locator.dialect);
  CHECK_EQUAL(1, locator.count);
  CHECK_EQUAL(1, locator.is_shared);
  CHECK(locator.fault == NULL);
  CHECK_OK(nearbuf_process_next_item(&walk, &item));
  CHECK_EQUAL(address, item.address);
  CHECK_EQUAL(5, item.used_bytes);
  CHECK_EQUAL(0, item.is_taken);
  CHECK(item.fault == NULL);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_item(&walk, &item));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_locator(&process, &walk, &locator));
  (void)target_end(&idle);
}

TEST(a_held_buffer_is_not_given_out_again_and_the_rest_of_a_released_one_is) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_request request = anywhere(100);
  nearbuf_process_buffer held;
  nearbuf_process_buffer other;
  uint64_t address;
  CHECK_OK(nearbuf_process_get(&process, &request, &held));
  request.min = held.address;
  request.max = held.address + held.size - 1;
  request.flags = NEARBUF_PROCESS_EXISTING;
  CHECK_STATUS(NEARBUF_BUSY, nearbuf_process_get(&process, &request, &other));
  CHECK_OK(nearbuf_process_append(&process, &held, "0123456789", 10, &address));
  CHECK_STATUS(NEARBUF_BEYOND_ROOM,
               nearbuf_process_append(&process, &held, "", (size_t)held.room + 1, NULL));
  CHECK_STATUS(NEARBUF_INVALID_SIZE, nearbuf_process_append(&process, &held, "", 0, NULL));
  CHECK_OK(nearbuf_process_release(&process, &held));
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_process_release(&process, &held));
  CHECK_STATUS(NEARBUF_INVALID_HANDLE, nearbuf_process_append(&process, &held, "x", 1, NULL));
  CHECK_OK(nearbuf_process_get(&process, &request, &other));
  CHECK_EQUAL(request.min, other.address);
  uint64_t next;
  CHECK_OK(nearbuf_process_append(&process, &other, "x", 1, &next));
  CHECK_EQUAL(address + 16, next); /* aligned as the request says */
  CHECK_OK(nearbuf_process_release(&process, &other));
  (void)target_end(&idle);
}

TEST(bytes_are_put_within_reach_of_a_target) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  uint64_t near = put(&process, "somewhere", 9);
  nearbuf_process_request request = anywhere(64);
  request.target = UINT64_C(0x500000000000);
  request.min = request.target - NEARBUF_2_GIB;
  request.max = request.target + NEARBUF_2_GIB - 1;
  if (sizeof(void *) == 4) {
    test_skip("a 32-bit process has no addresses out of reach");
  }
  nearbuf_process_buffer buffer;
  CHECK_OK(nearbuf_process_get(&process, &request, &buffer));
  CHECK(buffer.address >= request.min && buffer.address + buffer.size - 1 <= request.max);
  CHECK(buffer.address != near);
  CHECK_OK(nearbuf_process_release(&process, &buffer));
  (void)target_end(&idle);
}

/* The address of the buffer that a request gets. */
static uint64_t buffer_for(nearbuf_process *process, const nearbuf_process_request *request) {
  nearbuf_process_buffer buffer;
  CHECK_OK(nearbuf_process_get(process, request, &buffer));
  uint64_t address = buffer.address;
  CHECK_OK(nearbuf_process_release(process, &buffer));
  return address;
}

TEST(a_buffer_that_is_farther_away_than_asked_for_is_used_when_nothing_nearer_is_free) {
  if (sizeof(void *) == 4) {
    test_skip("the addresses of this test have more than 32 bits");
  }
  const uint64_t start = UINT64_C(0x500000000000);
  const uint64_t mib = 1 << 20;
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_request request = anywhere(16);
  request.min = request.target = start + 512 * mib;
  request.max = request.min + mib - 1;
  uint64_t far = buffer_for(&process, &request);
  request.min = start;
  request.target = start + 2 * mib;
  request.near_bytes = mib;
  uint64_t near = buffer_for(&process, &request);
  CHECK(near >= start + mib - (64 << 10) && near < start + 3 * mib);
  CHECK_EQUAL(near, buffer_for(&process, &request));
  request.target = start + 512 * mib;
  request.near_bytes = 0;
  request.min = start + 256 * mib;
  CHECK_EQUAL(far, buffer_for(&process, &request));
  (void)target_end(&idle);
}

TEST(private_memory_farther_away_than_asked_for_is_made_when_nothing_nearer_is_free) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_request request = anywhere(16);
  uint64_t first;
  uint64_t second;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &first, NULL));
  request.target = first;
  request.near_bytes = 1;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &second, NULL));
  CHECK(second != 0 && second != first);
  (void)target_end(&idle);
}

TEST(memory_anywhere_is_not_taken_from_its_lowest_4_gib) {
  if (sizeof(void *) == 4) {
    test_skip("in 32 bits nothing lies above 4 GiB");
  }
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_request request = anywhere(16);
  CHECK(buffer_for(&process, &request) >= NEARBUF_4_GIB);
  request.max = NEARBUF_4_GIB - 1;
  CHECK(buffer_for(&process, &request) < NEARBUF_2_GIB);
  (void)target_end(&idle);
}

TEST(requests_that_cannot_work_are_refused) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_buffer buffer;
  nearbuf_process_request request = anywhere(0);
  CHECK_STATUS(NEARBUF_INVALID_SIZE, nearbuf_process_get(&process, &request, &buffer));
  request = anywhere((uint64_t)1 << 32);
  CHECK_STATUS(NEARBUF_INVALID_SIZE, nearbuf_process_get(&process, &request, &buffer));
  request = anywhere(1);
  request.alignment_bytes = 3;
  CHECK_STATUS(NEARBUF_INVALID_ALIGNMENT, nearbuf_process_get(&process, &request, &buffer));
  request = anywhere(1);
  request.max = request.min - 1;
  CHECK_STATUS(NEARBUF_INVALID_RANGE, nearbuf_process_get(&process, &request, &buffer));
  request = anywhere(10);
  request.max = request.min + 5;
  CHECK_STATUS(NEARBUF_RANGE_TOO_SMALL, nearbuf_process_get(&process, &request, &buffer));
  request = anywhere(1);
  request.flags = 1u << 20;
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_get(&process, &request, &buffer));
  (void)target_end(&idle);
}

/* ---- Reading and writing --------------------------------------------------------------------- */

static int find_code(const nearbuf_process_mapping *mapping, void *context) {
  uint64_t *address = context;
  if (mapping->is_executable != 0 && mapping->is_writable == 0 &&
      strstr(mapping->name, "nearbuf_remote_target") != NULL) {
    *address = mapping->min;
    return -1;
  }
  return 0;
}

TEST(pages_that_may_only_be_read_can_be_written) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  uint64_t code = 0;
  CHECK_STATUS(NEARBUF_CANCELLED, nearbuf_process_visit_map(&process, find_code, &code));
  unsigned char bytes[4];
  unsigned char again[4];
  size_t done;
  CHECK_OK(nearbuf_process_read(&process, code, bytes, sizeof bytes, &done));
  CHECK_EQUAL(sizeof bytes, done);
  bytes[0] ^= 0xff;
  CHECK_OK(nearbuf_process_write(&process, code, bytes, sizeof bytes, &done));
  CHECK_OK(nearbuf_process_read(&process, code, again, sizeof again, NULL));
  CHECK(memcmp(bytes, again, sizeof bytes) == 0);
  target_kill(&idle);
}

TEST(what_is_not_mapped_is_told_and_so_is_how_far_a_copy_came) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_request request = anywhere(4096);
  uint64_t address;
  uint64_t size;
  static unsigned char bytes[8192];
  size_t done = 1;
  CHECK_STATUS(NEARBUF_NOT_MAPPED, nearbuf_process_read(&process, 4096, bytes, 10, &done));
  CHECK_EQUAL(0, done);
  request.min = 0x30000000; /* an address where nothing is mapped */
  CHECK_OK(nearbuf_process_allocate(&process, &request, &address, &size));
  CHECK_EQUAL(nbuf_os_granularity(), size);
  address += size - 4096; /* the last page; nothing is mapped after it */
  CHECK_STATUS(NEARBUF_NOT_MAPPED,
               nearbuf_process_read(&process, address, bytes, sizeof bytes, &done));
  CHECK_EQUAL(4096, done);
  CHECK_STATUS(NEARBUF_NOT_MAPPED,
               nearbuf_process_write(&process, address, bytes, sizeof bytes, &done));
  CHECK_EQUAL(4096, done);
  (void)target_end(&idle);
}

static void check_fault(nearbuf_process *process, const char *fault, uint32_t count) {
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  nearbuf_process_item item;
  (void)first_locator(process, &walk, &locator);
  CHECK(locator.fault != NULL && strcmp(locator.fault, fault) == 0);
  uint32_t told = 0;
  while (nearbuf_process_next_item(&walk, &item) == NEARBUF_OK) {
    told++;
  }
  CHECK_EQUAL(count, told);
  nearbuf_process_request request = anywhere(10);
  nearbuf_process_buffer buffer;
  CHECK_STATUS(NEARBUF_INCOMPATIBLE, nearbuf_process_get(process, &request, &buffer));
}

static void overwrite(nearbuf_process *process, uint64_t address, const void *bytes, size_t size) {
  CHECK_OK(nearbuf_process_write(process, address, bytes, size, NULL));
}

TEST(damaged_locators_are_reported_and_not_followed) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  (void)put(&process, "hello", 5);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  uint64_t at = first_locator(&process, &walk, &locator);
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  const uint8_t many = 255;
  const uint8_t count = (uint8_t)walk.count;
  uint32_t buffers = locator.count;
  const uint8_t version = 0xe0;
  const uint8_t none = 0;
  const uint32_t huge = UINT32_MAX;
  const uint32_t five = 5;
  const uintptr_t nowhere = 0x10000;
  overwrite(&process, at + layout->flags, &version, 1);
  check_fault(&process, "an unknown version", 0);
  overwrite(&process, at + layout->flags, &none, 1);
  if (layout->capacity < many) {
    overwrite(&process, at + layout->count, &many, 1);
    check_fault(&process, "it counts more items than fit", 0);
    overwrite(&process, at + layout->count, &count, 1);
  }
  uint64_t slot = (uint64_t)NBUF_FIRST_SLOT * layout->item_size;
  uint64_t position = at + layout->header_size + slot + layout->position;
  overwrite(&process, position, &huge, sizeof huge);
  check_fault(&process, "an item has used more than its size", buffers);
  overwrite(&process, position, &five, sizeof five);
  /* A link to itself, and one to an address where nothing is mapped. */
  uintptr_t self = (uintptr_t)at;
  overwrite(&process, at + layout->next, &self, sizeof self);
  check_fault(&process, "its link to the next locator is wrong", 0);
  overwrite(&process, at + layout->next, &nowhere, sizeof nowhere);
  (void)first_locator(&process, &walk, &locator);
  CHECK_OK(nearbuf_process_next_locator(&process, &walk, &locator));
  CHECK_EQUAL(nowhere, locator.address);
  CHECK(locator.fault != NULL && strcmp(locator.fault, "its memory cannot be read") == 0);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_locator(&process, &walk, &locator));
  (void)target_end(&idle);
}

static int find_data(const nearbuf_process_mapping *mapping, void *context) {
  nearbuf_process_mapping *found = context;
  bool is_data = mapping->is_readable && mapping->is_writable && !mapping->is_executable &&
                 !mapping->is_shared && mapping->max - mapping->min >= 4095;
  if (is_data) {
    *found = *mapping;
  }
  return is_data;
}

TEST(an_item_with_memory_that_cannot_be_executed_is_passed_over) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  (void)put(&process, "hello", 5);
  nearbuf_process_mapping data = {0};
  CHECK_OK(nearbuf_process_visit_map(&process, find_data, &data));
  CHECK(data.min != 0);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  uint64_t at = first_locator(&process, &walk, &locator);
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  static _Alignas(8) unsigned char bytes[32];
  nbuf_item item = {.base = data.min, .size = 4096};
  nbuf_item_write((uintptr_t)bytes, layout, &item);
  uint64_t slot = (uint64_t)NBUF_FIRST_SLOT * layout->item_size;
  overwrite(&process, at + layout->header_size + slot, bytes, layout->item_size);
  uint64_t placed = put(&process, "hello", 5);
  CHECK(placed < data.min || placed > data.max);
  (void)target_end(&idle);
}

/* Appends locators to the first one of the process: on its heap, as the other implementations make
 * them. */
static uint64_t chain_heap_locators(nearbuf_process *process, int count, uint64_t buffer) {
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  uint64_t link = first_locator(process, &walk, &locator) + layout->next;
  uint64_t last = 0;
  for (int i = 0; i < count; i++) {
    static _Alignas(8) unsigned char image[NBUF_LOCATOR_SIZE];
    nearbuf_process_request request = anywhere(NBUF_LOCATOR_SIZE);
    CHECK_OK(nearbuf_process_allocate(process, &request, &last, NULL));
    nbuf_item item = {.base = buffer + (uint64_t)i * 4096, .size = 4096};
    nbuf_format_build((uintptr_t)image, layout, last, &item, 1);
    overwrite(process, last, image, sizeof image);
    uintptr_t next = (uintptr_t)last;
    overwrite(process, link, &next, sizeof next);
    link = last + layout->next;
  }
  return link;
}

TEST(locators_on_the_heap_are_read_and_their_buffers_denied) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  (void)put(&process, "hello", 5);
  nearbuf_process_request request = anywhere(8192);
  uint64_t memory;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &memory, NULL));
  (void)chain_heap_locators(&process, 1, memory);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  nearbuf_process_item item;
  (void)first_locator(&process, &walk, &locator);
  CHECK_OK(nearbuf_process_next_locator(&process, &walk, &locator));
  CHECK_EQUAL(0, locator.is_shared);
  CHECK(locator.fault == NULL);
  CHECK_OK(nearbuf_process_next_item(&walk, &item));
  CHECK_EQUAL(memory, item.address);
  request = anywhere(100);
  request.min = memory;
  request.max = memory + 4095;
  request.flags = NEARBUF_PROCESS_EXISTING;
  nearbuf_process_buffer buffer;
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_get(&process, &request, &buffer));
  (void)target_end(&idle);
}

TEST(a_chain_that_comes_back_to_itself_ends) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  (void)put(&process, "hello", 5);
  nearbuf_process_request request = anywhere(65536);
  uint64_t memory;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &memory, NULL));
  uint64_t link = chain_heap_locators(&process, 5, memory);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  (void)first_locator(&process, &walk, &locator);
  CHECK_OK(nearbuf_process_next_locator(&process, &walk, &locator));
  uintptr_t second = (uintptr_t)locator.address;
  overwrite(&process, link, &second, sizeof second);
  (void)first_locator(&process, &walk, &locator);
  int told = 1;
  bool is_reported = false;
  while (nearbuf_process_next_locator(&process, &walk, &locator) == NEARBUF_OK) {
    CHECK(++told < 100);
    is_reported = is_reported || locator.fault != NULL;
  }
  CHECK(is_reported);
  (void)target_end(&idle);
}

TEST(a_full_locator_is_followed_by_another_that_is_found_by_its_address) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  (void)put(&process, "hello", 5);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  nearbuf_process_item item;
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  uint64_t first = first_locator(&process, &walk, &locator);
  /* Full of buffers without room. */
  nearbuf_process_request request = anywhere((uint64_t)layout->capacity * 4096);
  uint64_t memory;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &memory, NULL));
  static _Alignas(8) unsigned char image[NBUF_LOCATOR_SIZE];
  nbuf_item items[255];
  for (uint32_t i = 0; i < layout->capacity; i++) {
    items[i] = (nbuf_item){.base = memory + (uint64_t)i * 4096, .size = 4096, .position = 4096};
  }
  nbuf_format_build((uintptr_t)image, layout, first, items, layout->capacity);
  overwrite(&process, first, image, sizeof image);
  uint64_t address = put(&process, "later", 5);
  (void)first_locator(&process, &walk, &locator);
  CHECK_OK(nearbuf_process_next_locator(&process, &walk, &locator));
  CHECK(locator.fault == NULL);
  CHECK_EQUAL(1, locator.is_shared);
  CHECK(has_name_of_later(&idle, &locator));
  CHECK_OK(nearbuf_process_next_item(&walk, &item));
  CHECK_EQUAL(address, item.address);
  CHECK_EQUAL(address + 16, put(&process, "more", 4));
  (void)target_end(&idle);
}

TEST(a_process_that_dies_is_noticed_and_its_buffers_can_be_released) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  nearbuf_process_request request = anywhere(10);
  nearbuf_process_buffer buffer;
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator;
  nearbuf_process_info info;
  uint64_t address;
  char byte;
  CHECK_OK(nearbuf_process_get(&process, &request, &buffer));
  target_kill(&idle);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_check(&process));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_describe(&process, &info));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_locator(&process, &walk, &locator));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_read(&process, 4096, &byte, 1, NULL));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_append(&process, &buffer, "x", 1, &address));
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_allocate(&process, &request, &address, NULL));
  CHECK_OK(nearbuf_process_release(&process, &buffer));
  CHECK_OK(nearbuf_process_close(&process));
}
