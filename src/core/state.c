/* What this copy of the library knows of its process; see state.h. */
#include "core/state.h"

#include <string.h>

#include "os/os.h"

/* Used before the first call: not a valid state, since its generation stays 0. */
static nbuf_state no_state;

_Atomic(nbuf_state *) nbuf_state_pages = &no_state;

/* The state, where the system cannot wipe pages, and the process that owns it. */
static _Atomic(nbuf_state *) unwiped;
static nbuf_os_owner owner;

/* The generation of the last state of this copy, in this process or in an ancestor. It is not
 * wiped, so that the next state gets the next number. */
static _Atomic uint32_t last_generation;

nbuf_state *nbuf_state_of_process(void) {
  nbuf_state *pages = atomic_load_explicit(&unwiped, memory_order_acquire);
  if (pages == NULL) {
    return nbuf_state_current();
  }
  nbuf_os_call call = nbuf_os_call_begin();
  bool is_proved = nbuf_os_are_process_pages(pages, &owner);
  nbuf_os_call_end(call);
  if (!is_proved) {
    (void)atomic_compare_exchange_strong(&unwiped, &pages, NULL); /* it is the parent's */
  }
  return is_proved ? pages : &no_state;
}

static bool is_inherited_as(nbuf_os_inheritance inheritance) {
  return atomic_load_explicit(&owner.inheritance, memory_order_relaxed) == (uint32_t)inheritance;
}

static nbuf_state *make_pages(void) {
  /* Other copies of the library have marks of their own: what one of them maps in a child may lie
   * where the pages of this one were. */
  uint32_t mark = (uint32_t)((uintptr_t)&no_state >> 4) * UINT32_C(0x9E3779B1) | 1;
  atomic_store_explicit(&owner.mark, mark, memory_order_relaxed);
  nbuf_state *made = nbuf_os_process_pages(sizeof(nbuf_state), &owner);
  if (made == NULL) {
    return NULL;
  }
  /* Written first, since a page that is read before it is written faults twice. */
  atomic_store(&made->generation, 0);
  bool is_wiped = is_inherited_as(NBUF_OS_WIPED);
  nbuf_state *there = is_wiped ? &no_state : NULL;
  if (!atomic_compare_exchange_strong(is_wiped ? &nbuf_state_pages : &unwiped, &there, made)) {
    nbuf_os_unmap((uintptr_t)made, sizeof(nbuf_state)); /* another thread was first */
    return there;
  }
  return made;
}

nbuf_result nbuf_state_begin_slowly(nbuf_state **state) {
  nbuf_state *pages = nbuf_state_of_process();
  if (pages == &no_state) {
    pages = make_pages();
  }
  *state = pages;
  if (pages == NULL) {
    return nbuf_result_system(NEARBUF_OUT_OF_MEMORY, nbuf_os_last_error());
  }
  if (nbuf_state_generation(pages) != 0) {
    return nbuf_result_of(NEARBUF_OK);
  }
  nbuf_state_lock(pages);
  if (nbuf_state_generation(pages) == 0) {
    uint32_t generation = atomic_fetch_add(&last_generation, 1) + 1;
    if (generation == 0) {
      generation = atomic_fetch_add(&last_generation, 1) + 1;
    }
    uint32_t none = 0;
    atomic_compare_exchange_strong(&pages->generation, &none, generation);
  }
  nbuf_state_unlock(pages);
  return nbuf_result_of(NEARBUF_OK);
}

bool nbuf_state_try_lock(nbuf_state *state) {
  uint32_t free_word = 0;
  return atomic_compare_exchange_strong_explicit(&state->lock, &free_word, 1, memory_order_acquire,
                                                 memory_order_relaxed);
}

void nbuf_state_lock(nbuf_state *state) {
  nbuf_wait wait = nbuf_wait_start();
  while (!nbuf_state_try_lock(state) && nbuf_wait_on(&wait)) {
  }
}

void nbuf_state_unlock(nbuf_state *state) {
  atomic_store_explicit(&state->lock, 0, memory_order_release);
}

static void unmap(nbuf_state *pages) {
  if (pages != NULL && pages != &no_state) {
    (void)nbuf_os_unmap((uintptr_t)pages, sizeof(nbuf_state));
  }
}

void nbuf_state_wipe(void) {
  nbuf_state *pages = nbuf_state_current();
  if (pages != &no_state) {
    memset((void *)pages, 0, sizeof(nbuf_state));
  }
  pages = atomic_exchange(&unwiped, NULL);
  if (is_inherited_as(NBUF_OS_INHERITED)) {
    unmap(pages);
  }
}

void nbuf_state_end(void) {
  nbuf_state *pages = atomic_load(&unwiped);
  if (pages != NULL && !nbuf_os_are_process_pages(pages, &owner)) {
    pages = NULL;
  }
  atomic_store(&unwiped, NULL);
  unmap(pages);
  unmap(atomic_exchange(&nbuf_state_pages, &no_state));
}
