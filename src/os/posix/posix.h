/* What the POSIX systems do differently below posix.c, posix/files.c and posix/pages.c: each port
 * fulfils it beside os.h. Descriptors that are answered close on exec. */
#ifndef NB_POSIX_H
#define NB_POSIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/os.h"

/* As nb_os_map_next in a map that was opened with names, but tells only mappings that are shared and
 * can be read and written. */
nb_map_answer nb_posix_map_next_shared(nb_map *map, uintptr_t from, nb_mapping *mapping);

/* The same by asking for one mapping after the other, for systems that have no better way (posix.c). */
nb_map_answer nb_posix_map_skip_to_shared(nb_map *map, uintptr_t from, nb_mapping *mapping);

/* Renames within a directory, never over something that is there. 0 or an errno value; ENOSYS where
 * the system or the file system cannot. */
int nb_posix_rename_new(int directory, const char *from, const char *to);

/* Asks that the empty file be overwritten in place: on a full copy-on-write file system a store to a
 * mapping is a SIGBUS. */
void nb_posix_avoid_copy_on_write(int file);

/* Whether a lock on this file, taken by an open file that is mapped and closed, lasts as long as the
 * mapping: then a lock that is free proves that nobody has the file mapped. */
bool nb_posix_lock_outlives_close(int file);

/* Whether all processes that can have files in this place are seen by this one: the place belongs to
 * one container. */
bool nb_posix_place_is_ours_alone(int file);

/* An unlinked file in memory, empty, whose name appears in the memory map; -1 and errno. */
int nb_posix_memory_file(const char *name);

/* A number that tells process-id namespaces apart; false where the system has none. */
bool nb_posix_namespace(uint64_t *number);

/* Whether the parent may have the same process id, in another namespace, so that what is inherited
 * looks like our own; and whether a file was there before this process, as what is inherited was. */
bool nb_posix_may_have_parents_id(void);
bool nb_posix_predates_process(int file);

/* Whether the program was started with rights that its user does not have: then it does not believe
 * its environment. */
bool nb_posix_has_gained_rights(void);

/* Whether it has such rights now, or hides its memory, so that files which other programs of its user
 * can write are not to be believed. */
bool nb_posix_is_privileged(void);

/* A random number that nobody can guess, and that tells nothing of this process. */
uint64_t nb_posix_random(void);

/* Seconds since the epoch at which the system started, 0 where that is unknown. */
int64_t nb_posix_boot_time(void);

/* Keeps whole pages out of children, or wipes them there. False where the system cannot, also where
 * it only says that it did. */
bool nb_posix_keep_from_children(void *pages, size_t size);
bool nb_posix_wipe_in_children(void *pages, size_t size);

/* Whether the word can be read and has this value; wherever it is, nothing faults. */
typedef enum nb_posix_comparison {
  NB_POSIX_EQUAL,
  NB_POSIX_DIFFERENT,
  NB_POSIX_UNKNOWN /* the system does not tell */
} nb_posix_comparison;
nb_posix_comparison nb_posix_compare(const _Atomic uint32_t *word, uint32_t value);

/* Whether another process has the same memory, as after vfork. False also where that is not told. */
bool nb_posix_shares_memory(uint32_t process);

/* The id by which the process is remembered that this memory belongs to: in a child of vfork its parent's,
 * for it goes on with the memory. And whether that is this process, or shares memory with it. */
uint32_t nb_posix_process(void);
bool nb_posix_is_process(uint32_t id);

/* getenv, but null where the program has more rights than its user. */
const char *nb_posix_environment(const char *name);

/* Whether the module is being unloaded, and not at the end of the process, where other threads may still
 * be calling. For its destructor. */
bool nb_posix_is_unloaded(void);

/* Whether something may be mapped at the address of a page: false only where nothing is. A quick
 * question before the map is opened. */
bool nb_posix_may_be_mapped(uintptr_t page);

/* Maps zeroed, private memory at the address exactly, never over something that is there, nor into
 * what the system keeps free below a stack. 0 or an errno value: EEXIST where the place is not free;
 * ENOMEM or EINVAL may also mean that it is never given. */
int nb_posix_map_at(uintptr_t address, size_t size, int protection);

/* The same with flags of mmap's: without any, and on a kernel that does not know them, the address is
 * a hint; where the system maps elsewhere, that is undone and counts as EEXIST (posix.c). */
int nb_posix_mmap_at(uintptr_t address, size_t size, int protection, int flags);

/* Calls `visit` for names in a directory, a bounded number of them from a place that differs from
 * time to time, until it answers false. No heap is used. */
typedef bool (*nb_posix_visitor)(const char *name, void *context);
void nb_posix_visit_some(int directory, nb_posix_visitor visit, void *context);

#endif
