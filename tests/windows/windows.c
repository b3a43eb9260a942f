/* What only Windows has: sections and squatters on their names, DLLs, 2 and 4 GiB. */
#include <stdbool.h>
#include <string.h>

#include <windows.h>

#include "imports.h"
#include "locator_names.h"
#include "machine_code.h"
#include "os/os.h"
#include "os/windows/anchor.h"
#include "os/windows/sections.h"
#include "test.h"

static void place(size_t size, nearbuf_range range, nearbuf_memory *placed) {
  static const unsigned char bytes[4096];
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = size;
  request.range = range;
  CHECK_OK(nearbuf_place(&request, bytes, placed));
  CHECK((uintptr_t)placed->run_at >= range.min);
  CHECK((uintptr_t)placed->run_at + (size - 1) <= range.max);
}

static const nearbuf_range anywhere = {0, UINTPTR_MAX};

static nearbuf_totals totals(void) {
  nearbuf_totals all;
  CHECK_OK(nearbuf_get_totals(&all));
  return all;
}

static void name_of_locator(char name[96]) {
  (void)snprintf(name, 96, "/" LOCATOR_PREFIX "%lu", GetCurrentProcessId());
}

/* ---- The locator ----------------------------------------------------------------------------- */

/* Another implementation that takes the section for its own lists the rest of it. */
TEST(the_rest_of_the_first_locators_granule_is_left_alone) {
  nearbuf_memory placed;
  place(1, anywhere, &placed);
  CHECK_EQUAL(1, totals().buffers);
  for (int i = 0; i < 40; i++) {
    place(4096 - 16, anywhere, &placed);
    CHECK(totals().first_locator >> 16 != (uintptr_t)placed.run_at >> 16);
  }
}

TEST(the_locator_has_the_name_that_every_user_of_the_format_knows) {
  nearbuf_memory placed;
  place(1, anywhere, &placed);
  char name[96];
  name_of_locator(name);
  HANDLE section = OpenFileMappingA(FILE_MAP_READ, FALSE, name);
  CHECK(section != NULL);
  const uintptr_t *view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0);
  CHECK(view != NULL);
  CHECK_EQUAL(totals().first_locator, *view);
}

static void works_and_is_shared_by(const char *other_copy) {
  nearbuf_memory placed;
  place(1, anywhere, &placed);
  HMODULE plugin = LoadLibraryA(other_copy);
  CHECK(plugin != NULL);
  const nearbuf_totals *seen =
      (const void *)(uintptr_t)GetProcAddress(plugin, "totals_when_loaded");
  CHECK(seen != NULL);
  CHECK_EQUAL(totals().first_locator, seen->first_locator);
}

TEST(a_squatted_name_with_zeros_is_gone_around_by_all_copies) {
  char name[96];
  name_of_locator(name);
  CHECK(CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_EXECUTE_READWRITE, 0, 65536, name));
  works_and_is_shared_by("plugin_one.dll");
}

TEST(a_smaller_section_that_names_memory_of_ours_is_gone_around_and_left_alone) {
  char name[96];
  name_of_locator(name);
  HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 4096, name);
  CHECK(section != NULL);
  unsigned char *squatter = MapViewOfFile(section, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, 0);
  CHECK(squatter != NULL);
  uintptr_t of_ours = (uintptr_t)nbuf_os_own_pages(65536);
  memcpy(squatter, &of_ours, sizeof of_ours);
  works_and_is_shared_by("plugin_one.dll");
  CHECK(totals().first_locator != of_ours);
  for (size_t i = sizeof of_ours; i < 4096; i++) {
    CHECK_EQUAL(0, squatter[i]);
  }
  CHECK_EQUAL(0, *(unsigned char *)of_ours);
}

TEST(another_kind_of_object_of_that_name_is_gone_around) {
  char name[96];
  name_of_locator(name);
  CHECK(CreateMutexA(NULL, FALSE, name) != NULL);
  works_and_is_shared_by("plugin_one.dll");
}

