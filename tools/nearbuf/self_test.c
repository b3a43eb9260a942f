/* nearbuf self-test: does the library work on this machine? Every check uses it in this process;
 * its sentence is printed after "ok" or "FAILED". */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <nearbuf/nearbuf.h>

#include "command.h"
#include "detour.h"

/* `holds` returns whether the check passed, and may write details into `note`. */
typedef struct check {
  const char *sentence;
  bool (*holds)(char *note, size_t note_size);
} check;

static void note_status(char *note, size_t note_size, nearbuf_status status, int32_t system_error) {
  (void)snprintf(note, note_size, "%s, the system's code is %" PRId32, nearbuf_status_text(status),
                 system_error);
}

static bool lies_in(const nearbuf_memory *memory, nearbuf_range range) {
  uintptr_t first = (uintptr_t)memory->run_at;
  return first >= range.min && first + (memory->size_bytes - 1) <= range.max;
}

/* Places bytes and verifies them and their address. */
static bool place(const nearbuf_request *request, const void *bytes, nearbuf_memory *placed,
                  char *note, size_t note_size) {
  nearbuf_status status = nearbuf_place(request, bytes, placed);
  if (status != NEARBUF_OK) {
    note_status(note, note_size, status, placed->system_error);
    return false;
  }
  return lies_in(placed, request->range) && memcmp(placed->run_at, bytes, request->size_bytes) == 0;
}

static int answer(void) {
  return 42;
}

static bool header_and_library_agree(char *note, size_t note_size) {
  (void)snprintf(note, note_size, "0x%06" PRIx32, nearbuf_version());
  return nearbuf_version() == NEARBUF_VERSION;
}

static bool near_bytes(char *note, size_t note_size) {
  static const unsigned char bytes[] = "near";
  nearbuf_request request;
  nearbuf_memory placed;
  return nearbuf_request_near((void *)(uintptr_t)answer, sizeof bytes, &request) == NEARBUF_OK &&
         place(&request, bytes, &placed, note, note_size);
}

static ptrdiff_t write_stub(const nearbuf_memory *room, void *context) {
  (void)context;
  return detour_write_stub(room->write_to, (uintptr_t)room->run_at, (uintptr_t)answer);
}

static bool code_that_runs(char *note, size_t note_size) {
  if (DETOUR_JUMP_SIZE == 0) {
    (void)snprintf(note, note_size, "not run: this processor's instructions are not known");
    return true;
  }
  nearbuf_request request;
  nearbuf_memory placed;
  (void)nearbuf_request_near((void *)(uintptr_t)answer, DETOUR_STUB_SIZE, &request);
  nearbuf_status status = nearbuf_place_with(&request, write_stub, NULL, &placed);
  if (status != NEARBUF_OK) {
    note_status(note, note_size, status, placed.system_error);
    return false;
  }
  int (*volatile stub)(void) = (int (*)(void))(uintptr_t)placed.run_at;
  return stub() == 42;
}

static bool data_below_2_gib(char *note, size_t note_size) {
  static const unsigned char bytes[] = "low";
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = sizeof bytes;
  request.flags = NEARBUF_DATA;
  nearbuf_memory placed;
  return nearbuf_range_below(NEARBUF_2_GIB, &request.range) == NEARBUF_OK &&
         place(&request, bytes, &placed, note, note_size) &&
         (uintptr_t)placed.run_at + sizeof bytes <= NEARBUF_2_GIB &&
         (uintptr_t)placed.run_at % 64 == 0;
}

static bool aligned_bytes(char *note, size_t note_size) {
  static const unsigned char bytes[] = "aligned";
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = sizeof bytes;
  request.alignment_bytes = 4096;
  nearbuf_memory placed;
  return place(&request, bytes, &placed, note, note_size) && (uintptr_t)placed.run_at % 4096 == 0;
}

static bool used_twice(char *note, size_t note_size) {
  static const unsigned char bytes[16] = {1};
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = sizeof bytes;
  nearbuf_memory first;
  nearbuf_memory second;
  nearbuf_info first_buffer;
  nearbuf_info second_buffer;
  return place(&request, bytes, &first, note, note_size) &&
         place(&request, bytes, &second, note, note_size) &&
         nearbuf_find(first.run_at, &first_buffer) == NEARBUF_OK &&
         nearbuf_find(second.run_at, &second_buffer) == NEARBUF_OK &&
         first_buffer.address == second_buffer.address &&
         second.run_at >= first.run_at + sizeof bytes;
}

static bool held_alone(char *note, size_t note_size) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = 16;
  nearbuf_buffer first;
  nearbuf_buffer second;
  nearbuf_status status = nearbuf_get(&request, &first);
  if (status != NEARBUF_OK) {
    note_status(note, note_size, status, first.system_error);
    return false;
  }
  status = nearbuf_get(&request, &second);
  bool differ = nearbuf_buffer_address(&first) != nearbuf_buffer_address(&second);
  if (status != NEARBUF_OK) {
    note_status(note, note_size, status, second.system_error);
  }
  return nearbuf_release(&first) == NEARBUF_OK && status == NEARBUF_OK &&
         nearbuf_release(&second) == NEARBUF_OK && differ &&
         nearbuf_release(&second) == NEARBUF_INVALID_HANDLE;
}

