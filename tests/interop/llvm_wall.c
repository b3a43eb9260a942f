/* Preloaded into LLVM's interpreter: nothing within 3 GiB below the libraries is free. */
#include <stddef.h>
#include <sys/mman.h>

__attribute__((constructor)) static void occupy(void) {
  (void)mmap(NULL, (size_t)3 << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}
