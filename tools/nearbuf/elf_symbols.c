#include "elf_symbols.h"

#include <string.h>

/* The offsets in the 32-bit and 64-bit forms of ELF that are needed here: System V ABI, "Object
 * files" and "Dynamic linking". */
typedef struct elf_class {
  unsigned word_size;
  unsigned program_headers; /* in the file's header */
  unsigned program_header_count;
  unsigned program_header_size;
  unsigned segment_address; /* in a program header */
  unsigned symbol_size;
  unsigned symbol_value; /* in a symbol */
  unsigned symbol_section;
} elf_class;

static const elf_class classes[] = {
    {4, 28, 44, 32, 8, 16, 4, 14},
    {8, 32, 56, 56, 16, 24, 8, 6},
};

enum {
  SEGMENT_LOAD = 1,
  SEGMENT_DYNAMIC = 2,
  DYNAMIC_END = 0,
  DYNAMIC_STRINGS = 5,
  DYNAMIC_SYMBOLS = 6,
  DYNAMIC_GNU_HASH = 0x6ffffef5,
  SEGMENTS_MAX = 64,
  DYNAMICS_MAX = 256,
  CHAIN_MAX = 65536
};

typedef struct elf_module {
  nearbuf_process *process;
  nearbuf_status *refusal; /* out: why mapped memory could not be read */
  const elf_class *class;
  uint64_t start;
  uint64_t bias; /* added to the addresses in the file */
  uint64_t dynamic;
  uint64_t strings;
  uint64_t symbols;
  uint64_t hash;
} elf_module;

static bool read_bytes(const elf_module *module, uint64_t address, void *bytes, size_t size) {
  nearbuf_status status = nearbuf_process_read(module->process, address, bytes, size, NULL);
  if (status != NEARBUF_OK && status != NEARBUF_NOT_MAPPED) {
    *module->refusal = status;
  }
  return status == NEARBUF_OK;
}

static bool read_u32(const elf_module *module, uint64_t address, uint32_t *value) {
  return read_bytes(module, address, value, sizeof *value);
}

/* Decodes a number of `size` bytes. */
static uint64_t number_at(const unsigned char *bytes, unsigned size) {
  uint16_t half;
  uint32_t word;
  uint64_t twice;
  switch (size) {
  case 2:
    memcpy(&half, bytes, sizeof half);
    return half;
  case 4:
    memcpy(&word, bytes, sizeof word);
    return word;
  default:
    memcpy(&twice, bytes, sizeof twice);
    return twice;
  }
}

static bool read_header(elf_module *module, uint64_t *headers, uint64_t *count) {
  unsigned char bytes[64];
  if (!read_bytes(module, module->start, bytes, sizeof bytes) || memcmp(bytes, "\177ELF", 4) != 0 ||
      bytes[4] < 1 || bytes[4] > 2) {
    return false;
  }
  module->class = &classes[bytes[4] - 1];
  *headers =
      module->start + number_at(bytes + module->class->program_headers, module->class->word_size);
  *count = number_at(bytes + module->class->program_header_count, 2);
  return *count <= SEGMENTS_MAX;
}

/* Finds the dynamic segment and the load bias: the difference to the addresses in the file. */
static bool read_segments(elf_module *module, uint64_t headers, uint64_t count) {
  const elf_class *class = module->class;
  bool has_bias = false;
  for (uint64_t i = 0; i < count; i++) {
    unsigned char bytes[56];
    if (!read_bytes(module, headers + i * class->program_header_size, bytes,
                    class->program_header_size)) {
      return false;
    }
    uint64_t type = number_at(bytes, 4);
    uint64_t address = number_at(bytes + class->segment_address, class->word_size);
    if (type == SEGMENT_LOAD && !has_bias) {
      module->bias = module->start - (address & ~(uint64_t)4095);
      has_bias = true;
    } else if (type == SEGMENT_DYNAMIC) {
      module->dynamic = address;
    }
  }
  module->dynamic += module->bias;
  return has_bias && module->dynamic != module->bias;
}

/* Some loaders relocate the addresses in the dynamic section, others leave those of the file. */
static uint64_t relocated(const elf_module *module, uint64_t address) {
  return address < module->start ? address + module->bias : address;
}

static bool read_dynamic(elf_module *module) {
  unsigned word = module->class->word_size;
  for (unsigned i = 0; i < DYNAMICS_MAX; i++) {
    unsigned char bytes[16];
    if (!read_bytes(module, module->dynamic + (uint64_t)i * 2 * word, bytes, (size_t)2 * word)) {
      return false;
    }
    uint64_t value = relocated(module, number_at(bytes + word, word));
    switch (number_at(bytes, word)) {
    case DYNAMIC_END:
      return module->strings != 0 && module->symbols != 0 && module->hash != 0;
    case DYNAMIC_STRINGS:
      module->strings = value;
      break;
    case DYNAMIC_SYMBOLS:
      module->symbols = value;
      break;
    case DYNAMIC_GNU_HASH:
      module->hash = value;
      break;
    default:
      break;
    }
  }
  return false;
}

static bool symbol_is(const elf_module *module, uint32_t index, const char *name,
                      uint64_t *address) {
  unsigned char symbol[24];
  char found[256];
  size_t size = strlen(name) + 1;
  if (size > sizeof found ||
      !read_bytes(module, module->symbols + (uint64_t)index * module->class->symbol_size, symbol,
                  module->class->symbol_size) ||
      !read_bytes(module, module->strings + number_at(symbol, 4), found, size) ||
      memcmp(found, name, size) != 0 || number_at(symbol + module->class->symbol_section, 2) == 0) {
    return false;
  }
  *address =
      module->bias + number_at(symbol + module->class->symbol_value, module->class->word_size);
  return true;
}

/* https://flapenguin.me/elf-dt-gnu-hash */
static uint32_t gnu_hash(const char *name) {
  uint32_t hash = 5381;
  for (; *name != '\0'; name++) {
    hash = hash * 33 + (unsigned char)*name;
  }
  return hash;
}

static bool look_up(const elf_module *module, const char *name, uint64_t *address) {
  uint32_t header[4]; /* buckets, first symbol, words of the Bloom filter, shift */
  uint32_t index;
  uint32_t hash = gnu_hash(name);
  if (!read_bytes(module, module->hash, header, sizeof header) || header[0] == 0) {
    return false;
  }
  uint64_t buckets = module->hash + sizeof header + (uint64_t)header[2] * module->class->word_size;
  uint64_t chains = buckets + (uint64_t)header[0] * 4;
  if (!read_u32(module, buckets + (uint64_t)(hash % header[0]) * 4, &index) || index < header[1]) {
    return false;
  }
  for (uint32_t end = index + CHAIN_MAX; index != end; index++) {
    uint32_t link;
    if (!read_u32(module, chains + (uint64_t)(index - header[1]) * 4, &link)) {
      return false;
    }
    if ((link | 1) == (hash | 1) && symbol_is(module, index, name, address)) {
      return true;
    }
    if ((link & 1) != 0) {
      return false;
    }
  }
  return false;
}

nearbuf_status elf_symbol_find(tool_target *target, const process_module *module, const char *name,
                               uint64_t *address) {
  nearbuf_status refusal = NEARBUF_NOT_FOUND;
  elf_module elf = {.process = &target->process, .refusal = &refusal, .start = module->min};
  uint64_t headers;
  uint64_t count;
  bool is_found = read_header(&elf, &headers, &count) && read_segments(&elf, headers, count) &&
                  read_dynamic(&elf) && look_up(&elf, name, address);
  return is_found ? NEARBUF_OK : refusal;
}