/* ---- Without a name -------------------------------------------------------------------------- */

static void squat_on_both_names(void) {
  for (int i = 0; i < NBUF_SECTION_NAMES; i++) {
    nbuf_section_name name =
        nbuf_section_name_of_first(i, GetCurrentProcessId(), GetCurrentProcess());
    CHECK(CreateMutexW(NULL, FALSE, name.text) != NULL);
  }
}

TEST(where_both_names_are_taken_the_locator_is_private_and_all_copies_share_it) {
  squat_on_both_names();
  works_and_is_shared_by("plugin_one.dll");
  CHECK_EQUAL(NEARBUF_SHARING_PRIVATE, totals().sharing);
  CHECK_EQUAL(ERROR_INVALID_HANDLE, totals().private_reason);
  works_and_is_shared_by("plugin_two.dll");
  CHECK_EQUAL(1, totals().locators);
}

static HANDLE WINAPI refuse_section(HANDLE file, LPSECURITY_ATTRIBUTES security, DWORD protection,
                                    DWORD high, DWORD low, LPCWSTR name) {
  (void)file, (void)security, (void)protection, (void)high, (void)low, (void)name;
  SetLastError(ERROR_ACCESS_DENIED);
  return NULL;
}

typedef HANDLE(WINAPI *section_maker)(HANDLE, LPSECURITY_ATTRIBUTES, DWORD, DWORD, DWORD, LPCWSTR);
static section_maker real_CreateFileMappingW;

TEST(where_sections_are_refused_code_runs_from_a_private_locator_and_there_can_be_more) {
  IMPORT_REPLACE(real_CreateFileMappingW, CreateFileMappingW, refuse_section);
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = sizeof code_of_answer;
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, code_of_answer, &placed));
  CHECK_EQUAL(ANSWER, run_code_at(placed.run_at));
  CHECK_EQUAL(NEARBUF_SHARING_PRIVATE, totals().sharing);
  CHECK_EQUAL(ERROR_ACCESS_DENIED, totals().private_reason);
  works_and_is_shared_by("plugin_one.dll"); /* to which sections are not refused */
  request.size_bytes = 65536;
  while (totals().locators < 2) {
    nearbuf_buffer buffer; /* held: each is another one */
    CHECK_OK(nearbuf_get(&request, &buffer));
  }
  works_and_is_shared_by("plugin_two.dll");
}

static HANDLE section_made;

static HANDLE WINAPI note_section(HANDLE file, LPSECURITY_ATTRIBUTES security, DWORD protection,
                                  DWORD high, DWORD low, LPCWSTR name) {
  section_made = real_CreateFileMappingW(file, security, protection, high, low, name);
  return section_made;
}

TEST(the_name_outlives_a_stray_close_of_its_handle) {
  IMPORT_REPLACE(real_CreateFileMappingW, CreateFileMappingW, note_section);
  nearbuf_memory placed;
  place(1, anywhere, &placed);
  CHECK(!CloseHandle(section_made));
  char name[96];
  name_of_locator(name);
  CHECK(OpenFileMappingA(FILE_MAP_READ, FALSE, name) != NULL);
}

TEST(copies_that_come_later_find_the_locator_whose_name_is_gone) {
  IMPORT_REPLACE(real_CreateFileMappingW, CreateFileMappingW, note_section);
  nearbuf_memory placed;
  place(1, anywhere, &placed);
  CHECK(SetHandleInformation(section_made, HANDLE_FLAG_PROTECT_FROM_CLOSE, 0));
  CHECK(CloseHandle(section_made));
  char name[96];
  name_of_locator(name);
  CHECK(OpenFileMappingA(FILE_MAP_READ, FALSE, name) == NULL);
  works_and_is_shared_by("plugin_one.dll");
}

