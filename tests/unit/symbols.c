/* How the inspector finds the functions that a module of another process exports: in simulated
 * modules, sound ones, damaged ones and ones of which a part cannot be read. */
#include <stdbool.h>
#include <string.h>

#include "../../tools/nearbuf/elf_symbols.h"
#include "../../tools/nearbuf/pe_symbols.h"
#include "test.h"

/* ---- The process ----------------------------------------------------------------------------- */

enum { ALL = 0x3000, NONE = 1 << 30 };

static struct {
  unsigned char bytes[ALL];
  uint64_t start;
  uint64_t size;    /* the part that is mapped */
  uint64_t refused; /* the offset of a byte that may not be read */
  bool is_endless;  /* zeros follow it */
  size_t reads;
} memory;

nearbuf_status nearbuf_process_read(nearbuf_process *process, uint64_t address, void *bytes,
                                    size_t size_bytes, size_t *done_bytes) {
  (void)process;
  uint64_t offset = address - memory.start;
  size_t done = 0;
  memory.reads++;
  if (offset < memory.size) {
    done = memory.size - offset < size_bytes ? (size_t)(memory.size - offset) : size_bytes;
  }
  if (memory.refused - offset < size_bytes) {
    done = 0;
  }
  if (done != 0) {
    memcpy(bytes, memory.bytes + offset, done);
  } else if (memory.is_endless && offset >= ALL) {
    memset(bytes, 0, done = size_bytes);
  }
  if (done_bytes != NULL) {
    *done_bytes = done;
  }
  return memory.refused - offset < size_bytes ? NEARBUF_DENIED
         : done == size_bytes                 ? NEARBUF_OK
                                              : NEARBUF_NOT_MAPPED;
}

static void clear(uint64_t start) {
  memset(&memory, 0, sizeof memory);
  memory.start = start;
  memory.size = ALL;
  memory.refused = NONE;
}

static void store(uint64_t offset, uint64_t value, size_t size) {
  memcpy(memory.bytes + offset, &value, size); /* the smaller end first, as in the modules */
}

typedef nearbuf_status (*finder)(tool_target *target, const process_module *module,
                                 const char *name, uint64_t *address);

static nearbuf_status find(finder how, const char *name, uint64_t *address) {
  static tool_target target;
  process_module module = {.min = memory.start, .max = memory.start + ALL - 1};
  return how(&target, &module, name, address);
}

static bool is_found_at(finder how, const char *name, uint64_t offset) {
  uint64_t address = 0;
  nearbuf_status status = find(how, name, &address);
  CHECK(status == NEARBUF_OK || status == NEARBUF_NOT_FOUND);
  CHECK(status != NEARBUF_OK || address == memory.start + offset);
  return status == NEARBUF_OK;
}

static nearbuf_status status_of(finder how, const char *name) {
  uint64_t ignored;
  return find(how, name, &ignored);
}

/* However much of the module is mapped: all reads stay inside it, or no function is found. */
static void check_cut_off(finder how, const char *name, uint64_t offset, uint64_t needed) {
  for (memory.size = 0; memory.size <= ALL; memory.size++) {
    CHECK_EQUAL(memory.size >= needed, is_found_at(how, name, offset));
  }
  memory.size = ALL;
}

/* What must not be read, although it is mapped, is distinguished from what is not exported. */
static void check_refused(finder how, const char *name, const uint64_t *offsets, size_t count) {
  for (size_t i = 0; i < count; i++) {
    memory.refused = offsets[i];
    CHECK_STATUS(NEARBUF_DENIED, status_of(how, name));
  }
  memory.refused = NONE;
  CHECK_OK(status_of(how, name));
}

/* A changed byte makes the function unfindable. */
static void check_needed(finder how, const char *name, uint64_t offset, unsigned char other) {
  unsigned char before = memory.bytes[offset];
  memory.bytes[offset] = other;
  CHECK_STATUS(NEARBUF_NOT_FOUND, status_of(how, name));
  memory.bytes[offset] = before;
  CHECK_OK(status_of(how, name));
}

/* ---- ELF ------------------------------------------------------------------------------------- */

