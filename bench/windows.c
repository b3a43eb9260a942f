/* What the library does on Windows, beside the bare calls of the system. Prints one JSON object.
 *
 *   windows [ROUNDS]   11 by default
 *
 * Each round of each work is a process of its own, which this program starts: memory that is handed
 * out is permanent. "system" lets the system search for addresses (VirtualAlloc2), "map" has the
 * library search, as where the system cannot. Times are nanoseconds, medians of the clean rounds
 * (docs/performance.md says which are clean), and the least of all; "queries" counts VirtualQuery,
 * "calls" also VirtualAlloc, VirtualAlloc2 and VirtualFree.
 *
 * The program imports these functions from the system; here they are replaced by functions that
 * count (tests/windows/imports.h), so the library is what is shipped. */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <windows.h>

#include <nearbuf/nearbuf.h>

#include "additions.h"
#include "imports.h"
#include "os/windows/search.h"
#include "test.h"

enum { STUBS = 10000, STUB_SIZE = 64, GRANULE = 65536, MOST_ROUNDS = 1000, REPEATS = 9 };

/* What a process measures; its parent shares the memory. */
typedef struct report {
  double ns;       /* of the work */
  double bare_ns;  /* of the bare calls */
  double again_ns; /* of the same work once more */
  unsigned queries;
  unsigned calls;
  double loop_ns; /* the slower of the loops around the work */
  bool is_done;
} report;

/* Of imports.h, too. */
void test_fail(const char *file, int line, const char *format, ...) {
  va_list values;
  va_start(values, format);
  fprintf(stderr, "%s:%d: ", file, line);
  vfprintf(stderr, format, values);
  fputc('\n', stderr);
  va_end(values);
  exit(1);
}

/* ---- Clock and calls ------------------------------------------------------------------------- */

static double now_ns(void) {
  LARGE_INTEGER count;
  LARGE_INTEGER frequency;
  (void)QueryPerformanceCounter(&count);
  (void)QueryPerformanceFrequency(&frequency);
  return (double)count.QuadPart * 1e9 / (double)frequency.QuadPart;
}

static double calibrate(void) {
  enum { ADDITIONS = 200000 };
  double start = now_ns();
  bench_add(ADDITIONS);
  return now_ns() - start;
}

static unsigned queries;
static unsigned calls;
static SIZE_T(WINAPI *real_query)(LPCVOID, PMEMORY_BASIC_INFORMATION, SIZE_T);
static LPVOID(WINAPI *real_allocate)(LPVOID, SIZE_T, DWORD, DWORD);
static BOOL(WINAPI *real_free)(LPVOID, SIZE_T, DWORD);
static nbuf_virtual_alloc2 real_allocate2;

static SIZE_T WINAPI count_query(LPCVOID address, PMEMORY_BASIC_INFORMATION region, SIZE_T size) {
  queries++;
  calls++;
  return real_query(address, region, size);
}

static LPVOID WINAPI count_allocate(LPVOID address, SIZE_T size, DWORD kind, DWORD protection) {
  calls++;
  return real_allocate(address, size, kind, protection);
}

static BOOL WINAPI count_free(LPVOID address, SIZE_T size, DWORD kind) {
  calls++;
  return real_free(address, size, kind);
}

static PVOID WINAPI count_allocate2(HANDLE process, PVOID address, SIZE_T size, ULONG kind,
                                    ULONG protection, MEM_EXTENDED_PARAMETER *parameters,
                                    ULONG parameter_count) {
  calls++;
  return real_allocate2(process, address, size, kind, protection, parameters, parameter_count);
}

static void count_calls(bool lets_system_search) {
  IMPORT_REPLACE(real_query, VirtualQuery, count_query);
  IMPORT_REPLACE(real_allocate, VirtualAlloc, count_allocate);
  IMPORT_REPLACE(real_free, VirtualFree, count_free);
  real_allocate2 = atomic_load(&nbuf_windows_virtual_alloc2);
  bool is_there = lets_system_search && real_allocate2 != NULL;
  atomic_store(&nbuf_windows_virtual_alloc2, is_there ? count_allocate2 : NULL);
}

static void start_counting(void) {
  queries = 0;
  calls = 0;
}

static void note_counts(report *result) {
  result->queries = queries;
  result->calls = calls;
}

/* ---- Layouts --------------------------------------------------------------------------------- */

int main(int argc, char **argv);
static const uintptr_t own_code = (uintptr_t)main;

