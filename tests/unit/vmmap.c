/* The records of FreeBSD's kern.proc.vmmap, as its kernel writes them, and damaged. */
#include "os/bsd/vmmap.h"

#include <string.h>

#include "test.h"

typedef struct record {
  uint32_t type;
  uint64_t start;
  uint64_t end;
  uint64_t offset;
  uint64_t inode;
  uint32_t flags;
  uint32_t protection;
  uint64_t device;
  const char *path;
} record;

enum { ANONYMOUS = 3, GUARD = 9, LONGEST = 8192 };

/* The library's program text, its locator, private memory, and the guard below the stack. */
static const record process[] = {
    {NBUF_VMMAP_OF_FILE, 0x200000, 0x204000, 0x1000, 77, NBUF_VMMAP_IS_PRIVATE,
     NBUF_VMMAP_READABLE | NBUF_VMMAP_EXECUTABLE, 0x123456789a, "/usr/bin/program"},
    {NBUF_VMMAP_OF_FILE, 0x801000000, 0x801001000, 0, 4711, 0,
     NBUF_VMMAP_READABLE | NBUF_VMMAP_WRITABLE, 0x123456789a,
     "/tmp/.reloaded/memory.buffers/Reloaded.Memory.Buffers.MemoryBuffer, PID 815"},
    {ANONYMOUS, 0x801001000, 0x801008000, 0x3000, 0, 0, NBUF_VMMAP_READABLE | NBUF_VMMAP_WRITABLE,
     99, ""},
    {GUARD, 0x7ffffffdf000, 0x7fffffff0000, 0, 0, 0, 0, 0, ""},
};

static void put(unsigned char *bytes, size_t at, uint64_t value, size_t size) {
  uint32_t word = (uint32_t)value;
  memcpy(bytes + at, size == sizeof word ? (const void *)&word : (const void *)&value, size);
}

/* Writes a record as the kernel packs it; returns its size. */
static size_t write_record(unsigned char *bytes, const record *from) {
  size_t size = (NBUF_VMMAP_PATH + strlen(from->path) + 1 + 7) / 8 * 8;
  memset(bytes, 0, size);
  put(bytes, NBUF_VMMAP_SIZE, size, 4);
  put(bytes, NBUF_VMMAP_TYPE, from->type, 4);
  put(bytes, NBUF_VMMAP_START, from->start, 8);
  put(bytes, NBUF_VMMAP_END, from->end, 8);
  put(bytes, NBUF_VMMAP_OFFSET, from->offset, 8);
  put(bytes, NBUF_VMMAP_INODE, from->inode, 8);
  put(bytes, NBUF_VMMAP_FLAGS, from->flags, 4);
  put(bytes, NBUF_VMMAP_PROTECTION, from->protection, 4);
  put(bytes, NBUF_VMMAP_DEVICE, from->device, 8);
  memcpy(bytes + NBUF_VMMAP_PATH, from->path, strlen(from->path));
  return size;
}

/* All records of the process, in memory that ends with them. */
static unsigned char *write_process(size_t *size) {
  static unsigned char all[LONGEST];
  *size = 0;
  for (size_t i = 0; i < sizeof process / sizeof process[0]; i++) {
    *size += write_record(all + *size, &process[i]);
  }
  unsigned char *bytes = malloc(*size);
  CHECK(bytes != NULL);
  memcpy(bytes, all, *size);
  return bytes;
}

static nbuf_map_answer read_one(const record *from, nbuf_mapping *mapping) {
  unsigned char bytes[LONGEST];
  size_t size = write_record(bytes, from);
  size_t at = 0;
  nbuf_map_answer answer = nbuf_vmmap_next(bytes, size, &at, mapping);
  CHECK_EQUAL(answer == NBUF_MAP_FOUND ? size : 0, at);
  return answer;
}

TEST(every_record_is_read_in_order_and_then_comes_the_end) {
  size_t size;
  unsigned char *bytes = write_process(&size);
  size_t at = 0;
  for (size_t i = 0; i < sizeof process / sizeof process[0]; i++) {
    nbuf_mapping mapping;
    CHECK_EQUAL(NBUF_MAP_FOUND, nbuf_vmmap_next(bytes, size, &at, &mapping));
    CHECK_EQUAL(process[i].start, mapping.range.min);
    CHECK_EQUAL(process[i].end - 1, mapping.range.max);
    CHECK_EQUAL((process[i].protection & NBUF_VMMAP_READABLE) != 0, mapping.readable);
    CHECK_EQUAL((process[i].protection & NBUF_VMMAP_WRITABLE) != 0, mapping.writable);
    CHECK_EQUAL((process[i].protection & NBUF_VMMAP_EXECUTABLE) != 0, mapping.executable);
    CHECK(strcmp(process[i].path, mapping.name_end) == 0);
  }
  nbuf_mapping mapping;
  CHECK_EQUAL(NBUF_MAP_END, nbuf_vmmap_next(bytes, size, &at, &mapping));
  CHECK_EQUAL(size, at);
  free(bytes);
}

