/* An LD_AUDIT library with a copy of nearbuf, beside its own C library: it places memory whenever
 * the program loads something, also in children, where no fork handler of its C library runs. Ends
 * the process with status 90 to 93 if a check fails. */
#include <errno.h>
#include <link.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <nearbuf/nearbuf.h>

/* From now on pages cannot be wiped in children. */
static void refuse_wiping(void) {
  struct sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
               (unsigned)(offsetof(struct seccomp_data, args) + 2 * sizeof(unsigned long long))),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 18 /* MADV_WIPEONFORK */, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof steps / sizeof steps[0], steps};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1ul, 0ul, 0ul, 0ul) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    _exit(90);
  }
}

static void place_some(void) {
  for (int i = 0; i < 20; i++) {
    nearbuf_request request;
    nearbuf_memory placed;
    char bytes[32];
    memset(bytes, i, sizeof bytes);
    if (nearbuf_request_near((const void *)(size_t)&place_some, sizeof bytes, &request) !=
            NEARBUF_OK ||
        nearbuf_place(&request, bytes, &placed) != NEARBUF_OK) {
      _exit(91);
    }
    nearbuf_info info;
    if (memcmp(placed.run_at, bytes, sizeof bytes) != 0 ||
        nearbuf_find(placed.run_at, &info) != NEARBUF_OK) {
      _exit(92);
    }
  }
}

__attribute__((visibility("default"))) unsigned la_version(unsigned version) {
  if (getenv("NEARBUF_TEST_REFUSE_WIPING") != NULL) {
    refuse_wiping();
  }
  place_some();
  return version;
}

/* The loader's own type: NOLINTBEGIN(readability-non-const-parameter) */
__attribute__((visibility("default"))) unsigned la_objopen(struct link_map *map, Lmid_t lmid,
                                                           uintptr_t *cookie) {
  /* NOLINTEND(readability-non-const-parameter) */
  (void)map, (void)lmid, (void)cookie;
  place_some();
  return 0;
}
