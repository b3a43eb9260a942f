/* From the occupied addresses and a gap request to a place; see placement.h. */
#include "base/placement.h"

/* After a gap that does not hold the wanted size was found, at most this many further queries look
 * for a larger one nearby. */
enum { QUESTIONS_FOR_MORE_ROOM = 64 };

/* The size of regions grows with the bytes placed before, from the first size to the largest
 * (decision 22). */
enum { FIRST_SIZE = 64 << 10, LARGEST_SIZE = 2 << 20, SHARE_OF_PLACED = 8 };

uintptr_t nbuf_placement_region_size(uint64_t placed_bytes, uintptr_t least,
                                     uintptr_t granularity) {
  uint64_t size = placed_bytes / SHARE_OF_PLACED;
  size = size < FIRST_SIZE ? FIRST_SIZE : size > LARGEST_SIZE ? LARGEST_SIZE : size;
  size = nbuf_align_down((uintptr_t)size, granularity);
  return size < least ? least : (uintptr_t)size;
}

bool nbuf_placement_choose_target(nbuf_gap_request *gap_request, uintptr_t system_place) {
  nbuf_range range = gap_request->range;
  if (gap_request->target != 0 || !nbuf_is_beyond_4_gib(range.max)) {
    return false;
  }
  bool is_narrowed = !nbuf_is_beyond_4_gib(range.min);
  range.min = is_narrowed ? (uintptr_t)NEARBUF_4_GIB : range.min;
  bool is_inside = range.min <= system_place && system_place <= range.max;
  gap_request->target = is_inside ? system_place : range.min + (range.max - range.min) / 2;
  gap_request->range = range;
  return is_narrowed;
}

/* The start nearest to the origin for `size` bytes inside the gap: the highest one not above the
 * origin, or the lowest one above it. */
static bool nearest_start(const nbuf_gap_request *gap_request, nbuf_range gap, uintptr_t size,
                          uintptr_t *start) {
  uintptr_t origin = nbuf_placement_origin(gap_request);
  uintptr_t to_origin = nbuf_add_saturating(origin, size - 1);
  nbuf_range below = {gap.min, gap.max < to_origin ? gap.max : to_origin};
  nbuf_range above = {gap.min > origin ? gap.min : origin, gap.max};
  nbuf_place lower = {0, size};
  nbuf_place upper = {0, size};
  bool fits_below = nbuf_range_fit_highest(below, size, gap_request->alignment, &lower.start);
  bool fits_above = nbuf_range_fit_lowest(above, size, gap_request->alignment, &upper.start);
  bool is_lower = fits_below && (!fits_above || nbuf_placement_distance(gap_request, &lower) <=
                                                    nbuf_placement_distance(gap_request, &upper));
  *start = is_lower ? lower.start : upper.start;
  return fits_below || fits_above;
}

bool nbuf_placement_nearest(const nbuf_gap_request *gap_request, nbuf_range gap,
                            nbuf_place *place) {
  nbuf_range inside;
  place->size = gap_request->want;
  return nbuf_range_intersect(gap, gap_request->range, &inside) &&
         nearest_start(gap_request, inside, gap_request->want, &place->start);
}

bool nbuf_placement_in_gap(const nbuf_gap_request *gap_request, nbuf_range gap, nbuf_place *place) {
  if (nbuf_placement_nearest(gap_request, gap, place)) {
    return true;
  }
  /* The wanted size does not fit: use all of the gap, if that is enough. */
  nbuf_range inside;
  if (!nbuf_range_intersect(gap, gap_request->range, &inside) ||
      !nbuf_range_fit_lowest(inside, gap_request->least, gap_request->alignment, &place->start)) {
    return false;
  }
  uintptr_t room = inside.max - place->start;
  place->size = room == UINTPTR_MAX ? nbuf_align_down(room, gap_request->granularity)
                                    : nbuf_align_down(room + 1, gap_request->granularity);
  return place->size >= gap_request->least;
}

/* The best place so far. */
typedef struct choice {
  const nbuf_gap_request *gap_request;
  nbuf_place place;
  nbuf_range gap;
  uintptr_t distance;
  bool is_made;
  uint32_t questions_left;
} choice;

static bool is_full(const nbuf_gap_request *gap_request, const nbuf_place *place) {
  return place->size >= gap_request->want;
}

/* Replaces the best place by one in this gap if that is better. Returns whether the gap has room at
 * all. */
