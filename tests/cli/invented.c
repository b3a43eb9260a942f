/* Simulated processes: the inspector is linked with this instead of nearbuf_process, so that all
 * its output is known. Its requests are printed on the error output, in brackets; and at its end
 * what it has not given back. The clock advances only while the inspector sleeps.
 *
 * In the environment, INVENTED_LACK=N makes the Nth allocation of memory fail, INVENTED_COLOURS
 * makes the output a terminal, and INVENTED_FAILURE="CALL STATUS CODE TIMES" makes a call fail that
 * often, as in "get BUSY 0 3"; after a comma there may be a second call. */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nearbuf/process.h>

#include "../support/locator_names.h"

enum { PAGE = 4096, SOUND = 7, DENIED = 8, STRANGE = 9, EMPTY = 10, GROWING = 11, DEAD = 12 };
enum { TINY = 13, SAMPLES = 5 };

/* ---- What a call answers --------------------------------------------------------------------- */

static nearbuf_status status_of(const char *name) {
  int status = NEARBUF_OK;
  while (strcmp(nearbuf_status_name((nearbuf_status)status) + strlen("NEARBUF_"), name) != 0) {
    status++;
  }
  return (nearbuf_status)status;
}

/* The status with which a call is to fail, else OK. */
static nearbuf_status failure_of(const char *call, nearbuf_process *process) {
  static int times[2];
  char name[32];
  char status[32];
  int code = 0;
  int most = 0;
  bool is_meant = false;
  const char *wanted = getenv("INVENTED_FAILURE");
  for (int i = 0; i < 2 && wanted != NULL && !is_meant; i++) {
    is_meant = sscanf(wanted, "%31s %31s %d %d", name, status, &code, &most) == 4 &&
               strcmp(name, call) == 0 && times[i] < most;
    times[i] += is_meant;
    const char *comma = strchr(wanted, ',');
    wanted = comma == NULL ? NULL : comma + 1;
  }
  errno = EAGAIN; /* as calls that succeed may leave it */
  if (process != NULL) {
    process->system_error = is_meant ? code : 0;
  }
  return is_meant ? status_of(status) : NEARBUF_OK;
}

static time_t clock_now = 1000000;

time_t __wrap_time(time_t *result); /* NOLINT(bugprone-reserved-identifier): the linker's names */
time_t __wrap_time(time_t *result) {
  if (result != NULL) {
    *result = clock_now;
  }
  return clock_now;
}

void __wrap_host_sleep(uint32_t milliseconds); /* NOLINT(bugprone-reserved-identifier) */
void __wrap_host_sleep(uint32_t milliseconds) {
  (void)fprintf(stderr, "[sleep %" PRIu32 "]\n", milliseconds);
  clock_now += milliseconds / 1000;
}

const char *__wrap_host_denied_hint(void); /* NOLINT(bugprone-reserved-identifier) */
const char *__wrap_host_denied_hint(void) {
  return "(a hint)";
}

bool __wrap_host_has_colours(void); /* NOLINT(bugprone-reserved-identifier) */
bool __wrap_host_has_colours(void) {
  return getenv("INVENTED_COLOURS") != NULL;
}

/* Instructions of up to 15 bytes, whose first byte tells how many; some are none. */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
bool __wrap_disassembly_is_known(void);
bool __wrap_disassembly_is_known(void) {
  return true;
}

size_t __wrap_disassembly_of(const unsigned char *bytes, size_t size_bytes, uint64_t address,
                             uint32_t address_bits, char *text, size_t text_size);
