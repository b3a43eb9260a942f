/* Shared buffers: get, append, reserve, commit, place, release. */
#include <stdbool.h>
#include <string.h>

#include "base/unshared.h"
#include "os/os.h"
#include "request.h"
#include "space.h"
#include "test.h"

static nearbuf_request request_aligned(size_t size, size_t alignment) {
  nearbuf_request request = request_near_code(size);
  request.alignment_bytes = alignment;
  return request;
}

static nearbuf_buffer get_buffer(size_t size, size_t alignment) {
  nearbuf_request request = request_aligned(size, alignment);
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  return buffer;
}

static uintptr_t place_bytes(size_t size, size_t alignment, uint32_t flags) {
  static const unsigned char bytes[4096] = {1};
  nearbuf_request request = request_aligned(size, alignment);
  request.flags = flags;
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, bytes, &placed));
  CHECK_EQUAL(size, placed.size_bytes);
  return (uintptr_t)placed.run_at;
}

/* The bytes used in the buffer that holds an address. */
static uint32_t used_at(uintptr_t address) {
  nearbuf_info info;
  CHECK_OK(nearbuf_find((const void *)address, &info));
  return info.used_bytes;
}

/* ---- Append ---------------------------------------------------------------------------------- */

TEST(a_buffer_has_the_room_that_was_asked_and_tells_where_it_is) {
  nearbuf_buffer buffer = get_buffer(1000, 16);
  CHECK(nearbuf_buffer_address(&buffer) != 0);
  CHECK(nearbuf_buffer_size(&buffer) >= 1000);
  CHECK(nearbuf_buffer_room(&buffer) >= 1000);
  CHECK_EQUAL(0, buffer.system_error);
  nearbuf_info info;
  CHECK_OK(nearbuf_find((const void *)nearbuf_buffer_address(&buffer), &info));
  CHECK_EQUAL(nearbuf_buffer_address(&buffer), info.address);
  CHECK_EQUAL(nearbuf_buffer_size(&buffer), info.size_bytes);
  CHECK_EQUAL(1, info.is_taken);
  CHECK_OK(nearbuf_release(&buffer));
  CHECK_OK(nearbuf_find((const void *)info.address, &info));
  CHECK_EQUAL(0, info.is_taken);
}

TEST(new_memory_is_zero_and_can_be_read_written_and_run) {
  nearbuf_buffer buffer = get_buffer(4096, 16);
  unsigned char *bytes = (unsigned char *)nearbuf_buffer_address(&buffer);
  for (size_t i = 0; i < nearbuf_buffer_size(&buffer); i++) {
    CHECK_EQUAL(0, bytes[i]);
  }
#if defined(__x86_64__) || defined(__i386__)
  const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov eax, 42; ret */
  void *address;
  CHECK_OK(nearbuf_append_code(&buffer, code, sizeof code, &address));
  CHECK_EQUAL(42, ((int (*)(void))(uintptr_t)address)());
#endif
}

TEST(appends_follow_each_other_without_a_gap) {
  nearbuf_buffer buffer = get_buffer(100, 64);
  void *first;
  void *next;
  CHECK_OK(nearbuf_append(&buffer, "abc", 3, &first));
  CHECK_EQUAL(0, (uintptr_t)first % 64);
  CHECK_OK(nearbuf_append(&buffer, "defgh", 5, &next));
  CHECK((char *)next == (char *)first + 3);
  CHECK_OK(nearbuf_append_code(&buffer, "i", 1, &next));
  CHECK((char *)next == (char *)first + 8);
  CHECK(memcmp(first, "abcdefghi", 9) == 0);
}

TEST(room_shrinks_by_what_is_appended_to_nothing) {
  nearbuf_buffer buffer = get_buffer(16, 16);
  size_t room = nearbuf_buffer_room(&buffer);
  CHECK_OK(nearbuf_append(&buffer, "0123456", 7, NULL));
  CHECK_EQUAL(room - 7, nearbuf_buffer_room(&buffer));
  while (nearbuf_buffer_room(&buffer) > 0) {
    CHECK_OK(nearbuf_append(&buffer, "x", 1, NULL));
  }
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_append(&buffer, "x", 1, NULL));
}

