/* A program that uses the Rust implementation's C interface. It is linked once with that library
 * and once with the drop-in library; compare.sh compares the outputs. */
#include <nearbuf/reloaded.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#if defined(_WIN32)
#include <windows.h>
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

#define WINDOW ((uintptr_t)0x300000000000)
#define WINDOW_SIZE ((uintptr_t)0x10000000)

enum { PAGE = 4096, MANY = 450 };

/* ---- The system ------------------------------------------------------------------------------ */

#if defined(_WIN32)

enum { UNIT = 65536 }; /* in which addresses are handed out */

static uint32_t own_process(void) {
  return GetCurrentProcessId();
}

static void occupy_unit(uintptr_t start) {
  (void)VirtualAlloc((void *)start, UNIT, MEM_RESERVE, PAGE_NOACCESS);
}

static int is_mapped(uintptr_t address) {
  MEMORY_BASIC_INFORMATION region;
  return VirtualQuery((const void *)address, &region, sizeof region) != 0 &&
         region.State != MEM_FREE;
}

#else

enum { UNIT = PAGE };

static uint32_t own_process(void) {
  return (uint32_t)getpid();
}

static void occupy_unit(uintptr_t start) {
  (void)mmap((void *)start, UNIT, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
             0);
}

static int is_mapped(uintptr_t address) {
  return msync((void *)address, PAGE, MS_ASYNC) == 0;
}

#endif

/* ---- The questions --------------------------------------------------------------------------- */

static void answer(const char *question, uintmax_t value) {
  printf("%s = %ju\n", question, value);
}

static BufferSearchSettings search(uintptr_t offset, uintptr_t length, uint32_t size) {
  BufferSearchSettings settings;
  settings.min_address = WINDOW + offset;
  settings.max_address = WINDOW + offset + length;
  settings.size = size;
  return settings;
}

/* Each step gets its own window, so that none finds the buffers of another. */
static BufferSearchSettings fresh(uint32_t size) {
  static uintptr_t next;
  next += WINDOW_SIZE;
  return search(next, WINDOW_SIZE, size);
}

static void proximity(const char *what, uintptr_t distance, uintptr_t target, size_t size) {
  BufferSearchSettings found = buffersearchsettings_from_proximity(distance, target, size);
  BufferAllocatorSettings other = bufferallocatorsettings_from_proximity(distance, target, size);
  printf("settings %s = %#" PRIxPTR " %#" PRIxPTR " %#" PRIx32 "\n", what, found.min_address,
         found.max_address, found.size);
  printf("allocator settings %s = %d %d %d %d %d %d\n", what,
         other.min_address == found.min_address, other.max_address == found.max_address,
         other.size == found.size, other.target_process_id == own_process(), other.retry_count == 8,
         other.brute_force);
}

static void settings(void) {
  proximity("in the middle", 0x80000000, 0x140000000, 4096);
  proximity("at the bottom", 0x80000000, 0x1000, 1);
  proximity("at the top", 0x80000000, UINTPTR_MAX - 5, 0xffffffff);
  proximity("of no distance", 0, 0x1000, 1);
  proximity("of more than 32 bits", 0x80000000, 0x140000000, 0x100000010);
}

static void one_buffer(void) {
  BufferSearchSettings wanted = fresh(100);
  GetBufferResult result = buffers_get_buffer(&wanted);
  answer("a buffer: ok", result.is_ok);
  answer("a buffer: no error", result.err == NULL);
  LocatorItem *item = result.ok;
  uintptr_t start = locatoritem_min_address(item);
  answer("a buffer: is allocated", locatoritem_is_allocated(item));
  answer("a buffer: is taken", locatoritem_is_taken(item));
  answer("a buffer: nothing is used", item->position);
  answer("a buffer: starts a page", start % PAGE);
  answer("a buffer: lies where it was wanted",
         start >= wanted.min_address && locatoritem_max_address(item) <= wanted.max_address);
  answer("a buffer: ends behind its size", locatoritem_max_address(item) - start == item->size);
  answer("a buffer: has room", locatoritem_bytes_left(item) >= 100);
  answer("a buffer: room", locatoritem_bytes_left(item));

  uintptr_t first = locatoritem_append_bytes(item, (const uint8_t *)"first", 5);
  uintptr_t second = locatoritem_append_bytes(item, (const uint8_t *)"second", 6);
  answer("append: starts at the start", first == start);
  answer("append: goes on without a gap", second - first);
  answer("append: nothing is at the position",
         locatoritem_append_bytes(item, (const uint8_t *)"", 0) - start);
  answer("append: bytes are there", memcmp((const void *)start, "firstsecond", 11));
  answer("append: position", item->position);

  free_get_buffer_result(result);
  answer("release: is taken", locatoritem_is_taken(item));
  GetBufferResult again = buffers_get_buffer(&wanted);
  answer("the rest: is the next one's", again.ok == item);
  answer("the rest: position", again.ok->position);
  free_locator_item(again.ok);
  answer("release of an item: is taken", locatoritem_is_taken(item));
}

