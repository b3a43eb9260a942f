/* nearbuf alloc: allocates private memory in a process. */
#include <inttypes.h>
#include <stdio.h>

#include "json.h"
#include "where.h"

exit_code alloc_run(const tool_arguments *arguments) {
  tool_target target;
  nearbuf_process_request request = NEARBUF_PROCESS_REQUEST_INIT;
  if (!number_read(arguments->positional[1], &request.size_bytes)) {
    return complain(EXIT_USAGE, "alloc: not a number: %s", arguments->positional[1]);
  }
  exit_code code = target_open(arguments, &target);
  if (code == EXIT_DONE) {
    code = where_request(arguments, &target, &request);
  }
  uint64_t address;
  uint64_t size_bytes;
  if (code == EXIT_DONE) {
    nearbuf_status status;
    unsigned tries = 0;
    do {
      status = nearbuf_process_allocate(&target.process, &request, &address, &size_bytes);
    } while (target_try_again(status, &tries));
    code = status == NEARBUF_OK ? EXIT_DONE
                                : target_complain(&target, "no memory could be allocated", status);
  }
  if (code == EXIT_DONE && arguments_option(arguments, "--json") != NULL) {
    json_writer json = json_begin_document("alloc");
    json_number(&json, "process", (uint64_t)target.info.id);
    json_address(&json, "address", address);
    json_number(&json, "size_bytes", size_bytes);
    json_end_document(&json);
  } else if (code == EXIT_DONE) {
    (void)printf("0x%" PRIx64 " %" PRIu64 "\n", address, size_bytes);
  }
  target_close(&target);
  return code;
}
