/* The inspector's self-test, with an invented library that keeps its promises, or breaks one of
 * them: then the check of that promise fails, and says why. tools/nearbuf/self_test.c is compiled
 * here, with other names for what it calls. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <nearbuf/nearbuf.h>

#include "said.h"

#define nearbuf_version invented_version
#define nearbuf_request_near invented_request_near
#define nearbuf_range_below invented_range_below
#define nearbuf_place invented_place
#define nearbuf_place_with invented_place_with
#define nearbuf_find invented_find
#define nearbuf_get invented_get
#define nearbuf_release invented_release
#define nearbuf_buffer_address invented_buffer_address
#define nearbuf_overwrite invented_overwrite
#define nearbuf_allocate invented_allocate
#define nearbuf_free invented_free
#define nearbuf_next invented_next
#define nearbuf_get_totals invented_get_totals
#undef memcmp /* where it is a macro already */
#define memcmp(left, right, size) invented_memcmp(left, right, size)

static uint32_t invented_version(void);
static nearbuf_status invented_request_near(const void *target, size_t size_bytes,
                                            nearbuf_request *request);
static nearbuf_status invented_range_below(uint64_t limit, nearbuf_range *range);
static nearbuf_status invented_place(const nearbuf_request *request, const void *bytes,
                                     nearbuf_memory *placed);
static nearbuf_status invented_place_with(const nearbuf_request *request, nearbuf_writer writer,
                                          void *context, nearbuf_memory *placed);
static nearbuf_status invented_find(const void *address, nearbuf_info *info);
static nearbuf_status invented_get(const nearbuf_request *request, nearbuf_buffer *buffer);
static nearbuf_status invented_release(nearbuf_buffer *buffer);
static uintptr_t invented_buffer_address(const nearbuf_buffer *buffer);
static nearbuf_status invented_overwrite(void *address, const void *bytes, size_t size_bytes,
                                         int32_t *system_error);
static nearbuf_status invented_allocate(const nearbuf_request *request, nearbuf_memory *memory);
static nearbuf_status invented_free(nearbuf_memory *memory);
static nearbuf_status invented_next(nearbuf_walk *walk, nearbuf_info *info);
static nearbuf_status invented_get_totals(nearbuf_totals *totals);
static int invented_memcmp(const void *left, const void *right, size_t size);

#include "../../tools/nearbuf/self_test.c" /* NOLINT(bugprone-suspicious-include) */

#undef memcmp

/* ---- The library ----------------------------------------------------------------------------- */

enum { ANY_CODE = 12345, BUFFER = 4096, PRIVATE = 8192, WHOLE = 5000 };

/* Memory is at invented addresses, from `start` on; what is placed is kept in `bytes`. */
static struct {
  uint32_t version;
  nearbuf_status status;   /* of the call number `failing` that can fail */
  int failing;             /* 0: none */
  int calls;               /* so far */
  int32_t code;            /* the system's */
  uintptr_t start;         /* where the next bytes are placed */
  nearbuf_range range;     /* that a request near something gets */
  uintptr_t low_max;       /* the end of the range below 2 GiB */
  size_t lost;             /* how many of the placed bytes are not in the memory */
  bool is_idle;            /* overwriting changes nothing */
  size_t more;             /* how many bytes more than the requested ones are handed out */
  size_t step;             /* how far from each other the placed ones are */
  int found;               /* how many buffers were found */
  uintptr_t apart;         /* how far from each other found buffers are */
  int (*stub)(void);       /* runs where code is placed */
  nearbuf_request request; /* the last one */
  uint64_t held;
  bool is_held_twice; /* a held buffer is handed out again */
  bool is_lenient;    /* a buffer may be released twice */
  int lenient;        /* the number of the invalid request that is not refused; 0: none */
  bool is_kept;       /* freed memory stays in the handle */
  size_t private_size;
  nearbuf_totals totals;
  uint64_t buffers; /* that a walk meets, each with 10 bytes used */
} it;

static unsigned char bytes_there[BUFFER];
static unsigned char private_bytes[PRIVATE];

