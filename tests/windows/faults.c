/* Every function that the library imports from the system fails at every place: its 1st, 2nd, ...
 * Nth call, until a try has no Nth call; once, and again with all later ones. Each try is a
 * process. Also what is reported about a failure. */
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include <windows.h>

#include "children.h"
#include "imports.h"
#include "machine_code.h"
#include "os/pages.h"
#include "os/windows/search.h"
#include "test.h"

/* ---- Functions that fail --------------------------------------------------------------------- */

enum { INJECTED = ERROR_NO_SYSTEM_RESOURCES };

/* The call that is to fail; nothing fails while `is_on` is false. */
static struct {
  const char *name;
  int number;
  int calls;
  DWORD error;
  bool is_lasting; /* the later ones fail, too */
  bool is_on;
  bool is_done;
} fault;

static bool fails(const char *name) {
  if (!fault.is_on || strcmp(name, fault.name) != 0) {
    return false;
  }
  fault.calls++;
  if (fault.calls < fault.number || (fault.calls > fault.number && !fault.is_lasting)) {
    return false;
  }
  fault.is_done = true;
  SetLastError(fault.error);
  return true;
}

/* A function that fails as the system's does, by returning 0. */
#define FAILING(result, name, parameters, arguments)                                               \
  static result(WINAPI *real_##name) parameters; /* NOLINT(bugprone-macro-parentheses): a type */  \
  static result WINAPI failing_##name parameters {                                                 \
    return fails(#name) ? (result)0 : real_##name arguments;                                       \
  }

FAILING(BOOL, CloseHandle, (HANDLE object), (object))
FAILING(HANDLE, CreateFileMappingW,
        (HANDLE file, LPSECURITY_ATTRIBUTES security, DWORD protection, DWORD high, DWORD low,
         LPCWSTR name),
        (file, security, protection, high, low, name))
FAILING(BOOL, GetProcessTimes,
        (HANDLE process, LPFILETIME created, LPFILETIME ended, LPFILETIME kernel, LPFILETIME user),
        (process, created, ended, kernel, user))
FAILING(LPVOID, MapViewOfFile, (HANDLE section, DWORD access, DWORD high, DWORD low, SIZE_T size),
        (section, access, high, low, size))
FAILING(LPVOID, MapViewOfFileEx,
        (HANDLE section, DWORD access, DWORD high, DWORD low, SIZE_T size, LPVOID address),
        (section, access, high, low, size, address))
FAILING(HANDLE, OpenFileMappingW, (DWORD access, BOOL inherit, LPCWSTR name),
        (access, inherit, name))
FAILING(BOOL, SetHandleInformation, (HANDLE object, DWORD mask, DWORD flags), (object, mask, flags))
FAILING(BOOL, UnmapViewOfFile, (LPCVOID address), (address))
FAILING(LPVOID, VirtualAlloc, (LPVOID address, SIZE_T size, DWORD kind, DWORD protection),
        (address, size, kind, protection))
FAILING(BOOL, VirtualFree, (LPVOID address, SIZE_T size, DWORD kind), (address, size, kind))
FAILING(SIZE_T, VirtualQuery, (LPCVOID address, PMEMORY_BASIC_INFORMATION region, SIZE_T size),
        (address, region, size))
FAILING(BOOL, FlushInstructionCache, (HANDLE process, LPCVOID address, SIZE_T size),
        (process, address, size))

static nbuf_virtual_alloc2 real_VirtualAlloc2;

static PVOID WINAPI failing_VirtualAlloc2(HANDLE process, PVOID address, SIZE_T size, ULONG kind,
                                          ULONG protection, MEM_EXTENDED_PARAMETER *parameters,
                                          ULONG count) {
  return fails("VirtualAlloc2")
             ? NULL
             : real_VirtualAlloc2(process, address, size, kind, protection, parameters, count);
}

static const char *const functions[] = {
    "CloseHandle",     "CreateFileMappingW",   "GetProcessTimes",       "MapViewOfFile",
    "MapViewOfFileEx", "OpenFileMappingW",     "UnmapViewOfFile",       "VirtualAlloc",
    "VirtualFree",     "SetHandleInformation", "FlushInstructionCache", "VirtualAlloc2",
    "VirtualQuery"};

enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

static void replace_all(void) {
  IMPORT_REPLACE(real_CloseHandle, CloseHandle, failing_CloseHandle);
  IMPORT_REPLACE(real_CreateFileMappingW, CreateFileMappingW, failing_CreateFileMappingW);
  IMPORT_REPLACE(real_GetProcessTimes, GetProcessTimes, failing_GetProcessTimes);
  IMPORT_REPLACE(real_MapViewOfFile, MapViewOfFile, failing_MapViewOfFile);
  IMPORT_REPLACE(real_MapViewOfFileEx, MapViewOfFileEx, failing_MapViewOfFileEx);
  IMPORT_REPLACE(real_OpenFileMappingW, OpenFileMappingW, failing_OpenFileMappingW);
  IMPORT_REPLACE(real_SetHandleInformation, SetHandleInformation, failing_SetHandleInformation);
  IMPORT_REPLACE(real_UnmapViewOfFile, UnmapViewOfFile, failing_UnmapViewOfFile);
  IMPORT_REPLACE(real_VirtualAlloc, VirtualAlloc, failing_VirtualAlloc);
  IMPORT_REPLACE(real_VirtualFree, VirtualFree, failing_VirtualFree);
  IMPORT_REPLACE(real_VirtualQuery, VirtualQuery, failing_VirtualQuery);
  IMPORT_REPLACE(real_FlushInstructionCache, FlushInstructionCache, failing_FlushInstructionCache);
  real_VirtualAlloc2 = atomic_load(&nbuf_windows_virtual_alloc2);
  if (real_VirtualAlloc2 != NULL) {
    atomic_store(&nbuf_windows_virtual_alloc2, failing_VirtualAlloc2);
  }
}

/* ---- Scenes ---------------------------------------------------------------------------------- */

/* What a call returned. */
typedef struct answer {
  nearbuf_status status;
  int32_t system_error;
} answer;

static answer get(size_t size) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = size;
  nearbuf_buffer buffer;
  nearbuf_status status = nearbuf_get(&request, &buffer);
  CHECK(status == NEARBUF_OK || nearbuf_buffer_size(&buffer) == 0);
  answer told = {status, buffer.system_error};
  return told;
}

