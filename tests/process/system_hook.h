/* Lets a test act at one point of what the library does with another process. The test program is
 * linked with --wrap=syscall, through which the library makes all requests of ptrace and what the C
 * library has no functions for. */
#ifndef NEARBUF_SYSTEM_HOOK_H
#define NEARBUF_SYSTEM_HOOK_H

/* Called before every such system call, in the library's helper process, too, which shares the
 * test's memory. It may change the arguments. Returns 0, or the error that the call fails with. */
typedef int (*system_hook)(long number, long arguments[6]);

/* Null: none. */
void system_hook_set(system_hook hook);

#endif
