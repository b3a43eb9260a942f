/* The locators of this process that this module knows, in the order of the chain.
 *
 * The chain is followed once; what was found, recognised and checked is remembered in a table that
 * lives as long as the state. Entries are written under the module's lock, are complete before
 * state->locators counts them, and never move. */
#ifndef NB_LOCATORS_H
#define NB_LOCATORS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "core/locator.h"
#include "core/state.h"

/* How many locators are known, and one of them by its number. */
uint32_t nb_locators_length(const nb_state *state);
nb_locator *nb_locators_entry(uint32_t number);

/* Remembers that `count` items from `first` on are sound: this module wrote them. */
void nb_locator_mark_sound(nb_locator *locator, uint32_t first, uint32_t count);

/* Whether the buffer of an item may be handed out. The first time this module looks at an item that it
 * did not list, the memory map is asked. Not handed out is memory that
 *
 *   - cannot be read, written and executed, which is what a buffer promises;
 *   - another item lists as well, be it an earlier or a later one: the Rust reference on Windows lists
 *     its first four items at one address;
 *   - lies in the locator's own mapping, unless the module that listed it there is known to be right
 *     about it (os/pages.h).
 *
 * Such an item is passed over from then on, and the others of its locator stay in use. One that cannot be
 * true, because nothing is mapped there, makes the locator a damaged one. */
bool nb_locator_is_sound(nb_locator *locator, uint32_t index);

/* Whether an item was found to be one that is passed over. */
bool nb_locator_is_passed_over(const nb_locator *locator, uint32_t index);

/* Adds the first locator. Its dialect is `dialect` where this module made it, else it is recognised
 * and checked, and `dialect` is that of a locator without items. The state's lock is held.
 * INCOMPATIBLE, SYSTEM_ERROR, OUT_OF_MEMORY. */
nb_result nb_locators_start(nb_state *state, uintptr_t base, uint8_t dialect, bool is_made);

/* Learns of the locators that others have linked since. Without `may_wait` it gives up with BUSY
 * where another thread is at it. INCOMPATIBLE: the chain goes on with something that cannot be
 * believed; what is known stays usable. */
nb_result nb_locators_extend(nb_state *state, bool may_wait);

/* In a child: puts full stubs where the parent's locators were. The fork handler does it; where
 * none ran, the first call does, before anything of the child's own can land there. */
void nb_locators_inherited(void);

/* Gives the pages of the table back; the locators stay. No other thread may be using it. */
void nb_locators_end(void);

#endif
