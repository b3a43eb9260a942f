/* The shared bytes: offsets, dialects, validity. No system calls.
 *
 *    0         header_size                 + index * item_size                          4096
 *   +---------+----------+----------+-- --+----------+------------------------------+---+
 *   | header  | item 0   | item 1   | ... | item n   | empty slots                  |   |
 *   +---------+----------+----------+-- --+----------+------------------------------+---+
 *    24 (16)    20 (16) bytes each; 203 (255) slots in a 64-bit (32-bit) process      12 (0)
 *
 * docs/format.md has the tables; three dialects of version 0 order the fields differently. Every
 * function works on the address of 4096 readable bytes: a live locator, which other threads and
 * processes may change meanwhile, or a copy of one of another process with narrower or wider
 * addresses. */
#ifndef NBUF_FORMAT_H
#define NBUF_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nearbuf/nearbuf.h>

#include "base/shared.h"

enum {
  NBUF_LOCATOR_SIZE = 4096,
  NBUF_CAPACITY_64 = 203, /* items of a locator of a 64-bit process */
  NBUF_CAPACITY_32 = 255,
  NBUF_NATIVE_CAPACITY = sizeof(uintptr_t) == 8 ? NBUF_CAPACITY_64 : NBUF_CAPACITY_32
};

/* The offsets of the fields of one dialect, for addresses of one width. They count from the start
 * of the locator, the last three from the start of the item. */
typedef struct nbuf_layout {
  uint8_t dialect; /* nearbuf_dialect */
  uint8_t width;   /* of an address: 8 or 4 */
  uint8_t capacity;
  uint8_t header_size;
  uint8_t item_size;
  uint8_t next;
  uint8_t locked;
  uint8_t flags;
  uint8_t count;        /* in the written specification and the Rust implementation */
  uint8_t count_dotnet; /* in the .NET implementation */
  uint8_t taken;
  uint8_t size;
  uint8_t position;
} nbuf_layout;

/* The offsets in an item, for addresses of `width` bytes. The table of layouts is built from them.
 * The fast path computes them, since a lookup would take longer. */
#define NBUF_TAKEN_AT(width, is_rust) ((width) + ((is_rust) ? 8 : 0))
#define NBUF_SIZE_AT(width, is_rust) ((width) + ((is_rust) ? 0 : 4))
#define NBUF_POSITION_AT(width, is_rust) ((width) + ((is_rust) ? 4 : 8))

/* By width (0: 32 bit, 1: 64 bit) and dialect; the entries of UNKNOWN have only the header
 * fields. */
extern const nbuf_layout nbuf_layouts[2][4];

static inline const nbuf_layout *nbuf_layout_of(uint32_t width, uint32_t dialect) {
  return &nbuf_layouts[width == 8][dialect];
}

static inline const nbuf_layout *nbuf_native_layout(uint32_t dialect) {
  return nbuf_layout_of(sizeof(uintptr_t), dialect);
}

/* The address of an item. */
static inline uintptr_t nbuf_item_at(uintptr_t locator, const nbuf_layout *layout, uint32_t index) {
  return locator + layout->header_size + (uintptr_t)index * layout->item_size;
}

/* A copy of one item. An item whose base is 0 is an empty slot: it lists no buffer, whatever its
 * other bytes are. */
typedef struct nbuf_item {
  uint64_t base;
  uint32_t size;
  uint32_t position;
  uint32_t taken;
} nbuf_item;

/* Reads an item. The other fields of an empty slot are read as 0. A locator of the Rust dialect can
 * contain items of the .NET implementation, from a time when that was starting and took the page
 * for its own. Only it can use them, so they are read as taken. */
nbuf_item nbuf_item_read(uintptr_t item, const nbuf_layout *layout);

/* Writes an item that no count makes visible yet. The size is stored first: the .NET
 * implementation, which reads the Rust dialect's size as its lock, then sees the item as taken from
 * the first instant. */
void nbuf_item_write(uintptr_t item, const nbuf_layout *layout, const nbuf_item *values);