size_t __wrap_disassembly_of(const unsigned char *bytes, size_t size_bytes, uint64_t address,
                             uint32_t address_bits, char *text, size_t text_size) {
  size_t length = bytes[0] % 16;
  (void)snprintf(text, text_size, "at 0x%" PRIx64 ", %" PRIu32 " bits, ends with %u", address,
                 address_bits, length <= size_bytes && length != 0 ? bytes[length - 1] : 0U);
  return length <= size_bytes ? length : 0;
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* ---- Memory and files ------------------------------------------------------------------------ */

static int blocks; /* of memory that are in use */
static int files;  /* that are open */
static int processes;

static bool is_lacking(void) {
  static long count;
  const char *lack = getenv("INVENTED_LACK");
  return lack != NULL && ++count == strtol(lack, NULL, 10);
}

/* Memory that was not written has other bytes than zeros. */
static void *used(void *block, size_t from) {
  blocks++;
  memset((unsigned char *)block + from, 0xa5, malloc_usable_size(block) - from);
  return block;
}

/* NOLINTBEGIN(bugprone-reserved-identifier) */
void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size) {
  if (is_lacking()) {
    return NULL;
  }
  size_t before = block == NULL ? 0 : malloc_usable_size(block);
  blocks -= block != NULL;
  void *larger = __real_realloc(block, size);
  return used(larger, before < malloc_usable_size(larger) ? before : malloc_usable_size(larger));
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size) {
  bool lacks = is_lacking();
  blocks += !lacks;
  return lacks ? NULL : __real_calloc(count, size);
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size) {
  return is_lacking() ? NULL : used(__real_malloc(size), 0);
}

void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block) {
  blocks -= block != NULL;
  __real_free(block);
}

FILE *__real_fopen(const char *name, const char *mode);
FILE *__wrap_fopen(const char *name, const char *mode);
FILE *__wrap_fopen(const char *name, const char *mode) {
  FILE *file = __real_fopen(name, mode);
  files += file != NULL;
  return file;
}

int __real_fclose(FILE *file);
int __wrap_fclose(FILE *file);
int __wrap_fclose(FILE *file) {
  files--;
  return __real_fclose(file);
}
/* NOLINTEND(bugprone-reserved-identifier) */

__attribute__((destructor)) static void tell_what_is_left(void) {
  if (blocks != 0 || files != 0 || processes != 0) {
    (void)fprintf(stderr, "[left: %d blocks of memory, %d files, %d processes]\n", blocks, files,
                  processes);
  }
}

typedef void (*area_visitor)(uint64_t min, uint64_t max, const char *name, void *context);

/* ---- Processes ------------------------------------------------------------------------------- */

/* With U+202E, which reverses what follows. */
static const char strange_name[] = {'a', '<', 'b',    '>',    '&',    '"',
                                    'c', '"', '\xe2', '\x80', '\xae', '\0'};

static int looks; /* of the growing process */

nearbuf_status nearbuf_process_open(int64_t id, nearbuf_process *process) {
  nearbuf_status status = failure_of("open", process);
  if (status != NEARBUF_OK || id < SOUND || id > TINY) {
    process->id = 0;
    return status != NEARBUF_OK ? status : NEARBUF_NOT_FOUND;
  }
  processes++;
  process->id = id;
  process->address_bits = id == STRANGE ? 32 : id == TINY ? 128 : 64;
  return NEARBUF_OK;
}

nearbuf_status nearbuf_process_close(nearbuf_process *process) {
  processes -= process->address_bits != 0;
  *process = (nearbuf_process){0};
  return NEARBUF_OK;
}

nearbuf_status nearbuf_process_check(nearbuf_process *process) {
  return process->id == GROWING && looks > SAMPLES ? NEARBUF_NOT_FOUND
                                                   : failure_of("check", process);
}

