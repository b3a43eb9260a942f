/* From the occupied addresses and a gap request to the place for a new region. No system calls: a
 * source, which tests replace by invented maps, reports the occupied addresses.
 *
 *       range.min                 target                     range.max
 *   [ a ]---|-------[  b  ]---[     .  c    ]####--------[ d ]----|---
 *             gap          gap               #: the nearest place for `want` bytes */
#ifndef NBUF_PLACEMENT_H
#define NBUF_PLACEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/range.h"

/* A gap that holds the wanted size is preferred to a smaller one, and a gap beside one of our
 * regions to any other, unless the other is nearer by more than this many bytes. */
#define NBUF_NEARER_THAT_COUNTS ((uintptr_t)128 << 20)

typedef struct nbuf_gap_request {
  nbuf_range range;      /* the whole region lies inside */
  uintptr_t least;       /* the size that must be free, in whole granules */
  uintptr_t want;        /* the size that is used if it is free, at least `least` */
  uintptr_t alignment;   /* of the start; at least the granularity */
  uintptr_t granularity; /* of the size */
  uintptr_t target;      /* as near as possible to it; 0: as low as possible */
  bool accept_any_size;  /* take the nearest place, whatever its size */
  bool spares_reserved;  /* leave reserved addresses alone: another range is tried next */
} nbuf_gap_request;

typedef struct nbuf_place {
  uintptr_t start;
  uintptr_t size;
} nbuf_place;

static inline nbuf_range nbuf_place_range(const nbuf_place *place) {
  return (nbuf_range){place->start, place->start + (place->size - 1)};
}

typedef enum nbuf_source_answer {
  NBUF_SOURCE_FOUND,
  NBUF_SOURCE_END,
  NBUF_SOURCE_FAILED
} nbuf_source_answer;

/* Reports the occupied ranges. */
typedef struct nbuf_source {
  /* The occupied range that contains `from`, or else the first one above it. END: there is none. */
  nbuf_source_answer (*next)(void *context, uintptr_t from, nbuf_range *occupied);
  void *context;
  bool is_cheap_anywhere; /* false: query it in ascending order only */
} nbuf_source;

/* For implementations of `next`: the lowest range that ends at or above `from`, among `found`, if
 * `is_found`, and the `count` further occupied ranges `besides`. */
nbuf_source_answer nbuf_source_lowest(uintptr_t from, const nbuf_range *besides, uint32_t count,
                                      bool is_found, nbuf_range found, nbuf_range *occupied);

typedef enum nbuf_search_answer {
  NBUF_SEARCH_FOUND,
  NBUF_SEARCH_NO_ROOM,
  NBUF_SEARCH_FAILED /* the source failed */
} nbuf_search_answer;

/* What a search found out besides its result. The first two are ranges around the target, which are
 * valid if they are known. */
typedef struct nbuf_search_memo {
  bool is_full_known;
  bool is_tight_known;
  nbuf_range full;  /* `least` bytes are free nowhere in it: treat it as occupied */
  nbuf_range tight; /* `want` bytes were seen nowhere in it: do not look for more room again */
  nbuf_range gap;   /* the free addresses around the place, as far as they were seen */
} nbuf_search_memo;

/* Finds the best place for the request. The place may be occupied by the time it is used: then
 * report it as occupied in the source and search again. Cost: one query for each mapping between
 * the target and the gap, or for each mapping below the gap if queries must ascend.
 *
 * `memo` may be null. A caller that uses it in the next search needs fewer queries. */
nbuf_search_answer nbuf_placement_search(const nbuf_gap_request *gap_request,
                                         const nbuf_source *source, nbuf_place *place,
                                         nbuf_search_memo *memo);

/* Where a search starts. */
static inline uintptr_t nbuf_placement_origin(const nbuf_gap_request *gap_request) {
  return gap_request->target != 0 ? gap_request->target : gap_request->range.min;
}

/* The distance in bytes of a place from the target of the request, 0 if the place contains it. */
static inline uintptr_t nbuf_placement_distance(const nbuf_gap_request *gap_request,
                                                const nbuf_place *place) {
  uintptr_t origin = nbuf_placement_origin(gap_request);
  uintptr_t last = place->start + (place->size - 1);
  if (origin < place->start) {
    return place->start - origin;
  }
  return origin > last ? origin - last : 0;
}

/* Gives a request without a target one if its range extends beyond 4 GiB. The target is
 * `system_place`, where the system itself puts mappings, if that lies in the range, else the middle
 * of the range: a caller that forgot the target and chose a range around it gets memory near to it.
 * True: the range was narrowed to the addresses above 4 GiB, since low addresses are scarce; if
 * that part is full, try the whole range next. */
bool nbuf_placement_choose_target(nbuf_gap_request *gap_request, uintptr_t system_place);

/* The size that a new region of shared buffers should have, for a request that needs `least` bytes,
 * if `placed_bytes` were placed before. */
uintptr_t nbuf_placement_region_size(uint64_t placed_bytes, uintptr_t least, uintptr_t granularity);

/* The nearest place for gap_request->want bytes inside one gap, both ends inclusive; false: it does
 * not fit. */
bool nbuf_placement_nearest(const nbuf_gap_request *gap_request, nbuf_range gap, nbuf_place *place);

/* The best place for the request inside one gap; false: none fits. */
bool nbuf_placement_in_gap(const nbuf_gap_request *gap_request, nbuf_range gap, nbuf_place *place);

#endif
