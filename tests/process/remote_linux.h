/* What the tests of other processes share on Linux only. */
#ifndef NEARBUF_REMOTE_LINUX_H
#define NEARBUF_REMOTE_LINUX_H

#include "remote_support.h"

/* Gives the test and all that it starts its own /tmp, if root runs it; target_start does so. */
void want_own_tmp(void);

/* target_start with a program that may be denied what it needs, which skips the test. */
target target_try(const char *program, const char *mode);

/* Opens a process that is about to stop being dumpable, once it is so. Skips the test where /proc
 * then shows nothing of it to an ordinary user (hidepid). */
nearbuf_process target_open_hidden(target *what);

/* Its state in /proc, one letter; '?': it is gone. */
char target_state(const target *what);

/* Whether its state in /proc becomes this letter. A process that was detached is runnable, in the
 * kernel, until it had a processor to stop or to sleep again on. */
bool target_reaches(const target *what, char state);

/* How many entries /proc/<id>/<name> has: lines or, of a directory, files. */
int target_lines(const target *what, const char *name);
int target_files(const target *what, const char *name);

/* Continues as a user without rights, whose files no other user sees; skips if that cannot be
 * done. */
void become_nobody(void);

/* Skips where the kernel cannot switch off for a tracer that system calls become signals. */
void want_dispatch_switched_off(void);

uint64_t now_ms(void);

/* ---- Control groups -------------------------------------------------------------------------- */

/* A control group of the test's own with one process in it. */
typedef struct control_group {
  char path[128];
  const char *file; /* writing these words freezes it */
  const char *frozen;
  const char *thawed;
} control_group;

/* False: none can be created here. The old kind is that of version 1. */
bool group_make_new(control_group *made, pid_t member);
bool group_make_old(control_group *made, pid_t member);
bool group_write(const control_group *what, const char *name, const char *text);

/* Waits for the end of its members, and removes it. */
void group_remove(const control_group *what);

#endif
