/* Each DLL exports the functions that tests/abi lists for its library, and nothing else. */
#include <string.h>

#include <windows.h>

#include "test.h"

static DWORD number_of_exports(HMODULE library) {
  const unsigned char *image = (const void *)library;
  const IMAGE_NT_HEADERS *headers =
      (const void *)(image + ((const IMAGE_DOS_HEADER *)(const void *)image)->e_lfanew);
  DWORD exports =
      headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_EXPORT].VirtualAddress;
  return ((const IMAGE_EXPORT_DIRECTORY *)(const void *)(image + exports))->NumberOfNames;
}

/* The names stand one after the other, each with its end. */
static void check_exports(const char *file, const char *names) {
  HMODULE library = LoadLibraryA(file);
  CHECK(library != NULL);
  DWORD listed = 0;
  for (const char *name = names; *name != '\0'; name += strlen(name) + 1) {
    if (GetProcAddress(library, name) == NULL) {
      test_fail(__FILE__, __LINE__, "%s does not export %s", file, name);
    }
    listed++;
  }
  CHECK_EQUAL(listed, number_of_exports(library));
}

TEST(the_library_exports_what_is_listed) {
  check_exports("libnearbuf.dll", NAMES_OF_NEARBUF);
}

TEST(the_library_for_other_processes_exports_what_is_listed) {
  check_exports("libnearbuf_process.dll", NAMES_OF_PROCESS);
}

TEST(the_drop_in_exports_what_is_listed) {
  check_exports("reloaded_memory_buffers.dll", NAMES_OF_RELOADED);
}
