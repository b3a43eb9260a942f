// asmjit's allocator for generated code: executable memory, not near to anything.
#include <asmjit/core.h>

#include "../peer.h"

static void *allocate(uintptr_t /*target*/, size_t size) {
  static asmjit::JitAllocator allocator;
  void *run_at = nullptr;
  void *write_to = nullptr;
  return allocator.alloc(&run_at, &write_to, size) == asmjit::kErrorOk ? write_to : nullptr;
}

const bench_peer_type bench_peer = {"asmjit", false,   true,    nullptr, allocate, nullptr,
                                    nullptr,  nullptr, nullptr, nullptr, nullptr};
