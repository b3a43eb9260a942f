/* Modules that a program loads and gives back. */
#ifndef NEARBUF_TEST_MODULES_H
#define NEARBUF_TEST_MODULES_H

#include <dlfcn.h>

#include "test.h"

/* Skips the rest of the test where a module that was given back stays loaded: with musl all do. */
static inline void need_unloaded(const char *file) {
  if (dlopen(file, RTLD_NOW | RTLD_NOLOAD) != NULL) {
    test_skip("the C library unloads nothing");
  }
}

#endif
