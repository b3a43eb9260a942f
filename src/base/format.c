/* The shared bytes; see format.h and docs/format.md. */
#include "base/format.h"

#include <string.h>

#define HEADER_64(which)                                                                           \
  .dialect = (which), .width = 8, .capacity = NB_CAPACITY_64, .header_size = 24, .item_size = 20,  \
  .next = 8, .locked = 16, .flags = 20, .count = 21, .count_dotnet = 23
#define HEADER_32(which)                                                                           \
  .dialect = (which), .width = 4, .capacity = NB_CAPACITY_32, .header_size = 16, .item_size = 16,  \
  .next = 4, .locked = 8, .flags = 12, .count = 13, .count_dotnet = 15
#define ITEM(width, is_rust)                                                                       \
  .taken = NB_TAKEN_AT(width, is_rust), .size = NB_SIZE_AT(width, is_rust),                        \
  .position = NB_POSITION_AT(width, is_rust)

const nb_layout nb_layouts[2][4] = {
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

static_assert((NB_LOCATOR_SIZE - 24) / 20 == NB_CAPACITY_64, "items of a 64-bit locator");
static_assert((NB_LOCATOR_SIZE - 16) / 16 == NB_CAPACITY_32, "items of a 32-bit locator");

/* The version under every interpretation of the rule for bit fields: the upper three bits according
 * to the text, the lower three in the .NET and Rust implementations. Only version 0 exists. */
enum { VERSION_BITS = 0xE7 };

/* The least size of a Rust item: the other implementations register whole pages. */
enum { LEAST_RUST_SIZE = 4096 };

static nb_item read_as(uintptr_t item, const nb_layout *layout) {
  nb_item values = {
      .base = nb_shared_address_relaxed(item, layout->width),
      .size = nb_shared_load_relaxed(item + layout->size),
      .position = nb_shared_load_relaxed(item + layout->position),
      .taken = nb_shared_load_relaxed(item + layout->taken),
  };
  return values;
}

nb_item nb_item_read(uintptr_t item, const nb_layout *layout) {
  nb_item values = read_as(item, layout);
  if (values.base == 0) {
    return (nb_item){0};
  }
  if (layout->dialect == NEARBUF_DIALECT_RUST && values.size <= 1) {
    nb_item other = read_as(item, nb_layout_of(layout->width, NEARBUF_DIALECT_DOTNET));
    if (other.size >= LEAST_RUST_SIZE && other.position <= other.size) {
      other.taken = 1;
      return other;
    }
  }
  return values;
}

void nb_item_write(uintptr_t item, const nb_layout *layout, const nb_item *values) {
  nb_shared_store_relaxed(item + layout->size, values->size);
  nb_shared_store_relaxed(item + layout->position, values->position);
  nb_shared_store_relaxed(item + layout->taken, values->taken);
  nb_shared_address_store_release(item, layout->width, values->base); /* size before base */
}

uint32_t nb_format_count(uintptr_t locator, const nb_layout *layout) {
  uint32_t count = nb_shared_count_acquire(locator + layout->count);
  if (layout->dialect == NEARBUF_DIALECT_RUST) {
    return count;
  }
  uint32_t dotnet = nb_shared_count_acquire(locator + layout->count_dotnet);
  return dotnet > count ? dotnet : count;
}

void nb_format_store_count(uintptr_t locator, const nb_layout *layout, uint32_t count) {
  nb_shared_count_release(locator + layout->count, count);
  if (layout->dialect != NEARBUF_DIALECT_RUST) {
    nb_shared_count_release(locator + layout->count_dotnet, count);
  }
}

void nb_format_hide_from_dotnet(uintptr_t locator, const nb_layout *layout) {
  nb_shared_count_release(locator + layout->count_dotnet, layout->capacity);
}

bool nb_format_is_hidden_from_dotnet(uintptr_t locator, const nb_layout *layout) {
  return layout->dialect == NEARBUF_DIALECT_RUST &&
         nb_shared_count_acquire(locator + layout->count_dotnet) == layout->capacity;
}

void nb_format_build(uintptr_t image, const nb_layout *layout, uint64_t this_address,
                     const nb_item *items, uint32_t count) {
  memset((void *)image, 0, NB_LOCATOR_SIZE);
  nb_shared_address_store_release(image, layout->width, this_address);
  for (uint32_t i = 0; i < count; i++) {
    nb_item_write(nb_item_at(image, layout, i), layout, &items[i]);
  }
  if (layout->dialect == NEARBUF_DIALECT_RUST) {
    nb_format_hide_from_dotnet(image, layout);
  }
  nb_format_store_count(image, layout, count);
}

/* For people, by fault. */
static const char *const fault_texts[] = {
    [NB_FAULT_NONE] = "valid",
    [NB_FAULT_VERSION] = "an unknown version",
    [NB_FAULT_THIS_ADDRESS] = "its own address is wrong",
    [NB_FAULT_NEXT_ADDRESS] = "its link to the next locator is wrong",
    [NB_FAULT_LOCK] = "its lock is neither free nor held",
    [NB_FAULT_COUNT] = "it counts more items than fit",
    [NB_FAULT_DIALECT] = "its items are of no known layout",
    [NB_FAULT_ITEM_BASE] = "an item has an impossible address",
    [NB_FAULT_ITEM_SIZE] = "an item has an impossible size",
    [NB_FAULT_ITEM_POSITION] = "an item has used more than its size",
    [NB_FAULT_ITEM_TAKEN] = "an item's lock is neither free nor held",
    [NB_FAULT_ITEM_OVERLAP] = "an item shares memory with another or with the locator",
};

const char *nb_fault_text(nb_fault fault) {
  size_t index = (size_t)(unsigned)fault;
  return index < sizeof fault_texts / sizeof fault_texts[0] ? fault_texts[index] : "unknown";
}

nearbuf_dialect nb_format_recognise(uintptr_t locator, uint32_t width,
                                    nearbuf_dialect dialect_if_empty) {
  const nb_layout *header = nb_layout_of(width, NEARBUF_DIALECT_UNKNOWN);
  if ((nb_shared_load_relaxed(locator + header->flags) & VERSION_BITS) != 0) {
    return NEARBUF_DIALECT_UNKNOWN;
  }
  uint32_t written = nb_shared_count_acquire(locator + header->count);
  uint32_t dotnet = nb_shared_count_acquire(locator + header->count_dotnet);
  if (written == 0 && dotnet == 0) {
    return dialect_if_empty;
  }
  uint32_t count = written > dotnet ? written : dotnet;
  /* Slots are at the same offsets in every dialect. */
  const nb_layout *layout = nb_layout_of(width, NEARBUF_DIALECT_WRITTEN);
  uint32_t last = count < layout->capacity ? count : layout->capacity;
  while (last > 0 && nb_shared_address_relaxed(nb_item_at(locator, layout, last - 1), width) == 0) {
    last--;
  }
  if (last == 0) {
    return NEARBUF_DIALECT_UNKNOWN;
  }
  uint32_t second_field = nb_shared_load_relaxed(nb_item_at(locator, layout, last - 1) + width);
  /* Its own count may be cleared while it is still hidden from the .NET implementation. */
  bool can_be_rust = written != 0 || dotnet == layout->capacity;
  if (second_field >= LEAST_RUST_SIZE && can_be_rust) {
    return NEARBUF_DIALECT_RUST;
  }
  if (second_field > 1) {
    return NEARBUF_DIALECT_UNKNOWN;
  }
  return written == 0 ? NEARBUF_DIALECT_DOTNET : NEARBUF_DIALECT_WRITTEN;
}

nb_fault nb_item_check(const nb_item *item, const nb_layout *layout) {
  uint64_t highest = layout->width == 8 ? UINT64_MAX : UINT32_MAX;
  if (item->base == 0) {
    return NB_FAULT_NONE; /* an empty slot */
  }
  if (item->size == 0 || item->size - 1 > highest - item->base) {
    return NB_FAULT_ITEM_SIZE;
  }
  if (item->position > item->size) {
    return NB_FAULT_ITEM_POSITION;
  }
  return item->taken > 1 ? NB_FAULT_ITEM_TAKEN : NB_FAULT_NONE;
}

static bool items_overlap(const nb_item *a, const nb_item *b) {
  return a->base <= b->base ? b->base - a->base < a->size : a->base - b->base < b->size;
}

bool nb_item_covers_locator(const nb_item *item, uint64_t this_address) {
  nb_item locator = {.base = this_address, .size = NB_LOCATOR_SIZE};
  return items_overlap(item, &locator);
}

bool nb_format_overlaps(uintptr_t locator, const nb_layout *layout, uint32_t index,
                        uint32_t count) {
  nb_item item = nb_item_read(nb_item_at(locator, layout, index), layout);
  for (uint32_t i = 0; i < count; i++) {
    nb_item other = nb_item_read(nb_item_at(locator, layout, i), layout);
    if (i != index && items_overlap(&other, &item)) {
      return true;
    }
  }
  return false;
}

static uint32_t used_slots(uintptr_t locator, const nb_layout *layout) {
  uint32_t used = layout->capacity;
  while (used > 0 &&
         nb_shared_address_relaxed(nb_item_at(locator, layout, used - 1), layout->width) == 0) {
    used--;
  }
  return used;
}

uint32_t nb_format_count_by_slots(uintptr_t locator, const nb_layout *layout,
                                  uint64_t this_address) {
  uint32_t count = nb_format_count(locator, layout);
  uint32_t used = used_slots(locator, layout);
  for (uint32_t i = count; i < used; i++) {
    nb_item item = nb_item_read(nb_item_at(locator, layout, i), layout);
    bool is_overlap = layout->dialect != NEARBUF_DIALECT_RUST && item.base != 0 &&
                      nb_format_overlaps(locator, layout, i, i);
    if (nb_item_check(&item, layout) != NB_FAULT_NONE || is_overlap ||
        (item.base != 0 && nb_item_covers_locator(&item, this_address))) {
      return count;
    }
  }
  return used > count ? used : count;
}

static nb_fault check_header(uintptr_t locator, const nb_layout *layout, uint64_t this_address) {
  if ((nb_shared_load_relaxed(locator + layout->flags) & VERSION_BITS) != 0) {
    return NB_FAULT_VERSION;
  }
  if (nb_shared_address_relaxed(locator, layout->width) != this_address) {
    return NB_FAULT_THIS_ADDRESS;
  }
  uint64_t next = nb_shared_address_relaxed(locator + layout->next, layout->width);
  if (next == this_address || (next & (layout->width - 1)) != 0) {
    return NB_FAULT_NEXT_ADDRESS;
  }
  if (nb_shared_load_relaxed(locator + layout->locked) > 1) {
    return NB_FAULT_LOCK;
  }
  return nb_format_count(locator, layout) > layout->capacity ? NB_FAULT_COUNT : NB_FAULT_NONE;
}

nb_fault nb_format_check(uintptr_t locator, const nb_layout *layout, uint64_t this_address,
                         uint32_t *item) {
  nb_fault fault = check_header(locator, layout, this_address);
  uint32_t count = fault == NB_FAULT_NONE ? nb_format_count(locator, layout) : 0;
  uint32_t index = 0;
  for (; index < count && fault == NB_FAULT_NONE; index++) {
    nb_item values = nb_item_read(nb_item_at(locator, layout, index), layout);
    fault = nb_item_check(&values, layout);
    bool is_overlap = nb_item_covers_locator(&values, this_address) ||
                      (layout->dialect != NEARBUF_DIALECT_RUST &&
                       nb_format_overlaps(locator, layout, index, index));
    if (fault == NB_FAULT_NONE && is_overlap) {
      fault = NB_FAULT_ITEM_OVERLAP;
    }
    if (fault == NB_FAULT_NONE && values.base == 0 && index + 1 == count) {
      fault = NB_FAULT_ITEM_BASE; /* the last counted slot is never empty: not yet written */
    }
  }
  if (item != NULL) {
    *item = index == 0 ? 0 : index - 1;
  }
  return fault;
}
