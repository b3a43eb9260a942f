/* The C functions of the Rust implementation; see c_interface.h. */
#include "c_interface.h"

#include <string.h>
#include <unistd.h>

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>

#include "locator_names.h"
#include "own_tmp.h"
#endif

#include "test.h"

#if defined(_WIN32)

typedef HMODULE shared_library;
typedef FARPROC symbol_address;

static shared_library open_library(const char *path) {
  shared_library library = LoadLibraryA(path);
  if (library == NULL) {
    test_fail(__FILE__, __LINE__, "%s: error %lu", path, GetLastError());
  }
  return library;
}

static symbol_address find_symbol(shared_library library, const char *name) {
  return GetProcAddress(library, name);
}

/* A section ends with its last process. */
static void begin_without_locator(void) {
}

#else

typedef void *shared_library;
typedef void *symbol_address;

static shared_library open_library(const char *path) {
  shared_library library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    test_fail(__FILE__, __LINE__, "%s", dlerror());
  }
  return library;
}

static symbol_address find_symbol(shared_library library, const char *name) {
  return dlsym(library, name);
}

void reference_remove_dead_namesake(void) {
  char name[128];
  snprintf(name, sizeof name, LOCATOR_DIRECTORY "/" LOCATOR_PREFIX "%d", (int)getpid());
  (void)unlink(name);
}

static void begin_without_locator(void) {
  if (!use_own_tmp()) {
    reference_remove_dead_namesake();
  }
}

#endif

static void load(shared_library library, const char *name, void *function, size_t size) {
  symbol_address symbol = find_symbol(library, name);
  if (symbol == NULL) {
    test_fail(__FILE__, __LINE__, "%s is not exported", name);
  }
  memcpy(function, &symbol, size);
}

static c_interface load_all(const char *path) {
  shared_library library = open_library(path);
  c_interface loaded;
#define LOAD(field, name) load(library, #name, &loaded.field, sizeof loaded.field)
  LOAD(get_buffer, buffers_get_buffer);
  LOAD(get_buffer_aligned, buffers_get_buffer_aligned);
  LOAD(free_result, free_get_buffer_result);
  LOAD(is_taken, locatoritem_is_taken);
  LOAD(try_lock, locatoritem_try_lock);
  LOAD(unlock, locatoritem_unlock);
  LOAD(bytes_left, locatoritem_bytes_left);
  LOAD(append, locatoritem_append_bytes);
  LOAD(search_settings, buffersearchsettings_from_proximity);
  LOAD(allocator_settings, bufferallocatorsettings_from_proximity);
  LOAD(allocate, buffers_allocate_private_memory);
#undef LOAD
  return loaded;
}

c_interface reference_load(void) {
  begin_without_locator();
  if (access(REFERENCE_LIBRARY, R_OK) != 0) {
    test_skip("the Rust reference was not built: see the test interop_reference.is_built");
  }
  return load_all(REFERENCE_LIBRARY);
}

c_interface dropin_load(void) {
  return load_all(DROPIN_LIBRARY);
}

LocatorItem *c_interface_get(const c_interface *library, uintptr_t min, uintptr_t max,
                             uint32_t size) {
  BufferSearchSettings settings = {.min_address = min, .max_address = max, .size = size};
  GetBufferResult result = library->get_buffer(&settings);
  if (!result.is_ok) {
    test_fail(__FILE__, __LINE__, "no buffer of %u bytes: %s", (unsigned)size, result.err);
  }
  return result.ok;
}
