/* Other processes: getting a buffer, appending to it, releasing it.
 *
 * A locator is read in a copy, and changed in the page itself, which is shared with the process
 * meanwhile. Its fields are as wide as the addresses of the process, so functions take its
 * layout. */
#include "base/item.h"
#include "os/os.h"
#include "os/wait.h"
#include "remote/memory.h"
#include "remote/port.h"
#include "remote/process.h"
#include "remote/walk.h"

/* ---- Getting --------------------------------------------------------------------------------- */

enum { SHARED_SIZE = 64 << 10 }; /* of a new buffer, if there is room */

/* What the number of a walk is before it comes to the first locator. */
enum { NO_LOCATOR = 0xffff };

/* So often another locator may be linked before ours, until the request is given up. */
enum { MOST_LINKS = 16 };

/* The results of a search. */
typedef struct finding {
  nearbuf_process *process;
  nbuf_process_wish wanted;
  nbuf_constraint constraint; /* of the request, or the part of it that is near */
  bool is_near;
  nearbuf_process_buffer *buffer;
  nearbuf_process_walk walk;
  nbuf_result refused; /* an item fits, but its locator could not be shared with us */
  bool is_held;        /* an item fits, but another thread or process holds it */
  bool has_none;       /* it has no locator; a thread that makes one has the name, or the anchor */
  bool is_listed;      /* the new region is in a locator: it stays, whatever comes */
  uint32_t in_vain;    /* items whose memory was not there */
  nbuf_remote_draft draft;
  /* One lock of a header was waited for in vain: a process that means harm can hold thousands. */
  _Atomic bool are_locks_given_up;
} finding;

/* For each item that fits, the map is read. A process that lists this many without memory is not
 * checked for more of them. */
enum { MOST_IN_VAIN = 64 };

/* Whether the room of a buffer is sufficient. */
static bool fits(const nbuf_constraint *constraint, const nbuf_item *item) {
  uint32_t start;
  uint32_t limit;
  return item->base != 0 &&
         nbuf_constraint_fits(constraint, item->base, item->size, item->position, &start, &limit);
}

/* Fills the buffer for an item that fits and is held. The room is that of the whole request. */
static void fill(const finding *ctx, const nbuf_item *item, uintptr_t place, nbuf_remote_view *view,
                 intptr_t memory) {
  nearbuf_process_buffer *buffer = ctx->buffer;
  uint32_t start = 0;
  uint32_t limit = 0;
  (void)nbuf_constraint_fits(&ctx->wanted.constraint, item->base, item->size, item->position,
                             &start, &limit);
  buffer->address = item->base;
  buffer->size = item->size;
  buffer->room = limit - start;
  buffer->position = item->position;
  buffer->start = start;
  buffer->flags = ctx->wanted.flags;
  buffer->layout = ctx->walk.width << 8 | ctx->walk.dialect;
  buffer->item = place;
  buffer->handles[0] = (intptr_t)view->page;
  buffer->handles[1] = (intptr_t)view->size;
  buffer->handles[2] = memory;
  *view = (nbuf_remote_view){0, 0, 0}; /* the buffer has it now */
}

static const nbuf_layout *buffer_layout(const nearbuf_process_buffer *buffer) {
  return nbuf_layout_of(buffer->layout >> 8, buffer->layout & 0xff);
}

/* Locks an item in the page itself and checks again whether it fits. */
static bool lock_item(const finding *ctx, nbuf_remote_view *view, uint32_t index, intptr_t memory) {
  const nbuf_layout *layout = nbuf_walk_layout(&ctx->walk);
  uintptr_t item = nbuf_item_at(view->base, layout, index);
  if (!nbuf_item_try_lock_in(item, layout)) {
    return false;
  }
  nbuf_item locked = nbuf_item_read(item, layout);
  if (nbuf_item_check(&locked, layout) == NBUF_FAULT_NONE && fits(&ctx->constraint, &locked)) {
    fill(ctx, &locked, item, view, memory);
    return true;
  }
  nbuf_item_unlock_in(item, layout);
  return false;
}

