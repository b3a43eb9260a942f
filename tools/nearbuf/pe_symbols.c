#include "pe_symbols.h"

#include <string.h>

/* The parts of PE that are needed here: learn.microsoft.com/windows/win32/debug/pe-format. Offsets
 * have 32 bits and count from the start of the module, except those in the headers. */
enum {
  DOS_PE_HEADER = 0x3c, /* offset of the PE header */
  OPTIONAL_HEADER = 24, /* in the PE header, after the signature and the file header */
  MAGIC_32 = 0x10b,
  MAGIC_64 = 0x20b,
  EXPORTS_32 = 96, /* in the optional header: offset and size of the exports */
  EXPORTS_64 = 112,
  HEADERS_SIZE = OPTIONAL_HEADER + EXPORTS_64 + 8,
  NAMES_MAX = 65536, /* ordinals have 16 bits */
  NAME_MAX = 256
};

/* The export directory: three arrays. */
typedef struct pe_exports {
  uint32_t start;
  uint32_t size;
  uint32_t function_count;
  uint32_t name_count;
  uint32_t functions; /* addresses, by ordinal */
  uint32_t names;     /* offset of each name, in alphabetical order */
  uint32_t numbers;   /* a 16-bit ordinal for each name */
} pe_exports;

typedef struct pe_module {
  nearbuf_process *process;
  nearbuf_status *refusal; /* out: why mapped memory could not be read */
  uint64_t start;
} pe_module;

/* Reads as much as is mapped; returns whether that is all. */
static bool read_some(const pe_module *module, uint64_t offset, void *bytes, size_t size,
                      size_t *done) {
  nearbuf_status status =
      nearbuf_process_read(module->process, module->start + offset, bytes, size, done);
  if (status != NEARBUF_OK && status != NEARBUF_NOT_MAPPED) {
    *module->refusal = status;
  }
  return status == NEARBUF_OK;
}

static bool read_at(const pe_module *module, uint64_t offset, void *bytes, size_t size) {
  return read_some(module, offset, bytes, size, NULL);
}

static bool find_exports(const pe_module *module, pe_exports *exports) {
  char signature[2];
  uint32_t pe;
  unsigned char headers[HEADERS_SIZE];
  uint16_t magic;
  if (!read_at(module, 0, signature, sizeof signature) || memcmp(signature, "MZ", 2) != 0 ||
      !read_at(module, DOS_PE_HEADER, &pe, sizeof pe) ||
      !read_at(module, pe, headers, sizeof headers) || memcmp(headers, "PE\0\0", 4) != 0) {
    return false;
  }
  memcpy(&magic, headers + OPTIONAL_HEADER, sizeof magic);
  if (magic != MAGIC_32 && magic != MAGIC_64) {
    return false;
  }
  const unsigned char *entry =
      headers + OPTIONAL_HEADER + (magic == MAGIC_32 ? EXPORTS_32 : EXPORTS_64);
  memcpy(&exports->start, entry, sizeof exports->start);
  memcpy(&exports->size, entry + 4, sizeof exports->size);
  return exports->start != 0;
}

static bool read_exports(const pe_module *module, pe_exports *exports) {
  uint32_t table[10];
  if (!read_at(module, exports->start, table, sizeof table)) {
    return false;
  }
  exports->function_count = table[5];
  exports->name_count = table[6];
  exports->functions = table[7];
  exports->names = table[8];
  exports->numbers = table[9];
  return exports->name_count <= NAMES_MAX;
}

/* Reads a name, truncated to the array; the mapping may end right after the name. */
static bool read_name(const pe_module *module, uint32_t offset, char name[NAME_MAX]) {
  size_t done = 0;
  (void)read_some(module, offset, name, NAME_MAX - 1, &done);
  name[done] = '\0';
  return done != 0;
}

/* The index of a name in the sorted names. */
static bool find_name(const pe_module *module, const pe_exports *exports, const char *name,
                      uint32_t *index) {
  uint32_t low = 0;
  uint32_t high = exports->name_count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    uint32_t offset;
    char found[NAME_MAX];
    if (!read_at(module, exports->names + (uint64_t)middle * 4, &offset, sizeof offset) ||
        !read_name(module, offset, found)) {
      return false;
    }
    int order = strcmp(found, name);
    if (order == 0) {
      *index = middle;
      return true;
    }
    if (order < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return false;
}

/* False: the module does not export the name, or `*function` is not a function but a forwarder. */
static bool find_export(const pe_module *pe, const char *name, uint32_t *function) {
  pe_exports exports;
  uint32_t index;
  uint16_t number;
  if (!find_exports(pe, &exports) || !read_exports(pe, &exports) ||
      !find_name(pe, &exports, name, &index) ||
      !read_at(pe, exports.numbers + (uint64_t)index * 2, &number, sizeof number) ||
      number >= exports.function_count ||
      !read_at(pe, exports.functions + (uint64_t)number * 4, function, sizeof *function)) {
    *function = 0;
    return false;
  }
  /* An address inside the directory is a forwarder: the name of a function in another module. */
  bool is_forwarded = *function >= exports.start && *function - exports.start < exports.size;
  return *function != 0 && !is_forwarded;
}

nearbuf_status pe_symbol_find(tool_target *target, const process_module *module, const char *name,
                              uint64_t *address) {
  nearbuf_status refusal = NEARBUF_NOT_FOUND;
  pe_module pe = {&target->process, &refusal, module->min};
  uint32_t function = 0;
  bool is_found = find_export(&pe, name, &function);
  *address = function == 0 ? 0 : module->min + function;
  return is_found ? NEARBUF_OK : refusal;
}