TEST(the_room_that_is_left_is_used_by_the_next) {
  uintptr_t first = place_bytes(10, 1, 0);
  uintptr_t second = place_bytes(7, 1, 0);
  CHECK_EQUAL(first + 10, second);
  nearbuf_buffer buffer = get_buffer(5, 1);
  void *third;
  CHECK_OK(nearbuf_append(&buffer, "12345", 5, &third));
  CHECK_EQUAL(second + 7, (uintptr_t)third);
}

TEST(release_without_append_consumes_nothing) {
  uintptr_t first = place_bytes(10, 1, 0);
  uint32_t used = used_at(first);
  const size_t alignments[] = {1, 16, 4096, 1};
  for (int i = 0; i < 4; i++) {
    nearbuf_buffer buffer = get_buffer(100, alignments[i]);
    CHECK_OK(nearbuf_release(&buffer));
    CHECK_EQUAL(used, used_at(first));
  }
  CHECK_EQUAL(first + 10, place_bytes(1, 1, 0));
}

TEST(any_thread_may_release_by_a_copy_of_the_handle) {
  nearbuf_buffer buffer = get_buffer(10, 1);
  uintptr_t address = nearbuf_buffer_address(&buffer);
  nearbuf_buffer moved = buffer;
  CHECK_OK(nearbuf_append(&moved, "1234567890", 10, NULL));
  CHECK_OK(nearbuf_release(&moved));
  CHECK_EQUAL(10, used_at(address));
}

TEST(a_held_buffer_is_given_to_no_other_thread) {
  nearbuf_buffer first = get_buffer(16, 16);
  nearbuf_buffer second = get_buffer(16, 16);
  uintptr_t a = nearbuf_buffer_address(&first);
  uintptr_t b = nearbuf_buffer_address(&second);
  CHECK(first.item != second.item);
  CHECK(a + nearbuf_buffer_size(&first) <= b || b + nearbuf_buffer_size(&second) <= a);
}

/* ---- Alignment ------------------------------------------------------------------------------- */

TEST(alignments_from_1_byte_to_64_kib_are_honoured) {
  for (size_t alignment = 1; alignment <= 65536; alignment *= 2) {
    (void)place_bytes(3, 1, 0); /* so that nothing is aligned by luck */
    CHECK_EQUAL(0, place_bytes(5, alignment, 0) % alignment);
    nearbuf_buffer buffer = get_buffer(100, alignment);
    void *first;
    CHECK_OK(nearbuf_append(&buffer, "abc", 3, &first));
    CHECK_EQUAL(0, (uintptr_t)first % alignment);
    CHECK_OK(nearbuf_append(&buffer, "abc", 3, NULL));
    CHECK_OK(nearbuf_release(&buffer));
  }
}

TEST(alignments_beyond_64_kib_are_honoured_too) {
  for (size_t alignment = 131072; alignment <= (size_t)16 << 20; alignment *= 2) {
    CHECK_EQUAL(0, place_bytes(5, alignment, 0) % alignment);
  }
}

TEST(alignment_uses_the_room_that_is_there) {
  uintptr_t first = place_bytes(1, 4096, 0);
  for (uintptr_t i = 1; i < 8; i++) {
    CHECK_EQUAL(first + i * 512, place_bytes(1, 512, 0));
  }
}

TEST(every_small_size_and_alignment_gets_its_own_bytes) {
  uintptr_t end = 0;
  for (size_t alignment = 1; alignment <= 64; alignment *= 2) {
    for (size_t size = 1; size <= 70; size++) {
      uintptr_t start = place_bytes(size, alignment, 0);
      CHECK_EQUAL(0, start % alignment);
      CHECK(start >= end);
      end = start + size;
    }
  }
}

/* ---- Data beside code ------------------------------------------------------------------------ */

TEST(data_starts_on_a_line_of_its_own_and_nothing_follows_in_its_last_line) {
  for (size_t size = 1; size <= (size_t)3 * NBUF_CACHE_LINE; size += NBUF_CACHE_LINE / 8 - 1) {
    uintptr_t code = place_bytes(1, 1, 0);
    uintptr_t data = place_bytes(size, 1, NEARBUF_DATA);
    uintptr_t next = place_bytes(1, 1, 0);
    CHECK_EQUAL(0, data % NBUF_CACHE_LINE);
    CHECK(data > code);
    uintptr_t end = (data + size + NBUF_CACHE_LINE - 1) / NBUF_CACHE_LINE * NBUF_CACHE_LINE;
    CHECK_EQUAL(end, next);
  }
}