static int forty_two(void) {
  return 42;
}

static int forty_one(void) {
  return 41;
}

/* One that keeps its promises, in the narrowest way. */
static void be_sound(void) {
  memset(&it, 0, sizeof it);
  memset(bytes_there, 0xee, sizeof bytes_there);
  memset(private_bytes, 0, sizeof private_bytes);
  it.version = NEARBUF_VERSION;
  it.code = ANY_CODE;
  it.start = 0x10000;
  it.range = (nearbuf_range){0x10000, UINTPTR_MAX};
  it.low_max = (uintptr_t)NEARBUF_2_GIB - 1;
  it.step = 16;
  it.stub = forty_two;
  it.private_size = PRIVATE;
  it.totals.sharing = NEARBUF_SHARING_SHARED;
  it.totals.buffers = 3;
  it.totals.used_bytes = 30;
  it.buffers = 3;
}

/* The status of a call that can fail. */
static nearbuf_status status_of_call(void) {
  it.calls++;
  return it.calls == it.failing ? it.status : NEARBUF_OK;
}

static uint32_t invented_version(void) {
  return it.version;
}

static nearbuf_status invented_request_near(const void *target, size_t size_bytes,
                                            nearbuf_request *request) {
  CHECK(target == (void *)(uintptr_t)answer);
  *request = (nearbuf_request)NEARBUF_REQUEST_INIT;
  request->size_bytes = size_bytes;
  request->range = it.range;
  return status_of_call();
}

static nearbuf_status invented_range_below(uint64_t limit, nearbuf_range *range) {
  CHECK(limit == NEARBUF_2_GIB);
  *range = (nearbuf_range){0, it.low_max};
  return status_of_call();
}

static nearbuf_status invented_place(const nearbuf_request *request, const void *bytes,
                                     nearbuf_memory *placed) {
  nearbuf_status status = status_of_call();
  *placed = (nearbuf_memory){.system_error = it.code};
  it.request = *request;
  if (status == NEARBUF_OK) {
    memcpy(bytes_there, bytes, request->size_bytes - it.lost);
    placed->run_at = (unsigned char *)it.start;
    placed->write_to = placed->run_at;
    placed->size_bytes = request->size_bytes + it.more;
    it.start += it.step;
  }
  return status;
}

static int invented_memcmp(const void *left, const void *right, size_t size) {
  CHECK((uintptr_t)left == it.start - it.step); /* what was placed last */
  return memcmp(bytes_there, right, size);
}

static nearbuf_status invented_place_with(const nearbuf_request *request, nearbuf_writer writer,
                                          void *context, nearbuf_memory *placed) {
  nearbuf_status status = status_of_call();
  nearbuf_memory room = {.write_to = bytes_there,
                         .run_at = (unsigned char *)(uintptr_t)it.stub,
                         .size_bytes = request->size_bytes};
  CHECK(request->range.min == it.range.min);
  ptrdiff_t size = writer(&room, context);
  CHECK(size > 0 && (size_t)size <= request->size_bytes);
  *placed = room;
  placed->system_error = it.code;
  return status;
}

static nearbuf_status invented_find(const void *address, nearbuf_info *info) {
  nearbuf_status status = status_of_call();
  CHECK((uintptr_t)address >= 0x10000);
  *info = (nearbuf_info){.address = 0x10000 + (uintptr_t)it.found * it.apart};
  it.found++;
  return status;
}

/* Whether a request is invalid; and that with the number `lenient` is not refused. */
static nearbuf_status refusal_of(const nearbuf_request *request) {
  nearbuf_status status = NEARBUF_OK;
  int number = 0;
  if (request == NULL) {
    status = NEARBUF_INVALID_ARGUMENT;
    number = 4;
  } else if (request->size_bytes == 0) {
    status = NEARBUF_INVALID_SIZE;
    number = 1;
  } else if ((request->alignment_bytes & (request->alignment_bytes - 1)) != 0) {
    status = NEARBUF_INVALID_ALIGNMENT;
    number = 2;
  } else if (request->range.min > request->range.max) {
    status = NEARBUF_INVALID_RANGE;
    number = 3;
  }
  return number == it.lenient ? NEARBUF_OK : status;
}

