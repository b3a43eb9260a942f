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

static void read_record(const unsigned char *record, nb_mapping *mapping) {
  uint32_t flags = record_word(record, NB_VMMAP_FLAGS);
  uint32_t protection = record_word(record, NB_VMMAP_PROTECTION);
  bool is_of_file = record_word(record, NB_VMMAP_TYPE) == NB_VMMAP_OF_FILE;
  bool is_of_object =
      is_of_file || (flags & (NB_VMMAP_IS_SYSTEM_V_MEMORY | NB_VMMAP_IS_POSIX_MEMORY)) != 0;
  mapping->range.min = (uintptr_t)long_at(record, NB_VMMAP_START);
  mapping->range.max = (uintptr_t)(long_at(record, NB_VMMAP_END) - 1);
  mapping->readable = (protection & NB_VMMAP_READABLE) != 0;
  mapping->writable = (protection & NB_VMMAP_WRITABLE) != 0;
  mapping->executable = (protection & NB_VMMAP_EXECUTABLE) != 0;
  mapping->shared = is_of_object && (flags & NB_VMMAP_IS_PRIVATE) == 0;
  mapping->device = is_of_file ? long_at(record, NB_VMMAP_DEVICE) : 0;
  mapping->inode = is_of_file ? long_at(record, NB_VMMAP_INODE) : 0;
  mapping->offset = is_of_file ? long_at(record, NB_VMMAP_OFFSET) : 0;
}

/* The range is not empty and its addresses are not wider than ours. */
static bool is_range_sound(const unsigned char *record) {
  uint64_t start = long_at(record, NB_VMMAP_START);
  uint64_t end = long_at(record, NB_VMMAP_END);
  return start < end && end - 1 <= UINTPTR_MAX;
}

nb_map_answer nb_vmmap_next(const unsigned char *records, size_t size, size_t *at,
                            nb_mapping *mapping) {
  if (*at == size) {
    return NB_MAP_END;
  }
  const unsigned char *record = records + *at;
  size_t left = size - *at;
  uint32_t length = left > NB_VMMAP_PATH ? record_word(record, NB_VMMAP_SIZE) : 0;
  if (length <= NB_VMMAP_PATH || length > left) {
    return NB_MAP_FAILED;
  }
  const unsigned char *path = record + NB_VMMAP_PATH;
  const unsigned char *end = memchr(path, '\0', length - NB_VMMAP_PATH);
  if (end == NULL || !is_range_sound(record)) {
    return NB_MAP_FAILED;
  }
  read_record(record, mapping);
  nb_keep_name_end(mapping, (const char *)path, (size_t)(end - path));
  *at += length;
  return NB_MAP_FOUND;
}