TEST(without_an_anchor_the_second_name_leads_to_the_locator_when_the_first_is_free_again) {
  uintptr_t anchor;
  for (uint32_t i = 0; (anchor = (uintptr_t)nbuf_anchor_place(sizeof anchor, i)) != 0; i++) {
    (void)VirtualAlloc((void *)anchor, 65536, MEM_RESERVE, PAGE_NOACCESS); /* or it is taken */
  }
  char name[96];
  name_of_locator(name);
  HANDLE squatter = CreateMutexA(NULL, FALSE, name);
  CHECK(squatter != NULL);
  nearbuf_memory placed;
  place(1, anywhere, &placed);
  CHECK(CloseHandle(squatter));
  works_and_is_shared_by("plugin_one.dll");
}

/* ---- DLLs ------------------------------------------------------------------------------------ */

TEST(two_dlls_with_their_own_copies_share_one_locator_from_dllmain_on) {
  HMODULE one = LoadLibraryA("plugin_one.dll");
  HMODULE two = LoadLibraryA("plugin_two.dll");
  CHECK(one != NULL && two != NULL);
  const nearbuf_memory *first = (const void *)(uintptr_t)GetProcAddress(one, "placed_when_loaded");
  const nearbuf_memory *second = (const void *)(uintptr_t)GetProcAddress(two, "placed_when_loaded");
  CHECK(first != NULL && second != NULL);
  CHECK(first->run_at != second->run_at);
  nearbuf_info info;
  CHECK_OK(nearbuf_find(first->run_at, &info));
  CHECK_OK(nearbuf_find(second->run_at, &info));
  CHECK_EQUAL(1, totals().locators);
}

TEST(buffers_outlive_the_dll_that_made_them_and_it_may_come_back) {
  HMODULE one = LoadLibraryA("plugin_one.dll");
  CHECK(one != NULL);
  nearbuf_memory placed =
      *(const nearbuf_memory *)(uintptr_t)GetProcAddress(one, "placed_when_loaded");
  CHECK(FreeLibrary(one));
  CHECK_EQUAL(0, memcmp(placed.run_at, "mine", 4));
  CHECK(LoadLibraryA("plugin_one.dll") != NULL);
  CHECK_EQUAL(1, totals().locators);
  nearbuf_info info;
  CHECK_OK(nearbuf_find(placed.run_at, &info));
}

/* All the addresses that are in use. */
static size_t bytes_in_use(void) {
  MEMORY_BASIC_INFORMATION region;
  size_t bytes = 0;
  for (unsigned char *at = NULL; VirtualQuery(at, &region, sizeof region) != 0;
       at = (unsigned char *)region.BaseAddress + region.RegionSize) {
    bytes += region.State != MEM_FREE && region.AllocationProtect == PAGE_READWRITE
                 ? region.RegionSize
                 : 0;
  }
  return bytes;
}

static void load_and_unload(int times) {
  for (int i = 0; i < times; i++) {
    HMODULE one = LoadLibraryA("plugin_one.dll");
    CHECK(one != NULL);
    CHECK(FreeLibrary(one));
  }
}

TEST(a_copy_that_is_unloaded_gives_its_own_memory_back_without_a_call) {
  nearbuf_memory placed;
  place(1, anywhere, &placed);
  load_and_unload(3);
  size_t before = bytes_in_use();
  load_and_unload(64);
  CHECK(bytes_in_use() < before + 32 * (size_t)4096);
}

TEST(the_static_libraries_need_nothing_but_the_systems_dlls) {
  HMODULE bare = LoadLibraryA("bare.dll");
  CHECK(bare != NULL);
  nearbuf_status (*place_from)(nearbuf_memory * placed);
  FARPROC found = GetProcAddress(bare, "place_from_bare_dll");
  CHECK(found != NULL);
  memcpy(&place_from, &found, sizeof place_from);
  nearbuf_memory placed;
  CHECK_OK(place_from(&placed));
  CHECK_EQUAL(0, memcmp(placed.run_at, "bare", 4));
}

/* ---- Commit ---------------------------------------------------------------------------------- */

