/* Memory in an invented process: its map, its program, its clock, and what it does while a place is
 * tried are what a test says. memory.c and process.c of src/remote are compiled here, with other
 * names for what they call of the port and for what they define. Against real processes they are
 * tested by tests/process. */
#define nbuf_os_nanoseconds invented_nanoseconds
#include "os/os.h"
#define nbuf_os_granularity invented_granularity
static size_t invented_granularity(void);
#define nbuf_remote_open invented_open
#define nbuf_remote_close invented_close
#define nbuf_remote_check invented_check
#define nbuf_remote_describe invented_describe
#define nbuf_remote_visit_all invented_visit_all
#define nbuf_remote_visit_files invented_visit_files
#define nbuf_remote_remove_file invented_remove_file
#define nbuf_remote_read invented_read
#define nbuf_remote_write invented_write
#define nbuf_remote_note_program invented_note_program
#define nbuf_remote_check_program invented_check_program
#define nbuf_remote_let_go invented_let_go
#define nbuf_remote_map_open invented_map_open
#define nbuf_remote_map_close invented_map_close
#define nbuf_remote_map_next invented_map_next
#define nbuf_remote_limits invented_limits
#define nbuf_remote_draft_begin invented_draft_begin
#define nbuf_remote_allocate invented_allocate
#define nbuf_remote_free invented_free
#define nbuf_remote_is_growing_stack invented_is_growing_stack
#define nbuf_walk_start invented_walk_start
#define nbuf_walk_next_locator invented_walk_next_locator
#define nbuf_walk_item invented_walk_item
#define nbuf_process_call_end tested_call_end
#define nbuf_process_explain tested_explain
#define nbuf_process_is_open tested_is_open
#define nbuf_process_width tested_width
#define nbuf_process_check_usable tested_check_usable
#define nbuf_process_check_request tested_check_request
#define nbuf_process_make_memory tested_make_memory
#define nearbuf_process_open tested_process_open
#define nearbuf_process_close tested_process_close
#define nearbuf_process_check tested_process_check
#define nearbuf_process_describe tested_process_describe
#define nearbuf_process_visit_all tested_process_visit_all
#define nearbuf_process_visit_files tested_process_visit_files
#define nearbuf_process_remove_file tested_process_remove_file
#define nearbuf_process_visit_map tested_process_visit_map
#define nearbuf_process_read tested_process_read
#define nearbuf_process_write tested_process_write
#define nearbuf_process_allocate tested_process_allocate
#define nearbuf_process_free tested_process_free
#include "remote/memory.c"  /* NOLINT(bugprone-suspicious-include) */
#include "remote/process.c" /* NOLINT(bugprone-suspicious-include) */

#include "refused.h"
#include "test.h"

/* ---- The process ----------------------------------------------------------------------------- */

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define SECOND ((uint64_t)1000000000)
#define GRANULE (64 * KIB)
#define LOWEST GRANULE
#define HIGHEST (2048 * MIB - 1)
#define TARGET (1024 * MIB)
enum { ID = 42, MOST_MAPPED = 16, MOST_TRIED = 128 };

typedef enum map_kind { PRIVATE, SHARED, OF_A_FILE, NOT_READ, NOT_WRITTEN, NOT_RUN } map_kind;

typedef struct mapped_range {
  uint64_t min;
  uint64_t max;
  map_kind kind;
  const char *name;
} mapped_range;

static struct {
  mapped_range mapped[MOST_MAPPED]; /* in ascending order */
  int mapped_count;
  int map_position;
  int open_maps;
  nearbuf_status map_opening;
  nearbuf_status map_end; /* how the map ends: NOT_FOUND, or what goes wrong there */
  nearbuf_status program; /* whether it is the noted one */
  nearbuf_status noting;
  nearbuf_status freeing;
  nearbuf_status copying;
  nearbuf_status refusal; /* of memory */
  int refusals;           /* of the places that are tried first; below 0: of all */
  uint64_t least_refused; /* smaller sizes are given */
  uint64_t highest;       /* of the addresses that the system gives */
  uint64_t growing_stack; /* where one starts; 0: there is none */
  uint64_t now;
  uint64_t try_ns; /* how long trying a place takes */
  nbuf_range tried[MOST_TRIED];
  int tried_count;
  nbuf_remote_draft draft;
  int begun;
  uintptr_t around; /* where the system's limits were asked for */
  nbuf_range freed; /* from 0: nothing was */
  nbuf_item listed[2];
  uint32_t listed_count;
  nearbuf_status walk_end;
  bool is_one_locator; /* lists all items */
  bool is_dead;
  int let_go; /* how often what calls keep was let go */
} it = {.highest = HIGHEST,
        .map_end = NEARBUF_NOT_FOUND,
        .walk_end = NEARBUF_NOT_FOUND,
        .refusal = NEARBUF_NO_ROOM};

static nearbuf_process other = {.id = ID, .address_bits = 8 * sizeof(void *)};

/* Why nothing follows: there is no more, which is no failure of the system, or what went wrong. */
static nbuf_result ended_with(nearbuf_status status) {
  return status == NEARBUF_NOT_FOUND ? nbuf_result_of(status) : failed_if(status);
}

static size_t invented_granularity(void) {
  return GRANULE;
}

uint64_t invented_nanoseconds(void) {
  return it.now;
}

