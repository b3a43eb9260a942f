/* One get of a new region in a process that has a locator, with a line for each function that is
 * entered or left: ">" or "<" and its address. The range is free, wherever the system puts the
 * heap. */
#include <stdbool.h>
#include <stdio.h>

#include <nearbuf/nearbuf.h>

static bool is_traced;

__attribute__((no_instrument_function)) static void note(const char *what, const void *function) {
  if (is_traced) {
    printf("%s %p\n", what, function);
  }
}

__attribute__((no_instrument_function)) void __cyg_profile_func_enter(void *function, void *caller) {
  (void)caller;
  note(">", function);
}

__attribute__((no_instrument_function)) void __cyg_profile_func_exit(void *function, void *caller) {
  (void)caller;
  note("<", function);
}

int main(void) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 64;
  nearbuf_buffer buffer;
  if (nearbuf_get(&request, &buffer) != NEARBUF_OK) {
    return 1;
  }
  request.range = (nearbuf_range){0x60000000, 0x9fffffff};
  request.size_bytes = 1 << 20;
  is_traced = true;
  nearbuf_status status = nearbuf_get(&request, &buffer);
  is_traced = false;
  return status == NEARBUF_OK ? 0 : 1;
}