static uintptr_t allocation_of(uintptr_t address) {
  MEMORY_BASIC_INFORMATION region;
  CHECK(VirtualQuery((const void *)address, &region, sizeof region) != 0);
  CHECK(region.State != MEM_FREE);
  return (uintptr_t)region.AllocationBase;
}

/* The committed bytes of what was reserved together with an address. */
static size_t committed_around(uintptr_t address) {
  uintptr_t allocation = allocation_of(address);
  uintptr_t at = allocation;
  size_t committed = 0;
  MEMORY_BASIC_INFORMATION region;
  while (VirtualQuery((const void *)at, &region, sizeof region) != 0 && region.State != MEM_FREE &&
         (uintptr_t)region.AllocationBase == allocation) {
    committed += region.State == MEM_COMMIT ? region.RegionSize : 0;
    at += region.RegionSize;
  }
  return committed;
}

/* The bytes that items list of what was reserved together with an address. */
static size_t listed_around(uintptr_t address) {
  nearbuf_walk walk = {0};
  nearbuf_info info;
  size_t listed = 0;
  while (nearbuf_next(&walk, &info) == NEARBUF_OK) {
    listed += allocation_of(info.address) == allocation_of(address) ? info.size_bytes : 0;
  }
  return listed;
}

TEST(what_items_list_is_committed_and_no_more) {
  static const size_t sizes[] = {1, 65536, 65537, 3 << 20, 24 << 20, 1, 1};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    nearbuf_request request = NEARBUF_REQUEST_INIT;
    nearbuf_buffer buffer; /* held: each is another one */
    request.size_bytes = sizes[i];
    CHECK_OK(nearbuf_get(&request, &buffer));
  }
  nearbuf_walk walk = {0};
  nearbuf_info info;
  int seen = 0;
  for (; nearbuf_next(&walk, &info) == NEARBUF_OK; seen++) {
    CHECK_EQUAL(committed_around(info.address), listed_around(info.address));
  }
  CHECK_EQUAL(totals().buffers, seen);
}

TEST(private_memory_commits_what_it_gives) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  nearbuf_memory memory;
  request.size_bytes = 100000;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK_EQUAL(memory.size_bytes, committed_around((uintptr_t)memory.run_at));
  CHECK_OK(nearbuf_free(&memory));
}

TEST(a_private_locator_commits_its_page_and_no_more) {
  CHECK_OK(nearbuf_choose_sharing(NEARBUF_SHARING_PRIVATE));
  nearbuf_memory placed;
  place(1, anywhere, &placed);
  CHECK_EQUAL(NEARBUF_SHARING_PRIVATE, totals().sharing);
  CHECK_EQUAL(NBUF_LOCATOR_SIZE, committed_around(totals().first_locator));
}

/* ---- Addresses ------------------------------------------------------------------------------- */

TEST(code_runs_in_every_part_of_the_address_space) {
  nbuf_range limits = nbuf_os_limits(0, 0);
  nearbuf_range parts[] = {{0, limits.max / 2}, {limits.max / 2 + 1, limits.max}};
  for (int i = 0; i < 2; i++) {
    nearbuf_request request = NEARBUF_REQUEST_INIT;
    request.size_bytes = sizeof code_of_answer;
    request.range = parts[i];
    nearbuf_memory placed;
    CHECK_OK(nearbuf_place(&request, code_of_answer, &placed));
    CHECK((uintptr_t)placed.run_at >= parts[i].min && (uintptr_t)placed.run_at <= parts[i].max);
    CHECK_EQUAL(ANSWER, run_code_at(placed.run_at));
  }
}

/* Whether the program's file says that it can use addresses above 2 GiB. */
static bool is_large_address_aware(void) {
  const unsigned char *image = (const void *)GetModuleHandleA(NULL);
  const IMAGE_DOS_HEADER *dos = (const void *)image;
  const IMAGE_NT_HEADERS *headers = (const void *)(image + dos->e_lfanew);
  return (headers->FileHeader.Characteristics & IMAGE_FILE_LARGE_ADDRESS_AWARE) != 0;
}

