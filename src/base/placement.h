/* From the occupied addresses and a need to the place for a new region. No system calls: where
 * memory is occupied is asked through a source, which tests replace by invented maps. */
#ifndef NB_PLACEMENT_H
#define NB_PLACEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/range.h"

/* A full-sized gap is preferred to a smaller one, and a gap beside one of our regions to any other,
 * unless that one is more than this much nearer. */
#define NB_NEARER_THAT_COUNTS ((uintptr_t)128 << 20)

typedef struct nb_gap_request {
  nb_range range;        /* the whole region lies inside */
  uintptr_t least;       /* the size that is needed, whole granules */
  uintptr_t want;        /* the size that is taken where there is room, at least `least` */
  uintptr_t alignment;   /* of the start; at least the granularity */
  uintptr_t granularity; /* of the size */
  uintptr_t target;      /* as near as possible to it; 0: as low as possible */
  bool accept_any_size;  /* the nearest place will do, whatever its size */
  bool
      spares_reserved; /* what the system will need itself is not used: another range is tried next */
} nb_gap_request;

typedef struct nb_place {
  uintptr_t start;
  uintptr_t size;
} nb_place;

static inline nb_range nb_place_range(const nb_place *place) {
  return (nb_range){place->start, place->start + (place->size - 1)};
}

typedef enum nb_source_answer { NB_SOURCE_FOUND, NB_SOURCE_END, NB_SOURCE_FAILED } nb_source_answer;

/* Tells what is occupied. */
typedef struct nb_source {
  /* The occupied range that holds `from`, or else the first one above it. */
  nb_source_answer (*next)(void *context, uintptr_t from, nb_range *occupied);
  void *context;
  bool is_cheap_anywhere; /* false: it is asked in ascending order only */
} nb_source;

/* For such a function: of `found`, if there is one, and of what is occupied besides, the lowest range
 * that ends at `from` or above. */
nb_source_answer nb_source_lowest(uintptr_t from, const nb_range *besides, uint32_t count,
                                  bool is_found, nb_range found, nb_range *occupied);

typedef enum nb_search_answer {
  NB_SEARCH_FOUND,
  NB_SEARCH_NO_ROOM,
  NB_SEARCH_FAILED /* the source could not answer */
} nb_search_answer;

/* What a search learned besides: ranges around the target, that end before they start where it learned
 * nothing. */
typedef struct nb_search_memo {
  nb_range
      known_full; /* nowhere in it are gap_request->least bytes free: it is as good as occupied */
  nb_range
      known_tight; /* nowhere in it were gap_request->want bytes seen: no use to look for more room again */
  nb_range gap; /* the free addresses around the place that was found, as far as they were seen */
} nb_search_memo;

/* The best place for the need. What is found may be taken by the time it is used: then say so in
 * the source and search again. Cost: a question for each mapping between the target and the gap,
 * or one for each mapping below the gap where questions must ascend.
 *
 * `memo` may be null. Who heeds it the next time asks less. */
nb_search_answer nb_placement_search(const nb_gap_request *gap_request, const nb_source *source,
                                     nb_place *place, nb_search_memo *memo);

/* How far a place is from what the need asks to be near to. */
uintptr_t nb_placement_distance(const nb_gap_request *gap_request, const nb_place *place);

/* Gives a need without a target one, where its range goes beyond 4 GiB: `system_place`, where the
 * system puts mappings itself, if that lies in the range, else the range's middle: a caller that
 * forgot its target and has a range around it is served there. True: the range was narrowed to what
 * lies above 4 GiB, for low addresses are scarce; where that is full, the whole range is next. */
bool nb_placement_choose_target(nb_gap_request *gap_request, uintptr_t system_place);

/* The place inside one gap, both ends inclusive, that suits the need best; false: none fits. */
bool nb_placement_in_gap(const nb_gap_request *gap_request, nb_range gap, nb_place *place);

#endif
