/* A detour in the instructions of this processor: a jump written over the start of a function leads
 * to a stub near it, which jumps on to any address. */
#ifndef NEARBUF_TOOL_DETOUR_H
#define NEARBUF_TOOL_DETOUR_H

#include <stdint.h>

#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)
enum { DETOUR_JUMP_SIZE = 5 };
#define DETOUR_JUMP_NAME "jmp rel32"
#elif defined(__aarch64__) || defined(_M_ARM64)
enum { DETOUR_JUMP_SIZE = 4 };
#define DETOUR_JUMP_NAME "b"
#else
enum { DETOUR_JUMP_SIZE = 0 }; /* not implemented for this processor */
#define DETOUR_JUMP_NAME ""
#endif

enum { DETOUR_STUB_SIZE = 24 };

/* Writes the jump that leads from `from` to `to`, which must be within NEARBUF_REACH_JUMP. */
void detour_write_jump(unsigned char *bytes, uintptr_t from, uintptr_t to);

/* Writes the stub that runs at `at` and jumps to `to`, at any distance. Returns its size. */
int detour_write_stub(unsigned char *bytes, uintptr_t at, uintptr_t to);

#endif
