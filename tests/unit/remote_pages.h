/* An invented process of which only its locators exist: their pages are bytes of the test. What
 * src/remote calls for every walk is defined in remote_pages.c; the tests of walks and of buffers
 * define the rest, each for itself. */
#ifndef NEARBUF_TEST_REMOTE_PAGES_H
#define NEARBUF_TEST_REMOTE_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include <nearbuf/process.h>

#include "base/format.h"
#include "base/result.h"
#include "os/os.h"
#include "refused.h"

enum {
  ID = 42,
  MOST_PAGES = 64,
  /* Addresses in it. */
  AT = 0x10000000, /* of its first locator */
  APART = 0x100000,
  BUFFERS = 0x20000000,
  SIZE = 0x10000 /* of each of its buffers */
};

typedef struct locator_page {
  uint64_t address;
  nearbuf_status reading;
  nearbuf_status sharing;
  _Alignas(8) unsigned char bytes[NBUF_LOCATOR_SIZE];
} locator_page;

typedef struct chain_of_locators {
  locator_page pages[MOST_PAGES];
  int count;
  uint64_t first;
  nearbuf_status finding; /* of the first one */
  nearbuf_dialect if_empty;
  int searches;    /* for the first one */
  bool is_endless; /* behind each locator there is one more */
  int calls;       /* of the library that have not ended */
} chain_of_locators;

extern chain_of_locators chain;
extern nearbuf_process other;

nbuf_os_call invented_call_begin(void);

/* Null: there is none. */
locator_page *page_at(uint64_t address);

/* Of the width of the process. */
const nbuf_layout *layout_of(nearbuf_dialect dialect);
const nbuf_layout *written(void);

/* Of its buffers, which follow each other. */
nbuf_item buffer_item(uint32_t number, uint32_t position);

/* A locator that is in no chain, and one at the end of the chain. */
locator_page *add_page(uint64_t address, const nbuf_layout *layout, const nbuf_item *items,
                       uint32_t count);
locator_page *add_locator(nearbuf_dialect dialect, const nbuf_item *items, uint32_t count);
locator_page *list_written(const nbuf_item *items, uint32_t count);

void set_next(locator_page *page, uint64_t next);
uint64_t next_of(const locator_page *page);
void set_word(locator_page *page, uint32_t offset, uint32_t word);
uint32_t word_of(const locator_page *page, uint32_t offset);
void set_item(locator_page *page, uint32_t index, const nbuf_item *item);

#endif
