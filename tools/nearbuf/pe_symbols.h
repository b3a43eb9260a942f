/* The address of a symbol that a PE module of another process exports, read from its memory. */
#ifndef NEARBUF_TOOL_PE_SYMBOLS_H
#define NEARBUF_TOOL_PE_SYMBOLS_H

#include "snapshot.h"

/* OK, or why the module could not be read. NOT_FOUND: it does not export the symbol, or is not a PE
 * file as Windows and Wine load them; then `*address` is 0. It is not 0 if the module forwards the
 * symbol to another one: then the text MODULE.NAME is there. What is read is not trusted. */
nearbuf_status pe_symbol_find(tool_target *target, const process_module *module, const char *name,
                              uint64_t *address);

#endif
