/* The anchor, on an invented system: its places are memory of this program, and what is mapped
 * there and what the system refuses is what a test says. posix/anchor.c itself is compiled here,
 * with other names for what it calls and defines. The rest of its promises, with real children and
 * threads, is in tests/process. */
#include "os/posix/anchor.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "os/os.h"
#include "os/posix/posix.h"
#include "test.h"

/* ---- Where the places are -------------------------------------------------------------------- */

TEST(there_are_four_places_in_a_row_256_kib_apart_and_then_the_next_row) {
  for (uint32_t width = 4; width <= 8; width += 4) {
    uint32_t count = 0;
    while (nbuf_anchor_place(width, count) != 0) {
      uint64_t first = nbuf_anchor_place(width, count - count % 4);
      CHECK_EQUAL(first + count % 4 * UINT64_C(0x40000), nbuf_anchor_place(width, count));
      count++;
    }
    CHECK(count % 4 == 0 && count >= 4);
    CHECK_EQUAL(0, nbuf_anchor_place(width, count + 1));
  }
  CHECK_EQUAL(4, (nbuf_anchor_place(4, 3) - nbuf_anchor_place(4, 0)) / 0x40000 + 1);
  CHECK_EQUAL(0, nbuf_anchor_place(4, 4));
}

/* The places are part of what other copies of the library rely on (docs/anchor-places.md). */
TEST(the_places_are_the_documented_ones) {
  CHECK_EQUAL(0x6e620000, nbuf_anchor_place(4, 0));
#if defined(__x86_64__)
  CHECK_EQUAL(UINT64_C(0x7e9e62000000), nbuf_anchor_place(8, 0));
  CHECK_EQUAL(UINT64_C(0x3e62000000), nbuf_anchor_place(8, 4));
  CHECK_EQUAL(0, nbuf_anchor_place(8, 8));
#endif
}

/* ---- The system ------------------------------------------------------------------------------ */

enum { PLACES = 3, PAGE = 65536, CODE_OF_OPEN = 23, CODE_OF_QUERY = 5, OWN_ID = 100 };

typedef enum kind {
  FREE,
  OWN,
  OWN_AND_MORE,
  OWN_FIRST_PAGE,
  OF_A_FILE,
  SHARED,
  READ_ONLY,
  UNREADABLE
} kind;

static _Alignas(PAGE) unsigned char memory[PLACES][2 * PAGE];

static struct {
  kind kind[PLACES];
  int refusal[PLACES]; /* the error of mapping there */
  bool can_wipe;
  bool can_keep;
  bool has_no_memory;
  bool cannot_map; /* a map call without an address fails, too */
  nearbuf_status open_status;
  bool is_unreadable;
  int finished_after; /* pauses until another thread has made the first anchor; 0: never */
  int pauses;
  int opened;
  int still_open;
  int elsewhere; /* pages that were mapped without an address, and not unmapped */
} system_is;

static uintptr_t place(int index) {
  return (uintptr_t)memory[index];
}

static uint64_t invented_place(uint32_t width, uint32_t index) {
  CHECK_EQUAL(sizeof(uintptr_t), width);
  return index < PLACES ? place((int)index) : 0;
}

static size_t invented_page_size(void) {
  return PAGE;
}

static void invented_pause(void) {
  if (++system_is.pauses == system_is.finished_after) {
    atomic_store((_Atomic uint32_t *)place(0), NBUF_ANCHOR_WIPED);
  }
}

static nbuf_result invented_map_open(nbuf_map *map, bool with_names) {
  (void)map;
  CHECK(!with_names);
  system_is.opened++;
  system_is.still_open++;
  return nbuf_result_system(system_is.open_status, CODE_OF_OPEN);
}

static void invented_map_close(nbuf_map *map) {
  (void)map;
  system_is.still_open--;
}

static nbuf_map_answer invented_map_next(nbuf_map *map, uintptr_t from, nbuf_mapping *mapping) {
  if (system_is.is_unreadable) {
    map->system_error = CODE_OF_QUERY;
    return NBUF_MAP_FAILED;
  }
  for (int i = 0; i < PLACES; i++) {
    kind is = system_is.kind[i];
    uintptr_t last = place(i) + (is == OWN_FIRST_PAGE ? PAGE : 2 * PAGE) - 1 + (is == OWN_AND_MORE);
    if (is != FREE && from <= last) {
      *mapping = (nbuf_mapping){.range = {place(i), last}};
      mapping->readable = is != UNREADABLE;
      mapping->writable = is != READ_ONLY;
      mapping->shared = is == SHARED;
      mapping->inode = is == OF_A_FILE ? 7 : 0;
      return NBUF_MAP_FOUND;
    }
  }
  return NBUF_MAP_END;
}

