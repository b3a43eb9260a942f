/* Giving back what a copy of the library keeps for itself. */
#include "unload.h"

#include <nearbuf/nearbuf.h>

#include "chain.h"
#include "os/os.h"
#include "session.h"

void nb_unload(void) {
  nb_chain_end();
  nb_session_end();
}

void nearbuf_unload(void) {
  nb_os_guard guard = nb_os_enter();
  nb_unload();
  nb_os_leave(guard);
}
