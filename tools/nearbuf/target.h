/* The process that a command is about. */
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

/* Reads a number, decimal or with 0x in hexadecimal. False: it is none. */
bool number_read(const char *text, uint64_t *number);

/* Opens the process that the first argument names, and describes it. What is wrong is said. */
exit_code target_open(const tool_arguments *arguments, tool_target *target);
/* Fills in what is known about an open process; where the library has no name of its user, the host's
 * or the number. */
nearbuf_status target_describe(tool_target *target);
void target_close(tool_target *target);

/* Whether to try again what was answered with a status: BUSY, some times, after a pause. A process
 * may be in a moment in which it cannot be stopped. `tries` starts at 0. */
bool target_try_again(nearbuf_status status, unsigned *tries);

/* Says that something could not be done with the process, why, and what would help: "process 12:
 * <doing>: <reason>". Answers the exit code that goes with the status. */
exit_code target_complain(const tool_target *target, const char *doing, nearbuf_status status);

#endif