static int index_of(uintptr_t address) {
  for (int i = 0; i < PLACES; i++) {
    if (address == place(i)) {
      return i;
    }
  }
  test_fail(__FILE__, __LINE__, "no place: 0x%jx", (uintmax_t)address);
}

static bool invented_may_be_mapped(uintptr_t page) {
  return system_is.kind[index_of(page)] != FREE;
}

static int invented_map_at(uintptr_t address, size_t size, int protection) {
  int index = index_of(address);
  CHECK_EQUAL(2 * PAGE, size);
  CHECK_EQUAL(PROT_READ | PROT_WRITE, protection);
  if (system_is.refusal[index] != 0) {
    return system_is.refusal[index];
  }
  if (system_is.kind[index] != FREE) {
    return EEXIST;
  }
  memset(memory[index], 0, sizeof memory[index]);
  system_is.kind[index] = OWN;
  return 0;
}

static void *invented_mmap(void *address, size_t size, int protection, int flags, int file,
                           off_t offset) {
  CHECK(address == NULL);
  CHECK_EQUAL(2 * PAGE, size);
  CHECK_EQUAL(PROT_READ | PROT_WRITE, protection);
  CHECK((flags & MAP_PRIVATE) != 0);
  CHECK(file == -1 && offset == 0);
  system_is.elsewhere += !system_is.cannot_map;
  return system_is.cannot_map ? MAP_FAILED : memory;
}

static int invented_munmap(void *address, size_t size) {
  CHECK(address == memory);
  CHECK_EQUAL(2 * PAGE, size);
  system_is.elsewhere--;
  return 0;
}

/* The second page, with the word, or both. */
static bool invented_wipe_in_children(void *pages, size_t size) {
  CHECK_EQUAL(PAGE, size);
  (void)index_of((uintptr_t)pages - PAGE);
  return system_is.can_wipe;
}

static bool invented_keep_from_children(void *pages, size_t size) {
  CHECK_EQUAL(2 * PAGE, size);
  (void)index_of((uintptr_t)pages);
  return system_is.can_keep;
}

static uint32_t invented_process(void) {
  return OWN_ID;
}

static bool invented_is_process(uint32_t id) {
  return id == OWN_ID;
}

#define nbuf_anchor_place invented_place
#define nbuf_anchor_find tested_anchor_find
#define nbuf_anchor_forked tested_anchor_forked
#define nbuf_anchor_may_be_missing tested_anchor_may_be_missing
#define nbuf_anchor_make tested_anchor_make
#define nbuf_os_page_size invented_page_size
#define nbuf_os_pause invented_pause
#define nbuf_os_map_open invented_map_open
#define nbuf_os_map_close invented_map_close
#define nbuf_os_map_next invented_map_next
#define nbuf_posix_may_be_mapped invented_may_be_mapped
#define nbuf_posix_map_at invented_map_at
#define nbuf_posix_wipe_in_children invented_wipe_in_children
#define nbuf_posix_keep_from_children invented_keep_from_children
#define nbuf_posix_process invented_process
#define nbuf_posix_is_process invented_is_process
#define mmap invented_mmap
#define munmap invented_munmap
nbuf_result nbuf_anchor_find(_Atomic uintptr_t **word);
void nbuf_anchor_forked(uintptr_t locator);
bool nbuf_anchor_may_be_missing(void);
nbuf_result nbuf_anchor_make(_Atomic uintptr_t **word);
#include "os/posix/anchor.c" /* NOLINT(bugprone-suspicious-include) */

/* ---- Helpers --------------------------------------------------------------------------------- */

static _Atomic uint32_t *mark_of(int index) {
  return (_Atomic uint32_t *)place(index);
}

static _Atomic uintptr_t *word_of(int index) {
  return (_Atomic uintptr_t *)(place(index) + PAGE);
}

static _Atomic uint32_t *owner_of(int index) {
  return (_Atomic uint32_t *)(place(index) + PAGE + sizeof(uintptr_t));
}

/* Another copy of the library made an anchor there. */
static void anchor_at(int index, uint32_t mark, uintptr_t word) {
  system_is.kind[index] = OWN;
  atomic_store(mark_of(index), mark);
  atomic_store(word_of(index), word);
}

typedef nbuf_result (*anchor_call)(_Atomic uintptr_t **word);

static void check_nothing_left(void) {
  CHECK_EQUAL(0, system_is.still_open);
  CHECK_EQUAL(0, system_is.elsewhere);
}

static void check_word(anchor_call call, int index) {
  _Atomic uintptr_t *word = NULL;
  CHECK_OK(call(&word).status);
  CHECK(word == word_of(index));
  check_nothing_left();
}

