/* The shared bytes: offsets, dialects, validity. No system calls.
 *
 * A locator is 4096 bytes: a header, then items. docs/format.md has the tables; three dialects of
 * version 0 lay the fields out differently. Everything here works on the address of 4096 readable
 * bytes, be it a live locator that others change meanwhile or a copy of one of another process,
 * whose addresses may be narrower or wider than ours. */
#ifndef NB_FORMAT_H
#define NB_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nearbuf/nearbuf.h>

#include "base/shared.h"

enum {
  NB_LOCATOR_SIZE = 4096,
  NB_CAPACITY_64 = 203, /* items of a locator of a 64-bit process */
  NB_CAPACITY_32 = 255,
  NB_NATIVE_CAPACITY = sizeof(uintptr_t) == 8 ? NB_CAPACITY_64 : NB_CAPACITY_32
};

/* Where the fields of one dialect stand, for addresses of one width. Offsets from the start of the
 * locator, for the last three from the start of the item. */
typedef struct nb_layout {
  uint8_t dialect; /* nearbuf_dialect */
  uint8_t width;   /* of an address: 8 or 4 */
  uint8_t capacity;
  uint8_t header_size;
  uint8_t item_size;
  uint8_t next;
  uint8_t locked;
  uint8_t flags;
  uint8_t count;        /* of the written specification and the Rust reference */
  uint8_t count_dotnet; /* of the .NET reference */
  uint8_t taken;
  uint8_t size;
  uint8_t position;
} nb_layout;

/* The offsets in an item, for addresses of `width` bytes. The table of layouts is made of them, and
 * the fast path computes them, for a lookup would take it longer. */
#define NB_TAKEN_AT(width, is_rust) ((width) + ((is_rust) ? 8 : 0))
#define NB_SIZE_AT(width, is_rust) ((width) + ((is_rust) ? 0 : 4))
#define NB_POSITION_AT(width, is_rust) ((width) + ((is_rust) ? 4 : 8))

/* By width (0: 32 bit, 1: 64 bit) and dialect; the entries of UNKNOWN have the header fields only. */
extern const nb_layout nb_layouts[2][4];

static inline const nb_layout *nb_layout_of(uint32_t width, uint32_t dialect) {
  return &nb_layouts[width == 8][dialect];
}

static inline const nb_layout *nb_native_layout(uint32_t dialect) {
  return nb_layout_of(sizeof(uintptr_t), dialect);
}

/* The address of an item. */
static inline uintptr_t nb_item_at(uintptr_t locator, const nb_layout *layout, uint32_t index) {
  return locator + layout->header_size + (uintptr_t)index * layout->item_size;
}

/* A copy of one item. One whose base is 0 is an empty slot: no buffer, whatever its other bytes are. */
typedef struct nb_item {
  uint64_t base;
  uint32_t size;
  uint32_t position;
  uint32_t taken;
} nb_item;

/* The other fields of an empty slot are read as 0. In a locator of the Rust dialect there can be items of
 * the .NET reference, from when that was starting and took the page for its own: only it can use them, so
 * they are told as taken. */
nb_item nb_item_read(uintptr_t item, const nb_layout *layout);

/* Writes an item that no count makes visible yet. The size goes first: to the .NET reference, which
 * reads the Rust dialect's size as its lock, such an item is taken from its first instant. */
void nb_item_write(uintptr_t item, const nb_layout *layout, const nb_item *values);

/* The number of items; both references' counts are kept outside the Rust dialect, the larger is
 * true. Storing (under the header's lock) makes the items before it visible. */
uint32_t nb_format_count(uintptr_t locator, const nb_layout *layout);
void nb_format_store_count(uintptr_t locator, const nb_layout *layout, uint32_t count);

/* The number of items of a first locator whose header another library may have cleared: that of the slots
 * up to the last one that is not empty. Where a slot behind the count holds what cannot be an item, no
 * library cleared the header of these items: then it is the count. */
uint32_t nb_format_count_by_slots(uintptr_t locator, const nb_layout *layout,
                                  uint64_t this_address);

/* Fills 4096 bytes with a locator that will be mapped at `this_address` and has `count` items. One of
 * the Rust dialect looks full to the .NET reference, which would else add items over its items. */
void nb_format_build(uintptr_t image, const nb_layout *layout, uint64_t this_address,
                     const nb_item *items, uint32_t count);

/* Lets a locator of the Rust dialect look full to the .NET reference; and whether it does: then this library
 * made it. */
void nb_format_hide_from_dotnet(uintptr_t locator, const nb_layout *layout);
bool nb_format_is_hidden_from_dotnet(uintptr_t locator, const nb_layout *layout);

/* What is wrong with a locator. */
typedef enum nb_fault {
  NB_FAULT_NONE = 0,
  NB_FAULT_VERSION,      /* a version that this library does not know */
  NB_FAULT_THIS_ADDRESS, /* it says that it is mapped elsewhere */
  NB_FAULT_NEXT_ADDRESS, /* its link is not aligned or points at itself */
  NB_FAULT_LOCK,         /* the lock is neither 0 nor 1 */
  NB_FAULT_COUNT,        /* more items than fit */
  NB_FAULT_DIALECT,      /* its items are of no known layout */
  NB_FAULT_ITEM_BASE,
  NB_FAULT_ITEM_SIZE,
  NB_FAULT_ITEM_POSITION,
  NB_FAULT_ITEM_TAKEN,
  NB_FAULT_ITEM_OVERLAP /* with another item, or with the locator itself */
} nb_fault;

const char *nb_fault_text(nb_fault fault);

/* The dialect of a locator by its last buffer, for the first ones can be those of a reference that took the
 * page for its own; `dialect_if_empty` where it counts no item. UNKNOWN: an unknown version, an item of no known
 * layout, or nothing but empty slots. */
nearbuf_dialect nb_format_recognise(uintptr_t locator, uint32_t width,
                                    nearbuf_dialect dialect_if_empty);

/* Whether a locator is valid: the first thing that is wrong with it, and in `*item` (may be null)
 * the item that is meant. `this_address` is where it is mapped in its own process. Never crashes and
 * never writes, whatever the bytes are. Overlaps are no fault in the Rust dialect, whose reference
 * makes them; see nb_format_overlaps. */
nb_fault nb_format_check(uintptr_t locator, const nb_layout *layout, uint64_t this_address,
                         uint32_t *item);

/* Whether an item by itself makes sense; an empty slot does. */
nb_fault nb_item_check(const nb_item *item, const nb_layout *layout);

/* Whether the buffer of an item shares a byte with the locator that is mapped at `this_address`. */
bool nb_item_covers_locator(const nb_item *item, uint64_t this_address);

/* Whether the buffer of an item shares a byte with the buffer of another one among the first `count`
 * items of its locator. */
bool nb_format_overlaps(uintptr_t locator, const nb_layout *layout, uint32_t index, uint32_t count);

#endif
