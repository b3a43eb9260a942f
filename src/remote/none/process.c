/* Systems without a port for other processes; see remote/port.h. */
#include <string.h>

#include "os/os.h"
#include "remote/port.h"

static nbuf_result unsupported(void) {
  return nbuf_result_of(NEARBUF_UNSUPPORTED);
}

nbuf_result nbuf_remote_open(int64_t id, nearbuf_process *process) {
  (void)id;
  (void)process;
  return unsupported();
}

void nbuf_remote_close(nearbuf_process *process) {
  (void)process;
}

nbuf_result nbuf_remote_check(const nearbuf_process *process) {
  (void)process;
  return unsupported();
}

nbuf_result nbuf_remote_describe(const nearbuf_process *process, nearbuf_process_info *info) {
  (void)process;
  (void)info;
  return unsupported();
}

nbuf_result nbuf_remote_visit_all(nearbuf_process_visitor visit, void *context) {
  (void)visit;
  (void)context;
  return unsupported();
}

nbuf_result nbuf_remote_read(const nearbuf_process *process, uint64_t address, void *bytes,
                             size_t size, size_t *done) {
  (void)process;
  (void)address;
  (void)bytes;
  (void)size;
  *done = 0;
  return unsupported();
}

nbuf_result nbuf_remote_write(const nearbuf_process *process, uint64_t address, const void *bytes,
                              size_t size, size_t *done) {
  (void)process;
  (void)address;
  (void)bytes;
  (void)size;
  *done = 0;
  return unsupported();
}

nbuf_result nbuf_remote_note_program(nearbuf_process *process) {
  (void)process;
  return nbuf_result_of(NEARBUF_UNSUPPORTED);
}

nbuf_result nbuf_remote_check_program(const nearbuf_process *process) {
  (void)process;
  return nbuf_result_of(NEARBUF_UNSUPPORTED);
}

void nbuf_remote_let_go(nearbuf_process *process) {
  (void)process;
}

nbuf_result nbuf_remote_memory_open(nearbuf_process *process, intptr_t *memory) {
  (void)process;
  *memory = 0;
  return unsupported();
}

nbuf_result nbuf_remote_memory_write(intptr_t memory, uint64_t address, const void *bytes,
                                     size_t size) {
  (void)memory;
  (void)address;
  (void)bytes;
  (void)size;
  return unsupported();
}

void nbuf_remote_memory_close(intptr_t memory) {
  (void)memory;
}

nbuf_result nbuf_remote_map_open(const nearbuf_process *process, nbuf_remote_map *map) {
  (void)process;
  (void)map;
  return unsupported();
}

void nbuf_remote_map_close(nbuf_remote_map *map) {
  (void)map;
}

nbuf_result nbuf_remote_map_next(nbuf_remote_map *map, nbuf_remote_mapping *mapping) {
  (void)map;
  (void)mapping;
  return unsupported();
}

nbuf_range nbuf_remote_limits(uint32_t address_bits, uintptr_t around) {
  (void)address_bits;
  return nbuf_os_limits(0, around);
}

nbuf_result nbuf_remote_allocate(nearbuf_process *process, uint64_t address, uint64_t size,
                                 nbuf_remote_draft *draft) {
  (void)process;
  (void)address;
  (void)size;
  (void)draft;
  return unsupported();
}

nbuf_result nbuf_remote_free(nearbuf_process *process, uint64_t address, uint64_t size) {
  (void)process;
  (void)address;
  (void)size;
  return unsupported();
}

bool nbuf_remote_is_growing_stack(nearbuf_process *process, uint64_t start) {
  (void)process, (void)start;
  return false;
}

nbuf_result nbuf_remote_first(nearbuf_process *process, uint64_t *address,
                              nearbuf_dialect *dialect_if_empty) {
  (void)process;
  *address = 0;
  *dialect_if_empty = NEARBUF_DIALECT_UNKNOWN;
  return unsupported();
}

nbuf_result nbuf_remote_image(const nearbuf_process *process, uint64_t address,
                              unsigned char image[NBUF_LOCATOR_SIZE]) {
  (void)process;
  (void)address;
  memset(image, 0, NBUF_LOCATOR_SIZE);
  return unsupported();
}

nbuf_result nbuf_remote_view_open(nearbuf_process *process, uint64_t address,
                                  nbuf_remote_view *view) {
  (void)process;
  (void)address;
  *view = (nbuf_remote_view){0, 0, 0};
  return unsupported();
}

void nbuf_remote_view_close(nbuf_remote_view *view) {
  (void)view;
}

nbuf_result nbuf_remote_page_make(nearbuf_process *process, const nbuf_initial_items *initial,
                                  nbuf_remote_draft *first, nbuf_remote_page *page) {
  (void)process;
  (void)initial;
  (void)first;
  *page = (nbuf_remote_page){0, 0};
  return unsupported();
}

void nbuf_remote_page_discard(nearbuf_process *process, const nbuf_remote_page *page) {
  (void)process;
  (void)page;
}

nbuf_result nbuf_remote_visit_files(nearbuf_file_visitor visit, void *context) {
  (void)visit;
  (void)context;
  return unsupported();
}

nbuf_result nbuf_remote_remove_file(const nearbuf_file *file) {
  (void)file;
  return unsupported();
}
