/* The pages that contain locators: names, files, trust, fork. A second contract beside os.h; the
 * POSIX systems implement it with files (posix/pages.c), Windows with sections (windows/pages.c).
 * The reasons for each rule are in docs/decisions: 9 to 16, for Windows 18.
 *
 *   POSIX    [ locator | later locators, if a page is larger than 4096 bytes ]
 *            a first locator: [ header | slots 0-37, empty (64 bits, lines of 64 bytes) | items ]
 *   Windows  [ locator | buffers of at most 16384 bytes, to the end of the 64 KiB ]
 *
 * All modules of the process share a page, and other processes may. A page is visible only when it
 * is complete. An existing page is accepted only if it is proved that this process has it mapped,
 * at the address in its header. */
#ifndef NB_PAGES_H
#define NB_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/format.h"
#include "base/result.h"
#include "base/unshared.h"

typedef struct nb_page {
  uintptr_t base;
  nearbuf_dialect dialect_if_empty; /* of the implementation that made it, if it has no items */
  bool is_made;                     /* this call made it */
  bool is_private;                  /* no other process can find it */
  int32_t private_reason;           /* the system's code that prevented a shared one */
  void *handle;                     /* the port's own, for nb_page_discard */
} nb_page;

/* The items that a new page lists when it is published. */
typedef struct nb_initial_items {
  const nb_layout *layout;
  const nb_item *items;
  uint32_t count;
} nb_initial_items;

/* Finds the first locator of this process, whichever library made it, and does not make one:
 * NOT_FOUND. With `wants_private` the memory map is not searched, to save its cost: a locator of
 * another implementation whose name is gone is then not found. Other failures: as
 * nb_page_find_or_make. */
nb_result nb_page_find(bool wants_private, nb_page *page);

/* To be called when nb_page_find has just found none: makes a page with the initial items, or finds
 * one that was made meanwhile. Of any number of callers in one process, in any number of copies of
 * the library, exactly one makes it. INCOMPATIBLE, OUT_OF_MEMORY, DENIED, BUSY, SYSTEM_ERROR. */
nb_result nb_page_find_or_make(const nb_initial_items *initial, bool wants_private, nb_page *page);

/* Makes the page of a later locator, which other processes can find unless `is_private`. It is not
 * in the chain yet; nb_page_discard unmaps it and removes its name. */
nb_result nb_page_make_later(const nb_initial_items *initial, bool is_private, nb_page *page);
void nb_page_discard(const nb_page *page);

/* If the header of a page, which is mapped for reading and writing, contains the address of another
 * mapping of the same page, stores the address of this one: another implementation that was
 * starting took the page for its own. */
void nb_page_restore_address(uintptr_t base);

/* Whether a new first page lists further buffers beside the initial items (the rest of the
 * granule). */
bool nb_page_lists_tail(void);

/* The slot of the first item in a first page; the slots before it are empty. On POSIX systems
 * another implementation that was starting when the page was published can take it for its own at
 * any later time: it clears the header, and puts its items into the slots from the first one on.
 * That many fit before the first one of ours; the header is restored long before (header.h). The
 * slot is an unshared one. */
enum { NB_FIRST_SLOT = NB_UNSHARED_INDEX + 32 };

static inline uint32_t nb_page_first_slot(void) {
  return nb_page_lists_tail() ? 0 : NB_FIRST_SLOT;
}

/* Keeps the page of a locator to which this process attached out of children, as those that it
 * makes are: a child must not store into it. Returns whether it is a page that must be kept out;
 * where the system cannot do that, nb_page_leave_full_stub does. */
bool nb_page_keep_from_children(uintptr_t base);

/* In a child: maps a private page, full and without items, where an inherited locator was, for
 * modules that still use its address. If something is mapped there, that stays. */
void nb_page_leave_full_stub(uintptr_t base);

/* In a child: links the child's first locator behind such a full stub, if it is one. */
void nb_page_link_full_stub(uintptr_t full_stub, uintptr_t first);

#endif
