/* The process state: what this copy of the library knows of its process, until the next fork.
 *
 *   nbuf_state_pages -> [ the system's | generation | lock, flags, cursors ... | 256 hints ]
 *
 * It lies in pages that the kernel wipes in the child, without a system call and without a fork
 * handler. If the kernel cannot do that, the fast path finds no state, and each call first proves
 * by a system call that the state belongs to this process (nbuf_state_of_process). The generation,
 * 0 in wiped pages, differs from that of every ancestor. It is checked before anything shared is
 * touched; a handle contains the generation in which it was made. */
#ifndef NBUF_STATE_H
#define NBUF_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"
#include "core/hints.h"
#include "os/os.h"
#include "os/wait.h"

/* Requests are classified by the highest power of two that does not exceed their size. */
enum { NBUF_SIZE_CLASSES = 32 };

typedef struct nbuf_state {
  uint32_t of_the_system;      /* nbuf_os_process_pages */
  _Atomic uint32_t generation; /* 0: wiped, nothing below is valid */
  _Atomic uint32_t lock;       /* guards what the slow path changes: the table of locators */
  _Atomic uint32_t locators;   /* the number of known locators, see locators.h */
  _Atomic uint32_t attached;   /* 1: attached, the first locator is known */
  _Atomic uint32_t is_private; /* nearbuf_sharing is PRIVATE */
  _Atomic int32_t private_reason;
  _Atomic uint32_t contended;       /* two threads met at one item: new hints avoid shared lines */
  _Atomic uint32_t register_from;   /* the first known locator that may have a free slot */
  _Atomic uint32_t since_full_walk; /* registrations since the last walk from the start */
  _Atomic uint32_t highest_cursor;  /* no cursor is above it */
  /* Items before cursors[c] are held, or have no room for 2^c bytes; positions only grow. */
  _Atomic uint32_t cursors[NBUF_SIZE_CLASSES];
  /* Some of those items have room and are only held. */
  _Atomic bool has_passed_held[NBUF_SIZE_CLASSES];
  _Atomic uint64_t placed_bytes; /* bytes of buffers that this copy placed */
  nbuf_hints hints;
} nbuf_state;

extern _Atomic(nbuf_state *) nbuf_state_pages;

/* The generation of the state, 0: no state. */
static inline uint32_t nbuf_state_generation(const nbuf_state *state) {
  return atomic_load_explicit(&state->generation, memory_order_acquire);
}

/* The state, for the fast path; or an empty one of generation 0 before the first use, and always
 * where the system cannot wipe pages, so that the fast path takes the slow one. Check the
 * generation before anything else except hints: they are set only in a state whose generation is
 * not 0. */
static inline nbuf_state *nbuf_state_current(void) {
  return atomic_load_explicit(&nbuf_state_pages, memory_order_acquire);
}

/* The state of this process for the slow path, or an empty one. A system call where the system
 * cannot wipe pages. */
nbuf_state *nbuf_state_of_process(void);

/* The slow path of the next function: the first call of a process, and every call where the system
 * cannot wipe pages. */
nbuf_result nbuf_state_begin_slowly(nbuf_state **state);

/* Returns the state, and makes it if this process has none: OUT_OF_MEMORY. */
static inline nbuf_result nbuf_state_begin(nbuf_state **state) {
  *state = nbuf_state_current();
  return nbuf_state_generation(*state) != 0 ? nbuf_result_of(NEARBUF_OK)
                                            : nbuf_state_begin_slowly(state);
}

/* Unmaps its pages. The next use makes another state. No other thread may be using it. */
void nbuf_state_end(void);

/* The lock of the state. It only saves threads from doing the same work twice: a thread that has
 * waited for the bound goes on without it, since the holder was killed, is stopped, or is what this
 * signal handler interrupted. So everything done under it must be safe when two threads do it at
 * the same time: they store the same values to the same places, and raise counts by
 * compare-and-swap. `try` does not wait. Holders do not call back into the program and are not
 * cancelled. */
void nbuf_state_lock(nbuf_state *state);
bool nbuf_state_try_lock(nbuf_state *state);
void nbuf_state_unlock(nbuf_state *state);

/* For the fork handler: wipes the state if the kernel did not. */
void nbuf_state_wipe(void);

#endif
