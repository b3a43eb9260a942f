/* The C functions of the Rust implementation, loaded at run time: from that library itself or from
 * the drop-in library, so that both can be in one process. */
#ifndef NEARBUF_TEST_C_INTERFACE_H
#define NEARBUF_TEST_C_INTERFACE_H

#include <nearbuf/reloaded.h>

typedef struct c_interface {
  __typeof__(&buffers_get_buffer) get_buffer;
  __typeof__(&buffers_get_buffer_aligned) get_buffer_aligned;
  __typeof__(&free_get_buffer_result) free_result;
  __typeof__(&locatoritem_is_taken) is_taken;
  __typeof__(&locatoritem_try_lock) try_lock;
  __typeof__(&locatoritem_unlock) unlock;
  __typeof__(&locatoritem_bytes_left) bytes_left;
  __typeof__(&locatoritem_append_bytes) append;
  __typeof__(&buffersearchsettings_from_proximity) search_settings;
  __typeof__(&bufferallocatorsettings_from_proximity) allocator_settings;
  __typeof__(&buffers_allocate_private_memory) allocate;
} c_interface;

/* Ends the test as skipped if the Rust implementation was not built (build-reference.sh says
 * why). */
c_interface reference_load(void);

/* Removes the file of a dead process that had our id, which the Rust implementation trusts and
 * crashes with; it removes none itself. POSIX systems only. Must be called first in a process;
 * reference_load does it. */
void reference_remove_dead_namesake(void);

c_interface dropin_load(void);

/* A buffer with room for `size` bytes that ends in [min, max]; fails the test without one. */
LocatorItem *c_interface_get(const c_interface *library, uintptr_t min, uintptr_t max,
                             uint32_t size);

#endif
