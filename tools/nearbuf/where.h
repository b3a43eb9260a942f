/* Parses places in a process as given on the command line, and makes requests from them. */
#ifndef NEARBUF_TOOL_WHERE_H
#define NEARBUF_TOOL_WHERE_H

#include "snapshot.h"

/* Parses ADDRESS, SYMBOL or MODULE[+OFFSET]. A failure prints why. */
exit_code where_read(tool_target *target, const process_snapshot *snapshot, const char *text,
                     uint64_t *address);

/* The addresses that a jump at `address` reaches; all of them where the process has other address
 * bits than this one. */
nearbuf_range where_reach(const tool_target *target, uint64_t address);

/* Fills in the request from --near or --range, and --align. A failure prints why. */
exit_code where_request(const tool_arguments *arguments, tool_target *target,
                        nearbuf_process_request *request);

#endif
