/* A walk along the locators of another process. A locator is read in a copy, the walk's image,
 * whose fields are as wide as the addresses of the process. */
#ifndef NBUF_REMOTE_WALK_H
#define NBUF_REMOTE_WALK_H

#include <stdint.h>

#include <nearbuf/process.h>

#include "base/format.h"
#include "base/result.h"

/* Makes it start at the first locator, and look up no names. */
void nbuf_walk_start(nearbuf_process_walk *walk);

/* As nearbuf_process_next_locator; `locator` is zeroed by the caller. */
nbuf_result nbuf_walk_next_locator(nearbuf_process *process, nearbuf_process_walk *walk,
                                   nearbuf_process_locator *locator);

/* The copy of the current locator, its layout, and one of its items. */
uintptr_t nbuf_walk_image(const nearbuf_process_walk *walk);
const nbuf_layout *nbuf_walk_layout(const nearbuf_process_walk *walk);
nbuf_item nbuf_walk_item(const nearbuf_process_walk *walk, uint32_t index);

#endif
