/* Regions of memory at suitable places; see regions.h. */
#include "core/regions.h"

#include <stddef.h>

#include "base/compiler.h"
#include "os/os.h"
#include "os/placing.h"

/* The number of times that the map may change, or the system may refuse a place that its map
 * reports as free, before the request fails. If steps of one place did not help, larger and larger
 * ones skip an area about which the map is wrong. */
enum { MOST_TRIES = 128, SINGLE_STEPS = 64, STEPS_OF_A_SIZE = 4 };

/* The result of a search is valid for this multiple of its duration. Searching then never takes
 * more than three per cent of a program's time, and a gap that opens nearer is found soon. */
enum { VALIDITY_FACTOR = 32 };

/* A failed search with fewer queries than this is repeated: only if searching is expensive is it
 * worth missing for a while what has become free. */
enum { QUESTIONS_TO_REMEMBER = 64 };

/* The two ends of a span. */
typedef enum span_side { BELOW, ABOVE } span_side;

/* What a search treats as occupied: addresses in which a recent search failed, the map, what the
 * system reserves, and what it refused. */
typedef struct obstacles {
  nbuf_range known_full[NBUF_SEARCHED];
  uint32_t known_full_count;
  nbuf_range known_tight; /* where not to look for more room than was found */
  uint32_t questions;     /* queries of the map */
  bool use_reserved;
  uintptr_t clear_until; /* of the place that was found, see nbuf_span */
  nbuf_map map;
  nbuf_range extra[NBUF_OS_RESERVED_MAX + MOST_TRIES];
  uint32_t extra_count;
} obstacles;

static nbuf_source_answer next_obstacle(void *context, uintptr_t from, nbuf_range *occupied) {
  obstacles *all = context;
  for (uint32_t i = 0; i < all->known_full_count; i++) {
    if (all->known_full[i].min <= from && from <= all->known_full[i].max) {
      *occupied = all->known_full[i];
      return NBUF_SOURCE_FOUND;
    }
  }
  all->questions++;
  nbuf_mapping mapping;
  nbuf_map_answer answer = nbuf_os_map_next(&all->map, from, &mapping);
  if (answer == NBUF_MAP_FAILED) {
    return NBUF_SOURCE_FAILED;
  }
  bool is_found = answer == NBUF_MAP_FOUND;
  nbuf_range lowest = is_found ? mapping.range : (nbuf_range){UINTPTR_MAX, UINTPTR_MAX};
  return nbuf_source_lowest(from, all->extra, all->extra_count, is_found, lowest, occupied);
}

/* How long the lock may be held, in units of 2^20 ns: half a second. (A shift instead of a
 * division, which would need the compiler's runtime in 32 bits.) A request that does not get the
 * lock soon searches the map; but the death of a thread that holds it must not make all requests do
 * that. */
enum { LOCK_BOUND = 477, MOST_LOOKS = 2000 };

nbuf_regions nbuf_own_regions;

static bool is_lock_free(const nbuf_regions *regions) {
  return atomic_load_explicit(&regions->lock, memory_order_relaxed) == 0;
}

/* Takes the lock if it is free; else stores what it contains. */
static bool try_free_lock(nbuf_regions *regions, uint32_t *since) {
  *since = 0;
  return atomic_compare_exchange_strong_explicit(&regions->lock, since, NBUF_REGIONS_HELD,
                                                 memory_order_acquire, memory_order_relaxed);
}

/* The holder does not ask for the time, which takes longer than what it does under the lock. The
 * first that finds the lock held stores it. A lock held past the bound from then on is taken over:
 * if its holder goes on, both store, and the worst result is a place that is tried in vain. */
static bool try_lock(nbuf_regions *regions) {
  uint32_t since;
  if (try_free_lock(regions, &since)) {
    return true;
  }
  uint32_t now = (uint32_t)(nbuf_os_nanoseconds() >> NBUF_REGIONS_LOCK_UNIT_BITS) | 1;
  bool is_new = since == NBUF_REGIONS_HELD;
  bool is_over = !is_new && (int32_t)(now - since) > LOCK_BOUND;
  return (is_new || is_over) &&
         atomic_compare_exchange_strong_explicit(&regions->lock, &since,
                                                 is_over ? NBUF_REGIONS_HELD : now,
                                                 memory_order_acquire, memory_order_relaxed) &&
         is_over;
}

/* A lock that is held is looked at a number of times: it is held for less than a microsecond, and a
 * search takes longer. */
