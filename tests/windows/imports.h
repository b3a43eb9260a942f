/* Replaces functions that the test program, or a DLL, imports from the system: what is linked into
 * it calls the replacement, and is otherwise what is shipped. */
#ifndef NEARBUF_TEST_IMPORTS_H
#define NEARBUF_TEST_IMPORTS_H

#include <windows.h>

/* Replaces an imported function of a module and returns the original. A name that the module does
 * not import fails the test. */
FARPROC import_replace_in(HMODULE module, const char *name, FARPROC replacement);

/* The same for the program, with the types of the two functions. */
#define IMPORT_REPLACE(real, name, replacement)                                                    \
  do {                                                                                             \
    FARPROC import_was_ =                                                                          \
        import_replace_in(GetModuleHandleW(NULL), #name, (FARPROC)(void (*)(void))(replacement));  \
    memcpy(&(real), &import_was_, sizeof import_was_);                                             \
  } while (0)

#endif
