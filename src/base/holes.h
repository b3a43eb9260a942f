/* A small table of places that are known to be free: what a module unmapped between regions that it
 * still has. No system calls, no lock: the caller has one. A place that is removed from the table
 * before it is mapped is tried by no other thread (a claim); a thread that dies in between leaves
 * nothing to clear up.
 *
 * The entries may be wrong, since other code maps memory, too, and even inconsistent, if a lock was
 * taken over: nothing here relies on more than that they exist. */
#ifndef NBUF_HOLES_H
#define NBUF_HOLES_H

#include <stdbool.h>

#include "base/placement.h"

enum { NBUF_HOLES = 32 };

typedef struct nbuf_holes {
  uint32_t count;
  nbuf_place all[NBUF_HOLES]; /* in no order */
} nbuf_holes;

/* The place for gap_request->want bytes that is nearest to the target; false: no hole has one. */
bool nbuf_holes_nearest(const nbuf_holes *holes, const nbuf_gap_request *gap_request,
                        nbuf_place *place);

/* Removes the holes that touch the place, and extends the place by them. */
void nbuf_holes_join(nbuf_holes *holes, nbuf_place *place);

/* Adds a place that touches no hole. If the table is full, the smallest one is forgotten. */
void nbuf_holes_add(nbuf_holes *holes, nbuf_place place);

/* Removes the place's addresses; what remains of a hole stays. */
void nbuf_holes_cut(nbuf_holes *holes, const nbuf_place *place);

#endif
