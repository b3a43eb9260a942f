/* What the inspector needs from the system besides C and the library. A port is one file. */
#ifndef NEARBUF_TOOL_HOST_H
#define NEARBUF_TOOL_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nearbuf/process.h>

/* The id of this process. */
int64_t host_process(void);

/* The address of a function of the C library, and in `module` the path of its module. 0: there is
 * no such function. */
uintptr_t host_library_function(const char *name, char *module, size_t module_size);

/* Changes read-only code: makes its pages writable, copies, and restores read-execute. False: the
 * system denied it; `reason` is the system's text. */
bool host_write_code(uintptr_t address, const void *bytes, size_t size_bytes, const char **reason);

/* Whether something is mapped at an address. */
bool host_is_mapped(const void *address);

/* Loads a module; its path is relative to the folder of this program. Null: `reason` says why. */
void *host_load(const char *relative_path, const char **reason);
void host_unload(void *module);

/* The address of an exported symbol of a module; 0: there is none. */
uintptr_t host_symbol(void *module, const char *name);

/* Whether an address lies in a module. Where a module was unloaded, another thread or a sanitizer's
 * runtime may have mapped other memory since; that does not count. */
bool host_lies_in_module(uintptr_t address);

/* A path without its folders. */
const char *host_file_name(const char *path);

/* Whether the system considers two file names equal in their first `length` characters. */
bool host_names_are_equal(const char *one, const char *other, size_t length);

/* The system's text for one of its error codes. */
const char *host_error_text(int32_t code);

/* Calls `visit` for each heap and each stack that the memory map of a process does not name, with
 * its first and its last address and the name that Linux's map has for it. What cannot be read is
 * left out. */
typedef void (*host_area_visitor)(uint64_t min, uint64_t max, const char *name, void *context);
void host_visit_areas(const nearbuf_process *process, host_area_visitor visit, void *context);

/* The name of a user; false: the number has no name. */
bool host_user_name(uint64_t user, char *name, size_t name_size);

/* A sentence that says how to get the right to read a process. */
const char *host_denied_hint(void);

/* Whether the standard output is a terminal that shows colours. */
bool host_has_colours(void);

/* From here on the program ends with a message instead of a crash if another process truncates a
 * file that is mapped here. */
void host_expect_loss(void);

/* Switches the standard input to binary mode. */
void host_input_of_bytes(void);

void host_sleep(uint32_t milliseconds);

#endif