static nearbuf_status invented_get(const nearbuf_request *request, nearbuf_buffer *buffer) {
  nearbuf_status status = refusal_of(request);
  if (status == NEARBUF_OK) {
    status = status_of_call();
  }
  *buffer = (nearbuf_buffer){.system_error = it.code};
  if (status == NEARBUF_OK) {
    it.held++;
    buffer->item = 1;
    buffer->address = 0x10000 + (it.is_held_twice ? 0 : (uintptr_t)it.held * BUFFER);
  }
  return status;
}

static nearbuf_status invented_release(nearbuf_buffer *buffer) {
  if (buffer->item == 0 && !it.is_lenient) {
    return NEARBUF_INVALID_HANDLE;
  }
  it.held--;
  buffer->item = 0;
  return status_of_call();
}

static uintptr_t invented_buffer_address(const nearbuf_buffer *buffer) {
  return buffer->address;
}

static nearbuf_status invented_overwrite(void *address, const void *bytes, size_t size_bytes,
                                         int32_t *system_error) {
  nearbuf_status status = status_of_call();
  CHECK((uintptr_t)address == it.start - it.step);
  *system_error = it.code;
  if (!it.is_idle) {
    memcpy(bytes_there, bytes, size_bytes);
  }
  return status;
}

static nearbuf_status invented_allocate(const nearbuf_request *request, nearbuf_memory *memory) {
  nearbuf_status status = status_of_call();
  CHECK_EQUAL(WHOLE, request->size_bytes);
  *memory = (nearbuf_memory){private_bytes, private_bytes, it.private_size, it.code, 1};
  return status;
}

static nearbuf_status invented_free(nearbuf_memory *memory) {
  nearbuf_status status = status_of_call();
  memory->run_at = it.is_kept ? memory->run_at : NULL;
  return status;
}

static nearbuf_status invented_next(nearbuf_walk *walk, nearbuf_info *info) {
  if (walk->next == it.buffers) {
    return NEARBUF_NOT_FOUND;
  }
  walk->next++;
  *info = (nearbuf_info){.used_bytes = 10};
  return NEARBUF_OK;
}

static nearbuf_status invented_get_totals(nearbuf_totals *totals) {
  *totals = it.totals;
  return status_of_call();
}

exit_code complain(exit_code code, const char *format, ...) {
  char text[256];
  va_list values;
  va_start(values, format);
  (void)vsnprintf(text, sizeof text, format, values);
  va_end(values);
  (void)said_text("nearbuf: ");
  (void)said_puts(text);
  return code;
}

/* ---- One check ------------------------------------------------------------------------------- */

typedef bool (*holds_function)(char *note, size_t note_size);

static char note[160];

static bool holds(holds_function one) {
  note[0] = '\0';
  return one(note, sizeof note);
}

static void check_note(const char *expected) {
  if (strcmp(note, expected) != 0) {
    test_fail(__FILE__, __LINE__, "it notes \"%s\", not \"%s\"", note, expected);
  }
}

/* It is the text of the status and the system's code, or empty if the status is OK. */
static void check_noted_status(nearbuf_status status) {
  char expected[sizeof note] = "";
  if (status != NEARBUF_OK) {
    (void)snprintf(expected, sizeof expected, "%s, the system's code is 12345",
                   nearbuf_status_text(status));
  }
  check_note(expected);
}

/* The check fails if its call number 1, 2, … fails, and tells why where a reason is given. */
static void check_failures(holds_function one, int count, const bool *noted) {
  for (int i = 1; i <= count; i++) {
    be_sound();
    it.status = NEARBUF_DENIED;
    it.failing = i;
    CHECK(!holds(one));
    CHECK(it.calls >= i); /* there is such a call */
    check_noted_status(noted[i - 1] ? NEARBUF_DENIED : NEARBUF_OK);
  }
}

