/* What the tests of other processes share on Windows only. */
#ifndef NEARBUF_REMOTE_WINDOWS_H
#define NEARBUF_REMOTE_WINDOWS_H

#include "remote_support.h"

/* Starts a command line, and waits for nothing. */
target windows_start(const char *command);

/* Starts the program that uses the library. */
target start_user(void);

/* Sends it a line, and returns its reply. */
const char *ask(target *user, const char *question);
uint64_t ask_address(target *user, const char *question);

/* Whether there is a section with the name of the process's first locator and this suffix. */
bool has_section(const target *what, const char *suffix);

#endif
