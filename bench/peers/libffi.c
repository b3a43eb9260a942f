/* libffi's closures: executable memory, not near anything. Since 3.4 the code of a closure is one
 * of the library's own trampolines, and the memory handed out is data next to it. */
#include <ffi.h>

#include "../peer.h"

static void *allocate(uintptr_t target, size_t size) {
  void *code;
  (void)target;
  return ffi_closure_alloc(size < sizeof(ffi_closure) ? sizeof(ffi_closure) : size, &code);
}

const bench_peer_type bench_peer = {.name = "libffi", .allocate = allocate};
