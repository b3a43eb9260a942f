/* The local locator descriptor: what this module knows of one locator of this process. */
#ifndef NB_LOCATOR_H
#define NB_LOCATOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/format.h"

/* The order of an item is the number of its locator * 256 + its index. */
enum { NB_ORDERS_PER_LOCATOR = 256 };

/* The unit of nb_locator.linked_since is 2^20 ns, about a millisecond. It needs no 64-bit division,
 * for which 32-bit code calls the compiler's runtime. */
enum { NB_LINKED_SINCE_SHIFT = 20 };

typedef struct nb_locator {
  uintptr_t base;
  _Atomic uint32_t linked_since; /* the link has been seen behind a held lock at least since then */
  _Atomic uint32_t used_slots;   /* when this module last held its lock; not more than exist */
  /* A bit for each item. Sound: its buffer may be handed out. Unusable: it must not be. Neither
   * bit: not checked yet. */
  _Atomic uint32_t sound[NB_ORDERS_PER_LOCATOR / 32];
  _Atomic uint32_t unusable[NB_ORDERS_PER_LOCATOR / 32];
  uint8_t dialect; /* UNKNOWN: found without items, perhaps another implementation's; unused */
  bool is_kept_from_children;
  bool is_first;
  bool is_hidden_from_dotnet;
  _Atomic bool is_given_up; /* its lock was held past the bound: permanently full */
  _Atomic bool is_damaged;  /* an item is invalid: nothing is written to it any more */
} nb_locator;

static inline const nb_layout *nb_locator_layout(const nb_locator *locator) {
  return nb_native_layout(locator->dialect);
}

/* The address of an item of a known locator. */
static inline uintptr_t nb_locator_item(const nb_locator *locator, uint32_t index) {
  return nb_item_at(locator->base, nb_locator_layout(locator), index);
}

/* The number of items that it counts, at most its capacity; 0 if the dialect is not known. */
static inline uint32_t nb_locator_count(const nb_locator *locator) {
  if (locator->dialect == NEARBUF_DIALECT_UNKNOWN) {
    return 0;
  }
  const nb_layout *layout = nb_locator_layout(locator);
  uint32_t count = nb_format_count(locator->base, layout);
  return count > layout->capacity ? layout->capacity : count;
}

#endif
