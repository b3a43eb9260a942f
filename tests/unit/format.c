/* The shared bytes, against images that are written here by hand from the tables of
 * docs/format.md. */
#include "base/format.h"

#include <string.h>

#include "test.h"

/* ---- Golden images --------------------------------------------------------------------------- */

typedef struct image {
  _Alignas(8) unsigned char bytes[NBUF_LOCATOR_SIZE];
} image;

/* Two buffers, the first held, the second not: 64 KiB at 0x7f1122340000 with 0x1234 bytes used, and
 * 0x21000 bytes at 0x00007ffe89abc000, unused. The locator lies at 0x7f55aa001000, the next one at
 * 0x7f55aa042000, and its lock is held. */
static const unsigned char written_64[] = {
    0x00, 0x10, 0x00, 0xaa, 0x55, 0x7f, 0x00, 0x00, /* 0: this address */
    0x00, 0x20, 0x04, 0xaa, 0x55, 0x7f, 0x00, 0x00, /* 8: next locator */
    0x01, 0x00, 0x00, 0x00,                         /* 16: is locked */
    0x00,                                           /* 20: flags */
    0x02,                                           /* 21: item count */
    0x00, 0x02, /* 22: reserved; 23: the .NET implementation's count */
    0x00, 0x00, 0x34, 0x22, 0x11, 0x7f, 0x00, 0x00, /* 24: base address */
    0x01, 0x00, 0x00, 0x00,                         /* 32: is taken */
    0x00, 0x00, 0x01, 0x00,                         /* 36: size */
    0x34, 0x12, 0x00, 0x00,                         /* 40: position */
    0x00, 0xc0, 0xab, 0x89, 0xfe, 0x7f, 0x00, 0x00, /* 44: base address */
    0x00, 0x00, 0x00, 0x00,                         /* 52: is taken */
    0x00, 0x10, 0x02, 0x00,                         /* 56: size */
    0x00, 0x00, 0x00, 0x00,                         /* 60: position */
};

static const unsigned char dotnet_64[] = {
    0x00, 0x10, 0x00, 0xaa, 0x55, 0x7f, 0x00, 0x00, /* 0: this address */
    0x00, 0x20, 0x04, 0xaa, 0x55, 0x7f, 0x00, 0x00, /* 8: next locator */
    0x01, 0x00, 0x00, 0x00,                         /* 16: is locked */
    0x00, 0x00, 0x00,                               /* 20: flags, reserved */
    0x02,                                           /* 23: item count */
    0x00, 0x00, 0x34, 0x22, 0x11, 0x7f, 0x00, 0x00, /* 24: base address */
    0x01, 0x00, 0x00, 0x00,                         /* 32: is taken */
    0x00, 0x00, 0x01, 0x00,                         /* 36: size */
    0x34, 0x12, 0x00, 0x00,                         /* 40: position */
    0x00, 0xc0, 0xab, 0x89, 0xfe, 0x7f, 0x00, 0x00, /* 44: base address */
    0x00, 0x00, 0x00, 0x00,                         /* 52: is taken */
    0x00, 0x10, 0x02, 0x00,                         /* 56: size */
    0x00, 0x00, 0x00, 0x00,                         /* 60: position */
};

static const unsigned char rust_64[] = {
    0x00, 0x10, 0x00, 0xaa, 0x55, 0x7f, 0x00, 0x00, /* 0: this address */
    0x00, 0x20, 0x04, 0xaa, 0x55, 0x7f, 0x00, 0x00, /* 8: next locator */
    0x01, 0x00, 0x00, 0x00,                         /* 16: is locked */
    0x00,                                           /* 20: flags */
    0x02,                                           /* 21: item count */
    0x00, 0x00,                                     /* 22: reserved */
    0x00, 0x00, 0x34, 0x22, 0x11, 0x7f, 0x00, 0x00, /* 24: base address */
    0x00, 0x00, 0x01, 0x00,                         /* 32: size */
    0x34, 0x12, 0x00, 0x00,                         /* 36: position */
    0x01, 0x00, 0x00, 0x00,                         /* 40: is taken */
    0x00, 0xc0, 0xab, 0x89, 0xfe, 0x7f, 0x00, 0x00, /* 44: base address */
    0x00, 0x10, 0x02, 0x00,                         /* 52: size */
    0x00, 0x00, 0x00, 0x00,                         /* 56: position */
    0x00, 0x00, 0x00, 0x00,                         /* 60: is taken */
};

/* The same of a 32-bit process: buffers at 0x22340000 and 0x89abc000, the locator at 0xaa001000,
 * the next one at 0xaa042000. */
static const unsigned char written_32[] = {
    0x00, 0x10, 0x00, 0xaa, /* 0: this address */
    0x00, 0x20, 0x04, 0xaa, /* 4: next locator */
    0x01, 0x00, 0x00, 0x00, /* 8: is locked */
    0x00,                   /* 12: flags */
    0x02,                   /* 13: item count */
    0x00, 0x02,             /* 14: reserved; 15: the .NET implementation's count */
    0x00, 0x00, 0x34, 0x22, /* 16: base address */
    0x01, 0x00, 0x00, 0x00, /* 20: is taken */
    0x00, 0x00, 0x01, 0x00, /* 24: size */
    0x34, 0x12, 0x00, 0x00, /* 28: position */
    0x00, 0xc0, 0xab, 0x89, /* 32: base address */
    0x00, 0x00, 0x00, 0x00, /* 36: is taken */
    0x00, 0x10, 0x02, 0x00, /* 40: size */
    0x00, 0x00, 0x00, 0x00, /* 44: position */
};

