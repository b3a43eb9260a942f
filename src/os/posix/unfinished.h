/* A file that another implementation in this process is making. The others make their file visible
 * before it is complete, and read every file in the directory before they store the address: the
 * .NET one needs 0.5 s for 30,000 files. So a file under our own name without an address that this
 * process has mapped is being made by another thread, whatever its age. No other locator may be
 * made meanwhile, under any name. Before the file is mapped it is open: for microseconds, but the
 * thread can lose the processor then. */
#ifndef NBUF_POSIX_UNFINISHED_H
#define NBUF_POSIX_UNFINISHED_H

#include <stdbool.h>
#include <stdint.h>

/* Whether the open file, which has no address and has been waited for that many nanoseconds, may
 * still be in the making. */
bool nbuf_file_is_being_made(int file, uint64_t waited);

#endif
