/* A program as Microsoft's tools build it: compiled for their ABI, linked by their linker's rules
 * with the import library or the static library, without anything of mingw. It has no C runtime:
 * what it needs of the system it declares. */
#include <nearbuf/nearbuf.h>

__declspec(dllimport) void *__stdcall GetStdHandle(unsigned long which);
__declspec(dllimport) int __stdcall WriteFile(void *file, const void *bytes, unsigned long size,
                                              unsigned long *written, void *overlapped);
__declspec(dllimport) __declspec(noreturn) void __stdcall ExitProcess(unsigned int status);

static void say(const char *text, unsigned long length) {
  unsigned long written;
  (void)WriteFile(GetStdHandle((unsigned long)-11), text, length, &written, 0);
}

void mainCRTStartup(void);

void mainCRTStartup(void) {
  static const unsigned char return_42[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov eax, 42; ret */
  nearbuf_request request;
  nearbuf_memory placed;
  int (*function)(void);
  if (nearbuf_request_near((const void *)&mainCRTStartup, sizeof return_42, &request) !=
          NEARBUF_OK ||
      nearbuf_place(&request, return_42, &placed) != NEARBUF_OK) {
    say("failed\n", 7);
    ExitProcess(1);
  }
  function = (int (*)(void))(void *)placed.run_at;
  if (function() != 42) {
    ExitProcess(2);
  }
  say("passed: msvc\n", 13);
  ExitProcess(0);
}
