/* Finding and making the anchor; see posix/anchor.h. A child finds its pages, but empty. */
#include "os/posix/anchor.h"

#include <errno.h>
#include <sys/mman.h>

#include "os/os.h"
#include "os/posix/posix.h"

#if !defined(MAP_ANONYMOUS)
#define MAP_ANONYMOUS MAP_ANON
#endif

static uintptr_t place_of(uint32_t index) {
  return (uintptr_t)nbuf_anchor_place(sizeof(uintptr_t), index);
}

typedef struct anchor_words {
  _Atomic uintptr_t first;
  _Atomic uint32_t process; /* their owner, where children inherit them */
} anchor_words;

static _Atomic uint32_t *mark_at(uintptr_t place) {
  return (_Atomic uint32_t *)place;
}

/* The mark of a page. A thread may just be mapping it, and gets some time to finish. */
static uint32_t read_mark(uintptr_t place) {
  uint32_t mark = 0;
  for (int i = 0; i < 100 && mark == 0; i++) {
    if (i > 0) {
      nbuf_os_pause();
    }
    mark = atomic_load_explicit(mark_at(place), memory_order_acquire);
  }
  return mark;
}

/* The address at which this copy last found the word, if a child can read it. */
static _Atomic(_Atomic uintptr_t *) seen;

static _Atomic uintptr_t *word_at(uintptr_t place) {
  anchor_words *words = (anchor_words *)(place + nbuf_os_page_size());
  uint32_t mark = atomic_load_explicit(mark_at(place), memory_order_relaxed);
  if (mark == NBUF_ANCHOR_INHERITED) {
    uint32_t owner = atomic_load_explicit(&words->process, memory_order_relaxed);
    if (!nbuf_posix_is_process(owner)) {
      atomic_store_explicit(&words->first, 0, memory_order_relaxed); /* the parent's */
      atomic_store_explicit(&words->process, nbuf_posix_process(), memory_order_relaxed);
    }
  }
  atomic_store_explicit(&seen, mark == NBUF_ANCHOR_ABSENT ? NULL : &words->first,
                        memory_order_relaxed);
  return &words->first;
}

void nbuf_anchor_forked(uintptr_t locator) {
  _Atomic uintptr_t *word = atomic_load_explicit(&seen, memory_order_relaxed);
  if (word != NULL && locator != 0) {
    uintptr_t there = atomic_load_explicit(word, memory_order_relaxed);
    if ((there & ~(uintptr_t)NBUF_ANCHOR_BELOW_ADDRESS) == locator) {
      (void)atomic_compare_exchange_strong(word, &there, 0);
    }
  }
}

static bool is_own_memory(const nbuf_mapping *mapping, uintptr_t address) {
  return mapping->range.min <= address && !mapping->shared && mapping->inode == 0 &&
         mapping->readable && mapping->writable;
}

/* OK if such memory is mapped there, NOT_FOUND if not. A map that cannot be read must not look like
 * a free place: that would lead to two anchors. */
static nbuf_result check_own_memory(nbuf_map *map, uintptr_t address, nbuf_mapping *mapping) {
  nbuf_map_answer answer = nbuf_os_map_next(map, address, mapping);
  if (answer == NBUF_MAP_FAILED) {
    return nbuf_result_system(NEARBUF_SYSTEM_ERROR, map->system_error);
  }
  bool is_own = answer == NBUF_MAP_FOUND && is_own_memory(mapping, address);
  return nbuf_result_of(is_own ? NEARBUF_OK : NEARBUF_NOT_FOUND);
}

/* OK if the pages could be an anchor's, finished or not. `*is_apart`: they are one mapping of their
 * own, or one each, as their maker leaves them. */
static nbuf_result check_pages(nbuf_map *map, uintptr_t place, bool *is_apart) {
  size_t size = nbuf_os_page_size();
  nbuf_mapping first;
  nbuf_mapping second;
  nbuf_result result = check_own_memory(map, place, &first);
  if (result.status == NEARBUF_OK) {
    result = check_own_memory(map, place + size, &second);
  }
  *is_apart = result.status == NEARBUF_OK && first.range.min == place &&
              second.range.max == place + (2 * size - 1);
  return result;
}

/* Stores the mark of new pages, once children are provided for. Any thread may do it: the maker can
 * have been stopped after it mapped them. Returns the mark. */
