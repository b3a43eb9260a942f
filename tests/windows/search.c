/* The three ways in which memory is found: the system's own search, the map, and trying. */
#include <stdatomic.h>
#include <string.h>

#include <windows.h>

#include "imports.h"
#include "os/os.h"
#include "os/windows_search.h"
#include "test.h"

static const uintptr_t GRANULE = 65536;

typedef LPVOID(WINAPI *allocate_function)(LPVOID, SIZE_T, DWORD, DWORD);
typedef SIZE_T(WINAPI *query_function)(LPCVOID, PMEMORY_BASIC_INFORMATION, SIZE_T);

static allocate_function real_allocate;
static query_function real_query;
static nb_virtual_alloc2 real_allocate2;

/* Free memory, of which the test is the only user: the library has what it needs for itself. */
static uintptr_t free_stretch(uintptr_t size) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 1;
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK_OK(nearbuf_free(&memory));
  void *stretch = VirtualAlloc(NULL, size, MEM_RESERVE, PAGE_NOACCESS);
  CHECK(stretch != NULL);
  CHECK(VirtualFree(stretch, 0, MEM_RELEASE));
  return (uintptr_t)stretch;
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

/* ---- The system's own search ------------------------------------------------------------------- */

static int questions;

static SIZE_T WINAPI count_questions(LPCVOID address, PMEMORY_BASIC_INFORMATION region,
                                     SIZE_T size) {
  questions++;
  return real_query(address, region, size);
}

static void needs_virtual_alloc2(void) {
  real_allocate2 = atomic_load(&nb_windows_virtual_alloc2);
  if (real_allocate2 == NULL) {
    test_skip("this system has no VirtualAlloc2");
  }
}

TEST(the_system_finds_what_is_nearest_on_either_side_without_a_look_at_the_map) {
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
  CHECK_EQUAL(0, questions);
}

/* ---- The map ----------------------------------------------------------------------------------- */

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
  atomic_store(&nb_windows_virtual_alloc2, NULL);
  uses_the_last_granule_of_a_stretch();
}

static uintptr_t lie;

/* As Wine 8 does it; here never right by accident. */
static PVOID WINAPI ignore_the_range(HANDLE process, PVOID address, SIZE_T size, ULONG kind,
                                     ULONG protection, MEM_EXTENDED_PARAMETER *parameters,
                                     ULONG parameter_count) {
  (void)process, (void)parameters, (void)parameter_count;
  lie = (uintptr_t)VirtualAlloc(address, size, kind | MEM_TOP_DOWN, protection);
  return (PVOID)lie;
}

TEST(a_system_that_ignores_the_range_is_noticed_and_not_asked_again) {
  atomic_store(&nb_windows_virtual_alloc2, ignore_the_range);
  uses_the_last_granule_of_a_stretch();
  CHECK(lie != 0);
  MEMORY_BASIC_INFORMATION region;
  CHECK(VirtualQuery((const void *)lie, &region, sizeof region) != 0);
  CHECK_EQUAL(MEM_FREE, region.State);
  CHECK(atomic_load(&nb_windows_virtual_alloc2) == NULL);
}

/* ---- Trying ------------------------------------------------------------------------------------ */

static nearbuf_range refused;
static int refusals;

/* The map calls it free, and the system does not give it. */
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
  atomic_store(&nb_windows_virtual_alloc2, NULL);
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

TEST(who_loses_a_race_for_a_place_gets_the_next) {
  atomic_store(&nb_windows_virtual_alloc2, NULL);
  uintptr_t stretch = free_stretch(4 * GRANULE);
  IMPORT_REPLACE(real_allocate, VirtualAlloc, be_faster_once);
  CHECK_EQUAL(stretch + GRANULE, allocate(range_of(stretch, 4), stretch));
  CHECK_EQUAL(2, refusals);
}