NBUF_NOINLINE static bool take_held_lock(nbuf_regions *regions) {
  bool is_taken = try_lock(regions);
  for (int i = 0; i < MOST_LOOKS && !is_taken; i++) {
    is_taken = is_lock_free(regions) && try_lock(regions);
  }
  return is_taken;
}

static bool take_lock(nbuf_regions *regions) {
  uint32_t since;
  return try_free_lock(regions, &since) || take_held_lock(regions);
}

static void unlock(nbuf_regions *regions) {
  atomic_store_explicit(&regions->lock, 0, memory_order_release);
}

void nbuf_regions_forked(void) {
  atomic_store_explicit(&nbuf_own_regions.lock, 0, memory_order_relaxed);
}

/* All but these are unused: the first ones are used first. */
static uint32_t span_count(const nbuf_regions *regions) {
  return regions->next_span < NBUF_SPANS ? regions->next_span : NBUF_SPANS;
}

static uint32_t searched_count(const nbuf_regions *regions) {
  return regions->next_searched < NBUF_SEARCHED ? regions->next_searched : NBUF_SEARCHED;
}

/* Records the region, which a search found, as a part of the span that it touches, or as a new
 * span. After a long search any distance will do for a while: where thousands of small gaps are
 * left, each region would need a search of its own. */
static void memo_add(nbuf_regions *regions, const nbuf_gap_request *gap_request,
                     const nbuf_place *region, const obstacles *all, uint64_t valid_until) {
  if (!take_lock(regions)) {
    return;
  }
  uintptr_t end = region->start + region->size;
  nbuf_holes_cut(&regions->holes, region);
  nbuf_span *span = NULL;
  for (uint32_t i = 0; i < span_count(regions) && span == NULL; i++) {
    nbuf_span *each = &regions->spans[i];
    bool is_around = each->start <= region->start && end <= each->end;
    if (each->start != 0 && (each->end == region->start || each->start == end || is_around)) {
      span = each;
    }
  }
  if (span == NULL) {
    span = &regions->spans[regions->next_span++ % NBUF_SPANS];
    *span = (nbuf_span){.start = region->start, .end = end};
  }
  if (region->start < span->start) {
    span->start = region->start;
    span->refused[BELOW] = 0;
  }
  if (end > span->end) {
    span->end = end;
    span->refused[ABOVE] = 0;
  }
  if (end == span->end && all->clear_until > span->clear_until) {
    span->clear_until = all->clear_until;
  }
  span->origin = nbuf_placement_origin(gap_request);
  span->distance = all->questions >= QUESTIONS_TO_REMEMBER
                       ? UINTPTR_MAX
                       : nbuf_placement_distance(gap_request, region);
  span->valid_until = valid_until;
  unlock(regions);
}

/* Whether a place at this distance needs no search: no gap can be much nearer, or a recent search
 * for nearly the same origin found none. */
static bool is_good_enough(const nbuf_regions *regions, const nbuf_gap_request *gap_request,
                           uintptr_t distance) {
  if (distance <= NBUF_NEARER_THAT_COUNTS) {
    return true;
  }
  uint64_t now = nbuf_os_nanoseconds();
  for (uint32_t i = 0; i < span_count(regions); i++) {
    const nbuf_span *span = &regions->spans[i];
    if (now < span->valid_until &&
        nbuf_distance(span->origin, nbuf_placement_origin(gap_request)) <=
            NBUF_NEARER_THAT_COUNTS &&
        distance <= nbuf_add_saturating(span->distance, NBUF_NEARER_THAT_COUNTS)) {
      return true;
    }
  }
  return false;
}

/* A place that no other thread tries, since it was found and removed from the memo under the
 * lock. If its thread dies before it maps the place, a search finds it again. */
typedef struct place_claim {
  nbuf_place place;
  nbuf_span *span; /* that has it at one end; null: it lies in a hole */
  span_side where;
} place_claim;

static bool may_lie_beside(const nbuf_gap_request *gap_request, const nbuf_span *span,
                           span_side where, const nbuf_place *place) {
  uintptr_t refused = span->refused[where];
  bool is_clear = where == BELOW || place->start + (place->size - 1) <= span->clear_until;
  return (refused == 0 || place->size < refused) && is_clear &&
         nbuf_range_holds(gap_request->range, place->start, place->size) &&
         (place->start & (gap_request->alignment - 1)) == 0;
}