enum { HEADERS = 0x80, DYNAMIC = 0x1000, HASH = 0x2100, SYMBOLS = 0x2400, STRINGS = 0x2800 };
enum { FIRST_HASHED = 3, BUCKETS = 3, FILTER_WORDS = 2 };

/* What a module exports, in the order of its table; the first is of another module, and the last
 * two have the same hash. */
static const char *const names[] = {"", "local", "foreign", "malloc", "free", "open", "ab", "bA"};
enum { NAMES = sizeof names / sizeof names[0] };

static struct {
  unsigned word;
  uint64_t linked_at; /* the address that the file assigns to its first byte */
  uint64_t entries;   /* of the dynamic section */
  bool is_relocated;  /* the loader has written relocated addresses */
} elf;

static uint32_t hash_of(const char *name) {
  uint32_t hash = 5381;
  for (; *name != '\0'; name++) {
    hash = hash * 33 + (unsigned char)*name;
  }
  return hash;
}

static uint64_t symbol_at(unsigned index) {
  return SYMBOLS + index * (elf.word == 8 ? UINT64_C(24) : 16);
}

static uint64_t value_of(unsigned index) {
  return 0x100 + index * UINT64_C(0x30);
}

static uint64_t chain_at(unsigned index) {
  return HASH + 16 + FILTER_WORDS * elf.word + BUCKETS * UINT64_C(4) +
         (index - FIRST_HASHED) * UINT64_C(4);
}

static void add_segment(unsigned index, uint32_t type, uint64_t address) {
  uint64_t at = HEADERS + index * (elf.word == 8 ? UINT64_C(56) : 32);
  store(at, type, 4);
  store(at + (elf.word == 8 ? 16 : 8), address, elf.word);
}

static void add_entry(uint64_t tag, uint64_t offset) {
  uint64_t at = DYNAMIC + elf.entries++ * 2 * elf.word;
  store(at, tag, elf.word);
  store(at + elf.word, offset + (elf.is_relocated ? memory.start : elf.linked_at), elf.word);
}

/* The hashed symbols must stand in the order of their buckets; a permutation leads from one to the
 * other. */
static void add_symbols(void) {
  unsigned at = FIRST_HASHED;
  uint64_t name_at = STRINGS + 1;
  for (unsigned i = 1; i < FIRST_HASHED; i++, name_at += 32) {
    store(symbol_at(i), name_at - STRINGS, 4);
    memcpy(memory.bytes + name_at, names[i], strlen(names[i]) + 1);
  }
  for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
    uint64_t bucket_at = HASH + 16 + FILTER_WORDS * elf.word + bucket * UINT64_C(4);
    for (unsigned i = FIRST_HASHED; i < NAMES; i++) {
      uint32_t hash = hash_of(names[i]);
      if (hash % BUCKETS != bucket) {
        continue;
      }
      if (memory.bytes[bucket_at] == 0) {
        store(bucket_at, at, 4);
      } else {
        memory.bytes[chain_at(at - 1)] &= 0xfe;
      }
      store(symbol_at(at), name_at - STRINGS, 4);
      store(symbol_at(at) + (elf.word == 8 ? 6 : 14), 12, 2);
      store(symbol_at(at) + (elf.word == 8 ? 8 : 4), elf.linked_at + value_of(i), elf.word);
      memcpy(memory.bytes + name_at, names[i], strlen(names[i]) + 1);
      store(chain_at(at), hash | 1, 4);
      name_at += 32;
      at++;
    }
  }
}

