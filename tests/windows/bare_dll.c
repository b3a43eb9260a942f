/* A DLL without start-up code, linked with neither a compiler's runtime nor its start-up files: any
 * dependency on other libraries than the system's DLLs would be a link error. */
#include <windows.h>

#include <nearbuf/nearbuf.h>

BOOL WINAPI start(HINSTANCE module, DWORD reason, LPVOID reserved);
__declspec(dllexport) nearbuf_status place_from_bare_dll(nearbuf_memory *placed);

BOOL WINAPI start(HINSTANCE module, DWORD reason, LPVOID reserved) {
  (void)module, (void)reason, (void)reserved;
  return TRUE;
}

nearbuf_status place_from_bare_dll(nearbuf_memory *placed) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 4;
  return nearbuf_place(&request, "bare", placed);
}