nbuf_result invented_open(int64_t id, nearbuf_process *process) {
  process->id = id;
  process->address_bits = 8 * sizeof(void *);
  return failed_if(id == ID ? NEARBUF_OK : NEARBUF_NOT_FOUND);
}

void invented_close(nearbuf_process *process) {
  CHECK_EQUAL(ID, process->id);
}

nbuf_result invented_check(const nearbuf_process *process) {
  CHECK_EQUAL(ID, process->id);
  return nbuf_result_of(it.is_dead ? NEARBUF_NOT_FOUND : NEARBUF_OK);
}

nbuf_result invented_describe(const nearbuf_process *process, nearbuf_process_info *info) {
  CHECK_EQUAL(ID, process->id);
  info->own_id = ID;
  return failed_if(it.copying);
}

nbuf_result invented_visit_all(nearbuf_process_visitor visit, void *context) {
  (void)visit;
  (void)context;
  return failed_if(it.copying);
}

nbuf_result invented_visit_files(nearbuf_file_visitor visit, void *context) {
  (void)visit;
  (void)context;
  return failed_if(it.copying);
}

nbuf_result invented_remove_file(const nearbuf_file *file) {
  (void)file;
  return failed_if(it.copying);
}

enum { COPIED = 3 };

nbuf_result invented_read(const nearbuf_process *process, uint64_t address, void *bytes,
                          size_t size, size_t *done) {
  CHECK_EQUAL(ID, process->id);
  CHECK_EQUAL(TARGET, address);
  memset(bytes, 'r', size);
  *done = it.copying == NEARBUF_OK ? size : COPIED;
  return failed_if(it.copying);
}

nbuf_result invented_write(const nearbuf_process *process, uint64_t address, const void *bytes,
                           size_t size, size_t *done) {
  CHECK_EQUAL(ID, process->id);
  CHECK_EQUAL(TARGET, address);
  CHECK(memchr(bytes, 'w', size) == bytes);
  *done = it.copying == NEARBUF_OK ? size : COPIED;
  return failed_if(it.copying);
}

nbuf_result invented_note_program(nearbuf_process *process) {
  CHECK_EQUAL(ID, process->id);
  return failed_if(it.noting);
}

void invented_let_go(nearbuf_process *process) {
  CHECK(process->id == ID || process->id == 0);
  it.let_go++;
}

nbuf_result invented_check_program(const nearbuf_process *process) {
  CHECK_EQUAL(ID, process->id);
  return nbuf_result_of(it.program);
}

nbuf_result invented_map_open(const nearbuf_process *process, nbuf_remote_map *map) {
  CHECK_EQUAL(ID, process->id);
  *map = (nbuf_remote_map){0};
  it.map_position = 0;
  it.open_maps++;
  return failed_if(it.map_opening);
}

/* A map may be closed that was not opened, or is closed already. */
void invented_map_close(nbuf_remote_map *map) {
  (void)map;
  it.open_maps = 0;
}

nbuf_result invented_map_next(nbuf_remote_map *map, nbuf_remote_mapping *mapping) {
  (void)map;
  CHECK_EQUAL(1, it.open_maps);
  if (it.map_position == it.mapped_count) {
    return ended_with(it.map_end);
  }
  const mapped_range *next = &it.mapped[it.map_position++];
  *mapping = (nbuf_remote_mapping){.info = {.min = next->min,
                                            .max = next->max,
                                            .is_readable = next->kind != NOT_READ,
                                            .is_writable = next->kind != NOT_WRITTEN,
                                            .is_executable = next->kind != NOT_RUN,
                                            .is_shared = next->kind == SHARED},
                                   .inode = next->kind == OF_A_FILE};
  if (next->name != NULL) {
    (void)snprintf(mapping->info.name, sizeof mapping->info.name, "%s", next->name);
  }
  return nbuf_result_of(NEARBUF_OK);
}

nbuf_range invented_limits(uint32_t address_bits, uintptr_t around) {
  CHECK_EQUAL(8 * sizeof(void *), address_bits);
  it.around = around;
  return (nbuf_range){(uintptr_t)LOWEST, (uintptr_t)it.highest};
}

static bool is_free(uint64_t min, uint64_t max) {
  for (int i = 0; i < it.mapped_count; i++) {
    if (it.mapped[i].min <= max && min <= it.mapped[i].max) {
      return false;
    }
  }
  return true;
}

void invented_draft_begin(nearbuf_process *process, nbuf_remote_draft *draft) {
  CHECK_EQUAL(ID, process->id);
  CHECK(draft == &it.draft);
  it.begun++;
}

nbuf_result invented_allocate(nearbuf_process *process, uint64_t address, uint64_t size,
                              nbuf_remote_draft *draft) {
  CHECK_EQUAL(ID, process->id);
  CHECK(draft == (it.begun != 0 ? &it.draft : NULL));
  CHECK(address >= LOWEST && address + size - 1 <= it.highest && address % GRANULE == 0);
  CHECK(size > 0 && size % GRANULE == 0 && is_free(address, address + size - 1));
  CHECK(it.tried_count < MOST_TRIED);
  it.tried[it.tried_count++] = (nbuf_range){(uintptr_t)address, (uintptr_t)(address + (size - 1))};
  it.now += it.try_ns;
  bool is_refused = (it.refusals < 0 || it.tried_count <= it.refusals) && size >= it.least_refused;
  return is_refused ? failed_if(it.refusal) : nbuf_result_of(NEARBUF_OK);
}

