/* What the contract of a port says about children, on systems that fork (src/os/pages.h,
 * src/core/state.h), and what POSIX systems guarantee besides (src/os/posix/posix.h). */
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/format.h"
#include "core/state.h"
#include "os/os.h"
#include "os/pages.h"
#include "os/posix/posix.h"
#include "test.h"

/* Forks; the child does `check`. */
static void check_in_child(bool (*check)(void *context), void *context) {
  fflush(NULL);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    _exit(check(context) ? 0 : 1);
  }
  int status;
  CHECK_EQUAL(child, waitpid(child, &status, 0));
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static bool has_no_state(void *unused) {
  (void)unused;
  return nbuf_state_generation(nbuf_state_current()) == 0;
}

TEST(a_state_is_nothing_again_in_a_child) {
  nbuf_state *state;
  CHECK_OK(nbuf_state_begin(&state).status);
  CHECK(nbuf_state_generation(state) != 0);
  check_in_child(has_no_state, NULL);
  CHECK(nbuf_state_generation(state) != 0);
}

static const nbuf_layout *layout(void) {
  return nbuf_native_layout(NEARBUF_DIALECT_WRITTEN);
}

static bool look_up(uintptr_t address, nbuf_mapping *mapping) {
  nbuf_map map;
  bool is_there = nbuf_os_map_open(&map, false).status == NEARBUF_OK &&
                  nbuf_os_map_next(&map, address, mapping) == NBUF_MAP_FOUND &&
                  mapping->range.min <= address;
  nbuf_os_map_close(&map);
  return is_there;
}

static uintptr_t make_first_page(void) {
  size_t size = nbuf_os_granularity();
  nbuf_item item = {(uintptr_t)nbuf_os_own_pages(size), (uint32_t)size, 0, 1};
  nbuf_initial_items initial = {layout(), &item, 1};
  nbuf_page page;
  CHECK_OK(nbuf_page_find_or_make(&initial, false, &page).status);
  return page.base;
}

static bool finds_no_page(void *context) {
  const uintptr_t *parents = context;
  nbuf_page page;
  nbuf_page_leave_full_stub(*parents);
  return nbuf_page_find(false, &page).status == NEARBUF_NOT_FOUND;
}

TEST(a_page_that_is_kept_from_children_is_not_found_there) {
  uintptr_t page = make_first_page();
  CHECK(nbuf_page_keep_from_children(page));
  check_in_child(finds_no_page, &page);
  nbuf_mapping mapping;
  CHECK(look_up(page, &mapping) && mapping.shared);
}

static bool leaves_full_stub(void *context) {
  const uintptr_t *parents = context;
  nbuf_mapping mapping;
  nbuf_page_leave_full_stub(*parents);
  return look_up(*parents, &mapping) && !mapping.shared && mapping.writable &&
         nbuf_format_count(*parents, layout()) == layout()->capacity;
}

TEST(a_full_stub_takes_the_place_of_the_parents_page) {
  uintptr_t page = make_first_page();
  CHECK(nbuf_page_keep_from_children(page));
  check_in_child(leaves_full_stub, &page);
  CHECK_EQUAL(1, nbuf_format_count(page, layout()));
}

static bool leaves_what_is_there(void *context) {
  const uintptr_t *parents = context;
  unsigned char *own = (unsigned char *)*parents;
  nbuf_page_leave_full_stub(*parents);
  if (nbuf_os_unmap(*parents, nbuf_os_page_size()).status != NEARBUF_OK ||
      mmap(own, nbuf_os_page_size(), PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != (void *)own) {
    return false;
  }
  own[100] = 7;
  nbuf_page_leave_full_stub(*parents);
  return own[100] == 7 && own[0] == 0;
}

TEST(a_full_stub_leaves_what_took_its_place) {
  uintptr_t page = make_first_page();
  CHECK(nbuf_page_keep_from_children(page));
  check_in_child(leaves_what_is_there, &page);
}

TEST(what_is_mapped_in_whatever_way_may_be_mapped) {
  size_t size = nbuf_os_page_size();
  const int protections[] = {PROT_READ | PROT_WRITE, PROT_READ, PROT_READ | PROT_EXEC, PROT_NONE};
  const int sharings[] = {MAP_PRIVATE, MAP_SHARED};
  for (size_t i = 0; i < sizeof protections / sizeof *protections; i++) {
    for (size_t k = 0; k < sizeof sharings / sizeof *sharings; k++) {
      void *page = mmap(NULL, size, protections[i], sharings[k] | MAP_ANON, -1, 0);
      CHECK(page != MAP_FAILED);
      CHECK(nbuf_posix_may_be_mapped((uintptr_t)page));
    }
  }
  uintptr_t code = (uintptr_t)check_in_child;
  CHECK(nbuf_posix_may_be_mapped(code - code % size)); /* of a file */
  uintptr_t on_stack = (uintptr_t)&size;
  CHECK(nbuf_posix_may_be_mapped(on_stack - on_stack % size));
}
