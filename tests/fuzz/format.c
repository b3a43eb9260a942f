/* Fuzz target: recognising and checking a locator of any bytes.
 *
 * The first byte chooses the width, what an empty locator would be, and whether the locator
 * contains the address where it is mapped; the rest are its bytes. Nothing may be written, nothing
 * outside 4096 bytes be read, and a locator reported as valid must be so by a second, simpler
 * implementation of docs/format.md. */
#include "base/format.h"
#include "fuzz.h"

typedef struct simple_item {
  uint64_t base;
  uint32_t size;
  uint32_t position;
  uint32_t taken;
} simple_item;

static uint64_t number_at(const uint8_t *image, size_t at, size_t bytes) {
  uint64_t number = 0;
  for (size_t i = bytes; i-- > 0;) {
    number = number << 8 | image[at + i];
  }
  return number;
}

/* Written again from the tables of the format, not from format.c. */
static simple_item item_of(const uint8_t *image, uint32_t width, nearbuf_dialect dialect,
                           uint32_t index) {
  size_t at = width == 8 ? 24 + (size_t)index * 20 : 16 + (size_t)index * 16;
  simple_item item = {.base = number_at(image, at, width)};
  uint32_t words[3];
  for (size_t i = 0; i < 3; i++) {
    words[i] = (uint32_t)number_at(image, at + width + 4 * i, 4);
  }
  bool is_rust = dialect == NEARBUF_DIALECT_RUST;
  item.taken = words[is_rust ? 2 : 0];
  item.size = words[is_rust ? 0 : 1];
  item.position = words[is_rust ? 1 : 2];
  if (is_rust && item.base != 0 && words[0] <= 1 && words[1] >= 4096 && words[2] <= words[1]) {
    item.taken = 1; /* the .NET implementation's */
    item.size = words[1];
    item.position = words[2];
  }
  return item;
}

static uint32_t count_of(const uint8_t *image, uint32_t width, nearbuf_dialect dialect) {
  uint32_t written = image[width == 8 ? 21 : 13];
  uint32_t dotnet = image[width == 8 ? 23 : 15];
  return dialect != NEARBUF_DIALECT_RUST && dotnet > written ? dotnet : written;
}

static void require_valid(const uint8_t *image, uint32_t width, nearbuf_dialect dialect,
                          uint64_t this_address) {
  uint32_t count = count_of(image, width, dialect);
  require(number_at(image, 0, width) == this_address);
  require(number_at(image, width, width) != this_address);
  require(number_at(image, 2 * (size_t)width, 4) <= 1);
  require((image[width == 8 ? 20 : 12] & 0xE7) == 0);
  require(count <= (width == 8 ? 203u : 255u));
  for (uint32_t i = 0; i < count; i++) {
    simple_item item = item_of(image, width, dialect, i);
    uint64_t highest = width == 8 ? UINT64_MAX : UINT32_MAX;
    if (item.base == 0) { /* an empty slot */
      continue;
    }
    require(item.size != 0 && item.taken <= 1);
    require(item.position <= item.size && highest - item.base >= item.size - 1);
    require(item.base >= this_address + 4096 || item.base + (item.size - 1) < this_address);
    for (uint32_t j = 0; j < i && dialect != NEARBUF_DIALECT_RUST; j++) {
      simple_item earlier = item_of(image, width, dialect, j);
      bool is_apart = earlier.base == 0 || earlier.base > item.base + (item.size - 1) ||
                      item.base > earlier.base + (earlier.size - 1);
      require(is_apart);
    }
  }
}

/* A locator built from plausible items is recognised, and is valid unless items overlap. */
static void check_built(fuzz_input input, uint32_t width, nearbuf_dialect dialect) {
  const nbuf_layout *layout = nbuf_layout_of(width, dialect);
  nbuf_item items[NBUF_CAPACITY_32];
  uint32_t count = 1 + fuzz_byte(&input) % layout->capacity;
  uint64_t base = 0x10000;
  for (uint32_t i = 0; i < count; i++) {
    items[i] = (nbuf_item){.base = base, .taken = fuzz_byte(&input) & 1};
    items[i].size = 4096U * (1U + fuzz_byte(&input));
    items[i].position = items[i].size / 255 * fuzz_byte(&input);
    base += items[i].size + 4096 * (uint64_t)(fuzz_byte(&input) & 3);
  }
  _Alignas(8) uint8_t image[NBUF_LOCATOR_SIZE];
  uintptr_t at = (uintptr_t)image;
  nbuf_format_build(at, layout, 0x7000, items, count);
  nearbuf_dialect expected = dialect == NEARBUF_DIALECT_DOTNET ? NEARBUF_DIALECT_WRITTEN : dialect;
  require(nbuf_format_recognise(at, width, NEARBUF_DIALECT_UNKNOWN) == expected);
  require(nbuf_format_check(at, layout, 0x7000, NULL) == NBUF_FAULT_NONE);
  require_valid(image, width, dialect, 0x7000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input input = {data, size};
  uint8_t choice = fuzz_byte(&input);
  uint32_t width = (choice & 1) != 0 ? 8 : 4;
  nearbuf_dialect dialect_if_empty = (nearbuf_dialect)(choice >> 1 & 3);
  uint8_t *image = aligned_alloc(8, NBUF_LOCATOR_SIZE); /* a sanitizer guards both ends */
  require(image != NULL);
  memset(image, 0, NBUF_LOCATOR_SIZE);
  memcpy(image, input.data, input.left < NBUF_LOCATOR_SIZE ? input.left : NBUF_LOCATOR_SIZE);
  uint64_t this_address = width == 8 ? 0x7f0012345000 : 0x12345000;
  if ((choice & 8) != 0) {
    memcpy(image, &this_address, width);
  }
  uint8_t before[NBUF_LOCATOR_SIZE];
  memcpy(before, image, sizeof before);

  uintptr_t at = (uintptr_t)image;
  nearbuf_dialect dialect = nbuf_format_recognise(at, width, dialect_if_empty);
  require((unsigned)dialect <= NEARBUF_DIALECT_RUST);
  for (unsigned d = NEARBUF_DIALECT_WRITTEN; d <= NEARBUF_DIALECT_RUST; d++) {
    const nbuf_layout *layout = nbuf_layout_of(width, d);
    uint32_t item = UINT32_MAX;
    nbuf_fault fault = nbuf_format_check(at, layout, this_address, &item);
    require(strcmp(nbuf_fault_text(fault), "unknown") != 0);
    require(item < layout->capacity);
    if (fault == NBUF_FAULT_NONE) {
      require_valid(image, width, (nearbuf_dialect)d, this_address);
    }
  }
  require(memcmp(before, image, sizeof before) == 0);
  free(image);
  check_built(input, width, (nearbuf_dialect)(1 + choice % 3));
  return 0;
}