nbuf_result invented_free(nearbuf_process *process, uint64_t address, uint64_t size) {
  CHECK_EQUAL(ID, process->id);
  it.freed = (nbuf_range){(uintptr_t)address, (uintptr_t)(address + (size - 1))};
  return failed_if(it.freeing);
}

bool invented_is_growing_stack(nearbuf_process *process, uint64_t start) {
  CHECK_EQUAL(ID, process->id);
  return it.growing_stack != 0 && start == it.growing_stack;
}

void invented_walk_start(nearbuf_process_walk *walk) {
  *walk = (nearbuf_process_walk){0};
}

/* Each locator lists one item, or one locator all. */
nbuf_result invented_walk_next_locator(nearbuf_process *process, nearbuf_process_walk *walk,
                                       nearbuf_process_locator *locator) {
  CHECK_EQUAL(ID, process->id);
  CHECK_EQUAL(0, locator->address);
  if (walk->number == (it.is_one_locator ? 1 : it.listed_count)) {
    return ended_with(it.walk_end);
  }
  walk->number++;
  walk->count = it.is_one_locator ? it.listed_count : 1;
  locator->address = TARGET;
  return nbuf_result_of(NEARBUF_OK);
}

nbuf_item invented_walk_item(const nearbuf_process_walk *walk, uint32_t index) {
  CHECK(index < walk->count);
  return it.listed[walk->number - 1 + index];
}

static void map_range(uint64_t min, uint64_t size, map_kind kind, const char *name) {
  CHECK(it.mapped_count < MOST_MAPPED);
  it.mapped[it.mapped_count++] = (mapped_range){min, min + (size - 1), kind, name};
}

/* ---- Where memory goes ----------------------------------------------------------------------- */

static nearbuf_process_request request_in(uint64_t min, uint64_t max) {
  nearbuf_process_request request = NEARBUF_PROCESS_REQUEST_INIT;
  request.min = min;
  request.max = max;
  request.size_bytes = 100;
  request.target = TARGET;
  return request;
}

static uint64_t allocated(const nearbuf_process_request *request) {
  uint64_t address = 0;
  uint64_t size = 0;
  CHECK_OK(nearbuf_process_allocate(&other, request, &address, &size));
  CHECK_EQUAL(GRANULE, size);
  CHECK_EQUAL(it.tried[it.tried_count - 1].min, address);
  CHECK_EQUAL(0, it.open_maps);
  CHECK_EQUAL(0, other.system_error);
  return address;
}

static void check_fails(nearbuf_status expected, const nearbuf_process_request *request) {
  uint64_t address = 1;
  uint64_t size = 1;
  CHECK_STATUS(expected, nearbuf_process_allocate(&other, request, &address, &size));
  CHECK_EQUAL(0, address);
  CHECK_EQUAL(0, size);
  CHECK_EQUAL(0, it.open_maps);
}

static uint64_t distance(uint64_t address) {
  return address < TARGET ? TARGET - address : address - TARGET;
}

TEST(memory_is_made_beside_the_target) {
  nearbuf_process_request request = request_in(0, UINT64_MAX);
  map_range(TARGET - 64 * KIB, 256 * KIB, PRIVATE, "program");
  uint64_t address = allocated(&request);
  CHECK_EQUAL(128 * KIB, distance(address));
  CHECK_EQUAL(1, it.tried_count);
}

TEST(a_place_that_was_taken_meanwhile_is_not_tried_again) {
  nearbuf_process_request request = request_in(0, UINT64_MAX);
  it.refusals = 5;
  uint64_t address = allocated(&request);
  CHECK_EQUAL(6, it.tried_count);
  for (int i = 0; i < 5; i++) {
    CHECK(address < it.tried[i].min || address > it.tried[i].max);
    CHECK(i == 0 || it.tried[i].min != it.tried[i - 1].min);
  }
  CHECK(distance(address) <= 4 * GRANULE);
}

/* Sixteen times without the room for the heap and for stacks, then as often with it. */
/* Though the search before had seen the end of the map: the program's memory, which is nearer than
 * the last of these places, is not tried. */
TEST(after_a_place_that_was_taken_the_map_is_read_again) {
  nearbuf_process_request request = request_in(0, UINT64_MAX);
  map_range(TARGET - 512 * KIB, 512 * KIB, PRIVATE, "program");
  it.refusals = 12;
  CHECK(distance(allocated(&request)) >= 512 * KIB);
  CHECK_EQUAL(13, it.tried_count);
}

TEST(where_each_place_is_taken_meanwhile_the_search_ends) {
  nearbuf_process_request request = request_in(0, UINT64_MAX);
  it.refusals = -1;
  check_fails(NEARBUF_NO_ROOM, &request);
  CHECK_EQUAL(32, it.tried_count);
}

/* Each takes as long as a thread that does not stop: only that of the last place is added. */
TEST(after_two_seconds_no_other_place_is_tried) {
  nearbuf_process_request request = request_in(0, UINT64_MAX);
  it.refusals = -1;
  it.try_ns = 13 * SECOND;
  check_fails(NEARBUF_BUSY, &request);
  CHECK_EQUAL(1, it.tried_count);
  it.tried_count = 0;
  it.try_ns = SECOND * 3 / 4;
  check_fails(NEARBUF_BUSY, &request);
  CHECK_EQUAL(3, it.tried_count);
}

