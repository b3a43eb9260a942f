/* Fuzz target: the text of /proc/<pid>/maps.
 *
 * Any characters may occur. What the parser accepts as a mapping is written again in the kernel's
 * form; parsing that must give the same mapping. */
#include "os/linux/maps_text.h"
#include "fuzz.h"

static nbuf_maps_answer feed_all(nbuf_maps_line *line, const char *text, size_t length) {
  nbuf_maps_answer answer = NBUF_MAPS_MORE;
  for (size_t i = 0; i < length; i++) {
    require(answer == NBUF_MAPS_MORE);
    answer = nbuf_maps_feed(line, text[i]);
  }
  return answer;
}

static void check_name(const nbuf_maps_line *line) {
  const nbuf_mapping *mapping = &line->mapping;
  require(line->name_length < sizeof mapping->name_end);
  require(mapping->name_end[line->name_length] == '\0');
}

static bool is_same(const nbuf_mapping *a, const nbuf_mapping *b) {
  return a->range.min == b->range.min && a->range.max == b->range.max &&
         a->readable == b->readable && a->writable == b->writable &&
         a->executable == b->executable && a->shared == b->shared && a->device == b->device &&
         a->inode == b->inode && a->offset == b->offset;
}

static void check_round_trip(const nbuf_maps_line *line) {
  const nbuf_mapping *mapping = &line->mapping;
  require(mapping->range.min <= mapping->range.max);
  char text[256];
  int length = snprintf(text, sizeof text, "%jx-%jx %c%c%c%c %jx %jx:%jx %ju ",
                        (uintmax_t)mapping->range.min, (uintmax_t)mapping->range.max + 1,
                        mapping->readable ? 'r' : '-', mapping->writable ? 'w' : '-',
                        mapping->executable ? 'x' : '-', mapping->shared ? 's' : 'p',
                        (uintmax_t)mapping->offset, (uintmax_t)(mapping->device >> 32),
                        (uintmax_t)(mapping->device & UINT32_MAX), (uintmax_t)mapping->inode);
  nbuf_maps_line again;
  nbuf_maps_begin(&again);
  require(feed_all(&again, text, (size_t)length) == NBUF_MAPS_MORE);
  require(feed_all(&again, mapping->name_end, line->name_length) == NBUF_MAPS_MORE);
  require(feed_all(&again, "\n", 1) == NBUF_MAPS_MAPPING);
  require(is_same(mapping, &again.mapping));
  /* The end of a long name may begin with what separates names from numbers. */
  size_t blanks = strspn(mapping->name_end, " ");
  require(again.name_length == line->name_length - blanks);
  require(memcmp(again.mapping.name_end, mapping->name_end + blanks, again.name_length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  nbuf_maps_line line;
  nbuf_maps_begin(&line);
  for (size_t i = 0; i < size; i++) {
    nbuf_maps_answer answer = nbuf_maps_feed(&line, (char)data[i]);
    check_name(&line);
    require((answer != NBUF_MAPS_MORE) == (data[i] == '\n'));
    if (answer == NBUF_MAPS_MAPPING) {
      check_round_trip(&line);
    }
    if (answer != NBUF_MAPS_MORE) {
      nbuf_maps_begin(&line);
    }
  }
  return 0;
}
