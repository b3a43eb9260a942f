/* What this copy of the library knows of its process; see session.h. */
#include "session.h"

#include <string.h>

#include "os/os.h"

/* What is there before the first use: no session, for its generation stays 0. */
static nb_session no_session;

_Atomic(nb_session *) nb_session_pages = &no_session;

/* The generation of the last session of this copy, in this process or in an ancestor. It is not
 * wiped: that is how the next one knows its number. */
static _Atomic uint32_t last_generation;

static nb_session *make_pages(void) {
  nb_session *made = nb_os_own_pages_wiped_by_fork(sizeof(nb_session));
  nb_session *there = &no_session;
  if (made == NULL) {
    return NULL;
  }
  atomic_store(&made->generation, 0); /* a page that is read first faults twice */
  if (!atomic_compare_exchange_strong(&nb_session_pages, &there, made)) {
    nb_os_unmap((uintptr_t)made, sizeof(nb_session)); /* another thread was first */
    return there;
  }
  return made;
}

nb_outcome nb_session_begin(nb_session **session) {
  nb_session *pages = nb_session_current();
  if (pages == &no_session) {
    pages = make_pages();
  }
  *session = pages;
  if (pages == NULL) {
    return nb_outcome_system(NEARBUF_OUT_OF_MEMORY, nb_os_last_error());
  }
  if (nb_session_generation(pages) != 0) {
    return nb_outcome_of(NEARBUF_OK);
  }
  nb_session_lock(pages);
  if (nb_session_generation(pages) == 0) {
    uint32_t generation = atomic_fetch_add(&last_generation, 1) + 1;
    if (generation == 0) {
      generation = atomic_fetch_add(&last_generation, 1) + 1;
    }
    uint32_t none = 0;
    atomic_compare_exchange_strong(&pages->generation, &none, generation);
  }
  nb_session_unlock(pages);
  return nb_outcome_of(NEARBUF_OK);
}

bool nb_session_try_lock(nb_session *session) {
  uint32_t free_word = 0;
  return atomic_compare_exchange_strong_explicit(&session->lock, &free_word, 1,
                                                 memory_order_acquire, memory_order_relaxed);
}

void nb_session_lock(nb_session *session) {
  nb_wait wait = nb_wait_start();
  while (!nb_session_try_lock(session) && nb_wait_on(&wait)) {
  }
}

void nb_session_unlock(nb_session *session) {
  atomic_store_explicit(&session->lock, 0, memory_order_release);
}

void nb_session_wipe(void) {
  memset((void *)nb_session_current(), 0, sizeof(nb_session));
}
