/* What the program and the environment say of how the library is to work. The program's choice comes
 * first; both are there before the first locator is made, and hold in children. */
#ifndef NB_SETTINGS_H
#define NB_SETTINGS_H

#include <stdbool.h>

#include <nearbuf/nearbuf.h>

/* Reads the environment, once: when the module is loaded, or at a call that comes still earlier. */
void nb_settings_read(void);

/* The dialect in which to make the first locator: the program's choice, else NEARBUF_DIALECT, else
 * `preferred`. */
nearbuf_dialect nb_settings_dialect(nearbuf_dialect preferred);
void nb_settings_choose_dialect(nearbuf_dialect dialect);

/* Whether the first locator is to be private: the program's choice, else NEARBUF_SHARING=private. */
bool nb_settings_private(void);

/* Returns the choice before, NONE where there was none; the second call takes one back, unless there has
 * been another one since. */
nearbuf_sharing nb_settings_choose_sharing(nearbuf_sharing sharing);
void nb_settings_unchoose_sharing(nearbuf_sharing chosen, nearbuf_sharing before);

#endif