static const unsigned char dotnet_32[] = {
    0x00, 0x10, 0x00, 0xaa, /* 0: this address */
    0x00, 0x20, 0x04, 0xaa, /* 4: next locator */
    0x01, 0x00, 0x00, 0x00, /* 8: is locked */
    0x00, 0x00, 0x00,       /* 12: flags, reserved */
    0x02,                   /* 15: item count */
    0x00, 0x00, 0x34, 0x22, /* 16: base address */
    0x01, 0x00, 0x00, 0x00, /* 20: is taken */
    0x00, 0x00, 0x01, 0x00, /* 24: size */
    0x34, 0x12, 0x00, 0x00, /* 28: position */
    0x00, 0xc0, 0xab, 0x89, /* 32: base address */
    0x00, 0x00, 0x00, 0x00, /* 36: is taken */
    0x00, 0x10, 0x02, 0x00, /* 40: size */
    0x00, 0x00, 0x00, 0x00, /* 44: position */
};

static const unsigned char rust_32[] = {
    0x00, 0x10, 0x00, 0xaa, /* 0: this address */
    0x00, 0x20, 0x04, 0xaa, /* 4: next locator */
    0x01, 0x00, 0x00, 0x00, /* 8: is locked */
    0x00,                   /* 12: flags */
    0x02,                   /* 13: item count */
    0x00, 0x00,             /* 14: reserved */
    0x00, 0x00, 0x34, 0x22, /* 16: base address */
    0x00, 0x00, 0x01, 0x00, /* 20: size */
    0x34, 0x12, 0x00, 0x00, /* 24: position */
    0x01, 0x00, 0x00, 0x00, /* 28: is taken */
    0x00, 0xc0, 0xab, 0x89, /* 32: base address */
    0x00, 0x10, 0x02, 0x00, /* 36: size */
    0x00, 0x00, 0x00, 0x00, /* 40: position */
    0x00, 0x00, 0x00, 0x00, /* 44: is taken */
};

static const struct {
  const unsigned char *bytes;
  size_t size;
  uint32_t width;
  nearbuf_dialect dialect;
  uint64_t this_address;
  uint64_t next;
  uint64_t bases[2];
} golden[] = {
    {written_64,
     sizeof written_64,
     8,
     NEARBUF_DIALECT_WRITTEN,
     0x7f55aa001000,
     0x7f55aa042000,
     {0x7f1122340000, 0x7ffe89abc000}},
    {dotnet_64,
     sizeof dotnet_64,
     8,
     NEARBUF_DIALECT_DOTNET,
     0x7f55aa001000,
     0x7f55aa042000,
     {0x7f1122340000, 0x7ffe89abc000}},
    {rust_64,
     sizeof rust_64,
     8,
     NEARBUF_DIALECT_RUST,
     0x7f55aa001000,
     0x7f55aa042000,
     {0x7f1122340000, 0x7ffe89abc000}},
    {written_32,
     sizeof written_32,
     4,
     NEARBUF_DIALECT_WRITTEN,
     0xaa001000,
     0xaa042000,
     {0x22340000, 0x89abc000}},
    {dotnet_32,
     sizeof dotnet_32,
     4,
     NEARBUF_DIALECT_DOTNET,
     0xaa001000,
     0xaa042000,
     {0x22340000, 0x89abc000}},
    {rust_32,
     sizeof rust_32,
     4,
     NEARBUF_DIALECT_RUST,
     0xaa001000,
     0xaa042000,
     {0x22340000, 0x89abc000}},
};
enum { GOLDEN = sizeof golden / sizeof golden[0] };

static image golden_image(int which) {
  image whole = {{0}};
  memcpy(whole.bytes, golden[which].bytes, golden[which].size);
  return whole;
}

static const nbuf_layout *layout_of(int which) {
  return nbuf_layout_of(golden[which].width, golden[which].dialect);
}

static nbuf_fault check(const image *whole, int which, uint32_t *item) {
  return nbuf_format_check((uintptr_t)whole->bytes, layout_of(which), golden[which].this_address,
                           item);
}

TEST(golden_images_are_read_field_by_field) {
  for (int i = 0; i < GOLDEN; i++) {
    image whole = golden_image(i);
    uintptr_t at = (uintptr_t)whole.bytes;
    const nbuf_layout *layout = layout_of(i);
    CHECK_EQUAL(golden[i].this_address, nbuf_shared_address_relaxed(at, layout->width));
    CHECK_EQUAL(golden[i].next, nbuf_shared_address_relaxed(at + layout->next, layout->width));
    CHECK_EQUAL(1, nbuf_shared_load_relaxed(at + layout->locked));
    CHECK_EQUAL(0, whole.bytes[layout->flags]);
    CHECK_EQUAL(2, nbuf_format_count(at, layout));
    nbuf_item held = nbuf_item_read(nbuf_item_at(at, layout, 0), layout);
    CHECK_EQUAL(golden[i].bases[0], held.base);
    CHECK_EQUAL(0x10000, held.size);
    CHECK_EQUAL(0x1234, held.position);
    CHECK_EQUAL(1, held.taken);
    nbuf_item idle = nbuf_item_read(nbuf_item_at(at, layout, 1), layout);
    CHECK_EQUAL(golden[i].bases[1], idle.base);
    CHECK_EQUAL(0x21000, idle.size);
    CHECK_EQUAL(0, idle.position);
    CHECK_EQUAL(0, idle.taken);
  }
}