/* A request of which the near part is tried first, too. */
TEST(a_request_with_two_parts_takes_no_longer_where_each_place_is_taken_slowly) {
  nearbuf_process_request request = request_in(0, UINT64_MAX);
  request.near_bytes = 16 * MIB;
  it.refusals = -1;
  it.try_ns = SECOND;
  check_fails(NEARBUF_BUSY, &request);
  CHECK(it.now <= 3 * SECOND);
}

TEST(what_is_near_is_tried_before_the_rest_of_the_range) {
  nearbuf_process_request request = request_in(0, UINT64_MAX);
  request.near_bytes = 16 * MIB;
  map_range(TARGET - 32 * MIB, 64 * MIB, PRIVATE, "program");
  uint64_t address = allocated(&request);
  CHECK(distance(address) >= 32 * MIB);
  CHECK(distance(address) <= 32 * MIB + GRANULE);
  it.mapped[0].max = TARGET + 15 * MIB - 1;
  CHECK_EQUAL(TARGET + 15 * MIB, allocated(&request));
}

TEST(where_what_is_near_has_no_place_the_rest_of_the_range_is_used) {
  nearbuf_process_request request = request_in(0, UINT64_MAX);
  request.target = TARGET + 100;
  request.near_bytes = 1;
  CHECK_EQUAL(TARGET, allocated(&request));
  CHECK_EQUAL(request.target, it.around);
}

TEST(another_failure_than_of_room_ends_the_search) {
  nearbuf_process_request request = request_in(0, UINT64_MAX);
  request.near_bytes = 16 * MIB;
  it.refusals = -1;
  it.refusal = NEARBUF_DENIED;
  check_fails(NEARBUF_DENIED, &request);
  CHECK_EQUAL(1, it.tried_count);
  CHECK_EQUAL(ANY_ERROR, other.system_error);
}

/* A region of this library's: it takes more than is needed where that is free. */
static nearbuf_status make_region(nbuf_place *place) {
  const nbuf_constraint constraint = {.min = LOWEST, .max = HIGHEST, .alignment = 16, .size = 100};
  return nbuf_process_make_memory(&other, &constraint, TARGET, 1 << 20, false, NULL, place).status;
}

/* Nothing is begun for a request that no place is found for. */
TEST(a_draft_is_begun_where_a_place_was_found) {
  nbuf_constraint constraint = {.min = LOWEST, .max = LOWEST + 50, .alignment = 1, .size = 100};
  nbuf_place place;
  CHECK_STATUS(
      NEARBUF_NO_ROOM,
      nbuf_process_make_memory(&other, &constraint, 0, 0, false, &it.draft, &place).status);
  CHECK_EQUAL(0, it.begun);
  constraint.max = HIGHEST;
  CHECK_OK(nbuf_process_make_memory(&other, &constraint, 0, 0, false, &it.draft, &place).status);
  CHECK_EQUAL(1, it.begun);
  CHECK_EQUAL(1, it.tried_count);
}

TEST(where_memory_is_short_no_more_than_is_needed_is_taken) {
  nbuf_place place;
  CHECK_OK(make_region(&place));
  CHECK_EQUAL(1 << 20, place.size);
  it.refusals = -1;
  it.refusal = NEARBUF_OUT_OF_MEMORY;
  it.least_refused = 2 * GRANULE;
  CHECK_OK(make_region(&place));
  CHECK_EQUAL(GRANULE, place.size);
  it.least_refused = 0;
  CHECK_STATUS(NEARBUF_OUT_OF_MEMORY, make_region(&place));
  CHECK_EQUAL(0, place.start);
  CHECK_EQUAL(0, place.size);
  nearbuf_process_request request = request_in(0, UINT64_MAX);
  it.tried_count = 0;
  check_fails(NEARBUF_OUT_OF_MEMORY, &request);
  CHECK_EQUAL(1, it.tried_count);
}

/* ---- What the process needs itself ----------------------------------------------------------- */

TEST(room_for_the_heap_is_left_while_there_is_other) {
  nearbuf_process_request request = request_in(TARGET, UINT64_MAX);
  map_range(TARGET, MIB, PRIVATE, "[heap]");
  map_range(TARGET + 300 * MIB, MIB, PRIVATE, "program");
  CHECK_EQUAL(TARGET + MIB + 256 * MIB, allocated(&request));
  request.max = TARGET + 128 * MIB;
  CHECK_EQUAL(TARGET + MIB, allocated(&request));
}

TEST(room_for_the_stack_is_left_while_there_is_other) {
  nearbuf_process_request request = request_in(0, TARGET + MIB - 1);
  map_range(TARGET, MIB, PRIVATE, "[stack]");
  CHECK_EQUAL(TARGET - 9 * MIB - GRANULE, allocated(&request));
  request.min = TARGET - 8 * MIB;
  CHECK_EQUAL(TARGET - GRANULE, allocated(&request));
}

