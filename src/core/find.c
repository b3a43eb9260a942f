/* Which buffer of a locator contains an address; see find.h. */
#include "core/find.h"

/* Whether the item lists a buffer that may contain the address, by the two fields that exclude most
 * items. A size of 0 or 1 may be the lock of an item in another layout (nbuf_item_read). */
static bool may_contain(uintptr_t item, uint32_t size_at, uintptr_t address) {
  uintptr_t base = (uintptr_t)nbuf_shared_address_relaxed(item, sizeof base);
  uint32_t size = nbuf_shared_load_relaxed(item + size_at);
  return base != 0 && (address - base < size || size <= 1);
}

/* What nbuf_locator.bounded is if the bounds are those of `count` items. A child reads the entries
 * of its parent's locators, with another generation. */
static uint32_t bounds_of(uint32_t generation, uint32_t count) {
  return generation * NBUF_ORDERS_PER_LOCATOR + count;
}

static bool is_within_bounds(const nbuf_locator *locator, uintptr_t address) {
  uintptr_t highest = atomic_load_explicit(&locator->highest, memory_order_relaxed);
  uintptr_t from_top = atomic_load_explicit(&locator->lowest_from_top, memory_order_relaxed);
  return address <= highest && UINTPTR_MAX - address <= from_top;
}

static void raise_to(_Atomic uintptr_t *bound, uintptr_t value) {
  uintptr_t now = atomic_load_explicit(bound, memory_order_relaxed);
  while (now < value && !atomic_compare_exchange_weak_explicit(
                            bound, &now, value, memory_order_relaxed, memory_order_relaxed)) {
  }
}

/* Stores the bounds of the first `count` items, unless these can still change: while the lock is
 * held one may be incomplete, and those of a first locator can be replaced (header.h). */
static void keep_bounds(nbuf_locator *locator, uint32_t generation, uint32_t count) {
  const nbuf_layout *layout = nbuf_locator_layout(locator);
  bool is_stable = !locator->is_first && !nbuf_locator_is_locked(locator->base);
  uintptr_t lowest = UINTPTR_MAX;
  uintptr_t highest = 0;
  for (uint32_t i = 0; i < count && is_stable; i++) {
    nbuf_item item = nbuf_item_read(nbuf_locator_item(locator, i), layout);
    uintptr_t base = (uintptr_t)item.base;
    uintptr_t last = base + (item.size - 1);
    is_stable = base != 0 && nbuf_item_check(&item, layout) == NBUF_FAULT_NONE;
    lowest = base < lowest ? base : lowest;
    highest = last > highest ? last : highest;
  }
  if (is_stable) {
    raise_to(&locator->highest, highest);
    raise_to(&locator->lowest_from_top, UINTPTR_MAX - lowest);
    atomic_store_explicit(&locator->bounded, bounds_of(generation, count), memory_order_release);
  }
}

bool nbuf_locator_find(nbuf_locator *locator, uint32_t generation, uintptr_t address,
                       uint32_t *index, nbuf_item *item) {
  const nbuf_layout *layout = nbuf_locator_layout(locator);
  uint32_t count = nbuf_locator_count(locator);
  bool is_bounded =
      atomic_load_explicit(&locator->bounded, memory_order_acquire) == bounds_of(generation, count);
  if (is_bounded && !is_within_bounds(locator, address)) {
    return false;
  }
  uintptr_t at = nbuf_locator_item(locator, 0);
  for (uint32_t i = 0; i < count; i++, at += layout->item_size) {
    if (may_contain(at, layout->size, address)) {
      *item = nbuf_item_read(at, layout);
      *index = i;
      if (address - (uintptr_t)item->base < item->size) {
        return true;
      }
    }
  }
  if (!is_bounded) {
    keep_bounds(locator, generation, count);
  }
  return false;
}
