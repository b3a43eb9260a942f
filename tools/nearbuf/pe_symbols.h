/* Where a module of another process has a symbol that it exports, read from the process's memory. */
#ifndef NEARBUF_TOOL_PE_SYMBOLS_H
#define NEARBUF_TOOL_PE_SYMBOLS_H

#include "snapshot.h"

/* OK, or why the module could not be read. NOT_FOUND: it does not export the symbol, forwards it to
 * another module, or is no PE file, as Windows and Wine load them. Never believes what it reads. */
nearbuf_status pe_symbol_find(tool_target *target, const process_module *module, const char *name,
                              uint64_t *address);

#endif
