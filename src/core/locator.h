/* What this module knows of one locator of this process. */
#ifndef NB_LOCATOR_H
#define NB_LOCATOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/format.h"

/* The order of an item: number of the locator * 256 + index. */
enum { NB_ORDERS_PER_LOCATOR = 256 };

/* The unit of nb_locator.linked_since, 2^20 ns or about a millisecond: no division of 64 bits, for
 * which 32-bit code calls the compiler's runtime. */
enum { NB_LINKED_SINCE_SHIFT = 20 };

typedef struct nb_locator {
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
} nb_locator;

static inline const nb_layout *nb_locator_layout(const nb_locator *locator) {
  return nb_native_layout(locator->dialect);
}

/* The address of an item of a known locator. */
static inline uintptr_t nb_locator_item(const nb_locator *locator, uint32_t index) {
  return nb_item_at(locator->base, nb_locator_layout(locator), index);
}

/* The items that it counts, no more than fit; 0 where the dialect is not known. */
static inline uint32_t nb_locator_count(const nb_locator *locator) {
  if (locator->dialect == NEARBUF_DIALECT_UNKNOWN) {
    return 0;
  }
  const nb_layout *layout = nb_locator_layout(locator);
  uint32_t count = nb_format_count(locator->base, layout);
  return count > layout->capacity ? layout->capacity : count;
}

#endif