TEST(golden_images_are_recognised_and_valid) {
  for (int i = 0; i < GOLDEN; i++) {
    image whole = golden_image(i);
    CHECK_EQUAL(golden[i].dialect, nbuf_format_recognise((uintptr_t)whole.bytes, golden[i].width,
                                                         NEARBUF_DIALECT_UNKNOWN));
    CHECK_EQUAL(NBUF_FAULT_NONE, check(&whole, i, NULL));
  }
}

/* A built locator has neither a link nor a held lock; these two are added as the library does. */
TEST(built_locators_equal_the_golden_images_byte_by_byte) {
  for (int i = 0; i < GOLDEN; i++) {
    if (golden[i].dialect == NEARBUF_DIALECT_DOTNET) {
      continue; /* that layout is never built: the written one serves the .NET implementation */
    }
    image built;
    memset(&built, 0xEE, sizeof built);
    const nbuf_layout *layout = layout_of(i);
    const nbuf_item items[2] = {{golden[i].bases[0], 0x10000, 0x1234, 1},
                                {golden[i].bases[1], 0x21000, 0, 0}};
    uintptr_t at = (uintptr_t)built.bytes;
    nbuf_format_build(at, layout, golden[i].this_address, items, 2);
    nbuf_shared_address_store_release(at + layout->next, layout->width, golden[i].next);
    CHECK(nbuf_shared_lock_acquire(at + layout->locked));
    image expected = golden_image(i);
    if (golden[i].dialect == NEARBUF_DIALECT_RUST) {
      expected.bytes[layout->count_dotnet] = layout->capacity; /* full for .NET */
    }
    for (size_t byte = 0; byte < sizeof built.bytes; byte++) {
      if (built.bytes[byte] != expected.bytes[byte]) {
        test_fail(__FILE__, __LINE__, "image %d differs at offset %zu: %#x, not %#x", i, byte,
                  (unsigned)built.bytes[byte], (unsigned)expected.bytes[byte]);
      }
    }
  }
}

/* ---- Capacity -------------------------------------------------------------------------------- */

/* A locator with the maximum number of items, a page each. */
static image full_image(const nbuf_layout *layout) {
  nbuf_item items[NBUF_CAPACITY_32];
  for (uint32_t i = 0; i < layout->capacity; i++) {
    items[i] = (nbuf_item){0x10000000 + (uint64_t)i * 4096, 4096, i, i % 2};
  }
  image whole;
  nbuf_format_build((uintptr_t)whole.bytes, layout, 0x20000000, items, layout->capacity);
  return whole;
}

TEST(a_locator_has_203_items_in_64_bits_and_255_in_32) {
  for (int i = 0; i < GOLDEN; i++) {
    const nbuf_layout *layout = layout_of(i);
    CHECK_EQUAL(golden[i].width == 8 ? 203 : 255, layout->capacity);
    uintptr_t end = nbuf_item_at(0, layout, layout->capacity);
    CHECK(end <= 4096);
    CHECK(end + layout->item_size > 4096);
  }
}

TEST(a_full_locator_is_valid_to_its_last_item) {
  for (int i = 0; i < GOLDEN; i++) {
    const nbuf_layout *layout = layout_of(i);
    image whole = full_image(layout);
    uintptr_t at = (uintptr_t)whole.bytes;
    CHECK_EQUAL(layout->capacity, nbuf_format_count(at, layout));
    CHECK_EQUAL(NBUF_FAULT_NONE, nbuf_format_check(at, layout, 0x20000000, NULL));
    uint32_t last = layout->capacity - 1u;
    nbuf_item item = nbuf_item_read(nbuf_item_at(at, layout, last), layout);
    CHECK_EQUAL(0x10000000 + (uint64_t)last * 4096, item.base);
    CHECK_EQUAL(last, item.position);
  }
}

TEST(both_counts_are_stored_outside_the_rust_dialect_and_the_larger_is_true) {
  for (int i = 0; i < GOLDEN; i++) {
    image whole = golden_image(i);
    uintptr_t at = (uintptr_t)whole.bytes;
    const nbuf_layout *layout = layout_of(i);
    bool is_rust = golden[i].dialect == NEARBUF_DIALECT_RUST;
    nbuf_format_store_count(at, layout, 200);
    CHECK_EQUAL(200, whole.bytes[layout->count]);
    CHECK_EQUAL(is_rust ? 0 : 200, whole.bytes[layout->count_dotnet]);
    whole.bytes[layout->count_dotnet] = 201;
    CHECK_EQUAL(is_rust ? 200 : 201, nbuf_format_count(at, layout));
    whole.bytes[layout->count] = 202;
    CHECK_EQUAL(202, nbuf_format_count(at, layout));
  }
}

