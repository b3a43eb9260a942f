/* Address space of the test's own making: stretches in which nothing is free but what the test
 * frees. */
#ifndef NEARBUF_TEST_SPACE_H
#define NEARBUF_TEST_SPACE_H

#include <stdint.h>

#include <nearbuf/nearbuf.h>

/* Occupies `size` bytes, whole pages, wherever the system likes, with memory that nobody can use.
 * Call space_settle before: the library must not put something of its own into a hole. */
uintptr_t space_occupy(uintptr_t size);

/* Frees a part of it. */
void space_free(uintptr_t start, uintptr_t size);

/* Makes the library set itself up, as its first use does: state, locator, one buffer near code. */
void space_settle(void);

/* A request for the bytes from `start` on. */
nearbuf_request space_request(uintptr_t start, uintptr_t range_size, size_t size_bytes);

/* The size of what can be occupied and freed by itself: a page, on Windows a granule. */
uintptr_t space_page(void);

#endif
