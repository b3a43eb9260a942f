/* The shared bytes; see format.h and docs/format.md. */
#include "base/format.h"

#include <string.h>

#define HEADER_64(which)                                                                           \
  .dialect = (which), .width = 8, .capacity = NBUF_CAPACITY_64, .header_size = 24,                 \
  .item_size = 20, .next = 8, .locked = 16, .flags = 20, .count = 21, .count_dotnet = 23
#define HEADER_32(which)                                                                           \
  .dialect = (which), .width = 4, .capacity = NBUF_CAPACITY_32, .header_size = 16,                 \
  .item_size = 16, .next = 4, .locked = 8, .flags = 12, .count = 13, .count_dotnet = 15
#define ITEM(width, is_rust)                                                                       \
  .taken = NBUF_TAKEN_AT(width, is_rust), .size = NBUF_SIZE_AT(width, is_rust),                    \
  .position = NBUF_POSITION_AT(width, is_rust)

const nbuf_layout nbuf_layouts[2][4] = {
    {
        {HEADER_32(NEARBUF_DIALECT_UNKNOWN)},
        {HEADER_32(NEARBUF_DIALECT_WRITTEN), ITEM(4, 0)},
        {HEADER_32(NEARBUF_DIALECT_DOTNET), ITEM(4, 0)},
        {HEADER_32(NEARBUF_DIALECT_RUST), ITEM(4, 1)},
    },
    {
        {HEADER_64(NEARBUF_DIALECT_UNKNOWN)},
        {HEADER_64(NEARBUF_DIALECT_WRITTEN), ITEM(8, 0)},
        {HEADER_64(NEARBUF_DIALECT_DOTNET), ITEM(8, 0)},
        {HEADER_64(NEARBUF_DIALECT_RUST), ITEM(8, 1)},
    },
};

static_assert((NBUF_LOCATOR_SIZE - 24) / 20 == NBUF_CAPACITY_64, "items of a 64-bit locator");
static_assert((NBUF_LOCATOR_SIZE - 16) / 16 == NBUF_CAPACITY_32, "items of a 32-bit locator");

/* The version under every interpretation of the rule for bit fields: the upper three bits according
 * to the text, the lower three in the .NET and Rust implementations. Only version 0 exists. */
enum { VERSION_BITS = 0xE7 };

/* The least size of a Rust item: the other implementations register whole pages. */
enum { LEAST_RUST_SIZE = 4096 };

static nbuf_item read_as(uintptr_t item, const nbuf_layout *layout) {
  nbuf_item values = {
      .base = nbuf_shared_address_relaxed(item, layout->width),
      .size = nbuf_shared_load_relaxed(item + layout->size),
      .position = nbuf_shared_load_relaxed(item + layout->position),
      .taken = nbuf_shared_load_relaxed(item + layout->taken),
  };
  return values;
}

nbuf_item nbuf_item_read(uintptr_t item, const nbuf_layout *layout) {
  nbuf_item values = read_as(item, layout);
  if (values.base == 0) {
    return (nbuf_item){0};
  }
  if (layout->dialect == NEARBUF_DIALECT_RUST && values.size <= 1) {
    nbuf_item other = read_as(item, nbuf_layout_of(layout->width, NEARBUF_DIALECT_DOTNET));
    if (other.size >= LEAST_RUST_SIZE && other.position <= other.size) {
      other.taken = 1;
      return other;
    }
  }
  return values;
}

void nbuf_item_write(uintptr_t item, const nbuf_layout *layout, const nbuf_item *values) {
  nbuf_shared_store_relaxed(item + layout->size, values->size);
  nbuf_shared_store_relaxed(item + layout->position, values->position);
  nbuf_shared_store_relaxed(item + layout->taken, values->taken);
  nbuf_shared_address_store_release(item, layout->width, values->base); /* size before base */
}

uint32_t nbuf_format_count(uintptr_t locator, const nbuf_layout *layout) {
  uint32_t count = nbuf_shared_count_acquire(locator + layout->count);
  if (layout->dialect == NEARBUF_DIALECT_RUST) {
    return count;
  }
  uint32_t dotnet = nbuf_shared_count_acquire(locator + layout->count_dotnet);
  return dotnet > count ? dotnet : count;
}

