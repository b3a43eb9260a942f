/* The files that locators live in on POSIX systems: names, the shared directory, one complete file.
 * What is done with them, and what is believed of them, is posix/pages.c's. */
#ifndef NB_POSIX_FILES_H
#define NB_POSIX_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/result.h"
#include "os/pages.h"

/* ---- Names ----------------------------------------------------------------------------------- */

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

/* The name of a later locator beside that name of a first one. What leads to the locator is its address
 * in the one before; the name must not tell it, for every user of the machine can read names. So the
 * number is random (nb_posix_random). */
nb_name nb_name_of_later(const nb_name *first, uint32_t number);
bool nb_name_is_of_later(const char *name);

/* A name that nobody uses, for a file of the process that is not yet published. */
nb_name nb_name_temporary(int64_t process);

/* Whether it is one of the names of a first locator of the process, unlinked ("(deleted)") or not. */
bool nb_name_is_of_process(const char *name, int64_t process);

/* The process id in a name of a locator's file, first, later or not yet published; -1: no such. */
int64_t nb_name_process(const char *name);

/* ---- Directories ----------------------------------------------------------------------------- */

/* Where the files are: in the directory that all users and both references share; where that is another
 * user's, in one of the process's own user beside it. Whoever looks for a file looks in both. */
typedef enum nb_folder { NB_FOLDER_SHARED, NB_FOLDER_OF_USER, NB_FOLDERS } nb_folder;

/* Whose directory the second one is: the id by which its processes know the user, which the name has,
 * and the one by which the caller does. */
typedef struct nb_user {
  uint64_t named;
  uint64_t owner;
} nb_user;

/* The path of a directory below the root. */
nb_name nb_directory_path(nb_folder folder, nb_user user);

/* Opens a directory, never through a link; `make` makes what is missing of it. NOT_FOUND without `make`
 * where it does not exist; else the system's error says why it cannot be used. */
nb_result nb_directory_open(nb_folder folder, bool make, int *directory);

/* The same below an open directory for temporary files, which stays open. */
nb_result nb_directory_open_below(int temporary, nb_folder folder, nb_user user, bool make,
                                  int *directory);

/* Whose path in a memory map this can be: that of a first locator of the process, in one of the
 * directories, or in a file in memory. A file of that name elsewhere is none. `room` is that of the
 * text, in which the map keeps the end of a path that is too long. `temporary` is where /tmp is. */
typedef enum nb_origin { NB_ORIGIN_OTHER, NB_ORIGIN_DIRECTORY, NB_ORIGIN_MEMORY } nb_origin;
typedef struct nb_path {
  char text[384];
} nb_path;
nb_origin nb_path_origin(const char *path, size_t room, int64_t process, nb_user user,
                         const nb_path *temporary);

/* Where the /tmp of an open root is in a map that shows the root at `prefix`: elsewhere than its name
 * says where it is a link. A root below 0 is our own. */
nb_path nb_path_of_temporary(int root, const char *prefix);

/* Whether the file of that name is not in a directory, or the directory is not there: one system call
 * where it is so. Nothing else about the directory is known then. */
bool nb_directory_lacks(nb_folder folder, const nb_name *name);

/* Whether a failure in the shared directory means that it is another user's, so that a directory of
 * one's own may do. */
bool nb_directory_is_anothers(nb_result result);

/* ---- Files ----------------------------------------------------------------------------------- */

/* A file that nobody sees yet: complete, mapped, its lock held by the mapping. */
typedef struct nb_new_file {
  nb_name temporary; /* its name in the directory */
  uintptr_t base;
} nb_new_file;

/* Makes one page with the items of the seed, kept from children. Nothing is left behind on failure.
 * BUSY: somebody who cleans up met the file; another try makes another one. */
nb_result nb_file_make(int directory, int64_t process, const nb_initial_items *initial,
                       nb_new_file *file);

/* Keeps a page out of children; and whether the system could not do that to one of them, so that the
 * child has to unmap what it inherited. */
void nb_file_keep_from_children(uintptr_t page);
bool nb_file_is_inherited(void);

/* Writes a whole page with the items of the seed, its own address still missing, into an empty file.
 * 0 or an errno value; a limit on file sizes must have been looked at (nb_file_is_allowed). */
int nb_file_fill(int file, const nb_initial_items *initial);

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

/* Whether a file is so young that it may belong to a call of a reference that is still under way; and how
 * long after the file the descriptor and the mapping may appear that it is made with. */
bool nb_file_is_young(const struct stat *status);
#define NB_FILE_APPEARS_NS UINT64_C(200000000)

/* Whether the open file of a process that is absent here may go: it is this user's, and nobody uses
 * it. True also means that its lock is held until it is closed. */
bool nb_file_is_dead(int directory, const char *name, int file);

/* Removes files of this user's dead processes: a few, so that the first call stays short. To be
 * called by who has just made its first locator and no later one. */
void nb_directory_clean(int directory);

#endif
