/* Where a module of another process has a symbol that it exports, read from the process's memory. */
#ifndef NEARBUF_TOOL_ELF_SYMBOLS_H
#define NEARBUF_TOOL_ELF_SYMBOLS_H

#include "snapshot.h"

/* OK, or why the module could not be read. NOT_FOUND: it does not export the symbol, or is no ELF file.
 * Never believes what it reads: of a module with more than 64 segments, of a dynamic section with more than 256
 * entries and of a chain with more than 65,536 symbols nothing is found. */
nearbuf_status elf_symbol_find(tool_target *target, const process_module *module, const char *name,
                               uint64_t *address);

#endif
