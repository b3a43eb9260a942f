/* nearbuf free: frees memory that alloc allocated. */
#include <inttypes.h>

#include "json.h"
#include "target.h"

/* NOT_FOUND also means that the process is gone. */
static bool is_no_such_memory(nearbuf_process *process, nearbuf_status status) {
  return status == NEARBUF_NOT_MAPPED ||
         (status == NEARBUF_NOT_FOUND && nearbuf_process_check(process) == NEARBUF_OK);
}

exit_code free_run(const tool_arguments *arguments) {
  tool_target target;
  uint64_t address;
  uint64_t size_bytes;
  if (!number_read(arguments->positional[1], &address) ||
      !number_read(arguments->positional[2], &size_bytes)) {
    return complain(EXIT_USAGE, "free: not an address and a size: %s %s", arguments->positional[1],
                    arguments->positional[2]);
  }
  exit_code code = target_open(arguments, &target);
  if (code == EXIT_DONE) {
    nearbuf_status status;
    unsigned tries = 0;
    do {
      status = nearbuf_process_free(&target.process, address, size_bytes);
    } while (target_try_again(status, &tries));
    if (is_no_such_memory(&target.process, status)) {
      code =
          complain(EXIT_NOT_FOUND, "process %" PRId64 " has no memory there that alloc allocated",
                   target.info.id);
    } else if (status != NEARBUF_OK) {
      code = target_complain(&target, "the memory could not be freed", status);
    }
  }
  if (code == EXIT_DONE && arguments_option(arguments, "--json") != NULL) {
    json_writer json = json_begin_document("free");
    json_number(&json, "process", (uint64_t)target.info.id);
    json_address(&json, "address", address);
    json_number(&json, "size_bytes", size_bytes);
    json_end_document(&json);
  }
  target_close(&target);
  return code;
}
