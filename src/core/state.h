/* What this copy of the library knows of the process it lives in. All of it is nothing again after
 * a fork, without a system call and without anybody's help: it lies in pages that the kernel wipes
 * in the child. Where the kernel cannot, the fast path finds no state at all, and each call proves
 * first, by a system call, that the state is this process's own (nb_state_of_process).
 *
 * The generation is the proof: 0 in wiped pages, else a number that differs from that of every
 * ancestor. It is checked before anything shared is touched; handles remember the one they were
 * made in. */
#ifndef NB_STATE_H
#define NB_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"
#include "core/hints.h"
#include "os/os.h"
#include "os/wait.h"

/* Requests are sorted by the power of two at or below their size. */
enum { NB_SIZE_CLASSES = 32 };

typedef struct nb_state {
  uint32_t of_the_system;      /* nb_os_process_pages */
  _Atomic uint32_t generation; /* 0: wiped, nothing below is true */
  _Atomic uint32_t lock;       /* of what the slow path changes: locators known, state made */
  _Atomic uint32_t locators;   /* known locators: the entries of the chain in registry.c */
  _Atomic uint32_t attached;   /* 1: attaching is done, the first locator is known */
  _Atomic uint32_t is_private; /* nearbuf_sharing is PRIVATE */
  _Atomic int32_t private_reason;
  _Atomic uint32_t contended;     /* two threads met at one item: new hints avoid shared lines */
  _Atomic uint32_t register_from; /* the first known locator that may have a free slot */
  _Atomic uint32_t
      since_full_walk;             /* registrations since items before the cursors were looked at */
  _Atomic uint32_t highest_cursor; /* no cursor is above it */
  /* Items before cursors[c] are held, or have no room for 2^c bytes; positions only grow. */
  _Atomic uint32_t cursors[NB_SIZE_CLASSES];
  /* Some of those are only held. */
  _Atomic bool has_passed_held[NB_SIZE_CLASSES];
  _Atomic uint64_t placed_bytes; /* of buffers, by this copy */
  nb_hints hints;
} nb_state;

extern _Atomic(nb_state *) nb_state_pages;

/* The generation of the state, 0 where there is none. */
static inline uint32_t nb_state_generation(const nb_state *state) {
  return atomic_load_explicit(&state->generation, memory_order_acquire);
}

/* The state, or an empty one of generation 0 before the first use, and always where the system cannot
 * wipe pages: for the fast path, which then takes the slow one. Read the generation before anything
 * else, but for hints: they are there only where it is not 0. */
static inline nb_state *nb_state_current(void) {
  return atomic_load_explicit(&nb_state_pages, memory_order_acquire);
}

/* The same for the slow path: the state of this process, or an empty one. A system call where the
 * system cannot wipe pages. */
nb_state *nb_state_of_process(void);

/* The state, made if there is none in this process: OUT_OF_MEMORY. */
nb_result nb_state_begin(nb_state **state);

/* Gives its pages back. The next use begins another one. No other thread may be using it. */
void nb_state_end(void);

/* The lock of this module. It spares threads of doing the same work twice, and no more: who has
 * waited for the bound goes on without it, for the holder was killed, is stopped, or is what this
 * signal handler interrupted. So whatever is done under it must bear being done by two at once: the
 * same values are stored to the same places, and counts are raised by compare-and-swap. `try` does
 * not wait at all. Holders do not call out and are not cancelled. */
void nb_state_lock(nb_state *state);
bool nb_state_try_lock(nb_state *state);
void nb_state_unlock(nb_state *state);

/* For the fork handler: wipes the state, should the kernel not have done it. */
void nb_state_wipe(void);

#endif
