/* See remote_pages.h. */
#include "remote_pages.h"

#include <string.h>

#include "remote/port.h"
#include "remote/process.h"
#include "test.h"

chain_of_locators chain;
nearbuf_process other = {.id = ID, .address_bits = 8 * sizeof(void *)};

/* ---- What src/remote calls ------------------------------------------------------------------- */

locator_page *page_at(uint64_t address) {
  for (int i = 0; i < chain.count; i++) {
    if (chain.pages[i].address == address) {
      return &chain.pages[i];
    }
  }
  return NULL;
}

nbuf_os_call invented_call_begin(void) {
  chain.calls++;
  return (nbuf_os_call){0};
}

bool nbuf_process_is_open(const nearbuf_process *process) {
  return process != NULL && process->id != 0;
}

nearbuf_status nbuf_process_call_end(nearbuf_process *process, nbuf_result result,
                                     nbuf_os_call call) {
  (void)call;
  chain.calls--;
  process->system_error = result.system_error;
  return result.status;
}

uint32_t nbuf_process_width(const nearbuf_process *process) {
  return process->address_bits == 0 ? (uint32_t)sizeof(uintptr_t) : process->address_bits / 8;
}

nbuf_result nbuf_remote_first(nearbuf_process *process, uint64_t *address,
                              nearbuf_dialect *dialect_if_empty) {
  CHECK_EQUAL(ID, process->id);
  chain.searches++;
  *address = chain.first;
  *dialect_if_empty = chain.if_empty;
  if (chain.finding == NEARBUF_OK && chain.first == 0) {
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  return failed_if(chain.finding);
}

nbuf_result nbuf_remote_image(const nearbuf_process *process, uint64_t address,
                              unsigned char image[NBUF_LOCATOR_SIZE]) {
  const nbuf_layout *layout = nbuf_layout_of(nbuf_process_width(process), NEARBUF_DIALECT_WRITTEN);
  if (chain.is_endless) {
    const nbuf_item item = {.base = BUFFERS, .size = 16, .position = 16};
    nbuf_format_build((uintptr_t)image, layout, address, &item, 1);
    nbuf_shared_address_store_release((uintptr_t)image + layout->next, layout->width,
                                      address + NBUF_LOCATOR_SIZE);
    return nbuf_result_of(NEARBUF_OK);
  }
  const locator_page *page = page_at(address);
  if (page == NULL) {
    return nbuf_result_of(NEARBUF_NOT_MAPPED);
  }
  memcpy(image, page->bytes, NBUF_LOCATOR_SIZE);
  return failed_if(page->reading);
}

/* ---- Its locators ---------------------------------------------------------------------------- */

const nbuf_layout *layout_of(nearbuf_dialect dialect) {
  return nbuf_layout_of(nbuf_process_width(&other), dialect);
}

const nbuf_layout *written(void) {
  return layout_of(NEARBUF_DIALECT_WRITTEN);
}

nbuf_item buffer_item(uint32_t number, uint32_t position) {
  return (nbuf_item){.base = BUFFERS + number * (uint64_t)SIZE, .size = SIZE, .position = position};
}

locator_page *add_page(uint64_t address, const nbuf_layout *layout, const nbuf_item *items,
                       uint32_t count) {
  CHECK(chain.count < MOST_PAGES);
  locator_page *page = &chain.pages[chain.count++];
  *page = (locator_page){.address = address};
  nbuf_format_build((uintptr_t)page->bytes, layout, address, items, count);
  return page;
}

void set_next(locator_page *page, uint64_t next) {
  nbuf_shared_address_store_release((uintptr_t)page->bytes + written()->next, written()->width,
                                    next);
}

uint64_t next_of(const locator_page *page) {
  return nbuf_shared_address_relaxed((uintptr_t)page->bytes + written()->next, written()->width);
}

void set_word(locator_page *page, uint32_t offset, uint32_t word) {
  nbuf_shared_store_relaxed((uintptr_t)page->bytes + offset, word);
}

uint32_t word_of(const locator_page *page, uint32_t offset) {
  return nbuf_shared_load_relaxed((uintptr_t)page->bytes + offset);
}

void set_item(locator_page *page, uint32_t index, const nbuf_item *item) {
  nbuf_item_write(nbuf_item_at((uintptr_t)page->bytes, written(), index), written(), item);
}

/* At the end of the chain. */
locator_page *add_locator(nearbuf_dialect dialect, const nbuf_item *items, uint32_t count) {
  uint64_t address = AT + (uint64_t)chain.count * APART;
  locator_page *page = add_page(address, layout_of(dialect), items, count);
  if (chain.count == 1) {
    chain.first = address;
  } else {
    set_next(page - 1, address);
  }
  return page;
}

locator_page *list_written(const nbuf_item *items, uint32_t count) {
  return add_locator(NEARBUF_DIALECT_WRITTEN, items, count);
}
