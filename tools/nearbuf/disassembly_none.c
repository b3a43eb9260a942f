#include "disassembly.h"

bool disassembly_is_known(void) {
  return false;
}

size_t disassembly_of(const unsigned char *bytes, size_t size_bytes, uint64_t address,
                      uint32_t address_bits, char *text, size_t text_size) {
  (void)bytes;
  (void)size_bytes;
  (void)address;
  (void)address_bits;
  (void)text;
  (void)text_size;
  return 0;
}
