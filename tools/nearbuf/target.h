/* The process that a command operates on. */
#ifndef NEARBUF_TOOL_TARGET_H
#define NEARBUF_TOOL_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include <nearbuf/process.h>

#include "command.h"

typedef struct tool_target {
  nearbuf_process process;
  nearbuf_process_info info;
} tool_target;

/* Parses a number: decimal, or hexadecimal with 0x. False: not a number. */
bool number_read(const char *text, uint64_t *number);

/* Opens the process that the first argument names, and describes it. A failure prints why. */
exit_code target_open(const tool_arguments *arguments, tool_target *target);
/* Fills in the description of an open process. If the library does not know the name of its user,
 * the host's name for it or its number is used. */
nearbuf_status target_describe(tool_target *target);
void target_close(tool_target *target);

/* Whether to repeat a call that returned `status`: after BUSY, at most 20 times, after a pause,
 * because a process can be in a state in which it cannot be stopped. `tries` starts at 0. */
bool target_try_again(nearbuf_status status, unsigned *tries);

/* Prints that an operation on the process failed, why, and what would help: "process 12: <doing>:
 * <reason>". Returns the exit code for the status. */
exit_code target_complain(const tool_target *target, const char *doing, nearbuf_status status);

#endif
