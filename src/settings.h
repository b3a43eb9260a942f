/* What the environment says of how the library is to work. */
#ifndef NB_SETTINGS_H
#define NB_SETTINGS_H

#include <stdbool.h>

#include <nearbuf/nearbuf.h>

/* Reads it, once. The system layer does so when the module is loaded: a later first call may come from a
 * signal handler that interrupted setenv. Whoever calls the library still earlier reads it then. */
void nb_settings_read(void);

/* NEARBUF_DIALECT: the dialect in which to make the first locator. UNKNOWN: it is not set. */
nearbuf_dialect nb_settings_dialect(void);

/* NEARBUF_SHARING=private: the first locator is to be private. */
bool nb_settings_private(void);

#endif
