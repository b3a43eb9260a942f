/* Address space prepared by the test: ranges in which only what the test frees is free. */
#ifndef NEARBUF_TEST_SPACE_H
#define NEARBUF_TEST_SPACE_H

#include <stdint.h>

#include <nearbuf/nearbuf.h>

/* Occupies `size` bytes, whole pages, at an address of the system's choice, with inaccessible
 * memory. Call space_settle before: the library must not place its own data in a hole. */
uintptr_t space_occupy(uintptr_t size);

/* Frees a part of it. */
void space_free(uintptr_t start, uintptr_t size);

/* Makes the library initialise itself, as its first use does: state, locator, one buffer near
 * code. */
void space_settle(void);

/* A request for memory in the range that begins at `start`. */
nearbuf_request space_request(uintptr_t start, uintptr_t range_size, size_t size_bytes);

/* The unit that can be occupied and freed separately: a page, on Windows a granule. */
uintptr_t space_page(void);

#endif