/* Prefers the place at that end of the span to what was found, at the distance `nearest`, if it is
 * nearer. */
NBUF_FORCEINLINE void consider_beside(const nbuf_gap_request *gap_request, nbuf_span *span,
                                      span_side where, uintptr_t *nearest, place_claim *found) {
  uintptr_t size = gap_request->want;
  nbuf_place place = {where == ABOVE ? span->end : nbuf_sub_saturating(span->start, size), size};
  uintptr_t distance = nbuf_placement_distance(gap_request, &place);
  if (distance < *nearest && may_lie_beside(gap_request, span, where, &place)) {
    *nearest = distance;
    *found = (place_claim){place, span, where};
  }
}

/* The nearest place in a hole, or else above or below a span of this module. */
static bool find_beside(nbuf_regions *regions, const nbuf_gap_request *gap_request,
                        place_claim *found) {
  found->span = NULL;
  bool is_in_hole = nbuf_holes_nearest(&regions->holes, gap_request, &found->place);
  uintptr_t nearest =
      is_in_hole ? nbuf_placement_distance(gap_request, &found->place) : UINTPTR_MAX;
  for (uint32_t i = 0; i < span_count(regions); i++) {
    consider_beside(gap_request, &regions->spans[i], BELOW, &nearest, found);
    consider_beside(gap_request, &regions->spans[i], ABOVE, &nearest, found);
  }
  bool is_found = is_in_hole || found->span != NULL;
  return is_found && is_good_enough(regions, gap_request, nearest);
}

/* How far above the start of its module a target may be for the place below the module to be near
 * enough: no more than regions themselves extend. */
#define NEAR_ITS_START ((uintptr_t)1 << 20)

/* The start of the target's module becomes the first span: most modules have room below, into which
 * no stack grows, and the first search would open the memory map. */
static void add_module(nbuf_regions *regions, uintptr_t target) {
  uintptr_t start = target != 0 ? nbuf_os_module_start(target) : 0;
  if (start != 0 && target - start <= NEAR_ITS_START) {
    regions->spans[regions->next_span++] = (nbuf_span){.start = start, .end = start};
  }
}

static bool claim_beside(nbuf_regions *regions, const nbuf_gap_request *gap_request,
                         place_claim *claimed) {
  if (!take_lock(regions)) {
    return false;
  }
  if (regions->next_span == 0) {
    add_module(regions, gap_request->target);
  }
  bool is_found = find_beside(regions, gap_request, claimed);
  if (is_found && claimed->span == NULL) {
    nbuf_holes_cut(&regions->holes, &claimed->place);
  } else if (is_found && claimed->where == ABOVE) {
    claimed->span->end += claimed->place.size;
    claimed->span->refused[ABOVE] = 0;
  } else if (is_found) {
    claimed->span->start -= claimed->place.size;
    claimed->span->refused[BELOW] = 0;
  }
  unlock(regions);
  return is_found;
}

/* Records that something occupies the place, so that the other end of the span is tried, and
 * nothing in a hole. If that something goes away, a search finds the place again. A claim beside
 * which another thread has claimed more just stays. */
static void refuse(nbuf_regions *regions, const place_claim *refused) {
  if (!take_lock(regions)) {
    return;
  }
  nbuf_place around = refused->place;
  uintptr_t end = around.start + around.size;
  nbuf_span *span = refused->span;
  if (span == NULL) {
    nbuf_holes_join(&regions->holes, &around);
  } else if (refused->where == ABOVE && span->end == end) {
    span->end = around.start;
    span->refused[ABOVE] = around.size;
  } else if (refused->where == BELOW && span->start == around.start) {
    span->start = end;
    span->refused[BELOW] = around.size;
  }
  unlock(regions);
}

/* Records that the place is free: a span ends before it, or it is a hole. */
static void give_back(nbuf_regions *regions, const nbuf_place *place) {
  if (!take_lock(regions)) {
    return;
  }
  nbuf_range freed = nbuf_place_range(place);
  for (uint32_t i = 0; i < searched_count(regions); i++) {
    if (nbuf_range_overlaps(regions->searched[i].range, freed)) {
      regions->searched[i].size = 0;
    }
  }
  nbuf_place hole = *place;
  nbuf_holes_join(&regions->holes, &hole);
  uintptr_t end = hole.start + hole.size;
  bool is_at_an_end = false;
  for (uint32_t i = 0; i < span_count(regions); i++) {
    nbuf_span *span = &regions->spans[i];
    bool is_clear = end - 1 <= span->clear_until; /* not at the start of a module */
    if (span->end == end && span->start <= hole.start && is_clear) {
      span->end = hole.start;
      span->refused[ABOVE] = 0;
      is_at_an_end = true;
    } else if (span->start == hole.start && end <= span->end) {
      span->start = end;
      span->refused[BELOW] = 0;
      is_at_an_end = true;
    }
  }
  if (!is_at_an_end) {
    nbuf_holes_add(&regions->holes, hole);
  }
  unlock(regions);
}

