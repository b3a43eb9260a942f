/* Code that must know its own address: a call encodes the distance from itself to its target. The
 * address is known when nearbuf_place_with calls back, not earlier. x86-64. */
#include <stdio.h>
#include <string.h>

#include <nearbuf/nearbuf.h>

typedef int function(int);

static int twice(int number) {
  return 2 * number;
}

/* Writes a function that returns twice(its argument) + 1. */
static ptrdiff_t write_caller(const nearbuf_memory *room, void *context) {
  unsigned char code[] = {
      0x48, 0x83, 0xEC, 0x28,       /* sub  rsp, 40   (also Windows' shadow space) */
      0xE8, 0,    0,    0,    0,    /* call twice */
      0x83, 0xC0, 0x01,             /* add  eax, 1 */
      0x48, 0x83, 0xC4, 0x28, 0xC3, /* add  rsp, 40; ret */
  };
  uintptr_t behind_call = (uintptr_t)room->run_at + 9;
  int32_t distance = (int32_t)((uintptr_t)context - behind_call);
  memcpy(code + 5, &distance, sizeof distance);
  if (room->size_bytes < sizeof code) {
    return -1;
  }
  memcpy(room->write_to, code, sizeof code);
  return sizeof code;
}

int main(void) {
  nearbuf_request request;
  nearbuf_memory placed;
  nearbuf_status status = nearbuf_request_near((void *)(uintptr_t)twice, 32, &request);
  if (status == NEARBUF_OK) {
    status = nearbuf_place_with(&request, write_caller, (void *)(uintptr_t)twice, &placed);
  }
  if (status != NEARBUF_OK) {
    fprintf(stderr, "no place for the code: %s\n", nearbuf_status_text(status));
    return 1;
  }
  function *caller = (function *)(uintptr_t)placed.run_at;
  printf("%zu bytes at %p call twice() and answer %d\n", placed.size_bytes, (void *)placed.run_at,
         caller(20));
  return caller(20) == 41 ? 0 : 1;
}
