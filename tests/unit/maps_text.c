/* The parser of /proc/<pid>/maps, for lines that a kernel writes and lines that none writes. */
#include "os/linux/maps_text.h"

#include <stdbool.h>
#include <string.h>

#include "test.h"

/* Feeds one line, without its end, and then the end. */
static nbuf_maps_answer parse(const char *text, nbuf_mapping *mapping) {
  nbuf_maps_line line;
  nbuf_maps_begin(&line);
  for (const char *at = text; *at != '\0'; at++) {
    CHECK_EQUAL(NBUF_MAPS_MORE, nbuf_maps_feed(&line, *at));
  }
  nbuf_maps_answer answer = nbuf_maps_feed(&line, '\n');
  *mapping = line.mapping;
  return answer;
}

static nbuf_mapping parse_good(const char *text) {
  nbuf_mapping mapping;
  CHECK_EQUAL(NBUF_MAPS_MAPPING, parse(text, &mapping));
  return mapping;
}

static void check_bad(const char *text) {
  nbuf_mapping mapping;
  if (parse(text, &mapping) != NBUF_MAPS_BAD_LINE) {
    test_fail(__FILE__, __LINE__, "taken for a mapping: %s", text);
  }
}

TEST(a_line_of_a_file_has_all_fields) {
  nbuf_mapping mapping = parse_good("0a12b000-0a12d000 rw-s 00003000 fe:0b 4711    /tmp/some file");
  CHECK_EQUAL(0x0a12b000, mapping.range.min);
  CHECK_EQUAL(0x0a12cfff, mapping.range.max);
  CHECK(mapping.readable);
  CHECK(mapping.writable);
  CHECK(!mapping.executable);
  CHECK(mapping.shared);
  CHECK_EQUAL(0x3000, mapping.offset);
  CHECK_EQUAL((uint64_t)0xfe << 32 | 0x0b, mapping.device);
  CHECK_EQUAL(4711, mapping.inode);
  CHECK(strcmp(mapping.name_end, "/tmp/some file") == 0);
}

TEST(a_line_without_a_name_is_a_mapping) {
  nbuf_mapping mapping = parse_good("10000-20000 ---p 00000000 00:00 0 ");
  CHECK_EQUAL(0x10000, mapping.range.min);
  CHECK_EQUAL(0x1ffff, mapping.range.max);
  CHECK(!mapping.readable && !mapping.writable && !mapping.executable && !mapping.shared);
  CHECK_EQUAL(0, mapping.device | mapping.inode | mapping.offset);
  CHECK_EQUAL('\0', mapping.name_end[0]);
  mapping = parse_good("10000-20000 r-xp 00000000 00:00 12");
  CHECK_EQUAL(12, mapping.inode);
  CHECK(mapping.executable);
}

TEST(names_in_brackets_and_of_deleted_files_are_kept) {
  nbuf_mapping stack = parse_good("7ffc0000-7ffd0000 rw-p 00000000 00:00 0      [stack]");
  CHECK(strcmp(stack.name_end, "[stack]") == 0);
  nbuf_mapping gone =
      parse_good("7ffc0000-7ffd0000 rw-s 00000000 00:01 9      /dev/zero (deleted)");
  CHECK(strcmp(gone.name_end, "/dev/zero (deleted)") == 0);
}

TEST(every_permission_is_read_by_itself) {
  CHECK(parse_good("1000-2000 r--p 0 0:0 0").readable);
  CHECK(parse_good("1000-2000 -w-p 0 0:0 0").writable);
  CHECK(parse_good("1000-2000 --xp 0 0:0 0").executable);
  CHECK(parse_good("1000-2000 ---s 0 0:0 0").shared);
  CHECK(!parse_good("1000-2000 rwxp 0 0:0 0").shared);
}

TEST(addresses_of_64_bits_are_read_whole) {
  if (sizeof(void *) == 4) {
    nbuf_mapping ignored;
    CHECK_EQUAL(
        NBUF_MAPS_WIDE_MAPPING,
        parse("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0    [vsyscall]", &ignored));
    return;
  }
  nbuf_mapping high =
      parse_good("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]");
  CHECK_EQUAL(UINT64_C(0xffffffffff600000), high.range.min);
  CHECK_EQUAL(UINT64_C(0xffffffffff600fff), high.range.max);
  nbuf_mapping top = parse_good("ffffffffffff0000-ffffffffffffffff ---p 0 0:0 0");
  CHECK_EQUAL(UINT64_C(0xfffffffffffffffe), top.range.max);
}

