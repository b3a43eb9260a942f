/* The header of a known locator; see header.h. */
#include "core/header.h"

#include "core/probe.h"
#include "os/os.h"
#include "os/pages.h"
#include "os/wait.h"

/* ---- The link -------------------------------------------------------------------------------- */

static uintptr_t link_word(const nbuf_locator *locator) {
  return locator->base + nbuf_locator_layout(locator)->next;
}

static_assert(sizeof(uintptr_t) == 4 || (24 + NBUF_FIRST_SLOT * 20 - 8) % 8 == 0,
              "the second copy of the link is aligned, at the end of an item");

/* The address of the second copy of the link, which a first locator of ours keeps in the last bytes
 * of its last empty slot. 0: it has no such slot, or another implementation has used it. */
static uintptr_t spare_link_word(const nbuf_locator *locator) {
  uintptr_t last = nbuf_locator_item(locator, NBUF_FIRST_SLOT - 1);
  if (!locator->is_first || nbuf_shared_address_relaxed(last, sizeof(uintptr_t)) != 0) {
    return 0;
  }
  return nbuf_locator_item(locator, NBUF_FIRST_SLOT) - sizeof(uintptr_t);
}

static uintptr_t spare_link(const nbuf_locator *locator) {
  uintptr_t word = spare_link_word(locator);
  return word == 0 ? 0 : nbuf_shared_link_acquire(word);
}

bool nbuf_header_set_link(const nbuf_locator *locator, uintptr_t next) {
  if (!nbuf_shared_link_set_release(link_word(locator), next)) {
    return false;
  }
  uintptr_t spare = spare_link_word(locator);
  if (spare != 0) {
    (void)nbuf_shared_link_set_release(spare, next);
  }
  return true;
}

/* ---- Order ----------------------------------------------------------------------------------- */

static bool can_be_mended(const nbuf_locator *locator) {
  return locator->is_first && locator->dialect != NEARBUF_DIALECT_UNKNOWN &&
         !atomic_load_explicit(&locator->is_damaged, memory_order_relaxed);
}

/* Whether the header contains the address of another mapping. An address that cannot be one is
 * damage of another kind. */
static bool is_named_elsewhere(const nbuf_locator *locator) {
  uintptr_t named = (uintptr_t)nbuf_shared_address_relaxed(locator->base, sizeof(uintptr_t));
  return named != locator->base && named != 0 && named % nbuf_os_page_size() == 0;
}

/* The .NET and the Rust implementation each clear only their own count. */
static bool is_count_cleared(const nbuf_locator *locator) {
  const nbuf_layout *layout = nbuf_locator_layout(locator);
  uint32_t used = atomic_load_explicit(&locator->used_slots, memory_order_relaxed);
  uint32_t dotnet = nbuf_shared_count_acquire(locator->base + layout->count_dotnet);
  if (layout->dialect != NEARBUF_DIALECT_RUST) {
    return dotnet < used;
  }
  return nbuf_format_count(locator->base, layout) < used ||
         (locator->is_hidden_from_dotnet && dotnet != layout->capacity);
}

/* Whether only one of the two copies of the link is set. */
static bool is_link_lost(const nbuf_locator *locator) {
  return spare_link_word(locator) != 0 &&
         (nbuf_header_link(locator) == 0) != (spare_link(locator) == 0);
}

static bool is_cleared(const nbuf_locator *locator) {
  return is_named_elsewhere(locator) || is_count_cleared(locator) || is_link_lost(locator);
}

/* The number of items if another library may have cleared the count. A slot behind the count is
 * counted if it lists memory that can be read: a module may have protected its buffer against
 * writing, but no buffer is inaccessible. */
static uint32_t count_by_slots(const nbuf_locator *locator) {
  const nbuf_layout *layout = nbuf_locator_layout(locator);
  uint32_t count = nbuf_locator_count(locator);
  uint32_t by_slots = nbuf_format_count_by_slots(locator->base, layout, locator->base);
  for (uint32_t i = count; i < by_slots; i++) {
    nbuf_item item = nbuf_item_read(nbuf_locator_item(locator, i), layout);
    if (item.base != 0 &&
        nbuf_probe_readable((uintptr_t)item.base, item.size).status == NEARBUF_NOT_FOUND) {
      return count;
    }
  }
  return by_slots;
}

