/* The anchor: a word in this process's own memory, at an address that every copy of the library
 * knows, which says where the first locator is. Names and files can be removed, refused or shared
 * with other processes; the anchor cannot:
 *
 *   - of several makers exactly one is the first, whatever became of their files;
 *   - a private locator has no name, and is found by it alone;
 *   - a child's anchor is empty, however it was forked, whatever its process id is;
 *   - a child of vfork, which shares the memory and has another id, finds its parent's. */
#ifndef NB_POSIX_ANCHOR_H
#define NB_POSIX_ANCHOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"

/* Two pages at the first of a few addresses that is free: the first page starts with a mark, by which
 * it is recognised, and the second one with the word and, behind it, the id of the process whose word
 * it is. The mark says what a child finds: the second page empty; neither page; or its parent's word,
 * so that the id counts. */
enum {
  NB_ANCHOR_WIPED = 0x6162626e,
  NB_ANCHOR_INHERITED = 0x6162626f,
  NB_ANCHOR_ABSENT = 0x61626270
};

/* The places in a process with addresses of `width` bytes, in the order in which they are tried; 0:
 * there are no more. Sanitizers demand most of the address space for themselves, some after the first
 * call of a library that is loaded early. What they all leave to programs, and where neither systems
 * nor runtimes of languages demand anything, is a few GiB near the top. How many bits addresses have
 * differs from machine to machine: the highest place that the system gives is the one.
 * docs/anchor-places.md has the tables. */
static inline uint64_t nb_anchor_place(uint32_t width, uint32_t index) {
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

/* The word: the address of the locator's page, and below that what else is known of it. */
enum {
  NB_ANCHOR_PRIVATE = 1,
  NB_ANCHOR_EMPTY_SHIFT = 1, /* the dialect of one without items, as in pages.h */
  NB_ANCHOR_EMPTY_MASK = 3,
  NB_ANCHOR_BELOW_ADDRESS = 4095
};

/* Finds the word. NOT_FOUND: there is none. Else OUT_OF_MEMORY, SYSTEM_ERROR. */
nb_result nb_anchor_find(_Atomic uintptr_t **word);

/* For the fork handler: empties the word, should it be the parent's still. Systems forget what they were
 * asked to wipe (checkpoints restored by CRIU before 4.2). `locator` is what the parent's word led to. */
void nb_anchor_forked(uintptr_t locator);

/* Whether there may be a private locator to which no anchor leads, so that only the name of its mapping
 * does: there can be no anchor, or a thread has been stopped while it made one. */
bool nb_anchor_may_be_missing(void);

/* Makes the word (0), or finds one that is there by now. To be called after nb_anchor_find, which sees
 * one at any of the places: here the first place that is free decides. NOT_FOUND: there is none: this system ignores demands for addresses, or all the places are taken. */
nb_result nb_anchor_make(_Atomic uintptr_t **word);

#endif