TEST(memory_above_2_gib_is_given_to_those_and_only_those_who_can_use_it) {
  CHECK_EQUAL(LINKED_LARGE_ADDRESS_AWARE, is_large_address_aware());
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 64;
  request.range.min = 0x80000000;
  nearbuf_memory memory;
  bool can = is_large_address_aware();
  CHECK_STATUS(can ? NEARBUF_OK : NEARBUF_NO_ROOM, nearbuf_allocate(&request, &memory));
  CHECK(!can || (uintptr_t)memory.run_at >= 0x80000000);
}

TEST(the_top_of_the_address_space_is_used_and_nothing_wraps) {
  nbuf_range limits = nbuf_os_limits(0, 0);
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.range = (nearbuf_range){limits.max - (64 << 20), UINTPTR_MAX};
  request.target = UINTPTR_MAX;
  request.size_bytes = 65536;
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK((uintptr_t)memory.run_at >= request.range.min);
  CHECK((uintptr_t)memory.run_at + 65535 <= limits.max);
  memory.write_to[65535] = 1;
  CHECK_OK(nearbuf_free(&memory));
  request.range.min = 0;
  request.size_bytes = SIZE_MAX - 65536;
  CHECK(nearbuf_allocate(&request, &memory) != NEARBUF_OK);
  request.range.min = limits.max + 1;
  request.size_bytes = 1;
  CHECK_STATUS(NEARBUF_NO_ROOM, nearbuf_allocate(&request, &memory));
}

TEST(ten_thousand_regions_lie_where_they_shall_and_are_listed) {
  enum { REGIONS = 10000 };
  nearbuf_range range = {0x10000, sizeof(void *) == 8 ? 0x7fffffff : nbuf_os_limits(0, 0).max};
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 1;
  request.range = range;
  for (int i = 0; i < REGIONS; i++) {
    nearbuf_buffer buffer; /* held: each is another one */
    CHECK_OK(nearbuf_get(&request, &buffer));
    CHECK(nearbuf_buffer_address(&buffer) >= range.min);
    CHECK(nearbuf_buffer_address(&buffer) <= range.max);
    CHECK_OK(nearbuf_append(&buffer, "x", 1, NULL));
  }
  CHECK(totals().buffers >= REGIONS);
}

TEST(the_last_granule_of_a_nearly_full_range_is_found) {
  const size_t granule = 65536;
  const size_t granules = 64;
  nearbuf_memory placed;
  place(1, anywhere, &placed); /* what the library needs itself is not to lie in the hole */
  unsigned char *range = VirtualAlloc(NULL, granules * granule, MEM_RESERVE, PAGE_NOACCESS);
  CHECK(range != NULL);
  CHECK(VirtualFree(range, 0, MEM_RELEASE));
  for (size_t i = 0; i < granules; i++) {
    if (i != 41) {
      CHECK(VirtualAlloc(range + i * granule, 4096, MEM_RESERVE, PAGE_NOACCESS) != NULL);
    }
  }
  place(4096, (nearbuf_range){(uintptr_t)range, (uintptr_t)range + granules * granule - 1},
        &placed);
  CHECK_EQUAL((uintptr_t)range + 41 * granule, (uintptr_t)placed.run_at & ~(uintptr_t)0xffff);
}

TEST(neighbours_whose_protection_changes_disturb_no_other) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 65536;
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  DWORD previous;
  CHECK(VirtualProtect(memory.write_to + 4096, 4096, PAGE_READONLY, &previous));
  nearbuf_memory placed;
  place(16, anywhere, &placed);
  CHECK_STATUS(NEARBUF_NOT_FOUND,
               nearbuf_overwrite(memory.run_at + 4096, "1234", 4, NULL)); /* not writable now */
  CHECK_OK(nearbuf_overwrite(memory.run_at, "1234", 4, NULL));
  CHECK_OK(nearbuf_free(&memory));
}