static void build_elf(unsigned word, uint64_t start, uint64_t linked_at, bool is_relocated) {
  clear(start);
  elf.word = word;
  elf.linked_at = linked_at;
  elf.is_relocated = is_relocated;
  elf.entries = 0;
  memcpy(memory.bytes, "\177ELF", 4);
  memory.bytes[4] = word == 8 ? 2 : 1;
  store(word == 8 ? 32 : 28, HEADERS, word);
  store(word == 8 ? 56 : 44, 4, 2);
  add_segment(0, 6, linked_at + HEADERS); /* the headers themselves */
  add_segment(1, 1, linked_at + (linked_at == 0 ? 0 : 16));
  add_segment(2, 1, linked_at + 0x2000);
  add_segment(3, 2, linked_at + DYNAMIC);
  add_segment(4, 2, linked_at + 0x10); /* after the last one */
  store(word == 8 ? 58 : 46, 64, 2);   /* the size of something that this file does not have */
  add_entry(1, 0);                     /* a library that it needs */
  add_entry(5, STRINGS);
  add_entry(6, SYMBOLS);
  add_entry(0x6ffffef5, HASH);
  const uint32_t hash[] = {BUCKETS, FIRST_HASHED, FILTER_WORDS, 5};
  memcpy(memory.bytes + HASH, hash, sizeof hash);
  memset(memory.bytes + HASH + 16, 0xff, (size_t)FILTER_WORDS * word);
  add_symbols();
}

/* As a library, as a program at the address where it was linked, and as one that the loader has
 * changed. */
static void build_elf_kind(int kind) {
  switch (kind) {
  case 0:
    build_elf(8, UINT64_C(0x7f1234560000), 0, false);
    break;
  case 1:
    build_elf(8, 0x400000, 0x400000, true);
    break;
  case 2:
    build_elf(8, UINT64_C(0x7f1234560000), 0x10000, true);
    break;
  case 3:
    build_elf(4, 0xf7120000, 0, true);
    break;
  default:
    build_elf(4, 0x8048000, 0x8048000, false);
    break;
  }
}
enum { ELF_KINDS = 5 };

TEST(an_exported_function_is_found_wherever_its_module_lies) {
  for (int kind = 0; kind < ELF_KINDS; kind++) {
    build_elf_kind(kind);
    for (unsigned i = FIRST_HASHED; i < NAMES; i++) {
      CHECK(is_found_at(elf_symbol_find, names[i], value_of(i)));
    }
  }
}

TEST(what_a_module_does_not_export_is_not_found) {
  static const char *const absent[] = {"",      "local", "foreign", "mallo", "malloc2",
                                       "alloc", "Ab",    "calloc",  "f"};
  char too_long[300];
  memset(too_long, 'a', sizeof too_long);
  too_long[sizeof too_long - 1] = '\0';
  for (int kind = 0; kind < ELF_KINDS; kind++) {
    build_elf_kind(kind);
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
      CHECK_STATUS(NEARBUF_NOT_FOUND, status_of(elf_symbol_find, absent[i]));
    }
    CHECK_STATUS(NEARBUF_NOT_FOUND, status_of(elf_symbol_find, too_long));
  }
}

/* Functions that it imports are in its table as well, without a section. */
TEST(what_a_module_wants_from_others_is_not_found_in_it) {
  for (int kind = 0; kind < ELF_KINDS; kind++) {
    build_elf_kind(kind);
    for (unsigned i = FIRST_HASHED; i < NAMES; i++) {
      uint64_t section = symbol_at(i) + (elf.word == 8 ? 6 : 14);
      store(section - 1, 1, 1); /* what is before it is about something else */
      store(section, 0, 2);
    }
    for (unsigned i = FIRST_HASHED; i < NAMES; i++) {
      CHECK_STATUS(NEARBUF_NOT_FOUND, status_of(elf_symbol_find, names[i]));
    }
    for (unsigned i = FIRST_HASHED; i < NAMES; i++) {
      store(symbol_at(i) + (elf.word == 8 ? 6 : 14), 0x0100, 2); /* a large number of a section */
    }
    CHECK(status_of(elf_symbol_find, "free") == NEARBUF_OK);
  }
}

TEST(a_module_that_is_there_in_part_has_no_function_or_the_right_one) {
  for (int kind = 0; kind < ELF_KINDS; kind++) {
    build_elf_kind(kind);
    uint64_t needed = 0;
    for (uint64_t at = STRINGS; at < ALL; at++) {
      needed = strcmp((char *)memory.bytes + at, "bA") == 0 ? at + 3 : needed;
    }
    check_cut_off(elf_symbol_find, "bA", value_of(7), needed);
  }
}

