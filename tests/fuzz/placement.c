/* Fuzz target: the search for a place, in invented maps.
 *
 * An input is a gap request and up to 96 occupied ranges. The result is compared with every gap: a
 * place lies inside one of them, is aligned, in range and of a requested size; it is at most as far
 * away as the rule of placement.h allows; and "no room" is true. */
#include "base/placement.h"
#include "fuzz.h"

enum { MOST_OCCUPIED = 96, FEW_OCCUPIED = 60 };

typedef struct invented_map {
  nbuf_range occupied[MOST_OCCUPIED]; /* ascending, no two share an address */
  uint32_t count;
  bool is_ascending_only;
  uintptr_t last_from;
} invented_map;

static nbuf_source_answer next_occupied(void *context, uintptr_t from, nbuf_range *occupied) {
  invented_map *map = context;
  require(!map->is_ascending_only || from >= map->last_from);
  map->last_from = from;
  for (uint32_t i = 0; i < map->count; i++) {
    if (map->occupied[i].max >= from) {
      *occupied = map->occupied[i];
      return NBUF_SOURCE_FOUND;
    }
  }
  return NBUF_SOURCE_END;
}

/* A number of any magnitude: five bits of shift, then two bytes. */
static uintptr_t wide_number(fuzz_input *input) {
  uint32_t shift = fuzz_byte(input) % 49;
  return (uintptr_t)(fuzz_number(input, 2) << shift);
}

static void invent(fuzz_input *input, invented_map *map) {
  uintptr_t at = 0;
  uint32_t count = fuzz_byte(input) % (MOST_OCCUPIED + 1);
  while (map->count < count) {
    uintptr_t start = nbuf_add_saturating(at, wide_number(input) & ~(uintptr_t)4095);
    uintptr_t length = 4096 + (wide_number(input) & ~(uintptr_t)4095);
    uintptr_t last = nbuf_add_saturating(start, length - 1);
    map->occupied[map->count++] = (nbuf_range){start, last};
    if (last >= UINTPTR_MAX - 4096) {
      return;
    }
    at = last + 1;
  }
}

static bool invent_need(fuzz_input *input, nbuf_gap_request *gap_request) {
  uint8_t choice = fuzz_byte(input);
  gap_request->granularity = (choice & 1) != 0 ? 65536 : 4096;
  gap_request->alignment = gap_request->granularity << (choice >> 1 & 7);
  gap_request->least = gap_request->granularity * (1 + fuzz_byte(input));
  gap_request->want = gap_request->least + gap_request->granularity * fuzz_byte(input);
  gap_request->target = (choice & 16) != 0 ? wide_number(input) : 0;
  gap_request->range.min = wide_number(input);
  gap_request->range.max = (choice & 32) != 0
                               ? nbuf_add_saturating(gap_request->range.min, wide_number(input))
                               : UINTPTR_MAX;
  if ((choice & 64) != 0) {
    gap_request->range.min = nbuf_sub_saturating(gap_request->target, gap_request->range.min);
  }
  return gap_request->range.min <= gap_request->range.max;
}

static bool is_free(const invented_map *map, const nbuf_place *place) {
  nbuf_range range = {place->start, place->start + (place->size - 1)};
  for (uint32_t i = 0; i < map->count; i++) {
    if (nbuf_range_overlaps(range, map->occupied[i])) {
      return false;
    }
  }
  return true;
}

/* The least distance at which any gap has room for `size` bytes; UINTPTR_MAX with `*is_any` false
 * where none has. By brute force over the gaps and the starts that can be nearest. */