TEST(no_records_are_the_end) {
  size_t at = 0;
  nbuf_mapping mapping;
  CHECK_EQUAL(NBUF_MAP_END, nbuf_vmmap_next((const unsigned char *)"", 0, &at, &mapping));
}

TEST(a_file_has_an_identity_and_other_memory_has_none) {
  nbuf_mapping mapping;
  CHECK_EQUAL(NBUF_MAP_FOUND, read_one(&process[0], &mapping));
  CHECK_EQUAL(0x123456789a, mapping.device);
  CHECK_EQUAL(77, mapping.inode);
  CHECK_EQUAL(0x1000, mapping.offset);
  CHECK_EQUAL(NBUF_MAP_FOUND, read_one(&process[2], &mapping));
  CHECK_EQUAL(0, mapping.device | mapping.inode | mapping.offset);
}

TEST(shared_is_a_file_or_a_memory_object_that_is_not_copied) {
  record memory = process[2];
  nbuf_mapping mapping;
  CHECK_EQUAL(NBUF_MAP_FOUND, read_one(&process[0], &mapping));
  CHECK(!mapping.shared);
  CHECK_EQUAL(NBUF_MAP_FOUND, read_one(&process[1], &mapping));
  CHECK(mapping.shared);
  CHECK_EQUAL(NBUF_MAP_FOUND, read_one(&memory, &mapping));
  CHECK(!mapping.shared);
  memory.flags = NBUF_VMMAP_IS_POSIX_MEMORY;
  CHECK_EQUAL(NBUF_MAP_FOUND, read_one(&memory, &mapping));
  CHECK(mapping.shared);
  memory.flags = NBUF_VMMAP_IS_POSIX_MEMORY | NBUF_VMMAP_IS_PRIVATE;
  CHECK_EQUAL(NBUF_MAP_FOUND, read_one(&memory, &mapping));
  CHECK(!mapping.shared);
}

TEST(of_a_long_path_the_end_is_kept) {
  char path[1024];
  memset(path, 'x', sizeof path);
  memcpy(path + sizeof path - 5, "/end", 5);
  record deep = process[0];
  deep.path = path;
  nbuf_mapping mapping;
  CHECK_EQUAL(NBUF_MAP_FOUND, read_one(&deep, &mapping));
  CHECK_EQUAL(sizeof mapping.name_end - 1, strlen(mapping.name_end));
  CHECK(strcmp(mapping.name_end, path + sizeof path - sizeof mapping.name_end) == 0);
}

TEST(a_mapping_may_end_with_the_address_space) {
  record top = process[3];
  top.start = UINTPTR_MAX - 0xfff;
  top.end = (uint64_t)UINTPTR_MAX + 1;
  nbuf_mapping mapping;
  /* In 64 bits this end cannot be expressed: the kernel never maps the last page. */
  nbuf_map_answer expected = top.end == 0 ? NBUF_MAP_FAILED : NBUF_MAP_FOUND;
  CHECK_EQUAL(expected, read_one(&top, &mapping));
}

TEST(a_range_that_is_none_is_no_record) {
  record bad = process[0];
  nbuf_mapping mapping;
  bad.end = bad.start;
  CHECK_EQUAL(NBUF_MAP_FAILED, read_one(&bad, &mapping));
  bad.end = bad.start - 1;
  CHECK_EQUAL(NBUF_MAP_FAILED, read_one(&bad, &mapping));
}

TEST(records_that_are_cut_off_are_read_up_to_there) {
  size_t size;
  unsigned char *bytes = write_process(&size);
  for (size_t cut = 0; cut < size; cut++) {
    unsigned char *part = malloc(cut + 1); /* so that a sanitizer notices a read past the end */
    CHECK(part != NULL);
    memcpy(part + 1, bytes, cut);
    size_t at = 0;
    nbuf_mapping mapping;
    nbuf_map_answer answer;
    while ((answer = nbuf_vmmap_next(part + 1, cut, &at, &mapping)) == NBUF_MAP_FOUND) {
      CHECK(at <= cut);
    }
    CHECK_EQUAL(at == cut ? NBUF_MAP_END : NBUF_MAP_FAILED, answer);
    free(part);
  }
  free(bytes);
}

TEST(whatever_is_changed_the_reading_ends_inside) {
  size_t size;
  unsigned char *bytes = write_process(&size);
  for (size_t changed = 0; changed < size; changed++) {
    unsigned char before = bytes[changed];
    for (int bit = 0; bit < 8; bit++) {
      bytes[changed] = (unsigned char)(before ^ 1 << bit);
      size_t at = 0;
      nbuf_mapping mapping;
      while (nbuf_vmmap_next(bytes, size, &at, &mapping) == NBUF_MAP_FOUND) {
        CHECK(at <= size);
        CHECK(mapping.range.min <= mapping.range.max);
      }
    }
    bytes[changed] = before;
  }
  free(bytes);
}
