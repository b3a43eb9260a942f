/* What the test's program imports of the system, replaced: the library that is linked into it calls
 * the replacement, and is otherwise what is shipped. */
#ifndef NEARBUF_TEST_IMPORTS_H
#define NEARBUF_TEST_IMPORTS_H

#include <windows.h>

/* Puts a function in the place of an imported one and answers that. A name that the program does
 * not import fails the test. */
FARPROC import_replace(const char *name, FARPROC replacement);

/* import_replace with the types of the two functions. */
#define IMPORT_REPLACE(real, name, replacement)                                                    \
  do {                                                                                             \
    FARPROC import_was_ = import_replace(#name, (FARPROC)(void (*)(void))(replacement));           \
    memcpy(&(real), &import_was_, sizeof import_was_);                                             \
  } while (0)

#endif
