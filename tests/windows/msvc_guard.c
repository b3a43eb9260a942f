/* The load configuration of a program with control-flow guard, and the two pointers through which
 * clang's code calls: Microsoft's C runtime has them, and these programs have none. The names that
 * begin with `__guard_` and `__safe_` are the linker's. */
#include <stddef.h>
#include <stdint.h>

#define LINKERS(name) extern const char name[]
LINKERS(__guard_fids_table);
LINKERS(__guard_fids_count); /* the address is the number */
LINKERS(__guard_flags);

#ifdef _WIN64
/* Gets the called function in rax. The system replaces the pointer where it enforces the guard. */
__attribute__((naked)) static void dispatch(void) {
  __asm__("jmp *%rax");
}
__attribute__((used)) void (*__guard_dispatch_icall_fptr)(void) = dispatch;
#define DISPATCH &__guard_dispatch_icall_fptr
#define HANDLERS NULL
#define HANDLER_COUNT NULL
#else
LINKERS(__safe_se_handler_table);
LINKERS(__safe_se_handler_count);
#define DISPATCH NULL
#define HANDLERS __safe_se_handler_table
#define HANDLER_COUNT __safe_se_handler_count
#endif

static void check(void) {
}
__attribute__((used)) void (*__guard_check_icall_fptr)(void) = check;

static uintptr_t cookie;

/* IMAGE_LOAD_CONFIG_DIRECTORY up to its GuardFlags. */
typedef struct load_config {
  uint32_t size;
  uint32_t not_used[5];
  uintptr_t not_used_either[6];
  uint32_t flags[2];
  uintptr_t edit_list;
  const void *cookie;
  const void *handlers;
  const void *handler_count;
  const void *check;
  const void *dispatch;
  const void *functions;
  const void *function_count;
  const void *guard_flags; /* of 32 bits: they are the lower half */
} load_config;

#ifdef _WIN64
_Static_assert(offsetof(load_config, guard_flags) == 144, "as in winnt.h");
#else
_Static_assert(offsetof(load_config, guard_flags) == 88, "as in winnt.h");
#endif

extern const load_config _load_config_used;
const load_config _load_config_used = {
    .size = offsetof(load_config, guard_flags) + sizeof(uint32_t),
    .cookie = &cookie,
    .handlers = HANDLERS,
    .handler_count = HANDLER_COUNT,
    .check = &__guard_check_icall_fptr,
    .dispatch = DISPATCH,
    .functions = __guard_fids_table,
    .function_count = __guard_fids_count,
    .guard_flags = __guard_flags,
};
