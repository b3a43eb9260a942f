/* What the inspector asks of the system beyond C and the library. A port fulfils it in one file. */
#ifndef NEARBUF_TOOL_HOST_H
#define NEARBUF_TOOL_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The id of this process. */
int64_t host_process(void);

/* The address of a function of the C library, and in `module` the path of what it lies in. 0: there
 * is no such function. */
uintptr_t host_library_function(const char *name, char *module, size_t module_size);

/* Changes code that is not writable: makes its pages so, copies, and makes them executable again.
 * False: the system forbids it, and `reason` says so in its own words. */
bool host_write_code(uintptr_t address, const void *bytes, size_t size_bytes, const char **reason);

/* Whether something is mapped at an address. */
bool host_is_mapped(const void *address);

/* Loads a module whose path is relative to the folder of this program. Null: `reason` says why. */
void *host_load(const char *relative_path, const char **reason);
void host_unload(void *module);

/* The address of what a module exports under a name; 0 where there is none. */
uintptr_t host_symbol(void *module, const char *name);

/* Whether an address lies in a module. Where one was unloaded, something else may be mapped since,
 * by another thread or by a sanitizer's runtime: that is no module. */
bool host_lies_in_module(uintptr_t address);

/* A path without its folders. */
const char *host_file_name(const char *path);

/* Whether names of files are the same to the system, as far as `length` characters. */
bool host_names_are_equal(const char *one, const char *other, size_t length);

/* The text that the system has for one of its error codes. */
const char *host_error_text(int32_t code);

/* The name of a user; false: the number has none. */
bool host_user_name(uint64_t user, char *name, size_t name_size);

/* What helps somebody whom the system does not let look into a process: a sentence. */
const char *host_denied_hint(void);

/* Whether the standard output is a terminal that wants colours. */
bool host_has_colours(void);

/* From here on the program ends with a sentence, and not with a crash, where a process takes away
 * memory that it shares with us. */
void host_expect_loss(void);

/* Makes the standard input give its bytes as they are. */
void host_input_of_bytes(void);

void host_sleep(uint32_t milliseconds);

#endif
