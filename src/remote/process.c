/* Other processes: opening, closing and describing one; see process.h. What a system must do for it
 * is in port.h. The calls on its memory are in memory.c, those on its locators in walk.c, those on
 * its buffers in buffers.c. */
#include "remote/process.h"

#include "remote/port.h"

/* ---- Calls ----------------------------------------------------------------------------------- */

nearbuf_status nbuf_process_call_end(nearbuf_process *process, nbuf_result result,
                                     nbuf_os_call call) {
  if (result.status != NEARBUF_OK && result.status != NEARBUF_CANCELLED && process->id != 0) {
    nbuf_result alive = nbuf_remote_check(process);
    result = alive.status == NEARBUF_NOT_FOUND ? alive : result;
  }
  nbuf_remote_let_go(process);
  nbuf_os_call_end(call);
  process->system_error = result.system_error;
  return result.status;
}

nbuf_result nbuf_process_explain(const nearbuf_process *process, nbuf_result result) {
  if (result.status == NEARBUF_OK) {
    return result;
  }
  nbuf_result same = nbuf_remote_check_program(process);
  bool is_replaced = same.status == NEARBUF_STALE || same.status == NEARBUF_BUSY;
  return is_replaced ? nbuf_result_system(NEARBUF_BUSY, result.system_error) : result;
}

bool nbuf_process_is_open(const nearbuf_process *process) {
  return process != NULL && process->id != 0;
}

uint32_t nbuf_process_width(const nearbuf_process *process) {
  return process->address_bits == 0 ? (uint32_t)sizeof(uintptr_t) : process->address_bits / 8;
}

/* ---- Processes ------------------------------------------------------------------------------- */

nearbuf_status nearbuf_process_open(int64_t id, nearbuf_process *process) {
  if (process == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *process = (nearbuf_process){0};
  if (id < 1) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nbuf_os_call call = nbuf_os_call_begin();
  nbuf_result result = nbuf_remote_open(id, process);
  if (result.status != NEARBUF_OK) {
    *process = (nearbuf_process){0};
  }
  return nbuf_process_call_end(process, result, call);
}

nearbuf_status nearbuf_process_close(nearbuf_process *process) {
  if (process == NULL) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  if (nbuf_process_is_open(process)) {
    nbuf_os_call call = nbuf_os_call_begin();
    nbuf_remote_close(process);
    nbuf_os_call_end(call);
  }
  *process = (nearbuf_process){0};
  return NEARBUF_OK;
}

nearbuf_status nearbuf_process_check(nearbuf_process *process) {
  if (!nbuf_process_is_open(process)) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  nbuf_os_call call = nbuf_os_call_begin();
  return nbuf_process_call_end(process, nbuf_remote_check(process), call);
}

nearbuf_status nearbuf_process_describe(nearbuf_process *process, nearbuf_process_info *info) {
  if (info == NULL || !nbuf_process_is_open(process)) {
    return NEARBUF_INVALID_ARGUMENT;
  }
  *info = (nearbuf_process_info){0};
  nbuf_os_call call = nbuf_os_call_begin();
  nbuf_result result = nbuf_remote_describe(process, info);
  if (result.status != NEARBUF_OK) {
    *info = (nearbuf_process_info){0};
  }
  return nbuf_process_call_end(process, result, call);
}

nearbuf_status nearbuf_process_visit_all(nearbuf_process_visitor visit, void *context) {
  return visit == NULL ? NEARBUF_INVALID_ARGUMENT : nbuf_remote_visit_all(visit, context).status;
}

/* ---- Files ----------------------------------------------------------------------------------- */

nearbuf_status nearbuf_process_visit_files(nearbuf_file_visitor visit, void *context) {
  return visit == NULL ? NEARBUF_INVALID_ARGUMENT : nbuf_remote_visit_files(visit, context).status;
}

nearbuf_status nearbuf_process_remove_file(const nearbuf_file *file, int32_t *system_error) {
  nbuf_result result =
      file == NULL ? nbuf_result_of(NEARBUF_INVALID_ARGUMENT) : nbuf_remote_remove_file(file);
  if (system_error != NULL) {
    *system_error = result.system_error;
  }
  return result.status;
}