TEST(data_that_is_appended_or_committed_keeps_its_line_too) {
  nearbuf_request request = request_aligned(8, 1);
  request.flags = NEARBUF_DATA;
  for (int round = 0; round < 2; round++) {
    (void)place_bytes(1, 1, 0);
    nearbuf_buffer buffer;
    CHECK_OK(nearbuf_get(&request, &buffer));
    void *data;
    if (round == 0) {
      CHECK_OK(nearbuf_append(&buffer, "1234", 4, &data));
    } else {
      nearbuf_memory room;
      CHECK_OK(nearbuf_reserve(&buffer, 8, 1, &room));
      CHECK_OK(nearbuf_commit(&buffer, 5));
      data = room.run_at;
    }
    CHECK_EQUAL(0, (uintptr_t)data % NBUF_CACHE_LINE);
    CHECK_OK(nearbuf_release(&buffer));
    CHECK_EQUAL((uintptr_t)data + NBUF_CACHE_LINE, place_bytes(1, 1, 0));
  }
}

TEST(data_that_is_not_written_consumes_nothing) {
  uintptr_t first = place_bytes(1, 1, 0);
  nearbuf_request request = request_aligned(8, 1);
  request.flags = NEARBUF_DATA;
  nearbuf_buffer buffer;
  CHECK_OK(nearbuf_get(&request, &buffer));
  CHECK_OK(nearbuf_release(&buffer));
  CHECK_EQUAL(first + 1, place_bytes(1, 1, 0));
}

TEST(data_with_a_larger_alignment_gets_it) {
  (void)place_bytes(1, 1, 0);
  CHECK_EQUAL(0, place_bytes(8, 1024, NEARBUF_DATA) % 1024);
}

TEST(data_at_the_end_of_a_buffer_uses_it_up) {
  nearbuf_buffer buffer = get_buffer(16, 16);
  size_t room = nearbuf_buffer_room(&buffer);
  uintptr_t end = nearbuf_buffer_address(&buffer) + nearbuf_buffer_size(&buffer);
  nearbuf_memory reserved;
  CHECK_OK(nearbuf_reserve(&buffer, room - NBUF_CACHE_LINE, 1, &reserved));
  CHECK_OK(nearbuf_commit(&buffer, room - NBUF_CACHE_LINE));
  CHECK_OK(nearbuf_release(&buffer));
  CHECK_EQUAL(end - NBUF_CACHE_LINE, place_bytes(8, 1, NEARBUF_DATA));
  nearbuf_info info;
  CHECK_OK(nearbuf_find((const void *)(end - 1), &info));
  CHECK_EQUAL(info.size_bytes, info.used_bytes);
}

/* ---- Reserve and commit ---------------------------------------------------------------------- */

TEST(reserved_room_is_where_the_next_append_would_go_and_is_written_in_place) {
  nearbuf_buffer buffer = get_buffer(100, 16);
  nearbuf_memory room;
  CHECK_OK(nearbuf_reserve(&buffer, 50, 1, &room));
  CHECK_EQUAL(50, room.size_bytes);
  CHECK_EQUAL(0, (uintptr_t)room.run_at % 16);
  memcpy(room.write_to, "in place", 8);
  CHECK_OK(nearbuf_commit(&buffer, 8));
  CHECK(memcmp(room.run_at, "in place", 8) == 0);
  void *next;
  CHECK_OK(nearbuf_append(&buffer, "!", 1, &next));
  CHECK(next == room.run_at + 8);
}

TEST(reserved_room_can_be_aligned_anew) {
  nearbuf_buffer buffer = get_buffer((size_t)3 * 4096, 1);
  CHECK_OK(nearbuf_append(&buffer, "x", 1, NULL));
  for (size_t alignment = 1; alignment <= 4096; alignment *= 2) {
    nearbuf_memory room;
    CHECK_OK(nearbuf_reserve(&buffer, 3, alignment, &room));
    CHECK_EQUAL(0, (uintptr_t)room.run_at % alignment);
    CHECK_OK(nearbuf_commit(&buffer, 1));
  }
}

