/* The address of a symbol that an ELF module of another process exports, read from its memory. */
#ifndef NEARBUF_TOOL_ELF_SYMBOLS_H
#define NEARBUF_TOOL_ELF_SYMBOLS_H

#include "snapshot.h"

/* OK, or why the module could not be read. NOT_FOUND: it does not export the symbol, or is not an
 * ELF file. What is read is not trusted: a module with more than 64 segments, a dynamic section
 * with more than 256 entries or a hash chain with more than 65,536 symbols yields nothing. */
nearbuf_status elf_symbol_find(tool_target *target, const process_module *module, const char *name,
                               uint64_t *address);

#endif
