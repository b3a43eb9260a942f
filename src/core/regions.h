/* Regions: memory that is mapped at a place that suits a request. The buffers that locators list
 * and private memory are made of them.
 *
 *          start                             end           clear_until
 *   --------[ region ][ region ][   region   ]-------------------|- - [ stack
 *           '------------- a span ----------'   more may follow
 *
 * Each copy of the library keeps a search memo of its own: up to 16 spans, beside which the next
 * region is placed without a search, and up to 8 ranges that were searched in vain. */
#ifndef NB_REGIONS_H
#define NB_REGIONS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/placement.h"
#include "base/result.h"

/* Regions that touch, which the system keeps as one mapping, and why they are where they are. */
typedef struct nb_span {
  uintptr_t start;
  uintptr_t end;         /* exclusive; equal to start: a gap that what was unmapped left */
  uintptr_t clear_until; /* the addresses up to here were free, and no stack grows into them */
  uintptr_t origin;      /* the origin of the search that found it */
  uintptr_t distance;    /* from that origin: no gap was nearer */
  uint64_t valid_until;  /* nanoseconds: until then the search need not be repeated */
  uintptr_t refused[2];  /* the size that did not fit below and above; 0: none */
} nb_span;

/* Addresses among which a size was not free when they were searched. */
typedef struct nb_searched {
  nb_range range;
  uintptr_t size;       /* the size searched for in vain; 0: unused entry */
  uint64_t valid_until; /* nanoseconds */
} nb_searched;

enum { NB_SPANS = 16, NB_SEARCHED = 8, NB_REGIONS_LOCK_UNIT_BITS = 20 };

/* What this module placed. A child keeps it, since it inherits the memory. */
typedef struct nb_regions {
  _Atomic uint32_t lock; /* 0: free; else the time at which it was taken (regions.c) */
  uint32_t next_span;
  nb_span spans[NB_SPANS];
  nb_searched searched[NB_SEARCHED];
  uint32_t next_searched;
  _Atomic uintptr_t system_place; /* where the system itself puts mappings; 0: not known yet */
} nb_regions;

extern nb_regions nb_own_regions;

/* Maps a region: of gap_request->want bytes if they are free, at least of gap_request->least bytes.
 * A place that touches a region of this module is preferred unless another is much nearer;
 * addresses that the system reserves for its own growth are used last. NO_ROOM, OUT_OF_MEMORY,
 * DENIED, SYSTEM_ERROR. */
nb_result nb_region_make(nb_regions *regions, const nb_gap_request *gap_request, nb_place *region);

/* Unmaps a region, also one that was mapped in a lost race. */
nb_result nb_region_drop(nb_regions *regions, const nb_place *region);

/* The size that a new region of shared buffers should have, for a request that needs `least` bytes,
 * if `placed_bytes` were placed before. */
uintptr_t nb_region_size(uint64_t placed_bytes, uintptr_t least);

/* For the fork handler: the thread that held the lock does not exist in the child. */
void nb_regions_forked(void);

#endif