TEST(the_versions_of_header_and_library_must_be_equal) {
  be_sound();
  CHECK(holds(header_and_library_agree));
  check_note("0x010000");
  it.version = 0x20103;
  CHECK(!holds(header_and_library_agree));
  check_note("0x020103");
  it.version = NEARBUF_VERSION - 1;
  CHECK(!holds(header_and_library_agree));
}

TEST(bytes_near_a_function_must_be_in_the_range_from_the_first_to_the_last) {
  be_sound();
  it.range = (nearbuf_range){0x10000, 0x10004};
  CHECK(holds(near_bytes));
  check_note("");
  be_sound();
  it.range = (nearbuf_range){0x10001, 0x10004};
  CHECK(!holds(near_bytes));
  be_sound();
  it.range = (nearbuf_range){0x10000, 0x10003};
  CHECK(!holds(near_bytes));
  be_sound();
  it.range = (nearbuf_range){0x10000, 0x10004};
  it.more = 1;
  CHECK(!holds(near_bytes));
}

TEST(bytes_near_a_function_must_be_those_that_were_placed) {
  be_sound();
  bytes_there[4] = 1;
  it.lost = 1;
  CHECK(!holds(near_bytes));
  check_failures(near_bytes, 2, (const bool[]){false, true});
}

TEST(code_must_run_and_return_what_it_returns_elsewhere) {
  be_sound();
  CHECK(holds(code_that_runs));
  CHECK_EQUAL(42, answer());
  if (DETOUR_JUMP_SIZE == 0) {
    check_note("not run: this processor's instructions are not known");
    return;
  }
  check_note("");
  it.stub = forty_one;
  CHECK(!holds(code_that_runs));
  be_sound();
  it.failing = 2;
  it.status = NEARBUF_NO_ROOM;
  CHECK(!holds(code_that_runs));
  check_noted_status(NEARBUF_NO_ROOM);
}

/* The request is one for data, and these have a cache line of their own. */
TEST(low_data_must_end_at_2_gib_and_begin_a_cache_line) {
  be_sound();
  CHECK(holds(data_below_2_gib));
  check_note("");
  CHECK_EQUAL(NEARBUF_DATA, it.request.flags);
  CHECK_EQUAL(NEARBUF_2_GIB - 1, it.request.range.max);
  CHECK_EQUAL(sizeof "low", it.request.size_bytes);
  be_sound();
  it.start = 0x10000 + 32;
  CHECK(!holds(data_below_2_gib));
  be_sound();
  it.start = 0x10000 + 1;
  CHECK(!holds(data_below_2_gib));
  be_sound();
  it.start = 0x10000 + 64;
  CHECK(holds(data_below_2_gib));
  be_sound();
  it.low_max = UINTPTR_MAX;
  it.start = (uintptr_t)NEARBUF_2_GIB - 64;
  CHECK(holds(data_below_2_gib));
  it.start = (uintptr_t)NEARBUF_2_GIB;
  CHECK(!holds(data_below_2_gib));
  be_sound();
  it.lost = 1;
  CHECK(!holds(data_below_2_gib));
  check_failures(data_below_2_gib, 2, (const bool[]){false, true});
}

TEST(an_alignment_to_4096_bytes_must_be_kept) {
  be_sound();
  CHECK(holds(aligned_bytes));
  CHECK_EQUAL(4096, it.request.alignment_bytes);
  CHECK_EQUAL(sizeof "aligned", it.request.size_bytes);
  static const uintptr_t steps[] = {1, 16, 2048};
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
    be_sound();
    it.start += steps[i];
    CHECK(!holds(aligned_bytes));
  }
  be_sound();
  it.start += 4096;
  CHECK(holds(aligned_bytes));
  be_sound();
  it.lost = 1;
  CHECK(!holds(aligned_bytes));
  check_failures(aligned_bytes, 1, (const bool[]){true});
}

TEST(the_next_bytes_must_lie_in_the_same_buffer_behind_the_first_ones) {
  be_sound();
  CHECK(holds(used_twice));
  check_note("");
  it.apart = BUFFER;
  CHECK(!holds(used_twice));
  be_sound();
  it.step = 15;
  CHECK(!holds(used_twice));
  be_sound();
  it.step = 17;
  CHECK(holds(used_twice));
  be_sound();
  it.lost = 16;
  memset(bytes_there, 0, sizeof bytes_there); /* as fresh memory is */
  CHECK(!holds(used_twice));
  check_failures(used_twice, 4, (const bool[]){true, true, false, false});
}

