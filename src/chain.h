/* The locators of this process that this module knows, in the order of the chain.
 *
 * The chain is followed once; what was found, recognised and checked is remembered in a table that
 * lives as long as the session. Entries are written under the module's lock, are complete before
 * session->locators counts them, and never move. */
#ifndef NB_CHAIN_H
#define NB_CHAIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "format.h"
#include "outcome.h"
#include "session.h"

/* The order of an item: number of the locator * 256 + index. */
enum { NB_ORDERS_PER_LOCATOR = 256 };

/* The unit of nb_known.linked_since, 2^20 ns or about a millisecond: no division of 64 bits, for
 * which 32-bit code calls the compiler's runtime. */
enum { NB_LINKED_SINCE_SHIFT = 20 };

typedef struct nb_known {
  uintptr_t base;
  _Atomic uint32_t linked_since; /* since then, at least, a link has been seen behind a held lock */
  _Atomic uint32_t used_slots;   /* when this module last had its lock; no more than there are */
  /* A bit for each item: its buffer may be handed out; its buffer must not be. Neither: not looked at. */
  _Atomic uint32_t sound[NB_ORDERS_PER_LOCATOR / 32];
  _Atomic uint32_t unusable[NB_ORDERS_PER_LOCATOR / 32];
  uint8_t dialect; /* UNKNOWN: it was found without items, and may be anybody's; unused */
  bool is_kept_from_children;
  bool is_first;
  bool is_hidden_from_dotnet;
  _Atomic bool is_given_up; /* its lock was held past the bound: full for ever */
  _Atomic bool is_damaged;  /* an item cannot be believed: nothing is written to it any more */
} nb_known;

static inline const nb_layout *nb_known_layout(const nb_known *known) {
  return nb_native_layout(known->dialect);
}

/* How many locators are known, and one of them by its number. */
uint32_t nb_chain_length(const nb_session *session);
nb_known *nb_chain_entry(uint32_t number);

/* The address of an item of a known locator. */
static inline uintptr_t nb_known_item(const nb_known *known, uint32_t index) {
  return nb_item_at(known->base, nb_known_layout(known), index);
}

/* The items that a known locator counts, no more than fit; 0 where the dialect is not known. */
uint32_t nb_known_count(const nb_known *known);

/* Remembers that `count` items from `first` on are sound: this module wrote them. */
void nb_known_mark_sound(nb_known *known, uint32_t first, uint32_t count);

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
bool nb_known_is_sound(nb_known *known, uint32_t index);

/* Whether an item was found to be one that is passed over. */
bool nb_known_is_passed_over(const nb_known *known, uint32_t index);

/* Adds the first locator. Its dialect is `dialect` where this module made it, else it is recognised
 * and checked, and `dialect` is that of a locator without items. The session's lock is held.
 * INCOMPATIBLE, SYSTEM_ERROR, OUT_OF_MEMORY. */
nb_outcome nb_chain_start(nb_session *session, uintptr_t base, uint8_t dialect, bool is_made);

/* Learns of the locators that others have linked since. Without `may_wait` it gives up with BUSY
 * where another thread is at it. INCOMPATIBLE: the chain goes on with something that cannot be
 * believed; what is known stays usable. */
nb_outcome nb_chain_extend(nb_session *session, bool may_wait);

/* In a child: puts placeholders where the parent's locators were. The fork handler does it; where
 * none ran, the first call does, before anything of the child's own can land there. */
void nb_chain_inherited(void);

/* Gives the pages of the table back; the locators stay. No other thread may be using it. */
void nb_chain_end(void);

#endif