TEST(what_may_not_be_read_is_told_apart_from_what_is_not_exported) {
  for (int kind = 0; kind < ELF_KINDS; kind++) {
    build_elf_kind(kind);
    uint64_t offsets[] = {
        0,         63,
        HEADERS,   HEADERS + 4 * (elf.word == 8 ? 56 : 32) - 1,
        DYNAMIC,   HASH,
        HASH + 15, HASH + 16 + FILTER_WORDS * elf.word + hash_of("bA") % BUCKETS * UINT64_C(4),
        0,         0,
        0};
    for (unsigned i = FIRST_HASHED; i < NAMES; i++) {
      uint32_t name_at;
      memcpy(&name_at, memory.bytes + symbol_at(i), sizeof name_at);
      if (strcmp((char *)memory.bytes + STRINGS + name_at, "bA") == 0) {
        offsets[8] = chain_at(i);
        offsets[9] = symbol_at(i);
        offsets[10] = STRINGS + name_at + 2;
      }
    }
    check_refused(elf_symbol_find, "bA", offsets, sizeof offsets / sizeof offsets[0]);
  }
}

TEST(a_file_that_is_no_sound_module_exports_nothing) {
  for (int kind = 0; kind < ELF_KINDS; kind++) {
    build_elf_kind(kind);
    unsigned segment = elf.word == 8 ? 56 : 32;
    for (uint64_t i = 0; i < 4; i++) {
      check_needed(elf_symbol_find, "malloc", i, 'x'); /* its mark */
    }
    check_needed(elf_symbol_find, "malloc", 4, 0); /* its class */
    check_needed(elf_symbol_find, "malloc", 4, 3);
    check_needed(elf_symbol_find, "malloc", HEADERS + UINT64_C(3) * segment,
                 4);                                  /* no dynamic one */
    check_needed(elf_symbol_find, "malloc", HASH, 0); /* no buckets */
    for (uint64_t i = 1; i < 4; i++) {                /* each table of the dynamic section */
      check_needed(elf_symbol_find, "malloc", DYNAMIC + 2 * i * elf.word, 0x7f);
    }
    check_needed(elf_symbol_find, "malloc", DYNAMIC + UINT64_C(2) * elf.word,
                 0); /* it ends early */
    store(HEADERS + segment, 0, 4);
    store(HEADERS + 2 * segment, 0, 4); /* nothing is loaded */
    CHECK_STATUS(NEARBUF_NOT_FOUND, status_of(elf_symbol_find, "malloc"));
  }
}

TEST(a_module_may_have_64_segments_and_256_dynamic_entries) {
  for (int kind = 0; kind < ELF_KINDS; kind++) {
    build_elf_kind(kind);
    add_segment(4, 0, 0);
    store(elf.word == 8 ? 56 : 44, 64, 2);
    CHECK(is_found_at(elf_symbol_find, "malloc", value_of(3)));
    store(elf.word == 8 ? 56 : 44, 65, 2);
    CHECK_STATUS(NEARBUF_NOT_FOUND, status_of(elf_symbol_find, "malloc"));
    store(elf.word == 8 ? 56 : 44, 0x0104, 2);
    CHECK_STATUS(NEARBUF_NOT_FOUND, status_of(elf_symbol_find, "malloc"));
    store(elf.word == 8 ? 56 : 44, 4, 2);
    while (elf.entries < 255) {
      add_entry(1, 0);
    }
    CHECK(is_found_at(elf_symbol_find, "malloc", value_of(3)));
    add_entry(1, 0);
    CHECK_STATUS(NEARBUF_NOT_FOUND, status_of(elf_symbol_find, "malloc"));
  }
}

/* A chain without an end is followed into the memory after it, as long as that can be read. */
TEST(a_table_without_an_end_is_not_read_for_ever) {
  build_elf_kind(0);
  memset(memory.bytes + HASH, 0, ALL - HASH);
  const uint32_t hash[] = {1, 0, 0, 0};
  memcpy(memory.bytes + HASH, hash, sizeof hash);
  CHECK_STATUS(NEARBUF_NOT_FOUND, status_of(elf_symbol_find, "malloc"));
  memory.is_endless = true;
  memory.reads = 0;
  CHECK_STATUS(NEARBUF_NOT_FOUND, status_of(elf_symbol_find, "malloc"));
  CHECK(memory.reads > 65536 && memory.reads < 65600);
}