TEST(a_held_buffer_must_not_be_handed_out_again_nor_be_released_twice) {
  be_sound();
  CHECK(holds(held_alone));
  check_note("");
  CHECK_EQUAL(0, it.held);
  be_sound();
  it.is_held_twice = true;
  CHECK(!holds(held_alone));
  be_sound();
  it.is_lenient = true;
  CHECK(!holds(held_alone));
  check_failures(held_alone, 4, (const bool[]){true, true, false, false});
  be_sound();
  it.failing = 2;
  it.status = NEARBUF_BUSY;
  CHECK(!holds(held_alone));
  CHECK_EQUAL(0, it.held); /* the first one is released all the same */
}

TEST(overwritten_bytes_must_be_the_new_ones) {
  be_sound();
  CHECK(holds(overwritten));
  check_note("");
  uint64_t after = 2;
  CHECK(memcmp(bytes_there, &after, sizeof after) == 0);
  CHECK_EQUAL(sizeof after, it.request.size_bytes);
  be_sound();
  it.is_idle = true;
  CHECK(!holds(overwritten));
  check_note("");
  check_failures(overwritten, 2, (const bool[]){true, true});
}

TEST(private_memory_must_be_zeroed_in_the_range_and_large_enough) {
  uintptr_t start = (uintptr_t)private_bytes;
  be_sound();
  it.range = (nearbuf_range){start, start + PRIVATE - 1};
  CHECK(holds(private_memory));
  check_note("");
  it.range.max--;
  CHECK(!holds(private_memory));
  it.range = (nearbuf_range){start + 1, start + PRIVATE};
  CHECK(!holds(private_memory));
  it.range = (nearbuf_range){0, UINTPTR_MAX};
  it.private_size = WHOLE;
  CHECK(holds(private_memory));
  it.private_size = WHOLE - 1;
  CHECK(!holds(private_memory));
  it.private_size = PRIVATE;
  private_bytes[0] = 1;
  CHECK(!holds(private_memory));
  private_bytes[0] = 0;
  private_bytes[PRIVATE - 1] = 1;
  CHECK(!holds(private_memory));
  private_bytes[PRIVATE - 1] = 0;
  private_bytes[1] = 1; /* which is not looked at */
  private_bytes[PRIVATE - 2] = 1;
  CHECK(holds(private_memory));
  it.is_kept = true;
  CHECK(!holds(private_memory));
}

TEST(private_memory_that_cannot_be_had_or_freed_is_noticed) {
  be_sound();
  it.range = (nearbuf_range){0, UINTPTR_MAX};
  it.status = NEARBUF_OUT_OF_MEMORY;
  it.failing = 2;
  CHECK(!holds(private_memory));
  check_noted_status(NEARBUF_OUT_OF_MEMORY);
  it.calls = 0;
  it.failing = 3;
  CHECK(!holds(private_memory));
  check_note("");
}

TEST(every_invalid_request_must_be_refused_with_its_own_status) {
  static const char *const statuses[] = {"NEARBUF_OK instead of NEARBUF_INVALID_SIZE",
                                         "NEARBUF_OK instead of NEARBUF_INVALID_ALIGNMENT",
                                         "NEARBUF_OK instead of NEARBUF_INVALID_RANGE",
                                         "NEARBUF_OK instead of NEARBUF_INVALID_ARGUMENT"};
  be_sound();
  CHECK(holds(refusals));
  check_note("");
  for (int i = 1; i <= 4; i++) {
    it.lenient = i;
    CHECK(!holds(refusals));
    check_note(statuses[i - 1]);
  }
}