TEST(a_rust_locator_that_is_made_here_looks_full_to_the_dotnet_reference) {
  for (int i = 0; i < GOLDEN; i++) {
    const nbuf_layout *layout = layout_of(i);
    image theirs = golden_image(i);
    CHECK(!nbuf_format_is_hidden_from_dotnet((uintptr_t)theirs.bytes, layout));
    image ours;
    uintptr_t at = (uintptr_t)ours.bytes;
    nbuf_item item = {0x10000000, 4096, 0, 0};
    nbuf_format_build(at, layout, 0x20000000, &item, 1);
    bool is_rust = golden[i].dialect == NEARBUF_DIALECT_RUST;
    CHECK_EQUAL(is_rust ? layout->capacity : 1, ours.bytes[layout->count_dotnet]);
    CHECK_EQUAL(is_rust, nbuf_format_is_hidden_from_dotnet(at, layout));
    CHECK_EQUAL(1, nbuf_format_count(at, layout));
    CHECK_EQUAL(NBUF_FAULT_NONE, nbuf_format_check(at, layout, 0x20000000, NULL));
    CHECK_EQUAL(is_rust, nbuf_format_recognise(at, golden[i].width, NEARBUF_DIALECT_UNKNOWN) ==
                             NEARBUF_DIALECT_RUST);
  }
}

/* ---- Recognition ----------------------------------------------------------------------------- */

static nearbuf_dialect recognise(const image *whole, uint32_t width) {
  return nbuf_format_recognise((uintptr_t)whole->bytes, width, NEARBUF_DIALECT_RUST);
}

TEST(an_empty_locator_has_the_dialect_that_the_caller_knows) {
  image empty = {{0}};
  CHECK_EQUAL(NEARBUF_DIALECT_RUST, recognise(&empty, 8));
  CHECK_EQUAL(NEARBUF_DIALECT_DOTNET,
              nbuf_format_recognise((uintptr_t)empty.bytes, 4, NEARBUF_DIALECT_DOTNET));
}

/* On its heap it leaves what was there before, also where the .NET count would be. */
TEST(a_rust_locator_is_recognised_whatever_lies_where_it_writes_nothing) {
  for (int i = 0; i < GOLDEN; i++) {
    if (golden[i].dialect != NEARBUF_DIALECT_RUST) {
      continue;
    }
    image whole = golden_image(i);
    const nbuf_layout *layout = layout_of(i);
    uintptr_t at = (uintptr_t)whole.bytes;
    for (uint32_t slot = nbuf_format_count(at, layout); slot < layout->capacity; slot++) {
      memset((void *)nbuf_item_at(at, layout, slot), 'l', 4);
    }
    for (unsigned count = 0; count < 256; count++) {
      whole.bytes[layout->count_dotnet] = (unsigned char)count;
      CHECK_EQUAL(NEARBUF_DIALECT_RUST,
                  nbuf_format_recognise(at, golden[i].width, NEARBUF_DIALECT_UNKNOWN));
      CHECK_EQUAL(NBUF_FAULT_NONE, check(&whole, i, NULL));
    }
  }
}

/* As the Rust implementation leaves a locator of this library whose header it cleared. */
TEST(a_rust_locator_of_ours_is_recognised_without_its_count) {
  for (uint32_t width = 4; width <= 8; width += 4) {
    const nbuf_layout *layout = nbuf_layout_of(width, NEARBUF_DIALECT_RUST);
    image whole;
    uintptr_t at = (uintptr_t)whole.bytes;
    nbuf_item item = {0x10000000, 4096, 0, 0};
    nbuf_format_build(at, layout, 0x20000000, &item, 1);
    whole.bytes[layout->count] = 0;
    CHECK_EQUAL(NEARBUF_DIALECT_RUST, nbuf_format_recognise(at, width, NEARBUF_DIALECT_UNKNOWN));
    whole.bytes[layout->count_dotnet] = 1; /* it is not hidden */
    CHECK_EQUAL(NEARBUF_DIALECT_UNKNOWN, nbuf_format_recognise(at, width, NEARBUF_DIALECT_RUST));
  }
}

TEST(any_version_bit_of_either_reading_makes_the_dialect_unknown) {
  for (int i = 0; i < GOLDEN; i++) {
    for (int bit = 0; bit < 8; bit++) {
      image whole = golden_image(i);
      whole.bytes[layout_of(i)->flags] = (unsigned char)(1 << bit);
      bool is_version = bit < 3 || bit > 4;
      CHECK_EQUAL(is_version ? NEARBUF_DIALECT_UNKNOWN : golden[i].dialect,
                  recognise(&whole, golden[i].width));
      CHECK_EQUAL(is_version ? NBUF_FAULT_VERSION : NBUF_FAULT_NONE, check(&whole, i, NULL));
    }
  }
}

TEST(an_item_of_no_known_layout_makes_the_dialect_unknown) {
  for (int i = 0; i < GOLDEN; i++) {
    image whole = golden_image(i);
    uintptr_t item = nbuf_item_at((uintptr_t)whole.bytes, layout_of(i), 1);
    nbuf_shared_store_relaxed(item + golden[i].width, 2);
    CHECK_EQUAL(NEARBUF_DIALECT_UNKNOWN, recognise(&whole, golden[i].width));
    nbuf_shared_store_relaxed(item + golden[i].width, 4095);
    CHECK_EQUAL(NEARBUF_DIALECT_UNKNOWN, recognise(&whole, golden[i].width));
  }
}

