/* Which buffer contains an address.
 *
 * Of each locator the lowest and the highest address of its buffers are kept, so that an address
 * that is in none of 20,000 buffers is compared with a hundred ranges. */
#ifndef NBUF_FIND_H
#define NBUF_FIND_H

#include <stdbool.h>
#include <stdint.h>

#include "core/locator.h"

/* Whether one of the locator's buffers contains the address; stores the index of its item and a
 * copy. The addresses of all the buffers are kept, so that later calls pass over a locator that
 * cannot contain theirs. `generation` is that of the state. */
bool nbuf_locator_find(nbuf_locator *locator, uint32_t generation, uintptr_t address,
                       uint32_t *index, nbuf_item *item);

#endif