static bool reserve(uintptr_t start, uintptr_t size) {
  return real_allocate((void *)start, size, MEM_RESERVE, PAGE_NOACCESS) != NULL;
}

/* Reserves free addresses by one reservation, or by one for each granule. In 32 bits Wine reports
 * as reserved what it did not set aside at its start, and grants it. */
static void fill_gap(uintptr_t start, uintptr_t end, bool is_free, bool is_by_granules) {
  if (!is_by_granules && reserve(start, end - start)) {
    return;
  }
  CHECK(is_by_granules || !is_free);
  for (; start < end; start += GRANULE) {
    CHECK(reserve(start, GRANULE) || !is_free);
  }
}

/* Fills all gaps between two addresses. */
static void fill(uintptr_t first, uintptr_t last, bool is_by_granules) {
  MEMORY_BASIC_INFORMATION region;
  for (uintptr_t at = first; at < last; at = (uintptr_t)region.BaseAddress + region.RegionSize) {
    if (real_query((const void *)at, &region, sizeof region) == 0) {
      return;
    }
    uintptr_t rest = (uintptr_t)region.BaseAddress + (region.RegionSize - 1);
    uintptr_t start = (at + (GRANULE - 1)) & ~(uintptr_t)(GRANULE - 1);
    uintptr_t end = ((rest < last ? rest : last) + 1) & ~(uintptr_t)(GRANULE - 1);
    bool is_free = region.State == MEM_FREE;
    if (start < end && (is_free || (region.State == MEM_RESERVE && sizeof(uintptr_t) == 4))) {
      fill_gap(start, end, is_free, is_by_granules);
    }
  }
}

static uintptr_t around_code(intptr_t distance) {
  SYSTEM_INFO info;
  GetSystemInfo(&info);
  uintptr_t least = (uintptr_t)info.lpMinimumApplicationAddress;
  uintptr_t most = (uintptr_t)info.lpMaximumApplicationAddress;
  uintptr_t away = (uintptr_t)(distance < 0 ? -distance : distance);
  if (distance < 0) {
    return own_code - least < away ? least : own_code - away;
  }
  return most - own_code < away ? most : own_code + away;
}

static void fill_around_code(intptr_t distance, bool is_by_granules) {
  fill(around_code(-distance), around_code(distance), is_by_granules);
}

/* ---- Work ------------------------------------------------------------------------------------ */

static unsigned char stubs[STUBS][STUB_SIZE];

static nearbuf_request request_near_code(size_t size) {
  nearbuf_request request;
  CHECK_OK(nearbuf_request_near((const void *)own_code, size, &request));
  return request;
}

/* Where the stub lies; null: the request was refused. */
static const void *place(const nearbuf_request *request, const unsigned char *stub) {
  nearbuf_memory placed;
  return nearbuf_place(request, stub, &placed) == NEARBUF_OK ? placed.run_at : NULL;
}

static void check_placed(const void *placed, const unsigned char *stub) {
  CHECK(placed != NULL && memcmp(placed, stub, STUB_SIZE) == 0);
  uintptr_t at = (uintptr_t)placed;
  CHECK((at > own_code ? at - own_code : own_code - at) < UINT32_C(0x80000000));
}

/* The first piece of the process. */
static void measure_piece(report *result) {
  nearbuf_request request = request_near_code(STUB_SIZE);
  start_counting();
  double start = now_ns();
  const void *placed = place(&request, stubs[0]);
  result->ns = now_ns() - start;
  note_counts(result);
  check_placed(placed, stubs[0]);
}

/* One region at a place of the system's choice. */
static double bare_region(void) {
  double start = now_ns();
  void *region = real_allocate(NULL, GRANULE, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);
  double end = now_ns();
  CHECK(region != NULL);
  return end - start;
}

/* A named section, a view of it, and two pieces of memory: what a first call leaves behind. */
static void measure_first_call(report *result) {
  measure_piece(result);
  double start = now_ns();
  HANDLE section =
      CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_EXECUTE_READWRITE, 0, GRANULE, L"bench");
  DWORD rights = FILE_MAP_READ | FILE_MAP_WRITE | FILE_MAP_EXECUTE;
  void *view = section == NULL ? NULL : MapViewOfFile(section, rights, 0, 0, 0);
  void *anchor = real_allocate(NULL, 8192, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  double end = now_ns();
  CHECK(view != NULL && anchor != NULL);
  result->bare_ns = end - start + bare_region();
}

static double ask_for_a_granule(const nearbuf_request *request, nearbuf_status expected) {
  nearbuf_buffer buffer;
  double start = now_ns();
  nearbuf_status status = nearbuf_get(request, &buffer);
  double end = now_ns();
  CHECK_STATUS(expected, status);
  return end - start;
}