nearbuf_status nearbuf_process_describe(nearbuf_process *process, nearbuf_process_info *info) {
  *info = (nearbuf_process_info){.id = process->id, .own_id = process->id};
  info->address_bits = process->address_bits;
  info->user = 4000000000;
  (void)snprintf(info->name, sizeof info->name, "%s",
                 process->id == STRANGE ? strange_name
                 : process->id == TINY  ? "t"
                                        : "invented");
  (void)snprintf(info->user_name, sizeof info->user_name, "%s",
                 process->id == SOUND     ? ""
                 : process->id == TINY    ? "u"
                 : process->id == STRANGE ? strange_name
                                          : "somebody");
  if (process->id == STRANGE) {
    info->own_id = 1;
    info->is_stopped = 1;
    info->is_filtered = 1;
  }
  info->traced_by = process->id == GROWING ? 4711 : 0;
  return process->id == DEAD ? NEARBUF_NOT_FOUND : failure_of("describe", process);
}

nearbuf_status nearbuf_process_visit_all(nearbuf_process_visitor visit, void *context) {
  nearbuf_status status = failure_of("visit_all", NULL);
  for (int64_t id = 1; status == NEARBUF_OK && id <= TINY; id++) {
    status = visit(id, context) < 0 ? NEARBUF_CANCELLED : NEARBUF_OK;
  }
  return status;
}

/* ---- Its map --------------------------------------------------------------------------------- */

#define LOCATOR LOCATOR_DIRECTORY "/" LOCATOR_PREFIX "7"
static const struct {
  uint64_t min;
  uint64_t max;
  const char *may;
  const char *name;
} mappings[] = {
    {0x10000, 0x1ffff, "rwxp", ""},
    {0x30000, 0x30fff, "rwxp", ""}, /* alone between gaps */
    {0x400000, 0x400fff, "r--p", "/usr/bin/program"},
    {0x401000, 0x403fff, "r-xp", "/usr/bin/program"},
    {0x404000, 0x404fff, "rw-p", "/usr/bin/program"},
    {0x405000, 0x406fff, "rw-p", ""}, /* its zeroed data */
    {0x407000, 0x447fff, "rw-p", ""}, /* too large for that */
    {0x1000000, 0x1020fff, "rw-p", "[heap]"},
    {0x2000000, 0x2000fff, "r--p",
     "/data/file with a very long name that is longer than a row has room for it"},
    {0x2001000, 0x2001fff, "rw-s", LOCATOR},
    {0x2002000, 0x2002fff, "rw-s", LOCATOR " later"},
    {0x3000000, 0x3003fff, "---p", "[anon:some use]"},
    {0x7f0000000000, 0x7f000000ffff, "r--p", "/lib/library.so"},
    {0x7f0000010000, 0x7f000001ffff, "r-xp", "/lib/library.so"},
    {0x7f0000020000, 0x7f000003ffff, "rwxp", ""}, /* after a module, but not a part of it */
    {0x7f0000050000, 0x7f000005ffff, "r-xp", "/lib/other.so"},
    {0x7f0000060000, 0x7f0000060fff, "rw-p", ""}, /* in the midst of it */
    {0x7f0000061000, 0x7f0000061fff, "rw-p", "/lib/other.so"},
    {0x7f0000063000, 0x7f0000063fff, "r--p", "/lib/other.so"}, /* behind a gap, it is the same */
    {0x7ffc00000000, 0x7ffc00020fff, "rw-p", "[stack]"},
    {0x7ffc00030000, 0x7ffc00033fff, "r--p", "[vvar]"},
    {0x7ffc00034000, 0x7ffc00035fff, "r-xp", "[vdso]"},
    {0xffffffffff600000, 0xffffffffff600fff, "--xp", "[vsyscall]"},
};
enum { MAPPINGS = sizeof mappings / sizeof mappings[0] };

/* Of the process where everything is small: modules that are called like an option or by one
 * letter, and that lie side by side; a locator whose mapping has such a name; and memory that the
 * host knows to be heap and stack, in part. */
