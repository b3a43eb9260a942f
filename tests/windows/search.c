/* The three ways in which memory is found: the system's own search, the map, and trying. */
#include <stdatomic.h>
#include <string.h>

#include <windows.h>

#include "imports.h"
#include "os/os.h"
#include "os/windows/search.h"
#include "test.h"

static const uintptr_t GRANULE = 65536;

typedef LPVOID(WINAPI *allocate_function)(LPVOID, SIZE_T, DWORD, DWORD);
typedef SIZE_T(WINAPI *query_function)(LPCVOID, PMEMORY_BASIC_INFORMATION, SIZE_T);

static allocate_function real_allocate;
static query_function real_query;
static nbuf_virtual_alloc2 real_allocate2;

enum { CLEAR = 16 << 20 }; /* of images, when there is other room */

/* Free memory that only the test uses: what the library needs for itself is mapped already. It is
 * far from images. */
static uintptr_t free_stretch(uintptr_t size) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 1;
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK_OK(nearbuf_free(&memory));
  void *wide = VirtualAlloc(NULL, size + 2 * (uintptr_t)CLEAR, MEM_RESERVE, PAGE_NOACCESS);
  CHECK(wide != NULL);
  CHECK(VirtualFree(wide, 0, MEM_RELEASE));
  return (uintptr_t)wide + CLEAR;
}

static void occupy(uintptr_t start, uintptr_t size) {
  CHECK(VirtualAlloc((void *)start, size, MEM_RESERVE, PAGE_NOACCESS) == (void *)start);
}

static uintptr_t allocate(nearbuf_range range, uintptr_t target) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 1;
  request.range = range;
  request.target = target;
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  uintptr_t start = (uintptr_t)memory.run_at;
  CHECK(start >= range.min && start + (GRANULE - 1) <= range.max);
  memory.write_to[0] = 1;
  return start;
}

static nearbuf_range range_of(uintptr_t start, uintptr_t granules) {
  return (nearbuf_range){start, start + granules * GRANULE - 1};
}

/* ---- The system's own search ----------------------------------------------------------------- */

static int questions;
static nbuf_range asked = {UINTPTR_MAX, 0};

static SIZE_T WINAPI count_questions(LPCVOID address, PMEMORY_BASIC_INFORMATION region,
                                     SIZE_T size) {
  questions++;
  uintptr_t at = (uintptr_t)address;
  asked.min = at < asked.min ? at : asked.min;
  asked.max = at > asked.max ? at : asked.max;
  return real_query(address, region, size);
}

static void needs_virtual_alloc2(void) {
  real_allocate2 = atomic_load(&nbuf_windows_virtual_alloc2);
  if (real_allocate2 == NULL) {
    test_skip("this system has no VirtualAlloc2");
  }
}

TEST(the_system_finds_what_is_nearest_on_either_side_and_only_its_surroundings_are_looked_at) {
  needs_virtual_alloc2();
  uintptr_t stretch = free_stretch(64 * GRANULE);
  for (uintptr_t i = 0; i < 64; i++) {
    if (i != 3 && i != 40) {
      occupy(stretch + i * GRANULE, GRANULE);
    }
  }
  IMPORT_REPLACE(real_query, VirtualQuery, count_questions);
  nearbuf_range range = range_of(stretch, 64);
  CHECK_EQUAL(stretch + 40 * GRANULE, allocate(range, stretch + 30 * GRANULE));
  CHECK_EQUAL(stretch + 3 * GRANULE, allocate(range, stretch + 30 * GRANULE));
  const uintptr_t clear = (uintptr_t)16 << 20;
  CHECK(asked.min >= stretch - clear && asked.max <= stretch + 64 * GRANULE + clear);
}

TEST(that_a_range_is_full_is_known_without_a_look_at_each_mapping) {
  needs_virtual_alloc2();
  uintptr_t stretch = free_stretch(2000 * GRANULE);
  for (uintptr_t i = 0; i < 2000; i++) {
    occupy(stretch + i * GRANULE, GRANULE);
  }
  IMPORT_REPLACE(real_query, VirtualQuery, count_questions);
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 1;
  request.range = range_of(stretch, 2000);
  nearbuf_memory memory;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_allocate(&request, &memory));
  CHECK(questions < 100);
}

/* Around the place images are looked for, which takes a query for each reservation. */
enum { MOST_AROUND = 2 * CLEAR / 65536 + 100 };