TEST(the_totals_must_be_the_sums_over_the_walk_and_nothing_held) {
  be_sound();
  CHECK(holds(the_sum_is_right));
  check_note("3 buffers");
  it.totals.buffers = 4;
  CHECK(!holds(the_sum_is_right));
  check_note("4 buffers");
  be_sound();
  it.totals.used_bytes = 31;
  CHECK(!holds(the_sum_is_right));
  be_sound();
  it.totals.taken = 1;
  CHECK(!holds(the_sum_is_right));
  be_sound();
  it.failing = 1;
  it.status = NEARBUF_DENIED;
  CHECK(!holds(the_sum_is_right));
}

TEST(there_must_be_a_locator_and_a_private_one_is_noted) {
  be_sound();
  CHECK(holds(the_place_is_shared));
  check_note("");
  it.totals.sharing = NEARBUF_SHARING_PRIVATE;
  it.totals.private_reason = 13;
  CHECK(holds(the_place_is_shared));
  check_note("to this process only; the system's code is 13");
  it.totals.sharing = NEARBUF_SHARING_NONE;
  CHECK(!holds(the_place_is_shared));
  be_sound();
  it.failing = 1;
  it.status = NEARBUF_DENIED;
  CHECK(!holds(the_place_is_shared));
}

/* ---- All of them ----------------------------------------------------------------------------- */

#if defined(__x86_64__) || defined(__i386__) || defined(__aarch64__)
#define NOT_RUN ""
#else
#define NOT_RUN ": not run: this processor's instructions are not known"
#endif

static const char all_well[] = "ok     the header and the library have the same version: 0x010000\n"
                               "ok     bytes lie within reach of a function\n"
                               "ok     code written for its address runs" NOT_RUN "\n"
                               "ok     data lie below 2 GiB, on a cache line of their own\n";

static const char others_well[] = "ok     the rest of a buffer serves the next request\n"
                                  "ok     a held buffer is not handed out again\n"
                                  "ok     bytes in a buffer can be replaced\n"
                                  "ok     private memory is allocated and freed\n";

/* Each check gets a place that it accepts. */
TEST(every_check_is_printed_with_its_result_and_the_failed_ones_are_counted) {
  char expected[2048];
  static const tool_arguments arguments = {0};
  be_sound();
  it.range = (nearbuf_range){0, UINTPTR_MAX};
  it.start = 0x20000;
  it.step = 4096;
  CHECK_EQUAL(EXIT_DONE, self_test_run(&arguments));
  (void)snprintf(expected, sizeof expected, "%s%s%s%s", all_well,
                 "ok     an alignment to 4096 bytes is kept\n", others_well,
                 "ok     invalid requests are refused\n"
                 "ok     the listed buffers and the totals agree: 3 buffers\n"
                 "ok     the locator can be found\n");
  check_said(expected);
  it.start = 0x20040;
  it.lenient = 2;
  CHECK_EQUAL(EXIT_FAILED, self_test_run(&arguments));
  (void)snprintf(expected, sizeof expected, "%s%s%s%s", all_well,
                 "FAILED an alignment to 4096 bytes is kept\n", others_well,
                 "FAILED invalid requests are refused: "
                 "NEARBUF_OK instead of NEARBUF_INVALID_ALIGNMENT\n"
                 "ok     the listed buffers and the totals agree: 3 buffers\n"
                 "ok     the locator can be found\n"
                 "nearbuf: 2 of 12 checks failed\n");
  check_said(expected);
}

/* ---- The stub -------------------------------------------------------------------------------- */

TEST(a_stub_is_as_long_as_what_is_written_of_it) {
  if (DETOUR_JUMP_SIZE == 0) {
    return; /* none is written on this processor */
  }
  enum { MOST = 2 * DETOUR_STUB_SIZE, UNWRITTEN = 0xa5 };
  unsigned char bytes[MOST];
  memset(bytes, UNWRITTEN, sizeof bytes);
  int size = detour_write_stub(bytes, UINTPTR_MAX / 5, UINTPTR_MAX / 3);
  int written = MOST;
  while (written > 0 && bytes[written - 1] == UNWRITTEN) {
    written--;
  }
  CHECK_EQUAL(written, size);
  CHECK(size > 0 && size <= DETOUR_STUB_SIZE);
}
