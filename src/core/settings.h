/* The choices of the program and of the environment. The program's choice takes precedence. Both
 * are read before the first locator is made, and apply in children as well. */
#ifndef NB_SETTINGS_H
#define NB_SETTINGS_H

#include <stdbool.h>

#include <nearbuf/nearbuf.h>

/* Reads the environment once: when the module is loaded, or in an even earlier call. */
void nb_settings_read(void);

/* The dialect in which to make the first locator: the program's choice, else NEARBUF_DIALECT, else
 * `preferred`. */
nearbuf_dialect nb_settings_dialect(nearbuf_dialect preferred);
void nb_settings_choose_dialect(nearbuf_dialect dialect);

/* Whether the first locator is to be private: the program's choice, else
 * NEARBUF_SHARING=private. */
bool nb_settings_private(void);

/* Returns the previous choice, NONE if there was none. The second function withdraws a choice,
 * unless another one has been made since. */
nearbuf_sharing nb_settings_choose_sharing(nearbuf_sharing sharing);
void nb_settings_unchoose_sharing(nearbuf_sharing chosen, nearbuf_sharing before);

#endif