static bool is_reserved(const nbuf_place *place) {
  nbuf_range reserved[NBUF_OS_RESERVED_MAX];
  nbuf_range range = nbuf_place_range(place);
  size_t count = nbuf_os_reserved(range, reserved);
  for (size_t i = 0; i < count; i++) {
    if (nbuf_range_overlaps(range, reserved[i])) {
      return true;
    }
  }
  return false;
}

/* Maps a place unless the system will need it. Images are looked for last: that costs a query for
 * each mapping around, and most places that are refused are taken. */
static nbuf_result map_unless_reserved(const nbuf_place *place) {
  if (is_reserved(place)) {
    return nbuf_result_of(NEARBUF_NO_ROOM);
  }
  nbuf_result result = nbuf_os_map(place->start, place->size);
  nbuf_range around;
  if (result.status == NEARBUF_OK && nbuf_os_is_near_image(nbuf_place_range(place), &around)) {
    (void)nbuf_os_unmap(place->start, place->size);
    return nbuf_result_of(NEARBUF_NO_ROOM);
  }
  return result;
}

static nbuf_result make_beside(nbuf_regions *regions, const nbuf_gap_request *gap_request,
                               nbuf_place *region) {
  place_claim claimed;
  for (int tries = 0; tries < 2 * NBUF_SPANS && claim_beside(regions, gap_request, &claimed);
       tries++) {
    *region = claimed.place;
    nbuf_result result = map_unless_reserved(region);
    if (result.status == NEARBUF_NO_ROOM) {
      refuse(regions, &claimed);
      continue;
    }
    if (result.status != NEARBUF_OK) {
      give_back(regions, region);
    }
    return result;
  }
  return nbuf_result_of(NEARBUF_NO_ROOM);
}

/* The range that is not tried again: the place, and after many refusals its surroundings. */
static nbuf_range range_of_refusal(const nbuf_place *region, uint32_t tries) {
  uintptr_t more = tries < SINGLE_STEPS
                       ? 0
                       : nbuf_os_granularity() << ((tries - SINGLE_STEPS) / STEPS_OF_A_SIZE);
  return (nbuf_range){nbuf_sub_saturating(region->start, more),
                      nbuf_add_saturating(region->start + (region->size - 1), more)};
}

/* ---- Searching ------------------------------------------------------------------------------- */

/* Loads the results of earlier searches that are still valid and apply to the request. */
static void memo_load(nbuf_regions *regions, const nbuf_gap_request *gap_request, uint64_t now,
                      obstacles *all) {
  if (!all->map.is_cheap_anywhere || !take_lock(regions)) {
    return;
  }
  for (uint32_t i = 0; i < searched_count(regions); i++) {
    const nbuf_searched *each = &regions->searched[i];
    if (each->size == 0 || each->size > gap_request->want || now >= each->valid_until) {
      continue;
    }
    if (each->size <= gap_request->least) {
      all->known_full[all->known_full_count++] = each->range;
    } else if (each->range.min <= nbuf_placement_origin(gap_request) &&
               nbuf_placement_origin(gap_request) <= each->range.max) {
      all->known_tight = each->range;
    }
  }
  unlock(regions);
}

/* Records that a search of the range failed. If the search only extended an earlier result, the
 * whole is valid as long as that result was. */
static void memo_store(nbuf_regions *regions, nbuf_range range, uintptr_t size, bool was_long,
                       uint64_t start) {
  if (!take_lock(regions)) {
    return;
  }
  nbuf_searched *entry = NULL;
  for (uint32_t i = 0; i < searched_count(regions) && entry == NULL; i++) {
    nbuf_searched *each = &regions->searched[i];
    bool is_part = range.min <= each->range.min && each->range.max <= range.max;
    entry = each->size >= size && is_part ? each : NULL;
  }
  bool goes_on = entry != NULL && entry->size == size && start < entry->valid_until;
  if (goes_on || was_long) {
    entry = entry == NULL ? &regions->searched[regions->next_searched++ % NBUF_SEARCHED] : entry;
    uint64_t now = nbuf_os_nanoseconds();
    uint64_t until = goes_on ? entry->valid_until : now + (now - start) * VALIDITY_FACTOR;
    *entry = (nbuf_searched){range, size, until};
  }
  unlock(regions);
}

