/* What differs between POSIX systems below posix.c, posix/files.c and posix/pages.c: each port
 * implements it beside os.h. Returned descriptors close on exec. */
#ifndef NBUF_POSIX_H
#define NBUF_POSIX_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/os.h"

/* As nbuf_os_map_next in a map that was opened with names, but returns only mappings that are
 * shared and can be read and written. */
nbuf_map_answer nbuf_posix_map_next_shared(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping);

/* The same by querying one mapping after the other, for systems that have no faster way
 * (posix.c). */
nbuf_map_answer nbuf_posix_map_skip_to_shared(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping);

/* Renames within a directory, never over an existing file. 0 or an errno value; ENOSYS if the
 * system or the file system cannot do that. */
int nbuf_posix_rename_new(int directory, const char *from, const char *to);

/* Requests that the empty file be overwritten in place: on a full copy-on-write file system a store
 * to a mapping is a SIGBUS. */
void nbuf_posix_avoid_copy_on_write(int file);

/* Whether a lock on this file, taken by an open file that is mapped and closed, lasts as long as
 * the mapping: then a free lock proves that no process has the file mapped. */
bool nbuf_posix_lock_outlives_close(int file);

/* Whether this process can see all processes that can have files in this place: it belongs to one
 * container. */
bool nbuf_posix_place_is_ours_alone(int file);

/* An unlinked, empty file in memory, whose name appears in the memory map; -1 and errno. */
int nbuf_posix_memory_file(const char *name);

/* A number that distinguishes process-id namespaces; false: the system has none. */
bool nbuf_posix_namespace(uint64_t *number);

/* Whether the parent may have the same process id, in another namespace, so that inherited names
 * look like our own; and whether a file existed before this process, as inherited ones did. */
bool nbuf_posix_may_have_parents_id(void);
bool nbuf_posix_predates_process(int file);

/* Whether the program was started with rights that its user does not have: then it ignores its
 * environment. */
bool nbuf_posix_has_gained_rights(void);

/* Whether it has such rights now, or hides its memory, so that files that other programs of its
 * user can write are not to be trusted. */
bool nbuf_posix_is_privileged(void);

/* Whether the process or the system lacked descriptors or memory: OUT_OF_MEMORY. */
static inline bool nbuf_posix_is_lack(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM;
}

/* A random number that cannot be guessed and reveals nothing of this process. */
uint64_t nbuf_posix_random(void);

/* The time at which the system started, in seconds since the epoch; 0: unknown. */
int64_t nbuf_posix_boot_time(void);

/* Keeps whole pages out of children, or wipes them there. False: the system cannot, or only claims
 * that it did. */
bool nbuf_posix_keep_from_children(void *pages, size_t size);
bool nbuf_posix_wipe_in_children(void *pages, size_t size);

/* Whether the word can be read and has this value; never faults, wherever the word is. */
typedef enum nbuf_posix_comparison {
  NBUF_POSIX_EQUAL,
  NBUF_POSIX_DIFFERENT,
  NBUF_POSIX_UNKNOWN /* the system does not report it */
} nbuf_posix_comparison;
nbuf_posix_comparison nbuf_posix_compare(const _Atomic uint32_t *word, uint32_t value);

/* Whether another process has the same memory, as after vfork. False if the system does not report
 * it. */
bool nbuf_posix_shares_memory(uint32_t process);

/* The id that identifies the process to which this memory belongs: in a child of vfork its
 * parent's, since the parent goes on with the memory. And whether that is this process, or shares
 * memory with it. */
uint32_t nbuf_posix_process(void);
bool nbuf_posix_is_process(uint32_t id);

/* getenv, but null if the program has more rights than its user. */
const char *nbuf_posix_environment(const char *name);

/* For the destructor of the module: whether it is being unloaded, as opposed to the end of the
 * process, where other threads may still be calling. */
bool nbuf_posix_is_unloaded(void);

/* Whether something may be mapped at the address of a page; false is certain. A fast check before
 * the map is opened. */
bool nbuf_posix_may_be_mapped(uintptr_t page);

/* Maps zeroed, private memory at exactly this address, never over an existing mapping, nor where
 * the system keeps addresses free below a stack. 0 or an errno value: EEXIST if the place is not
 * free; ENOMEM or EINVAL may also mean that it is never given. */
int nbuf_posix_map_at(uintptr_t address, size_t size, int protection);

/* The same with flags of mmap. Without any, and on a kernel that does not know them, the address is
 * a hint: a mapping elsewhere is undone and counts as EEXIST (posix.c). */
int nbuf_posix_mmap_at(uintptr_t address, size_t size, int protection, int flags);

/* Calls `visit` for names in a directory, a bounded number of them from a position that differs
 * between calls, until it returns false. Uses no heap. */
typedef bool (*nbuf_posix_visitor)(const char *name, void *context);
void nbuf_posix_visit_some(int directory, nbuf_posix_visitor visit, void *context);

#endif
