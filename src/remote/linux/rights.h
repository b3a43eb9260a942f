/* Work on files with at most the rights of another process: what is made where that process says
 * may only be what it could make itself. */
#ifndef NBUF_LINUX_RIGHTS_H
#define NBUF_LINUX_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"

/* The ids and capabilities that decide about access to files, in our namespaces. */
typedef struct nbuf_rights {
  uint64_t user; /* of the file system (setfsuid) */
  uint64_t group;
  uint64_t capabilities; /* a set of bits; 0 if they count only in another user namespace */
  bool are_ours;         /* the caller has no more: nbuf_rights_are_ours */
} nbuf_rights;

/* Whether the caller itself has at most these rights. */
bool nbuf_rights_are_ours(const nbuf_rights *rights);

/* Calls `run` with these rights, but without supplementary groups, or with the caller's own if
 * `are_ours`. If the caller has more rights, a child process does it: rights belong to a
 * thread, but changing them clears the dumpable flag of its whole process. The child has a copy of
 * the caller's memory, and shares its descriptors.
 *
 * `*context`, of `size` bytes, at most a page, is all that the caller gets back; `run` makes system
 * calls and nothing else. Returns its result, or why it did not run: DENIED, OUT_OF_MEMORY. */
nbuf_result nbuf_rights_run(const nbuf_rights *rights, nbuf_result (*run)(void *context),
                            void *context, size_t size);

#endif
