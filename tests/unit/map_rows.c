/* The rows of the inspector's map, of invented mappings, modules, locators and buffers.
 * tools/nearbuf/map_rows.c is compiled here. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../tools/nearbuf/map_rows.c" /* NOLINT(bugprone-suspicious-include) */

#include "test.h"

/* ---- The process ----------------------------------------------------------------------------- */

enum { KIB = 1024, PAGE = 4096, MOST = 8 };

static nearbuf_process_mapping mappings[MOST];
static nearbuf_process_locator locators[MOST];
static listed_buffer buffers[MOST];
static process_module modules[MOST];
static process_snapshot snapshot;
static process_map map;

static void begin(void) {
  map_rows_free(&map);
  memset(mappings, 0, sizeof mappings);
  memset(locators, 0, sizeof locators);
  memset(buffers, 0, sizeof buffers);
  memset(&snapshot, 0, sizeof snapshot);
  snapshot.mappings = mappings;
  snapshot.locators = locators;
  snapshot.buffers = buffers;
}

static void add_mapping(uint64_t min, uint64_t max, const char *rights, const char *name) {
  nearbuf_process_mapping *mapping = &mappings[snapshot.mapping_count++];
  mapping->min = min;
  mapping->max = max;
  mapping->is_writable = rights[0] == 'w';
  mapping->is_executable = rights[1] == 'x';
  (void)snprintf(mapping->name, sizeof mapping->name, "%s", name);
}

static void add_module(uint64_t min, uint64_t max) {
  modules[snapshot.module_count++] = (process_module){"module", min, max};
}

static nearbuf_process_item *add_buffer(uint64_t address, uint32_t size, uint32_t used_bytes,
                                        uint32_t is_taken) {
  listed_buffer *buffer = &buffers[snapshot.buffer_count++];
  buffer->item = (nearbuf_process_item){
      .address = address, .size_bytes = size, .used_bytes = used_bytes, .is_taken = is_taken};
  return &buffer->item;
}

/* The one that is not wholly below the address, else the last one. */
bool snapshot_nearest_module(const process_snapshot *taken, uint64_t address,
                             process_module *module) {
  size_t at = 0;
  while (at + 1 < taken->module_count && modules[at].max < address) {
    at++;
  }
  *module = modules[at];
  return taken->module_count != 0;
}

/* Its length is hidden from the compiler, which would warn of names that are cut off. */
const char *mapping_file_name(const nearbuf_process_mapping *mapping) {
  const char *slash = strrchr(mapping->name, '/');
  const char *volatile name = slash == NULL ? mapping->name : slash + 1;
  return name;
}

/* ---- Its rows -------------------------------------------------------------------------------- */

/* Each row as "kind min-max name", and of buffers "(count, held, used)". */
static void check_made(const char *expected) {
  char text[2048] = "";
  size_t at = 0;
  for (size_t i = 0; i < map.count; i++) {
    const map_row *row = &map.rows[i];
    at += (size_t)snprintf(text + at, sizeof text - at, "%s %" PRIx64 "-%" PRIx64,
                           row_kind_name(row->kind), row->min, row->max);
    if (row->name[0] != '\0') {
      at += (size_t)snprintf(text + at, sizeof text - at, " %s", row->name);
    }
    if (row->kind == ROW_BUFFERS) {
      at += (size_t)snprintf(text + at, sizeof text - at, " (%u, %u, %u)", (unsigned)row->count,
                             (unsigned)row->taken, (unsigned)row->used_bytes);
    }
    at += (size_t)snprintf(text + at, sizeof text - at, "\n");
  }
  if (strcmp(text, expected) != 0) {
    test_fail(__FILE__, __LINE__, "the rows are\n%s\nand not\n%s", text, expected);
  }
}

static void check_rows(const char *expected) {
  CHECK(map_rows_make(&snapshot, &map));
  check_made(expected);
}

static void check_rows_within(uint64_t min, uint64_t max, const char *expected) {
  map.has_target = true;
  map.reach_min = min;
  map.reach_max = max;
  check_rows(expected);
}