TEST(room_for_both_is_left_between_them) {
  nearbuf_process_request request = request_in(TARGET, TARGET + 512 * MIB - 1);
  map_range(TARGET, MIB, PRIVATE, "[heap]");
  map_range(TARGET + 512 * MIB, MIB, PRIVATE, "[stack]");
  map_range(TARGET + 600 * MIB, MIB, PRIVATE, "program");
  CHECK_EQUAL(TARGET + MIB + 256 * MIB, allocated(&request));
  request.target = TARGET + 512 * MIB;
  CHECK_EQUAL(TARGET + 512 * MIB - 9 * MIB - GRANULE, allocated(&request));
}

TEST(of_a_range_whose_rest_is_tried_next_the_room_for_the_heap_is_left_free) {
  nearbuf_process_request request = request_in(0, UINT64_MAX);
  request.near_bytes = 16 * MIB;
  map_range(TARGET - 32 * MIB, 31 * MIB, PRIVATE, "program");
  map_range(TARGET - MIB, MIB, PRIVATE, "[heap]");
  CHECK_EQUAL(TARGET - 32 * MIB - GRANULE, allocated(&request));
}

/* Any thread's, which the map does not name. The port refuses what is just below it. */
TEST(no_place_is_taken_into_which_another_stack_grows) {
  nearbuf_process_request request = request_in(TARGET - 64 * MIB, TARGET + MIB - 1);
  map_range(TARGET, MIB, PRIVATE, NULL);
  it.growing_stack = TARGET;
  it.refusals = 1;
  CHECK_EQUAL(TARGET - 9 * MIB - GRANULE, allocated(&request));
  CHECK_EQUAL(2, it.tried_count);
}

/* The port would not refuse it. */
TEST(a_place_far_below_a_growing_stack_is_not_even_tried) {
  nearbuf_process_request request = request_in(TARGET - 64 * MIB, TARGET + 5 * MIB - 1);
  map_range(TARGET + 4 * MIB, MIB, PRIVATE, NULL);
  it.growing_stack = TARGET + 4 * MIB;
  CHECK_EQUAL(TARGET - 5 * MIB - GRANULE, allocated(&request));
  CHECK_EQUAL(1, it.tried_count);
}

/* Between what the system refuses itself and all that a stack may become. */
static void check_left_to_stack(uint64_t below_stack, bool is_left) {
  uint64_t start = TARGET + GRANULE + below_stack;
  nearbuf_process_request request = request_in(TARGET - 64 * MIB, start + MIB - 1);
  map_range(start, MIB, PRIVATE, NULL);
  it.growing_stack = start;
  CHECK_EQUAL(is_left ? start - 9 * MIB - GRANULE : TARGET, allocated(&request));
  CHECK_EQUAL(1, it.tried_count);
}

TEST(a_place_one_megabyte_below_a_growing_stack_is_left_to_it) {
  check_left_to_stack(MIB, true);
}

TEST(so_is_one_in_the_ninth_megabyte) {
  check_left_to_stack(9 * MIB - GRANULE, true);
}

TEST(a_place_nine_megabytes_below_it_is_used) {
  check_left_to_stack(9 * MIB, false);
}

TEST(where_nothing_else_is_free_a_megabyte_is_left_for_a_growing_stack) {
  nearbuf_process_request request = request_in(TARGET - 4 * MIB, TARGET + MIB - 1);
  map_range(TARGET, MIB, PRIVATE, NULL);
  it.growing_stack = TARGET;
  it.refusals = 2; /* in the first search and in the second one */
  uint64_t address = allocated(&request);
  CHECK_EQUAL(TARGET - MIB - GRANULE, address);
}

/* ---- Maps that cannot be read ---------------------------------------------------------------- */

TEST(why_the_map_could_not_be_read_is_returned) {
  nearbuf_process_request request = request_in(0, UINT64_MAX);
  it.map_end = NEARBUF_DENIED;
  check_fails(NEARBUF_DENIED, &request);
  CHECK_EQUAL(ANY_ERROR, other.system_error);
  it.map_end = NEARBUF_NOT_FOUND;
  it.map_opening = NEARBUF_SYSTEM_ERROR;
  check_fails(NEARBUF_SYSTEM_ERROR, &request);
  it.map_opening = NEARBUF_OK;
  it.noting = NEARBUF_DENIED;
  check_fails(NEARBUF_DENIED, &request);
  CHECK_EQUAL(0, it.tried_count);
}

TEST(a_map_that_ends_with_the_process_is_not_taken_for_free_addresses) {
  nearbuf_process_request request = request_in(0, UINT64_MAX);
  it.is_dead = true;
  check_fails(NEARBUF_NOT_FOUND, &request);
  CHECK_EQUAL(0, it.tried_count);
}

TEST(a_failure_is_busy_where_another_program_runs) {
  static const nearbuf_status checked[] = {NEARBUF_STALE, NEARBUF_BUSY};
  nearbuf_process_request request = request_in(0, UINT64_MAX);
  it.refusals = -1;
  it.refusal = NEARBUF_SYSTEM_ERROR;
  for (size_t i = 0; i < sizeof checked / sizeof *checked; i++) {
    it.program = checked[i];
    check_fails(NEARBUF_BUSY, &request);
    CHECK_EQUAL(ANY_ERROR, other.system_error);
  }
  it.program = NEARBUF_DENIED;
  check_fails(NEARBUF_SYSTEM_ERROR, &request);
  it.refusals = 0;
  it.program = NEARBUF_STALE;
  (void)allocated(&request);
}

