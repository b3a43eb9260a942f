/* The creation of the first locator: two copies of the library in one process make their first call,
 * while a file of a dead process may exist under the name, and another process with the same id, in
 * another namespace, starts as well. src/os/posix/pages.c, posix_anchor.c.
 *
 * A file is the number of its maker. The name means one of them or none. A file's lock is held by its
 * mapping, so a file whose maker is a living starter is locked from before it has the name.
 *
 *   WITHOUT_LOCK     a stale file is replaced without taking its lock
 *   WITHOUT_CHECK    ... without checking, under the lock, whether the name still means it
 *   WITHOUT_ANCHOR   names alone decide
 *
 * Starters 0 and 1 share a process; starter 2 is another process with the same id. */

#define STARTERS 3
#define NO_FILE 255
#define STALE STARTERS       /* the number of the file that no process has mapped */
#define FILES (STARTERS + 1)
#define process_of(starter) (starter / 2)
#define MOST_ROUNDS 3

byte name = NO_FILE;         /* which file the usual name means */
byte name_in_namespace[2] = NO_FILE; /* the other name: each process has its own namespace */
bool is_mapped[FILES];       /* by its maker; the lock goes with the mapping */
bool is_locked_by_starter[FILES]; /* LOCK_EX, while a starter replaces it */
byte anchor[2] = NO_FILE;    /* a word in the memory of each process */
byte locator[STARTERS] = NO_FILE;

/* FILE_ATTACHED: according to the map of this process. */
#define is_attached(file) (file < STARTERS && process_of(file) == process_of(self) && is_mapped[file])

/* nbuf_file_publish: RENAME_NOREPLACE. */
inline publish_new(which) {
  atomic { is_published = (which == NO_FILE); if :: is_published -> which = self :: else fi }
}

/* publish: EEXIST was returned. One step for each system call. */
inline examine_and_replace(which) {
  seen = which;                              /* openat */
  if
  :: seen == NO_FILE -> result = AGAIN
  :: seen != NO_FILE && is_attached(seen) -> result = ATTACHED; found = seen
  :: else ->
#ifndef WITHOUT_LOCK
     atomic {                                /* flock(LOCK_EX | LOCK_NB) */
       has_lock = !is_mapped[seen] && !is_locked_by_starter[seen];
       if :: has_lock -> is_locked_by_starter[seen] = true :: else fi
     }
#else
     has_lock = !is_mapped[seen];
#endif
     if
     :: !has_lock ->
        /* locked by a starter that checks the same, or by its owner in another namespace */
        if :: which == seen && is_mapped[seen] -> result = REFUSED :: else -> result = AGAIN fi
     :: else ->
#ifndef WITHOUT_CHECK
        is_named = (which == seen);          /* nbuf_file_is_named */
#else
        is_named = true;
#endif
        if
        :: is_named ->
           d_step {                          /* nbuf_file_replace */
             assert(which == NO_FILE || !is_mapped[which]); /* no live process loses its name */
             which = self
           };
           result = PUBLISHED
        :: else -> result = AGAIN
        fi;
#ifndef WITHOUT_LOCK
        is_locked_by_starter[seen] = false   /* close */
#endif
     fi
  fi
}

mtype = { PUBLISHED, ATTACHED, AGAIN, REFUSED };

proctype starter(byte self) {
  mtype result;
  byte seen, found, round;
  bool is_published, has_lock, is_named;

  /* nbuf_page_find: the anchor, then the names. */
#ifndef WITHOUT_ANCHOR
  if :: anchor[process_of(self)] != NO_FILE -> found = anchor[process_of(self)]; goto done :: else fi;
#endif
  seen = name;
  if :: seen != NO_FILE && is_attached(seen) -> found = seen; goto settle :: else fi;

  /* make_shared: nbuf_file_make, publish_somewhere. */
  is_mapped[self] = true;
  round = 0;
  do
  :: round == MOST_ROUNDS -> /* make_private: no name refers to it */
     found = self; goto settle
  :: else ->
     publish_new(name);
     if :: is_published -> result = PUBLISHED :: else -> examine_and_replace(name) fi;
     if
     :: result == REFUSED ->
        publish_new(name_in_namespace[process_of(self)]);
        if
        :: is_published -> result = PUBLISHED
        :: else -> examine_and_replace(name_in_namespace[process_of(self)])
        fi
     :: else
     fi;
     if
     :: result == PUBLISHED -> found = self; goto settle
     :: result == ATTACHED -> is_mapped[self] = false; goto settle /* nbuf_file_discard */
     :: else -> round++
     fi
  od;

settle: /* attach_to */
#ifndef WITHOUT_ANCHOR
  atomic {
    if
    :: anchor[process_of(self)] == NO_FILE -> anchor[process_of(self)] = found
    :: else -> skip
    fi
  }
  if
  :: anchor[process_of(self)] != found ->
     if
     :: found == self ->                     /* take_back */
        atomic { if :: name == self -> name = NO_FILE :: else fi };
        atomic {
          if
          :: name_in_namespace[process_of(self)] == self ->
             name_in_namespace[process_of(self)] = NO_FILE
          :: else
          fi
        };
        is_mapped[self] = false
     :: else
     fi;
     found = anchor[process_of(self)]
  :: else
  fi;
#endif
done:
  locator[self] = found;
  /* No starter uses a page that is unmapped, or another process's. */
  assert(found < STARTERS && process_of(found) == process_of(self) && is_mapped[found])
}

init {
  atomic {
    if :: name = STALE :: name = NO_FILE fi;
    run starter(0); run starter(1); run starter(2)
  }
  (_nr_pr == 1); /* no deadlock: every starter ends */
  assert(locator[0] == locator[1]); /* one locator for one process */
}