TEST(the_dialect_is_told_by_a_single_item_held_or_not) {
  for (int i = 0; i < GOLDEN; i++) {
    for (uint32_t taken = 0; taken < 2; taken++) {
      image whole = {{0}};
      nbuf_item only = {golden[i].bases[0], 0x1000, 0, taken};
      nbuf_format_build((uintptr_t)whole.bytes, layout_of(i), golden[i].this_address, &only, 1);
      if (golden[i].dialect == NEARBUF_DIALECT_DOTNET) {
        whole.bytes[layout_of(i)->count] = 0;
      }
      if (golden[i].dialect == NEARBUF_DIALECT_RUST) {
        whole.bytes[layout_of(i)->count_dotnet] = 0;
      }
      CHECK_EQUAL(golden[i].dialect, recognise(&whole, golden[i].width));
    }
  }
}

TEST(a_count_of_more_items_than_fit_leads_to_none_behind_the_locator) {
  for (int i = 0; i < GOLDEN; i++) {
    static image both[2];
    both[0] = golden_image(i);
    memset(both[1].bytes, 0xff, sizeof both[1].bytes);
    both[0].bytes[layout_of(i)->count] = golden[i].dialect == NEARBUF_DIALECT_DOTNET ? 0 : 255;
    both[0].bytes[layout_of(i)->count_dotnet] = golden[i].dialect == NEARBUF_DIALECT_RUST ? 0 : 255;
    CHECK_EQUAL(golden[i].dialect, recognise(&both[0], golden[i].width));
  }
}

TEST(slots_without_a_buffer_are_no_fault_and_do_not_tell_the_dialect) {
  for (int i = 0; i < GOLDEN; i++) {
    image whole = golden_image(i);
    uintptr_t at = (uintptr_t)whole.bytes;
    nbuf_item none = {0, 0x1000, 7, 1}; /* what a thread leaves that ended while it listed */
    nbuf_item_write(nbuf_item_at(at, layout_of(i), 0), layout_of(i), &none);
    CHECK_EQUAL(golden[i].dialect, recognise(&whole, golden[i].width));
    CHECK_EQUAL(NBUF_FAULT_NONE, check(&whole, i, NULL));
    nbuf_format_store_count(at, layout_of(i), 0);
    CHECK_EQUAL(2, nbuf_format_count_by_slots(at, layout_of(i), golden[i].this_address));
    nbuf_format_store_count(at, layout_of(i), 2);
    nbuf_item_write(nbuf_item_at(at, layout_of(i), 1), layout_of(i), &none);
    CHECK_EQUAL(NEARBUF_DIALECT_UNKNOWN, recognise(&whole, golden[i].width));
    CHECK_EQUAL(NBUF_FAULT_ITEM_BASE, check(&whole, i, NULL));
    nbuf_format_store_count(at, layout_of(i), 0);
    CHECK_EQUAL(0, nbuf_format_count_by_slots(at, layout_of(i), golden[i].this_address));
  }
}

TEST(what_cannot_be_an_item_behind_the_count_is_not_counted) {
  for (int i = 0; i < GOLDEN; i++) {
    image whole = golden_image(i);
    uintptr_t at = (uintptr_t)whole.bytes;
    nbuf_item wrong = {0x10000, 0, 0, 0}; /* of no size */
    nbuf_item_write(nbuf_item_at(at, layout_of(i), 20), layout_of(i), &wrong);
    CHECK_EQUAL(2, nbuf_format_count_by_slots(at, layout_of(i), golden[i].this_address));
    nbuf_item on_it = {golden[i].this_address, 0x1000, 0, 0}; /* the locator's own memory */
    nbuf_item_write(nbuf_item_at(at, layout_of(i), 20), layout_of(i), &on_it);
    CHECK_EQUAL(2, nbuf_format_count_by_slots(at, layout_of(i), golden[i].this_address));
    nbuf_item again = {golden[i].bases[0], 0x1000, 0, 0}; /* an item's memory */
    nbuf_item_write(nbuf_item_at(at, layout_of(i), 20), layout_of(i), &again);
    CHECK_EQUAL(golden[i].dialect == NEARBUF_DIALECT_RUST ? 21 : 2,
                nbuf_format_count_by_slots(at, layout_of(i), golden[i].this_address));
    nbuf_item right = {0x10000, 0x1000, 0, 0};
    nbuf_item_write(nbuf_item_at(at, layout_of(i), 20), layout_of(i), &right);
    CHECK_EQUAL(21, nbuf_format_count_by_slots(at, layout_of(i), golden[i].this_address));
  }
}

/* The bytes of an item as the .NET reference orders them, read as the Rust one's. */
static nbuf_item read_as_rust(uint32_t width, nbuf_item theirs) {
  _Alignas(8) unsigned char bytes[24] = {0};
  uintptr_t item = (uintptr_t)bytes;
  nbuf_item_write(item, nbuf_layout_of(width, NEARBUF_DIALECT_DOTNET), &theirs);
  return nbuf_item_read(item, nbuf_layout_of(width, NEARBUF_DIALECT_RUST));
}

