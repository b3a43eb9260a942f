/* The files that locators live in on POSIX systems: names, the shared directory, one complete file.
 * What is done with them, and what is believed of them, is posix_pages.c's. */
#ifndef NB_POSIX_FILES_H
#define NB_POSIX_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "../outcome.h"
#include "pages.h"

/* ---- Names ------------------------------------------------------------------------------------- */

#define NB_NAME_PREFIX "Reloaded.Memory.Buffers.MemoryBuffer, PID "

/* Room for the prefix, a process id, and every suffix. */
typedef struct nb_name {
  char text[128];
} nb_name;

/* The name of the first locator of a process: the one of the references, and the one that is used
 * where that is held by a process of another namespace. False: the system has no namespaces. */
nb_name nb_name_of_process(int64_t process);
bool nb_name_in_namespace(int64_t process, nb_name *name);

/* The second one for a process of the namespace with this number. */
nb_name nb_name_in_namespace_number(int64_t process, uint64_t number);

/* The name of a later locator, which is found by its address, beside that name of a first one. */
nb_name nb_name_of_later(const nb_name *first, uintptr_t base);

/* A name that nobody uses, for a file of the process that is not yet published. */
nb_name nb_name_temporary(int64_t process);

/* Whether the end of a mapped file's path is the name of a first locator of the process, unlinked or
 * not, in the shared directory or in memory. */
bool nb_name_is_of_process(const char *path_end, int64_t process);

/* The process id in a name of a locator's file, first, later or not yet published; -1: no such. */
int64_t nb_name_process(const char *name);

/* ---- The shared directory ---------------------------------------------------------------------- */

/* Opens it, never through a link; `make` makes what is missing of it, for every user. NOT_FOUND
 * without `make` where it does not exist; else the system's error says why it cannot be used. */
nb_outcome nb_directory_open(bool make, int *directory);

/* The same in a directory for temporary files that is open, and that this closes. */
nb_outcome nb_directory_open_below(int temporary, bool make, int *directory);

/* ---- Files ------------------------------------------------------------------------------------- */

/* A file that nobody sees yet: complete, mapped, its lock held by the mapping. */
typedef struct nb_new_file {
  nb_name temporary; /* its name in the directory */
  uintptr_t base;
} nb_new_file;

/* Makes one page with the items of the seed, kept from children. Nothing is left behind on failure.
 * BUSY: somebody who cleans up met the file; another try makes another one. */
nb_outcome nb_file_make(int directory, int64_t process, const nb_seed *seed, nb_new_file *file);

/* Keeps a page out of children; and whether the system could not do that to one of them, so that the
 * child has to unmap what it inherited. */
void nb_file_keep_from_children(uintptr_t page);
bool nb_file_is_inherited(void);

/* Writes a whole page with the items of the seed, its own address still missing, into an empty file.
 * 0 or an errno value; a limit on file sizes must have been looked at (nb_file_is_allowed). */
int nb_file_fill(int file, const nb_seed *seed);

/* Whether the limit on file sizes allows a page: to run into it is a signal that ends the program. */
bool nb_file_is_allowed(void);

/* Takes it back: unlinks and unmaps. */
void nb_file_discard(int directory, const nb_new_file *file);

/* Gives it its name, if that is free. 0 or an errno value: EEXIST. */
int nb_file_publish(int directory, const nb_new_file *file, const char *name);

/* Gives it its name, replacing a file that is proved to be dead. 0 or an errno value. */
int nb_file_replace(int directory, const nb_new_file *file, const char *name);

/* Takes the only lock of an open file, if nobody holds one and the name still means this file. The
 * lock ends when the file is closed. */
bool nb_file_lock_dead(int directory, const char *name, int file);

/* Whether an open file whose only lock could not be taken has an owner, who holds a shared one, and
 * not somebody who only asks whether it is dead. */
bool nb_file_has_owner(int file);

/* Whether the name means this open file. */
bool nb_file_is_named(int directory, const char *name, int file);

/* Whether the open file of a process that is absent here may go: it is this user's, and nobody uses
 * it. True also means that its lock is held until it is closed. */
bool nb_file_is_dead(int directory, const char *name, int file);

/* Removes files of this user's dead processes: a few, so that the first call stays short. To be
 * called by who has just made its first locator and no later one. */
void nb_directory_clean(int directory);

#endif
