/* Whether memory is there, asked before a foreign address is used. */
#ifndef NB_MAPPED_H
#define NB_MAPPED_H

#include <stdint.h>

#include "base/result.h"

/* OK where every one of `size` bytes, 1 or more, is mapped, readable and writable; NOT_FOUND where
 * not; SYSTEM_ERROR and OUT_OF_MEMORY where the map cannot be read. */
nb_result nb_mapped_check_writable(uintptr_t start, uintptr_t size);

/* The same for private memory as nearbuf_allocate gives it: executable, too, not shared, and of no file. */
nb_result nb_mapped_check_private_code(uintptr_t start, uintptr_t size);

/* The same for the memory of a buffer, which must be executable, too. INCOMPATIBLE where all of it is
 * mapped up to a part whose protection does not allow all three. */
nb_result nb_mapped_check_buffer(uintptr_t start, uintptr_t size);

#endif
