/* A DLL with its own copy of the library, which it uses when it is loaded. */
#include <windows.h>

#include <nearbuf/nearbuf.h>

__declspec(dllexport) nearbuf_memory placed_when_loaded;
__declspec(dllexport) nearbuf_totals totals_when_loaded;

BOOL WINAPI DllMain(HINSTANCE module, DWORD reason, LPVOID reserved);

BOOL WINAPI DllMain(HINSTANCE module, DWORD reason, LPVOID reserved) {
  (void)module;
  (void)reserved;
  if (reason != DLL_PROCESS_ATTACH) {
    return TRUE;
  }
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 4;
  return nearbuf_place(&request, "mine", &placed_when_loaded) == NEARBUF_OK &&
         nearbuf_get_totals(&totals_when_loaded) == NEARBUF_OK;
}
