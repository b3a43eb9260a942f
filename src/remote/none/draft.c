/* Drafts where they would save nothing: on systems without access to other processes, and where
 * memory and locators are made from here (Windows). */
#include "remote/port.h"

void nbuf_remote_draft_begin(nearbuf_process *process, nbuf_remote_draft *draft) {
  (void)process;
  (void)draft;
}

void nbuf_remote_draft_discard(nearbuf_process *process, nbuf_remote_draft *draft) {
  (void)process;
  (void)draft;
}
