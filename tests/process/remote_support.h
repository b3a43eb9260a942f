/* Other processes, started and looked at by the tests of nearbuf/process.h. */
#ifndef NEARBUF_REMOTE_SUPPORT_H
#define NEARBUF_REMOTE_SUPPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <nearbuf/process.h>

typedef struct target {
  pid_t id;
  FILE *output;
} target;

/* Gives the test and all that it starts a /tmp of its own, where root runs it; starting does so. */
void want_own_tmp(void);

/* Starts a program and waits until it said "ready". */
target target_start(const char *program, const char *mode, const char *root);

/* The same with one that may be refused what it wants, which skips the test. */
target target_try(const char *program, const char *mode);

/* The unprepared program, doing nothing. */
target target_start_idle(void);

/* The next line that it prints. */
void target_line(target *what, char *line, size_t size);

/* Ends the idle program, and answers how many signals it counted. */
long target_end(target *what);

/* Kills and reaps it. */
void target_kill(target *what);

nearbuf_process target_open(const target *what);

/* The letter of its state in /proc, and a number of another line of its status. */
char target_state(const target *what);

/* How many entries /proc/<id>/<name> has: lines or, of a directory, files. */
int target_lines(const target *what, const char *name);
int target_files(const target *what, const char *name);

/* Puts bytes into a buffer of the process and answers where they are. */
uint64_t put(nearbuf_process *process, const void *bytes, size_t size);

/* A request for memory anywhere. */
nearbuf_process_request anywhere(uint64_t size);

/* Goes on as a user without rights, whose files are seen by nobody's else; skips where that cannot be
 * done. */
void become_nobody(void);

uint64_t now_ms(void);

#endif