/* Whether an item of the copy may be used at all. */
static bool is_usable(finding *ctx, uint32_t index, const nbuf_item *item) {
  const nearbuf_process_walk *walk = &ctx->walk;
  uint64_t in_page = nbuf_os_page_size() - 1;
  if (ctx->in_vain == MOST_IN_VAIN ||
      nbuf_item_check(item, nbuf_walk_layout(walk)) != NBUF_FAULT_NONE ||
      (item->base & ~in_page) == (walk->address & ~in_page) ||
      nbuf_format_overlaps(nbuf_walk_image(walk), nbuf_walk_layout(walk), index, walk->count)) {
    return false;
  }
  bool is_there =
      nbuf_process_check_usable(ctx->process, item->base, item->size).status == NEARBUF_OK;
  ctx->in_vain += is_there ? 0 : 1;
  return is_there;
}

/* Opens what holding a buffer requires. Without the memory nothing can be appended, but a buffer of
 * a process that hides its memory can still be held. */
static bool open_to_hold(finding *ctx, nbuf_remote_view *view, intptr_t *memory) {
  nbuf_result result = nbuf_remote_memory_open(ctx->process, memory);
  bool is_hidden = result.status == NEARBUF_DENIED && ctx->process->address_bits == 0;
  if (result.status == NEARBUF_OK || is_hidden) {
    result = nbuf_remote_view_open(ctx->process, ctx->walk.address, view);
  }
  if (result.status != NEARBUF_OK) {
    nbuf_remote_memory_close(*memory);
    ctx->refused = result;
  }
  return result.status == NEARBUF_OK;
}

/* Takes the first item of the current locator that fits. */
static bool take_here(finding *ctx) {
  nbuf_remote_view view = {0, 0, 0};
  intptr_t memory = 0;
  bool is_found = false;
  for (uint32_t i = 0; i < ctx->walk.count && !is_found; i++) {
    nbuf_item item = nbuf_walk_item(&ctx->walk, i);
    if (!fits(&ctx->constraint, &item)) {
      continue;
    }
    ctx->is_held = ctx->is_held || item.taken != 0;
    bool is_hidden = ctx->process->address_bits == 0; /* then its map is hidden, too */
    if (item.taken != 0 || (!is_hidden && !is_usable(ctx, i, &item))) {
      continue;
    }
    if (view.base == 0 && !open_to_hold(ctx, &view, &memory)) {
      return false;
    }
    is_found = lock_item(ctx, &view, i, memory);
  }
  if (!is_found) {
    nbuf_remote_view_close(&view);
    nbuf_remote_memory_close(memory);
  }
  return is_found;
}

/* Calls `visit` for every valid locator, until it returns true. OK: it did; NOT_FOUND: it never
 * did. `*is_damaged`: a locator was not valid. */
static nbuf_result each_locator(finding *ctx, bool (*visit)(finding *ctx, void *context),
                                void *context, bool *is_damaged) {
  nbuf_walk_start(&ctx->walk);
  ctx->walk.number = NO_LOCATOR;
  *is_damaged = false;
  nbuf_result result;
  for (;;) {
    nearbuf_process_locator locator = {0};
    result = nbuf_walk_next_locator(ctx->process, &ctx->walk, &locator);
    if (result.status != NEARBUF_OK) {
      return result;
    }
    if (locator.fault != NULL) {
      *is_damaged = true; /* not written to */
    } else if (visit(ctx, context)) {
      return result;
    }
  }
}

static bool visit_to_take(finding *ctx, void *context) {
  (void)context;
  return take_here(ctx);
}

/* ---- Registering ----------------------------------------------------------------------------- */

/* The end of the chain, found in the search for a free slot. */
typedef struct listing {
  nbuf_item item;
  uint64_t last;
  bool may_have_rust; /* a locator is of the Rust implementation, or of an unknown one */
} listing;

/* The caller holds the lock. Another implementation that was starting can have cleared the count of
 * the first locator (header.h): the slots are valid, if they contain items. No library clears the
 * header of a later locator, and what is behind its count can be arbitrary. */
static uint32_t next_slot(const nearbuf_process_walk *walk, uintptr_t locator) {
  const nbuf_layout *layout = nbuf_walk_layout(walk);
  return walk->number == 0 ? nbuf_format_count_by_slots(locator, layout, walk->address)
                           : nbuf_format_count(locator, layout);
}

