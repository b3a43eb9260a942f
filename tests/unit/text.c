/* How the inspector prints sizes and distances, and how it cleans text of other processes. */
#include "../../tools/nearbuf/text.h"

#include <stdbool.h>
#include <string.h>

#include "test.h"

static void check_words(const char *expected, phrase actual) {
  if (strcmp(expected, actual.characters) != 0) {
    test_fail(__FILE__, __LINE__, "\"%s\", not \"%s\"", actual.characters, expected);
  }
}

TEST(sizes_are_whole_or_have_one_digit_rounded_down) {
  static const struct {
    uint64_t size;
    const char *words;
  } cases[] = {{0, "0 bytes"},
               {1, "1 byte"},
               {2, "2 bytes"},
               {1023, "1023 bytes"},
               {1024, "1 KiB"},
               {1126, "1 KiB"},
               {1127, "1.1 KiB"},
               {1536, "1.5 KiB"},
               {10240, "10 KiB"},
               {1047552, "1023 KiB"},
               {1048575, "1023.9 KiB"},
               {1048576, "1 MiB"},
               {1572864, "1.5 MiB"},
               {UINT64_C(1) << 30, "1 GiB"},
               {(UINT64_C(1) << 30) - 1, "1023.9 MiB"},
               {UINT64_C(1) << 40, "1 TiB"},
               {UINT64_C(1) << 50, "1 PiB"},
               {UINT64_C(1) << 60, "1 EiB"},
               {UINT64_MAX, "15.9 EiB"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    check_words(cases[i].words, text_size(cases[i].size));
  }
}

TEST(one_is_told_apart_from_many) {
  check_words("0 buffers", text_count(0, "buffer"));
  check_words("1 buffer", text_count(1, "buffer"));
  check_words("2 buffers", text_count(2, "buffer"));
  check_words("18446744073709551615 files", text_count(UINT64_MAX, "file"));
}

TEST(distances_say_in_which_direction) {
  check_words("right at", text_distance(4096, 4096));
  check_words("1 byte above", text_distance(4096, 4097));
  check_words("4 KiB below", text_distance(8192, 4096));
  check_words("15.9 EiB above", text_distance(0, UINT64_MAX));
}

/* ---- Foreign text ---------------------------------------------------------------------------- */

static void check_cleaned(const char *expected, const char *text) {
  char copy[64];
  (void)snprintf(copy, sizeof copy, "%s", text);
  text_clean(copy);
  if (strcmp(expected, copy) != 0) {
    test_fail(__FILE__, __LINE__, "\"%s\" became \"%s\", not \"%s\"", text, copy, expected);
  }
}

/* Invisible characters: the categories Cf, Zl and Zp of Unicode 15, and what is reserved for more
 * of them. */
static bool is_format(uint32_t c) {
  return c == 0xad || (c >= 0x600 && c <= 0x605) || c == 0x61c || c == 0x6dd || c == 0x70f ||
         c == 0x890 || c == 0x891 || c == 0x8e2 || c == 0x180e || (c >= 0x200b && c <= 0x200f) ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
         (c >= 0xfff9 && c <= 0xfffb) || c == 0x110bd || c == 0x110cd ||
         (c >= 0x13430 && c <= 0x1343f) || (c >= 0x1bca0 && c <= 0x1bca3) ||
         (c >= 0x1d173 && c <= 0x1d17a) || (c >= 0xe0000 && c <= 0xe0fff);
}

static bool is_shown(uint32_t c) {
  bool is_control = c < 0x20 || (c >= 0x7f && c < 0xa0);
  bool is_surrogate = c >= 0xd800 && c <= 0xdfff;
  bool is_no_character = (c & 0xffff) >= 0xfffe;
  return !is_control && !is_surrogate && !is_no_character && !is_format(c);
}

/* The bytes of a character in UTF-8, also of an invalid one. */
static size_t encode(uint32_t c, size_t size, char *text) {
  static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
  for (size_t i = size - 1; i > 0; i--, c >>= 6) {
    text[i] = (char)(0x80 | (c & 0x3f));
  }
  text[0] = (char)(leads[size] | c);
  text[size] = '\0';
  return size;
}

static size_t size_of(uint32_t c) {
  return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

TEST(every_character_that_can_be_seen_stays_and_every_other_one_becomes_question_marks) {
  for (uint32_t c = 1; c < 0x140000; c++) {
    char text[8];
    char before[8];
    size_t size = encode(c, size_of(c), text);
    memcpy(before, text, size + 1);
    text_clean(text);
    bool is_seen = c <= 0x10ffff && is_shown(c);
    CHECK(is_seen ? strcmp(before, text) == 0 : strspn(text, "?") == size);
  }
}

TEST(what_is_written_longer_than_it_must_be_is_not_shown) {
  for (uint32_t c = 0x20; c < 0x10000; c++) {
    for (size_t size = size_of(c) + 1; size <= 4; size++) {
      char text[8];
      (void)encode(c, size, text);
      text_clean(text);
      CHECK_EQUAL(size, strspn(text, "?"));
    }
  }
}

TEST(pieces_of_characters_are_not_shown_and_what_follows_is) {
  check_cleaned("plain text", "plain text");
  check_cleaned("?x", "\x80x");
  check_cleaned("?x", "\xc3x");
  check_cleaned("??x", "\xe2\x82x");
  check_cleaned("???x", "\xf0\x9f\x98x");
  check_cleaned("a\xc3\xa4"
                "b",
                "a\xc3\xa4"
                "b");
  check_cleaned("?\xc3\xa4", "\xe2\xc3\xa4");
  check_cleaned("??", "\xff\xfe");
  check_cleaned("?", "\xf8");
  check_cleaned("a?b??", "a\nb\t\x7f");
  check_cleaned("", "");
}

TEST(of_a_character_that_is_cut_question_marks_are_left) {
  const char *name = "ab\xC3\xA9\xE2\x82\xAC"; /* "ab", e with an accent, the Euro sign */
  check_words("", text_beginning(name, 0));
  check_words("ab", text_beginning(name, 2));
  check_words("ab?", text_beginning(name, 3));
  check_words("ab\xC3\xA9", text_beginning(name, 4));
  check_words("ab\xC3\xA9??", text_beginning(name, 6));
  check_words(name, text_beginning(name, 7));
  check_words(name, text_beginning(name, 47));
  check_words("123456789 123456789 123456789 123456789 1234567",
              text_beginning("123456789 123456789 123456789 123456789 123456789", 47));
}