void nbuf_format_store_count(uintptr_t locator, const nbuf_layout *layout, uint32_t count) {
  nbuf_shared_count_release(locator + layout->count, count);
  if (layout->dialect != NEARBUF_DIALECT_RUST) {
    nbuf_shared_count_release(locator + layout->count_dotnet, count);
  }
}

bool nbuf_format_is_being_filled(uintptr_t locator, uint32_t count) {
  const nbuf_layout *header = nbuf_native_layout(NEARBUF_DIALECT_UNKNOWN);
  return nbuf_format_count(locator, header) < count ||
         nbuf_shared_load_acquire(locator + header->locked) != 0;
}

void nbuf_format_hide_from_dotnet(uintptr_t locator, const nbuf_layout *layout) {
  nbuf_shared_count_release(locator + layout->count_dotnet, layout->capacity);
}

bool nbuf_format_is_hidden_from_dotnet(uintptr_t locator, const nbuf_layout *layout) {
  return layout->dialect == NEARBUF_DIALECT_RUST &&
         nbuf_shared_count_acquire(locator + layout->count_dotnet) == layout->capacity;
}

void nbuf_format_build(uintptr_t image, const nbuf_layout *layout, uint64_t this_address,
                       const nbuf_item *items, uint32_t count) {
  memset((void *)image, 0, NBUF_LOCATOR_SIZE);
  nbuf_shared_address_store_release(image, layout->width, this_address);
  for (uint32_t i = 0; i < count; i++) {
    nbuf_item_write(nbuf_item_at(image, layout, i), layout, &items[i]);
  }
  if (layout->dialect == NEARBUF_DIALECT_RUST) {
    nbuf_format_hide_from_dotnet(image, layout);
  }
  nbuf_format_store_count(image, layout, count);
}

/* For people, by fault. */
static const char *const fault_texts[] = {
    [NBUF_FAULT_NONE] = "valid",
    [NBUF_FAULT_VERSION] = "an unknown version",
    [NBUF_FAULT_THIS_ADDRESS] = "its own address is wrong",
    [NBUF_FAULT_NEXT_ADDRESS] = "its link to the next locator is wrong",
    [NBUF_FAULT_LOCK] = "its lock is neither free nor held",
    [NBUF_FAULT_COUNT] = "it counts more items than fit",
    [NBUF_FAULT_DIALECT] = "its items are of no known layout",
    [NBUF_FAULT_ITEM_BASE] = "an item has an impossible address",
    [NBUF_FAULT_ITEM_SIZE] = "an item has an impossible size",
    [NBUF_FAULT_ITEM_POSITION] = "an item has used more than its size",
    [NBUF_FAULT_ITEM_TAKEN] = "an item's lock is neither free nor held",
    [NBUF_FAULT_ITEM_OVERLAP] = "an item shares memory with another or with the locator",
};

const char *nbuf_fault_text(nbuf_fault fault) {
  size_t index = (size_t)(unsigned)fault;
  return index < sizeof fault_texts / sizeof fault_texts[0] ? fault_texts[index] : "unknown";
}

/* The number of slots up to the last one that lists memory, of the first `count`. */
static uint32_t used_slots(uintptr_t locator, const nbuf_layout *layout, uint32_t count) {
  uint32_t used = count < layout->capacity ? count : layout->capacity;
  while (used > 0 &&
         nbuf_shared_address_relaxed(nbuf_item_at(locator, layout, used - 1), layout->width) == 0) {
    used--;
  }
  return used;
}

/* The field after the address in the last of the first `count` slots that lists memory. False: none
 * does. Slots are at the same offsets in every dialect. */
static bool read_second_field(uintptr_t locator, uint32_t width, uint32_t count, uint32_t *field) {
  const nbuf_layout *layout = nbuf_layout_of(width, NEARBUF_DIALECT_WRITTEN);
  uint32_t last = used_slots(locator, layout, count);
  if (last > 0) {
    *field = nbuf_shared_load_relaxed(nbuf_item_at(locator, layout, last - 1) + width);
  }
  return last > 0;
}