TEST(a_place_behind_many_reservations_is_found_without_a_look_at_them) {
  needs_virtual_alloc2();
  enum { GRANULES = 5000, TARGET = 2700, FREE = 100 }; /* 160 MiB away */
  uintptr_t stretch = free_stretch(GRANULES * GRANULE);
  for (uintptr_t i = 0; i < GRANULES; i++) {
    if (i != FREE) {
      occupy(stretch + i * GRANULE, GRANULE);
    }
  }
  IMPORT_REPLACE(real_query, VirtualQuery, count_questions);
  CHECK_EQUAL(stretch + FREE * GRANULE,
              allocate(range_of(stretch, GRANULES), stretch + TARGET * GRANULE));
  CHECK(questions < MOST_AROUND);
}

TEST(that_both_places_beside_a_region_are_taken_is_known_without_a_look_around) {
  needs_virtual_alloc2();
  enum { GRANULES = 1000, MIDDLE = 500 };
  uintptr_t stretch = free_stretch(GRANULES * GRANULE);
  CHECK_EQUAL(stretch + MIDDLE * GRANULE, allocate(range_of(stretch + MIDDLE * GRANULE, 1), 0));
  for (uintptr_t i = 0; i < GRANULES; i++) {
    if (i != MIDDLE) {
      occupy(stretch + i * GRANULE, GRANULE);
    }
  }
  IMPORT_REPLACE(real_query, VirtualQuery, count_questions);
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 1;
  request.range = range_of(stretch, GRANULES);
  request.target = stretch + MIDDLE * GRANULE;
  nearbuf_memory memory;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_allocate(&request, &memory));
  CHECK(questions < 50);
}

/* ---- The map --------------------------------------------------------------------------------- */

static void uses_the_last_granule_of_a_stretch(void) {
  uintptr_t stretch = free_stretch(16 * GRANULE);
  for (uintptr_t i = 0; i < 16; i++) {
    if (i != 9) {
      occupy(stretch + i * GRANULE, GRANULE);
    }
  }
  IMPORT_REPLACE(real_query, VirtualQuery, count_questions);
  CHECK_EQUAL(stretch + 9 * GRANULE, allocate(range_of(stretch, 16), 0));
  CHECK(questions > 0);
}

TEST(where_the_system_does_not_search_the_map_is_searched) {
  atomic_store(&nbuf_windows_virtual_alloc2, NULL);
  uses_the_last_granule_of_a_stretch();
}

static uintptr_t lie;

/* As Wine 8 does; here never right by chance. */
static PVOID WINAPI ignore_the_range(HANDLE process, PVOID address, SIZE_T size, ULONG kind,
                                     ULONG protection, MEM_EXTENDED_PARAMETER *parameters,
                                     ULONG parameter_count) {
  (void)process, (void)parameters, (void)parameter_count;
  lie = (uintptr_t)VirtualAlloc(address, size, kind | MEM_TOP_DOWN, protection);
  return (PVOID)lie;
}

TEST(a_system_that_ignores_the_range_is_noticed_and_not_asked_again) {
  atomic_store(&nbuf_windows_virtual_alloc2, ignore_the_range);
  uses_the_last_granule_of_a_stretch();
  CHECK(lie != 0);
  MEMORY_BASIC_INFORMATION region;
  CHECK(VirtualQuery((const void *)lie, &region, sizeof region) != 0);
  CHECK_EQUAL(MEM_FREE, region.State);
  CHECK(atomic_load(&nbuf_windows_virtual_alloc2) == NULL);
}

TEST(downwards_an_allocation_takes_one_question_however_large_it_is) {
  atomic_store(&nbuf_windows_virtual_alloc2, NULL);
  uintptr_t stretch = free_stretch(2000 * GRANULE);
  occupy(stretch + GRANULE, 1999 * GRANULE);
  IMPORT_REPLACE(real_query, VirtualQuery, count_questions);
  CHECK_EQUAL(stretch, allocate(range_of(stretch, 2000), stretch + 1999 * GRANULE));
  CHECK(questions < 500);
}

/* ---- Images ---------------------------------------------------------------------------------- */

static bool is_near_an_image(uintptr_t address) {
  MEMORY_BASIC_INFORMATION region;
  for (uintptr_t at = 0; VirtualQuery((const void *)at, &region, sizeof region) != 0;
       at = (uintptr_t)region.BaseAddress + region.RegionSize) {
    uintptr_t start = (uintptr_t)region.BaseAddress;
    bool is_below = address + GRANULE + CLEAR <= start;
    bool is_above = start + region.RegionSize + CLEAR <= address;
    if (region.Type == MEM_IMAGE && region.State != MEM_FREE && !is_below && !is_above) {
      return true;
    }
  }
  return false;
}

static void check_clear_of_images(void) {
  uintptr_t here = (uintptr_t)&check_clear_of_images;
  nearbuf_request request;
  for (int i = 0; i < 20; i++) {
    CHECK_OK(nearbuf_request_near((const void *)here, 1, &request));
    nearbuf_memory memory;
    CHECK_OK(nearbuf_allocate(&request, &memory));
    CHECK(!is_near_an_image((uintptr_t)memory.run_at));
    CHECK(nbuf_range_holds(request.range, (uintptr_t)memory.run_at, GRANULE));
  }
}