TEST(only_what_can_be_one_of_its_items_is_read_so) {
  for (uint32_t width = 4; width <= 8; width += 4) {
    CHECK_EQUAL(0x1000, read_as_rust(width, (nbuf_item){0x10000, 0x1000, 0x1000, 1}).size);
    CHECK_EQUAL(1, read_as_rust(width, (nbuf_item){0x10000, 0x1000, 0x1001, 1}).size);
    CHECK_EQUAL(1, read_as_rust(width, (nbuf_item){0x10000, 0xfff, 0, 1}).size);
    CHECK_EQUAL(2, read_as_rust(width, (nbuf_item){0x10000, 0x1000, 0, 2}).size);
  }
}

TEST(items_of_the_dotnet_reference_in_a_rust_locator_are_told_as_taken) {
  for (int i = 0; i < GOLDEN; i++) {
    if (golden[i].dialect != NEARBUF_DIALECT_RUST) {
      continue;
    }
    for (uint32_t taken = 0; taken < 2; taken++) {
      image whole = golden_image(i);
      uintptr_t item = nbuf_item_at((uintptr_t)whole.bytes, layout_of(i), 0);
      nbuf_item theirs = {golden[i].bases[0], 0x1000, 0x30, taken};
      nbuf_item_write(item, nbuf_layout_of(golden[i].width, NEARBUF_DIALECT_DOTNET), &theirs);
      nbuf_item seen = nbuf_item_read(item, layout_of(i));
      CHECK_EQUAL(theirs.base, seen.base);
      CHECK_EQUAL(0x1000, seen.size);
      CHECK_EQUAL(0x30, seen.position);
      CHECK_EQUAL(1, seen.taken);
      CHECK_EQUAL(NEARBUF_DIALECT_RUST, recognise(&whole, golden[i].width));
      CHECK_EQUAL(NBUF_FAULT_NONE, check(&whole, i, NULL));
    }
  }
}

/* ---- Faults ---------------------------------------------------------------------------------- */

static void expect_header_fault(nbuf_fault fault, int which, uint32_t offset, uint64_t value,
                                uint32_t width) {
  image whole = golden_image(which);
  uintptr_t at = (uintptr_t)whole.bytes + offset;
  if (width == 1) {
    whole.bytes[offset] = (unsigned char)value;
  } else {
    nbuf_shared_address_store_release(at, width, value);
  }
  uint32_t index = 99;
  CHECK_EQUAL(fault, check(&whole, which, &index));
  CHECK_EQUAL(fault == NBUF_FAULT_NONE ? 1 : 0, index); /* the last that was looked at */
}

/* It counts items before or after it writes them, under the lock. */
TEST(another_implementation_may_still_be_listing_under_the_lock_or_below_the_count) {
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_DOTNET);
  const nbuf_item items[2] = {{0x10000000, 4096, 0, 0}, {0x11000000, 4096, 0, 0}};
  image whole;
  uintptr_t at = (uintptr_t)whole.bytes;
  nbuf_format_build(at, layout, 0x20000000, items, 2);
  CHECK(!nbuf_format_is_being_filled(at, 1));
  CHECK(!nbuf_format_is_being_filled(at, 2));
  CHECK(nbuf_format_is_being_filled(at, 3));
  nbuf_shared_store_relaxed(at + layout->locked, 1);
  CHECK(nbuf_format_is_being_filled(at, 2));
  CHECK(nbuf_format_is_being_filled(at, 3));
  nbuf_shared_store_relaxed(at + layout->locked, 0);
  CHECK(!nbuf_format_is_being_filled(at, 2));
}

TEST(faults_of_the_header_are_told_apart) {
  for (int i = 0; i < GOLDEN; i++) {
    const nbuf_layout *layout = layout_of(i);
    uint32_t width = layout->width;
    uint64_t self = golden[i].this_address;
    expect_header_fault(NBUF_FAULT_VERSION, i, layout->flags, 0x20, 1);
    expect_header_fault(NBUF_FAULT_THIS_ADDRESS, i, 0, self + 4096, width);
    expect_header_fault(NBUF_FAULT_THIS_ADDRESS, i, 0, 0, width);
    expect_header_fault(NBUF_FAULT_NEXT_ADDRESS, i, layout->next, self, width);
    for (uint32_t off = 1; off < width; off *= 2) {
      expect_header_fault(NBUF_FAULT_NEXT_ADDRESS, i, layout->next, self + 4096 + off, width);
    }
    expect_header_fault(NBUF_FAULT_NONE, i, layout->next, self + 4096 + width, width);
    expect_header_fault(NBUF_FAULT_NONE, i, layout->next, 0, width);
    expect_header_fault(NBUF_FAULT_LOCK, i, layout->locked, 2, 4);
    expect_header_fault(NBUF_FAULT_LOCK, i, layout->locked, UINT32_MAX, 4);
    bool is_any_count_read = golden[i].dialect != NEARBUF_DIALECT_RUST;
    uint32_t count = is_any_count_read ? layout->count_dotnet : layout->count;
    if (width == 8) { /* a count of 255 items fits 32 bits */
      expect_header_fault(NBUF_FAULT_COUNT, i, count, 204, 1);
      expect_header_fault(NBUF_FAULT_COUNT, i, count, 255, 1);
    }
  }
}