static bool consider(choice *best, nbuf_range gap) {
  nbuf_place place;
  if (!nbuf_placement_in_gap(best->gap_request, gap, &place)) {
    return false;
  }
  uintptr_t distance = nbuf_placement_distance(best->gap_request, &place);
  bool wins = !best->is_made || distance < best->distance;
  if (best->is_made &&
      is_full(best->gap_request, &place) != is_full(best->gap_request, &best->place)) {
    uintptr_t bonus = NBUF_NEARER_THAT_COUNTS;
    wins = is_full(best->gap_request, &place)
               ? distance <= nbuf_add_saturating(best->distance, bonus)
               : nbuf_add_saturating(distance, bonus) < best->distance;
  }
  if (wins) {
    best->place = place;
    best->gap = gap;
    best->distance = distance;
    best->is_made = true;
  }
  return true;
}

/* Whether gaps at this distance and beyond can still win. Counts only the queries for more room,
 * not those that may find a nearer place. */
static bool is_worth_asking(choice *best, uintptr_t distance) {
  if (!best->is_made || distance < best->distance) {
    return true;
  }
  if (is_full(best->gap_request, &best->place)) {
    return false;
  }
  if (best->questions_left == 0) {
    return false;
  }
  best->questions_left--;
  return distance <= nbuf_add_saturating(best->distance, NBUF_NEARER_THAT_COUNTS);
}

/* One pass in ascending order over the occupied ranges, until no better place can follow. */
static nbuf_search_answer search_ascending(choice *best, const nbuf_source *source) {
  nbuf_range range = best->gap_request->range;
  uintptr_t origin = nbuf_placement_origin(best->gap_request);
  uintptr_t from = range.min;
  for (;;) {
    nbuf_range occupied;
    nbuf_source_answer answer = source->next(source->context, from, &occupied);
    if (answer == NBUF_SOURCE_FAILED) {
      return NBUF_SEARCH_FAILED;
    }
    if (answer == NBUF_SOURCE_END || occupied.min > range.max) {
      nbuf_range rest = {from, range.max};
      (void)consider(best, rest);
      return NBUF_SEARCH_FOUND;
    }
    if (occupied.min > from) {
      nbuf_range gap = {from, occupied.min - 1};
      (void)consider(best, gap);
    }
    if (occupied.max >= range.max) {
      return NBUF_SEARCH_FOUND;
    }
    from = occupied.max + 1;
    if (from > origin && !is_worth_asking(best, from - origin)) {
      return NBUF_SEARCH_FOUND;
    }
  }
}

/* One side of a search that starts at the target: addresses from `frontier` outwards have not been
 * queried, and nothing that fits was found up to `known_full`. */
typedef struct side {
  uintptr_t frontier;
  uintptr_t known_full;
  bool is_done;
  bool has_found_room;
} side;

/* Considers a gap on one side. A gap that the range cuts off may be larger than what was seen of
 * it. */
static void consider_on(side *one, choice *best, nbuf_range gap) {
  nbuf_range range = best->gap_request->range;
  bool fits = consider(best, gap);
  one->has_found_room = one->has_found_room || fits || gap.min == range.min || gap.max == range.max;
}

static void advance(side *one, uintptr_t frontier, bool is_done) {
  one->frontier = frontier;
  one->is_done = is_done;
  one->known_full = one->has_found_room ? one->known_full : frontier;
}

/* Extends a gap downwards to where its free addresses begin, as far as the wanted size requires. It
 * may stop early only if the gap is large enough as it is. */
static bool extend_gap_down(const nbuf_gap_request *gap_request, const nbuf_source *source,
                            nbuf_range *gap) {
  uintptr_t lowest =
      nbuf_sub_saturating(gap->min, nbuf_add_saturating(gap_request->want, gap_request->alignment));
  uintptr_t from = lowest < gap_request->range.min ? gap_request->range.min : lowest;
  uintptr_t start;
  bool is_enough = nbuf_range_fit_highest(*gap, gap_request->least, gap_request->alignment, &start);
  for (int i = 0; from < gap->min && (i < QUESTIONS_FOR_MORE_ROOM || !is_enough); i++) {
    nbuf_range occupied;
    nbuf_source_answer answer = source->next(source->context, from, &occupied);
    if (answer == NBUF_SOURCE_FAILED) {
      return false;
    }
    if (answer == NBUF_SOURCE_END || occupied.min > gap->max) {
      gap->min = from;
      return true;
    }
    from = occupied.max + 1;
  }
  return true;
}

static bool step_up(choice *best, const nbuf_source *source, side *up, bool is_first) {
  nbuf_range range = best->gap_request->range;
  nbuf_range occupied;
  nbuf_source_answer answer = source->next(source->context, up->frontier, &occupied);
  if (answer == NBUF_SOURCE_FAILED) {
    return false;
  }
  bool is_last = answer == NBUF_SOURCE_END || occupied.min > range.max;
  if (is_last || occupied.min > up->frontier) {
    nbuf_range gap = {up->frontier, is_last ? range.max : occupied.min - 1};
    if (is_first && !extend_gap_down(best->gap_request, source, &gap)) {
      return false;
    }
    consider_on(up, best, gap);
  }
  bool is_done = is_last || occupied.max >= range.max;
  advance(up, is_done ? range.max : occupied.max + 1, is_done);
  return true;
}

