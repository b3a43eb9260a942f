/* Where each thread starts looking; see hints.h. */
#include "hints.h"

bool nb_hints_elsewhere(nb_hints *hints, const nb_hint *mine, uintptr_t item) {
  for (int i = 0; i < NB_HINT_SLOTS; i++) {
    nb_hint *slot = &hints->slots[i];
    if (slot != mine && atomic_load_explicit(&slot->item, memory_order_relaxed) == item) {
      return true;
    }
  }
  return false;
}