TEST(in_a_process_that_hides_its_program_no_memory_is_made) {
  nearbuf_process_request request = request_in(0, UINT32_MAX);
  other.address_bits = 0;
  check_fails(NEARBUF_DENIED, &request);
  CHECK_EQUAL(0, it.tried_count);
}

TEST(a_range_outside_of_the_systems_has_no_room) {
  nearbuf_process_request request = request_in(HIGHEST + 1, UINT64_MAX);
  check_fails(NEARBUF_NO_ROOM, &request);
  request = request_in(0, LOWEST - 1);
  check_fails(NEARBUF_NO_ROOM, &request);
  CHECK_EQUAL(0, it.tried_count);
}

/* Low addresses are scarce. */
TEST(without_a_target_memory_is_taken_above_four_gibibytes_while_there_is_room) {
  if (sizeof(void *) == 4) {
    test_skip("addresses have 32 bits");
  }
  nearbuf_process_request request = request_in(0, (uint64_t)8 << 30);
  request.target = 0;
  it.highest = ((uint64_t)8 << 30) - 1;
  CHECK(allocated(&request) >= (uint64_t)4 << 30);
  map_range((uint64_t)4 << 30, (uint64_t)4 << 30, PRIVATE, "program");
  CHECK(allocated(&request) < (uint64_t)4 << 30);
}

/* ---- Requests -------------------------------------------------------------------------------- */

TEST(requests_that_are_not_valid_are_refused) {
  nearbuf_process_request request = request_in(0, UINT64_MAX);
  check_fails(NEARBUF_INVALID_ARGUMENT, NULL);
  request.struct_size--;
  check_fails(NEARBUF_INVALID_ARGUMENT, &request);
  request.struct_size++;
  request.flags = 4;
  check_fails(NEARBUF_INVALID_ARGUMENT, &request);
  request.flags = NEARBUF_DATA | NEARBUF_PROCESS_EXISTING;
  (void)allocated(&request);
  request.alignment_bytes = 3;
  other.system_error = ANY_ERROR;
  check_fails(NEARBUF_INVALID_ALIGNMENT, &request);
  CHECK_EQUAL(0, other.system_error);
  uint64_t size = 1;
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_allocate(&other, &request, NULL, &size));
  CHECK_EQUAL(0, size);
}

TEST(the_part_of_a_range_that_a_narrow_process_does_not_have_is_cut_off) {
  nearbuf_process narrow = {.id = ID, .address_bits = 32};
  nearbuf_process_request request = request_in(UINT32_MAX - 99, UINT64_MAX);
  nbuf_process_wish wanted;
  request.alignment_bytes = 1;
  CHECK_EQUAL(NEARBUF_OK, nbuf_process_check_request(&narrow, &request, &wanted));
  CHECK_EQUAL(UINT32_MAX, wanted.constraint.max);
  request.min++;
  CHECK_EQUAL(NEARBUF_RANGE_TOO_SMALL, nbuf_process_check_request(&narrow, &request, &wanted));
  request = request_in((uint64_t)UINT32_MAX + 1, UINT64_MAX);
  CHECK_EQUAL(NEARBUF_RANGE_TOO_SMALL, nbuf_process_check_request(&narrow, &request, &wanted));
  request = request_in(0, UINT64_MAX);
  request.alignment_bytes = (uint64_t)1 << 32;
  CHECK_EQUAL(NEARBUF_RANGE_TOO_SMALL, nbuf_process_check_request(&narrow, &request, &wanted));
  request.alignment_bytes = (uint64_t)1 << 31;
  CHECK_EQUAL(NEARBUF_OK, nbuf_process_check_request(&narrow, &request, &wanted));
}

/* ---- Giving it back -------------------------------------------------------------------------- */

static void check_kept(nearbuf_status expected, uint64_t address, uint64_t size) {
  CHECK_STATUS(expected, nearbuf_process_free(&other, address, size));
  CHECK_EQUAL(0, it.freed.min);
  CHECK_EQUAL(0, it.open_maps);
}

TEST(memory_is_freed_over_several_mappings_to_its_last_byte) {
  map_range(TARGET - 8 * GRANULE, GRANULE, PRIVATE, "program");
  map_range(TARGET - GRANULE, 2 * GRANULE, PRIVATE, NULL);
  map_range(TARGET + GRANULE, 2 * GRANULE, PRIVATE, NULL);
  map_range(TARGET + 3 * GRANULE, GRANULE, OF_A_FILE, NULL);
  CHECK_OK(nearbuf_process_free(&other, TARGET, 3 * GRANULE));
  CHECK_EQUAL(TARGET, it.freed.min);
  CHECK_EQUAL(TARGET + 3 * GRANULE - 1, it.freed.max);
  it.freed.min = 0;
  check_kept(NEARBUF_NOT_FOUND, TARGET, 4 * GRANULE);
  check_kept(NEARBUF_NOT_FOUND, TARGET - 8 * GRANULE, GRANULE);
}