/* Lists the item in the current locator, if that has a free slot, and holds it. */
static bool list_here(finding *ctx, void *context) {
  listing *new = context;
  const nbuf_layout *layout = nbuf_walk_layout(&ctx->walk);
  bool is_unknown = ctx->walk.dialect == NEARBUF_DIALECT_UNKNOWN; /* it is empty */
  new->last = ctx->walk.address;
  new->may_have_rust |= is_unknown || ctx->walk.dialect == NEARBUF_DIALECT_RUST;
  nbuf_remote_view view = {0, 0, 0};
  intptr_t memory = 0;
  if (is_unknown || ctx->walk.count >= layout->capacity || !open_to_hold(ctx, &view, &memory)) {
    return false;
  }
  bool is_listed = false;
  if (nbuf_wait_for_lock(view.base + layout->locked, &ctx->are_locks_given_up)) {
    uint32_t count = next_slot(&ctx->walk, view.base);
    uintptr_t header = view.base + layout->locked;
    if (count < layout->capacity) {
      uintptr_t item = nbuf_item_at(view.base, layout, count);
      nbuf_item_write(item, layout, &new->item);
      nbuf_format_store_count(view.base, layout, count + 1);
      is_listed = true;
      ctx->is_listed = true;
      nbuf_shared_unlock_release(header);
      fill(ctx, &new->item, item, &view, memory);
    } else {
      nbuf_shared_unlock_release(header);
    }
  }
  if (!is_listed) {
    nbuf_remote_view_close(&view);
    nbuf_remote_memory_close(memory);
  }
  return is_listed;
}

static bool set_link(uintptr_t link, uint32_t width, uint64_t next) {
  if (width == sizeof(uintptr_t)) {
    return nbuf_shared_link_set_release(link, (uintptr_t)next);
  }
  uint32_t none = 0;
  return atomic_compare_exchange_strong_explicit(nbuf_shared_word(link), &none,
                                                 nbuf_little_32((uint32_t)next),
                                                 memory_order_acq_rel, memory_order_acquire);
}

/* Links the new locator behind the last one, whose page is open. */
static bool link_behind(finding *ctx, const nbuf_remote_view *last, uint64_t added) {
  uint32_t width = nbuf_process_width(ctx->process);
  const nbuf_layout *of_last = nbuf_layout_of(width, NEARBUF_DIALECT_UNKNOWN); /* its header */
  bool is_locked = nbuf_wait_for_lock(last->base + of_last->locked, &ctx->are_locks_given_up);
  bool is_linked = set_link(last->base + of_last->next, width, added);
  if (is_locked) {
    nbuf_shared_unlock_release(last->base + of_last->locked);
  }
  return is_linked;
}

/* Holds the last item of a locator that this call made. The last locator's page: none, if it is the
 * first one. What cannot be held is not linked; a first one has its name already. */
static nbuf_result link_and_hold(finding *ctx, const nbuf_remote_view *last,
                                 const nbuf_remote_page *added, const nbuf_initial_items *initial) {
  bool is_first = last->base == 0;
  nbuf_remote_view view = {0, 0, 0};
  intptr_t memory = 0;
  ctx->walk.address = added->address;
  ctx->walk.dialect = initial->layout->dialect;
  ctx->walk.width = nbuf_process_width(ctx->process);
  bool is_open = open_to_hold(ctx, &view, &memory);
  ctx->is_listed = is_first || (is_open && link_behind(ctx, last, added->address));
  if (is_open && ctx->is_listed) {
    uint32_t index = initial->count - 1;
    fill(ctx, &initial->items[index], nbuf_item_at(view.base, initial->layout, index), &view,
         memory);
    return nbuf_result_of(NEARBUF_OK);
  }
  if (is_open) {
    nbuf_remote_view_close(&view);
    nbuf_remote_memory_close(memory);
  }
  if (!ctx->is_listed) {
    nbuf_remote_page_discard(ctx->process, added);
  }
  return is_open ? nbuf_result_of(NEARBUF_BUSY) : ctx->refused;
}

/* Adds a locator to the end of the chain, or as the first one. BUSY: another thread or process was
 * faster. Where the Rust implementation may be present the locator has its layout, which neither
 * other implementation damages. */
