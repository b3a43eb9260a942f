/* Replaces functions that the test program imports from the system: the library that is linked into
 * it calls the replacement, and is otherwise what is shipped. */
#ifndef NEARBUF_TEST_IMPORTS_H
#define NEARBUF_TEST_IMPORTS_H

#include <windows.h>

/* Replaces an imported function and returns the original. A name that the program does not import
 * fails the test. */
FARPROC import_replace(const char *name, FARPROC replacement);

/* import_replace with the types of the two functions. */
#define IMPORT_REPLACE(real, name, replacement)                                                    \
  do {                                                                                             \
    FARPROC import_was_ = import_replace(#name, (FARPROC)(void (*)(void))(replacement));           \
    memcpy(&(real), &import_was_, sizeof import_was_);                                             \
  } while (0)

#endif