static void nothing(void) {
}

static answer get_one_byte(void) {
  return get(1);
}

static void load_another_copy(void) {
  CHECK(LoadLibraryA("plugin_one.dll") != NULL);
}

static answer get_a_region(void) {
  return get(100000);
}

/* All items of the first locator are held: the next buffer needs a second one. */
static void fill_the_first_locator(void) {
  nearbuf_totals totals = {0};
  while (totals.buffers < NBUF_NATIVE_CAPACITY - NBUF_FIRST_SLOT) {
    CHECK_OK(get(100000).status);
    CHECK_OK(nearbuf_get_totals(&totals));
  }
  CHECK_EQUAL(1, totals.locators);
}

static answer allocate_and_free(void) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 4096;
  nearbuf_memory memory;
  answer told;
  told.status = nearbuf_allocate(&request, &memory);
  told.system_error = memory.system_error;
  if (told.status == NEARBUF_OK) {
    told.status = nearbuf_free(&memory);
    told.system_error = memory.system_error;
  }
  return told;
}

static nearbuf_memory placed;

static void place_code(void) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = sizeof code_of_answer;
  CHECK_OK(nearbuf_place(&request, code_of_answer, &placed));
}

static answer overwrite_code(void) {
  answer told;
  told.status = nearbuf_overwrite(placed.run_at, code_of_other_answer, sizeof code_of_other_answer,
                                  &told.system_error);
  return told;
}

