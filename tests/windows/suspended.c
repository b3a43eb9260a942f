/* Calls while other threads are suspended at arbitrary points: hooking libraries suspend all other
 * threads of the process, and then allocate. */
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include <windows.h>

#include "children.h"
#include "imports.h"
#include "machine_code.h"
#include "test.h"
#include "threads.h"

/* ---- Inside a lock of the system ------------------------------------------------------------- */

static nearbuf_memory place(size_t size) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = size;
  nearbuf_memory placed;
  static const unsigned char bytes[300000];
  CHECK_OK(nearbuf_place(
      &request, size == sizeof code_of_answer ? (const void *)code_of_answer : bytes, &placed));
  return placed;
}

static void fill_a_locator(void) {
  nearbuf_totals totals = {0};
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 65536;
  while (totals.locators < 2) {
    nearbuf_buffer buffer; /* held: each is another one */
    CHECK_OK(nearbuf_get(&request, &buffer));
    CHECK_OK(nearbuf_get_totals(&totals));
  }
}

/* All that a hooking library may need. */
static void call_everything(void) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 64;
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_OK(nearbuf_append(&buffer, "hook", 4, NULL));
  CHECK_OK(nearbuf_release(&buffer));
  nearbuf_memory placed = place(sizeof code_of_answer);
  CHECK_OK(
      nearbuf_overwrite(placed.run_at, code_of_other_answer, sizeof code_of_other_answer, NULL));
  CHECK_EQUAL(OTHER_ANSWER, run_code_at(placed.run_at));
  nearbuf_info info;
  CHECK_OK(nearbuf_find(placed.run_at, &info));
  request.size_bytes = 65536;
  nearbuf_memory memory;
  CHECK_OK(nearbuf_allocate(&request, &memory));
  CHECK_OK(nearbuf_free(&memory));
  fill_a_locator();
  CHECK_OK(nearbuf_choose_dialect(NEARBUF_DIALECT_WRITTEN));
}

typedef struct locker {
  void (*lock)(void);
  HANDLE is_locked;
} locker;

static void lock_and_stop(void *context) {
  locker *self = context;
  self->lock();
  CHECK(SetEvent(self->is_locked));
  CHECK(SuspendThread(GetCurrentThread()) != (DWORD)-1);
}

/* A process that is stuck is ended by a dedicated thread, with an exit status that says so. */
static void end_when_stuck(void *finished) {
  if (WaitForSingleObject(finished, 30000) != WAIT_OBJECT_0) {
    (void)TerminateProcess(GetCurrentProcess(), 9);
  }
}

static void call_while_locked_by_a_suspended_thread(void (*lock)(void)) {
  HANDLE finished = CreateEventA(NULL, TRUE, FALSE, NULL);
  locker other = {lock, CreateEventA(NULL, TRUE, FALSE, NULL)};
  CHECK(finished != NULL && other.is_locked != NULL);
  (void)test_thread_start(end_when_stuck, finished);
  (void)test_thread_start(lock_and_stop, &other);
  CHECK_EQUAL(WAIT_OBJECT_0, WaitForSingleObject(other.is_locked, 60000));
  call_everything();
  CHECK(SetEvent(finished));
}

/* Looked up before any thread is stopped. */
static FARPROC of_ntdll(const char *name) {
  FARPROC found = GetProcAddress(GetModuleHandleA("ntdll.dll"), name);
  CHECK(found != NULL);
  return found;
}

static void(WINAPI *acquire_peb_lock)(void);

static void lock_environment(void) {
  acquire_peb_lock();
}

static LONG(WINAPI *lock_loader_lock)(ULONG flags, ULONG *disposition, ULONG_PTR *cookie);

static void lock_loader(void) {
  ULONG_PTR cookie;
  CHECK_EQUAL(0, lock_loader_lock(0, NULL, &cookie));
}

static void lock_heap(void) {
  CHECK(HeapLock(GetProcessHeap()));
}

/* The result of a test is printed when its thread has ended, with the heap and the loader: so
 * another process is the one that gets stuck. */
static void in_a_child(const char *test, void (*lock)(void)) {
  if (!child_has_role("stuck")) {
    CHECK_EQUAL(0, child_status(child_start(test, "stuck")));
    return;
  }
  FARPROC found = of_ntdll("RtlAcquirePebLock");
  memcpy(&acquire_peb_lock, &found, sizeof found);
  found = of_ntdll("LdrLockLoaderLock");
  memcpy(&lock_loader_lock, &found, sizeof found);
  call_while_locked_by_a_suspended_thread(lock);
  (void)TerminateProcess(GetCurrentProcess(), 0);
}