nearbuf_dialect nbuf_format_recognise(uintptr_t locator, uint32_t width,
                                      nearbuf_dialect dialect_if_empty) {
  const nbuf_layout *header = nbuf_layout_of(width, NEARBUF_DIALECT_UNKNOWN);
  if ((nbuf_shared_load_relaxed(locator + header->flags) & VERSION_BITS) != 0) {
    return NEARBUF_DIALECT_UNKNOWN;
  }
  uint32_t written = nbuf_shared_count_acquire(locator + header->count);
  uint32_t dotnet = nbuf_shared_count_acquire(locator + header->count_dotnet);
  if (written == 0 && dotnet == 0) {
    return dialect_if_empty;
  }
  uint32_t field = 0;
  /* The Rust implementation's later locators lie on its heap, and it does not set what would be the
   * .NET count: that and the slots behind its own count can contain anything. */
  if (read_second_field(locator, width, written, &field) && field >= LEAST_RUST_SIZE) {
    return NEARBUF_DIALECT_RUST;
  }
  if (!read_second_field(locator, width, written > dotnet ? written : dotnet, &field)) {
    return NEARBUF_DIALECT_UNKNOWN;
  }
  if (field >= LEAST_RUST_SIZE && dotnet == header->capacity) {
    return NEARBUF_DIALECT_RUST; /* its own count is cleared, but not the one that hides it */
  }
  if (field > 1) {
    return NEARBUF_DIALECT_UNKNOWN;
  }
  return written == 0 ? NEARBUF_DIALECT_DOTNET : NEARBUF_DIALECT_WRITTEN;
}

nbuf_fault nbuf_item_check(const nbuf_item *item, const nbuf_layout *layout) {
  uint64_t highest = layout->width == 8 ? UINT64_MAX : UINT32_MAX;
  if (item->base == 0) {
    return NBUF_FAULT_NONE; /* an empty slot */
  }
  if (item->size == 0 || item->size - 1 > highest - item->base) {
    return NBUF_FAULT_ITEM_SIZE;
  }
  if (item->position > item->size) {
    return NBUF_FAULT_ITEM_POSITION;
  }
  return item->taken > 1 ? NBUF_FAULT_ITEM_TAKEN : NBUF_FAULT_NONE;
}

static bool items_overlap(const nbuf_item *a, const nbuf_item *b) {
  return a->base <= b->base ? b->base - a->base < a->size : a->base - b->base < b->size;
}

bool nbuf_item_covers_locator(const nbuf_item *item, uint64_t this_address) {
  nbuf_item locator = {.base = this_address, .size = NBUF_LOCATOR_SIZE};
  return items_overlap(item, &locator);
}

bool nbuf_format_overlaps(uintptr_t locator, const nbuf_layout *layout, uint32_t index,
                          uint32_t count) {
  nbuf_item item = nbuf_item_read(nbuf_item_at(locator, layout, index), layout);
  for (uint32_t i = 0; i < count; i++) {
    nbuf_item other = nbuf_item_read(nbuf_item_at(locator, layout, i), layout);
    if (i != index && items_overlap(&other, &item)) {
      return true;
    }
  }
  return false;
}

/* The memory of an item. */
typedef struct extent {
  uint64_t base;
  uint32_t size;
} extent;