typedef struct scene {
  void (*prepare)(void);
  answer (*call)(void);
} scene;

/* ---- A try ----------------------------------------------------------------------------------- */

/* How a try ends, as an exit status: the call succeeded all the same, it had no such call, or it
 * reported the failure. */
enum { OVERCOME = 0, NOT_REACHED = 3, TOLD = 4 };

/* Memory that only the library creates: executable and writable. */
static size_t bytes_of_the_library(void) {
  MEMORY_BASIC_INFORMATION region;
  size_t bytes = 0;
  for (unsigned char *at = NULL; VirtualQuery(at, &region, sizeof region) != 0;
       at = (unsigned char *)region.BaseAddress + region.RegionSize) {
    bytes += region.State == MEM_COMMIT && region.Protect == PAGE_EXECUTE_READWRITE
                 ? region.RegionSize
                 : 0;
  }
  return bytes;
}

static void check_consistent(void) {
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  load_another_copy();
  const nearbuf_totals *seen = (const void *)(uintptr_t)GetProcAddress(
      GetModuleHandleA("plugin_one.dll"), "totals_when_loaded");
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(totals.first_locator, seen->first_locator);
}

/* The call fails in one of the ways that the header names, reports the system's code, leaves
 * nothing behind, and succeeds when it is repeated. */
static int try_once(const scene *stage) {
  char role[64];
  CHECK(GetEnvironmentVariableA("NEARBUF_TEST_ROLE", role, sizeof role) > 0);
  char *number = strchr(role, ' ');
  CHECK(number != NULL);
  *number++ = '\0';
  fault.name = role;
  fault.is_lasting = *number == '-';
  fault.number = abs(atoi(number));
  fault.error = INJECTED;
  stage->prepare();
  size_t before = bytes_of_the_library();
  replace_all();
  fault.is_on = true;
  answer told = stage->call();
  fault.is_on = false;
  if (!fault.is_done) {
    CHECK_OK(told.status);
    return NOT_REACHED;
  }
  if (told.status != NEARBUF_OK) {
    CHECK(told.status == NEARBUF_OUT_OF_MEMORY || told.status == NEARBUF_SYSTEM_ERROR);
    CHECK_EQUAL(INJECTED, told.system_error);
    bool may_stay = strcmp(fault.name, "VirtualFree") == 0;
    CHECK(may_stay || bytes_of_the_library() == before);
    CHECK_OK(stage->call().status);
  }
  check_consistent();
  return told.status == NEARBUF_OK ? OVERCOME : TOLD;
}

static void play(const char *test, const scene *stage) {
  if (GetEnvironmentVariableA("NEARBUF_TEST_ROLE", NULL, 0) != 0) {
    exit(try_once(stage));
  }
  int overcome = 0;
  int told = 0;
  /* The last one, VirtualQuery, succeeds for every address of a process: it fails once only. */
  for (int i = 0; i < 2 * FUNCTIONS - 1; i++) {
    int status = OVERCOME;
    for (int number = 1; status != NOT_REACHED; number++) {
      char role[64];
      (void)snprintf(role, sizeof role, "%s %d", functions[i / 2], i % 2 == 0 ? number : -number);
      status = child_status(child_start(test, role));
      if (status != OVERCOME && status != TOLD && status != NOT_REACHED) {
        test_fail(__FILE__, __LINE__, "with %s failing: status %d", role, status);
      }
      overcome += status == OVERCOME;
      told += status == TOLD;
    }
  }
  printf("%d failures: %d overcome, %d told\n", overcome + told, overcome, told);
  CHECK(overcome + told > 0);
}

TEST(the_first_get_survives_every_failure) {
  play("the_first_get_survives_every_failure", &(scene){nothing, get_one_byte});
}

TEST(a_get_that_attaches_survives_every_failure) {
  play("a_get_that_attaches_survives_every_failure", &(scene){load_another_copy, get_one_byte});
}

