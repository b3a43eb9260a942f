/* Disassembly, where the library for it was found when the program was built. */
#ifndef NEARBUF_TOOL_DISASSEMBLY_H
#define NEARBUF_TOOL_DISASSEMBLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether there is any. */
bool disassembly_is_known(void);

/* Writes the instruction that runs at `address` in a process of that width as text. Answers how many
 * bytes it has; 0: they are none, or are cut off. */
size_t disassembly_of(const unsigned char *bytes, size_t size_bytes, uint64_t address,
                      uint32_t address_bits, char *text, size_t text_size);

#endif
