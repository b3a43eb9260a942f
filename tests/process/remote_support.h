/* Other processes, started and inspected by the tests of nearbuf/process.h. */
#ifndef NEARBUF_REMOTE_SUPPORT_H
#define NEARBUF_REMOTE_SUPPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <nearbuf/process.h>

#include "request.h"

typedef struct target {
  pid_t id;
  FILE *output; /* what it prints, and what it reads */
  FILE *input;
  void *handle; /* the system's handle for it, besides its id */
} target;

/* ---- Each system has these in a file of its own ---------------------------------------------- */

/* Starts a program with at most two arguments, and waits until it prints "ready". */
target target_start(const char *program, const char *first, const char *second);

/* Starts the unprepared program, which does nothing. */
target target_start_idle(void);

/* Ends the idle program, and returns how many signals it counted. */
long target_end(target *what);

/* Waits for the end of a program that ends by itself, and returns its exit status. */
int target_wait(target *what);

/* Kills and reaps it. */
void target_kill(target *what);

/* Whether a later locator can be found by its address. */
bool has_name_of_later(const target *what, const nearbuf_process_locator *locator);

/* ---------------------------------------------------------------------------------------------- */

/* Reads the next line that it prints; writes a line for it to read. */
void target_line(target *what, char *line, size_t size);
void target_tell(target *what, const char *line);

nearbuf_process target_open(const target *what);

/* Finds the first locator, and returns its address. */
uint64_t first_locator(nearbuf_process *process, nearbuf_process_walk *walk,
                       nearbuf_process_locator *locator);

/* Puts bytes into a buffer of the process and returns their address. */
uint64_t put(nearbuf_process *process, const void *bytes, size_t size);

/* Gets a small buffer in the process and releases it; `code` may be null. */
nearbuf_status get_in(pid_t id, int32_t *code);

/* A 32-bit process is supported: bytes can be put into it, and memory allocated and freed. */
void check_32_bit_process(const target *what);

#endif