static nbuf_result grow(finding *ctx, const listing *new) {
  bool is_first = new->last == 0;
  uint32_t dialect = new->may_have_rust ? NEARBUF_DIALECT_RUST : NEARBUF_DIALECT_WRITTEN;
  uint32_t slot = is_first ? NBUF_FIRST_SLOT : 0;
  nbuf_item items[NBUF_FIRST_SLOT + 1] = {{0}};
  items[slot] = new->item;
  const nbuf_initial_items initial = {nbuf_layout_of(nbuf_process_width(ctx->process), dialect),
                                      items, slot + 1};
  nbuf_remote_view last = {0, 0, 0};
  if (!is_first) {
    nbuf_result result = nbuf_remote_view_open(ctx->process, new->last, &last);
    if (result.status != NEARBUF_OK) {
      return result;
    }
  }
  nbuf_remote_page added = {0, 0};
  nbuf_result result =
      nbuf_remote_page_make(ctx->process, &initial, is_first ? &ctx->draft : NULL, &added);
  if (result.status == NEARBUF_OK) {
    result = link_and_hold(ctx, &last, &added, &initial);
  }
  nbuf_remote_view_close(&last);
  return result;
}

/* Lists a new region, which is the caller's on failure. */
static nbuf_result list_region(finding *ctx, const nbuf_place *region) {
  listing new = {.item = {.base = region->start, .size = (uint32_t)region->size, .taken = 1}};
  nbuf_result result = nbuf_result_of(NEARBUF_BUSY);
  uint64_t end = nbuf_os_nanoseconds() + NBUF_WAIT_BOUND_NS;
  for (int tries = 0; tries < MOST_LINKS && result.status == NEARBUF_BUSY && !ctx->is_listed &&
                      (tries == 0 || nbuf_os_nanoseconds() < end);
       tries++) {
    bool is_damaged = false;
    new.last = 0;
    new.may_have_rust = false;
    result = ctx->has_none && tries == 0 ? nbuf_result_of(NEARBUF_NOT_FOUND)
                                         : each_locator(ctx, list_here, &new, &is_damaged);
    if (result.status != NEARBUF_NOT_FOUND) {
      return result;
    }
    result = is_damaged ? nbuf_result_of(NEARBUF_INCOMPATIBLE) : grow(ctx, &new);
  }
  return result;
}

static nbuf_result make(finding *ctx) {
  nbuf_place region;
  nbuf_result result =
      nbuf_process_make_memory(ctx->process, &ctx->constraint, ctx->wanted.target, SHARED_SIZE,
                               ctx->is_near, ctx->has_none ? &ctx->draft : NULL, &region);
  if (result.status == NEARBUF_OK) {
    result = list_region(ctx, &region);
    if (result.status != NEARBUF_OK && !ctx->is_listed) {
      (void)nbuf_remote_free(ctx->process, region.start, region.size);
    }
  }
  nbuf_remote_draft_discard(ctx->process, &ctx->draft);
  return result;
}

/* ---- The public calls on buffers ------------------------------------------------------------- */

static nbuf_result get_within(finding *ctx) {
  bool is_damaged;
  nbuf_result result = each_locator(ctx, visit_to_take, NULL, &is_damaged);
  ctx->has_none = result.status == NEARBUF_NOT_FOUND && ctx->walk.number == NO_LOCATOR;
  if (result.status != NEARBUF_NOT_FOUND) {
    return result;
  }
  if (is_damaged) {
    return nbuf_result_of(NEARBUF_INCOMPATIBLE);
  }
  if ((ctx->wanted.flags & NEARBUF_PROCESS_EXISTING) == 0) {
    result = make(ctx);
    if (result.status != NEARBUF_NO_ROOM) {
      return result;
    }
  }
  if (ctx->refused.status != NEARBUF_OK) {
    return ctx->refused;
  }
  return nbuf_result_of(ctx->is_held ? NEARBUF_BUSY : NEARBUF_NO_ROOM);
}

/* Whether memory farther away may succeed. */
static bool is_out_of_room(const finding *ctx, nbuf_result result) {
  return result.status == NEARBUF_NO_ROOM || result.status == NEARBUF_OUT_OF_MEMORY ||
         (result.status == NEARBUF_BUSY && ctx->is_held);
}