/* A first call, for which the one that is measured is no longer the first one. Its buffer has less
 * room than a granule. */
static void call_before(void) {
  nearbuf_request small = NEARBUF_REQUEST_INIT;
  small.size_bytes = STUB_SIZE;
  CHECK(place(&small, stubs[0]) != NULL);
}

static void measure_granule(report *result, const nearbuf_request *request,
                            nearbuf_status expected) {
  start_counting();
  result->ns = ask_for_a_granule(request, expected);
  note_counts(result);
}

static void measure_piece_beside(report *result, bool is_by_granules) {
  call_before();
  fill_around_code((intptr_t)500 << 20, is_by_granules);
  nearbuf_request request = request_near_code(GRANULE);
  measure_granule(result, &request, NEARBUF_OK);
  result->bare_ns = bare_region();
}

/* The bare call tries one address that is taken. */
static void measure_full(report *result, bool is_by_granules) {
  call_before();
  fill_around_code(INTPTR_MAX >> (sizeof(intptr_t) == 8 ? 31 : 0), is_by_granules);
  nearbuf_request request = request_near_code(GRANULE);
  measure_granule(result, &request, NEARBUF_NO_ROOM);
  for (int i = 0; i < REPEATS; i++) {
    result->again_ns += ask_for_a_granule(&request, NEARBUF_NO_ROOM) / REPEATS;
  }
  double start = now_ns();
  void *got = real_allocate((void *)(own_code & ~(uintptr_t)(GRANULE - 1)), GRANULE, MEM_RESERVE,
                            PAGE_NOACCESS);
  result->bare_ns = now_ns() - start;
  CHECK(got == NULL);
}

static double bump(void) {
  unsigned char *room = NULL;
  size_t left = 0;
  double start = now_ns();
  for (size_t i = 0; i < STUBS; i++) {
    if (left < STUB_SIZE) {
      room = real_allocate(NULL, GRANULE, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);
      left = GRANULE;
      CHECK(room != NULL);
    }
    memcpy(room, stubs[i], STUB_SIZE);
    room += STUB_SIZE;
    left -= STUB_SIZE;
  }
  return (now_ns() - start) / STUBS;
}

/* Without the first one, since the first call is a work of its own. */
static void measure_places(report *result) {
  static const void *placed[STUBS];
  nearbuf_request request = request_near_code(STUB_SIZE);
  placed[0] = place(&request, stubs[0]);
  start_counting();
  double start = now_ns();
  for (size_t i = 1; i < STUBS; i++) {
    placed[i] = place(&request, stubs[i]);
  }
  result->ns = (now_ns() - start) / (STUBS - 1);
  note_counts(result);
  for (size_t i = 0; i < STUBS; i++) {
    check_placed(placed[i], stubs[i]);
  }
  result->bare_ns = bump();
}

static void beside_one(report *result) {
  measure_piece_beside(result, false);
}

static void beside_many(report *result) {
  measure_piece_beside(result, true);
}

static void full_of_one(report *result) {
  measure_full(result, false);
}

static void full_of_many(report *result) {
  measure_full(result, true);
}

typedef struct work {
  const char *name;
  void (*measure)(report *);
  bool lets_system_search;
} work;

static const work works[] = {
    {"first call, system", measure_first_call, true},
    {"first call, map", measure_first_call, false},
    {"10,000 x 64 bytes, system", measure_places, true},
    {"10,000 x 64 bytes, map", measure_places, false},
    {"500 MiB reserved at once on both sides, system", beside_one, true},
    {"500 MiB reserved at once on both sides, map", beside_one, false},
    {"500 MiB reserved by granules on both sides, system", beside_many, true},
    {"500 MiB reserved by granules on both sides, map", beside_many, false},
    {"no room, gaps reserved at once, system", full_of_one, true},
    {"no room, gaps reserved at once, map", full_of_one, false},
    {"no room, gaps reserved by granules, system", full_of_many, true},
    {"no room, gaps reserved by granules, map", full_of_many, false},
};

enum { WORKS = sizeof works / sizeof works[0] };

/* ---- Processes ------------------------------------------------------------------------------- */

static int measure(const work *one, HANDLE shared) {
  report *result = MapViewOfFile(shared, FILE_MAP_WRITE, 0, 0, 0);
  CHECK(result != NULL);
  for (size_t i = 0; i < STUBS; i++) {
    memset(stubs[i], (int)(i % 251), STUB_SIZE);
  }
  count_calls(one->lets_system_search);
  double before = calibrate();
  one->measure(result);
  double after = calibrate();
  result->loop_ns = before > after ? before : after;
  result->is_done = true;
  return 0;
}

