/* The pages that locators live in: names, files, trust, fork. A second contract beside os.h; the
 * POSIX systems fulfil it with files (posix/pages.c), Windows with sections (windows/pages.c).
 * The reasons for each rule are in docs/decisions: 9 to 16, for Windows 18.
 *
 * Nobody ever sees a page before it is complete. A page that exists is believed only if it is proved
 * that this process has it mapped, at the address its header names. */
#ifndef NB_PAGES_H
#define NB_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/format.h"
#include "base/result.h"
#include "base/unshared.h"

typedef struct nb_page {
  uintptr_t base;
  nearbuf_dialect
      dialect_if_empty;   /* the dialect of a reference that made it, should it have no items */
  bool is_made;           /* this call made it */
  bool is_private;        /* no other process can find it */
  int32_t private_reason; /* the system's code of what stood in the way of a shared one */
  void *handle;           /* the port's own, for nb_page_discard */
} nb_page;

/* What a new page lists from the start. */
typedef struct nb_initial_items {
  const nb_layout *layout;
  const nb_item *items;
  uint32_t count;
} nb_initial_items;

/* Finds the first locator of this process, whoever made it, and does not make one: NOT_FOUND. Whoever
 * wants a private one does not pay for a search of the memory map, so that a reference's locator whose
 * name is gone is not found. */
nb_result nb_page_find(bool wants_private, nb_page *page);

/* To be called when nb_page_find has just found none: makes it with the items of the seed, or finds
 * what somebody made meanwhile. Exactly one of any number of callers in one process, in any number of
 * copies of the library, makes it. INCOMPATIBLE, OUT_OF_MEMORY, DENIED,
 * BUSY, SYSTEM_ERROR. */
nb_result nb_page_find_or_make(const nb_initial_items *initial, bool wants_private, nb_page *page);

/* Makes the page of a later locator, findable by other processes unless `is_private`. It is not in
 * the chain yet; nb_page_discard takes it back. */
nb_result nb_page_make_later(const nb_initial_items *initial, bool is_private, nb_page *page);
void nb_page_discard(const nb_page *page);

/* Where the header of a page that is mapped for reading and writing names another mapping of the same page:
 * lets it name this one again. A reference that was starting took the page for its own. */
void nb_page_restore_address(uintptr_t base);

/* Whether a new first page lists buffers of its own beyond the seed (the rest of the granule). */
bool nb_page_lists_tail(void);

/* The slot of the first buffer in a first page; those before it are empty. On POSIX systems a reference
 * that was starting when the page was published can take it for its own, at any time later: it clears the
 * header, and puts its buffers into the slots from the first one on. So many find room before the first one
 * of ours; the header is in order again long before (header.h). The slot lies on one cache line, which
 * no other thread's home shares. */
enum { NB_FIRST_SLOT = NB_UNSHARED_INDEX + 32 };

static inline uint32_t nb_page_first_slot(void) {
  return nb_page_lists_tail() ? 0 : NB_FIRST_SLOT;
}

/* Keeps the page of a locator that this process attached to out of children, as those that it makes
 * are: no child may store into it. Answers whether the page is one that must be kept out; where the
 * system cannot do it, nb_page_leave_full_stub does. */
bool nb_page_keep_from_children(uintptr_t base);

/* In a child: puts a private page where an inherited locator was kept out, full and without items,
 * for those who still have its address. What is there already stays. */
void nb_page_leave_full_stub(uintptr_t base);

/* In a child: links the child's first locator behind such a full_stub, if it is one. */
void nb_page_link_full_stub(uintptr_t full_stub, uintptr_t first);

#endif
