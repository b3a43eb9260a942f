/* One of the outside processes of remote_load.c: appends records to the buffers of a process.
 * "ready" first, the number of appended records last. Its arguments are the process and its own
 * number. */
#include <stdio.h>
#include <stdlib.h>

#include <nearbuf/process.h>

#include "os/os.h"
#include "remote_load.h"

/* Appends a record, unless the process is not available at this moment. */
static nearbuf_status append(nearbuf_process *process, const nearbuf_process_request *request,
                             record *made) {
  nearbuf_process_buffer buffer;
  nearbuf_status status = nearbuf_process_get(process, request, &buffer);
  if (status == NEARBUF_BUSY || status == NEARBUF_DENIED || status == NEARBUF_NO_ROOM) {
    return NEARBUF_OK;
  }
  if (status != NEARBUF_OK) {
    return status;
  }
  made->check = record_check(made);
  status = nearbuf_process_append(process, &buffer, made, sizeof *made, NULL);
  if (nearbuf_process_release(process, &buffer) != NEARBUF_OK) {
    exit(1);
  }
  made->number += status == NEARBUF_OK;
  return status;
}

int main(int argc, char **argv) {
  nearbuf_process process;
  if (argc != 3 || nearbuf_process_open(strtol(argv[1], NULL, 10), &process) != NEARBUF_OK) {
    return 2;
  }
  printf("ready\n");
  fflush(stdout);
  record made = {RECORD_MARK, (uint32_t)strtoul(argv[2], NULL, 10), 0, 0};
  nearbuf_process_request request = NEARBUF_PROCESS_REQUEST_INIT;
  request.size_bytes = sizeof made;
  uint64_t end = nbuf_os_nanoseconds() + LOAD_MS * UINT64_C(1000000);
  nearbuf_status status = NEARBUF_OK;
  while (status == NEARBUF_OK && nbuf_os_nanoseconds() < end && made.number < MOST_RECORDS) {
    /* Sometimes with permission to create memory: several may want to stop it at a time. */
    request.flags = made.number % 64 == 63 ? 0 : NEARBUF_PROCESS_EXISTING;
    status = append(&process, &request, &made);
  }
  printf("%u\n", made.number);
  return status == NEARBUF_OK ? 0 : LOAD_STATUS_REFUSED;
}