/* The number of items. Outside the Rust dialect the counts of both other implementations are kept,
 * and the larger one is valid. Storing it (under the header's lock) makes the items before it
 * visible. */
uint32_t nbuf_format_count(uintptr_t locator, const nbuf_layout *layout);
void nbuf_format_store_count(uintptr_t locator, const nbuf_layout *layout, uint32_t count);

/* Whether another implementation may still be listing the first `count` items of a locator that has
 * its address: it stores that first, then clears the count, and counts an item before or after it
 * is written, depending on the compiler. Only the items and a free lock prove that it is done. */
bool nbuf_format_is_being_filled(uintptr_t locator, uint32_t count);

/* The number of items of a first locator whose header another library may have cleared: the number
 * of slots up to the last one that is not empty. If a slot behind the count holds bytes that cannot
 * be an item, no library cleared the header of these items, and the stored count is returned. */
uint32_t nbuf_format_count_by_slots(uintptr_t locator, const nbuf_layout *layout,
                                    uint64_t this_address);

/* Fills 4096 bytes with a locator that will be mapped at `this_address` and has `count` items. One
 * of the Rust dialect looks full to the .NET implementation, which would otherwise overwrite its
 * items. */
void nbuf_format_build(uintptr_t image, const nbuf_layout *layout, uint64_t this_address,
                       const nbuf_item *items, uint32_t count);

/* Makes a locator of the Rust dialect look full to the .NET implementation; and whether it does,
 * which means that this library made it. */
void nbuf_format_hide_from_dotnet(uintptr_t locator, const nbuf_layout *layout);
bool nbuf_format_is_hidden_from_dotnet(uintptr_t locator, const nbuf_layout *layout);

/* What is wrong with a locator. */
typedef enum nbuf_fault {
  NBUF_FAULT_NONE = 0,
  NBUF_FAULT_VERSION,      /* a version that this library does not know */
  NBUF_FAULT_THIS_ADDRESS, /* its own address is another one */
  NBUF_FAULT_NEXT_ADDRESS, /* its link is not aligned or points at itself */
  NBUF_FAULT_LOCK,         /* the lock is neither 0 nor 1 */
  NBUF_FAULT_COUNT,        /* more items than fit */
  NBUF_FAULT_DIALECT,      /* its items have no known layout */
  NBUF_FAULT_ITEM_BASE,
  NBUF_FAULT_ITEM_SIZE,
  NBUF_FAULT_ITEM_POSITION,
  NBUF_FAULT_ITEM_TAKEN,
  NBUF_FAULT_ITEM_OVERLAP /* with another item, or with the locator itself */
} nbuf_fault;

const char *nbuf_fault_text(nbuf_fault fault);

/* The dialect of a locator, recognised by its last buffer, since the first ones can be those of the
 * .NET implementation, which took the page for its own; `dialect_if_empty` if it counts no item.
 * UNKNOWN: an unknown version, an item of no known layout, or nothing but empty slots. */
nearbuf_dialect nbuf_format_recognise(uintptr_t locator, uint32_t width,
                                      nearbuf_dialect dialect_if_empty);

/* Checks a locator. Returns the first fault and stores the index of the affected item in `*item`
 * (may be null). `this_address` is the address at which it is mapped in its own process. Never
 * crashes and never writes, whatever the bytes are. Overlaps are not a fault in the Rust dialect,
 * since the Rust implementation creates them; see nbuf_format_overlaps. */
nbuf_fault nbuf_format_check(uintptr_t locator, const nbuf_layout *layout, uint64_t this_address,
                             uint32_t *item);

/* Checks one item by itself; an empty slot is valid. */
nbuf_fault nbuf_item_check(const nbuf_item *item, const nbuf_layout *layout);

/* Whether the buffer of an item shares a byte with the locator that is mapped at `this_address`. */
bool nbuf_item_covers_locator(const nbuf_item *item, uint64_t this_address);

/* Whether the buffer of an item shares a byte with that of another one among the first `count`
 * items of its locator. */
bool nbuf_format_overlaps(uintptr_t locator, const nbuf_layout *layout, uint32_t index,
                          uint32_t count);

#endif
