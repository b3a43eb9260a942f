/* Modules that a program loads and unloads. */
#ifndef NEARBUF_TEST_MODULES_H
#define NEARBUF_TEST_MODULES_H

#include <dlfcn.h>

#include "test.h"

/* Skips the rest of the test if a closed module stays loaded, as with musl all do. */
static inline void need_unloaded(const char *file) {
  if (dlopen(file, RTLD_NOW | RTLD_NOLOAD) != NULL) {
    test_skip("the C library unloads nothing");
  }
}

#endif