/* The best place according to the search memo: a larger one is looked for only if that may
 * succeed. */
static nbuf_search_answer search_place(obstacles *all, const nbuf_gap_request *gap_request,
                                       nbuf_place *region, nbuf_search_memo *memo) {
  nbuf_source source = {next_obstacle, all, all->map.is_cheap_anywhere};
  nbuf_gap_request any_size = *gap_request;
  any_size.accept_any_size = true;
  if (all->known_tight.min < all->known_tight.max &&
      nbuf_placement_search(&any_size, &source, region, memo) == NBUF_SEARCH_FOUND &&
      nbuf_range_holds(all->known_tight, region->start, region->size)) {
    memo->is_tight_known = false; /* it was not searched */
    return NBUF_SEARCH_FOUND;
  }
  return nbuf_placement_search(gap_request, &source, region, memo);
}

/* The last address above the place that is free and into which no stack will grow, or at least none
 * that would reach below the place. The gap may extend beyond the range in which it was seen. */
static uintptr_t clear_until(obstacles *all, const nbuf_gap_request *gap_request,
                             const nbuf_place *place, nbuf_range gap, bool is_mapped) {
  nbuf_mapping above;
  if (gap.max == gap_request->range.max) {
    nbuf_map_answer answer = nbuf_os_map_next(&all->map, gap.max, &above);
    bool is_higher = answer == NBUF_MAP_FOUND && above.range.min > gap.max;
    gap.max = is_higher ? above.range.min - 1 : gap.max;
  }
  uintptr_t last = place->start + (place->size - 1);
  if (gap.max - last >= NBUF_OS_MOST_GROWTH) {
    return gap.max - NBUF_OS_MOST_GROWTH;
  }
  if (is_mapped && (gap.max - last < NBUF_OS_LEAST_GROWTH || all->use_reserved)) {
    return all->use_reserved ? last : gap.max;
  }
  return nbuf_sub_saturating(gap.max, nbuf_os_growth_room(gap.max + 1, all->use_reserved));
}

/* Maps memory at the place; if memory does not suffice for the place's size, only the least
 * size. */
static nbuf_result map_place(const nbuf_gap_request *gap_request, nbuf_place *place) {
  nbuf_result result = nbuf_os_map(place->start, place->size);
  if (result.status == NEARBUF_OUT_OF_MEMORY && place->size > gap_request->least) {
    place->size = gap_request->least;
    result = nbuf_os_map(place->start, place->size);
  }
  return result;
}

/* Maps the places that the search finds, until it finds none, or fails for another reason than
 * room. What a stack will grow into counts as reserved. */
static nbuf_result search_and_map(obstacles *all, const nbuf_gap_request *gap_request,
                                  nbuf_place *region, nbuf_search_memo *memo) {
  for (uint32_t tries = 0; tries < MOST_TRIES; tries++) {
    nbuf_search_answer answer = search_place(all, gap_request, region, memo);
    if (answer == NBUF_SEARCH_FAILED) {
      return nbuf_result_system(NEARBUF_SYSTEM_ERROR, all->map.system_error);
    }
    if (answer == NBUF_SEARCH_NO_ROOM) {
      return nbuf_result_of(NEARBUF_NO_ROOM);
    }
    nbuf_range around;
    if (!all->use_reserved && nbuf_os_is_near_image(nbuf_place_range(region), &around)) {
      all->extra[all->extra_count++] = around;
      continue;
    }
    nbuf_result result = map_place(gap_request, region);
    bool is_mapped = result.status == NEARBUF_OK;
    if (!is_mapped && result.status != NEARBUF_NO_ROOM) {
      return result;
    }
    all->clear_until = clear_until(all, gap_request, region, memo->gap, is_mapped);
    bool is_clear = all->clear_until >= region->start + (region->size - 1);
    if (is_mapped && is_clear) {
      return result;
    }
    if (is_mapped) {
      (void)nbuf_os_unmap(region->start, region->size);
    }
    /* A stack; or another thread was faster, or the map reports as free what the system does not
     * give. */
    all->extra[all->extra_count++] = is_clear ? range_of_refusal(region, tries)
                                              : (nbuf_range){all->clear_until + 1, memo->gap.max};
  }
  return nbuf_result_of(NEARBUF_NO_ROOM);
}

