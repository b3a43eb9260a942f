/* Linux: work on files with the rights of another process; see rights.h. Sources: credentials(7),
 * setfsuid(2), capabilities(7), commit_creds in the kernel's kernel/cred.c. */
#include "remote/linux/rights.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"
#include "remote/linux/child.h"

/* The C library's own functions change all threads of a process, by signals. */
#ifdef SYS_setfsuid32
enum { SET_USER = SYS_setfsuid32, SET_GROUP = SYS_setfsgid32, SET_GROUPS = SYS_setgroups32 };
#else
enum { SET_USER = SYS_setfsuid, SET_GROUP = SYS_setfsgid, SET_GROUPS = SYS_setgroups };
#endif

/* ---- Capabilities ---------------------------------------------------------------------------- */

/* linux/capability.h, version 3: two words of each set, the lower one first. */
typedef struct capability_word {
  uint32_t effective;
  uint32_t permitted;
  uint32_t inheritable;
} capability_word;

typedef struct capability_header {
  uint32_t version;
  int32_t thread;
} capability_header;

enum { VERSION_3 = 0x20080522 };

static bool get_capabilities(uint64_t *effective) {
  capability_header header = {VERSION_3, 0};
  capability_word words[2];
  if (syscall(SYS_capget, &header, words) != 0) {
    return false;
  }
  *effective = words[0].effective | (uint64_t)words[1].effective << 32;
  return true;
}

static bool set_capabilities(uint64_t kept) {
  capability_header header = {VERSION_3, 0};
  capability_word words[2] = {{(uint32_t)kept, (uint32_t)kept, 0},
                              {(uint32_t)(kept >> 32), (uint32_t)(kept >> 32), 0}};
  return syscall(SYS_capset, &header, words) == 0;
}

/* ---- Rights ---------------------------------------------------------------------------------- */

/* The id that is set; setting one that cannot exist changes nothing. */
static uint32_t id_now(long call) {
  return (uint32_t)syscall(call, -1L);
}

bool nbuf_rights_are_ours(const nbuf_rights *rights) {
  uint64_t ours;
  return get_capabilities(&ours) && (ours == 0 || (id_now(SET_USER) == (uint32_t)rights->user &&
                                                   id_now(SET_GROUP) == (uint32_t)rights->group &&
                                                   (ours & ~rights->capabilities) == 0));
}

/* Assumes the rights. 0 or an errno value. */
static int take_on(const nbuf_rights *rights) {
  uint64_t ours;
  if (!get_capabilities(&ours) || (getgroups(0, NULL) != 0 && syscall(SET_GROUPS, 0L, NULL) != 0)) {
    return errno;
  }
  (void)syscall(SET_GROUP, (long)rights->group);
  (void)syscall(SET_USER, (long)rights->user);
  if (id_now(SET_GROUP) != (uint32_t)rights->group || id_now(SET_USER) != (uint32_t)rights->user) {
    return EPERM;
  }
  /* A change of the user may have taken some away already. */
  return get_capabilities(&ours) && set_capabilities(ours & rights->capabilities) ? 0 : errno;
}

/* ---- The child ------------------------------------------------------------------------------- */

typedef struct work {
  const nbuf_rights *rights;
  nbuf_result (*run)(void *context);
  void *context;
  void *shared; /* a page shared with the child: the context and the result */
  size_t size;
} work;

static nbuf_result *result_of(const work *ctx) {
  return (nbuf_result *)((char *)ctx->shared + nbuf_os_page_size() - sizeof(nbuf_result));
}

static int child(void *context) {
  const work *ctx = context;
  (void)setpgid(0, 0); /* a signal to the host's group must not kill us half-way */
  int error = take_on(ctx->rights);
  nbuf_result result =
      error == 0 ? ctx->run(ctx->context) : nbuf_result_system(NEARBUF_DENIED, error);
  memcpy(ctx->shared, ctx->context, ctx->size);
  *result_of(ctx) = result;
  return 0;
}

/* Runs the child to its end with all signals blocked, since their handlers would run in it, too. */
static nbuf_result run_child(work *ctx) {
  enum { STACK_SIZE = 64 << 10 };
  char *stack = nbuf_os_own_pages(STACK_SIZE);
  if (stack == NULL) {
    return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, errno);
  }
  uint64_t all = UINT64_MAX;
  uint64_t before;
  *result_of(ctx) = nbuf_result_of(NEARBUF_SYSTEM_ERROR);
  memcpy(ctx->shared, ctx->context, ctx->size);
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  int process = clone(child, stack + STACK_SIZE, CLONE_FILES, ctx);
  int error = errno;
  if (process > 0) {
    nbuf_child_wait(process, NULL);
  }
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0L, sizeof before);
  (void)nbuf_os_unmap((uintptr_t)stack, STACK_SIZE);
  if (process < 0) {
    return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, error);
  }
  memcpy(ctx->context, ctx->shared, ctx->size);
  return *result_of(ctx);
}

nbuf_result nbuf_rights_run(const nbuf_rights *rights, nbuf_result (*run)(void *context),
                            void *context, size_t size) {
  if (rights->are_ours) {
    return run(context);
  }
  size_t page = nbuf_os_page_size();
  work ctx = {rights, run, context, NULL, size};
  ctx.shared = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (ctx.shared == MAP_FAILED) {
    return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, errno);
  }
  nbuf_result result = run_child(&ctx);
  (void)munmap(ctx.shared, page);
  return result;
}
