/* The choices of the program and of the environment. The program's choice takes precedence. Both
 * are read before the first locator is made, and apply in children as well. */
#ifndef NBUF_SETTINGS_H
#define NBUF_SETTINGS_H

#include <stdbool.h>

#include <nearbuf/nearbuf.h>

/* Reads the environment once: when the module is loaded, or in an even earlier call. */
void nbuf_settings_read(void);

/* The dialect in which to make the first locator: the program's choice, else NEARBUF_DIALECT, else
 * `preferred`. */
nearbuf_dialect nbuf_settings_dialect(nearbuf_dialect preferred);
void nbuf_settings_choose_dialect(nearbuf_dialect chosen);

/* Whether the first locator is to be private: the program's choice, else
 * NEARBUF_SHARING=private. */
bool nbuf_settings_private(void);

/* Returns the previous choice, NONE if there was none. The second function withdraws a choice,
 * unless another one has been made since. */
nearbuf_sharing nbuf_settings_choose_sharing(nearbuf_sharing sharing);
void nbuf_settings_unchoose_sharing(nearbuf_sharing chosen, nearbuf_sharing before);

#endif
