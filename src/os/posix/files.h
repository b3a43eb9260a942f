/* The files that contain locators on POSIX systems: names, the directories, and one complete file.
 * How they are used, and which are trusted, is decided in posix/pages.c. */
#ifndef NBUF_POSIX_FILES_H
#define NBUF_POSIX_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/result.h"
#include "os/pages.h"

/* ---- Names ----------------------------------------------------------------------------------- */

#define NBUF_NAME_PREFIX "Reloaded.Memory.Buffers.MemoryBuffer, PID "

/* Room for the prefix, a process id, and every suffix. */
typedef struct nbuf_name {
  char text[128];
} nbuf_name;

/* The name of the first locator of a process: the one that all implementations use; and the one
 * that is used if a process of another namespace holds the first. False: the system has no
 * namespaces. */
nbuf_name nbuf_name_of_process(int64_t process);
bool nbuf_name_in_namespace(int64_t process, nbuf_name *name);

/* The second one for a process of the namespace with this number. */
nbuf_name nbuf_name_in_namespace_number(int64_t process, uint64_t number);

/* The name of a later locator that belongs to a first one of that name. The locator is found by its
 * address in the one before it. The name must not contain the address, since every user of the
 * machine can read names, so the number is random (nbuf_posix_random). */
nbuf_name nbuf_name_of_later(const nbuf_name *first, uint32_t number);
bool nbuf_name_is_of_later(const char *name);

/* An unused name, for a file of the process that is not yet published. */
nbuf_name nbuf_name_temporary(int64_t process);

/* Whether it is one of the names of a first locator of the process, unlinked ("(deleted)") or
 * not. */
bool nbuf_name_is_of_process(const char *name, int64_t process);

/* The process id in the name of a locator's file, first, later or not yet published; -1: another
 * name. */
int64_t nbuf_name_process(const char *name);

/* ---- Directories ----------------------------------------------------------------------------- */

/* Where the files are: in the directory that all users and all implementations share; if another
 * user has that, in one of the process's own user beside it. A search for a file searches both. */
typedef enum nbuf_folder { NBUF_FOLDER_SHARED, NBUF_FOLDER_OF_USER, NBUF_FOLDERS } nbuf_folder;

/* The user of the second directory: the id by which the user's processes know the user, which is in
 * the directory's name, and the one by which the caller knows the user. */
typedef struct nbuf_user {
  uint64_t named;
  uint64_t owner;
} nbuf_user;

/* The path of a directory below the root. */
nbuf_name nbuf_directory_path(nbuf_folder folder, nbuf_user user);

/* Opens a directory, never through a link; `make` creates what is missing of it. Without `make`,
 * NOT_FOUND if it does not exist; otherwise the system's error says why it cannot be used. */
nbuf_result nbuf_directory_open(nbuf_folder folder, bool make, int *directory);

/* The same below an open directory for temporary files, which stays open. */
nbuf_result nbuf_directory_open_below(int temporary, nbuf_folder folder, nbuf_user user, bool make,
                                      int *directory);

/* The origin of a path in a memory map: a first locator of the process in one of the directories,
 * or in a file in memory. A file of that name elsewhere is OTHER. `room` is the size of the text,
 * in which the map keeps the end of a path that is too long. `temporary` is where /tmp is. */
typedef enum nbuf_origin {
  NBUF_ORIGIN_OTHER,
  NBUF_ORIGIN_DIRECTORY,
  NBUF_ORIGIN_MEMORY
} nbuf_origin;
typedef struct nbuf_path {
  char text[384];
} nbuf_path;
nbuf_origin nbuf_path_origin(const char *path, size_t room, int64_t process, nbuf_user user,
                             const nbuf_path *temporary);

/* The path of the /tmp of an open root in a map that shows the root at `prefix`: it differs from
 * its name if /tmp is a link. A root below 0 is our own. */
nbuf_path nbuf_path_of_temporary(int root, const char *prefix);

/* Whether a directory lacks the file of that name, or does not exist: one system call if so.
 * Nothing else is known about the directory then. */
bool nbuf_directory_lacks(nbuf_folder folder, const nbuf_name *name);

/* Whether a failure in the shared directory means that it belongs to another user, so that the own
 * user's directory may do. */
bool nbuf_directory_is_anothers(nbuf_result result);

/* ---- Files ----------------------------------------------------------------------------------- */

/* A file that no other module or process can see yet: complete, mapped, its lock held by the
 * mapping. */
typedef struct nbuf_new_file {
  nbuf_name temporary; /* its name in the directory */
  uintptr_t base;
} nbuf_new_file;

/* Makes one page with the initial items, kept from children. On failure nothing is left behind.
 * BUSY: a process that cleans up has locked the file; another attempt makes another one. */
nbuf_result nbuf_file_make(int directory, int64_t process, const nbuf_initial_items *initial,
                           nbuf_new_file *file);

/* Keeps a page out of children; and whether the system could not do that for one of them, so that
 * the child has to unmap what it inherited. */
void nbuf_file_keep_from_children(uintptr_t page);
bool nbuf_file_is_inherited(void);

/* Writes a whole page with the initial items, or null: with nothing yet, its own address still
 * missing, into an empty file. 0 or an errno value. Check nbuf_file_is_allowed before. */
int nbuf_file_fill(int file, const nbuf_initial_items *initial);

/* Whether the limit on file sizes allows a page: exceeding it is a signal that ends the program. */
bool nbuf_file_is_allowed(void);

/* Unlinks and unmaps the file. */
void nbuf_file_discard(int directory, const nbuf_new_file *file);

/* Gives it its name if that is free. 0 or an errno value: EEXIST. */
int nbuf_file_publish(int directory, const nbuf_new_file *file, const char *name);

/* Gives it its name, replacing a file that is proved to be dead. 0 or an errno value. */
int nbuf_file_replace(int directory, const nbuf_new_file *file, const char *name);

/* Takes the exclusive lock of an open file, if no process holds a lock and the name still refers to
 * this file. The lock ends when the file is closed. */
bool nbuf_file_lock_dead(int directory, const char *name, int file);

/* Whether an open file whose exclusive lock could not be taken has an owner, which holds a shared
 * lock; the lock may also be held by a process that only checks whether the file is dead. */
bool nbuf_file_has_owner(int file);

/* Whether the name refers to this open file. */
bool nbuf_file_is_named(int directory, const char *name, int file);

/* Whether a file is so young that a call of another implementation may still be making it; and the
 * time after the file within which the descriptor and the mapping used for making it appear. */
bool nbuf_file_is_young(const struct stat *status);
#define NBUF_FILE_APPEARS_NS UINT64_C(200000000)

/* Whether the open file of a process that does not exist here may be removed: it belongs to this
 * user, and no process uses it. True also means that its lock is held until it is closed. */
bool nbuf_file_is_dead(int directory, const char *name, int file);

/* Removes files of this user's dead processes: a few, so that the first call stays short. To be
 * called by a process that has just made its first locator and no later one. */
void nbuf_directory_clean(int directory);

#endif
