/* Regions: memory that is mapped at a place that suits a request. The buffers that locators list
 * and private memory are made of them.
 *
 *          start                             end           clear_until
 *   --------[ region ][ region ][   region   ]-------------------|- - [ stack
 *           '------------- a span ----------'   more may follow
 *
 * Each copy of the library keeps a search memo of its own: up to 16 spans, beside which the next
 * region is placed without a search, up to 32 holes that freed regions left in them, and up to 8
 * ranges that were searched in vain.
 *
 * A thread claims the place beside a span, or in a hole, before it maps memory there: under the
 * memo's lock the span is extended, or the hole made smaller. So threads do not try the same place.
 * A claim has no owner: if its thread dies, the place is one that only a search finds. */
#ifndef NBUF_REGIONS_H
#define NBUF_REGIONS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/holes.h"
#include "base/placement.h"
#include "base/result.h"

/* Regions that touch, which the system keeps as one mapping, and why they are where they are. The
 * first span may begin without one, at the start of a module. */
typedef struct nbuf_span {
  uintptr_t start;
  uintptr_t end;         /* exclusive; equal to start: it has no region, or none any more */
  uintptr_t clear_until; /* the addresses up to here were free, and no stack grows into them */
  uintptr_t origin;      /* the origin of the search that found it */
  uintptr_t distance;    /* from that origin: no gap was nearer, or none is looked for */
  uint64_t valid_until;  /* nanoseconds: until then the search need not be repeated */
  uintptr_t refused[2];  /* the size that did not fit below and above; 0: none */
} nbuf_span;

/* Addresses among which a size was not free when they were searched. */
typedef struct nbuf_searched {
  nbuf_range range;
  uintptr_t size;       /* the size searched for in vain; 0: unused entry */
  uint64_t valid_until; /* nanoseconds */
} nbuf_searched;

enum { NBUF_SPANS = 16, NBUF_SEARCHED = 8 };

/* The lock: 0: free; HELD; or the time at which it was seen to be held, an odd number of units. */
enum { NBUF_REGIONS_HELD = 2, NBUF_REGIONS_LOCK_UNIT_BITS = 20 };

/* What this module placed. A child keeps it, since it inherits the memory. */
typedef struct nbuf_regions {
  _Atomic uint32_t lock;
  uint32_t next_span;
  nbuf_span spans[NBUF_SPANS];
  nbuf_searched searched[NBUF_SEARCHED];
  uint32_t next_searched;
  nbuf_holes holes;               /* what was freed inside the spans */
  _Atomic uintptr_t system_place; /* where the system itself puts mappings; 0: not known yet */
} nbuf_regions;

extern nbuf_regions nbuf_own_regions;

/* Maps a region: of gap_request->want bytes if they are free, at least of gap_request->least bytes.
 * A place that touches a region of this module is preferred unless another is much nearer;
 * addresses that the system reserves for its own growth are used last. NO_ROOM, OUT_OF_MEMORY,
 * DENIED, SYSTEM_ERROR. */
nbuf_result nbuf_region_make(nbuf_regions *regions, const nbuf_gap_request *gap_request,
                             nbuf_place *region);

/* Unmaps a region, also one that was mapped in a lost race. */
nbuf_result nbuf_region_drop(nbuf_regions *regions, const nbuf_place *region);

/* For the fork handler: the thread that held the lock does not exist in the child. */
void nbuf_regions_forked(void);

#endif
