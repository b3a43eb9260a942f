#include "text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

phrase text_size(uint64_t size_bytes) {
  static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  phrase result;
  if (size_bytes < 1024) {
    (void)snprintf(result.characters, sizeof result.characters, "%" PRIu64 " byte%s", size_bytes,
                   size_bytes == 1 ? "" : "s");
    return result;
  }
  int unit = 0;
  uint64_t whole = size_bytes;
  for (; whole >= UINT64_C(1024) * 1024; unit++) {
    whole /= 1024;
  }
  uint64_t tenths = whole % 1024 * 10 / 1024;
  whole /= 1024;
  if (tenths == 0) {
    (void)snprintf(result.characters, sizeof result.characters, "%" PRIu64 " %s", whole,
                   units[unit]);
  } else {
    (void)snprintf(result.characters, sizeof result.characters, "%" PRIu64 ".%" PRIu64 " %s", whole,
                   tenths, units[unit]);
  }
  return result;
}

phrase text_count(uint64_t count, const char *noun) {
  phrase result;
  (void)snprintf(result.characters, sizeof result.characters, "%" PRIu64 " %s%s", count, noun,
                 count == 1 ? "" : "s");
  return result;
}

phrase text_distance(uint64_t from, uint64_t to) {
  phrase result = {"right at"};
  if (from != to) {
    phrase size = text_size(from < to ? to - from : from - to);
    (void)snprintf(result.characters, sizeof result.characters, "%.32s %s", size.characters,
                   from < to ? "above" : "below");
  }
  return result;
}

/* Characters that are invisible and change how others are displayed: direction marks, joiners, line
 * separators, tags. They can make a name look like another one. Unicode 15, general categories Cf,
 * Zl and Zp; pairs of first and last. */
static bool is_invisible(uint32_t character) {
  static const uint32_t ranges[][2] = {
      {0xAD, 0xAD},       {0x600, 0x605},     {0x61C, 0x61C},     {0x6DD, 0x6DD},
      {0x70F, 0x70F},     {0x890, 0x891},     {0x8E2, 0x8E2},     {0x180E, 0x180E},
      {0x200B, 0x200F},   {0x2028, 0x202E},   {0x2060, 0x206F},   {0xFEFF, 0xFEFF},
      {0xFFF9, 0xFFFB},   {0x110BD, 0x110BD}, {0x110CD, 0x110CD}, {0x13430, 0x1343F},
      {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF}};
  for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
    if (character >= ranges[i][0] && character <= ranges[i][1]) {
      return true;
    }
  }
  return false;
}

/* The size in bytes of the UTF-8 character at `text`; 0: invalid or invisible. */
static int character_size(const unsigned char *text) {
  if (text[0] < 0x80) {
    return text[0] >= 0x20 && text[0] != 0x7F;
  }
  int size = text[0] >= 0xF0 ? 4 : text[0] >= 0xE0 ? 3 : 2;
  uint32_t value = text[0] & (0x7FU >> size);
  for (int i = 1; i < size; i++) {
    if ((text[i] & 0xC0) != 0x80) {
      return 0;
    }
    value = value << 6 | (text[i] & 0x3FU);
  }
  static const uint32_t least[] = {0, 0, 0xA0, 0x800, 0x10000};
  bool is_character = text[0] >= 0xC2 && value >= least[size] && value < 0x110000 &&
                      (value < 0xD800 || value > 0xDFFF) && (value & 0xFFFE) != 0xFFFE &&
                      !is_invisible(value);
  return is_character ? size : 0;
}

void text_clean(char *text) {
  while (*text != '\0') {
    int size = character_size((const unsigned char *)text);
    if (size == 0) {
      *text = '?';
      size = 1;
    }
    text += size;
  }
}

phrase text_beginning(const char *text, int most_bytes) {
  phrase result;
  (void)snprintf(result.characters, sizeof result.characters, "%.*s", most_bytes, text);
  text_clean(result.characters);
  return result;
}