TEST(nothing_waits_for_a_suspended_thread_that_has_the_lock_of_the_environment) {
  in_a_child("nothing_waits_for_a_suspended_thread_that_has_the_lock_of_the_environment",
             lock_environment);
}

TEST(nothing_waits_for_a_suspended_thread_that_has_the_lock_of_the_loader) {
  in_a_child("nothing_waits_for_a_suspended_thread_that_has_the_lock_of_the_loader", lock_loader);
}

TEST(nothing_waits_for_a_suspended_thread_that_has_the_lock_of_the_heap) {
  in_a_child("nothing_waits_for_a_suspended_thread_that_has_the_lock_of_the_heap", lock_heap);
}

/* ---- Inside the library ---------------------------------------------------------------------- */

/* The thread to be suspended before its `stop_at`th system call. */
static _Atomic DWORD stopped_thread;
static int stop_at;
static _Atomic int calls;
static _Atomic bool is_stopped;

static void before_call(void) {
  if (GetCurrentThreadId() == atomic_load(&stopped_thread) &&
      atomic_fetch_add(&calls, 1) + 1 == stop_at) {
    atomic_store(&is_stopped, true);
    (void)SuspendThread(GetCurrentThread());
  }
}

#define STOPPING(result, name, parameters, arguments)                                              \
  static result(WINAPI *real_##name) parameters; /* NOLINT(bugprone-macro-parentheses): a type */  \
  static result WINAPI stopping_##name parameters {                                                \
    before_call();                                                                                 \
    return real_##name arguments;                                                                  \
  }

STOPPING(BOOL, CloseHandle, (HANDLE object), (object))
STOPPING(HANDLE, CreateFileMappingW,
         (HANDLE file, LPSECURITY_ATTRIBUTES security, DWORD protection, DWORD high, DWORD low,
          LPCWSTR name),
         (file, security, protection, high, low, name))
STOPPING(LPVOID, MapViewOfFile, (HANDLE section, DWORD access, DWORD high, DWORD low, SIZE_T size),
         (section, access, high, low, size))
STOPPING(LPVOID, MapViewOfFileEx,
         (HANDLE section, DWORD access, DWORD high, DWORD low, SIZE_T size, LPVOID address),
         (section, access, high, low, size, address))
STOPPING(HANDLE, OpenFileMappingW, (DWORD access, BOOL inherit, LPCWSTR name),
         (access, inherit, name))
STOPPING(BOOL, SetHandleInformation, (HANDLE object, DWORD mask, DWORD flags),
         (object, mask, flags))
STOPPING(BOOL, UnmapViewOfFile, (LPCVOID address), (address))
STOPPING(LPVOID, VirtualAlloc, (LPVOID address, SIZE_T size, DWORD kind, DWORD protection),
         (address, size, kind, protection))
STOPPING(BOOL, VirtualFree, (LPVOID address, SIZE_T size, DWORD kind), (address, size, kind))
STOPPING(SIZE_T, VirtualQuery, (LPCVOID address, PMEMORY_BASIC_INFORMATION region, SIZE_T size),
         (address, region, size))

/* The clock of the library: it advances while the library sleeps, and a microsecond each time it is
 * read. So durations are those of an idle machine. */
static _Atomic int64_t microseconds;
static int64_t ticks_of_second;

static BOOL WINAPI look_at_clock(LARGE_INTEGER *count) {
  before_call();
  count->QuadPart = (atomic_fetch_add(&microseconds, 1) + 1) * (ticks_of_second / 1000000);
  return TRUE;
}

static VOID WINAPI sleep_by_the_clock(DWORD milliseconds) {
  (void)atomic_fetch_add(&microseconds, (int64_t)milliseconds * 1000);
  (void)SwitchToThread();
}

