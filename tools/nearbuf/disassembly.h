/* Disassembly, if Zydis was found when the program was built. */
#ifndef NEARBUF_TOOL_DISASSEMBLY_H
#define NEARBUF_TOOL_DISASSEMBLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether this program can disassemble. */
bool disassembly_is_known(void);

/* Writes the instruction at `address` as text, for a process with that many address bits. Returns
 * its size in bytes; 0: not an instruction, or an incomplete one. */
size_t disassembly_of(const unsigned char *bytes, size_t size_bytes, uint64_t address,
                      uint32_t address_bits, char *text, size_t text_size);

#endif
