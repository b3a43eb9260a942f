/* What goes on while things go wrong: a situation that is prepared, and the call that is tried. */
#ifndef NEARBUF_FAULT_SCENE_H
#define NEARBUF_FAULT_SCENE_H

#include <nearbuf/nearbuf.h>

#include "locator_names.h"
#include "system.h"

typedef struct scene {
  void (*prepare)(void); /* null: nothing has happened yet in this process */
  /* Makes the call, checks what it gave, and leaves no buffer held that it did not leave held. On
   * failure it checks that outputs are in their documented state. */
  nearbuf_status (*call)(void);
  nearbuf_status expected; /* when nothing goes wrong */
  unsigned kernel;         /* what the kernel is like (system.h) */
} scene;

/* Makes the system calls of the scene's call fail, one after the other, with every error that is
 * plausible for them: once, or from then on until the call is over. After each failure all that
 * must hold is checked, and that the call then works. Each try is a process of its own. */
void fail_every_call(const scene *what);
void fail_every_call_lastingly(const scene *what);

/* Lets the actor act before every system call of the scene's call. */
void act_before_every_call(const scene *what, void (*actor)(void));

/* The same with an actor whose locator becomes the first while this copy makes another one: at some
 * of the calls it does. That one page stays mapped, without its address (decision 11). */
void race_before_every_call(const scene *what, void (*actor)(void));

/* ---- For scenes ---- */

/* A second copy of the library in the same process, which is never disturbed. */
typedef struct library_copy {
  nearbuf_status (*get)(const nearbuf_request *request, nearbuf_buffer *buffer);
  nearbuf_status (*release)(nearbuf_buffer *buffer);
  nearbuf_status (*get_totals)(nearbuf_totals *totals);
} library_copy;

extern library_copy other_copy;

/* What the last call stored as the system's error; `no_system_error` where it stores none. */
enum { NO_SYSTEM_ERROR = -1 };
extern int32_t last_system_error;

/* Bytes of private allocations that are not freed. */
extern size_t private_bytes;
extern size_t reference_bytes; /* of mappings of locators that a reference has for itself */

/* Memory of another actor: it must still be there, untouched, after the call. */
void watch_memory(void *start, size_t size);

/* The directory of the locators' files, and the path of a name of this process in it. */
const char *own_path(const char *suffix);

/* That of the user's own directory. */
const char *users_directory(void);

#endif
