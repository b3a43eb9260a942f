/* Whether memory is mapped, checked before an address is used that another module or the caller
 * gave. */
#ifndef NBUF_PROBE_H
#define NBUF_PROBE_H

#include <stdint.h>

#include "base/result.h"

/* OK if all of `size` bytes, 1 or more, are mapped, readable and writable; NOT_FOUND if not;
 * SYSTEM_ERROR or OUT_OF_MEMORY if the map cannot be read. */
nbuf_result nbuf_probe_writable(uintptr_t start, uintptr_t size);

/* The same for memory that only has to be readable. */
nbuf_result nbuf_probe_readable(uintptr_t start, uintptr_t size);

/* As for nbuf_probe_writable, for private memory as nearbuf_allocate returns it: also executable,
 * not shared, not of a file. */
nbuf_result nbuf_probe_private_code(uintptr_t start, uintptr_t size);

/* As for nbuf_probe_writable, for the memory of a buffer, which must also be executable.
 * INCOMPATIBLE if all of it is mapped up to a part whose protection does not allow all three. */
nbuf_result nbuf_probe_buffer(uintptr_t start, uintptr_t size);

#endif