/* NOLINTNEXTLINE(readability-function-cognitive-complexity): every gap and every start */
static uintptr_t least_distance(const invented_map *map, const nbuf_gap_request *gap_request,
                                uintptr_t size, bool *saw_any) {
  uintptr_t origin = gap_request->target != 0 ? gap_request->target : gap_request->range.min;
  uintptr_t best = UINTPTR_MAX;
  uintptr_t from = 0;
  bool is_done = false;
  *saw_any = false;
  for (uint32_t i = 0; i <= map->count && !is_done; i++) {
    bool is_last = i == map->count;
    nbuf_range gap = {from, is_last ? UINTPTR_MAX : map->occupied[i].min - 1};
    bool has_gap = is_last || map->occupied[i].min > from;
    nbuf_range inside;
    if (has_gap && nbuf_range_intersect(gap, gap_request->range, &inside)) {
      uintptr_t starts[4] = {inside.min, origin, nbuf_sub_saturating(origin, size - 1),
                             nbuf_sub_saturating(inside.max, size - 1)};
      for (int s = 0; s < 8; s++) {
        uintptr_t start = nbuf_align_down(starts[s / 2], gap_request->alignment);
        if (s % 2 == 1 && !nbuf_align_up(starts[s / 2], gap_request->alignment, &start)) {
          continue;
        }
        nbuf_place place = {start, size};
        if (nbuf_range_holds(inside, start, size)) {
          uintptr_t distance = nbuf_placement_distance(gap_request, &place);
          best = distance < best ? distance : best;
          *saw_any = true;
        }
      }
    }
    is_done = is_last || map->occupied[i].max == UINTPTR_MAX;
    from = is_done ? from : map->occupied[i].max + 1;
  }
  return best;
}

/* No gap that the request could use, if its range were the whole address space, overlaps the
 * addresses that are reported as known full. */
static void check_known_full(const invented_map *map, const nbuf_gap_request *gap_request,
                             nbuf_range full) {
  nbuf_gap_request anywhere = *gap_request;
  anywhere.range = (nbuf_range){0, UINTPTR_MAX};
  uintptr_t from = 0;
  for (uint32_t i = 0; i <= map->count; i++) {
    nbuf_range gap = {from, i < map->count ? map->occupied[i].min - 1 : UINTPTR_MAX};
    nbuf_place place;
    bool is_gap = i == map->count || map->occupied[i].min > from;
    require(!is_gap || !nbuf_range_overlaps(gap, full) ||
            !nbuf_placement_in_gap(&anywhere, gap, &place));
    if (i == map->count || map->occupied[i].max == UINTPTR_MAX) {
      return;
    }
    from = map->occupied[i].max + 1;
  }
}

static void check_search(invented_map *map, const nbuf_gap_request *gap_request,
                         bool is_cheap_anywhere) {
  map->is_ascending_only = !is_cheap_anywhere;
  map->last_from = 0;
  nbuf_source source = {next_occupied, map, is_cheap_anywhere};
  nbuf_place place = {0, 0};
  nbuf_search_memo memo;
  nbuf_search_answer answer = nbuf_placement_search(gap_request, &source, &place, &memo);
  require(answer != NBUF_SEARCH_FAILED);
  if (memo.is_full_known) {
    check_known_full(map, gap_request, memo.full);
  }
  bool fits;
  uintptr_t least = least_distance(map, gap_request, gap_request->least, &fits);
  require((answer == NBUF_SEARCH_FOUND) == fits);
  if (answer != NBUF_SEARCH_FOUND) {
    return;
  }
  require(place.start % gap_request->alignment == 0);
  require(place.size % gap_request->granularity == 0);
  require(place.size >= gap_request->least && place.size <= gap_request->want);
  require(nbuf_range_holds(gap_request->range, place.start, place.size));
  require(is_free(map, &place));
  uintptr_t distance = nbuf_placement_distance(gap_request, &place);
  require(distance <= nbuf_add_saturating(least, NBUF_NEARER_THAT_COUNTS));
  /* Larger gaps than needed are searched for with a limited number of queries. */
  if (place.size == gap_request->want && map->count <= FEW_OCCUPIED) {
    /* In the gap that holds the origin itself the place is above it where it can be. */
    bool saw_any;
    uintptr_t least_for_all = least_distance(map, gap_request, gap_request->want, &saw_any);
    require(distance <= nbuf_add_saturating(least_for_all, gap_request->alignment));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input input = {data, size};
  nbuf_gap_request gap_request = {.accept_any_size = false};
  invented_map map = {.count = 0};
  bool is_possible = invent_need(&input, &gap_request);
  invent(&input, &map);
  if (is_possible) {
    check_search(&map, &gap_request, true);
    check_search(&map, &gap_request, false);
  }
  return 0;
}