static void check_no_word(anchor_call call, nearbuf_status status, int32_t code) {
  _Atomic uintptr_t *word = NULL;
  nbuf_result result = call(&word);
  CHECK_STATUS(status, result.status);
  CHECK_EQUAL(code, result.system_error);
  CHECK(word == NULL);
  check_nothing_left();
}

static void check_found(int index) {
  check_word(nbuf_anchor_find, index);
}

static void check_not_found(nearbuf_status status, int32_t code) {
  check_no_word(nbuf_anchor_find, status, code);
}

static void check_made(int index) {
  check_word(nbuf_anchor_make, index);
}

static void check_not_made(nearbuf_status status, int32_t code) {
  check_no_word(nbuf_anchor_make, status, code);
}

/* ---- Finding --------------------------------------------------------------------------------- */

TEST(where_nothing_is_mapped_the_map_is_not_read) {
  check_not_found(NEARBUF_NOT_FOUND, 0);
  CHECK_EQUAL(0, system_is.opened);
}

TEST(an_anchor_is_found_at_each_place_whatever_its_mark) {
  static const uint32_t marks[] = {NBUF_ANCHOR_WIPED, NBUF_ANCHOR_INHERITED, NBUF_ANCHOR_ABSENT};
  for (int i = PLACES - 1; i >= 0; i--) {
    anchor_at(i, marks[i], 0x1000);
    check_found(i);
  }
}

TEST(other_memory_at_a_place_is_no_anchor) {
  anchor_at(0, NBUF_ANCHOR_WIPED, 0x1000);
  for (kind is = OWN_FIRST_PAGE; is <= UNREADABLE; is++) {
    system_is.kind[0] = is;
    check_not_found(NEARBUF_NOT_FOUND, 0);
  }
  system_is.kind[0] = OWN;
  atomic_store(mark_of(0), NBUF_ANCHOR_WIPED - 1);
  check_not_found(NEARBUF_NOT_FOUND, 0);
  CHECK_EQUAL(0, system_is.pauses);
}

TEST(an_anchor_that_is_just_being_made_is_waited_for) {
  anchor_at(0, 0, 0);
  system_is.finished_after = 99;
  check_found(0);
  CHECK_EQUAL(99, system_is.pauses);
}

/* Its maker may have been stopped; that it continues later changes nothing. */
TEST(one_that_its_maker_does_not_finish_is_finished_by_another_thread) {
  anchor_at(0, 0, 0);
  anchor_at(1, NBUF_ANCHOR_WIPED, 0x1000);
  system_is.can_wipe = true;
  check_found(0);
  CHECK_EQUAL(99, system_is.pauses);
  CHECK_EQUAL(NBUF_ANCHOR_WIPED, atomic_load(mark_of(0)));
}

TEST(pages_that_are_part_of_a_larger_mapping_are_waited_for_and_not_written_to) {
  anchor_at(0, 0, 0);
  system_is.kind[0] = OWN_AND_MORE;
  system_is.can_wipe = true;
  check_not_found(NEARBUF_NOT_FOUND, 0);
  CHECK_EQUAL(99, system_is.pauses);
  CHECK_EQUAL(0, atomic_load(mark_of(0)));
}

TEST(a_map_that_cannot_be_opened_or_read_is_no_free_place) {
  anchor_at(0, NBUF_ANCHOR_WIPED, 0x1000);
  system_is.open_status = NEARBUF_OUT_OF_MEMORY;
  check_not_found(NEARBUF_OUT_OF_MEMORY, CODE_OF_OPEN);
  system_is.open_status = NEARBUF_OK;
  system_is.is_unreadable = true;
  check_not_found(NEARBUF_SYSTEM_ERROR, CODE_OF_QUERY);
  check_not_made(NEARBUF_SYSTEM_ERROR, CODE_OF_QUERY);
  CHECK_EQUAL(FREE, system_is.kind[1]);
}

/* ---- Making ---------------------------------------------------------------------------------- */

TEST(an_anchor_is_made_at_the_first_place_and_found_by_the_next_maker) {
  system_is.can_wipe = system_is.can_keep = true;
  check_made(0);
  CHECK_EQUAL(NBUF_ANCHOR_WIPED, atomic_load(mark_of(0)));
  CHECK_EQUAL(0, atomic_load(word_of(0)));
  atomic_store(word_of(0), 0x1000);
  check_made(0);
  CHECK_EQUAL(0x1000, atomic_load(word_of(0)));
  CHECK_EQUAL(FREE, system_is.kind[1]);
}