TEST(a_gap_is_a_row_and_neighbours_of_one_kind_and_name_are_one) {
  begin();
  add_mapping(0x1000, 0x1fff, "--", "");
  add_mapping(0x2000, 0x2fff, "wx", "");
  add_mapping(0x3000, 0x3fff, "--", "/a/file");
  add_mapping(0x4000, 0x4fff, "--", "/a/file");
  add_mapping(0x5000, 0x5fff, "--", "/other");
  add_mapping(0x7000, 0x7fff, "--", "/other");
  add_mapping(0x8001, 0x8fff, "--", "/other");
  check_rows("free 0-fff\nanonymous 1000-2fff\nfile 3000-4fff file\nfile 5000-5fff other\n"
             "free 6000-6fff\nfile 7000-7fff other\nfree 8000-8000\nfile 8001-8fff other\n");
}

TEST(a_mapping_at_zero_has_no_gap_before_it_and_without_mappings_there_is_no_row) {
  begin();
  add_mapping(0, 0xfff, "--", "");
  check_rows("anonymous 0-fff\n");
  begin();
  check_rows("");
}

TEST(a_kind_is_known_by_the_name) {
  begin();
  add_mapping(0, 0xfff, "--", "[heap]");
  add_mapping(0x1000, 0x1fff, "--", "[stack]");
  add_mapping(0x2000, 0x2fff, "--", "[anon: x]");
  add_mapping(0x3000, 0x3fff, "--", "[anox]");
  add_mapping(0x4000, 0x4fff, "--", "[vdso]");
  add_mapping(0x5000, 0x5fff, "--", "x");
  check_rows("heap 0-fff [heap]\nstack 1000-1fff [stack]\nanonymous 2000-2fff [anon: x]\n"
             "system 3000-3fff [anox]\nsystem 4000-4fff [vdso]\nfile 5000-5fff x\n");
}

TEST(a_mapping_with_a_locator_from_its_first_to_its_last_address_is_one) {
  begin();
  add_mapping(0, 0xfff, "--", "/before");
  add_mapping(0x1000, 0x1fff, "--", "/first");
  add_mapping(0x2000, 0x2fff, "--", "/last");
  add_mapping(0x3000, 0x3fff, "--", "/behind");
  locators[0].address = 0x1000;
  locators[1].address = 0x2fff;
  locators[2].address = 0x3000; /* not one of its locators */
  snapshot.locator_count = 2;
  check_rows("file 0-fff before\nlocator 1000-1fff first\nlocator 2000-2fff last\n"
             "file 3000-3fff behind\n");
}

TEST(the_mappings_of_a_file_from_the_first_byte_of_a_module_to_its_last_are_a_module) {
  begin();
  add_mapping(0xf00, 0xfff, "--", "/lib");
  add_mapping(0x1000, 0x1fff, "--", "/lib");
  add_mapping(0x2000, 0x2000, "--", "/lib");
  add_mapping(0x2001, 0x2fff, "--", "/lib");
  add_module(0x1000, 0x2000);
  check_rows("free 0-eff\nfile f00-fff lib\nmodule 1000-2000 lib\nfile 2001-2fff lib\n");
}