/* ---- PE -------------------------------------------------------------------------------------- */

enum { PE = 0x90, EXPORTS = 0x400, EXPORTS_SIZE = 0x200, FUNCTIONS = 0x800, NUMBERS = 0x900 };
enum { NAME_TABLE = 0xa00, NAME_TEXTS = 0xb00, FUNCTION_COUNT = 9 };

static const char *const exported[] = {"Alpha", "Beta", "Betas", "Gamma", "delta", "epsilon"};
enum { EXPORTED = sizeof exported / sizeof exported[0] };

/* Names are sorted, and lead to functions in another order. */
static unsigned number_of(unsigned name) {
  return (name * 5 + 3) % FUNCTION_COUNT;
}

static uint64_t function_of(unsigned name) {
  return 0x1000 + number_of(name) * UINT64_C(0x40);
}

static void build_pe(bool is_64_bit) {
  clear(is_64_bit ? UINT64_C(0x7ffb12340000) : 0x10000000);
  memcpy(memory.bytes, "MZ", 2);
  store(0x3c, PE, 4);
  memcpy(memory.bytes + PE, "PE\0\0", 4);
  store(PE + 4, is_64_bit ? 0x8664 : 0x14c, 2); /* the processor */
  store(PE + 24, is_64_bit ? 0x20b : 0x10b, 2);
  store(PE + 24 + (is_64_bit ? 112 : 96), EXPORTS, 4);
  store(PE + 24 + (is_64_bit ? 116 : 100), EXPORTS_SIZE, 4);
  const uint32_t table[] = {FUNCTION_COUNT, EXPORTED, FUNCTIONS, NAME_TABLE, NUMBERS};
  memcpy(memory.bytes + EXPORTS + 20, table, sizeof table);
  for (unsigned i = 0; i < EXPORTED; i++) {
    uint64_t text = NAME_TEXTS + i * UINT64_C(16);
    store(NAME_TABLE + i * UINT64_C(4), text, 4);
    memcpy(memory.bytes + text, exported[i], strlen(exported[i]) + 1);
    store(NUMBERS + i * UINT64_C(2), number_of(i), 2);
    store(FUNCTIONS + number_of(i) * UINT64_C(4), function_of(i), 4);
  }
}

TEST(an_exported_function_of_a_dll_is_found_by_its_name) {
  for (int is_64_bit = 0; is_64_bit < 2; is_64_bit++) {
    build_pe(is_64_bit != 0);
    for (unsigned i = 0; i < EXPORTED; i++) {
      CHECK(is_found_at(pe_symbol_find, exported[i], function_of(i)));
    }
    static const char *const absent[] = {"", "A", "Alph", "Alphas", "Bet", "Omega", "zeta"};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
      CHECK_STATUS(NEARBUF_NOT_FOUND, status_of(pe_symbol_find, absent[i]));
    }
  }
}

/* A forwarder: the name of a function of another module is where the function would be. */
TEST(of_a_function_that_a_dll_has_from_another_one_the_name_there_is_found) {
  build_pe(true);
  uint64_t entry = FUNCTIONS + number_of(1) * UINT64_C(4);
  const uint64_t texts[] = {EXPORTS, EXPORTS + EXPORTS_SIZE - 1};
  for (int i = 0; i < 2; i++) {
    uint64_t text = 1;
    store(entry, texts[i], 4);
    CHECK_STATUS(NEARBUF_NOT_FOUND, find(pe_symbol_find, "Beta", &text));
    CHECK_EQUAL(memory.start + texts[i], text);
    CHECK_STATUS(NEARBUF_NOT_FOUND, find(pe_symbol_find, "Beth", &text));
    CHECK_EQUAL(0, text);
  }
  store(entry, 0, 4);
  CHECK_STATUS(NEARBUF_NOT_FOUND, status_of(pe_symbol_find, "Beta"));
  store(entry, EXPORTS - 1, 4);
  CHECK(is_found_at(pe_symbol_find, "Beta", EXPORTS - 1));
  store(entry, EXPORTS + EXPORTS_SIZE, 4);
  CHECK(is_found_at(pe_symbol_find, "Beta", EXPORTS + EXPORTS_SIZE));
  store(entry, 1, 4);
  CHECK(is_found_at(pe_symbol_find, "Beta", 1));
}

