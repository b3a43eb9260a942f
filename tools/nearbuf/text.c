#include "text.h"

#include <inttypes.h>
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

phrase text_distance(uint64_t from, uint64_t to) {
  phrase result = {"right at"};
  if (from != to) {
    phrase size = text_size(from < to ? to - from : from - to);
    (void)snprintf(result.characters, sizeof result.characters, "%.32s %s", size.characters,
                   from < to ? "above" : "below");
  }
  return result;
}
