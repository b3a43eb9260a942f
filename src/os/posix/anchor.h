/* The anchor: a word in this process's own memory, at an address that every copy of the library
 * knows, which leads to the first locator.
 *
 *   nbuf_anchor_place(...)                  + one page
 *   [ mark | unused                      ][ word | process id | unused        ]
 *                                           address of the locator's page + bits below 4096
 *
 * Names and files can be removed, refused or shared with other processes; the anchor cannot:
 *
 *   - of several makers exactly one is the first, whatever happens to their files;
 *   - a private locator has no name, and only the anchor leads to it;
 *   - a child's anchor is empty, however it was forked, whatever its process id is;
 *   - a child of vfork, which shares the memory and has another id, finds its parent's. */
#ifndef NBUF_POSIX_ANCHOR_H
#define NBUF_POSIX_ANCHOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"

/* Two pages at the first of a few addresses that is free. The first page starts with a mark, which
 * identifies the anchor; the second one with the word, followed by the id of the process that owns
 * it. The mark says what a child finds: the second page empty; neither page; or its parent's word,
 * so that the id must be checked. */
enum {
  NBUF_ANCHOR_WIPED = 0x6162626e,
  NBUF_ANCHOR_INHERITED = 0x6162626f,
  NBUF_ANCHOR_ABSENT = 0x61626270
};

/* The places in a process with addresses of `width` bytes, in the order in which they are tried; 0:
 * there are no more. Sanitizers reserve most of the address space, some of them after the first
 * call of a library that is loaded early. What all of them leave to programs, and what neither
 * systems nor language runtimes reserve, is a few GiB near the top. The number of address bits
 * differs between machines: the highest place that the system gives is used. docs/anchor-places.md
 * has the tables. */
static inline uint64_t nbuf_anchor_place(uint32_t width, uint32_t index) {
  enum { IN_A_ROW = 4, DISTANCE = 0x40000 };
  static const uint64_t narrow[] = {UINT64_C(0x6e620000)};
#if defined(__aarch64__) && !defined(__APPLE__)
  static const uint64_t wide[] = {UINT64_C(0xffff2e620000), UINT64_C(0x3ff2e620000),
                                  UINT64_C(0x7f2e620000)};
#elif defined(__s390x__)
  static const uint64_t wide[] = {UINT64_C(0x3ff2e620000)};
#elif defined(__powerpc64__)
  static const uint64_t wide[] = {UINT64_C(0x7e9e62000000), UINT64_C(0x3e9e62000000)};
#else
  static const uint64_t wide[] = {UINT64_C(0x7e9e62000000), UINT64_C(0x3e62000000)};
#endif
  const uint64_t *rows = width == 4 ? narrow : wide;
  uint32_t count = width == 4 ? sizeof narrow / sizeof narrow[0] : sizeof wide / sizeof wide[0];
  uint32_t row = index / IN_A_ROW;
  return row < count ? rows[row] + (uint64_t)(index % IN_A_ROW) * DISTANCE : 0;
}

/* The word: the address of the locator's page, and in the bits below it what else is known of
 * it. */
enum {
  NBUF_ANCHOR_PRIVATE = 1,
  NBUF_ANCHOR_EMPTY_SHIFT = 1, /* dialect_if_empty of pages.h */
  NBUF_ANCHOR_EMPTY_MASK = 3,
  NBUF_ANCHOR_BELOW_ADDRESS = 4095
};

/* Finds the word. NOT_FOUND: there is none. Else OUT_OF_MEMORY, SYSTEM_ERROR. */
nbuf_result nbuf_anchor_find(_Atomic uintptr_t **word);

/* For the fork handler: empties the word if it is still the parent's. Systems can forget what they
 * were to wipe (checkpoints restored by CRIU before 4.2). `locator` is the page to which the
 * parent's word led. */
void nbuf_anchor_forked(uintptr_t locator);

/* Whether there may be a private locator to which no anchor leads, only the name of its mapping: an
 * anchor is impossible, or a thread was stopped while making it. */
bool nbuf_anchor_may_be_missing(void);

/* Makes the word (0), or finds one that exists by now. To be called after nbuf_anchor_find, which
 * finds it at any of the places: here the first free place decides. NOT_FOUND: there is none, since
 * this system ignores requested addresses, or all the places are occupied. */
nbuf_result nbuf_anchor_make(_Atomic uintptr_t **word);

#endif