/* Maps `size` bytes at the nearest place that the system finds. Above the origin only what is
 * nearer than the place below is asked for. */
static bool map_nearest(const nbuf_gap_request *gap_request, uintptr_t size, nbuf_place *nearest) {
  uintptr_t origin = nbuf_placement_origin(gap_request);
  nbuf_range to_origin = {0, nbuf_add_saturating(origin, size - 1)};
  nbuf_range from_origin = {origin, UINTPTR_MAX};
  nbuf_place below = {0, size};
  nbuf_range range;
  if (origin > gap_request->range.min &&
      nbuf_range_intersect(gap_request->range, to_origin, &range)) {
    below.start = nbuf_os_map_within(range, size, gap_request->alignment, true);
  }
  *nearest = below;
  uintptr_t distance =
      below.start == 0 ? UINTPTR_MAX : nbuf_placement_distance(gap_request, &below);
  from_origin.max = nbuf_add_saturating(to_origin.max, distance - 1);
  if (distance == 0 || !nbuf_range_intersect(gap_request->range, from_origin, &range)) {
    return below.start != 0;
  }
  uintptr_t above = nbuf_os_map_within(range, size, gap_request->alignment, false);
  if (above == 0) {
    return below.start != 0;
  }
  if (below.start != 0) {
    (void)nbuf_os_unmap(below.start, size);
  }
  nearest->start = above;
  return true;
}

/* Whether a place for the least size is so much nearer than one for the wanted size that it is
 * preferred. */
static bool is_smaller_preferred(const nbuf_gap_request *gap_request, uintptr_t distance) {
  if (gap_request->want == gap_request->least || distance <= NBUF_NEARER_THAT_COUNTS) {
    return false;
  }
  uintptr_t origin = nbuf_placement_origin(gap_request);
  uintptr_t window = distance - NBUF_NEARER_THAT_COUNTS - 1 + (gap_request->least - 1);
  nbuf_range nearer = {nbuf_sub_saturating(origin, window), nbuf_add_saturating(origin, window)};
  nbuf_gap_request smaller = *gap_request;
  nbuf_place place;
  if (!nbuf_range_intersect(gap_request->range, nearer, &smaller.range) ||
      !map_nearest(&smaller, gap_request->least, &place)) {
    return false;
  }
  (void)nbuf_os_unmap(place.start, place.size);
  return true;
}

/* Lets the system search, where it can: the cost does not depend on the number of mappings between.
 * Where a smaller place may be preferred the map tells how large that is. */
static bool let_system_search(const nbuf_gap_request *gap_request, nbuf_place *region) {
  if (!map_nearest(gap_request, gap_request->want, region)) {
    return false;
  }
  if (is_smaller_preferred(gap_request, nbuf_placement_distance(gap_request, region))) {
    (void)nbuf_os_unmap(region->start, region->size);
    return false;
  }
  return true;
}

/* Searches the memory map; `start` is the time at which the search began. */
static nbuf_result search_map(nbuf_regions *regions, const nbuf_gap_request *gap_request,
                              uint64_t start, obstacles *all, nbuf_place *region) {
  nbuf_search_memo memo = {.is_full_known = false, .is_tight_known = false};
  nbuf_result result = nbuf_os_map_open(&all->map, false);
  if (result.status == NEARBUF_OK) {
    uint32_t reserved =
        all->use_reserved ? 0 : (uint32_t)nbuf_os_reserved(gap_request->range, all->extra);
    all->extra_count = reserved;
    if (!all->use_reserved) {
      memo_load(regions, gap_request, start, all);
    }
    result = search_and_map(all, gap_request, region, &memo);
    if (result.status == NEARBUF_NO_ROOM && all->known_full_count > 0) {
      all->known_full_count = 0; /* something there may have become free */
      all->extra_count = reserved;
      result = search_and_map(all, gap_request, region, &memo);
    }
  }
  nbuf_os_map_close(&all->map);
  if (result.status == NEARBUF_OK && !all->use_reserved &&
      gap_request->alignment == gap_request->granularity) {
    bool was_long = all->questions >= QUESTIONS_TO_REMEMBER;
    if (memo.is_full_known) {
      memo_store(regions, memo.full, gap_request->least, was_long, start);
    }
    if (memo.is_tight_known) {
      memo_store(regions, memo.tight, gap_request->want, was_long, start);
    }
  }
  return result;
}