/* The zeroed data is writable, and not code. */
TEST(zeroed_data_of_up_to_128_kib_behind_a_module_is_a_part_of_it) {
  static const struct {
    const char *rights;
    uint64_t size;
    const char *rows;
  } cases[] = {
      {"w-", UINT64_C(128) * KIB, "module 0-20fff lib\n"},
      {"w-", 1, "module 0-1000 lib\n"},
      {"w-", UINT64_C(128) * KIB + 1, "module 0-fff lib\nanonymous 1000-21000\n"},
      {"wx", PAGE, "module 0-fff lib\nanonymous 1000-1fff\n"},
      {"--", PAGE, "module 0-fff lib\nanonymous 1000-1fff\n"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    begin();
    add_mapping(0, 0xfff, "-x", "/lib");
    add_mapping(0x1000, 0xfff + cases[i].size, cases[i].rights, "");
    add_module(0, 0xfff);
    check_rows(cases[i].rows);
  }
}

TEST(the_half_of_the_kernel_and_what_follows_it_is_no_row) {
  begin();
  add_mapping(0, 0xfff, "--", "");
  add_mapping(INT64_MAX, INT64_MAX, "--", "/last");
  add_mapping(UINT64_C(0x8000000000000000), UINT64_C(0x8000000000000fff), "--", "/kernel");
  check_rows("anonymous 0-fff\nfree 1000-7ffffffffffffffe\n"
             "file 7fffffffffffffff-7fffffffffffffff last\n");
}

TEST(a_long_name_is_cut_off_and_no_part_of_a_character_is_left) {
  char name[80] = "/";
  char expected[128];
  memset(name + 1, 'n', 62);
  memcpy(name + 63, "\xc3\xa4", 3);
  begin();
  add_mapping(0, 0xfff, "--", name);
  (void)snprintf(expected, sizeof expected, "file 0-fff %.62s?\n", name + 1);
  check_rows(expected);
}

/* ---- Buffers --------------------------------------------------------------------------------- */

TEST(a_mapping_is_split_into_its_buffers_and_what_is_between_them) {
  begin();
  add_mapping(0x1000, 0x5fff, "wx", "");
  add_mapping(0x8000, 0x8fff, "wx", "");
  add_mapping(0xa000, 0xafff, "wx", "");
  (void)add_buffer(0x8000, 0x1000, 7, 1);
  (void)add_buffer(0x3000, 0x1000, 20, 1); /* in whatever order they were registered */
  (void)add_buffer(0x2000, 0x1000, 3, 0);
  (void)add_buffer(0x5000, 0x1000, 1, 1);
  (void)add_buffer(0x7000, 0x100, 1, 1); /* where nothing is mapped */
  check_rows("free 0-fff\nanonymous 1000-1fff\nbuffers 2000-3fff (2, 1, 23)\n"
             "anonymous 4000-4fff\nbuffers 5000-5fff (1, 1, 1)\nfree 6000-7fff\n"
             "buffers 8000-8fff (1, 1, 7)\nfree 9000-9fff\nanonymous a000-afff\n");
  CHECK_EQUAL(0x8000, buffers[0].item.address); /* the snapshot keeps its order */
}

TEST(held_neighbours_are_counted) {
  begin();
  add_mapping(0, 0x2fff, "wx", "");
  (void)add_buffer(0, 0x1000, 1, 1);
  (void)add_buffer(0x1000, 0x1000, 2, 1);
  (void)add_buffer(0x2000, 0x1000, 4, 0);
  check_rows("buffers 0-2fff (3, 2, 7)\n");
}

TEST(buffers_of_one_byte_at_both_ends_of_a_mapping_are_shown) {
  begin();
  add_mapping(0x1000, 0x1fff, "wx", "");
  (void)add_buffer(0x1000, 1, 0, 0);
  (void)add_buffer(0x1fff, 1, 1, 0);
  check_rows("free 0-fff\nbuffers 1000-1000 (1, 0, 0)\nanonymous 1001-1ffe\n"
             "buffers 1fff-1fff (1, 0, 1)\n");
}

TEST(damaged_empty_overlapping_and_too_large_buffers_are_not_shown) {
  begin();
  add_mapping(0x1000, 0x4fff, "wx", "");
  add_buffer(0x1000, 0x100, 0, 0)->fault = "damaged";
  (void)add_buffer(0x1200, 0, 0, 0);
  (void)add_buffer(0x2000, 0x1000, 5, 0);
  (void)add_buffer(0x2800, 0x100, 0, 0);
  (void)add_buffer(0x3001, 0x2000, 0, 0); /* one byte too large */
  (void)add_buffer(0x4000, UINT32_MAX, 0, 0);
  check_rows("free 0-fff\nanonymous 1000-1fff\nbuffers 2000-2fff (1, 0, 5)\n"
             "anonymous 3000-4fff\n");
  begin();
  add_mapping(0x1000, 0x4fff, "wx", "");
  (void)add_buffer(0x1000, 0x4000, 0, 0); /* it is all of it */
  check_rows("free 0-fff\nbuffers 1000-4fff (1, 0, 0)\n");
}

/* ---- Within reach ---------------------------------------------------------------------------- */

TEST(what_is_out_of_reach_is_dropped_and_what_is_so_in_part_is_cut) {
  begin();
  add_mapping(0x1000, 0x1fff, "--", "/a");
  add_mapping(0x2000, 0x2fff, "--", "/b");
  add_mapping(0x3000, 0x3fff, "--", "/c");
  add_mapping(0x4000, 0x4fff, "--", "/d");
  check_rows_within(0x1800, 0x37ff, "file 1800-1fff a\nfile 2000-2fff b\nfile 3000-37ff c\n");
  map_rows_free(&map);
  CHECK(map.rows == NULL && map.count == 0 && !map.has_target);
  check_rows_within(0x1fff, 0x3000, "file 1fff-1fff a\nfile 2000-2fff b\nfile 3000-3000 c\n");
  map_rows_free(&map);
  check_rows_within(0x2000, 0x2fff, "file 2000-2fff b\n");
}

TEST(the_free_addresses_behind_the_last_mapping_are_a_row_as_far_as_the_reach) {
  begin();
  add_mapping(0, 0x1fff, "--", "/a");
  check_rows_within(0, 0x9fff, "file 0-1fff a\nfree 2000-9fff\n");
  map_rows_free(&map);
  check_rows_within(0, 0x2000, "file 0-1fff a\nfree 2000-2000\n");
  map_rows_free(&map);
  check_rows_within(0, 0x1fff, "file 0-1fff a\n");
  map_rows_free(&map);
  check_rows_within(0x5000, 0x5fff, "free 5000-5fff\n");
  begin();
  check_rows_within(0, 0xffff, "free 0-ffff\n");
  begin();
  add_mapping(0x1000, 0x1fff, "--", "/a");
  check_rows_within(0, 0x2fff, "free 0-fff\nfile 1000-1fff a\nfree 2000-2fff\n");
}

/* ---- What is said about them ----------------------------------------------------------------- */

static unsigned magnitude_of(uint64_t size) {
  map_row row = {.min = 0x1000, .max = 0xfff + size};
  return row_magnitude(&row);
}

TEST(a_bar_has_one_character_for_4_kib_and_one_more_for_each_quadruple) {
  CHECK_EQUAL(1, magnitude_of(1));
  CHECK_EQUAL(1, magnitude_of(4096));
  CHECK_EQUAL(2, magnitude_of(4097));
  CHECK_EQUAL(2, magnitude_of(16384));
  CHECK_EQUAL(3, magnitude_of(16385));
  CHECK_EQUAL(10, magnitude_of(UINT64_C(1) << 30));
}

static map_row rows[4];

/* A strip of 64 cells of 16 bytes each, from 0x1000 on. */
static void begin_strip(void) {
  memset(rows, 0, sizeof rows);
  map = (process_map){.rows = rows, .reach_min = 0x1000, .reach_max = 0x13ff};
}

static void set_row(row_kind kind, uint64_t min, uint64_t max) {
  rows[map.count++] = (map_row){.kind = kind, .min = min, .max = max};
}

TEST(a_cell_of_the_strip_shows_the_highest_kind_that_lies_in_it) {
  begin_strip();
  set_row(ROW_MODULE, 0x1010, 0x101f);
  set_row(ROW_HEAP, 0x1010, 0x1020);
  set_row(ROW_BUFFERS, 0x103f, 0x103f);
  set_row(ROW_GAP, 0x1040, 0x13ff);
  static const row_kind kinds[] = {ROW_GAP, ROW_MODULE, ROW_HEAP, ROW_BUFFERS, ROW_GAP};
  for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    CHECK_EQUAL(kinds[i], map_strip_cell(&map, i));
  }
  rows[3] = (map_row){.kind = ROW_LOCATOR, .min = 0x13ff, .max = 0x13ff};
  CHECK_EQUAL(ROW_LOCATOR, map_strip_cell(&map, 63));
  CHECK_EQUAL(ROW_GAP, map_strip_cell(&map, 62));
}