static void replace_all(void) {
  LARGE_INTEGER frequency;
  CHECK(QueryPerformanceFrequency(&frequency));
  ticks_of_second = frequency.QuadPart;
  BOOL(WINAPI * real_QueryPerformanceCounter)(LARGE_INTEGER *);
  VOID(WINAPI * real_Sleep)(DWORD);
  IMPORT_REPLACE(real_QueryPerformanceCounter, QueryPerformanceCounter, look_at_clock);
  IMPORT_REPLACE(real_Sleep, Sleep, sleep_by_the_clock);
  (void)real_QueryPerformanceCounter, (void)real_Sleep;
  IMPORT_REPLACE(real_CloseHandle, CloseHandle, stopping_CloseHandle);
  IMPORT_REPLACE(real_CreateFileMappingW, CreateFileMappingW, stopping_CreateFileMappingW);
  IMPORT_REPLACE(real_MapViewOfFile, MapViewOfFile, stopping_MapViewOfFile);
  IMPORT_REPLACE(real_MapViewOfFileEx, MapViewOfFileEx, stopping_MapViewOfFileEx);
  IMPORT_REPLACE(real_OpenFileMappingW, OpenFileMappingW, stopping_OpenFileMappingW);
  IMPORT_REPLACE(real_SetHandleInformation, SetHandleInformation, stopping_SetHandleInformation);
  IMPORT_REPLACE(real_UnmapViewOfFile, UnmapViewOfFile, stopping_UnmapViewOfFile);
  IMPORT_REPLACE(real_VirtualAlloc, VirtualAlloc, stopping_VirtualAlloc);
  IMPORT_REPLACE(real_VirtualFree, VirtualFree, stopping_VirtualFree);
  IMPORT_REPLACE(real_VirtualQuery, VirtualQuery, stopping_VirtualQuery);
}

static nearbuf_totals totals(void) {
  nearbuf_totals all;
  CHECK_OK(nearbuf_get_totals(&all));
  return all;
}

static nearbuf_memory placed_by_the_stopped;

static void place_and_stop(void *context) {
  (void)context;
  atomic_store(&stopped_thread, GetCurrentThreadId());
  placed_by_the_stopped = place(200000);
  atomic_store(&stopped_thread, 0);
}

enum { NOT_REACHED = 3, MOST_MICROSECONDS = 500000 + 3 * 50000 };

/* A copy of the library in a DLL, whose thread is not the suspended one, sees the same. */
static void check_one_locator(void) {
  HMODULE other = LoadLibraryA("plugin_one.dll");
  CHECK(other != NULL);
  const nearbuf_totals *seen = (const void *)(uintptr_t)GetProcAddress(other, "totals_when_loaded");
  CHECK(seen != NULL);
  CHECK_EQUAL(totals().first_locator, seen->first_locator);
  CHECK_EQUAL(1, totals().locators);
}

static int stop_once(void) {
  char role[64];
  CHECK(GetEnvironmentVariableA("NEARBUF_TEST_ROLE", role, sizeof role) > 0);
  stop_at = atoi(role);
  replace_all();
  test_thread stopped = test_thread_start(place_and_stop, NULL);
  HANDLE thread = stopped;
  while (!atomic_load(&is_stopped)) {
    if (WaitForSingleObject(thread, 1) == WAIT_OBJECT_0) {
      return NOT_REACHED;
    }
  }
  int64_t start = atomic_load(&microseconds);
  nearbuf_memory placed = place(64);
  int64_t first = atomic_load(&microseconds);
  (void)place(300000);
  int64_t second = atomic_load(&microseconds);
  if (first - start > MOST_MICROSECONDS || second - first > MOST_MICROSECONDS) {
    test_fail(__FILE__, __LINE__, "a call took %ld ms, then %ld ms", (long)(first - start) / 1000,
              (long)(second - first) / 1000);
  }
  while (ResumeThread(thread) == 0) { /* it says that it is stopped before it is */
    (void)SwitchToThread();
  }
  test_thread_join(stopped);
  nearbuf_info info;
  CHECK_OK(nearbuf_find(placed_by_the_stopped.run_at, &info));
  CHECK_OK(nearbuf_find(placed.run_at, &info));
  check_one_locator();
  return 0;
}

TEST(a_thread_that_is_stopped_anywhere_in_the_first_call_holds_another_one_up_for_the_bound_only) {
  if (GetEnvironmentVariableA("NEARBUF_TEST_ROLE", NULL, 0) != 0) {
    exit(stop_once());
  }
  int places = 0;
  for (int status = 0; status != NOT_REACHED; places++) {
    char role[16];
    (void)snprintf(role, sizeof role, "%d", places + 1);
    status = child_status(child_start("a_thread_that_is_stopped_anywhere_in_the_first_call_holds_"
                                      "another_one_up_for_the_bound_only",
                                      role));
    if (status != 0 && status != NOT_REACHED) {
      test_fail(__FILE__, __LINE__, "stopped before call %s: status %d", role, status);
    }
  }
  printf("stopped at %d places\n", places - 1);
  CHECK(places > 10);
}
