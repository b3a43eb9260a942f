/* Replaces functions that the test program imports from the system; see imports.h. */
#include "imports.h"

#include <string.h>

#include "test.h"

/* The table of the functions imported from one DLL, or null if that one has no such name. */
static FARPROC *find_in(unsigned char *image, const IMAGE_IMPORT_DESCRIPTOR *dll,
                        const char *name) {
  const IMAGE_THUNK_DATA *names = (const void *)(image + dll->OriginalFirstThunk);
  IMAGE_THUNK_DATA *functions = (void *)(image + dll->FirstThunk);
  for (size_t i = 0; names[i].u1.AddressOfData != 0; i++) {
    const IMAGE_IMPORT_BY_NAME *import = (const void *)(image + names[i].u1.AddressOfData);
    if (!IMAGE_SNAP_BY_ORDINAL(names[i].u1.Ordinal) && strcmp(import->Name, name) == 0) {
      return (FARPROC *)(void *)&functions[i].u1.Function;
    }
  }
  return NULL;
}

static FARPROC *find(HMODULE module, const char *name) {
  unsigned char *image = (unsigned char *)(void *)module;
  const IMAGE_NT_HEADERS *headers =
      (const void *)(image + ((const IMAGE_DOS_HEADER *)(const void *)image)->e_lfanew);
  const IMAGE_DATA_DIRECTORY *imports =
      &headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT];
  const IMAGE_IMPORT_DESCRIPTOR *dll = (const void *)(image + imports->VirtualAddress);
  for (; dll->Name != 0; dll++) {
    FARPROC *function = find_in(image, dll, name);
    if (function != NULL) {
      return function;
    }
  }
  return NULL;
}

FARPROC import_replace_in(HMODULE module, const char *name, FARPROC replacement) {
  FARPROC *function = find(module, name);
  CHECK(function != NULL);
  DWORD previous;
  CHECK(VirtualProtect(function, sizeof *function, PAGE_READWRITE, &previous));
  FARPROC was = *function;
  *function = replacement;
  return was;
}
