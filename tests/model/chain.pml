/* Registration and growth: threads of several modules list new items in the first locator with a
 * free slot, and link a new locator to the end of the chain if there is none; a holder
 * of a header's lock may die at any instruction. src/core/registry.c: register_in, grow, lock_header.
 *
 * A locator has CAPACITY slots, an item is the number of the thread that listed it. lock_header may
 * give up at any time while another thread holds the lock: that is the bound.
 *
 *   WITHOUT_HEADER_LOCK    items are listed without the lock
 *   WITHOUT_RECOUNT        the count that was read before the lock is used under it
 *   WITHOUT_COMPARE        the link is stored, not set by compare-and-swap from 0 */

#ifndef THREADS
#define THREADS 3
#endif
#define CAPACITY 1
#define LOCATORS (THREADS + 1)
#define NO_ITEM 255
#define NONE 255

byte count[LOCATORS];
byte item[LOCATORS];           /* CAPACITY is 1: a full locator is what matters */
bool is_locked[LOCATORS];
byte next[LOCATORS] = NONE;
bool is_listed[THREADS];       /* the call returned OK */
bool is_dead[THREADS];
byte at_of[THREADS];           /* where it was listed */
byte deaths;

/* A thread may be killed wherever this is used; others go on. One death is sufficient. */
inline may_die() {
  if
  :: deaths == 0 -> deaths++; is_dead[self] = true; goto end
  :: true
  fi
}

/* lock_header: false is returned only while the lock is held. */
inline lock_header(number) {
#ifndef WITHOUT_HEADER_LOCK
  do
  :: atomic { !is_locked[number] -> is_locked[number] = true; has_lock = true; break }
  :: is_locked[number] -> has_lock = false; break /* held past the bound */
  od
#else
  has_lock = true
#endif
}

inline unlock_header(number) {
  is_locked[number] = false
}

proctype caller(byte self) {
  byte number = 0;
  byte first;
  bool has_lock, is_linked, is_given_up[LOCATORS];
  byte own = self + 1; /* the locator that this thread would add */

  do
  :: true ->
     /* register_in */
     first = count[number];
     if
     :: first < CAPACITY && !is_given_up[number] ->
        lock_header(number);
        if
        :: has_lock ->
           may_die();
#ifndef WITHOUT_RECOUNT
           first = count[number];
#endif
           if
           :: first < CAPACITY ->
              item[number] = self;          /* nbuf_item_write */
              may_die();
              count[number] = first + 1;    /* nbuf_format_store_count: visible */
              at_of[self] = number;
              may_die();
              unlock_header(number);
              is_listed[self] = true;
              goto end
           :: else -> unlock_header(number)
           fi
        :: else -> is_given_up[number] = true
        fi
     :: else
     fi;
     /* nbuf_locators_extend */
     if
     :: next[number] != NONE -> number = next[number]
     :: else ->
        /* grow: the page is complete before it is linked */
        item[own] = self; count[own] = 1; next[own] = NONE;
        lock_header(number);
        may_die();
#ifndef WITHOUT_COMPARE
        atomic {
          is_linked = (next[number] == NONE);
          if :: is_linked -> next[number] = own :: else fi
        }
#else
        is_linked = (next[number] == NONE);
        if :: is_linked -> next[number] = own :: else fi;
#endif
        may_die();
        if :: has_lock -> unlock_header(number) :: else fi;
        if
        :: is_linked -> at_of[self] = own; is_listed[self] = true; goto end
        :: else -> item[own] = NO_ITEM; count[own] = 0 /* nbuf_page_discard */
        fi
     fi
  od;
end: skip
}

init {
  byte i, at, steps;
  atomic {
    i = 0;
    do :: i < LOCATORS -> item[i] = NO_ITEM; i++ :: else -> break od;
    i = 0;
    do :: i < THREADS -> run caller(i); i++ :: else -> break od
  }
  (_nr_pr == 1); /* no thread waits permanently, though a holder may have died */
  /* Nothing is lost: a thread whose call returned OK finds its item by walking the chain. */
  d_step {
    i = 0;
    do
    :: i < THREADS ->
       if
       :: is_listed[i] ->
          at = 0; steps = 0;
          do
          :: at != at_of[i] && steps < LOCATORS && next[at] != NONE -> at = next[at]; steps++
          :: else -> break
          od;
          assert(at == at_of[i]);
          assert(count[at] == 1 && item[at] == i)
       :: else -> assert(is_dead[i])
       fi;
       i++
    :: else -> break
    od
  }
}
