/* Addresses that nothing else uses, for ranges that hold exactly what a test puts there, and short
 * functions to query nearbuf. */
#ifndef NEARBUF_TEST_WINDOW_H
#define NEARBUF_TEST_WINDOW_H

#include <nearbuf/nearbuf.h>

#define WINDOW UINT64_C(0x200000000000)
#define WINDOW_SIZE UINT64_C(0x10000000)

enum { PAGE = 4096 };

nearbuf_request request_in(uintptr_t min, uintptr_t max, size_t size);

/* Appends the text to a buffer in the window; returns its address. */
uintptr_t place(const char *text);

/* Fails the test if no buffer contains the address. */
nearbuf_info find(uintptr_t address);

nearbuf_totals totals(void);

#endif