static const nearbuf_process_mapping tiny_mappings[] = {
    {.min = 0x1000, .max = 0x1fff, .is_executable = 1, .name = "/--json"},
    {.min = 0x3000, .max = 0x3fff, .is_readable = 1, .is_shared = 1, .name = "l"},
    {.min = 0x5000, .max = 0x5fff},
    {.min = 0x6000, .max = 0x6fff},
    {.min = 0x7000, .max = 0x73ff, .name = "n"},
    {.min = 0x7400, .max = 0x7bff},
    {.min = 0x7c00, .max = 0x7fff},
    {.min = 0x8000, .max = 0x8fff, .is_executable = 1, .name = "m"},
    {.min = 0x9000, .max = 0x9fff, .is_executable = 1, .name = "/--json"},
    {.min = 0xb000, .max = 0xbfff},
};
enum { TINY_MAPPINGS = sizeof tiny_mappings / sizeof tiny_mappings[0] };

/* NOLINTBEGIN(bugprone-reserved-identifier) */
void __wrap_host_visit_areas(const nearbuf_process *process, area_visitor visit, void *context);
void __wrap_host_visit_areas(const nearbuf_process *process, area_visitor visit, void *context) {
  if (process->id == TINY) {
    visit(0x5800, 0x7bff, "[heap]", context);
    visit(0xb000, 0xbfff, "[stack]", context);
  }
}
/* NOLINTEND(bugprone-reserved-identifier) */

nearbuf_status nearbuf_process_visit_map(nearbuf_process *process,
                                         nearbuf_process_map_visitor visit, void *context) {
  nearbuf_status status = failure_of("visit_map", process);
  if (process->id == TINY) {
    for (int i = 0; status == NEARBUF_OK && i < TINY_MAPPINGS; i++) {
      status = visit(&tiny_mappings[i], context) < 0 ? NEARBUF_CANCELLED : NEARBUF_OK;
    }
    return status;
  }
  for (int i = 0; status == NEARBUF_OK && i < MAPPINGS && process->id != EMPTY; i++) {
    nearbuf_process_mapping told = {.min = mappings[i].min, .max = mappings[i].max};
    told.is_readable = mappings[i].may[0] == 'r';
    told.is_writable = mappings[i].may[1] == 'w';
    told.is_executable = mappings[i].may[2] == 'x';
    told.is_shared = mappings[i].may[3] == 's';
    (void)snprintf(told.name, sizeof told.name, "%s", mappings[i].name);
    status = visit(&told, context) < 0 ? NEARBUF_CANCELLED : NEARBUF_OK;
  }
  return status;
}

/* Bytes exist in the first mapping, and at the end of the second half of a library. */
nearbuf_status nearbuf_process_read(nearbuf_process *process, uint64_t address, void *bytes,
                                    size_t size_bytes, size_t *done_bytes) {
  unsigned char *to = bytes;
  nearbuf_status status = failure_of("read", process);
  size_t done = 0;
  for (; status == NEARBUF_OK && done < size_bytes; done++) {
    uint64_t at = address + done;
    if ((at < 0x10000 || at > 0x1ffff) && (at < 0x404000 || at > 0x404fff)) {
      break;
    }
    to[done] = (unsigned char)(at * 7);
  }
  if (done_bytes != NULL) {
    *done_bytes = done;
  }
  return status != NEARBUF_OK ? status : done == size_bytes ? NEARBUF_OK : NEARBUF_NOT_MAPPED;
}

/* ---- Its locators ---------------------------------------------------------------------------- */