/* Changes the second item. */
static void expect_item_fault(nbuf_fault fault, int which, nbuf_item item) {
  image whole = golden_image(which);
  nbuf_item_write(nbuf_item_at((uintptr_t)whole.bytes, layout_of(which), 1), layout_of(which),
                  &item);
  uint32_t index = 99;
  CHECK_EQUAL(fault, check(&whole, which, &index));
  CHECK_EQUAL(1, index);
}

TEST(faults_of_an_item_are_told_apart_and_name_it) {
  for (int i = 0; i < GOLDEN; i++) {
    uint64_t base = golden[i].bases[1];
    uint64_t highest = golden[i].width == 8 ? UINT64_MAX : UINT32_MAX;
    expect_item_fault(NBUF_FAULT_NONE, i, (nbuf_item){base, 0x1000, 0x1000, 1});
    expect_item_fault(NBUF_FAULT_ITEM_BASE, i, (nbuf_item){0, 0x1000, 0, 0});
    expect_item_fault(NBUF_FAULT_ITEM_SIZE, i, (nbuf_item){base, 0, 0, 0});
    expect_item_fault(NBUF_FAULT_NONE, i, (nbuf_item){highest - 0xfff, 0x1000, 0, 0});
    expect_item_fault(NBUF_FAULT_ITEM_SIZE, i, (nbuf_item){highest - 0xffe, 0x1000, 0, 0});
    expect_item_fault(NBUF_FAULT_ITEM_POSITION, i, (nbuf_item){base, 0x1000, 0x1001, 0});
    expect_item_fault(NBUF_FAULT_ITEM_TAKEN, i, (nbuf_item){base, 0x1000, 0, 2});
  }
}

TEST(items_that_share_a_byte_are_a_fault_outside_the_rust_dialect) {
  for (int i = 0; i < GOLDEN; i++) {
    bool is_rust = golden[i].dialect == NEARBUF_DIALECT_RUST;
    nbuf_fault fault = is_rust ? NBUF_FAULT_NONE : NBUF_FAULT_ITEM_OVERLAP;
    uint64_t first = golden[i].bases[0];
    expect_item_fault(fault, i, (nbuf_item){first, 0x10000, 0, 0});
    expect_item_fault(fault, i, (nbuf_item){first + 0xffff, 0x1000, 0, 0});
    expect_item_fault(NBUF_FAULT_NONE, i, (nbuf_item){first + 0x10000, 0x1000, 0, 0});
    expect_item_fault(fault, i, (nbuf_item){first - 0x1000, 0x1001, 0, 0});
    expect_item_fault(NBUF_FAULT_NONE, i, (nbuf_item){first - 0x1000, 0x1000, 0, 0});
  }
}

TEST(so_is_a_buffer_of_a_single_byte_in_another_one) {
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  const nbuf_item items[] = {{0x10000, 4096, 0, 0}, {0x30000, 1, 0, 0}, {0x10005, 1, 0, 0}};
  image whole;
  uintptr_t at = (uintptr_t)whole.bytes;
  uint32_t told = 999;
  nbuf_format_build(at, layout, 0x20000000, items, 3);
  CHECK_EQUAL(NBUF_FAULT_ITEM_OVERLAP, nbuf_format_check(at, layout, 0x20000000, &told));
  CHECK_EQUAL(2, told);
  nbuf_format_build(at, layout, 0x20000000, items, 2);
  CHECK_EQUAL(NBUF_FAULT_NONE, nbuf_format_check(at, layout, 0x20000000, NULL));
}

TEST(buffers_that_touch_do_not_overlap) {
  const nbuf_layout *layout = nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
  const nbuf_item items[] = {{0x11000, 4096, 0, 0}, {0x10000, 4096, 0, 0}, {0x12000, 4096, 0, 0}};
  image whole;
  uintptr_t at = (uintptr_t)whole.bytes;
  nbuf_format_build(at, layout, 0x13000, items, 3);
  for (uint32_t i = 0; i < 3; i++) {
    CHECK(!nbuf_format_overlaps(at, layout, i, 3));
    CHECK(!nbuf_item_covers_locator(&items[i], 0x13000));
    CHECK(!nbuf_item_covers_locator(&items[i], 0xF000));
  }
  CHECK(nbuf_item_covers_locator(&items[2], 0x12FFF));
  CHECK(nbuf_item_covers_locator(&items[1], 0xF001));
}

TEST(overlaps_with_earlier_and_later_items_are_seen_in_every_dialect) {
  for (int i = 0; i < GOLDEN; i++) {
    image whole = golden_image(i);
    uintptr_t at = (uintptr_t)whole.bytes;
    CHECK(!nbuf_format_overlaps(at, layout_of(i), 1, 2));
    nbuf_item same = {golden[i].bases[0], 0x1000, 0, 0};
    nbuf_item_write(nbuf_item_at(at, layout_of(i), 1), layout_of(i), &same);
    CHECK(nbuf_format_overlaps(at, layout_of(i), 1, 2));
    CHECK(nbuf_format_overlaps(at, layout_of(i), 1, 1));
    CHECK(nbuf_format_overlaps(at, layout_of(i), 0, 2));
    CHECK(!nbuf_format_overlaps(at, layout_of(i), 0, 1));
  }
}

