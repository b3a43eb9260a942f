/* Each DLL exports the functions that tests/abi lists for its library, and nothing else; and has a
 * version resource. */
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
  check_exports("nearbuf.dll", NAMES_OF_NEARBUF);
}

TEST(the_library_for_other_processes_exports_what_is_listed) {
  check_exports("nearbuf_process.dll", NAMES_OF_PROCESS);
}

TEST(the_drop_in_exports_what_is_listed) {
  check_exports("reloaded_memory_buffers.dll", NAMES_OF_RELOADED);
}

/* What a version resource contains before its texts: lengths, its name, and the numbers. */
typedef struct version_resource {
  WORD lengths_and_type[3];
  WCHAR key[16];
  WORD padding;
  VS_FIXEDFILEINFO numbers;
} version_resource;

TEST(each_dll_tells_its_version) {
  const char *const files[] = {"nearbuf.dll", "nearbuf_process.dll", "reloaded_memory_buffers.dll"};
  for (int i = 0; i < 3; i++) {
    HMODULE library = LoadLibraryA(files[i]);
    CHECK(library != NULL);
    HRSRC found = FindResourceA(library, MAKEINTRESOURCEA(VS_VERSION_INFO), MAKEINTRESOURCEA(16));
    CHECK(found != NULL);
    CHECK(SizeofResource(library, found) > sizeof(version_resource));
    const version_resource *version = LockResource(LoadResource(library, found));
    CHECK_EQUAL(0xfeef04bd, version->numbers.dwSignature);
    CHECK_EQUAL(NEARBUF_VERSION_MAJOR << 16 | NEARBUF_VERSION_MINOR,
                version->numbers.dwFileVersionMS);
    CHECK_EQUAL(NEARBUF_VERSION_PATCH << 16, version->numbers.dwFileVersionLS);
  }
}