TEST(the_mark_says_what_a_child_finds) {
  system_is.can_keep = true;
  check_made(0);
  CHECK_EQUAL(NBUF_ANCHOR_ABSENT, atomic_load(mark_of(0)));
  system_is.kind[0] = FREE;
  system_is.can_keep = false;
  check_made(0);
  CHECK_EQUAL(NBUF_ANCHOR_INHERITED, atomic_load(mark_of(0)));
  CHECK_EQUAL(OWN_ID, atomic_load(owner_of(0)));
}

TEST(where_a_place_is_taken_the_next_one_is_used) {
  system_is.kind[0] = OF_A_FILE;
  system_is.refusal[1] = EINVAL; /* the system never gives it */
  check_made(2);
}

/* The kernel gives the same codes where it never gives the place and where it has nothing left. */
TEST(a_code_with_two_reasons_is_of_the_place_where_memory_is_left) {
  static const int codes[] = {ENOMEM, EPERM, EACCES};
  for (int i = 0; i < 3; i++) {
    system_is.refusal[0] = codes[i];
    system_is.kind[1] = FREE;
    system_is.cannot_map = false;
    check_made(1);
    system_is.cannot_map = true;
    check_not_made(NEARBUF_OUT_OF_MEMORY, codes[i]);
  }
  system_is.cannot_map = false;
  system_is.refusal[0] = EAGAIN; /* locked memory: it is not of the place */
  check_not_made(NEARBUF_OUT_OF_MEMORY, EAGAIN);
}

TEST(where_all_places_are_taken_there_is_none_and_one_may_be_missing) {
  for (int i = 0; i < PLACES; i++) {
    system_is.kind[i] = READ_ONLY;
  }
  check_not_made(NEARBUF_NOT_FOUND, 0);
  CHECK(nbuf_anchor_may_be_missing());
}

TEST(none_is_missing_where_there_is_one_or_can_be) {
  CHECK(!nbuf_anchor_may_be_missing());
  CHECK_EQUAL(OWN, system_is.kind[0]);
  CHECK(!nbuf_anchor_may_be_missing());
  system_is.open_status = NEARBUF_OUT_OF_MEMORY; /* it is not known */
  CHECK(!nbuf_anchor_may_be_missing());
  CHECK_EQUAL(0, system_is.still_open);
}

TEST(one_may_be_missing_where_one_is_not_finished) {
  anchor_at(2, 0, 0);
  CHECK(nbuf_anchor_may_be_missing());
  CHECK_EQUAL(0, system_is.pauses);
  CHECK_EQUAL(FREE, system_is.kind[0]);
  system_is.kind[2] = SHARED;
  CHECK(!nbuf_anchor_may_be_missing());
  CHECK_EQUAL(0, system_is.still_open);
}

/* ---- Children -------------------------------------------------------------------------------- */

TEST(a_child_that_inherits_its_parents_word_finds_it_empty) {
  anchor_at(0, NBUF_ANCHOR_INHERITED, 0x1000);
  atomic_store(owner_of(0), OWN_ID + 1);
  check_found(0);
  CHECK_EQUAL(0, atomic_load(word_of(0)));
  CHECK_EQUAL(OWN_ID, atomic_load(owner_of(0)));
}

TEST(the_owner_of_a_word_and_a_process_that_shares_its_memory_find_it_as_it_is) {
  anchor_at(0, NBUF_ANCHOR_INHERITED, 0x1000);
  atomic_store(owner_of(0), OWN_ID);
  check_found(0);
  CHECK_EQUAL(0x1000, atomic_load(word_of(0)));
  anchor_at(0, NBUF_ANCHOR_WIPED, 0x1000); /* then the owner is not looked at */
  atomic_store(owner_of(0), OWN_ID + 1);
  check_found(0);
  CHECK_EQUAL(0x1000, atomic_load(word_of(0)));
}

TEST(the_fork_handler_empties_what_the_system_forgot_to_wipe) {
  anchor_at(0, NBUF_ANCHOR_WIPED, 0x10000 | NBUF_ANCHOR_PRIVATE);
  nbuf_anchor_forked(0x10000); /* not seen yet */
  check_found(0);
  nbuf_anchor_forked(0);
  nbuf_anchor_forked(0x20000);
  CHECK_EQUAL(0x10000 | NBUF_ANCHOR_PRIVATE, atomic_load(word_of(0)));
  nbuf_anchor_forked(0x10000);
  CHECK_EQUAL(0, atomic_load(word_of(0)));
}

TEST(it_does_not_touch_pages_that_the_child_does_not_have) {
  anchor_at(0, NBUF_ANCHOR_ABSENT, 0x10000);
  check_found(0);
  nbuf_anchor_forked(0x10000);
  CHECK_EQUAL(0x10000, atomic_load(word_of(0)));
}