TEST(every_fault_has_a_text_of_its_own) {
  for (int fault = NBUF_FAULT_NONE; fault <= NBUF_FAULT_ITEM_OVERLAP; fault++) {
    const char *text = nbuf_fault_text((nbuf_fault)fault);
    CHECK(strcmp(text, "unknown") != 0);
    for (int other = 0; other < fault; other++) {
      CHECK(strcmp(text, nbuf_fault_text((nbuf_fault)other)) != 0);
    }
  }
  CHECK(strcmp("unknown", nbuf_fault_text((nbuf_fault)(NBUF_FAULT_ITEM_OVERLAP + 1))) == 0);
}

/* ---- Any bytes ------------------------------------------------------------------------------- */

static uint32_t next_random(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407); /* Knuth */
  return (uint32_t)(*state >> 32);
}

/* Random bytes in a golden image: nothing is written, and a locator reported as valid can be
 * used. */
TEST(hostile_images_are_never_written_and_what_is_called_valid_is) {
  uint64_t state = 1;
  for (int round = 0; round < 200000; round++) {
    int which = round % GOLDEN;
    image whole = golden_image(which);
    const nbuf_layout *layout = layout_of(which);
    uint32_t changes = 1 + next_random(&state) % 4;
    for (uint32_t i = 0; i < changes; i++) {
      uint32_t at = next_random(&state) % (layout->header_size + 2u * layout->item_size);
      whole.bytes[at] = (unsigned char)next_random(&state);
    }
    image before = whole;
    uint32_t index = 0;
    nbuf_fault fault = check(&whole, which, &index);
    (void)recognise(&whole, layout->width);
    CHECK(memcmp(&before, &whole, sizeof whole) == 0);
    CHECK(index < layout->capacity);
    uint32_t count = nbuf_format_count((uintptr_t)whole.bytes, layout);
    for (uint32_t i = 0; fault == NBUF_FAULT_NONE && i < count; i++) {
      nbuf_item item = nbuf_item_read(nbuf_item_at((uintptr_t)whole.bytes, layout, i), layout);
      CHECK(item.base == 0 || (item.size != 0 && item.position <= item.size && item.taken <= 1));
      CHECK(count <= layout->capacity);
    }
  }
}

/* ---- Overlaps in a full locator -------------------------------------------------------------- */

enum { ASCENDING, DESCENDING, MIXED, ORDERS, DISTANCE = 0x4000 };

/* Items that touch each other, but for the one with this index, which is a byte larger. */
static image full_image_in(int order, const nbuf_layout *layout, uint32_t larger) {
  image whole = full_image(layout);
  uint32_t count = layout->capacity;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t place = order == ASCENDING ? i : order == DESCENDING ? count - 1 - i : i * 8 % count;
    nbuf_item item = {0x10000000 + (uint64_t)place * DISTANCE, DISTANCE + (i == larger), 0, 0};
    nbuf_item_write(nbuf_item_at((uintptr_t)whole.bytes, layout, i), layout, &item);
  }
  return whole;
}

/* The first item that shares a byte with one before it; the last one if none does. */
static uint32_t first_overlap(uintptr_t at, const nbuf_layout *layout) {
  uint32_t index = 0;
  while (index + 1u < layout->capacity && !nbuf_format_overlaps(at, layout, index, index)) {
    index++;
  }
  return index;
}

TEST(one_overlap_among_all_items_is_told_in_whatever_order_they_are_listed) {
  for (int i = 0; i < GOLDEN * ORDERS; i++) {
    const nbuf_layout *layout = layout_of(i / ORDERS);
    bool is_fault = layout->dialect != NEARBUF_DIALECT_RUST;
    uint32_t overlaps = 0;
    for (uint32_t larger = 0; larger <= layout->capacity; larger++) { /* at last none is */
      image whole = full_image_in(i % ORDERS, layout, larger);
      uintptr_t at = (uintptr_t)whole.bytes;
      uint32_t index = first_overlap(at, layout);
      bool is_overlap = nbuf_format_overlaps(at, layout, index, index);
      uint32_t told = 999;
      CHECK_EQUAL(is_overlap && is_fault ? NBUF_FAULT_ITEM_OVERLAP : NBUF_FAULT_NONE,
                  nbuf_format_check(at, layout, 0x20000000, &told));
      CHECK_EQUAL(is_overlap && is_fault ? index : layout->capacity - 1u, told);
      overlaps += is_overlap;
    }
    CHECK_EQUAL(layout->capacity - 1u, overlaps); /* all but the highest item */
  }
}

TEST(an_overlap_with_an_item_above_the_one_before_it_is_told) {
  for (int i = 0; i < GOLDEN; i++) {
    const nbuf_layout *layout = layout_of(i);
    image whole = full_image(layout);
    uintptr_t at = (uintptr_t)whole.bytes;
    const uint64_t bases[] = {0x10004000, 0x10000000, 0x10004fff};
    for (uint32_t item = 0; item < 3; item++) {
      nbuf_item values = {bases[item], 0x1000, 0, 0};
      nbuf_item_write(nbuf_item_at(at, layout, item), layout, &values);
    }
    nbuf_format_store_count(at, layout, 3);
    bool is_fault = layout->dialect != NEARBUF_DIALECT_RUST;
    uint32_t told = 999;
    CHECK_EQUAL(is_fault ? NBUF_FAULT_ITEM_OVERLAP : NBUF_FAULT_NONE,
                nbuf_format_check(at, layout, 0x20000000, &told));
    CHECK_EQUAL(2, told);
  }
}
