/* The pages that contain locators: names, files, trust, fork. A second contract beside os.h; the
 * POSIX systems implement it with files (posix/pages.c), Windows with sections (windows/pages.c).
 * The reasons for each rule are in docs/decisions: 9 to 16, for Windows 18.
 *
 *   POSIX    [ locator | later locators, if a page is larger than 4096 bytes ]
 *   Windows  [ locator | of a later one: buffers of at most 16384 bytes, to the end of the 64 KiB ]
 *   a first locator: [ header | slots 0-37, empty (64 bits, lines of 64 bytes) | items ]
 *
 * All modules of the process share a page, and other processes may. A page is visible only when it
 * is complete. An existing page is accepted only if it is proved that this process has it mapped,
 * at the address in its header. */
#ifndef NBUF_PAGES_H
#define NBUF_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/format.h"
#include "base/result.h"
#include "base/unshared.h"

typedef struct nbuf_page {
  uintptr_t base;
  nearbuf_dialect dialect_if_empty; /* of the implementation that made it, if it has no items */
  bool is_made;                     /* this call made it */
  bool is_private;                  /* no other process can find it */
  int32_t private_reason;           /* the system's code that prevented a shared one */
  void *handle;                     /* the port's own, for nbuf_page_discard */
} nbuf_page;

/* The items that a new page lists when it is published. */
typedef struct nbuf_initial_items {
  const nbuf_layout *layout;
  const nbuf_item *items;
  uint32_t count;
} nbuf_initial_items;

/* Finds the first locator of this process, whichever library made it, and does not make one:
 * NOT_FOUND. With `wants_private` the memory map is not searched, to save its cost: a locator of
 * another implementation whose name is gone is then not found. Other failures: as
 * nbuf_page_find_or_make. */
nbuf_result nbuf_page_find(bool wants_private, nbuf_page *page);

/* To be called when nbuf_page_find has just found none: makes a page with the initial items, or
 * finds one that was made meanwhile. Of any number of callers in one process, in any number of
 * copies of the library, exactly one makes it. INCOMPATIBLE, OUT_OF_MEMORY, DENIED, BUSY,
 * SYSTEM_ERROR. */
nbuf_result nbuf_page_find_or_make(const nbuf_initial_items *initial, bool wants_private,
                                   nbuf_page *page);

/* Makes the page of a later locator, which other processes can find unless `is_private`. It is not
 * in the chain yet; nbuf_page_discard unmaps it and removes its name. */
nbuf_result nbuf_page_make_later(const nbuf_initial_items *initial, bool is_private,
                                 nbuf_page *page);
void nbuf_page_discard(const nbuf_page *page);

/* If the header of a page, which is mapped for reading and writing, contains the address of another
 * mapping of the same page, stores the address of this one: another implementation that was
 * starting took the page for its own. */
void nbuf_page_restore_address(uintptr_t base);

/* Whether a later page lists further buffers beside the initial items: the rest of the granule. */
bool nbuf_page_lists_tail(void);

/* The slot of the first item in a first page; the slots before it are empty. Another implementation
 * that was starting when the page was published can take it for its own at any later time: it
 * clears the header, and puts its items into the slots from the first one on, on Windows those of
 * the rest of the granule first. That many fit before the first one of ours; the header is restored
 * long before (header.h). The slot is an unshared one. */
enum { NBUF_FIRST_SLOT = NBUF_UNSHARED_INDEX + 32 };

/* Keeps the page of a locator to which this process attached out of children, as those that it
 * makes are: a child must not store into it. Returns whether it is a page that must be kept out;
 * where the system cannot do that, nbuf_page_leave_full_stub does. */
bool nbuf_page_keep_from_children(uintptr_t base);

/* In a child: maps a private page, full and without items, where an inherited locator was, for
 * modules that still use its address. If something is mapped there, that stays. */
void nbuf_page_leave_full_stub(uintptr_t base);

/* In a child: links the child's first locator behind such a full stub, if it is one. */
void nbuf_page_link_full_stub(uintptr_t full_stub, uintptr_t first);

#endif
