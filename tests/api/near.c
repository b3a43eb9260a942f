/* The target is a preference: new memory is as near to it as possible, and packed. */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/format.h"
#include "maps.h"
#include "os/os.h"
#include "request.h"
#include "space.h"
#include "test.h"

static maps before;
static maps after;

/* Addresses that can be free but are used only when nothing else is: those that the program break
 * and the stack may grow into. */
static int is_reserved(uintptr_t start, uintptr_t end) {
  nbuf_range reserved[NBUF_OS_RESERVED_MAX];
  size_t count = nbuf_os_reserved((nbuf_range){start, end - 1}, reserved);
  for (size_t i = 0; i < count; i++) {
    if (start <= reserved[i].max && reserved[i].min < end) {
      return 1;
    }
  }
  return 0;
}

static uintptr_t distance_of(uintptr_t start, uintptr_t size, uintptr_t target) {
  return start > target ? start - target : target >= start + size ? target - (start + size - 1) : 0;
}

/* The distance to the nearest free place of `size` bytes, by trying both ends of every gap and of
 * its parts beside the reserved ranges. */
static uintptr_t nearest_free(const maps *all, uintptr_t size, uintptr_t target) {
  uintptr_t best = UINTPTR_MAX;
  uintptr_t page = space_page();
  for (int i = 0; i + 1 < all->count; i++) {
    uintptr_t start = all->entries[i].end;
    uintptr_t end = all->entries[i + 1].start;
    for (uintptr_t at = start; at < end && end - at >= size && at - start < 1 << 20; at += page) {
      if (!is_reserved(at, at + size)) {
        uintptr_t distance = distance_of(at, size, target);
        best = distance < best ? distance : best;
        break;
      }
    }
    for (uintptr_t at = end; at > start && at - start >= size && end - at < 1 << 20; at -= page) {
      if (!is_reserved(at - size, at)) {
        uintptr_t distance = distance_of(at - size, size, target);
        best = distance < best ? distance : best;
        break;
      }
    }
  }
  return best;
}

static void check_nearest(const void *target) {
  nearbuf_totals totals;
  (void)nearbuf_get_totals(&totals); /* maps what the module needs for itself, anywhere */
  maps_read(&before);
  nearbuf_request request = request_near(target, 64);
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  uintptr_t start = nearbuf_buffer_address(&buffer);
  uintptr_t size = nearbuf_buffer_size(&buffer);
  uintptr_t distance = distance_of(start, size, (uintptr_t)target);
  CHECK(distance <= nearest_free(&before, size, (uintptr_t)target));
  CHECK(!is_reserved(start, start + size));
}

TEST(memory_near_own_code_is_the_nearest_that_is_free) {
  check_nearest((const void *)(uintptr_t)check_nearest);
}

TEST(memory_near_the_c_library_is_the_nearest_that_is_free) {
  if (TEST_HAS_THREAD_SANITIZER) {
    test_skip("the sanitizer refuses addresses between libraries, and maps there itself");
  }
  check_nearest((const void *)(uintptr_t)getpid);
}

TEST(memory_near_the_stack_leaves_the_room_the_stack_grows_into) {
  int local = 0;
  check_nearest(&local);
}

enum { BREAK_GROWTH = 64 << 20 };

/* Whether the break could grow that far if nothing were mapped there: under qemu 7.2 the stack lies
 * 32 MiB above the first one. */
static bool break_could_grow(void) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    _exit(sbrk(BREAK_GROWTH) == (void *)-1);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  return status == 0;
}

TEST(memory_near_the_program_break_leaves_the_room_it_grows_into) {
  if (!break_could_grow()) {
    test_skip("the break has no room to grow into");
  }
  char *end = sbrk(0);
  nearbuf_request request = request_near(end, 64);
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK(sbrk(BREAK_GROWTH) == end);
  memset(end, 1, BREAK_GROWTH);
}

TEST(a_second_buffer_touches_the_first) {
  nearbuf_request request = request_near((const void *)(uintptr_t)check_nearest, 64);
  nearbuf_buffer first;
  nearbuf_buffer second;
  CHECK_OK(nearbuf_get(&request, &first));
  uintptr_t a = nearbuf_buffer_address(&first);
  maps_read(&before);
  if (maps_find(&before, a - 1) != NULL && maps_find(&before, a + nearbuf_buffer_size(&first))) {
    test_skip("both sides of the first are taken");
  }
  CHECK_OK(nearbuf_get(&request, &second));
  uintptr_t b = nearbuf_buffer_address(&second);
  CHECK(a + nearbuf_buffer_size(&first) == b || b + nearbuf_buffer_size(&second) == a);
}

enum { PIECES = 10000, PIECE = 64 };

TEST(ten_thousand_pieces_of_64_bytes_take_704_kib_in_two_mappings) {
  maps_read(&before);
  unsigned char piece[PIECE];
  static uintptr_t places[PIECES];
  nearbuf_request request = request_near((const void *)(uintptr_t)check_nearest, PIECE);
  for (int i = 0; i < PIECES; i++) {
    memset(piece, i, sizeof piece);
    nearbuf_memory placed;
    CHECK_OK(nearbuf_place(&request, piece, &placed));
    places[i] = (uintptr_t)placed.run_at;
  }
  maps_read(&after);
  uintptr_t bytes = 0;
  int mappings = 0;
  for (int i = 0; i < after.count; i++) {
    const maps_entry *entry = &after.entries[i];
    if (strcmp(entry->permissions, "rwxp") == 0) {
      bytes += entry->end - entry->start;
      mappings++;
    }
  }
  CHECK(bytes <= 704 << 10);
  CHECK(mappings <= 2);
  for (int i = 0; i < PIECES; i++) {
    memset(piece, i, sizeof piece);
    CHECK(memcmp((const void *)places[i], piece, sizeof piece) == 0);
    CHECK(distance_of(places[i], PIECE, (uintptr_t)check_nearest) < (uintptr_t)64 << 20);
  }
}

/* ---- Many at once ---------------------------------------------------------------------------- */

static void hold_many(int count) {
  nearbuf_buffer *held = calloc((size_t)count, sizeof *held);
  CHECK(held != NULL);
  nearbuf_request request = request_near((const void *)(uintptr_t)check_nearest, 64);
  if ((request.range.max - request.range.min) / nbuf_os_granularity() < (uintptr_t)count) {
    test_skip("so many pages are not within reach");
  }
  for (int i = 0; i < count; i++) {
    CHECK_OK(nearbuf_get(&request, &held[i]));
    CHECK_OK(nearbuf_append(&held[i], &i, sizeof i, NULL));
  }
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(count, totals.taken);
  CHECK(totals.locators >= ((uint32_t)count + NBUF_NATIVE_CAPACITY - 1) / NBUF_NATIVE_CAPACITY);
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, totals.sharing);
  for (int i = 0; i < count; i++) {
    int value;
    memcpy(&value, (const void *)nearbuf_buffer_address(&held[i]), sizeof value);
    CHECK_EQUAL(i, value);
    CHECK_OK(nearbuf_release(&held[i]));
  }
  uint64_t buffers = totals.buffers;
  for (int i = 0; i < count; i++) {
    CHECK_OK(nearbuf_get(&request, &held[i]));
  }
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(buffers, totals.buffers);
  free(held);
}

TEST(the_204th_buffer_held_at_once_lies_in_a_second_locator) {
  hold_many(204);
}

TEST(five_thousand_buffers_can_be_held_at_once) {
  hold_many(5000);
}
