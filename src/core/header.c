/* The header of a known locator; see header.h. */
#include "core/header.h"

#include "os/os.h"
#include "os/pages.h"
#include "os/wait.h"

/* ---- The link ----------------------------------------------------------------------------------- */

static uintptr_t link_word(const nb_known *known) {
  return known->base + nb_known_layout(known)->next;
}

uintptr_t nb_header_link(const nb_known *known) {
  return nb_shared_link_acquire(link_word(known));
}

static_assert(sizeof(uintptr_t) == 4 || (24 + NB_FIRST_SLOT * 20 - 8) % 8 == 0,
              "the second copy of the link is aligned, at the end of an item");

/* Where a first locator of ours keeps its link a second time: in the last bytes of the last empty slot. 0: it
 * has no such slot, or a reference has used it. */
static uintptr_t spare_link_word(const nb_known *known) {
  uint32_t first = nb_page_first_slot();
  if (!known->is_first || first == 0 ||
      nb_shared_address_relaxed(nb_known_item(known, first - 1), sizeof(uintptr_t)) != 0) {
    return 0;
  }
  return nb_known_item(known, first) - sizeof(uintptr_t);
}

static uintptr_t spare_link(const nb_known *known) {
  uintptr_t word = spare_link_word(known);
  return word == 0 ? 0 : nb_shared_link_acquire(word);
}

bool nb_header_set_link(const nb_known *known, uintptr_t next) {
  if (!nb_shared_link_set_release(link_word(known), next)) {
    return false;
  }
  uintptr_t spare = spare_link_word(known);
  if (spare != 0) {
    (void)nb_shared_link_set_release(spare, next);
  }
  return true;
}

/* ---- Order -------------------------------------------------------------------------------------- */

static bool can_be_mended(const nb_known *known) {
  return known->is_first && known->dialect != NEARBUF_DIALECT_UNKNOWN &&
         !atomic_load_explicit(&known->is_damaged, memory_order_relaxed);
}

/* Whether the header names another mapping; what cannot be one is damage of another kind. */
static bool is_named_elsewhere(const nb_known *known) {
  uintptr_t named = (uintptr_t)nb_shared_address_relaxed(known->base, sizeof(uintptr_t));
  return named != known->base && named != 0 && named % nb_os_page_size() == 0;
}

/* Each reference clears its own count only. */
static bool is_count_cleared(const nb_known *known) {
  const nb_layout *layout = nb_known_layout(known);
  uint32_t used = atomic_load_explicit(&known->used_slots, memory_order_relaxed);
  uint32_t dotnet = nb_shared_count_acquire(known->base + layout->count_dotnet);
  if (layout->dialect != NEARBUF_DIALECT_RUST) {
    return dotnet < used;
  }
  return nb_format_count(known->base, layout) < used ||
         (known->is_hidden_from_dotnet && dotnet != layout->capacity);
}

/* Whether only one of the two links is there. */
static bool is_link_lost(const nb_known *known) {
  return spare_link_word(known) != 0 && (nb_header_link(known) == 0) != (spare_link(known) == 0);
}

static bool is_cleared(const nb_known *known) {
  return is_named_elsewhere(known) || is_count_cleared(known) || is_link_lost(known);
}

/* Under the lock. The address is last: from then on modules that come later believe the page. */
static void mend(nb_known *known) {
  const nb_layout *layout = nb_known_layout(known);
  uint32_t used = nb_format_used_slots(known->base, layout);
  uint32_t count = nb_known_count(known);
  nb_format_store_count(known->base, layout, used > count ? used : count);
  if (known->is_hidden_from_dotnet) {
    nb_format_hide_from_dotnet(known->base, layout);
  }
  if (is_link_lost(known)) { /* or set by a module that does not know the second place */
    (void)nb_shared_link_set_release(link_word(known), spare_link(known));
    (void)nb_shared_link_set_release(spare_link_word(known), nb_header_link(known));
  }
  if (is_named_elsewhere(known)) {
    nb_shared_address_store_release(known->base, sizeof(uintptr_t), known->base);
  }
}

/* ---- The lock ----------------------------------------------------------------------------------- */

static uintptr_t lock_word(const nb_known *known) {
  return known->base + nb_known_layout(known)->locked;
}

bool nb_header_try_lock(nb_known *known) {
  if (!nb_shared_lock_acquire(lock_word(known))) {
    return false;
  }
  if (can_be_mended(known) && is_cleared(known)) {
    mend(known);
  }
  return true;
}

bool nb_header_lock(nb_known *known) {
  if (nb_header_try_lock(known)) {
    return true;
  }
  nb_wait wait = nb_wait_start();
  while (!atomic_load_explicit(&known->is_given_up, memory_order_relaxed)) {
    bool is_over = !nb_wait_on(&wait);
    if (nb_header_try_lock(known)) {
      return true;
    }
    if (is_over) {
      atomic_store_explicit(&known->is_given_up, true, memory_order_relaxed);
    }
  }
  return false;
}

/* For is_count_cleared. Two threads may store at once, and the smaller number last: at worst a look at the
 * count finds less to mend. */
static void remember_used_slots(nb_known *known) {
  uint32_t count = nb_known_count(known);
  if (count > atomic_load_explicit(&known->used_slots, memory_order_relaxed)) {
    atomic_store_explicit(&known->used_slots, count, memory_order_relaxed);
  }
}

void nb_header_unlock(nb_known *known) {
  if (can_be_mended(known)) {
    remember_used_slots(known);
    if (is_count_cleared(known)) {
      return; /* the reference opened it, and may hold it by now */
    }
  }
  nb_shared_unlock_release(lock_word(known));
}

void nb_header_mend(nb_known *known) {
  if (can_be_mended(known) && is_cleared(known) && nb_header_try_lock(known)) {
    nb_header_unlock(known);
  }
}

void nb_header_start(nb_known *known, bool is_first) {
  const nb_layout *layout = nb_known_layout(known);
  bool is_in_use = is_first && known->dialect != NEARBUF_DIALECT_UNKNOWN;
  uint32_t used = is_in_use ? nb_format_used_slots(known->base, layout) : 0;
  known->is_first = is_first;
  known->is_hidden_from_dotnet = is_in_use && nb_format_is_hidden_from_dotnet(known->base, layout);
  atomic_store_explicit(&known->used_slots, used, memory_order_relaxed);
}