/* What is reserved is used if nothing else fits, and only then looked for: the map is searched a
 * second time if anything was left out. */
static nbuf_result search_twice(nbuf_regions *regions, const nbuf_gap_request *gap_request,
                                uint64_t start, obstacles *all, nbuf_place *region) {
  nbuf_result result = search_map(regions, gap_request, start, all, region);
  if (result.status == NEARBUF_NO_ROOM && !gap_request->spares_reserved && all->extra_count > 0) {
    *all = (obstacles){.use_reserved = true, .clear_until = UINTPTR_MAX};
    result = search_map(regions, gap_request, start, all, region);
  }
  return result;
}

/* Where a search starts, the thread is not cancelled, whatever call it is in (os.h). */
NBUF_COLD static nbuf_result search(nbuf_regions *regions, const nbuf_gap_request *gap_request,
                                    nbuf_place *region) {
  nbuf_os_call call = nbuf_os_call_begin();
  uint64_t start = nbuf_os_nanoseconds();
  nbuf_result result = nbuf_result_of(NEARBUF_OK);
  obstacles all = {.clear_until = UINTPTR_MAX};
  if (!let_system_search(gap_request, region)) {
    result = nbuf_os_may_have_room(gap_request->range, gap_request->least, gap_request->alignment)
                 ? search_twice(regions, gap_request, start, &all, region)
                 : nbuf_result_of(NEARBUF_NO_ROOM);
  }
  if (result.status == NEARBUF_OK) {
    uint64_t now = nbuf_os_nanoseconds();
    memo_add(regions, gap_request, region, &all, now + (now - start) * VALIDITY_FACTOR);
  }
  nbuf_os_call_end(call);
  return result;
}

/* Where the system puts a mapping for which no address is given; 0: it has no memory left. */
static uintptr_t system_place(nbuf_regions *regions) {
  uintptr_t place = atomic_load_explicit(&regions->system_place, memory_order_relaxed);
  if (place == 0) {
    size_t size = nbuf_os_granularity();
    void *probe = nbuf_os_own_pages(size);
    if (probe != NULL) {
      place = (uintptr_t)probe;
      (void)nbuf_os_unmap(place, size);
      atomic_store_explicit(&regions->system_place, place, memory_order_relaxed);
    }
  }
  return place;
}

static nbuf_result make_in_range(nbuf_regions *regions, const nbuf_gap_request *gap_request,
                                 nbuf_place *region) {
  nbuf_result result = make_beside(regions, gap_request, region);
  if (result.status == NEARBUF_NO_ROOM || result.status == NEARBUF_OUT_OF_MEMORY) {
    result = search(regions, gap_request, region);
  }
  return result;
}

nbuf_result nbuf_region_make(nbuf_regions *regions, const nbuf_gap_request *gap_request,
                             nbuf_place *region) {
  nbuf_gap_request possible = *gap_request;
  uintptr_t origin = nbuf_placement_origin(gap_request);
  uintptr_t around = origin > gap_request->range.min ? origin : gap_request->range.min;
  nbuf_range limits = nbuf_os_limits(gap_request->range.min, around);
  *region = (nbuf_place){0, 0};
  if (!nbuf_range_intersect(gap_request->range, limits, &possible.range)) {
    return nbuf_result_of(NEARBUF_NO_ROOM);
  }
  nbuf_range whole = possible.range;
  bool is_narrowed = gap_request->target == 0 && nbuf_is_beyond_4_gib(whole.max) &&
                     nbuf_placement_choose_target(&possible, system_place(regions));
  nbuf_result result = make_in_range(regions, &possible, region);
  if (result.status == NEARBUF_NO_ROOM && is_narrowed) {
    possible.range = whole;
    result = make_in_range(regions, &possible, region);
  }
  if (result.status != NEARBUF_OK) {
    *region = (nbuf_place){0, 0};
  }
  return result;
}

nbuf_result nbuf_region_drop(nbuf_regions *regions, const nbuf_place *region) {
  nbuf_result result = nbuf_os_unmap(region->start, region->size);
  if (result.status == NEARBUF_OK) {
    give_back(regions, region);
  }
  return result;
}