TEST(what_is_not_there_is_not_mapped) {
  map_range(TARGET - GRANULE, GRANULE, PRIVATE, NULL);
  check_kept(NEARBUF_NOT_MAPPED, TARGET, GRANULE);
  check_kept(NEARBUF_NOT_MAPPED, TARGET - 2 * GRANULE, 2 * GRANULE);
  check_kept(NEARBUF_NOT_MAPPED, TARGET - GRANULE, 2 * GRANULE);
  map_range(TARGET + GRANULE, GRANULE, PRIVATE, NULL);
  check_kept(NEARBUF_NOT_MAPPED, TARGET - GRANULE, 3 * GRANULE);
  it.map_opening = NEARBUF_DENIED;
  check_kept(NEARBUF_DENIED, TARGET - GRANULE, GRANULE);
  it.map_opening = NEARBUF_NOT_FOUND;
  check_kept(NEARBUF_NOT_FOUND, TARGET - GRANULE, GRANULE);
}

TEST(memory_of_another_kind_is_not_freed) {
  static const map_kind others[] = {SHARED, OF_A_FILE, NOT_READ, NOT_WRITTEN, NOT_RUN};
  map_range(TARGET, GRANULE, PRIVATE, "[anon:other]");
  check_kept(NEARBUF_NOT_FOUND, TARGET, GRANULE);
  it.mapped[0].name = "a";
  check_kept(NEARBUF_NOT_FOUND, TARGET, GRANULE);
  it.mapped[0].name = NULL;
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    it.mapped[0].kind = others[i];
    check_kept(NEARBUF_NOT_FOUND, TARGET, GRANULE);
  }
}

TEST(memory_that_any_locator_lists_is_not_freed) {
  map_range(TARGET - GRANULE, 4 * GRANULE, PRIVATE, NULL);
  it.listed_count = 2;
  it.listed[0] = (nbuf_item){.base = TARGET - GRANULE, .size = (uint32_t)GRANULE};
  it.listed[1] = (nbuf_item){.base = TARGET + GRANULE, .size = 16};
  CHECK_OK(nearbuf_process_free(&other, TARGET, GRANULE));
  CHECK_EQUAL(TARGET, it.freed.min);
  it.freed.min = 0;
  check_kept(NEARBUF_NOT_FOUND, TARGET, 2 * GRANULE);
  check_kept(NEARBUF_NOT_FOUND, TARGET - GRANULE, 2 * GRANULE);
  it.listed[1].base = TARGET + GRANULE - 1;
  check_kept(NEARBUF_NOT_FOUND, TARGET, GRANULE);
  it.listed[1].base = TARGET - 15;
  check_kept(NEARBUF_NOT_FOUND, TARGET, GRANULE);
  it.listed[1].base = TARGET - 16;
  CHECK_OK(nearbuf_process_free(&other, TARGET, GRANULE));
}

TEST(memory_of_a_later_item_of_a_locator_is_not_freed_either) {
  map_range(TARGET, 4 * GRANULE, PRIVATE, NULL);
  it.listed_count = 2;
  it.is_one_locator = true;
  it.listed[0] = (nbuf_item){.base = TARGET, .size = (uint32_t)GRANULE};
  it.listed[1] = (nbuf_item){.base = TARGET + GRANULE, .size = 16};
  check_kept(NEARBUF_NOT_FOUND, TARGET + GRANULE, GRANULE);
  CHECK_OK(nearbuf_process_free(&other, TARGET + 2 * GRANULE, GRANULE));
}

TEST(memory_is_not_freed_where_the_locators_cannot_be_read) {
  map_range(TARGET, GRANULE, PRIVATE, NULL);
  it.walk_end = NEARBUF_INCOMPATIBLE;
  check_kept(NEARBUF_INCOMPATIBLE, TARGET, GRANULE);
  it.walk_end = NEARBUF_NOT_FOUND;
  it.is_dead = true;
  check_kept(NEARBUF_NOT_FOUND, TARGET, GRANULE);
}

TEST(memory_of_the_program_before_is_not_found) {
  map_range(TARGET, GRANULE, PRIVATE, NULL);
  it.program = NEARBUF_STALE;
  check_kept(NEARBUF_NOT_FOUND, TARGET, GRANULE);
  it.program = NEARBUF_DENIED;
  check_kept(NEARBUF_DENIED, TARGET, GRANULE);
  it.program = NEARBUF_OK;
  it.noting = NEARBUF_SYSTEM_ERROR;
  check_kept(NEARBUF_SYSTEM_ERROR, TARGET, GRANULE);
}

TEST(what_the_system_says_of_freeing_is_returned) {
  map_range(TARGET, GRANULE, PRIVATE, NULL);
  it.freeing = NEARBUF_BUSY;
  CHECK_STATUS(NEARBUF_BUSY, nearbuf_process_free(&other, TARGET, GRANULE));
  CHECK_EQUAL(ANY_ERROR, other.system_error);
}

TEST(only_whole_granules_are_freed) {
  map_range(TARGET, 2 * GRANULE, PRIVATE, NULL);
  check_kept(NEARBUF_INVALID_ARGUMENT, TARGET + 1, GRANULE);
  check_kept(NEARBUF_INVALID_ARGUMENT, TARGET, GRANULE + 1);
  check_kept(NEARBUF_INVALID_ARGUMENT, TARGET, 0);
  check_kept(NEARBUF_INVALID_ARGUMENT, 0, GRANULE);
  check_kept(NEARBUF_INVALID_ARGUMENT, TARGET, UINT64_MAX - GRANULE + 1);
  other.id = 0;
  check_kept(NEARBUF_INVALID_ARGUMENT, TARGET, GRANULE);
}

