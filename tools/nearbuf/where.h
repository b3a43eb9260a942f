/* Places in a process that are named on the command line, and requests made of them. */
#ifndef NEARBUF_TOOL_WHERE_H
#define NEARBUF_TOOL_WHERE_H

#include "snapshot.h"

/* Reads ADDRESS, SYMBOL or MODULE[+OFFSET]. What is wrong is said. */
exit_code where_read(tool_target *target, const process_snapshot *snapshot, const char *text,
                     uint64_t *address);

/* The addresses that a jump at `address` reaches, in a process as wide as this one. */
nearbuf_range where_reach(const tool_target *target, uint64_t address);

/* Fills in what --near or --range and --align say. What is wrong is said. */
exit_code where_request(const tool_arguments *arguments, tool_target *target,
                        nearbuf_process_request *request);

#endif
