/* Addresses that nothing else uses, for ranges that hold exactly what a test puts there, and short
 * functions to query nearbuf. */
#ifndef NEARBUF_TEST_WINDOW_H
#define NEARBUF_TEST_WINDOW_H

#include <nearbuf/nearbuf.h>

#if UINTPTR_MAX > UINT32_MAX
#define WINDOW UINT64_C(0x200000000000)
#else
#define WINDOW UINT32_C(0x10000000)
#endif
#define WINDOW_SIZE 0x10000000u

enum { PAGE = 4096 };

/* The least that a library can map, and the buffers that a new locator of the Rust implementation
 * lists from the start: on Windows its section is one unit, and what follows the locator is
 * listed. */
#if defined(_WIN32)
enum { UNIT = 65536, LISTED_FROM_START = 4 };
#else
enum { UNIT = PAGE, LISTED_FROM_START = 0 };
#endif

nearbuf_request request_in(uintptr_t min, uintptr_t max, size_t size);

/* Appends the text to a buffer in the window; returns its address. */
uintptr_t place(const char *text);

/* Fails the test if no buffer contains the address. */
nearbuf_info find(uintptr_t address);

nearbuf_totals totals(void);

#endif