static const nearbuf_process_locator sound_locators[] = {
    {.address = 0x2001000,
     .next = 0x2002000,
     .dialect = NEARBUF_DIALECT_WRITTEN,
     .count = 5,
     .capacity = 203,
     .is_shared = 1,
     .name = LOCATOR},
    {.address = 0x2002000,
     .number = 1,
     .dialect = NEARBUF_DIALECT_RUST,
     .count = 2,
     .capacity = 203,
     .is_locked = 1,
     .fault = "an item lies over another one",
     .fault_index = 1},
};
static const nearbuf_process_item sound_items[] = {
    {0x11000, 0x1000, 0x1000, 0, 0, NULL},
    {0x10000, 0x1000, 100, 1, 1, NULL},
    {0x18000, 0x2000, 17, 2, 0, NULL},
    {0x1f000, 0x1000, 0, 3, 1, NULL},
    {0x7f0000020000, 0x10000, 0x8000, 5, 0, NULL},
    {0x3000800, 0x200, 1, 0, 1, NULL},
    {0x18800, 0x100, 5, 1, 0, "it lies over another one"},
};
static const nearbuf_process_locator strange_locators[] = {
    {.address = 0x5000, .next = 0x6000, .dialect = NEARBUF_DIALECT_DOTNET, .capacity = 255},
    {.address = 0x6000, .number = 1, .capacity = 255, .fault = "an unknown version"},
};
static const nearbuf_process_locator tiny_locator = {.address = 0x3000,
                                                     .dialect = NEARBUF_DIALECT_WRITTEN,
                                                     .count = 4,
                                                     .capacity = 4,
                                                     .fault = "one"};
static const nearbuf_process_item tiny_items[] = {{0x3fff, 1, 1, 0, 0, NULL},
                                                  {0xa000, 1, 1, 1, 0, NULL},
                                                  {0x7a00, 1, 1, 2, 0, NULL},
                                                  {0x9000, 1, 1, 3, 0, NULL}};
/* In each sample. */
static const nearbuf_process_locator growing_locator = {.address = 0x2001000,
                                                        .dialect = NEARBUF_DIALECT_WRITTEN,
                                                        .count = 2,
                                                        .capacity = 203,
                                                        .is_shared = 1};
static const nearbuf_process_item growing_items[SAMPLES][3] = {
    {{0x10000, 0x1000, 100, 0, 1, NULL}, {0x11000, 0x1000, 0, 1, 0, NULL}},
    {{0x10000, 0x1000, 200, 0, 1, NULL},
     {0x11000, 0x1000, 30, 1, 1, NULL},
     {0x12000, 0x100, 4, 2, 0, "damaged"}},
    {{0x10000, 0x1000, 250, 0, 0, NULL}, {0x11000, 0x1000, 30, 1, 1, NULL}},
    {{0x10000, 0x1000, 250, 0, 0, NULL}, {0x11000, 0x1000, 30, 1, 1, NULL}},
    {{0x10000, 0x1000, 50, 0, 1, NULL}, {0x11000, 0x1000, 0, 1, 0, NULL}},
};

nearbuf_status nearbuf_process_next_locator(nearbuf_process *process, nearbuf_process_walk *walk,
                                            nearbuf_process_locator *locator) {
  uint32_t at = walk->stage++;
  nearbuf_status status = failure_of("next_locator", process);
  walk->number = at;
  walk->index = 0;
  walk->dialect = (uint32_t)process->id; /* for the items */
  looks += process->id == GROWING && at == 0;
  if (status != NEARBUF_OK) {
    return status;
  }
  if (process->id == DENIED) {
    process->system_error = 13; /* EACCES */
    return NEARBUF_DENIED;
  }
  if (process->id == SOUND && at < 2) {
    *locator = sound_locators[at];
  } else if (process->id == STRANGE && at < 2) {
    *locator = strange_locators[at];
  } else if (process->id == TINY && at == 0) {
    *locator = tiny_locator;
  } else if (process->id == GROWING && at == 0 && looks <= SAMPLES) {
    *locator = growing_locator;
  } else {
    return NEARBUF_NOT_FOUND;
  }
  return NEARBUF_OK;
}

