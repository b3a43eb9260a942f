/* The inspector on Windows: what it does to a program that was not prepared for it, and what it
 * shows. */
#include <string.h>

#include <windows.h>

#include "remote_windows.h"
#include "test.h"

typedef struct run_result {
  int status;
  char output[65536]; /* and errors */
} run_result;

/* Runs `nearbuf <arguments>` with a text as its input. */
static const run_result *run(const char *arguments, const char *input) {
  static run_result result;
  char command[1024];
  (void)snprintf(command, sizeof command, "\"%s\" %s", NEARBUF_TOOL, arguments);
  target tool = windows_start(command);
  CHECK(fputs(input, tool.input) >= 0);
  CHECK(fclose(tool.input) == 0);
  size_t size = fread(result.output, 1, sizeof result.output - 1, tool.output);
  result.output[size] = '\0';
  tool.input = NULL;
  result.status = target_wait(&tool);
  return &result;
}

/* The same for a process. */
static const run_result *run_on(const target *what, const char *command, const char *rest,
                                const char *input) {
  char arguments[512];
  (void)snprintf(arguments, sizeof arguments, "%s %d %s", command, (int)what->id, rest);
  return run(arguments, input);
}

static void check(const run_result *result, int status, const char *text) {
  if (result->status != status || strstr(result->output, text) == NULL) {
    test_fail(__FILE__, __LINE__, "status %d, without \"%s\":\n%s", result->status, text,
              result->output);
  }
}

TEST(what_is_put_into_a_process_is_shown) {
  target idle = target_start_idle();
  char place[64];
  check(run_on(&idle, "show", "", ""), 4, "has no buffers");
  const run_result *put_there = run_on(&idle, "put", "--near kernel32.dll -", "hello");
  check(put_there, 0, "0x");
  (void)snprintf(place, sizeof place, "0x%llx", strtoull(put_there->output, NULL, 0));
  check(run_on(&idle, "show", "", ""), 0, "nearbuf_remote_target.exe");
  check(run_on(&idle, "show", "", ""), 0, "1 buffer of 64 KiB, 5 bytes used");
  check(run_on(&idle, "show", "", ""), 0, place);
  check(run_on(&idle, "show", "--json", ""), 0, "\"used_bytes\": 5,");
  check(run_on(&idle, "map", "", ""), 0, "1 buffer, 5 bytes used, 0 held");
  check(run_on(&idle, "map", "", ""), 0, "ntdll.dll");
  check(run_on(&idle, "watch", "--count 1", ""), 0, "1 buffer of 64 KiB, 5 bytes used");
  check(run("list", ""), 0, "nearbuf_remote_");
  (void)strcat(place, " 5"); /* NOLINT(clang-analyzer-security.insecureAPI.strcpy): it fits */
  check(run_on(&idle, "dump", place, ""), 0, "|hello|");
  CHECK_EQUAL(0, target_end(&idle));
}

/* Whether the map of a process has a row of that kind with the address. */
static bool is_on_the_map(const target *what, uint64_t address, const char *kind) {
  char start[64];
  (void)snprintf(start, sizeof start, "\"kind\": \"%s\",", kind);
  const char *row = run_on(what, "map", "--json", "")->output;
  bool is_there = false;
  for (row = strstr(row, start); row != NULL && !is_there; row = strstr(row + 1, start)) {
    const char *min = strstr(row, "\"min\": \"");
    const char *max = strstr(row, "\"max\": \"");
    CHECK(min != NULL && max != NULL);
    is_there = strtoull(min + 8, NULL, 0) <= address && address <= strtoull(max + 8, NULL, 0);
  }
  return is_there;
}

static void heap_and_stacks_are_shown(const char *program) {
  target user = target_start(program, NULL, NULL);
  CHECK(is_on_the_map(&user, ask_address(&user, "heap\n"), "heap"));
  CHECK(is_on_the_map(&user, ask_address(&user, "stack\n"), "stack"));
  CHECK(is_on_the_map(&user, ask_address(&user, "thread\n"), "stack"));
  CHECK_EQUAL(0, target_end(&user));
}

TEST(heaps_and_stacks_of_threads_are_on_the_map) {
  heap_and_stacks_are_shown(REMOTE_USER);
#if defined(REMOTE_USER_OTHER) && UINTPTR_MAX > UINT32_MAX
  heap_and_stacks_are_shown(REMOTE_USER_OTHER); /* of 32 bits */
#endif
}

TEST(a_32_bit_program_says_that_it_cannot_change_a_64_bit_process) {
#if defined(REMOTE_USER_OTHER) && UINTPTR_MAX == UINT32_MAX
  target large = target_start(REMOTE_USER_OTHER, NULL, NULL);
  const char *reason = "It is a 64-bit process, and this is a 32-bit program";
  check(run_on(&large, "alloc", "--range 0x30000000 0x7fffffff 5000", ""), 1, reason);
  check(run_on(&large, "put", "--range 0x30000000 0x7fffffff -", "hello"), 1, reason);
  check(run_on(&large, "free", "0x30000000 65536", ""), 1, reason);
  CHECK_EQUAL(0, target_end(&large));
#else
  test_skip("this program has 64 bits, or there is no compiler for them");
#endif
}

TEST(memory_is_taken_and_given_back) {
  target idle = target_start_idle();
  const run_result *taken = run_on(&idle, "alloc", "--range 0x30000000 0x7fffffff 5000", "");
  check(taken, 0, " 65536\n");
  char place[64];
  (void)snprintf(place, sizeof place, "0x%llx 65536", strtoull(taken->output, NULL, 0));
  check(run_on(&idle, "free", place, ""), 0, "");
  check(run_on(&idle, "free", place, ""), 4, "has no memory there that alloc allocated");
  CHECK_EQUAL(0, target_end(&idle));
}

TEST(symbols_of_modules_are_found_in_any_case_of_the_modules_name) {
  target idle = target_start_idle();
  check(run_on(&idle, "dump", "KERNEL32.DLL 2", ""), 0, "|MZ|");
  check(run_on(&idle, "dump", "kernel32.dll 2", ""), 0, "|MZ|");
  check(run_on(&idle, "dump", "VirtualProtect 1", ""), 0, "0x");
  check(run_on(&idle, "dump", "NoSuchFunctionAnywhere 1", ""), 4, "no such module");
  /* kernel32.dll forwards it to a function of ntdll.dll. */
  char place[32];
  HMODULE system = GetModuleHandleA("ntdll.dll");
  (void)snprintf(place, sizeof place, "0x%012llx ",
                 (unsigned long long)(uintptr_t)GetProcAddress(system, "RtlAllocateHeap"));
  check(run_on(&idle, "dump", "HeapAlloc 1", ""), 0, place);
  CHECK_EQUAL(0, target_end(&idle));
}

TEST(what_cannot_be_is_said_with_its_exit_status) {
  target idle = target_start_idle();
  check(run("show 3", ""), 4, "there is no process 3");
  check(run("show", ""), 2, "usage: nearbuf show");
  check(run_on(&idle, "dump", "0x1000", ""), 4, "has nothing at 0x1000");
  check(run("clean", ""), 0, "0 removed, 0 kept");
  check(run("self-test", ""), 0, "the locator can be found");
  CHECK_EQUAL(0, target_end(&idle));
}