TEST(new_regions_keep_clear_of_images) {
  check_clear_of_images();
}

TEST(new_regions_keep_clear_of_images_where_the_map_is_searched) {
  atomic_store(&nbuf_windows_virtual_alloc2, NULL);
  check_clear_of_images();
}

static bool is_beside_the_program(uintptr_t start, uintptr_t size) {
  unsigned char *program = (unsigned char *)(void *)GetModuleHandleW(NULL);
  const IMAGE_NT_HEADERS *headers =
      (const void *)(program + ((const IMAGE_DOS_HEADER *)(const void *)program)->e_lfanew);
  uintptr_t end = (uintptr_t)program + headers->OptionalHeader.SizeOfImage;
  return start + size + CLEAR > (uintptr_t)program && start < end + CLEAR;
}

static PVOID WINAPI give_none_beside_the_program(HANDLE process, PVOID address, SIZE_T size,
                                                 ULONG kind, ULONG protection,
                                                 MEM_EXTENDED_PARAMETER *parameters,
                                                 ULONG parameter_count) {
  static bool is_found_below;
  PVOID got = real_allocate2(process, address, size, kind, protection, parameters, parameter_count);
  is_found_below = is_found_below || (got != NULL && (kind & MEM_TOP_DOWN) != 0);
  CHECK(!is_found_below || got == NULL || !is_beside_the_program((uintptr_t)got, size));
  questions++;
  return got;
}

/* Where there is none below, as in 32 bits, it is: its end is not known. */
TEST(beside_the_program_that_is_the_target_the_system_is_not_asked_for_room) {
  needs_virtual_alloc2();
  atomic_store(&nbuf_windows_virtual_alloc2, give_none_beside_the_program);
  check_clear_of_images();
  CHECK(questions > 0);
}

TEST(beside_an_image_is_used_where_there_is_no_other_room_in_reach) {
  uintptr_t image = (uintptr_t)GetModuleHandleA(NULL);
  nearbuf_range range = {image - CLEAR / 2, image + CLEAR / 2};
  range.min = range.min > image || range.min < GRANULE ? GRANULE : range.min;
  uintptr_t got = allocate(range, image);
  CHECK(is_near_an_image(got));
  CHECK(allocate(range, image) != got);
}

/* ---- Trying ---------------------------------------------------------------------------------- */

static nearbuf_range refused;
static int refusals;

/* The map reports it as free, and the system does not map it. */
static LPVOID WINAPI refuse(LPVOID address, SIZE_T size, DWORD kind, DWORD protection) {
  uintptr_t start = (uintptr_t)address;
  if (start != 0 && start <= refused.max && refused.min <= start + (size - 1)) {
    refusals++;
    SetLastError(ERROR_INVALID_ADDRESS);
    return NULL;
  }
  return real_allocate(address, size, kind, protection);
}

static void check_goes_around(uintptr_t granules) {
  atomic_store(&nbuf_windows_virtual_alloc2, NULL);
  uintptr_t stretch = free_stretch((granules + 1) * GRANULE);
  refused = range_of(stretch, granules);
  IMPORT_REPLACE(real_allocate, VirtualAlloc, refuse);
  uintptr_t got = allocate(range_of(stretch, 2 * granules), stretch);
  CHECK(got > refused.max);
  CHECK(refusals > 0);
}

TEST(of_free_memory_that_the_system_refuses_each_granule_is_tried) {
  check_goes_around(60);
}

TEST(a_large_area_that_the_system_refuses_is_left_behind_in_larger_steps) {
  check_goes_around(4000);
}

static LPVOID WINAPI be_faster_once(LPVOID address, SIZE_T size, DWORD kind, DWORD protection) {
  bool is_wanted = address != NULL && (kind & MEM_COMMIT) != 0;
  if (is_wanted && refusals++ == 0) {
    CHECK(real_allocate(address, size, MEM_RESERVE, PAGE_NOACCESS) == address);
  }
  return real_allocate(address, size, kind, protection);
}

TEST(a_thread_that_loses_a_race_for_a_place_gets_the_next) {
  atomic_store(&nbuf_windows_virtual_alloc2, NULL);
  uintptr_t stretch = free_stretch(4 * GRANULE);
  IMPORT_REPLACE(real_allocate, VirtualAlloc, be_faster_once);
  CHECK_EQUAL(stretch + GRANULE, allocate(range_of(stretch, 4), stretch));
  CHECK_EQUAL(2, refusals);
}