nearbuf_status nearbuf_process_next_item(nearbuf_process_walk *walk, nearbuf_process_item *item) {
  uint32_t at = walk->index++;
  if (walk->dialect == SOUND && at < sound_locators[walk->number].count) {
    *item = sound_items[walk->number == 0 ? at : at + 5];
    return NEARBUF_OK;
  }
  if (walk->dialect == TINY && at < tiny_locator.count) {
    *item = tiny_items[at];
    return NEARBUF_OK;
  }
  if (walk->dialect == GROWING && at < 3 && growing_items[looks - 1][at].address != 0) {
    *item = growing_items[looks - 1][at];
    return NEARBUF_OK;
  }
  return NEARBUF_NOT_FOUND;
}

/* ---- Changing it ----------------------------------------------------------------------------- */

static void tell(const char *call, const nearbuf_process_request *request) {
  (void)fprintf(stderr,
                "[%s 0x%" PRIx64 "..0x%" PRIx64 " size %" PRIu64 " align %" PRIu64
                " target 0x%" PRIx64 " flags %" PRIu32 " near 0x%" PRIx64 "]\n",
                call, request->min, request->max, request->size_bytes, request->alignment_bytes,
                request->target, request->flags, request->near_bytes);
}

nearbuf_status nearbuf_process_get(nearbuf_process *process, const nearbuf_process_request *request,
                                   nearbuf_process_buffer *buffer) {
  nearbuf_status status = failure_of("get", process);
  tell("get", request);
  *buffer = (nearbuf_process_buffer){.address = 0x18000, .size = 0x2000, .room = 0x1fef};
  return status;
}

nearbuf_status nearbuf_process_append(nearbuf_process *process, nearbuf_process_buffer *buffer,
                                      const void *bytes, size_t size_bytes, uint64_t *address) {
  const unsigned char *each = bytes;
  uint32_t sum = 0;
  for (size_t i = 0; i < size_bytes; i++) {
    sum = sum * 31 + each[i];
  }
  (void)fprintf(stderr, "[append %zu bytes, %08" PRIx32 "]\n", size_bytes, sum);
  *address = buffer->address + 0x20;
  return failure_of("append", process);
}

nearbuf_status nearbuf_process_release(nearbuf_process *process, nearbuf_process_buffer *buffer) {
  (void)fputs("[release]\n", stderr);
  buffer->item = 0;
  return failure_of("release", process);
}

nearbuf_status nearbuf_process_allocate(nearbuf_process *process,
                                        const nearbuf_process_request *request, uint64_t *address,
                                        uint64_t *size_bytes) {
  tell("allocate", request);
  *address = 0x50000;
  *size_bytes = (request->size_bytes + PAGE - 1) / PAGE * PAGE;
  return failure_of("allocate", process);
}

nearbuf_status nearbuf_process_free(nearbuf_process *process, uint64_t address,
                                    uint64_t size_bytes) {
  (void)fprintf(stderr, "[free 0x%" PRIx64 " %" PRIu64 "]\n", address, size_bytes);
  return failure_of("free", process);
}

/* ---- Files ----------------------------------------------------------------------------------- */

nearbuf_status nearbuf_process_visit_files(nearbuf_file_visitor visit, void *context) {
  nearbuf_status status = failure_of("visit_files", NULL);
  for (int i = 0; status == NEARBUF_OK && i < 14; i++) {
    nearbuf_file file = {.process = 100 + i};
    file.state = i == 0 ? NEARBUF_FILE_LIVE : i == 1 ? NEARBUF_FILE_UNKNOWN : NEARBUF_FILE_STALE;
    (void)snprintf(file.name, sizeof file.name, "file \xff of %d", 100 + i);
    if (i < 3 || getenv("INVENTED_FILES") != NULL) {
      status = visit(&file, context) < 0 ? NEARBUF_CANCELLED : NEARBUF_OK;
    }
  }
  return status;
}

nearbuf_status nearbuf_process_remove_file(const nearbuf_file *file, int32_t *system_error) {
  nearbuf_process process = {0};
  nearbuf_status status = failure_of("remove_file", &process);
  (void)fprintf(stderr, "[remove %" PRId64 "]\n", file->process);
  *system_error = process.system_error;
  return status;
}
