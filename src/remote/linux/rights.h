/* Work on files with no more rights than another process has: what is made where that process says may
 * only be what it could make itself. */
#ifndef NB_LINUX_RIGHTS_H
#define NB_LINUX_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"

/* What decides about files, as our namespaces see it. */
typedef struct nb_rights {
  uint64_t user; /* of the file system (setfsuid) */
  uint64_t group;
  uint64_t capabilities; /* a set of bits; 0 where they count in another user namespace only */
} nb_rights;

/* Calls `run` with these rights, but without supplementary groups, or with the caller's own where those
 * are no more. A child process does it where the caller has more: rights belong to a thread, but to
 * change them clears the dumpable flag of its whole process. The child has a copy of the caller's
 * memory, and shares its descriptors.
 *
 * `*context`, of `size` bytes, at most a page, is all that the caller gets back; `run` makes system
 * calls and nothing else. Its result, or why it did not run: DENIED, OUT_OF_MEMORY. */
nb_result nb_rights_run(const nb_rights *rights, nb_result (*run)(void *context), void *context,
                        size_t size);

#endif
