#include "host.h"

#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include <nearbuf/nearbuf.h>

enum { PATH_SIZE = 1024, REASON_SIZE = 256 };

/* The text of the last error, valid until the next call. */
static const char *last_error(void) {
  static char text[REASON_SIZE];
  DWORD length = FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL,
                                GetLastError(), 0, text, (DWORD)sizeof text, NULL);
  while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r')) {
    length--;
  }
  text[length] = '\0';
  return text;
}

int64_t host_process(void) {
  return GetCurrentProcessId();
}

uintptr_t host_library_function(const char *name, char *module, size_t module_size) {
  HMODULE library = GetModuleHandleA("ucrtbase.dll");
  if (library == NULL || GetProcAddress(library, name) == NULL) {
    library = GetModuleHandleA("msvcrt.dll");
  }
  if (library == NULL || GetModuleFileNameA(library, module, (DWORD)module_size) == 0) {
    return 0;
  }
  return (uintptr_t)GetProcAddress(library, name);
}

bool host_write_code(uintptr_t address, const void *bytes, size_t size_bytes, const char **reason) {
  void *code = (void *)address;
  DWORD before;
  DWORD ignored;
  if (VirtualProtect(code, size_bytes, PAGE_EXECUTE_READWRITE, &before) == 0) {
    *reason = last_error();
    return false;
  }
  memcpy(code, bytes, size_bytes);
  nearbuf_sync_code(code, size_bytes);
  if (VirtualProtect(code, size_bytes, before, &ignored) == 0) {
    *reason = last_error();
    return false;
  }
  return true;
}

bool host_is_mapped(const void *address) {
  MEMORY_BASIC_INFORMATION info;
  return VirtualQuery(address, &info, sizeof info) != 0 && info.State == MEM_COMMIT;
}

void *host_load(const char *relative_path, const char **reason) {
  char path[PATH_SIZE];
  DWORD length = GetModuleFileNameA(NULL, path, (DWORD)sizeof path);
  char *end = length == 0 || length == sizeof path ? NULL : strrchr(path, '\\');
  size_t room = end == NULL ? 0 : sizeof path - (size_t)(end + 1 - path);
  if (end == NULL || (size_t)snprintf(end + 1, room, "%s", relative_path) >= room) {
    *reason = "the path of this program is not known";
    return NULL;
  }
  HMODULE module = LoadLibraryA(path);
  if (module == NULL) {
    *reason = last_error();
  }
  return module;
}

void host_unload(void *module) {
  (void)FreeLibrary(module);
}

uintptr_t host_symbol(void *module, const char *name) {
  return (uintptr_t)GetProcAddress(module, name);
}

bool host_lies_in_module(uintptr_t address) {
  HMODULE module;
  return GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
                                GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                            (LPCSTR)address, &module) != 0;
}

const char *host_file_name(const char *path) {
  const char *slash = strrchr(path, '\\');
  return slash == NULL ? path : slash + 1;
}

bool host_names_are_equal(const char *one, const char *other, size_t length) {
  return _strnicmp(one, other, length) == 0;
}

const char *host_error_text(int32_t code) {
  SetLastError((DWORD)code);
  return last_error();
}

bool host_user_name(uint64_t user, char *name, size_t name_size) {
  (void)user; /* users do not have numbers here */
  (void)name;
  (void)name_size;
  return false;
}

const char *host_denied_hint(void) {
  return "Run as an administrator; processes that the system protects stay closed.";
}

bool host_has_colours(void) {
  const char *refusal = getenv("NO_COLOR");
  DWORD mode;
  HANDLE output = GetStdHandle(STD_OUTPUT_HANDLE);
  return _isatty(_fileno(stdout)) != 0 && (refusal == NULL || refusal[0] == '\0') &&
         GetConsoleMode(output, &mode) != 0 && (mode & ENABLE_VIRTUAL_TERMINAL_PROCESSING) != 0;
}

void host_expect_loss(void) {
  /* A mapped section cannot be truncated. */
}

void host_input_of_bytes(void) {
  (void)_setmode(_fileno(stdin), _O_BINARY);
}

void host_sleep(uint32_t milliseconds) {
  Sleep(milliseconds);
}
