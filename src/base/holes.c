/* A table of places that are known to be free; see holes.h. */
#include "base/holes.h"

/* Never more than there are, whatever was stored. */
static uint32_t count_of(const nbuf_holes *holes) {
  return holes->count < NBUF_HOLES ? holes->count : NBUF_HOLES;
}

/* Removes an entry; the last one takes its place. */
static void forget(nbuf_holes *holes, uint32_t index) {
  uint32_t last = count_of(holes) - 1;
  holes->all[index] = holes->all[last];
  holes->count = last;
}

bool nbuf_holes_nearest(const nbuf_holes *holes, const nbuf_gap_request *gap_request,
                        nbuf_place *place) {
  bool is_found = false;
  uintptr_t nearest = UINTPTR_MAX;
  for (uint32_t i = 0; i < count_of(holes); i++) {
    const nbuf_place *hole = &holes->all[i];
    nbuf_place inside;
    if (hole->size < gap_request->want || nbuf_placement_distance(gap_request, hole) >= nearest ||
        !nbuf_placement_nearest(gap_request, nbuf_place_range(hole), &inside)) {
      continue;
    }
    uintptr_t distance = nbuf_placement_distance(gap_request, &inside);
    if (distance < nearest) {
      nearest = distance;
      *place = inside;
      is_found = true;
    }
  }
  return is_found;
}

void nbuf_holes_join(nbuf_holes *holes, nbuf_place *place) {
  for (uint32_t i = count_of(holes); i-- > 0;) {
    nbuf_place hole = holes->all[i];
    uintptr_t end = place->start + place->size;
    uintptr_t hole_end = hole.start + hole.size;
    if (hole.start <= end && place->start <= hole_end) {
      place->start = hole.start < place->start ? hole.start : place->start;
      place->size = (hole_end > end ? hole_end : end) - place->start;
      forget(holes, i);
    }
  }
}

void nbuf_holes_add(nbuf_holes *holes, nbuf_place place) {
  uint32_t count = count_of(holes);
  if (count < NBUF_HOLES) {
    holes->all[count] = place;
    holes->count = count + 1;
    return;
  }
  nbuf_place *smallest = &holes->all[0];
  for (uint32_t i = 1; i < NBUF_HOLES; i++) {
    smallest = holes->all[i].size < smallest->size ? &holes->all[i] : smallest;
  }
  if (smallest->size < place.size) {
    *smallest = place;
  }
}

void nbuf_holes_cut(nbuf_holes *holes, const nbuf_place *place) {
  uintptr_t end = place->start + place->size;
  for (uint32_t i = count_of(holes); i-- > 0;) {
    nbuf_place hole = holes->all[i];
    uintptr_t hole_end = hole.start + hole.size;
    if (hole.start >= end || place->start >= hole_end) {
      continue;
    }
    forget(holes, i);
    if (hole.start < place->start) {
      nbuf_holes_add(holes, (nbuf_place){hole.start, place->start - hole.start});
    }
    if (end < hole_end) {
      nbuf_holes_add(holes, (nbuf_place){end, hole_end - end});
    }
  }
}