/* Memory as near as requested comes first, then all of the range. */
static nbuf_result get(finding *ctx) {
  const nbuf_process_wish *wanted = &ctx->wanted;
  if (nbuf_constraint_narrow(&wanted->constraint, wanted->target, wanted->near_bytes,
                             &ctx->constraint)) {
    ctx->is_near = true;
    nbuf_result result = get_within(ctx);
    if (ctx->is_listed || !is_out_of_room(ctx, result)) {
      return result;
    }
  }
  ctx->constraint = wanted->constraint;
  ctx->is_near = false;
  ctx->is_held = false;
  ctx->refused = nbuf_result_of(NEARBUF_OK);
  return get_within(ctx);
}

nearbuf_status nearbuf_process_get(nearbuf_process *process, const nearbuf_process_request *request,
                                   nearbuf_process_buffer *buffer) {
  if (buffer == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *buffer = (nearbuf_process_buffer){0};
  if (!nbuf_process_is_open(process)) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nbuf_process_wish wanted;
  nearbuf_status status = nbuf_process_check_request(process, request, &wanted);
  if (status != NEARBUF_OK) {
    process->system_error = 0;
    return status;
  }
  nbuf_os_call call = nbuf_os_call_begin();
  finding ctx = {.process = process, .wanted = wanted, .buffer = buffer};
  nbuf_result result = nbuf_remote_note_program(process);
  bool is_hidden = result.status == NEARBUF_DENIED; /* but its existing buffers may be used */
  if (result.status == NEARBUF_OK || is_hidden) {
    result = nbuf_process_explain(process, get(&ctx));
  }
  return nbuf_process_call_end(process, result, call);
}

/* The position is shared, but only the holder changes it. */
static void advance(nearbuf_process_buffer *buffer, uint32_t position) {
  uint32_t end = buffer->start + buffer->room;
  buffer->position = position;
  buffer->start = position < end ? position : end;
  buffer->room = end - buffer->start;
  nbuf_shared_store_relaxed(buffer->item + buffer_layout(buffer)->position, position);
}

nearbuf_status nearbuf_process_append(nearbuf_process *process, nearbuf_process_buffer *buffer,
                                      const void *bytes, size_t size_bytes, uint64_t *address) {
  if (address != NULL) {
    *address = 0;
  }
  if (buffer == NULL || !nbuf_process_is_open(process)) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  process->system_error = 0;
  if (buffer->item == 0) {
    return NEARBUF_INVALID_HANDLE;
  }
  if (bytes == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  if (size_bytes == 0) {
    return NEARBUF_INVALID_SIZE;
  }
  if (size_bytes > buffer->room) {
    return NEARBUF_BEYOND_ROOM;
  }
  if (buffer->handles[2] == 0) {
    return NEARBUF_DENIED; /* the process hides its memory */
  }
  nbuf_os_call call = nbuf_os_call_begin();
  uint64_t place = buffer->address + buffer->start;
  nbuf_result result = nbuf_remote_memory_write(buffer->handles[2], place, bytes, size_bytes);
  if (result.status == NEARBUF_OK) {
    advance(buffer, buffer->start + (uint32_t)size_bytes);
    if (address != NULL) {
      *address = place;
    }
  }
  return nbuf_process_call_end(process, result, call);
}

nearbuf_status nearbuf_process_release(nearbuf_process *process, nearbuf_process_buffer *buffer) {
  if (buffer == NULL || process == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  if (buffer->item == 0) {
    return NEARBUF_INVALID_HANDLE;
  }
  nbuf_os_call call = nbuf_os_call_begin();
  /* The last cache line of data that will be written often is left to that data. */
  if ((buffer->flags & NEARBUF_DATA) != 0 && buffer->start == buffer->position) {
    advance(buffer, nbuf_line_end(buffer->address, buffer->size, buffer->position));
  }
  nbuf_item_unlock_in(buffer->item, buffer_layout(buffer));
  nbuf_remote_view view = {buffer->item, (uintptr_t)buffer->handles[0], (size_t)buffer->handles[1]};
  nbuf_remote_view_close(&view);
  nbuf_remote_memory_close(buffer->handles[2]);
  *buffer = (nearbuf_process_buffer){0};
  return nbuf_process_call_end(process, nbuf_result_of(NEARBUF_OK), call);
}
