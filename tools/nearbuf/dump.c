/* nearbuf dump: bytes of a process, and the instructions that they encode. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "disassembly.h"
#include "json.h"
#include "where.h"

enum { DEFAULT_LENGTH = 64, LENGTH_MAX = 1 << 20, BYTES_OF_LINE = 16, INSTRUCTION_SIZE_MAX = 15 };

/* The bytes that were read. */
typedef struct dump_state {
  uint64_t address;
  unsigned char *bytes;
  size_t size;
  size_t available; /* including bytes after `size` that the last instruction may need */
  bool is_code;     /* executable, and this program can disassemble */
  uint32_t address_bits;
} dump_state;

/* One instruction, or a byte that does not start one. */
typedef struct decoded {
  size_t size;
  char text[128];
} decoded;

static decoded instruction_at(const dump_state *dumped, size_t offset) {
  decoded instruction;
  instruction.size =
      disassembly_of(dumped->bytes + offset, dumped->available - offset, dumped->address + offset,
                     dumped->address_bits, instruction.text, sizeof instruction.text);
  if (instruction.size == 0) {
    instruction.size = 1;
    (void)snprintf(instruction.text, sizeof instruction.text, "(no instruction)");
  }
  return instruction;
}

static void write_hexadecimal(const unsigned char *bytes, size_t size, char *text) {
  for (size_t i = 0; i < size; i++) {
    (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
  }
  text[2 * size] = '\0';
}

/* ---- Text ------------------------------------------------------------------------------------ */

static void print_line(const dump_state *dumped, size_t offset) {
  size_t count = dumped->size - offset < BYTES_OF_LINE ? dumped->size - offset : BYTES_OF_LINE;
  (void)printf("0x%012" PRIx64 " ", dumped->address + offset);
  for (size_t i = 0; i < BYTES_OF_LINE; i++) {
    (void)fputs(i % 8 == 0 ? "  " : " ", stdout);
    if (i < count) {
      (void)printf("%02x", dumped->bytes[offset + i]);
    } else {
      (void)fputs("  ", stdout);
    }
  }
  (void)fputs("  |", stdout);
  for (size_t i = 0; i < count; i++) {
    unsigned char byte = dumped->bytes[offset + i];
    (void)putchar(byte < 0x80 && isprint(byte) ? byte : '.');
  }
  (void)puts("|");
}

static void dump_as_text(const dump_state *dumped) {
  for (size_t offset = 0; offset < dumped->size; offset += BYTES_OF_LINE) {
    print_line(dumped, offset);
  }
  if (!dumped->is_code) {
    return;
  }
  (void)putchar('\n');
  for (size_t offset = 0; offset < dumped->size;) {
    char bytes[2 * INSTRUCTION_SIZE_MAX + 1];
    decoded instruction = instruction_at(dumped, offset);
    write_hexadecimal(dumped->bytes + offset, instruction.size, bytes);
    (void)printf("0x%012" PRIx64 "  %-22s  %s\n", dumped->address + offset, bytes,
                 instruction.text);
    offset += instruction.size;
  }
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static bool dump_as_json(const tool_target *target, const dump_state *dumped) {
  char *bytes = malloc(2 * dumped->size + 1);
  if (bytes == NULL) {
    return false;
  }
  write_hexadecimal(dumped->bytes, dumped->size, bytes);
  json_writer json = json_begin_document("dump");
  json_number(&json, "process", (uint64_t)target->info.id);
  json_address(&json, "address", dumped->address);
  json_text(&json, "bytes", bytes);
  json_begin_array(&json, "instructions");
  for (size_t offset = 0; dumped->is_code && offset < dumped->size;) {
    decoded instruction = instruction_at(dumped, offset);
    json_begin_object(&json, NULL);
    json_address(&json, "address", dumped->address + offset);
    json_number(&json, "size_bytes", instruction.size);
    json_text(&json, "text", instruction.text);
    json_end_object(&json);
    offset += instruction.size;
  }
  json_end_array(&json);
  json_end_document(&json);
  free(bytes);
  return true;
}

/* ---------------------------------------------------------------------------------------------- */

static exit_code read_place(const tool_arguments *arguments, tool_target *target,
                            dump_state *dumped) {
  process_snapshot snapshot;
  nearbuf_status status = snapshot_take(target, &snapshot);
  exit_code code = status == NEARBUF_OK
                       ? where_read(target, &snapshot, arguments->positional[1], &dumped->address)
                       : target_complain(target, "its memory map cannot be read", status);
  const nearbuf_process_mapping *mapping = snapshot_mapping(&snapshot, dumped->address);
  dumped->is_code = disassembly_is_known() && mapping != NULL && mapping->is_executable != 0;
  dumped->address_bits = target->info.address_bits;
  snapshot_free(&snapshot);
  return code;
}

static exit_code dump(const tool_arguments *arguments, tool_target *target, dump_state *dumped) {
  exit_code code = read_place(arguments, target, dumped);
  if (code != EXIT_DONE) {
    return code;
  }
  size_t done = 0;
  nearbuf_status status = nearbuf_process_read(&target->process, dumped->address, dumped->bytes,
                                               dumped->available, &done);
  if (done == 0 && status == NEARBUF_NOT_MAPPED) {
    return complain(EXIT_NOT_FOUND, "process %" PRId64 " has nothing at 0x%" PRIx64,
                    target->info.id, dumped->address);
  }
  if (done == 0) {
    return target_complain(target, "these bytes cannot be read", status);
  }
  dumped->available = done;
  bool is_whole = done >= dumped->size;
  dumped->size = is_whole ? dumped->size : done;
  if (arguments_option(arguments, "--json") == NULL) {
    dump_as_text(dumped);
  } else if (!dump_as_json(target, dumped)) {
    return complain(EXIT_FAILED, "dump: out of memory");
  }
  return is_whole ? EXIT_DONE : complain(EXIT_FAILED, "dump: the remaining bytes cannot be read");
}

exit_code dump_run(const tool_arguments *arguments) {
  uint64_t length = DEFAULT_LENGTH;
  if (arguments->positional_count > 2 &&
      (!number_read(arguments->positional[2], &length) || length == 0 || length > LENGTH_MAX)) {
    return complain(EXIT_USAGE, "dump: not a length from 1 to %d: %s", LENGTH_MAX,
                    arguments->positional[2]);
  }
  dump_state dumped = {.size = (size_t)length,
                       .available = (size_t)length + INSTRUCTION_SIZE_MAX - 1};
  dumped.bytes = malloc(dumped.available);
  if (dumped.bytes == NULL) {
    return complain(EXIT_FAILED, "dump: out of memory");
  }
  tool_target target;
  exit_code code = target_open(arguments, &target);
  if (code == EXIT_DONE) {
    code = dump(arguments, &target, &dumped);
  }
  free(dumped.bytes);
  target_close(&target);
  return code;
}