TEST(a_number_behind_the_last_function_leads_nowhere) {
  build_pe(false);
  store(NUMBERS, FUNCTION_COUNT, 2);
  store(FUNCTIONS + FUNCTION_COUNT * UINT64_C(4), 0x1000, 4);
  CHECK_STATUS(NEARBUF_NOT_FOUND, status_of(pe_symbol_find, "Alpha"));
  store(NUMBERS, FUNCTION_COUNT - 1, 2);
  store(FUNCTIONS + (FUNCTION_COUNT - 1) * UINT64_C(4), 0x1234, 4);
  CHECK(is_found_at(pe_symbol_find, "Alpha", 0x1234));
}

TEST(a_file_that_is_no_sound_dll_exports_nothing) {
  for (int is_64_bit = 0; is_64_bit < 2; is_64_bit++) {
    build_pe(is_64_bit != 0);
    static const uint64_t marks[] = {0, 1, PE, PE + 1, PE + 2, PE + 3, PE + 24, PE + 25};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
      check_needed(pe_symbol_find, "Alpha", marks[i], 'x');
    }
    store(PE + 24 + (is_64_bit ? 112 : 96), 0, 4); /* it has no exports */
    CHECK_STATUS(NEARBUF_NOT_FOUND, status_of(pe_symbol_find, "Alpha"));
  }
}

TEST(a_dll_may_export_65536_names) {
  build_pe(true);
  store(EXPORTS + 24, 65537, 4);
  CHECK_STATUS(NEARBUF_NOT_FOUND, status_of(pe_symbol_find, "Alpha"));
  size_t reads = memory.reads;
  store(EXPORTS + 24, 65536, 4);
  CHECK_STATUS(NEARBUF_NOT_FOUND, status_of(pe_symbol_find, "Alpha"));
  CHECK(memory.reads - reads > reads); /* it was looked for */
}

TEST(a_dll_that_is_there_in_part_has_no_function_or_the_right_one) {
  for (int is_64_bit = 0; is_64_bit < 2; is_64_bit++) {
    build_pe(is_64_bit != 0);
    check_cut_off(pe_symbol_find, "Gamma", function_of(3), NAME_TEXTS + 3 * 16 + 5);
  }
}

TEST(what_may_not_be_read_of_a_dll_is_told_apart_from_what_is_not_exported) {
  for (int is_64_bit = 0; is_64_bit < 2; is_64_bit++) {
    build_pe(is_64_bit != 0);
    const uint64_t offsets[] = {0,
                                0x3c,
                                PE,
                                PE + 24 + 112 + 7,
                                EXPORTS,
                                EXPORTS + 39,
                                NAME_TABLE + 3 * 4,
                                NAME_TEXTS + 3 * 16,
                                NUMBERS + 3 * 2,
                                FUNCTIONS + number_of(3) * UINT64_C(4)};
    check_refused(pe_symbol_find, "Gamma", offsets, sizeof offsets / sizeof offsets[0]);
  }
}

TEST(names_of_255_characters_are_told_apart) {
  char name[300];
  build_pe(true);
  store(EXPORTS + 24, 1, 4);
  memset(memory.bytes + NAME_TEXTS, 'n', 256);
  memory.bytes[NAME_TEXTS + 255] = '\0';
  memset(name, 'n', sizeof name);
  name[255] = '\0';
  CHECK(is_found_at(pe_symbol_find, name, function_of(0)));
  name[254] = '\0';
  CHECK_STATUS(NEARBUF_NOT_FOUND, status_of(pe_symbol_find, name));
}
