/* The locators of this process that this module knows, in the order of the chain.
 *
 *   entry 0 .. 31        in the library's data
 *   entry 32 ..          in up to 512 blocks of 4096 bytes, mapped when needed
 *
 * The chain is followed once. The table remembers what was found, recognised and checked, as long
 * as the process state exists. Each copy of the library has its own. Entries are written under the
 * state's lock, are complete before state->locators counts them, and never move. */
#ifndef NBUF_LOCATORS_H
#define NBUF_LOCATORS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "core/header.h"
#include "core/locator.h"
#include "core/state.h"

enum {
  NBUF_LOCATORS_AT_HAND = 32,
  NBUF_LOCATORS_BLOCK = 4096,
  NBUF_LOCATORS_OF_BLOCK = NBUF_LOCATORS_BLOCK / sizeof(nbuf_locator),
  NBUF_LOCATORS_BLOCKS = 512 /* more locators than a Linux process can have mappings */
};

/* In the order of use: what the first call accesses is adjacent, mostly on one page. */
typedef struct nbuf_locator_table {
  /* As state->locators, but not wiped by fork: where the child has to put full stubs. */
  _Atomic uint32_t known_before_fork;
  /* The first locator of the process from which this one was forked, or 0. */
  _Atomic uintptr_t inherited_first;
  nbuf_locator at_hand[NBUF_LOCATORS_AT_HAND];
  nbuf_locator *blocks[NBUF_LOCATORS_BLOCKS];
} nbuf_locator_table;

extern nbuf_locator_table nbuf_locators_known;

/* The number of known locators, and the descriptor of one of them. */
static inline uint32_t nbuf_locators_length(const nbuf_state *state) {
  return atomic_load_explicit(&state->locators, memory_order_acquire);
}

static inline nbuf_locator *nbuf_locators_entry(uint32_t number) {
  if (number < NBUF_LOCATORS_AT_HAND) {
    return &nbuf_locators_known.at_hand[number];
  }
  uint32_t beyond = number - NBUF_LOCATORS_AT_HAND;
  return &nbuf_locators_known
              .blocks[beyond / NBUF_LOCATORS_OF_BLOCK][beyond % NBUF_LOCATORS_OF_BLOCK];
}

/* Whether the buffer of an item may be handed out. The first time this module reads an item that it
 * did not list, it checks the memory map. Memory is not handed out if
 *
 *   - it cannot be read, written and executed, as every buffer must be;
 *   - another item lists it as well, an earlier or a later one: the Rust implementation on Windows
 *     lists its first four items at one address;
 *   - it lies in the locator's own mapping, unless the module that listed it there is known to do
 *     that safely (os/pages.h).
 *
 * Such an item is passed over from then on, and the others of its locator stay in use. An item that
 * is invalid because nothing is mapped at its address marks its locator as damaged. */
bool nbuf_locator_is_sound(nbuf_locator *locator, uint32_t index);

/* Adds the first locator. If this module made it, its dialect is `dialect`; else it is recognised
 * and checked, and `dialect` is that of a locator without items. The caller holds the state's lock.
 * INCOMPATIBLE, SYSTEM_ERROR, OUT_OF_MEMORY. */
nbuf_result nbuf_locators_start(nbuf_state *state, uintptr_t base, uint8_t dialect, bool is_made);

/* Whether nothing is linked to the last known locator. */
static inline bool nbuf_locators_are_all(const nbuf_state *state) {
  return nbuf_header_link(nbuf_locators_entry(nbuf_locators_length(state) - 1)) == 0;
}

/* The slow path of the next function. */
nbuf_result nbuf_locators_extend_slowly(nbuf_state *state, bool may_wait);

/* Adds the locators that other modules and processes have linked since. Without `may_wait` it
 * returns BUSY if another thread holds the lock. INCOMPATIBLE: the chain continues with something
 * that is not a valid locator; those that are known stay usable. */
static inline nbuf_result nbuf_locators_extend(nbuf_state *state, bool may_wait) {
  return nbuf_locators_are_all(state) ? nbuf_result_of(NEARBUF_OK)
                                      : nbuf_locators_extend_slowly(state, may_wait);
}

/* In a child: puts full stubs where the parent's locators were. The fork handler does it; if none
 * ran, the first call does, before memory of the child itself can be mapped there. */
void nbuf_locators_inherited(void);

/* Unmaps the pages of the table; the locators stay. No other thread may be using the table. */
void nbuf_locators_end(void);

#endif
