/* Regions: memory that is mapped at a place that suits a request. Both the buffers that locators
 * list and private memory are made of them. */
#ifndef NB_REGIONS_H
#define NB_REGIONS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/placement.h"
#include "base/result.h"

/* A run of regions that touch, which the system keeps as one mapping, and why it is where it is. */
typedef struct nb_span {
  uintptr_t start;
  uintptr_t end;         /* exclusive; equal to start: a gap to remember */
  uintptr_t clear_until; /* no stack grows into what is above, as far as that was looked at */
  uintptr_t origin;      /* what the search that found it wanted to be near to */
  uintptr_t distance;    /* at which it found it: there was no gap nearer */
  uint64_t valid_until;  /* nanoseconds: until then that search need not be repeated */
  uintptr_t refused[2];  /* the size that something was in the way of, below and above; 0: none */
} nb_span;

/* Addresses among which nothing of a size was free when they were searched. */
typedef struct nb_searched {
  nb_range range;
  uintptr_t size;       /* in vain for this, 0: not at all */
  uint64_t valid_until; /* nanoseconds */
} nb_searched;

enum { NB_SPANS = 16, NB_SEARCHED = 8 };

/* What this module placed. A child keeps it: it inherited the memory. */
typedef struct nb_regions {
  _Atomic uint32_t lock; /* 0: free; else when it was taken (regions.c) */
  uint32_t next_span;
  nb_span spans[NB_SPANS];
  nb_searched searched[NB_SEARCHED];
  uint32_t next_searched;
  _Atomic uintptr_t system_place; /* where the system puts mappings itself; 0: not asked yet */
} nb_regions;

extern nb_regions nb_own_regions;

/* Maps a region for the need, of gap_request->want bytes where there is room and of gap_request->least at least.
 * A place that touches a region of this module wins unless another is much nearer; what the system
 * needs for its own growth is used last. NO_ROOM, OUT_OF_MEMORY, DENIED, SYSTEM_ERROR. */
nb_result nb_region_make(nb_regions *regions, const nb_gap_request *gap_request, nb_place *region);

/* Unmaps a region, or what a lost race left over. */
nb_result nb_region_drop(nb_regions *regions, const nb_place *region);

/* The size that a new region of shared buffers should have, for a request that needs `least`, where so
 * many bytes were placed. */
uintptr_t nb_region_size(uint64_t placed_bytes, uintptr_t least);

/* For the fork handler: the thread that held the lock is not in the child. */
void nb_regions_forked(void);

#endif
