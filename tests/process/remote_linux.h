/* What the tests of other processes have on Linux alone. */
#ifndef NEARBUF_REMOTE_LINUX_H
#define NEARBUF_REMOTE_LINUX_H

#include "remote_support.h"

/* Gives the test and all that it starts a /tmp of its own, where root runs it; starting does so. */
void want_own_tmp(void);

/* target_start with a program that may be refused what it wants, which skips the test. */
target target_try(const char *program, const char *mode);

/* Whether its state in /proc becomes this letter. When it is let go it is runnable, in the kernel, until
 * it had a processor to stop or to sleep again on. */
bool target_reaches(const target *what, char state);

/* How many entries /proc/<id>/<name> has: lines or, of a directory, files. */
int target_lines(const target *what, const char *name);
int target_files(const target *what, const char *name);

/* Goes on as a user without rights, whose files are seen by nobody's else; skips where that cannot be
 * done. */
void become_nobody(void);

uint64_t now_ms(void);

#endif