TEST(the_largest_inode_and_offset_are_read_whole) {
  nbuf_mapping mapping =
      parse_good("1000-2000 r--p fffffffffffff000 ff:fffff 9223372036854775807 /f");
  CHECK_EQUAL(UINT64_C(0xfffffffffffff000), mapping.offset);
  CHECK_EQUAL(INT64_MAX, mapping.inode);
  CHECK_EQUAL(UINT64_MAX, parse_good("1000-2000 r--p 0 0:0 18446744073709551615").inode);
  check_bad("1000-2000 r--p 0 0:0 18446744073709551616");
  CHECK_EQUAL((uint64_t)0xff << 32 | 0xfffff, mapping.device);
}

/* The name of a locator must be found whole at the end of any path. */
TEST(of_a_long_name_the_end_is_kept) {
  for (size_t length = 1; length < 5000; length += length < 300 ? 1 : 97) {
    char text[5200] = "1000-2000 rw-s 00000000 00:00 1 ";
    size_t start = strlen(text);
    for (size_t i = 0; i < length; i++) {
      text[start + i] = (char)('a' + i % 26);
    }
    text[start + length] = '\0';
    nbuf_mapping mapping = parse_good(text);
    size_t kept = strlen(mapping.name_end);
    CHECK(kept < sizeof mapping.name_end);
    CHECK(kept == length || kept >= 64);
    CHECK(strcmp(mapping.name_end, text + start + length - kept) == 0);
  }
}

/* 255 characters are room; of a longer name three quarters of that, and more. */
TEST(of_a_name_of_any_length_as_much_is_kept_as_there_is_room_for) {
  for (size_t length = 1; length < 700; length++) {
    char text[800] = "10000-20000 r-xp 00000000 00:00 12 ";
    size_t before = strlen(text);
    for (size_t i = 0; i < length; i++) {
      text[before + i] = (char)('a' + (length - i) % 23);
    }
    nbuf_mapping mapping = parse_good(text);
    const char *end = memchr(mapping.name_end, '\0', sizeof mapping.name_end);
    CHECK(end != NULL);
    size_t kept = (size_t)(end - mapping.name_end);
    CHECK(length <= 255 ? kept == length : kept >= 192);
    CHECK(memcmp(mapping.name_end, text + before + (length - kept), kept) == 0);
  }
}

TEST(lines_that_no_kernel_writes_are_refused) {
  const char *const bad[] = {"",
                             " ",
                             "1000",
                             "1000-2000",
                             "1000-2000 ",
                             "1000-2000 rwxp",
                             "1000-2000 rwx 0 0:0 0",
                             "1000-2000 rwxpp 0 0:0 0",
                             "1000-2000 rwxp 0",
                             "1000-2000 rwxp 0 0",
                             "1000-2000 rwxp 0 0:0",
                             "1000-2000 rwxp 0 0:0x 0",
                             "1000-2000 rwxp 0 0:0 1a",
                             "1000-2000 rwxp g 0:0 1",
                             "1000 2000 rwxp 0 0:0 1",
                             "x000-2000 rwxp 0 0:0 1",
                             "2000-1000 rwxp 0 0:0 1",
                             "2000-2000 rwxp 0 0:0 1",
                             "0-0 rwxp 0 0:0 1",
                             "1000-A000 rwxp 0 0:0 1",
                             "10000000000000000-10000000000001000 rwxp 0 0:0 1",
                             "1000-2000 rwxp 0 0:0 99999999999999999999",
                             "1000-2000-3000 rwxp 0 0:0 1"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    check_bad(bad[i]);
  }
}

TEST(a_bad_line_does_not_spoil_the_next) {
  nbuf_mapping mapping;
  CHECK_EQUAL(NBUF_MAPS_BAD_LINE, parse("rubbish", &mapping));
  CHECK_EQUAL(0x1000, parse_good("1000-2000 r--p 0 0:0 0").range.min);
}

/* The parser reads a line with its internal state; it may change nothing else. */
TEST(any_characters_are_survived) {
  uint64_t state = 7;
  struct {
    unsigned char before[64];
    nbuf_maps_line line;
    unsigned char after[64];
  } guarded;
  memset(&guarded, 0xA5, sizeof guarded);
  nbuf_maps_begin(&guarded.line);
  const char alphabet[] = "0123456789abcdef-- :rwxps\n/ \t\x80\xff";
  for (int i = 0; i < 3000000; i++) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407); /* Knuth */
    nbuf_maps_answer answer =
        nbuf_maps_feed(&guarded.line, alphabet[(state >> 33) % (sizeof alphabet - 1)]);
    if (answer != NBUF_MAPS_MORE) {
      CHECK(answer == NBUF_MAPS_BAD_LINE ||
            guarded.line.mapping.range.min <= guarded.line.mapping.range.max);
      nbuf_maps_begin(&guarded.line);
    }
  }
  for (size_t i = 0; i < sizeof guarded.before; i++) {
    CHECK_EQUAL(0xA5, guarded.before[i]);
    CHECK_EQUAL(0xA5, guarded.after[i]);
  }
}
