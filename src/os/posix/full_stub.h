/* Full stubs: in a child of fork, private pages where its parent's locators were, full and without
 * items, for modules that still use the addresses (os/pages.h). */
#ifndef NBUF_POSIX_FULL_STUB_H
#define NBUF_POSIX_FULL_STUB_H

#include <stdbool.h>
#include <stdint.h>

/* Whether nothing is mapped there, or a full stub: an anchor that leads there is the parent's and
 * was not wiped (nbuf_anchor_forked). What is mapped must be readable. */
bool nbuf_full_stub_or_nothing_is_at(uintptr_t base);

#endif
