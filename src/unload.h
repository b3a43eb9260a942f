/* What happens when this copy of the library is unloaded while the process goes on. */
#ifndef NB_UNLOAD_H
#define NB_UNLOAD_H

/* For the system layer, where it is told of that and not only of the end of the process: then other threads
 * may still be calling. Gives back the pages that this copy keeps for itself; buffers and locators stay.
 * Needs no lock of the loader's or of the C runtime. Another call would begin anew. */
void nb_unload(void);

#endif