static void aligned(uint32_t alignment) {
  char question[64];
  BufferSearchSettings wanted = fresh(100);
  GetBufferResult result = buffers_get_buffer(&wanted);
  (void)locatoritem_append_bytes(result.ok, (const uint8_t *)"x", 1);
  free_get_buffer_result(result);
  result = buffers_get_buffer_aligned(&wanted, alignment);
  snprintf(question, sizeof question, "aligned to %u: ok", (unsigned)alignment);
  answer(question, result.is_ok);
  if (result.is_ok && alignment != 0) {
    uintptr_t next = locatoritem_append_bytes(result.ok, (const uint8_t *)"y", 1);
    snprintf(question, sizeof question, "aligned to %u: misses it by", (unsigned)alignment);
    answer(question, next % alignment);
  }
  free_get_buffer_result(result);
}

static void items(void) {
  static uint8_t bytes[200];
  LocatorItem item;
  memset(&item, 0, sizeof item);
  answer("an empty item: is allocated", locatoritem_is_allocated(&item));
  answer("an empty item: can be used", locatoritem_can_use(&item, 0, 0, UINTPTR_MAX));
  item.base_address = (uintptr_t)bytes;
  item.size = 100;
  item.position = 60;
  uintptr_t start = item.base_address;
  answer("an item: bytes left", locatoritem_bytes_left(&item));
  answer("can use: what is left", locatoritem_can_use(&item, 40, start, start + 100));
  answer("can use: more than is left", locatoritem_can_use(&item, 41, start, start + 100));
  answer("can use: from the position", locatoritem_can_use(&item, 40, start + 60, start + 100));
  answer("can use: from behind it", locatoritem_can_use(&item, 1, start + 61, start + 100));
  answer("can use: up to its last byte", locatoritem_can_use(&item, 1, start, start + 99));
  answer("can use: of size 0", locatoritem_can_use(&item, 0, start, start + 100));
  answer("lock: of a free item", locatoritem_try_lock(&item));
  answer("lock: of a held item", locatoritem_try_lock(&item));
  locatoritem_unlock(&item);
  locatoritem_lock(&item);
  answer("lock: waited for", locatoritem_is_taken(&item));
  answer("append beyond the room: address", locatoritem_append_bytes(&item, bytes, 41) != 0);
  answer("append beyond the room: position", item.position);
  item.position = 120;
  answer("an item that is used beyond its end: bytes left", locatoritem_bytes_left(&item));
}

static void many(void) {
  static LocatorItem *held[MANY];
  BufferSearchSettings wanted = fresh(PAGE);
  unsigned distinct = 0;
  unsigned ok = 0;
  for (int i = 0; i < MANY; i++) {
    GetBufferResult result = buffers_get_buffer(&wanted);
    ok += result.is_ok;
    held[i] = result.ok;
    memset((void *)held[i]->base_address, i & 0xff, PAGE);
  }
  for (int i = 0; i < MANY; i++) {
    distinct += *(const uint8_t *)held[i]->base_address == (i & 0xff);
    locatoritem_unlock(held[i]);
  }
  answer("many buffers: ok", ok);
  answer("many buffers: keep their bytes", distinct);
}