/* ---- Reading and describing ------------------------------------------------------------------ */

static int stop_with_process(const nearbuf_process_mapping *mapping, void *context) {
  (void)mapping;
  it.is_dead = true;
  return *(int *)context;
}

TEST(a_visit_that_is_stopped_is_cancelled_even_if_the_process_has_just_ended) {
  int returned = -1;
  map_range(TARGET, GRANULE, PRIVATE, NULL);
  CHECK_STATUS(NEARBUF_CANCELLED, nearbuf_process_visit_map(&other, stop_with_process, &returned));
  CHECK_EQUAL(0, it.open_maps);
}

TEST(a_map_that_ends_with_the_process_is_not_whole) {
  int returned = 0;
  map_range(TARGET, GRANULE, PRIVATE, NULL);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_visit_map(&other, stop_with_process, &returned));
}

static int count(const nearbuf_process_mapping *mapping, void *context) {
  (void)mapping;
  return ++*(int *)context;
}

TEST(all_of_a_map_is_visited_or_why_not_is_returned) {
  int visits = 0;
  map_range(TARGET, GRANULE, PRIVATE, NULL);
  map_range(TARGET + GRANULE, GRANULE, PRIVATE, NULL);
  CHECK_OK(nearbuf_process_visit_map(&other, count, &visits));
  CHECK_EQUAL(2, visits);
  it.map_end = NEARBUF_DENIED;
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_visit_map(&other, count, &visits));
  CHECK_EQUAL(4, visits);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_visit_map(&other, NULL, &visits));
}

/* Of the kernel's threads, and of those that have ended and are not forgotten. */
TEST(a_process_without_any_memory_has_no_map) {
  int visits = 0;
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_visit_map(&other, count, &visits));
  CHECK_EQUAL(0, visits);
}

TEST(how_much_was_copied_is_told_also_after_a_failure) {
  char bytes[5] = "w";
  size_t done = 0;
  CHECK_OK(nearbuf_process_read(&other, TARGET, bytes, sizeof bytes, &done));
  CHECK_EQUAL(sizeof bytes, done);
  CHECK_EQUAL('r', bytes[4]);
  it.copying = NEARBUF_NOT_MAPPED;
  CHECK_STATUS(NEARBUF_NOT_MAPPED, nearbuf_process_write(&other, TARGET, "ww", 2, &done));
  CHECK_EQUAL(COPIED, done);
  CHECK_EQUAL(ANY_ERROR, other.system_error);
  CHECK_STATUS(NEARBUF_NOT_MAPPED, nearbuf_process_read(&other, TARGET, bytes, 1, NULL));
  it.is_dead = true;
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_write(&other, TARGET, "ww", 2, &done));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_write(&other, TARGET, NULL, 2, &done));
  CHECK_EQUAL(0, done);
}

TEST(after_a_failure_nothing_is_described) {
  nearbuf_process_info info;
  CHECK_OK(nearbuf_process_describe(&other, &info));
  CHECK_EQUAL(ID, info.own_id);
  it.copying = NEARBUF_DENIED;
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_describe(&other, &info));
  CHECK_EQUAL(0, info.own_id);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_describe(&other, NULL));
}

TEST(every_call_ends_with_letting_go_of_what_it_kept) {
  uint64_t place;
  size_t done;
  char byte = 'w';
  (void)nearbuf_process_read(&other, TARGET, &byte, 1, &done);
  CHECK_EQUAL(1, it.let_go);
  it.noting = NEARBUF_DENIED;
  nearbuf_process_request request = NEARBUF_PROCESS_REQUEST_INIT;
  request.size_bytes = 16;
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_allocate(&other, &request, &place, NULL));
  CHECK_EQUAL(2, it.let_go);
}

TEST(a_process_that_was_not_opened_has_no_handle) {
  nearbuf_process handle = {.id = 1};
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_open(0, &handle));
  CHECK_EQUAL(0, handle.id);
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_open(ID + 1, &handle));
  CHECK_EQUAL(0, handle.id);
  CHECK_EQUAL(ANY_ERROR, handle.system_error);
  CHECK_OK(nearbuf_process_open(ID, &handle));
  CHECK_EQUAL(ID, handle.id);
  CHECK_OK(nearbuf_process_check(&handle));
  CHECK_OK(nearbuf_process_close(&handle));
  CHECK_EQUAL(0, handle.id);
  CHECK_OK(nearbuf_process_close(&handle));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_check(&handle));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_close(NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_open(ID, NULL));
}

TEST(what_the_system_says_of_files_is_returned) {
  const nearbuf_file file = {0};
  int32_t error = 0;
  it.copying = NEARBUF_DENIED;
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_remove_file(&file, &error));
  CHECK_EQUAL(ANY_ERROR, error);
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_remove_file(NULL, &error));
  CHECK_EQUAL(0, error);
  CHECK_STATUS(NEARBUF_DENIED, nearbuf_process_remove_file(&file, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_visit_files(NULL, NULL));
  CHECK_STATUS(NEARBUF_INVALID_ARGUMENT, nearbuf_process_visit_all(NULL, NULL));
}
