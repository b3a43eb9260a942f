/* nearbuf put: appends a file's bytes to a buffer in a process. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "json.h"
#include "where.h"

/* The bytes of a file. */
typedef struct file_content {
  unsigned char *bytes;
  size_t size;
} file_content;

enum { CONTENT_MAX = 32 << 20 };

static bool read_all(FILE *file, file_content *content) {
  size_t capacity = 0;
  size_t done;
  do {
    if (content->size == capacity) {
      capacity = capacity == 0 ? 65536 : capacity * 2;
      unsigned char *larger = realloc(content->bytes, capacity);
      if (larger == NULL) {
        return false;
      }
      content->bytes = larger;
    }
    done = fread(content->bytes + content->size, 1, capacity - content->size, file);
    content->size += done;
  } while (done != 0 && content->size <= CONTENT_MAX);
  return ferror(file) == 0 && content->size <= CONTENT_MAX;
}

static exit_code read_content(const char *name, file_content *content) {
  bool is_standard_input = strcmp(name, "-") == 0;
  if (is_standard_input) {
    host_input_of_bytes();
  }
  FILE *file = is_standard_input ? stdin : fopen(name, "rb");
  if (file == NULL) {
    return complain(EXIT_NOT_FOUND, "put: cannot open the file: %s", name);
  }
  bool is_read = read_all(file, content);
  if (!is_standard_input) {
    (void)fclose(file);
  }
  if (!is_read) {
    return complain(EXIT_FAILED, "put: cannot be read, or is larger than 32 MiB: %s", name);
  }
  return content->size == 0 ? complain(EXIT_USAGE, "put: the input is empty: %s", name) : EXIT_DONE;
}

static void print_place(const tool_arguments *arguments, const tool_target *target,
                        const nearbuf_process_buffer *buffer, uint64_t address, size_t size) {
  if (arguments_option(arguments, "--json") == NULL) {
    (void)printf("0x%" PRIx64 "\n", address);
    return;
  }
  json_writer json = json_begin_document("put");
  json_number(&json, "process", (uint64_t)target->info.id);
  json_address(&json, "address", address);
  json_number(&json, "size_bytes", size);
  json_address(&json, "buffer", buffer->address);
  json_number(&json, "buffer_size_bytes", buffer->size);
  json_end_document(&json);
}

static exit_code put(const tool_arguments *arguments, tool_target *target,
                     const nearbuf_process_request *request, const file_content *content) {
  nearbuf_process_buffer buffer;
  nearbuf_status status;
  unsigned tries = 0;
  do {
    status = nearbuf_process_get(&target->process, request, &buffer);
  } while (target_try_again(status, &tries));
  if (status != NEARBUF_OK) {
    return target_complain(target, "no buffer could be acquired", status);
  }
  nearbuf_process_buffer held = buffer;
  uint64_t address;
  status =
      nearbuf_process_append(&target->process, &buffer, content->bytes, content->size, &address);
  int32_t system_error =
      target->process.system_error; /* of the append; the release overwrites it */
  nearbuf_status released = nearbuf_process_release(&target->process, &buffer);
  if (status == NEARBUF_OK) {
    status = released;
  } else {
    target->process.system_error = system_error;
  }
  if (status != NEARBUF_OK) {
    return target_complain(target, "the bytes could not be written", status);
  }
  print_place(arguments, target, &held, address, content->size);
  return EXIT_DONE;
}

exit_code put_run(const tool_arguments *arguments) {
  tool_target target;
  file_content content = {0};
  nearbuf_process_request request = NEARBUF_PROCESS_REQUEST_INIT;
  exit_code code = target_open(arguments, &target);
  if (code == EXIT_DONE) {
    code = where_request(arguments, &target, &request);
  }
  if (code == EXIT_DONE) {
    code = read_content(arguments->positional[1], &content);
  }
  if (code == EXIT_DONE) {
    request.size_bytes = content.size;
    code = put(arguments, &target, &request, &content);
  }
  free(content.bytes);
  target_close(&target);
  return code;
}
