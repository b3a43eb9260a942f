#include <Zydis/Zydis.h>

#include "disassembly.h"

bool disassembly_is_known(void) {
  return true;
}

size_t disassembly_of(const unsigned char *bytes, size_t size_bytes, uint64_t address,
                      uint32_t address_bits, char *text, size_t text_size) {
  ZydisMachineMode mode =
      address_bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LONG_64;
  ZydisDisassembledInstruction instruction;
  if (!ZYAN_SUCCESS(ZydisDisassembleIntel(mode, address, bytes, size_bytes, &instruction))) {
    return 0;
  }
  size_t at = 0;
  for (; at + 1 < text_size && instruction.text[at] != '\0'; at++) {
    text[at] = instruction.text[at];
  }
  text[at] = '\0';
  return instruction.info.length;
}
