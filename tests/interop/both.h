/* The Rust implementation and this library in threads of one process. */
#ifndef NEARBUF_TEST_BOTH_H
#define NEARBUF_TEST_BOTH_H

#include <nearbuf/nearbuf.h>

#include "c_interface.h"

typedef struct both_buffers {
  LocatorItem *theirs;
  nearbuf_buffer ours;
} both_buffers;

/* Gets a buffer of 100 bytes in the window from each, at the same time. */
both_buffers both_get_at_once(const c_interface *reference);

/* Threads of both append for that time; the test fails if a byte is lost, or an item stays held.
 * Prints how often the Rust implementation handed out less than was asked. */
void both_append(const c_interface *reference, unsigned milliseconds);

/* The locator that contains an item. */
uintptr_t both_locator_of(const LocatorItem *item);

#endif