static uint32_t store_mark(uintptr_t place) {
  size_t size = nbuf_os_page_size();
  uint32_t mark = NBUF_ANCHOR_INHERITED;
  if (nbuf_posix_wipe_in_children((void *)(place + size), size)) {
    mark = NBUF_ANCHOR_WIPED;
  } else if (nbuf_posix_keep_from_children((void *)place, 2 * size)) {
    mark = NBUF_ANCHOR_ABSENT;
  }
  uint32_t there = 0;
  return atomic_compare_exchange_strong(mark_at(place), &there, mark) ? mark : there;
}

static nbuf_result check_anchor(nbuf_map *map, uintptr_t place) {
  bool is_apart;
  nbuf_result result = check_pages(map, place, &is_apart);
  if (result.status == NEARBUF_OK) {
    uint32_t mark = read_mark(place);
    mark = mark == 0 && is_apart ? store_mark(place) : mark;
    bool is_marked =
        mark == NBUF_ANCHOR_WIPED || mark == NBUF_ANCHOR_INHERITED || mark == NBUF_ANCHOR_ABSENT;
    result = nbuf_result_of(is_marked ? NEARBUF_OK : NEARBUF_NOT_FOUND);
  }
  return result;
}

static bool is_any_place_taken(void) {
  for (uint32_t i = 0; place_of(i) != 0; i++) {
    if (nbuf_posix_may_be_mapped(place_of(i))) {
      return true;
    }
  }
  return false;
}

nbuf_result nbuf_anchor_find(_Atomic uintptr_t **word) {
  if (!is_any_place_taken()) {
    return nbuf_result_of(NEARBUF_NOT_FOUND);
  }
  nbuf_map map;
  nbuf_result result = nbuf_os_map_open(&map, false);
  if (result.status == NEARBUF_OK) {
    result = nbuf_result_of(NEARBUF_NOT_FOUND);
    for (uint32_t i = 0; place_of(i) != 0 && result.status == NEARBUF_NOT_FOUND; i++) {
      result = check_anchor(&map, place_of(i));
      if (result.status == NEARBUF_OK) {
        *word = word_at(place_of(i));
      }
    }
  }
  nbuf_os_map_close(&map);
  return result;
}

/* The result if a place cannot be mapped: the place is occupied or never given by the system, or
 * nothing can be mapped now. The last two may have the same code. */
static nbuf_result result_of_claim(int error, size_t size) {
  bool is_of_place = error == EEXIST || error == EINVAL;
  if (error == ENOMEM || error == EPERM || error == EACCES) {
    void *elsewhere = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    is_of_place = elsewhere != MAP_FAILED;
    if (is_of_place) {
      (void)munmap(elsewhere, size);
    }
  }
  return nbuf_result_system(is_of_place ? NEARBUF_NO_ROOM : NEARBUF_OUT_OF_MEMORY, error);
}

/* Maps the anchor if the place is free: the map call decides between two threads. NO_ROOM: it is
 * not free, or the system never gives it. */
static nbuf_result claim(uintptr_t place, _Atomic uintptr_t **word) {
  size_t size = nbuf_os_page_size();
  int error = nbuf_posix_map_at(place, 2 * size, PROT_READ | PROT_WRITE);
  if (error != 0) {
    return result_of_claim(error, 2 * size);
  }
  (void)store_mark(place);
  *word = word_at(place);
  return nbuf_result_of(NEARBUF_OK);
}

/* Every copy tries the places in the same order, so two makers meet at the first place that either
 * gets. */
nbuf_result nbuf_anchor_make(_Atomic uintptr_t **word) {
  nbuf_result result = nbuf_result_of(NEARBUF_NOT_FOUND);
  for (uint32_t i = 0; place_of(i) != 0 && result.status == NEARBUF_NOT_FOUND; i++) {
    result = claim(place_of(i), word);
    if (result.status == NEARBUF_NO_ROOM) {
      result = nbuf_anchor_find(word);
    }
  }
  return result;
}

static bool is_any_unfinished(void) {
  nbuf_map map;
  bool is_unfinished = false;
  if (nbuf_os_map_open(&map, false).status == NEARBUF_OK) {
    for (uint32_t i = 0; place_of(i) != 0 && !is_unfinished; i++) {
      bool is_apart;
      is_unfinished = check_pages(&map, place_of(i), &is_apart).status == NEARBUF_OK &&
                      atomic_load_explicit(mark_at(place_of(i)), memory_order_acquire) == 0;
    }
  }
  nbuf_os_map_close(&map);
  return is_unfinished;
}

bool nbuf_anchor_may_be_missing(void) {
  if (is_any_unfinished()) {
    return true;
  }
  _Atomic uintptr_t *word;
  nbuf_result result = nbuf_anchor_make(&word);
  return result.status == NEARBUF_NOT_FOUND;
}
