/* Gives LLVM's just-in-time compilers their memory from nearbuf, in programs that know nothing of
 * it. Linux; LLVM must be a shared library.
 *
 *   LD_PRELOAD=libllvm_memory.so lli-16 -code-model=small -relocation-model=pic program.ll
 *
 * LLVM maps code and data separately and lets the system choose the places. Where the gap between
 * the libraries is too small for one of them, they can be so far apart that code of the small model
 * does not reach its data; LLVM 16 then writes wrong addresses, and the program crashes. Here all
 * memory comes from one range in which any two addresses reach each other. If it is full, LLVM is
 * told that there is no memory. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <nearbuf/nearbuf.h>

static nearbuf_request request; /* around the program; without LLVM it stays empty */
static nearbuf_range llvm;

__attribute__((constructor)) static void prepare(void) {
  uintptr_t program = (uintptr_t)getauxval(AT_ENTRY);
  nearbuf_range target = {program, program};
  nearbuf_range range;
  if (nearbuf_module_extent(dlsym(RTLD_DEFAULT, "LLVMLinkInMCJIT"), &llvm) == NEARBUF_OK &&
      nearbuf_range_for_group(&target, 1, NEARBUF_REACH_X86_REL32, &range) == NEARBUF_OK) {
    request = (nearbuf_request)NEARBUF_REQUEST_INIT;
    request.range = range;
    request.target = program;
  }
}

static bool is_inside(nearbuf_range range, const void *address) {
  return range.min <= (uintptr_t)address && (uintptr_t)address <= range.max;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): reserved names elsewhere */
void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
  if (!is_inside(llvm, __builtin_return_address(0)) || flags != (MAP_PRIVATE | MAP_ANONYMOUS)) {
    return (void *)syscall(SYS_mmap, address, size, protection, flags, file, offset);
  }
  nearbuf_request ours = request;
  nearbuf_memory memory;
  ours.size_bytes = size;
  errno = nearbuf_allocate(&ours, &memory) == NEARBUF_OK ? errno : ENOMEM;
  return memory.run_at != NULL ? memory.run_at : MAP_FAILED;
}

int munmap(void *address, size_t size) {
  if (!is_inside(llvm, __builtin_return_address(0)) || !is_inside(request.range, address)) {
    return (int)syscall(SYS_munmap, address, size);
  }
  nearbuf_memory memory = {address, address, size, 0, 1};
  return nearbuf_free(&memory) == NEARBUF_OK ? 0 : -1;
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
