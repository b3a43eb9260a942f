/* A hook that counts calls: a stub that adds 1 to a counter and jumps on to the function. The
 * counter is data of its own (NEARBUF_DATA), so that writing it does not disturb the running stub.
 * Both are in reach of the function and of each other. x86-64.
 *
 * Program and plug-in each compile this with a copy of nearbuf of their own. */
#ifndef COUNTING_HOOK_H
#define COUNTING_HOOK_H

#include <string.h>

#include <nearbuf/nearbuf.h>

typedef int hooked_function(int);

typedef struct counting_hook {
  hooked_function *function; /* in: what is counted */
  hooked_function *stub;     /* out: what to call instead */
  volatile uint32_t *calls;  /* out */
} counting_hook;

static ptrdiff_t write_counting_stub(const nearbuf_memory *room, void *context) {
  const counting_hook *hook = context;
  unsigned char code[] = {
      0xF0, 0xFF, 0x05, 0, 0, 0, 0, /* lock inc dword [calls] */
      0xE9, 0,    0,    0, 0,       /* jmp  function */
  };
  uintptr_t start = (uintptr_t)room->run_at;
  int32_t to_calls = (int32_t)((uintptr_t)hook->calls - (start + 7));
  int32_t to_function = (int32_t)((uintptr_t)hook->function - (start + 12));
  memcpy(code + 3, &to_calls, sizeof to_calls);
  memcpy(code + 8, &to_function, sizeof to_function);
  memcpy(room->write_to, code, sizeof code);
  return sizeof code;
}

static nearbuf_status make_counting_hook(counting_hook *hook) {
  static const uint32_t zero = 0;
  const void *target = (const void *)(uintptr_t)hook->function;
  nearbuf_request request;
  nearbuf_memory counter;
  nearbuf_memory stub;
  nearbuf_status status = nearbuf_request_near(target, sizeof zero, &request);
  if (status == NEARBUF_OK) {
    request.flags = NEARBUF_DATA;
    status = nearbuf_place(&request, &zero, &counter);
  }
  if (status == NEARBUF_OK) {
    hook->calls = (volatile uint32_t *)(void *)counter.run_at;
    request.flags = 0;
    request.size_bytes = 12;
    status = nearbuf_place_with(&request, write_counting_stub, hook, &stub);
  }
  if (status == NEARBUF_OK) {
    hook->stub = (hooked_function *)(uintptr_t)stub.run_at;
  }
  return status;
}

/* What the plug-in exports. */
nearbuf_status plugin_hook(counting_hook *hook);

#endif