TEST(a_buffer_that_was_just_got_has_no_reservation_to_commit) {
  for (int i = 0; i < 3; i++) { /* the later ones are the one that the thread had before */
    nearbuf_buffer buffer = get_buffer(100, 1);
    CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_commit(&buffer, 0));
    CHECK_OK(nearbuf_release(&buffer));
  }
}

TEST(a_single_byte_is_committed) {
  nearbuf_buffer buffer = get_buffer(100, 1);
  nearbuf_memory room;
  nearbuf_memory next;
  CHECK_OK(nearbuf_reserve(&buffer, 10, 1, &room));
  CHECK_OK(nearbuf_commit(&buffer, 1));
  CHECK_OK(nearbuf_reserve(&buffer, 10, 1, &next));
  CHECK_EQUAL((uintptr_t)room.run_at + 1, (uintptr_t)next.run_at);
  CHECK_OK(nearbuf_release(&buffer));
}

TEST(committing_nothing_consumes_nothing_not_even_alignment) {
  uintptr_t first = place_bytes(1, 1, 0);
  nearbuf_buffer buffer = get_buffer(100, 1);
  nearbuf_memory room;
  CHECK_OK(nearbuf_reserve(&buffer, 10, 4096, &room));
  CHECK_OK(nearbuf_commit(&buffer, 0));
  CHECK_OK(nearbuf_release(&buffer));
  CHECK_EQUAL(first + 1, place_bytes(1, 1, 0));
}

TEST(a_reservation_that_is_not_committed_is_dropped_by_release) {
  uintptr_t first = place_bytes(1, 1, 0);
  nearbuf_buffer buffer = get_buffer(100, 1);
  nearbuf_memory room;
  CHECK_OK(nearbuf_reserve(&buffer, 100, 1, &room));
  CHECK_OK(nearbuf_release(&buffer));
  CHECK_EQUAL(first + 1, place_bytes(1, 1, 0));
}

TEST(reserving_again_replaces_the_reservation) {
  nearbuf_buffer buffer = get_buffer(100, 1);
  nearbuf_memory first;
  nearbuf_memory second;
  CHECK_OK(nearbuf_reserve(&buffer, 100, 1, &first));
  CHECK_OK(nearbuf_reserve(&buffer, 10, 1, &second));
  CHECK(second.run_at == first.run_at);
  CHECK_STATUS(NEARBUF_BEYOND_ROOM, nearbuf_commit(&buffer, 11));
  CHECK_OK(nearbuf_commit(&buffer, 10));
}

TEST(an_append_ends_the_reservation) {
  nearbuf_buffer buffer = get_buffer(100, 1);
  nearbuf_memory room;
  CHECK_OK(nearbuf_reserve(&buffer, 10, 1, &room));
  CHECK_OK(nearbuf_append(&buffer, "abc", 3, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_commit(&buffer, 10));
}

TEST(all_of_the_room_can_be_reserved) {
  nearbuf_buffer buffer = get_buffer(100, 1);
  nearbuf_memory room;
  size_t all = nearbuf_buffer_room(&buffer);
  CHECK_OK(nearbuf_reserve(&buffer, all, 1, &room));
  CHECK_OK(nearbuf_commit(&buffer, all));
  CHECK_EQUAL(0, nearbuf_buffer_room(&buffer));
}

/* ---- Place ----------------------------------------------------------------------------------- */

TEST(place_copies_the_bytes_and_holds_nothing) {
  nearbuf_request request = request_aligned(6, 16);
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, "placed", &placed));
  CHECK(memcmp(placed.run_at, "placed", 6) == 0);
  CHECK(placed.write_to == placed.run_at);
  CHECK_EQUAL(6, placed.size_bytes);
  CHECK_EQUAL(0, placed.system_error);
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(0, totals.taken);
  CHECK_EQUAL(6, totals.used_bytes);
}

typedef struct writing {
  ptrdiff_t answer;
  int calls;
  nearbuf_memory room;
} writing;