/* Whether a link leads to a page whose header contains that page's address. */
static bool leads_to_locator(uintptr_t link) {
  return link != 0 && link % sizeof link == 0 && link <= UINTPTR_MAX - NBUF_LOCATOR_SIZE &&
         nbuf_probe_writable(link, NBUF_LOCATOR_SIZE).status == NEARBUF_OK &&
         nbuf_shared_address_acquire(link, sizeof link) == link;
}

/* Stores the missing copy of the link: the header's, which another library cleared, or the second
 * one, which the module that set the first does not know. */
static void mend_link(const nbuf_locator *locator) {
  uintptr_t link = nbuf_header_link(locator);
  uintptr_t spare = spare_link(locator);
  if (leads_to_locator(link != 0 ? link : spare)) {
    (void)nbuf_shared_link_set_release(link != 0 ? spare_link_word(locator) : link_word(locator),
                                       link != 0 ? link : spare);
  }
}

/* The caller holds the lock. The address is stored last: from then on modules that attach later
 * accept the page. */
static void mend(nbuf_locator *locator) {
  const nbuf_layout *layout = nbuf_locator_layout(locator);
  nbuf_format_store_count(locator->base, layout, count_by_slots(locator));
  if (locator->is_hidden_from_dotnet) {
    nbuf_format_hide_from_dotnet(locator->base, layout);
  }
  if (is_link_lost(locator)) {
    mend_link(locator);
  }
  if (is_named_elsewhere(locator)) {
    nbuf_shared_address_store_release(locator->base, sizeof(uintptr_t), locator->base);
  }
}

/* ---- The lock -------------------------------------------------------------------------------- */

static uintptr_t lock_word(const nbuf_locator *locator) {
  return locator->base + nbuf_locator_layout(locator)->locked;
}

/* For the holder of the lock. */
static void mend_if_cleared(nbuf_locator *locator) {
  if (can_be_mended(locator) && is_cleared(locator)) {
    mend(locator);
  }
}

bool nbuf_header_try_lock(nbuf_locator *locator) {
  bool is_locked = nbuf_shared_lock_acquire(lock_word(locator));
  if (is_locked) {
    mend_if_cleared(locator);
  }
  return is_locked;
}

bool nbuf_header_lock(nbuf_locator *locator) {
  bool is_locked = nbuf_wait_for_lock(lock_word(locator), &locator->is_given_up);
  if (is_locked) {
    mend_if_cleared(locator);
  }
  return is_locked;
}

/* For is_count_cleared. Two threads may store at the same time, the smaller number last: at worst a
 * later check of the count finds less to restore. */
static void remember_used_slots(nbuf_locator *locator) {
  uint32_t count = nbuf_locator_count(locator);
  if (count > atomic_load_explicit(&locator->used_slots, memory_order_relaxed)) {
    atomic_store_explicit(&locator->used_slots, count, memory_order_relaxed);
  }
}

void nbuf_header_unlock(nbuf_locator *locator) {
  if (can_be_mended(locator)) {
    remember_used_slots(locator);
    if (is_count_cleared(locator)) {
      return; /* the other implementation cleared the lock, and may hold it now */
    }
  }
  nbuf_shared_unlock_release(lock_word(locator));
}

void nbuf_header_mend(nbuf_locator *locator) {
  if (can_be_mended(locator) && is_cleared(locator) && nbuf_header_try_lock(locator)) {
    nbuf_header_unlock(locator);
  }
}

void nbuf_header_start(nbuf_locator *locator, bool is_first) {
  const nbuf_layout *layout = nbuf_locator_layout(locator);
  bool is_in_use = is_first && locator->dialect != NEARBUF_DIALECT_UNKNOWN;
  uint32_t used = is_in_use ? count_by_slots(locator) : 0;
  locator->is_first = is_first;
  locator->is_hidden_from_dotnet =
      is_in_use && nbuf_format_is_hidden_from_dotnet(locator->base, layout);
  atomic_store_explicit(&locator->used_slots, used, memory_order_relaxed);
}
