/* Fuzz target: the records of FreeBSD's kern.proc.vmmap.
 *
 * Any bytes may occur. Every record that is accepted ends inside them, is longer than the fields
 * before its path, and its range and name depend on its own bytes only: written again and parsed
 * alone it is the same. */
#include "os/bsd/vmmap.h"

#include "fuzz.h"

static bool is_same(const nbuf_mapping *a, const nbuf_mapping *b) {
  return a->range.min == b->range.min && a->range.max == b->range.max &&
         a->readable == b->readable && a->writable == b->writable &&
         a->executable == b->executable && a->shared == b->shared && a->device == b->device &&
         a->inode == b->inode && a->offset == b->offset && strcmp(a->name_end, b->name_end) == 0;
}

static void check_alone(const uint8_t *record, size_t size, const nbuf_mapping *mapping) {
  uint8_t *copy = malloc(size); /* so that a sanitizer notices a read past its end */
  require(copy != NULL);
  memcpy(copy, record, size);
  nbuf_mapping again;
  size_t at = 0;
  require(nbuf_vmmap_next(copy, size, &at, &again) == NBUF_MAP_FOUND);
  require(at == size);
  require(is_same(mapping, &again));
  free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  size_t at = 0;
  nbuf_map_answer answer;
  do {
    size_t before = at;
    nbuf_mapping mapping;
    answer = nbuf_vmmap_next(data, size, &at, &mapping);
    if (answer == NBUF_MAP_FOUND) {
      require(at > before + NBUF_VMMAP_PATH && at <= size);
      require(mapping.range.min <= mapping.range.max);
      require(memchr(mapping.name_end, '\0', sizeof mapping.name_end) != NULL);
      check_alone(data + before, at - before, &mapping);
    } else {
      require(at == before);
      require((answer == NBUF_MAP_END) == (at == size));
    }
  } while (answer == NBUF_MAP_FOUND);
  return 0;
}
