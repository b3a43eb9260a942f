/* The fork handler; see fork.h. */
#include "fork.h"

#include "chain.h"
#include "regions.h"
#include "session.h"

void nb_forked(void) {
  nb_chain_inherited();
  nb_session_wipe();
  nb_regions_forked();
}
