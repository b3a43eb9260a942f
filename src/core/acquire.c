/* From a request to an item that is held; see acquire.h. */
#include "core/acquire.h"

#include "core/attach.h"
#include "core/header.h"
#include "core/regions.h"
#include "os/os.h"
#include "os/pages.h"

/* What the steps of one request share. */
typedef struct acquisition {
  nbuf_state *state;
  const nbuf_constraint *constraint;
  const nbuf_preference *preference;
  bool is_near; /* the constraint is narrowed to addresses near to the target */
  nbuf_acquired *acquired;
} acquisition;

static bool suits(const acquisition *ctx, const nbuf_locator *locator) {
  return ctx->constraint->only_dialect == 0 || ctx->constraint->only_dialect == locator->dialect;
}

/* The size of the buffer that a region becomes. Sizes have 32 bits: a region of 4 GiB, which the
 * largest requests need, is listed without its last byte. */
static uint32_t listed_size(const nbuf_place *region) {
  return region->size > UINT32_MAX ? UINT32_MAX : (uint32_t)region->size;
}

/* Lists a new region and acquires its item. On failure the region still belongs to the caller.
 * `*is_acquired` is false if the first locator had to be made in a dialect that the request cannot
 * use: then the region is listed, free for every module. */
static nbuf_result list_region(const acquisition *ctx, const nbuf_gap_request *gap_request,
                               const nbuf_place *region, bool *is_acquired) {
  nbuf_item item = {.base = region->start, .size = listed_size(region), .taken = 1};
  bool is_listed;
  nbuf_result result = nbuf_attach_or_make(ctx->state, &item, ctx->preference->dialect, &is_listed);
  *is_acquired = true;
  if (result.status != NEARBUF_OK) {
    return result;
  }
  if (is_listed) {
    const nbuf_locator *first = nbuf_locators_entry(0);
    const nbuf_layout *layout = nbuf_locator_layout(first);
    uintptr_t listed = nbuf_locator_item(first, NBUF_FIRST_SLOT);
    nbuf_acquired made = {.ref = nbuf_item_ref_of(listed, layout),
                          .base = region->start,
                          .order = NBUF_FIRST_SLOT,
                          .size = item.size};
    *ctx->acquired = made;
    *is_acquired = suits(ctx, first);
    if (!*is_acquired) {
      nbuf_item_unlock_in(listed, layout);
    }
    return result;
  }
  /* An alignment beyond a granule holds only for the start of the whole region. */
  bool is_cuttable = gap_request->alignment == gap_request->granularity;
  nbuf_listing listing = {region->start, item.size,
                          is_cuttable ? region->size - gap_request->least : 0,
                          ctx->constraint->only_dialect};
  return nbuf_registry_register(ctx->state, &listing, ctx->acquired);
}

/* Maps a region and lists it. */
static nbuf_result make_region(const acquisition *ctx, const nbuf_gap_request *gap_request,
                               bool *is_acquired) {
  nbuf_place region;
  nbuf_result result = nbuf_region_make(&nbuf_own_regions, gap_request, &region);
  if (result.status != NEARBUF_OK) {
    return result;
  }
  result = list_region(ctx, gap_request, &region, is_acquired);
  if (result.status != NEARBUF_OK) {
    (void)nbuf_region_drop(&nbuf_own_regions, &region);
    return result;
  }
  atomic_fetch_add_explicit(&ctx->state->placed_bytes, region.size, memory_order_relaxed);
  return result;
}

/* The size that a new region should have. It is larger than the request if the existing buffers are
 * used up. It is not if they are only held, so that a program that holds thousands of buffers does
 * not exhaust the range. Threads that contend get room for the pieces in front of an unshared slot;
 * see nbuf_registry_register. */
static uintptr_t size_to_want(nbuf_state *state, uintptr_t least, bool is_held) {
  if (!is_held) {
    return nbuf_placement_region_size(
        atomic_load_explicit(&state->placed_bytes, memory_order_relaxed), least,
        nbuf_os_granularity());
  }
  bool is_contended = atomic_load_explicit(&state->contended, memory_order_relaxed) != 0;
  uintptr_t pieces = (uintptr_t)NBUF_UNSHARED_STRIDE * nbuf_os_granularity();
  return is_contended ? nbuf_add_saturating(least, pieces) : least;
}

/* Maps a region that becomes a new buffer, and acquires it. */
static nbuf_result make(const acquisition *ctx, bool is_held) {
  nbuf_gap_request gap_request;
  if (!nbuf_constraint_need(ctx->constraint, ctx->preference->target, nbuf_os_granularity(),
                            &gap_request)) {
    return nbuf_result_of(NEARBUF_NO_ROOM);
  }
  gap_request.spares_reserved = ctx->is_near;
  gap_request.want = size_to_want(ctx->state, gap_request.least, is_held);
  bool is_acquired = false;
  nbuf_result result = make_region(ctx, &gap_request, &is_acquired);
  if (result.status == NEARBUF_OK && !is_acquired) {
    result = make_region(ctx, &gap_request, &is_acquired); /* the locator exists now */
  }
  return result;
}

