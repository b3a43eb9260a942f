/* The anchor: a word in this process's own memory, at an address that every copy of the library
 * knows, which says where the first locator is. Names and files can be removed, refused or shared
 * with other processes; the anchor cannot:
 *
 *   - of several makers exactly one is the first, whatever became of their files;
 *   - a private locator has no name, and is found by it alone;
 *   - a child's anchor is empty, however it was forked, whatever its process id is;
 *   - a child of vfork, which shares the memory and has another id, finds its parent's. */
#ifndef NB_POSIX_ANCHOR_H
#define NB_POSIX_ANCHOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../outcome.h"

/* Finds the word, and makes it (0) where there is none and `make` says so. NOT_FOUND: there is none,
 * or no place for it: this system ignores demands for addresses, or all the places are taken. Else
 * OUT_OF_MEMORY, SYSTEM_ERROR. */
nb_outcome nb_anchor_open(bool make, _Atomic uintptr_t **word);

#endif
