/* What children of fork find where a locator was; see full_stub.h. */
#include "os/posix/full_stub.h"

#include <sys/mman.h>

#include "base/format.h"
#include "os/pages.h"
#include "os/posix/files.h"
#include "os/posix/mapped.h"
#include "os/posix/posix.h"

static const nbuf_layout *header_layout(void) {
  return nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
}

/* Whether the bytes, which are mapped, are those of a full stub. */
static bool looks_like_full_stub(uintptr_t base) {
  return nbuf_shared_address_relaxed(base, sizeof(uintptr_t)) == base &&
         nbuf_format_count(base, header_layout()) == header_layout()->capacity &&
         nbuf_item_read(nbuf_item_at(base, header_layout(), 0), header_layout()).base == 0;
}

static bool is_full_stub(uintptr_t base) {
  nbuf_mapping mapping;
  return nbuf_mapping_at(base, &mapping).status == NEARBUF_OK && !mapping.shared &&
         mapping.inode == 0 && mapping.readable && mapping.writable && looks_like_full_stub(base);
}

bool nbuf_full_stub_or_nothing_is_at(uintptr_t base) {
  return !nbuf_posix_may_be_mapped(base) || (looks_like_full_stub(base) && is_full_stub(base));
}

/* A child must never see a locator's own mapping: one page of a file, or shared memory. A locator
 * of another implementation may lie on its heap, or share its page with buffers that contain code:
 * those stay. */
bool nbuf_page_keep_from_children(uintptr_t base) {
  size_t size = nbuf_os_page_size();
  uintptr_t page = nbuf_align_down(base, size);
  nbuf_mapping mapping;
  if (nbuf_mapping_at(page, &mapping).status != NEARBUF_OK || !mapping.shared ||
      mapping.range.min > page || mapping.range.max - page < size - 1) {
    return false;
  }
  nbuf_file_keep_from_children(page);
  return true;
}

/* Unmaps the page if a child inherited it as a shared mapping. */
static void unmap_inherited(uintptr_t page) {
  nbuf_mapping mapping;
  if (nbuf_mapping_at(page, &mapping).status == NEARBUF_OK && mapping.shared) {
    (void)munmap((void *)page, nbuf_os_page_size());
  }
}

void nbuf_page_leave_full_stub(uintptr_t base) {
  size_t size = nbuf_os_page_size();
  uintptr_t page = nbuf_align_down(base, size);
  if (nbuf_file_is_inherited()) {
    unmap_inherited(page);
  }
  if (nbuf_posix_map_at(page, size, PROT_READ | PROT_WRITE) != 0) {
    return;
  }
  for (uintptr_t each = page; each < page + size; each += NBUF_LOCATOR_SIZE) {
    nbuf_format_build(each, header_layout(), each, NULL, 0);
    nbuf_format_store_count(each, header_layout(), header_layout()->capacity);
  }
}

/* Chains of full stubs grow with the depth of forks. */
enum { MOST_FULL_STUBS = 4096 };

void nbuf_page_link_full_stub(uintptr_t full_stub, uintptr_t first) {
  uintptr_t at = full_stub;
  for (int i = 0; i < MOST_FULL_STUBS && at != first && is_full_stub(at); i++) {
    uintptr_t link = at + header_layout()->next;
    if (nbuf_shared_link_set_release(link, first)) {
      return;
    }
    at = nbuf_shared_link_acquire(link);
  }
}