static report run(int index, HANDLE shared, report *result) {
  char program[MAX_PATH];
  char command[MAX_PATH + 64];
  CHECK(GetModuleFileNameA(NULL, program, sizeof program) < sizeof program);
  (void)snprintf(command, sizeof command, "windows child %d %llu", index,
                 (unsigned long long)(uintptr_t)shared);
  *result = (report){.is_done = false};
  STARTUPINFOA startup = {.cb = sizeof startup};
  PROCESS_INFORMATION child;
  CHECK(CreateProcessA(program, command, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &child));
  CHECK(WaitForSingleObject(child.hProcess, INFINITE) == WAIT_OBJECT_0);
  CHECK(CloseHandle(child.hThread) && CloseHandle(child.hProcess));
  CHECK(result->is_done);
  return *result;
}

static int by_value(const void *a, const void *b) {
  double left = *(const double *)a;
  double right = *(const double *)b;
  return (left > right) - (left < right);
}

/* The median of one field, at an offset, of the clean rounds; all rounds count if none is. */
static double median(const report *reports, int rounds, double longest_loop, size_t offset) {
  static double values[MOST_ROUNDS];
  size_t count = 0;
  for (int i = 0; i < rounds; i++) {
    if (reports[i].loop_ns <= longest_loop) {
      memcpy(&values[count++], (const char *)&reports[i] + offset, sizeof values[0]);
    }
  }
  qsort(values, count, sizeof values[0], by_value);
  return values[count / 2];
}

static double least(const report *reports, int rounds) {
  double ns = reports[0].ns;
  for (int i = 1; i < rounds; i++) {
    ns = reports[i].ns < ns ? reports[i].ns : ns;
  }
  return ns;
}

static void print(const work *one, const report *reports, int rounds, double fastest_loop,
                  bool is_last) {
  int clean = 0;
  for (int i = 0; i < rounds; i++) {
    clean += reports[i].loop_ns <= fastest_loop * 1.04;
  }
  double longest = clean > 0 ? fastest_loop * 1.04 : 1e18;
  printf("  \"%s\": {\"ns\": %.1f, \"least_ns\": %.1f, \"bare_ns\": %.1f, \"again_ns\": %.1f, "
         "\"queries\": %u, "
         "\"calls\": %u, \"clean\": %d}%s\n",
         one->name, median(reports, rounds, longest, offsetof(report, ns)), least(reports, rounds),
         median(reports, rounds, longest, offsetof(report, bare_ns)),
         median(reports, rounds, longest, offsetof(report, again_ns)), reports[0].queries,
         reports[0].calls, clean, is_last ? "" : ",");
}

/* The works take turns. */
static int measure_all(int rounds) {
  static report reports[WORKS][MOST_ROUNDS];
  SECURITY_ATTRIBUTES inherited = {.nLength = sizeof inherited, .bInheritHandle = TRUE};
  HANDLE shared =
      CreateFileMappingW(INVALID_HANDLE_VALUE, &inherited, PAGE_READWRITE, 0, sizeof(report), NULL);
  report *result = shared == NULL ? NULL : MapViewOfFile(shared, FILE_MAP_WRITE, 0, 0, 0);
  CHECK(result != NULL);
  double fastest_loop = 1e18;
  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < WORKS; i++) {
      reports[i][round] = run(i, shared, result);
      double loop = reports[i][round].loop_ns;
      fastest_loop = loop < fastest_loop ? loop : fastest_loop;
    }
  }
  printf("{\n  \"bits\": %d,\n", (int)sizeof(uintptr_t) * 8);
  for (int i = 0; i < WORKS; i++) {
    print(&works[i], reports[i], rounds, fastest_loop, i == WORKS - 1);
  }
  printf("}\n");
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 4 && strcmp(argv[1], "child") == 0) {
    int index = (int)strtol(argv[2], NULL, 10);
    return measure(&works[index], (HANDLE)(uintptr_t)strtoull(argv[3], NULL, 10));
  }
  int rounds = argc == 2 ? (int)strtol(argv[1], NULL, 10) : 11;
  if (argc > 2 || rounds < 1 || rounds > MOST_ROUNDS) {
    fputs("usage: windows [ROUNDS]\n", stderr);
    return 2;
  }
  return measure_all(rounds);
}