static nbuf_result take_or_make(const acquisition *ctx) {
  bool is_held = false;
  nbuf_result result = nbuf_attach(ctx->state, true);
  if (result.status != NEARBUF_OK && result.status != NEARBUF_NOT_FOUND) {
    return result;
  }
  bool is_attached = result.status == NEARBUF_OK;
  if (is_attached) {
    nbuf_header_mend(nbuf_locators_entry(0));
    if (nbuf_registry_take(ctx->state, ctx->constraint, false, ctx->acquired, &is_held)) {
      return result;
    }
    nbuf_result extended = nbuf_locators_extend(ctx->state, true);
    bool is_due = nbuf_registry_is_full_walk_due(ctx->state);
    if (extended.status == NEARBUF_OK &&
        nbuf_registry_take(ctx->state, ctx->constraint, is_due, ctx->acquired, &is_held)) {
      return result;
    }
  }
  result = make(ctx, is_held);
  if (result.status == NEARBUF_NO_ROOM && is_attached &&
      nbuf_registry_take(ctx->state, ctx->constraint, true, ctx->acquired, &is_held)) {
    return nbuf_result_of(NEARBUF_OK);
  }
  return result;
}

/* The last attempts before NO_ROOM: an item that shares its cache line, and room above the range's
 * minimum in a buffer that starts below it. */
static nbuf_result take_anything(const acquisition *ctx) {
  nbuf_constraint wasteful = *ctx->constraint;
  wasteful.may_waste_prefix = true;
  acquisition any = *ctx;
  any.constraint = &wasteful;
  bool is_held;
  uint32_t contended = atomic_exchange_explicit(&ctx->state->contended, 0, memory_order_relaxed);
  bool is_found = nbuf_is_attached(ctx->state) &&
                  nbuf_registry_take(any.state, any.constraint, true, any.acquired, &is_held);
  if (contended != 0) {
    atomic_store_explicit(&ctx->state->contended, 1, memory_order_relaxed);
  }
  return nbuf_result_of(is_found ? NEARBUF_OK : NEARBUF_NO_ROOM);
}

/* Whether memory farther away may succeed. */
static bool is_out_of_room(nbuf_result result) {
  return result.status == NEARBUF_NO_ROOM || result.status == NEARBUF_OUT_OF_MEMORY ||
         result.status == NEARBUF_DENIED;
}

static nbuf_result find_or_make(const acquisition *ctx) {
  nbuf_constraint near_part;
  if (nbuf_constraint_narrow(ctx->constraint, ctx->preference->target, ctx->preference->near_bytes,
                             &near_part)) {
    acquisition closer = *ctx;
    closer.constraint = &near_part;
    closer.is_near = true;
    nbuf_result result = take_or_make(&closer);
    if (!is_out_of_room(result)) {
      return result;
    }
  }
  nbuf_result result = take_or_make(ctx);
  return result.status == NEARBUF_NO_ROOM ? take_anything(ctx) : result;
}

/* Makes the item the one that this thread tries first. If another thread's item lies in the same
 * lines, both would be slow although they never contend for a lock: then the next request looks for
 * an unshared slot. Threads that start at the same time register neighbouring items, since the
 * second one finds the first item held before the first thread has stored its hint. */
static void keep_hint(nbuf_state *state, const nbuf_acquired *acquired, uint32_t generation) {
  nbuf_hint *mine = nbuf_hints_mine(&state->hints);
  nbuf_hint_set(&state->hints, mine, acquired->ref, acquired->order, generation);
  if (atomic_load_explicit(&state->contended, memory_order_relaxed) == 0 &&
      nbuf_hints_crowd(&state->hints, mine, nbuf_item_ref_address(acquired->ref))) {
    atomic_store_explicit(&state->contended, 1, memory_order_relaxed);
    nbuf_hint_set(&state->hints, mine, 0, 0, 0);
  }
}

nbuf_result nbuf_acquire(const nbuf_constraint *constraint, const nbuf_preference *preference,
                         nbuf_acquired *acquired, uint32_t *generation) {
  acquisition ctx = {.constraint = constraint, .preference = preference, .acquired = acquired};
  nbuf_result result = nbuf_state_begin(&ctx.state);
  if (result.status == NEARBUF_OK) {
    result = find_or_make(&ctx);
  }
  if (result.status == NEARBUF_OK) {
    nbuf_constraint wasteful = *constraint;
    wasteful.may_waste_prefix = true;
    (void)nbuf_acquired_fits(&wasteful, acquired); /* sets start and limit, for a new buffer */
    *generation = nbuf_state_generation(ctx.state);
    keep_hint(ctx.state, acquired, *generation);
  }
  return result;
}