static ptrdiff_t write_some(const nearbuf_memory *room, void *context) {
  writing *what = context;
  what->calls++;
  what->room = *room;
  memset(room->write_to, 'w', room->size_bytes);
  return what->answer;
}

static nearbuf_status place_with(writing *what, nearbuf_memory *placed) {
  nearbuf_request request = request_aligned(100, 32);
  return nearbuf_place_with(&request, write_some, what, placed);
}

TEST(the_writer_knows_the_address_and_keeps_what_it_says_it_used) {
  writing what = {.answer = 40};
  nearbuf_memory placed;
  CHECK_OK(place_with(&what, &placed));
  CHECK_EQUAL(1, what.calls);
  CHECK_EQUAL(100, what.room.size_bytes);
  CHECK_EQUAL(0, (uintptr_t)what.room.run_at % 32);
  CHECK(placed.run_at == what.room.run_at);
  CHECK(placed.write_to == what.room.write_to);
  CHECK_EQUAL(40, placed.size_bytes);
  CHECK_EQUAL((uintptr_t)placed.run_at + 40, place_bytes(1, 1, 0));
}

TEST(a_writer_may_use_all_or_nothing) {
  writing all = {.answer = 100};
  writing nothing = {.answer = 0};
  nearbuf_memory placed;
  CHECK_OK(place_with(&nothing, &placed));
  CHECK_EQUAL(0, placed.size_bytes);
  CHECK_EQUAL(0, used_at((uintptr_t)nothing.room.run_at));
  CHECK_OK(place_with(&all, &placed));
  CHECK_EQUAL(100, placed.size_bytes);
  CHECK_EQUAL(100, used_at((uintptr_t)all.room.run_at));
}

static void check_nothing_kept(ptrdiff_t answer, nearbuf_status status) {
  uintptr_t first = place_bytes(1, 1, 0);
  writing what = {.answer = answer};
  nearbuf_memory placed = {(unsigned char *)1, (unsigned char *)1, 1, 1, 1};
  CHECK_STATUS(status, place_with(&what, &placed));
  CHECK_EQUAL(1, what.calls);
  CHECK(placed.run_at == NULL && placed.write_to == NULL);
  CHECK_EQUAL(0, placed.size_bytes);
  CHECK_EQUAL(0, placed.system_error);
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(0, totals.taken);
  CHECK_EQUAL(first + 1, place_bytes(1, 1, 0));
}

TEST(a_writer_that_gives_up_consumes_nothing) {
  check_nothing_kept(-1, NEARBUF_CANCELLED);
  check_nothing_kept(PTRDIFF_MIN, NEARBUF_CANCELLED);
}

TEST(a_writer_that_claims_more_than_the_room_consumes_nothing) {
  check_nothing_kept(101, NEARBUF_BEYOND_ROOM);
  check_nothing_kept(PTRDIFF_MAX, NEARBUF_BEYOND_ROOM);
}

/* Calls the library again, as deep as the context says. */
static ptrdiff_t write_deep(const nearbuf_memory *room, void *context) {
  int depth = *(int *)context;
  memset(room->write_to, depth, room->size_bytes);
  if (depth > 0) {
    int next = depth - 1;
    nearbuf_request request = request_aligned(64, 16);
    nearbuf_memory inner;
    CHECK_OK(nearbuf_place_with(&request, write_deep, &next, &inner));
    CHECK(inner.run_at + 64 <= room->run_at || room->run_at + room->size_bytes <= inner.run_at);
    CHECK_OK(nearbuf_place(&request, room->run_at, &inner));
    nearbuf_info info;
    CHECK_OK(nearbuf_find(room->run_at, &info));
    CHECK_EQUAL(1, info.is_taken);
  }
  for (size_t i = 0; i < room->size_bytes; i++) {
    CHECK_EQUAL(depth, room->run_at[i]);
  }
  return (ptrdiff_t)room->size_bytes;
}

TEST(a_writer_may_call_the_library_again) {
  int depth = 8;
  nearbuf_request request = request_aligned(64, 16);
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place_with(&request, write_deep, &depth, &placed));
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(0, totals.taken);
  CHECK_EQUAL(64 * 17, totals.used_bytes);
}
