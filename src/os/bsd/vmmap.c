/* The records of FreeBSD's kern.proc.vmmap; see vmmap.h. */
#include "os/bsd/vmmap.h"

#include <string.h>

#include "os/posix/name_end.h"

static uint32_t record_word(const unsigned char *record, size_t offset) {
  uint32_t word;
  memcpy(&word, record + offset, sizeof word);
  return word;
}

static uint64_t long_at(const unsigned char *record, size_t offset) {
  uint64_t word;
  memcpy(&word, record + offset, sizeof word);
  return word;
}

static void read_record(const unsigned char *record, nbuf_mapping *mapping) {
  uint32_t flags = record_word(record, NBUF_VMMAP_FLAGS);
  uint32_t protection = record_word(record, NBUF_VMMAP_PROTECTION);
  bool is_of_file = record_word(record, NBUF_VMMAP_TYPE) == NBUF_VMMAP_OF_FILE;
  bool is_of_object =
      is_of_file || (flags & (NBUF_VMMAP_IS_SYSTEM_V_MEMORY | NBUF_VMMAP_IS_POSIX_MEMORY)) != 0;
  mapping->range.min = (uintptr_t)long_at(record, NBUF_VMMAP_START);
  mapping->range.max = (uintptr_t)(long_at(record, NBUF_VMMAP_END) - 1);
  mapping->readable = (protection & NBUF_VMMAP_READABLE) != 0;
  mapping->writable = (protection & NBUF_VMMAP_WRITABLE) != 0;
  mapping->executable = (protection & NBUF_VMMAP_EXECUTABLE) != 0;
  mapping->shared = is_of_object && (flags & NBUF_VMMAP_IS_PRIVATE) == 0;
  mapping->device = is_of_file ? long_at(record, NBUF_VMMAP_DEVICE) : 0;
  mapping->inode = is_of_file ? long_at(record, NBUF_VMMAP_INODE) : 0;
  mapping->offset = is_of_file ? long_at(record, NBUF_VMMAP_OFFSET) : 0;
}

/* The range is not empty and its addresses are not wider than ours. */
static bool is_range_sound(const unsigned char *record) {
  uint64_t start = long_at(record, NBUF_VMMAP_START);
  uint64_t end = long_at(record, NBUF_VMMAP_END);
  return start < end && end - 1 <= UINTPTR_MAX;
}

nbuf_map_answer nbuf_vmmap_next(const unsigned char *records, size_t size, size_t *at,
                                nbuf_mapping *mapping) {
  if (*at == size) {
    return NBUF_MAP_END;
  }
  const unsigned char *record = records + *at;
  size_t left = size - *at;
  uint32_t length = left > NBUF_VMMAP_PATH ? record_word(record, NBUF_VMMAP_SIZE) : 0;
  if (length <= NBUF_VMMAP_PATH || length > left) {
    return NBUF_MAP_FAILED;
  }
  const unsigned char *path = record + NBUF_VMMAP_PATH;
  const unsigned char *end = memchr(path, '\0', length - NBUF_VMMAP_PATH);
  if (end == NULL || !is_range_sound(record)) {
    return NBUF_MAP_FAILED;
  }
  read_record(record, mapping);
  nbuf_keep_name_end(mapping, (const char *)path, (size_t)(end - path));
  *at += length;
  return NBUF_MAP_FOUND;
}
