/* What this copy of the library knows of its process; see state.h. */
#include "core/state.h"

#include <string.h>

#include "os/os.h"

/* Used before the first call: not a valid state, since its generation stays 0. */
static nb_state no_state;

_Atomic(nb_state *) nb_state_pages = &no_state;

/* The state, where the system cannot wipe pages, and the process that owns it. */
static _Atomic(nb_state *) unwiped;
static nb_os_owner owner;

/* The generation of the last state of this copy, in this process or in an ancestor. It is not
 * wiped, so that the next state gets the next number. */
static _Atomic uint32_t last_generation;

nb_state *nb_state_of_process(void) {
  nb_state *pages = atomic_load_explicit(&unwiped, memory_order_acquire);
  if (pages == NULL) {
    return nb_state_current();
  }
  nb_os_call call = nb_os_call_begin();
  bool is_proved = nb_os_are_process_pages(pages, &owner);
  nb_os_call_end(call);
  if (!is_proved) {
    (void)atomic_compare_exchange_strong(&unwiped, &pages, NULL); /* it is the parent's */
  }
  return is_proved ? pages : &no_state;
}

static bool is_inherited_as(nb_os_inheritance inheritance) {
  return atomic_load_explicit(&owner.inheritance, memory_order_relaxed) == (uint32_t)inheritance;
}

static nb_state *make_pages(void) {
  /* Other copies of the library have marks of their own: what one of them maps in a child may lie
   * where the pages of this one were. */
  uint32_t mark = (uint32_t)((uintptr_t)&no_state >> 4) * UINT32_C(0x9E3779B1) | 1;
  atomic_store_explicit(&owner.mark, mark, memory_order_relaxed);
  nb_state *made = nb_os_process_pages(sizeof(nb_state), &owner);
  if (made == NULL) {
    return NULL;
  }
  /* Written first, since a page that is read before it is written faults twice. */
  atomic_store(&made->generation, 0);
  bool is_wiped = is_inherited_as(NB_OS_WIPED);
  nb_state *there = is_wiped ? &no_state : NULL;
  if (!atomic_compare_exchange_strong(is_wiped ? &nb_state_pages : &unwiped, &there, made)) {
    nb_os_unmap((uintptr_t)made, sizeof(nb_state)); /* another thread was first */
    return there;
  }
  return made;
}

nb_result nb_state_begin(nb_state **state) {
  nb_state *pages = nb_state_of_process();
  if (pages == &no_state) {
    pages = make_pages();
  }
  *state = pages;
  if (pages == NULL) {
    return nb_result_system(NEARBUF_OUT_OF_MEMORY, nb_os_last_error());
  }
  if (nb_state_generation(pages) != 0) {
    return nb_result_of(NEARBUF_OK);
  }
  nb_state_lock(pages);
  if (nb_state_generation(pages) == 0) {
    uint32_t generation = atomic_fetch_add(&last_generation, 1) + 1;
    if (generation == 0) {
      generation = atomic_fetch_add(&last_generation, 1) + 1;
    }
    uint32_t none = 0;
    atomic_compare_exchange_strong(&pages->generation, &none, generation);
  }
  nb_state_unlock(pages);
  return nb_result_of(NEARBUF_OK);
}

bool nb_state_try_lock(nb_state *state) {
  uint32_t free_word = 0;
  return atomic_compare_exchange_strong_explicit(&state->lock, &free_word, 1, memory_order_acquire,
                                                 memory_order_relaxed);
}

void nb_state_lock(nb_state *state) {
  nb_wait wait = nb_wait_start();
  while (!nb_state_try_lock(state) && nb_wait_on(&wait)) {
  }
}

void nb_state_unlock(nb_state *state) {
  atomic_store_explicit(&state->lock, 0, memory_order_release);
}

static void unmap(nb_state *pages) {
  if (pages != NULL && pages != &no_state) {
    (void)nb_os_unmap((uintptr_t)pages, sizeof(nb_state));
  }
}

void nb_state_wipe(void) {
  nb_state *pages = nb_state_current();
  if (pages != &no_state) {
    memset((void *)pages, 0, sizeof(nb_state));
  }
  pages = atomic_exchange(&unwiped, NULL);
  if (is_inherited_as(NB_OS_INHERITED)) {
    unmap(pages);
  }
}

void nb_state_end(void) {
  nb_state *pages = atomic_load(&unwiped);
  if (pages != NULL && !nb_os_are_process_pages(pages, &owner)) {
    pages = NULL;
  }
  atomic_store(&unwiped, NULL);
  unmap(pages);
  unmap(atomic_exchange(&nb_state_pages, &no_state));
}