static void check_described(const char *expected, const map_row *row) {
  char text[160];
  row_describe(&map, row, text, sizeof text);
  if (strcmp(text, expected) != 0) {
    test_fail(__FILE__, __LINE__, "it is \"%s\", not \"%s\"", text, expected);
  }
}

TEST(a_row_with_the_target_is_marked_from_its_first_address_to_its_last) {
  map_row row = {.kind = ROW_MODULE, .min = 0x1000, .max = 0x1fff, .name = "lib"};
  map = (process_map){.has_target = true, .target_name = "getenv"};
  static const uint64_t inside[] = {0x1000, 0x1800, 0x1fff};
  for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
    map.target = inside[i];
    check_described("lib  <-- getenv", &row);
  }
  map.target = 0xfff;
  check_described("lib", &row);
  map.target = 0x2000;
  check_described("lib", &row);
  map.target = 0x1000;
  map.has_target = false;
  check_described("lib", &row);
}

TEST(a_row_of_buffers_tells_their_number_use_and_distance) {
  map_row row = {.kind = ROW_BUFFERS,
                 .min = 0x1000,
                 .max = 0x1fff,
                 .count = 2,
                 .taken = 1,
                 .used_bytes = 1536};
  map = (process_map){.target = 0x1400, .target_name = "getenv"};
  check_described("2 buffers, 1.5 KiB used, 1 held", &row);
  map.has_target = true;
  check_described("2 buffers, 1.5 KiB used, 1 held, 1 KiB below getenv", &row);
}