/* A source cannot be queried downwards. So query the highest place that would do: if anything lies
 * in it, the lowest such mapping is the next obstacle. */
static bool step_down(choice *best, const nbuf_source *source, side *down) {
  const nbuf_gap_request *gap_request = best->gap_request;
  nbuf_range below = {gap_request->range.min, down->frontier};
  uintptr_t start;
  if (!nbuf_range_fit_highest(below, gap_request->least, gap_request->alignment, &start)) {
    down->is_done = true;
    return true;
  }
  nbuf_range occupied;
  nbuf_source_answer answer = source->next(source->context, start, &occupied);
  if (answer == NBUF_SOURCE_FAILED) {
    return false;
  }
  if (answer == NBUF_SOURCE_FOUND && occupied.min <= down->frontier) {
    bool is_done = occupied.min <= gap_request->range.min;
    advance(down, is_done ? gap_request->range.min : occupied.min - 1, is_done);
    return true;
  }
  nbuf_range gap = {start, down->frontier};
  if (!extend_gap_down(gap_request, source, &gap)) {
    return false;
  }
  consider_on(down, best, gap);
  bool is_done = gap.min <= gap_request->range.min;
  advance(down, is_done ? gap_request->range.min : gap.min - 1, is_done);
  return true;
}

/* The range between two frontiers of a search that started at `middle`. False: there is nothing
 * between them. */
static bool between(uintptr_t down, uintptr_t middle, uintptr_t up, nbuf_range *range) {
  if (up <= middle) {
    return false;
  }
  *range = (nbuf_range){down < middle ? down + 1 : middle, up - 1};
  return true;
}

/* Searches up and down from the target, always on the side that is nearer, and up first. */
static nbuf_search_answer search_outwards(choice *best, const nbuf_source *source,
                                          nbuf_search_memo *memo) {
  nbuf_range range = best->gap_request->range;
  uintptr_t origin = nbuf_placement_origin(best->gap_request);
  uintptr_t middle = origin < range.min ? range.min : origin > range.max ? range.max : origin;
  side up = {.frontier = middle, .known_full = middle};
  side down = {.frontier = middle, .known_full = middle, .is_done = middle == range.min};
  while (!up.is_done || !down.is_done) {
    uintptr_t up_distance = nbuf_distance(up.frontier, origin);
    uintptr_t down_distance = nbuf_distance(down.frontier, origin);
    bool goes_up = !up.is_done && (down.is_done || up_distance <= down_distance);
    if (!is_worth_asking(best, goes_up ? up_distance : down_distance)) {
      break;
    }
    bool is_answered = goes_up ? step_up(best, source, &up, up.frontier == middle)
                               : step_down(best, source, &down);
    if (!is_answered) {
      return NBUF_SEARCH_FAILED;
    }
  }
  memo->is_full_known = between(down.known_full, middle, up.known_full, &memo->full);
  memo->is_tight_known = best->is_made && !is_full(best->gap_request, &best->place) &&
                         between(down.frontier, middle, up.frontier, &memo->tight);
  return NBUF_SEARCH_FOUND;
}

nbuf_source_answer nbuf_source_lowest(uintptr_t from, const nbuf_range *besides, uint32_t count,
                                      bool is_found, nbuf_range found, nbuf_range *occupied) {
  for (uint32_t i = 0; i < count; i++) {
    if (besides[i].max >= from && (!is_found || besides[i].min < found.min)) {
      found = besides[i];
      is_found = true;
    }
  }
  *occupied = found;
  return is_found ? NBUF_SOURCE_FOUND : NBUF_SOURCE_END;
}

nbuf_search_answer nbuf_placement_search(const nbuf_gap_request *gap_request,
                                         const nbuf_source *source, nbuf_place *place,
                                         nbuf_search_memo *memo) {
  choice best = {.gap_request = gap_request,
                 .questions_left = gap_request->accept_any_size ? 0 : QUESTIONS_FOR_MORE_ROOM};
  nbuf_search_memo found = {.is_full_known = false, .is_tight_known = false};
  nbuf_search_answer answer = source->is_cheap_anywhere ? search_outwards(&best, source, &found)
                                                        : search_ascending(&best, source);
  found.gap = best.gap;
  if (memo != NULL) {
    *memo = found;
  }
  if (answer == NBUF_SEARCH_FAILED) {
    return answer;
  }
  *place = best.place;
  return best.is_made ? NBUF_SEARCH_FOUND : NBUF_SEARCH_NO_ROOM;
}
