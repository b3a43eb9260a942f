/* A situation that is prepared, and a call that is tried in it while system calls fail. */
#ifndef NEARBUF_FAULT_SCENE_H
#define NEARBUF_FAULT_SCENE_H

#include <nearbuf/nearbuf.h>

#include "locator_names.h"
#include "system.h"

typedef struct scene {
  void (*prepare)(void); /* null: nothing has happened yet in this process */
  /* Makes the call, checks its results, and releases every buffer except those meant to stay held.
   * On failure it checks that outputs are in their documented state. */
  nearbuf_status (*call)(void);
  nearbuf_status expected; /* if nothing fails */
  unsigned kernel;         /* the properties of the kernel (system.h) */
} scene;

/* Makes the system calls of the scene's call fail, one after the other, with every error that is
 * plausible for them: once, or from then on until the call returns. After each failure all
 * invariants are checked, and that the repeated call succeeds. Each try is a separate process. */
void fail_every_call(const scene *what);
void fail_every_call_lastingly(const scene *what);

/* Lets the actor act before every system call of the scene's call. */
void act_before_every_call(const scene *what, void (*actor)(void));

/* The same with an actor whose locator, at some of the calls, becomes the first while this copy
 * creates another one. That one page stays mapped, without its address (decision 11). */
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
extern size_t reference_bytes; /* of locators that another implementation has mapped */

/* Memory of another actor: it must still be there, unchanged, after the call. */
void watch_memory(void *start, size_t size);

/* The directory of the locators' files, and the path of a name of this process in it. */
const char *own_path(const char *suffix);

/* That of the user's own directory. */
const char *users_directory(void);

#endif