static bool overwritten(char *note, size_t note_size) {
  uint64_t before = 1;
  uint64_t after = 2;
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  request.size_bytes = sizeof before;
  nearbuf_memory placed;
  int32_t system_error;
  if (!place(&request, &before, &placed, note, note_size)) {
    return false;
  }
  nearbuf_status status = nearbuf_overwrite(placed.run_at, &after, sizeof after, &system_error);
  if (status != NEARBUF_OK) {
    note_status(note, note_size, status, system_error);
  }
  return status == NEARBUF_OK && memcmp(placed.run_at, &after, sizeof after) == 0;
}

static bool private_memory(char *note, size_t note_size) {
  nearbuf_request request;
  (void)nearbuf_request_near((void *)(uintptr_t)answer, 5000, &request);
  nearbuf_memory memory;
  nearbuf_status status = nearbuf_allocate(&request, &memory);
  if (status != NEARBUF_OK) {
    note_status(note, note_size, status, memory.system_error);
    return false;
  }
  bool is_as_promised = lies_in(&memory, request.range) && memory.size_bytes >= 5000 &&
                        memory.run_at[0] == 0 && memory.run_at[memory.size_bytes - 1] == 0;
  return nearbuf_free(&memory) == NEARBUF_OK && memory.run_at == NULL && is_as_promised;
}

/* Whether nearbuf_get returns that status; if not, `note` names the one that it returned. */
static bool get_returns(nearbuf_status expected, const nearbuf_request *request, char *note,
                        size_t note_size) {
  nearbuf_buffer buffer;
  nearbuf_status status = nearbuf_get(request, &buffer);
  if (status != expected) {
    (void)snprintf(note, note_size, "%s instead of %s", nearbuf_status_name(status),
                   nearbuf_status_name(expected));
  }
  return status == expected;
}

static bool refusals(char *note, size_t note_size) {
  nearbuf_request request = NEARBUF_REQUEST_INIT;
  nearbuf_request crooked = NEARBUF_REQUEST_INIT;
  crooked.size_bytes = 16;
  crooked.alignment_bytes = 3;
  nearbuf_request reversed = NEARBUF_REQUEST_INIT;
  reversed.size_bytes = 16;
  reversed.range = (nearbuf_range){2, 1};
  return get_returns(NEARBUF_INVALID_SIZE, &request, note, note_size) &&
         get_returns(NEARBUF_INVALID_ALIGNMENT, &crooked, note, note_size) &&
         get_returns(NEARBUF_INVALID_RANGE, &reversed, note, note_size) &&
         get_returns(NEARBUF_INVALID_ARGUMENT, NULL, note, note_size);
}

static bool the_sum_is_right(char *note, size_t note_size) {
  nearbuf_totals totals;
  nearbuf_walk walk = {0};
  nearbuf_info info;
  uint64_t used_bytes = 0;
  uint64_t buffers = 0;
  while (nearbuf_next(&walk, &info) == NEARBUF_OK) {
    used_bytes += info.used_bytes;
    buffers++;
  }
  nearbuf_status status = nearbuf_get_totals(&totals);
  (void)snprintf(note, note_size, "%" PRIu64 " buffers", totals.buffers);
  return status == NEARBUF_OK && totals.buffers == buffers && totals.used_bytes == used_bytes &&
         totals.taken == 0;
}

static bool the_place_is_shared(char *note, size_t note_size) {
  nearbuf_totals totals;
  if (nearbuf_get_totals(&totals) != NEARBUF_OK) {
    return false;
  }
  if (totals.sharing == NEARBUF_SHARING_PRIVATE) {
    (void)snprintf(note, note_size, "to this process only; the system's code is %" PRId32,
                   totals.private_reason);
  }
  return totals.sharing != NEARBUF_SHARING_NONE;
}

static const check checks[] = {
    {"the header and the library have the same version", header_and_library_agree},
    {"bytes lie within reach of a function", near_bytes},
    {"code written for its address runs", code_that_runs},
    {"data lie below 2 GiB, on a cache line of their own", data_below_2_gib},
    {"an alignment to 4096 bytes is kept", aligned_bytes},
    {"the rest of a buffer serves the next request", used_twice},
    {"a held buffer is not handed out again", held_alone},
    {"bytes in a buffer can be replaced", overwritten},
    {"private memory is allocated and freed", private_memory},
    {"invalid requests are refused", refusals},
    {"the listed buffers and the totals agree", the_sum_is_right},
    {"the locator can be found", the_place_is_shared},
};

exit_code self_test_run(const tool_arguments *arguments) {
  int failed = 0;
  (void)arguments;
  for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
    char note[160] = "";
    bool holds = checks[i].holds(note, sizeof note);
    (void)printf("%-6s %s%s%s\n", holds ? "ok" : "FAILED", checks[i].sentence,
                 note[0] != '\0' ? ": " : "", note);
    failed += !holds;
  }
  if (failed != 0) {
    return complain(EXIT_FAILED, "%d of %d checks failed", failed,
                    (int)(sizeof checks / sizeof *checks));
  }
  return EXIT_DONE;
}
