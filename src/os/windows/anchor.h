/* The anchor on Windows: a word in this process's own memory, at an address that every copy of the
 * library knows, which leads to the first locator; posix/anchor.h has the idea.
 *
 *   [ mark | word | unused      one page     ][ one page ]    at the first free place
 *
 * Objects of another kind can have the names of sections, sandboxed processes cannot use names, and
 * a name goes with its last handle, which a stray CloseHandle may close. The anchor decides between
 * several makers, none of which waits for another one, and leads to a locator without a name. */
#ifndef NBUF_WINDOWS_ANCHOR_H
#define NBUF_WINDOWS_ANCHOR_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/result.h"

enum {
  NBUF_ANCHOR_MARK = 0x6162626e,
  NBUF_ANCHOR_WORD_AT = 8,
  NBUF_ANCHOR_SIZE = 2 * 4096, /* the committed part, which identifies an anchor without a mark */
  NBUF_ANCHOR_PRIVATE = 1,     /* in the word, below the address of the locator's page */
  NBUF_ANCHOR_BELOW_ADDRESS = 4095
};

/* The places in a process with addresses of `width` bytes, in the order in which they are tried; 0:
 * there are no more. In 64 bits they are far above the addresses that the system gives from below
 * with high entropy, and far below images, heaps and the bitmap of control-flow guard; the second
 * row is for systems with 43 bits. */
static inline uint64_t nbuf_anchor_place(uint32_t width, uint32_t index) {
  enum { IN_A_ROW = 4, DISTANCE = 0x40000 };
  const uint64_t row = width == 4         ? UINT64_C(0x6e620000)
                       : index < IN_A_ROW ? UINT64_C(0x6e6200000000)
                                          : UINT64_C(0x6e620000000);
  uint32_t rows = width == 4 ? 1 : 2;
  return index < rows * IN_A_ROW ? row + (uint64_t)(index % IN_A_ROW) * DISTANCE : 0;
}

/* Finds the word. NOT_FOUND: there is none. SYSTEM_ERROR: it is unknown. */
nbuf_result nbuf_anchor_find(_Atomic uintptr_t **word);

/* Makes the word (0), or finds one. NOT_FOUND: all the places are occupied. OUT_OF_MEMORY,
 * SYSTEM_ERROR. */
nbuf_result nbuf_anchor_make(_Atomic uintptr_t **word);

#endif