/* The number of extents that start below the address; they are in ascending order. */
static uint32_t count_below(const extent *sorted, uint32_t count, uint64_t address) {
  uint32_t low = 0;
  uint32_t high = count;
  if (count > 0 && sorted[count - 1].base < address) {
    return count; /* most locators list ascending addresses */
  }
  while (low < high) {
    uint32_t middle = (low + high) / 2;
    if (sorted[middle].base < address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/* Inserts the memory of an item. False: it shares a byte with an extent that is there. */
static bool insert_apart(extent *sorted, uint32_t count, const nbuf_item *item) {
  uint32_t at = count_below(sorted, count, item->base);
  bool is_apart = (at == count || sorted[at].base - item->base >= item->size) &&
                  (at == 0 || item->base - sorted[at - 1].base >= sorted[at - 1].size);
  memmove(&sorted[at + 1], &sorted[at], (count - at) * sizeof sorted[0]);
  sorted[at] = (extent){item->base, item->size};
  return is_apart;
}

/* Whether no two of the items share a byte. In order of address only neighbours can: comparing all
 * pairs of 203 items takes ten times as long, which counts where thousands of buffers exist. */
static bool are_apart(uintptr_t locator, const nbuf_layout *layout, uint32_t count) {
  extent sorted[NBUF_CAPACITY_32];
  uint32_t found = 0;
  bool is_apart = true;
  for (uint32_t i = 0; i < count && is_apart; i++) {
    nbuf_item item = nbuf_item_read(nbuf_item_at(locator, layout, i), layout);
    if (item.size > 0) {
      is_apart = insert_apart(sorted, found++, &item);
    }
  }
  return is_apart;
}

uint32_t nbuf_format_count_by_slots(uintptr_t locator, const nbuf_layout *layout,
                                    uint64_t this_address) {
  uint32_t count = nbuf_format_count(locator, layout);
  uint32_t used = used_slots(locator, layout, layout->capacity);
  for (uint32_t i = count; i < used; i++) {
    nbuf_item item = nbuf_item_read(nbuf_item_at(locator, layout, i), layout);
    bool is_overlap = layout->dialect != NEARBUF_DIALECT_RUST && item.base != 0 &&
                      nbuf_format_overlaps(locator, layout, i, i);
    if (nbuf_item_check(&item, layout) != NBUF_FAULT_NONE || is_overlap ||
        (item.base != 0 && nbuf_item_covers_locator(&item, this_address))) {
      return count;
    }
  }
  return used > count ? used : count;
}

static nbuf_fault check_header(uintptr_t locator, const nbuf_layout *layout,
                               uint64_t this_address) {
  if ((nbuf_shared_load_relaxed(locator + layout->flags) & VERSION_BITS) != 0) {
    return NBUF_FAULT_VERSION;
  }
  if (nbuf_shared_address_relaxed(locator, layout->width) != this_address) {
    return NBUF_FAULT_THIS_ADDRESS;
  }
  uint64_t next = nbuf_shared_address_relaxed(locator + layout->next, layout->width);
  if (next == this_address || (next & (layout->width - 1)) != 0) {
    return NBUF_FAULT_NEXT_ADDRESS;
  }
  if (nbuf_shared_load_relaxed(locator + layout->locked) > 1) {
    return NBUF_FAULT_LOCK;
  }
  return nbuf_format_count(locator, layout) > layout->capacity ? NBUF_FAULT_COUNT : NBUF_FAULT_NONE;
}

nbuf_fault nbuf_format_check(uintptr_t locator, const nbuf_layout *layout, uint64_t this_address,
                             uint32_t *item) {
  nbuf_fault fault = check_header(locator, layout, this_address);
  uint32_t count = fault == NBUF_FAULT_NONE ? nbuf_format_count(locator, layout) : 0;
  count = count < layout->capacity ? count : layout->capacity; /* it may have changed since */
  bool may_overlap = layout->dialect != NEARBUF_DIALECT_RUST && !are_apart(locator, layout, count);
  uint32_t index = 0;
  for (; index < count && fault == NBUF_FAULT_NONE; index++) {
    nbuf_item values = nbuf_item_read(nbuf_item_at(locator, layout, index), layout);
    fault = nbuf_item_check(&values, layout);
    bool is_overlap = nbuf_item_covers_locator(&values, this_address) ||
                      (may_overlap && nbuf_format_overlaps(locator, layout, index, index));
    if (fault == NBUF_FAULT_NONE && is_overlap) {
      fault = NBUF_FAULT_ITEM_OVERLAP;
    }
    if (fault == NBUF_FAULT_NONE && values.base == 0 && index + 1 == count) {
      fault = NBUF_FAULT_ITEM_BASE; /* the last counted slot is never empty: not yet written */
    }
  }
  if (item != NULL) {
    *item = index == 0 ? 0 : index - 1;
  }
  return fault;
}