TEST(a_get_that_makes_a_region_survives_every_failure) {
  play("a_get_that_makes_a_region_survives_every_failure",
       &(scene){load_another_copy, get_a_region});
}

TEST(a_get_that_makes_a_locator_survives_every_failure) {
  play("a_get_that_makes_a_locator_survives_every_failure",
       &(scene){fill_the_first_locator, get_a_region});
}

TEST(private_memory_survives_every_failure) {
  play("private_memory_survives_every_failure", &(scene){nothing, allocate_and_free});
}

TEST(replacing_code_survives_every_failure) {
  play("replacing_code_survives_every_failure", &(scene){place_code, overwrite_code});
}

/* ---- What is told ---------------------------------------------------------------------------- */

static DWORD refusal;

static LPVOID WINAPI refuse_code(LPVOID address, SIZE_T size, DWORD kind, DWORD protection) {
  if (protection == PAGE_EXECUTE_READWRITE) {
    SetLastError(refusal);
    return NULL;
  }
  return real_VirtualAlloc(address, size, kind, protection);
}

static void check_told(DWORD error, nearbuf_status status) {
  refusal = error;
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 1;
  nearbuf_memory memory;
  CHECK_STATUS(status, nearbuf_allocate(&request, &memory));
  CHECK_EQUAL(error, memory.system_error);
}

TEST(what_the_system_says_is_told_and_told_apart) {
  atomic_store(&nbuf_windows_virtual_alloc2, NULL);
  IMPORT_REPLACE(real_VirtualAlloc, VirtualAlloc, refuse_code);
  check_told(ERROR_COMMITMENT_LIMIT, NEARBUF_OUT_OF_MEMORY);
  check_told(ERROR_NOT_ENOUGH_MEMORY, NEARBUF_OUT_OF_MEMORY);
  check_told(ERROR_ACCESS_DENIED, NEARBUF_DENIED);
  check_told(1655 /* ERROR_DYNAMIC_CODE_BLOCKED */, NEARBUF_DENIED);
  check_told(ERROR_GEN_FAILURE, NEARBUF_SYSTEM_ERROR);
}

static uintptr_t flushed;

static BOOL WINAPI note_flush(HANDLE process, LPCVOID address, SIZE_T size) {
  CHECK_EQUAL(sizeof code_of_answer, size);
  flushed = (uintptr_t)address;
  return real_FlushInstructionCache(process, address, size);
}

TEST(placed_code_is_flushed_where_the_processor_needs_it_and_replaced_code_always) {
#if defined(__x86_64__) || defined(__i386__)
  const bool needs_it = false;
#else
  const bool needs_it = true;
#endif
  IMPORT_REPLACE(real_FlushInstructionCache, FlushInstructionCache, note_flush);
  place_code();
  CHECK_EQUAL(needs_it ? (uintptr_t)placed.run_at : 0, flushed);
  CHECK_EQUAL(ANSWER, run_code_at(placed.run_at));
  flushed = 0;
  CHECK_OK(overwrite_code().status);
  CHECK_EQUAL((uintptr_t)placed.run_at, flushed);
  CHECK_EQUAL(OTHER_ANSWER, run_code_at(placed.run_at));
}

static HANDLE WINAPI take_names_of_later(HANDLE file, LPSECURITY_ATTRIBUTES security,
                                         DWORD protection, DWORD high, DWORD low, LPCWSTR name) {
  if (name != NULL && wcsstr(name, L", later ") != NULL) {
    CHECK(real_CreateFileMappingW(file, security, protection, high, low, name) != NULL);
  }
  return real_CreateFileMappingW(file, security, protection, high, low, name);
}

TEST(a_later_locator_does_without_its_name_where_that_is_taken) {
  fill_the_first_locator();
  IMPORT_REPLACE(real_CreateFileMappingW, CreateFileMappingW, take_names_of_later);
  CHECK_OK(get(100000).status);
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(2, totals.locators);
}