static void failures(void) {
  BufferSearchSettings small = search(0, 100, 200);
  GetBufferResult result = buffers_get_buffer(&small);
  answer("a range without room: ok", result.is_ok);
  answer("a range without room: an item", result.ok != NULL);
  answer("a range without room: a text", result.err != NULL && result.err[0] != '\0');
  free_get_buffer_result(result);
  free_string(NULL);

  BufferSearchSettings nothing = fresh(0);
  result = buffers_get_buffer(&nothing);
  answer("a buffer of size 0: ok", result.is_ok);
  free_get_buffer_result(result);

  /* A hole of one unit in occupied memory. */
  BufferSearchSettings hole = fresh(UNIT);
  occupy_unit(hole.min_address);
  occupy_unit(hole.min_address + (uintptr_t)2 * UNIT);
  hole.max_address = hole.min_address + (uintptr_t)2 * UNIT;
  result = buffers_get_buffer(&hole);
  answer("a gap of exactly the size: ok", result.is_ok);
  free_get_buffer_result(result);
}

static void private_memory(void) {
  BufferSearchSettings where = fresh(0);
  BufferAllocatorSettings wanted =
      bufferallocatorsettings_from_proximity(WINDOW_SIZE, where.min_address, 5000);
  AllocationResult result = buffers_allocate_private_memory(&wanted);
  answer("private memory: ok", result.is_ok);
  answer("private memory: no error", result.err == NULL);
  answer("private memory: size", result.ok.size);
  answer("private memory: size in the settings", wanted.size);
  uintptr_t start = (uintptr_t)result.ok.base_address;
  answer("private memory: lies where it was wanted",
         start >= wanted.min_address && start + result.ok.size <= wanted.max_address);
  answer("private memory: is zero", *(const uint64_t *)start);
  memset((void *)start, 0xcc, result.ok.size);
  free_allocation_result(result);
  answer("private memory: is gone", !is_mapped(start));

  result = buffers_allocate_private_memory(&wanted);
  start = (uintptr_t)result.ok.base_address;
  free_private_allocation(result.ok);
  answer("private memory, freed by itself: is gone", !is_mapped(start));

  wanted.size = 0;
  result = buffers_allocate_private_memory(&wanted);
  answer("private memory of size 0: ok", result.is_ok);
  free_allocation_result(result);

  wanted.size = PAGE;
  wanted.retry_count = 0;
  result = buffers_allocate_private_memory(&wanted);
  start = (uintptr_t)result.ok.base_address;
  answer("private memory without retries: is there",
         result.is_ok && start % PAGE == 0 && start != 0 && result.ok.size == PAGE);
  free_allocation_result(result);

  wanted.retry_count = 8;
  wanted.max_address = wanted.min_address + 100;
  result = buffers_allocate_private_memory(&wanted);
  answer("private memory in a range without room: ok", result.is_ok);
  free_allocation_result(result);
}

#if defined(__x86_64__)
static const uint8_t code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov eax, 42; ret */
static const uint8_t other_code[] = {0xb8, 43, 0, 0, 0, 0xc3};

static int run(uintptr_t address) {
  int (*function)(void);
  memcpy(&function, &address, sizeof function);
  return function();
}

static void copy(const uint8_t *source, uint8_t *target, size_t size) {
  memcpy(target, source, size);
}

static void running(void) {
  BufferSearchSettings wanted = fresh(100);
  GetBufferResult result = buffers_get_buffer(&wanted);
  uintptr_t address = locatoritem_append_bytes(result.ok, code, sizeof code);
  free_get_buffer_result(result);
  utilities_clear_instruction_cache((uint8_t *)address, (uint8_t *)address + sizeof code);
  answer("code: runs", (uintmax_t)run(address));
  overwrite_allocated_code(other_code, (uint8_t *)address, sizeof other_code);
  answer("code: runs when it is overwritten", (uintmax_t)run(address));
  overwrite_allocated_code_ex(code, (uint8_t *)address, sizeof code, copy);
  answer("code: runs when a callback overwrites it", (uintmax_t)run(address));
}
#else
static void running(void) {
}
#endif

int main(void) {
  settings();
  one_buffer();
  aligned(1);
  aligned(16);
  aligned(64);
  aligned(4096);
  aligned(3);
  aligned(0);
  items();
  many();
  failures();
  private_memory();
  running();
  return 0;
}
