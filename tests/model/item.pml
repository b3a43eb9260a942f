/* Acquiring and releasing an item, with a fork in between: threads take the first item that fits, append
 * and release; the room that was read before the lock is checked again under it, or, on the fast path,
 * is known to be unchanged. A fork copies the state of the process; a child's generation is 0
 * until it begins its own state, and no handle of the parent touches the parent's item.
 * src/core/registry.h: nbuf_item_acquire, nbuf_item_acquire_unchanged; src/api/buffers.c: check_handle,
 * nearbuf_release; src/core/state.c: nbuf_state_begin.
 *
 *   WITHOUT_CHECK_UNDER_LOCK   an item is used as it was read before it was locked
 *   WITHOUT_GENERATION         a handle is accepted whatever process it comes from */

#define THREADS 3
#define ROOM 3          /* of the one item; each append uses up 2 or 1 */
#define PARENT 0
#define CHILD 1

bool taken;             /* the shared lock word, of the parent's locator */
byte position;
byte holders;           /* threads that hold the item by their own account */
bool has_forked;
byte generation[2];     /* of the state: the parent's and, once forked, the child's; 0: wiped */
byte last_generation = 1;
byte releases_by_child;

inline claim(size) {
  seen = position;
  is_acquired = false;
  if
  :: seen + size <= ROOM ->
     atomic { if :: !taken -> taken = true; is_locked = true :: else -> is_locked = false fi }
     if
     :: is_locked ->
        if
#ifndef WITHOUT_CHECK_UNDER_LOCK
        :: true ->                    /* nbuf_item_acquire */
           seen = position;
           if
           :: seen + size <= ROOM -> is_acquired = true
           :: else -> taken = false
           fi
        :: true ->                    /* nbuf_item_acquire_unchanged */
           if
           :: seen == position -> is_acquired = true
           :: else -> taken = false
           fi
#else
        :: true -> is_acquired = true
#endif
        fi
     :: else
     fi
  :: else
  fi
}

proctype thread(byte size) {
  byte seen;
  bool is_locked, is_acquired;
  byte handle = 0;      /* the generation that is in it; 0: not held */

  claim(size);
  if
  :: is_acquired ->
     handle = generation[PARENT];
     holders++;
     assert(holders == 1);            /* never held twice */
     assert(position + size <= ROOM); /* never less than requested */
     if
     :: !has_forked -> has_forked = true; run child(handle) /* fork, with the handle in the child */
     :: true
     fi;
     position = position + size;
     holders--;
     assert(handle == generation[PARENT]); /* check_handle in the parent */
     taken = false
  :: else
  fi
}

/* What the child does with the handle it inherited, before and after its own first call. The shared
 * page is not mapped in it; what it would store to is counted. */
proctype child(byte handle) {
  generation[CHILD] = 0;              /* wiped by the kernel, or by nbuf_forked */
  if
  :: true ->                          /* nbuf_state_begin */
     last_generation++;
     generation[CHILD] = last_generation
  :: true
  fi;
#ifndef WITHOUT_GENERATION
  if
  :: handle == generation[CHILD] -> releases_by_child++
  :: else -> skip                     /* STALE */
  fi
#else
  releases_by_child++
#endif
}

init {
  atomic {
    generation[PARENT] = 1;
    run thread(1); run thread(2); run thread(2)
  }
  (_nr_pr == 1);
  assert(!taken && holders == 0);     /* nothing stays held */
  assert(position <= ROOM);
  assert(releases_by_child == 0)
}
