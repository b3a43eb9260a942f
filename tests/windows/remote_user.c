/* A program that uses the library as the lines that it reads say, and prints a line for each:
 *
 *   place SIZE     the address of so many bytes
 *   hold MIN MAX   the address of a buffer in the range that it holds from then on, or a status
 *   release        "ok"
 *   first          the address of its first locator
 *   heap           an address in the heap of the process
 *   stack          one on the stack of its first thread
 *   thread         one on the stack of another thread, which stays
 *   nameless       the address of a locator that it makes in a section without a name
 *   end            "0", and ends */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <windows.h>

#include <nearbuf/nearbuf.h>

#include "base/format.h"

enum { GRANULE = 65536 };

static nearbuf_buffer held;

static void say_address(uint64_t address) {
  printf("0x%llx\n", (unsigned long long)address);
}

static void place(const char *arguments) {
  static const unsigned char bytes[4096];
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  nearbuf_memory placed = {0};
  request.size_bytes = (size_t)strtoul(arguments, NULL, 10);
  (void)nearbuf_place(&request, bytes, &placed);
  say_address((uintptr_t)placed.run_at);
}

static void hold(const char *arguments) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  char *end;
  request.size_bytes = 16;
  request.range.min = (uintptr_t)strtoull(arguments, &end, 0);
  request.range.max = (uintptr_t)strtoull(end, NULL, 0);
  nearbuf_status status = nearbuf_get(&request, &held);
  if (status == NEARBUF_OK) {
    say_address(nearbuf_buffer_address(&held));
  } else {
    printf("%s\n", nearbuf_status_name(status));
  }
}

static void make_nameless(void) {
  HANDLE section =
      CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_EXECUTE_READWRITE, 0, GRANULE, NULL);
  uintptr_t base =
      (uintptr_t)MapViewOfFile(section, FILE_MAP_ALL_ACCESS | FILE_MAP_EXECUTE, 0, 0, 0);
  nbuf_item item = {.base = base + NBUF_LOCATOR_SIZE, .size = GRANULE - NBUF_LOCATOR_SIZE};
  nbuf_format_build(base, nbuf_native_layout(NEARBUF_DIALECT_WRITTEN), base, &item, 1);
  say_address(base);
}

static _Atomic uintptr_t on_stack_of_thread;

static DWORD WINAPI stay(void *context) {
  on_stack_of_thread = (uintptr_t)&context;
  Sleep(INFINITE);
  return 0;
}

static void start_thread(void) {
  HANDLE thread = CreateThread(NULL, 0, stay, NULL, 0, NULL);
  while (thread != NULL && on_stack_of_thread == 0) {
    Sleep(1);
  }
  say_address(on_stack_of_thread);
}

/* Processes a line; false: it was the last one. */
static int answer(const char *line) {
  nearbuf_totals totals;
  if (strncmp(line, "place ", 6) == 0) {
    place(line + 6);
  } else if (strncmp(line, "hold ", 5) == 0) {
    hold(line + 5);
  } else if (strncmp(line, "release", 7) == 0) {
    printf("%s\n", nearbuf_status_name(nearbuf_release(&held)));
  } else if (strncmp(line, "first", 5) == 0) {
    (void)nearbuf_get_totals(&totals);
    say_address(totals.first_locator);
  } else if (strncmp(line, "heap", 4) == 0) {
    say_address((uintptr_t)HeapAlloc(GetProcessHeap(), 0, 16));
  } else if (strncmp(line, "stack", 5) == 0) {
    say_address((uintptr_t)&totals);
  } else if (strncmp(line, "thread", 6) == 0) {
    start_thread();
  } else if (strncmp(line, "nameless", 8) == 0) {
    make_nameless();
  } else {
    printf("0\n");
    return 0;
  }
  fflush(stdout);
  return 1;
}

int main(void) {
  char line[128];
  printf("ready\n");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL && answer(line)) {
  }
  return 0;
}
